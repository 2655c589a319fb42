/* SPDX-License-Identifier: BSD-2-Clause */
/* Names from a small pci.ids in the real format, and from broken files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "vfio/host/pci_names.h"

static char sample[] = "#\n#\tList of PCI ID's\n#\n"
		       "10de  NVIDIA Corporation\n"
		       "\t1c82  GP107 [GeForce GTX 1050 Ti]\n"
		       "\t\t1043 8613  PH-GTX1050TI-4G\n"
		       "\t\t1c83 0000  a subsystem, no device\n"
		       "# a remark in between\n"
		       "\t1c83  GP107M\n"
		       "8086  Intel Corporation\n"
		       "\t1c82  another vendor's device\n"
		       "\t100e  82540EM Gigabit Ethernet Controller\n"
		       "# Device classes\n"
		       "C 02  Network controller\n"
		       "\t00  Ethernet controller\n"
		       "C 03  Display controller\n"
		       "\t00  VGA compatible controller\n"
		       "\t\t00  VGA controller\n"
		       "C 0c  Serial bus controller";

static struct pci_name find(char *text, uint32_t class_code, uint16_t vendor, uint16_t device)
{
	struct pci_names n = { text, strlen(text) };
	struct pci_name out;

	pci_names_find(&n, class_code, vendor, device, &out);
	return out;
}

static void test_found(void **state)
{
	struct pci_name n = find(sample, 0x030000, 0x10de, 0x1c82);

	(void)state;
	assert_string_equal(n.class_name, "VGA compatible controller");
	assert_string_equal(n.vendor, "NVIDIA Corporation");
	assert_string_equal(n.device, "GP107 [GeForce GTX 1050 Ti]");
	n = find(sample, 0x020000, 0x10de, 0x1c83);
	assert_string_equal(n.class_name, "Ethernet controller");
	assert_string_equal(n.device, "GP107M");
	/* The last line has no newline; its subclass is not in the file. */
	n = find(sample, 0x0c0330, 0x8086, 0x1c82);
	assert_string_equal(n.class_name, "Serial bus controller");
	assert_string_equal(n.device, "another vendor's device");
}

static void test_not_found(void **state)
{
	struct pci_name n = find(sample, 0xff0000, 0x1234, 0x1111);

	(void)state;
	assert_string_equal(n.class_name, "");
	assert_string_equal(n.vendor, "");
	assert_string_equal(n.device, "");
	n = find(sample, 0x038000, 0x8086, 0x1c83);
	assert_string_equal(n.class_name, "Display controller");
	assert_string_equal(n.vendor, "Intel Corporation");
	assert_string_equal(n.device, "");
}

static void test_text(void **state)
{
	struct pci_name n = find(sample, 0x030000, 0x10de, 0x1c82);
	char buf[300];

	(void)state;
	pci_names_text(&n, 0x030000, 0x10de, 0x1c82, buf, sizeof(buf));
	assert_string_equal(buf, "VGA compatible controller: NVIDIA Corporation GP107 "
				 "[GeForce GTX 1050 Ti]");
	n = find(sample, 0xff0000, 0x1234, 0x1111);
	pci_names_text(&n, 0xff0000, 0x1234, 0x1111, buf, sizeof(buf));
	assert_string_equal(buf, "class ff00: 1234:1111");
	n = find(sample, 0x038000, 0x8086, 0x1c83);
	pci_names_text(&n, 0x038000, 0x8086, 0x1c83, buf, sizeof(buf));
	assert_string_equal(buf, "Display controller: Intel Corporation device 1c83");
}

static void test_broken(void **state)
{
	static char *const texts[] = { "",	     "\n",	     "\t",     "10de",
				       "10de ",	     "10d",	     "10de  ", "C",
				       "C ",	     "C 03",	     "C 03 ",  "\t1c82  none",
				       "10DE  caps", " 10de  blank", "10de\tt" };
	char longest[400], hostile[] = "10de  a\033[2Jb\r\x7f";
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct pci_name n = find(texts[i], 0x030000, 0x10de, 0x1c82);

		assert_string_equal(n.vendor, "");
		assert_string_equal(n.device, "");
		assert_string_equal(n.class_name, "");
	}
	assert_string_equal(find(hostile, 0, 0x10de, 0).vendor, "a [2Jb  ");
	snprintf(longest, sizeof(longest), "10de  %0*d", 300, 0);
	assert_int_equal(strlen(find(longest, 0, 0x10de, 0).vendor),
			 sizeof(((struct pci_name *)0)->vendor) - 1);
	/* Truncated at the end of a character. */
	snprintf(longest, sizeof(longest), "10de  %0*d\xc3\xa4", 78, 0);
	assert_int_equal(strlen(find(longest, 0, 0x10de, 0).vendor), 78);
}

/* The paths of the file. A missing file is not an error. */
static void test_files(void **state)
{
	char root[] = "/tmp/test_pci_names.XXXXXX", path[200];
	struct pci_names n;
	struct pci_name out;
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(root));
	pci_names_open(&n, root);
	assert_null(n.text);
	pci_names_find(&n, 0x030000, 0x10de, 0x1c82, &out);
	assert_string_equal(out.vendor, "");
	pci_names_free(&n);
	snprintf(path, sizeof(path), "mkdir -p %s/usr/share/hwdata", root);
	assert_int_equal(system(path), 0);
	snprintf(path, sizeof(path), "%s/usr/share/hwdata/pci.ids", root);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(sample, f);
	fclose(f);
	pci_names_open(&n, root);
	pci_names_find(&n, 0x030000, 0x10de, 0x1c82, &out);
	assert_string_equal(out.vendor, "NVIDIA Corporation");
	pci_names_free(&n);
	snprintf(path, sizeof(path), "rm -r %s", root);
	assert_int_equal(system(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found), cmocka_unit_test(test_not_found),
		cmocka_unit_test(test_text),  cmocka_unit_test(test_broken),
		cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
