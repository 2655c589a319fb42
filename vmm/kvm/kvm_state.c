/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vCPU's registers.
 *
 * The power-on values are from the Intel SDM vol. 3A, table 10-1 ("IA-32 and Intel 64 Processor
 * States Following Power-up, Reset, or INIT"). KVM has no ioctl that resets a vCPU. So each reset
 * after the first writes everything that a guest can have changed. MSRs are written one by one: it
 * depends on the host which of them exist, and KVM_SET_MSRS stops at the first one it does not
 * know. KVM's paravirtual MSRs come first, because they make the host write to guest memory.
 */
#include "vmm/kvm/kvm_state.h"

#include <errno.h>
#include <linux/kvm.h>
#include <linux/kvm_para.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/core/addr.h"
#include "vmm/core/log.h"
#include "vmm/core/mem.h"
#include "vmm/kvm/vcpu.h"

#define CR0_PE	   (1u << 0)
#define CR0_ET	   (1u << 4)
#define CR0_RESET  0x60000010u /* CD, NW, ET */
#define CR4_PAE	   (1u << 5)
#define EFER_LME   (1u << 8)
#define EFER_LMA   (1u << 10)
#define CR0_PG	   (1u << 31)
#define RFLAGS_ONE 2u

#define APIC_BASE	 0xfee00000u
#define APIC_BASE_ENABLE (1u << 11)
#define APIC_BASE_BSP	 (1u << 8)

#define MSR_MISC_ENABLE	   0x1a0
#define MSR_MTRR_DEF_TYPE  0x2ff
#define MISC_FAST_STRING   1u
#define MTRR_ENABLED_WB	   0x806u /* E, write-back */
#define MSR_PAT		   0x277
#define PAT_RESET	   0x0007040600070406ull
#define LAPIC_REG_DFR	   0xe0
#define LAPIC_REG_SVR	   0xf0
#define LAPIC_REG_ISR	   0x100 /* eight registers, 16 bytes apart; then TMR and IRR likewise */
#define LAPIC_REG_IRR	   0x200
#define LAPIC_REG_LVT_CMCI 0x2f0
#define LAPIC_REG_LVT	   0x320 /* timer, thermal, perf, LINT0, LINT1, error: 16 bytes apart */
#define LAPIC_LVT_LINT0	   3
#define LAPIC_LVTS	   6
#define LVT_MASKED	   0x10000u
#define LVT_EXTINT	   0x700u

/* Selectors of the GDT that direct boot sets up (Linux boot protocol: __BOOT_CS, __BOOT_DS). */
#define BOOT_CS 0x10
#define BOOT_DS 0x18

static struct kvm_segment real_segment(uint16_t selector, uint64_t base, uint8_t type)
{
	return (struct kvm_segment){ .selector = selector,
				     .base = base,
				     .limit = 0xffff,
				     .type = type,
				     .present = 1,
				     .s = 1 };
}

static struct kvm_segment flat_segment(uint16_t selector, uint8_t type, bool long_mode)
{
	return (struct kvm_segment){ .selector = selector,
				     .limit = 0xffffffff,
				     .type = type,
				     .present = 1,
				     .s = 1,
				     .g = 1,
				     .l = long_mode,
				     .db = !long_mode };
}

static struct kvm_segment system_segment(uint8_t type)
{
	return (struct kvm_segment){ .limit = 0xffff, .type = type, .present = 1 };
}

static void set_data_segments(struct kvm_sregs *s, struct kvm_segment seg)
{
	s->ds = s->es = s->fs = s->gs = s->ss = seg;
}

static void sregs_power_on(struct kvm_sregs *s, bool bsp)
{
	*s = (struct kvm_sregs){ .cr0 = CR0_RESET };
	s->cs = real_segment(0xf000, 0xffff0000, 0xb);
	set_data_segments(s, real_segment(0, 0, 3));
	s->tr = system_segment(0xb);
	s->ldt = system_segment(2);
	s->gdt.limit = s->idt.limit = 0xffff;
	s->apic_base = APIC_BASE | APIC_BASE_ENABLE | (bsp ? APIC_BASE_BSP : 0);
}

static void sregs_enter(struct kvm_sregs *s, const struct vcpu_entry *e)
{
	bool long_mode = e->mode == VCPU_LONG64;

	s->cs = flat_segment(BOOT_CS, 0xb, long_mode);
	set_data_segments(s, flat_segment(BOOT_DS, 3, false));
	s->gdt.base = e->gdt_base;
	s->gdt.limit = e->gdt_limit;
	s->idt.limit = 0;
	s->cr0 = CR0_PE | CR0_ET;
	if (long_mode) {
		s->cr0 |= CR0_PG;
		s->cr3 = e->cr3;
		s->cr4 = CR4_PAE;
		s->efer = EFER_LME | EFER_LMA;
	}
}

static int set_sregs(int fd, const struct vcpu_state_reset *r)
{
	struct kvm_sregs s;

	sregs_power_on(&s, r->entry != NULL);
	if (r->entry && r->entry->mode != VCPU_RESET_VECTOR)
		sregs_enter(&s, r->entry);
	return ioctl(fd, KVM_SET_SREGS, &s) < 0 ? -errno : 0;
}

static int set_regs(int fd, const struct vcpu_state_reset *r)
{
	const struct vcpu_entry *e = r->entry;
	struct kvm_regs g = { .rip = 0xfff0, .rflags = RFLAGS_ONE, .rdx = r->signature };

	if (e && e->mode != VCPU_RESET_VECTOR) {
		g.rip = e->rip;
		g.rsp = e->rsp;
		g.rbx = e->rbx;
		g.rsi = e->rsi;
		g.rdx = 0;
	}
	return ioctl(fd, KVM_SET_REGS, &g) < 0 ? -errno : 0;
}

static int set_msr(int fd, uint32_t index, uint64_t data)
{
	char room[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)]
		__attribute__((aligned(8)));
	struct kvm_msr_entry e = { .index = index, .data = data };
	struct kvm_msrs head = { .nmsrs = 1 };

	memcpy(room, &head, sizeof(head));
	memcpy(room + sizeof(head), &e, sizeof(e));
	return ioctl(fd, KVM_SET_MSRS, room) == 1 ? 0 : -EINVAL;
}

/* Intel processors start with fast strings enabled (SDM vol. 4, IA32_MISC_ENABLE). Enabling the
 * MTRRs is the firmware's task; without firmware we do it, because Linux reports disabled MTRRs as
 * a BIOS bug. Errors are ignored: the host may not know these MSRs. */
static void set_firmware_msrs(int fd, const struct vcpu_state_reset *r)
{
	if (r->intel)
		set_msr(fd, MSR_MISC_ENABLE, MISC_FAST_STRING);
	if (!r->firmware)
		set_msr(fd, MSR_MTRR_DEF_TYPE, MTRR_ENABLED_WB);
}

static void reset_msrs(int fd)
{
	static const uint32_t zero[] = {
		MSR_KVM_ASYNC_PF_EN,
		MSR_KVM_STEAL_TIME,
		MSR_KVM_PV_EOI_EN,
		MSR_KVM_SYSTEM_TIME,
		MSR_KVM_SYSTEM_TIME_NEW,
		MSR_KVM_WALL_CLOCK,
		MSR_KVM_WALL_CLOCK_NEW,
		0x40000001,
		0x40000000,
		0x40000073,
		0x40000021,
		0x10 /* TSC */,
		0x3b /* TSC_ADJUST */,
		0x48 /* SPEC_CTRL */,
		0x6e0 /* TSC_DEADLINE */,
		0x174,
		0x175,
		0x176 /* SYSENTER */,
		0x17a /* MCG_STATUS */,
		0x1d9 /* DEBUGCTL */,
		0x38d,
		0x38f,
		0x390 /* perf */,
		0xda0 /* XSS */,
		0xc0000081,
		0xc0000082,
		0xc0000083,
		0xc0000084,
		0xc0000102,
		0xc0000103 /* TSC_AUX */,
		MSR_MTRR_DEF_TYPE,
		0x250,
		0x258,
		0x259,
		0x268,
		0x269,
		0x26a,
		0x26b,
		0x26c,
		0x26d,
		0x26e,
		0x26f,
	};
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(zero); i++)
		set_msr(fd, zero[i], 0);
	for (i = 0x200; i < 0x210; i++) /* variable MTRRs */
		set_msr(fd, i, 0);
	set_msr(fd, MSR_PAT, PAT_RESET);
}

static void lapic_put(struct kvm_lapic_state *l, unsigned reg, uint32_t v)
{
	memcpy(l->regs + reg, &v, sizeof(v));
}

/* SDM vol. 3A, 11.4.7.1. The id and version registers keep their values. */
static int reset_lapic(int fd, bool bsp)
{
	struct kvm_lapic_state l;
	unsigned reg, i;

	if (ioctl(fd, KVM_GET_LAPIC, &l) < 0)
		return -errno;
	for (reg = 0x40; reg < sizeof(l.regs); reg += 16)
		lapic_put(&l, reg, 0);
	lapic_put(&l, LAPIC_REG_DFR, UINT32_MAX);
	lapic_put(&l, LAPIC_REG_SVR, 0xff);
	lapic_put(&l, LAPIC_REG_LVT_CMCI, LVT_MASKED);
	for (i = 0; i < LAPIC_LVTS; i++)
		lapic_put(&l, LAPIC_REG_LVT + i * 16, LVT_MASKED);
	if (bsp) /* the PIC is connected to LINT0; KVM and BIOSes set it up like this */
		lapic_put(&l, LAPIC_REG_LVT + LAPIC_LVT_LINT0 * 16, LVT_EXTINT);
	return ioctl(fd, KVM_SET_LAPIC, &l) < 0 ? -errno : 0;
}

static int reset_rest(int fd, bool bsp)
{
	struct kvm_vcpu_events events = { .flags = KVM_VCPUEVENT_VALID_NMI_PENDING |
						   KVM_VCPUEVENT_VALID_SIPI_VECTOR |
						   KVM_VCPUEVENT_VALID_SHADOW };
	struct kvm_debugregs debug = { .dr6 = 0xffff0ff0, .dr7 = 0x400 };
	struct kvm_fpu fpu = { .fcw = 0x37f, .mxcsr = 0x1f80 };
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs = { { .xcr = 0, .value = 1 } } };
	struct kvm_mp_state mp = { .mp_state = bsp ? KVM_MP_STATE_RUNNABLE
						   : KVM_MP_STATE_UNINITIALIZED };

	ioctl(fd, KVM_SET_XCRS, &xcrs); /* fails on processors without XSAVE, which have no XCR0 */
	if (ioctl(fd, KVM_SET_FPU, &fpu) < 0 || ioctl(fd, KVM_SET_DEBUGREGS, &debug) < 0 ||
	    ioctl(fd, KVM_SET_VCPU_EVENTS, &events) < 0 || ioctl(fd, KVM_SET_MP_STATE, &mp) < 0)
		return -errno;
	return 0;
}

int vcpu_state_reset(int fd, const struct vcpu_state_reset *r)
{
	bool bsp = r->entry != NULL;
	int ret = 0;

	if (!r->first) {
		reset_msrs(fd);
		/* First, because the APIC base register selects the mode (xAPIC or x2APIC) in which
		 * KVM accepts the LAPIC's registers. */
		ret = set_sregs(fd, r);
		if (ret == 0)
			ret = reset_lapic(fd, bsp);
		if (ret == 0)
			ret = reset_rest(fd, bsp);
	} else if (bsp && !r->firmware) {
		ret = set_sregs(fd, r);
	}
	if (ret == 0 && (bsp || !r->first))
		ret = set_regs(fd, r);
	set_firmware_msrs(fd, r);
	return ret;
}

static void log_code(int fd, uint64_t linear, const struct guest_mem *mem)
{
	struct kvm_translation t = { .linear_address = linear };
	char text[3 * 16 + 1] = "";
	unsigned i;
	uint8_t b;

	if (ioctl(fd, KVM_TRANSLATE, &t) < 0 || !t.valid) {
		log_error("  no memory at the instruction pointer (0x%llx)",
			  (unsigned long long)linear);
		return;
	}
	for (i = 0; i < 16; i++) {
		if (guest_mem_read(mem, GPA(t.physical_address + i), &b, 1) < 0)
			break;
		snprintf(text + 3 * i, 4, " %02x", b);
	}
	log_error("  code at 0x%llx:%s", (unsigned long long)linear, text);
}

/* Logs the words at the stack pointer, up to the end of its page. */
static void log_stack(int fd, uint64_t linear, const struct guest_mem *mem)
{
	struct kvm_translation t = { .linear_address = linear };
	uint64_t word[16];
	char text[17 * 16 + 1] = "";
	unsigned i, n = (unsigned)((4096 - (linear & 4095)) / 8);

	n = n < 16 ? n : 16;
	if (ioctl(fd, KVM_TRANSLATE, &t) < 0 || !t.valid ||
	    guest_mem_read(mem, GPA(t.physical_address), word, n * 8) < 0)
		return;
	for (i = 0; i < n; i++)
		snprintf(text + 17 * i, 18, " %016llx", (unsigned long long)word[i]);
	log_error("  stack:%s", text);
}

/* Logs the interrupts that are in service (ISR) and pending (IRR) in the local APIC, and whether
 * the processor halts. Each of the two is eight 32-bit registers, 16 bytes apart. */
static void log_apic(int fd)
{
	struct kvm_mp_state mp = { 0 };
	struct kvm_vcpu_events ev = { 0 };
	struct kvm_lapic_state l;
	char text[256] = "";
	unsigned i, n = 0;

	if (ioctl(fd, KVM_GET_LAPIC, &l) < 0 || ioctl(fd, KVM_GET_MP_STATE, &mp) < 0 ||
	    ioctl(fd, KVM_GET_VCPU_EVENTS, &ev) < 0)
		return;
	for (i = 0; i < 512 && n < sizeof(text) - 8; i++) {
		unsigned reg = (i < 256 ? LAPIC_REG_ISR : LAPIC_REG_IRR) + i % 256 / 32 * 16;

		if (l.regs[reg + i % 32 / 8] & 1 << i % 8)
			n += (unsigned)snprintf(text + n, sizeof(text) - n, " %s %02x",
						i < 256 ? "isr" : "irr", i % 256);
	}
	log_error("  mp_state %u, shadow %u, injected %u (%02x), nmi pending %u,%s", mp.mp_state,
		  ev.interrupt.shadow, ev.interrupt.injected, ev.interrupt.nr, ev.nmi.pending,
		  n ? text : " no interrupt waits");
}

void vcpu_state_log(int fd, unsigned index, const struct guest_mem *mem)
{
	struct kvm_sregs s;
	struct kvm_regs r;

	if (ioctl(fd, KVM_GET_REGS, &r) < 0 || ioctl(fd, KVM_GET_SREGS, &s) < 0)
		return;
	log_error(
		"  vCPU %u rip %016llx rflags %08llx cs %04x base %llx cr0 %llx cr2 %llx cr3 %llx "
		"cr4 %llx efer %llx",
		index, r.rip, r.rflags, s.cs.selector, s.cs.base, s.cr0, s.cr2, s.cr3, s.cr4,
		s.efer);
	log_error("  rax %016llx rbx %016llx rcx %016llx rdx %016llx rsi %016llx rdi %016llx",
		  r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi);
	log_error("  rsp %016llx rbp %016llx r8 %016llx r9 %016llx r10 %016llx r11 %016llx", r.rsp,
		  r.rbp, r.r8, r.r9, r.r10, r.r11);
	log_error("  r12 %016llx r13 %016llx r14 %016llx r15 %016llx gdt %llx/%x idt %llx/%x",
		  r.r12, r.r13, r.r14, r.r15, s.gdt.base, s.gdt.limit, s.idt.base, s.idt.limit);
	log_apic(fd);
	log_code(fd, s.cs.base + r.rip, mem);
	log_stack(fd, r.rsp, mem);
}
