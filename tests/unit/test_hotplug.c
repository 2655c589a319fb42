/* SPDX-License-Identifier: BSD-2-Clause */
/* Devices come and go: a toy device with BARs of any size, and the virtio devices, behind ports
 * that a guest drives by its writes. */
#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "devices/pci/root_port.h"
#include "devices/virtio/virtio_blk.h"
#include "devices/virtio/virtio_rng.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_root.h"
#include "tests/unit/files_fixture.h"
#include "tests/unit/holder.h"
#include "vmm/core/evloop.h"
#include "vmm/core/mem.h"
#include "vmm/core/stats.h"
#include "vmm/machine/hotplug.h"

static struct {
	struct fake_root fake;
	struct evloop *loop;
	struct device_list list;
	struct hotplug *h;
	struct error err;
	char said[2048];   /* events and answers */
	_Atomic bool hold; /* the host does not answer */
} m;

/* ---- the toy ---- */

struct toy_opts {
	const char *name;
	uint64_t mib; /* of its 64-bit BAR */
};

struct toy {
	struct pci_device pci;
	bool unplugged;
	unsigned closes; /* calls of close() */
};

static const struct key toy_keys[] = {
	{ "NAME", KEY_STRING, offsetof(struct toy_opts, name), 0, 0, { 0 } },
	{ "mib", KEY_NUMBER, offsetof(struct toy_opts, mib), 1, 1u << 30, { 0 } },
	{ 0 },
};

static bool is_named(const struct device *d, const char *name)
{
	return strcmp(((const struct toy_opts *)d->opts)->name, name) == 0;
}

static int toy_open(struct device *d, const struct device_env *env, struct error *err)
{
	assert_null(env->devices->first);
	while (is_named(d, "dead") && m.hold)
		usleep(1000);
	if (is_named(d, "broken"))
		return error_set(err, -ENOENT, "broken: it cannot be opened");
	d->state = calloc(1, sizeof(struct toy));
	return 0;
}

static int toy_plug(struct device *d, const struct device_env *env, struct error *err)
{
	struct toy *t = d->state;
	uint64_t mib = ((const struct toy_opts *)d->opts)->mib;

	pci_device_init(&t->pci, "toy", NULL, 1, 2, 0x020000, 0);
	if (is_named(d, "stiff"))
		return error_set(err, -EIO, "stiff: it cannot be plugged");
	pci_add_bar(&t->pci, 0, PCI_BAR_MEM32, false, 64 * KiB, NULL, NULL);
	pci_add_bar(&t->pci, 2, PCI_BAR_MEM64, true, mib ? mib * MiB : MiB, NULL, NULL);
	return pci_add(env->pci, env->bus, &t->pci, env->devfn, err);
}

static void toy_unplug(struct device *d)
{
	struct toy *t = d->state;

	pci_remove(&t->pci);
	t->unplugged = true;
}

static bool toy_close(struct device *d)
{
	struct toy *t = d->state;

	if (is_named(d, "stuck") || (is_named(d, "slow") && t->closes++ < 2))
		return false;
	if (t && t->pci.ops == NULL && t->pci.name) {
		pci_remove(&t->pci); /* at the machine's end there is no unplug() */
		pci_device_destroy(&t->pci);
	}
	free(t);
	return true;
}

static const struct device_class toy_class = {
	.name = "toy",
	.option = "toy",
	.arg = "NAME",
	.keys = toy_keys,
	.positional = true,
	.pci = true,
	.most = 20,
	.opts_size = sizeof(struct toy_opts),
	.open = toy_open,
	.plug = toy_plug,
	.unplug = toy_unplug,
	.close = toy_close,
};

/* ---- the machine ---- */

#define PORT PCI_DEVFN(1, 0)
#define ALL \
	(PCI_EXP_SLTCTL_HPIE | PCI_EXP_SLTCTL_ABPE | PCI_EXP_SLTCTL_PDCE | PCI_EXP_SLTCTL_DLLSCE)

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
	size_t n = strlen(m.said);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(m.said + n, sizeof(m.said) - n, fmt, ap);
	va_end(ap);
}

static void on_event(void *opaque, const char *name, const struct device *d, const char *path)
{
	(void)opaque;
	assert_non_null(strstr(path, d->id));
	say("%s %s; ", name, d->id);
}

static void on_done(void *arg, const struct device *d, const struct error *err)
{
	assert_ptr_equal(arg, &m);
	say("%s %s; ", err ? err->text : "added", d->id);
}

static int setup_with(uint64_t end_ns)
{
	struct hotplug_env env = {
		.devices = &m.list, .event = on_event, .window = 256 * MiB, .end_ns = end_ns
	};

	memset(&m, 0, sizeof(m));
	fake_root_init(&m.fake);
	m.loop = evloop_new();
	m.fake.root.loop = m.loop;
	m.fake.root.mem = guest_mem_new();
	m.fake.root.stats = stats_new(false);
	env.loop = m.loop;
	env.device = (struct device_env){ .devices = &m.list, .cpus = 1, .pci = &m.fake.root };
	m.h = hotplug_new(&env);
	assert_int_equal(hotplug_add_slots(m.h, 3, &m.err), 0);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return setup_with(0);
}

static int setup_short_end(void **state)
{
	(void)state;
	return setup_with(100000000);
}

static int teardown(void **state)
{
	const struct device_class *all[] = { &toy_class, &virtio_blk_class, &virtio_rng_class };
	unsigned i;

	(void)state;
	hotplug_stop(m.h);
	for (i = 0; i < ARRAY_SIZE(all); i++)
		devices_close(&m.list, all[i]);
	hotplug_free(m.h);
	device_list_free(&m.list);
	stats_free(m.fake.root.stats);
	guest_mem_free(m.fake.root.mem);
	evloop_free(m.loop);
	fake_root_free(&m.fake);
	return 0;
}

static void stop_loop(void *arg)
{
	evloop_stop(arg, 0);
}

static void turn(void)
{
	struct ev_timer *t = evloop_add_timer(m.loop, stop_loop, m.loop);

	ev_timer_set(t, evloop_now_ns() + 1000000);
	evloop_run(m.loop);
	evloop_del_timer(t);
}

/* Until exactly this was said. */
static void says(const char *text)
{
	unsigned i;

	for (i = 0; i < 5000 && strlen(m.said) < strlen(text); i++)
		turn();
	assert_string_equal(m.said, text);
	m.said[0] = '\0';
}

static int add(const struct device_class *class, const char *arg, const char *id, const char *bus,
	       unsigned fn)
{
	const struct hotplug_request r = { class, arg, id, bus, fn, on_done, &m };

	m.err = (struct error){ 0 };
	return hotplug_add(m.h, &r, &m.err);
}

static int del(const char *id, enum hotplug_unplug how)
{
	m.err = (struct error){ 0 };
	return hotplug_remove(m.h, id, how, &m.err);
}

static void refuses(int ret, const char *text)
{
	assert_true(ret < 0);
	if (!strstr(m.err.text, text))
		fail_msg("'%s' does not say '%s'", m.err.text, text);
}

/* ---- the guest, which knows only the first slot ---- */

static unsigned cap_of_port(void)
{
	unsigned at = pci_cfg_read(&m.fake.root, 0, PORT, PCI_CAPABILITY_LIST, 1);

	while (at && pci_cfg_read(&m.fake.root, 0, PORT, at, 1) != PCI_CAP_ID_EXP)
		at = pci_cfg_read(&m.fake.root, 0, PORT, at + 1, 1);
	return at;
}

static void control(uint32_t v)
{
	pci_cfg_write(&m.fake.root, 0, PORT, cap_of_port() + PCI_EXP_SLTCTL, 2, ALL | v);
}

static uint32_t status(void)
{
	unsigned at = cap_of_port() + PCI_EXP_SLTSTA;
	uint32_t v = pci_cfg_read(&m.fake.root, 0, PORT, at, 2);

	pci_cfg_write(&m.fake.root, 0, PORT, at, 2, v);
	return v;
}

static uint32_t read_fn(unsigned fn)
{
	return pci_cfg_read(&m.fake.root, 1, PCI_DEVFN(0, fn), 0, 4);
}

static void guest_boots(void)
{
	pci_cfg_write(&m.fake.root, 0, PORT, PCI_SECONDARY_BUS, 2, 0x0101);
	pci_cfg_write(&m.fake.root, 0, PORT, PCI_COMMAND, 2,
		      PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	control(PCI_EXP_SLTCTL_PWR_OFF | PCI_EXP_SLTCTL_PWR_IND_OFF);
}

static void guest_takes(void)
{
	assert_true(status() & PCI_EXP_SLTSTA_PDS);
	control(PCI_EXP_SLTCTL_PWR_IND_BLINK);
	assert_int_equal(read_fn(0) & 0xffff, read_fn(0) & 0xffff);
	control(PCI_EXP_SLTCTL_PWR_IND_ON);
}

static void guest_lets_go(void)
{
	control(PCI_EXP_SLTCTL_PWR_IND_BLINK);
	control(PCI_EXP_SLTCTL_PWR_OFF | PCI_EXP_SLTCTL_PWR_IND_BLINK);
	control(PCI_EXP_SLTCTL_PWR_OFF | PCI_EXP_SLTCTL_PWR_IND_OFF);
}

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

/* A card that has failed comes back, with all of its functions. */
static void wait_present(void)
{
	while (!(pci_cfg_read(&m.fake.root, 0, PORT, cap_of_port() + PCI_EXP_SLTSTA, 2) &
		 PCI_EXP_SLTSTA_PDS))
		turn();
}

static void test_replace(void **state)
{
	const struct device *zero;

	(void)state;
	guest_boots();
	assert_int_equal(add(&toy_class, "a", "one", "hotplug0", 1), 0);
	assert_int_equal(add(&toy_class, "a", "zero", "hotplug0", 0), 0);
	wait_present();
	guest_takes();
	turn();
	zero = m.list.first->next;
	m.said[0] = '\0';
	assert_true(hotplug_remove_device(m.h, zero, UNPLUG_REPLACE));
	assert_int_equal(read_fn(0), UINT32_MAX);
	guest_lets_go();
	status();
	wait_present();
	assert_ptr_equal(zero, m.list.first->next);
	guest_takes();
	assert_int_equal(read_fn(1), 0x00020001);
	says("X_MINIVMM_DEVICE_TAKEN zero; X_MINIVMM_DEVICE_TAKEN one; ");
	/* It is given up meanwhile. */
	assert_true(hotplug_remove_device(m.h, zero, UNPLUG_REPLACE));
	assert_true(hotplug_remove_device(m.h, zero, UNPLUG_FORCE));
	says("DEVICE_DELETED zero; ");
	while (hotplug_remove(m.h, "one", UNPLUG_FORCE, &m.err) < 0)
		turn();
	says("DEVICE_DELETED one; ");
	assert_null(m.list.first);
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

/* It waits for function 0, and does so again. */
static void test_replace_waiting(void **state)
{
	(void)state;
	guest_boots();
	assert_int_equal(add(&toy_class, "a", "one", "hotplug0", 1), 0);
	says("added one; ");
	assert_int_equal(del("one", UNPLUG_REPLACE), 0);
	refuses(add(&toy_class, "a", "zero", "hotplug0", 0), "in use by one");
	while (add(&toy_class, "a", "zero", "hotplug0", 0) < 0)
		turn();
	says("added zero; ");
	wait_present();
	guest_takes();
	assert_int_equal(read_fn(1), 0x00020001);
	says("X_MINIVMM_DEVICE_TAKEN zero; X_MINIVMM_DEVICE_TAKEN one; ");
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
		T(test_replace),
		T(test_replace_waiting),
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
