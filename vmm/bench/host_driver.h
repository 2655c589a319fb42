/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device bound to vfio-pci, driven by this process instead of a guest: its registers, memory that
 * it reaches, one interrupt.
 *
 * Threads: one.
 */
#ifndef VMM_BENCH_HOST_DRIVER_H
#define VMM_BENCH_HOST_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#include "vmm/core/addr.h"
#include "vmm/core/error.h"

struct host_driver;
struct iommu;
struct sysfs_pci;
struct vfio_kernel;

/* Opens the device (the refusals are those of --vfio), resets it, gives it `dma_size` bytes of
 * zeroes (whole pages), decoding and bus mastering. NULL with *err set: nothing has changed. */
struct host_driver *host_driver_open(const char *bdf, size_t dma_size, struct error *);
/* The same of a device that is open already; takes both over, also when it fails. */
struct host_driver *host_driver_new(struct iommu *, struct vfio_kernel *, const struct sysfs_pci *,
				    size_t dma_size, struct error *);
/* Quiet, reset, its memory taken from it, closed. NULL: nothing. A process that dies leaves the
 * same to the kernel. */
void host_driver_close(struct host_driver *);

/* 32 bits of configuration space; all-ones when the device does not answer. */
uint32_t host_driver_config(const struct host_driver *, unsigned off);
/* BAR 0 from its start, *size bytes of it; NULL: it is not there or cannot be mapped. */
volatile void *host_driver_bar0(const struct host_driver *, uint64_t *size);
/* The memory, and where the device has it. */
void *host_driver_dma(const struct host_driver *, iova_t *at);
/* Vector 0 of MSI-X, else of MSI: a non-blocking eventfd of the driver's, the same at each call.
 * -ENODEV: it has neither; -errno. */
int host_driver_irq(struct host_driver *);

#endif
