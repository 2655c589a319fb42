/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * minivmm import: QEMU command lines to minivmm's.
 *
 * What it prints it first gives to minivmm's own parser: the user hears now what would be refused.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/core/cleanup.h"
#include "vmm/cli/command.h"
#include "vmm/machine/options.h"
#include "vmm/import/import.h"
#include "vmm/core/infile.h"
#include "vmm/core/log.h"

#define CMDLINE_WORDS 65536
#define UTF8_MARK     "\xef\xbb\xbf" /* Windows editors put it in front of a text */

static int usage(void)
{
	log_error("import: usage: " USAGE_IMPORT);
	return COMMAND_USAGE;
}

static int no_memory(void)
{
	log_error("import: out of memory");
	return 1;
}

/* What a shell fills in, nobody can check here. */
static bool is_refused(const char *text, struct error *err)
{
	struct words w = { 0 };
	struct config cfg = { 0 };
	size_t pos = 0, start;
	unsigned i, from;
	bool refused = shell_command(text, &pos, &start, &w) == 0;

	for (i = 0, from = 0; i < w.n; i++) {
		refused &= !shell_is_live(w.word[i]);
		from = strcmp(w.word[i], "minivmm") == 0 && from == 0 ? i : from;
	}
	if (refused)
		refused = config_parse(&cfg, (int)(w.n - from), w.word + from, err) < 0;
	config_free(&cfg);
	words_free(&w);
	return refused;
}

/* where: "line 7: ", or "" when there is but one command. Returns the exit status. */
static int show(const struct import *im, const char *where)
{
	scoped_free char *text = import_text(im);
	struct error err = { 0 };
	bool refused = text && is_refused(text, &err);
	unsigned i;

	if (!text)
		return no_memory();
	if (*where)
		printf("# %.*s\n", (int)strcspn(where, ":"), where);
	fputs(text, stdout);
	fflush(stdout);
	for (i = 0; i < im->note.n; i++) {
		error_visible(im->note.word[i]);
		fprintf(stderr, "%s%s\n", where, im->note.word[i]);
	}
	error_visible(err.text);
	if (refused)
		fprintf(stderr, "%snot carried over: minivmm would refuse this: %s\n", where,
			err.text);
	return im->lost || refused;
}

static int convert(const struct words *w, const char *pin, const char *where)
{
	struct import im;
	int ret = import_qemu(&im, w, pin), status = COMMAND_USAGE;

	if (ret == 0)
		status = show(&im, where);
	else if (ret == -ENOMEM)
		no_memory();
	else
		log_error("import: this is not a QEMU command: %s",
			  w->n == 1 && strchr(w->word[0], ' ')
				  ? "it is one word: take the quotes around it away"
				  : "one begins with qemu-system-x86_64");
	import_free(&im);
	return status;
}

/* Frees the words. */
static int from_words(struct words *w)
{
	unsigned i;
	int status;

	for (i = 0; i < w->n; i++) /* from here on marks mean something */
		shell_strip(w->word[i]);
	status = w->failed ? no_memory() : convert(w, NULL, "");
	words_free(w);
	return status;
}

static int from_arguments(int argc, char **argv)
{
	struct words w = { 0 };
	int i;

	for (i = 0; i < argc; i++)
		words_take(&w, strdup(argv[i]));
	return from_words(&w);
}

/* The words of a running QEMU, as in /proc/PID/cmdline: a zero byte ends each. The first one has
 * been read. */
static int from_cmdline(const char *name, const char *first, FILE *f)
{
	scoped_free char *word = NULL;
	struct words w = { 0 };
	size_t size = 0;

	words_take(&w, strdup(first));
	while (w.n <= CMDLINE_WORDS && getdelim(&word, &size, '\0', f) >= 0)
		words_take(&w, strdup(word));
	if (w.n <= CMDLINE_WORDS)
		return from_words(&w);
	words_free(&w);
	log_error("import %s: a command of more than %u words", name, CMDLINE_WORDS);
	return COMMAND_USAGE;
}

static int from_script(const char *name, const char *text)
{
	struct import_script s;
	int n = import_script(&s, text), status = n < 0 ? no_memory() : 0, one;
	char where[32] = "";
	unsigned i;

	if (n == 0) {
		log_error(
			"import %s: the file contains no QEMU command: %s", name,
			strstr(text, "<domain")
				? "it is libvirt's, which makes one of it: virsh domxml-to-native "
				  "qemu-argv --xml FILE"
				: "one begins with qemu-system-x86_64");
		status = COMMAND_USAGE;
	}
	for (i = 0; n > 0 && i < s.n; i++) {
		if (n > 1)
			snprintf(where, sizeof(where), "line %u: ", s.command[i].line);
		one = convert(&s.command[i].words, s.command[i].pin, where);
		status = one > status ? one : status;
	}
	import_script_free(&s);
	return status;
}

static int from_stream(const char *name, FILE *f)
{
	scoped_free char *text = NULL;
	size_t size = 0;
	ssize_t n = getdelim(&text, &size, '\0', f);

	if (n > 0 && strlen(text) < (size_t)n)
		return from_cmdline(name, text, f);
	if (n > 0)
		return from_script(name, strncmp(text, UTF8_MARK, 3) == 0 ? text + 3 : text);
	if (!feof(f))
		log_error("import %s: %s", name, strerror(errno));
	else if (infile_no_writer(f))
		log_error("import %s: %s", name, infile_no_writer(f));
	else
		return from_script(name, "");
	return 1;
}

static int from_file(const char *name)
{
	FILE *f = infile_stream(name);
	int status;

	if (!f) {
		log_error("import %s: %s", name, strerror(errno));
		return 1;
	}
	status = from_stream(name, f);
	fclose(f);
	return status;
}

int command_import(int argc, char **argv)
{
	if (argc > 2 && strcmp(argv[1], "--") == 0)
		return from_arguments(argc - 2, argv + 2);
	if (argc != 2 || (argv[1][0] == '-' && argv[1][1]))
		return usage();
	return strcmp(argv[1], "-") == 0 ? from_stream("-", stdin) : from_file(argv[1]);
}
