/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Back ends of character devices.
 *
 * Input is read only when the front end has room, so the kernel's buffers do the flow control. A
 * terminal is different: it is read up to TYPED_MAX bytes ahead, because Ctrl-A x must work even if
 * the guest hangs. When this buffer is full and the guest takes nothing for a second, the buffer is
 * emptied.
 *
 * Output goes through a struct outq. It never waits, and a slow reader slows down the guest.
 *
 * The terminal is put into raw mode and read while we are in its foreground process group. A job in
 * the background neither reads nor changes it, because the kernel would stop the whole process for
 * that; it looks once a second whether it has come to the foreground. (A shell sends SIGCONT only
 * to a job that was stopped.) The mode is restored by chardev_close(), and by a handler for the
 * signals that end the process. The handler needs two global variables.
 *
 * Threads: see chardev.h.
 */
#include "devices/backend/chardev.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "devices/backend/outq.h"
#include "devices/backend/unix_listener.h"
#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/evloop.h"
#include "vmm/core/log.h"
#include "vmm/core/outfile.h"
#include "vmm/core/outputs.h"

#define ESCAPE	  1 /* Ctrl-A */
#define CHUNK_MAX 64
#define TYPED_MAX 4096u
#define DEAF_NS	  1000000000ull
#define LOOK_NS	  1000000000ull
#define MAX_MIN	  (64 * KiB)

/* What was typed on the terminal and the front end has not taken yet. */
struct typed {
	uint8_t buf[TYPED_MAX];
	size_t n;
	struct ev_timer *deaf; /* runs while buf is full and the guest takes nothing */
	struct ev_timer *look; /* runs while we are in the background */
	bool background;
};

struct chardev {
	struct evloop *loop;
	struct chardev_front front;
	struct outq out;
	struct nbio in;
	int keep; /* the other end of the pty */
	struct unix_listener listener;
	char *file; /* path of a file with a maximal size */
	struct ev_source *source;
	struct ev_call resume;
	struct typed *typed; /* NULL: this is not a terminal */
	bool escaped, paused;
};

/* The terminal's original mode. These are global because restore_and_die() needs them. */
static struct termios saved_tty, raw_tty;
static volatile sig_atomic_t tty_is_raw;

static bool tty_is_ours(void)
{
	return tcgetpgrp(STDIN_FILENO) == getpgrp();
}

static void tty_restore(void)
{
	if (!tty_is_raw || !tty_is_ours())
		return;
	tty_is_raw = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &saved_tty);
}

static void restore_and_die(int sig)
{
	tty_restore();
	/* SA_RESETHAND has restored the default action, so this ends the process. */
	raise(sig);
}

/* A shell gives a stopped job that goes on its own mode of the terminal. */
static void tty_continued(int sig)
{
	int saved_errno = errno;

	(void)sig;
	if (tty_is_raw && tty_is_ours())
		tcsetattr(STDIN_FILENO, TCSANOW, &raw_tty);
	errno = saved_errno;
}

static void tty_raw(void)
{
	static const int fatal[] = {
		SIGSEGV, SIGBUS,  SIGILL,  SIGFPE,  SIGABRT,   SIGQUIT, SIGSYS, SIGTRAP,
		SIGXCPU, SIGALRM, SIGUSR2, SIGPROF, SIGVTALRM, SIGIO,	SIGPWR, SIGSTKFLT,
	};
	struct sigaction sa = { .sa_handler = restore_and_die,
				.sa_flags = (int)(SA_RESETHAND | SA_NODEFER) };
	struct sigaction again = { .sa_handler = tty_continued, .sa_flags = SA_RESTART };
	unsigned i;

	if (tcgetattr(STDIN_FILENO, &saved_tty) < 0)
		return;
	for (i = 0; i < ARRAY_SIZE(fatal); i++)
		sigaction(fatal[i], &sa, NULL);
	sigaction(SIGCONT, &again, NULL);
	raw_tty = saved_tty;
	cfmakeraw(&raw_tty);
	raw_tty.c_oflag |= OPOST; /* our own messages end in a newline without carriage return */
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw_tty) == 0)
		tty_is_raw = 1;
}

static int watch_input(struct chardev *c);
static void typed_feed(struct chardev *c);

static void resume_input(void *arg)
{
	struct chardev *c = arg;

	if (c->typed)
		typed_feed(c);
	else if (!c->source && c->in.fd >= 0)
		watch_input(c);
}

void chardev_want(struct chardev *c)
{
	if (__atomic_exchange_n(&c->paused, false, __ATOMIC_ACQ_REL))
		evloop_call(c->loop, &c->resume);
}

/* Removes the Ctrl-A sequences from the input: Ctrl-A x quits, Ctrl-A Ctrl-A is one Ctrl-A. */
static size_t unescape(struct chardev *c, uint8_t *buf, size_t n)
{
	size_t i, kept = 0;

	for (i = 0; i < n; i++) {
		if (c->escaped) {
			c->escaped = false;
			if (buf[i] == 'x' && c->front.quit)
				c->front.quit(c->front.opaque);
			else if (buf[i] == ESCAPE)
				buf[kept++] = ESCAPE;
		} else if (buf[i] == ESCAPE) {
			c->escaped = true;
		} else {
			buf[kept++] = buf[i];
		}
	}
	return kept;
}

static void stop_input(struct chardev *c)
{
	evloop_del_fd(c->source);
	c->source = NULL;
}

static void drop_input(struct chardev *c)
{
	stop_input(c);
	if (!c->listener.loop)
		return;
	unix_listener_pause(&c->listener, false);
	shutdown(c->in.fd, SHUT_RDWR); /* also wakes a vCPU that is held for this client */
	outq_detach(&c->out);
	nbio_close(&c->in);
}

/* Asks the front end for room. 0: the front end will call chardev_want() later. */
static size_t front_room(struct chardev *c)
{
	size_t room = c->front.room(c->front.opaque);

	if (room)
		return room;
	__atomic_store_n(&c->paused, true, __ATOMIC_RELEASE);
	/* The front end may have got room between the question and the store to the flag. */
	if (c->front.room(c->front.opaque))
		chardev_want(c);
	return 0;
}

/* Gives the front end as much as it takes, and continues to read if the buffer has space. */
static void typed_feed(struct chardev *c)
{
	struct typed *t = c->typed;
	size_t n;

	while (t->n && (n = front_room(c))) {
		n = n < t->n ? n : t->n;
		c->front.input(c->front.opaque, t->buf, n);
		t->n -= n;
		memmove(t->buf, t->buf + n, t->n);
		ev_timer_set(t->deaf, 0);
	}
	if (t->n == TYPED_MAX) {
		stop_input(c);
		ev_timer_set(t->deaf, evloop_now_ns() + DEAF_NS);
	} else if (!c->source) {
		watch_input(c);
	}
}

static void guest_is_deaf(void *arg)
{
	struct chardev *c = arg;

	c->typed->n = 0;
	watch_input(c);
}

static void go_to_background(struct chardev *c)
{
	stop_input(c);
	c->typed->background = true;
	ev_timer_set(c->typed->look, evloop_now_ns() + LOOK_NS);
}

/* It may have come to the foreground. A terminal that is gone is not looked at again. */
static void look_at_terminal(void *arg)
{
	struct chardev *c = arg;

	if (tcgetpgrp(STDIN_FILENO) < 0)
		return;
	if (!tty_is_ours()) {
		ev_timer_set(c->typed->look, evloop_now_ns() + LOOK_NS);
		return;
	}
	c->typed->background = false;
	if (tty_is_raw)
		tcsetattr(STDIN_FILENO, TCSANOW, &raw_tty);
	else
		tty_raw();
	watch_input(c);
}

/* Returns 0 at the end of the input. */
static ssize_t read_typed(struct chardev *c)
{
	struct typed *t = c->typed;
	ssize_t n = -EIO;

	if (tty_is_ours())
		n = nbio_read(&c->in, t->buf + t->n, TYPED_MAX - t->n);
	if (n == -EIO && !tty_is_ours()) {
		go_to_background(c);
		return -EAGAIN;
	}
	if (n > 0) {
		t->n += unescape(c, t->buf + t->n, (size_t)n);
		typed_feed(c);
	}
	return n;
}

static ssize_t read_input(struct chardev *c)
{
	uint8_t buf[CHUNK_MAX];
	size_t room = front_room(c);
	ssize_t n;

	if (!room) {
		/* Remove the source instead of masking EPOLLIN: epoll would still report a hang-up,
		 * and the unread bytes would be lost. */
		stop_input(c);
		return -EAGAIN;
	}
	n = nbio_read(&c->in, buf, room < sizeof(buf) ? room : sizeof(buf));
	if (n > 0)
		c->front.input(c->front.opaque, buf, (size_t)n);
	return n;
}

static void on_input(void *arg, int fd, uint32_t events)
{
	struct chardev *c = arg;
	ssize_t n = 0;

	(void)fd;
	if (events & EPOLLIN)
		n = c->typed ? read_typed(c) : read_input(c);
	if (n <= 0 && n != -EAGAIN)
		drop_input(c);
}

static int watch_input(struct chardev *c)
{
	if (!c->front.input || c->in.fd < 0 || (c->typed && c->typed->background))
		return 0;
	c->source = evloop_add_fd(c->loop, c->in.fd, EPOLLIN, on_input, c);
	/* EPERM: a regular file or /dev/null. They give no input, and epoll does not support them.
	 */
	return c->source || errno == EPERM ? 0 : -errno;
}

void chardev_write(struct chardev *c, const void *buf, size_t len)
{
	outq_write(&c->out, buf, len);
}

void chardev_hold(struct chardev *c)
{
	outq_hold(&c->out);
}

bool chardev_ask(struct chardev *c)
{
	return outq_ask(&c->out);
}

static int open_terminal(struct chardev *c, struct error *err)
{
	c->typed = calloc(1, sizeof(*c->typed));
	if (c->typed) {
		c->typed->deaf = evloop_add_timer(c->loop, guest_is_deaf, c);
		c->typed->look = evloop_add_timer(c->loop, look_at_terminal, c);
	}
	if (!c->typed || !c->typed->deaf || !c->typed->look)
		return error_set(err, -ENOMEM, "out of memory");
	/* A shell may have moved us between a look and the access. */
	signal(SIGTTIN, SIG_IGN);
	signal(SIGTTOU, SIG_IGN);
	if (tty_is_ours()) {
		tty_raw();
	} else {
		log_info("the console takes no input while this job is in the background");
		go_to_background(c);
	}
	return 0;
}

static int open_stdio(struct chardev *c, const char *arg, struct error *err)
{
	int ret = 0;

	(void)arg;
	outq_attach(&c->out, nbio_shared(STDOUT_FILENO, O_WRONLY));
	c->in = nbio_shared(STDIN_FILENO, O_RDONLY);
	if (isatty(STDIN_FILENO))
		ret = open_terminal(c, err);
	return ret < 0 ? ret : watch_input(c);
}

/* Input and output need a descriptor each, because epoll accepts a descriptor only once. */
static int use_both_ways(struct chardev *c, int fd)
{
	int out = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	c->in = nbio_own(fd);
	if (out < 0)
		return -errno;
	outq_attach(&c->out, nbio_own(out));
	return watch_input(c);
}

static int open_pty(struct chardev *c, const char *arg, struct error *err)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC), ret;
	char name[64];

	(void)arg;
	if (fd < 0)
		return error_set(err, -errno, "opening a pty: %s", strerror(errno));
	ret = use_both_ways(c, fd);
	outq_expect_nobody(&c->out);
	if (ret < 0 || grantpt(fd) < 0 || unlockpt(fd) < 0 ||
	    ptsname_r(fd, name, sizeof(name)) != 0)
		return error_set(err, -errno, "opening a pty: %s", strerror(errno));
	/* Keep the other end open: while nobody has it open, epoll reports a hang-up again and
	 * again. */
	c->keep = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (c->keep >= 0) {
		struct termios t;

		if (tcgetattr(c->keep, &t) == 0) {
			cfmakeraw(&t);
			tcsetattr(c->keep, TCSANOW, &t);
		}
	}
	log_msg(LOG_ERROR, "serial console on %s", name);
	return 0;
}

/* Returns a copy of the argument without ",max=SIZE"; *max is 0 if there is no limit. NULL: out of
 * memory, or SIZE is wrong. */
static char *file_path(const char *arg, uint64_t *max)
{
	static const char suffixes[] = "KMGT";
	char *path = strdup(arg), *key = path ? strstr(path, ",max=") : NULL, *end;
	const char *suffix;

	*max = 0;
	if (!key)
		return path;
	*key = '\0';
	*max = strtoull(key + 5, &end, 10);
	suffix = memchr(suffixes, *end & ~0x20, strlen(suffixes));
	if (suffix) {
		unsigned shift = 10u * (unsigned)(suffix - suffixes + 1);

		*max = *max > UINT64_MAX >> shift ? 0 : *max << shift;
		end++;
	}
	if (*path && key[5] >= '0' && key[5] <= '9' && !*end && *max >= MAX_MIN)
		return path;
	free(path);
	return NULL;
}

static int bad_max(const char *arg, struct error *err)
{
	return error_set(err, -EINVAL,
			 "%s: max= must be a size of at least 64K, like 10M, once, at the end",
			 arg);
}

static int open_file(struct chardev *c, const char *arg, struct error *err)
{
	uint64_t max;
	int fd;

	c->file = file_path(arg, &max);
	if (!c->file)
		return bad_max(arg, err);
	if (max && outfile_check_rotate(c->file, err) < 0)
		return err->code;
	fd = outputs_open(c->front.outputs, c->file, true, err);
	if (fd < 0)
		return fd;
	outq_attach(&c->out, nbio_own(fd));
	outq_limit(&c->out, c->file, max);
	return 0;
}

static int open_null(struct chardev *c, const char *arg, struct error *err)
{
	(void)c;
	(void)arg;
	(void)err;
	return 0;
}

/* One at a time: the next client waits until this one has left. */
static void on_connect(void *arg, int fd)
{
	struct chardev *c = arg;

	unix_listener_pause(&c->listener, true);
	if (use_both_ways(c, fd) < 0)
		drop_input(c);
}

static int open_unix(struct chardev *c, const char *arg, struct error *err)
{
	scoped_free char *path = unix_listener_path(arg, err);

	return path ? unix_listener_open(&c->listener, c->loop, path, 1, false, on_connect, c, err)
		    : err->code;
}

struct backend {
	const char *name; /* ends in ':' if an argument follows */
	int (*open)(struct chardev *, const char *arg, struct error *);
};
static const struct backend backends[] = {
	{ "stdio", open_stdio }, { "pty", open_pty },	 { "null", open_null },
	{ "file:", open_file },	 { "unix:", open_unix },
};

static const struct backend *backend_find(const char *spec, const char **arg)
{
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(backends); i++) {
		size_t n = strlen(backends[i].name);
		bool takes_arg = backends[i].name[n - 1] == ':';

		*arg = spec + n;
		if (strncmp(spec, backends[i].name, n) == 0 && takes_arg == (spec[n] != '\0'))
			return &backends[i];
	}
	return NULL;
}

bool chardev_spec_ok(const char *spec)
{
	const char *arg;
	const struct backend *b = backend_find(spec, &arg);
	scoped_free char *path = NULL;
	struct error err = { 0 };
	uint64_t max;

	if (!b || (b->open != open_file && b->open != open_unix))
		return b != NULL;
	path = b->open == open_file ? file_path(arg, &max) : unix_listener_path(arg, &err);
	return path != NULL;
}

static int check_file(const char *arg, struct outputs *outputs, struct error *err)
{
	uint64_t max;
	scoped_free char *path = file_path(arg, &max);
	int ret;

	if (!path)
		return bad_max(arg, err);
	ret = outfile_check(path, err);
	if (ret == 0 && max)
		ret = outfile_check_rotate(path, err);
	if (ret == 0)
		ret = outputs_claim(outputs, path, err);
	return ret == 0 && max ? outputs_claim_rotated(outputs, path, err) : ret;
}

static int check_unix(const char *arg, struct outputs *outputs, struct error *err)
{
	scoped_free char *path = unix_listener_path(arg, err);

	return path ? unix_listener_check(path, outputs, err) : err->code;
}

int chardev_check(const char *spec, struct outputs *outputs, struct error *err)
{
	const char *arg;
	const struct backend *b = backend_find(spec, &arg);

	if (b && b->open == open_file)
		return check_file(arg, outputs, err);
	return b && b->open == open_unix ? check_unix(arg, outputs, err) : 0;
}

struct chardev *chardev_open(struct evloop *loop, const char *spec,
			     const struct chardev_front *front, struct error *err)
{
	const char *arg;
	const struct backend *b = backend_find(spec, &arg);
	struct chardev *c;

	if (!b) {
		error_set(
			err, -EINVAL,
			"%s is not a serial back end: use stdio, pty, file:PATH, unix:PATH or null",
			spec);
		return NULL;
	}
	c = calloc(1, sizeof(*c));
	if (!c) {
		error_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	*c = (struct chardev){ .loop = loop, .front = *front, .in = { .fd = -1 }, .keep = -1 };
	c->resume = (struct ev_call){ .fn = resume_input, .arg = c };
	if (outq_init(&c->out, loop, front->ready, front->opaque) < 0)
		error_set(err, -ENOMEM, "out of memory");
	else if (b->open(c, arg, err) == 0)
		return c;
	chardev_close(c);
	return NULL;
}

void chardev_close(struct chardev *c)
{
	if (!c)
		return;
	evloop_cancel(c->loop, &c->resume);
	evloop_del_fd(c->source);
	unix_listener_close(&c->listener);
	outq_destroy(&c->out);
	if (c->typed) {
		tty_restore();
		evloop_del_timer(c->typed->deaf);
		evloop_del_timer(c->typed->look);
		free(c->typed);
	}
	nbio_close(&c->in);
	cleanup_close(&c->keep);
	free(c->file);
	free(c);
}
