/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's CPUID on an Intel and on an AMD host. KVM_GET_SUPPORTED_CPUID returns their leaves,
 * as far as they matter. The test replaces ioctl() and plays KVM. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <cmocka.h>

#include "vmm/core/addr.h"
#include "vmm/kvm/cpuid.h"
#include "vmm/kvm/kvm.h"

#define DEV  1000
#define VCPU 1001

static const struct kvm_cpuid_entry2 *host;
static unsigned n_host;
static struct kvm_cpuid_entry2 guest[256];
static unsigned n_guest;

int ioctl(int fd, unsigned long req, ...)
{
	struct kvm_cpuid2 *c;
	va_list ap;

	va_start(ap, req);
	c = va_arg(ap, struct kvm_cpuid2 *);
	va_end(ap);
	if (fd == DEV && req == KVM_GET_SUPPORTED_CPUID) {
		memcpy(c->entries, host, n_host * sizeof(*host));
		c->nent = n_host;
	} else if (fd == VCPU && req == KVM_SET_CPUID2) {
		memcpy(guest, c->entries, c->nent * sizeof(*guest));
		n_guest = c->nent;
	} else {
		errno = ENOTTY;
		return -1;
	}
	return 0;
}

#define ROW(leaf, sub, a, b, c, d)                                                     \
	{                                                                              \
		.function = leaf, .index = sub, .eax = a, .ebx = b, .ecx = c, .edx = d \
	}

/* An Ice Lake server with two threads per core. 64 ids share the L3, and there are 32 core ids. */
static const struct kvm_cpuid_entry2 intel[] = {
	ROW(0, 0, 0x1f, 0x756e6547, 0x6c65746e, 0x49656e69),
	ROW(1, 0, 0x606a6, 0x00400800, 0xfefa3203, 0x1f8bfbff),
	ROW(4, 0, 0x7c004121, 0x02c0003f, 0x3f, 0),
	ROW(4, 1, 0x7c004122, 0x01c0003f, 0x3f, 0),
	ROW(4, 2, 0x7c004143, 0x04c0003f, 0x3ff, 0),
	ROW(4, 3, 0x7c0fc163, 0x02c0003f, 0xffff, 0x4),
	ROW(4, 4, 0, 0, 0, 0),
	ROW(7, 0, 2, 0xf1bf27eb, 0x00405f4e, 0xbc000400),
	ROW(0xb, 0, 1, 2, 0x100, 5),
	ROW(0xb, 1, 6, 64, 0x201, 5),
	ROW(0x1f, 0, 1, 2, 0x100, 5),
	ROW(0x1f, 1, 6, 64, 0x201, 5),
	ROW(0x40000000, 0, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d),
	ROW(0x40000001, 0, 0x01007efb, 0, 0, 0),
	ROW(0x80000000, 0, 0x80000008, 0, 0, 0),
	ROW(0x80000001, 0, 0, 0, 0x121, 0x2c100800),
	ROW(0x80000008, 0, 0x3039, 0, 0, 0),
};

/* A Zen 4: 16 ids share an L3, and the package has 128 threads. */
static const struct kvm_cpuid_entry2 amd[] = {
	ROW(0, 0, 0x10, 0x68747541, 0x444d4163, 0x69746e65),
	ROW(1, 0, 0xa10f11, 0x05800800, 0xfef83203, 0x178bfbff),
	ROW(7, 0, 1, 0xf1bf97a9, 0x00405fce, 0x10000010),
	ROW(0xb, 0, 1, 2, 0x100, 5),
	ROW(0x40000000, 0, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d),
	ROW(0x40000001, 0, 0x01007efb, 0, 0, 0),
	ROW(0x80000000, 0, 0x80000026, 0, 0, 0),
	ROW(0x80000001, 0, 0xa10f11, 0, 0x00c003f3, 0x2fd3fbff),
	ROW(0x80000008, 0, 0x3034, 0x1110f20d, 0x707f, 0),
	ROW(0x8000001d, 0, 0x00004121, 0x01c0003f, 0x3f, 0),
	ROW(0x8000001d, 1, 0x00004122, 0x01c0003f, 0x3f, 0),
	ROW(0x8000001d, 2, 0x00004143, 0x01c0003f, 0x7ff, 2),
	ROW(0x8000001d, 3, 0x0003c163, 0x03c0003f, 0x7fff, 1),
	ROW(0x8000001d, 4, 0, 0, 0, 0),
	ROW(0x8000001e, 0, 0, 0, 0, 0),
	ROW(0x80000026, 0, 1, 2, 0x100, 5),
};

static struct cpu_model model;
static struct error err;

/* Stores the CPUID of vCPU i in `guest`. */
static int build(bool is_amd, unsigned sockets, unsigned cores, unsigned threads, unsigned i)
{
	struct kvm k = { .dev = DEV, .tsc_deadline = true };
	struct cpu_topology topo = { sockets, cores, threads };
	struct cpuid_table *t;
	int ret;

	host = is_amd ? amd : intel;
	n_host = is_amd ? ARRAY_SIZE(amd) : ARRAY_SIZE(intel);
	err = (struct error){ 0 };
	t = cpuid_new(&k);
	assert_non_null(t);
	cpuid_ask(t);
	ret = cpuid_make(t, &topo, &model, &err);
	if (ret < 0) {
		cpuid_free(t);
		return ret;
	}
	assert_int_equal(cpuid_is_intel(t), !is_amd);
	ret = cpuid_apply(t, VCPU, i);
	cpuid_free(t);
	return ret;
}

static const struct kvm_cpuid_entry2 *look(uint32_t leaf, uint32_t sub)
{
	unsigned i;

	for (i = 0; i < n_guest; i++)
		if (guest[i].function == leaf && guest[i].index == sub)
			return &guest[i];
	return NULL;
}

static const struct kvm_cpuid_entry2 *row(uint32_t leaf, uint32_t sub)
{
	const struct kvm_cpuid_entry2 *e = look(leaf, sub);

	if (!e)
		fail_msg("no leaf 0x%x.%u", leaf, sub);
	return e;
}

static uint32_t bits(uint32_t reg, unsigned hi, unsigned lo)
{
	return reg >> lo & (uint32_t)((1ull << (hi - lo + 1)) - 1);
}

/* Leaves 0xB and 0x1F must agree: widths of the ids, counts, types, and the id itself. */
static void check_levels(uint32_t leaf, uint32_t smt_bits, uint32_t smt, uint32_t core_bits,
			 uint32_t cores, uint32_t id)
{
	assert_int_equal(row(leaf, 0)->eax, smt_bits);
	assert_int_equal(row(leaf, 0)->ebx, smt);
	assert_int_equal(row(leaf, 0)->ecx, 0x100);
	assert_int_equal(row(leaf, 1)->eax, core_bits);
	assert_int_equal(row(leaf, 1)->ebx, cores);
	assert_int_equal(row(leaf, 1)->ecx, 0x201);
	assert_int_equal(row(leaf, 2)->ebx, 0);
	assert_int_equal(bits(row(leaf, 2)->ecx, 15, 8), 0);
	assert_int_equal(row(leaf, 0)->edx, id);
	assert_int_equal(row(leaf, 2)->edx, id);
	assert_true(row(leaf, 0)->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
}

/* Two sockets of three cores of two threads; vCPU 11 is the last thread of all: socket 1, core 2,
 * thread 1, with two bits for the core. */
static void test_intel_topology(void **state)
{
	(void)state;
	model = (struct cpu_model){ 0 };
	assert_int_equal(build(false, 2, 3, 2, 11), 0);
	assert_int_equal(bits(row(1, 0)->ebx, 31, 24), 0xd);
	assert_int_equal(bits(row(1, 0)->ebx, 23, 16), 8);
	assert_int_equal(bits(row(1, 0)->edx, 28, 28), 1);
	check_levels(0xb, 1, 2, 3, 6, 0xd);
	check_levels(0x1f, 1, 2, 3, 6, 0xd);
	/* L1 and L2 belong to a core, L3 to the package; three cores need four ids. */
	assert_int_equal(bits(row(4, 0)->eax, 25, 14), 1);
	assert_int_equal(bits(row(4, 2)->eax, 25, 14), 1);
	assert_int_equal(bits(row(4, 3)->eax, 25, 14), 7);
	assert_int_equal(bits(row(4, 0)->eax, 31, 26), 3);
	assert_int_equal(bits(row(4, 3)->eax, 31, 26), 3);
	assert_int_equal(row(4, 4)->eax, 0);
	/* The kinds and sizes of the caches are those of the host. */
	assert_int_equal(bits(row(4, 3)->eax, 13, 0), bits(0x7c0fc163, 13, 0));
	assert_int_equal(row(4, 3)->ecx, 0xffff);
}

static void test_intel_one(void **state)
{
	(void)state;
	model = (struct cpu_model){ 0 };
	assert_int_equal(build(false, 1, 1, 1, 0), 0);
	assert_int_equal(bits(row(1, 0)->ebx, 31, 16), 1);
	assert_int_equal(bits(row(1, 0)->edx, 28, 28), 0);
	check_levels(0xb, 0, 1, 0, 1, 0);
	assert_int_equal(bits(row(4, 3)->eax, 31, 14), 0);
}

/* Fields that are too small for the counts. */
static void test_intel_many(void **state)
{
	(void)state;
	model = (struct cpu_model){ 0 };
	assert_int_equal(build(false, 1, 200, 1, 199), 0);
	assert_int_equal(bits(row(1, 0)->ebx, 23, 16), 255);
	check_levels(0xb, 0, 1, 8, 200, 199);
	assert_int_equal(bits(row(4, 3)->eax, 25, 14), 255);
	assert_int_equal(bits(row(4, 3)->eax, 31, 26), 63);
}

static void test_amd_topology(void **state)
{
	(void)state;
	model = (struct cpu_model){ 0 };
	assert_int_equal(build(true, 2, 3, 2, 11), 0);
	/* On AMD this is the number of threads, not of ids. */
	assert_int_equal(bits(row(1, 0)->ebx, 23, 16), 6);
	assert_int_equal(bits(row(1, 0)->ebx, 31, 24), 0xd);
	assert_int_equal(bits(row(1, 0)->edx, 28, 28), 1);
	assert_int_equal(bits(row(0x80000001, 0)->ecx, 1, 1), 1); /* CmpLegacy */
	assert_int_equal(bits(row(0x80000008, 0)->ecx, 7, 0), 5);
	assert_int_equal(bits(row(0x80000008, 0)->ecx, 15, 12), 3);
	assert_int_equal(row(0x80000008, 0)->ebx, 0x1110f20d);
	check_levels(0xb, 1, 2, 3, 6, 0xd);
	assert_null(look(0x1f, 0));
	assert_null(look(0x80000026, 0));
	assert_int_equal(bits(row(0x8000001d, 0)->eax, 25, 14), 1);
	assert_int_equal(bits(row(0x8000001d, 2)->eax, 25, 14), 1);
	assert_int_equal(bits(row(0x8000001d, 3)->eax, 25, 14), 7);
	assert_int_equal(bits(row(0x8000001d, 3)->eax, 31, 26), 0);
	assert_int_equal(row(0x8000001e, 0)->eax, 0xd);
	assert_int_equal(row(0x8000001e, 0)->ebx, 0x102); /* two threads per core, core 2 */
	assert_int_equal(row(0x8000001e, 0)->ecx, 1);	  /* one node per socket, node 1 */
}

static void test_amd_one(void **state)
{
	(void)state;
	model = (struct cpu_model){ 0 };
	assert_int_equal(build(true, 1, 1, 1, 0), 0);
	assert_int_equal(bits(row(1, 0)->edx, 28, 28), 0);
	assert_int_equal(bits(row(0x80000001, 0)->ecx, 1, 1), 0);
	assert_int_equal(bits(row(0x80000008, 0)->ecx, 7, 0), 0);
	assert_int_equal(row(0x8000001e, 0)->ebx, 0);
}

/* APIC ids must agree with leaf 0xB: all are different, and the shifts give thread, core and
 * socket. */
static void test_apic_ids(void **state)
{
	static const struct cpu_topology topos[] = { { 1, 1, 1 }, { 1, 7, 1 }, { 3, 5, 2 },
						     { 2, 4, 4 }, { 4, 1, 2 }, { 1, 64, 2 } };
	unsigned k, i;

	(void)state;
	model = (struct cpu_model){ 0 };
	for (k = 0; k < ARRAY_SIZE(topos); k++) {
		const struct cpu_topology *t = &topos[k];

		for (i = 0; i < t->sockets * t->cores * t->threads; i++) {
			uint32_t id = cpu_apic_id(t, i), smt, package;

			assert_int_equal(build(k & 1, t->sockets, t->cores, t->threads, i), 0);
			smt = row(0xb, 0)->eax;
			package = row(0xb, 1)->eax;
			assert_int_equal(row(0xb, 0)->edx, id);
			assert_int_equal(id & ((1u << smt) - 1), i % t->threads);
			assert_int_equal((id & ((1u << package) - 1)) >> smt,
					 i / t->threads % t->cores);
			assert_int_equal(id >> package, i / (t->threads * t->cores));
		}
	}
}

static void test_hypervisor(void **state)
{
	(void)state;
	model = (struct cpu_model){ 0 };
	assert_int_equal(build(true, 1, 2, 1, 0), 0);
	assert_int_equal(row(0x40000000, 0)->ebx, 0x4b4d564b); /* "KVMK" */
	assert_int_equal(row(0x40000001, 0)->edx, 0);
	assert_int_equal(bits(row(1, 0)->ecx, 31, 31), 1);
	assert_int_equal(bits(row(1, 0)->ecx, 21, 21), 1); /* x2APIC */
	assert_int_equal(bits(row(1, 0)->ecx, 24, 24), 1); /* TSC deadline */
	model.dedicated = true;
	assert_int_equal(build(true, 1, 2, 1, 0), 0);
	assert_int_equal(row(0x40000001, 0)->edx, 1); /* KVM_HINTS_REALTIME */
	model.hv_time = true;
	assert_int_equal(build(true, 1, 2, 1, 0), 0);
	assert_int_equal(row(0x40000000, 0)->ebx, 0x7263694d); /* "Micr" */
	assert_int_equal(row(0x40000100, 0)->ebx, 0x4b4d564b);
	assert_int_equal(row(0x40000101, 0)->edx, 1);
	model.hide_kvm = true;
	assert_int_equal(build(true, 1, 2, 1, 0), 0);
	assert_null(look(0x40000100, 0));
	model.hv_time = false;
	assert_int_equal(build(true, 1, 2, 1, 0), 0);
	assert_null(look(0x40000000, 0));
	assert_int_equal(bits(row(1, 0)->ecx, 31, 31), 1);
}

static void want(const char *name, int how)
{
	int i = cpu_feature_find(name);

	assert_true(i >= 0);
	model.feature[i] = (signed char)how;
}

static void test_features(void **state)
{
	(void)state;
	model = (struct cpu_model){ 0 };
	want("avx2", -1);
	want("sse4.2", -1);
	want("hypervisor", -1);
	want("smep", 1);
	assert_int_equal(build(false, 1, 1, 1, 0), 0);
	assert_int_equal(row(7, 0)->ebx, 0xf1bf27eb & ~(1u << 5));
	assert_int_equal(bits(row(1, 0)->ecx, 20, 20), 0);
	assert_int_equal(bits(row(1, 0)->ecx, 31, 31), 0);
	/* KVM emulates the TSC deadline timer, but does not report it. */
	want("tsc_deadline_timer", 1);
	assert_int_equal(build(false, 1, 1, 1, 0), 0);
	/* A feature that this host does not have, and one in a leaf that it does not have. */
	want("sse4a", 1);
	assert_int_equal(build(false, 1, 1, 1, 0), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "+sse4a"));
	want("sse4a", 0);
	want("xsaves", 1);
	assert_int_equal(build(false, 1, 1, 1, 0), -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "+xsaves"));
	want("xsaves", -1);
	assert_int_equal(build(false, 1, 1, 1, 0), 0);
}

/* The table itself: no name and no bit occurs twice (except for names of the same feature), and all
 * names are found. */
static void test_table(void **state)
{
	const struct cpu_feature *f, *g;
	char buf[100];
	unsigned i, j, twins = 0;

	(void)state;
	for (i = 0; (f = cpu_feature(i)); i++) {
		assert_int_equal(cpu_feature_find(f->name), i);
		assert_true(f->bit < 32 && f->reg < 4);
		for (j = 0; j < i; j++) {
			g = cpu_feature(j);
			twins += f->leaf == g->leaf && f->sub == g->sub && f->reg == g->reg &&
				 f->bit == g->bit;
		}
	}
	assert_true(i >= 100);
	assert_int_equal(twins, 1); /* QEMU calls nonstop_tsc invtsc */
	assert_null(cpu_feature(i + 1));
	assert_int_equal(cpu_feature_find("sse4-1"), cpu_feature_find("sse4_1"));
	assert_int_equal(cpu_feature_find(""), -ENOENT);
	assert_int_equal(cpu_feature_find("avx22"), -ENOENT);
	cpu_feature_near("avx22", buf, sizeof(buf));
	assert_string_equal(buf, "avx, avx2");
	cpu_feature_near("vnni", buf, sizeof(buf));
	assert_string_equal(buf, "avx512_vnni, avx_vnni");
	cpu_feature_near("xyzzyxyzzyxyzzyxyzzyxyzzyxyzzyxyzzyxyzzy", buf, sizeof(buf));
	assert_string_equal(buf, "");
	cpu_feature_near("avx512", buf, 10);
	assert_int_equal(strlen(buf), 9);
}

static void test_phys_bits(void **state)
{
	(void)state;
	model = (struct cpu_model){ .max_phys_bits = 42 };
	assert_int_equal(build(true, 1, 1, 1, 0), 0);
	assert_int_equal(row(0x80000008, 0)->eax, 0x302a);
	model.max_phys_bits = 60;
	assert_int_equal(build(true, 1, 1, 1, 0), 0);
	assert_int_equal(row(0x80000008, 0)->eax, 0x3034);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_intel_topology), cmocka_unit_test(test_intel_one),
		cmocka_unit_test(test_intel_many),     cmocka_unit_test(test_amd_topology),
		cmocka_unit_test(test_amd_one),	       cmocka_unit_test(test_apic_ids),
		cmocka_unit_test(test_hypervisor),     cmocka_unit_test(test_features),
		cmocka_unit_test(test_table),	       cmocka_unit_test(test_phys_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
