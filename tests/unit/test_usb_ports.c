/* SPDX-License-Identifier: BSD-2-Clause */
/* Devices that are there, leave, come back, and are not wanted any more: with the fake kernel of
 * usb_host_fixture.h, a controller that has a thread, and messages from a pipe. */
#include "tests/unit/usb_host_fixture.h"

#include "devices/usb/usb_ports.h"

static struct usb_ports *ports;
static int events[2];

/* ---- the controller: its thread is the test's loop, run by another thread ---- */

static struct {
	pthread_mutex_t lock;
	pthread_t thread;
	struct usb_device *dev, *leaving;
	struct ev_call call;
	bool silent; /* it does not answer a detach */
	int attach_ret;
	unsigned attached, asked, detached, port;
} c = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void *controller_main(void *arg)
{
	evloop_run(arg);
	return NULL;
}

static void controller_call(void *arg)
{
	struct usb_device *d;

	(void)arg;
	pthread_mutex_lock(&c.lock);
	d = c.leaving;
	c.leaving = NULL;
	c.detached += d != NULL;
	pthread_mutex_unlock(&c.lock);
	if (d)
		d->ops->detached(d);
}

static int attach(void *controller, unsigned port, struct usb_device *d, struct error *e)
{
	int ret;

	assert_ptr_equal(controller, &c);
	scoped_lock(&c.lock);

	ret = c.attach_ret;
	c.attach_ret = 0;
	if (ret < 0)
		return error_set(e, ret, "no port is free");
	d->complete = complete;
	c.dev = d;
	c.port = port;
	c.attached++;
	assert_int_equal(d->ops->attached(d, loop), 0);
	return 1;
}

static void detach(void *controller, struct usb_device *d)
{
	assert_ptr_equal(controller, &c);
	scoped_lock(&c.lock);

	assert_ptr_equal(d, c.dev);
	c.dev = NULL;
	c.leaving = d;
	c.asked++;
	if (!c.silent)
		evloop_call(loop, &c.call);
}

/* ---- messages ---- */

static int events_open(struct error *e)
{
	(void)e;
	return dup(events[0]);
}

static int events_next(int fd, struct uevent *e)
{
	ssize_t n = read(fd, e, sizeof(*e));

	return n == (ssize_t)sizeof(*e) ? (e->bus == 999 ? -ENOBUFS : 1) : 0;
}

static void send_event(bool add, const char *name, unsigned addr)
{
	struct uevent e = { .add = add, .bus = 1, .addr = addr };

	snprintf(e.name, sizeof(e.name), "%s", name);
	assert_int_equal(write(events[1], &e, sizeof(e)), sizeof(e));
}

/* Events were lost. */
static void send_overflow(void)
{
	struct uevent e = { .bus = 999 };

	assert_int_equal(write(events[1], &e, sizeof(e)), sizeof(e));
}

/* ---- */

static unsigned count_of(const unsigned *n)
{
	scoped_lock(&c.lock);

	return *n;
}

static void await(const unsigned *n, unsigned want)
{
	for (unsigned i = 0; i < 50000 && count_of(n) != want; i++)
		usleep(200);
	assert_int_equal(count_of(n), want);
}

/* The thread has seen all messages before: one more turn does nothing. */
static void settle(void)
{
	usleep(20000);
}

static int setup_ports(void **state)
{
	const struct usb_ports_env env = {
		.root = root,
		.fs = &fake,
		.events_open = events_open,
		.events_next = events_next,
		.attach = attach,
		.detach = detach,
		.controller = &c,
	};

	setup_bare(state);
	c.attached = c.asked = c.detached = c.port = 0;
	c.silent = false;
	c.attach_ret = 0;
	c.dev = c.leaving = NULL;
	c.call = (struct ev_call){ .fn = controller_call };
	assert_int_equal(pipe2(events, O_NONBLOCK | O_CLOEXEC), 0);
	assert_int_equal(pthread_create(&c.thread, NULL, controller_main, loop), 0);
	ports = usb_ports_new(&env, &err);
	assert_non_null(ports);
	return 0;
}

static int teardown_ports(void **state)
{
	usb_ports_free(ports);
	evloop_stop(loop, 0);
	pthread_join(c.thread, NULL);
	close(events[0]);
	close(events[1]);
	return teardown_bare(state);
}

static struct usb_wish wish(const char *spec)
{
	struct usb_wish w = { .port = 2, .reset = true };

	assert_int_equal(usb_spec_parse(spec, &w.spec, &err), 0);
	return w;
}

static struct usb_entry *add(const struct usb_wish *w)
{
	struct usb_host *host = usb_wish_open(root, &fake, w, &err);
	struct usb_entry *e;

	if (!host)
		fail_msg("%s", err.text);
	e = usb_ports_add(ports, w, host, &err);
	assert_non_null(e);
	return e;
}

static void test_add(void **state)
{
	struct usb_wish w = wish("0781:5567");
	struct usb_entry *e = add(&w);

	(void)state;
	assert_int_equal(c.attached, 1);
	assert_int_equal(c.port, 2);
	said("claim 0;claim 1;");
	assert_true(usb_ports_remove_wait(ports, e, 60000));
	assert_int_equal(c.detached, 1);
	said("release 0;release 1;connect 0;connect 1;close;");
}

static void test_refused(void **state)
{
	struct usb_wish w = wish("0781:5567"), none = wish("dead:beef");
	struct usb_host *host;

	(void)state;
	assert_null(usb_wish_open(root, &fake, &none, &err));
	assert_non_null(strstr(err.text, "there is no such USB device"));
	host = usb_wish_open(root, &fake, &w, &err);
	assert_non_null(host);
	c.attach_ret = -ENOSPC;
	assert_null(usb_ports_add(ports, &w, host, &err));
	assert_string_equal(err.text, "no port is free");
	usb_host_close(host);
	said("claim 0;claim 1;release 0;release 1;connect 0;connect 1;close;");
}

/* It is pulled out, and put into another port. */
static void move(const char *spec, const char *to, bool wanted)
{
	struct usb_wish w = wish(spec);
	struct usb_entry *e = add(&w);

	put_nothing("sys/bus/usb/devices/1-4.2");
	send_event(false, "1-4.2", 9);
	await(&c.detached, 1);
	put_usb(to, "0781:5567", 9, "");
	put_usb_iface(to, 0, "08/06/50", "usb-storage");
	put_host("file " USB_AT "%s/bConfigurationValue 1\n", to);
	send_event(true, to, 9);
	if (wanted)
		await(&c.attached, 2);
	settle();
	assert_int_equal(count_of(&c.attached), wanted ? 2 : 1);
	assert_true(usb_ports_remove_wait(ports, e, 60000));
	assert_int_equal(c.detached, wanted ? 2 : 1);
}

static void test_back_by_id(void **state)
{
	(void)state;
	move("0781:5567", "1-7", true);
}

static void test_back_by_port(void **state)
{
	(void)state;
	move("1-4.2", "1-4.2", true);
}

static void test_back_elsewhere(void **state)
{
	(void)state;
	move("1-4.2", "1-7", false);
}

static void test_back_by_address(void **state)
{
	(void)state;
	move("1.9", "1-4.2", true);
}

/* Messages of other devices do not matter. */
static void test_others(void **state)
{
	struct usb_wish w = wish("0781:5567");
	struct usb_entry *e = add(&w);

	(void)state;
	send_event(false, "1-1", 7);
	send_event(true, "1-1", 7);
	settle();
	assert_int_equal(count_of(&c.detached), 0);
	assert_true(usb_ports_remove_wait(ports, e, 60000));
}

/* Messages were lost: sysfs tells. */
static void test_overflow(void **state)
{
	struct usb_wish w = wish("0781:5567");
	struct usb_entry *e = add(&w);

	(void)state;
	send_overflow();
	settle();
	assert_int_equal(count_of(&c.detached), 0);
	put_nothing("sys/bus/usb/devices/1-4.2");
	send_overflow();
	await(&c.detached, 1);
	assert_true(usb_ports_remove_wait(ports, e, 60000));
}

/* udev sets permissions, and the kernel the configuration, after the message. */
static void test_late(void **state)
{
	struct usb_wish w = wish("0781:5567");
	struct usb_entry *e = add(&w);

	(void)state;
	put_nothing("sys/bus/usb/devices/1-4.2");
	send_event(false, "1-4.2", 9);
	await(&c.detached, 1);
	put_usb_files("1-4.2", "0781:5567", 9);
	put_nothing("sys/devices/pci0000:00/0000:00:14.0/usb1/1-4.2/1-4.2:1.0");
	put_nothing("dev/bus/usb/001/009");
	put_usb_link("1-4.2");
	send_event(true, "1-4.2", 9);
	settle();
	assert_int_equal(count_of(&c.attached), 1);
	put_usb_iface("1-4.2", 0, "08/06/50", "");
	usleep(150000);
	assert_int_equal(count_of(&c.attached), 1);
	put("x", "dev/bus/usb/001/009");
	await(&c.attached, 2);
	assert_true(usb_ports_remove_wait(ports, e, 60000));
}

static void test_silent(void **state)
{
	struct usb_wish w = wish("0781:5567");
	struct usb_entry *e = add(&w);

	(void)state;
	c.silent = true;
	assert_false(usb_ports_remove_wait(ports, e, 0));
	assert_false(usb_ports_empty(ports));
	await(&c.asked, 1); /* else the controller has nothing to answer yet */
	evloop_call(loop, &c.call);
	await(&c.detached, 1);
	assert_true(usb_ports_remove_wait(ports, e, 60000));
	assert_true(usb_ports_empty(ports));
}

#define PORTS_TEST(t) cmocka_unit_test_setup_teardown(t, setup_ports, teardown_ports)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PORTS_TEST(test_add),
		PORTS_TEST(test_refused),
		PORTS_TEST(test_back_by_id),
		PORTS_TEST(test_back_by_port),
		PORTS_TEST(test_back_elsewhere),
		PORTS_TEST(test_back_by_address),
		PORTS_TEST(test_others),
		PORTS_TEST(test_overflow),
		PORTS_TEST(test_late),
		PORTS_TEST(test_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
