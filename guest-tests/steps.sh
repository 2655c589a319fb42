#!/bin/sh
# steps.sh: the hardware checks that run inside a guest, from the initramfs and from Debian alike.
#
#   steps.sh run [WORD ...]   run every step asked for; print a STEP line each, then the VERDICT
#   steps.sh one STEP [WORD ...]   run one step here; print its detail; exit status 0 when right
#   steps.sh get KEY [WORD ...]    print the value of a word
#
# A WORD is KEY=VALUE. WORDs of the kernel's command line come last and win:
#   steps=a,b,c       default: boot, cpus and whatever hardware is present
#   limit=60          seconds a step may take before it counts as hung
#   cpus=N            CPUs that must be online
#   topology=S,C,T    sockets, cores of one, threads of one that must be there
#   flags=F,G         words of /proc/cpuinfo that must be there; noflags=: must not
#   kvm=0             no KVM may be seen
#   net=10.0.2.50     address of the interface under test, /24; gw=: whom to ping (default: .2)
#   nvme_disk=A,B     names of the test disks that must be there (make-disk); usb_disk= likewise
#   numa=N            nodes there must be; numa_cpus=0-1,2-3: their CPUs; numa_distance=21: from node 0 to 1;
#                     numa_pci=N: the node of PCI devices
#   edu_bits=28       DMA address bits of the edu device;  membar=MIB: size pci-testdev must have
#   netbulk=MD5       of what the host sends to whoever connects to port 7000 of .100 of that network
#   irqmove=200       how often irqmove moves the interrupts under load
#   load=nvme,igbvf   what bulk works with, one after the other, bulk=12 seconds each
#   then=, hold=      poweroff, reboot, shell, button: what follows the verdict; read by the caller
#
# Devices are found by PCI id or class, never by address. Only the modules a step needs are loaded:
# each one costs time in an emulated machine. Works with busybox and with Debian's dash.
set -u

pci=/sys/bus/pci/devices
work=/run/minivmm-steps
self=$0

# Values come from outside (a file on a FAT partition, a command line), so only plain ones pass.
word_value() {
	key=$1 value=''
	shift
	for word in "$@"; do
		case $word in
		"$key"=*[!A-Za-z0-9_.,:-]*) ;;
		"$key"=*) value=${word#*=} ;;
		esac
	done
	echo "$value"
}

# --- finding things ---------------------------------------------------------------------------

# pci_find PATTERN ...: addresses of the devices whose vendor:device:class matches one of them.
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

# The PCI path the root file system hangs from, so that nobody unbinds or overwrites it.
root_path() {
	dev=$(awk '$5 == "/" { print $3; exit }' /proc/self/mountinfo)
	[ ! -e "/sys/dev/block/$dev" ] || readlink -f "/sys/dev/block/$dev"
}

# holds_root ADDRESS
holds_root() {
	case $(root_path) in
	*/"$1"/*) return 0 ;;
	esac
	return 1
}

# --- small things -----------------------------------------------------------------------------

fail() {
	echo "$*"
	exit 1
}

# wait_for SECONDS COMMAND ...: until the command succeeds
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
		# Without the pause: a USB disk otherwise appears a second late.
		case $module in
		usb-storage) modprobe usb-storage delay_use=0 || fail "modprobe $module failed" ;;
		*) modprobe "$module" || fail "modprobe $module failed" ;;
		esac
	done
}

# need STEP: sets $devices; loads the driver and waits until it has taken every one of them.
need() {
	devices=$(devices_of "$1")
	[ -n "$devices" ] || fail "no such device: nothing on the PCI bus matches $(ids_of "$1")"
	load "$1"
	for a in $devices; do
		wait_for 10 bound "$a" || fail "driver $(driver_of "$1") did not take $a$(complaint "$a")"
	done
}

# complaint ADDRESS: the kernel's last word about a device, for failures
complaint() {
	dmesg 2>/dev/null | grep -F "$1" | tail -n 1 | sed 's/^\[[^]]*\] */: /'
}

# add TEXT: collects the detail line
detail=
add() {
	detail="$detail${detail:+; }$*"
}

finish() {
	echo "$detail"
	exit 0
}

# --- steps ------------------------------------------------------------------------------------

step_boot() {
	read -r up _ </proc/uptime
	name=
	[ ! -r /etc/os-release ] || name=", $(sed -n 's/^PRETTY_NAME="\(.*\)"$/\1/p' /etc/os-release)"
	add "Linux $(uname -r)$name, up $up s"
}

# distinct FILE: how many different lines the CPUs' topology/FILE have
distinct() {
	cat /sys/devices/system/cpu/cpu[0-9]*/topology/"$1" | sort -u | wc -l
}

has_flag() {
	grep -qE "^flags.* $1( |\$)" /proc/cpuinfo
}

step_cpus() {
	online=$(grep -c '^processor' /proc/cpuinfo)
	want=$(word_value cpus "$@")
	[ "${want:-$online}" = "$online" ] || fail "$online online, expected $want"
	sockets=$(distinct physical_package_id)
	cores=$(distinct thread_siblings_list)
	topology=$sockets,$((cores / sockets)),$((online / cores))
	want=$(word_value topology "$@")
	[ "${want:-$topology}" = "$topology" ] || fail "topology is $topology, expected $want"
	# The kernel compares APIC ids of CPUID and MADT, and says so.
	bug=$(dmesg | grep -iE 'firmware bug.*(apic|cpu)|apic id mismatch' | head -n 1)
	[ -z "$bug" ] || fail "$bug"
	for f in $(word_value flags "$@" | tr , ' '); do
		has_flag "$f" || fail "/proc/cpuinfo lacks $f"
	done
	for f in $(word_value noflags "$@" | tr , ' '); do
		! has_flag "$f" || fail "/proc/cpuinfo has $f"
	done
	if [ "$(word_value kvm "$@")" = 0 ] && dmesg | grep -q 'Hypervisor detected'; then
		fail "$(dmesg | grep 'Hypervisor detected')"
	fi
	add "$online online: $topology sockets, cores, threads; APIC ids $(awk '/^apicid/ { printf "%s%s", s, $3; s = "," }' /proc/cpuinfo)"
}

# numa_is WORD VALUE NAME [WORD ...]: VALUE is what WORD says, if it says anything.
numa_is() {
	key=$1 have=$2 what=$3
	shift 3
	want=$(word_value "$key" "$@")
	[ "${want:-$have}" = "$have" ] || fail "$what: $have, expected $want"
}

step_numa() {
	nodes=/sys/devices/system/node
	count=0 cpus='' mib='' on=''
	for d in "$nodes"/node[0-9]*; do
		count=$((count + 1))
		cpus=$cpus${cpus:+,}$(cat "$d/cpulist")
		mib=$mib${mib:+,}$(awk '/MemTotal/ { printf "%d", $4 / 1024 }' "$d/meminfo")
	done
	numa_is numa "$count" nodes "$@"
	numa_is numa_cpus "$cpus" "CPUs of the nodes" "$@"
	numa_is numa_distance "$(cut -d' ' -f2 "$nodes/node0/distance")" "distance of node 1" "$@"
	for d in "$pci"/*; do
		on=$(cat "$d/numa_node")
		numa_is numa_pci "$on" "node of ${d##*/}" "$@"
	done
	add "$count nodes of $mib MiB, CPUs $cpus, distances $(cat "$nodes"/node*/distance | tr '\n' ';') PCI on $on"
}

# nvme_block ADDRESS: block device of the first namespace; "nvme0c1n1" is one path of "nvme0n1".
nvme_block() {
	for n in "$pci/$1"/nvme/nvme*/nvme*n*; do
		[ -e "$n" ] || continue
		n=$(echo "${n##*/}" | sed 's/c[0-9]*n/n/')
		[ -b "/dev/$n" ] || continue
		echo "/dev/$n"
		return 0
	done
	return 1
}

# usb_block ADDRESS: block devices behind this controller
usb_block() {
	found=1
	for b in /sys/block/sd*; do
		case $(readlink -f "$b") in
		*/"$1"/usb*) [ ! -b "/dev/${b##*/}" ] || { echo "/dev/${b##*/}"; found=0; } ;;
		esac
	done
	return $found
}

# virtio_blk_block ADDRESS
virtio_blk_block() {
	for b in "$pci/$1"/virtio*/block/*; do
		[ -b "/dev/${b##*/}" ] || return 1
		echo "/dev/${b##*/}"
	done
}

has_block() {
	"$1"_block "$2" >/dev/null
}

# disk_step KIND WORD ...: check each disk of that kind, and that the named ones are among them.
disk_step() {
	kind=$1
	shift
	need "$kind"
	names=,
	for a in $devices; do
		if holds_root "$a"; then
			add "$a holds the root file system, which came from it"
			continue
		fi
		wait_for 20 has_block "$kind" "$a" || fail "no disk behind $a$(complaint "$a")"
		for dev in $("$kind"_block "$a"); do
			out=$(blkcheck "$dev") || fail "$a ${dev##*/}: $out"
			names=$names${out%% *},
			add "$a ${dev##*/}: $out"
		done
	done
	for name in $(word_value "${kind}_disk" "$@" | tr , ' '); do
		case $names in
		*,"$name",*) ;;
		*) fail "no disk named '$name', only '$(echo "$names" | tr , ' ' | sed 's/^ *//; s/ *$//')'" ;;
		esac
	done
}

step_nvme() {
	disk_step nvme "$@"
}

step_usb() {
	disk_step usb "$@"
}

# fio_on DEV OPTION ...: fio on the scratch half of a test disk, once that has proved to be one; prints what it did.
fio_on() {
	fio_dev=$1
	shift
	blkcheck -r "$fio_dev" >"$work/fio" || fail "${fio_dev##*/}: $(cat "$work/fio")"
	read -r sectors <"/sys/class/block/${fio_dev##*/}/size"
	fio_out=$work/fio.${fio_dev##*/}
	rm -f "$fio_out"
	fio --name=t --filename="$fio_dev" --offset="$((sectors / 4096 + 2))m" --size=4m --bs=4k --iodepth=16 --direct=1 \
		--ioengine=libaio --thread --randrepeat=0 --output-format=terse --terse-version=3 --output="$fio_out" "$@" \
		2>"$fio_out.err" || fail "fio: $(grep -v 'no version information' "$fio_out.err" | head -n 1)"
	# fio(1), terse output version 3: error, KiB read, KiB written, slowest read and write in us
	awk -F ';' 'NF > 56 { if ($5 != 0) exit 1
			slowest = $15 > $56 ? $15 : $56
			printf "%d KiB written, %d KiB read back at depth 16, slowest %.0f ms\n", $47, $6, slowest / 1000; done = 1 }
		END { if (!done) exit 1 }' "$fio_out" || fail "fio: $(cat "$fio_out" "$fio_out.err" | head -n 1)"
}

# Random writes, then each block read back and its checksum compared; new data at every run.
step_fio() {
	need nvme
	for a in $devices; do
		! holds_root "$a" || continue
		wait_for 20 has_block nvme "$a" || fail "no disk behind $a$(complaint "$a")"
		dev=$(nvme_block "$a")
		out=$(fio_on "$dev" --rw=randwrite --verify=crc32c --verify_fatal=1) || fail "$a ${dev##*/}: $out"
		case $out in
		"4096 KiB written, 4096 KiB read"*) add "$a ${dev##*/}: $out" ;;
		*) fail "$a ${dev##*/}: only $out" ;;
		esac
	done
	[ -n "$detail" ] || fail "no disk that may be written"
}

uptime_ms() {
	read -r now _ </proc/uptime
	echo "${now%.*}${now#*.}0"
}

step_virtio_blk() {
	disk_step virtio_blk "$@"
}

carrier() {
	[ "$(cat "/sys/class/net/$1/carrier" 2>/dev/null)" = 1 ]
}

# net_ping IFNAME COUNT: prints "3 of 3 answered, rtt 0.4 ms"
net_ping() {
	out=$(ping -I "$1" -c "$2" -W 5 "$gw" 2>&1)
	rc=$?
	got=$(echo "$out" | sed -n 's/.*, \([0-9][0-9]*\) [a-z ]*received.*/\1/p')
	rtt=$(echo "$out" | sed -n 's/.*= *[0-9.]*\/\([0-9.]*\)\/.*/\1/p')
	echo "${got:-0} of $2 pings of $gw answered${rtt:+, rtt $rtt ms}"
	return $rc
}

net_words() {
	net=$(word_value net "$@")
	net=${net:-10.0.2.50}
	gw=$(word_value gw "$@")
	gw=${gw:-${net%.*}.2}
}

net_up() {
	ip link set "$1" up || return 1
	ip addr add "$net/24" dev "$1" || return 1
	wait_for 15 carrier "$1"
}

# All interfaces get the same address, one after the other, so that no answer can come by another.
net_down() {
	ip addr flush dev "$1"
	ip link set "$1" down
}

nic_names() {
	for n in "$pci/$1"/net/* "$pci/$1"/virtio*/net/*; do
		[ ! -e "$n" ] || echo "${n##*/}"
	done
}

has_nic() {
	[ -n "$(nic_names "$1")" ]
}

nic_step() {
	kind=$1
	shift
	net_words "$@"
	need "$kind"
	for a in $devices; do
		wait_for 10 has_nic "$a" || fail "no interface at $a$(complaint "$a")"
		for ifname in $(nic_names "$a"); do
			read -r mac <"/sys/class/net/$ifname/address"
			net_up "$ifname" || { net_down "$ifname"; fail "$a $ifname: no carrier"; }
			out=$(net_ping "$ifname" 3)
			rc=$?
			net_down "$ifname"
			[ $rc = 0 ] || fail "$a $ifname $mac: $out"
			add "$a $ifname $mac: $out"
		done
	done
}

step_igbvf() {
	nic_step igbvf "$@"
}

step_e1000() {
	nic_step e1000 "$@"
}

step_e1000e() {
	nic_step e1000e "$@"
}

step_virtio_net() {
	nic_step virtio_net "$@"
}

# Lines from the host come back with a word before them, until one says `end`.
step_virtio_console() {
	need virtio_console
	wait_for 10 exists /dev/hvc0 || fail "no /dev/hvc0"
	exec 3<>/dev/hvc0 # kept open: its settings go with the last who has it
	stty raw -echo <&3
	echo ready >&3
	lines=0 bytes=0
	while read -r text <&3; do
		[ "$text" != end ] || break
		echo "guest: $text" >&3
		lines=$((lines + 1)) bytes=$((bytes + ${#text} + 1))
	done
	exec 3>&-
	add "$lines lines, $bytes bytes echoed"
}

step_virtio_rng() {
	need virtio_rng
	name=$(cat /sys/class/misc/hw_random/rng_current)
	case $name in virtio_rng*) ;; *) fail "the kernel's source is '$name'" ;; esac
	kinds=$(head -c 4096 /dev/hwrng | hexdump -v -e '1/1 "%02x\n"' | sort -u | wc -l)
	[ "$kinds" -ge 250 ] || fail "4096 bytes with $kinds different values"
	add "$name: 4096 bytes, $kinds different values"
}

# receive: what the host sends to whoever connects to its port
receive() {
	if command -v nc >/dev/null; then
		nc "${net%.*}.100" 7000 </dev/null
	else
		bash -c "exec cat </dev/tcp/${net%.*}.100/7000"
	fi
}

# received SUM: a whole transfer, compared; prints its bytes.
received() {
	receive >"$work/bulk.$1" || fail "the connection failed after $(wc -c <"$work/bulk.$1") bytes"
	got=$(md5sum <"$work/bulk.$1")
	[ "${got%% *}" = "$1" ] || fail "$(wc -c <"$work/bulk.$1") bytes with MD5 ${got%% *}, expected $1"
	wc -c <"$work/bulk.$1"
}

step_netbulk() {
	net_words "$@"
	sum=$(word_value netbulk "$@")
	[ -n "$sum" ] || fail "netbulk=MD5 is missing: the sum of what the host sends"
	for kind in igbvf e1000 e1000e virtio_net; do
		[ -n "$(devices_of "$kind")" ] || continue
		need "$kind"
		for a in $devices; do
			wait_for 10 has_nic "$a" || fail "no interface at $a$(complaint "$a")"
			for ifname in $(nic_names "$a"); do
				net_up "$ifname" || { net_down "$ifname"; fail "$a $ifname: no carrier"; }
				begin=$(uptime_ms)
				out=$(received "$sum")
				rc=$?
				ms=$(($(uptime_ms) - begin))
				net_down "$ifname"
				[ $rc = 0 ] || fail "$a $ifname: $out"
				add "$a $ifname: $((out >> 20)) MiB as sent, $((out / 1049 / ms)).$((out / 105 / ms % 10)) MiB/s"
			done
		done
	done
	[ -n "$detail" ] || fail "no network interface"
}

step_edu() {
	need_plain edu
	bits=$(word_value edu_bits "$@")
	for a in $devices; do
		out=$(educheck "$pci/$a" "${bits:-28}") || fail "$a: $out"
		add "$a: $out"
	done
}

# For devices no driver of the kernel takes.
need_plain() {
	devices=$(devices_of "$1")
	[ -n "$devices" ] || fail "no such device: nothing on the PCI bus matches $(ids_of "$1")"
}

step_testdev() {
	need_plain testdev
	want=$(word_value membar "$@")
	for a in $devices; do
		# BAR 2 exists only with QEMU's membar=; without it there is nothing large to try.
		out=$(barcheck "$pci/$a" 2) || fail "$a: $out"
		case $out in
		"BAR 2 of ${want:-*} MiB "*) ;;
		*) [ -z "$want" ] || fail "$a: $out, expected $want MiB" ;;
		esac
		add "$a: $out"
	done
}

has_card() {
	for c in "$pci/$1"/"$2"*; do
		[ ! -e "$c" ] || return 0
	done
	return 1
}

step_gpu() {
	need gpu
	for a in $devices; do
		wait_for 10 has_card "$a" drm/card || fail "$a: no DRM card$(complaint "$a")"
		if wait_for 3 has_card "$a" graphics/fb; then
			for f in "$pci/$a"/graphics/fb*; do
				out=$(fbbars "/dev/${f##*/}") || fail "$a ${f##*/}: $out"
				add "$a ${f##*/}: $out"
			done
		else
			mode=$(cat "$pci/$a"/drm/card*/card*-*/modes | head -n 1)
			[ -n "$mode" ] || fail "$a: no framebuffer and no mode"
			add "$a: $mode on $(cd "$pci/$a" && echo drm/card*/card*-*), no framebuffer"
		fi
	done
}

step_audio() {
	need audio
	for a in $devices; do
		if wait_for 5 has_card "$a" sound/card; then
			card=$(cd "$pci/$a/sound" && echo card*)
			name=$(sed -n "s/^ *${card#card} \[[^]]*\]: *//p" /proc/asound/cards)
			[ -n "$name" ] || fail "$a: $card is not in /proc/asound/cards"
			add "$a: $card $name"
		else
			add "$a: driver bound, no codec"
		fi
	done
}

# --- load, for whoever counts exits outside ---------------------------------------------------

# load_on KIND DEVICE: one unit of work with the device that load_ready found
load_on() {
	case $1 in
	nvme | usb) dd if="$2" of=/dev/null bs=256k count=8 iflag=direct 2>"$work/load" ;;
	gpu) fbbars "$2" >"$work/load" ;;
	*) received "$sum" >"$work/load" ;;
	esac || fail "$2: $(cat "$work/load")"
}

# load_ready KIND: prints what load_on works with, on the first device of that kind, and what a unit is
load_ready() {
	need "$1"
	a=${devices%%[!0-9a-f:.]*}
	case $1 in
	nvme | usb)
		wait_for 20 has_block "$1" "$a" || fail "no disk behind $a"
		echo "$("$1"_block "$a") 2-MiB-reads" ;;
	gpu)
		wait_for 10 has_card "$a" graphics/fb || fail "no framebuffer at $a"
		echo "/dev/$(cd "$pci/$a/graphics" && echo fb*) pictures" ;;
	*)
		wait_for 10 has_nic "$a" || fail "no interface at $a"
		echo "$(nic_names "$a") transfers" ;;
	esac
}

# For each kind in turn, around `bulk` seconds of work and nothing else: "BULK kind start", "BULK kind end: N units in
# M ms".
step_bulk() {
	net_words "$@"
	sum=$(word_value netbulk "$@")
	seconds=$(word_value bulk "$@")
	for kind in $(word_value load "$@" | tr , ' '); do
		out=$(load_ready "$kind") || fail "$kind: $out"
		case $kind in
		igbvf | e1000*) net_up "${out% *}" || fail "${out% *}: no carrier" ;;
		esac
		echo "BULK $kind start" >/dev/ttyS0
		sleep 0.5 # until the line is out
		begin=$(uptime_ms) units=0
		while [ $(($(uptime_ms) - begin)) -lt $((${seconds:-12} * 1000)) ]; do
			load_on "$kind" "${out% *}"
			units=$((units + 1))
		done
		echo "BULK $kind end: $units ${out#* } in $(($(uptime_ms) - begin)) ms" >/dev/ttyS0
		case $kind in
		igbvf | e1000*) net_down "${out% *}" ;;
		esac
		add "$kind $units ${out#* }"
	done
	[ -n "$detail" ] || fail "load=KIND,... is missing"
}

# --- steps that go over the other devices -----------------------------------------------------

with_driver="nvme usb igbvf e1000 e1000e gpu audio"

unbound() {
	! bound "$1"
}

# rebind ADDRESS: takes the driver away, makes sure that it went, and gives it back.
rebind() {
	drv=$(readlink -f "$pci/$1/driver")
	echo "$1" >"$drv/unbind" || fail "$1: unbind from ${drv##*/} refused"
	wait_for 10 unbound "$1" || fail "$1: ${drv##*/} did not let go"
	echo "$1" >"$drv/bind" || fail "$1: ${drv##*/} does not bind again$(complaint "$1")"
	wait_for 10 bound "$1" || fail "$1: ${drv##*/} did not take it again$(complaint "$1")"
	# Where there is udev, it gives an interface its name only now.
	! command -v udevadm >/dev/null || udevadm settle --timeout=10
}

step_reload() {
	done=
	for kind in $with_driver; do
		count=0
		[ -n "$(devices_of "$kind")" ] || continue
		need "$kind"
		for a in $devices; do
			holds_root "$a" && continue
			rebind "$a"
			count=$((count + 1))
		done
		[ $count -gt 0 ] || continue
		out=$(run_here "$kind" "$@") || fail "$kind after rebinding: $out"
		done="$done${done:+, }$count $kind"
	done
	[ -n "$done" ] || fail "no device whose driver could be rebound"
	add "rebound and checked again: $done"
}

irqs_of() {
	if [ -d "$pci/$1/msi_irqs" ]; then
		ls "$pci/$1/msi_irqs"
	elif bound "$1"; then
		cat "$pci/$1/irq"
	fi
}

# irq_counts IRQ ...: one "irq count-on-cpu0 count-on-cpu1 name" line each
irq_counts() {
	awk -v want=" $* " '{ sub(":", "", $1) } index(want, " " $1 " ") { print $1, $2, $3, $NF }' \
		/proc/interrupts
}

# A nudge for every device, so that the interrupts under test occur.
stir() {
	for n in $nics; do
		net_ping "$n" 1 >"$work/ping" || fail "$n: $(cat "$work/ping") after the move to CPU $1"
	done
	for c in /sys/class/nvme/nvme*/rescan_controller; do
		[ ! -e "$c" ] || echo 1 >"$c"
	done
	for dev in $disks; do
		taskset "$((1 << $1))" blkcheck -r "$dev" >"$work/read" ||
			fail "$dev: $(cat "$work/read") after the move to CPU $1"
	done
}

# irqs_move CPU: sets $moved and $pinned; an NVMe I/O queue belongs to one CPU and stays there.
irqs_move() {
	moved='' pinned=0
	for irq in $irqs; do
		[ -e "/proc/irq/$irq/smp_affinity" ] || continue
		if echo "$((1 << $1))" 2>/dev/null >"/proc/irq/$irq/smp_affinity"; then
			moved="$moved $irq"
		else
			pinned=$((pinned + 1))
		fi
	done
}

step_irqmove() {
	[ -d /sys/devices/system/cpu/cpu1 ] || fail "needs two CPUs"
	net_words "$@"
	irqs='' disks='' nics=''
	for kind in $with_driver; do
		[ -n "$(devices_of "$kind")" ] || continue
		need "$kind"
		for a in $devices; do
			case $kind in
			nvme | usb)
				holds_root "$a" && continue
				wait_for 20 has_block "$kind" "$a" || fail "no disk behind $a"
				disks="$disks $("$kind"_block "$a")" ;;
			igbvf | e1000 | e1000e)
				wait_for 10 has_nic "$a" || fail "no interface at $a"
				# One only: with two, an answer could come by the other.
				[ -n "$nics" ] || nics=$(nic_names "$a" | head -n 1) ;;
			esac
		done
	done
	[ -n "$disks$nics" ] || fail "no disk and no network interface to move interrupts under"
	for n in $nics; do
		net_up "$n" || fail "$n: no carrier"
	done
	# Only now: an interface has its interrupts while it is up. Audio has no work here: its interrupts come in bursts, as
	# it goes to sleep, and say nothing about moves.
	audio=$(devices_of audio)
	for d in "$pci"/*; do
		case "$audio" in
		*"${d##*/}"*) ;;
		*) irqs="$irqs $(irqs_of "${d##*/}")" ;;
		esac
	done
	irqs=$(echo "$irqs" | tr ' ' '\n' | sort -un | grep -v '^0*$')

	# shellcheck disable=SC2086 # a list
	irq_counts $irqs >"$work/before"
	irqs_complaints >"$work/complaints"
	want=$(word_value irqmove "$@")
	loads_start "$(word_value netbulk "$@")"
	rounds=0
	while [ $rounds -lt "${want:-200}" ]; do
		irqs_move $((rounds % 2))
		rounds=$((rounds + 1))
		sleep 0.03 # a move takes effect at the next interrupt
	done
	loads_end
	# And without load each of them still comes, on either CPU.
	for cpu in 0 1 0 1; do
		irqs_move $cpu
		stir $cpu
	done
	# shellcheck disable=SC2086 # a list
	irq_counts $irqs >"$work/after"
	for n in $nics; do
		net_down "$n"
	done
	[ -n "$moved" ] || fail "no interrupt can be moved"
	irqs_complaints | diff "$work/complaints" - >"$work/new" || fail "the kernel complains: $(tail -n 1 "$work/new")"
	irq_judge "$moved" || exit 1
	add "$out, in $rounds rounds under load, $pinned pinned by their drivers; $loads"
}

# What the kernel says when an interrupt did not come or came to the wrong place.
irqs_complaints() {
	dmesg | grep -E 'imeout|timed out|polled|aborting|reset .*USB device|No irq handler|nobody cared'
}

# repeat COMMAND ...: until the loads end; prints how often, or fails with what the command said
repeat() {
	count=0
	while :; do
		said=$("$@") || fail "$said"
		count=$((count + 1))
		[ ! -e "$work/loads-end" ] || break
	done
	echo "$count times"
}

# loads_start MD5: reading and verifying by every disk and the NIC in the background, NVMe also with many requests in
# flight. A lost interrupt shows as a request that times out, which is to happen before the step does.
loads_start() {
	jobs=''
	rm -f "$work/loads-end"
	for dev in $disks; do
		name=${dev##*/}
		case $name in
		nvme*)
			echo 10000 >"/sys/block/$name/queue/io_timeout"
			repeat fio_on "$dev" --rw=randread --time_based --runtime=2 >"$work/load.$name-fio" &
			job "$name-fio" ;;
		sd*) echo 10 >"/sys/block/$name/device/timeout" ;;
		esac
		repeat blkcheck -r -n 4 "$dev" >"$work/load.$name" &
		job "$name"
	done
	for name in ${1:+$nics}; do
		repeat received "$1" >"$work/load.$name" &
		job "$name"
	done
}

# job NAME: the last process in the background is a load; whoever moves interrupts comes first.
job() {
	jobs="$jobs $1=$!"
	renice -n 19 -p $! >/dev/null
}

# Sets $loads to what they did.
loads_end() {
	loads=
	: >"$work/loads-end"
	for job in $jobs; do
		wait "${job#*=}" || fail "${job%=*} while interrupts moved: $(cat "$work/load.${job%=*}")"
		loads="$loads${loads:+, }${job%=*} $(cat "$work/load.${job%=*}")"
	done
}

# irq_judge MOVED: a busy interrupt seen on one CPU only did not follow its affinity.
irq_judge() {
	out=$(awk -v moved=" $1 " '
		NR == FNR { a[$1] = $2; b[$1] = $3; next }
		{ d0 = $2 - a[$1]; d1 = $3 - b[$1]; s0 += d0; s1 += d1 }
		index(moved, " " $1 " ") {
			n++
			if (d0 && d1) both++
			if (d0 + d1 >= 16 && !(d0 && d1))
				bad = "interrupt " $1 " (" $4 ") stayed on one CPU: " d0 " on 0, " d1 " on 1"
		}
		END {
			if (!bad && !(s0 && s1)) bad = "interrupts: " s0 + 0 " on CPU 0, " s1 + 0 " on CPU 1"
			if (bad) { print bad; exit 1 }
			printf "%d interrupts moved (%d seen on both CPUs; %d on 0, %d on 1)", n, both, s0, s1
		}' "$work/before" "$work/after")
	rc=$?
	[ $rc = 0 ] || echo "$out"
	return $rc
}

# --- running them -----------------------------------------------------------------------------

all_steps="boot cpus numa nvme usb igbvf e1000 e1000e edu gpu audio testdev virtio_blk virtio_net virtio_console virtio_rng fio netbulk bulk reload irqmove"

present_steps() {
	list="boot cpus"
	for kind in nvme usb igbvf e1000 e1000e edu gpu audio testdev; do
		[ -z "$(devices_of "$kind")" ] || list="$list $kind"
	done
	echo "$list"
}

# run_here STEP WORD ...: in a subshell, so that fail ends the step and not the script
run_here() (
	name=$1
	shift
	case " $all_steps " in
	*" $name "*) ;;
	*) fail "unknown step; there are: $all_steps" ;;
	esac
	detail=
	"step_$name" "$@"
	finish
)

# run_limited STEP WORD ...: sets $line to the last line of output. The result is waited for in a
# file and not with wait: a process stuck in a driver cannot be killed, and nor could its waiter.
run_limited() {
	name=$1
	shift
	out=$work/step rc=$work/rc
	rm -f "$rc"
	{
		timeout -s KILL "$limit" sh "$self" one "$name" "$@" >"$out" 2>&1
		echo $? >"$rc.new"
		mv "$rc.new" "$rc"
	} &
	if wait_for $((limit + 5)) exists "$rc"; then
		read -r status <"$rc"
	else
		status=137
	fi
	line=$(grep -v "^Killed$" "$out" | tail -n 1 | tr -cd ' -~')
	[ "$status" = 137 ] && line="no result within $limit s${line:+ (last: $line)}"
	return "$status"
}

run() {
	limit=$(word_value limit "$@")
	case $limit in
	'' | *[!0-9]*) limit=60 ;;
	esac
	steps=$(word_value steps "$@" | tr , ' ')
	total=0 failed=0
	# shellcheck disable=SC2086 # a list
	for step in ${steps:-$(present_steps)}; do
		total=$((total + 1))
		if run_limited "$step" "$@"; then
			echo "STEP $step ok: $line"
		else
			failed=$((failed + 1))
			echo "STEP $step FAIL: ${line:-no reason given}"
		fi
	done
	if [ $failed = 0 ]; then
		echo "VERDICT pass ($total steps)"
	else
		echo "VERDICT fail ($failed of $total steps failed)"
	fi
	# Above 1 means, to the caller, that there was no verdict.
	[ $failed = 0 ]
}

usage() {
	echo "usage: steps.sh run|one STEP|get KEY [KEY=VALUE ...]" >&2
	exit 2
}

[ $# -ge 1 ] || usage
command=$1
shift
arg=
case $command in
one | get)
	[ $# -ge 1 ] || usage
	arg=$1
	shift ;;
esac
set -f
# shellcheck disable=SC2046 # words
set -- "$@" $(cat /proc/cmdline)
set +f
mkdir -p "$work"
case $command in
run) run "$@" ;;
one) run_here "$arg" "$@" ;;
get) word_value "$arg" "$@" ;;
*) usage ;;
esac
