/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm groups: the host's PCI devices by IOMMU group, for people or as JSON. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "vfio/host/groups.h"
#include "vfio/host/pci_names.h"
#include "vmm/core/addr.h"
#include "vmm/cli/command.h"
#include "vmm/core/log.h"
#include "vmm/cli/output.h"

/* ---- for people ---- */

static void pass_text(const struct pci_list *l, size_t i, char *buf, size_t size)
{
	static const char *const texts[] = {
		[GROUP_PASS_ALONE] = "alone",
		[GROUP_PASS_BRIDGE] = "bridge",
		[GROUP_PASS_NO_IOMMU] = "no IOMMU",
	};
	const struct sysfs_pci *other = groups_other(l, i, 0);
	unsigned n = 0;

	if (groups_pass(l, i) != GROUP_PASS_TOGETHER) {
		snprintf(buf, size, "%s", texts[groups_pass(l, i)]);
		return;
	}
	while (groups_other(l, i, n))
		n++;
	if (n == 1)
		snprintf(buf, size, "with %s", other->bdf);
	else
		snprintf(buf, size, "with %u others", n);
}

static void add_row(struct output_table *t, const struct pci_list *l, size_t i,
		    const struct pci_names *names)
{
	const struct sysfs_pci *d = &l->dev[i];
	char group[16] = "-", node[16] = "-", pass[40], text[300];
	struct pci_name name;

	if (d->group >= 0)
		snprintf(group, sizeof(group), "%d", d->group);
	if (i > 0 && l->dev[i - 1].group == d->group)
		group[0] = '\0';
	if (d->numa_node >= 0)
		snprintf(node, sizeof(node), "%d", d->numa_node);
	pass_text(l, i, pass, sizeof(pass));
	pci_names_find(names, d->class_code, d->vendor, d->device, &name);
	pci_names_text(&name, d->class_code, d->vendor, d->device, text, sizeof(text));
	output_row(t, 7,
		   (const char *[]){ group, d->bdf, d->driver[0] ? d->driver : "-", node,
				     d->methods[0] ? d->methods : "-", pass, text });
}

static int print_text(const struct pci_list *l, const struct pci_names *names)
{
	struct output o = output_to(stdout);
	struct output_table t = { 0 };
	size_t i;
	int ret;

	output_row(&t, 7,
		   (const char *[]){ "GROUP", "ADDRESS", "DRIVER", "NODE", "RESET", "PASS",
				     "DEVICE" });
	for (i = 0; i < l->n; i++)
		add_row(&t, l, i, names);
	ret = output_table(&o, &t);
	if (ret == 0 && !names->text)
		output_print(&o, OUTPUT_DIM, "apt install pci.ids: devices by name\n");
	if (ret == 0 && !sysfs_any_group(""))
		output_print(&o, OUTPUT_YELLOW,
			     "No IOMMU: no device can be passed. `minivmm check` says why.\n");
	return ret;
}

/* ---- for programs: the man page lists the keys ---- */

static json_t *hex(unsigned digits, unsigned v)
{
	return json_sprintf("0x%0*x", (int)digits, v);
}

static json_t *number_or_null(int v)
{
	return v < 0 ? json_null() : json_integer(v);
}

static json_t *words(const char *s)
{
	json_t *list = json_array();

	for (; *s; s += strspn(s, " ")) {
		size_t n = strcspn(s, " ");

		json_array_append_new(list, json_stringn(s, n));
		s += n;
	}
	return list;
}

static json_t *device_json(const struct pci_list *l, size_t i, const struct pci_names *names)
{
	static const char *const pass[] = {
		[GROUP_PASS_ALONE] = "alone",
		[GROUP_PASS_TOGETHER] = "together",
		[GROUP_PASS_BRIDGE] = "bridge",
		[GROUP_PASS_NO_IOMMU] = "no-iommu",
	};
	const struct sysfs_pci *d = &l->dev[i];
	json_t *j = json_object();
	struct pci_name name;

	pci_names_find(names, d->class_code, d->vendor, d->device, &name);
	json_object_set_new(j, "address", json_string(d->bdf));
	json_object_set_new(j, "class", hex(6, d->class_code));
	json_object_set_new(j, "vendor", hex(4, d->vendor));
	json_object_set_new(j, "device", hex(4, d->device));
	json_object_set_new(j, "class_name", output_text_or_null(name.class_name));
	json_object_set_new(j, "vendor_name", output_text_or_null(name.vendor));
	json_object_set_new(j, "device_name", output_text_or_null(name.device));
	json_object_set_new(j, "driver", output_text_or_null(d->driver));
	json_object_set_new(j, "numa_node", number_or_null(d->numa_node));
	json_object_set_new(j, "reset_methods", words(d->methods));
	json_object_set_new(j, "virtual_function", json_boolean(d->virtfn));
	json_object_set_new(j, "pass", json_string(pass[groups_pass(l, i)]));
	return j;
}

static int print_json(const struct pci_list *l, const struct pci_names *names)
{
	json_t *groups = json_array(), *devices = NULL;
	size_t i;

	for (i = 0; i < l->n; i++) {
		if (i == 0 || l->dev[i - 1].group != l->dev[i].group) {
			devices = json_array();
			json_array_append_new(groups, json_pack("{s:o, s:o}", "group",
								number_or_null(l->dev[i].group),
								"devices", devices));
		}
		json_array_append_new(devices, device_json(l, i, names));
	}
	return output_json(json_pack("{s:o}", "groups", groups));
}

static int print(bool json)
{
	struct pci_names names;
	struct pci_list l;
	int ret = groups_read("", &l);

	pci_names_open(&names, "");
	if (ret == -ENOENT)
		log_error("this host has no PCI devices: /sys/bus/pci/devices does not exist");
	else if (ret == 0)
		ret = json ? print_json(&l, &names) : print_text(&l, &names);
	if (ret < 0 && ret != -ENOENT)
		log_error("%s", strerror(-ret));
	pci_names_free(&names);
	groups_free(&l);
	return ret < 0;
}

int command_groups(int argc, char **argv)
{
	bool json = argc == 2 && strcmp(argv[1], "--json") == 0;

	if (argc > 1 && !json) {
		log_error("groups: unknown argument %s: usage: " USAGE_GROUPS,
			  argv[strcmp(argv[1], "--json") == 0 ? 2 : 1]);
		return COMMAND_USAGE;
	}
	return print(json);
}
