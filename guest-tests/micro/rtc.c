/* SPDX-License-Identifier: BSD-2-Clause */
/* The interrupts of the real-time clock through the IOAPIC: update-ended, periodic, alarm. */
#include "lib.h"

#define RTC_VECTOR 0x48

static uint8_t rtc_read(uint8_t reg)
{
	outb(0x70, reg);
	return inb(0x71);
}

static void rtc_write(uint8_t reg, uint8_t val)
{
	outb(0x70, reg);
	outb(0x71, val);
}

void guest_main(void)
{
	irq_init();
	ioapic_route(8, RTC_VECTOR, false);
	irq_on();
	rtc_read(0xc);
	check(irq_stays_away(RTC_VECTOR, 1));

	rtc_write(0xb, 0x12); /* update ended */
	check(irq_wait(RTC_VECTOR, 1));
	check_eq(rtc_read(0xc) & 0x90, 0x90);
	rtc_write(0xb, 0x02);

	rtc_read(0xc);
	irq_count[RTC_VECTOR] = 0;
	rtc_write(0xa, 0x26); /* periodic, 1024 Hz */
	rtc_write(0xb, 0x42);
	for (uint32_t i = 1; i <= 10; i++) {
		check(irq_wait(RTC_VECTOR, i));
		check_eq(rtc_read(0xc) & 0xc0, 0xc0);
	}
	/* If register C is not read, there must be no further interrupt. */
	check(irq_wait(RTC_VECTOR, 11));
	check(irq_stays_away(RTC_VECTOR, 12));
	rtc_write(0xb, 0x02);

	rtc_read(0xc);
	irq_count[RTC_VECTOR] = 0;
	rtc_write(1, 0xff); /* the alarm: any second */
	rtc_write(3, 0xff);
	rtc_write(5, 0xff);
	rtc_write(0xb, 0x22);
	check(irq_wait(RTC_VECTOR, 1));
	check_eq(rtc_read(0xc) & 0xa0, 0xa0);
	rtc_write(0xb, 0x02);
	irq_off();
}
