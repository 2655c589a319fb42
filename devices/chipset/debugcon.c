/* SPDX-License-Identifier: BSD-2-Clause */
#include "devices/chipset/debugcon.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/cleanup.h"
#include "vmm/core/outfile.h"

static void debugcon_flush(struct debugcon *d)
{
	unsigned done = 0;

	while (done < d->used) {
		ssize_t n = write(d->fd, d->buf + done, d->used - done);

		if (n <= 0 && errno != EINTR)
			break; /* a full disk must not stop the firmware */
		if (n > 0)
			done += (unsigned)n;
	}
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
	d->buf[d->used++] = (char)val;
	if (d->used == sizeof(d->buf) || val == '\n')
		debugcon_flush(d);
}

static const struct io_region_ops debugcon_ops = { debugcon_read, debugcon_write, 1, 1 };

int debugcon_init(struct debugcon *d, struct bus *pio, const char *path, struct error *err)
{
	d->fd = outfile_open(path, true, err);
	if (d->fd < 0)
		return error_prefix(err, "--debugcon");
	d->used = 0;
	pthread_mutex_init(&d->lock, NULL);
	d->region = (struct io_region){ .name = "debugcon",
					.base = DEBUGCON_PORT,
					.size = 1,
					.ops = &debugcon_ops,
					.opaque = d,
					.lock = &d->lock };
	return bus_add(pio, &d->region);
}

void debugcon_destroy(struct debugcon *d, struct bus *pio)
{
	bus_del(pio, &d->region);
	debugcon_flush(d);
	cleanup_close(&d->fd);
	pthread_mutex_destroy(&d->lock);
}
