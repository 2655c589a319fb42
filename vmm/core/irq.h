/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts: level lines into the IOAPIC/PIC and message-signalled routes, over one GSI table.
 *
 * GSIs 0-23 are the irqchip's pins; MSI routes take GSIs from 24 up. Changes are collected and
 * reach the kernel in one KVM_SET_GSI_ROUTING by irq_commit(): each call costs an SRCU grace
 * period.
 *
 * Threads: any; one internal lock, held over the ioctl.
 */
#ifndef VMM_CORE_IRQ_H
#define VMM_CORE_IRQ_H

#include "vmm/core/addr.h"

struct irq_table;
struct msi_route;

#define IRQ_GSI_PCI_BASE 16 /* _PRT: PIRQ A..H = GSI 16..23, level, active high in our MADT */
#define IRQ_GSI_SCI	 9

/* What a backend (vmm/kvm/kvm_irq.c; a fake in unit tests) must do. */
struct irq_backend_route {
	uint32_t gsi;
	bool is_msi;
	union {
		struct {
			uint64_t addr;
			uint32_t data;
			uint32_t devid;
		} msi;
		struct {
			uint32_t chip, pin; /* chip 0 PIC master, 1 PIC slave, 2 IOAPIC */
		} pin;
	};
};
struct irq_backend_ops {
	int (*set_line)(void *, uint32_t gsi, bool level);
	int (*set_routes)(void *, const struct irq_backend_route *, unsigned n);
	/* resample_fd -1: edge */
	int (*irqfd_add)(void *, uint32_t gsi, int fd, int resample_fd);
	int (*irqfd_del)(void *, uint32_t gsi, int fd);
	int (*signal_msi)(void *, uint64_t addr, uint32_t data, uint32_t devid);
};

struct stats;

struct irq_table *irq_table_new(const struct irq_backend_ops *, void *opaque, unsigned max_gsi);
void irq_table_free(struct irq_table *);
/* Shows how often each line was raised. */
void irq_table_add_stats(struct irq_table *, struct stats *);

/* Level lines are shared: a GSI is high while any source holds it. `id` is the number that
 * irq_source_init() gives a source of the GSI. */
struct irq_source {
	struct irq_table *table;
	uint32_t gsi;
	unsigned id;
};
int irq_source_init(struct irq_table *, uint32_t gsi, struct irq_source *);
void irq_set(struct irq_source *, bool level);
void irq_source_release(struct irq_source *); /* lowers it and gives the id back */
/* Level interrupt by eventfd with EOI notification (INTx of passed-through devices). */
int irq_line_irqfd_add(struct irq_table *, uint32_t gsi, int fd, int resample_fd);
void irq_line_irqfd_del(struct irq_table *, uint32_t gsi, int fd);

/* A route: message plus optional eventfd. Created masked (no eventfd attached). NULL: no GSI is
 * free. */
struct msi_route *msi_route_new(struct irq_table *);
void msi_route_free(struct msi_route *);
/* Takes effect at the next irq_commit(). An unchanged message costs nothing. */
void msi_route_set(struct msi_route *, uint64_t addr, uint32_t data, uint32_t devid);
int irq_commit(struct irq_table *);
/* Attach (fd >= 0) or detach (-1 = masked) the irqfd. The message must be committed first.
 * Idempotent. */
int msi_route_attach(struct msi_route *, int fd);
/* Injects once from a thread of ours (no eventfd). */
int msi_route_signal(struct msi_route *);

#endif
