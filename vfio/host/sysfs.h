/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI devices and IOMMU groups in the host's sysfs, and the reasons why a device cannot be given to
 * a guest. Nothing here changes the host.
 *
 * `root` is the prefix of /sys, /proc and /dev: "" on a real host, a recorded tree in tests.
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
	char driver[32];	 /* "": no driver */
	char methods[64];	 /* reset_method: "flr bus"; "": the file is absent or empty */
	uint32_t class_code;	 /* 24 bits */
	uint16_t vendor, device;
	int group;	  /* -1: it is not behind an IOMMU */
	int numa_node;	  /* -1: not known */
	bool virtfn;	  /* an SR-IOV virtual function */
	bool has_methods; /* the file reset_method exists; an empty file means: no reset works */
};

/* Accepts "01:00.0" and "0000:01:00.0", and writes the second form to bdf. -EINVAL: not an address;
 * bdf is not changed. */
int sysfs_parse_bdf(const char *s, char bdf[VFIO_BDF_SIZE]);
/* True for the ids of a kind of device, like 10de:1c82. */
bool sysfs_is_ids(const char *s);
/* Says why sysfs_parse_bdf() refuses it, and what shows the address. -EINVAL. */
int sysfs_bad_bdf(const char *s, struct error *);
/* Domain, bus, device and function of an address that sysfs_parse_bdf() wrote. */
struct sysfs_addr {
	unsigned domain, bus, dev, fn;
};
struct sysfs_addr sysfs_addr(const char *bdf);

/* -ENODEV: the device does not exist. */
int sysfs_pci_read(const char *root, const char *bdf, struct sysfs_pci *);
/* The sum of the device's 64-bit BARs in bytes. Each BAR is rounded up to whole MiB, the unit of a
 * bridge window. */
uint64_t sysfs_mem64(const char *root, const char *bdf);
/* Calls fn for each device of the group, in the order of their addresses, until it returns a
 * non-zero value, and returns it. -ENOENT: the group does not exist. */
int sysfs_group_each(const char *root, unsigned group, int (*fn)(void *, const struct sysfs_pci *),
		     void *arg);
/* vfio-pci and its variants. */
bool sysfs_driver_is_vfio(const char *driver);
/* True if this device makes its group non-viable by the kernel's rules. Devices that are bound to a
 * vfio driver, to the port driver of bridges, to pci-stub or to no driver do not. */
bool sysfs_in_the_way(const struct sysfs_pci *);
/* True for all kinds of bridges: they stay with the host. */
bool sysfs_is_bridge(const struct sysfs_pci *);
/* True if the kernel uses an IOMMU. */
bool sysfs_any_group(const char *root);

/* Reads *dev and checks that it exists, is not a bridge and is behind an IOMMU. On failure *error
 * has one sentence with the reason and the remedy. */
int sysfs_look(const char *root, const char *bdf, struct sysfs_pci *dev, struct error *);
/* All checks that are possible before anything is opened: those of sysfs_look(), and that the
 * device is bound to a vfio driver. */
int sysfs_check(const char *root, const char *bdf, struct sysfs_pci *dev, struct error *);
/* Sets *error for a group that is not viable; names the devices that make it so. Returns
 * err->code. */
int sysfs_explain_group(const char *root, unsigned group, struct error *);
/* Sets *error for a group that another process has open; names the process if it can be found.
 * Returns err->code. */
int sysfs_explain_busy(const char *root, unsigned group, struct error *);
/* -EBUSY, with the same message, if a process is found that has the device or its group open. */
int sysfs_check_idle(const char *root, const struct sysfs_pci *, struct error *);

/* The functions that the above ones are made of. */

/* Reads the first line of a device's attribute. -errno, and "" in buf: it cannot be read. */
int sysfs_attribute(const char *root, const char *bdf, const char *name, char *buf, size_t size);
long sysfs_number(const char *root, const char *bdf, const char *name, long fallback);
/* The last component of the path that a device's link points to; "": there is no such link. */
void sysfs_link_name(const char *root, const char *bdf, const char *name, char *buf, size_t size);
/* True if the entry of a class ("net", "block", ...) belongs to the PCI device: its path leads
 * through the device. For an NVMe disk with several controllers, the path of one controller
 * must. */
bool sysfs_belongs(const char *root, const char *bdf, const char *class, const char *name);

/* Files in /dev. If there are too many, the others are left out. */
struct sysfs_files {
	unsigned n;
	char path[64][48];
};
void sysfs_add_file(struct sysfs_files *, const char *folder, const char *name);
/* The files by which a process uses the device or its group. */
void sysfs_vfio_files(const char *root, const struct sysfs_pci *, struct sysfs_files *);
/* Calls fn for each process that has one of the files open, until it returns a non-zero value, and
 * returns it. Only root sees all processes. */
typedef int sysfs_holder_fn(void *arg, const char *pid, const char *comm, const char *path);
int sysfs_holders(const char *root, const struct sysfs_files *, sysfs_holder_fn *, void *arg);

#endif
