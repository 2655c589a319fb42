/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Decisions about an I/O address space: which addresses it has. No system calls, no state.
 *
 * The holes that matter: the MSI doorbell at 0xfee00000 on every x86, 0xfd00000000-0xffffffffff on
 * AMD (HyperTransport), and whatever firmware reserved for a device (RMRR).
 */
#include <errno.h>
#include <limits.h>
#include <linux/vfio.h>
#include <string.h>

#include "vfio/iommu/iommu_backend.h"

static int parse_ranges(const char *cap, size_t len, struct iommu_limits *l)
{
	struct vfio_iommu_type1_info_cap_iova_range c;
	struct vfio_iova_range r;
	unsigned i;

	if (len < sizeof(c))
		return -EINVAL;
	memcpy(&c, cap, sizeof(c));
	if (c.nr_iovas > (len - sizeof(c)) / sizeof(r))
		return -EINVAL;
	l->n = 0;
	for (i = 0; i < c.nr_iovas && l->n < IOMMU_MAX_RANGES; i++) {
		memcpy(&r, cap + sizeof(c) + i * sizeof(r), sizeof(r));
		l->range[l->n++] = (struct iommu_range){ r.start, r.end };
	}
	return 0;
}

static int parse_cap(const char *cap, size_t len, unsigned id, struct iommu_limits *l)
{
	struct vfio_iommu_type1_info_dma_avail avail;

	if (id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE)
		return parse_ranges(cap, len, l);
	if (id != VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL)
		return 0;
	if (len < sizeof(avail))
		return -EINVAL;
	memcpy(&avail, cap, sizeof(avail));
	l->maps_left = avail.avail;
	return 0;
}

int iommu_limits_parse(const void *info, size_t len, struct iommu_limits *l)
{
	struct vfio_iommu_type1_info head = { 0 };
	struct vfio_info_cap_header cap;
	unsigned off, rounds = 0;
	int ret = 0;

	*l = (struct iommu_limits){ .n = 1, .maps_left = UINT_MAX };
	l->range[0] = (struct iommu_range){ 0, UINT64_MAX };
	memcpy(&head, info, len < sizeof(head) ? len : sizeof(head));
	if (!(head.flags & VFIO_IOMMU_INFO_CAPS))
		return 0;
	for (off = head.cap_offset; off && ret == 0; off = cap.next) {
		/* A chain that goes round would never end. */
		if (!range_ok(off, sizeof(cap), len) || rounds++ == 64)
			return -EINVAL;
		memcpy(&cap, (const char *)info + off, sizeof(cap));
		ret = parse_cap((const char *)info + off, len - off, cap.id, l);
	}
	return ret;
}

bool iommu_limits_allow(const struct iommu_limits *l, uint64_t iova, uint64_t size, uint64_t *bad)
{
	uint64_t at = iova, last;
	unsigned i;

	*bad = iova;
	if (size == 0 || __builtin_add_overflow(iova, size - 1, &last))
		return false;
	/* A mapping may cross from one range to the next only where they touch. */
	for (i = 0; i < l->n; i++) {
		const struct iommu_range *r = &l->range[i];

		if (at < r->first || at > r->last)
			continue;
		if (last <= r->last)
			return true;
		at = r->last + 1;
	}
	*bad = at;
	return false;
}

unsigned iommu_limits_bits(const struct iommu_limits *l)
{
	uint64_t last = l->n ? l->range[l->n - 1].last : 0;

	return last ? 64 - (unsigned)__builtin_clzll(last) : 0;
}
