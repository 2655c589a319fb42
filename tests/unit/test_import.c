/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"
#include "vmm/machine/options.h"
#include "vmm/import/import.h"

#define COMMANDS "tests/unit/import-commands.txt"

static struct import im;

/* Converts the command in the text; the caller frees the result. */
static char *convert(const char *text)
{
	struct import_script s;
	char *out;

	import_free(&im);
	assert_int_equal(import_script(&s, text), 1);
	assert_int_equal(import_qemu(&im, &s.command[0].words, s.command[0].pin), 0);
	import_script_free(&s);
	out = import_text(&im);
	assert_non_null(out);
	return out;
}

static bool has_note(const char *start)
{
	unsigned i;

	for (i = 0; i < im.note.n; i++)
		if (strncmp(im.note.word[i], start, strlen(start)) == 0)
			return true;
	return false;
}

static unsigned count_lost(void)
{
	unsigned i, n = 0;

	for (i = 0; i < im.note.n; i++)
		n += strncmp(im.note.word[i], "not carried over: ", 18) == 0;
	return n;
}

/* Checks that minivmm's parser accepts it. */
static void check_accepted(const char *text)
{
	struct words w = { 0 };
	struct config c;
	struct error err = { 0 };
	size_t pos = 0, start;

	assert_int_equal(shell_command(text, &pos, &start, &w), 0);
	assert_string_equal(w.word[0], "minivmm");
	if (config_parse(&c, (int)w.n, w.word, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	config_free(&c);
	words_free(&w);
}

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t n = 0;

	assert_non_null(f);
	assert_true(getdelim(&text, &n, '\0', f) > 0);
	fclose(f);
	return text;
}

/* The text of the lines from p on that begin with mark, up to the next empty line. */
static char *expected(const char *p, const char *mark)
{
	char *out = NULL;
	size_t n;
	FILE *f = open_memstream(&out, &n);

	for (; *p && *p != '\n'; p += strcspn(p, "\n") + 1)
		if (strncmp(p, mark, 3) == 0)
			fprintf(f, "%.*s\n", (int)strcspn(p, "\n") - 3, p + 3);
	fclose(f);
	return out;
}

static void check_notes(const char *want)
{
	scoped_free char *list = strdup(want);
	char *line, *save;
	unsigned lost = 0;

	for (line = strtok_r(list, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (!has_note(line))
			fail_msg("no note begins with '%s'", line);
		lost += strncmp(line, "not carried over: ", 18) == 0;
	}
	assert_int_equal(count_lost(), lost);
	assert_int_equal(im.lost, lost > 0);
}

/* Line number `line` of the text. */
static const char *line_at(const char *text, unsigned line)
{
	while (--line)
		text += strcspn(text, "\n") + 1;
	return text;
}

static void test_tutorial(void **state)
{
	scoped_free char *text = read_file(COMMANDS);
	struct import_script s;
	unsigned i;

	(void)state;
	assert_int_equal(import_script(&s, text), 18);
	for (i = 0; i < s.n; i++) {
		const char *at = line_at(text, s.command[i].line);
		scoped_free char *want = expected(at, "#> "), *notes = expected(at, "#! ");
		scoped_free char *got = NULL;

		assert_int_equal(import_qemu(&im, &s.command[i].words, s.command[i].pin), 0);
		got = import_text(&im);
		assert_string_equal(got, want);
		check_notes(notes);
		check_accepted(got);
		import_free(&im);
	}
	import_script_free(&s);
}

/* qemu: the arguments of QEMU; want: the whole result, one line; note: the start of a note, or NULL
 * for no note. */
static void check(const char *qemu, const char *want, const char *note)
{
	scoped_free char *text = NULL, *all = NULL, *got = NULL;

	assert_true(asprintf(&text, "qemu-system-x86_64 -nodefaults %s", qemu) > 0);
	assert_true(asprintf(&all, "minivmm %s\n", want) > 0);
	got = convert(text);
	if (strcmp(got, all) != 0)
		fail_msg("'%s' becomes '%s', not '%s'", qemu, got, all);
	if (note ? !has_note(note) : im.note.n > 0)
		fail_msg("'%s' says '%s', not '%s'", qemu, im.note.n ? im.note.word[0] : "",
			 note ? note : "");
	check_accepted(got);
}

/* The same with a firmware, which every machine needs. */
static void device(const char *qemu, const char *want, const char *note)
{
	scoped_free char *q = NULL, *w = NULL;

	assert_true(asprintf(&q, "-bios f %s", qemu) > 0);
	assert_true(asprintf(&w, "--firmware f%s%s", *want ? " " : "", want) > 0);
	check(q, w, note);
}

static void test_machine(void **state)
{
	(void)state;
	check("-bios f -smp cores=4,threads=2", "--cpus 8,cores=4,threads=2 --firmware f", NULL);
	check("-bios f -smp 4,maxcpus=8,sockets=8", "--cpus 4 --firmware f", "changed: -smp 4");
	check("-bios f -smp 4,dies=2,cores=2", "--cpus 4,cores=4 --firmware f", NULL);
	check("-bios f -m 1.5G", "--memory 1536M --firmware f", NULL);
	check("-bios f -m size=512,slots=2", "--memory 512 --firmware f",
	      "not carried over: -m slots=2");
	check("-bios f -cpu max,kvm=on,hv-relaxed=on,hv_time=off,hv-vendor-id=x,,y",
	      "--cpu hv_relaxed,hv_vendor_id=x,,y --firmware f", NULL);
	check("-bios f -cpu host,hv_stimer", "--firmware f", "not carried over: -cpu hv_stimer: ");
	check("-bios f -cpu EPYC,+x2apic", "--firmware f", "changed: -cpu EPYC");
	check("-bios f -cpu host,phys-bits=40", "--cpu phys_bits=40 --firmware f", NULL);
	check("-kernel k -initrd 'a b' -append 'x=\"1 2\" $y'",
	      "--kernel k --initrd 'a b' --append 'x=\"1 2\" $y'", NULL);
	check("-kernel k -M pc", "--kernel k", "changed: -M pc: ");
	check("-kernel k -M isapc", "--kernel k", "not carried over: -M isapc: ");
	check("-kernel k -M q35,smm=on", "--kernel k", "not carried over: -M smm: ");
	check("-kernel k -accel tcg", "--kernel k", "changed: -accel tcg: ");
	check("-kernel k -rtc base=localtime", "--rtc localtime --kernel k", NULL);
	check("-kernel k -M q35,dump-guest-core=on", "--kernel k --core-dump on", NULL);
	check("-kernel k -M q35,dump-guest-core=off", "--kernel k", NULL);
	check("-kernel k -localtime", "--rtc localtime --kernel k", NULL);
	check("-kernel k -rtc base=utc,driftfix=none", "--kernel k", NULL);
	check("-kernel k -rtc base=utc,driftfix=slew", "--kernel k", "not needed: -rtc driftfix");
	check("-kernel k -rtc base=2006-06-17", "--kernel k", "not carried over: -rtc base=2006");
	check("-kernel k -no-reboot -pidfile p -name guest=g,debug-threads=on -daemonize",
	      "--kernel k --no-reboot --name g --pidfile p --daemonize", NULL);
	check("-kernel k -bios bios-256k.bin", "--kernel k", "not carried over: -bios bios-256k");
}

/* Options that do not exist yet are only compared, not parsed. */
static void becomes(const char *text, const char *want)
{
	scoped_free char *got = convert(text);

	assert_string_equal(got, want);
	assert_false(im.lost);
}

static void test_placement(void **state)
{
	(void)state;
	becomes("sudo -E taskset -c 2,4-5 qemu-system-x86_64 -nodefaults -kernel k -smp 3",
		"sudo -E minivmm --cpus 3,pin=2,4-5 --kernel k\n");
	becomes("taskset -c 0-7 qemu-system-x86_64 -nodefaults -kernel k -smp 3",
		"taskset -c 0-7 minivmm --cpus 3 --kernel k\n");
	/* More than 2^32 CPUs must not become 0. */
	becomes("taskset -c 0-4294967295,0-2 qemu-system-x86_64 -nodefaults -kernel k -smp 3",
		"taskset -c 0-4294967295,0-2 minivmm --cpus 3 --kernel k\n");
	becomes("A=1 nice -n -5 taskset 0xf kvm -nodefaults -kernel k",
		"A=1 nice -n -5 taskset 0xf minivmm --kernel k\n");
	becomes("chrt -f 50 numactl -m 1 qemu-kvm -nodefaults -kernel k -m 1G",
		"minivmm --memory 1G,nodes=1 --rt 50 --kernel k\n");
	becomes("numactl -N 0 --membind=0 qemu-kvm -nodefaults -kernel k",
		"numactl -N 0 --membind=0 minivmm --kernel k\n");
	becomes("kvm -nodefaults -kernel k -overcommit mem-lock=on,cpu-pm=on",
		"minivmm --memory 1G,lock=on --idle poll --kernel k\n");
	becomes("kvm -nodefaults -kernel k -cpu host,-vmx,sse4.1=off",
		"minivmm --cpu -vmx,-sse4_1 --kernel k\n");
	becomes("kvm -nodefaults -kernel k -M q35,memory-backend=m -object memory-backend-memfd,"
		"id=m,size=8G,hugetlb=on,hugetlbsize=1G,prealloc=on,host-nodes=0,policy=bind",
		"minivmm --memory 8G,hugepages=1G,nodes=0,prefault=on --kernel k\n");
	becomes("kvm -nodefaults -kernel k -m 2G -object memory-backend-file,id=a,size=1G,"
		"mem-path=/hp,host-nodes=0 -object memory-backend-file,id=b,size=1G,mem-path=/hp,"
		"host-nodes=1 -numa node,memdev=a -numa node,memdev=b",
		"minivmm --memory 2G,hugepages=/hp,nodes=0,1 --kernel k\n");
}

static void test_firmware(void **state)
{
	scoped_free char *got = NULL;

	(void)state;
	check("-drive if=pflash,unit=1,file=v -drive if=pflash,unit=0,file=c,readonly=on",
	      "--firmware c --nvram v", NULL);
	check("-pflash both.fd", "--firmware both.fd", "changed: -pflash both.fd: UEFI");
	check("-M q35,pflash0=c,pflash1=v -blockdev file,node-name=c,filename=C,read-only=on "
	      "-blockdev raw,node-name=v,file=vf -blockdev file,node-name=vf,filename=V",
	      "--firmware C --nvram V", NULL);
	check("-drive if=pflash,format=qcow2,readonly=on,file=c.qcow2", "--firmware c.qcow2.raw",
	      "changed: -drive if=pflash,format=qcow2,readonly=on,file=c.qcow2: minivmm reads raw");
	got = convert("kvm -m 1G -hda x.img");
	assert_string_equal(got, "minivmm --memory 1G --disk x.img\n");
	assert_true(has_note("changed: QEMU's own firmware"));
	assert_true(has_note("changed: QEMU's own network card"));
	assert_true(has_note("changed: QEMU's own display"));
	assert_false(im.lost);
}

static void test_disks(void **state)
{
	(void)state;
	device("-drive file=a,,b.raw,if=virtio,format=raw,readonly=on,aio=io_uring",
	       "--disk a,,b.raw,ro,aio=io_uring", NULL);
	device("-drive file=x.vmdk,if=virtio", "--disk x.raw",
	       "changed: -drive file=x.vmdk,if=virtio: minivmm reads raw images: qemu-img convert "
	       "-O raw x.vmdk x.raw");
	device("-drive file='my vm.img',if=virtio,format=qcow2", "--disk 'my vm.raw'",
	       "changed: -drive file=my vm.img,if=virtio,format=qcow2: minivmm reads raw images: "
	       "qemu-img convert -O raw 'my vm.img' 'my vm.raw'");
	device("-drive file=$D/x.qcow2,if=virtio,cache=unsafe", "--disk $D/x.raw,cache=writeback",
	       "changed: -drive cache=unsafe: ");
	device("-cdrom a.iso", "--disk a.iso,ro", "changed: -cdrom a.iso: minivmm has no CD-ROM");
	device("-drive media=cdrom,if=none,id=c -device ide-cd,drive=c", "", NULL);
	device("-drive file=x,if=none,id=d -device virtio-blk-pci,drive=d,num-queues=2,serial=S",
	       "--disk x,queues=2,serial=S", NULL);
	device("-drive file=x,if=none,id=d -device virtio-blk-pci,drive=d,logical_block_size=4096,"
	       "physical_block_size=4096",
	       "--disk x,logical_block_size=4096",
	       "not needed: -device virtio-blk-pci,physical_block_size=4096: the guest gets");
	device("-drive file=/dev/sdb,if=none,id=d,format=raw -device scsi-hd,drive=d,"
	       "logical_block_size=512",
	       "--disk /dev/sdb,logical_block_size=512", "changed: ");
	device("-drive file=x,if=none,id=d -device virtio-blk-pci,drive=d,logical_block_size=512",
	       "--disk x", NULL);
	device("-drive file=x,if=none,id=d -device virtio-blk-pci,drive=d,logical_block_size=2048",
	       "--disk x", "not carried over: -device virtio-blk-pci,logical_block_size=2048: ");
	device("-blockdev qcow2,node-name=d,file=f,discard=unmap -blockdev driver=file,node-name=f,"
	       "filename=x.img,cache.direct=on,aio=native -device scsi-hd,drive=d -device "
	       "virtio-scsi-pci",
	       "--disk x.raw,aio=libaio", "changed: -blockdev qcow2,node-name=d");
	device("-blockdev raw,node-name=a,file=b -blockdev raw,node-name=b,file=a -device "
	       "virtio-blk,drive=a",
	       "", "not carried over: -blockdev raw,node-name=a,file=b: no file is given");
	device("-device virtio-blk-pci,drive=none", "", "not carried over: -device virtio-blk-pci");
	device("-drive file=nbd://h/x,if=virtio", "",
	       "not carried over: -drive file=nbd://h/x,if=virtio: minivmm opens only files");
	device("-drive file=x,if=virtio,bps=100", "--disk x", "not carried over: -drive bps=100: ");
	device("-drive file=x,if=virtio,colour=red", "--disk x",
	       "not carried over: -drive colour=red: minivmm has no such setting");
	device("-blockdev '{\"driver\":\"file\"}'", "", "not carried over: -blockdev {\"driver");
	device("-drive nonsense", "", "not carried over: -drive nonsense: ");
	device("-boot d", "", "not needed: -boot d: the firmware's");
	device("-boot menu=on,strict=on", "", NULL);
	device("-fda x", "", "not carried over: -fda x: there is no floppy");
}

static void test_net(void **state)
{
	(void)state;
	device("-netdev tap,id=n,ifname=t0,script=no,downscript=no,vhost=on -device "
	       "virtio-net-pci,netdev=n,mac=52:54:00:12:34:56,bus=pcie.0,addr=3",
	       "--net tap,ifname=t0,mac=52:54:00:12:34:56", NULL);
	device("-netdev tap,id=n -device virtio-net,netdev=n", "--net tap,ifname=tap0",
	       "changed: -netdev tap,id=n: minivmm runs no script");
	device("-netdev bridge,id=n,br=virbr0 -device e1000,netdev=n", "--net tap,ifname=tap0",
	       "changed: -netdev bridge,id=n,br=virbr0: minivmm does not join a bridge itself: ip "
	       "tuntap "
	       "add tap0 mode tap && ip link set tap0 up master virbr0");
	device("-nic tap,ifname=t1,script=no,model=virtio", "--net tap,ifname=t1", NULL);
	device("-nic none", "", NULL);
	device("-netdev tap,id=n,ifname=t0,script=no,queues=4,vhost=on -device virtio-net-pci,netdev=n,mq=on,"
	       "vectors=10,rx_queue_size=1024,host_mtu=9000",
	       "--net tap,ifname=t0,queues=4,ring=1024,mtu=9000",
	       "not needed: -device virtio-net-pci,vectors=10: every queue has a vector of its own");
	device("-netdev tap,id=n,ifname=t0,script=no,queues=4 -device virtio-net-pci,netdev=n", "--net tap,ifname=t0",
	       NULL);
	device("-netdev tap,id=n,ifname=t0,script=no -device virtio-net-pci,netdev=n,rx_queue_size=512,"
	       "tx_queue_size=256",
	       "--net tap,ifname=t0,ring=512",
	       "changed: -device virtio-net-pci,tx_queue_size=256: both directions have rings of the same size");
	device("-netdev user,id=n -device virtio-net,netdev=n", "",
	       "not carried over: -netdev user,id=n: ");
	device("-netdev vde,id=n", "",
	       "not carried over: -netdev vde,id=n: minivmm has only tap devices");
	device("-device virtio-net,netdev=x", "", "not carried over: -device virtio-net,netdev=x");
}

/* Back ends that others run. Memory is shared anyway with such a device. */
static void test_vhost_user(void **state)
{
	(void)state;
	check("-m 1G -object memory-backend-memfd,id=m,size=1G,share=on -machine q35,memory-backend=m -bios f "
	      "-chardev socket,id=c,path=/run/d.sock -device vhost-user-blk-pci,chardev=c,num-queues=2,id=d",
	      "--memory 1G --firmware f --vhost-user-blk /run/d.sock,queues=2", NULL);
	device("-chardev socket,id=c,path=/run/n.sock,reconnect=1 -netdev vhost-user,id=n,chardev=c,queues=2 "
	       "-device virtio-net-pci,netdev=n,mac=52:54:00:12:34:56,mq=on",
	       "--vhost-user-net /run/n.sock,mac=52:54:00:12:34:56,queues=2", NULL);
	device("-chardev socket,id=c,path=/n,server=on,wait=off -netdev vhost-user,id=n,chardev=c "
	       "-device virtio-net,netdev=n",
	       "",
	       "not carried over: -netdev vhost-user,id=n,chardev=c: minivmm connects to the back end and does "
	       "not wait");
	device("-device vhost-user-blk-pci,chardev=x", "",
	       "not carried over: -device vhost-user-blk-pci,chardev=x: its -chardev is not a unix socket");
}

static void many_ports(unsigned n, const char *lines, const char *note)
{
	scoped_free char *command = NULL;
	size_t size;
	FILE *f = open_memstream(&command, &size);
	unsigned i;

	for (i = 0; i < n; i++)
		fprintf(f, "-device pcie-root-port,id=p%u ", i);
	fputs("-qmp unix:/s", f);
	fclose(f);
	device(command, lines, note);
}

static void test_vfio(void **state)
{
	(void)state;
	device("-device vfio-pci,host=01:00.0,id=g,multifunction=on,romfile=a,,b,x-vga=true",
	       "--vfio 01:00.0,romfile=a,,b,x-vga=on", NULL);
	device("-device vfio-pci-nohotplug,host=0000:01:00.1,x-no-mmap=on",
	       "--vfio 0000:01:00.1,mmap=off", NULL);
	device("-device vfio-pci,host=01:00.0,x-nv-gpudirect-clique=0x3",
	       "--vfio 01:00.0,p2p-clique=3", NULL);
	device("-device vfio-pci,host=01:00.0,rombar=0,romfile=x", "--vfio 01:00.0,rombar=off",
	       NULL);
	device("-device vfio-pci,sysfsdev=/sys/bus/pci/devices/0000:02:00.0,display=off",
	       "--vfio 0000:02:00.0", NULL);
	device("-device vfio-pci,sysfsdev=/sys/bus/mdev/devices/u-u", "",
	       "not carried over: -device vfio-pci,sysfsdev=/sys/bus/mdev/devices/u-u: mediated");
	device("-device vfio-pci", "", "not carried over: -device vfio-pci: no device is given");
	/* Its own slot, that of its root port, one that a disk has, and a second function. */
	device("-device vfio-pci,host=01:00.0,addr=1c.0", "--vfio 01:00.0,slot=28", NULL);
	device("-device pcie-root-port,id=p,addr=5 -device vfio-pci,host=01:00.0,bus=p,addr=0.0",
	       "--vfio 01:00.0,slot=5", NULL);
	/* Ports without a device are for hotplug, if there is a control socket. */
	device("-device pcie-root-port,id=p -device pcie-root-port,id=q -device vfio-pci,host=01:00.0,bus=q "
	       "-qmp unix:/s,server=on,wait=off",
	       "--vfio 01:00.0 --qmp unix:/s --hotplug 1",
	       "changed: -device pcie-root-port,id=p: device_add takes the slots hotplug0 to hotplug0");
	many_ports(29, "--qmp unix:/s --hotplug 29",
		   "changed: -device pcie-root-port,id=p28: device_add takes the slots hotplug0 to "
		   "hotplug28 as bus=, or none");
	many_ports(31, "--qmp unix:/s --hotplug 29",
		   "changed: -device pcie-root-port,id=p30: device_add takes the slots hotplug0 to "
		   "hotplug28 as bus=, or none; a machine has at most 29, not 31");
	device("-device pcie-root-port,id=p", "", NULL);
	device("-device pcie-root-port,id=p,hotplug=off -qmp unix:/s", "--qmp unix:/s", NULL);
	device("-device vfio-pci,host=01:00.0,addr=1 -drive file=x,if=virtio",
	       "--disk x --vfio 01:00.0", NULL);
	device("-device vfio-pci,host=01:00.1,addr=5.1", "--vfio 01:00.1", NULL);
	device("-device usb-host,hostbus=2,hostport=1", "--usb 2-1", NULL);
	device("-device usb-host,hostbus=2,hostport=1.4,port=3,guest-reset=off",
	       "--usb 2-1.4,port=3,reset=off", NULL);
	device("-device usb-host,hostdevice=/dev/bus/usb/001/004", "--usb /dev/bus/usb/001/004",
	       NULL);
	device("-device usb-host,vendorid=0x46d,productid=49970", "--usb 046d:c332", NULL);
	device("-device usb-host,vendorid=0x46d", "",
	       "not carried over: -device usb-host,vendorid=0x46d: which device is not clear");
	device("-device usb-ehci -device usb-host,hostbus=1,hostaddr=4", "--usb 1.4",
	       "changed: -device usb-ehci: an xHCI controller takes its place");
	device("-device qemu-xhci -qmp unix:/s", "--usb none --qmp unix:/s",
	       "not needed: -device qemu-xhci: the machine has an xHCI controller");
	device("-device usb-host,hostbus=1,hostaddr=4 -usb -usbdevice host:0781:5567",
	       "--usb 1.4 --usb 0781:5567", "not needed: -usb: the machine has an xHCI controller");
	device("-device vt82c686b-usb-uhci", "",
	       "changed: -device vt82c686b-usb-uhci: an xHCI controller takes its place");
	device("-device ich9-usb-ehci1,id=usb -device ich9-usb-uhci1,masterbus=usb.0,firstport=0 "
	       "-device usb-host,bus=usb.0,vendorid=0x781,productid=0x5567",
	       "--usb 0781:5567", "changed: -device ich9-usb-uhci1");
	device("-device $DEV", "", "not carried over: -device $DEV: what it stands for");
	device("-device vfio-pci,host=01:00.0,$MORE", "--vfio 01:00.0",
	       "not carried over: -device vfio-pci,$MORE: what it stands for");
}

#define BY_ID "/dev/input/by-id/usb-K-event-kbd"

static void test_input(void **state)
{
	(void)state;
	device("-object input-linux,id=kbd,evdev=" BY_ID ",grab_all=on,repeat=on", "--input " BY_ID,
	       "not needed: -object input-linux,repeat: the guest repeats keys");
	device("-object input-linux,id=m,evdev=/a,grab_all=off", "--input /a",
	       "changed: -object input-linux,grab_all=off: all --input devices");
	device("-object input-linux,id=mouse,evdev=/dev/input/event1", "--input /dev/input/event1",
	       NULL);
	device("-object input-linux,id=k,evdev=/a,grab-toggle=ctrl-ctrl", "--input /a", NULL);
	device("-object input-linux,id=k,evdev=/a,grab-toggle=scrolllock", "--input /a",
	       "changed: -object input-linux,grab-toggle=scrolllock: both Ctrl keys");
	device("-object input-linux,id=k", "",
	       "not carried over: -object input-linux,id=k: it has no evdev=");
	device("-device virtio-input-host-pci,evdev=/dev/input/event2", "--input /dev/input/event2",
	       NULL);
	device("-object input-linux,id=k,evdev=/a -device virtio-keyboard-pci", "--input /a",
	       "not needed: -device virtio-keyboard-pci: with --input, the guest has a USB keyboard");
	device("-object input-linux,id=k,evdev=/a -device qemu-xhci -device usb-tablet,bus=usb.0",
	       "--input /a", "changed: -device usb-tablet,bus=usb.0: there is no emulated tablet");
	device("-device virtio-mouse-pci,id=m", "",
	       "not carried over: -device virtio-mouse-pci,id=m: lend the guest a keyboard or mouse");
	device("-usbdevice tablet", "", "not carried over: -usbdevice tablet: there is no emulated");
	device("-usb -device usb-kbd", "", "not carried over: -device usb-kbd: lend the guest");
	device("-usbdevice mouse", "", "not carried over: -usbdevice mouse: lend the guest");
	device("-object input-barrier,id=b", "", "not carried over: -object input-barrier");
}

static void test_ports(void **state)
{
	(void)state;
	device("-serial mon:stdio -serial unix:/a,server=on,wait=off -monitor none",
	       "--serial stdio --serial unix:/a", NULL);
	device("-serial tcp::4444,server -serial file:x", "--serial null --serial file:x",
	       "not carried over: -serial tcp::4444,server: ");
	device("-chardev socket,id=c,path=/s,server=on -serial chardev:c", "--serial unix:/s",
	       NULL);
	device("-chardev pty,id=c -device isa-serial,chardev=c", "--serial pty", NULL);
	device("-chardev file,id=c,path=/x -device virtio-serial -device virtconsole,chardev=c",
	       "--console file:/x", NULL);
	device("-debugcon file:d -global isa-debugcon.iobase=0x402", "--debugcon d", NULL);
	device("-object rng-random,id=r,filename=/dev/urandom -device virtio-rng-pci,rng=r",
	       "--rng", NULL);
	device("-nographic -vga none -display none -parallel none", "", NULL);
	device("-vga 'a\nb'", "", "not carried over: -vga a?b: ");
	device("-vga qxl", "", "not carried over: -vga qxl: minivmm emulates no display");
	device("-monitor stdio", "", "not carried over: -monitor stdio: ");
	device("-device frobnicator,x=y", "",
	       "not carried over: -device frobnicator,x=y: minivmm has no such option or device");
	device("-frobnicate hard", "",
	       "not carried over: -frobnicate hard: this option is unknown");
	device("\"${ARGS[@]}\"", "", "not carried over: ${ARGS[@]}: what it stands for");
}

static void test_script(void **state)
{
	static const char text[] =
		"Don't read this as shell: kvm.\n"
		"# qemu-system-x86_64 -m 1\n"
		"if ! sudo \\\n /usr/bin/qemu-system-x86_64 -m 2G; then exit; fi\n"
		"qemu-system-x86_64 is a program; modprobe kvm\n"
		"echo qemu-kvm\n"
		"$ kvm 'x\n.img' >log 2>&1 &\n";
	struct import_script s;
	scoped_free char *got = NULL;

	(void)state;
	import_free(&im);
	assert_int_equal(import_script(&s, text), 2);
	assert_int_equal(s.command[0].line, 3);
	assert_int_equal(s.command[1].line, 7);
	assert_int_equal(import_qemu(&im, &s.command[0].words, NULL), 0);
	assert_string_equal(im.line.word[0], "sudo minivmm");
	import_free(&im);
	assert_int_equal(import_qemu(&im, &s.command[1].words, NULL), 0);
	got = import_text(&im);
	assert_string_equal(got, "minivmm --disk 'x\n.img' >log 2>&1\n");
	import_free(&im);
	import_script_free(&s);
	assert_int_equal(import_script(&s, "nothing of the kind\nqemu-system-x86_64 'open\n"), 0);
	import_script_free(&s);
}

/* The lines of a here-document are not commands, whatever they contain. What follows them is read.
 */
static void test_heredocs(void **state)
{
	static const char text[] = "cat >a <<EOF\n"
				   "qemu-system-x86_64 -m 1G 'open\n"
				   "EOF\n"
				   "qemu-system-x86_64 -m 2G <<-'END OF IT' >log\n"
				   "qemu-system-x86_64 -m 3G\n"
				   "EOF\n"
				   "\tEND OF IT\n"
				   "cat <<A <<\"B\" # two\n"
				   "kvm -m 4G\n"
				   "A\n"
				   "B \n"
				   "kvm -m 5G\n"
				   "B\r\n"
				   "x=$((1 << 3)) # and it's <<NOTHING\n"
				   "echo '<<A' \"<<A\" \\<<A <<<A\n"
				   "kvm -m 6G\n";
	struct import_script s;
	scoped_free char *got = NULL;

	(void)state;
	import_free(&im);
	assert_int_equal(import_script(&s, text), 2);
	assert_int_equal(s.command[0].line, 4);
	assert_int_equal(s.command[1].line, 16);
	assert_int_equal(import_qemu(&im, &s.command[0].words, NULL), 0);
	got = import_text(&im);
	assert_string_equal(got, "minivmm --memory 2G >log\n");
	assert_true(im.lost);
	assert_non_null(strstr(im.note.word[0], "not carried over: <<-'END OF IT': the lines"));
	import_free(&im);
	import_script_free(&s);
}

static int clean(void **state)
{
	(void)state;
	import_free(&im);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tutorial),  cmocka_unit_test(test_machine),
		cmocka_unit_test(test_placement), cmocka_unit_test(test_firmware),
		cmocka_unit_test(test_disks),	  cmocka_unit_test(test_net),
		cmocka_unit_test(test_vfio),	  cmocka_unit_test(test_input),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_script),	  cmocka_unit_test(test_heredocs),
		cmocka_unit_test(test_vhost_user),
	};

	return cmocka_run_group_tests(tests, NULL, clean);
}
