/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/machine/chipset.h"

#include <string.h>

static int init_error(int ret, const char *what, struct error *err)
{
	return ret < 0 ? error_set(err, ret, "%s: %s", what, strerror(-ret)) : 0;
}

static void root_init(struct pci_root *pci, const struct chipset_env *env)
{
	pci_root_init(pci);
	pci->pio = env->pio;
	pci->mmio = env->mmio;
	pci->mem = env->mem;
	pci->irq = env->irq;
	pci->loop = env->loop;
	pci->stats = env->stats;
}

static int clock_init(struct machine_chipset *c, const struct chipset_env *env, struct error *err)
{
	const struct cmos_rtc_params p = {
		.pio = env->pio,
		.irq = env->irq,
		.loop = env->loop,
		.low_ram = env->map->low_ram,
		.high_ram = env->map->high_ram,
		.localtime = env->localtime,
	};

	return init_error(cmos_rtc_init(&c->cmos, &p), "the clock", err);
}

static int bridges_init(struct machine_chipset *c, struct error *err)
{
	int ret = pci_host_init(&c->host, &c->pci, err);

	if (ret < 0)
		return ret;
	ret = ich9_lpc_init(&c->lpc, &c->pci, &c->pm, err);
	if (ret < 0)
		pci_host_destroy(&c->host);
	return ret;
}

static int pci_init(struct machine_chipset *c, const struct chipset_env *env, struct error *err)
{
	int ret;

	root_init(&c->pci, env);
	ret = init_error(acpi_pm_init(&c->pm, env->pio, env->irq, env->loop), "power management",
			 err);
	if (ret == 0) {
		ret = bridges_init(c, err);
		if (ret < 0)
			acpi_pm_destroy(&c->pm);
	}
	if (ret < 0) {
		pci_root_destroy(&c->pci);
		c->pci.mmio = NULL;
	}
	return ret;
}

int machine_chipset_init(struct machine_chipset *c, const struct chipset_env *env,
			 struct error *err)
{
	int ret;

	c->pm.power_off = env->power_off;
	c->pm.power_off_arg = env->opaque;
	c->lpc.reset = env->reset;
	c->lpc.reset_arg = env->opaque;
	c->host.rst_cnt = &ich9_rst_cnt_ops;
	c->host.rst_cnt_opaque = &c->lpc;
	c->exit_port.exit = env->exit;
	c->exit_port.opaque = env->opaque;
	ret = init_error(exit_port_init(&c->exit_port, env->pio), "exit port", err);
	if (ret < 0)
		return ret;
	ret = clock_init(c, env, err);
	if (ret == 0) {
		ret = pci_init(c, env, err);
		if (ret < 0)
			cmos_rtc_destroy(&c->cmos);
	}
	if (ret < 0)
		bus_del(env->pio, &c->exit_port.region);
	return ret;
}

void machine_chipset_destroy(struct machine_chipset *c)
{
	struct bus *pio = c->pci.pio;

	ich9_lpc_destroy(&c->lpc);
	pci_host_destroy(&c->host);
	acpi_pm_destroy(&c->pm);
	pci_root_destroy(&c->pci);
	c->pci.mmio = NULL;
	cmos_rtc_destroy(&c->cmos);
	bus_del(pio, &c->exit_port.region);
}

void machine_chipset_reset(struct machine_chipset *c)
{
	cmos_rtc_reset(&c->cmos);
	pci_reset_all(&c->pci);
}
