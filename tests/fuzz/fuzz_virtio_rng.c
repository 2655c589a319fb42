/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-rng: a hostile driver. */
#include "devices/virtio/virtio_rng.h"
#include "tests/fuzz/virtio_steps.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static struct fake_driver d;

static void turn(const uint8_t *s)
{
	(void)s;
	evloop_run(d.root->loop);
}

static void setup(void)
{
	struct error err = { 0 };

	require(fake_driver_init(&d) == 0);
	require(virtio_rng_new(d.root, &d.root->bus, FAKE_DEVFN, &err) != NULL);
	host_loop_turns(d.root->loop);
	driver_map(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (!d.root)
		setup();
	virtio_run(&d, 1, data, len, turn);
	driver_status_set(&d, 0);
	evloop_run(d.root->loop);
	return 0;
}
