# shellcheck shell=sh disable=SC2154 # variables of the other parts
# Steps that use all devices: unbind and bind drivers, move interrupts under load.

with_driver="nvme usb igbvf e1000 e1000e gpu audio"

unbound() {
	! bound "$1"
}

# rebind ADDRESS: unbinds the driver, checks that the device has none, and binds it again.
rebind() {
	drv=$(readlink -f "$pci/$1/driver")
	echo "$1" >"$drv/unbind" || fail "$1: unbind from ${drv##*/} refused"
	wait_for 10 unbound "$1" || fail "$1: ${drv##*/} did not let go"
	echo "$1" >"$drv/bind" || fail "$1: ${drv##*/} does not bind again$(complaint "$1")"
	wait_for 10 bound "$1" || fail "$1: ${drv##*/} did not take it again$(complaint "$1")"
	# If there is udev, it renames the interface only now.
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

# irq_counts IRQ ...: prints a line "irq count-on-cpu0 count-on-cpu1 name" for each IRQ
irq_counts() {
	awk -v want=" $* " '{ sub(":", "", $1) } index(want, " " $1 " ") { print $1, $2, $3, $NF }' \
		/proc/interrupts
}

# Makes every device work a little, so that the tested interrupts occur.
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

# irqs_move CPU: sets $moved and $pinned. The interrupt of an NVMe I/O queue is pinned to the queue's CPU.
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
				# Only one interface is up: with two, an answer could come through the other one.
				[ -n "$nics" ] || nics=$(nic_names "$a" | head -n 1) ;;
			esac
		done
	done
	[ -n "$disks$nics" ] || fail "no disk and no network interface to move interrupts under"
	for n in $nics; do
		net_up "$n" || fail "$n: no carrier"
	done
	# Find the interrupts only now, because an interface has interrupts only while it is up. Audio is left out: it has no
	# work here, and its interrupts come in bursts when it goes to sleep.
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
		echo $rounds >"$work/rounds"
		sleep 0.03 # a new affinity takes effect at the next interrupt
	done
	loads_end
	# Without load, each interrupt must still come on both CPUs.
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

# Kernel messages about interrupts that were lost or came to the wrong CPU.
irqs_complaints() {
	dmesg | grep -E 'imeout|timed out|polled|aborting|reset .*USB device|No irq handler|nobody cared'
}

# repeat COMMAND ...: repeats the command until the loads end; prints how often, or fails with the command's output
repeat() {
	count=0
	while :; do
		said=$("$@") || fail "$said"
		count=$((count + 1))
		[ ! -e "$work/loads-end" ] || break
	done
	echo "$count times"
}

# loads_start MD5: reads and verifies with every disk and the NIC in the background, with NVMe also many requests at
# once. If an interrupt is lost, a request times out; this must happen before the step times out.
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

# job NAME: records the last background process as a load. It gets a lower priority than moving interrupts.
job() {
	jobs="$jobs $1=$!"
	renice -n 19 -p $! >/dev/null
}

# Waits for the loads, and sets $loads to what they did.
loads_end() {
	loads=
	: >"$work/loads-end"
	for job in $jobs; do
		wait "${job#*=}" || fail "${job%=*} while interrupts moved: $(cat "$work/load.${job%=*}")"
		loads="$loads${loads:+, }${job%=*} $(cat "$work/load.${job%=*}")"
	done
}

# irq_judge MOVED: fails if a busy interrupt was seen on one CPU only, because then it did not follow its affinity.
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
