# Counts the instructions of the same work by minivmm and by QEMU, on a machine whose TSC counts them (machine `count`).
# Each figure is a line: COUNT NAME VMM INSTRUCTIONS. tests/bench/count-compare judges them. The guest counts with the
# TSC, so it counts everything that runs: guest, kernel, VMM.
. /project/tests/host/lib.sh
kvm_ready
count_ready
truncate -s 1M /tmp/disk
qemu="$QEMU_GUEST -m 64 -serial stdio -device isa-debug-exit,iobase=0xf4,iosize=4"

# micro VMM GUEST COMMAND...: prints the COUNT lines of the micro-guest. The threads run under SCHED_BATCH: there is one
# processor, and otherwise the scheduler would decide anew after each change whether a woken thread runs at once.
micro() {
	local vmm=$1
	shift
	timeout 600 chrt --batch 0 "$@" 2>"$OUT/micro.$vmm.log" </dev/null | tr -d '\r' | sed -n "s/^COUNT \([^ ]*\) \([0-9]*\)$/COUNT \1 $vmm \2/p" |
		tee -a "$OUT/counts"
}

give "$(bdf nvme)" "$(bdf edu)" || fail "devices to vfio-pci"
micro minivmm minivmm --kernel $bin/count.elf --memory 64M --serial stdio --disk /tmp/disk --vfio "$(bdf nvme)"
# shellcheck disable=SC2046,SC2086
micro qemu-q35 $qemu -kernel $bin/count.elf -drive file=/tmp/disk,format=raw,if=none,id=d -object iothread,id=t \
	-device virtio-blk-pci,drive=d,disable-legacy=on,iothread=t $(vfio_args "$(bdf nvme)")
micro minivmm minivmm --kernel $bin/edu.elf --memory 64M --serial stdio --vfio "$(bdf edu)"
# shellcheck disable=SC2046,SC2086
micro qemu-q35 $qemu -kernel $bin/edu.elf $(vfio_args "$(bdf edu)")
done_testing
