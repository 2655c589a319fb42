# The scripts that run in the nested host source this file. They print one line for each test:
#   ok - NAME[: detail]      FAIL - NAME: why      skip - NAME: reason
# and end with `done_testing`, whose status says whether a test has failed.
# shellcheck shell=bash
set -u

failed=0

ok() { echo "ok - $1${2:+: $2}"; }
skip() { echo "skip - $1: $2"; }
fail() {
	echo "FAIL - $1: ${2:-see the lines above}"
	failed=$((failed + 1))
}
# check NAME COMMAND...: a test; ok if the command succeeds.
check() {
	local name=$1
	shift
	if "$@"; then ok "$name"; else fail "$name" "$* exited $?"; fi
}
done_testing() { exit $((failed > 0)); }

# The kernel and initrds of the guests.
KERNEL=$(echo /boot/vmlinuz-*)
GUEST_INITRD=$HOST_BUILD/guest-initrd
export KERNEL GUEST_INITRD

# has DEVICE: true if this boot of the host has the device.
has() { case " $HOST_DEVICES " in *" $1 "*) return 0 ;; *) return 1 ;; esac; }

# ask WORD...: sends one request (picture, qmp) to the runner outside and prints its answer; fails if it is an error.
ask() {
	local port name answer
	for name in /sys/class/virtio-ports/*/name; do
		[ "$(cat "$name")" = runner ] && port=/dev/$(basename "$(dirname "$name")")
	done
	exec 9<>"$port"
	echo "$*" >&9
	read -r answer <&9
	exec 9>&-
	echo "$answer"
	case $answer in error* | '{"error"'*) return 1 ;; esac
}
# picture TEST NAME WHAT [DISPLAY]: stores a picture of an outer display device as NAME.png in this script's output. A
# test; ok if the runner finds WHAT on it: `colour bars`, or `lit` (at least 200 lit pixels, as in a line of text).
picture() {
	local test=$1 name=$2 what=$3 answer lit
	shift 3
	answer=$(ask picture "$name" "$@") || { fail "$test" "$answer"; return; }
	lit=$(echo "$answer" | sed -n 's/.* \([0-9]*\) lit.*/\1/p')
	case $what/$answer in
	lit/*) if [ "${lit:-0}" -ge 200 ]; then ok "$test" "$answer"; else fail "$test" "dark: $answer"; fi ;;
	*", $what") ok "$test" "$answer" ;;
	*) fail "$test" "no $what: $answer" ;;
	esac
}

# bdf DEVICE: prints the address of a device of machines.toml. It is found by its PCI ids; physical functions only.
bdf() {
	local var=PCI_${1//-/_} d
	for d in $(lspci -Dn -d "${!var}" | cut -d' ' -f1); do
		[ -e "/sys/bus/pci/devices/$d/physfn" ] || { echo "$d"; return 0; }
	done
	return 1
}
# same_slot BDF FUNCTION: prints the address of another function of the same slot.
same_slot() { echo "${1%.*}.$2"; }

driver_of() { basename "$(readlink -f "/sys/bus/pci/devices/$1/driver" 2>/dev/null)" 2>/dev/null; }

# give BDF...: binds devices to vfio-pci, whatever driver they had.
give() {
	local d dev
	modprobe -a vfio-pci vfio_iommu_type1
	for d in "$@"; do
		dev=/sys/bus/pci/devices/$d
		[ ! -e "$dev/driver" ] || echo "$d" >"$dev/driver/unbind"
		echo vfio-pci >"$dev/driver_override"
		echo "$d" >/sys/bus/pci/drivers_probe
		[ "$(driver_of "$d")" = vfio-pci ] || { echo "give: $d did not go to vfio-pci"; return 1; }
	done
}

# igb_vfs COUNT: creates VFs on the igb and sets the PF up, so that they have a link; prints their addresses.
igb_vfs() {
	local pf i
	pf=$(bdf igb)
	modprobe igb
	echo 0 >"/sys/bus/pci/devices/$pf/sriov_drivers_autoprobe"
	wait_for 20 test -e "/sys/bus/pci/devices/$pf/net" || return 1
	ip link set "$(ls "/sys/bus/pci/devices/$pf/net")" up
	[ "$(cat "/sys/bus/pci/devices/$pf/sriov_numvfs")" -gt 0 ] || echo "$1" >"/sys/bus/pci/devices/$pf/sriov_numvfs"
	for i in $(seq 0 $(($1 - 1))); do
		basename "$(readlink -f "/sys/bus/pci/devices/$pf/virtfn$i")"
	done
}

# nvme_vf: creates one VF of the nvme-sriov device with its own queues and vector, sets it online, and prints its address.
# Secondary controllers are set up through the primary (NVMe 1.4, 8.5 Virtualization Enhancements).
nvme_vf() {
	local pf dev
	pf=$(bdf nvme-sriov)
	if [ -e "/sys/bus/pci/devices/$pf/virtfn0" ]; then # an earlier script has created it
		basename "$(readlink -f "/sys/bus/pci/devices/$pf/virtfn0")"
		return
	fi
	modprobe nvme
	wait_for 20 test -e "/sys/bus/pci/devices/$pf/nvme" || return 1
	dev=/dev/$(ls "/sys/bus/pci/devices/$pf/nvme")
	wait_for 20 test -e "$dev" || return 1
	{
		echo 0 >"/sys/bus/pci/devices/$pf/sriov_drivers_autoprobe"
		nvme virt-mgmt "$dev" --cntlid=0 --rt=0 --act=1 --nr=0 # the primary gives up its flexible queues
		nvme virt-mgmt "$dev" --cntlid=0 --rt=1 --act=1 --nr=0 # and vectors
		nvme reset "$dev"
		echo 1 >"/sys/bus/pci/devices/$pf/sriov_numvfs"
		nvme virt-mgmt "$dev" --cntlid=1 --rt=1 --act=8 --nr=1
		nvme virt-mgmt "$dev" --cntlid=1 --rt=0 --act=8 --nr=2
		nvme virt-mgmt "$dev" --cntlid=1 --rt=0 --act=9 --nr=0
	} >"$OUT/nvme_vf.log" 2>&1 || return 1
	basename "$(readlink -f "/sys/bus/pci/devices/$pf/virtfn0")"
}

# all_devices: binds a VF of the NIC, a VF of the NVMe and all other devices to vfio-pci; a test. Sets $devices, and some
# of them as $vf, $disk_vf, $gpu and $audio.
# shellcheck disable=SC2034 # for the scripts
all_devices() {
	vf=$(igb_vfs 1)
	disk_vf=$(nvme_vf) || fail "an NVMe VF online" "$(tail -n 1 "$OUT/nvme_vf.log")"
	gpu=$(bdf gpu)
	audio=$(same_slot "$gpu" 1)
	devices="$vf $(bdf nvme) $disk_vf $(bdf xhci) $(bdf e1000) $(bdf edu) $gpu $audio $(bdf testdev)"
	# shellcheck disable=SC2086 # a list of addresses
	check "every device goes to vfio-pci" give $devices
}

# net_sum: prints the MD5 of the data that the user-mode networks send on port 7000 of 10.0.2.100
net_sum() { head -c 2M "$HOST_BUILD/disks/net-16.img" | md5sum | cut -d' ' -f1; }

# The waits below get more seconds than a host needs that is not busy. A busy host gets this many times as long.
PATIENCE=5

# wait_for SECONDS COMMAND...: waits until the command succeeds.
wait_for() {
	local end=$((SECONDS + $1 * PATIENCE))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.3
	done
}

gone() { ! kill -0 "$1" 2>/dev/null; }

# life PID: prints a text that changes while a VMM works: tenths of a second that its threads ran, and bytes in its files.
life() {
	cat /proc/"$1"/task/*/schedstat 2>/dev/null | awk '{ n += $1 } END { printf "%d ", n / 1e8 }'
	stat -Lc %s /proc/"$1"/fd/* 2>/dev/null | awk '{ n += $1 } END { print n }'
}

# lives_until PID SECONDS COMMAND...: waits until the command succeeds. False: the VMM has ended, or has not worked for so
# many seconds, or PATIENCE times as many have passed in all.
lives_until() {
	local pid=$1 bound=$2 end=$((SECONDS + $2 * PATIENCE)) moved=$SECONDS look=$SECONDS last='' now
	shift 2
	until "$@"; do
		if gone "$pid"; then "$@"; return; fi
		if [ $SECONDS -ge $look ]; then
			now=$(life "$pid")
			[ "$now" = "$last" ] || moved=$SECONDS
			last=$now look=$((SECONDS + 2))
		fi
		[ $((SECONDS - moved)) -lt "$bound" ] && [ $SECONDS -lt $end ] || return 1
		sleep 0.3
	done
}

# says PID SECONDS REGEXP FILE: waits until the guest of that VMM writes REGEXP on its serial line (lives_until).
says() { lives_until "$1" "$2" grep -qasE "$3" "$4"; }

# runs SECONDS COMMAND...: runs a VMM in the foreground, and kills it if it does not work for so long (lives_until).
# Returns its status; 124: it was killed.
runs() {
	local bound=$1 pid
	shift
	"$@" <&0 &
	pid=$!
	if lives_until $pid "$bound" gone $pid; then
		wait $pid
		return
	fi
	kill -KILL $pid
	wait $pid 2>/dev/null
	return 124
}

# diagnose PID: prints why a process may hang: the end of each file that it writes in $OUT (the guest's serial line, its
# own messages), which of KVM's counters change, and what each of its threads does in the kernel.
diagnose() {
	local f t counters
	for f in $(readlink /proc/"$1"/fd/* | grep "^$OUT/" | sort -u); do
		echo "-- the end of $f:"
		tail -n 8 "$f" | tr -cd '\n -~'
		echo
	done
	counters=$(grep -s . /sys/kernel/debug/kvm/"$1"-*/*)
	sleep 1
	echo "-- KVM's counters now, where they were others a second ago:" \
		"$(grep -s . /sys/kernel/debug/kvm/"$1"-*/* | grep -vxFe "$counters" | sed 's|.*/||' | tr '\n' ' ')"
	for t in /proc/"$1"/task/*; do
		echo "-- thread ${t##*/} $(cat "$t/comm"): $(sed -n 's/^State:\t//p' "$t/status"), wchan $(cat "$t/wchan")," \
			"syscall $(cat "$t/syscall")"
		sed 's/^/   /' "$t/stack"
	done 2>/dev/null
	[ "$(cat /proc/"$1"/comm)" != minivmm ] || say_where "$1"
}
# say_where PID: prints three times where the processors of minivmm are, to show what they do.
say_where() {
	local n file
	file=$(readlink /proc/"$1"/fd/2)
	for n in 1 2 3; do
		kill -QUIT "$1"
		sleep 1
		echo "-- processors, $n:"
		tail -n 20 "$file" | grep '^minivmm:   ' | tail -n 14
	done
}

# ends TEST PID SECONDS: a test; ok if a VMM in the background ends in that time (lives_until) with 0. Otherwise it is
# diagnosed and killed, so that a guest that hangs does not use up the time of the script. Returns the exit status.
ends() {
	local begin=$SECONDS code=124 why
	if lives_until "$2" "$3" gone "$2"; then
		wait "$2"
		code=$?
		why="exit status $code"
	else
		why="still there after $((SECONDS - begin)) s; what it did is above"
		diagnose "$2"
		kill -KILL "$2"
		wait_for 20 gone "$2" || why="$why; SIGKILL does not end it"
	fi
	if [ $code -eq 0 ]; then ok "$1"; else fail "$1" "$why"; fi
	return $code
}

# kvm_ready: loads KVM, or ends the script.
kvm_ready() {
	modprobe kvm_amd 2>/dev/null
	[ -e /dev/kvm ] || { fail kvm "the host has no /dev/kvm"; done_testing; }
}

# QEMU as the VMM, for comparison.
QEMU_GUEST="qemu-system-x86_64 -accel kvm -cpu host -M q35,sata=off -nodefaults -display none -no-reboot"
# The same without devices that no guest here needs, because firmware and kernel would have drivers for them.
QEMU_LEAN=${QEMU_GUEST/q35,sata=off/q35,sata=off,i8042=off,smbus=off,hpet=off,vmport=off}
QEMU_MICROVM=${QEMU_GUEST/q35,sata=off/microvm,pit=off,pic=off,rtc=off}
export QEMU_GUEST QEMU_LEAN QEMU_MICROVM

# vfio_args BDF...: prints the options of QEMU, with one root port for each slot, and the functions of a slot together. A
# VF gets its own port as function 0, because the guest would not look for it at its own function number.
vfio_args() {
	local d slot fn rp ports=0 seen=" "
	for d in "$@"; do
		slot=${d%.*} fn=${d##*.}
		[ ! -e "/sys/bus/pci/devices/$d/physfn" ] || slot=$d fn=0
		case $seen in
		*" $slot="*) ;;
		*)
			ports=$((ports + 1))
			seen="$seen$slot=$ports "
			printf ' -device pcie-root-port,id=rp%d,chassis=%d,slot=%d' $ports $ports $ports
			;;
		esac
		rp=${seen##*" $slot="}
		printf ' -device vfio-pci,host=%s,bus=rp%d,addr=0.%d,multifunction=on' "$d" "${rp%% *}" "$fn"
	done
}

# vfio_options BDF...: prints the options of minivmm, which finds the slots itself.
vfio_options() { printf -- '--vfio %s ' "$@"; }

# versions: adds the versions that counted figures depend on to this script's counts.
versions() {
	{
		echo "VERSION gcc $(gcc -dumpfullversion)"
		echo "VERSION kernel $(uname -r)"
		echo "VERSION qemu $(qemu-system-x86_64 --version | sed -n '1s/.*(\(.*\))/\1/p')"
	} >>"$OUT/counts"
}

# For the scripts that count on the machine `count`.

# count_ready: copies everything to memory, because the project's file system answers in real time and not in counted
# time; sets $bin.
count_ready() {
	bin=/tmp/bin
	[ -d $bin ] || cp -r /project/build/l1/count $bin
	cp "$(command -v minivmm)" $bin/
	PATH=$bin:$PATH
	: >"$OUT/counts"
	versions
}
# bios CODE: makes an image for QEMU with this code, at most 16 bytes, at the reset vector.
bios() {
	head -c 65520 /dev/zero
	{ printf "$1"; head -c 16 /dev/zero; } | head -c 16
}
# value NAME LINE: prints a value from a line of `run_until`
value() { sed "s/.*$1=\([0-9]*\).*/\1/" <<<"$2"; }
# count NAME VMM MARKER COMMAND...: measures with run_until, whose options are in $until, and prints the one of $runs runs
# that took the least CPU time. The first run brings the files into memory.
until= runs=2
count() {
	local name=$1 vmm=$2 marker=$3 line ticks cpu total='' best=''
	shift 3
	for _ in $(seq $runs); do
		# shellcheck disable=SC2086 # words
		line=$(timeout 900 run_until $until "$marker" "$@" 2>"$OUT/$name.$vmm.log" </dev/null) || {
			fail "$name, $vmm" "no '$marker': $(tail -n 1 "$OUT/$name.$vmm.log")"
			return
		}
		ticks=$(value ticks "$line") cpu=$(value cpu_ns "$line")
		[ "${best:-$cpu}" -lt "$cpu" ] || best=$cpu total=$ticks
	done
	printf 'COUNT %s %s %s\n' "$name" "$vmm" "$total" "$name-cpu" "$vmm" "$best" | tee -a "$OUT/counts"
}
# peer NAME VMM VARIABLE MARKER COMMAND...: the same, if the binary exists.
peer() {
	local name=$1 vmm=$2 variable=$3
	shift 3
	if [ -x "$bin/$vmm" ]; then count "$name" "$vmm" "$@"; else
		echo "EMPTY $name $vmm $variable= names no binary, and Debian has none" | tee -a "$OUT/counts"
	fi
}

# guest_steps FILE: prints the guest's STEP lines as test lines with a prefix; fails if there is no passing verdict.
guest_steps() {
	local file=$1 prefix=$2 word name result rest verdict
	tr -d '\r' <"$file" >"$file.txt"
	while read -r word name result rest; do
		case $word/$result in
		STEP/ok*) ok "$prefix $name" "$rest" ;;
		STEP/FAIL*) fail "$prefix $name" "$rest" ;;
		esac
	done <"$file.txt"
	verdict=$(grep -ao 'VERDICT .*' "$file.txt" | tail -n 1)
	case $verdict in
	"VERDICT pass"*) ok "$prefix verdict" "${verdict#VERDICT }" ;;
	"") fail "$prefix verdict" "none came; last line: $(tail -n 1 "$file.txt")" ;;
	*) fail "$prefix verdict" "$verdict" ;;
	esac
}
