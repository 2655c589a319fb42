/* SPDX-License-Identifier: BSD-2-Clause */
#include "vfio/info_cap.h"

#include <stddef.h>

#include "vmm/core/addr.h"

#define MAX_CAPS 16u /* a chain may loop */

const void *vfio_info_cap(const void *info, uint32_t argsz, uint32_t fixed, uint32_t first,
			  uint16_t id, uint32_t min)
{
	uint32_t at = first;

	for (unsigned i = 0; i < MAX_CAPS && at; i++) {
		const struct vfio_info_cap_header *h = (const void *)((const char *)info + at);

		if (at < fixed || at % sizeof(uint32_t) || !range_ok(at, sizeof(*h), argsz))
			return NULL;
		if (h->id == id)
			return range_ok(at, min, argsz) ? h : NULL;
		at = h->next;
	}
	return NULL;
}
