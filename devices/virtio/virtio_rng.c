/* SPDX-License-Identifier: BSD-2-Clause */
/* One queue of buffers that are filled with random bytes. It is handled on the main loop: a guest
 * reads a few hundred bytes at boot and little later, so an own thread would not help. */
#include "devices/virtio/virtio_rng.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <sys/random.h>

#include "devices/virtio/virtio_pci.h"
#include "vmm/core/device.h"
#include "vmm/core/iov.h"

#define QUEUE_SIZE 64
#define FILL_MAX   4096 /* bytes for one request; short answers are allowed (§5.4.6.1) */

struct virtio_rng {
	struct virtio_device vdev;
	struct virtq_chain chain; /* the current request */
};

static uint32_t fill(const struct virtq_chain *c)
{
	uint8_t buf[FILL_MAX];
	ssize_t n = getrandom(buf, c->in_len < FILL_MAX ? c->in_len : FILL_MAX, GRND_NONBLOCK);

	return n > 0 ? (uint32_t)iov_write(&c->iov[c->nr_out], c->nr_in, 0, buf, (size_t)n) : 0;
}

/* Handles at most one ring of requests in one turn, so that a guest that adds buffers all the time
 * cannot block the main loop. */
static void rng_kicked(struct virtio_device *v, struct virtio_queue *q)
{
	struct virtio_rng *r = container_of(v, struct virtio_rng, vdev);
	int ret = 0;

	for (unsigned i = 0; i < QUEUE_SIZE; i++) {
		ret = virtq_pop(&q->vq, &r->chain);
		if (ret <= 0)
			break;
		virtq_push(&q->vq, r->chain.head, fill(&r->chain));
	}
	if (virtq_flush(&q->vq))
		virtio_notify_queue(q);
	if (ret < 0)
		virtio_broken(v, "a ring entry is not valid");
	else if (virtq_enable_kicks(&q->vq))
		virtio_kick_self(q);
}

static int rng_start(struct virtio_device *v)
{
	(void)v;
	return 0;
}

static unsigned rng_stop(struct virtio_device *v)
{
	(void)v;
	return 0; /* all work is done under the device's lock, so no request is in flight */
}

static const struct virtio_ops rng_ops = {
	.id = VIRTIO_ID_RNG,
	.class_code = 0xff0000, /* unclassified */
	.start = rng_start,
	.stop = rng_stop,
	.kicked = rng_kicked,
};

struct virtio_rng *virtio_rng_new(struct pci_root *root, struct pci_bus *bus, uint8_t devfn,
				  struct error *err)
{
	struct virtio_rng *r = calloc(1, sizeof(*r));

	if (!r) {
		error_set(err, -ENOMEM, "virtio-rng: out of memory");
		return NULL;
	}
	if (virtio_init(&r->vdev, "rng", &rng_ops, 0, 1, QUEUE_SIZE, err))
		goto fail;
	if (virtio_realize(&r->vdev, root, bus, devfn, err) == 0)
		return r;
	virtio_destroy(&r->vdev);
fail:
	free(r);
	return NULL;
}

void virtio_rng_free(struct virtio_rng *r)
{
	if (!r)
		return;
	virtio_destroy(&r->vdev);
	free(r);
}

/* ---- what a user asks for ---- */

static int rng_plug(struct device *d, const struct device_env *env, struct error *err)
{
	d->state = virtio_rng_new(env->pci, env->bus, env->devfn, err);
	return d->state ? 0 : err->code;
}

static void rng_unplug(struct device *d)
{
	struct virtio_rng *r = d->state;

	if (r)
		virtio_unplug(&r->vdev);
}

static bool rng_close(struct device *d)
{
	virtio_rng_free(d->state);
	return true;
}

const struct device_class virtio_rng_class = {
	.name = "virtio-rng",
	.option = "rng",
	.help = "  --rng\n",
	.pci = true,
	.most = 1,
	.plug = rng_plug,
	.unplug = rng_unplug,
	.close = rng_close,
};
