/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of `minivmm bench passthrough`. Threads: main. */
#ifndef VMM_BENCH_BENCH_H
#define VMM_BENCH_BENCH_H

#include <jansson.h>
#include <stdio.h>

#include "vmm/bench/port.h"

/* image.c: the guest, an ELF with a PVH entry point. */
extern const char bench_guest[], bench_guest_end[];

/* host.c: drives the device by VFIO. -errno with *err set. */
int bench_host(const char *bdf, struct bench_results *, struct error *);

/* What was measured, and on which machine. */
struct bench_about {
	char bdf[16];
	uint32_t id, class_code;
	const char *driver;	/* our driver for the device; NULL: there is no driver */
	char hypervisor[13];	/* CPUID signature of the host's own hypervisor; "": not virtual */
	char machine[160];	/* vendor and product, from DMI */
	char clocksource[32];	/* the kernel's clock source */
	char interrupts[32];	/* how KVM injects interrupts: "avic=N"; "": not known */
	bool virtual, constant; /* the host is a virtual machine; the TSC has a constant rate */
	double hz;		/* measured rate of the TSC */
};

/* Sorts the samples. Quantiles are by nearest rank: p99 is the smallest sample that 99 % of the
 * samples do not exceed. */
struct bench_summary {
	uint32_t min, median, p99, max;
};
struct bench_summary bench_summarize(uint32_t *samples, uint32_t n);

/* table.c. root is the prefix of /sys: "" on a real host, a recorded tree in tests. */
void bench_look_around(const char *root, struct bench_about *);
void bench_print(FILE *, const struct bench_about *, struct bench_results *host,
		 struct bench_results *guest);
/* NULL: out of memory. */
json_t *bench_json(const struct bench_about *, struct bench_results *host,
		   struct bench_results *guest);

#endif
