/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's end of a network card, on real tap devices (skipped without CAP_NET_ADMIN). */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/backend/tap.h"
#include "vmm/core/error.h"

#define IFNAME "mvtest1"

static struct error err;

static int open_named(struct tap *t, bool multi_queue, unsigned mtu)
{
	const struct tap_want want = { IFNAME, multi_queue, mtu };

	err = (struct error){ 0 };
	return tap_open(t, &want, &err);
}

/* ip tuntap add: the descriptor keeps the device; IFF_PERSIST and a second descriptor would, too.
 */
static int made_by_others(short flags)
{
	struct ifreq ifr = { .ifr_name = IFNAME, .ifr_flags = IFF_TAP | IFF_NO_PI | flags };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr))
		skip();
	assert_int_equal(ioctl(fd, TUNSETPERSIST, 1), 0);
	close(fd);
	return 0;
}

static void removed(int fd)
{
	assert_int_equal(ioctl(fd, TUNSETPERSIST, 0), 0);
	close(fd);
	assert_int_equal(if_nametoindex(IFNAME), 0);
}

static void test_made(void **state)
{
	struct tap t;
	int fd, more;

	(void)state;
	fd = open_named(&t, true, 9000);
	if (fd < 0)
		skip();
	assert_string_equal(t.name, IFNAME);
	assert_true(t.multi_queue);
	assert_int_equal(t.mtu, 9000);
	more = tap_add_queue(&t);
	assert_true(more >= 0);
	assert_int_equal(tap_attach_queue(more, false), 0);
	assert_int_equal(tap_attach_queue(more, true), 0);
	assert_int_equal(tap_set_offload(fd, TUN_F_CSUM | (t.uso ? TAP_OFFLOAD_USO : 0)), 0);
	close(more);
	close(fd);
	fd = open_named(&t, false, 0);
	assert_true(fd >= 0);
	assert_false(t.multi_queue);
	assert_int_equal(t.mtu, 1500);
	assert_int_equal(tap_add_queue(&t), -EINVAL);
	close(fd);
}

/* Whichever way a device was made, it works, with as many queues as it has. */
static void test_given(void **state)
{
	static const short flags[] = { 0, IFF_MULTI_QUEUE };
	struct tap t;
	int fd;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		made_by_others(flags[i & 1]);
		fd = open_named(&t, i & 2, 0);
		assert_true(fd >= 0);
		assert_int_equal(t.multi_queue, i & 1);
		removed(fd);
	}
}

static short flags_of(void)
{
	struct ifreq ifr = { .ifr_name = IFNAME };
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(ioctl(sock, SIOCGIFFLAGS, &ifr), 0);
	close(sock);
	return ifr.ifr_flags;
}

/* A device of the administrator is afterwards as it was. */
static void test_restored(void **state)
{
	struct tap t;
	int fd;

	(void)state;
	made_by_others(0);
	fd = open_named(&t, false, 9000);
	assert_true(fd >= 0);
	assert_true(flags_of() & IFF_UP);
	tap_restore(&t);
	assert_false(flags_of() & IFF_UP);
	close(fd);
	fd = open_named(&t, false, 0);
	assert_int_equal(t.mtu, 1500);
	removed(fd);
}

/* A device with several queues would let two machines share the frames. */
static void test_in_use(void **state)
{
	struct tap t, other;
	int fd;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		fd = open_named(&t, i, 0);
		if (fd < 0)
			skip();
		assert_int_equal(open_named(&other, i, 0), -EBUSY);
		assert_non_null(strstr(err.text, IFNAME " is in use by another process"));
		close(fd);
	}
}

static void test_errors(void **state)
{
	const struct tap_want lo = { "lo", true, 0 };
	struct tap t;
	int fd = open_named(&t, false, 65521);

	(void)state;
	if (fd < 0)
		skip();
	close(fd);
	assert_true(open_named(&t, false, 65535) < 0);
	assert_non_null(strstr(err.text, "ip link set dev " IFNAME " mtu 65535"));
	assert_int_equal(tap_open(&t, &lo, &err), -EINVAL);
	assert_non_null(strstr(err.text, "lo is not a tap device"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made),	 cmocka_unit_test(test_given),
		cmocka_unit_test(test_restored), cmocka_unit_test(test_in_use),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
