/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtqueues from a hostile driver: the input is guest memory as far as rings, descriptors and
 * tables go, then a list of steps. Every address that comes out is touched, so that ASan sees one
 * that is not guest RAM; counts are checked against what they must add up to.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "devices/virtio/virtq.h"
#include "vmm/core/iov.h"
#include "vmm/core/mem.h"

#define HALF  (16 * KiB)
#define DESC  0x0000u
#define AVAIL 0x0400u
#define USED  0x0600u
#define STEPS 64

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void touch(const struct virtq_chain *c)
{
	size_t out = 0, in = 0;

	require(c->nr_out + c->nr_in <= VIRTQ_MAX_IOV);
	for (unsigned i = 0; i < c->nr_out; i++) {
		volatile const char *p = c->iov[i].iov_base;

		out += c->iov[i].iov_len;
		(void)(p[0] + p[c->iov[i].iov_len - 1]);
	}
	for (unsigned i = c->nr_out; i < (unsigned)c->nr_out + c->nr_in; i++) {
		volatile char *p = c->iov[i].iov_base;

		in += c->iov[i].iov_len;
		p[0] = p[c->iov[i].iov_len - 1];
	}
	require(out == c->out_len && in == c->in_len);
}

static void step(struct virtq *vq, struct virtq_chain *c, uint8_t *low, const uint8_t *s)
{
	int ret;

	switch (s[0] & 7) {
	case 0:
		if (s[1] & 1)
			require(virtq_kick_at(vq, 1 + s[2] % vq->size) <= vq->size);
		else
			virtq_enable_kicks(vq);
		break;
	case 1:
		virtq_flush(vq);
		break;
	case 2: /* the driver scribbles */
		low[(s[1] << 8 | s[2]) % HALF] = s[3];
		break;
	case 3:
		virtq_disable_kicks(vq);
		require(virtq_pending(vq) <= vq->size);
		break;
	default:
		ret = virtq_pop(vq, c);
		if (ret == 1) {
			touch(c);
			virtq_push(vq, c->head, s[1]);
		} else {
			require(ret == 0 || (ret < 0 && vq->broken));
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	/* Separate allocations: ASan has red zones around both. */
	uint8_t *low = aligned_alloc(4096, HALF), *high = aligned_alloc(4096, HALF);
	struct mem_range a = { 0, HALF, low, MEM_RAM, true };
	struct mem_range b = { HALF, HALF, high, MEM_RAM, true };
	struct guest_mem *mem = guest_mem_new();
	struct virtq_chain *c = malloc(sizeof(*c));
	struct virtq_setup s = { 0 };
	struct virtq vq;

	if (!low || !high || !mem || !c || len < 4 + 4 * STEPS)
		goto out;
	s.size = (uint16_t)(1u << (data[0] & 7));
	s.event_idx = data[0] & 0x10;
	s.indirect = data[0] & 0x20;
	s.desc = GPA(DESC + data[1] % 4 * 16u);
	s.avail = GPA(AVAIL + data[2] % 4 * 2u);
	s.used = GPA(USED + data[3] * 128u);
	memset(low, 0, HALF);
	memset(high, 0, HALF);
	memcpy(low, data + 4 + 4 * STEPS, len - 4 - 4 * STEPS < HALF ? len - 4 - 4 * STEPS : HALF);
	if (guest_mem_add(mem, &a) == 0 && guest_mem_add(mem, &b) == 0 &&
	    virtq_init(&vq, mem, &s) == 0)
		for (unsigned i = 0; i < STEPS; i++)
			step(&vq, c, low, data + 4 + 4 * i);
out:
	guest_mem_free(mem);
	free(low);
	free(high);
	free(c);
	return 0;
}
