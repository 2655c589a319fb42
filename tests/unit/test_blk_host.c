/* SPDX-License-Identifier: BSD-2-Clause */
/* Disks on hosts with problems: killed processes, no io_uring, locks, loop devices, full file
 * systems. Steps that would harm the test process run in a child. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/loop.h>
#include <linux/seccomp.h>
#include <linux/virtio_blk.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/block/blk_file.h"
#include "devices/virtio/blk_queue.h"
#include "tests/unit/ring.h"
#include "vmm/core/error.h"

#define HDR    RING_DATA
#define STATUS (RING_DATA + 0x100)
#define BUF    (RING_DATA + 0x1000)
#define BLOCK  4096u
#define BLOCKS 256u

/* For child processes, because cmocka's asserts work only in the parent. */
#define MUST(x)                                                         \
	do {                                                            \
		if (!(x)) {                                             \
			fprintf(stderr, "line %d: %s\n", __LINE__, #x); \
			_exit(1);                                       \
		}                                                       \
	} while (0)

struct disk {
	struct ring r;
	struct blk_file f;
	struct blk_queue *q;
	int kick, call;
};

static void make_image(char *path)
{
	int fd;

	strcpy(path, "/var/tmp/minivmm-test-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, BLOCKS * BLOCK), 0);
	close(fd);
}

static void irq(void *arg)
{
	const uint64_t one = 1;

	MUST(write(((struct disk *)arg)->call, &one, 8) == 8);
}

static const struct blk_queue_ops ops = { .notify = irq, .broken = irq };

static int disk_start(struct disk *d, const char *path, enum blk_aio aio, enum blk_cache cache,
		      struct error *err)
{
	struct blk_queue_config c = { .run.name = "test",
				      .run.aio = aio,
				      .run.engine = { .file = &d->f, .depth = 64 } };
	int ret = blk_file_open(&d->f, path, false, cache, BLK_FORMAT_AUTO, err);

	if (ret)
		return ret;
	MUST(ring_new(&d->r, true) == 0);
	c.run.engine.kick_fd = d->kick = eventfd(0, EFD_NONBLOCK);
	d->call = eventfd(0, 0);
	c.run.engine.mem = d->r.mem;
	d->q = blk_queue_new(&c, err);
	if (d->q)
		blk_queue_start(d->q, &d->r.vq, false, &ops, d);
	else
		blk_file_close(&d->f);
	return d->q ? 0 : err->code;
}

static void disk_stop(struct disk *d)
{
	blk_queue_stop(d->q);
	blk_queue_free(d->q);
	blk_file_close(&d->f);
	close(d->kick);
	close(d->call);
	ring_free(&d->r);
}

static int request(struct disk *d, uint32_t type, uint64_t sector, uint32_t len)
{
	const uint64_t h[2] = { type, sector }, one = 1;
	uint16_t in = type == VIRTIO_BLK_T_IN ? VRING_DESC_F_WRITE : 0;
	uint64_t n;

	memcpy(d->r.ram + HDR, h, sizeof(h));
	d->r.ram[STATUS] = 0x55;
	ring_set(&d->r, 0, HDR, 16, VRING_DESC_F_NEXT, len ? 1 : 2);
	ring_set(&d->r, 1, BUF, len, (uint16_t)(VRING_DESC_F_NEXT | in), 2);
	ring_set(&d->r, 2, STATUS, 1, VRING_DESC_F_WRITE, 0);
	__atomic_store_n(&ring_avail(&d->r)->ring[RING_SIZE], d->r.avail_idx, __ATOMIC_RELAXED);
	ring_offer(&d->r, 0);
	MUST(write(d->kick, &one, 8) == 8 && read(d->call, &n, 8) == 8);
	MUST(__atomic_load_n(&ring_used(&d->r)->idx, __ATOMIC_ACQUIRE) == d->r.avail_idx);
	return d->r.ram[STATUS];
}

static int range(struct disk *d, uint32_t type, uint64_t sector, uint32_t n, uint32_t flags)
{
	const struct {
		uint64_t sector;
		uint32_t n, flags;
	} r = { sector, n, flags };

	memcpy(d->r.ram + BUF, &r, sizeof(r));
	return request(d, type, 0, sizeof(r));
}

/* Runs fn(arg) in a child and returns its exit status; 77 means that this machine cannot run it. */
static int in_child(void (*fn)(void *), void *arg)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(30);
		fn(arg);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void expect_child(void (*fn)(void *), void *arg)
{
	int status = in_child(fn, arg);

	if (status == 77)
		skip();
	assert_int_equal(status, 0);
}

/* If the process is killed at any time, acknowledged flushes must be in the file. The child writes
 * generation g to all blocks in turn, and reports after each flush which write was the last. */
struct progress {
	_Atomic uint64_t flushed;
};

struct writer {
	const char *path;
	struct progress *shared;
	enum blk_aio aio;
	enum blk_cache cache;
};

static void write_for_ever(void *arg)
{
	const struct writer *w = arg;
	static struct disk d;
	struct error err = { 0 };

	MUST(disk_start(&d, w->path, w->aio, w->cache, &err) == 0);
	for (uint64_t n = 1;; n++) {
		for (unsigned i = 0; i < BLOCK; i += 8)
			memcpy(d.r.ram + BUF + i, &n, 8);
		MUST(request(&d, VIRTIO_BLK_T_OUT, n % BLOCKS * 8, BLOCK) == 0);
		if (n % 5 == 0) {
			MUST(request(&d, VIRTIO_BLK_T_FLUSH, 0, 0) == 0);
			w->shared->flushed = n;
		}
	}
}

/* Each block must have at least the last flushed write. Only later writes may be incomplete. */
static void check_image(const char *path, uint64_t flushed)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t words[BLOCK / 8];

	for (unsigned b = 0; b < BLOCKS; b++) {
		uint64_t least = flushed - (flushed - b) % BLOCKS;

		if (b > flushed || least == 0)
			continue;
		assert_int_equal(pread(fd, words, BLOCK, b * BLOCK), BLOCK);
		for (unsigned i = 0; i < BLOCK / 8; i++) {
			assert_true(words[i] >= least);
			assert_int_equal(words[i] % BLOCKS, b);
		}
	}
	close(fd);
}

static void kill_one(struct writer *w, unsigned usec)
{
	int status;
	pid_t pid;

	w->shared->flushed = 0;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		write_for_ever(w);
		_exit(1);
	}
	while (w->shared->flushed == 0 && waitpid(pid, &status, WNOHANG) == 0)
		usleep(100);
	usleep(usec);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_true(w->shared->flushed >= 5);
	check_image(w->path, w->shared->flushed);
}

static void flushed_survives_kill(void **state)
{
	struct progress *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned seed = (unsigned)getpid();

	(void)state;
	for (unsigned i = 0; i < 24; i++) {
		char path[64];
		struct writer w = { path, shared, i & 1 ? BLK_AIO_LIBAIO : BLK_AIO_AUTO,
				    i & 2 ? BLK_CACHE_NONE : BLK_CACHE_WRITEBACK };

		make_image(path);
		kill_one(&w, (unsigned)rand_r(&seed) % 30000);
		unlink(path);
	}
	munmap(shared, sizeof(*shared));
}

/* Denies io_uring like the seccomp profile of a container. */
static void refuse_io_uring(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { ARRAY_SIZE(code), code };

	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0))
		_exit(77);
}

static void without_io_uring(void *arg)
{
	static struct disk d;
	struct error err = { 0 };

	refuse_io_uring();
	MUST(disk_start(&d, arg, BLK_AIO_URING, BLK_CACHE_WRITEBACK, &err) == -EPERM);
	MUST(strstr(err.text, "io_uring") && strstr(err.text, "aio=libaio"));
	for (unsigned c = 0; c < 2; c++) {
		MUST(disk_start(&d, arg, BLK_AIO_AUTO, c ? BLK_CACHE_NONE : BLK_CACHE_WRITEBACK,
				&err) == 0);
		MUST(strstr(blk_runner_fallback(blk_queue_runner(d.q)), "not permitted"));
		memset(d.r.ram + BUF, 'a' + (int)c, BLOCK);
		MUST(request(&d, VIRTIO_BLK_T_OUT, 8, BLOCK) == 0);
		memset(d.r.ram + BUF, 0, BLOCK);
		MUST(request(&d, VIRTIO_BLK_T_IN, 8, BLOCK) == 0);
		MUST(d.r.ram[BUF] == 'a' + (char)c && d.r.ram[BUF + BLOCK - 1] == 'a' + (char)c);
		MUST(request(&d, VIRTIO_BLK_T_FLUSH, 0, 0) == 0);
		disk_stop(&d);
	}
}

static void falls_back_to_libaio(void **state)
{
	char path[64];
	int status;

	(void)state;
	make_image(path);
	status = in_child(without_io_uring, path);
	unlink(path);
	if (status == 77)
		skip();
	assert_int_equal(status, 0);
}

static void lock_goes_with_its_owner(void **state)
{
	static struct disk d;
	struct error err = { 0 };
	char path[64];
	int p[2], status;
	pid_t pid;

	(void)state;
	make_image(path);
	assert_int_equal(pipe(p), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		MUST(disk_start(&d, path, BLK_AIO_AUTO, BLK_CACHE_WRITEBACK, &err) == 0);
		MUST(write(p[1], "", 1) == 1);
		pause();
	}
	assert_int_equal(read(p[0], &status, 1), 1);
	assert_int_equal(disk_start(&d, path, BLK_AIO_AUTO, BLK_CACHE_NONE, &err), -EBUSY);
	assert_non_null(strstr(err.text, path));
	assert_non_null(strstr(err.text, "in use by another process"));
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(disk_start(&d, path, BLK_AIO_AUTO, BLK_CACHE_NONE, &err), 0);
	disk_stop(&d);
	close(p[0]);
	close(p[1]);
	unlink(path);
}

/* Block devices: a loop device over an image, with 512-byte and 4 KiB sectors. */
static int loop_attach(const char *image, unsigned sector, char *name)
{
	struct loop_config c = { .block_size = sector, .info.lo_flags = LO_FLAGS_AUTOCLEAR };
	int ctl = open("/dev/loop-control", O_RDWR | O_CLOEXEC), n, fd = -1;

	n = ctl < 0 ? -1 : ioctl(ctl, LOOP_CTL_GET_FREE);
	if (ctl >= 0)
		close(ctl);
	if (n < 0)
		return -1;
	sprintf(name, "/dev/loop%d", n);
	/* Without udev, the device node must be made here. */
	if (access(name, F_OK))
		(void)!mknod(name, S_IFBLK | 0600, makedev(7, (unsigned)n));
	c.fd = (uint32_t)open(image, O_RDWR | O_CLOEXEC);
	fd = open(name, O_RDWR | O_CLOEXEC);
	if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &c)) {
		close(fd);
		fd = -1;
	}
	close((int)c.fd);
	return fd;
}

static void check_ranges(struct disk *d)
{
	memset(d->r.ram + BUF, 0xff, 4 * BLOCK);
	assert_int_equal(request(d, VIRTIO_BLK_T_OUT, 0, 4 * BLOCK), 0);
	assert_int_equal(range(d, VIRTIO_BLK_T_WRITE_ZEROES, 8, 8, 0), 0);
	assert_int_equal(range(d, VIRTIO_BLK_T_WRITE_ZEROES, 16, 8, 1), 0);
	if (d->f.discard)
		assert_int_equal(range(d, VIRTIO_BLK_T_DISCARD, 24, 8, 0), 0);
	assert_int_equal(request(d, VIRTIO_BLK_T_IN, 0, 3 * BLOCK), 0);
	for (unsigned i = 0; i < 3 * BLOCK; i++)
		assert_int_equal((uint8_t)d->r.ram[BUF + i], i < BLOCK ? 0xff : 0);
	assert_int_equal(request(d, VIRTIO_BLK_T_FLUSH, 0, 0), 0);
}

/* Writing a sector that is smaller than the device's blocks must not change its neighbours. */
static void check_small_write(struct disk *d)
{
	memset(d->r.ram + BUF, 0x22, 512);
	assert_int_equal(request(d, VIRTIO_BLK_T_OUT, 3, 512), 0);
	assert_int_equal(request(d, VIRTIO_BLK_T_IN, 0, BLOCK), 0);
	assert_int_equal((uint8_t)d->r.ram[BUF + 3 * 512 - 1], 0xff);
	assert_int_equal(d->r.ram[BUF + 3 * 512], 0x22);
	assert_int_equal((uint8_t)d->r.ram[BUF + 4 * 512], 0xff);
	assert_int_equal(request(d, VIRTIO_BLK_T_IN, BLOCKS * 8, 512), VIRTIO_BLK_S_IOERR);
}

static void check_loop(const char *image, unsigned sector)
{
	static struct disk d, second;
	struct error err = { 0 };
	char name[32];
	int fd = loop_attach(image, sector, name);

	if (fd < 0) {
		print_message("no loop device of %u-byte sectors: %s\n", sector, strerror(errno));
		skip();
	}
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(disk_start(&d, name, i & 1 ? BLK_AIO_LIBAIO : BLK_AIO_AUTO,
					    i & 2 ? BLK_CACHE_NONE : BLK_CACHE_WRITEBACK, &err),
				 0);
		assert_int_equal(d.f.size, BLOCKS * BLOCK);
		assert_int_equal(d.f.block_size, sector);
		assert_true(disk_start(&second, name, BLK_AIO_AUTO, BLK_CACHE_NONE, &err) < 0);
		check_ranges(&d);
		check_small_write(&d);
		disk_stop(&d);
	}
	close(fd);
}

static void loop_device(void **state)
{
	char path[64];
	int fd;

	(void)state;
	make_image(path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	/* use only the descriptor from here on, so that a skipped test leaves no file */
	unlink(path);
	sprintf(path, "/proc/self/fd/%d", fd);
	check_loop(path, 512);
	check_loop(path, 4096);
	close(fd);
}

/* A file system on storage with 4 KiB blocks: the image has its own sector size, and its end does
 * not move. */
static void on_big_blocks(void *arg)
{
	const off_t size = 2441 * BLOCK + 7 * 512;
	char loop[32], line[128];
	struct error err = { 0 };
	static struct disk d;
	struct stat st;
	int fd;

	fd = loop_attach(arg, BLOCK, loop);
	if (fd < 0 || unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		_exit(77);
	snprintf(line, sizeof(line), "mkfs.ext4 -q %s 2>/dev/null", loop);
	if (system(line) || mount(loop, "/tmp", "ext4", 0, NULL))
		_exit(77);
	fd = open("/tmp/disk", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	MUST(fd >= 0 && ftruncate(fd, size) == 0);
	for (unsigned i = 0; i < 4; i++) {
		MUST(disk_start(&d, "/tmp/disk", i & 1 ? BLK_AIO_LIBAIO : BLK_AIO_AUTO,
				i & 2 ? BLK_CACHE_NONE : BLK_CACHE_WRITEBACK, &err) == 0);
		MUST(d.f.block_size == 512);
		memset(d.r.ram + BUF, 'a' + (int)i, BLOCK);
		MUST(request(&d, VIRTIO_BLK_T_OUT, 2441 * 8 + 6, 512) == 0);
		MUST(request(&d, VIRTIO_BLK_T_OUT, 3, BLOCK) == 0);
		MUST(request(&d, VIRTIO_BLK_T_FLUSH, 0, 0) == 0);
		memset(d.r.ram + BUF, 0, BLOCK);
		MUST(request(&d, VIRTIO_BLK_T_IN, 2441 * 8 + 6, 512) == 0);
		MUST(d.r.ram[BUF] == 'a' + (char)i && d.r.ram[BUF + 511] == 'a' + (char)i);
		MUST(fstat(fd, &st) == 0 && st.st_size == size);
		disk_stop(&d);
	}
}

static void big_blocks(void **state)
{
	char path[64];
	int status;

	(void)state;
	make_image(path);
	assert_int_equal(truncate(path, 64 << 20), 0);
	status = in_child(on_big_blocks, path);
	unlink(path);
	if (status == 77)
		skip();
	assert_int_equal(status, 0);
}

/* A full file system: the guest's write fails, and its other requests work. */
static void on_full_tmpfs(void *arg)
{
	static struct disk d;
	struct error err = { 0 };
	int fd;

	(void)arg;
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", "/tmp", "tmpfs", 0, "size=64k"))
		_exit(77);
	fd = open("/tmp/disk", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	MUST(fd >= 0 && ftruncate(fd, BLOCKS * BLOCK) == 0);
	for (unsigned i = 0; i < 2; i++) {
		unsigned failed = 0;

		MUST(disk_start(&d, "/tmp/disk", i ? BLK_AIO_LIBAIO : BLK_AIO_AUTO,
				BLK_CACHE_WRITEBACK, &err) == 0);
		for (unsigned n = 0; n < 32; n++) {
			int ret = request(&d, VIRTIO_BLK_T_OUT, n * 8, BLOCK);

			MUST(ret == VIRTIO_BLK_S_OK || ret == VIRTIO_BLK_S_IOERR);
			failed += ret == VIRTIO_BLK_S_IOERR;
		}
		MUST(failed >= 16 && failed < 32);
		MUST(request(&d, VIRTIO_BLK_T_IN, 31 * 8, BLOCK) == 0);
		MUST(request(&d, VIRTIO_BLK_T_OUT, 0, BLOCK) == 0);
		disk_stop(&d);
	}
}

static void full_file_system(void **state)
{
	(void)state;
	expect_child(on_full_tmpfs, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flushed_survives_kill),    cmocka_unit_test(falls_back_to_libaio),
		cmocka_unit_test(lock_goes_with_its_owner), cmocka_unit_test(loop_device),
		cmocka_unit_test(full_file_system),	    cmocka_unit_test(big_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
