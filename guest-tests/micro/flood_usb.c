/* SPDX-License-Identifier: BSD-2-Clause */
/* runner: --usb none */
/* A driver of the USB controller that does not take events from its ring: the ring becomes full,
 * commands wait, and every command has its event when the driver takes them at last. With --append
 * forever it never takes one, and sends commands and resets without end. */
#include "lib.h"

#define BAR	 0xc0000000u
#define USBCMD	 (BAR + 0x40)
#define USBSTS	 (BAR + 0x44)
#define CRCR	 (BAR + 0x58)
#define DCBAAP	 (BAR + 0x70)
#define CONFIG	 (BAR + 0x78)
#define PORTSC1	 (BAR + 0x440)
#define ERSTSZ	 (BAR + 0x1028)
#define ERSTBA	 (BAR + 0x1030)
#define ERDP	 (BAR + 0x1038)
#define DOORBELL (BAR + 0x2000)

#define RUN	  1u
#define RESET	  2u
#define HALTED	  1u
#define BUSY	  8u
#define LINK	  (6u << 10 | 2) /* and toggle the cycle */
#define NOOP	  (23u << 10)
#define COMMAND	  33u
#define HOST	  37u
#define RING_FULL 21u

#define EVENTS	 16u
#define COMMANDS 200u
#define RING	 256u

struct trb {
	volatile uint32_t addr, high, status, control;
};

static struct trb commands[RING] __attribute__((aligned(64)));
static struct trb events[EVENTS] __attribute__((aligned(64)));
static uint32_t segments[4] __attribute__((aligned(64)));
static uint64_t contexts[65] __attribute__((aligned(64)));

static void write_addr(uint32_t reg, const volatile void *p, uint32_t bits)
{
	write32(reg, (uint32_t)p | bits);
	write32(reg + 4, 0);
}

static void controller_start(void)
{
	uint32_t i;

	write32(USBCMD, RESET);
	check(wait_until(!(read32(USBCMD) & RESET)));
	check(read32(USBSTS) & HALTED);
	for (i = 0; i < RING; i++)
		commands[i].control = 0;
	for (i = 0; i < EVENTS; i++)
		events[i].control = 0;
	segments[0] = (uint32_t)events;
	segments[2] = EVENTS;
	write32(CONFIG, 8);
	write_addr(DCBAAP, contexts, 0);
	write_addr(CRCR, commands, 1);
	write32(ERSTSZ, 1);
	write_addr(ERDP, events, 0);
	write_addr(ERSTBA, segments, 0);
	write32(USBCMD, RUN);
}

static void send_commands(uint32_t first, uint32_t n)
{
	uint32_t i;

	for (i = first; i < first + n; i++)
		commands[i].control = NOOP | 1;
	write32(DOORBELL, 0);
}

/* Takes one event; *cycle is that of the ring. */
static struct trb event_take(uint32_t *at, uint32_t *cycle)
{
	struct trb t;

	check(wait_until((events[*at].control & 1) == *cycle));
	t = events[*at];
	if (++*at == EVENTS) {
		*at = 0;
		*cycle ^= 1;
	}
	return t;
}

/* Takes all events, one at a time. Each command must have one, in order. Another kind of event may
 * say that the ring is full. */
static void events_take_all(void)
{
	uint32_t at = 0, cycle = 1, n = 0;

	while (n < COMMANDS) {
		struct trb t = event_take(&at, &cycle);

		if (t.control >> 10 == HOST) {
			check_eq(t.status >> 24, RING_FULL);
		} else {
			check_eq(t.control >> 10 & 63, COMMAND);
			check_eq(t.addr, &commands[n]);
			n++;
		}
		write_addr(ERDP, &events[at], BUSY);
	}
}

static void flood_forever(void)
{
	uint32_t i, cycle;

	for (;;) {
		controller_start();
		commands[RING - 1].addr = (uint32_t)commands;
		for (i = 0, cycle = 1; i < 100 * RING; i++) {
			commands[i % RING].control = (i % RING == RING - 1 ? LINK : NOOP) | cycle;
			if (i % RING == RING - 1)
				cycle ^= 1;
			write32(DOORBELL, 0);
			write32(PORTSC1 + i % 8 * 0x10, 0x210);
		}
	}
}

void guest_main(void)
{
	int devfn = pci_find(0x1b36, 0x000d);

	if (devfn < 0)
		skip("no USB controller in this machine");
	pci_place_bar(devfn, 0, BAR);
	if (guest_option("forever"))
		flood_forever();
	controller_start();
	send_commands(0, 100);
	check(wait_until(events[EVENTS - 2].control & 1));
	send_commands(100, COMMANDS - 100);
	/* The last place stays free. */
	check(!looks_until(events[EVENTS - 1].control & 1, 200000u));
	events_take_all();
	/* The driver takes none at all, and starts anew. */
	controller_start();
	send_commands(0, COMMANDS);
	check(wait_until(events[EVENTS - 2].control & 1));
	controller_start();
	send_commands(0, COMMANDS);
	events_take_all();
	print_dec(2 * COMMANDS);
	print(" commands through a ring of ");
	print_dec(EVENTS);
	print(" events\n");
}
