// SPDX-License-Identifier: BSD-2-Clause
/* The transport, MSI-X and a whole virtio-blk, driven through registers as a driver does. */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/msix.h"
#include "devices/pci.h"
#include "devices/virtio_blk.h"
#include "tests/unit/ring.h"
#include "vmm/evloop.h"

#define BAR    0xe0000000u
#define NOTIFY (BAR + 0x3000)
#define TABLE  (BAR + 0x4000)
#define MSIX   0x40u
#define HDR    RING_DATA
#define STATUS (RING_DATA + 0x100)
#define BUF    (RING_DATA + 0x1000)

#define ACK (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER)

struct env {
	char path[64];
	struct ring r;
	struct pci_root root;
	struct virtio_blk *blk;
	int fd_of[64]; /* irqfd by GSI */
	bool line[64];
	uint64_t msi_addr[64];
	uint32_t msi_data[64];
};

static int set_line(void *arg, uint32_t gsi, bool level)
{
	((struct env *)arg)->line[gsi] = level;
	return 0;
}

static int set_routes(void *arg, const struct irq_backend_route *r, unsigned n)
{
	struct env *e = arg;

	for (unsigned i = 0; i < n; i++)
		if (r[i].is_msi) {
			e->msi_addr[r[i].gsi] = r[i].msi.addr;
			e->msi_data[r[i].gsi] = r[i].msi.data;
		}
	return 0;
}

static int irqfd_add(void *arg, uint32_t gsi, int fd, int resample)
{
	(void)resample;
	((struct env *)arg)->fd_of[gsi] = fd;
	return 0;
}

static int irqfd_del(void *arg, uint32_t gsi, int fd)
{
	(void)fd;
	((struct env *)arg)->fd_of[gsi] = -1;
	return 0;
}

static const struct irq_backend_ops irq_ops = {
	.set_line = set_line,
	.set_routes = set_routes,
	.irqfd_add = irqfd_add,
	.irqfd_del = irqfd_del,
};

static uint32_t cfg(struct env *e, unsigned off, unsigned size)
{
	return pci_cfg_read(&e->root, 0, PCI_DEVFN(3, 0), off, size);
}

static void cfg_set(struct env *e, unsigned off, unsigned size, uint32_t val)
{
	pci_cfg_write(&e->root, 0, PCI_DEVFN(3, 0), off, size, val);
}

static uint32_t reg(struct env *e, uint32_t off, unsigned size)
{
	return (uint32_t)bus_read(e->root.mmio, BAR + off, size);
}

static void reg_set(struct env *e, uint32_t off, unsigned size, uint32_t val)
{
	bus_write(e->root.mmio, BAR + off, size, val);
}

static void map_bar(struct env *e)
{
	cfg_set(e, PCI_BASE_ADDRESS_0, 4, BAR);
	cfg_set(e, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static int setup(void **state)
{
	struct env *e = calloc(1, sizeof(*e));
	struct blk_config c = { .path = e->path, .queues = 2, .serial = "S1" };
	struct error err = { 0 };
	int fd;

	strcpy(e->path, "/var/tmp/minivmm-test-XXXXXX");
	fd = mkstemp(e->path);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	assert_int_equal(pwrite(fd, "first sector", 12, 0), 12);
	close(fd);
	memset(e->fd_of, 0xff, sizeof(e->fd_of));
	assert_int_equal(ring_memory(&e->r), 0);
	pci_root_init(&e->root);
	e->root.mem = e->r.mem;
	e->root.mmio = bus_new(UINT64_MAX);
	e->root.pio = bus_new(0x10000);
	e->root.irq = irq_table_new(&irq_ops, e, 64);
	e->root.loop = evloop_new();
	e->blk = virtio_blk_new(&e->root, &e->root.bus, PCI_DEVFN(3, 0), &c, &err);
	if (!e->blk)
		fail_msg("%s", err.text);
	map_bar(e);
	*state = e;
	return 0;
}

static int teardown(void **state)
{
	struct env *e = *state;

	virtio_blk_free(e->blk);
	evloop_free(e->root.loop);
	irq_table_free(e->root.irq);
	bus_free(e->root.mmio);
	bus_free(e->root.pio);
	pci_root_destroy(&e->root);
	ring_free(&e->r);
	unlink(e->path);
	free(e);
	return 0;
}

#define C(field) ((uint32_t)offsetof(struct virtio_pci_common_cfg, field))

static uint8_t status(struct env *e)
{
	return (uint8_t)reg(e, C(device_status), 1);
}

static void status_set(struct env *e, uint8_t v)
{
	reg_set(e, C(device_status), 1, v);
}

static void accept_features(struct env *e, uint32_t low)
{
	status_set(e, 0);
	status_set(e, ACK);
	reg_set(e, C(guest_feature_select), 4, 0);
	reg_set(e, C(guest_feature), 4, low);
	reg_set(e, C(guest_feature_select), 4, 1);
	reg_set(e, C(guest_feature), 4, 1 /* VERSION_1 */);
	status_set(e, ACK | VIRTIO_CONFIG_S_FEATURES_OK);
}

static void enable_queue(struct env *e, uint32_t desc)
{
	e->r.avail_idx = e->r.used_idx = 0;
	memset(e->r.ram + RING_DESC, 0, 0x3000);
	reg_set(e, C(queue_select), 2, 0);
	reg_set(e, C(queue_size), 2, RING_SIZE);
	reg_set(e, C(queue_desc_lo), 4, desc);
	reg_set(e, C(queue_desc_hi), 4, 0);
	reg_set(e, C(queue_avail_lo), 4, RING_AVAIL);
	reg_set(e, C(queue_used_lo), 4, RING_USED);
	reg_set(e, C(queue_enable), 2, 1);
}

static void go(struct env *e)
{
	status_set(e, ACK | VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
}

static void wait_used(struct env *e, uint16_t idx)
{
	for (unsigned i = 0; i < 5000; i++) {
		if (__atomic_load_n(&ring_used(&e->r)->idx, __ATOMIC_ACQUIRE) == idx)
			return;
		usleep(1000);
	}
	fail_msg("nothing completed");
}

static void offer_read(struct env *e)
{
	memset(e->r.ram + HDR, 0, 16); /* VIRTIO_BLK_T_IN, sector 0 */
	ring_set(&e->r, 0, HDR, 16, VRING_DESC_F_NEXT, 1);
	ring_set(&e->r, 1, BUF, 512, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2);
	ring_set(&e->r, 2, STATUS, 1, VRING_DESC_F_WRITE, 0);
	ring_offer(&e->r, 0);
	bus_write(e->root.mmio, NOTIFY, 2, 0);
}

static void identity(void **state)
{
	struct env *e = *state;

	assert_int_equal(cfg(e, PCI_VENDOR_ID, 4), 0x10421af4);
	assert_true(cfg(e, PCI_REVISION_ID, 1) >= 1);
	assert_true(cfg(e, PCI_SUBSYSTEM_ID, 2) >= 0x40);
	assert_int_equal(reg(e, C(num_queues), 2), 2);
	assert_int_equal(reg(e, C(queue_size), 2), 256);
	reg_set(e, C(queue_select), 2, 2);
	assert_int_equal(reg(e, C(queue_size), 2), 0);
	assert_int_equal(reg(e, 0x2000, 4), 2048); /* capacity */
}

static void capabilities(void **state)
{
	struct env *e = *state;
	unsigned seen = 0, n = 0;

	for (unsigned at = cfg(e, PCI_CAPABILITY_LIST, 1); at; at = cfg(e, at + 1, 1)) {
		assert_true(n++ < 16);
		if (cfg(e, at, 1) == PCI_CAP_ID_VNDR)
			seen |= 1u << cfg(e, at + VIRTIO_PCI_CAP_CFG_TYPE, 1);
	}
	assert_int_equal(seen, 0x3e); /* 1..5 */
}

static void negotiation(void **state)
{
	struct env *e = *state;

	/* Not without VERSION_1, nor with a feature that was not offered. */
	status_set(e, ACK);
	status_set(e, ACK | VIRTIO_CONFIG_S_FEATURES_OK);
	assert_int_equal(status(e), ACK);
	accept_features(e, 1u << 31);
	assert_int_equal(status(e), ACK);
	go(e);
	assert_int_equal(status(e) & VIRTIO_CONFIG_S_DRIVER_OK, 0);
	accept_features(e, 0);
	assert_int_equal(status(e), ACK | VIRTIO_CONFIG_S_FEATURES_OK);
	/* Settled: later writes do nothing. */
	reg_set(e, C(guest_feature), 4, 0);
	assert_int_equal(reg(e, C(guest_feature), 4), 1);
	status_set(e, 0);
	assert_int_equal(status(e), 0);
}

static void reads_a_sector(void **state)
{
	struct env *e = *state;

	accept_features(e, 0);
	enable_queue(e, RING_DESC);
	go(e);
	offer_read(e);
	wait_used(e, 1);
	assert_string_equal(e->r.ram + BUF, "first sector");
	assert_int_equal(e->r.ram[STATUS], VIRTIO_BLK_S_OK);
	/* Reset, then the same again. */
	status_set(e, 0);
	assert_int_equal(reg(e, C(queue_enable), 2), 0);
	accept_features(e, 0);
	enable_queue(e, RING_DESC);
	go(e);
	offer_read(e);
	wait_used(e, 1);
}

static void bad_ring_address(void **state)
{
	struct env *e = *state;

	accept_features(e, 0);
	enable_queue(e, RING_MEM);
	assert_true(status(e) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_int_equal(reg(e, C(queue_enable), 2), 0);
	go(e);
	offer_read(e);
	status_set(e, 0);
	assert_int_equal(status(e), 0);
}

static void broken_ring_needs_reset(void **state)
{
	struct env *e = *state;

	for (unsigned round = 0; round < 3; round++) {
		accept_features(e, 0);
		enable_queue(e, RING_DESC);
		go(e);
		ring_offer(&e->r, 200);
		bus_write(e->root.mmio, NOTIFY, 2, 0);
		for (unsigned i = 0; i < 5000 && !(status(e) & VIRTIO_CONFIG_S_NEEDS_RESET); i++)
			usleep(1000);
		assert_true(status(e) & VIRTIO_CONFIG_S_NEEDS_RESET);
	}
	accept_features(e, 0);
	enable_queue(e, RING_DESC);
	go(e);
	offer_read(e);
	wait_used(e, 1);
}

static int irq_fd(struct env *e)
{
	for (unsigned i = 24; i < 64; i++)
		if (e->fd_of[i] >= 0)
			return (int)i;
	return -1;
}

static bool readable(int fd)
{
	struct pollfd p = { fd, POLLIN, 0 };

	return poll(&p, 1, 0) == 1;
}

static void table_set(struct env *e, unsigned v, uint32_t data, uint32_t ctrl)
{
	bus_write(e->root.mmio, TABLE + v * 16, 4, 0xfee00000);
	bus_write(e->root.mmio, TABLE + v * 16 + 4, 4, 0);
	bus_write(e->root.mmio, TABLE + v * 16 + 8, 4, data);
	bus_write(e->root.mmio, TABLE + v * 16 + 12, 4, ctrl);
}

static void msix_delivers_and_pends(void **state)
{
	struct env *e = *state;
	int gsi;

	cfg_set(e, MSIX + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	accept_features(e, 0);
	enable_queue(e, RING_DESC);
	reg_set(e, C(queue_msix_vector), 2, 7); /* there are 3 */
	assert_int_equal(reg(e, C(queue_msix_vector), 2), VIRTIO_MSI_NO_VECTOR);
	reg_set(e, C(queue_msix_vector), 2, 1);
	assert_int_equal(reg(e, C(queue_msix_vector), 2), 1);
	table_set(e, 1, 0x41, 1); /* masked */
	go(e);
	offer_read(e);
	wait_used(e, 1);
	usleep(2000);
	assert_int_equal(irq_fd(e), -1);
	/* Pending bit 1, one page behind the table. */
	assert_int_equal(bus_read(e->root.mmio, TABLE + 0x1000, 4), 2);
	table_set(e, 1, 0x41, 0);
	gsi = irq_fd(e);
	assert_true(gsi >= 24);
	assert_int_equal(e->msi_data[gsi], 0x41);
	assert_int_equal(e->msi_addr[gsi], 0xfee00000);
	assert_true(readable(e->fd_of[gsi])); /* the hypervisor would inject it */
	assert_int_equal(bus_read(e->root.mmio, TABLE + 0x1000, 4), 0);
	/* The function mask detaches, unmasking attaches, disabling detaches. */
	cfg_set(e, MSIX + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	assert_int_equal(irq_fd(e), -1);
	cfg_set(e, MSIX + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(irq_fd(e), gsi);
	table_set(e, 1, 0x42, 0);
	assert_int_equal(e->msi_data[gsi], 0x42);
	cfg_set(e, MSIX + PCI_MSIX_FLAGS, 2, 0);
	assert_int_equal(irq_fd(e), -1);
}

static void stop_loop(void *loop)
{
	evloop_stop(loop, 0);
}

static void run_loop(struct env *e)
{
	struct ev_timer *t = evloop_add_timer(e->root.loop, stop_loop, e->root.loop);

	ev_timer_set(t, evloop_now_ns() + 2000000);
	evloop_run(e->root.loop);
	evloop_del_timer(t);
}

static bool any_line(const struct env *e)
{
	for (unsigned i = 16; i < 24; i++)
		if (e->line[i])
			return true;
	return false;
}

static void intx_and_isr(void **state)
{
	struct env *e = *state;

	accept_features(e, 0);
	enable_queue(e, RING_DESC);
	go(e);
	offer_read(e);
	wait_used(e, 1);
	for (unsigned i = 0; i < 1000 && !any_line(e); i++)
		run_loop(e);
	assert_true(any_line(e));
	assert_int_equal(reg(e, 0x1000, 1), 1);
	assert_false(any_line(e));
	assert_int_equal(reg(e, 0x1000, 1), 0);
}

static void pci_window(void **state)
{
	struct env *e = *state;
	unsigned at = 0, next = cfg(e, PCI_CAPABILITY_LIST, 1);

	for (; next; next = cfg(e, next + 1, 1))
		if (cfg(e, next, 1) == PCI_CAP_ID_VNDR &&
		    cfg(e, next + VIRTIO_PCI_CAP_CFG_TYPE, 1) == VIRTIO_PCI_CAP_PCI_CFG)
			at = next;
	assert_int_not_equal(at, 0);
	cfg_set(e, at + VIRTIO_PCI_CAP_OFFSET, 4, C(num_queues));
	cfg_set(e, at + VIRTIO_PCI_CAP_LENGTH, 4, 2);
	assert_int_equal(cfg(e, at + 16, 2), 2);
	cfg_set(e, at + VIRTIO_PCI_CAP_OFFSET, 4, C(device_status));
	cfg_set(e, at + VIRTIO_PCI_CAP_LENGTH, 4, 1);
	cfg_set(e, at + 16, 1, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	assert_int_equal(status(e), VIRTIO_CONFIG_S_ACKNOWLEDGE);
	/* Windows that lead nowhere. */
	cfg_set(e, at + VIRTIO_PCI_CAP_OFFSET, 4, 0xfffffffc);
	cfg_set(e, at + VIRTIO_PCI_CAP_LENGTH, 4, 4);
	cfg(e, at + 16, 4);
	cfg_set(e, at + VIRTIO_PCI_CAP_LENGTH, 4, 0x80000000);
	cfg_set(e, at + 16, 4, 0);
	cfg_set(e, at + VIRTIO_PCI_CAP_BAR, 1, 5);
	cfg(e, at + 16, 4);
}

static void bar_moves_and_machine_resets(void **state)
{
	struct env *e = *state;

	accept_features(e, 0);
	enable_queue(e, RING_DESC);
	go(e);
	cfg_set(e, PCI_COMMAND, 2, 0);
	assert_int_equal(reg(e, C(num_queues), 2), 0xffff);
	map_bar(e);
	offer_read(e); /* the doorbell is back */
	wait_used(e, 1);
	pci_reset_all(&e->root);
	map_bar(e);
	assert_int_equal(status(e), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(identity),
		T(capabilities),
		T(negotiation),
		T(reads_a_sector),
		T(bad_ring_address),
		T(broken_ring_needs_reset),
		T(msix_delivers_and_pends),
		T(intx_and_isr),
		T(pci_window),
		T(bar_moves_and_machine_resets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
