/* SPDX-License-Identifier: BSD-2-Clause */
/* A script with QEMU commands. Whatever comes out, a shell reads as one command: minivmm with the
 * same number of words however it is laid out. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/text.h"
#include "vmm/import/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Quoted text is one command and holds what words say. */
static void check_text(const char *text)
{
	struct words w = { 0 };
	size_t pos = 0, start;
	bool found = false;

	if (shell_command(text, &pos, &start, &w) < 0 || text[pos])
		abort();
	for (unsigned i = 0; i < w.n; i++)
		found |= strcmp(w.word[i], "minivmm") == 0;
	if (!found)
		abort();
	words_free(&w);
}

/* Whether the terminal of whoever reads it may do something else than show it. */
static bool controls(const char *text)
{
	bool control;

	for (; *text; text += text_char(text, &control)) {
		text_char(text, &control);
		if (control && *text != '\n' && *text != '\t')
			return true;
	}
	return false;
}

/* Quoted and read again a word is itself, but for what would control a terminal. */
static void check_word(const char *word)
{
	char *text = shell_quote(word), *want = strdup(word);
	struct words w = { 0 };
	size_t pos = 0, start;

	if (shell_command(text, &pos, &start, &w) < 0 || text[pos] || w.n != 1)
		abort();
	shell_strip(w.word[0]);
	shell_strip(want);
	if (controls(text) || (!controls(want) && strcmp(w.word[0], want) != 0))
		abort();
	words_free(&w);
	free(want);
	free(text);
}

static void check_command(const struct import_command *c)
{
	struct import im;
	unsigned i;
	char *text;

	for (i = 0; i < c->words.n; i++)
		check_word(c->words.word[i]);
	if (import_qemu(&im, &c->words, c->pin) < 0)
		abort();
	text = import_text(&im);
	check_text(text);
	free(text);
	import_free(&im);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);
	struct import_script s;
	unsigned i;

	if (import_script(&s, text) < 0)
		abort();
	for (i = 0; i < s.n; i++)
		check_command(&s.command[i]);
	import_script_free(&s);
	free(text);
	return 0;
}
