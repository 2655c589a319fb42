/* SPDX-License-Identifier: BSD-2-Clause */
/* Configuration space of a passed-through function. Root lock held, once plugged. */
#ifndef VFIO_CONFIG_H
#define VFIO_CONFIG_H

#include "vfio/vfio_pci.h"

/* Reads the device's configuration space, decides what is emulated. The raw BAR dwords are left in
 * dev.cfg for vfio_bars_init(). */
int vfio_config_init(struct vfio_pci *, struct error *);
/* pci_device_ops. Aligned accesses within PCI_CFG_SIZE. */
uint32_t vfio_config_read(struct pci_device *, unsigned off, unsigned size);
void vfio_config_write(struct pci_device *, unsigned off, unsigned size, uint32_t val);
/* Adds a capability of len bytes at the end of the guest's list; its registers are read-only.
 * -EBUSY: a capability that the guest sees reaches into [at, at + len). */
int vfio_config_add_cap(struct vfio_pci *, unsigned at, const uint8_t *cap, unsigned len);
/* Puts the guest's registers to their state after a reset; the hardware's command register, too. */
void vfio_config_reset(struct vfio_pci *);
/* Gives the kernel the command register: the guest's, with memory decoding left on while a BAR is
 * live. Once per change. */
void vfio_config_push_command(struct vfio_pci *);
/* D0, no decoding, no bus mastering: before a reset (PCI Express 4.0, 6.6.2). */
void vfio_config_silence(struct vfio_pci *);

#endif
