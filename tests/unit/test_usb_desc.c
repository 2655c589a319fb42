/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors of USB devices: the endpoints of configurations and settings, and damaged ones. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "devices/usb/usb_desc.h"
#include "tests/unit/usb_desc_fixture.h"

static struct usb_ep_info ep[USB_EP_SLOTS];
static uint8_t alt[32];

static void read_endpoints(uint8_t config)
{
	usb_desc_endpoints(usb_descriptors, sizeof(usb_descriptors), config, alt, ep);
}

static unsigned type_of(uint8_t address)
{
	return ep[usb_ep_slot(address)].type;
}

static void test_endpoints(void **state)
{
	(void)state;
	memset(alt, 0, sizeof(alt));
	read_endpoints(1);
	assert_int_equal(type_of(0), USB_EP_CONTROL);
	assert_int_equal(type_of(0x80), USB_EP_CONTROL);
	assert_int_equal(type_of(0x81), USB_EP_BULK);
	assert_int_equal(type_of(0x02), USB_EP_BULK);
	assert_int_equal(type_of(0x82), USB_EP_NONE);
	assert_int_equal(type_of(0x03), USB_EP_NONE);
	assert_int_equal(type_of(0x84), USB_EP_INTERRUPT);
	assert_int_equal(ep[usb_ep_slot(0x84)].iface, 1);
	assert_int_equal(ep[usb_ep_slot(0x81)].streams, 0);
	alt[0] = alt[1] = 1;
	read_endpoints(1);
	assert_int_equal(type_of(0x02), USB_EP_NONE);
	assert_int_equal(type_of(0x03), USB_EP_BULK);
	assert_int_equal(type_of(0x84), USB_EP_ISO);
	assert_int_equal(ep[usb_ep_slot(0x81)].streams, 16);
	assert_int_equal(ep[usb_ep_slot(0x03)].streams, 0);
	alt[0] = 0;
	read_endpoints(2);
	assert_int_equal(type_of(0x81), USB_EP_NONE);
	assert_int_equal(type_of(0x85), USB_EP_BULK);
	assert_int_equal(ep[usb_ep_slot(0x85)].iface, 3);
	read_endpoints(0);
	assert_int_equal(type_of(0x81), USB_EP_NONE);
	assert_int_equal(type_of(0), USB_EP_CONTROL);
}

static void test_ifaces(void **state)
{
	uint8_t desc[sizeof(usb_descriptors)];
	uint32_t ifaces;

	(void)state;
	assert_int_equal(usb_desc_configs(usb_descriptors, sizeof(usb_descriptors)), 2);
	assert_int_equal(usb_desc_ifaces(usb_descriptors, sizeof(usb_descriptors), 1, &ifaces), 0);
	assert_int_equal(ifaces, 3);
	assert_int_equal(usb_desc_ifaces(usb_descriptors, sizeof(usb_descriptors), 2, &ifaces), 0);
	assert_int_equal(ifaces, 8);
	assert_int_equal(usb_desc_ifaces(usb_descriptors, sizeof(usb_descriptors), 3, &ifaces),
			 -ENOENT);
	memcpy(desc, usb_descriptors, sizeof(desc));
	desc[18 + 9 + 2] = 32;
	assert_int_equal(usb_desc_ifaces(desc, sizeof(desc), 1, &ifaces), -ERANGE);
}

/* Each byte of the descriptors set to several values, and each length: nothing is read beyond. */
static void test_damage(void **state)
{
	static const uint8_t values[] = { 0, 1, 2, 5, 9, 0x7f, 0xff };
	uint8_t *desc = NULL;
	uint32_t ifaces;
	size_t i, len;

	(void)state;
	for (len = 0; len <= sizeof(usb_descriptors); len++) {
		desc = malloc(len + !len);
		assert_non_null(desc);
		memcpy(desc, usb_descriptors, len);
		for (i = 0; i < len * sizeof(values); i++) {
			uint8_t was = desc[i / sizeof(values)];

			desc[i / sizeof(values)] = values[i % sizeof(values)];
			usb_desc_ifaces(desc, len, 2, &ifaces);
			usb_desc_endpoints(desc, len, 2, alt, ep);
			assert_int_equal(type_of(0), USB_EP_CONTROL);
			desc[i / sizeof(values)] = was;
		}
		assert_int_equal(usb_desc_ifaces(desc, len, 2, &ifaces) == 0,
				 len >= sizeof(usb_descriptors) - 16);
		free(desc);
	}
}

static void test_wakeup(void **state)
{
	uint8_t desc[9] = { 9, 2, 32, 0, 1, 1, 0, 0xe0, 50 }, device[18] = { 18, 1 };

	(void)state;
	usb_desc_clear_wakeup(desc, 7); /* the byte is not there */
	assert_int_equal(desc[7], 0xe0);
	usb_desc_clear_wakeup(desc, 8);
	assert_int_equal(desc[7], 0xc0);
	device[7] = 0x20;
	usb_desc_clear_wakeup(device, sizeof(device));
	assert_int_equal(device[7], 0x20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_ifaces),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_wakeup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
