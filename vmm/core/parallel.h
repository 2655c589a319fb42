/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Several jobs at the same time, for jobs that mostly sleep in the kernel (the reset of a device
 * takes 100 ms), or that work on memory of which each has its own part.
 *
 * Threads: any. The jobs inherit the caller's signal mask and CPUs.
 */
#ifndef VMM_CORE_PARALLEL_H
#define VMM_CORE_PARALLEL_H

/* Calls job(arg, i) for each i below n, and returns when all have returned. The caller does the
 * first job itself, so one job takes no thread. A job for which no thread can be had is done by the
 * caller, too. */
void parallel_each(unsigned n, void (*job)(void *arg, unsigned i), void *arg);

#endif
