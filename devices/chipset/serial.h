/* SPDX-License-Identifier: BSD-2-Clause */
/* A 16550A UART. */
#ifndef DEVICES_CHIPSET_SERIAL_H
#define DEVICES_CHIPSET_SERIAL_H

#include "vmm/core/bus.h"
#include "vmm/core/irq.h"

struct chardev;
struct device_class;
struct device_list;

#define SERIAL_FIFO 16
#define SERIAL_PORTS 2 /* COM1 and COM2 */
#define SERIAL_COM1  0x3f8
#define SERIAL_COM2  0x2f8

struct serial {
	struct io_region region;
	pthread_mutex_t lock;
	struct irq_source irq;
	struct chardev *back; /* not owned; NULL: output is dropped */
	uint8_t ier, lcr, mcr, msr, scr, fcr, dll, dlm;
	bool overrun, thr_pending;
	uint8_t fifo[SERIAL_FIFO];
	unsigned head, count;
};

int serial_init(struct serial *, struct bus *pio, struct irq_table *, uint16_t port, uint32_t gsi);
void serial_destroy(struct serial *, struct bus *pio);
void serial_reset(struct serial *);
/* The callbacks of struct chardev_front; opaque: struct serial. Any thread. */
size_t serial_room(void *opaque);
void serial_input(void *opaque, const uint8_t *, size_t);

extern const struct device_class serial_class;

struct serial_place {
	uint16_t port;
	uint8_t irq;
};
/* The port and interrupt of serial port i. NULL: the machine has no such port. */
const struct serial_place *serial_place(const struct device_list *, unsigned i);

#endif
