/* SPDX-License-Identifier: BSD-2-Clause */
/* The records of USB devices, and giving devices back: in a fake /run and sysfs, with a usbfs that
 * counts. */
#include <errno.h>
#include <linux/usbdevice_fs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <cmocka.h>

#include "devices/usb/usb_record.h"
#include "tests/unit/usb_tree.h"

static struct error err;
static char done[400]; /* what usbfs was asked */

__attribute__((format(printf, 1, 2))) static void note(const char *fmt, ...)
{
	size_t n = strlen(done);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(done + n, sizeof(done) - n, fmt, ap);
	va_end(ap);
}

static int fake_open(const struct usbfs *fs, const char *node)
{
	(void)fs;
	note("open %s;", node + strlen(root));
	return 40;
}

static void fake_close(const struct usbfs *fs, int fd)
{
	(void)fs;
	note("close %d;", fd);
}

static unsigned busy_iface = 99;

static int fake_ioctl(const struct usbfs *fs, int fd, unsigned long request, void *arg)
{
	const struct usbdevfs_disconnect_claim *claim = arg;
	const struct usbdevfs_ioctl *io = arg;

	(void)fs;
	(void)fd;
	if (request == USBDEVFS_IOCTL && io->ioctl_code == (int)USBDEVFS_CONNECT) {
		note("connect %d;", io->ifno);
	} else if (request == USBDEVFS_DISCONNECT_CLAIM) {
		assert_int_equal(claim->flags, USBDEVFS_DISCONNECT_CLAIM_EXCEPT_DRIVER);
		assert_string_equal(claim->driver, "usbfs");
		if (claim->interface == busy_iface)
			return -EBUSY;
		note("claim %u;", claim->interface);
	} else if (request == USBDEVFS_RELEASEINTERFACE) {
		note("release %u;", *(unsigned *)arg);
	} else if (request == USBDEVFS_GETDRIVER) {
		strcpy(((struct usbdevfs_getdriver *)arg)->driver, "snd-usb-audio");
	} else {
		fail_msg("request %lx", request);
	}
	return 0;
}

static const struct usbfs fake = { .open = fake_open, .close = fake_close, .ioctl = fake_ioctl };

static int setup(void **state)
{
	make_usb(state);
	put("", "run/");
	done[0] = '\0';
	err = (struct error){ 0 };
	busy_iface = 99;
	return 0;
}

static struct usb_info info(const char *name)
{
	struct usb_info d;

	assert_int_equal(usb_info_read(root, name, &d), 0);
	return d;
}

static void test_parse(void **state)
{
	static const char *const bad[] = { "",
					   "device=",
					   "device=046d:c52b",
					   "device=046d:c52b\nx",
					   "device=46d:c52b\n",
					   "device=046D:C52B\n",
					   "device=046d:c52b1\n",
					   "device= 46d:c52b\n",
					   "devicf=046d:c52b\n" };
	struct usb_record r;
	unsigned i;

	(void)state;
	assert_int_equal(usb_record_parse(&r, "device=046d:c52b\n", 17), 0);
	assert_int_equal(r.vendor, 0x046d);
	assert_int_equal(r.product, 0xc52b);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(usb_record_parse(&r, bad[i], strlen(bad[i])), -EINVAL);
	assert_int_equal(usb_record_parse(&r, "device=046d:c52b\n\0\0", 19), -EINVAL);
}

static int count(void *n, const char *name)
{
	assert_string_equal(name, "1-1");
	++*(unsigned *)n;
	return 0;
}

static unsigned records(void)
{
	unsigned n = 0;

	usb_record_each(root, count, &n);
	return n;
}

/* A machine was killed: its receiver has no drivers. */
static void test_restore(void **state)
{
	struct usb_info d = info("1-1");

	(void)state;
	assert_int_equal(usb_record_write(root, &d, &err), 0);
	put("", "run/minivmm/usb-nonsense");
	put("", "run/minivmm/usb-01-1");
	put("", "run/minivmm/usb-046d:c52b");
	assert_int_equal(records(), 1);
	put_usb_iface("1-1", 0, "03/01/01", "");
	assert_int_equal(usb_restore(root, &fake, "1-1", &err), 0);
	assert_string_equal(done, "open /dev/bus/usb/001/007;connect 0;close 40;");
	assert_int_equal(records(), 0);
	/* Without a record, as for a machine that was not root's; all drivers are there. */
	put_usb_iface("1-1", 0, "03/01/01", "usbhid");
	assert_int_equal(usb_restore(root, &fake, "1-1", &err), 0);
	assert_int_equal(strncmp(strchr(done, ';') + 1, "connect 0;close 40;", 19), 0);
	assert_null(strstr(done + 40, "open"));
}

static void test_restore_refused(void **state)
{
	struct usb_info d = info("1-1");

	(void)state;
	assert_int_equal(usb_restore(root, &fake, "1-9", &err), -ENODEV);
	assert_int_equal(usb_record_write(root, &d, &err), 0);
	put_usb_iface("1-1", 1, "03/01/02", "usbfs");
	assert_int_equal(usb_restore(root, &fake, "1-1", &err), -EBUSY);
	assert_int_equal(records(), 1);
	/* Another device is in that port now: it keeps its state. */
	put("1234", "sys/bus/usb/devices/1-1/idProduct");
	put_usb_iface("1-1", 1, "03/01/02", "");
	assert_int_equal(usb_restore(root, &fake, "1-1", &err), 1);
	assert_int_equal(records(), 0);
	assert_string_equal(done, "");
	/* It was pulled out. */
	assert_int_equal(usb_record_write(root, &d, &err), 0);
	put_nothing("sys/bus/usb/devices/1-1");
	assert_int_equal(usb_restore(root, &fake, "1-1", &err), 1);
	assert_int_equal(records(), 0);
}

static void test_claim(void **state)
{
	uint32_t claimed;

	(void)state;
	assert_int_equal(usbfs_claim(&fake, 40, 0x80000005, &claimed, &err), 0);
	assert_int_equal(claimed, 0x80000005);
	assert_string_equal(done, "claim 0;claim 2;claim 31;");
	done[0] = '\0';
	busy_iface = 2;
	assert_int_equal(usbfs_claim(&fake, 40, 7, &claimed, &err), -EBUSY);
	assert_int_equal(claimed, 3);
	assert_string_equal(err.text, "the driver snd-usb-audio does not let go of interface 2");
	usbfs_release(&fake, 40, claimed);
	usbfs_connect(&fake, 40, claimed);
	assert_string_equal(done, "claim 0;claim 1;release 0;release 1;connect 0;connect 1;");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test_setup_teardown(test_restore, setup, remove_root),
		cmocka_unit_test_setup_teardown(test_restore_refused, setup, remove_root),
		cmocka_unit_test_setup_teardown(test_claim, setup, remove_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
