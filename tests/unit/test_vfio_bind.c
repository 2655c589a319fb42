/* SPDX-License-Identifier: BSD-2-Clause */
/* Binds devices to vfio-pci and back, on a sysfs tree whose kernel is fake_write(): it changes the
 * driver links like the real one, and fails or hangs where a test asks for it. Also the real write,
 * in a child that may hang. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "tests/unit/fake_host.h"
#include "vfio/host/bind.h"
#include "vmm/core/hostfs.h"
#include "vmm/core/addr.h"

#define DEV  "sys/bus/pci/devices/"
#define NIC  "0000:01:00.0"
#define GPU  "0000:02:00.0"
#define HDA  "0000:02:00.1"
#define PORT "0000:02:00.2" /* a bridge in the group of the devices */
#define BARE "0000:03:00.0" /* without a driver */

static struct error err;
static struct bind_set bound;
static struct bind_record was;

/* The behaviour of the fake kernel. */
static const char *fail_at; /* a write to a path that contains this ... */
static int fail_rc;	    /* ... fails so, */
static pid_t fail_stuck;    /* or hangs */
static char writes[2000], modules[200];

static void driver_link(const char *bdf, const char *driver)
{
	put_nothing(DEV "%s/driver", bdf);
	if (driver[0])
		put_host("link " DEV "%s/driver ../../../bus/pci/drivers/%s\n", bdf, driver);
}

/* The driver that matches the device's ids. */
static const char *native(const char *bdf)
{
	if (strcmp(bdf, NIC) == 0)
		return "e1000e";
	return strcmp(bdf, GPU) == 0 ? "nouveau" : strcmp(bdf, HDA) == 0 ? "snd_hda_intel" : "";
}

static const char *driver_of(const char *bdf)
{
	static char driver[32];

	sysfs_link_name(root, bdf, "driver", driver, sizeof(driver));
	return driver;
}

static const char *override_of(const char *bdf)
{
	static char override[64];

	sysfs_attribute(root, bdf, "driver_override", override, sizeof(override));
	return override;
}

static void probe(const char *bdf)
{
	const char *override = override_of(bdf);

	if (!driver_of(bdf)[0])
		driver_link(bdf, strcmp(override, "(null)") != 0 ? override : native(bdf));
}

static int fake_write(const struct host *h, const char *path, const char *text, pid_t *stuck)
{
	char bdf[VFIO_BDF_SIZE], driver[32];
	size_t n = strlen(writes);
	int end = 0;

	snprintf(writes + n, sizeof(writes) - n, "%s=%s;", path, text);
	if (fail_at && strstr(path, fail_at)) {
		*stuck = fail_stuck;
		return fail_rc;
	}
	if (sscanf(path, "/sys/bus/pci/devices/%15[^/]/driver_overrid%n", bdf, &end) == 1 && end)
		put(text[0] == '\n' ? "(null)\n" : text, DEV "%s/driver_override", bdf);
	else if (sscanf(path, "/sys/bus/pci/drivers/%31[^/]/unbin%n", driver, &end) == 1 && end)
		driver_link(text, "");
	else if (sscanf(path, "/sys/bus/pci/drivers/%31[^/]/bin%n", driver, &end) == 1 && end)
		driver_link(text, driver);
	else if (strcmp(path, "/sys/bus/pci/drivers_probe") == 0)
		probe(text);
	(void)h;
	return 0;
}

static int fake_modprobe(const struct host *h, const char *module, struct error *e)
{
	size_t n = strlen(modules);

	(void)h;
	snprintf(modules + n, sizeof(modules) - n, "%s;", module);
	if (fail_at && strcmp(module, fail_at) == 0)
		return error_set(e, -ENOENT, "modprobe %s failed", module);
	if (strcmp(module, "pci:nic") == 0)
		put("", "sys/bus/pci/drivers/e1000e/bind");
	return 0;
}

static const struct host host = {
	.root = root, .timeout_ms = 3000, .write = fake_write, .modprobe = fake_modprobe
};

static int make_tree(void **state)
{
	make_root(state);
	put_host("dir /run\n"
		 "pci 01:00.0 class=020000 group=1 driver=e1000e driver_override=(null) "
		 "modalias=pci:nic\n"
		 "pci 02:00.0 class=030000 group=2 driver=nouveau driver_override=(null)\n"
		 "pci 02:00.1 class=040300 group=2 driver=snd_hda_intel driver_override=(null)\n"
		 "pci 02:00.2 class=060400 group=2 driver_override=(null)\n"
		 "pci 03:00.0 class=00ff00 group=3 driver_override=(null)\n"
		 "file /sys/bus/pci/drivers/e1000e/bind\n"
		 "file /sys/bus/pci/drivers/nouveau/bind\n"
		 "file /sys/bus/pci/drivers/snd_hda_intel/bind\n"
		 "file /proc/net/route Iface|lo 0|\n");
	fail_at = NULL;
	fail_stuck = 0;
	writes[0] = modules[0] = '\0';
	return 0;
}

static void is_native(const char *bdf)
{
	assert_string_equal(driver_of(bdf), native(bdf));
	assert_string_equal(override_of(bdf), "(null)");
}

static int count(void *n, const char *bdf)
{
	(void)bdf;
	++*(int *)n;
	return 0;
}

static int records(void)
{
	int n = 0;

	bind_record_each(root, count, &n);
	return n;
}

static void says(const char *text)
{
	if (!strstr(err.text, text))
		fail_msg("'%s' does not say '%s'", err.text, text);
}

static int bind_list(unsigned flags, const char *a, const char *b)
{
	char bdf[2][VFIO_BDF_SIZE];

	snprintf(bdf[0], sizeof(bdf[0]), "%s", a);
	snprintf(bdf[1], sizeof(bdf[1]), "%s", b ? b : "");
	err = (struct error){ 0 };
	return bind_devices(&host, bdf, b ? 2 : 1, flags, &bound, &err);
}

static int restore(const char *bdf)
{
	err = (struct error){ 0 };
	return bind_restore(&host, bdf, &was, &err);
}

static void test_there_and_back(void **state)
{
	(void)state;
	assert_int_equal(bind_list(0, NIC, BARE), 0);
	assert_int_equal(bound.n, 2);
	assert_string_equal(bound.dev[0].driver, "e1000e");
	assert_string_equal(driver_of(NIC), "vfio-pci");
	assert_string_equal(driver_of(BARE), "vfio-pci");
	assert_string_equal(modules, "vfio-pci;vfio_iommu_type1;");
	assert_int_equal(records(), 2);
	/* The second time nothing changes. */
	assert_int_equal(bind_list(0, NIC, BARE), 0);
	assert_int_equal(bound.n, 0);
	assert_int_equal(restore(NIC), 0);
	assert_string_equal(was.driver, "e1000e");
	is_native(NIC);
	assert_int_equal(restore(BARE), 0);
	is_native(BARE);
	assert_int_equal(records(), 0);
	assert_int_equal(restore(BARE), -ENOENT);
	says("no record");
}

/* The order of the steps: the device can be restored after each of them. */
static void test_order(void **state)
{
	(void)state;
	assert_int_equal(bind_list(0, NIC, NULL), 0);
	assert_string_equal(writes, "/sys/bus/pci/devices/" NIC "/driver_override=vfio-pci;"
				    "/sys/bus/pci/drivers/e1000e/unbind=" NIC ";"
				    "/sys/bus/pci/drivers_probe=" NIC ";");
	writes[0] = '\0';
	assert_int_equal(restore(NIC), 0);
	assert_string_equal(writes, "/sys/bus/pci/drivers/vfio-pci/unbind=" NIC ";"
				    "/sys/bus/pci/devices/" NIC "/driver_override=\n;"
				    "/sys/bus/pci/drivers/e1000e/bind=" NIC ";");
}

static void test_override_comes_back(void **state)
{
	(void)state;
	put("e1000e\n", DEV NIC "/driver_override");
	assert_int_equal(bind_list(0, NIC, NULL), 0);
	assert_int_equal(restore(NIC), 0);
	assert_string_equal(override_of(NIC), "e1000e");
}

/* It is killed after it wrote the override, and is called again: the first record is the right one.
 */
static void test_half_done(void **state)
{
	struct bind_record r = { .bdf = NIC, .driver = "e1000e", .override = "mine" };

	(void)state;
	put("", "run/minivmm/");
	assert_int_equal(bind_record_write(root, &r, &err), 0);
	put("vfio-pci\n", DEV NIC "/driver_override");
	driver_link(NIC, "");
	assert_int_equal(bind_list(0, NIC, NULL), 0);
	assert_int_equal(restore(NIC), 0);
	assert_string_equal(driver_of(NIC), "e1000e");
	assert_string_equal(override_of(NIC), "mine");
	/* An old record is not used. */
	put("(null)\n", DEV NIC "/driver_override");
	assert_int_equal(bind_record_write(root, &r, &err), 0);
	assert_int_equal(bind_list(0, NIC, NULL), 0);
	assert_int_equal(restore(NIC), 0);
	is_native(NIC);
}

static void test_group(void **state)
{
	(void)state;
	assert_int_equal(bind_list(BIND_GROUP, HDA, GPU), 0);
	assert_int_equal(bound.n, 2);
	assert_string_equal(driver_of(GPU), "vfio-pci");
	assert_string_equal(driver_of(HDA), "vfio-pci");
	assert_string_equal(driver_of(PORT), "");
	assert_int_equal(bind_list(0, PORT, NULL), -EINVAL);
	says("bridge");
}

static void refused(int ret, const char *why)
{
	assert_true(ret < 0);
	says(why);
	assert_int_equal(bound.n, 0);
	assert_string_equal(writes, "");
	assert_int_equal(records(), 0);
}

static void test_refused(void **state)
{
	(void)state;
	refused(bind_list(0, "0000:09:00.0", NIC), "no such PCI device");
	refused(bind_list(0, NIC, "0000:09:00.0"), "no such PCI device");
	put("2\n", DEV NIC "/sriov_numvfs");
	refused(bind_list(BIND_FORCE, NIC, NULL), "minivmm vf " NIC " 0");
	put("0\n", DEV NIC "/sriov_numvfs");
	put_host("class net/eth0 01:00.0/net\n"
		 "file /proc/net/route eth0 00000000 0100A8C0 0003 0 0 0 00000000\n");
	refused(bind_list(0, BARE, NIC), "default route");
	says("--force");
	assert_int_equal(bind_list(BIND_FORCE, NIC, NULL), 0);
	assert_string_equal(driver_of(NIC), "vfio-pci");
}

static void test_failures_are_undone(void **state)
{
	static const char *const at[] = {
		"vfio-pci",
		"vfio_iommu_type1",
		HDA "/driver_override",
		"snd_hda_intel/unbind",
	};
	unsigned i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		fail_at = at[i];
		fail_rc = -EACCES;
		assert_true(bind_list(0, NIC, HDA) < 0);
		is_native(NIC);
		is_native(HDA);
		assert_int_equal(bound.n, 0);
	}
	says("run as root");
	/* The record of HDA stayed because its override could not be restored; the next record
	 * replaced it. */
	fail_at = NULL;
	assert_int_equal(records(), 0);
}

/* vfio-pci does not take the second one. */
static void test_probe_fails(void **state)
{
	(void)state;
	fail_at = "drivers_probe";
	fail_rc = -EINVAL;
	assert_int_equal(bind_list(0, NIC, GPU), -EINVAL);
	says("drivers_probe: Invalid argument");
	is_native(NIC);
	is_native(GPU);
	assert_int_equal(records(), 0);
	fail_rc = 0; /* without a fault from now on */
	assert_int_equal(bind_list(0, GPU, NULL), -EIO);
	says("does not take the device");
	is_native(GPU);
}

static void test_hangs(void **state)
{
	(void)state;
	put_host("file " DEV GPU "/drm/card0/uevent DEVNAME=dri/card0\n"
		 "file /proc/700/comm Xorg\nlink /proc/700/fd/9 /dev/dri/card0\n"
		 "file /proc/4242/wchan drm_dev_unplug\n");
	fail_at = "nouveau/unbind";
	fail_rc = -ETIMEDOUT;
	fail_stuck = 4242;
	assert_int_equal(bind_list(0, NIC, GPU), -ETIMEDOUT);
	says("drivers/nouveau/unbind has not returned for 3 s");
	says("process 4242 waits in drm_dev_unplug");
	says("process 700 (Xorg) has /dev/dri/card0 open");
	says("minivmm restore " GPU);
	is_native(NIC);
	/* The kernel has removed the driver's link, and the driver finally releases the device. */
	driver_link(GPU, "");
	assert_string_equal(override_of(GPU), "(null)");
	assert_int_equal(records(), 1);
	fail_at = NULL;
	assert_int_equal(restore(GPU), 0);
	is_native(GPU);
}

static void test_restore_refused(void **state)
{
	(void)state;
	assert_int_equal(bind_list(0, NIC, NULL), 0);
	put_link("/dev/vfio/1", "proc/800/fd/12");
	put("minivmm\n", "proc/800/comm");
	writes[0] = '\0';
	assert_int_equal(restore(NIC), -EBUSY);
	says("process 800 (minivmm) has /dev/vfio/1 open");
	assert_string_equal(writes, "");
	assert_int_equal(records(), 1);
}

static void test_restore_oddities(void **state)
{
	(void)state;
	/* The driver's module was removed. */
	assert_int_equal(bind_list(0, NIC, NULL), 0);
	put_nothing("sys/bus/pci/drivers/e1000e");
	assert_int_equal(restore(NIC), 0);
	is_native(NIC);
	assert_non_null(strstr(modules, "pci:nic;"));
	/* Somebody has bound it to another driver. */
	assert_int_equal(bind_list(0, NIC, NULL), 0);
	driver_link(NIC, "uio_pci_generic");
	assert_int_equal(restore(NIC), 0);
	assert_string_equal(driver_of(NIC), "uio_pci_generic");
	/* The device was unplugged. */
	assert_int_equal(bind_list(0, GPU, NULL), 0);
	put_nothing(DEV GPU);
	assert_int_equal(restore(GPU), 1);
	assert_int_equal(records(), 0);
}

/* If the driver does not take the device back, the record stays. */
static void test_restore_fails(void **state)
{
	(void)state;
	assert_int_equal(bind_list(0, NIC, NULL), 0);
	fail_at = "e1000e/bind";
	fail_rc = -EIO;
	assert_int_equal(restore(NIC), -EIO);
	says("the driver e1000e does not take it back");
	assert_int_equal(records(), 1);
	fail_at = NULL;
	assert_int_equal(restore(NIC), 0);
	is_native(NIC);
}

static void test_records(void **state)
{
	static const char *const bad[] = {
		"",
		"driver=x\n",
		"driver=x\noverride=",
		"driver=x\noverride=y\nz",
		"override=\ndriver=\n",
		"driver=a/b\noverride=\n",
		"driver=..\noverride=\n",
		"driver=01234567890123456789012345678901\noverride=\n",
		"driver=\x7f\noverride=\n",
	};
	struct bind_record r;
	unsigned i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		if (bind_record_parse(&r, bad[i], strlen(bad[i])) != -EINVAL)
			fail_msg("'%s' is taken for a record", bad[i]);
	assert_int_equal(bind_record_parse(&r, "driver=x y\noverride=\n", 21), 0);
	assert_string_equal(r.driver, "x y");
	put("driver=../../x\noverride=\n", "run/minivmm/bind-" NIC);
	assert_int_equal(restore(NIC), -EINVAL);
	says("damaged");
	/* Files that are not our records are not counted. */
	put_host("file /run/minivmm/bind-nonsense\nfile /run/minivmm/bind-1:0.0\n"
		 "file /run/minivmm/other\nfile /run/minivmm/." GPU "\n");
	assert_int_equal(records(), 1);
}

/* ---- the real write ---- */

static void test_write(void **state)
{
	struct host h = { .root = root, .timeout_ms = 5000 };
	char text[32];
	pid_t stuck = 1;

	(void)state;
	put("old", "sys/file");
	assert_int_equal(host_write(&h, "/sys/file", "new", &stuck), 0);
	assert_int_equal(stuck, 0);
	hostfs_line(root, text, sizeof(text), "/sys/file");
	assert_string_equal(text, "new");
	assert_int_equal(host_write(&h, "/sys/none", "x", &stuck), -ENOENT);
	assert_int_equal(host_write(&h, "/sys", "x", &stuck), -EISDIR);
	h.root = "";
	assert_int_equal(host_write(&h, "/dev/full", "x", &stuck), -ENOSPC);
}

/* A pipe without a reader replaces a driver that hangs. */
static void test_write_hangs(void **state)
{
	struct host h = { .root = root, .timeout_ms = 50, .write = host_write };
	char path[200];
	pid_t stuck = 0;
	bool hung = false;

	(void)state;
	snprintf(path, sizeof(path), "%s/sys/hang", root);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(host_write(&h, "/sys/hang", "x", &stuck), -ETIMEDOUT);
	assert_true(stuck > 0);
	assert_int_equal(kill(stuck, SIGKILL), 0);
	assert_int_equal(waitpid(stuck, NULL, 0), stuck);
	assert_int_equal(host_put(&h, NIC, "/sys/hang", "x", &hung, &err), -ETIMEDOUT);
	assert_true(hung);
	says("has not returned");
	assert_int_equal(sscanf(strstr(err.text, "process "), "process %d", &stuck), 1);
	assert_int_equal(kill(stuck, SIGKILL), 0);
	assert_int_equal(waitpid(stuck, NULL, 0), stuck);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_tree, remove_root)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_there_and_back),
		TEST(test_order),
		TEST(test_override_comes_back),
		TEST(test_half_done),
		TEST(test_group),
		TEST(test_refused),
		TEST(test_failures_are_undone),
		TEST(test_probe_fails),
		TEST(test_hangs),
		TEST(test_restore_refused),
		TEST(test_restore_oddities),
		TEST(test_restore_fails),
		TEST(test_records),
		TEST(test_write),
		TEST(test_write_hangs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
