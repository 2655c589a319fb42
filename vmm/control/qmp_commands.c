/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names, members and texts are QEMU's (qapi/misc.json, control.json, run-state.json, machine.json),
 * because clients were written for them.
 */
#include "vmm/control/qmp_commands.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/text.h"
#include "vmm/core/version.h"

json_t *qmp_text(const char *text)
{
	json_t *o = json_string(text);
	scoped_free char *copy = o ? NULL : strdup(text);
	char *p;

	for (p = copy; p && *p; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	return o ? o : copy ? json_string(copy) : NULL;
}

static json_t *nothing(void)
{
	return json_object();
}

/* ---- about the protocol ---- */

static json_t *run_capabilities(struct qmp_call *c, struct error *err)
{
	const json_t *enable = json_object_get(c->args, "enable");
	const char *name;

	if (c->negotiated) {
		error_set(err, -ENOSYS,
			  "Capabilities negotiation is already complete, command ignored");
		return NULL;
	}
	if (enable && !json_is_array(enable)) {
		error_set(err, -EINVAL, "Invalid parameter type for 'enable', expected: array");
		return NULL;
	}
	if (json_array_size(enable)) {
		name = json_string_value(json_array_get(enable, 0));
		error_set(err, -EINVAL, "Parameter 'enable' does not accept value '%s'",
			  name ? name : "?");
		return NULL;
	}
	c->negotiated = true;
	return nothing();
}

json_t *qmp_version(void)
{
	return json_pack("{s: {s: i, s: i, s: i}, s: s}", "qemu", "major", QMP_QEMU_MAJOR, "minor",
			 QMP_QEMU_MINOR, "micro", 0, "package", "minivmm " MINIVMM_VERSION);
}

static json_t *run_version(struct qmp_call *c, struct error *err)
{
	(void)c;
	(void)err;
	return qmp_version();
}

static json_t *run_commands(struct qmp_call *c, struct error *err)
{
	const struct qmp_command *row;
	json_t *all = json_array();

	(void)c;
	(void)err;
	for (row = qmp_commands; row->name; row++)
		json_array_append_new(all, json_pack("{s: s}", "name", row->name));
	return all;
}

/* ---- the machine's life ---- */

static json_t *run_status(struct qmp_call *c, struct error *err)
{
	const char *status = c->machine->status(c->machine->opaque);

	(void)err;
	return json_pack("{s: s, s: b, s: b}", "status", status, "singlestep", 0, "running",
			 strcmp(status, "running") == 0);
}

/* What the machine is told, without an answer of its own. */
#define TELL(fn, what)                                           \
	static json_t *fn(struct qmp_call *c, struct error *err) \
	{                                                        \
		(void)err;                                       \
		c->machine->what(c->machine->opaque);            \
		return nothing();                                \
	}
TELL(run_stop, stop)
TELL(run_cont, cont)
TELL(run_reset, reset)
TELL(run_powerdown, power_button)
TELL(run_quit, quit)

/* ---- questions ---- */

static json_t *ask(const struct qmp_call *c, const char *command, struct error *err)
{
	json_t *o = c->machine->query(c->machine->opaque, command);

	if (!o)
		error_set(err, -ENOMEM, "out of memory");
	return o;
}

/* What the machine answers by the command's own name. */
static json_t *run_query(struct qmp_call *c, struct error *err)
{
	return ask(c, c->command, err);
}

static json_t *run_name(struct qmp_call *c, struct error *err)
{
	(void)err;
	return c->machine->name ? json_pack("{s: o}", "name", qmp_text(c->machine->name))
				: nothing();
}

static json_t *run_uuid(struct qmp_call *c, struct error *err)
{
	(void)c;
	(void)err;
	return json_pack("{s: s}", "UUID", "00000000-0000-0000-0000-000000000000");
}

static json_t *run_kvm(struct qmp_call *c, struct error *err)
{
	(void)c;
	(void)err;
	return json_pack("{s: b, s: b}", "enabled", 1, "present", 1);
}

static json_t *run_none(struct qmp_call *c, struct error *err)
{
	(void)c;
	(void)err;
	return json_array();
}

static json_t *run_migrate(struct qmp_call *c, struct error *err)
{
	(void)c;
	(void)err;
	return nothing();
}

static json_t *run_screendump(struct qmp_call *c, struct error *err)
{
	(void)c;
	error_set(err, -EOPNOTSUPP,
		  "this machine has no emulated display: its picture is that of the passed-through "
		  "graphics card");
	return NULL;
}

/* ---- devices ---- */

static json_t *run_change(struct qmp_call *c, struct error *err)
{
	return c->machine->change(c->machine->opaque, c->command, c->args, c->ticket, err);
}

/* ---- human-monitor-command ---- */

static json_t *hmp_version(struct qmp_call *c, struct error *err)
{
	char text[80];

	(void)c;
	(void)err;
	snprintf(text, sizeof(text), "%d.%d.0minivmm %s\r\n", QMP_QEMU_MAJOR, QMP_QEMU_MINOR,
		 MINIVMM_VERSION);
	return json_string(text);
}

static json_t *hmp_status(struct qmp_call *c, struct error *err)
{
	char text[80];

	(void)err;
	snprintf(text, sizeof(text), "VM status: %s\r\n", c->machine->status(c->machine->opaque));
	return json_string(text);
}

/* A query's answer as text, for people: indented JSON. */
static json_t *hmp_query(struct qmp_call *c, const char *command, struct error *err)
{
	json_t *o = ask(c, command, err), *s;
	scoped_free char *text = o ? json_dumps(o, JSON_INDENT(1)) : NULL;

	json_decref(o);
	s = text ? json_string(text) : NULL;
	if (!s)
		error_set(err, -ENOMEM, "out of memory");
	return s;
}

static json_t *hmp_help(struct qmp_call *c, struct error *err);
static json_t *hmp_info(struct qmp_call *c, struct error *err);

static const struct {
	const char *line;
	json_t *(*run)(struct qmp_call *, struct error *);
	const char *query; /* run NULL: what is asked */
} hmp[] = {
	{ "help", hmp_help, NULL },
	{ "info", hmp_info, NULL },
	{ "info version", hmp_version, NULL },
	{ "info status", hmp_status, NULL },
	{ "info pci", NULL, "query-pci" },
	{ "info block", NULL, "query-block" },
	{ "info cpus", NULL, "query-cpus-fast" },
	{ "stop", run_stop, NULL },
	{ "cont", run_cont, NULL },
	{ "system_reset", run_reset, NULL },
	{ "system_powerdown", run_powerdown, NULL },
	{ "quit", run_quit, NULL },
};

/* The lines that begin with "info ", or the others. */
static json_t *hmp_lines(bool info)
{
	char text[512] = "";
	size_t n = 0;
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(hmp); i++)
		if (info == (strncmp(hmp[i].line, "info ", 5) == 0))
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s\r\n", hmp[i].line);
	return json_string(text);
}

static json_t *hmp_help(struct qmp_call *c, struct error *err)
{
	(void)c;
	(void)err;
	return hmp_lines(false);
}

/* qmp-shell takes the second word of each line. */
static json_t *hmp_info(struct qmp_call *c, struct error *err)
{
	(void)c;
	(void)err;
	return hmp_lines(true);
}

static json_t *run_human(struct qmp_call *c, struct error *err)
{
	const char *line = json_string_value(json_object_get(c->args, "command-line"));
	char text[200];
	json_t *o;
	unsigned i;

	if (!line) {
		error_set(err, -EINVAL, "Parameter 'command-line' is missing");
		return NULL;
	}
	for (i = 0; i < ARRAY_SIZE(hmp); i++) {
		if (strcmp(hmp[i].line, line) != 0)
			continue;
		o = hmp[i].run ? hmp[i].run(c, err) : hmp_query(c, hmp[i].query, err);
		if (!o || json_is_string(o))
			return o;
		json_decref(o);
		return json_string("");
	}
	/* As in QEMU: an answer, not an error. */
	snprintf(text, sizeof(text), "unknown command: '%.80s' (try 'help', or use QMP)\r\n", line);
	o = json_string(text);
	return o ? o : json_string("unknown command\r\n");
}

/* ---- the table ---- */

const struct qmp_command qmp_commands[] = {
	{ "qmp_capabilities", run_capabilities, "enable ", false },
	{ "query-version", run_version, NULL, false },
	{ "query-commands", run_commands, NULL, false },
	{ "query-status", run_status, NULL, false },
	{ "query-name", run_name, NULL, false },
	{ "query-uuid", run_uuid, NULL, false },
	{ "query-kvm", run_kvm, NULL, false },
	{ "query-cpus-fast", run_query, NULL, false },
	{ "query-pci", run_query, NULL, false },
	{ "query-block", run_query, NULL, false },
	{ "query-blockstats", run_query, "query-nodes ", false },
	{ "query-chardev", run_query, NULL, false },
	{ "query-memory-size-summary", run_query, NULL, false },
	{ "query-hotpluggable-cpus", run_none, NULL, false },
	{ "query-migrate", run_migrate, NULL, false },
	{ "stop", run_stop, NULL, true },
	{ "cont", run_cont, NULL, false },
	{ "system_reset", run_reset, NULL, false },
	{ "system_powerdown", run_powerdown, NULL, false },
	{ "quit", run_quit, NULL, false },
	{ "device_add", run_change, "*", false },
	{ "device_del", run_change, "id x-minivmm-force ", false },
	{ "blockdev-add", run_change, "*", false },
	{ "blockdev-del", run_change, "node-name ", false },
	{ "netdev_add", run_change, "*", false },
	{ "netdev_del", run_change, "id ", false },
	{ "screendump", run_screendump, "filename device head format ", false },
	{ "human-monitor-command", run_human, "command-line cpu-index ", true },
	{ "x-minivmm-stats", run_query, NULL, false },
	{ NULL, NULL, NULL, false },
};

static const struct qmp_command *find(const char *name)
{
	const struct qmp_command *row;

	for (row = qmp_commands; row->name; row++)
		if (strcmp(row->name, name) == 0)
			return row;
	return NULL;
}

static int check_args(const struct qmp_command *row, const json_t *args, struct error *err)
{
	const char *name;
	json_t *value;

	if (args && !json_is_object(args))
		return error_set(err, -EINVAL, "QMP input member 'arguments' must be an object");
	json_object_foreach((json_t *)args, name, value)
	{
		if (!row->args || (row->args[0] != '*' && !text_lists(row->args, name)))
			return error_set(err, -EINVAL, "Parameter '%.64s' is unexpected", name);
	}
	return 0;
}

static int check_members(const json_t *request, struct error *err)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)request, name, value)
	{
		if (!text_lists("execute arguments id ", name))
			return error_set(err, -EINVAL, "QMP input member '%.64s' is unexpected",
					 name);
	}
	if (!json_object_get(request, "execute"))
		return error_set(err, -EINVAL, "QMP input lacks member 'execute'");
	if (!json_is_string(json_object_get(request, "execute")))
		return error_set(err, -EINVAL, "QMP input member 'execute' must be a string");
	return 0;
}

json_t *qmp_execute(struct qmp_call *c, const json_t *request, const struct qmp_command **command,
		    struct error *err)
{
	const struct qmp_command *row;
	const char *name;

	*command = NULL;
	if (check_members(request, err) < 0)
		return NULL;
	name = json_string_value(json_object_get(request, "execute"));
	row = find(name);
	if (!row) {
		error_set(err, -ENOSYS, "The command %.64s has not been found", name);
		return NULL;
	}
	c->args = json_object_get(request, "arguments");
	if (check_args(row, c->args, err) < 0)
		return NULL;
	*command = row;
	c->command = row->name;
	return row->run(c, err);
}
