/* SPDX-License-Identifier: BSD-2-Clause */
/* The drivers of the benchmark with devices in memory: how they use the devices, and what they
 * report if the devices misbehave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/bench/driver.h"

#define DMA_BUS	     0x1234000ull /* differs from the address in our memory */
#define EDU	     0x11e81234u
#define NVME_CLASS   0x01080200u
#define EDU_BUFFER   0x40000u
#define NVME_BLOCKS  1000u
#define MISTAKE_LATE 500u /* so many reads succeed before one fails */

enum mistake {
	NONE,
	NO_IRQ,	    /* has no vectors */
	SILENT,	    /* its interrupts never come */
	DEAD,	    /* reads all-ones */
	WRONG_DATA, /* DMA to memory goes wrong */
	NEVER_READY,
	FATAL,
	SMALL_QUEUES,
	NO_NAMESPACE,
	METADATA,
	HUGE_BLOCKS,
	NO_CAPACITY,
	NO_QUEUE,
	READ_ERROR,
	HANGS, /* stops completing commands after a while */
};

struct command {
	uint32_t op, nsid, reserved[4];
	uint64_t prp1, prp2;
	uint32_t arg[6];
};

struct completion {
	uint32_t result, reserved, sq, status;
};

struct fake {
	struct bench_env env;
	enum mistake mistake;
	uint32_t clock, seen[BENCH_SERIES], began[BENCH_SERIES], bar_accesses;
	bool vector, pending;
	uint32_t reg[0x4000 / 4];
	uint8_t edu_buffer[2048];
	struct fake_queue {
		uint64_t sq, cq;
		uint32_t head, tail, phase;
		bool there, irq;
	} q[2];
	uint32_t reads, other_io, bad_reads, shutdowns;
	uint64_t last_block;
};

static struct fake *fake_of(struct bench_env *e)
{
	return e->opaque;
}

static uint32_t fake_config(struct bench_env *e, uint32_t off)
{
	return off == 0 ? fake_of(e)->env.id : 0;
}

static uint32_t fake_time(struct bench_env *e)
{
	return fake_of(e)->clock++ / 8;
}

static void interrupt(struct fake *f)
{
	f->pending |= f->vector && f->mistake != SILENT;
}

static void *at(struct fake *f, uint64_t bus, size_t len)
{
	assert_true(bus >= DMA_BUS && bus - DMA_BUS <= BENCH_DMA_SIZE - len);
	return f->env.dma + (bus - DMA_BUS);
}

/* ---- edu ---- */

static uint64_t reg64(const struct fake *f, unsigned off)
{
	return f->reg[off / 4] | (uint64_t)f->reg[off / 4 + 1] << 32;
}

static void edu_dma(struct fake *f, uint32_t cmd)
{
	uint64_t src = reg64(f, 0x80), dst = reg64(f, 0x88), len = reg64(f, 0x90);

	assert_int_equal(len, 2048);
	assert_int_equal(cmd & 2 ? src : dst, EDU_BUFFER);
	if (cmd & 2)
		memcpy(at(f, dst, len), f->edu_buffer, len);
	else
		memcpy(f->edu_buffer, at(f, src, len), len);
	if (f->mistake == WRONG_DATA && cmd & 2)
		((uint8_t *)at(f, dst, len))[len - 1] ^= 1;
	interrupt(f);
}

static void edu_write(struct fake *f, uint32_t off, uint32_t val)
{
	if (off == 0x60)
		interrupt(f);
	if (off == 0x98)
		edu_dma(f, val);
}

/* ---- NVMe ---- */

static void complete(struct fake *f, unsigned q, uint32_t id, bool good)
{
	struct fake_queue *queue = &f->q[q];
	struct completion *c = at(f, queue->cq + queue->tail * sizeof(*c), sizeof(*c));

	c->sq = queue->head;
	c->status = id | queue->phase << 16 | (good ? 0 : 1u << 17);
	queue->tail = (queue->tail + 1) % 64;
	queue->phase ^= queue->tail == 0;
	if (queue->irq)
		interrupt(f);
}

static void identify(struct fake *f, const struct command *c)
{
	uint32_t *answer = at(f, c->prp1, 4096);

	memset(answer, 0, 4096);
	if (c->arg[0] == 2) {
		answer[0] = f->mistake == NO_NAMESPACE ? 0 : 7;
		return;
	}
	assert_int_equal(c->nsid, 7);
	answer[0] = f->mistake == NO_CAPACITY ? 7 : NVME_BLOCKS;
	answer[6] = 3u << 16; /* its format is the fourth */
	answer[32 + 3] = 9u << 16;
	if (f->mistake == METADATA)
		answer[32 + 3] |= 8;
	if (f->mistake == HUGE_BLOCKS)
		answer[32 + 3] = 13u << 16;
}

static bool admin(struct fake *f, const struct command *c)
{
	switch (c->op & 0xff) {
	case 0x06:
		identify(f, c);
		return true;
	case 0x05:
		assert_int_equal(c->arg[0], 63 << 16 | 1);
		f->q[1] = (struct fake_queue){ .cq = c->prp1, .phase = 1, .irq = c->arg[1] & 2 };
		return f->mistake != NO_QUEUE;
	case 0x01:
		f->q[1].sq = c->prp1;
		f->q[1].there = true;
		return true;
	case 0x00:
		f->q[1].there = false;
		return true;
	}
	return (c->op & 0xff) == 0x04 || (c->op & 0xff) == 0x09;
}

static bool io(struct fake *f, const struct command *c)
{
	uint64_t block = c->arg[0] | (uint64_t)c->arg[1] << 32;

	f->other_io += (c->op & 0xff) != 2;
	f->bad_reads += c->nsid != 7 || c->arg[2] != 7 || block + 8 > NVME_BLOCKS ||
			c->prp1 % 4096 || c->prp2;
	at(f, c->prp1, 4096);
	return !(f->reads++ >= MISTAKE_LATE && f->mistake == READ_ERROR);
}

static void doorbell(struct fake *f, unsigned q, uint32_t tail)
{
	const struct command *c;

	assert_true(q == 0 || f->q[1].there);
	while (f->q[q].head != tail) {
		if (f->mistake == HANGS && f->reads >= MISTAKE_LATE)
			return;
		c = at(f, f->q[q].sq + f->q[q].head * sizeof(*c), sizeof(*c));
		f->q[q].head = (f->q[q].head + 1) % 64;
		complete(f, q, c->op >> 16, q ? io(f, c) : admin(f, c));
	}
}

static void control(struct fake *f, uint32_t val)
{
	uint32_t *status = &f->reg[0x1c / 4];

	*status = 0;
	if (f->mistake == FATAL)
		*status = 2;
	else if (val & 1 && f->mistake != NEVER_READY)
		*status = 1;
	if (val & 3 << 14) {
		*status |= 2 << 2;
		f->shutdowns++;
	} else if (val & 1) {
		f->q[0] = (struct fake_queue){
			.sq = reg64(f, 0x28), .cq = reg64(f, 0x30), .phase = 1, .irq = true
		};
	}
}

static void nvme_write(struct fake *f, uint32_t off, uint32_t val)
{
	if (off == 0x14)
		control(f, val);
	else if (off >= 0x1000 && !(off & 4))
		doorbell(f, (off - 0x1000) / 8, val);
}

/* ---- the surroundings ---- */

static uint32_t fake_read(struct bench_env *e, uint32_t off)
{
	struct fake *f = fake_of(e);

	f->bar_accesses++;
	return f->mistake == DEAD ? UINT32_MAX : f->reg[off / 4];
}

static void fake_write(struct bench_env *e, uint32_t off, uint32_t val)
{
	struct fake *f = fake_of(e);

	assert_true(off < sizeof(f->reg));
	f->bar_accesses++;
	f->reg[off / 4] = val;
	if (f->env.id == EDU)
		edu_write(f, off, val);
	else
		nvme_write(f, off, val);
}

static bool fake_irq_on(struct bench_env *e)
{
	fake_of(e)->vector = fake_of(e)->mistake != NO_IRQ;
	return fake_of(e)->vector;
}

static bool fake_irq_wait(struct bench_env *e, bool asleep)
{
	(void)asleep;
	return fake_of(e)->pending;
}

static void fake_irq_clear(struct bench_env *e)
{
	fake_of(e)->pending = false;
}

static void fake_begin(struct bench_env *e, enum bench_series series)
{
	fake_of(e)->began[series]++;
}

static void fake_end(struct bench_env *e, enum bench_series series, uint32_t n)
{
	assert_int_equal(fake_of(e)->began[series], 1);
	fake_of(e)->seen[series] += n;
}

static const struct bench_ops fake_ops = {
	fake_config,	fake_read, fake_write, fake_irq_on, fake_irq_wait,
	fake_irq_clear, fake_time, fake_begin, fake_end,
};

static struct fake *make(uint32_t id, uint32_t class_revision, enum mistake mistake)
{
	struct fake *f = calloc(1, sizeof(*f));

	f->env = (struct bench_env){ .ops = &fake_ops,
				     .opaque = f,
				     .id = id,
				     .class_revision = class_revision,
				     .samples = calloc(BENCH_MAX_SAMPLES, sizeof(uint32_t)),
				     .dma = aligned_alloc(4096, BENCH_DMA_SIZE),
				     .dma_bus = DMA_BUS };
	memset(f->env.dma, 0, BENCH_DMA_SIZE);
	f->mistake = mistake;
	f->reg[0] = id == EDU ? 0x010000ed : 3u << 24 | (mistake == SMALL_QUEUES ? 31 : 63);
	return f;
}

static void unmake(struct fake *f)
{
	free(f->env.samples);
	free(f->env.dma);
	free(f);
}

/* Checks that there are exactly these series, with all their samples. */
static void expect_series(const struct fake *f, uint32_t mask)
{
	unsigned i;

	for (i = 0; i < BENCH_SERIES; i++)
		assert_int_equal(f->seen[i], mask >> i & 1 ? bench_rows[i].samples : 0);
}

#define ANY (1u << BENCH_CLOCK | 1u << BENCH_CONFIG_READ)

static void test_unknown_device(void **state)
{
	struct fake *f = make(0x100e8086, 0x02000003, NONE);

	(void)state;
	assert_null(bench_driver_name(f->env.id, f->env.class_revision));
	assert_null(bench_run(&f->env));
	expect_series(f, ANY);
	assert_int_equal(f->bar_accesses, 0);
	unmake(f);
}

static void test_edu(void **state)
{
	struct fake *f = make(EDU, 0, NONE);

	(void)state;
	assert_string_equal(bench_driver_name(EDU, 0), "edu");
	assert_null(bench_run(&f->env));
	expect_series(f, ANY | 1u << BENCH_REGISTER_READ | 1u << BENCH_IRQ_AWAKE |
				 1u << BENCH_IRQ_ASLEEP | 1u << BENCH_DMA_READ |
				 1u << BENCH_DMA_WRITE);
	unmake(f);
}

static void test_edu_mistakes(void **state)
{
	static const struct {
		enum mistake mistake;
		const char *says;
	} t[] = {
		{ DEAD, "registers are not edu's" },
		{ NO_IRQ, "neither MSI-X nor MSI" },
		{ SILENT, "did not come" },
		{ WRONG_DATA, "not what it had read" },
	};
	const char *why;
	struct fake *f;
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		f = make(EDU, 0, t[i].mistake);
		why = bench_run(&f->env);
		assert_non_null(why);
		assert_non_null(strstr(why, t[i].says));
		unmake(f);
	}
}

static void test_nvme(void **state)
{
	struct fake *f = make(0x00101b36, NVME_CLASS, NONE);

	(void)state;
	assert_string_equal(bench_driver_name(f->env.id, NVME_CLASS), "NVMe");
	assert_null(bench_run(&f->env));
	expect_series(f, ANY | 1u << BENCH_REGISTER_READ | 1u << BENCH_DISK_POLLED |
				 1u << BENCH_DISK_IRQ | 1u << BENCH_DISK_DEEP);
	/* The reads include those of the warm-up. There must be no other command. */
	assert_int_equal(f->reads, 2 * (1000 + BENCH_WARM_UP) + 32 * (200 + BENCH_WARM_UP));
	assert_int_equal(f->other_io, 0);
	assert_int_equal(f->bad_reads, 0);
	assert_int_equal(f->shutdowns, 1);
	assert_int_equal(f->reg[0x14 / 4], 0);
	unmake(f);
}

static void test_nvme_mistakes(void **state)
{
	static const struct {
		enum mistake mistake;
		const char *says;
	} t[] = {
		{ DEAD, "no queues of 64 entries" },
		{ SMALL_QUEUES, "no queues of 64 entries" },
		{ NEVER_READY, "does not become ready" },
		{ FATAL, "fatal error" },
		{ NO_NAMESPACE, "no namespace" },
		{ METADATA, "metadata" },
		{ HUGE_BLOCKS, "not of 512 to 4096" },
		{ NO_CAPACITY, "empty" },
		{ NO_QUEUE, "no completion queue" },
		{ NO_IRQ, "neither MSI-X nor MSI" },
		{ SILENT, "interrupt did not come" },
		{ READ_ERROR, "error for a read" },
		{ HANGS, "does not complete" },
	};
	const char *why;
	struct fake *f;
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		f = make(0x00101b36, NVME_CLASS, t[i].mistake);
		why = bench_run(&f->env);
		assert_non_null(why);
		if (!strstr(why, t[i].says))
			fail_msg("mistake %u: %s", t[i].mistake, why);
		assert_int_equal(f->other_io, 0);
		assert_int_equal(f->reg[0x14 / 4], 0); /* off */
		unmake(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unknown_device), cmocka_unit_test(test_edu),
		cmocka_unit_test(test_edu_mistakes),   cmocka_unit_test(test_nvme),
		cmocka_unit_test(test_nvme_mistakes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
