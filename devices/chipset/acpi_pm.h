/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACPI fixed hardware (ACPI 6.5, 4.8): PM1a event and control, the PM timer, an empty GPE0 block
 * and the SCI, in the 128 I/O ports at ICH9's PMBASE.
 */
#ifndef DEVICES_CHIPSET_ACPI_PM_H
#define DEVICES_CHIPSET_ACPI_PM_H

#include "vmm/core/bus.h"
#include "vmm/core/evloop.h"
#include "vmm/core/irq.h"

struct ev_timer;

#define ACPI_PM_HZ   3579545u
#define ACPI_PM_SIZE 128

/* Offsets from PMBASE, for the FADT. */
#define ACPI_PM1_EVT   0x00
#define ACPI_PM1_CNT   0x04
#define ACPI_PM_TMR    0x08
#define ACPI_GPE0      0x20
#define ACPI_GPE0_SIZE 16

struct acpi_pm {
	struct bus *pio;
	struct evloop *loop;
	struct io_region region;
	pthread_mutex_t lock;
	struct irq_source sci;
	uint16_t sts, en, cnt;
	uint8_t gpe_en[ACPI_GPE0_SIZE / 2];
	uint32_t tmr_msb; /* what bit 23 was when TMR_STS was last looked at */
	struct ev_timer *timer;
	struct ev_call arm;	  /* sets it, on the main loop */
	uint64_t (*now_ns)(void); /* CLOCK_MONOTONIC; tests put their own */
	/* The guest turned itself off (S5). On a vCPU thread, under pm->lock; returns at once. */
	void (*power_off)(void *);
	void *power_off_arg;
};

/* loop may be NULL (the timer's overflow interrupt then comes late). Fill in power_off before. The
 * registers are not on the bus until acpi_pm_set_base(). */
int acpi_pm_init(struct acpi_pm *, struct bus *pio, struct irq_table *, struct evloop *loop);
void acpi_pm_destroy(struct acpi_pm *);
/* base 0: off the bus. Any thread that is not inside this device's callback. */
void acpi_pm_set_base(struct acpi_pm *, uint16_t base);
void acpi_pm_reset(struct acpi_pm *); /* the LPC bridge calls it when it is reset */
/* Presses the power button: PWRBTN_STS, and the SCI when the guest enabled it. Any thread. False:
 * the guest does not listen (ACPI not up), so nothing will happen. */
bool acpi_pm_power_button(struct acpi_pm *);

#endif
