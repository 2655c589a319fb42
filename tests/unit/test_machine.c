/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of the machine, each without the others and without KVM. The micro-guests and the
 * nested host test all of them together. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/unit/files_fixture.h"
#include "tests/unit/fake_host.h"
#include "tests/unit/fake_root.h"
#include "vmm/core/evloop.h"
#include "vmm/machine/boot.h"
#include "vmm/machine/chipset.h"
#include "vmm/machine/cpus.h"
#include "vmm/machine/memory.h"
#include "vmm/machine/passthrough.h"
#include "vmm/machine/platform.h"
#include "vmm/machine/snapshot.h"

#define NODES "sys/devices/system/node/"

static struct config c;
static struct error err;

/* Parses a line of words separated by blanks. */
static void options(const char *line)
{
	static char buf[512];
	char *argv[32] = { "minivmm" };

	config_free(&c);
	err = (struct error){ 0 };
	snprintf(buf, sizeof(buf), "%s", line);
	if (config_parse(&c, fake_words(buf, argv, 32), argv, &err) < 0)
		fail_msg("%s", err.text);
}

static void says(int ret, const char *text)
{
	assert_true(ret < 0);
	if (!strstr(err.text, text))
		fail_msg("'%s' does not say '%s'", err.text, text);
}

/* ---- memory ---- */

static struct machine_memory m;

static int look(bool passthrough, int node)
{
	const struct memory_want w = {
		.size = c.memory,
		.ram = &c.ram,
		.passthrough = passthrough,
		.device_node = node,
	};

	err = (struct error){ 0 };
	return machine_memory_look(&m, root, &w, &err);
}

/* Devices that pin memory need all of it at once, and on their node; a plain machine needs neither.
 */
static void test_memory_follows_devices(void **state)
{
	(void)state;
	options("--memory 128M");
	assert_int_equal(look(false, -1), 0);
	assert_false(m.plan.prefault);
	assert_int_equal(m.plan.part[0].node, NUMA_ANY);
	put("MemAvailable: 8388608 kB\n", "proc/meminfo");
	assert_int_equal(look(true, -1), 0);
	assert_true(m.plan.prefault);
	options("--memory 128M,prefault=off");
	assert_int_equal(look(true, -1), 0);
	assert_false(m.plan.prefault);
	/* VFIO takes it all nevertheless. */
	options("--memory 9G,prefault=off");
	says(look(true, -1), "9216 MiB are needed");
	options("--memory 128M,nodes=63");
	says(look(false, -1), "63");
	/* libnuma tells the nodes of this machine. */
	if (!(node_masks().memory & 1))
		return;
	put("Node 0 MemTotal: 4194304 kB\nNode 0 MemFree: 4194304 kB\n", NODES "node0/meminfo");
	options("--memory 128M");
	assert_int_equal(look(true, 0), 0);
	assert_int_equal(m.plan.part[0].node, 0);
	options("--memory 128M,nodes=0");
	assert_int_equal(look(false, -1), 0);
	assert_int_equal(m.plan.part[0].node, 0);
}

/* A part on both sides of the hole below 4 GiB has two ranges. */
static void test_nodes(void **state)
{
	const struct memmap map = { .low_ram = 2 * GiB, .high_base = 4 * GiB, .high_ram = GiB };
	const struct cpu_topology pairs = { 2, 2, 1 }, one = { 1, 4, 2 };

	(void)state;
	options("--memory 3G");
	assert_int_equal(look(false, -1), 0);
	m.plan.n = 2;
	m.plan.part[0] = (struct ram_part){ 0, GiB, NUMA_ANY, false };
	m.plan.part[1] = (struct ram_part){ GiB, 2 * GiB, NUMA_ANY, false };
	m.want.device_node = 0;
	assert_int_equal(machine_memory_open(&m, &map, &err), 0);
	assert_int_equal(m.numa->n, 2);
	assert_int_equal(m.numa->n_memory, 3);
	assert_int_equal(m.numa->memory[1].base, GiB);
	assert_int_equal(m.numa->memory[1].size, GiB);
	assert_int_equal(m.numa->memory[2].base, 4 * GiB);
	assert_int_equal(m.numa->memory[2].size, GiB);
	assert_int_equal(m.numa->memory[2].node, 1);
	assert_int_equal(m.numa->pci_node, PLATFORM_NO_NODE);
	/* A node gets whole sockets, or else whole cores. */
	assert_int_equal(machine_memory_cpu_node(&m, &pairs, 1), 0);
	assert_int_equal(machine_memory_cpu_node(&m, &pairs, 2), 1);
	assert_int_equal(machine_memory_cpu_node(&m, &one, 3), 0);
	assert_int_equal(machine_memory_cpu_node(&m, &one, 4), 1);
	((char *)m.ram)[3 * GiB - 1] = 1;
	machine_memory_close(&m);
}

/* ---- processors ---- */

static void test_cpus_are_chosen(void **state)
{
	struct machine_cpus cpus = { .cfg = &c };

	(void)state;
	options("--memory 1G --cpus 2,pin=0-1");
	put("0-1", "sys/devices/system/cpu/present");
	put("0-1", "sys/devices/system/cpu/online");
	put("0", "sys/devices/system/cpu/cpu0/topology/thread_siblings_list");
	put("1", "sys/devices/system/cpu/cpu1/topology/thread_siblings_list");
	assert_int_equal(machine_cpus_look(&cpus, root, -1, &err), 0);
	assert_int_equal(cpus.pin[0], 0);
	assert_int_equal(cpus.pin[1], 1);
	free(cpus.pin_host);
	options("--memory 1G --cpus 1,pin=9");
	says(machine_cpus_look(&cpus, root, -1, &err), "--cpus: pin=9");
	free(cpus.pin_host);
	/* If nothing is asked for, nothing is read. */
	cpus.pin_host = NULL;
	options("--memory 1G --cpus 1");
	assert_int_equal(machine_cpus_look(&cpus, "/nowhere", -1, &err), 0);
	assert_null(cpus.pin_host);
}

/* ---- what software is told ---- */

static void test_platform(void **state)
{
	struct machine_numa numa = { .n = 2, .n_memory = 1, .pci_node = 1 };
	struct machine_memory mem = { .plan = { .n = 2 }, .numa = &numa };
	const struct memmap map = { .low_ram = GiB, .high_base = 4 * GiB };
	static struct machine_platform p;

	(void)state;
	options("--memory 1G --name web --cpus 4,sockets=2 --kernel /k --serial null");
	machine_platform_fill(&p, &c, &map, &mem);
	assert_string_equal(p.p.name, "web");
	assert_false(p.p.uefi);
	assert_int_equal(p.p.n_cpus, 4);
	assert_int_equal(p.p.sockets, 2);
	assert_int_equal(p.p.cpus[2].apic_id, cpu_apic_id(&c.topo, 2));
	assert_int_equal(p.p.cpus[1].node, 0);
	assert_int_equal(p.p.cpus[2].node, 1);
	assert_int_equal(p.p.n_nodes, 2);
	assert_int_equal(p.p.pci_node, 1);
	assert_int_equal(p.p.mmio32_base, GiB);
	assert_int_equal(p.p.n_serial, 1);
	assert_int_equal(p.p.serial[0].port, 0x3f8);
	assert_int_equal(p.p.serial[0].irq, 4);
	mem.numa = NULL;
	options("--memory 1G --serial none");
	machine_platform_fill(&p, &c, &map, &mem);
	assert_true(p.p.uefi);
	assert_int_equal(p.p.n_serial, 0);
	assert_int_equal(p.p.n_nodes, 0);
	assert_int_equal(p.p.pci_node, PLATFORM_NO_NODE);
}

/* ---- chipset ---- */

static struct {
	unsigned reset, power_off, exit;
	uint32_t value;
} asked;

static void on_reset(void *opaque)
{
	assert_ptr_equal(opaque, &asked);
	asked.reset++;
}

static void on_power_off(void *opaque)
{
	assert_ptr_equal(opaque, &asked);
	asked.power_off++;
}

static void on_exit_port(void *opaque, uint32_t value)
{
	assert_ptr_equal(opaque, &asked);
	asked.exit++;
	asked.value = value;
}

static const struct memmap small = { .low_ram = 128 * MiB, .high_base = 4 * GiB };

static struct chipset_env chipset_env(struct fake_root *f, struct evloop *loop)
{
	return (struct chipset_env){
		.pio = f->root.pio,
		.mmio = f->root.mmio,
		.irq = f->root.irq,
		.loop = loop,
		.map = &small,
		.reset = on_reset,
		.power_off = on_power_off,
		.exit = on_exit_port,
		.opaque = &asked,
	};
}

/* The requests of the guest arrive; the CMOS memory has the size of RAM; a reset restores the
 * state. */
static void test_chipset(void **state)
{
	static struct machine_chipset chipset;
	struct evloop *loop = evloop_new();
	struct fake_root f;
	struct chipset_env env;

	(void)state;
	fake_root_init(&f);
	env = chipset_env(&f, loop);
	memset(&asked, 0, sizeof(asked));
	assert_int_equal(machine_chipset_init(&chipset, &env, &err), 0);
	bus_write(env.pio, 0x92, 1, 1);
	bus_write(env.pio, 0xcf9, 1, 6);
	assert_int_equal(asked.reset, 2);
	bus_write(env.pio, 0xf4, 4, 0x107);
	assert_int_equal(asked.exit, 1);
	assert_int_equal(asked.value, 0x107);
	ich9_lpc_set_pmbase(&chipset.lpc);
	bus_write(env.pio, ICH9_PMBASE_DEFAULT + 4, 2, 1 << 13); /* SLP_EN, S5 */
	assert_int_equal(asked.power_off, 1);
	bus_write(env.pio, 0x70, 1, 0x35); /* memory above 16 MiB, in units of 64 KiB */
	assert_int_equal(bus_read(env.pio, 0x71, 1), (112 * MiB / (64 * KiB)) >> 8);
	machine_chipset_reset(&chipset);
	bus_write(env.pio, ICH9_PMBASE_DEFAULT + 4, 2, 1 << 13);
	/* the registers are on no bus until the base is set again */
	assert_int_equal(asked.power_off, 1);
	machine_chipset_destroy(&chipset);
	evloop_free(loop);
	fake_root_free(&f);
}

static uint64_t read_none(void *opaque, uint64_t off, unsigned size)
{
	(void)opaque;
	(void)off;
	(void)size;
	return 0;
}

/* If one of its ports is in use, it fails with a message, and adds none of the others. */
static void test_chipset_undoes_itself(void **state)
{
	static const struct io_region_ops ops = { .read = read_none, .min_size = 1, .max_size = 4 };
	static const uint16_t taken[] = { 0xf4, 0x70, 0xcf8, 0xcfc, 0x92 };
	struct evloop *loop = evloop_new();
	unsigned i, k;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(taken); i++) {
		struct io_region r = {
			.name = "squatter", .base = taken[i], .size = 1, .ops = &ops
		};
		static struct machine_chipset chipset;
		struct chipset_env env;
		struct fake_root f;

		fake_root_init(&f);
		env = chipset_env(&f, loop);
		assert_int_equal(bus_add(env.pio, &r), 0);
		err = (struct error){ 0 };
		memset(&chipset, 0, sizeof(chipset));
		says(machine_chipset_init(&chipset, &env, &err), "");
		assert_true(err.text[0]);
		bus_del(env.pio, &r);
		for (k = 0; k < ARRAY_SIZE(taken); k++) {
			struct io_region again = r;

			again.base = taken[k];
			assert_int_equal(bus_add(env.pio, &again), 0);
			bus_del(env.pio, &again);
		}
		fake_root_free(&f);
	}
	evloop_free(loop);
}

/* ---- boot ---- */

static char kernel[80];

static int make_kernel(void)
{
	int fd = memfd_create("kernel", 0);

	fake_bzimage(fd);
	snprintf(kernel, sizeof(kernel), "/proc/self/fd/%d", fd);
	return fd;
}

static void test_boot_looks(void **state)
{
	struct machine_boot b;

	(void)state;
	options("--memory 128M --kernel /nowhere/vmlinuz");
	machine_boot_init(&b, &c);
	says(machine_boot_look(&b, &err), "--kernel /nowhere/vmlinuz: No such file");
	machine_boot_release(&b, false);
	options("--memory 128M --firmware /nowhere/OVMF.fd");
	machine_boot_init(&b, &c);
	says(machine_boot_look(&b, &err), "/nowhere/OVMF.fd");
	machine_boot_release(&b, false);
}

/* A kernel that is booted directly finds the tables, at power-on and again after a reset. */
static void test_boot_loads(void **state)
{
	static struct machine_chipset chipset;
	static struct machine_platform p;
	struct machine_memory mem = { .plan = { .n = 1 } };
	struct guest_mem *gm = guest_mem_new();
	struct mem_range r = { 0, 128 * MiB, NULL, MEM_RAM, true };
	struct evloop *loop = evloop_new();
	struct vcpu_entry entry;
	struct chipset_env cenv;
	struct machine_boot b;
	struct fake_root f;
	char line[160];
	unsigned i;
	int fd = make_kernel();

	(void)state;
	fake_root_init(&f);
	cenv = chipset_env(&f, loop);
	memset(&chipset, 0, sizeof(chipset));
	assert_int_equal(machine_chipset_init(&chipset, &cenv, &err), 0);
	r.host = mmap(NULL, r.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(guest_mem_add(gm, &r), 0);
	snprintf(line, sizeof(line), "--memory 128M --append quiet --kernel %s", kernel);
	options(line);
	machine_platform_fill(&p, &c, &small, &mem);
	machine_boot_init(&b, &c);
	if (machine_boot_look(&b, &err) < 0 ||
	    machine_boot_prepare(&b,
				 &(struct boot_env){ &p.p, gm, cenv.pio, cenv.mmio, &chipset.host,
						     &chipset.lpc, loop },
				 &err) < 0)
		fail_msg("%s", err.text);
	assert_non_null(b.dtb);
	for (i = 0; i < 2; i++) {
		memset((char *)r.host + 0xf0000, 0, 0x10000);
		pci_reset_all(&chipset.pci);
		assert_int_equal(machine_boot_load(&b, &entry, &err), 0);
		assert_int_equal(entry.mode, VCPU_LONG64);
		assert_memory_equal((char *)r.host + 0xf0000, "RSD PTR ", 8);
		assert_memory_equal((char *)r.host + 0xf0040, "_SM3_", 5);
		assert_memory_equal((char *)r.host + 0x1000000, "", 1);
		/* The chipset is where the tables say: read the vendor of the host bridge through
		 * ECAM. */
		assert_int_equal(bus_read(cenv.mmio, MACHINE_ECAM_BASE, 2), 0x8086);
	}
	machine_boot_release(&b, true);
	machine_chipset_destroy(&chipset);
	guest_mem_free(gm);
	munmap(r.host, r.size);
	evloop_free(loop);
	fake_root_free(&f);
	close(fd);
}

/* ---- passthrough ---- */

static void test_no_passthrough(void **state)
{
	struct machine_vfio *v = NULL;

	(void)state;
	options("--memory 128M");
	assert_int_equal(machine_vfio_look(&v, &c.devices, &err), 0);
	assert_null(v);
	assert_int_equal(machine_vfio_node(v), -1);
	assert_int_equal(machine_vfio_mem64(v), 0);
	assert_int_equal(machine_vfio_phys_bits(v), 0);
	assert_int_equal(machine_vfio_open(v, NULL, NULL, &err), 0);
	assert_int_equal(machine_vfio_realize(v, NULL, 1, NULL, NULL, &err), 0);
	assert_int_equal(machine_vfio_map(v, NULL, &err), 0);
	machine_vfio_reset(v);
	machine_vfio_unrealize(v);
	machine_vfio_close(v);
	options("--memory 128M --vfio ffff:ff:1f.7");
	says(machine_vfio_look(&v, &c.devices, &err), "--vfio");
	machine_vfio_close(v);
}

/* ---- snapshot ---- */

static void test_snapshot(void **state)
{
	struct phase_clock phases;
	struct snapshot_of of = { .name = "web", .phases = &phases, .kvm_stats_fd = -1 };
	struct machine_stats report;
	char path[96];
	json_t *o, *last;

	(void)state;
	phase_begin(&phases);
	phase_mark(&phases, "frame");
	of.stats = stats_new(true);
	last = snapshot_take(&of, NULL);
	assert_string_equal(json_string_value(json_object_get(last, "name")), "web");
	assert_int_equal(json_array_size(json_object_get(last, "vcpus")), 0);
	o = json_array_get(json_object_get(last, "start"), 0);
	assert_string_equal(json_string_value(json_object_get(o, "phase")), "frame");
	json_decref(last);
	/* Without a file name no file is opened. A file has complete JSON after each report. */
	assert_int_equal(machine_stats_open(&report, &of, NULL, NULL, &err), 0);
	machine_stats_report(&report, false);
	machine_stats_close(&report);
	snprintf(path, sizeof(path), "%s/stats.json", root);
	assert_int_equal(machine_stats_open(&report, &of, NULL, path, &err), 0);
	assert_true(machine_stats_report(&report, false));
	assert_true(machine_stats_report(&report, false));
	machine_stats_close(&report);
	o = json_load_file(path, 0, NULL);
	assert_non_null(o);
	json_decref(o);
	says(machine_stats_open(&report, &of, NULL, "/nowhere/x", &err), "--stats");
	machine_stats_close(&report);
	assert_int_equal(machine_stats_open(&report, &of, NULL, "/dev/full", &err), 0);
	assert_false(machine_stats_report(&report, false));
	machine_stats_close(&report);
	stats_free(of.stats);
}

static int teardown(void **state)
{
	config_free(&c);
	return remove_root(state);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, make_root, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_memory_follows_devices),
		T(test_nodes),
		T(test_cpus_are_chosen),
		T(test_platform),
		T(test_chipset),
		T(test_chipset_undoes_itself),
		T(test_boot_looks),
		T(test_boot_loads),
		T(test_no_passthrough),
		T(test_snapshot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
