/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ACPI power management registers, by accesses of any size, while time passes and the power
 * button is pressed. After a write the interrupt's line is what the registers say; the machine goes
 * off only when the guest asked for it.
 *
 * Input: records of 4 bytes: what, offset, value (2).
 */
#include <stdint.h>
#include <stdlib.h>

#include "devices/chipset/acpi_pm.h"
#include "tests/unit/fake_root.h"
#include "vmm/core/evloop.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define BASE	    0x600u
#define SLP_EN	    0x20u /* of the high byte */
#define SOURCES	    0x0721u
#define MAX_RECORDS 400u

struct run {
	struct fake_root fake;
	struct acpi_pm pm;
	struct ev_call stop;
	bool asked, off;
};

static uint64_t clock_ns;

static uint64_t now(void)
{
	return clock_ns;
}

static void power_off(void *arg)
{
	((struct run *)arg)->off = true;
}

static void stop(void *loop)
{
	evloop_stop(loop, 0);
}

static void step(struct run *r, const uint8_t *s)
{
	struct pci_root *root = &r->fake.root;
	unsigned size = 1u << (s[0] >> 4 & 3), at = BASE + s[1] % (ACPI_PM_SIZE + 8);
	uint64_t val = (s[2] | (uint64_t)s[3] << 8) * 0x0001000100010001ull;

	switch (s[0] & 7) {
	case 0:
		acpi_pm_power_button(&r->pm);
		break;
	case 1:
		clock_ns += (s[2] | (uint64_t)s[3] << 8) << 18;
		break;
	case 2:
		evloop_call(root->loop, &r->stop);
		evloop_run(root->loop);
		break;
	case 3:
		acpi_pm_reset(&r->pm);
		break;
	case 4:
		bus_read(root->pio, at, size);
		break;
	default:
		r->asked |= (s[2] | s[3]) & SLP_EN;
		bus_write(root->pio, at, size, val);
	}
}

/* A read may notice that the timer overflowed; the interrupt follows from the main loop, or with a
 * write to a register. */
static void check(const struct run *r, const uint8_t *s)
{
	const struct acpi_pm *pm = &r->pm;
	bool level = pm->sts & pm->en & SOURCES, line = r->fake.line[IRQ_GSI_SCI];
	bool wrote = (s[0] & 7) > 4 &&
		     s[1] % (ACPI_PM_SIZE + 8) + (1u << (s[0] >> 4 & 3)) <= ACPI_PM_SIZE;

	if ((line && !level) || (wrote && line != level) || (r->off && !r->asked))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct run r;

	r.asked = r.off = false;
	fake_root_init(&r.fake);
	r.fake.root.loop = evloop_new();
	clock_ns = 0;
	r.pm = (struct acpi_pm){ .power_off = power_off, .power_off_arg = &r };
	r.stop = (struct ev_call){ .fn = stop, .arg = r.fake.root.loop };
	if (!r.fake.root.loop ||
	    acpi_pm_init(&r.pm, r.fake.root.pio, r.fake.root.irq, r.fake.root.loop))
		abort();
	r.pm.now_ns = now;
	acpi_pm_reset(&r.pm);
	acpi_pm_set_base(&r.pm, BASE);
	for (size_t i = 0; i + 4 <= len && i < 4 * MAX_RECORDS; i += 4) {
		step(&r, data + i);
		check(&r, data + i);
	}
	acpi_pm_destroy(&r.pm);
	evloop_free(r.fake.root.loop);
	fake_root_free(&r.fake);
	return 0;
}
