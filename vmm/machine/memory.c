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
#include "vmm/machine/memory.h"

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

#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/evloop.h"
#include "vmm/core/hostfs.h"
#include "vmm/core/log.h"
#include "vmm/core/nbio.h"
#include "vmm/placement/memlock.h"

#define SHOW_AFTER_MS 1000
#define SHOW_EVERY_MS 200
#define BAR_COLUMNS   30

/* Resident memory whose pages are worth threads when they are freed. */
#define MANY_SMALL (256 * MiB)
#define MANY_LARGE (4 * GiB)

/* ---- what is asked for ---- */

static bool wants_prefault(const struct memory_want *m)
{
	return m->ram->prefault == CONFIG_ON || (m->ram->prefault == CONFIG_AUTO && m->passthrough);
}

static void set_nodes(const struct memory_want *m, struct ram_want *w)
{
	if (m->ram->nodes) {
		w->nodes = m->ram->nodes;
		return;
	}
	if (m->device_node >= 0 && m->device_node < NUMA_MAX_NODES)
		w->nodes = 1ull << m->device_node;
	else if (m->ram->nodes_auto)
		log_warn("--memory nodes=auto: no passed-through device reports its NUMA node: "
			 "memory may come from any node");
	w->nodes_auto = true;
}

static int set_want(const struct memory_want *m, struct ram_want *w, struct error *err)
{
	*w = (struct ram_want){
		.size = m->size,
		.pages = (enum ram_pages)m->ram->pages,
		.path = m->ram->path,
		.prefault = wants_prefault(m),
		.pinned = m->passthrough,
		.shared = m->shared,
	};
	if (w->pages == RAM_PLAIN && m->passthrough)
		w->pages = RAM_AUTO;
	set_nodes(m, w);
	return w->pages == RAM_PATH ? ram_path_page(w->path, &w->path_page, err) : 0;
}

/* More than there is: what must be in place at the start was refused. */
static void warn_of_size(const struct machine_memory *m)
{
	char text[200];

	if (!m->plan.hugetlb && !m->plan.prefault &&
	    ram_exceeds_host(m->plan.size, text, sizeof(text)))
		log_warn("--memory: %s", text);
}

static int decide(struct machine_memory *m, const char *root, struct error *err)
{
	const struct config_ram *c = m->want.ram;
	struct ram_host host = { .thp = true };
	struct ram_want want;
	char line[480];
	int ret = set_want(&m->want, &want, err);

	if (ret < 0)
		return ret;
	/* Nothing asked for: nothing looked at. */
	if (want.pages != RAM_PLAIN || want.nodes || want.prefault || want.shared)
		ram_look(root, &want, &host);
	ret = ram_decide(&want, &host, &m->plan, err);
	/* Reserving huge pages counts the host's: a node that has run out would end a running
	 * guest, and they are nobody else's anyway. */
	if (c->prefault == CONFIG_AUTO && m->plan.hugetlb && want.nodes)
		m->plan.prefault = true;
	if (ret < 0 || (want.pages == RAM_PLAIN && !want.nodes && !want.shared))
		return ret;
	ram_describe(&m->plan, &host, line, sizeof(line));
	if (c->pages == RAM_AUTO && !m->plan.hugetlb)
		log_warn("--memory hugepages=auto: too few huge pages are free: %s", line);
	else
		log_info("%s", line);
	return 0;
}

/* ---- what the guest is told: node i is the plan's part i ---- */

static void add_range(struct machine_numa *n, uint64_t base, uint64_t size, unsigned node)
{
	if (size)
		n->memory[n->n_memory++] = (struct platform_memory){ base, size, node };
}

static int fill_numa(struct machine_memory *m, const struct memmap *map, struct error *err)
{
	const struct ram_plan *p = &m->plan;
	struct machine_numa *n = calloc(1, sizeof(*n));
	unsigned i, k;

	m->numa = n;
	if (!n)
		return error_set(err, -ENOMEM, "out of memory for the machine");
	n->n = p->n;
	n->pci_node = PLATFORM_NO_NODE;
	for (i = 0; i < p->n; i++) {
		uint64_t at = p->part[i].offset, size = p->part[i].size, low = 0;

		if (at < map->low_ram)
			low = size < map->low_ram - at ? size : map->low_ram - at;
		add_range(n, at, low, i);
		add_range(n, map->high_base + (at + low - map->low_ram), size - low, i);
		for (k = 0; k < p->n; k++)
			n->distance[i * p->n + k] = node_distance((unsigned)p->part[i].node,
								  (unsigned)p->part[k].node);
		if (p->part[i].node == m->want.device_node)
			n->pci_node = i;
	}
	return 0;
}

/* Whole sockets to a node where there are enough of them, else whole cores. */
unsigned machine_memory_cpu_node(const struct machine_memory *m, const struct cpu_topology *t,
				 unsigned cpu)
{
	unsigned n = m->plan.n, core = cpu / t->threads;

	if (t->sockets >= n)
		return core / t->cores * n / t->sockets;
	return core * n / (t->sockets * t->cores);
}

/* ---- life ---- */

int machine_memory_look(struct machine_memory *m, const char *root, const struct memory_want *want,
			struct error *err)
{
	int ret;

	*m = (struct machine_memory){ .want = *want, .file = -1 };
	ret = decide(m, root, err);
	if (ret == 0)
		warn_of_size(m);
	/* Passed-through devices pin it, which is more than locked. */
	if (ret == 0 && want->ram->lock && !want->passthrough)
		ret = memlock_raise(want->size, err);
	return ret;
}

/* The kernel leaves shared huge pages out by default (core(5), coredump_filter). */
static void want_dump(struct machine_memory *m)
{
	FILE *f = fopen("/proc/self/coredump_filter", "we");

	m->plan.dump = true;
	if (!f || fputs("0x7f", f) < 0)
		log_warn("--core-dump: /proc/self/coredump_filter: %s", strerror(errno));
	if (f)
		fclose(f);
}

int machine_memory_open(struct machine_memory *m, const struct memmap *map, struct error *err)
{
	int ret = 0;

	if (m->want.core_dump)
		want_dump(m);
	if (m->plan.n > 1)
		ret = fill_numa(m, map, err);
	m->plan.low = map->low_ram;
	if (ret == 0)
		ret = ram_map(&m->plan, &m->ram, &m->file, err);
	if (ret < 0 || !m->plan.prefault)
		return ret;
	m->prefault = prefault_start(&m->plan, m->ram, false, err);
	return m->prefault ? 0 : err->code;
}

void machine_memory_stop(struct machine_memory *m)
{
	prefault_free(m->prefault);
	m->prefault = NULL;
}

/* Whether so much is in place that munmap() alone takes longer than some threads, which cost half a
 * millisecond. Large pages go at once. Those of a file stay until it is closed. */
static bool many_pages(const struct ram_plan *p)
{
	uint64_t many = p->thp ? MANY_LARGE : MANY_SMALL;
	unsigned long long size, resident = 0;
	char line[80];

	if (p->hugetlb || p->shared || p->size < many)
		return false;
	hostfs_line("", line, sizeof(line), "/proc/self/statm");
	return sscanf(line, "%llu %llu", &size, &resident) == 2 && resident * 4 * KiB >= many;
}

void machine_memory_close(struct machine_memory *m)
{
	machine_memory_stop(m);
	if (m->ram && many_pages(&m->plan))
		prefault_release(&m->plan, m->ram);
	if (m->ram)
		munmap(m->ram, m->plan.size);
	if (m->ram)
		cleanup_close(&m->file);
	free(m->numa);
}

/* ---- waiting for the prefault ---- */

/* Without waiting: a terminal that was stopped (Ctrl-S) must not keep us from a signal. */
static void show(const struct machine_memory *m, struct nbio *out, uint64_t since_ns)
{
	double done = (double)prefault_done(m->prefault), all = (double)m->plan.size;
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
static bool interrupted(int signal_fd)
{
	struct signalfd_siginfo si;

	while (read(signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		if (si.ssi_signo != SIGUSR1 && si.ssi_signo != SIGQUIT)
			return true;
	return false;
}

static int wait_prefault(struct machine_memory *m, int signal_fd, uint64_t since, struct error *err)
{
	struct pollfd fds[] = { { .fd = prefault_fd(m->prefault), .events = POLLIN },
				{ .fd = signal_fd, .events = POLLIN } };
	struct nbio out = nbio_shared(STDERR_FILENO, O_WRONLY);
	bool tty = isatty(STDERR_FILENO), shown = false;
	bool stop = false, restore = terminal_signals(true);

	while (!fds[0].revents && !stop) {
		poll(fds, 2, !tty ? -1 : shown ? SHOW_EVERY_MS : SHOW_AFTER_MS);
		stop = fds[1].revents && interrupted(signal_fd);
		if (tty && !fds[0].revents && !stop) {
			show(m, &out, since);
			shown = true;
		}
	}
	if (shown) {
		show(m, &out, since);
		nbio_write(&out, "\n", 1);
	}
	nbio_close(&out);
	if (restore)
		terminal_signals(false);
	if (!stop)
		return prefault_finish(m->prefault, err);
	log_run(); /* the signal is taken: nothing would end a wait for whoever reads stderr */
	return error_set(err, -EINTR,
			 "stopped by a signal with %llu of %llu MiB of memory in place",
			 (unsigned long long)(prefault_done(m->prefault) / MiB),
			 (unsigned long long)(m->plan.size / MiB));
}

static int lock(const struct machine_memory *m, struct error *err)
{
	/* What is not there yet is locked as it comes. */
	int ret = mlock2(m->ram, m->plan.size, m->plan.prefault ? 0 : MLOCK_ONFAULT);

	if (ret == 0)
		return 0;
	ret = -errno;
	if (ret == -ENOMEM && memlock_explain(m->plan.size, err) < 0)
		return ret;
	return error_set(err, ret, "--memory lock=on: %s", strerror(-ret));
}

int machine_memory_finish(struct machine_memory *m, int signal_fd, struct phase_clock *phases,
			  struct error *err)
{
	int ret = m->prefault ? wait_prefault(m, signal_fd, phases->begin, err) : 0;

	if (m->prefault) {
		phase_mark(phases, "wait");
		phase_span(phases, "prefault", prefault_ns(m->prefault));
		machine_memory_stop(m);
	}
	if (ret == 0 && m->want.ram->lock && !m->want.passthrough)
		ret = lock(m, err);
	return ret;
}
