/* SPDX-License-Identifier: BSD-2-Clause */
/* See helper.h. There is at most one job: helper_run() waits until the previous one is done. */
#include "vmm/core/helper.h"

#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "vmm/core/cleanup.h"

struct helper {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	void (*job)(void *); /* NULL: there is no job, or it is done */
	void *arg;
	bool stop;
	cpu_set_t cpus; /* the CPUs that the process may use */
	bool elsewhere; /* the thread was started without its creator's CPU in its affinity */
};

static void *helper_main(void *arg)
{
	struct helper *h = arg;

	prctl(PR_SET_NAME, "helper");
	if (h->elsewhere)
		sched_setaffinity(0, sizeof(h->cpus), &h->cpus);
	pthread_mutex_lock(&h->lock);
	for (;;) {
		while (!h->job && !h->stop)
			pthread_cond_wait(&h->changed, &h->lock);
		if (!h->job)
			break;
		pthread_mutex_unlock(&h->lock);
		h->job(h->arg);
		pthread_mutex_lock(&h->lock);
		h->job = NULL;
		pthread_cond_signal(&h->changed);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

/* Starts the thread on any CPU except the current one. Otherwise the kernel may start it on the
 * current CPU, although the main thread does not sleep. */
static int start(struct helper *h)
{
	cpu_set_t others;
	pthread_attr_t attr;
	int cpu = sched_getcpu(), ret;

	pthread_attr_init(&attr);
	if (cpu >= 0 && sched_getaffinity(0, sizeof(h->cpus), &h->cpus) == 0) {
		others = h->cpus;
		CPU_CLR(cpu, &others);
		h->elsewhere = CPU_COUNT(&others) > 0 &&
			       pthread_attr_setaffinity_np(&attr, sizeof(others), &others) == 0;
	}
	ret = pthread_create(&h->thread, &attr, helper_main, h);
	pthread_attr_destroy(&attr);
	return ret;
}

struct helper *helper_new(void)
{
	struct helper *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->changed, NULL);
	if (start(h)) {
		free(h);
		return NULL;
	}
	return h;
}

pthread_t helper_thread(const struct helper *h)
{
	return h->thread;
}

void helper_wait(struct helper *h)
{
	if (!h)
		return;
	scoped_lock(&h->lock);
	while (h->job)
		pthread_cond_wait(&h->changed, &h->lock);
}

void helper_run(struct helper *h, void (*fn)(void *), void *arg)
{
	if (!h) {
		fn(arg);
		return;
	}
	helper_wait(h);
	{
		scoped_lock(&h->lock);
		h->arg = arg;
		h->job = fn;
	}
	/* Not under the lock: a thread that runs at once would have to wait for it. */
	pthread_cond_signal(&h->changed);
}

void helper_free(struct helper *h)
{
	if (!h)
		return;
	helper_wait(h);
	{
		scoped_lock(&h->lock);
		h->stop = true;
		pthread_cond_signal(&h->changed);
	}
	pthread_join(h->thread, NULL);
	pthread_cond_destroy(&h->changed);
	pthread_mutex_destroy(&h->lock);
	free(h);
}
