/* SPDX-License-Identifier: BSD-2-Clause */
/* A host's /sys, /proc and /dev for unit tests, in a temporary folder: files and links, put there
 * one by one. Include after cmocka.h. */
#ifndef TESTS_TREE_H
#define TESTS_TREE_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];

static inline void make_root(void)
{
	snprintf(root, sizeof(root), "/tmp/minivmm-unit.XXXXXX");
	assert_non_null(mkdtemp(root));
}

/* A group or test teardown. */
static inline int remove_root(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

/* The path below the root, its folders made. */
static inline const char *place(char path[400], const char *fmt, va_list ap)
{
	int n = snprintf(path, 400, "%s/", root);
	char *slash;

	vsnprintf(path + n, (size_t)(400 - n), fmt, ap);
	for (slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
	return path;
}

/* The file fmt below the root holds the text; a name that ends in a slash is a folder. */
static inline void put(const char *text, const char *fmt, ...)
{
	char path[400];
	va_list ap;
	FILE *f;

	va_start(ap, fmt);
	place(path, fmt, ap);
	va_end(ap);
	if (path[strlen(path) - 1] == '/')
		return;
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static inline void put_link(const char *target, const char *fmt, ...)
{
	char path[400];
	va_list ap;

	va_start(ap, fmt);
	place(path, fmt, ap);
	va_end(ap);
	unlink(path);
	assert_int_equal(symlink(target, path), 0);
}

#endif
