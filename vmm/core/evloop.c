/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The main loop: epoll, timers on one timerfd, and calls from other threads.
 *
 * A source that a callback deletes may still be in the batch that epoll_wait() returned. So it is
 * only marked, and freed when the batch is done. The loop sleeps without a timeout, so it never
 * wakes up in an idle machine.
 *
 * Threads: everything runs on the loop's thread, except evloop_call(), which puts the call into the
 * queue under `lock`, and evloop_stop(), which uses only an atomic and a write to an eventfd, so
 * that signal handlers may call it.
 */
#include "vmm/core/evloop.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "vmm/core/cleanup.h"
#include "vmm/core/eventfd.h"

#define BATCH 16

struct ev_source {
	struct evloop *loop;
	int fd;
	bool dead;
	void (*fn)(void *, int fd, uint32_t events);
	void *arg;
	struct ev_source *next, **prev;
};

struct ev_timer {
	struct evloop *loop;
	uint64_t deadline; /* 0: off */
	void (*fn)(void *);
	void *arg;
	struct ev_timer *next;
};

struct evloop {
	int epfd, wakefd, timerfd; /* timerfd: -1 until the first timer is added */
	struct ev_source *sources, *dead;
	struct ev_timer *timers;
	pthread_mutex_t lock; /* protects the queue of calls, and next and waits of each call */
	struct ev_call *calls, **calls_end;
	int stopped, value;
};

static void wake_drain(void *arg, int fd, uint32_t events)
{
	(void)arg;
	(void)events;
	eventfd_drain(fd);
}

struct evloop *evloop_new(void)
{
	struct evloop *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	pthread_mutex_init(&l->lock, NULL);
	l->calls_end = &l->calls;
	l->timerfd = -1;
	l->wakefd = eventfd_new();
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (l->wakefd < 0 || l->epfd < 0 || !evloop_add_fd(l, l->wakefd, EPOLLIN, wake_drain, l)) {
		int why = errno;

		evloop_free(l);
		errno = why;
		return NULL;
	}
	return l;
}

static void reap(struct evloop *l)
{
	struct ev_source *s;

	while ((s = l->dead)) {
		l->dead = s->next;
		free(s);
	}
}

void evloop_free(struct evloop *l)
{
	if (!l)
		return;
	while (l->sources)
		evloop_del_fd(l->sources);
	reap(l);
	while (l->timers)
		evloop_del_timer(l->timers);
	cleanup_close(&l->timerfd);
	cleanup_close(&l->wakefd);
	cleanup_close(&l->epfd);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

struct ev_source *evloop_add_fd(struct evloop *l, int fd, uint32_t events,
				void (*fn)(void *, int fd, uint32_t events), void *arg)
{
	struct ev_source *s = calloc(1, sizeof(*s));
	struct epoll_event ev = { .events = events, .data.ptr = s };

	if (!s)
		return NULL;
	*s = (struct ev_source){ .loop = l, .fd = fd, .fn = fn, .arg = arg };
	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		free(s);
		return NULL;
	}
	s->next = l->sources;
	s->prev = &l->sources;
	if (s->next)
		s->next->prev = &s->next;
	l->sources = s;
	return s;
}

void evloop_set_events(struct ev_source *s, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	epoll_ctl(s->loop->epfd, EPOLL_CTL_MOD, s->fd, &ev);
}

void evloop_del_fd(struct ev_source *s)
{
	if (!s || s->dead)
		return;
	epoll_ctl(s->loop->epfd, EPOLL_CTL_DEL, s->fd, NULL);
	*s->prev = s->next;
	if (s->next)
		s->next->prev = s->prev;
	s->dead = true;
	s->next = s->loop->dead;
	s->loop->dead = s;
}

uint64_t evloop_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void timers_arm(struct evloop *l)
{
	struct itimerspec its = { 0 };
	const struct ev_timer *t;
	uint64_t first = 0;

	for (t = l->timers; t; t = t->next)
		if (t->deadline && (!first || t->deadline < first))
			first = t->deadline;
	its.it_value.tv_sec = (time_t)(first / 1000000000u);
	its.it_value.tv_nsec = (long)(first % 1000000000u);
	timerfd_settime(l->timerfd, TFD_TIMER_ABSTIME, &its, NULL);
}

static struct ev_timer *timer_due(struct evloop *l, uint64_t now)
{
	struct ev_timer *t;

	for (t = l->timers; t; t = t->next)
		if (t->deadline && t->deadline <= now)
			return t;
	return NULL;
}

static void timers_fire(void *arg, int fd, uint32_t events)
{
	struct evloop *l = arg;
	uint64_t now = evloop_now_ns();
	struct ev_timer *t;

	wake_drain(arg, fd, events);
	/* A timer that sets itself to a time in the past fires in the next round only. */
	while ((t = timer_due(l, now))) {
		t->deadline = 0;
		t->fn(t->arg);
	}
	timers_arm(l);
}

static int timers_init(struct evloop *l)
{
	int fd;

	if (l->timerfd >= 0)
		return 0;
	fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (fd < 0)
		return -1;
	if (!evloop_add_fd(l, fd, EPOLLIN, timers_fire, l)) {
		close(fd);
		return -1;
	}
	l->timerfd = fd;
	return 0;
}

struct ev_timer *evloop_add_timer(struct evloop *l, void (*fn)(void *), void *arg)
{
	struct ev_timer *t = calloc(1, sizeof(*t));

	if (!t || timers_init(l) < 0) {
		free(t);
		return NULL;
	}
	*t = (struct ev_timer){ .loop = l, .fn = fn, .arg = arg, .next = l->timers };
	l->timers = t;
	return t;
}

void ev_timer_set(struct ev_timer *t, uint64_t deadline_ns)
{
	uint64_t now;

	if (deadline_ns) {
		/* A deadline in the past would make the loop in timers_fire() endless. */
		now = evloop_now_ns();
		deadline_ns = deadline_ns > now ? deadline_ns : now + 1;
	}
	t->deadline = deadline_ns;
	timers_arm(t->loop);
}

void evloop_del_timer(struct ev_timer *t)
{
	struct ev_timer **p;

	if (!t)
		return;
	for (p = &t->loop->timers; *p && *p != t; p = &(*p)->next)
		;
	if (*p)
		*p = t->next;
	timers_arm(t->loop);
	free(t);
}

static void evloop_wake(struct evloop *l)
{
	eventfd_signal(l->wakefd);
}

void evloop_call(struct evloop *l, struct ev_call *c)
{
	{
		scoped_lock(&l->lock);
		if (c->waits)
			return;
		c->waits = true;
		c->next = NULL;
		*l->calls_end = c;
		l->calls_end = &c->next;
	}
	evloop_wake(l);
}

void evloop_cancel(struct evloop *l, struct ev_call *c)
{
	struct ev_call **p = &l->calls;

	scoped_lock(&l->lock);
	while (*p && *p != c)
		p = &(*p)->next;
	if (!*p)
		return;
	*p = c->next;
	if (!*p)
		l->calls_end = p;
	c->waits = false;
}

/* Removes the first call from the queue. From now on it can be asked for again. */
static struct ev_call *call_pop(struct evloop *l)
{
	struct ev_call *c;

	scoped_lock(&l->lock);
	c = l->calls;
	if (c) {
		l->calls = c->next;
		if (!l->calls)
			l->calls_end = &l->calls;
		c->waits = false;
	}
	return c;
}

static unsigned calls_count(struct evloop *l)
{
	const struct ev_call *c;
	unsigned n = 0;

	scoped_lock(&l->lock);
	for (c = l->calls; c; c = c->next)
		n++;
	return n;
}

static bool is_stopped(struct evloop *l)
{
	return __atomic_load_n(&l->stopped, __ATOMIC_ACQUIRE);
}

/* Runs only the calls that are in the queue now. Calls that are added meanwhile have woken the
 * loop, and run after the descriptors have been handled. So signals are handled, whatever a guest
 * does. */
static void run_calls(struct evloop *l)
{
	unsigned n = calls_count(l);
	struct ev_call *c;

	while (n-- > 0 && !is_stopped(l) && (c = call_pop(l)))
		c->fn(c->arg);
}

int evloop_run(struct evloop *l)
{
	struct epoll_event ev[BATCH];
	int i, n;

	for (;;) {
		run_calls(l);
		if (is_stopped(l))
			break;
		n = epoll_wait(l->epfd, ev, BATCH, -1);
		for (i = 0; i < n; i++) {
			struct ev_source *s = ev[i].data.ptr;

			if (!s->dead)
				s->fn(s->arg, s->fd, ev[i].events);
		}
		reap(l);
	}
	__atomic_store_n(&l->stopped, 0, __ATOMIC_RELAXED);
	return l->value;
}

void evloop_stop(struct evloop *l, int value)
{
	l->value = value;
	/* Pairs with is_stopped(). If it is called twice, either value may be returned. */
	__atomic_store_n(&l->stopped, 1, __ATOMIC_RELEASE);
	evloop_wake(l);
}
