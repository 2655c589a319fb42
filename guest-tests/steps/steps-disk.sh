# shellcheck shell=sh disable=SC2154 # variables of the other parts
# Disks by NVMe, USB and virtio: sectors are read and checked, written, and checked again.

# nvme_block ADDRESS: prints the block device of the first namespace; "nvme0c1n1" is one path of "nvme0n1".
nvme_block() {
	for n in "$pci/$1"/nvme/nvme*/nvme*n*; do
		[ -e "$n" ] || continue
		n=$(echo "${n##*/}" | sed 's/c[0-9]*n/n/')
		[ -b "/dev/$n" ] || continue
		echo "/dev/$n"
		return 0
	done
	return 1
}

# usb_block ADDRESS: prints the block devices behind this controller
usb_block() {
	found=1
	for b in /sys/block/sd*; do
		case $(readlink -f "$b") in
		*/"$1"/usb*) [ ! -b "/dev/${b##*/}" ] || { echo "/dev/${b##*/}"; found=0; } ;;
		esac
	done
	return $found
}

# virtio_blk_block ADDRESS: prints the block device
virtio_blk_block() {
	for b in "$pci/$1"/virtio*/block/*; do
		[ -b "/dev/${b##*/}" ] || return 1
		echo "/dev/${b##*/}"
	done
}

has_block() {
	"$1"_block "$2" >/dev/null
}

# disk_step KIND WORD ...: checks each disk of that kind, and that the disks named by WORDs are among them.
disk_step() {
	kind=$1
	shift
	need "$kind"
	names=,
	for a in $devices; do
		if holds_root "$a"; then
			add "$a holds the root file system, which came from it"
			continue
		fi
		wait_for 20 has_block "$kind" "$a" || fail "no disk behind $a$(complaint "$a")"
		for dev in $("$kind"_block "$a"); do
			out=$(blkcheck "$dev") || fail "$a ${dev##*/}: $out"
			names=$names${out%% *},
			add "$a ${dev##*/}: $out"
		done
	done
	for name in $(word_value "${kind}_disk" "$@" | tr , ' '); do
		case $names in
		*,"$name",*) ;;
		*) fail "no disk named '$name', only '$(echo "$names" | tr , ' ' | sed 's/^ *//; s/ *$//')'" ;;
		esac
	done
}

step_nvme() {
	disk_step nvme "$@"
}

step_usb() {
	disk_step usb "$@"
}

# fio_on DEV OPTION ...: runs fio on the second half of a disk, if it is a test disk; prints what it did.
fio_on() {
	fio_dev=$1
	shift
	blkcheck -r "$fio_dev" >"$work/fio" || fail "${fio_dev##*/}: $(cat "$work/fio")"
	read -r sectors <"/sys/class/block/${fio_dev##*/}/size"
	fio_out=$work/fio.${fio_dev##*/}
	rm -f "$fio_out"
	fio --name=t --filename="$fio_dev" --offset="$((sectors / 4096 + 2))m" --size=4m --bs=4k --iodepth=16 --direct=1 \
		--ioengine=libaio --thread --randrepeat=0 --output-format=terse --terse-version=3 --output="$fio_out" "$@" \
		2>"$fio_out.err" || fail "fio: $(grep -v 'no version information' "$fio_out.err" | head -n 1)"
	# fio(1), terse output version 3: error, KiB read, KiB written, longest read and write in us
	awk -F ';' 'NF > 56 { if ($5 != 0) exit 1
			slowest = $15 > $56 ? $15 : $56
			printf "%d KiB written, %d KiB read back at depth 16, slowest %.0f ms\n", $47, $6, slowest / 1000; done = 1 }
		END { if (!done) exit 1 }' "$fio_out" || fail "fio: $(cat "$fio_out" "$fio_out.err" | head -n 1)"
}

# Writes at random, then reads each block back and compares its checksum. Each run uses new data.
step_fio() {
	need nvme
	for a in $devices; do
		! holds_root "$a" || continue
		wait_for 20 has_block nvme "$a" || fail "no disk behind $a$(complaint "$a")"
		dev=$(nvme_block "$a")
		out=$(fio_on "$dev" --rw=randwrite --verify=crc32c --verify_fatal=1) || fail "$a ${dev##*/}: $out"
		case $out in
		"4096 KiB written, 4096 KiB read"*) add "$a ${dev##*/}: $out" ;;
		*) fail "$a ${dev##*/}: only $out" ;;
		esac
	done
	[ -n "$detail" ] || fail "no disk that may be written"
}

step_virtio_blk() {
	disk_step virtio_blk "$@"
}
