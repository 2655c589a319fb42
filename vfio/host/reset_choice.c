/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's reset of a function is best, where it has a method that really resets the function
 * (FLR, or one of the device's own). A graphics card usually has none; it is reset with everything
 * behind its port, which the kernel allows when all of that is ours. What remains is power
 * management (D3hot and back), which some devices take for a reset and many do not.
 *
 * The kernel lists its methods in the order in which it tries them, so the first one that works
 * says which kind its reset is. It lists "bus" by what it knew when it found the device, often
 * before its neighbours; that method works for a device that is alone on its bus, and for no other.
 */
#include "vfio/host/reset_choice.h"

#include <linux/pci_regs.h>
#include <stdio.h>
#include <string.h>

#include "vmm/core/addr.h"

/* Whether the list begins with this method. */
static bool method_first(const char *methods, const char *name)
{
	size_t n = strlen(name);

	return strcspn(methods, " ") == n && strncmp(methods, name, n) == 0;
}

/* Of the list, the methods from the first one that works. */
static const char *methods_working(const struct vfio_reset_facts *f)
{
	bool shared = f->bus != VFIO_BUS_UNKNOWN && f->bus != VFIO_BUS_ALONE;
	const char *m = f->methods ? f->methods : "";

	return shared && method_first(m, "bus") ? m + strcspn(m, " ") + strspn(m + 3, " ") : m;
}

static bool kernel_uses_pm(const struct vfio_reset_facts *f)
{
	return f->methods ? method_first(methods_working(f), "pm") : !f->flr;
}

bool vfio_reset_needs_bus(const struct vfio_reset_facts *f)
{
	/* "bus" is followed by others only when an administrator wrote the list. */
	return !f->function || kernel_uses_pm(f) ||
	       (f->methods && strncmp(f->methods, "bus ", 4) == 0);
}

struct vfio_reset_choice vfio_reset_choose(const struct vfio_reset_facts *f)
{
	struct vfio_reset_choice c = { .how = VFIO_RESET_NONE };
	const char *m = methods_working(f);

	if (f->function && !kernel_uses_pm(f)) {
		c.how = VFIO_RESET_FUNCTION;
		snprintf(c.method, sizeof(c.method), "%.*s", (int)strcspn(m, " "), m);
	} else if (f->bus == VFIO_BUS_ALONE || f->bus == VFIO_BUS_OURS) {
		c.how = VFIO_RESET_BUS;
	} else if (f->function) {
		c.how = VFIO_RESET_PM;
	}
	return c;
}

void vfio_reset_why_no_bus(const struct vfio_reset_facts *f, char *buf, size_t size)
{
	if (f->bus == VFIO_BUS_FOREIGN)
		snprintf(buf, size, "a bus reset would hit %s, which is not given to this guest",
			 f->foreign);
	else if (f->bus == VFIO_BUS_IN_USE)
		snprintf(buf, size, "a bus reset would hit %s, which the guest uses", f->foreign);
	else if (f->bus == VFIO_BUS_HOST)
		snprintf(buf, size, "a bus reset would hit devices that the host uses");
	else
		snprintf(buf, size, "no port above the device can reset it");
}

static bool cap_has_flr(const uint8_t *cfg, size_t n, unsigned cap)
{
	if (cfg[cap] == PCI_CAP_ID_EXP && range_ok(cap + PCI_EXP_DEVCAP, 4, n))
		return cfg[cap + PCI_EXP_DEVCAP + 3] & PCI_EXP_DEVCAP_FLR >> 24;
	if (cfg[cap] == PCI_CAP_ID_AF && range_ok(cap, PCI_CAP_AF_SIZEOF, n))
		return (cfg[cap + PCI_AF_CAP] & (PCI_AF_CAP_TP | PCI_AF_CAP_FLR)) ==
		       (PCI_AF_CAP_TP | PCI_AF_CAP_FLR);
	return false;
}

bool vfio_reset_has_flr(const uint8_t *cfg, size_t n)
{
	unsigned cap, rounds = 0;

	if (n <= PCI_CAPABILITY_LIST || !(cfg[PCI_STATUS] & PCI_STATUS_CAP_LIST))
		return false;
	/* A chain that goes round would never end; 48 capabilities fill the space. */
	for (cap = cfg[PCI_CAPABILITY_LIST] & ~3u; cap && range_ok(cap, 2, n) && rounds++ < 48;
	     cap = cfg[cap + PCI_CAP_LIST_NEXT] & ~3u)
		if (cap_has_flr(cfg, n, cap))
			return true;
	return false;
}
