/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads small files of the host below a root: "" on a real host, a recorded tree in tests. A path
 * is a printf format with arguments, and begins with a slash. Nothing here writes.
 *
 * Threads: any; no state.
 */
#ifndef VMM_CORE_HOSTFS_H
#define VMM_CORE_HOSTFS_H

#include <stdbool.h>
#include <stddef.h>

#define HOSTFS_PATH(at) __attribute__((format(printf, at, at + 1)))

/* Reads the first line of the file without its newline; it is truncated to size. -errno, and "" in
 * buf: the file cannot be read. */
int hostfs_line(const char *root, char *buf, size_t size, const char *fmt, ...) HOSTFS_PATH(4);
/* Reads up to size bytes and returns how many were read. -errno: the file cannot be read. */
long hostfs_bytes(const char *root, void *buf, size_t size, const char *fmt, ...) HOSTFS_PATH(4);
/* Reads a number in C syntax. Returns `fallback` if the file has no number or cannot be read. */
long long hostfs_number(const char *root, long long fallback, const char *fmt, ...) HOSTFS_PATH(3);
/* hostfs_target() reads what a symbolic link points to, hostfs_link() only its last component. "":
 * there is no such link. */
void hostfs_target(const char *root, char *buf, size_t size, const char *fmt, ...) HOSTFS_PATH(4);
void hostfs_link(const char *root, char *buf, size_t size, const char *fmt, ...) HOSTFS_PATH(4);
bool hostfs_exists(const char *root, const char *fmt, ...) HOSTFS_PATH(2);
/* 0 if this process may read and write the file, else -errno. */
int hostfs_access(const char *root, const char *fmt, ...) HOSTFS_PATH(2);

/* Both functions below call fn until it returns non-zero, and return that value, else 0. A file or
 * folder that cannot be read counts as empty. */
typedef int hostfs_fn(void *arg, const char *text);
/* The names in a folder, sorted, without those that begin with a dot. */
int hostfs_each(const char *root, hostfs_fn *, void *arg, const char *fmt, ...) HOSTFS_PATH(4);
/* The lines of a file, each without its newline. A line longer than 4095 bytes comes in pieces. */
int hostfs_each_line(const char *root, hostfs_fn *, void *arg, const char *fmt, ...) HOSTFS_PATH(4);

#endif
