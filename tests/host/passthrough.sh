# The main test: minivmm gives a guest a NIC VF, disks, a USB controller, an INTx NIC, edu, a display with audio and a
# device with a 16 GiB BAR. The guests are the same as in reference.sh, which does it with QEMU.
. /project/tests/host/lib.sh
kvm_ready
all_devices

# Micro-guests do what no guest driver does: the MSI of edu; the legacy VGA of a card (text in the picture); a BAR that
# moves over everything else, also over ranges where it must not be.
check "the legacy card goes to vfio-pci" give "$(bdf vga)"
EDU=$(bdf edu) VGA=$(bdf vga) NVME=$(bdf nvme) MICRO_STRICT=1 sh /project/guest-tests/micro/run "$(command -v minivmm)" \
	edu vga barmove 2>&1 |
	sed -u 's/^\(ok\|FAIL\|skip\) \([^ ]*\) */\1 - micro-guest \2: /; s/: $//' | tee "$OUT/micro"
[ "$(grep -c '^ok' "$OUT/micro")" = 3 ] || fail "micro-guests edu, vga and barmove"
NVME=$(bdf nvme) bash /project/tests/hostile "$(command -v minivmm)" bus || failed=1
picture "micro-guest: its text on the passed-through card" vga lit vga

# One guest has all devices: Linux is booted directly, uses them and prints the results.
# shellcheck disable=SC2046,SC2086
minivmm --verbose --memory 1G --cpus 2 --no-reboot --serial file:"$OUT/linux" $(vfio_options $devices) \
	--kernel "$KERNEL" --initrd "$GUEST_INITRD" --append "console=ttyS0 quiet hold=8 cpus=2 \
nvme_disk=nvme,nvme-sriov netbulk=$(net_sum) \
steps=cpus,nvme,usb,igbvf,e1000,edu,fio,netbulk,irqmove,gpu,audio,testdev" 2>"$OUT/linux.log" &
vmm=$!
says $vmm 150 HOLD "$OUT/linux"
picture "Linux guest: what it draws on its passed-through display" linux "colour bars"
ends "Linux guest: it powers off and minivmm ends with 0" $vmm 60
guest_steps "$OUT/linux" "Linux guest:"
cat "$OUT/linux.log"
# Linux masks a vector to change its message, so we must have seen the moves of irqmove as masks.
for d in "$vf" "$disk_vf" "$(bdf xhci)"; do
	masked=$(sed -n "s/.* $d: .*; \([0-9]*\) vectors masked, .*/\1/p" "$OUT/linux.log")
	if [ "${masked:-0}" -ge 50 ]; then
		ok "MSI-X vectors of $d masked and unmasked under load" "$masked times"
	else
		fail "MSI-X vectors of $d masked under load" "only ${masked:-0} times"
	fi
done

# When a guest reboots, its devices must be reset and usable again, also those that share a bus reset, and the one that
# has no reset.
minivmm --verbose --memory 512M --serial file:"$OUT/reboot" --vfio "$audio,slot=9" --vfio "$gpu" --vfio "$(bdf edu)" \
	--vfio "$(bdf e1000)" --vfio "$(bdf nvme),slot=3" --vfio "$(bdf xhci),mmap=off" --kernel "$KERNEL" \
	--initrd "$GUEST_INITRD" --append "console=ttyS0 quiet then=reboot steps=nvme,usb,e1000,edu,gpu,audio" \
	2>"$OUT/reboot.log" &
vmm=$!
verdicts() { [ "$(grep -acs "^VERDICT" "$OUT/reboot")" -ge 2 ] 2>/dev/null; }
check "a guest that reboots: both boots come to a verdict" lives_until $vmm 120 verdicts
kill -INT $vmm
ends "a guest that reboots: stopped from outside, minivmm ends with 0" $vmm 30
guest_steps "$OUT/reboot" "a guest that reboots:"
no_failures() { ! grep -E 'failed|cannot' "$1" | grep -v "$(bdf e1000) cannot be reset"; }
check "a guest that reboots: every reset succeeds" no_failures "$OUT/reboot.log"
check "a guest that reboots: GPU and audio reset together" grep -q "$audio: resets with its bus (2 functions)" "$OUT/reboot.log"

# Stock OVMF draws its shell on the passed-through display.
# shellcheck disable=SC2046
minivmm --verbose --memory 512M --serial file:"$OUT/ovmf" $(vfio_options "$gpu" "$audio") \
	--firmware /usr/share/OVMF/OVMF_CODE_4M.fd --nvram /tmp/vars.fd 2>"$OUT/ovmf.log" &
vmm=$!
if says $vmm 150 'Shell>' "$OUT/ovmf"; then
	ok "OVMF guest: shell reached" "$SECONDS s into the script"
	sleep 2
	picture "OVMF guest: its shell on the passed-through display" ovmf-shell lit
else
	fail "OVMF guest" "no shell within 150 s: $(tail -n 1 "$OUT/ovmf.log")"
fi
kill -INT $vmm
ends "OVMF guest: stopped from outside, minivmm ends with 0" $vmm 30

# Everything must be as before: the devices work for the next user.
# shellcheck disable=SC2086
for d in $devices; do
	[ "$(driver_of "$d")" = vfio-pci ] || fail "after the guests, $d" "is with $(driver_of "$d"), not vfio-pci"
done
done_testing
