/* SPDX-License-Identifier: BSD-2-Clause */
/* A passed-through function leaves a machine that runs: in which order, what the guest reads from
 * then on, and that nothing is left of it, however often. */
#include "vfio_fixture.h"

#include <malloc.h>
#include <pthread.h>

#include "tests/unit/files_fixture.h"
#include "vfio/iommu/iommu_backend.h"
#include "vmm/core/bus.h"
#include "vmm/core/parallel.h"

#define MSIX_CAP 0x50
#define BAR0	 0xe0000000u
#define BAR2	 0xe0100000u

/* One memory BAR of 64 KiB, and one with an MSI-X table of four vectors, which is trapped. */
static void make_card(struct fixture *x)
{
	fake_vfio_bar(&x->f, 0, 0x10000, 0);
	fake_vfio_bar(&x->f, 2, 0x4000, 0);
	fake_vfio_msix(&x->f, MSIX_CAP, 4, 0x2000 | 2, 0x3000 | 2);
	plug(x);
}

static void mmio(struct fixture *x, uint64_t addr, uint32_t val)
{
	bus_write(x->m.root.mmio, addr, 4, val);
}

/* What a driver does: the BARs get addresses, bus mastering goes on, MSI-X too, with one vector. */
static void drive(struct fixture *x)
{
	wr(x, PCI_BASE_ADDRESS_0, 4, BAR0);
	wr(x, PCI_BASE_ADDRESS_2, 4, BAR2);
	wr(x, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	wr(x, MSIX_CAP + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
	mmio(x, BAR2 + 0x2000, 0xfee00000);
	mmio(x, BAR2 + 0x2008, 0x41);
	mmio(x, BAR2 + 0x200c, 0);
}

static void test_order(void **state)
{
	struct fixture *x = *state;

	make_card(x);
	drive(x);
	assert_int_equal(COUNT(x, "slot+"), 2); /* BAR 0, and what is before the MSI-X table */
	assert_true(fake_vfio_fire(&x->f, VFIO_PCI_MSIX_IRQ_INDEX, 0));
	fake_log_clear(&x->m.log);
	vfio_pci_unplug(x->v);
	ORDER(x, "slot-e0000000", "slot-e0100000", "irqfd-24", "off:2", "cmd=0000");
	assert_int_equal(pci_get16(x->f.config, PCI_COMMAND), 0);
	assert_false(fake_vfio_fire(&x->f, VFIO_PCI_MSIX_IRQ_INDEX, 0));
	assert_int_equal(x->f.closed, 0);
}

/* Nothing that the guest does now reaches the hardware. */
static void test_all_ones(void **state)
{
	struct fixture *x = *state;
	unsigned long trapped;

	make_card(x);
	drive(x);
	vfio_pci_unplug(x->v);
	trapped = x->f.trapped;
	assert_int_equal(rd(x, PCI_VENDOR_ID, 4), UINT32_MAX);
	assert_int_equal(bus_read(x->m.root.mmio, BAR0, 4), UINT32_MAX);
	assert_int_equal(bus_read(x->m.root.mmio, BAR2 + 0x2000, 4), UINT32_MAX);
	fake_log_clear(&x->m.log);
	drive(x);
	assert_string_equal(x->m.log.text, "");
	assert_int_equal(x->f.trapped, trapped);
	assert_int_equal(pci_get16(x->f.config, PCI_COMMAND), 0);
	/* A second time it does nothing, and freeing it closes it. */
	vfio_pci_unplug(x->v);
	assert_string_equal(x->m.log.text, "");
	vfio_pci_free(x->v);
	x->v = NULL;
	assert_int_equal(x->f.closed, 1);
}

/* The device has fallen off its bus: the host refuses every access. */
static void test_dead(void **state)
{
	struct fixture *x = *state;

	make_card(x);
	drive(x);
	x->f.cfg_dead = true;
	x->f.set_irqs_ret = -EIO;
	fake_log_clear(&x->m.log);
	vfio_pci_unplug(x->v);
	ORDER(x, "slot-e0000000", "slot-e0100000", "irqfd-24");
	assert_int_equal(rd(x, PCI_VENDOR_ID, 4), UINT32_MAX);
}

static void stop_loop(void *loop)
{
	evloop_stop(loop, 0);
}

static void run_loop(struct fixture *x, unsigned ms)
{
	struct ev_timer *t = evloop_add_timer(x->loop, stop_loop, x->loop);

	ev_timer_set(t, evloop_now_ns() + ms * 1000000ull);
	evloop_run(x->loop);
	evloop_del_timer(t);
}

static void round_trip(struct fixture *x)
{
	fake_log_clear(&x->m.log);
	plug(x);
	drive(x);
	vfio_pci_unplug(x->v);
	vfio_pci_free(x->v);
	x->v = NULL;
	run_loop(x, 0); /* it frees what was its */
	assert_int_equal(COUNT(x, "slot+"), COUNT(x, "slot-"));
	assert_int_equal(COUNT(x, "irqfd+"), COUNT(x, "irqfd-"));
	/* The lowest route is free again. */
	assert_int_equal(COUNT(x, "irqfd+24"), 1);
}

static void test_rounds(void **state)
{
	struct fixture *x = *state;
	unsigned files = 0;
	size_t bytes = 0;

	use_loop(x);
	make_card(x);
	vfio_pci_free(x->v);
	for (unsigned i = 0; i < 200; i++) {
		round_trip(x);
		if (i == 10) {
			files = open_files();
			bytes = mallinfo2().uordblks;
		}
	}
	assert_int_equal(open_files(), files);
	assert_int_equal(mallinfo2().uordblks, bytes);
	assert_int_equal(x->f.closed, 201);
}

/* ---- peer-to-peer ---- */

static char maps[200];

static int note_map(void *backend, uint64_t iova, void *host, uint64_t size, bool write)
{
	size_t n = strlen(maps);

	(void)backend, (void)host, (void)write;
	snprintf(maps + n, sizeof(maps) - n, "+%llx:%llx ", (unsigned long long)iova,
		 (unsigned long long)size);
	return 0;
}

static int note_unmap(void *backend, uint64_t iova, uint64_t size)
{
	size_t n = strlen(maps);

	(void)backend, (void)size;
	snprintf(maps + n, sizeof(maps) - n, "-%llx ", (unsigned long long)iova);
	return 0;
}

static void no_free(void *backend)
{
	(void)backend;
}

static const struct iommu_ops notes = { .map = note_map, .unmap = note_unmap, .free = no_free };

/* A second card comes, and goes; in the end, the device itself. */
static void test_peers(void **state)
{
	struct fixture *x = *state;

	use_loop(x);
	x->env.iommu = iommu_new_with(&notes, NULL);
	maps[0] = '\0';
	make_card(x);
	drive(x);
	run_loop(x, 10);
	assert_string_equal(maps, "");
	vfio_pci_set_p2p(x->v, true);
	run_loop(x, 10);
	assert_string_equal(maps, "+e0000000:10000 +e0100000:2000 ");
	maps[0] = '\0';
	vfio_pci_set_p2p(x->v, false);
	assert_string_equal(maps, "-e0000000 -e0100000 ");
	vfio_pci_set_p2p(x->v, true);
	run_loop(x, 10);
	maps[0] = '\0';
	vfio_pci_unplug(x->v);
	assert_string_equal(maps, "-e0000000 -e0100000 ");
	vfio_pci_free(x->v);
	x->v = NULL;
	iommu_free(x->env.iommu);
}

/* ---- while it is used ---- */

struct user {
	struct fixture *x;
	int stop;
	unsigned long accesses;
};

/* A vCPU that does not know that the device leaves: registers, interrupts, configuration space. */
static void *use_it(void *arg)
{
	struct user *u = arg;
	struct fixture *x = u->x;

	while (!__atomic_load_n(&u->stop, __ATOMIC_RELAXED)) {
		bus_read(x->m.root.mmio, BAR2 + 0x2000, 4);
		mmio(x, BAR2 + 0x200c, u->accesses & 1);
		fake_vfio_fire(&x->f, VFIO_PCI_MSIX_IRQ_INDEX, 0);
		pthread_mutex_lock(&x->m.root.lock);
		wr(x, PCI_COMMAND, 2, u->accesses & 2 ? 6 : 0);
		wr(x, MSIX_CAP + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
		pthread_mutex_unlock(&x->m.root.lock);
		__atomic_fetch_add(&u->accesses, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void wait_for_use(struct user *u, unsigned long accesses)
{
	accesses += __atomic_load_n(&u->accesses, __ATOMIC_RELAXED);
	while (__atomic_load_n(&u->accesses, __ATOMIC_RELAXED) < accesses)
		sched_yield();
}

static void test_in_use(void **state)
{
	struct fixture *x = *state;
	struct user u = { .x = x };
	pthread_t thread;

	make_card(x);
	drive(x);
	assert_int_equal(pthread_create(&thread, NULL, use_it, &u), 0);
	for (unsigned i = 0; i < 50; i++) {
		wait_for_use(&u, 3);
		vfio_pci_unplug(x->v);
		wait_for_use(&u, 3);
		assert_int_equal(pci_get16(x->f.config, PCI_COMMAND), 0);
		vfio_pci_free(x->v);
		fake_log_clear(&x->m.log);
		plug(x);
		pthread_mutex_lock(&x->m.root.lock);
		wr(x, PCI_BASE_ADDRESS_0, 4, BAR0);
		wr(x, PCI_BASE_ADDRESS_2, 4, BAR2);
		pthread_mutex_unlock(&x->m.root.lock);
	}
	__atomic_store_n(&u.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
}

/* ---- several, at the same time ---- */

static void free_one(void *arg, unsigned i)
{
	vfio_pci_free(((struct vfio_pci **)arg)[i]);
}

static void test_at_once(void **state)
{
	struct fixture *x = *state;
	struct vfio_pci *v[3];
	struct fake_vfio f[3];
	struct error err;

	for (unsigned i = 0; i < 3; i++) {
		fake_vfio_init(&f[i], &x->m.log);
		fake_vfio_bar(&f[i], 0, 0x10000, 0);
		fake_vfio_msix(&f[i], MSIX_CAP, 4, 0x2000, 0x3000);
		v[i] = vfio_pci_new(&f[i].k, &x->opt, &x->env, &err);
		assert_non_null(v[i]);
		assert_int_equal(
			vfio_pci_plug(v[i], &x->m.root, &x->m.root.bus, PCI_DEVFN(4 + i, 0), &err),
			0);
	}
	for (unsigned i = 0; i < 3; i++)
		vfio_pci_unplug(v[i]);
	parallel_each(3, free_one, v);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(f[i].closed, 1);
		fake_vfio_free(&f[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_order), T(test_all_ones), T(test_dead),	  T(test_rounds),
		T(test_peers), T(test_in_use),	 T(test_at_once),
	};

	/* An arena that a thread makes would count as bytes that are left. */
	mallopt(M_ARENA_MAX, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
