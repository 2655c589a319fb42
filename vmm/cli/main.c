/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The process around the machine: command line, log level, going into the background, the pid file.
 *
 * --daemonize forks before anything is opened (KVM belongs to the address space that opened it);
 * the first process waits until the machine stands, so its exit status tells whether it does.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <liburing.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"
#include "vmm/cli/command.h"
#include "vmm/cli/output.h"
#include "vmm/machine/options.h"
#include "vmm/core/log.h"
#include "vmm/core/text.h"
#include "vmm/machine/machine.h"
#include "vmm/core/version.h"
#include "vmm/cli/bind_keeper.h"
#include "vmm/machine/pidfile.h"

struct process {
	const struct config *cfg;
	int ready_fd; /* the first process waits on the other end; -1: not daemonized */
	struct pidfile pidfile;
};

/* libfdt, libaio, libnuma and liburing before 2.4 do not tell their version. */
static void print_version(void)
{
	char uring[32] = "";

#ifdef IO_URING_VERSION_MAJOR
	snprintf(uring, sizeof(uring), " %d.%d", io_uring_major_version(),
		 io_uring_minor_version());
#endif
	printf("minivmm %s\n"
	       "built with " __VERSION__ "\n"
	       "libraries: libfdt, liburing%s, libaio, libnuma, jansson %s\n",
	       MINIVMM_VERSION, uring, jansson_version_str());
}

static void detach(struct process *p)
{
	char ok = 0;
	int null;

	if (p->ready_fd < 0)
		return;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		close(null);
	}
	(void)!write(p->ready_fd, &ok, 1);
	close(p->ready_fd);
	p->ready_fd = -1;
}

/* The machine stands: the last moment to fail, and to be seen failing. */
static int on_ready(void *arg, struct error *err)
{
	struct process *p = arg;

	if (p->cfg->pidfile && pidfile_create(&p->pidfile, p->cfg->pidfile, err) < 0)
		return error_prefix(err, "--pidfile");
	detach(p);
	return 0;
}

/* In the first process: 0 when the machine came up, else its exit status. */
static int await_child(pid_t child, int fd)
{
	int status;
	char ok;

	if (read(fd, &ok, 1) == 1)
		return 0;
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return 1;
	return WEXITSTATUS(status) ? WEXITSTATUS(status) : 1;
}

/* Returns in the background process only; -1: could not fork. */
static int background(struct process *p)
{
	int fds[2];
	pid_t child;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	child = fork();
	if (child < 0)
		return -1;
	if (child > 0) {
		close(fds[1]);
		_exit(await_child(child, fds[0]));
	}
	close(fds[0]);
	setsid();
	p->ready_fd = fds[1];
	return 0;
}

static int run(struct config *cfg)
{
	struct process p = { .cfg = cfg, .ready_fd = -1, .pidfile = { .fd = -1 } };
	struct bind_keeper bind;
	struct error err = { 0 };
	int status;

	if (cfg->daemonize && background(&p) < 0) {
		log_error("--daemonize: %s", strerror(errno));
		return 1;
	}
	if (bind_keeper_start(&bind, cfg, p.ready_fd) < 0)
		return 1;
	if (cfg->bind) {
		cfg->bind_device = bind_keeper_order;
		cfg->bind_opaque = &bind;
	}
	if (cfg->name)
		prctl(PR_SET_NAME, cfg->name);
	/* One heap: per-thread arenas would be most of our memory. */
	mallopt(M_ARENA_MAX, 1);
	status = machine_run(cfg, on_ready, &p, &err);
	if (err.code)
		log_error("%s%s", err.text,
			  err.code == -EMFILE ? ": allow this process more of them (ulimit -n)"
					      : "");
	if (bind_keeper_end(&bind) < 0 && status == 0)
		status = 1;
	pidfile_remove(&p.pidfile);
	return status;
}

int command_run(int argc, char **argv)
{
	struct config cfg;
	struct error err = { 0 };
	int status = 0;

	if (config_parse(&cfg, argc, argv, &err) < 0) {
		log_error("%s", err.text);
		config_free(&cfg);
		return COMMAND_USAGE;
	}
	if (cfg.verbose)
		log_set_level(cfg.verbose > 1 ? LOG_DEBUG : LOG_INFO);
	if (cfg.action == CONFIG_HELP)
		config_help(stdout);
	else if (cfg.action == CONFIG_VERSION)
		print_version();
	else
		status = run(&cfg);
	config_free(&cfg);
	return status;
}

/* What is opened next would become standard output or error, and be written over: a disk, say. That
 * nothing can be printed (EBADF) is said at the end; messages have nobody to go to. */
static void fill_standard_files(void)
{
	int fd;

	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 &&
		    open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY) != fd)
			_exit(1);
}

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *usage, *does; /* of --help; NULL: the command prints its own */
};

static const struct command commands[] = {
	{ "run", command_run, NULL, NULL },
	{ "bind", command_bind, USAGE_BIND,
	  "Gives devices to vfio-pci, so that a machine can have them. --group: all devices of "
	  "their\n"
	  "groups. --force: also what the host uses." },
	{ "restore", command_restore, USAGE_RESTORE,
	  "Gives devices back to the drivers that they had before `minivmm bind`, or before a "
	  "machine\n"
	  "had them that was killed: those named (01:00.0; a USB device as 1-4.2), or all." },
	{ "vf", command_vf, USAGE_VF,
	  "Makes COUNT virtual functions of a device, 0 removes them; without COUNT lists them. "
	  "--mac:\n"
	  "their addresses, in order. --vlan: the VLAN of all of them." },
	{ "report", command_report, USAGE_REPORT,
	  "Makes a page of what `minivmm --stats=FILE` wrote." },
	{ "import", command_import, USAGE_IMPORT,
	  "Translates QEMU commands, of words or of a script. Exit status 1: something is lost." },
	{ "groups", command_groups, USAGE_GROUPS,
	  "Lists PCI devices by IOMMU group, and whether they can be passed through." },
	{ "usb", command_usb, USAGE_USB,
	  "Lists USB devices, the --usb argument that passes each, and what is in the way." },
	{ "check", command_check, USAGE_CHECK,
	  "Tells whether this host is ready, and these devices are. Exit status 1: they are not." },
	{ "ctl", command_ctl, USAGE_CTL,
	  "  status, stop, cont, reset, quit, stats\n"
	  "  powerdown [--timeout S [--then quit]]   press the power button; wait\n"
	  "  add WHAT [--timeout S]                  02:00.0, disk.img, tap,ifname=I, rng,\n"
	  "                                        usb:046d:c52b\n"
	  "  del ID [--timeout S] [--force]          ask the guest to let go of it; wait\n"
	  "  events, wait EVENT [--timeout S]        print events; wait for one of a kind\n"
	  "  QMP-COMMAND [KEY=VALUE...] [--json]     any other, as query-pci\n"
	  "NAME is that of --name, with --qmp auto; PATH is that of --qmp unix:PATH." },
	{ "bench", command_bench, USAGE_BENCH, "Measures what passing this device through costs." },
};

static const struct command *find_command(const char *name)
{
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(name, commands[i].name) == 0)
			return &commands[i];
	return NULL;
}

static int help_on(const struct command *c)
{
	char name[16], option[] = "--help", *argv[] = { name, option, NULL };

	if (!c->usage) {
		snprintf(name, sizeof(name), "%s", c->name);
		return c->run(2, argv);
	}
	printf("usage: %s\n%s\nminivmm(1) has all of it.\n", c->usage, c->does);
	return 0;
}

/* minivmm help [COMMAND] */
static int command_help(int argc, char **argv)
{
	const struct command *c = find_command(argc > 1 ? argv[1] : "run");

	if (c && argc <= 2)
		return help_on(c);
	log_error("help: unknown command %s: see minivmm --help", argv[c ? 2 : 1]);
	return COMMAND_USAGE;
}

/* What follows -- is somebody else's. */
static bool wants_help(char **argv)
{
	for (; *argv && strcmp(*argv, "--") != 0; argv++)
		if (strcmp(*argv, "-h") == 0 || strcmp(*argv, "--help") == 0)
			return true;
	return false;
}

/* What people type for it: NULL if nothing is near. */
static const char *nearest_command(const char *word)
{
	struct text_nearest near = { .word = word, .distance = UINT_MAX };

	for (unsigned i = 0; i < ARRAY_SIZE(commands); i++)
		text_consider(&near, commands[i].name);
	return near.name;
}

/* A word that is no command: a misspelt one, or what `ctl` would understand. */
static int unknown_command(const char *word)
{
	const char *near = nearest_command(word);

	if (ctl_has_word(word))
		log_error("no command %s: to tell it to a running machine: minivmm ctl NAME %s",
			  word, word);
	else
		log_error("no command and no option %s: did you mean %s?", word, near);
	return COMMAND_USAGE;
}

static int run_command(int argc, char **argv)
{
	const struct command *c = argc > 1 ? find_command(argv[1]) : NULL;

	if (c && c->usage && wants_help(argv + 2))
		return help_on(c);
	if (c)
		return c->run(argc - 1, argv + 1);
	if (argc > 1 && strcmp(argv[1], "help") == 0)
		return command_help(argc - 1, argv + 1);
	if (argc > 1 && argv[1][0] != '-' && (ctl_has_word(argv[1]) || nearest_command(argv[1])))
		return unknown_command(argv[1]);
	return command_run(argc, argv);
}

/* Without a command word it is `run`. */
int main(int argc, char **argv)
{
	fill_standard_files();
	/* A file that may not grow any more (RLIMIT_FSIZE) is an error of write(), not the end. */
	signal(SIGXFSZ, SIG_IGN);
	return output_end(run_command(argc, argv));
}
