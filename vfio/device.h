/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One passed-through PCI function: what the guest sees of it, and how it reaches the hardware.
 *
 * Threads: a device that is not plugged belongs to one thread, which may be any. Plug and unplug
 * are the main loop's; so are quiesce and after_reset of a plugged device, with no vCPU running
 * (all four take pci_root->lock themselves: do not hold it). Once plugged, configuration accesses
 * come on vCPU threads under pci_root->lock and trapped BAR accesses under the device's lock.
 * on_request and on_error are called on the main loop.
 */
#ifndef VFIO_DEVICE_H
#define VFIO_DEVICE_H

#include "devices/pci/pci.h"

struct iommu;
struct vfio_kernel;
struct vfio_pci;

#define VFIO_NO_CLIQUE 16

/* What the user asks for, of one device: the keys of --vfio fill it. */
struct vfio_pci_config {
	const char *romfile; /* NULL: the device's own ROM */
	bool rombar;	     /* the guest sees an expansion ROM */
	bool x_vga;	     /* legacy VGA ranges through the device's VGA region */
	bool mmap;	     /* false: every BAR access is trapped (slow; for debugging) */
	uint64_t clique;     /* NVIDIA's peer-to-peer clique, 0 to 15; VFIO_NO_CLIQUE */
};

/* What the device has around it. */
struct vfio_pci_env {
	struct iommu *iommu; /* NULL: never p2p */
	bool p2p;	     /* BARs are mapped into the IOMMU for the other devices of the VM */
	/* The host wants the device back; the device reported an uncorrectable error. May be NULL.
	 * name: "0000:01:00.0". */
	void (*on_request)(void *opaque, const char *name);
	void (*on_error)(void *opaque, const char *name);
	void *opaque;
};

/* Takes over the kernel device: it is closed by vfio_pci_free(), and by a vfio_pci_new() that
 * fails. The configuration stays the caller's, in place until vfio_pci_free(); env is copied. NULL
 * with *err set: bridge, no VGA region, broken romfile, ... */
struct vfio_pci *vfio_pci_new(struct vfio_kernel *, const struct vfio_pci_config *,
			      const struct vfio_pci_env *env, struct error *);
/* On the bus, with INTx on. The device must be in its reset state (vfio_pci_after_reset()). */
int vfio_pci_plug(struct vfio_pci *, struct pci_root *, struct pci_bus *, uint8_t devfn,
		  struct error *);
/* Before a reset of the hardware: interrupts off, BARs unmapped, D0, no decoding, no DMA. */
void vfio_pci_quiesce(struct vfio_pci *);
/* After it: the guest's view starts over (BARs zero, command 0), INTx is back when plugged. */
void vfio_pci_after_reset(struct vfio_pci *);
/* Takes it off the bus when it is on one; the guest may be running, and from now on reads all ones.
 * Then nothing of the guest or of KVM refers to the device, its interrupts are off, and so is its
 * DMA. Without effect on one that is on no bus. */
void vfio_pci_unplug(struct vfio_pci *);
/* Unplugs it, and closes it. On one that is unplugged any thread may call it: it may take long. */
void vfio_pci_free(struct vfio_pci *);
/* The BARs are mapped into the IOMMU from now on, or not any more. Main loop. */
void vfio_pci_set_p2p(struct vfio_pci *, bool);

struct vfio_kernel *vfio_pci_kernel(const struct vfio_pci *);
/* VFIO_DEVICE_RESET does something (VFIO_DEVICE_FLAGS_RESET: FLR, AF FLR, PM, ...). */
bool vfio_pci_has_reset(const struct vfio_pci *);
/* A function-level reset by itself: PCI Express or Advanced Features capability. */
bool vfio_pci_has_flr(const struct vfio_pci *);
/* Speed (1..5) and width as trained, for the root port above; 0 when the device does not say. */
void vfio_pci_link(const struct vfio_pci *, unsigned *speed, unsigned *width);

/* The AtomicOps that the host's root port completes for the device, as PCI_EXP_DEVCAP2_ATOMIC_COMP
 * bits; 0 when VFIO does not say (before Linux 6.6). */
uint32_t vfio_pci_atomics(const struct vfio_pci *);

/* For --stats and tests. */
struct vfio_pci_counts {
	uint64_t bar_maps, bar_unmaps; /* memslots added and removed */
	uint64_t trapped;	       /* BAR accesses that came to our process */
	uint64_t set_irqs;	       /* VFIO_DEVICE_SET_IRQS calls */
	uint64_t masks, unmasks;       /* MSI-X vectors masked and unmasked by the guest while on */
};
struct vfio_pci_counts vfio_pci_counts(const struct vfio_pci *);

#endif
