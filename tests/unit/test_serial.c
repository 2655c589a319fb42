/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "devices/backend/chardev.h"
#include "devices/chipset/serial.h"
#include "vmm/core/evloop.h"

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
	assert_int_equal(in(2) & 0x0f, 0x0c); /* below the trigger: time-out */
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

/* Lets the loop work for a moment. */
static void turn(void)
{
	struct ev_timer *t = evloop_add_timer(loop, stop_loop, loop);

	ev_timer_set(t, evloop_now_ns() + 20000000);
	evloop_run(loop);
	evloop_del_timer(t);
}

static void test_unix(void **state)
{
	struct chardev_front front = { serial_room, serial_input, on_quit, &s };
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
	out(0, '-');					     /* nobody there: dropped */
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	turn();
	out(0, 'h');
	out(0, 'i');
	assert_int_equal(recv(fd, buf, 2, MSG_WAITALL), 2);
	assert_memory_equal(buf, "hi", 2);
	/* More than fits waits in the socket until the guest reads. */
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

static void test_file(void **state)
{
	struct chardev_front front = { serial_room, serial_input, on_quit, &s };
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
	assert_int_equal(chardev_check("file:/nonexistent/x", &err), -ENOENT);
	assert_int_equal(chardev_check("unix:/nonexistent/x", &err), -ENOENT);
	assert_int_equal(chardev_check("stdio", &err), 0);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_registers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_receive, setup, teardown),
		cmocka_unit_test_setup_teardown(test_transmit_irq, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loopback, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unix, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
