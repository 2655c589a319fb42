/* SPDX-License-Identifier: BSD-2-Clause */
/* Errors as people read them: a code and one sentence that names the object and the remedy. Used at
 * the configuration, realize and control boundaries; everything below returns 0/count or -errno. */
#ifndef VMM_CORE_ERROR_H
#define VMM_CORE_ERROR_H

struct error {
	int code; /* a negative errno; 0 while nothing went wrong */
	char text[480];
};

/* Fills *err (which may be NULL) and returns code, so that `return error_set(err, -EINVAL, ...)`
 * works. code is a negative errno. The text carries no trailing newline or full stop. */
int error_set(struct error *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Replaces control characters by '?' in place. Names that messages quote (of a file, a mount point,
 * a process) may come from anybody; they must not begin a new line or control the terminal. */
void error_visible(char *text);

/* Puts "prefix: " before the text already there; returns err->code. */
int error_prefix(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
