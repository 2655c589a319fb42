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
#include "vmm/machine/cpus.h"

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
#include "vmm/placement/pin.h"

/* ---- where they run ---- */

static void warn_shortfall(const struct machine_cpus *c, int shortfall, int node)
{
	if (shortfall & PIN_OTHER_NODE)
		log_warn("--cpus: pin=auto: node %d has too few CPUs for %u processors: the others "
			 "run on other nodes, farther from its memory and devices",
			 node, (unsigned)c->cfg->cpus.n);
	if (shortfall & PIN_SPLIT_CORES)
		log_warn("--cpus: pin=auto: this host has too few cores of %u threads: threads of "
			 "one guest core will not share a core of the host",
			 c->cfg->topo.threads);
}

static int choose(struct machine_cpus *c, const char *root, int node, struct error *err)
{
	unsigned n = (unsigned)c->cfg->cpus.n;
	struct pin_host *h = malloc(sizeof(*h));
	int ret;

	if (!h)
		return error_set(err, -ENOMEM, "out of memory for the machine");
	c->pin_host = h;
	if (c->cfg->pin_kind == PIN_AUTO && node < 0)
		node = 0;
	ret = pin_read(root, node, h, err);
	if (ret == 0)
		ret = pin_allowed(h, err);
	/* Back from where pin_allowed() went: threads that fill memory are started next. */
	if (ret == 0)
		sched_setaffinity(0, sizeof(h->affinity), h->affinity.s);
	if (ret == 0 && c->cfg->pin_kind == PIN_LIST) {
		memcpy(c->pin, c->cfg->pin, n * sizeof(c->pin[0]));
		ret = pin_check(h, c->pin, n, err);
	} else if (ret == 0) {
		ret = pin_choose(root, h, n, c->cfg->topo.threads, c->pin, err);
	}
	if (ret < 0)
		return error_prefix(err, "--cpus: pin=%s", c->cfg->cpus.pin);
	warn_shortfall(c, ret, node);
	return 0;
}

/* The main thread leaves the processors' CPUs. */
static int leave_cpus(struct machine_cpus *c, struct error *err)
{
	int ret = pin_self(c->pin_host, c->pin, (unsigned)c->cfg->cpus.n);

	if (ret == -ENOSPC)
		log_warn("--cpus: pin=%s takes every CPU of this process: the main loop and the "
			 "disks' threads share them%s",
			 c->cfg->cpus.pin,
			 c->cfg->rt ? ", and with --rt they must wait until a processor is idle"
				    : "");
	else if (ret < 0)
		return error_set(err, ret, "sched_setaffinity: %s", strerror(-ret));
	return 0;
}

static void log_places(const struct machine_cpus *c)
{
	unsigned i;

	for (i = 0; i < c->cfg->cpus.n; i++)
		log_info("vCPU %u runs on CPU %u", i, c->pin[i]);
}

/* Without pin= nothing is wrong; three things are worth a word. */
static void warn_unpinned(const struct machine_cpus *c)
{
	struct pin_mask m = { 0 };

	if (c->cfg->rt)
		log_warn("--rt without pin=: processors can keep the main loop and the host's "
			 "programs from running: use --cpus %u,pin=auto",
			 (unsigned)c->cfg->cpus.n);
	if (c->cfg->idle)
		log_warn("--idle poll without pin=: idle processors take whole CPUs from others: "
			 "use --cpus %u,pin=auto",
			 (unsigned)c->cfg->cpus.n);
	if (c->cfg->cpus.n > 1 && sched_getaffinity(0, sizeof(m), m.s) == 0 &&
	    c->cfg->cpus.n > pin_count(&m))
		log_warn("--cpus %u: this process has %u of the host's CPUs: processors take turns",
			 (unsigned)c->cfg->cpus.n, pin_count(&m));
}

/* Tried on this thread, because the others start when it is too late to refuse. */
static int try_rt(const struct machine_cpus *c, struct error *err)
{
	int prio = (int)c->cfg->rt;
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

int machine_cpus_look(struct machine_cpus *c, const char *root, int device_node, struct error *err)
{
	int ret = try_rt(c, err);

	return ret < 0 || c->cfg->pin_kind == PIN_NONE ? ret : choose(c, root, device_node, err);
}

static int place(struct machine_cpus *c, struct error *err)
{
	int ret;

	if (c->cfg->pin_kind == PIN_NONE) {
		warn_unpinned(c);
		return 0;
	}
	ret = leave_cpus(c, err);
	if (ret == 0)
		log_places(c);
	return ret;
}

static bool is_vcpu(const char *tid)
{
	char name[16];

	hostfs_line("", name, sizeof(name), "/proc/self/task/%s/comm", tid);
	return strncmp(name, "vcpu", 4) == 0;
}

void machine_cpus_settle(const struct machine_cpus *c)
{
	struct pin_mask here = { 0 };
	struct sched_param ours;
	struct dirent *e;
	DIR *d;

	if ((c->cfg->pin_kind == PIN_NONE && !c->cfg->rt) ||
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
	struct machine_cpus *c = arg;

	cpuid_ask(c->cpuid);
	kvm_exits_ask(&c->exits, c->kvm);
}

int machine_cpus_open(struct machine_cpus *c, struct kvm *kvm, struct error *err)
{
	c->kvm = kvm;
	c->helper = helper_new();
	c->cpuid = cpuid_new(kvm);
	if (!c->cpuid)
		return error_set(err, -ENOMEM, "out of memory for the CPUID table");
	helper_run(c->helper, ask_kvm, c);
	return 0;
}

unsigned machine_cpus_host_bits(struct machine_cpus *c)
{
	helper_wait(c->helper);
	return cpuid_phys_bits(c->cpuid);
}

static int make_cpuid(struct machine_cpus *c, unsigned phys_bits, struct error *err)
{
	struct cpu_model model = c->cfg->model;

	model.dedicated = c->cfg->idle && c->cfg->pin_kind != PIN_NONE;
	model.max_phys_bits = phys_bits;
	helper_wait(c->helper);
	return cpuid_make(c->cpuid, &c->cfg->topo, &model, err);
}

/* On the helper. */
static void make_vcpus(void *arg)
{
	struct machine_cpus *c = arg;

	kvm_exits_enable(c->kvm, !c->cfg->msr_gp);
	c->vcpus = vcpus_new(&c->params, &c->error);
}

int machine_cpus_begin(struct machine_cpus *c, const struct cpus_env *env, struct error *err)
{
	unsigned n = (unsigned)c->cfg->cpus.n;
	int ret;

	if (n > c->kvm->max_vcpus)
		return error_set(err, -EINVAL, "--cpus %u: this host's KVM has at most %u", n,
				 c->kvm->max_vcpus);
	ret = place(c, err);
	if (ret == 0 && c->cfg->idle)
		ret = kvm_disable_exits(c->kvm, err);
	if (ret == 0)
		ret = make_cpuid(c, env->phys_bits, err);
	if (ret < 0)
		return ret;
	c->params = (struct vcpus_params){
		.kvm = c->kvm,
		.pio = env->pio,
		.mmio = env->mmio,
		.mem = env->mem,
		.cpuid = c->cpuid,
		.exits = &c->exits,
		.topo = &c->cfg->topo,
		.n = n,
		.pin = c->cfg->pin_kind == PIN_NONE ? NULL : c->pin,
		.rt = (int)c->cfg->rt,
		.helper = c->helper,
		.timed = c->cfg->stats,
		.event = env->event,
		.opaque = env->opaque,
	};
	helper_run(c->helper, make_vcpus, c);
	return 0;
}

int machine_cpus_finish(struct machine_cpus *c, struct error *err)
{
	helper_wait(c->helper);
	c->made = true;
	if (!c->vcpus)
		*err = c->error;
	return c->vcpus ? 0 : err->code;
}

void machine_cpus_free(struct machine_cpus *c)
{
	/* It may still make the processors, or be one. */
	if (!c->made)
		helper_wait(c->helper);
	vcpus_free(c->vcpus);
	helper_free(c->helper);
	cpuid_free(c->cpuid);
	/* Where the processors were, what is left to do may run. */
	if (c->pin_host)
		sched_setaffinity(0, sizeof(c->pin_host->affinity), c->pin_host->affinity.s);
	free(c->pin_host);
}
