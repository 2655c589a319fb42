/* SPDX-License-Identifier: BSD-2-Clause */
/* Small files, a kernel, and a command line for tests. Include it behind cmocka.h; what cannot be
 * made fails the test. */
#ifndef FILES_FIXTURE_H
#define FILES_FIXTURE_H

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char fixture_folder[] __attribute__((unused)) = "/tmp/minivmm-files.XXXXXX";

/* As cmocka calls its setups and teardowns: makes an empty folder and changes into it; leaves it
 * and removes it. */
static inline int enter_folder(void **state)
{
	(void)state;
	return !mkdtemp(fixture_folder) || chdir(fixture_folder) < 0;
}

static inline int leave_folder(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", fixture_folder);
	return chdir("/") < 0 || system(command) != 0;
}

static inline void file_put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

/* Checks that the file has this text and no other. */
static inline void file_holds(const char *path, const char *want)
{
	char text[32] = "";
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	(void)!fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	assert_string_equal(text, want);
}

/* The number of descriptors that the process has open, and that of looking. */
static inline unsigned open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Writes v, little-endian, in `size` bytes. */
static inline void file_poke(int fd, uint64_t off, uint64_t v, unsigned size)
{
	assert_int_equal(pwrite(fd, &v, size, (off_t)off), size);
}

/* Makes fd a minimal modern bzImage: two setup sectors, 4 KiB of zeroes as
 * payload. */
static inline void fake_bzimage(int fd)
{
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(ftruncate(fd, 3 * 512 + 4096), 0);
	file_poke(fd, 0x1f1, 2, 1);
	file_poke(fd, 0x1fe, 0xaa55, 2);
	file_poke(fd, 0x200, 0x6aeb, 2);
	file_poke(fd, 0x202, 0x53726448, 4);
	file_poke(fd, 0x206, 0x20f, 2);
	file_poke(fd, 0x211, 1, 1);
	file_poke(fd, 0x22c, 0x7fffffff, 4);
	file_poke(fd, 0x230, 0x200000, 4);
	file_poke(fd, 0x234, 1, 1);
	file_poke(fd, 0x236, 1, 2);
	file_poke(fd, 0x238, 255, 4);
	file_poke(fd, 0x258, 0x1000000, 8);
	file_poke(fd, 0x260, 0x100000, 4);
}

/* Cuts a line, in place, into words at its blanks, behind argv[0]. Returns how many there are. */
static inline int fake_words(char *line, char *argv[], int max)
{
	char *w, *save;
	int n = 1;

	for (w = strtok_r(line, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		assert_true(n < max);
		argv[n++] = w;
	}
	return n;
}

#endif
