/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands of QMP for devices become arguments of our classes. The slots are faked: they say what
 * they are asked for, and refuse an argument that the class refuses. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "devices/virtio/virtio_blk.h"
#include "vmm/control/qmp.h"
#include "vmm/core/addr.h"
#include "vmm/core/device.h"
#include "vmm/machine/hotplug.h"
#include "vmm/machine/monitor_devices.h"

int __wrap_hotplug_add(struct hotplug *, const struct hotplug_request *, struct error *);
int __wrap_hotplug_remove(struct hotplug *, const char *, enum hotplug_unplug, struct error *);
void __wrap_qmp_answer(struct qmp *, uint64_t, json_t *, const struct error *);

static char said[512];
static hotplug_done *done;
static void *done_arg;
static struct device dev = { .class = &virtio_blk_class, .id = "disk7" };
static struct monitor_devices m;
static char folder[40]; /* with the images i, j, k */

int __wrap_hotplug_add(struct hotplug *h, const struct hotplug_request *r, struct error *err)
{
	struct device_list l = { 0 };
	int ret;

	(void)h;
	if (r->id && strcmp(r->id, "taken") == 0)
		return error_set(err, -EEXIST, "Duplicate device ID 'taken'");
	ret = device_create(&l, r->class, r->arg, err);
	device_list_free(&l);
	if (ret < 0)
		return ret;
	snprintf(said, sizeof(said), "%s %s %s %s %u", r->class->option, r->arg ? r->arg : "-",
		 r->id ? r->id : "-", r->bus ? r->bus : "-", r->fn);
	done = r->done;
	done_arg = r->done_arg;
	return 0;
}

int __wrap_hotplug_remove(struct hotplug *h, const char *id, enum hotplug_unplug how,
			  struct error *err)
{
	(void)h;
	(void)err;
	snprintf(said, sizeof(said), "%s %s", how == UNPLUG_FORCE ? "force" : "ask", id);
	return 0;
}

void __wrap_qmp_answer(struct qmp *q, uint64_t ticket, json_t *result, const struct error *err)
{
	char *text = result ? json_dumps(result, JSON_COMPACT) : NULL;

	(void)q;
	snprintf(said, sizeof(said), "%u %s", (unsigned)ticket, text ? text : err->text);
	free(text);
	json_decref(result);
}

static int setup(void **state)
{
	const char *name;

	(void)state;
	m = (struct monitor_devices){ .hotplug = (void *)&m };
	if (!mkdtemp(strcpy(folder, "/tmp/monitor_devices.XXXXXX")) || chdir(folder) < 0)
		return -1;
	for (name = "ijk"; *name; name++)
		close(open((char[]){ *name, '\0' }, O_WRONLY | O_CREAT, 0600));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	monitor_devices_free(&m);
	unlink("i");
	unlink("j");
	unlink("k");
	return chdir("/") < 0 || rmdir(folder) < 0;
}

/* The code and the text of a command's error, or what was said. Single quotes are double ones. */
static int run(const char *command, const char *args)
{
	struct error err = { 0 };
	char text[512], *p;
	json_t *o, *result;

	snprintf(text, sizeof(text), "%s", args);
	for (p = text; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	o = json_loads(text, 0, NULL);
	assert_non_null(o);
	result = monitor_devices_change(&m, command, o, 5, &err);
	json_decref(o);
	assert_true(!result == !!err.code);
	json_decref(result);
	if (err.code && err.code != -EINPROGRESS)
		snprintf(said, sizeof(said), "%s", err.text);
	return err.code;
}

static void adds(const char *args, const char *text)
{
	said[0] = '\0';
	if (run("device_add", args) != -EINPROGRESS)
		fail_msg("%s: %s", args, said);
	assert_string_equal(said, text);
}

static void finish(bool ok)
{
	const struct error err = { -EIO, "it is broken" };

	done(done_arg, &dev, ok ? NULL : &err);
}

static void bad(const char *command, const char *args, const char *text)
{
	int ret = run(command, args);

	assert_true(ret < 0 && ret != -EINPROGRESS);
	if (!strstr(said, text))
		fail_msg("'%s' does not say '%s'", said, text);
}

/* What QEMU's documents and scripts have. */
static void test_device_add(void **state)
{
	static const struct {
		const char *args, *text;
	} row[] = {
		{ "{'driver': 'virtio-rng-pci', 'id': 'r', 'rng': 'rng0'}", "rng - r - 0" },
		{ "{'driver': 'virtio-blk-pci', 'file': '/a,b', 'id': 'd', 'num-queues': 2}",
		  "disk /a,,b,queues=2 d - 0" },
		{ "{'driver': 'virtio-blk', 'file': '/d', 'ro': true, 'serial': 's', 'bootindex': "
		  "1}",
		  "disk /d,ro=on,serial=s - - 0" },
		{ "{'driver': 'virtio-blk', 'file': '/d', 'ro': 'false', 'queues': '4'}",
		  "disk /d,ro=off,queues=4 - - 0" },
		{ "{'driver': 'virtio-net-pci', 'ifname': 't', 'mac': '52:54:00:00:00:01', 'mq': "
		  "true}",
		  "net tap,ifname=t,mac=52:54:00:00:00:01 - - 0" },
		{ "{'driver': 'virtio-net-pci', 'host_mtu': '9000', 'rx_queue_size': 256}",
		  "net tap,mtu=9000,ring=256 - - 0" },
		{ "{'driver': 'vfio-pci', 'host': '02:00.0', 'id': 'gpu', 'bus': 'hotplug1', "
		  "'addr': '0.1',"
		  " 'multifunction': 'on', 'rombar': 0, 'x-vga': 'on'}",
		  "vfio 02:00.0,rombar=off,x-vga=on gpu hotplug1 1" },
		{ "{'driver': 'vfio-pci', 'host': '0000:02:00.0', 'addr': '0x0'}",
		  "vfio 0000:02:00.0 - - 0" },
		{ "{'driver': 'vfio-pci', 'host': '02:00.0', 'addr': '00.7', 'bus': 'hotplug0'}",
		  "vfio 02:00.0 - hotplug0 7" },
	};
	unsigned i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(row); i++) {
		adds(row[i].args, row[i].text);
		finish(i & 1);
		if (i & 1)
			assert_string_equal(said, strstr(row[i].text, " - hot") ||
								  strstr(row[i].text, " - -")
							  ? "5 {\"id\":\"disk7\"}"
							  : "5 {}");
		else
			assert_string_equal(said, "5 it is broken");
	}
}

static void test_refused(void **state)
{
	(void)state;
	bad("device_add", "{}", "Parameter 'driver' is missing");
	bad("device_add", "{'driver': 'e1000e'}", "'e1000e' is not a valid device model name");
	bad("device_add", "{'driver': 'virtio'}", "'virtio' is not a valid device model name");
	bad("device_add", "{'driver': 'vfio-pci'}", "Parameter 'host' is missing");
	bad("device_add", "{'driver': 'virtio-blk-pci'}", "Parameter 'drive' is missing");
	bad("device_add", "{'driver': 'virtio-blk-pci', 'drive': 'x'}",
	    "Property 'drive' can't find value 'x'");
	bad("device_add", "{'driver': 'virtio-blk-pci', 'file': {}}",
	    "'file' expects a string, a number or a truth value");
	bad("device_add", "{'driver': 'virtio-rng-pci', 'speed': 1}", "Property 'speed' not found");
	bad("device_add", "{'driver': 'virtio-rng-pci', 'addr': '1'}", "device 0 only");
	bad("device_add", "{'driver': 'virtio-rng-pci', 'addr': '0.8'}", "use 0.0 to 0.7");
	bad("device_add", "{'driver': 'virtio-rng-pci', 'addr': '0.'}", "use 0.0 to 0.7");
	bad("device_add", "{'driver': 'virtio-rng-pci', 'bus': 'pcie.0'}",
	    "Bus 'pcie.0' does not support hotplugging");
	bad("device_add", "{'driver': 'virtio-rng-pci', 'id': 'taken'}", "Duplicate device ID");
	bad("device_del", "{}", "Parameter 'id' is missing");
	m.hotplug = NULL;
	bad("device_add", "{'driver': 'virtio-rng-pci'}", "start the machine with --hotplug N");
	bad("device_del", "{'id': 'x'}", "Device 'x' not found");
}

static void test_device_del(void **state)
{
	(void)state;
	assert_int_equal(run("device_del", "{'id': 'x'}"), 0);
	assert_string_equal(said, "ask x");
	assert_int_equal(run("device_del", "{'id': 'x', 'x-minivmm-force': true}"), 0);
	assert_string_equal(said, "force x");
	assert_int_equal(run("device_del", "{'id': 'x', 'x-minivmm-force': 'off'}"), 0);
	assert_string_equal(said, "ask x");
}

static void test_nodes(void **state)
{
	(void)state;
	assert_int_equal(run("blockdev-add",
			     "{'driver': 'file', 'node-name': 'f', 'filename': 'i', "
			     "'cache': {'direct': true}, 'aio': 'native'}"),
			 0);
	assert_int_equal(run("blockdev-add", "{'driver': 'raw', 'node-name': 'r', 'file': 'f', "
					     "'read-only': true}"),
			 0);
	assert_int_equal(run("blockdev-add",
			     "{'driver': 'raw', 'node-name': 'n', 'file': {'driver': "
			     "'file', 'filename': 'j'}}"),
			 0);
	adds("{'driver': 'virtio-blk-pci', 'drive': 'r', 'id': 'd'}",
	     "disk i,ro=on,cache=none,aio=libaio,format=raw d - 0");
	bad("device_add", "{'driver': 'virtio-blk-pci', 'drive': 'r'}", "in use by another device");
	bad("blockdev-del", "{'node-name': 'r'}", "Node r is in use");
	finish(true);
	assert_string_equal(monitor_devices_node(&m, &dev), "r");
	bad("blockdev-del", "{'node-name': 'r'}", "Node r is in use");
	monitor_devices_deleted(&m, &dev);
	assert_null(monitor_devices_node(&m, &dev));
	assert_int_equal(run("blockdev-del", "{'node-name': 'r'}"), 0);
	adds("{'driver': 'virtio-blk-pci', 'drive': 'n'}",
	     "disk j,cache=writeback,format=raw - - 0");
	finish(false);
	assert_int_equal(run("blockdev-del", "{'node-name': 'n'}"), 0);
	bad("blockdev-add", "{'driver': 'qcow2', 'node-name': 'q', 'file': 'f'}",
	    "qemu-img convert");
	bad("blockdev-add", "{'driver': 'file', 'node-name': 'f', 'filename': 'k'}",
	    "Duplicate nodes with node-name='f'");
	bad("blockdev-add", "{'driver': 'raw', 'node-name': 'x', 'file': 'y'}", "node-name='y'");
	bad("blockdev-add", "{'driver': 'file', 'node-name': 'x'}", "'filename' is missing");
	bad("blockdev-add", "{'driver': 'file', 'node-name': 'x', 'filename': 'x', 'size': 1}",
	    "Parameter 'size' is unexpected");
	bad("blockdev-del", "{'node-name': 'x'}", "Failed to find node");
}

static void test_missing_image(void **state)
{
	(void)state;
	bad("blockdev-add", "{'driver': 'file', 'node-name': 'n', 'filename': 'none'}",
	    "Could not open 'none': No such file or directory");
	bad("blockdev-add",
	    "{'driver': 'raw', 'node-name': 'n', 'file': {'driver': 'file', 'filename': 'i/j'}}",
	    "Could not open 'i/j': Not a directory");
	bad("blockdev-add", "{'driver': 'host_device', 'node-name': 'n', 'filename': '/dev/null'}",
	    "'/dev/null' is neither");
}

/* The words of a node, which is deleted again. */
static void node_says(const char *args, const char *text)
{
	char want[128];

	if (run("blockdev-add", args) != 0)
		fail_msg("%s: %s", args, said);
	snprintf(want, sizeof(want), "disk %s,format=raw - - 0", text);
	adds("{'driver': 'virtio-blk-pci', 'drive': 'n'}", want);
	finish(false);
	assert_int_equal(run("blockdev-del", "{'node-name': 'n'}"), 0);
}

#define FILE_I "'driver': 'file', 'filename': 'i'"
#define RAW_N  "{'driver': 'raw', 'node-name': 'n', "

/* Each key is written once, and the outer layer decides. */
static void test_layers(void **state)
{
	(void)state;
	node_says("{'node-name': 'n', " FILE_I "}", "i,cache=writeback");
	node_says("{'node-name': 'n', " FILE_I ", 'cache': {'direct': true}}", "i,cache=none");
	node_says("{'node-name': 'n', " FILE_I ", 'cache': {'direct': false}, 'aio': 'threads'}",
		  "i,cache=writeback,aio=auto");
	/* What libvirt sends. */
	node_says(RAW_N "'cache': {'direct': true, 'no-flush': false}, 'read-only': true, 'file': "
			"{" FILE_I ", 'cache': {'direct': true, 'no-flush': false}, 'aio': "
			"'io_uring', 'read-only': true, 'discard': 'unmap'}}",
		  "i,ro=on,cache=none,aio=io_uring");
	node_says(RAW_N "'cache': {'direct': false}, 'aio': 'native', 'file': {" FILE_I
			", 'cache': {'direct': true}, 'aio': 'io_uring'}}",
		  "i,cache=writeback,aio=libaio");
	node_says(RAW_N "'file': {" FILE_I ", 'cache': {'direct': true}}}", "i,cache=none");
	/* Nothing is written to a file that one of the layers only reads. */
	node_says(RAW_N "'read-only': true, 'file': {" FILE_I ", 'read-only': false}}",
		  "i,ro=on,cache=writeback");
	node_says(RAW_N "'read-only': false, 'file': {" FILE_I ", 'read-only': true}}",
		  "i,ro=on,cache=writeback");
	assert_int_equal(run("blockdev-add", "{'node-name': 'f', " FILE_I
					     ", 'cache': {'direct': true}, 'read-only': true}"),
			 0);
	node_says(RAW_N "'file': 'f'}", "i,ro=on,cache=none");
	node_says(RAW_N "'file': 'f', 'cache': {'direct': false}}", "i,ro=on,cache=writeback");
	node_says(RAW_N "'file': {'driver': 'raw', 'cache': {'direct': true}, 'file': {" FILE_I
			"}}}",
		  "i,cache=none");
	bad("blockdev-add", "{'node-name': 'n', " FILE_I ", 'aio': 'x'}",
	    "Parameter 'aio' does not accept value 'x'");
	bad("blockdev-add", RAW_N "'file': {" FILE_I ", 'size': 1}}", "'size' is unexpected");
}

/* An image of another format must not be used as a raw disk, in whatever layer it is. */
static void test_formats(void **state)
{
	(void)state;
	bad("blockdev-add", RAW_N "'file': {'driver': 'qcow2', 'filename': 'i'}}",
	    "driver 'qcow2' is not supported");
	bad("blockdev-add", RAW_N "'file': {'driver': 'qcow2', 'file': {" FILE_I "}}}",
	    "driver 'qcow2' is not supported");
	bad("blockdev-add",
	    RAW_N "'file': {'driver': 'raw', 'file': {'driver': 'nbd', 'filename': 'i'}}}",
	    "driver 'nbd' is not supported");
	bad("blockdev-add", "{'driver': 'qcow2', 'node-name': 'n', 'filename': 'i'}",
	    "qemu-img convert");
	bad("blockdev-add", RAW_N "'file': {'filename': 'i'}}", "Parameter 'driver' is missing");
	bad("blockdev-add", "{'node-name': 'n', 'filename': 'i'}", "'driver' is missing");
	node_says(RAW_N "'file': {'driver': 'host_device', 'filename': 'i'}}", "i,cache=writeback");
}

static void test_netdevs(void **state)
{
	char args[64];
	unsigned i;

	(void)state;
	assert_int_equal(run("netdev_add",
			     "{'type': 'tap', 'id': 'n', 'ifname': 'tap0', 'script': 'no', "
			     "'downscript': 'no', 'vhost': true, 'queues': '2'}"),
			 0);
	adds("{'driver': 'virtio-net-pci', 'netdev': 'n', 'mac': '52:54:00:00:00:01'}",
	     "net tap,ifname=tap0,vhost=on,queues=2,mac=52:54:00:00:00:01 - - 0");
	bad("netdev_del", "{'id': 'n'}", "in use");
	finish(false);
	assert_int_equal(run("netdev_del", "{'id': 'n'}"), 0);
	bad("netdev_del", "{'id': 'n'}", "Device 'n' not found");
	bad("netdev_add", "{'type': 'tap', 'id': 'n', 'script': 'x'}", "minivmm runs no scripts");
	bad("netdev_add", "{'type': 'tap', 'id': 'n', 'br': 'br0'}", "'br' is unexpected");
	for (i = 0; i < 64; i++) {
		snprintf(args, sizeof(args), "{'type': 'tap', 'id': 'n%u'}", i);
		assert_int_equal(run("netdev_add", args), 0);
	}
	bad("netdev_add", "{'type': 'tap', 'id': 'm'}", "at most 64 nodes");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { T(test_device_add),	   T(test_refused),
					    T(test_device_del),	   T(test_nodes),
					    T(test_missing_image), T(test_layers),
					    T(test_formats),	   T(test_netdevs) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
