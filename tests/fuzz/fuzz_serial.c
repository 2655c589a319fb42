/* SPDX-License-Identifier: BSD-2-Clause */
/* The serial port: any register, a peer that writes and reads as it likes. What the UART says of
 * itself must stay consistent. */
#include <string.h>

#include "devices/backend/chardev.h"
#include "devices/chipset/serial.h"
#include "tests/fuzz/host_side.h"
#include "tests/unit/fake_root.h"
#include "vmm/core/error.h"

#define STEPS 48

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static struct fake_root f;
static struct serial s;
static struct host_side host;

static void step(const uint8_t *d)
{
	unsigned reg = d[0] >> 3 & 7;

	switch (d[0] & 7) {
	case 0:
	case 1:
		bus_write(f.root.pio, SERIAL_COM1 + reg, 1u << (d[1] >> 6), d[1]);
		break;
	case 2:
	case 3:
		bus_read(f.root.pio, SERIAL_COM1 + reg, 1u << (d[1] >> 6));
		break;
	case 4:
		(void)!write(host.in, d, 1 + reg % 2);
		break;
	case 5:
		host_read(host.out, d[1]);
		break;
	case 6:
		evloop_run(f.root.loop);
		break;
	default:
		if (reg == 7)
			serial_reset(&s);
		for (unsigned i = 0; i < d[1] / 16u; i++)
			bus_write(f.root.pio, SERIAL_COM1, 1, i);
	}
	require(s.count <= SERIAL_FIFO && s.head < SERIAL_FIFO);
	require(serial_room(&s) <= SERIAL_FIFO);
}

static void setup(void)
{
	struct chardev_front front = { .room = serial_room, .input = serial_input, .opaque = &s };
	struct error err = { 0 };

	fake_root_init(&f);
	f.root.loop = evloop_new();
	host = host_stdio();
	require(serial_init(&s, f.root.pio, f.root.irq, SERIAL_COM1, 4) == 0);
	s.back = chardev_open(f.root.loop, "stdio", &front, &err);
	require(s.back != NULL);
	host_loop_turns(f.root.loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (!f.root.loop)
		setup();
	for (size_t i = 0; i + 2 <= len && i < 2 * STEPS; i += 2)
		step(data + i);
	serial_reset(&s);
	evloop_run(f.root.loop);
	host_read(host.out, 1 << 20);
	/* Input of this run is no input of the next. */
	bus_write(f.root.pio, SERIAL_COM1 + 2, 1, 1);
	while (serial_room(&s) < SERIAL_FIFO) {
		bus_write(f.root.pio, SERIAL_COM1 + 2, 1, 3);
		evloop_run(f.root.loop);
	}
	serial_reset(&s);
	return 0;
}
