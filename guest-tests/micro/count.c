/* SPDX-License-Identifier: BSD-2-Clause */
/* runner: --disk @DISK@ */
/* Measures the cost of trapped accesses in TSC ticks, without the cost of the loop, and prints a
 * line "COUNT name ticks" for each. Where the TSC counts instructions, these are instructions. It
 * must work with other VMMs, too, so it searches its devices, and omits the lines of missing
 * ones. */
#include "virtio.h"

#define ROUNDS	   32
#define BATCHES	   16
#define NO_PORT	   0x1230
#define CF8	   0xcf8
#define CFC	   0xcfc
#define HOST	   0x80000000u
#define BEHIND_AT  0xc0000000u
#define BEHIND_LEN 0x4000000u
#define CAP_MSIX   0x11
#define MSIX_MASK  1u
#define VECTOR	   0x51

static struct vq q;
static struct virtio blk;
static uint32_t at; /* what op_read32() and op_write32() access */

static void op_nothing(void)
{
	__asm__ volatile("");
}

static void op_cpuid(void)
{
	uint32_t r[4];

	cpuid(0, 0, r);
}

static void op_port(void)
{
	inb(NO_PORT);
}

static void op_cf8(void)
{
	outl(CF8, HOST);
	inl(CFC);
}

static void op_kick(void)
{
	virtio_kick(&blk);
}

static void op_read32(void)
{
	read32(at);
}

/* Masks a vector that is masked already: only the access counts. */
static void op_mask(void)
{
	write32(at, MSIX_MASK);
}

/* Unmasks and masks a vector, as a driver does for each move of an interrupt. */
static void op_unmask_mask(void)
{
	write32(at, 0);
	write32(at, MSIX_MASK);
}

/* Reads one sector, and sleeps until the interrupt. */
static void op_disk(void)
{
	q.avail.ring[q.avail.idx % VQ_SIZE] = 0;
	__atomic_store_n(&q.avail.idx, (uint16_t)(q.avail.idx + 1), __ATOMIC_RELEASE);
	virtio_kick(&blk);
	irq_off();
	while (q.used.idx != q.avail.idx) {
		__asm__ volatile("sti; hlt; cli");
	}
	irq_on();
}

static uint64_t run(void (*op)(void), unsigned rounds)
{
	uint64_t t0 = __builtin_ia32_rdtsc();
	unsigned i;

	for (i = 0; i < rounds; i++)
		op();
	return __builtin_ia32_rdtsc() - t0;
}

/* Takes the best of several batches, in which no timer of the host has interrupted. */
static void count(const char *name, void (*op)(void))
{
	uint32_t best = ~0u, loop, ticks;
	unsigned i;

	run(op, ROUNDS);
	for (i = 0; i < BATCHES; i++) {
		loop = (uint32_t)run(op_nothing, ROUNDS);
		ticks = (uint32_t)run(op, ROUNDS) - loop;
		best = ticks < best ? ticks : best;
	}
	print("COUNT ");
	print(name);
	print(" ");
	print_dec(best / ROUNDS);
	print("\n");
}

/* The address of the disk's MSI-X table. If the table has its own BAR, the BAR is placed next to
 * the other registers. */
static uint32_t msix_table(uint32_t cfg, unsigned cap)
{
	uint32_t where = read32(cfg + cap + 4);

	if (!(read32(cfg + 0x10 + (where & 7) * 4) & ~15u))
		pci_place_bar(blk.devfn, where & 7, VIRTIO_BAR_AT + 0x100000);
	return (read32(cfg + 0x10 + (where & 7) * 4) & ~15u) + (where & ~7u);
}

static void count_virtio(void)
{
	static struct {
		uint32_t type, reserved;
		uint64_t sector;
	} head;
	static uint8_t data[512], status;
	int devfn = pci_find(0x1af4, 0x1042);
	uint32_t cfg, table;
	unsigned cap;

	if (devfn < 0)
		return;
	cfg = pci_ecam((unsigned)devfn);
	cap = pci_cap(devfn, CAP_MSIX, 0);
	check(cap != 0);
	write16(cfg + cap + 2, 0x8000);
	virtio_start(&blk, 2, &q, 0);
	table = msix_table(cfg, cap);
	write32(table, LAPIC);
	write32(table + 4, 0);
	write32(table + 8, VECTOR);
	write32(table + 12, 0);
	irq_init();
	irq_on();
	q.desc[0] = (struct vq_desc){ (uint32_t)&head, sizeof(head), DESC_NEXT, 1 };
	q.desc[1] = (struct vq_desc){ (uint32_t)data, sizeof(data), DESC_NEXT | DESC_WRITE, 2 };
	q.desc[2] = (struct vq_desc){ (uint32_t)&status, 1, DESC_WRITE, 0 };
	count("virtio-blk-sector", op_disk);
	count("ioeventfd-kick", op_kick);
	irq_off();
	at = table + 12;
	count("virtio-msix-table-write", op_mask);
	count("virtio-msix-pair", op_unmask_mask);
}

/* A passed-through NVMe: configuration space and the MSI-X table trap, a register does not. */
static void count_passthrough(void)
{
	int devfn = pci_find_behind_port(0x1b36, 0x0010, BEHIND_AT, BEHIND_LEN);
	uint32_t cfg = pci_ecam((unsigned)devfn);
	unsigned cap;

	if (devfn < 0)
		return;
	pci_place_bar(devfn, 0, BEHIND_AT);
	at = cfg;
	count("device-config-read", op_read32);
	at = BEHIND_AT;
	count("device-register-read", op_read32);
	cap = pci_cap(devfn, CAP_MSIX, 0);
	check(cap && (read32(cfg + cap + 4) & 7) == 0);
	at = BEHIND_AT + (read32(cfg + cap + 4) & ~7u);
	write32(at, LAPIC);
	write32(at + 4, 0);
	write32(at + 8, 0x51);
	write16(cfg + cap + 2, 0x8000);
	at += 12;
	write32(at, MSIX_MASK);
	count("device-msix-table-write", op_mask);
	count("device-msix-pair", op_unmask_mask);
}

void guest_main(void)
{
	uint32_t ecam;

	count("cpuid", op_cpuid);
	count("port-read", op_port);
	outl(CF8, HOST);
	if (inl(CFC) == UINT32_MAX) /* no PCI */
		return;
	count("config-read-cf8", op_cf8);
	outl(CF8, HOST | 0x60);
	ecam = inl(CFC);
	if ((ecam & ~0x7ffu) != pci_ecam(0))
		return;
	at = pci_ecam(0);
	count("config-read-ecam", op_read32);
	count_virtio();
	count_passthrough();
}
