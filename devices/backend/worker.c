/* SPDX-License-Identifier: BSD-2-Clause */
/* See worker.h. The thread clears `alive` under the lock as its last step before it unlocks and
 * ends. So whoever sees it cleared can join the thread without waiting. */
#include "devices/backend/worker.h"

#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#include "vmm/core/cleanup.h"
#include "vmm/core/evloop.h"

#define CPUS_MAX     8192u	  /* the maximum of Linux on x86 (NR_CPUS) */
#define WORKER_STACK (128u << 10) /* address space; only touched pages use memory */

void worker_init(struct worker *w, const char *name, void (*work)(void *), void *arg)
{
	*w = (struct worker){ .name = name, .work = work, .arg = arg };
	pthread_mutex_init(&w->lock, NULL);
}

static bool worker_next(struct worker *w)
{
	scoped_lock(&w->lock);

	w->alive = w->wanted;
	w->wanted = false;
	return w->alive;
}

/* A thread inherits the CPUs and the scheduling policy of its creator. The creator may be a vCPU's
 * thread, which has its own CPU. Then threads that the worker makes (vhost's, ours) would run
 * there, too. */
static void worker_place(void)
{
	cpu_set_t cpus[CPUS_MAX / CPU_SETSIZE];
	struct sched_param sp;
	pid_t main_thread = getpid();

	if (sched_getaffinity(main_thread, sizeof(cpus), cpus) == 0)
		sched_setaffinity(0, sizeof(cpus), cpus);
	if (sched_getparam(main_thread, &sp) == 0)
		sched_setscheduler(0, sched_getscheduler(main_thread), &sp);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	worker_place();
	pthread_setname_np(pthread_self(), w->name);
	while (worker_next(w))
		w->work(w->arg);
	return NULL;
}

static int worker_spawn(struct worker *w)
{
	sigset_t all, old;
	pthread_attr_t attr;
	int ret;

	/* Only the main thread handles signals. */
	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, WORKER_STACK);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(&w->tid, &attr, worker_main, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return ret;
}

bool worker_wake(struct worker *w)
{
	scoped_lock(&w->lock);

	w->wanted = true;
	if (w->alive)
		return true;
	if (w->joinable)
		pthread_join(w->tid, NULL);
	w->alive = w->joinable = worker_spawn(w) == 0;
	w->wanted = w->alive;
	return w->alive;
}

void worker_end(struct worker *w)
{
	if (w->joinable)
		pthread_join(w->tid, NULL);
	pthread_mutex_destroy(&w->lock);
}

static bool worker_is_alive(struct worker *w)
{
	scoped_lock(&w->lock);

	return w->alive;
}

bool worker_end_by(struct worker *w, uint64_t deadline_ns)
{
	while (worker_is_alive(w)) {
		if (evloop_now_ns() >= deadline_ns)
			return false;
		usleep(1000);
	}
	worker_end(w);
	return true;
}
