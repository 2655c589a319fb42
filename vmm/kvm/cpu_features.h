/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Processor features by the names of /proc/cpuinfo, and where CPUID has them.
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

/* Feature number i; NULL behind the last. */
const struct cpu_feature *cpu_feature(unsigned i);
/* Its number, or -ENOENT. '-', '.' and '_' are one: sse4.1 is sse4_1. */
int cpu_feature_find(const char *name);
/* Names like that one, at most a handful, "a, b"; "" when none comes near. */
void cpu_feature_near(const char *name, char *buf, size_t size);

#endif
