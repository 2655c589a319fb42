/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What was measured of a device, and the port by which a guest says so (vmm/bench/driver.h).
 *
 * Threads: the port's is the vCPU's; results are looked at when the machine is gone.
 */
#ifndef VMM_BENCH_PORT_H
#define VMM_BENCH_PORT_H

#include "vmm/bench/driver.h"
#include "vmm/core/bus.h"

struct guest_mem;
struct vm;
struct error;

/* Of vCPU 0: exits in all, and those to this process. */
struct bench_exits {
	uint64_t all, user;
	bool known; /* false: this kernel does not count them */
};

struct bench_results {
	struct bench_result {
		uint32_t *samples; /* ticks */
		uint32_t n;
		struct bench_exits exits; /* of all samples together */
	} series[BENCH_SERIES];
	struct bench_exits begin;
	char failed[128]; /* what went wrong; "": nothing */
	bool done;
	struct io_region port;
	struct vm *vm; /* of the port */
};

/* Copies them. -EINVAL: no such series, or too many; -ENOMEM. */
int bench_results_add(struct bench_results *, uint32_t series, const uint32_t *samples, uint32_t n);
void bench_results_free(struct bench_results *);
/* A message of the guest's: nothing in it is trusted. `now` is counted with the exit of the message
 * itself in `all` and without it in `user`. */
void bench_message(struct bench_results *, const struct guest_mem *, uint32_t at,
		   const struct bench_exits *now);

/* config.extra: the port, which fills the struct bench_results at arg. */
int bench_port_realize(struct vm *, void *arg, struct error *);

#endif
