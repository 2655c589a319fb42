/* SPDX-License-Identifier: BSD-2-Clause */
/* A device that our own process uses: what is done to it, in which order, and what is undone at the
 * end. */
#include <poll.h>

#include "vfio_fixture.h"
#include "vmm/bench/host_driver.h"
#include "vfio/iommu/iommu_backend.h"
#include "vfio/host/sysfs.h"

#define DMA_SIZE 0x2000u

struct fake_iommu {
	struct fake_log *log;
	int map_ret;
	bool freed;
};

static int fake_map(void *backend, uint64_t iova, void *host, uint64_t size, bool write)
{
	struct fake_iommu *f = backend;

	assert_non_null(host);
	assert_true(write);
	fake_log(f->log, "map+%llx:%llx", (unsigned long long)iova, (unsigned long long)size);
	return f->map_ret;
}

static int fake_unmap(void *backend, uint64_t iova, uint64_t size)
{
	struct fake_iommu *f = backend;

	fake_log(f->log, "map-%llx:%llx", (unsigned long long)iova, (unsigned long long)size);
	return 0;
}

static int fake_limits(void *backend, struct iommu_limits *l, struct error *err)
{
	(void)backend;
	(void)err;
	*l = (struct iommu_limits){ .range = { { 0, UINT64_MAX } }, .n = 1, .maps_left = 9 };
	return 0;
}

static void fake_free(void *backend)
{
	((struct fake_iommu *)backend)->freed = true;
}

static const struct iommu_ops fake_ops = {
	.map = fake_map,
	.unmap = fake_unmap,
	.limits = fake_limits,
	.free = fake_free,
};

static struct host_driver *make_driver(struct fixture *x, struct fake_iommu *f, struct error *err)
{
	const struct sysfs_pci host = { .bdf = "0000:01:00.0", .has_methods = true };

	f->log = &x->m.log;
	return host_driver_new(iommu_new_with(&fake_ops, f), &x->f.k, &host, DMA_SIZE, err);
}

static void test_life(void **state)
{
	static const char *const begin[] = { "map+1000000:2000", "cmd=0406" };
	static const char *const end[] = { "cmd=0000", "map-1000000:2000" };
	struct fixture *x = *state;
	struct fake_iommu f = { 0 };
	struct host_driver *h;
	uint64_t size;
	iova_t bus;
	char *dma;

	fake_vfio_bar(&x->f, 0, 0x4000, 0);
	fake_vfio_msix(&x->f, 0x40, 4, 0x2000, 0x3000); /* offsets in BAR 0 */
	h = make_driver(x, &f, NULL);
	assert_non_null(h);
	assert_true(fake_log_order(&x->m.log, begin, 2));
	dma = host_driver_dma(h, &bus);
	assert_int_equal(bus.v, 0x1000000);
	assert_int_equal(dma[DMA_SIZE - 1], 0);
	assert_int_equal(host_driver_config(h, 0), 0x56781234);
	x->f.cfg_dead = true;
	assert_int_equal(host_driver_config(h, 0), UINT32_MAX);
	x->f.cfg_dead = false;
	/* Up to the page of the MSI-X table. */
	assert_non_null(host_driver_bar0(h, &size));
	assert_int_equal(size, 0x2000);
	fake_log_clear(&x->m.log);
	host_driver_close(h);
	assert_true(fake_log_order(&x->m.log, end, 2));
	assert_true(f.freed);
	assert_int_equal(x->f.closed, 1);
}

static void test_interrupt(void **state)
{
	struct fixture *x = *state;
	struct pollfd p = { .events = POLLIN };
	struct fake_iommu f = { 0 };
	struct host_driver *h;

	fake_vfio_bar(&x->f, 0, 0x4000, 0);
	fake_vfio_msix(&x->f, 0x40, 4, 0x2000, 0x3000);
	h = make_driver(x, &f, NULL);
	p.fd = host_driver_irq(h);
	assert_true(p.fd >= 0);
	assert_int_equal(host_driver_irq(h), p.fd);
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_true(fake_vfio_fire(&x->f, VFIO_PCI_MSIX_IRQ_INDEX, 0));
	assert_int_equal(poll(&p, 1, 0), 1);
	fake_log_clear(&x->m.log);
	host_driver_close(h);
	assert_int_equal(fake_log_count(&x->m.log, "off:2"), 1);
}

static void test_no_vectors(void **state)
{
	struct fixture *x = *state;
	struct fake_iommu f = { 0 };
	struct host_driver *h = make_driver(x, &f, NULL);
	uint64_t size;

	assert_int_equal(host_driver_irq(h), -ENODEV);
	assert_null(host_driver_bar0(h, &size));
	host_driver_close(h);
	assert_int_equal(x->f.closed, 1);
}

static void test_vectors_refused(void **state)
{
	struct fixture *x = *state;
	struct fake_iommu f = { 0 };
	struct host_driver *h;

	fake_vfio_bar(&x->f, 0, 0x4000, 0);
	fake_vfio_msix(&x->f, 0x40, 4, 0x2000, 0x3000);
	h = make_driver(x, &f, NULL);
	x->f.set_irqs_ret = -EBUSY;
	assert_int_equal(host_driver_irq(h), -EBUSY);
	fake_log_clear(&x->m.log);
	host_driver_close(h);
	assert_int_equal(fake_log_count(&x->m.log, "off:2"), 0); /* it never was on */
}

static void test_no_memory(void **state)
{
	struct fixture *x = *state;
	struct fake_iommu f = { .map_ret = -EINVAL };
	struct error err = { 0 };

	assert_null(make_driver(x, &f, &err));
	assert_non_null(strstr(err.text, "cannot be mapped for DMA"));
	assert_int_equal(fake_log_count(&x->m.log, "cmd=0406"), 0); /* no bus mastering */
	assert_int_equal(x->f.closed, 1);
	assert_true(f.freed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_life, setup, teardown),
		cmocka_unit_test_setup_teardown(test_interrupt, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_vectors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vectors_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_memory, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
