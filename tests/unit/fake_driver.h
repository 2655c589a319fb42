/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's virtio driver, and a machine with the device that it uses, at FAKE_DEVFN. The rings of
 * queue q are at driver_base(q) in guest memory. */
#ifndef FAKE_DRIVER_H
#define FAKE_DRIVER_H

#include <stddef.h>
#include <linux/virtio_pci.h>

#include "tests/unit/fake_root.h"
#include "tests/unit/ring.h"

#define FAKE_DEVFN  PCI_DEVFN(3, 0)
#define FAKE_BAR    0xe0000000u
#define FAKE_NOTIFY (FAKE_BAR + 0x3000)
#define FAKE_QUEUE  0x4000u
#define FAKE_QUEUES 15u

/* A register of the common configuration. */
#define C(field) ((uint32_t)offsetof(struct virtio_pci_common_cfg, field))

struct fake_driver {
	struct fake_root f;
	struct pci_root *root; /* &f.root */
	struct ring r;	       /* guest memory */
	uint16_t avail_idx[FAKE_QUEUES];
};

/* Makes a machine with memory and a main loop. 0 or a negative errno. */
int fake_driver_init(struct fake_driver *);
void fake_driver_free(struct fake_driver *);

/* Maps the device's registers at FAKE_BAR. */
void driver_map(struct fake_driver *);
uint32_t driver_reg(struct fake_driver *, uint32_t off, unsigned size);
void driver_reg_set(struct fake_driver *, uint32_t off, unsigned size, uint32_t val);
uint8_t driver_status(struct fake_driver *);
void driver_status_set(struct fake_driver *, uint8_t);
/* Resets the device, acknowledges it, and accepts these features (0 to 31) and VERSION_1. */
void driver_accept(struct fake_driver *, uint32_t features);
/* The two first queues' rings lie before RING_DATA, the others' in the second quarter. */
static inline uint32_t driver_base(unsigned q)
{
	return FAKE_QUEUE * (q + 1) + (q < 2 ? 0 : RING_MEM / 4);
}

/* The same on a mapped device, then empty rings for as many queues. */
void driver_prepare(struct fake_driver *, unsigned queues, uint32_t features);
/* Like driver_prepare(), for a device that is mapped already. */
void driver_rings(struct fake_driver *, unsigned queues, uint32_t features);
/* Those of one queue, which is enabled with them. */
void driver_ring(struct fake_driver *, unsigned q);
void driver_go(struct fake_driver *);

/* Puts descriptor i into queue q's available ring. */
void driver_offer(struct fake_driver *, unsigned q, uint16_t i, uint64_t addr, uint32_t len,
		  uint16_t flags);
/* A command of so many bytes, with one byte for its answer, and a kick. */
void driver_command(struct fake_driver *, unsigned q, uint64_t addr, uint32_t len, uint64_t answer);
/* Kicks by a write to the register, because doorbells need KVM. */
void driver_kick(struct fake_driver *, unsigned q);
struct virtq_used *driver_used(struct fake_driver *, unsigned q);
/* Runs the main loop for ms milliseconds. */
void driver_turn(struct fake_driver *, unsigned ms);

#endif
