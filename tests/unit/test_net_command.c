/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands of a network card's control queue, in pieces and malformed. */
#include <errno.h>
#include <linux/virtio_net.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/virtio/net_command.h"
#include "devices/virtio/virtq.h"

#define BIT(n) (1ull << (n))
#define ALL                                                                             \
	(BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_CTRL_RX) | BIT(VIRTIO_NET_F_MQ) | \
	 BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) | BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) |      \
	 BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4))

struct seen {
	unsigned calls, pairs;
	uint8_t mac[6];
	uint64_t offloads;
};

static int seen_pairs(void *arg, unsigned pairs)
{
	struct seen *s = arg;

	s->calls++;
	s->pairs = pairs;
	return pairs > 4 ? -EINVAL : 0;
}

static int seen_mac(void *arg, const uint8_t mac[6])
{
	struct seen *s = arg;

	s->calls++;
	memcpy(s->mac, mac, 6);
	return 0;
}

static int seen_offloads(void *arg, uint64_t offloads)
{
	struct seen *s = arg;

	s->calls++;
	s->offloads = offloads;
	return 0;
}

static const struct net_command_ops ops = { seen_pairs, seen_mac, seen_offloads };

/* The command in pieces of `piece` bytes; the answer, or -1 when there was none. */
static int send_in(struct seen *s, uint64_t features, const void *cmd, size_t len, size_t piece)
{
	uint8_t bytes[128], ack[2] = { 0xee, 0xee };
	struct virtq_chain c = { .out_len = len, .in_len = sizeof(ack), .nr_in = 1 };
	uint32_t wrote;

	memcpy(bytes, cmd, len);
	for (size_t off = 0; off < len; off += piece)
		c.iov[c.nr_out++] = (struct iovec){ bytes + off,
						    len - off < piece ? len - off : piece };
	c.iov[c.nr_out] = (struct iovec){ ack, sizeof(ack) };
	*s = (struct seen){ 0 };
	wrote = net_command(&c, features, &ops, s);
	assert_int_equal(wrote, 1);
	assert_int_equal(ack[1], 0xee);
	return ack[0];
}

/* In one piece, then byte by byte: the same answer. */
static int answer(struct seen *s, uint64_t features, const void *cmd, size_t len)
{
	int whole = send_in(s, features, cmd, len, sizeof(s) + 128);

	assert_int_equal(send_in(s, features, cmd, len, 1), whole);
	return whole;
}

static void test_pairs(void **state)
{
	const uint8_t two[] = { 4, 0, 2, 0 }, zero[] = { 4, 0, 0, 0 }, many[] = { 4, 0, 5, 0 };
	const uint8_t longer[] = { 4, 0, 2, 0, 0 };
	struct seen s;

	(void)state;
	assert_int_equal(answer(&s, ALL, two, 4), VIRTIO_NET_OK);
	assert_int_equal(s.pairs, 2);
	assert_int_equal(answer(&s, ALL, many, 4), VIRTIO_NET_ERR);
	assert_int_equal(answer(&s, ALL, zero, 4), VIRTIO_NET_ERR);
	assert_int_equal(s.calls, 0);
	assert_int_equal(answer(&s, ALL, two, 3), VIRTIO_NET_ERR);
	assert_int_equal(answer(&s, ALL, longer, 5), VIRTIO_NET_ERR);
	assert_int_equal(answer(&s, ALL & ~BIT(VIRTIO_NET_F_MQ), two, 4), VIRTIO_NET_ERR);
	assert_int_equal(s.calls, 0);
}

static void test_mac(void **state)
{
	const uint8_t set[] = { 1, 1, 0x52, 0x54, 0, 1, 2, 3 },
		      group[] = { 1, 1, 1, 0, 0x5e, 0, 0, 1 };
	struct seen s;

	(void)state;
	assert_int_equal(answer(&s, ALL, set, 8), VIRTIO_NET_OK);
	assert_memory_equal(s.mac, set + 2, 6);
	assert_int_equal(answer(&s, ALL, group, 8), VIRTIO_NET_ERR);
	assert_int_equal(answer(&s, ALL, set, 7), VIRTIO_NET_ERR);
	assert_int_equal(answer(&s, ALL & ~BIT(VIRTIO_NET_F_CTRL_MAC_ADDR), set, 8),
			 VIRTIO_NET_ERR);
	assert_int_equal(s.calls, 0);
}

static void test_rx(void **state)
{
	const uint8_t promisc[] = { 0, 0, 1 }, allmulti[] = { 0, 1, 0 }, odd[] = { 0, 0, 2 };
	const uint8_t alluni[] = { 0, 2, 1 };
	uint8_t table[2 + 4 + 6 + 4 + 12] = { 1, 0, 1 };
	struct seen s;

	(void)state;
	table[12] = 2;
	assert_int_equal(answer(&s, ALL, promisc, 3), VIRTIO_NET_OK);
	assert_int_equal(answer(&s, ALL, allmulti, 3), VIRTIO_NET_OK);
	assert_int_equal(answer(&s, ALL, odd, 3), VIRTIO_NET_ERR);
	assert_int_equal(answer(&s, ALL, promisc, 2), VIRTIO_NET_ERR);
	assert_int_equal(answer(&s, ALL, alluni, 3), VIRTIO_NET_ERR); /* CTRL_RX_EXTRA */
	assert_int_equal(answer(&s, ALL, table, sizeof(table)), VIRTIO_NET_OK);
	assert_int_equal(answer(&s, ALL, table, sizeof(table) - 1), VIRTIO_NET_ERR);
	assert_int_equal(answer(&s, ALL, table, 12), VIRTIO_NET_ERR);
	assert_int_equal(answer(&s, ALL, table, 5), VIRTIO_NET_ERR);
	table[15] = 0xff;
	assert_int_equal(answer(&s, ALL, table, sizeof(table)), VIRTIO_NET_ERR);
	table[15] = 0;
	memset(table + 2, 0xff, 4);
	assert_int_equal(answer(&s, ALL, table, sizeof(table)), VIRTIO_NET_ERR);
	assert_int_equal(answer(&s, 0, promisc, 3), VIRTIO_NET_ERR);
}

static void test_offloads(void **state)
{
	const uint8_t both[10] = { 5, 0, 0x82 }, none[10] = { 5, 0 }, tso6[10] = { 5, 0, 0, 1 };
	struct seen s;

	(void)state;
	assert_int_equal(answer(&s, ALL, both, 10), VIRTIO_NET_OK);
	assert_int_equal(s.offloads, 0x82);
	assert_int_equal(answer(&s, ALL, none, 10), VIRTIO_NET_OK);
	assert_int_equal(s.calls, 1);
	assert_int_equal(answer(&s, ALL, tso6, 10), VIRTIO_NET_ERR); /* was not accepted */
	assert_int_equal(answer(&s, ALL, both, 9), VIRTIO_NET_ERR);
	assert_int_equal(s.calls, 0);
}

static void test_malformed(void **state)
{
	const uint8_t two[] = { 4, 0, 2, 0 }, vlan[] = { 2, 0, 1, 0 }, unknown[] = { 99, 7, 1 };
	struct virtq_chain c = { .out_len = 4, .nr_out = 1, .iov = { { (void *)two, 4 } } };
	struct seen s = { 0 };

	(void)state;
	assert_int_equal(answer(&s, ALL, vlan, 4), VIRTIO_NET_ERR);
	assert_int_equal(answer(&s, ALL, unknown, 3), VIRTIO_NET_ERR);
	assert_int_equal(answer(&s, ALL, unknown, 1), VIRTIO_NET_ERR);
	assert_int_equal(answer(&s, ALL, unknown, 0), VIRTIO_NET_ERR);
	/* No room for an answer: nothing is done. */
	assert_int_equal(net_command(&c, ALL, &ops, &s), 0);
	assert_int_equal(s.calls, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pairs),	  cmocka_unit_test(test_mac),
		cmocka_unit_test(test_rx),	  cmocka_unit_test(test_offloads),
		cmocka_unit_test(test_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
