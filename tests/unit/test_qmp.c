/* SPDX-License-Identifier: BSD-2-Clause */
/* QMP over real sockets, with a machine that only records what it is told. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/fake_host.h"
#include "vmm/control/qmp.h"
#include "vmm/core/addr.h"
#include "vmm/core/evloop.h"

static struct {
	char said[256];
	bool paused, busy;
	uint64_t ticket;
} m;

static void say(const char *what)
{
	snprintf(m.said + strlen(m.said), sizeof(m.said) - strlen(m.said), "%s ", what);
}

static const char *status(void *opaque)
{
	(void)opaque;
	return m.paused ? "paused" : "running";
}

static void stop(void *opaque)
{
	(void)opaque;
	m.paused = true;
	say("stop");
}

static bool quiet(void *opaque)
{
	(void)opaque;
	return !m.busy;
}

static void cont(void *opaque)
{
	(void)opaque;
	m.paused = false;
	say("cont");
}

static void reset(void *opaque)
{
	(void)opaque;
	say("reset");
}

static void power_button(void *opaque)
{
	(void)opaque;
	say("button");
}

static void quit(void *opaque)
{
	(void)opaque;
	say("quit");
}

static json_t *query(void *opaque, const char *command)
{
	(void)opaque;
	return json_pack("[s]", command);
}

/* device_del is refused, and device_add is answered later. */
static json_t *change(void *opaque, const char *command, const json_t *args, uint64_t ticket,
		      struct error *err)
{
	(void)opaque;
	say(command);
	if (strcmp(command, "device_add") == 0) {
		m.ticket = ticket;
		error_set(err, -EINPROGRESS, "later");
		return NULL;
	}
	if (strcmp(command, "device_del") == 0) {
		error_set(err, -ENODEV, "Device '%s' not found",
			  json_string_value(json_object_get(args, "id")));
		return NULL;
	}
	return json_object();
}

static const struct qmp_machine machine = {
	NULL, "web", status, stop, quiet, cont, reset, power_button, quit, query, change,
};

static struct evloop *loop;
static struct qmp *qmp;
static char path[96];
static struct error err;

static int setup(void **state)
{
	make_root(state);
	memset(&m, 0, sizeof(m));
	loop = evloop_new();
	qmp = qmp_new(loop, &machine);
	snprintf(path, sizeof(path), "%s/q", root);
	if (qmp_listen(qmp, path, &err) < 0)
		fail_msg("%s", err.text);
	return 0;
}

static int teardown(void **state)
{
	qmp_free(qmp);
	qmp = NULL;
	assert_int_equal(access(path, F_OK), -1);
	evloop_free(loop);
	return remove_root(state);
}

static void stop_loop(void *arg)
{
	evloop_stop(arg, 0);
}

/* Runs the loop for pending work and 2 ms more. */
static void turn(void)
{
	struct ev_timer *t = evloop_add_timer(loop, stop_loop, loop);

	ev_timer_set(t, evloop_now_ns() + 2000000);
	evloop_run(loop);
	evloop_del_timer(t);
}

static int client(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(sa.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

/* The received lines with '|' between them; "(end)" follows if the connection has ended. */
static const char *got(int fd)
{
	static char buf[65536];
	size_t n = 0, i, k = 0;
	ssize_t r = -1;
	unsigned idle;

	for (idle = 0; idle < 20 && n < sizeof(buf) - 8 && r != 0; idle = r > 0 ? 0 : idle + 1) {
		turn();
		r = read(fd, buf + n, sizeof(buf) - 8 - n);
		n += r > 0 ? (size_t)r : 0;
	}
	for (i = 0; i < n; i++)
		if (buf[i] == '\r')
			buf[k++] = '|';
		else if (buf[i] != '\n')
			buf[k++] = buf[i];
	buf[k] = '\0';
	if (r == 0)
		strcat(buf, "(end)");
	return buf;
}

static void put_text(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void greeted(int fd)
{
	const char *s = got(fd);

	if (strncmp(s, "{\"QMP\":{\"version\":{\"qemu\":{", 26) != 0 ||
	    !strstr(s, "\"capabilities\":[]}}|"))
		fail_msg("%s", s);
}

#define OK		 "{\"return\":{}}|"
#define BAD(class, text) "{\"error\":{\"class\":\"" class "\",\"desc\":\"" text "\"}}|"

/* Requests and their answers, each on a connection that has negotiated. */
static void test_transcript(void **state)
{
	static const struct {
		const char *in, *out;
	} row[] = {
		{ "{\"execute\":\"query-status\"}",
		  "{\"return\":{\"status\":\"running\",\"singlestep\":false,\"running\":true}}|" },
		{ "{\"execute\":\"query-status\",\"id\":{\"a\":[1]}}",
		  "{\"return\":{\"status\":\"running\",\"singlestep\":false,\"running\":true},"
		  "\"id\":{\"a\":[1]}}|" },
		{ "{\"execute\":\"no\",\"id\":\"x\"}", "{\"error\":{\"class\":\"CommandNotFound\","
						       "\"desc\":\"The command no has not been "
						       "found\"},\"id\":\"x\"}|" },
		{ "{\"execute\":\"qmp_capabilities\"}",
		  BAD("CommandNotFound",
		      "Capabilities negotiation is already complete, command ignored") },
		{ "{\"foo\":1}", BAD("GenericError", "QMP input member 'foo' is unexpected") },
		{ "{\"\":1}", BAD("GenericError", "QMP input member '' is unexpected") },
		{ "{}", BAD("GenericError", "QMP input lacks member 'execute'") },
		{ "{\"execute\":5}",
		  BAD("GenericError", "QMP input member 'execute' must be a string") },
		{ "[]", BAD("GenericError", "QMP input must be a JSON object") },
		{ "{\"execute\":\"stop\",\"arguments\":5}",
		  BAD("GenericError", "QMP input member 'arguments' must be an object") },
		{ "{\"execute\":\"stop\",\"arguments\":{\"a\":5}}",
		  BAD("GenericError", "Parameter 'a' is unexpected") },
		{ "hello\n", BAD("GenericError", "the input is not JSON") },
		{ "{'execute':'query-name'}", "{\"return\":{\"name\":\"web\"}}|" },
		{ "{\"execute\":\"query-pci\"}", "{\"return\":[\"query-pci\"]}|" },
		{ "{\"execute\":\"query-block\"}", "{\"return\":[\"query-block\"]}|" },
		{ "{\"execute\":\"query-kvm\"}",
		  "{\"return\":{\"enabled\":true,\"present\":true}}|" },
		{ "{\"execute\":\"query-hotpluggable-cpus\"}", "{\"return\":[]}|" },
		{ "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"info "
		  "status\"}}",
		  "{\"return\":\"VM status: running\\r\\n\"}|" },
		{ "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":"
		  "\"info\"}}",
		  "{\"return\":\"info version\\r\\ninfo status\\r\\ninfo pci\\r\\ninfo block\\r\\n"
		  "info cpus\\r\\n\"}|" },
		{ "{\"execute\":\"human-monitor-command\"}",
		  BAD("GenericError", "Parameter 'command-line' is missing") },
		{ "{\"execute\":\"stop\"}{\"execute\":\"cont\"}{\"execute\":\"system_reset\"}"
		  "{\"execute\":\"system_powerdown\"}{\"execute\":\"quit\"}",
		  OK OK OK OK OK },
	};
	int fd = client();
	unsigned i;

	(void)state;
	greeted(fd);
	put_text(fd, "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[]}}");
	assert_string_equal(got(fd), OK);
	for (i = 0; i < ARRAY_SIZE(row); i++) {
		put_text(fd, row[i].in);
		assert_string_equal(got(fd), row[i].out);
	}
	assert_string_equal(m.said, "stop cont reset button quit ");
	close(fd);
}

static void test_capabilities(void **state)
{
	int fd = client();

	(void)state;
	greeted(fd);
	put_text(fd, "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}");
	assert_string_equal(got(fd),
			    BAD("GenericError", "Parameter 'enable' does not accept value 'oob'"));
	put_text(fd, "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":3}}");
	assert_non_null(strstr(got(fd), "expected: array"));
	/* A client that has not negotiated gets answers, but no events. */
	qmp_event(qmp, "STOP", NULL);
	put_text(fd, "{\"execute\":\"query-uuid\"}");
	assert_string_equal(got(fd),
			    "{\"return\":{\"UUID\":\"00000000-0000-0000-0000-000000000000\"}}|");
	put_text(fd, "{\"execute\":\"qmp_capabilities\"}");
	assert_string_equal(got(fd), OK);
	qmp_event(qmp, "RESET", json_pack("{s: b}", "guest", 1));
	assert_non_null(strstr(got(fd), "\"event\":\"RESET\",\"data\":{\"guest\":true}}|"));
	close(fd);
	turn();
	qmp_event(qmp, "STOP", NULL); /* for nobody */
}

/* All requests are answered before the connection ends, however the bytes were split. */
static void test_half_close(void **state)
{
	static const char text[] = "{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"stop\"}"
				   "{\"execute\":\"query-name\"}";
	size_t i;
	int fd = client();

	(void)state;
	greeted(fd);
	for (i = 0; i < strlen(text); i++) {
		assert_int_equal(write(fd, text + i, 1), 1);
		if (i % 7 == 0)
			turn();
	}
	shutdown(fd, SHUT_WR);
	assert_string_equal(got(fd), OK OK "{\"return\":{\"name\":\"web\"}}|(end)");
	close(fd);
	fd = client();
	greeted(fd);
	put_text(fd, "{\"execute\":"); /* half a request */
	shutdown(fd, SHUT_WR);
	assert_string_equal(got(fd), "(end)");
	close(fd);
}

/* The answer comes when the disks are quiet; later requests wait. */
static void test_stop_waits(void **state)
{
	int fd = client(), other = client();

	(void)state;
	greeted(fd);
	greeted(other);
	m.busy = true;
	put_text(fd, "{\"execute\":\"stop\",\"id\":1}{\"execute\":\"cont\",\"id\":2}");
	assert_string_equal(got(fd), "");
	assert_string_equal(m.said, "stop ");
	put_text(other, "{\"execute\":\"query-name\"}");
	assert_string_equal(got(other), "{\"return\":{\"name\":\"web\"}}|");
	m.busy = false;
	assert_string_equal(got(fd), "{\"return\":{},\"id\":1}|{\"return\":{},\"id\":2}|");
	/* If a client disconnects meanwhile, nothing is left. */
	m.busy = true;
	put_text(fd, "{\"execute\":\"stop\"}");
	turn();
	close(fd);
	turn();
	turn();
	m.busy = false;
	put_text(other, "{\"execute\":\"query-name\"}");
	assert_string_equal(got(other), "{\"return\":{\"name\":\"web\"}}|");
	close(other);
}

/* A command that takes long holds up the requests behind it, but no other client. */
static void test_later(void **state)
{
	const struct error bad = { -EIO, "it is broken" };
	int fd = client(), other = client();

	(void)state;
	greeted(fd);
	greeted(other);
	put_text(fd,
		 "{\"execute\":\"device_add\",\"arguments\":{\"driver\":\"x\",\"any\":1},\"id\":1}"
		 "{\"execute\":\"device_del\",\"arguments\":{\"id\":\"d\"},\"id\":2}");
	assert_string_equal(got(fd), "");
	assert_string_equal(m.said, "device_add ");
	put_text(other, "{\"execute\":\"query-name\"}");
	assert_string_equal(got(other), "{\"return\":{\"name\":\"web\"}}|");
	qmp_answer(qmp, m.ticket + 1000, json_object(), NULL); /* for nobody */
	qmp_answer(qmp, m.ticket, json_object(), NULL);
	/* The next command waits for the loop: at the machine's end there is no machine for it. */
	assert_string_equal(m.said, "device_add ");
	assert_string_equal(got(fd),
			    "{\"return\":{},\"id\":1}|"
			    "{\"error\":{\"class\":\"DeviceNotFound\",\"desc\":\"Device 'd' not "
			    "found\"},\"id\":2}|");
	/* A script that closes its side gets the answer before the connection ends. */
	put_text(fd, "{\"execute\":\"device_add\"}");
	shutdown(fd, SHUT_WR);
	assert_string_equal(got(fd), "");
	qmp_answer(qmp, m.ticket, NULL, &bad);
	assert_string_equal(got(fd), BAD("GenericError", "it is broken") "(end)");
	close(fd);
	/* The client has left. */
	put_text(other, "{\"execute\":\"device_add\"}");
	turn();
	close(other);
	turn();
	turn();
	qmp_answer(qmp, m.ticket, json_object(), NULL);
	qmp_answer(NULL, m.ticket, json_object(), NULL);
}

/* One client too many waits in the queue, until another one leaves. */
static void test_many_clients(void **state)
{
	int fd[QMP_MAX_CLIENTS + 1];
	unsigned i;

	(void)state;
	for (i = 0; i <= QMP_MAX_CLIENTS; i++)
		fd[i] = client();
	for (i = 0; i < QMP_MAX_CLIENTS; i++)
		greeted(fd[i]);
	assert_string_equal(got(fd[i]), "");
	close(fd[3]);
	greeted(fd[i]);
	for (i = 0; i <= QMP_MAX_CLIENTS; i++)
		if (i != 3)
			close(fd[i]);
	turn();
}

/* A client that does not read must not stop the others, and must not use more and more memory. */
static void test_deaf_client(void **state)
{
	static const char ask[] = "{\"execute\":\"query-commands\"}";
	int deaf = client(), fd = client();
	unsigned i, sent = 0;

	(void)state;
	greeted(fd);
	put_text(deaf, "{\"execute\":\"qmp_capabilities\"}");
	turn();
	/* If its answers wait, its requests are not read any more. */
	for (i = 0; i < 20; i++) {
		while (write(deaf, ask, sizeof(ask) - 1) > 0 && sent < 100000) {
			sent++;
			i = 0;
		}
		turn();
	}
	assert_true(sent < 100000);
	put_text(fd, "{\"execute\":\"query-name\"}");
	assert_string_equal(got(fd), "{\"return\":{\"name\":\"web\"}}|");
	/* Events come in any case, so at some point it is disconnected. */
	for (i = 0; i < 60000; i++)
		qmp_event(qmp, "STOP", NULL);
	turn();
	assert_true(write(deaf, ask, 1) < 0);
	assert_int_equal(errno, EPIPE);
	put_text(fd, "{\"execute\":\"query-name\"}");
	assert_string_equal(got(fd), "{\"return\":{\"name\":\"web\"}}|");
	close(deaf);
	close(fd);
}

static void test_too_long(void **state)
{
	char block[4096];
	int fd = client();
	unsigned i;

	(void)state;
	greeted(fd);
	memset(block, 'a', sizeof(block));
	put_text(fd, "{\"execute\":\"");
	for (i = 0; i < 300; i++)
		while (write(fd, block, sizeof(block)) < 0 && errno == EAGAIN)
			turn();
	assert_non_null(strstr(got(fd), "the request is too long"));
	close(fd);
}

/* Other users cannot connect; a socket that somebody listens on is not replaced. */
static void test_socket(void **state)
{
	struct qmp *second = qmp_new(loop, &machine);
	struct stat st;

	(void)state;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(qmp_listen(second, path, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "another process listens"));
	qmp_free(second);
	assert_int_equal(stat(path, &st), 0);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_transcript),  T(test_capabilities), T(test_half_close),
		T(test_stop_waits),  T(test_later),	   T(test_many_clients),
		T(test_deaf_client), T(test_too_long),	   T(test_socket),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
