# One guest has all devices. It boots Debian from OVMF, unbinds and binds its drivers, reboots once, and must still have
# all devices.
. /project/tests/host/lib.sh
kvm_ready
all_devices

cp --sparse=always "$HOST_BUILD/debian.raw" /tmp/debian.raw
cat >/tmp/verdict.conf <<END
then=reboot-once
steps=boot,cpus,nvme,usb,igbvf,e1000,edu,gpu,audio,testdev,reload
cpus=2
nvme_disk=nvme,nvme-sriov
netbulk=$(net_sum)
limit=120
END
mcopy -o -i /tmp/debian.raw@@1M /tmp/verdict.conf ::verdict.conf
# shellcheck disable=SC2046,SC2086
minivmm --verbose --memory 1G --cpus 2 --disk /tmp/debian.raw --nvram /tmp/debian.nvram \
	--serial file:"$OUT/debian" $(vfio_options $devices) 2>"$OUT/debian.log" &
vmm=$!
if says $vmm 240 'BOOT 1' "$OUT/debian"; then
	picture "Debian guest: its console on the passed-through display" debian lit
	ends "Debian guest: it powers off and minivmm ends with 0" $vmm 400
else
	ends "Debian guest: it boots" $vmm 0
fi
boots=$(tr -d '\r' <"$OUT/debian" | grep -acE '^VERDICT pass')
if [ "$boots" = 2 ]; then
	ok "Debian guest: all devices, reboot, all devices again"
else
	fail "Debian guest" "$boots of 2 passing verdicts: $(grep -aE 'FAIL' "$OUT/debian" | head -n 3 | tr '\n' ' ')"
fi
guest_steps "$OUT/debian" "Debian guest:"
done_testing
