/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Drivers that measure a device, written once for two places: a guest that was given the device
 * (guest/main.c, 32 bits, nothing underneath) and minivmm itself, which drives it through VFIO.
 * What differs between the two is the cost of passthrough.
 *
 * A driver sees its surroundings only as struct bench_ops. Times are in ticks of the processor's
 * clock (TSC), which is the same in both places. One thread; no library.
 */
#ifndef VMM_BENCH_DRIVER_H
#define VMM_BENCH_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is measured, in the order of the table that people see. */
enum bench_series {
	BENCH_CLOCK,	     /* nothing: what reading the clock costs in every other row */
	BENCH_CONFIG_READ,   /* configuration space; in a guest an exit to the VMM */
	BENCH_REGISTER_READ, /* of BAR 0 */
	BENCH_IRQ_AWAKE,     /* from the register that raises it to a processor that spins */
	BENCH_IRQ_ASLEEP,    /* the same to one that sleeps: HLT, poll(2) */
	BENCH_DMA_READ,	     /* the device reads memory, then interrupts */
	BENCH_DMA_WRITE,
	BENCH_DISK_POLLED, /* a read of 4 KiB, its completion seen in memory */
	BENCH_DISK_IRQ,	   /* its completion told by interrupt, asleep meanwhile */
	BENCH_DISK_DEEP,   /* 32 of them at once, each with its interrupt */
	BENCH_SERIES
};

struct bench_row {
	const char *name;
	uint16_t samples, ops; /* ops: operations in a sample */
	uint32_t bytes;	       /* moved by a sample */
};
extern const struct bench_row bench_rows[BENCH_SERIES];

#define BENCH_MAX_SAMPLES 2000u
#define BENCH_WARM_UP	  16u
#define BENCH_DMA_SIZE	  (256u << 10)

struct bench_env;

struct bench_ops {
	uint32_t (*config_read)(struct bench_env *, uint32_t off); /* 32 bits, as all of them */
	uint32_t (*read)(struct bench_env *, uint32_t off);	   /* BAR 0 */
	void (*write)(struct bench_env *, uint32_t off, uint32_t val);
	bool (*irq_on)(struct bench_env *); /* vector 0 of MSI-X or MSI; false: has none */
	/* Until the interrupt is pending; false when none comes in BENCH_PATIENCE. Pending stays so
	 * until irq_clear(): clear, then look at what the device left in memory. */
	bool (*irq_wait)(struct bench_env *, bool asleep);
	void (*irq_clear)(struct bench_env *);
	uint32_t (*half_seconds)(struct bench_env *);
	/* Around the samples of a series: env->samples has n of them at its end. */
	void (*begin)(struct bench_env *, enum bench_series);
	void (*end)(struct bench_env *, enum bench_series, uint32_t n);
};

struct bench_env {
	const struct bench_ops *ops;
	void *opaque;		     /* of the ops */
	uint32_t id, class_revision; /* dwords 0 and 2 of configuration space */
	uint32_t *samples;	     /* BENCH_MAX_SAMPLES of them */
	uint8_t *dma;		     /* BENCH_DMA_SIZE bytes, of zeroes, page-aligned ... */
	uint64_t dma_bus;	     /* ... that the device has in one piece here */
};

#define BENCH_PATIENCE 10u /* half seconds */

/* Runs all that the device has a driver for. NULL, or one sentence that says what went wrong; the
 * device is left idle in either case. */
const char *bench_run(struct bench_env *);
/* The driver for a device; NULL: none, only configuration space is read. */
const char *bench_driver_name(uint32_t id, uint32_t class_revision);

/* ---- between driver_run.c, driver.c and the drivers ---- */

/* An operation; NULL, or what went wrong. */
typedef const char *bench_op(struct bench_env *, void *arg);

/* op is timed, `after` (NULL: nothing) puts things back outside of the time. */
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
	uint32_t n;	 /* samples; FAILED: characters */
	uint32_t at;	 /* where they are */
};

#endif
