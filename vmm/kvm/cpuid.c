/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPUID.
 *
 * The table starts as the result of KVM_GET_SUPPORTED_CPUID: the guest sees the host's processor
 * without the features that KVM does not support. We then add:
 * - the topology (Intel SDM vol. 2A, CPUID leaves 1, 4, 0xB, 0x1F; AMD APM vol. 3 appendix E,
 *   8000_0001, 8000_0008, 8000_001D, 8000_001E). It must agree with the APIC ids; otherwise
 *   schedulers see cores that do not exist;
 * - the TSC deadline timer, which KVM emulates but does not report;
 * - Hyper-V's leaves (Hyper-V TLFS, chapter 2), if asked for. KVM's own leaves then follow them.
 *
 * The table is made once. For each vCPU only the ids of the processor are patched.
 */
#include "vmm/kvm/cpuid.h"

#include <assert.h>
#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/core/addr.h"
#include "vmm/kvm/kvm.h"

#define CPUID_MAX_ENTRIES 256u
#define HV_BASE		  0x40000000u
#define KVM_BASE_WITH_HV  0x40000100u

/* struct kvm_cpuid2 with space for its entries. */
struct cpuid_list {
	uint32_t nent, padding;
	struct kvm_cpuid_entry2 entries[CPUID_MAX_ENTRIES];
};
static_assert(offsetof(struct cpuid_list, entries) == sizeof(struct kvm_cpuid2), "UAPI layout");

struct cpuid_table {
	const struct kvm *kvm;
	int ret; /* the result of cpuid_ask() */
	struct cpu_topology topo;
	struct cpuid_list c;
};

/* The number of bits that n different values need. */
static unsigned bits_for(unsigned n)
{
	return n <= 1 ? 0 : 32 - (unsigned)__builtin_clz(n - 1);
}

static unsigned thread_bits(const struct cpu_topology *t)
{
	return bits_for(t->threads);
}

static unsigned package_bits(const struct cpu_topology *t)
{
	return thread_bits(t) + bits_for(t->cores);
}

uint32_t cpu_apic_id(const struct cpu_topology *t, unsigned i)
{
	unsigned thread = i % t->threads, core = i / t->threads % t->cores;
	unsigned socket = i / (t->threads * t->cores);

	return socket << package_bits(t) | core << thread_bits(t) | thread;
}

static struct kvm_cpuid_entry2 *find(struct cpuid_table *t, uint32_t leaf, uint32_t sub)
{
	unsigned i;

	for (i = 0; i < t->c.nent; i++)
		if (t->c.entries[i].function == leaf && t->c.entries[i].index == sub)
			return &t->c.entries[i];
	return NULL;
}

static void drop(struct cpuid_table *t, uint32_t first, uint32_t last)
{
	unsigned i, n = 0;

	for (i = 0; i < t->c.nent; i++)
		if (t->c.entries[i].function < first || t->c.entries[i].function > last)
			t->c.entries[n++] = t->c.entries[i];
	t->c.nent = n;
}

static void add(struct cpuid_table *t, const struct kvm_cpuid_entry2 *e)
{
	if (t->c.nent < CPUID_MAX_ENTRIES)
		t->c.entries[t->c.nent++] = *e;
}

bool cpuid_is_intel(const struct cpuid_table *t)
{
	struct kvm_cpuid_entry2 *e = find((struct cpuid_table *)(uintptr_t)t, 0, 0);

	return e && e->ebx == 0x756e6547; /* "Genu" */
}

uint32_t cpuid_signature(const struct cpuid_table *t)
{
	struct kvm_cpuid_entry2 *e = find((struct cpuid_table *)(uintptr_t)t, 1, 0);

	return e ? e->eax : 0x600;
}

unsigned cpuid_phys_bits(const struct cpuid_table *t)
{
	struct kvm_cpuid_entry2 *e = find((struct cpuid_table *)(uintptr_t)t, 0x80000008, 0);

	return e ? e->eax & 0xff : 36;
}

static void put_bits(uint32_t *reg, unsigned lo, unsigned n, uint32_t v)
{
	uint32_t mask = ((1u << n) - 1) << lo;

	*reg = (*reg & ~mask) | (v << lo & mask);
}

/* Leaf 1: HTT, hypervisor, TSC deadline, and the size of the package in an 8-bit field. Intel
 * counts APIC ids there, AMD counts threads. */
static void set_leaf1(struct cpuid_table *t, const struct kvm *k, const struct cpu_model *m)
{
	struct kvm_cpuid_entry2 *e = find(t, 1, 0);
	unsigned per_package = t->topo.cores * t->topo.threads;
	unsigned count = cpuid_is_intel(t) ? 1u << package_bits(&t->topo) : per_package;

	if (!e)
		return;
	put_bits(&e->ebx, 16, 8, count > 255 ? 255 : count);
	put_bits(&e->edx, 28, 1, per_package > 1);
	put_bits(&e->ecx, 31, 1, !m->hide_hypervisor);
	put_bits(&e->ecx, 24, 1, k->tsc_deadline);
	put_bits(&e->ecx, 27, 1, 0); /* OSXSAVE: KVM derives it from CR4 */
}

/* The cache leaves (4 on Intel, 8000001D on AMD) say which threads share a cache. In our topology
 * the caches of level 1 and 2 belong to a core, and the others to the package. */
static void set_caches(struct cpuid_table *t, uint32_t leaf)
{
	unsigned core_ids = 1u << thread_bits(&t->topo), package_ids = 1u << package_bits(&t->topo);
	unsigned i;

	for (i = 0; i < t->c.nent; i++) {
		struct kvm_cpuid_entry2 *e = &t->c.entries[i];
		unsigned level = e->eax >> 5 & 7;

		if (e->function != leaf || (e->eax & 0x1f) == 0)
			continue;
		put_bits(&e->eax, 14, 12, (level >= 3 ? package_ids : core_ids) - 1);
		if (leaf == 4)
			put_bits(&e->eax, 26, 6, (1u << bits_for(t->topo.cores)) - 1);
	}
}

/* Leaf 0xB and its successor 0x1F have three subleaves: threads, cores, end of the list. EDX (the
 * x2APIC id) is patched for each vCPU. */
static void set_levels(struct cpuid_table *t, uint32_t leaf)
{
	const struct cpu_topology *p = &t->topo;
	struct kvm_cpuid_entry2 e = { .function = leaf, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX };

	e.eax = thread_bits(p);
	e.ebx = p->threads;
	e.ecx = 1 << 8;
	add(t, &e);
	e.index = 1;
	e.eax = package_bits(p);
	e.ebx = p->threads * p->cores;
	e.ecx = 2 << 8 | 1;
	add(t, &e);
	e.index = 2;
	e.eax = e.ebx = 0;
	e.ecx = 2;
	add(t, &e);
}

static void set_extended_topology(struct cpuid_table *t)
{
	struct kvm_cpuid_entry2 *max = find(t, 0, 0);
	bool has_1f = cpuid_is_intel(t) && max && max->eax >= 0x1f;

	drop(t, 0xb, 0xb);
	drop(t, 0x1f, 0x1f);
	set_levels(t, 0xb);
	if (has_1f)
		set_levels(t, 0x1f);
	max = find(t, 0, 0);
	if (max && max->eax < 0xb)
		max->eax = 0xb;
}

static void set_amd_topology(struct cpuid_table *t)
{
	unsigned per_package = t->topo.cores * t->topo.threads;
	struct kvm_cpuid_entry2 *e = find(t, 0x80000001, 0);

	if (e)
		put_bits(&e->ecx, 1, 1, per_package > 1); /* CmpLegacy */
	e = find(t, 0x80000008, 0);
	if (e) {
		put_bits(&e->ecx, 0, 8, per_package - 1);
		put_bits(&e->ecx, 12, 4, package_bits(&t->topo));
	}
	set_caches(t, 0x8000001d);
	/* AMD's successor of leaf 0xB. KVM's copy shows the topology of the host. */
	drop(t, 0x80000026, 0x80000026);
}

static void cap_phys_bits(struct cpuid_table *t, unsigned max)
{
	struct kvm_cpuid_entry2 *e = find(t, 0x80000008, 0);

	if (e && max && (e->eax & 0xff) > max)
		put_bits(&e->eax, 0, 8, max);
}

static bool wants_hv(const struct cpu_model *m)
{
	return m->hv_time || m->hv_relaxed || m->hv_vapic || m->hv_spinlocks_set ||
	       m->hv_vendor_id[0];
}

/* Moves KVM's leaves from 0x40000000 to 0x40000100, because Windows looks for Hyper-V only at
 * 0x40000000. */
static void move_kvm_leaves(struct cpuid_table *t)
{
	unsigned i;

	for (i = 0; i < t->c.nent; i++) {
		struct kvm_cpuid_entry2 *e = &t->c.entries[i];

		if (e->function < HV_BASE || e->function >= KVM_BASE_WITH_HV)
			continue;
		if (e->function == HV_BASE)
			e->eax = KVM_BASE_WITH_HV + 1;
		e->function += KVM_BASE_WITH_HV - HV_BASE;
	}
}

static void add_hv_leaves(struct cpuid_table *t, const struct cpu_model *m)
{
	struct kvm_cpuid_entry2 e = { .function = HV_BASE, .eax = HV_BASE + 5 };
	char vendor[13] = "Microsoft Hv";

	if (m->hv_vendor_id[0]) {
		memset(vendor, 0, sizeof(vendor));
		memcpy(vendor, m->hv_vendor_id, strnlen(m->hv_vendor_id, 12));
	}
	memcpy(&e.ebx, vendor, 4);
	memcpy(&e.ecx, vendor + 4, 4);
	memcpy(&e.edx, vendor + 8, 4);
	add(t, &e);
	/* "Hv#1": the interface follows the TLFS. */
	e = (struct kvm_cpuid_entry2){ .function = HV_BASE + 1, .eax = 0x31237648 };
	add(t, &e);
	e = (struct kvm_cpuid_entry2){ .function = HV_BASE + 2, .eax = 0x4563, .ebx = 0xa0000 };
	add(t, &e);
	/* TLFS 2.4.4: the MSRs for hypercalls and the VP index are always there; the others only if
	 * asked for. */
	e = (struct kvm_cpuid_entry2){ .function = HV_BASE + 3, .eax = 1u << 5 | 1u << 6 };
	e.eax |= (m->hv_time ? 1u << 1 | 1u << 9 : 0) | (m->hv_vapic ? 1u << 4 : 0);
	add(t, &e);
	/* TLFS 2.4.5: recommendations. */
	e = (struct kvm_cpuid_entry2){ .function = HV_BASE + 4 };
	e.eax = (m->hv_vapic ? 1u << 3 : 0) | (m->hv_relaxed ? 1u << 5 : 0);
	e.ebx = m->hv_spinlocks_set ? m->hv_spinlocks : UINT32_MAX;
	add(t, &e);
	e = (struct kvm_cpuid_entry2){ .function = HV_BASE + 5, .eax = UINT32_MAX };
	add(t, &e);
}

static void set_hypervisor(struct cpuid_table *t, const struct cpu_model *m)
{
	if (m->hide_kvm || m->hide_hypervisor)
		drop(t, HV_BASE, HV_BASE + 0xffff);
	if (!wants_hv(m) || m->hide_hypervisor)
		return;
	move_kvm_leaves(t);
	add_hv_leaves(t, m);
}

/* KVM's feature leaf, EDX bit 0 (kernel document virt/kvm/x86/cpuid.rst) tells the guest that its
 * vCPUs are not preempted, so it may spin instead of yielding. */
static void set_hints(struct cpuid_table *t, const struct cpu_model *m)
{
	struct kvm_cpuid_entry2 *e = find(t, HV_BASE + 1, 0);

	if (e && m->dedicated)
		put_bits(&e->edx, 0, 1, 1);
}

static int set_feature(struct cpuid_table *t, const struct cpu_feature *f, int want,
		       struct error *err)
{
	struct kvm_cpuid_entry2 *e = find(t, f->leaf, f->sub), none = { 0 };
	uint32_t *reg[4];

	e = e ? e : &none;
	reg[CPUID_EAX] = &e->eax;
	reg[CPUID_EBX] = &e->ebx;
	reg[CPUID_ECX] = &e->ecx;
	reg[CPUID_EDX] = &e->edx;
	if (want > 0 && !(*reg[f->reg] >> f->bit & 1))
		return error_set(
			err, -EOPNOTSUPP,
			"--cpu +%s: this host's processor or KVM does not support it: leave it out",
			f->name);
	if (want < 0)
		put_bits(reg[f->reg], f->bit, 1, 0);
	return 0;
}

/* Must be the last step: the user may also require or remove features that we set ourselves. */
static int set_features(struct cpuid_table *t, const struct cpu_model *m, struct error *err)
{
	unsigned i;
	int ret = 0;

	for (i = 0; cpu_feature(i) && ret == 0; i++)
		if (m->feature[i])
			ret = set_feature(t, cpu_feature(i), m->feature[i], err);
	return ret;
}

struct cpuid_table *cpuid_new(const struct kvm *k)
{
	struct cpuid_table *t = calloc(1, sizeof(*t));

	if (t)
		t->kvm = k;
	return t;
}

void cpuid_ask(void *arg)
{
	struct cpuid_table *t = arg;

	t->c.nent = CPUID_MAX_ENTRIES;
	t->ret = ioctl(t->kvm->dev, KVM_GET_SUPPORTED_CPUID, &t->c) < 0 ? -errno : 0;
}

int cpuid_make(struct cpuid_table *t, const struct cpu_topology *topo,
	       const struct cpu_model *model, struct error *err)
{
	if (t->ret < 0)
		return error_set(err, t->ret, "KVM_GET_SUPPORTED_CPUID: %s", strerror(-t->ret));
	t->topo = *topo;
	set_leaf1(t, t->kvm, model);
	set_extended_topology(t);
	if (cpuid_is_intel(t))
		set_caches(t, 4);
	else
		set_amd_topology(t);
	cap_phys_bits(t, model->max_phys_bits);
	set_hints(t, model);
	set_hypervisor(t, model);
	return set_features(t, model, err);
}

void cpuid_free(struct cpuid_table *t)
{
	free(t);
}

static void patch(const struct cpu_topology *p, struct kvm_cpuid_entry2 *e, unsigned i)
{
	uint32_t id = cpu_apic_id(p, i);

	switch (e->function) {
	case 1:
		put_bits(&e->ebx, 24, 8, id);
		break;
	case 0xb:
	case 0x1f:
		e->edx = id;
		break;
	case 0x8000001e:
		e->eax = id;
		e->ebx = (p->threads - 1) << 8 | (i / p->threads % p->cores & 0xff);
		e->ecx = i / (p->threads * p->cores) & 0xff;
		break;
	}
}

int cpuid_apply(struct cpuid_table *t, int vcpu_fd, unsigned i)
{
	unsigned n;

	for (n = 0; n < t->c.nent; n++)
		patch(&t->topo, &t->c.entries[n], i);
	return ioctl(vcpu_fd, KVM_SET_CPUID2, &t->c) < 0 ? -errno : 0;
}
