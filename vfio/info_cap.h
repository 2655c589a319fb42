/* SPDX-License-Identifier: BSD-2-Clause */
/* The chains of capabilities behind the structures in which VFIO describes devices and regions. */
#ifndef VFIO_INFO_CAP_H
#define VFIO_INFO_CAP_H

#include <linux/vfio.h>
#include <stdint.h>

/* Linux 6.6; older headers do not have it. */
#define VFIO_CAP_ATOMIC_COMP 5
struct vfio_cap_atomic_comp {
	struct vfio_info_cap_header header;
	uint32_t flags; /* 32, 64 and 128 bits: bits 0, 1 and 2 */
};

/* The first capability with this id and at least min bytes, in a structure of argsz bytes (with its
 * chain) that begins with `fixed` bytes of other things. first: its cap_offset; 0: there is no
 * chain. NULL: there is none, or the chain leaves the structure. No state. */
const void *vfio_info_cap(const void *info, uint32_t argsz, uint32_t fixed, uint32_t first,
			  uint16_t id, uint32_t min);

#endif
