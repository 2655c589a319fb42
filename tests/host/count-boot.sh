# Counts the instructions of starts on the machine `count`: from exec to the guest's init with direct boot (of a bzImage,
# and of the kernel inside it), to the first line of the kernel through OVMF, and to the first instruction of a guest
# without devices and with three. Guest, KVM and VMM are counted together. The lines are as in count.sh, two for each
# figure: NAME has TSC ticks, where each nanosecond of sleep is one tick; NAME-cpu has what a processor did for the VMM.
# EMPTY NAME VMM REASON says why there is no figure. Peers that Debian does not have are binaries in build/l1/peers (see
# tests/bench/nested-bench).
. /project/tests/host/lib.sh
kvm_ready
count_ready
[ ! -d /project/build/l1/peers ] || cp /project/build/l1/peers/* $bin/
cp "$KERNEL" /tmp/kernel
mv $bin/vmlinux /tmp/vmlinux
cp "$GUEST_INITRD" /tmp/initrd
ovmf=/tmp/ovmf
mkdir $ovmf
cp /usr/share/OVMF/OVMF_{CODE,VARS}_4M.fd $ovmf
cp $ovmf/OVMF_VARS_4M.fd $ovmf/qemu.fd
cp $ovmf/OVMF_VARS_4M.fd $ovmf/qemu-lean.fd
files="-m 512 -serial stdio -kernel /tmp/kernel -initrd /tmp/initrd"

# A guest whose first instructions write a byte: without devices (compared with a program that does nothing else), and
# with three devices. QEMU has it instead of a BIOS, kvmtool as a flat file. The ticks include the time that resets of
# devices wait.
runs=6
code='\xBA\xF8\x03\xB0\x78\xEE\xF4\xEB\xFD'
printf "$code" >/tmp/flat
bios "$code" >/tmp/bios
count start-bare minivmm x minivmm --memory 256M --serial stdio --kernel $bin/start.elf
count start-bare bare x start_bare
count start-bare bare+chips x start_bare chips
# shellcheck disable=SC2086
{
	count start-bare qemu-microvm-lean x $QEMU_MICROVM -m 256 -serial stdio -bios /tmp/bios
	count start-bare qemu-q35-lean x $QEMU_LEAN -m 256 -serial stdio -bios /tmp/bios
}
count start-1g minivmm x minivmm --memory 1G,prefault=on --serial stdio --kernel $bin/start.elf
# shellcheck disable=SC2086
count start-1g qemu-microvm-lean x $QEMU_MICROVM -m 1024 -mem-prealloc -serial stdio -bios /tmp/bios
devices="$(bdf nvme) $(bdf edu) $(bdf e1000)"
# shellcheck disable=SC2086
give $devices || fail "devices to vfio-pci"
# shellcheck disable=SC2046,SC2086
{
	count start-devices minivmm x minivmm --memory 256M --serial stdio --kernel $bin/start.elf $(vfio_options $devices)
	count start-devices qemu-q35-lean x $QEMU_LEAN -m 256 -serial stdio -bios /tmp/bios $(vfio_args $devices)
	peer start-devices lkvm LKVM x lkvm run -m 256 -c 1 --console serial -k /tmp/flat $(printf -- '--vfio-pci %s ' $devices)
}

# All programs are in memory now, so one run of each boot is enough.
runs=1
# Busybox as init, without the name of an applet, prints its version.
words="console=ttyS0 quiet rdinit=/bin/busybox"
count direct-boot minivmm BusyBox minivmm --memory 512M --serial stdio --kernel /tmp/kernel --initrd /tmp/initrd --append "$words"
# shellcheck disable=SC2086
{
	count direct-boot qemu-q35 BusyBox $QEMU_GUEST $files -append "$words"
	count direct-boot qemu-q35-lean BusyBox $QEMU_LEAN $files -append "$words"
	count direct-boot qemu-microvm-lean BusyBox $QEMU_MICROVM $files -append "$words"
}
peer direct-boot lkvm LKVM BusyBox lkvm run -m 512 -c 1 --console serial -k /tmp/kernel -i /tmp/initrd -p "$words"
peer direct-boot cloud-hypervisor CLOUD_HYPERVISOR BusyBox cloud-hypervisor --memory size=512M --cpus boot=1 \
	--serial tty --console off --kernel /tmp/kernel --initramfs /tmp/initrd --cmdline "$words"
peer direct-boot crosvm CROSVM BusyBox crosvm run -m 512 --cpus 1 --disable-sandbox \
	--serial type=stdout,hardware=serial,num=1 -i /tmp/initrd -p "$words" /tmp/kernel
echo "EMPTY direct-boot firecracker it boots no bzImage" | tee -a "$OUT/counts"
# The same kernel, which was unpacked before, booted by PVH.
files="-m 512 -serial stdio -kernel /tmp/vmlinux -initrd /tmp/initrd"
count direct-boot-vmlinux minivmm BusyBox minivmm --memory 512M --serial stdio --kernel /tmp/vmlinux --initrd /tmp/initrd --append "$words"
# shellcheck disable=SC2086
{
	count direct-boot-vmlinux qemu-q35-lean BusyBox $QEMU_LEAN $files -append "$words"
	count direct-boot-vmlinux qemu-microvm-lean BusyBox $QEMU_MICROVM $files -append "$words"
}
peer direct-boot-vmlinux cloud-hypervisor CLOUD_HYPERVISOR BusyBox cloud-hypervisor --memory size=512M --cpus boot=1 \
	--serial tty --console off --kernel /tmp/vmlinux --initramfs /tmp/initrd --cmdline "$words"
files="-m 512 -serial stdio -kernel /tmp/kernel -initrd /tmp/initrd"

words="console=ttyS0 earlyprintk=serial"
count ovmf-boot minivmm "Linux version" minivmm --memory 512M --serial stdio --firmware $ovmf/OVMF_CODE_4M.fd --nvram $ovmf/ours.fd \
	--kernel /tmp/kernel --initrd /tmp/initrd --append "$words"
# shellcheck disable=SC2086
for lean in '' -lean; do
	qemu=$QEMU_GUEST
	[ -z "$lean" ] || qemu=$QEMU_LEAN
	count ovmf-boot qemu-q35$lean "Linux version" $qemu $files -append "$words" \
		-drive if=pflash,format=raw,readonly=on,file=$ovmf/OVMF_CODE_4M.fd -drive if=pflash,format=raw,file=$ovmf/qemu$lean.fd
done
done_testing
