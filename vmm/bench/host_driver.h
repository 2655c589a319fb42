/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device that is bound to vfio-pci and driven by this process instead of a guest: its registers,
 * memory for its DMA, and one interrupt.
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

/* Opens the device under the same conditions as --vfio and resets it. Maps `dma_size` bytes of
 * zeroed memory (whole pages) for its DMA, and enables memory decoding and bus mastering. NULL with
 * *err set: nothing has changed. */
struct host_driver *host_driver_open(const char *bdf, size_t dma_size, struct error *);
/* The same for a device that is already open. Takes ownership of both, also when it fails. */
struct host_driver *host_driver_new(struct iommu *, struct vfio_kernel *, const struct sysfs_pci *,
				    size_t dma_size, struct error *);
/* Stops and resets the device, unmaps its DMA memory and closes it. NULL is allowed. If the process
 * dies, the kernel does the same. */
void host_driver_close(struct host_driver *);

/* 32 bits of configuration space; all ones if the device does not answer. */
uint32_t host_driver_config(const struct host_driver *, unsigned off);
/* BAR 0; *size is the number of bytes that are mapped. NULL: the device has no BAR 0, or it cannot
 * be mapped. */
volatile void *host_driver_bar0(const struct host_driver *, uint64_t *size);
/* The DMA memory; *at is its address for the device. */
void *host_driver_dma(const struct host_driver *, iova_t *at);
/* Enables vector 0 of MSI-X, or of MSI if there is no MSI-X. Returns a non-blocking eventfd, the
 * same one at each call; the driver owns it. -ENODEV: the device has neither; or -errno. */
int host_driver_irq(struct host_driver *);

#endif
