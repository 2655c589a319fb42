/* SPDX-License-Identifier: BSD-2-Clause */
/* runner: --vfio @EDU@ */
/* QEMU's edu device, passed through (QEMU, docs/specs/edu). Tests its MSI, raised by a register and
 * by the end of a DMA; a change of the vector while MSI is on; MSI off and on again; DMA to the
 * device and back. */
#include "../../vmm/bench/edu.h"
#include "lib.h"

#define BAR_AT	 0xc0000000u
#define BAR_SIZE 0x100000u

#define CAP_MSI	   0x05
#define MSI_ENABLE 0x0001
#define VECTOR	   0x51
#define OTHER	   0x62
#define ROUNDS	   1000u
#define LEN	   1024u

static uint32_t there[LEN / 4], back[LEN / 4];

static void msi_set(uint32_t cap, uint8_t vector)
{
	write32(cap + 4, LAPIC);
	write32(cap + 8, 0);
	write16(cap + 12, vector);
}

/* Raises interrupts one after the other. Returns the smallest number of ticks until the handler had
 * run. */
static uint32_t raise_many(uint8_t vector, uint32_t rounds)
{
	uint32_t best = ~0u, i, ticks;

	for (i = 1; i <= rounds; i++) {
		uint64_t t0 = __builtin_ia32_rdtsc();

		write32(BAR_AT + EDU_RAISE, 1);
		check(irq_wait(vector, i));
		ticks = (uint32_t)(__builtin_ia32_rdtsc() - t0);
		best = ticks < best ? ticks : best;
		write32(BAR_AT + EDU_ACK, 1);
	}
	return best;
}

static void dma(uint32_t src, uint32_t dst, uint32_t cmd)
{
	write32(BAR_AT + EDU_DMA_SRC, src);
	write32(BAR_AT + EDU_DMA_SRC + 4, 0);
	write32(BAR_AT + EDU_DMA_DST, dst);
	write32(BAR_AT + EDU_DMA_DST + 4, 0);
	write32(BAR_AT + EDU_DMA_LEN, LEN);
	write32(BAR_AT + EDU_DMA_LEN + 4, 0);
	write32(BAR_AT + EDU_DMA_CMD, cmd | DMA_START);
}

static void dma_wait(uint32_t count)
{
	check(irq_wait(OTHER, count));
	check_eq(irq_count[OTHER], count);
	write32(BAR_AT + EDU_ACK, DMA_DONE);
}

static void test_dma(uint32_t seen)
{
	uint32_t i;

	for (i = 0; i < LEN / 4; i++)
		there[i] = i * 0x9e3779b9u;
	dma((uint32_t)there, DMA_BUFFER, DMA_IRQ);
	dma_wait(seen + 1);
	dma(DMA_BUFFER, (uint32_t)back, DMA_IRQ | DMA_TO_RAM);
	dma_wait(seen + 2);
	for (i = 0; i < LEN / 4; i++)
		check_eq(back[i], there[i]);
}

void guest_main(void)
{
	int devfn = pci_find_behind_port(0x1234, 0x11e8, BAR_AT, BAR_SIZE);
	uint32_t cap, best;

	if (devfn < 0)
		skip("no edu in this machine");
	pci_place_bar(devfn, 0, BAR_AT);
	check_eq(read32(BAR_AT + EDU_ID) & 0xff, 0xed);
	check(pci_cap(devfn, CAP_MSI, 0) != 0);
	cap = pci_ecam((unsigned)devfn) + pci_cap(devfn, CAP_MSI, 0);
	irq_init();
	irq_on();

	/* While MSI is off there must be no interrupt; while it is on, one for each raise. */
	write32(BAR_AT + EDU_RAISE, 1);
	check(irq_stays_away(VECTOR, 1));
	write32(BAR_AT + EDU_ACK, 1);
	msi_set(cap, VECTOR);
	write16(cap + 2, MSI_ENABLE);
	best = raise_many(VECTOR, ROUNDS);
	check_eq(irq_count[VECTOR], ROUNDS);

	/* Change the vector while MSI is on; then switch MSI off and on again. */
	msi_set(cap, OTHER);
	raise_many(OTHER, ROUNDS);
	check_eq(irq_count[VECTOR], ROUNDS);
	write16(cap + 2, 0);
	write32(BAR_AT + EDU_RAISE, 1);
	check(irq_stays_away(OTHER, ROUNDS + 1));
	write32(BAR_AT + EDU_ACK, 1);
	write16(cap + 2, MSI_ENABLE);

	test_dma(irq_count[OTHER]);
	print("COUNT device-interrupt ");
	print_dec(best);
	print("\n");
	print_dec(ROUNDS * 2);
	print(" MSIs, the best in ");
	print_dec(best);
	print(" ticks from register to handler; DMA there and back\n");
}
