# Two USB disks of the outer machine in one guest, both busy with known bytes and then with fio, which reads back what it
# wrote: one with usb-storage, and one with uas, which uses streams. Needs --devices xhci,uas.
. /project/tests/host/lib.sh
. /project/tests/host/lib-usb.sh
kvm_ready
usb_initrd
modprobe -a xhci_pci usb-storage uas sd_mod
both() { [ "$(usb_driver 46f4:0001)" = usb-storage ] && [ "$(usb_driver 46f4:0003)" = uas ]; }
check "the drivers of the host have both disks" wait_for 30 both
usb_guest "do=disks disks=2"
runs 120 minivmm -v --no-reboot "${usb_boot[@]}" --usb 46f4:0001 --usb 46f4:0003 --serial file:"$OUT/disks" 2>"$OUT/disks.err"
tr -d '\r' <"$OUT/disks" | grep '^DISK ' >"$OUT/lines"
for driver in usb-storage uas; do
	line=$(grep "^DISK $driver " "$OUT/lines")
	case $line in
	*" ok "*) ok "a disk with $driver in a guest" "${line#*ok }" ;;
	*) fail "a disk with $driver in a guest" "${line:-no line} $(tail -n 1 "$OUT/disks.err")" ;;
	esac
done
check "the drivers of the host have both again" wait_for 20 both

# A disk that the host uses stays with it.
disk=/dev/$(ls -d /sys/bus/usb/devices/"$(usb_name 46f4:0003)"/*/host*/target*/*/block/* | xargs basename)
mkdir -p /tmp/mounted
mkfs.ext4 -q "$disk" && mount "$disk" /tmp/mounted || fail "a file system on $disk"
if minivmm --no-reboot "${usb_boot[@]}" --usb 46f4:0003 2>"$OUT/mounted"; then
	fail "a mounted disk is refused" "it started"
elif grep -q 'umount' "$OUT/mounted" && both && touch /tmp/mounted/works; then
	ok "a mounted disk is refused" "$(cut -c1-120 "$OUT/mounted")"
else
	fail "a mounted disk is refused" "$(cat "$OUT/mounted"), driver $(usb_driver 46f4:0003)"
fi
umount /tmp/mounted
done_testing
