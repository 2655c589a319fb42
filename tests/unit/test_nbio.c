/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors of all kinds, written without waiting; and vCPUs that are held. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/core/addr.h"
#include "vmm/core/evloop.h"
#include "vmm/core/hold.h"
#include "vmm/core/nbio.h"

static const char zeros[1024];

/* Writes until the descriptor takes no more; returns how much it took. */
static size_t fill(struct nbio *n, size_t piece)
{
	size_t done = 0;
	ssize_t ret;

	while ((ret = nbio_write(n, zeros, piece)) > 0 && done < 16 * MiB)
		done += (size_t)ret;
	assert_int_equal(ret, -EAGAIN);
	return done;
}

static void empty(int fd)
{
	char buf[4096];
	struct pollfd p = { .fd = fd, .events = POLLIN };

	while (poll(&p, 1, 0) == 1 && read(fd, buf, sizeof(buf)) > 0)
		;
}

static void test_pipe(void **state)
{
	struct nbio n, in;
	int fd[2];
	char c;

	(void)state;
	assert_int_equal(pipe(fd), 0);
	n = nbio_shared(fd[1], O_WRONLY);
	in = nbio_shared(fd[0], O_RDONLY);
	assert_true(n.fd != fd[1] && in.fd != fd[0]);
	assert_false(fcntl(fd[1], F_GETFL) & O_NONBLOCK);
	assert_false(fcntl(fd[0], F_GETFL) & O_NONBLOCK);
	assert_int_equal(nbio_read(&in, &c, 1), -EAGAIN);
	assert_int_equal(fill(&n, 1024), 65536);
	assert_int_equal(nbio_write_all(&n, zeros, 100, 1), 0);
	empty(fd[0]);
	assert_int_equal(nbio_write_all(&n, "ab", 2, 1000), 2);
	assert_int_equal(nbio_read(&in, &c, 1), 1);
	assert_int_equal(c, 'a');
	nbio_close(&n);
	assert_int_equal(n.fd, -1);
	close(fd[1]);
	assert_int_equal(nbio_read(&in, &c, 1), 1);
	assert_int_equal(nbio_read(&in, &c, 1), 0);
	nbio_close(&in);
	close(fd[0]);
}

static void test_reader_gone(void **state)
{
	struct nbio n;
	int fd[2];

	(void)state;
	assert_int_equal(pipe(fd), 0);
	close(fd[0]);
	n = nbio_shared(fd[1], O_WRONLY);
	assert_int_equal(nbio_write(&n, "a", 1), -EPIPE);
	nbio_close(&n);
	close(fd[1]);
}

/* The ways for a pipe that cannot be opened again, for example that of another user. */
static void test_pipe_as_it_is(void **state)
{
	int how, fd[2];

	(void)state;
	for (how = NBIO_NOWAIT; how <= NBIO_POLL; how++) {
		struct nbio n, in;
		char c;

		assert_int_equal(pipe(fd), 0);
		n = (struct nbio){ fd[1], false, how };
		in = (struct nbio){ fd[0], false, how };
		assert_int_equal(nbio_read(&in, &c, 1), -EAGAIN);
		assert_true(fill(&n, 1000) > 60000);
		assert_int_equal(nbio_read(&in, &c, 1), 1);
		nbio_close(&n);
		assert_true(fcntl(fd[1], F_GETFL) >= 0); /* nbio_close() must not close it */
		close(fd[0]);
		close(fd[1]);
	}
}

static void test_socket(void **state)
{
	struct nbio n;
	int fd[2];
	char c;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	n = nbio_shared(fd[0], O_WRONLY);
	assert_int_equal(nbio_read(&n, &c, 1), -EAGAIN);
	assert_true(fill(&n, 1024) > 0);
	assert_false(fcntl(fd[0], F_GETFL) & O_NONBLOCK);
	close(fd[1]);
	assert_int_equal(nbio_write(&n, "a", 1), -EPIPE);
	close(fd[0]);
}

/* Writing continues at the shell's position in the file. */
static void test_file(void **state)
{
	char path[] = "/tmp/test_nbioXXXXXX", text[8] = "";
	int fd = mkstemp(path);
	struct nbio n;

	(void)state;
	assert_int_equal(write(fd, "ab", 2), 2);
	n = nbio_shared(fd, O_WRONLY);
	assert_int_equal(nbio_write(&n, "cd", 2), 2);
	assert_int_equal(write(fd, "ef", 2), 2);
	assert_int_equal(pread(fd, text, 7, 0), 6);
	assert_string_equal(text, "abcdef");
	nbio_close(&n);
	close(fd);
	unlink(path);
}

static void test_terminal(void **state)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), tty;
	struct nbio n;
	char name[64];

	(void)state;
	assert_true(master >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	assert_int_equal(ptsname_r(master, name, sizeof(name)), 0);
	tty = open(name, O_RDWR | O_NOCTTY);
	n = nbio_shared(tty, O_WRONLY);
	assert_true(n.owned && n.fd != tty);
	assert_true(fill(&n, 1024) > 0);
	nbio_close(&n);
	empty(master);
	n = (struct nbio){ tty, false, NBIO_NOWAIT }; /* which terminals do not support */
	assert_true(fill(&n, 1024) > 0);
	assert_int_equal(n.how, NBIO_POLL);
	/* Opening the master end again would make a new pty. */
	n = nbio_shared(master, O_RDONLY);
	assert_int_equal(n.fd, master);
	close(tty);
	close(master);
}

/* Processors that are held */

static void on_kick(int sig)
{
	(void)sig;
}

struct held_thread {
	int wanted, fd;
	enum hold got;
};

static void *hold_thread(void *arg)
{
	struct held_thread *h = arg;

	hold_allow(&h->wanted, SIGUSR1);
	h->got = hold_until(h->fd, POLLOUT, 60000);
	return NULL;
}

/* The kick may come before the wait or during it. */
static void test_kick_ends_hold(void **state)
{
	struct sigaction sa = { .sa_handler = on_kick };
	pthread_t t;
	int fd[2], i;

	(void)state;
	sigaction(SIGUSR1, &sa, NULL);
	assert_int_equal(pipe2(fd, O_NONBLOCK), 0);
	while (write(fd[1], zeros, sizeof(zeros)) > 0)
		;
	for (i = 0; i < 300; i++) {
		struct held_thread h = { .fd = fd[1] };

		assert_int_equal(pthread_create(&t, NULL, hold_thread, &h), 0);
		usleep((useconds_t)i);
		__atomic_store_n(&h.wanted, 1, __ATOMIC_SEQ_CST);
		pthread_kill(t, SIGUSR1);
		pthread_join(t, NULL);
		assert_int_equal(h.got, HOLD_OVER);
	}
	close(fd[0]);
	close(fd[1]);
}

static void test_hold(void **state)
{
	uint64_t start = evloop_now_ns();
	int wanted = 0, fd[2];

	(void)state;
	assert_int_equal(pipe2(fd, O_NONBLOCK), 0);
	/* this thread must not be held */
	assert_int_equal(hold_until(fd[0], POLLIN, 60000), HOLD_OVER);
	hold_allow(&wanted, SIGUSR1);
	assert_int_equal(hold_until(fd[1], POLLOUT, 60000), HOLD_READY);
	assert_int_equal(hold_until(fd[0], POLLIN, 20), HOLD_TIME);
	assert_true(evloop_now_ns() - start >= 20000000);
	wanted = 1;
	assert_int_equal(hold_until(fd[0], POLLIN, 60000), HOLD_OVER);
	hold_allow(NULL, 0);
	close(fd[0]);
	close(fd[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pipe),	      cmocka_unit_test(test_reader_gone),
		cmocka_unit_test(test_pipe_as_it_is), cmocka_unit_test(test_socket),
		cmocka_unit_test(test_file),	      cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_hold),	      cmocka_unit_test(test_kick_ends_hold),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
