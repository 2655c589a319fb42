# A running machine is spoken to by clients that others wrote: netcat, socat, qmp-shell and the Python package qemu.qmp.
# Before that, tests/control runs on hardware virtualisation.
. /project/tests/host/lib.sh
kvm_ready
bash /project/tests/control "$(command -v minivmm)" || failed=1

/project/guest-tests/micro/run --build /tmp idle || { fail "a guest" "it does not build"; done_testing; }
sock=/tmp/qmp.sock
minivmm --memory 64M --cpus 4 --kernel /tmp/idle.elf --append forever --serial null --qmp unix:$sock,server,nowait 2>"$OUT/vmm.log" &
vmm=$!
wait_for 20 test -S $sock || fail "the socket" "$(tail -n 1 "$OUT/vmm.log")"

# answers NAME TEXT COMMAND...: a test; ok if the command, which gets standard input, prints TEXT.
answers() {
	local name=$1 text=$2 got
	shift 2
	got=$("$@" 2>&1)
	if [[ $got == *"$text"* ]]; then ok "$name"; else fail "$name" "$got"; fi
}

# The tutorials' lines, as they are written. This nc does not end by itself, because it keeps its side open.
answers "a tutorial's first line" '{"return":{}}' timeout 10 nc -U $sock <<<'{"execute": "qmp_capabilities"}'
answers "a tutorial's next line, on a connection of its own" 'NotFound"' timeout 10 nc -U $sock \
	<<<'{"execute": "device_del", "arguments": {"id": "usb0"}}'
answers "nc -N ends with the answer" '"status":"running"' nc -N -U $sock <<<'{"execute": "query-status"}'
answers "socat" '"status":"running"' socat - UNIX-CONNECT:$sock <<<'{"execute": "query-status"}'
answers "qmp-shell" '"status": "running"' qmp-shell $sock <<<'query-status'
answers "qmp-shell, pretty" '"enabled": true' qmp-shell -p $sock <<<'query-kvm'
answers "qmp-shell knows the commands" query-blockstats qmp-shell $sock <<<'query-commands'
answers "qmp-shell with QEMU's monitor commands" running qmp-shell -H $sock <<<'info status'

cat >/tmp/client.py <<'PYTHON'
import asyncio
import sys

from qemu.qmp import ExecuteError, EventListener, QMPClient


async def main():
    qmp = QMPClient("test")
    stopped = EventListener(("STOP", "RESUME"))
    qmp.register_listener(stopped)
    await qmp.connect(sys.argv[1])
    before = await qmp.execute("query-status")
    await qmp.execute("stop")
    paused = await qmp.execute("query-status")
    await qmp.execute("cont")
    events = [(await stopped.get())["event"], (await stopped.get())["event"]]
    answers = await asyncio.gather(*(qmp.execute("query-name") for _ in range(30)))
    try:
        await qmp.execute("no-such-command")
        refused = None
    except ExecuteError as e:
        refused = e.error_class
    print(before["status"], paused["status"], *events, len(answers), refused)
    await qmp.execute("quit")
    await qmp.disconnect()


asyncio.run(main())
PYTHON
answers "qemu.qmp: pause, events, 30 requests at a time, an error, quit" "running paused STOP RESUME 30 CommandNotFound" \
	timeout 120 python3 /tmp/client.py $sock
ends "the machine ends with 0" $vmm 30
check "its socket is gone" test ! -e $sock
done_testing
