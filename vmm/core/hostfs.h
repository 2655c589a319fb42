/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads small files of the host below a root: "" on a real host, a recorded tree in tests. Paths
 * are given as a printf format with arguments, and begin with a slash. Nothing here writes.
 *
 * Threads: any; no state.
 */
#ifndef VMM_CORE_HOSTFS_H
#define VMM_CORE_HOSTFS_H

#include <stdbool.h>
#include <stddef.h>

#define HOSTFS_PATH(at) __attribute__((format(printf, at, at + 1)))

/* The first line of the file without its newline, truncated to size. -errno, and "" in buf, when
 * the file cannot be read. */
int hostfs_line(const char *root, char *buf, size_t size, const char *fmt, ...) HOSTFS_PATH(4);
/* As many of the file's bytes as there are and fit; -errno when it cannot be read. */
long hostfs_bytes(const char *root, void *buf, size_t size, const char *fmt, ...) HOSTFS_PATH(4);
/* A number in the syntax of C; fallback when there is none. */
long long hostfs_number(const char *root, long long fallback, const char *fmt, ...) HOSTFS_PATH(3);
/* hostfs_target() gives what the link points to, hostfs_link() only its last component; "" when
 * there is no link. */
void hostfs_target(const char *root, char *buf, size_t size, const char *fmt, ...) HOSTFS_PATH(4);
void hostfs_link(const char *root, char *buf, size_t size, const char *fmt, ...) HOSTFS_PATH(4);
bool hostfs_exists(const char *root, const char *fmt, ...) HOSTFS_PATH(2);
/* Whether this process may read and write it: 0 or -errno. */
int hostfs_access(const char *root, const char *fmt, ...) HOSTFS_PATH(2);

/* Both functions below call fn until it returns non-zero, and return that value, else 0. A file or
 * folder that cannot be read counts as empty. */
typedef int hostfs_fn(void *arg, const char *text);
/* The names in a folder in the order of the alphabet, without those that begin with a dot. */
int hostfs_each(const char *root, hostfs_fn *, void *arg, const char *fmt, ...) HOSTFS_PATH(4);
/* The lines of a file, each without its newline; one over 4095 bytes comes in pieces. */
int hostfs_each_line(const char *root, hostfs_fn *, void *arg, const char *fmt, ...) HOSTFS_PATH(4);

#endif
