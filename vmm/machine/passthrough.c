/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine's passed-through devices: from the host's sysfs to root ports.
 *
 * Opened before the processors are made, because the IOMMU's address width bounds the guest's;
 * plugged with the other devices. In between, in this order: all options are looked at before the
 * first device is opened, so a refusal leaves nothing changed; KVM and the IOMMU know the devices;
 * devices are made quiet and reset; only then, and once it is all there, is guest memory within
 * their reach.
 */
#include "vmm/machine/passthrough.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/pci/root_port.h"
#include "vfio/device.h"
#include "vfio/iommu/iommu.h"
#include "vfio/iommu/kernel.h"
#include "vfio/layout.h"
#include "vfio/options.h"
#include "vfio/reset.h"
#include "vfio/host/sysfs.h"
#include "vmm/kvm/kvm_vfio.h"
#include "vmm/core/log.h"
#include "vmm/core/parallel.h"

#define LAST_SLOT 30 /* 31 is the LPC bridge's */

struct function {
	const struct vfio_options *opt;
	struct sysfs_pci host;
	struct vfio_kernel *kernel; /* until vfio_pci_new() takes it */
	struct vfio_pci *dev;
};

struct machine_vfio {
	struct iommu *iommu;
	struct vfio_reset *reset;
	unsigned n, n_ports; /* ports: those that stand */
	unsigned requests;   /* of the host to have a device back */
	struct kvm *kvm;
	struct vfio_news news;
	struct function fn[VFIO_MOST];
	struct vfio_place place[VFIO_MOST];
	struct root_port port[VFIO_MOST];
};

/* ---- what the host wants ---- */

/* The kernel asks again every few seconds until the device is closed. */
static void on_request(void *opaque, const char *name)
{
	struct machine_vfio *v = opaque;

	if (v->requests++ == 0 && v->news.power_button(v->news.opaque)) {
		log_warn("%s: the host wants it back: the guest's power button was pressed; the "
			 "next request stops the guest",
			 name);
		return;
	}
	log_warn("%s: the host wants it back: the guest is stopped", name);
	v->news.stop(v->news.opaque, 0);
}

static void on_error(void *opaque, const char *name)
{
	struct machine_vfio *v = opaque;

	log_error("%s reports an error that cannot be corrected: the guest is stopped before it "
		  "uses wrong data; the host's dmesg says more",
		  name);
	v->news.stop(v->news.opaque, 1);
}

/* ---- opening ---- */

static int kvm_file(void *opaque, int fd, bool add)
{
	struct machine_vfio *v = opaque;

	return kvm_vfio_file(v->kvm, fd, add);
}

/* Everything that can be known without opening anything. */
static int look(struct machine_vfio *v, const struct device_list *devices, struct error *err)
{
	unsigned i;
	int ret;

	for (i = 0; i < v->n; i++) {
		const struct vfio_options *c = vfio_options(devices, i);

		v->fn[i].opt = c;
		ret = sysfs_check("", c->bdf, &v->fn[i].host, err);
		if (ret < 0)
			return error_prefix(err, "--vfio");
		v->place[i] = (struct vfio_place){ .bdf = v->fn[i].host.bdf,
						   .virtfn = v->fn[i].host.virtfn,
						   .slot = (unsigned)c->slot };
	}
	ret = vfio_layout(v->place, v->n, err);
	return ret < 0 ? ret : 0;
}

static int open_all(struct machine_vfio *v, struct error *err)
{
	struct iommu_config c = { .kvm_file = kvm_file, .opaque = v };
	const struct sysfs_pci *host[VFIO_MOST];
	struct vfio_kernel *kernel[VFIO_MOST];
	unsigned i;
	int ret;

	v->iommu = iommu_new(&c, err);
	if (!v->iommu)
		return error_prefix(err, "--vfio");
	for (i = 0; i < v->n; i++)
		host[i] = &v->fn[i].host;
	ret = iommu_open_devices(v->iommu, host, v->n, kernel, err);
	for (i = 0; i < v->n; i++)
		v->fn[i].kernel = kernel[i];
	return ret < 0 ? error_prefix(err, "--vfio") : 0;
}

static void close_function(void *arg, unsigned i)
{
	struct function *f = ((struct function **)arg)[i];

	if (f->dev)
		vfio_pci_free(f->dev);
	if (f->kernel)
		f->kernel->ops->close(f->kernel);
	f->dev = NULL;
	f->kernel = NULL;
}

/* At the same time: the kernel resets a device as it is closed. They are on no bus. */
static void close_all(struct machine_vfio *v)
{
	struct function *open[VFIO_MOST];
	unsigned i, n = 0;

	for (i = 0; i < v->n; i++)
		if (v->fn[i].dev || v->fn[i].kernel)
			open[n++] = &v->fn[i];
	parallel_each(n, close_function, open);
}

int machine_vfio_look(struct machine_vfio **new, const struct device_list *devices,
		      struct error *err)
{
	struct machine_vfio *v;

	*new = NULL;
	if (!vfio_count(devices))
		return 0;
	*new = v = calloc(1, sizeof(*v));
	if (!v)
		return error_set(err, -ENOMEM, "out of memory for --vfio");
	v->n = vfio_count(devices);
	return look(v, devices, err);
}

int machine_vfio_node(const struct machine_vfio *v)
{
	unsigned i;

	for (i = 0; v && i < v->n; i++)
		if (v->fn[i].host.numa_node >= 0)
			return v->fn[i].host.numa_node;
	return -1;
}

uint64_t machine_vfio_mem64(const struct machine_vfio *v)
{
	uint64_t need = 0;
	unsigned i;

	for (i = 0; v && i < v->n; i++)
		need += sysfs_mem64("", v->fn[i].host.bdf);
	return need;
}

int machine_vfio_open(struct machine_vfio *v, struct kvm *kvm, struct guest_mem *mem,
		      struct error *err)
{
	int ret;

	if (!v)
		return 0;
	v->kvm = kvm;
	ret = open_all(v, err);
	/* What it would refuse it refuses now, not when all of memory is there. */
	if (ret == 0 && iommu_check_memory(v->iommu, mem, err) < 0)
		ret = error_prefix(err, "--vfio");
	return ret;
}

unsigned machine_vfio_phys_bits(const struct machine_vfio *v)
{
	return v ? iommu_aperture_bits(v->iommu) : 0;
}

/* ---- making the guest's devices ---- */

static int make_function(struct machine_vfio *v, unsigned i, struct error *err)
{
	const struct vfio_options *c = v->fn[i].opt;
	const struct vfio_pci_env env = {
		.iommu = v->iommu,
		/* Only another passed-through card could read a BAR through the IOMMU; a graphics
		 * card's audio function does not. */
		.p2p = c->p2p == VFIO_P2P_ON ||
		       (c->p2p == VFIO_P2P_AUTO && vfio_layout_cards(v->place, v->n) > 1),
		.on_request = on_request,
		.on_error = on_error,
		.opaque = v,
	};
	struct vfio_kernel *kernel = v->fn[i].kernel;

	v->fn[i].kernel = NULL;
	v->fn[i].dev = vfio_pci_new(kernel, &c->dev, &env, err);
	return v->fn[i].dev ? 0 : error_prefix(err, "--vfio");
}

static void quiesce(void *dev)
{
	vfio_pci_quiesce(dev);
}

static void after_reset(void *dev)
{
	vfio_pci_after_reset(dev);
}

static int plan_reset(struct machine_vfio *v, struct error *err)
{
	struct vfio_reset_device d[VFIO_MOST];
	unsigned i;

	for (i = 0; i < v->n; i++)
		d[i] = (struct vfio_reset_device){
			.kernel = vfio_pci_kernel(v->fn[i].dev),
			.function_reset = vfio_pci_has_reset(v->fn[i].dev),
			.methods = v->fn[i].host.has_methods ? v->fn[i].host.methods : NULL,
			.flr = !v->fn[i].host.has_methods && vfio_pci_has_flr(v->fn[i].dev),
			.quiesce = quiesce,
			.after = after_reset,
			.opaque = v->fn[i].dev,
		};
	v->reset = vfio_reset_new(d, v->n, v->iommu, err);
	if (!v->reset)
		return error_prefix(err, "--vfio");
	vfio_reset_log(v->reset);
	return 0;
}

/* ---- root ports ---- */

static bool slot_asked_for(const struct machine_vfio *v, unsigned slot)
{
	unsigned i;

	for (i = 0; i < v->n; i++)
		if (v->place[i].slot == slot)
			return true;
	return false;
}

static unsigned free_slot(const struct machine_vfio *v, const struct pci_root *pci, unsigned first)
{
	unsigned slot;

	for (slot = first; slot <= LAST_SLOT; slot++)
		if (!pci->bus.dev[PCI_DEVFN(slot, 0)] && !slot_asked_for(v, slot))
			return slot;
	return 0;
}

/* The port's link is as its function 0 has it in the host. */
static int make_port(struct machine_vfio *v, struct pci_root *pci, unsigned first_slot,
		     unsigned port, struct error *err)
{
	unsigned slot = vfio_layout_slot(v->place, v->n, port), speed = 0, width = 0, i;
	uint32_t atomics = 0;
	int ret;

	slot = slot ? slot : free_slot(v, pci, first_slot);
	if (!slot)
		return error_set(err, -ENOSPC,
				 "--vfio: no PCI slot is left: give the guest fewer "
				 "devices");
	for (i = 0; i < v->n; i++)
		if (v->place[i].port == port && v->place[i].fn == 0)
			vfio_pci_link(v->fn[i].dev, &speed, &width);
	ret = root_port_init(&v->port[port], pci, PCI_DEVFN(slot, 0), slot, speed, width, err);
	if (ret < 0)
		return error_prefix(err, "--vfio");
	/* Functions of one card have one way to the host's root port, so what one of them can use
	 * all can; VFIO asks the functions themselves, too, and audio knows no AtomicOps. */
	for (i = 0; i < v->n; i++)
		if (v->place[i].port == port)
			atomics |= vfio_pci_atomics(v->fn[i].dev);
	root_port_set_atomics(&v->port[port], atomics);
	v->n_ports = port + 1;
	return 0;
}

static int plug_functions(struct machine_vfio *v, struct pci_root *pci, unsigned port,
			  struct error *err)
{
	unsigned i;
	int ret;

	for (i = 0; i < v->n; i++) {
		const struct vfio_place *p = &v->place[i];

		if (p->port != port)
			continue;
		ret = vfio_pci_plug(v->fn[i].dev, pci, v->port[port].dev.secondary,
				    PCI_DEVFN(0, p->fn), err);
		if (ret < 0)
			return error_prefix(err, "--vfio");
	}
	root_port_link_up(&v->port[port]);
	return 0;
}

static int plug_all(struct machine_vfio *v, struct pci_root *pci, unsigned first_slot,
		    struct error *err)
{
	unsigned i, ports = 0;
	int ret = 0;

	for (i = 0; i < v->n; i++)
		if (v->place[i].port >= ports)
			ports = v->place[i].port + 1;
	for (i = 0; i < ports && ret == 0; i++) {
		ret = make_port(v, pci, first_slot, i, err);
		if (ret == 0)
			ret = plug_functions(v, pci, i, err);
	}
	return ret;
}

int machine_vfio_realize(struct machine_vfio *v, struct pci_root *pci, unsigned first_slot,
			 const struct vfio_news *news, struct phase_clock *phases,
			 struct error *err)
{
	unsigned i;
	int ret = 0;

	if (!v)
		return 0;
	v->news = *news;
	for (i = 0; i < v->n && ret == 0; i++)
		ret = make_function(v, i, err);
	if (ret == 0)
		ret = plan_reset(v, err);
	phase_mark(phases, "devices");
	if (ret == 0) {
		vfio_reset_all(v->reset, true);
		phase_mark(phases, "reset");
		ret = plug_all(v, pci, first_slot, err);
	}
	if (ret < 0)
		machine_vfio_unrealize(v);
	return ret;
}

int machine_vfio_map(struct machine_vfio *v, struct guest_mem *mem, struct error *err)
{
	if (!v)
		return 0;
	return iommu_attach_memory(v->iommu, mem, err) < 0 ? error_prefix(err, "--vfio") : 0;
}

void machine_vfio_reset(struct machine_vfio *v)
{
	if (v)
		vfio_reset_all(v->reset, false);
}

/* The devices are quiet before the memory goes from under them. */
void machine_vfio_unrealize(struct machine_vfio *v)
{
	unsigned i;

	if (!v)
		return;
	if (v->reset)
		vfio_reset_all(v->reset, true);
	vfio_reset_free(v->reset);
	v->reset = NULL;
	for (i = 0; i < v->n; i++)
		if (v->fn[i].dev)
			vfio_pci_unplug(v->fn[i].dev);
	close_all(v);
	while (v->n_ports > 0)
		root_port_destroy(&v->port[--v->n_ports]);
	iommu_detach_memory(v->iommu);
}

void machine_vfio_close(struct machine_vfio *v)
{
	if (!v)
		return;
	close_all(v);
	iommu_free(v->iommu);
	free(v);
}
