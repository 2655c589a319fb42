/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The clock is the host's (UTC) plus an offset that changes when the guest sets the time, so
 * nothing ticks here and an idle guest costs nothing. While the guest holds SET (register B bit 7)
 * the ten time registers are plain memory.
 *
 * Periodic, alarm and update-ended interrupts are not raised: register C stays clear. OSes take
 * their ticks from the LAPIC and read this clock once; the alarm would only matter for wake-up from
 * sleep states this machine does not have.
 *
 * Threads: port accesses under `lock`.
 */
#include "devices/cmos_rtc.h"

#include <time.h>

#include "vmm/cleanup.h"

#define REG_A	  0x0a
#define REG_B	  0x0b
#define REG_C	  0x0c
#define REG_D	  0x0d
#define A_UIP	  0x80
#define B_SET	  0x80
#define B_DM	  0x04 /* binary */
#define B_24H	  0x02
#define B_IRQS	  0x70
#define D_VRT	  0x80
#define HOUR_PM	  0x80
#define NS	  1000000000ll
#define UIP_NS	  244000ll /* MC146818: UIP rises 244 us before the update */
#define YEAR_BASE 1900

static int64_t host_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * NS + ts.tv_nsec;
}

static uint8_t to_bcd(const struct cmos_rtc *r, int v)
{
	return (uint8_t)(r->cmos[REG_B] & B_DM ? v : v / 10 << 4 | v % 10);
}

static int from_bcd(const struct cmos_rtc *r, uint8_t v)
{
	return r->cmos[REG_B] & B_DM ? v : (v >> 4) * 10 + (v & 0xf);
}

static uint8_t hour_encode(const struct cmos_rtc *r, int hour)
{
	int h12 = hour % 12 ? hour % 12 : 12;

	if (r->cmos[REG_B] & B_24H)
		return to_bcd(r, hour);
	return (uint8_t)(to_bcd(r, h12) | (hour >= 12 ? HOUR_PM : 0));
}

static int hour_decode(const struct cmos_rtc *r, uint8_t v)
{
	if (r->cmos[REG_B] & B_24H)
		return from_bcd(r, v);
	return from_bcd(r, v & (uint8_t)~HOUR_PM) % 12 + (v & HOUR_PM ? 12 : 0);
}

/* Fills the time registers with the present. */
static void latch(struct cmos_rtc *r)
{
	time_t now = (time_t)(r->now_ns() / NS + r->offset_s);
	struct tm tm = { 0 };

	gmtime_r(&now, &tm);
	r->cmos[0] = to_bcd(r, tm.tm_sec);
	r->cmos[2] = to_bcd(r, tm.tm_min);
	r->cmos[4] = hour_encode(r, tm.tm_hour);
	r->cmos[6] = to_bcd(r, tm.tm_wday + 1);
	r->cmos[7] = to_bcd(r, tm.tm_mday);
	r->cmos[8] = to_bcd(r, tm.tm_mon + 1);
	r->cmos[9] = to_bcd(r, (tm.tm_year + YEAR_BASE) % 100);
	r->cmos[CMOS_CENTURY] = to_bcd(r, (tm.tm_year + YEAR_BASE) / 100);
}

/* Makes what the time registers say the present. */
static void adopt(struct cmos_rtc *r)
{
	struct tm tm = {
		.tm_sec = from_bcd(r, r->cmos[0]),
		.tm_min = from_bcd(r, r->cmos[2]),
		.tm_hour = hour_decode(r, r->cmos[4]),
		.tm_mday = from_bcd(r, r->cmos[7]),
		.tm_mon = from_bcd(r, r->cmos[8]) - 1,
		.tm_year = from_bcd(r, r->cmos[CMOS_CENTURY]) * 100 + from_bcd(r, r->cmos[9]) -
			   YEAR_BASE,
	};

	r->offset_s = timegm(&tm) - r->now_ns() / NS;
}

static bool is_time(uint8_t reg)
{
	return reg == CMOS_CENTURY || reg == 0 || reg == 2 || reg == 4 || (reg >= 6 && reg <= 9);
}

static uint8_t cmos_get(struct cmos_rtc *r, uint8_t reg)
{
	bool set = r->cmos[REG_B] & B_SET;

	if (is_time(reg) && !set)
		latch(r);
	switch (reg) {
	case REG_A:
		return (uint8_t)((r->cmos[REG_A] & ~A_UIP) |
				 (!set && r->now_ns() % NS >= NS - UIP_NS ? A_UIP : 0));
	case REG_C:
		return 0;
	case REG_D:
		return D_VRT;
	default:
		return r->cmos[reg];
	}
}

static void cmos_put(struct cmos_rtc *r, uint8_t reg, uint8_t val)
{
	bool set = r->cmos[REG_B] & B_SET;

	if (reg == REG_C || reg == REG_D)
		return;
	if (is_time(reg) || reg == REG_B) {
		if (!set)
			latch(r);
		r->cmos[reg] = val;
		/* Leaving SET, or a time written while the clock runs. A running clock whose format
		 * changes keeps its time. */
		if (reg == REG_B ? set && !(val & B_SET) : !set)
			adopt(r);
		return;
	}
	r->cmos[reg] = val;
}

static uint64_t cmos_read(void *opaque, uint64_t off, unsigned size)
{
	struct cmos_rtc *r = opaque;

	(void)size;
	return off == 0 ? 0xff : cmos_get(r, r->index);
}

static void cmos_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
	struct cmos_rtc *r = opaque;

	(void)size;
	if (off == 0)
		r->index = val & (CMOS_SIZE - 1); /* bit 7 masks NMIs on real boards */
	else
		cmos_put(r, r->index, (uint8_t)val);
}

static const struct io_region_ops cmos_ops = { cmos_read, cmos_write, 1, 1 };

/* The memory sizes where BIOSes since the PC/AT, and OVMF without e820, look for them. */
static void put_memory(struct cmos_rtc *r, uint64_t low, uint64_t high)
{
	uint64_t above16 = low > 16 * MiB ? (low - 16 * MiB) / (64 * KiB) : 0;
	uint64_t above4g = high / (64 * KiB);

	r->cmos[0x15] = 640 & 0xff;
	r->cmos[0x16] = 640 >> 8;
	r->cmos[0x34] = (uint8_t)above16;
	r->cmos[0x35] = (uint8_t)(above16 >> 8);
	r->cmos[0x5b] = (uint8_t)above4g;
	r->cmos[0x5c] = (uint8_t)(above4g >> 8);
	r->cmos[0x5d] = (uint8_t)(above4g >> 16);
}

int cmos_rtc_init(struct cmos_rtc *r, struct bus *pio, uint64_t low_ram, uint64_t high_ram)
{
	*r = (struct cmos_rtc){ .now_ns = host_now_ns };
	pthread_mutex_init(&r->lock, NULL);
	r->cmos[REG_A] = 0x26;
	r->cmos[REG_B] = B_24H;
	put_memory(r, low_ram, high_ram);
	r->region = (struct io_region){ .name = "cmos",
					.base = 0x70,
					.size = 2,
					.ops = &cmos_ops,
					.opaque = r,
					.lock = &r->lock };
	return bus_add(pio, &r->region);
}

void cmos_rtc_destroy(struct cmos_rtc *r, struct bus *pio)
{
	bus_del(pio, &r->region);
	pthread_mutex_destroy(&r->lock);
}

void cmos_rtc_reset(struct cmos_rtc *r)
{
	scoped_lock(&r->lock);
	r->index = 0;
	r->cmos[REG_B] &= (uint8_t)~B_IRQS;
}
