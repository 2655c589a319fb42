/* SPDX-License-Identifier: BSD-2-Clause */
/* A network card with several pairs of queues, under a driver that uses them and one that misuses
 * them. vhost and the tap device are fakes, linked in by --wrap (see the Makefile); the vhost stops
 * only when it is let. */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/backend/tap.h"
#include "devices/virtio/vhost_net.h"
#include "devices/virtio/virtio_net.h"
#include "tests/unit/fake_driver.h"
#include "vmm/core/device.h"
#include "vmm/core/error.h"
#include "vmm/core/eventfd.h"
#include "vmm/core/evloop.h"

#define PAIRS	    4u
#define CTRL	    (2 * PAIRS)
#define PATIENCE_MS 60000u /* for a machine that is busy */
#define BIT(n)	    (1u << (n))
#define FEATURES                                                                    \
	(BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_MQ) | \
	 BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) | BIT(VIRTIO_NET_F_GUEST_CSUM) |           \
	 BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS))

/* ---- the host ---- */

static _Atomic unsigned taps, attached, vhosts, running, stops, offload;
static _Atomic bool hold, refuse; /* stops wait; new queues of the tap device are refused */
static _Atomic unsigned adding;	  /* those who wait for a new queue of the tap device */
static _Atomic bool hold_add;
static bool one_queue, uso;

int __wrap_tap_open(struct tap *, const struct tap_want *, struct error *);
int __wrap_tap_add_queue(const struct tap *);
int __wrap_tap_attach_queue(int fd, bool on);
int __wrap_tap_set_offload(int fd, unsigned flags);
int __wrap_vhost_net_open(uint64_t *features);
int __wrap_vhost_net_start(int fd, int tap, const struct guest_mem *, struct virtio_device *,
			   unsigned first);
void __wrap_vhost_net_stop(int fd, struct virtio_device *, unsigned first);

int __wrap_tap_open(struct tap *t, const struct tap_want *want, struct error *err)
{
	(void)err;
	*t = (struct tap){ .name = "fake0",
			   .multi_queue = !one_queue,
			   .uso = uso,
			   .mtu = want->mtu ? want->mtu : 1400 };
	taps = attached = 1;
	return eventfd_new();
}

int __wrap_tap_add_queue(const struct tap *t)
{
	(void)t;
	if (refuse)
		return -E2BIG;
	adding++;
	while (hold_add)
		usleep(1000);
	adding--;
	taps++;
	attached++;
	return eventfd_new();
}

int __wrap_tap_attach_queue(int fd, bool on)
{
	(void)fd;
	attached += on ? 1u : ~0u;
	return 0;
}

int __wrap_tap_set_offload(int fd, unsigned flags)
{
	(void)fd;
	offload = flags;
	return 0;
}

int __wrap_vhost_net_open(uint64_t *features)
{
	vhosts++;
	*features = ~0ull;
	return eventfd_new();
}

int __wrap_vhost_net_start(int fd, int tap, const struct guest_mem *mem, struct virtio_device *v,
			   unsigned first)
{
	(void)fd;
	(void)tap;
	(void)mem;
	(void)v;
	assert_true(first < 2 * PAIRS && first % 2 == 0);
	assert_int_equal(running & 1u << first, 0);
	running |= 1u << first;
	return 0;
}

void __wrap_vhost_net_stop(int fd, struct virtio_device *v, unsigned first)
{
	(void)fd;
	(void)v;
	stops++;
	while (hold)
		usleep(1000);
	running &= ~(1u << first);
}

/* ---- the guest ---- */

struct card {
	struct fake_driver d;
	struct virtio_net *net;
	unsigned commands;
};

static bool try_open(struct card *c, unsigned queues, unsigned cpus, struct error *err)
{
	const struct net_config cfg = {
		.ifname = "fake0", .mac = { 0x52, 0x54, 0, 1, 2, 3 }, .queues = queues, .cpus = cpus
	};

	vhosts = running = stops = 0;
	hold = refuse = false;
	*c = (struct card){ 0 };
	assert_int_equal(fake_driver_init(&c->d), 0);
	c->net = virtio_net_open(&cfg, err);
	return c->net &&
	       virtio_net_plug(c->net, c->d.root, &c->d.root->bus, FAKE_DEVFN, &cfg, err) == 0;
}

static void card_open(struct card *c, unsigned queues, unsigned cpus)
{
	struct error err = { 0 };

	assert_true(try_open(c, queues, cpus, &err));
}

static void card_close(struct card *c)
{
	assert_true(virtio_net_free(c->net));
	fake_driver_free(&c->d);
}

static bool eventually(const _Atomic unsigned *what, unsigned is)
{
	for (unsigned i = 0; i < PATIENCE_MS && *what != is; i++)
		usleep(1000);
	return *what == is;
}

/* All queues are enabled, as Linux does. */
static void card_start(struct card *c, uint32_t features)
{
	driver_prepare(&c->d, CTRL + 1, features);
	c->commands = 0;
	driver_go(&c->d);
	assert_int_equal(driver_status(&c->d), 15);
	assert_true(eventually(&running, 1));
}

static void put(struct card *c, unsigned q, const void *cmd, uint32_t len)
{
	struct fake_driver *d = &c->d;

	memcpy(d->r.ram + RING_DATA, cmd, len);
	d->r.ram[RING_DATA + 0x100] = 0x55;
	driver_command(d, q, RING_DATA, len, RING_DATA + 0x100);
	c->commands++;
}

static uint8_t answered(struct card *c, unsigned q)
{
	struct virtq_used *u = driver_used(&c->d, q);

	for (unsigned i = 0; i < PATIENCE_MS; i++) {
		if (__atomic_load_n(&u->idx, __ATOMIC_ACQUIRE) == (uint16_t)c->commands)
			return (uint8_t)c->d.r.ram[RING_DATA + 0x100];
		usleep(1000);
	}
	fail_msg("a command has no answer");
	return 0x55;
}

static uint8_t command(struct card *c, const void *cmd, uint32_t len)
{
	put(c, CTRL, cmd, len);
	return answered(c, CTRL);
}

static uint8_t set_pairs(struct card *c, unsigned n)
{
	const uint8_t cmd[] = { VIRTIO_NET_CTRL_MQ, 0, (uint8_t)n, (uint8_t)(n >> 8) };

	return command(c, cmd, sizeof(cmd));
}

static unsigned open_files(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 200; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* ---- tests ---- */

static uint64_t offered(struct card *c)
{
	uint64_t low;

	driver_map(&c->d);
	driver_reg_set(&c->d, C(device_feature_select), 4, 0);
	low = driver_reg(&c->d, C(device_feature), 4);
	driver_reg_set(&c->d, C(device_feature_select), 4, 1);
	return low | (uint64_t)driver_reg(&c->d, C(device_feature), 4) << 32;
}

static void test_offered(void **state)
{
	struct card c;

	(void)state;
	card_open(&c, 0, 4);
	assert_true(offered(&c) & BIT(VIRTIO_NET_F_MQ));
	assert_true(offered(&c) & BIT(VIRTIO_NET_F_CTRL_VQ));
	assert_true(offered(&c) & BIT(VIRTIO_NET_F_MTU));
	assert_false(offered(&c) & BIT(VIRTIO_NET_F_CTRL_VLAN));
	assert_int_equal(offered(&c) >> 54 & 7, 0); /* USO */
	assert_int_equal(driver_reg(&c.d, 0x2008, 2), PAIRS);
	assert_int_equal(driver_reg(&c.d, 0x200a, 2), 1400);
	assert_int_equal(driver_reg(&c.d, C(num_queues), 2), CTRL + 1);
	assert_int_equal(driver_reg(&c.d, C(queue_size), 2), 1024);
	driver_reg_set(&c.d, C(queue_select), 2, CTRL);
	assert_int_equal(driver_reg(&c.d, C(queue_size), 2), 64);
	card_close(&c);
	uso = true;
	card_open(&c, 0, 1);
	assert_false(offered(&c) & BIT(VIRTIO_NET_F_MQ));
	assert_int_equal(offered(&c) >> 54 & 7, 7);
	assert_int_equal(driver_reg(&c.d, C(num_queues), 2), 3);
	card_close(&c);
	uso = false;
	card_open(&c, 0, 64);
	assert_int_equal(driver_reg(&c.d, 0x2008, 2), 0xffff); /* not mapped yet */
	driver_map(&c.d);
	assert_int_equal(driver_reg(&c.d, 0x2008, 2), 8);
	card_close(&c);
}

static void test_one_queue_tap(void **state)
{
	struct error err = { 0 };
	struct card c;

	(void)state;
	one_queue = true;
	card_open(&c, 0, 4);
	assert_false(offered(&c) & BIT(VIRTIO_NET_F_MQ));
	card_close(&c);
	assert_false(try_open(&c, 2, 4, &err));
	assert_non_null(strstr(err.text, "mode tap multi_queue"));
	fake_driver_free(&c.d);
	one_queue = false;
}

/* What the driver does not use is not made. */
static void test_unused(void **state)
{
	unsigned before;
	struct card c;

	(void)state;
	card_open(&c, PAIRS, 4);
	before = open_files();
	driver_map(&c.d);
	driver_rings(&c.d, 2, FEATURES);
	driver_go(&c.d);
	assert_true(eventually(&running, 1));
	assert_int_equal(open_files(), before + 2); /* two kicks */
	assert_int_equal(taps, 1);
	assert_int_equal(vhosts, 1);
	card_close(&c);
}

static void test_pairs(void **state)
{
	struct card c;

	(void)state;
	card_open(&c, PAIRS, 4);
	card_start(&c, FEATURES);
	assert_int_equal(set_pairs(&c, 1), VIRTIO_NET_OK);
	assert_int_equal(taps, 1);
	assert_int_equal(set_pairs(&c, 3), VIRTIO_NET_OK);
	assert_int_equal(running, 0x15);
	assert_int_equal(attached, 3);
	assert_int_equal(set_pairs(&c, 2), VIRTIO_NET_OK);
	assert_int_equal(running, 5);
	assert_int_equal(attached, 2);
	assert_int_equal(set_pairs(&c, PAIRS), VIRTIO_NET_OK);
	assert_int_equal(running, 0x55);
	assert_int_equal(taps, PAIRS); /* none was opened twice */
	assert_int_equal(vhosts, PAIRS);
	/* Out of range: nothing changes. */
	assert_int_equal(set_pairs(&c, 0), VIRTIO_NET_ERR);
	assert_int_equal(set_pairs(&c, PAIRS + 1), VIRTIO_NET_ERR);
	assert_int_equal(set_pairs(&c, 0x8000), VIRTIO_NET_ERR);
	assert_int_equal(running, 0x55);
	/* A reset takes it back to one. */
	card_start(&c, FEATURES);
	assert_int_equal(attached, 1);
	card_close(&c);
	assert_int_equal(running, 0);
}

/* Without MQ the control queue comes behind one pair. */
static void test_control_alone(void **state)
{
	const uint8_t mac[] = { VIRTIO_NET_CTRL_MAC, 1, 0x52, 0x54, 0, 9, 9, 9 };
	const uint8_t pairs[] = { VIRTIO_NET_CTRL_MQ, 0, 2, 0 };
	struct card c;

	(void)state;
	card_open(&c, PAIRS, 4);
	card_start(&c, FEATURES & ~BIT(VIRTIO_NET_F_MQ));
	put(&c, 2, pairs, sizeof(pairs));
	assert_int_equal(answered(&c, 2), VIRTIO_NET_ERR);
	put(&c, 2, mac, sizeof(mac));
	assert_int_equal(answered(&c, 2), VIRTIO_NET_OK);
	assert_int_equal(driver_reg(&c.d, 0x2002, 4), 0x09090900);
	/* The next driver sees the card's own. */
	driver_status_set(&c.d, 0);
	assert_int_equal(driver_reg(&c.d, 0x2002, 4), 0x03020100);
	card_close(&c);
}

static void test_disabled_queues(void **state)
{
	struct card c;

	(void)state;
	card_open(&c, PAIRS, 4);
	driver_prepare(&c.d, 3, FEATURES); /* a pair and a half */
	driver_ring(&c.d, CTRL);
	driver_go(&c.d);
	assert_true(eventually(&running, 1));
	assert_int_equal(set_pairs(&c, 2), VIRTIO_NET_ERR);
	assert_int_equal(running, 1);
	assert_int_equal(set_pairs(&c, 1), VIRTIO_NET_OK);
	card_close(&c);
}

/* The tap device has no more queues: what there was goes on. */
static void test_no_more_queues(void **state)
{
	struct card c;

	(void)state;
	card_open(&c, PAIRS, 4);
	card_start(&c, FEATURES);
	assert_int_equal(set_pairs(&c, 2), VIRTIO_NET_OK);
	refuse = true;
	assert_int_equal(set_pairs(&c, PAIRS), VIRTIO_NET_ERR);
	assert_int_equal(running, 5);
	assert_int_equal(attached, 2);
	card_close(&c);
}

static void test_offloads(void **state)
{
	const uint8_t none[10] = { VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0 };
	struct card c;

	(void)state;
	card_open(&c, PAIRS, 4);
	card_start(&c, FEATURES);
	assert_int_equal(offload, 3); /* checksums, TSO4 */
	assert_int_equal(command(&c, none, sizeof(none)), VIRTIO_NET_OK);
	assert_int_equal(offload, 0);
	/* Bus mastering goes and comes back: no reset, so what was asked for is still so. */
	assert_int_equal(set_pairs(&c, 2), VIRTIO_NET_OK);
	pci_cfg_write(c.d.root, 0, FAKE_DEVFN, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_true(eventually(&running, 0));
	driver_map(&c.d);
	assert_true(eventually(&running, 5));
	assert_int_equal(offload, 0);
	card_start(&c, FEATURES);
	assert_int_equal(offload, 3);
	card_close(&c);
}

/* vhost waits for frames in flight: a reset takes a moment at most, and nobody waits with the
 * device's lock held. */
static void test_stop_hangs(void **state)
{
	uint64_t begin;
	struct card c;

	(void)state;
	card_open(&c, PAIRS, 4);
	card_start(&c, FEATURES);
	assert_int_equal(set_pairs(&c, 2), VIRTIO_NET_OK);
	hold = true;
	begin = evloop_now_ns();
	driver_status_set(&c.d, 0);
	assert_int_not_equal(driver_status(&c.d), 0); /* not done yet */
	assert_true(evloop_now_ns() - begin < 5 * 1000000000ull);
	assert_int_equal(stops, 1);
	hold = false;
	for (unsigned i = 0; i < PATIENCE_MS && driver_status(&c.d); i++)
		usleep(1000);
	assert_int_equal(driver_status(&c.d), 0);
	assert_int_equal(running, 0);
	card_start(&c, FEATURES);
	card_close(&c);
}

/* A reset while a command is carried out: fewer pairs, which waits for vhost. */
static void test_reset_in_command(void **state)
{
	const uint8_t one[] = { VIRTIO_NET_CTRL_MQ, 0, 1, 0 };
	struct card c;

	(void)state;
	card_open(&c, PAIRS, 4);
	card_start(&c, FEATURES);
	assert_int_equal(set_pairs(&c, 2), VIRTIO_NET_OK);
	hold = true;
	put(&c, CTRL, one, sizeof(one));
	assert_true(eventually(&stops, 1));
	driver_status_set(&c.d, 0);
	assert_int_not_equal(driver_status(&c.d), 0);
	hold = false;
	for (unsigned i = 0; i < PATIENCE_MS && driver_status(&c.d); i++)
		usleep(1000);
	assert_int_equal(driver_status(&c.d), 0);
	assert_int_equal(running, 0);
	assert_int_equal(attached, 1);
	card_start(&c, FEATURES);
	assert_int_equal(set_pairs(&c, PAIRS), VIRTIO_NET_OK);
	card_close(&c);
}

/* A ring entry that is none: the device needs a reset, and works after it. */
static void test_broken_control(void **state)
{
	struct card c;

	(void)state;
	card_open(&c, PAIRS, 4);
	card_start(&c, FEATURES);
	driver_offer(&c.d, CTRL, 0, UINT64_MAX, 4, 0);
	driver_kick(&c.d, CTRL);
	for (unsigned i = 0; i < PATIENCE_MS; i++) {
		if (driver_status(&c.d) & VIRTIO_CONFIG_S_NEEDS_RESET)
			break;
		usleep(1000);
	}
	assert_int_equal(driver_status(&c.d), 15 | VIRTIO_CONFIG_S_NEEDS_RESET);
	card_start(&c, FEATURES);
	assert_int_equal(set_pairs(&c, 2), VIRTIO_NET_OK);
	card_close(&c);
}

/* The card leaves its bus while its worker waits in the kernel for a queue. The worker goes on, and
 * needs guest memory for it. */
static void test_unplug_in_command(void **state)
{
	const uint8_t cmd[] = { VIRTIO_NET_CTRL_MQ, 0, 2, 0 };
	struct device dev = { .class = &virtio_net_class };
	struct card c;

	(void)state;
	card_open(&c, PAIRS, 4);
	card_start(&c, FEATURES);
	hold_add = true;
	put(&c, CTRL, cmd, sizeof(cmd));
	assert_true(eventually(&adding, 1));
	dev.state = c.net;
	virtio_net_class.unplug(&dev);
	assert_int_equal(driver_reg(&c.d, C(device_status), 1), 0xff);
	hold_add = false;
	assert_int_equal(answered(&c, CTRL), VIRTIO_NET_OK);
	assert_int_equal(running, 5);
	card_close(&c);
	assert_int_equal(running, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offered),	       cmocka_unit_test(test_one_queue_tap),
		cmocka_unit_test(test_unused),	       cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_control_alone),  cmocka_unit_test(test_disabled_queues),
		cmocka_unit_test(test_no_more_queues), cmocka_unit_test(test_offloads),
		cmocka_unit_test(test_stop_hangs),     cmocka_unit_test(test_reset_in_command),
		cmocka_unit_test(test_broken_control), cmocka_unit_test(test_unplug_in_command),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
