# The control experiment: the passthrough suite with QEMU as the VMM. Everything the project claims rests on this
# host being a real one; so it must pass before any of our code does, and stays as the peer to compare with.
. /project/tests/host/lib.sh
kvm_ready

vf=$(igb_vfs 1)
disk_vf=$(nvme_vf) || fail "an NVMe VF online" "$(tail -n 1 "$OUT/nvme_vf.log")"
gpu=$(bdf gpu)
devices="$vf $(bdf nvme) $disk_vf $(bdf xhci) $(bdf e1000) $(bdf edu) $gpu $(same_slot "$gpu" 1) $(bdf testdev)"
# shellcheck disable=SC2086 # a list of addresses
check "every device goes to vfio-pci" give $devices

# All devices in one guest: Linux, directly booted, drives them and says what it saw.
# shellcheck disable=SC2046,SC2086
$QEMU_GUEST -m 1G -smp 2 -serial file:"$OUT/linux" $(vfio_args $devices) -kernel "$KERNEL" -initrd "$GUEST_INITRD" \
	-append "console=ttyS0 quiet steps=cpus,nvme,usb,igbvf,e1000,edu,gpu,audio,testdev cpus=2 nvme_disk=nvme,nvme-sriov hold=5" &
vmm=$!
wait_for 150 grep -qs HOLD "$OUT/linux"
picture "QEMU, Linux guest: what it draws on its passed-through display" linux "colour bars"
ends "QEMU, Linux guest: it powers off and QEMU ends with 0" $vmm 60
guest_steps "$OUT/linux" "QEMU, Linux guest:"

# Stock OVMF draws its shell on the passed-through display.
cp /usr/share/OVMF/OVMF_VARS_4M.fd /tmp/vars.fd
# shellcheck disable=SC2046
$QEMU_GUEST -m 512 -serial file:"$OUT/ovmf" $(vfio_args "$gpu" "$(same_slot "$gpu" 1)") \
	-drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd \
	-drive if=pflash,format=raw,file=/tmp/vars.fd &
vmm=$!
wait_for 150 grep -qas 'Shell>' "$OUT/ovmf"
if grep -qas 'Shell>' "$OUT/ovmf"; then
	ok "QEMU, OVMF guest: shell reached" "$SECONDS s into the script"
	sleep 2
	picture "QEMU, OVMF guest: its shell on the passed-through display" ovmf-shell lit
else
	fail "QEMU, OVMF guest" "no shell within 150 s"
fi
kill $vmm
ends "QEMU, OVMF guest: stopped from outside, QEMU ends with 0" $vmm 30
done_testing
