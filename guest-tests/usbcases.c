/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * usbcases NODE LENGTH VARY CASE...: runs cases of the kernel's driver usbtest on the device with
 * this node (/dev/bus/usb/BBB/DDD), 20 times each, with buffers of at most LENGTH bytes. Prints a
 * line for each case: CASE N ok MS ms        CASE N none (the device has not what it needs) CASE N
 * FAIL why The exit status is 0 if no case has failed. The request is that of
 * drivers/usb/misc/usbtest.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/usbdevice_fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define ITERATIONS 20
#define PIECES	   8 /* buffers of a scatter-gather list, or URBs in a queue */

struct usbtest {
	uint32_t number, iterations, length, vary, pieces;
	int64_t seconds, microseconds;
};
_Static_assert(sizeof(struct usbtest) == 40, "the kernel's struct for 64-bit programs");
#define USBTEST_REQUEST _IOWR('U', 100, struct usbtest)

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* False: it has failed. */
static int run_case(int fd, struct usbtest t)
{
	struct usbdevfs_ioctl request = { .ifno = 0,
					  .ioctl_code = (int)USBTEST_REQUEST,
					  .data = &t };
	uint64_t begin = now_ms();

	if (ioctl(fd, USBDEVFS_IOCTL, &request) >= 0) { /* some cases return a length */
		printf("CASE %u ok %u ms\n", t.number, (unsigned)(now_ms() - begin));
		return 1;
	}
	if (errno == EOPNOTSUPP) {
		printf("CASE %u none\n", t.number);
		return 1;
	}
	printf("CASE %u FAIL %s\n", t.number, strerror(errno));
	return 0;
}

int main(int argc, char **argv)
{
	struct usbtest t = { .iterations = ITERATIONS, .pieces = PIECES };
	int fd, bad = 0;

	if (argc < 5) {
		fprintf(stderr, "usage: usbcases NODE LENGTH VARY CASE...\n");
		return 2;
	}
	fd = open(argv[1], O_RDWR);
	if (fd < 0) {
		printf("CASE %s FAIL %s: %s\n", argv[4], argv[1], strerror(errno));
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	t.length = (uint32_t)atoi(argv[2]);
	t.vary = (uint32_t)atoi(argv[3]);
	for (int i = 4; i < argc; i++) {
		t.number = (uint32_t)atoi(argv[i]);
		bad |= !run_case(fd, t);
	}
	return bad;
}
