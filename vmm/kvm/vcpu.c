/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vCPU threads.
 *
 * The variable `want` tells all threads what to do: run, pause or stop. A thread reads it before
 * each KVM_RUN. Whoever changes it stores the new value, then sets immediate_exit in the shared
 * page of every vCPU, then sends every thread a signal. A thread clears immediate_exit, if it is
 * set, before it reads `want`. So either the thread sees the new value, or KVM sees immediate_exit,
 * and no kick is lost (KVM API, 5 "immediate_exit").
 *
 * Before a thread parks, it enters KVM once more with immediate_exit set, so that KVM finishes the
 * access that was answered last. Only then are the registers consistent (KVM API, 5 "KVM_EXIT_IO").
 *
 * The in-kernel LAPIC handles INIT and SIPI: processors that wait for SIPI do so inside KVM_RUN.
 *
 * Threads: each vCPU's fd and shared page belong to its thread while the vCPU runs, and to the main
 * loop while it is parked. Device callbacks run on vCPU threads, under the lock of their region.
 */
#include "vmm/kvm/vcpu.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/core/bus.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/helper.h"
#include "vmm/core/hold.h"
#include "vmm/core/log.h"
#include "vmm/core/mem.h"
#include "vmm/core/stats.h"
#include "vmm/kvm/kvm.h"
#include "vmm/kvm/kvm_exits.h"
#include "vmm/kvm/kvm_state.h"
#include "vmm/kvm/kvm_stats.h"
#include "vmm/placement/pin.h"

#if defined(__SANITIZE_ADDRESS__)
#define VCPU_STACK (1u << 20)
#else
/* Device callbacks nest only a few frames deep; a log line takes 1 KiB. Memory is used only for
 * pages that are touched. */
#define VCPU_STACK (64u << 10)
#endif
#define VCPU_KICK_SIGNAL SIGRTMIN

enum want { WANT_RUN, WANT_PAUSE, WANT_STOP };

struct vcpu {
	struct vcpus *all;
	unsigned index;
	int fd;
	int stats_fd; /* opened early, because opening waits while the vCPU is in KVM_RUN */
	struct kvm_run *run;
	struct vcpu_stats *stats; /* the vCPU's thread writes it; any thread may read it */
	pthread_t thread;
	struct helper *helper; /* owns the thread; NULL: the vCPU owns it */
	bool started;
	pid_t tid; /* atomic; 0: the thread has not started */
};

struct vcpus {
	struct vcpus_params p;
	uint32_t signature;
	bool intel;
	int want; /* enum want, atomic */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned running; /* threads not parked, under lock */
	struct log_limit limit;
	struct vcpu cpu[];
};

static void kick_handler(int sig)
{
	(void)sig; /* its only effect is that KVM_RUN returns -EINTR */
}

static void kick_install(void)
{
	struct sigaction sa = { .sa_handler = kick_handler };

	sigaction(VCPU_KICK_SIGNAL, &sa, NULL);
}

static void vcpu_destroy(struct vcpu *v)
{
	if (v->run)
		munmap(v->run, v->all->p.kvm->run_size);
	cleanup_close(&v->stats_fd);
	cleanup_close(&v->fd);
	if (v->stats)
		munmap(v->stats, sizeof(*v->stats));
}

/* mmap() and not calloc(): most of the table is never used, and calloc() could touch all of it to
 * clear it. */
static int create_stats(struct vcpu *v)
{
	void *p = mmap(NULL, sizeof(*v->stats), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	v->stats = p;
	v->stats->traps.timed = v->all->p.timed;
	return 0;
}

static int vcpu_create(struct vcpu *v, struct error *err)
{
	const struct vcpus_params *p = &v->all->p;
	void *run;
	int ret;

	v->fd = ioctl(p->kvm->vm, KVM_CREATE_VCPU, (unsigned long)cpu_apic_id(p->topo, v->index));
	if (v->fd < 0)
		return error_set(err, -errno, "KVM_CREATE_VCPU %u: %s", v->index, strerror(errno));
	run = mmap(NULL, p->kvm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (run == MAP_FAILED)
		return error_set(err, -errno, "mapping vCPU %u: %s", v->index, strerror(errno));
	v->run = run;
	ret = create_stats(v);
	if (ret < 0)
		return error_set(err, ret, "out of memory for vCPU %u", v->index);
	v->stats_fd = kvm_stats_open(v->fd);
	kvm_exits_prepare(p->exits, v->fd);
	ret = cpuid_apply(p->cpuid, v->fd, v->index);
	if (ret < 0)
		return error_set(err, ret, "KVM_SET_CPUID2 for vCPU %u: %s", v->index,
				 strerror(-ret));
	return 0;
}

struct vcpus *vcpus_new(const struct vcpus_params *p, struct error *err)
{
	struct vcpus *vs = calloc(1, sizeof(*vs) + p->n * sizeof(vs->cpu[0]));
	unsigned i;

	if (!vs) {
		error_set(err, -ENOMEM, "out of memory for %u vCPUs", p->n);
		return NULL;
	}
	vs->p = *p;
	vs->signature = cpuid_signature(p->cpuid);
	vs->intel = cpuid_is_intel(p->cpuid);
	pthread_mutex_init(&vs->lock, NULL);
	pthread_cond_init(&vs->changed, NULL);
	for (i = 0; i < p->n; i++)
		vs->cpu[i] = (struct vcpu){ .all = vs, .index = i, .fd = -1, .stats_fd = -1 };
	for (i = 0; i < p->n; i++) {
		if (vcpu_create(&vs->cpu[i], err) < 0) {
			vcpus_free(vs);
			return NULL;
		}
	}
	vs->p.cpuid = NULL;
	return vs;
}

/* Makes every thread leave the guest and read `want`. The caller has stored `want` before (see the
 * top for the order). */
static void kick_all(struct vcpus *vs)
{
	unsigned i;

	for (i = 0; i < vs->p.n; i++) {
		struct vcpu *v = &vs->cpu[i];

		if (v->run)
			__atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&v->started, __ATOMIC_ACQUIRE) &&
		    !pthread_equal(v->thread, pthread_self()))
			pthread_kill(v->thread, VCPU_KICK_SIGNAL);
	}
}

/* An atomic exchange of RUN for PAUSE, so that it never replaces a STOP. */
bool vcpus_pause_async(struct vcpus *vs)
{
	int run = WANT_RUN;

	if (!__atomic_compare_exchange_n(&vs->want, &run, WANT_PAUSE, false, __ATOMIC_SEQ_CST,
					 __ATOMIC_SEQ_CST))
		return false;
	kick_all(vs);
	return true;
}

bool vcpus_pause(struct vcpus *vs)
{
	bool ran = vcpus_pause_async(vs);

	scoped_lock(&vs->lock);
	while (vs->running > 0)
		pthread_cond_wait(&vs->changed, &vs->lock);
	return ran;
}

void vcpus_resume(struct vcpus *vs)
{
	scoped_lock(&vs->lock);
	__atomic_store_n(&vs->want, WANT_RUN, __ATOMIC_SEQ_CST);
	pthread_cond_broadcast(&vs->changed);
}

static void vcpu_join(struct vcpu *v)
{
	if (v->helper)
		helper_wait(v->helper);
	else if (v->started)
		pthread_join(v->thread, NULL);
}

void vcpus_free(struct vcpus *vs)
{
	unsigned i;

	if (!vs)
		return;
	/* Pairs with the load in vcpu_gate(). */
	__atomic_store_n(&vs->want, WANT_STOP, __ATOMIC_SEQ_CST);
	kick_all(vs);
	{
		scoped_lock(&vs->lock);
		pthread_cond_broadcast(&vs->changed);
	}
	for (i = 0; i < vs->p.n; i++)
		vcpu_join(&vs->cpu[i]);
	for (i = 0; i < vs->p.n; i++)
		vcpu_destroy(&vs->cpu[i]);
	pthread_cond_destroy(&vs->changed);
	pthread_mutex_destroy(&vs->lock);
	free(vs);
}

/* Copies the value of a port access: 1, 2 or 4 bytes. A memcpy() of unknown length would be a
 * function call. */
static uint64_t port_data_get(const uint8_t *data, unsigned size)
{
	uint16_t word;
	uint32_t dword;

	if (size == 1)
		return *data;
	if (size == 2) {
		memcpy(&word, data, sizeof(word));
		return word;
	}
	memcpy(&dword, data, sizeof(dword));
	return dword;
}

static void port_data_put(uint8_t *data, unsigned size, uint64_t val)
{
	uint16_t word = (uint16_t)val;
	uint32_t dword = (uint32_t)val;

	if (size == 1)
		*data = (uint8_t)val;
	else if (size == 2)
		memcpy(data, &word, sizeof(word));
	else
		memcpy(data, &dword, sizeof(dword));
}

static void handle_io(struct vcpu *v)
{
	const struct kvm_run *r = v->run;
	uint8_t *data = (uint8_t *)v->run + r->io.data_offset;
	struct bus *pio = v->all->p.pio;
	uint32_t i;

	/* A string instruction arrives as `count` accesses, and KVM goes on only when all of them
	 * are answered. A device may hold this thread meanwhile (hold.h). It lets go when a pause
	 * is wanted and does not hold the thread again before the pause, so the remaining accesses
	 * do not delay the pause. */
	for (i = 0; i < r->io.count; i++, data += r->io.size) {
		unsigned size = r->io.size;

		if (r->io.direction == KVM_EXIT_IO_OUT)
			bus_write(pio, r->io.port, size, port_data_get(data, size));
		else
			port_data_put(data, size, bus_read(pio, r->io.port, size));
	}
}

static void handle_mmio(struct vcpu *v)
{
	struct kvm_run *r = v->run;
	unsigned len = r->mmio.len <= 8 ? r->mmio.len : 8;
	uint64_t val;

	/* KVM uses the first `len` of the 8 bytes. */
	if (r->mmio.is_write) {
		memcpy(&val, r->mmio.data, sizeof(val));
		bus_write(v->all->p.mmio, r->mmio.phys_addr, len, val & all_ones(len));
	} else {
		val = bus_read(v->all->p.mmio, r->mmio.phys_addr, len);
		memcpy(r->mmio.data, &val, sizeof(val));
	}
}

static void vcpu_event(struct vcpu *v, enum vcpu_event event)
{
	/* The vCPUs must not go on until the main loop has handled the event. */
	vcpus_pause_async(v->all);
	v->all->p.event(v->all->p.opaque, event);
}

static void handle_system_event(struct vcpu *v)
{
	switch (v->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		vcpu_event(v, VCPU_POWER_OFF);
		break;
	case KVM_SYSTEM_EVENT_CRASH: /* the guest goes on to write its dump, then it resets */
		kvm_exits_crashed(v->all->p.exits, v->fd, v->index);
		break;
	default:
		vcpu_event(v, VCPU_RESET);
	}
}

static void log_state(struct vcpu *v)
{
	vcpu_state_log(v->fd, v->index, v->all->p.mem);
}

static void vcpu_fail(struct vcpu *v)
{
	log_state(v);
	vcpu_event(v, VCPU_FAILED);
}

static void handle_fatal(struct vcpu *v)
{
	const struct kvm_run *r = v->run;

	switch (r->exit_reason) {
	case KVM_EXIT_INTERNAL_ERROR:
		log_error("vCPU %u: KVM internal error, suberror %u%s", v->index,
			  r->internal.suberror,
			  r->internal.suberror == KVM_INTERNAL_ERROR_EMULATION
				  ? " (an instruction KVM cannot emulate)"
				  : "");
		break;
	case KVM_EXIT_FAIL_ENTRY:
		log_error("vCPU %u: the processor refused to enter the guest, reason 0x%llx",
			  v->index,
			  (unsigned long long)r->fail_entry.hardware_entry_failure_reason);
		break;
	default:
		log_error("vCPU %u: unknown KVM exit %u", v->index, r->exit_reason);
	}
	vcpu_fail(v);
}

static void handle_rare(struct vcpu *v)
{
	switch (kvm_exits_answer(v->all->p.exits, v->run, v->index)) {
	case KVM_EXIT_ANSWERED:
		break;
	case KVM_EXIT_LOST:
		vcpu_fail(v);
		break;
	case KVM_EXIT_NOT_MINE:
		handle_fatal(v);
	}
}

static void handle_exit(struct vcpu *v)
{
	switch (v->run->exit_reason) {
	case KVM_EXIT_IO:
		handle_io(v);
		break;
	case KVM_EXIT_MMIO:
		handle_mmio(v);
		break;
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		break;
	case KVM_EXIT_SHUTDOWN:
		if (log_allow(LOG_INFO, &v->all->limit)) {
			log_info("vCPU %u: triple fault", v->index);
			log_state(v);
		}
		vcpu_event(v, VCPU_TRIPLE_FAULT);
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		handle_system_event(v);
		break;
	default:
		handle_rare(v);
	}
}

static void count_exit(struct vcpu *v, unsigned reason, uint64_t start)
{
	reason = reason < VCPU_EXITS ? reason : VCPU_EXITS - 1;
	count_add(&v->stats->exits[reason], 1);
	if (start)
		count_add(&v->stats->ticks[reason], stats_ticks() - start);
}

/* Enters the guest once; false when KVM itself failed. */
static bool vcpu_enter(struct vcpu *v)
{
	uint64_t start;
	unsigned reason;

	if (ioctl(v->fd, KVM_RUN, 0) == 0) {
		start = v->all->p.timed ? stats_ticks() : 0;
		reason = v->run->exit_reason;
		handle_exit(v);
		count_exit(v, reason, start);
		return true;
	}
	if (errno == EINTR || errno == EAGAIN) {
		count_exit(v, KVM_EXIT_INTR, 0);
		return true;
	}
	log_error("vCPU %u: KVM_RUN: %s%s", v->index, strerror(errno),
		  errno == EFAULT ? ": the guest accessed memory that does not exist" : "");
	log_state(v);
	vcpu_event(v, VCPU_FAILED);
	return false;
}

/* Lets KVM finish the access that was answered last. Each round can only bring the next part of the
 * same instruction, so 16 rounds are enough. */
static void vcpu_settle(struct vcpu *v)
{
	unsigned i;

	v->run->immediate_exit = 1;
	for (i = 0; i < 16 && ioctl(v->fd, KVM_RUN, 0) == 0; i++) {
		if (v->run->exit_reason != KVM_EXIT_IO && v->run->exit_reason != KVM_EXIT_MMIO)
			break;
		handle_exit(v);
	}
}

/* Waits while a pause is wanted. False: the thread must end. */
static bool vcpu_park(struct vcpu *v)
{
	struct vcpus *vs = v->all;
	int want;

	vcpu_settle(v);
	scoped_lock(&vs->lock);
	vs->running--;
	pthread_cond_broadcast(&vs->changed);
	while ((want = __atomic_load_n(&vs->want, __ATOMIC_SEQ_CST)) == WANT_PAUSE)
		pthread_cond_wait(&vs->changed, &vs->lock);
	if (want == WANT_STOP)
		return false;
	vs->running++;
	return true;
}

/* Runs before every entry into the guest; the top of the file explains the order. */
static bool vcpu_gate(struct vcpu *v)
{
	for (;;) {
		if (__atomic_load_n(&v->run->immediate_exit, __ATOMIC_SEQ_CST))
			__atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&v->all->want, __ATOMIC_SEQ_CST) == WANT_RUN)
			return true;
		if (!vcpu_park(v))
			return false;
	}
}

/* Runs on the vCPU's thread before it touches memory: the kernel takes a page from the NUMA node of
 * the CPU that touches it first. Both calls were tried at the start of the machine, so they should
 * not fail here. */
static void vcpu_place(struct vcpu *v)
{
	const struct vcpus_params *p = &v->all->p;
	struct sched_param sp = { .sched_priority = p->rt };
	struct pin_mask m = { 0 };

	if (p->pin)
		pin_add(&m, p->pin[v->index]);
	if ((!p->pin || sched_setaffinity(0, sizeof(m), m.s) == 0) &&
	    (!p->rt || sched_setscheduler(0, SCHED_FIFO, &sp) == 0))
		return;
	log_error("vCPU %u cannot be moved to its CPU: %s", v->index, strerror(errno));
	vcpu_event(v, VCPU_FAILED);
}

static void vcpu_job(void *arg)
{
	struct vcpu *v = arg;
	char name[16];

	snprintf(name, sizeof(name), "vcpu%u", v->index);
	pthread_setname_np(pthread_self(), name);
	__atomic_store_n(&v->tid, gettid(), __ATOMIC_RELAXED);
	vcpu_place(v);
	bus_join(&v->stats->member, v->all->p.pio, v->all->p.mmio);
	bus_count_traps(&v->stats->traps);
	hold_allow(&v->all->want, VCPU_KICK_SIGNAL);
	while (vcpu_gate(v))
		vcpu_enter(v);
	bus_part(&v->stats->member);
}

static void *vcpu_main(void *arg)
{
	vcpu_job(arg);
	return NULL;
}

/* Returns an errno value, as pthreads do. */
static int vcpu_thread(struct vcpu *v, const pthread_attr_t *attr)
{
	struct helper *h = v->index == 0 ? v->all->p.helper : NULL;

	if (!h)
		return pthread_create(&v->thread, attr, vcpu_main, v);
	v->thread = helper_thread(h);
	v->helper = h;
	helper_run(h, vcpu_job, v);
	return 0;
}

static int vcpu_start(struct vcpu *v, const pthread_attr_t *attr, struct error *err)
{
	int ret;

	{
		scoped_lock(&v->all->lock);
		v->all->running++;
	}
	ret = vcpu_thread(v, attr);
	if (ret == 0) {
		__atomic_store_n(&v->started, true, __ATOMIC_RELEASE);
		return 0;
	}
	{
		scoped_lock(&v->all->lock);
		v->all->running--;
	}
	return error_set(err, -ret, "starting the thread of vCPU %u: %s", v->index, strerror(ret));
}

int vcpus_start(struct vcpus *vs, struct error *err)
{
	pthread_attr_t attr;
	unsigned i;
	int ret = 0;

	kick_install();
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, VCPU_STACK);
	/* CPU 0 is last: the others wait for it, so no event comes before all threads can be
	 * kicked. */
	for (i = vs->p.n; i-- > 0 && ret == 0;)
		ret = vcpu_start(&vs->cpu[i], &attr, err);
	pthread_attr_destroy(&attr);
	return ret;
}

void vcpus_log(struct vcpus *vs)
{
	unsigned i;

	for (i = 0; i < vs->p.n; i++)
		vcpu_state_log(vs->cpu[i].fd, i, vs->p.mem);
}

int vcpus_reset(struct vcpus *vs, const struct vcpu_entry *entry, bool first)
{
	unsigned i;
	int ret = 0;

	for (i = 0; i < vs->p.n && ret == 0; i++) {
		const struct vcpu_state_reset r = {
			.entry = i == 0 ? entry : NULL,
			.signature = vs->signature,
			.intel = vs->intel,
			.firmware = entry->mode == VCPU_RESET_VECTOR,
			.first = first,
		};

		ret = vcpu_state_reset(vs->cpu[i].fd, &r);
	}
	return ret;
}

unsigned vcpus_count(const struct vcpus *vs)
{
	return vs ? vs->p.n : 0;
}

void vcpus_forget_region(struct vcpus *vs, const struct io_region *r)
{
	for (unsigned i = 0; vs && i < vs->p.n; i++)
		trap_forget(&vs->cpu[i].stats->traps, r);
}

const struct vcpu_stats *vcpu_stats(const struct vcpus *vs, unsigned i)
{
	return vs->cpu[i].stats;
}

int vcpu_stats_fd(const struct vcpus *vs, unsigned i)
{
	return vs->cpu[i].stats_fd;
}

pid_t vcpu_thread_id(const struct vcpus *vs, unsigned i)
{
	return __atomic_load_n(&vs->cpu[i].tid, __ATOMIC_RELAXED);
}

const char *vcpu_exit_name(unsigned reason)
{
	static const char *const name[VCPU_EXITS] = {
		[KVM_EXIT_UNKNOWN] = "unknown",
		[KVM_EXIT_IO] = "io",
		[KVM_EXIT_HYPERCALL] = "hypercall",
		[KVM_EXIT_DEBUG] = "debug",
		[KVM_EXIT_HLT] = "hlt",
		[KVM_EXIT_MMIO] = "mmio",
		[KVM_EXIT_IRQ_WINDOW_OPEN] = "irq_window",
		[KVM_EXIT_SHUTDOWN] = "triple_fault",
		[KVM_EXIT_FAIL_ENTRY] = "fail_entry",
		[KVM_EXIT_INTR] = "signal",
		[KVM_EXIT_INTERNAL_ERROR] = "internal_error",
		[KVM_EXIT_SYSTEM_EVENT] = "system_event",
		[KVM_EXIT_IOAPIC_EOI] = "ioapic_eoi",
		[KVM_EXIT_HYPERV] = "hyperv",
		[KVM_EXIT_X86_RDMSR] = "rdmsr",
		[KVM_EXIT_X86_WRMSR] = "wrmsr",
		[KVM_EXIT_X86_BUS_LOCK] = "bus_lock",
		[KVM_EXIT_NOTIFY] = "notify",
	};

	return reason < VCPU_EXITS && name[reason] ? name[reason] : "other";
}
