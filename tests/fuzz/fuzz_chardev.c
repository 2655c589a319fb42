/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Back ends with hostile peers: pipes, a unix socket whose clients come and go, a pty, a file with
 * a size that it must not pass. The front takes as much as the input says. All are made once; the
 * first byte says which one a run uses. The specification that chooses one is parsed from the input
 * too.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "devices/backend/chardev.h"
#include "tests/fuzz/host_side.h"
#include "vmm/core/addr.h"
#include "vmm/core/error.h"
#include "vmm/core/log.h"

#define STEPS 32

enum { STDIO, UNIX, PTY, FILE_MAX, ENDS };

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static struct evloop *loop;
static struct chardev *end[ENDS];
static struct host_side host;
static struct sockaddr_un sa = { .sun_family = AF_UNIX };
static char dir[] = "/tmp/fuzz_chardev.XXXXXX", file[64];
static size_t room; /* the front's */
static int peer = -1;

static size_t front_room(void *arg)
{
	(void)arg;
	return room;
}

static void front_input(void *arg, const uint8_t *buf, size_t n)
{
	static uint8_t copy[4096];

	(void)arg;
	require(n <= room && n <= sizeof(copy));
	memcpy(copy, buf, n);
	room -= n;
}

static void front_ready(void *arg)
{
	(void)arg;
}

static const struct chardev_front front = { .room = front_room,
					    .input = front_input,
					    .ready = front_ready };

/* The client of the socket. */
static void peer_change(bool there)
{
	if (peer >= 0)
		close(peer);
	peer = -1;
	if (!there)
		return;
	peer = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	require(peer >= 0);
	(void)!connect(peer, (struct sockaddr *)&sa, sizeof(sa));
}

static int peer_in(unsigned which)
{
	return which == STDIO ? host.in : which == UNIX ? peer : -1;
}

static int peer_out(unsigned which)
{
	return which == STDIO ? host.out : which == UNIX ? peer : -1;
}

static void step(unsigned which, const uint8_t *d, size_t left)
{
	static const char text[1 << 15];
	struct chardev *c = end[which];
	size_t n = d[1] % (left + 1);

	switch (d[0] & 7) {
	case 0:
		chardev_write(c, d, n);
		break;
	case 1:
		chardev_write(c, text, (size_t)d[1] << 6);
		chardev_hold(c); /* not on this thread */
		break;
	case 2:
		(void)!write(peer_in(which), d, n);
		break;
	case 3:
		host_read(peer_out(which), (size_t)d[1] << 8);
		break;
	case 4:
		room = d[1] >> 2;
		chardev_want(c);
		break;
	case 5:
		chardev_ask(c);
		break;
	case 6:
		if (which == UNIX)
			peer_change(d[1] & 1);
		break;
	default:
		evloop_run(loop);
	}
}

static void check_size(const char *path)
{
	struct stat st;

	require(stat(path, &st) < 0 || st.st_size <= (off_t)(64 * KiB));
}

static void finish(unsigned which)
{
	char old[80];

	room = 4096;
	chardev_want(end[which]);
	peer_change(false);
	do {
		room = 4096;
		evloop_run(loop);
	} while (host_read(host.out, 1 << 20) || room < 4096);
	snprintf(old, sizeof(old), "%s.1", file);
	check_size(file);
	check_size(old);
}

static void parse(const uint8_t *data, size_t len)
{
	char spec[64];
	struct error err = { 0 };

	len = len < sizeof(spec) - 1 ? len : sizeof(spec) - 1;
	memcpy(spec, data, len);
	spec[len] = '\0';
	/* Looks at files, and makes none. */
	if (chardev_spec_ok(spec) && chardev_check(spec, NULL, &err) < 0)
		require(err.text[0] != '\0');
}

static void leave(void)
{
	char old[80];

	for (unsigned i = 0; i < ENDS; i++)
		chardev_close(end[i]);
	snprintf(old, sizeof(old), "%s.1", file);
	unlink(file);
	unlink(old);
	rmdir(dir);
}

static void setup(void)
{
	struct error err = { 0 };
	char spec[ENDS][160];

	loop = evloop_new();
	host = host_stdio();
	log_run();
	require(mkdtemp(dir) != NULL);
	snprintf(file, sizeof(file), "%s/file", dir);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/socket", dir);
	snprintf(spec[STDIO], sizeof(spec[0]), "stdio");
	snprintf(spec[UNIX], sizeof(spec[0]), "unix:%s", sa.sun_path);
	snprintf(spec[PTY], sizeof(spec[0]), "pty");
	snprintf(spec[FILE_MAX], sizeof(spec[0]), "file:%s,max=64K", file);
	for (unsigned i = 0; i < ENDS; i++) {
		end[i] = chardev_open(loop, spec[i], &front, &err);
		require(end[i] != NULL);
	}
	require(chardev_open(loop, spec[UNIX], &front, &err) == NULL);
	host_loop_turns(loop);
	atexit(leave);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	unsigned which = len ? data[0] % (ENDS + 1) : ENDS;

	if (!loop)
		setup();
	room = 0;
	if (which == ENDS) {
		parse(data + (len > 0), len - (len > 0));
		return 0;
	}
	for (size_t i = 1; i + 2 <= len && i < 2 * STEPS; i += 2)
		step(which, data + i, len - i);
	finish(which);
	return 0;
}
