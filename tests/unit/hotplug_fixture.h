/* SPDX-License-Identifier: BSD-2-Clause */
/* For tests of hotplug: a toy device with BARs of any size, a machine with three slots, and a guest
 * that drives the port of the first one by its writes. */
#ifndef HOTPLUG_FIXTURE_H
#define HOTPLUG_FIXTURE_H

#include <errno.h>
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
#include "tests/unit/fake_root.h"
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

static inline bool is_named(const struct device *d, const char *name)
{
	return strcmp(((const struct toy_opts *)d->opts)->name, name) == 0;
}

static inline int toy_open(struct device *d, const struct device_env *env, struct error *err)
{
	assert_null(env->devices->first);
	while (is_named(d, "dead") && m.hold)
		usleep(1000);
	if (is_named(d, "broken"))
		return error_set(err, -ENOENT, "broken: it cannot be opened");
	d->state = calloc(1, sizeof(struct toy));
	return 0;
}

static inline int toy_plug(struct device *d, const struct device_env *env, struct error *err)
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

static inline void toy_unplug(struct device *d)
{
	struct toy *t = d->state;

	pci_remove(&t->pci);
	t->unplugged = true;
}

static inline bool toy_close(struct device *d)
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

__attribute__((format(printf, 1, 2))) static inline void say(const char *fmt, ...)
{
	size_t n = strlen(m.said);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(m.said + n, sizeof(m.said) - n, fmt, ap);
	va_end(ap);
}

static inline void on_event(void *opaque, const char *name, const struct device *d,
			    const char *path)
{
	(void)opaque;
	assert_non_null(strstr(path, d->id));
	say("%s %s; ", name, d->id);
}

static inline void on_done(void *arg, const struct device *d, const struct error *err)
{
	assert_ptr_equal(arg, &m);
	say("%s %s; ", err ? err->text : "added", d->id);
}

static inline int setup_calls(uint64_t end_ns, const struct hotplug_calls *calls)
{
	struct hotplug_env env = { .calls = calls,
				   .devices = &m.list,
				   .event = on_event,
				   .window = 256 * MiB,
				   .end_ns = end_ns };

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

static inline int setup_with(uint64_t end_ns)
{
	return setup_calls(end_ns, NULL);
}

static inline int setup(void **state)
{
	(void)state;
	return setup_with(0);
}

static inline int setup_short_end(void **state)
{
	(void)state;
	return setup_with(100000000);
}

static inline int teardown(void **state)
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

static inline void stop_loop(void *arg)
{
	evloop_stop(arg, 0);
}

static inline void turn(void)
{
	struct ev_timer *t = evloop_add_timer(m.loop, stop_loop, m.loop);

	ev_timer_set(t, evloop_now_ns() + 1000000);
	evloop_run(m.loop);
	evloop_del_timer(t);
}

/* Until exactly this was said. */
static inline void says(const char *text)
{
	unsigned i;

	for (i = 0; i < 5000 && strlen(m.said) < strlen(text); i++)
		turn();
	assert_string_equal(m.said, text);
	m.said[0] = '\0';
}

static inline int add(const struct device_class *class, const char *arg, const char *id,
		      const char *bus, unsigned fn)
{
	const struct hotplug_request r = { class, arg, id, bus, fn, on_done, &m };

	m.err = (struct error){ 0 };
	return hotplug_add(m.h, &r, &m.err);
}

static inline int del(const char *id, enum hotplug_unplug how)
{
	m.err = (struct error){ 0 };
	return hotplug_remove(m.h, id, how, &m.err);
}

static inline void refuses(int ret, const char *text)
{
	assert_true(ret < 0);
	if (!strstr(m.err.text, text))
		fail_msg("'%s' does not say '%s'", m.err.text, text);
}

/* ---- the guest, which knows only the first slot ---- */

static inline unsigned cap_of_port(void)
{
	unsigned at = pci_cfg_read(&m.fake.root, 0, PORT, PCI_CAPABILITY_LIST, 1);

	while (at && pci_cfg_read(&m.fake.root, 0, PORT, at, 1) != PCI_CAP_ID_EXP)
		at = pci_cfg_read(&m.fake.root, 0, PORT, at + 1, 1);
	return at;
}

static inline void control(uint32_t v)
{
	pci_cfg_write(&m.fake.root, 0, PORT, cap_of_port() + PCI_EXP_SLTCTL, 2, ALL | v);
}

static inline uint32_t status(void)
{
	unsigned at = cap_of_port() + PCI_EXP_SLTSTA;
	uint32_t v = pci_cfg_read(&m.fake.root, 0, PORT, at, 2);

	pci_cfg_write(&m.fake.root, 0, PORT, at, 2, v);
	return v;
}

static inline uint32_t read_fn(unsigned fn)
{
	return pci_cfg_read(&m.fake.root, 1, PCI_DEVFN(0, fn), 0, 4);
}

static inline void guest_boots(void)
{
	pci_cfg_write(&m.fake.root, 0, PORT, PCI_SECONDARY_BUS, 2, 0x0101);
	pci_cfg_write(&m.fake.root, 0, PORT, PCI_COMMAND, 2,
		      PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY);
	control(PCI_EXP_SLTCTL_PWR_OFF | PCI_EXP_SLTCTL_PWR_IND_OFF);
}

static inline void guest_takes(void)
{
	assert_true(status() & PCI_EXP_SLTSTA_PDS);
	control(PCI_EXP_SLTCTL_PWR_IND_BLINK);
	assert_int_equal(read_fn(0) & 0xffff, read_fn(0) & 0xffff);
	control(PCI_EXP_SLTCTL_PWR_IND_ON);
}

static inline void guest_lets_go(void)
{
	control(PCI_EXP_SLTCTL_PWR_IND_BLINK);
	control(PCI_EXP_SLTCTL_PWR_OFF | PCI_EXP_SLTCTL_PWR_IND_BLINK);
	control(PCI_EXP_SLTCTL_PWR_OFF | PCI_EXP_SLTCTL_PWR_IND_OFF);
}

/* Until the guest is shown a device. */
static inline void wait_present(void)
{
	while (!(pci_cfg_read(&m.fake.root, 0, PORT, cap_of_port() + PCI_EXP_SLTSTA, 2) &
		 PCI_EXP_SLTSTA_PDS))
		turn();
}

#endif
