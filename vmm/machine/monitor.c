/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/machine/monitor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "devices/chipset/serial.h"
#include "devices/virtio/virtio_blk.h"
#include "vmm/core/stats.h"
#include "vmm/machine/vm.h"

static const char *status(void *opaque)
{
	const struct vm *vm = opaque;

	if (vm->life.ended)
		return vm->life.status == 1 ? "internal-error" : "shutdown";
	if (!vm->started)
		return "prelaunch";
	return vm->life.paused ? "paused" : "running";
}

static void stop(void *opaque)
{
	machine_pause(opaque);
}

static bool quiet(void *opaque)
{
	struct vm *vm = opaque;

	return !pci_pause(&vm->chipset.pci, vm->life.paused) && !hotplug_busy(vm->hotplug);
}

static void cont(void *opaque)
{
	machine_resume(opaque);
}

static void reset(void *opaque)
{
	machine_reset_by_host(opaque);
}

static void power_button(void *opaque)
{
	machine_press_power_button(opaque);
}

static void quit(void *opaque)
{
	machine_end(opaque, 0, MACHINE_HOST, "host-qmp-quit");
}

/* ---- questions ---- */

static json_t *cpus(struct vm *vm)
{
	const struct cpu_topology *t = &vm->cfg->topo;
	json_t *all = json_array();
	unsigned i;

	for (i = 0; i < vcpus_count(vm->cpus.vcpus); i++) {
		char path[40];
		unsigned core = i / t->threads;

		snprintf(path, sizeof(path), "/machine/unattached/device[%u]", i);
		json_array_append_new(
			all, json_pack("{s: i, s: s, s: i, s: s, s: {s: i, s: i, s: i}}",
				       "cpu-index", i, "qom-path", path, "thread-id",
				       (int)vcpu_thread_id(vm->cpus.vcpus, i), "target", "x86_64",
				       "props", "socket-id", core / t->cores, "core-id",
				       core % t->cores, "thread-id", i % t->threads));
	}
	return all;
}

static void disk_name(const struct device *d, char name[16])
{
	snprintf(name, 16, "blk%u", d->index);
}

static json_t *block(struct vm *vm)
{
	json_t *all = json_array();
	const struct device *d = NULL;

	while ((d = device_next(&vm->cfg->devices, &virtio_blk_class, d))) {
		const char *node = monitor_devices_node(&vm->monitor.devices, d);
		struct virtio_blk_info info = virtio_blk_info(d);
		char name[16];

		disk_name(d, name);
		json_array_append_new(
			all, json_pack("{s: s, s: s, s: s, s: b, s: b, s: {s: o, s: s, s: s, s: b, "
				       "s: {s: o, s: s, s: I}}}",
				       "device", name, "qdev", d->id ? d->id : name, "type",
				       "unknown", "removable", 0, "locked", 0, "inserted", "file",
				       qmp_text(info.path), "node-name", node ? node : name, "drv",
				       "raw", "ro", info.readonly, "image", "filename",
				       qmp_text(info.path), "format", "raw", "virtual-size",
				       (json_int_t)info.bytes));
	}
	return all;
}

/* Of all queues of the disk, which are sets named NAME.QUEUE. */
static json_int_t disk_count(const struct vm *vm, const char *name, const char *counter)
{
	const struct stats_set *s;
	json_int_t sum = 0;
	size_t n = strlen(name);
	unsigned i;

	for (s = stats_sets(vm->stats); s; s = s->next) {
		if (strncmp(s->name, name, n) != 0 || s->name[n] != '.')
			continue;
		for (i = 0; i < s->n; i++)
			if (strcmp(s->counter[i].name, counter) == 0)
				sum += (json_int_t)count_read(s->counter[i].value);
	}
	return sum;
}

static json_t *blockstats(struct vm *vm)
{
	json_t *all = json_array();
	const struct device *d = NULL;

	while ((d = device_next(&vm->cfg->devices, &virtio_blk_class, d))) {
		char name[16];

		disk_name(d, name);
		json_array_append_new(
			all,
			json_pack("{s: s, s: s, s: s, s: {s: I, s: I, s: I, s: I, s: I}}", "device",
				  name, "qdev", d->id ? d->id : name, "node-name", name, "stats",
				  "rd_bytes", disk_count(vm, name, "bytes_read"), "wr_bytes",
				  disk_count(vm, name, "bytes_written"), "rd_operations",
				  disk_count(vm, name, "reads"), "wr_operations",
				  disk_count(vm, name, "writes"), "flush_operations",
				  disk_count(vm, name, "flushes")));
	}
	return all;
}

static json_t *chardev(struct vm *vm)
{
	json_t *all = json_array();
	const struct device *d = NULL;

	while ((d = device_next(&vm->cfg->devices, &serial_class, d))) {
		char name[16];

		snprintf(name, sizeof(name), "serial%u", d->index);
		json_array_append_new(all,
				      json_pack("{s: s, s: o, s: b}", "label", name, "filename",
						device_arg(d), "frontend-open", 1));
	}
	return all;
}

static json_t *memory(struct vm *vm)
{
	return json_pack("{s: I, s: i}", "base-memory", (json_int_t)vm->memory.plan.size,
			 "plugged-memory", 0);
}

static json_t *pci(struct vm *vm)
{
	return monitor_pci(&vm->chipset.pci);
}

static json_t *stats(struct vm *vm)
{
	return vm->report.of.stats ? snapshot_take(&vm->report.of, NULL) : json_object();
}

static json_t *query(void *opaque, const char *command)
{
	static const struct {
		const char *command;
		json_t *(*answer)(struct vm *);
	} rows[] = {
		{ "query-cpus-fast", cpus },  { "query-pci", pci },
		{ "query-block", block },     { "query-blockstats", blockstats },
		{ "query-chardev", chardev }, { "query-memory-size-summary", memory },
		{ "x-minivmm-stats", stats },
	};
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (strcmp(rows[i].command, command) == 0)
			return rows[i].answer(opaque);
	return NULL;
}

/* ---- devices ---- */

static json_t *change(void *opaque, const char *command, const json_t *args, uint64_t ticket,
		      struct error *err)
{
	struct vm *vm = opaque;

	return monitor_devices_change(&vm->monitor.devices, command, args, ticket, err);
}

/* ---- life ---- */

int machine_monitor_open(struct vm *vm, struct error *err)
{
	struct machine_monitor *m = &vm->monitor;

	if (!device_count(&vm->cfg->devices, &qmp_class))
		return 0;
	m->machine = (struct qmp_machine){
		.opaque = vm,
		.name = vm->cfg->name,
		.status = status,
		.stop = stop,
		.quiet = quiet,
		.cont = cont,
		.reset = reset,
		.power_button = power_button,
		.quit = quit,
		.query = query,
		.change = change,
	};
	m->qmp = qmp_new(vm->loop, &m->machine);
	m->devices.qmp = m->qmp;
	m->devices.hotplug = vm->hotplug;
	m->devices.usb = vm->usb;
	m->devices.pci = &vm->chipset.pci;
	return m->qmp ? 0 : error_set(err, -ENOMEM, "out of memory for --qmp");
}

void machine_monitor_close(struct vm *vm)
{
	qmp_free(vm->monitor.qmp);
	vm->monitor.qmp = NULL;
	monitor_devices_free(&vm->monitor.devices);
}
