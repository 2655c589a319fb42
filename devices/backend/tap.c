/* SPDX-License-Identifier: BSD-2-Clause */
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
#include "vmm/core/log.h"

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
				 "make it with `ip tuntap add dev %s mode tap multi_queue`",
				 name, name);
	return error_set(err, code, "network: cannot attach to %s: %s", name, strerror(-code));
}

/* Sets the interface up. One that we created is down at first. For one that the administrator made,
 * we may have no permission; errors are ignored. */
static bool link_up(int sock, struct ifreq *ifr)
{
	if (ioctl(sock, SIOCGIFFLAGS, ifr) || (ifr->ifr_flags & IFF_UP))
		return false;
	ifr->ifr_flags |= IFF_UP;
	return ioctl(sock, SIOCSIFFLAGS, ifr) == 0;
}

static int mtu_set(int sock, struct tap *t, unsigned want, struct error *err)
{
	struct ifreq ifr = { 0 };

	memcpy(ifr.ifr_name, t->name, IFNAMSIZ);
	if (ioctl(sock, SIOCGIFMTU, &ifr) == 0)
		t->mtu = (unsigned)ifr.ifr_mtu;
	if (!want || t->mtu == want)
		return 0;
	ifr.ifr_mtu = (int)want;
	if (ioctl(sock, SIOCSIFMTU, &ifr))
		return error_set(err, -errno,
				 "network: the MTU of %s is %u and cannot be set to %u (%s): as "
				 "root, ip link set dev %s mtu %u",
				 t->name, t->mtu, want, strerror(errno), t->name, want);
	t->old_mtu = t->mtu;
	t->mtu = want;
	return 0;
}

static int control_socket(void)
{
	return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static int link_set(struct tap *t, unsigned mtu, struct error *err)
{
	scoped_fd sock = control_socket();
	struct ifreq ifr = { 0 };
	int ret = mtu_set(sock, t, mtu, err);

	memcpy(ifr.ifr_name, t->name, IFNAMSIZ);
	if (!ret)
		t->was_down = link_up(sock, &ifr);
	return ret;
}

/* What cannot be set back stays: nobody can do anything about it at the end of a run. */
void tap_restore(struct tap *t)
{
	scoped_fd sock = t->old_mtu || t->was_down ? control_socket() : -1;
	struct ifreq ifr = { .ifr_mtu = (int)t->old_mtu };
	bool failed = false;

	if (sock < 0)
		return;
	memcpy(ifr.ifr_name, t->name, IFNAMSIZ);
	if (t->old_mtu)
		failed = ioctl(sock, SIOCSIFMTU, &ifr) != 0;
	if (t->was_down && ioctl(sock, SIOCGIFFLAGS, &ifr) == 0) {
		ifr.ifr_flags &= ~IFF_UP;
		failed |= ioctl(sock, SIOCSIFFLAGS, &ifr) != 0;
	}
	if (failed && errno != ENODEV)
		log_warn("network: %s keeps the settings of this run: %s", t->name,
			 strerror(errno));
	t->old_mtu = 0;
	t->was_down = false;
}

/* The only way to find out whether the kernel supports an offload is to set it. It must not stay
 * set, because the guest's driver may not support it. */
static bool takes_uso(int fd)
{
	bool yes = tap_set_offload(fd, TUN_F_CSUM | TAP_OFFLOAD_USO) == 0;

	if (yes)
		tap_set_offload(fd, 0);
	return yes;
}

static int tap_fd(void)
{
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

static int attach(int fd, struct ifreq *ifr, const char *name, bool multi_queue)
{
	*ifr = (struct ifreq){ .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	if (multi_queue)
		ifr->ifr_flags |= IFF_MULTI_QUEUE;
	snprintf(ifr->ifr_name, IFNAMSIZ, "%s", name);
	return ioctl(fd, TUNSETIFF, ifr) ? -errno : 0;
}

/* A device with one queue refuses a second user. A device with several queues accepts any user, who
 * would then get a part of the frames. */
static bool queue_taken(const struct tap *t)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/class/net/%s/queues/rx-1", t->name);
	return t->multi_queue && access(path, F_OK) == 0;
}

/* The flag must be the one that the device was made with, so both values are tried. */
static int attach_first(int fd, struct tap *t, const struct tap_want *want)
{
	const char *name = want->ifname ? want->ifname : "tap%d";
	int hdr = TAP_HDR, ret;
	struct ifreq ifr;

	t->multi_queue = want->multi_queue;
	ret = attach(fd, &ifr, name, t->multi_queue);
	if (ret == -EINVAL) {
		t->multi_queue = !t->multi_queue;
		ret = attach(fd, &ifr, name, t->multi_queue);
	}
	if (ret)
		return ret;
	snprintf(t->name, TAP_NAME, "%s", ifr.ifr_name);
	if (queue_taken(t))
		return -EBUSY;
	return ioctl(fd, TUNSETVNETHDRSZ, &hdr) ? -errno : 0;
}

int tap_open(struct tap *t, const struct tap_want *want, struct error *err)
{
	int fd, ret;

	*t = (struct tap){ 0 };
	if (want->ifname && strlen(want->ifname) >= IFNAMSIZ)
		return error_set(err, -EINVAL, "network: the interface name %s is too long",
				 want->ifname);
	fd = tap_fd();
	if (fd < 0)
		return error_set(err, fd, "network: /dev/net/tun: %s%s", strerror(-fd),
				 fd == -ENOENT ? " (modprobe tun)" : "");
	ret = attach_first(fd, t, want);
	if (ret)
		explain(err, ret, want->ifname);
	else
		ret = link_set(t, want->mtu, err);
	if (ret) {
		close(fd);
		return ret;
	}
	t->uso = takes_uso(fd);
	return fd;
}

int tap_add_queue(const struct tap *t)
{
	struct ifreq ifr;
	int fd, ret;

	if (!t->multi_queue)
		return -EINVAL;
	fd = tap_fd();
	if (fd < 0)
		return fd;
	ret = attach(fd, &ifr, t->name, true);
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

int tap_attach_queue(int fd, bool attached)
{
	struct ifreq ifr = { .ifr_flags = attached ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };

	return ioctl(fd, TUNSETQUEUE, &ifr) ? -errno : 0;
}

int tap_set_offload(int fd, unsigned flags)
{
	return ioctl(fd, TUNSETOFFLOAD, (unsigned long)flags) ? -errno : 0;
}
