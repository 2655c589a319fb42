/* SPDX-License-Identifier: BSD-2-Clause */
/* The code between a disk queue and the kernel: alignment, aligned buffers and their limit, parts
 * of blocks, the end of the image, durability. The test replaces the kernel. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/block/engine.h"
#include "devices/block/blk_file.h"
#include "vmm/core/error.h"

#define BLOCK 4096u

struct env {
	char path[64];
	struct blk_file f;
	struct blk_gate g;
	char *mem; /* aligned */
};

#define MEM (4 * MiB)

static unsigned syncs;
static off_t bad; /* where an unreadable block begins; 0: there is none */

/* Replaces the system call. A read stops before an unreadable block, and only the next read, which
 * begins there, fails. */
ssize_t pread(int fd, void *buf, size_t len, off_t off)
{
	if (bad && off >= bad && off < bad + (off_t)BLOCK) {
		errno = EIO;
		return -1;
	}
	if (bad && off < bad && len > (size_t)(bad - off))
		len = (size_t)(bad - off);
	return syscall(SYS_pread64, fd, buf, len, off);
}

int fdatasync(int fd)
{
	syncs++;
	return fsync(fd);
}

static struct env *env_new(off_t size, bool ranges)
{
	struct env *e = calloc(1, sizeof(*e));
	struct error err = { 0 };
	int fd;

	strcpy(e->path, "/var/tmp/minivmm-test-XXXXXX");
	fd = mkstemp(e->path);
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
	if (blk_file_open(&e->f, e->path, false, BLK_CACHE_NONE, BLK_FORMAT_RAW, &err)) {
		print_message("%s\n", err.text);
		unlink(e->path);
		free(e);
		skip();
	}
	/* As on storage with 4 KiB blocks. */
	assert_int_equal(blk_file_set_align(&e->f, e->path, BLOCK, 512), 0);
	blk_gate_init(&e->g, &e->f, ranges);
	e->mem = mmap(NULL, MEM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(e->mem != MAP_FAILED);
	syncs = 0;
	bad = 0;
	return e;
}

static off_t image_size(const struct env *e)
{
	struct stat st;

	assert_int_equal(stat(e->path, &st), 0);
	return st.st_size;
}

static void env_free(struct env *e)
{
	assert_int_equal(e->g.room, BLK_BOUNCE_ROOM);
	assert_null(e->g.first);
	assert_null(e->f.tracked);
	blk_file_close(&e->f);
	unlink(e->path);
	munmap(e->mem, MEM);
	free(e);
}

struct one {
	struct blk_req r;
	struct iovec iov;
};

static struct blk_req *make(struct one *o, enum blk_op op, uint64_t off, void *p, size_t len)
{
	o->iov = (struct iovec){ p, len };
	o->r = (struct blk_req){ .op = op, .iov = &o->iov, .niov = 1, .off = off, .len = len };
	return &o->r;
}

/* Does what the kernel would do, and returns its result. */
static ssize_t kernel(struct env *e, const struct blk_req *r)
{
	void *p = r->bounce ? r->bounce : r->iov[0].iov_base;
	size_t n = r->bounce ? r->bounce_len : r->iov[0].iov_len;

	if (r->op == BLK_READ)
		return pread(e->f.fd, p, n, (off_t)r->off);
	return pwrite(e->f.fd, p, n, (off_t)r->off);
}

/* Runs a request from beginning to end, and returns its result. */
static int do_now(struct env *e, struct blk_req *r)
{
	enum blk_way way = blk_gate_enter(&e->g, r);

	while (way == BLK_GO && !blk_gate_answer(&e->g, r, kernel(e, r)))
		way = blk_gate_enter(&e->g, r);
	assert_int_not_equal(way, BLK_LATER);
	return r->res;
}

static void image_get(const struct env *e, off_t off, void *buf, size_t len)
{
	int fd = open(e->path, O_RDONLY | O_CLOEXEC);

	assert_int_equal(pread(fd, buf, len, off), len);
	close(fd);
}

static void geometry(void **state)
{
	struct env *e = env_new(19535 * 512, true);
	struct error err = { 0 };

	(void)state;
	/* The alignment for O_DIRECT does not depend on the contents. */
	assert_int_equal(e->f.block_size, 512);
	assert_int_equal(e->f.phys_size, BLOCK);
	assert_int_equal(e->f.whole, 2441 * BLOCK);
	assert_int_equal(blk_file_set_block_size(&e->f, e->path, BLOCK, &err), -EINVAL);
	assert_non_null(strstr(err.text, "logical_block_size"));
	assert_int_equal(e->f.block_size, 512);
	env_free(e);
	e = env_new(10 * BLOCK, true);
	assert_int_equal(blk_file_set_block_size(&e->f, e->path, BLOCK, &err), 0);
	assert_int_equal(e->f.block_size, BLOCK);
	assert_int_equal(e->f.phys_size, BLOCK);
	env_free(e);
}

static void parts_of_blocks(void **state)
{
	struct env *e = env_new(64 * BLOCK, true);
	char got[4 * BLOCK];
	struct one o;

	(void)state;
	memset(e->mem, 0x11, 4 * BLOCK);
	assert_int_equal(do_now(e, make(&o, BLK_WRITE, 0, e->mem, 4 * BLOCK)), 0);
	memset(e->mem, 0x22, BLOCK);
	assert_int_equal(do_now(e, make(&o, BLK_WRITE, 3 * 512, e->mem, 512)), 0);
	/* From the middle of a block to the middle of the second block after it. */
	assert_int_equal(do_now(e, make(&o, BLK_WRITE, BLOCK + 512, e->mem + 1, BLOCK)), 0);
	image_get(e, 0, got, sizeof(got));
	for (unsigned i = 0; i < sizeof(got); i++) {
		unsigned s = i / 512;

		assert_int_equal(got[i],
				 s == 3 || (s >= 9 && s < 17)
					 ? (s == 16 && i % 512 == 511 ? e->mem[BLOCK] : 0x22)
					 : 0x11);
	}
	assert_int_equal(do_now(e, make(&o, BLK_READ, 3 * 512, e->mem + 7, 1024)), 0);
	assert_memory_equal(e->mem + 7, got + 3 * 512, 1024);
	env_free(e);
}

/* The image keeps its length to the byte, whatever is written to its end. */
static void end_of_image(void **state)
{
	static const off_t sizes[] = { 19535 * 512, 40 * 512 + 100, 8 * BLOCK + 1, 300 };
	char got[512];
	struct one o;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct env *e = env_new(sizes[i], true);
		uint64_t last = ((uint64_t)sizes[i] - 1) / 512 * 512;
		size_t keep = (size_t)((uint64_t)sizes[i] - last);

		memset(e->mem, 0, 64 * KiB);
		memset(e->mem, 0x33, keep);
		assert_int_equal(do_now(e, make(&o, BLK_WRITE, last, e->mem, 512)), 0);
		assert_int_equal(image_size(e), sizes[i]);
		image_get(e, (off_t)last, got, keep);
		assert_memory_equal(got, e->mem, keep);
		/* Behind the end the guest reads zeroes, also with O_DIRECT. */
		memset(e->mem, 0x77, 512);
		assert_int_equal(do_now(e, make(&o, BLK_READ, last, e->mem, 512)), 0);
		for (unsigned k = 0; k < 512; k++)
			assert_int_equal(e->mem[k], k < keep ? 0x33 : 0);
		/* Data that cannot be stored is not acknowledged. */
		e->mem[511] = 1;
		assert_int_equal(do_now(e, make(&o, BLK_WRITE, last, e->mem, 512)),
				 keep < 512 ? -ENOSPC : 0);
		assert_int_equal(image_size(e), sizes[i]);
		env_free(e);
	}
}

/* Writes over the last whole block into the partial one; and writes zeroes by normal writes. */
static void over_the_end(void **state)
{
	struct env *e = env_new(20 * BLOCK + 3 * 512 + 5, false);
	char got[2 * BLOCK];
	struct one o;

	(void)state;
	memset(e->mem, 0, 64 * KiB);
	memset(e->mem, 0x44, BLOCK + 3 * 512 + 5);
	assert_int_equal(do_now(e, make(&o, BLK_WRITE, 19 * BLOCK, e->mem, BLOCK + 4 * 512)), 0);
	assert_int_equal(image_size(e), 20 * BLOCK + 3 * 512 + 5);
	image_get(e, 19 * BLOCK, got, BLOCK + 3 * 512 + 5);
	assert_memory_equal(got, e->mem, BLOCK + 3 * 512 + 5);
	make(&o, BLK_WRITE_ZEROES, 19 * BLOCK + 512, NULL, BLOCK + 3 * 512);
	assert_int_equal(do_now(e, &o.r), 0);
	assert_int_equal(image_size(e), 20 * BLOCK + 3 * 512 + 5);
	image_get(e, 19 * BLOCK, got, BLOCK + 3 * 512 + 5);
	for (unsigned i = 0; i < BLOCK + 3 * 512 + 5; i++)
		assert_int_equal(got[i], i < 512 ? 0x44 : 0);
	env_free(e);
}

/* Makes an image of n blocks with the byte 0x66. */
static struct env *env_full(unsigned n)
{
	struct env *e = env_new(n * BLOCK, true);
	struct one o;

	memset(e->mem, 0x66, n * BLOCK);
	assert_int_equal(do_now(e, make(&o, BLK_WRITE, 0, e->mem, n * BLOCK)), 0);
	return e;
}

static void image_is_full(const struct env *e, unsigned n)
{
	char got[16 * BLOCK];

	image_get(e, 0, got, n * BLOCK);
	for (unsigned i = 0; i < n * BLOCK; i++)
		assert_int_equal(got[i], 0x66);
}

/* Storage that cannot read one block: the guest must not read zeroes instead. Nor may a write of a
 * part of a block write zeroes to the disk, because it first reads the whole block. */
static void unreadable_block(void **state)
{
	static const struct {
		off_t off;
		size_t len;
		int res;
	} cases[] = {
		{ BLOCK + 512, 2 * BLOCK, -EIO },  { BLOCK + 512, BLOCK, -EIO },
		{ 2 * BLOCK + 512, 512, -EIO },	   { 2 * BLOCK - 512, 1024, -EIO },
		{ 512, 15 * BLOCK, -EIO },	   { BLOCK + 512, BLOCK - 512, 0 },
		{ 3 * BLOCK + 512, 3 * BLOCK, 0 },
	};
	struct env *e = env_full(16);
	struct one o;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		bad = 2 * BLOCK;
		memset(e->mem, 0x11, 16 * BLOCK);
		make(&o, BLK_READ, (uint64_t)cases[i].off, e->mem, cases[i].len);
		assert_int_equal(do_now(e, &o.r), cases[i].res);
		for (size_t k = 0; k < cases[i].len && !cases[i].res; k++)
			assert_int_equal(e->mem[k], 0x66);
		memset(e->mem, 0x66, 16 * BLOCK);
		make(&o, BLK_WRITE, (uint64_t)cases[i].off, e->mem, cases[i].len);
		assert_int_equal(do_now(e, &o.r), cases[i].res);
		bad = 0;
		image_is_full(e, 16);
	}
	env_free(e);
}

/* Somebody truncates the image: the lost part cannot be read or written partly, and a write does
 * not make the image longer again. The kernel reads whole blocks, minivmm reads parts of blocks. */
static void truncated_image(void **state)
{
	static const off_t ends[] = { BLOCK, BLOCK + 512, 5 * BLOCK + 100 };
	struct one o;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(ends); i++) {
		struct env *e = env_full(6);
		static const struct {
			uint64_t off;
			size_t len;
		} lost[] = { { 5 * BLOCK + 512, 512 },
			     { 512, 6 * BLOCK - 512 },
			     { 4 * BLOCK + 512, BLOCK } };

		assert_int_equal(truncate(e->path, ends[i]), 0);
		for (unsigned k = 0; k < ARRAY_SIZE(lost); k++) {
			make(&o, BLK_READ, lost[k].off, e->mem, lost[k].len);
			assert_int_equal(do_now(e, &o.r), -EIO);
			make(&o, BLK_WRITE, lost[k].off, e->mem, lost[k].len);
			assert_int_equal(do_now(e, &o.r), -EIO);
			assert_int_equal(image_size(e), ends[i]);
		}
		make(&o, BLK_READ, 5 * BLOCK, e->mem, BLOCK);
		assert_int_equal(do_now(e, &o.r), -EIO);
		make(&o, BLK_READ, 0, e->mem, 6 * BLOCK);
		assert_int_equal(do_now(e, &o.r), -EIO);
		/* The rest can still be used. */
		memset(e->mem, 0x11, BLOCK);
		assert_int_equal(do_now(e, make(&o, BLK_READ, 512, e->mem, 1024)), 0);
		assert_int_equal(e->mem[1023], 0x66);
		assert_int_equal(do_now(e, make(&o, BLK_WRITE, 512, e->mem, 1024)), 0);
		assert_int_equal(image_size(e), ends[i]);
		image_is_full(e, 1);
		env_free(e);
	}
}

/* Parts of many blocks, some of which are written as a whole; and the partial end of the image,
 * which is handled separately. */
static void truncated_long_write(void **state)
{
	struct env *e = env_new(40 * BLOCK + 512 + 100, true);
	struct one o;

	(void)state;
	assert_int_equal(truncate(e->path, 16 * BLOCK), 0);
	memset(e->mem, 0x66, 64 * BLOCK);
	make(&o, BLK_WRITE, 512, e->mem, 39 * BLOCK);
	assert_int_equal(do_now(e, &o.r), -EIO);
	assert_int_equal(image_size(e), 16 * BLOCK);
	memset(e->mem + 100, 0, BLOCK);
	make(&o, BLK_WRITE, 40 * BLOCK + 512, e->mem, 512);
	assert_int_equal(do_now(e, &o.r), -EIO);
	assert_int_equal(image_size(e), 16 * BLOCK);
	assert_int_equal(do_now(e, make(&o, BLK_READ, 40 * BLOCK + 512, e->mem, 512)), -EIO);
	env_free(e);
}

/* A write of a part of a block while another write covers the whole block: both must reach the
 * disk. */
static void part_waits_for_whole(void **state)
{
	struct env *e = env_new(64 * BLOCK, true);
	struct blk_gate other; /* the gate of a second queue */
	struct one whole, part, far;
	enum blk_way way;
	char got[BLOCK];

	(void)state;
	blk_gate_init(&other, &e->f, true);
	memset(e->mem, 0x11, BLOCK);
	memset(e->mem + BLOCK, 0x22, BLOCK);
	assert_int_equal(blk_gate_enter(&e->g, make(&whole, BLK_WRITE, BLOCK, e->mem, BLOCK)),
			 BLK_GO);
	make(&part, BLK_WRITE, BLOCK + 512, e->mem + BLOCK, 512);
	assert_int_equal(blk_gate_enter(&other, &part.r), BLK_LATER);
	assert_true(other.busy);
	assert_null(blk_gate_next(&other, &way));
	assert_int_equal(blk_gate_wait(&other, BLK_WAIT), BLK_NOWAIT); /* tries again soon */
	/* Requests for other blocks do not wait. */
	make(&far, BLK_WRITE, 9 * BLOCK + 512, e->mem + BLOCK, 512);
	assert_int_equal(blk_gate_enter(&e->g, &far.r), BLK_DONE);
	assert_int_equal(far.r.res, 0);
	assert_true(blk_gate_answer(&e->g, &whole.r, kernel(e, &whole.r)));
	assert_ptr_equal(blk_gate_next(&other, &way), &part.r);
	assert_int_equal(way, BLK_DONE);
	assert_int_equal(part.r.res, 0);
	assert_int_equal(blk_gate_wait(&other, BLK_WAIT), BLK_WAIT);
	image_get(e, BLOCK, got, BLOCK);
	for (unsigned i = 0; i < BLOCK; i++)
		assert_int_equal(got[i], i / 512 == 1 ? 0x22 : 0x11);
	env_free(e);
}

/* If a write of whole blocks is short, its rest comes after a waiting write of a part. */
static void short_write_steps_aside(void **state)
{
	struct env *e = env_new(64 * BLOCK, true);
	struct one whole, part;
	enum blk_way way;

	(void)state;
	make(&whole, BLK_WRITE, 0, e->mem + 1, 2 * BLOCK);
	make(&part, BLK_WRITE, BLOCK + 512, e->mem, 512);
	assert_int_equal(blk_gate_enter(&e->g, &whole.r), BLK_GO);
	assert_int_equal(blk_gate_enter(&e->g, &part.r), BLK_LATER);
	assert_false(blk_gate_answer(&e->g, &whole.r, BLOCK));
	assert_int_equal(blk_gate_enter(&e->g, &whole.r), BLK_LATER);
	assert_ptr_equal(blk_gate_next(&e->g, &way), &part.r);
	assert_int_equal(way, BLK_DONE);
	assert_ptr_equal(blk_gate_next(&e->g, &way), &whole.r);
	assert_int_equal(way, BLK_GO);
	assert_true(blk_gate_answer(&e->g, &whole.r, kernel(e, &whole.r)));
	env_free(e);
}

/* With any number of unaligned buffers, the memory for them stays below the limit, and the requests
 * go on in their order. */
static void bounce_bound(void **state)
{
	enum { N = 256 };
	static struct one o[N];
	struct env *e = env_new(4 * MiB, true);
	struct blk_req *flying[N], *r;
	unsigned n = 0, head = 0, next;
	struct one aligned;
	enum blk_way way;
	size_t held = 0;

	(void)state;
	for (unsigned i = 0; i < N; i++) {
		make(&o[i], BLK_READ, 0, e->mem + 1, (1 + i % 4) * 256 * KiB);
		if (blk_gate_enter(&e->g, &o[i].r) == BLK_GO) {
			assert_int_equal(n, i);
			flying[n++] = &o[i].r;
			held += o[i].r.bounce_len;
		}
	}
	assert_true(n < N && held <= BLK_BOUNCE_ROOM);
	next = n;
	/* A request that needs no buffer does not wait for one. */
	make(&aligned, BLK_READ, 0, e->mem, BLOCK);
	assert_int_equal(blk_gate_enter(&e->g, &aligned.r), BLK_GO);
	assert_true(blk_gate_answer(&e->g, &aligned.r, kernel(e, &aligned.r)));
	for (; head < n; head++) {
		assert_true(blk_gate_answer(&e->g, flying[head], (ssize_t)flying[head]->len));
		while ((r = blk_gate_next(&e->g, &way))) {
			assert_int_equal(way, BLK_GO);
			assert_ptr_equal(r, &o[next++].r);
			flying[n++] = r;
		}
		held = 0;
		for (unsigned i = head + 1; i < n; i++)
			held += flying[i]->bounce_len;
		assert_true(held <= BLK_BOUNCE_ROOM);
		assert_int_equal(held, BLK_BOUNCE_ROOM - e->g.room);
	}
	assert_int_equal(n, N);
	env_free(e);
}

/* A request that is larger than a buffer is done in several turns, and other requests come between
 * them. */
static void bounce_turns(void **state)
{
	struct env *e = env_new(64 * MiB, true);
	struct one big[5], small;
	enum blk_way way;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		make(&big[i], BLK_READ, 0, e->mem + 1, 2 * MiB);
		assert_int_equal(blk_gate_enter(&e->g, &big[i].r), BLK_GO);
		assert_int_equal(big[i].r.bounce_len, MiB);
	}
	assert_int_equal(blk_gate_enter(&e->g, make(&small, BLK_READ, 0, e->mem + 1, BLOCK)),
			 BLK_LATER);
	assert_false(blk_gate_answer(&e->g, &big[0].r, MiB));
	assert_int_equal(blk_gate_enter(&e->g, &big[0].r), BLK_LATER);
	assert_ptr_equal(blk_gate_next(&e->g, &way), &small.r);
	assert_null(blk_gate_next(&e->g, &way)); /* 4 KiB are still missing */
	assert_true(blk_gate_answer(&e->g, &small.r, BLOCK));
	assert_ptr_equal(blk_gate_next(&e->g, &way), &big[0].r);
	for (unsigned i = 0; i < 4; i++) {
		/* The kernel does half of it and then fails. */
		assert_false(blk_gate_answer(&e->g, &big[i].r, BLOCK));
		assert_int_equal(blk_gate_enter(&e->g, &big[i].r), BLK_GO);
		assert_true(blk_gate_answer(&e->g, &big[i].r, -EIO));
		assert_int_equal(big[i].r.res, -EIO);
	}
	env_free(e);
}

/* For a driver that cannot flush, each acknowledged request must be stable. */
static void stable_changes(void **state)
{
	static const enum blk_op ops[] = { BLK_WRITE_ZEROES, BLK_WRITE_ZEROES, BLK_DISCARD };
	struct env *e = env_new(64 * BLOCK, true);
	struct one o;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
		/* The kernel does it; then a flush must follow. */
		make(&o, ops[i], 0, NULL, BLOCK)->unmap = i == 1;
		o.r.stable = true;
		assert_int_equal(blk_gate_enter(&e->g, &o.r), BLK_GO);
		assert_false(blk_gate_answer(&e->g, &o.r, 0));
		assert_int_equal(o.r.op, BLK_FLUSH);
		assert_int_equal(blk_gate_enter(&e->g, &o.r), BLK_GO);
		assert_int_equal(syncs, 0);
		assert_true(blk_gate_answer(&e->g, &o.r, 0));
		assert_int_equal(o.r.res, 0);
		/* The kernel refuses it, and for a part of a block: it is done synchronously. */
		make(&o, ops[i], 0, NULL, BLOCK)->stable = true;
		assert_int_equal(blk_gate_enter(&e->g, &o.r), BLK_GO);
		assert_true(blk_gate_answer(&e->g, &o.r, -EOPNOTSUPP));
		assert_int_equal(syncs, 1);
		make(&o, ops[i], 512, NULL, 512)->stable = true;
		assert_int_equal(do_now(e, &o.r), 0);
		assert_int_equal(syncs, 2);
		/* A driver that can flush does this itself. */
		make(&o, ops[i], 0, NULL, BLOCK);
		assert_int_equal(blk_gate_enter(&e->g, &o.r), BLK_GO);
		assert_true(blk_gate_answer(&e->g, &o.r, 0));
		syncs = 0;
	}
	make(&o, BLK_WRITE, 512, e->mem, 512)->stable = true;
	assert_int_equal(do_now(e, &o.r), 0);
	assert_int_equal(syncs, 1);
	env_free(e);
}

static void same_image(void **state)
{
	struct env *e = env_new(64 * BLOCK, true);
	char name[80], as[80];

	(void)state;
	snprintf(name, sizeof(name), "%s-link", e->path);
	assert_int_equal(symlink(e->path, name), 0);
	assert_true(blk_file_same(e->path, e->path));
	assert_true(blk_file_same(e->path, name));
	assert_false(blk_file_same(e->path, "/dev/null"));
	assert_false(blk_file_same("/nonexistent", "/nonexistent"));
	assert_true(blk_file_is_open(name, as, sizeof(as)));
	assert_string_equal(as, e->path);
	assert_true(blk_file_is_open(name, as, 3));
	assert_int_equal(strlen(as), 2);
	assert_false(blk_file_is_open("/proc/self/exe", as, sizeof(as)));
	assert_false(blk_file_is_open("/nonexistent", as, sizeof(as)));
	unlink(name);
	env_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(geometry),
		cmocka_unit_test(parts_of_blocks),
		cmocka_unit_test(end_of_image),
		cmocka_unit_test(over_the_end),
		cmocka_unit_test(unreadable_block),
		cmocka_unit_test(truncated_image),
		cmocka_unit_test(truncated_long_write),
		cmocka_unit_test(part_waits_for_whole),
		cmocka_unit_test(short_write_steps_aside),
		cmocka_unit_test(bounce_bound),
		cmocka_unit_test(bounce_turns),
		cmocka_unit_test(stable_changes),
		cmocka_unit_test(same_image),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
