/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine, as the program sees it: it is built, runs to its end and is taken down.
 *
 * Threads: the main loop's.
 */
#ifndef VMM_MACHINE_MACHINE_H
#define VMM_MACHINE_MACHINE_H

#include "vmm/core/error.h"

struct bus;
struct config;
struct guest_mem;
struct vcpus;
struct vm;

/* Builds the machine, runs it to its end, takes it down. `ready` is called once everything stands
 * and before the first instruction; its failure ends the run. Returns the exit status, with *err
 * filled in when the machine could not start. */
int machine_run(struct config *, int (*ready)(void *, struct error *), void *arg, struct error *);

/* For a caller's own device (struct config, extra). vCPUs: once the guest runs. */
struct bus *machine_pio(struct vm *);
struct guest_mem *machine_mem(struct vm *);
struct vcpus *machine_vcpus(struct vm *);

#endif
