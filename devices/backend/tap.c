// SPDX-License-Identifier: BSD-2-Clause
#include "devices/backend/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/core/cleanup.h"
#include "vmm/core/error.h"

static int explain(struct error *err, int code, const char *ifname)
{
	const char *name = ifname ? ifname : "tap0";

	if (code == -EPERM)
		return error_set(err, code,
				 "network: making a tap device needs CAP_NET_ADMIN: make one as "
				 "root (ip tuntap add dev %s mode tap user %s; ip link set %s up) "
				 "and use --net tap,ifname=%s",
				 name, "USER", name, name);
	if (code == -EBUSY)
		return error_set(err, code, "network: %s is in use by another process", name);
	if (code == -EINVAL)
		return error_set(err, code,
				 "network: %s is not a tap device, or was made with other flags: "
				 "make it with `ip tuntap add dev %s mode tap`",
				 name, name);
	return error_set(err, code, "network: cannot attach to %s: %s", name, strerror(-code));
}

/* Sets the interface up. One that we created is down at first. For one that the administrator made,
 * we may have no permission; errors are ignored. */
static void link_up(const char *name)
{
	scoped_fd sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq ifr = { 0 };

	memcpy(ifr.ifr_name, name, IFNAMSIZ);
	if (sock < 0 || ioctl(sock, SIOCGIFFLAGS, &ifr))
		return;
	if (ifr.ifr_flags & IFF_UP)
		return;
	ifr.ifr_flags |= IFF_UP;
	if (ioctl(sock, SIOCSIFFLAGS, &ifr))
		return;
}

int tap_open(const char *ifname, char name[TAP_NAME], struct error *err)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int hdr = TAP_HDR, fd, ret;

	if (ifname && strlen(ifname) >= IFNAMSIZ)
		return error_set(err, -EINVAL, "network: the interface name %s is too long",
				 ifname);
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return error_set(err, -errno, "network: /dev/net/tun: %s%s", strerror(errno),
				 errno == ENOENT ? " (modprobe tun)" : "");
	snprintf(ifr.ifr_name, IFNAMSIZ, "%s", ifname ? ifname : "tap%d");
	if (ioctl(fd, TUNSETIFF, &ifr) || ioctl(fd, TUNSETVNETHDRSZ, &hdr)) {
		ret = explain(err, -errno, ifname);
		close(fd);
		return ret;
	}
	link_up(ifr.ifr_name);
	snprintf(name, TAP_NAME, "%s", ifr.ifr_name);
	return fd;
}

int tap_set_offload(int fd, unsigned flags)
{
	return ioctl(fd, TUNSETOFFLOAD, (unsigned long)flags) ? -errno : 0;
}
