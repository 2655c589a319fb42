#!/bin/sh
# steps.sh: the hardware checks that run inside a guest. The initramfs and Debian both use it.
#
#   steps.sh run [WORD ...]   run every step that is asked for; print a STEP line for each, then the VERDICT
#   steps.sh one STEP [WORD ...]   run one step here; print its detail; exit status 0 if it has passed
#   steps.sh get KEY [WORD ...]    print the value of a word
#
# A WORD is KEY=VALUE. A WORD of the kernel's command line replaces the same WORD given here:
#   steps=a,b,c       default: boot, cpus, and the steps for the hardware that is present
#   limit=60          after so many seconds without progress a step counts as hung, or after five times as many in all
#   cpus=N            the number of CPUs that must be online
#   topology=S,C,T    the numbers of sockets, cores per socket and threads per core that must exist
#   flags=F,G         words of /proc/cpuinfo that must be there; noflags=: words that must not be there
#   kvm=0             the guest must not see KVM
#   net=10.0.2.50     address of the tested interface, /24; gw=: the address to ping (default: .2)
#   nvme_disk=A,B     names of the test disks (make-disk) that must be there; usb_disk= likewise
#   numa=N            the number of nodes; numa_cpus=0-1,2-3: their CPUs; numa_distance=21: from node 0 to 1;
#                     numa_pci=N: the node of PCI devices
#   edu_bits=28       DMA address bits of the edu device;  membar=MIB: the size that pci-testdev must have
#   netbulk=MD5       checksum of the data that the host sends on port 7000 of address .100 of that network
#   irqmove=200       how often irqmove moves the interrupts under load
#   load=nvme,igbvf   the devices that bulk works with, one after the other, bulk=12 seconds each
#   then=, hold=      poweroff, reboot, shell, button: what follows the verdict; the caller reads it
#
# Devices are found by PCI id or class, never by address. Only the modules that a step needs are loaded, because each
# one costs time in an emulated machine. It works with busybox and with Debian's dash.
set -u

work=/run/minivmm-steps
self=$0

for part in "${self%/*}"/steps-*.sh; do
	# shellcheck source=/dev/null
	. "$part"
done

# Values come from outside (a file on a FAT partition, a command line), so only plain characters are accepted.
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

all_steps="boot cpus numa rtc nvme usb igbvf e1000 e1000e edu gpu audio testdev virtio_blk virtio_net virtio_console virtio_rng fio netbulk netpairs bulk reload irqmove"

present_steps() {
	list="boot cpus"
	for kind in nvme usb igbvf e1000 e1000e edu gpu audio testdev; do
		[ -z "$(devices_of "$kind")" ] || list="$list $kind"
	done
	echo "$list"
}

# run_here STEP WORD ...: runs in a subshell, so that fail ends the step and not the script
run_here() (
	name=$1
	shift
	case " $all_steps " in
	*" $name "*) ;;
	*) fail "unknown step; there are: $all_steps" ;;
	esac
	# shellcheck disable=SC2034 # of add and finish
	detail=
	"step_$name" "$@"
	finish
)

# progress: prints a text that changes while a step works: its output, and counters of disks and network interfaces.
progress() {
	cat "$work"/* /proc/diskstats /proc/net/dev 2>/dev/null | md5sum
}

# step_ends: waits for the result of a step. False: no progress for $limit seconds, or five times $limit in all.
step_ends() {
	left=$((limit * 5)) quiet=0 last=
	until wait_for 5 exists "$rc"; do
		now=$(progress)
		quiet=$((quiet + 5)) left=$((left - 5))
		[ "$now" = "$last" ] || quiet=0
		last=$now
		[ $quiet -lt "$limit" ] && [ $left -gt 0 ] || return 1
	done
}

# run_limited STEP WORD ...: sets $line to the last line of output. It does not use "wait", but waits for a file with
# the result: a process that hangs in a driver cannot be killed, and "wait" would hang with it.
run_limited() {
	name=$1
	shift
	out=$work/step rc=$work/rc
	rm -f "$rc"
	{
		sh "$self" one "$name" "$@" >"$out" 2>&1 &
		echo $! >"$work/pid"
		wait $!
		echo $? >"$rc.new"
		mv "$rc.new" "$rc"
	} &
	if step_ends; then
		read -r status <"$rc"
	else
		kill -KILL "$(cat "$work/pid")"
		status=137
	fi
	line=$(grep -v "^Killed$" "$out" | tail -n 1 | tr -cd ' -~')
	[ "$status" = 137 ] && line="no result in time${line:+ (last: $line)}"
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
		begin=$(uptime_ms)
		if run_limited "$step" "$@"; then
			echo "STEP $step ok: $line [$((($(uptime_ms) - begin) / 1000)) s]"
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
	# For the caller, an exit status above 1 means that there was no verdict.
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
