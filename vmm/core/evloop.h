/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The main loop: epoll, timers, and calls from other threads.
 *
 * Threads: everything runs on, and is called from, the loop's own thread, except evloop_call() and
 * evloop_stop(), which any thread and any signal handler may use.
 */
#ifndef VMM_CORE_EVLOOP_H
#define VMM_CORE_EVLOOP_H

#include <stdbool.h>
#include <stdint.h>

struct evloop;
struct ev_source;
struct ev_timer;

struct evloop *evloop_new(void);
void evloop_free(struct evloop *);

/* events: EPOLLIN and friends. The loop does not own fd. NULL: out of memory or epoll refused
 * (errno). */
struct ev_source *evloop_add_fd(struct evloop *, int fd, uint32_t events,
				void (*fn)(void *, int fd, uint32_t events), void *arg);
void evloop_set_events(struct ev_source *, uint32_t events);
void evloop_del_fd(struct ev_source *); /* safe from within any callback of the loop */

/* One-shot timer on CLOCK_MONOTONIC, absolute nanoseconds; ev_timer_set(t, 0) disarms. */
struct ev_timer *evloop_add_timer(struct evloop *, void (*fn)(void *), void *arg);
void ev_timer_set(struct ev_timer *, uint64_t deadline_ns);
void evloop_del_timer(struct ev_timer *);
uint64_t evloop_now_ns(void);

/* Something to do on the loop's thread, for other threads to ask for. It belongs to the caller, in
 * place until it ran or was taken back, and waits at most once however often it is asked for: what
 * a guest causes takes no memory and no more turns than there are such objects. */
struct ev_call {
	void (*fn)(void *);
	void *arg;
	/* the loop's */
	struct ev_call *next;
	bool waits;
};

/* Runs c->fn(c->arg) on the loop's thread, soon and in order; once, when it waits already. What is
 * asked for while it runs makes it run again. */
void evloop_call(struct evloop *, struct ev_call *c);
/* Takes c back, if it waits. On the loop's thread; before c's memory goes. */
void evloop_cancel(struct evloop *, struct ev_call *c);

int evloop_run(struct evloop *); /* until evloop_stop(); returns its value */
void evloop_stop(struct evloop *, int value);

#endif
