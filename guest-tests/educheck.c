/*
 * educheck DEVICE_DIR [DMA_BITS]: exercises QEMU's "edu" device without a driver.
 *
 * Accessing registers proves that the BAR reaches the device. DMA in both directions proves that
 * the IOMMU translates the guest's physical addresses. The device ignores address bits above its
 * mask (28 bits, or QEMU's dma_mask=), so a page with a low address must be found first. It polls
 * and uses no interrupt. Single-threaded. Prints one line.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "pcidev.h"

#define EDU_ID		     0x00
#define EDU_LIVENESS	     0x04
#define EDU_FACTORIAL	     0x08
#define EDU_STATUS	     0x20
#define EDU_STATUS_COMPUTING 0x01
#define EDU_DMA_SRC	     0x80
#define EDU_DMA_DST	     0x88
#define EDU_DMA_COUNT	     0x90
#define EDU_DMA_CMD	     0x98
#define EDU_DMA_RUN	     0x01
#define EDU_DMA_TO_RAM	     0x02
#define EDU_DMA_BUF	     0x40000

#define PAGE  4096u
#define CHUNK (2u << 20)
/* Leave this much memory free while searching a low page, so that the guest does not run out of it.
 */
#define SEARCH_MARGIN (48u << 20)
#define WAIT_MS	      10000

static volatile uint8_t *edu;

static uint32_t edu_read(unsigned int reg)
{
	return *(volatile uint32_t *)(edu + reg);
}

static void edu_write(unsigned int reg, uint32_t val)
{
	*(volatile uint32_t *)(edu + reg) = val;
}

static void edu_write64(unsigned int reg, uint64_t val)
{
	*(volatile uint64_t *)(edu + reg) = val;
}

static bool wait_clear(unsigned int reg, uint32_t bits)
{
	const struct timespec ms = { .tv_nsec = 1000000 };

	for (int i = 0; i < WAIT_MS; i++) {
		if (!(edu_read(reg) & bits))
			return true;
		nanosleep(&ms, NULL);
	}
	return false;
}

static int check_registers(void)
{
	const uint32_t probe = 0x12345678;
	uint32_t id = edu_read(EDU_ID);

	if ((id & 0xffff) != 0x00ed) {
		printf("identification is 0x%08x, expected 0x....00ed\n", id);
		return -1;
	}
	edu_write(EDU_LIVENESS, probe);
	if (edu_read(EDU_LIVENESS) != ~probe) {
		printf("liveness: 0x%08x does not invert 0x%08x\n", edu_read(EDU_LIVENESS), probe);
		return -1;
	}
	edu_write(EDU_FACTORIAL, 10);
	if (!wait_clear(EDU_STATUS, EDU_STATUS_COMPUTING)) {
		printf("factorial: still computing after %d ms\n", WAIT_MS);
		return -1;
	}
	if (edu_read(EDU_FACTORIAL) != 3628800) {
		printf("factorial of 10 is %u, expected 3628800\n", edu_read(EDU_FACTORIAL));
		return -1;
	}
	return 0;
}

/* The physical address of one of our pages. 0, which no user page has: the kernel hides it. */
static uint64_t phys_of(int pagemap, const void *page)
{
	uint64_t entry;

	if (pread(pagemap, &entry, sizeof(entry), (off_t)((uintptr_t)page / PAGE * 8)) != 8)
		return 0;
	return entry >> 63 ? (entry & ((1ull << 55) - 1)) * PAGE : 0;
}

static uint64_t memory_available(void)
{
	unsigned long long kib = 0;
	char line[128];
	FILE *f = fopen("/proc/meminfo", "re");

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			break;
	}
	if (f)
		fclose(f);
	return kib * 1024;
}

/*
 * Allocates memory chunk by chunk until one page lies below @limit. It keeps all chunks, so that
 * the kernel must give out other pages. The kernel gives out low memory last.
 */
static uint8_t *find_page(int pagemap, uint64_t limit, uint64_t *phys, uint64_t *tried)
{
	uint64_t budget = memory_available();

	for (*tried = 0; *tried + SEARCH_MARGIN < budget; *tried += CHUNK) {
		uint8_t *p = mmap(NULL, CHUNK, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);

		if (p == MAP_FAILED)
			return NULL;
		for (size_t i = 0; i < CHUNK; i += PAGE) {
			*phys = phys_of(pagemap, p + i);
			if (*phys && *phys + PAGE <= limit)
				return p + i;
		}
	}
	return NULL;
}

static int dma(uint64_t src, uint64_t dst, uint32_t cmd)
{
	edu_write64(EDU_DMA_SRC, src);
	edu_write64(EDU_DMA_DST, dst);
	edu_write64(EDU_DMA_COUNT, PAGE);
	edu_write64(EDU_DMA_CMD, EDU_DMA_RUN | cmd);
	if (wait_clear(EDU_DMA_CMD, EDU_DMA_RUN))
		return 0;
	printf("DMA: still running after %d ms\n", WAIT_MS);
	return -1;
}

/* Copies a page to the device and back. In between the page is changed, so that a DMA that does
 * nothing is noticed. */
static int check_dma(uint8_t *page, uint64_t phys)
{
	uint8_t want[PAGE];

	for (unsigned int i = 0; i < PAGE; i++)
		want[i] = (uint8_t)(rand() >> 7);
	memcpy(page, want, PAGE);
	if (dma(phys, EDU_DMA_BUF, 0))
		return -1;
	memset(page, 0xee, PAGE);
	if (dma(EDU_DMA_BUF, phys, EDU_DMA_TO_RAM))
		return -1;
	for (unsigned int i = 0; i < PAGE; i++) {
		if (page[i] == want[i])
			continue;
		printf("DMA at 0x%llx: byte %u is 0x%02x, expected 0x%02x\n",
		       (unsigned long long)phys, i, page[i], want[i]);
		return -1;
	}
	return 0;
}

static int check_dma_below(uint64_t limit, uint64_t *phys)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	FILE *compact = fopen("/proc/sys/vm/compact_unevictable_allowed", "we");
	uint64_t tried;
	uint8_t *page;

	/* Compaction could move locked pages, and the device would then use the old address. */
	if (compact) {
		fputs("0\n", compact);
		fclose(compact);
	}
	page = pagemap < 0 ? NULL : find_page(pagemap, limit, phys, &tried);
	if (!page) {
		printf("DMA: no page below 0x%llx in %llu MiB: give the guest less memory\n",
		       (unsigned long long)limit,
		       (unsigned long long)(pagemap < 0 ? 0 : tried >> 20));
		return -1;
	}
	srand((unsigned int)time(NULL));
	if (check_dma(page, *phys))
		return -1;
	if (phys_of(pagemap, page) != *phys) {
		printf("DMA: the kernel moved our page meanwhile\n");
		return -1;
	}
	return 0;
}

static int check(const char *dir, unsigned int bits)
{
	uint64_t phys;
	int err;

	err = pcidev_command(dir, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
	if (err) {
		printf("command register: %s\n", strerror(-err));
		return -1;
	}
	edu = pcidev_map(dir, 0, 0, PAGE);
	if (edu == MAP_FAILED) {
		printf("BAR 0 cannot be mapped: %s\n", strerror(errno));
		return -1;
	}
	if (check_registers() || check_dma_below(1ull << bits, &phys))
		return -1;
	printf("registers, factorial, DMA of %u bytes to and from 0x%llx\n", PAGE,
	       (unsigned long long)phys);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned long bits = argc == 3 ? strtoul(argv[2], NULL, 10) : 28;
	int err;

	if (argc < 2 || argc > 3 || bits < 20 || bits > 63) {
		fprintf(stderr, "usage: educheck DEVICE_DIR [DMA_BITS]\n");
		return 2;
	}
	err = check(argv[1], (unsigned int)bits);
	/* When we exit, other programs get our memory, so the device must not access it any
	 * more. */
	pcidev_command(argv[1], 0, PCI_COMMAND_MASTER);
	return err ? 1 : 0;
}
