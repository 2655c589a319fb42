/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A library for guests of a hundred lines: 32-bit, flat, no paging, one verdict.
 *
 * A guest defines guest_main(). Returning is success; check() fails with the place; skip() says why
 * not. The verdict is the value written to port 0xf4 (0, 1, 77), the words go to COM1.
 */
#ifndef MICRO_LIB_H
#define MICRO_LIB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void guest_main(void); /* the test */
void guest_ap(void);   /* what an application processor runs; default: nothing */

/* What --append says, and whether this word is somewhere in it. */
extern const char *guest_command_line;
bool guest_option(const char *word);

void print(const char *s);
void print_hex(uint32_t v);
void print_dec(uint32_t v);
void finish(uint8_t status) __attribute__((noreturn));
void skip(const char *why) __attribute__((noreturn));
void failed(const char *file, int line, const char *what, uint32_t value) __attribute__((noreturn));

/* Looks until cond holds, at most so often; whether it does. */
#define looks_until(cond, loops)                                     \
	({                                                           \
		for (uint32_t i_ = 0; i_ < (loops) && !(cond); i_++) \
			__asm__ volatile("pause");                   \
		(cond);                                              \
	})
/* Seconds, which a busy host may need; what comes ends the wait. */
#define wait_until(cond) looks_until(cond, 40000000u)

#define check(cond)                                           \
	do {                                                  \
		if (!(cond))                                  \
			failed(__FILE__, __LINE__, #cond, 0); \
	} while (0)
#define check_eq(a, b)                                                \
	do {                                                          \
		uint32_t a_ = (uint32_t)(a);                          \
		if (a_ != (uint32_t)(b))                              \
			failed(__FILE__, __LINE__, #a " == " #b, a_); \
	} while (0)

#define PORT_IO(suffix, type)                                                     \
	static inline void out##suffix(uint16_t port, type v)                     \
	{                                                                         \
		__asm__ volatile("out" #suffix " %0, %1" : : "a"(v), "Nd"(port)); \
	}                                                                         \
	static inline type in##suffix(uint16_t port)                              \
	{                                                                         \
		type v;                                                           \
		__asm__ volatile("in" #suffix " %1, %0" : "=a"(v) : "Nd"(port));  \
		return v;                                                         \
	}
PORT_IO(b, uint8_t)
PORT_IO(w, uint16_t)
PORT_IO(l, uint32_t)

/* Plain moves, so that every hypervisor can emulate them. */
#define MMIO(bits, suffix, constraint)                                  \
	static inline void write##bits(uint32_t addr, uint##bits##_t v) \
	{                                                               \
		__asm__ volatile("mov" #suffix " %0, (%1)"              \
				 :                                      \
				 : constraint(v), "r"(addr)             \
				 : "memory");                           \
	}                                                               \
	static inline uint##bits##_t read##bits(uint32_t addr)          \
	{                                                               \
		uint##bits##_t v;                                       \
		__asm__ volatile("mov" #suffix " (%1), %0"              \
				 : "=" constraint(v)                    \
				 : "r"(addr)                            \
				 : "memory");                           \
		return v;                                               \
	}
MMIO(8, b, "q")
MMIO(16, w, "r")
MMIO(32, l, "r")

static inline void cpuid(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
	__asm__ volatile("cpuid"
			 : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
			 : "a"(leaf), "c"(sub));
}

static inline uint64_t rdmsr(uint32_t index)
{
	uint32_t lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(index));
	return (uint64_t)hi << 32 | lo;
}

static inline void wrmsr(uint32_t index, uint64_t v)
{
	__asm__ volatile("wrmsr" : : "c"(index), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)));
}

/* What a general protection fault runs; it must not return. After irq_init(). */
void on_gp(void (*fn)(void));

/* Interrupts: counted per vector, acknowledged at the LAPIC. */
extern volatile uint32_t irq_count[256];
void irq_init(void); /* IDT, LAPIC on, PIC masked */
void ioapic_route(unsigned pin, uint8_t vector, bool level);
bool irq_wait(uint8_t vector, uint32_t count);	     /* false: it did not come */
bool irq_stays_away(uint8_t vector, uint32_t count); /* so far; a shorter look */
static inline void irq_on(void)
{
	__asm__ volatile("sti");
}
static inline void irq_off(void)
{
	__asm__ volatile("cli");
}
#define LAPIC 0xfee00000u
static inline void lapic_write(unsigned reg, uint32_t v)
{
	write32(LAPIC + reg, v);
}
static inline uint32_t lapic_read(unsigned reg)
{
	return read32(LAPIC + reg);
}

/* SMP: starts all others by INIT, SIPI; they run guest_ap(). ap_count: how many came. */
extern volatile uint32_t ap_count;
void smp_start(void);

/* PCI by ECAM at 0xb0000000, where minivmm puts it for direct boot. A devfn may have a bus above
 * it. */
static inline uint32_t pci_ecam(unsigned devfn)
{
	return 0xb0000000u + (devfn << 12);
}
/* The devfn on bus 0 of the first device with this vendor and device; -1: none. */
int pci_find(uint16_t vendor, uint16_t device);
/* The same behind the root ports, which get buses from 1 on and, the one it is found at, a memory
 * window of `size` bytes at `base` (MiB both). */
int pci_find_behind_port(uint16_t vendor, uint16_t device, uint32_t base, uint32_t size);
/* Places memory BAR n at addr (32 bits of it) and turns decoding and bus mastering on. */
void pci_place_bar(int devfn, unsigned bar, uint32_t addr);
/* Offset of the capability, starting after `from` (0: the first); 0: none. */
unsigned pci_cap(int devfn, uint8_t id, unsigned from);

#endif
