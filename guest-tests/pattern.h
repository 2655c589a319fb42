/*
 * The contents of a test disk. The program that makes it on the host and the program that checks it
 * in the guest both use this file.
 *
 * Sector N of the disk NAME begins with the text "minivmm NAME sector N\n"; the other bytes are
 * computed from N. So a sector from the wrong place or the wrong disk, or a part of a sector, is
 * recognised, and a dump shows which sector it is.
 */
#ifndef GUEST_TESTS_PATTERN_H
#define GUEST_TESTS_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define PATTERN_SECTOR	 512
#define PATTERN_NAME_MAX 32
/* The second half, which may be written, must start above 4 MiB, because blkcheck reads known
 * sectors there. */
#define PATTERN_MIN_MIB 16

/* Names are given on the kernel's command line, so they may have only characters that need no
 * quotes. */
static inline bool pattern_name_ok(const char *name)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
	size_t len = strlen(name);

	return len >= 1 && len <= PATTERN_NAME_MAX && strspn(name, allowed) == len;
}

/* Fills one sector. The multiplication by an odd constant makes all bytes depend on N. */
static inline void pattern_fill(uint8_t *sector, const char *name, uint64_t n)
{
	uint64_t mix = (n + 1) * 0x9e3779b97f4a7c15u;
	char text[PATTERN_NAME_MAX + 64];
	int len;

	for (unsigned int i = 0; i < PATTERN_SECTOR; i++)
		sector[i] = (uint8_t)((mix >> (8 * (i % 8))) + i);
	len = snprintf(text, sizeof(text), "minivmm %s sector %llu\n", name, (unsigned long long)n);
	memcpy(sector, text, (size_t)len);
}

#endif
