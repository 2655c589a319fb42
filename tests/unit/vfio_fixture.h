/* SPDX-License-Identifier: BSD-2-Clause */
/* For the tests of a VFIO device: a machine, and a device before and after plugging. */
#ifndef VFIO_FIXTURE_H
#define VFIO_FIXTURE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fake_vfio.h"
#include "vfio/vfio_pci.h"
#include "vmm/core/evloop.h"

#define DEVFN PCI_DEVFN(3, 0)

struct fixture {
	struct fake_machine m;
	struct fake_vfio f;
	struct vfio_pci *v;
	struct vfio_pci_config opt;
	struct vfio_pci_env env;
	struct evloop *loop;
};

static inline int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	fake_machine_init(&x->m);
	fake_vfio_init(&x->f, &x->m.log);
	x->opt = (struct vfio_pci_config){ .rombar = true, .mmap = true, .clique = VFIO_NO_CLIQUE };
	*state = x;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *x = *state;

	vfio_pci_free(x->v);
	if (x->loop)
		evloop_free(x->loop);
	fake_vfio_free(&x->f);
	fake_machine_free(&x->m);
	free(x);
	return 0;
}

/* With a main loop: BARs may stay in guest memory for some time. */
static inline void use_loop(struct fixture *x)
{
	x->loop = x->m.root.loop = evloop_new();
}

static inline struct vfio_pci *make(struct fixture *x)
{
	struct error err = { 0 };

	x->v = vfio_pci_new(&x->f.k, &x->opt, &x->env, &err);
	if (!x->v)
		print_message("%s\n", err.text);
	assert_non_null(x->v);
	return x->v;
}

static inline struct vfio_pci *plug(struct fixture *x)
{
	make(x);
	assert_int_equal(vfio_pci_plug(x->v, &x->m.root, &x->m.root.bus, DEVFN, NULL), 0);
	return x->v;
}

static inline uint32_t rd(struct fixture *x, unsigned off, unsigned size)
{
	return pci_cfg_read(&x->m.root, 0, DEVFN, off, size);
}

static inline void wr(struct fixture *x, unsigned off, unsigned size, uint32_t val)
{
	pci_cfg_write(&x->m.root, 0, DEVFN, off, size, val);
}

#define ORDER(x, ...)                                                                 \
	assert_true(fake_log_order(&(x)->m.log, (const char *const[]){ __VA_ARGS__ }, \
				   sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)))
#define COUNT(x, word) fake_log_count(&(x)->m.log, word)
#define T(fn)	       cmocka_unit_test_setup_teardown(fn, setup, teardown)

#endif
