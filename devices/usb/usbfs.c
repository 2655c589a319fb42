/* SPDX-License-Identifier: BSD-2-Clause */
#include "devices/usb/usbfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/usbdevice_fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define OUR_DRIVER "usbfs" /* that of an interface which a program has claimed */

static int here_open(const struct usbfs *fs, const char *node)
{
	int fd = open(node, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	(void)fs;
	return fd < 0 ? -errno : fd;
}

static void here_close(const struct usbfs *fs, int fd)
{
	(void)fs;
	close(fd);
}

static long here_read(const struct usbfs *fs, int fd, void *buf, size_t size)
{
	ssize_t n = pread(fd, buf, size, 0);

	(void)fs;
	return n < 0 ? -errno : n;
}

static int here_ioctl(const struct usbfs *fs, int fd, unsigned long request, void *arg)
{
	int ret;

	(void)fs;
	do
		ret = ioctl(fd, request, arg);
	while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : ret;
}

const struct usbfs usbfs_here = {
	.open = here_open,
	.close = here_close,
	.read = here_read,
	.ioctl = here_ioctl,
};

static int explain_claim(const struct usbfs *fs, int fd, unsigned iface, int ret, struct error *err)
{
	struct usbdevfs_getdriver who = { .interface = iface };

	if (ret == -EBUSY && fs->ioctl(fs, fd, USBDEVFS_GETDRIVER, &who) >= 0) {
		who.driver[USBDEVFS_MAXDRIVERNAME] = '\0';
		if (strcmp(who.driver, OUR_DRIVER) == 0)
			return error_set(err, ret,
					 "another machine or program uses interface %u: end it "
					 "first",
					 iface);
		return error_set(err, ret, "the driver %.60s does not let go of interface %u",
				 who.driver, iface);
	}
	return error_set(err, ret, "interface %u cannot be claimed: %s", iface, strerror(-ret));
}

/* A program that has the interface keeps it; a driver of the kernel does not. */
int usbfs_claim(const struct usbfs *fs, int fd, uint32_t ifaces, uint32_t *claimed,
		struct error *err)
{
	struct usbdevfs_disconnect_claim c = { .flags = USBDEVFS_DISCONNECT_CLAIM_EXCEPT_DRIVER,
					       .driver = OUR_DRIVER };
	int ret;

	*claimed = 0;
	for (unsigned i = 0; i < 32; i++) {
		if (!(ifaces & 1u << i))
			continue;
		c.interface = i;
		ret = fs->ioctl(fs, fd, USBDEVFS_DISCONNECT_CLAIM, &c);
		if (ret < 0)
			return explain_claim(fs, fd, i, ret, err);
		*claimed |= 1u << i;
	}
	return 0;
}

void usbfs_release(const struct usbfs *fs, int fd, uint32_t ifaces)
{
	for (unsigned i = 0; i < 32; i++)
		if (ifaces & 1u << i)
			fs->ioctl(fs, fd, USBDEVFS_RELEASEINTERFACE, &i);
}

void usbfs_connect(const struct usbfs *fs, int fd, uint32_t ifaces)
{
	struct usbdevfs_ioctl c = { .ioctl_code = (int)USBDEVFS_CONNECT };

	for (unsigned i = 0; i < 32; i++) {
		c.ifno = (int)i;
		if (ifaces & 1u << i)
			fs->ioctl(fs, fd, USBDEVFS_IOCTL, &c);
	}
}
