/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI devices and buses as the guest sees them: configuration space, BARs, capabilities, bridges.
 *
 * Writes to configuration space go through wmask and w1cmask only; then cfg_written() tells the
 * device. The PCI core maps and unmaps BARs according to the command register, the BAR and the
 * bridges above; then bar_mapped() tells the device. Firmware and operating systems renumber buses,
 * so each access finds its bus by the current secondary and subordinate registers of the bridges.
 *
 * Threads: configuration accesses arrive on vCPU threads. pci_host serialises all of them with one
 * lock (pci_root->lock), so cfg_*, bar_mapped(), reset() and unrealize() run under it. BAR
 * callbacks run under the region's lock, which is the device's. The order is: root lock, device
 * lock, intx lock, irq table. Unmapping a BAR waits for its callbacks, so a BAR callback must never
 * take the root lock. pci_set_intx(), pci_rid(), pci_where() and pci_bus_master() do not take it
 * and are safe there.
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
	uint64_t addr; /* its address; valid only while mapped */
	uint8_t n;     /* its index in the device */
	bool mapped;
	struct io_region region; /* ops NULL: the device maps it itself in bar_mapped() */
};

/* A part of a BAR with callbacks of its own. While the BAR decodes, the part is on the bus, with a
 * higher priority than the BAR, and moves with it. A part that reaches beyond its BAR is never on
 * the bus. */
struct pci_bar_part {
	unsigned bar;
	uint64_t off;		 /* within the BAR */
	const char *what, *why;	 /* for statistics: its name, and why it traps (may be NULL) */
	struct io_region region; /* the owner sets size, ops, opaque, lock and priority */
};

/* Where regions overlap, the one with the highest priority answers. BARs have priority 0. */
enum pci_priority { PCI_PRIO_PART = 1, PCI_PRIO_MIRROR, PCI_PRIO_ECAM };

struct pci_device_ops {
	/* All callbacks are optional. cfg_read and cfg_write replace the default handling (vfio
	 * does this); off and size are within configuration space and naturally aligned. */
	uint32_t (*cfg_read)(struct pci_device *, unsigned off, unsigned size);
	void (*cfg_write)(struct pci_device *, unsigned off, unsigned size, uint32_t val);
	/* Called after the default handling of a write to [off, off + size). BARs have already
	 * moved. */
	void (*cfg_written)(struct pci_device *, unsigned off, unsigned size);
	/* mapped: the BAR now decodes at bar[n].addr. */
	void (*bar_mapped)(struct pci_device *, unsigned n, bool mapped);
	/* Memory BAR n of `by` (which may be the device itself) will be mapped at
	 * [base, base + size). If the device has guest memory there outside of its own BARs, it
	 * must remove it now. */
	void (*claimed)(struct pci_device *, const struct pci_device *by, unsigned n, uint64_t base,
			uint64_t size);
	/* The decoding of some device has changed, or the fixed ranges have
	 * (pci_fixed_overlaps()). */
	void (*decode_changed)(struct pci_device *);
	void (*reset)(struct pci_device *);
	/* Called before a reset: the device must start no new DMA. True: no DMA is in flight. Must
	 * not wait; it is called again until it returns true. */
	bool (*quiesce)(struct pci_device *);
	/* While the machine is paused, the device must not access guest memory. Like quiesce(), but
	 * the guest's settings stay. pause false: the device goes on. */
	bool (*pause)(struct pci_device *, bool pause);
	void (*unrealize)(struct pci_device *);
};

struct pci_bus {
	struct pci_device *bridge;   /* NULL: the root bus */
	struct pci_device *dev[256]; /* by devfn */
	uint64_t used[4];	     /* bitmap of dev[]: makes searching fast, as most are NULL */
	/* The slot has no power, or its devices are just coming or leaving: configuration space
	 * reads as all ones, and BARs do not decode. After a change call pci_update_mappings(). */
	bool off;
};

struct pci_device {
	const char *name; /* for messages and --stats */
	const char *id;	  /* for those who control the machine; NULL: the name */
	const struct pci_device_ops *ops;
	struct pci_root *root;
	struct pci_bus *bus;
	uint8_t devfn;
	struct pci_bus *secondary; /* bridges only, owned */
	uint8_t cfg[PCI_CFG_SIZE];
	/* Behind the masks nothing is writable, except in a cfg_write() of the device. */
	uint8_t wmask[PCI_CFG_SPACE_SIZE];
	uint8_t w1cmask[PCI_CFG_SPACE_SIZE];
	struct pci_bar bar[PCI_NUM_BARS + 1];
	struct pci_bar_part *part[PCI_MAX_PARTS];
	unsigned n_parts;
	unsigned cap_end; /* next free byte for pci_add_cap() */
	unsigned last_cap;
	struct msix *msix;
	struct irq_source intx; /* valid when has_intx */
	bool has_intx;
	bool intx_asserted; /* the device's request; INTX_DISABLE can keep the line low */
	uint8_t sizing;	    /* bit n: BAR dword n (6: ROM) was written with all ones to size it */
	pthread_mutex_t intx_lock; /* intx_asserted and the line */
	pthread_mutex_t lock;	   /* the device's own state */
	struct log_limit limit;
};

/* What the machine provides for its PCI devices. */
struct pci_root {
	struct bus *pio, *mmio;
	struct guest_mem *mem;
	struct irq_table *irq;
	struct evloop *loop;
	struct stats *stats; /* NULL: no statistics */
	/* A device leaves, and with it the memory of its regions, which are on no bus any more. May
	 * be NULL. */
	void (*region_gone)(void *opaque, const struct io_region *);
	void *region_gone_opaque;
	pthread_mutex_t lock; /* configuration space of all devices */
	struct pci_bus bus;
	uint32_t cf8;		       /* CONFIG_ADDRESS */
	uint64_t ecam_base, ecam_size; /* where the guest placed it; size 0: off */
};

/* From here up to 4 GiB lie IOAPIC, TPM, local APIC, flash and the reset vector. A BAR must not be
 * mapped there. */
#define PCI_FIXED_BASE 0xfec00000ull

/* Zeroes *root and initialises its lock. The caller then sets the pointers. */
void pci_root_init(struct pci_root *);
void pci_root_destroy(struct pci_root *);

/* Initialises a device that is embedded in another struct; zeroes all of it. class_code has 24
 * bits: base class, subclass, programming interface. The header type is 0. */
void pci_device_init(struct pci_device *, const char *name, const struct pci_device_ops *,
		     uint16_t vendor, uint16_t device, uint32_t class_code, uint8_t revision);
/* Turns an initialised device into a PCI-to-PCI bridge (header type 1) with an empty secondary bus,
 * which it owns: 16-bit I/O, 32-bit memory and 64-bit prefetchable windows. -ENOMEM. */
int pci_bridge_init(struct pci_device *);
/* Undoes pci_device_init() and pci_bridge_init(). The device must be on no bus (pci_remove()). */
void pci_device_destroy(struct pci_device *);
/* size: a power of two, at least 16 (memory), 4 (I/O) or 2048 (n = PCI_ROM_BAR, kind MEM32). ops
 * may be NULL (see struct pci_bar). MEM64 uses n and n + 1. The callbacks run under the device's
 * lock; to use another lock, set bar[n].region.lock before pci_add(). -EINVAL; -EBUSY: the index is
 * in use. */
int pci_add_bar(struct pci_device *, unsigned n, enum pci_bar_kind, bool prefetch, uint64_t size,
		const struct io_region_ops *, void *opaque);
/* Adds a part to a BAR. The BAR itself may be added later. The caller owns the part, which must
 * live as long as the device. Call it before pci_add(). -EINVAL: wrong BAR number; -ENOSPC: more
 * than PCI_MAX_PARTS. */
int pci_add_bar_part(struct pci_device *, struct pci_bar_part *);
/* Adds a capability with `len` bytes (header included) in the first 256 bytes; returns its offset,
 * or -ENOSPC. */
int pci_add_cap(struct pci_device *, uint8_t id, unsigned len);
/* Tells the device where it will be. In a machine that runs, vCPUs reach the device as soon as it
 * is on the bus, so pci_add_intx() and what else is needed come between pci_place() and pci_add().
 * Afterwards pci_remove() is needed, also if pci_add() fails. */
void pci_place(struct pci_root *, struct pci_bus *, struct pci_device *, uint8_t devfn);
/* Connects INTx (pin 1..4) to GSI 16..23; each bridge above rotates the pins in the usual way. Call
 * it after pci_add() or pci_place(). */
int pci_add_intx(struct pci_device *, unsigned pin);
/* Sets the level of INTx and PCI_STATUS_INTERRUPT. The line stays low while
 * PCI_COMMAND_INTX_DISABLE is set. Any thread; the caller may hold any lock except intx_lock. */
void pci_set_intx(struct pci_device *, bool level);
/* The GSI of INTA..INTD (pin 0..3) of a slot on the root bus. ACPI's _PRT is made from it, too. */
uint32_t pci_slot_gsi(unsigned slot, unsigned pin);
/* True if bus mastering is on in the device and in all bridges above it, so that DMA and MSIs
 * work. */
bool pci_bus_master(const struct pci_device *);

/* Puts the device on a bus at devfn, and sets the multi-function bit of the slot if needed. -EBUSY:
 * devfn is in use. The caller keeps owning the device. pci_remove() unmaps the BARs and calls
 * unrealize(). pci_add(), pci_remove() and pci_reset_all() take the root lock. */
int pci_add(struct pci_root *, struct pci_bus *, struct pci_device *, uint8_t devfn,
	    struct error *);
void pci_remove(struct pci_device *);
/* For a region of a device beside its BARs and their parts, on its way off the bus. */
void pci_region_gone(const struct pci_root *, const struct io_region *);
/* Hardware reset. Clears every writable bit of configuration space (BARs, command, bus numbers,
 * windows); then reset() of each device restores the bits that are not 0 at power-on. No vCPU may
 * run. */
void pci_reset_all(struct pci_root *);

/* Called before pci_reset_all(), while no vCPU runs. NULL: no device has DMA in flight. Otherwise
 * the name of such a device. It does not wait; call it again. */
const char *pci_quiesce(struct pci_root *);
/* Called while no vCPU runs: all devices pause, or go on. NULL: no device has DMA in flight.
 * Otherwise the name of such a device. It does not wait; call it again. A passed-through device
 * does not pause. */
const char *pci_pause(struct pci_root *, bool pause);

/* Configuration access by bus number; the root lock is held. Absent devices read as all ones. size
 * is 1, 2 or 4. An unaligned access is done byte by byte; bytes beyond the end do not exist. */
uint32_t pci_cfg_read(struct pci_root *, uint8_t bus, uint8_t devfn, unsigned off, unsigned size);
void pci_cfg_write(struct pci_root *, uint8_t bus, uint8_t devfn, unsigned off, unsigned size,
		   uint32_t val);
/* For statistics: describes register off in a function's configuration space. Takes the root lock.
 */
void pci_explain_cfg(struct pci_root *, uint8_t bus, uint8_t devfn, unsigned off,
		     struct io_place *);
/* The default handling, for cfg_read/cfg_write overrides to fall back to. */
uint32_t pci_default_cfg_read(struct pci_device *, unsigned off, unsigned size);
void pci_default_cfg_write(struct pci_device *, unsigned off, unsigned size, uint32_t val);

/* Clears the bits of cfg that are set in a and in b. b may be NULL: then those that are set in
 * a. */
void pci_clear_bits(struct pci_device *, const uint8_t a[PCI_CFG_SPACE_SIZE],
		    const uint8_t b[PCI_CFG_SPACE_SIZE]);
/* Computes the mapping of all BARs again. The default write handling does this itself. A
 * cfg_write() that changes the command register or a BAR in another way must call it. Root lock
 * held. */
void pci_update_mappings(struct pci_root *);
/* The address that the guest last wrote to BAR n, whether or not it decodes. 0: there is no such
 * BAR, or it holds a sizing value. */
uint64_t pci_bar_addr(const struct pci_device *, unsigned n);
/* Tells whether BAR n, which does not decode, was probably switched off only for a moment. It was
 * at `at` before, and the windows of the bridges above contain `at`, or will contain it when the
 * upper half of a window's limit is written.
 * PCI_PAUSED: the BAR's register holds a sizing value; or it still holds `at`, and memory decoding
 * is off in the device's command register, or that window is not complete.
 * PCI_PAUSED_ABOVE: memory decoding is off only in the command register of a bridge above.
 * Root lock held. */
enum pci_paused { PCI_NOT_PAUSED, PCI_PAUSED, PCI_PAUSED_ABOVE };
enum pci_paused pci_bar_paused(const struct pci_device *, unsigned n, uint64_t at);
/* True if [base, base + size) overlaps ECAM or the range from PCI_FIXED_BASE to 4 GiB. These win
 * over a BAR that the guest puts there. Root lock held. */
bool pci_fixed_overlaps(const struct pci_root *, uint64_t base, uint64_t size);
/* Called by the host bridge when ECAM moves. Root lock held. */
void pci_set_ecam_range(struct pci_root *, uint64_t base, uint64_t size);
/* The requester id (bus << 8 | devfn), with the guest's bus number. It is the devid of MSIs. */
uint16_t pci_rid(const struct pci_device *);
/* Writes the guest's address of the device, such as "00:1f.0", to buf and returns buf. */
const char *pci_where(const struct pci_device *, char buf[8]);
/* The first device of the bus at devfn or after it. NULL: there is no such device. Root lock
 * held. */
struct pci_device *pci_bus_from(const struct pci_bus *, unsigned devfn);
/* Calls fn for every device, depth first, until fn returns a non-zero value, and returns it. */
int pci_each(struct pci_root *, int (*fn)(void *, struct pci_device *), void *arg);
/* The same on one bus and those below it. */
int pci_each_on_bus(struct pci_bus *, int (*fn)(void *, struct pci_device *), void *arg);
/* How many buses there can be, which have the numbers 0 to n - 1: the root bus and one behind each
 * bridge, or more if the guest gave a bridge a higher number. Root lock held. */
unsigned pci_buses(struct pci_root *);

#endif
