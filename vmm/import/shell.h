/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shell words, read and written: what a script's line hands to a program, without running it.
 *
 * What a shell would fill in ($NAME, ${...}, $(...), `...`, ~) stays as it is written, between
 * marks that say whether it was quoted; shell_quote() writes it back so that it is filled in as
 * before. Literal text never holds a mark. Pure functions.
 */
#ifndef VMM_IMPORT_SHELL_H
#define VMM_IMPORT_SHELL_H

#include <stdbool.h>
#include <stddef.h>

#define SHELL_BARE   '\001' /* begins an expansion outside of quotes, or a redirection */
#define SHELL_QUOTED '\002' /* begins one inside of double quotes */
#define SHELL_END    '\003'

/* A list that owns its strings. */
struct words {
	char **word;
	unsigned n;
	bool failed; /* memory ran out: something is missing */
};

/* Takes s; NULL, or no memory for it, sets failed. Returns s, or "" then: never NULL. */
const char *words_take(struct words *, char *s);
void words_free(struct words *);

/* Reads one simple command of a script (POSIX, Shell Command Language, 2.3 and 2.9.1) at *pos: up
 * to a newline, an operator or the end; adds its words to out and moves *pos behind it. A word that
 * is nothing but `# comment` in backquotes is left out. A redirection is one word, marked
 * SHELL_BARE. *start: where its first word begins. Returns 0, -EINVAL for a quote that is not
 * closed, or -ENOMEM. */
int shell_command(const char *text, size_t *pos, size_t *start, struct words *out);

/* True for a word that holds an expansion. */
bool shell_is_live(const char *word);
/* The word as a shell reads it back; the caller frees it. NULL: no memory. */
char *shell_quote(const char *word);
/* Takes the marks out, in place. */
void shell_strip(char *word);
/* The first c outside of expansions, or NULL. */
char *shell_find(const char *word, char c);

#endif
