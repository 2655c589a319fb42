/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The results of a measurement, and the port by which a guest reports them (vmm/bench/driver.h).
 *
 * Threads: the port runs on the vCPU's thread. Results are read after the machine has ended.
 */
#ifndef VMM_BENCH_PORT_H
#define VMM_BENCH_PORT_H

#include "vmm/bench/driver.h"
#include "vmm/core/bus.h"

struct guest_mem;
struct vm;
struct error;

/* The exits of vCPU 0: all of them, and those to this process. */
struct bench_exits {
	uint64_t all, user;
	bool known; /* false: the kernel does not count exits */
};

struct bench_results {
	struct bench_result {
		uint32_t *samples; /* ticks */
		uint32_t n;
		struct bench_exits exits; /* the sum over all samples */
	} series[BENCH_SERIES];
	struct bench_exits begin;
	char failed[128]; /* what went wrong; "": no error */
	bool done;
	struct io_region port;
	struct vm *vm; /* the machine that has the port */
};

/* Copies the samples. -EINVAL: the series does not exist, or there are too many samples;
 * -ENOMEM. */
int bench_results_add(struct bench_results *, uint32_t series, const uint32_t *samples, uint32_t n);
void bench_results_free(struct bench_results *);
/* Handles a message of the guest; nothing in it is trusted. now->all includes the exit of the
 * message itself, now->user does not. */
void bench_message(struct bench_results *, const struct guest_mem *, uint32_t at,
		   const struct bench_exits *now);

/* For config.extra: adds the port to the machine. The port fills the struct bench_results at
 * arg. */
int bench_port_realize(struct vm *, void *arg, struct error *);

#endif
