/* SPDX-License-Identifier: BSD-2-Clause */
/* See iothread.h. `want` is the state that the owner asks for, `state` is the state that the thread
 * is in. Both are written under the lock. The body also reads `want` without the lock. */
#include "devices/backend/iothread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/cleanup.h"
#include "vmm/core/error.h"
#include "vmm/core/eventfd.h"

#define IOTHREAD_STACK (128u << 10) /* address space; only touched pages use memory */

enum iothread_state { IOTHREAD_INIT, IOTHREAD_PAUSED, IOTHREAD_RUNNING, IOTHREAD_GONE };

struct iothread {
	char name[16];
	pthread_t tid;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	_Atomic enum iothread_state want;
	enum iothread_state state;
	const struct iothread_ops *ops;
	void *arg;
	int wake_fd;
	int init_ret;
	struct error *init_err;
};

bool iothread_wanted(const struct iothread *t)
{
	/* Pairs with the release in set_want(), which comes before the write to the eventfd. */
	return atomic_load_explicit(&t->want, memory_order_acquire) == IOTHREAD_RUNNING;
}

static void set_state(struct iothread *t, enum iothread_state s)
{
	t->state = s;
	pthread_cond_broadcast(&t->cond);
}

static void *iothread_main(void *arg)
{
	struct iothread *t = arg;

	pthread_setname_np(pthread_self(), t->name);
	t->init_ret = t->ops->init ? t->ops->init(t->arg, t->init_err) : 0;
	pthread_mutex_lock(&t->lock);
	set_state(t, t->init_ret ? IOTHREAD_GONE : IOTHREAD_PAUSED);
	while (t->state != IOTHREAD_GONE) {
		if (t->want == IOTHREAD_GONE)
			break;
		if (t->want == IOTHREAD_PAUSED) {
			pthread_cond_wait(&t->cond, &t->lock);
			continue;
		}
		set_state(t, IOTHREAD_RUNNING);
		pthread_mutex_unlock(&t->lock);
		t->ops->run(t->arg);
		pthread_mutex_lock(&t->lock);
		set_state(t, IOTHREAD_PAUSED);
		if (!t->ops->paused)
			continue;
		pthread_mutex_unlock(&t->lock);
		t->ops->paused(t->arg);
		pthread_mutex_lock(&t->lock);
	}
	pthread_mutex_unlock(&t->lock);
	if (t->init_ret == 0 && t->ops->exit)
		t->ops->exit(t->arg);
	return NULL;
}

static int iothread_spawn(struct iothread *t)
{
	sigset_t all, old;
	pthread_attr_t attr;
	int ret;

	/* Only the main thread handles signals. */
	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, IOTHREAD_STACK);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(&t->tid, &attr, iothread_main, t);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return -ret;
}

static void iothread_destroy(struct iothread *t)
{
	pthread_mutex_destroy(&t->lock);
	pthread_cond_destroy(&t->cond);
	free(t);
}

struct iothread *iothread_new(const char *name, int wake_fd, const struct iothread_ops *ops,
			      void *arg, struct error *err)
{
	struct iothread *t = calloc(1, sizeof(*t));
	int ret;

	if (!t) {
		error_set(err, -ENOMEM, "%s: out of memory for its thread", name);
		return NULL;
	}
	snprintf(t->name, sizeof(t->name), "%s", name);
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->cond, NULL);
	t->ops = ops;
	t->arg = arg;
	t->wake_fd = wake_fd;
	t->want = IOTHREAD_PAUSED;
	t->init_err = err;
	ret = iothread_spawn(t);
	if (ret) {
		error_set(err, ret, "%s: cannot start its thread: %s", name, strerror(-ret));
		iothread_destroy(t);
		return NULL;
	}
	pthread_mutex_lock(&t->lock);
	while (t->state == IOTHREAD_INIT)
		pthread_cond_wait(&t->cond, &t->lock);
	ret = t->init_ret;
	t->init_err = NULL;
	pthread_mutex_unlock(&t->lock);
	if (ret) {
		pthread_join(t->tid, NULL);
		iothread_destroy(t);
		return NULL;
	}
	return t;
}

static void set_want(struct iothread *t, enum iothread_state want)
{
	atomic_store_explicit(&t->want, want, memory_order_release);
	pthread_cond_broadcast(&t->cond);
}

void iothread_resume(struct iothread *t)
{
	scoped_lock(&t->lock);

	set_want(t, IOTHREAD_RUNNING);
}

/* Called with the lock held. */
static bool ask_to_pause(struct iothread *t)
{
	set_want(t, IOTHREAD_PAUSED);
	if (t->state != IOTHREAD_RUNNING)
		return false;
	eventfd_signal(t->wake_fd);
	return true;
}

bool iothread_leave(struct iothread *t)
{
	scoped_lock(&t->lock);

	return ask_to_pause(t);
}

void iothread_pause(struct iothread *t)
{
	scoped_lock(&t->lock);

	ask_to_pause(t);
	while (t->state == IOTHREAD_RUNNING)
		pthread_cond_wait(&t->cond, &t->lock);
}

void iothread_free(struct iothread *t)
{
	if (!t)
		return;
	iothread_pause(t);
	pthread_mutex_lock(&t->lock);
	set_want(t, IOTHREAD_GONE);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->tid, NULL);
	iothread_destroy(t);
}
