/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine: everything is built on the main thread in one order and taken down in the reverse; a
 * failure on the way takes down what stands.
 */
#include "vmm/machine/machine.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "vfio/options.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/log.h"
#include "vmm/core/outputs.h"
#include "vmm/machine/vm.h"

/* The frame: memory, buses, interrupts, processors */

/* What a card's legacy VGA takes over is no RAM: a hole of a PC since the first one. */
#define VGA_BASE 0xa0000u
#define VGA_END	 0xc0000u

static bool legacy_vga(const struct config *c)
{
	const struct vfio_options *o;
	unsigned i;

	for (i = 0; (o = vfio_options(&c->devices, i)); i++)
		if (o->dev.x_vga)
			return true;
	return false;
}

static int add_ram_range(struct vm *vm, uint64_t gpa, uint64_t off, uint64_t end)
{
	struct mem_range r = { .gpa = gpa,
			       .size = end - off,
			       .host = (char *)vm->memory.ram + off,
			       .kind = MEM_RAM,
			       .dma = true };

	return r.size ? guest_mem_add(vm->mem, &r) : 0;
}

static int add_ram(struct vm *vm, struct error *err)
{
	const struct mem_file file = { vm->memory.file, vm->memory.ram, vm->memory.plan.size };
	bool vga = legacy_vga(vm->cfg);
	int ret = guest_mem_listen(vm->mem, &vm->kvm.listener);

	guest_mem_set_file(vm->mem, &file);
	if (ret == 0)
		ret = add_ram_range(vm, 0, 0, vga ? VGA_BASE : vm->map.low_ram);
	if (ret == 0 && vga)
		ret = add_ram_range(vm, VGA_END, VGA_END, vm->map.low_ram);
	if (ret == 0)
		ret = add_ram_range(vm, vm->map.high_base, vm->map.low_ram, vm->memory.plan.size);
	return ret < 0 ? error_set(err, ret, "giving the guest its memory: %s", strerror(-ret)) : 0;
}

static int build_frame(struct vm *vm, struct error *err)
{
	vm->loop = evloop_new();
	vm->mem = guest_mem_new();
	vm->pio = bus_new(0x10000);
	vm->mmio = bus_new(1ull << 52);
	if (!vm->loop || !vm->mem || !vm->pio || !vm->mmio)
		return error_set(err, -errno, "making the machine: %s", strerror(errno));
	vm->irq = irq_table_new(&kvm_irq_ops, &vm->kvm, vm->kvm.max_gsi);
	if (!vm->irq)
		return error_set(err, -ENOMEM, "out of memory for the machine");
	irq_table_add_stats(vm->irq, vm->stats);
	vm->pio_bells = (struct kvm_doorbells){ &vm->kvm, true };
	vm->mmio_bells = (struct kvm_doorbells){ &vm->kvm, false };
	bus_set_doorbell_ops(vm->pio, &kvm_doorbell_ops, &vm->pio_bells);
	bus_set_doorbell_ops(vm->mmio, &kvm_doorbell_ops, &vm->mmio_bells);
	return 0;
}

/* KVM is asked what it supports while the user's files are looked at. That it cannot be used is
 * said last: whoever prepares a machine elsewhere hears of all other mistakes first. */
static int open_kvm(struct vm *vm, struct error *err)
{
	struct error lacking = { 0 };
	int kvm, ret = 0;
	sigset_t set;

	machine_block_signals(&set);
	kvm = kvm_open(&vm->kvm, &lacking);
	if (kvm == 0)
		ret = machine_cpus_open(&vm->cpus, &vm->kvm, err);
	phase_mark(&vm->phases, "frame");
	if (ret == 0)
		ret = machine_look(vm, err);
	phase_mark(&vm->phases, "files");
	if (ret == 0 && kvm < 0) {
		*err = lacking;
		ret = kvm;
	}
	return ret < 0 ? ret : kvm_create(&vm->kvm, err);
}

/* Everything that needs no device and no memory in place. */
static int build_base(struct vm *vm, struct error *err)
{
	int ret = open_kvm(vm, err);

	if (ret == 0)
		ret = build_frame(vm, err);
	if (ret == 0)
		ret = machine_watch_signals(vm, err);
	phase_mark(&vm->phases, "frame");
	if (ret == 0)
		ret = machine_memory_open(&vm->memory, &vm->map, err);
	if (ret == 0)
		ret = add_ram(vm, err);
	phase_mark(&vm->phases, "memory");
	return ret;
}

/* The window for 64-bit BARs, and with it the guest's physical address bits. */
static int lay_out_window(struct vm *vm, struct error *err)
{
	const struct memmap_want want = {
		.mem64 = machine_vfio_mem64(vm->vfio),
		.slots64 = vm->cfg->hotplug.n * vm->cfg->hotplug.window,
		.host_bits = machine_cpus_host_bits(&vm->cpus),
		.iommu_bits = machine_vfio_phys_bits(vm->vfio),
		.asked_bits = vm->cfg->model.max_phys_bits,
	};

	return memmap_window(&vm->map, &want, err);
}

static int begin_cpus(struct vm *vm, struct error *err)
{
	const struct cpus_env env = {
		.pio = vm->pio,
		.mmio = vm->mmio,
		.mem = vm->mem,
		.phys_bits = vm->map.bits,
		.event = machine_on_vcpu_event,
		.opaque = vm,
	};

	return machine_cpus_begin(&vm->cpus, &env, err);
}

static unsigned machine_buses(struct vm *vm)
{
	scoped_lock(&vm->chipset.pci.lock);
	return pci_buses(&vm->chipset.pci);
}

static int prepare_boot(struct vm *vm, struct error *err)
{
	const struct boot_env env = {
		.platform = &vm->platform.p,
		.mem = vm->mem,
		.pio = vm->pio,
		.mmio = vm->mmio,
		.host = &vm->chipset.host,
		.lpc = &vm->chipset.lpc,
		.loop = vm->loop,
	};

	machine_platform_fill(&vm->platform, vm->cfg, &vm->map, &vm->memory);
	vm->platform.p.buses = machine_buses(vm);
	return machine_boot_prepare(&vm->boot, &env, err);
}

static int open_vfio(struct vm *vm, struct error *err)
{
	int ret = machine_vfio_open(vm->vfio, &vm->kvm, vm->mem, err);

	if (machine_vfio_any(vm->vfio))
		phase_mark(&vm->phases, "vfio");
	return ret;
}

static int map_vfio(struct vm *vm, struct error *err)
{
	int ret = machine_vfio_map(vm->vfio, vm->mem, err);

	if (machine_vfio_any(vm->vfio))
		phase_mark(&vm->phases, "map");
	return ret;
}

static int build(struct vm *vm, struct error *err)
{
	int ret = build_base(vm, err);

	if (ret == 0)
		ret = kvm_create_chips(&vm->kvm, err);
	phase_mark(&vm->phases, "frame");
	if (ret == 0)
		ret = open_vfio(vm, err);
	if (ret == 0)
		ret = lay_out_window(vm, err);
	if (ret == 0)
		ret = begin_cpus(vm, err);
	if (ret == 0)
		ret = machine_plug(vm, err);
	phase_mark(&vm->phases, "devices");
	if (ret == 0)
		ret = prepare_boot(vm, err);
	phase_mark(&vm->phases, "firmware");
	if (ret == 0)
		ret = machine_memory_finish(&vm->memory, vm->life.signal_fd, &vm->phases, err);
	if (ret == 0)
		ret = map_vfio(vm, err);
	return ret;
}

static void take_down(struct vm *vm)
{
	/* Threads first: nothing calls into a device that goes. */
	machine_memory_stop(&vm->memory);
	machine_cpus_free(&vm->cpus);
	machine_boot_release(&vm->boot, vm->started);
	machine_unplug(vm);
	machine_vfio_close(vm->vfio);
	irq_table_free(vm->irq);
	bus_free(vm->pio);
	bus_free(vm->mmio);
	kvm_close(&vm->kvm);
	if (!vm->hung) {
		guest_mem_free(vm->mem);
		machine_memory_close(&vm->memory);
	}
	if (!vm->stuck)
		evloop_free(vm->loop);
	cleanup_close(&vm->life.signal_fd);
	machine_stats_close(&vm->report);
	stats_free(vm->stats);
	outputs_free(vm->outputs);
}

static int load(struct vm *vm, struct vcpu_entry *entry, struct error *err)
{
	const struct platform *p = &vm->platform.p;
	int ret = machine_boot_load(&vm->boot, entry, err);

	if (ret == 0 && !p->uefi)
		hotplug_place_windows(vm->hotplug, p->mmio32_end, p->map.mmio64_base,
				      p->map.mmio64_size);
	return ret;
}

static int start(struct vm *vm, struct error *err)
{
	struct vcpu_entry entry;
	int ret;

	ret = load(vm, &entry, err);
	if (ret < 0)
		return ret;
	ret = irq_commit(vm->irq);
	phase_mark(&vm->phases, "firmware");
	if (ret < 0)
		return error_set(err, ret, "interrupt routing: %s", strerror(-ret));
	ret = machine_cpus_finish(&vm->cpus, err);
	if (ret == 0) {
		ret = vcpus_reset(vm->cpus.vcpus, &entry, true);
		if (ret < 0)
			error_set(err, ret, "the processors: %s", strerror(-ret));
	}
	phase_mark(&vm->phases, "cpus");
	return ret;
}

static int reset_machine(struct vm *vm, struct error *err)
{
	struct vcpu_entry entry;
	int ret;

	ret = kvm_reset_chips(&vm->kvm);
	if (ret < 0)
		return error_set(err, ret, "the interrupt chips: %s", strerror(-ret));
	machine_reset_devices(vm);
	ret = load(vm, &entry, err);
	if (ret < 0)
		return ret;
	ret = vcpus_reset(vm->cpus.vcpus, &entry, false);
	return ret < 0 ? error_set(err, ret, "the processors: %s", strerror(-ret)) : 0;
}

/* KVM_REINJECT_CONTROL waits for the grace periods that the start left behind, and a vCPU's first
 * entry would wait with it (up to 15 ms); later both are past. Timer interrupts of this first
 * moment are none. */
#define REINJECTION_AFTER_NS 50000000ull

static void stop_reinjection(void *arg)
{
	struct vm *vm = arg;

	kvm_stop_reinjection(&vm->kvm);
	machine_cpus_settle(&vm->cpus);
}

static int stop_reinjection_soon(struct vm *vm, struct error *err)
{
	struct ev_timer *t = evloop_add_timer(vm->loop, stop_reinjection, vm);

	if (!t)
		return error_set(err, -errno, "making the machine: %s", strerror(errno));
	ev_timer_set(t, evloop_now_ns() + REINJECTION_AFTER_NS);
	return 0;
}

static void log_phases(struct vm *vm)
{
	char line[480];

	phase_mark(&vm->phases, "cpus");
	if (!log_enabled(LOG_INFO))
		return;
	phase_text(&vm->phases, line, sizeof(line));
	log_info("%s", line);
}

static int open_stats(struct vm *vm, struct error *err)
{
	const struct snapshot_of of = {
		.name = vm->cfg->name,
		.stats = vm->stats,
		.vcpus = vm->cpus.vcpus,
		.phases = &vm->phases,
		.kvm_stats_fd = vm->kvm.stats_fd,
	};

	return machine_stats_open(&vm->report, &of, vm->outputs, vm->cfg->stats_file, err);
}

static void report_end(struct vm *vm)
{
	vcpus_pause(vm->cpus.vcpus); /* so that nothing is counted afterwards */
	if (machine_stats_report(&vm->report, !vm->cfg->stats_file))
		return;
	machine_stats_discard(&vm->report);
	if (!vm->life.status)
		vm->life.status = 1;
}

static int run(struct vm *vm, int (*ready)(void *, struct error *), void *arg, struct error *err)
{
	int ret = build(vm, err);

	if (ret == 0 && vm->cfg->dump_dtb)
		return machine_boot_dump_dtb(&vm->boot, err);
	if (ret == 0)
		ret = start(vm, err);
	if (ret == 0)
		ret = open_stats(vm, err);
	if (ret == 0)
		ret = machine_listen(vm, err);
	if (ret == 0 && ready)
		ret = ready(arg, err);
	if (ret == 0)
		ret = stop_reinjection_soon(vm, err);
	if (ret < 0)
		return ret;
	outputs_begin(vm->outputs);
	log_run();
	ret = vcpus_start(vm->cpus.vcpus, err);
	if (ret < 0)
		return ret;
	vm->started = true;
	log_phases(vm);
	evloop_run(vm->loop);
	if (vm->cfg->stats)
		report_end(vm);
	return 0;
}

int machine_run(struct config *cfg, int (*ready)(void *, struct error *), void *arg,
		struct error *err)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	int status;

	if (!vm) {
		error_set(err, -ENOMEM, "out of memory");
		return 1;
	}
	phase_begin(&vm->phases);
	vm->cfg = cfg;
	vm->cpus.cfg = cfg;
	vm->kvm.dev = vm->kvm.vm = vm->kvm.stats_fd = vm->kvm.vfio = -1;
	vm->report.fd = -1;
	machine_boot_init(&vm->boot, cfg);
	machine_init_lifecycle(vm, reset_machine);
	vm->stats = stats_new(cfg->stats);
	vm->outputs = outputs_new();
	status = run(vm, ready, arg, err) < 0 ? 1 : 0;
	log_end();
	if (status == 0)
		status = vm->life.status;
	take_down(vm);
	if (!vm->stuck)
		free(vm);
	return status;
}

struct bus *machine_pio(struct vm *vm)
{
	return vm->pio;
}

struct guest_mem *machine_mem(struct vm *vm)
{
	return vm->mem;
}

struct vcpus *machine_vcpus(struct vm *vm)
{
	return vm->cpus.vcpus;
}
