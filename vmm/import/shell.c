/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/import/shell.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/text.h"

struct lexer {
	const char *p;
	char *buf; /* the word at hand */
	size_t n, size;
	bool word; /* there is one, even if it is empty */
	bool failed;
};

const char *words_take(struct words *w, char *s)
{
	char **grown = s ? realloc(w->word, (w->n + 1) * sizeof(*grown)) : NULL;

	if (!grown) {
		free(s);
		w->failed = true;
		return "";
	}
	w->word = grown;
	return grown[w->n++] = s;
}

void words_free(struct words *w)
{
	while (w->n)
		free(w->word[--w->n]);
	free(w->word);
	*w = (struct words){ 0 };
}

static bool is_mark(char c)
{
	return c == SHELL_BARE || c == SHELL_QUOTED || c == SHELL_END;
}

static bool is_name(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static void put_raw(struct lexer *l, char c)
{
	size_t size = 2 * l->size + 64;
	char *grown;

	if (l->n == l->size) {
		grown = realloc(l->buf, size);
		if (!grown) {
			l->failed = true;
			return;
		}
		l->buf = grown;
		l->size = size;
	}
	l->buf[l->n++] = c;
}

static void put(struct lexer *l, char c)
{
	if (is_mark(c))
		return;
	put_raw(l, c);
	l->word = true;
}

/* Copies [l->p, end) between marks. */
static void put_live(struct lexer *l, char mark, const char *end)
{
	put_raw(l, mark);
	while (l->p < end)
		put(l, *l->p++);
	put_raw(l, SHELL_END);
	l->word = true;
}

/* Behind the bracket that closes the one at p; NULL: none does. */
static const char *close_of(const char *p, char open, char close)
{
	unsigned depth = 0;

	for (; *p; p++) {
		if (*p == '\\' && p[1])
			p++;
		else if (*p == '\'' && !(p = strchr(p + 1, '\'')))
			return NULL;
		else if (*p == open)
			depth++;
		else if (*p == close && --depth == 0)
			return p + 1;
	}
	return NULL;
}

/* Behind the quote that closes the one at p, with backslashes skipped. */
static const char *backslash_close(const char *p)
{
	const char quote = *p++;

	for (; *p && *p != quote; p++)
		if (*p == '\\' && p[1])
			p++;
	return *p ? p + 1 : NULL;
}

/* Behind the expansion at p, a dollar sign or a backquote; NULL: it is a plain character. */
static const char *live_end(const char *p, bool quoted)
{
	if (*p == '`')
		return backslash_close(p);
	p++;
	if (*p == '{')
		return close_of(p, '{', '}');
	if (*p == '(')
		return close_of(p, '(', ')');
	if (*p == '\'' && !quoted)
		return backslash_close(p);
	if (*p && (isdigit((unsigned char)*p) || strchr("@*#?$!-", *p)))
		return p + 1;
	if (!is_name(*p))
		return NULL;
	while (is_name(*p))
		p++;
	return p;
}

static bool is_comment(const char *p, const char *end)
{
	return *p == '`' && p[1 + strspn(p + 1, " \t")] == '#' && end;
}

/* At a dollar sign or a backquote. */
static void lex_live(struct lexer *l, bool quoted)
{
	const char *end = live_end(l->p, quoted);

	if (is_comment(l->p, end))
		l->p = end;
	else if (end)
		put_live(l, quoted ? SHELL_QUOTED : SHELL_BARE, end);
	else
		put(l, *l->p++);
}

static int lex_single(struct lexer *l)
{
	const char *end = strchr(l->p + 1, '\'');

	if (!end)
		return -EINVAL;
	l->word = true;
	for (l->p++; l->p < end; l->p++)
		put(l, *l->p);
	l->p++;
	return 0;
}

static int lex_double(struct lexer *l)
{
	l->word = true;
	for (l->p++; *l->p && *l->p != '"';) {
		if (*l->p == '\\' && l->p[1] == '\n') {
			l->p += 2;
		} else if (*l->p == '\\' && l->p[1] && strchr("$`\"\\", l->p[1])) {
			put(l, l->p[1]);
			l->p += 2;
		} else if (*l->p == '$' || *l->p == '`') {
			lex_live(l, true);
		} else {
			put(l, *l->p++);
		}
	}
	if (!*l->p)
		return -EINVAL;
	l->p++;
	return 0;
}

/* A tilde is filled in at the start of a word, and by bash behind the = of NAME=. */
static bool tilde_counts(const struct lexer *l)
{
	size_t i;

	if (l->n == 0)
		return true;
	for (i = 0; is_name(l->buf[i]) && i + 1 < l->n; i++)
		;
	return l->buf[i] == '=' && i + 1 == l->n && i > 0;
}

static bool lex_tilde(struct lexer *l)
{
	const char *end = l->p + 1;

	while (is_name(*end) || *end == '-' || *end == '.')
		end++;
	if (!tilde_counts(l) || (*end && !strchr("/ \t\r\n;&|", *end)))
		return false;
	put_live(l, SHELL_BARE, end);
	return true;
}

static int lex_char(struct lexer *l)
{
	switch (*l->p) {
	case '\'':
		return lex_single(l);
	case '"':
		return lex_double(l);
	case '$':
	case '`':
		lex_live(l, false);
		return 0;
	case '~':
		if (lex_tilde(l))
			return 0;
		break;
	case '\\':
		if (l->p[1] == '\n') {
			l->p += 2;
			return 0;
		}
		l->p += l->p[1] != '\0';
		break;
	}
	put(l, *l->p++);
	return 0;
}

static bool ends_word(char c)
{
	return !c || strchr(" \t\r\n;&|()<>", c);
}

static int lex_word(struct lexer *l)
{
	int ret = 0;

	while (ret == 0 && !ends_word(*l->p))
		ret = lex_char(l);
	return ret;
}

static void skip_blanks(struct lexer *l)
{
	for (;;) {
		if (*l->p == ' ' || *l->p == '\t' || *l->p == '\r')
			l->p++;
		else if (*l->p == '\\' && l->p[1] == '\n')
			l->p += 2;
		else if (*l->p == '\\' && l->p[1] == '\r' && l->p[2] == '\n')
			l->p += 3;
		else
			return;
	}
}

static bool at_redirection(const char *p)
{
	p += strspn(p, "0123456789");
	return *p == '<' || *p == '>' || (*p == '&' && p[1] == '>');
}

/* Operator and target as they are written. */
static int lex_redirection(struct lexer *l)
{
	const char *start = l->p, *end;
	int ret;

	l->p += strspn(l->p, "0123456789");
	l->p += strspn(l->p, "<>&|");
	skip_blanks(l);
	ret = lex_word(l);
	if (ret < 0 || !l->word)
		return -EINVAL;
	end = l->p;
	l->p = start;
	l->n = 0;
	put_live(l, SHELL_BARE, end);
	return 0;
}

static int next_word(struct lexer *l)
{
	l->n = 0;
	l->word = false;
	return at_redirection(l->p) ? lex_redirection(l) : lex_word(l);
}

static void end_command(struct lexer *l)
{
	if (*l->p == '#')
		l->p += strcspn(l->p, "\n");
	if (*l->p)
		l->p++;
}

static int lex_command(struct lexer *l, const char *text, size_t *start, struct words *out)
{
	int ret = 0;

	skip_blanks(l);
	*start = (size_t)(l->p - text);
	while (ret == 0 && *l->p != '#' && (at_redirection(l->p) || !ends_word(*l->p))) {
		ret = next_word(l);
		if (ret == 0 && l->word)
			words_take(out, l->n ? strndup(l->buf, l->n) : strdup(""));
		skip_blanks(l);
	}
	return out->failed || l->failed ? -ENOMEM : ret;
}

int shell_command(const char *text, size_t *pos, size_t *start, struct words *out)
{
	struct lexer l = { .p = text + *pos };
	int ret = lex_command(&l, text, start, out);

	free(l.buf);
	end_command(&l);
	*pos = (size_t)(l.p - text);
	return ret;
}

bool shell_is_live(const char *word)
{
	for (; *word; word++)
		if (*word == SHELL_BARE || *word == SHELL_QUOTED)
			return true;
	return false;
}

void shell_strip(char *word)
{
	char *to = word;

	for (; *word; word++)
		if (!is_mark(*word))
			*to++ = *word;
	*to = '\0';
}

char *shell_find(const char *word, char c)
{
	bool live = false;

	for (; *word; word++) {
		if (is_mark(*word))
			live = *word != SHELL_END;
		else if (!live && *word == c)
			return (char *)word;
	}
	return NULL;
}

static bool set_open(FILE *f, bool open, bool want)
{
	if (open != want)
		fputc('"', f);
	return want;
}

/* A character of a word with expansions, with double quotes open or not. Returns whether they are.
 * In an interactive shell an exclamation mark means history even between them. */
static bool quote_plain(FILE *f, char c, bool open)
{
	open = set_open(f, open, c != '!' && (open || !text_is_plain(c)));
	if (strchr("$`\"\\!", c))
		fputc('\\', f);
	fputc(c, f);
	return open;
}

static const char *quote_char(FILE *f, const char *w, bool *open)
{
	bool control;
	unsigned n = text_char(w, &control);

	if (control && *w != '\n' && *w != '\t') {
		*open = set_open(f, *open, true);
		for (; n; n--)
			fprintf(f, "$(printf '\\%03o')", (unsigned char)*w++);
		return w;
	}
	while (n--)
		*open = quote_plain(f, *w++, *open);
	return w;
}

/* As it is written. What controls a terminal cannot be written in another way there. */
static void put_expansion(FILE *f, const char *w, size_t n)
{
	bool control;
	size_t i, one;

	for (i = 0; i < n; i += one) {
		one = text_char(w + i, &control);
		one = one < n - i ? one : n - i;
		if (control && w[i] != '\n' && w[i] != '\t')
			fprintf(f, "%.*s", (int)one, "????");
		else
			fwrite(w + i, 1, one, f);
	}
}

static const char *quote_expansion(FILE *f, const char *w, bool *open)
{
	const char *end = strchr(w, SHELL_END);
	size_t n = end ? (size_t)(end - w) - 1 : strlen(w) - 1;
	bool named = n > 1 && w[1] == '$' && is_name(w[2]);

	*open = set_open(f, *open, *w == SHELL_QUOTED);
	put_expansion(f, w + 1, n);
	w += 1 + n + (end != NULL);
	if (named && is_name(*w)) { /* $A, then x: not $Ax */
		*open = set_open(f, *open, !*open);
		*open = set_open(f, *open, true);
	}
	return w;
}

static void quote_live(FILE *f, const char *w)
{
	bool open = false;

	while (*w) {
		if (*w == SHELL_BARE || *w == SHELL_QUOTED)
			w = quote_expansion(f, w, &open);
		else
			w = quote_char(f, w, &open);
	}
	set_open(f, open, false);
}

char *shell_quote(const char *word)
{
	char *s = NULL;
	size_t n;
	FILE *f;

	if (!shell_is_live(word))
		return text_quote(word);
	f = open_memstream(&s, &n);
	if (!f)
		return NULL;
	quote_live(f, word);
	if (fclose(f) == 0)
		return s;
	free(s);
	return NULL;
}
