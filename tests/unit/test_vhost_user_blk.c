/* SPDX-License-Identifier: BSD-2-Clause */
/* A disk that another process serves: a driver that starts and resets it, and back ends that die at
 * each step, come back, lack something, or do not answer. */
#include "tests/unit/vhost_user_fixture.h"

#include <sys/socket.h>
#include <sys/stat.h>

#include "devices/virtio/vhost_user_blk.h"

#define SECTORS 4096u

/* The back end may read it meanwhile. */
static void set_sectors(uint64_t sectors)
{
	for (unsigned i = 0; i < sizeof(sectors); i++)
		__atomic_store_n(&b.config[i], (uint8_t)(sectors >> 8 * i), __ATOMIC_RELAXED);
}

static void disk(const char *options)
{
	set_sectors(SECTORS);
	if (make(&vhost_user_blk_class, options))
		fail_msg("%s", err.text);
}

/* The driver has two queues, and the back end has them. */
static void go(void)
{
	unsigned before = b.seen[1];

	driver_prepare(&d, 2, 1u << 9 | 1u << 29);
	driver_go(&d);
	seen(1, before + 1); /* the last thing that is asked for */
}

static void test_start(void **state)
{
	(void)state;
	disk(",queues=2");
	driver_map(&d);
	assert_int_equal(driver_reg(&d, 0x2000, 4), SECTORS);
	assert_int_equal(driver_reg(&d, 0x2000 + 34, 2), 2);
	go();
	assert_true(b.got_features == (FEATURES & ~BIT(28)));
	assert_int_equal(b.regions, 2);
	for (unsigned q = 0; q < 2; q++) {
		assert_int_equal(b.ring[q].num, RING_SIZE);
		assert_int_equal(b.ring[q].base, 0);
		assert_true(b.ring[q].enabled);
		assert_true(b.ring[q].err >= 0);
	}
	assert_true(b.ring[0].desc == (uintptr_t)d.r.ram + driver_base(0));
	assert_true(b.ring[0].avail == (uintptr_t)d.r.ram + driver_base(0) + 0x1000);
	assert_true(b.ring[0].used == (uintptr_t)d.r.ram + driver_base(0) + 0x2000);
	WAIT(eventfd_drain(b.ring[1].kick)); /* what came before the start is not lost */
	offer(1, 0);
	assert_true(eventfd_is_set(b.ring[1].kick));
	assert_true(eventfd_signal(b.ring[0].call));
	driver_turn(&d, 5);
	assert_int_equal(bus_read(d.root->mmio, FAKE_BAR + 0x1000, 1), 1);
}

/* The queues of a machine with two processors, and of a back end that has one. */
static void test_queues(void **state)
{
	(void)state;
	disk("");
	driver_map(&d);
	assert_int_equal(driver_reg(&d, C(num_queues), 2), 2);
	unmake();
	b.queues = 1;
	disk("");
	driver_map(&d);
	assert_int_equal(driver_reg(&d, C(num_queues), 2), 1);
}

static void test_refused(void **state)
{
	(void)state;
	assert_true(make(&vhost_user_blk_class, ",queues=5") < 0);
	says("has 4 queues: use queues=4, or give it more (num-queues=5");
	unmake();
	b.protocol &= ~BIT(VHOST_USER_CONFIG);
	assert_true(make(&vhost_user_blk_class, "") < 0);
	says("lacks the protocol feature CONFIG");
	unmake();
	b.features &= ~BIT(VIRTIO_F_VERSION_1);
	assert_true(make(&vhost_user_blk_class, "") < 0);
	says("lacks the feature VERSION_1");
	assert_non_null(strstr(err.text, b.path));
}

static void test_private_memory(void **state)
{
	struct mem_file file = guest_mem_file(d.r.mem), none = { -1, NULL, 0 };

	(void)state;
	guest_mem_set_file(d.r.mem, &none);
	assert_true(make(&vhost_user_blk_class, "") < 0);
	says("its memory is private");
	unmake();
	guest_mem_set_file(d.r.mem, &file);
}

static void test_twice(void **state)
{
	char arg[80];

	(void)state;
	snprintf(arg, sizeof(arg), "%s", b.path);
	assert_int_equal(device_create(&list, &vhost_user_blk_class, arg, &err), 0);
	assert_true(device_create(&list, &vhost_user_blk_class, arg, &err) < 0);
	says("is given twice");
	dev = list.first;
	unmake();
}

/* A pause takes the rings back, and they go on where the back end has left off. */
static void test_pause(void **state)
{
	(void)state;
	disk(",queues=2");
	go();
	b.ring[0].base = 7;
	pci_pause(d.root, true);
	seen(GET_VRING_BASE, 2);
	WAIT(!pci_pause(d.root, true));
	assert_false(b.ring[0].enabled);
	pci_pause(d.root, false);
	seen(1, 3);
	assert_true(b.ring[0].enabled);
	assert_int_equal(b.ring[0].base, 7);
	assert_int_equal(b.ring[1].base, 0);
	assert_int_equal(b.seen[5], 1); /* memory is the same */
}

static void test_reset(void **state)
{
	(void)state;
	disk(",queues=2");
	go();
	driver_status_set(&d, 0);
	seen(GET_VRING_BASE, 2);
	WAIT(driver_status(&d) == 0);
	go();
	assert_true(b.ring[0].enabled);
	pci_quiesce(d.root);
	WAIT(!pci_quiesce(d.root));
	pci_reset_all(d.root);
	driver_map(&d);
	assert_int_equal(driver_status(&d), 0);
}

/* It has no answer for the one who wants its rings back: the connection ends, and the reset is
 * complete. */
static void test_silent_at_reset(void **state)
{
	(void)state;
	stop_ms = 200;
	disk(",queues=2");
	go();
	b.fault_at = GET_VRING_BASE;
	b.fault = FAULT_SILENT;
	driver_status_set(&d, 0);
	WAIT(driver_status(&d) == 0);
	b.fault = FAULT_NONE;
	seen(1, 3); /* that of the new connection */
	go();
	assert_true(b.ring[0].enabled);
}

/* Nothing was in flight: a new back end goes on behind what is finished, and the guest notices
 * nothing. */
static void test_dies_idle(void **state)
{
	(void)state;
	disk(",queues=2");
	go();
	offer(0, 3);
	finish(0, 3);
	backend_die(&b);
	event_is("X_MINIVMM_BACKEND_LOST vublk0", 1);
	offer(0, 4); /* nobody has seen this one */
	assert_false(needs_reset());
	assert_int_equal(backend_revive(&b), 0);
	seen(1, 4);
	event_is("X_MINIVMM_BACKEND_BACK vublk0", 2);
	assert_true(b.ring[0].enabled);
	assert_int_equal(b.ring[0].base, 1);
	WAIT(eventfd_is_set(b.ring[0].kick));
	assert_false(needs_reset());
}

/* A request was in flight, and nobody knows its fate: only the driver can tell what to do. */
static void test_dies_busy(void **state)
{
	(void)state;
	disk(",queues=2");
	go();
	offer(1, 2);
	backend_die(&b);
	WAIT(needs_reset());
	event_is("X_MINIVMM_BACKEND_LOST vublk0", 1);
	assert_int_equal(backend_revive(&b), 0);
	event_is("X_MINIVMM_BACKEND_BACK vublk0", 2);
	assert_false(b.ring[1].enabled);
	/* Neither is it by a pause. */
	pci_pause(d.root, true);
	WAIT(!pci_pause(d.root, true));
	pci_pause(d.root, false);
	usleep(20000);
	assert_false(b.ring[1].enabled);
	driver_status_set(&d, 0);
	WAIT(driver_status(&d) == 0);
	go();
	assert_true(b.ring[1].enabled);
	assert_int_equal(b.ring[1].base, 0);
}

/* The back end has memory in which it keeps track: that is what the next one gets. After a reset
 * there is nothing to keep. */
static void test_inflight(void **state)
{
	struct stat first, second;

	(void)state;
	b.protocol |= BIT(VHOST_USER_INFLIGHT);
	disk(",queues=2");
	go();
	assert_int_equal(b.inflights_made, 1);
	assert_int_equal(fstat(b.inflight, &first), 0);
	offer(1, 2);
	offer(1, 3);
	finish(1, 3); /* not in their order */
	backend_die(&b);
	assert_int_equal(backend_revive(&b), 0);
	seen(1, 4);
	assert_int_equal(b.inflights_made, 1);
	assert_int_equal(fstat(b.inflight, &second), 0);
	assert_int_equal(first.st_ino, second.st_ino);
	assert_int_equal(b.ring[1].base, 1);
	assert_false(needs_reset());
	driver_status_set(&d, 0);
	WAIT(driver_status(&d) == 0);
	go();
	assert_int_equal(b.inflights_made, 2);
}

/* It dies, or refuses, at each step of a start; the next one starts. */
static void test_dies_at_start(void **state)
{
	static const unsigned requests[] = { 2, 5, 8, 9, 10, 12, 13, 14, 18 };

	(void)state;
	disk(",queues=2");
	driver_map(&d);
	for (unsigned i = 0; i < ARRAY_SIZE(requests); i++) {
		unsigned n = b.connections + 1;

		backend_die(&b);
		assert_int_equal(backend_revive(&b), 0);
		WAIT(b.connections == n);
		b.fault_at = requests[i];
		b.fault = i % 3 == 2 ? FAULT_GARBAGE : i % 3 ? FAULT_REFUSE : FAULT_CLOSE;
		driver_prepare(&d, 2, 1u << 9);
		driver_go(&d);
		WAIT(b.connections > n);
		b.fault = FAULT_NONE;
		WAIT(b.ring[1].enabled);
		assert_false(needs_reset());
		driver_status_set(&d, 0);
		WAIT(driver_status(&d) == 0);
	}
}

/* The image has another size now: the driver is told. */
static void test_resized(void **state)
{
	unsigned generation;

	(void)state;
	disk(",queues=2");
	go();
	generation = driver_reg(&d, C(config_generation), 1);
	backend_die(&b);
	event_is("X_MINIVMM_BACKEND_LOST vublk0", 1);
	set_sectors(SECTORS + 1);
	assert_int_equal(backend_revive(&b), 0);
	event_is("X_MINIVMM_BACKEND_BACK vublk0", 2);
	assert_int_equal(driver_reg(&d, 0x2000, 4), SECTORS + 1);
	assert_int_not_equal(driver_reg(&d, C(config_generation), 1), generation);
	assert_int_equal(driver_reg(&d, 0x2000 + 34, 2), 2);
}

static void config_changed(void)
{
	const uint32_t m[3] = { 2, 1, 0 };

	assert_int_equal(send(b.requests, m, sizeof(m), 0), sizeof(m));
}

/* The same without a new back end (block_resize of qemu-storage-daemon 8.1 and later). */
static void test_resized_alive(void **state)
{
	(void)state;
	b.protocol |= BIT(VHOST_USER_BACKEND_REQ);
	disk(",queues=2");
	go();
	assert_int_equal(b.seen[24], 1);
	set_sectors(SECTORS + 7);
	config_changed();
	seen(24, 2);
	WAIT(driver_reg(&d, 0x2000, 4) == SECTORS + 7);
	assert_true(b.ring[0].enabled);
	assert_false(needs_reset());
	/* What is not a request ends the connection. */
	assert_int_equal(send(b.requests, "not a request", 12, 0), 12);
	event_is("X_MINIVMM_BACKEND_LOST vublk0", 1);
	WAIT(b.connections == 2 && b.ring[1].enabled);
	assert_false(needs_reset());
}

/* What the driver uses is gone: its requests wait for a back end that has it. */
static void test_lesser_back_end(void **state)
{
	(void)state;
	disk(",queues=2");
	go();
	backend_die(&b);
	b.features &= ~BIT(9);
	assert_int_equal(backend_revive(&b), 0);
	WAIT(b.connections >= 3);
	assert_false(b.ring[0].enabled);
	b.features |= BIT(9);
	WAIT(b.ring[1].enabled);
}

static void test_ring_error(void **state)
{
	(void)state;
	disk(",queues=2");
	go();
	assert_true(eventfd_signal(b.ring[0].err));
	WAIT(needs_reset());
	/* It says so again, and nobody listens until the rings are new. */
	usleep(20000);
	assert_true(eventfd_signal(b.ring[1].err));
	usleep(20000);
	assert_true(eventfd_is_set(b.ring[1].err));
	driver_status_set(&d, 0);
	WAIT(driver_status(&d) == 0);
	go();
	assert_false(needs_reset());
	assert_false(eventfd_is_set(b.ring[1].err));
}

/* The device goes while the back end does not answer. */
static void test_end_without_answer(void **state)
{
	(void)state;
	reply_ms = stop_ms = 600000;
	disk(",queues=2");
	go();
	b.fault_at = GET_VRING_BASE;
	b.fault = FAULT_SILENT;
	unmake();
	/* And while a connection is made. */
	b.fault = FAULT_NONE;
	disk("");
	b.fault_at = 1;
	b.fault = FAULT_SILENT;
	backend_die(&b);
	assert_int_equal(backend_revive(&b), 0);
	WAIT(b.connections == 3);
	unmake();
}

static void test_unplug(void **state)
{
	(void)state;
	disk(",queues=2");
	go();
	dev->class->unplug(dev);
	backend_die(&b);
	usleep(20000);
	driver_turn(&d, 5);
	assert_int_equal(events, 0);
	unmake();
	assert_int_equal(backend_revive(&b), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_start),
		TEST(test_queues),
		TEST(test_refused),
		TEST(test_private_memory),
		TEST(test_twice),
		TEST(test_pause),
		TEST(test_reset),
		TEST(test_silent_at_reset),
		TEST(test_dies_idle),
		TEST(test_dies_busy),
		TEST(test_inflight),
		TEST(test_dies_at_start),
		TEST(test_resized),
		TEST(test_resized_alive),
		TEST(test_lesser_back_end),
		TEST(test_ring_error),
		TEST(test_end_without_answer),
		TEST(test_unplug),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
