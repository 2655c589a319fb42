/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fw_cfg. One item is selected at a time, with an offset that each access advances. Unknown items
 * and bytes past the end read as zeros; OVMF relies on this.
 *
 * The DMA interface gets the address of a big-endian descriptor and runs the whole transfer within
 * the exit. At the end it clears the control word of the descriptor, or sets its error bit. The
 * descriptor is copied once, and the copy is checked. Data is copied through guest_mem only, so a
 * length beyond guest RAM fails with -EFAULT at the first hole; this bounds the work.
 *
 * A long transfer whose vCPU must pause (SIGQUIT, a reset, the end of the run) goes on later, on
 * the main loop and in small pieces. The guest sees no difference: a driver polls the control word.
 *
 * Kernel and initrd are read from their files when the guest asks for them, directly into guest
 * memory. If they were mapped and somebody shortened them, SIGBUS would end the process; a copy
 * would use memory.
 *
 * Threads: everything runs under `lock`, which is the lock of the region.
 */
#include "devices/chipset/fw_cfg.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/bus.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/evloop.h"
#include "vmm/core/hold.h"
#include "vmm/core/log.h"
#include "vmm/core/mem.h"

#define DMA_ERROR  0x01u
#define DMA_READ   0x02u
#define DMA_SKIP   0x04u
#define DMA_SELECT 0x08u
#define DMA_WRITE  0x10u

#define DMA_SIGNATURE 0x51454d5520434647ull /* "QEMU CFG", big-endian */
#define ID_DMA	      3u		    /* the traditional interface, and DMA */

#define OFF_SELECT 0
#define OFF_DATA   1
#define OFF_DMA	   4
#define REGION_LEN 12

#define NUM_KEYS (FW_CFG_FILE_FIRST + FW_CFG_MAX_FILES)

struct dma_access {
	uint32_t control, length; /* all big-endian */
	uint64_t address;
};
static_assert(sizeof(struct dma_access) == 16, "fw_cfg.rst, DMA interface");

struct dir_entry {
	uint32_t size;	 /* big-endian */
	uint16_t select; /* big-endian */
	uint16_t reserved;
	char name[FW_CFG_NAME_LEN];
};
static_assert(sizeof(struct dir_entry) == 64, "fw_cfg.rst, file directory");

struct dir {
	uint32_t count; /* big-endian */
	struct dir_entry e[FW_CFG_MAX_FILES];
};

struct item {
	struct fw_cfg_ref ref;
	bool present, owned;
};

/* An item whose data is a part of a file. */
struct file_part {
	int fd;
	uint64_t off;
	const char *path;
	struct log_limit limit;
};

/* What is left of a DMA. */
struct dma_rest {
	uint64_t desc, gpa, off;
	uint32_t left; /* 0: there is none */
};

struct fw_cfg {
	struct bus *pio;
	struct guest_mem *mem;
	struct io_region region;
	pthread_mutex_t lock;
	struct item items[NUM_KEYS];
	struct dir dir;
	unsigned n_files;
	unsigned key;
	uint64_t off;
	uint32_t dma_high;
	struct dma_rest rest;
	struct evloop *loop; /* NULL: nobody goes on with it */
	struct ev_call go_on;
	struct file_part setup, kernel, initrd;
};

static const struct item *selected(const struct fw_cfg *f)
{
	return f->key < NUM_KEYS && f->items[f->key].present ? &f->items[f->key] : NULL;
}

static void dma_end(struct fw_cfg *f, uint64_t desc, int ret)
{
	uint32_t status = htobe32(ret ? DMA_ERROR : 0);

	guest_mem_write(f->mem, GPA(desc), &status, sizeof(status));
}

/* The driver does something else before its DMA has ended. */
static void rest_drop(struct fw_cfg *f)
{
	if (f->rest.left)
		dma_end(f, f->rest.desc, -ECANCELED);
	f->rest.left = 0;
}

static void fw_cfg_select(struct fw_cfg *f, uint16_t key)
{
	const struct item *it;

	rest_drop(f);

	/* Bit 14 selected the write channel of the first version; it has no meaning today. */
	f->key = key & 0xbfff;
	f->off = 0;
	it = selected(f);
	if (it && it->ref.select)
		it->ref.select(it->ref.arg);
}

/* The number of bytes of the selected item from off to its end. */
static uint64_t remaining(const struct fw_cfg *f, uint64_t off)
{
	const struct item *it = selected(f);

	return it && off < it->ref.len ? it->ref.len - off : 0;
}

/* Copies n bytes of the selected item to buf; n is at most remaining(). */
static int item_read(const struct fw_cfg *f, uint64_t off, void *buf, size_t n)
{
	const struct fw_cfg_ref *ref = &selected(f)->ref;

	if (ref->read)
		return ref->read(ref->arg, off, buf, n);
	memcpy(buf, (const uint8_t *)ref->data + off, n);
	return 0;
}

static uint8_t next_byte(struct fw_cfg *f)
{
	uint8_t b = 0;

	if (remaining(f, f->off) && item_read(f, f->off, &b, 1) < 0)
		b = 0;
	f->off++;
	return b;
}

/* ---- DMA ---- */

static int write_zeros(struct guest_mem *mem, uint64_t gpa, uint64_t len)
{
	static const uint8_t zeros[4096];

	while (len) {
		size_t n = len < sizeof(zeros) ? len : sizeof(zeros);

		if (guest_mem_write(mem, GPA(gpa), zeros, n))
			return -EFAULT;
		gpa += n;
		len -= n;
	}
	return 0;
}

#define MAX_PIECES 8 /* a range of guest RAM has at most three pieces */

/* Copies from the selected item directly into guest memory. */
static int item_to_guest(const struct fw_cfg *f, uint64_t off, uint64_t gpa, size_t n)
{
	struct iovec iov[MAX_PIECES];
	int pieces = guest_mem_iov(f->mem, GPA(gpa), n, MEM_ACCESS_WRITE, iov, MAX_PIECES), ret = 0;

	if (pieces < 0)
		return -EFAULT;
	for (int i = 0; i < pieces && ret == 0; i++) {
		ret = item_read(f, off, iov[i].iov_base, iov[i].iov_len);
		off += iov[i].iov_len;
	}
	return ret;
}

static int piece_read(const struct fw_cfg *f, uint64_t off, uint64_t gpa, uint32_t len)
{
	uint64_t have = remaining(f, off);
	size_t n = have < len ? have : len;
	int ret = n ? item_to_guest(f, off, gpa, n) : 0;

	/* gpa + n can wrap only if the copy above has failed. */
	return ret < 0 ? ret : write_zeros(f->mem, gpa + n, len - n);
}

/* A guest can ask for as many bytes as it has memory, with each of its vCPUs. So between two pieces
 * the vCPU leaves the rest to the main loop if it must stop. */
#define DMA_PIECE (256 * KiB)

static int rest_leave(struct fw_cfg *f, uint64_t desc, uint64_t gpa, uint32_t done, uint32_t len)
{
	if (!f->loop)
		return -EINTR;
	f->rest = (struct dma_rest){ desc, gpa + done, f->off + done, len - done };
	evloop_call(f->loop, &f->go_on);
	return -EINPROGRESS;
}

/* On the loop's thread: one piece, then the loop's other work. */
static void rest_go_on(void *arg)
{
	struct fw_cfg *f = arg;
	struct dma_rest *r = &f->rest;
	uint32_t n;
	int ret;

	scoped_lock(&f->lock);
	if (!r->left)
		return;
	n = r->left < DMA_PIECE ? r->left : DMA_PIECE;
	ret = piece_read(f, r->off, r->gpa, n);
	/* gpa + n can wrap only if this was not guest memory and failed. */
	*r = (struct dma_rest){ r->desc, r->gpa + n, r->off + n, ret ? 0 : r->left - n };
	if (r->left)
		evloop_call(f->loop, &f->go_on);
	else
		dma_end(f, r->desc, ret);
}

static int dma_read(struct fw_cfg *f, uint64_t desc, uint64_t gpa, uint32_t len)
{
	uint32_t done = 0, n;
	int ret = 0;

	while (done < len && ret == 0) {
		n = len - done < DMA_PIECE ? len - done : DMA_PIECE;
		/* gpa + done can wrap only if an earlier piece was not guest memory and failed. */
		ret = piece_read(f, f->off + done, gpa + done, n);
		done += n;
		if (ret == 0 && done < len && hold_is_over())
			ret = rest_leave(f, desc, gpa, done, len);
	}
	return ret;
}

static int dma_write(struct fw_cfg *f, uint64_t gpa, uint32_t len)
{
	const struct item *it = selected(f);

	if (!it || !it->ref.written || !range_ok(f->off, len, it->ref.len))
		return -EPERM;
	if (guest_mem_read(f->mem, GPA(gpa), (uint8_t *)it->ref.data + f->off, len))
		return -EFAULT;
	it->ref.written(it->ref.arg);
	return 0;
}

static int dma_run(struct fw_cfg *f, uint64_t desc, const struct dma_access *a)
{
	uint32_t control = be32toh(a->control), len = be32toh(a->length);
	uint64_t gpa = be64toh(a->address);
	int ret = 0;

	if (control & DMA_SELECT)
		fw_cfg_select(f, (uint16_t)(control >> 16));
	if (control & DMA_READ)
		ret = dma_read(f, desc, gpa, len);
	else if (control & DMA_WRITE)
		ret = dma_write(f, gpa, len);
	else if (!(control & DMA_SKIP))
		return 0;
	f->off += len;
	return ret;
}

static void dma_start(struct fw_cfg *f, uint64_t gpa)
{
	struct dma_access a;
	int ret;

	rest_drop(f);
	/* If the descriptor cannot be read, there is no place to report the error. */
	if (guest_mem_read(f->mem, GPA(gpa), &a, sizeof(a)))
		return;
	ret = dma_run(f, gpa, &a);
	if (ret != -EINPROGRESS)
		dma_end(f, gpa, ret);
}

/* ---- ports ---- */

static uint64_t port_read(void *opaque, uint64_t off, unsigned size)
{
	struct fw_cfg *f = opaque;
	uint64_t v = 0;

	if (off == OFF_DATA && size == 1)
		return next_byte(f);
	if (off < OFF_DMA)
		return UINT64_MAX;
	for (unsigned i = 0; i < size && off + i < OFF_DMA + 8; i++)
		v |= (DMA_SIGNATURE >> 8 * (7 - (off + i - OFF_DMA)) & 0xff) << 8 * i;
	return v;
}

static void port_write(void *opaque, uint64_t off, unsigned size, uint64_t val)
{
	struct fw_cfg *f = opaque;

	if (off == OFF_SELECT && size == 2) {
		fw_cfg_select(f, (uint16_t)val);
	} else if (off == OFF_DMA && size == 4) {
		f->dma_high = be32toh((uint32_t)val);
	} else if (off == OFF_DMA + 4 && size == 4) {
		uint64_t gpa = (uint64_t)f->dma_high << 32 | be32toh((uint32_t)val);

		f->dma_high = 0;
		dma_start(f, gpa);
	}
}

static const struct io_region_ops port_ops = { port_read, port_write, 1, 4 };

/* ---- items ---- */

int fw_cfg_add_ref(struct fw_cfg *f, unsigned key, const struct fw_cfg_ref *ref)
{
	if (key >= NUM_KEYS || ref->len > UINT32_MAX)
		return -EINVAL;
	if (f->items[key].present)
		return -EEXIST;
	f->items[key] = (struct item){ .ref = *ref, .present = true };
	return 0;
}

static int add_copy(struct fw_cfg *f,
		    int (*add)(struct fw_cfg *, const void *, struct fw_cfg_ref *),
		    const void *where, const void *data, size_t len)
{
	struct fw_cfg_ref ref = { .data = malloc(len ? len : 1), .len = len };
	int key;

	if (!ref.data)
		return -ENOMEM;
	if (len)
		memcpy(ref.data, data, len);
	key = add(f, where, &ref);
	if (key < 0) {
		free(ref.data);
		return key;
	}
	f->items[key].owned = true;
	return 0;
}

static int add_at_key(struct fw_cfg *f, const void *where, struct fw_cfg_ref *ref)
{
	unsigned key = *(const unsigned *)where;
	int ret = fw_cfg_add_ref(f, key, ref);

	return ret ? ret : (int)key;
}

int fw_cfg_add(struct fw_cfg *f, unsigned key, const void *data, size_t len)
{
	return add_copy(f, add_at_key, &key, data, len);
}

int fw_cfg_add_u16(struct fw_cfg *f, unsigned key, uint16_t v)
{
	uint16_t le = htole16(v);

	return fw_cfg_add(f, key, &le, sizeof(le));
}

int fw_cfg_add_u32(struct fw_cfg *f, unsigned key, uint32_t v)
{
	uint32_t le = htole32(v);

	return fw_cfg_add(f, key, &le, sizeof(le));
}

/* Returns the key. */
static int add_named(struct fw_cfg *f, const void *where, struct fw_cfg_ref *ref)
{
	const char *name = where;
	size_t len = strlen(name);
	struct dir_entry *e = &f->dir.e[f->n_files];
	unsigned key = FW_CFG_FILE_FIRST + f->n_files;
	int ret;

	if (len >= FW_CFG_NAME_LEN)
		return -EINVAL;
	for (unsigned i = 0; i < f->n_files; i++)
		if (!strcmp(f->dir.e[i].name, name))
			return -EEXIST;
	if (f->n_files == FW_CFG_MAX_FILES)
		return -ENOSPC;
	ret = fw_cfg_add_ref(f, key, ref);
	if (ret)
		return ret;
	e->size = htobe32((uint32_t)ref->len);
	e->select = htobe16((uint16_t)key);
	memcpy(e->name, name, len + 1);
	f->dir.count = htobe32(++f->n_files);
	return (int)key;
}

int fw_cfg_add_file(struct fw_cfg *f, const char *name, const void *data, size_t len)
{
	return add_copy(f, add_named, name, data, len);
}

int fw_cfg_add_file_ref(struct fw_cfg *f, const char *name, const struct fw_cfg_ref *ref)
{
	struct fw_cfg_ref copy = *ref;
	int key = add_named(f, name, &copy);

	return key < 0 ? key : 0;
}

int fw_cfg_add_mmio64_size(struct fw_cfg *f, uint64_t mib)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)mib);

	/* OVMF parses the text by its length, so there must be no terminating zero. */
	return fw_cfg_add_file(f, "opt/ovmf/X-PciMmio64Mb", text, (size_t)n);
}

/* ---- Linux through the firmware ---- */

#define SETUP_SECTS    0x1f1 /* Linux x86 boot protocol */
#define SETUP_MAGIC    0x202
#define SETUP_MIN_SIZE 0x268

static int file_read(void *arg, uint64_t off, void *buf, size_t len)
{
	struct file_part *p = arg;
	uint8_t *to = buf;
	ssize_t n;

	for (off += p->off; len; len -= (size_t)n, off += (uint64_t)n, to += n) {
		n = pread(p->fd, to, len, (off_t)off);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n <= 0)
			break;
	}
	if (!len)
		return 0;
	log_guest(&p->limit, "%s cannot be read: %s", p->path,
		  n < 0 ? strerror(errno) : "it has become shorter");
	return -EIO;
}

/* Adds an item with the bytes of the file from p->off on, and an item with their number. */
static int add_part(struct fw_cfg *f, unsigned size_key, unsigned data_key, struct file_part *p,
		    uint64_t len)
{
	struct fw_cfg_ref ref = { .len = len, .read = file_read, .arg = p };
	int ret = len > UINT32_MAX ? -EINVAL : fw_cfg_add_u32(f, size_key, (uint32_t)len);

	return ret ? ret : fw_cfg_add_ref(f, data_key, &ref);
}

static int file_size(int fd, uint64_t *size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	return 0;
}

static int add_image(struct fw_cfg *f, int fd, const char *path)
{
	uint8_t head[SETUP_MIN_SIZE];
	uint64_t len = 0, setup;
	int ret = file_size(fd, &len);

	if (ret)
		return ret;
	if (pread(fd, head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
	    memcmp(head + SETUP_MAGIC, "HdrS", 4))
		return -EINVAL;
	setup = ((head[SETUP_SECTS] ? head[SETUP_SECTS] : 4u) + 1u) * 512u;
	if (setup >= len)
		return -EINVAL;
	f->setup = (struct file_part){ .fd = fd, .path = path };
	f->kernel = (struct file_part){ .fd = fd, .off = setup, .path = path };
	ret = add_part(f, FW_CFG_SETUP_SIZE, FW_CFG_SETUP_DATA, &f->setup, setup);
	if (ret)
		return ret;
	return add_part(f, FW_CFG_KERNEL_SIZE, FW_CFG_KERNEL_DATA, &f->kernel, len - setup);
}

static int add_initrd(struct fw_cfg *f, int fd, const char *path)
{
	uint64_t len = 0;
	int ret = fd < 0 ? 0 : file_size(fd, &len);

	f->initrd = (struct file_part){ .fd = fd, .path = path };
	if (ret || fd < 0)
		return ret;
	return add_part(f, FW_CFG_INITRD_SIZE, FW_CFG_INITRD_DATA, &f->initrd, len);
}

int fw_cfg_add_linux(struct fw_cfg *f, const struct fw_cfg_linux *l)
{
	size_t n = strlen(l->cmdline) + 1;
	int ret = add_image(f, l->kernel_fd, l->kernel_path);

	if (!ret)
		ret = add_initrd(f, l->initrd_fd, l->initrd_path);
	if (!ret)
		ret = fw_cfg_add_u32(f, FW_CFG_CMDLINE_SIZE, (uint32_t)n);
	if (!ret)
		ret = fw_cfg_add(f, FW_CFG_CMDLINE_DATA, l->cmdline, n);
	return ret;
}

/* ---- life ---- */

void fw_cfg_reset(struct fw_cfg *f)
{
	pthread_mutex_lock(&f->lock);
	f->key = 0;
	f->off = 0;
	f->dma_high = 0;
	f->rest.left = 0; /* without a word to the memory that it came from */
	pthread_mutex_unlock(&f->lock);
}

static int add_basics(struct fw_cfg *f)
{
	struct fw_cfg_ref dir = { .data = &f->dir, .len = sizeof(f->dir) };
	int ret = fw_cfg_add(f, FW_CFG_SIGNATURE, "QEMU", 4);

	if (!ret)
		ret = fw_cfg_add_u32(f, FW_CFG_ID, ID_DMA);
	return ret ? ret : fw_cfg_add_ref(f, FW_CFG_FILE_DIR, &dir);
}

struct fw_cfg *fw_cfg_new(struct bus *pio, struct guest_mem *mem)
{
	struct fw_cfg *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	pthread_mutex_init(&f->lock, NULL);
	f->mem = mem;
	f->pio = pio;
	f->region = (struct io_region){ .name = "fw_cfg",
					.base = FW_CFG_PORT,
					.size = REGION_LEN,
					.ops = &port_ops,
					.opaque = f,
					.lock = &f->lock };
	if (add_basics(f) || bus_add(pio, &f->region)) {
		f->pio = NULL;
		fw_cfg_free(f);
		return NULL;
	}
	return f;
}

void fw_cfg_use_loop(struct fw_cfg *f, struct evloop *loop)
{
	f->go_on = (struct ev_call){ .fn = rest_go_on, .arg = f };
	f->loop = loop;
}

void fw_cfg_free(struct fw_cfg *f)
{
	if (!f)
		return;
	if (f->loop)
		evloop_cancel(f->loop, &f->go_on);
	if (f->pio)
		bus_del(f->pio, &f->region);
	for (unsigned i = 0; i < NUM_KEYS; i++)
		if (f->items[i].owned)
			free(f->items[i].ref.data);
	pthread_mutex_destroy(&f->lock);
	free(f);
}
