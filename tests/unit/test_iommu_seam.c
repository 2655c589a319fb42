/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests that struct iommu does not need VFIO groups, with a backend that works like iommufd. It
 * opens a device by its address alone, and tells KVM the descriptor of the device instead of a
 * group. It must tell KVM again before the device is closed. For a bus reset it passes no
 * descriptors, because the kernel knows which devices are in the address space. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "vfio/host/sysfs.h"
#include "vfio/iommu/iommu_backend.h"
#include "vfio/iommu/kernel.h"
#include "vfio/reset.h"
#include "vmm/core/eventfd.h"
#include "vmm/core/parallel.h"

/* With iommufd, a device that a bus reset also resets has this instead of a group's number: its
 * number in the address space, or one of these (linux/vfio.h has the names since 6.6). */
#define DEVID_OWNED	0u	    /* no number, but it belongs to our address space */
#define DEVID_NOT_OWNED 0xffffffffu /* not ours */

struct bound {
	struct iommu_config kvm;
	char bdf[4][VFIO_BDF_SIZE];
	int fd[4];
	unsigned n;
	bool freed;
};

static char story[400];
static struct error err;

static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void note(const char *fmt, ...)
{
	size_t n = strlen(story);
	va_list ap;

	va_start(ap, fmt);
	if (n)
		story[n++] = ' ';
	vsnprintf(story + n, sizeof(story) - n, fmt, ap);
	va_end(ap);
}

static void happened(const char *want)
{
	assert_string_equal(story, want);
	story[0] = '\0';
}

static int bound_open(void *backend, const struct sysfs_pci *dev, struct error *e)
{
	struct bound *b = backend;
	int ret, fd;

	if (strcmp(dev->bdf, "0000:09:00.0") == 0)
		return error_set(e, -EBUSY, "%s is bound elsewhere", dev->bdf);
	fd = eventfd_new();
	assert_true(fd >= 0);
	ret = b->kvm.kvm_file(b->kvm.opaque, fd, true);
	if (ret < 0) {
		close(fd);
		return error_set(e, ret, "%s: KVM does not accept it", dev->bdf);
	}
	note("bind:%s", dev->bdf + 5);
	memcpy(b->bdf[b->n], dev->bdf, VFIO_BDF_SIZE);
	b->fd[b->n++] = fd;
	return fd;
}

static void bound_close(void *backend, int fd)
{
	struct bound *b = backend;
	unsigned i;

	for (i = 0; i < b->n && b->fd[i] != fd; i++)
		;
	assert_true(i < b->n);
	b->kvm.kvm_file(b->kvm.opaque, fd, false);
	note("close:%s", b->bdf[i] + 5);
	close(fd);
	b->fd[i] = -1;
}

static int bound_map(void *backend, uint64_t iova, void *host, uint64_t size, bool write)
{
	(void)backend;
	assert_non_null(host);
	note("map%s:%llx+%llx", write ? "" : "-ro", (unsigned long long)iova,
	     (unsigned long long)size);
	return 0;
}

static int bound_unmap(void *backend, uint64_t iova, uint64_t size)
{
	(void)backend;
	note("unmap:%llx+%llx", (unsigned long long)iova, (unsigned long long)size);
	return 0;
}

/* The address space has only addresses that all of its devices can use. */
static int bound_limits(void *backend, struct iommu_limits *l, struct error *e)
{
	const struct bound *b = backend;

	if (!b->n)
		return error_set(e, -ENODEV, "no device is bound");
	*l = (struct iommu_limits){ .range = { { 0, b->n > 1 ? 0x7fffffffff : UINT64_MAX } },
				    .n = 1,
				    .maps_left = UINT32_MAX };
	note("limits");
	return 0;
}

static int bound_hot_reset_fds(void *backend, const struct vfio_pci_dependent_device *hit,
			       unsigned n, int *fds, unsigned *foreign)
{
	(void)backend;
	(void)fds;
	for (unsigned i = 0; i < n; i++) {
		if (hit[i].group_id != DEVID_NOT_OWNED)
			continue;
		*foreign = i;
		return -EPERM;
	}
	return 0;
}

static void bound_free(void *backend)
{
	((struct bound *)backend)->freed = true;
	note("free");
}

static const struct iommu_ops bound_ops = {
	.open_device = bound_open,
	.close_device = bound_close,
	.map = bound_map,
	.unmap = bound_unmap,
	.limits = bound_limits,
	.hot_reset_fds = bound_hot_reset_fds,
	.free = bound_free,
};

static int kvm_ret;

static int kvm_file(void *opaque, int fd, bool add)
{
	assert_ptr_equal(opaque, &kvm_ret);
	assert_true(fd >= 0);
	note("kvm%c", add ? '+' : '-');
	return add ? kvm_ret : 0;
}

static struct bound bound;

static int setup(void **state)
{
	bound = (struct bound){ .kvm = { .kvm_file = kvm_file, .opaque = &kvm_ret } };
	story[0] = '\0';
	err = (struct error){ 0 };
	kvm_ret = 0;
	*state = iommu_new_with(&bound_ops, &bound);
	return *state ? 0 : -1;
}

/* Nobody asks for the IOMMU group of a device's descriptor. */
static struct vfio_kernel *open_device(struct iommu *m, const char *bdf)
{
	struct sysfs_pci dev = { .group = -1 };

	snprintf(dev.bdf, sizeof(dev.bdf), "%s", bdf);
	return iommu_open_device(m, &dev, &err);
}

static void test_devices(void **state)
{
	struct vfio_kernel *gpu, *nic;
	struct iommu *m = *state;

	gpu = open_device(m, "0000:01:00.0");
	nic = open_device(m, "0000:02:00.0");
	assert_non_null(gpu);
	assert_non_null(nic);
	assert_string_equal(nic->name, "0000:02:00.0");
	happened("kvm+ bind:01:00.0 kvm+ bind:02:00.0");
	/* If a device is removed while the machine runs, KVM must be told before it is closed. */
	nic->ops->close(nic);
	happened("kvm- close:02:00.0");
	gpu->ops->close(gpu);
	happened("kvm- close:01:00.0");
	iommu_free(m);
	happened("free");
}

static void test_refusals(void **state)
{
	struct iommu *m = *state;

	assert_null(open_device(m, "0000:09:00.0"));
	assert_string_equal(err.text, "0000:09:00.0 is bound elsewhere");
	kvm_ret = -EINVAL;
	assert_null(open_device(m, "0000:01:00.0"));
	assert_int_equal(err.code, -EINVAL);
	happened("kvm+");
	iommu_free(m);
	assert_true(bound.freed);
}

static void test_memory(void **state)
{
	struct mem_range r = {
		.gpa = 0x100000, .size = 0x4000, .host = (void *)0x10000000, .dma = true
	};
	struct guest_mem *mem = guest_mem_new();
	struct iommu *m = *state;
	struct vfio_kernel *k[2];

	assert_int_equal(guest_mem_add(mem, &r), 0);
	/* The message comes from the backend. */
	assert_int_equal(iommu_attach_memory(m, mem, &err), -ENODEV);
	assert_string_equal(err.text, "no device is bound");
	k[0] = open_device(m, "0000:01:00.0");
	assert_int_equal(iommu_aperture_bits(m), 64);
	assert_int_equal(iommu_aperture_bits(m), 64);
	happened("kvm+ bind:01:00.0 limits");
	/* A second device makes the space smaller, so the ranges are read again, once. */
	k[1] = open_device(m, "0000:02:00.0");
	assert_int_equal(iommu_aperture_bits(m), 39);
	assert_int_equal(iommu_attach_memory(m, mem, &err), 0);
	happened("kvm+ bind:02:00.0 limits map:100000+4000");
	assert_int_equal(iommu_map(m, IOVA(0xe0000000), story, 0x1000, false), 0);
	assert_int_equal(iommu_unmap(m, IOVA(0xe0000000), 0x1000), 0);
	happened("map-ro:e0000000+1000 unmap:e0000000+1000");
	for (int i = 0; i < 2; i++)
		k[i]->ops->close(k[i]);
	story[0] = '\0';
	iommu_free(m);
	happened("unmap:100000+4000 free");
	guest_mem_free(mem);
}

/* ---- a card of two functions, whose bus is reset ---- */

static struct vfio_pci_dependent_device card[] = {
	{ .group_id = 1, .bus = 1, .devfn = 0 },
	{ .group_id = DEVID_OWNED, .bus = 1, .devfn = 1 },
};

static int hot_reset_info(struct vfio_kernel *k, struct vfio_pci_dependent_device *list,
			  unsigned *n)
{
	unsigned room = *n;

	(void)k;
	*n = 2;
	if (room < 2)
		return -ENOSPC;
	memcpy(list, card, sizeof(card));
	return 0;
}

static int hot_reset(struct vfio_kernel *k, const int *fds, unsigned n)
{
	(void)fds;
	note("hot-reset:%s:%u", k->name + 5, n);
	return 0;
}

static const struct vfio_kernel_ops card_ops = { .hot_reset_info = hot_reset_info,
						 .hot_reset = hot_reset };

static void test_hot_reset(void **state)
{
	struct vfio_kernel gpu = { &card_ops, "0000:01:00.0" },
			   audio = { &card_ops, "0000:01:00.1" };
	const struct vfio_reset_device d[] = { { .kernel = &gpu, .methods = "" },
					       { .kernel = &audio, .methods = "" } };
	struct iommu *m = *state;
	struct vfio_reset *r = vfio_reset_new(d, 2, m, &err);
	char text[400];

	assert_non_null(r);
	assert_int_equal(vfio_reset_how(r, 0), VFIO_RESET_BUS);
	assert_int_equal(vfio_reset_how(r, 1), VFIO_RESET_BUS);
	/* No descriptor is passed as a proof, and there is one reset for both. */
	assert_int_equal(vfio_reset_all(r, false), 0);
	happened("hot-reset:01:00.0:0");
	vfio_reset_free(r);
	card[1].group_id = DEVID_NOT_OWNED;
	r = vfio_reset_new(d, 1, m, &err);
	assert_int_equal(vfio_reset_how(r, 0), VFIO_RESET_NONE);
	assert_false(vfio_reset_verdict(r, 0, text, sizeof(text)));
	assert_non_null(strstr(text, "would hit 0000:01:00.1, which is not given to this guest"));
	vfio_reset_free(r);
	iommu_free(m);
}

/* ---- where there are groups ---- */

static void test_groups(void **state)
{
	static const struct iommu_group group[] = { { 12, 42 }, { 13, 43 }, { 14, 44 } };
	const struct vfio_pci_dependent_device hit[] = {
		{ .group_id = 13 }, { .group_id = 12 }, { .group_id = 13 }, { .group_id = 15 }
	};
	unsigned foreign = 99;
	int fds[4];

	iommu_free(*state);
	/* Each group once, and not group 14, which the reset does not touch. */
	assert_int_equal(iommu_group_fds(group, 3, hit, 3, fds, &foreign), 2);
	assert_int_equal(fds[0], 43);
	assert_int_equal(fds[1], 42);
	assert_int_equal(iommu_group_fds(group, 3, hit, 4, fds, &foreign), -EPERM);
	assert_int_equal(foreign, 3);
	assert_int_equal(iommu_group_fds(group, 3, hit, 0, fds, &foreign), 0);
	assert_int_equal(iommu_group_fd(group, 3, 14), 44);
	assert_int_equal(iommu_group_fd(group, 0, 14), -1);
}

/* ---- several devices: the kernel resets each while it is opened and while it is closed ---- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t came;
	unsigned there, expected; /* in the kernel at the same time */
	bool missed;
	const char *refuses[2]; /* the ends of addresses */
} slow = { .lock = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER };

static void slow_reset(void)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += 60;
	pthread_mutex_lock(&slow.lock);
	slow.there++;
	pthread_cond_broadcast(&slow.came);
	while (slow.there < slow.expected && !slow.missed)
		slow.missed = pthread_cond_timedwait(&slow.came, &slow.lock, &end) != 0;
	pthread_mutex_unlock(&slow.lock);
}

static int slow_join(void *backend, const struct sysfs_pci *dev, struct error *e)
{
	(void)backend;
	note("join:%s", dev->bdf + 5);
	return dev->group == 9 ? error_set(e, -EPERM, "%s: not viable", dev->bdf) : 0;
}

static int slow_open(void *backend, const struct sysfs_pci *dev, struct error *e)
{
	(void)backend;
	slow_reset();
	for (unsigned i = 0; i < 2; i++)
		if (slow.refuses[i] && strcmp(dev->bdf + 5, slow.refuses[i]) == 0)
			return error_set(e, -EBUSY, "%s is busy", dev->bdf);
	return 100 + dev->group;
}

static void slow_close(void *backend, int fd)
{
	(void)backend;
	assert_true(fd >= 100);
	slow_reset();
}

static const struct iommu_ops slow_ops = {
	.join = slow_join, .open_device = slow_open, .close_device = slow_close, .free = bound_free
};

/* Opens three devices, all at the same time when the groups of all can be joined. */
static int open_three(struct iommu *m, struct vfio_kernel **k, int last_group)
{
	static const char *const bdf[] = { "0000:01:00.0", "0000:02:00.0", "0000:03:00.0" };
	struct sysfs_pci dev[3] = { { .group = 1 }, { .group = 2 }, { .group = last_group } };
	const struct sysfs_pci *const list[] = { &dev[0], &dev[1], &dev[2] };

	for (unsigned i = 0; i < 3; i++)
		snprintf(dev[i].bdf, sizeof(dev[i].bdf), "%s", bdf[i]);
	slow.there = 0;
	slow.expected = 3;
	return iommu_open_devices(m, list, 3, k, &err);
}

static void close_one(void *arg, unsigned i)
{
	struct vfio_kernel *k = ((struct vfio_kernel **)arg)[i];

	k->ops->close(k);
}

static int setup_slow(void **state)
{
	story[0] = '\0';
	err = (struct error){ 0 };
	slow.missed = false;
	slow.refuses[0] = slow.refuses[1] = NULL;
	*state = iommu_new_with(&slow_ops, &bound);
	return *state ? 0 : -1;
}

static void test_at_once(void **state)
{
	struct vfio_kernel *k[3];

	assert_int_equal(open_three(*state, k, 3), 0);
	assert_int_equal(slow.there, 3);
	happened("join:01:00.0 join:02:00.0 join:03:00.0");
	assert_string_equal(k[0]->name, "0000:01:00.0");
	assert_string_equal(k[2]->name, "0000:03:00.0");
	slow.there = 0;
	parallel_each(3, close_one, k);
	assert_int_equal(slow.there, 3);
	assert_false(slow.missed);
	iommu_free(*state);
}

/* The first one in the order of the options is told; the caller closes those that are open. */
static void test_failed_open(void **state)
{
	struct vfio_kernel *k[3];

	slow.refuses[0] = "03:00.0";
	slow.refuses[1] = "02:00.0";
	assert_int_equal(open_three(*state, k, 3), -EBUSY);
	assert_string_equal(err.text, "0000:02:00.0 is busy");
	assert_non_null(k[0]);
	assert_null(k[1]);
	assert_null(k[2]);
	assert_false(slow.missed);
	slow.expected = 1;
	close_one(k, 0);
	iommu_free(*state);
}

/* Nothing is opened, and so nothing reset, when a group cannot be joined. */
static void test_failed_join(void **state)
{
	struct vfio_kernel *k[3];

	assert_int_equal(open_three(*state, k, 9), -EPERM);
	assert_string_equal(err.text, "0000:03:00.0: not viable");
	assert_int_equal(slow.there, 0);
	assert_null(k[0]);
	iommu_free(*state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_devices, setup),
		cmocka_unit_test_setup(test_refusals, setup),
		cmocka_unit_test_setup(test_memory, setup),
		cmocka_unit_test_setup(test_hot_reset, setup),
		cmocka_unit_test_setup(test_groups, setup),
		cmocka_unit_test_setup(test_at_once, setup_slow),
		cmocka_unit_test_setup(test_failed_open, setup_slow),
		cmocka_unit_test_setup(test_failed_join, setup_slow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
