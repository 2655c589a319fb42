/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine whose passed-through cards come and go, for one test program each. Everything down to
 * the system calls is the program's; the calls of VFIO's container and groups end here (the
 * Makefile wraps them), and note what they did:
 *
 *   set:G unset:G kvm+:G kvm-:G close:G  a group joins and leaves the container, KVM, the process
 *   dev:BDF close:BDF                    a device is opened and closed
 *   map:ADDR unmap:ADDR                  guest memory in the IOMMU
 *
 * and what fake_vfio.h notes of a device.
 */
#ifndef CARD_FIXTURE_H
#define CARD_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "devices/pci/root_port.h"
#include "tests/unit/fake_vfio.h"
#include "vfio/options.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/eventfd.h"
#include "vmm/core/evloop.h"
#include "vmm/core/log.h"
#include "vmm/kvm/kvm_vfio.h"
#include "vmm/machine/passthrough.h"

#define PORT	PCI_DEVFN(6, 0)
#define RAM	0x10000u
#define WINDOW	0xe100e100u /* of the port: limit and base */
#define BAR0	0xe1000000u
#define DEVICES 4

int __wrap_open(const char *path, int flags, ...);
int __real_open(const char *path, int flags, ...);
int __wrap_close(int fd);
int __real_close(int fd);
int __wrap_ioctl(int fd, unsigned long request, void *arg);
int __real_ioctl(int fd, unsigned long request, void *arg);
int __wrap_sysfs_check(const char *root, const char *bdf, struct sysfs_pci *dev, struct error *);
struct vfio_kernel *__wrap_vfio_kernel_new(int fd, const char *bdf, void (*close_fd)(void *, int),
					   void *opaque);
int __wrap_kvm_vfio_file(struct kvm *, int fd, bool add);

/* ---- the host ---- */

/* 01:00.0 and .1 are a card whose functions share a group and have no reset but the bus's. */
static struct card_device {
	struct fake_vfio f;
	const char *bdf;
	unsigned group;
	bool alone; /* it can be reset without its bus */
	int fd;
	void (*close_fd)(void *, int);
	void *opaque;
} dev[DEVICES] = { { .bdf = "0000:01:00.0", .group = 11 },
		   { .bdf = "0000:01:00.1", .group = 11 },
		   { .bdf = "0000:02:00.0", .group = 12, .alone = true },
		   { .bdf = "0000:03:00.0", .group = 13, .alone = true } };

static struct host {
	struct fake_log log;
	int container; /* 0: not open */
	int group[32]; /* descriptors; 0: not open */
	bool joined[32], kvm[32];
	unsigned n_maps;
	unsigned calls, fail_at; /* the call that fails; 0: none */
	bool no_memory;		 /* for what a bus reset would hit */
} host;

/* Counts a call that can fail. */
static inline bool fails(void)
{
	return ++host.calls == host.fail_at;
}

static inline int group_of(int fd)
{
	for (int g = 0; g < 32; g++)
		if (host.group[g] && host.group[g] == fd)
			return g;
	return -1;
}

static inline struct card_device *device_of(const char *bdf)
{
	for (unsigned i = 0; i < DEVICES; i++)
		if (strcmp(dev[i].bdf, bdf) == 0)
			return &dev[i];
	return NULL;
}

int __wrap_open(const char *path, int flags, ...)
{
	unsigned g;

	if (strncmp(path, "/dev/vfio/", 10) != 0)
		return __real_open(path, flags, 0600);
	if (fails()) {
		errno = EACCES;
		return -1;
	}
	if (strcmp(path, "/dev/vfio/vfio") == 0)
		return host.container = eventfd_new();
	assert_int_equal(sscanf(path, "/dev/vfio/%u", &g), 1);
	assert_int_equal(host.group[g], 0);
	return host.group[g] = eventfd_new();
}

/* Devices are closed by several threads at the same time. */
static pthread_mutex_t host_lock = PTHREAD_MUTEX_INITIALIZER;

int __wrap_close(int fd)
{
	int g;

	scoped_lock(&host_lock);
	g = group_of(fd);
	if (fd == host.container)
		host.container = 0;
	for (unsigned i = 0; i < DEVICES; i++)
		if (dev[i].fd == fd) {
			fake_log(&host.log, "close:%s", dev[i].bdf + 5);
			dev[i].fd = -1;
		}
	if (g >= 0) {
		assert_false(host.joined[g]);
		assert_false(host.kvm[g]);
		fake_log(&host.log, "close:%d", g);
		host.group[g] = 0;
	}
	return __real_close(fd);
}

static inline bool group_has_devices(int g)
{
	for (unsigned i = 0; i < DEVICES; i++)
		if ((int)dev[i].group == g && dev[i].fd >= 0)
			return true;
	return false;
}

static inline bool any_joined(void)
{
	for (int g = 0; g < 32; g++)
		if (host.joined[g])
			return true;
	return false;
}

static inline int unset_container(int g)
{
	/* As the kernel: it does not let a group go whose devices are open. */
	if (group_has_devices(g)) {
		errno = EBUSY;
		return -1;
	}
	assert_false(host.kvm[g]);
	host.joined[g] = false;
	if (!any_joined())
		assert_int_equal(host.n_maps, 0);
	fake_log(&host.log, "unset:%d", g);
	return 0;
}

static inline int open_device(int g, const char *bdf)
{
	struct card_device *d = device_of(bdf);

	scoped_lock(&host_lock);
	assert_true(host.joined[g]);
	assert_int_equal(d->group, g);
	assert_int_equal(d->fd, -1);
	fake_log(&host.log, "dev:%s", bdf + 5);
	return d->fd = eventfd_new();
}

static inline int iommu_info(struct vfio_iommu_type1_info *info)
{
	info->argsz = sizeof(*info);
	info->flags = 0;
	return 0;
}

static inline int map_dma(const struct vfio_iommu_type1_dma_map *m)
{
	assert_true(any_joined());
	fake_log(&host.log, "map:%llx", (unsigned long long)m->iova);
	host.n_maps++;
	return 0;
}

static inline int unmap_dma(const struct vfio_iommu_type1_dma_unmap *m)
{
	assert_true(any_joined());
	fake_log(&host.log, "unmap:%llx", (unsigned long long)m->iova);
	host.n_maps--;
	return 0;
}

/* Requests that undo something do not fail. */
static inline bool can_fail(unsigned long request)
{
	return request != VFIO_GROUP_UNSET_CONTAINER && request != VFIO_IOMMU_UNMAP_DMA;
}

static inline int vfio_ioctl(int fd, unsigned long request, void *arg)
{
	int g = group_of(fd);

	switch (request) {
	case VFIO_GET_API_VERSION:
		return VFIO_API_VERSION;
	case VFIO_CHECK_EXTENSION:
		return 1;
	case VFIO_GROUP_GET_STATUS:
		((struct vfio_group_status *)arg)->flags = VFIO_GROUP_FLAGS_VIABLE;
		return 0;
	case VFIO_GROUP_SET_CONTAINER:
		fake_log(&host.log, "set:%d", g);
		host.joined[g] = true;
		return 0;
	case VFIO_GROUP_UNSET_CONTAINER:
		return unset_container(g);
	case VFIO_SET_IOMMU:
		return 0;
	case VFIO_GROUP_GET_DEVICE_FD:
		return open_device(g, arg);
	case VFIO_IOMMU_GET_INFO:
		return iommu_info(arg);
	case VFIO_IOMMU_MAP_DMA:
		return map_dma(arg);
	case VFIO_IOMMU_UNMAP_DMA:
		return unmap_dma(arg);
	}
	fail_msg("an unknown request: %#lx", request);
	return -1;
}

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	if (fd != host.container && group_of(fd) < 0)
		return __real_ioctl(fd, request, arg);
	if (can_fail(request) && fails()) {
		errno = EINVAL;
		return -1;
	}
	return vfio_ioctl(fd, request, arg);
}

int __wrap_kvm_vfio_file(struct kvm *kvm, int fd, bool add)
{
	int g = group_of(fd);

	(void)kvm;
	assert_true(host.joined[g]);
	if (add && fails())
		return -EINVAL;
	assert_int_equal(host.kvm[g], !add);
	host.kvm[g] = add;
	fake_log(&host.log, "kvm%c:%d", add ? '+' : '-', g);
	return 0;
}

int __wrap_sysfs_check(const char *root, const char *bdf, struct sysfs_pci *s, struct error *err)
{
	const struct card_device *d = device_of(bdf);

	(void)root;
	if (!d || fails())
		return error_set(err, -ENODEV, "%s: no such device", bdf);
	*s = (struct sysfs_pci){ .group = (int)d->group, .numa_node = -1, .has_methods = true };
	snprintf(s->bdf, sizeof(s->bdf), "%s", bdf);
	snprintf(s->methods, sizeof(s->methods), "%s", d->alone ? "flr" : "");
	return 0;
}

/* ---- a device of the host ---- */

static const struct vfio_kernel_ops *fake_ops;

static inline struct card_device *card_of(struct vfio_kernel *k)
{
	return container_of(k, struct card_device, f.k);
}

static inline int device_info(struct vfio_kernel *k, struct vfio_device_info **info)
{
	int ret = fails() ? -ENODEV : fake_ops->device_info(k, info);

	if (ret == 0 && !card_of(k)->alone)
		(*info)->flags &= (uint32_t)~VFIO_DEVICE_FLAGS_RESET;
	return ret;
}

static inline int hot_reset_info(struct vfio_kernel *k, struct vfio_pci_dependent_device *d,
				 unsigned *n)
{
	unsigned room = *n;

	if (card_of(k)->alone)
		return -ENODEV;
	if (host.no_memory)
		return -ENOMEM;
	*n = 2;
	if (room < 2)
		return -ENOSPC;
	for (unsigned i = 0; i < 2; i++)
		d[i] = (struct vfio_pci_dependent_device){ .group_id = 11,
							   .bus = 1,
							   .devfn = (uint8_t)i };
	return 0;
}

static inline int hot_reset(struct vfio_kernel *k, const int *fds, unsigned n)
{
	(void)k;
	assert_int_equal(n, 1);
	assert_int_equal(fds[0], host.group[11]);
	fake_log(&host.log, "bus-reset");
	return 0;
}

static inline void kernel_close(struct vfio_kernel *k)
{
	struct card_device *d = card_of(k);

	d->close_fd(d->opaque, d->fd);
}

static struct vfio_kernel_ops device_ops;

struct vfio_kernel *__wrap_vfio_kernel_new(int fd, const char *bdf, void (*close_fd)(void *, int),
					   void *opaque)
{
	struct card_device *d = device_of(bdf);

	if (fails()) {
		close_fd(opaque, fd);
		return NULL;
	}
	d->close_fd = close_fd;
	d->opaque = opaque;
	return &d->f.k;
}

static inline void device_make(struct card_device *d)
{
	fake_vfio_init(&d->f, &host.log);
	fake_vfio_bar(&d->f, 0, 0x10000, 0);
	fake_vfio_msix(&d->f, 0x50, 2, 0x2000, 0x3000);
	fake_ops = d->f.k.ops;
	device_ops = *fake_ops;
	device_ops.device_info = device_info;
	device_ops.hot_reset_info = hot_reset_info;
	device_ops.hot_reset = hot_reset;
	device_ops.close = kernel_close;
	d->f.k.ops = &device_ops;
	snprintf(d->f.k.name, sizeof(d->f.k.name), "%s", d->bdf);
	d->fd = -1;
}

/* ---- the machine ---- */

struct fixture {
	struct fake_machine m;
	struct root_port port;
	struct device_list list;
	struct machine_vfio *v;
	struct error err;
};

static char ram[RAM] __attribute__((aligned(4096)));

static struct vfio_news news; /* of machines that start from now on */

/* Passthrough without devices. */
static inline void start(struct fixture *x)
{
	x->v = machine_vfio_new();
	assert_int_equal(machine_vfio_open(x->v, NULL, x->m.root.mem, NULL), 0);
	assert_int_equal(machine_vfio_realize(x->v, &x->m.root, 1, &news, NULL, NULL), 0);
	assert_false(machine_vfio_any(x->v));
}

static inline void stop(struct fixture *x)
{
	machine_vfio_unrealize(x->v);
	machine_vfio_close(x->v);
	assert_int_equal(host.container, 0);
	assert_int_equal(host.n_maps, 0);
}

static inline int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));
	struct mem_range r = { .size = RAM, .host = ram, .dma = true };

	log_set_level(LOG_ERROR);
	memset(&host, 0, sizeof(host));
	for (unsigned i = 0; i < DEVICES; i++)
		device_make(&dev[i]);
	fake_machine_init(&x->m);
	assert_int_equal(guest_mem_add(x->m.root.mem, &r), 0);
	assert_int_equal(root_port_init(&x->port, &x->m.root, PORT, 6, 0, 0, NULL), 0);
	pci_cfg_write(&x->m.root, 0, PORT, PCI_PRIMARY_BUS, 4, 0x010100);
	pci_cfg_write(&x->m.root, 0, PORT, PCI_MEMORY_BASE, 4, WINDOW);
	pci_cfg_write(&x->m.root, 0, PORT, PCI_COMMAND, 2, 7);
	start(x);
	*state = x;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *x = *state;

	stop(x);
	root_port_destroy(&x->port);
	device_list_free(&x->list);
	fake_machine_free(&x->m);
	for (unsigned i = 0; i < DEVICES; i++) {
		assert_int_equal(dev[i].fd, -1);
		fake_vfio_free(&dev[i].f);
	}
	free(x);
	return 0;
}

static inline struct device *asked(struct fixture *x, const char *arg)
{
	struct device *d = NULL, *last = NULL;

	assert_int_equal(device_create(&x->list, &vfio_class, arg, &x->err), 0);
	while ((d = device_next(&x->list, &vfio_class, d)))
		last = d;
	return last;
}

static inline void add(struct fixture *x, struct device *d)
{
	if (machine_vfio_add(x->v, d, &x->err) < 0)
		fail_msg("%s", x->err.text);
}

static inline void plug(struct fixture *x, struct device *d, unsigned fn)
{
	assert_int_equal(machine_vfio_plug(d, x->port.dev.secondary, PCI_DEVFN(0, fn), &x->err), 0);
	/* The guest's driver. */
	pci_cfg_write(&x->m.root, 1, PCI_DEVFN(0, fn), PCI_BASE_ADDRESS_0, 4, BAR0 + fn * 0x10000);
	pci_cfg_write(&x->m.root, 1, PCI_DEVFN(0, fn), PCI_COMMAND, 2, 6);
	pci_cfg_write(&x->m.root, 1, PCI_DEVFN(0, fn), 0x50 + PCI_MSIX_FLAGS, 2,
		      PCI_MSIX_FLAGS_ENABLE);
}

#define ORDER(...)                                                                  \
	assert_true(fake_log_order(&host.log, (const char *const[]){ __VA_ARGS__ }, \
				   sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)))
#define COUNT(word) fake_log_count(&host.log, word)
#define T(fn)	    cmocka_unit_test_setup_teardown(fn, setup, teardown)

#endif
