# Checks that guest memory uses the nodes and pages that were asked for, on the machine numa with an NVMe on node 1. The
# memory of the process is read from its numa_maps, and what it leaves behind from the host's free pages.
. /project/tests/host/lib.sh
kvm_ready
nvme=$(bdf nvme-node1) || { fail "the NVMe on node 1" "is not there"; done_testing; }

# The kernel chooses where its 1 GiB pages are. Node 1 gets two, and has space for small ones.
echo 2 >/sys/devices/system/node/node1/hugepages/hugepages-1048576kB/nr_hugepages
free_pages() { cat /sys/devices/system/node/node[01]/hugepages/*/free_hugepages | tr '\n' ' '; }
before=$(free_pages)

# start ARG...: starts a guest in the background, and waits until $OUT/log says that its memory is ready; $vmm is its pid.
start() {
	: >"$OUT/log" # now, because the other process may do it too late on a busy machine
	minivmm -v --serial null --kernel "$KERNEL" --append quiet "$@" 2>"$OUT/log" &
	vmm=$!
	wait_for 30 grep -qsE 'start:|--memory' "$OUT/log"
}
stop() {
	kill -INT $vmm 2>/dev/null
	wait $vmm
}
# A disk's queue runs near the storage. One queue for each of the guest's processors.
modprobe nvme
disk_there() { disk=$(ls /sys/bus/pci/devices/"$nvme"/nvme/nvme*/ | grep -m1 -o 'nvme[0-9]*n1$') && [ -b "/dev/$disk" ]; }
wait_for 30 disk_there || fail "the NVMe's disk in the host"
start --memory 256M --cpus 2 --disk "/dev/$disk,ro"
places=$(for t in /proc/$vmm/task/*; do grep -qs '^blk' "$t/comm" && sed -n 's/^Cpus_allowed_list:\t//p' "$t/status"; done | sort | tr '\n' ' ')
stop
check "the queues of a disk on node 1 run there: CPUs $places" test "$places" = "2-3 2-3 "
check "the NVMe on node 1 goes to vfio-pci" give "$nvme"

# pages KB: prints how many pages of that size guest RAM has on nodes 0 and 1. No other memory is bound to nodes.
pages() {
	awk -v size="kernelpagesize_kB=$1" '
		$2 ~ /^bind/ && index($0, size) {
			for (i = 1; i <= NF; i++) if (match($i, /^N[01]=/)) n[substr($i, 2, 1)] += substr($i, 4)
		}
		END { print n[0] + 0, n[1] + 0 }' "/proc/$vmm/numa_maps"
}
# placed NAME MEMORY KB PAGES-ON-0 PAGES-ON-1 [OPTION...]: checks that such a guest has exactly those pages.
placed() {
	local name=$1 memory=$2 kb=$3 want="$4 $5" got
	shift 5
	start --memory "$memory" "$@"
	got=$(pages "$kb")
	if [ "$got" = "$want" ]; then
		ok "$name" "$(sed -n 's/^minivmm: start:.*\(prefault [0-9.]* ms\).*/\1/p' "$OUT/log")"
	else
		fail "$name" "pages of $kb KiB on nodes 0 and 1: $got, not $want; $(tail -n 1 "$OUT/log")"
		cp "/proc/$vmm/numa_maps" "$OUT/numa_maps.${name//[^a-z0-9]/_}"
		cat "$OUT/log"
	fi
	stop
}

placed "1 GiB pages on node 0" 1G,hugepages=1G,nodes=0,prefault=on 1048576 1 0
placed "1 GiB pages on node 1" 1G,hugepages=1G,nodes=1 1048576 0 1
placed "2 MiB pages on node 0" 512M,hugepages=2M,nodes=0,prefault=on 2048 256 0
placed "2 MiB pages on both nodes" 512M,hugepages=2M,nodes=0,1,prefault=on 2048 128 128
placed "4 KiB pages on node 1" 256M,hugepages=off,nodes=1,prefault=on 4 0 65536
mkdir -p /tmp/huge
mount -t hugetlbfs -o pagesize=2M none /tmp/huge
placed "2 MiB pages of a mounted hugetlbfs on node 1" 256M,hugepages=/tmp/huge,nodes=1,prefault=on 2048 0 128
check "no file stays there" test -z "$(ls /tmp/huge)"

start --memory 256M,lock=on
check "lock=on locks what comes" grep -q 'VmLck:.* 262144 kB' /proc/$vmm/status
stop

# auto: the node of the device, the largest pages that are free there, and a hint how to get larger ones.
placed "a device on node 1 pulls memory there: 1 GiB pages" 1G 1048576 0 1 --vfio "$nvme"
placed "a device on node 1 pulls memory there: 2 MiB pages" 512M 2048 0 256 --vfio "$nvme"
start --memory 512M --cpus 2,pin=auto --vfio "$nvme"
places=$(for t in /proc/$vmm/task/*; do grep -qs '^vcpu' "$t/comm" && sed -n 's/^Cpus_allowed_list:\t//p' "$t/status"; done | sort | tr '\n' ' ')
stop
check "a device on node 1 pulls processors there: CPUs $places" test "$places" = "2 3 "
start --memory 576M --vfio "$nvme"
stop
more=$(sed -n 's/.*576 MiB in transparent huge pages.* on node 1; for pages of 2 MiB: //p' "$OUT/log")
check "too few 2 MiB pages for auto: smaller ones on node 1, and a command" test -n "$more"
echo "$more"
bash -c "$more"
placed "that command gives the 2 MiB pages" 576M 2048 0 288 --vfio "$nvme"
echo 256 >/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages

# Memory that the host cannot give.
refused() {
	local name=$1 text=$2
	shift 2
	timeout 120 "$@" --serial null --kernel "$KERNEL" 2>"$OUT/refused"
	if [ $? -eq 1 ] && [ "$(wc -l <"$OUT/refused")" -eq 1 ] && grep -qE -- "$text" "$OUT/refused"; then
		ok "$name" "$(cat "$OUT/refused")"
	else
		fail "$name" "$(cat "$OUT/refused")"
	fi
}
refused "too few huge pages on a node" "3 huge pages of 1 GiB are needed on node 1, but only 2 are free: echo 3 >/sys/.*node1/" \
	minivmm --memory 3G,hugepages=1G,nodes=1
refused "too little memory on a node" "4096 MiB are needed on node 0, which has only [0-9]+ MiB" \
	minivmm --memory 4G,hugepages=off,nodes=0,prefault=on
refused "a node that is not there" "no node 2" minivmm --memory 1G,nodes=2
chmod 666 /dev/kvm
refused "a memlock limit that is too low" "256 MiB\) must be locked.*prlimit --pid" prlimit --memlock=65536:65536 \
	setpriv --reuid 65534 --regid 65534 --clear-groups minivmm --memory 256M,lock=on


# Pages that are counted as free but cannot be allocated: an error that names the node, and no signal.
mkdir -p /tmp/cgroup
mount -t cgroup2 none /tmp/cgroup
echo +hugetlb >/tmp/cgroup/cgroup.subtree_control
mkdir /tmp/cgroup/few
echo 64M >/tmp/cgroup/few/hugetlb.2MB.max
refused "a node that runs out" "node 1 has run out .* of 256 MiB" \
	sh -c 'echo $$ >/tmp/cgroup/few/cgroup.procs; exec "$@"' sh minivmm --memory 256M,hugepages=2M,nodes=1

# On a terminal, prefaulting shows a bar. Ctrl-C ends it, also if the console has set the terminal to raw mode.
command="exec minivmm --memory 2G,hugepages=off,nodes=0,1,prefault=on --kernel $KERNEL"
rm -f /tmp/typescript
(
	wait_for 20 grep -qs 'memory \[' /tmp/typescript
	printf '\003'
	sleep 1
) | script -qfec "$command" /tmp/typescript >/dev/null
status=$?
tr '\r' '\n' </tmp/typescript >"$OUT/terminal"
check "Ctrl-C ends a start, status 1" test $status -eq 1
check "a bar shows how far memory is" grep -q 'memory \[#.*% of 2.0 GiB' "$OUT/terminal"
check "the interrupted start says so" grep -q 'stopped by a signal with [0-9]* of 2048 MiB' "$OUT/terminal"

# A guest with two nodes sees their memory, processors, distances and devices.
minivmm -v --memory 3G,hugepages=1G,nodes=0,1,lock=on --cpus 4 --vfio "$nvme" --serial file:"$OUT/linux" --no-reboot \
	--kernel "$KERNEL" --initrd "$GUEST_INITRD" \
	--append "console=ttyS0 quiet steps=numa,nvme nvme_disk=nvme numa=2 numa_cpus=0-1,2-3 numa_distance=21 numa_pci=1" \
	2>"$OUT/linux.log"
guest_steps "$OUT/linux" "a guest with two nodes:"
cat "$OUT/linux.log"

if [ "$(free_pages)" = "$before" ]; then
	ok "all huge pages are free again" "$before"
else
	fail "all huge pages are free again" "$before before, $(free_pages) now"
fi
done_testing
