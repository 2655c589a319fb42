# shellcheck shell=sh disable=SC2154 # variables of the other parts
# Finds devices by their kind, and their drivers and modules; also functions that every step uses.

pci=/sys/bus/pci/devices

# pci_find PATTERN ...: prints the addresses of the devices whose vendor:device:class matches a PATTERN.
pci_find() {
	for d in "$pci"/*; do
		[ -e "$d/class" ] || continue
		read -r vendor <"$d/vendor"
		read -r device <"$d/device"
		read -r class <"$d/class"
		for pattern in "$@"; do
			# shellcheck disable=SC2254 # a pattern is meant
			case $vendor:$device:$class in
			$pattern) echo "${d##*/}"; break ;;
			esac
		done
	done
}

ids_of() {
	case $1 in
	nvme) echo '*:*:0x010802' ;;
	usb) echo '*:*:0x0c0330' ;;
	igbvf) echo '0x8086:0x10ca:* 0x8086:0x152d:* 0x8086:0x1520:* 0x8086:0x152f:*' ;;
	e1000) echo '0x8086:0x100[0-9a-f]:* 0x8086:0x101[0-9a-e]:*' ;;
	e1000e) echo '0x8086:0x10d3:* 0x8086:0x10f6:*' ;;
	edu) echo '0x1234:0x11e8:*' ;;
	gpu) echo '0x1234:0x1111:*' ;;
	audio) echo '*:*:0x0403??' ;;
	testdev) echo '0x1b36:0x0005:*' ;;
	virtio_blk) echo '0x1af4:0x1042:*' ;;
	virtio_net) echo '0x1af4:0x1041:*' ;;
	virtio_console) echo '0x1af4:0x1043:*' ;;
	virtio_rng) echo '0x1af4:0x1044:*' ;;
	esac
}

devices_of() {
	set -f
	# shellcheck disable=SC2046 # several patterns
	set -- $(ids_of "$1")
	set +f
	pci_find "$@"
}

driver_of() {
	case $1 in
	usb) echo xhci_hcd ;;
	gpu) echo bochs-drm ;;
	audio) echo snd_hda_intel ;;
	*) echo "$1" ;;
	esac
}

modules_of() {
	case $1 in
	usb) echo xhci_pci usb-storage sd_mod ;;
	gpu) echo bochs ;;
	audio) echo snd-hda-codec-generic snd-hda-intel ;;
	virtio_rng) echo virtio-rng ;;
	nvme | igbvf | e1000 | e1000e | virtio_blk | virtio_net | virtio_console) echo "$1" ;;
	esac
}

# Prints the PCI path of the device with the root file system, so that no step unbinds or overwrites it.
root_path() {
	dev=$(awk '$5 == "/" { print $3; exit }' /proc/self/mountinfo)
	[ ! -e "/sys/dev/block/$dev" ] || readlink -f "/sys/dev/block/$dev"
}

# holds_root ADDRESS: true if the root file system is on this device
holds_root() {
	case $(root_path) in
	*/"$1"/*) return 0 ;;
	esac
	return 1
}

fail() {
	echo "$*"
	exit 1
}

# wait_for SECONDS COMMAND ...: waits until the command succeeds
wait_for() {
	tries=$(($1 * 10))
	shift
	until "$@"; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || return 1
		sleep 0.1
	done
}

bound() {
	[ -e "$pci/$1/driver" ]
}

exists() {
	[ -e "$1" ]
}

load() {
	for module in $(modules_of "$1"); do
		# Set the delay to 0; otherwise a USB disk appears a second late.
		case $module in
		usb-storage) modprobe usb-storage delay_use=0 || fail "modprobe $module failed" ;;
		*) modprobe "$module" || fail "modprobe $module failed" ;;
		esac
	done
}

# need STEP: sets $devices, loads the driver, and waits until it is bound to all of them.
need() {
	devices=$(devices_of "$1")
	[ -n "$devices" ] || fail "no such device: nothing on the PCI bus matches $(ids_of "$1")"
	load "$1"
	for a in $devices; do
		wait_for 10 bound "$a" || fail "driver $(driver_of "$1") did not take $a$(complaint "$a")"
	done
}

# complaint ADDRESS: prints the kernel's last message about a device, for failures
complaint() {
	dmesg 2>/dev/null | grep -F "$1" | tail -n 1 | sed 's/^\[[^]]*\] */: /'
}

# add TEXT: adds TEXT to the detail line
detail=
add() {
	detail="$detail${detail:+; }$*"
}

finish() {
	echo "$detail"
	exit 0
}

uptime_ms() {
	read -r now _ </proc/uptime
	echo "${now%.*}${now#*.}0"
}
