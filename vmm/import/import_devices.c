/* SPDX-License-Identifier: BSD-2-Clause */
/* Disks, network cards, passed-through devices, serial ports: what QEMU writes as a front end, a
 * back end and the name that joins them is one option of minivmm's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/addr.h"
#include "vmm/import/import_parts.h"

#define LAST_SLOT 30u /* --vfio slot= */

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

static const char *driver(const struct import_item *it)
{
	return or_empty(it->first ? import_get(it, it->first) : NULL);
}

/* ---- disks ---- */

struct disk {
	const struct import_item *at; /* what it is about, for notes */
	const char *file, *format, *cache, *aio, *serial, *queues, *block;
	bool ro, cdrom, foreign; /* foreign: the guest knew another controller */
};

/* The option that describes the image itself: -blockdev is a chain of them. */
static const struct import_item *bottom_node(const struct importer *im,
					     const struct import_item *it)
{
	const struct import_item *next = it;
	unsigned depth;

	for (depth = 0; next && depth < 8; depth++) {
		it = next;
		if (import_get(it, "filename") || import_get(it, "file.filename"))
			return it;
		next = import_next(im, NULL, "blockdev", "node-name",
				   or_empty(import_get(it, "file")));
	}
	return it;
}

const char *import_node_file(const struct importer *im, const struct import_item *node)
{
	const struct import_item *it = bottom_node(im, node);
	const char *file = import_get(it, "filename");

	return file ? file : import_get(it, "file.filename");
}

static bool is_node(const struct import_item *it)
{
	return strcmp(it->name, "blockdev") == 0;
}

static struct disk read_drive(const struct importer *im, const struct import_item *it)
{
	const struct import_item *bottom = is_node(it) ? bottom_node(im, it) : it;
	const char *format = import_get(it, is_node(it) ? "driver" : "format");
	const char *direct = import_get(it, "cache.direct");
	struct disk d = {
		.at = it,
		.file = is_node(it) ? import_node_file(im, it) : import_get(it, "file"),
		.format = format,
		.cache = import_get(it, "cache"),
		.aio = import_get(bottom, "aio"),
		.serial = import_get(it, "serial"),
		.ro = import_on(it, "readonly") || import_on(it, "read-only"),
		.cdrom = import_match("cdrom", or_empty(import_get(it, "media"))),
	};

	if (!direct)
		direct = import_get(bottom, "cache.direct");
	if (!d.file)
		d.file = import_get(it, "file.filename");
	if (direct && !d.cache)
		d.cache = import_match("on|true", direct) ? "none" : "writeback";
	return d;
}

/* By what was said, else by the name. */
static bool needs_conversion(const struct disk *d)
{
	if (d->format)
		return !import_match("raw|file|host_device|host_cdrom", d->format);
	return import_match("*.qcow2|*.qcow|*.qed|*.vmdk|*.vdi|*.vhd|*.vhdx|*.vpc", d->file);
}

static const char *raw_name(struct importer *im, const char *file)
{
	const char *dot = strrchr(file, '.');
	bool known = dot && import_match(".qcow2|.qcow|.qed|.vmdk|.vdi|.vhd|.vhdx|.vpc|.img", dot);
	const char *raw = import_fmt(im, "%.*s.raw", known ? (int)(dot - file) : (int)strlen(file),
				     file);

	return raw;
}

static const char *convert(struct importer *im, const struct disk *d)
{
	const char *raw;

	if (!needs_conversion(d))
		return d->file;
	raw = raw_name(im, d->file);
	import_note(im, d->at, NULL, IMPORT_CHANGED,
		    "minivmm reads raw images: qemu-img convert -O raw %s %s",
		    import_quoted(im, d->file), import_quoted(im, raw));
	return raw;
}

/* A protocol of QEMU's, like nbd://, stands before the first slash. */
static bool is_remote(const char *file)
{
	const char *colon = shell_find(file, ':'), *slash = strchr(file, '/');

	return colon && (!slash || colon < slash);
}

static void say_disk(struct importer *im, const struct disk *d)
{
	if (d->cdrom)
		import_note(im, d->at, NULL, IMPORT_CHANGED,
			    "minivmm has no CD-ROM drive: the image becomes a read-only virtio "
			    "disk; hybrid images of Linux boot from it, the installer of Windows "
			    "does not see it");
	else if (d->foreign)
		import_note(im, d->at, NULL, IMPORT_CHANGED,
			    "the disk is virtio-blk: Linux has the driver, Windows needs it "
			    "installed (virtio-win)");
}

static const char *disk_value(struct importer *im, const struct disk *d)
{
	const char *s = import_comma(im, convert(im, d));

	if (d->ro || d->cdrom)
		s = import_fmt(im, "%s,ro", s);
	if (d->cache && import_match("write*|unsafe", d->cache))
		s = import_fmt(im, "%s,cache=writeback", s);
	if (d->aio && import_match("native", d->aio))
		s = import_fmt(im, "%s,aio=libaio", s);
	if (d->aio && import_match("io_uring", d->aio))
		s = import_fmt(im, "%s,aio=io_uring", s);
	if (d->queues && !import_match("0|auto", d->queues))
		s = import_fmt(im, "%s,queues=%s", s, import_comma(im, d->queues));
	if (d->block && (import_match("4096", d->block) || import_match("/dev/*", d->file)))
		s = import_fmt(im, "%s,logical_block_size=%s", s, d->block);
	if (d->serial)
		s = import_fmt(im, "%s,serial=%s", s, import_comma(im, d->serial));
	return s;
}

static void write_disk(struct importer *im, const struct disk *d)
{
	if (!d->file || !*d->file) {
		if (!d->cdrom)
			import_note(im, d->at, NULL, IMPORT_LOST, "no file is given");
		return;
	}
	if (is_remote(d->file)) {
		import_note(im, d->at, NULL, IMPORT_LOST,
			    "minivmm opens only files and block devices: attach it to the host "
			    "first (qemu-nbd -c, rbd map, iscsiadm, mount)");
		return;
	}
	say_disk(im, d);
	import_line(im, "--disk", disk_value(im, d));
	im->n_virtio++;
}

static void write_drive(struct importer *im, const struct import_item *it)
{
	const char *kind = import_get(it, "if");
	struct disk d = read_drive(im, it);

	if (kind && import_match("none|pflash|floppy|sd|mtd", kind))
		return;
	d.foreign = !kind || strcmp(kind, "virtio") != 0;
	write_disk(im, &d);
}

static const char disk_devices[] = "virtio-blk*|scsi-hd|scsi-disk|scsi-block|scsi-generic|ide-hd|"
				   "ide-drive|nvme|nvme-ns|usb-storage|scsi-cd|ide-cd";

/* -device ...,drive=ID with its -drive if=none or its -blockdev. */
static void write_disk_device(struct importer *im, const struct import_item *it)
{
	const char *id = or_empty(import_get(it, "drive"));
	const struct import_item *drive = import_next(im, NULL, "drive", "id", id);
	struct disk d;

	if (!drive)
		drive = import_next(im, NULL, "blockdev", "node-name", id);
	if (!*id || !drive) {
		if (*id || !import_match("nvme|ide-cd|scsi-cd", driver(it)))
			import_note(im, it, NULL, IMPORT_LOST, "its drive is not defined");
		return;
	}
	d = read_drive(im, drive);
	d.queues = import_get(it, "num-queues");
	d.block = import_get(it, "logical_block_size");
	if (d.block && !import_match("512|4096", d.block))
		d.block = NULL;
	d.serial = import_get(it, "serial") ? import_get(it, "serial") : d.serial;
	d.foreign = !import_match("virtio-blk*", driver(it));
	d.cdrom |= import_match("*-cd", driver(it));
	write_disk(im, &d);
}

/* The socket of a vhost-user back end; NULL: minivmm cannot connect to it, and this is said. */
static const char *vhost_user_socket(struct importer *im, const struct import_item *it)
{
	const struct import_item *c = import_next(im, NULL, "chardev", "id",
						  or_empty(import_get(it, "chardev")));
	const char *path = c && strcmp(driver(c), "socket") == 0 ? import_get(c, "path") : NULL;

	if (path && !import_on(c, "server"))
		return import_comma(im, path);
	import_note(im, it, NULL, IMPORT_LOST,
		    path ? "minivmm connects to the back end and does not wait for it to connect: "
			   "make the back end listen"
			 : "its -chardev is not a unix socket");
	return NULL;
}

static void write_vhost_user_disk(struct importer *im, const struct import_item *it)
{
	const char *s = vhost_user_socket(im, it), *queues = import_get(it, "num-queues");

	if (!s)
		return;
	if (queues && !import_match("0|auto|65535", queues))
		s = import_fmt(im, "%s,queues=%s", s, import_comma(im, queues));
	import_line(im, "--vhost-user-blk", s);
	im->n_virtio++;
}

static void write_plain_disk(struct importer *im, const struct import_item *it)
{
	struct disk d = { .at = it, .file = it->arg, .foreign = true };

	d.cdrom = strcmp(it->name, "cdrom") == 0;
	if (!import_is_unknown(it))
		write_disk(im, &d);
}

static void write_disks(struct importer *im)
{
	const struct import_item *it = NULL;

	while ((it = import_next(im, it, "|drive|device|hd[abcd]|cdrom", NULL, NULL))) {
		if (strcmp(it->name, "drive") == 0)
			write_drive(im, it);
		else if (strcmp(it->name, "device") != 0)
			write_plain_disk(im, it);
		else if (import_match("vhost-user-blk*", driver(it)))
			write_vhost_user_disk(im, it);
		else if (import_match(disk_devices, driver(it)))
			write_disk_device(im, it);
	}
}

/* ---- network ---- */

static const char nic_devices[] = "virtio-net*|e1000*|rtl8139|vmxnet3|igb|ne2k*|pcnet|i8255*|tulip|"
				  "usb-net";
/* What stands for a bridge: a tap device that the user puts into it. */
static const char *bridge_tap(struct importer *im, const struct import_item *net)
{
	const char *br = import_get(net, "br"), *tap = import_fmt(im, "tap%u", im->n_nets);

	br = import_quoted(im, br ? br : "br0");
	import_note(im, net, NULL, IMPORT_CHANGED,
		    "minivmm does not join a bridge itself: ip tuntap add %s mode tap && ip link "
		    "set %s up master %s",
		    tap, tap, br);
	return tap;
}

/* QEMU's card has the queues of its netdev with mq=on only. Its rings for the two directions may
 * differ in size; ours do not. */
static const char *virtio_net_keys(struct importer *im, const struct import_item *net,
				   const struct import_item *nic)
{
	const char *queues = import_get(net, "queues"), *s = "", *rx, *tx;

	if (!nic || !import_match("virtio-net*", driver(nic)))
		return s;
	rx = import_get(nic, "rx_queue_size");
	tx = import_get(nic, "tx_queue_size");
	if (queues && import_on(nic, "mq"))
		s = import_fmt(im, ",queues=%s", import_comma(im, queues));
	if (rx && tx && strcmp(rx, tx) != 0)
		import_note(im, nic, "tx_queue_size", IMPORT_CHANGED,
			    "both directions have rings of the same size: %s", rx);
	if (rx || tx)
		s = import_fmt(im, "%s,ring=%s", s, import_comma(im, rx ? rx : tx));
	if (import_get(nic, "host_mtu"))
		s = import_fmt(im, "%s,mtu=%s", s, import_comma(im, import_get(nic, "host_mtu")));
	return s;
}

static void write_vhost_user_net(struct importer *im, const struct import_item *net,
				 const struct import_item *nic)
{
	const char *s = vhost_user_socket(im, net), *queues = import_get(net, "queues");
	const char *mac = nic ? import_get(nic, "mac") : NULL;

	if (!s)
		return;
	if (mac)
		s = import_fmt(im, "%s,mac=%s", s, import_comma(im, mac));
	if (queues && nic && import_on(nic, "mq"))
		s = import_fmt(im, "%s,queues=%s", s, import_comma(im, queues));
	import_line(im, "--vhost-user-net", s);
	im->n_nets++;
	im->n_virtio++;
}

/* net: where the frames go (-netdev, -nic, -net); nic: the card, or NULL. */
static void write_net(struct importer *im, const struct import_item *net,
		      const struct import_item *nic)
{
	const char *kind = driver(net), *s = "tap";
	const char *ifname = import_get(net, "ifname");
	const char *mac = import_get(nic ? nic : net, "mac");
	bool set_up = import_match("no", or_empty(import_get(net, "script")));

	if (strcmp(kind, "vhost-user") == 0) {
		write_vhost_user_net(im, net, nic);
		return;
	}
	if (strcmp(kind, "bridge") == 0 || import_get(net, "br"))
		ifname = bridge_tap(im, net);
	else if (strcmp(kind, "tap") != 0)
		return;
	else if (!set_up && !import_get(net, "fd") && !import_get(net, "fds"))
		import_note(im, net, NULL, IMPORT_CHANGED,
			    "minivmm runs no script: set the tap device up first: ip tuntap add %s "
			    "mode tap && ip link set %s up",
			    ifname ? ifname : "tap0", ifname ? ifname : "tap0");
	if (!ifname && !set_up)
		ifname = import_fmt(im, "tap%u", im->n_nets);
	if (ifname)
		s = import_fmt(im, "%s,ifname=%s", s, import_comma(im, ifname));
	if (mac)
		s = import_fmt(im, "%s,mac=%s", s, import_comma(im, mac));
	s = import_fmt(im, "%s%s", s, virtio_net_keys(im, net, nic));
	import_line(im, "--net", s);
	im->n_nets++;
	im->n_virtio++;
}

static void write_nets(struct importer *im)
{
	const struct import_item *it = NULL, *net;

	while ((it = import_next(im, it, "device|nic|net", NULL, NULL))) {
		if (strcmp(it->name, "device") != 0) {
			if (strcmp(driver(it), "nic") != 0)
				write_net(im, it, NULL);
			continue;
		}
		if (!import_match(nic_devices, driver(it)))
			continue;
		net = import_next(im, NULL, "netdev", "id", or_empty(import_get(it, "netdev")));
		if (net)
			write_net(im, net, it);
		else
			import_note(im, it, NULL, IMPORT_LOST, "its -netdev is not defined");
	}
}

/* ---- passed-through devices ---- */

/* host=, or the end of sysfsdev=/sys/bus/pci/devices/0000:01:00.0. */
static const char *host_address(const struct import_item *it)
{
	const char *path = import_get(it, "sysfsdev"), *slash = path ? strrchr(path, '/') : NULL;

	if (import_get(it, "host") || !path || strstr(path, "mdev"))
		return import_get(it, "host");
	return slash ? slash + 1 : path;
}

/* The device number of addr= on bus 0, the device's own or its root port's; 0: none that can be
 * kept. */
static unsigned guest_slot(const struct importer *im, const struct import_item *it)
{
	const char *bus = or_empty(import_get(it, "bus"));
	const struct import_item *port = import_next(im, NULL, "device", "id", bus);
	const char *addr = import_get(port ? port : it, "addr");
	unsigned slot, fn = 0;
	int used = 0;

	if (*bus && !port && !import_match("pcie.0|pci.0", bus))
		return 0;
	if (!addr || sscanf(addr, "%x%n", &slot, &used) != 1)
		return 0;
	if (addr[used] == '.')
		fn = (unsigned)strtoul(addr + used + 1, NULL, 16);
	return fn == 0 && slot > im->n_virtio && slot <= LAST_SLOT ? slot : 0;
}

static void write_vfio_device(struct importer *im, const struct import_item *it)
{
	const char *host = host_address(it), *s;
	const char *rombar = import_get(it, "rombar"), *rom = import_get(it, "romfile");
	const char *clique = import_get(it, "x-nv-gpudirect-clique");
	bool hidden = rombar && !import_on(it, "rombar");
	unsigned slot = guest_slot(im, it);

	if (!host) {
		import_note(
			im, it, NULL, IMPORT_LOST,
			import_get(it, "sysfsdev")
				? "mediated devices are not supported: --vfio takes a PCI device "
				  "or virtual function"
				: "no device is given (host=)");
		return;
	}
	s = import_comma(im, host);
	if (rom && *rom && !hidden)
		s = import_fmt(im, "%s,romfile=%s", s, import_comma(im, rom));
	if (hidden || (rom && !*rom))
		s = import_fmt(im, "%s,rombar=off", s);
	if (import_on(it, "x-vga"))
		s = import_fmt(im, "%s,x-vga=on", s);
	if (import_on(it, "x-no-mmap"))
		s = import_fmt(im, "%s,mmap=off", s);
	if (slot)
		s = import_fmt(im, "%s,slot=%u", s, slot);
	if (clique)
		s = import_fmt(im, "%s,p2p-clique=%lu", s, strtoul(clique, NULL, 0));
	import_line(im, "--vfio", s);
}

/* "0x46d" and "46d" as 046d; a variable of the shell stays. NULL: there is no such property. */
static const char *usb_number(struct importer *im, const struct import_item *it, const char *key)
{
	const char *val = import_get(it, key);
	char *end;
	unsigned long n;

	if (!val || shell_is_live(val))
		return val;
	n = strtoul(val, &end, 0);
	return *end || n > 0xffff ? NULL : import_fmt(im, "%04lx", n);
}

/* What --usb takes; NULL: QEMU's options say too little. */
static const char *usb_name(struct importer *im, const struct import_item *it)
{
	const char *vendor = usb_number(im, it, "vendorid");
	const char *product = usb_number(im, it, "productid");
	const char *bus = import_get(it, "hostbus"), *addr = import_get(it, "hostaddr");
	const char *port = import_get(it, "hostport"), *node = import_get(it, "hostdevice");

	if (it->name[0] == 'u') /* -usbdevice host:0781:5567 */
		return it->arg + strlen("host:");
	if (node)
		return import_comma(im, node);
	if (bus && port)
		return import_fmt(im, "%s-%s", bus, port);
	if (bus && addr)
		return import_fmt(im, "%s.%s", bus, addr);
	return vendor && product ? import_fmt(im, "%s:%s", vendor, product) : NULL;
}

static void write_usb_host(struct importer *im, const struct import_item *it)
{
	const char *name = usb_name(im, it), *port = import_get(it, "port");
	const char *reset = import_get(it, "guest-reset");
	char *end;

	if (!name) {
		import_note(im, it, NULL, IMPORT_LOST,
			    "which device is not clear: use --usb with one that `minivmm usb` "
			    "lists");
		return;
	}
	if (port && strtoul(port, &end, 10) >= 1 && strtoul(port, NULL, 10) <= 15 && !*end)
		name = import_fmt(im, "%s,port=%s", name, port);
	if (reset && !import_on(it, "guest-reset"))
		name = import_fmt(im, "%s,reset=off", name);
	import_line(im, "--usb", name);
}

/* ---- keyboards and mice ---- */

/* -object input-linux, and virtio-input-host, which needs no -object. */
static bool is_evdev(const struct import_item *it)
{
	return it->name[0] == 'o' ? import_match("input-linux", driver(it))
				  : import_match("virtio-input-host*", driver(it));
}

static bool write_input(struct importer *im)
{
	const struct import_item *it = NULL;
	bool any = false;

	while ((it = import_next(im, it, "object|device", NULL, NULL))) {
		const char *evdev = import_get(it, "evdev");

		if (!is_evdev(it))
			continue;
		if (!evdev) {
			import_note(im, it, NULL, IMPORT_LOST, "it has no evdev=");
			continue;
		}
		import_line(im, "--input", evdev);
		any = true;
	}
	return any;
}

static const char *emulated_name(const struct import_item *it)
{
	return it->name[0] == 'u' ? or_empty(it->arg) : driver(it);
}

/* QEMU feeds emulated devices from its window, which minivmm does not have, or from input-linux. */
static void note_emulated_input(struct importer *im, bool fed)
{
	const struct import_item *it = NULL;

	while ((it = import_next(im, it, "device|usbdevice", NULL, NULL))) {
		const char *name = emulated_name(it);

		if (import_match("virtio-tablet*|usb-tablet|usb-wacom-tablet|vmmouse|tablet|"
				 "wacom-tablet",
				 name))
			import_note(im, it, NULL, fed ? IMPORT_CHANGED : IMPORT_LOST,
				    "there is no emulated tablet, only the mouse that --input "
				    "gives: it moves by steps, not to positions");
		else if (import_match("virtio-keyboard*|virtio-mouse*|usb-kbd|usb-mouse|i8042|"
				      "keyboard|mouse",
				      name))
			import_note(im, it, NULL, fed ? IMPORT_NEEDLESS : IMPORT_LOST,
				    fed ? "with --input, the guest has a USB keyboard and mouse"
					: "lend the guest a keyboard or mouse of the host with "
					  "--input, or pass it with --usb");
	}
}

/* For device_add later. */
static bool wants_bare_usb(const struct importer *im)
{
	const struct import_item *it = NULL;

	if (!import_next(im, NULL, "qmp|qmp-pretty", NULL, NULL))
		return false;
	while ((it = import_next(im, it, "device|usb", NULL, NULL)))
		if (strcmp(it->name, "usb") == 0 ||
		    import_match("*-xhci|usb-ehci|ich9-usb-*|piix*-usb-*|pci-ohci", driver(it)))
			return true;
	return false;
}

static void write_passed(struct importer *im)
{
	const struct import_item *it = NULL;
	bool usb = write_input(im);

	note_emulated_input(im, usb);
	while ((it = import_next(im, it, "device|usbdevice", NULL, NULL))) {
		if (import_match(it->name[0] == 'u' ? "host:*" : "usb-host",
				 it->name[0] == 'u' ? or_empty(it->arg) : driver(it))) {
			write_usb_host(im, it);
			usb = true;
		} else if (import_match("vfio-pci*", driver(it))) {
			write_vfio_device(im, it);
		}
	}
	if (!usb && wants_bare_usb(im))
		import_line(im, "--usb", "none");
}

/* ---- serial ports and consoles ---- */

/* minivmm's name for a -chardev; NULL: it has none. */
static const char *chardev_to(struct importer *im, const struct import_item *c)
{
	const char *kind = c ? driver(c) : "", *path = import_get(c, "path");

	if (import_match("stdio|pty|null", kind))
		return kind;
	if (path && strcmp(kind, "file") == 0)
		return import_fmt(im, "file:%s", path);
	if (path && strcmp(kind, "socket") == 0)
		return import_fmt(im, "unix:%s", path);
	return NULL;
}

/* -serial's own way of writing it. */
static const char *serial_to(struct importer *im, const char *s)
{
	const char *comma;

	if (strncmp(s, "chardev:", 8) == 0)
		return chardev_to(im, import_next(im, NULL, "chardev", "id", s + 8));
	if (strncmp(s, "mon:", 4) == 0)
		s += 4;
	if (import_match("stdio|pty|null|none|file:?*", s))
		return s;
	if (strncmp(s, "unix:", 5) != 0)
		return NULL;
	comma = shell_find(s, ',');
	return comma ? import_fmt(im, "%.*s", (int)(comma - s), s) : s;
}

/* to NULL: minivmm cannot; the port stays, so that others keep their place. */
static void write_serial(struct importer *im, const struct import_item *it, const char *to)
{
	if (!to)
		import_note(im, it, NULL, IMPORT_LOST,
			    "a serial port goes to stdio, pty, file:PATH or unix:PATH (a socket "
			    "that minivmm listens on)");
	import_line(im, "--serial", to ? to : "null");
}

static const char *device_chardev(struct importer *im, const struct import_item *it)
{
	return chardev_to(
		im, import_next(im, NULL, "chardev", "id", or_empty(import_get(it, "chardev"))));
}

static void write_serials(struct importer *im)
{
	const struct import_item *it = NULL;

	while ((it = import_next(im, it, "serial", NULL, NULL)))
		write_serial(im, it, serial_to(im, or_empty(it->arg)));
	while ((it = import_next(im, it, "device", NULL, NULL)))
		if (import_match("isa-serial|pci-serial", driver(it)))
			write_serial(im, it, device_chardev(im, it));
}

static void write_console(struct importer *im)
{
	const struct import_item *it = NULL;
	const char *to;
	unsigned n = 0;

	while ((it = import_next(im, it, "device", NULL, NULL))) {
		if (strcmp(driver(it), "virtconsole") != 0)
			continue;
		to = device_chardev(im, it);
		if (to && n++ == 0)
			import_line(im, "--console", to);
		else
			import_note(im, it, NULL, IMPORT_LOST,
				    to ? "the guest can have only one virtio console"
				       : "--console goes to stdio, pty, file:PATH or unix:PATH");
	}
	im->n_virtio += n > 0;
}

/* Firmware's debug port: a file. */
static void write_debugcon(struct importer *im)
{
	const struct import_item *it = import_last(im, "debugcon"), *dev = NULL;
	const char *to = it ? serial_to(im, or_empty(it->arg)) : NULL;

	while ((dev = import_next(im, dev, "device", NULL, NULL))) {
		if (strcmp(driver(dev), "isa-debugcon") == 0) {
			it = dev;
			to = device_chardev(im, dev);
		}
	}
	if (to && strncmp(to, "file:", 5) == 0)
		import_line(im, "--debugcon", to + 5);
	else if (to && strcmp(to, "stdio") == 0)
		import_line(im, "--debugcon", "/dev/stdout");
	else if (it)
		import_note(im, it, NULL, IMPORT_LOST, "--debugcon writes to a file");
}

static void write_rng(struct importer *im)
{
	const struct import_item *it = NULL;

	while ((it = import_next(im, it, "device", NULL, NULL))) {
		if (!import_match("virtio-rng*", driver(it)))
			continue;
		import_line(im, "--rng", NULL);
		im->n_virtio++;
		return;
	}
}

static bool has_display(const struct importer *im)
{
	const struct import_item *it = NULL;

	while ((it = import_next(im, it, "device", NULL, NULL)))
		if (import_on(it, "x-vga") ||
		    import_match("VGA|*-vga*|qxl*|ramfb|bochs-display", driver(it)))
			return true;
	return import_last(im, "vga|display|nographic|vnc|spice|sdl|curses");
}

/* QEMU adds a display and a network card unless told otherwise. What "..." in a text leaves out may
 * be just that. */
static void say_defaults(struct importer *im)
{
	if (import_last(im, "nodefaults") || import_elided(im))
		return;
	if (!import_last(im, "net|nic|netdev"))
		import_note(im, NULL, NULL, IMPORT_CHANGED,
			    "QEMU's own network card: minivmm adds none by default: use --net tap");
	if (!has_display(im))
		import_note(im, NULL, NULL, IMPORT_CHANGED,
			    "QEMU's own display: minivmm adds none: the serial console is on "
			    "stdio; for a picture, pass a graphics card with --vfio");
}

void import_devices(struct importer *im)
{
	/* Which slots are free for passed-through devices depends on how many others there are. */
	write_disks(im);
	write_nets(im);
	write_rng(im);
	write_console(im);
	write_passed(im);
	write_serials(im);
	write_debugcon(im);
	say_defaults(im);
}
