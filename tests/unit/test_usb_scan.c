/* SPDX-License-Identifier: BSD-2-Clause */
/* USB devices of a host: read, named, found, and whether they may go to a guest. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "devices/usb/usb_scan.h"
#include "devices/usb/usb_use.h"
#include "tests/unit/usb_tree.h"
#include "vmm/core/addr.h"

static struct error err;

static void test_scan(void **state)
{
	char text[140], pass[USB_NAME_SIZE];
	struct usb_list l;

	(void)state;
	assert_int_equal(usb_scan(root, &l), 0);
	assert_int_equal(l.n, 4); /* no hubs */
	assert_string_equal(l.dev[0].name, "1-1");
	assert_int_equal(l.dev[0].vendor, 0x046d);
	assert_int_equal(l.dev[0].product, 0xc52b);
	assert_int_equal(l.dev[0].bus, 1);
	assert_int_equal(l.dev[0].addr, 7);
	assert_int_equal(l.dev[0].mbits, 12);
	assert_int_equal(l.dev[0].n_ifaces, 2);
	assert_int_equal(l.dev[0].iface[1].number, 1);
	assert_int_equal(l.dev[0].iface[1].class, 3);
	assert_int_equal(l.dev[0].iface[1].protocol, 2);
	assert_string_equal(l.dev[0].iface[1].driver, "usbhid");
	usb_info_title(&l.dev[0], text, sizeof(text));
	assert_string_equal(text, "Logitech USB Receiver");
	usb_info_node(&l.dev[0], text, sizeof(text));
	assert_string_equal(text, "/dev/bus/usb/001/007");
	/* The model begins with the maker, and would control the terminal. */
	usb_info_title(&l.dev[1], text, sizeof(text));
	assert_string_equal(text, "SanDisk Cruzer?[2J");
	usb_info_title(&l.dev[2], text, sizeof(text));
	assert_string_equal(text, "046d:0825");
	assert_string_equal(l.dev[3].iface[0].driver, "");
	usb_list_pass(&l, 0, pass);
	assert_string_equal(pass, "046d:c52b");
	usb_list_pass(&l, 3, pass); /* there are two of them */
	assert_string_equal(pass, "1-6");
	usb_list_free(&l);
}

/* A device that is just leaving has lost some of its files. */
static void test_scan_damage(void **state)
{
	struct usb_list l;
	struct usb_info d;

	(void)state;
	put_nothing("sys/bus/usb/devices/1-1/idVendor");
	put("zzzz", "sys/bus/usb/devices/1-5/busnum");
	put("4294967296000", "sys/bus/usb/devices/1-6/devnum");
	put("", "sys/bus/usb/devices/1-4.2/speed");
	put_host("link /sys/bus/usb/devices/1-9 nowhere\n");
	assert_int_equal(usb_scan(root, &l), 0);
	assert_int_equal(l.n, 1);
	assert_string_equal(l.dev[0].name, "1-4.2");
	assert_int_equal(l.dev[0].mbits, 0);
	usb_list_free(&l);
	assert_int_equal(usb_info_read(root, "../1-4.2", &d), -ENODEV);
	assert_int_equal(
		usb_info_read(root, "1-1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1", &d),
		-ENODEV);
	put_nothing("sys/bus");
	assert_int_equal(usb_scan(root, &l), -ENOENT);
	usb_list_free(&l);
}

static void test_spec(void **state)
{
	static const struct {
		const char *text, *again; /* NULL: it is refused */
	} specs[] = {
		{ "046d:c52b", "046d:c52b" },
		{ "0x46D:0xC52B", "046d:c52b" },
		{ "1.7", "1.7" },
		{ "/dev/bus/usb/001/007", "1.7" },
		{ "1-4.2", "1-4.2" },
		{ "01-4.02", "1-4.2" },
		{ "1-2.3.4.5.6.7", "1-2.3.4.5.6.7" },
		{ "", NULL },
		{ "046d", NULL },
		{ "046d:", NULL },
		{ ":c52b", NULL },
		{ "046d1:c52b", NULL },
		{ "046d:c52b:1", NULL },
		{ "-1:2", NULL },
		{ "1.", NULL },
		{ "1.2.3", NULL },
		{ "1.9999", NULL },
		{ " 1.2", NULL },
		{ "1-", NULL },
		{ "1-0", NULL },
		{ "1-4.", NULL },
		{ "1-4-2", NULL },
		{ "1-4.x", NULL },
		{ "usb1", NULL },
		{ "1-111.111.111.111.111.111.111.111", NULL },
		{ "/dev/bus/usb/001", NULL },
		{ "/dev/bus/usb/001/7x", NULL },
		{ "/dev/bus/usb/../001/007", NULL },
	};
	char text[USB_NAME_SIZE];
	struct usb_spec s;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(specs); i++) {
		int ret = usb_spec_parse(specs[i].text, &s, &err);

		assert_int_equal(ret, specs[i].again ? 0 : -EINVAL);
		if (ret < 0)
			continue;
		usb_spec_text(&s, text);
		assert_string_equal(text, specs[i].again);
	}
	assert_non_null(strstr(err.text, "`minivmm usb` lists them"));
}

/* What a spec finds: a name, or a code and a part of the message. */
static void finds(const char *spec, int code, const char *want)
{
	struct usb_info d;
	struct usb_spec s;

	err = (struct error){ 0 };
	assert_int_equal(usb_spec_parse(spec, &s, &err), 0);
	assert_int_equal(usb_find(root, &s, &d, &err), code);
	if (code == 0)
		assert_string_equal(d.name, want);
	else if (!strstr(err.text, want))
		fail_msg("'%s' does not say '%s'", err.text, want);
}

static void test_find(void **state)
{
	(void)state;
	finds("046d:c52b", 0, "1-1");
	finds("1.9", 0, "1-4.2");
	finds("1-5", 0, "1-5");
	finds("046d:0825", -EEXIST, "name one by the port that it is in: 1-5, 1-6");
	finds("dead:beef", -ENODEV, "046d:c52b (Logitech USB Receiver), 0781:5567 (SanDisk");
	finds("1-4", -EINVAL, "1-4 is a USB hub: name the devices behind it");
	finds("1d6b:0002", -EINVAL, "is a USB hub");
	/* Of two equal devices one is taken by another machine. */
	put_usb_iface("1-5", 0, "0e/01/00", "usbfs");
	finds("046d:0825", 0, "1-6");
	put_usb_iface("1-6", 0, "0e/01/00", "usbfs");
	finds("046d:0825", -EBUSY, "another machine or program uses this USB device");
	finds("1-5", -EBUSY, "fuser -v /dev/bus/usb/001/011 shows it");
	put_nothing("sys/bus/usb/devices");
	finds("1-5", -ENODEV, "no other one: plug it in");
}

static struct usb_info info(const char *name)
{
	struct usb_info d;

	assert_int_equal(usb_info_read(root, name, &d), 0);
	return d;
}

static void test_permission(void **state)
{
	struct usb_info d = info("1-1");

	(void)state;
	assert_int_equal(usb_use_permission(root, &d, &err), 0);
	put_nothing("dev/bus/usb/001/007");
	assert_int_equal(usb_use_permission(root, &d, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/dev/bus/usb/001/007 does not exist"));
	if (geteuid() == 0)
		return; /* root may do all */
	put("x", "dev/bus/usb/001/007");
	put_host("mode /dev/bus/usb/001/007 444\n");
	assert_int_equal(usb_use_permission(root, &d, &err), -EACCES);
	assert_non_null(strstr(err.text, "ATTR{idProduct}==\"c52b\", MODE=\"0660\""));
}

/* A disk of the stick is mounted: it is refused, unless the user insists. */
static void test_disk(void **state)
{
	struct usb_info d = info("1-4.2");

	(void)state;
	put_host("link /sys/class/block/sda ../../devices/pci0000:00/0000:00:14.0/usb1/1-4.2/"
		 "1-4.2:1.0/host6/block/sda\n"
		 "file /sys/devices/pci0000:00/0000:00:14.0/usb1/1-4.2/1-4.2:1.0/host6/block/sda/"
		 "dev 8:0\n"
		 "file /proc/self/mountinfo 30 1 8:0 / /media/stick rw - vfat /dev/sda rw\n");
	assert_int_equal(usb_use_check(root, &d, false, &err), -EBUSY);
	assert_non_null(strstr(err.text, "1-4.2 has the disk /dev/sda, mounted on /media/stick"));
	assert_non_null(strstr(err.text, "force=on"));
	assert_int_equal(usb_use_check(root, &d, true, &err), 0);
	d = info("1-5");
	assert_int_equal(usb_use_check(root, &d, false, &err), 0);
	/* A name that is longer than a PCI address. */
	put_usb("1-10.11.12.13.14", "0781:5568", 20, "");
	put_host("link /sys/class/block/sda ../../devices/pci0000:00/0000:00:14.0/usb1/"
		 "1-10.11.12.13.14/1-10.11.12.13.14:1.0/host6/block/sda\n"
		 "file /sys/devices/pci0000:00/0000:00:14.0/usb1/1-10.11.12.13.14/"
		 "1-10.11.12.13.14:1.0/host6/block/sda/dev 8:0\n");
	d = info("1-10.11.12.13.14");
	assert_int_equal(usb_use_check(root, &d, false, &err), -EBUSY);
}

#define KEYS "3 0 0 0 0 0 1000000000007 ff980000000007ff febeffdfffefffff fffffffffffffffe"

static void test_keyboard(void **state)
{
	struct usb_info d = info("1-1"), other = info("1-5");

	(void)state;
	put_host("link /sys/class/input/input3 ../../devices/pci0000:00/0000:00:14.0/usb1/1-1/"
		 "1-1:1.0/input/input3\n"
		 "file /sys/devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/input/input3/"
		 "capabilities/key " KEYS "\n"
		 /* a power button, and a mouse */
		 "file /sys/class/input/input0/capabilities/key 10000000000000 0\n"
		 "file /sys/class/input/input4/capabilities/key 1f0000 0 0 0 0\n");
	assert_true(usb_use_only_keyboard(root, &d));
	assert_false(usb_use_only_keyboard(root, &other));
	put_host("file /sys/class/input/input9/capabilities/key " KEYS "\n");
	assert_false(usb_use_only_keyboard(root, &d));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_scan, make_usb, remove_root),
		cmocka_unit_test_setup_teardown(test_scan_damage, make_usb, remove_root),
		cmocka_unit_test(test_spec),
		cmocka_unit_test_setup_teardown(test_find, make_usb, remove_root),
		cmocka_unit_test_setup_teardown(test_permission, make_usb, remove_root),
		cmocka_unit_test_setup_teardown(test_disk, make_usb, remove_root),
		cmocka_unit_test_setup_teardown(test_keyboard, make_usb, remove_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
