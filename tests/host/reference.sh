# The control experiment: the passthrough suite with QEMU as the VMM. Everything the project claims rests on this
# host being a real one; so it must pass before any of our code does, and stays as the peer to compare with.
. /project/tests/host/lib.sh
kvm_ready

vf=$(igb_vfs 1)
gpu=$(bdf gpu)
devices="$vf $(bdf nvme) $(bdf xhci) $(bdf e1000) $(bdf edu) $gpu $(same_slot "$gpu" 1) $(bdf testdev)"
# shellcheck disable=SC2086 # a list of addresses
check "every device goes to vfio-pci" give $devices

# All devices in one guest: Linux, directly booted, drives them and says what it saw.
# shellcheck disable=SC2046,SC2086
$QEMU_GUEST -m 1G -smp 2 -serial file:"$OUT/linux" $(vfio_args $devices) -kernel "$KERNEL" -initrd "$GUEST_INITRD" \
	-append "console=ttyS0 quiet steps=cpus,nvme,usb,igbvf,e1000,edu,gpu,audio,testdev cpus=2 hold=4" &
vmm=$!
for _ in $(seq 300); do
	grep -qs HOLD "$OUT/linux" && break
	kill -0 $vmm 2>/dev/null || break
	sleep 0.5
done
check "picture of the guest's Linux on its display" picture linux
wait $vmm
guest_steps "$OUT/linux" "QEMU, Linux guest:"

# Stock OVMF draws its shell on the passed-through display.
cp /usr/share/OVMF/OVMF_VARS_4M.fd /tmp/vars.fd
# shellcheck disable=SC2046
$QEMU_GUEST -m 512 -serial file:"$OUT/ovmf" $(vfio_args "$gpu" "$(same_slot "$gpu" 1)") \
	-drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd \
	-drive if=pflash,format=raw,file=/tmp/vars.fd &
vmm=$!
for _ in $(seq 240); do
	grep -qas 'Shell>' "$OUT/ovmf" && break
	sleep 0.5
done
if grep -qas 'Shell>' "$OUT/ovmf"; then
	ok "QEMU, OVMF guest: shell reached" "$SECONDS s into the script"
	sleep 2
	check "QEMU, OVMF guest: picture of its shell on the passed-through display" picture ovmf-shell
else
	fail "QEMU, OVMF guest" "no shell within 120 s"
fi
kill $vmm
wait $vmm
done_testing
