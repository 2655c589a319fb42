/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk that another process serves. Its configuration (size, block size, limits) comes from the
 * back end; we set only the number of queues.
 *
 * CONFIG_WCE is not offered: the driver could then change the cache mode, and would not wait until
 * the back end knows. Without it, a flush makes all finished writes durable, as FLUSH says.
 */
#include "devices/virtio/vhost_user_blk.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/virtio/vhost_user_device.h"
#include "vmm/core/device.h"
#include "vmm/core/error.h"

#define QUEUES_MAX  16
#define QUEUES_AUTO 4u
#define QUEUE_SIZE  128
/* Up to the fields of WRITE_ZEROES; not all back ends have more. */
#define CONFIG_SIZE 60u

#define BIT(n) (1ull << (n))
#define BLK_FEATURES                                                                           \
	(BIT(VIRTIO_BLK_F_SIZE_MAX) | BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_GEOMETRY) | \
	 BIT(VIRTIO_BLK_F_RO) | BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_FLUSH) |         \
	 BIT(VIRTIO_BLK_F_TOPOLOGY) | BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES))

static_assert(offsetof(struct virtio_blk_config, num_queues) == 34, "VIRTIO 1.2 5.2.4");
static_assert(sizeof(struct virtio_blk_config) >= CONFIG_SIZE, "VIRTIO 1.2 5.2.4");

struct vhost_user_blk {
	struct vhost_user_device dev;
	uint8_t config[CONFIG_SIZE];
	unsigned queues;
};

static struct vhost_user_blk *blk_of(struct vhost_user_device *d)
{
	return container_of(d, struct vhost_user_blk, dev);
}

static void config_set_queues(uint8_t *config, unsigned queues)
{
	const __le16 n = htole16((uint16_t)queues);

	memcpy(config + offsetof(struct virtio_blk_config, num_queues), &n, sizeof(n));
}

/* The guest may read it meanwhile. */
static void config_update(struct vhost_user_blk *b, const uint8_t *config)
{
	if (memcmp(b->config, config, CONFIG_SIZE) == 0)
		return;
	for (unsigned i = 0; i < CONFIG_SIZE; i++)
		__atomic_store_n(&b->config[i], config[i], __ATOMIC_RELAXED);
	if (b->dev.initialized)
		virtio_config_changed(&b->dev.vdev);
}

static int blk_connected(struct vhost_user_device *d, struct error *err)
{
	struct vhost_user_blk *b = blk_of(d);
	uint8_t config[CONFIG_SIZE];
	int ret;

	if (!vhost_user_has(&d->back, VHOST_USER_CONFIG))
		return error_set(err, -EOPNOTSUPP,
				 "the back end lacks the protocol feature CONFIG, by which a disk "
				 "tells its size: it may be one for a network card, or too old");
	if (b->queues > d->back.queues)
		return error_set(err, -EINVAL,
				 "the back end has %u queues: use queues=%u, or give it more "
				 "(num-queues=%u of qemu-storage-daemon)",
				 d->back.queues, d->back.queues, b->queues);
	ret = vhost_user_get_config(&d->back, config, CONFIG_SIZE, err);
	if (ret)
		return ret;
	config_set_queues(config, b->queues);
	config_update(b, config);
	return 0;
}

static unsigned blk_rings(const struct vhost_user_device *d)
{
	return d->vdev.n_queues;
}

static const struct vhost_user_kind blk_kind = {
	.option = "--vhost-user-blk",
	.connected = blk_connected,
	.rings = blk_rings,
};

static const struct virtio_ops blk_ops = {
	.id = VIRTIO_ID_BLOCK,
	.class_code = 0x010000, /* mass storage, SCSI: the usual class of virtio disks */
	.start = vhost_user_device_start,
	.stop = vhost_user_device_stop,
	.reset = vhost_user_device_reset,
};

/* ---- what a user asks for ---- */

struct blk_opts {
	const char *path;
	uint64_t queues; /* 0: one for each vCPU, at most 4, and what the back end has */
};

static_assert(offsetof(struct blk_opts, path) == 0, "vhost_user_device_check()");

#define IN(field) offsetof(struct blk_opts, field)
static const struct key blk_keys[] = {
	{ "SOCKET", KEY_STRING, IN(path), 0, 0, { 0 } },
	{ "queues", KEY_NUMBER, IN(queues), 1, QUEUES_MAX, { 0 } },
	{ 0 },
};

/* How many queues the back end has is known after the first connection. */
static int blk_connect(struct vhost_user_blk *b, const struct blk_opts *o, unsigned cpus,
		       struct error *err)
{
	unsigned want = cpus < QUEUES_AUTO ? cpus : QUEUES_AUTO;
	int ret;

	b->queues = o->queues ? (unsigned)o->queues : 1;
	ret = vhost_user_device_open(&b->dev, &blk_kind, o->path, err);
	if (ret || o->queues)
		return ret;
	b->queues = want < b->dev.back.queues ? want : b->dev.back.queues;
	b->queues = b->queues ? b->queues : 1;
	config_set_queues(b->config, b->queues);
	return 0;
}

static int blk_open(struct device *d, const struct device_env *env, struct error *err)
{
	struct vhost_user_blk *b = calloc(1, sizeof(*b));

	if (!b)
		return error_set(err, -ENOMEM, "out of memory");
	d->state = b;
	snprintf(b->dev.name, sizeof(b->dev.name), "vublk%u", d->index);
	return blk_connect(b, d->opts, env->cpus, err);
}

static int blk_plug(struct device *d, const struct device_env *env, struct error *err)
{
	struct vhost_user_blk *b = d->state;
	const struct vhost_user_plug p = {
		.ops = &blk_ops,
		.features = BLK_FEATURES,
		.own = b->queues > 1 ? BIT(VIRTIO_BLK_F_MQ) : 0,
		.queues = b->queues,
		.queue_size = QUEUE_SIZE,
		.id = d->id,
	};

	b->dev.vdev.config = b->config;
	b->dev.vdev.config_len = CONFIG_SIZE;
	return vhost_user_device_plug(&b->dev, env, &p, err);
}

static void blk_unplug(struct device *d)
{
	struct vhost_user_blk *b = d->state;

	vhost_user_device_unplug(&b->dev);
}

static bool blk_close(struct device *d)
{
	struct vhost_user_blk *b = d->state;

	if (b && !vhost_user_device_free(&b->dev))
		return false;
	free(b);
	return true;
}

const struct device_class vhost_user_blk_class = {
	.name = "vhost-user-blk",
	.option = "vhost-user-blk",
	.arg = "SOCKET[,...]",
	.help = "  --vhost-user-blk SOCKET[,queues=N]\n",
	.keys = blk_keys,
	.positional = true,
	.shared_ram = true,
	.pci = true,
	.most = 16,
	.opts_size = sizeof(struct blk_opts),
	.check = vhost_user_device_check,
	.open = blk_open,
	.plug = blk_plug,
	.unplug = blk_unplug,
	.close = blk_close,
};
