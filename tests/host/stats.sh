# The cost of passed-through devices, as --stats and SIGUSR1 show it: no exits while they work; accesses that trap are
# counted and named. Devices: nvme, edu.
. /project/tests/host/lib.sh
kvm_ready
nvme=$(bdf nvme) edu=$(bdf edu)
check "statistics: devices to vfio-pci" give "$nvme" "$edu"

# An exact number of accesses to the page of the MSI-X table, and to other pages.
NVME=$nvme MICRO_STRICT=1 sh /project/guest-tests/micro/run "$(command -v minivmm)" trapped stats 2>&1 |
	sed -u 's/^\(ok\|FAIL\|skip\) \([^ ]*\) */\1 - micro-guest \2: /; s/: $//' | tee "$OUT/micro"
[ "$(grep -c '^ok' "$OUT/micro")" = 2 ] || fail "micro-guests trapped and stats"

# SIGUSR1 works without the option, too. (Before the pid file exists, the signal would end the process.)
minivmm --pidfile /tmp/early.pid --memory 256M --serial file:"$OUT/early" --firmware /usr/share/OVMF/OVMF_CODE_4M.fd 2>"$OUT/early.log" &
vmm=$!
wait_for 20 test -s /tmp/early.pid
told() { kill -USR1 $vmm; grep -q 'trapped accesses' "$OUT/early.log"; }
check "statistics: SIGUSR1 prints them without --stats" wait_for 20 told
kill -INT $vmm
check "statistics: and the machine goes on until it is stopped" wait $vmm

# Linux: NVMe under load, during which nothing may trap; then edu, whose accesses all trap.
out=$OUT/stats.json
minivmm --memory 512M --cpus 2 --no-reboot --name "a <guest>" --serial file:"$OUT/linux" --stats="$out" --vfio "$nvme" \
	--vfio "$edu,mmap=off" --kernel "$KERNEL" --initrd "$GUEST_INITRD" \
	--append "console=ttyS0 quiet load=nvme bulk=12 steps=bulk,edu" 2>"$OUT/linux.log" &
vmm=$!

# snapshot NAME: sends SIGUSR1, and waits until the file is new and complete.
snapshot() {
	local old
	old=$(md5sum <"$out")
	kill -USR1 $vmm
	wait_for 20 fresh "$old" && cp "$out" "$OUT/$1.json"
}
fresh() { [ "$(tail -c 1 "$out")" = "}" ] && [ "$(md5sum <"$out")" != "$1" ]; }
# expect NAME FILE EXPRESSION
expect() {
	local wrong
	if wrong=$(python3 /project/guest-tests/micro/check-stats "$OUT/$2.json" "$3" 2>&1); then ok "statistics: $1"; else
		fail "statistics: $1" "not so: $wrong"; fi
}

says $vmm 60 'BULK nvme start|VERDICT' "$OUT/linux"
sleep 1
check "statistics: SIGUSR1 writes the file" snapshot first
sleep 4
check "statistics: and again" snapshot second
if grep -qs 'BULK nvme end' "$OUT/linux"; then fail "statistics: bulk run" "ended while it was counted"; fi
check "statistics: the guest ends" wait $vmm
guest_steps "$OUT/linux" "statistics: Linux guest:"
cp "$out" "$OUT/last.json"

expect "NVMe under load: no access to a BAR came to us" second \
	'sum(t["recent"] for t in s["traps"] if t["where"].startswith("BAR")) == 0'
expect "NVMe under load: the kernel's exits are counted" second \
	'sum(v["kernel_recent"].get("exits", 0) for v in s["vcpus"]) > 0'
expect "NVMe's interrupts are counted, all by irqfd" second \
	"sum(i['count'] for i in s['interrupts'] if i['device'] == '$nvme' and i['path'] == 'irqfd') > 100"
expect "its MSI-X table's accesses are named" second "traps(device='$nvme', cause='the MSI-X table') > 0"
expect "mmap=off is named as a cause" last "traps(device='$edu', where='BAR 0', cause='mmap=off') > 20"
expect "no other cause is found for edu" last "traps(device='$edu', where='BAR') == traps(device='$edu', cause='mmap=off')"
expect "interrupts outlive the driver that enabled them" last \
	"sum(i['count'] for i in s['interrupts'] if i['device'] == '$nvme') >= 100"
check "statistics: SIGUSR1 prints text" grep -q 'trapped accesses' "$OUT/linux.log"

check "statistics: report makes a page" minivmm report "$out" -o "$OUT/report.html"
check "statistics: the page carries the statistics and loads nothing" python3 - "$OUT/report.html" "$out" <<'END'
import json, sys
from html.parser import HTMLParser

class Page(HTMLParser):
    data = False
    def handle_starttag(self, tag, attrs):
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attrs), tag
        self.data = ("id", "data") in attrs
    def handle_data(self, text):
        if self.data:
            assert json.loads(text) == json.load(open(sys.argv[2]))
            self.found = True
        self.data = False

page = Page()
page.feed(open(sys.argv[1]).read())
assert page.found
END
sed -n '/after/,$p' "$OUT/linux.log" | head -n 60
done_testing
