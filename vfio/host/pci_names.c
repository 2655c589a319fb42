/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The head of the file explains its format. The line of a vendor begins with four hex digits,
 * blanks and the name. Then come the lines of its devices, with one tab in front, and of their
 * subsystems, with two tabs; we ignore subsystems. Classes have the same form, with "C " in front
 * and two digits. One pass over the text finds all three names. It takes about a millisecond for
 * the 1.5 MB of today's file.
 *
 * Names are printed on terminals, so control characters are replaced by spaces.
 */
#include "vfio/host/pci_names.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"

#define MAX_FILE (16 * MiB)

static int read_all(const char *path, struct pci_names *n)
{
	scoped_fd fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t got;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size <= 0 || (uint64_t)st.st_size > MAX_FILE)
		return -1;
	n->text = malloc((size_t)st.st_size);
	got = n->text ? read(fd, n->text, (size_t)st.st_size) : -1;
	if (got <= 0) {
		pci_names_free(n);
		return -1;
	}
	n->len = (size_t)got;
	return 0;
}

void pci_names_open(struct pci_names *n, const char *root)
{
	/* The first is Debian's path; the second is that of Fedora, Arch and openSUSE. */
	static const char *const known[] = { "/usr/share/misc/pci.ids",
					     "/usr/share/hwdata/pci.ids" };
	char path[PATH_MAX];
	unsigned i;

	*n = (struct pci_names){ 0 };
	for (i = 0; i < ARRAY_SIZE(known) && !n->text; i++) {
		snprintf(path, sizeof(path), "%s%s", root, known[i]);
		read_all(path, n);
	}
}

void pci_names_free(struct pci_names *n)
{
	free(n->text);
	*n = (struct pci_names){ 0 };
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* True if p begins with this number of hex digits and a blank. */
static bool has_id(const char *p, size_t len, unsigned digits, unsigned *id)
{
	unsigned i;

	*id = 0;
	if (len <= digits || p[digits] != ' ')
		return false;
	for (i = 0; i < digits; i++) {
		if (hex_digit(p[i]) < 0)
			return false;
		*id = *id << 4 | (unsigned)hex_digit(p[i]);
	}
	return true;
}

static void copy_name(const char *p, size_t len, char *buf, size_t size)
{
	size_t i, n;

	for (; len > 0 && *p == ' '; len--)
		p++;
	n = len < size - 1 ? len : size - 1;
	for (i = 0; i < n; i++)
		buf[i] = (unsigned char)p[i] < ' ' || p[i] == 0x7f ? ' ' : p[i];
	/* Do not cut a UTF-8 character in the middle. */
	while (n < len && n > 0 && ((unsigned char)p[n] & 0xc0) == 0x80)
		n--;
	buf[n] = '\0';
}

struct lookup {
	unsigned vendor, device, class, subclass;
	bool in_vendor, in_class; /* the section that the line is in */
	struct pci_name *out;
};

static void section(struct lookup *l, const char *p, size_t len)
{
	unsigned id;

	l->in_vendor = l->in_class = false;
	if (has_id(p, len, 4, &id) && id == l->vendor) {
		l->in_vendor = true;
		copy_name(p + 4, len - 4, l->out->vendor, sizeof(l->out->vendor));
	} else if (len > 2 && p[0] == 'C' && p[1] == ' ' && has_id(p + 2, len - 2, 2, &id) &&
		   id == l->class) {
		l->in_class = true;
		copy_name(p + 4, len - 4, l->out->class_name, sizeof(l->out->class_name));
	}
}

static void entry(const struct lookup *l, const char *p, size_t len)
{
	unsigned id;

	if (l->in_vendor && has_id(p, len, 4, &id) && id == l->device)
		copy_name(p + 4, len - 4, l->out->device, sizeof(l->out->device));
	if (l->in_class && has_id(p, len, 2, &id) && id == l->subclass)
		copy_name(p + 2, len - 2, l->out->class_name, sizeof(l->out->class_name));
}

void pci_names_find(const struct pci_names *n, uint32_t class_code, uint16_t vendor,
		    uint16_t device, struct pci_name *out)
{
	struct lookup l = { .vendor = vendor,
			    .device = device,
			    .class = class_code >> 16 & 0xff,
			    .subclass = class_code >> 8 & 0xff,
			    .out = out };
	const char *p = n->text, *stop = p ? p + n->len : p, *eol;
	size_t len;

	*out = (struct pci_name){ 0 };
	for (; p < stop; p = eol + 1) {
		eol = memchr(p, '\n', (size_t)(stop - p));
		eol = eol ? eol : stop;
		len = (size_t)(eol - p);
		if (len == 0 || *p == '#')
			continue;
		if (*p != '\t')
			section(&l, p, len);
		else
			entry(&l, p + 1, len - 1);
	}
}

void pci_names_text(const struct pci_name *n, uint32_t class_code, uint16_t vendor, uint16_t device,
		    char *buf, size_t size)
{
	char what[sizeof(n->class_name)], which[sizeof(n->device)];

	snprintf(what, sizeof(what), "class %04x", class_code >> 8);
	if (n->vendor[0])
		snprintf(which, sizeof(which), "device %04x", device);
	else
		snprintf(which, sizeof(which), "%04x:%04x", vendor, device);
	snprintf(buf, size, "%s: %s%s%s", n->class_name[0] ? n->class_name : what, n->vendor,
		 n->vendor[0] ? " " : "", n->device[0] ? n->device : which);
}
