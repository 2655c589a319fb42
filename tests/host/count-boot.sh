# Starts, counted on the machine `count`: instructions from exec to the guest's init by direct boot, to the kernel's
# first line through OVMF, and to a guest's first instruction with three devices; guest, KVM and VMM together. Lines as
# in count.sh; EMPTY NAME VMM REASON where there is no figure. Peers that Debian does not have are binaries in
# build/l1/peers (see tests/bench/nested-bench).
. /project/tests/host/lib.sh
kvm_ready
bin=/tmp/bin
cp -r /project/build/l1/count $bin
cp "$(command -v minivmm)" $bin/
[ ! -d /project/build/l1/peers ] || cp /project/build/l1/peers/* $bin/
PATH=$bin:$PATH
cp "$KERNEL" /tmp/kernel
cp "$GUEST_INITRD" /tmp/initrd
ovmf=/tmp/ovmf
mkdir $ovmf
cp /usr/share/OVMF/OVMF_{CODE,VARS}_4M.fd $ovmf
cp $ovmf/OVMF_VARS_4M.fd $ovmf/qemu.fd
files="-m 512 -serial stdio -kernel /tmp/kernel -initrd /tmp/initrd"
: >"$OUT/counts"
versions

# count NAME VMM MARKER COMMAND...: the best of $runs, the first of which brings its files into memory.
runs=2
count() {
	local name=$1 vmm=$2 marker=$3 ticks best='' n
	shift 3
	for n in $(seq $runs); do
		ticks=$(timeout 900 ticks_until "$marker" "$@" 2>"$OUT/$name.$vmm.log" </dev/null) || {
			fail "$name, $vmm" "no '$marker': $(tail -n 1 "$OUT/$name.$vmm.log")"
			return
		}
		[ "${best:-$ticks}" -lt "$ticks" ] || best=$ticks
	done
	echo "COUNT $name $vmm $best" | tee -a "$OUT/counts"
}
# peer NAME VMM VARIABLE MARKER COMMAND...: the same where the binary is there.
peer() {
	local name=$1 vmm=$2 variable=$3
	shift 3
	if [ -x "$bin/$vmm" ]; then count "$name" "$vmm" "$@"; else
		echo "EMPTY $name $vmm $variable= names no binary, and Debian has none" | tee -a "$OUT/counts"
	fi
}

# Busybox as init, without an applet's name, says what it is.
words="console=ttyS0 quiet rdinit=/bin/busybox"
count direct-boot minivmm BusyBox minivmm --memory 512M --serial stdio --kernel /tmp/kernel --initrd /tmp/initrd --append "$words"
# shellcheck disable=SC2086
{
	count direct-boot qemu-q35 BusyBox $QEMU_GUEST $files -append "$words"
	count direct-boot qemu-microvm BusyBox ${QEMU_GUEST/q35,sata=off/microvm} $files -append "$words"
}
peer direct-boot lkvm LKVM BusyBox lkvm run -m 512 -c 1 --console serial -k /tmp/kernel -i /tmp/initrd -p "$words"
peer direct-boot cloud-hypervisor CLOUD_HYPERVISOR BusyBox cloud-hypervisor --memory size=512M --cpus boot=1 \
	--serial tty --console off --kernel /tmp/kernel --initramfs /tmp/initrd --cmdline "$words"
peer direct-boot crosvm CROSVM BusyBox crosvm run -m 512 --cpus 1 --disable-sandbox \
	--serial type=stdout,hardware=serial,num=1 -i /tmp/initrd -p "$words" /tmp/kernel
echo "EMPTY direct-boot firecracker it boots no bzImage" | tee -a "$OUT/counts"

words="console=ttyS0 earlyprintk=serial"
count ovmf-boot minivmm "Linux version" minivmm --memory 512M --serial stdio --firmware $ovmf/OVMF_CODE_4M.fd --nvram $ovmf/ours.fd \
	--kernel /tmp/kernel --initrd /tmp/initrd --append "$words"
# shellcheck disable=SC2086
count ovmf-boot qemu-q35 "Linux version" $QEMU_GUEST $files -append "$words" \
	-drive if=pflash,format=raw,readonly=on,file=$ovmf/OVMF_CODE_4M.fd -drive if=pflash,format=raw,file=$ovmf/qemu.fd

# Three devices and a guest whose first instructions write a byte. QEMU and kvmtool have it in place of a BIOS and as a
# flat file. What a device's reset waits for is in the figure, and varies.
runs=6
devices="$(bdf nvme) $(bdf edu) $(bdf e1000)"
# shellcheck disable=SC2086
give $devices || fail "devices to vfio-pci"
code='\xBA\xF8\x03\xB0\x78\xEE\xF4\xEB\xFD'
printf "$code" >/tmp/flat
{ head -c 65520 /dev/zero; printf "$code"; head -c 7 /dev/zero; } >/tmp/bios
# shellcheck disable=SC2046,SC2086
{
	count start-devices minivmm x minivmm --memory 256M --serial stdio --kernel $bin/start.elf $(vfio_options $devices)
	count start-devices qemu-q35 x $QEMU_GUEST -m 256 -serial stdio -bios /tmp/bios $(vfio_args $devices)
	peer start-devices lkvm LKVM x lkvm run -m 256 -c 1 --console serial -k /tmp/flat $(printf -- '--vfio-pci %s ' $devices)
}
done_testing
