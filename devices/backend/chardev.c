/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Back ends of character devices.
 *
 * Input is read only when the front has room, so the kernel's buffers do the flow control. Output
 * goes straight to the descriptor: to a pty or socket nobody reads it is dropped, as on a serial
 * line nobody listens to.
 *
 * The terminal is put into raw mode when it is ours (we are in its foreground group) and put back
 * on every way out: chardev_close(), and a handler for the signals that would end the process. That
 * handler needs a global.
 *
 * Threads: see chardev.h. `fd` of a socket changes on the main loop and is read by writers, hence
 * `lock`.
 */
#include "devices/backend/chardev.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/evloop.h"
#include "vmm/core/log.h"
#include "vmm/core/outfile.h"

#define ESCAPE	  1 /* Ctrl-A */
#define CHUNK_MAX 64

struct chardev {
	struct evloop *loop;
	struct chardev_front front;
	pthread_mutex_t lock;
	int in, out;	     /* -1: none. Owned, except 0 and 1 */
	int keep, listen_fd; /* the pty's other end; the socket that accepts */
	char *path;	     /* of the socket, to remove */
	struct ev_source *source, *listen_source;
	struct ev_call resume;
	bool tty, escaped, paused;
};

/* Only for restore_and_die(): what the terminal was like. */
static struct termios saved_tty;
static volatile sig_atomic_t tty_is_raw;

static void tty_restore(void)
{
	if (!tty_is_raw)
		return;
	tty_is_raw = 0;
	tcsetattr(STDIN_FILENO, TCSANOW, &saved_tty);
}

static void restore_and_die(int sig)
{
	tty_restore();
	/* SA_RESETHAND: this time the default action. */
	raise(sig);
}

static void tty_raw(void)
{
	static const int fatal[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGQUIT, SIGSYS };
	struct sigaction sa = { .sa_handler = restore_and_die,
				.sa_flags = (int)(SA_RESETHAND | SA_NODEFER) };
	struct termios t;
	unsigned i;

	if (tcgetattr(STDIN_FILENO, &saved_tty) < 0)
		return;
	for (i = 0; i < ARRAY_SIZE(fatal); i++)
		sigaction(fatal[i], &sa, NULL);
	t = saved_tty;
	cfmakeraw(&t);
	t.c_oflag |= OPOST; /* our own messages end in a bare newline */
	if (tcsetattr(STDIN_FILENO, TCSANOW, &t) == 0)
		tty_is_raw = 1;
}

static int watch_input(struct chardev *c);

static void resume_input(void *arg)
{
	struct chardev *c = arg;

	if (!c->source && c->in >= 0)
		watch_input(c);
}

void chardev_want(struct chardev *c)
{
	if (__atomic_exchange_n(&c->paused, false, __ATOMIC_ACQ_REL))
		evloop_call(c->loop, &c->resume);
}

/* Takes Ctrl-A sequences out of what was typed: x leaves, a second Ctrl-A is one. */
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

static void drop_input(struct chardev *c)
{
	evloop_del_fd(c->source);
	c->source = NULL;
	if (c->listen_fd < 0)
		return;
	evloop_set_events(c->listen_source, EPOLLIN);
	scoped_lock(&c->lock);
	close(c->in);
	c->in = c->out = -1;
}

/* Pauses reading while the front is full. True: full. */
static bool pause_if_full(struct chardev *c, size_t *room)
{
	*room = c->front.room(c->front.opaque);
	if (*room)
		return false;
	/* Not merely masked: a hang-up would be reported all the same, and what is left unread
	 * lost. */
	evloop_del_fd(c->source);
	c->source = NULL;
	__atomic_store_n(&c->paused, true, __ATOMIC_RELEASE);
	/* It may have made room between the question and the flag. */
	if (c->front.room(c->front.opaque))
		chardev_want(c);
	return true;
}

static void on_input(void *arg, int fd, uint32_t events)
{
	struct chardev *c = arg;
	uint8_t buf[CHUNK_MAX];
	size_t room;
	ssize_t n;

	if (!(events & EPOLLIN)) {
		drop_input(c);
		return;
	}
	if (pause_if_full(c, &room))
		return;
	n = read(fd, buf, room < sizeof(buf) ? room : sizeof(buf));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		drop_input(c);
		return;
	}
	if (c->tty)
		n = (ssize_t)unescape(c, buf, (size_t)n);
	if (n)
		c->front.input(c->front.opaque, buf, (size_t)n);
}

static int watch_input(struct chardev *c)
{
	if (!c->front.input)
		return 0;
	c->source = evloop_add_fd(c->loop, c->in, EPOLLIN, on_input, c);
	/* EPERM: a regular file or /dev/null, which never has anything to say. */
	return c->source || errno == EPERM ? 0 : -errno;
}

void chardev_write(struct chardev *c, const void *buf, size_t len)
{
	const char *p = buf;
	ssize_t n;

	scoped_lock(&c->lock);
	while (c->out >= 0 && len) {
		n = write(c->out, p, len);
		if (n <= 0)
			break; /* EAGAIN: nobody reads; EINTR: we are being stopped; or an error */
		p += n;
		len -= (size_t)n;
	}
}

static int open_stdio(struct chardev *c, const char *arg, struct error *err)
{
	(void)arg;
	(void)err;
	c->in = STDIN_FILENO;
	c->out = STDOUT_FILENO;
	if (isatty(STDIN_FILENO)) {
		/* In the background, touching the terminal would stop us (SIGTTOU). */
		if (tcgetpgrp(STDIN_FILENO) != getpgrp())
			return 0;
		c->tty = true;
		tty_raw();
	}
	return watch_input(c);
}

static int open_pty(struct chardev *c, const char *arg, struct error *err)
{
	char name[64];

	(void)arg;
	c->in = c->out = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (c->in < 0 || grantpt(c->in) < 0 || unlockpt(c->in) < 0 ||
	    ptsname_r(c->in, name, sizeof(name)) != 0)
		return error_set(err, -errno, "opening a pty: %s", strerror(errno));
	/* Our own hold on the other end: without one, every moment nobody is attached is a
	 * hang-up that epoll reports without end. */
	c->keep = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (c->keep >= 0) {
		struct termios t;

		if (tcgetattr(c->keep, &t) == 0) {
			cfmakeraw(&t);
			tcsetattr(c->keep, TCSANOW, &t);
		}
	}
	log_msg(LOG_ERROR, "serial console on %s", name);
	return watch_input(c);
}

static int open_file(struct chardev *c, const char *path, struct error *err)
{
	c->out = outfile_open(path, true, err);
	return c->out < 0 ? c->out : 0;
}

static int open_null(struct chardev *c, const char *arg, struct error *err)
{
	(void)c;
	(void)arg;
	(void)err;
	return 0;
}

static void on_connect(void *arg, int fd, uint32_t events)
{
	struct chardev *c = arg;
	int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (client < 0)
		return;
	/* One at a time: the next waits until this one has left. */
	evloop_set_events(c->listen_source, 0);
	{
		scoped_lock(&c->lock);
		c->in = c->out = client;
	}
	if (watch_input(c) < 0)
		drop_input(c);
}

/* A socket nobody listens on is a leftover: out of the way with it. Anything else stays. */
static void remove_stale(const struct sockaddr_un *sa)
{
	scoped_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;

	if (lstat(sa->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return;
	if (fd >= 0 && connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0 &&
	    errno == ECONNREFUSED)
		unlink(sa->sun_path);
}

static int open_unix(struct chardev *c, const char *path, struct error *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(sa.sun_path))
		return error_set(err, -ENAMETOOLONG, "%s: a socket's path has at most %zu bytes",
				 path, sizeof(sa.sun_path) - 1);
	memcpy(sa.sun_path, path, strlen(path) + 1);
	remove_stale(&sa);
	c->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->listen_fd < 0 || bind(c->listen_fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return error_set(err, -errno, "%s: %s", path, strerror(errno));
	c->path = strdup(path);
	if (!c->path || listen(c->listen_fd, 1) < 0)
		return error_set(err, -errno, "%s: %s", path, strerror(errno));
	c->listen_source = evloop_add_fd(c->loop, c->listen_fd, EPOLLIN, on_connect, c);
	return c->listen_source ? 0 : error_set(err, -errno, "%s: %s", path, strerror(errno));
}

struct backend {
	const char *name; /* ends in ':' when an argument follows */
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

	return backend_find(spec, &arg) != NULL;
}

/* A socket that is there already is a matter of who listens, which only binding tells. */
static int check_unix(const char *path, struct error *err)
{
	if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return error_set(err, -ENAMETOOLONG, "%s: a socket's path has at most %zu bytes",
				 path, sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
	return outfile_check_folder(path, err);
}

int chardev_check(const char *spec, struct error *err)
{
	const char *arg;
	const struct backend *b = backend_find(spec, &arg);

	if (b && b->open == open_file)
		return outfile_check(arg, err);
	return b && b->open == open_unix ? check_unix(arg, err) : 0;
}

struct chardev *chardev_open(struct evloop *loop, const char *spec,
			     const struct chardev_front *front, struct error *err)
{
	const char *arg;
	const struct backend *b = backend_find(spec, &arg);
	struct chardev *c;

	if (!b) {
		error_set(err, -EINVAL, "%s is no serial back end", spec);
		return NULL;
	}
	c = calloc(1, sizeof(*c));
	if (!c) {
		error_set(err, -ENOMEM, "no memory");
		return NULL;
	}
	*c = (struct chardev){
		.loop = loop, .front = *front, .in = -1, .out = -1, .keep = -1, .listen_fd = -1
	};
	c->resume = (struct ev_call){ .fn = resume_input, .arg = c };
	pthread_mutex_init(&c->lock, NULL);
	if (b->open(c, arg, err) < 0) {
		chardev_close(c);
		return NULL;
	}
	return c;
}

void chardev_close(struct chardev *c)
{
	if (!c)
		return;
	evloop_cancel(c->loop, &c->resume);
	evloop_del_fd(c->source);
	evloop_del_fd(c->listen_source);
	if (c->tty)
		tty_restore();
	if (c->in > STDERR_FILENO)
		close(c->in);
	if (c->out > STDERR_FILENO && c->out != c->in)
		close(c->out);
	cleanup_close(&c->keep);
	cleanup_close(&c->listen_fd);
	if (c->path)
		unlink(c->path);
	free(c->path);
	pthread_mutex_destroy(&c->lock);
	free(c);
}
