/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The MSI-X table and pending bit array as the guest sees them (PCI 3.0, 6.8.2 and 6.8.3), for
 * emulated and for passed-through devices alike. What a vector is on the host's side belongs to the
 * owner of the table, who is told of changes and asked for pending bits.
 *
 * Both are parts of BARs: the PCI core puts them on the bus. The guest may access them with aligned
 * dwords and qwords; other accesses are undefined there, and here they read 0 and change nothing.
 *
 * Threads: the owner has a lock, under which the guest's accesses and so the callbacks run. Hold it
 * for the functions below. Flags may be read without.
 */
#ifndef DEVICES_PCI_MSIX_TABLE_H
#define DEVICES_PCI_MSIX_TABLE_H

#include "devices/pci/pci.h"

#define MSIX_MAX_VECTORS 2048u

enum msix_change { MSIX_MESSAGE, MSIX_MASKED, MSIX_UNMASKED };

struct msix_table_ops {
	/* The guest has masked or unmasked vector v, or has changed the message of one that its own
	 * mask bit does not mask. */
	void (*changed)(void *opaque, unsigned v, enum msix_change);
	/* Whether an interrupt of vector v waits. */
	bool (*pending)(void *opaque, unsigned v);
};

struct msix_table {
	unsigned n;
	uint32_t (*word)[4]; /* of each entry: address low and high, data, control */
	_Atomic uint16_t flags;
	const struct msix_table_ops *ops;
	void *opaque;
	uint64_t *accesses; /* counts the guest's accesses; may be NULL */
	struct pci_bar_part table, pba;
};

/* n: 1..2048 vectors, all masked. -EINVAL or -ENOMEM. msix_table_free() undoes it, also after a
 * failure, and does nothing to a zeroed one. */
int msix_table_init(struct msix_table *, unsigned n, const struct msix_table_ops *, void *opaque,
		    pthread_mutex_t *lock);
void msix_table_free(struct msix_table *);
/* Where table and PBA are, from the capability at `cap`. The owner adds both to its device
 * (pci_add_bar_part()). */
void msix_table_place(struct msix_table *, const uint8_t *cap);
/* As after a reset of the device: zero and masked. Tells nobody. */
void msix_table_reset(struct msix_table *);

/* The flags of the capability, when the guest has written to them. Tells nobody. */
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

/* By its own mask bit or by that of the function. */
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
