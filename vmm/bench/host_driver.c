/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See host_driver.h. The device is opened, mapped and reset by the same code as a device for a
 * guest, but it is not plugged into a machine. Its IOMMU address space has one range, the DMA
 * memory.
 *
 * Threads: one.
 */
#include "vmm/bench/host_driver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vfio/iommu/iommu.h"
#include "vfio/vfio_pci.h"
#include "vfio/reset.h"
#include "vfio/host/sysfs.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/eventfd.h"
#include "vmm/core/mem.h"

/* The address is low, for devices that have few address bits, and it lies below all ranges that
 * IOMMUs reserve. */
#define DMA_AT (16 * MiB)

struct host_driver {
	struct iommu *iommu;
	struct guest_mem *mem;
	struct vfio_pci *dev;
	struct vfio_reset *reset;
	void *dma;
	size_t dma_size;
	int irq;
	unsigned irq_index;
};

static void quiesce(void *dev)
{
	vfio_pci_quiesce(dev);
}

static int plan_reset(struct host_driver *h, const struct sysfs_pci *host, struct error *err)
{
	struct vfio_reset_device d = {
		.kernel = h->dev->k,
		.function_reset = vfio_pci_has_reset(h->dev),
		.methods = host->has_methods ? host->methods : NULL,
		.flr = !host->has_methods && vfio_pci_has_flr(h->dev),
		.quiesce = quiesce,
		.opaque = h->dev,
	};

	h->reset = vfio_reset_new(&d, 1, h->iommu, err);
	if (!h->reset)
		return err->code;
	vfio_reset_all(h->reset, true);
	return 0;
}

static int give_memory(struct host_driver *h, struct error *err)
{
	struct mem_range r = { .gpa = DMA_AT, .size = h->dma_size, .kind = MEM_RAM, .dma = true };
	int ret;

	h->mem = guest_mem_new();
	h->dma = mmap(NULL, h->dma_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	if (!h->mem || h->dma == MAP_FAILED)
		return error_set(err, -ENOMEM, "no memory for the device");
	r.host = h->dma;
	ret = guest_mem_add(h->mem, &r);
	if (ret < 0)
		return error_set(err, ret, "the device's memory: %s", strerror(-ret));
	return iommu_attach_memory(h->iommu, h->mem, err);
}

static int set_command(const struct host_driver *h, uint16_t command, struct error *err)
{
	struct vfio_kernel *k = h->dev->k;
	uint8_t b[2] = { (uint8_t)command, (uint8_t)(command >> 8) };
	ssize_t n = k->ops->region_write(k, h->dev->cfg_off + PCI_COMMAND, b, sizeof(b));

	return n == (ssize_t)sizeof(b)
		       ? 0
		       : error_set(err, n < 0 ? (int)n : -EIO,
				   "%s: its command register cannot be written", k->name);
}

static int start(struct host_driver *h, struct vfio_kernel *kernel, const struct sysfs_pci *host,
		 struct error *err)
{
	static const struct vfio_pci_config pc = { .mmap = true, .clique = VFIO_NO_CLIQUE };
	const struct vfio_pci_env env = { .iommu = h->iommu };
	int ret;

	h->dev = vfio_pci_new(kernel, &pc, &env, err);
	if (!h->dev)
		return err->code;
	ret = plan_reset(h, host, err);
	if (ret == 0)
		ret = give_memory(h, err);
	if (ret == 0)
		ret = set_command(
			h, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE, err);
	return ret;
}

struct host_driver *host_driver_new(struct iommu *iommu, struct vfio_kernel *kernel,
				    const struct sysfs_pci *host, size_t dma_size,
				    struct error *err)
{
	struct host_driver *h = calloc(1, sizeof(*h));

	if (!h) {
		kernel->ops->close(kernel);
		iommu_free(iommu);
		error_set(err, -ENOMEM, "no memory for %s", host->bdf);
		return NULL;
	}
	h->iommu = iommu;
	h->dma = MAP_FAILED;
	h->dma_size = dma_size;
	h->irq = -1;
	if (start(h, kernel, host, err) == 0)
		return h;
	host_driver_close(h);
	return NULL;
}

struct host_driver *host_driver_open(const char *bdf, size_t dma_size, struct error *err)
{
	const struct iommu_config config = { 0 };
	struct vfio_kernel *kernel;
	struct sysfs_pci host;
	struct iommu *iommu;

	if (sysfs_check("", bdf, &host, err) < 0)
		return NULL;
	iommu = iommu_new(&config, err);
	if (!iommu)
		return NULL;
	kernel = iommu_open_device(iommu, &host, err);
	if (kernel)
		return host_driver_new(iommu, kernel, &host, dma_size, err);
	iommu_free(iommu);
	return NULL;
}

/* fd -1 switches the interrupt off. */
static int set_irq(const struct host_driver *h, int32_t fd)
{
	const size_t len = sizeof(struct vfio_irq_set) + sizeof(fd);
	scoped_free struct vfio_irq_set *s = calloc(1, len);
	struct vfio_kernel *k = h->dev->k;
	int ret;

	if (!s)
		return -ENOMEM;
	s->argsz = (uint32_t)(fd < 0 ? sizeof(*s) : len);
	s->flags = VFIO_IRQ_SET_ACTION_TRIGGER |
		   (fd < 0 ? VFIO_IRQ_SET_DATA_NONE : VFIO_IRQ_SET_DATA_EVENTFD);
	s->index = h->irq_index;
	s->count = fd < 0 ? 0 : 1;
	memcpy(s->data, &fd, fd < 0 ? 0 : sizeof(fd));
	ret = k->ops->set_irqs(k, s);
	return ret > 0 ? -ENOSPC : ret;
}

int host_driver_irq(struct host_driver *h)
{
	int fd, ret;

	if (h->irq >= 0)
		return h->irq;
	if (!h->dev->irq.table.n && !h->dev->irq.n_msi)
		return -ENODEV;
	h->irq_index = h->dev->irq.table.n ? VFIO_PCI_MSIX_IRQ_INDEX : VFIO_PCI_MSI_IRQ_INDEX;
	fd = eventfd_new();
	if (fd < 0)
		return -errno;
	ret = set_irq(h, fd);
	if (ret < 0) {
		close(fd);
		return ret;
	}
	return h->irq = fd;
}

void host_driver_close(struct host_driver *h)
{
	if (!h)
		return;
	if (h->irq >= 0)
		set_irq(h, -1);
	if (h->dev)
		set_command(h, 0, NULL);
	if (h->reset)
		vfio_reset_all(h->reset, true);
	vfio_reset_free(h->reset);
	if (h->dev)
		vfio_pci_free(h->dev);
	iommu_free(h->iommu);
	guest_mem_free(h->mem);
	if (h->dma != MAP_FAILED)
		munmap(h->dma, h->dma_size);
	cleanup_close(&h->irq);
	free(h);
}

uint32_t host_driver_config(const struct host_driver *h, unsigned off)
{
	struct vfio_kernel *k = h->dev->k;
	uint8_t b[4];

	if (k->ops->region_read(k, h->dev->cfg_off + off, b, sizeof(b)) != (ssize_t)sizeof(b))
		return UINT32_MAX;
	return pci_get32(b, 0);
}

volatile void *host_driver_bar0(const struct host_driver *h, uint64_t *size)
{
	const struct vfio_bar *bar = &h->dev->bar[0];

	if (!bar->host || !bar->n_areas || bar->area[0].off)
		return NULL;
	*size = bar->area[0].size < bar->size ? bar->area[0].size : bar->size;
	return bar->host;
}

void *host_driver_dma(const struct host_driver *h, iova_t *at)
{
	*at = IOVA(DMA_AT);
	return h->dma;
}
