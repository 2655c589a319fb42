/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the host's sysfs says about PCI devices and IOMMU groups, and why a device cannot be given
 * to a guest. Nothing here writes.
 *
 * `root` is what stands before /sys, /proc and /dev: "" on a real host, a recorded tree in tests.
 * Threads: any; no state.
 */
#ifndef VFIO_HOST_SYSFS_H
#define VFIO_HOST_SYSFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/core/error.h"

#define VFIO_BDF_SIZE	   16
#define SYSFS_CLASS_BRIDGE 0x06 /* class_code >> 16 */

struct sysfs_pci {
	char bdf[VFIO_BDF_SIZE]; /* "0000:01:00.0" */
	char driver[32];	 /* "" when none */
	char methods[64];	 /* reset_method: "flr bus"; "" when the file is absent or empty */
	uint32_t class_code;	 /* 24 bits */
	uint16_t vendor, device;
	int group;	  /* -1: no IOMMU looks after it */
	int numa_node;	  /* -1: not known */
	bool virtfn;	  /* an SR-IOV virtual function */
	bool has_methods; /* the file exists: an empty one means no reset at all */
};

/* "01:00.0" and "0000:01:00.0" to the latter. -EINVAL: nonsense; bdf is left alone. */
int sysfs_parse_bdf(const char *s, char bdf[VFIO_BDF_SIZE]);
/* Domain, bus, device and function of a parsed one. */
struct sysfs_addr {
	unsigned domain, bus, dev, fn;
};
struct sysfs_addr sysfs_addr(const char *bdf);

/* -ENODEV: no such device. */
int sysfs_pci_read(const char *root, const char *bdf, struct sysfs_pci *);
/* Bytes of the device's 64-bit BARs, each in whole MiB, as a bridge's window counts. */
uint64_t sysfs_mem64(const char *root, const char *bdf);
/* Calls fn for each device of the group in the order of their addresses, until it returns non-zero;
 * returns that. -ENOENT: no such group. */
int sysfs_group_each(const char *root, unsigned group, int (*fn)(void *, const struct sysfs_pci *),
		     void *arg);
/* vfio-pci and its variants. */
bool sysfs_driver_is_vfio(const char *driver);
/* Whether it keeps its group from a guest, as the kernel counts: not vfio drivers, nor bridges',
 * nor none. */
bool sysfs_in_the_way(const struct sysfs_pci *);
/* Bridges of any kind: they stay with the host. */
bool sysfs_is_bridge(const struct sysfs_pci *);
/* The kernel drives an IOMMU. */
bool sysfs_any_group(const char *root);

/* What could be given to a guest: exists, no bridge, an IOMMU. Fills *dev. Each failure is one
 * sentence with what to do. */
int sysfs_look(const char *root, const char *bdf, struct sysfs_pci *dev, struct error *);
/* All that can be said before anything is opened: as sysfs_look(), and bound to vfio-pci. */
int sysfs_check(const char *root, const char *bdf, struct sysfs_pci *dev, struct error *);
/* The sentence for a group that is not viable: names the devices in the way. Returns err->code. */
int sysfs_explain_group(const char *root, unsigned group, struct error *);
/* The sentence for a group that another process has open: names the process where it can. Returns
 * err->code. */
int sysfs_explain_busy(const char *root, unsigned group, struct error *);
/* -EBUSY, with that sentence, when a process is seen to have the device or its group open. */
int sysfs_check_idle(const char *root, const struct sysfs_pci *, struct error *);

/* The pieces that the above is made of. */

/* A device's attribute: its first line; -errno, and "" in buf, when it cannot be read. */
int sysfs_attribute(const char *root, const char *bdf, const char *name, char *buf, size_t size);
long sysfs_number(const char *root, const char *bdf, const char *name, long fallback);
/* The last word of what a device's link points to; "" when there is none. */
void sysfs_link_name(const char *root, const char *bdf, const char *name, char *buf, size_t size);
/* Whether the device of a class ("net", "block", ...) is the PCI device's: its path leads through
 * it, or, of an NVMe disk with several controllers, that of one of them. */
bool sysfs_belongs(const char *root, const char *bdf, const char *class, const char *name);

/* Files of /dev; what is too much is left out. */
struct sysfs_files {
	unsigned n;
	char path[64][48];
};
void sysfs_add_file(struct sysfs_files *, const char *folder, const char *name);
/* By which a process has the device or its group. */
void sysfs_vfio_files(const char *root, const struct sysfs_pci *, struct sysfs_files *);
/* Calls fn for each process that is seen to have one of them open, all of them as root, until it
 * returns non-zero; returns that. */
typedef int sysfs_holder_fn(void *arg, const char *pid, const char *comm, const char *path);
int sysfs_holders(const char *root, const struct sysfs_files *, sysfs_holder_fn *, void *arg);

#endif
