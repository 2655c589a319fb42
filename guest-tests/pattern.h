/*
 * The known content of a test disk, shared by the program that makes it on the host and the one
 * that checks it in the guest.
 *
 * Sector N of a disk named NAME begins with the text "minivmm NAME sector N\n"; the rest is bytes
 * derived from N. A sector delivered from the wrong place, the wrong disk or only in part is
 * therefore recognised, and a person reading a dump sees which sector it was.
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
/* The scratch half must start past 4 MiB, where blkcheck wants a known sector. */
#define PATTERN_MIN_MIB 16

/* Names travel on the kernel's command line, so only letters that need no quoting there. */
static inline bool pattern_name_ok(const char *name)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
	size_t len = strlen(name);

	return len >= 1 && len <= PATTERN_NAME_MAX && strspn(name, allowed) == len;
}

/* Fills one sector; multiplying by an odd constant makes every byte of it depend on N. */
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
