/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of findings. Makes sentences from the rows of the table. */
#include "vfio/host/preflight/preflight.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/error.h"

void preflight_init(struct preflight *p, const char *root)
{
	*p = (struct preflight){ .root = root };
	p->failed = groups_read(root, &p->pci) == -ENOMEM;
}

void preflight_free(struct preflight *p)
{
	groups_free(&p->pci);
	free(p->line);
	*p = (struct preflight){ 0 };
}

/* The text that replaces the "{...}" at the start of the pattern. NULL: there is no such
 * "{...}". */
static const char *value_of(const struct preflight *p, const char *pattern,
			    const char *const text[])
{
	if (strncmp(pattern, "{dev}", 5) == 0)
		return p->bdf;
	if (pattern[1] < '1' || pattern[1] > '0' + PREFLIGHT_TEXTS || pattern[2] != '}')
		return NULL;
	return text[pattern[1] - '1'] ? text[pattern[1] - '1'] : "";
}

/* Fills the texts into the pattern. A text that is too long is cut off. */
static void fill_in(const struct preflight *p, const char *pattern, const char *const text[],
		    char *buf, size_t size)
{
	size_t n = 0, len;
	const char *v;

	while (pattern && *pattern && n < size - 1) {
		v = *pattern == '{' ? value_of(p, pattern, text) : NULL;
		if (!v) {
			buf[n++] = *pattern++;
			continue;
		}
		len = strnlen(v, size - 1 - n);
		memcpy(buf + n, v, len);
		n += len;
		pattern = strchr(pattern, '}') + 1;
	}
	buf[n] = '\0';
	error_visible(buf);
}

/* True if the same finding was added before. A stacked disk or interface is found once for each
 * path that leads to it, and there is a default route for each protocol. */
static bool is_said(const struct preflight *p, const struct preflight_line *l)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if (p->line[i].what == l->what && strcmp(p->line[i].bdf, l->bdf) == 0 &&
		    strcmp(p->line[i].text, l->text) == 0)
			return true;
	return false;
}

void preflight_add(struct preflight *p, enum preflight_finding what,
		   const char *const text[PREFLIGHT_TEXTS])
{
	struct preflight_line *grown = realloc(p->line, (p->n + 1) * sizeof(*grown)), *l;

	if (!grown) {
		p->failed = true;
		return;
	}
	p->line = grown;
	l = &grown[p->n];
	l->what = what;
	memcpy(l->bdf, p->bdf, sizeof(l->bdf));
	fill_in(p, preflight_table[what].text, text, l->text, sizeof(l->text));
	fill_in(p, preflight_table[what].remedy, text, l->remedy, sizeof(l->remedy));
	p->n += !is_said(p, l);
}

size_t preflight_count(const struct preflight *p, enum preflight_level level)
{
	size_t i, n = 0;

	for (i = 0; i < p->n; i++)
		n += preflight_table[p->line[i].what].level == level;
	return n;
}
