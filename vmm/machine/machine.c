/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine: composition, the device table, reset, power-off, exit status.
 *
 * Everything is built on the main thread in one order and taken down in the reverse; a failure on
 * the way takes down what stands. While the guest runs, the main thread sits in the event loop. A
 * device that wants the machine reset or off only asks (machine_request_*): the vCPUs are told to
 * pause and the loop does the work when all of them stand still.
 *
 * Adding a device that users ask for: a file with its class in devices/, and a row in classes.c.
 *
 * Exit status: 0 power-off, reset under --no-reboot, or asked to stop; what the guest wrote to port
 * 0xf4 (low 8 bits); 1 when the machine failed.
 */
#include "vmm/machine/machine.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "vfio/options.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/log.h"
#include "vmm/machine/classes.h"

static void machine_stop(void *arg, int status)
{
	struct vm *vm = arg;

	vcpus_pause_async(vm->cpus.vcpus);
	vm->status = status;
	evloop_stop(vm->loop, 0);
}

/* Requests from vCPU threads and devices */

static void request(struct vm *vm, struct ev_call *what)
{
	vcpus_pause_async(vm->cpus.vcpus);
	evloop_call(vm->loop, what);
}

static int reset_machine(struct vm *vm, struct error *err);
static void do_reset(void *arg);

#define RESET_LOOK_NS  10000000ull
#define RESET_LOOK_SAY 100 /* looks: a second */

/* A machine is reset when no device has DMA in flight: what was read into memory before would
 * spoil what is loaded. Storage may take long for it, or for ever, so the loop goes on meanwhile
 * and looks again. */
static bool devices_quiet(struct vm *vm)
{
	const char *busy = pci_quiesce(&vm->pci);

	if (!busy) {
		vm->reset_waits = 0;
		return true;
	}
	if (++vm->reset_waits == RESET_LOOK_SAY)
		log_warn("the reset waits for %s, whose storage does not answer", busy);
	if (!vm->reset_timer)
		vm->reset_timer = evloop_add_timer(vm->loop, do_reset, vm);
	if (vm->reset_timer) {
		ev_timer_set(vm->reset_timer, evloop_now_ns() + RESET_LOOK_NS);
	} else {
		log_error("reset: out of memory");
		machine_stop(vm, 1);
	}
	return false;
}

static void do_reset(void *arg)
{
	struct vm *vm = arg;
	struct error err = { 0 };

	if (vm->cfg->no_reboot) {
		log_info("reset: --no-reboot ends the run");
		machine_stop(vm, 0);
		return;
	}
	vcpus_pause(vm->cpus.vcpus);
	if (!devices_quiet(vm))
		return;
	__atomic_store_n(&vm->reset_pending, false, __ATOMIC_RELEASE);
	if (reset_machine(vm, &err) < 0) {
		log_error("reset: %s", err.text);
		machine_stop(vm, 1);
		return;
	}
	if (log_allow(LOG_INFO, &vm->reset_limit))
		log_info("reset");
	vcpus_resume(vm->cpus.vcpus);
}

static void do_power_off(void *arg)
{
	log_info("power off");
	machine_stop(arg, 0);
}

static void do_exit(void *arg)
{
	struct vm *vm = arg;

	machine_stop(vm, (int)(vm->exit_value & 0xff));
}

static void do_fail(void *arg)
{
	machine_stop(arg, 1);
}

void machine_request_reset(void *arg)
{
	struct vm *vm = arg;

	if (!__atomic_exchange_n(&vm->reset_pending, true, __ATOMIC_ACQ_REL))
		request(vm, &vm->calls.reset);
}

void machine_request_power_off(void *arg)
{
	struct vm *vm = arg;

	request(vm, &vm->calls.power_off);
}

static void request_exit(void *arg, uint32_t value)
{
	struct vm *vm = arg;

	__atomic_store_n(&vm->exit_value, value, __ATOMIC_RELAXED);
	request(vm, &vm->calls.exit);
}

static void on_vcpu_event(void *arg, enum vcpu_event event)
{
	struct vm *vm = arg;

	switch (event) {
	case VCPU_TRIPLE_FAULT:
	case VCPU_RESET:
		machine_request_reset(arg);
		break;
	case VCPU_POWER_OFF:
		machine_request_power_off(arg);
		break;
	case VCPU_FAILED:
		request(vm, &vm->calls.fail);
	}
}

static void init_calls(struct vm *vm)
{
	vm->calls.reset = (struct ev_call){ .fn = do_reset, .arg = vm };
	vm->calls.power_off = (struct ev_call){ .fn = do_power_off, .arg = vm };
	vm->calls.exit = (struct ev_call){ .fn = do_exit, .arg = vm };
	vm->calls.fail = (struct ev_call){ .fn = do_fail, .arg = vm };
}

/* Signals */

/* For a guest that hangs: what its processors do. */
static void say_where(struct vm *vm)
{
	bool ran = vcpus_pause(vm->cpus.vcpus);

	vcpus_log(vm->cpus.vcpus);
	if (ran)
		vcpus_resume(vm->cpus.vcpus);
}

static void on_signal(void *arg, int fd, uint32_t events)
{
	struct signalfd_siginfo si;
	struct vm *vm = arg;

	(void)events;
	if (read(fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return;
	if (si.ssi_signo == SIGQUIT) {
		say_where(vm);
		return;
	}
	if (si.ssi_signo == SIGUSR1) {
		machine_stats_report(&vm->report, true);
		return;
	}
	/* The first SIGTERM is the power button, where the guest listens to one. */
	if (si.ssi_signo == SIGTERM && vm->terminations++ == 0 && acpi_pm_power_button(&vm->pm)) {
		log_info("SIGTERM: the guest's power button was pressed; a second SIGTERM stops "
			 "the guest at once");
		return;
	}
	machine_stop(vm, 0);
}

/* Before the first thread: all inherit the mask, so signals come to the loop only. */
static void block_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGUSR1);
	sigaddset(set, SIGQUIT);
	pthread_sigmask(SIG_BLOCK, set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static int watch_signals(struct vm *vm, struct error *err)
{
	sigset_t set;

	block_signals(&set);
	vm->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (vm->signal_fd < 0 || !evloop_add_fd(vm->loop, vm->signal_fd, EPOLLIN, on_signal, vm))
		return error_set(err, -errno, "signalfd: %s", strerror(errno));
	return 0;
}

/* Devices */

static int init_error(int rc, const char *what, struct error *err)
{
	return rc < 0 ? error_set(err, rc, "%s: %s", what, strerror(-rc)) : 0;
}

static int realize_cmos(struct vm *vm, struct error *err)
{
	struct cmos_rtc_params p = {
		.pio = vm->pio,
		.irq = vm->irq,
		.loop = vm->loop,
		.low_ram = vm->map.low_ram,
		.high_ram = vm->map.high_ram,
		.localtime = vm->cfg->rtc_localtime,
	};

	return init_error(cmos_rtc_init(&vm->cmos, &p), "cmos", err);
}

static void unrealize_cmos(struct vm *vm)
{
	cmos_rtc_destroy(&vm->cmos);
}

static void reset_cmos(struct vm *vm)
{
	cmos_rtc_reset(&vm->cmos);
}

static int realize_exit_port(struct vm *vm, struct error *err)
{
	vm->exit_port.exit = request_exit;
	vm->exit_port.opaque = vm;
	return init_error(exit_port_init(&vm->exit_port, vm->pio), "exit port", err);
}

static int realize_extra(struct vm *vm, struct error *err)
{
	return vm->cfg->extra ? vm->cfg->extra(vm, vm->cfg->extra_arg, err) : 0;
}

static int realize_chipset(struct vm *vm, struct error *err)
{
	int rc;

	pci_root_init(&vm->pci);
	vm->pci.pio = vm->pio;
	vm->pci.mmio = vm->mmio;
	vm->pci.mem = vm->mem;
	vm->pci.irq = vm->irq;
	vm->pci.loop = vm->loop;
	vm->pci.stats = vm->stats;
	vm->pm.power_off = machine_request_power_off;
	vm->pm.power_off_arg = vm;
	vm->lpc.reset = machine_request_reset;
	vm->lpc.reset_arg = vm;
	vm->host.rst_cnt = &ich9_rst_cnt_ops;
	vm->host.rst_cnt_opaque = &vm->lpc;
	vm->next_slot = 1;
	rc = init_error(acpi_pm_init(&vm->pm, vm->pio, vm->irq, vm->loop), "power management", err);
	if (rc == 0)
		rc = pci_host_init(&vm->host, &vm->pci, err);
	if (rc == 0)
		rc = ich9_lpc_init(&vm->lpc, &vm->pci, &vm->pm, err);
	return rc;
}

static void unrealize_chipset(struct vm *vm)
{
	ich9_lpc_destroy(&vm->lpc);
	pci_host_destroy(&vm->host);
	acpi_pm_destroy(&vm->pm);
	pci_root_destroy(&vm->pci);
}

static void reset_pci(struct vm *vm)
{
	pci_reset_all(&vm->pci);
}

/* What users asked for, by class, in the order of the table of classes. */

static struct device_env device_env(struct vm *vm)
{
	return (struct device_env){
		.devices = &vm->cfg->devices,
		.cpus = (unsigned)vm->cfg->cpus.n,
		.pci = &vm->pci,
		.bus = &vm->pci.bus,
		.power_off = machine_request_power_off,
		.power_off_arg = vm,
	};
}

/* Root ports may have taken a slot already. Slot 31, the LPC bridge's, says that none is free. */
static uint8_t free_devfn(struct vm *vm)
{
	while (vm->next_slot < 31 && vm->pci.bus.dev[PCI_DEVFN(vm->next_slot, 0)])
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

static int plug_classes(struct vm *vm, bool late, struct error *err)
{
	const struct device_class *const *c;

	for (c = device_classes; *c; c++)
		if ((*c)->late == late && plug_class(vm, *c, err) < 0)
			return err->code;
	return 0;
}

static int realize_asked(struct vm *vm, struct error *err)
{
	return plug_classes(vm, false, err);
}

static int realize_late(struct vm *vm, struct error *err)
{
	return plug_classes(vm, true, err);
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

static bool press_power_button(void *arg)
{
	struct vm *vm = arg;

	return acpi_pm_power_button(&vm->pm);
}

static int realize_vfio(struct vm *vm, struct error *err)
{
	const struct vfio_news news = { press_power_button, machine_stop, vm };

	return machine_vfio_realize(vm->vfio, &vm->pci, vm->next_slot, &news, &vm->phases, err);
}

static void unrealize_vfio(struct vm *vm)
{
	machine_vfio_unrealize(vm->vfio);
}

static void reset_vfio(struct vm *vm)
{
	machine_vfio_reset(vm->vfio);
}

struct device_row {
	int (*realize)(struct vm *, struct error *); /* undoes itself when it fails */
	void (*unrealize)(struct vm *);
	void (*reset)(struct vm *);
};

static const struct device_row devices[] = {
	{ realize_cmos, unrealize_cmos, reset_cmos },
	{ realize_exit_port, NULL, NULL },
	{ realize_extra, NULL, NULL },
	{ realize_chipset, unrealize_chipset, reset_pci }, /* resets everything on the PCI bus */
	{ realize_asked, NULL, reset_asked },
	{ realize_vfio, unrealize_vfio, reset_vfio },
	{ realize_late, NULL, NULL },
};

static int realize_devices(struct vm *vm, struct error *err)
{
	int rc;

	for (; vm->n_realized < ARRAY_SIZE(devices); vm->n_realized++) {
		rc = devices[vm->n_realized].realize(vm, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static void unrealize_devices(struct vm *vm)
{
	while (vm->n_realized-- > 0)
		if (devices[vm->n_realized].unrealize)
			devices[vm->n_realized].unrealize(vm);
	vm->n_realized = 0;
}

static int reset_machine(struct vm *vm, struct error *err)
{
	struct vcpu_entry entry;
	unsigned i;
	int rc;

	rc = kvm_reset_chips(&vm->kvm);
	if (rc < 0)
		return error_set(err, rc, "the interrupt chips: %s", strerror(-rc));
	for (i = 0; i < vm->n_realized; i++)
		if (devices[i].reset)
			devices[i].reset(vm);
	rc = machine_boot_load(&vm->boot, &entry, err);
	if (rc < 0)
		return rc;
	rc = vcpus_reset(vm->cpus.vcpus, &entry, false);
	return rc < 0 ? error_set(err, rc, "the processors: %s", strerror(-rc)) : 0;
}

/* The frame: memory, buses, interrupts, processors */

/* What a card's legacy VGA takes over is no RAM: a hole of a PC since the first one. */
#define VGA_BASE 0xa0000u
#define VGA_END	 0xc0000u

static bool legacy_vga(const struct config *c)
{
	const struct vfio_options *o;
	unsigned i;

	for (i = 0; (o = vfio_options(&c->devices, i)); i++)
		if (o->x_vga)
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
	bool vga = legacy_vga(vm->cfg);
	int rc = guest_mem_listen(vm->mem, &vm->kvm.listener);

	if (rc == 0)
		rc = add_ram_range(vm, 0, 0, vga ? VGA_BASE : vm->map.low_ram);
	if (rc == 0 && vga)
		rc = add_ram_range(vm, VGA_END, VGA_END, vm->map.low_ram);
	if (rc == 0)
		rc = add_ram_range(vm, vm->map.high_base, vm->map.low_ram, vm->memory.plan.size);
	return rc < 0 ? error_set(err, rc, "giving the guest its memory: %s", strerror(-rc)) : 0;
}

static int build_frame(struct vm *vm, struct error *err)
{
	vm->loop = evloop_new();
	vm->mem = guest_mem_new();
	vm->pio = bus_new(0x10000);
	vm->mmio = bus_new(1ull << 52);
	if (!vm->loop || !vm->mem || !vm->pio || !vm->mmio)
		return error_set(err, -ENOMEM, "out of memory for the machine");
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
	int kvm, rc = 0;
	sigset_t set;

	block_signals(&set);
	kvm = kvm_open(&vm->kvm, &lacking);
	if (kvm == 0)
		rc = machine_cpus_open(&vm->cpus, &vm->kvm, err);
	phase_mark(&vm->phases, "frame");
	if (rc == 0)
		rc = machine_look(vm, err);
	phase_mark(&vm->phases, "files");
	if (rc == 0 && kvm < 0) {
		*err = lacking;
		rc = kvm;
	}
	return rc < 0 ? rc : kvm_create(&vm->kvm, err);
}

/* Everything that needs no device and no memory in place. */
static int build_base(struct vm *vm, struct error *err)
{
	int rc = open_kvm(vm, err);

	if (rc == 0)
		rc = build_frame(vm, err);
	if (rc == 0)
		rc = watch_signals(vm, err);
	phase_mark(&vm->phases, "frame");
	if (rc == 0)
		rc = machine_memory_open(&vm->memory, &vm->map, err);
	if (rc == 0)
		rc = add_ram(vm, err);
	phase_mark(&vm->phases, "memory");
	return rc;
}

/* The window for 64-bit BARs, and with it the guest's physical address bits. */
static int lay_out_window(struct vm *vm, struct error *err)
{
	const struct memmap_want want = {
		.mem64 = machine_vfio_mem64(vm->vfio),
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
		.event = on_vcpu_event,
		.opaque = vm,
	};

	return machine_cpus_begin(&vm->cpus, &env, err);
}

static int prepare_boot(struct vm *vm, struct error *err)
{
	const struct boot_env env = {
		.platform = &vm->platform.p,
		.mem = vm->mem,
		.pio = vm->pio,
		.mmio = vm->mmio,
		.host = &vm->host,
		.lpc = &vm->lpc,
	};

	machine_platform_fill(&vm->platform, vm->cfg, &vm->map, &vm->memory);
	return machine_boot_prepare(&vm->boot, &env, err);
}

static int open_vfio(struct vm *vm, struct error *err)
{
	int rc = machine_vfio_open(vm->vfio, &vm->kvm, vm->mem, err);

	if (vm->vfio)
		phase_mark(&vm->phases, "vfio");
	return rc;
}

static int map_vfio(struct vm *vm, struct error *err)
{
	int rc = machine_vfio_map(vm->vfio, vm->mem, err);

	if (vm->vfio)
		phase_mark(&vm->phases, "map");
	return rc;
}

static int build(struct vm *vm, struct error *err)
{
	int rc = build_base(vm, err);

	if (rc == 0)
		rc = kvm_create_chips(&vm->kvm, err);
	phase_mark(&vm->phases, "frame");
	if (rc == 0)
		rc = open_vfio(vm, err);
	if (rc == 0)
		rc = lay_out_window(vm, err);
	if (rc == 0)
		rc = begin_cpus(vm, err);
	if (rc == 0)
		rc = realize_devices(vm, err);
	phase_mark(&vm->phases, "devices");
	if (rc == 0)
		rc = prepare_boot(vm, err);
	phase_mark(&vm->phases, "firmware");
	if (rc == 0)
		rc = machine_memory_finish(&vm->memory, vm->signal_fd, &vm->phases, err);
	if (rc == 0)
		rc = map_vfio(vm, err);
	return rc;
}

static void take_down(struct vm *vm)
{
	/* Threads first: nothing calls into a device that goes. */
	machine_memory_stop(&vm->memory);
	machine_cpus_free(&vm->cpus);
	machine_boot_release(&vm->boot, vm->started);
	/* All at once, so that those that do not answer are waited for together. */
	if (vm->pci.mmio)
		pci_quiesce(&vm->pci);
	close_asked(vm);
	unrealize_devices(vm);
	machine_vfio_close(vm->vfio);
	irq_table_free(vm->irq);
	bus_free(vm->pio);
	bus_free(vm->mmio);
	kvm_close(&vm->kvm);
	if (!vm->hung) {
		guest_mem_free(vm->mem);
		machine_memory_close(&vm->memory);
	}
	evloop_free(vm->loop);
	cleanup_close(&vm->signal_fd);
	machine_stats_close(&vm->report);
	stats_free(vm->stats);
}

static int start(struct vm *vm, struct error *err)
{
	struct vcpu_entry entry;
	int rc;

	rc = machine_boot_load(&vm->boot, &entry, err);
	if (rc < 0)
		return rc;
	rc = irq_commit(vm->irq);
	phase_mark(&vm->phases, "firmware");
	if (rc < 0)
		return error_set(err, rc, "interrupt routing: %s", strerror(-rc));
	rc = machine_cpus_finish(&vm->cpus, err);
	if (rc == 0) {
		rc = vcpus_reset(vm->cpus.vcpus, &entry, true);
		if (rc < 0)
			error_set(err, rc, "the processors: %s", strerror(-rc));
	}
	phase_mark(&vm->phases, "cpus");
	return rc;
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
		return error_set(err, -ENOMEM, "out of memory for the machine");
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

	return machine_stats_open(&vm->report, &of, vm->cfg->stats_file, err);
}

static int run(struct vm *vm, int (*ready)(void *, struct error *), void *arg, struct error *err)
{
	int rc = build(vm, err);

	if (rc == 0 && vm->cfg->dump_dtb)
		return machine_boot_dump_dtb(&vm->boot, err);
	if (rc == 0)
		rc = start(vm, err);
	if (rc == 0)
		rc = open_stats(vm, err);
	if (rc == 0 && ready)
		rc = ready(arg, err);
	if (rc == 0)
		rc = stop_reinjection_soon(vm, err);
	if (rc < 0)
		return rc;
	log_run();
	rc = vcpus_start(vm->cpus.vcpus, err);
	if (rc < 0)
		return rc;
	vm->started = true;
	log_phases(vm);
	evloop_run(vm->loop);
	if (vm->cfg->stats) {
		vcpus_pause(vm->cpus.vcpus); /* so that nothing is counted afterwards */
		machine_stats_report(&vm->report, !vm->cfg->stats_file);
	}
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
	vm->signal_fd = vm->report.fd = -1;
	machine_boot_init(&vm->boot, cfg);
	init_calls(vm);
	vm->stats = stats_new(cfg->stats);
	status = run(vm, ready, arg, err) < 0 ? 1 : 0;
	log_end();
	if (status == 0)
		status = vm->status;
	take_down(vm);
	free(vm);
	return status;
}
