/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm vf: SR-IOV virtual functions made, removed, listed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vfio/host/sriov.h"
#include "vfio/host/vf_link.h"
#include "vmm/cli/command.h"
#include "vmm/core/keys.h"
#include "vmm/core/log.h"

#define MAC_MAX	 256
#define VLAN_MAX 4094

struct vf_call {
	char pf[VFIO_BDF_SIZE];
	long count; /* -1: list only */
	uint8_t mac[MAC_MAX][6];
	unsigned n_macs;
	long vlan; /* -1: none given */
};

/* ---- the call ---- */

static int parse_count(const char *s, long max, long *out)
{
	char *end;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	errno = 0;
	*out = strtol(s, &end, 10);
	return errno || *end || *out > max ? -EINVAL : 0;
}

static int parse_macs(struct vf_call *c, const char *list)
{
	char one[24];
	size_t len;

	for (;; list += len + 1) {
		len = strcspn(list, ",");
		snprintf(one, sizeof(one), "%.*s", len < sizeof(one) ? (int)len : 0, list);
		if (c->n_macs == MAC_MAX || key_parse_mac(one, c->mac[c->n_macs]) < 0)
			return -EINVAL;
		c->n_macs++;
		if (!list[len])
			return 0;
	}
}

/* The words behind the PF; returns the one that is wrong. */
static const char *parse_words(struct vf_call *c, char **argv)
{
	bool ok;

	for (; *argv; argv++) {
		if (strcmp(*argv, "--mac") == 0 && argv[1])
			ok = parse_macs(c, *++argv) == 0;
		else if (strcmp(*argv, "--vlan") == 0 && argv[1])
			ok = parse_count(*++argv, VLAN_MAX, &c->vlan) == 0;
		else
			ok = c->count < 0 && parse_count(*argv, UINT16_MAX, &c->count) == 0;
		if (!ok)
			return *argv;
	}
	return NULL;
}

static int usage(const char *word, const char *why)
{
	log_error("vf: %s%s: usage: " USAGE_VF, word, why);
	return COMMAND_USAGE;
}

static int parse(struct vf_call *c, int argc, char **argv)
{
	const char *wrong;

	*c = (struct vf_call){ .count = -1, .vlan = -1 };
	if (argc < 2)
		return usage("no device is given", "");
	if (sysfs_parse_bdf(argv[1], c->pf) < 0)
		return usage(argv[1], " is not a PCI address like 01:00.0");
	wrong = parse_words(c, argv + 2);
	if (wrong)
		return usage(wrong, " is not valid here");
	if (c->n_macs > (c->count < 0 ? 0 : c->count))
		return usage("--mac",
			     " needs a COUNT of at least as many VFs as there are addresses");
	if (c->vlan >= 0 && c->count <= 0)
		return usage("--vlan", " needs a COUNT of VFs");
	return 0;
}

/* ---- doing it ---- */

static void print(const struct sriov *s)
{
	struct sysfs_pci vf;
	unsigned i;

	printf("%s: %u of %u VFs (%s%s%s)\n", s->pf.bdf, s->num, s->total,
	       s->pf.driver[0] ? s->pf.driver : "no driver", s->netdev[0] ? ", " : "", s->netdev);
	for (i = 0; i < s->num; i++)
		if (sriov_vf("", s, i, &vf) == 0)
			printf("minivmm --bind --vfio %s   # group %d, %s\n", vf.bdf, vf.group,
			       vf.driver[0] ? vf.driver : "no driver");
}

/* Addresses and VLANs while nobody has the VFs; then the PF up, without which they have no link. */
static int set_network(const struct sriov *s, const struct vf_call *c, struct error *err)
{
	unsigned i;
	int ret = 0;

	for (i = 0; i < s->num && ret == 0; i++) {
		struct vf_link l = { .vf = i,
				     .mac = i < c->n_macs ? c->mac[i] : NULL,
				     .vlan = (int)c->vlan };

		if (l.mac || l.vlan >= 0)
			ret = vf_link_set(s->netdev, &l, err);
	}
	return ret < 0 ? ret : vf_link_up(s->netdev, err);
}

/* VFs that this call made do not stay when they cannot be as they were asked for. */
static int change(struct sriov *s, const struct vf_call *c, struct error *err)
{
	unsigned before = s->num;
	struct error ignored;
	int ret;

	if (!s->netdev[0] && (c->n_macs || c->vlan >= 0))
		return error_set(
			err, -EINVAL,
			"--mac, --vlan: %s is not a network card, or its driver is not loaded",
			s->pf.bdf);
	ret = sriov_set(&host_here, s, (unsigned)c->count, err);
	if (ret < 0 || !s->num || !s->netdev[0])
		return ret;
	ret = set_network(s, c, err);
	if (ret < 0 && s->num != before)
		sriov_set(&host_here, s, 0, &ignored);
	return ret;
}

int command_vf(int argc, char **argv)
{
	struct error err = { 0 };
	struct vf_call c;
	struct sriov s;
	int ret = parse(&c, argc, argv);

	if (ret)
		return ret;
	ret = sriov_read("", c.pf, &s, &err);
	if (ret == 0 && c.count >= 0)
		ret = change(&s, &c, &err);
	if (ret < 0) {
		log_error("%s", err.text);
		return 1;
	}
	print(&s);
	return 0;
}
