/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The clock is the host's clock plus an offset. At the start the offset is 0 (UTC) or that of the
 * host's time zone; it changes when the guest sets the time. The offset is in whole seconds, so the
 * guest's second begins together with the host's. While the guest holds SET (register B) or the
 * reset of the divider (register A), the time registers are plain memory.
 *
 * There is no periodic timer. The flags of register C are computed when the guest reads them. While
 * an interrupt is enabled, a timer on the main loop is set to the time of the next one. A guest
 * that does not read register C gets no further interrupt, as on the chip; then the timer is off,
 * too. If the guest misses several ticks, it gets one: ticks are not made up for later, because
 * today's systems measure time with other clocks.
 *
 * The alarm compares hours, minutes and seconds. It has no date, and the FADT says so. The guest
 * handles daylight saving, as on a PC: Windows sets the clock itself when summer time begins. A
 * clock that followed the host's zone would then change twice.
 *
 * Threads: port accesses and the timer run under `lock`, which is the lock of the region.
 */
#include "devices/chipset/cmos_rtc.h"

#include <errno.h>
#include <time.h>

#include "vmm/core/cleanup.h"

#define REG_A	  0x0a
#define REG_B	  0x0b
#define REG_C	  0x0c
#define REG_D	  0x0d
#define A_UIP	  0x80
#define A_RESET	  0x60 /* if both bits are set, the divider stands still */
#define A_RATE	  0x0f
#define B_SET	  0x80
#define B_DM	  0x04 /* binary */
#define B_24H	  0x02
#define B_SQWE	  0x08
#define IRQ_PF	  0x40 /* periodic: the same bit in B (enable) and C (flag) */
#define IRQ_AF	  0x20 /* alarm */
#define IRQ_UF	  0x10 /* update ended */
#define IRQ_ALL	  (IRQ_PF | IRQ_AF | IRQ_UF)
#define C_IRQF	  0x80
#define D_VRT	  0x80
#define HOUR_PM	  0x80
#define DONT_CARE 0xc0 /* an alarm byte with both bits set matches any value */
#define NS	  1000000000ll
#define UIP_NS	  2228000ll /* MC146818 at 32768 Hz: UIP is set 244 us before the 1984 us update */
#define TICK_HZ	  32768u
#define YEAR_BASE 1900
#define DAY_S	  86400
/* The timer's clock does not change when somebody sets the host's clock, and it stands still while
 * the host sleeps. So the timer checks at least this often, and an alarm is late by this at
 * most. */
#define RECHECK_NS (60 * NS)

static int64_t host_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * NS + ts.tv_nsec;
}

/* v: 0 to 99 */
static uint8_t to_bcd(const struct cmos_rtc *r, unsigned v)
{
	return (uint8_t)(r->cmos[REG_B] & B_DM ? v : v / 10 << 4 | v % 10);
}

static int from_bcd(const struct cmos_rtc *r, uint8_t v)
{
	return r->cmos[REG_B] & B_DM ? v : (v >> 4) * 10 + (v & 0xf);
}

static uint8_t hour_encode(const struct cmos_rtc *r, unsigned hour)
{
	unsigned h12 = hour % 12 ? hour % 12 : 12;

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

static bool rtc_runs(const struct cmos_rtc *r)
{
	return !(r->cmos[REG_B] & B_SET) && (r->cmos[REG_A] & A_RESET) != A_RESET;
}

static int64_t rtc_seconds(const struct cmos_rtc *r)
{
	return r->now_ns() / NS + r->offset_s;
}

/* Writes the current time to the time registers. */
static void rtc_latch(struct cmos_rtc *r)
{
	time_t now = (time_t)rtc_seconds(r);
	struct tm tm = { 0 };
	unsigned year;

	gmtime_r(&now, &tm);
	year = (unsigned)(tm.tm_year + YEAR_BASE) % 10000;
	r->cmos[0] = to_bcd(r, (unsigned)tm.tm_sec);
	r->cmos[2] = to_bcd(r, (unsigned)tm.tm_min);
	r->cmos[4] = hour_encode(r, (unsigned)tm.tm_hour);
	r->cmos[6] = to_bcd(r, (unsigned)tm.tm_wday + 1);
	r->cmos[7] = to_bcd(r, (unsigned)tm.tm_mday);
	r->cmos[8] = to_bcd(r, (unsigned)tm.tm_mon + 1);
	r->cmos[9] = to_bcd(r, year % 100);
	r->cmos[CMOS_CENTURY] = to_bcd(r, year / 100);
}

/* Sets the clock to the time in the time registers. */
static void rtc_adopt(struct cmos_rtc *r)
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
	r->seen_s = rtc_seconds(r);
}

/* ---- the three interrupts ---- */

#define ANY   (-1)
#define NEVER (-2)

static int alarm_byte(uint8_t reg, int decoded, int most, uint8_t encoded)
{
	if ((reg & DONT_CARE) == DONT_CARE)
		return ANY;
	return decoded <= most && encoded == reg ? decoded : NEVER;
}

/* A byte that the clock never shows, such as 0x1a in BCD, matches no time. */
static void alarm_decode(const struct cmos_rtc *r, int *hour, int *min, int *sec)
{
	const uint8_t *c = r->cmos;

	*hour = hour_decode(r, c[5]);
	*hour = alarm_byte(c[5], *hour, 23, hour_encode(r, (unsigned)*hour % 24));
	*min = from_bcd(r, c[3]);
	*min = alarm_byte(c[3], *min, 59, to_bcd(r, (unsigned)*min % 60));
	*sec = from_bcd(r, c[1]);
	*sec = alarm_byte(c[1], *sec, 59, to_bcd(r, (unsigned)*sec % 60));
}

static bool alarm_fits(int want, int now)
{
	return want == ANY || want == now;
}

/* Seconds from `from` to the next alarm, from 1 to a day; 0: the alarm matches no time. The loop
 * skips whole hours and minutes that do not match. A second that can match comes within the next
 * minute that does, so there are less than 300 steps. */
static int64_t alarm_in(const struct cmos_rtc *r, int64_t from)
{
	int start = (int)((from % DAY_S + DAY_S) % DAY_S), i = 1;
	int hour, min, sec;

	alarm_decode(r, &hour, &min, &sec);
	if (hour == NEVER || min == NEVER || sec == NEVER)
		return 0;
	while (i <= DAY_S) {
		int t = (start + i) % DAY_S;

		if (!alarm_fits(hour, t / 3600))
			i += 3600 - t % 3600;
		else if (!alarm_fits(min, t / 60 % 60))
			i += 60 - t % 60;
		else if (!alarm_fits(sec, t % 60))
			i++;
		else
			return i;
	}
	return 0;
}

/* Returns n if the period is 1 << n ticks of 32768 Hz; -1: there are no periodic ticks. Rates 1 and
 * 2 are 256 and 128 Hz. The others go from 8192 Hz (rate 3) down to 2 Hz (rate 15), by halves. */
static int period_shift(const struct cmos_rtc *r)
{
	int rate = r->cmos[REG_A] & A_RATE;

	if (!rate || (r->cmos[REG_A] & A_RESET) == A_RESET)
		return -1;
	return rate <= 2 ? rate + 6 : rate - 1;
}

static uint64_t period_count(const struct cmos_rtc *r)
{
	int shift = period_shift(r);

	if (shift < 0)
		return 0;
	return (uint64_t)((unsigned __int128)r->mono_ns() * TICK_HZ / (uint64_t)NS) >> shift;
}

/* The time at which the next tick begins. */
static uint64_t period_next(const struct cmos_rtc *r)
{
	unsigned __int128 ticks = (unsigned __int128)(period_count(r) + 1) << period_shift(r);

	return (uint64_t)((ticks * (uint64_t)NS + TICK_HZ - 1) / TICK_HZ);
}

/* Updates register C. */
static void rtc_look(struct cmos_rtc *r)
{
	uint64_t tick = period_count(r);
	int64_t now, alarm;

	if (tick != r->seen_tick)
		r->cmos[REG_C] |= IRQ_PF;
	r->seen_tick = tick;
	if (!rtc_runs(r))
		return;
	now = rtc_seconds(r);
	if (now == r->seen_s)
		return;
	r->cmos[REG_C] |= IRQ_UF;
	alarm = alarm_in(r, r->seen_s);
	if (alarm && now - r->seen_s >= alarm)
		r->cmos[REG_C] |= IRQ_AF;
	r->seen_s = now;
}

static bool irq_pending(const struct cmos_rtc *r)
{
	return r->cmos[REG_B] & r->cmos[REG_C] & IRQ_ALL;
}

static uint64_t due_min(uint64_t a, uint64_t b)
{
	return a && a < b ? a : b;
}

uint64_t cmos_rtc_due(const struct cmos_rtc *r)
{
	uint8_t on = r->cmos[REG_B];
	uint64_t due = 0, update;
	int64_t alarm;

	if ((on & IRQ_PF) && period_shift(r) >= 0)
		due = period_next(r);
	if (!(on & (IRQ_UF | IRQ_AF)) || !rtc_runs(r))
		return due;
	update = r->mono_ns() + (uint64_t)(NS - r->now_ns() % NS);
	if (on & IRQ_UF)
		return due_min(due, update);
	alarm = alarm_in(r, rtc_seconds(r));
	if (!alarm)
		return due;
	return due_min(due, due_min(update + (uint64_t)((alarm - 1) * NS),
				    r->mono_ns() + (uint64_t)RECHECK_NS));
}

/* Runs on the main loop, because only it may set timers. */
static void timer_arm(void *arg)
{
	struct cmos_rtc *r = arg;

	scoped_lock(&r->lock);
	ev_timer_set(r->timer, r->armed);
}

void cmos_rtc_fire(struct cmos_rtc *r)
{
	bool unread;

	scoped_lock(&r->lock);
	unread = irq_pending(r);
	rtc_look(r);
	irq_set(&r->irq, irq_pending(r));
	/* Set the timer again, unless the guest has not read the last interrupt's flags yet. */
	r->armed = unread ? 0 : cmos_rtc_due(r);
}

static void timer_fired(void *arg)
{
	cmos_rtc_fire(arg);
	timer_arm(arg);
}

/* Called after each access of the guest. A timer that is set to an earlier time stays: when it
 * fires, it finds nothing and is set again. */
static void rtc_settle(struct cmos_rtc *r)
{
	uint64_t due;

	irq_set(&r->irq, irq_pending(r));
	if (irq_pending(r) || !(r->cmos[REG_B] & IRQ_ALL))
		return;
	due = cmos_rtc_due(r);
	if (!due || !r->timer || (r->armed && r->armed <= due))
		return;
	r->armed = due;
	evloop_call(r->loop, &r->arm);
}

/* ---- the registers ---- */

static bool is_time(uint8_t reg)
{
	return reg == CMOS_CENTURY || reg == 0 || reg == 2 || reg == 4 || (reg >= 6 && reg <= 9);
}

static uint8_t get_flags(struct cmos_rtc *r)
{
	uint8_t flags;

	rtc_look(r);
	flags = (uint8_t)(r->cmos[REG_C] | (irq_pending(r) ? C_IRQF : 0));
	r->cmos[REG_C] = 0;
	rtc_settle(r);
	return flags;
}

static uint8_t cmos_get(struct cmos_rtc *r, uint8_t reg)
{
	if (is_time(reg) && rtc_runs(r))
		rtc_latch(r);
	switch (reg) {
	case REG_A:
		return (uint8_t)(r->cmos[REG_A] |
				 (rtc_runs(r) && r->now_ns() % NS >= NS - UIP_NS ? A_UIP : 0));
	case REG_C:
		return get_flags(r);
	case REG_D:
		return D_VRT;
	default:
		return r->cmos[reg];
	}
}

/* If the format changes while the clock runs, the clock keeps its time. If the clock begins to run,
 * it takes the time that was written while it stood still. */
static void put_control(struct cmos_rtc *r, uint8_t reg, uint8_t val)
{
	bool ran = rtc_runs(r);

	if (ran)
		rtc_latch(r);
	if (reg == REG_B && (val & B_SET))
		val &= (uint8_t)~IRQ_UF; /* SET clears UIE (MC146818, register B) */
	r->cmos[reg] = reg == REG_A ? val & (uint8_t)~A_UIP : val;
	if (reg == REG_A)
		r->seen_tick = period_count(r);
	if (!ran && rtc_runs(r))
		rtc_adopt(r);
}

static void put_time(struct cmos_rtc *r, uint8_t reg, uint8_t val)
{
	if (rtc_runs(r))
		rtc_latch(r);
	r->cmos[reg] = val;
	if (rtc_runs(r))
		rtc_adopt(r);
}

static void cmos_put(struct cmos_rtc *r, uint8_t reg, uint8_t val)
{
	if (reg > REG_D && reg != CMOS_CENTURY) {
		r->cmos[reg] = val;
		return;
	}
	if (reg == REG_C || reg == REG_D)
		return;
	rtc_look(r);
	if (reg == REG_A || reg == REG_B)
		put_control(r, reg, val);
	else if (is_time(reg))
		put_time(r, reg, val);
	else
		r->cmos[reg] = val; /* the alarm */
	rtc_settle(r);
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

/* Memory sizes at the places where BIOSes look for them, and also OVMF if there is no e820
 * table. */
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

static int64_t zone_offset(const struct cmos_rtc *r)
{
	time_t now = (time_t)(r->now_ns() / NS);
	struct tm tm = { 0 };

	return localtime_r(&now, &tm) ? tm.tm_gmtoff : 0;
}

static void set_power_on(struct cmos_rtc *r, const struct cmos_rtc_params *p)
{
	r->cmos[REG_A] = 0x26; /* 32768 Hz, periodic rate 1024 Hz: a BIOS sets this */
	r->cmos[REG_B] = B_24H;
	if (p->localtime)
		r->offset_s = zone_offset(r);
	r->seen_s = rtc_seconds(r);
	r->seen_tick = period_count(r);
	put_memory(r, p->low_ram, p->high_ram);
}

int cmos_rtc_init(struct cmos_rtc *r, const struct cmos_rtc_params *p)
{
	int ret;

	*r = (struct cmos_rtc){
		.now_ns = host_now_ns, .mono_ns = evloop_now_ns, .pio = p->pio, .loop = p->loop
	};
	ret = irq_source_init(p->irq, CMOS_GSI, &r->irq);
	if (ret)
		return ret;
	r->arm = (struct ev_call){ .fn = timer_arm, .arg = r };
	r->timer = p->loop ? evloop_add_timer(p->loop, timer_fired, r) : NULL;
	pthread_mutex_init(&r->lock, NULL);
	set_power_on(r, p);
	r->region = (struct io_region){ .name = "cmos",
					.base = 0x70,
					.size = 2,
					.ops = &cmos_ops,
					.opaque = r,
					.lock = &r->lock };
	ret = p->loop && !r->timer ? -errno : bus_add(p->pio, &r->region);
	if (ret)
		cmos_rtc_destroy(r);
	return ret;
}

void cmos_rtc_destroy(struct cmos_rtc *r)
{
	if (r->region.mapped)
		bus_del(r->pio, &r->region);
	if (r->loop)
		evloop_cancel(r->loop, &r->arm);
	evloop_del_timer(r->timer);
	irq_source_release(&r->irq);
	pthread_mutex_destroy(&r->lock);
}

void cmos_rtc_reset(struct cmos_rtc *r)
{
	scoped_lock(&r->lock);
	rtc_look(r);
	r->index = 0;
	r->cmos[REG_B] &= (uint8_t) ~(IRQ_ALL | B_SQWE);
	r->cmos[REG_C] = 0;
	rtc_settle(r);
}
