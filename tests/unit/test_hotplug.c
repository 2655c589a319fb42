/* SPDX-License-Identifier: BSD-2-Clause */
/* Devices come and go: the toy of the fixture, and the virtio devices. */
#include <malloc.h>

#include "tests/unit/fake_host.h"
#include "tests/unit/holder.h"
#include "tests/unit/hotplug_fixture.h"
#include "tests/unit/files_fixture.h"

/* ---- the tests ---- */

static void test_life(void **state)
{
	(void)state;
	guest_boots();
	assert_int_equal(add(&toy_class, "a", "x", NULL, 0), 0);
	assert_int_equal(device_count(&m.list, &toy_class), 0);
	refuses(del("x", UNPLUG_ASK), "still being added");
	says("added x; ");
	assert_int_equal(device_count(&m.list, &toy_class), 1);
	assert_int_equal(status(), PCI_EXP_SLTSTA_PDS | PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_DLLSC);
	guest_takes();
	assert_int_equal(read_fn(0), 0x00020001);
	says("X_MINIVMM_DEVICE_TAKEN x; ");
	refuses(add(&toy_class, "a", "x", NULL, 0), "Duplicate device ID 'x'");
	refuses(add(&toy_class, "a", "1", NULL, 0), "identifier");
	refuses(add(&toy_class, "a", "y", "hotplug0", 0), "in use by x");
	refuses(add(&toy_class, "a", "y", "pcie.0", 0), "Bus 'pcie.0' not found");
	refuses(del("y", UNPLUG_ASK), "Device 'y' not found");
	assert_int_equal(m.err.code, -ENODEV);
	assert_int_equal(del("x", UNPLUG_ASK), 0);
	refuses(del("x", UNPLUG_ASK), "already in the process of unplug");
	assert_true(status() & PCI_EXP_SLTSTA_ABP);
	guest_lets_go();
	assert_int_equal(read_fn(0), UINT32_MAX);
	says("DEVICE_DELETED x; ");
	assert_null(m.list.first);
	/* The guest switches the slot off by itself. */
	assert_int_equal(add(&toy_class, "a", NULL, NULL, 0), 0);
	says("added toy0; ");
	guest_takes();
	guest_lets_go();
	says("X_MINIVMM_DEVICE_TAKEN toy0; DEVICE_DELETED toy0; ");
}

static void test_failures(void **state)
{
	(void)state;
	guest_boots();
	assert_int_equal(add(&toy_class, "broken", "x", NULL, 0), 0);
	says("broken: it cannot be opened x; ");
	assert_int_equal(add(&toy_class, "stiff", "x", NULL, 0), 0);
	says("stiff: it cannot be plugged x; ");
	/* A BAR that is larger than the window of a slot. */
	assert_int_equal(add(&toy_class, "a,mib=512", "x", NULL, 0), 0);
	says("it needs 512 MiB of addresses for its 64-bit BARs, and a slot has 256 MiB: start the "
	     "machine with --hotplug N,window=512M x; ");
	assert_null(m.list.first);
	assert_int_equal(status(), 0);
	/* The window is what the guest has given to the bridge, if that is more. */
	pci_cfg_write(&m.fake.root, 0, PORT, PCI_PREF_MEMORY_BASE, 4, 0x3ff00000);
	pci_cfg_write(&m.fake.root, 0, PORT, PCI_PREF_BASE_UPPER32, 4, 1);
	pci_cfg_write(&m.fake.root, 0, PORT, PCI_PREF_LIMIT_UPPER32, 4, 1);
	assert_int_equal(add(&toy_class, "a,mib=512", "x", NULL, 0), 0);
	says("added x; ");
	refuses(add(&toy_class, "a", "y", NULL, 1), "needs the name of its slot");
	assert_int_equal(add(&toy_class, "a", "y", NULL, 0), 0);
	assert_int_equal(add(&toy_class, "a", "z", NULL, 0), 0);
	refuses(add(&toy_class, "a", NULL, NULL, 0), "no hot-pluggable slot is free");
	while (strlen(m.said) < strlen("added y; added z; ")) /* in any order */
		turn();
}

/* The guest sees all functions at once, and they leave together. */
static void test_functions(void **state)
{
	(void)state;
	guest_boots();
	assert_int_equal(add(&toy_class, "a", "one", "hotplug0", 1), 0);
	says("added one; ");
	assert_int_equal(add(&toy_class, "a", "two", "hotplug0", 2), 0);
	says("added two; ");
	assert_false(status() & PCI_EXP_SLTSTA_PDS);
	assert_int_equal(del("two", UNPLUG_ASK), 0);
	says("DEVICE_DELETED two; ");
	assert_int_equal(add(&toy_class, "a", "zero", "hotplug0", 0), 0);
	says("added zero; ");
	guest_takes();
	assert_int_equal(read_fn(1), 0x00020001);
	says("X_MINIVMM_DEVICE_TAKEN zero; X_MINIVMM_DEVICE_TAKEN one; ");
	refuses(add(&toy_class, "a", "two", "hotplug0", 2), "function 0 is added last");
	assert_int_equal(del("one", UNPLUG_ASK), 0);
	guest_lets_go();
	while (strlen(m.said) < strlen("DEVICE_DELETED zero; DEVICE_DELETED one; "))
		turn();
	assert_non_null(strstr(m.said, "DEVICE_DELETED zero; "));
	assert_non_null(strstr(m.said, "DEVICE_DELETED one; "));
}

static void test_force(void **state)
{
	(void)state;
	guest_boots();
	assert_int_equal(add(&toy_class, "a", "x", NULL, 0), 0);
	says("added x; ");
	guest_takes();
	says("X_MINIVMM_DEVICE_TAKEN x; ");
	assert_int_equal(del("x", UNPLUG_ASK), 0);
	assert_int_equal(del("x", UNPLUG_FORCE), 0);
	assert_int_equal(read_fn(0), UINT32_MAX);
	refuses(del("x", UNPLUG_FORCE), "already in the process of unplug");
	says("DEVICE_DELETED x; ");
	assert_false(status() & PCI_EXP_SLTSTA_PDS);
	/* By the device, as for one that has failed. */
	assert_false(hotplug_remove_device(NULL, NULL, UNPLUG_FORCE));
	assert_int_equal(add(&toy_class, "a", "x", NULL, 0), 0);
	says("added x; ");
	assert_true(hotplug_remove_device(m.h, m.list.first, UNPLUG_FORCE));
	says("DEVICE_DELETED x; ");
}

static void test_guest_refuses(void **state)
{
	(void)state;
	guest_boots();
	assert_int_equal(add(&toy_class, "a", "x", NULL, 0), 0);
	says("added x; ");
	guest_takes();
	says("X_MINIVMM_DEVICE_TAKEN x; ");
	assert_int_equal(del("x", UNPLUG_ASK), 0);
	control(PCI_EXP_SLTCTL_PWR_IND_BLINK);
	control(PCI_EXP_SLTCTL_PWR_IND_ON);
	says("DEVICE_UNPLUG_GUEST_ERROR x; ");
	/* It may be asked again. While it blinks, it is busy. */
	control(PCI_EXP_SLTCTL_PWR_IND_BLINK);
	refuses(del("x", UNPLUG_ASK),
		"Hot-unplug failed: guest is busy (power indicator blinking)");
	control(PCI_EXP_SLTCTL_PWR_IND_ON);
	assert_int_equal(del("x", UNPLUG_ASK), 0);
	/* A reset completes it. Until everything is closed, memory may still be written to. */
	hotplug_reset(m.h);
	assert_string_equal(hotplug_busy(m.h), "x");
	pci_reset_all(&m.fake.root);
	says("DEVICE_DELETED x; ");
	assert_null(hotplug_busy(m.h));
	hotplug_reset(NULL);
	assert_null(hotplug_busy(NULL));
}

/* x has left its slot, in which y is now, but is not closed. */
static void out_but_open(const char *arg)
{
	guest_boots();
	assert_int_equal(add(&toy_class, arg, "x", NULL, 0), 0);
	says("added x; ");
	assert_int_equal(del("x", UNPLUG_FORCE), 0);
	while (add(&toy_class, "a", "y", "hotplug0", 0) < 0)
		turn();
	says("added y; ");
}

/* A device whose storage never answers stays, but its slot is free. */
static void test_hung(void **state)
{
	(void)state;
	out_but_open("stuck");
	assert_non_null(m.list.first);
	assert_string_equal(hotplug_busy(m.h), "x");
	assert_false(hotplug_stop(m.h));
	pci_device_destroy(m.list.first->state);
	free(m.list.first->state);
}

/* Its storage answers after all: the device goes, and leaves alone who is in its slot now. */
static void test_answers_late(void **state)
{
	(void)state;
	out_but_open("slow");
	guest_takes();
	says("X_MINIVMM_DEVICE_TAKEN y; ");
	assert_string_equal(hotplug_busy(m.h), "x");
	refuses(add(&toy_class, "a", "x", NULL, 0), "Duplicate device ID 'x'");
	refuses(del("x", UNPLUG_FORCE), "already in the process of unplug");
	says("DEVICE_DELETED x; ");
	assert_null(hotplug_busy(m.h));
	assert_int_equal(device_count(&m.list, &toy_class), 1);
	assert_int_equal(read_fn(0), 0x00020001);
	assert_int_equal(del("y", UNPLUG_FORCE), 0);
	says("DEVICE_DELETED y; ");
	assert_null(m.list.first);
}

/* The machine ends while devices are opened and closed. */
static void test_end(void **state)
{
	(void)state;
	guest_boots();
	assert_int_equal(add(&toy_class, "a", "x", NULL, 0), 0);
	says("added x; ");
	assert_int_equal(del("x", UNPLUG_FORCE), 0);
	assert_int_equal(add(&toy_class, "broken", "y", NULL, 0), 0);
	assert_int_equal(add(&toy_class, "a", "z", NULL, 0), 0);
	assert_true(hotplug_stop(m.h));
	turn();
	assert_string_equal(m.said, "the machine ends y; the machine ends z; ");
	assert_int_equal(device_count(&m.list, &toy_class), 1);
}

/* The host does not answer while a device is opened: the machine ends without it. */
static void test_end_stuck(void **state)
{
	struct device *x;

	(void)state;
	guest_boots();
	assert_int_equal(add(&toy_class, "a", "y", NULL, 0), 0);
	says("added y; ");
	m.hold = true;
	assert_int_equal(add(&toy_class, "dead", "x", NULL, 0), 0);
	assert_false(hotplug_stop(m.h));
	assert_true(hotplug_stuck(m.h));
	assert_string_equal(m.said, "the machine ends x; ");
	/* Nothing that the thread uses is freed. */
	x = m.list.first->next;
	hotplug_free(m.h);
	assert_int_equal(device_count(&m.list, &toy_class), 1);
	assert_null(m.list.first->next);
	m.hold = false;
	while (hotplug_stuck(m.h))
		hotplug_stop(m.h);
	assert_string_equal(m.said, "the machine ends x; ");
	m.list.first->next = x;
}

/* ---- the root lock ---- */

static struct holder holder = { .lock = &m.fake.root.lock };

/* Nothing has come of what was asked for, and nobody has waited. */
static void holder_lets_go(void)
{
	unsigned i;

	for (i = 0; i < 20; i++)
		turn();
	assert_string_equal(m.said, "");
	assert_true(holder_stop(&holder));
}

/* A processor has the root lock for as long as the kernel resets a device. */
static void test_processor_holds(void **state)
{
	(void)state;
	guest_boots();
	holder_start(&holder);
	assert_int_equal(add(&toy_class, "a", "x", NULL, 0), 0);
	holder_lets_go();
	says("added x; ");
	guest_takes();
	says("X_MINIVMM_DEVICE_TAKEN x; ");
	holder_start(&holder);
	assert_int_equal(del("x", UNPLUG_ASK), 0);
	refuses(del("x", UNPLUG_ASK), "already in the process of unplug");
	holder_lets_go();
	while (!(status() & PCI_EXP_SLTSTA_ABP))
		turn();
	guest_lets_go();
	holder_start(&holder);
	holder_lets_go();
	says("DEVICE_DELETED x; ");
	/* It is asked, but busy, and then loses the device. */
	assert_int_equal(add(&toy_class, "a", "x", NULL, 0), 0);
	says("added x; ");
	guest_takes();
	says("X_MINIVMM_DEVICE_TAKEN x; ");
	control(PCI_EXP_SLTCTL_PWR_IND_BLINK);
	holder_start(&holder);
	assert_int_equal(del("x", UNPLUG_ASK), 0);
	holder_lets_go();
	says("DEVICE_UNPLUG_GUEST_ERROR x; ");
	holder_start(&holder);
	assert_int_equal(del("x", UNPLUG_ASK), 0);
	assert_int_equal(del("x", UNPLUG_FORCE), 0);
	holder_lets_go();
	says("DEVICE_DELETED x; ");
	assert_null(m.list.first);
}

/* The largest device that is bound to vfio-pci, whatever else is there. */
static void test_window(void **state)
{
	make_root(state);
	assert_int_equal(hotplug_window(root), 256 * MiB);
	put_host("pci 02:00.0 class=030000 id=1:2 group=1 driver=vfio-pci bar0=1000000 "
		 "bar1=400000000p bar3=2000000p");
	put_host("pci 03:00.0 class=030000 id=1:2 group=2 driver=nouveau bar1=4000000000p");
	put("", "sys/bus/pci/drivers/vfio-pci/new_id");
	put_link("02:00.0", "sys/bus/pci/drivers/vfio-pci/0000:02:00.0");
	put_link("03:00.0", "sys/bus/pci/drivers/nouveau/0000:03:00.0");
	assert_int_equal(hotplug_window(root), 32 * GiB);
	remove_root(state);
}

/* Windows for a kernel that is started directly: from the upper ends down. */
static void test_windows(void **state)
{
	(void)state;
	hotplug_place_windows(m.h, 0xfc000000, 1024 * GiB, 128 * GiB);
	assert_int_equal(pci_cfg_read(&m.fake.root, 0, PORT, PCI_MEMORY_BASE, 4), 0xfbf0fa00);
	assert_int_equal(pci_cfg_read(&m.fake.root, 0, PORT, PCI_PREF_MEMORY_BASE, 4), 0xfff1f001);
	assert_int_equal(pci_cfg_read(&m.fake.root, 0, PORT, PCI_PREF_BASE_UPPER32, 4), 0x11f);
	assert_int_equal(pci_cfg_read(&m.fake.root, 0, PORT, PCI_PREF_LIMIT_UPPER32, 4), 0x11f);
	assert_int_equal(pci_cfg_read(&m.fake.root, 0, PCI_DEVFN(2, 0), PCI_PREF_MEMORY_BASE, 4),
			 0xeff1e001);
	/* Without a window above memory there is none below 4 GiB instead. */
	pci_reset_all(&m.fake.root);
	hotplug_place_windows(m.h, 0xfc000000, 0, 0);
	assert_int_equal(pci_cfg_read(&m.fake.root, 0, PORT, PCI_PREF_BASE_UPPER32, 4), 0);
}

static void round_trip(const struct device_class *class, const char *arg, bool force)
{
	assert_int_equal(add(class, arg, "x", NULL, 0), 0);
	says("added x; ");
	guest_takes();
	assert_int_equal(read_fn(0) & 0xffff, class == &toy_class ? 1 : 0x1af4);
	says("X_MINIVMM_DEVICE_TAKEN x; ");
	assert_int_equal(del("x", force ? UNPLUG_FORCE : UNPLUG_ASK), 0);
	if (!force)
		assert_true(status() & PCI_EXP_SLTSTA_ABP);
	guest_lets_go();
	says("DEVICE_DELETED x; ");
	status();
}

/* Nothing is left of a device: no descriptor, route, interrupt line, counter, thread or byte. */
static void test_many_rounds(void **state)
{
	char disk[128], arg[160];
	struct mallinfo2 before = { 0 }, after;
	unsigned i, fds = 0;

	make_root(state);
	guest_boots();
	put("data", "disk");
	snprintf(disk, sizeof(disk), "%s/disk", root);
	truncate(disk, 1 * MiB);
	snprintf(arg, sizeof(arg), "%s,format=raw,aio=auto", disk);
	for (i = 0; i < 200; i++) {
		round_trip(&toy_class, "a", i & 1);
		round_trip(&virtio_rng_class, NULL, i & 1);
		if (i % 10 == 0)
			round_trip(&virtio_blk_class, arg, i & 1);
		if (i == 100) { /* everything that stays has been made */
			fds = open_files();
			before = mallinfo2();
		}
	}
	after = mallinfo2();
	assert_int_equal(open_files(), fds);
	/* A block has 32 bytes or more, so one that is left each round is more than 3,000 bytes.
	 * What malloc() keeps for threads varies by less. */
	if (after.uordblks > before.uordblks + 2000)
		fail_msg("%zu bytes more", after.uordblks - before.uordblks);
	assert_null(stats_sets(m.fake.root.stats));
	for (i = 0; i < FAKE_GSIS; i++)
		assert_int_equal(m.fake.fd[i], -1);
	remove_root(state);
}

/* The lock that refuses an image may be this machine's own. */
static void test_same_image(void **state)
{
	char disk[128], link[128], want[700];

	make_root(state);
	put("data", "disk");
	snprintf(disk, sizeof(disk), "%s/disk", root);
	snprintf(link, sizeof(link), "%s/link", root);
	truncate(disk, 1 * MiB);
	assert_int_equal(symlink("disk", link), 0);
	assert_int_equal(add(&virtio_blk_class, disk, "a", NULL, 0), 0);
	says("added a; ");
	snprintf(want, sizeof(want),
		 "%s is in use by this machine already, as %s: use another image; if that is a "
		 "disk, "
		 "remove it first (device_del), or add ,ro to both b; ",
		 link, disk);
	assert_int_equal(add(&virtio_blk_class, link, "b", NULL, 0), 0);
	says(want);
	/* The machine has it no longer. */
	assert_int_equal(del("a", UNPLUG_FORCE), 0);
	says("DEVICE_DELETED a; ");
	assert_int_equal(add(&virtio_blk_class, link, "b", NULL, 0), 0);
	says("added b; ");
	assert_int_equal(del("b", UNPLUG_FORCE), 0);
	says("DEVICE_DELETED b; ");
	remove_root(state);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_life),
		T(test_failures),
		T(test_functions),
		T(test_processor_holds),
		cmocka_unit_test(test_window),
		T(test_force),
		T(test_hung),
		T(test_answers_late),
		T(test_end),
		cmocka_unit_test_setup_teardown(test_end_stuck, setup_short_end, teardown),
		T(test_windows),
		T(test_guest_refuses),
		T(test_same_image),
		T(test_many_rounds),
	};

	/* An arena that a thread makes would count as bytes that are left. */
	mallopt(M_ARENA_MAX, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
