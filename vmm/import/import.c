/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The words are cut into items (an option and its argument's pairs), minivmm's options are made of
 * the items, and then each item and each pair is looked up in the rules for what is to be said.
 */
#include "vmm/import/import.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"
#include "vmm/import/import_parts.h"

#define COLUMNS 80
#define HIDDEN                                                                                   \
	"what it stands for is not known here: in the script, write minivmm import -- in front " \
	"of QEMU's name, and run it"

/* Cuts the next comma-separated part off *rest, in place, with ",," made one. */
static char *next_part(char **rest)
{
	char *part = *rest, *comma = part;

	while ((comma = shell_find(comma, ',')) && comma[1] == ',') {
		memmove(comma, comma + 1, strlen(comma));
		comma++;
	}
	if (comma)
		*comma++ = '\0';
	*rest = comma;
	return part;
}

static void add_pair(struct importer *im, struct import_item *it, char *part)
{
	struct import_pair *grown = realloc(it->pair, (it->n + 1) * sizeof(*grown));
	char *eq = shell_find(part, '=');
	bool first = it->n == 0 && !eq;

	if (!grown) {
		im->own.failed = true;
		return;
	}
	it->pair = grown;
	if (eq)
		*eq = '\0';
	it->pair[it->n++] = (struct import_pair){
		.key = first ? it->first : part,
		.val = eq      ? eq + 1
		       : first ? part
			       : "on",
	};
}

static void add_item(struct importer *im, const char *name, const char *arg, const char *first,
		     bool known)
{
	struct import_item *it = &im->item[im->n++];
	char *rest = first && first[0] && arg ? (char *)import_fmt(im, "%s", arg) : NULL;

	*it = (struct import_item){
		.name = name, .arg = arg, .first = rest ? first : NULL, .known = known
	};
	while (rest)
		add_pair(im, it, next_part(&rest));
}

static const struct import_grammar *find_grammar(const char *name)
{
	const struct import_grammar *g;

	for (g = import_grammar; g->names; g++)
		if (import_match(g->names, name))
			return g;
	return NULL;
}

/* Takes word i; returns how many it took. */
static unsigned add_word(struct importer *im, unsigned i)
{
	const char *w = im->from->word[i];
	const char *next = i + 1 < im->from->n ? im->from->word[i + 1] : NULL;
	const struct import_grammar *g;

	if (w[0] != '-') {
		add_item(im, "", w, NULL, true);
		return 1;
	}
	if (!w[strspn(w, "-")]) /* dashes name nothing */
		return 1;
	w += 1 + (w[1] == '-');
	g = find_grammar(w);
	if (g && !g->first)
		next = NULL;
	else if (!g && next && (next[0] == '-' || next[0] == SHELL_BARE))
		next = NULL;
	add_item(im, w, next, g ? g->first : NULL, g != NULL);
	return next ? 2 : 1;
}

static bool is_redirection(const char *w)
{
	return w[0] == SHELL_BARE && w[1] && strchr("0123456789<>&", w[1]);
}

static void read_items(struct importer *im)
{
	unsigned i = im->qemu + 1;

	im->item = calloc(im->from->n, sizeof(*im->item));
	if (!im->item) {
		im->own.failed = true;
		return;
	}
	while (i < im->from->n)
		i += is_redirection(im->from->word[i]) ? 1 : add_word(im, i);
}

static void judge_pair(struct importer *im, const struct import_item *it, const char *id,
		       const struct import_pair *p)
{
	const struct import_rule *r = import_rule(id, p->key, p->val);

	if (import_get(it, p->key) != p->val)
		return; /* a later one counts */
	if (!r)
		import_note(im, it, p->key, IMPORT_LOST,
			    shell_is_live(p->key) ? HIDDEN : "minivmm has no such setting");
	else if (r->fate != IMPORT_SAME)
		import_note(im, it, p->key, r->fate, "%s", r->say);
}

/* True when a word that the shell fills in decides what this is. */
static bool is_hidden(const struct import_item *it, const char *head)
{
	if (!head || !shell_is_live(head))
		return false;
	return it->name[0] ? import_match("cpu|device|netdev|drive|blockdev|object|chardev|machine|"
					  "M|nic|net",
					  it->name)
			   : import_is_unknown(it);
}

static void judge(struct importer *im, const struct import_item *it)
{
	const char *head = it->first ? import_get(it, it->first) : it->arg;
	const char *id = head ? import_fmt(im, "%s %s", it->name, head) : it->name;
	const struct import_rule *r = import_rule(id, NULL, NULL);
	unsigned i;

	if (is_hidden(it, head)) {
		import_note(im, it, NULL, IMPORT_LOST, HIDDEN);
		return;
	}
	if (!r) {
		import_note(im, it, NULL, IMPORT_LOST,
			    it->known ? "minivmm has no such option or device"
				      : "this option is unknown to minivmm import");
		return;
	}
	if (r->fate != IMPORT_SAME)
		import_note(im, it, NULL, r->fate, "%s", r->say);
	if (r->fate == IMPORT_LOST || r->fate == IMPORT_NEEDLESS)
		return;
	for (i = 0; i < it->n; i++)
		if (i > 0 || strcmp(it->pair[i].key, it->first) != 0)
			judge_pair(im, it, id, &it->pair[i]);
}

/* One line without marks, whatever the words hold. */
static char *one_line(const char *text)
{
	char *s = strdup(text), *c;

	if (!s)
		return NULL;
	shell_strip(s);
	for (c = s; *c; c++)
		*c = (unsigned char)*c < ' ' || *c == 0x7f ? '?' : *c;
	return s;
}

/* In the order of what they are about, each once. */
static void write_notes(struct importer *im)
{
	const struct import_item *at;
	unsigned i, k, said;
	char *text;

	for (i = 0; i <= im->n; i++) {
		at = i < im->n ? &im->item[i] : NULL;
		for (k = 0; k < im->n_notes; k++) {
			if (im->note[k].at != at)
				continue;
			text = one_line(im->note[k].text);
			for (said = 0; text && said < im->to->note.n; said++)
				if (strcmp(im->to->note.word[said], text) == 0)
					break;
			if (text && said < im->to->note.n)
				free(text);
			else
				words_take(&im->to->note, text);
		}
	}
}

/* Of the shell's, and a prompt: they go. */
#define KEYWORDS "if|then|else|elif|do|while|until|!|{|\\$"

/* What may stand in front of QEMU. It stays there, in front of minivmm, unless an option of
 * minivmm's does it better. */
static const struct runner {
	const char *names;
	const char *with_arg; /* its options that take the next word */
	unsigned n;	      /* words of its own behind its options */
} runners[] = {
	{ "sudo|doas", "-u|-g|-h|-p|-C|-T|-r|-t|--user|--group", 0 },
	{ "env", "-u|-C", 0 },
	{ "nice|ionice", "-n|-c|--adjustment|--class|--classdata", 0 },
	{ "taskset", "", 1 },
	{ "chrt", "-T|-P|-D", 1 },
	{ "numactl",
	  "-[iNCmpPw]|--interleave|--cpunodebind|--physcpubind|--membind|--preferred|--preferred-"
	  "many",
	  0 },
	{ "timeout", "-k|-s", 1 },
	{ "cgexec", "-g", 0 },
	{ "prlimit|nohup|exec|time|setsid|stdbuf|gamemoderun", "", 0 },
};

static const char *base_name(const char *s)
{
	const char *slash = strrchr(s, '/');

	return slash ? slash + 1 : s;
}

static bool is_assignment(const char *w)
{
	size_t n = strspn(w, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");

	return n && w[n] == '=';
}

static const struct runner *find_runner(const char *w)
{
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(runners); i++)
		if (import_match(runners[i].names, base_name(w)))
			return &runners[i];
	return NULL;
}

/* How many words the runner at i takes with its options; 0: none is there. */
static unsigned runner_words(const struct words *w, unsigned i)
{
	const struct runner *r = find_runner(w->word[i]);
	unsigned start = i;

	if (!r)
		return is_assignment(w->word[i]) || import_match(KEYWORDS, w->word[i]);
	for (i++; i < w->n && w->word[i][0] == '-' && w->word[i][1]; i++)
		i += import_match(r->with_arg, w->word[i]);
	i += r->n;
	return i < w->n ? i - start : 0;
}

unsigned import_find_qemu(const struct words *from)
{
	unsigned i = 0, n;

	for (; i < from->n; i += n) {
		if (import_match("qemu-system-x86_64|qemu-kvm|kvm", base_name(from->word[i])))
			return i;
		n = runner_words(from, i);
		if (!n)
			break;
	}
	return from->n;
}

const char *import_taskset(const struct words *w)
{
	unsigned i = 0, n;

	for (; i + 2 < w->n; i += n) {
		if (strcmp(base_name(w->word[i]), "taskset") == 0)
			return import_match("-cp|-pc|-acp|-apc", w->word[i + 1]) ? w->word[i + 2]
										 : NULL;
		n = runner_words(w, i);
		if (!n)
			break;
	}
	return NULL;
}

/* Options of minivmm's that stand for what is in front of QEMU: true when words i to i + n are
 * covered by them. */
static bool take_runner(struct importer *im, unsigned i, unsigned n)
{
	char **w = im->from->word + i;
	const char *name = base_name(w[0]);

	if (strcmp(name, "taskset") == 0 && n == 3 && import_match("-c|--cpu-list", w[1]) &&
	    import_pin_fits(im, w[2])) {
		im->pin = w[2];
		return true;
	}
	if (strcmp(name, "chrt") == 0 && n == 3 && import_match("-f|--fifo", w[1])) {
		im->rt = w[2];
		return true;
	}
	if (strcmp(name, "numactl") == 0 && n == 3 && import_match("-m", w[1]))
		im->nodes = w[2];
	if (strcmp(name, "numactl") == 0 && n == 2 && import_match("--membind=*", w[1]))
		im->nodes = strchr(w[1], '=') + 1;
	return im->nodes && strcmp(name, "numactl") == 0;
}

/* The first line: what stays in front, and minivmm. */
static void write_start(struct importer *im)
{
	const char *start = "";
	unsigned i, n, k;

	for (i = 0; i < im->qemu; i += n) {
		n = runner_words(im->from, i);
		if (import_match(KEYWORDS, im->from->word[i]) || take_runner(im, i, n))
			continue;
		for (k = i; k < i + n; k++)
			start = import_fmt(im, "%s%s ", start,
					   import_quoted(im, im->from->word[k]));
	}
	words_take(&im->to->line, strdup(import_fmt(im, "%sminivmm", start)));
}

/* <<WORD, not <<<WORD. */
static bool is_heredoc(const char *w)
{
	if (!is_redirection(w))
		return false;
	w += 1 + strspn(w + 1, "0123456789");
	return strncmp(w, "<<", 2) == 0 && w[2] != '<';
}

/* Without its lines the shell would take those that come next. */
static void lose_heredoc(struct importer *im, const char *w)
{
	const char *text =
		import_fmt(im, "not carried over: %s: the lines that it hands to QEMU's stdin",
			   import_quoted(im, w));

	words_take(&im->to->note, strdup(text));
	im->to->lost = true;
}

static void write_redirections(struct importer *im)
{
	const char *all = "";
	unsigned i;

	for (i = im->qemu + 1; i < im->from->n; i++)
		if (is_heredoc(im->from->word[i]))
			lose_heredoc(im, im->from->word[i]);
		else if (is_redirection(im->from->word[i]))
			all = import_fmt(im, "%s %s", all, import_quoted(im, im->from->word[i]));
	if (*all)
		words_take(&im->to->line, strdup(all + 1));
}

static void importer_free(struct importer *im)
{
	unsigned i;

	for (i = 0; i < im->n; i++)
		free(im->item[i].pair);
	free(im->item);
	free(im->note);
	words_free(&im->own);
}

int import_qemu(struct import *to, const struct words *words, const char *pin)
{
	struct importer im = { .to = to, .from = words, .pin = pin };
	unsigned i;
	bool failed;

	*to = (struct import){ 0 };
	im.qemu = import_find_qemu(words);
	if (im.qemu == words->n)
		return -ENOENT;
	read_items(&im);
	write_start(&im);
	import_machine(&im);
	import_devices(&im);
	import_process(&im);
	write_redirections(&im);
	for (i = 0; i < im.n; i++)
		judge(&im, &im.item[i]);
	write_notes(&im);
	failed = im.own.failed || to->line.failed || to->note.failed;
	importer_free(&im);
	return failed ? -ENOMEM : 0;
}

char *import_text(const struct import *im)
{
	const char *between = " ";
	size_t columns = 0, n;
	char *s = NULL;
	unsigned i;
	FILE *f = open_memstream(&s, &n);

	if (!f)
		return NULL;
	for (i = 0; i < im->line.n; i++)
		columns += strlen(im->line.word[i]) + (i > 0);
	if (columns > COLUMNS)
		between = " \\\n  ";
	for (i = 0; i < im->line.n; i++)
		fprintf(f, "%s%s", i ? between : "", im->line.word[i]);
	fputc('\n', f);
	if (fclose(f) == 0)
		return s;
	free(s);
	return NULL;
}

void import_free(struct import *im)
{
	words_free(&im->line);
	words_free(&im->note);
}
