# Keyboards and mice of the host, lent to a guest (--input). uinput makes them, so that the script can press keys and pull
# them out. Linux sees keys and motion behind the emulated controller, both Ctrl keys give the devices back to the host, the
# kernel does it when minivmm is killed, and OVMF's shell and setup can be used with the keyboard.
. /project/tests/host/lib.sh
kvm_ready
modprobe -a uinput evdev

# Reads commands: `plug NAME`, `unplug NAME`, `ev NAME TYPE CODE VALUE`, `leds NAME`. NAME is kbd or mouse; its node is
# /dev/input/by-id/NAME. Prints a line when a command is done.
cat >/tmp/devices.py <<'END_PY'
import fcntl, glob, os, struct, sys

EV_KEY, EV_REL, EV_LED = 1, 2, 17
keys = {"kbd": range(1, 128), "mouse": range(272, 277)}
fds = {}


def plug(name):
    fd = os.open("/dev/uinput", os.O_RDWR | os.O_NONBLOCK)
    kinds = [(EV_KEY, 0x40045565, keys[name])]
    kinds.append((EV_LED, 0x40045569, range(3)) if name == "kbd" else (EV_REL, 0x40045566, (0, 1, 8)))
    for kind, bit, codes in kinds:
        fcntl.ioctl(fd, 0x40045564, kind)
        for code in codes:
            fcntl.ioctl(fd, bit, code)
    fcntl.ioctl(fd, 0x405C5503, struct.pack("4H80sI", 3, 0x1234, len(name), 1, b"Test " + name.encode(), 0))
    fcntl.ioctl(fd, 0x5501)
    sysname = bytearray(32)
    fcntl.ioctl(fd, 0x8020552C, sysname)
    sysname = sysname.split(b"\0")[0].decode()
    event = os.path.basename(glob.glob("/sys/devices/virtual/input/" + sysname + "/event*")[0])
    os.makedirs("/dev/input/by-id", exist_ok=True)
    link = "/dev/input/by-id/" + name
    if os.path.lexists(link):
        os.unlink(link)
    os.symlink("../" + event, link)
    fds[name] = fd


def leds(name):
    lit = []
    try:
        while True:
            for event in struct.iter_unpack("16xHHi", os.read(fds[name], 24 * 64)):
                if event[0] == EV_LED:
                    lit.append("%d=%d" % event[1:])
    except BlockingIOError:
        pass
    return " ".join(lit)


for line in sys.stdin:
    word, name, *numbers = line.split()
    answer = ""
    if word == "plug":
        plug(name)
    elif word == "unplug":
        os.unlink("/dev/input/by-id/" + name)
        os.close(fds.pop(name))
    elif word == "leds":
        answer = leds(name)
    else:
        os.write(fds[name], struct.pack("16xHHi", *map(int, numbers)) + bytes(24))
    print("done", line.strip(), answer, flush=True)
END_PY
mkfifo /tmp/devices
python3 /tmp/devices.py </tmp/devices >"$OUT/devices" 2>&1 &
exec 8>/tmp/devices
ordered=0
devices() {
	echo "$*" >&8
	ordered=$((ordered + 1))
}
all_done() { [ "$(grep -c ^done "$OUT/devices")" -ge $ordered ]; }
devices_done() { wait_for 100 all_done || { fail "uinput" "$(tail -n 3 "$OUT/devices")"; done_testing; }; }
key() { devices ev kbd 1 "$1" "$2"; }
tap() { key "$1" 1; key "$1" 0; }
move() { devices ev mouse 2 "$1" "$2"; }
A=30 S=31 D=32 CAPS=58 LEFT_CTRL=29 RIGHT_CTRL=97 BTN_LEFT=272
toggle() {
	key $LEFT_CTRL 1
	key $RIGHT_CTRL 1
	key $RIGHT_CTRL 0
	key $LEFT_CTRL 0
}
# A device changes hands when minivmm has seen that no key is down. What is pressed before belongs to neither side.
switched() {
	devices_done
	sleep 3
}
devices plug kbd
devices plug mouse
devices_done
kbd=/dev/input/by-id/kbd mouse=/dev/input/by-id/mouse

guest="--kernel $KERNEL --memory 256M"
# refused TEST TEXT OPTION...: a run that must not start.
refused() {
	local name=$1 text=$2
	shift 2
	# shellcheck disable=SC2086 # options are words
	if minivmm $guest "$@" 2>"$OUT/refused"; then
		fail "refused: $name" "it started"
	elif grep -q -- "$text" "$OUT/refused"; then
		ok "refused: $name" "$(cut -c1-120 "$OUT/refused")"
	else
		fail "refused: $name" "$(cat "$OUT/refused")"
	fi
}
refused "a node that is not there" "ls /dev/input/by-id" --input /dev/input/by-id/none
refused "no input device" "is no input device" --input /dev/null
refused "one device twice" "is the same device as" --input $kbd --input "$(readlink -f $kbd)"
check "check: the devices are ready" minivmm check --input $kbd --input $mouse

# The guest's init: says its events as lines of twelve numbers, of which the last four are type, code and value.
cat >/tmp/watches <<'END_GUEST'
mount -t proc p /proc
mount -t sysfs s /sys
mount -t devtmpfs d /dev
for m in /mods/*; do insmod $m; done
modprobe -a xhci_pci evdev
while [ $(ls -d /sys/class/input/event*/device/name | xargs grep -l minivmm | wc -l) -lt 2 ]; do sleep 0.2; done
sleep 1
for n in /sys/class/input/event*; do
	grep -q minivmm $n/device/name && hexdump -v -e '12/2 " %u" "\n"' /dev/input/${n##*/} &
done
sleep 1
echo WATCHES $(cat /sys/class/input/event*/device/name | grep minivmm)
while :; do sleep 9; done
END_GUEST
mkdir -p /tmp/mods
n=10
for file in $(modprobe -S "${KERNEL#/boot/vmlinuz-}" --show-depends usbhid | sed -n 's/^insmod \([^ ]*\).*/\1/p') \
	"$(modinfo -k "${KERNEL#/boot/vmlinuz-}" -n hid-generic)"; do
	n=$((n + 1))
	busybox xz -dc "$file" >/tmp/mods/$n-"$(basename "$file" .xz)"
done
(cd /tmp && find watches mods | cpio --quiet -o -H newc) | cat "$GUEST_INITRD" - >/tmp/watches.initrd
# start NAME OPTION...
start() {
	# shellcheck disable=SC2086
	minivmm -v $guest --initrd /tmp/watches.initrd --serial file:"$OUT/$1" \
		--append "console=ttyS0 quiet rdinit=/bin/sh -- /watches" "${@:2}" 2>"$OUT/$1.err" &
	vmm=$!
	log=$OUT/$1
	says $vmm 90 WATCHES "$log" || { fail "$1: the guest has keyboard and mouse" "$(tail -n 3 "$log.err")"; diagnose $vmm; }
}
# The guest has said an event: TYPE CODE VALUE (as 16 bits).
count_events() { tr -d '\r' <"$log" | grep -cE " $1 $2 $3 [0-9]+$"; }
guest_has() { [ "$(count_events "$1" "$2" "$3")" -ge "${4:-1}" ]; }
sees() { lives_until $vmm 20 guest_has "$@"; }
# What a program of the host gets, in a file.
host_watch() { stdbuf -oL od -v -An -w24 -tu2 $kbd >"$OUT/host-keys" 2>/dev/null & }
host_has() { grep -qE " 1 +$1 +1 +0$" "$OUT/host-keys"; }

start linux --input $kbd --input $mouse
ok "Linux has them" "$(grep -a WATCHES "$log" | tr -d '\r')"
host_watch
key $A 1
check "a key goes down in the guest" sees 1 $A 1
key $A 0
check "the key goes up" sees 1 $A 0
move 0 5
check "the mouse moves right" sees 2 0 5
move 1 -3
check "the mouse moves up" sees 2 1 65533
move 8 1
check "the wheel turns" sees 2 8 1
devices ev mouse 1 $BTN_LEFT 1
devices ev mouse 1 $BTN_LEFT 0
check "a button is pressed and released" sees 1 $BTN_LEFT 0
# In bursts that fit into the 64 events that the kernel keeps for a reader.
for _ in $(seq 20); do
	for _ in $(seq 10); do devices ev mouse 2 0 1; done
	devices_done
	sleep 0.2
done
sum_moves() { tr -d '\r' <"$log" | awk 'NF >= 12 && $(NF-3) == 2 && $(NF-2) == 0 { s += $(NF-1) } END { print s + 0 }'; }
moved_all() { [ "$(sum_moves)" -ge 205 ]; }
check "a fast mouse loses no step" lives_until $vmm 20 moved_all
tap $CAPS
lit() { devices leds kbd; devices_done; grep -q '^done leds kbd .*1=1' "$OUT/devices"; }
check "the guest lights Caps Lock" wait_for 10 lit
if host_has $A; then fail "the host sees no key" "$(tail -n 2 "$OUT/host-keys")"; else ok "the host sees no key"; fi

key $S 1
check "a key that is down when the devices are switched" sees 1 $S 1
toggle
check "it is up in the guest" sees 1 $S 0
key $S 0
switched
before=$(count_events 1 $D 1)
tap $D
check "then the host has the keyboard" wait_for 10 host_has $D
check "the guest does not see the host's keys" [ "$(count_events 1 $D 1)" = "$before" ]
toggle
switched
key $D 1
check "and the guest has it again" sees 1 $D 1

devices unplug kbd
check "pulled out: the key goes up in the guest" sees 1 $D 0
devices plug kbd
devices_done
wait_for 10 grep -q 'Test kbd: it is plugged in' "$log.err" || fail "plugged in again" "$(tail -n 3 "$log.err")"
before=$(count_events 1 $A 1)
tap $A
check "plugged in again: the guest has it" sees 1 $A 1 $((before + 1))
refused "another machine has it" "another program has grabbed it; it is open in .*minivmm (process $vmm)" --input $kbd

host_watch
sleep 0.5
kill -KILL $vmm
wait $vmm 2>/dev/null
tap $A
check "killed: the host has the keyboard" wait_for 10 host_has $A

# OVMF: its shell, then its setup, on the serial line; the keys come from the USB keyboard.
minivmm -v --firmware /usr/share/OVMF/OVMF_CODE_4M.fd --memory 256M --input $kbd --serial file:"$OUT/ovmf" 2>"$OUT/ovmf.err" &
vmm=$!
log=$OUT/ovmf
check "OVMF: its shell" says $vmm 150 'Shell> ' "$log"
# v e r Enter
for k in 47 18 19 28; do tap $k; done
check "OVMF: a word that was typed is shown, and carried out" says $vmm 60 'Shell> .*ver' "$log"
# e x i t Enter
for k in 18 45 23 20 28; do tap $k; done
check "OVMF: exit leads to the setup" says $vmm 60 'Boot Manager' "$log"
sleep 2
size=$(stat -c %s "$log")
tap 108 # the arrow down
moved() { [ "$(stat -c %s "$log")" -gt "$size" ]; }
check "OVMF: the arrow keys change the setup's screen" lives_until $vmm 30 moved
tap 28
check "OVMF: Enter opens a page of the setup" says $vmm 60 'Press ESC to exit|Esc=Exit' "$log"
kill -TERM $vmm
lives_until $vmm 10 gone $vmm || kill -KILL $vmm
wait $vmm 2>/dev/null
tail -n 3 "$OUT/ovmf.err"
done_testing
