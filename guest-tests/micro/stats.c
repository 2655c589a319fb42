/* SPDX-License-Identifier: BSD-2-Clause */
/* runner: --stats=@STATS@ */
/* Does known numbers of accesses; --stats must have exactly these. Port 0xf4 gets the result. */
/* stats: exits("io") == 1000 + 123 + 1 and exits("mmio") == 7 */
/* stats: register("nothing", 0x80)["writes"] == 1000 */
/* stats: register("serial", 0x3ff)["reads"] == 123 */
/* stats: register("nothing", 0xfed40008)["reads"] == 5 */
/* stats: register("nothing", 0xfed4000c)["writes"] == 2 */
/* stats: register("exit", 0xf4)["writes"] == 1 and register("nothing", 0x80)["ns"] > 0 */
/* stats: kernel("exits", 0) >= exits("io") + exits("mmio") and s["vcpus"][0]["lost"] == 0 */
#include "lib.h"

void guest_main(void)
{
	unsigned i;

	for (i = 0; i < 1000; i++)
		outb(0x80, (uint8_t)i);
	for (i = 0; i < 123; i++)
		inb(0x3ff);
	for (i = 0; i < 5; i++)
		read32(0xfed40008);
	write8(0xfed4000d, 1);
	write32(0xfed4000c, 1);
}
