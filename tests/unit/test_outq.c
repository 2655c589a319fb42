/* SPDX-License-Identifier: BSD-2-Clause */
/* Output whose reader reads, is slow, stops, comes back or goes away. The vCPU and the main loop
 * are threads, as in a machine. */
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
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "devices/backend/outq.h"
#include "vmm/core/hold.h"

#define PIECE 1024u /* a whole number of pieces fills a page of a pipe */

struct world {
	struct evloop *loop;
	pthread_t loop_thread, vcpu;
	struct outq q;
	int reader, wanted;
	size_t total;	   /* to be printed */
	size_t printed;	   /* atomic */
	size_t got;	   /* bytes that were read and are correct */
	unsigned pause_us; /* pause of the reader between two pieces */
	unsigned rooms;	   /* atomic: calls of room() */
};

static void on_kick(int sig)
{
	(void)sig;
}

/* The byte at this position of the output; neighbouring bytes differ. */
static char text_at(size_t i)
{
	return (char)('!' + i % 89);
}

static void *loop_main(void *arg)
{
	evloop_run(arg);
	return NULL;
}

static void on_room(void *arg)
{
	__atomic_add_fetch(&((struct world *)arg)->rooms, 1, __ATOMIC_RELAXED);
}

static int setup(void **state)
{
	struct sigaction sa = { .sa_handler = on_kick };
	struct world *w = calloc(1, sizeof(*w));
	int fd[2];

	sigaction(SIGUSR1, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	w->loop = evloop_new();
	if (!w->loop || pipe2(fd, O_CLOEXEC) < 0 || outq_init(&w->q, w->loop, on_room, w) < 0)
		return -1;
	w->reader = fd[0];
	outq_attach(&w->q, nbio_own(fd[1]));
	*state = w;
	return 0;
}

static void loop_start(struct world *w)
{
	assert_int_equal(pthread_create(&w->loop_thread, NULL, loop_main, w->loop), 0);
}

static void loop_end(struct world *w)
{
	evloop_stop(w->loop, 0);
	pthread_join(w->loop_thread, NULL);
}

static int teardown(void **state)
{
	struct world *w = *state;

	if (w->reader >= 0)
		close(w->reader);
	outq_destroy(&w->q);
	evloop_free(w->loop);
	free(w);
	return 0;
}

static void print(struct world *w, size_t len)
{
	char piece[PIECE];
	size_t i;

	for (i = 0; i < len; i++)
		piece[i] = text_at(w->printed + i);
	outq_write(&w->q, piece, len);
	__atomic_add_fetch(&w->printed, len, __ATOMIC_RELAXED);
}

static void *vcpu_main(void *arg)
{
	struct world *w = arg;

	hold_allow(&w->wanted, SIGUSR1);
	while (w->printed < w->total) {
		print(w, PIECE);
		outq_hold(&w->q);
	}
	return NULL;
}

static void vcpu_start(struct world *w, size_t total)
{
	w->total = total;
	assert_int_equal(pthread_create(&w->vcpu, NULL, vcpu_main, w), 0);
}

/* Reads and checks the next bytes, until nothing has come for so many milliseconds. */
static void read_on(struct world *w, size_t until, int ms)
{
	struct pollfd p = { .fd = w->reader, .events = POLLIN };
	char buf[4096];
	ssize_t n, i;

	while (w->got < until && poll(&p, 1, ms) == 1) {
		size_t want = until - w->got < sizeof(buf) ? until - w->got : sizeof(buf);

		n = read(w->reader, buf, want);
		assert_true(n > 0);
		for (i = 0; i < n; i++)
			assert_int_equal(buf[i], text_at(w->got + (size_t)i));
		w->got += (size_t)n;
		if (w->pause_us)
			usleep(w->pause_us);
	}
}

static void test_reader_that_reads(void **state)
{
	struct world *w = *state;

	loop_start(w);
	vcpu_start(w, 10 * 1024 * PIECE);
	read_on(w, w->total, 10000);
	pthread_join(w->vcpu, NULL);
	loop_end(w);
	assert_int_equal(w->got, w->total);
}

/* A reader that is fifty times slower than possible: the guest is slowed down, and nothing is lost.
 */
static void test_slow_reader(void **state)
{
	struct world *w = *state;

	w->pause_us = 2000;
	loop_start(w);
	vcpu_start(w, 1000 * PIECE);
	read_on(w, 500 * PIECE, 10000);
	assert_true(__atomic_load_n(&w->printed, __ATOMIC_RELAXED) < 800 * PIECE);
	w->pause_us = 0;
	read_on(w, w->total, 10000);
	pthread_join(w->vcpu, NULL);
	loop_end(w);
	assert_int_equal(w->got, w->total);
}

/* Reads `n` bytes again and again with a pause between, for some time. */
static void read_slowly(struct world *w, size_t piece, unsigned pause, unsigned ms)
{
	uint64_t end = evloop_now_ns() + ms * 1000000ull;

	while (evloop_now_ns() < end) {
		read_on(w, w->got + piece, 0);
		usleep(pause * 1000);
	}
}

static bool is_stalled(struct world *w)
{
	bool stalled;

	pthread_mutex_lock(&w->q.lock);
	stalled = w->q.stalled || w->q.dropped;
	pthread_mutex_unlock(&w->q.lock);
	return stalled;
}

static void read_rest(struct world *w)
{
	read_on(w, w->total, 10000);
	pthread_join(w->vcpu, NULL);
	loop_end(w);
	assert_int_equal(w->got, w->total);
}

/* The loop writes as much as there is room for before the held vCPU does. */
static void test_steady_reader(void **state)
{
	struct world *w = *state;

	loop_start(w);
	vcpu_start(w, 1000 * PIECE);
	read_slowly(w, 288, 25, 3 * OUTQ_PATIENCE_MS);
	assert_false(is_stalled(w));
	assert_true(__atomic_load_n(&w->printed, __ATOMIC_RELAXED) < 800 * PIECE);
	read_rest(w);
}

/* The reader does not free a page of the pipe in OUTQ_PATIENCE_MS, but it reads. */
static void test_reader_of_little(void **state)
{
	struct world *w = *state;

	loop_start(w);
	vcpu_start(w, 1000 * PIECE);
	read_slowly(w, 50, 100, OUTQ_PATIENCE_MS + OUTQ_PATIENCE_MS / 2);
	assert_false(is_stalled(w));
	assert_true(__atomic_load_n(&w->printed, __ATOMIC_RELAXED) < 800 * PIECE);
	read_rest(w);
}

/* A socket reports room only when few bytes are unread. */
static void test_reader_of_socket(void **state)
{
	struct world *w = *state;
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	outq_detach(&w->q);
	outq_attach(&w->q, nbio_own(fd[1]));
	close(w->reader);
	w->reader = fd[0];
	loop_start(w);
	vcpu_start(w, 1000 * PIECE);
	read_slowly(w, 512, 100, OUTQ_PATIENCE_MS + OUTQ_PATIENCE_MS / 2);
	assert_false(is_stalled(w));
	assert_true(__atomic_load_n(&w->printed, __ATOMIC_RELAXED) < 800 * PIECE);
	read_rest(w);
}

/* The guest is held once for some time, and goes on. Later the reader is told what it missed. */
static void test_reader_that_stops(void **state)
{
	struct world *w = *state;
	uint64_t start = evloop_now_ns(), ms;
	char text[128], want[96];
	size_t kept;

	loop_start(w);
	vcpu_start(w, 3000 * PIECE);
	pthread_join(w->vcpu, NULL);
	ms = (evloop_now_ns() - start) / 1000000;
	assert_true(ms >= OUTQ_PATIENCE_MS);
	assert_true(ms < 2 * OUTQ_PATIENCE_MS);
	kept = 65536 + OUTQ_SIZE;
	read_on(w, kept, 2000);
	assert_int_equal(w->got, kept);
	snprintf(want, sizeof(want),
		 "\r\n[minivmm: %zu bytes were dropped here, nobody read them]\r\n",
		 w->total - kept);
	memset(text, 0, sizeof(text));
	assert_int_equal(read(w->reader, text, strlen(want)), strlen(want));
	assert_string_equal(text, want);
	/* From here on nothing must be missing. */
	w->got = w->printed;
	vcpu_start(w, w->printed + 1000 * PIECE);
	read_on(w, w->total, 10000);
	pthread_join(w->vcpu, NULL);
	loop_end(w);
	assert_int_equal(w->got, w->total);
}

/* A pause releases the vCPU, and it is not held again before it has paused. */
static void test_kick(void **state)
{
	struct world *w = *state;
	uint64_t start;

	loop_start(w);
	vcpu_start(w, 5000 * PIECE);
	while (__atomic_load_n(&w->printed, __ATOMIC_RELAXED) < 65536 + OUTQ_BUSY)
		usleep(1000);
	start = evloop_now_ns();
	__atomic_store_n(&w->wanted, 1, __ATOMIC_SEQ_CST);
	pthread_kill(w->vcpu, SIGUSR1);
	pthread_join(w->vcpu, NULL);
	assert_true(evloop_now_ns() - start < OUTQ_PATIENCE_MS * 1000000ull / 2);
	assert_int_equal(w->printed, w->total);
	loop_end(w);
}

/* Without a running loop, and on a thread that must not be held. */
static void test_never_waits(void **state)
{
	struct world *w = *state;

	while (w->printed < 2000 * PIECE) {
		print(w, PIECE);
		outq_hold(&w->q);
	}
	assert_int_equal(w->q.used, OUTQ_SIZE);
	assert_int_equal(w->q.used + w->q.dropped + 65536, w->printed);
}

static void stop_loop(void *arg)
{
	evloop_stop(arg, 0);
}

static void turn(struct world *w, unsigned ms)
{
	struct ev_timer *t = evloop_add_timer(w->loop, stop_loop, w->loop);

	ev_timer_set(t, evloop_now_ns() + ms * 1000000ull);
	evloop_run(w->loop);
	evloop_del_timer(t);
}

static void test_ask(void **state)
{
	struct world *w = *state;

	assert_true(outq_ask(&w->q));
	while (outq_ask(&w->q))
		print(w, PIECE);
	assert_in_range(w->printed, 65536 + OUTQ_BUSY, 65536 + OUTQ_BUSY + 2 * PIECE);
	turn(w, 50);
	assert_int_equal(w->rooms, 0);
	read_on(w, 65536, 0);
	turn(w, 50);
	assert_int_equal(w->rooms, 1);
	while (outq_ask(&w->q))
		print(w, PIECE);
	turn(w, OUTQ_PATIENCE_MS + 100);
	assert_int_equal(w->rooms, 2); /* the reader is regarded as dead */
	while (w->printed < 1000 * PIECE) {
		assert_true(outq_ask(&w->q));
		print(w, PIECE);
	}
	assert_true(w->q.dropped > 0);
}

static void test_ask_reader_of_little(void **state)
{
	struct world *w = *state;
	uint64_t end = evloop_now_ns() + OUTQ_PATIENCE_MS * 1500000ull;

	while (outq_ask(&w->q))
		print(w, PIECE);
	while (evloop_now_ns() < end) {
		read_on(w, w->got + 50, 0);
		turn(w, 100);
	}
	assert_int_equal(w->rooms, 0);
	assert_false(w->q.stalled);
	turn(w, OUTQ_PATIENCE_MS + 200);
	assert_int_equal(w->rooms, 1);
	assert_true(w->q.stalled);
}

/* Nobody has opened the pty yet: the guest is not slowed down until somebody reads. */
static void test_no_reader_yet(void **state)
{
	struct world *w = *state;

	outq_expect_nobody(&w->q);
	while (w->printed < 65536 + 3 * OUTQ_BUSY) {
		assert_true(outq_ask(&w->q));
		print(w, PIECE);
	}
	read_on(w, 65536, 0);
	turn(w, 50);
	assert_int_equal(w->printed - w->got, 65536 + 2 * OUTQ_BUSY);
	assert_false(outq_ask(&w->q));
}

/* The loop must not spin if the reader has left. Writing is tried again each time, because a FIFO
 * may get another reader. */
static void test_reader_that_goes(void **state)
{
	struct world *w = *state;

	while (w->printed < 100 * PIECE)
		print(w, PIECE);
	turn(w, 20);
	assert_non_null(w->q.source);
	close(w->reader);
	w->reader = -1;
	turn(w, 20);
	assert_null(w->q.source);
	assert_null(w->q.buf);
	assert_int_equal(w->q.used, 0);
	print(w, PIECE);
	assert_int_equal(w->q.used, 0);
}

static void test_detach(void **state)
{
	struct world *w = *state;
	int fd[2];

	while (outq_ask(&w->q))
		print(w, PIECE);
	outq_detach(&w->q);
	assert_int_equal(w->rooms, 1);
	print(w, PIECE); /* to nobody */
	assert_int_equal(w->q.used, 0);
	turn(w, 20);
	assert_int_equal(pipe(fd), 0);
	outq_attach(&w->q, nbio_own(fd[1]));
	close(w->reader);
	w->reader = fd[0];
	w->got = w->printed;
	print(w, PIECE);
	read_on(w, w->printed, 0);
	assert_int_equal(w->got, w->printed);
}

static void *late_reader(void *arg)
{
	usleep(100000);
	read_on(arg, ((struct world *)arg)->printed, 1000);
	return NULL;
}

/* Bytes that are kept at the end are still delivered. */
static void test_last_words(void **state)
{
	struct world *w = *state;
	pthread_t t;

	while (w->printed < 200 * PIECE)
		print(w, PIECE);
	assert_int_equal(pthread_create(&t, NULL, late_reader, w), 0);
	outq_destroy(&w->q);
	pthread_join(t, NULL);
	assert_int_equal(w->got, w->printed);
	assert_int_equal(outq_init(&w->q, w->loop, NULL, NULL), 0);
}

static size_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (size_t)st.st_size : 0;
}

static void test_rotation(void **state)
{
	char path[] = "/tmp/test_outqXXXXXX", old[64], c;
	struct world *w = *state;
	int fd = mkstemp(path), i;

	snprintf(old, sizeof(old), "%s.1", path);
	outq_detach(&w->q);
	outq_attach(&w->q, nbio_own(fd));
	outq_limit(&w->q, path, 10 * PIECE);
	for (i = 0; i < 25; i++)
		print(w, PIECE);
	assert_int_equal(size_of(path), 5 * PIECE);
	assert_int_equal(size_of(old), 10 * PIECE);
	fd = open(old, O_RDONLY);
	assert_int_equal(read(fd, &c, 1), 1);
	assert_int_equal(c, text_at(10 * PIECE));
	close(fd);
	/* A file is not renamed over something that is not a file, but the size limit still holds.
	 */
	unlink(old);
	assert_int_equal(mkdir(old, 0700), 0);
	for (i = 0; i < 8; i++)
		print(w, PIECE);
	assert_int_equal(size_of(path), 3 * PIECE);
	rmdir(old);
	unlink(path);
}

/* Runs in its own process, whose files cannot become larger than 4 KiB. */
static void print_into(const char *path, int warnings)
{
	struct rlimit small = { 4096, 4096 };
	struct evloop *loop = evloop_new();
	char text[3000];
	struct outq q;

	memset(text, 'x', sizeof(text));
	dup2(warnings, STDERR_FILENO);
	signal(SIGXFSZ, SIG_IGN);
	if (!loop || setrlimit(RLIMIT_FSIZE, &small) < 0 || outq_init(&q, loop, NULL, NULL) < 0)
		_exit(1);
	outq_attach(&q, nbio_own(open(path, O_WRONLY)));
	outq_limit(&q, path, 0);
	for (unsigned i = 0; i < 4; i++)
		outq_write(&q, text, sizeof(text));
	outq_destroy(&q);
	evloop_free(loop);
	_exit(0);
}

/* If writing to a file fails, this is reported once. */
static void test_full_file(void **state)
{
	char path[] = "/tmp/outq-XXXXXX", text[512] = "";
	int fd = mkstemp(path), fds[2], status;
	struct stat st;
	pid_t pid;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		print_into(path, fds[1]);
	close(fds[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(read(fds[0], text, sizeof(text) - 1) > 0);
	assert_non_null(strstr(text, path));
	assert_non_null(strstr(text, "File too large: what the guest prints is lost from here on"));
	assert_null(strchr(strchr(text, '\n') + 1, '\n'));
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 4096);
	close(fd);
	close(fds[0]);
	unlink(path);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_reader_that_reads), T(test_slow_reader),
		T(test_reader_that_stops), T(test_kick),
		T(test_never_waits),	   T(test_ask),
		T(test_reader_that_goes),  T(test_detach),
		T(test_last_words),	   T(test_rotation),
		T(test_steady_reader),	   T(test_reader_of_little),
		T(test_reader_of_socket),  T(test_ask_reader_of_little),
		T(test_no_reader_yet),	   cmocka_unit_test(test_full_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
