/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of drivers, and the measurements that need no driver. */
#include "vmm/bench/driver.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct bench_driver *const drivers[] = { &bench_edu, &bench_nvme };

static const char *nothing(struct bench_env *e, void *arg)
{
	(void)e;
	(void)arg;
	return NULL;
}

static const char *config_read(struct bench_env *e, void *arg)
{
	(void)arg;
	return e->ops->config_read(e, 0) == e->id ? NULL : "the device does not answer any more";
}

static const struct bench_driver *find(uint32_t id, uint32_t class_revision)
{
	size_t i;

	for (i = 0; i < COUNT(drivers); i++)
		if (drivers[i]->match(id, class_revision))
			return drivers[i];
	return NULL;
}

const char *bench_driver_name(uint32_t id, uint32_t class_revision)
{
	const struct bench_driver *d = find(id, class_revision);

	return d ? d->name : NULL;
}

const char *bench_run(struct bench_env *e)
{
	const struct bench_driver *d = find(e->id, e->class_revision);
	const char *why;
	size_t i;

	for (i = 0; i < BENCH_MAX_SAMPLES; i++) /* so that no sample causes a page fault */
		((volatile uint32_t *)e->samples)[i] = 0;
	why = bench_measure(e, BENCH_CLOCK, nothing, NULL, NULL);
	if (!why)
		why = bench_measure(e, BENCH_CONFIG_READ, config_read, NULL, NULL);
	return why || !d ? why : d->run(e);
}
