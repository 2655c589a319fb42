/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest RAM that is registered with a disk's ring ("fixed buffers" of io_uring), so that O_DIRECT
 * does not look up and pin the pages of each request. It is for RAM that is pinned already, in huge
 * pages: then a registration costs little, and keeps no memory from the host that it could use.
 *
 * RAM is registered in chunks, and each one only when requests have used it for a while. So a start
 * costs nothing, and a disk waits for one chunk at a time. 256 MiB take 0.2 to 0.4 ms in pages of
 * 2 MiB (in pages of 4 KiB it would be 18 to 34 ms).
 *
 * Threads: only the one that owns the ring. */
#ifndef DEVICES_BLOCK_FIXED_RAM_H
#define DEVICES_BLOCK_FIXED_RAM_H

#include <stddef.h>

struct fixed_ram;
struct guest_mem;
struct io_uring;

#define FIXED_RAM_CHUNK (256u << 20) /* bytes; the kernel's limit is 1 GiB */
#define FIXED_RAM_USES	256u	     /* requests in a chunk before it is registered */

/* The ring must not have buffers. chunk: bytes, a multiple of the page size. NULL: this kernel
 * cannot do it (before Linux 5.19), or out of memory. */
struct fixed_ram *fixed_ram_new(struct io_uring *, const struct guest_mem *, size_t chunk);
/* The ring keeps what is registered until it ends. NULL is permitted. */
void fixed_ram_free(struct fixed_ram *);
/* The index of the registered buffer that holds [p, p + len), or -1: use the addresses. Now and
 * then it registers the chunk, with one system call. */
int fixed_ram_find(struct fixed_ram *, const void *p, size_t len);

#endif
