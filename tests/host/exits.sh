# The cost of passed-through devices while they work, for minivmm and QEMU in the same boot: exits to the VMM's process and
# inside the kernel while each device has load, and the ioctls of a start with three devices.
. /project/tests/host/lib.sh
kvm_ready
all_devices
loads="nvme usb igbvf e1000 gpu"
working="$vf $(bdf nvme) $(bdf xhci) $(bdf e1000) $gpu $audio"

start_guest() { # VMM APPEND MEMORY BDF...: in the background; $vmm is its pid
	local kind=$1 append=$2 memory=$3 prefix=${STRACE:-}
	shift 3
	# shellcheck disable=SC2046,SC2086
	case $kind in
	minivmm) $prefix minivmm --memory "$memory" --cpus 1 --serial file:"$OUT/$kind" $(vfio_options "$@") \
		--kernel "$KERNEL" --initrd "$GUEST_INITRD" --append "console=ttyS0 quiet $append" 2>>"$OUT/$kind.log" & ;;
	qemu) $prefix $QEMU_GUEST -m "$memory" -smp 1 -serial file:"$OUT/$kind" $(vfio_args "$@") \
		-kernel "$KERNEL" -initrd "$GUEST_INITRD" -append "console=ttyS0 quiet $append" 2>>"$OUT/$kind.log" & ;;
	esac
	vmm=$!
}

# sample: sets $now to the time (1/100 s) and KVM's counters of the running VM: exits that the guest caused, and those
# that leave the kernel. Interrupts of the host do not count, because they come with time and not with work.
sample() {
	local up exits irq mmio io
	read -r up _ </proc/uptime
	read -r exits <"$kvm/exits"
	read -r irq <"$kvm/irq_exits"
	read -r mmio <"$kvm/mmio_exits"
	read -r io <"$kvm/io_exits"
	now=("${up/./}" $((exits - irq)) $((mmio + io)))
}

# count_loads KIND SECONDS: one guest has all devices and works with each of them for so many seconds. The lines that it
# prints before and after each device are exits, too, so only the exits between them count. False: a device was not counted
# for half a second, because this host, which is emulated, was late.
declare -A window caused process cost rate
count_loads() {
	local kind=$1 ret=0 load first last said
	rm -f "$OUT/$kind"
	# shellcheck disable=SC2086
	start_guest "$kind" "steps=bulk load=${loads// /,} bulk=$2 limit=100 netbulk=$(net_sum)" 512M $working
	for load in $loads; do
		says $vmm 60 "BULK $load start|VERDICT" "$OUT/$kind" || return
		kvm=$(echo /sys/kernel/debug/kvm/$vmm-*)
		sleep 0.7
		said=$(stat -c %s "$OUT/$kind")
		sample
		first=("${now[@]}") last=("${now[@]}")
		while sleep 0.2; [ "$(stat -c %s "$OUT/$kind")" = "$said" ] && ! gone $vmm; do
			last=("${now[@]}") # the guest had not begun to write at this time
			sample
		done
		window[$kind.$load]=$(((last[0] - first[0]) * 10)) caused[$kind.$load]=$((last[1] - first[1]))
		process[$kind.$load]=$((last[2] - first[2]))
		[ "${window[$kind.$load]}" -ge 500 ] || ret=1
	done
	return $ret
}

for kind in minivmm qemu; do
	for seconds in 3 12 48; do
		count_loads $kind $seconds && break
		says $vmm 60 "VERDICT pass" "$OUT/$kind" && lives_until $vmm 60 gone $vmm || break
	done
	ends "$kind: it works with every device, the guest powers off" $vmm 60
	guest_steps "$OUT/$kind" "$kind:"
done

for load in $loads; do
	for kind in minivmm qemu; do
		read -r units what ms <<<"$(sed -n "s/.*BULK $load end: \([0-9]*\) \(.*\) in \([0-9]*\) ms.*/\1 \2 \3/p" "$OUT/$kind")"
		echo "$kind, $load: in ${window[$kind.$load]:-0} ms ${caused[$kind.$load]:-0} exits, ${process[$kind.$load]:-0} of them" \
			"to the process; ${units:=0} $what in ${ms:=0} ms"
		if [ "${window[$kind.$load]:-0}" -lt 500 ] || [ "$units" -eq 0 ]; then
			fail "$kind, $load" "was not counted for half a second"
			continue 2
		fi
		cost[$kind]=$((${caused[$kind.$load]} * ms / ${window[$kind.$load]} / units))
		rate[$kind]=$((${caused[$kind.$load]} * 1000 / ${window[$kind.$load]}))
	done
	if [ "${process[minivmm.$load]}" -eq 0 ]; then
		ok "$load under load: no exit to our process in ${window[minivmm.$load]} ms" "${caused[minivmm.$load]} inside the kernel"
	else
		fail "$load under load: exits to our process" "${process[minivmm.$load]} in ${window[minivmm.$load]} ms"
	fi
	# The guest's timer and its halts also cause exits, and they come with time. Time is emulated, so that the same VMM may
	# need twice as long for a unit of work. A trapped register would cause several times as many exits both a unit of work
	# and a second, so both must be high.
	per_unit="${cost[minivmm]} a unit of work, QEMU ${cost[qemu]}"
	per_second="${rate[minivmm]} a second, QEMU ${rate[qemu]}"
	if [ "${cost[minivmm]}" -le $((cost[qemu] * 3 / 2 + 10)) ] || [ "${rate[minivmm]}" -le $((rate[qemu] * 3 / 2 + 10)) ]; then
		ok "$load under load: no more kernel exits than QEMU" "$per_unit; $per_second"
	else
		fail "$load under load: kernel exits" "$per_unit; $per_second"
	fi
done

declare -A ioctls
for kind in minivmm qemu; do
	rm -f "$OUT/$kind"
	STRACE="strace -f -qq -e trace=ioctl -o $OUT/strace.$kind" start_guest $kind "steps=cpus" 4G "$(bdf nvme)" "$gpu" "$audio"
	# The start ends with the first KVM_RUN.
	says $vmm 60 'ioctl\([0-9]*, KVM_RUN' "$OUT/strace.$kind"
	disown $vmm # of whose end bash has nothing to say
	pkill -KILL -P $vmm
	wait_for 20 gone $vmm || fail "$kind under strace" "SIGKILL does not end it"
	ioctls[$kind]=$(sed '/KVM_RUN/q' "$OUT/strace.$kind" | grep -cE 'ioctl\([0-9]+, (KVM_|VFIO_|_IOC\(_IOC_NONE, 0x3b)')
done
if [ $((ioctls[minivmm] * 2)) -le "${ioctls[qemu]}" ]; then
	ok "start with 4 GiB and three devices: at most half of QEMU's KVM and VFIO ioctls" "${ioctls[minivmm]} against ${ioctls[qemu]}"
else
	fail "start with 4 GiB and three devices: ioctls" "${ioctls[minivmm]} against QEMU's ${ioctls[qemu]}"
fi
done_testing
