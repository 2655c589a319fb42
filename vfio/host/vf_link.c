/* SPDX-License-Identifier: BSD-2-Clause */
/* RTM_SETLINK requests. A request has a header, and for VFs nested attributes: IFLA_VFINFO_LIST
 * contains IFLA_VF_INFO, which contains the values to set. The kernel acknowledges each request
 * with an errno. */
#include "vfio/host/vf_link.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

#include "vmm/core/hostfs.h"
#include "vmm/core/cleanup.h"

struct request {
	struct nlmsghdr head;
	struct ifinfomsg link;
};

static void start(uint8_t *buf, unsigned ifindex, unsigned flags)
{
	struct request r = {
		.head = { .nlmsg_len = sizeof(r),
			  .nlmsg_type = RTM_SETLINK,
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.link = { .ifi_family = AF_UNSPEC,
			  .ifi_index = (int)ifindex,
			  .ifi_flags = flags,
			  .ifi_change = flags },
	};

	memcpy(buf, &r, sizeof(r));
}

/* Appends an attribute; data may be NULL. Returns where it begins. */
static uint32_t put_attribute(uint8_t *buf, uint16_t type, const void *data, size_t len)
{
	struct nlmsghdr *head = (struct nlmsghdr *)buf;
	uint32_t at = NLMSG_ALIGN(head->nlmsg_len);
	struct rtattr a = { .rta_len = (uint16_t)RTA_LENGTH(len), .rta_type = type };

	memcpy(buf + at, &a, sizeof(a));
	if (len)
		memcpy(buf + at + RTA_LENGTH(0), data, len);
	head->nlmsg_len = at + RTA_ALIGN(a.rta_len);
	return at;
}

/* Ends the attribute at `at`: it now contains everything that was appended after it. */
static void close_nest(uint8_t *buf, uint32_t at)
{
	struct nlmsghdr *head = (struct nlmsghdr *)buf;

	((struct rtattr *)(buf + at))->rta_len = (uint16_t)(head->nlmsg_len - at);
}

size_t vf_link_message(uint8_t buf[VF_LINK_MESSAGE_SIZE], unsigned ifindex, const struct vf_link *l)
{
	struct ifla_vf_vlan vlan = { .vf = l->vf, .vlan = (uint32_t)l->vlan };
	struct ifla_vf_mac mac = { .vf = l->vf };
	uint32_t list, info;

	memset(buf, 0, VF_LINK_MESSAGE_SIZE);
	start(buf, ifindex, 0);
	list = put_attribute(buf, IFLA_VFINFO_LIST | NLA_F_NESTED, NULL, 0);
	info = put_attribute(buf, IFLA_VF_INFO | NLA_F_NESTED, NULL, 0);
	if (l->mac) {
		memcpy(mac.mac, l->mac, 6);
		put_attribute(buf, IFLA_VF_MAC, &mac, sizeof(mac));
	}
	if (l->vlan >= 0)
		put_attribute(buf, IFLA_VF_VLAN, &vlan, sizeof(vlan));
	close_nest(buf, info);
	close_nest(buf, list);
	return ((struct nlmsghdr *)buf)->nlmsg_len;
}

/* Sends a request. Returns the error of the request or of the socket. */
static int ask(const uint8_t *buf)
{
	scoped_fd fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	const struct nlmsghdr *head = (const struct nlmsghdr *)buf;
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		uint8_t rest[512];
	} answer;
	ssize_t n;

	if (fd < 0 || send(fd, buf, head->nlmsg_len, 0) < 0)
		return -errno;
	n = recv(fd, &answer, sizeof(answer), 0);
	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof(answer.head) + sizeof(answer.error) ||
	    answer.head.nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	return answer.error.error;
}

static int link_error(int ret, const char *netdev, const char *what, struct error *err)
{
	if (ret == -EPERM || ret == -EACCES)
		return error_set(err, ret, "%s: %s is not permitted: run as root", netdev, what);
	return error_set(err, ret, "%s: %s: %s", netdev, what, strerror(-ret));
}

/* 0: there is no such interface. if_nametoindex() is not used, because it would link more of the C
 * library into the program. */
static unsigned index_of(const char *netdev)
{
	return (unsigned)hostfs_number("", 0, "/sys/class/net/%s/ifindex", netdev);
}

int vf_link_set(const char *netdev, const struct vf_link *l, struct error *err)
{
	_Alignas(struct nlmsghdr) uint8_t buf[VF_LINK_MESSAGE_SIZE];
	int ret;

	vf_link_message(buf, index_of(netdev), l);
	ret = ask(buf);
	return ret < 0 ? link_error(ret, netdev, "its driver's setting of a VF", err) : 0;
}

int vf_link_up(const char *netdev, struct error *err)
{
	_Alignas(struct nlmsghdr) uint8_t buf[VF_LINK_MESSAGE_SIZE] = { 0 };
	int ret;

	start(buf, index_of(netdev), IFF_UP);
	ret = ask(buf);
	return ret < 0 ? link_error(ret, netdev, "bringing it up", err) : 0;
}
