/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * minivmm check: is this host ready, and are these devices. What vfio/host/preflight/preflight.h
 * finds, and what only KVM and the firmware's finder can say, told the way they would to `run`.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "firmware/ovmf.h"
#include "vfio/host/pci_names.h"
#include "vfio/host/preflight/preflight.h"
#include "vfio/options.h"
#include "devices/usb/evdev.h"
#include "devices/usb/input_options.h"
#include "devices/usb/usb_options.h"
#include "vmm/cli/check_usb.h"
#include "vmm/cli/command.h"
#include "vmm/machine/options.h"
#include "vmm/kvm/kvm.h"
#include "vmm/core/log.h"
#include "vmm/cli/output.h"

#define TOPIC_AT 11 /* columns */
#define TEXT_AT	 23

struct arguments {
	char bdf[VFIO_MOST][VFIO_BDF_SIZE];
	size_t n;
	struct device_list devices; /* --usb and --input */
	size_t n_devices;
	bool json;
};

/* ---- what the sysfs does not know ---- */

static void check_kvm(struct preflight *p)
{
	struct error err = { 0 };
	struct kvm kvm;
	size_t i;

	for (i = 0; i < p->n; i++)
		if (p->line[i].what == PREFLIGHT_KVM_OK || p->line[i].what == PREFLIGHT_KVM_SLOW)
			break;
	if (i == p->n)
		return; /* it cannot be opened: that is said */
	if (kvm_open(&kvm, &err) < 0) {
		preflight_say(p, PREFLIGHT_KVM_LACKS, err.text);
		/* In the place of what sysfs said: one answer. */
		if (!p->failed)
			p->line[i] = p->line[--p->n];
	}
	kvm_close(&kvm);
}

static void check_firmware(struct preflight *p)
{
	struct ovmf *o = calloc(1, sizeof(*o));
	struct error err = { 0 };

	if (!o) {
		p->failed = true;
	} else if (ovmf_open(o, p->root, NULL, NULL, &err) < 0) {
		preflight_say(p, PREFLIGHT_FIRMWARE_MISSING);
	} else {
		preflight_say(p, PREFLIGHT_FIRMWARE_OK, o->code_path);
		ovmf_close(o);
	}
	free(o);
}

/* ---- for people ---- */

static void print_line(const struct output *o, const struct preflight_line *l)
{
	static const struct {
		const char *word;
		enum output_style style;
	} levels[] = {
		[PREFLIGHT_OK] = { "ok", OUTPUT_GREEN },
		[PREFLIGHT_WARNING] = { "warning", OUTPUT_YELLOW },
		[PREFLIGHT_PROBLEM] = { "problem", OUTPUT_RED },
	};
	const struct preflight_row *row = &preflight_table[l->what];

	output_print(o, levels[row->level].style, "  %-*s", TOPIC_AT - 2, levels[row->level].word);
	output_print(o, OUTPUT_PLAIN, "%-*s", TEXT_AT - TOPIC_AT, row->topic);
	output_wrapped(o, OUTPUT_PLAIN, TEXT_AT, l->text);
	if (!l->remedy[0])
		return;
	output_print(o, OUTPUT_PLAIN, "%*s", TEXT_AT - 3, "");
	output_print(o, OUTPUT_BOLD, "-> ");
	output_wrapped(o, OUTPUT_PLAIN, TEXT_AT, l->remedy);
}

static void print_heading(const struct output *o, const struct preflight *p, const char *bdf,
			  const struct pci_names *names)
{
	struct pci_name name;
	char text[300];
	size_t i;

	output_print(o, OUTPUT_BOLD, "%s%s", bdf[0] ? "\n" : "", bdf[0] ? bdf : "This host");
	for (i = 0; bdf[0] && i < p->pci.n; i++) {
		const struct sysfs_pci *d = &p->pci.dev[i];

		if (strcmp(d->bdf, bdf) != 0)
			continue;
		pci_names_find(names, d->class_code, d->vendor, d->device, &name);
		pci_names_text(&name, d->class_code, d->vendor, d->device, text, sizeof(text));
		output_print(o, OUTPUT_PLAIN, "  %s", text);
		if (d->numa_node >= 0)
			output_print(o, OUTPUT_PLAIN, ", node %d", d->numa_node);
	}
	putchar('\n');
}

static void print_verdict(const struct output *o, const struct preflight *p, size_t devices)
{
	size_t problems = preflight_count(p, PREFLIGHT_PROBLEM);
	size_t warnings = preflight_count(p, PREFLIGHT_WARNING);
	const char *what = devices > 1 ? "A run with these devices"
			   : devices   ? "A run with this device"
				       : "A run with passed-through devices";

	putchar('\n');
	if (problems)
		output_print(o, OUTPUT_RED, "%s would not start: %zu problem%s", what, problems,
			     problems == 1 ? "" : "s");
	else
		output_print(o, OUTPUT_GREEN, "%s would start", what);
	if (warnings)
		printf("%s%zu warning%s", problems ? ", " : ", with ", warnings,
		       warnings == 1 ? "" : "s");
	putchar('\n');
}

static void print_text(const struct preflight *p, size_t devices)
{
	struct output o = output_to(stdout);
	struct pci_names names;
	size_t i;

	pci_names_open(&names, "");
	for (i = 0; i < p->n; i++) {
		if (i == 0 || strcmp(p->line[i].bdf, p->line[i - 1].bdf) != 0)
			print_heading(&o, p, p->line[i].bdf, &names);
		print_line(&o, &p->line[i]);
	}
	print_verdict(&o, p, devices);
	pci_names_free(&names);
}

/* ---- for programs: the man page lists the keys ---- */

static void print_json(const struct preflight *p)
{
	static const char *const levels[] = { "ok", "warning", "problem" };
	json_t *lines = json_array(), *all;
	size_t i;

	for (i = 0; i < p->n; i++) {
		const struct preflight_line *l = &p->line[i];
		const struct preflight_row *row = &preflight_table[l->what];

		json_array_append_new(lines,
				      json_pack("{s:s, s:s, s:s, s:o, s:o, s:o}", "id", row->id,
						"topic", row->topic, "level", levels[row->level],
						"device", output_text_or_null(l->bdf), "text",
						output_text_or_null(l->text), "remedy",
						output_text_or_null(l->remedy)));
	}
	all = json_pack("{s:b, s:I, s:I, s:o}", "ready", !preflight_count(p, PREFLIGHT_PROBLEM),
			"problems", (json_int_t)preflight_count(p, PREFLIGHT_PROBLEM), "warnings",
			(json_int_t)preflight_count(p, PREFLIGHT_WARNING), "findings", lines);
	output_json(all);
}

/* Takes --usb and --input as a run does. 0: it is something else; 1: one was taken. */
static int parse_device(int argc, char **argv, int *i, struct arguments *a)
{
	static const struct device_class *const classes[] = { &usb_class, &input_class };
	const char *word = argv[*i], *arg;
	struct error err;

	for (size_t k = 0; k < 2; k++) {
		size_t n = strlen(classes[k]->option);

		if (strncmp(word, "--", 2) != 0 || strncmp(word + 2, classes[k]->option, n) != 0 ||
		    (word[2 + n] && word[2 + n] != '='))
			continue;
		arg = word[2 + n] ? word + 3 + n : *i + 1 < argc ? argv[++*i] : NULL;
		a->n_devices++;
		if (!arg) {
			log_error("check: %s needs an argument: %s", word, classes[k]->arg);
			return -EINVAL;
		}
		if (device_create(&a->devices, classes[k], arg, &err) == 0)
			return 1;
		log_error("check: %.*s: %s", (int)n + 2, word, err.text);
		return -EINVAL;
	}
	return 0;
}

static int parse(int argc, char **argv, struct arguments *a)
{
	int i, ret;

	*a = (struct arguments){ 0 };
	for (i = 1; i < argc; i++) {
		ret = parse_device(argc, argv, &i, a);
		if (ret < 0)
			return ret;
		if (ret > 0)
			continue;
		if (strcmp(argv[i], "--json") == 0) {
			a->json = true;
		} else if (a->n == VFIO_MOST) {
			log_error("check: at most %d devices", VFIO_MOST);
			return -EINVAL;
		} else if (sysfs_parse_bdf(argv[i], a->bdf[a->n++]) < 0) {
			log_error(
				"check: %s is not a PCI address like 01:00.0: usage: " USAGE_CHECK,
				argv[i]);
			return -EINVAL;
		}
	}
	return 0;
}

static int check_all(const struct arguments *a)
{
	struct preflight p;
	int status = 1;

	preflight_init(&p, "");
	p.no_vfio = a->n_devices && !a->n;
	preflight_host(&p);
	check_kvm(&p);
	check_firmware(&p);
	preflight_devices(&p, a->bdf, a->n);
	check_usb(&p, &a->devices, &evdev_here);
	if (p.failed)
		log_error("check: %s", strerror(ENOMEM));
	else if (a->json)
		print_json(&p);
	else
		print_text(&p, a->n + a->n_devices);
	if (!p.failed)
		status = preflight_count(&p, PREFLIGHT_PROBLEM) > 0;
	preflight_free(&p);
	return status;
}

int command_check(int argc, char **argv)
{
	struct arguments a;
	int status = parse(argc, argv, &a) < 0 ? COMMAND_USAGE : check_all(&a);

	device_list_free(&a.devices);
	return status;
}
