# shellcheck shell=sh disable=SC2154 # variables of the other parts
# Checks of the machine: system, processors, NUMA nodes.

step_boot() {
	read -r up _ </proc/uptime
	name=
	[ ! -r /etc/os-release ] || name=", $(sed -n 's/^PRETTY_NAME="\(.*\)"$/\1/p' /etc/os-release)"
	add "Linux $(uname -r)$name, up $up s"
}

# distinct FILE: prints how many different values topology/FILE of the CPUs has
distinct() {
	cat /sys/devices/system/cpu/cpu[0-9]*/topology/"$1" | sort -u | wc -l
}

has_flag() {
	grep -qE "^flags.* $1( |\$)" /proc/cpuinfo
}

step_cpus() {
	online=$(grep -c '^processor' /proc/cpuinfo)
	want=$(word_value cpus "$@")
	[ "${want:-$online}" = "$online" ] || fail "$online online, expected $want"
	sockets=$(distinct physical_package_id)
	cores=$(distinct thread_siblings_list)
	topology=$sockets,$((cores / sockets)),$((online / cores))
	want=$(word_value topology "$@")
	[ "${want:-$topology}" = "$topology" ] || fail "topology is $topology, expected $want"
	# The kernel compares the APIC ids of CPUID and MADT, and reports differences.
	bug=$(dmesg | grep -iE 'firmware bug.*(apic|cpu)|apic id mismatch' | head -n 1)
	[ -z "$bug" ] || fail "$bug"
	for f in $(word_value flags "$@" | tr , ' '); do
		has_flag "$f" || fail "/proc/cpuinfo lacks $f"
	done
	for f in $(word_value noflags "$@" | tr , ' '); do
		! has_flag "$f" || fail "/proc/cpuinfo has $f"
	done
	if [ "$(word_value kvm "$@")" = 0 ] && dmesg | grep -q 'Hypervisor detected'; then
		fail "$(dmesg | grep 'Hypervisor detected')"
	fi
	add "$online online: $topology sockets, cores, threads; APIC ids $(awk '/^apicid/ { printf "%s%s", s, $3; s = "," }' /proc/cpuinfo)"
}

step_rtc() {
	wait_for 5 exists /dev/rtc0 || fail "no /dev/rtc0"
	out=$(rtccheck) || fail "$out"
	irqs=$(awk '/ rtc0$/ { n = 0; for (i = 2; $i ~ /^[0-9]+$/; i++) n += $i; print n }' /proc/interrupts)
	[ "${irqs:-0}" -ge 2 ] || fail "$out, and /proc/interrupts has ${irqs:-none}"
	add "$out: interrupt 8, $irqs times"
}

# numa_is WORD VALUE NAME [WORD ...]: checks that VALUE is the value of WORD, if WORD was given.
numa_is() {
	key=$1 have=$2 what=$3
	shift 3
	want=$(word_value "$key" "$@")
	[ "${want:-$have}" = "$have" ] || fail "$what: $have, expected $want"
}

step_numa() {
	nodes=/sys/devices/system/node
	count=0 cpus='' mib='' on=''
	for d in "$nodes"/node[0-9]*; do
		count=$((count + 1))
		cpus=$cpus${cpus:+,}$(cat "$d/cpulist")
		mib=$mib${mib:+,}$(awk '/MemTotal/ { printf "%d", $4 / 1024 }' "$d/meminfo")
	done
	numa_is numa "$count" nodes "$@"
	numa_is numa_cpus "$cpus" "CPUs of the nodes" "$@"
	numa_is numa_distance "$(cut -d' ' -f2 "$nodes/node0/distance")" "distance of node 1" "$@"
	for d in "$pci"/*; do
		on=$(cat "$d/numa_node")
		numa_is numa_pci "$on" "node of ${d##*/}" "$@"
	done
	add "$count nodes of $mib MiB, CPUs $cpus, distances $(cat "$nodes"/node*/distance | tr '\n' ';') PCI on $on"
}
