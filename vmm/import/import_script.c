/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds QEMU commands in a script, or in text with commands in it.
 *
 * Only lines that name it are read as shell: an apostrophe in a sentence further up opens no quote.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/import/import.h"

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
	int rc = 0;

	*pos = end;
	while (rc >= 0 && at < end) {
		struct words w = { 0 };

		rc = shell_command(text, &at, &start, &w);
		if (rc == 0) {
			take_pin(s, &w);
			rc = take(s, &w, text, start);
		}
		if (rc == 1 && at > end)
			*pos = at;
		words_free(&w);
	}
	return rc == -ENOMEM ? rc : 0;
}

int import_script(struct import_script *s, const char *text)
{
	size_t pos = 0, end;
	int rc = 0;

	*s = (struct import_script){ 0 };
	while (rc == 0 && text[pos]) {
		end = line_end(text, pos);
		if (mentions(text + pos, end - pos))
			rc = scan(s, text, &pos, end);
		else
			pos = end;
	}
	if (rc == 0 && s->pins.failed)
		rc = -ENOMEM;
	return rc < 0 ? rc : (int)s->n;
}

void import_script_free(struct import_script *s)
{
	while (s->n)
		words_free(&s->command[--s->n].words);
	free(s->command);
	words_free(&s->pins);
	*s = (struct import_script){ 0 };
}
