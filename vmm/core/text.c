/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/core/text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/addr.h"

bool text_is_plain(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("_-./:=,+@%", c));
}

char *text_quote(const char *word)
{
	const char *w = word;
	char *s = NULL;
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
	for (w = word; *w; w++)
		fputs(*w == '\'' ? "'\\''" : (char[]){ *w, '\0' }, f);
	fputc('\'', f);
	if (fclose(f) == 0)
		return s;
	free(s);
	return NULL;
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
