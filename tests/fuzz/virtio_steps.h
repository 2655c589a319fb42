/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hostile driver of one virtio device on the main loop. The input: features, a number of steps,
 * the steps of four bytes, then memory: for each queue 8 descriptors and an available ring, then
 * what lies at RING_DATA. The device is made once and reset before each run.
 */
#ifndef TESTS_FUZZ_VIRTIO_STEPS_H
#define TESTS_FUZZ_VIRTIO_STEPS_H

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "tests/fuzz/host_side.h"
#include "tests/unit/fake_driver.h"

#define STEPS	   12
#define DESC_BYTES (16 * RING_SIZE)
#define AVAIL_LEN  32u
#define DATA_MAX   4096u

static inline const uint8_t *take(const uint8_t **p, size_t *len, size_t n, size_t *got)
{
	const uint8_t *at = *p;

	*got = n < *len ? n : *len;
	*p += *got;
	*len -= *got;
	return at;
}

static inline void load(char *to, size_t n, const uint8_t **p, size_t *len)
{
	size_t got;
	const uint8_t *from = take(p, len, n, &got);

	memcpy(to, from, got);
}

static inline void virtio_step(struct fake_driver *d, unsigned queues, uint32_t features,
			       const uint8_t *s)
{
	unsigned q = s[1] % queues;
	struct virtq_avail *a = (struct virtq_avail *)(d->r.ram + FAKE_QUEUE * (q + 1) + 0x1000);

	switch (s[0] & 7) {
	case 0:
		driver_reg_set(d, s[1] % 64, 1u << (s[0] >> 6) % 3, (uint32_t)(s[2] | s[3] << 8));
		break;
	case 1:
		driver_reg(d, s[1] % 64, 1u << (s[0] >> 6) % 3);
		break;
	case 2:
		evloop_run(d->root->loop);
		break;
	case 3: /* the driver scribbles */
		d->r.ram[(FAKE_QUEUE + (uint32_t)(s[1] << 8 | s[2])) % (RING_MEM / 2)] = (char)s[3];
		break;
	case 4:
		driver_prepare(d, queues, features);
		driver_go(d);
		break;
	default:
		a->idx = (uint16_t)(a->idx + (s[2] & 15));
		driver_kick(d, q);
	}
}

/* Resets the device and runs the steps; other(arg, step) sees those that are nobody else's. */
static inline void virtio_run(struct fake_driver *d, unsigned queues, const uint8_t *p, size_t len,
			      void (*other)(const uint8_t *step))
{
	uint32_t features = 0;
	const uint8_t *steps;
	size_t n;

	if (len < 2)
		return;
	features |= p[0] & 1 ? 1u << VIRTIO_RING_F_EVENT_IDX : 0;
	features |= p[0] & 2 ? 1u << VIRTIO_RING_F_INDIRECT_DESC : 0;
	n = 4u * (p[1] % STEPS);
	p += 2;
	len -= 2;
	steps = take(&p, &len, n, &n);
	driver_prepare(d, queues, features);
	for (unsigned q = 1; q <= queues; q++) {
		load(d->r.ram + FAKE_QUEUE * q, DESC_BYTES, &p, &len);
		load(d->r.ram + FAKE_QUEUE * q + 0x1000, AVAIL_LEN, &p, &len);
	}
	memset(d->r.ram + RING_DATA, 0, DATA_MAX);
	load(d->r.ram + RING_DATA, DATA_MAX, &p, &len);
	driver_go(d);
	for (size_t i = 0; i + 4 <= n; i += 4) {
		if (steps[i] & 0x20)
			other(steps + i);
		else
			virtio_step(d, queues, features, steps + i);
	}
}

#endif
