/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts: level-triggered lines to the IOAPIC and PIC, and routes for MSIs. Both use one GSI
 * table.
 *
 * GSIs 0-23 are the pins of the interrupt chips; MSI routes use GSIs from 24 on. irq_commit() gives
 * all changes to the kernel in one KVM_SET_GSI_ROUTING, because each call costs an SRCU grace
 * period.
 *
 * Threads: any. One internal lock is held during the ioctls.
 */
#ifndef VMM_CORE_IRQ_H
#define VMM_CORE_IRQ_H

#include "vmm/core/addr.h"

struct irq_table;
struct msi_route;

#define IRQ_GSI_PCI_BASE 16 /* ACPI's _PRT maps INTx of PCI devices to GSI 16..23 */
#define IRQ_GSI_SCI	 9

/* A backend: vmm/kvm/kvm_irq.c, or a fake in unit tests. */
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
	/* resample_fd -1: edge-triggered */
	int (*irqfd_add)(void *, uint32_t gsi, int fd, int resample_fd);
	int (*irqfd_del)(void *, uint32_t gsi, int fd);
	int (*signal_msi)(void *, uint64_t addr, uint32_t data, uint32_t devid);
};

struct stats;

struct irq_table *irq_table_new(const struct irq_backend_ops *, void *opaque, unsigned max_gsi);
void irq_table_free(struct irq_table *);
/* Adds to the statistics how often each line was raised. */
void irq_table_add_stats(struct irq_table *, struct stats *);

/* A source of a line. Several sources may share a GSI, which is high while any of them is high.
 * `id` is the number of the source on its GSI, from irq_source_init(). */
struct irq_source {
	struct irq_table *table;
	uint32_t gsi;
	unsigned id;
};
int irq_source_init(struct irq_table *, uint32_t gsi, struct irq_source *);
void irq_set(struct irq_source *, bool level);
void irq_source_release(struct irq_source *); /* lowers the line and frees the id */
/* A level-triggered interrupt by eventfd (INTx of passed-through devices): a write to fd raises it,
 * and the kernel signals resample_fd at the guest's EOI. */
int irq_line_irqfd_add(struct irq_table *, uint32_t gsi, int fd, int resample_fd);
void irq_line_irqfd_del(struct irq_table *, uint32_t gsi, int fd);

/* A route has a message and may have an eventfd. A new route has none, so it is masked. NULL: no
 * GSI is free. */
struct msi_route *msi_route_new(struct irq_table *);
void msi_route_free(struct msi_route *);
/* Sets the message. It takes effect at the next irq_commit(). Setting the same message again costs
 * nothing. */
void msi_route_set(struct msi_route *, uint64_t addr, uint32_t data, uint32_t devid);
int irq_commit(struct irq_table *);
/* Attaches an eventfd as irqfd, or detaches it (fd -1: masked). The message must have been
 * committed before. Calling it again with the same fd changes nothing. */
int msi_route_attach(struct msi_route *, int fd);
/* Injects the message once, without an eventfd. */
int msi_route_signal(struct msi_route *);

#endif
