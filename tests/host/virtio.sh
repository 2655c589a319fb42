# virtio devices under Linux: a disk with known bytes, with both engines and caches and several queues; a console and random
# numbers; and a process that is killed, is asked to stop, or has wrong options.
. /project/tests/host/lib.sh
kvm_ready
guest="--kernel $KERNEL --initrd $GUEST_INITRD --memory 256M"
make-disk /tmp/disk.img known 64 >/dev/null

n=0
for options in aio=io_uring aio=libaio aio=io_uring,cache=writeback,queues=2; do
	n=$((n + 1))
	# shellcheck disable=SC2086 # options are words
	runs 90 minivmm $guest --cpus 2 --disk /tmp/disk.img,$options,serial=known --serial file:"$OUT/blk-$n" \
		--append "console=ttyS0 quiet steps=virtio_blk virtio_blk_disk=known"
	guest_steps "$OUT/blk-$n" "$options:"
done

sysctl -qw kernel.io_uring_disabled=2
# shellcheck disable=SC2086
runs 90 minivmm $guest --disk /tmp/disk.img --serial file:"$OUT/blk-denied" \
	--append "console=ttyS0 quiet steps=virtio_blk" 2>"$OUT/denied.err"
guest_steps "$OUT/blk-denied" "io_uring not permitted:"
check "io_uring not permitted: it says that it uses libaio" grep -q libaio "$OUT/denied.err"
sysctl -qw kernel.io_uring_disabled=0

# Scripts for the guest, in an archive behind the initrd.
cat >/tmp/sectors <<'END'
mount -t sysfs s /sys
mount -t devtmpfs d /dev
modprobe -a virtio_pci virtio_blk
sleep 1
cd /sys/block/vda
echo SEEN $(cat queue/logical_block_size queue/physical_block_size size) $(ls -d vda*)
dd if=/dev/vda2 of=/dev/vda bs=512 seek=19534 count=1 conv=fsync && echo WRITTEN
poweroff -f
END
sed -e 's/^dd.*/echo BUSY; while :; do dd if=\/dev\/zero of=\/dev\/vda bs=4k count=16 seek=99 conv=fsync; done/' -e '/^echo SEEN/d' \
	/tmp/sectors >/tmp/busy
(cd /tmp && printf 'sectors\nbusy\n' | cpio --quiet -o -H newc) | cat "$GUEST_INITRD" - >/tmp/scripts.initrd
script="--kernel $KERNEL --initrd /tmp/scripts.initrd --memory 256M"

# An image with 512-byte sectors on storage with 4 KiB blocks, which ends inside of a block. The guest must see its
# partitions and its last sector, and its length must not change. Then the file system stops answering: SIGTERM must end
# the run with a message that names the disk; the kernel keeps the rest of the process until the storage answers.
modprobe -a loop ext4
truncate -s 200M /tmp/back.img
mkdir -p /tmp/big
if loop=$(losetup -b 4096 --show -f /tmp/back.img) && mkfs.ext4 -q "$loop" && mount "$loop" /tmp/big; then
	truncate -s $((19535 * 512)) /tmp/big/disk
	printf 'label: gpt\nstart=2048,size=4096\nstart=6144,size=4096\n' | sfdisk -q /tmp/big/disk
	# shellcheck disable=SC2086
	timeout 90 minivmm $script --disk /tmp/big/disk --serial file:"$OUT/blocks" \
		--append "console=ttyS0 quiet rdinit=/bin/sh -- /sectors"
	check "4 KiB blocks: sectors, size and partitions" grep -qa '^SEEN 512 4096 19535 vda1 vda2' "$OUT/blocks"
	check "4 KiB blocks: the last sector" grep -qa '^WRITTEN' "$OUT/blocks"
	check "4 KiB blocks: the image's length" [ "$(stat -c %s /tmp/big/disk)" -eq $((19535 * 512)) ]
	# shellcheck disable=SC2086
	minivmm $script --disk /tmp/big/disk --serial file:"$OUT/frozen" \
		--append "console=ttyS0 quiet rdinit=/bin/sh -- /busy" 2>"$OUT/frozen.err" &
	vmm=$!
	says $vmm 60 '^BUSY' "$OUT/frozen"
	sleep 2
	fsfreeze -f /tmp/big
	sleep 2
	kill -TERM $vmm
	sleep 1
	kill -TERM $vmm # the first SIGTERM may have pressed the power button
	check "storage hangs: SIGTERM ends the run" wait_for 20 grep -q '/tmp/big/disk: its storage does not answer' "$OUT/frozen.err"
	fsfreeze -u /tmp/big
	ends "storage hangs: nothing is left when it answers" $vmm 20
	umount /tmp/big
	losetup -d "$loop"
else
	skip "4 KiB blocks" "no such loop device"
fi

# The guest sends back what is sent to its console, line by line, more than its queue can hold; and random numbers.
# shellcheck disable=SC2086
minivmm $guest --rng --console unix:/tmp/console --serial file:"$OUT/console" \
	--append "console=ttyS0 quiet steps=virtio_console,virtio_rng" 2>"$OUT/console.log" &
vmm=$!
wait_for 20 test -S /tmp/console
seq -f 'line %200.0f' 100 >/tmp/said
cat >/tmp/talk <<END
read -r word # the guest is ready
{ cat /tmp/said; echo end; } &
cat >"$OUT/echoed"
END
socat UNIX-CONNECT:/tmp/console EXEC:"sh /tmp/talk" 2>"$OUT/socat.log" &
ends "console, random numbers: the guest powers off" $vmm 60
guest_steps "$OUT/console" "console, random numbers:"
sed 's/^/guest: /' /tmp/said >/tmp/expected
check "console: 20 KB there and back" cmp /tmp/expected "$OUT/echoed"
done_testing
