/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/machine/platform.h"

#include "devices/chipset/ich9_lpc.h"
#include "devices/chipset/serial.h"
#include "vmm/core/version.h"
#include "vmm/kvm/cpuid.h"

static void fill_cpus(struct machine_platform *m, const struct config *c,
		      const struct machine_memory *mem)
{
	unsigned i;

	m->p.cpus = m->cpu;
	m->p.n_cpus = (unsigned)c->cpus.n;
	m->p.sockets = c->topo.sockets;
	m->p.cores = c->topo.cores;
	m->p.threads = c->topo.threads;
	for (i = 0; i < m->p.n_cpus; i++)
		m->cpu[i] = (struct platform_cpu){ cpu_apic_id(&c->topo, i),
						   machine_memory_cpu_node(mem, &c->topo, i) };
}

static void fill_nodes(struct platform *p, const struct machine_numa *n)
{
	p->pci_node = PLATFORM_NO_NODE;
	if (!n)
		return;
	p->n_nodes = n->n;
	p->memory = n->memory;
	p->n_memory = n->n_memory;
	p->distance = n->distance;
	p->pci_node = n->pci_node;
}

static void fill_serials(struct platform *p, const struct device_list *devices)
{
	uint8_t i;

	for (i = 0; i < SERIAL_PORTS; i++) {
		const struct serial_place *s = serial_place(devices, i);

		if (s)
			p->serial[p->n_serial++] = (struct platform_serial){ s->port, s->irq, i };
	}
}

void machine_platform_fill(struct machine_platform *m, const struct config *c,
			   const struct memmap *map, const struct machine_memory *mem)
{
	m->p = (struct platform){
		.name = c->name,
		.version = MINIVMM_VERSION,
		.uefi = c->firmware || !c->kernel,
		.map = *map,
		.ecam_base = MACHINE_ECAM_BASE,
		.ecam_size = MACHINE_ECAM_SIZE,
		.mmio32_base = map->low_ram,
		.mmio32_end = MACHINE_MMIO32_END,
		.pmbase = ICH9_PMBASE_DEFAULT,
		.rtc = true,
		.hotplug = c->hotplug.n,
	};
	fill_cpus(m, c, mem);
	fill_nodes(&m->p, mem->numa);
	fill_serials(&m->p, &c->devices);
}
