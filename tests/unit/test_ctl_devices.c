/* SPDX-License-Identifier: BSD-2-Clause */
/* `ctl add`: what is asked for, what is waited for, and what is said. The machine is faked. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/cli/ctl_devices.h"
#include "vmm/control/qmp_client.h"
#include "vmm/core/addr.h"

json_t *__wrap_qmp_peer_ask(struct qmp_peer *, const char *, json_t *, uint64_t, struct error *);
json_t *__wrap_qmp_peer_event(struct qmp_peer *, uint64_t, struct error *);

static char asked[256];
static const char *event; /* NULL: none comes */
static unsigned waits;

json_t *__wrap_qmp_peer_ask(struct qmp_peer *p, const char *command, json_t *args,
			    uint64_t deadline, struct error *err)
{
	char *text = json_dumps(args, JSON_COMPACT | JSON_SORT_KEYS);
	json_t *id = json_incref(json_object_get(args, "id"));

	(void)p;
	(void)deadline;
	(void)err;
	snprintf(asked, sizeof(asked), "%s %s", command, text);
	free(text);
	json_decref(args);
	json_decref(id);
	return id ? json_object() : json_pack("{s: s}", "id", "rng0");
}

json_t *__wrap_qmp_peer_event(struct qmp_peer *p, uint64_t deadline, struct error *err)
{
	(void)p;
	(void)deadline;
	waits++;
	if (event && waits == 1)
		return json_pack("{s: s, s: {s: s}}", "event", event, "data", "device", "rng0");
	error_set(err, -ETIMEDOUT, "the machine does not answer in time");
	return NULL;
}

static char out[128], says[256];

/* Sends a stream to a file, and returns what it was. */
static int divert(FILE *stream, FILE *to)
{
	int kept;

	assert_non_null(to);
	fflush(stream);
	kept = dup(fileno(stream));
	assert_true(kept >= 0 && dup2(fileno(to), fileno(stream)) >= 0);
	return kept;
}

static void restore(FILE *stream, int kept, FILE *to, char *text, size_t size)
{
	size_t n;

	fflush(stream);
	dup2(kept, fileno(stream));
	close(kept);
	rewind(to);
	n = fread(text, 1, size - 1, to);
	text[n] = '\0';
	fclose(to);
}

/* `ctl add`: its code, what it writes, and the error. */
static int add(const char *what, struct error *err)
{
	FILE *fout = tmpfile(), *ferr = tmpfile();
	int kept_out = divert(stdout, fout), kept_err = divert(stderr, ferr), ret;

	*err = (struct error){ 0 };
	waits = 0;
	ret = ctl_device_add(NULL, what, UINT64_MAX, err);
	restore(stdout, kept_out, fout, out, sizeof(out));
	restore(stderr, kept_err, ferr, says, sizeof(says));
	assert_string_equal(out, "rng0\n");
	return ret;
}

static void test_taken(void **state)
{
	static const char *const what[] = { "rng", "rng,addr=0.0", "rng,addr=0x0" };
	struct error err;
	unsigned i;

	(void)state;
	event = "X_MINIVMM_DEVICE_TAKEN";
	for (i = 0; i < ARRAY_SIZE(what); i++) {
		assert_int_equal(add(what[i], &err), 0);
		assert_string_equal(says, "");
		assert_int_equal(waits, 1);
	}
	assert_string_equal(asked, "device_add {\"addr\":\"0x0\",\"driver\":\"virtio-rng-pci\"}");
}

static void test_not_taken(void **state)
{
	struct error err;

	(void)state;
	event = NULL;
	assert_int_equal(add("rng", &err), -ETIMEDOUT);
	assert_non_null(strstr(err.text, "the guest has not switched it on in 20 s"));
	event = "DEVICE_DELETED";
	assert_int_equal(add("rng,addr=00", &err), -EIO);
	assert_non_null(strstr(err.text, "has switched rng0 off again"));
}

/* The guest sees function 0 only, and the others with it. */
static void test_function(void **state)
{
	static const char *const what[] = {
		"rng,bus=hotplug1,addr=0.1",
		"rng,bus=hotplug1,addr=00.7",
		"rng,bus=hotplug1,addr=0x0.2",
		"rng,bus=hotplug1,addr=0.0x1",
	};
	struct error err;
	unsigned i;

	(void)state;
	event = NULL;
	for (i = 0; i < ARRAY_SIZE(what); i++) {
		assert_int_equal(add(what[i], &err), 0);
		assert_int_equal(waits, 0);
		assert_non_null(strstr(says, "rng0"));
		assert_non_null(strstr(says, "when function 0 of its slot is added"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken),
		cmocka_unit_test(test_not_taken),
		cmocka_unit_test(test_function),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
