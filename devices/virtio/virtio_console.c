/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One port without features. Queue 0 carries the input of the guest, queue 1 its output.
 *
 * Input waits in the back end until the driver offers a buffer. When the back end asks for room, a
 * buffer is taken off the ring and kept until input comes.
 *
 * Each turn of the main loop writes only a limited piece of the output, because a single chain may
 * contain all of memory many times. While the reader is behind, requests stay on the ring.
 *
 * Threads: both queues are handled on the main loop under the device's lock. start() and stop() run
 * on vCPU threads under the same lock. The back end calls room() and input() without the lock, so
 * these callbacks take it.
 */
#include "devices/virtio/virtio_console.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>

#include "devices/backend/chardev.h"
#include "devices/virtio/virtio_pci.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/device.h"
#include "vmm/core/iov.h"

#define QUEUE_SIZE 64
#define TURN_BYTES (64 * KiB) /* of output, in one turn of the main loop */

enum { RX, TX, QUEUES }; /* §5.3.2 */

struct virtio_console {
	struct virtio_device vdev;
	struct chardev *back;
	void (*quit)(void *);
	void *quit_arg;
	bool rx_held; /* rx was taken off the ring and is still empty */
	bool tx_held; /* tx was taken off the ring and is not completely written */
	size_t tx_done;
	struct virtq_chain rx, tx;
};

static struct virtio_console *console_of(struct virtio_device *v)
{
	return container_of(v, struct virtio_console, vdev);
}

static void flush(struct virtio_queue *q)
{
	if (virtq_flush(&q->vq))
		virtio_notify_queue(q);
}

/* Takes a buffer with room off the ring and keeps it in rx. If there is none, asks for a kick. */
static bool hold_rx(struct virtio_console *c)
{
	struct virtio_queue *q = &c->vdev.queues[RX];
	int ret = 0;

	/* A buffer without room is returned. At most one ring of them is handled in one turn. */
	for (unsigned i = 0; i < QUEUE_SIZE && !c->rx_held; i++) {
		ret = virtq_pop(&q->vq, &c->rx);
		if (ret < 0 || (ret == 0 && !virtq_enable_kicks(&q->vq)))
			break;
		if (ret > 0 && c->rx.in_len == 0)
			virtq_push(&q->vq, c->rx.head, 0);
		c->rx_held = ret > 0 && c->rx.in_len != 0;
	}
	flush(q);
	if (ret < 0)
		virtio_broken(&c->vdev, "a ring entry is not valid");
	else if (!c->rx_held && virtq_pending(&q->vq))
		virtio_kick_self(q);
	return c->rx_held;
}

static size_t console_room(void *arg)
{
	struct virtio_console *c = arg;

	scoped_lock(&c->vdev.pci.lock);
	if (!c->vdev.started || !c->vdev.queues[RX].enabled || !hold_rx(c))
		return 0;
	return c->rx.in_len;
}

static void console_input(void *arg, const uint8_t *buf, size_t len)
{
	struct virtio_console *c = arg;
	struct virtio_queue *q = &c->vdev.queues[RX];
	size_t n;

	scoped_lock(&c->vdev.pci.lock);
	if (!c->rx_held)
		return; /* the device was reset meanwhile, so nobody reads the input */
	n = iov_write(&c->rx.iov[c->rx.nr_out], c->rx.nr_in, 0, buf, len);
	virtq_push(&q->vq, c->rx.head, (uint32_t)n);
	c->rx_held = false;
	flush(q);
}

static void console_quit(void *arg)
{
	struct virtio_console *c = arg;

	if (c->quit)
		c->quit(c->quit_arg);
}

/* Writes the next bytes of tx, at most *max. True: all of tx has been written. */
static bool write_piece(struct virtio_console *c, size_t *max)
{
	size_t skip = c->tx_done;

	for (unsigned k = 0; k < c->tx.nr_out && *max; k++) {
		size_t n = c->tx.iov[k].iov_len;

		if (skip >= n) {
			skip -= n;
			continue;
		}
		n = n - skip < *max ? n - skip : *max;
		chardev_write(c->back, (const char *)c->tx.iov[k].iov_base + skip, n);
		skip = 0;
		c->tx_done += n;
		*max -= n;
	}
	return c->tx_done == c->tx.out_len;
}

/* Handles at most one ring of requests and TURN_BYTES bytes in one turn, so that a guest that
 * prints all the time cannot block the main loop. */
static void transmit(struct virtio_console *c, struct virtio_queue *q)
{
	size_t left = TURN_BYTES;
	bool ready = true;
	int ret = 1;

	for (unsigned i = 0; i < QUEUE_SIZE && left && (ready = chardev_ask(c->back)); i++) {
		if (!c->tx_held) {
			ret = virtq_pop(&q->vq, &c->tx);
			if (ret <= 0)
				break;
			c->tx_done = 0;
		}
		c->tx_held = !write_piece(c, &left);
		if (!c->tx_held)
			virtq_push(&q->vq, c->tx.head, 0);
	}
	flush(q);
	if (ret < 0)
		virtio_broken(&c->vdev, "a ring entry is not valid");
	else if (ready && (c->tx_held || virtq_enable_kicks(&q->vq)))
		virtio_kick_self(q);
}

/* The back end calls this when its reader has caught up. */
static void console_ready(void *arg)
{
	struct virtio_console *c = arg;

	scoped_lock(&c->vdev.pci.lock);
	if (c->vdev.started && c->vdev.queues[TX].enabled)
		virtio_kick_self(&c->vdev.queues[TX]);
}

static void console_kicked(struct virtio_device *v, struct virtio_queue *q)
{
	struct virtio_console *c = console_of(v);

	if (q->index == RX)
		chardev_want(c->back);
	else
		transmit(c, q);
}

/* The driver may have added buffers before DRIVER_OK, so the back end may ask for room again. */
static int console_start(struct virtio_device *v)
{
	chardev_want(console_of(v)->back);
	return 0;
}

/* Returns the held buffers to the ring, because the device may continue there: the guest may have
 * switched only bus mastering off. A request that was partly written is then written again. */
static unsigned console_stop(struct virtio_device *v)
{
	struct virtio_console *c = console_of(v);

	virtq_unpop(&v->queues[RX].vq, c->rx_held);
	virtq_unpop(&v->queues[TX].vq, c->tx_held);
	c->rx_held = c->tx_held = false;
	return 0;
}

static const struct virtio_ops console_ops = {
	.id = VIRTIO_ID_CONSOLE,
	.class_code = 0x078000, /* communication controller, other */
	.start = console_start,
	.stop = console_stop,
	.kicked = console_kicked,
};

struct virtio_console *virtio_console_new(struct pci_root *root, struct pci_bus *bus, uint8_t devfn,
					  const char *spec, struct outputs *outputs,
					  void (*quit)(void *), void *arg, struct error *err)
{
	struct virtio_console *c = calloc(1, sizeof(*c));
	struct chardev_front front = {
		.room = console_room,
		.input = console_input,
		.quit = console_quit,
		.ready = console_ready,
		.opaque = c,
		.outputs = outputs,
	};

	if (!c) {
		error_set(err, -ENOMEM, "virtio-console: out of memory");
		return NULL;
	}
	c->quit = quit;
	c->quit_arg = arg;
	if (virtio_init(&c->vdev, "console", &console_ops, 0, QUEUES, QUEUE_SIZE, err)) {
		free(c);
		return NULL;
	}
	c->back = chardev_open(root->loop, spec, &front, err);
	if (c->back && virtio_realize(&c->vdev, root, bus, devfn, err) == 0)
		return c;
	virtio_console_free(c);
	return NULL;
}

void virtio_console_free(struct virtio_console *c)
{
	if (!c)
		return;
	virtio_destroy(&c->vdev);
	chardev_close(c->back);
	free(c);
}

/* ---- what a user asks for ---- */

struct console_opts {
	const char *to;
};

static int console_check(const struct device *d, const struct device_list *l, struct error *err)
{
	const struct console_opts *o = d->opts;

	(void)l;
	if (chardev_spec_ok(o->to))
		return 0;
	return error_set(err, -EINVAL, "%s is not supported: use " CHARDEV_SPECS, o->to);
}

/* Only checks the file, because opening would create it. */
static int console_open(struct device *d, const struct device_env *env, struct error *err)
{
	const struct console_opts *o = d->opts;

	return chardev_check(o->to, env->outputs, err);
}

static int console_plug(struct device *d, const struct device_env *env, struct error *err)
{
	const struct console_opts *o = d->opts;

	d->state = virtio_console_new(env->pci, env->bus, env->devfn, o->to, env->outputs,
				      env->power_off, env->power_off_arg, err);
	return d->state ? 0 : err->code;
}

static bool console_close(struct device *d)
{
	virtio_console_free(d->state);
	return true;
}

const struct device_class virtio_console_class = {
	.name = "virtio-console",
	.option = "console",
	.arg = "TO",
	.help = "  --console TO  virtio\n",
	.pci = true,
	.stage = DEVICE_WRITES,
	.most = 1,
	.opts_size = sizeof(struct console_opts),
	.check = console_check,
	.open = console_open,
	.plug = console_plug,
	.close = console_close,
};
