/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-net's own data path on a real tap device (skipped without CAP_NET_ADMIN), and virtio-rng.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/virtio/virtio_net.h"
#include "devices/virtio/virtio_rng.h"
#include "tests/unit/fake_driver.h"

#define IFNAME "mvtest0"
#define ETHER  0x88b5 /* IEEE 802 local experimental */

#define PATIENCE_MS 60000u /* long enough for a busy machine */

static void start(struct fake_driver *d, unsigned queues, uint32_t features)
{
	driver_prepare(d, queues, features);
	driver_go(d);
	assert_int_equal(driver_status(d), 15);
}

static bool wait_used(struct fake_driver *d, unsigned q, uint16_t idx)
{
	for (unsigned i = 0; i < PATIENCE_MS; i++) {
		if (__atomic_load_n(&driver_used(d, q)->idx, __ATOMIC_ACQUIRE) == idx)
			return true;
		usleep(1000);
	}
	return false;
}

static int raw_socket(void)
{
	int s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETHER));
	struct sockaddr_ll a = { .sll_family = AF_PACKET,
				 .sll_protocol = htons(ETHER),
				 .sll_ifindex = (int)if_nametoindex(IFNAME) };

	assert_true(s >= 0);
	assert_int_equal(bind(s, (struct sockaddr *)&a, sizeof(a)), 0);
	return s;
}

static void make_frame(uint8_t *f, size_t len)
{
	memset(f, 0xff, 12);
	f[12] = ETHER >> 8;
	f[13] = ETHER & 0xff;
	for (size_t i = 14; i < len; i++)
		f[i] = (uint8_t)i;
}

/* Offers buffers of 128 bytes one by one until `frame` has come, in three of them. Other frames (a
 * fresh interface announces itself by IPv6) may come first. */
static void receive(struct fake_driver *d, const uint8_t *frame, size_t len)
{
	const char *buf = d->r.ram + RING_DATA * 3;
	uint16_t at = 0;

	for (uint16_t i = 0; i < 100; i++) {
		const struct virtio_net_hdr_v1 *h = (const void *)(buf + at % RING_SIZE * 128u);

		driver_offer(d, 0, i % RING_SIZE, RING_DATA * 3 + i % RING_SIZE * 128u, 128,
			     VRING_DESC_F_WRITE);
		driver_kick(d, 0);
		usleep(10000);
		if (__atomic_load_n(&driver_used(d, 0)->idx, __ATOMIC_ACQUIRE) == at)
			continue;
		assert_int_equal(driver_used(d, 0)->idx, (uint16_t)(at + h->num_buffers));
		if (memcmp((const char *)h + 12, frame, 14) == 0) {
			assert_int_equal(h->num_buffers, 3);
			assert_int_equal(driver_used(d, 0)->ring[(at + 2) % RING_SIZE].len,
					 12 + len - 256);
			assert_memory_equal((const char *)h + 12, frame, 116);
			assert_memory_equal(buf + (at + 1) % RING_SIZE * 128u, frame + 116, 128);
			return;
		}
		at = driver_used(d, 0)->idx;
	}
	fail_msg("the frame was not received");
}

static void frames_both_ways(void **state)
{
	struct net_config c = { .ifname = IFNAME,
				.no_vhost = true,
				.mac = { 0x52, 0x54, 0, 1, 2, 3 } };
	struct error err = { 0 };
	struct virtio_net *n;
	struct fake_driver d;
	uint8_t frame[300], got[2048];
	int s;

	(void)state;
	assert_int_equal(fake_driver_init(&d), 0);
	n = virtio_net_open(&c, &err);
	if (!n || virtio_net_plug(n, d.root, &d.root->bus, FAKE_DEVFN, &c, &err) < 0) {
		virtio_net_free(n);
		print_message("%s\n", err.text);
		fake_driver_free(&d);
		skip();
	}
	s = raw_socket();
	start(&d, 2, 1u << VIRTIO_NET_F_MRG_RXBUF | 1u << VIRTIO_NET_F_MAC);
	assert_int_equal(driver_reg(&d, 0x2000, 4), 0x01005452);
	/* Out. */
	make_frame(frame, sizeof(frame));
	memset(d.r.ram + RING_DATA * 2, 0, 12);
	memcpy(d.r.ram + RING_DATA * 2 + 12, frame, sizeof(frame));
	driver_offer(&d, 1, 0, RING_DATA * 2, 12 + sizeof(frame), 0);
	driver_kick(&d, 1);
	assert_true(wait_used(&d, 1, 1));
	assert_int_equal(recv(s, got, sizeof(got), 0), sizeof(frame));
	assert_memory_equal(got, frame, sizeof(frame));
	/* A frame arrives while there are no buffers; then it is received in three buffers of 128
	 * bytes. */
	assert_int_equal(send(s, frame, sizeof(frame), 0), sizeof(frame));
	receive(&d, frame, sizeof(frame));
	close(s);
	virtio_net_free(n);
	fake_driver_free(&d);
}

static void send_frame(struct fake_driver *d, unsigned q, uint8_t last)
{
	uint8_t frame[100];

	make_frame(frame, sizeof(frame));
	frame[sizeof(frame) - 1] = last;
	memset(d->r.ram + RING_DATA * 2, 0, 12);
	memcpy(d->r.ram + RING_DATA * 2 + 12, frame, sizeof(frame));
	driver_offer(d, q, 0, RING_DATA * 2, 12 + sizeof(frame), 0);
	driver_kick(d, q);
}

/* Frames of both pairs; the second pair's only while it is in use. */
static void two_pairs(void **state)
{
	struct net_config c = { .ifname = IFNAME, .no_vhost = true, .queues = 2 };
	uint8_t command[] = { VIRTIO_NET_CTRL_MQ, 0, 2, 0 }, got[2048];
	struct error err = { 0 };
	struct virtio_net *n;
	struct fake_driver d;
	int s;

	(void)state;
	assert_int_equal(fake_driver_init(&d), 0);
	n = virtio_net_open(&c, &err);
	if (!n || virtio_net_plug(n, d.root, &d.root->bus, FAKE_DEVFN, &c, &err) < 0) {
		print_message("%s\n", err.text);
		fake_driver_free(&d);
		skip();
	}
	s = raw_socket();
	start(&d, 5, 1u << VIRTIO_NET_F_CTRL_VQ | 1u << VIRTIO_NET_F_MQ);
	send_frame(&d, 3, 1); /* the second pair's, which is not in use yet */
	send_frame(&d, 1, 2);
	assert_true(wait_used(&d, 1, 1));
	assert_int_equal(recv(s, got, sizeof(got), 0), 100);
	assert_int_equal(got[99], 2);
	memcpy(d.r.ram + RING_DATA, command, sizeof(command));
	driver_command(&d, 4, RING_DATA, sizeof(command), RING_DATA + 0x100);
	assert_true(wait_used(&d, 4, 1));
	assert_int_equal(d.r.ram[RING_DATA + 0x100], VIRTIO_NET_OK);
	assert_true(wait_used(&d, 3, 1));
	assert_int_equal(recv(s, got, sizeof(got), 0), 100);
	close(s);
	assert_true(virtio_net_free(n));
	fake_driver_free(&d);
}

/* ip link del. */
static void delete_link(const char *name)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg i;
	} m = { { sizeof(m), RTM_DELLINK, NLM_F_REQUEST | NLM_F_ACK, 1, 0 },
		{ .ifi_index = (int)if_nametoindex(name) } };
	int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	char ack[256];

	assert_int_equal(send(s, &m, sizeof(m), 0), sizeof(m));
	assert_true(recv(s, ack, sizeof(ack), 0) > 0);
	close(s);
	assert_int_equal(if_nametoindex(name), 0);
}

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The host removes the tap device: the guest sees that the link is down, and no thread spins. */
static void tap_removed(void **state)
{
	struct net_config c = { .ifname = IFNAME, .no_vhost = true };
	struct error err = { 0 };
	struct virtio_net *n;
	struct fake_driver d;
	uint8_t generation, frame[300];
	uint32_t isr = 0;
	int s;
	double before;

	(void)state;
	assert_int_equal(fake_driver_init(&d), 0);
	n = virtio_net_open(&c, &err);
	if (!n || virtio_net_plug(n, d.root, &d.root->bus, FAKE_DEVFN, &c, &err) < 0) {
		virtio_net_free(n);
		print_message("%s\n", err.text);
		fake_driver_free(&d);
		skip();
	}
	start(&d, 2, 1u << VIRTIO_NET_F_STATUS);
	assert_int_equal(driver_reg(&d, 0x2006, 2), VIRTIO_NET_S_LINK_UP);
	generation = (uint8_t)driver_reg(&d, C(config_generation), 1);
	/* The device holds a frame for which the guest has no buffers. */
	s = raw_socket();
	make_frame(frame, sizeof(frame));
	assert_int_equal(send(s, frame, sizeof(frame), 0), sizeof(frame));
	close(s);
	usleep(50000);
	delete_link(IFNAME);
	for (unsigned i = 0; i < PATIENCE_MS && driver_reg(&d, 0x2006, 2); i++)
		usleep(1000);
	assert_int_equal(driver_reg(&d, 0x2006, 2), 0);
	for (unsigned i = 0; i < PATIENCE_MS && !(isr & 2); i++) {
		driver_turn(&d, 1);
		isr |= driver_reg(&d, 0x1000, 1); /* reading clears it */
	}
	assert_true(isr & 2); /* the configuration changed */
	assert_int_not_equal(driver_reg(&d, C(config_generation), 1), generation);
	before = cpu_seconds();
	usleep(500000);
	assert_true(cpu_seconds() - before < 0.05);
	/* Frames that the guest sends are taken, but lost. */
	driver_offer(&d, 1, 0, RING_DATA * 2, 100, 0);
	driver_kick(&d, 1);
	assert_true(wait_used(&d, 1, 1));
	start(&d, 2, 1u << VIRTIO_NET_F_STATUS);
	assert_int_equal(driver_reg(&d, 0x2006, 2), 0);
	virtio_net_free(n);
	fake_driver_free(&d);
}

static void rng_fills(void **state)
{
	struct error err = { 0 };
	struct virtio_rng *n;
	struct fake_driver d;
	unsigned zero = 0;

	(void)state;
	assert_int_equal(fake_driver_init(&d), 0);
	n = virtio_rng_new(d.root, &d.root->bus, FAKE_DEVFN, &err);
	assert_non_null(n);
	start(&d, 1, 0);
	driver_offer(&d, 0, 0, RING_DATA * 2, 256, VRING_DESC_F_WRITE);
	driver_kick(&d, 0);
	driver_turn(&d, 50);
	assert_int_equal(driver_used(&d, 0)->idx, 1);
	assert_int_equal(driver_used(&d, 0)->ring[0].len, 256);
	for (unsigned i = 0; i < 256; i++)
		zero += d.r.ram[RING_DATA * 2 + i] == 0;
	assert_true(zero < 32);
	/* A broken ring. */
	driver_offer(&d, 0, 0, UINT64_MAX, 256, VRING_DESC_F_WRITE);
	driver_kick(&d, 0);
	driver_turn(&d, 50);
	assert_int_equal(driver_status(&d), 15 | VIRTIO_CONFIG_S_NEEDS_RESET);
	virtio_rng_free(n);
	fake_driver_free(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_both_ways),
		cmocka_unit_test(two_pairs),
		cmocka_unit_test(tap_removed),
		cmocka_unit_test(rng_fills),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
