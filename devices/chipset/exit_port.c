/* SPDX-License-Identifier: BSD-2-Clause */
#include "devices/chipset/exit_port.h"

static void exit_port_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
	struct exit_port *p = opaque;

	(void)size;
	if (off == 0)
		p->exit(p->opaque, (uint32_t)val);
}

static const struct io_region_ops exit_port_ops = { .write = exit_port_write, .max_size = 4 };

int exit_port_init(struct exit_port *p, struct bus *pio)
{
	p->region = (struct io_region){
		.name = "exit", .base = EXIT_PORT, .size = 4, .ops = &exit_port_ops, .opaque = p
	};
	return bus_add(pio, &p->region);
}
