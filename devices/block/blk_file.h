/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's side of a disk, a raw image or a block device: opens, locks and measures it. Threads:
 * the main thread opens and closes it. In between all queues share it, and it does not change,
 * except for the fields that part_lock protects. */
#ifndef DEVICES_BLOCK_BLK_FILE_H
#define DEVICES_BLOCK_BLK_FILE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blk_req;
struct error;

enum blk_cache { BLK_CACHE_NONE, BLK_CACHE_WRITEBACK };
/* Every image is raw; one that was not said to be must not look like qcow2. */
enum blk_format { BLK_FORMAT_AUTO, BLK_FORMAT_RAW };

struct blk_file {
	int fd;
	bool readonly, direct, is_blkdev;
	uint64_t size;		/* bytes; may end within a sector */
	uint32_t block_size;	/* logical block size that the guest sees */
	uint32_t phys_size;	/* physical block size, at least block_size */
	uint32_t align_off;	/* bytes before the first physical block that begins in here */
	uint32_t opt_size;	/* bytes, the best size of a request; 0: not known */
	uint32_t io_align;	/* alignment of offset and length for O_DIRECT; otherwise 1 */
	uint32_t mem_align;	/* alignment of memory for O_DIRECT */
	uint32_t unit;		/* alignment for the ioctls of a block device */
	uint32_t discard_align; /* granularity in bytes; 0: discard is not possible */
	bool discard;
	int node; /* the NUMA node of the storage; -1: any (blk_node.h) */
	/* The rest is blk_req.c's. Up to `whole` blocks are whole; what is behind is written to
	 * through tail_fd, which has no O_DIRECT (-1: there is none, fd will do). */
	uint64_t whole;
	int tail_fd;
	bool tracks; /* the guest may write less than io_align */
	pthread_mutex_t part_lock;
	struct blk_req *tracked; /* in flight */
};

/* path: a regular file or a block device. On failure *err names the path and the remedy. */
int blk_file_open(struct blk_file *, const char *path, bool readonly, enum blk_cache,
		  enum blk_format, struct error *);
void blk_file_close(struct blk_file *);
/* Sets the logical block size that the image was made with, 512 or 4096. The default is 512, or
 * that of a block device. -EINVAL with *err set: the image is not a multiple of it. */
int blk_file_set_block_size(struct blk_file *, const char *path, uint32_t size, struct error *);
/* Sets the alignments for O_DIRECT on this storage. For blk_file_open() and for tests. 0 or a
 * negative errno. */
int blk_file_set_align(struct blk_file *, const char *path, uint32_t io_align, uint32_t mem_align);
/* True if two paths lead to the same file or block device. */
bool blk_file_same(const char *a, const char *b);
/* True if this process has that file or block device open; `as` gets the path of it. Threads: any,
 * as it asks the kernel, not the disks. */
bool blk_file_is_open(const char *path, char *as, size_t size);

/* These are synchronous, and return 0 or a negative errno. off and len are in bytes. A discard is a
 * hint and may do less. Zeroing fails if the storage cannot do it itself. */
int blk_file_discard(struct blk_file *, uint64_t off, uint64_t len);
int blk_file_zero(struct blk_file *, uint64_t off, uint64_t len, bool unmap);

#endif
