/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/core/parallel.h"

#include <stdbool.h>
#include <sys/prctl.h>

#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"

#define STACK (128 * KiB)

struct parallel_job {
	void (*fn)(void *arg, unsigned i);
	void *arg;
	unsigned i;
	pthread_t thread;
	bool started;
};

static void *parallel_main(void *arg)
{
	const struct parallel_job *j = arg;

	prctl(PR_SET_NAME, "parallel");
	j->fn(j->arg, j->i);
	return NULL;
}

static void parallel_start(struct parallel_job *j)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	j->started = pthread_create(&j->thread, &attr, parallel_main, j) == 0;
	pthread_attr_destroy(&attr);
}

void parallel_each(unsigned n, void (*fn)(void *arg, unsigned i), void *arg)
{
	scoped_free struct parallel_job *job = n > 1 ? calloc(n, sizeof(*job)) : NULL;
	unsigned i;

	for (i = 1; job && i < n; i++) {
		job[i] = (struct parallel_job){ .fn = fn, .arg = arg, .i = i };
		parallel_start(&job[i]);
	}
	for (i = 0; i < n; i++)
		if (!job || !job[i].started)
			fn(arg, i);
	for (i = 1; job && i < n; i++)
		if (job[i].started)
			pthread_join(job[i].thread, NULL);
}
