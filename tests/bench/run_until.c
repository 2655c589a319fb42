/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * run_until [--from TEXT] [--end] [--memory] TEXT COMMAND [ARG...]: what COMMAND takes until TEXT
 * stands in its output; then it is killed. One line: TSC ticks, nanoseconds, and the nanoseconds
 * that a processor ran COMMAND's threads (its children's not). Exit status 1 when it ended without.
 *
 * The time begins in the child, at the exec, so that making a process is no part of it; with --from
 * when that TEXT has come. With --end it begins with a SIGTERM, sent when TEXT has come, and ends
 * when the process has. --memory: half a second after TEXT, KiB of its memory (proportional set
 * size, anonymous) without mappings of 200 MiB or more, which are the guest's.
 *
 * On a machine whose TSC counts instructions (QEMU's -icount) ticks are instructions of everything
 * that ran, or one for each nanosecond in which nothing did; CPU time is instructions of COMMAND,
 * its kernel side and its guest.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define GUEST_RAM (200ull << 20)

struct moment {
	unsigned long long ticks, ns, cpu;
};

static unsigned long long clock_ns(clockid_t c)
{
	struct timespec t = { 0 };

	clock_gettime(c, &t);
	return (unsigned long long)t.tv_sec * 1000000000u + (unsigned long long)t.tv_nsec;
}

static struct moment moment_now(clockid_t cpu)
{
	return (struct moment){ __rdtsc(), clock_ns(CLOCK_MONOTONIC), clock_ns(cpu) };
}

/* Reads on until the text has come; what follows it stays in the buffer. */
static int wait_for(int fd, const char *text)
{
	static char buf[65536];
	static size_t have;
	size_t keep = strlen(text);
	ssize_t n;
	char *at;

	for (;;) {
		at = memmem(buf, have, text, keep);
		if (at) {
			at += keep;
			have -= (size_t)(at - buf);
			memmove(buf, at, have);
			return 0;
		}
		if (have > keep) {
			memmove(buf, buf + have - keep, keep);
			have = keep;
		}
		n = read(fd, buf + have, sizeof(buf) - have);
		if (n <= 0)
			return -1;
		have += (size_t)n;
	}
}

static void print_memory(pid_t pid)
{
	unsigned long long begin, end, pss = 0, dirty = 0, n;
	char path[32], line[512];
	bool guest = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx-%llx ", &begin, &end) == 2)
			guest = end - begin >= GUEST_RAM;
		else if (!guest && sscanf(line, "Pss: %llu", &n) == 1)
			pss += n;
		else if (!guest && sscanf(line, "Anonymous: %llu", &n) == 1)
			dirty += n;
	}
	if (f)
		fclose(f);
	printf("pss_kib=%llu dirty_kib=%llu ", pss, dirty);
}

static unsigned long long reap(pid_t pid)
{
	struct rusage r = { 0 };

	wait4(pid, NULL, 0, &r);
	return (unsigned long long)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000000u +
	       (unsigned long long)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1000u;
}

static pid_t start(char **command, int fds[2], struct moment *begin)
{
	pid_t child = fork();

	if (child)
		return child;
	dup2(fds[1], 1);
	close(fds[0]);
	close(fds[1]);
	*begin = moment_now(CLOCK_PROCESS_CPUTIME_ID);
	execvp(command[0], command);
	perror(command[0]);
	_exit(127);
}

struct options {
	const char *from, *text;
	bool end, memory;
	char **command;
};

static bool parse(struct options *o, char **argv)
{
	for (argv++; *argv && !strncmp(*argv, "--", 2); argv++) {
		if (!strcmp(*argv, "--from") && argv[1])
			o->from = *++argv;
		else if (!strcmp(*argv, "--end"))
			o->end = true;
		else if (!strcmp(*argv, "--memory"))
			o->memory = true;
		else
			return false;
	}
	if (!argv[0] || !*argv[0] || !argv[1])
		return false;
	o->text = argv[0];
	o->command = argv + 1;
	return true;
}

/* With the command running: measures, and says whether everything came. */
static bool measure(const struct options *o, pid_t child, int out, struct moment *begin)
{
	struct moment end;
	clockid_t cpu;

	if (o->from && wait_for(out, o->from))
		return false;
	clock_getcpuclockid(child, &cpu);
	if (o->from)
		*begin = moment_now(cpu);
	if (wait_for(out, o->text))
		return false;
	end = moment_now(cpu);
	if (o->memory) {
		usleep(500000);
		print_memory(child);
	}
	if (o->end) {
		*begin = moment_now(cpu);
		kill(child, SIGTERM);
		end.cpu = reap(child);
		end.ticks = __rdtsc();
		end.ns = clock_ns(CLOCK_MONOTONIC);
	}
	printf("ticks=%llu ns=%llu cpu_ns=%llu\n", end.ticks - begin->ticks, end.ns - begin->ns,
	       end.cpu > begin->cpu ? end.cpu - begin->cpu : 0);
	return true;
}

int main(int argc, char **argv)
{
	struct moment *begin = mmap(NULL, sizeof(*begin), PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct options o = { 0 };
	int fds[2];
	pid_t child;
	bool came;

	(void)argc;
	if (!parse(&o, argv) || begin == MAP_FAILED || pipe(fds)) {
		fprintf(stderr, "usage: run_until [--from TEXT] [--end] [--memory] TEXT COMMAND "
				"[ARG...]\n");
		return 2;
	}
	child = start(o.command, fds, begin);
	close(fds[1]);
	came = child > 0 && measure(&o, child, fds[0], begin);
	if (child > 0 && !(came && o.end)) {
		kill(child, SIGKILL);
		reap(child);
	}
	return came ? 0 : 1;
}
