/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's devices, in one order: the chipset, what users asked for by class, passed-through
 * devices. They are taken away in the reverse order; a failure on the way takes away what stands.
 *
 * Adding a device that users ask for: a file with its class in devices/, and a row in classes.c.
 */
#include <errno.h>
#include <string.h>

#include "devices/usb/usb_options.h"
#include "vfio/options.h"
#include "vmm/machine/classes.h"
#include "vmm/machine/usb.h"
#include "vmm/machine/vm.h"

static int realize_chipset(struct vm *vm, struct error *err)
{
	const struct chipset_env env = {
		.pio = vm->pio,
		.mmio = vm->mmio,
		.mem = vm->mem,
		.irq = vm->irq,
		.loop = vm->loop,
		.stats = vm->stats,
		.map = &vm->map,
		.localtime = vm->cfg->rtc_localtime,
		.reset = machine_request_reset,
		.power_off = machine_request_power_off,
		.exit = machine_request_exit,
		.opaque = vm,
	};

	vm->next_slot = 1;
	return machine_chipset_init(&vm->chipset, &env, err);
}

static void unrealize_chipset(struct vm *vm)
{
	machine_chipset_destroy(&vm->chipset);
}

static void reset_chipset(struct vm *vm)
{
	machine_chipset_reset(&vm->chipset);
}

static int realize_extra(struct vm *vm, struct error *err)
{
	return vm->cfg->extra ? vm->cfg->extra(vm, vm->cfg->extra_arg, err) : 0;
}

/* What users asked for, by class, in the order of the table of classes. */

static void on_event(void *opaque, const char *event, const char *device)
{
	const struct vm *vm = opaque;

	if (vm->monitor.qmp)
		qmp_event(vm->monitor.qmp, event, json_pack("{s: s}", "device", device));
}

static struct device_env device_env(struct vm *vm)
{
	return (struct device_env){
		.devices = &vm->cfg->devices,
		.name = vm->cfg->name,
		.cpus = (unsigned)vm->cfg->cpus.n,
		.ram_pinned = vm->memory.plan.hugetlb && vm->memory.want.passthrough,
		.outputs = vm->outputs,
		.pci = &vm->chipset.pci,
		.bus = &vm->chipset.pci.bus,
		.power_off = machine_request_power_off,
		.power_off_arg = vm,
		.event = on_event,
		.event_arg = vm,
		.qmp = vm->monitor.qmp,
		.usb = machine_usb_ports(vm->usb),
		.input = machine_usb_input(vm->usb),
	};
}

/* Root ports may have taken a slot already. Slot 31, the LPC bridge's, says that none is free. */
static uint8_t free_devfn(struct vm *vm)
{
	while (vm->next_slot < 31 && vm->chipset.pci.bus.dev[PCI_DEVFN(vm->next_slot, 0)])
		vm->next_slot++;
	return PCI_DEVFN(vm->next_slot++, 0);
}

static int plug_class(struct vm *vm, const struct device_class *class, struct error *err)
{
	struct device_env env = device_env(vm);
	struct device *d = NULL;

	while ((d = device_next(&vm->cfg->devices, class, d))) {
		if (class->pci)
			env.devfn = free_devfn(vm);
		if (device_plug(d, &env, err) < 0)
			return err->code;
	}
	return 0;
}

static int plug_classes(struct vm *vm, enum device_stage stage, struct error *err)
{
	const struct device_class *const *c;

	for (c = device_classes; *c; c++)
		if ((*c)->stage == stage && plug_class(vm, *c, err) < 0)
			return err->code;
	return 0;
}

static int realize_asked(struct vm *vm, struct error *err)
{
	return plug_classes(vm, DEVICE_FIRST, err);
}

static int realize_late(struct vm *vm, struct error *err)
{
	int ret = machine_monitor_open(vm, err);

	return ret < 0 ? ret : plug_classes(vm, DEVICE_WRITES, err);
}

int machine_listen(struct vm *vm, struct error *err)
{
	return plug_classes(vm, DEVICE_SPEAKS, err);
}

/* Also those that were only opened. */
static void close_asked(struct vm *vm)
{
	unsigned i = 0;

	while (device_classes[i])
		i++;
	while (i-- > 0)
		vm->hung |= !devices_close(&vm->cfg->devices, device_classes[i]);
}

static void reset_asked(struct vm *vm)
{
	const struct device_class *const *c;

	for (c = device_classes; *c; c++)
		devices_reset(&vm->cfg->devices, *c);
}

/* The slots of passed-through cards are hot-pluggable, too. */
static int adopt(void *opaque, struct root_port *port, struct device *d, unsigned fn,
		 struct error *err)
{
	struct vm *vm = opaque;

	return d ? hotplug_adopt(vm->hotplug, port, d, fn, err)
		 : hotplug_adopt_port(vm->hotplug, port, err);
}

static int remove_card(void *opaque, const struct device *d, enum vfio_unplug how,
		       struct error *err)
{
	static const enum hotplug_unplug hot[] = {
		[VFIO_UNPLUG_ASK] = UNPLUG_ASK,
		[VFIO_UNPLUG_FORCE] = UNPLUG_FORCE,
		[VFIO_UNPLUG_REPLACE] = UNPLUG_REPLACE,
	};
	struct vm *vm = opaque;

	return hotplug_remove(vm->hotplug, d->id, hot[how], err);
}

static int bind_card(void *opaque, const char *bdf, bool bind, struct error *err)
{
	const struct vm *vm = opaque;

	return vm->cfg->bind_device(vm->cfg->bind_opaque, bdf, bind, err);
}

static void on_card(void *opaque, const char *event, const char *id, const char *action)
{
	struct vm *vm = opaque;

	if (vm->monitor.qmp)
		qmp_event(vm->monitor.qmp, event,
			  json_pack("{s: s, s: s*}", "device", id, "action", action));
}

static int realize_vfio(struct vm *vm, struct error *err)
{
	const struct vfio_news news = {
		.power_button = machine_press_power_button,
		.stop = machine_stop,
		.opaque = vm,
		.adopt = vm->hotplug ? adopt : NULL,
		.unplug = vm->hotplug ? remove_card : NULL,
		.bind = vm->cfg->bind_device ? bind_card : NULL,
		.event = on_card,
	};

	return machine_vfio_realize(vm->vfio, &vm->chipset.pci, vm->next_slot, &news, &vm->phases,
				    err);
}

static void unrealize_vfio(struct vm *vm)
{
	machine_vfio_unrealize(vm->vfio);
}

static void reset_vfio(struct vm *vm)
{
	machine_vfio_reset(vm->vfio);
}

static void on_hotplug(void *opaque, const char *event, const struct device *d, const char *path)
{
	struct vm *vm = opaque;

	log_info("%s: %s", event, d->id);
	if (strcmp(event, "DEVICE_DELETED") == 0)
		monitor_devices_deleted(&vm->monitor.devices, d);
	if (vm->monitor.qmp)
		qmp_event(vm->monitor.qmp, event,
			  json_pack("{s: s, s: s}", "device", d->id, "path", path));
}

/* Passed-through devices share groups, resets and the IOMMU, so they are opened and closed by
 * passthrough and not by their class. */

static int card_open(void *opaque, struct device *d, const struct device_env *env,
		     struct error *err)
{
	(void)env;
	return machine_vfio_add(((struct vm *)opaque)->vfio, d, err);
}

static int card_put(void *opaque, struct device *d, const struct device_env *env, struct error *err)
{
	(void)opaque;
	return machine_vfio_plug(d, env->bus, env->devfn, err);
}

static void card_take_out(void *opaque, struct device *d)
{
	(void)opaque;
	machine_vfio_unplug(d);
}

static bool card_done(void *opaque, struct device *d, bool back)
{
	(void)opaque;
	machine_vfio_remove(d, back);
	return true;
}

static void card_forget(void *opaque, struct device *d)
{
	machine_vfio_forget(((struct vm *)opaque)->vfio, d);
}

static const struct hotplug_calls card_calls = {
	&vfio_class, card_open, card_put, card_take_out, card_done, card_forget,
};

static void forget_region(void *opaque, const struct io_region *r)
{
	struct vm *vm = opaque;

	vcpus_forget_region(vm->cpus.vcpus, r);
}

static bool guest_is_paused(void *opaque)
{
	return ((const struct vm *)opaque)->life.paused;
}

/* Before the passed-through cards, whose slots are hot-pluggable, too. */
static int realize_hotplug(struct vm *vm, struct error *err)
{
	const struct hotplug_env env = {
		.calls = &card_calls,
		.device = device_env(vm),
		.devices = &vm->cfg->devices,
		.loop = vm->loop,
		.window = vm->cfg->hotplug.window,
		.event = on_hotplug,
		.paused = guest_is_paused,
		.opaque = vm,
	};

	if (!vm->cfg->hotplug.n)
		return 0;
	vm->chipset.pci.region_gone = forget_region;
	vm->chipset.pci.region_gone_opaque = vm;
	vm->hotplug = hotplug_new(&env);
	return vm->hotplug ? 0 : error_set(err, -ENOMEM, "--hotplug: out of memory");
}

static void unrealize_hotplug(struct vm *vm)
{
	hotplug_free(vm->hotplug);
	vm->hotplug = NULL;
}

/* Behind the cards, which may have been given slots by number. */
static int realize_slots(struct vm *vm, struct error *err)
{
	return vm->hotplug ? hotplug_add_slots(vm->hotplug, (unsigned)vm->cfg->hotplug.n, err) : 0;
}

static void on_usb_deleted(void *opaque, const struct device *d, const char *path)
{
	on_hotplug(opaque, "DEVICE_DELETED", d, path);
}

static int realize_usb(struct vm *vm, struct error *err)
{
	struct machine_usb_env env = {
		.pci = &vm->chipset.pci,
		.loop = vm->loop,
		.devices = &vm->cfg->devices,
		.deleted = on_usb_deleted,
		.opaque = vm,
	};

	if (!usb_options_ports(&vm->cfg->devices))
		return 0;
	env.devfn = free_devfn(vm);
	vm->usb = machine_usb_new(&env, err);
	return vm->usb ? 0 : error_prefix(err, "USB controller");
}

static void unrealize_usb(struct vm *vm)
{
	vm->hung |= !machine_usb_free(vm->usb);
	vm->usb = NULL;
}

struct device_row {
	int (*realize)(struct vm *, struct error *); /* undoes itself when it fails */
	void (*unrealize)(struct vm *);
	void (*reset)(struct vm *);
};

static const struct device_row devices[] = {
	{ realize_extra, NULL, NULL },
	{ realize_chipset, unrealize_chipset, reset_chipset },
	{ realize_asked, NULL, reset_asked },
	{ realize_hotplug, unrealize_hotplug, NULL },
	{ realize_vfio, unrealize_vfio, reset_vfio },
	{ realize_slots, NULL, NULL },
	{ realize_usb, unrealize_usb, NULL },
	{ realize_late, NULL, NULL },
};

int machine_plug(struct vm *vm, struct error *err)
{
	int ret;

	for (; vm->n_plugged < ARRAY_SIZE(devices); vm->n_plugged++) {
		ret = devices[vm->n_plugged].realize(vm, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

void machine_reset_devices(struct vm *vm)
{
	unsigned i;

	for (i = 0; i < vm->n_plugged; i++)
		if (devices[i].reset)
			devices[i].reset(vm);
}

void machine_unplug(struct vm *vm)
{
	vm->chipset.pci.region_gone = NULL; /* nobody counts any more */
	/* All at once, so that those that do not answer are waited for together. */
	if (vm->chipset.pci.mmio)
		pci_quiesce(&vm->chipset.pci);
	vm->hung |= !hotplug_stop(vm->hotplug);
	vm->stuck = hotplug_stuck(vm->hotplug);
	if (vm->stuck && machine_vfio_is_at_work(vm->vfio))
		vm->vfio = NULL; /* the kernel closes the cards when the process ends */
	vm->stuck |= !machine_usb_stop(vm->usb);
	machine_monitor_close(vm);
	close_asked(vm);
	while (vm->n_plugged > 0) {
		vm->n_plugged--;
		if (devices[vm->n_plugged].unrealize)
			devices[vm->n_plugged].unrealize(vm);
	}
}
