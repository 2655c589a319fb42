/* SPDX-License-Identifier: BSD-2-Clause */
/* What a client sends to a control socket, cut in two anywhere: each request has an answer or an
 * error with a sentence, both are JSON, and no request is lost by where the bytes were cut. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/control/json_stream.h"
#include "vmm/control/qmp_commands.h"
#include "vmm/machine/monitor_devices.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *status(void *opaque)
{
	(void)opaque;
	return "running";
}

static bool quiet(void *opaque)
{
	(void)opaque;
	return true;
}

static void nothing(void *opaque)
{
	(void)opaque;
}

static json_t *query(void *opaque, const char *command)
{
	(void)opaque;
	return json_pack("{s: s}", "asked", command);
}

/* Without hot-pluggable slots a command for devices goes to where it would open something. */
static struct monitor_devices devices;

static json_t *change(void *opaque, const char *command, const json_t *args, uint64_t ticket,
		      struct error *err)
{
	(void)opaque;
	return monitor_devices_change(&devices, command, args, ticket, err);
}

static const struct qmp_machine machine = {
	NULL, "m", status, nothing, quiet, nothing, nothing, nothing, nothing, query, change,
};

static void run(const json_t *request)
{
	struct qmp_call c = { .machine = &machine };
	const struct qmp_command *command;
	struct error err = { 0 };
	json_t *o = qmp_execute(&c, request, &command, &err);
	char *text = o ? json_dumps(o, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	if ((o && (!text || !command)) || (!o && (!err.text[0] || err.code >= 0)))
		abort();
	free(text);
	json_decref(o);
}

/* Returns how many objects and how many errors there were. */
static unsigned feed(struct json_stream *s, const char *p, size_t n, bool execute)
{
	unsigned count = 0;
	size_t used;

	while (n > 0) {
		const char *why = NULL;
		json_t *o;

		switch (json_stream_take(s, p, n, &used, &o, &why)) {
		case JSON_STREAM_OBJECT:
			count += 0x10000;
			if (execute)
				run(o);
			json_decref(o);
			break;
		case JSON_STREAM_BAD:
			count++;
			if (!why)
				abort();
			break;
		case JSON_STREAM_FULL:
			return count;
		case JSON_STREAM_MORE:
			if (used != n)
				abort();
		}
		if (used > n)
			abort();
		p += used;
		n -= used;
	}
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json_stream whole = { 0 }, cut = { 0 };
	const char *text = (const char *)data + 1;
	size_t first;
	unsigned a, b;

	if (size < 2)
		return 0;
	size--;
	first = data[0] < size ? data[0] : size;
	a = feed(&whole, text, size, true);
	b = feed(&cut, text, first, false);
	b += feed(&cut, text + first, size - first, false);
	if (a != b)
		abort();
	json_stream_free(&whole);
	json_stream_free(&cut);
	monitor_devices_free(&devices);
	return 0;
}
