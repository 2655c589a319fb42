/* SPDX-License-Identifier: BSD-2-Clause */
/* runner: --vfio @NVME@ */
/* Moves the BAR of a passed-through NVMe while it is in use. The old address must not answer any
 * more, the registers of the chipset must keep their addresses, and the device must answer again
 * afterwards. */
#include "lib.h"

#define A	0xc0000000u
#define B	0xc0100000u
#define WIN	0x400000u
#define VS	8 /* the NVMe's version register, which is never all ones */
#define NOTHING 0xffffffffu
#define IOAPIC	0xfec00000u

static uint32_t vs, cfg, port;

#define is_at(at) (read32((at) + VS) == vs)
#define gone(at)  (read32((at) + VS) == NOTHING)

static uint32_t port_above(uint32_t bus)
{
	for (unsigned d = 0; d < 256; d++)
		if (read16(pci_ecam(d) + 10) == 0x0604 && read8(pci_ecam(d) + 0x19) == bus)
			return pci_ecam(d);
	return 0;
}

static void window(uint32_t base, uint32_t size)
{
	write32(port + 0x20, base >> 16 | ((base + size - 1) & 0xfff00000));
}

static void moves(void)
{
	write32(cfg + 0x10, B); /* with decoding on */
	check(is_at(B));
	check(gone(A));
	write8(cfg + 0x12, 0x20); /* by bytes */
	check(is_at(A + 0x200000));
	check(gone(B));
	write16(cfg + 0x12, 0xc010);
	check(is_at(B));
	for (unsigned i = 0; i < 200; i++) {
		write32(cfg + 0x10, i & 1 ? A : B);
		check(is_at(i & 1 ? A : B));
	}
}

static void closes(void)
{
	write32(cfg + 0x14, 0x10); /* above 4 GiB */
	check(gone(A));
	write32(cfg + 0x14, 0);
	check(is_at(A));
	write32(port + 0x20, 0x0000fff0); /* the bridge's window */
	check(gone(A));
	window(A, WIN);
	check(is_at(A));
	write16(port + 4, 0); /* all of the bridge */
	check(gone(A));
	write16(port + 4, 6);
	check(is_at(A));
	/* Its own decoding, or the register being sized: soon. */
	write16(cfg + 4, 0x404);
	check(wait_until(gone(A)));
	write16(cfg + 4, 0x406);
	check(is_at(A));
	write32(cfg + 0x10, NOTHING);
	check(wait_until(gone(A)));
	write32(cfg + 0x10, A);
	check(is_at(A));
}

static void fixed(void)
{
	uint32_t lapic = lapic_read(0x30), ioapic, ram = read32(0x100000 + VS);
	uint32_t places[] = { LAPIC, IOAPIC, 0x100000, 0xb0000000, 0xffffc000, 0 };

	write32(IOAPIC, 1);
	ioapic = read32(IOAPIC + 0x10);
	window(0, 0xfff00000); /* nearly everything below 4 GiB */
	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		write32(cfg + 0x10, places[i]);
		check_eq(lapic_read(0x30), lapic);
		check_eq(read32(IOAPIC + 0x10), ioapic);
		check_eq(read32(0x100000 + VS), ram);
		check_eq(read32(pci_ecam(0)), 0x29c08086);
	}
	write32(cfg + 0x10, A);
	check(is_at(A));
	/* ECAM comes over the BAR: PCIEXBAR of the host bridge, by the ports, as ECAM leaves. */
	outl(0xcf8, 0x80000060);
	outl(0xcfc, A | 1);
	check_eq(read32(A), 0x29c08086);
	outl(0xcfc, 0xb0000001);
	check(is_at(A));
	check_eq(read32(pci_ecam(0)), 0x29c08086);
	window(A, WIN);
	check(is_at(A));
}

static void renumbered(int fn)
{
	uint32_t far = pci_ecam(0x4000u | ((unsigned)fn & 0xff));

	write32(port + 0x18, 0x00404000);
	check_eq(read32(far), 0x00101b36);
	check_eq(read32(cfg), NOTHING);
	check(is_at(A));
	cfg = far;
	write16(port + 0x3e, 0x40); /* secondary bus reset */
	check_eq(read16(cfg + 4), 0);
	check(gone(A));
	write16(port + 0x3e, 0);
	for (unsigned i = 0; i < 1000000; i++)
		__asm__ volatile("pause");
	write32(cfg + 0x10, A);
	write16(cfg + 4, 0x406);
	check(is_at(A));
}

void guest_main(void)
{
	int fn = pci_find_behind_port(0x1b36, 0x0010, A, WIN);

	if (fn < 0)
		skip("no NVMe in this machine");
	cfg = pci_ecam((unsigned)fn);
	port = port_above((uint32_t)fn >> 8);
	check(port != 0);
	pci_place_bar(fn, 0, A);
	vs = read32(A + VS);
	check(vs != 0 && vs != NOTHING);
	moves();
	closes();
	fixed();
	renumbered(fn);
}
