/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the thread of a vhost-user device does, in each of its turns:
 *
 *   1. It takes the rings back, when the driver or a pause wants that (stop).
 *   2. It connects to the back end, when there is no connection, four times a second.
 *   3. It hands the rings over, when the driver wants that and there is a connection.
 *   4. It sleeps until one of these is wanted, or the connection ends.
 *
 * When a back end dies, the requests that it had taken and not finished are the question. They may
 * not be forgotten, and they may not be carried out again when they were finished, because the
 * driver may have used their memory for something else. Three cases are safe: there are no such
 * requests; the back end keeps track of them in memory that outlives it (INFLIGHT); or the class of
 * device is served in order, and the ring agrees with that. Then a new back end goes on behind the
 * last request that the driver knows to be finished. In all other cases the device needs a reset by
 * the driver, and its rings are not served until then.
 *
 * Threads: the thread owns the connection, and the rings between start() and virtio_left().
 */
#include "devices/virtio/vhost_user_device.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "devices/backend/iothread.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/device.h"
#include "vmm/core/error.h"
#include "vmm/core/eventfd.h"
#include "vmm/core/mem.h"

#define AGAIN_NS 250000000ull
/* One that fails again and again as soon as it is there gets longer pauses, up to 4 s. */
#define FAILURES_MAX 4u
#define BIT(n)	     (1ull << (n))

#define ASK_START    1u
#define ASK_STOP     2u
#define ASK_COMMANDS 4u

/* ---- news for those who control the machine ---- */

static void news_tell(void *arg)
{
	struct vhost_user_device *d = arg;
	bool connected;

	pthread_mutex_lock(&d->news_lock);
	connected = d->connected;
	pthread_mutex_unlock(&d->news_lock);
	if (connected != d->told_connected && d->event)
		d->event(d->event_arg,
			 connected ? "X_MINIVMM_BACKEND_BACK" : "X_MINIVMM_BACKEND_LOST",
			 d->id ? d->id : d->name);
	d->told_connected = connected;
}

static void news_are(struct vhost_user_device *d, bool connected)
{
	scoped_lock(&d->news_lock);

	d->connected = connected;
	if (d->loop)
		evloop_call(d->loop, &d->news);
}

static void news_end(struct vhost_user_device *d)
{
	scoped_lock(&d->news_lock);

	if (d->loop)
		evloop_cancel(d->loop, &d->news);
	d->loop = NULL;
}

/* ---- the end of a connection ---- */

static unsigned ring_count(const struct vhost_user_device *d)
{
	return d->kind->rings(d);
}

/* Where a new back end goes on, and the number of requests whose fate is not known. */
static unsigned rings_abandoned(struct vhost_user_device *d)
{
	unsigned unknown = 0;

	for (unsigned i = 0; i < ring_count(d); i++) {
		struct virtq *vq = &d->vdev.queues[i].vq;

		if (!d->vdev.queues[i].enabled)
			continue;
		virtq_resume(vq);
		if (d->inflight.fd < 0 && !(d->kind->in_order && virtq_in_order(vq)))
			unknown += virtq_unfinished(vq);
	}
	return unknown;
}

void vhost_user_device_lose(struct vhost_user_device *d, const struct error *why)
{
	unsigned unknown = d->running ? rings_abandoned(d) : 0;
	unsigned shift = d->failures < FAILURES_MAX ? d->failures++ : FAILURES_MAX;

	vhost_user_close(&d->back);
	d->running = d->has_memory = false;
	d->again_ns = evloop_now_ns() + (AGAIN_NS << shift);
	news_are(d, false);
	if (unknown) {
		d->lost = true;
		virtio_needs_reset(&d->vdev);
	}
	if (d->ended || !log_allow(LOG_WARN, &d->limit))
		return;
	if (unknown)
		log_warn("%s %s: %s: the fate of %u requests is not known, so the device needs a "
			 "reset by the guest: restart the back end, then reset the guest if it "
			 "does not go on",
			 d->kind->option, d->path, why->text, unknown);
	else
		log_warn("%s %s: %s: the guest's requests wait until the back end is back",
			 d->kind->option, d->path, why->text);
}

/* ---- start and stop ---- */

/* Those that the back end is told of. */
static uint64_t used_features(const struct vhost_user_device *d)
{
	return d->vdev.guest_features & (d->back.features | ~d->own);
}

static int check_features(const struct vhost_user_device *d, struct error *err)
{
	uint64_t lacks = used_features(d) & ~d->back.features;

	return lacks ? error_set(err, -EOPNOTSUPP,
				 "the back end lacks features that the guest uses (%#llx)",
				 (unsigned long long)lacks)
		     : 0;
}

static int send_inflight(struct vhost_user_device *d, struct error *err)
{
	const struct virtio_queue *q = d->vdev.queues;
	int ret = 0;

	if (d->kind->in_order || !vhost_user_has(&d->back, VHOST_USER_INFLIGHT))
		return 0;
	if (d->fresh)
		cleanup_close(&d->inflight.fd);
	if (d->fresh || d->inflight.fd < 0) {
		d->inflight.fd = -1;
		ret = vhost_user_get_inflight(&d->back, ring_count(d), q->max_size, &d->inflight,
					      err);
	}
	return ret ? ret : vhost_user_set_inflight(&d->back, &d->inflight, err);
}

static int send_ring(struct vhost_user_device *d, unsigned i, struct error *err)
{
	struct virtio_queue *q = &d->vdev.queues[i];
	const struct vhost_user_ring r = {
		.index = i,
		.size = q->vq.size,
		.base = q->vq.last_avail,
		.desc = q->vq.desc,
		.avail = q->vq.avail,
		.used = q->vq.used,
		.kick = q->kick_fd,
		.call = virtio_queue_call_fd(q),
		.err = d->ring_err,
	};

	return vhost_user_set_ring(&d->back, &r, err);
}

static int send_rings(struct vhost_user_device *d, struct error *err)
{
	const struct vhost_user_kind *k = d->kind;
	int ret = 0;

	for (unsigned i = 0; i < ring_count(d) && !ret; i++)
		if (d->vdev.queues[i].enabled)
			ret = send_ring(d, i, err);
	for (unsigned i = 0; i < ring_count(d) && !ret; i++)
		if (d->vdev.queues[i].enabled)
			ret = vhost_user_enable_ring(&d->back, i, !k->enabled || k->enabled(d, i),
						     err);
	return ret ? ret : vhost_user_sync(&d->back, err);
}

/* Memory never changes while the guest runs. */
static int send_device(struct vhost_user_device *d, struct error *err)
{
	int ret = check_features(d, err);

	if (!ret)
		ret = vhost_user_set_features(&d->back, used_features(d), err);
	if (!ret && !d->has_memory)
		ret = vhost_user_set_memory(&d->back, d->vdev.mem, err);
	d->has_memory |= !ret;
	return ret ? ret : send_inflight(d, err);
}

static void work_start(struct vhost_user_device *d)
{
	struct error err = { 0 };
	int ret;

	eventfd_drain(d->ring_err); /* that was about the rings before a reset */
	ret = send_device(d, &err);

	/* From here on, the back end may have taken requests. */
	d->running = !ret;
	d->fresh &= ret != 0;
	if (!ret)
		ret = send_rings(d, &err);
	if (ret) {
		vhost_user_device_lose(d, &err);
		return;
	}
	d->failures = 0;
	for (unsigned i = 0; i < ring_count(d); i++)
		if (d->vdev.queues[i].enabled)
			eventfd_signal(d->vdev.queues[i].kick_fd);
}

static int take_rings(struct vhost_user_device *d, struct error *err)
{
	int ret = 0;

	for (unsigned i = 0; i < ring_count(d) && !ret; i++)
		if (d->vdev.queues[i].enabled)
			ret = vhost_user_stop_ring(&d->back, i, &d->vdev.queues[i].vq.last_avail,
						   err);
	return ret;
}

static void work_stop(struct vhost_user_device *d)
{
	struct error err = { 0 };

	if (d->running && take_rings(d, &err))
		vhost_user_device_lose(d, &err);
	d->wanted = d->running = false;
	virtio_left(&d->vdev); /* may ask for a start */
}

/* ---- the thread ---- */

static void work_connect(struct vhost_user_device *d)
{
	struct error err = { 0 };
	int ret;

	if (evloop_now_ns() < d->again_ns)
		return;
	ret = vhost_user_connect(&d->back, d->path, &err);
	if (!ret)
		ret = d->kind->connected(d, &err);
	if (!ret && d->wanted) /* then the driver's features are final */
		ret = check_features(d, &err);
	if (!ret) {
		if (log_allow(LOG_WARN, &d->limit))
			log_warn("%s %s: the back end is back", d->kind->option, d->path);
		news_are(d, true);
		return;
	}
	vhost_user_close(&d->back);
	d->again_ns = evloop_now_ns() + AGAIN_NS;
	if (ret != -ENOENT && ret != -ECONNREFUSED && !d->ended && log_allow(LOG_WARN, &d->limit))
		log_warn("%s %s: %s", d->kind->option, d->path, err.text);
}

static int wait_ms(const struct vhost_user_device *d)
{
	uint64_t now = evloop_now_ns();

	if (d->back.sock >= 0)
		return -1;
	return now < d->again_ns ? (int)((d->again_ns - now) / 1000000) + 1 : 0;
}

/* What the back end says about rings that it does not have is of no interest, nor what it repeats.
 */
static bool hears_rings(const struct vhost_user_device *d)
{
	return d->running && !(d->vdev.status & VIRTIO_CONFIG_S_NEEDS_RESET);
}

static void work_configure(struct vhost_user_device *d, struct error *err)
{
	if (d->kind->connected(d, err) == 0 && log_allow(LOG_INFO, &d->limit))
		log_info("%s %s: the back end has changed its configuration", d->kind->option,
			 d->path);
}

/* Without a request of ours, the back end sends nothing but requests of its own. */
static void work_wait(struct vhost_user_device *d)
{
	struct pollfd p[4] = { { d->wake, POLLIN, 0 },
			       { hears_rings(d) ? d->ring_err : -1, POLLIN, 0 },
			       { d->back.sock, POLLRDHUP, 0 },
			       { d->back.requests, POLLIN, 0 } };
	struct error err = { 0 };

	if (poll(p, 4, wait_ms(d)) <= 0)
		return;
	if (p[0].revents)
		eventfd_drain(d->wake);
	if (p[1].revents && eventfd_drain(d->ring_err))
		virtio_broken(&d->vdev, "the back end reports that a ring is not valid");
	if (p[2].revents)
		error_set(&err, -ECONNRESET, "the back end has closed the connection");
	else if (p[3].revents && vhost_user_request(&d->back, &err) > 0)
		work_configure(d, &err);
	if (err.code)
		vhost_user_device_lose(d, &err);
}

static void work_turn(struct vhost_user_device *d)
{
	unsigned asked = atomic_exchange(&d->asked, 0);

	if (asked & ASK_STOP) {
		work_stop(d);
		return;
	}
	d->wanted |= asked & ASK_START;
	if (d->back.sock < 0)
		work_connect(d);
	if (d->back.sock >= 0 && d->wanted && !d->running && !d->lost)
		work_start(d);
	if ((asked & ASK_COMMANDS) && d->wanted)
		d->kind->commands(d);
	work_wait(d);
}

static void device_loop(void *arg)
{
	struct vhost_user_device *d = arg;

	while (iothread_wanted(d->thread))
		work_turn(d);
}

static const struct iothread_ops thread_ops = { .run = device_loop };

/* ---- the device ---- */

static void ask(struct vhost_user_device *d, unsigned what)
{
	atomic_fetch_or(&d->asked, what);
	eventfd_signal(d->wake);
}

int vhost_user_device_start(struct virtio_device *v)
{
	ask(vhost_user_of(v), ASK_START);
	return 0;
}

unsigned vhost_user_device_stop(struct virtio_device *v)
{
	struct vhost_user_device *d = vhost_user_of(v);

	/* What else it was asked for is of no use any more. */
	atomic_store(&d->asked, ASK_STOP);
	eventfd_signal(d->wake);
	return 1;
}

void vhost_user_device_reset(struct virtio_device *v)
{
	struct vhost_user_device *d = vhost_user_of(v);

	d->lost = false;
	d->fresh = true;
}

void vhost_user_device_command(struct virtio_device *v, struct virtio_queue *q)
{
	(void)q;
	ask(vhost_user_of(v), ASK_COMMANDS);
}

bool vhost_user_device_stops(const struct vhost_user_device *d)
{
	return d->asked & ASK_STOP;
}

static const char *path_of(const struct device *d)
{
	return *(const char *const *)d->opts;
}

int vhost_user_device_check(const struct device *d, const struct device_list *l, struct error *err)
{
	const struct device *before = NULL;

	while ((before = device_next(l, d->class, before)) && before != d)
		if (strcmp(path_of(before), path_of(d)) == 0)
			return error_set(err, -EINVAL,
					 "%s is given twice: a back end serves one device",
					 path_of(d));
	return 0;
}

static int connect_first(struct vhost_user_device *d, struct error *err)
{
	int ret;

	d->back.starting = true;
	ret = vhost_user_connect(&d->back, d->path, err);
	if (!ret && !(d->back.features & BIT(VIRTIO_F_VERSION_1)))
		ret = error_set(err, -EOPNOTSUPP,
				"the back end lacks the feature VERSION_1: use one that speaks "
				"virtio 1.0");
	if (!ret)
		ret = d->kind->connected(d, err);
	d->back.starting = false;
	return ret;
}

int vhost_user_device_open(struct vhost_user_device *d, const struct vhost_user_kind *kind,
			   const char *path, struct error *err)
{
	int ret = 0;

	d->kind = kind;
	d->path = path;
	d->inflight.fd = -1;
	vhost_user_init(&d->back);
	pthread_mutex_init(&d->news_lock, NULL);
	d->wake = eventfd_new();
	d->ring_err = eventfd_new();
	if (d->wake < 0 || d->ring_err < 0)
		ret = error_set(err, -errno, "eventfd: %s", strerror(errno));
	ret = ret ? ret : connect_first(d, err);
	return ret ? error_prefix(err, "%s", path) : 0;
}

static void news_begin(struct vhost_user_device *d, const struct device_env *env, const char *id)
{
	scoped_lock(&d->news_lock);

	d->news = (struct ev_call){ .fn = news_tell, .arg = d };
	d->event = env->event;
	d->event_arg = env->event_arg;
	d->id = id;
	d->connected = d->told_connected = true;
	d->loop = env->pci->loop;
}

int vhost_user_device_plug(struct vhost_user_device *d, const struct device_env *env,
			   const struct vhost_user_plug *p, struct error *err)
{
	struct virtio_device *v = &d->vdev;
	int ret;

	if (guest_mem_file(env->pci->mem).fd < 0)
		return error_set(err, -EINVAL,
				 "the machine was started without such a device, so its memory is "
				 "private: start it with one");
	ret = virtio_init(v, d->name, p->ops, p->features, p->queues, p->queue_size, err);
	if (ret)
		return ret;
	d->initialized = true;
	v->features = (v->features & d->back.features) | p->own;
	d->own = p->own;
	d->thread = iothread_new(d->name, d->wake, &thread_ops, d, err);
	if (!d->thread)
		return err->code;
	news_begin(d, env, p->id);
	ret = virtio_realize(v, env->pci, env->bus, env->devfn, err);
	if (!ret)
		iothread_resume(d->thread);
	return ret;
}

void vhost_user_device_unplug(struct vhost_user_device *d)
{
	news_end(d);
	virtio_unplug(&d->vdev);
}

/* A back end that does not answer is not waited for: memory is ours, and it has a mapping of its
 * own. */
static bool device_destroy(struct vhost_user_device *d)
{
	if (!d->initialized || virtio_destroy(&d->vdev))
		return true;
	d->ended = true;
	vhost_user_abort(&d->back);
	for (unsigned i = 0; i < 1000; i++) {
		if (virtio_destroy(&d->vdev))
			return true;
		usleep(1000);
	}
	return false;
}

bool vhost_user_device_free(struct vhost_user_device *d)
{
	news_end(d);
	if (!device_destroy(d))
		return false;
	d->ended = true;
	vhost_user_abort(&d->back);
	iothread_free(d->thread);
	vhost_user_destroy(&d->back);
	cleanup_close(&d->wake);
	cleanup_close(&d->ring_err);
	cleanup_close(&d->inflight.fd);
	pthread_mutex_destroy(&d->news_lock);
	return true;
}
