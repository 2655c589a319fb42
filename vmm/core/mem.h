/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest physical memory: which ranges are RAM or ROM, and where they are in our address space.
 *
 * Every access at an address from the guest must use guest_mem_read/write/iov. They check the
 * bounds, and access all bytes or none. -EFAULT: a hole, an overflow, or a write to ROM.
 *
 * Threads: any thread may add and remove ranges; an internal lock serialises this, and is held
 * during the calls of the listeners. Any thread may read, and sees a consistent entry. RAM and ROM
 * are added before the first vCPU runs, and stay. BARs of passed-through devices are added and
 * removed under the PCI root lock. The guest can change RAM at any time: copy once, and check the
 * copy.
 */
#ifndef VMM_CORE_MEM_H
#define VMM_CORE_MEM_H

#include <sys/uio.h>

#include "vmm/core/addr.h"

struct guest_mem;

enum mem_kind {
	MEM_RAM,
	MEM_ROM,    /* guest writes exit as MMIO (KVM_MEM_READONLY) */
	MEM_DEVICE, /* a passed-through BAR. Only the guest accesses it: our access would fault if
		     * the device sleeps or is gone. guest_mem_read/write/iov/ptr see a hole */
};
enum mem_access { MEM_ACCESS_READ, MEM_ACCESS_WRITE }; /* the device reads or writes memory */

struct mem_range {
	uint64_t gpa;
	uint64_t size; /* bytes, page multiple */
	void *host;    /* the caller of guest_mem_add() owns it */
	enum mem_kind kind;
	bool dma; /* VFIO maps it, so that devices can access it. RAM: yes; pflash and BARs: no */
};

/* A listener is told about each range. The listeners are memslots (vmm/kvm/kvm.c) and VFIO DMA
 * (vfio/). If add() fails with -errno, the range is not added, and del() is called for the
 * listeners that were told before. The calls come on the thread that adds or removes. */
struct mem_listener {
	int (*add)(struct mem_listener *, const struct mem_range *);
	void (*del)(struct mem_listener *, const struct mem_range *);
	struct mem_listener *next; /* owned by guest_mem while registered */
};

struct guest_mem *guest_mem_new(void); /* NULL: out of memory */
void guest_mem_free(struct guest_mem *);

/* -EEXIST: it overlaps another range. -EINVAL: it is not page-aligned, or it wraps. */
int guest_mem_add(struct guest_mem *, const struct mem_range *);
int guest_mem_del(struct guest_mem *, gpa_t base);
/* Adds a listener, and calls its add() for the ranges that exist already. */
int guest_mem_listen(struct guest_mem *, struct mem_listener *);
void guest_mem_unlisten(struct guest_mem *, struct mem_listener *);

/* Copy all bytes or none; the bytes may lie in several adjacent ranges. 0 or -EFAULT. */
int guest_mem_read(const struct guest_mem *, gpa_t, void *dst, size_t len);
int guest_mem_write(struct guest_mem *, gpa_t, const void *src, size_t len);
/* The host addresses of [gpa, gpa + len). Returns the number of entries written (1 to max).
 * -EFAULT: a hole, or MEM_ACCESS_WRITE to ROM. -E2BIG: more than max entries are needed. The memory
 * stays mapped while the VM exists. */
int guest_mem_iov(const struct guest_mem *, gpa_t, size_t len, enum mem_access, struct iovec *iov,
		  unsigned max);
/* One contiguous host pointer for [gpa, gpa + len) of RAM, aligned to `align`, or NULL. */
void *guest_mem_ptr(const struct guest_mem *, gpa_t, size_t len, size_t align);

/* The range of RAM that the caller found last. All zero: none. */
struct mem_last {
	uint64_t gpa, size;
	char *host;
	unsigned seq; /* the state of the table at that time */
};
/* The host address of [gpa, gpa + len), len > 0, if it lies in one range of RAM, or NULL. While the
 * table does not change, no lookup is needed for addresses in the range that was found last. */
void *guest_mem_near(const struct guest_mem *, struct mem_last *, gpa_t, size_t len);

/* The file of RAM, for other processes that use it: `file` from its offset 0 is the host memory at
 * `host`. Set before the first vCPU runs. -1: RAM is private. The caller owns the descriptor. */
struct mem_file {
	int fd;
	const char *host;
	uint64_t size;
};
void guest_mem_set_file(struct guest_mem *, const struct mem_file *);
struct mem_file guest_mem_file(const struct guest_mem *);

/* Calls fn for each range, sorted by address, until it returns a non-zero value, and returns it. */
int guest_mem_each(const struct guest_mem *, int (*fn)(void *, const struct mem_range *),
		   void *arg);

#endif
