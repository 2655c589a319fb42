/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a passed-through card has to say: it has an error, or the host wants it back.
 *
 * An error. The kernel tells of every error of the device that the hardware did not correct. After
 * a fatal one it has reset the link, and the device has lost what its driver had set. By on-error=,
 *
 *   unplug  the card is pulled out at once: DMA off, all ones wherever the guest reads it. A guest
 *           expects this of a slot that is hot-pluggable, and goes on. The card is reset, which
 *           opening does, looked at, and put into the same slot again, a few times at most;
 *   stop    the run ends before the guest uses wrong data;
 *   report  it is said, and nothing else happens.
 *
 * The host's wish. The guest is asked to let the card go, as by the button of its slot; a guest
 * that does not answer loses it. Otherwise an `unbind` on the host would wait for ever. Where the
 * slot is not hot-pluggable, the guest's power button is pressed, and then the run ends.
 *
 * Threads: main loop.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/cleanup.h"
#include "vmm/core/evloop.h"
#include "vmm/core/log.h"
#include "vmm/machine/card.h"

#define SECOND	    1000000000ull
#define FORCE_AFTER (20 * SECOND) /* a Linux guest lets go after 6 s */
#define LOOK_AGAIN  (SECOND / 200)
#define BACK_WITHIN (120 * SECOND)
#define TRIES	    3u
#define TRIES_IN    (600 * SECOND)

/* What goes on about the functions of one slot of the guest, which may be out of the machine
 * meanwhile. Its name is the address of function 0; a function that waits for function 0 has a case
 * of its own. */
struct card_case {
	struct card_case *next;
	struct machine_vfio *all;
	char bdf[VFIO_BDF_SIZE];
	uint64_t force_ns;	   /* when it is taken from a guest that was asked; 0: it was not */
	uint64_t pulled_ns[TRIES]; /* the last times that it was pulled out to be put back */
	uint64_t back_ns;	   /* until then it is awaited; 0: it is not */
	uint64_t pull_ns;	   /* when it is tried again to pull it out; 0: it is not */
	char failed[VFIO_BDF_SIZE]; /* ... and which function had the error */
};

/* ---- cases ---- */

/* NULL: it is not there, so f waits for it, or f was never in the guest. machine_vfio.lock held. */
static const struct card_function *function_0(const struct card_function *f)
{
	const struct card_function *other;

	for (unsigned i = 0; f->bus && (other = cards_function(f->card->all, i)); i++)
		if (other->bus == f->bus && other->fn == 0)
			return other;
	return NULL;
}

static void case_name(const struct card_function *f, char name[VFIO_BDF_SIZE])
{
	const struct card_function *first;

	scoped_lock(&f->card->all->lock);
	first = function_0(f);
	memcpy(name, first ? first->host.bdf : f->host.bdf, VFIO_BDF_SIZE);
}

static struct card_case *case_find(const struct card_function *f)
{
	struct card_case *c = f->card->all->cases;
	char name[VFIO_BDF_SIZE];

	case_name(f, name);
	while (c && strcmp(c->bdf, name) != 0)
		c = c->next;
	return c;
}

/* NULL: out of memory. */
static struct card_case *case_open(const struct card_function *f)
{
	struct card_case *c = case_find(f);

	if (c)
		return c;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->all = f->card->all;
	case_name(f, c->bdf);
	c->next = c->all->cases;
	c->all->cases = c;
	return c;
}

void cards_close_cases(struct machine_vfio *v)
{
	struct card_case *c;

	while ((c = v->cases)) {
		v->cases = c->next;
		free(c);
	}
	if (v->timer)
		evloop_del_timer(v->timer);
	v->timer = NULL;
}

static void say(const struct card_function *f, const char *event, const char *action)
{
	const struct vfio_news *news = &f->card->all->news;

	if (news->event)
		news->event(news->opaque, event, f->device->id ? f->device->id : f->host.bdf,
			    action);
}

static int unplug(const struct card_function *f, enum vfio_unplug how, struct error *err)
{
	const struct vfio_news *news = &f->card->all->news;

	return news->unplug(news->opaque, f->device, how, err);
}

/* ---- a guest that does not let go ---- */

static struct card_function *find_plugged(struct machine_vfio *v, const char *bdf)
{
	struct card_function *f;

	scoped_lock(&v->lock);
	for (unsigned i = 0; (f = cards_function(v, i)); i++)
		if (f->plugged && strcmp(f->host.bdf, bdf) == 0)
			return f;
	return NULL;
}

static void force_now(struct card_case *c)
{
	struct card_function *f = find_plugged(c->all, c->bdf);
	struct error err = { 0 };

	c->force_ns = 0;
	if (!f)
		return;
	log_warn("%s: the guest does not let it go: it is taken away", c->bdf);
	if (unplug(f, VFIO_UNPLUG_FORCE, &err) < 0)
		log_error("%s: %s", c->bdf, err.text);
}

static void cases_look(void *arg);

static void set_timer(struct machine_vfio *v)
{
	uint64_t first = 0;

	for (const struct card_case *c = v->cases; c; c = c->next) {
		if (c->force_ns && (!first || c->force_ns < first))
			first = c->force_ns;
		if (c->pull_ns && (!first || c->pull_ns < first))
			first = c->pull_ns;
	}
	if (!v->timer && first)
		v->timer = evloop_add_timer(v->pci->loop, cases_look, v);
	if (v->timer)
		ev_timer_set(v->timer, first);
}

static void cases_look(void *arg)
{
	struct machine_vfio *v = arg;
	uint64_t now = evloop_now_ns();

	for (struct card_case *c = v->cases; c; c = c->next) {
		struct card_function *failed = NULL;

		if (c->force_ns && c->force_ns <= now)
			force_now(c);
		if (c->pull_ns && c->pull_ns <= now)
			failed = find_plugged(v, c->failed);
		if (failed)
			v->on_error(failed, failed->host.bdf);
	}
	set_timer(v);
}

/* ---- coming and going ---- */

void card_has_left(const struct card_function *f)
{
	struct card_case *c = case_find(f);

	if (c)
		c->force_ns = c->pull_ns = 0;
}

void card_has_come(const struct card_function *f)
{
	struct card_case *c = case_find(f);
	bool awaited;

	if (!c || strcmp(c->bdf, f->host.bdf) != 0) /* function 0 comes last */
		return;
	awaited = c->back_ns > evloop_now_ns();
	c->back_ns = 0;
	if (!awaited)
		return;
	log_info("%s is back in the guest", f->host.bdf);
	say(f, "X_MINIVMM_DEVICE_RECOVERED", NULL);
}

/* ---- the host wants it back ---- */

static bool is_hot(const struct card_function *f)
{
	return f->card->all->news.unplug && f->device->id;
}

static void ask_guest(struct card_function *f, struct card_case *c)
{
	struct error err = { 0 };
	int ret;

	if (c->force_ns) /* the kernel asks every few seconds */
		return;
	c->force_ns = evloop_now_ns() + FORCE_AFTER;
	set_timer(c->all);
	ret = unplug(f, VFIO_UNPLUG_ASK, &err);
	log_warn("%s: the host wants it back: %s%s; it is taken away in %u s", f->host.bdf,
		 ret < 0 ? "the guest cannot be asked to let it go: "
			 : "the guest was asked to let it go",
		 ret < 0 ? err.text : "", (unsigned)(FORCE_AFTER / SECOND));
}

/* The kernel asks again every few seconds until the device is closed. */
void card_on_request(void *function, const char *name)
{
	struct card_function *f = function;
	struct machine_vfio *v = f->card->all;
	struct card_case *c;

	if (f->left)
		return;
	c = is_hot(f) ? case_open(f) : NULL;
	if (c) {
		ask_guest(f, c);
		return;
	}
	if (v->requests++ == 0 && v->news.power_button(v->news.opaque)) {
		log_warn("%s: the host wants it back: the guest's power button was pressed; the "
			 "next request stops the guest",
			 name);
		return;
	}
	log_warn("%s: the host wants it back: the guest is stopped", name);
	v->news.stop(v->news.opaque, 0);
}

/* ---- it has an error ---- */

static bool may_come_back(struct card_case *c)
{
	uint64_t now = evloop_now_ns();

	if (c->force_ns) /* the host wants it */
		return false;
	for (unsigned i = 0; i < TRIES; i++)
		if (!c->pulled_ns[i] || now - c->pulled_ns[i] > TRIES_IN) {
			c->pulled_ns[i] = now;
			c->back_ns = now + BACK_WITHIN;
			return true;
		}
	return false;
}

/* A processor holds the root lock for as long as the kernel resets a device, which may take a
 * minute when the device is dead. The main loop does not wait for it. */
static bool is_busy(struct card_case *c, const struct card_function *f)
{
	pthread_mutex_t *root = &c->all->pci->lock;

	c->pull_ns = 0;
	memcpy(c->failed, f->host.bdf, sizeof(c->failed));
	if (pthread_mutex_trylock(root) == 0) {
		pthread_mutex_unlock(root);
		return false;
	}
	c->pull_ns = evloop_now_ns() + LOOK_AGAIN;
	set_timer(c->all);
	return true;
}

static bool pull_out(struct card_function *f)
{
	struct card_case *c = is_hot(f) ? case_open(f) : NULL;
	struct error err = { 0 };
	bool back;

	if (!c)
		return false;
	if (is_busy(c, f))
		return true;
	back = may_come_back(c);
	say(f, "X_MINIVMM_DEVICE_ERROR", "unplug");
	log_error("%s reports an error that cannot be corrected: it is taken from the guest%s; the "
		  "host's dmesg says more",
		  f->host.bdf, back ? ", reset and put back" : " and stays out");
	if (unplug(f, back ? VFIO_UNPLUG_REPLACE : VFIO_UNPLUG_FORCE, &err) == 0)
		return true;
	log_error("%s: %s", f->host.bdf, err.text);
	return false;
}

void card_on_error(void *function, const char *name)
{
	struct card_function *f = function;
	struct machine_vfio *v = f->card->all;

	if (f->left) /* the function beside it had the same error */
		return;
	if (f->opt->on_error == VFIO_ON_ERROR_REPORT) {
		say(f, "X_MINIVMM_DEVICE_ERROR", "report");
		log_error("%s reports an error that cannot be corrected: on-error=report leaves it "
			  "to the guest; the host's dmesg says more",
			  name);
		return;
	}
	if (f->opt->on_error != VFIO_ON_ERROR_STOP && pull_out(f))
		return;
	say(f, "X_MINIVMM_DEVICE_ERROR", "stop");
	log_error("%s reports an error that cannot be corrected: the guest is stopped before it "
		  "uses wrong data; the host's dmesg says more",
		  name);
	v->news.stop(v->news.opaque, 1);
}
