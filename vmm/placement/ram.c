/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest RAM.
 *
 * hugetlb pages come from a memfd, so no mount is needed, or from an unnamed file on a hugetlbfs.
 * mmap() reserves the pages: if the host has too few, mmap() fails here, and there is no SIGBUS
 * later. The reservation counts the pages of the whole host. Whether a node has enough is checked
 * in ram_decide().
 *
 * Small pages are private and anonymous, unless other processes need guest RAM. Then they come from
 * a memfd, too. The kernel has a setting of its own for huge pages there (shmem_enabled), and by
 * default it uses none.
 */
#include "vmm/placement/ram.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/hostfs.h"
#include "vmm/core/text.h"

#define HUGE	  (2 * MiB)
#define SMALL	  (4 * KiB)
#define BYTES(n)  ((unsigned long long)(n))
#define IN_MIB(n) ((unsigned long long)((n) / MiB))

/* ---- what the host has ---- */

/* sysinfo(2), because it costs less than /proc/meminfo at every start. */
bool ram_exceeds_host(uint64_t size, char *text, size_t len)
{
	char guest[16], all[16];
	struct sysinfo si;
	uint64_t host;

	if (sysinfo(&si) < 0)
		return false;
	host = ((uint64_t)si.totalram + si.totalswap) * si.mem_unit;
	text_size(size, guest);
	text_size(host, all);
	snprintf(text, len,
		 "the guest has %s, but this host has only %s with its swap: when the guest uses "
		 "more, the kernel ends it or other processes; give it less",
		 guest, all);
	return size > host;
}

static void look_at(const char *root, int node, struct ram_node *n)
{
	n->huge_2m = node_huge(root, node, HUGE);
	n->huge_1g = node_huge(root, node, GiB);
	n->available = node_available(root, node);
}

#define SHMEM_ENABLED "/sys/kernel/mm/transparent_hugepage/shmem_enabled"

static bool thp_enabled(const char *root, bool shared)
{
	char text[64];

	hostfs_line(root, text, sizeof(text),
		    shared ? SHMEM_ENABLED : "/sys/kernel/mm/transparent_hugepage/enabled");
	return text[0] && !strstr(text, "[never]") && !strstr(text, "[deny]");
}

void ram_look(const char *root, const struct ram_want *w, struct ram_host *h)
{
	unsigned i;

	*h = (struct ram_host){ .nodes = node_masks(), .thp = thp_enabled(root, w->shared) };
	look_at(root, NUMA_ANY, &h->any);
	for (i = 0; i < NUMA_MAX_NODES; i++)
		if (w->nodes & h->nodes.memory & 1ull << i)
			look_at(root, (int)i, &h->node[i]);
}

int ram_path_page(const char *path, uint64_t *page, struct error *err)
{
	struct statfs s;

	if (statfs(path, &s) < 0)
		return error_set(err, -errno, "--memory hugepages=%s: %s", path, strerror(errno));
	if (s.f_type != HUGETLBFS_MAGIC)
		return error_set(
			err, -EINVAL,
			"--memory hugepages=%s: this is not a hugetlbfs: mount -t hugetlbfs -o "
			"pagesize=2M none %s, or use hugepages=2M, which needs no mount",
			path, path);
	*page = (uint64_t)s.f_bsize;
	return 0;
}

/* ---- the decision ---- */

static const struct ram_node *node_of(const struct ram_host *h, int node)
{
	return node < 0 ? &h->any : &h->node[node];
}

static struct node_huge huge_of(const struct ram_host *h, int node, uint64_t page)
{
	const struct node_huge none = { 0, 0 };

	if (page == HUGE)
		return node_of(h, node)->huge_2m;
	return page == GiB ? node_of(h, node)->huge_1g : none;
}

/* Gives each node an equal share, in multiples of `page`. The last node gets the rest. */
static void lay_out(const struct ram_want *w, uint64_t page, struct ram_plan *p)
{
	unsigned i, n = (unsigned)__builtin_popcountll(w->nodes), node = 0;
	uint64_t pages = w->size / page;

	p->page = page;
	p->low = w->size;
	p->n = n ? n : 1;
	for (i = 0; i < p->n; i++, node++) {
		uint64_t first = pages * i / p->n * page, end = pages * (i + 1) / p->n * page;

		while (n && !(w->nodes >> node & 1))
			node++;
		p->part[i] = (struct ram_part){ .offset = first,
						.size = (i + 1 == p->n ? w->size : end) - first,
						.node = n ? (int)node : NUMA_ANY };
	}
}

/* Writes the commands that make more pages of this size, for the parts that have too few. */
static void more_pages(const struct ram_plan *p, const struct ram_host *h, uint64_t page, char *buf,
		       size_t len)
{
	char file[128];
	unsigned i;

	buf[0] = '\0';
	for (i = 0; i < p->n; i++) {
		struct node_huge have = huge_of(h, p->part[i].node, page);
		uint64_t need = (p->part[i].size + page - 1) / page;
		size_t used = strlen(buf);

		if (have.free >= need)
			continue;
		node_huge_file(file, sizeof(file), p->part[i].node, page);
		snprintf(buf + used, len - used, "%secho %llu >%s", used ? "; " : "",
			 BYTES(have.total + need - have.free), file);
	}
}

static const char *size_name(uint64_t page)
{
	return page == GiB ? "1 GiB" : page == HUGE ? "2 MiB" : page == MiB ? "1 MiB" : "4 KiB";
}

/* The first part that has too few huge pages; NULL: all parts fit. */
static const struct ram_part *lacks_pages(const struct ram_plan *p, const struct ram_host *h)
{
	unsigned i;

	for (i = 0; i < p->n; i++)
		if (huge_of(h, p->part[i].node, p->page).free < p->part[i].size / p->page)
			return &p->part[i];
	return NULL;
}

static void where(int node, char *buf, size_t len)
{
	if (node < 0)
		snprintf(buf, len, "this host");
	else
		snprintf(buf, len, "node %d", node);
}

static int too_few_pages(const struct ram_plan *p, const struct ram_host *h,
			 const struct ram_part *part, struct error *err)
{
	char more[256], place[24];

	where(part->node, place, sizeof(place));
	more_pages(p, h, p->page, more, sizeof(more));
	return error_set(
		err, -ENOMEM,
		"--memory: %llu huge pages of %s are needed on %s, but only %llu are free: %s",
		BYTES(part->size / p->page), size_name(p->page), place,
		BYTES(huge_of(h, part->node, p->page).free), more);
}

static int check_shape(const struct ram_want *w, uint64_t page, struct error *err)
{
	unsigned n = (unsigned)__builtin_popcountll(w->nodes);

	if (w->size % page == 0 && w->size / page >= n)
		return 0;
	return error_set(
		err, -EINVAL,
		"--memory %lluM: pages of %s and %u node%s need a multiple of %lluM, and a "
		"page on each node",
		IN_MIB(w->size), size_name(page), n ? n : 1, n > 1 ? "s" : "", IN_MIB(page));
}

/* Tries a plan with hugetlb pages of one size, which RAM_AUTO or the user chose. */
static int try_huge(const struct ram_want *w, const struct ram_host *h, uint64_t page,
		    struct ram_plan *p, struct error *err)
{
	const struct ram_part *lack;
	int ret = check_shape(w, page, err);

	if (ret < 0)
		return ret;
	lay_out(w, page, p);
	p->hugetlb = true;
	/* A mount may have a reservation of its own (min_size=), which only mmap() sees. */
	lack = w->pages == RAM_PATH && !w->nodes ? NULL : lacks_pages(p, h);
	return lack ? too_few_pages(p, h, lack, err) : 0;
}

static bool needs_room(const struct ram_want *w)
{
	return w->prefault || w->pinned;
}

/* If a node is full, binding succeeds and the OOM killer comes later. So memory that is prefaulted
 * or pinned must be available now. */
static int check_room(const struct ram_want *w, const struct ram_host *h, struct ram_plan *p,
		      struct error *err)
{
	char place[24];
	unsigned i;

	for (i = 0; i < p->n; i++) {
		struct ram_part *part = &p->part[i];
		uint64_t room = node_of(h, part->node)->available;

		if (!needs_room(w) || part->size <= room)
			continue;
		where(part->node, place, sizeof(place));
		if (part->node < 0 || !w->nodes_auto)
			return error_set(err, -ENOMEM,
					 "--memory: %llu MiB are needed on %s, which has only %llu "
					 "MiB: free some memory, give the guest less%s",
					 IN_MIB(part->size), place, IN_MIB(room),
					 part->node < 0 ? "" : ", or use more nodes");
		part->preferred = true;
	}
	return w->nodes_auto && w->size > h->any.available && needs_room(w)
		       ? error_set(err, -ENOMEM,
				   "--memory: %llu MiB are needed, but this host has only %llu "
				   "MiB: free some memory, or give the guest less",
				   IN_MIB(w->size), IN_MIB(h->any.available))
		       : 0;
}

static int small_pages(const struct ram_want *w, const struct ram_host *h, bool thp,
		       struct ram_plan *p, struct error *err)
{
	uint64_t unit = w->size % HUGE ? MiB : HUGE;
	int ret = check_shape(w, unit, err);

	if (ret < 0)
		return ret;
	lay_out(w, unit, p);
	p->page = thp ? HUGE : SMALL;
	p->thp = thp;
	p->hugetlb = false;
	return check_room(w, h, p, err);
}

static int check_nodes(const struct ram_want *w, const struct ram_host *h, struct error *err)
{
	uint64_t missing = w->nodes & ~h->nodes.memory;
	unsigned node = missing ? (unsigned)__builtin_ctzll(missing) : 0;

	if (!missing)
		return 0;
	if (h->nodes.online >> node & 1)
		return error_set(err, -ENODEV,
				 "--memory nodes=: node %u has no memory for this process (see "
				 "/sys/devices/system/node/has_memory, and Mems_allowed_list in "
				 "/proc/self/status)",
				 node);
	return error_set(err, -ENODEV,
			 "--memory nodes=: this host has no node %u (cat "
			 "/sys/devices/system/node/online lists what it has)",
			 node);
}

static int decide(const struct ram_want *w, const struct ram_host *h, struct ram_plan *p,
		  struct error *err)
{
	switch (w->pages) {
	case RAM_AUTO:
		if (try_huge(w, h, GiB, p, NULL) == 0 || try_huge(w, h, HUGE, p, NULL) == 0)
			return 0;
		return small_pages(w, h, h->thp, p, err);
	case RAM_PLAIN:
		return small_pages(w, h, h->thp, p, err);
	case RAM_4K:
		return small_pages(w, h, false, p, err);
	case RAM_2M:
		return try_huge(w, h, HUGE, p, err);
	case RAM_1G:
		return try_huge(w, h, GiB, p, err);
	case RAM_PATH:
		p->path = w->path;
		return try_huge(w, h, w->path_page, p, err);
	}
	return -EINVAL;
}

int ram_decide(const struct ram_want *asked, const struct ram_host *h, struct ram_plan *p,
	       struct error *err)
{
	struct ram_want w = *asked;
	int ret;

	/* The node of a device may have no memory, or memory that a cpuset forbids us. */
	if (w.nodes_auto)
		w.nodes &= h->nodes.memory;
	*p = (struct ram_plan){ .size = w.size,
				.prefault = w.prefault,
				.shared = w.shared,
				.chosen = w.pages == RAM_AUTO };
	ret = check_nodes(&w, h, err);
	return ret < 0 ? ret : decide(&w, h, p, err);
}

void ram_describe(const struct ram_plan *p, const struct ram_host *h, char *buf, size_t len)
{
	uint64_t larger = p->hugetlb ? GiB : HUGE;
	char more[256] = "";
	unsigned i;
	int n;

	n = snprintf(buf, len, "memory: %llu MiB in %s%s pages", IN_MIB(p->size),
		     p->thp ? "transparent huge pages or " : "",
		     p->thp ? "4 KiB" : size_name(p->page));
	for (i = 0; i < p->n && p->part[i].node >= 0 && (size_t)n < len; i++)
		n += snprintf(buf + n, len - (size_t)n, "%s%d%s",
			      i		 ? ","
			      : p->n > 1 ? " on nodes "
					 : " on node ",
			      p->part[i].node,
			      p->part[i].preferred ? " as far as it goes, then others" : "");
	if (p->shared && (size_t)n < len)
		n += snprintf(buf + n, len - (size_t)n, ", shared with other processes");
	if (p->shared && p->page == SMALL && (size_t)n < len)
		n += snprintf(buf + n, len - (size_t)n,
			      ", which is slower: use hugepages=2M, or `echo advise "
			      ">" SHMEM_ENABLED "` for transparent huge pages");
	if (p->chosen && p->page < GiB && p->size % larger == 0)
		more_pages(p, h, larger, more, sizeof(more));
	if (more[0] && (size_t)n < len)
		snprintf(buf + n, len - (size_t)n, "; for pages of %s: %s", size_name(larger),
			 more);
}

/* ---- the mapping ---- */

static int open_path(const char *dir, struct error *err)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
	char name[256];

	/* The hugetlbfs of older kernels does not support O_TMPFILE. */
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
		snprintf(name, sizeof(name), "%s/minivmm.XXXXXX", dir);
		fd = mkostemp(name, O_CLOEXEC);
		if (fd >= 0)
			unlink(name);
	}
	return fd < 0 ? error_set(err, -errno, "--memory hugepages=%s: %s", dir, strerror(errno))
		      : fd;
}

static int open_backing(const struct ram_plan *p, struct error *err)
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd;

	if (p->path)
		return open_path(p->path, err);
	if (p->hugetlb)
		flags |= MFD_HUGETLB | (p->page == GiB ? MFD_HUGE_1GB : MFD_HUGE_2MB);
	fd = memfd_create("minivmm-ram", flags);
	return fd < 0 ? error_set(err, -errno, "--memory: a memory file of %s pages: %s%s",
				  size_name(p->page), strerror(errno),
				  errno == ENOENT
					  ? ": the processor does not support pages of that size"
					  : "")
		      : fd;
}

/* A process that has the file must not be able to make it smaller: our next access would be a
 * SIGBUS. The hugetlbfs of a mount has no seals. */
static int open_file(const struct ram_plan *p, struct error *err)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	int fd = open_backing(p, err), ret;

	if (fd < 0)
		return fd;
	if (ftruncate(fd, (off_t)p->size) == 0 && (p->path || fcntl(fd, F_ADD_SEALS, seals) == 0))
		return fd;
	ret = error_set(err, -errno, "--memory: %s", strerror(errno));
	close(fd);
	return ret;
}

static int map_hugetlb(const struct ram_plan *p, void **ram, int fd, struct error *err)
{
	*ram = mmap(NULL, p->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (*ram != MAP_FAILED)
		return 0;
	return error_set(err, -errno,
			 "--memory: %llu huge pages of %s cannot be reserved: %s: other processes "
			 "have taken them: grep HugePages /proc/meminfo",
			 BYTES(p->size / p->page), size_name(p->page), strerror(errno));
}

/* Without prefault, the first and the last huge page of low memory stay small pages: a start
 * touches only a few bytes there, the kernel's and the tables'. Clearing 4 MiB for them takes
 * longer than all the rest of it. They must be excluded by name, because a host may use huge pages
 * wherever it is not told otherwise. */
static void advise_pages(const struct ram_plan *p, char *at)
{
	uint64_t skip = p->prefault ? 0 : HUGE;

	if (skip || !p->thp)
		madvise(at, p->size, MADV_NOHUGEPAGE);
	if (!p->thp)
		return;
	madvise(at + skip, p->low - 2 * skip, MADV_HUGEPAGE);
	if (p->low < p->size)
		madvise(at + p->low, p->size - p->low, MADV_HUGEPAGE);
}

/* With a file (not -1), its pages take the place of the anonymous ones. */
static int map_small(const struct ram_plan *p, void **ram, int fd, struct error *err)
{
	/* Without prefault, do not reserve swap: the guest may never use all of its memory. */
	int reserve = p->prefault && fd < 0 ? 0 : MAP_NORESERVE;
	uint64_t slack;
	char *at;

	at = mmap(NULL, p->size + HUGE, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | reserve, -1, 0);
	if (at == MAP_FAILED)
		return error_set(err, -errno, "--memory %llu MiB: %s", IN_MIB(p->size),
				 strerror(errno));
	/* Align to a huge page: unmap what is too much at both ends. */
	slack = -(uintptr_t)at & (HUGE - 1);
	if (slack)
		munmap(at, slack);
	if (slack < HUGE)
		munmap(at + slack + p->size, HUGE - slack);
	*ram = at += slack;
	if (fd >= 0 &&
	    mmap(at, p->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
		return error_set(err, -errno, "--memory: %s", strerror(errno));
	advise_pages(p, at);
	return 0;
}

static int bind_parts(const struct ram_plan *p, void *ram, struct error *err)
{
	unsigned i;
	int ret;

	for (i = 0; i < p->n; i++) {
		const struct ram_part *part = &p->part[i];

		if (part->node < 0)
			continue;
		ret = node_bind((char *)ram + part->offset, part->size, (unsigned)part->node,
				part->preferred);
		if (ret < 0)
			return error_set(err, ret,
					 "--memory: memory cannot be bound to node %d: %s",
					 part->node, strerror(-ret));
	}
	return 0;
}

int ram_map(const struct ram_plan *p, void **ram, int *file, struct error *err)
{
	scoped_fd fd = p->hugetlb || p->shared ? open_file(p, err) : -1;
	int ret = fd;

	*ram = NULL;
	*file = -1;
	if (fd >= 0 || !(p->hugetlb || p->shared))
		ret = p->hugetlb ? map_hugetlb(p, ram, fd, err) : map_small(p, ram, fd, err);

	/* A core dump must not contain the guest's passwords and keys. */
	if (ret == 0 && !p->dump && madvise(*ram, p->size, MADV_DONTDUMP) < 0)
		ret = error_set(err, -errno, "--memory: MADV_DONTDUMP: %s", strerror(errno));
	if (ret == 0)
		ret = bind_parts(p, *ram, err);
	if (ret < 0 && *ram && *ram != MAP_FAILED)
		munmap(*ram, p->size);
	if (ret < 0)
		*ram = NULL;
	if (ret < 0 || !p->shared)
		return ret;
	*file = fd;
	fd = -1; /* the caller's now */
	return 0;
}
