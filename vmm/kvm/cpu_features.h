/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Processor features: their names as in /proc/cpuinfo, and the CPUID bit of each.
 *
 * Threads: any; const data only.
 */
#ifndef VMM_KVM_CPU_FEATURES_H
#define VMM_KVM_CPU_FEATURES_H

#include <stddef.h>
#include <stdint.h>

#define CPU_FEATURES_MAX 192u

enum cpuid_reg { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };

struct cpu_feature {
	const char *name;
	uint32_t leaf;
	uint8_t sub, reg, bit; /* reg: enum cpuid_reg */
};

/* Feature number i; NULL if i is past the last one. */
const struct cpu_feature *cpu_feature(unsigned i);
/* The feature's number, or -ENOENT. '-', '.' and '_' are equal here: sse4.1 finds sse4_1. */
int cpu_feature_find(const char *name);
/* Writes up to six names that are similar to `name` to buf, as "a, b"; "" if no name is similar. */
void cpu_feature_near(const char *name, char *buf, size_t size);

#endif
