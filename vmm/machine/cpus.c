/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's processors: where they run, how they idle, what CPUID they have.
 *
 * With pin= each has a CPU of the host's for itself. The main thread leaves those CPUs before it
 * starts a device's thread; the disks' threads inherit that, the processors' threads are started on
 * theirs. Whatever may be refused is tried here, while nothing has been started or reset.
 *
 * Threads: main.
 */
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "vmm/core/helper.h"
#include "vmm/core/hostfs.h"
#include "vmm/core/log.h"
#include "vmm/machine/machine.h"
#include "vmm/placement/pin.h"

/* ---- where they run ---- */

static void warn_shortfall(const struct vm *vm, int shortfall, int node)
{
	if (shortfall & PIN_OTHER_NODE)
		log_warn("--cpus: pin=auto: node %d has too few CPUs for %u processors: the others "
			 "run on other nodes, farther from its memory and devices",
			 node, (unsigned)vm->cfg->cpus.n);
	if (shortfall & PIN_SPLIT_CORES)
		log_warn("--cpus: pin=auto: this host has too few cores of %u threads: threads of "
			 "one guest core will not share a core of the host",
			 vm->cfg->topo.threads);
}

static int choose(struct vm *vm, struct error *err)
{
	unsigned n = (unsigned)vm->cfg->cpus.n;
	int node = machine_vfio_node(vm), rc;
	struct pin_host *h = malloc(sizeof(*h));

	if (!h)
		return error_set(err, -ENOMEM, "out of memory for the machine");
	vm->pin_host = h;
	if (vm->cfg->pin_kind == PIN_AUTO && node < 0)
		node = 0;
	rc = pin_read("", node, h, err);
	if (rc == 0)
		rc = pin_allowed(h, err);
	/* Back from where pin_allowed() went: threads that fill memory are started next. */
	if (rc == 0)
		sched_setaffinity(0, sizeof(h->affinity), h->affinity.s);
	if (rc == 0 && vm->cfg->pin_kind == PIN_LIST) {
		memcpy(vm->pin, vm->cfg->pin, n * sizeof(vm->pin[0]));
		rc = pin_check(h, vm->pin, n, err);
	} else if (rc == 0) {
		rc = pin_choose("", h, n, vm->cfg->topo.threads, vm->pin, err);
	}
	if (rc < 0)
		return error_prefix(err, "--cpus: pin=%s", vm->cfg->cpus.pin);
	warn_shortfall(vm, rc, node);
	return 0;
}

/* The main thread leaves the processors' CPUs. */
static int leave_cpus(struct vm *vm, struct error *err)
{
	int rc = pin_self(vm->pin_host, vm->pin, (unsigned)vm->cfg->cpus.n);

	if (rc == -ENOSPC)
		log_warn("--cpus: pin=%s takes every CPU of this process: the main loop and the "
			 "disks' threads share them%s",
			 vm->cfg->cpus.pin,
			 vm->cfg->rt ? ", and with --rt they must wait until a processor is idle"
				     : "");
	else if (rc < 0)
		return error_set(err, rc, "sched_setaffinity: %s", strerror(-rc));
	return 0;
}

static void log_places(const struct vm *vm)
{
	unsigned i;

	for (i = 0; i < vm->cfg->cpus.n; i++)
		log_info("vCPU %u runs on CPU %u", i, vm->pin[i]);
}

/* Without pin= nothing is wrong; three things are worth a word. */
static void warn_unpinned(const struct vm *vm)
{
	struct pin_mask m = { 0 };

	if (vm->cfg->rt)
		log_warn("--rt without pin=: processors can keep the main loop and the host's "
			 "programs from running: use --cpus %u,pin=auto",
			 (unsigned)vm->cfg->cpus.n);
	if (vm->cfg->idle)
		log_warn("--idle poll without pin=: idle processors take whole CPUs from others: "
			 "use --cpus %u,pin=auto",
			 (unsigned)vm->cfg->cpus.n);
	if (vm->cfg->cpus.n > 1 && sched_getaffinity(0, sizeof(m), m.s) == 0 &&
	    vm->cfg->cpus.n > pin_count(&m))
		log_warn("--cpus %u: this process has %u of the host's CPUs: processors take turns",
			 (unsigned)vm->cfg->cpus.n, pin_count(&m));
}

/* Tried on this thread, because the others start when it is too late to refuse. */
static int try_rt(const struct vm *vm, struct error *err)
{
	int prio = (int)vm->cfg->rt;
	struct sched_param sp = { .sched_priority = prio }, before = { 0 };
	struct rlimit limit = { 0 };
	int policy;

	if (!prio)
		return 0;
	policy = sched_getscheduler(0);
	sched_getparam(0, &before);
	if (sched_setscheduler(0, SCHED_FIFO, &sp) == 0)
		return sched_setscheduler(0, policy, &before) < 0
			       ? error_set(err, -errno, "sched_setscheduler: %s", strerror(errno))
			       : 0;
	getrlimit(RLIMIT_RTPRIO, &limit);
	return error_set(err, -errno,
			 "--rt %d: %s (RLIMIT_RTPRIO is %llu): run as root, or let root raise it: "
			 "prlimit --pid SHELL --rtprio=%d",
			 prio, strerror(errno), (unsigned long long)limit.rlim_cur, prio);
}

int machine_cpus_look(struct vm *vm, struct error *err)
{
	int rc = try_rt(vm, err);

	return rc < 0 || vm->cfg->pin_kind == PIN_NONE ? rc : choose(vm, err);
}

static int place(struct vm *vm, struct error *err)
{
	int rc;

	if (vm->cfg->pin_kind == PIN_NONE) {
		warn_unpinned(vm);
		return 0;
	}
	rc = leave_cpus(vm, err);
	if (rc == 0)
		log_places(vm);
	return rc;
}

static bool is_vcpu(const char *tid)
{
	char name[16];

	hostfs_line("", name, sizeof(name), "/proc/self/task/%s/comm", tid);
	return strncmp(name, "vcpu", 4) == 0;
}

void machine_cpus_settle(const struct vm *vm)
{
	struct pin_mask here = { 0 };
	struct sched_param ours;
	struct dirent *e;
	DIR *d;

	if ((vm->cfg->pin_kind == PIN_NONE && !vm->cfg->rt) ||
	    sched_getaffinity(0, sizeof(here), here.s) < 0 || sched_getparam(0, &ours) < 0)
		return;
	d = opendir("/proc/self/task");
	while (d && (e = readdir(d))) {
		pid_t tid = atoi(e->d_name);

		if (tid <= 0 || is_vcpu(e->d_name))
			continue;
		/* Of no consequence for what the guest computes, so not checked. */
		sched_setaffinity(tid, sizeof(here), here.s);
		sched_setscheduler(tid, sched_getscheduler(0), &ours);
	}
	if (d)
		closedir(d);
}

/* ---- what they are ---- */

/* On the helper. */
static void ask_kvm(void *arg)
{
	struct vm *vm = arg;

	cpuid_ask(vm->cpuid);
	kvm_exits_ask(&vm->exits, &vm->kvm);
}

int machine_cpus_open(struct vm *vm, struct error *err)
{
	vm->helper = helper_new();
	vm->cpuid = cpuid_new(&vm->kvm);
	if (!vm->cpuid)
		return error_set(err, -ENOMEM, "out of memory for the CPUID table");
	helper_run(vm->helper, ask_kvm, vm);
	return 0;
}

static int make_cpuid(struct vm *vm, struct error *err)
{
	struct cpu_model model = vm->cfg->model;
	struct memmap_want want = { .mem64 = machine_vfio_mem64(vm),
				    .iommu_bits = machine_vfio_phys_bits(vm),
				    .asked_bits = model.max_phys_bits };
	int rc;

	model.dedicated = vm->cfg->idle && vm->cfg->pin_kind != PIN_NONE;
	helper_wait(vm->helper);
	want.host_bits = cpuid_phys_bits(vm->cpuid);
	rc = memmap_window(&vm->map, &want, err);
	model.max_phys_bits = vm->map.bits;
	return rc < 0 ? rc : cpuid_make(vm->cpuid, &vm->cfg->topo, &model, err);
}

/* On the helper. */
static void make_vcpus(void *arg)
{
	struct vm *vm = arg;

	kvm_exits_enable(&vm->kvm, !vm->cfg->msr_gp);
	vm->vcpus = vcpus_new(&vm->vcpus_params, &vm->vcpus_error);
}

int machine_cpus_begin(struct vm *vm, void (*event)(void *, enum vcpu_event), struct error *err)
{
	unsigned n = (unsigned)vm->cfg->cpus.n;
	int rc;

	if (n > vm->kvm.max_vcpus)
		return error_set(err, -EINVAL, "--cpus %u: this host's KVM has at most %u", n,
				 vm->kvm.max_vcpus);
	rc = place(vm, err);
	if (rc == 0 && vm->cfg->idle)
		rc = kvm_disable_exits(&vm->kvm, err);
	if (rc == 0)
		rc = make_cpuid(vm, err);
	if (rc < 0)
		return rc;
	vm->vcpus_params = (struct vcpus_params){
		.kvm = &vm->kvm,
		.pio = vm->pio,
		.mmio = vm->mmio,
		.mem = vm->mem,
		.cpuid = vm->cpuid,
		.exits = &vm->exits,
		.topo = &vm->cfg->topo,
		.n = n,
		.pin = vm->cfg->pin_kind == PIN_NONE ? NULL : vm->pin,
		.rt = (int)vm->cfg->rt,
		.helper = vm->helper,
		.timed = vm->cfg->stats,
		.event = event,
		.opaque = vm,
	};
	helper_run(vm->helper, make_vcpus, vm);
	return 0;
}

int machine_cpus_finish(struct vm *vm, struct error *err)
{
	helper_wait(vm->helper);
	vm->cpus_made = true;
	if (!vm->vcpus)
		*err = vm->vcpus_error;
	return vm->vcpus ? 0 : err->code;
}

void machine_cpus_free(struct vm *vm)
{
	/* It may still make the processors, or be one. */
	if (!vm->cpus_made)
		helper_wait(vm->helper);
	vcpus_free(vm->vcpus);
	helper_free(vm->helper);
	cpuid_free(vm->cpuid);
	free(vm->pin_host);
}
