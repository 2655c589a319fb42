/* SPDX-License-Identifier: BSD-2-Clause */
/* QEMU's usb-host in the words of --usb. */
#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/core/addr.h"
#include "vmm/machine/monitor_usb.h"

static const struct {
	const char *json, *arg; /* an error, if it does not begin with a digit or a slash */
} cases[] = {
	{ "{'driver': 'usb-host', 'id': 'a', 'bus': 'xhci.0', 'vendorid': '0x0781', "
	  "'productid': '0x5567'}",
	  "0781:5567,reset=on,force=off" },
	{ "{'vendorid': 1133, 'productid': '50475', 'port': '2'}",
	  "046d:c52b,reset=on,force=off,port=2" },
	{ "{'hostbus': 2, 'hostaddr': '3', 'guest-reset': false}", "2.3,reset=off,force=off" },
	{ "{'hostbus': '2', 'hostport': '1.4', 'force': 'on'}", "2-1.4,reset=on,force=on" },
	{ "{'hostbus': 2, 'hostport': 1, 'vendorid': 7}", "2-1,reset=on,force=off" },
	{ "{'hostdevice': '/dev/bus/usb/001/004', 'isobufs': 8}",
	  "/dev/bus/usb/001/004,reset=on,force=off" },
	{ "{}", "usb-host needs vendorid and productid" },
	{ "{'vendorid': 1}", "usb-host needs vendorid and productid" },
	{ "{'hostbus': 1}", "hostbus needs hostport" },
	{ "{'vendorid': '0x10000', 'productid': 1}", "'vendorid' expects a number" },
	{ "{'vendorid': -1, 'productid': 1}", "'vendorid' expects a number" },
	{ "{'vendorid': 'x', 'productid': 1}", "'vendorid' expects a number" },
	{ "{'vendorid': '', 'productid': 1}", "'vendorid' expects a number" },
	{ "{'vendorid': 1.5, 'productid': 1}", "'vendorid' expects a number" },
	{ "{'vendorid': 1, 'productid': true}", "'productid' expects a number" },
	{ "{'hostbus': 1, 'hostaddr': 128}", "'hostaddr' expects a number" },
	{ "{'hostbus': 1, 'hostport': '1,force=on'}", "'hostport' expects a port" },
	{ "{'hostdevice': '/dev/bus,force=on'}", "'hostdevice' expects a path" },
	{ "{'hostdevice': 1}", "'hostdevice' expects a path" },
	{ "{'vendorid': 1, 'productid': 1, 'port': 16}", "'port' expects a number" },
	{ "{'vendorid': 1, 'productid': 1, 'guest-reset': 'maybe'}",
	  "'guest-reset' expects on or off" },
	{ "{'vendorid': 1, 'productid': 1, 'colour': 1}", "Property 'colour' not found" },
};

static void test_arguments(void **state)
{
	char text[200], buf[160], *p;
	struct error err;
	json_t *args;
	int ret;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		strcpy(text, cases[i].json);
		while ((p = strchr(text, '\'')))
			*p = '"';
		args = json_loads(text, 0, NULL);
		assert_non_null(args);
		err = (struct error){ 0 };
		buf[0] = '\0';
		ret = monitor_usb_arg(args, buf, sizeof(buf), &err);
		if (ret == 0)
			assert_string_equal(buf, cases[i].arg);
		else if (!strstr(err.text, cases[i].arg))
			fail_msg("%s: %s", text, err.text);
		assert_int_equal(err.code, ret);
		json_decref(args);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_arguments) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
