/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of features: Intel SDM vol. 2A, CPUID; AMD APM vol. 3, appendix E. The names are
 * Linux's. Flags that Linux invents ("rep_good", mitigations) are not here, because CPUID has no
 * bit for them.
 *
 * Threads: any.
 */
#include "vmm/kvm/cpu_features.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "vmm/core/addr.h"

/* clang-format off: one feature a line is easier to check against the manuals. */
static const struct cpu_feature table[] = {
#define F(leaf, sub, reg, bit, name)              \
	{                                         \
		name, leaf, sub, CPUID_##reg, bit \
	}
	F(1, 0, EDX, 0, "fpu"),
	F(1, 0, EDX, 1, "vme"),
	F(1, 0, EDX, 2, "de"),
	F(1, 0, EDX, 3, "pse"),
	F(1, 0, EDX, 4, "tsc"),
	F(1, 0, EDX, 5, "msr"),
	F(1, 0, EDX, 6, "pae"),
	F(1, 0, EDX, 7, "mce"),
	F(1, 0, EDX, 8, "cx8"),
	F(1, 0, EDX, 9, "apic"),
	F(1, 0, EDX, 11, "sep"),
	F(1, 0, EDX, 12, "mtrr"),
	F(1, 0, EDX, 13, "pge"),
	F(1, 0, EDX, 14, "mca"),
	F(1, 0, EDX, 15, "cmov"),
	F(1, 0, EDX, 16, "pat"),
	F(1, 0, EDX, 17, "pse36"),
	F(1, 0, EDX, 19, "clflush"),
	F(1, 0, EDX, 23, "mmx"),
	F(1, 0, EDX, 24, "fxsr"),
	F(1, 0, EDX, 25, "sse"),
	F(1, 0, EDX, 26, "sse2"),
	F(1, 0, EDX, 28, "ht"),
	F(1, 0, ECX, 0, "pni"),
	F(1, 0, ECX, 1, "pclmulqdq"),
	F(1, 0, ECX, 5, "vmx"),
	F(1, 0, ECX, 9, "ssse3"),
	F(1, 0, ECX, 12, "fma"),
	F(1, 0, ECX, 13, "cx16"),
	F(1, 0, ECX, 17, "pcid"),
	F(1, 0, ECX, 19, "sse4_1"),
	F(1, 0, ECX, 20, "sse4_2"),
	F(1, 0, ECX, 21, "x2apic"),
	F(1, 0, ECX, 22, "movbe"),
	F(1, 0, ECX, 23, "popcnt"),
	F(1, 0, ECX, 24, "tsc_deadline_timer"),
	F(1, 0, ECX, 25, "aes"),
	F(1, 0, ECX, 26, "xsave"),
	F(1, 0, ECX, 28, "avx"),
	F(1, 0, ECX, 29, "f16c"),
	F(1, 0, ECX, 30, "rdrand"),
	F(1, 0, ECX, 31, "hypervisor"),
	F(6, 0, EAX, 2, "arat"),
	F(7, 0, EBX, 0, "fsgsbase"),
	F(7, 0, EBX, 1, "tsc_adjust"),
	F(7, 0, EBX, 3, "bmi1"),
	F(7, 0, EBX, 4, "hle"),
	F(7, 0, EBX, 5, "avx2"),
	F(7, 0, EBX, 7, "smep"),
	F(7, 0, EBX, 8, "bmi2"),
	F(7, 0, EBX, 9, "erms"),
	F(7, 0, EBX, 10, "invpcid"),
	F(7, 0, EBX, 11, "rtm"),
	F(7, 0, EBX, 16, "avx512f"),
	F(7, 0, EBX, 17, "avx512dq"),
	F(7, 0, EBX, 18, "rdseed"),
	F(7, 0, EBX, 19, "adx"),
	F(7, 0, EBX, 20, "smap"),
	F(7, 0, EBX, 21, "avx512ifma"),
	F(7, 0, EBX, 23, "clflushopt"),
	F(7, 0, EBX, 24, "clwb"),
	F(7, 0, EBX, 28, "avx512cd"),
	F(7, 0, EBX, 29, "sha_ni"),
	F(7, 0, EBX, 30, "avx512bw"),
	F(7, 0, EBX, 31, "avx512vl"),
	F(7, 0, ECX, 1, "avx512vbmi"),
	F(7, 0, ECX, 2, "umip"),
	F(7, 0, ECX, 3, "pku"),
	F(7, 0, ECX, 5, "waitpkg"),
	F(7, 0, ECX, 6, "avx512_vbmi2"),
	F(7, 0, ECX, 8, "gfni"),
	F(7, 0, ECX, 9, "vaes"),
	F(7, 0, ECX, 10, "vpclmulqdq"),
	F(7, 0, ECX, 11, "avx512_vnni"),
	F(7, 0, ECX, 12, "avx512_bitalg"),
	F(7, 0, ECX, 14, "avx512_vpopcntdq"),
	F(7, 0, ECX, 16, "la57"),
	F(7, 0, ECX, 22, "rdpid"),
	F(7, 0, ECX, 24, "bus_lock_detect"),
	F(7, 0, ECX, 25, "cldemote"),
	F(7, 0, ECX, 27, "movdiri"),
	F(7, 0, ECX, 28, "movdir64b"),
	F(7, 0, EDX, 4, "fsrm"),
	F(7, 0, EDX, 8, "avx512_vp2intersect"),
	F(7, 0, EDX, 10, "md_clear"),
	F(7, 0, EDX, 14, "serialize"),
	F(7, 0, EDX, 16, "tsxldtrk"),
	F(7, 0, EDX, 22, "amx_bf16"),
	F(7, 0, EDX, 23, "avx512_fp16"),
	F(7, 0, EDX, 24, "amx_tile"),
	F(7, 0, EDX, 25, "amx_int8"),
	F(7, 0, EDX, 26, "spec_ctrl"),
	F(7, 0, EDX, 27, "intel_stibp"),
	F(7, 0, EDX, 28, "flush_l1d"),
	F(7, 0, EDX, 29, "arch_capabilities"),
	F(7, 0, EDX, 31, "ssbd"),
	F(7, 1, EAX, 4, "avx_vnni"),
	F(7, 1, EAX, 5, "avx512_bf16"),
	F(7, 1, EAX, 10, "fzrm"),
	F(7, 1, EAX, 11, "fsrs"),
	F(7, 1, EAX, 12, "fsrc"),
	F(7, 1, EAX, 21, "amx_fp16"),
	F(7, 1, EAX, 23, "avx_ifma"),
	F(7, 1, EAX, 26, "lam"),
	F(0xd, 1, EAX, 0, "xsaveopt"),
	F(0xd, 1, EAX, 1, "xsavec"),
	F(0xd, 1, EAX, 2, "xgetbv1"),
	F(0xd, 1, EAX, 3, "xsaves"),
	F(0x80000001, 0, EDX, 11, "syscall"),
	F(0x80000001, 0, EDX, 20, "nx"),
	F(0x80000001, 0, EDX, 22, "mmxext"),
	F(0x80000001, 0, EDX, 25, "fxsr_opt"),
	F(0x80000001, 0, EDX, 26, "pdpe1gb"),
	F(0x80000001, 0, EDX, 27, "rdtscp"),
	F(0x80000001, 0, EDX, 29, "lm"),
	F(0x80000001, 0, ECX, 0, "lahf_lm"),
	F(0x80000001, 0, ECX, 1, "cmp_legacy"),
	F(0x80000001, 0, ECX, 2, "svm"),
	F(0x80000001, 0, ECX, 4, "cr8_legacy"),
	F(0x80000001, 0, ECX, 5, "abm"),
	F(0x80000001, 0, ECX, 6, "sse4a"),
	F(0x80000001, 0, ECX, 7, "misalignsse"),
	F(0x80000001, 0, ECX, 8, "3dnowprefetch"),
	F(0x80000001, 0, ECX, 9, "osvw"),
	F(0x80000001, 0, ECX, 11, "xop"),
	F(0x80000001, 0, ECX, 16, "fma4"),
	F(0x80000001, 0, ECX, 21, "tbm"),
	F(0x80000001, 0, ECX, 22, "topoext"),
	F(0x80000001, 0, ECX, 23, "perfctr_core"),
	F(0x80000007, 0, EDX, 8, "nonstop_tsc"),
	F(0x80000007, 0, EDX, 8, "invtsc"),
	F(0x80000008, 0, EBX, 0, "clzero"),
	F(0x80000008, 0, EBX, 2, "xsaveerptr"),
	F(0x80000008, 0, EBX, 9, "wbnoinvd"),
	F(0x80000008, 0, EBX, 12, "amd_ibpb"),
	F(0x80000008, 0, EBX, 14, "amd_ibrs"),
	F(0x80000008, 0, EBX, 15, "amd_stibp"),
	F(0x80000008, 0, EBX, 24, "amd_ssbd"),
	F(0x80000008, 0, EBX, 25, "virt_ssbd"),
	F(0x8000000a, 0, EDX, 0, "npt"),
	F(0x8000000a, 0, EDX, 3, "nrip_save"),
#undef F
};
/* clang-format on */
static_assert(ARRAY_SIZE(table) <= CPU_FEATURES_MAX, "cpu_model has a place for each");

const struct cpu_feature *cpu_feature(unsigned i)
{
	return i < ARRAY_SIZE(table) ? &table[i] : NULL;
}

static char plain(char c)
{
	return c == '-' || c == '.' ? '_' : c;
}

static bool same(const char *a, const char *b)
{
	for (; *a && plain(*a) == plain(*b); a++, b++)
		;
	return plain(*a) == plain(*b);
}

int cpu_feature_find(const char *name)
{
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(table); i++)
		if (same(table[i].name, name))
			return (int)i;
	return -ENOENT;
}

/* The number of edits (insert, delete, replace) that turn a into b. If b is too long for the row,
 * its length is returned, so it never counts as similar. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[24], i, j, n = (unsigned)strlen(b);

	if (n >= ARRAY_SIZE(row))
		return n;
	for (j = 0; j <= n; j++)
		row[j] = j;
	for (i = 0; a[i]; i++) {
		unsigned diagonal = row[0];

		row[0] = i + 1;
		for (j = 1; j <= n; j++) {
			unsigned best = diagonal + (plain(a[i]) != plain(b[j - 1]));

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[n];
}

void cpu_feature_near(const char *name, char *buf, size_t size)
{
	unsigned i, found = 0, far = strlen(name) < 5 ? 1 : 2;
	size_t n = 0;

	buf[0] = '\0';
	for (i = 0; i < ARRAY_SIZE(table) && found < 6 && n < size; i++) {
		const char *t = table[i].name;

		if (distance(name, t) > far && (strlen(name) < 3 || !strstr(t, name)))
			continue;
		n += (size_t)snprintf(buf + n, size - n, "%s%s", found++ ? ", " : "", t);
	}
}
