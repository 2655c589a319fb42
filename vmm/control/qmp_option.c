/* SPDX-License-Identifier: BSD-2-Clause */
/* --qmp: a socket of the machine's, as a class of devices. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "devices/backend/unix_listener.h"
#include "vmm/control/qmp.h"
#include "vmm/control/runtime.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/outputs.h"

struct qmp_opts {
	const char *where;
};

struct qmp_socket {
	char path[RUNTIME_PATH_MAX];
	bool named; /* its folder is the machine's own */
	bool made;  /* the folder */
};

static bool is_auto(const struct device *d)
{
	return strcmp(device_arg(d), "auto") == 0;
}

/* The path in unix:PATH or PATH; without the word in front it must have a slash. */
static char *find_path(const char *where, struct error *err)
{
	if (strncmp(where, "unix:", 5) == 0)
		return unix_listener_path(where + 5, err);
	if (strchr(where, '/'))
		return unix_listener_path(where, err);
	error_set(err, -EINVAL, "use unix:PATH, or auto with --name");
	return NULL;
}

static int socket_check(const struct device *d, const struct device_list *l, struct error *err)
{
	scoped_free char *path = is_auto(d) ? NULL : find_path(device_arg(d), err);

	(void)l;
	if (is_auto(d) || (path && strlen(path) < RUNTIME_PATH_MAX))
		return 0;
	return path ? error_set(err, -ENAMETOOLONG, "the path is too long") : err->code;
}

static int socket_open(struct device *d, const struct device_env *env, struct error *err)
{
	struct qmp_socket *s = calloc(1, sizeof(*s));
	scoped_free char *path = NULL;

	if (!s)
		return error_set(err, -ENOMEM, "out of memory");
	d->state = s;
	s->named = is_auto(d);
	if (s->named && !env->name)
		return error_set(err, -EINVAL, "auto needs --name: the socket is found by it");
	if (s->named && runtime_socket(env->name, s->path, sizeof(s->path), err) < 0)
		return err->code;
	if (s->named)
		return outputs_claim(env->outputs, s->path, err);
	path = find_path(device_arg(d), err);
	if (!path)
		return err->code;
	snprintf(s->path, sizeof(s->path), "%s", path);
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
	.stage = DEVICE_SPEAKS,
	.most = QMP_MAX_SOCKETS,
	.opts_size = sizeof(struct qmp_opts),
	.check = socket_check,
	.open = socket_open,
	.plug = socket_plug,
	.close = socket_close,
};
