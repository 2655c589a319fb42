/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ticks_until MARKER COMMAND [ARG...]: TSC ticks from before the fork until MARKER stands in
 * COMMAND's output; then COMMAND is killed. Exit status 1 when it ended without.
 *
 * On a machine whose TSC counts instructions (QEMU's -icount) these are instructions of everything
 * that ran: the command, the kernel, the guest in it.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

/* Keeps the tail that a marker may have begun in. */
static int wait_for(int fd, const char *marker)
{
	static char buf[65536];
	size_t have = 0, keep = strlen(marker);
	ssize_t n;

	while ((n = read(fd, buf + have, sizeof(buf) - have)) > 0) {
		have += (size_t)n;
		if (memmem(buf, have, marker, keep))
			return 0;
		if (have > keep) {
			memmove(buf, buf + have - keep, keep);
			have = keep;
		}
	}
	return -1;
}

int main(int argc, char **argv)
{
	unsigned long long begin, end;
	int fds[2], found;
	pid_t child;

	if (argc < 3 || !*argv[1] || pipe(fds)) {
		fprintf(stderr, "usage: ticks_until MARKER COMMAND [ARG...]\n");
		return 2;
	}
	begin = __rdtsc();
	child = fork();
	if (child == 0) {
		dup2(fds[1], 1);
		close(fds[0]);
		close(fds[1]);
		execvp(argv[2], argv + 2);
		perror(argv[2]);
		_exit(127);
	}
	close(fds[1]);
	found = child > 0 ? wait_for(fds[0], argv[1]) : -1;
	end = __rdtsc();
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	if (found < 0)
		return 1;
	printf("%llu\n", end - begin);
	return 0;
}
