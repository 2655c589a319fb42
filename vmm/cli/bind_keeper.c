/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/cli/bind_keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vfio/host/bind.h"
#include "vfio/options.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/log.h"

/* ---- the second process ---- */

static int bind_all(const struct config *cfg, struct bind_set *bound)
{
	char bdf[VFIO_MOST][VFIO_BDF_SIZE];
	struct error err = { 0 };
	unsigned i, n = vfio_count(&cfg->devices);

	bound->n = 0;
	if (!n) /* they come later */
		return 0;
	for (i = 0; i < n; i++)
		memcpy(bdf[i], vfio_options(&cfg->devices, i)->bdf, VFIO_BDF_SIZE);
	if (bind_devices(&host_here, bdf, n, 0, bound, &err) == 0)
		return 0;
	log_end();
	log_error("--bind: %s", err.text);
	return -1;
}

static int restore_all(struct bind_set *bound)
{
	struct bind_record was;
	struct error err;
	int status = 0;

	log_end();
	while (bound->n > 0) {
		const char *bdf = bound->dev[--bound->n].bdf;

		if (bind_restore(&host_here, bdf, &was, &err) >= 0)
			continue;
		log_error("--bind: %s; to try again: minivmm restore %s", err.text, bdf);
		status = 1;
	}
	return status;
}

/* Nobody who reads what the machine printed should wait for us. */
static void let_go_of_output(void)
{
	scoped_fd null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int fd;

	for (fd = 0; null >= 0 && fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	log_run(); /* or it would hold the old one open */
}

/* ---- what it is asked for while the machine runs ---- */

enum { ORDER_END, ORDER_BIND, ORDER_GIVE_BACK };

struct order {
	char what;
	char bdf[VFIO_BDF_SIZE];
};

struct answer {
	int ret;
	struct error err;
};

static int bind_one(struct bind_set *bound, const char *bdf, struct error *err)
{
	char one[1][VFIO_BDF_SIZE];
	struct bind_set more;
	int ret;

	if (bound->n == BIND_MAX)
		return error_set(err, -ENOSPC, "%s: too many devices", bdf);
	memcpy(one[0], bdf, VFIO_BDF_SIZE);
	ret = bind_devices(&host_here, one, 1, 0, &more, err);
	if (ret < 0 || !more.n)
		return ret;
	bound->dev[bound->n++] = more.dev[0]; /* the one, without BIND_GROUP */
	return 0;
}

static int give_one_back(struct bind_set *bound, const char *bdf, struct error *err)
{
	struct bind_record was;
	unsigned i;
	int ret;

	for (i = 0; i < bound->n && strcmp(bound->dev[i].bdf, bdf) != 0; i++)
		;
	if (i == bound->n) /* it was with vfio-pci before */
		return 0;
	ret = bind_restore(&host_here, bdf, &was, err);
	if (ret >= 0)
		bound->dev[i] = bound->dev[--bound->n];
	return ret < 0 ? ret : 0;
}

static bool obey(int fd, const struct order *o, struct bind_set *bound)
{
	struct answer a = { 0 };

	if (o->what == ORDER_BIND)
		a.ret = bind_one(bound, o->bdf, &a.err);
	else
		a.ret = give_one_back(bound, o->bdf, &a.err);
	return send(fd, &a, sizeof(a), MSG_NOSIGNAL) == (ssize_t)sizeof(a);
}

/* The end of the stream comes as soon as that file is closed: the devices may still be open. */
static void wait_for_end(int fd, int machine, struct bind_set *bound)
{
	struct pollfd p = { .fd = machine, .events = POLLIN };
	struct order o;

	while (recv(fd, &o, sizeof(o), MSG_WAITALL) == (ssize_t)sizeof(o)) {
		if (o.what == ORDER_END)
			return;
		o.bdf[VFIO_BDF_SIZE - 1] = '\0';
		if (!obey(fd, &o, bound))
			break;
	}
	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		;
}

static _Noreturn void keep(const struct config *cfg, int fd, int machine)
{
	struct bind_set bound;
	char ok = 0;

	/* What stops the machine must not stop us: the terminal's signals, and a service's. */
	setsid();
	signal(SIGTERM, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	/* So nothing would end a wait for whoever reads stderr, and devices have to go back. */
	log_run();
	prctl(PR_SET_NAME, "minivmm-bind");
	if (bind_all(cfg, &bound) < 0)
		_exit(1);
	if (write(fd, &ok, 1) == 1 && cfg->daemonize)
		let_go_of_output();
	wait_for_end(fd, machine, &bound);
	_exit(restore_all(&bound));
}

/* ---- the machine's process ---- */

static int keeper_status(struct bind_keeper *b)
{
	int status;

	close(b->fd);
	if (waitpid(b->keeper, &status, 0) == b->keeper && WIFEXITED(status))
		return WEXITSTATUS(status) ? -1 : 0;
	log_error("--bind: the process that gives the devices back was killed: give them back with "
		  "minivmm restore");
	return -1;
}

int bind_keeper_start(struct bind_keeper *b, const struct config *cfg, int foreign_fd)
{
	scoped_fd self = -1;
	int fds[2];
	char ok;

	*b = (struct bind_keeper){ 0 };
	if (!cfg->bind)
		return 0;
	self = pidfd_open(getpid(), 0);
	if (self < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) {
		log_error("--bind: %s", strerror(errno));
		return -1;
	}
	b->fd = fds[0];
	b->keeper = fork();
	if (b->keeper == 0) {
		close(fds[0]);
		cleanup_close(&foreign_fd);
		keep(cfg, fds[1], self);
	}
	close(fds[1]);
	if (b->keeper < 0) {
		log_error("--bind: %s", strerror(errno));
		close(fds[0]);
		return -1;
	}
	if (read(b->fd, &ok, 1) == 1)
		return 0;
	keeper_status(b);
	return -1;
}

int bind_keeper_order(void *keeper, const char *bdf, bool bind, struct error *err)
{
	const struct bind_keeper *b = keeper;
	struct order o = { .what = bind ? ORDER_BIND : ORDER_GIVE_BACK };
	struct answer a;

	snprintf(o.bdf, sizeof(o.bdf), "%s", bdf);
	if (send(b->fd, &o, sizeof(o), MSG_NOSIGNAL) != (ssize_t)sizeof(o) ||
	    recv(b->fd, &a, sizeof(a), MSG_WAITALL) != (ssize_t)sizeof(a))
		return error_set(err, -EPIPE,
				 "--bind: the process that binds devices was killed: bind %s "
				 "yourself: minivmm bind %s",
				 bdf, bdf);
	if (a.ret < 0 && err)
		*err = a.err;
	return a.ret;
}

int bind_keeper_end(struct bind_keeper *b)
{
	const struct order o = { .what = ORDER_END };

	if (!b->keeper)
		return 0;
	(void)!send(b->fd, &o, sizeof(o), MSG_NOSIGNAL);
	return keeper_status(b);
}
