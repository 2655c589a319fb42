/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The environment of a measuring driver in this process. Registers are loads and stores to the
 * mapped BAR, configuration space is a system call, and the kernel signals an interrupt through an
 * eventfd. This is how a driver in user space (SPDK, DPDK) uses the device, without a guest.
 *
 * Threads: main.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "vmm/bench/host_driver.h"
#include "vmm/bench/bench.h"
#include "vmm/core/error.h"
#include "vmm/core/eventfd.h"

struct host {
	struct bench_env env;
	struct host_driver *driver;
	volatile uint8_t *bar;
	uint64_t bar_size;
	int irq; /* eventfd; -1: not enabled yet */
	struct bench_results *results;
};

static struct host *host_of(struct bench_env *e)
{
	return e->opaque;
}

static uint32_t config_read(struct bench_env *e, uint32_t off)
{
	return host_driver_config(host_of(e)->driver, off);
}

static uint32_t bar_read(struct bench_env *e, uint32_t off)
{
	const struct host *h = host_of(e);

	return range_ok(off, 4, h->bar_size) ? *(volatile uint32_t *)(h->bar + off) : UINT32_MAX;
}

static void bar_write(struct bench_env *e, uint32_t off, uint32_t val)
{
	const struct host *h = host_of(e);

	if (range_ok(off, 4, h->bar_size))
		*(volatile uint32_t *)(h->bar + off) = val;
}

static bool irq_on(struct bench_env *e)
{
	struct host *h = host_of(e);

	h->irq = host_driver_irq(h->driver);
	return h->irq >= 0;
}

static uint32_t half_seconds(struct bench_env *e)
{
	struct timespec now;

	(void)e;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint32_t)(now.tv_sec * 2 + now.tv_nsec / 500000000);
}

static void irq_clear(struct bench_env *e)
{
	eventfd_drain(host_of(e)->irq);
}

/* Reads the clock only every 1024 rounds, because only the time limit needs it. */
static bool spin(struct bench_env *e)
{
	uint32_t start = half_seconds(e), tries;

	for (tries = 1; !eventfd_drain(host_of(e)->irq); tries++)
		if (tries % 1024 == 0 && half_seconds(e) - start > BENCH_PATIENCE)
			return false;
	return true;
}

static bool irq_wait(struct bench_env *e, bool asleep)
{
	struct pollfd p = { .fd = host_of(e)->irq, .events = POLLIN };

	return asleep ? poll(&p, 1, BENCH_PATIENCE * 500) == 1 : spin(e);
}

static void begin(struct bench_env *e, enum bench_series series)
{
	(void)e;
	(void)series;
}

static void end(struct bench_env *e, enum bench_series series, uint32_t n)
{
	bench_results_add(host_of(e)->results, series, e->samples, n);
}

static int run(struct host *h, const char *bdf, struct error *err)
{
	const char *why;
	iova_t bus;

	h->bar = host_driver_bar0(h->driver, &h->bar_size);
	h->env.dma = host_driver_dma(h->driver, &bus);
	h->env.dma_bus = bus.v;
	h->env.id = host_driver_config(h->driver, 0);
	h->env.class_revision = host_driver_config(h->driver, 8);
	if (!h->bar && bench_driver_name(h->env.id, h->env.class_revision))
		return error_set(err, -ENODEV, "%s: its registers (BAR 0) cannot be mapped", bdf);
	why = bench_run(&h->env);
	return why ? error_set(err, -EIO, "%s, driven by the host: %s", bdf, why) : 0;
}

int bench_host(const char *bdf, struct bench_results *results, struct error *err)
{
	static const struct bench_ops ops = {
		.config_read = config_read,
		.read = bar_read,
		.write = bar_write,
		.irq_on = irq_on,
		.irq_wait = irq_wait,
		.irq_clear = irq_clear,
		.half_seconds = half_seconds,
		.begin = begin,
		.end = end,
	};
	uint32_t samples[BENCH_MAX_SAMPLES];
	struct host h = { .env = { .ops = &ops, .samples = samples },
			  .irq = -1,
			  .results = results };
	int ret;

	h.env.opaque = &h;
	h.driver = host_driver_open(bdf, BENCH_DMA_SIZE, err);
	if (!h.driver)
		return err->code;
	ret = run(&h, bdf, err);
	host_driver_close(h.driver);
	return ret;
}
