# `check` and `groups` on a real host. Each problem is made on purpose, and `run` must agree with `check`.
. /project/tests/host/lib.sh

edu=$(bdf edu)
dev=/sys/bus/pci/devices

# finds NAME STATUS "ID..." COMMAND...: checks the exit status, and that the findings contain these ids.
finds() {
	local name=$1 status=$2 ids=$3 got why= id
	shift 3
	timeout 120 "$@" --json >"$OUT/check.json" 2>"$OUT/check.err"
	got=$?
	[ $got -eq "$status" ] || why="exit status $got, not $status; "
	sed -n 's/^ *"id": "\(.*\)",$/\1/p' "$OUT/check.json" >"$OUT/ids"
	for id in $ids; do
		grep -qx "$id" "$OUT/ids" || why="${why}no $id; "
	done
	if [ -z "$why" ]; then ok "$name" "$ids"; else fail "$name" "$why$(tr '\n' ' ' <"$OUT/ids")"; fi
}
# agrees NAME STATUS COMMAND... -- BDF: checks the exit status of `check`, and that a run with that device starts or not.
agrees() {
	local name=$1 status=$2 got prefix=
	shift 2
	while [ "$1" != -- ]; do prefix="$prefix $1"; shift; done
	shift
	$prefix minivmm check "$1" >"$OUT/agree" 2>&1
	got=$?
	rm -f /tmp/agree.pid
	$prefix timeout 120 minivmm run --vfio "$1" --daemonize --pidfile /tmp/agree.pid --serial null --kernel "$KERNEL" \
		2>"$OUT/agree.err" </dev/null
	set -- "$1" $?
	if [ -s /tmp/agree.pid ]; then
		kill -INT "$(cat /tmp/agree.pid)"
		wait_for 20 test ! -e /tmp/agree.pid
	fi
	if [ "$got/$2" = "$status/$status" ]; then
		ok "check and run agree: $name" "$(tail -n 1 "$OUT/agree")"
	else
		fail "check and run agree: $name" "check $got, run $2, not $status: $(cat "$OUT/agree.err" "$OUT/agree")"
	fi
}
unbound() { # BDF...: no driver, no wish for one
	local d
	for d in "$@"; do
		[ ! -e "$dev/$d/driver" ] || echo "$d" >"$dev/$d/driver/unbind"
		echo >"$dev/$d/driver_override"
	done
}

modprobe -r kvm_amd 2>/dev/null
finds "KVM is not loaded" 1 kvm-not-loaded minivmm check
kvm_ready
modprobe -r vfio_pci vfio_iommu_type1 2>/dev/null

if [ "$HOST_MACHINE" = no-iommu ]; then
	finds "a host without an IOMMU" 1 "kvm-ok iommu-virtual vfio-not-loaded" minivmm check
	modprobe -a vfio-pci vfio_iommu_type1
	finds "a host without an IOMMU, with VFIO" 1 "iommu-virtual vfio-ok" minivmm check "$edu"
	agrees "no IOMMU" 1 -- "$edu"
	minivmm groups >"$OUT/groups"
	check "groups says so" grep -q "No IOMMU" "$OUT/groups"
	done_testing
fi

e1000=$(bdf e1000)
shared=$(bdf shared-group)
group=$(basename "$(readlink "$dev/$edu/iommu_group")")
bridge=$(basename "$(dirname "$(readlink -f "$dev/$edu")")")
unbound "$edu" "$e1000" "$shared"

# groups: it must list every device with its group and with the name that lspci shows.
minivmm groups >"$OUT/groups"
lspci -D >"$OUT/lspci"
check "groups lists what lspci does" test "$(grep -c '[0-9a-f]:[0-9a-f][0-9a-f]\.[0-7]' "$OUT/groups")" = "$(wc -l <"$OUT/lspci")"
unlike=$(while read -r address rest; do
	case $rest in *": Device "* | *"["*) continue ;; esac
	grep "$address" "$OUT/groups" | grep -qF "${rest% (rev*}" || echo "$address $rest"
done <"$OUT/lspci")
check "groups names devices as lspci does" test -z "$unlike"
unlike=$(minivmm groups --json | sed -n 's/^ *"\(group\|address\)": "*\([^",]*\)"*,/\1 \2/p' | while read -r key value; do
	case $key in
	group) number=$value ;;
	address) [ -e "/sys/kernel/iommu_groups/$number/devices/$value" ] || echo "$value is not in $number" ;;
	esac
done)
check "groups --json has the kernel's groups" test -z "$unlike"

finds "VFIO is not loaded" 1 "iommu-ok remapping-ok vfio-not-loaded" minivmm check
agrees "VFIO is not loaded" 1 -- "$edu"
modprobe -a vfio-pci vfio_iommu_type1
finds "this host is ready" 0 "kvm-ok iommu-ok remapping-ok vfio-ok memlock-ok hugepages-none cpus-shared firmware-ok" \
	minivmm check
finds "a device without a driver" 1 driver-none minivmm check "$edu"
agrees "no driver" 1 -- "$edu"
minivmm check "$edu" | sed -n 's/.*-> \(minivmm bind .*\)/\1/p' >/tmp/remedy
check "the remedy that check names binds it" sh -e /tmp/remedy
finds "a device after its remedy" 0 driver-ok minivmm check "$edu"
minivmm restore "$edu"
modprobe e1000
echo "$e1000" >/sys/bus/pci/drivers_probe
wait_for 20 test -e "$dev/$e1000/net"
ip link set "$(ls "$dev/$e1000/net")" up
finds "a NIC that the host uses" 1 "driver-other use-net reset-none" minivmm check "$e1000"
agrees "a driver of the host's" 1 -- "$e1000"
minivmm check "$e1000" >"$OUT/in-use"
ip link set "$(ls "$dev/$e1000/net")" down
finds "a bridge, and what is not there" 1 "device-bridge device-missing" minivmm check "$bridge" 7f:1f.7
finds "no address" 2 "" minivmm check nonsense

give "$edu" "$e1000" "$shared"
finds "a device that is ready" 0 "driver-ok group-alone reset-bus bars-ok" minivmm check "$edu"
agrees "a device that is ready" 0 -- "$edu"
finds "a device without a reset" 0 reset-none minivmm check "$e1000"
agrees "no reset" 0 -- "$e1000"
finds "a group that the host shares" 1 "driver-ok group-blocked" minivmm check "$shared"
agrees "a group that the host shares" 1 -- "$shared"
minivmm check "$edu" >"$OUT/ready"
sleep 60 8<>"/dev/vfio/$group" &
holder=$!
wait_for 20 test -e /proc/$holder/fd/8
finds "a device in use elsewhere" 1 use-group minivmm check "$edu"
agrees "a device in use elsewhere" 1 -- "$edu"
kill $holder
wait $holder 2>/dev/null

# The same as another user than root.
nobody="setpriv --reuid 65534 --regid 65534 --clear-groups"
chmod 600 /dev/kvm
finds "a user without KVM" 1 kvm-access $nobody minivmm check
chmod 666 /dev/kvm
finds "a user without the group's file" 1 group-access $nobody minivmm check "$edu"
agrees "a user without the group's file" 1 $nobody -- "$edu"
chown 65534 "/dev/vfio/$group"
finds "a user who may lock little" 1 memlock-low prlimit --memlock=65536:65536 $nobody minivmm check "$edu"
agrees "a user who may lock little" 1 prlimit --memlock=65536:65536 $nobody -- "$edu"
finds "a user who may lock 2 GiB" 0 memlock-ok prlimit --memlock=65536:2147483648 $nobody minivmm check "$edu"
agrees "a user who may lock 2 GiB" 0 prlimit --memlock=65536:2147483648 $nobody -- "$edu"
chown 0 "/dev/vfio/$group"
chmod 600 /dev/vfio/vfio
finds "a user without VFIO" 1 vfio-access $nobody minivmm check
chmod 666 /dev/vfio/vfio

# Problems of other hosts.
echo 8 >/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
finds "hugepages" 0 hugepages-ok minivmm check
check "hugepages by node and size" grep -q "node0: 8 of 8 x 2 MiB" "$OUT/check.json"
echo 0 >/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages
# shellcheck disable=SC2016
finds "no OVMF" 1 firmware-missing unshare -m bash -c 'for d in OVMF ovmf qemu edk2; do
	[ ! -d /usr/share/$d ] || mount -t tmpfs none /usr/share/$d; done; minivmm check "$@"' sh
# shellcheck disable=SC2016
finds "a KVM that is none" 1 kvm-lacks unshare -m bash -c 'mount --bind /dev/null /dev/kvm; minivmm check "$@"' sh
modprobe -r vfio_iommu_type1
finds "half of VFIO is not loaded" 1 vfio-not-loaded minivmm check "$edu"
agrees "half of VFIO is not loaded" 1 -- "$edu"
modprobe vfio_iommu_type1
done_testing
