/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The real-time clock: any register read and written, while the host's clock goes on, is set, and
 * the timer comes when it is due, too early or never. What must hold: the line is up exactly while
 * register C has a flag that register B enables; the timer is never due in the past; and a periodic
 * interrupt that is due comes.
 */
#include <stdint.h>
#include <string.h>

#include "devices/chipset/cmos_rtc.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define NS	   1000000000ll
#define MAX_STEPS  256
#define MUST(cond) ((cond) ? (void)0 : __builtin_trap())

static int64_t now;
static uint64_t mono;
static bool line;

static int64_t fake_now(void)
{
	return now;
}

static uint64_t fake_mono(void)
{
	return mono;
}

static int set_line(void *opaque, uint32_t gsi, bool level)
{
	(void)opaque;
	MUST(gsi == CMOS_GSI);
	line = level;
	return 0;
}

static void check(const struct cmos_rtc *r)
{
	uint64_t due = cmos_rtc_due(r);

	MUST(line == !!(r->cmos[0xb] & r->cmos[0xc] & 0x70));
	MUST(!due || (due > mono && due <= mono + 60 * (uint64_t)NS));
}

static void pass(int64_t ns)
{
	now += ns;
	mono += (uint64_t)ns;
}

static void fire_when_due(struct cmos_rtc *r)
{
	uint64_t due = cmos_rtc_due(r);

	if (!due)
		return;
	pass((int64_t)(due - mono));
	cmos_rtc_fire(r);
	if ((r->cmos[0xb] & 0x70) == 0x40)
		MUST(line);
}

/* Four bytes: what, register, and two of a value. */
static void step(struct cmos_rtc *r, struct bus *pio, const uint8_t *s)
{
	int64_t amount = s[2] | s[3] << 8;

	bus_write(pio, 0x70, 1, s[1]);
	switch (s[0] & 7) {
	case 0:
		bus_read(pio, 0x71, 1);
		break;
	case 1:
	case 2:
		bus_write(pio, 0x71, 1, s[2]);
		break;
	case 3: /* up to 16 ms, or 65536 seconds */
		pass(s[0] & 8 ? amount * NS : amount * 250);
		break;
	case 4: /* the host's clock is set */
		now = (s[0] & 8 ? 4102444800ll : 0) * NS + amount / 2 * 86400 * NS +
		      s[1] * 3906250ll;
		break;
	case 5:
		fire_when_due(r);
		break;
	case 6:
		cmos_rtc_fire(r);
		break;
	default:
		if (s[0] & 8)
			cmos_rtc_reset(r);
		bus_read(pio, 0x70, 1u << (s[2] & 1));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct irq_backend_ops ops = { .set_line = set_line };
	static struct bus *pio;
	static struct irq_table *irq;
	struct cmos_rtc_params p;
	struct cmos_rtc rtc;
	size_t i;

	if (!pio) {
		pio = bus_new(0x10000);
		irq = irq_table_new(&ops, NULL, 64);
	}
	p = (struct cmos_rtc_params){ .pio = pio, .irq = irq, .low_ram = 2 * GiB };
	now = 1709164799ll * NS;
	mono = 5000 * (uint64_t)NS;
	line = false;
	MUST(cmos_rtc_init(&rtc, &p) == 0);
	rtc.now_ns = fake_now;
	rtc.mono_ns = fake_mono;
	rtc.seen_s = now / NS;
	for (i = 0; i + 4 <= len && i < 4 * MAX_STEPS; i += 4) {
		step(&rtc, pio, data + i);
		check(&rtc);
	}
	cmos_rtc_destroy(&rtc);
	MUST(!line);
	return 0;
}
