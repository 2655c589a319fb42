/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Before there is a machine: everything that the user named.
 *
 * What is read (disks, kernel, initrd, firmware, variable store) is opened here, once, and stays
 * open: the machine gets what was looked at. What is written to is looked at only, after all that
 * is read: it is opened when nothing else can fail, since opening empties it.
 *
 * First comes what the host's own files tell (devices, memory, processors), then the user's files.
 *
 * Threads: main. The helper asks KVM what it supports meanwhile.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "devices/backend/chardev.h"
#include "devices/virtio/virtio_blk.h"
#include "devices/virtio/virtio_net.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/outfile.h"
#include "vmm/machine/machine.h"

struct blk_config machine_disk_config(const struct vm *vm, unsigned i)
{
	static const enum blk_aio aio[] = { BLK_AIO_AUTO, BLK_AIO_URING, BLK_AIO_LIBAIO };
	static const unsigned block_size[] = { 0, 512, 4096 };
	const struct config_disk *d = &vm->cfg->disk[i];
	unsigned cpus = (unsigned)vm->cfg->cpus.n;

	return (struct blk_config){
		.path = d->path,
		.serial = d->serial,
		.readonly = d->ro,
		.raw = d->format == 1,
		.cache = d->cache == CACHE_NONE ? BLK_CACHE_NONE : BLK_CACHE_WRITEBACK,
		.aio = aio[d->aio],
		.block_size = block_size[d->block_size],
		.queues = d->queues  ? (unsigned)d->queues
			  : cpus < 4 ? cpus
				     : 4,
		.index = i,
	};
}

struct net_config machine_net_config(const struct vm *vm, unsigned i)
{
	const struct config_net *n = &vm->cfg->net[i];
	struct net_config c = { .ifname = n->ifname, .has_mac = n->has_mac, .index = i };

	memcpy(c.mac, n->mac, sizeof(c.mac));
	return c;
}

/* "In use" may be our own doing. */
static bool disk_given_twice(const struct config *cfg, unsigned i, struct error *err)
{
	const char *path = cfg->disk[i].path;
	unsigned other;

	for (other = 0; other < i && err->code == -EBUSY; other++) {
		if (!blk_file_same(cfg->disk[other].path, path))
			continue;
		error_set(err, -EBUSY,
			  "--disk %s: is the same image as --disk %s; give it once, or add ,ro to "
			  "both",
			  path, cfg->disk[other].path);
		return true;
	}
	return false;
}

static int look_disks(struct vm *vm, struct error *err)
{
	unsigned i;

	for (i = 0; i < vm->cfg->n_disks; i++) {
		struct blk_config c = machine_disk_config(vm, i);

		vm->disk[i] = virtio_blk_open(&c, err);
		if (!vm->disk[i])
			return disk_given_twice(vm->cfg, i, err) ? err->code
								 : error_prefix(err, "--disk");
	}
	return 0;
}

static int look_nets(struct vm *vm, struct error *err)
{
	unsigned i;

	for (i = 0; i < vm->cfg->n_nets; i++) {
		struct net_config c = machine_net_config(vm, i);

		vm->net[i] = virtio_net_open(&c, err);
		if (!vm->net[i])
			return error_prefix(err, "--net tap");
	}
	return 0;
}

static int look_lines(const struct config *c, struct error *err)
{
	unsigned i;

	for (i = 0; i < c->n_serial; i++)
		if (chardev_check(c->serial[i], err) < 0)
			return error_prefix(err, "--serial %s", c->serial[i]);
	if (c->console && chardev_check(c->console, err) < 0)
		return error_prefix(err, "--console %s", c->console);
	return 0;
}

static int look_debugcon(const char *file, struct error *err)
{
	scoped_free char *spec = NULL;

	if (asprintf(&spec, "file:%s", file) < 0) {
		spec = NULL;
		return error_set(err, -ENOMEM, "no memory");
	}
	return chardev_check(spec, err) < 0 ? error_prefix(err, "--debugcon") : 0;
}

static int look_outputs(const struct config *c, struct error *err)
{
	const struct {
		const char *option, *path;
	} files[] = {
		{ "--stats", c->stats_file },
		{ "--dump-dtb", c->dump_dtb },
		{ "--pidfile", c->pidfile },
	};
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(files); i++)
		if (files[i].path && outfile_check(files[i].path, err) < 0)
			return error_prefix(err, "%s", files[i].option);
	if (c->debugcon && look_debugcon(c->debugcon, err) < 0)
		return err->code;
	return look_lines(c, err);
}

int machine_look(struct vm *vm, struct error *err)
{
	int rc = machine_vfio_look(vm, err);

	if (rc == 0)
		rc = machine_memory_look(vm, err);
	if (rc == 0)
		rc = machine_cpus_look(vm, err);
	if (rc == 0)
		rc = look_disks(vm, err);
	if (rc == 0)
		rc = look_nets(vm, err);
	if (rc == 0)
		rc = machine_boot_look(vm, err);
	return rc < 0 ? rc : look_outputs(vm->cfg, err);
}
