/* SPDX-License-Identifier: BSD-2-Clause */
/* Address types, and range checks that cannot overflow. No other file may compute `base + len`. */
#ifndef VMM_CORE_ADDR_H
#define VMM_CORE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KiB (1ull << 10)
#define MiB (1ull << 20)
#define GiB (1ull << 30)

#define ARRAY_SIZE(a)			(sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* A guest physical address, and an I/O virtual address as a device sees it. They are different
 * types, so that the compiler finds mistakes. */
typedef struct {
	uint64_t v;
} gpa_t;
typedef struct {
	uint64_t v;
} iova_t;

#define GPA(x)	((gpa_t){ (x) })
#define IOVA(x) ((iova_t){ (x) })

/* True when [base, base + len) does not wrap and lies within [0, limit). An empty range must start
 * inside or at the limit. */
static inline bool range_ok(uint64_t base, uint64_t len, uint64_t limit)
{
	return base <= limit && len <= limit - base;
}

/* True when [base, base + len) lies within [outer, outer + outer_len); neither may wrap. */
static inline bool range_within(uint64_t base, uint64_t len, uint64_t outer, uint64_t outer_len)
{
	return base >= outer && range_ok(base - outer, len, outer_len);
}

/* True when two non-empty ranges share a byte. Ranges may end exactly at 2^64. */
static inline bool range_overlaps(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	if (a_len == 0 || b_len == 0)
		return false;
	return a <= b ? b - a < a_len : a - b < b_len;
}

/* align is a power of two. align_up() returns 0 on overflow. */
static inline uint64_t align_down(uint64_t v, uint64_t align)
{
	return v & ~(align - 1);
}

static inline uint64_t align_up(uint64_t v, uint64_t align)
{
	uint64_t r;

	return __builtin_add_overflow(v, align - 1, &r) ? 0 : align_down(r, align);
}

static inline bool is_pow2(uint64_t v)
{
	return v != 0 && (v & (v - 1)) == 0;
}

/* The result of a read of `size` bytes (1 to 8) at an address where nothing answers. */
static inline uint64_t all_ones(unsigned size)
{
	return size >= 8 ? UINT64_MAX : (1ull << (size * 8)) - 1;
}

#endif
