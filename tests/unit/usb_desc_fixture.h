/* SPDX-License-Identifier: BSD-2-Clause */
/* The descriptors of a device with two configurations, for tests. Configuration 1 has interface 0
 * (bulk, and with alternate setting 1 bulk with streams) and interface 1 (an interrupt endpoint,
 * and with setting 1 an isochronous one); configuration 2 has interface 3. */
#ifndef USB_DESC_FIXTURE_H
#define USB_DESC_FIXTURE_H

#include <stdint.h>

#define DESC_IFACE(n, alt, eps) 9, 4, (n), (alt), (eps), 8, 6, 0x62, 0
#define DESC_EP(addr, attr)	7, 5, (addr), (attr), 0, 4, 1
#define DESC_SS(attr)		6, 0x30, 15, (attr), 0, 0

/* clang-format off */
static const uint8_t usb_descriptors[] __attribute__((unused)) = {
	18, 1, 0, 3, 0, 0, 0, 9, 0x81, 0x07, 0x67, 0x55, 0, 1, 1, 2, 3, 2,
	9, 2, 9 + 4 * 9 + 6 * 7 + 2 * 6, 0, 2, 1, 0, 0xa0, 50,
	DESC_IFACE(0, 0, 2), DESC_EP(0x81, 2), DESC_EP(0x02, 2),
	DESC_IFACE(0, 1, 2), DESC_EP(0x81, 2), DESC_SS(4), DESC_EP(0x03, 2), DESC_SS(0),
	DESC_IFACE(1, 0, 1), DESC_EP(0x84, 3),
	DESC_IFACE(1, 1, 1), DESC_EP(0x84, 1),
	9, 2, 9 + 9 + 7, 0, 1, 2, 0, 0x80, 50,
	DESC_IFACE(3, 0, 1), DESC_EP(0x85, 2),
};
/* clang-format on */

#endif
