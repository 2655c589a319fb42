/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Firmware images and variable stores: what is accepted is what the guest sees, and what the guest
 * programs is in the machine's own file.
 *
 * Input: a byte of choices, the sizes of code and variables in blocks, the heads of both volumes
 * (72 bytes each), then flash commands of 3 bytes: block, offset and value, operation.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/chipset/pflash.h"
#include "firmware/nvram.h"
#include "firmware/ovmf.h"
#include "vmm/core/bus.h"
#include "vmm/core/log.h"
#include "vmm/core/mem.h"

#define HEAD   72
#define INPUT  (3 + 2 * HEAD)
#define BLOCKS 4

enum { OWN_STORE = 1, NEW_STORE = 2, REPAIR = 4, COMBINED = 8, BY_NAME = 16, SECBOOT = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* A root with the folders of one distribution; its files are written anew for each input. */
struct place {
	char root[64];
	char code[128], vars[128], smm[128], own[128];
	int code_fd, vars_fd;
};

static void place_make(struct place *p)
{
	const char *shm = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	char folder[96];

	snprintf(p->root, sizeof(p->root), "%s/fuzz-ovmf-XXXXXX", shm);
	if (!mkdtemp(p->root))
		abort();
	snprintf(folder, sizeof(folder), "%s/usr", p->root);
	mkdir(folder, 0700);
	snprintf(folder, sizeof(folder), "%s/usr/share", p->root);
	mkdir(folder, 0700);
	snprintf(folder, sizeof(folder), "%s/usr/share/OVMF", p->root);
	mkdir(folder, 0700);
	snprintf(p->code, sizeof(p->code), "%s/OVMF_CODE.fd", folder);
	snprintf(p->vars, sizeof(p->vars), "%s/OVMF_VARS.fd", folder);
	snprintf(p->smm, sizeof(p->smm), "%s/OVMF_CODE.secboot.fd", folder);
	snprintf(p->own, sizeof(p->own), "%s/nvram", p->root);
	p->code_fd = open(p->code, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	p->vars_fd = open(p->vars, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (p->code_fd < 0 || p->vars_fd < 0 || symlink("OVMF_CODE.fd", p->smm))
		abort();
}

static void place_remove(void);

static struct place *place_get(void)
{
	static struct place p;

	if (!p.root[0]) {
		place_make(&p);
		atexit(place_remove);
	}
	return &p;
}

static void place_remove(void)
{
	static const char *const folders[] = { "/usr/share/OVMF", "/usr/share", "/usr", "" };
	const struct place *p = place_get();
	char folder[96];

	unlink(p->code);
	unlink(p->vars);
	unlink(p->smm);
	unlink(p->own);
	for (unsigned i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		snprintf(folder, sizeof(folder), "%s%s", p->root, folders[i]);
		rmdir(folder);
	}
}

/* The checksum comes out right, so that what is behind it is reached. */
static void repair(uint8_t *head)
{
	unsigned i, sum = 0;

	memcpy(head + 40, "_FVH", 4);
	head[48] = HEAD;
	head[49] = head[50] = head[51] = 0;
	for (i = 0; i < HEAD; i += 2)
		sum += head[i] | (unsigned)head[i + 1] << 8;
	head[50] = (uint8_t)-sum;
	head[51] = (uint8_t)(-sum >> 8);
}

static void put(int fd, const uint8_t *head, size_t at, size_t size, bool whole)
{
	uint8_t h[HEAD];

	memcpy(h, head, HEAD);
	if (whole)
		repair(h);
	if (ftruncate(fd, (off_t)(at + size)) || pwrite(fd, h, HEAD, (off_t)at) != HEAD)
		abort();
}

static void put_files(const struct place *p, const uint8_t *data)
{
	size_t code = (data[1] % BLOCKS + 1) * PFLASH_BLOCK - (data[1] == 255);
	size_t vars = (data[2] % BLOCKS + 1) * PFLASH_BLOCK;
	const uint8_t *head = data + 3;
	int own;

	(void)!ftruncate(p->code_fd, 0);
	(void)!ftruncate(p->vars_fd, 0);
	put(p->vars_fd, head + HEAD, 0, vars, data[0] & REPAIR);
	if (data[0] & COMBINED)
		put(p->code_fd, head + HEAD, 0, vars, data[0] & REPAIR);
	put(p->code_fd, head, data[0] & COMBINED ? vars : 0, code, data[0] & REPAIR);
	if (!(data[0] & (OWN_STORE | NEW_STORE)))
		return;
	unlink(p->own);
	if (data[0] & NEW_STORE)
		return;
	own = open(p->own, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	put(own, head + HEAD, 0, vars, data[0] & REPAIR);
	close(own);
}

static void operate(struct bus *mmio, const struct ovmf *o, const uint8_t *op)
{
	uint64_t at = o->vars_base + (op[0] * 257u + op[1]) % o->vars_len;

	bus_write(mmio, at, 1, op[2] & 1 ? 0x20 : op[2] & 2 ? 0x10 : op[2]);
	bus_write(mmio, at, 1, op[2] & 1 ? 0xd0 : op[1]);
	bus_read(mmio, at, 1);
}

/* What the guest reads, and what it will find the next time. */
static void compare(const struct place *p, const struct ovmf *o, struct guest_mem *mem)
{
	uint8_t seen[PFLASH_BLOCK], kept[PFLASH_BLOCK];
	int fd = open(p->own, O_RDONLY | O_CLOEXEC);
	uint64_t at;

	for (at = 0; at < o->vars_len; at += PFLASH_BLOCK) {
		if (guest_mem_read(mem, GPA(o->vars_base + at), seen, sizeof(seen)))
			abort();
		if (o->nvram_fd >= 0 && (pread(fd, kept, sizeof(kept), (off_t)at) != sizeof(kept) ||
					 memcmp(seen, kept, sizeof(seen))))
			abort();
	}
	close(fd);
}

static void run(const struct place *p, struct ovmf *o, const uint8_t *op, size_t len)
{
	struct bus *mmio = bus_new(1ull << 52);
	struct guest_mem *mem = guest_mem_new();
	struct error err = { 0 };

	if (ovmf_map(o, mmio, mem, &err))
		abort();
	for (; len >= 3; op += 3, len -= 3)
		operate(mmio, o, op);
	ovmf_reset(o);
	compare(p, o, mem);
	if (len & 1)
		ovmf_abandon(o);
	ovmf_close(o);
	guest_mem_free(mem);
	bus_free(mmio);
}

static void check_exactly(const uint8_t *data, size_t len)
{
	uint8_t *exact = malloc(len); /* so that reading behind it is seen */
	uint64_t fv_len;

	memcpy(exact, data, len);
	fv_check(exact, len, &fv_len);
	free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct place *p = place_get();
	const char *firmware = NULL;
	struct error err = { 0 };
	struct ovmf *o;

	if (len < INPUT)
		return -1;
	log_set_level(LOG_ERROR);
	check_exactly(data + 3, len - 3);
	put_files(p, data);
	if (data[0] & BY_NAME)
		firmware = data[0] & SECBOOT ? p->smm : p->code;
	o = malloc(sizeof(*o));
	if (ovmf_open(o, p->root, firmware, data[0] & (OWN_STORE | NEW_STORE) ? p->own : NULL,
		      &err) == 0)
		run(p, o, data + INPUT, len - INPUT);
	else if (!err.text[0])
		abort();
	free(o);
	return 0;
}
