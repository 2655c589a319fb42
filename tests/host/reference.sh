# The control experiment: the passthrough tests with QEMU as the VMM. All results depend on whether this host behaves like
# a real one. So this must pass before our tests count, and QEMU stays the peer to compare with.
. /project/tests/host/lib.sh
kvm_ready
all_devices

# One guest has all devices: Linux is booted directly, uses them and prints the results.
# shellcheck disable=SC2046,SC2086
$QEMU_GUEST -m 1G -smp 2 -serial file:"$OUT/linux" $(vfio_args $devices) -kernel "$KERNEL" -initrd "$GUEST_INITRD" \
	-append "console=ttyS0 quiet steps=cpus,nvme,usb,igbvf,e1000,edu,fio,netbulk,gpu,audio,testdev cpus=2 \
nvme_disk=nvme,nvme-sriov netbulk=$(net_sum) hold=8" &
vmm=$!
says $vmm 300 HOLD "$OUT/linux"
picture "QEMU, Linux guest: what it draws on its passed-through display" linux "colour bars"
ends "QEMU, Linux guest: it powers off and QEMU ends with 0" $vmm 60
guest_steps "$OUT/linux" "QEMU, Linux guest:"

# Stock OVMF draws its shell on the passed-through display.
cp /usr/share/OVMF/OVMF_VARS_4M.fd /tmp/vars.fd
# shellcheck disable=SC2046
$QEMU_GUEST -m 512 -serial file:"$OUT/ovmf" $(vfio_args "$gpu" "$audio") \
	-drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd \
	-drive if=pflash,format=raw,file=/tmp/vars.fd &
vmm=$!
if says $vmm 150 'Shell>' "$OUT/ovmf"; then
	ok "QEMU, OVMF guest: shell reached" "$SECONDS s into the script"
	sleep 2
	picture "QEMU, OVMF guest: its shell on the passed-through display" ovmf-shell lit
else
	fail "QEMU, OVMF guest" "no shell within 150 s"
fi
kill $vmm
ends "QEMU, OVMF guest: stopped from outside, QEMU ends with 0" $vmm 30
done_testing
