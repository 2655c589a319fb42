/* SPDX-License-Identifier: BSD-2-Clause */
/* How a device is reset, for each set of facts; and FLR in its configuration space. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <linux/pci_regs.h>

#include "vfio/host/reset_choice.h"
#include "vmm/core/addr.h"

static const struct row {
	const char *methods;
	bool function, flr;
	/* One letter for each value of enum vfio_bus_reach, in its order (unknown, none, alone,
	 * ours, foreign, host): F function, B bus, P pm, N none; - if the value must be known. */
	const char *how, *method;
} rows[] = {
	/* The function has its own method, so the bus does not matter. */
	{ "flr", true, false, "FFFFFF", "flr" },
	{ "flr pm bus", true, false, "FFFFFF", "flr" },
	{ "af_flr pm", true, false, "FFFFFF", "af_flr" },
	{ "device_specific acpi flr", true, true, "FFFFFF", "device_specific" },
	{ "acpi bus", true, false, "FFFFFF", "acpi" },
	/* Power management comes after a bus reset. */
	{ "pm", true, false, "-PBBPP", "" },
	{ "pm", true, true, "-PBBPP", "" },
	{ "pm bus", true, false, "-PBBPP", "" },
	/* VFIO has tried it successfully, so the device is alone. */
	{ "bus", true, false, "F.F...", "bus" },
	/* The administrator has changed the list: methods after "bus" are used if the bus reset is
	 * not possible. */
	{ "bus flr", true, false, "-FFFFF", "flr" },
	{ "bus pm", true, false, "-PFBPP", "bus" },
	/* The kernel has methods but none works; or it has no method. */
	{ "bus", false, false, "-NBBNN", "" },
	{ "flr", false, false, "-NBBNN", "" },
	{ "pm bus", false, false, "-NBBNN", "" },
	{ "", false, false, "-NBBNN", "" },
	{ "", false, true, "-NBBNN", "" },
	/* The answer of VFIO is more reliable than the list. */
	{ "", true, false, "FFFFFF", "" },
	/* Before Linux 5.15 there is no list. */
	{ NULL, true, true, "FFFFFF", "" },
	{ NULL, true, false, "-PBBPP", "" },
	{ NULL, false, true, "-NBBNN", "" },
	{ NULL, false, false, "-NBBNN", "" },
	/* Words that only begin like a method. */
	{ "pmx", true, false, "FFFFFF", "pmx" },
	{ "bus_specific flr", true, false, "FFFFFF", "bus_specific" },
	{ "cxl_bus", true, false, "FFFFFF", "cxl_bus" },
};

static char letter(enum vfio_reset_how how)
{
	return "FBPN"[how];
}

static void check_row(const struct row *row)
{
	struct vfio_reset_facts f = { .function = row->function,
				      .methods = row->methods,
				      .flr = row->flr };
	struct vfio_reset_choice c;

	assert_int_equal(vfio_reset_needs_bus(&f), row->how[0] == '-');
	for (f.bus = VFIO_BUS_UNKNOWN; f.bus <= VFIO_BUS_HOST; f.bus++) {
		if (strchr("-.", row->how[f.bus]))
			continue;
		c = vfio_reset_choose(&f);
		if (letter(c.how) != row->how[f.bus])
			fail_msg("'%s', bus %d: %c", row->methods ? row->methods : "-", f.bus,
				 letter(c.how));
		if (c.how != VFIO_RESET_FUNCTION)
			assert_string_equal(c.method, "");
		else if (f.bus != VFIO_BUS_ALONE || strncmp(row->methods ?: "", "bus ", 4) != 0)
			assert_string_equal(c.method, row->method);
		else
			assert_string_equal(c.method, "bus");
	}
}

static void test_rows(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		check_row(&rows[i]);
}

static void test_why(void **state)
{
	struct vfio_reset_facts f = { .bus = VFIO_BUS_FOREIGN, .foreign = "0000:01:00.1" };
	char text[100];

	(void)state;
	vfio_reset_why_no_bus(&f, text, sizeof(text));
	assert_string_equal(text, "a bus reset would hit 0000:01:00.1, which is not given to this "
				  "guest");
	f.bus = VFIO_BUS_HOST;
	vfio_reset_why_no_bus(&f, text, sizeof(text));
	assert_string_equal(text, "a bus reset would hit devices that the host uses");
	f.bus = VFIO_BUS_NONE;
	vfio_reset_why_no_bus(&f, text, sizeof(text));
	assert_string_equal(text, "no port above the device can reset it");
}

static void test_flr(void **state)
{
	uint8_t cfg[256] = { 0 };

	(void)state;
	assert_false(vfio_reset_has_flr(cfg, 0));
	assert_false(vfio_reset_has_flr(cfg, sizeof(cfg)));
	cfg[PCI_CAPABILITY_LIST] = 0x43; /* the low two bits are reserved */
	cfg[0x40] = PCI_CAP_ID_PM;
	cfg[0x41] = 0x80;
	cfg[0x80] = PCI_CAP_ID_EXP;
	cfg[0x80 + PCI_EXP_DEVCAP + 3] = PCI_EXP_DEVCAP_FLR >> 24;
	assert_false(vfio_reset_has_flr(cfg, sizeof(cfg)));
	cfg[PCI_STATUS] = PCI_STATUS_CAP_LIST;
	assert_true(vfio_reset_has_flr(cfg, sizeof(cfg)));
	/* The part that an unprivileged user can read. */
	assert_false(vfio_reset_has_flr(cfg, 64));
	assert_false(vfio_reset_has_flr(cfg, 0x80 + PCI_EXP_DEVCAP + 3));
	cfg[0x80 + PCI_EXP_DEVCAP + 3] = 0;
	assert_false(vfio_reset_has_flr(cfg, sizeof(cfg)));
	/* Advanced Features: FLR needs Transactions Pending. */
	cfg[0x41] = 0xf8;
	cfg[0xf8] = PCI_CAP_ID_AF;
	cfg[0xf8 + PCI_AF_CAP] = PCI_AF_CAP_FLR;
	assert_false(vfio_reset_has_flr(cfg, sizeof(cfg)));
	cfg[0xf8 + PCI_AF_CAP] |= PCI_AF_CAP_TP;
	assert_true(vfio_reset_has_flr(cfg, sizeof(cfg)));
	/* A circular list, and capabilities at the end of configuration space. */
	cfg[0x41] = 0x40;
	assert_false(vfio_reset_has_flr(cfg, sizeof(cfg)));
	cfg[0x41] = 0xfc;
	cfg[0xfc] = PCI_CAP_ID_AF;
	assert_false(vfio_reset_has_flr(cfg, sizeof(cfg)));
	cfg[0xfc] = PCI_CAP_ID_EXP;
	assert_false(vfio_reset_has_flr(cfg, sizeof(cfg)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_why),
		cmocka_unit_test(test_flr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
