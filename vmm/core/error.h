/* SPDX-License-Identifier: BSD-2-Clause */
/* Errors for people: a code, and one sentence that names the object and the remedy. Code that
 * handles what a user asks for uses them; lower layers return 0, a count, or -errno. */
#ifndef VMM_CORE_ERROR_H
#define VMM_CORE_ERROR_H

struct error {
	int code; /* a negative errno; 0: no error so far */
	char text[480];
};

/* Sets *err (which may be NULL) and returns code, so that `return error_set(err, -EINVAL, ...)`
 * works. code is a negative errno. The text must not end with a newline or a full stop. */
int error_set(struct error *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Replaces control characters by '?' in place. Names that messages quote (of a file, a mount point,
 * a process) may come from anybody; they must not begin a new line or control the terminal. */
void error_visible(char *text);

/* Puts "prefix: " before the text of *err; returns err->code. */
int error_prefix(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
