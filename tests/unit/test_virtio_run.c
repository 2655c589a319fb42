/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtio device starts and stops using its rings: reset, bus mastering, and storage that does not
 * answer. The test has its own engine, which replaces io_uring (see the Makefile): requests stay in
 * flight while `hold` is set. */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/block/engine.h"
#include "devices/virtio/virtio_blk.h"
#include "tests/unit/fake_driver.h"
#include "vmm/core/evloop.h"

#define HDR    RING_DATA
#define STATUS (RING_DATA + 0x100)
#define BUF    (RING_DATA + 0x1000)
#define TABLE  (FAKE_BAR + 0x4000)
#define MSIX   0x40u
#define LONG   (5 * 1000000000ull) /* ns; a call that takes so long hangs */

/* ---- the engine ---- */

struct blk_engine {
	int kick_fd;
	struct blk_req *list;
};

static _Atomic bool hold;
static _Atomic unsigned in_flight;
static _Atomic unsigned changes, stable; /* requests that change the disk; those to be stable */
static int go_fd;

static int held_open(struct blk_engine **out, const struct blk_engine_config *c, struct error *err)
{
	(void)err;
	*out = calloc(1, sizeof(**out));
	(*out)->kick_fd = c->kick_fd;
	return 0;
}

static void held_close(struct blk_engine *e)
{
	free(e);
}

static void held_submit(struct blk_engine *e, struct blk_req *r)
{
	r->next = e->list;
	e->list = r;
	in_flight++;
	changes += r->op != BLK_READ && r->op != BLK_FLUSH;
	stable += r->stable;
}

static struct blk_req *held_run(struct blk_engine *e, enum blk_wait wait)
{
	struct pollfd p[2] = { { e->kick_fd, POLLIN, 0 }, { go_fd, POLLIN, 0 } };
	struct blk_req *list = e->list;
	uint64_t n;

	if (wait == BLK_WAIT && (hold || !list) && poll(p, hold ? 2 : 1, -1) > 0 && p[0].revents)
		(void)!read(e->kick_fd, &n, sizeof(n));
	if (hold)
		return NULL;
	e->list = NULL;
	for (struct blk_req *r = list; r; r = r->next)
		in_flight--;
	return list;
}

static bool held_ready(struct blk_engine *e)
{
	return e->list && !hold;
}

const struct blk_ops __wrap_blk_uring_ops = {
	.name = "held",
	.open = held_open,
	.close = held_close,
	.submit = held_submit,
	.run = held_run,
	.ready = held_ready,
};

static void let_go(void)
{
	const uint64_t one = 1;

	hold = false;
	assert_int_equal(write(go_fd, &one, sizeof(one)), sizeof(one));
}

/* ---- the disk and its driver ---- */

struct env {
	char path[64];
	struct fake_driver d;
	struct virtio_blk *blk;
};

static struct env *kept; /* objects that hang for ever, for the leak checker */

static int setup(void **state)
{
	struct env *e = calloc(1, sizeof(*e));
	struct blk_config c = { .path = e->path, .cache = BLK_CACHE_WRITEBACK, .queues = 2 };
	struct error err = { 0 };
	int fd;

	strcpy(e->path, "/var/tmp/minivmm-test-XXXXXX");
	fd = mkstemp(e->path);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	close(fd);
	go_fd = eventfd(0, 0);
	hold = false;
	assert_int_equal(fake_driver_init(&e->d), 0);
	e->blk = virtio_blk_open(&c, &err);
	if (!e->blk ||
	    virtio_blk_plug(e->blk, e->d.root, &e->d.root->bus, FAKE_DEVFN, &c, &err) < 0)
		fail_msg("%s", err.text);
	*state = e;
	return 0;
}

static int teardown(void **state)
{
	struct env *e = *state;

	unlink(e->path);
	if (e == kept)
		return 0;
	assert_true(virtio_blk_free(e->blk));
	fake_driver_free(&e->d);
	close(go_fd);
	free(e);
	return 0;
}

static void offer(struct env *e)
{
	struct virtq_desc *d = (struct virtq_desc *)(e->d.r.ram + FAKE_QUEUE);

	memset(e->d.r.ram + HDR, 0, 16); /* VIRTIO_BLK_T_IN, sector 0 */
	/* The head comes last, because it makes the chain visible. The indices go on at 0. */
	d[0] = (struct virtq_desc){ BUF, 512, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2 };
	d[2] = (struct virtq_desc){ STATUS, 1, VRING_DESC_F_WRITE, 0 };
	driver_offer(&e->d, 0, 1, HDR, 16, VRING_DESC_F_NEXT);
	driver_kick(&e->d, 0);
}

static uint16_t used(struct env *e)
{
	return __atomic_load_n(&driver_used(&e->d, 0)->idx, __ATOMIC_ACQUIRE);
}

static void wait_used(struct env *e, uint16_t idx)
{
	for (unsigned i = 0; i < 10000 && used(e) != idx; i++)
		usleep(1000);
	assert_int_equal(used(e), idx);
}

static void wait_in_flight(void)
{
	for (unsigned i = 0; i < 10000 && !in_flight; i++)
		usleep(1000);
	assert_int_not_equal(in_flight, 0);
}

static void wait_status(struct env *e, uint8_t status)
{
	for (unsigned i = 0; i < 10000 && driver_status(&e->d) != status; i++)
		usleep(1000);
	assert_int_equal(driver_status(&e->d), status);
}

static void go(struct env *e)
{
	driver_prepare(&e->d, 1, 0);
	driver_go(&e->d);
	assert_int_equal(driver_status(&e->d), 15);
}

static void master(struct env *e, bool on)
{
	pci_cfg_write(e->d.root, 0, FAKE_DEVFN, PCI_COMMAND, 2,
		      PCI_COMMAND_MEMORY | (on ? PCI_COMMAND_MASTER : 0));
}

/* ---- reset ---- */

/* Firmware resets the device and goes on without reading the status. */
static void reset_of_an_idle_disk(void **state)
{
	struct env *e = *state;

	for (uint16_t i = 0; i < 20; i++) {
		go(e);
		offer(e);
		wait_used(e, 1);
		driver_status_set(&e->d, 0);
		assert_int_equal(driver_status(&e->d), 0);
	}
}

static void reset_while_it_hangs(void **state)
{
	struct env *e = *state;
	uint64_t begin;

	go(e);
	hold = true;
	offer(e);
	wait_in_flight();
	begin = evloop_now_ns();
	driver_status_set(&e->d, 0);
	/* The reset is not complete, but the device's lock and the root lock are free. */
	assert_int_not_equal(driver_status(&e->d), 0);
	driver_status_set(&e->d, 0);
	driver_status_set(&e->d, 3);
	driver_reg_set(&e->d, C(queue_enable), 2, 1);
	assert_int_equal(driver_reg(&e->d, C(queue_enable), 2), 1);
	driver_turn(&e->d, 20);
	master(e, false);
	master(e, true);
	assert_int_not_equal(driver_status(&e->d), 0);
	assert_true(evloop_now_ns() - begin < LONG);
	assert_int_equal(used(e), 0);
	let_go();
	wait_status(e, 0);
	go(e);
	offer(e);
	wait_used(e, 1);
}

static void wait_quiet(struct env *e)
{
	for (unsigned i = 0; i < 10000 && pci_quiesce(e->d.root); i++)
		usleep(1000);
	assert_null(pci_quiesce(e->d.root));
}

/* A reset of the machine asks until all devices are quiet. */
static void machine_reset_while_it_hangs(void **state)
{
	struct env *e = *state;
	uint64_t begin = evloop_now_ns();

	go(e);
	wait_quiet(e);
	pci_reset_all(e->d.root);
	go(e);
	hold = true;
	offer(e);
	wait_in_flight();
	assert_string_equal(pci_quiesce(e->d.root), "blk0");
	assert_string_equal(pci_quiesce(e->d.root), "blk0");
	assert_true(evloop_now_ns() - begin < LONG);
	let_go();
	wait_quiet(e);
	pci_reset_all(e->d.root);
	go(e);
	offer(e);
	wait_used(e, 1);
}

/* The run ends while the disk still works; it is not freed. */
static void end_while_it_hangs(void **state)
{
	struct env *e = *state;
	uint64_t begin = evloop_now_ns();

	go(e);
	hold = true;
	offer(e);
	wait_in_flight();
	pci_quiesce(e->d.root);
	assert_false(virtio_blk_free(e->blk));
	assert_true(evloop_now_ns() - begin < LONG);
	kept = e;
	let_go();
	wait_used(e, 1); /* because its memory still exists */
}

/* ---- bus mastering ---- */

static void no_master_no_requests(void **state)
{
	struct env *e = *state;

	driver_prepare(&e->d, 1, 0);
	master(e, false);
	driver_go(&e->d);
	assert_int_equal(driver_status(&e->d), 15);
	offer(e);
	usleep(20000);
	assert_int_equal(used(e), 0);
	master(e, true);
	wait_used(e, 1);
	for (uint16_t i = 2; i < 20; i++) {
		master(e, false);
		offer(e);
		usleep(2000);
		assert_int_equal(used(e), i - 1);
		master(e, true); /* the kick was not lost */
		wait_used(e, i);
	}
	/* A reset without bus mastering. */
	master(e, false);
	driver_status_set(&e->d, 0);
	assert_int_equal(driver_status(&e->d), 0);
}

static void master_while_it_hangs(void **state)
{
	struct env *e = *state;
	uint64_t begin = evloop_now_ns();

	go(e);
	hold = true;
	offer(e);
	wait_in_flight();
	master(e, false);
	master(e, true);
	offer(e);
	assert_true(evloop_now_ns() - begin < LONG);
	assert_int_equal(used(e), 0);
	let_go();
	wait_used(e, 2);
	assert_int_equal(driver_status(&e->d), 15);
}

/* ---- a paused machine ---- */

/* Requests in flight complete, new requests wait, and nothing is lost. */
static void pause_and_go_on(void **state)
{
	struct env *e = *state;

	go(e);
	hold = true;
	offer(e);
	wait_in_flight();
	assert_string_equal(pci_pause(e->d.root, true), "blk0");
	let_go();
	for (unsigned i = 0; i < 10000 && pci_pause(e->d.root, true); i++)
		usleep(1000);
	assert_null(pci_pause(e->d.root, true));
	assert_int_equal(used(e), 1);
	for (uint16_t i = 2; i < 20; i++) {
		offer(e);
		usleep(2000);
		assert_int_equal(used(e), i - 1);
		assert_null(pci_pause(e->d.root, false));
		wait_used(e, i);
		for (unsigned k = 0; k < 10000 && pci_pause(e->d.root, true); k++)
			usleep(1000);
	}
	/* A reset during the pause takes effect, and does not end the pause. */
	driver_status_set(&e->d, 0);
	wait_status(e, 0);
	go(e);
	offer(e);
	usleep(20000);
	assert_int_equal(used(e), 0);
	assert_null(pci_pause(e->d.root, false));
	wait_used(e, 1);
}

static int irq_fd(struct env *e)
{
	for (unsigned i = 24; i < 64; i++)
		if (e->d.f.fd[i] >= 0)
			return e->d.f.fd[i];
	return -1;
}

static void no_master_no_message(void **state)
{
	struct env *e = *state;
	struct pollfd p = { .events = POLLIN };

	driver_prepare(&e->d, 1, 0);
	pci_cfg_write(e->d.root, 0, FAKE_DEVFN, MSIX + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	driver_reg_set(&e->d, C(queue_select), 2, 0);
	driver_reg_set(&e->d, C(queue_msix_vector), 2, 1);
	bus_write(e->d.root->mmio, TABLE + 16, 4, 0xfee00000);
	bus_write(e->d.root->mmio, TABLE + 24, 4, 0x41);
	bus_write(e->d.root->mmio, TABLE + 28, 4, 0);
	driver_go(&e->d);
	assert_int_not_equal(irq_fd(e), -1);
	hold = true;
	offer(e);
	wait_in_flight();
	/* The request in flight completes, and its interrupt is pending. */
	master(e, false);
	assert_int_equal(irq_fd(e), -1);
	let_go();
	wait_used(e, 1);
	for (unsigned i = 0; i < 10000; i++) {
		if (bus_read(e->d.root->mmio, TABLE + 0x1000, 4) == 2)
			break;
		usleep(1000);
	}
	assert_int_equal(bus_read(e->d.root->mmio, TABLE + 0x1000, 4), 2);
	master(e, true);
	p.fd = irq_fd(e);
	assert_int_not_equal(p.fd, -1);
	assert_int_equal(poll(&p, 1, 0), 1);
}

/* ---- durability ---- */

/* A driver that did not accept FLUSH cannot ask for it, so each change must be stable. */
static void stable_without_flush(void **state)
{
	static const uint32_t types[] = { VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_DISCARD,
					  VIRTIO_BLK_T_WRITE_ZEROES };
	struct env *e = *state;
	struct virtq_desc *d = (struct virtq_desc *)(e->d.r.ram + FAKE_QUEUE);
	const uint64_t range[2] = { 0, 1 }; /* a sector */

	for (unsigned flush = 0; flush < 2; flush++) {
		driver_prepare(&e->d, 1, flush << VIRTIO_BLK_F_FLUSH);
		driver_go(&e->d);
		changes = stable = 0;
		for (uint16_t i = 0; i < ARRAY_SIZE(types); i++) {
			memset(e->d.r.ram + HDR, 0, 16);
			memcpy(e->d.r.ram + HDR, &types[i], 4);
			memcpy(e->d.r.ram + BUF, range, sizeof(range));
			d[0] = (struct virtq_desc){ BUF, i ? 16 : 512, VRING_DESC_F_NEXT, 2 };
			d[2] = (struct virtq_desc){ STATUS, 1, VRING_DESC_F_WRITE, 0 };
			driver_offer(&e->d, 0, 1, HDR, 16, VRING_DESC_F_NEXT);
			driver_kick(&e->d, 0);
			wait_used(e, (uint16_t)(i + 1));
		}
		assert_int_equal(changes, ARRAY_SIZE(types));
		assert_int_equal(stable, flush ? 0 : ARRAY_SIZE(types));
		driver_status_set(&e->d, 0);
		wait_status(e, 0);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(reset_of_an_idle_disk), T(reset_while_it_hangs),  T(machine_reset_while_it_hangs),
		T(pause_and_go_on),	  T(no_master_no_requests), T(master_while_it_hangs),
		T(no_master_no_message),  T(end_while_it_hangs),    T(stable_without_flush),
	};

	alarm(300);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
