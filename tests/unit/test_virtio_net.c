// SPDX-License-Identifier: BSD-2-Clause
/* virtio-net's own data path on a real tap device (skipped without CAP_NET_ADMIN), and virtio-rng.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/pci.h"
#include "devices/virtio_net.h"
#include "devices/virtio_rng.h"
#include "tests/unit/ring.h"
#include "vmm/evloop.h"

#define BAR    0xe0000000u
#define NOTIFY (BAR + 0x3000)
#define IFNAME "mvtest0"
#define ETHER  0x88b5  /* IEEE 802 local experimental */
#define QUEUE  0x4000u /* guest memory from one queue's rings to the next's */

static int fine(void *o, uint32_t gsi, bool level)
{
	(void)o, (void)gsi, (void)level;
	return 0;
}

static int fine_routes(void *o, const struct irq_backend_route *r, unsigned n)
{
	(void)o, (void)r, (void)n;
	return 0;
}

static const struct irq_backend_ops irq_ops = { .set_line = fine, .set_routes = fine_routes };

struct env {
	struct ring r;
	struct pci_root root;
	uint16_t avail_idx[2];
};

#define C(field) ((uint32_t)offsetof(struct virtio_pci_common_cfg, field))

static void reg_set(struct env *e, uint32_t off, unsigned size, uint32_t val)
{
	bus_write(e->root.mmio, BAR + off, size, val);
}

static void env_init(struct env *e)
{
	memset(e, 0, sizeof(*e));
	assert_int_equal(ring_memory(&e->r), 0);
	pci_root_init(&e->root);
	e->root.mem = e->r.mem;
	e->root.mmio = bus_new(UINT64_MAX);
	e->root.pio = bus_new(0x10000);
	e->root.irq = irq_table_new(&irq_ops, e, 64);
	e->root.loop = evloop_new();
}

static void env_free(struct env *e)
{
	evloop_free(e->root.loop);
	irq_table_free(e->root.irq);
	bus_free(e->root.mmio);
	bus_free(e->root.pio);
	pci_root_destroy(&e->root);
	ring_free(&e->r);
}

/* Rings of queue q lie at QUEUE * (q + 1). */
static void start(struct env *e, unsigned queues, uint32_t features)
{
	pci_cfg_write(&e->root, 0, PCI_DEVFN(3, 0), PCI_BASE_ADDRESS_0, 4, BAR);
	pci_cfg_write(&e->root, 0, PCI_DEVFN(3, 0), PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	reg_set(e, C(device_status), 1, 3);
	reg_set(e, C(guest_feature_select), 4, 0);
	reg_set(e, C(guest_feature), 4, features);
	reg_set(e, C(guest_feature_select), 4, 1);
	reg_set(e, C(guest_feature), 4, 1);
	reg_set(e, C(device_status), 1, 11);
	for (unsigned q = 0; q < queues; q++) {
		reg_set(e, C(queue_select), 2, q);
		reg_set(e, C(queue_size), 2, RING_SIZE);
		reg_set(e, C(queue_desc_lo), 4, QUEUE * (q + 1));
		reg_set(e, C(queue_avail_lo), 4, QUEUE * (q + 1) + 0x1000);
		reg_set(e, C(queue_used_lo), 4, QUEUE * (q + 1) + 0x2000);
		reg_set(e, C(queue_enable), 2, 1);
	}
	reg_set(e, C(device_status), 1, 15);
	assert_int_equal(bus_read(e->root.mmio, BAR + C(device_status), 1), 15);
}

static void offer(struct env *e, unsigned q, uint16_t i, uint64_t addr, uint32_t len,
		  uint16_t flags)
{
	char *base = e->r.ram + QUEUE * (q + 1);
	struct virtq_avail *a = (struct virtq_avail *)(base + 0x1000);

	((struct virtq_desc *)base)[i] = (struct virtq_desc){ addr, len, flags, 0 };
	a->ring[e->avail_idx[q]++ % RING_SIZE] = i;
	__atomic_store_n(&a->idx, e->avail_idx[q], __ATOMIC_RELEASE);
}

static struct virtq_used *used(struct env *e, unsigned q)
{
	return (struct virtq_used *)(e->r.ram + QUEUE * (q + 1) + 0x2000);
}

static bool wait_used(struct env *e, unsigned q, uint16_t idx)
{
	for (unsigned i = 0; i < 2000; i++) {
		if (__atomic_load_n(&used(e, q)->idx, __ATOMIC_ACQUIRE) == idx)
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
static void receive(struct env *e, const uint8_t *frame, size_t len)
{
	const char *buf = e->r.ram + RING_DATA * 3;
	uint16_t at = 0;

	for (uint16_t i = 0; i < 100; i++) {
		const struct virtio_net_hdr_v1 *h = (const void *)(buf + at % RING_SIZE * 128u);

		offer(e, 0, i % RING_SIZE, RING_DATA * 3 + i % RING_SIZE * 128u, 128,
		      VRING_DESC_F_WRITE);
		bus_write(e->root.mmio, NOTIFY, 2, 0);
		usleep(10000);
		if (__atomic_load_n(&used(e, 0)->idx, __ATOMIC_ACQUIRE) == at)
			continue;
		assert_int_equal(used(e, 0)->idx, (uint16_t)(at + h->num_buffers));
		if (memcmp((const char *)h + 12, frame, 14) == 0) {
			assert_int_equal(h->num_buffers, 3);
			assert_int_equal(used(e, 0)->ring[(at + 2) % RING_SIZE].len,
					 12 + len - 256);
			assert_memory_equal((const char *)h + 12, frame, 116);
			assert_memory_equal(buf + (at + 1) % RING_SIZE * 128u, frame + 116, 128);
			return;
		}
		at = used(e, 0)->idx;
	}
	fail_msg("the frame was not received");
}

static void frames_both_ways(void **state)
{
	struct net_config c = { .ifname = IFNAME,
				.no_vhost = true,
				.has_mac = true,
				.mac = { 0x52, 0x54, 0, 1, 2, 3 } };
	struct error err = { 0 };
	struct virtio_net *n;
	struct env e;
	uint8_t frame[300], got[2048];
	int s;

	(void)state;
	env_init(&e);
	n = virtio_net_new(&e.root, &e.root.bus, PCI_DEVFN(3, 0), &c, &err);
	if (!n) {
		print_message("%s\n", err.text);
		env_free(&e);
		skip();
	}
	s = raw_socket();
	start(&e, 2, 1u << VIRTIO_NET_F_MRG_RXBUF | 1u << VIRTIO_NET_F_MAC);
	assert_int_equal(bus_read(e.root.mmio, BAR + 0x2000, 4), 0x01005452);
	/* Out. */
	make_frame(frame, sizeof(frame));
	memset(e.r.ram + RING_DATA * 2, 0, 12);
	memcpy(e.r.ram + RING_DATA * 2 + 12, frame, sizeof(frame));
	offer(&e, 1, 0, RING_DATA * 2, 12 + sizeof(frame), 0);
	bus_write(e.root.mmio, NOTIFY + 4, 2, 1);
	assert_true(wait_used(&e, 1, 1));
	assert_int_equal(recv(s, got, sizeof(got), 0), sizeof(frame));
	assert_memory_equal(got, frame, sizeof(frame));
	/* In, while no buffers are there; then in three buffers of 128 bytes. */
	assert_int_equal(send(s, frame, sizeof(frame), 0), sizeof(frame));
	receive(&e, frame, sizeof(frame));
	close(s);
	virtio_net_free(n);
	env_free(&e);
}

static void stop_loop(void *loop)
{
	evloop_stop(loop, 0);
}

static void rng_fills(void **state)
{
	struct error err = { 0 };
	struct virtio_rng *n;
	struct ev_timer *t;
	struct env e;
	unsigned zero = 0;

	(void)state;
	env_init(&e);
	n = virtio_rng_new(&e.root, &e.root.bus, PCI_DEVFN(3, 0), &err);
	assert_non_null(n);
	start(&e, 1, 0);
	offer(&e, 0, 0, RING_DATA * 2, 256, VRING_DESC_F_WRITE);
	bus_write(e.root.mmio, NOTIFY, 2, 0);
	t = evloop_add_timer(e.root.loop, stop_loop, e.root.loop);
	ev_timer_set(t, evloop_now_ns() + 50000000);
	evloop_run(e.root.loop);
	assert_int_equal(used(&e, 0)->idx, 1);
	assert_int_equal(used(&e, 0)->ring[0].len, 256);
	for (unsigned i = 0; i < 256; i++)
		zero += e.r.ram[RING_DATA * 2 + i] == 0;
	assert_true(zero < 32);
	/* A broken ring. */
	offer(&e, 0, 0, UINT64_MAX, 256, VRING_DESC_F_WRITE);
	bus_write(e.root.mmio, NOTIFY, 2, 0);
	ev_timer_set(t, evloop_now_ns() + 50000000);
	evloop_run(e.root.loop);
	assert_int_equal(bus_read(e.root.mmio, BAR + C(device_status), 1),
			 15 | VIRTIO_CONFIG_S_NEEDS_RESET);
	evloop_del_timer(t);
	virtio_rng_free(n);
	env_free(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_both_ways),
		cmocka_unit_test(rng_fills),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
