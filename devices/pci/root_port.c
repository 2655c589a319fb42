/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI Express root port (PCIe 4.0, 7.5.3). A passed-through function is an endpoint, and an
 * endpoint must be behind a port with a PCI Express capability. Windows refuses a device if the
 * link registers above it are not plausible (Code 10); Linux derives speed, payload size and ACS
 * from them. The ids are those of QEMU's generic root port (1b36:000c), for which no operating
 * system needs a special driver.
 *
 * Features that the port does not offer stay off in the endpoint: latency tolerance reporting,
 * 10-bit tags, ARI. AtomicOps are completed by the host's port, so they are offered only if that
 * one does (root_port_set_atomics()). Drivers of AMD GPUs refuse to work without them.
 *
 * Unless root_port_set_hotplug() is called, the slot is not hotplug capable, so OVMF reserves no
 * address space for later devices.
 *
 * Threads: configuration space only, under the root lock.
 */
#include "devices/pci/root_port.h"

#include <errno.h>

#include "vmm/core/cleanup.h"

#define ATOMIC_COMP                                                      \
	(PCI_EXP_DEVCAP2_ATOMIC_COMP32 | PCI_EXP_DEVCAP2_ATOMIC_COMP64 | \
	 PCI_EXP_DEVCAP2_ATOMIC_COMP128)
#define PCI_CAP_MSI_64_LEN 14	/* PCI 3.0, 6.8.1, without masking */
#define PCIE_CAP_LEN	   0x3c /* version 2, root port: all registers to Slot Status 2 */

static struct root_port *port_of(struct pci_device *dev)
{
	return container_of(dev, struct root_port, dev);
}

static void set_link_state(struct root_port *port)
{
	uint8_t *cfg = port->dev.cfg + port->pcie_cap;
	uint16_t link = pci_get16(cfg, PCI_EXP_LNKSTA) & (uint16_t)~PCI_EXP_LNKSTA_DLLLA;
	uint16_t slot = pci_get16(cfg, PCI_EXP_SLTSTA) & (uint16_t)~PCI_EXP_SLTSTA_PDS;
	bool present = false;

	for (unsigned i = 0; i < 8 && !port->hidden; i++)
		present |= port->dev.secondary->dev[i] != NULL;
	pci_set16(cfg, PCI_EXP_LNKSTA, link | (present ? PCI_EXP_LNKSTA_DLLLA : 0));
	pci_set16(cfg, PCI_EXP_SLTSTA, slot | (present ? PCI_EXP_SLTSTA_PDS : 0));
}

/* The link is always trained, so "retrain link" (bit 5) reads as 0 at once. */
static void port_cfg_written(struct pci_device *dev, unsigned off, unsigned size)
{
	struct root_port *port = port_of(dev);
	uint8_t *lnkctl = dev->cfg + port->pcie_cap + PCI_EXP_LNKCTL;

	if (range_overlaps(off, size, port->pcie_cap + PCI_EXP_LNKCTL, 2))
		*lnkctl &= (uint8_t)~PCI_EXP_LNKCTL_RL;
	if (!port->hotplug)
		return;
	if (range_overlaps(off, size, port->pcie_cap + PCI_EXP_SLTCTL, 4))
		root_port_slot_written(port);
	/* A message that could not be sent is owed. */
	else if (range_overlaps(off, size, PCI_COMMAND, 2) ||
		 range_overlaps(off, size, port->msi_cap + PCI_MSI_FLAGS, 2))
		root_port_interrupt(port, port->raised);
}

static void port_reset(struct pci_device *dev)
{
	struct root_port *port = port_of(dev);
	uint8_t *cfg = dev->cfg + port->pcie_cap;

	/* Defaults that are not 0: read requests of 512 bytes; the maximal link speed as target. */
	pci_set16(cfg, PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_READRQ_512B);
	pci_set16(cfg, PCI_EXP_LNKCTL2, pci_get32(cfg, PCI_EXP_LNKCAP) & PCI_EXP_LNKCAP_SLS);
	port->raised = port->told = false;
	set_link_state(port);
	if (port->hotplug)
		root_port_slot_reset(port);
}

static const struct pci_device_ops port_ops = {
	.cfg_written = port_cfg_written,
	.reset = port_reset,
};

static void link_registers(uint8_t *cfg, uint8_t *wmask, unsigned slot, unsigned speed,
			   unsigned width)
{
	pci_set32(cfg, PCI_EXP_LNKCAP, speed | width << 4 | PCI_EXP_LNKCAP_DLLLARC | slot << 24);
	pci_set16(cfg, PCI_EXP_LNKSTA, (uint16_t)(speed | width << PCI_EXP_LNKSTA_NLW_SHIFT));
	pci_set16(wmask, PCI_EXP_LNKCTL,
		  PCI_EXP_LNKCTL_ASPMC | PCI_EXP_LNKCTL_RCB | PCI_EXP_LNKCTL_LD |
			  PCI_EXP_LNKCTL_RL | PCI_EXP_LNKCTL_CCC | PCI_EXP_LNKCTL_ES);
	/* The vector of supported speeds: all up to that of the link. */
	pci_set32(cfg, PCI_EXP_LNKCAP2, ((1u << speed) - 1) << 1);
	pci_set16(wmask, PCI_EXP_LNKCTL2, PCI_EXP_LNKCTL2_TLS);
}

static void device_registers(uint8_t *cfg, uint8_t *wmask, uint8_t *w1c)
{
	pci_set32(cfg, PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_RBER | 1 /* 256 byte payload */);
	pci_set16(wmask, PCI_EXP_DEVCTL,
		  PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE | PCI_EXP_DEVCTL_FERE |
			  PCI_EXP_DEVCTL_URRE | PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_PAYLOAD |
			  PCI_EXP_DEVCTL_NOSNOOP_EN | PCI_EXP_DEVCTL_READRQ);
	pci_set16(w1c, PCI_EXP_DEVSTA,
		  PCI_EXP_DEVSTA_CED | PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_FED |
			  PCI_EXP_DEVSTA_URD);
	pci_set32(cfg, PCI_EXP_DEVCAP2, PCI_EXP_DEVCAP2_COMP_TMOUT_DIS);
	pci_set16(wmask, PCI_EXP_DEVCTL2, 0xf | PCI_EXP_DEVCTL2_COMP_TMOUT_DIS);
}

static void slot_and_root_registers(uint8_t *cfg, uint8_t *wmask, uint8_t *w1c, unsigned slot)
{
	pci_set32(cfg, PCI_EXP_SLTCAP, slot << 19 | PCI_EXP_SLTCAP_NCCS);
	pci_set16(w1c, PCI_EXP_SLTSTA, PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_DLLSC);
	pci_set16(wmask, PCI_EXP_SLTCTL, PCI_EXP_SLTCTL_PDCE | PCI_EXP_SLTCTL_DLLSCE);
	pci_set16(wmask, PCI_EXP_RTCTL,
		  PCI_EXP_RTCTL_SECEE | PCI_EXP_RTCTL_SENFEE | PCI_EXP_RTCTL_SEFEE |
			  PCI_EXP_RTCTL_PMEIE);
	pci_set32(w1c, PCI_EXP_RTSTA, PCI_EXP_RTSTA_PME);
}

static int add_pcie_cap(struct root_port *port, unsigned slot, unsigned speed, unsigned width)
{
	struct pci_device *dev = &port->dev;
	int cap = pci_add_cap(dev, PCI_CAP_ID_EXP, PCIE_CAP_LEN);
	uint8_t *cfg, *wmask, *w1c;

	if (cap < 0)
		return cap;
	port->pcie_cap = (unsigned)cap;
	cfg = dev->cfg + cap;
	wmask = dev->wmask + cap;
	w1c = dev->w1cmask + cap;
	pci_set16(cfg, PCI_EXP_FLAGS, 2 | PCI_EXP_TYPE_ROOT_PORT << 4 | PCI_EXP_FLAGS_SLOT);
	device_registers(cfg, wmask, w1c);
	link_registers(cfg, wmask, slot & 0xff, speed, width);
	slot_and_root_registers(cfg, wmask, w1c, slot);
	return 0;
}

/* MSI with one message and a 64-bit address. Operating systems prefer it to INTA, which the port
 * shares with the devices whose pins are routed to the same line. */
static int add_msi_cap(struct root_port *port)
{
	struct pci_device *dev = &port->dev;
	int cap = pci_add_cap(dev, PCI_CAP_ID_MSI, PCI_CAP_MSI_64_LEN);

	if (cap < 0)
		return cap;
	port->msi_cap = (unsigned)cap;
	pci_set16(dev->cfg + cap, PCI_MSI_FLAGS, PCI_MSI_FLAGS_64BIT);
	pci_set16(dev->wmask + cap, PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
	pci_set32(dev->wmask + cap, PCI_MSI_ADDRESS_LO, 0xfffffffc);
	pci_set32(dev->wmask + cap, PCI_MSI_ADDRESS_HI, 0xffffffff);
	pci_set16(dev->wmask + cap, PCI_MSI_DATA_64, 0xffff);
	return 0;
}

/* D0 and D3hot without PME: Linux puts an idle port to sleep only if the port can wake itself. */
static int add_pm_cap(struct pci_device *dev)
{
	int cap = pci_add_cap(dev, PCI_CAP_ID_PM, PCI_PM_SIZEOF);

	if (cap < 0)
		return cap;
	pci_set16(dev->cfg + cap, PCI_PM_PMC, 3);
	pci_set16(dev->cfg + cap, PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET);
	pci_set16(dev->wmask + cap, PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK);
	return 0;
}

static int add_ssid_cap(struct pci_device *dev)
{
	int cap = pci_add_cap(dev, PCI_CAP_ID_SSVID, 8);

	if (cap < 0)
		return cap;
	pci_set32(dev->cfg + cap, 4, 0x11001af4);
	return 0;
}

int root_port_init(struct root_port *port, struct pci_root *root, uint8_t devfn, unsigned slot,
		   unsigned speed, unsigned width, struct error *err)
{
	struct pci_device *dev = &port->dev;
	int ret;

	*port = (struct root_port){ 0 };
	pci_device_init(dev, "root-port", &port_ops, 0x1b36, 0x000c, 0x060400, 0);
	if (slot > 0x1fff || speed > 5 || width > 32)
		return error_set(err, -EINVAL, "root port %u: slot, speed or width out of range",
				 slot);
	ret = pci_bridge_init(dev);
	if (!ret)
		ret = add_pcie_cap(port, slot, speed ? speed : 4, width ? width : 16);
	if (!ret)
		ret = add_msi_cap(port);
	if (!ret)
		ret = add_pm_cap(dev);
	if (!ret)
		ret = add_ssid_cap(dev);
	if (ret)
		ret = error_set(err, ret, "root port %u: out of memory", slot);
	else
		ret = pci_add(root, &root->bus, dev, devfn, err);
	if (ret) {
		pci_device_destroy(dev);
		return ret;
	}
	port_reset(dev);
	/* For guests that do not use MSI. Operating systems complain about ports without an
	 * interrupt. */
	ret = pci_add_intx(dev, 1);
	if (ret) {
		root_port_destroy(port);
		return error_set(err, ret, "root port %u: no interrupt line is free", slot);
	}
	return 0;
}

void root_port_set_atomics(struct root_port *port, uint32_t bits)
{
	uint8_t *cfg = port->dev.cfg + port->pcie_cap;
	uint32_t cap = pci_get32(cfg, PCI_EXP_DEVCAP2);

	pci_set32(cfg, PCI_EXP_DEVCAP2, (cap & ~ATOMIC_COMP) | (bits & ATOMIC_COMP));
}

void root_port_link_up(struct root_port *port)
{
	scoped_lock(&port->dev.root->lock);
	set_link_state(port);
	if (port->hotplug)
		root_port_slot_reset(port);
}

void root_port_destroy(struct root_port *port)
{
	if (port->msi)
		msi_route_free(port->msi);
	port->msi = NULL;
	pci_remove(&port->dev);
	pci_device_destroy(&port->dev);
}
