/* SPDX-License-Identifier: BSD-2-Clause */
#include "devices/backend/unix_listener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/evloop.h"
#include "vmm/core/keys.h"
#include "vmm/core/outfile.h"
#include "vmm/core/outputs.h"

#define RETRY_NS 200000000ull

static int address(const char *path, struct sockaddr_un *sa, struct error *err)
{
	*sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(sa->sun_path))
		return error_set(err, -ENAMETOOLONG,
				 "%s: the path of a socket may have at most %zu bytes", path,
				 sizeof(sa->sun_path) - 1);
	memcpy(sa->sun_path, path, strlen(path) + 1);
	return 0;
}

char *unix_listener_path(const char *arg, struct error *err)
{
	static const char *const words[] = { "server", "server=on", "wait=off", "nowait" };
	char *rest = strdup(arg), *path = keys_next_item(&rest), *word;

	if (!path || !*path) {
		free(path);
		error_set(err, -EINVAL, "the path of a socket is missing");
		return NULL;
	}
	while ((word = keys_next_item(&rest))) {
		unsigned i = 0;

		while (i < ARRAY_SIZE(words) && strcmp(words[i], word) != 0)
			i++;
		if (i < ARRAY_SIZE(words))
			continue;
		error_set(err, -EINVAL,
			  "%s: a socket has no key %s (a comma in a path is written twice)", path,
			  word);
		free(path);
		return NULL;
	}
	return path;
}

static int not_a_socket(const char *path, struct error *err)
{
	return error_set(err, -EADDRINUSE,
			 "%s exists and is not a socket: remove it, or use another path", path);
}

static int bind_error(const char *path, struct error *err)
{
	int code = errno;
	struct stat st;

	if (code != EADDRINUSE || lstat(path, &st) < 0)
		return error_set(err, -code, "%s: %s", path, strerror(code));
	if (S_ISSOCK(st.st_mode))
		return error_set(err, -code,
				 "%s: another process listens on this socket: end it, or use "
				 "another path",
				 path);
	return not_a_socket(path, err);
}

/* If the socket exists already, only bind() and connect() tell whether somebody listens on it. */
int unix_listener_check(const char *path, struct outputs *outputs, struct error *err)
{
	struct sockaddr_un sa;
	int ret = address(path, &sa, err);
	struct stat st;

	if (ret == 0 && lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
		ret = not_a_socket(path, err);
	if (ret == 0)
		ret = outfile_check_folder(path, err);
	return ret == 0 ? outputs_claim(outputs, path, err) : ret;
}

/* Removes a socket that nobody listens on (ECONNREFUSED): an earlier run left it. Any other file
 * stays. EAGAIN means that the listener's queue is full, so the socket is in use. */
static void remove_stale(const struct sockaddr_un *sa)
{
	scoped_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	if (lstat(sa->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return;
	if (fd >= 0 && connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) < 0 &&
	    errno == ECONNREFUSED)
		unlink(sa->sun_path);
}

static void try_again(void *arg)
{
	struct unix_listener *l = arg;

	if (!l->paused)
		evloop_set_events(l->source, EPOLLIN);
}

static void on_connect(void *arg, int fd, uint32_t events)
{
	struct unix_listener *l = arg;
	int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (client >= 0) {
		l->connected(l->arg, client);
		return;
	}
	/* If no descriptor is free, the client still waits, and epoll would report it again and
	 * again. */
	evloop_set_events(l->source, 0);
	ev_timer_set(l->retry, evloop_now_ns() + RETRY_NS);
}

static int listen_here(struct unix_listener *l, const char *path, int backlog, bool private,
		       struct error *err)
{
	struct sockaddr_un sa;
	struct stat st;
	int ret = address(path, &sa, err);

	if (ret < 0)
		return ret;
	remove_stale(&sa);
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* bind() gives the file the mode of the socket without the umask's bits, so nobody else can
	 * connect at any time. */
	if (l->fd < 0 || (private && fchmod(l->fd, 0600) < 0) ||
	    bind(l->fd, (const struct sockaddr *)&sa, sizeof(sa)) < 0)
		return bind_error(path, err);
	l->path = strdup(path);
	if (lstat(path, &st) == 0) {
		l->dev = st.st_dev;
		l->ino = st.st_ino;
	}
	if (!l->path || listen(l->fd, backlog) < 0)
		return error_set(err, -errno, "%s: %s", path, strerror(errno));
	l->retry = evloop_add_timer(l->loop, try_again, l);
	if (!l->retry)
		return error_set(err, -ENOMEM, "out of memory");
	l->source = evloop_add_fd(l->loop, l->fd, EPOLLIN, on_connect, l);
	return l->source ? 0 : error_set(err, -errno, "%s: %s", path, strerror(errno));
}

int unix_listener_open(struct unix_listener *l, struct evloop *loop, const char *path, int backlog,
		       bool private, void (*connected)(void *, int fd), void *arg,
		       struct error *err)
{
	int ret;

	*l = (struct unix_listener){ .loop = loop, .fd = -1, .connected = connected, .arg = arg };
	ret = listen_here(l, path, backlog, private, err);
	if (ret < 0)
		unix_listener_close(l);
	return ret;
}

void unix_listener_pause(struct unix_listener *l, bool pause)
{
	if (!l->source)
		return;
	l->paused = pause;
	evloop_set_events(l->source, pause ? 0 : EPOLLIN);
}

/* If another file has taken its place meanwhile, that file must stay. */
static void remove_own(const struct unix_listener *l)
{
	struct stat st;

	if (lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
		unlink(l->path);
}

void unix_listener_close(struct unix_listener *l)
{
	if (!l->loop)
		return;
	evloop_del_fd(l->source);
	evloop_del_timer(l->retry);
	cleanup_close(&l->fd);
	if (l->path)
		remove_own(l);
	free(l->path);
	*l = (struct unix_listener){ .fd = -1 };
}
