/* SPDX-License-Identifier: BSD-2-Clause */
/* Opens, locks and measures a disk image. See blk_file.h. */
#include "devices/block/blk_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "devices/block/blk_node.h"
#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/error.h"
#include "vmm/core/hostfs.h"

#define PROBE_SIZE 4096
#define SECTOR	   512u
/* If a process is killed, a kernel worker releases the registered file of its io_uring a moment
 * later. So a file counts as in use only if it stays locked for this long. */
#define BUSY_TRIES   25
#define BUSY_WAIT_US 20000

static int fail(struct error *err, const char *path, const char *what)
{
	return error_set(err, -errno, "disk %s: %s: %s", path, what, strerror(errno));
}

static int open_fd(struct blk_file *f, const char *path, struct error *err)
{
	int flags = (f->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY;
	struct stat st;

	if (stat(path, &st))
		return fail(err, path, "cannot open");
	f->is_blkdev = S_ISBLK(st.st_mode);
	if (!f->is_blkdev && !S_ISREG(st.st_mode))
		return error_set(err, -EINVAL,
				 "disk %s is neither a regular file nor a block device", path);
	/* On a block device, O_EXCL fails while it is mounted or a part of another device. */
	if (f->is_blkdev && !f->readonly)
		flags |= O_EXCL;
	flags |= f->direct ? O_DIRECT : 0;
	f->fd = open(path, flags);
	for (unsigned i = 0; f->fd < 0 && errno == EBUSY && i < BUSY_TRIES; i++) {
		usleep(BUSY_WAIT_US);
		f->fd = open(path, flags);
	}
	if (f->fd >= 0)
		return 0;
	if (f->direct && errno == EINVAL)
		return error_set(
			err, -EINVAL,
			"disk %s: its file system does not support O_DIRECT: use cache=writeback",
			path);
	if (f->is_blkdev && errno == EBUSY)
		return error_set(err, -EBUSY,
				 "disk %s is mounted or in use by the host: unmount it or add ,ro",
				 path);
	if (errno == EACCES || errno == EROFS)
		return error_set(err, -errno, "disk %s: cannot open for %s: %s%s", path,
				 f->readonly ? "reading" : "writing", strerror(errno),
				 f->readonly ? "" : ": change its permissions or add ,ro");
	return fail(err, path, "cannot open");
}

/* Locks of the open file description: they belong to this open file, do not depend on threads and
 * fork, and the kernel releases them however the process ends. */
static int lock_fd(const struct blk_file *f, const char *path, struct error *err)
{
	struct flock fl = { .l_type = f->readonly ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };
	int ret = fcntl(f->fd, F_OFD_SETLK, &fl);

	for (unsigned i = 0; ret && (errno == EAGAIN || errno == EACCES) && i < BUSY_TRIES; i++) {
		usleep(BUSY_WAIT_US);
		ret = fcntl(f->fd, F_OFD_SETLK, &fl);
	}
	if (ret == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return error_set(err, -EBUSY,
				 "disk %s is in use by another process (`lslocks` or `fuser -v %s` "
				 "shows which): stop that process, or add ,ro to both",
				 path, path);
	if (errno == EINVAL || errno == ENOLCK || errno == EOPNOTSUPP)
		return 0; /* the file system has no locks, so accept it */
	return fail(err, path, "cannot lock");
}

static const struct {
	const char *name;
	size_t at; /* of the magic bytes in the file */
	const char *magic;
	size_t len;
} formats[] = {
	{ "qcow2", 0, "QFI\xfb", 4 },
	{ "vmdk", 0, "KDMV", 4 },
	{ "vmdk", 0, "# Disk DescriptorFile", 21 },
	{ "vhdx", 0, "vhdxfile", 8 },
	{ "vhd", 0, "conectix", 8 }, /* of a fixed size: raw, and these bytes are at its end */
	{ "vdi", 0x40, "\x7f\x10\xda\xbe", 4 },
	{ "qed", 0, "QED", 4 },
};

static int probe_format(const struct blk_file *f, const char *path, struct error *err)
{
	scoped_free void *buf = aligned_alloc(PROBE_SIZE, PROBE_SIZE);
	ssize_t n;

	if (!buf)
		return error_set(err, -ENOMEM, "disk %s: out of memory", path);
	n = pread(f->fd, buf, PROBE_SIZE, 0);
	if (n < 0)
		return fail(err, path, "cannot read");
	for (unsigned i = 0; i < ARRAY_SIZE(formats); i++)
		if ((size_t)n >= formats[i].at + formats[i].len &&
		    memcmp((char *)buf + formats[i].at, formats[i].magic, formats[i].len) == 0)
			return error_set(
				err, -EINVAL,
				"disk %s is a %s image, but only raw images are supported: convert "
				"it (qemu-img convert -O raw %s NEW.raw), let qemu-storage-daemon "
				"serve it (man minivmm, --vhost-user-blk), or add format=raw if it "
				"is a raw image that only looks like one",
				path, formats[i].name, path);
	return 0;
}

static int measure_blkdev(struct blk_file *f, const char *path, struct error *err)
{
	int lbs = 512, align_off = 0;
	unsigned pbs = 512, opt = 0;
	uint64_t size = 0;

	if (ioctl(f->fd, BLKGETSIZE64, &size) || ioctl(f->fd, BLKSSZGET, &lbs) ||
	    ioctl(f->fd, BLKPBSZGET, &pbs))
		return fail(err, path, "cannot read its size");
	if (ioctl(f->fd, BLKALIGNOFF, &align_off) == 0 && align_off > 0)
		f->align_off = (uint32_t)align_off;
	if (ioctl(f->fd, BLKIOOPT, &opt) == 0)
		f->opt_size = opt;
	f->size = size;
	f->unit = f->block_size = (uint32_t)lbs;
	f->phys_size = pbs;
	return 0;
}

/* Since Linux 6.1 a file system tells the alignment for O_DIRECT (STATX_DIOALIGN). On older kernels
 * we try 512-byte transfers. */
static void measure_direct(const struct blk_file *f, uint32_t *io_align, uint32_t *mem_align)
{
	scoped_free void *buf = NULL;

	*io_align = f->unit;
#ifdef STATX_DIOALIGN
	struct statx sx;

	if (statx(f->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) == 0 &&
	    (sx.stx_mask & STATX_DIOALIGN) && sx.stx_dio_offset_align) {
		if (sx.stx_dio_offset_align > *io_align)
			*io_align = sx.stx_dio_offset_align;
		*mem_align = sx.stx_dio_mem_align;
		return;
	}
#endif
	buf = aligned_alloc(PROBE_SIZE, PROBE_SIZE);
	if (buf && !f->is_blkdev && pread(f->fd, buf, 512, 0) < 0 && errno == EINVAL)
		*io_align = 4096;
	*mem_align = *io_align;
}

/* Computes the values that depend on the storage's blocks and on the guest's. */
static void settle(struct blk_file *f)
{
	if (f->phys_size < f->io_align)
		f->phys_size = f->io_align;
	if (f->phys_size < f->block_size)
		f->phys_size = f->block_size;
	f->tracks = f->io_align > f->block_size && !f->readonly;
}

int blk_file_set_block_size(struct blk_file *f, const char *path, uint32_t size, struct error *err)
{
	if (f->size % size && size > 512)
		return error_set(err, -EINVAL,
				 "disk %s: its size of %llu bytes is not a multiple of "
				 "logical_block_size=%u: leave that option out",
				 path, (unsigned long long)f->size, size);
	f->block_size = size;
	settle(f);
	return 0;
}

/* Opens the same file again through the page cache, for writes that O_DIRECT cannot do. */
static int open_tail(struct blk_file *f, const char *path)
{
	struct stat a, b;

	if (f->tail_fd >= 0 || f->readonly || f->whole == f->size)
		return 0;
	f->tail_fd = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (f->tail_fd < 0 || fstat(f->tail_fd, &a) || fstat(f->fd, &b))
		return -errno;
	return a.st_dev == b.st_dev && a.st_ino == b.st_ino ? 0 : -ESTALE;
}

int blk_file_set_align(struct blk_file *f, const char *path, uint32_t io_align, uint32_t mem_align)
{
	f->io_align = io_align;
	f->mem_align = mem_align;
	/* A partial sector is written all together, or not at all. */
	f->whole = align_down(f->size, io_align > SECTOR ? io_align : SECTOR);
	settle(f);
	return io_align > 1 ? open_tail(f, path) : 0;
}

static bool same_node(const struct stat *a, const struct stat *b)
{
	if (S_ISBLK(a->st_mode) && S_ISBLK(b->st_mode))
		return a->st_rdev == b->st_rdev;
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool blk_file_same(const char *a, const char *b)
{
	struct stat sa, sb;

	return stat(a, &sa) == 0 && stat(b, &sb) == 0 && same_node(&sa, &sb);
}

/* The path of a descriptor in /proc/self/fd, if it is that file. */
static bool fd_is_file(DIR *d, const char *fd, const struct stat *file, char *as, size_t size)
{
	struct stat st;
	ssize_t n;

	if (fstatat(dirfd(d), fd, &st, 0) || !same_node(&st, file))
		return false;
	n = readlinkat(dirfd(d), fd, as, size - 1);
	if (n < 0)
		return false;
	as[n] = '\0';
	return true;
}

bool blk_file_is_open(const char *path, char *as, size_t size)
{
	struct dirent *e;
	struct stat file;
	bool found = false;
	DIR *d = stat(path, &file) == 0 ? opendir("/proc/self/fd") : NULL;

	while (d && !found && (e = readdir(d)))
		found = e->d_name[0] != '.' && fd_is_file(d, e->d_name, &file, as, size);
	if (d)
		closedir(d);
	return found;
}

static bool can_discard(const struct blk_file *f)
{
	struct stat st;

	if (f->readonly)
		return false;
	/* Behind the end of the file this changes nothing, but shows whether the file system
	 * supports it. */
	if (!f->is_blkdev)
		return fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				 (off_t)align_up(f->size, PROBE_SIZE), PROBE_SIZE) == 0;
	if (fstat(f->fd, &st))
		return false;
	/* A partition has no queue of its own; its parent has. */
	return hostfs_number("", 0, "/sys/dev/block/%u:%u/queue/discard_max_bytes",
			     major(st.st_rdev), minor(st.st_rdev)) > 0;
}

static int check_size(const struct blk_file *f, const char *path, struct error *err)
{
	if (f->size == 0)
		return error_set(err, -EINVAL,
				 "disk %s is empty: give it a size (truncate -s 10G %s)", path,
				 path);
	if (!is_pow2(f->unit) || f->unit < 512)
		return error_set(err, -EINVAL,
				 "disk %s: its block size of %u bytes is not supported", path,
				 f->unit);
	return 0;
}

static int measure(struct blk_file *f, const char *path, struct error *err)
{
	uint32_t io_align = 1, mem_align = 1;
	struct stat st;
	int ret = 0;

	f->block_size = f->phys_size = f->unit = 512;
	if (fstat(f->fd, &st))
		return fail(err, path, "cannot stat");
	f->size = (uint64_t)st.st_size;
	f->node = blk_node_find("", f->is_blkdev ? st.st_rdev : st.st_dev);
	if (f->is_blkdev)
		ret = measure_blkdev(f, path, err);
	if (!ret)
		ret = check_size(f, path, err);
	if (ret)
		return ret;
	if (f->direct)
		measure_direct(f, &io_align, &mem_align);
	if (!is_pow2(io_align) || !is_pow2(mem_align) || io_align > 64 * KiB)
		return error_set(err, -EINVAL,
				 "disk %s: O_DIRECT needs blocks of %u bytes there, which minivmm "
				 "does not support: use cache=writeback",
				 path, io_align);
	ret = blk_file_set_align(f, path, io_align, mem_align);
	if (ret)
		return error_set(err, ret, "disk %s: cannot open its end: %s", path,
				 strerror(-ret));
	f->discard = can_discard(f);
	f->discard_align = !f->is_blkdev && !f->direct ? PROBE_SIZE : f->phys_size;
	return 0;
}

int blk_file_open(struct blk_file *f, const char *path, bool readonly, enum blk_cache cache,
		  enum blk_format format, struct error *err)
{
	int ret;

	*f = (struct blk_file){ .fd = -1, .tail_fd = -1, .node = -1, .readonly = readonly };
	f->direct = cache == BLK_CACHE_NONE;
	pthread_mutex_init(&f->part_lock, NULL);
	ret = open_fd(f, path, err);
	if (!ret)
		ret = lock_fd(f, path, err);
	if (!ret)
		ret = measure(f, path, err);
	if (!ret && format == BLK_FORMAT_AUTO)
		ret = probe_format(f, path, err);
	if (ret)
		blk_file_close(f);
	return ret;
}

void blk_file_close(struct blk_file *f)
{
	if (f->fd < 0)
		return;
	close(f->fd);
	cleanup_close(&f->tail_fd);
	f->fd = f->tail_fd = -1;
	pthread_mutex_destroy(&f->part_lock);
}

static int punch(const struct blk_file *f, uint64_t off, uint64_t len)
{
	return fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len)
		       ? -errno
		       : 0;
}

int blk_file_discard(struct blk_file *f, uint64_t off, uint64_t len)
{
	uint64_t first = align_up(off, f->unit), end = align_down(off + len, f->unit);
	uint64_t range[2] = { first, end - first };

	if (!f->is_blkdev)
		return punch(f, off, len);
	if (end <= first)
		return 0; /* no whole block */
	return ioctl(f->fd, BLKDISCARD, range) ? -errno : 0;
}

int blk_file_zero(struct blk_file *f, uint64_t off, uint64_t len, bool unmap)
{
	uint64_t range[2] = { off, len };
	int ret;

	if (f->is_blkdev)
		return ioctl(f->fd, BLKZEROOUT, range) ? -errno : 0;
	/* A hole reads as zeroes, but only within the file: KEEP_SIZE does not extend it. */
	ret = unmap ? punch(f, off, len) : -EOPNOTSUPP;
	if (ret)
		ret = fallocate(f->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, (off_t)off,
				(off_t)len)
			      ? -errno
			      : 0;
	return ret;
}
