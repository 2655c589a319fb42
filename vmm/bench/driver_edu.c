/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QEMU's edu device (QEMU, docs/specs/edu). A write to a register raises an interrupt, and so does
 * the end of a DMA transfer. A transfer takes 100 ms, whatever its size: the row shows that DMA
 * works, not how fast it is.
 */
#include "vmm/bench/driver.h"
#include "vmm/bench/edu.h"

#define RAISED 1u

static const char no_irq[] = "its interrupt did not come in 5 s";

static bool match(uint32_t id, uint32_t class_revision)
{
	(void)class_revision;
	return id == 0x11e81234;
}

static const char *register_read(struct bench_env *e, void *arg)
{
	(void)arg;
	return (e->ops->read(e, EDU_ID) & 0xff) == 0xed ? NULL : "its registers are not edu's";
}

static const char *raise_irq(struct bench_env *e, void *arg)
{
	e->ops->write(e, EDU_RAISE, RAISED);
	return e->ops->irq_wait(e, *(const bool *)arg) ? NULL : no_irq;
}

static const char *ack(struct bench_env *e, void *arg)
{
	(void)arg;
	e->ops->write(e, EDU_ACK, RAISED | DMA_DONE);
	e->ops->irq_clear(e);
	return NULL;
}

static void write64(struct bench_env *e, uint32_t off, uint64_t val)
{
	e->ops->write(e, off, (uint32_t)val);
	e->ops->write(e, off + 4, (uint32_t)(val >> 32));
}

static const char *dma(struct bench_env *e, uint64_t src, uint64_t dst, uint32_t cmd)
{
	write64(e, EDU_DMA_SRC, src);
	write64(e, EDU_DMA_DST, dst);
	write64(e, EDU_DMA_LEN, bench_rows[BENCH_DMA_READ].bytes);
	e->ops->write(e, EDU_DMA_CMD, cmd | DMA_IRQ | DMA_START);
	return e->ops->irq_wait(e, true) ? NULL : no_irq;
}

static const char *dma_read(struct bench_env *e, void *arg)
{
	(void)arg;
	return dma(e, e->dma_bus, DMA_BUFFER, 0);
}

static const char *dma_write(struct bench_env *e, void *arg)
{
	(void)arg;
	return dma(e, DMA_BUFFER, e->dma_bus + bench_rows[BENCH_DMA_READ].bytes, DMA_TO_RAM);
}

/* The device reads a pattern and writes it back to another place. Comparing the two shows that the
 * data went through the device. */
static const char *measure_dma(struct bench_env *e)
{
	const uint32_t len = bench_rows[BENCH_DMA_READ].bytes;
	const char *why;
	uint32_t i;

	for (i = 0; i < len; i++)
		e->dma[i] = (uint8_t)(i * 167 + 13);
	why = bench_measure(e, BENCH_DMA_READ, dma_read, ack, NULL);
	if (!why)
		why = bench_measure(e, BENCH_DMA_WRITE, dma_write, ack, NULL);
	for (i = 0; i < len && !why; i++)
		if (((volatile uint8_t *)e->dma)[len + i] != e->dma[i])
			why = "what it wrote to memory is not what it had read from there";
	return why;
}

static const char *run(struct bench_env *e)
{
	bool awake = false, asleep = true;
	const char *why = bench_measure(e, BENCH_REGISTER_READ, register_read, NULL, NULL);

	if (why)
		return why;
	if (!e->ops->irq_on(e))
		return "it has neither MSI-X nor MSI";
	why = bench_measure(e, BENCH_IRQ_AWAKE, raise_irq, ack, &awake);
	if (!why)
		why = bench_measure(e, BENCH_IRQ_ASLEEP, raise_irq, ack, &asleep);
	return why ? why : measure_dma(e);
}

const struct bench_driver bench_edu = { "edu", match, run };
