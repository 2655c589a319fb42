/* SPDX-License-Identifier: BSD-2-Clause */
/* A hostile guest at a virtio device: any register, the configuration space and the window there,
 * rings, bus mastering, resets. A step has STEP_BYTES; its first byte, modulo 16, says what it
 * does, from STEP_OTHER on something of the target. */
#ifndef TESTS_FUZZ_VIRTIO_GUEST_H
#define TESTS_FUZZ_VIRTIO_GUEST_H

#include "tests/fuzz/inline_thread.h"
#include "tests/unit/fake_driver.h"
#include "vmm/core/evloop.h"

#define STEP_BYTES 8
#define STEP_OTHER 9
#define FAKE_MSIX  0x40u /* the first capability */
#define STEPS_MAX  96
#define STALE	   0x14000u /* of guest memory, which a run leaves behind and the next one clears */

struct loop_stop {
	struct ev_call call;
	struct evloop *loop;
	bool again;
};

/* Calls come before descriptors, and what is asked for meanwhile after them. */
static void loop_stop(void *arg)
{
	struct loop_stop *s = arg;

	if (s->again)
		evloop_stop(s->loop, 0);
	else
		evloop_call(s->loop, &s->call);
	s->again = true;
}

/* One turn of the main loop. */
static void loop_turn(struct fake_driver *d)
{
	struct loop_stop s = { .loop = d->root->loop };

	s.call = (struct ev_call){ .fn = loop_stop, .arg = &s };
	evloop_call(d->root->loop, &s.call);
	evloop_run(d->root->loop);
}

static unsigned window_at(struct fake_driver *d)
{
	unsigned at = pci_cfg_read(d->root, 0, FAKE_DEVFN, PCI_CAPABILITY_LIST, 1);

	for (; at; at = pci_cfg_read(d->root, 0, FAKE_DEVFN, at + 1, 1))
		if (pci_cfg_read(d->root, 0, FAKE_DEVFN, at, 1) == PCI_CAP_ID_VNDR &&
		    pci_cfg_read(d->root, 0, FAKE_DEVFN, at + VIRTIO_PCI_CAP_CFG_TYPE, 1) ==
			    VIRTIO_PCI_CAP_PCI_CFG)
			break;
	return at;
}

static void cfg_set(struct fake_driver *d, unsigned off, unsigned size, uint32_t val)
{
	pci_cfg_write(d->root, 0, FAKE_DEVFN, off, size, val);
}

static void through_window(struct fake_driver *d, uint32_t reg, unsigned size, uint32_t val,
			   bool write)
{
	unsigned at = window_at(d);

	cfg_set(d, at + VIRTIO_PCI_CAP_OFFSET, 4, reg);
	cfg_set(d, at + VIRTIO_PCI_CAP_LENGTH, 4, size);
	if (write)
		cfg_set(d, at + 16, size, val);
	else
		pci_cfg_read(d->root, 0, FAKE_DEVFN, at + 16, size);
}

static void virtio_step(struct fake_driver *d, const uint8_t *s)
{
	unsigned size = 1u << (s[1] & 3), off = s[2] | s[3] << 8;
	uint32_t val;

	memcpy(&val, s + 4, 4);
	switch (s[0] & 15) {
	case 0:
		bus_write(d->root->mmio, FAKE_BAR + off % 0x8000, size, val);
		break;
	case 1:
		bus_read(d->root->mmio, FAKE_BAR + off % 0x8000, size);
		break;
	case 2: /* the common configuration */
		driver_reg_set(d, off % 64, size & 7 ? size & 7 : 4, val);
		break;
	case 3:
		cfg_set(d, off & 0xff, size & 7 ? size & 7 : 4, val);
		break;
	case 4:
		pci_cfg_read(d->root, 0, FAKE_DEVFN, off & 0xff, size & 7 ? size & 7 : 4);
		break;
	case 5: /* rings, descriptors, requests */
		memcpy(d->r.ram + FAKE_QUEUE + off % (STALE - FAKE_QUEUE - 4), &val, 4);
		break;
	case 6:
		driver_kick(d, s[1] & 1);
		threads_run();
		loop_turn(d);
		break;
	case 7:
		through_window(d, off % 0x8000, size & 7 ? size & 7 : 4, val, s[1] & 4);
		break;
	case 8:
		if (s[1] & 1)
			pci_quiesce(d->root);
		if ((s[1] & 0xc2) == 0x42)
			pci_reset_all(d->root);
		if (s[1] & 4)
			driver_map(d);
		if (s[1] & 8)
			driver_prepare(d, 2, val);
		if (s[1] & 16)
			driver_go(d);
		if (s[1] & 32)
			cfg_set(d, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | (val & PCI_COMMAND_MASTER));
		break;
	}
}

/* A device as after a reset, with a driver that has got as far as DRIVER_OK, and its memory. What
 * resets all of configuration space would take most of a run; step 8 does. */
static void virtio_begin(struct fake_driver *d, unsigned queues, uint32_t features)
{
	memset(d->r.ram, 0, STALE);
	cfg_set(d, FAKE_MSIX + PCI_MSIX_FLAGS, 2, 0);
	if (pci_cfg_read(d->root, 0, FAKE_DEVFN, PCI_BASE_ADDRESS_0, 4) != FAKE_BAR ||
	    (pci_cfg_read(d->root, 0, FAKE_DEVFN, PCI_COMMAND, 2) & 6) != 6)
		driver_map(d);
	driver_rings(d, queues, features);
	driver_go(d);
}

#endif
