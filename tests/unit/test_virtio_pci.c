/* SPDX-License-Identifier: BSD-2-Clause */
/* The transport, MSI-X and a whole virtio-blk, used through registers like a driver does. */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/pci/msix.h"
#include "devices/virtio/virtio_blk.h"
#include "tests/unit/fake_driver.h"

#define TABLE  (FAKE_BAR + 0x4000)
#define MSIX   0x40u
#define HDR    RING_DATA
#define STATUS (RING_DATA + 0x100)
#define BUF    (RING_DATA + 0x1000)

#define ACK (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER)

struct env {
	char path[64];
	struct fake_driver d;
	struct virtio_blk *blk;
};

static uint32_t cfg(struct env *e, unsigned off, unsigned size)
{
	return pci_cfg_read(e->d.root, 0, FAKE_DEVFN, off, size);
}

static void cfg_set(struct env *e, unsigned off, unsigned size, uint32_t val)
{
	pci_cfg_write(e->d.root, 0, FAKE_DEVFN, off, size, val);
}

static uint32_t reg(struct env *e, uint32_t off, unsigned size)
{
	return driver_reg(&e->d, off, size);
}

static void reg_set(struct env *e, uint32_t off, unsigned size, uint32_t val)
{
	driver_reg_set(&e->d, off, size, val);
}

static int setup(void **state)
{
	struct env *e = calloc(1, sizeof(*e));
	struct blk_config c = {
		.path = e->path, .cache = BLK_CACHE_WRITEBACK, .queues = 2, .serial = "S1"
	};
	struct error err = { 0 };
	int fd;

	strcpy(e->path, "/var/tmp/minivmm-test-XXXXXX");
	fd = mkstemp(e->path);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	assert_int_equal(pwrite(fd, "first sector", 12, 0), 12);
	close(fd);
	assert_int_equal(fake_driver_init(&e->d), 0);
	e->blk = virtio_blk_open(&c, &err);
	if (!e->blk ||
	    virtio_blk_plug(e->blk, e->d.root, &e->d.root->bus, FAKE_DEVFN, &c, &err) < 0)
		fail_msg("%s", err.text);
	driver_map(&e->d);
	*state = e;
	return 0;
}

static int teardown(void **state)
{
	struct env *e = *state;

	virtio_blk_free(e->blk);
	fake_driver_free(&e->d);
	unlink(e->path);
	free(e);
	return 0;
}

static uint8_t status(struct env *e)
{
	return driver_status(&e->d);
}

static void status_set(struct env *e, uint8_t v)
{
	driver_status_set(&e->d, v);
}

static void accept_features(struct env *e, uint32_t low)
{
	driver_accept(&e->d, low);
}

static void enable_queue(struct env *e, uint32_t desc)
{
	e->d.r.avail_idx = e->d.r.used_idx = 0;
	memset(e->d.r.ram + RING_DESC, 0, 0x3000);
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
	driver_go(&e->d);
}

static void wait_used(struct env *e, uint16_t idx)
{
	for (unsigned i = 0; i < 5000; i++) {
		if (__atomic_load_n(&ring_used(&e->d.r)->idx, __ATOMIC_ACQUIRE) == idx)
			return;
		usleep(1000);
	}
	fail_msg("nothing completed");
}

static void offer_read(struct env *e)
{
	memset(e->d.r.ram + HDR, 0, 16); /* VIRTIO_BLK_T_IN, sector 0 */
	ring_set(&e->d.r, 0, HDR, 16, VRING_DESC_F_NEXT, 1);
	ring_set(&e->d.r, 1, BUF, 512, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2);
	ring_set(&e->d.r, 2, STATUS, 1, VRING_DESC_F_WRITE, 0);
	ring_offer(&e->d.r, 0);
	driver_kick(&e->d, 0);
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

	/* Features without VERSION_1, or with one that was not offered, are refused. */
	status_set(e, ACK);
	status_set(e, ACK | VIRTIO_CONFIG_S_FEATURES_OK);
	assert_int_equal(status(e), ACK);
	accept_features(e, 1u << 31);
	assert_int_equal(status(e), ACK);
	go(e);
	assert_int_equal(status(e) & VIRTIO_CONFIG_S_DRIVER_OK, 0);
	accept_features(e, 0);
	assert_int_equal(status(e), ACK | VIRTIO_CONFIG_S_FEATURES_OK);
	/* Features are final: later writes have no effect. */
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
	assert_string_equal(e->d.r.ram + BUF, "first sector");
	assert_int_equal(e->d.r.ram[STATUS], VIRTIO_BLK_S_OK);
	/* A reset, then the same once more. */
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
		ring_offer(&e->d.r, 200);
		driver_kick(&e->d, 0);
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
		if (e->d.f.fd[i] >= 0)
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
	bus_write(e->d.root->mmio, TABLE + v * 16, 4, 0xfee00000);
	bus_write(e->d.root->mmio, TABLE + v * 16 + 4, 4, 0);
	bus_write(e->d.root->mmio, TABLE + v * 16 + 8, 4, data);
	bus_write(e->d.root->mmio, TABLE + v * 16 + 12, 4, ctrl);
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
	/* Pending bit 1, one page after the table. */
	assert_int_equal(bus_read(e->d.root->mmio, TABLE + 0x1000, 4), 2);
	table_set(e, 1, 0x41, 0);
	gsi = irq_fd(e);
	assert_true(gsi >= 24);
	assert_int_equal(e->d.f.msi[gsi].data, 0x41);
	assert_int_equal(e->d.f.msi[gsi].addr, 0xfee00000);
	assert_true(readable(e->d.f.fd[gsi])); /* KVM would inject it */
	assert_int_equal(bus_read(e->d.root->mmio, TABLE + 0x1000, 4), 0);
	/* The function mask detaches the irqfds, unmasking attaches them, disabling detaches them.
	 */
	cfg_set(e, MSIX + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	assert_int_equal(irq_fd(e), -1);
	cfg_set(e, MSIX + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	assert_int_equal(irq_fd(e), gsi);
	table_set(e, 1, 0x42, 0);
	assert_int_equal(e->d.f.msi[gsi].data, 0x42);
	cfg_set(e, MSIX + PCI_MSIX_FLAGS, 2, 0);
	assert_int_equal(irq_fd(e), -1);
}

static bool any_line(const struct env *e)
{
	for (unsigned i = 16; i < 24; i++)
		if (e->d.f.line[i])
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
		driver_turn(&e->d, 2);
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
	/* Windows to wrong addresses. The MSI-X table is not a structure of virtio. */
	cfg_set(e, at + VIRTIO_PCI_CAP_OFFSET, 4, TABLE - FAKE_BAR + 12);
	cfg_set(e, at + VIRTIO_PCI_CAP_LENGTH, 4, 4);
	cfg_set(e, at + 16, 4, 0);
	assert_int_equal(bus_read(e->d.root->mmio, TABLE + 12, 4), 1);
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
	driver_map(&e->d);
	offer_read(e); /* the doorbell exists again */
	wait_used(e, 1);
	pci_reset_all(e->d.root);
	driver_map(&e->d);
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
