/* SPDX-License-Identifier: BSD-2-Clause */
/* Text for people and for shells. Pure functions. */
#ifndef VMM_CORE_TEXT_H
#define VMM_CORE_TEXT_H

#include <stdbool.h>
#include <stdint.h>

/* True for a character that has no special meaning for a shell at any place in a word. */
bool text_is_plain(char c);
/* Bytes of the first character of s, UTF-8, which is not empty. *control: it controls a terminal,
 * as ESC does, and the second set of such characters (C1) with or without UTF-8. */
unsigned text_char(const char *s, bool *control);
/* Quotes the word for a POSIX shell: unchanged if every character is plain, else in single quotes.
 * What controls a terminal becomes $(printf '\\033'), but for a newline and a tab. The caller frees
 * it. NULL: out of memory. */
char *text_quote(const char *word);
/* Reads a list of numbers such as "0-3,8", the format of the kernel and taskset. Each call reads
 * "A" or "A-B" and the comma behind it, and moves *list on. 1: a range with first <= last < max. 0:
 * the end of the list. -EINVAL: wrong syntax. -ERANGE: a number is max or more. */
int text_range(const char **list, unsigned max, unsigned *first, unsigned *last);
/* True if name is one of the words, each of which has a blank behind it. */
bool text_lists(const char *words, const char *name);
/* How many characters must be changed, added or removed to make one word of the other
 * (Levenshtein). UINT_MAX: one of them has more than TEXT_WORD_MAX bytes. */
#define TEXT_WORD_MAX 32
unsigned text_distance(const char *a, const char *b);
/* For "did you mean": how far `name` is from a word that somebody has typed. A name that begins
 * with it, or that it begins with, is near. UINT_MAX: it is not what was meant. */
unsigned text_typo(const char *word, const char *name);
/* The nearest of many names. Begin with { .word = word, .distance = UINT_MAX }; `name` stays NULL
 * if none was meant. Names must stay valid. */
struct text_nearest {
	const char *word, *name;
	unsigned distance;
};
void text_consider(struct text_nearest *, const char *name);
/* A size for people: "4 KiB", "1.5 GiB". */
void text_size(uint64_t bytes, char text[16]);

#endif
