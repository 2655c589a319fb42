/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-rng: a hostile driver, and a host that takes the device away and plugs it in again. */
#include "devices/virtio/virtio_rng.h"
#include "tests/fuzz/virtio_steps.h"
#include "vmm/core/device.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static struct fake_driver d;
static struct device dev = { .class = &virtio_rng_class };

static void plug(void)
{
	struct device_env env = { .pci = d.root, .bus = &d.root->bus, .devfn = FAKE_DEVFN };
	struct error err = { 0 };

	require(device_plug(&dev, &env, &err) == 0);
	driver_map(&d);
}

static void turn(const uint8_t *s)
{
	evloop_run(d.root->loop);
	if (s[1] < 0xf8)
		return;
	dev.class->unplug(&dev);
	require(dev.class->close(&dev));
	plug();
}

static void setup(void)
{
	require(fake_driver_init(&d) == 0);
	host_loop_turns(d.root->loop);
	plug();
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
