# Runs that cannot work must be refused with one line that says what to do, and must change nothing.
. /project/tests/host/lib.sh
kvm_ready

# refused NAME STATUS TEXT COMMAND...: checks the exit status, and that the one line on stderr has the text (a regexp).
refused() {
	local name=$1 status=$2 text=$3 got why=
	shift 3
	timeout 120 "$@" --serial null --kernel "$KERNEL" </dev/null >"$OUT/refused.out" 2>"$OUT/refused"
	got=$?
	[ $got -eq "$status" ] || why="exit status $got, not $status; "
	[ "$(wc -l <"$OUT/refused")" -eq 1 ] || why="$why$(wc -l <"$OUT/refused") lines; "
	grep -qE -- "$text" "$OUT/refused" || why="${why}no '$text'; "
	if [ -z "$why" ]; then ok "$name" "$(cat "$OUT/refused")"; else fail "$name" "$why$(cat "$OUT/refused")"; fi
}
# The state that a refusal must not change: drivers, overrides, and which processes have the groups open.
host_state() {
	local d
	for d in /sys/bus/pci/devices/*; do
		echo "${d##*/} $(basename "$(readlink "$d/driver")" 2>/dev/null) $(cat "$d/driver_override")"
	done
	ls -l /dev/vfio 2>/dev/null
}

refused "nonsense for an address" 2 "01:00.0" minivmm --vfio nonsense
refused "a device given twice" 2 "given twice" minivmm --vfio 01:00.0 --vfio 0000:01:00.0
refused "a device that is not there" 1 "no such PCI device: lspci" minivmm --vfio 0000:7f:1f.7

if [ "$HOST_MACHINE" = no-iommu ]; then
	refused "a host without an IOMMU" 1 "without an IOMMU.*setup" minivmm --vfio "$(bdf edu)"
	done_testing
fi

edu=$(bdf edu)
e1000=$(bdf e1000)
shared=$(bdf shared-group)
group=$(basename "$(readlink "/sys/bus/pci/devices/$edu/iommu_group")")
bridge=$(basename "$(dirname "$(readlink -f "/sys/bus/pci/devices/$edu")")")
for d in "$edu" "$e1000"; do # an earlier script may have bound them
	[ ! -e "/sys/bus/pci/devices/$d/driver" ] || echo "$d" >"/sys/bus/pci/devices/$d/driver/unbind"
	echo >"/sys/bus/pci/devices/$d/driver_override"
done
refused "a device without a driver" 1 "$edu has no driver: bind it to vfio-pci: minivmm bind" minivmm --vfio "$edu"
modprobe e1000
echo "$e1000" >/sys/bus/pci/drivers_probe
wait_for 20 test -e "/sys/bus/pci/devices/$e1000/driver"
refused "a device with another driver" 1 "$e1000 is bound to e1000: .*minivmm bind $e1000" minivmm --vfio "$e1000"
refused "a bridge" 1 "$bridge is a bridge" minivmm --vfio "$bridge"

# The command that the message names must work.
minivmm --vfio "$edu" --kernel "$KERNEL" --serial null 2>&1 | sed -n 's/.*bind it to vfio-pci: //p' >/tmp/bind
check "the command that the refusal names binds the device" bash -e /tmp/bind
[ "$(driver_of "$edu")" = vfio-pci ] || fail "after them $edu" "is with $(driver_of "$edu")"
give "$e1000" "$shared"
before=$(host_state)

refused "a group that the host shares" 1 "IOMMU group [0-9]+ with .*\(virtio-pci\).*bind that" minivmm --vfio "$shared"
nobody="setpriv --reuid 65534 --regid 65534 --clear-groups"
chmod 666 /dev/kvm /dev/vfio/vfio
refused "no permission on the group" 1 "no permission to open /dev/vfio/$group: as root.*chown" \
	$nobody minivmm --vfio "$edu"
chown 65534 "/dev/vfio/$group"
prlimit --memlock=300000000:300000000 $nobody minivmm --memory 256M --serial file:/tmp/user --vfio "$edu" \
	--kernel "$KERNEL" --initrd "$GUEST_INITRD" --append "console=ttyS0 quiet steps=edu"
guest_steps /tmp/user "a user who has the group and the limit:"
refused "too little memory may be locked" 1 "1024 MiB.*lock only 64 KiB.*prlimit" \
	prlimit --memlock=65536:65536 $nobody minivmm --vfio "$edu"
chown 0 "/dev/vfio/$group"

sleep 60 8<>"/dev/vfio/$group" &
holder=$!
wait_for 20 test -e /proc/$holder/fd/8
refused "a device that another process holds" 1 "process $holder \(sleep\) has /dev/vfio/$group open" minivmm --vfio "$edu"
kill $holder
wait $holder 2>/dev/null
echo 'no option ROM' >/tmp/broken.rom
refused "a broken ROM file" 1 "/tmp/broken.rom" minivmm --vfio "$edu,romfile=/tmp/broken.rom"
refused "a ROM file that is not there" 1 "/tmp/none.rom" minivmm --vfio "$edu,romfile=/tmp/none.rom"
refused "two cards for one slot" 1 "slot=4 is taken" minivmm --vfio "$edu,slot=4" --vfio "$e1000,slot=4"

rmmod vfio_iommu_type1
refused "a kernel module that is missing" 1 "modprobe vfio_iommu_type1" minivmm --vfio "$edu"
modprobe vfio_iommu_type1

after=$(host_state)
if [ "$before" = "$after" ]; then
	ok "no refusal changed anything"
else
	fail "no refusal changed anything" "$(diff <(echo "$before") <(echo "$after") | head -n 3)"
fi

# The host asks for a device back while a guest has it.
minivmm --memory 256M --serial file:"$OUT/linux" --vfio "$edu" --kernel "$KERNEL" --initrd "$GUEST_INITRD" \
	--append "console=ttyS0 quiet steps=edu hold=60" 2>"$OUT/unbind" &
vmm=$!
says $vmm 60 HOLD "$OUT/linux"
echo "$edu" >/sys/bus/pci/drivers/vfio-pci/unbind &
check "the host takes a device back: minivmm lets it go" wait_for 40 test ! -e "/sys/bus/pci/devices/$edu/driver"
ends "the host takes a device back: minivmm ends with 0" $vmm 30
check "the host takes a device back: it is said" grep -q "$edu: the host wants it back" "$OUT/unbind"

# A device reports an error that cannot be corrected (PCI Express AER, injected from outside).
aer=$(bdf aer)
give "$aer"
minivmm --memory 256M --serial file:"$OUT/aer-linux" --vfio "$aer" --kernel "$KERNEL" --initrd "$GUEST_INITRD" \
	--append "console=ttyS0 quiet steps=cpus hold=60" 2>"$OUT/aer" &
vmm=$!
says $vmm 60 HOLD "$OUT/aer-linux"
ask qmp '{"execute":"human-monitor-command","arguments":{"command-line":"pcie_aer_inject_error aer DLP"}}' >"$OUT/inject"
check "a device reports a fatal error: minivmm stops the guest" wait_for 30 gone $vmm
wait $vmm
code=$?
[ $code -eq 1 ] || fail "a device reports a fatal error: exit status" "$code, not 1"
check "a device reports a fatal error: it is said" grep -q "$aer reports an error that cannot be corrected" "$OUT/aer"
done_testing
