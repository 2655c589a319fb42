/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm check --usb and --input: the devices of usb_tree.h, and the nodes of fake_evdev.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "devices/usb/input_options.h"
#include "devices/usb/usb_options.h"
#include "tests/unit/fake_evdev.h"
#include "tests/unit/usb_tree.h"
#include "vfio/host/preflight/preflight.h"
#include "vmm/cli/check_usb.h"

static struct device_list list;
static struct preflight p;
static bool seen[PREFLIGHT_FINDINGS];

static int setup(void **state)
{
	fake_reset();
	return make_usb(state);
}

static int teardown(void **state)
{
	preflight_free(&p);
	device_list_free(&list);
	fake_close();
	return remove_root(state);
}

static void ask(const struct device_class *class, const char *arg)
{
	struct error err;

	if (device_create(&list, class, arg, &err) < 0)
		fail_msg("%s", err.text);
}

/* ids: of the findings, in their order. */
static void finds(const char *ids)
{
	char text[400] = "";
	size_t n = 0;

	preflight_free(&p);
	preflight_init(&p, root);
	check_usb(&p, &list, &fake_os);
	assert_false(p.failed);
	for (size_t i = 0; i < p.n; i++) {
		const struct preflight_line *l = &p.line[i];
		const struct preflight_row *row = &preflight_table[l->what];

		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n ? " " : "", row->id);
		seen[l->what] = true;
		assert_true(l->text[0] && !strstr(l->text, "{1}") && !strstr(l->remedy, "{1}") &&
			    !strstr(l->remedy, "{dev}"));
		assert_int_equal(!l->remedy[0], row->level == PREFLIGHT_OK);
		assert_true(strlen(l->text) < sizeof(l->text) - 1);
		assert_true(strlen(l->remedy) < sizeof(l->remedy) - 1);
		assert_true(l->bdf[0] || row == &preflight_table[PREFLIGHT_INPUT_TOGGLE]);
	}
	assert_string_equal(text, ids);
	device_list_free(&list);
	list.first = NULL;
}

static void test_usb(void **state)
{
	(void)state;
	finds("");
	ask(&usb_class, "0781:5567,port=3");
	finds("usb-ok usb-drivers");
	assert_string_equal(p.line[0].bdf, "0781:5567");
	assert_string_equal(p.line[0].text, "SanDisk Cruzer?[2J, in port 1-4.2");
	assert_non_null(strstr(p.line[1].text, "usb-storage"));
	ask(&usb_class, "dead:beef");
	ask(&usb_class, "1-4");
	ask(&usb_class, "046d:0825");
	ask(&usb_class, "none");
	finds("usb-missing usb-hub usb-several");
	assert_non_null(strstr(p.line[2].text, "1-5, 1-6"));
	put_usb_iface("1-1", 0, "03/01/01", "usbfs");
	ask(&usb_class, "1-1");
	finds("usb-taken");
	put_nothing("dev/bus/usb/001/011");
	ask(&usb_class, "1-5");
	finds("usb-ok usb-drivers usb-node");
}

static void test_usb_in_use(void **state)
{
	(void)state;
	put_host("link /sys/class/block/sda ../../devices/pci0000:00/0000:00:14.0/usb1/1-4.2/"
		 "1-4.2:1.0/host6/block/sda\n"
		 "file "
		 "/sys/devices/pci0000:00/0000:00:14.0/usb1/1-4.2/1-4.2:1.0/host6/block/sda/dev "
		 "8:0\n"
		 "file /proc/self/mountinfo 30 1 8:0 / /media/stick rw - vfat /dev/sda rw\n"
		 "link /sys/class/input/input3 ../../devices/pci0000:00/0000:00:14.0/usb1/1-1/"
		 "1-1:1.0/input/input3\n"
		 "file /sys/devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/input/input3/"
		 "capabilities/key 3 0 0 0 0 0 1000000000007 ff980000000007ff febeffdfffefffff "
		 "fffffffffffffffe\n");
	ask(&usb_class, "1-4.2");
	finds("usb-ok usb-drivers usb-use");
	assert_non_null(strstr(p.line[2].text, "mounted on /media/stick"));
	ask(&usb_class, "1-4.2,force=on");
	finds("usb-ok usb-drivers usb-forced");
	ask(&usb_class, "046d:c52b");
	finds("usb-ok usb-drivers usb-only-keyboard");
	if (geteuid() == 0)
		return; /* root may open all */
	put_host("mode /dev/bus/usb/001/007 444\n");
	ask(&usb_class, "046d:c52b");
	finds("usb-ok usb-drivers usb-access usb-only-keyboard");
}

static void test_input(void **state)
{
	(void)state;
	ask(&input_class, "/keyboard");
	ask(&input_class, "/mouse");
	finds("input-ok input-ok");
	assert_string_equal(p.line[0].text, "A Keyboard: a keyboard");
	assert_string_equal(p.line[1].text, "A Mouse: a mouse");
	assert_false(fake_is_grabbed(FAKE_KEYBOARD));
	ask(&input_class, "/mouse");
	finds("input-ok input-no-toggle");
	ask(&input_class, "/none");
	ask(&input_class, "/pad");
	ask(&input_class, "/keyboard");
	finds("input-missing input-other input-ok");
	fake_node[FAKE_KEYBOARD].open_ret = -EACCES;
	fake_node[FAKE_SECOND].other = true;
	ask(&input_class, "/keyboard");
	ask(&input_class, "/second");
	finds("input-access input-busy input-no-toggle");
	assert_non_null(strstr(p.line[0].remedy, "MODE=\"0660\""));
	fake_node[FAKE_MOUSE].open_ret = -ENOTTY;
	ask(&input_class, "/mouse");
	finds("input-none input-no-toggle");
}

static void test_every_finding(void **state)
{
	(void)state;
	for (unsigned i = PREFLIGHT_USB_OK; i < PREFLIGHT_FINDINGS; i++)
		if (!seen[i] && !(i == PREFLIGHT_USB_ACCESS && geteuid() == 0))
			fail_msg("no test finds %s", preflight_table[i].id);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = { T(test_usb), T(test_usb_in_use), T(test_input),
					    T(test_every_finding) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
