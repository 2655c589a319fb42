/* SPDX-License-Identifier: BSD-2-Clause */
/* In place of devices/backend/iothread.c, linked in by --wrap (fuzz.mk): a body runs on the
 * caller's thread, when threads_run() is called, for a few rounds of its loop. So a run needs no
 * hand-over between threads, and does the same each time. */
#ifndef TESTS_FUZZ_INLINE_THREAD_H
#define TESTS_FUZZ_INLINE_THREAD_H

#include <stdlib.h>
#include <unistd.h>

#include "devices/backend/iothread.h"

#define THREADS_MAX   16
#define THREAD_ROUNDS 3

struct iothread {
	const struct iothread_ops *ops;
	void *arg;
	int wake_fd;
	bool running;
	unsigned rounds;
};

static struct iothread *threads[THREADS_MAX];
static bool threads_poll; /* the bodies sleep in the kernel */

struct iothread *__wrap_iothread_new(const char *name, int wake_fd, const struct iothread_ops *ops,
				     void *arg, struct error *err);
void __wrap_iothread_resume(struct iothread *);
void __wrap_iothread_pause(struct iothread *);
bool __wrap_iothread_leave(struct iothread *);
void __wrap_iothread_free(struct iothread *);
bool __wrap_iothread_wanted(const struct iothread *);

struct iothread *__wrap_iothread_new(const char *name, int wake_fd, const struct iothread_ops *ops,
				     void *arg, struct error *err)
{
	struct iothread *t = calloc(1, sizeof(*t));

	(void)name;
	*t = (struct iothread){ .ops = ops, .arg = arg, .wake_fd = wake_fd };
	if (ops->init && ops->init(arg, err)) {
		free(t);
		return NULL;
	}
	for (unsigned i = 0; i < THREADS_MAX; i++) {
		if (threads[i])
			continue;
		threads[i] = t;
		return t;
	}
	abort();
}

void __wrap_iothread_resume(struct iothread *t)
{
	t->running = true;
}

void __wrap_iothread_pause(struct iothread *t)
{
	t->running = false;
}

/* Between its rounds it has nothing in flight. */
bool __wrap_iothread_leave(struct iothread *t)
{
	t->running = false;
	return false;
}

void __wrap_iothread_free(struct iothread *t)
{
	if (!t)
		return;
	for (unsigned i = 0; i < THREADS_MAX; i++)
		if (threads[i] == t)
			threads[i] = NULL;
	if (t->ops->exit)
		t->ops->exit(t->arg);
	free(t);
}

bool __wrap_iothread_wanted(const struct iothread *t)
{
	const uint64_t one = 1;
	struct iothread *mine = (struct iothread *)(uintptr_t)t;

	if (!mine->rounds)
		return false;
	mine->rounds--;
	/* Its sleep ends at once. */
	return !threads_poll || write(mine->wake_fd, &one, sizeof(one)) == sizeof(one);
}

static void threads_run(void)
{
	for (unsigned i = 0; i < THREADS_MAX; i++) {
		struct iothread *t = threads[i];

		if (!t || !t->running)
			continue;
		t->rounds = THREAD_ROUNDS;
		t->ops->run(t->arg);
	}
}

#endif
