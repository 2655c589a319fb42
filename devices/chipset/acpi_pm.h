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
	uint32_t tmr_msb; /* bit 23 of the timer when TMR_STS was last updated */
	struct ev_timer *timer;
	struct ev_call arm;	  /* sets the timer, on the main loop */
	uint64_t (*now_ns)(void); /* CLOCK_MONOTONIC; tests replace it */
	/* The guest turned itself off (S5). Called on a vCPU thread under pm->lock; must not
	 * wait. */
	void (*power_off)(void *);
	void *power_off_arg;
};

/* loop may be NULL; then the overflow interrupt of the timer comes late. The caller sets power_off
 * before. The registers are not on the bus until acpi_pm_set_base(). */
int acpi_pm_init(struct acpi_pm *, struct bus *pio, struct irq_table *, struct evloop *loop);
void acpi_pm_destroy(struct acpi_pm *);
/* base 0 takes the registers off the bus. Any thread, but not from a callback of this device. */
void acpi_pm_set_base(struct acpi_pm *, uint16_t base);
void acpi_pm_reset(struct acpi_pm *); /* called when the LPC bridge is reset */
/* Presses the power button: sets PWRBTN_STS, and raises the SCI if the guest enabled it. Any
 * thread. False: the guest has not enabled the power button, so nothing will happen. */
bool acpi_pm_power_button(struct acpi_pm *);

#endif
