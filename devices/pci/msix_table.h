/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The MSI-X table and pending bit array as the guest sees them (PCI 3.0, 6.8.2 and 6.8.3). Emulated
 * and passed-through devices both use it. The owner of the table implements the vectors on the
 * host: the callbacks tell it about changes and ask it for pending bits.
 *
 * Both are parts of BARs; the PCI core puts them on the bus. The guest may access them with aligned
 * dwords and qwords. The specification leaves other accesses undefined; here they read 0 and have
 * no effect.
 *
 * Threads: the owner has a lock. The guest's accesses, and so the callbacks, run under it, and the
 * functions below must be called with it. The flags may be read without the lock.
 */
#ifndef DEVICES_PCI_MSIX_TABLE_H
#define DEVICES_PCI_MSIX_TABLE_H

#include "devices/pci/pci.h"

#define MSIX_MAX_VECTORS 2048u

enum msix_change { MSIX_MESSAGE, MSIX_MASKED, MSIX_UNMASKED };

struct msix_table_ops {
	/* The guest has masked or unmasked vector v, or has changed its message while the vector's
	 * mask bit was clear. */
	void (*changed)(void *opaque, unsigned v, enum msix_change);
	/* True if an interrupt of vector v is pending. */
	bool (*pending)(void *opaque, unsigned v);
};

struct msix_table {
	unsigned n;
	uint32_t (*word)[4]; /* for each entry: address low, address high, data, control */
	_Atomic uint16_t flags;
	const struct msix_table_ops *ops;
	void *opaque;
	uint64_t *accesses; /* counts the guest's accesses; may be NULL */
	struct pci_bar_part table, pba;
};

/* Makes a table of n vectors (1..2048), all masked. -EINVAL or -ENOMEM. msix_table_free() may be
 * called after a failure and for a zeroed struct, too. */
int msix_table_init(struct msix_table *, unsigned n, const struct msix_table_ops *, void *opaque,
		    pthread_mutex_t *lock);
void msix_table_free(struct msix_table *);
/* Reads from the capability at `cap` where table and PBA are. The owner then adds both to its
 * device with pci_add_bar_part(). */
void msix_table_place(struct msix_table *, const uint8_t *cap);
/* Zeroes and masks all entries, as after a reset of the device. Calls no callback. */
void msix_table_reset(struct msix_table *);

/* Takes over the flags of the capability after the guest has written them. Calls no callback. */
static inline void msix_table_set_flags(struct msix_table *t, uint16_t flags)
{
	t->flags = flags;
}

static inline bool msix_table_enabled(const struct msix_table *t)
{
	return t->flags & PCI_MSIX_FLAGS_ENABLE;
}

/* The vector's own mask bit. */
static inline bool msix_table_own_mask(const struct msix_table *t, unsigned v)
{
	return t->word[v][3] & PCI_MSIX_ENTRY_CTRL_MASKBIT;
}

/* True if the vector is masked by its own mask bit or by that of the function. */
static inline bool msix_table_masked(const struct msix_table *t, unsigned v)
{
	return t->flags & PCI_MSIX_FLAGS_MASKALL || msix_table_own_mask(t, v);
}

static inline uint64_t msix_table_address(const struct msix_table *t, unsigned v)
{
	return (uint64_t)t->word[v][1] << 32 | t->word[v][0];
}

static inline uint32_t msix_table_data(const struct msix_table *t, unsigned v)
{
	return t->word[v][2];
}

#endif
