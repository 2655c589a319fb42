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

/* What the figures are of. */
struct bench_about {
	char bdf[16];
	uint32_t id, class_code;
	const char *driver;	/* of ours; NULL: none */
	char hypervisor[13];	/* CPUID's signature of the one underneath; "": none */
	char machine[160];	/* who made it, as it says */
	char clocksource[32];	/* the kernel's */
	char interrupts[32];	/* how KVM injects: "avic=N"; "" when it does not say */
	bool virtual, constant; /* a hypervisor is underneath; the TSC has one rate */
	double hz;		/* of the TSC, measured */
};

/* Sorts the samples. Nearest rank: the smallest that `part` of them are not above. */
struct bench_summary {
	uint32_t min, median, p99, max;
};
struct bench_summary bench_summarize(uint32_t *samples, uint32_t n);

/* table.c. root is what stands before /sys: "" but in tests. */
void bench_look_around(const char *root, struct bench_about *);
void bench_print(FILE *, const struct bench_about *, struct bench_results *host,
		 struct bench_results *guest);
/* NULL: out of memory. */
json_t *bench_json(const struct bench_about *, struct bench_results *host,
		   struct bench_results *guest);

#endif
