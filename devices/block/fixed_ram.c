/* SPDX-License-Identifier: BSD-2-Clause */
#include "devices/block/fixed_ram.h"

#include <liburing.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/log.h"
#include "vmm/core/mem.h"

#define SPANS_MAX  16	 /* guest RAM has two ranges */
#define CHUNKS_MAX 16384 /* IORING_MAX_REG_BUFFERS of the kernel; 4 TiB */

struct ram_span {
	char *base;
	size_t size;
	unsigned first; /* the index of its first chunk */
};

struct fixed_ram {
	struct io_uring *ring;
	size_t chunk;
	bool refused; /* the kernel has refused a chunk: no more are tried */
	unsigned n_spans, n_chunks;
	struct ram_span spans[SPANS_MAX];
	struct {
		unsigned uses;
		bool registered;
	} * chunks;
};

static int span_add(void *arg, const struct mem_range *r)
{
	struct fixed_ram *f = arg;

	if (r->kind != MEM_RAM || !r->dma)
		return 0;
	if (f->n_spans == SPANS_MAX)
		return -1;
	f->spans[f->n_spans++] = (struct ram_span){ r->host, r->size, f->n_chunks };
	f->n_chunks += (unsigned)((r->size + f->chunk - 1) / f->chunk);
	return f->n_chunks <= CHUNKS_MAX ? 0 : -1;
}

struct fixed_ram *fixed_ram_new(struct io_uring *ring, const struct guest_mem *mem, size_t chunk)
{
	struct fixed_ram *f = calloc(1, sizeof(*f));
	int ret;

	if (!f)
		return NULL;
	f->ring = ring;
	f->chunk = chunk;
	if (guest_mem_each(mem, span_add, f) || !f->n_chunks)
		goto fail;
	f->chunks = calloc(f->n_chunks, sizeof(*f->chunks));
	if (!f->chunks)
		goto fail;
	ret = io_uring_register_buffers_sparse(ring, f->n_chunks);
	if (ret == 0)
		return f;
	log_debug("guest RAM cannot be registered with io_uring: %s", strerror(-ret));
fail:
	fixed_ram_free(f);
	return NULL;
}

void fixed_ram_free(struct fixed_ram *f)
{
	if (!f)
		return;
	free(f->chunks);
	free(f);
}

static bool chunk_register(struct fixed_ram *f, const struct ram_span *s, unsigned i)
{
	size_t off = (size_t)(i - s->first) * f->chunk, left = s->size - off;
	struct iovec iov = { s->base + off, left < f->chunk ? left : f->chunk };
	__u64 tag = 0;
	int ret = io_uring_register_buffers_update_tag(f->ring, i, &iov, &tag, 1);

	f->chunks[i].registered = ret == 1;
	f->refused = ret != 1;
	if (f->refused)
		log_info("guest RAM is not registered with io_uring: %s",
			 strerror(ret < 0 ? -ret : 0));
	return ret == 1;
}

static int chunk_use(struct fixed_ram *f, const struct ram_span *s, size_t off, size_t len)
{
	unsigned i = s->first + (unsigned)(off / f->chunk);

	if (len > f->chunk - off % f->chunk)
		return -1;
	if (f->chunks[i].registered)
		return (int)i;
	if (f->refused || ++f->chunks[i].uses < FIXED_RAM_USES)
		return -1;
	return chunk_register(f, s, i) ? (int)i : -1;
}

int fixed_ram_find(struct fixed_ram *f, const void *p, size_t len)
{
	for (unsigned i = 0; i < f->n_spans; i++) {
		const struct ram_span *s = &f->spans[i];

		if (range_within((uintptr_t)p, len, (uintptr_t)s->base, s->size))
			return chunk_use(f, s, (size_t)((const char *)p - s->base), len);
	}
	return -1;
}
