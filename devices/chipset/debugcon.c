/* SPDX-License-Identifier: BSD-2-Clause */
#include "devices/chipset/debugcon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "devices/backend/chardev.h"
#include "devices/pci/pci.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/device.h"

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

/* The spec of a chardev that writes to the file; the caller frees it. NULL with *err set. */
static char *file_spec(const char *file, struct error *err)
{
	char *spec = NULL;

	if (asprintf(&spec, "file:%s", file) >= 0)
		return spec;
	error_set(err, -ENOMEM, "out of memory");
	return NULL;
}

static struct chardev *debugcon_open(struct evloop *loop, const char *file, struct outputs *outputs,
				     struct error *err)
{
	const struct chardev_front front = { .outputs = outputs };
	scoped_free char *spec = file_spec(file, err);

	return spec ? chardev_open(loop, spec, &front, err) : NULL;
}

int debugcon_init(struct debugcon *d, struct bus *pio, struct evloop *loop, const char *file,
		  struct outputs *outputs, struct error *err)
{
	d->back = debugcon_open(loop, file, outputs, err);
	if (!d->back)
		return err->code;
	d->used = 0;
	pthread_mutex_init(&d->lock, NULL);
	d->region = (struct io_region){ .name = "debugcon",
					.base = DEBUGCON_PORT,
					.size = 1,
					.ops = &debugcon_ops,
					.opaque = d };
	if (bus_add(pio, &d->region) == 0)
		return 0;
	chardev_close(d->back);
	return error_set(err, -EBUSY, "port 0x%x is taken", DEBUGCON_PORT);
}

void debugcon_destroy(struct debugcon *d, struct bus *pio)
{
	bus_del(pio, &d->region);
	debugcon_flush(d);
	chardev_close(d->back);
	pthread_mutex_destroy(&d->lock);
}

/* ---- what a user asks for ---- */

struct debugcon_opts {
	const char *file;
};

struct debugcon_port {
	struct debugcon d;
	struct bus *pio;
};

/* Only checks the file, because opening would create it. */
static int port_open(struct device *d, const struct device_env *env, struct error *err)
{
	scoped_free char *spec = file_spec(device_arg(d), err);

	return spec ? chardev_check(spec, env->outputs, err) : err->code;
}

static int port_plug(struct device *d, const struct device_env *env, struct error *err)
{
	struct debugcon_port *p = calloc(1, sizeof(*p));

	if (!p)
		return error_set(err, -ENOMEM, "out of memory");
	p->pio = env->pci->pio;
	if (debugcon_init(&p->d, p->pio, env->pci->loop, device_arg(d), env->outputs, err) < 0) {
		free(p);
		return err->code;
	}
	d->state = p;
	return 0;
}

static bool port_close(struct device *d)
{
	struct debugcon_port *p = d->state;

	if (p)
		debugcon_destroy(&p->d, p->pio);
	free(p);
	return true;
}

const struct device_class debugcon_class = {
	.name = "debug console",
	.option = "debugcon",
	.arg = "FILE",
	.help = "  --debugcon FILE[,max=SIZE]  port 0x402\n",
	.stage = DEVICE_WRITES,
	.most = 1,
	.opts_size = sizeof(struct debugcon_opts),
	.open = port_open,
	.plug = port_plug,
	.close = port_close,
};
