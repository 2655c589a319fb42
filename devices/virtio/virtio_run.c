/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Decides when a virtio device may use its rings.
 *
 * It may while DRIVER_OK and bus mastering are set and the machine is not paused. When one of these
 * ends, ops->stop() asks the device to leave its rings. The threads of a device leave when their
 * requests in flight have completed; each of them then calls virtio_left(). If storage hangs, this
 * may never happen. Until the last thread has left, the device is neither started nor reset, and
 * nobody waits for it while holding a lock.
 *
 * But the vCPU waits up to GRACE_NS without the device's lock, once for each stop. The reason: a
 * reset is complete when device_status reads 0, and drivers must wait for that (VIRTIO 1.2
 * §4.1.4.3.2). Linux does; OVMF goes on at once. Its disks are idle then, so the threads only need
 * to wake up. The same holds for a guest that clears bus mastering and then uses the memory for
 * something else.
 *
 * Kicks that come while the device does not use its rings are not lost: when it starts, each
 * enabled queue is kicked.
 *
 * Threads: see virtio_pci.h.
 */
#include "devices/virtio/virtio_run.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <time.h>

#include "devices/virtio/virtio_pci.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/eventfd.h"
#include "vmm/core/evloop.h"

#define GRACE_NS 100000000ull
#define END_NS	 1000000000ull /* how long virtio_end() waits, counted from ops->stop() */

void virtio_run_init(struct virtio_device *v, const struct virtio_run_ops *ops)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&v->left, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&v->leaf, NULL);
	v->run_ops = ops;
}

void virtio_run_destroy(struct virtio_device *v)
{
	pthread_mutex_destroy(&v->leaf);
	pthread_cond_destroy(&v->left);
}

/* ---- doorbells ---- */

static struct doorbell queue_doorbell(const struct virtio_queue *q)
{
	return (struct doorbell){
		.addr = q->vdev->bar_addr + VIRTIO_REG_NOTIFY + q->index * VIRTIO_NOTIFY_MUL,
		.datamatch = -1,
		.fd = q->kick_fd,
	};
}

/* Called with `leaf` held, whenever one of the conditions may have changed. If a doorbell cannot be
 * added, kicks still arrive as writes to the notify page. */
static void doorbells_set(struct virtio_device *v, bool want)
{
	for (unsigned i = 0; i < v->n_queues; i++) {
		struct virtio_queue *q = &v->queues[i];
		struct doorbell d = queue_doorbell(q);

		if (want && q->enabled && !q->direct && !q->doorbell) {
			q->doorbell = bus_doorbell_add(v->pci.root->mmio, &d) == 0;
		} else if (!want && q->doorbell) {
			bus_doorbell_del(v->pci.root->mmio, &d);
			q->doorbell = false;
		}
	}
}

void virtio_moved(struct virtio_device *v, uint64_t bar_addr)
{
	scoped_lock(&v->leaf);

	doorbells_set(v, false);
	v->bar_addr = bar_addr;
	doorbells_set(v, bar_addr && v->started);
}

static void set_started(struct virtio_device *v, bool started)
{
	scoped_lock(&v->leaf);

	v->started = started;
	doorbells_set(v, started && v->bar_addr);
}

/* ---- start and stop ---- */

void virtio_kick_self(struct virtio_queue *q)
{
	if (q->direct)
		q->vdev->ops->command(q->vdev, q);
	else
		eventfd_signal(q->kick_fd);
}

static void device_start(struct virtio_device *v)
{
	set_started(v, true);
	if (v->ops->start(v)) {
		set_started(v, false);
		v->driver_ok = false;
		v->run_ops->broken(v, "it cannot start");
		return;
	}
	/* The driver may have added requests before the doorbells existed. */
	for (unsigned i = 0; i < v->n_queues; i++)
		if (v->queues[i].enabled)
			virtio_kick_self(&v->queues[i]);
}

static void device_stop(struct virtio_device *v)
{
	v->stopped_ns = evloop_now_ns();
	v->leaving = v->ops->stop(v);
	set_started(v, false);
}

/* Takes the next possible step: stop, reset or start. */
static void settle(struct virtio_device *v)
{
	bool want = v->driver_ok && v->master && !v->resetting && !v->paused;

	if (v->started && !want)
		device_stop(v);
	if (v->started || v->leaving || v->ended)
		return;
	if (v->resetting) {
		v->run_ops->registers_reset(v);
		v->resetting = false;
	} else if (want) {
		device_start(v);
	}
}

void virtio_left(struct virtio_device *v)
{
	scoped_lock(&v->pci.lock);

	v->leaving--;
	settle(v);
	pthread_cond_broadcast(&v->left);
}

/* Waits for the device to leave its rings, at most until `ns` after the stop; releases the device's
 * lock meanwhile. True: it has left. */
static bool wait_left(struct virtio_device *v, uint64_t ns)
{
	uint64_t end = v->stopped_ns + ns;
	struct timespec t = { (time_t)(end / 1000000000), (long)(end % 1000000000) };

	while (v->leaving)
		if (pthread_cond_timedwait(&v->left, &v->pci.lock, &t) == ETIMEDOUT)
			break;
	return !v->leaving;
}

void virtio_driver_ok(struct virtio_device *v)
{
	v->driver_ok = true;
	settle(v);
}

static void reset_begin(struct virtio_device *v)
{
	v->driver_ok = false;
	v->resetting = true;
	settle(v);
}

void virtio_reset(struct virtio_device *v)
{
	reset_begin(v);
	wait_left(v, GRACE_NS);
}

bool virtio_quiesce(struct virtio_device *v)
{
	scoped_lock(&v->pci.lock);

	reset_begin(v);
	return !v->leaving;
}

bool virtio_pause(struct virtio_device *v, bool pause)
{
	scoped_lock(&v->pci.lock);

	v->paused = pause;
	settle(v);
	return !v->leaving;
}

void virtio_master_changed(struct virtio_device *v)
{
	v->master = pci_bus_master(&v->pci);
	settle(v);
	if (!v->master)
		wait_left(v, GRACE_NS);
}

bool virtio_end(struct virtio_device *v)
{
	scoped_lock(&v->pci.lock);

	v->ended = true;
	v->driver_ok = false;
	settle(v);
	return wait_left(v, END_NS);
}
