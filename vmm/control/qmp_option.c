/* SPDX-License-Identifier: BSD-2-Clause */
/* --qmp: a socket of the machine's, as a class of devices. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "devices/backend/unix_listener.h"
#include "vmm/control/qmp.h"
#include "vmm/control/runtime.h"
#include "vmm/core/cleanup.h"

struct qmp_opts {
	const char *where;
};

struct qmp_socket {
	char path[RUNTIME_PATH_MAX];
	bool named; /* its folder is the machine's own */
	bool made;  /* the folder */
};

/* The path in auto, unix:PATH, PATH. What tutorials write behind it (server=on,wait=off) is what
 * there is here anyway. */
static int find_path(const char *where, const struct device_env *env, struct qmp_socket *s,
		     struct error *err)
{
	const char *path = strncmp(where, "unix:", 5) == 0 ? where + 5 : where;
	size_t n = strcspn(path, ",");

	s->named = strcmp(where, "auto") == 0;
	if (s->named && !env->name)
		return error_set(err, -EINVAL, "auto needs --name: the socket is found by it");
	if (s->named)
		return runtime_socket(env->name, s->path, sizeof(s->path), err);
	if (n == 0 || n >= sizeof(s->path) || (where == path && !strchr(path, '/')))
		return error_set(err, -EINVAL, "%s: use unix:PATH, or auto with --name", where);
	memcpy(s->path, path, n);
	s->path[n] = '\0';
	return 0;
}

static int socket_open(struct device *d, const struct device_env *env, struct error *err)
{
	struct qmp_socket *s = calloc(1, sizeof(*s));
	int ret;

	if (!s)
		return error_set(err, -ENOMEM, "out of memory");
	d->state = s;
	ret = find_path(device_arg(d), env, s, err);
	if (ret < 0 || s->named)
		return ret;
	return unix_listener_check(s->path, env->outputs, err);
}

static int socket_plug(struct device *d, const struct device_env *env, struct error *err)
{
	struct qmp_socket *s = d->state;
	int ret = s->named ? runtime_make(s->path, err) : 0;

	s->made = s->named && ret == 0;
	return ret < 0 ? ret : qmp_listen(env->qmp, s->path, err);
}

/* The socket itself goes with qmp_free(), before. */
static bool socket_close(struct device *d)
{
	struct qmp_socket *s = d->state;

	if (s && s->made)
		runtime_remove(s->path);
	free(s);
	return true;
}

const struct device_class qmp_class = {
	.name = "QMP socket",
	.option = "qmp",
	.arg = "unix:PATH|auto",
	.help = "  --qmp unix:PATH|auto  control socket\n",
	.late = true,
	.most = QMP_MAX_SOCKETS,
	.opts_size = sizeof(struct qmp_opts),
	.open = socket_open,
	.plug = socket_plug,
	.close = socket_close,
};
