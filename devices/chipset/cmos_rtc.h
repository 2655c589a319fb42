/* SPDX-License-Identifier: BSD-2-Clause */
/* MC146818 real-time clock with 128 bytes of CMOS, ports 0x70 and 0x71, interrupt 8. */
#ifndef DEVICES_CHIPSET_CMOS_RTC_H
#define DEVICES_CHIPSET_CMOS_RTC_H

#include "vmm/core/bus.h"
#include "vmm/core/evloop.h"
#include "vmm/core/irq.h"

#define CMOS_SIZE    128
#define CMOS_CENTURY 0x32
#define CMOS_GSI     8

struct cmos_rtc_params {
	struct bus *pio;
	struct irq_table *irq;
	struct evloop *loop;	    /* NULL: interrupts come only when the guest reads the clock */
	uint64_t low_ram, high_ram; /* bytes, for firmware that does not use fw_cfg */
	bool localtime;		    /* the clock shows the host's local time, not UTC */
};

struct cmos_rtc {
	struct io_region region;
	struct bus *pio;
	struct evloop *loop;
	struct ev_timer *timer;
	pthread_mutex_t lock;
	struct irq_source irq;
	uint8_t index;
	uint8_t cmos[CMOS_SIZE]; /* register C without IRQF */
	int64_t offset_s;	 /* guest time minus host time, whole seconds */
	int64_t seen_s;		 /* guest time in seconds, when register C was last updated */
	uint64_t seen_tick;	 /* number of the periodic tick, when register C was last updated */
	uint64_t armed;		 /* the time that the timer is set to, or soon will be; 0: off */
	struct ev_call arm;
	int64_t (*now_ns)(void);   /* CLOCK_REALTIME (UTC); tests replace it */
	uint64_t (*mono_ns)(void); /* CLOCK_MONOTONIC; tests replace it */
};

int cmos_rtc_init(struct cmos_rtc *, const struct cmos_rtc_params *);
void cmos_rtc_destroy(struct cmos_rtc *);
/* A battery keeps the clock and the memory, so a reset changes only the index, the interrupt flags
 * and the interrupt enables. */
void cmos_rtc_reset(struct cmos_rtc *);

/* The two halves of the timer, for tests with their own clock: when it is due (CLOCK_MONOTONIC; 0:
 * never), and what it does then. */
uint64_t cmos_rtc_due(const struct cmos_rtc *);
void cmos_rtc_fire(struct cmos_rtc *);

#endif
