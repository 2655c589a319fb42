/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI devices and buses, the guest's view: config space, BARs, capabilities, bridges.
 *
 * Config-space writes go through wmask/w1cmask only; a device sees them afterwards by
 * cfg_written(). BARs are (un)mapped here, from the command register, the BAR and the bridges
 * above; devices are told by bar_mapped(). Buses are found by the bridges' secondary/subordinate
 * registers, live, as firmware and OSes renumber them.
 *
 * Threads: configuration accesses arrive on vCPU threads; pci_host serialises them all with one
 * lock (pci_root->lock), which cfg_*, bar_mapped(), reset() and unrealize() therefore run under.
 * BAR callbacks run under the region's lock, which is the device's. Order: root lock -> device lock
 * -> intx lock -> irq table. Unmapping a BAR waits for its callbacks, so a BAR callback never takes
 * the root lock; pci_set_intx(), pci_rid(), pci_where() and pci_bus_master() do not, and are safe
 * there.
 */
#ifndef DEVICES_PCI_PCI_H
#define DEVICES_PCI_PCI_H

#include <linux/pci_regs.h>
#include <pthread.h>

#include "devices/pci/pci_cfg.h"
#include "vmm/core/addr.h"
#include "vmm/core/bus.h"
#include "vmm/core/error.h"
#include "vmm/core/irq.h"
#include "vmm/core/log.h"

#define PCI_CFG_SIZE	   4096
#define PCI_NUM_BARS	   6
#define PCI_ROM_BAR	   6
#define PCI_MAX_PARTS	   4
#define PCI_DEVFN(dev, fn) ((uint8_t)(((dev) << 3) | (fn)))

struct guest_mem;
struct pci_device;
struct pci_root;
struct msix; /* devices/pci/msix.h */

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEM32, PCI_BAR_MEM64, PCI_BAR_HIGH_HALF };

struct pci_bar {
	enum pci_bar_kind kind;
	bool prefetch;
	uint64_t size; /* power of two, bytes */
	uint64_t addr; /* where it is mapped now; meaningful while mapped */
	uint8_t n;     /* which of the device's */
	bool mapped;
	struct io_region region; /* ops NULL: the device maps it itself in bar_mapped() */
};

/* A part of a BAR that has callbacks of its own: it is on the bus, above the BAR, while the BAR
 * decodes, and moves with it. One that reaches beyond its BAR never is. */
struct pci_bar_part {
	unsigned bar;
	uint64_t off;		 /* within the BAR */
	const char *what, *why;	 /* for statistics: what is there, and why it traps (or NULL) */
	struct io_region region; /* the owner sets size, ops, opaque, lock and priority */
};

/* Who answers where parts, other parts and ECAM overlap: the highest. BARs have 0. */
enum pci_priority { PCI_PRIO_PART = 1, PCI_PRIO_MIRROR, PCI_PRIO_ECAM };

struct pci_device_ops {
	/* All optional. cfg_read/cfg_write replace the default handling (vfio does); off and size
	 * are within the config space and naturally aligned. */
	uint32_t (*cfg_read)(struct pci_device *, unsigned off, unsigned size);
	void (*cfg_write)(struct pci_device *, unsigned off, unsigned size, uint32_t val);
	/* After the default write handling went over [off, off + size); BARs have moved by then. */
	void (*cfg_written)(struct pci_device *, unsigned off, unsigned size);
	/* mapped: bar[n].addr is valid and decoding is on. */
	void (*bar_mapped)(struct pci_device *, unsigned n, bool mapped);
	/* Memory BAR n of `by` (which may be the device itself) is about to be mapped at
	 * [base, base + size): what the device has there beyond its own BARs has to go. */
	void (*claimed)(struct pci_device *, const struct pci_device *by, unsigned n, uint64_t base,
			uint64_t size);
	/* What decodes where has changed for some device, or the fixed ranges have
	 * (pci_fixed_overlaps()). */
	void (*decode_changed)(struct pci_device *);
	void (*reset)(struct pci_device *);
	/* Before a reset: let DMA of your own come to an end. True: there is none in flight. Does
	 * not wait, and is asked again. */
	bool (*quiesce)(struct pci_device *);
	void (*unrealize)(struct pci_device *);
};

struct pci_bus {
	struct pci_device *bridge;   /* NULL: the root bus */
	struct pci_device *dev[256]; /* by devfn */
	uint64_t used[4];	     /* which there are: most are not, and each access looks */
};

struct pci_device {
	const char *name; /* for messages and --stats */
	const struct pci_device_ops *ops;
	struct pci_root *root;
	struct pci_bus *bus;
	uint8_t devfn;
	struct pci_bus *secondary; /* bridges only, owned */
	uint8_t cfg[PCI_CFG_SIZE];
	uint8_t wmask[PCI_CFG_SIZE];
	uint8_t w1cmask[PCI_CFG_SIZE];
	struct pci_bar bar[PCI_NUM_BARS + 1];
	struct pci_bar_part *part[PCI_MAX_PARTS];
	unsigned n_parts;
	unsigned cap_end; /* next free byte for pci_add_cap() */
	unsigned last_cap;
	struct msix *msix;
	struct irq_source intx; /* valid when has_intx */
	bool has_intx;
	bool intx_asserted; /* what the device wants; the line also honours INTX_DISABLE */
	uint8_t sizing;	    /* bit n: BAR dword n (6: ROM) holds the all-ones of a size probe */
	pthread_mutex_t intx_lock; /* intx_asserted and the line */
	pthread_mutex_t lock;	   /* the device's own state */
	struct log_limit limit;
};

/* What a machine gives its PCI devices. */
struct pci_root {
	struct bus *pio, *mmio;
	struct guest_mem *mem;
	struct irq_table *irq;
	struct evloop *loop;
	struct stats *stats;  /* NULL: none are kept */
	pthread_mutex_t lock; /* configuration space of all devices */
	struct pci_bus bus;
	uint32_t cf8;		       /* CONFIG_ADDRESS */
	uint64_t ecam_base, ecam_size; /* as the guest placed it; size 0: off */
};

/* Above: IOAPIC, TPM, local APIC, flash, the reset vector. No BAR belongs there. */
#define PCI_FIXED_BASE 0xfec00000ull

/* Zeroes *root and prepares its lock; the maker then fills in the pointers. */
void pci_root_init(struct pci_root *);
void pci_root_destroy(struct pci_root *);

/* Prepares an embedded device (zeroes all of it): ids, class (24 bit: base, sub, prog-if), header
 * type 0. */
void pci_device_init(struct pci_device *, const char *name, const struct pci_device_ops *,
		     uint16_t vendor, uint16_t device, uint32_t class_code, uint8_t revision);
/* Turns an initialised device into a PCI-to-PCI bridge (header type 1) with an empty secondary bus,
 * which it owns: 16-bit I/O, 32-bit memory and 64-bit prefetchable windows. -ENOMEM. */
int pci_bridge_init(struct pci_device *);
/* Undoes pci_device_init()/pci_bridge_init(); the device is on no bus (pci_remove()). */
void pci_device_destroy(struct pci_device *);
/* size: power of two, >= 16 (memory), 4 (I/O) or 2048 (n = PCI_ROM_BAR, kind MEM32). ops may be
 * NULL (see struct pci_bar). MEM64 takes n and n + 1. The callbacks run under the device's lock;
 * set bar[n].region.lock before pci_add() for something else. -EINVAL, -EBUSY (index taken). */
int pci_add_bar(struct pci_device *, unsigned n, enum pci_bar_kind, bool prefetch, uint64_t size,
		const struct io_region_ops *, void *opaque);
/* Adds a part to a BAR, which may be added later. The part stays in place as long as the device.
 * Before pci_add(). -EINVAL: no such BAR; -ENOSPC: more than PCI_MAX_PARTS. */
int pci_add_bar_part(struct pci_device *, struct pci_bar_part *);
/* Adds a capability with `len` bytes (header included) in the first 256 bytes; returns its offset,
 * or -ENOSPC. */
int pci_add_cap(struct pci_device *, uint8_t id, unsigned len);
/* Wires INTx (pin 1..4) to GSI 16..23 by the usual swizzle through the bridges above. After
 * pci_add(). */
int pci_add_intx(struct pci_device *, unsigned pin);
/* Honours PCI_COMMAND_INTX_DISABLE, sets PCI_STATUS_INTERRUPT. Any thread, any lock but intx_lock.
 */
void pci_set_intx(struct pci_device *, bool level);
/* The GSI of INTA..INTD (pin 0..3) of a slot on the root bus; _PRT is written from it. */
uint32_t pci_slot_gsi(unsigned slot, unsigned pin);
/* True when the guest lets the device (and the bridges above it) do DMA and MSIs. */
bool pci_bus_master(const struct pci_device *);

/* Puts the device on a bus at devfn (and sets the multi-function bit of its slot when it must be).
 * -EBUSY: taken. The device stays owned by its maker. Takes the root lock, as do pci_remove(),
 * which unmaps the BARs and calls unrealize(), and pci_reset_all(). */
int pci_add(struct pci_root *, struct pci_bus *, struct pci_device *, uint8_t devfn,
	    struct error *);
void pci_remove(struct pci_device *);
/* Hardware reset: every writable configuration bit reads 0 again (BARs, command, bus numbers,
 * windows), then reset() of each device puts back what does not start as 0. No vCPU may run. */
void pci_reset_all(struct pci_root *);

/* Before pci_reset_all(), while no vCPU runs: NULL when no device has DMA in flight, else the name
 * of one that has. Does not wait: ask again. */
const char *pci_quiesce(struct pci_root *);

/* Configuration access by bus number, root lock held; absent devices read all-ones. size 1, 2 or 4;
 * an unaligned access goes byte by byte, one beyond the end misses. */
uint32_t pci_cfg_read(struct pci_root *, uint8_t bus, uint8_t devfn, unsigned off, unsigned size);
void pci_cfg_write(struct pci_root *, uint8_t bus, uint8_t devfn, unsigned off, unsigned size,
		   uint32_t val);
/* For statistics: names register off of the function's configuration space. Takes the root lock. */
void pci_explain_cfg(struct pci_root *, uint8_t bus, uint8_t devfn, unsigned off,
		     struct io_place *);
/* The default handling, for cfg_read/cfg_write overrides to fall back to. */
uint32_t pci_default_cfg_read(struct pci_device *, unsigned off, unsigned size);
void pci_default_cfg_write(struct pci_device *, unsigned off, unsigned size, uint32_t val);

/* Clears the bits of cfg that are set in a, and in b (or, b NULL, in a alone). */
void pci_clear_bits(struct pci_device *, const uint8_t a[PCI_CFG_SIZE],
		    const uint8_t b[PCI_CFG_SIZE]);
/* Recomputes every BAR's mapping. The default write handling does; for overrides that change the
 * command register or a BAR behind its back. Root lock held. */
void pci_update_mappings(struct pci_root *);
/* The address in BAR n as the guest last wrote it, whether or not it decodes; 0 when there is none
 * or it holds a sizing value. */
uint64_t pci_bar_addr(const struct pci_device *, unsigned n);
/* BAR n is off, but only for a moment, it seems. It was at `at` last, which the windows of the
 * bridges above let through, or will once the upper half of a window's limit is written.
 * PCI_PAUSED: its register holds a sizing value, or still `at` while memory decoding is off in the
 * device's command register, or that window is not complete. PCI_PAUSED_ABOVE: it is off in that of
 * a bridge above only. Root lock held. */
enum pci_paused { PCI_NOT_PAUSED, PCI_PAUSED, PCI_PAUSED_ABOVE };
enum pci_paused pci_bar_paused(const struct pci_device *, unsigned n, uint64_t at);
/* Whether [base, base + size) touches ECAM or what lies above PCI_FIXED_BASE: these win over a BAR
 * that the guest puts there. Root lock held. */
bool pci_fixed_overlaps(const struct pci_root *, uint64_t base, uint64_t size);
/* The host bridge: where ECAM is from now on. Root lock held. */
void pci_set_ecam_range(struct pci_root *, uint64_t base, uint64_t size);
/* Requester id (bus << 8 | devfn) as the guest numbered it: the MSI devid. */
uint16_t pci_rid(const struct pci_device *);
/* "00:1f.0" of the guest; buf of at least 8 bytes, returned. */
const char *pci_where(const struct pci_device *, char buf[8]);
/* The first device of the bus at devfn or behind; NULL: there is none. Root lock held. */
struct pci_device *pci_bus_from(const struct pci_bus *, unsigned devfn);
/* Calls fn for every device, depth first, until non-zero; returns that. */
int pci_each(struct pci_root *, int (*fn)(void *, struct pci_device *), void *arg);
/* The same on one bus and those below it. */
int pci_each_on_bus(struct pci_bus *, int (*fn)(void *, struct pci_device *), void *arg);

#endif
