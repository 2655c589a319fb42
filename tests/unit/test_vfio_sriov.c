/* SPDX-License-Identifier: BSD-2-Clause */
/* Creates and removes VFs on a sysfs tree whose kernel is fake_write(); also the netlink requests
 * for them, byte by byte. */
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/fake_host.h"
#include "vfio/host/sriov.h"
#include "vfio/host/vf_link.h"

#define DEV "sys/bus/pci/devices/"
#define PF  "0000:01:00.0"

static struct error err;
static char writes[1000];
static const char *fail_at;

static void make_vfs(unsigned n)
{
	unsigned i;

	for (i = 0; i < 8; i++) {
		put_nothing(DEV PF "/virtfn%u", i);
		put_host("pci 01:10.%u class=020000 group=%u of=01:00.0\n", i, 20 + i);
		if (i < n)
			put_host("link " DEV PF "/virtfn%u ../0000:01:10.%u\n", i, i);
	}
}

/* Like the real kernel: to change the number, it must be set to 0 first. */
static int fake_write(const struct host *h, const char *path, const char *text, pid_t *stuck)
{
	const char *name = strrchr(path, '/') + 1;
	size_t n = strlen(writes);

	(void)h;
	(void)stuck;
	assert_int_equal(strncmp(path, "/" DEV PF "/", strlen("/" DEV PF "/")), 0);
	snprintf(writes + n, sizeof(writes) - n, "%s=%s;", name, text);
	if (fail_at && strcmp(name, fail_at) == 0 && strcmp(text, "0") != 0)
		return -ENOMEM;
	if (strcmp(name, "sriov_numvfs") == 0) {
		if (strcmp(text, "0") != 0 && sysfs_number(root, PF, name, 0) > 0)
			return -EBUSY;
		make_vfs((unsigned)atoi(text));
	}
	put(text, DEV PF "/%s", name);
	return 0;
}

static const struct host host = { .root = root, .timeout_ms = 1000, .write = fake_write };

static int make_tree(void **state)
{
	make_root(state);
	put_host("pci 01:00.0 class=020000 driver=igb sriov_totalvfs=7 sriov_numvfs=0 "
		 "sriov_drivers_autoprobe=1\n"
		 "class net/eth3 01:00.0/net\n"
		 "pci 02:00.0 class=010802\n");
	writes[0] = '\0';
	fail_at = NULL;
	return 0;
}

static void says(const char *text)
{
	if (!strstr(err.text, text))
		fail_msg("'%s' does not say '%s'", err.text, text);
}

static int set(unsigned count, struct sriov *s)
{
	writes[0] = '\0';
	assert_int_equal(sriov_read(root, PF, s, &err), 0);
	return sriov_set(&host, s, count, &err);
}

static void test_read(void **state)
{
	struct sriov s;

	(void)state;
	assert_int_equal(sriov_read(root, PF, &s, &err), 0);
	assert_int_equal(s.total, 7);
	assert_int_equal(s.num, 0);
	assert_string_equal(s.netdev, "eth3");
	assert_string_equal(s.pf.driver, "igb");
	assert_int_equal(sriov_read(root, "0000:09:00.0", &s, &err), -ENODEV);
	assert_int_equal(sriov_read(root, "0000:02:00.0", &s, &err), -ENOTSUP);
	says("no SR-IOV");
	make_vfs(1);
	assert_int_equal(sriov_read(root, "0000:01:10.0", &s, &err), -ENOTSUP);
	says("itself a virtual function");
}

static void test_set(void **state)
{
	struct sysfs_pci vf;
	struct sriov s;

	(void)state;
	assert_int_equal(set(2, &s), 0);
	assert_string_equal(writes, "sriov_drivers_autoprobe=0;sriov_numvfs=2;");
	assert_int_equal(s.num, 2);
	assert_int_equal(sriov_vf(root, &s, 1, &vf), 0);
	assert_string_equal(vf.bdf, "0000:01:10.1");
	assert_int_equal(vf.group, 21);
	assert_int_equal(sriov_vf(root, &s, 2, &vf), -ENODEV);
	/* The same number: nothing to do. Another number: first 0. */
	assert_int_equal(set(2, &s), 0);
	assert_string_equal(writes, "");
	assert_int_equal(set(3, &s), 0);
	assert_string_equal(writes, "sriov_numvfs=0;sriov_drivers_autoprobe=1;"
				    "sriov_drivers_autoprobe=0;sriov_numvfs=3;");
	assert_int_equal(set(0, &s), 0);
	assert_string_equal(writes, "sriov_numvfs=0;sriov_drivers_autoprobe=1;");
	assert_int_equal(s.num, 0);
}

static void test_refused(void **state)
{
	struct sriov s;

	(void)state;
	assert_int_equal(set(8, &s), -ERANGE);
	says("at most 7 VFs, not 8");
	put_link("../../../bus/pci/drivers/vfio-pci", DEV PF "/driver");
	assert_int_equal(set(1, &s), -EBUSY);
	says("minivmm restore " PF);
	assert_string_equal(writes, "");
}

static void test_in_use(void **state)
{
	struct sriov s;

	(void)state;
	assert_int_equal(set(2, &s), 0);
	put_link("/dev/vfio/21", "proc/900/fd/7");
	put("minivmm\n", "proc/900/comm");
	assert_int_equal(set(0, &s), -EBUSY);
	says("0000:01:10.1: process 900 (minivmm) has /dev/vfio/21 open");
	assert_int_equal(set(4, &s), -EBUSY);
	assert_string_equal(writes, "");
	put_link("/dev/null", "proc/900/fd/7");
	/* The host's network uses a VF. */
	put_host("class net/eth9 01:10.0/net\n"
		 "file /proc/net/route eth9 00000000 0100A8C0 0003 0 0 0 00000000\n");
	assert_int_equal(set(0, &s), -EBUSY);
	says("0000:01:10.0 carries");
	assert_string_equal(writes, "");
}

static void test_fails(void **state)
{
	struct sriov s;

	(void)state;
	fail_at = "sriov_numvfs";
	assert_int_equal(set(2, &s), -ENOMEM);
	says("sriov_numvfs");
	assert_string_equal(writes, "sriov_drivers_autoprobe=0;sriov_numvfs=2;"
				    "sriov_drivers_autoprobe=1;");
	assert_int_equal(s.num, 0);
}

/* ---- netlink ---- */

/* The attribute at p, which must fill its parent. */
static const uint8_t *only(const uint8_t *p, size_t size, unsigned type, size_t *inner)
{
	struct rtattr a;

	assert_true(size >= sizeof(a));
	memcpy(&a, p, sizeof(a));
	assert_int_equal(a.rta_type & NLA_TYPE_MASK, type);
	assert_int_equal(a.rta_len, size);
	*inner = size - sizeof(a);
	return p + sizeof(a);
}

static void test_message(void **state)
{
	static const uint8_t mac[] = { 0x52, 0x54, 0, 1, 2, 3 };
	struct vf_link both = { .vf = 3, .mac = mac, .vlan = 77 };
	_Alignas(4) uint8_t buf[VF_LINK_MESSAGE_SIZE];
	struct ifla_vf_mac m;
	struct ifla_vf_vlan v;
	struct nlmsghdr head;
	struct ifinfomsg link;
	size_t size = vf_link_message(buf, 42, &both);
	const uint8_t *p;

	(void)state;
	memcpy(&head, buf, sizeof(head));
	memcpy(&link, buf + sizeof(head), sizeof(link));
	assert_int_equal(head.nlmsg_len, size);
	assert_int_equal(head.nlmsg_type, RTM_SETLINK);
	assert_int_equal(head.nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK);
	assert_int_equal(link.ifi_index, 42);
	assert_int_equal(link.ifi_change, 0);
	size -= sizeof(head) + sizeof(link);
	p = only(buf + sizeof(head) + sizeof(link), size, IFLA_VFINFO_LIST, &size);
	p = only(p, size, IFLA_VF_INFO, &size);
	assert_int_equal(size, 4 + sizeof(m) + 4 + sizeof(v));
	p = only(p, 4 + sizeof(m), IFLA_VF_MAC, &size);
	memcpy(&m, p, sizeof(m));
	assert_int_equal(m.vf, 3);
	assert_memory_equal(m.mac, mac, 6);
	assert_int_equal(m.mac[6], 0);
	p = only(p + sizeof(m), 4 + sizeof(v), IFLA_VF_VLAN, &size);
	memcpy(&v, p, sizeof(v));
	assert_int_equal(v.vf, 3);
	assert_int_equal(v.vlan, 77);
}

/* Values that must not be set are not in the message. */
static void test_message_parts(void **state)
{
	struct vf_link vlan = { .vf = 1, .vlan = 0 };
	_Alignas(4) uint8_t buf[VF_LINK_MESSAGE_SIZE];
	size_t size = vf_link_message(buf, 1, &vlan), inner;
	const size_t head = sizeof(struct nlmsghdr) + sizeof(struct ifinfomsg);
	const uint8_t *p = only(buf + head, size - head, IFLA_VFINFO_LIST, &inner);

	(void)state;
	p = only(p, inner, IFLA_VF_INFO, &inner);
	only(p, inner, IFLA_VF_VLAN, &inner);
	assert_int_equal(inner, sizeof(struct ifla_vf_vlan));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_tree, remove_root)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_read),
		TEST(test_set),
		TEST(test_refused),
		TEST(test_in_use),
		TEST(test_fails),
		cmocka_unit_test(test_message),
		cmocka_unit_test(test_message_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
