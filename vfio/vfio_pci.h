/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * struct vfio_pci as its parts share it; private to vfio/, its tests and vmm/bench/host_driver.c.
 *
 * What is under which lock: everything that configuration accesses reach (cfg masks, bars, rom,
 * mirrors) under pci_root->lock; irq, which the trapped MSI-X table also reaches, under dev.lock.
 */
#ifndef VFIO_VFIO_PCI_H
#define VFIO_VFIO_PCI_H

#include "devices/pci/msix_table.h"
#include "vfio/device.h"
#include "vfio/iommu/kernel.h"
#include "vmm/core/eventfd.h"

#define VFIO_PAGE 4096u

/* ---- BARs ---- */

struct vfio_area {
	uint64_t off, size; /* within the BAR; whole pages */
};

struct vfio_bar {
	struct vfio_pci *v;
	unsigned n;
	uint64_t size;	     /* 0: not there */
	uint64_t region_off; /* of the region in the device fd */
	bool io, mem64, sub_page;
	/* The parts that are mapped into our process, at host + off. */
	char *host; /* aligned to min(size, 1 GiB); NULL: none */
	uint64_t host_size;
	struct vfio_area *area;
	unsigned n_areas;
	/* live: the areas are guest memory at `at`. stale: they still are, though the BAR does not
	 * decode any more (see bar.c). p2p: they are in the IOMMU, too. */
	uint64_t at;
	bool live, stale, p2p;
	bool hidden;	    /* it decodes where a fixed range is, which wins */
	uint64_t paused_ns; /* when a bridge above last had it leave */
};

/* ---- interrupts ---- */

enum vfio_irq_mode { VFIO_IRQ_OFF, VFIO_IRQ_INTX, VFIO_IRQ_MSI, VFIO_IRQ_MSIX };

/* The host's side of a vector. */
struct vfio_vector {
	int fd; /* eventfd that the kernel signals; -1: none yet */
	struct msi_route *route;
	bool attached; /* KVM takes the eventfd's signals */
	bool host;     /* the kernel was given the eventfd */
	uint64_t kept; /* interrupts taken before the vector was disabled; stats.c */
};

struct vfio_irqs {
	enum vfio_irq_mode mode;
	bool ready; /* plugged and not quiesced: INTx may be on */
	struct vfio_irq_info info[VFIO_PCI_NUM_IRQS];
	int intx_trigger, intx_resample;
	uint64_t intx_kept;
	/* The guest's side: its MSI-X table (n 0: it has none) and its MSI registers. Registers of
	 * configuration space are read here once after each write (irq.c). */
	struct msix_table table;
	struct vfio_msi {
		bool on;
		unsigned n; /* vectors that the guest has enabled, at most what the host has */
		uint32_t mask, data;
		uint64_t address;
	} guest_msi;
	unsigned n_msi;
	struct vfio_vector *msix, *msi; /* table.n and n_msi of them */
	unsigned asked, granted;	/* vectors asked of and enabled by the host in this mode */
	struct vfio_notifier {
		struct vfio_pci *v;
		int fd;
		struct ev_source *source;
	} err, req;
};

/* ---- the option ROM ---- */

struct vfio_rom {
	uint64_t region_off, region_size; /* the device's; size 0: none */
	uint64_t size;			  /* of the guest's BAR: power of two; 0: none */
	uint8_t *data;			  /* page-aligned, `mapped` bytes */
	uint64_t mapped;
	bool loaded, live;
	bool from_file;
	int file; /* romfile= */
	uint64_t at;
};

/* ---- parts of a BAR that show configuration space (quirk.c) ---- */

#define VFIO_MAX_MIRRORS 2

struct vfio_mirror {
	struct vfio_pci *v;
	struct pci_bar_part part;
};

/* ---- the device ---- */

struct vfio_pci {
	struct pci_device dev;
	struct vfio_kernel *k;
	const struct vfio_pci_config *cfg; /* the caller's */
	struct vfio_pci_env env;
	struct vfio_device_info info; /* without its capabilities */
	uint32_t atomics;	      /* AtomicOps that the host completes: PCI_EXP_DEVCAP2 bits */
	bool plugged;

	/* Configuration space. emu: bits that dev.cfg answers for; the others are the hardware's.
	 */
	uint64_t cfg_off;
	unsigned cfg_size;
	uint8_t emu[PCI_CFG_SIZE];
	unsigned pm_cap, msi_cap, msix_cap, exp_cap, af_cap; /* 0: none */
	unsigned msi_len;
	uint16_t host_cmd; /* the command register as the kernel has it */
	bool asleep;	   /* D3hot: the kernel refuses memory accesses */

	struct vfio_bar bar[PCI_NUM_BARS];
	struct vfio_irqs irq;
	struct vfio_rom rom;
	struct vfio_mirror mirror[VFIO_MAX_MIRRORS];
	struct io_region vga_mem, vga_io[2];
	uint64_t vga_off; /* 0: none */

	bool reset_due; /* the guest has asked for one, which waits (device.c) */

	/* Work left to the main loop. kicked and linger_ns (when stale BARs leave) are its own. */
	int kick;
	struct ev_source *kick_source;
	struct ev_timer *linger;
	bool kicked;
	uint64_t linger_ns;

	bool warned_p2p;
	struct vfio_pci_counts counts; /* each written under its part's lock */
};

static inline struct vfio_pci *vfio_pci_of(struct pci_device *dev)
{
	return container_of(dev, struct vfio_pci, dev);
}

static inline const struct vfio_pci *vfio_pci_of_const(const struct pci_device *dev)
{
	return (const struct vfio_pci *)((const char *)dev - offsetof(struct vfio_pci, dev));
}

/* Has the main loop look at stale and peer-to-peer BARs (device.c). Any thread. False when there is
 * no main loop (before the device is plugged). */
static inline bool vfio_pci_kick(struct vfio_pci *v)
{
	return v->kick_source && eventfd_signal(v->kick);
}

#endif
