/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NVMe (NVM Express Base 1.4; chapters in brackets): an admin queue and one pair of I/O queues. The
 * driver reads the first namespace and never writes to it: READ is its only I/O command.
 *
 * Admin commands are polled. The I/O queues are created twice, first without and then with an
 * interrupt, so that no interrupt disturbs a polled read. Both queues use vector 0. An interrupt of
 * the admin queue that is still pending costs one look at an empty completion queue.
 */
#include "vmm/bench/driver.h"

/* Registers [3.1]. */
#define CAP	    0x00
#define CC	    0x14
#define CSTS	    0x1c
#define AQA	    0x24
#define ASQ	    0x28
#define ACQ	    0x30
#define DOORBELLS   0x1000
#define CC_ENABLE   (1u | 6u << 16 | 4u << 20) /* entries of 64 and 16 bytes, pages of 4 KiB */
#define CC_SHUTDOWN (1u << 14)
#define CSTS_READY  1u
#define CSTS_FATAL  2u
#define CSTS_SHST   (3u << 2)
#define CSTS_DOWN   (2u << 2)

/* Commands [5, 6]. */
#define ADMIN_DELETE_SQ 0x00
#define ADMIN_CREATE_SQ 0x01
#define ADMIN_DELETE_CQ 0x04
#define ADMIN_CREATE_CQ 0x05
#define ADMIN_IDENTIFY	0x06
#define ADMIN_FEATURES	0x09
#define FEATURE_QUEUES	0x07
#define IO_READ		0x02
#define CONTIGUOUS	1u
#define CQ_INTERRUPT	2u

#define PAGE	4096u
#define ENTRIES 64u /* a page of submissions */
#define DEPTH	32u

struct command {
	uint32_t op, nsid, reserved[4];
	uint64_t prp1, prp2;
	uint32_t arg[6]; /* CDW10 to 15 */
};

struct completion {
	uint32_t result, reserved;
	uint32_t sq;	 /* submission queue head and id */
	uint32_t status; /* bit 16: phase; above it the status */
};

_Static_assert(sizeof(struct command) == 64, "NVMe 4.2");
_Static_assert(sizeof(struct completion) == 16, "NVMe 4.6");

/* The layout of the DMA memory. */
struct memory {
	struct command sq[2][ENTRIES]; /* admin, I/O */
	struct completion cq[2][PAGE / sizeof(struct completion)];
	uint32_t answer[PAGE / 4];
	uint8_t data[DEPTH][PAGE];
};

_Static_assert(sizeof(struct memory) <= BENCH_DMA_SIZE, "fits");

struct nvme {
	struct bench_env *e;
	struct memory *m;
	uint32_t stride, timeout; /* bytes between doorbells; half seconds */
	struct queue {
		uint32_t tail, head, phase;
	} q[2];
	uint32_t nsid, blocks;	 /* blocks in a read of 4 KiB */
	uint64_t next, capacity; /* in blocks */
};

static uint32_t reg(const struct nvme *n, uint32_t off)
{
	return n->e->ops->read(n->e, off);
}

static void set_reg(const struct nvme *n, uint32_t off, uint32_t val)
{
	n->e->ops->write(n->e, off, val);
}

static uint64_t bus(const struct nvme *n, const void *p)
{
	return n->e->dma_bus + (uint64_t)((const uint8_t *)p - n->e->dma);
}

/* ---- queues ---- */

static void put(struct nvme *n, unsigned q, const struct command *c)
{
	struct command *slot = &n->m->sq[q][n->q[q].tail];

	*slot = *c;
	slot->op |= n->q[q].tail << 16; /* the command id */
	n->q[q].tail = (n->q[q].tail + 1) % ENTRIES;
}

static void ring(const struct nvme *n, unsigned q)
{
	/* The commands must be in memory before the doorbell: the device fetches them at once. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
	set_reg(n, DOORBELLS + 2 * q * n->stride, n->q[q].tail);
}

/* The next completion, or NULL if there is none yet. */
static const struct completion *take(struct nvme *n, unsigned q)
{
	struct queue *queue = &n->q[q];
	const struct completion *c = &n->m->cq[q][queue->head];
	/* Acquire: the device writes the phase last [4.6]. */
	uint32_t status = __atomic_load_n(&c->status, __ATOMIC_ACQUIRE);

	if ((status >> 16 & 1) != queue->phase)
		return NULL;
	queue->head = (queue->head + 1) % ENTRIES;
	queue->phase ^= queue->head == 0;
	return c;
}

static void done_taking(const struct nvme *n, unsigned q)
{
	set_reg(n, DOORBELLS + (2 * q + 1) * n->stride, n->q[q].head);
}

/* Polls for one completion, with a time limit. */
static const char *await(struct nvme *n, unsigned q, const char *failed)
{
	uint32_t start = n->e->ops->half_seconds(n->e), tries;
	const struct completion *c = take(n, q);

	for (tries = 1; !c; tries++, c = take(n, q))
		if (tries % 256 == 0 && n->e->ops->half_seconds(n->e) - start > BENCH_PATIENCE)
			return "the controller does not complete a command";
	done_taking(n, q);
	return c->status >> 17 ? failed : NULL;
}

static const char *admin(struct nvme *n, const struct command *c, const char *failed)
{
	put(n, 0, c);
	ring(n, 0);
	return await(n, 0, failed);
}

/* ---- the controller ---- */

static const char *wait_status(const struct nvme *n, uint32_t mask, uint32_t want, const char *why)
{
	uint32_t start = n->e->ops->half_seconds(n->e), status;

	do {
		status = reg(n, CSTS);
		if ((status & mask) == want)
			return NULL;
		if (status & CSTS_FATAL)
			return "the controller reports a fatal error";
	} while (n->e->ops->half_seconds(n->e) - start <= n->timeout);
	return why;
}

static const char *controller_off(const struct nvme *n)
{
	set_reg(n, CC, 0);
	return wait_status(n, CSTS_READY, 0, "the controller cannot be switched off");
}

static const char *controller_on(struct nvme *n)
{
	uint32_t low = reg(n, CAP), high = reg(n, CAP + 4);
	const char *why;

	n->timeout = (low >> 24) + 2;
	n->stride = 4u << (high & 15);
	if (low == UINT32_MAX || (low & 0xffff) + 1 < ENTRIES || (high >> 16 & 15))
		return "the controller has no queues of 64 entries or no pages of 4 KiB";
	if (n->stride * 4 > PAGE)
		return "the controller's doorbells are too far apart";
	why = controller_off(n);
	if (why)
		return why;
	set_reg(n, AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1));
	set_reg(n, ASQ, (uint32_t)bus(n, n->m->sq[0]));
	set_reg(n, ASQ + 4, (uint32_t)(bus(n, n->m->sq[0]) >> 32));
	set_reg(n, ACQ, (uint32_t)bus(n, n->m->cq[0]));
	set_reg(n, ACQ + 4, (uint32_t)(bus(n, n->m->cq[0]) >> 32));
	n->q[0] = (struct queue){ .phase = 1 };
	set_reg(n, CC, CC_ENABLE);
	return wait_status(n, CSTS_READY, CSTS_READY, "the controller does not become ready");
}

/* [7.6.2] A disk that is told to shut down does not count the reset as a loss of power. */
static void controller_down(const struct nvme *n)
{
	set_reg(n, CC, CC_ENABLE | CC_SHUTDOWN);
	wait_status(n, CSTS_SHST, CSTS_DOWN, NULL);
	controller_off(n);
}

static const char *identify(struct nvme *n, uint32_t what, uint32_t nsid)
{
	const struct command c = {
		.op = ADMIN_IDENTIFY, .nsid = nsid, .prp1 = bus(n, n->m->answer), .arg = { what }
	};

	return admin(n, &c, "the controller refuses IDENTIFY");
}

/* [5.15.2.1] Finds the first active namespace, and how many of its blocks make 4 KiB. */
static const char *find_namespace(struct nvme *n)
{
	const volatile uint32_t *answer = n->m->answer;
	const char *why = identify(n, 2, 0);
	uint32_t format, shift;

	n->nsid = answer[0];
	if (why)
		return why;
	if (!n->nsid)
		return "the disk has no namespace";
	why = identify(n, 0, n->nsid);
	if (why)
		return why;
	n->capacity = answer[0] | (uint64_t)answer[1] << 32;
	format = answer[32 + (answer[6] >> 16 & 15)];
	shift = format >> 16 & 0xff;
	if (format & 0xffff)
		return "the disk's blocks carry metadata, which this driver does not read";
	if (shift < 9 || shift > 12)
		return "the disk's blocks are not of 512 to 4096 bytes";
	n->blocks = PAGE >> shift;
	return n->capacity < n->blocks ? "the disk is empty" : NULL;
}

static const char *make_queues(struct nvme *n, uint32_t flags)
{
	const struct command cq = { .op = ADMIN_CREATE_CQ,
				    .prp1 = bus(n, n->m->cq[1]),
				    .arg = { (ENTRIES - 1) << 16 | 1, CONTIGUOUS | flags } };
	const struct command sq = { .op = ADMIN_CREATE_SQ,
				    .prp1 = bus(n, n->m->sq[1]),
				    .arg = { (ENTRIES - 1) << 16 | 1, 1u << 16 | CONTIGUOUS } };
	const char *why;
	uint32_t i;

	for (i = 0; i < ENTRIES; i++) /* clear the entries of the previous pair */
		n->m->cq[1][i].status = 0;
	n->q[1] = (struct queue){ .phase = 1 };
	why = admin(n, &cq, "the controller gives no completion queue");
	return why ? why : admin(n, &sq, "the controller gives no submission queue");
}

static const char *drop_queues(struct nvme *n)
{
	const struct command sq = { .op = ADMIN_DELETE_SQ, .arg = { 1 } };
	const struct command cq = { .op = ADMIN_DELETE_CQ, .arg = { 1 } };
	const char *why = admin(n, &sq, "the controller keeps its submission queue");

	return why ? why : admin(n, &cq, "the controller keeps its completion queue");
}

/* ---- what is measured ---- */

static const char read_failed[] = "the disk reports an error for a read";

static void put_read(struct nvme *n, unsigned slot)
{
	struct command c = { .op = IO_READ, .nsid = n->nsid, .prp1 = bus(n, n->m->data[slot]) };

	c.arg[0] = (uint32_t)n->next;
	c.arg[1] = (uint32_t)(n->next >> 32);
	c.arg[2] = n->blocks - 1;
	put(n, 1, &c);
	n->next += n->blocks;
	if (n->next + n->blocks > n->capacity)
		n->next = 0;
}

static const char *register_read(struct bench_env *e, void *arg)
{
	(void)e;
	return reg(arg, CSTS) & CSTS_FATAL ? "the controller reports a fatal error" : NULL;
}

static const char *read_polled(struct bench_env *e, void *arg)
{
	(void)e;
	put_read(arg, 0);
	ring(arg, 1);
	return await(arg, 1, read_failed);
}

/* Waits until `count` reads have completed. Sleeps between the interrupts. */
static const char *reap(struct nvme *n, unsigned count)
{
	const struct bench_ops *ops = n->e->ops;
	const struct completion *c;

	while (count) {
		if (!ops->irq_wait(n->e, true))
			return "the controller's interrupt did not come in 5 s";
		ops->irq_clear(n->e);
		for (c = take(n, 1); c && count; c = --count ? take(n, 1) : NULL)
			if (c->status >> 17)
				return read_failed;
		done_taking(n, 1);
	}
	return NULL;
}

static const char *read_irq(struct bench_env *e, void *arg)
{
	(void)e;
	put_read(arg, 0);
	ring(arg, 1);
	return reap(arg, 1);
}

static const char *read_deep(struct bench_env *e, void *arg)
{
	unsigned i;

	(void)e;
	for (i = 0; i < DEPTH; i++)
		put_read(arg, i);
	ring(arg, 1);
	return reap(arg, DEPTH);
}

static const char *measure(struct nvme *n)
{
	const struct command one_queue = { .op = ADMIN_FEATURES, .arg = { FEATURE_QUEUES, 0 } };
	const char *why = bench_measure(n->e, BENCH_REGISTER_READ, register_read, NULL, n);

	if (!why)
		why = find_namespace(n);
	if (!why)
		why = admin(n, &one_queue, "the controller gives no I/O queue");
	if (!why)
		why = make_queues(n, 0);
	if (!why)
		why = bench_measure(n->e, BENCH_DISK_POLLED, read_polled, NULL, n);
	if (!why)
		why = drop_queues(n);
	if (!why && !n->e->ops->irq_on(n->e))
		why = "it has neither MSI-X nor MSI";
	if (!why)
		why = make_queues(n, CQ_INTERRUPT);
	if (!why)
		why = bench_measure(n->e, BENCH_DISK_IRQ, read_irq, NULL, n);
	return why ? why : bench_measure(n->e, BENCH_DISK_DEEP, read_deep, NULL, n);
}

static const char *run(struct bench_env *e)
{
	struct nvme n = { .e = e, .m = (struct memory *)(void *)e->dma };
	const char *why = controller_on(&n);

	if (!why)
		why = measure(&n);
	controller_down(&n);
	return why;
}

static bool match(uint32_t id, uint32_t class_revision)
{
	(void)id;
	return class_revision >> 8 == 0x010802;
}

const struct bench_driver bench_nvme = { "NVMe", match, run };
