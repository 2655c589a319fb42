/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACPI through fw_cfg. OVMF reads the directory early, so the sizes must be constant. It reads the
 * blobs after it has enumerated PCI, and the loader script first. So the blobs are built when the
 * script is selected, from the PCI registers at that time.
 *
 * Threads: the callback runs under fw_cfg's lock and takes the PCI root lock. Nobody takes fw_cfg's
 * lock while holding the PCI root lock.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/pci/pci_host.h"
#include "firmware/acpi/acpi_parts.h"
#include "devices/chipset/fw_cfg.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/log.h"

#define WINDOW_ALIGN GiB

/* Extends the 64-bit window of the platform, so that it contains [base, base + size). */
static void cover(struct platform *p, uint64_t base, uint64_t size)
{
	uint64_t lo = align_down(base, WINDOW_ALIGN), end, old_end;

	if (base < 4 * GiB || !range_ok(base, size, 1ull << 52))
		return;
	end = align_up(base + size, WINDOW_ALIGN); /* no overflow: below 2^52 */
	if (!p->map.mmio64_size) {
		p->map.mmio64_base = lo;
		p->map.mmio64_size = end - lo;
		return;
	}
	old_end = p->map.mmio64_base + p->map.mmio64_size;
	if (lo < p->map.mmio64_base)
		p->map.mmio64_base = lo;
	p->map.mmio64_size = (end > old_end ? end : old_end) - p->map.mmio64_base;
}

static int cover_device(void *arg, struct pci_device *dev)
{
	for (unsigned n = 0; n < PCI_NUM_BARS; n++)
		if (dev->bar[n].kind == PCI_BAR_MEM64)
			cover(arg, pci_bar_addr(dev, n), dev->bar[n].size);
	return 0;
}

void acpi_follow_pci(struct platform *p, struct pci_host *host)
{
	p->ecam_size = pci_host_ecam(host, &p->ecam_base);
	scoped_lock(&host->root->lock);
	p->buses = pci_buses(host->root);
	pci_each(host->root, cover_device, p);
}

static void build(void *arg)
{
	struct acpi_fw_cfg *f = arg;
	struct platform p = f->platform;
	int ret;

	if (f->host)
		acpi_follow_pci(&p, f->host);
	ret = acpi_build(f->blobs, &p);
	if (ret)
		/* This happens only if the guest sets PCIEXBAR or a BAR to an absurd address. */
		log_guest(&f->limit, "the ACPI tables cannot be built: %s", strerror(-ret));
}

int acpi_fw_cfg_add(struct acpi_fw_cfg *f, struct fw_cfg *fw, const struct platform *p,
		    struct pci_host *host)
{
	struct fw_cfg_ref tables, rsdp, loader;
	int ret;

	*f = (struct acpi_fw_cfg){ .platform = *p, .host = host };
	f->blobs = calloc(1, sizeof(*f->blobs));
	if (!f->blobs)
		return -ENOMEM;
	tables = (struct fw_cfg_ref){ .data = f->blobs->tables, .len = sizeof(f->blobs->tables) };
	rsdp = (struct fw_cfg_ref){ .data = f->blobs->rsdp, .len = sizeof(f->blobs->rsdp) };
	loader = (struct fw_cfg_ref){
		.data = f->blobs->loader, .len = sizeof(f->blobs->loader), .select = build, .arg = f
	};
	/* Build once now, to check before the guest runs that the tables fit. */
	ret = acpi_build(f->blobs, p);
	if (!ret)
		ret = fw_cfg_add_file_ref(fw, ACPI_FILE_TABLES, &tables);
	if (!ret)
		ret = fw_cfg_add_file_ref(fw, ACPI_FILE_RSDP, &rsdp);
	return ret ? ret : fw_cfg_add_file_ref(fw, ACPI_FILE_LOADER, &loader);
}

void acpi_fw_cfg_destroy(struct acpi_fw_cfg *f)
{
	free(f->blobs);
	f->blobs = NULL;
}
