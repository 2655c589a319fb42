# shellcheck shell=sh disable=SC2154 # variables of the other parts
# Network interfaces: pings, and a transfer whose data is compared.

carrier() {
	[ "$(cat "/sys/class/net/$1/carrier" 2>/dev/null)" = 1 ]
}

# net_ping IFNAME COUNT: prints "3 of 3 answered, rtt 0.4 ms"
net_ping() {
	out=$(ping -I "$1" -c "$2" -W 5 "$gw" 2>&1)
	rc=$?
	got=$(echo "$out" | sed -n 's/.*, \([0-9][0-9]*\) [a-z ]*received.*/\1/p')
	rtt=$(echo "$out" | sed -n 's/.*= *[0-9.]*\/\([0-9.]*\)\/.*/\1/p')
	echo "${got:-0} of $2 pings of $gw answered${rtt:+, rtt $rtt ms}"
	return $rc
}

net_words() {
	net=$(word_value net "$@")
	net=${net:-10.0.2.50}
	gw=$(word_value gw "$@")
	gw=${gw:-${net%.*}.2}
}

net_up() {
	ip link set "$1" up || return 1
	ip addr add "$net/24" dev "$1" || return 1
	wait_for 15 carrier "$1"
}

# The interfaces get the same address, one after the other, so that no answer can come through another one.
net_down() {
	ip addr flush dev "$1"
	ip link set "$1" down
}

nic_names() {
	for n in "$pci/$1"/net/* "$pci/$1"/virtio*/net/*; do
		[ ! -e "$n" ] || echo "${n##*/}"
	done
}

has_nic() {
	[ -n "$(nic_names "$1")" ]
}

nic_step() {
	kind=$1
	shift
	net_words "$@"
	need "$kind"
	for a in $devices; do
		wait_for 10 has_nic "$a" || fail "no interface at $a$(complaint "$a")"
		for ifname in $(nic_names "$a"); do
			read -r mac <"/sys/class/net/$ifname/address"
			net_up "$ifname" || { net_down "$ifname"; fail "$a $ifname: no carrier"; }
			out=$(net_ping "$ifname" 3)
			rc=$?
			net_down "$ifname"
			[ $rc = 0 ] || fail "$a $ifname $mac: $out"
			add "$a $ifname $mac: $out"
		done
	done
}

step_igbvf() {
	nic_step igbvf "$@"
}

step_e1000() {
	nic_step e1000 "$@"
}

step_e1000e() {
	nic_step e1000e "$@"
}

step_virtio_net() {
	nic_step virtio_net "$@"
}

# through_pairs IFNAME PAIRS: MiBs both ways from each processor, each of which has a pair; every pair has moved some.
through_pairs() {
	cpu=0
	while [ $cpu -lt "$2" ]; do
		for way in to from; do
			taskset $((1 << cpu)) netcheck measure "$gw" 7000 $way 8 >/dev/null 2>"$work/pairs" ||
				fail "$1, processor $cpu, $way the host: $(cat "$work/pairs")"
		done
		cpu=$((cpu + 1))
	done
	sent=$(netcheck sent "$1")
	# shellcheck disable=SC2046 # a word an interrupt
	received=$(echo $(awk '/virtio[0-9]+-input\./ { n = 0; for (i = 2; $i ~ /^[0-9]+$/; i++) n += $i; print n }' /proc/interrupts))
	for count in $sent $received; do
		[ "$count" -gt 10 ] || fail "$1: counts of each pair: sent $sent, received $received"
	done
}

# The host runs `netcheck serve 7000`, and the card has a pair of queues for each processor.
step_netpairs() {
	net_words "$@"
	need virtio_net
	cpus=$(grep -c ^processor /proc/cpuinfo)
	for a in $devices; do
		wait_for 10 has_nic "$a" || fail "no interface at $a$(complaint "$a")"
		for ifname in $(nic_names "$a"); do
			net_up "$ifname" || fail "$a $ifname: no carrier"
			all=$(netcheck queues "$ifname")
			[ "$all" = "$cpus of $cpus" ] || fail "$ifname: $all pairs, for $cpus processors"
			one=$(netcheck queues "$ifname" 1) || fail "$ifname: one pair: $one"
			out=$(net_ping "$ifname" 3) || fail "$ifname with one pair: $out"
			all=$(netcheck queues "$ifname" "$cpus") || fail "$ifname: all pairs again: $all"
			through_pairs "$ifname" "$cpus"
			ip link set "$ifname" promisc on || fail "$ifname: promiscuous"
			ip link set "$ifname" address 52:54:00:99:88:77 || fail "$ifname: another MAC address"
			out=$(net_ping "$ifname" 3) || fail "$ifname with another MAC address: $out"
			add "$ifname: $all pairs, counts of each: sent $sent, received $received; with another address: $out"
			net_down "$ifname"
		done
	done
}

# receive: connects to the host's port, and prints what the host sends
receive() {
	if command -v nc >/dev/null; then
		nc "${net%.*}.100" 7000 </dev/null
	else
		bash -c "exec cat </dev/tcp/${net%.*}.100/7000"
	fi
}

# received SUM: receives a whole transfer and compares its checksum; prints the number of bytes.
received() {
	receive >"$work/bulk.$1" || fail "the connection failed after $(wc -c <"$work/bulk.$1") bytes"
	got=$(md5sum <"$work/bulk.$1")
	[ "${got%% *}" = "$1" ] || fail "$(wc -c <"$work/bulk.$1") bytes with MD5 ${got%% *}, expected $1"
	wc -c <"$work/bulk.$1"
}

step_netbulk() {
	net_words "$@"
	sum=$(word_value netbulk "$@")
	[ -n "$sum" ] || fail "netbulk=MD5 is missing: the sum of what the host sends"
	for kind in igbvf e1000 e1000e virtio_net; do
		[ -n "$(devices_of "$kind")" ] || continue
		need "$kind"
		for a in $devices; do
			wait_for 10 has_nic "$a" || fail "no interface at $a$(complaint "$a")"
			for ifname in $(nic_names "$a"); do
				net_up "$ifname" || { net_down "$ifname"; fail "$a $ifname: no carrier"; }
				begin=$(uptime_ms)
				out=$(received "$sum")
				rc=$?
				ms=$(($(uptime_ms) - begin))
				net_down "$ifname"
				[ $rc = 0 ] || fail "$a $ifname: $out"
				add "$a $ifname: $((out >> 20)) MiB as sent, $((out / 1049 / ms)).$((out / 105 / ms % 10)) MiB/s"
			done
		done
	done
	[ -n "$detail" ] || fail "no network interface"
}
