/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts: the UART through the IOAPIC, the timer of the LAPIC, the PIT on pin 2 of the
 * IOAPIC. */
#include "lib.h"

#define UART_VECTOR  0x41
#define TIMER_VECTOR 0x42
#define PIT_VECTOR   0x43

void guest_main(void)
{
	irq_init();
	ioapic_route(4, UART_VECTOR, false);
	irq_on();
	/* Enabling the THRE interrupt raises it; reading IIR lowers the line. */
	outb(0x3f9, 2);
	check(irq_wait(UART_VECTOR, 1));
	check_eq(inb(0x3fa) & 0x0f, 2);
	check_eq(inb(0x3fa) & 0x0f, 1);
	outb(0x3f9, 0);
	outb(0x3f9, 2);
	check(irq_wait(UART_VECTOR, 2));
	inb(0x3fa);
	outb(0x3f9, 0);

	lapic_write(0x3e0, 0xb); /* divide by 1 */
	lapic_write(0x320, TIMER_VECTOR);
	lapic_write(0x380, 10000);
	check(irq_wait(TIMER_VECTOR, 1));

	ioapic_route(2, PIT_VECTOR, false);
	outb(0x43, 0x30); /* channel 0, mode 0: once */
	outb(0x40, 0x00);
	outb(0x40, 0x04);
	check(irq_wait(PIT_VECTOR, 1));
	irq_off();
}
