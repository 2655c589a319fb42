/* SPDX-License-Identifier: BSD-2-Clause */
#include "devices/chipset/debugcon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "devices/backend/chardev.h"
#include "vmm/core/cleanup.h"

static void debugcon_flush(struct debugcon *d)
{
	chardev_write(d->back, d->buf, d->used);
	d->used = 0;
}

static uint64_t debugcon_read(void *opaque, uint64_t off, unsigned size)
{
	(void)opaque;
	(void)off;
	(void)size;
	return 0xe9;
}

static void debugcon_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
	struct debugcon *d = opaque;

	(void)off;
	(void)size;
	{
		scoped_lock(&d->lock);
		d->buf[d->used++] = (char)val;
		if (d->used == sizeof(d->buf) || val == '\n')
			debugcon_flush(d);
	}
	chardev_hold(d->back);
}

static const struct io_region_ops debugcon_ops = { debugcon_read, debugcon_write, 1, 1 };

static struct chardev *debugcon_open(struct evloop *loop, const char *file, struct error *err)
{
	const struct chardev_front front = { 0 };
	scoped_free char *spec = NULL;

	if (asprintf(&spec, "file:%s", file) < 0) {
		spec = NULL;
		error_set(err, -ENOMEM, "no memory");
		return NULL;
	}
	return chardev_open(loop, spec, &front, err);
}

int debugcon_init(struct debugcon *d, struct bus *pio, struct evloop *loop, const char *file,
		  struct error *err)
{
	d->back = debugcon_open(loop, file, err);
	if (!d->back)
		return error_prefix(err, "--debugcon");
	d->used = 0;
	pthread_mutex_init(&d->lock, NULL);
	d->region = (struct io_region){ .name = "debugcon",
					.base = DEBUGCON_PORT,
					.size = 1,
					.ops = &debugcon_ops,
					.opaque = d };
	return bus_add(pio, &d->region);
}

void debugcon_destroy(struct debugcon *d, struct bus *pio)
{
	bus_del(pio, &d->region);
	debugcon_flush(d);
	chardev_close(d->back);
	pthread_mutex_destroy(&d->lock);
}
