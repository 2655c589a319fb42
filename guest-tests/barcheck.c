/*
 * barcheck DEVICE_DIR BAR: prints the address and size of a memory BAR, and checks its contents.
 *
 * Writes a different word at its start, middle and end, and then reads all of them back. So it
 * finds addresses that wrap around inside the BAR. QEMU's pci-testdev puts memory behind its large
 * BAR only with membar-backed=on. Without it, writes have no effect, and reads return all zeros or
 * all ones; this is reported, but it is not a failure. Single-threaded. Prints one line.
 */
#include <stdbool.h>
#include <stdlib.h>

#include "pcidev.h"

#define PAGE   4096u
#define PLACES 3

struct place {
	const char *name;
	uint64_t pos;
	volatile uint64_t *word;
	uint64_t put, got;
};

/* Maps only the pages that are used: page tables for a BAR of many gigabytes would cost memory. */
static int places_map(const char *dir, int index, struct place *p)
{
	for (int i = 0; i < PLACES; i++) {
		uint8_t *m = pcidev_map(dir, index, p[i].pos / PAGE * PAGE, PAGE);

		if (m == MAP_FAILED) {
			printf("BAR %d: its %s cannot be mapped: %s\n", index, p[i].name,
			       strerror(errno));
			return -1;
		}
		p[i].word = (volatile uint64_t *)(m + p[i].pos % PAGE);
	}
	return 0;
}

static const char *places_judge(struct place *p)
{
	int kept = 0, dead = 0;

	for (int i = 0; i < PLACES; i++)
		*p[i].word = p[i].put;
	for (int i = 0; i < PLACES; i++) {
		p[i].got = *p[i].word;
		kept += p[i].got == p[i].put;
		dead += p[i].got == 0 || p[i].got == ~0ull;
	}
	if (kept == PLACES)
		return "words at start, middle and end kept";
	return dead == PLACES ? "no memory behind it (writes are dropped)" : NULL;
}

static int check(const char *dir, int index, struct pcidev_bar bar)
{
	struct place p[PLACES] = {
		{ .name = "start", .pos = 0, .put = 0x1122334455667788 },
		{ .name = "middle", .pos = bar.size / 2, .put = 0x99aabbccddeeff00 },
		{ .name = "end", .pos = bar.size - 8, .put = 0x0f1e2d3c4b5a6978 },
	};
	const char *verdict;

	if (places_map(dir, index, p))
		return -1;
	verdict = places_judge(p);
	if (!verdict) {
		for (int i = 0; i < PLACES; i++)
			printf("%s%s: wrote %016llx, read %016llx", i ? ", " : "", p[i].name,
			       (unsigned long long)p[i].put, (unsigned long long)p[i].got);
		putchar('\n');
		return -1;
	}
	printf("BAR %d of %llu MiB at 0x%llx, %s\n", index, (unsigned long long)(bar.size >> 20),
	       (unsigned long long)bar.start, verdict);
	return 0;
}

int main(int argc, char **argv)
{
	struct pcidev_bar bar;
	int index, err;

	if (argc != 3) {
		fprintf(stderr, "usage: barcheck DEVICE_DIR BAR\n");
		return 2;
	}
	index = atoi(argv[2]);
	err = pcidev_bar(argv[1], index, &bar);
	if (!err && (bar.size < PAGE || !bar.start)) {
		printf("BAR %d: %s\n", index, bar.size ? "has no address" : "the device has none");
		return 1;
	}
	if (!err)
		err = pcidev_command(argv[1], PCI_COMMAND_MEMORY, 0);
	if (err) {
		printf("%s: %s\n", argv[1], strerror(-err));
		return 1;
	}
	return check(argv[1], index, bar) ? 1 : 0;
}
