/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Drivers that measure a device. The same code runs in two places: in a guest that was given the
 * device (guest/main.c, 32 bits, no operating system), and in minivmm itself, which drives the
 * device through VFIO. The difference between the two results is the cost of passthrough.
 *
 * A driver uses its environment only through struct bench_ops. Times are in ticks of the TSC, which
 * runs at the same rate in both places. There is one thread. The drivers use no library, not even
 * libc.
 */
#ifndef VMM_BENCH_DRIVER_H
#define VMM_BENCH_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is measured, in the order of the table that people see. */
enum bench_series {
	BENCH_CLOCK,	     /* no operation: the cost of reading the clock, part of all rows */
	BENCH_CONFIG_READ,   /* read configuration space; in a guest it exits to the VMM */
	BENCH_REGISTER_READ, /* read a register in BAR 0 */
	BENCH_IRQ_AWAKE,     /* from the write that raises an interrupt to a CPU that spins */
	BENCH_IRQ_ASLEEP,    /* the same, with a CPU that sleeps in HLT or poll(2) */
	BENCH_DMA_READ,	     /* the device reads memory, then raises an interrupt */
	BENCH_DMA_WRITE,
	BENCH_DISK_POLLED, /* read 4 KiB and poll the completion queue */
	BENCH_DISK_IRQ,	   /* read 4 KiB and sleep until the interrupt */
	BENCH_DISK_DEEP,   /* 32 such reads at once, each with its interrupt */
	BENCH_SERIES
};

struct bench_row {
	const char *name;
	uint16_t samples, ops; /* ops: operations in a sample */
	uint32_t bytes;	       /* that a sample moves */
};
extern const struct bench_row bench_rows[BENCH_SERIES];

#define BENCH_MAX_SAMPLES 2000u
#define BENCH_WARM_UP	  16u
#define BENCH_DMA_SIZE	  (256u << 10)

struct bench_env;

struct bench_ops {
	uint32_t (*config_read)(struct bench_env *, uint32_t off); /* all accesses have 32 bits */
	uint32_t (*read)(struct bench_env *, uint32_t off);	   /* BAR 0 */
	void (*write)(struct bench_env *, uint32_t off, uint32_t val);
	bool (*irq_on)(struct bench_env *); /* vector 0 of MSI-X or MSI; false: neither exists */
	/* Waits until the interrupt is pending. False: it did not come in BENCH_PATIENCE. It stays
	 * pending until irq_clear(). To lose no interrupt, call irq_clear() first and then read
	 * what the device wrote to memory. */
	bool (*irq_wait)(struct bench_env *, bool asleep);
	void (*irq_clear)(struct bench_env *);
	uint32_t (*half_seconds)(struct bench_env *);
	/* Called before the first and after the last sample of a series. At the end, n samples are
	 * in env->samples. */
	void (*begin)(struct bench_env *, enum bench_series);
	void (*end)(struct bench_env *, enum bench_series, uint32_t n);
};

struct bench_env {
	const struct bench_ops *ops;
	void *opaque;		     /* for the ops */
	uint32_t id, class_revision; /* dwords 0 and 2 of configuration space */
	uint32_t *samples;	     /* space for BENCH_MAX_SAMPLES */
	uint8_t *dma;		     /* BENCH_DMA_SIZE bytes, zeroed, page-aligned, contiguous */
	uint64_t dma_bus;	     /* the address of `dma` for the device */
};

#define BENCH_PATIENCE 10u /* half seconds */

/* Measures everything that the device has a driver for. Returns NULL, or one sentence that says
 * what went wrong. The device is idle afterwards in both cases. */
const char *bench_run(struct bench_env *);
/* The name of the driver for a device. NULL: there is no driver, and only the reading of
 * configuration space is measured. */
const char *bench_driver_name(uint32_t id, uint32_t class_revision);

/* ---- between driver_run.c, driver.c and the drivers ---- */

/* An operation. Returns NULL, or what went wrong. */
typedef const char *bench_op(struct bench_env *, void *arg);

/* The time of `op` is measured. `after` (may be NULL) follows each op and is not measured; it
 * prepares the next op. */
const char *bench_measure(struct bench_env *, enum bench_series, bench_op *op, bench_op *after,
			  void *arg);

struct bench_driver {
	const char *name;
	bool (*match)(uint32_t id, uint32_t class_revision);
	const char *(*run)(struct bench_env *);
};
extern const struct bench_driver bench_edu, bench_nvme;

/* ---- between the guest and the VMM ---- */

/* The guest writes the address of a message to this port (32 bits). */
#define BENCH_PORT 0xf8

enum bench_what { BENCH_BEGIN, BENCH_END, BENCH_FAILED, BENCH_DONE };

struct bench_message {
	uint32_t what;	 /* enum bench_what */
	uint32_t series; /* BEGIN and END */
	uint32_t n;	 /* number of samples; FAILED: number of characters */
	uint32_t at;	 /* their guest-physical address */
};

#endif
