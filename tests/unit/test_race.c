/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads that act as vCPUs fight over one machine's configuration space, windows and registers, at
 * random, beside the main loop: nobody waits for ever, and the machine works afterwards. TSan finds
 * what is accessed without its lock (make SAN=thread check).
 *
 * RACE_SECONDS says for how long, RACE_SEED repeats a run's choices (not their order among the
 * threads).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <linux/virtio_config.h>
#include <time.h>
#include <unistd.h>

#include "devices/chipset/acpi_pm.h"
#include "devices/chipset/cmos_rtc.h"
#include "devices/chipset/ich9_lpc.h"
#include "devices/pci/pci_host.h"
#include "devices/pci/root_port.h"
#include "devices/virtio/virtio_console.h"
#include "devices/virtio/virtio_rng.h"
#include "tests/unit/fake_driver.h"
#include "tests/unit/fake_vfio.h"
#include "vfio/device.h"
#include "vmm/core/evloop.h"
#include "vmm/core/log.h"

#define VCPUS	     3
#define ECAM	     0xb0000000u
#define RNG	     PCI_DEVFN(3, 0)
#define CONSOLE	     PCI_DEVFN(4, 0)
#define PORT	     PCI_DEVFN(6, 0)
#define LPC	     PCI_DEVFN(31, 0)
#define HOME	     0xe0000000u /* BAR 0 of the rng, where its driver wants it */
#define BEHIND	     0xe1000000u /* BARs of the passed-through device */
#define BUS_WINDOW   0xe170e100u /* the port's memory window around them: limit and base */
#define MSIX_VECTORS 4u
#define TICK_NS	     5000000u
#define STANDS_S     20 /* after so many seconds without progress, a thread hangs */

struct vcpu {
	struct machine *m;
	uint32_t random;
	unsigned long steps;
	struct bus_member member;
	pthread_t thread;
};

struct machine {
	struct fake_driver d;
	struct pci_host host;
	struct root_port port;
	struct acpi_pm pm;
	struct ich9_lpc lpc;
	struct cmos_rtc cmos;
	struct fake_vfio f;
	struct fake_log log;
	struct vfio_pci *vfio;
	struct virtio_rng *rng;
	struct virtio_console *console;
	struct ev_timer *tick;
	unsigned long ticks;
	int stop;
	pthread_t loop;
	struct vcpu vcpu[VCPUS];
};

/* xorshift (Marsaglia, 2003). */
static uint32_t any(struct vcpu *v)
{
	v->random ^= v->random << 13;
	v->random ^= v->random >> 17;
	v->random ^= v->random << 5;
	return v->random;
}

static void out(struct vcpu *v, uint64_t port, unsigned size, uint32_t val)
{
	bus_write(v->m->d.root->pio, port, size, val);
}

static void store(struct vcpu *v, uint64_t addr, unsigned size, uint32_t val)
{
	bus_write(v->m->d.root->mmio, addr, size, val);
}

/* ---- what a vCPU does ---- */

static unsigned some_function(struct vcpu *v)
{
	static const unsigned devfn[] = { 0, RNG, CONSOLE, PORT, LPC };
	uint32_t r = any(v);

	/* Behind the port, at its original bus number. */
	return r & 0x100 ? 1u << 8 : devfn[r % ARRAY_SIZE(devfn)];
}

static uint32_t some_address(struct vcpu *v)
{
	static const uint32_t addr[] = { HOME,	     HOME + 0x8000,	HOME + 0x800,
					 BEHIND,     BEHIND + 0x100000, ECAM,
					 0xfec00000, 0xfee00000,	0xffffffff,
					 0x80000000 };

	return addr[any(v) % ARRAY_SIZE(addr)];
}

static uint32_t cfg_of(unsigned fn, unsigned off)
{
	return ECAM + (fn << 12) + off;
}

/* Through the ports CONFIG_ADDRESS and CONFIG_DATA, in two steps; other threads may come between.
 */
static void cfg_write(struct vcpu *v, unsigned fn, unsigned off, unsigned size, uint32_t val)
{
	out(v, PCI_HOST_CF8, 4, 0x80000000u | fn << 8 | off);
	out(v, PCI_HOST_CF8 + 4, size, val);
}

static void do_command(struct vcpu *v)
{
	/* I/O, memory, bus master, and INTx off. */
	static const uint16_t bits[] = { 0, 2, 6, 7, 0x406, 0x407, 0x400 };

	cfg_write(v, some_function(v), PCI_COMMAND, 2, bits[any(v) % ARRAY_SIZE(bits)]);
}

static void do_bar_by_port(struct vcpu *v)
{
	cfg_write(v, some_function(v), PCI_BASE_ADDRESS_0 + 4 * (any(v) % 6), 4, some_address(v));
}

static void do_bar_by_ecam(struct vcpu *v)
{
	unsigned fn = some_function(v);

	store(v, cfg_of(fn, PCI_BASE_ADDRESS_0 + 4 * (any(v) % 6)), 4, some_address(v));
	store(v, cfg_of(fn, PCI_COMMAND), 2, 6);
}

static void do_read_cfg(struct vcpu *v)
{
	bus_read(v->m->d.root->mmio, cfg_of(some_function(v), any(v) & 0xffc), 4);
}

static void do_read(struct vcpu *v)
{
	bus_read(v->m->d.root->mmio, some_address(v) + (any(v) & 0x7ffc), 4);
}

static void do_write(struct vcpu *v)
{
	store(v, some_address(v) + (any(v) & 0x7ffc), 4, any(v));
}

static void do_bridge(struct vcpu *v)
{
	store(v, cfg_of(PORT, PCI_PRIMARY_BUS), 4, any(v) & 7 ? 0x010100 : any(v) & 0xffffff);
	store(v, cfg_of(PORT, PCI_MEMORY_BASE), 4, any(v) & 7 ? BUS_WINDOW : any(v));
	store(v, cfg_of(PORT, PCI_COMMAND), 2, 7);
}

static void do_bus_reset(struct vcpu *v)
{
	if (any(v) & 15)
		return;
	store(v, cfg_of(PORT, PCI_BRIDGE_CONTROL), 2, PCI_BRIDGE_CTL_BUS_RESET);
	store(v, cfg_of(PORT, PCI_BRIDGE_CONTROL), 2, 0);
}

static void do_move_ecam(struct vcpu *v)
{
	if (any(v) & 15)
		return;
	cfg_write(v, 0, 0x60, 4, (any(v) & 1 ? ECAM : 0xc0000000u) | 1);
	cfg_write(v, 0, 0x60, 4, ECAM | 1);
}

static void do_move_pmbase(struct vcpu *v)
{
	cfg_write(v, LPC, 0x40, 4, any(v) & 1 ? 0x601 : 0x701);
}

static void do_msix(struct vcpu *v)
{
	unsigned fn = any(v) & 1 ? RNG : 1u << 8;

	/* The control word of the capability is at one of these offsets; also the table and its
	 * mask bits. */
	store(v, cfg_of(fn, any(v) & 1 ? 0x40 : 0x50), 4, any(v) << 16 | 0x80000000u);
	store(v, HOME + 0x4000 + (any(v) & 0x3c), 4, any(v) & 1);
	store(v, BEHIND + 0x102000 + (any(v) & 0x3c), 4, any(v) & 1);
}

/* Races in guest memory are the guest's fault, so TSan must ignore them. */
__attribute__((no_sanitize("thread"))) static void do_scribble(struct vcpu *v)
{
	volatile uint32_t *ring = (volatile uint32_t *)(v->m->d.r.ram + FAKE_QUEUE);

	ring[any(v) & 0xbff] = any(v) & 1 ? any(v) : any(v) & 0x10007;
}

/* A driver starts the queue of the rng; a thread that moves the BAR meanwhile may make it fail. */
static void do_drive(struct vcpu *v)
{
	store(v, cfg_of(RNG, PCI_BASE_ADDRESS_0), 4, HOME);
	store(v, cfg_of(RNG, PCI_COMMAND), 2, 6);
	if (!(any(v) & 7))
		store(v, HOME + C(device_status), 1, 0);
	store(v, HOME + C(guest_feature_select), 4, 1);
	store(v, HOME + C(guest_feature), 4, 1);
	store(v, HOME + C(device_status), 1, 11);
	store(v, HOME + C(queue_select), 2, 0);
	store(v, HOME + C(queue_size), 2, RING_SIZE);
	store(v, HOME + C(queue_desc_lo), 4, FAKE_QUEUE);
	store(v, HOME + C(queue_avail_lo), 4, FAKE_QUEUE + 0x1000);
	store(v, HOME + C(queue_used_lo), 4, FAKE_QUEUE + 0x2000);
	store(v, HOME + C(queue_enable), 2, 1);
	store(v, HOME + C(device_status), 1, 15);
	store(v, FAKE_NOTIFY, 2, 0);
}

static void do_kick(struct vcpu *v)
{
	store(v, FAKE_NOTIFY, 2, any(v) & 1);
	bus_read(v->m->d.root->mmio, HOME + 0x1000, 4); /* reading the interrupt status clears it */
}

static void do_pm(struct vcpu *v)
{
	out(v, ICH9_PMBASE_DEFAULT + (any(v) & 2), 2, any(v));
	bus_read(v->m->d.root->pio, ICH9_PMBASE_DEFAULT + (any(v) & 0xe), 4);
}

static void do_cmos(struct vcpu *v)
{
	out(v, 0x70, 1, any(v) & 0x7f);
	out(v, 0x71, 1, any(v));
}

static void do_fire(struct vcpu *v)
{
	fake_vfio_fire(&v->m->f, any(v) & 1 ? VFIO_PCI_MSIX_IRQ_INDEX : VFIO_PCI_INTX_IRQ_INDEX, 0);
}

static void (*const deeds[])(struct vcpu *) = {
	do_command, do_bar_by_port, do_bar_by_ecam, do_read_cfg,    do_read, do_write,
	do_bridge,  do_bus_reset,   do_move_ecam,   do_move_pmbase, do_msix, do_scribble,
	do_drive,   do_kick,	    do_pm,	    do_cmos,	    do_fire,
};

static void *vcpu_run(void *arg)
{
	struct vcpu *v = arg;
	struct pci_root *root = v->m->d.root;
	/* the first one uses the bus like threads that have not registered */
	bool joins = v != v->m->vcpu;

	if (joins)
		bus_join(&v->member, root->pio, root->mmio);
	while (!__atomic_load_n(&v->m->stop, __ATOMIC_RELAXED)) {
		deeds[any(v) % ARRAY_SIZE(deeds)](v);
		__atomic_fetch_add(&v->steps, 1, __ATOMIC_RELAXED);
	}
	if (joins)
		bus_part(&v->member);
	return NULL;
}

/* ---- the machine ---- */

/* As for the statistics. */
static void explain_some(struct machine *m)
{
	const struct pci_bus *bus = &m->d.root->bus, *behind = m->port.dev.secondary;
	const struct io_region *const r[] = { &m->pm.region, &m->host.ecam,
					      &bus->dev[RNG]->bar[0].region,
					      &behind->dev[0]->bar[0].region };
	struct io_place p;

	for (unsigned i = 0; i < ARRAY_SIZE(r); i++)
		bus_explain(r[i], 0, &p);
}

static void tick(void *arg)
{
	struct machine *m = arg;

	explain_some(m);
	__atomic_fetch_add(&m->ticks, 1, __ATOMIC_RELAXED);
	ev_timer_set(m->tick, evloop_now_ns() + TICK_NS);
}

static void *loop_run(void *loop)
{
	evloop_run(loop);
	return NULL;
}

static int passed_through(struct machine *m)
{
	static const struct vfio_pci_config opt = { .rombar = true,
						    .mmap = true,
						    .clique = VFIO_NO_CLIQUE };
	const struct vfio_pci_env env = { 0 };
	struct error err = { 0 };

	fake_vfio_init(&m->f, &m->log);
	fake_vfio_bar(&m->f, 0, 0x10000, 0);
	fake_vfio_bar(&m->f, 2, 0x4000, PCI_BASE_ADDRESS_MEM_TYPE_64);
	fake_vfio_msix(&m->f, 0x50, MSIX_VECTORS, 0x2000 | 2, 0x3000 | 2);
	m->vfio = vfio_pci_new(&m->f.k, &opt, &env, &err);
	return m->vfio ? vfio_pci_plug(m->vfio, m->d.root, m->port.dev.secondary, 0, &err) : -1;
}

static int setup(void **state)
{
	struct machine *m = aligned_alloc(_Alignof(struct machine), sizeof(*m));
	struct cmos_rtc_params rtc;
	struct pci_root *root;
	struct error err = { 0 };

	memset(m, 0, sizeof(*m));
	*state = m;
	log_set_level(LOG_ERROR);
	assert_int_equal(fake_driver_init(&m->d), 0);
	root = m->d.root;
	m->host.rst_cnt = &ich9_rst_cnt_ops;
	m->host.rst_cnt_opaque = &m->lpc;
	assert_int_equal(acpi_pm_init(&m->pm, root->pio, root->irq, root->loop), 0);
	assert_int_equal(pci_host_init(&m->host, root, &err), 0);
	assert_int_equal(ich9_lpc_init(&m->lpc, root, &m->pm, &err), 0);
	rtc = (struct cmos_rtc_params){
		.pio = root->pio, .irq = root->irq, .loop = root->loop, .low_ram = 1 << 20
	};
	assert_int_equal(cmos_rtc_init(&m->cmos, &rtc), 0);
	assert_int_equal(root_port_init(&m->port, root, PORT, 1, 0, 0, &err), 0);
	m->rng = virtio_rng_new(root, &root->bus, RNG, &err);
	m->console = virtio_console_new(root, &root->bus, CONSOLE, "null", NULL, NULL, NULL, &err);
	assert_true(m->rng && m->console);
	assert_int_equal(passed_through(m), 0);
	root_port_link_up(&m->port);
	pci_host_set_ecam(&m->host, ECAM);
	ich9_lpc_set_pmbase(&m->lpc);
	m->tick = evloop_add_timer(root->loop, tick, m);
	ev_timer_set(m->tick, evloop_now_ns() + TICK_NS);
	return 0;
}

static int teardown(void **state)
{
	struct machine *m = *state;

	evloop_del_timer(m->tick);
	vfio_pci_free(m->vfio);
	fake_vfio_free(&m->f);
	virtio_console_free(m->console);
	virtio_rng_free(m->rng);
	root_port_destroy(&m->port);
	cmos_rtc_destroy(&m->cmos);
	ich9_lpc_destroy(&m->lpc);
	pci_host_destroy(&m->host);
	acpi_pm_destroy(&m->pm);
	fake_driver_free(&m->d);
	free(m);
	return 0;
}

/* ---- the test ---- */

static void machine_start(struct machine *m, uint32_t seed)
{
	assert_int_equal(pthread_create(&m->loop, NULL, loop_run, m->d.root->loop), 0);
	for (unsigned i = 0; i < VCPUS; i++) {
		m->vcpu[i] = (struct vcpu){ .m = m, .random = (seed + i) * 2654435761u | 1 };
		assert_int_equal(pthread_create(&m->vcpu[i].thread, NULL, vcpu_run, &m->vcpu[i]),
				 0);
	}
}

/* Waits until all threads have made progress since `before`, and updates `before`. */
static void all_get_on(struct machine *m, unsigned long before[VCPUS + 1])
{
	uint64_t end = evloop_now_ns() + STANDS_S * 1000000000ull;

	for (unsigned i = 0; i <= VCPUS; i++) {
		unsigned long *count = i < VCPUS ? &m->vcpu[i].steps : &m->ticks, now;

		while ((now = __atomic_load_n(count, __ATOMIC_RELAXED)) == before[i]) {
			if (evloop_now_ns() > end)
				fail_msg("%s %u stands", i < VCPUS ? "vCPU" : "the loop beside", i);
			usleep(1000);
		}
		before[i] = now;
	}
}

static unsigned from_env(const char *name, unsigned otherwise)
{
	const char *v = getenv(name);

	return v ? (unsigned)strtoul(v, NULL, 0) : otherwise;
}

static void machine_stop(struct machine *m)
{
	__atomic_store_n(&m->stop, 1, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < VCPUS; i++)
		pthread_join(m->vcpu[i].thread, NULL);
	evloop_stop(m->d.root->loop, 0);
	pthread_join(m->loop, NULL);
}

/* Resets the machine; its devices must answer. */
static void works_afterwards(struct machine *m)
{
	struct fake_driver *d = &m->d;

	vfio_pci_quiesce(m->vfio);
	pci_reset_all(d->root);
	vfio_pci_after_reset(m->vfio);
	pci_cfg_write(d->root, 0, PORT, PCI_PRIMARY_BUS, 4, 0x010100);
	assert_int_equal(pci_cfg_read(d->root, 1, 0, PCI_VENDOR_ID, 4), 0x56781234);
	driver_map(d);
	assert_int_equal(driver_status(d), 0);
	driver_prepare(d, 1, 0);
	driver_offer(d, 0, 0, RING_DATA, 16, VRING_DESC_F_WRITE);
	driver_go(d);
	driver_kick(d, 0);
	driver_turn(d, 200);
	assert_int_equal(driver_used(d, 0)->idx, 1);
}

static uint32_t race_seed;

static void test_vcpus(void **state)
{
	struct machine *m = *state;
	unsigned long before[VCPUS + 1] = { 0 };
	uint64_t end = evloop_now_ns() + from_env("RACE_SECONDS", 1) * 1000000000ull;

	machine_start(m, race_seed);
	do {
		usleep(100000);
		all_get_on(m, before);
	} while (evloop_now_ns() < end);
	machine_stop(m);
	works_afterwards(m);
}

int main(void)
{
	char name[64];
	const struct CMUnitTest tests[] = {
		{ name, test_vcpus, setup, teardown, NULL },
	};

	race_seed = from_env("RACE_SEED", (unsigned)time(NULL));
	snprintf(name, sizeof(name), "vCPUs fight for %u s, RACE_SEED=%u",
		 from_env("RACE_SECONDS", 1), race_seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
