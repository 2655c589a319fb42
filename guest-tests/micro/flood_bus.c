/* SPDX-License-Identifier: BSD-2-Clause */
/* runner: --cpus 4 --vfio @NVME@ */
/* Four processors reset a passed-through NVMe through its port and by its own reset, and move its
 * BAR in between: a few times or, with --append forever, without end. Then the NVMe must answer. */
#include "lib.h"

#define BAR   0xc0000000u
#define TIMES 5u
#define VS    8

static volatile uint32_t done, fn, ready;

static void port_reset(uint32_t port)
{
	write16(port + 0x3e, 0x40);
	write16(port + 0x3e, 0);
}

static uint32_t port_above(uint32_t bus)
{
	for (unsigned d = 0; d < 256; d++)
		if (read16(pci_ecam(d) + 10) == 0x0604 && read8(pci_ecam(d) + 0x19) == bus)
			return pci_ecam(d);
	return 0;
}

static void flood(void)
{
	uint32_t cfg = pci_ecam(fn), port = port_above(fn >> 8), exp = pci_cap((int)fn, 0x10, 0);
	bool forever = guest_option("forever");

	for (uint32_t i = 0; forever || i < TIMES; i++) {
		port_reset(port);
		write32(cfg + 0x10, BAR);
		write16(cfg + 4, 6);
		write16(cfg + 4, 0);
		write16(cfg + exp + 8, 0x8000);
	}
	__atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST);
}

void guest_ap(void)
{
	wait_until(ready);
	flood();
}

void guest_main(void)
{
	int found = pci_find_behind_port(0x1b36, 0x0010, BAR, 0x100000);

	if (found < 0)
		skip("no NVMe in this machine");
	fn = (uint32_t)found;
	ready = 1;
	smp_start();
	flood();
	check(wait_until(done == 4));
	pci_place_bar(found, 0, BAR);
	check(read32(BAR + VS) != 0xffffffff);
}
