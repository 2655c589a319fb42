/* SPDX-License-Identifier: BSD-2-Clause */
/* What the isochronous packets of the test device have: packet n has iso_len(n) bytes, its number
 * first. See usbiso.c and tests/host/vusb.c. */
#ifndef GUEST_TESTS_USBISO_H
#define GUEST_TESTS_USBISO_H

#include <stdint.h>
#include <string.h>

#define ISO_VENDOR  0x1209
#define ISO_PRODUCT 0x0001
#define ISO_IN	    0x81
#define ISO_OUT	    0x02
#define ISO_MAX	    192u

/* A control request, C0 01, answers with this. */
struct iso_counts {
	uint32_t in, in_lost; /* packets that were sent; that nobody fetched in time */
	uint32_t out, out_lost,
		out_wrong; /* received; that did not come in time; with wrong data */
};

static inline uint32_t iso_len(uint32_t n)
{
	return 16 + n % 5 * 32;
}

static inline void iso_fill(uint8_t *p, uint32_t n)
{
	for (uint32_t i = 4; i < iso_len(n); i++)
		p[i] = (uint8_t)(n + i);
	memcpy(p, &n, 4);
}

static inline uint32_t iso_number(const uint8_t *p)
{
	uint32_t n;

	memcpy(&n, p, 4);
	return n;
}

/* True if it is whole, whatever its number is. */
static inline int iso_ok(const uint8_t *p, uint32_t len)
{
	uint32_t n;

	if (len < 16)
		return 0;
	n = iso_number(p);
	for (uint32_t i = 4; i < len; i++)
		if (p[i] != (uint8_t)(n + i))
			return 0;
	return len == iso_len(n);
}

#endif
