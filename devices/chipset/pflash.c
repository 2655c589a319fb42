/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CFI flash with the Intel command set, as far as OVMF's QemuFlashFvbServicesRuntimeDxe uses it:
 * read array (ff, 00, f0), read status (70), clear status (50), program byte (10, 40), erase block
 * (20, d0).
 *
 * The array is a read-only memslot: the guest executes and reads at full speed, and only its writes
 * exit. The first boot programs ten to thirty thousand bytes, with exits for each. So the memslot
 * stays during programming and erasing, because nobody reads the status between these commands. It
 * is removed only from command 70 to the next command that ends status mode; OVMF does this when it
 * probes for a flash.
 *
 * Status bit 7 (ready) is set only when an operation has finished, not from the start as on a real
 * part. The reason: if the status is 80 after OVMF's first 50 and 70, OVMF believes that this is
 * not a flash, and keeps its variables in RAM without a message.
 *
 * Each programmed byte goes to the store before the guest's write ends: a write(2) of one byte
 * takes a fraction of the time of the two exits that program it.
 *
 * Threads: everything runs under `lock`, which is the lock of the region. The vCPU thread that sent
 * a command adds and removes the memslot.
 */
#include "devices/chipset/pflash.h"

#include <errno.h>
#include <string.h>

#include "vmm/core/cleanup.h"
#include "vmm/core/mem.h"

#define CMD_READ_ARRAY	 0xff
#define CMD_READ_ARRAY_0 0x00
#define CMD_READ_ARRAY_F 0xf0
#define CMD_PROGRAM	 0x40
#define CMD_PROGRAM_ALT	 0x10
#define CMD_ERASE	 0x20
#define CMD_ERASE_OK	 0xd0
#define CMD_STATUS	 0x70
#define CMD_STATUS_CLEAR 0x50

#define STATUS_READY	     0x80
#define STATUS_ERASE_ERROR   0x20
#define STATUS_PROGRAM_ERROR 0x10

static int slot_add(struct pflash *f)
{
	const struct mem_range r = {
		.gpa = f->base, .size = f->size, .host = f->data, .kind = MEM_ROM
	};
	int ret = f->slot ? 0 : guest_mem_add(f->mem, &r);

	f->slot = ret == 0;
	return ret;
}

static void set_array_mode(struct pflash *f, bool array)
{
	f->cycle = 0;
	if (f->array_mode == array)
		return;
	f->array_mode = array;
	if (array && slot_add(f))
		/* The flash works without the memslot: reads exit and are answered from the
		 * array. */
		log_guest(&f->limit, "%s: cannot map the flash again", f->name);
	if (!array && f->slot) {
		guest_mem_del(f->mem, GPA(f->base));
		f->slot = false;
	}
}

/* If data cannot be stored, it does not change the array either: the guest must read the same as
 * after a restart. */
static void array_write(struct pflash *f, uint64_t off, const void *data, size_t len, uint8_t error)
{
	f->status |= STATUS_READY;
	if (f->store && f->store(f->store_arg, off, data, len) < 0)
		f->status |= error;
	else
		memcpy(f->data + off, data, len);
}

static void erase_block(struct pflash *f, uint64_t off)
{
	uint8_t ones[PFLASH_BLOCK];

	memset(ones, 0xff, sizeof(ones));
	array_write(f, align_down(off, PFLASH_BLOCK), ones, sizeof(ones), STATUS_ERASE_ERROR);
}

static void second_cycle(struct pflash *f, uint64_t off, uint8_t b)
{
	uint8_t cmd = f->cycle;

	f->cycle = 0;
	if (cmd == CMD_ERASE && b == CMD_ERASE_OK) {
		erase_block(f, off);
	} else if (cmd == CMD_PROGRAM) {
		array_write(f, off, &b, 1, STATUS_PROGRAM_ERROR);
	} else {
		f->status |= STATUS_READY | STATUS_PROGRAM_ERROR;
		set_array_mode(f, true);
	}
}

static void command(struct pflash *f, uint8_t b)
{
	switch (b) {
	case CMD_PROGRAM_ALT:
		f->cycle = CMD_PROGRAM;
		return;
	case CMD_PROGRAM:
	case CMD_ERASE:
		f->cycle = b;
		return;
	case CMD_STATUS:
		set_array_mode(f, false);
		return;
	case CMD_STATUS_CLEAR:
		f->status = 0;
		break;
	case CMD_READ_ARRAY:
	case CMD_READ_ARRAY_0:
	case CMD_READ_ARRAY_F:
		break;
	default:
		log_guest(&f->limit, "%s: unknown flash command %#x", f->name, b);
	}
	set_array_mode(f, true);
}

/* Gets single bytes, because the bus splits wider accesses. */
static void flash_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
	struct pflash *f = opaque;

	(void)size;
	if (f->readonly)
		return;
	if (f->cycle)
		second_cycle(f, off, (uint8_t)val);
	else
		command(f, (uint8_t)val);
}

static uint64_t flash_read(void *opaque, uint64_t off, unsigned size)
{
	const struct pflash *f = opaque;

	(void)size;
	return f->array_mode ? f->data[off] : f->status;
}

static const struct io_region_ops flash_ops = { flash_read, flash_write, 1, 1 };

int pflash_init(struct pflash *f, const char *name, struct bus *mmio, struct guest_mem *mem,
		uint64_t base, void *data, uint64_t size, bool readonly)
{
	int ret;

	if (!size || base % PFLASH_BLOCK || size % PFLASH_BLOCK)
		return -EINVAL;
	*f = (struct pflash){ .name = name,
			      .mmio = mmio,
			      .mem = mem,
			      .data = data,
			      .base = base,
			      .size = size,
			      .readonly = readonly,
			      .array_mode = true };
	ret = slot_add(f);
	if (ret)
		return ret;
	pthread_mutex_init(&f->lock, NULL);
	f->region = (struct io_region){ .name = name,
					.base = base,
					.size = size,
					.ops = &flash_ops,
					.opaque = f,
					.lock = &f->lock };
	ret = bus_add(mmio, &f->region);
	if (ret) {
		pthread_mutex_destroy(&f->lock);
		guest_mem_del(mem, GPA(base));
	}
	return ret;
}

void pflash_set_store(struct pflash *f,
		      int (*store)(void *, uint64_t off, const void *data, size_t len), void *arg)
{
	f->store = store;
	f->store_arg = arg;
}

void pflash_destroy(struct pflash *f)
{
	bus_del(f->mmio, &f->region);
	if (f->slot)
		guest_mem_del(f->mem, GPA(f->base));
	pthread_mutex_destroy(&f->lock);
}

void pflash_reset(struct pflash *f)
{
	scoped_lock(&f->lock);
	f->status = 0;
	set_array_mode(f, true);
}
