/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-console: a hostile driver on one side, a peer on pipes that reads and writes as it likes
 * on the other. */
#include "devices/virtio/virtio_console.h"
#include "tests/fuzz/virtio_steps.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static struct fake_driver d;
static struct host_side host;

static void peer_step(const uint8_t *s)
{
	if (s[0] & 1)
		host_read(host.out, (size_t)s[1] << 10);
	else
		(void)!write(host.in, s + 1, 1 + s[1] % 3u);
	evloop_run(d.root->loop);
}

static void setup(void)
{
	struct error err = { 0 };

	require(fake_driver_init(&d) == 0);
	host = host_stdio();
	require(virtio_console_new(d.root, &d.root->bus, FAKE_DEVFN, "stdio", NULL, NULL, NULL,
				   &err) != NULL);
	host_loop_turns(d.root->loop);
	driver_map(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (!d.root)
		setup();
	virtio_run(&d, 2, data, len, peer_step);
	driver_status_set(&d, 0);
	while (host_read(host.out, 1 << 20))
		evloop_run(d.root->loop);
	return 0;
}
