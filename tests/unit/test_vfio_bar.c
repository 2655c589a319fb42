/* SPDX-License-Identifier: BSD-2-Clause */
#include <unistd.h>

#include "vfio_fixture.h"
#include "devices/pci/pci_host.h"
#include "devices/pci/root_port.h"
#include "vfio/bar.h"

#define BAR(n) (PCI_BASE_ADDRESS_0 + 4 * (n))
#define MEM    PCI_COMMAND_MEMORY

static unsigned areas(const struct vfio_region_info *info, const struct vfio_area *hole, unsigned n,
		      struct vfio_area *out)
{
	struct vfio_area *a;
	int count = vfio_bar_areas(info, hole, n, &a);

	assert_true(count >= 0 && count <= 8);
	memcpy(out, a, (unsigned)count * sizeof(*a));
	free(a);
	return (unsigned)count;
}

static void test_carving(void **state)
{
	struct vfio_region_info info = { .argsz = sizeof(info), .size = 0x10000 };
	struct vfio_area a[8], h[2] = { { 0x2ff8, 16 }, { 0x8000, 8 } };

	(void)state;
	assert_int_equal(areas(&info, NULL, 0, a), 1);
	assert_true(a[0].off == 0 && a[0].size == 0x10000);
	/* An unaligned table on two pages, a PBA elsewhere. */
	assert_int_equal(areas(&info, h, 2, a), 3);
	assert_true(a[0].off == 0 && a[0].size == 0x2000);
	assert_true(a[1].off == 0x4000 && a[1].size == 0x4000);
	assert_true(a[2].off == 0x9000 && a[2].size == 0x7000);
	h[0] = (struct vfio_area){ 0, 0x10000 };
	assert_int_equal(areas(&info, h, 1, a), 0);
	h[0] = (struct vfio_area){ 0, 16 };
	h[1] = (struct vfio_area){ 0xfff0, 16 };
	assert_int_equal(areas(&info, h, 2, a), 1);
	assert_true(a[0].off == 0x1000 && a[0].size == 0xe000);
	/* Outside of the BAR, or past the end of 64 bits: no hole. */
	h[0] = (struct vfio_area){ 0xfff8, 16 };
	h[1] = (struct vfio_area){ UINT64_MAX - 8, 64 };
	assert_int_equal(areas(&info, h, 2, a), 1);
	assert_int_equal(a[0].size, 0x10000);
}

static void test_sparse(void **state)
{
	struct fixture *x = *state;
	struct vfio_region_info *info = NULL;
	struct vfio_area a[8], h = { 0x5000, 16 };
	struct fake_region *r = &x->f.region[0];

	fake_vfio_bar(&x->f, 0, 0x10000, 0);
	r->n_sparse = 4;
	r->sparse[0].offset = 0x8000, r->sparse[0].size = 0x100000; /* too long, so it is clipped */
	r->sparse[1].offset = 0x4000, r->sparse[1].size = 0x3000;
	r->sparse[2].offset = 0x1100, r->sparse[2].size = 0x1f00; /* one whole page */
	r->sparse[3].offset = UINT64_MAX - 10, r->sparse[3].size = 100;
	assert_int_equal(x->f.k.ops->region_info(&x->f.k, 0, &info), 0);
	assert_int_equal(areas(info, &h, 1, a), 4);
	assert_true(a[0].off == 0x2000 && a[0].size == 0x1000);
	assert_true(a[1].off == 0x4000 && a[1].size == 0x1000);
	assert_true(a[2].off == 0x6000 && a[2].size == 0x1000);
	assert_true(a[3].off == 0x8000 && a[3].size == 0x8000);
	/* A capability that claims more areas than it has, and a circular list. */
	((struct vfio_region_info_cap_sparse_mmap *)((char *)info + info->cap_offset))->nr_areas =
		1u << 30;
	assert_int_equal(areas(info, &h, 1, a), 4);
	((struct vfio_info_cap_header *)((char *)info + info->cap_offset))->id = 99;
	((struct vfio_info_cap_header *)((char *)info + info->cap_offset))->next = info->cap_offset;
	assert_int_equal(areas(info, NULL, 0, a), 1);
	info->cap_offset = info->argsz - 2;
	assert_int_equal(areas(info, NULL, 0, a), 1);
	free(info);
}

static void test_direct_with_msix(void **state)
{
	struct fixture *x = *state;

	fake_vfio_bar(&x->f, 0, 0x4000, PCI_BASE_ADDRESS_MEM_TYPE_64);
	fake_vfio_msix(&x->f, 0x40, 4, 0x2000, 0x2800);
	plug(x);
	assert_int_equal(x->f.mmaps, 2);
	wr(x, BAR(0), 4, 0xfe000000);
	wr(x, BAR(1), 4, 0x10);
	assert_int_equal(COUNT(x, "slot+"), 0);
	fake_log_clear(&x->m.log);
	wr(x, PCI_COMMAND, 2, MEM);
	ORDER(x, "cmd=0002", "slot+10fe000000:2000", "slot+10fe003000:1000");
	/* The page of the table traps: we answer the table, the hardware answers the rest. */
	assert_int_equal(bus_read(x->m.root.mmio, 0x10fe00200c, 4), 1);
	x->f.trapped = 0;
	bus_write(x->m.root.mmio, 0x10fe002100, 4, 0x1234);
	assert_int_equal(bus_read(x->m.root.mmio, 0x10fe002100, 4), 0x1234);
	assert_int_equal(x->f.trapped, 2);
	/* Our process never accesses the BAR, so DMA of an emulated device to it fails. */
	assert_int_equal(guest_mem_read(x->m.root.mem, GPA(0x10fe000000), &(int){ 0 }, 4), -EFAULT);
	fake_log_clear(&x->m.log);
	/* without a main loop it leaves at once, before the kernel is told */
	wr(x, PCI_COMMAND, 2, 0);
	ORDER(x, "slot-10fe000000", "slot-10fe003000", "cmd=0000");
}

static void test_size_probe(void **state)
{
	struct fixture *x = *state;

	fake_vfio_bar(&x->f, 0, 0x4000, 0);
	plug(x);
	wr(x, PCI_COMMAND, 2, MEM);
	wr(x, BAR(0), 4, 0xffffffff);
	assert_int_equal(rd(x, BAR(0), 4), 0xffffc000);
	assert_int_equal(COUNT(x, "slot+"), 0);
	wr(x, BAR(0), 4, 0xe0000000);
	assert_int_equal(COUNT(x, "slot+e0000000:4000"), 1);
	wr(x, BAR(0), 4, 0xe0100000);
	ORDER(x, "slot+e0000000", "slot-e0000000", "slot+e0100000");
}

/* Linux does this around each BAR register. */
static void test_lingers(void **state)
{
	struct fixture *x = *state;

	use_loop(x);
	fake_vfio_bar(&x->f, 0, 0x4000, 0);
	fake_vfio_bar(&x->f, 1, 0x4000, 0);
	plug(x);
	wr(x, BAR(0), 4, 0xe0000000);
	wr(x, BAR(1), 4, 0xe0004000);
	wr(x, PCI_COMMAND, 2, MEM);
	for (unsigned n = 0; n < 2; n++) {
		wr(x, PCI_COMMAND, 2, 0);
		assert_int_equal(rd(x, PCI_COMMAND, 2), 0);
		wr(x, BAR(n), 4, 0xffffffff);
		wr(x, BAR(n), 4, 0xe0000000 + n * 0x4000);
		wr(x, PCI_COMMAND, 2, MEM);
	}
	assert_int_equal(COUNT(x, "slot+"), 2);
	assert_int_equal(COUNT(x, "slot-"), 0);
	assert_int_equal(vfio_pci_counts(x->v).bar_maps, 2);
	/* The BARs swap their addresses; nothing of the old mapping stays. */
	wr(x, PCI_COMMAND, 2, 0);
	fake_log_clear(&x->m.log);
	wr(x, BAR(0), 4, 0xe0004000);
	ORDER(x, "slot-e0000000"); /* it moved; the old mapping leaves only when it decodes there */
	wr(x, BAR(1), 4, 0xe0000000);
	wr(x, PCI_COMMAND, 2, MEM);
	assert_int_equal(COUNT(x, "slot+"), 2);
	assert_int_equal(COUNT(x, "slot-"), 2);
	assert_int_equal(pci_get16(x->f.config, PCI_COMMAND), MEM);
}

static void stop_loop(void *arg)
{
	evloop_stop(arg, 0);
}

static void test_leaves_in_the_end(void **state)
{
	struct fixture *x = *state;
	struct ev_timer *t;

	use_loop(x);
	fake_vfio_bar(&x->f, 0, 0x4000, 0);
	plug(x);
	wr(x, BAR(0), 4, 0xe0000000);
	wr(x, PCI_COMMAND, 2, MEM);
	wr(x, PCI_COMMAND, 2, 0);
	assert_int_equal(pci_get16(x->f.config, PCI_COMMAND), MEM);
	t = evloop_add_timer(x->loop, stop_loop, x->loop);
	ev_timer_set(t, evloop_now_ns() + 700000000);
	evloop_run(x->loop);
	evloop_del_timer(t);
	ORDER(x, "slot+e0000000", "slot-e0000000", "cmd=0000");
	assert_int_equal(pci_get16(x->f.config, PCI_COMMAND), 0);
}

/* A vCPU that resets a device through the kernel holds the root lock, so it must not wait for the
 * main loop. */
static void test_loop_does_not_wait(void **state)
{
	struct fixture *x = *state;
	struct ev_timer *t;

	use_loop(x);
	fake_vfio_bar(&x->f, 0, 0x4000, 0);
	plug(x);
	wr(x, BAR(0), 4, 0xe0000000);
	wr(x, PCI_COMMAND, 2, MEM);
	wr(x, PCI_COMMAND, 2, 0);
	t = evloop_add_timer(x->loop, stop_loop, x->loop);
	alarm(60); /* it would wait for itself for ever */
	pthread_mutex_lock(&x->m.root.lock);
	ev_timer_set(t, evloop_now_ns() + 2 * VFIO_LINGER_NS);
	evloop_run(x->loop);
	assert_int_equal(COUNT(x, "slot-"), 0);
	pthread_mutex_unlock(&x->m.root.lock);
	alarm(0);
	ev_timer_set(t, evloop_now_ns() + 700000000);
	evloop_run(x->loop);
	evloop_del_timer(t);
	assert_int_equal(COUNT(x, "slot-e0000000"), 1);
	assert_int_equal(pci_get16(x->f.config, PCI_COMMAND), 0);
}

static const struct io_region_ops nothing;

static void test_stale_makes_room(void **state)
{
	struct fixture *x = *state;
	struct pci_device other;

	use_loop(x);
	fake_vfio_bar(&x->f, 0, 0x4000, 0);
	plug(x);
	pci_device_init(&other, "other", NULL, 1, 2, 0x020000, 0);
	pci_add_bar(&other, 0, PCI_BAR_MEM32, false, 0x1000, &nothing, NULL);
	pci_add(&x->m.root, &x->m.root.bus, &other, PCI_DEVFN(4, 0), NULL);
	wr(x, BAR(0), 4, 0xe0000000);
	wr(x, PCI_COMMAND, 2, MEM);
	wr(x, PCI_COMMAND, 2, 0);
	assert_int_equal(COUNT(x, "slot-"), 0);
	pci_cfg_write(&x->m.root, 0, PCI_DEVFN(4, 0), BAR(0), 4, 0xe0002000);
	pci_cfg_write(&x->m.root, 0, PCI_DEVFN(4, 0), PCI_COMMAND, 2, MEM);
	assert_int_equal(COUNT(x, "slot-e0000000"), 1);
	pci_remove(&other);
	pci_device_destroy(&other);
}

static void test_sub_page(void **state)
{
	struct fixture *x = *state;

	fake_vfio_bar(&x->f, 0, 0x100, 0);
	fake_vfio_bar(&x->f, 1, 0x100, 0);
	plug(x);
	wr(x, PCI_COMMAND, 2, MEM);
	wr(x, BAR(0), 4, 0xe0000000);
	assert_int_equal(COUNT(x, "slot+e0000000:1000"), 1);
	/* Another BAR comes to the same page, so it traps from then on. */
	wr(x, BAR(1), 4, 0xe0000800);
	assert_int_equal(COUNT(x, "slot-e0000000"), 1);
	assert_int_equal(COUNT(x, "slot+"), 1);
	bus_write(x->m.root.mmio, 0xe0000800, 4, 7);
	assert_int_equal(bus_read(x->m.root.mmio, 0xe0000800, 4), 7);
	/* It is alone, but not at the start of a page. */
	wr(x, BAR(1), 4, 0xe0010100);
	assert_int_equal(COUNT(x, "slot+"), 1);
	/* The page already has another BAR. */
	wr(x, BAR(1), 4, 0xe0000800);
	wr(x, BAR(0), 4, 0xe0020000);
	wr(x, BAR(0), 4, 0xe0000000);
	assert_int_equal(COUNT(x, "slot+"), 2);
	assert_int_equal(COUNT(x, "slot+e0000000"), 1);
}

static void test_io_bar(void **state)
{
	struct fixture *x = *state;

	fake_vfio_bar(&x->f, 2, 0x20, PCI_BASE_ADDRESS_SPACE_IO);
	plug(x);
	wr(x, BAR(2), 4, 0xc000);
	wr(x, PCI_COMMAND, 2, PCI_COMMAND_IO);
	bus_write(x->m.root.pio, 0xc004, 2, 0xbeef);
	assert_int_equal(bus_read(x->m.root.pio, 0xc004, 2), 0xbeef);
	assert_int_equal(pci_get16(x->f.region[2].store, 4), 0xbeef);
	assert_int_equal(vfio_pci_counts(x->v).trapped, 2);
	assert_int_equal(x->f.mmaps, 0);
}

static void test_nothing_to_map(void **state)
{
	struct fixture *x = *state;

	fake_vfio_bar(&x->f, 0, 0x1000, 0);
	fake_vfio_bar(&x->f, 1, 0x3000, 0); /* not a power of two, so the guest does not see it */
	x->opt.mmap = false;
	plug(x);
	wr(x, BAR(0), 4, 0xe0000000);
	wr(x, PCI_COMMAND, 2, MEM);
	assert_int_equal(COUNT(x, "slot+"), 0);
	bus_write(x->m.root.mmio, 0xe0000008, 8, 0x1122334455667788);
	assert_int_equal(bus_read(x->m.root.mmio, 0xe0000008, 8), 0x1122334455667788);
	wr(x, BAR(1), 4, 0xffffffff);
	assert_int_equal(rd(x, BAR(1), 4), 0);
	vfio_pci_free(x->v);
	x->opt.mmap = true;
	x->f.no_mmap = true;
	plug(x);
	wr(x, BAR(0), 4, 0xe0000000);
	wr(x, PCI_COMMAND, 2, MEM);
	assert_int_equal(COUNT(x, "slot+"), 0);
}

static void test_huge(void **state)
{
	struct fixture *x = *state;

	fake_vfio_bar(&x->f, 2, 16 * GiB, PCI_BASE_ADDRESS_MEM_TYPE_64);
	plug(x);
	assert_int_equal(x->f.last_mmap % GiB, 0);
	wr(x, BAR(2), 4, 0);
	wr(x, BAR(3), 4, 0x80);
	wr(x, PCI_COMMAND, 2, MEM);
	assert_int_equal(COUNT(x, "slot+8000000000:400000000"), 1);
}

/* RAM at its address, and a kernel without free memslots: the BAR traps, and nothing is left
 * mapped. */
static void test_refused_slots(void **state)
{
	struct fixture *x = *state;
	void *ram = aligned_alloc(4096, 4096);
	struct mem_range r = { 0xe0003000, 4096, ram, MEM_RAM, true };

	fake_vfio_bar(&x->f, 0, 0x4000, 0);
	fake_vfio_msix(&x->f, 0x40, 4, 0x1000, 0x1800);
	plug(x);
	assert_int_equal(guest_mem_add(x->m.root.mem, &r), 0);
	wr(x, BAR(0), 4, 0xe0000000);
	wr(x, PCI_COMMAND, 2, MEM);
	ORDER(x, "slot+e0000000:1000", "slot-e0000000");
	assert_int_equal(bus_read(x->m.root.mmio, 0xe0000010, 4), 0);
	x->m.slot_ret = -EINVAL;
	wr(x, BAR(0), 4, 0xe0100000);
	x->m.slot_ret = 0;
	assert_int_equal(vfio_pci_counts(x->v).bar_unmaps, 0);
	guest_mem_del(x->m.root.mem, GPA(0xe0003000));
	free(ram);
}

static void test_sleep(void **state)
{
	struct fixture *x = *state;

	use_loop(x);
	fake_vfio_bar(&x->f, 0, 0x4000, 0);
	fake_vfio_cap(&x->f, 0x40, PCI_CAP_ID_PM);
	plug(x);
	wr(x, BAR(0), 4, 0xe0000000);
	wr(x, PCI_COMMAND, 2, MEM);
	wr(x, 0x44, 2, 3);
	assert_int_equal(COUNT(x, "slot-e0000000"), 1);
	assert_int_equal(x->f.config[0x44], 3);
	wr(x, PCI_COMMAND, 2, 0);
	wr(x, PCI_COMMAND, 2, MEM);
	assert_int_equal(COUNT(x, "slot+"), 1);
	wr(x, 0x44, 4, 0);
	assert_int_equal(COUNT(x, "slot+"), 2);
	/* Quiescing wakes the device up and unmaps everything. */
	wr(x, 0x44, 2, 3);
	vfio_pci_quiesce(x->v);
	assert_int_equal(x->f.config[0x44], 0);
	assert_int_equal(COUNT(x, "slot-"), 2);
	vfio_pci_after_reset(x->v);
	assert_int_equal(rd(x, BAR(0), 4), 0);
}

static void test_nvidia_mirror(void **state)
{
	struct fixture *x = *state;

	pci_set16(x->f.config, PCI_VENDOR_ID, 0x10de);
	pci_set16(x->f.config, PCI_DEVICE_ID, 0x1b80);
	pci_set32(x->f.config, PCI_CLASS_REVISION, 0x030000a1);
	fake_vfio_bar(&x->f, 0, 16 * MiB, 0);
	plug(x);
	wr(x, BAR(0), 4, 0xe0000000);
	wr(x, PCI_COMMAND, 2, MEM);
	ORDER(x, "slot+e0000000:88000", "slot+e0089000:f77000");
	assert_int_equal(bus_read(x->m.root.mmio, 0xe0088010, 4), 0xe0000000);
	assert_int_equal(bus_read(x->m.root.mmio, 0xe0088000, 4), 0x1b8010de);
	bus_write(x->m.root.mmio, 0xe008803c, 1, 5);
	assert_int_equal(rd(x, PCI_INTERRUPT_LINE, 1), 5);
	/* Moves the BAR and so the window, from inside the callback of the window. */
	bus_write(x->m.root.mmio, 0xe0088010, 4, 0xd0000000);
	assert_int_equal(bus_read(x->m.root.mmio, 0xd0088010, 4), 0xd0000000);
	assert_int_equal(bus_read(x->m.root.mmio, 0xe0088010, 4), 0xffffffff);
}

/* ECAM also wins over the mirror, wherever the guest puts it. */
static void test_ecam_over_mirror(void **state)
{
	struct fixture *x = *state;
	struct pci_host host = { 0 };

	assert_int_equal(pci_host_init(&host, &x->m.root, NULL), 0);
	pci_set16(x->f.config, PCI_VENDOR_ID, 0x10de);
	pci_set32(x->f.config, PCI_CLASS_REVISION, 0x030000a1);
	fake_vfio_bar(&x->f, 0, 256 * MiB, 0);
	plug(x);
	wr(x, PCI_COMMAND, 2, MEM);
	wr(x, BAR(0), 4, 0xe0000000);
	assert_int_equal(bus_read(x->m.root.mmio, 0xe0088000, 4), 0x567810de);
	pci_host_set_ecam(&host, 0xe0000000);
	assert_int_equal(bus_read(x->m.root.mmio, 0xe0000000, 4), 0x29c08086);
	assert_int_equal(bus_read(x->m.root.mmio, 0xe0088000, 4), UINT32_MAX);
	wr(x, BAR(0), 4, 0xd0000000);
	wr(x, BAR(0), 4, 0xe0000000);
	assert_int_equal(bus_read(x->m.root.mmio, 0xe0000000, 4), 0x29c08086);
	assert_int_equal(bus_read(x->m.root.mmio, 0xe0088000, 4), UINT32_MAX);
	vfio_pci_free(x->v);
	x->v = NULL;
	pci_host_destroy(&host);
}

/* ---- fixed ranges ---- */

static void test_over_apics(void **state)
{
	static const uint32_t places[] = { 0xfee00000, 0xfec00000, 0xfed40000 };
	struct fixture *x = *state;

	fake_vfio_bar(&x->f, 0, 0x4000, 0);
	fake_vfio_bar(&x->f, 6, 0x1000, 0);
	pci_set32(x->f.config, PCI_CARDBUS_CIS, 0);
	plug(x);
	pci_set32(x->f.region[0].store, 0x10, 0xabcd);
	wr(x, PCI_COMMAND, 2, MEM);
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		wr(x, BAR(0), 4, places[i]);
		/* It traps, because the earlier BAR is found first. */
		assert_int_equal(bus_read(x->m.root.mmio, places[i] + 0x10, 4), 0xabcd);
		wr(x, BAR(0), 4, 0xe0000000);
		wr(x, PCI_ROM_ADDRESS, 4, places[i] | 1);
		wr(x, PCI_ROM_ADDRESS, 4, 0);
	}
	assert_int_equal(COUNT(x, "slot+e0000000:4000"), 3);
	assert_int_equal(COUNT(x, "slot+"), 3);
	/* There is space below and above. */
	wr(x, BAR(0), 4, 0xfebfc000);
	assert_int_equal(COUNT(x, "slot+febfc000:4000"), 1);
}

static void test_over_ecam(void **state)
{
	struct fixture *x = *state;
	struct pci_host host = { 0 };
	struct bus *mmio = x->m.root.mmio;

	assert_int_equal(pci_host_init(&host, &x->m.root, NULL), 0);
	fake_vfio_bar(&x->f, 0, 0x4000, 0);
	fake_vfio_bar(&x->f, 6, 0x1000, 0);
	pci_set32(x->f.config, PCI_CARDBUS_CIS, 0);
	use_loop(x);
	plug(x);
	pci_host_set_ecam(&host, 0xb0000000);
	wr(x, PCI_COMMAND, 2, MEM);
	wr(x, BAR(0), 4, 0xb0000000);
	wr(x, PCI_ROM_ADDRESS, 4, 0xb0008001);
	assert_int_equal(COUNT(x, "slot+"), 0);
	assert_int_equal(bus_read(mmio, 0xb0000000, 4), 0x29c08086);
	/* When the other one moves away, the BAR is mapped at once. */
	pci_host_set_ecam(&host, 0xe0000000);
	assert_int_equal(COUNT(x, "slot+b0000000:4000"), 1);
	/* It is moved over BARs that are in guest memory. */
	wr(x, PCI_ROM_ADDRESS, 4, 0xc0008001);
	wr(x, BAR(0), 4, 0xc0000000);
	fake_log_clear(&x->m.log);
	pci_host_set_ecam(&host, 0xc0000000);
	ORDER(x, "slot-c0000000");
	assert_int_equal(COUNT(x, "slot-c0008000"), 1);
	assert_int_equal(bus_read(mmio, 0xc0000000, 4), 0x29c08086);
	pci_host_set_ecam(&host, 0xb0000000);
	assert_int_equal(COUNT(x, "slot+c0000000:4000"), 1);
	/* Over a BAR that does not decode at the moment. */
	wr(x, PCI_COMMAND, 2, 0);
	fake_log_clear(&x->m.log);
	pci_host_set_ecam(&host, 0xc0000000);
	ORDER(x, "slot-c0000000");
	pci_host_set_ecam(&host, 0xb0000000);
	assert_int_equal(COUNT(x, "slot+"), 0);
	vfio_pci_free(x->v);
	x->v = NULL;
	pci_host_destroy(&host);
}

/* ---- behind a bridge ---- */

#define WINDOW(base, limit) ((uint32_t)(limit) << 16 | (base))

static void below(struct fixture *x, unsigned off, unsigned size, uint32_t val)
{
	pci_cfg_write(&x->m.root, 1, 0, off, size, val);
}

static void port_plug(struct fixture *x, struct root_port *port)
{
	use_loop(x);
	fake_vfio_bar(&x->f, 0, 0x4000, PCI_BASE_ADDRESS_MEM_TYPE_64);
	make(x);
	assert_int_equal(root_port_init(port, &x->m.root, DEVFN, 1, 0, 0, NULL), 0);
	assert_int_equal(vfio_pci_plug(x->v, &x->m.root, port->dev.secondary, 0, NULL), 0);
	wr(x, PCI_PRIMARY_BUS, 4, 0x00010100);
	wr(x, PCI_MEMORY_BASE, 4, WINDOW(0xe000, 0xe000));
	wr(x, PCI_COMMAND, 2, MEM);
	below(x, BAR(0), 4, 0xe0000000);
	below(x, PCI_COMMAND, 2, MEM);
	assert_int_equal(COUNT(x, "slot+e0000000:4000"), 1);
	fake_log_clear(&x->m.log);
}

static void port_unplug(struct fixture *x, struct root_port *port)
{
	vfio_pci_free(x->v);
	x->v = NULL;
	root_port_destroy(port);
}

/* A BAR that the guest removes for good is unmapped at once. */
static void test_leaves_at_once(void **state)
{
	struct fixture *x = *state;
	struct root_port port;

	port_plug(x, &port);
	wr(x, PCI_MEMORY_BASE, 4, WINDOW(0xfff0, 0));
	assert_int_equal(COUNT(x, "slot-e0000000"), 1);
	wr(x, PCI_MEMORY_BASE, 4, WINDOW(0xe000, 0xe000));
	assert_int_equal(COUNT(x, "slot+e0000000:4000"), 1);
	below(x, BAR(1), 4, 0x10);
	assert_int_equal(COUNT(x, "slot-e0000000"), 2);
	below(x, BAR(1), 4, 0);
	assert_int_equal(COUNT(x, "slot+"), 2);
	/* The guest sizes it and does not restore it. */
	below(x, BAR(0), 4, 0xffffffff);
	assert_int_equal(COUNT(x, "slot-"), 2);
	below(x, BAR(0), 4, 0xe0000000);
	below(x, BAR(0), 4, 0xffffffff);
	below(x, BAR(0), 4, 0xd0000000);
	assert_int_equal(COUNT(x, "slot-"), 3);
	/* Paused by its own command register; then it is moved, or the bridge window is closed. */
	below(x, BAR(0), 4, 0xe0000000);
	below(x, PCI_COMMAND, 2, 0);
	assert_int_equal(COUNT(x, "slot-"), 3);
	below(x, BAR(0), 4, 0xe0004000);
	assert_int_equal(COUNT(x, "slot-"), 4);
	below(x, PCI_COMMAND, 2, MEM);
	below(x, PCI_COMMAND, 2, 0);
	assert_int_equal(COUNT(x, "slot-"), 4);
	wr(x, PCI_MEMORY_BASE, 4, WINDOW(0xfff0, 0));
	assert_int_equal(COUNT(x, "slot-"), 5);
	port_unplug(x, &port);
}

/* When Linux takes over from firmware, it writes the port's 64-bit window in halves. */
static void test_window_in_halves(void **state)
{
	struct fixture *x = *state;
	struct root_port port;

	port_plug(x, &port);
	wr(x, PCI_PREF_MEMORY_BASE, 4, WINDOW(0x0000, 0xfff0));
	wr(x, PCI_PREF_BASE_UPPER32, 4, 0x80);
	wr(x, PCI_PREF_LIMIT_UPPER32, 4, 0x83);
	below(x, BAR(0), 4, 0x40000000);
	below(x, BAR(1), 4, 0x81);
	assert_int_equal(COUNT(x, "slot+8140000000:4000"), 1);
	fake_log_clear(&x->m.log);
	wr(x, PCI_PREF_LIMIT_UPPER32, 4, 0);
	wr(x, PCI_PREF_MEMORY_BASE, 4, WINDOW(0x0000, 0xfff0));
	wr(x, PCI_PREF_BASE_UPPER32, 4, 0x80);
	wr(x, PCI_PREF_LIMIT_UPPER32, 4, 0x83);
	assert_int_equal(COUNT(x, "slot"), 0);
	/* A window that ends below the BAR is closed for it. */
	wr(x, PCI_PREF_LIMIT_UPPER32, 4, 0x80);
	assert_int_equal(COUNT(x, "slot-8140000000"), 1);
	port_unplug(x, &port);
}

/* Linux sizes the port's registers one by one, each with decoding switched off. */
static void test_bridge_off(void **state)
{
	struct fixture *x = *state;
	struct root_port port;

	port_plug(x, &port);
	wr(x, PCI_COMMAND, 2, 0);
	assert_int_equal(COUNT(x, "slot-e0000000"), 1);
	for (unsigned i = 0; i < 3; i++) {
		wr(x, PCI_COMMAND, 2, MEM);
		wr(x, PCI_COMMAND, 2, 0);
	}
	wr(x, PCI_COMMAND, 2, MEM);
	assert_int_equal(COUNT(x, "slot+"), 1);
	assert_int_equal(COUNT(x, "slot-"), 1);
	/* Later this is not the case any more. */
	x->v->bar[0].paused_ns -= VFIO_LINGER_NS;
	wr(x, PCI_COMMAND, 2, 0);
	assert_int_equal(COUNT(x, "slot-"), 2);
	port_unplug(x, &port);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_carving),
		T(test_sparse),
		T(test_direct_with_msix),
		T(test_size_probe),
		T(test_lingers),
		T(test_leaves_in_the_end),
		T(test_loop_does_not_wait),
		T(test_stale_makes_room),
		T(test_sub_page),
		T(test_io_bar),
		T(test_nothing_to_map),
		T(test_huge),
		T(test_refused_slots),
		T(test_sleep),
		T(test_nvidia_mirror),
		T(test_ecam_over_mirror),
		T(test_over_apics),
		T(test_over_ecam),
		T(test_leaves_at_once),
		T(test_window_in_halves),
		T(test_bridge_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
