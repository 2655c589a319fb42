/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-rng (VIRTIO 1.2 §5.4): random numbers from the host's kernel. */
#ifndef DEVICES_VIRTIO_VIRTIO_RNG_H
#define DEVICES_VIRTIO_VIRTIO_RNG_H

#include <stdint.h>

struct device_class;
struct error;
struct pci_bus;
struct pci_root;
struct virtio_rng;

struct virtio_rng *virtio_rng_new(struct pci_root *, struct pci_bus *, uint8_t devfn,
				  struct error *);
void virtio_rng_free(struct virtio_rng *); /* NULL is allowed */

extern const struct device_class virtio_rng_class;

#endif
