/* SPDX-License-Identifier: BSD-2-Clause */
/* runner: --vfio @NVME@ --stats=@STATS@ */
/* Does a known number of accesses to a passed-through NVMe: to registers, to its MSI-X table, and
 * to other bytes in the table's page. Only the last two trap, and the statistics must name them. */
/* stats: traps(where="BAR 0", cause="shares its page with the MSI-X table") == 200 */
/* stats: traps(where="BAR 0", cause="the MSI-X table") == 3 and traps(where="BAR 0") == 203 */
/* stats: traps(where="BAR 0", page=0) == 0 and exits("mmio") >= 203 */
#include "lib.h"

#define BAR_AT	 0xc0000000u
#define BAR_SIZE 0x100000u

void guest_main(void)
{
	int devfn = pci_find_behind_port(0x1b36, 0x0010, BAR_AT, BAR_SIZE);
	uint32_t table, i;
	unsigned cap;

	if (devfn < 0)
		skip("no NVMe in this machine");
	pci_place_bar(devfn, 0, BAR_AT);
	cap = pci_cap(devfn, 0x11, 0);
	check(cap);
	table = read32(pci_ecam((unsigned)devfn) + cap + 4);
	check_eq(table & 7, 0);
	for (i = 0; i < 100; i++)
		check_eq(read32(BAR_AT + 8), 0x00010400); /* its version: no trap */
	for (i = 0; i < 200; i++)
		read32(BAR_AT + table + 0xf00);
	for (i = 0; i < 3; i++)
		write32(BAR_AT + table + 12, 1);
}
