# virtio devices under Linux: a disk of known bytes by both engines, caches and several queues; a NIC on a tap;
# and what happens when the process is killed, asked to stop, or told to use what is not there.
. /project/tests/host/lib.sh
kvm_ready
modprobe -a vhost_net tun
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

for vhost in yes no; do
	[ $vhost = yes ] || rmmod vhost_net
	# shellcheck disable=SC2086
	minivmm $guest --net tap,ifname=mv0 --serial file:"$OUT/net-$vhost" \
		--append "console=ttyS0 quiet steps=virtio_net" &
	vmm=$!
	wait_for 20 test -e /sys/class/net/mv0
	ip addr add 10.0.2.2/24 dev mv0
	ip link set mv0 up
	ends "tap, vhost-net $vhost: the guest powers off" $vmm 60
	guest_steps "$OUT/net-$vhost" "tap, vhost-net $vhost:"
	if [ -e /sys/class/net/mv0 ]; then fail "tap removed at exit"; else ok "tap removed at exit, vhost-net $vhost"; fi
done

# What is sent to a console comes back from the guest, line by line, more than its queue holds; and random numbers.
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
