# `minivmm bench passthrough`: the same driver on the host and in a guest, with all rows that the device supports.
# Afterwards everything must be as before, however it ended.
. /project/tests/host/lib.sh
kvm_ready
edu=$(bdf edu)
nvme=$(bdf nvme)

# The state that a measurement must not change.
state() {
	local d
	for d in "$edu" "$nvme"; do
		echo "$d $(driver_of "$d") $(cat "/sys/bus/pci/devices/$d/driver_override")"
	done
	holders
}
# The processes that have files of VFIO open.
holders() { readlink /proc/[0-9]*/fd/* | grep /dev/vfio/; }
in_guest() { grep -qs vcpu0 /proc/"$1"/task/*/comm; }
# rows FILE ROW SAMPLES: checks that a row has a line for the host and one for the guest, with so many samples.
rows() {
	awk -v row="$2" -v n="$3" '
		index($0, row) == 1 { sub(row, ""); host += $1 == "host" && $2 == n; getline; guest += $1 == "guest" && $2 == n }
		END { exit !(host == 1 && guest == 1) }' "$1"
}
# to_process FILE ROW: prints the exits to minivmm for one operation, from the guest's line.
to_process() { awk -v row="$2" 'index($0, row) == 1 { getline; print $NF }' "$1"; }

minivmm bench passthrough --vfio "$edu" 2>"$OUT/refused"
if [ $? -eq 1 ] && grep -q 'bind it to vfio-pci' "$OUT/refused"; then
	ok "a device that is not with vfio-pci is refused" "$(cat "$OUT/refused")"
else
	fail "a device that is not with vfio-pci" "$(cat "$OUT/refused")"
fi
give "$edu" "$nvme" || { fail "devices to vfio-pci"; done_testing; }
before=$(state)

for device in edu nvme; do
	start=$SECONDS
	if minivmm bench passthrough --vfio "$(bdf $device)" >"$OUT/$device" 2>"$OUT/$device.log"; then
		ok "$device is measured" "$((SECONDS - start)) s"
	else
		fail "$device is measured" "$(cat "$OUT/$device.log")"
	fi
	cat "$OUT/$device"
	check "$device: the table says that the machine is virtual" grep -q '^machine *virtual (TCGTCGTCGTCG' "$OUT/$device"
	check "$device: register reads, both sides" rows "$OUT/$device" "register read" 2000
	check "$device: configuration reads, both sides" rows "$OUT/$device" "configuration read" 1000
	# Registers must cause no exits; each access to configuration space must cause one.
	for want in "register read=0.00" "configuration read=1.00"; do
		got=$(to_process "$OUT/$device" "${want%=*}")
		if [ "$got" = "${want#*=}" ]; then
			ok "$device: ${want%=*}: exits to minivmm" "$got each"
		else
			fail "$device: ${want%=*}: exits to minivmm" "$got each, not ${want#*=}"
		fi
	done
done
for row in "interrupt, awake=1000" "interrupt, asleep=1000" "DMA of 2 KiB from memory=5" \
	"DMA of 2 KiB to memory=5"; do
	check "edu: ${row%=*}, both sides" rows "$OUT/edu" "${row%=*}" "${row#*=}"
done
for row in "4 KiB disk read, polled=1000" "4 KiB disk read, interrupt=1000" "32 such reads at once=200"; do
	check "nvme: ${row%=*}, both sides" rows "$OUT/nvme" "${row%=*}" "${row#*=}"
	got=$(to_process "$OUT/nvme" "${row%=*}")
	if [ "$got" = 0.00 ]; then
		ok "nvme: ${row%=*}: no exit to minivmm"
	else
		fail "nvme: ${row%=*}: exits to minivmm" "$got each"
	fi
done

# A device for which minivmm has no driver; and the JSON.
e1000=$(bdf e1000)
give "$e1000"
minivmm bench passthrough --vfio "$e1000" --json >"$OUT/json" 2>"$OUT/json.log"
check "a device of another kind: only configuration space, and it is said" \
	grep -q "no driver for this device: only its configuration space is read" "$OUT/json.log"
for want in '"driver": null' '"virtual": true' '"name": "configuration read"' '"exits_to_process": 1.0' \
	'"p99": [0-9]'; do
	check "--json has $want" grep -q "$want" "$OUT/json"
done
if grep -q 'register read' "$OUT/json"; then fail "a device of another kind" "a register of it was read"; fi

# It is stopped early, in each of its two halves.
for half in host guest; do
	minivmm bench passthrough --vfio "$edu" >"$OUT/stopped" 2>&1 &
	vmm=$!
	if [ $half = guest ]; then wait_for 20 in_guest $vmm; else wait_for 20 holders >/dev/null; fi
	sleep 0.3
	kill -TERM $vmm
	check "stopped in the $half's half: it ends" wait_for 20 gone $vmm
	wait $vmm && fail "stopped in the $half's half" "exit status 0"
done
after=$(state)
if [ "$before" = "$after" ]; then
	ok "everything is as before"
else
	fail "everything is as before" "$after, not $before"
fi
check "and the device can be measured again" eval 'minivmm bench passthrough --vfio "$edu" >"$OUT/again"'
done_testing
