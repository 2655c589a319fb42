# Isochronous transfers in both directions at the same time: a device of software (vusb, on vhci_hcd) with a clock, and numbers
# in its packets, at high and at full speed: natively in the host, then in a guest. Nothing may be lost, late or out of order.
# Then the device goes in the middle of transfers.
. /project/tests/host/lib.sh
. /project/tests/host/lib-usb.sh
kvm_ready
usb_initrd
packets=${PACKETS:-320} # one every 32 ms, so that a busy host is in time
modprobe vhci_hcd || fail "vhci_hcd"
has_vusb() { usb_node 1209:0001 >/dev/null; }
no_vusb() { ! has_vusb; }

# guest_iso NAME PACKETS: starts a guest; $vmm, and $line is its serial line
guest_iso() {
	line=$OUT/$1
	usb_guest "do=iso packets=$2"
	minivmm -v --no-reboot "${usb_boot[@]}" --usb 1209:0001 --serial file:"$line" 2>"$line.err" &
	vmm=$!
}
result() { tr -d '\r' <"$line" | grep -v begins | sed -n 's/^ISO //p'; }

# streams SPEED: a device of that speed, natively and in a guest
streams() {
	local text
	if text=$($usb_bin/usbiso "$(usb_node 1209:0001)" "$packets"); then
		ok "isochronous at $1 speed, natively" "$text"
	else
		fail "isochronous at $1 speed, natively" "$text"
	fi
	guest_iso "$1" "$packets"
	ends "isochronous at $1 speed: the guest ends" $vmm 120
	text=$(result)
	case $text in
	"ok "*) ok "isochronous at $1 speed, in a guest" "${text#ok }" ;;
	*) fail "isochronous at $1 speed, in a guest" "$text $(tail -n 1 "$line.err")" ;;
	esac
}

for speed in high full; do
	$usb_bin/vusb 0 $speed &
	vusb=$!
	wait_for 20 has_vusb || { fail "the device in the host, at $speed speed"; continue; }
	streams $speed
	[ $speed = high ] || break # the last one stays for what follows
	kill $vusb
	wait_for 20 no_vusb
done
guest_iso gone 100000
says $vmm 120 'ISO begins' "$line" || fail "the guest begins"
sleep 3
kill $vusb
check "the device goes in the middle of transfers: the guest notices" says $vmm 60 'ISO FAIL' "$line"
echo "   $(result)"
ends "and ends" $vmm 60
done_testing
