/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The main loop: epoll, timers, and calls from other threads.
 *
 * Threads: all callbacks run on the loop's thread, and all functions must be called on it, with two
 * exceptions: any thread may call evloop_call(), and any thread and any signal handler may call
 * evloop_stop().
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

/* events: EPOLLIN and others. The caller keeps owning fd. NULL with errno: out of memory, or epoll
 * does not support fd. */
struct ev_source *evloop_add_fd(struct evloop *, int fd, uint32_t events,
				void (*fn)(void *, int fd, uint32_t events), void *arg);
void evloop_set_events(struct ev_source *, uint32_t events);
void evloop_del_fd(struct ev_source *); /* may be called in any callback of the loop */

/* A one-shot timer. The deadline is CLOCK_MONOTONIC in nanoseconds; 0 switches the timer off. */
struct ev_timer *evloop_add_timer(struct evloop *, void (*fn)(void *), void *arg);
void ev_timer_set(struct ev_timer *, uint64_t deadline_ns);
void evloop_del_timer(struct ev_timer *);
uint64_t evloop_now_ns(void);

/* A function that other threads can ask the loop to run. The caller owns the object, and keeps it
 * until the function has run or the call was cancelled. It is in the queue at most once, however
 * often it is asked for. So a guest that causes many calls uses no memory, and at most one turn of
 * the loop for each object. */
struct ev_call {
	void (*fn)(void *);
	void *arg;
	/* for the loop only */
	struct ev_call *next;
	bool waits;
};

/* Asks the loop to run c->fn(c->arg) soon, in the order of the calls. If c is already in the queue,
 * nothing changes. If c->fn is running, it will run once more. */
void evloop_call(struct evloop *, struct ev_call *c);
/* Removes c from the queue, if it is there. Must be called before c is freed. */
void evloop_cancel(struct evloop *, struct ev_call *c);

int evloop_run(struct evloop *); /* runs until evloop_stop(), and returns its value */
void evloop_stop(struct evloop *, int value);

#endif
