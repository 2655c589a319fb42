# Devices are added to a running Linux guest and removed from it: random numbers, a disk, whose data is checked, and a network
# card; started directly and by OVMF, and the same with QEMU and its native hotplug. ROUNDS=N: how often when started directly.
. /project/tests/host/lib.sh
kvm_ready
rounds=${ROUNDS:-3}
sock=/tmp/hotplug.sock
(cd /project/guest-tests/initramfs && echo hotplug | cpio --quiet -o -H newc) | cat "$GUEST_INITRD" - >/tmp/hotplug.initrd
append="console=ttyS0 quiet rdinit=/bin/sh -- /hotplug"
head -c 4M /dev/urandom >/tmp/added.img
modprobe -a tun vhost_net 2>/dev/null
ip tuntap add dev tap9 mode tap
ip addr add 10.9.0.1/24 dev tap9
ip link set tap9 up

ctl() { timeout 300 minivmm ctl $sock "$@"; }
lines() { grep -ac "$1.*"$'\r' "$serial"; } # REGEXP: lines that are complete
fds() { find "/proc/$vmm/fd" -type l | wc -l; }

# more_lines COUNT REGEXP: true if the guest has written more than COUNT lines
more_lines() { [ "$(lines "$2")" -gt "$1" ]; }

# add_all, del_all: one round of our machine, all three at once
add_all() {
	ctl add rng,id=r >>"$OUT/ctl.log" 2>&1 &
	local a=$!
	ctl add /tmp/added.img,id=d >>"$OUT/ctl.log" 2>&1 &
	local b=$!
	ctl add tap,ifname=tap9,id=n >>"$OUT/ctl.log" 2>&1 &
	local c=$!
	wait $a && wait $b && wait $c
}
del_all() { # [OPTION...]
	local id pids='' p bad=0
	for id in r d n; do
		ctl del $id "$@" >>"$OUT/ctl.log" 2>&1 &
		pids="$pids $!"
	done
	for p in $pids; do wait "$p" || bad=1; done
	return $bad
}

# The same with QEMU, whose answers come at once and whose events are waited for.
qemu_add_all() {
	ctl device_add driver=virtio-rng-pci id=r bus=hotplug0 >>"$OUT/ctl.log" 2>&1 &&
		ctl blockdev-add --json driver=raw node-name=b file=f >>"$OUT/ctl.log" 2>&1 &&
		ctl device_add driver=virtio-blk-pci drive=b id=d bus=hotplug1 >>"$OUT/ctl.log" 2>&1 &&
		ctl netdev_add type=tap id=t ifname=tap9 script=no downscript=no >>"$OUT/ctl.log" 2>&1 &&
		ctl device_add driver=virtio-net-pci netdev=t id=n bus=hotplug2 >>"$OUT/ctl.log" 2>&1
}
qemu_del_all() {
	local id pids='' p bad=0
	for id in r d n; do
		(ctl wait DEVICE_DELETED --timeout 60 & sleep 0.3; ctl device_del id=$id; wait) >>"$OUT/ctl.log" 2>&1
	done
	ctl blockdev-del node-name=b >>"$OUT/ctl.log" 2>&1
	ctl netdev_del id=t >>"$OUT/ctl.log" 2>&1
}

# round NAME ADD DEL: false if something is wrong; says what
round() {
	local name=$1 add=$2 del=$3 before sum left
	before=$(lines '^GOT') left=$(lines '^LEFT')
	$add || { fail "$name" "adding: $(tail -n 1 "$OUT/ctl.log")"; return 1; }
	lives_until "$vmm" 60 more_lines $((before + 2)) '^GOT' ||
		{ fail "$name" "the guest did not use all of it: $(tail -n 2 "$serial" | tr -cd ' -~')"; return 1; }
	sum=$(grep -a '^GOT blk' "$serial" | tail -n 1 | tr -cd 'A-Za-z0-9 ' | cut -d' ' -f3)
	$del || { fail "$name" "removing: $(tail -n 1 "$OUT/ctl.log")"; return 1; }
	lives_until "$vmm" 60 more_lines $((left + 2)) '^LEFT' ||
		{ fail "$name" "a device is left: $(tail -n 2 "$serial" | tr -cd ' -~')"; return 1; }
	[ "$sum" = "$(md5sum </tmp/added.img | cut -d' ' -f1)" ] ||
		{ fail "$name" "the disk's data is not what the guest wrote: $sum"; return 1; }
	! grep -qa '^BAD' "$serial" || { fail "$name" "$(grep -a '^BAD' "$serial" | tail -n 1 | tr -cd ' -~')"; return 1; }
}

# rounds NAME COUNT ADD DEL: a test
rounds() {
	local name=$1 count=$2 n=0 before after began=$SECONDS
	shift 2
	while [ $n -lt "$count" ]; do
		n=$((n + 1))
		round "$name, round $n" "$@" || return
		if [ $n -eq 2 ]; then sleep 1; before=$(fds); fi
	done
	sleep 1
	after=$(fds)
	ok "$name: $count rounds" "$(((SECONDS - began) * 10 / count)) tenths of a second each"
	[ "$count" -lt 3 ] || check "$name: no descriptor is left" [ "$before" = "$after" ]
}

# guest NAME OPTION...: starts minivmm with a guest that watches its bus
guest() {
	local name=$1
	shift
	serial=$OUT/$name
	# shellcheck disable=SC2086
	minivmm --memory 256M --cpus 2 --hotplug 3 --qmp unix:$sock --serial file:"$serial" --kernel "$KERNEL" \
		--initrd /tmp/hotplug.initrd "$@" 2>"$OUT/$name.err" &
	vmm=$!
	says $vmm 120 'READY.* -' "$serial" || fail "$name: the guest starts" "$(tail -n 1 "$OUT/$name.err")"
}

guest direct --append "$append"
check "direct boot: the guest drives its slots" grep -qa 'READY.*pciehp' "$serial"
rounds "direct boot" "$rounds" add_all del_all
# A reset with a removal that was asked for. By force, Linux' virtio drivers hang: they wait until a register reads 0. So the
# guest is not asked whether it noticed.
check "direct boot: all added once more" add_all
ctl wait DEVICE_DELETED --timeout 60 >"$OUT/deleted" 2>&1 &
waiter=$!
sleep 1
before=$(lines 'READY')
ctl device_del id=d
ctl reset
wait $waiter
check "a reset completes a removal" grep -q '"device":"d"' "$OUT/deleted"
check "by force: random numbers" ctl del r --force
check "by force: a network card" ctl del n --force
check "and the guest starts again" lives_until $vmm 120 more_lines "$before" 'READY'
ctl quit
ends "direct boot: the machine ends" $vmm 30

guest no-pciehp --append "pcie_ports=compat $append"
ctl add rng,id=r --timeout 1 >"$OUT/compat" 2>&1
check "no pciehp: the guest does not take it" grep -q 'has not switched it on in 1 s' "$OUT/compat"
before=$(lines 'READY')
ctl reset
lives_until $vmm 120 more_lines "$before" 'READY'
ctl del r >"$OUT/compat" 2>&1
check "no pciehp: DEVICE_UNPLUG_GUEST_ERROR" grep -q 'does not let go of r: --force' "$OUT/compat"
check "no pciehp: by force" ctl del r --force
ctl quit
ends "no pciehp: the machine ends" $vmm 30

guest ovmf --firmware /usr/share/OVMF/OVMF_CODE_4M.fd --append "$append"
rounds "OVMF" $((rounds < 10 ? rounds : 10)) add_all del_all
ctl quit
ends "OVMF: the machine ends" $vmm 30

# QEMU, with hotplug by the same registers: only where many rounds are asked for, because its removals sometimes take minutes.
if [ "$rounds" -ge 10 ]; then
	serial=$OUT/qemu
	$QEMU_GUEST -global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off -m 256 -smp 2 -serial file:"$serial" \
		-device pcie-root-port,id=hotplug0,chassis=1,slot=1 -device pcie-root-port,id=hotplug1,chassis=2,slot=2 \
		-device pcie-root-port,id=hotplug2,chassis=3,slot=3 -blockdev driver=file,node-name=f,filename=/tmp/added.img \
		-qmp unix:$sock,server=on,wait=off -kernel "$KERNEL" -initrd /tmp/hotplug.initrd -append "$append" 2>"$OUT/qemu.err" &
	vmm=$!
	says $vmm 120 'READY.* -' "$serial" || fail "QEMU: the guest starts" "$(tail -n 1 "$OUT/qemu.err")"
	rounds "QEMU" $((rounds < 5 ? rounds : 5)) qemu_add_all qemu_del_all
	ctl quit
	ends "QEMU: it ends" $vmm 30
fi
ip tuntap del dev tap9 mode tap
done_testing
