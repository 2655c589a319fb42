/* SPDX-License-Identifier: BSD-2-Clause */
/* A network card that another process serves: pairs of queues that the driver switches on and off,
 * and back ends that die and come back. */
#include "tests/unit/vhost_user_fixture.h"

#include <linux/virtio_net.h>

#include "devices/virtio/vhost_user_net.h"

#define PAIRS  2u
#define CTRL   (2 * PAIRS)
#define ANSWER (RING_DATA + 0x100)
#define ACCEPTED                                                                       \
	(1u << VIRTIO_NET_F_MAC | 1u << VIRTIO_NET_F_CTRL_VQ | 1u << VIRTIO_NET_F_MQ | \
	 1u << VIRTIO_NET_F_CTRL_MAC_ADDR)

static void card(const char *options)
{
	b.features &= ~BIT(9);
	if (make(&vhost_user_net_class, options))
		fail_msg("%s", err.text);
}

static void go(void)
{
	unsigned before = b.seen[1];

	driver_prepare(&d, CTRL + 1, ACCEPTED);
	driver_go(&d);
	seen(1, before + 1);
}

static void command(const void *data, uint32_t len)
{
	struct virtq_used *u = driver_used(&d, CTRL);
	uint16_t before = u->idx;

	memcpy(d.r.ram + RING_DATA, data, len);
	driver_command(&d, CTRL, RING_DATA, len, ANSWER);
	WAIT(__atomic_load_n(&u->idx, __ATOMIC_ACQUIRE) != before);
	assert_int_equal(d.r.ram[ANSWER], VIRTIO_NET_OK);
}

static void pairs(uint8_t n)
{
	uint8_t c[4] = { VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, n, 0 };

	command(c, sizeof(c));
}

static void test_pairs(void **state)
{
	(void)state;
	card(",queues=2,mac=52:54:00:01:02:03");
	go();
	/* The back end does not have what is ours. */
	assert_true(b.got_features == (BIT(VIRTIO_F_VERSION_1) | BIT(VHOST_USER_F_PROTOCOL)));
	assert_true(b.ring[1].enabled && !b.ring[2].enabled);
	assert_true(b.ring[3].kick >= 0);
	assert_int_equal(b.ring[4].kick, -1);
	pairs(2);
	assert_true(b.ring[2].enabled && b.ring[3].enabled);
	pairs(1);
	assert_true(b.ring[1].enabled && !b.ring[3].enabled);
	pairs(2);
	/* A new back end serves as many. */
	backend_die(&b);
	event_is("X_MINIVMM_BACKEND_LOST vunet0", 1);
	assert_int_equal(backend_revive(&b), 0);
	WAIT(b.ring[3].enabled);
	event_is("X_MINIVMM_BACKEND_BACK vunet0", 2);
	/* Without one, too, the driver gets its answer. */
	backend_die(&b);
	event_is("X_MINIVMM_BACKEND_LOST vunet0", 3);
	pairs(1);
	assert_int_equal(backend_revive(&b), 0);
	event_is("X_MINIVMM_BACKEND_BACK vunet0", 4);
	WAIT(b.ring[3].kick >= 0 && b.ring[1].enabled);
	assert_false(b.ring[3].enabled);
	/* A reset begins with one pair again. */
	pairs(2);
	driver_status_set(&d, 0);
	WAIT(driver_status(&d) == 0);
	go();
	assert_false(b.ring[2].enabled);
}

static void test_mac(void **state)
{
	uint8_t c[8] = { VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 2, 0, 0, 0, 0, 9 };

	(void)state;
	card(",queues=2,mac=52:54:00:01:02:03");
	go();
	assert_int_equal(driver_reg(&d, 0x2000 + 5, 1), 3);
	command(c, sizeof(c));
	assert_int_equal(driver_reg(&d, 0x2000 + 5, 1), 9);
	driver_status_set(&d, 0);
	WAIT(driver_status(&d) == 0);
	assert_int_equal(driver_reg(&d, 0x2000 + 5, 1), 3);
}

/* Buffers for frames are always in flight. The next back end goes on behind those that are used. */
static void test_dies_in_order(void **state)
{
	(void)state;
	card(",queues=2");
	go();
	for (uint16_t i = 0; i < RING_SIZE; i++)
		offer(0, i);
	finish(0, 0);
	finish(0, 1);
	backend_die(&b);
	event_is("X_MINIVMM_BACKEND_LOST vunet0", 1);
	assert_int_equal(backend_revive(&b), 0);
	event_is("X_MINIVMM_BACKEND_BACK vunet0", 2);
	WAIT(b.ring[0].kick >= 0 && b.ring[1].enabled);
	assert_int_equal(b.ring[0].base, 2);
	assert_false(needs_reset());
}

/* One that does not keep the order leaves the driver to sort it out. */
static void test_dies_out_of_order(void **state)
{
	(void)state;
	card(",queues=2");
	go();
	for (uint16_t i = 0; i < RING_SIZE; i++)
		offer(0, i);
	finish(0, 1);
	backend_die(&b);
	WAIT(needs_reset());
	assert_int_equal(backend_revive(&b), 0);
	WAIT(b.connections == 2);
	assert_false(b.ring[0].enabled);
}

static void test_refused(void **state)
{
	(void)state;
	b.protocol &= ~BIT(VHOST_USER_MQ);
	assert_true(make(&vhost_user_net_class, ",queues=2") < 0);
	says("has 1 pair of queues: use queues=1");
}

/* A driver that does not know of several pairs, and a back end without protocol features. */
static void test_old(void **state)
{
	(void)state;
	b.features &= ~BIT(VHOST_USER_F_PROTOCOL);
	card("");
	driver_prepare(&d, 2, 1u << VIRTIO_NET_F_MAC);
	driver_go(&d);
	seen(1, 2);
	assert_true(b.ring[0].kick >= 0 && b.ring[1].kick >= 0);
	assert_int_equal(b.seen[18], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pairs),	  TEST(test_mac),
		TEST(test_dies_in_order), TEST(test_dies_out_of_order),
		TEST(test_refused),	  TEST(test_old),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
