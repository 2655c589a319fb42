/* SPDX-License-Identifier: BSD-2-Clause */
#include <signal.h>

#include "vfio_fixture.h"
#include "devices/pci/root_port.h"
#include "vfio/info_cap.h"
#include "vmm/core/hold.h"

static void test_header(void **state)
{
	struct fixture *x = *state;

	x->f.config[PCI_HEADER_TYPE] = 0x80;
	x->f.config[PCI_INTERRUPT_LINE] = 11;
	pci_set16(x->f.config, PCI_COMMAND, 0x7);
	pci_set16(x->f.config, PCI_STATUS, 0x0208);
	plug(x);
	assert_int_equal(rd(x, 0, 4), 0x56781234);
	assert_int_equal(rd(x, PCI_CLASS_REVISION, 4), 0x02000003);
	assert_int_equal(rd(x, PCI_SUBSYSTEM_VENDOR_ID, 4), 0x11223344);
	/* We emulate these, whatever the host has: a single function, no decoding, no capability
	 * list. */
	assert_int_equal(rd(x, PCI_HEADER_TYPE, 1), 0);
	assert_int_equal(rd(x, PCI_COMMAND, 2), 0);
	assert_int_equal(rd(x, PCI_INTERRUPT_LINE, 1), 0);
	assert_int_equal(pci_get16(x->f.config, PCI_COMMAND), 0);
	/* The interrupt status comes from the hardware. */
	assert_int_equal(rd(x, PCI_STATUS, 2), 0x0208);
	x->f.config[PCI_STATUS] = 0;
	assert_int_equal(rd(x, PCI_STATUS, 2), 0x0200);
	/* Read-only bits do not change; writable bits are emulated. */
	wr(x, 0, 4, 0xffffffff);
	assert_int_equal(rd(x, 0, 4), 0x56781234);
	wr(x, PCI_INTERRUPT_LINE, 1, 9);
	assert_int_equal(rd(x, PCI_INTERRUPT_LINE, 2), 0x0109);
	assert_int_equal(x->f.config[PCI_INTERRUPT_LINE], 11);
}

static void test_command_reaches_the_host(void **state)
{
	struct fixture *x = *state;

	plug(x);
	wr(x, PCI_COMMAND, 2, PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE | 0x8000);
	assert_int_equal(rd(x, PCI_COMMAND, 2), PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
	assert_int_equal(pci_get16(x->f.config, PCI_COMMAND),
			 PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
	wr(x, PCI_COMMAND + 1, 1, 0);
	assert_int_equal(pci_get16(x->f.config, PCI_COMMAND), PCI_COMMAND_MASTER);
	/* and status bits, which are passed on */
	wr(x, PCI_COMMAND, 4, 0xf9000000 | PCI_COMMAND_IO);
	assert_int_equal(pci_get16(x->f.config, PCI_COMMAND), PCI_COMMAND_IO);
	assert_int_equal(pci_get16(x->f.config, PCI_STATUS) & 0xff00, 0xf900);
}

static unsigned chain(struct fixture *x, uint8_t *ids, unsigned max)
{
	unsigned at = rd(x, PCI_CAPABILITY_LIST, 1), n = 0;

	while (at && n < max) {
		ids[n++] = (uint8_t)rd(x, at, 1);
		at = rd(x, at + 1, 1);
	}
	return n;
}

static void test_capabilities(void **state)
{
	struct fixture *x = *state;
	uint8_t ids[64], *c = x->f.config;

	fake_vfio_cap(&x->f, 0x40, PCI_CAP_ID_PM);
	fake_vfio_cap(&x->f, 0x50, PCI_CAP_ID_EA);
	fake_vfio_cap(&x->f, 0x60, PCI_CAP_ID_VPD);
	fake_vfio_cap(&x->f, 0x70, PCI_CAP_ID_VNDR);
	fake_vfio_cap(&x->f, 0x48, PCI_CAP_ID_MSI); /* VFIO has no MSI vectors, so it is hidden */
	plug(x);
	assert_int_equal(chain(x, ids, 64), 3);
	assert_int_equal(ids[0], PCI_CAP_ID_PM);
	assert_int_equal(ids[1], PCI_CAP_ID_VPD);
	assert_int_equal(ids[2], PCI_CAP_ID_VNDR);
	assert_int_equal(rd(x, PCI_STATUS, 1) & PCI_STATUS_CAP_LIST, PCI_STATUS_CAP_LIST);
	/* VPD is passed through: address, then data. */
	wr(x, 0x62, 2, 0x0010);
	assert_int_equal(pci_get16(c, 0x62), 0x0010);
	pci_set32(c, 0x64, 0xcafe1234);
	assert_int_equal(rd(x, 0x64, 4), 0xcafe1234);
	/* Links do not. */
	wr(x, 0x61, 1, 0xee);
	assert_int_equal(rd(x, 0x61, 1), 0x70);
}

static void test_broken_chains(void **state)
{
	struct fixture *x = *state;
	uint8_t ids[64];

	fake_vfio_cap(&x->f, 0x40, PCI_CAP_ID_PM);
	fake_vfio_cap(&x->f, 0x80, PCI_CAP_ID_VNDR);
	x->f.config[0x81] = 0x40; /* a loop */
	plug(x);
	assert_int_equal(chain(x, ids, 64), 2);
	vfio_pci_free(x->v);
	x->f.config[0x81] = 0x10; /* into the header */
	plug(x);
	assert_int_equal(chain(x, ids, 64), 2);
	vfio_pci_free(x->v);
	/* An MSI-X capability that would reach past the end is ignored. */
	x->f.config[0x81] = 0xfc;
	x->f.config[0xfc] = PCI_CAP_ID_MSIX;
	x->f.irq[VFIO_PCI_MSIX_IRQ_INDEX].count = 4;
	plug(x);
	assert_int_equal(chain(x, ids, 64), 2);
}

static unsigned express(struct fixture *x, unsigned type)
{
	uint8_t *c = x->f.config + fake_vfio_cap(&x->f, 0x60, PCI_CAP_ID_EXP);

	pci_set16(c, PCI_EXP_FLAGS, (uint16_t)(2 | type << 4));
	pci_set32(c, PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_FLR);
	return 0x60;
}

static void test_express_topology(void **state)
{
	struct fixture *x = *state;
	unsigned at = express(x, PCI_EXP_TYPE_RC_END), speed, width;

	plug(x);
	assert_int_equal(rd(x, at + PCI_EXP_FLAGS, 2), 2 | PCI_EXP_TYPE_ENDPOINT << 4);
	assert_int_equal(rd(x, at + PCI_EXP_LNKCAP, 4) & 0x3ff, 1 | 1 << 4);
	assert_int_equal(rd(x, at + PCI_EXP_LNKSTA, 2), 1 | 1 << 4);
	assert_int_equal(rd(x, at + PCI_EXP_LNKCAP2, 4), 2);
	vfio_pci_link(x->v, &speed, &width);
	assert_true(speed == 1 && width == 1 && vfio_pci_has_flr(x->v));
	/* Device control is passed to the hardware. */
	wr(x, at + PCI_EXP_DEVCTL, 2, 0x2810);
	assert_int_equal(pci_get16(x->f.config, at + PCI_EXP_DEVCTL), 0x2810);
}

static void test_express_link_kept(void **state)
{
	struct fixture *x = *state;
	unsigned at = express(x, PCI_EXP_TYPE_LEG_END), speed, width;

	pci_set32(x->f.config, at + PCI_EXP_LNKCAP, 4 | 16 << 4);
	pci_set16(x->f.config, at + PCI_EXP_LNKSTA, 3 | 8 << 4);
	plug(x);
	assert_int_equal(rd(x, at + PCI_EXP_FLAGS, 2), 2 | PCI_EXP_TYPE_LEG_END << 4);
	assert_int_equal(rd(x, at + PCI_EXP_LNKCAP, 4), 4 | 16 << 4);
	vfio_pci_link(x->v, &speed, &width);
	assert_true(speed == 3 && width == 8);
}

static void ext(struct fixture *x, unsigned at, unsigned id, unsigned next)
{
	pci_set32(x->f.config, at, id | 1u << 16 | next << 20);
	memset(x->f.config + at + 4, 0xaa, 28);
}

static void test_extended(void **state)
{
	struct fixture *x = *state;

	express(x, PCI_EXP_TYPE_ENDPOINT);
	ext(x, 0x100, PCI_EXT_CAP_ID_SRIOV, 0x140);
	ext(x, 0x140, PCI_EXT_CAP_ID_ERR, 0x180);
	ext(x, 0x180, PCI_EXT_CAP_ID_ARI, 0x188);
	ext(x, 0x188, PCI_EXT_CAP_ID_REBAR, 0x1a0);
	pci_set32(x->f.config, 0x190, 6 << 5);	  /* it claims six, which would reach 0x1bc */
	ext(x, 0x1a0, PCI_EXT_CAP_ID_DSN, 0x100); /* a loop */
	plug(x);
	assert_int_equal(rd(x, 0x100, 4), 0x14000000); /* the null capability, with the link */
	assert_int_equal(rd(x, 0x104, 4), 0);
	assert_int_equal(rd(x, 0x13c, 4), 0);
	assert_int_equal(rd(x, 0x140, 4), PCI_EXT_CAP_ID_ERR | 1 << 16 | 0x1a0u << 20);
	assert_int_equal(rd(x, 0x144, 4), 0xaaaaaaaa);
	assert_int_equal(rd(x, 0x184, 4), 0);
	assert_int_equal(rd(x, 0x18c, 4), 0);
	assert_int_equal(rd(x, 0x1a0, 4), PCI_EXT_CAP_ID_DSN | 1 << 16);
	assert_int_equal(rd(x, 0x1a4, 4), 0xaaaaaaaa);
	wr(x, 0x108, 4, 1); /* the guest cannot enable VFs */
	assert_int_equal(pci_get32(x->f.config, 0x108), 0xaaaaaaaa);
	wr(x, 0x144, 4, 0);
	assert_int_equal(pci_get32(x->f.config, 0x144), 0);
}

static void test_atomics(void **state)
{
	struct fixture *x = *state;

	make(x);
	assert_int_equal(vfio_pci_atomics(x->v), 0);
	vfio_pci_free(x->v);
	x->f.atomics = 3 | 8; /* and an unknown bit */
	make(x);
	assert_int_equal(vfio_pci_atomics(x->v),
			 PCI_EXP_DEVCAP2_ATOMIC_COMP32 | PCI_EXP_DEVCAP2_ATOMIC_COMP64);
}

/* Chains come from the kernel. A broken chain must end. */
static void test_info_cap(void **state)
{
	struct {
		uint32_t head[4];
		struct vfio_info_cap_header a, b;
	} info = { .a = { .id = 1, .next = 24 }, .b = { .id = 2, .next = 0 } };
	uint32_t size = sizeof(info);

	(void)state;
	assert_int_equal(size, 32);
	assert_ptr_equal(vfio_info_cap(&info, size, 16, 16, 2, 8), &info.b);
	assert_null(vfio_info_cap(&info, size, 16, 0, 1, 8));
	assert_null(vfio_info_cap(&info, size, 16, 16, 3, 8));
	assert_null(vfio_info_cap(&info, size, 16, 16, 2, 9)); /* shorter than the capability */
	assert_null(vfio_info_cap(&info, 31, 16, 16, 2, 8));
	assert_null(vfio_info_cap(&info, size, 16, 12, 1, 8)); /* inside the header */
	assert_null(vfio_info_cap(&info, size, 16, 18, 1, 8));
	assert_null(vfio_info_cap(&info, size, 16, UINT32_MAX, 1, 8));
	info.b.next = 16; /* a loop */
	assert_null(vfio_info_cap(&info, size, 16, 16, 3, 8));
}

static void nvidia(struct fixture *x)
{
	pci_set16(x->f.config, PCI_VENDOR_ID, 0x10de);
	pci_set32(x->f.config, PCI_CLASS_REVISION, 0x030000a1);
}

static void test_clique(void **state)
{
	struct fixture *x = *state;
	struct error err = { 0 };
	uint8_t ids[8];

	nvidia(x);
	fake_vfio_cap(&x->f, 0x60, PCI_CAP_ID_PM);
	x->opt.clique = 5;
	plug(x);
	assert_int_equal(chain(x, ids, 8), 2);
	assert_int_equal(rd(x, 0x61, 1), 0xc8);
	assert_int_equal(rd(x, 0xc8, 4), 0x50080009);
	assert_int_equal(rd(x, 0xcc, 4), 5 << 19 | 'P' << 8 | '2');
	wr(x, 0xcc, 4, 0);
	assert_int_equal(rd(x, 0xcc, 4), 5 << 19 | 'P' << 8 | '2');
	assert_int_equal(pci_get32(x->f.config, 0xcc), 0);
	vfio_pci_free(x->v);
	/* MSI-X covers C8h; then there is also something at D8h. */
	fake_vfio_msix(&x->f, 0xc0, 1, 0, 0x800);
	fake_vfio_bar(&x->f, 0, 0x1000, 0);
	plug(x);
	assert_int_equal(rd(x, 0xd4, 4), 0x50080009);
	vfio_pci_free(x->v);
	x->v = NULL;
	fake_vfio_cap(&x->f, 0xd8, PCI_CAP_ID_VPD);
	assert_null(vfio_pci_new(&x->f.k, &x->opt, &x->env, &err));
	assert_int_equal(err.code, -EBUSY);
	pci_set32(x->f.config, PCI_CLASS_REVISION, 0x040300a1); /* the audio function of the card */
	assert_null(vfio_pci_new(&x->f.k, &x->opt, &x->env, &err));
	assert_int_equal(err.code, -EINVAL);
}

/* Sizes of 256 MiB to 16 GiB; the BAR has 256 MiB. */
static void rebar(struct fixture *x, unsigned at, unsigned n, uint32_t ctrl)
{
	pci_set32(x->f.config, at + PCI_REBAR_CAP, 0x0007f000);
	pci_set32(x->f.config, at + PCI_REBAR_CTRL, n << PCI_REBAR_CTRL_NBAR_SHIFT | ctrl);
}

static void test_rebar(void **state)
{
	struct fixture *x = *state;

	express(x, PCI_EXP_TYPE_ENDPOINT);
	fake_vfio_bar(&x->f, 0, 256 * MiB,
		      PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH);
	fake_vfio_bar(&x->f, 2, 4 * MiB, 0);
	ext(x, 0x100, PCI_EXT_CAP_ID_ERR, 0x200);
	ext(x, 0x200, PCI_EXT_CAP_ID_REBAR, 0x300);
	rebar(x, 0x200, 2, 8 << 8 | 0xffffc000);
	pci_set32(x->f.config, 0x20c, 0x00000070);
	pci_set32(x->f.config, 0x210, 2 << 8 | 2);
	ext(x, 0x300, PCI_EXT_CAP_ID_DSN, 0);
	plug(x);
	assert_int_equal(rd(x, 0x200, 4), PCI_EXT_CAP_ID_REBAR | 1 << 16 | 0x300u << 20);
	assert_int_equal(rd(x, 0x204, 4), 0x00001000); /* the only size */
	assert_int_equal(rd(x, 0x208, 4), 2 << 5 | 8 << 8);
	assert_int_equal(rd(x, 0x20c, 4), 0x00000040);
	assert_int_equal(rd(x, 0x210, 4), 2 << 8 | 2);
	wr(x, 0x208, 4, 10 << 8);
	assert_int_equal(rd(x, 0x208, 4), 2 << 5 | 8 << 8);
	assert_int_equal(pci_get32(x->f.config, 0x208), 2 << 5 | 8 << 8 | 0xffffc000);
}

/* Implausible values are hidden: a size that VFIO does not have, no BAR, more entries than fit. */
static void test_rebar_hidden(void **state)
{
	static const struct {
		unsigned n, ctrl, next;
	} bad[] = { { 1, 9 << 8, 0 }, { 1, 8 << 8 | 1, 0 }, { 1, 8 << 8 | 7, 0 }, { 1, 28 << 8, 0 },
		    { 0, 8 << 8, 0 }, { 7, 8 << 8, 0 },	    { 2, 8 << 8, 0x20c } };
	struct fixture *x = *state;

	express(x, PCI_EXP_TYPE_ENDPOINT);
	fake_vfio_bar(&x->f, 0, 256 * MiB, PCI_BASE_ADDRESS_MEM_TYPE_64);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		ext(x, 0x100, PCI_EXT_CAP_ID_ERR, 0x200);
		ext(x, 0x200, PCI_EXT_CAP_ID_REBAR, bad[i].next);
		rebar(x, 0x200, bad[i].n, bad[i].ctrl);
		if (bad[i].next)
			pci_set32(x->f.config, bad[i].next, PCI_EXT_CAP_ID_DSN | 1u << 16);
		plug(x);
		assert_int_equal(rd(x, 0x100, 4) & 0xfffff, PCI_EXT_CAP_ID_ERR | 1 << 16);
		assert_int_equal(rd(x, 0x100, 4) >> 20, bad[i].next);
		assert_int_equal(rd(x, 0x204, 4), 0);
		vfio_pci_free(x->v);
		x->v = NULL;
	}
	ext(x, 0x100, PCI_EXT_CAP_ID_ERR, 0xffc);
	pci_set32(x->f.config, 0xffc, PCI_EXT_CAP_ID_REBAR | 1u << 16);
	plug(x);
	assert_int_equal(rd(x, 0xffc, 4), 0);
}

static void test_extended_all_hidden(void **state)
{
	struct fixture *x = *state;

	express(x, PCI_EXP_TYPE_ENDPOINT);
	ext(x, 0x100, PCI_EXT_CAP_ID_SRIOV, 0);
	plug(x);
	assert_int_equal(rd(x, 0x100, 4), 0);
}

static void test_conventional(void **state)
{
	struct fixture *x = *state;

	x->f.cfg_size = 256;
	plug(x);
	assert_int_equal(rd(x, 0x100, 4), 0xffffffff);
	wr(x, 0x100, 4, 0);
	assert_int_equal(rd(x, 0x100, 4), 0xffffffff);
	assert_false(vfio_pci_has_flr(x->v));
}

static void test_refused(void **state)
{
	struct fixture *x = *state;
	struct error err = { 0 };

	x->f.config[PCI_HEADER_TYPE] = 1;
	assert_null(vfio_pci_new(&x->f.k, &x->opt, &x->env, &err));
	assert_int_equal(err.code, -EINVAL);
	assert_int_equal(x->f.closed, 1);
	x->f.config[PCI_HEADER_TYPE] = 0;
	pci_set16(x->f.config, PCI_VENDOR_ID, 0xffff);
	assert_null(vfio_pci_new(&x->f.k, &x->opt, &x->env, &err));
	assert_int_equal(err.code, -ENODEV);
	x->f.cfg_dead = true;
	assert_null(vfio_pci_new(&x->f.k, &x->opt, &x->env, &err));
	assert_int_equal(err.code, -EIO);
	x->f.cfg_dead = false;
	x->opt.x_vga = true;
	pci_set16(x->f.config, PCI_VENDOR_ID, 0x1234);
	assert_null(vfio_pci_new(&x->f.k, &x->opt, &x->env, &err));
	assert_int_equal(err.code, -ENODEV);
	assert_int_equal(x->f.closed, 4);
}

static void test_dead_device(void **state)
{
	struct fixture *x = *state;

	fake_vfio_cap(&x->f, 0x60, PCI_CAP_ID_VPD);
	plug(x);
	x->f.cfg_dead = true;
	assert_int_equal(rd(x, 0x64, 4), 0xffffffff);
	wr(x, 0x64, 4, 0);
	wr(x, PCI_COMMAND, 2, 7);
	assert_int_equal(rd(x, 0, 4), 0x56781234);
}

static void test_guest_reset(void **state)
{
	struct fixture *x = *state;

	plug(x);
	wr(x, PCI_COMMAND, 2, 7);
	wr(x, PCI_INTERRUPT_LINE, 1, 9);
	pci_reset_all(&x->m.root);
	assert_int_equal(rd(x, PCI_COMMAND, 2), 0);
	assert_int_equal(rd(x, PCI_INTERRUPT_LINE, 1), 0);
	assert_int_equal(pci_get16(x->f.config, PCI_COMMAND), 0);
	assert_int_equal(x->f.resets, 0); /* composition's */
}

/* vCPUs that must stop do not wait for one reset each. */
static void test_reset_waits(void **state)
{
	struct fixture *x = *state;
	struct root_port port;
	int wanted = 0;

	express(x, PCI_EXP_TYPE_ENDPOINT);
	fake_vfio_cap(&x->f, 0xa0, PCI_CAP_ID_AF);
	make(x);
	assert_int_equal(root_port_init(&port, &x->m.root, DEVFN, 1, 0, 0, NULL), 0);
	assert_int_equal(vfio_pci_plug(x->v, &x->m.root, port.dev.secondary, 0, NULL), 0);
	wr(x, PCI_PRIMARY_BUS, 4, 0x00010100);
	hold_allow(&wanted, SIGUSR2);
	for (wanted = 0; wanted < 2; wanted++) {
		wr(x, PCI_BRIDGE_CONTROL, 2, PCI_BRIDGE_CTL_BUS_RESET);
		wr(x, PCI_BRIDGE_CONTROL, 2, 0);
		assert_int_equal(x->f.resets, 1);
	}
	assert_int_equal(pci_cfg_read(&x->m.root, 1, 0, 0, 4), 0x56781234);
	assert_int_equal(x->f.resets, 1);
	wanted = 0; /* it went on */
	assert_int_equal(pci_cfg_read(&x->m.root, 1, 0, 0, 4), 0x56781234);
	assert_int_equal(x->f.resets, 2);
	/* The kernel does the function's own reset, except in this case. */
	pci_cfg_write(&x->m.root, 1, 0, x->v->exp_cap + PCI_EXP_DEVCTL, 2, 0x8010);
	assert_int_equal(pci_get16(x->f.config, x->v->exp_cap + PCI_EXP_DEVCTL), 0x8010);
	wanted = 1;
	pci_cfg_write(&x->m.root, 1, 0, x->v->exp_cap + PCI_EXP_DEVCTL, 2, 0x8020);
	assert_int_equal(pci_get16(x->f.config, x->v->exp_cap + PCI_EXP_DEVCTL), 0x0020);
	assert_int_equal(x->f.resets, 2);
	wanted = 0;
	pci_cfg_write(&x->m.root, 1, 0, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(x->f.resets, 3);
	wanted = 1;
	pci_cfg_write(&x->m.root, 1, 0, 0xa0 + PCI_AF_CTRL, 1, PCI_AF_CTRL_FLR);
	assert_int_equal(x->f.config[0xa0 + PCI_AF_CTRL], 0);
	vfio_pci_after_reset(x->v); /* the machine is reset, and this was the device's reset */
	wanted = 0;
	pci_cfg_read(&x->m.root, 1, 0, 0, 4);
	assert_int_equal(x->f.resets, 3);
	hold_allow(NULL, 0);
	vfio_pci_free(x->v);
	x->v = NULL;
	root_port_destroy(&port);
}

static void test_vga(void **state)
{
	struct fixture *x = *state;

	x->f.region[VFIO_PCI_VGA_REGION_INDEX].size = 0xc0000;
	x->opt.x_vga = true;
	plug(x);
	assert_int_equal(bus_read(x->m.root.mmio, 0xa0000, 4), 0);
	assert_int_equal(bus_read(x->m.root.pio, 0x3c0, 1), 0);
	bus_write(x->m.root.pio, 0x3b0, 1, 1);
	assert_int_equal(x->f.trapped, 3);
	assert_int_equal(bus_read(x->m.root.pio, 0x3bc, 1), 0xff); /* a printer's */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_header),
		T(test_command_reaches_the_host),
		T(test_capabilities),
		T(test_broken_chains),
		T(test_express_topology),
		T(test_express_link_kept),
		T(test_extended),
		T(test_atomics),
		T(test_info_cap),
		T(test_clique),
		T(test_rebar),
		T(test_rebar_hidden),
		T(test_extended_all_hidden),
		T(test_conventional),
		T(test_refused),
		T(test_dead_device),
		T(test_guest_reset),
		T(test_reset_waits),
		T(test_vga),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
