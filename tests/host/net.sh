# virtio-net under Linux: a pair of queues for each processor, with vhost-net and with our own threads; a tap device that
# was made for one pair; one pair with vhost-net, and on a host without it.
. /project/tests/host/lib.sh
kvm_ready
modprobe -a vhost_net tun
guest="--kernel $KERNEL --initrd $GUEST_INITRD --memory 256M"

for options in vhost=on vhost=off,queues=2; do
	# shellcheck disable=SC2086
	minivmm $guest --cpus 2 --net tap,ifname=mv0,$options --serial file:"$OUT/pairs-$options" \
		--append "console=ttyS0 quiet steps=netpairs" &
	vmm=$!
	wait_for 20 test -e /sys/class/net/mv0
	ip addr add 10.0.2.2/24 dev mv0
	ip link set mv0 up
	/project/build/l1/netcheck serve 7000 &
	peer=$!
	ends "pairs of queues, $options: the guest powers off" $vmm 90
	kill $peer
	guest_steps "$OUT/pairs-$options" "pairs of queues, $options:"
done
ip tuntap add dev mv0 mode tap
# shellcheck disable=SC2086
minivmm -v $guest --cpus 2 --net tap,ifname=mv0 --serial file:"$OUT/net-single" \
	--append "console=ttyS0 quiet steps=virtio_net" 2>"$OUT/single.err" &
vmm=$!
ip addr add 10.0.2.2/24 dev mv0
ip link set mv0 up
ends "a tap device for one pair: the guest powers off" $vmm 60
guest_steps "$OUT/net-single" "a tap device for one pair:"
check "a tap device for one pair: what to do is said" grep -q "ip tuntap add dev mv0 mode tap multi_queue" "$OUT/single.err"
ip tuntap del dev mv0 mode tap

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
done_testing
