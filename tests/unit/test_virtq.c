/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/ring.h"
#include "vmm/core/iov.h"

#define NEXT VRING_DESC_F_NEXT
#define IN   VRING_DESC_F_WRITE
#define IND  VRING_DESC_F_INDIRECT

static struct virtq_chain chain;

static void takes_a_chain_in_order(void **state)
{
	struct ring r;

	(void)state;
	assert_int_equal(ring_new(&r, false), 0);
	assert_int_equal(virtq_pop(&r.vq, &chain), 0);
	ring_set(&r, 3, RING_DATA, 16, NEXT, 1);
	ring_set(&r, 1, RING_DATA + 0x1000, 512, NEXT | IN, 5);
	ring_set(&r, 5, RING_DATA + 0x2000, 1, IN, 0);
	ring_offer(&r, 3);
	assert_int_equal(virtq_pending(&r.vq), 1);
	assert_int_equal(virtq_pop(&r.vq, &chain), 1);
	assert_int_equal(chain.head, 3);
	assert_int_equal(chain.nr_out, 1);
	assert_int_equal(chain.nr_in, 2);
	assert_int_equal(chain.out_len, 16);
	assert_int_equal(chain.in_len, 513);
	assert_ptr_equal(chain.iov[1].iov_base, r.ram + RING_DATA + 0x1000);
	virtq_push(&r.vq, 3, 513);
	assert_int_equal(ring_used(&r)->idx, 0);
	assert_true(virtq_flush(&r.vq));
	assert_int_equal(ring_used(&r)->idx, 1);
	assert_int_equal(ring_used(&r)->ring[0].id, 3);
	assert_int_equal(ring_used(&r)->ring[0].len, 513);
	assert_false(virtq_flush(&r.vq));
	ring_free(&r);
}

/* Each case breaks the ring, and the ring stays broken. */
static void broken_rings(void **state)
{
	static const struct {
		struct virtq_desc d[3];
		uint16_t head;
	} cases[] = {
		{ { { RING_DATA, 1, 0, 0 } }, RING_SIZE }, /* head beyond the table */
		{ { { RING_DATA, 1, 0, 0 } }, 0xffff },
		{ { { RING_DATA, 1, NEXT, RING_SIZE } }, 0 }, /* next beyond the table */
		{ { { RING_DATA, 1, NEXT, 0 } }, 0 },	      /* loop of one */
		{ { { RING_DATA, 1, NEXT, 1 }, { RING_DATA, 1, NEXT, 0 } }, 0 }, /* of two */
		{ { { RING_DATA, 0, NEXT, 0 } }, 0 }, /* of empty buffers */
		{ { { RING_MEM, 1, 0, 0 } }, 0 },     /* no memory there */
		{ { { RING_MEM - 1, 2, 0, 0 } }, 0 }, /* runs out of it */
		{ { { UINT64_MAX, 2, 0, 0 } }, 0 },   /* wraps */
		{ { { RING_DATA, UINT32_MAX, 0, 0 } }, 0 },
		{ { { RING_DATA, 1, NEXT | IN, 1 }, { RING_DATA, 1, 0, 0 } },
		  0 },				      /* out after in */
		{ { { RING_DATA, 15, IND, 0 } }, 0 }, /* not whole entries */
		{ { { RING_DATA, 0, IND, 0 } }, 0 },  /* empty table */
		/* the chain continues after the table */
		{ { { RING_DATA, 16, IND | NEXT, 1 } }, 0 },
		{ { { RING_MEM - 16, 32, IND, 0 } }, 0 }, /* the table ends outside of RAM */
		{ { { RING_DESC + 16, 16, IND, 0 }, { RING_DATA, 16, IND, 0 } }, 0 }, /* nested */
		{ { { RING_DESC + 16, 16, IND, 0 }, { RING_DATA, 1, NEXT, 1 } }, 0 },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ring r;

		assert_int_equal(ring_new(&r, false), 0);
		memcpy(ring_desc(&r), cases[i].d, sizeof(cases[i].d));
		ring_offer(&r, cases[i].head);
		if (virtq_pop(&r.vq, &chain) != -EINVAL)
			fail_msg("case %u was accepted", i);
		assert_int_equal(virtq_pop(&r.vq, &chain), -EINVAL);
		assert_int_equal(virtq_pending(&r.vq), 0);
		assert_false(virtq_enable_kicks(&r.vq));
		ring_free(&r);
	}
}

static void too_many_available(void **state)
{
	struct ring r;

	(void)state;
	assert_int_equal(ring_new(&r, false), 0);
	ring_avail(&r)->idx = RING_SIZE + 1;
	/* Who looks first sees work, not an idle ring: only virtq_pop() reports the error. */
	assert_int_equal(virtq_pending(&r.vq), RING_SIZE);
	assert_true(virtq_enable_kicks(&r.vq));
	assert_int_equal(virtq_pop(&r.vq, &chain), -EINVAL);
	assert_int_equal(virtq_pending(&r.vq), 0);
	assert_false(virtq_enable_kicks(&r.vq));
	ring_free(&r);
}

static void indirect_table(void **state)
{
	struct ring r;
	char *t; /* unaligned: bytes, not descriptors */

	(void)state;
	assert_int_equal(ring_new(&r, false), 0);
	/* A direct descriptor may come first (§2.7.5.3.2), and the table need not be aligned. */
	ring_set(&r, 0, RING_DATA + 0x4000, 16, NEXT, 1);
	ring_set(&r, 1, RING_DATA + 1, 32, IND, 0);
	t = (char *)r.ram + RING_DATA + 1;
	memcpy(t, &(struct virtq_desc){ RING_DATA + 0x5000, 8, NEXT, 1 }, 16);
	memcpy(t + 16, &(struct virtq_desc){ RING_DATA + 0x6000, 4, IN, 0 }, 16);
	ring_offer(&r, 0);
	assert_int_equal(virtq_pop(&r.vq, &chain), 1);
	assert_int_equal(chain.nr_out, 2);
	assert_int_equal(chain.nr_in, 1);
	assert_int_equal(chain.head, 0);
	ring_free(&r);
}

/* A chain may be as long as its queue, or have as many pieces as we accept; tables may be longer.
 */
static void indirect_chain_length(void **state)
{
	struct virtq_desc *t;
	struct ring r;
	unsigned i, n;

	(void)state;
	for (n = VIRTQ_MAX_IOV; n <= VIRTQ_MAX_IOV + 1; n++) {
		assert_int_equal(ring_new(&r, false), 0);
		ring_set(&r, 0, RING_DATA, 16 * 20000, IND, 0);
		t = (struct virtq_desc *)(r.ram + RING_DATA);
		for (i = 0; i < n; i++) /* empty ones */
			t[i] = (struct virtq_desc){ 0, 0, i + 1 < n ? NEXT : 0, (uint16_t)(i + 1) };
		ring_offer(&r, 0);
		assert_int_equal(virtq_pop(&r.vq, &chain), n == VIRTQ_MAX_IOV ? 1 : -EINVAL);
		ring_free(&r);
	}
}

static void indirect_needs_negotiation(void **state)
{
	struct ring r;

	(void)state;
	assert_int_equal(ring_new(&r, false), 0);
	r.vq.indirect = false;
	ring_set(&r, 0, RING_DATA, 16, IND, 0);
	ring_offer(&r, 0);
	assert_int_equal(virtq_pop(&r.vq, &chain), -EINVAL);
	ring_free(&r);
}

/* The longest chain that we accept, and a longer one. */
static void chain_length_limit(void **state)
{
	for (unsigned n = VIRTQ_MAX_IOV; n <= VIRTQ_MAX_IOV + 1; n++) {
		struct ring r;
		struct virtq_desc *t;

		(void)state;
		assert_int_equal(ring_new(&r, false), 0);
		t = (struct virtq_desc *)(r.ram + RING_DATA);
		for (unsigned i = 0; i < n; i++)
			t[i] = (struct virtq_desc){ RING_DATA + 0x8000 + 0x100 * i, 1,
						    i + 1 < n ? NEXT : 0, (uint16_t)(i + 1) };
		ring_set(&r, 0, RING_DATA, n * 16, IND, 0);
		ring_offer(&r, 0);
		assert_int_equal(virtq_pop(&r.vq, &chain), n == VIRTQ_MAX_IOV ? 1 : -EINVAL);
		ring_free(&r);
	}
}

static void buffer_across_two_ranges(void **state)
{
	struct ring r;

	(void)state;
	assert_int_equal(ring_new(&r, false), 0);
	ring_set(&r, 0, RING_MEM / 2 - 100, 300, IN, 0);
	ring_offer(&r, 0);
	assert_int_equal(virtq_pop(&r.vq, &chain), 1);
	assert_int_equal(chain.nr_in, 2);
	assert_int_equal(chain.iov[0].iov_len, 100);
	assert_int_equal(chain.iov[1].iov_len, 200);
	assert_ptr_equal(chain.iov[1].iov_base, r.ram + RING_MEM);
	ring_free(&r);
}

static void event_idx_interrupts(void **state)
{
	struct ring r;

	(void)state;
	assert_int_equal(ring_new(&r, true), 0);
	/* With used_event = 1, the second completion raises an interrupt, the first one does not.
	 */
	ring_avail(&r)->ring[RING_SIZE] = 1;
	virtq_push(&r.vq, 0, 0);
	assert_false(virtq_flush(&r.vq));
	virtq_push(&r.vq, 1, 0);
	assert_true(virtq_flush(&r.vq));
	/* One interrupt for a batch that passes the event. */
	ring_avail(&r)->ring[RING_SIZE] = 3;
	for (uint16_t i = 0; i < 4; i++)
		virtq_push(&r.vq, i, 0);
	assert_true(virtq_flush(&r.vq));
	virtq_push(&r.vq, 0, 0);
	assert_false(virtq_flush(&r.vq));
	ring_free(&r);
}

static void flag_suppresses_interrupts(void **state)
{
	struct ring r;

	(void)state;
	assert_int_equal(ring_new(&r, false), 0);
	ring_avail(&r)->flags = VRING_AVAIL_F_NO_INTERRUPT;
	virtq_push(&r.vq, 0, 0);
	assert_false(virtq_flush(&r.vq));
	ring_free(&r);
}

static void kicks(void **state)
{
	struct ring r;

	(void)state;
	assert_int_equal(ring_new(&r, true), 0);
	ring_set(&r, 0, RING_DATA, 1, 0, 0);
	assert_false(virtq_enable_kicks(&r.vq));
	assert_int_equal(ring_used(&r)->ring[RING_SIZE].id & 0xffff, 0);
	ring_offer(&r, 0);
	assert_true(virtq_enable_kicks(&r.vq));
	/* If an entry is left on the ring, the event is set after it. */
	assert_int_equal(ring_used(&r)->ring[RING_SIZE].id & 0xffff, 1);
	assert_int_equal(virtq_pop(&r.vq, &chain), 1);
	assert_false(virtq_enable_kicks(&r.vq));
	ring_free(&r);
	assert_int_equal(ring_new(&r, false), 0);
	virtq_disable_kicks(&r.vq);
	assert_int_equal(ring_used(&r)->flags, VRING_USED_F_NO_NOTIFY);
	virtq_enable_kicks(&r.vq);
	assert_int_equal(ring_used(&r)->flags, 0);
	ring_free(&r);
}

/* A kick for the n-th request: the event is at its entry, and what is pending is loaded anew. */
static void kick_at(void **state)
{
	struct ring r;

	(void)state;
	assert_int_equal(ring_new(&r, true), 0);
	ring_set(&r, 0, RING_DATA, 1, 0, 0);
	for (unsigned i = 0; i < 65534; i++) { /* up to where the index wraps */
		ring_offer(&r, 0);
		assert_int_equal(virtq_pop(&r.vq, &chain), 1);
	}
	assert_int_equal(virtq_kick_at(&r.vq, 4), 0);
	assert_int_equal(ring_used(&r)->ring[RING_SIZE].id & 0xffff, 1);
	ring_offer(&r, 0);
	assert_int_equal(virtq_kick_at(&r.vq, 4), 1);
	ring_offer(&r, 0);
	assert_int_equal(virtq_kick_at(&r.vq, 2), 2);
	assert_int_equal(ring_used(&r)->ring[RING_SIZE].id & 0xffff, 0xffff);
	/* More than the ring can hold. */
	ring_avail(&r)->idx += RING_SIZE;
	assert_int_equal(virtq_kick_at(&r.vq, 2), RING_SIZE);
	assert_int_equal(virtq_pop(&r.vq, &chain), -EINVAL);
	assert_int_equal(virtq_kick_at(&r.vq, 2), 0);
	ring_free(&r);
	/* Without EVENT_IDX kicks stay off. */
	assert_int_equal(ring_new(&r, false), 0);
	virtq_disable_kicks(&r.vq);
	ring_offer(&r, 0);
	assert_int_equal(virtq_kick_at(&r.vq, 2), 1);
	assert_int_equal(ring_used(&r)->flags, VRING_USED_F_NO_NOTIFY);
	ring_free(&r);
}

/* Indices are 16 bits and wrap; entries wrap at the size. */
static void wraps(void **state)
{
	struct ring r;

	(void)state;
	assert_int_equal(ring_new(&r, true), 0);
	ring_set(&r, 0, RING_DATA, 1, 0, 0);
	for (unsigned i = 0; i < 70000; i++) {
		ring_avail(&r)->ring[RING_SIZE] = (uint16_t)i;
		ring_offer(&r, 0);
		assert_int_equal(virtq_pop(&r.vq, &chain), 1);
		virtq_push(&r.vq, chain.head, i);
		assert_true(virtq_flush(&r.vq));
		assert_int_equal(ring_used(&r)->idx, (uint16_t)(i + 1));
		assert_int_equal(ring_used(&r)->ring[i % RING_SIZE].len, i);
	}
	ring_free(&r);
}

static void unpop_gives_back(void **state)
{
	struct ring r;

	(void)state;
	assert_int_equal(ring_new(&r, false), 0);
	ring_set(&r, 0, RING_DATA, 1, 0, 0);
	ring_set(&r, 1, RING_DATA, 1, 0, 0);
	ring_offer(&r, 0);
	ring_offer(&r, 1);
	assert_int_equal(virtq_pop(&r.vq, &chain), 1);
	assert_int_equal(virtq_pop(&r.vq, &chain), 1);
	virtq_unpop(&r.vq, 2);
	assert_int_equal(virtq_pop(&r.vq, &chain), 1);
	assert_int_equal(chain.head, 0);
	ring_free(&r);
}

static void bad_setups(void **state)
{
	struct ring r;
	struct virtq_setup s;

	(void)state;
	assert_int_equal(ring_new(&r, false), 0);
	s = ring_setup(false);
	for (unsigned i = 0; i < 8; i++) {
		struct virtq_setup t = s;

		switch (i) {
		case 0:
			t.size = 0;
			break;
		case 1:
			t.size = 7;
			break;
		case 2:
			t.size = 2 * VIRTQ_MAX_SIZE;
			break;
		case 3:
			t.desc.v += 8;
			break;
		case 4:
			t.avail.v += 1;
			break;
		case 5:
			t.used.v += 2;
			break;
		case 6:
			t.used = GPA(RING_MEM - 4);
			break;
		case 7:
			t.desc = GPA(UINT64_MAX & ~15ull);
			break;
		}
		assert_int_equal(virtq_init(&r.vq, r.mem, &t), -EINVAL);
		assert_int_equal(virtq_pop(&r.vq, &chain), -EINVAL);
	}
	ring_free(&r);
}

static void iovec_helpers(void **state)
{
	char a[4] = "abc", b[4] = "def", out[8] = { 0 };
	struct iovec iov[2] = { { a, 3 }, { b, 3 } };

	(void)state;
	assert_int_equal(iov_read(iov, 2, 1, out, 100), 5);
	assert_string_equal(out, "bcdef");
	assert_int_equal(iov_write(iov, 2, 2, "XY", 2), 2);
	assert_string_equal(a, "abX");
	assert_string_equal(b, "Yef");
	assert_int_equal(iov_zero(iov, 2, 5, 9), 1);
	assert_int_equal(b[2], 0);
	assert_int_equal(iov_skip(iov, 2, 4), 1);
	assert_int_equal(iov[1].iov_len, 2);
	assert_int_equal(iov_skip(iov + 1, 1, 100), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_a_chain_in_order),
		cmocka_unit_test(broken_rings),
		cmocka_unit_test(too_many_available),
		cmocka_unit_test(indirect_table),
		cmocka_unit_test(indirect_chain_length),
		cmocka_unit_test(indirect_needs_negotiation),
		cmocka_unit_test(chain_length_limit),
		cmocka_unit_test(buffer_across_two_ranges),
		cmocka_unit_test(event_idx_interrupts),
		cmocka_unit_test(flag_suppresses_interrupts),
		cmocka_unit_test(kicks),
		cmocka_unit_test(kick_at),
		cmocka_unit_test(wraps),
		cmocka_unit_test(unpop_gives_back),
		cmocka_unit_test(bad_setups),
		cmocka_unit_test(iovec_helpers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
