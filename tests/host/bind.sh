# Devices are taken from the host's drivers and given back: by minivmm bind and restore, for a run, however it ends, and
# as VFs. Devices that the host uses are refused.
. /project/tests/host/lib.sh
kvm_ready

e1000=$(bdf e1000) nvme=$(bdf nvme) sriov=$(bdf nvme-sriov) igb=$(bdf igb) edu=$(bdf edu)
shared=$(bdf shared-group) rng=$(same_slot "$(bdf shared-group)" 1)

# said NAME STATUS TEXT COMMAND...: checks the exit status, and that the output has the text (a regexp). A command that
# failed must have printed one line.
said() {
	local name=$1 status=$2 text=$3 got why=
	shift 3
	timeout 120 "$@" </dev/null >"$OUT/said" 2>&1
	got=$?
	[ $got -eq "$status" ] || why="exit status $got, not $status; "
	[ $got -eq 0 ] || [ "$(wc -l <"$OUT/said")" -eq 1 ] || why="$why$(wc -l <"$OUT/said") lines; "
	grep -qE -- "$text" "$OUT/said" || why="${why}no '$text'; "
	if [ -z "$why" ]; then ok "$name" "$(head -n 1 "$OUT/said")"; else fail "$name" "$why$(cat "$OUT/said")"; fi
}
# check_says BDF TEXT: `minivmm check` must report what bind refuses.
check_says() { minivmm check "$1" --json | grep -q "\"text\": \".*$2"; }
nic_of() { ls "/sys/bus/pci/devices/$1/net" 2>/dev/null; }
# state BDF: prints the driver, the override and the record of the device.
state() {
	local d=/sys/bus/pci/devices/$1
	echo "driver=$(basename "$(readlink "$d/driver")") override=$(cat "$d/driver_override") $(ls -d "/run/minivmm/bind-$1" 2>/dev/null)"
}
has_driver() { case $(state "$1") in "driver=$2 "*) return 0 ;; *) return 1 ;; esac; }
is_native() { [ "$(state "$1")" = "driver=$2 override=(null) " ]; }
# native NAME BDF DRIVER: checks that the device is as it was before it was bound.
native() {
	if wait_for 20 is_native "$2" "$3"; then ok "$1" "$2 ${3:-no driver}"; else fail "$1" "$2 $(state "$2")"; fi
}
net_up() {
	wait_for 20 nic_of "$1" >/dev/null
	ip addr replace 10.0.2.15/24 dev "$(nic_of "$1")"
	ip link set "$(nic_of "$1")" up
}
net_down() {
	ip addr flush dev "$(nic_of "$1")"
	ip link set "$(nic_of "$1")" down
}
# pings NAME BDF: checks that the host reaches its network through this card.
pings() {
	net_up "$2"
	if ping -q -c 1 -w 15 -I "$(nic_of "$2")" 10.0.2.2 >"$OUT/ping" 2>&1; then
		ok "$1" "$(tail -n 1 "$OUT/ping")"
	else
		fail "$1" "$(tail -n 2 "$OUT/ping")"
	fi
	net_down "$2"
}
disk_of() { # of an NVMe function; nvme0c0n1 is one path of nvme0n1
	local n
	for n in "/sys/bus/pci/devices/$1"/nvme/nvme*/nvme*n*; do
		echo "${n##*/}" | sed 's/c[0-9]*n/n/'
		return
	done
}

modprobe -a e1000 nvme igb bridge 2>/dev/null
for d in "$e1000 e1000" "$nvme nvme" "$sriov nvme" "$igb igb"; do # whatever a script before this one did
	# shellcheck disable=SC2086
	wait_for 20 has_driver $d || fail "the host's own drivers" "$d"
done
wait_for 20 test -b "/dev/$(disk_of "$sriov")" || fail "the disk $sriov" "is not there"

# Errors are reported, and nothing is changed.
before=$(for d in /sys/bus/pci/devices/*; do state "${d##*/}"; done)
said "nothing to restore" 0 "nothing to restore" minivmm restore
said "restore without a record" 1 "$edu: there is no record" minivmm restore "$edu"
said "bind nothing" 2 "usage: minivmm bind" minivmm bind
said "bind what is not there" 1 "no such PCI device" minivmm bind 0000:7f:1f.7 "$e1000"
said "bind a bridge" 1 "is a bridge" minivmm bind "$(basename "$(dirname "$(readlink -f "/sys/bus/pci/devices/$edu")")")"
said "bind as nobody" 1 "run as root" setpriv --reuid 65534 --regid 65534 --clear-groups minivmm bind "$edu"
net_up "$e1000"
ip route add default via 10.0.2.2 dev "$(nic_of "$e1000")"
said "the default route's NIC is refused" 1 "$e1000 carries .*default route.*--force" minivmm bind "$nvme" "$e1000"
said "and --bind does, too" 1 "$e1000 carries .*default route" minivmm --bind --vfio "$e1000" --kernel "$KERNEL"
net_down "$e1000"
ip link add br0 type bridge && ip link set "$(nic_of "$e1000")" master br0 && ip link set br0 up &&
	ip addr add 10.0.2.15/24 dev br0 && ip link set "$(nic_of "$e1000")" up && ip route add default via 10.0.2.2 dev br0
said "one below a bridge with it, too" 1 "$e1000 carries .*default route .br0" minivmm bind "$e1000"
check "check knows the default route, too" check_says "$e1000" "default route (br0)"
ip link del br0
net_down "$e1000"
disk=/dev/$(disk_of "$sriov")
cp /etc/hostname /tmp/kept && mkfifo /tmp/fifo
head -c 1M /dev/urandom >/tmp/image && cp /tmp/image /tmp/kept-image
writes() {
	local name=$1 text=$2
	shift 2
	said "$name" 1 "$text" minivmm --kernel "$KERNEL" "$@"
}
writes "what a run writes is written into no disk" "$disk is a disk" --debugcon="$disk"
writes "nor into an image in use" "/tmp/image is in use" --disk=/tmp/image --serial=file:/tmp/image
writes "nor into a pipe that nobody reads" "/tmp/fifo: nobody reads it" --stats=/tmp/fifo
writes "a pid file is no file of another kind" "/tmp/kept exists and is not a pid file" --pidfile=/tmp/kept
writes "nor a device" "/dev/full exists and is not a pid file" --pidfile=/dev/full
writes "and no pipe is an initrd" "/tmp/fifo is not a file" --initrd=/tmp/fifo
check "all are as before" eval 'cmp /tmp/image /tmp/kept-image && cmp /tmp/kept /etc/hostname && test -c /dev/full'
perl -MFcntl -e 'sysopen(my $f, shift, O_RDONLY | O_EXCL) or die $!; sleep 60' "$disk" &
holder=$!
has_open() { readlink /proc/"$1"/fd/* | grep -qxF "$2"; }
wait_for 20 has_open $holder "$disk" || fail "a holder of $disk" "has not opened it"
said "a disk that something has for itself is refused" 1 "$disk, which is in use" minivmm bind "$sriov"
check "check knows that" check_says "$sriov" "$disk, which is in use"
kill $holder
wait $holder 2>/dev/null
modprobe md_mod && echo md_test >/sys/module/md_mod/parameters/new_array && md=/sys/block/md_test/md &&
	echo none >$md/metadata_version && cat "/sys/class/block/${disk#/dev/}/dev" >$md/new_dev
said "a disk below a RAID is refused" 1 "$disk, which is part of /dev/md_test" minivmm bind "$sriov"
check "check knows that, too" check_says "$sriov" "which is part of /dev/md_test"
echo clear >$md/array_state
mkswap "$disk" >/dev/null && swapon "$disk"
said "a disk with swap is refused" 1 "$disk, which is swap" minivmm bind "$sriov"
check "check knows swap" check_says "$sriov" "$disk, which is swap"
swapoff "$disk"
mkfs.ext4 -q "$disk" && mkdir -p /tmp/mnt && mount "$disk" /tmp/mnt
said "a mounted disk is refused" 1 "$disk, mounted on /tmp/mnt" minivmm bind "$sriov"
check "check knows a mounted disk" check_says "$sriov" "$disk, mounted on /tmp/mnt"
after=$(for d in /sys/bus/pci/devices/*; do state "${d##*/}"; done)
check "no refusal changed anything" [ "$before" = "$after" ]
said "--force takes a mounted disk" 0 "$sriov: nvme -> vfio-pci" minivmm bind --force "$sriov"
umount /tmp/mnt
said "and restore brings it back" 0 "$sriov: vfio-pci -> nvme" minivmm restore "$sriov"
native "its driver has it again" "$sriov" nvme

# Bound by one command, given back by another.
said "bind" 0 "$e1000: e1000 -> vfio-pci" minivmm bind "$e1000" "$nvme"
said "bind twice" 0 "$e1000: is with vfio-pci already" minivmm bind "$e1000"
said "bind one without a driver, with its group" 0 "$edu: no driver -> vfio-pci" minivmm bind "$edu" --group
said "bind a whole group" 0 "$rng: virtio-pci -> vfio-pci" minivmm bind "$shared" --group
said "restore" 0 "$edu: vfio-pci -> no driver" minivmm restore "$e1000" "$edu" "$rng" "$shared"
native "restored: the other one of the group" "$rng" virtio-pci
native "restored: the NIC" "$e1000" e1000
native "restored: what had no driver" "$edu" ""
pings "the restored NIC pings" "$e1000"

# VFs, and a run that binds devices itself.
said "vf: a count above the limit" 1 "$igb has at most 7 VFs, not 8" minivmm vf "$igb" 8
said "vf: no SR-IOV" 1 "$edu has no SR-IOV" minivmm vf "$edu" 1
said "vf: made" 0 "$igb: 2 of 7 VFs \(igb, $(nic_of "$igb")\)" minivmm vf "$igb" 2 --mac 52:54:00:00:01:77
said "vf: a VLAN for those that are there" 0 "2 of 7" minivmm vf "$igb" 2 --vlan 7
vfs_have() { [ "$(ip link show "$(nic_of "$igb")" | grep -c "$1")" -eq "$2" ]; }
check "vf: they are in that VLAN" vfs_have "vlan 7" 2
said "vf: and out of it" 0 "2 of 7" minivmm vf "$igb" 2 --vlan 0
check "vf: they are in none" vfs_have "vlan" 0
check "vf: the first one has the MAC that was given" vfs_have "vf 0.*52:54:00:00:01:77" 1
vf=$(sed -n 's/minivmm --bind --vfio \([^ ]*\).*/\1/p' "$OUT/said" | head -n 1)
said "bind a function with VFs" 1 "$igb has 2 VFs: remove them" minivmm bind --force "$igb"
modprobe igbvf
minivmm --bind --memory 256M --serial file:"$OUT/run" --vfio "$vf" --vfio "$e1000" --vfio "$nvme" --kernel "$KERNEL" \
	--initrd "$GUEST_INITRD" --append "console=ttyS0 quiet hold=8 steps=igbvf,e1000,nvme" 2>"$OUT/run.log" &
vmm=$!
says $vmm 60 HOLD "$OUT/run"
said "no restore under a running guest" 1 "process $vmm \(minivmm\) has /dev/vfio" minivmm restore "$nvme"
said "no VF removed under a running guest" 1 "process $vmm \(minivmm\) has /dev/vfio" minivmm vf "$igb" 0
check "run --bind: the guest ends, minivmm with 0" wait $vmm
check "run --bind: back when minivmm ends" is_native "$e1000" e1000
guest_steps "$OUT/run" "run --bind:"
check "run --bind: the guest sees that MAC" grep -qa "52:54:00:00:01:77" "$OUT/run"
check "run --bind: what was bound before stays" has_driver "$nvme" vfio-pci
native "run --bind: the VF as before" "$vf" ""
pings "run --bind: the NIC pings" "$e1000"
said "restore all on record" 0 "$nvme: vfio-pci -> nvme" minivmm restore
native "restored: the disk" "$nvme" nvme
wait_for 20 test -b "/dev/$(disk_of "$nvme")"
check "the restored disk reads" dd if="/dev/$(disk_of "$nvme")" of=/dev/null bs=1M count=4 status=none
said "vf: listed" 0 "minivmm --bind --vfio $vf" minivmm vf "$igb"
said "vf: removed" 0 "$igb: 0 of 7 VFs" minivmm vf "$igb" 0
check "vf: the host's setting is back" grep -qx 1 "/sys/bus/pci/devices/$igb/sriov_drivers_autoprobe"

# Runs that end in different ways. The devices are open when the pid file exists.
stands() { [ -s /tmp/pid ] && has_driver "$e1000" vfio-pci; }
start() {
	rm -f /tmp/pid
	minivmm --bind --memory 128M --vfio "$e1000" --kernel "$KERNEL" --pidfile /tmp/pid "$@" 2>>"$OUT/ends.log" &
	vmm=$!
	wait_for 20 stands || fail "run --bind" "does not start"
}
start --serial null
kill -TERM $vmm
check "SIGTERM: minivmm ends with 0" wait $vmm
check "SIGTERM: given back" is_native "$e1000" e1000
start --serial null
kill -KILL $vmm
wait $vmm 2>/dev/null
native "kill -9: given back" "$e1000" e1000
start --daemonize
check "--daemonize: the first process ends" wait $vmm
kill -KILL "$(cat /tmp/pid)"
native "kill -9 in the background: given back" "$e1000" e1000
pings "after all of them the NIC pings" "$e1000"
said "a machine that cannot be" 1 "/etc/passwd" minivmm --bind --vfio "$nvme" --kernel /etc/passwd
check "a machine that cannot be: given back" is_native "$nvme" nvme
done_testing
