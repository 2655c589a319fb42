/* SPDX-License-Identifier: BSD-2-Clause */
/* Passed-through cards come to a running machine and leave it (card_fixture.h): in which order,
 * that a failure undoes all before it, and that nothing is left. */
#include "tests/unit/card_fixture.h"
#include "tests/unit/files_fixture.h"

#include <malloc.h>

/* ---- what the tests have in common ---- */

static void come(struct fixture *x, struct device *d, unsigned fn)
{
	add(x, d);
	plug(x, d, fn);
}

static void leave(struct device *d)
{
	machine_vfio_unplug(d);
	machine_vfio_remove(d, false);
}

/* As from one slot: none is closed before all are off the bus. */
static void leave_both(struct device *a, struct device *b)
{
	machine_vfio_unplug(a);
	machine_vfio_unplug(b);
	machine_vfio_remove(a, false);
	machine_vfio_remove(b, false);
}

/* Only what the reset of the machine does is in the log. */
static void reset_anew(struct fixture *x)
{
	fake_log_clear(&host.log);
	machine_vfio_reset(x->v);
}

/* ---- tests ---- */

static void test_comes_and_goes(void **state)
{
	struct fixture *x = *state;
	struct device *nic = asked(x, "02:00.0");

	add(x, nic);
	/* KVM knows the group before the device is open; memory comes last. */
	ORDER("set:12", "kvm+:12", "dev:02:00.0", "cmd=0000", "map:0");
	plug(x, nic, 0);
	assert_int_equal(pci_cfg_read(&x->m.root, 1, 0, PCI_VENDOR_ID, 4), 0x56781234);
	fake_log_clear(&host.log);
	machine_vfio_unplug(nic);
	ORDER("cmd=0000");
	assert_int_equal(COUNT("close"), 0);
	assert_int_equal(pci_cfg_read(&x->m.root, 1, 0, PCI_VENDOR_ID, 4), UINT32_MAX);
	leave(nic);
	ORDER("cmd=0000", "close:02:00.0", "unmap:0", "kvm-:12", "unset:12", "close:12");
	assert_null(nic->state);
	assert_false(machine_vfio_any(x->v));
}

/* Memory stays mapped while there is a device, whichever. */
static void test_two(void **state)
{
	struct fixture *x = *state;
	struct device *nic = asked(x, "02:00.0"), *disk = asked(x, "03:00.0");

	add(x, nic);
	add(x, disk);
	assert_int_equal(COUNT("map:0"), 1);
	machine_vfio_remove(nic, false);
	assert_int_equal(COUNT("unmap:0"), 0);
	assert_int_equal(COUNT("close:12"), 1);
	assert_int_equal(host.n_maps, 1);
	machine_vfio_remove(disk, false);
	assert_int_equal(host.n_maps, 0);
	add(x, nic);
	assert_int_equal(host.n_maps, 1);
}

static char bind_text[200];

static int note_bind(void *opaque, const char *bdf, bool bind, struct error *e)
{
	size_t n = strlen(bind_text);

	(void)opaque;
	snprintf(bind_text + n, sizeof(bind_text) - n, "%c%s ", bind ? '+' : '-', bdf + 5);
	fake_log(&host.log, "%s:%s", bind ? "bind" : "restore", bdf + 5);
	return bind && strcmp(bdf, "0000:03:00.0") == 0 ? error_set(e, -EBUSY, "it is in use") : 0;
}

/* --bind: before it is looked at, and after its files are closed; also when it cannot be added. */
static void test_bind(void **state)
{
	struct fixture *x = *state;
	struct device *nic = asked(x, "02:00.0"), *disk = asked(x, "03:00.0");

	stop(x);
	news.bind = note_bind;
	start(x);
	news.bind = NULL;
	bind_text[0] = '\0';
	add(x, nic);
	ORDER("bind:02:00.0", "set:12");
	machine_vfio_remove(nic, false);
	ORDER("close:12", "restore:02:00.0");
	assert_string_equal(bind_text, "+02:00.0 -02:00.0 ");
	assert_int_equal(machine_vfio_add(x->v, disk, &x->err), -EBUSY);
	assert_string_equal(x->err.text, "it is in use");
	bind_text[0] = '\0';
	for (unsigned at = 1; at < 8; at++) {
		host.calls = 0;
		host.fail_at = at;
		if (machine_vfio_add(x->v, nic, &x->err) == 0)
			machine_vfio_remove(nic, false);
		assert_string_equal(bind_text, "+02:00.0 -02:00.0 ");
		bind_text[0] = '\0';
	}
	host.fail_at = 0;
}

/* Two functions of a slot share their group and a bus reset. */
static void test_functions(void **state)
{
	struct fixture *x = *state;
	struct device *gpu = asked(x, "01:00.0"), *audio = asked(x, "01:00.1");

	add(x, audio);
	assert_int_equal(COUNT("bus-reset"), 1);
	plug(x, audio, 1);
	/* The bus reset would hit the audio function, which is in the guest. */
	add(x, gpu);
	assert_int_equal(COUNT("bus-reset"), 1);
	assert_int_equal(COUNT("set:11"), 1);
	plug(x, gpu, 0);
	leave(gpu);
	assert_int_equal(COUNT("bus-reset"), 1);
	assert_int_equal(COUNT("close:11"), 0);
	come(x, gpu, 0);
	/* Both leave: one reset for both, and the group goes with the second one. */
	machine_vfio_unplug(audio);
	leave(gpu);
	assert_int_equal(COUNT("bus-reset"), 2);
	assert_int_equal(COUNT("close:11"), 0);
	machine_vfio_remove(audio, false);
	assert_int_equal(COUNT("bus-reset"), 2);
	assert_int_equal(COUNT("close:11"), 1);
}

/* The machine is reset: only what is there, with groups that are there. */
static void test_machine_reset(void **state)
{
	struct fixture *x = *state;
	struct device *gpu = asked(x, "01:00.0"), *nic = asked(x, "02:00.0");

	machine_vfio_reset(x->v);
	add(x, gpu);
	come(x, nic, 0);
	reset_anew(x);
	ORDER("bus-reset");
	ORDER("reset");
	leave(nic);
	reset_anew(x);
	assert_int_equal(COUNT("bus-reset"), 1);
	assert_int_equal(COUNT("reset"), 0);
	machine_vfio_remove(gpu, false);
	reset_anew(x);
	assert_string_equal(host.log.text, "");
}

/* One that was opened before may be put into the guest while the next one is opened. */
static void test_together(void **state)
{
	struct fixture *x = *state;
	struct device *gpu = asked(x, "01:00.0"), *audio = asked(x, "01:00.1");

	add(x, audio);
	assert_int_equal(COUNT("bus-reset"), 1);
	fake_log_clear(&host.log);
	add(x, gpu);
	assert_int_equal(COUNT("bus-reset"), 0);
	plug(x, audio, 1);
	plug(x, gpu, 0);
	leave_both(audio, gpu);
	assert_int_equal(COUNT("bus-reset"), 1);
}

/* There is no memory for a new plan of the machine's reset: the old one stays, without what is
 * closed. */
static void test_no_plan(void **state)
{
	struct fixture *x = *state;
	struct device *gpu = asked(x, "01:00.0"), *nic = asked(x, "02:00.0");
	struct device *disk = asked(x, "03:00.0");

	add(x, gpu);
	come(x, nic, 0);
	host.no_memory = true;
	assert_int_equal(machine_vfio_add(x->v, disk, &x->err), -ENOMEM);
	reset_anew(x);
	assert_int_equal(COUNT("bus-reset"), 1);
	assert_int_equal(COUNT("reset"), 1);
	leave(nic);
	reset_anew(x);
	assert_int_equal(COUNT("bus-reset"), 1);
	assert_int_equal(COUNT("reset"), 0);
	host.no_memory = false;
	add(x, disk);
	machine_vfio_remove(disk, false);
	machine_vfio_remove(gpu, false);
}

static void is_empty(struct fixture *x)
{
	for (int g = 0; g < 32; g++)
		assert_false(host.group[g] || host.joined[g] || host.kvm[g]);
	for (unsigned i = 0; i < DEVICES; i++)
		assert_int_equal(dev[i].fd, -1);
	assert_int_equal(host.n_maps, 0);
	assert_false(machine_vfio_any(x->v));
}

/* Whichever step fails, all before it are undone, and the next try works. */
static void test_failures(void **state)
{
	struct fixture *x = *state;
	struct device *gpu = asked(x, "01:00.0");
	unsigned at;
	int ret = -1;

	for (at = 1; ret < 0; at++) {
		unsigned files = open_files();

		fake_log_clear(&host.log);
		x->err = (struct error){ 0 };
		host.calls = 0;
		host.fail_at = at;
		ret = machine_vfio_add(x->v, gpu, &x->err);
		if (ret == 0)
			break;
		assert_int_equal(x->err.code, ret);
		assert_true(strlen(x->err.text) > 10);
		is_empty(x);
		/* The container may stay: it has nothing in it. */
		assert_in_range(open_files(), files, files + 1);
		stop(x);
		start(x);
	}
	/* sysfs, container, two checks, group, status, set, IOMMU, KVM, device, wrapper, limits,
	 * information, memory. */
	assert_in_range(at, 15, 30);
	host.fail_at = 0;
	machine_vfio_remove(gpu, false);
	is_empty(x);
}

static void round_trip(struct fixture *x, struct device *gpu, struct device *audio)
{
	fake_log_clear(&host.log);
	fake_log_clear(&x->m.log);
	add(x, audio);
	add(x, gpu);
	plug(x, audio, 1);
	plug(x, gpu, 0);
	assert_int_equal(fake_log_count(&x->m.log, "slot+"), 4);
	machine_vfio_unplug(audio);
	machine_vfio_unplug(gpu);
	assert_int_equal(fake_log_count(&x->m.log, "slot-"), 4);
	assert_int_equal(fake_log_count(&x->m.log, "irqfd+"), fake_log_count(&x->m.log, "irqfd-"));
	machine_vfio_remove(audio, false);
	machine_vfio_remove(gpu, false);
	is_empty(x);
}

static void test_rounds(void **state)
{
	struct fixture *x = *state;
	struct device *gpu = asked(x, "01:00.0"), *audio = asked(x, "01:00.1");
	unsigned files = 0;
	size_t bytes = 0;

	for (unsigned i = 0; i < 200; i++) {
		round_trip(x, gpu, audio);
		if (i == 10) {
			files = open_files();
			bytes = mallinfo2().uordblks;
		}
	}
	assert_int_equal(open_files(), files);
	assert_int_equal(mallinfo2().uordblks, bytes);
}

/* ---- beside the main loop ---- */

struct worker {
	struct fixture *x;
	struct device *d;
	int stop;
	unsigned long rounds;
};

static void *come_and_go(void *arg)
{
	struct worker *w = arg;
	struct error err;

	while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED)) {
		if (machine_vfio_add(w->x->v, w->d, &err) < 0)
			return NULL;
		machine_vfio_remove(w->d, false);
		fake_log_clear(&host.log);
		__atomic_fetch_add(&w->rounds, 1, __ATOMIC_RELAXED);
	}
	return w;
}

/* The main loop plugs, unplugs and resets one card, while a thread opens and closes another. */
static void test_beside(void **state)
{
	struct fixture *x = *state;
	struct worker w = { .x = x, .d = asked(x, "03:00.0") };
	struct device *nic = asked(x, "02:00.0");
	pthread_t thread;
	void *ok;

	add(x, nic);
	assert_int_equal(pthread_create(&thread, NULL, come_and_go, &w), 0);
	while (__atomic_load_n(&w.rounds, __ATOMIC_RELAXED) < 50) {
		plug(x, nic, 0);
		machine_vfio_reset(x->v);
		machine_vfio_unplug(nic);
		fake_log_clear(&x->m.log);
	}
	__atomic_store_n(&w.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, &ok);
	assert_ptr_equal(ok, &w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_comes_and_goes), T(test_two),	  T(test_bind),	   T(test_functions),
		T(test_machine_reset),	T(test_together), T(test_no_plan), T(test_failures),
		T(test_rounds),		T(test_beside),
	};

	/* An arena that a thread makes would count as bytes that are left. */
	mallopt(M_ARENA_MAX, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
