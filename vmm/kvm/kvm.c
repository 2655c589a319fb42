/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM: open it, check its capabilities, manage memslots and ioeventfds.
 *
 * Start-up time matters: it is compared with a program that only opens KVM, maps memory and enters
 * the guest. So no ioctl is done twice. The interrupt chips are created before any vCPU, because
 * KVM gives a vCPU its LAPIC when it creates the vCPU.
 *
 * The PIT does not reinject lost ticks. Reinjection needs an exit for each interrupt acknowledge
 * and so keeps APICv/AVIC off, and today's guests do not need it. But switching it off waits for an
 * SRCU grace period (1 to 15 ms were seen), which is longer than the rest of the start. So
 * kvm_stop_reinjection() is called shortly after the vCPUs have started.
 */
#include "vmm/kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/core/cleanup.h"
#include "vmm/kvm/kvm_stats.h"
#include "vmm/core/log.h"

struct kvm_slot {
	uint64_t gpa, size; /* size 0: free */
};

struct required {
	int cap;
	const char *name, *remedy;
};

static const struct required required[] = {
	{ KVM_CAP_IRQCHIP, "an in-kernel interrupt controller", "load kvm_intel or kvm_amd" },
	{ KVM_CAP_IRQ_ROUTING, "interrupt routing", "use Linux 5.10 or newer" },
	{ KVM_CAP_PIT2, "an in-kernel PIT", "use Linux 5.10 or newer" },
	{ KVM_CAP_REINJECT_CONTROL, "PIT reinjection control", "use Linux 5.10 or newer" },
	{ KVM_CAP_IRQFD, "irqfd", "use a kernel with CONFIG_EVENTFD" },
	{ KVM_CAP_IRQFD_RESAMPLE, "irqfd with resampling", "use Linux 5.10 or newer" },
	{ KVM_CAP_IOEVENTFD, "ioeventfd", "use a kernel with CONFIG_EVENTFD" },
	{ KVM_CAP_IOEVENTFD_ANY_LENGTH, "ioeventfd of any length", "use Linux 5.10 or newer" },
	{ KVM_CAP_SIGNAL_MSI, "MSI injection", "use a kernel with CONFIG_HAVE_KVM_MSI" },
	{ KVM_CAP_IMMEDIATE_EXIT, "immediate_exit", "use Linux 5.10 or newer" },
	{ KVM_CAP_EXT_CPUID, "CPUID configuration", "use Linux 5.10 or newer" },
	{ KVM_CAP_MP_STATE, "multiprocessor state", "use Linux 5.10 or newer" },
};

static int kvm_cap(const struct kvm *k, int cap)
{
	int v = ioctl(k->dev, KVM_CHECK_EXTENSION, cap);

	return v < 0 ? 0 : v;
}

static int open_dev(struct kvm *k, struct error *err)
{
	int version;

	k->dev = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (k->dev < 0 && errno == ENOENT)
		return error_set(err, -ENOENT,
				 "/dev/kvm does not exist: enable virtualisation in the firmware "
				 "setup (BIOS) and load kvm_intel or kvm_amd");
	if (k->dev < 0 && errno == EACCES)
		return error_set(err, -EACCES,
				 "there is no permission to open /dev/kvm: join the group kvm "
				 "(usermod -aG kvm USER) or run as root");
	if (k->dev < 0)
		return error_set(err, -errno, "/dev/kvm: %s", strerror(errno));
	version = ioctl(k->dev, KVM_GET_API_VERSION, 0);
	if (version < 0)
		return error_set(err, -errno,
				 "/dev/kvm is not KVM (%s): rmmod and load kvm_intel "
				 "or kvm_amd, or remove the file",
				 strerror(errno));
	if (version != KVM_API_VERSION)
		return error_set(err, -EPROTO,
				 "/dev/kvm has API version %d, but version %d is needed", version,
				 KVM_API_VERSION);
	return 0;
}

static int probe(struct kvm *k, struct error *err)
{
	unsigned i;
	int size;

	for (i = 0; i < ARRAY_SIZE(required); i++)
		if (kvm_cap(k, required[i].cap) == 0)
			return error_set(err, -EOPNOTSUPP, "this kernel's KVM lacks %s: %s",
					 required[i].name, required[i].remedy);
	k->max_gsi = (unsigned)kvm_cap(k, KVM_CAP_IRQ_ROUTING);
	k->max_slots = (unsigned)kvm_cap(k, KVM_CAP_NR_MEMSLOTS);
	k->max_vcpus = (unsigned)kvm_cap(k, KVM_CAP_MAX_VCPUS);
	k->readonly_mem = kvm_cap(k, KVM_CAP_READONLY_MEM) > 0;
	k->tsc_deadline = kvm_cap(k, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
	size = ioctl(k->dev, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < (int)sizeof(struct kvm_run))
		return error_set(err, -EPROTO, "KVM_GET_VCPU_MMAP_SIZE says %d", size);
	k->run_size = (size_t)size;
	return 0;
}

int kvm_create(struct kvm *k, struct error *err)
{
	do {
		k->vm = ioctl(k->dev, KVM_CREATE_VM, 0);
	} while (k->vm < 0 && errno == EINTR);
	if (k->vm < 0)
		return error_set(err, -errno, "KVM_CREATE_VM: %s%s", strerror(errno),
				 errno == EBUSY ? ": another hypervisor uses the processor" : "");
	k->stats_fd = kvm_stats_open(k->vm);
	return 0;
}

int kvm_create_chips(struct kvm *k, struct error *err)
{
	struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
	uint64_t identity = KVM_IDENTITY_ADDR;

	if (ioctl(k->vm, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0)
		return error_set(err, -errno, "KVM_SET_IDENTITY_MAP_ADDR: %s", strerror(errno));
	if (ioctl(k->vm, KVM_SET_TSS_ADDR, (unsigned long)KVM_TSS_ADDR) < 0)
		return error_set(err, -errno, "KVM_SET_TSS_ADDR: %s", strerror(errno));
	if (ioctl(k->vm, KVM_CREATE_IRQCHIP, 0) < 0)
		return error_set(err, -errno, "KVM_CREATE_IRQCHIP: %s", strerror(errno));
	if (ioctl(k->vm, KVM_CREATE_PIT2, &pit) < 0)
		return error_set(err, -errno, "KVM_CREATE_PIT2: %s", strerror(errno));
	return 0;
}

int kvm_disable_exits(struct kvm *k, struct error *err)
{
	const int wanted = KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_MWAIT |
			   KVM_X86_DISABLE_EXITS_PAUSE;
	int can = kvm_cap(k, KVM_CAP_X86_DISABLE_EXITS);
	struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_DISABLE_EXITS };

	if (!(can & KVM_X86_DISABLE_EXITS_HLT))
		return error_set(err, -EOPNOTSUPP,
				 "--idle poll: this host's KVM does not support halting without an "
				 "exit (KVM_CAP_X86_DISABLE_EXITS is %d): use --idle halt",
				 can);
	cap.args[0] = (unsigned)(can & wanted);
	if (ioctl(k->vm, KVM_ENABLE_CAP, &cap) < 0)
		return error_set(err, -errno, "KVM_CAP_X86_DISABLE_EXITS: %s", strerror(errno));
	return 0;
}

void kvm_stop_reinjection(struct kvm *k)
{
	struct kvm_reinject_control c = { .pit_reinject = 0 };

	/* The capability was checked, so this should not fail. If it fails, the machine is slower,
	 * but works. */
	if (ioctl(k->vm, KVM_REINJECT_CONTROL, &c) < 0)
		log_warn("KVM_REINJECT_CONTROL: %s", strerror(errno));
}

static int slot_find(struct kvm *k, uint64_t gpa, uint64_t size)
{
	unsigned i;

	for (i = 0; i < k->n_slots; i++)
		if (k->slots[i].size == size && (size == 0 || k->slots[i].gpa == gpa))
			return (int)i;
	return -ENOENT;
}

static int slot_alloc(struct kvm *k)
{
	struct kvm_slot *slots;
	int i = slot_find(k, 0, 0);

	if (i >= 0)
		return i;
	if (k->n_slots >= k->max_slots)
		return -ENOSPC;
	slots = realloc(k->slots, (k->n_slots + 1) * sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	k->slots = slots;
	slots[k->n_slots] = (struct kvm_slot){ 0 };
	return (int)k->n_slots++;
}

static int slot_add(struct mem_listener *l, const struct mem_range *r)
{
	struct kvm *k = container_of(l, struct kvm, listener);
	struct kvm_userspace_memory_region region;
	int slot;

	if (r->kind == MEM_ROM && !k->readonly_mem)
		return -EOPNOTSUPP;
	slot = slot_alloc(k);
	if (slot < 0)
		return slot;
	region = (struct kvm_userspace_memory_region){
		.slot = (uint32_t)slot,
		.flags = r->kind == MEM_ROM ? KVM_MEM_READONLY : 0,
		.guest_phys_addr = r->gpa,
		.memory_size = r->size,
		.userspace_addr = (uintptr_t)r->host,
	};
	if (ioctl(k->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return -errno;
	k->slots[slot] = (struct kvm_slot){ r->gpa, r->size };
	return 0;
}

static void slot_del(struct mem_listener *l, const struct mem_range *r)
{
	struct kvm *k = container_of(l, struct kvm, listener);
	struct kvm_userspace_memory_region region = { .guest_phys_addr = r->gpa };
	int slot = slot_find(k, r->gpa, r->size);

	if (slot < 0)
		return;
	region.slot = (uint32_t)slot;
	ioctl(k->vm, KVM_SET_USER_MEMORY_REGION, &region);
	k->slots[slot].size = 0;
}

static int ioeventfd(const struct kvm_doorbells *db, const struct doorbell *d, uint32_t flags)
{
	struct kvm_ioeventfd e = {
		.addr = d->addr,
		.len = d->len,
		.fd = d->fd,
		.flags = flags | (db->pio ? KVM_IOEVENTFD_FLAG_PIO : 0),
	};

	if (d->datamatch >= 0) {
		e.datamatch = (uint64_t)d->datamatch;
		e.flags |= KVM_IOEVENTFD_FLAG_DATAMATCH;
	}
	return ioctl(db->kvm->vm, KVM_IOEVENTFD, &e) < 0 ? -errno : 0;
}

static int bell_add(void *opaque, const struct doorbell *d)
{
	return ioeventfd(opaque, d, 0);
}

static void bell_del(void *opaque, const struct doorbell *d)
{
	ioeventfd(opaque, d, KVM_IOEVENTFD_FLAG_DEASSIGN);
}

const struct doorbell_ops kvm_doorbell_ops = { .add = bell_add, .del = bell_del };

int kvm_open(struct kvm *k, struct error *err)
{
	int ret;

	*k = (struct kvm){ .dev = -1,
			   .vm = -1,
			   .stats_fd = -1,
			   .vfio = -1,
			   .listener = { .add = slot_add, .del = slot_del } };
	ret = open_dev(k, err);
	return ret < 0 ? ret : probe(k, err);
}

void kvm_close(struct kvm *k)
{
	cleanup_close(&k->vfio);
	cleanup_close(&k->stats_fd);
	cleanup_close(&k->vm);
	cleanup_close(&k->dev);
	free(k->slots);
	*k = (struct kvm){ .dev = -1, .vm = -1, .stats_fd = -1, .vfio = -1 };
}
