# The machine boots micro-guests, a kernel directly, both versions of OVMF with variables that are kept, and Debian from
# its disk.
. /project/tests/host/lib.sh
kvm_ready
trixie=/usr/share/OVMF bookworm=/opt/bookworm/usr/share/OVMF

# shellcheck disable=SC2015
MICRO_STRICT=1 sh /project/guest-tests/micro/run "$(command -v minivmm)" | sed -u 's/^\(ok\|FAIL\|skip\) \([^ ]*\) */\1 - micro-guest \2: /; s/: $//' |
	tee "$OUT/micro"
! grep -q '^FAIL' "$OUT/micro" || failed=1

runs 90 minivmm --kernel "$KERNEL" --initrd "$GUEST_INITRD" --memory 512M --cpus 2 --serial file:"$OUT/direct" \
	--append "console=ttyS0 quiet steps=boot,cpus,rtc cpus=2"
guest_steps "$OUT/direct" "direct boot, 2 vCPUs:"

# SIGTERM presses the power button. A guest that listens to it must end by itself.
minivmm --kernel "$KERNEL" --initrd "$GUEST_INITRD" --memory 512M --serial file:"$OUT/button" --verbose \
	--append "console=ttyS0 quiet steps=cpus then=button" 2>"$OUT/button.log" &
vmm=$!
says $vmm 60 LISTENS "$OUT/button"
kill -TERM $vmm
ends "power button: a listening guest powers off" $vmm 30
check "power button: by itself, having seen it" grep -qa PRESSED "$OUT/button"
check "power button: minivmm says that it pressed it" grep -q 'power button was pressed' "$OUT/button.log"

# A disk whose startup.nsh shows a variable, sets it and powers off. What the second boot shows has been kept.
var="minivmm -guid 5e1f6a3c-7b1d-4d2f-9a55-3d3c8b1c0a11"
printf 'echo MARK\r\nsetvar %s\r\nsetvar %s -bs -rt -nv =0xB00710AD\r\nreset -s\r\n' "$var" "$var" >/tmp/startup.nsh
truncate -s 40M /tmp/shell.img
mkfs.vfat -F 32 /tmp/shell.img >/dev/null
mcopy -i /tmp/shell.img /tmp/startup.nsh ::
for version in trixie bookworm; do
	for boot in 1 2; do
		log=$OUT/$version-$boot
		runs 150 minivmm --firmware "${!version}/OVMF_CODE_4M.fd" --nvram /tmp/$version.nvram --memory 512M \
			--disk /tmp/shell.img,ro --serial file:"$log"
		code=$?
		tr -d '\r' <"$log" >"$log.txt"
		if [ $code -eq 0 ] && grep -qa MARK "$log.txt"; then
			ok "$version OVMF: shell, script from a virtio disk, power-off ($boot)"
		else
			fail "$version OVMF: boot $boot" "status $code: $(tail -c 200 "$log.txt" | tail -n 1)"
		fi
		# The OVMF of bookworm is slow, so it boots only once to its shell. That of trixie boots twice, for the variable.
		[ $version = trixie ] || break
	done
done
# The shell prints a variable as "GUID - minivmm - 0004 Bytes", then its bytes.
if ! grep -qa 'minivmm - 0004 Bytes' "$OUT/trixie-1.txt" && grep -qa '^AD 10 07 B0' "$OUT/trixie-2.txt"; then
	ok "NVRAM: a variable set in one boot is there in the next"
else
	fail "NVRAM" "$(grep -a -A3 MARK "$OUT/trixie-2.txt" | tr '\n' ' ')"
fi

debian() { # TEST VCPUS CONF BOOTS
	cp --sparse=always "$HOST_BUILD/debian.raw" /tmp/debian.raw
	printf '%b' "$3" >/tmp/verdict.conf
	mcopy -o -i /tmp/debian.raw@@1M /tmp/verdict.conf ::verdict.conf
	runs 400 minivmm --memory 1G --cpus "$2" --disk /tmp/debian.raw --nvram /tmp/debian.nvram \
		--serial file:"$OUT/debian-$2"
	local code=$? verdicts
	verdicts=$(tr -d '\r' <"$OUT/debian-$2" | grep -acE '^VERDICT pass')
	if [ "$code.$verdicts" = "0.$4" ]; then
		ok "$1"
	else
		fail "$1" "status $code, $verdicts of $4 verdicts: $(tail -n 1 "$OUT/debian-$2")"
	fi
}
debian "Debian from its disk, 1 vCPU: verdict, reboot, verdict, power-off" 1 'then=reboot-once\nsteps=boot,cpus\ncpus=1\n' 2
debian "Debian from its disk, 4 vCPUs: verdict, power-off" 4 'steps=boot,cpus\ncpus=4\n' 1
done_testing
