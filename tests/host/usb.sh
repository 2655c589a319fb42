# A single USB device of the host in a guest (--usb): the disk of known bytes behind the outer machine's controller. It is
# found and named, refused while it is in use, read and written by Linux behind the emulated controller, given back however
# the run ends, and pulled out and plugged in while the guest has it.
. /project/tests/host/lib.sh
kvm_ready
modprobe -a xhci_pci usb-storage sd_mod
disk_block() { ls -d /sys/bus/usb/devices/*/*/host*/target*/*/block/* 2>/dev/null | head -n 1; }
has_disk() { [ -n "$(disk_block)" ]; }
wait_for 30 has_disk || fail "the disk in the host"
block=/dev/$(basename "$(disk_block)")
iface=$(disk_block | cut -d/ -f7) # 2-1:1.0
port=${iface%:*}
disk_driver() { basename "$(readlink "/sys/bus/usb/devices/$iface/driver")" 2>/dev/null; }
with_driver() { [ "$(disk_driver)" = "$1" ]; }

check "usb: it is listed with its argument" sh -c "minivmm usb | tee $OUT/usb.txt | grep -q '^46f4:0001 *$port .*usb-storage'"
minivmm usb --json >"$OUT/usb.json"
check "usb --json: the same" grep -q '"usb": "46f4:0001"' "$OUT/usb.json"

guest="--kernel $KERNEL --initrd $GUEST_INITRD --memory 256M --no-reboot"
# refused TEST TEXT OPTION...: a run that must not start, and must leave the driver there.
refused() {
	local name=$1 text=$2
	shift 2
	# shellcheck disable=SC2086 # options are words
	if minivmm $guest "$@" 2>"$OUT/refused"; then
		fail "$name" "it started"
	elif grep -q -- "$text" "$OUT/refused" && with_driver usb-storage; then
		ok "$name" "$(cut -c1-120 "$OUT/refused")"
	else
		fail "$name" "$(cat "$OUT/refused"), driver $(disk_driver)"
	fi
}
refused "a device that is not there" "46f4:0001 (QEMU" --usb dead:beef
refused "a hub" "is a USB hub" --usb 1d6b:0003
refused "a disk image that is not there comes first" "No such file" --usb "$port" --disk /nonexistent

# steps TEST SPEC OPTION...: a guest that reads and writes the disk.
steps() {
	local name=$1
	shift
	# shellcheck disable=SC2086
	runs 90 minivmm -v $guest "$@" --serial file:"$OUT/linux" --append "console=ttyS0 quiet usb_disk=usb steps=usb" 2>"$OUT/linux.err"
	guest_steps "$OUT/linux" "$name:"
	cat "$OUT/linux.err"
	check "$name: the driver has it again" wait_for 10 with_driver usb-storage
	check "$name: no record is left" [ ! -e "/run/minivmm/usb-$port" ]
}
steps "by its ids" --usb 46f4:0001
steps "by its port, in the guest's port 3" --usb "$port,port=3"

# A guest that waits, and tells what is plugged in.
cat >/tmp/waits <<'END'
mount -t sysfs s /sys
mount -t devtmpfs d /dev
modprobe -a xhci_pci usb-storage sd_mod
echo WAITS
while :; do
	now=$(ls /sys/block | grep sd | tr '\n' ' ')
	[ "$now" = "$was" ] || echo "DISKS ${now:-none}"
	was=$now
	sleep 0.2
done
END
(cd /tmp && echo waits | cpio --quiet -o -H newc) | cat "$GUEST_INITRD" - >/tmp/waits.initrd
# shellcheck disable=SC2086
start_waits() {
	minivmm -v --kernel "$KERNEL" --initrd /tmp/waits.initrd --memory 256M --serial file:"$OUT/$1" --qmp unix:/tmp/usb.qmp \
		--append "console=ttyS0 quiet rdinit=/bin/sh -- /waits" "${@:2}" 2>"$OUT/$1.err" &
	vmm=$!
}

# Killed: the kernel leaves it without a driver, and restore helps.
start_waits killed --usb 46f4:0001
says $vmm 60 'DISKS sd' "$OUT/killed" || fail "the guest has the disk"
check "while the guest has it, its driver is usbfs" with_driver usbfs
# shellcheck disable=SC2086
check "another machine is refused" sh -c "! minivmm $guest --usb 46f4:0001 2>$OUT/second && grep -q 'uses this USB device' $OUT/second"
check "restore refuses while a machine has it" sh -c "! minivmm restore $port"
kill -KILL $vmm
wait $vmm 2>/dev/null
check "killed: it has no driver" wait_for 10 with_driver ""
check "killed: restore" sh -c "minivmm restore | grep -q '$port: it is with its drivers'"
check "killed: the driver has it again" wait_for 10 with_driver usb-storage

# Plugged and unplugged by QMP, then pulled out of the host and plugged in again.
start_waits plug --usb none
says $vmm 60 WAITS "$OUT/plug" || fail "the guest waits"
check "ctl add" minivmm ctl /tmp/usb.qmp add usb:46f4:0001,id=stick
check "ctl add: the guest sees it" says $vmm 30 'DISKS sd' "$OUT/plug"
usb_gone() { ask qmp '{"execute": "device_del", "arguments": {"id": "usb"}}' >/dev/null; }
check "pulled out of the host" usb_gone
check "pulled out: the guest notices" says $vmm 30 'DISKS none' "$OUT/plug"
check "ctl del" minivmm ctl /tmp/usb.qmp del stick
minivmm ctl /tmp/usb.qmp quit
wait $vmm
cat "$OUT/plug.err"
done_testing
