/* SPDX-License-Identifier: BSD-2-Clause */
/* runner: --cpus 2 --rng --console null */
/* Two processors write to configuration space at random, through the ports and through ECAM. They
 * switch decoding on and off, and move BARs to all addresses, also over each other and over the
 * interrupt controllers, which minivmm reports on stderr. They do this a few thousand times, or
 * without end with --append forever. Then configuration space must still work. */
#include "lib.h"

#define CF8    0xcf8
#define CFC    0xcfc
#define WRITES 3000u
#define HOST   0x29c08086u

static volatile uint32_t done;

static uint32_t any(uint32_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 17;
	*random ^= *random << 5;
	return *random;
}

static void bar_write(uint32_t *random)
{
	static const uint32_t addr[] = { 0xe0000000, 0xe0004000, 0xe0000800, 0xb0000000,
					 0xfec00000, 0xfee00000, 0xffffffff, 0x100000 };
	uint32_t devfn = any(random) & 0xff, off = 0x10 + 4 * (any(random) % 6);
	uint32_t to = addr[any(random) & 7];

	if (any(random) & 1) {
		write32(pci_ecam(devfn) + off, to);
		write16(pci_ecam(devfn) + 4, any(random) & 1 ? 6 : 0);
	} else {
		outl(CF8, 0x80000000u | devfn << 8 | off);
		outl(CFC, to);
	}
}

static void flood(uint32_t random)
{
	bool forever = guest_option("forever");
	uint32_t i;

	for (i = 0; forever || i < WRITES; i++)
		bar_write(&random);
	__atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST);
}

void guest_ap(void)
{
	flood(2463534242u);
}

void guest_main(void)
{
	smp_start();
	flood(88172645u);
	check(wait_until(done == 2));
	check_eq(read32(pci_ecam(0)), HOST);
	outl(CF8, 0x80000000u);
	check_eq(inl(CFC), HOST);
}
