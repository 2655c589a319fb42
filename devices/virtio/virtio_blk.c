/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio-blk device: configuration, features, and a blk_queue for each virtqueue. blk_queue.c
 * handles the requests; devices/block/runner.c has the thread of a queue.
 *
 * Durability: a write is acknowledged when the kernel has the data. For a driver that negotiated
 * FLUSH, a flush is fdatasync(). For a driver that did not, each write is synchronous (§5.2.6.2).
 * In both cases, data that was acknowledged as flushed survives the end of this process.
 */
#include "devices/virtio/virtio_blk.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/virtio/virtio_pci.h"
#include "vmm/core/device.h"
#include "vmm/core/log.h"
#include "vmm/core/stats.h"

#define QUEUE_SIZE 256

static_assert(offsetof(struct virtio_blk_config, num_queues) == 34, "VIRTIO 1.2 5.2.4");
static_assert(offsetof(struct virtio_blk_config, write_zeroes_may_unmap) == 56, "VIRTIO 1.2 5.2.4");

struct virtio_blk {
	struct virtio_device vdev;
	struct blk_file file;
	struct virtio_blk_config config;
	char name[16];
	struct blk_queue *queues[BLK_MAX_QUEUES];
	bool initialized; /* vdev is initialised */
};

static void vblk_notify(void *arg)
{
	virtio_notify_queue(arg);
}

static void vblk_broken(void *arg)
{
	const struct virtio_queue *q = arg;

	virtio_broken(q->vdev, "a request that cannot be parsed");
}

static void vblk_left(void *arg)
{
	const struct virtio_queue *q = arg;

	virtio_left(q->vdev);
}

static const struct blk_queue_ops queue_ops = {
	.notify = vblk_notify,
	.broken = vblk_broken,
	.left = vblk_left,
};

static int vblk_start(struct virtio_device *v)
{
	struct virtio_blk *b = container_of(v, struct virtio_blk, vdev);
	bool stable = !virtio_has(v, VIRTIO_BLK_F_FLUSH);

	for (unsigned i = 0; i < v->n_queues; i++)
		if (v->queues[i].enabled)
			blk_queue_start(b->queues[i], &v->queues[i].vq, stable, &queue_ops,
					&v->queues[i]);
	return 0;
}

static unsigned vblk_stop(struct virtio_device *v)
{
	struct virtio_blk *b = container_of(v, struct virtio_blk, vdev);
	unsigned leaving = 0;

	for (unsigned i = 0; i < v->n_queues; i++)
		leaving += blk_queue_leave(b->queues[i]);
	return leaving;
}

static const struct virtio_ops vblk_ops = {
	.id = VIRTIO_ID_BLOCK,
	.class_code = 0x010000, /* mass storage, SCSI: the usual class of virtio disks */
	.start = vblk_start,
	.stop = vblk_stop,
};

static uint64_t vblk_features(const struct blk_file *f, unsigned queues)
{
	uint64_t features = 1ull << VIRTIO_BLK_F_SEG_MAX | 1ull << VIRTIO_BLK_F_BLK_SIZE |
			    1ull << VIRTIO_BLK_F_FLUSH | 1ull << VIRTIO_BLK_F_TOPOLOGY;

	if (queues > 1)
		features |= 1ull << VIRTIO_BLK_F_MQ;
	if (f->readonly)
		return features | 1ull << VIRTIO_BLK_F_RO;
	if (f->discard)
		features |= 1ull << VIRTIO_BLK_F_DISCARD;
	return features | 1ull << VIRTIO_BLK_F_WRITE_ZEROES;
}

static void fill_config(struct virtio_blk *b, unsigned queues)
{
	const struct blk_file *f = &b->file;
	struct virtio_blk_config *c = &b->config;

	/* A partial sector at the end counts as a whole one; the missing bytes read as zeroes
	 * (blk_req.c). */
	c->capacity = htole64(align_up(f->size, 512) / 512);
	c->seg_max = htole32(BLK_SEG_MAX);
	c->blk_size = htole32(f->block_size);
	c->physical_block_exp = (uint8_t)__builtin_ctz(f->phys_size / f->block_size);
	c->min_io_size = htole16((uint16_t)(f->phys_size / f->block_size));
	c->alignment_offset = (uint8_t)(f->align_off / f->block_size);
	c->opt_io_size = htole32(f->opt_size / f->block_size);
	c->num_queues = htole16((uint16_t)queues);
	c->max_discard_sectors = htole32(BLK_MAX_DISCARD_SECT);
	c->max_discard_seg = htole32(1);
	c->discard_sector_alignment = htole32(f->discard_align / 512);
	c->max_write_zeroes_sectors = htole32(BLK_MAX_ZEROES_SECT);
	c->max_write_zeroes_seg = htole32(1);
	c->write_zeroes_may_unmap = f->discard;
}

static int add_queues(struct virtio_blk *b, const struct blk_config *cfg, struct pci_root *root,
		      struct error *err)
{
	const char *fallback;
	char name[32];

	for (unsigned i = 0; i < b->vdev.n_queues; i++) {
		struct blk_queue_config qc = {
			.run.name = name,
			.run.aio = cfg->aio,
			.run.poll_usec = cfg->poll_usec,
			.run.poll_always = cfg->poll_always,
			.run.timed = stats_timed(root->stats),
			.run.engine.file = &b->file,
			.run.engine.mem = root->mem,
			.run.engine.ram_pinned = cfg->ram_pinned,
			.run.engine.kick_fd = b->vdev.queues[i].kick_fd,
			.run.engine.depth = QUEUE_SIZE,
		};

		snprintf(name, sizeof(name), "%.15s.%u", b->name, i);
		if (cfg->serial)
			memcpy(qc.serial, cfg->serial, strnlen(cfg->serial, BLK_SERIAL_LEN));
		b->queues[i] = blk_queue_new(&qc, err);
		if (!b->queues[i])
			return error_prefix(err, "disk %s", cfg->path);
		blk_runner_add_stats(blk_queue_runner(b->queues[i]), root->stats, name);
	}
	fallback = blk_runner_fallback(blk_queue_runner(b->queues[0]));
	if (fallback)
		log_warn("disk %s: using libaio, because io_uring is not permitted here (%s; see "
			 "the sysctl kernel.io_uring_disabled)",
			 cfg->path, fallback);
	return 0;
}

static unsigned blk_queues(const struct blk_config *cfg)
{
	return cfg->queues ? cfg->queues : 1;
}

static int check_config(const struct blk_config *cfg, unsigned queues, struct error *err)
{
	if (queues > BLK_MAX_QUEUES)
		return error_set(err, -EINVAL, "disk %s: at most %u queues", cfg->path,
				 BLK_MAX_QUEUES);
	if (cfg->serial && strlen(cfg->serial) > BLK_SERIAL_LEN)
		return error_set(err, -EINVAL, "disk %s: the serial number has more than %u bytes",
				 cfg->path, BLK_SERIAL_LEN);
	return 0;
}

struct virtio_blk *virtio_blk_open(const struct blk_config *cfg, struct error *err)
{
	struct virtio_blk *b;

	if (check_config(cfg, blk_queues(cfg), err))
		return NULL;
	b = calloc(1, sizeof(*b));
	if (!b) {
		error_set(err, -ENOMEM, "disk %s: out of memory", cfg->path);
		return NULL;
	}
	snprintf(b->name, sizeof(b->name), "blk%u", cfg->index);
	if (blk_file_open(&b->file, cfg->path, cfg->readonly, cfg->cache, cfg->format, err) == 0 &&
	    (!cfg->block_size ||
	     blk_file_set_block_size(&b->file, cfg->path, cfg->block_size, err) == 0))
		return b;
	blk_file_close(&b->file);
	free(b);
	return NULL;
}

int virtio_blk_plug(struct virtio_blk *b, struct pci_root *root, struct pci_bus *bus, uint8_t devfn,
		    const struct blk_config *cfg, struct error *err)
{
	unsigned queues = blk_queues(cfg);
	int ret;

	fill_config(b, queues);
	ret = virtio_init(&b->vdev, b->name, &vblk_ops, vblk_features(&b->file, queues), queues,
			  QUEUE_SIZE, err);
	if (ret)
		return ret;
	b->initialized = true;
	b->vdev.config = &b->config;
	b->vdev.config_len = sizeof(b->config);
	ret = add_queues(b, cfg, root, err);
	if (!ret)
		ret = virtio_realize(&b->vdev, root, bus, devfn, err);
	if (ret)
		stats_remove(root->stats, b->name, &b->vdev);
	return ret;
}

bool virtio_blk_free(struct virtio_blk *b)
{
	if (!b)
		return true;
	if (b->initialized && !virtio_destroy(&b->vdev))
		return false;
	for (unsigned i = 0; i < BLK_MAX_QUEUES; i++)
		blk_queue_free(b->queues[i]);
	blk_file_close(&b->file);
	free(b);
	return true;
}

/* ---- what a user asks for ---- */

/* The configuration of the device, and options that it is computed from. */
struct blk_opts {
	struct blk_config disk;
	unsigned block_size; /* index into block_sizes */
	uint64_t queues;     /* 0: one for each vCPU, at most 4 */
	const char *poll;    /* "auto", "off" or microseconds; NULL: auto */
};

static const unsigned block_sizes[] = { 0, 512, 4096 };

#define IN(field) offsetof(struct blk_opts, field)
static const struct key blk_keys[] = {
	{ "PATH", KEY_STRING, IN(disk.path), 0, 0, { 0 } },
	{ "ro", KEY_FLAG, IN(disk.readonly), 0, 0, { 0 } },
	{ "cache", KEY_CHOICE, IN(disk.cache), 0, 0, { "none", "writeback" } },
	{ "aio", KEY_CHOICE, IN(disk.aio), 0, 0, { "auto", "io_uring", "libaio" } },
	{ "format", KEY_CHOICE, IN(disk.format), 0, 0, { "auto", "raw" } },
	{ "poll", KEY_STRING, IN(poll), 0, 0, { 0 } },
	{ "queues", KEY_NUMBER, IN(queues), 1, BLK_MAX_QUEUES, { 0 } },
	{ "logical_block_size", KEY_CHOICE, IN(block_size), 0, 0, { "auto", "512", "4096" } },
	{ "serial", KEY_STRING, IN(disk.serial), 0, BLK_SERIAL_LEN, { 0 } },
	{ 0 },
};
static_assert(BLK_CACHE_NONE == 0 && BLK_CACHE_WRITEBACK == 1, "the order of cache=");
static_assert(BLK_AIO_AUTO == 0 && BLK_AIO_URING == 1 && BLK_AIO_LIBAIO == 2, "the order of aio=");
static_assert(BLK_FORMAT_AUTO == 0 && BLK_FORMAT_RAW == 1, "the order of format=");
static_assert(sizeof(enum blk_cache) == sizeof(unsigned) &&
		      sizeof(enum blk_aio) == sizeof(unsigned) &&
		      sizeof(enum blk_format) == sizeof(unsigned),
	      "KEY_CHOICE writes an unsigned");

static struct blk_config disk_config(const struct device *d, const struct device_env *env)
{
	const struct blk_opts *o = d->opts;

	struct blk_config c = o->disk;

	c.block_size = block_sizes[o->block_size];
	c.queues = o->queues ? (unsigned)o->queues : env->cpus < 4 ? env->cpus : 4;
	c.index = d->index;
	c.ram_pinned = env->ram_pinned;
	return c;
}

/* What people write for QEMU's -drive. */
static int check_path(const char *path, struct error *err)
{
	if (access(path, F_OK) == 0)
		return 0;
	if (strncmp(path, "file=", 5) == 0)
		return error_set(err, -EINVAL, "%s: the path comes first, without file=", path);
	if (strstr(path, "://") || strncmp(path, "nbd:", 4) == 0)
		return error_set(err, -EINVAL,
				 "%s: a disk is an image or a block device of this host", path);
	return 0;
}

static int disk_check(const struct device *d, const struct device_list *l, struct error *err)
{
	struct blk_opts *o = d->opts;
	uint64_t usec = BLK_POLL_USEC;

	(void)l;
	if (check_path(o->disk.path, err) < 0)
		return err->code;
	o->disk.poll_always = false;
	if (o->poll && strcmp(o->poll, "off") == 0) {
		usec = 0;
	} else if (o->poll && strcmp(o->poll, "auto") != 0) {
		o->disk.poll_always = true;
		if (key_parse_number(o->poll, 0, &usec) || usec < 1 || usec > BLK_POLL_MAX)
			return error_set(err, -EINVAL,
					 "poll=%s: must be auto, off, or 1 to %u microseconds",
					 o->poll, BLK_POLL_MAX);
	}
	o->disk.poll_usec = (unsigned)usec;
	return 0;
}

/* If the image is in use, another disk of this machine may use it. A disk that is added while the
 * machine runs does not get the list of the others, so it looks at the files that are open. */
static int explain_busy(const struct device *d, const struct device_list *l, struct error *err)
{
	const char *path = ((const struct blk_opts *)d->opts)->disk.path;
	const struct device *other = NULL;
	char as[256];

	while ((other = device_next(l, &virtio_blk_class, other)) && other != d) {
		const struct blk_opts *o = other->opts;

		if (blk_file_same(o->disk.path, path))
			return error_set(err, -EBUSY,
					 "%s is the same image as --disk %s: give it once, or add "
					 ",ro to both",
					 path, o->disk.path);
	}
	if (!other && blk_file_is_open(path, as, sizeof(as)))
		return error_set(err, -EBUSY,
				 "%s is in use by this machine already, as %s: use another image; "
				 "if that is a disk, remove it first (device_del), or add ,ro to "
				 "both",
				 path, as);
	return err->code;
}

static int disk_open(struct device *d, const struct device_env *env, struct error *err)
{
	struct blk_config c = disk_config(d, env);

	d->state = virtio_blk_open(&c, err);
	if (!d->state)
		return err->code == -EBUSY ? explain_busy(d, env->devices, err) : err->code;
	return 0;
}

static int disk_plug(struct device *d, const struct device_env *env, struct error *err)
{
	struct blk_config c = disk_config(d, env);

	return virtio_blk_plug(d->state, env->pci, env->bus, env->devfn, &c, err);
}

static void disk_unplug(struct device *d)
{
	virtio_unplug(&((struct virtio_blk *)d->state)->vdev);
}

static bool disk_close(struct device *d)
{
	if (virtio_blk_free(d->state))
		return true;
	if (!d->hung)
		log_error("--disk %s: its storage does not answer: the requests in flight are "
			  "given up",
			  ((const struct blk_opts *)d->opts)->disk.path);
	return false;
}

const struct device_class virtio_blk_class = {
	.name = "virtio-blk",
	.option = "disk",
	.arg = "PATH[,...]",
	.help = "  --disk PATH[,ro][,cache=none|writeback][,aio=auto|io_uring|libaio] raw disk\n"
		"         [,queues=N][,serial=S][,logical_block_size=512|4096][,poll=off|USEC]\n",
	.keys = blk_keys,
	.positional = true,
	.pci = true,
	.most = 16,
	.opts_size = sizeof(struct blk_opts),
	.check = disk_check,
	.open = disk_open,
	.plug = disk_plug,
	.unplug = disk_unplug,
	.close = disk_close,
};

struct virtio_blk_info virtio_blk_info(const struct device *d)
{
	const struct blk_opts *o = d->opts;
	const struct virtio_blk *b = d->state;

	return (struct virtio_blk_info){ o->disk.path, o->disk.readonly, b ? b->file.size : 0 };
}
