/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `minivmm ctl NAME|PATH COMMAND`: a running machine is asked or told something through its control
 * socket.
 *
 * The words of the table below are for people; any other word is a command of QMP, with its
 * arguments as key=value.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cli/command.h"
#include "vmm/cli/ctl_devices.h"
#include "vmm/cli/output.h"
#include "vmm/control/qmp.h"
#include "vmm/control/qmp_commands.h"
#include "vmm/control/qmp_client.h"
#include "vmm/control/runtime.h"
#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/evloop.h"
#include "vmm/core/keys.h"
#include "vmm/core/log.h"
#include "vmm/core/text.h"
#include "vmm/report/report.h"

#define ANSWER_S 60u /* `stop` waits up to 30 s for the disks */
#define SECOND	 1000000000ull

struct call {
	const char *word;
	const char **args; /* what is left, NULL behind the last */
	unsigned n_args;
	uint64_t timeout_s; /* UINT64_MAX: none given */
	const char *then;
	bool json, force;
	struct qmp_peer *peer;
};

static uint64_t deadline_of(uint64_t seconds)
{
	return seconds > UINT32_MAX ? UINT64_MAX : evloop_now_ns() + seconds * SECOND;
}

/* What a machine says, on a terminal: control characters but the newline do nothing there. */
static void print_clean(const char *s)
{
	bool control;
	unsigned n;

	for (; *s; s += n) {
		n = text_char(s, &control);
		if (!control || *s == '\n')
			fwrite(s, 1, n, stdout);
	}
}

/* ASCII only: no control character of any kind is in it. */
static int print_json(const json_t *o, bool compact)
{
	scoped_free char *text = json_dumps(o, (compact ? JSON_COMPACT : JSON_INDENT(2)) |
						       JSON_ENCODE_ANY | JSON_ENSURE_ASCII |
						       JSON_REAL_PRECISION(9));

	if (!text)
		return -ENOMEM;
	printf("%s\n", text);
	fflush(stdout);
	return 0;
}

static json_t *ask(const struct call *c, const char *command, json_t *args, struct error *err)
{
	return qmp_peer_ask(c->peer, command, args, deadline_of(ANSWER_S), err);
}

/* ---- words for people ---- */

static int tell(const struct call *c, const char *command, struct error *err)
{
	json_t *o = ask(c, command, NULL, err);

	if (!o)
		return err->code;
	if (c->json)
		print_json(o, true);
	json_decref(o);
	return 0;
}

static int do_status(const struct call *c, struct error *err)
{
	json_t *o = ask(c, "query-status", NULL, err);
	const char *status = json_string_value(json_object_get(o, "status"));

	if (!o)
		return err->code;
	if (c->json)
		print_json(o, true);
	else
		print_clean(status ? status : "?"), putchar('\n');
	json_decref(o);
	return 0;
}

static int do_stats(const struct call *c, struct error *err)
{
	json_t *o = ask(c, "x-minivmm-stats", NULL, err);

	if (!o)
		return err->code;
	if (c->json)
		print_json(o, true);
	else
		report_text(stdout, o);
	json_decref(o);
	return 0;
}

static bool is_event(const json_t *o, const char *name)
{
	const char *is = json_string_value(json_object_get(o, "event"));

	return is && strcmp(is, name) == 0;
}

/* Until such an event, or the end of the machine, which is what SHUTDOWN tells. */
static int await_event(const struct call *c, const char *name, uint64_t deadline, json_t **event,
		       struct error *err)
{
	json_t *o;

	while ((o = qmp_peer_event(c->peer, deadline, err))) {
		if (is_event(o, name)) {
			*event = o;
			return 0;
		}
		json_decref(o);
	}
	*event = NULL;
	return err->code;
}

static int do_powerdown(const struct call *c, struct error *err)
{
	uint64_t deadline = deadline_of(c->timeout_s);
	json_t *event, *status = ask(c, "query-status", NULL, err);
	const char *is = json_string_value(json_object_get(status, "status"));
	bool paused = is && strcmp(is, "paused") == 0;
	int ret;

	json_decref(status);
	if (!status)
		return err->code;
	if (paused)
		return error_set(err, -EBUSY, "the machine is paused: let it go on first (cont)");
	ret = tell(c, "system_powerdown", err);

	if (ret < 0 || c->timeout_s == UINT64_MAX)
		return ret;
	ret = await_event(c, "SHUTDOWN", deadline, &event, err);
	json_decref(event);
	if (ret == 0 || ret == -EPIPE)
		return 0;
	if (ret != -ETIMEDOUT)
		return ret;
	if (c->then)
		return tell(c, "quit", err);
	return error_set(err, ret,
			 "the guest has not powered off in %" PRIu64 " s: does it listen to its "
			 "power button? --then quit ends it",
			 c->timeout_s);
}

static int do_events(const struct call *c, struct error *err)
{
	uint64_t deadline = deadline_of(c->timeout_s);
	json_t *o;

	/* What cannot be printed is said by output_end(). */
	while (!ferror(stdout) && (o = qmp_peer_event(c->peer, deadline, err))) {
		print_json(o, true);
		json_decref(o);
	}
	return err->code == -EPIPE || err->code == -ETIMEDOUT ? 0 : err->code;
}

static int do_wait(const struct call *c, struct error *err)
{
	json_t *event;
	int ret = await_event(c, c->args[0], deadline_of(c->timeout_s), &event, err);

	if (ret == 0)
		print_json(event, true);
	json_decref(event);
	if (ret == -ETIMEDOUT)
		return error_set(err, ret, "no event %s in %" PRIu64 " s", c->args[0],
				 c->timeout_s);
	return ret;
}

static int do_add(const struct call *c, struct error *err)
{
	return ctl_device_add(c->peer, c->args[0], c->timeout_s, err);
}

static int do_del(const struct call *c, struct error *err)
{
	return ctl_device_del(c->peer, c->args[0], c->timeout_s, c->force, err);
}

/* ---- any command ---- */

/* The name of a row of `words`; NULL: there is no such row. */
static const char *word_name(unsigned i);

/* A number, a truth value, or a string. */
static json_t *value_of(const char *s)
{
	char *end;
	long long n;

	if (strcmp(s, "true") == 0 || strcmp(s, "false") == 0)
		return json_boolean(s[0] == 't');
	errno = 0;
	n = strtoll(s, &end, 10);
	return end != s && !*end && !errno ? json_integer(n) : json_string(s);
}

static json_t *arguments(const struct call *c, struct error *err)
{
	json_t *o = json_object();
	unsigned i;

	for (i = 0; i < c->n_args; i++) {
		const char *eq = strchr(c->args[i], '=');
		scoped_free char *key = eq ? strndup(c->args[i], (size_t)(eq - c->args[i])) : NULL;

		if (!key || !*key) {
			error_set(err, -EINVAL, "%s: arguments are KEY=VALUE", c->args[i]);
			json_decref(o);
			return NULL;
		}
		if (json_object_set_new(o, key, value_of(eq + 1)) < 0) {
			error_set(err, -EINVAL, "%s is not UTF-8", c->args[i]);
			json_decref(o);
			return NULL;
		}
	}
	return o;
}

/* The machine does not know the command: one with a similar name may be meant. */
static int suggest(const char *word, struct error *err)
{
	const struct error why = *err;
	struct text_nearest near = { .word = word, .distance = UINT_MAX };
	unsigned i;

	if (!strstr(why.text, "has not been found"))
		return why.code;
	for (i = 0; word_name(i); i++)
		text_consider(&near, word_name(i));
	for (i = 0; qmp_commands[i].name; i++)
		text_consider(&near, qmp_commands[i].name);
	return near.name ? error_set(err, why.code, "%s: did you mean %s?", why.text, near.name)
			 : why.code;
}

static int do_any(const struct call *c, struct error *err)
{
	json_t *args = c->n_args ? arguments(c, err) : NULL, *o;

	if (c->n_args && !args)
		return err->code;
	o = ask(c, c->word, args, err);
	if (!o)
		return suggest(c->word, err);
	if (json_is_string(o) && !c->json)
		print_clean(json_string_value(o));
	else if (c->json || !json_is_object(o) || json_object_size(o))
		print_json(o, c->json);
	json_decref(o);
	return 0;
}

static const struct word {
	const char *name;
	int (*run)(const struct call *, struct error *); /* NULL: `command` is told */
	const char *command;
	unsigned n_args;
	const char *takes; /* as messages say it; NULL: no argument */
} words[] = {
	{ "status", do_status, NULL, 0, NULL },
	{ "stop", NULL, "stop", 0, NULL },
	{ "pause", NULL, "stop", 0, NULL },
	{ "cont", NULL, "cont", 0, NULL },
	{ "resume", NULL, "cont", 0, NULL },
	{ "reset", NULL, "system_reset", 0, NULL },
	{ "quit", NULL, "quit", 0, NULL },
	{ "stats", do_stats, NULL, 0, NULL },
	{ "events", do_events, NULL, 0, NULL },
	{ "powerdown", do_powerdown, NULL, 0, NULL },
	{ "wait", do_wait, NULL, 1, "the name of an event" },
	{ "add", do_add, NULL, 1, "a PCI address, the path of a disk image, tap, or rng" },
	{ "del", do_del, NULL, 1, "the id of a device" },
};

static const char *word_name(unsigned i)
{
	return i < ARRAY_SIZE(words) ? words[i].name : NULL;
}

static const struct word *find_word(const char *name)
{
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(words); i++)
		if (strcmp(words[i].name, name) == 0)
			return &words[i];
	return NULL;
}

bool ctl_has_word(const char *name)
{
	return find_word(name);
}

static int check_word(const struct call *c, struct error *err)
{
	const struct word *w = find_word(c->word);
	unsigned i;

	if (w && c->n_args != w->n_args)
		return error_set(err, -EINVAL, "%s takes %s", c->word,
				 w->takes ? w->takes : "no argument");
	if (c->force && (!w || w->run != do_del))
		return error_set(err, -EINVAL, "--force belongs to del");
	if (c->then && (c->timeout_s == UINT64_MAX || !w || w->run != do_powerdown))
		return error_set(err, -EINVAL, "--then belongs to powerdown --timeout S");
	if (w && w->run == do_wait && !text_lists(qmp_event_names, c->args[0]))
		return error_set(err, -EINVAL, "there is no event %.40s; the events are %.*s",
				 c->args[0], (int)strlen(qmp_event_names) - 1, qmp_event_names);
	for (i = 0; !w && i < c->n_args; i++)
		if (!strchr(c->args[i], '=') || c->args[i][0] == '=')
			return error_set(err, -EINVAL, "%s: arguments are KEY=VALUE", c->args[i]);
	return 0;
}

static int run_word(const struct call *c, struct error *err)
{
	const struct word *w = find_word(c->word);

	if (!w)
		return do_any(c, err);
	return w->run ? w->run(c, err) : tell(c, w->command, err);
}

/* ---- ctl list ---- */

static void list_one(struct output_table *t, const char *name)
{
	char path[RUNTIME_PATH_MAX], pid[16] = "";
	struct error err = { 0 };
	struct qmp_peer *p;
	json_t *o;

	/* Not what would look like a line of the list. */
	for (const char *c = name; *c; c++)
		if (!isprint((unsigned char)*c))
			return;
	if (runtime_socket(name, path, sizeof(path), &err) < 0)
		return;
	p = qmp_peer_open(path, deadline_of(2), &err);
	o = p ? qmp_peer_ask(p, "query-status", NULL, deadline_of(2), &err) : NULL;
	if (p)
		snprintf(pid, sizeof(pid), "%d", (int)qmp_peer_pid(p));
	if (o) {
		const char *status = json_string_value(json_object_get(o, "status"));

		output_row(t, 3, (const char *const[]){ name, status ? status : "?", pid });
	} else if (err.code != -ECONNREFUSED && err.code != -ENOENT && err.code != -ENOTDIR) {
		output_row(t, 3, (const char *const[]){ name, "does not answer", pid });
	}
	json_decref(o);
	qmp_peer_close(p);
}

static int list(struct error *err)
{
	char dir[RUNTIME_PATH_MAX];
	struct output out = output_to(stdout);
	struct output_table t = { 0 };
	struct dirent *e;
	DIR *d;

	if (runtime_dir(dir, sizeof(dir), err) < 0)
		return err->code;
	output_row(&t, 3, (const char *const[]){ "NAME", "STATUS", "PID" });
	d = opendir(dir);
	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.')
			list_one(&t, e->d_name);
	if (d)
		closedir(d);
	return output_table(&out, &t) < 0 ? error_set(err, -ENOMEM, "out of memory") : 0;
}

/* ---- the call ---- */

static int take_option(struct call *c, char **argv, int *i, struct error *err)
{
	const char *arg = argv[*i];

	if (strcmp(arg, "--json") == 0) {
		c->json = true;
		return 0;
	}
	if (strcmp(arg, "--force") == 0) {
		c->force = true;
		return 0;
	}
	if (strcmp(arg, "--timeout") != 0 && strcmp(arg, "--then") != 0)
		return error_set(err, -EINVAL, "unknown option %s", arg);
	if (!argv[++*i])
		return error_set(err, -EINVAL, "%s takes a value", arg);
	if (arg[4] == 'e') {
		c->then = argv[*i];
		return strcmp(c->then, "quit") ? error_set(err, -EINVAL, "--then takes quit") : 0;
	}
	return key_parse_number(argv[*i], 0, &c->timeout_s) < 0
		       ? error_set(err, -EINVAL, "--timeout takes seconds")
		       : 0;
}

static int parse(struct call *c, int argc, char **argv, struct error *err)
{
	int i;

	for (i = 2; i < argc; i++) {
		if (strncmp(argv[i], "--", 2) == 0) {
			if (take_option(c, argv, &i, err) < 0)
				return err->code;
		} else if (!c->word) {
			c->word = argv[i];
		} else {
			c->args[c->n_args++] = argv[i];
		}
	}
	if (!c->word)
		return error_set(err, -EINVAL, "what shall the machine do? See minivmm ctl --help");
	return check_word(c, err);
}

static int reach(struct call *c, const char *where, struct error *err)
{
	char path[RUNTIME_PATH_MAX];

	if (strncmp(where, "unix:", 5) == 0)
		where += 5;
	if (strchr(where, '/'))
		snprintf(path, sizeof(path), "%s", where);
	else if (runtime_socket(where, path, sizeof(path), err) < 0)
		return err->code;
	c->peer = qmp_peer_open(path, deadline_of(ANSWER_S), err);
	if (!c->peer && err->code == -ENOENT && ctl_has_word(where))
		return error_set(err, -ENOENT,
				 "no machine is named %s: its name comes first: minivmm ctl %s %s",
				 where, c->word, where);
	if (!c->peer && err->code == -ENOENT && !strchr(where, '/'))
		return error_set(err, -ENOENT,
				 "no machine named %s runs with --qmp auto (see minivmm ctl list)",
				 where);
	return c->peer ? 0 : err->code;
}

int command_ctl(int argc, char **argv)
{
	scoped_free const char **args = calloc((size_t)argc + 1, sizeof(*args));
	struct call c = { .args = args, .timeout_s = UINT64_MAX };
	struct error err = { 0 };
	int ret;

	if (argc < 2) {
		log_error("ctl: usage: " USAGE_CTL);
		return COMMAND_USAGE;
	}
	if (argc == 2 && strcmp(argv[1], "list") == 0) {
		ret = list(&err);
	} else if (!args || parse(&c, argc, argv, &err) < 0) {
		log_error("ctl: %s", err.text);
		return COMMAND_USAGE;
	} else {
		ret = reach(&c, argv[1], &err);
		if (ret == 0)
			ret = run_word(&c, &err);
	}
	qmp_peer_close(c.peer);
	if (ret < 0)
		log_error("ctl: %s", err.text);
	return ret < 0 ? 1 : 0;
}
