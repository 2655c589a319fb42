/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACPI fixed hardware. Operating systems access the registers in every size, so a read is put
 * together from bytes, and a write is split into 16-bit registers.
 *
 * The PM timer is CLOCK_MONOTONIC scaled to 3.579545 MHz, 24 bits (ACPI 6.5, 4.8.3.3; TMR_VAL_EXT
 * is 0 in our FADT). TMR_STS says that bit 23 has changed. It is computed when the guest reads it;
 * if its interrupt is enabled, a timer on the main loop computes it at the right time. SCI_EN
 * always reads 1: the FADT has no SMI_CMD, so the machine is in ACPI mode from the start (ACPI 6.5,
 * 5.2.9).
 *
 * Threads: everything runs under pm->lock, which is the lock of the region. The timer on the main
 * loop takes it, too.
 */
#include "devices/chipset/acpi_pm.h"

#include <errno.h>
#include <string.h>

#include "vmm/core/cleanup.h"

#define STS_TMR	   (1u << 0)
#define STS_GBL	   (1u << 5)
#define STS_PWRBTN (1u << 8)
#define STS_RTC	   (1u << 10)
#define STS_WAK	   (1u << 15)
#define STS_W1C	   (STS_TMR | STS_GBL | STS_PWRBTN | STS_RTC | STS_WAK | 1u << 4 | 1u << 9)
#define EN_BITS	   (STS_TMR | STS_GBL | STS_PWRBTN | STS_RTC | 1u << 9)

#define CNT_SCI_EN  (1u << 0)
#define CNT_SLP_TYP (7u << 10)
#define CNT_SLP_EN  (1u << 13)
#define CNT_BITS    (CNT_SLP_TYP | 3u)
#define SLP_TYP_S5  0u /* must agree with \_S5 in the DSDT */

#define GPE0_EN (ACPI_GPE0 + ACPI_GPE0_SIZE / 2)

#define TMR_MSB	 (1u << 23)
#define TMR_MASK 0xffffffu

static uint64_t ticks_at(uint64_t ns)
{
	return (uint64_t)((unsigned __int128)ns * ACPI_PM_HZ / 1000000000u);
}

static uint64_t ns_at(uint64_t ticks)
{
	return (uint64_t)(((unsigned __int128)ticks * 1000000000u + ACPI_PM_HZ - 1) / ACPI_PM_HZ);
}

static uint32_t tmr_read(const struct acpi_pm *pm)
{
	return (uint32_t)ticks_at(pm->now_ns()) & TMR_MASK;
}

static void tmr_look(struct acpi_pm *pm)
{
	uint32_t msb = tmr_read(pm) & TMR_MSB;

	if (msb != pm->tmr_msb)
		pm->sts |= STS_TMR;
	pm->tmr_msb = msb;
}

static void sci_update(struct acpi_pm *pm)
{
	irq_set(&pm->sci, pm->sts & pm->en & EN_BITS);
}

/* Runs on the main loop, because only it may set timers. */
static void timer_arm(void *arg)
{
	struct acpi_pm *pm = arg;
	uint64_t next = 0;

	scoped_lock(&pm->lock);
	if (pm->en & STS_TMR)
		next = ns_at((ticks_at(pm->now_ns()) | (TMR_MSB - 1)) + 1);
	ev_timer_set(pm->timer, next);
}

static void timer_fired(void *arg)
{
	struct acpi_pm *pm = arg;

	{
		scoped_lock(&pm->lock);
		tmr_look(pm);
		sci_update(pm);
	}
	timer_arm(pm);
}

static uint8_t reg_read8(const struct acpi_pm *pm, unsigned off, uint32_t tmr)
{
	unsigned shift = 8 * (off & 1);

	switch (off & ~1u) {
	case ACPI_PM1_EVT:
		return (uint8_t)(pm->sts >> shift);
	case ACPI_PM1_EVT + 2:
		return (uint8_t)(pm->en >> shift);
	case ACPI_PM1_CNT:
		return (uint8_t)((pm->cnt | CNT_SCI_EN) >> shift);
	case ACPI_PM_TMR:
	case ACPI_PM_TMR + 2:
		return (uint8_t)(tmr >> 8 * (off - ACPI_PM_TMR));
	}
	if (off >= GPE0_EN && off < ACPI_GPE0 + ACPI_GPE0_SIZE)
		return pm->gpe_en[off - GPE0_EN];
	return 0;
}

static uint64_t pm_read(void *opaque, uint64_t off, unsigned size)
{
	struct acpi_pm *pm = opaque;
	uint32_t tmr = tmr_read(pm);
	uint64_t v = 0;

	tmr_look(pm);
	for (unsigned i = 0; i < size; i++)
		v |= (uint64_t)reg_read8(pm, (unsigned)off + i, tmr) << (8 * i);
	return v;
}

static void cnt_write(struct acpi_pm *pm, uint16_t val)
{
	pm->cnt = val & CNT_BITS;
	/* The DSDT offers no other sleep type, so other values have no effect. */
	if ((val & CNT_SLP_EN) && (val & CNT_SLP_TYP) >> 10 == SLP_TYP_S5 && pm->power_off)
		pm->power_off(pm->power_off_arg);
}

static void en_write(struct acpi_pm *pm, uint16_t val)
{
	uint16_t changed = (uint16_t)(pm->en ^ val) & EN_BITS;

	pm->en = val & EN_BITS;
	if ((changed & STS_TMR) && pm->timer)
		evloop_call(pm->loop, &pm->arm);
}

/* off is even; mask says which of the two bytes are written. */
static void reg_write16(struct acpi_pm *pm, unsigned off, uint16_t val, uint16_t mask)
{
	switch (off) {
	case ACPI_PM1_EVT:
		tmr_look(pm);
		pm->sts &= (uint16_t) ~(val & mask & STS_W1C);
		return;
	case ACPI_PM1_EVT + 2:
		en_write(pm, (uint16_t)((pm->en & ~mask) | (val & mask)));
		return;
	case ACPI_PM1_CNT:
		cnt_write(pm, (uint16_t)((pm->cnt & ~mask) | (val & mask)));
		return;
	}
	for (unsigned i = 0; i < 2; i++)
		if (off + i >= GPE0_EN && off + i < ACPI_GPE0 + ACPI_GPE0_SIZE &&
		    mask >> 8 * i & 0xff)
			pm->gpe_en[off + i - GPE0_EN] = (uint8_t)(val >> 8 * i);
}

/* Writes whole registers, not bytes: SLP_EN and SLP_TYP must take effect together. */
static void pm_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
	struct acpi_pm *pm = opaque;
	unsigned first = (unsigned)off & ~1u, skip = 8 * ((unsigned)off & 1);
	uint64_t mask = ((1ull << 8 * size) - 1) << skip;

	val <<= skip;
	for (unsigned i = 0; i < 6 && mask >> 8 * i; i += 2)
		reg_write16(pm, first + i, (uint16_t)(val >> 8 * i), (uint16_t)(mask >> 8 * i));
	sci_update(pm);
}

static const struct io_region_ops pm_ops = { pm_read, pm_write, 1, 4 };

int acpi_pm_init(struct acpi_pm *pm, struct bus *pio, struct irq_table *irq, struct evloop *loop)
{
	int ret = irq_source_init(irq, IRQ_GSI_SCI, &pm->sci);

	if (ret)
		return ret;
	pthread_mutex_init(&pm->lock, NULL);
	pm->pio = pio;
	pm->loop = loop;
	pm->now_ns = evloop_now_ns;
	pm->arm = (struct ev_call){ .fn = timer_arm, .arg = pm };
	pm->timer = loop ? evloop_add_timer(loop, timer_fired, pm) : NULL;
	pm->region = (struct io_region){ .name = "acpi-pm",
					 .size = ACPI_PM_SIZE,
					 .ops = &pm_ops,
					 .opaque = pm,
					 .lock = &pm->lock };
	acpi_pm_reset(pm);
	return loop && !pm->timer ? -errno : 0;
}

void acpi_pm_destroy(struct acpi_pm *pm)
{
	acpi_pm_set_base(pm, 0);
	if (pm->timer) {
		evloop_cancel(pm->loop, &pm->arm);
		evloop_del_timer(pm->timer);
	}
	irq_source_release(&pm->sci);
	pthread_mutex_destroy(&pm->lock);
}

void acpi_pm_set_base(struct acpi_pm *pm, uint16_t base)
{
	if (pm->region.mapped && pm->region.base == base)
		return;
	if (pm->region.mapped)
		bus_del(pm->pio, &pm->region);
	__atomic_store_n(&pm->region.base, base, __ATOMIC_RELAXED); /* see bus_explain() */
	/* If the guest chose an address that another device has, the registers are on no bus. */
	if (base)
		bus_add(pm->pio, &pm->region);
}

void acpi_pm_reset(struct acpi_pm *pm)
{
	scoped_lock(&pm->lock);
	pm->sts = 0;
	pm->en = 0;
	pm->cnt = 0;
	memset(pm->gpe_en, 0, sizeof(pm->gpe_en));
	pm->tmr_msb = tmr_read(pm) & TMR_MSB;
	sci_update(pm);
}

bool acpi_pm_power_button(struct acpi_pm *pm)
{
	scoped_lock(&pm->lock);
	pm->sts |= STS_PWRBTN;
	sci_update(pm);
	return pm->en & STS_PWRBTN;
}
