/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Split virtqueue. See virtq.h for the contract.
 *
 * Indices are 16-bit counters that wrap; entry i is at i & (size - 1). Two indices pass data
 * between the driver and us:
 *
 *   avail->idx   driver: write descriptors, release idx      we: acquire idx, read descriptors
 *   used->idx    we: write used elements, release idx        driver: acquire idx, read elements
 *
 * For kicks (virtq_enable_kicks) and interrupts (virtq_flush), each side writes its own word,
 * executes a full fence, and then reads the word of the other side (as in Dekker's algorithm). So
 * at least one side sees the write of the other.
 */
#include "devices/virtio/virtq.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdatomic.h>
#include <string.h>

static_assert(sizeof(struct virtq_desc) == 16, "VIRTIO 1.2 2.7.5");
static_assert(sizeof(struct virtq_avail) == 4, "VIRTIO 1.2 2.7.6");
static_assert(sizeof(struct virtq_used_elem) == 8, "VIRTIO 1.2 2.7.8");
static_assert(sizeof(struct virtq_used) == 4, "VIRTIO 1.2 2.7.8");

/* The guest may write to descriptors and indices at any time: each one must be loaded exactly
 * once. */
static uint16_t load_acquire(const __le16 *p)
{
	return le16toh(__atomic_load_n(p, __ATOMIC_ACQUIRE));
}

static uint16_t load_relaxed(const __le16 *p)
{
	return le16toh(__atomic_load_n(p, __ATOMIC_RELAXED));
}

static void store_relaxed(__le16 *p, uint16_t v)
{
	__atomic_store_n(p, htole16(v), __ATOMIC_RELAXED);
}

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

/* memcpy(), because an indirect table may have any alignment. The asm keeps the compiler from
 * loading a field from guest memory again after it has been checked. */
static struct desc desc_load(const struct virtq_desc *table, uint16_t i)
{
	const char *p = (const char *)table + (size_t)i * sizeof(*table);
	uint64_t addr, rest; /* rest: len, flags, next */

	memcpy(&addr, p, sizeof(addr));
	memcpy(&rest, p + sizeof(addr), sizeof(rest));
	__asm__ volatile("" : "+r"(addr), "+r"(rest) : : "memory");
	rest = le64toh(rest);
	return (struct desc){ le64toh(addr), (uint32_t)rest, (uint16_t)(rest >> 32),
			      (uint16_t)(rest >> 48) };
}

/* §2.7.7.1, §2.7.10: these words follow the rings. */
static const __le16 *used_event(const struct virtq *vq)
{
	return &vq->avail->ring[vq->size];
}

static __le16 *avail_event(const struct virtq *vq)
{
	return (__le16 *)((char *)vq->used + sizeof(struct virtq_used) +
			  sizeof(struct virtq_used_elem) * vq->size);
}

int virtq_init(struct virtq *vq, const struct guest_mem *mem, const struct virtq_setup *s)
{
	size_t n = s->size;

	*vq = (struct virtq){ .mem = mem, .size = s->size, .event_idx = s->event_idx };
	vq->indirect = s->indirect;
	vq->broken = true;
	if (!is_pow2(n) || n > VIRTQ_MAX_SIZE)
		return -EINVAL;
	vq->desc = guest_mem_ptr(mem, s->desc, n * sizeof(struct virtq_desc), 16);
	vq->avail = guest_mem_ptr(mem, s->avail, sizeof(struct virtq_avail) + 2 * n + 2, 2);
	vq->used = guest_mem_ptr(mem, s->used,
				 sizeof(struct virtq_used) + sizeof(struct virtq_used_elem) * n + 2,
				 4);
	if (!vq->desc || !vq->avail || !vq->used)
		return -EINVAL;
	vq->broken = false;
	return 0;
}

static int virtq_break(struct virtq *vq)
{
	vq->broken = true;
	return -EINVAL;
}

/* avail->idx is loaded again when all requests that we know of are taken. The result is more than
 * the size of the ring if the driver claims that. */
static uint16_t virtq_avail_count(struct virtq *vq)
{
	if (vq->seen_avail == vq->last_avail) {
		/* Pairs with the driver's release of avail->idx (§2.7.13.3): after this we see the
		 * ring entries and descriptors that the driver wrote before. */
		vq->seen_avail = load_acquire(&vq->avail->idx);
	}
	return (uint16_t)(vq->seen_avail - vq->last_avail);
}

/* Only virtq_pop() may find that a ring is broken, because its callers tell the guest. */
unsigned virtq_pending(struct virtq *vq)
{
	unsigned n = vq->broken ? 0 : virtq_avail_count(vq);

	return n < vq->size ? n : vq->size;
}

/* The buffer at `addr`, if it is in one piece. */
static void *virtq_buffer(struct virtq *vq, uint64_t addr, uint32_t len)
{
	return guest_mem_near(vq->mem, &vq->last[addr >= 4 * GiB], GPA(addr), len);
}

/* Appends the buffer of a descriptor. §2.7.4.2: readable buffers must come before writable ones. */
static int chain_add(struct virtq *vq, struct virtq_chain *c, const struct desc *d)
{
	bool in = d->flags & VRING_DESC_F_WRITE;
	unsigned have = (unsigned)c->nr_out + c->nr_in;
	struct iovec *iov = &c->iov[have];
	int n = 1;

	if ((!in && c->nr_in != 0) || have >= VIRTQ_MAX_IOV)
		return -EINVAL;
	if (d->len == 0)
		return 0;
	*iov = (struct iovec){ virtq_buffer(vq, d->addr, d->len), d->len };
	if (!iov->iov_base)
		n = guest_mem_iov(vq->mem, GPA(d->addr), d->len,
				  in ? MEM_ACCESS_WRITE : MEM_ACCESS_READ, iov,
				  VIRTQ_MAX_IOV - have);
	if (n < 0)
		return -EINVAL;
	if (in) {
		c->nr_in = (uint16_t)(c->nr_in + n);
		c->in_len += d->len;
	} else {
		c->nr_out = (uint16_t)(c->nr_out + n);
		c->out_len += d->len;
	}
	return 0;
}

struct table {
	const struct virtq_desc *desc;
	uint32_t n;
	bool indirect;
};

/* §2.7.5.3: an indirect table must have been negotiated, must not be nested, must be the last of
 * its chain, and must have a whole number of entries. */
static int table_indirect(struct virtq *vq, struct table *t, const struct desc *d)
{
	uint32_t n = d->len / (uint32_t)sizeof(struct virtq_desc);

	if (!vq->indirect || t->indirect || (d->flags & VRING_DESC_F_NEXT))
		return -EINVAL;
	if (n == 0 || d->len % sizeof(struct virtq_desc) != 0 || n > UINT16_MAX)
		return -EINVAL;
	*t = (struct table){ virtq_buffer(vq, d->addr, d->len), n, true };
	return t->desc ? 0 : -EINVAL;
}

/* The maximal number of descriptors in a chain. A valid chain has each entry of its table at most
 * once, so this limit ends loops. By §2.7.5.3.1 a chain must not be longer than the queue, even if
 * its indirect table is longer. But drivers violate this with short queues, so we always accept as
 * many descriptors as there is space for. */
static unsigned chain_max(const struct virtq *vq, const struct table *t)
{
	unsigned most = vq->size > VIRTQ_MAX_IOV ? vq->size : VIRTQ_MAX_IOV;

	return t->n < most ? t->n : most;
}

static int chain_walk(struct virtq *vq, struct virtq_chain *c, uint16_t i)
{
	struct table t = { vq->desc, vq->size, false };
	unsigned left = chain_max(vq, &t);
	struct desc d;

	for (;;) {
		if (i >= t.n || left-- == 0)
			return -EINVAL;
		d = desc_load(t.desc, i);
		if (d.flags & VRING_DESC_F_INDIRECT) {
			if (table_indirect(vq, &t, &d))
				return -EINVAL;
			left = chain_max(vq, &t);
			i = 0;
			continue;
		}
		if (chain_add(vq, c, &d))
			return -EINVAL;
		if (!(d.flags & VRING_DESC_F_NEXT))
			return 0;
		i = d.next;
	}
}

int virtq_pop(struct virtq *vq, struct virtq_chain *c)
{
	uint16_t n;

	if (vq->broken)
		return -EINVAL;
	n = virtq_avail_count(vq);
	if (n == 0)
		return 0;
	if (n > vq->size)
		return virtq_break(vq);
	c->head = load_relaxed(&vq->avail->ring[vq->last_avail & (vq->size - 1)]);
	c->nr_out = c->nr_in = 0;
	c->out_len = c->in_len = 0;
	if (chain_walk(vq, c, c->head))
		return virtq_break(vq);
	vq->last_avail++;
	return 1;
}

void virtq_unpop(struct virtq *vq, unsigned n)
{
	vq->last_avail = (uint16_t)(vq->last_avail - n);
}

void virtq_push(struct virtq *vq, uint16_t head, uint32_t len)
{
	struct virtq_used_elem *e = &vq->used->ring[vq->next_used & (vq->size - 1)];

	e->id = htole32(head);
	e->len = htole32(len);
	vq->next_used++;
}

/* §2.7.7.2: with EVENT_IDX, the driver wants an interrupt if this flush has passed used_event.
 * Without it, the flag decides. */
static bool virtq_wants_irq(const struct virtq *vq, uint16_t was)
{
	if (vq->event_idx)
		return vring_need_event(load_relaxed(used_event(vq)), vq->next_used, was);
	return !(load_relaxed(&vq->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
}

bool virtq_flush(struct virtq *vq)
{
	uint16_t was = vq->flushed;

	if (was == vq->next_used)
		return false;
	/* Pairs with the driver's acquire of used->idx: then it sees the elements and the data. */
	__atomic_store_n(&vq->used->idx, htole16(vq->next_used), __ATOMIC_RELEASE);
	vq->flushed = vq->next_used;
	/* Pairs with the driver's fence between its write to used_event (or avail->flags) and its
	 * last read of used->idx: at least one side sees the write of the other. */
	atomic_thread_fence(memory_order_seq_cst);
	return virtq_wants_irq(vq, was);
}

bool virtq_enable_kicks(struct virtq *vq)
{
	if (vq->broken)
		return false;
	/* The event is set behind the last available entry. So a caller that leaves entries on the
	 * ring (because it waits for more) gets a kick for the next one. */
	if (vq->event_idx)
		store_relaxed(avail_event(vq), load_relaxed(&vq->avail->idx));
	else
		store_relaxed(&vq->used->flags, 0);
	/* Pairs with the driver's fence between its write to avail->idx and its read of avail_event
	 * or flags. */
	atomic_thread_fence(memory_order_seq_cst);
	/* Pairs with the driver's release of avail->idx, as in virtq_avail_count(). virtq_pop()
	 * checks the value. */
	vq->seen_avail = load_acquire(&vq->avail->idx);
	return vq->seen_avail != vq->last_avail;
}

unsigned virtq_kick_at(struct virtq *vq, unsigned n)
{
	if (vq->broken)
		return 0;
	if (vq->event_idx)
		store_relaxed(avail_event(vq), (uint16_t)(vq->last_avail + n - 1));
	/* As in virtq_enable_kicks(). */
	atomic_thread_fence(memory_order_seq_cst);
	vq->seen_avail = load_acquire(&vq->avail->idx);
	return virtq_pending(vq);
}

void virtq_disable_kicks(struct virtq *vq)
{
	/* With EVENT_IDX nothing is needed: the old avail_event suppresses kicks (§2.7.10). */
	if (!vq->broken && !vq->event_idx)
		store_relaxed(&vq->used->flags, VRING_USED_F_NO_NOTIFY);
}

/* Acquire: the elements before these indices are read next. */
static uint16_t unfinished(const struct virtq *vq, uint16_t *used)
{
	*used = load_acquire(&vq->used->idx);
	return (uint16_t)(load_acquire(&vq->avail->idx) - *used);
}

unsigned virtq_unfinished(const struct virtq *vq)
{
	uint16_t used;

	return unfinished(vq, &used);
}

bool virtq_in_order(const struct virtq *vq)
{
	uint16_t used, n = unfinished(vq, &used), mask = vq->size - 1;

	if (n > vq->size)
		return false;
	/* The entries of the last `size` requests are there, if there were so many. */
	n = (uint16_t)(vq->size - n) < used ? (uint16_t)(vq->size - n) : used;
	for (uint16_t i = (uint16_t)(used - n); i != used; i++) {
		uint32_t id = __atomic_load_n(&vq->used->ring[i & mask].id, __ATOMIC_RELAXED);

		if (le32toh(id) != load_relaxed(&vq->avail->ring[i & mask]))
			return false;
	}
	return true;
}

void virtq_resume(struct virtq *vq)
{
	vq->last_avail = load_acquire(&vq->used->idx);
}
