# shellcheck shell=sh disable=SC2154 # variables of the other parts
# Load, for tests that count exits on the host.

# load_on KIND DEVICE: does one unit of work with the device that load_ready has found
load_on() {
	case $1 in
	nvme | usb) dd if="$2" of=/dev/null bs=256k count=8 iflag=direct 2>"$work/load" ;;
	gpu) fbbars "$2" >"$work/load" ;;
	*) received "$sum" >"$work/load" ;;
	esac || fail "$2: $(cat "$work/load")"
}

# load_ready KIND: prints the DEVICE for load_on (of the first device of that kind), and what a unit is
load_ready() {
	need "$1"
	a=${devices%%[!0-9a-f:.]*}
	case $1 in
	nvme | usb)
		wait_for 20 has_block "$1" "$a" || fail "no disk behind $a"
		echo "$("$1"_block "$a") 2-MiB-reads" ;;
	gpu)
		wait_for 10 has_card "$a" graphics/fb || fail "no framebuffer at $a"
		echo "/dev/$(cd "$pci/$a/graphics" && echo fb*) pictures" ;;
	*)
		wait_for 10 has_nic "$a" || fail "no interface at $a"
		echo "$(nic_names "$a") transfers" ;;
	esac
}

# For each kind in turn, works for `bulk` seconds and does nothing else. Prints "BULK kind start" before, and
# "BULK kind end: N units in M ms" afterwards.
step_bulk() {
	net_words "$@"
	sum=$(word_value netbulk "$@")
	seconds=$(word_value bulk "$@")
	for kind in $(word_value load "$@" | tr , ' '); do
		out=$(load_ready "$kind") || fail "$kind: $out"
		case $kind in
		igbvf | e1000*) net_up "${out% *}" || fail "${out% *}: no carrier" ;;
		esac
		echo "BULK $kind start" >/dev/ttyS0
		sleep 0.5 # until the line has been sent
		begin=$(uptime_ms) units=0
		while [ $(($(uptime_ms) - begin)) -lt $((${seconds:-12} * 1000)) ]; do
			load_on "$kind" "${out% *}"
			units=$((units + 1))
		done
		echo "BULK $kind end: $units ${out#* } in $(($(uptime_ms) - begin)) ms" >/dev/ttyS0
		case $kind in
		igbvf | e1000*) net_down "${out% *}" ;;
		esac
		add "$kind $units ${out#* }"
	done
	[ -n "$detail" ] || fail "load=KIND,... is missing"
}
