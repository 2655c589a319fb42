/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The MSI-X table and PBA. All accesses lie within the table or the PBA: the bus splits an access
 * that crosses the end, and the half inside counts as an access of its own.
 *
 * Threads: see msix_table.h.
 */
#include "devices/pci/msix_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/stats.h"

#define CONTROL 3 /* the word that has the mask bit */

/* PCI 3.0, 6.8.2: whole, aligned dwords or qwords only. */
static bool access_is_valid(const struct msix_table *t, uint64_t off, unsigned size)
{
	if (t->accesses)
		count_add(t->accesses, 1);
	return (size == 4 || size == 8) && off % size == 0;
}

static uint32_t table_word(const struct msix_table *t, uint64_t off)
{
	return t->word[off / PCI_MSIX_ENTRY_SIZE][off % PCI_MSIX_ENTRY_SIZE / 4];
}

static uint64_t table_read(void *opaque, uint64_t off, unsigned size)
{
	struct msix_table *t = opaque;

	if (!access_is_valid(t, off, size))
		return 0;
	if (size == 4)
		return table_word(t, off);
	return table_word(t, off) | (uint64_t)table_word(t, off + 4) << 32;
}

static void table_write32(struct msix_table *t, uint64_t off, uint32_t val)
{
	unsigned v = (unsigned)(off / PCI_MSIX_ENTRY_SIZE);
	unsigned w = (unsigned)(off % PCI_MSIX_ENTRY_SIZE / 4);

	if (w == CONTROL)
		val &= PCI_MSIX_ENTRY_CTRL_MASKBIT;
	if (t->word[v][w] == val)
		return;
	t->word[v][w] = val;
	/* The guest should change a message only while the vector is masked (6.8.3.5). If it does
	 * so with an unmasked vector, the change takes effect at once. */
	if (w == CONTROL)
		t->ops->changed(t->opaque, v, val ? MSIX_MASKED : MSIX_UNMASKED);
	else if (!msix_table_own_mask(t, v))
		t->ops->changed(t->opaque, v, MSIX_MESSAGE);
}

static void table_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
	struct msix_table *t = opaque;

	if (!access_is_valid(t, off, size))
		return;
	table_write32(t, off, (uint32_t)val);
	if (size == 8)
		table_write32(t, off + 4, (uint32_t)(val >> 32));
}

/* The last qword may have bits beyond the last vector; these read 0. */
static uint64_t pba_read(void *opaque, uint64_t off, unsigned size)
{
	struct msix_table *t = opaque;
	unsigned first = (unsigned)off * 8;
	uint64_t bits = 0;

	if (!access_is_valid(t, off, size))
		return 0;
	for (unsigned i = 0; i < size * 8 && first + i < t->n; i++)
		bits |= (uint64_t)t->ops->pending(t->opaque, first + i) << i;
	return bits;
}

static void pba_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
	(void)val;
	access_is_valid(opaque, off, size); /* counts the access; the PBA is read-only */
}

static const struct io_region_ops table_ops = { .read = table_read, .write = table_write };
static const struct io_region_ops pba_ops = { .read = pba_read, .write = pba_write };

int msix_table_init(struct msix_table *t, unsigned n, const struct msix_table_ops *ops,
		    void *opaque, pthread_mutex_t *lock)
{
	*t = (struct msix_table){
		.n = n,
		.ops = ops,
		.opaque = opaque,
		.table = { .what = "the MSI-X table",
			   .why = "the guest sets up or masks vectors",
			   .region = { .size = n * PCI_MSIX_ENTRY_SIZE,
				       .ops = &table_ops,
				       .opaque = t,
				       .lock = lock,
				       .priority = PCI_PRIO_PART } },
		.pba = { .what = "the MSI-X pending bits",
			 .region = { .size = (n + 63) / 64 * 8,
				     .ops = &pba_ops,
				     .opaque = t,
				     .lock = lock,
				     .priority = PCI_PRIO_PART } },
	};
	if (n < 1 || n > MSIX_MAX_VECTORS)
		return -EINVAL;
	t->word = calloc(n, sizeof(*t->word));
	if (!t->word)
		return -ENOMEM;
	msix_table_reset(t);
	return 0;
}

void msix_table_free(struct msix_table *t)
{
	free(t->word);
	t->word = NULL;
	t->n = 0;
}

void msix_table_place(struct msix_table *t, const uint8_t *cap)
{
	uint32_t table = pci_get32(cap, PCI_MSIX_TABLE), pba = pci_get32(cap, PCI_MSIX_PBA);

	t->table.bar = table & PCI_MSIX_TABLE_BIR;
	t->table.off = table & PCI_MSIX_TABLE_OFFSET;
	t->pba.bar = pba & PCI_MSIX_PBA_BIR;
	t->pba.off = pba & PCI_MSIX_PBA_OFFSET;
}

void msix_table_reset(struct msix_table *t)
{
	for (unsigned v = 0; v < t->n; v++) {
		memset(t->word[v], 0, sizeof(t->word[v]));
		t->word[v][CONTROL] = PCI_MSIX_ENTRY_CTRL_MASKBIT;
	}
}
