/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine as a flattened device tree (Devicetree Specification 0.4). */
#ifndef FIRMWARE_FDT_H
#define FIRMWARE_FDT_H

#include <stddef.h>
#include <stdint.h>

#include "firmware/platform.h"
#include "vmm/core/error.h"

/* What the tree also contains for a kernel that is booted without firmware. */
struct fdt_boot {
	const char *bootargs; /* NULL: no arguments */
	uint64_t initrd_base, initrd_size;
};

/* Makes a new blob; the caller frees it. */
int fdt_build(const struct platform *, const struct fdt_boot *, void **blob, size_t *size,
	      struct error *);

#endif
