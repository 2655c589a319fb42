/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One KVM virtual machine with its in-kernel interrupt chips, its memslots and its ioeventfds. This
 * header hides <linux/kvm.h> from other rooms.
 *
 * Threads: the main thread calls kvm_open() and kvm_close(). The listener and the doorbells are
 * called by the thread that changes guest memory or a bus; the lock of the memory map or of the bus
 * serialises the calls.
 */
#ifndef VMM_KVM_KVM_H
#define VMM_KVM_KVM_H

#include "vmm/core/bus.h"
#include "vmm/core/error.h"
#include "vmm/core/irq.h"
#include "vmm/core/mem.h"

/* KVM needs four pages of guest addresses on Intel hosts without "unrestricted guest": one for the
 * identity map and three for the TSS. These lie above low RAM and below the flash, which ends at
 * 4 GiB. QEMU uses the same addresses, so operating systems know them. */
#define KVM_IDENTITY_ADDR 0xfeffc000u
#define KVM_TSS_ADDR	  0xfeffd000u
#define KVM_PRIVATE_SIZE  0x4000u

struct kvm_slot;

struct kvm {
	int dev, vm;	 /* /dev/kvm and the machine; -1 when closed */
	int stats_fd;	 /* for kvm_stats_read(); -1: the kernel has no statistics */
	int vfio;	 /* KVM's VFIO device (kvm_vfio.c); -1: not created yet */
	size_t run_size; /* bytes of a vCPU's shared page(s) */
	unsigned max_vcpus, max_slots, max_gsi;
	bool readonly_mem, tsc_deadline;
	struct mem_listener listener;
	struct kvm_slot *slots;
	unsigned n_slots;
};

/* The opaque value of kvm_doorbell_ops. pio: the bus is that of the I/O ports. */
struct kvm_doorbells {
	struct kvm *kvm;
	bool pio;
};

extern const struct irq_backend_ops kvm_irq_ops; /* opaque: struct kvm */
extern const struct doorbell_ops kvm_doorbell_ops;

/* Opens /dev/kvm and checks that KVM has what we need. After an error kvm_close() is safe. */
int kvm_open(struct kvm *, struct error *);
/* Creates a VM without memory, chips and vCPUs. */
int kvm_create(struct kvm *, struct error *);
void kvm_close(struct kvm *);
/* Creates PIC, IOAPIC and PIT, and makes KVM create LAPICs. Call it before the first vCPU, and
 * after guest RAM: the creation starts an SRCU grace period, and a memslot that is added later
 * waits for its end (5.9 instead of 1.4 ms to the first guest instruction of a bare program,
 * medians of 30).
 */
int kvm_create_chips(struct kvm *, struct error *);

/* HLT, MWAIT and PAUSE no longer leave the guest: its CPUs are always busy, and its wake-ups are
 * immediate. Call it before the first vCPU. -EOPNOTSUPP: KVM does not support it on this host. */
int kvm_disable_exits(struct kvm *, struct error *);

/* The PIT no longer injects lost ticks again. Takes milliseconds; vCPUs may run meanwhile. */
void kvm_stop_reinjection(struct kvm *);

/* Resets PIC, IOAPIC and PIT to their power-on state. */
int kvm_reset_chips(struct kvm *);

#endif
