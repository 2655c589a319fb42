/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's memory: what it is made of, where it lies, prefaulting, and what the guest is told
 * about nodes.
 *
 * Prefaulting runs while devices are opened and firmware is loaded; machine_memory_finish() waits
 * for it before VFIO maps the memory, which would otherwise fault it in alone and slowly. Signals
 * are blocked by then and read from their descriptor here, for the main loop does not run yet.
 *
 * Threads: main thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "vfio/options.h"
#include "vmm/core/log.h"
#include "vmm/core/nbio.h"
#include "vmm/machine/machine.h"
#include "vmm/placement/memlock.h"
#include "vmm/placement/prefault.h"

#define SHOW_AFTER_MS 1000
#define SHOW_EVERY_MS 200
#define BAR_COLUMNS   30

/* ---- what is asked for ---- */

static bool wants_prefault(const struct config *c)
{
	return c->ram.prefault == CONFIG_ON ||
	       (c->ram.prefault == CONFIG_AUTO && vfio_count(&c->devices));
}

static void set_nodes(const struct vm *vm, struct ram_want *w)
{
	const struct config_ram *c = &vm->cfg->ram;
	int node = machine_vfio_node(vm);

	if (c->nodes) {
		w->nodes = c->nodes;
		return;
	}
	if (node >= 0 && node < NUMA_MAX_NODES)
		w->nodes = 1ull << node;
	else if (c->nodes_auto)
		log_warn("--memory nodes=auto: no passed-through device reports its NUMA node: "
			 "memory may come from any node");
	w->nodes_auto = true;
}

static int set_want(const struct vm *vm, struct ram_want *w, struct error *err)
{
	const struct config_ram *c = &vm->cfg->ram;

	*w = (struct ram_want){
		.size = vm->cfg->memory,
		.pages = (enum ram_pages)c->pages,
		.path = c->path,
		.prefault = wants_prefault(vm->cfg),
	};
	if (w->pages == RAM_PLAIN && vfio_count(&vm->cfg->devices))
		w->pages = RAM_AUTO;
	set_nodes(vm, w);
	return w->pages == RAM_PATH ? ram_path_page(w->path, &w->path_page, err) : 0;
}

static int decide(struct vm *vm, struct error *err)
{
	struct ram_host host = { .thp = true };
	struct ram_want want;
	char line[480];
	int rc = set_want(vm, &want, err);

	if (rc < 0)
		return rc;
	/* Nothing asked for: nothing looked at. */
	if (want.pages != RAM_PLAIN || want.nodes || want.prefault)
		ram_look("", &want, &host);
	rc = ram_decide(&want, &host, &vm->ram_plan, err);
	/* Reserving huge pages counts the host's: a node that has run out would end a running
	 * guest, and they are nobody else's anyway. */
	if (vm->cfg->ram.prefault == CONFIG_AUTO && vm->ram_plan.hugetlb && want.nodes)
		vm->ram_plan.prefault = true;
	if (rc < 0 || (want.pages == RAM_PLAIN && !want.nodes))
		return rc;
	ram_describe(&vm->ram_plan, &host, line, sizeof(line));
	if (vm->cfg->ram.pages == RAM_AUTO && !vm->ram_plan.hugetlb)
		log_warn("--memory hugepages=auto: too few huge pages are free: %s", line);
	else
		log_info("%s", line);
	return 0;
}

/* ---- what the guest is told: node i is the plan's part i ---- */

static void add_range(struct machine_numa *m, uint64_t base, uint64_t size, unsigned node)
{
	if (size)
		m->memory[m->n_memory++] = (struct acpi_memory){ base, size, node };
}

static int fill_numa(struct vm *vm, struct error *err)
{
	const struct ram_plan *p = &vm->ram_plan;
	struct machine_numa *m = calloc(1, sizeof(*m));
	unsigned i, k;

	vm->numa = m;
	if (!m)
		return error_set(err, -ENOMEM, "out of memory for the machine");
	m->n = p->n;
	m->pci_node = ACPI_NO_NODE;
	for (i = 0; i < p->n; i++) {
		uint64_t at = p->part[i].offset, size = p->part[i].size, low = 0;

		if (at < vm->map.low_ram)
			low = size < vm->map.low_ram - at ? size : vm->map.low_ram - at;
		add_range(m, at, low, i);
		add_range(m, vm->map.high_base + (at + low - vm->map.low_ram), size - low, i);
		for (k = 0; k < p->n; k++)
			m->distance[i * p->n + k] = node_distance((unsigned)p->part[i].node,
								  (unsigned)p->part[k].node);
		if (p->part[i].node == machine_vfio_node(vm))
			m->pci_node = i;
	}
	return 0;
}

/* Whole sockets to a node where there are enough of them, else whole cores. */
unsigned machine_memory_cpu_node(const struct vm *vm, unsigned cpu)
{
	const struct cpu_topology *t = &vm->cfg->topo;
	unsigned n = vm->ram_plan.n, core = cpu / t->threads;

	if (t->sockets >= n)
		return core / t->cores * n / t->sockets;
	return core * n / (t->sockets * t->cores);
}

/* ---- life ---- */

int machine_memory_look(struct vm *vm, struct error *err)
{
	uint64_t size = vm->cfg->memory;
	int rc = decide(vm, err);

	/* Only the IOMMU minds where RAM lies. */
	memmap_ram(&vm->map, size, vfio_count(&vm->cfg->devices) && memmap_host_is_amd());
	vm->ram_size = size;
	/* With --vfio the devices pin it, which is more than locked. */
	if (rc == 0 && vm->cfg->ram.lock && !vfio_count(&vm->cfg->devices))
		rc = memlock_raise(size, err);
	return rc;
}

/* The kernel leaves shared huge pages out by default (core(5), coredump_filter). */
static void want_dump(struct vm *vm)
{
	FILE *f = fopen("/proc/self/coredump_filter", "we");

	vm->ram_plan.dump = true;
	if (!f || fputs("0x7f", f) < 0)
		log_warn("--core-dump: /proc/self/coredump_filter: %s", strerror(errno));
	if (f)
		fclose(f);
}

int machine_memory_open(struct vm *vm, struct error *err)
{
	int rc = 0;

	if (vm->cfg->core_dump)
		want_dump(vm);
	if (vm->ram_plan.n > 1)
		rc = fill_numa(vm, err);
	if (rc == 0)
		rc = ram_map(&vm->ram_plan, &vm->ram, err);
	if (rc < 0 || !vm->ram_plan.prefault)
		return rc;
	vm->prefault = prefault_start(&vm->ram_plan, vm->ram, false, err);
	return vm->prefault ? 0 : err->code;
}

void machine_memory_stop(struct vm *vm)
{
	prefault_free(vm->prefault);
	vm->prefault = NULL;
}

void machine_memory_close(struct vm *vm)
{
	machine_memory_stop(vm);
	if (vm->ram)
		munmap(vm->ram, vm->ram_size);
	free(vm->numa);
}

/* ---- waiting for the prefault ---- */

/* Without waiting: a terminal that was stopped (Ctrl-S) must not keep us from a signal. */
static void show(const struct vm *vm, struct nbio *out, uint64_t since_ns)
{
	double done = (double)prefault_done(vm->prefault), all = (double)vm->ram_size;
	double seconds = (double)(evloop_now_ns() - since_ns) / 1e9;
	int filled = (int)(done / all * BAR_COLUMNS);
	char line[160];
	int n;

	n = snprintf(line, sizeof(line),
		     "\rminivmm: memory [%.*s%.*s] %3.0f %% of %.1f GiB, %.1f s left\033[K", filled,
		     "##############################", BAR_COLUMNS - filled,
		     "..............................", done / all * 100, all / GiB,
		     done > 0 ? seconds * (all - done) / done : 0);
	nbio_write(out, line, (size_t)n);
}

/* The serial console may have put the terminal into raw mode by now; for the time of the wait
 * Ctrl-C is a signal again. */
static bool terminal_signals(bool on)
{
	struct termios t;

	if (tcgetpgrp(STDIN_FILENO) != getpgrp() || tcgetattr(STDIN_FILENO, &t) < 0 ||
	    !(t.c_lflag & ISIG) != on)
		return false;
	t.c_lflag ^= ISIG;
	return tcsetattr(STDIN_FILENO, TCSANOW, &t) == 0;
}

/* True when a signal asks us to end. */
static bool interrupted(const struct vm *vm)
{
	struct signalfd_siginfo si;

	while (read(vm->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		if (si.ssi_signo == SIGTERM || si.ssi_signo == SIGINT || si.ssi_signo == SIGHUP)
			return true;
	return false;
}

static int wait_prefault(struct vm *vm, struct error *err)
{
	struct pollfd fds[] = { { .fd = prefault_fd(vm->prefault), .events = POLLIN },
				{ .fd = vm->signal_fd, .events = POLLIN } };
	struct nbio out = nbio_shared(STDERR_FILENO, O_WRONLY);
	bool tty = isatty(STDERR_FILENO), shown = false;
	uint64_t since = vm->phases.begin;
	bool stop = false, restore = terminal_signals(true);

	while (!fds[0].revents && !stop) {
		poll(fds, 2, !tty ? -1 : shown ? SHOW_EVERY_MS : SHOW_AFTER_MS);
		stop = fds[1].revents && interrupted(vm);
		if (tty && !fds[0].revents && !stop) {
			show(vm, &out, since);
			shown = true;
		}
	}
	if (shown) {
		show(vm, &out, since);
		nbio_write(&out, "\n", 1);
	}
	nbio_close(&out);
	if (restore)
		terminal_signals(false);
	if (!stop)
		return prefault_finish(vm->prefault, err);
	log_run(); /* the signal is taken: nothing would end a wait for whoever reads stderr */
	return error_set(err, -EINTR,
			 "stopped by a signal with %llu of %llu MiB of memory in place",
			 (unsigned long long)(prefault_done(vm->prefault) / MiB),
			 (unsigned long long)(vm->ram_size / MiB));
}

static int lock(const struct vm *vm, struct error *err)
{
	/* What is not there yet is locked as it comes. */
	int rc = mlock2(vm->ram, vm->ram_size, vm->ram_plan.prefault ? 0 : MLOCK_ONFAULT);

	if (rc == 0)
		return 0;
	rc = -errno;
	if (rc == -ENOMEM && memlock_explain(vm->ram_size, err) < 0)
		return rc;
	return error_set(err, rc, "--memory lock=on: %s", strerror(-rc));
}

int machine_memory_finish(struct vm *vm, struct error *err)
{
	int rc = vm->prefault ? wait_prefault(vm, err) : 0;

	if (vm->prefault) {
		phase_mark(&vm->phases, "wait");
		phase_span(&vm->phases, "prefault", prefault_ns(vm->prefault));
		machine_memory_stop(vm);
	}
	if (rc == 0 && vm->cfg->ram.lock && !vfio_count(&vm->cfg->devices))
		rc = lock(vm, err);
	return rc;
}
