/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor underneath: one KVM virtual machine with its in-kernel interrupt chips, its
 * memslots and its ioeventfds. <linux/kvm.h> stays behind this header.
 *
 * Threads: kvm_open/kvm_close by the main thread; the listener and the doorbells by whoever changes
 * guest memory or a bus (their locks serialise them).
 */
#ifndef VMM_KVM_KVM_H
#define VMM_KVM_KVM_H

#include "vmm/core/bus.h"
#include "vmm/core/error.h"
#include "vmm/core/irq.h"
#include "vmm/core/mem.h"

/* Where the four pages live that KVM needs on Intel hosts without unrestricted guest: above
 * anything RAM and below the 4 MiB of flash that end at 4 GiB (QEMU's choice, known to OSes). */
#define KVM_IDENTITY_ADDR 0xfeffc000u
#define KVM_TSS_ADDR	  0xfeffd000u
#define KVM_PRIVATE_SIZE  0x4000u

struct kvm_slot;

struct kvm {
	int dev, vm;	 /* /dev/kvm and the machine; -1 when closed */
	int stats_fd;	 /* for kvm_stats_read(); -1: the kernel has none */
	int vfio;	 /* KVM's VFIO device (kvm_vfio.c); -1: not made */
	size_t run_size; /* bytes of a vCPU's shared page(s) */
	unsigned max_vcpus, max_slots, max_gsi;
	bool readonly_mem, tsc_deadline;
	struct mem_listener listener;
	struct kvm_slot *slots;
	unsigned n_slots;
};

/* The opaque of kvm_doorbell_ops: which of the two address spaces the bus is. */
struct kvm_doorbells {
	struct kvm *kvm;
	bool pio;
};

extern const struct irq_backend_ops kvm_irq_ops; /* opaque: struct kvm */
extern const struct doorbell_ops kvm_doorbell_ops;

/* Opens /dev/kvm and checks what is needed. After an error kvm_close() is safe. */
int kvm_open(struct kvm *, struct error *);
/* An empty machine. */
int kvm_create(struct kvm *, struct error *);
void kvm_close(struct kvm *);
/* PIC, IOAPIC, LAPICs and PIT. Before the first vCPU, and after guest RAM: their creation starts an
 * SRCU grace period that a memslot behind it would wait for (5.9 against 1.4 ms to the first guest
 * instruction of a bare program, medians of 30). */
int kvm_create_chips(struct kvm *, struct error *);

/* The guest halts, waits and spins without leaving: its CPUs are busy, its wake-ups immediate.
 * Before the first vCPU. -EOPNOTSUPP: KVM cannot do it here. */
int kvm_disable_exits(struct kvm *, struct error *);

/* The PIT stops making up for lost ticks. Takes milliseconds; vCPUs may run meanwhile. */
void kvm_stop_reinjection(struct kvm *);

/* PIC, IOAPIC and PIT back to their power-on state. */
int kvm_reset_chips(struct kvm *);

#endif
