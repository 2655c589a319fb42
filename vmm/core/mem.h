/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest physical memory: which ranges are RAM or ROM and where they live in our address space.
 *
 * Every access that a guest value steers goes through guest_mem_read/write/iov: all-or-nothing and
 * bounds-checked; -EFAULT on a hole, an overflow or a write to ROM.
 *
 * Threads: any may add and remove ranges (one at a time: an internal lock, held over the listeners'
 * calls); readers on any thread see a consistent entry. RAM and ROM come before the first vCPU runs
 * and stay; BARs of passed-through devices come and go under the PCI root lock. RAM itself is
 * shared with the guest: copy once, validate the copy.
 */
#ifndef VMM_CORE_MEM_H
#define VMM_CORE_MEM_H

#include <sys/uio.h>

#include "vmm/core/addr.h"

struct guest_mem;

enum mem_kind {
	MEM_RAM,
	MEM_ROM,    /* guest writes exit as MMIO (KVM_MEM_READONLY) */
	MEM_DEVICE, /* a passed-through BAR: the guest's alone. We never touch it: a mapping whose
		     * device sleeps or is gone faults. guest_mem_read/write/iov/ptr see a hole */
};
enum mem_access { MEM_ACCESS_READ, MEM_ACCESS_WRITE }; /* as the *device* sees it */

struct mem_range {
	uint64_t gpa;
	uint64_t size; /* bytes, page multiple */
	void *host;    /* not owned by guest_mem */
	enum mem_kind kind;
	bool dma; /* a device may reach it: VFIO maps it. RAM: yes; pflash and BARs: no */
};

/* A listener is told of each range: memslots (vmm/kvm/kvm.c) and VFIO DMA (vfio/) listen. add() may
 * fail with -errno; then the range is not added and earlier listeners get del(). Called from the
 * thread that adds or removes. */
struct mem_listener {
	int (*add)(struct mem_listener *, const struct mem_range *);
	void (*del)(struct mem_listener *, const struct mem_range *);
	struct mem_listener *next; /* owned by guest_mem while registered */
};

struct guest_mem *guest_mem_new(void); /* NULL: out of memory */
void guest_mem_free(struct guest_mem *);

/* -EEXIST when it overlaps another range, -EINVAL when not page-aligned or it wraps. */
int guest_mem_add(struct guest_mem *, const struct mem_range *);
int guest_mem_del(struct guest_mem *, gpa_t base);
/* Replays the ranges that exist already. */
int guest_mem_listen(struct guest_mem *, struct mem_listener *);
void guest_mem_unlisten(struct guest_mem *, struct mem_listener *);

/* All-or-nothing copies; may span adjacent ranges. Return 0 or -EFAULT. */
int guest_mem_read(const struct guest_mem *, gpa_t, void *dst, size_t len);
int guest_mem_write(struct guest_mem *, gpa_t, const void *src, size_t len);
/* Host addresses of [gpa, gpa + len): returns the number of entries written (1.. max), -EFAULT on a
 * hole or on MEM_ACCESS_WRITE to ROM, -E2BIG when more than max are needed. The memory stays mapped
 * while the VM lives. */
int guest_mem_iov(const struct guest_mem *, gpa_t, size_t len, enum mem_access, struct iovec *iov,
		  unsigned max);
/* One contiguous host pointer for [gpa, gpa + len) of RAM, aligned to `align`, or NULL. */
void *guest_mem_ptr(const struct guest_mem *, gpa_t, size_t len, size_t align);

/* Calls fn for each range in ascending order until it returns non-zero; returns that. */
int guest_mem_each(const struct guest_mem *, int (*fn)(void *, const struct mem_range *),
		   void *arg);

#endif
