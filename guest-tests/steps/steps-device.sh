# shellcheck shell=sh disable=SC2154 # variables of the other parts
# Checks of other devices.

step_edu() {
	need_plain edu
	bits=$(word_value edu_bits "$@")
	for a in $devices; do
		out=$(educheck "$pci/$a" "${bits:-28}") || fail "$a: $out"
		add "$a: $out"
	done
}

# For devices without a driver in the kernel.
need_plain() {
	devices=$(devices_of "$1")
	[ -n "$devices" ] || fail "no such device: nothing on the PCI bus matches $(ids_of "$1")"
}

step_testdev() {
	need_plain testdev
	want=$(word_value membar "$@")
	for a in $devices; do
		# BAR 2 exists only with QEMU's membar=. Without it there is no large BAR to test.
		out=$(barcheck "$pci/$a" 2) || fail "$a: $out"
		case $out in
		"BAR 2 of ${want:-*} MiB "*) ;;
		*) [ -z "$want" ] || fail "$a: $out, expected $want MiB" ;;
		esac
		add "$a: $out"
	done
}

has_card() {
	for c in "$pci/$1"/"$2"*; do
		[ ! -e "$c" ] || return 0
	done
	return 1
}

step_gpu() {
	need gpu
	for a in $devices; do
		wait_for 10 has_card "$a" drm/card || fail "$a: no DRM card$(complaint "$a")"
		if wait_for 3 has_card "$a" graphics/fb; then
			for f in "$pci/$a"/graphics/fb*; do
				out=$(fbbars "/dev/${f##*/}") || fail "$a ${f##*/}: $out"
				add "$a ${f##*/}: $out"
			done
		else
			mode=$(cat "$pci/$a"/drm/card*/card*-*/modes | head -n 1)
			[ -n "$mode" ] || fail "$a: no framebuffer and no mode"
			add "$a: $mode on $(cd "$pci/$a" && echo drm/card*/card*-*), no framebuffer"
		fi
	done
}

# card_name NUMBER: prints the name of a sound card
card_name() {
	sed -n "s/^ *$1 \[[^]]*\]: *//p" /proc/asound/cards | grep .
}

step_audio() {
	need audio
	for a in $devices; do
		if wait_for 5 has_card "$a" sound/card; then
			card=$(cd "$pci/$a/sound" && echo card*)
			# The kernel first makes the device, and then adds the card to the list.
			wait_for 5 card_name "${card#card}" >"$work/card" || fail "$a: $card is not in /proc/asound/cards"
			add "$a: $card $(cat "$work/card")"
		else
			add "$a: driver bound, no codec"
		fi
	done
}

# Sends lines from the host back with a word in front, until a line is `end`.
step_virtio_console() {
	need virtio_console
	wait_for 10 exists /dev/hvc0 || fail "no /dev/hvc0"
	exec 3<>/dev/hvc0 # keep it open: when nobody has it open, its settings are lost
	stty raw -echo <&3
	echo ready >&3
	lines=0 bytes=0
	while read -r text <&3; do
		[ "$text" != end ] || break
		echo "guest: $text" >&3
		lines=$((lines + 1)) bytes=$((bytes + ${#text} + 1))
	done
	exec 3>&-
	add "$lines lines, $bytes bytes echoed"
}

step_virtio_rng() {
	need virtio_rng
	name=$(cat /sys/class/misc/hw_random/rng_current)
	case $name in virtio_rng*) ;; *) fail "the kernel's source is '$name'" ;; esac
	kinds=$(head -c 4096 /dev/hwrng | hexdump -v -e '1/1 "%02x\n"' | sort -u | wc -l)
	[ "$kinds" -ge 250 ] || fail "4096 bytes with $kinds different values"
	add "$name: 4096 bytes, $kinds different values"
}
