// SPDX-License-Identifier: BSD-2-Clause
/* virtio-console, driven through its registers, on a unix socket and a file. */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/pci.h"
#include "devices/virtio_console.h"
#include "tests/unit/ring.h"
#include "vmm/error.h"
#include "vmm/evloop.h"

#define BAR    0xe0000000u
#define NOTIFY (BAR + 0x3000)
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
	struct virtio_console *con;
	char path[64];
	int peer;
	uint16_t avail_idx[2];
};

#define C(field) ((uint32_t)offsetof(struct virtio_pci_common_cfg, field))

static void reg_set(struct env *e, uint32_t off, unsigned size, uint32_t val)
{
	bus_write(e->root.mmio, BAR + off, size, val);
}

static uint8_t status(struct env *e)
{
	return (uint8_t)bus_read(e->root.mmio, BAR + C(device_status), 1);
}

static void stop_loop(void *arg)
{
	evloop_stop(arg, 0);
}

/* Lets the loop work for a moment. */
static void turn(struct env *e)
{
	struct ev_timer *t = evloop_add_timer(e->root.loop, stop_loop, e->root.loop);

	ev_timer_set(t, evloop_now_ns() + 20000000);
	evloop_run(e->root.loop);
	evloop_del_timer(t);
}

static void connect_peer(struct env *e)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	strcpy(sa.sun_path, e->path);
	e->peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(connect(e->peer, (struct sockaddr *)&sa, sizeof(sa)), 0);
	turn(e);
}

static int setup(void **state)
{
	struct env *e = calloc(1, sizeof(*e));
	struct error err = { 0 };
	char spec[80];

	assert_int_equal(ring_memory(&e->r), 0);
	pci_root_init(&e->root);
	e->root.mem = e->r.mem;
	e->root.mmio = bus_new(UINT64_MAX);
	e->root.pio = bus_new(0x10000);
	e->root.irq = irq_table_new(&irq_ops, e, 64);
	e->root.loop = evloop_new();
	sprintf(e->path, "/tmp/minivmm-test-%d", (int)getpid());
	sprintf(spec, "unix:%s", e->path);
	e->con = virtio_console_new(&e->root, &e->root.bus, PCI_DEVFN(3, 0), spec, NULL, NULL,
				    &err);
	if (!e->con)
		fail_msg("%s", err.text);
	connect_peer(e);
	*state = e;
	return 0;
}

static int teardown(void **state)
{
	struct env *e = *state;

	virtio_console_free(e->con);
	close(e->peer);
	evloop_free(e->root.loop);
	irq_table_free(e->root.irq);
	bus_free(e->root.mmio);
	bus_free(e->root.pio);
	pci_root_destroy(&e->root);
	ring_free(&e->r);
	assert_int_equal(access(e->path, F_OK), -1);
	free(e);
	return 0;
}

/* Rings of queue q lie at QUEUE * (q + 1). */
static void prepare(struct env *e)
{
	pci_cfg_write(&e->root, 0, PCI_DEVFN(3, 0), PCI_BASE_ADDRESS_0, 4, BAR);
	pci_cfg_write(&e->root, 0, PCI_DEVFN(3, 0), PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	memset(e->r.ram + QUEUE, 0, 2 * QUEUE);
	e->avail_idx[0] = e->avail_idx[1] = 0;
	reg_set(e, C(device_status), 1, 0);
	reg_set(e, C(device_status), 1, 3);
	reg_set(e, C(guest_feature_select), 4, 1);
	reg_set(e, C(guest_feature), 4, 1);
	reg_set(e, C(device_status), 1, 11);
	for (unsigned q = 0; q < 2; q++) {
		reg_set(e, C(queue_select), 2, q);
		reg_set(e, C(queue_size), 2, RING_SIZE);
		reg_set(e, C(queue_desc_lo), 4, QUEUE * (q + 1));
		reg_set(e, C(queue_avail_lo), 4, QUEUE * (q + 1) + 0x1000);
		reg_set(e, C(queue_used_lo), 4, QUEUE * (q + 1) + 0x2000);
		reg_set(e, C(queue_enable), 2, 1);
	}
}

static void go(struct env *e)
{
	reg_set(e, C(device_status), 1, 15);
	assert_int_equal(status(e), 15);
}

static void offer(struct env *e, unsigned q, uint16_t i, uint64_t addr, uint32_t len)
{
	char *base = e->r.ram + QUEUE * (q + 1);
	struct virtq_avail *a = (struct virtq_avail *)(base + 0x1000);
	uint16_t flags = q == 0 ? VRING_DESC_F_WRITE : 0;

	((struct virtq_desc *)base)[i] = (struct virtq_desc){ addr, len, flags, 0 };
	a->ring[e->avail_idx[q]++ % RING_SIZE] = i;
	__atomic_store_n(&a->idx, e->avail_idx[q], __ATOMIC_RELEASE);
}

/* The transport's doorbells need KVM; without one a write to the register kicks. */
static void kick(struct env *e, unsigned q)
{
	bus_write(e->root.mmio, NOTIFY + 4 * q, 2, q);
	turn(e);
}

static struct virtq_used *used(struct env *e, unsigned q)
{
	return (struct virtq_used *)(e->r.ram + QUEUE * (q + 1) + 0x2000);
}

static void type(struct env *e, const char *s)
{
	assert_int_equal(write(e->peer, s, strlen(s)), strlen(s));
	turn(e);
}

static void identity(void **state)
{
	struct env *e = *state;

	assert_int_equal(pci_cfg_read(&e->root, 0, PCI_DEVFN(3, 0), PCI_VENDOR_ID, 4), 0x10431af4);
	assert_int_equal(pci_cfg_read(&e->root, 0, PCI_DEVFN(3, 0), PCI_CLASS_DEVICE, 2), 0x780);
	prepare(e);
	assert_int_equal(bus_read(e->root.mmio, BAR + C(num_queues), 2), 2);
}

static void output(void **state)
{
	struct env *e = *state;
	char got[32] = "";

	prepare(e);
	go(e);
	strcpy(e->r.ram + RING_DATA, "hello, ");
	strcpy(e->r.ram + RING_DATA + 64, "world\n");
	offer(e, 1, 0, RING_DATA, 7);
	offer(e, 1, 1, RING_DATA + 64, 6);
	kick(e, 1);
	assert_int_equal(used(e, 1)->idx, 2);
	assert_int_equal(used(e, 1)->ring[0].len, 0);
	assert_int_equal(read(e->peer, got, sizeof(got)), 13);
	assert_string_equal(got, "hello, world\n");
}

/* Typed before there is a driver, before it has offered a buffer, and after. */
static void input(void **state)
{
	struct env *e = *state;

	type(e, "early");
	prepare(e);
	go(e);
	turn(e);
	offer(e, 0, 0, RING_DATA, 3);
	kick(e, 0);
	assert_int_equal(used(e, 0)->idx, 1);
	assert_int_equal(used(e, 0)->ring[0].len, 3);
	assert_memory_equal(e->r.ram + RING_DATA, "ear", 3);
	offer(e, 0, 1, RING_DATA + 64, 0); /* no room in this one */
	offer(e, 0, 2, RING_DATA + 128, 64);
	offer(e, 0, 3, RING_DATA + 192, 64);
	kick(e, 0);
	assert_int_equal(used(e, 0)->idx, 3);
	assert_int_equal(used(e, 0)->ring[1].len, 0);
	assert_int_equal(used(e, 0)->ring[2].len, 2);
	assert_memory_equal(e->r.ram + RING_DATA + 128, "ly", 2);
	type(e, "later");
	assert_int_equal(used(e, 0)->idx, 4);
	assert_memory_equal(e->r.ram + RING_DATA + 192, "later", 5);
}

/* Buffers offered before DRIVER_OK count, and a reset forgets the one that is held. */
static void reset_while_holding(void **state)
{
	struct env *e = *state;

	prepare(e);
	offer(e, 0, 0, RING_DATA, 1);
	offer(e, 0, 1, RING_DATA + 64, 64);
	go(e);
	type(e, "a");
	assert_int_equal(used(e, 0)->idx, 1);
	memset(e->r.ram + RING_DATA, 0, 256);
	prepare(e);
	type(e, "b");
	assert_int_equal(e->r.ram[RING_DATA + 64], 0);
	offer(e, 0, 4, RING_DATA + 128, 64);
	go(e);
	turn(e);
	assert_int_equal(used(e, 0)->idx, 1);
	assert_int_equal(used(e, 0)->ring[0].id, 4);
	assert_int_equal(e->r.ram[RING_DATA + 128], 'b');
}

static void broken_rings(void **state)
{
	struct env *e = *state;

	for (unsigned q = 0; q < 2; q++) {
		prepare(e);
		go(e);
		type(e, "x");
		offer(e, q, 0, RING_MEM * 2, 16);
		kick(e, q);
		assert_true(status(e) & VIRTIO_CONFIG_S_NEEDS_RESET);
	}
}

/* The peer leaves and another comes: the guest sees neither. */
static void reconnects(void **state)
{
	struct env *e = *state;

	prepare(e);
	go(e);
	close(e->peer);
	turn(e);
	offer(e, 1, 0, RING_DATA, 7);
	kick(e, 1);
	assert_int_equal(used(e, 1)->idx, 1);
	connect_peer(e);
	offer(e, 0, 0, RING_DATA, 8);
	kick(e, 0);
	type(e, "again");
	assert_memory_equal(e->r.ram + RING_DATA, "again", 5);
}

static void bad_spec(void **state)
{
	struct env *e = *state;
	struct error err = { 0 };

	assert_null(virtio_console_new(&e->root, &e->root.bus, PCI_DEVFN(4, 0),
				       "file:/nonexistent/x", NULL, NULL, &err));
	assert_non_null(strstr(err.text, "/nonexistent/x"));
	assert_null(virtio_console_new(&e->root, &e->root.bus, PCI_DEVFN(3, 0), "null", NULL, NULL,
				       &err));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(identity),	    TEST(output),     TEST(input),    TEST(reset_while_holding),
		TEST(broken_rings), TEST(reconnects), TEST(bad_spec),
	};

	signal(SIGPIPE, SIG_IGN); /* as the machine does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
