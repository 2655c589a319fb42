/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-console with a unix socket and a file, used through its registers. */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/virtio/virtio_console.h"
#include "tests/unit/fake_driver.h"
#include "vmm/core/error.h"
#include "vmm/core/evloop.h"

struct env {
	struct fake_driver d;
	struct virtio_console *con;
	char path[64];
	int peer;
};

static void turn(struct env *e)
{
	driver_turn(&e->d, 20);
}

static void connect_peer(struct env *e)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	strcpy(sa.sun_path, e->path);
	e->peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(connect(e->peer, (struct sockaddr *)&sa, sizeof(sa)), 0);
	turn(e);
}

static int setup(void **state)
{
	struct env *e = calloc(1, sizeof(*e));
	struct error err = { 0 };
	char spec[80];

	assert_int_equal(fake_driver_init(&e->d), 0);
	sprintf(e->path, "/tmp/minivmm-test-%d", (int)getpid());
	sprintf(spec, "unix:%s", e->path);
	e->con = virtio_console_new(e->d.root, &e->d.root->bus, FAKE_DEVFN, spec, NULL, NULL, NULL,
				    &err);
	if (!e->con)
		fail_msg("%s", err.text);
	connect_peer(e);
	*state = e;
	return 0;
}

static int teardown(void **state)
{
	struct env *e = *state;

	virtio_console_free(e->con);
	close(e->peer);
	fake_driver_free(&e->d);
	assert_int_equal(access(e->path, F_OK), -1);
	free(e);
	return 0;
}

static void go(struct env *e)
{
	driver_go(&e->d);
	assert_int_equal(driver_status(&e->d), 15);
}

static void offer(struct env *e, unsigned q, uint16_t i, uint64_t addr, uint32_t len)
{
	driver_offer(&e->d, q, i, addr, len, q == 0 ? VRING_DESC_F_WRITE : 0);
}

static void kick(struct env *e, unsigned q)
{
	driver_kick(&e->d, q);
	turn(e);
}

static void type(struct env *e, const char *s)
{
	assert_int_equal(write(e->peer, s, strlen(s)), strlen(s));
	turn(e);
}

static void identity(void **state)
{
	struct env *e = *state;

	assert_int_equal(pci_cfg_read(e->d.root, 0, FAKE_DEVFN, PCI_VENDOR_ID, 4), 0x10431af4);
	assert_int_equal(pci_cfg_read(e->d.root, 0, FAKE_DEVFN, PCI_CLASS_DEVICE, 2), 0x780);
	driver_prepare(&e->d, 2, 0);
	assert_int_equal(driver_reg(&e->d, C(num_queues), 2), 2);
}

static void output(void **state)
{
	struct env *e = *state;
	char got[32] = "";

	driver_prepare(&e->d, 2, 0);
	go(e);
	strcpy(e->d.r.ram + RING_DATA, "hello, ");
	strcpy(e->d.r.ram + RING_DATA + 64, "world\n");
	offer(e, 1, 0, RING_DATA, 7);
	offer(e, 1, 1, RING_DATA + 64, 6);
	kick(e, 1);
	assert_int_equal(driver_used(&e->d, 1)->idx, 2);
	assert_int_equal(driver_used(&e->d, 1)->ring[0].len, 0);
	assert_int_equal(read(e->peer, got, sizeof(got)), 13);
	assert_string_equal(got, "hello, world\n");
}

/* Input that is typed before there is a driver, before it has offered a buffer, and after. */
static void input(void **state)
{
	struct env *e = *state;

	type(e, "early");
	driver_prepare(&e->d, 2, 0);
	go(e);
	turn(e);
	offer(e, 0, 0, RING_DATA, 3);
	kick(e, 0);
	assert_int_equal(driver_used(&e->d, 0)->idx, 1);
	assert_int_equal(driver_used(&e->d, 0)->ring[0].len, 3);
	assert_memory_equal(e->d.r.ram + RING_DATA, "ear", 3);
	offer(e, 0, 1, RING_DATA + 64, 0); /* this buffer has no room */
	offer(e, 0, 2, RING_DATA + 128, 64);
	offer(e, 0, 3, RING_DATA + 192, 64);
	kick(e, 0);
	assert_int_equal(driver_used(&e->d, 0)->idx, 3);
	assert_int_equal(driver_used(&e->d, 0)->ring[1].len, 0);
	assert_int_equal(driver_used(&e->d, 0)->ring[2].len, 2);
	assert_memory_equal(e->d.r.ram + RING_DATA + 128, "ly", 2);
	type(e, "later");
	assert_int_equal(driver_used(&e->d, 0)->idx, 4);
	assert_memory_equal(e->d.r.ram + RING_DATA + 192, "later", 5);
}

/* Buffers that were offered before DRIVER_OK are used. A reset drops the held one. */
static void reset_while_holding(void **state)
{
	struct env *e = *state;

	driver_prepare(&e->d, 2, 0);
	offer(e, 0, 0, RING_DATA, 1);
	offer(e, 0, 1, RING_DATA + 64, 64);
	go(e);
	type(e, "a");
	assert_int_equal(driver_used(&e->d, 0)->idx, 1);
	memset(e->d.r.ram + RING_DATA, 0, 256);
	driver_prepare(&e->d, 2, 0);
	type(e, "b");
	assert_int_equal(e->d.r.ram[RING_DATA + 64], 0);
	offer(e, 0, 4, RING_DATA + 128, 64);
	go(e);
	turn(e);
	assert_int_equal(driver_used(&e->d, 0)->idx, 1);
	assert_int_equal(driver_used(&e->d, 0)->ring[0].id, 4);
	assert_int_equal(e->d.r.ram[RING_DATA + 128], 'b');
}

static void broken_rings(void **state)
{
	struct env *e = *state;

	for (unsigned q = 0; q < 2; q++) {
		driver_prepare(&e->d, 2, 0);
		go(e);
		type(e, "x");
		offer(e, q, 0, RING_MEM * 2, 16);
		kick(e, q);
		assert_true(driver_status(&e->d) & VIRTIO_CONFIG_S_NEEDS_RESET);
	}
}

/* A client leaves and another one comes: the guest does not notice. */
static void reconnects(void **state)
{
	struct env *e = *state;

	driver_prepare(&e->d, 2, 0);
	go(e);
	close(e->peer);
	turn(e);
	offer(e, 1, 0, RING_DATA, 7);
	kick(e, 1);
	assert_int_equal(driver_used(&e->d, 1)->idx, 1);
	connect_peer(e);
	offer(e, 0, 0, RING_DATA, 8);
	kick(e, 0);
	type(e, "again");
	assert_memory_equal(e->d.r.ram + RING_DATA, "again", 5);
}

/* More output than the socket can hold: requests wait for the reader, and nothing is lost. */
static void slow_reader(void **state)
{
	static char got[RING_SIZE * 0x10000];
	struct env *e = *state;
	size_t n = 0;
	ssize_t ret;

	driver_prepare(&e->d, 2, 0);
	go(e);
	for (unsigned i = 0; i < 0x10000; i++)
		e->d.r.ram[RING_DATA + i] = (char)(i % 251);
	for (uint16_t i = 0; i < RING_SIZE; i++)
		offer(e, 1, i, RING_DATA, 0x10000);
	kick(e, 1);
	assert_true(driver_used(&e->d, 1)->idx < RING_SIZE);
	while (n < sizeof(got)) {
		ret = read(e->peer, got + n, sizeof(got) - n);
		if (ret < 0) {
			assert_int_equal(errno, EAGAIN);
			turn(e);
			continue;
		}
		n += (size_t)ret;
	}
	for (unsigned i = 0; i < sizeof(got); i++)
		if (got[i] != (char)(i % 0x10000 % 251))
			fail_msg("byte %u is wrong", i);
	turn(e);
	assert_int_equal(driver_used(&e->d, 1)->idx, RING_SIZE);
	assert_int_equal(read(e->peer, got, 1), -1);
}

static unsigned turns;

static void on_turn(void *arg, int fd, uint32_t events)
{
	(void)fd;
	(void)events;
	if (++turns == 10)
		evloop_stop(arg, 0);
}

/* Four requests of 50 MiB each in 1 MiB of memory: the loop must go on between pieces. All of it
 * was once written in one turn. */
static void big_requests(void **state)
{
	struct env *e = *state;
	struct virtq_desc *t = (struct virtq_desc *)(e->d.r.ram + RING_DATA);
	struct error err = { 0 };
	struct virtio_console *con;
	char spec[80];
	struct stat st;
	int fd = eventfd(1, 0);
	struct ev_source *src;

	virtio_console_free(e->con);
	e->con = NULL;
	sprintf(spec, "file:%s", e->path);
	con = virtio_console_new(e->d.root, &e->d.root->bus, FAKE_DEVFN, spec, NULL, NULL, NULL,
				 &err);
	assert_non_null(con);
	driver_prepare(&e->d, 2, 1u << VIRTIO_RING_F_INDIRECT_DESC);
	go(e);
	for (uint16_t i = 0; i < 100; i++)
		t[i] = (struct virtq_desc){ 0, RING_MEM / 2, i < 99 ? VRING_DESC_F_NEXT : 0,
					    i + 1 };
	for (uint16_t i = 0; i < 4; i++)
		driver_offer(&e->d, 1, i, RING_DATA, 1600, VRING_DESC_F_INDIRECT);
	driver_kick(&e->d, 1);
	src = evloop_add_fd(e->d.root->loop, fd, EPOLLIN, on_turn, e->d.root->loop);
	turns = 0;
	evloop_run(e->d.root->loop);
	assert_int_equal(stat(e->path, &st), 0);
	assert_in_range(st.st_size, 0x10000, 11 * 0x10000);
	assert_int_equal(driver_used(&e->d, 1)->idx, 0);
	/* A reset drops the rest. */
	driver_prepare(&e->d, 2, 0);
	go(e);
	turns = 0;
	evloop_run(e->d.root->loop);
	assert_int_equal(stat(e->path, &st), 0);
	assert_in_range(st.st_size, 0x10000, 11 * 0x10000);
	evloop_del_fd(src);
	close(fd);
	virtio_console_free(con);
	unlink(e->path);
}

static void bad_spec(void **state)
{
	struct env *e = *state;
	struct error err = { 0 };

	assert_null(virtio_console_new(e->d.root, &e->d.root->bus, PCI_DEVFN(4, 0),
				       "file:/nonexistent/x", NULL, NULL, NULL, &err));
	assert_non_null(strstr(err.text, "/nonexistent/x"));
	assert_null(virtio_console_new(e->d.root, &e->d.root->bus, FAKE_DEVFN, "null", NULL, NULL,
				       NULL, &err));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(identity),	    TEST(output),     TEST(input),    TEST(reset_while_holding),
		TEST(broken_rings), TEST(reconnects), TEST(bad_spec), TEST(slow_reader),
		TEST(big_requests),
	};

	signal(SIGPIPE, SIG_IGN); /* like the machine */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
