/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * 16550A UART (National Semiconductor PC16550D data sheet).
 *
 * The transmitter is infinitely fast: a byte that is written to THR is at the back end before the
 * write returns. So THRE and TEMT are always set, and the THRE interrupt is pending again at once.
 * The guest can set and read the line speed, but it has no effect.
 *
 * Threads: registers are accessed on vCPU threads, and input comes on the main loop, both under
 * `lock`. The calls of chardev_want() and chardev_hold() are made without the lock.
 */
#include "devices/chipset/serial.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/backend/chardev.h"
#include "devices/pci/pci.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/device.h"

#define IER_RDI	 0x01
#define IER_THRI 0x02
#define IER_RLSI 0x04
#define IER_MSI	 0x08

#define IIR_NONE    0x01
#define IIR_MSI	    0x00
#define IIR_THRI    0x02
#define IIR_RDI	    0x04
#define IIR_RLSI    0x06
#define IIR_TIMEOUT 0x0c
#define IIR_FIFOS   0xc0

#define FCR_ENABLE   0x01
#define FCR_CLEAR_RX 0x02

#define LCR_DLAB 0x80

#define MCR_DTR	 0x01
#define MCR_RTS	 0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10

#define LSR_DR	 0x01
#define LSR_OE	 0x02
#define LSR_IDLE 0x60 /* THRE, TEMT */

#define MSR_DELTA_TERI 0x04
#define MSR_CTS	       0x10
#define MSR_DSR	       0x20
#define MSR_RI	       0x40
#define MSR_DCD	       0x80

static uint8_t iir(const struct serial *s)
{
	static const uint8_t trigger[] = { 1, 4, 8, 14 };

	if ((s->ier & IER_RLSI) && s->overrun)
		return IIR_RLSI;
	if ((s->ier & IER_RDI) && s->count) {
		if ((s->fcr & FCR_ENABLE) && s->count < trigger[s->fcr >> 6])
			return IIR_TIMEOUT;
		return IIR_RDI;
	}
	if ((s->ier & IER_THRI) && s->thr_pending)
		return IIR_THRI;
	if ((s->ier & IER_MSI) && (s->msr & 0x0f))
		return IIR_MSI;
	return IIR_NONE;
}

static void update_irq(struct serial *s)
{
	irq_set(&s->irq, iir(s) != IIR_NONE);
}

static unsigned depth(const struct serial *s)
{
	return s->fcr & FCR_ENABLE ? SERIAL_FIFO : 1;
}

static void fifo_put(struct serial *s, uint8_t c)
{
	if (s->count >= depth(s)) {
		s->overrun = true;
		return;
	}
	s->fifo[(s->head + s->count++) % SERIAL_FIFO] = c;
}

static uint8_t fifo_get(struct serial *s)
{
	uint8_t c;

	if (!s->count)
		return 0;
	c = s->fifo[s->head];
	s->head = (s->head + 1) % SERIAL_FIFO;
	s->count--;
	return c;
}

/* The state of the modem lines: in loop-back mode our own outputs, otherwise those of a connected
 * peer. */
static uint8_t modem_lines(const struct serial *s)
{
	if (!(s->mcr & MCR_LOOP))
		return MSR_DCD | MSR_DSR | MSR_CTS;
	return (uint8_t)((s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) |
			 (s->mcr & MCR_OUT1 ? MSR_RI : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0));
}

static void update_modem(struct serial *s)
{
	uint8_t now = modem_lines(s), changed = (now ^ s->msr) & 0xf0;
	uint8_t delta = changed >> 4;

	/* For RI, only the trailing edge sets the delta bit. */
	if (!(changed & MSR_RI) || (now & MSR_RI))
		delta &= (uint8_t)~MSR_DELTA_TERI;
	s->msr = (uint8_t)(now | (s->msr & 0x0f) | delta);
}

static uint8_t read_msr(struct serial *s)
{
	uint8_t v = s->msr;

	s->msr &= 0xf0;
	return v;
}

static uint8_t read_lsr(struct serial *s)
{
	uint8_t v = (uint8_t)(LSR_IDLE | (s->count ? LSR_DR : 0) | (s->overrun ? LSR_OE : 0));

	s->overrun = false;
	return v;
}

static uint8_t read_iir(struct serial *s)
{
	uint8_t v = iir(s);

	if (v == IIR_THRI)
		s->thr_pending = false;
	return v | (s->fcr & FCR_ENABLE ? IIR_FIFOS : 0);
}

static uint8_t reg_read(struct serial *s, unsigned reg)
{
	bool dlab = s->lcr & LCR_DLAB;

	switch (reg) {
	case 0:
		return dlab ? s->dll : fifo_get(s);
	case 1:
		return dlab ? s->dlm : s->ier;
	case 2:
		return read_iir(s);
	case 3:
		return s->lcr;
	case 4:
		return s->mcr;
	case 5:
		return read_lsr(s);
	case 6:
		return read_msr(s);
	default:
		return s->scr;
	}
}

static void transmit(struct serial *s, uint8_t c)
{
	if (s->mcr & MCR_LOOP)
		fifo_put(s, c);
	else if (s->back)
		chardev_write(s->back, &c, 1);
	s->thr_pending = true;
}

static void write_ier(struct serial *s, uint8_t v)
{
	/* Enabling the THRE interrupt while THR is empty raises it (data sheet, 8.6.1). */
	if ((v & IER_THRI) && !(s->ier & IER_THRI))
		s->thr_pending = true;
	s->ier = v & 0x0f;
}

static void write_fcr(struct serial *s, uint8_t v)
{
	/* Switching the FIFOs on or off empties them. */
	if ((v & FCR_CLEAR_RX) || ((v ^ s->fcr) & FCR_ENABLE))
		s->count = 0;
	s->fcr = v & (FCR_ENABLE | 0xc0);
}

static void reg_write(struct serial *s, unsigned reg, uint8_t v)
{
	bool dlab = s->lcr & LCR_DLAB;

	switch (reg) {
	case 0:
		if (dlab)
			s->dll = v;
		else
			transmit(s, v);
		break;
	case 1:
		if (dlab)
			s->dlm = v;
		else
			write_ier(s, v);
		break;
	case 2:
		write_fcr(s, v);
		break;
	case 3:
		s->lcr = v;
		break;
	case 4:
		s->mcr = v & 0x1f;
		update_modem(s);
		break;
	case 7:
		s->scr = v;
		break;
	}
}

static uint64_t serial_read(void *opaque, uint64_t off, unsigned size)
{
	struct serial *s = opaque;
	bool drained = false;
	uint8_t v;

	(void)size;
	{
		scoped_lock(&s->lock);
		v = reg_read(s, (unsigned)off);
		update_irq(s);
		drained = off == 0 && s->count == 0;
	}
	if (drained && s->back)
		chardev_want(s->back);
	return v;
}

static void serial_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
	struct serial *s = opaque;

	(void)size;
	{
		scoped_lock(&s->lock);
		reg_write(s, (unsigned)off, (uint8_t)val);
		update_irq(s);
	}
	if (!s->back)
		return;
	if (off == 0)
		chardev_hold(s->back); /* a slow reader slows down this vCPU */
	if (off == 2 || off == 4)
		chardev_want(s->back); /* the FIFO was cleared or enabled, or loop-back ended */
}

static const struct io_region_ops serial_ops = { serial_read, serial_write, 1, 1 };

size_t serial_room(void *opaque)
{
	struct serial *s = opaque;

	scoped_lock(&s->lock);
	return s->mcr & MCR_LOOP || s->count >= depth(s) ? 0 : depth(s) - s->count;
}

void serial_input(void *opaque, const uint8_t *buf, size_t n)
{
	struct serial *s = opaque;
	size_t i;

	scoped_lock(&s->lock);
	for (i = 0; i < n; i++)
		fifo_put(s, buf[i]);
	update_irq(s);
}

static void serial_power_on(struct serial *s)
{
	s->ier = s->lcr = s->mcr = s->scr = s->fcr = s->dlm = 0;
	s->dll = 12; /* 9600 */
	s->msr = modem_lines(s);
	s->overrun = false;
	s->thr_pending = false;
	s->head = s->count = 0;
}

void serial_reset(struct serial *s)
{
	{
		scoped_lock(&s->lock);
		serial_power_on(s);
		update_irq(s);
	}
	if (s->back)
		chardev_want(s->back);
}

int serial_init(struct serial *s, struct bus *pio, struct irq_table *irq, uint16_t port,
		uint32_t gsi)
{
	int ret;

	memset(s, 0, sizeof(*s));
	pthread_mutex_init(&s->lock, NULL);
	ret = irq_source_init(irq, gsi, &s->irq);
	if (ret < 0)
		return ret;
	serial_power_on(s);
	s->region = (struct io_region){
		.name = "serial", .base = port, .size = 8, .ops = &serial_ops, .opaque = s
	};
	return bus_add(pio, &s->region);
}

void serial_destroy(struct serial *s, struct bus *pio)
{
	bus_del(pio, &s->region);
	irq_source_release(&s->irq);
	pthread_mutex_destroy(&s->lock);
}

/* ---- what a user asks for ---- */

struct serial_opts {
	const char *to;
};

struct serial_port {
	struct serial s;
	struct bus *pio;
	struct chardev *back;
	void (*power_off)(void *);
	void *power_off_arg;
};

static const struct serial_place com[SERIAL_PORTS] = { { SERIAL_COM1, 4 }, { SERIAL_COM2, 3 } };

static bool is_none(const struct device *d)
{
	return strcmp(device_arg(d), "none") == 0;
}

const struct serial_place *serial_place(const struct device_list *l, unsigned i)
{
	const struct device *d = NULL;

	while ((d = device_next(l, &serial_class, d)))
		if (d->index == i)
			return is_none(d) ? NULL : &com[i];
	return NULL;
}

static int port_check(const struct device *d, const struct device_list *l, struct error *err)
{
	(void)l;
	if (is_none(d) || chardev_spec_ok(device_arg(d)))
		return 0;
	return error_set(err, -EINVAL, "%s is not supported: use none, " CHARDEV_SPECS,
			 device_arg(d));
}

/* Only checks the file, because opening would create it. */
static int port_open(struct device *d, const struct device_env *env, struct error *err)
{
	return is_none(d) ? 0 : chardev_check(device_arg(d), env->outputs, err);
}

/* The user typed Ctrl-A x. */
static void port_quit(void *arg)
{
	struct serial_port *p = container_of(arg, struct serial_port, s);

	p->power_off(p->power_off_arg);
}

static void port_free(struct serial_port *p)
{
	if (p->s.region.ops)
		serial_destroy(&p->s, p->pio);
	chardev_close(p->back);
	free(p);
}

static int port_build(struct serial_port *p, const struct device *d, const struct device_env *env,
		      struct error *err)
{
	struct chardev_front front = {
		.room = serial_room,
		.input = serial_input,
		.quit = port_quit,
		.opaque = &p->s,
		.outputs = env->outputs,
	};
	int ret = serial_init(&p->s, env->pci->pio, env->pci->irq, com[d->index].port,
			      com[d->index].irq);

	if (ret < 0)
		return error_set(err, ret, "%s", strerror(-ret));
	p->back = chardev_open(env->pci->loop, device_arg(d), &front, err);
	p->s.back = p->back;
	return p->back ? 0 : err->code;
}

static int port_plug(struct device *d, const struct device_env *env, struct error *err)
{
	struct serial_port *p = is_none(d) ? NULL : calloc(1, sizeof(*p));

	if (!p)
		return is_none(d) ? 0 : error_set(err, -ENOMEM, "out of memory");
	p->pio = env->pci->pio;
	p->power_off = env->power_off;
	p->power_off_arg = env->power_off_arg;
	if (port_build(p, d, env, err) < 0) {
		port_free(p);
		return err->code;
	}
	d->state = p;
	return 0;
}

static void port_reset(struct device *d)
{
	struct serial_port *p = d->state;

	if (p)
		serial_reset(&p->s);
}

static bool port_close(struct device *d)
{
	if (d->state)
		port_free(d->state);
	return true;
}

const struct device_class serial_class = {
	.name = "serial port",
	.option = "serial",
	.arg = "TO",
	.help = "  --serial stdio|pty|file:F[,max=N]|unix:F|null|none  "
		"COM1, COM2 (Ctrl-A x ends)\n",
	.stage = DEVICE_WRITES,
	.most = SERIAL_PORTS,
	.opts_size = sizeof(struct serial_opts),
	.check = port_check,
	.open = port_open,
	.plug = port_plug,
	.reset = port_reset,
	.close = port_close,
};
