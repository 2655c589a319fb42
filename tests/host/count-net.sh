# Counts the instructions of the network: TCP in both directions, and datagrams that are sent back, between the host and a
# guest, with vhost-net, for minivmm and QEMU in the same boot on the machine `count`. The lines are as in count.sh. They
# have the instructions for a MiB and for a datagram, of guest, kernel and VMM together, with one pair of queues and with
# two.
. /project/tests/host/lib.sh
kvm_ready
bin=/tmp/bin
mkdir -p $bin
cp "$(command -v minivmm)" /project/build/l1/netcheck $bin/
[ ! -d /project/build/l1/peers ] || cp /project/build/l1/peers/* $bin/
PATH=$bin:$PATH
modprobe -a vhost_net tun
: >"$OUT/counts"
versions
cp "$KERNEL" /tmp/kernel
mkdir -p /tmp/more
cat >/tmp/more/netserve <<'END'
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs s /sys
mount -t devtmpfs d /dev
modprobe -a virtio_pci virtio_net
sleep 1
ip addr add 10.0.2.50/24 dev eth0
ip link set eth0 up
echo "PAIRS $(netcheck queues eth0)"
netcheck serve 7000
END
(cd /tmp/more && echo netserve | cpio --quiet -o -H newc) | cat "$GUEST_INITRD" - >/tmp/initrd
words="console=ttyS0 quiet rdinit=/bin/sh -- /netserve"

# traffic PAIRS NAME COMMAND...: starts the guest and counts.
traffic() {
	local pairs=$1 vmm=$2 log row words best ticks pid
	shift 2
	log=$OUT/$vmm-$pairs.serial
	# shellcheck disable=SC2046 # a word or none
	ip tuntap add dev mv0 mode tap $([ "$pairs" = 1 ] || echo multi_queue)
	ip addr add 10.0.2.2/24 dev mv0
	ip link set mv0 up
	"$@" >"$log" 2>"$OUT/$vmm-$pairs.err" </dev/null &
	pid=$!
	if says $pid 200 '^PAIRS' "$log"; then
		check "$vmm uses $pairs pairs" grep -qa "^PAIRS $pairs of" "$log"
		sleep 2
		for row in "to-guest to 32" "from-guest from 32" "datagram echo 1000 64"; do
			read -r row words <<<"$row"
			best=''
			for _ in 1 2 3; do
				# shellcheck disable=SC2086 # words
				ticks=$(timeout 300 netcheck measure 10.0.2.50 7000 $words) || break
				[ "${best:-$ticks}" -lt "$ticks" ] || best=$ticks
			done
			[ -n "$best" ] || fail "net-$row-$pairs, $vmm" "no traffic"
			echo "COUNT net-$row-$pairs $vmm $best" | tee -a "$OUT/counts"
		done
	else
		fail "$vmm, $pairs pairs" "the guest does not answer: $(tail -n 1 "$OUT/$vmm-$pairs.err")"
	fi
	kill -KILL $pid
	wait_for 20 gone $pid
	wait $pid 2>/dev/null
	ip link del mv0
}

files="-m 256 -serial stdio -kernel /tmp/kernel -initrd /tmp/initrd"
# ours BINARY PAIRS OPTIONS: prints the command for minivmm.
ours() {
	traffic "$2" "$1" "$1" --memory 256M --cpus "$2" --serial stdio --kernel /tmp/kernel --initrd /tmp/initrd \
		--append "$words" --net "tap,ifname=mv0,mac=52:54:00:00:00:50$3"
}
# shellcheck disable=SC2086
for pairs in 1 2; do
	ours minivmm $pairs ",queues=$pairs"
	mq=
	[ $pairs = 1 ] || mq=,mq=on,vectors=$((2 * pairs + 2))
	traffic $pairs qemu-q35 $QEMU_GUEST $files -smp $pairs -append "$words" \
		-netdev tap,id=n,ifname=mv0,script=no,downscript=no,vhost=on,queues=$pairs \
		-device virtio-net-pci,netdev=n,mac=52:54:00:00:00:50,disable-legacy=on$mq
done
# For comparison with an older version: a binary of that name in build/l1/peers.
[ ! -x $bin/minivmm-before ] || ours minivmm-before 1 ""
done_testing
