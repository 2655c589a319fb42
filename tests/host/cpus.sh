# Processors: topology and features that the guest sees, pinned threads, halting without an exit.
. /project/tests/host/lib.sh
kvm_ready
n=$(nproc)
[ "$n" -ge 4 ] || { fail "a host with four CPUs" "it has $n: use --machine numa"; done_testing; }

# guest NAME WORDS OPTION...: starts a guest in the background; $vmm is its pid.
guest() {
	local name=$1 words=$2
	shift 2
	minivmm --verbose --memory 512M --serial file:"$OUT/$name" --kernel "$KERNEL" --initrd "$GUEST_INITRD" \
		--append "console=ttyS0 quiet steps=cpus $words" "$@" 2>"$OUT/$name.log" &
	vmm=$!
}
stop() { # NAME: the guest still waits
	kill -INT $vmm
	wait $vmm || fail "$1: minivmm ends with 0" "$?"
}
# cpus_of PID: prints the CPUs of each thread as "NAME LIST" lines.
cpus_of() {
	local t
	for t in /proc/"$1"/task/*; do
		echo "$(cat "$t/comm") $(sed -n 's/^Cpus_allowed_list:\t*//p' "$t/status")"
	done
}
pinned_to() { # PID NAME CPU...: vCPU i on the i-th of them, everything else elsewhere
	local pid=$1 name=$2 want="" i=0 cpu
	shift 2
	cpus_of "$pid" >"$OUT/$name.threads"
	for cpu in "$@"; do
		grep -qx "vcpu$i $cpu" "$OUT/$name.threads" || want="$want vcpu$i not on $cpu;"
		if grep -v ^vcpu "$OUT/$name.threads" | sed 's/.* //' | tr , '\n' |
			awk -F- -v c="$cpu" 'c >= $1 && c <= $NF { found = 1 } END { exit !found }'; then
			want="$want another thread may use $cpu;"
		fi
		i=$((i + 1))
	done
	grep -qv ^vcpu "$OUT/$name.threads" || want="$want no other thread seen;"
	[ -z "$want" ] || { echo "$want $(tr '\n' ';' <"$OUT/$name.threads")"; return 1; }
}
# Prints some of KVM's counters of the running VM.
counter() { cat /sys/kernel/debug/kvm/[0-9]*-[0-9]*/"$1"; }
refused() { # NAME TEXT OPTION...: one line, status 1 or 2
	local name=$1 text=$2 code
	shift 2
	${VIA:-} minivmm --kernel "$KERNEL" --serial null "$@" 2>"$OUT/refused"
	code=$?
	case $code/$(wc -l <"$OUT/refused")/$(cat "$OUT/refused") in
	[12]/1/*"$text"*) ok "refused: $name" ;;
	*) fail "refused: $name" "status $code, '$(cat "$OUT/refused")'" ;;
	esac
}

grep -m1 ^flags /proc/cpuinfo | grep -w avx | grep -w avx2 | grep -qw rdseed || fail "the host has what is taken away from guests"
# A list of CPUs, two sockets, the thread of a disk besides the main loop, removed features, guests that poll.
truncate -s 1M /tmp/disk
guest list "cpus=2 topology=2,1,1 flags=avx,x2apic,tsc_deadline_timer,hypervisor noflags=avx2,rdseed hold=60" \
	--cpus 2,sockets=2,pin=3,1 --cpu host,-avx2,-rdseed,+avx --disk /tmp/disk --idle poll
says $vmm 60 HOLD "$OUT/list"
why=$(pinned_to $vmm list 3 1) && ok "pin=3,1: vCPUs there, other threads elsewhere" "$(tr '\n' ';' <"$OUT/list.threads")" ||
	fail "pin=3,1" "$why"
halts=$(counter halt_exits)
sleep 2
[ -n "$halts" ] && [ "$(counter halt_exits)" = "$halts" ] && ok "--idle poll: an idle guest's HLT leads to no exit" "$halts before, $halts 2 s later" ||
	fail "--idle poll" "halt_exits from $halts to $(counter halt_exits)"
stop "pin=3,1"
guest_steps "$OUT/list" "two sockets, features:"

# auto: node 0 without a device; SMT siblings; KVM hidden; real-time priority; HLT causes exits.
guest auto "cpus=2 topology=1,1,2 kvm=0 hold=60" --cpus 2,threads=2,pin=auto --cpu kvm=off --rt 10
says $vmm 60 HOLD "$OUT/auto"
# shellcheck disable=SC2046 # two words
why=$(pinned_to $vmm auto $(sed -n 's/.*vCPU [0-9]* runs on CPU //p' "$OUT/auto.log")) &&
	ok "pin=auto: vCPUs where it says, other threads elsewhere" "$(tr '\n' ';' <"$OUT/auto.threads")" || fail "pin=auto" "$why"
node0=$(cat /sys/devices/system/node/node0/cpulist)
sed -n 's/.*vCPU [0-9]* runs on CPU //p' "$OUT/auto.log" | awk -F- -v node="$node0" '
	BEGIN { split(node, r, "-") } { n++; if ($1 < r[1] || $1 > r[2]) bad = 1 } END { exit bad || n != 2 }' &&
	ok "pin=auto: the CPUs are node 0's" "$node0" || fail "pin=auto: node 0 has $node0" "$(grep 'runs on' "$OUT/auto.log" | tr '\n' ';')"
rt=$(for t in /proc/$vmm/task/*; do grep -q ^vcpu "$t/comm" && chrt -p "${t##*/}"; done)
[ "$(echo "$rt" | grep -c SCHED_FIFO)/$(echo "$rt" | grep -c 'priority: 10$')" = 2/2 ] && ok "--rt 10: both vCPU threads" ||
	fail "--rt 10" "$rt"
halts=$(counter halt_exits)
sleep 2
[ "$(counter halt_exits)" -gt "$halts" ] && ok "--idle halt: HLT leads to exits" "$(($(counter halt_exits) - halts)) in 2 s" ||
	fail "--idle halt" "halt_exits stays $halts"
stop "pin=auto"
guest_steps "$OUT/auto" "threads, no KVM:"

echo 0 >/sys/devices/system/cpu/cpu3/online
refused "an offline CPU" "cpu3/online" --cpus 1,pin=3
echo 1 >/sys/devices/system/cpu/cpu3/online
refused "a CPU that is not there" "CPU 200 does not exist" --cpus 1,pin=200
refused "a list of another length" "3 CPUs, but 2" --cpus 2,pin=0-2
VIA="taskset -c 0-1" refused "a CPU outside of the affinity" "CPU 2 is not allowed for this process, which may use 0-1" --cpus 1,pin=2
refused "a feature that the host lacks" "--cpu +tbm" --cpu +tbm
done_testing
