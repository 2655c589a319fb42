/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The port's interrupt, and a hot-pluggable slot (PCIe 5.0, 6.7.3 and 7.5.3.9 to 7.5.3.11), as
 * operating systems drive it without help from firmware.
 *
 * Adding needs no button: the slot shows presence and link, and both events. Drivers take that as
 * the order to switch it on. If the button were pressed as well, a driver that is just starting
 * could read the press as the order to remove the device again.
 *
 * Removing needs the button. The driver lets the power indicator blink for five seconds, in which a
 * second press would cancel the removal, lets go of the functions, and switches the power and then
 * the indicator off. When both are off, the functions leave. The same writes come when somebody
 * switches the slot off inside of the guest.
 *
 * There is no "command completed": a write to Slot Control takes effect at once (NCCS), so drivers
 * do not wait for it.
 *
 * While the power is off, nothing behind the port answers. An empty slot has its power off after a
 * reset, and a full one on.
 *
 * Threads: registers and flags belong to the root lock.
 */
#include <errno.h>

#include "devices/pci/root_port.h"
#include "vmm/core/cleanup.h"

#define SLOT_EVENTS (PCI_EXP_SLTSTA_ABP | PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_DLLSC)
#define SLOT_CONTROL                                                                            \
	(PCI_EXP_SLTCTL_ABPE | PCI_EXP_SLTCTL_PDCE | PCI_EXP_SLTCTL_HPIE | PCI_EXP_SLTCTL_PIC | \
	 PCI_EXP_SLTCTL_PCC | PCI_EXP_SLTCTL_DLLSCE)

/* How much a bridge wants to have reserved, for OVMF (OvmfPkg/Include/IndustryStandard). */
#define RESERVE_LEN    0x20
#define RESERVE_TYPE   1
#define RESERVE_BUS    4
#define RESERVE_IO     8
#define RESERVE_MEM32  16
#define RESERVE_PREF32 20
#define RESERVE_PREF64 24

static void send_msi(struct root_port *port)
{
	const uint8_t *c = port->dev.cfg + port->msi_cap;
	uint64_t addr = (uint64_t)pci_get32(c, PCI_MSI_ADDRESS_HI) << 32 |
			pci_get32(c, PCI_MSI_ADDRESS_LO);

	if (!port->msi)
		port->msi = msi_route_new(port->dev.root->irq);
	if (!port->msi)
		return;
	msi_route_set(port->msi, addr, pci_get16(c, PCI_MSI_DATA_64), pci_rid(&port->dev));
	msi_route_signal(port->msi);
}

/* Without bus mastering the guest keeps the port from writing to memory. */
void root_port_interrupt(struct root_port *port, bool level)
{
	bool msi = pci_get16(port->dev.cfg, port->msi_cap + PCI_MSI_FLAGS) & PCI_MSI_FLAGS_ENABLE;
	bool tell = level && msi && pci_bus_master(&port->dev), begins = tell && !port->told;

	port->raised = level;
	port->told = tell;
	pci_set_intx(&port->dev, level && !msi);
	if (begins)
		send_msi(port);
}

static uint16_t slot_get(const struct root_port *port, unsigned reg)
{
	return pci_get16(port->dev.cfg, port->pcie_cap + reg);
}

static void slot_set(struct root_port *port, unsigned reg, uint16_t value)
{
	pci_set16(port->dev.cfg, port->pcie_cap + reg, value);
}

static bool slot_is_off(uint16_t control)
{
	return control & PCI_EXP_SLTCTL_PCC &&
	       (control & PCI_EXP_SLTCTL_PIC) == PCI_EXP_SLTCTL_PWR_IND_OFF;
}

static bool slot_is_full(const struct root_port *port)
{
	return !port->hidden && pci_bus_from(port->dev.secondary, 0);
}

/* 6.7.3.4: one interrupt when the first enabled event comes, or when an event that is there is
 * enabled. */
static void slot_interrupt(struct root_port *port)
{
	uint16_t control = slot_get(port, PCI_EXP_SLTCTL), status = slot_get(port, PCI_EXP_SLTSTA);
	/* The first two events have the bits of their enable bits. */
	bool wanted = control & status & (PCI_EXP_SLTSTA_ABP | PCI_EXP_SLTSTA_PDC) ||
		      (control & PCI_EXP_SLTCTL_DLLSCE && status & PCI_EXP_SLTSTA_DLLSC);

	root_port_interrupt(port, wanted && control & PCI_EXP_SLTCTL_HPIE);
}

static void slot_power(struct root_port *port)
{
	bool off = port->hidden || slot_get(port, PCI_EXP_SLTCTL) & PCI_EXP_SLTCTL_PCC;

	if (port->dev.secondary->off == off)
		return;
	port->dev.secondary->off = off;
	pci_update_mappings(port->dev.root);
}

/* The state that the guest reads becomes that of the slot; a change is an event. */
static void slot_follow(struct root_port *port)
{
	uint16_t status = slot_get(port, PCI_EXP_SLTSTA), link = slot_get(port, PCI_EXP_LNKSTA);
	bool full = slot_is_full(port);

	slot_power(port);
	if (full != !!(status & PCI_EXP_SLTSTA_PDS)) {
		status ^= PCI_EXP_SLTSTA_PDS;
		link &= (uint16_t)~PCI_EXP_LNKSTA_DLLLA;
		slot_set(port, PCI_EXP_LNKSTA, link | (full ? PCI_EXP_LNKSTA_DLLLA : 0));
		slot_set(port, PCI_EXP_SLTSTA, status | PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_DLLSC);
	}
	slot_interrupt(port);
}

static void slot_release(struct root_port *port)
{
	port->asked = port->added = false;
	port->hidden = true;
	port->hot.news(port->hot.opaque, ROOT_PORT_RELEASED);
}

void root_port_slot_written(struct root_port *port)
{
	uint16_t old = port->control, now = slot_get(port, PCI_EXP_SLTCTL);
	bool blinked = (old & PCI_EXP_SLTCTL_PIC) == PCI_EXP_SLTCTL_PWR_IND_BLINK;
	bool on = !(now & PCI_EXP_SLTCTL_PCC) &&
		  (now & PCI_EXP_SLTCTL_PIC) == PCI_EXP_SLTCTL_PWR_IND_ON;

	port->control = now;
	if (slot_is_full(port) && slot_is_off(now) && !slot_is_off(old)) {
		slot_release(port);
	} else if (slot_is_full(port) && on && blinked && port->asked) {
		port->asked = false;
		port->hot.news(port->hot.opaque, ROOT_PORT_KEPT);
	} else if (slot_is_full(port) && on && port->added) {
		port->added = false;
		port->hot.news(port->hot.opaque, ROOT_PORT_TAKEN);
	}
	slot_follow(port);
}

void root_port_slot_reset(struct root_port *port)
{
	bool full = slot_is_full(port);

	port->asked = port->added = false;
	port->control = full ? PCI_EXP_SLTCTL_PWR_IND_ON
			     : PCI_EXP_SLTCTL_PWR_IND_OFF | PCI_EXP_SLTCTL_PCC;
	slot_set(port, PCI_EXP_SLTCTL, port->control);
	port->dev.secondary->off = port->hidden || !full;
}

void root_port_hide(struct root_port *port, bool hidden)
{
	scoped_lock(&port->dev.root->lock);
	if (hidden)
		port->asked = false;
	port->hidden = hidden;
	port->added = slot_is_full(port);
	slot_follow(port);
}

int root_port_ask(struct root_port *port, struct error *err)
{
	scoped_lock(&port->dev.root->lock);
	uint16_t control = slot_get(port, PCI_EXP_SLTCTL);

	if (!slot_is_full(port))
		return error_set(err, -ENODEV, "the slot is empty");
	if ((control & PCI_EXP_SLTCTL_PIC) == PCI_EXP_SLTCTL_PWR_IND_BLINK)
		return error_set(err, -EBUSY, "guest is busy (power indicator blinking)");
	if (slot_is_off(control)) {
		slot_release(port);
	} else {
		port->asked = true;
		slot_set(port, PCI_EXP_SLTSTA, slot_get(port, PCI_EXP_SLTSTA) | PCI_EXP_SLTSTA_ABP);
	}
	slot_follow(port);
	return 0;
}

void root_port_forget(struct root_port *port)
{
	uint16_t status;

	scoped_lock(&port->dev.root->lock);
	port->asked = false;
	status = slot_get(port, PCI_EXP_SLTSTA);
	slot_set(port, PCI_EXP_SLTSTA, status & (uint16_t)~PCI_EXP_SLTSTA_ABP);
	slot_interrupt(port);
}

static int add_reservation(struct root_port *port)
{
	int cap = pci_add_cap(&port->dev, PCI_CAP_ID_VNDR, RESERVE_LEN);
	uint8_t *cfg;

	if (cap < 0)
		return cap;
	cfg = port->dev.cfg + cap;
	cfg[2] = RESERVE_LEN;
	cfg[3] = RESERVE_TYPE;
	/* All ones: no opinion. Devices with I/O ports are not added. */
	pci_set32(cfg, RESERVE_BUS, UINT32_MAX);
	pci_set32(cfg, RESERVE_IO, 0);
	pci_set32(cfg, RESERVE_IO + 4, 0);
	pci_set32(cfg, RESERVE_MEM32, (uint32_t)port->hot.mem32);
	pci_set32(cfg, RESERVE_PREF32, UINT32_MAX);
	pci_set32(cfg, RESERVE_PREF64, (uint32_t)port->hot.mem64);
	pci_set32(cfg, RESERVE_PREF64 + 4, (uint32_t)(port->hot.mem64 >> 32));
	return 0;
}

int root_port_set_hotplug(struct root_port *port, const struct root_port_hotplug *hot)
{
	uint8_t *cfg = port->dev.cfg + port->pcie_cap;
	int ret;

	port->hot = *hot;
	ret = add_reservation(port);
	if (ret < 0)
		return ret;
	scoped_lock(&port->dev.root->lock);
	port->hotplug = true;
	pci_set32(cfg, PCI_EXP_SLTCAP,
		  pci_get32(cfg, PCI_EXP_SLTCAP) | PCI_EXP_SLTCAP_ABP | PCI_EXP_SLTCAP_PCP |
			  PCI_EXP_SLTCAP_PIP | PCI_EXP_SLTCAP_HPS | PCI_EXP_SLTCAP_HPC);
	pci_set16(port->dev.wmask + port->pcie_cap, PCI_EXP_SLTCTL, SLOT_CONTROL);
	pci_set16(port->dev.w1cmask + port->pcie_cap, PCI_EXP_SLTSTA, SLOT_EVENTS);
	root_port_slot_reset(port);
	return 0;
}
