/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reset, power-off, the end, and signals.
 *
 * While the guest runs, the main thread sits in the event loop. A device or a vCPU that wants the
 * machine reset or off only asks (machine_request_*): the vCPUs are told to pause, and the loop
 * does the work when all of them stand still.
 *
 * Exit status: 0 power-off, reset under --no-reboot, or asked to stop; what the guest wrote to port
 * 0xf4 (low 8 bits); 1 when the machine failed.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "vmm/machine/vm.h"

static void tell(struct vm *vm, const char *event, enum machine_by by, const char *reason)
{
	if (vm->monitor.qmp)
		qmp_event(
			vm->monitor.qmp, event,
			json_pack("{s: b, s: s}", "guest", by == MACHINE_GUEST, "reason", reason));
}

/* The first reason is the one that counts. */
void machine_end(struct vm *vm, int status, enum machine_by by, const char *reason)
{
	vcpus_pause_async(vm->cpus.vcpus);
	evloop_stop(vm->loop, 0);
	if (vm->life.ended)
		return;
	vm->life.ended = true;
	vm->life.status = status;
	tell(vm, "SHUTDOWN", by, reason);
}

void machine_stop(void *arg, int status)
{
	machine_end(arg, status, MACHINE_HOST, status ? "host-error" : "host-signal");
}

/* Requests from vCPU threads and devices */

static void request(struct vm *vm, struct ev_call *what)
{
	vcpus_pause_async(vm->cpus.vcpus);
	evloop_call(vm->loop, what);
}

static void do_reset(void *arg);

#define RESET_LOOK_NS  10000000ull
#define RESET_LOOK_SAY 100 /* looks: a second */

/* A machine is reset when no device has DMA in flight: what was read into memory before would
 * spoil what is loaded. Storage may take long for it, or for ever, so the loop goes on meanwhile
 * and looks again. */
static bool devices_quiet(struct vm *vm)
{
	const char *busy = pci_quiesce(&vm->chipset.pci);

	if (!busy)
		busy = hotplug_busy(vm->hotplug);
	if (!busy) {
		vm->life.reset_waits = 0;
		return true;
	}
	if (++vm->life.reset_waits == RESET_LOOK_SAY)
		log_warn("the reset waits for %s, whose storage does not answer", busy);
	if (!vm->life.reset_timer)
		vm->life.reset_timer = evloop_add_timer(vm->loop, do_reset, vm);
	if (vm->life.reset_timer) {
		ev_timer_set(vm->life.reset_timer, evloop_now_ns() + RESET_LOOK_NS);
	} else {
		log_error("reset: out of memory");
		machine_stop(vm, 1);
	}
	return false;
}

/* Who wanted the reset that is being done. */
static enum machine_by reset_cause(struct vm *vm, const char **reason)
{
	bool host = vm->life.reset_by_host;

	vm->life.reset_by_host = false;
	*reason = host ? "host-qmp-system-reset" : "guest-reset";
	return host ? MACHINE_HOST : MACHINE_GUEST;
}

static void do_reset(void *arg)
{
	struct vm *vm = arg;
	struct error err = { 0 };
	const char *reason;
	enum machine_by by;

	if (vm->cfg->no_reboot) {
		log_info("reset: --no-reboot ends the run");
		by = reset_cause(vm, &reason);
		machine_end(vm, 0, by, reason);
		return;
	}
	vcpus_pause(vm->cpus.vcpus);
	hotplug_reset(vm->hotplug);
	if (!devices_quiet(vm))
		return;
	__atomic_store_n(&vm->life.reset_pending, false, __ATOMIC_RELEASE);
	if (vm->life.reset_machine(vm, &err) < 0) {
		log_error("reset: %s", err.text);
		machine_stop(vm, 1);
		return;
	}
	if (log_allow(LOG_INFO, &vm->life.reset_limit))
		log_info("reset");
	by = reset_cause(vm, &reason);
	tell(vm, "RESET", by, reason);
	if (!vm->life.paused)
		vcpus_resume(vm->cpus.vcpus);
}

static void do_power_off(void *arg)
{
	log_info("power off");
	machine_end(arg, 0, MACHINE_GUEST, "guest-shutdown");
}

static void do_exit(void *arg)
{
	struct vm *vm = arg;

	machine_end(vm, (int)(vm->life.exit_value & 0xff), MACHINE_GUEST, "guest-shutdown");
}

static void do_fail(void *arg)
{
	machine_stop(arg, 1);
}

void machine_request_reset(void *arg)
{
	struct vm *vm = arg;

	if (!__atomic_exchange_n(&vm->life.reset_pending, true, __ATOMIC_ACQ_REL))
		request(vm, &vm->life.reset);
}

void machine_request_power_off(void *arg)
{
	struct vm *vm = arg;

	request(vm, &vm->life.power_off);
}

void machine_request_exit(void *arg, uint32_t value)
{
	struct vm *vm = arg;

	__atomic_store_n(&vm->life.exit_value, value, __ATOMIC_RELAXED);
	request(vm, &vm->life.exit);
}

void machine_on_vcpu_event(void *arg, enum vcpu_event event)
{
	struct vm *vm = arg;

	switch (event) {
	case VCPU_TRIPLE_FAULT:
	case VCPU_RESET:
		machine_request_reset(arg);
		break;
	case VCPU_POWER_OFF:
		machine_request_power_off(arg);
		break;
	case VCPU_FAILED:
		request(vm, &vm->life.fail);
	}
}

void machine_init_lifecycle(struct vm *vm, int (*reset)(struct vm *, struct error *))
{
	vm->life.signal_fd = -1;
	vm->life.reset_machine = reset;
	vm->life.reset = (struct ev_call){ .fn = do_reset, .arg = vm };
	vm->life.power_off = (struct ev_call){ .fn = do_power_off, .arg = vm };
	vm->life.exit = (struct ev_call){ .fn = do_exit, .arg = vm };
	vm->life.fail = (struct ev_call){ .fn = do_fail, .arg = vm };
}

/* What the host wants */

void machine_pause(struct vm *vm)
{
	if (vm->life.paused)
		return;
	vm->life.paused = true;
	vcpus_pause(vm->cpus.vcpus);
	pci_pause(&vm->chipset.pci, true);
	qmp_event(vm->monitor.qmp, "STOP", NULL);
}

void machine_resume(struct vm *vm)
{
	if (!vm->life.paused)
		return;
	vm->life.paused = false;
	pci_pause(&vm->chipset.pci, false);
	/* A reset or the end that waits takes care of the processors itself. */
	if (!vm->life.ended && !__atomic_load_n(&vm->life.reset_pending, __ATOMIC_ACQUIRE))
		vcpus_resume(vm->cpus.vcpus);
	qmp_event(vm->monitor.qmp, "RESUME", NULL);
}

void machine_reset_by_host(struct vm *vm)
{
	vm->life.reset_by_host = true;
	machine_request_reset(vm);
}

bool machine_press_power_button(void *arg)
{
	struct vm *vm = arg;
	bool heard = acpi_pm_power_button(&vm->chipset.pm);

	qmp_event(vm->monitor.qmp, "POWERDOWN", NULL);
	return heard;
}

/* Signals */

/* For a guest that hangs: what its processors do. */
static void say_where(struct vm *vm)
{
	bool ran = vcpus_pause(vm->cpus.vcpus);

	vcpus_log(vm->cpus.vcpus);
	if (ran)
		vcpus_resume(vm->cpus.vcpus);
}

static void end_by_signal(struct vm *vm, int sig)
{
	if (sig == SIGTERM || sig == SIGINT || sig == SIGHUP) {
		machine_end(vm, 0, MACHINE_HOST, "host-signal");
		return;
	}
	log_error("SIG%s: %s: the machine ends", sigabbrev_np(sig), strsignal(sig));
	machine_end(vm, 1, MACHINE_HOST, "host-error");
}

static void on_signal(void *arg, int fd, uint32_t events)
{
	struct signalfd_siginfo si;
	struct vm *vm = arg;

	(void)events;
	if (read(fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return;
	if (si.ssi_signo == SIGQUIT) {
		say_where(vm);
		return;
	}
	if (si.ssi_signo == SIGUSR1) {
		machine_stats_report(&vm->report, true);
		return;
	}
	/* The first SIGTERM is the power button, where the guest listens to one; a paused one does
	 * not. */
	if (si.ssi_signo == SIGTERM && !vm->life.paused && vm->life.terminations++ == 0 &&
	    machine_press_power_button(vm)) {
		log_info("SIGTERM: the guest's power button was pressed; a second SIGTERM stops "
			 "the guest at once");
		return;
	}
	end_by_signal(vm, (int)si.ssi_signo);
}

/* All that would end the process from outside, so that it can take away its files first. Those
 * behind SIGQUIT mean nothing to a machine, or are a limit that it has reached. */
void machine_block_signals(sigset_t *set)
{
	static const int all[] = { SIGTERM, SIGINT,  SIGHUP,	SIGUSR1, SIGQUIT, SIGXCPU,  SIGUSR2,
				   SIGALRM, SIGPROF, SIGVTALRM, SIGIO,	 SIGPWR,  SIGSTKFLT };
	unsigned i;

	sigemptyset(set);
	for (i = 0; i < ARRAY_SIZE(all); i++)
		sigaddset(set, all[i]);
	pthread_sigmask(SIG_BLOCK, set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int machine_watch_signals(struct vm *vm, struct error *err)
{
	sigset_t set;

	machine_block_signals(&set);
	vm->life.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (vm->life.signal_fd < 0 ||
	    !evloop_add_fd(vm->loop, vm->life.signal_fd, EPOLLIN, on_signal, vm))
		return error_set(err, -errno, "signalfd: %s", strerror(errno));
	return 0;
}
