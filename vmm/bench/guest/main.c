/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The environment of a measuring driver in a guest that contains nothing else. It finds the
 * passed-through device behind the root port, places its BARs, and connects its vector 0 to an
 * interrupt handler. It tells the VMM when a series begins, and where its samples are.
 *
 * The LAPIC's timer is the clock for time limits. It also wakes a processor that waits for an
 * interrupt that does not come. It costs an exit every half second.
 */
#include "vmm/bench/driver.h"
#include "guest-tests/micro/lib.h"

#define WINDOW	      0xc0000000u /* of the root port, inside the PCI window of the machine */
#define WINDOW_SIZE   0x20000000u
#define BRIDGE	      0x0604
#define BUS	      1u
#define BAR_IO	      1u
#define BAR_64	      4u
#define CMD_MEM_DMA   0x406 /* memory, bus mastering, no INTx */
#define CAP_MSI	      0x05
#define CAP_MSIX      0x11
#define MSIX_ON	      0x8000
#define VECTOR	      0x51
#define TIMER	      0x61
#define LAPIC_LVT     0x320
#define LAPIC_COUNT   0x380
#define LAPIC_DIVIDE  0x3e0
#define PERIODIC      (1u << 17)
#define BY_ONE	      0xb
#define HALF_A_SECOND 500000000u /* KVM's LAPIC timer counts at 1 GHz */

struct guest {
	struct bench_env env;
	int devfn;
	uint32_t cfg, bar[6]; /* addresses; 0: not placed */
	uint32_t seen;	      /* number of interrupts that were cleared */
};

static uint32_t samples[BENCH_MAX_SAMPLES];
static uint8_t dma[BENCH_DMA_SIZE] __attribute__((aligned(4096)));

static struct guest *guest_of(struct bench_env *e)
{
	return e->opaque;
}

/* ---- what drivers ask for ---- */

static uint32_t config_read(struct bench_env *e, uint32_t off)
{
	return read32(guest_of(e)->cfg + off);
}

static uint32_t bar_read(struct bench_env *e, uint32_t off)
{
	return read32(guest_of(e)->bar[0] + off);
}

static void bar_write(struct bench_env *e, uint32_t off, uint32_t val)
{
	write32(guest_of(e)->bar[0] + off, val);
}

static bool msix_on(struct guest *g, unsigned cap)
{
	uint32_t table = read32(g->cfg + cap + 4), entry = g->bar[table & 7];

	if (!entry)
		return false;
	entry += table & ~7u;
	write16(g->cfg + cap + 2, MSIX_ON);
	write32(entry, LAPIC);
	write32(entry + 4, 0);
	write32(entry + 8, VECTOR);
	write32(entry + 12, 0);
	return true;
}

static void msi_on(struct guest *g, unsigned cap)
{
	bool wide = read16(g->cfg + cap + 2) & 0x80;

	write32(g->cfg + cap + 4, LAPIC);
	if (wide)
		write32(g->cfg + cap + 8, 0);
	write16(g->cfg + cap + (wide ? 12 : 8), VECTOR);
	write16(g->cfg + cap + 2, 1);
}

static bool vector_on(struct bench_env *e)
{
	struct guest *g = guest_of(e);
	unsigned msix = pci_cap(g->devfn, CAP_MSIX, 0), msi = pci_cap(g->devfn, CAP_MSI, 0);

	if (msix && (read32(g->cfg + msix + 4) & 7) < 6)
		return msix_on(g, msix);
	if (msi)
		msi_on(g, msi);
	return msi != 0;
}

static uint32_t half_seconds(struct bench_env *e)
{
	(void)e;
	return irq_count[TIMER];
}

/* No interrupt can come between the check and the HLT: STI enables interrupts only after the next
 * instruction (Intel SDM 2B, STI). */
static void sleep_unless(const struct guest *g)
{
	irq_off();
	if (irq_count[VECTOR] == g->seen)
		__asm__ volatile("sti; hlt" ::: "memory");
	irq_on();
}

static bool vector_wait(struct bench_env *e, bool asleep)
{
	struct guest *g = guest_of(e);
	uint32_t start = half_seconds(e);

	while (irq_count[VECTOR] == g->seen) {
		if (half_seconds(e) - start > BENCH_PATIENCE)
			return false;
		if (asleep)
			sleep_unless(g);
		else
			__asm__ volatile("pause");
	}
	return true;
}

static void vector_clear(struct bench_env *e)
{
	guest_of(e)->seen = irq_count[VECTOR];
}

static void tell(uint32_t what, uint32_t series, uint32_t n, const void *at)
{
	volatile struct bench_message m = { what, series, n, (uint32_t)at };

	outl(BENCH_PORT, (uint32_t)&m);
}

static void begin(struct bench_env *e, enum bench_series series)
{
	(void)e;
	tell(BENCH_BEGIN, series, 0, NULL);
}

static void end(struct bench_env *e, enum bench_series series, uint32_t n)
{
	tell(BENCH_END, series, n, e->samples);
}

/* ---- finding and placing ---- */

static int behind_port(void)
{
	unsigned devfn;
	uint32_t port;

	for (devfn = 0; devfn < 256; devfn++) {
		port = pci_ecam(devfn);
		if (read16(port + 10) != BRIDGE)
			continue;
		write32(port + 0x18, BUS << 8 | BUS << 16);
		write32(port + 0x20, WINDOW >> 16 | ((WINDOW + WINDOW_SIZE - 1) & 0xfff00000));
		write16(port + 4, 6);
		break;
	}
	for (devfn = BUS << 8; devfn < (BUS << 8) + 8; devfn++)
		if (read32(pci_ecam(devfn)) != UINT32_MAX)
			return (int)devfn;
	return -1;
}

/* Places the memory BARs below 4 GiB, in order. A BAR that does not fit stays unplaced; the BARs
 * that our drivers use are small enough. */
static void place_bars(struct guest *g)
{
	uint32_t next = WINDOW, at, old, size;
	unsigned i;

	for (i = 0; i < 6; i++) {
		at = g->cfg + 0x10 + i * 4;
		old = read32(at);
		write32(at, UINT32_MAX);
		size = ~(read32(at) & ~15u) + 1;
		write32(at, 0);
		if (!(old & BAR_IO) && size && size <= WINDOW + WINDOW_SIZE - next) {
			next = (next + size - 1) & ~(size - 1);
			write32(at, next);
			g->bar[i] = next;
			next += size;
		}
		if ((old & 7) == BAR_64 && i < 5)
			write32(g->cfg + 0x10 + ++i * 4, 0);
	}
	write16(g->cfg + 4, CMD_MEM_DMA);
}

static void timer_on(void)
{
	lapic_write(LAPIC_DIVIDE, BY_ONE);
	lapic_write(LAPIC_LVT, PERIODIC | TIMER);
	lapic_write(LAPIC_COUNT, HALF_A_SECOND);
}

static uint32_t length(const char *s)
{
	uint32_t n = 0;

	while (s[n])
		n++;
	return n;
}

static const char *measure(struct guest *g)
{
	g->devfn = behind_port();
	if (g->devfn < 0)
		return "the guest does not find the device";
	g->cfg = pci_ecam((unsigned)g->devfn);
	g->env.id = read32(g->cfg);
	g->env.class_revision = read32(g->cfg + 8);
	place_bars(g);
	if (bench_driver_name(g->env.id, g->env.class_revision) && !g->bar[0])
		return "the device's registers (BAR 0) have no place below 4 GiB";
	irq_init();
	irq_on();
	timer_on();
	return bench_run(&g->env);
}

void guest_main(void)
{
	static const struct bench_ops ops = {
		.config_read = config_read,
		.read = bar_read,
		.write = bar_write,
		.irq_on = vector_on,
		.irq_wait = vector_wait,
		.irq_clear = vector_clear,
		.half_seconds = half_seconds,
		.begin = begin,
		.end = end,
	};
	struct guest g = {
		.env = { .ops = &ops, .samples = samples, .dma = dma, .dma_bus = (uint32_t)dma },
	};
	const char *why;

	g.env.opaque = &g;
	why = measure(&g);
	if (why)
		tell(BENCH_FAILED, 0, length(why), why);
	else
		tell(BENCH_DONE, 0, 0, NULL);
}
