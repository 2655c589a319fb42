/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of import have below them: how items are searched, what the rules say of them, and
 * how a line of the result and a note about an item are written.
 */
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/import/import_parts.h"

bool import_match(const char *alternatives, const char *s)
{
	char one[256];
	size_t len, plain;

	for (;; alternatives += len + 1) {
		len = strcspn(alternatives, "|");
		plain = strcspn(alternatives, "*?[\\|"); /* most of it: fnmatch() is slow */
		if (strncmp(alternatives, s, plain) == 0) {
			snprintf(one, sizeof(one), "%.*s", (int)(len - plain),
				 alternatives + plain);
			if (fnmatch(one, s + plain, 0) == 0)
				return true;
		}
		if (!alternatives[len])
			return false;
	}
}

const char *import_fmt(struct importer *im, const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	va_end(ap);
	return words_take(&im->own, s);
}

const char *import_comma(struct importer *im, const char *s)
{
	const char *comma, *out = "";

	while ((comma = shell_find(s, ','))) {
		out = import_fmt(im, "%s%.*s,,", out, (int)(comma - s), s);
		s = comma + 1;
	}
	return import_fmt(im, "%s%s", out, s);
}

const char *import_quoted(struct importer *im, const char *s)
{
	return words_take(&im->own, shell_quote(s));
}

const char *import_get(const struct import_item *it, const char *key)
{
	unsigned i = it ? it->n : 0;

	while (i--)
		if (strcmp(it->pair[i].key, key) == 0)
			return it->pair[i].val;
	return NULL;
}

bool import_on(const struct import_item *it, const char *key)
{
	const char *val = import_get(it, key);

	return val && !import_match("off|no|false|0|n", val);
}

const struct import_item *import_next(const struct importer *im, const struct import_item *after,
				      const char *names, const char *key, const char *val)
{
	const struct import_item *it = after ? after + 1 : im->item;
	const char *have;

	for (; it < im->item + im->n; it++) {
		if (!import_match(names, it->name))
			continue;
		have = key ? import_get(it, key) : NULL;
		if (!key || (have && val && strcmp(have, val) == 0))
			return it;
	}
	return NULL;
}

const struct import_item *import_last(const struct importer *im, const char *names)
{
	const struct import_item *it = NULL, *last = NULL;

	while ((it = import_next(im, it, names, NULL, NULL)))
		last = it;
	return last;
}

bool import_is_unknown(const struct import_item *it)
{
	const char *end;

	if (it->name[0] || strcmp(it->arg, "...") == 0)
		return !it->name[0];
	end = strchr(it->arg, SHELL_END);
	return shell_is_live(it->arg) && it->arg[0] < SHELL_END && end && !end[1];
}

bool import_elided(const struct importer *im)
{
	const struct import_item *it = NULL;

	while ((it = import_next(im, it, "", NULL, NULL)))
		if (strcmp(it->arg, "...") == 0)
			return true;
	return false;
}

void import_line(struct importer *im, const char *option, const char *val)
{
	const char *line = val ? import_fmt(im, "%s %s", option, import_quoted(im, val)) : option;

	words_take(&im->to->line, strdup(line));
}

static const char *subject(struct importer *im, const struct import_item *it, const char *key)
{
	const char *dash = it->name[0] ? "-" : "", *blank = it->name[0] ? " " : "";
	const char *first = it->first ? import_get(it, it->first) : NULL;
	const char *head = first && import_match("device|netdev|object|chardev", it->name)
				   ? import_fmt(im, " %s,", first)
				   : " ";
	const char *val = key ? import_get(it, key) : NULL;

	if (key && val && strcmp(val, "on") != 0)
		return import_fmt(im, "-%s%s%s=%s", it->name, head, key, val);
	if (key)
		return import_fmt(im, "-%s%s%s", it->name, head, key);
	return it->arg ? import_fmt(im, "%s%s%s%s", dash, it->name, blank, it->arg)
		       : import_fmt(im, "-%s", it->name);
}

void import_note(struct importer *im, const struct import_item *at, const char *key,
		 enum import_fate fate, const char *fmt, ...)
{
	static const char *const fates[] = { "", "not needed", "changed", "not carried over" };
	struct import_note *grown = realloc(im->note, (im->n_notes + 1) * sizeof(*grown));
	const char *what = at ? import_fmt(im, "%s: ", subject(im, at, key)) : "";
	char *why = NULL;
	va_list ap;

	if (!grown) {
		im->own.failed = true;
		return;
	}
	im->note = grown;
	va_start(ap, fmt);
	if (vasprintf(&why, fmt, ap) < 0)
		why = NULL;
	va_end(ap);
	im->to->lost |= fate == IMPORT_LOST;
	grown[im->n_notes++] = (struct import_note){
		at, import_fmt(im, "%s: %s%s", fates[fate], what, words_take(&im->own, why))
	};
}

const struct import_rule *import_rule(const char *item, const char *key, const char *val)
{
	const struct import_rule *r;

	for (r = import_rules; r->item; r++)
		if (!r->key == !key && import_match(r->item, item) &&
		    (!key || import_match(r->key, key)) &&
		    (!r->value || import_match(r->value, val)))
			return r;
	return NULL;
}

enum import_fate import_judge(const char *id, const struct import_pair *p)
{
	const struct import_rule *r = import_rule(id, p->key, p->val);

	return r ? r->fate : IMPORT_LOST;
}
