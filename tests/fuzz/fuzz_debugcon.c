/* SPDX-License-Identifier: BSD-2-Clause */
/* The debug console into a pipe: read now and then, or not at all. */
#include <stdio.h>

#include "devices/chipset/debugcon.h"
#include "tests/fuzz/host_side.h"
#include "tests/unit/fake_root.h"

#define STEPS 32

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static struct fake_root f;
static struct debugcon con;
static int end[2];

static void step(const uint8_t *d)
{
	switch (d[0] & 3) {
	case 0:
		bus_write(f.root.pio, DEBUGCON_PORT, 1u << (d[0] >> 6), d[1]);
		break;
	case 1:
		for (unsigned i = 0; i < d[1] / 8u; i++)
			bus_write(f.root.pio, DEBUGCON_PORT, 1, i ^ d[0]);
		break;
	case 2:
		host_read(end[0], d[1] * 16u);
		break;
	default:
		evloop_run(f.root.loop);
	}
	require(con.used < sizeof(con.buf));
	require(bus_read(f.root.pio, DEBUGCON_PORT, 1) == 0xe9);
}

static void open_con(void)
{
	struct error err = { 0 };
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", end[1]);
	require(debugcon_init(&con, f.root.pio, f.root.loop, path, NULL, &err) == 0);
}

static void setup(void)
{
	fake_root_init(&f);
	f.root.loop = evloop_new();
	require(pipe2(end, O_NONBLOCK | O_CLOEXEC) == 0);
	fcntl(end[0], F_SETPIPE_SZ, 4096); /* soon full */
	host_loop_turns(f.root.loop);
	open_con();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (!f.root.loop)
		setup();
	for (size_t i = 0; i + 2 <= len && i < 2 * STEPS; i += 2)
		step(data + i);
	while (host_read(end[0], 1 << 20))
		evloop_run(f.root.loop);
	if (len && data[0] == 0xff) {
		debugcon_destroy(&con, f.root.pio);
		open_con();
	}
	return 0;
}
