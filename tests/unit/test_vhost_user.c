/* SPDX-License-Identifier: BSD-2-Clause */
/* devices/virtio/vhost_user.c: what is said to a back end, and back ends that misbehave at each
 * request in each way. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/virtio/vhost_user.h"
#include "tests/unit/fake_backend.h"
#include "vmm/core/error.h"
#include "vmm/core/eventfd.h"
#include "vmm/core/mem.h"

#define BIT(n)	 (1ull << (n))
#define RAM	 (4 * MiB)
#define FEATURES (BIT(32) | BIT(VHOST_USER_F_PROTOCOL) | BIT(9))
#define PROTOCOL                                                                   \
	(BIT(VHOST_USER_MQ) | BIT(VHOST_USER_REPLY_ACK) | BIT(VHOST_USER_CONFIG) | \
	 BIT(VHOST_USER_INFLIGHT) | BIT(VHOST_USER_BACKEND_REQ) | BIT(7))

static struct fake_backend b;
static struct vhost_user u;
static struct error err;
static struct guest_mem *mem;
static char *ram;
static int kick, call, ring_err;

static int setup(void **state)
{
	struct mem_range low = { 0, RAM / 2, NULL, MEM_RAM, true };
	struct mem_range high = { 1ull << 32, RAM / 2, NULL, MEM_RAM, true };
	struct mem_range rom = { 1 * GiB, 4096, NULL, MEM_ROM, false };
	struct mem_file file = { memfd_create("ram", MFD_CLOEXEC), NULL, RAM };

	(void)state;
	memset(&b, 0, sizeof(b));
	b.features = FEATURES;
	b.protocol = PROTOCOL;
	b.queues = 4;
	memcpy(b.config, "configuration", 13);
	if (ftruncate(file.fd, RAM))
		return -1;
	ram = mmap(NULL, RAM + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mmap(ram, RAM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file.fd, 0);
	mem = guest_mem_new();
	low.host = ram;
	high.host = ram + RAM / 2;
	rom.host = ram + RAM;
	file.host = ram;
	guest_mem_set_file(mem, &file);
	kick = eventfd_new();
	call = eventfd_new();
	ring_err = eventfd_new();
	vhost_user_init(&u);
	return backend_start(&b) || guest_mem_add(mem, &low) || guest_mem_add(mem, &high) ||
	       guest_mem_add(mem, &rom);
}

static int teardown(void **state)
{
	(void)state;
	vhost_user_destroy(&u);
	backend_stop(&b);
	close(guest_mem_file(mem).fd);
	guest_mem_free(mem);
	munmap(ram, RAM + 4096);
	close(kick);
	close(call);
	close(ring_err);
	return 0;
}

static struct vhost_user_ring ring(unsigned index)
{
	return (struct vhost_user_ring){ .index = index,
					 .size = 128,
					 .base = 7,
					 .desc = ram + 0x1000,
					 .avail = ram + 0x2000,
					 .used = ram + 0x3000,
					 .kick = kick,
					 .call = call,
					 .err = ring_err };
}

/* Everything that a device does, once. */
static int all_of_it(void)
{
	struct vhost_user_inflight f = { .fd = -1 };
	struct vhost_user_ring r = ring(1);
	uint16_t base = 0;
	char config[60];
	int ret;

	err = (struct error){ 0 };
	ret = vhost_user_connect(&u, b.path, &err);
	ret = ret ? ret : vhost_user_get_config(&u, config, sizeof(config), &err);
	ret = ret ? ret : vhost_user_set_features(&u, BIT(32) | BIT(9), &err);
	ret = ret ? ret : vhost_user_set_memory(&u, mem, &err);
	ret = ret ? ret : vhost_user_get_inflight(&u, 2, 128, &f, &err);
	ret = ret ? ret : vhost_user_set_inflight(&u, &f, &err);
	ret = ret ? ret : vhost_user_set_ring(&u, &r, &err);
	ret = ret ? ret : vhost_user_enable_ring(&u, 1, true, &err);
	ret = ret ? ret : vhost_user_sync(&u, &err);
	ret = ret ? ret : vhost_user_stop_ring(&u, 1, &base, &err);
	if (f.fd >= 0)
		close(f.fd);
	if (!ret)
		assert_int_equal(base, 7);
	return ret;
}

static void test_all(void **state)
{
	char x = 'x', got = 0;

	(void)state;
	assert_int_equal(all_of_it(), 0);
	assert_int_equal(u.queues, 4);
	assert_true(b.got_features == FEATURES);
	assert_true(b.got_protocol == (PROTOCOL & ~BIT(7)));
	assert_int_equal(b.regions, 2);
	assert_true(b.region[1].gpa == 1ull << 32 && b.region[1].size == RAM / 2);
	assert_true(b.region[1].user == (uintptr_t)ram + RAM / 2 && b.region[1].offset == RAM / 2);
	ram[5] = x;
	assert_int_equal(pread(b.memory, &got, 1, 5), 1);
	assert_int_equal(got, x);
	assert_int_equal(b.ring[1].num, 128);
	assert_true(b.ring[1].desc == (uintptr_t)ram + 0x1000);
	assert_true(b.ring[1].used == (uintptr_t)ram + 0x3000);
	assert_true(b.ring[1].avail == (uintptr_t)ram + 0x2000);
	eventfd_signal(kick);
	assert_true(eventfd_is_set(b.ring[1].kick));
	eventfd_signal(b.ring[1].call);
	assert_true(eventfd_is_set(call));
	eventfd_signal(b.ring[1].err);
	assert_true(eventfd_is_set(ring_err));
	assert_true(b.inflight >= 0);
}

/* One without protocol features has one queue, and its rings need no enabling. */
static void test_old(void **state)
{
	struct vhost_user_ring r = ring(0);

	(void)state;
	b.features = BIT(32);
	assert_int_equal(vhost_user_connect(&u, b.path, &err), 0);
	assert_int_equal(u.queues, 1);
	assert_int_equal(vhost_user_set_ring(&u, &r, &err), 0);
	assert_int_equal(vhost_user_enable_ring(&u, 0, true, &err), 0);
	assert_int_equal(vhost_user_sync(&u, &err), 0);
	assert_int_equal(b.seen[18], 0);
	assert_int_equal(b.seen[15], 0);
}

static unsigned open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* After a run with a back end that has ended. */
static unsigned files_left(void)
{
	vhost_user_close(&u);
	backend_die(&b);
	backend_forget(&b);
	return open_files();
}

static void check_fault(enum backend_fault f, unsigned r, unsigned files)
{
	int ret;

	b.fault_at = r;
	b.fault = f;
	assert_int_equal(backend_revive(&b), 0);
	ret = all_of_it();
	/* The descriptor that comes with the answer to 31 is one of those that are too many. */
	if (f == FAULT_FDS ? ret != 0 : ret >= 0)
		fail_msg("fault %u at request %u: %d %s", f, r, ret, err.text);
	if (ret)
		assert_non_null(strstr(err.text, "_"));
	assert_int_equal(files_left(), files);
}

/* Each fault at each request: an error that says where, and no descriptor is left. */
static void test_faults(void **state)
{
	static const unsigned requests[] = { 1,	 2,  3,	 5,  8,	 9,  10, 11, 12, 13,
					     14, 15, 17, 18, 21, 24, 31, 32, 16 };
	unsigned files;

	(void)state;
	u.timeout_ms = u.stop_ms = 50;
	assert_int_equal(all_of_it(), 0);
	files = files_left();
	for (unsigned f = FAULT_CLOSE; f < FAULTS; f++) {
		for (unsigned i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
			unsigned r = requests[i];
			bool get = r == 1 || r == 11 || r == 15 || r == 17 || r == 24 || r == 31;

			if (r == 16 && f != FAULT_CLOSE)
				continue; /* it has no answer */
			if (f != FAULT_REFUSE || !get)
				check_fault(f, r, files);
		}
	}
	b.fault = FAULT_NONE;
	assert_int_equal(backend_revive(&b), 0);
}

static void says(const char *text)
{
	if (!strstr(err.text, text))
		fail_msg("'%s' does not say '%s'", err.text, text);
}

static void test_messages(void **state)
{
	(void)state;
	u.timeout_ms = 1000;
	b.fault_at = 1;
	b.fault = FAULT_SILENT;
	assert_int_equal(vhost_user_connect(&u, b.path, &err), -ETIMEDOUT);
	says("has not answered GET_FEATURES within 1 s");
	b.fault = FAULT_GARBAGE;
	assert_int_equal(vhost_user_connect(&u, b.path, &err), -EPROTO);
	says("the answer to GET_FEATURES is not one of a vhost-user back end");
	b.fault = FAULT_CLOSE;
	assert_int_equal(vhost_user_connect(&u, b.path, &err), -ECONNRESET);
	says("closed the connection at GET_FEATURES");
	b.fault = FAULT_REFUSE;
	b.fault_at = 5;
	assert_int_equal(vhost_user_connect(&u, b.path, &err), 0);
	assert_int_equal(vhost_user_set_memory(&u, mem, &err), -EREMOTEIO);
	says("refused SET_MEM_TABLE");
	vhost_user_close(&u);
	assert_int_equal(vhost_user_sync(&u, &err), -ENOTCONN);
}

/* A socket that is not there, is nobody's, is none, or has too long a name. */
static void test_sockets(void **state)
{
	char long_path[200];

	(void)state;
	assert_int_equal(vhost_user_connect(&u, "/nonexistent/s", &err), -ENOENT);
	says("start the back end first");
	assert_int_equal(vhost_user_connect(&u, "/dev/null", &err), -ENOTSOCK);
	says("not a socket");
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(vhost_user_connect(&u, long_path, &err), -ENAMETOOLONG);
	backend_die(&b);
	assert_int_equal(vhost_user_connect(&u, b.path, &err), -ECONNREFUSED);
	says("nobody listens");
	assert_int_equal(backend_revive(&b), 0);
}

static void *abort_soon(void *arg)
{
	usleep(20000);
	vhost_user_abort(arg);
	return NULL;
}

/* Another thread ends the waiting, and the one that comes later. */
static void test_abort(void **state)
{
	pthread_t t;

	(void)state;
	b.fault_at = 1;
	b.fault = FAULT_SILENT;
	u.timeout_ms = 600000;
	pthread_create(&t, NULL, abort_soon, &u);
	assert_int_equal(vhost_user_connect(&u, b.path, &err), -ECONNRESET);
	pthread_join(t, NULL);
	assert_int_equal(vhost_user_connect(&u, b.path, &err), -ECANCELED);
}

/* One that does not read does not hold us either. */
static void test_does_not_read(void **state)
{
	int s[2], ret = 0, small = 1;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s), 0);
	setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	u.sock = s[0];
	u.timeout_ms = 50;
	for (unsigned i = 0; i < 100000 && !ret; i++)
		ret = vhost_user_set_features(&u, 1, &err);
	assert_int_equal(ret, -ETIMEDOUT);
	close(s[1]);
}

/* A request from the back end: flags, number, size, and so many bytes of payload. */
static int request(uint32_t number, uint32_t flags, uint32_t size, size_t payload)
{
	uint8_t m[12 + 300] = { 0 };

	memcpy(m, &number, 4);
	memcpy(m + 4, &flags, 4);
	memcpy(m + 8, &size, 4);
	assert_int_equal(send(b.requests, m, 12 + payload, 0), 12 + payload);
	return vhost_user_request(&u, &err);
}

/* The end of a request may be missing, and there are those that we do not know. */
static void test_requests(void **state)
{
	uint32_t answer[5];

	(void)state;
	assert_int_equal(vhost_user_connect(&u, b.path, &err), 0);
	u.timeout_ms = 50;
	assert_true(b.requests >= 0 && u.requests >= 0);
	assert_int_equal(request(2, 1, 0, 0), 1);
	assert_int_equal(request(2, 9, 0, 0), 1);
	assert_int_equal(recv(b.requests, answer, sizeof(answer), 0), 20);
	assert_int_equal(answer[0], 2);
	assert_int_equal(answer[1], 5);
	assert_int_equal(answer[3], 0);
	assert_int_equal(request(3, 9, 256, 256), 0);
	assert_int_equal(recv(b.requests, answer, sizeof(answer), 0), 20);
	assert_int_equal(answer[3], 1);
	assert_int_equal(request(2, 1, 8, 7), -ETIMEDOUT);
	vhost_user_close(&u);
	for (unsigned bad = 0; bad < 4; bad++) {
		assert_int_equal(vhost_user_connect(&u, b.path, &err), 0);
		if (bad == 0)
			assert_int_equal(request(2, 5, 0, 0), -EPROTO); /* an answer */
		else if (bad == 1)
			assert_int_equal(request(2, 2, 0, 0), -EPROTO); /* another version */
		else if (bad == 2)
			assert_int_equal(request(2, 1, 257, 257), -EPROTO);
		else if (shutdown(b.requests, SHUT_RDWR) == 0)
			assert_int_equal(vhost_user_request(&u, &err), -ECONNRESET);
		says("a request of the back end is not valid");
		vhost_user_close(&u);
	}
}

static void test_private_memory(void **state)
{
	struct mem_file file = guest_mem_file(mem), none = { -1, NULL, 0 };
	struct mem_file small = { file.fd, ram, RAM / 4 };

	(void)state;
	assert_int_equal(vhost_user_connect(&u, b.path, &err), 0);
	guest_mem_set_file(mem, &none);
	assert_int_equal(vhost_user_set_memory(&u, mem, &err), -EINVAL);
	guest_mem_set_file(mem, &small);
	assert_int_equal(vhost_user_set_memory(&u, mem, &err), -EINVAL);
	guest_mem_set_file(mem, &file);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_all),		  TEST(test_old),
		TEST(test_faults),	  TEST(test_messages),
		TEST(test_sockets),	  TEST(test_abort),
		TEST(test_does_not_read), TEST(test_private_memory),
		TEST(test_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
