/*
 * Accesses a PCI device through sysfs, for the small test programs. No driver is bound to the
 * device, so the programs enable its memory decoding and bus mastering themselves, and map its
 * BARs.
 */
#ifndef GUEST_TESTS_PCIDEV_H
#define GUEST_TESTS_PCIDEV_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/pci_regs.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct pcidev_bar {
	uint64_t start;
	uint64_t size; /* 0: the device has no such BAR */
	uint64_t flags;
};

static inline int pcidev_open(const char *dir, const char *file, int flags)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Sets @on and clears @off in the command register; returns 0 or -errno. */
static inline int pcidev_command(const char *dir, uint16_t on, uint16_t off)
{
	int fd = pcidev_open(dir, "config", O_RDWR);
	int err = 0;
	uint16_t cmd;

	if (fd < 0)
		return fd;
	if (pread(fd, &cmd, sizeof(cmd), PCI_COMMAND) != sizeof(cmd))
		err = -EIO;
	cmd = (uint16_t)((cmd | on) & ~off);
	if (!err && pwrite(fd, &cmd, sizeof(cmd), PCI_COMMAND) != sizeof(cmd))
		err = -EIO;
	close(fd);
	return err;
}

/* Line @index of the "resource" file: "start end flags", in hexadecimal. */
static inline int pcidev_bar(const char *dir, int index, struct pcidev_bar *bar)
{
	unsigned long long start, end, flags;
	char path[PATH_MAX], line[128];
	int err = -ENODEV;
	FILE *f;

	snprintf(path, sizeof(path), "%s/resource", dir);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (index-- >= 0 && fgets(line, sizeof(line), f)) {
		if (index >= 0)
			continue;
		if (sscanf(line, "%llx %llx %llx", &start, &end, &flags) != 3 || end < start)
			break;
		*bar = (struct pcidev_bar){ start, end ? end - start + 1 : 0, flags };
		err = 0;
	}
	fclose(f);
	return err;
}

/* Maps @len bytes at the page-aligned @pos of BAR @index. MAP_FAILED with errno set on failure. */
static inline void *pcidev_map(const char *dir, int index, uint64_t pos, size_t len)
{
	char file[32];
	void *p;
	int fd;

	snprintf(file, sizeof(file), "resource%d", index);
	fd = pcidev_open(dir, file, O_RDWR);
	if (fd < 0) {
		errno = -fd;
		return MAP_FAILED;
	}
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)pos);
	close(fd);
	return p;
}

#endif
