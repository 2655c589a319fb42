/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Direct boot.
 *
 * bzImage: Documentation/arch/x86/boot.rst ("the boot protocol"), version 2.12 or newer for the
 * 64-bit entry. PVH: xen/include/public/arch-x86/hvm/start_info.h and the ELF note
 * XEN_ELFNOTE_PHYS32_ENTRY.
 *
 * The layout of low memory. All of it is RAM in the memory map, and the kernel may use it after it
 * has read the data:
 *
 *   0x01000  GDT
 *   0x02000  page tables, identity for 4 GiB with 2 MiB pages (6 pages)
 *   0x08000  boot_params, or hvm_start_info
 *   0x09000  PVH: module list and memory map
 *   0x20000  command line, up to 64 KiB
 *   0x30000  setup_data with the device tree, up to 384 KiB
 *   0x9fc00  end
 *
 * The kernel is loaded at its preferred address, or right above 1 MiB if it does not fit there and
 * is relocatable. The initrd lies at the end of low memory. Kernel files are untrusted input: every
 * size and offset in them is checked before use.
 */
#include "firmware/linux_boot.h"

#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "firmware/e820.h"
#include "vmm/core/addr.h"
#include "vmm/core/mem.h"

#define GDT_ADDR	0x1000u
#define PAGE_TABLES	0x2000u
#define BOOT_PARAMS	0x8000u
#define PVH_TABLES	0x9000u
#define CMDLINE_ADDR	0x20000u
#define CMDLINE_MAX	0x10000u
#define SETUP_DATA_ADDR 0x30000u
#define SETUP_DATA_END	0x90000u
#define BOOT_STACK	0x8000u /* grows down to the page tables; the entry code uses little */
#define KERNEL_MIN	(1 * MiB)

#define PTE_PRESENT_RW 3u
#define PDE_LARGE      0x80u

/* struct setup_header, by offset in the file and in boot_params (boot.rst, "The Real-Mode Kernel
 * Header"). */
#define HDR_START	 0x1f1
#define HDR_SETUP_SECTS	 0x1f1
#define HDR_SYSSIZE	 0x1f4
#define HDR_BOOT_FLAG	 0x1fe
#define HDR_JUMP_LEN	 0x201
#define HDR_MAGIC	 0x202
#define HDR_VERSION	 0x206
#define HDR_TYPE_LOADER	 0x210
#define HDR_LOADFLAGS	 0x211
#define HDR_CODE32	 0x214
#define HDR_RAMDISK	 0x218
#define HDR_RAMDISK_SIZE 0x21c
#define HDR_CMDLINE	 0x228
#define HDR_INITRD_MAX	 0x22c
#define HDR_ALIGNMENT	 0x230
#define HDR_RELOCATABLE	 0x234
#define HDR_XLOADFLAGS	 0x236
#define HDR_CMDLINE_SIZE 0x238
#define HDR_SETUP_DATA	 0x250
#define HDR_PREF_ADDRESS 0x258
#define HDR_INIT_SIZE	 0x260
#define HDR_END_MAX	 0x290 /* the next field of boot_params (edd_mbr_sig) begins here */
#define BP_ACPI_RSDP	 0x070
#define BP_E820_ENTRIES	 0x1e8
#define BP_E820_TABLE	 0x2d0
#define BP_E820_MAX	 128
#define BP_SIZE		 4096
#define BOOT_FLAG	 0xaa55
#define LOADED_HIGH	 0x01
#define XLF_KERNEL_64	 0x01
#define ENTRY64_OFFSET	 0x200
#define LOADER_UNDEFINED 0xff
#define SETUP_DTB	 2
#define PROTOCOL_MIN	 0x206
#define PROTOCOL_64	 0x20c

struct setup_data {
	uint64_t next;
	uint32_t type, len;
};
static_assert(sizeof(struct setup_data) == 16, "boot protocol");

struct hvm_start_info {
	uint32_t magic, version, flags, nr_modules;
	uint64_t modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr;
	uint32_t memmap_entries, reserved;
};
static_assert(sizeof(struct hvm_start_info) == 56, "Xen ABI");
struct hvm_modlist_entry {
	uint64_t paddr, size, cmdline_paddr, reserved;
};
static_assert(sizeof(struct hvm_modlist_entry) == 32, "Xen ABI");
struct hvm_memmap_table_entry {
	uint64_t addr, size;
	uint32_t type, reserved;
};
static_assert(sizeof(struct hvm_memmap_table_entry) == 24, "Xen ABI");
#define HVM_START_MAGIC		 0x336ec578
#define XEN_ELFNOTE_PHYS32_ENTRY 18

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) | (uint32_t)get16(p + 2) << 16;
}

static uint64_t get64(const uint8_t *p)
{
	return get32(p) | (uint64_t)get32(p + 4) << 32;
}

static void put32(uint8_t *p, uint32_t v)
{
	memcpy(p, &v, sizeof(v));
}

static void put64(uint8_t *p, uint64_t v)
{
	memcpy(p, &v, sizeof(v));
}

static int file_size(int fd, const char *path, uint64_t *size, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_set(err, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_set(err, -EINVAL, "%s is not a file", path);
	*size = (uint64_t)st.st_size;
	return 0;
}

/* Reads [off, off + len) of fd. -ENODATA: the file is too short. */
static int read_at(int fd, void *buf, uint64_t len, uint64_t off)
{
	char *p = buf;

	while (len) {
		ssize_t n = pread(fd, p, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENODATA;
		p += n;
		off += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

static int read_error(const char *path, int code, struct error *err)
{
	return error_set(err, code, "reading %s: %s", path,
			 code == -ENODATA ? "it is cut off" : strerror(-code));
}

static int initrd_size(int fd, const char *path, uint64_t *size, struct error *err)
{
	int ret = file_size(fd, path, size, err);

	return ret == 0 && !*size ? error_set(err, -EINVAL, "%s is empty", path) : ret;
}

/* Reads [off, off + len) of fd directly into guest RAM. */
static int load_file(const struct linux_boot *b, int fd, const char *path, uint64_t off,
		     uint64_t len, uint64_t gpa, struct error *err)
{
	void *host = guest_mem_ptr(b->mem, GPA(gpa), len, 1);
	int ret;

	if (!host)
		return error_set(err, -ENOMEM,
				 "%s does not fit into guest memory at 0x%llx: use more --memory",
				 path, (unsigned long long)gpa);
	ret = read_at(fd, host, len, off);
	return ret < 0 ? read_error(path, ret, err) : 0;
}

/* The end of the RAM that starts at 1 MiB. */
static uint64_t low_end(const struct linux_boot *b)
{
	unsigned i;

	for (i = 0; i < b->map->n; i++) {
		const struct e820_entry *e = &b->map->e[i];

		if (e->type == E820_RAM && range_within(KERNEL_MIN, 1, e->base, e->size))
			return e->base + e->size; /* e820_add(): it does not wrap */
	}
	return 0;
}

/* Places the initrd at the end of low memory, or so that it ends at `max` if the kernel cannot
 * reach higher addresses. */
static int place_initrd(const struct linux_boot *b, uint64_t max, uint64_t *base, uint64_t *size,
			struct error *err)
{
	uint64_t end = low_end(b);
	int ret;

	*base = *size = 0;
	if (b->initrd_fd < 0)
		return 0;
	ret = initrd_size(b->initrd_fd, b->initrd_path, size, err);
	if (ret < 0)
		return ret;
	if (max < end - 1)
		end = max + 1;
	if (end < KERNEL_MIN || *size > end - KERNEL_MIN)
		return error_set(
			err, -ENOMEM,
			"%s (%llu bytes) does not fit into guest memory: use more --memory",
			b->initrd_path, (unsigned long long)*size);
	*base = align_down(end - *size, 4096);
	return 0;
}

static int put_cmdline(const struct linux_boot *b, uint64_t max, struct error *err)
{
	const char *s = b->cmdline ? b->cmdline : "";
	size_t len = strlen(s) + 1;

	if (len > CMDLINE_MAX || len - 1 > max)
		return error_set(err, -E2BIG, "--append is %zu bytes, %s takes %llu", len - 1,
				 b->kernel_path,
				 (unsigned long long)(max < CMDLINE_MAX ? max : CMDLINE_MAX - 1));
	return guest_mem_write(b->mem, GPA(CMDLINE_ADDR), s, len);
}

static int put_setup_data(const struct linux_boot *b, uint64_t *addr, struct error *err)
{
	struct setup_data d = { .type = SETUP_DTB, .len = (uint32_t)b->dtb_size };
	int ret;

	*addr = 0;
	if (!b->dtb)
		return 0;
	if (b->dtb_size > SETUP_DATA_END - SETUP_DATA_ADDR - sizeof(d))
		return error_set(err, -E2BIG, "the device tree is too large: it has %zu bytes",
				 b->dtb_size);
	ret = guest_mem_write(b->mem, GPA(SETUP_DATA_ADDR), &d, sizeof(d));
	if (ret == 0)
		ret = guest_mem_write(b->mem, GPA(SETUP_DATA_ADDR + sizeof(d)), b->dtb,
				      b->dtb_size);
	*addr = SETUP_DATA_ADDR;
	return ret;
}

/* The entries are null, unused, code and data: the boot protocol requires selectors 0x10 and
 * 0x18. */
static int put_gdt(const struct linux_boot *b, struct linux_boot_entry *e)
{
	uint64_t gdt[4] = { 0, 0, 0, 0x00cf93000000ffff };

	gdt[2] = e->long_mode ? 0x00af9b000000ffff : 0x00cf9b000000ffff;
	e->gdt_base = GDT_ADDR;
	e->gdt_limit = sizeof(gdt) - 1;
	return guest_mem_write(b->mem, GPA(GDT_ADDR), gdt, sizeof(gdt));
}

static int put_page_tables(const struct linux_boot *b, struct linux_boot_entry *e)
{
	uint64_t *t = guest_mem_ptr(b->mem, GPA(PAGE_TABLES), 6 * 4096, 4096);
	uint64_t i;

	if (!t)
		return -EFAULT;
	memset(t, 0, 2 * 4096);
	t[0] = (PAGE_TABLES + 4096) | PTE_PRESENT_RW;
	for (i = 0; i < 4; i++)
		t[512 + i] = (PAGE_TABLES + (2 + i) * 4096) | PTE_PRESENT_RW;
	for (i = 0; i < 4 * 512; i++)
		t[1024 + i] = i << 21 | PTE_PRESENT_RW | PDE_LARGE;
	e->cr3 = PAGE_TABLES;
	return 0;
}

static_assert(E820_MAX <= BP_E820_MAX, "boot protocol");

static void put_e820(const struct linux_boot *b, uint8_t *bp)
{
	memcpy(bp + BP_E820_TABLE, b->map->e, b->map->n * sizeof(b->map->e[0]));
	bp[BP_E820_ENTRIES] = (uint8_t)b->map->n;
}

/* The values from a setup header that the loader needs; they have been checked. */
struct bzimage {
	uint64_t file_size, payload_off, payload_size;
	uint64_t load, init_size, cmdline_max, initrd_max;
	unsigned header_end;
	bool long_mode;
};

static int bz_place(const struct linux_boot *b, const uint8_t *h, struct bzimage *z,
		    struct error *err)
{
	uint64_t end = low_end(b), align = get32(h + HDR_ALIGNMENT);
	bool relocatable = h[HDR_RELOCATABLE];

	z->load = get64(h + HDR_PREF_ADDRESS);
	z->init_size = get32(h + HDR_INIT_SIZE);
	if (get16(h + HDR_VERSION) < 0x20a) {
		z->load = KERNEL_MIN;
		z->init_size = z->payload_size;
	}
	if (z->init_size < z->payload_size)
		z->init_size = z->payload_size;
	if (z->load >= KERNEL_MIN && range_ok(z->load, z->init_size, end))
		return 0;
	z->load = is_pow2(align) && relocatable ? align_up(KERNEL_MIN, align) : 0;
	if (z->load >= KERNEL_MIN && range_ok(z->load, z->init_size, end))
		return 0;
	return error_set(err, -ENOMEM, "%s needs %llu MiB to unpack: use more --memory",
			 b->kernel_path, (unsigned long long)(z->init_size >> 20));
}

static uint64_t bz_payload_off(const uint8_t *h)
{
	return ((h[HDR_SETUP_SECTS] ? h[HDR_SETUP_SECTS] : 4) + 1ull) * 512;
}

/* Checks that the file is complete. The header has the length of the payload in paragraphs of 16
 * bytes; the last one may be shorter. A signature may follow and is ignored. Images that are not
 * Linux may leave the length 0. */
static int bz_complete(const struct linux_boot *b, const uint8_t *h, uint64_t size,
		       struct error *err)
{
	uint64_t off = bz_payload_off(h), want = off + get32(h + HDR_SYSSIZE) * 16ull;

	if (size > off && size + 15 >= want)
		return 0;
	return error_set(err, -ENOEXEC, "%s is cut off: %llu of %llu bytes", b->kernel_path,
			 (unsigned long long)size,
			 (unsigned long long)(want > off ? want : off + 1));
}

static int bz_parse(const struct linux_boot *b, const uint8_t *h, struct bzimage *z,
		    struct error *err)
{
	unsigned version = get16(h + HDR_VERSION);

	if (version < PROTOCOL_MIN || !(h[HDR_LOADFLAGS] & LOADED_HIGH))
		return error_set(err, -ENOEXEC, "%s: boot protocol %u.%02u is too old",
				 b->kernel_path, version >> 8, version & 0xff);
	if (bz_complete(b, h, z->file_size, err) < 0)
		return -ENOEXEC;
	z->payload_off = bz_payload_off(h);
	z->payload_size = z->file_size - z->payload_off;
	z->header_end = HDR_MAGIC + h[HDR_JUMP_LEN];
	if (z->header_end < HDR_CMDLINE_SIZE + 4 || z->header_end > HDR_END_MAX)
		return error_set(err, -ENOEXEC, "%s: its setup header ends at 0x%x", b->kernel_path,
				 z->header_end);
	z->cmdline_max = get32(h + HDR_CMDLINE_SIZE);
	z->initrd_max = get32(h + HDR_INITRD_MAX);
	z->long_mode = version >= PROTOCOL_64 && (get16(h + HDR_XLOADFLAGS) & XLF_KERNEL_64);
	return bz_place(b, h, z, err);
}

static int bz_boot_params(const struct linux_boot *b, const uint8_t *h, const struct bzimage *z,
			  struct error *err)
{
	uint8_t bp[BP_SIZE] = { 0 };
	uint64_t initrd, initrd_size, setup_data;
	int ret;

	memcpy(bp + HDR_START, h + HDR_START, z->header_end - HDR_START);
	ret = place_initrd(b, z->initrd_max, &initrd, &initrd_size, err);
	if (ret < 0)
		return ret;
	if (initrd_size && range_overlaps(initrd, initrd_size, z->load, z->init_size))
		return error_set(
			err, -ENOMEM,
			"%s and %s do not fit into guest memory together: use more --memory",
			b->kernel_path, b->initrd_path);
	ret = put_setup_data(b, &setup_data, err);
	if (ret < 0)
		return ret;
	bp[HDR_TYPE_LOADER] = LOADER_UNDEFINED;
	put32(bp + HDR_CODE32, (uint32_t)z->load);
	put32(bp + HDR_RAMDISK, (uint32_t)initrd);
	put32(bp + HDR_RAMDISK_SIZE, (uint32_t)initrd_size);
	put32(bp + HDR_CMDLINE, CMDLINE_ADDR);
	put64(bp + HDR_SETUP_DATA, setup_data);
	put64(bp + BP_ACPI_RSDP, b->rsdp);
	put_e820(b, bp);
	if (guest_mem_write(b->mem, GPA(BOOT_PARAMS), bp, sizeof(bp)) < 0)
		return error_set(err, -EFAULT, "%s: no room for boot_params", b->kernel_path);
	if (!initrd_size)
		return 0;
	return load_file(b, b->initrd_fd, b->initrd_path, 0, initrd_size, initrd, err);
}

static int bz_load(const struct linux_boot *b, const uint8_t *h, uint64_t size,
		   struct linux_boot_entry *e, struct error *err)
{
	struct bzimage z = { .file_size = size };
	int ret = bz_parse(b, h, &z, err);

	if (ret == 0)
		ret = put_cmdline(b, z.cmdline_max, err);
	if (ret == 0)
		ret = bz_boot_params(b, h, &z, err);
	if (ret == 0)
		ret = load_file(b, b->kernel_fd, b->kernel_path, z.payload_off, z.payload_size,
				z.load, err);
	if (ret < 0)
		return ret;
	*e = (struct linux_boot_entry){
		.long_mode = z.long_mode, .rip = z.load, .rsp = BOOT_STACK, .rsi = BOOT_PARAMS
	};
	if (put_gdt(b, e) < 0)
		return error_set(err, -EFAULT, "no memory at 0x%x", GDT_ADDR);
	if (!z.long_mode)
		return 0;
	e->rip = z.load + ENTRY64_OFFSET;
	return put_page_tables(b, e) < 0 ? error_set(err, -EFAULT, "no memory at 0x%x", PAGE_TABLES)
					 : 0;
}

/* The fields of a 32-bit or 64-bit ELF program header that loading needs. */
struct phdr {
	uint32_t type;
	uint64_t offset, paddr, filesz, memsz, align;
};

static int elf_phdr(const struct linux_boot *b, const uint8_t *h, unsigned i, struct phdr *p)
{
	union {
		Elf64_Phdr p64;
		Elf32_Phdr p32;
	} u;
	bool is64 = h[EI_CLASS] == ELFCLASS64;
	Elf64_Ehdr e64;
	Elf32_Ehdr e32;
	uint64_t off, at;
	int ret;

	memcpy(&e64, h, sizeof(e64));
	memcpy(&e32, h, sizeof(e32));
	off = is64 ? e64.e_phoff : e32.e_phoff;
	if (__builtin_add_overflow(off, i * (is64 ? sizeof(u.p64) : sizeof(u.p32)), &at) ||
	    at > INT64_MAX)
		return -ENOEXEC;
	ret = read_at(b->kernel_fd, &u, is64 ? sizeof(u.p64) : sizeof(u.p32), at);
	if (ret < 0)
		return ret;
	if (is64)
		*p = (struct phdr){ u.p64.p_type,   u.p64.p_offset, u.p64.p_paddr,
				    u.p64.p_filesz, u.p64.p_memsz,  u.p64.p_align };
	else
		*p = (struct phdr){ u.p32.p_type,   u.p32.p_offset, u.p32.p_paddr,
				    u.p32.p_filesz, u.p32.p_memsz,  u.p32.p_align };
	return 0;
}

/* A kernel has a few of each. A file with millions of notes would keep the start, and the main loop
 * at a reset, for seconds. */
#define ELF_PHDRS 128u
#define ELF_NOTES 1024u

/* Searches a PT_NOTE segment for the PVH entry point. *left: how many notes of the file may still
 * be read. 1: found. */
static int elf_find_note(const struct linux_boot *b, const struct phdr *p, unsigned *left,
			 uint64_t *entry)
{
	uint64_t align = p->align == 8 ? 8 : 4, off = 0;
	uint8_t n[12 + 16], *desc;

	for (; *left && range_ok(off, 12, p->filesz); --*left) {
		uint64_t namesz, descsz, next;

		if (!range_ok(p->offset, p->filesz, INT64_MAX) ||
		    read_at(b->kernel_fd, n, 12, p->offset + off) < 0)
			return 0;
		namesz = align_up(get32(n), align);
		descsz = align_up(get32(n + 4), align);
		next = off + 12 + namesz + descsz; /* each term is below 2^33 */
		if (get32(n + 8) == XEN_ELFNOTE_PHYS32_ENTRY && namesz <= 8 && descsz <= 8 &&
		    get32(n + 4) >= 4 && next <= p->filesz &&
		    read_at(b->kernel_fd, n + 12, namesz + descsz, p->offset + off + 12) == 0 &&
		    get32(n) == 4 && memcmp(n + 12, "Xen", 4) == 0) {
			desc = n + 12 + namesz;
			*entry = get32(desc);
			return 1;
		}
		off = next;
	}
	return 0;
}

static int elf_load_segment(const struct linux_boot *b, const struct phdr *p, struct error *err)
{
	void *host;

	if (p->memsz == 0)
		return 0;
	host = guest_mem_ptr(b->mem, GPA(p->paddr), p->memsz, 1);
	if (!host || p->filesz > p->memsz || !range_ok(p->offset, p->filesz, INT64_MAX))
		return error_set(
			err, -ENOEXEC, "%s: segment 0x%llx+0x%llx does not fit into guest memory",
			b->kernel_path, (unsigned long long)p->paddr, (unsigned long long)p->memsz);
	memset((char *)host + p->filesz, 0, p->memsz - p->filesz);
	return load_file(b, b->kernel_fd, b->kernel_path, p->offset, p->filesz, p->paddr, err);
}

static int elf_load(const struct linux_boot *b, const uint8_t *h, uint64_t *entry,
		    struct error *err)
{
	bool is64 = h[EI_CLASS] == ELFCLASS64, pvh = false;
	unsigned notes = ELF_NOTES, i,
		 n = get16(h +
			   (is64 ? offsetof(Elf64_Ehdr, e_phnum) : offsetof(Elf32_Ehdr, e_phnum)));
	struct phdr p;
	int ret = 0;

	if (n > ELF_PHDRS)
		return error_set(err, -ENOEXEC, "%s has %u program headers, which no kernel has",
				 b->kernel_path, n);
	for (i = 0; i < n && ret == 0; i++) {
		ret = elf_phdr(b, h, i, &p);
		if (ret < 0)
			return error_set(err, -ENOEXEC, "%s: program header %u cannot be read",
					 b->kernel_path, i);
		if (p.type == PT_LOAD)
			ret = elf_load_segment(b, &p, err);
		else if (p.type == PT_NOTE && !pvh)
			pvh = elf_find_note(b, &p, &notes, entry) == 1;
	}
	if (ret == 0 && !pvh)
		return error_set(
			err, -ENOEXEC,
			"%s is an ELF without a PVH entry point (CONFIG_PVH): use the bzImage",
			b->kernel_path);
	return ret;
}

static int pvh_put_memmap(const struct linux_boot *b, uint64_t at)
{
	unsigned i;
	int ret = 0;

	for (i = 0; i < b->map->n && ret == 0; i++) {
		const struct e820_entry *r = &b->map->e[i];
		struct hvm_memmap_table_entry e = { r->base, r->size, r->type, 0 };

		ret = guest_mem_write(b->mem, GPA(at + i * sizeof(e)), &e, sizeof(e));
	}
	return ret;
}

static int pvh_start_info(const struct linux_boot *b, struct error *err)
{
	struct hvm_start_info si = { .magic = HVM_START_MAGIC,
				     .version = 1,
				     .cmdline_paddr = CMDLINE_ADDR,
				     .rsdp_paddr = b->rsdp,
				     .memmap_paddr = PVH_TABLES + 64,
				     .memmap_entries = b->map->n };
	struct hvm_modlist_entry mod = { 0 };
	int ret;

	ret = place_initrd(b, UINT32_MAX, &mod.paddr, &mod.size, err);
	if (ret < 0)
		return ret;
	if (mod.size) {
		si.nr_modules = 1;
		si.modlist_paddr = PVH_TABLES;
		ret = load_file(b, b->initrd_fd, b->initrd_path, 0, mod.size, mod.paddr, err);
		if (ret < 0)
			return ret;
	}
	if (guest_mem_write(b->mem, GPA(PVH_TABLES), &mod, sizeof(mod)) < 0 ||
	    pvh_put_memmap(b, si.memmap_paddr) < 0 ||
	    guest_mem_write(b->mem, GPA(BOOT_PARAMS), &si, sizeof(si)) < 0)
		return error_set(err, -EFAULT, "no memory at 0x%x", BOOT_PARAMS);
	return 0;
}

static int pvh_load(const struct linux_boot *b, const uint8_t *h, struct linux_boot_entry *e,
		    struct error *err)
{
	uint64_t entry = 0;
	int ret = elf_load(b, h, &entry, err);

	if (ret == 0)
		ret = put_cmdline(b, CMDLINE_MAX, err);
	if (ret == 0)
		ret = pvh_start_info(b, err);
	if (ret < 0)
		return ret;
	*e = (struct linux_boot_entry){ .rip = entry, .rsp = BOOT_STACK, .rbx = BOOT_PARAMS };
	return put_gdt(b, e) < 0 ? error_set(err, -EFAULT, "no memory at 0x%x", GDT_ADDR) : 0;
}

#define HEAD_SIZE 0x290

/* Reads the first bytes of the kernel, which contain the header of either format. If the file is
 * shorter, the rest is zero. */
static int read_head(const struct linux_boot *b, uint8_t *h, uint64_t *size, struct error *err)
{
	int ret = file_size(b->kernel_fd, b->kernel_path, size, err);

	if (ret < 0)
		return ret;
	memset(h, 0, HEAD_SIZE);
	ret = read_at(b->kernel_fd, h, *size < HEAD_SIZE ? *size : HEAD_SIZE, 0);
	return ret < 0 ? read_error(b->kernel_path, ret, err) : 0;
}

static bool is_bzimage(const uint8_t *h)
{
	return get16(h + HDR_BOOT_FLAG) == BOOT_FLAG && memcmp(h + HDR_MAGIC, "HdrS", 4) == 0;
}

static bool is_elf(const uint8_t *h)
{
	return memcmp(h, ELFMAG, SELFMAG) == 0 && h[EI_DATA] == ELFDATA2LSB &&
	       (h[EI_CLASS] == ELFCLASS64 || h[EI_CLASS] == ELFCLASS32);
}

static int unknown_kernel(const struct linux_boot *b, struct error *err)
{
	return error_set(err, -ENOEXEC, "%s is neither a bzImage nor an ELF", b->kernel_path);
}

int linux_boot_initrd_range(const struct linux_boot *b, uint64_t *base, uint64_t *size,
			    struct error *err)
{
	uint8_t h[HEAD_SIZE];
	uint64_t file;
	int ret = read_head(b, h, &file, err);

	if (ret < 0)
		return ret;
	return place_initrd(b, is_bzimage(h) ? get32(h + HDR_INITRD_MAX) : UINT32_MAX, base, size,
			    err);
}

int linux_boot_check(int kernel, const char *kernel_path, int initrd, const char *initrd_path,
		     struct error *err)
{
	struct linux_boot b = { .kernel_path = kernel_path, .kernel_fd = kernel };
	uint8_t h[HEAD_SIZE];
	uint64_t size;
	int ret = read_head(&b, h, &size, err);

	if (ret == 0 && !is_bzimage(h) && !is_elf(h))
		ret = unknown_kernel(&b, err);
	if (ret == 0 && is_bzimage(h))
		ret = bz_complete(&b, h, size, err);
	return ret < 0 || initrd < 0 ? ret : initrd_size(initrd, initrd_path, &size, err);
}

int linux_boot_load(const struct linux_boot *b, struct linux_boot_entry *e, struct error *err)
{
	uint8_t h[HEAD_SIZE];
	uint64_t size;
	int ret = read_head(b, h, &size, err);

	if (ret < 0)
		return ret;
	if (low_end(b) == 0)
		return error_set(err, -ENOMEM, "no RAM at 1 MiB");
	if (is_bzimage(h))
		return bz_load(b, h, size, e, err);
	if (is_elf(h))
		return pvh_load(b, h, e, err);
	return unknown_kernel(b, err);
}
