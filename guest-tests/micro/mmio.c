/* SPDX-License-Identifier: BSD-2-Clause */
/* MMIO: holes and access sizes; ECAM and port 0xcf8 must show the same registers. */
#include "lib.h"

void guest_main(void)
{
	uint32_t mch = pci_ecam(0), lpc = pci_ecam(0x1f << 3);

	check_eq(read32(0xfed40000), 0xffffffff);
	check_eq(read16(0xd0000000), 0xffff);
	check_eq(read8(0xd0000001), 0xff);
	write32(0xd0000000, 0x12345678);

	check_eq(read32(mch), 0x29c08086);
	check_eq(read16(mch + 2), 0x29c0);
	check_eq(read8(mch + 1), 0x80);
	check_eq(read32(lpc), 0x29188086);
	check_eq(read32(pci_ecam(0xf8 + 7)), 0xffffffff);
	outl(0xcf8, 0x80000000 | 0x1f << 11);
	check_eq(inl(0xcfc), 0x29188086);
	check_eq(inw(0xcfe), 0x2918);
	check_eq(inb(0xcfd), 0x80);
	outl(0xcf8, 0);
	check_eq(inl(0xcfc), 0xffffffff);

	/* The command register keeps only its writable bits. */
	write16(lpc + 4, 0xffff);
	check_eq(read16(lpc + 4) & 7, 7);
	check_eq(read16(lpc + 4) & 0xf000, 0);
}
