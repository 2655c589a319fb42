/* SPDX-License-Identifier: BSD-2-Clause */
/* runner: --vfio @VGA@,x-vga=on */
/* Legacy VGA of a passed-through card: text memory at 0xb8000 and the CRT controller's ports. */
#include "lib.h"

#define BAR_AT	    0xc0000000u
#define BAR_SIZE    0x4000000u
#define TEXT	    0xb8000u
#define CELLS	    (80u * 25u)
#define WHITE_BLUE  0x1f00u
#define CRTC	    0x3d4
#define CURSOR_HIGH 0x0e
#define CURSOR_LOW  0x0f

static void crtc_write(uint8_t reg, uint8_t val)
{
	outb(CRTC, reg);
	outb(CRTC + 1, val);
}

static uint8_t crtc_read(uint8_t reg)
{
	outb(CRTC, reg);
	return inb(CRTC + 1);
}

void guest_main(void)
{
	int devfn = pci_find_behind_port(0x1013, 0x00b8, BAR_AT, BAR_SIZE);
	uint32_t i;

	if (devfn < 0)
		skip("no cirrus-vga in this machine");
	pci_place_bar(devfn, 0, BAR_AT);
	write16(pci_ecam((unsigned)devfn) + 4, 7);

	for (i = 0; i < CELLS; i++)
		write16(TEXT + i * 2, (uint16_t)(WHITE_BLUE | ('A' + i % 26)));
	for (i = 0; i < CELLS; i++)
		check_eq(read16(TEXT + i * 2), WHITE_BLUE | ('A' + i % 26));
	crtc_write(CURSOR_HIGH, 0x03);
	crtc_write(CURSOR_LOW, 0x21);
	check_eq(crtc_read(CURSOR_HIGH), 0x03);
	check_eq(crtc_read(CURSOR_LOW), 0x21);
	/* Below and above the VGA window there is memory. */
	write32(TEXT - 0x18000 - 4, 0x12345678);
	write32(0xc0000, 0x9abcdef0);
	check_eq(read32(TEXT - 0x18000 - 4), 0x12345678);
	check_eq(read32(0xc0000), 0x9abcdef0);
}
