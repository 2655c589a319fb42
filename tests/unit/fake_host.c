/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/fake_host.h"

#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vfio/sysfs.h"

static void fail(const char *what)
{
	perror(what);
	abort();
}

/* The folders above the path, too. */
static void make_dirs(const char *path)
{
	char part[PATH_MAX], *slash;

	snprintf(part, sizeof(part), "%s", path);
	for (slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(part, 0755);
		*slash = '/';
	}
}

__attribute__((format(printf, 3, 4))) static void put(const char *root, const char *text,
						      const char *fmt, ...)
{
	char path[PATH_MAX];
	size_t n = (size_t)snprintf(path, sizeof(path), "%s", root);
	va_list ap;
	FILE *f;

	va_start(ap, fmt);
	vsnprintf(path + n, sizeof(path) - n, fmt, ap);
	va_end(ap);
	make_dirs(path);
	f = fopen(path, "w");
	if (!f)
		fail(path);
	for (; *text; text++)
		fputc(*text == '|' ? '\n' : *text, f);
	fputc('\n', f);
	fclose(f);
}

__attribute__((format(printf, 3, 4))) static void put_link(const char *root, const char *target,
							   const char *fmt, ...)
{
	char path[PATH_MAX];
	size_t n = (size_t)snprintf(path, sizeof(path), "%s", root);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path + n, sizeof(path) - n, fmt, ap);
	va_end(ap);
	make_dirs(path);
	unlink(path);
	if (symlink(target, path) < 0)
		fail(path);
}

/* ---- PCI ---- */

/* Where the device really is, below /sys: "devices/pci0000:00/0000:00:01.0/0000:01:00.0". */
static void place_of(const char *root, const char *address, char place[256])
{
	char bdf[VFIO_BDF_SIZE], path[PATH_MAX], target[256];
	ssize_t n;

	if (sysfs_parse_bdf(address, bdf) < 0)
		fail(address);
	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s", root, bdf);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		fail(path);
	target[n] = '\0';
	snprintf(place, 256, "%s", target + strlen("../../../"));
}

struct device {
	const char *root;
	char bdf[VFIO_BDF_SIZE], place[256], resource[13][80];
};

static void make_device(struct device *d, const char *address, const char *under)
{
	char target[300], above[256];
	unsigned i;

	if (sysfs_parse_bdf(address, d->bdf) < 0)
		fail(address);
	if (under)
		place_of(d->root, under, above);
	else
		snprintf(above, sizeof(above), "devices/pci0000:00");
	snprintf(d->place, sizeof(d->place), "%.200s/%s", above, d->bdf);
	snprintf(target, sizeof(target), "../../../%s", d->place);
	put_link(d->root, target, "/sys/bus/pci/devices/%s", d->bdf);
	for (i = 0; i < 13; i++)
		snprintf(d->resource[i], sizeof(d->resource[i]), "0x%016x 0x%016x 0x%016x", 0, 0,
			 0);
}

static void set_resource(struct device *d, unsigned i, const char *value)
{
	unsigned long long size, flags = 0x40200, at = 0xe0000000 + 0x4000000ull * i;
	char *end;

	size = strtoull(value, &end, 16);
	if (*end == 'p') {
		flags = 0x14220c;
		at = 0x4000000000ull;
	} else if (*end == 'i') {
		flags = 0x40101;
		at = 0xe000;
	}
	if (strchr(end, '!')) {
		flags |= 0x20000000;
		at = 0;
	}
	snprintf(d->resource[i], sizeof(d->resource[i]), "0x%016llx 0x%016llx 0x%016llx", at,
		 at + size - 1, flags);
}

static void set_id(struct device *d, const char *value)
{
	unsigned vendor, device;
	char text[16];

	if (sscanf(value, "%x:%x", &vendor, &device) != 2)
		fail(value);
	snprintf(text, sizeof(text), "0x%04x", vendor);
	put(d->root, text, "/sys/%s/vendor", d->place);
	snprintf(text, sizeof(text), "0x%04x", device);
	put(d->root, text, "/sys/%s/device", d->place);
}

static void set_key(struct device *d, const char *key, char *value)
{
	char text[300], *comma;

	if (strcmp(key, "id") == 0) {
		set_id(d, value);
	} else if (strcmp(key, "class") == 0) {
		snprintf(text, sizeof(text), "0x%s", value);
		put(d->root, text, "/sys/%s/class", d->place);
	} else if (strcmp(key, "group") == 0) {
		snprintf(text, sizeof(text), "../../kernel/iommu_groups/%s", value);
		put_link(d->root, text, "/sys/%s/iommu_group", d->place);
		snprintf(text, sizeof(text), "../../../../%s", d->place);
		put_link(d->root, text, "/sys/kernel/iommu_groups/%s/devices/%s", value, d->bdf);
	} else if (strcmp(key, "driver") == 0) {
		snprintf(text, sizeof(text), "../../../bus/pci/drivers/%s", value);
		put_link(d->root, text, "/sys/%s/driver", d->place);
	} else if (strcmp(key, "of") == 0) {
		snprintf(text, sizeof(text), "../0000:%s", value);
		put_link(d->root, text, "/sys/%s/physfn", d->place);
	} else if (strcmp(key, "reset") == 0) {
		while ((comma = strchr(value, ',')))
			*comma = ' ';
		put(d->root, value, "/sys/%s/reset_method", d->place);
	} else if (strcmp(key, "node") == 0) {
		put(d->root, value, "/sys/%s/numa_node", d->place);
	} else if (strncmp(key, "bar", 3) == 0) {
		set_resource(d, (unsigned)atoi(key + 3), value);
	} else if (strcmp(key, "rom") == 0) {
		set_resource(d, 6, value);
	} else {
		put(d->root, value, "/sys/%s/%s", d->place, key);
	}
}

static void put_resources(const struct device *d)
{
	char text[13 * 80] = "";
	unsigned i;

	for (i = 0; i < 13; i++) {
		strcat(text, i ? "|" : "");
		strcat(text, d->resource[i]);
	}
	put(d->root, text, "/sys/%s/resource", d->place);
}

static void add_pci(const char *root, char *line)
{
	struct device d = { .root = root };
	char *under = strstr(line, "under="), address[16] = "", *word, *value;

	if (under)
		sscanf(under, "under=%15s", address);
	word = strtok(line, " ");
	make_device(&d, word, under ? address : NULL);
	while ((word = strtok(NULL, " "))) {
		value = strchr(word, '=');
		if (!value)
			fail(word);
		*value++ = '\0';
		if (strcmp(word, "under") != 0)
			set_key(&d, word, value);
	}
	put_resources(&d);
}

static void add_class(const char *root, const char *line)
{
	char name[64], address[32], place[256], target[400];

	if (sscanf(line, "%63s %31s", name, address) != 2)
		fail(line);
	place_of(root, address, place);
	snprintf(target, sizeof(target), "../../%s/%s", place, name);
	put_link(root, target, "/sys/class/%s", name);
	put(root, "", "/sys/%s/%s/uevent", place, name);
}

/* ---- the rest ---- */

static void add_line(const char *root, char *line)
{
	char word[8] = "", path[256] = "", full[PATH_MAX];
	int n = 0;

	if (sscanf(line, "%7s %n", word, &n) < 1)
		return;
	line += n;
	if (strcmp(word, "pci") == 0) {
		add_pci(root, line);
		return;
	}
	if (strcmp(word, "class") == 0) {
		add_class(root, line);
		return;
	}
	n = 0;
	sscanf(line, "%255s %n", path, &n);
	line += n ? (size_t)n : strlen(line);
	snprintf(full, sizeof(full), "%s%s", root, path);
	if (strcmp(word, "file") == 0)
		put(root, line, "%s", path);
	else if (strcmp(word, "link") == 0)
		put_link(root, line, "%s", path);
	else if (strcmp(word, "dir") == 0)
		put(root, "", "%s/.made", path);
	else if (strcmp(word, "rm") == 0)
		fake_host_remove(full);
	else if (strcmp(word, "mode") == 0)
		chmod(full, (mode_t)strtoul(line, NULL, 8));
	else
		fail(word);
}

void fake_host_make(char root[64])
{
	snprintf(root, 64, "/tmp/fake_host.XXXXXX");
	if (!mkdtemp(root) || chmod(root, 0755) < 0)
		fail(root);
}

void fake_host_add(const char *root, const char *text)
{
	char line[1024];
	size_t n;

	for (; *text; text += n + (text[n] == '\n')) {
		n = strcspn(text, "\n");
		snprintf(line, sizeof(line), "%.*s", (int)n, text);
		add_line(root, line);
	}
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void fake_host_remove(const char *root)
{
	nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
