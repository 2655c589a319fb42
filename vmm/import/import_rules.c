/* SPDX-License-Identifier: BSD-2-Clause */
/* What QEMU's options, devices and properties become: a row each. QEMU's own manual (qemu(1)) says
 * what they do. */
#include "vmm/import/import_parts.h"

const struct import_grammar import_grammar[] = {
	{ "enable-kvm|usb|nographic|daemonize|nodefaults|no-user-config|nodefconfig|no-reboot|"
	  "no-shutdown|no-hpet|no-acpi|no-fd-bootchk|mem-prealloc|snapshot|S|s|localtime|curses|"
	  "full-screen|alt-grab|ctrl-grab|no-quit|sdl|singlestep|old-param|only-migratable|"
	  "tdf|win2k-hack|h|help|version|enable-fips|preconfig|no-kvm|no-frame",
	  NULL },
	{ "machine|M", "type" },
	{ "accel", "accel" },
	{ "cpu", "model" },
	{ "smp", "cpus" },
	{ "m", "size" },
	{ "name", "guest" },
	{ "numa|netdev|nic|net|rtc|tpmdev|audio", "type" },
	{ "boot", "order" },
	{ "device", "driver" },
	{ "object", "qom-type" },
	{ "chardev", "backend" },
	{ "blockdev", "driver" },
	{ "drive", "?" },
	{ "overcommit|realtime|action|global|usbdevice|mon|fsdev|audiodev|spice|sandbox", "?" },
	{ "kernel|initrd|append|bios|pidfile|mem-path|serial|parallel|monitor|qmp|qmp-pretty|vga|"
	  "display|vnc|hd[abcd]|cdrom|fd[ab]|pflash|sd|mtdblock|dtb|option-rom|fw_cfg|smbios|"
	  "acpitable|uuid|watchdog|watchdog-action|rtc-td-hack|virtfs|virtioconsole|debugcon|k|L|D|"
	  "d|"
	  "msg|trace|runas|run-with|chroot|readconfig|writeconfig|loadvm|incoming|gdb|icount|"
	  "soundhw|set|compat|add-fd|seed|echr|tb-size|plugin|semihosting-config|rotate|dfilter|"
	  "shim|perfmap|g|bt|startdate|clock|drift|kvm-shadow-memory|mtdblock",
	  "" },
	{ 0 },
};

#define SAME	 IMPORT_SAME
#define NEEDLESS IMPORT_NEEDLESS
#define CHANGED	 IMPORT_CHANGED
#define LOST	 IMPORT_LOST

#define ITEM(item, fate, say)               \
	{                                   \
		item, NULL, NULL, fate, say \
	}
#define KEY(item, key, fate, say)          \
	{                                  \
		item, key, NULL, fate, say \
	}
#define VAL(item, key, v, fate, say)    \
	{                               \
		item, key, v, fate, say \
	}

#define NO_DISPLAY                                                                           \
	"minivmm emulates no display: pass a graphics card with --vfio, or use --serial or " \
	"--console"
#define INPUT_DEVICES                                                                        \
	"device virtio-keyboard*|device virtio-mouse*|device virtio-tablet*|device usb-kbd|" \
	"device usb-mouse|device usb-tablet|device usb-wacom-tablet|device i8042|"           \
	"device vmmouse|usbdevice keyboard|usbdevice mouse|usbdevice tablet|"                \
	"usbdevice wacom-tablet"
#define NO_SOUND                                                                           \
	"minivmm emulates no sound card: pass a sound card, or the audio function of the " \
	"graphics card, with --vfio"
#define NO_MONITOR "there is no human monitor: use --qmp unix:PATH, and minivmm ctl PATH"
#define NO_SHARE "minivmm shares no folders with the guest: use NFS, SMB or sshfs over the network"
#define NO_PLUG	 "minivmm cannot add memory or processors to a running guest"
#define NO_FDC	 "there is no floppy drive"
#define NO_IVSHMEM                                                                           \
	"minivmm shares no memory with the host, so Looking Glass does not work: connect a " \
	"monitor to the card, or use remote desktop in the guest"
#define ORDER	 "the firmware's boot manager decides the order; --nvram keeps it"
#define OF_QEMUS "this setting is only about QEMU itself"
#define NO_DATE	 "the guest's clock always shows the host's time"

#define NICS                                                                                \
	"device e1000*|device rtl8139|device vmxnet3|device igb|device ne2k*|device pcnet|" \
	"device i8255*|device tulip|device usb-net"
#define DISKS "device virtio-blk*|device scsi-*|device ide-*|device nvme*|device usb-storage"
#define PORTS                                                                           \
	"device isa-serial|device pci-serial|device virtio-serial*|device virtconsole|" \
	"device isa-debugcon"

const struct import_rule import_rules[] = {
	ITEM("* {*", LOST, "JSON is not read here, only key=value"),

	/* The process. */
	ITEM(" ...", CHANGED, "add the options it stands for"),
	ITEM("enable-kvm|accel kvm*|nodefaults|no-user-config|nodefconfig|no-reboot|daemonize",
	     SAME, 0),
	ITEM("name|name *|pidfile *|h|help|version", SAME, 0),
	KEY("name *", "debug-threads", SAME, 0),
	KEY("name *", "process", NEEDLESS, "the process is called as --name says"),
	KEY("name", "debug-threads", SAME, 0),
	KEY("accel kvm*", "*", NEEDLESS, OF_QEMUS),
	ITEM("accel *|no-kvm", CHANGED, "minivmm runs on KVM"),
	KEY("accel *", "*", SAME, 0),
	ITEM("no-shutdown", NEEDLESS, "minivmm ends when the guest powers off"),
	ITEM("action|action *", SAME, 0),
	VAL("action*", "reboot", "shutdown", SAME, 0),
	VAL("action*", "reboot", "reset", SAME, 0),
	VAL("action*", "shutdown", "poweroff", SAME, 0),
	KEY("action*", "*", LOST,
	    "minivmm ends when the guest powers off and resets when it resets"),
	ITEM("S", LOST, "the guest starts running at once"),
	ITEM("s|gdb *", LOST, "minivmm has no debugger stub"),
	ITEM("snapshot", LOST, "writes go to the image: give --disk a copy (cp --reflink=auto)"),
	ITEM("loadvm *|incoming *|only-migratable", LOST,
	     "minivmm cannot save, restore or migrate machines"),
	ITEM("runas *|run-with *|chroot *", LOST,
	     "start minivmm as that user: sudo -u USER minivmm"),
	ITEM("sandbox|sandbox *", LOST, "minivmm does not confine itself"),
	ITEM("D *|d *|trace *|msg *|L *|k *|echr *|seed *|compat *|dfilter *", NEEDLESS, OF_QEMUS),
	ITEM("readconfig *|writeconfig *|set *", LOST,
	     "minivmm does not read QEMU's configuration files"),
	ITEM("monitor none|monitor null|parallel none|parallel null", SAME, 0),
	ITEM("qmp unix:*|qmp-pretty unix:*", SAME, 0),
	ITEM("qmp *|qmp-pretty *", LOST, "a control socket is a unix socket: use --qmp unix:PATH"),
	ITEM("monitor *|mon|mon *", LOST, NO_MONITOR),
	ITEM("parallel *", LOST, "there is no parallel port"),
	ITEM("add-fd *", LOST, "minivmm takes files by their path only"),

	/* The machine. */
	ITEM("machine|M|machine q35*|M q35*|machine pc-q35*|M pc-q35*", SAME, 0),
	ITEM("machine pc*|M pc*|machine ubuntu*|M ubuntu*", CHANGED,
	     "the machine is a Q35: devices are at other PCI addresses"),
	ITEM("machine *|M *", LOST, "minivmm emulates only a Q35 machine"),
	VAL("machine*|M*", "accel", "kvm*", SAME, 0),
	KEY("machine*|M*", "accel", CHANGED, "minivmm runs on KVM"),
	VAL("machine*|M*", "kernel_irqchip|kernel-irqchip", "on|split", SAME, 0),
	VAL("machine*|M*", "smm|nvdimm|memory-encryption|confidential-guest-support|hmat", "off",
	    SAME, 0),
	KEY("machine*|M*", "smm", LOST, "there is no SMM, so no Secure Boot"),
	KEY("machine*|M*",
	    "memory-backend|pflash0|pflash1|usb|vmport|hpet|graphics|sata|smbus|"
	    "dump-guest-core|suppress-vmdesc|kvm-type|pit|pic|i8042|x-*|acpi|"
	    "default*bus*bypass*iommu|mem-merge|fd-bootchk|pcspk-audiodev",
	    SAME, 0),
	ITEM("no-hpet|no-fd-bootchk|win2k-hack", SAME, 0),
	ITEM("no-acpi", LOST, "the guest always has ACPI"),
	ITEM("cpu host|cpu max", SAME, 0),
	ITEM("cpu *", CHANGED, "the guest sees the processor of this host"),
	VAL("cpu *",
	    "hv[-_]time|hv[-_]relaxed|hv[-_]vapic|hv[-_]spinlocks|hv[-_]vendor[-_]id|kvm|"
	    "phys[-_]bits|host[-_]phys[-_]bits[-_]limit",
	    "*", SAME, 0),
	VAL("cpu *", "hv[-_]*", "off", NEEDLESS, "it is off"),
	KEY("cpu *", "hv[-_]*", LOST,
	    "of the Hyper-V interfaces, minivmm has hv_time, hv_relaxed, hv_vapic and "
	    "hv_spinlocks; Windows runs without the others"),
	ITEM("cpu", SAME, 0),
	KEY("cpu *", "migratable|host-cache-info|l3-cache|host[-_]phys[-_]bits|check|enforce",
	    NEEDLESS, OF_QEMUS),
	KEY("cpu *",
	    "pmu|lmce|kvm[-_]*|x-*|legacy-*|*level*|family|model|stepping|vendor|model-id|"
	    "tsc-frequency|cpuid-*|full-*|fill-*|vmware-*|xen-*",
	    LOST, "the guest sees everything that this processor and KVM offer"),
	KEY("cpu *", "[-+]*", SAME, 0), /* what KVM offers is there; what is hidden --cpu hides */
	VAL("cpu *", "[a-z]*", "on|true|yes|off|false|no", SAME, 0),
	KEY("cpu *", "*", LOST, "the guest sees everything that this processor and KVM offer"),
	ITEM("smp|smp *", SAME, 0),
	KEY("smp*", "cpus|sockets|cores|threads|dies|clusters|modules", SAME, 0),
	KEY("smp*", "maxcpus", NEEDLESS, NO_PLUG),
	ITEM("m|m *|mem-path *|mem-prealloc", SAME, 0),
	KEY("m|m *", "size", SAME, 0),
	KEY("m|m *", "slots|maxmem", LOST, NO_PLUG),
	ITEM("overcommit|realtime", SAME, 0),
	KEY("overcommit|realtime", "mem-lock|mlock|cpu-pm", SAME, 0),
	ITEM("object memory-backend-*", SAME, 0),
	VAL("object memory-backend-*", "policy", "bind|default", SAME, 0),
	KEY("object memory-backend-*", "policy", CHANGED, "memory is bound to the nodes of nodes="),
	KEY("object memory-backend-*", "*", SAME, 0),
	ITEM("numa *|numa", CHANGED,
	     "the guest gets one node for each node in nodes=, each with an equal share of memory "
	     "and processors"),
	KEY("numa*", "*", SAME, 0),
	ITEM("rtc|rtc *|global *|global", SAME, 0),
	VAL("rtc*", "base", "utc|localtime", SAME, 0),
	KEY("rtc*", "base", LOST, NO_DATE),
	VAL("rtc*", "clock", "host", SAME, 0),
	VAL("rtc*", "driftfix", "none", SAME, 0),
	KEY("rtc*", "driftfix", NEEDLESS,
	    "missed ticks are dropped; with hv_time Windows does not count ticks"),
	KEY("rtc*", "*", LOST, NO_DATE),
	ITEM("localtime", SAME, 0),
	ITEM("startdate *", LOST, NO_DATE),
	KEY("global*",
	    "ICH9-LPC.disable_s3|ICH9-LPC.disable_s4|PIIX4_PM.disable_s*|"
	    "kvm-pit.lost_tick_policy|isa-debugcon.iobase|driver|property|value",
	    SAME, 0),
	VAL("global*", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support", "*", SAME, 0),
	KEY("global*", "*", LOST, "the devices of minivmm have no such setting"),

	/* Boot. */
	ITEM("kernel *|initrd *|append *|bios *|pflash *|debugcon *", SAME, 0),
	ITEM("boot", SAME, 0),
	ITEM("boot *", NEEDLESS, ORDER),
	KEY("boot*", "menu|strict", SAME, 0),
	KEY("boot*", "once", NEEDLESS, ORDER),
	KEY("boot*", "*", LOST, "the firmware has no such setting"),
	ITEM("dtb *|shim *|option-rom *|fw_cfg *", LOST,
	     "the guest gets only the tables and ROMs that minivmm makes"),
	ITEM("smbios *|uuid *|acpitable *", LOST, "minivmm makes these tables itself"),

	/* Display, input, sound. */
	ITEM("vga none|display none|nographic|audio none", SAME, 0),
	ITEM("vga *|display *|vnc *|spice|spice *|sdl|curses|full-screen|alt-grab|ctrl-grab|g *|"
	     "rotate *|no-frame|no-quit",
	     LOST, NO_DISPLAY),
	ITEM("device VGA|device qxl*|device virtio-vga*|device virtio-gpu*|device bochs-display|"
	     "device ramfb|device secondary-vga|device cirrus-vga|device vmware-svga|"
	     "device ati-vga|device vhost-user-gpu*|device vhost-user-vga",
	     LOST, NO_DISPLAY),
	ITEM("object input-linux|" INPUT_DEVICES, SAME, 0), /* import_devices.c */
	KEY("object input-linux", "id|evdev", SAME, 0),
	KEY("object input-linux", "repeat", NEEDLESS, "the guest repeats keys by itself"),
	VAL("object input-linux", "grab_all", "on|yes|true", SAME, 0),
	KEY("object input-linux", "grab_all", CHANGED, "all --input devices are switched together"),
	VAL("object input-linux", "grab-toggle", "ctrl-ctrl", SAME, 0),
	KEY("object input-linux", "grab-toggle", CHANGED,
	    "both Ctrl keys together switch between the guest and the host"),
	KEY(INPUT_DEVICES, "*", SAME, 0),
	ITEM("device virtio-input-host*", SAME, 0),
	KEY("device virtio-input-host*", "evdev", SAME, 0),
	ITEM("object input-*|device virtio-input*", LOST,
	     "lend the guest a keyboard or mouse of the host with --input"),
	ITEM("soundhw *|audio|audio *|audiodev|device intel-hda|device ich9-intel-hda|device hda-*|"
	     "device AC97|device ES1370|device usb-audio|device virtio-sound*|device sb16",
	     LOST, NO_SOUND),

	/* USB. */
	ITEM("usb|device qemu-xhci|device nec-usb-xhci", NEEDLESS,
	     "the machine has an xHCI controller when it has a --usb or --input"),
	ITEM("device usb-ehci|device ich9-usb-*|device piix*-usb-*|device pci-ohci|"
	     "device vt82c686b-usb-uhci",
	     CHANGED,
	     "an xHCI controller takes its place, which is there with --usb and --input; every "
	     "guest but Windows 7 has a driver for it"),
	ITEM("device usb-hub", NEEDLESS, "the controller has up to 15 ports"),
	ITEM("device usb-host|usbdevice host*", SAME, 0),
	KEY("device usb-host", "guest-resets-all|isobufs|isobsize|loglevel|pipeline|"
			       "suppress-remote-wake|bootindex",
	    NEEDLESS, OF_QEMUS),
	KEY("device usb-host|usbdevice*", "*", SAME, 0),
	ITEM("usbdevice", SAME, 0),
	ITEM("usbdevice *|device usb-redir|device usb-mtp|device usb-serial|device usb-ccid|"
	     "device ccid-*|device u2f-*|device usb-bt*|device usb-uas|device usb-bot",
	     LOST, "minivmm emulates no such USB device: pass one of the host's with --usb"),

	/* Passed-through devices. */
	ITEM("device vfio-pci|device vfio-pci-nohotplug", SAME, 0),
	KEY("device vfio-pci*",
	    "host|sysfsdev|romfile|rombar|x-vga|x-no-mmap|iommufd|"
	    "x-nv-gpudirect-clique",
	    SAME, 0),
	VAL("device vfio-pci*",
	    "display|ramfb|x-balloon-allowed|enable-migration|x-req|x-intx-mmap-timeout-ms|"
	    "x-no-kvm-*|x-no-vfio-ioeventfd|x-pci-*-id|guest_reset_host",
	    "off|0", SAME, 0),
	KEY("device vfio-pci*", "display|ramfb", LOST, NO_DISPLAY),
	KEY("device vfio-pci*", "x-igd-*", LOST,
	    "Intel's integrated graphics are not supported as the primary display"),
	ITEM("object iommufd", SAME, 0),
	KEY("object iommufd", "*", SAME, 0),
	ITEM("device pcie-root-port|device ioh3420|device pcie-pci-bridge|device pci-bridge|"
	     "device i82801b11-bridge|device x3130*|device xio3130*|device dmi-pci-bridge|"
	     "device pcie-root-port-*",
	     SAME, 0), /* every card gets a root port of its own */
	KEY("device pcie-*|device ioh3420|device pci-bridge|device i82801b11-bridge|device x3130*|"
	    "device xio3130*|device dmi-pci-bridge",
	    "*", SAME, 0),
	ITEM("device pxb*", LOST, "the guest has only one PCI root"),

	/* Disks. */
	ITEM("drive|blockdev *|blockdev|hd[abcd] *|cdrom *| *", SAME, 0),
	KEY("drive*|blockdev*",
	    "file|file.filename|file.driver|filename|driver|if|format|media|id|index|"
	    "bus|unit|readonly|read-only|node-name|auto-read-only|locking|"
	    "file.node-name|file.locking|file.aio|file.cache.*|force-share",
	    SAME, 0),
	VAL("drive*|blockdev*",
	    "snapshot|copy-on-read|detect-zeroes|cache.no-flush|file.detect-zeroes", "off", SAME,
	    0),
	VAL("drive*", "cache", "none|writeback", SAME, 0),
	KEY("drive*", "cache", CHANGED, "writes reach the disk when the guest asks for it (flush)"),
	VAL("drive*|blockdev*", "cache.no-flush", "*", CHANGED,
	    "flushes of the guest are always carried out"),
	KEY("drive*|blockdev*", "cache.direct|cache.writeback", SAME, 0),
	VAL("drive*|blockdev*", "aio", "native|io_uring", SAME, 0),
	KEY("drive*|blockdev*", "aio", CHANGED,
	    "minivmm has no thread pool: it uses io_uring or libaio, whichever the host permits"),
	KEY("drive*|blockdev*", "discard|detect-zeroes|file.discard|copy-on-read", NEEDLESS,
	    "discards of the guest are carried out if the image supports them"),
	KEY("drive*", "serial", SAME, 0),
	KEY("drive*", "snapshot", LOST, "writes go to the image: give --disk a copy"),
	KEY("drive*|blockdev*", "werror|rerror|on-*", NEEDLESS, "errors are reported to the guest"),
	KEY("drive*", "bps*|iops*|throttling*", LOST,
	    "minivmm does not throttle disks: use io.max of a cgroup"),
	KEY("drive*|blockdev*", "backing*", NEEDLESS,
	    "the conversion to a raw image includes the backing file"),
	ITEM("device virtio-blk*|device scsi-hd|device scsi-disk|device ide-hd|device ide-drive|"
	     "device nvme|device nvme-ns|device usb-storage|device scsi-cd|device ide-cd|"
	     "device scsi-block|device scsi-generic",
	     SAME, 0),
	KEY(DISKS,
	    "drive|num-queues|serial|lun|scsi-id|channel|unit|removable|device_id|ver|model|wwn|"
	    "nsid|max_ioqpairs|scsi",
	    SAME, 0),
	KEY(DISKS,
	    "iothread*|queue-size|write-cache|config-wce|discard|write-zeroes|werror|rerror|"
	    "request-merging|seg-max-adjust|rotation_rate|discard_granularity|*io_size",
	    NEEDLESS,
	    "minivmm chooses this itself: each queue of a disk has its own thread and ring"),
	ITEM("device vhost-user-blk*|netdev vhost-user", SAME, 0),
	KEY("device vhost-user-blk*|netdev vhost-user", "chardev", SAME, 0),
	KEY("device vhost-user-blk*", "num-queues", SAME, 0),
	KEY("device vhost-user-blk*", "queue-size|config-wce", NEEDLESS,
	    "minivmm chooses this itself"),
	VAL(DISKS, "logical_block_size", "512|4096", SAME, 0),
	VAL(DISKS, "physical_block_size", "512", SAME, 0),
	KEY(DISKS, "physical_block_size", NEEDLESS,
	    "the guest gets the block size of the host's storage"),
	VAL("device *", "share-rw", "off", SAME, 0),
	KEY("device *", "share-rw", LOST, "an image can be used by one machine only"),
	ITEM("device virtio-scsi*|device ahci|device ich9-ahci|device lsi*|device megasas*|"
	     "device pvscsi|device piix*-ide|device vhost-scsi*",
	     NEEDLESS, "every disk is a PCI device of its own"),
	ITEM("fd[ab] *|device floppy|device isa-fdc", LOST, NO_FDC),
	ITEM("object iothread|object thread-context", SAME, 0),
	KEY("object iothread|object thread-context", "*", SAME, 0),

	/* Network. */
	ITEM("netdev user|nic user|net user|netdev passt|nic", LOST,
	     "there is no user-mode network: --net tap (hostfwd= becomes a rule of the host's "
	     "firewall), or a NIC's virtual function with --vfio"),
	ITEM("net none|nic none|net nic", SAME, 0),
	ITEM("netdev tap|netdev bridge|nic tap|nic bridge|net tap|net bridge", SAME, 0),
	KEY("net nic", "macaddr", LOST, "write --net tap,mac="),
	KEY("net*|nic*", "id|ifname|script|downscript|br|helper|mac|model|netdev|name|addr", SAME,
	    0),
	VAL("net*|nic*", "vhost", "on|off", SAME, 0), /* minivmm uses it where it is */
	KEY("net*|nic*", "vhostforce|sndbuf|vnet_hdr|poll-us", NEEDLESS, OF_QEMUS),
	KEY("net*|nic*", "queues", SAME, 0), /* with the card's mq= */
	KEY("net*|nic*", "fd|fds|vhostfd|vhostfds", LOST,
	    "the tap device is opened by name: --net tap,ifname="),
	ITEM("netdev *|nic *|net *", LOST,
	     "minivmm has only tap devices (--net tap) and passed-through NICs (--vfio)"),
	ITEM("device virtio-net*", SAME, 0),
	ITEM(NICS, CHANGED,
	     "the card is virtio-net: Linux has the driver, Windows needs it installed "
	     "(virtio-win)"),
	KEY("device virtio-net*|" NICS, "netdev|mac|romfile|rombar", SAME, 0),
	KEY("device virtio-net*", "mq|rx_queue_size|tx_queue_size|host_mtu", SAME, 0),
	KEY("device virtio-net*", "vectors", NEEDLESS, "every queue has a vector of its own"),
	KEY("device virtio-net*",
	    "csum|gso|guest_*|host_*|mrg_rxbuf|"
	    "status|ctrl_*|event_idx|tx|speed|duplex|rss|hash",
	    NEEDLESS, "the card always offers all the features that it has"),

	/* Other devices. */
	ITEM("serial *|" PORTS, SAME, 0),
	ITEM("chardev *", SAME, 0), /* who uses it is judged */
	KEY("chardev *", "*", SAME, 0),
	KEY(PORTS, "chardev|name|index|iobase|irq|nr|max_ports|readback", SAME, 0),
	ITEM("device virtserialport|device spiceport|device pci-serial-*x", LOST,
	     "the virtio console has only one port, so a guest agent cannot be used: use ssh"),
	ITEM("device virtio-rng*|object rng-*", SAME, 0),
	KEY("device virtio-rng*|object rng-*", "rng|filename|id", SAME, 0),
	KEY("device virtio-rng*", "max-bytes|period", NEEDLESS,
	    "the host kernel's random numbers do not run out"),
	ITEM("device isa-debug-exit", CHANGED,
	     "port 0xf4 is always there: what the guest writes is the exit status itself"),
	KEY("device isa-debug-exit", "iobase|iosize", SAME, 0),
	ITEM("device ivshmem*", LOST, NO_IVSHMEM),
	ITEM("tpmdev|tpmdev *|device tpm-*", LOST,
	     "there is no TPM; Windows 11 asks for one when it is installed"),
	ITEM("virtfs *|fsdev|fsdev *|device virtio-9p*|device vhost-user-fs*", LOST, NO_SHARE),
	ITEM("device virtio-balloon*|balloon *|balloon", NEEDLESS,
	     "memory of a guest with passed-through devices cannot be taken back"),
	ITEM("device pc-dimm|device nvdimm|device virtio-mem*|device virtio-pmem*", LOST, NO_PLUG),
	ITEM("device vhost-vsock*", LOST, "there are no vsock sockets: use the network"),
	ITEM("watchdog *|watchdog-action *|device i6300esb|device ib700|device iTCO-wdt", LOST,
	     "minivmm has no watchdog"),
	ITEM("device pvpanic*|device vmcoreinfo|device vmgenid|device vmclock", NEEDLESS,
	     "guests do not need it"),
	ITEM("device intel-iommu|device amd-iommu|device virtio-iommu*", LOST,
	     "minivmm emulates no IOMMU, so the guest cannot pass devices on"),
	ITEM("object secret*|object tls-creds*|object authz*", NEEDLESS,
	     "no part of minivmm uses it"),
	ITEM("object throttle-group", LOST,
	     "minivmm does not throttle disks: use io.max of a cgroup"),
	ITEM("object sev-*|object tdx-*", LOST, "minivmm does not encrypt guest memory"),

	/* What every device may say. */
	KEY("device *|object rng-*",
	    "id|bus|multifunction|addr|disable-legacy|disable-modern|packed|"
	    "iommu_platform|ats|acpi-index|page-per-vq|any_layout|"
	    "indirect_desc|event_idx|notify_on_empty|port|chassis|slot|"
	    "hotplug|pref64-reserve|mem-reserve|io-reserve|x-pcie-*|"
	    "failover",
	    SAME, 0),
	KEY("device *", "bootindex", NEEDLESS, ORDER),
	{ 0 },
};
