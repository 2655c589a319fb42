/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * minivmm bench passthrough --vfio BDF [--json]: what passthrough of this device costs on this
 * machine. The same drivers (vmm/bench) run twice: in this process, and in a guest of a few
 * kilobytes that is given the device as `run` gives it. What differs is the cost.
 *
 * A signal ends either run: the first by ending the process, after which the kernel takes the
 * device back and resets it; the second as it ends every guest.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "vfio/host/sysfs.h"
#include "vmm/core/cleanup.h"
#include "vmm/cli/command.h"
#include "vmm/bench/bench.h"
#include "vmm/machine/options.h"
#include "vmm/core/log.h"
#include "vmm/core/stats.h"
#include "vmm/machine/machine.h"

struct options {
	const char *vfio;
	char bdf[VFIO_BDF_SIZE];
	bool json;
};

static int parse(struct options *o, int argc, char **argv, struct error *err)
{
	int i;

	*o = (struct options){ 0 };
	if (argc < 2 || strcmp(argv[1], "passthrough") != 0)
		return error_set(err, -EINVAL, "bench: usage: " USAGE_BENCH);
	for (i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			o->json = true;
		else if (strncmp(argv[i], "--vfio=", 7) == 0)
			o->vfio = argv[i] + 7;
		else if (strcmp(argv[i], "--vfio") == 0 && i + 1 < argc)
			o->vfio = argv[++i];
		else
			return error_set(err, -EINVAL, "bench: %s: usage: " USAGE_BENCH, argv[i]);
	}
	if (!o->vfio)
		return error_set(err, -EINVAL, "bench: no device is given: usage: " USAGE_BENCH);
	return sysfs_parse_bdf(o->vfio, o->bdf) == 0
		       ? 0
		       : error_set(err, -EINVAL,
				   "--vfio %s: use a PCI address like 01:00.0 or 0000:01:00.0, as "
				   "lspci shows it",
				   o->vfio);
}

/* ---- the guest ---- */

static int guest_file(struct error *err)
{
	size_t len = (size_t)(bench_guest_end - bench_guest);
	int fd = memfd_create("bench-guest", MFD_CLOEXEC);

	if (fd < 0)
		return error_set(err, -errno, "memfd_create: %s", strerror(errno));
	if (write(fd, bench_guest, len) == (ssize_t)len)
		return fd;
	close(fd);
	return error_set(err, -EIO, "the measuring guest cannot be written to memory");
}

static int run_guest(int fd, const char *bdf, struct bench_results *r, struct error *err)
{
	char kernel[32];
	char *argv[] = { "run",	   "--kernel",	kernel,	    "--memory", "64M",
			 "--vfio", (char *)bdf, "--serial", "null",	"--no-reboot" };
	struct config cfg;
	int status = 1;

	snprintf(kernel, sizeof(kernel), "/proc/self/fd/%d", fd);
	if (config_parse(&cfg, ARRAY_SIZE(argv), argv, err) == 0) {
		cfg.extra = bench_port_realize;
		cfg.extra_arg = r;
		status = machine_run(&cfg, NULL, NULL, err);
	}
	config_free(&cfg);
	if (err->code)
		return err->code;
	if (r->failed[0])
		return error_set(err, -EIO, "%s, driven by the guest: %s", bdf, r->failed);
	return r->done ? 0
		       : error_set(err, -EINTR, "%s: the guest was stopped (status %d)", bdf,
				   status);
}

static int bench_guest_run(const char *bdf, struct bench_results *r, struct error *err)
{
	scoped_fd fd = guest_file(err);

	return fd < 0 ? err->code : run_guest(fd, bdf, r, err);
}

/* ---- both ---- */

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The TSC's rate is what it was over all of it. */
static int measure(struct bench_about *a, struct bench_results *host, struct bench_results *guest,
		   struct error *err)
{
	double begin = seconds();
	uint64_t ticks = stats_ticks();
	int ret = bench_host(a->bdf, host, err);

	if (ret == 0)
		ret = bench_guest_run(a->bdf, guest, err);
	a->hz = (double)(stats_ticks() - ticks) / (seconds() - begin);
	return ret;
}

static void print(const struct options *o, const struct bench_about *a, struct bench_results *host,
		  struct bench_results *guest)
{
	json_t *j;

	if (!o->json) {
		bench_print(stdout, a, host, guest);
		return;
	}
	j = bench_json(a, host, guest);
	json_dumpf(j, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
	json_decref(j);
	putchar('\n');
}

static int look(const struct options *o, struct bench_about *a, struct error *err)
{
	struct sysfs_pci dev;

	memcpy(a->bdf, o->bdf, sizeof(a->bdf));
	if (sysfs_check("", a->bdf, &dev, err) < 0)
		return error_prefix(err, "--vfio");
	a->id = dev.vendor | (uint32_t)dev.device << 16;
	a->class_code = dev.class_code;
	a->driver = bench_driver_name(a->id, a->class_code << 8);
	bench_look_around("", a);
	if (!a->driver)
		log_warn("%s: minivmm has no driver for this device: only its configuration space "
			 "is read",
			 a->bdf);
	return 0;
}

int command_bench(int argc, char **argv)
{
	struct bench_results host = { 0 }, guest = { 0 };
	struct bench_about about = { 0 };
	struct error err = { 0 };
	struct options o;
	int ret;

	if (parse(&o, argc, argv, &err) < 0) {
		log_error("%s", err.text);
		return COMMAND_USAGE;
	}
	ret = look(&o, &about, &err);
	if (ret == 0)
		ret = measure(&about, &host, &guest, &err);
	if (ret < 0)
		log_error("%s", err.text);
	else
		print(&o, &about, &host, &guest);
	bench_results_free(&host);
	bench_results_free(&guest);
	return ret < 0;
}
