/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Host bridge. There are two ways to configuration space: the pair of I/O ports (PCI 3.0,
 * 3.2.2.3.2), and the memory window ECAM (PCIe 3.0, 7.2.2), whose address is in PCIEXBAR of the
 * memory controller (Intel 3 Series datasheet, 5.1.16). Each version of OVMF chooses its own
 * address. The window must follow the register at once, because OVMF's next access already uses it.
 *
 * Threads: both ways take the root lock, in the callbacks and not in the bus. The reason: to move
 * the window, the old one is taken off the bus, which waits for the callbacks inside it, and these
 * wait for the root lock. So a write only notes that PCIEXBAR has changed, and the window moves
 * after the root lock is released. Only one thread moves the window at a time: it holds ecam_lock,
 * and others only try to take it. The holder checks ecam_stale again after the unlock. So no
 * callback ever waits for a thread that itself waits for callbacks.
 */
#include "devices/pci/pci_host.h"

#include <errno.h>
#include <stdio.h>

#include "vmm/core/cleanup.h"

#define MCH_PCIEXBAR	  0x60
#define MCH_PCIEXBAR_EN	  0x1u
#define MCH_PCIEXBAR_LEN  0x6u
#define MCH_PCIEXBAR_BASE 0xfffffffffull /* bits 35:0; the size masks the low ones */
#define CF8_ENABLE	  0x80000000u
#define CF8_BITS	  0x80fffffcu
#define RST_CNT_OFF	  1 /* 0xcf9 within CONFIG_ADDRESS */

static struct pci_host *host_of(struct pci_device *mch)
{
	return container_of(mch, struct pci_host, mch);
}

static uint64_t ecam_from_register(const struct pci_device *mch, uint64_t *base)
{
	uint32_t low = pci_get32(mch->cfg, MCH_PCIEXBAR);
	uint64_t v = (uint64_t)pci_get32(mch->cfg, MCH_PCIEXBAR + 4) << 32 | low;
	unsigned len = (low & MCH_PCIEXBAR_LEN) >> 1;
	uint64_t size = 256 * MiB >> len;

	*base = v & MCH_PCIEXBAR_BASE & ~(size - 1);
	/* Length 3 is reserved. With base 0 the window would lie over RAM. */
	return (low & MCH_PCIEXBAR_EN) && len < 3 && *base ? size : 0;
}

uint64_t pci_host_ecam(struct pci_host *host, uint64_t *base)
{
	scoped_lock(&host->root->lock);
	return ecam_from_register(&host->mch, base);
}

static void ecam_move(struct pci_host *host)
{
	uint64_t base, size = pci_host_ecam(host, &base);

	if (host->ecam.mapped && host->ecam.base == base && host->ecam.size == size)
		return;
	if (host->ecam.mapped)
		bus_del(host->root->mmio, &host->ecam);
	host->ecam.base = base;
	host->ecam.size = size;
	if (size && bus_add(host->root->mmio, &host->ecam))
		log_guest(&host->mch.limit, "PCIEXBAR: no room for ECAM at %#llx",
			  (unsigned long long)base);
}

static void ecam_follow(struct pci_host *host)
{
	/* Needs sequential consistency: a thread whose trylock fails has set the flag before, and
	 * the holder of the lock reads the flag after its unlock. */
	while (__atomic_load_n(&host->ecam_stale, __ATOMIC_SEQ_CST) &&
	       pthread_mutex_trylock(&host->ecam_lock) == 0) {
		__atomic_store_n(&host->ecam_stale, false, __ATOMIC_SEQ_CST);
		ecam_move(host);
		pthread_mutex_unlock(&host->ecam_lock);
	}
}

static void mch_cfg_written(struct pci_device *mch, unsigned off, unsigned size)
{
	uint64_t base, ecam;

	if (!range_overlaps(off, size, MCH_PCIEXBAR, 8))
		return;
	/* Devices must remove their guest memory from the new place before the window moves. */
	ecam = ecam_from_register(mch, &base);
	pci_set_ecam_range(mch->root, base, ecam);
	__atomic_store_n(&host_of(mch)->ecam_stale, true, __ATOMIC_SEQ_CST);
}

/* Holds the root lock. No vCPU runs, so bus_del() does not wait for a callback that needs the lock.
 */
static void mch_reset(struct pci_device *mch)
{
	struct pci_host *host = host_of(mch);

	if (host->ecam.mapped)
		bus_del(host->root->mmio, &host->ecam);
	__atomic_store_n(&host->ecam_stale, false, __ATOMIC_SEQ_CST);
	pci_set_ecam_range(host->root, 0, 0);
}

static const struct pci_device_ops mch_ops = {
	.cfg_written = mch_cfg_written,
	.reset = mch_reset,
};

static uint32_t cfg_read(struct pci_host *host, unsigned rid, unsigned off, unsigned size)
{
	scoped_lock(&host->root->lock);
	return pci_cfg_read(host->root, (uint8_t)(rid >> 8), (uint8_t)rid, off, size);
}

static void cfg_write(struct pci_host *host, unsigned rid, unsigned off, unsigned size,
		      uint32_t val)
{
	{
		scoped_lock(&host->root->lock);
		pci_cfg_write(host->root, (uint8_t)(rid >> 8), (uint8_t)rid, off, size, val);
	}
	ecam_follow(host);
}

/* ---- 0xcf8: CONFIG_ADDRESS for dwords, reset control for the byte at 0xcf9 ---- */

static uint64_t cf8_read(void *opaque, uint64_t off, unsigned size)
{
	struct pci_host *host = opaque;

	if (off == 0 && size == 4)
		return __atomic_load_n(&host->root->cf8, __ATOMIC_RELAXED);
	if (off == RST_CNT_OFF && size == 1 && host->rst_cnt)
		return host->rst_cnt->read(host->rst_cnt_opaque, 0, 1);
	return UINT64_MAX;
}

static void cf8_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
	struct pci_host *host = opaque;

	if (off == 0 && size == 4)
		__atomic_store_n(&host->root->cf8, (uint32_t)val & CF8_BITS, __ATOMIC_RELAXED);
	else if (off == RST_CNT_OFF && size == 1 && host->rst_cnt)
		host->rst_cnt->write(host->rst_cnt_opaque, 0, 1, val);
}

static const struct io_region_ops cf8_ops = { cf8_read, cf8_write, 1, 4 };

/* ---- 0xcfc: CONFIG_DATA ---- */

static uint64_t cfc_read(void *opaque, uint64_t off, unsigned size)
{
	struct pci_host *host = opaque;
	uint32_t a = __atomic_load_n(&host->root->cf8, __ATOMIC_RELAXED);

	if (!(a & CF8_ENABLE))
		return UINT64_MAX;
	return cfg_read(host, a >> 8 & 0xffff, (a & 0xfc) + (unsigned)off, size);
}

static void cfc_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
	struct pci_host *host = opaque;
	uint32_t a = __atomic_load_n(&host->root->cf8, __ATOMIC_RELAXED);

	if (a & CF8_ENABLE)
		cfg_write(host, a >> 8 & 0xffff, (a & 0xfc) + (unsigned)off, size, (uint32_t)val);
}

static const struct io_region_ops cfc_ops = { cfc_read, cfc_write, 1, 4 };

/* ---- ECAM: bus, device and function are address bits 27:12 ---- */

static uint64_t ecam_read(void *opaque, uint64_t off, unsigned size)
{
	return cfg_read(opaque, (unsigned)(off >> 12) & 0xffff, off & 0xfff, size);
}

static void ecam_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
	cfg_write(opaque, (unsigned)(off >> 12) & 0xffff, off & 0xfff, size, (uint32_t)val);
}

static void explain_ecam(const struct io_region *r, uint64_t off, struct io_place *p)
{
	struct pci_host *host = r->opaque;

	pci_explain_cfg(host->root, (uint8_t)(off >> 20), (uint8_t)(off >> 12), off & 0xfff, p);
}

static const struct io_region_ops ecam_ops = { ecam_read, ecam_write, 1, 4 };

static void mch_init(struct pci_device *mch)
{
	pci_device_init(mch, "mch", &mch_ops, 0x8086, 0x29c0, 0x060000, 2);
	/* Writable bits: the base (35:26), the length and the enable bit. */
	pci_set32(mch->wmask, MCH_PCIEXBAR, 0xfc000007);
	pci_set32(mch->wmask, MCH_PCIEXBAR + 4, 0x0000000f);
}

static void explain_ports(const struct io_region *r, uint64_t off, struct io_place *p)
{
	p->off = r->base + off;
	snprintf(p->cause, sizeof(p->cause), "configuration by ports, emulated");
}

static int add_ports(struct pci_host *host)
{
	int ret = bus_add(host->root->pio, &host->cf8);

	if (ret)
		return ret;
	ret = bus_add(host->root->pio, &host->cfc);
	if (ret)
		bus_del(host->root->pio, &host->cf8);
	return ret;
}

int pci_host_init(struct pci_host *host, struct pci_root *root, struct error *err)
{
	int ret;

	host->root = root;
	host->ecam_stale = false;
	pthread_mutex_init(&host->ecam_lock, NULL);
	host->cf8 = (struct io_region){ .name = "pci-config",
					.base = PCI_HOST_CF8,
					.size = 4,
					.ops = &cf8_ops,
					.opaque = host,
					.explain = explain_ports };
	host->cfc = (struct io_region){
		.name = "pci-data",
		.base = 0xcfc,
		.size = 4,
		.ops = &cfc_ops,
		.opaque = host,
		.explain = explain_ports,
	};
	/* By its priority the window wins over a BAR that the guest puts there. */
	host->ecam = (struct io_region){
		.name = "pci-ecam",
		.ops = &ecam_ops,
		.opaque = host,
		.priority = PCI_PRIO_ECAM,
		.explain = explain_ecam,
	};
	mch_init(&host->mch);
	ret = pci_add(root, &root->bus, &host->mch, PCI_DEVFN(0, 0), err);
	if (ret)
		return ret;
	ret = add_ports(host);
	if (ret) {
		pci_remove(&host->mch);
		return error_set(err, ret, "PCI configuration ports 0xcf8-0xcff are taken");
	}
	return 0;
}

void pci_host_destroy(struct pci_host *host)
{
	if (host->ecam.mapped)
		bus_del(host->root->mmio, &host->ecam);
	bus_del(host->root->pio, &host->cfc);
	bus_del(host->root->pio, &host->cf8);
	pci_remove(&host->mch);
	pci_device_destroy(&host->mch);
	pthread_mutex_destroy(&host->ecam_lock);
}

void pci_host_set_ecam(struct pci_host *host, uint64_t base)
{
	{
		scoped_lock(&host->root->lock);
		pci_default_cfg_write(&host->mch, MCH_PCIEXBAR + 4, 4, (uint32_t)(base >> 32));
		pci_default_cfg_write(&host->mch, MCH_PCIEXBAR, 4,
				      (uint32_t)base | MCH_PCIEXBAR_EN);
	}
	ecam_follow(host);
}
