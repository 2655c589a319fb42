/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VFIO device in memory, and the machine around it. Everything that would reach the kernel is
 * written to one log in its order, as words:
 *
 *   set:I:S:C[:fd,..]  SET_IRQS of index I, start S, count C; F is an eventfd, - is no eventfd
 *   mask:I unmask:I unmaskfd:I    off:I    irqfd+G irqfd-G routes line
 *   slot+GPA:SIZE slot-GPA    cmd=XXXX pm=XXXX reset
 *
 * It uses no test library, so that fuzz targets can use it.
 */
#ifndef FAKE_VFIO_H
#define FAKE_VFIO_H

#include "vfio/device.h"
#include "vfio/iommu/kernel.h"
#include "vmm/core/mem.h"

#define FAKE_STORE 0x10000u /* so many bytes of a region can be written; the rest reads 0 */

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
	uint32_t atomics; /* AtomicOps that the host completes: bits 0 to 2; 0: the kernel does not
			     say */
	bool cfg_dead;	  /* reads and writes fail */
	struct fake_region region[VFIO_PCI_NUM_REGIONS];
	struct {
		uint32_t count, flags;
	} irq[VFIO_PCI_NUM_IRQS];
	pthread_mutex_t fd_lock;
	int fd[VFIO_PCI_NUM_IRQS][64]; /* eventfds that the "kernel" was given */
	unsigned limit;		       /* the maximal number of vectors; 0: no limit */
	int set_irqs_ret;	       /* if negative, the result of SET_IRQS with eventfds */
	bool no_mmap, pm_sticks;
	bool lean;	      /* BARs store nothing and map nothing: for fuzzing */
	unsigned hot_devices; /* number of functions that a bus reset resets, in groups 1, 2, ...;
				 0: there is no bus reset */
	int hot_ret;	      /* the result of a bus reset */
	unsigned resets, closed, mmaps;
	unsigned long trapped; /* region accesses that are not configuration space */
	uintptr_t last_mmap;
};

struct fake_machine {
	struct pci_root root;
	struct fake_log log;
	struct mem_listener listener;
	int slot_ret; /* the result of the next memslots */
};

/* A type 0 device 1234:5678 with 4096 bytes of configuration space, no BARs, no capabilities. */
void fake_vfio_init(struct fake_vfio *, struct fake_log *);
void fake_vfio_free(struct fake_vfio *);
/* type: the low bits of the BAR register. */
void fake_vfio_bar(struct fake_vfio *, unsigned n, uint64_t size, uint32_t type);
/* Adds a capability at offset `at`, and returns the offset. */
unsigned fake_vfio_cap(struct fake_vfio *, unsigned at, uint8_t id);
void fake_vfio_msix(struct fake_vfio *, unsigned at, unsigned n, uint32_t table, uint32_t pba);
/* Raises interrupt n of an index. True: there is an eventfd for it. */
bool fake_vfio_fire(struct fake_vfio *, unsigned index, unsigned n);

void fake_machine_init(struct fake_machine *);
void fake_machine_free(struct fake_machine *);

void fake_log(struct fake_log *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void fake_log_clear(struct fake_log *);
/* True if the log has the words in this order, perhaps with other words in between. */
bool fake_log_order(const struct fake_log *, const char *const *words, unsigned n);
unsigned fake_log_count(const struct fake_log *, const char *word);

#endif
