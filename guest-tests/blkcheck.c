/*
 * blkcheck [-r] [-n PASSES] DEV [NAME]: checks that a block device is a test disk of make-disk.
 *
 * The first half has known sectors (pattern.h) and is only read. The second half is for writing. It
 * is written only after the known sectors have been verified, so that a mistake in a test cannot
 * damage another disk. All access uses O_DIRECT; otherwise the page cache would answer instead of
 * the device. Prints one line; the exit status is 0 if everything is correct.
 *
 * -r reads only; -n repeats the reading. Single-threaded.
 */
#define _GNU_SOURCE 1 /* O_DIRECT */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pattern.h"

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)
/* A multiple of all usual logical block sizes, so that all O_DIRECT requests are aligned. */
#define BLOCK (4 * KIB)
/* Larger than one page of PRP entries or one TRB can describe, so that drivers must build lists. */
#define LARGE (1 * MIB)

struct disk {
	int fd;
	uint64_t size;
	char name[PATTERN_NAME_MAX + 1];
	uint8_t *buf;	  /* LARGE bytes, aligned to BLOCK */
	uint8_t *want;	  /* LARGE bytes */
	uint64_t sectors; /* verified so far */
	uint64_t written; /* bytes written and read back */
};

__attribute__((format(printf, 1, 2))) static int fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	return -1;
}

static int disk_read(struct disk *d, uint64_t pos, uint64_t len)
{
	ssize_t n;

	/* If the transfer does not happen, the buffer must not have the right bytes from before. */
	memset(d->buf, 0xee, len);
	n = pread(d->fd, d->buf, len, (off_t)pos);
	if (n < 0)
		return fail("read of %llu bytes at %llu: %s", (unsigned long long)len,
			    (unsigned long long)pos, strerror(errno));
	if ((uint64_t)n != len)
		return fail("read of %llu bytes at %llu: got %zd", (unsigned long long)len,
			    (unsigned long long)pos, n);
	return 0;
}

/* Prints the bytes that differ, because they often show what the bug is. */
static int compare(struct disk *d, uint64_t pos, uint64_t len, const char *what)
{
	for (uint64_t i = 0; i < len; i++) {
		if (d->buf[i] == d->want[i])
			continue;
		return fail("%s: sector %llu byte %llu is 0x%02x, expected 0x%02x", what,
			    (unsigned long long)((pos + i) / PATTERN_SECTOR),
			    (unsigned long long)(i % PATTERN_SECTOR), d->buf[i], d->want[i]);
	}
	return 0;
}

static int verify(struct disk *d, uint64_t pos, uint64_t len)
{
	if (disk_read(d, pos, len))
		return -1;
	for (uint64_t i = 0; i < len; i += PATTERN_SECTOR)
		pattern_fill(d->want + i, d->name, (pos + i) / PATTERN_SECTOR);
	if (compare(d, pos, len, d->name))
		return -1;
	d->sectors += len / PATTERN_SECTOR;
	return 0;
}

/* Reads at block-aligned places in the first half: at both ends, above 4 MiB, in between. The sizes
 * differ. */
static int verify_all(struct disk *d)
{
	uint64_t half = d->size / 2 / BLOCK * BLOCK;
	uint64_t seed = 1;

	if (verify(d, 0, BLOCK) || verify(d, half - BLOCK, BLOCK) || verify(d, 4 * MIB, LARGE) ||
	    verify(d, half / 2 / BLOCK * BLOCK, 64 * KIB))
		return -1;
	for (int i = 0; i < 8; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		if (verify(d, (seed >> 20) % (half / BLOCK) * BLOCK, BLOCK))
			return -1;
	}
	return 0;
}

/* Writes new random bytes each time, so that bytes of an earlier run cannot be accepted. */
static int scratch(struct disk *d, uint64_t pos, uint64_t len)
{
	uint64_t x;
	ssize_t n;

	if (getrandom(&x, sizeof(x), GRND_NONBLOCK) != sizeof(x))
		x = (uint64_t)getpid() << 32 ^ pos;
	x |= 1;
	for (uint64_t i = 0; i < len; i += sizeof(x)) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(d->want + i, &x, sizeof(x));
	}
	memcpy(d->buf, d->want, len);
	n = pwrite(d->fd, d->buf, len, (off_t)pos);
	if (n < 0 || (uint64_t)n != len)
		return fail("write of %llu bytes at %llu: %s", (unsigned long long)len,
			    (unsigned long long)pos, n < 0 ? strerror(errno) : "cut short");
	if (fsync(d->fd))
		return fail("flush: %s", strerror(errno));
	if (disk_read(d, pos, len) || compare(d, pos, len, "scratch area"))
		return -1;
	d->written += len;
	return 0;
}

static int scratch_all(struct disk *d)
{
	uint64_t half = (d->size / 2 + BLOCK - 1) / BLOCK * BLOCK;
	uint64_t end = d->size / BLOCK * BLOCK;

	return scratch(d, half, BLOCK) || scratch(d, half + 64 * KIB, 64 * KIB) ||
			       scratch(d, half + 1 * MIB, LARGE) || scratch(d, end - BLOCK, BLOCK)
		       ? -1
		       : 0;
}

/* Reads the name in sector 0. It shows whether the disk is no test disk, damaged, or another
 * one. */
static int identify(struct disk *d, const char *want)
{
	char text[PATTERN_SECTOR + 1];
	char name[PATTERN_NAME_MAX + 1];

	if (disk_read(d, 0, BLOCK))
		return -1;
	memcpy(text, d->buf, PATTERN_SECTOR);
	text[PATTERN_SECTOR] = '\0';
	if (sscanf(text, "minivmm %32s sector 0", name) != 1 || !pattern_name_ok(name))
		return fail(
			"not a test disk: sector 0 does not begin with 'minivmm NAME sector 0'");
	if (want && strcmp(name, want))
		return fail("wrong disk: this is '%s', expected '%s'", name, want);
	strcpy(d->name, name);
	return 0;
}

/* Accepts regular files, too, so that the program can be tested without a device. */
static int disk_open(struct disk *d, const char *path, bool readonly)
{
	struct stat st;

	d->fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_DIRECT | O_CLOEXEC);
	if (d->fd < 0 || fstat(d->fd, &st))
		return fail("%s: %s", path, strerror(errno));
	d->size = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(d->fd, BLKGETSIZE64, &d->size))
		return fail("%s: size unknown: %s", path, strerror(errno));
	if (d->size < PATTERN_MIN_MIB * MIB)
		return fail("%s: %llu bytes is smaller than any test disk", path,
			    (unsigned long long)d->size);
	d->buf = aligned_alloc(BLOCK, LARGE);
	d->want = malloc(LARGE);
	return d->buf && d->want ? 0 : fail("out of memory");
}

static int check(struct disk *d, const char *path, const char *name, bool readonly, long passes)
{
	if (disk_open(d, path, readonly) || identify(d, name))
		return -1;
	for (long i = 0; i < passes; i++) {
		if (verify_all(d))
			return -1;
	}
	if (!readonly && scratch_all(d))
		return -1;
	printf("%s %llu MiB, %llu sectors as made", d->name, (unsigned long long)(d->size / MIB),
	       (unsigned long long)d->sectors);
	if (!readonly)
		printf(", %llu KiB written and read back", (unsigned long long)(d->written / KIB));
	putchar('\n');
	return 0;
}

int main(int argc, char **argv)
{
	struct disk d = { .fd = -1 };
	bool readonly = false;
	long passes = 1;
	int opt;

	while ((opt = getopt(argc, argv, "rn:")) != -1) {
		if (opt == 'r')
			readonly = true;
		else if (opt == 'n')
			passes = strtol(optarg, NULL, 10);
		else
			return 2;
	}
	if (optind >= argc || argc - optind > 2 || passes < 1) {
		fprintf(stderr, "usage: blkcheck [-r] [-n PASSES] DEV [NAME]\n");
		return 2;
	}
	return check(&d, argv[optind], argv[optind + 1], readonly, passes) ? 1 : 0;
}
