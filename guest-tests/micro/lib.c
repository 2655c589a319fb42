/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib.h"

#define COM1	     0x3f8
#define EXIT_PORT    0xf4
#define IOAPIC	     0xfec00000u
#define TRAMPOLINE   0x10000u
#define SKIP	     77
#define QUIET_LOOPS  200000u
#define LAPIC_EOI    0xb0
#define LAPIC_SVR    0xf0
#define LAPIC_ICR_LO 0x300
#define INIT_ALL     0xc4500
#define SIPI_ALL     0xc4600

#define INFO_CMDLINE 24 /* offset of the command line's address in the PVH start_info */

extern char stubs[], trampoline[], trampoline_end[];
const char *guest_command_line = "";
volatile uint32_t irq_count[256];
static uint64_t idt[256];

/* The compiler generates calls of these functions. */
void *memcpy(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);

void *memcpy(void *dst, const void *src, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		((volatile char *)dst)[i] = ((const char *)src)[i];
	return dst;
}

void *memset(void *dst, int c, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		((volatile char *)dst)[i] = (char)c;
	return dst;
}

void print(const char *s)
{
	for (; *s; s++)
		outb(COM1, (uint8_t)*s);
}

void print_hex(uint32_t v)
{
	int i;

	print("0x");
	for (i = 28; i >= 0; i -= 4)
		outb(COM1, (uint8_t) "0123456789abcdef"[v >> i & 15]);
}

void print_dec(uint32_t v)
{
	if (v >= 10)
		print_dec(v / 10);
	outb(COM1, (uint8_t)('0' + v % 10));
}

bool guest_option(const char *word)
{
	const char *at = guest_command_line;
	size_t i;

	for (; *at; at++) {
		for (i = 0; word[i] && at[i] == word[i]; i++)
			;
		if (!word[i])
			return true;
	}
	return false;
}

void finish(uint8_t status)
{
	for (;;)
		outb(EXIT_PORT, status);
}

void skip(const char *why)
{
	print(why);
	print("\n");
	finish(SKIP);
}

void failed(const char *file, int line, const char *what, uint32_t value)
{
	outb(COM1 + 4, 0); /* end loop-back mode, which the test may have set */
	print(file);
	print(":");
	print_hex((uint32_t)line);
	print(": ");
	print(what);
	print(" value ");
	print_hex(value);
	print("\n");
	finish(1);
}

__attribute__((weak)) void guest_ap(void)
{
}

void guest_start(uint32_t info);
void guest_start(uint32_t info)
{
	check_eq(read32(info), 0x336ec578);
	if (read32(info + INFO_CMDLINE))
		guest_command_line = (const char *)read32(info + INFO_CMDLINE);
	guest_main();
	finish(0);
}

void guest_interrupt(const uint32_t *frame);
void guest_interrupt(const uint32_t *frame)
{
	uint32_t vector = frame[8] & 0xff; /* above the eight registers of pusha */

	if (vector < 32)
		failed("exception", (int)vector, "at", frame[10]);
	irq_count[vector]++;
	lapic_write(LAPIC_EOI, 0);
}

static void idt_set(unsigned vector, uint32_t at)
{
	idt[vector] = (at & 0xffff) | 0x10u << 16 | ((uint64_t)((at & 0xffff0000) | 0x8e00) << 32);
}

void on_gp(void (*fn)(void))
{
	idt_set(13, (uint32_t)fn);
}

void irq_init(void)
{
	struct {
		uint16_t limit;
		uint32_t base;
	} __attribute__((packed)) ptr = { sizeof(idt) - 1, (uint32_t)idt };
	uint32_t i;

	for (i = 0; i < 256; i++)
		idt_set(i, (uint32_t)stubs + i * 16);
	__asm__ volatile("lidt %0" : : "m"(ptr));
	outb(0x21, 0xff);
	outb(0xa1, 0xff);
	lapic_write(LAPIC_SVR, 0x1ff);
}

void ioapic_route(unsigned pin, uint8_t vector, bool level)
{
	write32(IOAPIC, 0x10 + pin * 2 + 1);
	write32(IOAPIC + 0x10, 0); /* to LAPIC 0 */
	write32(IOAPIC, 0x10 + pin * 2);
	write32(IOAPIC + 0x10, vector | (level ? 1u << 15 : 0));
}

bool irq_wait(uint8_t vector, uint32_t count)
{
	return wait_until(irq_count[vector] >= count);
}

bool irq_stays_away(uint8_t vector, uint32_t count)
{
	return !looks_until(irq_count[vector] >= count, QUIET_LOOPS);
}

void smp_start(void)
{
	volatile uint32_t i;

	memcpy((void *)TRAMPOLINE, trampoline, (size_t)(trampoline_end - trampoline));
	lapic_write(LAPIC_SVR, 0x1ff);
	lapic_write(LAPIC_ICR_LO, INIT_ALL);
	for (i = 0; i < 1000; i++)
		;
	lapic_write(LAPIC_ICR_LO, SIPI_ALL | TRAMPOLINE >> 12);
}

int pci_find(uint16_t vendor, uint16_t device)
{
	int devfn;

	for (devfn = 0; devfn < 256; devfn++)
		if (read32(pci_ecam((unsigned)devfn)) == (vendor | (uint32_t)device << 16))
			return devfn;
	return -1;
}

#define PCI_CLASS_BRIDGE_PCI 0x0604

int pci_find_behind_port(uint16_t vendor, uint16_t device, uint32_t base, uint32_t size)
{
	uint32_t port, end = base + size - 1;
	int devfn, bus = 1, fn;

	for (devfn = 0; devfn < 256; devfn++) {
		port = pci_ecam((unsigned)devfn);
		if (read16(port + 10) != PCI_CLASS_BRIDGE_PCI)
			continue;
		write32(port + 0x18, (uint32_t)(bus << 8 | bus << 16));
		for (fn = bus << 8; fn < (bus << 8) + 8; fn++) {
			if (read32(pci_ecam((unsigned)fn)) != (vendor | (uint32_t)device << 16))
				continue;
			write32(port + 0x20, base >> 16 | (end & 0xfff00000));
			write16(port + 4, 6); /* memory, bus master */
			return fn;
		}
		bus++;
	}
	return -1;
}

void pci_place_bar(int devfn, unsigned bar, uint32_t addr)
{
	uint32_t cfg = pci_ecam((unsigned)devfn), old = read32(cfg + 0x10 + bar * 4);

	write32(cfg + 0x10 + bar * 4, addr);
	if ((old & 7) == 4)
		write32(cfg + 0x14 + bar * 4, 0);
	write16(cfg + 4, 0x406); /* memory, bus master, no INTx */
}

unsigned pci_cap(int devfn, uint8_t id, unsigned from)
{
	uint32_t cfg = pci_ecam((unsigned)devfn);
	unsigned at = read8(cfg + (from ? from + 1 : 0x34));

	while (at && read8(cfg + at) != id)
		at = read8(cfg + at + 1);
	return at;
}
