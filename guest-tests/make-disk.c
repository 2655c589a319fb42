/*
 * make-disk FILE NAME SIZE_MIB: writes a test disk with known sectors, see pattern.h.
 */
#include <errno.h>
#include <stdlib.h>

#include "pattern.h"

#define MIB (1024u * 1024u)

/* Writes one mebibyte at once: one system call for each sector would take a second for 100 MiB. */
static int write_mib(FILE *f, uint8_t *buf, const char *name, uint64_t mib)
{
	const uint64_t per_mib = MIB / PATTERN_SECTOR;

	for (uint64_t i = 0; i < per_mib; i++)
		pattern_fill(buf + i * PATTERN_SECTOR, name, mib * per_mib + i);
	return fwrite(buf, MIB, 1, f) == 1 ? 0 : -errno;
}

static int make_disk(const char *path, const char *name, uint64_t mib)
{
	static uint8_t buf[MIB];
	FILE *f = fopen(path, "wb");
	int err = 0;

	if (!f)
		return -errno;
	for (uint64_t i = 0; i < mib && !err; i++)
		err = write_mib(f, buf, name, i);
	/* That the disk is full may be reported only by fclose(). */
	if (fclose(f) && !err)
		err = -errno;
	return err;
}

int main(int argc, char **argv)
{
	unsigned long mib;
	char *end;
	int err;

	if (argc != 4) {
		fprintf(stderr, "usage: make-disk FILE NAME SIZE_MIB\n");
		return 2;
	}
	if (!pattern_name_ok(argv[2])) {
		fprintf(stderr, "make-disk: name '%s': use 1 to %d letters, digits, '_' or '-'\n",
			argv[2], PATTERN_NAME_MAX);
		return 2;
	}
	errno = 0;
	mib = strtoul(argv[3], &end, 10);
	if (errno || *end || mib < PATTERN_MIN_MIB || mib > 1024 * 1024) {
		fprintf(stderr, "make-disk: size '%s': give %d to 1048576 MiB\n", argv[3],
			PATTERN_MIN_MIB);
		return 2;
	}
	err = make_disk(argv[1], argv[2], mib);
	if (err) {
		fprintf(stderr, "make-disk: %s: %s\n", argv[1], strerror(-err));
		return 1;
	}
	return 0;
}
