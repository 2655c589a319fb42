/* SPDX-License-Identifier: BSD-2-Clause */
/* A machine with a vhost-user device, a driver for it, and a back end that does what a test says.
 */
#ifndef VHOST_USER_FIXTURE_H
#define VHOST_USER_FIXTURE_H

#include <errno.h>
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/virtio/vhost_user_device.h"
#include "tests/unit/fake_backend.h"
#include "tests/unit/fake_driver.h"
#include "vmm/core/device.h"
#include "vmm/core/error.h"
#include "vmm/core/eventfd.h"

#define BIT(n)	       (1ull << (n))
#define PATIENCE_MS    60000u /* for a machine that is busy */
#define GET_VRING_BASE 11
#define FEATURES       (BIT(VIRTIO_F_VERSION_1) | BIT(VHOST_USER_F_PROTOCOL) | BIT(29) | BIT(9))
#define PROTOCOL       (BIT(VHOST_USER_MQ) | BIT(VHOST_USER_REPLY_ACK) | BIT(VHOST_USER_CONFIG))

static struct fake_backend b;
static struct fake_driver d;
static struct device_list list;
static struct device_env env;
static struct device *dev;
static struct error err;
static char last_event[64];
static unsigned events;
static unsigned reply_ms, stop_ms; /* how long the back end is waited for */

static void on_event(void *arg, const char *event, const char *device)
{
	(void)arg;
	snprintf(last_event, sizeof(last_event), "%s %s", event, device);
	events++;
}

static void share_memory(void)
{
	struct mem_file f = { memfd_create("ram", MFD_CLOEXEC), d.r.ram, 2 * RING_MEM };

	assert_int_equal(ftruncate(f.fd, 2 * RING_MEM), 0);
	assert_true(mmap(d.r.ram, 2 * RING_MEM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			 f.fd, 0) == d.r.ram);
	guest_mem_set_file(d.r.mem, &f);
}

static int setup(void **state)
{
	(void)state;
	memset(&b, 0, sizeof(b));
	b.features = FEATURES;
	b.protocol = PROTOCOL;
	b.queues = 4;
	events = 0;
	reply_ms = stop_ms = PATIENCE_MS;
	err = (struct error){ 0 };
	last_event[0] = '\0';
	if (fake_driver_init(&d) || backend_start(&b))
		return -1;
	share_memory();
	env = (struct device_env){ .devices = &list,
				   .cpus = 2,
				   .pci = d.root,
				   .bus = &d.root->bus,
				   .devfn = FAKE_DEVFN,
				   .event = on_event };
	return 0;
}

static struct vhost_user_device *device(void)
{
	return dev->state;
}

static int make(const struct device_class *class, const char *options)
{
	char arg[128];
	int ret;

	snprintf(arg, sizeof(arg), "%s%s", b.path, options);
	err = (struct error){ 0 };
	assert_int_equal(device_create(&list, class, arg, &err), 0);
	dev = list.first;
	ret = class->open(dev, &env, &err);
	if (ret)
		return ret;
	device()->back.timeout_ms = reply_ms;
	device()->back.stop_ms = stop_ms;
	return class->plug(dev, &env, &err);
}

static void unmake(void)
{
	assert_true(dev->class->close(dev));
	dev->state = NULL;
	device_list_free(&list);
	list.first = NULL;
}

static int teardown(void **state)
{
	(void)state;
	if (list.first)
		unmake();
	backend_stop(&b);
	close(guest_mem_file(d.r.mem).fd);
	fake_driver_free(&d);
	return 0;
}

static void says(const char *text)
{
	if (!strstr(err.text, text))
		fail_msg("'%s' does not say '%s'", err.text, text);
}

#define WAIT(cond)                                                                 \
	do {                                                                       \
		bool done_ = false;                                                \
		for (unsigned i_ = 0; i_ < PATIENCE_MS && !done_; i_++) {          \
			done_ = (cond);                                            \
			if (!done_)                                                \
				usleep(1000);                                      \
		}                                                                  \
		if (!done_)                                                        \
			fail_msg("not after %u s: %s", PATIENCE_MS / 1000, #cond); \
	} while (0)

/* Until the back end has answered so many requests of this kind, of all connections. */
static void seen(unsigned request, unsigned n)
{
	WAIT(b.seen[request] >= n);
}

static void event_is(const char *event, unsigned n)
{
	for (unsigned i = 0; i < PATIENCE_MS && events < n; i++)
		driver_turn(&d, 1);
	assert_int_equal(events, n);
	assert_string_equal(last_event, event);
}

/* What the back end would do: request `head` of queue q is finished. */
static void finish(unsigned q, uint16_t head)
{
	struct virtq_used *u = driver_used(&d, q);

	u->ring[u->idx % RING_SIZE] = (struct virtq_used_elem){ head, 1 };
	__atomic_store_n(&u->idx, (uint16_t)(u->idx + 1), __ATOMIC_RELEASE);
}

static bool needs_reset(void)
{
	return driver_status(&d) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

/* A request with nothing in it; the back end is the test. */
static void offer(unsigned q, uint16_t head)
{
	driver_offer(&d, q, head, RING_DATA, 16, 0);
	driver_kick(&d, q);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
