/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A message is "ACTION@/devices/..." and then KEY=VALUE strings, each with a NUL behind it. A USB
 * device has DEVTYPE=usb_device, BUSNUM=001 and DEVNUM=004; the last part of its DEVPATH is its
 * name in sysfs. After "add" comes "bind", when the kernel has chosen a configuration.
 *
 * Only the kernel may send to group 1 of this protocol unless a process has CAP_NET_ADMIN; a
 * message's sender is compared all the same, because it decides what is attached to a guest.
 */
#include "devices/usb/uevent.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define KERNEL_GROUP  1
#define MESSAGES_MAX  256 /* in one call, so that a storm of events does not hold the thread */
#define RECEIVE_BYTES (256 << 10) /* a hub with many devices sends some hundred messages */

/* The value of "KEY=" if the string begins so; NULL if not. */
static const char *value_of(const char *s, const char *key)
{
	size_t n = strlen(key);

	return strncmp(s, key, n) == 0 ? s + n : NULL;
}

static bool set_number(const char *v, unsigned *out)
{
	char *end;
	unsigned long n = strtoul(v, &end, 10);

	*out = (unsigned)n;
	return *v >= '0' && *v <= '9' && !*end && n <= 999;
}

static bool set_name(const char *path, char name[USB_NAME_SIZE])
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? strlen(slash + 1) : 0;

	if (n == 0 || n >= USB_NAME_SIZE)
		return false;
	memcpy(name, slash + 1, n + 1);
	return true;
}

struct seen {
	bool action, device, usb, name, bus, addr;
};

static void read_pair(const char *s, struct uevent *e, struct seen *seen)
{
	const char *v;

	if ((v = value_of(s, "ACTION="))) {
		e->add = strcmp(v, "add") == 0 || strcmp(v, "bind") == 0;
		seen->action = e->add || strcmp(v, "remove") == 0;
	} else if ((v = value_of(s, "DEVTYPE="))) {
		seen->device = strcmp(v, "usb_device") == 0;
	} else if ((v = value_of(s, "SUBSYSTEM="))) {
		seen->usb = strcmp(v, "usb") == 0;
	} else if ((v = value_of(s, "DEVPATH="))) {
		seen->name = set_name(v, e->name);
	} else if ((v = value_of(s, "BUSNUM="))) {
		seen->bus = set_number(v, &e->bus);
	} else if ((v = value_of(s, "DEVNUM="))) {
		seen->addr = set_number(v, &e->addr);
	}
}

bool uevent_parse(const char *text, size_t len, struct uevent *e)
{
	struct seen seen = { 0 };
	const char *end;

	*e = (struct uevent){ 0 };
	/* The last string must be complete, too, so each of them can be read as one. */
	while (len > 0 && (end = memchr(text, '\0', len))) {
		read_pair(text, e, &seen);
		len -= (size_t)(end - text) + 1;
		text = end + 1;
	}
	return len == 0 && seen.action && seen.device && seen.usb && seen.name && seen.bus &&
	       seen.addr;
}

/* A keyboard causes several messages of this subsystem; that of its node has a DEVNAME. */
bool uevent_is_input(const char *text, size_t len)
{
	bool add = false, input = false, node = false;
	const char *end, *v;

	while (len > 0 && (end = memchr(text, '\0', len))) {
		if ((v = value_of(text, "ACTION=")))
			add = strcmp(v, "add") == 0;
		else if ((v = value_of(text, "SUBSYSTEM=")))
			input = strcmp(v, "input") == 0;
		else if ((v = value_of(text, "DEVNAME=")))
			node = strncmp(v, "input/event", 11) == 0;
		len -= (size_t)(end - text) + 1;
		text = end + 1;
	}
	return len == 0 && add && input && node;
}

int uevent_open(struct error *err)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP };
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			NETLINK_KOBJECT_UEVENT);
	int size = RECEIVE_BYTES, ret;

	if (fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0) {
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
		return fd;
	}
	ret = -errno;
	if (fd >= 0)
		close(fd);
	return error_set(err, ret, "events of USB devices (NETLINK_KOBJECT_UEVENT): %s",
			 strerror(-ret));
}

/* Receives messages of the kernel until one is wanted. */
static int next_wanted(int fd, bool (*wanted)(void *, const char *, size_t), void *arg)
{
	char text[UEVENT_MAX];
	struct sockaddr_nl from;
	struct iovec iov = { text, sizeof(text) };
	struct msghdr msg;
	ssize_t n;

	for (unsigned i = 0; i < MESSAGES_MAX; i++) {
		msg = (struct msghdr){ .msg_name = &from,
				       .msg_namelen = sizeof(from),
				       .msg_iov = &iov,
				       .msg_iovlen = 1 };
		n = recvmsg(fd, &msg, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == ENOBUFS ? -ENOBUFS : 0;
		if (msg.msg_namelen == sizeof(from) && from.nl_pid == 0 &&
		    !(msg.msg_flags & MSG_TRUNC) && wanted(arg, text, (size_t)n))
			return 1;
	}
	return 0;
}

static bool wanted_usb(void *e, const char *text, size_t len)
{
	return uevent_parse(text, len, e);
}

static bool wanted_input(void *none, const char *text, size_t len)
{
	(void)none;
	return uevent_is_input(text, len);
}

int uevent_next(int fd, struct uevent *e)
{
	return next_wanted(fd, wanted_usb, e);
}

int uevent_next_input(int fd)
{
	return next_wanted(fd, wanted_input, NULL);
}
