/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See port.h. A message is one exit, handled on the vCPU's thread. So the exits are counted exactly
 * at the instructions that begin and end a series; their difference is the series itself and the
 * second message.
 */
#include "vmm/bench/port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/cleanup.h"
#include "vmm/core/error.h"
#include "vmm/kvm/kvm_stats.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/machine/machine.h"
#include "vmm/core/mem.h"
#include "vmm/core/stats.h"

int bench_results_add(struct bench_results *r, uint32_t series, const uint32_t *samples, uint32_t n)
{
	uint32_t *copy;

	if (series >= BENCH_SERIES || n == 0 || n > BENCH_MAX_SAMPLES)
		return -EINVAL;
	copy = malloc(n * sizeof(*copy));
	if (!copy)
		return -ENOMEM;
	memcpy(copy, samples, n * sizeof(*copy));
	free(r->series[series].samples);
	r->series[series].samples = copy;
	r->series[series].n = n;
	return 0;
}

void bench_results_free(struct bench_results *r)
{
	unsigned i;

	for (i = 0; i < BENCH_SERIES; i++)
		free(r->series[i].samples);
	*r = (struct bench_results){ 0 };
}

static uint64_t between(uint64_t begin, uint64_t end)
{
	return end > begin + 1 ? end - begin - 1 : 0; /* without the exit of the message */
}

static void take_series(struct bench_results *r, const struct guest_mem *mem,
			const struct bench_message *m, const struct bench_exits *now)
{
	scoped_free uint32_t *samples = calloc(BENCH_MAX_SAMPLES, sizeof(*samples));

	if (!samples || m->n > BENCH_MAX_SAMPLES ||
	    guest_mem_read(mem, GPA(m->at), samples, m->n * sizeof(*samples)) < 0 ||
	    bench_results_add(r, m->series, samples, m->n) < 0)
		return;
	r->series[m->series].exits = (struct bench_exits){
		.all = between(r->begin.all, now->all),
		.user = between(r->begin.user, now->user),
		.known = r->begin.known && now->known,
	};
}

/* The text is shown to people: characters that are not printable are left out. */
static void take_failure(struct bench_results *r, const struct guest_mem *mem,
			 const struct bench_message *m)
{
	char text[sizeof(r->failed)] = "";
	size_t len = m->n < sizeof(text) - 1 ? m->n : sizeof(text) - 1, i, n = 0;

	if (guest_mem_read(mem, GPA(m->at), text, len) < 0)
		len = 0;
	for (i = 0; i < len; i++)
		if (text[i] >= ' ' && text[i] <= '~')
			r->failed[n++] = text[i];
	r->failed[n] = '\0';
	if (!n)
		memcpy(r->failed, "?", 2);
}

void bench_message(struct bench_results *r, const struct guest_mem *mem, uint32_t at,
		   const struct bench_exits *now)
{
	struct bench_message m;

	if (guest_mem_read(mem, GPA(at), &m, sizeof(m)) < 0)
		return;
	switch (m.what) {
	case BENCH_BEGIN:
		r->begin = *now;
		break;
	case BENCH_END:
		take_series(r, mem, &m, now);
		break;
	case BENCH_FAILED:
		take_failure(r, mem, &m);
		break;
	case BENCH_DONE:
		r->done = true;
		break;
	}
}

static void find_exits(void *arg, const struct kvm_stat *s)
{
	struct bench_exits *e = arg;

	if (strcmp(s->name, "exits") != 0)
		return;
	e->all = kvm_stat_value(s, 0);
	e->known = true;
}

static void port_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
	struct bench_results *r = opaque;
	struct vm *vm = r->vm;
	const struct vcpu_stats *s = vcpu_stats(machine_vcpus(vm), 0);
	int fd = vcpu_stats_fd(machine_vcpus(vm), 0);
	struct bench_exits now = { 0 };
	unsigned i;

	(void)off;
	(void)size;
	for (i = 0; i < VCPU_EXITS; i++)
		now.user += count_read(&s->exits[i]);
	if (fd >= 0)
		kvm_stats_read(fd, find_exits, &now);
	bench_message(r, machine_mem(vm), (uint32_t)val, &now);
}

static const struct io_region_ops port_ops = { .write = port_write, .min_size = 4, .max_size = 4 };

int bench_port_realize(struct vm *vm, void *arg, struct error *err)
{
	struct bench_results *r = arg;
	int ret;

	r->vm = vm;
	r->port = (struct io_region){
		.name = "bench", .base = BENCH_PORT, .size = 4, .ops = &port_ops, .opaque = r
	};
	ret = bus_add(machine_pio(vm), &r->port);
	return ret < 0 ? error_set(err, ret, "bench port: %s", strerror(-ret)) : 0;
}
