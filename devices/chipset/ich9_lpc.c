/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ICH9 LPC bridge (Intel I/O Controller Hub 9 datasheet, chapter 13). Registers that have no effect
 * here keep the written value, because firmware reads it back. The PIRQ registers have no effect:
 * INTx is wired to GSI 16-23 and never to an ISA line.
 *
 * Threads: configuration space is accessed under the root lock. The two reset ports are single
 * bytes that any vCPU may write at any time. If two vCPUs write at once, either order is correct.
 */
#include "devices/chipset/ich9_lpc.h"

#include <errno.h>

#include "devices/chipset/acpi_pm.h"
#include "vmm/core/cleanup.h"

#define LPC_PMBASE	0x40
#define LPC_ACPI_CNTL	0x44
#define LPC_PIRQA	0x60
#define LPC_PIRQE	0x68
#define LPC_RCBA	0xf0
#define PMBASE_ADDR	0x0000ff80u
#define PMBASE_RTE	0x1 /* the address is an I/O port; always 1 */
#define ACPI_CNTL_EN	0x80
#define PIRQ_DISABLED	0x80
#define RST_CNT_RST_CPU 0x04
#define RST_CNT_BITS	0x0e
#define P92_INIT_NOW	0x01
#define P92_A20		0x02

static struct ich9_lpc *lpc_of(struct pci_device *dev)
{
	return container_of(dev, struct ich9_lpc, dev);
}

static void pm_follow(struct ich9_lpc *lpc)
{
	uint16_t base = (uint16_t)(pci_get32(lpc->dev.cfg, LPC_PMBASE) & PMBASE_ADDR);
	bool on = lpc->dev.cfg[LPC_ACPI_CNTL] & ACPI_CNTL_EN;

	acpi_pm_set_base(lpc->pm, on ? base : 0);
}

static void lpc_cfg_written(struct pci_device *dev, unsigned off, unsigned size)
{
	if (range_overlaps(off, size, LPC_PMBASE, LPC_ACPI_CNTL + 1 - LPC_PMBASE))
		pm_follow(lpc_of(dev));
}

static void lpc_reset(struct pci_device *dev)
{
	struct ich9_lpc *lpc = lpc_of(dev);

	for (unsigned i = 0; i < 4; i++) {
		dev->cfg[LPC_PIRQA + i] = PIRQ_DISABLED;
		dev->cfg[LPC_PIRQE + i] = PIRQ_DISABLED;
	}
	lpc->rst_cnt = 0;
	lpc->p92 = P92_A20;
	pm_follow(lpc);
	acpi_pm_reset(lpc->pm);
}

static const struct pci_device_ops lpc_ops = {
	.cfg_written = lpc_cfg_written,
	.reset = lpc_reset,
};

static void request_reset(struct ich9_lpc *lpc)
{
	if (lpc->reset)
		lpc->reset(lpc->reset_arg);
}

static uint64_t rst_cnt_read(void *opaque, uint64_t off, unsigned size)
{
	struct ich9_lpc *lpc = opaque;

	(void)off, (void)size;
	return __atomic_load_n(&lpc->rst_cnt, __ATOMIC_RELAXED);
}

/* A write that sets RST_CPU resets the machine. SYS_RST and FULL_RST select the kind of reset on
 * hardware; here there is only one kind. */
static void rst_cnt_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
	struct ich9_lpc *lpc = opaque;
	uint8_t old = __atomic_exchange_n(&lpc->rst_cnt, (uint8_t)val & RST_CNT_BITS,
					  __ATOMIC_RELAXED);

	(void)off, (void)size;
	if (~old & val & RST_CNT_RST_CPU)
		request_reset(lpc);
}

const struct io_region_ops ich9_rst_cnt_ops = { rst_cnt_read, rst_cnt_write, 1, 1 };

static uint64_t port92_read(void *opaque, uint64_t off, unsigned size)
{
	struct ich9_lpc *lpc = opaque;

	(void)off, (void)size;
	return __atomic_load_n(&lpc->p92, __ATOMIC_RELAXED);
}

static void port92_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
	struct ich9_lpc *lpc = opaque;
	uint8_t old = __atomic_exchange_n(&lpc->p92, (uint8_t)val, __ATOMIC_RELAXED);

	(void)off, (void)size;
	if (~old & val & P92_INIT_NOW)
		request_reset(lpc);
}

static const struct io_region_ops port92_ops = { port92_read, port92_write, 1, 1 };

static void lpc_registers(struct pci_device *dev)
{
	pci_set32(dev->cfg, LPC_PMBASE, PMBASE_RTE);
	pci_set32(dev->wmask, LPC_PMBASE, PMBASE_ADDR);
	dev->wmask[LPC_ACPI_CNTL] = ACPI_CNTL_EN | 7; /* SCI select has no effect: always GSI 9 */
	for (unsigned i = 0; i < 4; i++) {
		dev->wmask[LPC_PIRQA + i] = 0x8f;
		dev->wmask[LPC_PIRQE + i] = 0x8f;
	}
	pci_set32(dev->wmask, LPC_RCBA, 0xffffc001);
}

int ich9_lpc_init(struct ich9_lpc *lpc, struct pci_root *root, struct acpi_pm *pm,
		  struct error *err)
{
	int ret;

	lpc->pm = pm;
	pci_device_init(&lpc->dev, "lpc", &lpc_ops, 0x8086, 0x2918, 0x060100, 2);
	lpc_registers(&lpc->dev);
	lpc->port92 = (struct io_region){
		.name = "port92", .base = 0x92, .size = 1, .ops = &port92_ops, .opaque = lpc
	};
	ret = pci_add(root, &root->bus, &lpc->dev, PCI_DEVFN(0x1f, 0), err);
	if (ret)
		return ret;
	ret = bus_add(root->pio, &lpc->port92);
	if (ret) {
		pci_remove(&lpc->dev);
		return error_set(err, ret, "I/O port 0x92 is taken");
	}
	lpc_reset(&lpc->dev);
	return 0;
}

void ich9_lpc_destroy(struct ich9_lpc *lpc)
{
	acpi_pm_set_base(lpc->pm, 0);
	bus_del(lpc->dev.root->pio, &lpc->port92);
	pci_remove(&lpc->dev);
	pci_device_destroy(&lpc->dev);
}

void ich9_lpc_set_pmbase(struct ich9_lpc *lpc)
{
	scoped_lock(&lpc->dev.root->lock);
	pci_default_cfg_write(&lpc->dev, LPC_PMBASE, 4, ICH9_PMBASE_DEFAULT | PMBASE_RTE);
	pci_default_cfg_write(&lpc->dev, LPC_ACPI_CNTL, 1, ACPI_CNTL_EN);
}
