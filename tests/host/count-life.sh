# What a machine takes while it idles, what each part of it adds to its memory, and how it starts again and ends, beside
# QEMU in the same boot. On the machine `count`, where a minute in which nothing happens is over at once. Lines as in
# count.sh and count-boot.sh.
. /project/tests/host/lib.sh
kvm_ready
count_ready
modprobe -a tun vhost_net
cp "$KERNEL" /tmp/kernel
cp "$GUEST_INITRD" /tmp/initrd
truncate -s 64M /tmp/disk
said() { echo "COUNT $1 $2 $3" | tee -a "$OUT/counts"; }

# threads PID: a line a thread: how often it was put on a processor, for how many ns, its name. Those that run the guest's
# processors are named so.
threads() {
	local t
	for t in /proc/"$1"/task/*; do
		echo "$(awk '{ print $3, $1 }' "$t/schedstat") $(tr ' ' _ <"$t/comm")"
	done
}
# idle VMM COMMAND...: a guest with a disk and a NIC that does nothing, for a minute. Rows: how often threads other than
# the guest's processors ran, and instructions of all.
idle() {
	local vmm=$1 pid exits
	shift
	"$@" >"$OUT/idle.$vmm" 2>"$OUT/idle.$vmm.log" </dev/null &
	pid=$!
	wait_for 20 test -e /sys/class/net/mv0 && ip link set mv0 up
	says $pid 60 HOLD "$OUT/idle.$vmm" || fail "idle, $vmm" "$(tail -n 1 "$OUT/idle.$vmm.log")"
	sleep 10 # until what follows a boot is over
	threads $pid >/tmp/before
	exits=$(cat /sys/kernel/debug/kvm/$pid-*/exits)
	sleep 60
	threads $pid >/tmp/after
	exits=$(($(cat /sys/kernel/debug/kvm/$pid-*/exits) - exits))
	paste -d ' ' /tmp/before /tmp/after | awk '{ print $4 - $1, $5 - $2, $6 }' >"$OUT/idle.$vmm.threads"
	sed "s/^/idle, $vmm: /" "$OUT/idle.$vmm.threads"
	echo "idle, $vmm: $exits exits"
	said idle-wakes $vmm "$(awk '$3 !~ /^(cpu|vcpu|CPU)/ { n += $1 } END { print n + 0 }' "$OUT/idle.$vmm.threads")"
	said idle-cpu $vmm "$(awk '{ n += $2 } END { print n + 0 }' "$OUT/idle.$vmm.threads")"
	kill -KILL $pid
	wait $pid 2>/dev/null
}
words="console=ttyS0 quiet steps=boot hold=1000"
idle minivmm minivmm --memory 512M --cpus 2 --serial stdio --kernel /tmp/kernel --initrd /tmp/initrd --append "$words" \
	--disk /tmp/disk --net tap,ifname=mv0
# shellcheck disable=SC2086
idle qemu-q35-lean $QEMU_LEAN -m 512 -smp 2 -serial stdio -kernel /tmp/kernel -initrd /tmp/initrd -append "$words" \
	-drive file=/tmp/disk,format=raw,if=none,id=d,aio=io_uring,cache=none -object iothread,id=t \
	-device virtio-blk-pci,drive=d,iothread=t -netdev tap,id=n,ifname=mv0,script=no,downscript=no,vhost=on \
	-device virtio-net-pci,netdev=n

# memory COMMAND...: KiB that are the process's own (private and dirty) beyond the guest's memory.
memory() {
	local line
	line=$(timeout 300 run_until --memory x "$@" 2>>"$OUT/memory.log" </dev/null)
	echo "$line: $*" >>"$OUT/memory"
	value dirty_kib "$line"
}
# slope NAME VMM PARTS LESS MORE: what each of so many parts adds.
slope() { said "memory-$1" "$2" $((($5 - $4) / $3)); }
devices="$(bdf nvme) $(bdf edu) $(bdf e1000)"
# shellcheck disable=SC2086
give $devices || fail "devices to vfio-pci"
bios '\xBA\xF8\x03\xB0\x78\xEE\xF4\xEB\xFD' >/tmp/bios
bios '\xBA\xF8\x03\xB0\x78\xEE\xBA\xF9\x0C\xB0\x06\xEE\xF4\xEB\xFD' >/tmp/bios.reboot
# Whether a heap or a stack gets a page of 2 MiB is luck.
echo madvise >/sys/kernel/mm/transparent_hugepage/enabled
ours="minivmm --memory 256M --serial stdio --kernel $bin/start.elf"
qemu="$QEMU_LEAN -m 256 -serial stdio -bios /tmp/bios"
drive="-drive file=/tmp/disk,format=raw,if=none,id=d,aio=io_uring,cache=none -object iothread,id=t -device virtio-blk-pci,drive=d,iothread=t"
# shellcheck disable=SC2046,SC2086
{
	for _ in 1 2; do plain=$(memory $ours); done
	slope vcpu minivmm 16 "$plain" "$(memory $ours --cpus 17)"
	disk=$(memory $ours --disk /tmp/disk,queues=1)
	slope disk minivmm 1 "$plain" "$disk"
	slope queue minivmm 8 "$disk" "$(memory $ours --disk /tmp/disk,queues=9)"
	# From one device on: with devices all of the guest's memory is one mapping.
	slope vfio minivmm 2 "$(memory $ours $(vfio_options ${devices%% *}))" "$(memory $ours $(vfio_options $devices))"
	for _ in 1 2; do plain=$(memory $qemu); done
	slope vcpu qemu-q35-lean 16 "$plain" "$(memory $qemu -smp 17)"
	disk=$(memory $qemu $drive,num-queues=1)
	slope disk qemu-q35-lean 1 "$plain" "$disk"
	slope queue qemu-q35-lean 8 "$disk" "$(memory $qemu $drive,num-queues=9)"
	slope vfio qemu-q35-lean 2 "$(memory $qemu $(vfio_args ${devices%% *}))" "$(memory $qemu $(vfio_args $devices))"
}

# From the guest's reset to its first instruction, and from SIGTERM to the end of the process.
runs=4
# shellcheck disable=SC2046,SC2086
{
	until="--from x"
	count reboot-devices minivmm x ${ours/start.elf/reboot.elf} $(vfio_options $devices)
	qemu_reboot=${qemu/-no-reboot/}
	count reboot-devices qemu-q35-lean x ${qemu_reboot/bios \/tmp\/bios/bios /tmp/bios.reboot} $(vfio_args $devices)
	until="--end"
	count end-devices minivmm x $ours $(vfio_options $devices)
	count end-devices qemu-q35-lean x $qemu $(vfio_args $devices)
	count end-1g minivmm x ${ours/256M/1G,prefault=on}
	count end-1g qemu-q35-lean x ${qemu/-m 256/-m 1024 -mem-prealloc}
}
done_testing
