/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VFIO device in memory and the machine around it. Everything that would reach the kernel is
 * written to one log, in order, as words:
 *
 *   set:I:S:C[:fd,..]  SET_IRQS of index I, start S, count C; an eventfd is F, none is -
 *   mask:I unmask:I unmaskfd:I    off:I    irqfd+G irqfd-G routes line
 *   slot+GPA:SIZE slot-GPA    cmd=XXXX pm=XXXX reset
 *
 * Not linked to any test library, so that fuzz targets can use it.
 */
#ifndef FAKE_VFIO_H
#define FAKE_VFIO_H

#include "vfio/device.h"
#include "vfio/iommu/kernel.h"
#include "vmm/core/mem.h"

#define FAKE_STORE 0x10000u /* bytes of a region that hold what is written; the rest reads 0 */

struct fake_log {
	pthread_mutex_t lock; /* zeroes: not locked */
	char text[8192];
	size_t len;
};

struct fake_region {
	uint64_t size;
	uint32_t flags;
	uint8_t *store;
	unsigned n_sparse;
	struct vfio_region_sparse_mmap_area sparse[4];
};

struct fake_vfio {
	struct vfio_kernel k;
	struct fake_log *log;
	uint8_t config[PCI_CFG_SIZE];
	unsigned cfg_size;
	uint32_t atomics; /* AtomicOps completed by the host: bits 0 to 2; 0: the kernel does not
			     say */
	bool cfg_dead;	  /* reads and writes fail */
	struct fake_region region[VFIO_PCI_NUM_REGIONS];
	struct {
		uint32_t count, flags;
	} irq[VFIO_PCI_NUM_IRQS];
	pthread_mutex_t fd_lock;
	int fd[VFIO_PCI_NUM_IRQS][64]; /* eventfds the "kernel" was given */
	unsigned limit;		       /* vectors to be had; 0: any number */
	int set_irqs_ret;	       /* what every SET_IRQS with eventfds answers when negative */
	bool no_mmap, pm_sticks;
	bool lean;	      /* BARs keep nothing and map nothing: for fuzzing */
	unsigned hot_devices; /* functions that a bus reset hits, of groups 1, 2, ...; 0: there is
				 none */
	int hot_ret;	      /* what a bus reset answers */
	unsigned resets, closed, mmaps;
	unsigned long trapped; /* region accesses that are not configuration space */
	uintptr_t last_mmap;
};

struct fake_machine {
	struct pci_root root;
	struct fake_log log;
	struct mem_listener listener;
	int slot_ret; /* what the next memslots answer */
};

/* A type 0 device 1234:5678 with 4096 bytes of configuration space, no BARs, no capabilities. */
void fake_vfio_init(struct fake_vfio *, struct fake_log *);
void fake_vfio_free(struct fake_vfio *);
/* type: the low bits of the BAR register. */
void fake_vfio_bar(struct fake_vfio *, unsigned n, uint64_t size, uint32_t type);
/* Appends a capability; len with header. Returns its offset. */
unsigned fake_vfio_cap(struct fake_vfio *, unsigned at, uint8_t id);
void fake_vfio_msix(struct fake_vfio *, unsigned at, unsigned n, uint32_t table, uint32_t pba);
/* Interrupt n of an index happens: true when somebody had given an eventfd. */
bool fake_vfio_fire(struct fake_vfio *, unsigned index, unsigned n);

void fake_machine_init(struct fake_machine *);
void fake_machine_free(struct fake_machine *);

void fake_log(struct fake_log *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void fake_log_clear(struct fake_log *);
/* The words in this order, other words in between. */
bool fake_log_order(const struct fake_log *, const char *const *words, unsigned n);
unsigned fake_log_count(const struct fake_log *, const char *word);

#endif
