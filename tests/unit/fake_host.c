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

#include "vfio/host/sysfs.h"

char root[64];

static void fail(const char *what)
{
	perror(what);
	abort();
}

/* Makes a path below the root, and creates the folders above it. */
static void make_path(char path[PATH_MAX], const char *fmt, va_list ap)
{
	int n = snprintf(path, PATH_MAX, "%s/", root);
	char *slash;

	if (!root[0])
		fail("make_root() comes first");
	vsnprintf(path + n, (size_t)(PATH_MAX - n), fmt, ap);
	for (slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
}

void put(const char *text, const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list ap;
	FILE *f;

	va_start(ap, fmt);
	make_path(path, fmt, ap);
	va_end(ap);
	if (path[strlen(path) - 1] == '/')
		return;
	f = fopen(path, "w");
	if (!f)
		fail(path);
	fputs(text, f);
	fclose(f);
}

void put_link(const char *target, const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list ap;

	va_start(ap, fmt);
	make_path(path, fmt, ap);
	va_end(ap);
	unlink(path);
	if (symlink(target, path) < 0)
		fail(path);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void put_nothing(const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list ap;

	va_start(ap, fmt);
	make_path(path, fmt, ap);
	va_end(ap);
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- PCI ---- */

/* The real path of the device below /sys: "devices/pci0000:00/0000:00:01.0/0000:01:00.0". */
static void place_of(const char *address, char place[256])
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
	char bdf[VFIO_BDF_SIZE], place[256], resource[13][80];
};

static void make_device(struct device *d, const char *address, const char *under)
{
	char target[300], above[256];
	unsigned i;

	if (sysfs_parse_bdf(address, d->bdf) < 0)
		fail(address);
	if (under)
		place_of(under, above);
	else
		snprintf(above, sizeof(above), "devices/pci0000:00");
	snprintf(d->place, sizeof(d->place), "%.200s/%s", above, d->bdf);
	snprintf(target, sizeof(target), "../../../%s", d->place);
	put_link(target, "/sys/bus/pci/devices/%s", d->bdf);
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
	put(text, "/sys/%s/vendor", d->place);
	snprintf(text, sizeof(text), "0x%04x", device);
	put(text, "/sys/%s/device", d->place);
}

static void set_key(struct device *d, const char *key, char *value)
{
	char text[300], *comma;

	if (strcmp(key, "id") == 0) {
		set_id(d, value);
	} else if (strcmp(key, "class") == 0) {
		snprintf(text, sizeof(text), "0x%s", value);
		put(text, "/sys/%s/class", d->place);
	} else if (strcmp(key, "group") == 0) {
		snprintf(text, sizeof(text), "../../kernel/iommu_groups/%s", value);
		put_link(text, "/sys/%s/iommu_group", d->place);
		snprintf(text, sizeof(text), "../../../../%s", d->place);
		put_link(text, "/sys/kernel/iommu_groups/%s/devices/%s", value, d->bdf);
	} else if (strcmp(key, "driver") == 0) {
		snprintf(text, sizeof(text), "../../../bus/pci/drivers/%s", value);
		put_link(text, "/sys/%s/driver", d->place);
	} else if (strcmp(key, "of") == 0) {
		snprintf(text, sizeof(text), "../0000:%s", value);
		put_link(text, "/sys/%s/physfn", d->place);
	} else if (strcmp(key, "reset") == 0) {
		while ((comma = strchr(value, ',')))
			*comma = ' ';
		put(value, "/sys/%s/reset_method", d->place);
	} else if (strcmp(key, "node") == 0) {
		put(value, "/sys/%s/numa_node", d->place);
	} else if (strncmp(key, "bar", 3) == 0) {
		set_resource(d, (unsigned)atoi(key + 3), value);
	} else if (strcmp(key, "rom") == 0) {
		set_resource(d, 6, value);
	} else {
		put(value, "/sys/%s/%s", d->place, key);
	}
}

static void put_resources(const struct device *d)
{
	char text[13 * 80] = "";
	unsigned i;

	for (i = 0; i < 13; i++) {
		strcat(text, d->resource[i]);
		strcat(text, "\n");
	}
	put(text, "/sys/%s/resource", d->place);
}

/* Splits "key=value" in place, and returns the value. */
static char *split(char *word)
{
	char *value = strchr(word, '=');

	if (!value)
		fail(word);
	*value = '\0';
	return value + 1;
}

static void add_pci(char *line)
{
	struct device d;
	char *under = strstr(line, "under="), address[16] = "", *word, *value;

	if (under)
		sscanf(under, "under=%15s", address);
	word = strtok(line, " ");
	make_device(&d, word, under ? address : NULL);
	while ((word = strtok(NULL, " "))) {
		value = split(word);
		if (strcmp(word, "under") != 0)
			set_key(&d, word, value);
	}
	put_resources(&d);
}

/* A class device below a PCI device, or in a folder of /sys/devices. */
static void add_class(char *line)
{
	char *name = strtok(line, " "), *where = strtok(NULL, " "), *word, *value;
	char address[32], place[256], target[400];

	if (!name || !where)
		fail("class");
	snprintf(address, sizeof(address), "%.*s", (int)strcspn(where, "/"), where);
	if (sysfs_parse_bdf(address, address) == 0)
		place_of(address, place);
	else
		snprintf(place, sizeof(place), "devices/%s", address);
	strcat(place, where + strcspn(where, "/"));
	snprintf(target, sizeof(target), "../../%s%s", place, strchr(name, '/'));
	put_link(target, "/sys/class/%s", name);
	put("", "/sys/%s%s/uevent", place, strchr(name, '/'));
	while ((word = strtok(NULL, " "))) {
		value = split(word);
		put(value, "/sys/class/%s/%s", name, word);
	}
}

/* ---- the rest ---- */

static void add_file(const char *path, char *text)
{
	char *bar;

	while ((bar = strchr(text, '|')))
		*bar = '\n';
	put(text, "%s", path);
}

static void set_mode(const char *name, const char *mode)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s%s", root, name);
	chmod(path, (mode_t)strtoul(mode, NULL, 8));
}

static void add_line(char *line)
{
	char word[8] = "", path[256] = "";
	int n = 0;

	if (sscanf(line, "%7s %n", word, &n) < 1)
		return;
	line += n;
	n = 0;
	sscanf(line, "%255s %n", path, &n);
	if (strcmp(word, "pci") == 0)
		add_pci(line);
	else if (strcmp(word, "class") == 0)
		add_class(line);
	else if (strcmp(word, "file") == 0)
		add_file(path, line + (n ? (size_t)n : strlen(line)));
	else if (strcmp(word, "link") == 0)
		put_link(line + n, "%s", path);
	else if (strcmp(word, "dir") == 0)
		put("", "%s/", path);
	else if (strcmp(word, "rm") == 0)
		put_nothing("%s", path);
	else if (strcmp(word, "mode") == 0)
		set_mode(path, line + n);
	else
		fail(word);
}

void put_host(const char *fmt, ...)
{
	char *text, *rest, *line;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		fail(fmt);
	va_end(ap);
	for (rest = text; (line = strsep(&rest, "\n"));)
		add_line(line);
	free(text);
}

int make_root(void **state)
{
	(void)state;
	snprintf(root, sizeof(root), "/tmp/minivmm-unit.XXXXXX");
	if (!mkdtemp(root) || chmod(root, 0755) < 0)
		fail(root);
	return 0;
}

int remove_root(void **state)
{
	(void)state;
	if (root[0])
		put_nothing("/");
	root[0] = '\0';
	return 0;
}
