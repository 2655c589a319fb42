# Passed-through devices come to a running Linux guest and leave it, with data checked after each; errors of devices; the
# host takes devices back.
. /project/tests/host/lib.sh
kvm_ready
rounds=${ROUNDS:-3}

vf=$(igb_vfs 1)
nvme=$(bdf nvme) edu=$(bdf edu) e1000e=$(bdf e1000e) testdev=$(bdf testdev) aer=$(bdf aer)
gpu=$(bdf gpu) audio=$(same_slot "$(bdf gpu)" 1)
all="$vf $nvme $edu $e1000e"
# shellcheck disable=SC2086
check "every device goes to vfio-pci" give $all $testdev $aer $gpu $audio

# ---- the guest ----

# A shell on the serial line: guest COMMAND... runs it there, prints the end of what it wrote, and returns its exit status.
# It is kept in memory: the VMM writes each character by itself, and each write to $OUT is a message to the outer machine.
serial=/tmp/serial
trap 'cp $serial "$OUT/serial"' EXIT
mkfifo /tmp/typed
exec 7<>/tmp/typed
guest() {
	local from status asked=$RANDOM$RANDOM # in a subshell, too
	from=$(($(wc -c <"$serial") + 1))
	echo "$*; echo D''ONE$asked=\$?" >&7
	says "$vmm" 120 "^DONE$asked=[0-9]" "$serial" || { diagnose "$vmm" >>"$OUT/hangs"; echo "no answer"; return 99; }
	tail -c +"$from" "$serial" | tr -d '\r' >/tmp/said
	status=$(sed -n "s/^DONE$asked=\([0-9]*\).*/\1/p" /tmp/said)
	grep -av "D''ONE" /tmp/said | sed "/^DONE$asked=/,\$d" | tail -n 2
	return "$status"
}
# step STEP [WORD...]: runs it in the guest, beside the shell, and prints its detail. If there is no result in time, the
# shell can still say what the guest's kernel says, in $OUT/hangs.
step() {
	guest "rm -f /run/rc; { (sh /bin/steps.sh one $* >/run/said 2>&1; echo \$? >/run/rc) & }" >/dev/null || return
	if ! lives_until $vmm 120 guest test -e /run/rc >/dev/null; then
		say_why "$1" >>"$OUT/hangs"
		echo "no result of $1 in time; what guest and host say is in $OUT/hangs"
		return 99
	fi
	guest 'cat /run/said; (exit $(cat /run/rc))'
}
# say_why STEP: blocked tasks, interrupts and messages of the guest, twice, and the host's counts.
say_why() {
	local from=$(($(wc -c <"$serial") + 1))
	echo "-- $1 at $SECONDS s"
	for _ in 1 2; do
		guest "cat /proc/interrupts; echo w >/proc/sysrq-trigger; dmesg | tail -n 120; cat /proc/diskstats" >/dev/null
		grep vfio /proc/interrupts
		sleep 35 # longer than a request of a disk takes to time out
	done
	tail -c +"$from" "$serial"
	diagnose "$vmm"
}
# works STEP TEST [WORD...]: a test; ok if the step passes in the guest.
works() {
	local name=$2 answer step=$1
	shift 2
	if answer=$(step "$step" "$@"); then ok "$name" "$answer"; else fail "$name" "$answer"; fi
}
ctl() { minivmm ctl hot "$@"; }
# adds ID BDF[,KEYS]: a test
adds() {
	local begin=$SECONDS answer
	if answer=$(ctl add "$2,id=$1" --timeout 60 2>&1); then ok "added: $1" "$((SECONDS - begin)) s"; else fail "added: $1" "$answer"; fi
}
dels() {
	local begin=$SECONDS id=$1 answer
	shift
	if answer=$(ctl del "$id" "$@" 2>&1); then ok "removed: $id $*" "$((SECONDS - begin)) s"; else fail "removed: $id $*" "$answer"; fi
}
files() { readlink /proc/$vmm/fd/* | sed "s/:\[[0-9]*\]$//" | sort | uniq -c; }
vfio_files() { readlink /proc/$vmm/fd/* | grep -c '/dev/vfio/[0-9]'; }
no_groups() { [ "$(vfio_files)" -eq 0 ]; }
pinned() { sed -n 's/^VmLck:[^0-9]*\([0-9]*\).*/\1/p' /proc/$vmm/status; }
event() { grep -c "\"$1\"" "$OUT/events"; }
in_guest() { guest "grep -q $1 /sys/bus/pci/devices/*/device" >/dev/null; }
alive() { ! gone $vmm && guest true >/dev/null; }

minivmm --verbose --name hot --qmp auto --bind --hotplug 6,window=32G --memory 512M --cpus 2 --serial stdio --kernel "$KERNEL" \
	--initrd "$GUEST_INITRD" --append "console=ttyS0 quiet steps=cpus then=shell" </tmp/typed >"$serial" 2>"$OUT/vmm.log" &
vmm=$!
says $vmm 90 "VERDICT pass" "$serial" || { fail "the guest boots" "$(tail -n 2 "$OUT/vmm.log" "$serial")"; done_testing; }
(ctl events >"$OUT/events" &)
check "the guest answers" guest true

# ---- coming and going ----

[ "$(pinned)" -eq 0 ] || fail "no memory is pinned without a device" "$(pinned) KiB"
adds edu "$edu"
if [ "$(pinned)" -ge 524288 ]; then ok "memory is pinned for the first device" "$(pinned) KiB"; else fail "memory is pinned" "$(pinned) KiB"; fi
works edu "edu works in the guest"
dels edu
check "nothing is left of it: memory is free, no group is open" test "$(pinned) $(vfio_files)" = "0 0"
check "the host's driver can have it at once" bash -c "echo $edu >/sys/bus/pci/drivers/vfio-pci/unbind"
give "$edu"

adds nic "$vf"
adds disk "$nvme"
adds edu "$edu"
adds nic2 "$e1000e"
for step in igbvf nvme edu e1000e; do works $step "$step works in the guest"; done
before=$(files)
echo "$before" >"$OUT/files"
bad=0 begin=$SECONDS
for round in $(seq "$rounds"); do
	jobs=
	for id in nic disk edu nic2; do ctl del $id --timeout 60 >>"$OUT/rounds" 2>&1 & jobs="$jobs $!"; done
	for job in $jobs; do wait "$job" || bad=$((bad + 1)); done
	[ "$(pinned) $(vfio_files)" = "0 0" ] || { fail "round $round: something is left" "$(pinned) KiB, $(vfio_files) groups"; bad=$((bad + 1)); }
	jobs=
	for d in "nic $vf" "disk $nvme" "edu $edu" "nic2 $e1000e"; do
		ctl add "${d#* },id=${d% *}" --timeout 60 >>"$OUT/rounds" 2>&1 & jobs="$jobs $!"
	done
	for job in $jobs; do wait "$job" || bad=$((bad + 1)); done
	for step in igbvf nvme edu e1000e; do
		step $step >"$OUT/round" || { bad=$((bad + 1)); fail "round $round: $step" "$(cat "$OUT/round")"; }
	done
	echo "round $round of $rounds: $((SECONDS - begin)) s"
	alive || break
done
if [ $bad -eq 0 ]; then
	ok "four devices removed and added $rounds times" "$((SECONDS - begin)) s"
else
	fail "four devices removed and added $rounds times" "$bad faults; $(tail -n 1 "$OUT/rounds")"
fi
if [ "$(files)" = "$before" ]; then
	ok "the same number of files is open"
else
	fail "files are left" "$(files | diff "$OUT/files" - | tr '\n' ' ')"
fi
for id in nic disk nic2; do dels $id --force; done
check "the guest lives after cards were pulled out" alive
dels edu

# --bind: a device of the host's driver, with the guest for a while.
echo "$e1000e" >/sys/bus/pci/drivers/vfio-pci/unbind
echo >"/sys/bus/pci/devices/$e1000e/driver_override"
modprobe e1000e
echo "$e1000e" >/sys/bus/pci/drivers_probe
wait_for 20 test "$(driver_of "$e1000e")" = e1000e
adds nic2 "$e1000e"
check "--bind: it was bound" test "$(driver_of "$e1000e")" = vfio-pci
dels nic2
check "--bind: it is back with its driver" test "$(driver_of "$e1000e")" = e1000e
give "$e1000e"

# Two functions of one slot; then a BAR of 16 GiB.
check "function 1 of a card waits for function 0" ctl device_add driver=vfio-pci host="$audio" id=audio bus=hotplug0 addr=0.1
answer=$(ctl device_add driver=vfio-pci host="$gpu" id=gpu bus=hotplug0 addr=0.0 multifunction=on 2>&1)
case $?/$answer in
0/*)
	works gpu "both functions: gpu"
	works audio "both functions: audio"
	dels gpu ;;
*"addresses below 4 GiB"*)
	skip "both functions" "$answer"
	dels audio --force ;;
*) fail "function 0 comes" "$answer" ;;
esac
check "both functions have left" wait_for 10 no_groups
adds big "$testdev"
works testdev "a device with a BAR of 16 GiB works" membar=16384
dels big

# ---- errors ----

error() { ask qmp '{"execute":"human-monitor-command","arguments":{"command-line":"pcie_aer_inject_error '"$1 $2"'"}}' >>"$OUT/inject"; }
recovered() { [ "$(event X_MINIVMM_DEVICE_RECOVERED)" -ge "$1" ]; }
# fatal_error ID OUTER DEVICE STEP: the outer machine's device OUTER, which is device ID of the guest or the port above it,
# reports a fatal error.
fatal_error() {
	local id=$1 outer=$2 device=$3 step=$4 was
	was=$(event X_MINIVMM_DEVICE_RECOVERED)
	check "$id: it is in the guest" in_guest "$device"
	error "$outer" DLP
	check "$id: a fatal error: the device is back" lives_until $vmm 60 recovered $((was + 1))
	check "$id: a fatal error: it was told" test "$(event X_MINIVMM_DEVICE_ERROR)" -gt "$was"
	check "$id: a fatal error: the guest lives" alive
	check "$id: a fatal error: the guest has the device again" lives_until $vmm 30 in_guest "$device"
	[ -z "$step" ] || works "$step" "$id: a fatal error: it works again"
	dels "$id"
}
adds balloon "$aer"
fatal_error balloon aer 0x1045 ""
adds disk "$nvme"
works nvme "disk: it works before the error"
fatal_error disk rp-nvme 0x0010 nvme # QEMU's NVMe has no AER: its port has

# ---- the host takes devices back ----

# host_unbinds BDF: in the background. It is over when $unbound is there; the link to the driver goes before.
unbound=/tmp/unbound
host_unbinds() {
	rm -f $unbound
	{ echo "$1" >/sys/bus/pci/drivers/vfio-pci/unbind; touch $unbound; } &
}
adds edu "$edu"
begin=$(date +%s%N)
host_unbinds "$edu"
check "the host unbinds a device in use" wait_for 20 test -e $unbound
took=$((($(date +%s%N) - begin) / 1000000))
check "the host unbinds a device in use: it ends within 10 s ($took ms)" test $took -le 10000
check "the host unbinds a device in use: the guest lives" alive
check "the host unbinds a device in use: it was asked" grep -q "$edu: the host wants it back: the guest was asked" "$OUT/vmm.log"
give "$edu"
adds nic2 "$e1000e"
ask qmp '{"execute":"device_del","arguments":{"id":"e1000e"}}' >>"$OUT/inject"
check "the host loses a device in use" wait_for 40 test ! -e "/sys/bus/pci/devices/$e1000e"
check "the host loses a device in use: the guest lives" alive

# A guest that does not let go: it stands still.
adds edu "$edu"
ctl stop >/dev/null
begin=$SECONDS
host_unbinds "$edu"
check "a guest that does not let go loses the device" wait_for 40 test -e $unbound
ok "a guest that does not let go loses the device: it took" "$((SECONDS - begin)) s"
check "a guest that does not let go: it is said" grep -q "$edu: the guest does not let it go: it is taken away" "$OUT/vmm.log"
ctl cont >/dev/null
check "a guest that does not let go lives" alive

ctl quit >/dev/null
ends "the machine ends with 0" $vmm 60

# The same rounds with QEMU, by the same registers: only where many rounds are asked for, because its removals sometimes take
# minutes. QEMU answers at once, and its events are waited for.
qemu_del() { (ctl wait DEVICE_DELETED --timeout 120 & sleep 0.3; ctl device_del "id=$1"; wait $!) >>"$OUT/qemu.rounds" 2>&1; }
qemu_round() {
	local d id
	for d in "nic $vf 0" "disk $nvme 1" "edu $edu 2" "nic2 $e1000e 3"; do
		set -- $d
		ctl device_add driver=vfio-pci id=$1 host=$2 bus=hotplug$3 >>"$OUT/qemu.rounds" 2>&1 || { echo "device_add $1"; return 1; }
	done
	for id in 0x10ca 0x0010 0x11e8 0x10d3; do lives_until $vmm 120 in_guest $id || { echo "no $id in the guest"; return 1; }; done
	for id in igbvf nvme edu e1000e; do step $id || return; done
	for id in nic disk edu nic2; do qemu_del $id || { echo "device_del $id"; return 1; }; done
}
if [ "$rounds" -ge 10 ]; then
	give "$edu"
	ask qmp '{"execute":"device_add","arguments":{"driver":"e1000e","id":"e1000e","bus":"rp-e1000e","netdev":"net-e1000e","mac":"52:54:00:00:03:00"}}' >>"$OUT/inject"
	wait_for 30 test -e "/sys/bus/pci/devices/$e1000e" && give "$e1000e"
	cp $serial "$OUT/serial-minivmm"
	ports=
	for n in 0 1 2 3; do ports="$ports -device pcie-root-port,id=hotplug$n,chassis=$((n + 1)),slot=$((n + 1))"; done
	# shellcheck disable=SC2086
	$QEMU_GUEST -global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off -m 512 -smp 2 -serial stdio $ports \
		-qmp unix:/tmp/qemu.sock,server=on,wait=off -kernel "$KERNEL" -initrd "$GUEST_INITRD" \
		-append "console=ttyS0 quiet steps=cpus then=shell" </tmp/typed >"$serial" 2>"$OUT/qemu.err" &
	vmm=$!
	ctl() { minivmm ctl /tmp/qemu.sock "$@"; }
	says $vmm 90 "VERDICT pass" "$serial" || fail "QEMU: the guest boots" "$(tail -n 1 "$OUT/qemu.err")"
	begin=$SECONDS done=0
	while [ $done -lt 5 ]; do
		qemu_round >"$OUT/round" || break
		done=$((done + 1))
		echo "QEMU, round $done of 5: $((SECONDS - begin)) s"
	done
	# What QEMU does is no test of ours: it is told, to compare.
	echo "QEMU: $done of 5 rounds in $((SECONDS - begin)) s; last: $(tail -n 1 "$OUT/round")"
	ctl quit >/dev/null
	wait_for 30 gone $vmm || kill -KILL $vmm
fi
done_testing
