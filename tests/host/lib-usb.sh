# For the scripts of USB devices, after lib.sh: a guest that uses them (guest-tests/initramfs/usb), and devices of the host
# that are made of software.
# shellcheck shell=bash

usb_bin=/project/build/l1

# usb_initrd: makes /tmp/usb.initrd: the guest's initramfs, its init, the programs and the modules that it needs besides.
usb_initrd() {
	local m file
	mkdir -p /tmp/usb-extra
	cp /project/guest-tests/initramfs/usb /tmp/usb-extra/
	for m in usbtest uas; do
		file=$(modinfo -n $m)
		case $file in
		*.xz) busybox xz -dc "$file" >/tmp/usb-extra/$m.ko ;;
		*) cp "$file" /tmp/usb-extra/$m.ko ;;
		esac
	done
	mkdir -p /tmp/usb-extra/bin
	cp $usb_bin/usbcases $usb_bin/usbiso /tmp/usb-extra/bin/
	(cd /tmp/usb-extra && find . | cpio --quiet -o -H newc) |
		cat "$GUEST_INITRD" - >/tmp/usb.initrd
}

# usb_guest WORDS: sets usb_boot to the options of minivmm for a guest that does what WORDS say, and usb_words to its words
usb_guest() {
	usb_words="console=ttyS0 quiet rdinit=/bin/sh $1 -- /usb"
	usb_boot=(--kernel "$KERNEL" --initrd /tmp/usb.initrd --memory 256M --append "$usb_words")
}

# ---- a gadget: the device 0525:a4a0, whose other half is the kernel's function SourceSink, on dummy_hcd ----

gadget=/sys/kernel/config/usb_gadget/g
# gadget_make high|super [PATTERN]: the device is there afterwards, with its driver usbtest. The default pattern, 0, has only
# zeros in it, which some cases of usbtest need; 1 finds data in wrong places.
gadget_make() {
	modprobe dummy_hcd is_super_speed=1 && modprobe libcomposite && modprobe usbtest || return 1
	echo "${2:-0}" >/sys/module/usbtest/parameters/pattern
	mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
	[ ! -e $gadget ] || gadget_end # of a script that was killed
	mkdir -p $gadget/functions/SourceSink.0 $gadget/configs/c.1 || return 1
	echo 0x0525 >$gadget/idVendor
	echo 0xa4a0 >$gadget/idProduct
	echo "$1-speed" >$gadget/max_speed
	echo "${2:-0}" >$gadget/functions/SourceSink.0/pattern
	ln -s $gadget/functions/SourceSink.0 $gadget/configs/c.1/
	gadget_plug
}
gadget_plug() {
	local udc
	udc=$(ls /sys/class/udc)
	echo "${udc%%[[:space:]]*}" >$gadget/UDC && wait_for 20 gadget_with usbtest
}
gadget_unplug() { echo "" >$gadget/UDC; }
gadget_end() {
	gadget_unplug
	rm $gadget/configs/c.1/SourceSink.0
	rmdir $gadget/configs/c.1 $gadget/functions/SourceSink.0 $gadget
}

# usb_name ID: prints the name of a device of the host (3-1)
usb_name() {
	local d
	for d in /sys/bus/usb/devices/*; do
		[ -e "$d/idVendor" ] || continue
		[ "$(cat "$d/idVendor"):$(cat "$d/idProduct")" != "$1" ] || { basename "$d"; return 0; }
	done 2>/dev/null
	return 1
}
usb_node() { # ID
	local d
	d=/sys/bus/usb/devices/$(usb_name "$1") || return 1
	printf '/dev/bus/usb/%03d/%03d\n' "$(cat "$d/busnum")" "$(cat "$d/devnum")"
}
# usb_driver ID: prints the driver of its first interface
usb_driver() {
	local name
	name=$(usb_name "$1") && basename "$(readlink "/sys/bus/usb/devices/$name/$name:1.0/driver")" 2>/dev/null
}
gadget_with() { [ "$(usb_driver 0525:a4a0)" = "$1" ]; } # DRIVER
