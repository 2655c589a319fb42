/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "devices/backend/chardev.h"
#include "devices/backend/unix_listener.h"
#include "devices/chipset/debugcon.h"
#include "devices/chipset/serial.h"
#include "vmm/core/evloop.h"
#include "vmm/core/hold.h"

static bool line;
static struct bus *pio;
static struct irq_table *irq;
static struct serial s;

static int set_line(void *o, uint32_t gsi, bool level)
{
	(void)o;
	assert_int_equal(gsi, 4);
	line = level;
	return 0;
}

static const struct irq_backend_ops ops = { .set_line = set_line };

static int setup(void **state)
{
	(void)state;
	line = false;
	pio = bus_new(0x10000);
	irq = irq_table_new(&ops, NULL, 64);
	return serial_init(&s, pio, irq, SERIAL_COM1, 4);
}

static int teardown(void **state)
{
	(void)state;
	serial_destroy(&s, pio);
	irq_table_free(irq);
	bus_free(pio);
	return 0;
}

static unsigned in(unsigned reg)
{
	return (unsigned)bus_read(pio, SERIAL_COM1 + reg, 1);
}

static void out(unsigned reg, unsigned v)
{
	bus_write(pio, SERIAL_COM1 + reg, 1, v);
}

static void test_registers(void **state)
{
	(void)state;
	assert_int_equal(in(5), 0x60);
	assert_int_equal(in(6), 0xb0);
	assert_int_equal(in(2), 1);
	out(7, 0xaa);
	assert_int_equal(in(7), 0xaa);
	out(3, 0x83);
	out(0, 1);
	out(1, 2);
	assert_int_equal(in(0), 1);
	assert_int_equal(in(1), 2);
	out(3, 3);
	assert_int_equal(in(1), 0);
	out(1, 0xff);
	assert_int_equal(in(1), 0x0f);
	out(2, 1);
	assert_int_equal(in(2) & 0xc0, 0xc0);
}

static void test_receive(void **state)
{
	(void)state;
	assert_int_equal(serial_room(&s), 1);
	out(2, 0x41); /* FIFO, trigger at 4 */
	assert_int_equal(serial_room(&s), 16);
	out(1, 1);
	serial_input(&s, (const uint8_t *)"ab", 2);
	assert_true(line);
	assert_int_equal(in(2) & 0x0f, 0x0c); /* below the trigger level: time-out interrupt */
	serial_input(&s, (const uint8_t *)"cd", 2);
	assert_int_equal(in(2) & 0x0f, 4);
	assert_int_equal(in(5), 0x61);
	assert_int_equal(in(0), 'a');
	assert_int_equal(in(0), 'b');
	assert_int_equal(in(0), 'c');
	assert_true(line);
	assert_int_equal(in(0), 'd');
	assert_false(line);
	assert_int_equal(in(0), 0);
	serial_input(&s, (const uint8_t *)"0123456789abcdefX", 17);
	assert_int_equal(in(5), 0x63); /* overrun */
	assert_int_equal(in(5), 0x61);
	out(2, 3);
	assert_int_equal(in(5), 0x60);
}

static void test_transmit_irq(void **state)
{
	(void)state;
	out(1, 2);
	assert_true(line);
	assert_int_equal(in(2), 2);
	assert_false(line);
	out(0, 'x');
	assert_true(line);
	out(1, 0);
	assert_false(line);
}

static void test_loopback(void **state)
{
	(void)state;
	out(4, 0x1a);
	assert_int_equal(in(6) & 0xf0, 0x90);
	out(0, 'q');
	assert_int_equal(in(0), 'q');
	assert_int_equal(serial_room(&s), 0);
	out(1, 8);
	in(6);
	out(4, 0x1b);
	assert_true(line);
	assert_int_equal(in(2), 0);
	assert_int_equal(in(6) & 0x0f, 2); /* DSR changed */
	assert_false(line);
}

/* Back ends */

static struct evloop *loop;
static bool quit;

static void on_quit(void *o)
{
	(void)o;
	quit = true;
}

static void stop_loop(void *arg)
{
	evloop_stop(arg, 0);
}

/* Runs the loop for a short time. */
static void turn(void)
{
	struct ev_timer *t = evloop_add_timer(loop, stop_loop, loop);

	ev_timer_set(t, evloop_now_ns() + 20000000);
	evloop_run(loop);
	evloop_del_timer(t);
}

static void test_unix(void **state)
{
	struct chardev_front front = { serial_room, serial_input, on_quit, NULL, &s, NULL };
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct error err = { 0 };
	char spec[128], buf[8];
	int fd;

	(void)state;
	loop = evloop_new();
	snprintf(sa.sun_path, sizeof(sa.sun_path), "/tmp/test_serial.%d", getpid());
	snprintf(spec, sizeof(spec), "unix:%s", sa.sun_path);
	s.back = chardev_open(loop, spec, &front, &err);
	assert_non_null(s.back);
	assert_null(chardev_open(loop, spec, &front, &err)); /* in use */
	/* no client is connected, so it is dropped */
	out(0, '-');
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	turn();
	out(0, 'h');
	out(0, 'i');
	assert_int_equal(recv(fd, buf, 2, MSG_WAITALL), 2);
	assert_memory_equal(buf, "hi", 2);
	/* Bytes that do not fit wait in the socket until the guest reads. */
	out(2, 1);
	assert_int_equal(write(fd, "0123456789abcdefXYZ", 19), 19);
	close(fd);
	turn();
	assert_int_equal(s.count, 16);
	for (fd = 0; fd < 16; fd++)
		in(0);
	turn();
	assert_int_equal(in(0), 'X');
	assert_int_equal(in(0), 'Y');
	assert_int_equal(in(0), 'Z');
	turn();
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	turn();
	out(0, '2');
	assert_int_equal(read(fd, buf, 1), 1);
	close(fd);
	chardev_close(s.back);
	s.back = NULL;
	assert_int_equal(access(sa.sun_path, F_OK), -1);
	evloop_free(loop);
}

/* A listener that accepts nobody, and more clients than its queue takes. */
/* QEMU's words behind the path are taken; a comma in a path is written twice. */
static void test_unix_words(void **state)
{
	static const struct {
		const char *arg, *path, *bad;
	} row[] = {
		{ "/a", "/a", NULL },
		{ "/a,server=on,wait=off", "/a", NULL },
		{ "/a,server,nowait", "/a", NULL },
		{ "/a,,b,server", "/a,b", NULL },
		{ "/a,wait=on", NULL, "has no key wait=on" },
		{ "/a,b", NULL, "has no key b" },
		{ "", NULL, "missing" },
		{ ",server", NULL, "missing" },
	};
	unsigned i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(row); i++) {
		struct error err = { 0 };
		char *path = unix_listener_path(row[i].arg, &err);

		if (row[i].path)
			assert_string_equal(path, row[i].path);
		else
			assert_null(path);
		if (row[i].bad && !strstr(err.text, row[i].bad))
			fail_msg("'%s' does not say '%s'", err.text, row[i].bad);
		free(path);
	}
}

static void test_unix_full_queue(void **state)
{
	struct chardev_front front = { serial_room, serial_input, on_quit, NULL, &s, NULL };
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int other = socket(AF_UNIX, SOCK_STREAM, 0), fd[64];
	struct error err = { 0 };
	char spec[128];
	unsigned n;

	(void)state;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "/tmp/test_serial.%d", getpid());
	snprintf(spec, sizeof(spec), "unix:%s", sa.sun_path);
	assert_int_equal(bind(other, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(other, 0), 0);
	for (n = 0; n < 64; n++) {
		fd[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
		if (connect(fd[n], (struct sockaddr *)&sa, sizeof(sa)) < 0)
			break;
	}
	assert_true(n < 64);
	assert_int_equal(errno, EAGAIN);
	loop = evloop_new();
	alarm(60); /* ends the test if it hangs */
	assert_null(chardev_open(loop, spec, &front, &err));
	alarm(0);
	assert_non_null(strstr(err.text, "another process listens on this socket"));
	assert_int_equal(access(sa.sun_path, F_OK), 0);
	do
		close(fd[n]);
	while (n--);
	close(other);
	unlink(sa.sun_path);
	evloop_free(loop);
}

static uint64_t cpu_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* If no descriptor is free, the loop sleeps. The client is accepted when one is free again. */
static void test_unix_no_descriptor(void **state)
{
	struct chardev_front front = { serial_room, serial_input, on_quit, NULL, &s, NULL };
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), lowest;
	struct rlimit before, few;
	struct error err = { 0 };
	char spec[128];
	uint64_t start;
	unsigned i;

	(void)state;
	loop = evloop_new();
	snprintf(sa.sun_path, sizeof(sa.sun_path), "/tmp/test_serial.%d", getpid());
	snprintf(spec, sizeof(spec), "unix:%s", sa.sun_path);
	s.back = chardev_open(loop, spec, &front, &err);
	assert_non_null(s.back);
	turn(); /* now the loop has opened all descriptors that it needs */
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(write(fd, "h", 1), 1);
	lowest = dup(fd);
	close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = (rlim_t)lowest;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	start = cpu_ms();
	for (i = 0; i < 25; i++)
		turn();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_true(cpu_ms() - start < 50);
	for (i = 0; i < 500 && !s.count; i++)
		turn();
	assert_int_equal(in(0), 'h');
	close(fd);
	chardev_close(s.back);
	s.back = NULL;
	evloop_free(loop);
}

/* Another program has replaced the socket by its own, which must stay. */
static void test_unix_replaced(void **state)
{
	struct chardev_front front = { serial_room, serial_input, on_quit, NULL, &s, NULL };
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int other = socket(AF_UNIX, SOCK_STREAM, 0);
	struct error err = { 0 };
	struct chardev *c;
	char spec[128];

	(void)state;
	loop = evloop_new();
	snprintf(sa.sun_path, sizeof(sa.sun_path), "/tmp/test_serial.%d", getpid());
	snprintf(spec, sizeof(spec), "unix:%s", sa.sun_path);
	c = chardev_open(loop, spec, &front, &err);
	assert_non_null(c);
	/* The open file keeps its inode from being used again. */
	snprintf(spec, sizeof(spec), "%s.old", sa.sun_path);
	assert_int_equal(rename(sa.sun_path, spec), 0);
	assert_int_equal(bind(other, (struct sockaddr *)&sa, sizeof(sa)), 0);
	chardev_close(c);
	assert_int_equal(access(sa.sun_path, F_OK), 0);
	close(other);
	unlink(sa.sun_path);
	unlink(spec);
	evloop_free(loop);
}

static void test_file(void **state)
{
	struct chardev_front front = { serial_room, serial_input, on_quit, NULL, &s, NULL };
	char path[] = "/tmp/test_serialXXXXXX", spec[64], buf[4] = "";
	struct error err = { 0 };
	int fd = mkstemp(path);

	(void)state;
	loop = evloop_new();
	snprintf(spec, sizeof(spec), "file:%s", path);
	s.back = chardev_open(loop, spec, &front, &err);
	assert_non_null(s.back);
	out(0, 'a');
	out(0, 'b');
	assert_int_equal(read(fd, buf, 4), 2);
	assert_memory_equal(buf, "ab", 2);
	chardev_close(s.back);
	assert_null(chardev_open(loop, "file:/nonexistent/x", &front, &err));
	assert_null(chardev_open(loop, "carrier:pigeon", &front, &err));
	assert_int_equal(chardev_check("file:/nonexistent/x", NULL, &err), -ENOENT);
	assert_int_equal(chardev_check("unix:/nonexistent/x", NULL, &err), -ENOENT);
	assert_int_equal(chardev_check("stdio", NULL, &err), 0);
	assert_true(chardev_spec_ok("pty"));
	assert_false(chardev_spec_ok("pty:x"));
	assert_false(chardev_spec_ok("file:"));
	s.back = chardev_open(loop, "null", &front, &err);
	out(0, 'a');
	chardev_close(s.back);
	s.back = NULL;
	close(fd);
	unlink(path);
	evloop_free(loop);
}

/* A file with a maximal size, also for the debug console. */
static void test_file_max(void **state)
{
	struct chardev_front front = { serial_room, serial_input, on_quit, NULL, &s, NULL };
	char dir[] = "/tmp/test_serialXXXXXX", spec[128], path[64], old[64];
	struct error err = { 0 };
	struct debugcon dbg;
	struct stat st;
	unsigned i;

	(void)state;
	assert_non_null(mkdtemp(dir));
	loop = evloop_new();
	snprintf(path, sizeof(path), "%s/log", dir);
	snprintf(old, sizeof(old), "%s/log.1", dir);
	snprintf(spec, sizeof(spec), "file:%s,max=64K", path);
	assert_true(chardev_spec_ok(spec));
	assert_true(chardev_spec_ok("file:a,max=1M"));
	assert_true(chardev_spec_ok("file:a,b")); /* this is an ordinary file name */
	assert_false(chardev_spec_ok("file:a,max=63K"));
	assert_false(chardev_spec_ok("file:a,max=99999999999T"));
	assert_false(chardev_spec_ok("file:a,max=-1"));
	assert_false(chardev_spec_ok("file:a,max="));
	assert_false(chardev_spec_ok("file:a,max=1 "));
	assert_false(chardev_spec_ok("file:a,max=65536 "));
	assert_false(chardev_spec_ok("file:a,max=64K,max=64K"));
	assert_false(chardev_spec_ok("file:,max=1M"));
	s.back = chardev_open(loop, spec, &front, &err);
	assert_non_null(s.back);
	for (i = 0; i < 70000; i++)
		out(0, 'a');
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 70000 - 65536);
	assert_int_equal(stat(old, &st), 0);
	assert_int_equal(st.st_size, 65536);
	chardev_close(s.back);
	s.back = NULL;
	assert_int_equal(debugcon_init(&dbg, pio, loop, spec + 5, NULL, &err), 0);
	assert_int_equal(bus_read(pio, DEBUGCON_PORT, 1), 0xe9);
	for (i = 0; i < 300; i++)
		bus_write(pio, DEBUGCON_PORT, 1, 'x');
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 256);
	bus_write(pio, DEBUGCON_PORT, 1, '\n');
	bus_write(pio, DEBUGCON_PORT, 1, 'y');
	debugcon_destroy(&dbg, pio);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 302);
	/* The target of the rename is not a regular file; or the source is not. */
	unlink(old);
	assert_int_equal(mkfifo(old, 0600), 0);
	assert_int_equal(chardev_check(spec, NULL, &err), -EINVAL);
	assert_null(chardev_open(loop, spec, &front, &err));
	assert_non_null(strstr(err.text, "log.1 is no file"));
	assert_null(chardev_open(loop, "file:/dev/null,max=1M", &front, &err));
	assert_int_equal(debugcon_init(&dbg, pio, loop, "/nonexistent/x", NULL, &err), -ENOENT);
	evloop_free(loop);
	unlink(old);
	unlink(path);
	rmdir(dir);
}

/* Standard input and output, as a shell gives them */

static int kept[2], in_pipe[2], out_pipe[2];

static void stdio_begin(int in_fd, int out_fd)
{
	fflush(stdout);
	kept[0] = dup(0);
	kept[1] = dup(1);
	dup2(in_fd, 0);
	dup2(out_fd, 1);
}

static void stdio_end(void)
{
	dup2(kept[0], 0);
	dup2(kept[1], 1);
	close(kept[0]);
	close(kept[1]);
}

static struct ev_timer *ticker;
static int ticks, wanted;

static void tick(void *arg)
{
	(void)arg;
	__atomic_add_fetch(&ticks, 1, __ATOMIC_RELAXED);
	ev_timer_set(ticker, evloop_now_ns() + 1000000);
}

static void *loop_main(void *arg)
{
	evloop_run(arg);
	return NULL;
}

static void on_kick(int sig)
{
	(void)sig;
}

/* A guest that executes only `rep outsb`; each one is answered as a whole. */
static void *vcpu_main(void *arg)
{
	(void)arg;
	hold_allow(&wanted, SIGUSR1);
	while (!__atomic_load_n(&wanted, __ATOMIC_SEQ_CST))
		for (int i = 0; i < 4096; i++)
			out(0, 'x');
	return NULL;
}

static void wait_for_ticks(int n)
{
	n += __atomic_load_n(&ticks, __ATOMIC_RELAXED);
	while (__atomic_load_n(&ticks, __ATOMIC_RELAXED) < n)
		usleep(1000);
}

/* Nobody reads the guest's output on standard output, and somebody types. The main loop must go on,
 * and a pause must release the vCPU from its string instruction. This once hung for ever. */
static void test_stalled_stdout(void **state)
{
	struct chardev_front front = { serial_room, serial_input, on_quit, NULL, &s, NULL };
	struct sigaction sa = { .sa_handler = on_kick };
	pthread_t loop_thread, vcpu;
	struct error err = { 0 };

	(void)state;
	sigaction(SIGUSR1, &sa, NULL);
	assert_int_equal(pipe(in_pipe), 0);
	assert_int_equal(pipe(out_pipe), 0);
	stdio_begin(in_pipe[0], out_pipe[1]);
	loop = evloop_new();
	wanted = 0;
	s.back = chardev_open(loop, "stdio", &front, &err);
	ticker = evloop_add_timer(loop, tick, NULL);
	ev_timer_set(ticker, 1);
	pthread_create(&loop_thread, NULL, loop_main, loop);
	pthread_create(&vcpu, NULL, vcpu_main, NULL);
	usleep(100000); /* the pipe is full now */
	assert_int_equal(write(in_pipe[1], "key", 3), 3);
	wait_for_ticks(50);
	__atomic_store_n(&wanted, 1, __ATOMIC_SEQ_CST);
	pthread_kill(vcpu, SIGUSR1);
	pthread_join(vcpu, NULL);
	evloop_stop(loop, 0);
	pthread_join(loop_thread, NULL);
	chardev_close(s.back);
	s.back = NULL;
	stdio_end();
	assert_false(fcntl(out_pipe[1], F_GETFL) & O_NONBLOCK);
	for (int i = 0; i < 2; i++) {
		close(in_pipe[i]);
		close(out_pipe[i]);
	}
	evloop_del_timer(ticker);
	evloop_free(loop);
}

/* The following tests run in their own process with their own terminal. */
static int tty_test(const char *typed, size_t n_typed, bool guest_reads)
{
	struct chardev_front front = { serial_room, serial_input, on_quit, NULL, &s, NULL };
	struct error err = { 0 };
	struct termios before, raw, after;
	unsigned i, got = 0;
	int master, tty;
	char name[64];

	master = posix_openpt(O_RDWR | O_NOCTTY);
	grantpt(master);
	unlockpt(master);
	ptsname_r(master, name, sizeof(name));
	setsid();
	tty = open(name, O_RDWR);
	tcgetattr(tty, &before);
	dup2(tty, 0);
	dup2(tty, 1);
	loop = evloop_new();
	s.back = chardev_open(loop, "stdio", &front, &err);
	if (!s.back)
		return 2;
	tcgetattr(tty, &raw);
	for (i = 0; i < 100 && !quit; i++) {
		size_t n = n_typed < 1000 ? n_typed : 1000;

		/* A terminal takes 4 KiB, so a long pasted text comes in parts. */
		if (n && write(master, typed, n) != (ssize_t)n)
			return 3;
		typed += n;
		n_typed -= n;
		turn();
		while (guest_reads && s.count) {
			got += in(0) != 0;
			turn();
		}
	}
	chardev_close(s.back);
	tcgetattr(tty, &after);
	if ((raw.c_lflag & ICANON) || before.c_lflag != after.c_lflag ||
	    before.c_iflag != after.c_iflag)
		return 4;
	if (guest_reads)
		return got == 20 && quit ? 0 : 5;
	return quit ? 0 : 6;
}

static void in_child(const char *typed, size_t n, bool guest_reads)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(tty_test(typed, n, guest_reads));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Ctrl-A x works although the guest reads nothing: after a line that was typed ahead, and after
 * more input than is kept. The guest gets its input in order and without the escapes. */
static void test_terminal(void **state)
{
	static char pasted[6002];

	(void)state;
	in_child("0123456789abcdefghij\1x", 22, false);
	in_child("0123456789abcdefghij\1x", 22, true);
	memset(pasted, 'p', sizeof(pasted));
	memcpy(pasted + sizeof(pasted) - 2, "\1x", 2);
	in_child(pasted, sizeof(pasted), false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_registers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_receive, setup, teardown),
		cmocka_unit_test_setup_teardown(test_transmit_irq, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loopback, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unix, setup, teardown),
		cmocka_unit_test(test_unix_words),
		cmocka_unit_test_setup_teardown(test_unix_full_queue, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unix_no_descriptor, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unix_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file_max, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stalled_stdout, setup, teardown),
		cmocka_unit_test_setup_teardown(test_terminal, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
