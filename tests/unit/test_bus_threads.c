/* SPDX-License-Identifier: BSD-2-Clause */
/* Threads use a bus whose regions are added and removed: no thread may wait without need, and no
 * removed region may be called. TSan and ASan find other faults (make SAN=thread, SAN=1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/core/bus.h"

#define READERS 4
#define STAYS	0x1000u
#define COMES	0x8000u
/* TSan's runtime has its own locks, and sleeps for them. */
#if defined(__has_feature)
#define SLEEPS_ON_ITS_OWN __has_feature(thread_sanitizer)
#else
#define SLEEPS_ON_ITS_OWN 0
#endif
#define STANDS 20000u /* after so many milliseconds without progress, a thread hangs */

struct reader {
	struct bus *pio, *mmio;
	uint64_t addr;
	bool joins;
	int stop;
	unsigned long turns;
	struct bus_member member;
	pthread_t thread;
};

static unsigned long load(const unsigned long *n)
{
	return __atomic_load_n(n, __ATOMIC_ACQUIRE);
}

static void wait_for(const unsigned long *n, unsigned long value)
{
	for (unsigned ms = 0; load(n) < value; ms++) {
		assert_true(ms < STANDS);
		usleep(1000);
	}
}

static void *reader_run(void *arg)
{
	struct reader *r = arg;

	if (r->joins)
		bus_join(&r->member, r->pio, r->mmio);
	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		bus_read(r->mmio, r->addr, 4);
		__atomic_store_n(&r->turns, r->turns + 1, __ATOMIC_RELEASE);
	}
	if (r->joins)
		bus_part(&r->member);
	return NULL;
}

static void reader_start(struct reader *r, struct bus *pio, struct bus *mmio, uint64_t addr,
			 bool joins)
{
	*r = (struct reader){ .pio = pio, .mmio = mmio, .addr = addr, .joins = joins };
	assert_int_equal(pthread_create(&r->thread, NULL, reader_run, r), 0);
}

static void reader_stop(struct reader *r)
{
	__atomic_store_n(&r->stop, 1, __ATOMIC_RELAXED);
	pthread_join(r->thread, NULL);
}

static uint64_t zero_read(void *opaque, uint64_t off, unsigned size)
{
	(void)opaque;
	(void)off;
	(void)size;
	return 0;
}

static const struct io_region_ops zero_ops = { .read = zero_read };

static long sleeps(void)
{
	struct rusage u;

	getrusage(RUSAGE_THREAD, &u);
	return u.ru_nvcsw;
}

/* A thread that changes the bus must not wait for threads that are in another region or in none. It
 * must not sleep even once while they access the bus as fast as they can. */
static void test_change_does_not_wait(void **state)
{
	struct bus *pio = bus_new(0x10000), *mmio = bus_new(1ull << 40);
	struct io_region stays = { .base = STAYS, .size = 0x1000, .ops = &zero_ops };
	struct io_region comes = { .base = COMES, .size = 0x1000, .ops = &zero_ops };
	static struct reader r[READERS];
	unsigned long end;
	long slept = 0;

	(void)state;
	assert_int_equal(bus_add(mmio, &stays), 0);
	for (unsigned i = 0; i < READERS; i++)
		reader_start(&r[i], pio, mmio, i & 1 ? STAYS : COMES - 8, true);
	for (unsigned i = 0; i < READERS; i++)
		wait_for(&r[i].turns, 1000);
	for (unsigned round = 0; round < 10; round++) {
		/* All threads make progress between the rounds, so a round begins at any point of
		 * their work. */
		for (unsigned i = 0; i < READERS; i++) {
			end = load(&r[i].turns) + 100;
			wait_for(&r[i].turns, end);
		}
		slept -= sleeps();
		for (unsigned i = 0; i < 2000; i++) {
			assert_int_equal(bus_add(mmio, &comes), 0);
			bus_del(mmio, &comes);
		}
		slept += sleeps();
	}
	for (unsigned i = 0; i < READERS; i++)
		reader_stop(&r[i]);
	assert_true(SLEEPS_ON_ITS_OWN || slept == 0);
	bus_free(pio);
	bus_free(mmio);
}

/* A device is freed as soon as its region has left the bus. */
struct fleeting {
	struct io_region region;
	unsigned magic;
	unsigned long *calls;
};

static uint64_t fleeting_read(void *opaque, uint64_t off, unsigned size)
{
	struct fleeting *f = opaque;

	(void)off;
	(void)size;
	assert_int_equal(f->magic, 0x600d);
	__atomic_fetch_add(f->calls, 1, __ATOMIC_RELAXED);
	return 0;
}

static const struct io_region_ops fleeting_ops = { .read = fleeting_read };

static void fleeting_once(struct bus *b, unsigned long *calls, bool wait)
{
	struct fleeting *f = calloc(1, sizeof(*f));
	unsigned long end = load(calls) + 1;

	*f = (struct fleeting){
		.region = { .base = COMES, .size = 0x1000, .ops = &fleeting_ops, .opaque = f },
		.magic = 0x600d,
		.calls = calls
	};
	assert_int_equal(bus_add(b, &f->region), 0);
	if (wait)
		wait_for(calls, end);
	bus_del(b, &f->region);
	assert_int_equal(f->region.refs, 0);
	f->magic = 0xdead;
	free(f);
}

/* With threads that have registered with the bus, and with others. */
static void test_gone_is_gone(void **state)
{
	struct bus *pio = bus_new(0x10000), *mmio = bus_new(1ull << 40);
	static struct reader r[READERS];
	unsigned long calls = 0;

	(void)state;
	for (unsigned i = 0; i < READERS; i++)
		reader_start(&r[i], pio, mmio, COMES, i & 1);
	for (unsigned i = 0; i < 5000; i++)
		fleeting_once(mmio, &calls, i % 500 == 0);
	for (unsigned i = 0; i < READERS; i++)
		reader_stop(&r[i]);
	bus_free(pio);
	bus_free(mmio);
}

/* A chain of regions: the callback of each one reads the next one, and the last one waits until it
 * is released. */
#define CHAIN (BUS_DEPTH + 2)
struct chain {
	struct bus *bus;
	struct io_region region[CHAIN];
	unsigned long inside, gone;
	int go;
};

static uint64_t chain_read(void *opaque, uint64_t off, unsigned size)
{
	struct chain *c = opaque;

	if (off != (CHAIN - 1) * 0x100)
		return bus_read(c->bus, COMES + off + 0x100, size);
	__atomic_store_n(&c->inside, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&c->go, __ATOMIC_ACQUIRE))
		usleep(1000);
	return 0;
}

static uint64_t link_read(void *opaque, uint64_t off, unsigned size)
{
	struct io_region *r = opaque;

	return chain_read(r->opaque, r->base - COMES + off, size);
}

static const struct io_region_ops link_ops = { .read = link_read };

/* Removing region i must wait for its callback, although it is not the innermost one. */
struct remover {
	struct chain *c;
	unsigned i;
	pthread_t thread;
};

static void *remover_run(void *arg)
{
	struct remover *r = arg;

	bus_del(r->c->bus, &r->c->region[r->i]);
	assert_int_equal(__atomic_load_n(&r->c->go, __ATOMIC_ACQUIRE), 1);
	__atomic_fetch_add(&r->c->gone, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void chain_once(struct bus *pio, struct bus *mmio, bool joins)
{
	static struct reader reader;
	struct io_region owner[CHAIN];
	struct remover remover[CHAIN];
	struct chain c = { .bus = mmio };

	for (unsigned i = 0; i < CHAIN; i++) {
		owner[i] = (struct io_region){ .base = COMES + i * 0x100, .opaque = &c };
		c.region[i] = owner[i];
		c.region[i].size = 0x100;
		c.region[i].ops = &link_ops;
		c.region[i].opaque = &owner[i];
		assert_int_equal(bus_add(mmio, &c.region[i]), 0);
	}
	reader_start(&reader, pio, mmio, COMES, joins);
	wait_for(&c.inside, 1);
	for (unsigned i = 0; i < CHAIN; i++) {
		remover[i] = (struct remover){ &c, i, 0 };
		pthread_create(&remover[i].thread, NULL, remover_run, &remover[i]);
	}
	usleep(20000);
	assert_int_equal(load(&c.gone), 0);
	/* Other threads go on meanwhile. */
	assert_int_equal(bus_read(mmio, STAYS, 4), 0);
	__atomic_store_n(&c.go, 1, __ATOMIC_RELEASE);
	wait_for(&c.gone, CHAIN);
	for (unsigned i = 0; i < CHAIN; i++)
		pthread_join(remover[i].thread, NULL);
	reader_stop(&reader);
}

static void test_del_waits(void **state)
{
	struct bus *pio = bus_new(0x10000), *mmio = bus_new(1ull << 40);
	struct io_region stays = { .base = STAYS, .size = 0x1000, .ops = &zero_ops };

	(void)state;
	assert_int_equal(bus_add(mmio, &stays), 0);
	chain_once(pio, mmio, true);
	chain_once(pio, mmio, false);
	bus_free(pio);
	bus_free(mmio);
}

/* Regions move while they are accessed, like BARs and ECAM. An access must get the offset in the
 * region at the time when it was found. */
#define MANY 100
static uint64_t moving_read(void *opaque, uint64_t off, unsigned size)
{
	(void)opaque;
	(void)size;
	assert_int_equal(off, 8);
	return 0;
}

static const struct io_region_ops moving_ops = { .read = moving_read };

static void test_moves(void **state)
{
	struct bus *pio = bus_new(0x10000), *mmio = bus_new(1ull << 40);
	static struct io_region m[MANY];
	static struct reader r[2];

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		reader_start(&r[i], pio, mmio, COMES + 8 + i * 0x1000, true);
	for (unsigned i = 0; i < 4000; i++) {
		struct io_region *one = &m[i % MANY];

		if (one->mapped)
			bus_del(mmio, one);
		*one = (struct io_region){ .base = COMES + i % 2 * 0x1000,
					   .size = 16,
					   .ops = &moving_ops,
					   .priority = (int)i };
		assert_int_equal(bus_add(mmio, one), 0);
	}
	for (unsigned i = 0; i < 2; i++)
		reader_stop(&r[i]);
	bus_free(pio);
	bus_free(mmio);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_change_does_not_wait),
		cmocka_unit_test(test_gone_is_gone),
		cmocka_unit_test(test_del_waits),
		cmocka_unit_test(test_moves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
