# The kernel's usbtest with a device of software (SourceSink on dummy_hcd), at high and at super speed: natively in the host,
# then in a guest. Every case that passes natively must pass in the guest. QEMU's results are shown beside.
. /project/tests/host/lib.sh
. /project/tests/host/lib-usb.sh
kvm_ready
usb_initrd
# 24 cancels URBs in the middle of a queue. It is the last one, because it hangs with QEMU.
cases=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,25,26,27,28,29,24

# passed FILE: the numbers of the cases that have passed, one a line
passed() { tr -d '\r' <"$1" | sed -n 's/^CASE \([0-9]*\) ok.*/\1/p' | sort -n; }
# not_passed NATIVE FILE: a word for each case that passed natively and not here
not_passed() {
	local n line
	for n in $(passed "$1"); do # the host has no /dev/fd for <(...)
		! passed "$2" | grep -qx "$n" || continue
		line=$(tr -d '\r' <"$2" | grep "^CASE $n " | cut -d' ' -f3-)
		echo "$n (${line:-no result})"
	done | paste -sd, -
}
seconds() { tr -d '\r' <"$1" | awk '/^CASE [0-9]* ok/ { n += $4 } END { printf "%.1f s", n / 1000 }'; }

# qemu_ends PID FILE: waits for the end, or until the guest has written nothing for 40 s; before its first case, for 150 s
qemu_ends() {
	local size last='' quiet=0 limit=150
	until gone "$1"; do
		size=$(stat -c %s "$2" 2>/dev/null)
		quiet=$((quiet + 1))
		[ "$size" = "$last" ] || quiet=0
		last=$size
		! grep -qas '^CASE' "$2" || limit=40
		if [ $quiet -ge $limit ]; then kill -KILL "$1"; fi
		sleep 1
	done
	wait "$1" 2>/dev/null
}

# compare SPEED LENGTH VARY PATTERN
compare() {
	local speed=$1 words="cases=$cases length=$2 vary=$3 pattern=$4" native=$OUT/native-$1 ours=$OUT/minivmm-$1 qemu=$OUT/qemu-$1 bad
	gadget_make "$speed" "$4" || { fail "$speed speed: the device"; return; }
	# shellcheck disable=SC2046 # words
	$usb_bin/usbcases "$(usb_node 0525:a4a0)" "$2" "$3" $(tr , ' ' <<<$cases) >"$native"
	usb_guest "do=cases $words"
	runs 120 minivmm -v --no-reboot "${usb_boot[@]}" --usb 0525:a4a0 --serial file:"$ours" 2>"$ours.err"
	bad=$(not_passed "$native" "$ours")
	if [ -z "$bad" ] && passed "$native" | grep -q '^24$'; then
		ok "usbtest at $speed speed: what passes natively passes in the guest" \
			"$(passed "$native" | paste -sd' ' -), $(seconds "$native") natively, $(seconds "$ours") in the guest"
	else
		fail "usbtest at $speed speed: what passes natively passes in the guest" "not so: ${bad:-24 does not pass natively}"
		cat "$ours.err"
	fi
	check "usbtest at $speed speed: the driver has the device again" wait_for 10 gadget_with usbtest
	if [ -n "${WITH_QEMU-1}" ]; then
		$QEMU_GUEST -m 256 -smp 1 -kernel "$KERNEL" -initrd /tmp/usb.initrd -append "$usb_words" \
			-device qemu-xhci -device usb-host,vendorid=0x0525,productid=0xa4a0 -serial file:"$qemu" 2>"$qemu.err" &
		qemu_ends $! "$qemu"
		echo "QEMU at $speed speed: passes $(passed "$qemu" | paste -sd' ' -) in $(seconds "$qemu"); not: $(not_passed "$native" "$qemu")"
	fi
	gadget_end
}
compare high 1024 512 1
compare super 2048 1024 0
done_testing
