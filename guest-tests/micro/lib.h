/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A library for guests of a hundred lines: 32-bit flat mode, no paging, one result.
 *
 * A guest defines guest_main(). If it returns, the test has passed. If check() fails, it prints its
 * file and line. skip() prints why a test cannot run. The result is written to port 0xf4 (0:
 * passed,
 * 1: failed, 77: skipped); texts go to COM1.
 */
#ifndef MICRO_LIB_H
#define MICRO_LIB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void guest_main(void); /* the test */
void guest_ap(void);   /* what an application processor runs; default: nothing */

/* The text of --append; and true if it contains this word. */
extern const char *guest_command_line;
bool guest_option(const char *word);

void print(const char *s);
void print_hex(uint32_t v);
void print_dec(uint32_t v);
void finish(uint8_t status) __attribute__((noreturn));
void skip(const char *why) __attribute__((noreturn));
void failed(const char *file, int line, const char *what, uint32_t value) __attribute__((noreturn));

/* Checks cond up to `loops` times, until it is true. Returns its last value. */
#define looks_until(cond, loops)                                     \
	({                                                           \
		for (uint32_t i_ = 0; i_ < (loops) && !(cond); i_++) \
			__asm__ volatile("pause");                   \
		(cond);                                              \
	})
/* Waits some seconds, which a busy host may need; ends as soon as cond is true. */
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

/* Sets the handler of general protection faults, which must not return. Call it after
 * irq_init(). */
void on_gp(void (*fn)(void));

/* Interrupts are counted for each vector, and acknowledged at the LAPIC. */
extern volatile uint32_t irq_count[256];
void irq_init(void); /* IDT, LAPIC on, PIC masked */
void ioapic_route(unsigned pin, uint8_t vector, bool level);
bool irq_wait(uint8_t vector, uint32_t count);	     /* false: it did not come */
bool irq_stays_away(uint8_t vector, uint32_t count); /* waits for a shorter time */
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

/* SMP: starts all other processors with INIT and SIPI; they run guest_ap(). ap_count is the number
 * of processors that have started. */
extern volatile uint32_t ap_count;
void smp_start(void);

/* PCI through ECAM at 0xb0000000, where minivmm puts it for direct boot. The bits above the 8 bits
 * of devfn may be a bus number. */
static inline uint32_t pci_ecam(unsigned devfn)
{
	return 0xb0000000u + (devfn << 12);
}
/* The devfn of the first device on bus 0 with this vendor and device id; -1: there is none. */
int pci_find(uint16_t vendor, uint16_t device);
/* The same for devices behind the root ports. The root ports get bus numbers from 1 on. The port
 * above the found device gets a memory window of `size` bytes at `base`, both multiples of 1
 * MiB. */
int pci_find_behind_port(uint16_t vendor, uint16_t device, uint32_t base, uint32_t size);
/* Places memory BAR n at addr (32 bits), and enables decoding and bus mastering. */
void pci_place_bar(int devfn, unsigned bar, uint32_t addr);
/* The offset of the next capability with this id after `from` (0: the first one); 0: there is
 * none. */
unsigned pci_cap(int devfn, uint8_t id, unsigned from);

#endif
