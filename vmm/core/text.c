/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/core/text.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/addr.h"

bool text_is_plain(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("_-./:=,+@%", c));
}

static unsigned continued(const char *s)
{
	unsigned n = 1;

	while (((unsigned char)s[n] & 0xc0) == 0x80 && n < 4)
		n++;
	return n;
}

unsigned text_char(const char *s, bool *control)
{
	unsigned char c = (unsigned char)*s;
	unsigned n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 1;

	n = c < 0xf5 && continued(s) >= n ? n : 1;
	*control = c < ' ' || c == 0x7f || (n == 1 && c >= 0x80 && c < 0xa0) ||
		   (n == 2 && c == 0xc2 && (unsigned char)s[1] < 0xa0);
	return n;
}

static void quote_char(FILE *f, const char *w, unsigned n, bool control)
{
	unsigned i;

	if (*w == '\'')
		fputs("'\\''", f);
	else if (!control || *w == '\n' || *w == '\t')
		fwrite(w, 1, n, f);
	for (i = 0; control && *w != '\n' && *w != '\t' && i < n; i++)
		fprintf(f, "'\"$(printf '\\%03o')\"'", (unsigned char)w[i]);
}

char *text_quote(const char *word)
{
	const char *w = word;
	bool control;
	char *s = NULL;
	unsigned one;
	size_t n;
	FILE *f;

	while (text_is_plain(*w))
		w++;
	if (!*w && w != word)
		return strdup(word);
	f = open_memstream(&s, &n);
	if (!f)
		return NULL;
	fputc('\'', f);
	for (w = word; *w; w += one) {
		one = text_char(w, &control);
		quote_char(f, w, one, control);
	}
	fputc('\'', f);
	if (fclose(f) == 0)
		return s;
	free(s);
	return NULL;
}

static int text_index(const char **s, unsigned max, unsigned *out)
{
	uint64_t v = 0;

	if (!isdigit((unsigned char)**s))
		return -EINVAL;
	for (; isdigit((unsigned char)**s); (*s)++)
		v = v < max ? v * 10 + (uint64_t)(**s - '0') : v;
	*out = (unsigned)v;
	return v < max ? 0 : -ERANGE;
}

int text_range(const char **list, unsigned max, unsigned *first, unsigned *last)
{
	int ret;

	if (!**list)
		return 0;
	ret = text_index(list, max, first);
	if (ret < 0)
		return ret;
	*last = *first;
	if (**list == '-') {
		(*list)++;
		ret = text_index(list, max, last);
		if (ret < 0)
			return ret;
	}
	if (**list == ',' && (*list)[1])
		(*list)++;
	else if (**list)
		return -EINVAL;
	return *last < *first ? -EINVAL : 1;
}

bool text_lists(const char *words, const char *name)
{
	size_t n = strlen(name);
	const char *at;

	for (at = words; n && at && (at = strstr(at, name)); at++)
		if ((at == words || at[-1] == ' ') && at[n] == ' ')
			return true;
	return false;
}

unsigned text_distance(const char *a, const char *b)
{
	size_t na = strlen(a), nb = strlen(b), i, j;
	unsigned row[TEXT_WORD_MAX + 1]; /* to the first j characters of b, from the first i of a */

	if (na > TEXT_WORD_MAX || nb > TEXT_WORD_MAX)
		return UINT_MAX;
	for (j = 0; j <= nb; j++)
		row[j] = (unsigned)j;
	for (i = 1; i <= na; i++) {
		unsigned before = row[0]++;

		for (j = 1; j <= nb; j++) {
			unsigned best = before + (a[i - 1] != b[j - 1]);

			before = row[j];
			best = best < before + 1 ? best : before + 1;
			row[j] = best < row[j - 1] + 1 ? best : row[j - 1] + 1;
		}
	}
	return row[nb];
}

unsigned text_typo(const char *word, const char *name)
{
	size_t n = strlen(word), len = strlen(name), common = n < len ? n : len;
	unsigned d = text_distance(word, name);

	if (common >= 3 && strncmp(word, name, common) == 0)
		return 1;
	return d <= 1 + n / 4 && d < n ? d : UINT_MAX;
}

void text_consider(struct text_nearest *n, const char *name)
{
	unsigned d = text_typo(n->word, name);

	if (d >= n->distance)
		return;
	n->distance = d;
	n->name = name;
}

void text_size(uint64_t bytes, char text[16])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	unsigned u = 0;
	uint64_t part = 0;

	for (; bytes >= 1024 && u + 1 < ARRAY_SIZE(units); u++) {
		part = bytes % 1024;
		bytes /= 1024;
	}
	if (part)
		snprintf(text, 16, "%u.%u %s", (unsigned)bytes, (unsigned)(part * 10 / 1024),
			 units[u]);
	else
		snprintf(text, 16, "%u %s", (unsigned)bytes, units[u]);
}
