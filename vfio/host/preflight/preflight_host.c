/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checks the host: KVM, the IOMMU, VFIO, the limit of locked memory, huge pages, processors.
 *
 * Everything is read from /proc and /sys, without special rights. There is no file for interrupt
 * remapping, but in /proc/interrupts the names of the interrupt chips of remapped interrupts begin
 * with IR-.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/hostfs.h"
#include "vfio/host/preflight/preflight.h"
#include "vfio/host/preflight/preflight_parts.h"
#include "vmm/core/addr.h"
#include "vmm/core/text.h"
#include "vmm/placement/ram.h"

#define GUEST_MEMORY GiB /* the default of --memory */

static bool starts_with(const char *s, const char *with)
{
	return strncmp(s, with, strlen(with)) == 0;
}

/* True if this word is among `words`, which are separated by blanks. */
static bool has_word(const char *words, const char *word)
{
	size_t n = strlen(word);
	const char *at;

	for (at = strstr(words, word); at; at = strstr(at + 1, word))
		if ((at == words || isspace((unsigned char)at[-1])) &&
		    (!at[n] || isspace((unsigned char)at[n])))
			return true;
	return false;
}

/* ---- the processor and KVM ---- */

struct cpu {
	bool amd, virt, guest; /* guest: this host is itself a virtual machine */
	unsigned phys_bits;
};

static int cpu_line(void *arg, const char *line)
{
	struct cpu *c = arg;

	if (starts_with(line, "vendor_id"))
		c->amd = strstr(line, "AMD") || strstr(line, "Hygon");
	if (starts_with(line, "flags")) {
		c->virt = has_word(line, "vmx") || has_word(line, "svm");
		c->guest = has_word(line, "hypervisor");
	}
	if (starts_with(line, "address sizes"))
		sscanf(line, "address sizes : %u", &c->phys_bits);
	return line[0] == '\0'; /* an empty line ends the first processor: stop here */
}

static struct cpu read_cpu(const char *root)
{
	struct cpu c = { 0 };

	hostfs_each_line(root, cpu_line, &c, "/proc/cpuinfo");
	return c;
}

unsigned preflight_cpu_bits(const char *root)
{
	return read_cpu(root).phys_bits;
}

struct kvm_module {
	const char *name, *what, *paging, *posted, *posted_name;
};

static const struct kvm_module kvm_modules[] = {
	{ "kvm_intel", "Intel VT-x", "ept", "enable_apicv", "APICv" },
	{ "kvm_amd", "AMD-V", "npt", "avic", "AVIC" },
};

/* The value of a module's parameter: 1 or 0. -1: there is no such parameter. */
static int parameter(const char *root, const char *module, const char *name)
{
	char buf[8];

	if (hostfs_line(root, buf, sizeof(buf), "/sys/module/%s/parameters/%s", module, name) < 0)
		return -1;
	return buf[0] == 'Y' || buf[0] == '1';
}

static void check_kvm_features(struct preflight *p)
{
	const struct kvm_module *m = NULL;
	char text[80];
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(kvm_modules); i++)
		if (hostfs_exists(p->root, "/sys/module/%s", kvm_modules[i].name))
			m = &kvm_modules[i];
	if (!m) {
		preflight_say(p, PREFLIGHT_KVM_OK, "/dev/kvm");
		return;
	}
	if (parameter(p->root, m->name, m->paging) == 0) {
		preflight_say(p, PREFLIGHT_KVM_SLOW, m->what, m->name, m->paging);
		return;
	}
	snprintf(text, sizeof(text), "%s with nested paging, %s %s", m->what,
		 parameter(p->root, m->name, m->posted) == 1 ? "with" : "without", m->posted_name);
	preflight_say(p, PREFLIGHT_KVM_OK, text);
}

static void check_kvm(struct preflight *p, const struct cpu *c)
{
	const char *user = getenv("USER");
	int ret = hostfs_access(p->root, "/dev/kvm");

	if (ret == 0)
		check_kvm_features(p);
	else if (ret != -ENOENT)
		preflight_say(p, PREFLIGHT_KVM_ACCESS, strerror(-ret),
			      user && *user ? user : "USER");
	else if (c->virt)
		preflight_say(p, PREFLIGHT_KVM_NOT_LOADED, c->amd ? "kvm_amd" : "kvm_intel");
	else
		preflight_say(p, PREFLIGHT_KVM_NO_VIRT);
}

/* ---- IOMMU ---- */

struct iommu_units {
	const char *root, *what;
	unsigned bits;	   /* the smallest address width of all units */
	bool no_remapping; /* at least one unit cannot remap interrupts */
};

static unsigned long long hex_file(const char *root, const char *unit, const char *file)
{
	char buf[64];

	if (hostfs_line(root, buf, sizeof(buf), "/sys/class/iommu/%s/%s", unit, file) < 0)
		return 0;
	return strtoull(buf, NULL, 16);
}

/* VT-d 3.4, 11.4.2 and 11.4.3: maximum guest address width, and depths of page tables. */
static unsigned intel_bits(unsigned long long cap)
{
	unsigned width = (cap >> 16 & 0x3f) + 1, tables = 39;

	if (cap >> 8 & 1 << 3)
		tables = 57;
	else if (cap >> 8 & 1 << 2)
		tables = 48;
	return width < tables ? width : tables;
}

/* AMD IOMMU specification, MMIO offset 0x30: HATS is the number of page table levels minus four. */
static unsigned amd_bits(unsigned long long features)
{
	static const unsigned bits[] = { 48, 57, 64, 48 };

	return bits[features >> 10 & 3];
}

static int add_unit(void *arg, const char *name)
{
	struct iommu_units *u = arg;
	unsigned bits = 0;

	if (hostfs_exists(u->root, "/sys/class/iommu/%s/intel-iommu", name)) {
		u->what = "Intel VT-d";
		bits = intel_bits(hex_file(u->root, name, "intel-iommu/cap"));
		u->no_remapping |= !(hex_file(u->root, name, "intel-iommu/ecap") >> 3 & 1);
	} else if (hostfs_exists(u->root, "/sys/class/iommu/%s/amd-iommu", name)) {
		u->what = "AMD-Vi";
		bits = amd_bits(hex_file(u->root, name, "amd-iommu/features"));
	}
	if (bits && (!u->bits || bits < u->bits))
		u->bits = bits;
	return 0;
}

/* The kernel uses no IOMMU. Reports why: what the hardware has, and what disables it. */
static void explain_no_iommu(struct preflight *p, const struct cpu *c)
{
	static const char *const off[] = { "iommu=off", "intel_iommu=off", "amd_iommu=off" };
	bool dmar = hostfs_exists(p->root, "/sys/firmware/acpi/tables/DMAR");
	bool ivrs = hostfs_exists(p->root, "/sys/firmware/acpi/tables/IVRS");
	char cmdline[2048];
	unsigned i;

	hostfs_line(p->root, cmdline, sizeof(cmdline), "/proc/cmdline");
	for (i = 0; (dmar || ivrs) && i < ARRAY_SIZE(off); i++) {
		if (has_word(cmdline, off[i])) {
			preflight_say(p, PREFLIGHT_IOMMU_ARGUMENT, off[i]);
			return;
		}
	}
	if (dmar && !strstr(cmdline, "intel_iommu=on"))
		preflight_say(p, PREFLIGHT_IOMMU_INTEL);
	else if (dmar || ivrs)
		preflight_say(p, PREFLIGHT_IOMMU_FAILED);
	else if (c->guest)
		preflight_say(p, PREFLIGHT_IOMMU_VIRTUAL);
	else
		preflight_say(p, c->amd ? PREFLIGHT_IOMMU_NO_IVRS : PREFLIGHT_IOMMU_NO_DMAR);
}

struct chips {
	bool any, remapped;
};

static int interrupt_line(void *arg, const char *line)
{
	struct chips *c = arg;

	c->remapped |= strstr(line, " IR-") != NULL;
	c->any |= strstr(line, "IO-APIC") || strstr(line, "PCI-MSI");
	return c->remapped;
}

static void check_remapping(struct preflight *p, const struct iommu_units *u)
{
	struct chips c = { 0 };

	hostfs_each_line(p->root, interrupt_line, &c, "/proc/interrupts");
	if (c.remapped)
		preflight_say(p, PREFLIGHT_REMAPPING_OK);
	else if (!c.any && !u->no_remapping)
		return; /* not known */
	else if (parameter(p->root, "vfio_iommu_type1", "allow_unsafe_interrupts") == 1)
		preflight_say(p, PREFLIGHT_REMAPPING_UNSAFE);
	else
		preflight_say(p, PREFLIGHT_REMAPPING_OFF);
}

static int count_one(void *n, const char *name)
{
	(void)name;
	++*(unsigned *)n;
	return 0;
}

static void check_iommu(struct preflight *p, const struct cpu *c)
{
	struct iommu_units u = { .root = p->root, .what = "an IOMMU" };
	char count[24], width[40] = "";
	unsigned groups = 0;

	hostfs_each(p->root, count_one, &groups, "/sys/kernel/iommu_groups");
	p->has_iommu = groups > 0;
	if (!p->has_iommu) {
		explain_no_iommu(p, c);
		return;
	}
	hostfs_each(p->root, add_unit, &u, "/sys/class/iommu");
	p->iommu_bits = u.bits;
	snprintf(count, sizeof(count), "%u group%s", groups, groups == 1 ? "" : "s");
	if (u.bits)
		snprintf(width, sizeof(width), ", %u address bits", u.bits);
	preflight_say(p, PREFLIGHT_IOMMU_OK, u.what, count, width);
	check_remapping(p, &u);
}

/* ---- VFIO ---- */

static int names_module(void *file, const char *line)
{
	const char *at = strstr(line, file);

	/* In modules.dep the module itself stands before the colon; its dependencies follow. */
	return at && at < line + strcspn(line, ":");
}

static bool is_available(const char *root, const char *kernel, const char *file)
{
	char ko[48];

	snprintf(ko, sizeof(ko), "/%s.ko", file);
	return hostfs_each_line(root, names_module, ko, "/lib/modules/%s/modules.dep", kernel) > 0;
}

static void check_vfio(struct preflight *p)
{
	/* The name of the module's file, and of its folder in /sys. */
	static const char *const modules[][2] = { { "vfio-pci", "vfio_pci" },
						  { "vfio_iommu_type1", "vfio_iommu_type1" } };
	char kernel[80], unloaded[48] = "", missing[48] = "";
	unsigned i;
	int ret;

	hostfs_line(p->root, kernel, sizeof(kernel), "/proc/sys/kernel/osrelease");
	for (i = 0; i < ARRAY_SIZE(modules); i++) {
		char *list = is_available(p->root, kernel, modules[i][0]) ? unloaded : missing;

		if (!hostfs_exists(p->root, "/sys/module/%s", modules[i][1]))
			sprintf(list + strlen(list), "%s%s", list[0] ? " " : "", modules[i][0]);
	}
	ret = hostfs_access(p->root, "/dev/vfio/vfio");
	if (missing[0])
		preflight_say(p, PREFLIGHT_VFIO_MISSING, missing, kernel);
	if (unloaded[0])
		preflight_say(p, PREFLIGHT_VFIO_NOT_LOADED, unloaded);
	else if (!missing[0] && ret < 0)
		preflight_say(p, PREFLIGHT_VFIO_ACCESS, strerror(-ret));
	else if (!missing[0])
		preflight_say(p, PREFLIGHT_VFIO_OK);
}

/* ---- memory ---- */

struct lock {
	unsigned long long caps, hard;
	bool unlimited;
};

static int status_line(void *arg, const char *line)
{
	return sscanf(line, "CapEff: %llx", &((struct lock *)arg)->caps) == 1;
}

static int limits_line(void *arg, const char *line)
{
	struct lock *l = arg;
	char hard[24];

	if (sscanf(line, "Max locked memory %*s %23s", hard) != 1)
		return 0;
	l->unlimited = strcmp(hard, "unlimited") == 0;
	l->hard = strtoull(hard, NULL, 10);
	return 1;
}

/* A process with CAP_IPC_LOCK is exempt from the limit. CAP_SYS_RESOURCE may raise the hard limit,
 * and anybody may raise the soft limit up to the hard one. So only the hard limit is checked. */
static void check_memlock(struct preflight *p)
{
	struct lock l = { .unlimited = true };
	char size[16], text[64], shell[16];

	hostfs_each_line(p->root, limits_line, &l, "/proc/self/limits");
	hostfs_each_line(p->root, status_line, &l, "/proc/self/status");
	if (l.unlimited || (l.caps & (1ull << 14 | 1ull << 24))) {
		preflight_say(p, PREFLIGHT_MEMLOCK_OK, "no limit");
		return;
	}
	text_size(l.hard, size);
	snprintf(text, sizeof(text), "up to %s of guest memory", size);
	snprintf(shell, sizeof(shell), "%d", (int)getppid());
	if (l.hard >= GUEST_MEMORY)
		preflight_say(p, PREFLIGHT_MEMLOCK_OK, text);
	else
		preflight_say(p, PREFLIGHT_MEMLOCK_LOW, size, shell);
}

/* As `run` decides it for a guest with a device. */
static void check_memory(struct preflight *p)
{
	const struct ram_want want = {
		.size = GUEST_MEMORY, .pages = RAM_AUTO, .pinned = true, .nodes_auto = true
	};
	struct ram_host host;
	struct ram_plan plan;

	ram_look(p->root, &want, &host);
	if (ram_decide(&want, &host, &plan, NULL) < 0)
		preflight_say(p, PREFLIGHT_MEMORY_LOW);
}

struct huge {
	struct preflight *p;
	const char *node;
	char text[160];
	bool any;
};

static int add_size(void *arg, const char *folder)
{
	struct huge *h = arg;
	unsigned long long kib = 0, total, left;
	size_t n = strlen(h->text);
	char size[16];

	if (sscanf(folder, "hugepages-%llukB", &kib) != 1)
		return 0;
	total = (unsigned long long)hostfs_number(
		h->p->root, 0, NODES "/%s/hugepages/%s/nr_hugepages", h->node, folder);
	left = (unsigned long long)hostfs_number(
		h->p->root, 0, NODES "/%s/hugepages/%s/free_hugepages", h->node, folder);
	if (total == 0)
		return 0;
	text_size(kib * KiB, size);
	snprintf(h->text + n, sizeof(h->text) - n, "%s%llu of %llu x %s free", n ? ", " : "", left,
		 total, size);
	return 0;
}

static int add_node(void *arg, const char *node)
{
	struct huge *h = arg;

	if (!starts_with(node, "node") || !isdigit((unsigned char)node[4]))
		return 0;
	h->node = node;
	h->text[0] = '\0';
	hostfs_each(h->p->root, add_size, h, NODES "/%s/hugepages", node);
	if (h->text[0])
		preflight_say(h->p, PREFLIGHT_HUGEPAGES_OK, node, h->text);
	h->any |= h->text[0] != '\0';
	return 0;
}

static void check_hugepages(struct preflight *p)
{
	struct huge h = { .p = p };

	hostfs_each(p->root, add_node, &h, NODES);
	p->has_hugepages = h.any;
	if (!h.any)
		preflight_say(p, PREFLIGHT_HUGEPAGES_NONE);
}

/* ---- processors ---- */

static void check_cpus(struct preflight *p)
{
	char isolated[120], quiet[120];

	hostfs_line(p->root, isolated, sizeof(isolated), "/sys/devices/system/cpu/isolated");
	hostfs_line(p->root, quiet, sizeof(quiet), "/sys/devices/system/cpu/nohz_full");
	if (!isolated[0])
		preflight_say(p, PREFLIGHT_CPUS_SHARED);
	else if (!isdigit((unsigned char)quiet[0])) /* "(null)": no CPU */
		preflight_say(p, PREFLIGHT_CPUS_TICK, isolated);
	else
		preflight_say(p, PREFLIGHT_CPUS_OK, isolated, quiet);
}

void preflight_host(struct preflight *p)
{
	struct cpu c = read_cpu(p->root);

	p->bdf[0] = '\0';
	check_kvm(p, &c);
	if (p->no_vfio)
		return;
	check_iommu(p, &c);
	check_vfio(p);
	check_memory(p);
	check_memlock(p);
	check_hugepages(p);
	check_cpus(p);
}
