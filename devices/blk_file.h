/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host side of a disk: a raw image or a block device, opened, locked, measured.
 *
 * Threads: opened and closed by the main thread; in between constant, except for the lock that
 * serialises read-modify-write of partial blocks, and shared by all queues.
 */
#ifndef DEVICES_BLK_FILE_H
#define DEVICES_BLK_FILE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct error;

enum blk_cache { BLK_CACHE_WRITEBACK, BLK_CACHE_NONE };

struct blk_file {
	int fd;
	bool readonly, direct, is_blkdev;
	uint64_t size;		/* bytes, as found; may end within a sector */
	uint32_t block_size;	/* logical, what O_DIRECT transfers must be a multiple of */
	uint32_t phys_size;	/* physical block size, at least block_size */
	uint32_t mem_align;	/* of memory, for O_DIRECT */
	uint32_t discard_align; /* granularity in bytes, 0: cannot discard */
	bool discard;
	pthread_mutex_t rmw_lock;
};

/* path: a regular file or a block device. raw: the user said format=raw, so that a qcow2 signature
 * is data. On failure *err names the path and the remedy. */
int blk_file_open(struct blk_file *, const char *path, bool readonly, enum blk_cache, bool raw,
		  struct error *);
void blk_file_close(struct blk_file *);

/* Synchronous; 0 or -errno. off and len in bytes. */
int blk_file_discard(struct blk_file *, uint64_t off, uint64_t len);
int blk_file_zero(struct blk_file *, uint64_t off, uint64_t len, bool unmap);

#endif
