/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Quirks: what particular hardware does that the rules do not know of.
 *
 * Mirrors. Some devices show their configuration space in a BAR. Drivers read BAR addresses there,
 * and would find the host's; and what they write would go past everything config.c emulates. The
 * window is trapped and answered by the guest's configuration space.
 *
 * NVIDIA: nouveau's register documentation (envytools, docs/hw/mmio.rst and docs/hw/bus/pci.rst):
 * PPCI, at 0x088000-0x088fff of BAR 0 since NV40, is the configuration space; before NV50 its first
 * 256 bytes are also in PBUS at 0x1800-0x18ff. The page of the second holds other registers, so it
 * is trapped only for the chips that have it (ids of nouveau's drm/nouveau/nvkm/engine/device).
 *
 * Threads: the window's callbacks take the root lock, which may be held by a thread that waits in
 * bus_del() for these very callbacks to end; so they try, and give up once the window is unmapped.
 */
#include "vfio/quirk.h"

#include <sched.h>

struct quirk {
	uint16_t vendor, first, last; /* device ids */
	uint8_t base_class;
	uint8_t bar;
	uint32_t off, size;
};

#define NVIDIA	0x10de
#define DISPLAY 0x03

static const struct quirk quirks[] = {
	{ NVIDIA, 0x0000, 0xffff, DISPLAY, 0, 0x88000, 0x1000 },
	{ NVIDIA, 0x0020, 0x018f, DISPLAY, 0, 0x1800, 0x100 }, /* NV04 to NV44 */
	{ NVIDIA, 0x01a0, 0x01df, DISPLAY, 0, 0x1800, 0x100 }, /* NV1A, NV1F, NV46 */
	{ NVIDIA, 0x0200, 0x0253, DISPLAY, 0, 0x1800, 0x100 }, /* NV20, NV25, NV4E, NV40 */
	{ NVIDIA, 0x0280, 0x03df, DISPLAY, 0, 0x1800, 0x100 }, /* NV28 to NV4B, NV63, NV68 */
};

static bool applies(const struct quirk *q, const struct vfio_pci *v)
{
	uint16_t id = pci_get16(v->dev.cfg, PCI_DEVICE_ID);

	return pci_get16(v->dev.cfg, PCI_VENDOR_ID) == q->vendor && id >= q->first &&
	       id <= q->last && v->dev.cfg[PCI_CLASS_DEVICE + 1] == q->base_class;
}

/* The root lock, or false when the window is going away. */
static bool lock_root(struct vfio_mirror *m)
{
	while (pthread_mutex_trylock(&m->v->dev.root->lock)) {
		if (!__atomic_load_n(&m->part.region.mapped, __ATOMIC_RELAXED))
			return false;
		sched_yield();
	}
	return true;
}

static uint64_t mirror_read(void *opaque, uint64_t off, unsigned size)
{
	struct vfio_mirror *m = opaque;
	struct pci_device *dev = &m->v->dev;
	struct pci_root *root = dev->root;
	uint32_t val;

	if (!lock_root(m))
		return UINT32_MAX;
	val = dev->ops->cfg_read(dev, (unsigned)off & ~(size - 1), size);
	pthread_mutex_unlock(&root->lock);
	return val;
}

static void mirror_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
	struct vfio_mirror *m = opaque;
	struct pci_device *dev = &m->v->dev;
	struct pci_root *root = dev->root;

	if (!lock_root(m))
		return;
	dev->ops->cfg_write(dev, (unsigned)off & ~(size - 1), size, (uint32_t)val);
	/* NVIDIA's drivers acknowledge an MSI by a write to the capability's id in the mirror,
	 * which re-arms the hardware (nouveau: nvkm/subdev/pci, *_pci_msi_rearm): it must get
	 * through. */
	if (m->v->msi_cap && off == m->v->msi_cap)
		m->v->k->ops->region_write(
			m->v->k, m->v->bar[m->part.bar].region_off + m->part.off + off, &val, size);
	pthread_mutex_unlock(&root->lock);
}

static const struct io_region_ops mirror_ops = { .read = mirror_read,
						 .write = mirror_write,
						 .max_size = 4 };

void vfio_quirks_init(struct vfio_pci *v)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(quirks) && n < VFIO_MAX_MIRRORS; i++) {
		const struct quirk *q = &quirks[i];
		struct vfio_mirror *m = &v->mirror[n];

		if (!applies(q, v))
			continue;
		*m = (struct vfio_mirror){
			.v = v,
			.part = { .bar = q->bar,
				  .off = q->off,
				  .what = "registers that mirror configuration space",
				  .why = "it is emulated",
				  .region = { .size = q->size,
					      .ops = &mirror_ops,
					      .opaque = m,
					      .priority = PCI_PRIO_MIRROR } },
		};
		n += pci_add_bar_part(&v->dev, &m->part) == 0;
	}
}
