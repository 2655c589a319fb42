/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's messages about USB devices: whole, of others, and damaged. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "devices/usb/uevent.h"

#define PATH "/devices/pci0000:00/0000:00:14.0/usb1/1-4/1-4.2"

/* With the NUL at its end. */
static const char add[] = "add@" PATH "\0ACTION=add\0DEVPATH=" PATH "\0SUBSYSTEM=usb\0"
			  "MAJOR=189\0MINOR=8\0DEVNAME=bus/usb/001/009\0DEVTYPE=usb_device\0"
			  "PRODUCT=781/5567/126\0TYPE=0/0/0\0BUSNUM=001\0DEVNUM=009\0SEQNUM=4";
static const char iface[] = "add@" PATH "/1-4.2:1.0\0ACTION=add\0DEVPATH=" PATH "/1-4.2:1.0\0"
			    "SUBSYSTEM=usb\0DEVTYPE=usb_interface\0BUSNUM=001\0DEVNUM=009";

static bool parse(const char *text, size_t len, struct uevent *e)
{
	/* On the heap and exactly as long, so that the sanitizer sees a read behind it. */
	char *copy = malloc(len ? len : 1);
	bool ret;

	assert_non_null(copy);
	memcpy(copy, text, len);
	ret = uevent_parse(copy, len, e);
	free(copy);
	return ret;
}

static void test_whole(void **state)
{
	char text[sizeof(add) + 8];
	struct uevent e;

	(void)state;
	assert_true(parse(add, sizeof(add), &e));
	assert_true(e.add);
	assert_string_equal(e.name, "1-4.2");
	assert_int_equal(e.bus, 1);
	assert_int_equal(e.addr, 9);
	assert_false(parse(iface, sizeof(iface), &e));
	/* "change" does not matter; "bind" and "remove" do. */
	memcpy(text, add, sizeof(add));
	memcpy(memmem(text, sizeof(add), "ACTION=add", 10), "ACTION=xyz", 10);
	assert_false(parse(text, sizeof(add), &e));
	assert_true(parse("ACTION=remove\0DEVPATH=/x/2-1\0SUBSYSTEM=usb\0DEVTYPE=usb_device\0"
			  "BUSNUM=002\0DEVNUM=127",
			  sizeof("ACTION=remove\0DEVPATH=/x/2-1\0SUBSYSTEM=usb\0"
				 "DEVTYPE=usb_device\0BUSNUM=002\0DEVNUM=127"),
			  &e));
	assert_false(e.add);
	assert_int_equal(e.addr, 127);
}

/* Whatever is cut off, or changed into something else, is refused or has values within bounds. */
static void test_damage(void **state)
{
	char text[sizeof(add)];
	struct uevent e;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(add); i++)
		assert_false(parse(add, i, &e) && i < sizeof(add) - sizeof("SEQNUM=4"));
	for (i = 0; i < sizeof(add); i++) {
		for (int c = 0; c < 256; c += 51) {
			memcpy(text, add, sizeof(add));
			text[i] = (char)c;
			if (parse(text, sizeof(text), &e)) {
				assert_true(e.bus <= 999 && e.addr <= 999);
				assert_non_null(memchr(e.name, '\0', sizeof(e.name)));
			}
		}
	}
}

static void refused(const char *key, const char *value)
{
	char text[sizeof(add) + 128];
	size_t n = sizeof(add);
	struct uevent e;

	memcpy(text, add, sizeof(add));
	n += (size_t)snprintf(text + n, sizeof(text) - n, "%s=%s", key, value) + 1;
	assert_false(parse(text, n, &e));
}

static void test_values(void **state)
{
	(void)state;
	refused("BUSNUM", "1000");
	refused("BUSNUM", "-1");
	refused("BUSNUM", "");
	refused("DEVNUM", "18446744073709551617");
	refused("DEVNUM", "1x");
	refused("DEVPATH", "1-4");
	refused("DEVPATH", "/a/");
	refused("DEVPATH", "/a/123456789012345678901234567890123");
	refused("SUBSYSTEM", "usbmon");
	refused("DEVTYPE", "");
}

static bool is_input(const char *action, const char *subsystem, const char *node)
{
	char text[256];
	int n = snprintf(text, sizeof(text), "x@/a%cACTION=%s%cSUBSYSTEM=%s%cDEVNAME=%s%cSEQNUM=4", 0,
			 action, 0, subsystem, 0, node, 0);

	return uevent_is_input(text, (size_t)n + 1) && !uevent_is_input(text, (size_t)n);
}

static void test_input(void **state)
{
	(void)state;
	assert_true(is_input("add", "input", "input/event3"));
	assert_false(is_input("remove", "input", "input/event3"));
	assert_false(is_input("add", "input", "input/mouse0"));
	assert_false(is_input("add", "hidraw", "hidraw0"));
	/* The keyboard itself, without a node. */
	assert_false(uevent_is_input("ACTION=add\0SUBSYSTEM=input", 27));
	assert_false(uevent_is_input(add, sizeof(add)));
}

/* A socket of the real kernel; a sandbox may refuse it. */
static void test_socket(void **state)
{
	struct error err = { 0 };
	struct uevent e;
	int fd = uevent_open(&err);

	(void)state;
	if (fd < 0)
		skip();
	assert_true(uevent_next(fd, &e) <= 1);
	assert_true(uevent_next_input(fd) <= 1);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_input),
		cmocka_unit_test(test_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
