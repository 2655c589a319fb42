/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SR-IOV (Documentation/PCI/pci-iov-howto.rst, Documentation/ABI/testing/sysfs-bus-pci).
 *
 * sriov_drivers_autoprobe is off while there are VFs, and not only while they are created, because
 * udev loads the host's driver for them a moment later. When the VFs are removed it is set to 1,
 * the kernel's default.
 *
 * To change the number of VFs, the kernel must first remove all of them. Removing a VF that is in
 * use waits for its user, so we check this before.
 */
#include "vfio/host/sriov.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "vfio/host/host_use.h"
#include "vmm/core/hostfs.h"

static int first_name(void *buf, const char *name)
{
	snprintf(buf, 32, "%.31s", name);
	return 1;
}

int sriov_read(const char *root, const char *bdf, struct sriov *s, struct error *err)
{
	*s = (struct sriov){ .num = 0 };
	if (sysfs_pci_read(root, bdf, &s->pf) < 0)
		return error_set(err, -ENODEV,
				 "%s: this host has no such PCI device: lspci -D lists them", bdf);
	s->total = (unsigned)sysfs_number(root, bdf, "sriov_totalvfs", 0);
	s->num = (unsigned)sysfs_number(root, bdf, "sriov_numvfs", 0);
	if (s->pf.virtfn)
		return error_set(err, -ENOTSUP,
				 "%s is itself a virtual function: name its physical function",
				 bdf);
	if (!s->total)
		return error_set(
			err, -ENOTSUP,
			"%s has no SR-IOV, or SR-IOV is disabled in the firmware setup (BIOS)",
			bdf);
	hostfs_each(root, first_name, s->netdev, "/sys/bus/pci/devices/%s/net", bdf);
	return 0;
}

int sriov_vf(const char *root, const struct sriov *s, unsigned i, struct sysfs_pci *vf)
{
	char link[24], bdf[VFIO_BDF_SIZE];

	snprintf(link, sizeof(link), "virtfn%u", i);
	sysfs_link_name(root, s->pf.bdf, link, bdf, sizeof(bdf));
	return bdf[0] ? sysfs_pci_read(root, bdf, vf) : -ENODEV;
}

static int put(const struct host *h, const struct sriov *s, const char *attribute, unsigned v,
	       struct error *err)
{
	char path[128], text[16];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", s->pf.bdf, attribute);
	snprintf(text, sizeof(text), "%u", v);
	return host_put(h, s->pf.bdf, path, text, NULL, err);
}

/* Checks that nobody uses the existing VFs. */
static int check_unused(const struct host *h, const struct sriov *s, struct error *err)
{
	struct sysfs_pci vf;
	unsigned i;
	int ret = 0;

	for (i = 0; i < s->num && ret == 0; i++) {
		if (sriov_vf(h->root, s, i, &vf) < 0)
			continue;
		ret = sysfs_check_idle(h->root, &vf, err);
		if (ret < 0)
			return error_prefix(err, "%s", vf.bdf);
		ret = host_use_check(h->root, vf.bdf, err);
	}
	return ret;
}

static int remove_all(const struct host *h, struct sriov *s, struct error *err)
{
	int ret = put(h, s, "sriov_numvfs", 0, err);

	if (ret == 0)
		s->num = 0;
	return ret < 0 ? ret : put(h, s, "sriov_drivers_autoprobe", 1, err);
}

static int make(const struct host *h, struct sriov *s, unsigned count, struct error *err)
{
	struct error ignored;
	int ret = put(h, s, "sriov_drivers_autoprobe", 0, err);

	if (ret == 0)
		ret = put(h, s, "sriov_numvfs", count, err);
	if (ret < 0) {
		put(h, s, "sriov_drivers_autoprobe", 1, &ignored);
		return ret;
	}
	s->num = count;
	return 0;
}

int sriov_set(const struct host *h, struct sriov *s, unsigned count, struct error *err)
{
	int ret = 0;

	if (count > s->total)
		return error_set(err, -ERANGE, "%s has at most %u VFs, not %u", s->pf.bdf,
				 s->total, count);
	if (count == s->num)
		return 0;
	if (!s->pf.driver[0] || sysfs_driver_is_vfio(s->pf.driver))
		return error_set(err, -EBUSY,
				 "%s is bound to %s, and only its own driver can make VFs: minivmm "
				 "restore %s, or load that driver (modprobe)",
				 s->pf.bdf, s->pf.driver[0] ? s->pf.driver : "no driver",
				 s->pf.bdf);
	ret = check_unused(h, s, err);
	if (ret == 0 && s->num)
		ret = remove_all(h, s, err);
	return ret < 0 || !count ? ret : make(h, s, count, err);
}
