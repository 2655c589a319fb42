/* SPDX-License-Identifier: BSD-2-Clause */
/* runner: --cpus 2 */
/* Resets by port 0xcf9, then by a triple fault. CMOS memory counts the boots. After each reset the
 * processors, the interrupt chips and the memory image must be as at the first start. */
#include "lib.h"

#define BOOTS 0x51
#define TIMER 0x42

static volatile uint32_t dirty = 0x600d, ap_done;

void guest_ap(void)
{
	ap_done = 1;
}

static void count(uint8_t n)
{
	outb(0x70, BOOTS);
	outb(0x71, n);
}

void guest_main(void)
{
	struct {
		uint16_t limit;
		uint32_t base;
	} __attribute__((packed)) none = { 0, 0 };
	uint8_t n;

	check_eq(dirty, 0x600d);
	dirty = 0xbad;
	check_eq(lapic_read(0xf0) & 0x100, 0); /* software-disabled after reset */
	check_eq(lapic_read(0x320) & 0x10000, 0x10000);
	irq_init();
	irq_on();
	lapic_write(0x3e0, 0xb);
	lapic_write(0x320, TIMER | 1u << 17);
	lapic_write(0x380, 100000);
	check(irq_wait(TIMER, 1));
	smp_start();
	wait_until(ap_done);
	check_eq(ap_done, 1);

	outb(0x70, BOOTS);
	n = inb(0x71);
	print_hex(n);
	print("\n");
	count((uint8_t)(n + 1));
	if (n == 0) {
		outb(0xcf9, 2);
		outb(0xcf9, 6);
	} else if (n == 1) {
		__asm__ volatile("lidt %0; int3" : : "m"(none));
	} else if (n == 2) {
		return;
	}
	for (;;)
		;
}
