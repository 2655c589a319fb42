/* SPDX-License-Identifier: BSD-2-Clause */
/* The controller's thread, replaced by --wrap: its loop runs on the test's thread, when the test
 * says so, until nothing is left to do. */
#ifndef TESTS_UNIT_INLINE_LOOP_H
#define TESTS_UNIT_INLINE_LOOP_H

#include "devices/backend/iothread.h"
#include "tests/unit/fake_xhci.h"

struct iothread *__wrap_iothread_new(const char *, int, const struct iothread_ops *, void *,
				     struct error *);
void __wrap_iothread_resume(struct iothread *);
void __wrap_iothread_free(struct iothread *);
bool __wrap_iothread_wanted(const struct iothread *);

struct iothread *__wrap_iothread_new(const char *name, int fd, const struct iothread_ops *ops,
				     void *arg, struct error *err)
{
	(void)name;
	(void)fd;
	(void)ops;
	(void)err;
	return arg;
}

void __wrap_iothread_resume(struct iothread *t)
{
	(void)t;
}

void __wrap_iothread_free(struct iothread *t)
{
	(void)t;
}

bool __wrap_iothread_wanted(const struct iothread *t)
{
	(void)t;
	return true;
}

struct loop_end {
	struct ev_call call;
	struct evloop *loop;
	unsigned left;
};

static void loop_end(void *arg)
{
	struct loop_end *e = arg;

	if (e->left--)
		evloop_call(e->loop, &e->call);
	else
		evloop_stop(e->loop, 0);
}

/* A few rounds of the loop. */
static void inline_turn(struct hc *h)
{
	struct loop_end e = { .loop = h->x->loop, .left = 3 };

	e.call = (struct ev_call){ .fn = loop_end, .arg = &e };
	evloop_call(h->x->loop, &e.call);
	evloop_run(h->x->loop);
}

#endif
