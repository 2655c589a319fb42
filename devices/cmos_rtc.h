/* SPDX-License-Identifier: BSD-2-Clause */
/* MC146818 real-time clock with 128 bytes of CMOS, ports 0x70 and 0x71. */
#ifndef DEVICES_CMOS_RTC_H
#define DEVICES_CMOS_RTC_H

#include "vmm/bus.h"

#define CMOS_SIZE    128
#define CMOS_CENTURY 0x32

struct cmos_rtc {
	struct io_region region;
	pthread_mutex_t lock;
	uint8_t index;
	uint8_t cmos[CMOS_SIZE];
	int64_t offset_s;	 /* guest time minus host time, whole seconds */
	int64_t (*now_ns)(void); /* CLOCK_REALTIME (UTC); tests put their own */
};

/* low and high RAM in bytes: the memory sizes that firmware without fw_cfg reads. */
int cmos_rtc_init(struct cmos_rtc *, struct bus *pio, uint64_t low_ram, uint64_t high_ram);
void cmos_rtc_destroy(struct cmos_rtc *, struct bus *pio);
/* The clock and the memory are battery-backed: only the index and the interrupt enables change. */
void cmos_rtc_reset(struct cmos_rtc *);

#endif
