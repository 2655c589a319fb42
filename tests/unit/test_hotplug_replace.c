/* SPDX-License-Identifier: BSD-2-Clause */
/* Devices that are replaced: closed, and opened again as if they were new. */
#include "tests/unit/holder.h"
#include "tests/unit/hotplug_fixture.h"

/* A card that has failed comes back, with all of its functions. */
static void test_replace(void **state)
{
	const struct device *zero;

	(void)state;
	guest_boots();
	assert_int_equal(add(&toy_class, "a", "one", "hotplug0", 1), 0);
	assert_int_equal(add(&toy_class, "a", "zero", "hotplug0", 0), 0);
	wait_present();
	guest_takes();
	turn();
	zero = m.list.first->next;
	m.said[0] = '\0';
	assert_true(hotplug_remove_device(m.h, zero, UNPLUG_REPLACE));
	assert_int_equal(read_fn(0), UINT32_MAX);
	guest_lets_go();
	status();
	wait_present();
	assert_ptr_equal(zero, m.list.first->next);
	guest_takes();
	assert_int_equal(read_fn(1), 0x00020001);
	says("X_MINIVMM_DEVICE_TAKEN zero; X_MINIVMM_DEVICE_TAKEN one; ");
	/* It is given up meanwhile. */
	assert_true(hotplug_remove_device(m.h, zero, UNPLUG_REPLACE));
	assert_true(hotplug_remove_device(m.h, zero, UNPLUG_FORCE));
	says("DEVICE_DELETED zero; ");
	while (hotplug_remove(m.h, "one", UNPLUG_FORCE, &m.err) < 0)
		turn();
	says("DEVICE_DELETED one; ");
	assert_null(m.list.first);
}

/* It waits for function 0, and does so again. */
static void test_replace_waiting(void **state)
{
	(void)state;
	guest_boots();
	assert_int_equal(add(&toy_class, "a", "one", "hotplug0", 1), 0);
	says("added one; ");
	assert_int_equal(del("one", UNPLUG_REPLACE), 0);
	refuses(add(&toy_class, "a", "zero", "hotplug0", 0), "in use by one");
	while (add(&toy_class, "a", "zero", "hotplug0", 0) < 0)
		turn();
	says("added zero; ");
	wait_present();
	guest_takes();
	assert_int_equal(read_fn(1), 0x00020001);
	says("X_MINIVMM_DEVICE_TAKEN zero; X_MINIVMM_DEVICE_TAKEN one; ");
}

/* ---- a device whose host keeps it, as a passed-through card ---- */

static _Atomic bool bound;

static int lent_open(void *opaque, struct device *d, const struct device_env *env,
		     struct error *err)
{
	(void)opaque;
	bound = true;
	return toy_open(d, env, err);
}

static int lent_plug(void *opaque, struct device *d, const struct device_env *env,
		     struct error *err)
{
	(void)opaque;
	return toy_plug(d, env, err);
}

static void lent_unplug(void *opaque, struct device *d)
{
	(void)opaque;
	toy_unplug(d);
}

static bool lent_close(void *opaque, struct device *d, bool back)
{
	(void)opaque;
	while (is_named(d, "dead") && m.hold)
		usleep(1000);
	bound &= back;
	return toy_close(d);
}

static void lent_forget(void *opaque, struct device *d)
{
	(void)opaque;
	(void)d;
	bound = false;
}

static const struct hotplug_calls lent_calls = {
	&toy_class, lent_open, lent_plug, lent_unplug, lent_close, lent_forget,
};

static int setup_lent(void **state)
{
	(void)state;
	return setup_calls(0, &lent_calls);
}

static void lend(const char *name)
{
	assert_int_equal(add(&toy_class, name, "x", NULL, 0), 0);
	says("added x; ");
	assert_true(bound);
}

/* Whenever a device that is being replaced is removed, its host gets it back before it is said to
 * be deleted. */
static void test_replaced_and_removed(void **state)
{
	struct holder processor = { .lock = &m.fake.root.lock };

	(void)state;
	guest_boots();
	/* While it is closed. */
	lend("dead");
	m.hold = true;
	assert_int_equal(del("x", UNPLUG_REPLACE), 0);
	assert_int_equal(del("x", UNPLUG_ASK), 0);
	m.hold = false;
	says("DEVICE_DELETED x; ");
	assert_false(bound);
	/* When it is closed, before it is opened again. */
	lend("a");
	assert_int_equal(del("x", UNPLUG_REPLACE), 0);
	for (unsigned i = 0; i < 100; i++)
		turn();
	assert_true(bound);
	assert_int_equal(del("x", UNPLUG_FORCE), 0);
	refuses(del("x", UNPLUG_ASK), "already in the process of unplug");
	says("DEVICE_DELETED x; ");
	assert_false(bound);
	/* Before it has left, because a processor is busy. */
	lend("a");
	holder_start(&processor);
	assert_int_equal(del("x", UNPLUG_REPLACE), 0);
	assert_int_equal(del("x", UNPLUG_FORCE), 0);
	assert_true(holder_stop(&processor));
	says("DEVICE_DELETED x; ");
	assert_false(bound);
	/* It comes back, and then leaves for good. */
	lend("a");
	assert_int_equal(del("x", UNPLUG_REPLACE), 0);
	status();
	wait_present();
	assert_true(bound);
	assert_int_equal(del("x", UNPLUG_FORCE), 0);
	says("DEVICE_DELETED x; ");
	assert_false(bound);
	assert_null(m.list.first);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_replace),
		T(test_replace_waiting),
		cmocka_unit_test_setup_teardown(test_replaced_and_removed, setup_lent, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
