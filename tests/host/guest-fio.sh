# fio in a Linux guest, on the machine `count`: instructions a request (guest, KVM, VMM and the host's kernel together),
# and interrupts a request. One processor for all, so what a queue's thread costs the guest that it interrupts is in it.
# The disk is null_blk, which answers at once; O_DIRECT on both sides. fio's buffers lie in huge pages: a 128 KiB buffer of
# scattered 4 KiB pages takes twice the instructions, and chance decided which of the two a run had. Lines as in count.sh.
#
# QEMU has a disk for each of its good engines (threads takes 14 to 32 % more), each with an I/O thread of its own. It runs
# alone, in four minutes:
#   make -s host l1 l1-count && tests/host/run --machine count --devices edu tests/host/guest-fio.sh
. /project/tests/host/lib.sh
kvm_ready
count_ready
cp "$KERNEL" /tmp/kernel
# By default null_blk takes 127.5 KiB at most. Then a request of 128 KiB is divided, which few disks do, and which costs
# more with io_uring than with libaio.
modprobe null_blk nr_devices=2 queue_mode=2 irqmode=1 gb=1 bs=512 submit_queues=1 max_sectors=1024 || fail "null_blk"

# NAME, fio's words and the number of requests. A run's time is told in milliseconds, a million instructions: the numbers
# make that 0.3 % at most. What comes first is not counted, for most of a second: the kernels still have work of their
# own then, which is a tenth of a row at depth 1.
jobs='warm-up randread 4k 1 16000
read-1 randread 4k 1 8000
read-32 randread 4k 32 16000
write-32 randwrite 4k 32 16000
read128k-8 read 128k 8 5000'

# The guest's init: each job on each virtio disk.
mkdir -p /tmp/extra
cat >/tmp/extra/fio-init <<INIT
#!/bin/sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
exec </dev/ttyS0 >/dev/ttyS0 2>&1
echo 1 >/proc/sys/kernel/printk
echo 8 >/proc/sys/vm/nr_hugepages
modprobe -a virtio_pci virtio_blk
cd /run
irqs() { grep "\$1-req" /proc/interrupts | awk '{ n += \$2 } END { print n }'; }
for disk in /sys/block/vd*; do
	echo none >\$disk/queue/scheduler
	virtio=\$(basename \$(readlink -f \$disk/device))
	disk=\${disk##*/}
	while read -r name rw bs depth n; do
		case \$name in warm-up | \${only:-*}) ;; *) continue ;; esac
		before=\$(irqs \$virtio)
		ms=\$(fio --name=j --filename=/dev/\$disk --rw=\$rw --bs=\$bs --iodepth=\$depth --number_ios=\$n --size=1G --direct=1 \\
			--ioengine=libaio --iomem=shmhuge --norandommap --invalidate=0 --gtod_reduce=1 --minimal --terse-version=3 2>errors |
			awk -F';' '{ print (\$9 > \$50 ? \$9 : \$50), \$6 + \$47 }')
		echo "FIO \$disk \$name \$n \$((\$(irqs \$virtio) - before)) \$ms"
	done <<JOBS
$jobs
JOBS
done
poweroff -n -f
INIT
chmod +x /tmp/extra/fio-init
{ cat "$GUEST_INITRD"; (cd /tmp/extra && echo fio-init | cpio --quiet -o -H newc); } >/tmp/initrd

# guest VMM ENGINE,... COMMAND...: the guest's lines as ours; its first disk is the first engine's, and so on. $rows is
# appended to the names of the rows.
rows=
guest() {
	local vmm=$1 engines=$2 disk name n irqs ms kib who found=0
	shift 2
	timeout 900 "$@" >"$OUT/fio.$vmm" 2>"$OUT/fio.$vmm.log" </dev/null
	tr -d '\r' <"$OUT/fio.$vmm" | grep -a '^FIO ' | grep -v warm-up >/tmp/lines
	while read -r _ disk name n irqs ms kib; do
		who=$(cut -d, -f$(($(printf %d "'${disk#vd}") - 96)) <<<"$engines")
		who=$vmm${who:+-$who}
		[ "$ms" -gt 0 ] && [ "$kib" -gt 0 ] || { fail "$who, $name" "fio says $ms ms, $kib KiB"; continue; }
		awk -v n="$n" -v irqs="$irqs" -v ms="$ms" -v row="fio-$name$rows" -v who="$who" 'BEGIN {
			printf "COUNT %s %s %d\nCOUNT %s-irqs %s %.3f\n", row, who, ms * 1e6 / n, row, who, irqs / n }' | tee -a "$OUT/counts"
		found=$((found + 1))
	done </tmp/lines
	[ $found -gt 0 ] || fail "fio with $vmm" "no line came: $(tail -n 1 "$OUT/fio.$vmm.log")"
}

words="console=ttyS0 quiet rdinit=/fio-init"
guest minivmm "" minivmm --memory 512M --cpus 1 --serial stdio --kernel /tmp/kernel --initrd /tmp/initrd --append "$words" \
	--disk /dev/nullb0,cache=none
# With a passed-through device and huge pages, guest RAM is registered with the disk's ring.
echo 260 >/proc/sys/vm/nr_hugepages
give "$(bdf edu)" || fail "edu to vfio-pci"
rows=-pinned
guest minivmm "" minivmm --memory 512M,hugepages=2M --cpus 1 --serial stdio --kernel /tmp/kernel --initrd /tmp/initrd \
	--append "$words only=read-32" --disk /dev/nullb0,cache=none --vfio "$(bdf edu)"
rows=
echo 0 >/proc/sys/vm/nr_hugepages
disks=
n=0
for aio in io_uring native; do
	disks="$disks -drive file=/dev/nullb$n,format=raw,if=none,id=d$n,aio=$aio,cache=none -object iothread,id=t$n"
	disks="$disks -device virtio-blk-pci,drive=d$n,iothread=t$n,num-queues=1,disable-legacy=on"
	n=$((n + 1))
done
# shellcheck disable=SC2086
guest qemu io_uring,native $QEMU_LEAN -m 512 -smp 1 -serial stdio -kernel /tmp/kernel -initrd /tmp/initrd \
	-append "$words" $disks
done_testing
