/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds QEMU commands in a script, or in text with commands in it.
 *
 * Only lines that name it are read as shell: an apostrophe in a sentence further up opens no quote.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/import/import.h"

#define UNENDED_MAX 16

/* Behind the line at pos, with those that a backslash joins to it. */
static size_t line_end(const char *text, size_t pos)
{
	size_t n;

	for (;; pos += n) {
		n = strcspn(text + pos, "\n");
		if (!text[pos + n])
			return pos + n;
		n++;
		if (n < 2 || text[pos + n - 2] != '\\')
			return pos + n;
	}
}

static bool mentions(const char *line, size_t n)
{
	return memmem(line, n, "qemu", 4) || memmem(line, n, "kvm", 3) ||
	       memmem(line, n, "taskset", 7);
}

static unsigned line_of(const char *text, size_t pos)
{
	unsigned line = 1;

	while (pos--)
		line += text[pos] == '\n';
	return line;
}

/* Takes the words when they are a QEMU command; "qemu-kvm is" begins a sentence. */
static int take(struct import_script *s, struct words *w, const char *text, size_t start)
{
	struct import_command *grown;
	unsigned i = import_find_qemu(w) + 1;

	if (i > w->n || (i < w->n && w->word[i][0] != '-' && !shell_is_live(w->word[i]) &&
			 !strpbrk(w->word[i], "./")))
		return 0;
	grown = realloc(s->command, (s->n + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	s->command = grown;
	grown[s->n++] = (struct import_command){ .words = *w, .line = line_of(text, start) };
	*w = (struct words){ 0 };
	return 1;
}

/* taskset -cp, after QEMU was started: for the command before it. */
static void take_pin(struct import_script *s, const struct words *w)
{
	const char *list = import_taskset(w);

	if (list && s->n && !s->command[s->n - 1].pin)
		s->command[s->n - 1].pin = words_take(&s->pins, strdup(list));
}

/* The commands that begin in [*pos, end); moves *pos behind them. */
static int scan(struct import_script *s, const char *text, size_t *pos, size_t end)
{
	size_t at = *pos, start;
	int ret = 0;

	*pos = end;
	while (ret >= 0 && at < end) {
		struct words w = { 0 };

		ret = shell_command(text, &at, &start, &w);
		if (ret == 0) {
			take_pin(s, &w);
			ret = take(s, &w, text, start);
		}
		if (ret == 1 && at > end)
			*pos = at;
		words_free(&w);
	}
	return ret == -ENOMEM ? ret : 0;
}

/* Here-documents (POSIX, Shell Command Language, 2.7.4): their lines are no commands. */

struct heredoc {
	char word[128]; /* of the line that ends it */
	bool tabs;	/* may stand before it */
};

/* Behind the quote or the backslash at p, which hides what follows; end: nothing closes it, so it
 * is an apostrophe. */
static const char *skip_quoted(const char *p, const char *end)
{
	const char *close = *p == '\\' ? p + 1 : memchr(p + 1, *p, (size_t)(end - p - 1));

	return close && close < end ? close + 1 : p + 1;
}

/* Reads the word at p, without its quotes; false: there is none, or a long one. */
static bool heredoc_word(struct heredoc *h, const char *p, const char *end)
{
	size_t n = 0;
	char quote = 0;

	for (; p < end && (quote || !strchr(" \t\r\n;&|()<>", *p)); p++) {
		if (*p == quote)
			quote = 0;
		else if (!quote && (*p == '\'' || *p == '"'))
			quote = *p;
		else if ((quote || *p != '\\') && n < sizeof(h->word))
			h->word[n++] = *p;
	}
	if (n == 0 || n == sizeof(h->word))
		return false;
	h->word[n] = '\0';
	return true;
}

/* The first <<WORD in [*p, end); moves *p behind the operator. */
static bool heredoc_find(struct heredoc *h, const char **p, const char *end)
{
	while (*p < end) {
		size_t n = strspn(*p, "<");

		if (strchr("'\"\\", **p) && **p) {
			*p = skip_quoted(*p, end);
			continue;
		}
		*p += n ? n : 1;
		if (n != 2)
			continue;
		h->tabs = **p == '-';
		*p += h->tabs;
		*p += strspn(*p, " \t");
		if (heredoc_word(h, *p, end))
			return true;
	}
	return false;
}

/* Behind the line that ends the document that begins at pos; 0: there is none. */
static size_t heredoc_end(const struct heredoc *h, const char *text, size_t pos)
{
	size_t n, len = strlen(h->word);

	for (; text[pos]; pos += n + (text[pos + n] != '\0')) {
		pos += h->tabs ? strspn(text + pos, "\t") : 0;
		n = strcspn(text + pos, "\n");
		if (strncmp(text + pos, h->word, len) == 0 &&
		    (n == len || (n == len + 1 && text[pos + len] == '\r')))
			return pos + n + (text[pos + n] != '\0');
	}
	return 0;
}

/* Behind the documents of the lines in [from, to), which begin at `to`. What no line ends was none:
 * a shift, or a sentence. Looking for the ends of many of those is not worth the time. */
static size_t skip_heredocs(const char *text, size_t from, size_t to, unsigned *unended)
{
	const char *p = text + from, *end = text + to;
	struct heredoc h;
	size_t behind;

	while (*unended < UNENDED_MAX && heredoc_find(&h, &p, end)) {
		behind = heredoc_end(&h, text, to);
		*unended += !behind;
		to = behind ? behind : to;
	}
	return to;
}

int import_script(struct import_script *s, const char *text)
{
	size_t pos = 0, line = 0, end;
	unsigned unended = 0;
	int ret = 0;

	*s = (struct import_script){ 0 };
	while (ret == 0 && text[pos]) {
		end = line_end(text, pos);
		if (mentions(text + pos, end - pos))
			ret = scan(s, text, &pos, end);
		else
			pos = end;
		if (text[pos - 1] == '\n')
			line = pos = skip_heredocs(text, line, pos, &unended);
	}
	if (ret == 0 && s->pins.failed)
		ret = -ENOMEM;
	return ret < 0 ? ret : (int)s->n;
}

void import_script_free(struct import_script *s)
{
	while (s->n)
		words_free(&s->command[--s->n].words);
	free(s->command);
	words_free(&s->pins);
	*s = (struct import_script){ 0 };
}
