/* SPDX-License-Identifier: BSD-2-Clause */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "devices/chipset/serial.h"
#include "devices/usb/input_options.h"
#include "devices/usb/usb_options.h"
#include "devices/virtio/virtio_blk.h"
#include "devices/virtio/virtio_console.h"
#include "devices/virtio/virtio_net.h"
#include "tests/unit/files_fixture.h"
#include "vfio/options.h"
#include "vmm/core/addr.h"
#include "vmm/machine/classes.h"
#include "vmm/machine/options.h"
#include "vmm/placement/ram.h"

#define MAX_WORDS 40

static struct config c;
static struct error err;

/* Parses a line of words separated by blanks. */
static int parse(const char *line)
{
	static char buf[512];
	char *argv[MAX_WORDS] = { "minivmm" };

	config_free(&c);
	err = (struct error){ 0 };
	snprintf(buf, sizeof(buf), "%s", line);
	return config_parse(&c, fake_words(buf, argv, MAX_WORDS), argv, &err);
}

#define good(line)                                \
	do {                                      \
		if (parse(line) != 0)             \
			fail_msg("%s", err.text); \
	} while (0)

/* The field of the i-th device of a class that this key is read into. */
static const struct device *nth(const struct device_class *class, unsigned i)
{
	const struct device *d = NULL;

	while ((d = device_next(&c.devices, class, d)) && d->index != i)
		;
	assert_non_null(d);
	return d;
}

static const void *field(const struct device_class *class, unsigned i, const char *key)
{
	const struct key *k = class->keys;

	while (strcmp(k->name, key) != 0)
		assert_non_null((++k)->name);
	return (const char *)nth(class, i)->opts + k->offset;
}

#define text(class, i, key)   (*(const char *const *)field(class, i, key))
#define number(class, i, key) (*(const uint64_t *)field(class, i, key))
#define choice(class, i, key) (*(const unsigned *)field(class, i, key))
#define flag(class, i, key)   (*(const bool *)field(class, i, key))

static void bad(const char *line, const char *names)
{
	assert_true(parse(line) < 0);
	if (!strstr(err.text, names))
		fail_msg("'%s' says '%s', not '%s'", line, err.text, names);
}

static void test_defaults(void **state)
{
	(void)state;
	good("");
	assert_int_equal(c.action, CONFIG_RUN);
	assert_int_equal(c.cpus.n, 1);
	assert_int_equal(c.memory, GiB);
	assert_string_equal(device_arg(nth(&serial_class, 0)), "stdio");
	good("--daemonize");
	assert_string_equal(device_arg(nth(&serial_class, 0)), "null");
	good("--help --nonsense");
	assert_int_equal(c.action, CONFIG_HELP);
	good("--version");
	assert_int_equal(c.action, CONFIG_VERSION);
}

static void test_memory_keys(void **state)
{
	(void)state;
	good("--memory 4G");
	assert_int_equal(c.ram.pages, RAM_PLAIN);
	assert_int_equal(c.ram.nodes, 0);
	assert_int_equal(c.ram.prefault, CONFIG_AUTO);
	good("--memory 4G,hugepages=1g,nodes=1,prefault=off,lock=on");
	assert_int_equal(c.ram.pages, RAM_1G);
	assert_int_equal(c.ram.nodes, 2);
	assert_int_equal(c.ram.prefault, CONFIG_OFF);
	assert_true(c.ram.lock);
	assert_int_equal(c.topo.sockets, 1);
	good("--memory 4G,nodes=0,2-3,hugepages=2M");
	assert_int_equal(c.ram.nodes, 13);
	assert_int_equal(c.ram.pages, RAM_2M);
	/* A comma is written twice, as everywhere. */
	good("--memory 4G,nodes=0,,1");
	assert_int_equal(c.ram.nodes, 3);
	good("--memory 1G,nodes=auto,hugepages=auto");
	assert_true(c.ram.nodes_auto && c.ram.pages == RAM_AUTO && !c.ram.nodes);
	good("--memory 1G,hugepages=off");
	assert_int_equal(c.ram.pages, RAM_4K);
	good("--memory 1G,hugepages=/dev/huge,,pages");
	assert_string_equal(c.ram.path, "/dev/huge,pages");
	/* One socket for each node, if nothing else was said. */
	good("--cpus 4 --memory 1G,nodes=0,1");
	assert_int_equal(c.topo.sockets, 2);
	good("--memory 1G,nodes=0,1 --cpus 4,cores=4");
	assert_int_equal(c.topo.sockets, 1);
	good("--memory 1G,nodes=0,1 --cpus 3");
	assert_int_equal(c.topo.sockets, 1);
	bad("--memory 1G,hugepages=4M", "hugepages=");
	bad("--memory 1G,hugepages=1M", "hugepages=");
	bad("--memory 1G,hugepages", "hugepages");
	bad("--memory 1536M,hugepages=1G", "multiple of 1G");
	bad("--memory 1G,nodes=64", "nodes=");
	bad("--memory 1G,nodes=a", "nodes=");
	bad("--memory 1G,nodes=0,x", "'x'");
	bad("--memory 1G,nodes=0,1x", "nodes=");
	bad("--memory 1G,2", "'2'");
	bad("--memory 1G,prefault=maybe", "prefault");
	bad("--memory 1G,lock=maybe", "lock");
	bad("--memory hugepages=2M", "--memory");
}

static void test_memory(void **state)
{
	(void)state;
	good("--memory 512M");
	assert_int_equal(c.memory, 512 * MiB);
	good("--memory=4G");
	assert_int_equal(c.memory, 4 * GiB);
	good("--memory 256");
	assert_int_equal(c.memory, 256 * MiB);
	good("--memory 2GB");
	assert_int_equal(c.memory, 2 * GiB);
	bad("--memory 1M", "--memory");
	bad("--memory 99999T", "--memory");
	bad("--memory 18446744073709551615G", "--memory");
	bad("--memory -1G", "--memory");
	bad("--memory 1Gx", "--memory");
	bad("--memory 20480K --memory 1G", "twice");
	bad("--memory", "needs a value");
}

static void test_stats(void **state)
{
	(void)state;
	good("--memory 1G");
	assert_false(c.stats);
	good("--stats --memory 2G");
	assert_true(c.stats);
	assert_null(c.stats_file);
	assert_int_equal(c.memory, 2 * GiB);
	good("--stats=out.json");
	assert_true(c.stats);
	assert_string_equal(c.stats_file, "out.json");
	bad("--stats=", "--stats");
	bad("--stats=a --stats=b", "twice");
	bad("--stats out.json", "out.json");
}

static void test_cpus(void **state)
{
	(void)state;
	good("--cpus 8,threads=2");
	assert_int_equal(c.topo.cores, 4);
	assert_int_equal(c.topo.sockets, 1);
	good("--cpus 8,cores=2,threads=2");
	assert_int_equal(c.topo.sockets, 2);
	good("--cpus 6,sockets=2");
	assert_int_equal(c.topo.cores, 3);
	assert_int_equal(cpu_apic_id(&c.topo, 3), 4);
	good("--cpus 64");
	good("--cpus 255");
	bad("--cpus 0", "--cpus");
	bad("--cpus 256", "--cpus");
	bad("--cpus 8,sockets=3", "--cpus");
	bad("--cpus 4,dies=2", "dies");
	bad("--cpus 4,sockets", "sockets");
	bad("--cpus 255,cores=3,threads=5", "APIC");
}

static void test_pin(void **state)
{
	(void)state;
	good("--cpus 4");
	assert_int_equal(c.pin_kind, PIN_NONE);
	good("--cpus 8,pin=auto,threads=2");
	assert_int_equal(c.pin_kind, PIN_AUTO);
	assert_int_equal(c.topo.threads, 2);
	/* A list contains commas; after it, a key follows again. */
	good("--cpus 5,pin=2-4,10,7,sockets=5");
	assert_int_equal(c.pin_kind, PIN_LIST);
	assert_int_equal(c.pin[0], 2);
	assert_int_equal(c.pin[3], 10);
	assert_int_equal(c.pin[4], 7);
	assert_int_equal(c.topo.sockets, 5);
	good("--cpus 255,pin=256-510");
	assert_int_equal(c.pin[254], 510);
	bad("--cpus 4,pin=0-2", "3 CPUs, but 4");
	bad("--cpus 2,pin=0-8191", "8192 CPUs, but 2");
	bad("--cpus 3,pin=1,2,1", "CPU 1 is listed twice");
	bad("--cpus 2,pin=a-b", "a-b");
	bad("--cpus 2,pin=3-2", "3-2");
	bad("--cpus 2,pin=auto,3", "auto,3");
	bad("--cpus 2,pin", "pin");
	bad("--cpus 2,pin=", "pin");
	bad("--cpus 2,sockets=1,3", "unknown '3'");
}

static void test_scheduling(void **state)
{
	(void)state;
	good("--rt 50 --idle poll");
	assert_int_equal(c.rt, 50);
	assert_int_equal(c.idle, 1);
	good("--idle halt");
	assert_int_equal(c.idle, 0);
	assert_int_equal(c.rtc_localtime, 0);
	good("--rtc localtime");
	assert_int_equal(c.rtc_localtime, 1);
	good("--rtc utc");
	assert_int_equal(c.rtc_localtime, 0);
	assert_int_equal(c.rt, 0);
	bad("--rt 0", "--rt: it takes a number from 1 to 99");
	bad("--rt 100", "--rt");
	bad("--rt high", "--rt");
	bad("--idle mwait", "--idle: it takes halt or poll");
	assert_int_equal(c.msr_gp, 0);
	good("--msr-unknown gp");
	assert_int_equal(c.msr_gp, 1);
	bad("--msr-unknown zero", "--msr-unknown: it takes ignore or gp");
	assert_false(c.core_dump);
	good("--core-dump on");
	assert_true(c.core_dump);
	bad("--core-dump all", "--core-dump: it takes on or off");
	bad("--rtc now", "--rtc: it takes utc or localtime");
}

static void test_disk(void **state)
{
	char line[512];
	unsigned i;
	int n = 0;

	(void)state;
	good("--disk a,,b.img,ro,cache=writeback,aio=libaio,queues=4,serial=x --disk /dev/sdb");
	assert_int_equal(device_count(&c.devices, &virtio_blk_class), 2);
	assert_string_equal(text(&virtio_blk_class, 0, "PATH"), "a,b.img");
	assert_string_equal(text(&virtio_blk_class, 0, "serial"), "x");
	assert_true(flag(&virtio_blk_class, 0, "ro"));
	assert_int_equal(choice(&virtio_blk_class, 0, "cache"), 1);
	assert_int_equal(choice(&virtio_blk_class, 0, "aio"), 2);
	assert_int_equal(number(&virtio_blk_class, 0, "queues"), 4);
	assert_false(flag(&virtio_blk_class, 1, "ro"));
	good("--disk ro=off");
	assert_string_equal(text(&virtio_blk_class, 0, "PATH"), "ro=off");
	assert_int_equal(choice(&virtio_blk_class, 0, "logical_block_size"), 0);
	good("--disk x,logical_block_size=4096 --disk y,logical_block_size=512");
	assert_int_equal(choice(&virtio_blk_class, 0, "logical_block_size"), 2);
	assert_int_equal(choice(&virtio_blk_class, 1, "logical_block_size"), 1);
	bad("--disk x,logical_block_size=1024", "logical_block_size");
	good("--disk x,poll=auto --disk y,poll=off --disk z,poll=10000");
	bad("--disk x,poll=0", "poll=0: must be auto, off, or 1 to 10000 microseconds");
	bad("--disk x,poll=10001", "poll=10001");
	bad("--disk x,poll=5us", "poll=5us");
	bad("--disk x,poll=on", "poll=on");
	bad("--disk x,cache=maybe", "cache");
	bad("--disk x,queues=0", "queues");
	bad("--disk x,queues=1K", "queues");
	good("--disk x,queues=32");
	bad("--disk x,queues=33", "queues");
	bad("--disk x,color=red", "color");
	bad("--disk x,PATH=y", "PATH");
	bad("--disk x,serial=123456789012345678901", "serial");
	bad("--disk x,ro=perhaps", "ro");
	bad("--disk ,ro", "--disk");
	bad("--disk x,", "--disk");
	for (i = 0; i < 17; i++)
		n += sprintf(line + n, " --disk %u", i);
	bad(line, "--disk: at most 16");
}

static void test_hotplug(void **state)
{
	(void)state;
	good("--memory 1G");
	assert_int_equal(c.hotplug.n, 0);
	good("--hotplug 2");
	assert_int_equal(c.hotplug.n, 2);
	assert_int_equal(c.hotplug.window, 0);
	good("--hotplug 2,window=auto");
	assert_int_equal(c.hotplug.window, 0);
	good("--hotplug 29,window=32G");
	assert_int_equal(c.hotplug.window, 32 * GiB);
	bad("--hotplug 0", "--hotplug: N takes a number from 1 to 29");
	bad("--hotplug 30", "--hotplug: N takes a number from 1 to 29");
	bad("--hotplug 1,window=3G", "window=3G: use auto, or a power of two from 1M to 1024G");
	bad("--hotplug 1,window=2T", "window=2T: use auto, or a power");
	bad("--hotplug 1,window=0", "window=0: use auto");
	bad("--hotplug 1 --hotplug 1", "--hotplug is given twice");
}

static void test_net(void **state)
{
	const uint8_t mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 }, none[6] = { 0 };

	(void)state;
	good("--net tap,ifname=tap0,mac=52:54:00:12:34:56");
	assert_memory_equal(field(&virtio_net_class, 0, "mac"), mac, 6);
	assert_int_equal(choice(&virtio_net_class, 0, "vhost"), 0);
	good("--net tap");
	assert_memory_equal(field(&virtio_net_class, 0, "mac"), none, 6);
	good("--net tap,vhost=off");
	assert_int_equal(choice(&virtio_net_class, 0, "vhost"), 1);
	good("--net tap,queues=16,ring=1024,mtu=9000");
	good("--vhost-user-blk /run/a.sock,queues=2 --vhost-user-blk /run/b.sock");
	bad("--vhost-user-blk /run/a.sock --vhost-user-blk /run/a.sock", "given twice");
	bad("--vhost-user-blk /run/a.sock,queues=17", "queues");
	good("--vhost-user-net /run/a.sock,queues=16,mac=52:54:00:12:34:56");
	bad("--vhost-user-net /run/a.sock --vhost-user-net /run/a.sock", "given twice");
	bad("--net tap,queues=0", "queues");
	bad("--net tap,queues=17", "queues");
	bad("--net tap,ring=32", "ring");
	bad("--net tap,ring=2048", "ring");
	bad("--net tap,ring=300", "--net: ring=300: use a power of two from 64 to 1024");
	bad("--net tap,mtu=67", "mtu");
	bad("--net tap,mtu=65522", "mtu");
	bad("--net bridge", "--net: 'bridge' is not supported: use tap");
	bad("--rng --rng", "--rng: at most 1");
	bad("--rng=on", "--rng takes no value");
	bad("--net", "--net needs a value: tap");
	bad("--net tap,mac=01:00:00:00:00:00", "mac");
	bad("--net tap,mac=52:54:00", "mac");
	bad("--net tap,ifname=an-interface-name-too-long", "ifname");
}

static void test_vfio(void **state)
{
	(void)state;
	good("--vfio 01:00.0 --vfio 0000:01:00.1,romfile=a,,b.rom,x-vga=on,mmap=off,slot=5,"
	     "p2p=off");
	assert_int_equal(vfio_count(&c.devices), 2);
	assert_string_equal(vfio_options(&c.devices, 0)->bdf, "0000:01:00.0");
	assert_true(vfio_options(&c.devices, 0)->dev.rombar);
	assert_true(vfio_options(&c.devices, 0)->dev.mmap);
	assert_false(vfio_options(&c.devices, 0)->dev.x_vga);
	assert_int_equal(vfio_options(&c.devices, 0)->slot, 0);
	assert_string_equal(vfio_options(&c.devices, 1)->bdf, "0000:01:00.1");
	assert_string_equal(vfio_options(&c.devices, 1)->dev.romfile, "a,b.rom");
	assert_true(vfio_options(&c.devices, 1)->dev.x_vga);
	assert_false(vfio_options(&c.devices, 1)->dev.mmap);
	assert_int_equal(vfio_options(&c.devices, 1)->slot, 5);
	assert_int_equal(vfio_options(&c.devices, 0)->p2p, VFIO_P2P_AUTO);
	assert_int_equal(vfio_options(&c.devices, 1)->p2p, VFIO_P2P_OFF);
	assert_int_equal(vfio_options(&c.devices, 1)->dev.clique, VFIO_NO_CLIQUE);
	good("--vfio 01:00.0,p2p-clique=0 --vfio 02:00.0,p2p-clique=15");
	assert_int_equal(vfio_options(&c.devices, 0)->dev.clique, 0);
	assert_int_equal(vfio_options(&c.devices, 1)->dev.clique, 15);
	bad("--vfio 01:00.0,p2p-clique=16", "p2p-clique");
	good("--vfio 10000:E1:00.0,rombar=off");
	assert_string_equal(vfio_options(&c.devices, 0)->bdf, "10000:e1:00.0");
	assert_false(vfio_options(&c.devices, 0)->dev.rombar);
	bad("--vfio 01:00.0 --vfio 0000:01:00.0", "twice");
	bad("--vfio nonsense", "nonsense");
	bad("--vfio 01:00.8", "01:00.8");
	bad("--vfio 01:20.0", "01:20.0");
	bad("--vfio 01:00.0,slot=31", "slot");
	bad("--vfio 01:00.0,slot=0", "slot");
	bad("--vfio 01:00.0,mmap=perhaps", "mmap");
	bad("--vfio 01:00.0,p2p=both", "p2p");
	bad("--vfio 01:00.0,romfile=", "romfile");
	bad("--vfio 01:00.0,romfile=r,rombar=off", "contradict");
	bad("--vfio 01:00.0,bus=3", "bus");
	bad("--vfio ,slot=3", "BDF");
	good("--vfio 01:00.0");
	assert_false(c.bind);
	good("--bind --vfio 01:00.0");
	assert_true(c.bind);
	bad("--bind", "--bind needs --vfio");
	bad("--bind=on --vfio 01:00.0", "takes no value");
}

static void test_cpu(void **state)
{
	(void)state;
	good("--cpu kvm=off,hv_time,hv_relaxed,hv_vapic,hv_spinlocks=0x1fff,hv_vendor_id=whatever");
	assert_true(c.model.hide_kvm);
	assert_true(c.model.hv_time);
	assert_int_equal(c.model.hv_spinlocks, 0x1fff);
	assert_string_equal(c.model.hv_vendor_id, "whatever");
	good("--cpu phys_bits=42");
	assert_int_equal(c.model.max_phys_bits, 42);
	bad("--cpu hv_vendor_id=thirteenchars", "hv_vendor_id");
	bad("--cpu phys_bits=64", "phys_bits");
	bad("--cpu kvm=maybe", "on or off");
	bad("--cpu turbo", "turbo");
}

static void test_cpu_features(void **state)
{
	(void)state;
	good("--cpu host");
	good("--cpu host,-avx2,+sse4.1,kvm=off,-sse4a,+sse4a --cpu -smap");
	assert_true(c.model.hide_kvm);
	assert_int_equal(c.model.feature[cpu_feature_find("avx2")], -1);
	assert_int_equal(c.model.feature[cpu_feature_find("sse4_1")], 1);
	assert_int_equal(c.model.feature[cpu_feature_find("sse4a")], 1);
	assert_int_equal(c.model.feature[cpu_feature_find("smap")], -1);
	assert_int_equal(c.model.feature[cpu_feature_find("avx")], 0);
	bad("--cpu +avx22", "there is avx, avx2");
	bad("--cpu -xyzzyxyzzy", "no such feature");
	bad("--cpu +", "no such feature");
	bad("--cpu kvm=off,host", "host");
	bad("--cpu EPYC", "EPYC");
	bad("--cpu host,", "--cpu");
}

static void test_contradictions(void **state)
{
	(void)state;
	bad("--initrd x", "--initrd");
	bad("--append x", "--append");
	bad("--kernel k --nvram n", "--nvram");
	good("--kernel k --firmware f --nvram n");
	bad("--daemonize --serial stdio", "--daemonize");
	bad("--serial stdio --serial stdio", "stdio");
	bad("--serial tcp:1", "--serial");
	bad("--console none", "--console");
	bad("--console null --console null", "--console");
	bad("--console stdio --serial stdio", "stdio");
	bad("--console stdio --daemonize", "--daemonize");
	bad("--serial file:", "--serial");
	bad("--serial file:x,max=1K", "max=SIZE");
	bad("--console file:x,max=lots", "max=SIZE");
	good("--serial file:x,max=64K --console file:y,max=1G");
	bad("--frobnicate", "--frobnicate");
	bad("disk.img", "disk.img");
	bad("--daemonize=yes", "--daemonize");
	bad("--kernel a --kernel b", "--kernel");
	bad("--name=", "--name");
	good("--kernel k --append=");
	good("--serial none --serial unix:/tmp/x");
	good("--console stdio");
	assert_string_equal(device_arg(nth(&virtio_console_class, 0)), "stdio");
	assert_string_equal(device_arg(nth(&serial_class, 0)), "null");
}

/* The controller has ports for all, and for nobody when nobody asks. */
static void test_input(void **state)
{
	(void)state;
	good("");
	assert_int_equal(usb_options_ports(&c.devices), 0);
	good("--input /dev/input/by-id/kbd --input /dev/input/by-id/mouse");
	assert_string_equal(device_arg(nth(&input_class, 1)), "/dev/input/by-id/mouse");
	assert_int_equal(usb_options_ports(&c.devices), 4);
	good("--usb 1-1 --usb 1-2 --usb 1-3 --input /dev/input/event1");
	assert_int_equal(usb_options_ports(&c.devices), 5);
	bad("--input", "--input");
	bad("--input a --input a", "--input: a is given twice");
}

static void test_help_fits(void **state)
{
	char buf[4096];
	int lines = 0, column = 0;
	FILE *f = fmemopen(buf, sizeof(buf), "w");
	long n, i;

	(void)state;
	assert_non_null(f);
	config_help(f);
	n = ftell(f);
	assert_int_equal(fclose(f), 0);
	assert_true(n > 0 && n < (long)sizeof(buf));
	for (i = 0; i < n; i++) {
		column = buf[i] == '\n' ? 0 : column + 1;
		lines += buf[i] == '\n';
		assert_true(column <= 80);
	}
	assert_true(lines <= 24);
}

/* ---- the man page ---- */

static char man[128 * 1024];

static void read_man_page(void)
{
	FILE *f = fopen("vmm/cli/minivmm.1", "re");
	size_t n;

	assert_non_null(f);
	n = fread(man, 1, sizeof(man) - 1, f);
	fclose(f);
	assert_true(n < sizeof(man) - 1);
	man[n] = '\0';
}

/* The line that says how an option is written, as it is read: `--disk PATH[,ro][,...]`. */
static bool man_head(const char *option, char *out, size_t size)
{
	const char *at = man, *p = NULL;
	char start[64];
	size_t n = 0;

	snprintf(start, sizeof(start), "\\-\\-%s", option);
	while ((at = strstr(at, "\n.TP\n.B"))) {
		at += strlen("\n.TP\n");
		at += strcspn(at, "\\\n");
		n = strlen(start);
		if (strncmp(at, start, n) == 0 && !isalnum(at[n]) && at[n] != '\\')
			break;
	}
	if (!at)
		return false;
	n = 0;
	for (p = at; *p && *p != '\n' && n + 1 < size; p++) {
		if (p[0] == '\\' && p[1] == ':')
			p++; /* a place to break the line */
		else if (p[0] == '\\' && p[1] == 'f')
			p += 2; /* a font */
		else if (*p != ' ' && *p != '"' && *p != '\\')
			out[n++] = *p;
	}
	out[n] = '\0';
	return true;
}

/* "[,aio=auto|io_uring|libaio]" of a choice; of others what stands before their value. */
static bool key_is_in(const struct key *k, const char *head)
{
	char text[128];
	size_t n = (size_t)snprintf(text, sizeof(text), "[,%s=", k->name);
	unsigned i;

	for (i = 0; k->kind == KEY_CHOICE && i < ARRAY_SIZE(k->choices) && k->choices[i]; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", i ? "|" : "",
				      k->choices[i]);
	if (k->kind == KEY_CHOICE)
		snprintf(text + n, sizeof(text) - n, "]");
	if (k->kind == KEY_FLAG)
		snprintf(text + n, sizeof(text) - n, "on|off]");
	if (strstr(head, text))
		return true;
	snprintf(text, sizeof(text), "[,%s]", k->name);
	return k->kind == KEY_FLAG && strstr(head, text);
}

/* The man page's line of each device is what the device's keys say: each of them, no other. */
static void test_man_page(void **state)
{
	const struct device_class *const *class;

	(void)state;
	read_man_page();
	for (class = device_classes; *class; class ++) {
		const struct key *k = (*class)->keys;
		unsigned keys = 0, brackets = 0;
		char head[512];
		const char *p;

		if (!man_head((*class)->option, head, sizeof(head)))
			fail_msg("minivmm.1 does not have --%s", (*class)->option);
		if (!k)
			continue;
		for (k += (*class)->positional; k->name; k++, keys++) {
			if (!key_is_in(k, head))
				fail_msg("minivmm.1: '%s' has not %s= as it is", head, k->name);
		}
		for (p = head; (p = strstr(p, "[,")); p++)
			brackets++;
		if (brackets != keys)
			fail_msg("minivmm.1: '%s' has a key that --%s has not", head,
				 (*class)->option);
	}
}

static int clean(void **state)
{
	(void)state;
	config_free(&c);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),     cmocka_unit_test(test_memory),
		cmocka_unit_test(test_memory_keys),  cmocka_unit_test(test_cpus),
		cmocka_unit_test(test_disk),	     cmocka_unit_test(test_hotplug),	     cmocka_unit_test(test_net),
		cmocka_unit_test(test_vfio),	     cmocka_unit_test(test_cpu),
		cmocka_unit_test(test_pin),	     cmocka_unit_test(test_scheduling),
		cmocka_unit_test(test_cpu_features), cmocka_unit_test(test_contradictions),
		cmocka_unit_test(test_stats),	     cmocka_unit_test(test_help_fits),
		cmocka_unit_test(test_input),
		cmocka_unit_test(test_man_page),
	};

	return cmocka_run_group_tests(tests, NULL, clean);
}
