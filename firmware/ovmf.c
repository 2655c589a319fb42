/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finding and opening OVMF.
 *
 * Firmware ends at 4 GiB; the variables lie below the code. They are two files, or one combined
 * file whose first volume contains the variables. In both cases there are two flash devices, and
 * their contents are copies in memory. The files are not mapped, because SIGBUS would end the
 * process if somebody shortened them, or if the file system of the variables were full.
 *
 * Each byte that the guest writes to its variables is written to the machine's file with pwrite(2)
 * before the flash reports that the operation has finished. So a variable that the guest has stored
 * survives when minivmm is killed. If the write fails (no space, no quota), the guest sees an error
 * in the status of the flash, and the error is logged. ovmf_sync() protects against a crash of the
 * host; it runs when the machine ends.
 *
 * A wrong image would hang silently (release builds print nothing). So everything that can be
 * checked is checked here, and the message names the package to install.
 *
 * Threads: main loop.
 */
#include "firmware/ovmf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "firmware/nvram.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/infile.h"

#define IMAGE_MAX (16 * MiB) /* from 0xff000000 on; KVM's own pages lie directly below */

#define HUGE_PAGE (2 * MiB)

#define INSTALL_HINT                                                                              \
	"install it (Debian, Ubuntu: ovmf; Fedora, Arch: edk2-ovmf; openSUSE: qemu-ovmf-x86_64) " \
	"or name an image with --firmware"

/* The first pair that exists is used. There are no builds with Secure Boot here, because they need
 * SMM. */
static const struct {
	const char *code, *vars;
} known[] = {
	/* Debian, Ubuntu, Alpine */
	{ "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd" },
	{ "/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd" },
	/* Fedora, RHEL */
	{ "/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd" },
	/* Arch, before and after the rename; Gentoo */
	{ "/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd" },
	{ "/usr/share/edk2/x64/OVMF_CODE.fd", "/usr/share/edk2/x64/OVMF_VARS.fd" },
	{ "/usr/share/edk2-ovmf/x64/OVMF_CODE.fd", "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd" },
	{ "/usr/share/edk2-ovmf/OVMF_CODE.fd", "/usr/share/edk2-ovmf/OVMF_VARS.fd" },
	{ "/usr/share/edk2/OvmfX64/OVMF_CODE_4M.fd", "/usr/share/edk2/OvmfX64/OVMF_VARS_4M.fd" },
	{ "/usr/share/edk2/OvmfX64/OVMF_CODE.fd", "/usr/share/edk2/OvmfX64/OVMF_VARS.fd" },
	/* openSUSE */
	{ "/usr/share/qemu/ovmf-x86_64-4m-code.bin", "/usr/share/qemu/ovmf-x86_64-4m-vars.bin" },
	{ "/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin" },
	/* QEMU's own */
	{ "/usr/share/qemu/edk2-x86_64-code.fd", "/usr/share/qemu/edk2-i386-vars.fd" },
	/* NixOS */
	{ "/run/libvirt/nix-ovmf/OVMF_CODE.fd", "/run/libvirt/nix-ovmf/OVMF_VARS.fd" },
	/* combined */
	{ "/usr/share/ovmf/OVMF.fd", NULL },
	{ "/usr/share/edk2/x64/OVMF.4m.fd", NULL },
};

/* ---- memory ---- */

/* The end of the area is 4 GiB in the guest. Images of 2 and 4 MiB fill huge pages: then reading
 * them takes 0.3 ms; with small pages it takes 2 ms. */
static int area_open(struct ovmf *o, struct error *err)
{
	void *p = mmap(NULL, IMAGE_MAX + HUGE_PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return error_set(err, -errno, "no memory for the firmware: %s", strerror(errno));
	/* Variables may be secrets, so they must not be in a core dump. */
	(void)madvise(p, IMAGE_MAX + HUGE_PAGE, MADV_DONTDUMP);
	o->area = p;
	o->area_end = (uint8_t *)align_down((uintptr_t)p + IMAGE_MAX + HUGE_PAGE, HUGE_PAGE);
	return 0;
}

static void area_want_huge(struct ovmf *o, size_t len)
{
	size_t whole = len < IMAGE_MAX ? align_down(len, HUGE_PAGE) : 0;

	/* Errors are ignored: without huge pages it is only slower. */
	if (whole)
		(void)madvise(o->area_end - whole, whole, MADV_HUGEPAGE);
}

/* ---- one file ---- */

static int read_image(int fd, uint8_t *to, size_t len, const char *what, const char *path,
		      struct error *err)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, to + done, len - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return error_set(err, n < 0 ? -errno : -ENODATA, "%s %s cannot be read: %s",
					 what, path,
					 n < 0 ? strerror(errno) : "the file became shorter");
		done += (size_t)n;
	}
	return 0;
}

static int open_image(const char *path, int *fd, size_t *len, struct error *err)
{
	struct stat st;

	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (*fd < 0 || fstat(*fd, &st))
		return error_set(err, -errno, "firmware %s cannot be read: %s", path,
				 strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || (uint64_t)st.st_size > IMAGE_MAX ||
	    st.st_size % PFLASH_BLOCK)
		return error_set(err, -EINVAL,
				 "firmware %s must be a regular file whose size is a multiple of 4 "
				 "KiB and at most 16 MiB",
				 path);
	*len = (size_t)st.st_size;
	return 0;
}

static int explain_image(const char *path, const uint8_t *data, struct error *err)
{
	if (!memcmp(data, "QFI\xfb", 4))
		return error_set(
			err, -EINVAL,
			"firmware %s is a qcow2 file; convert it: qemu-img convert -O raw %s "
			"OVMF.fd",
			path, path);
	return error_set(err, -EINVAL, "firmware %s is not a UEFI firmware volume; %s", path,
			 INSTALL_HINT);
}

static int refuse_smm(const char *path, struct error *err)
{
	char real[PATH_MAX];
	const char *name = realpath(path, real) ? strrchr(real, '/') + 1 : path;

	if (!strstr(name, "secboot") && !strstr(name, "-smm") && !strstr(name, "-ms"))
		return 0;
	return error_set(err, -ENOTSUP,
			 "firmware %s is a Secure Boot build (%s), which needs system management "
			 "mode (SMM): use the build without Secure Boot",
			 path, name);
}

/* ---- which files ---- */

/* Replaces `from` in the last component of the path; `to` is not longer than `from`. */
static void replace(char *path, const char *from, const char *to)
{
	char *name = strrchr(path, '/'), *at = strstr(name ? name : path, from);

	if (!at)
		return;
	memcpy(at, to, strlen(to));
	memmove(at + strlen(to), at + strlen(from), strlen(at + strlen(from)) + 1);
}

/* Finds the template for a CODE image by the names that distributions use. */
static bool pair_by_name(const char *code, char *vars)
{
	if (snprintf(vars, PATH_MAX, "%s", code) >= PATH_MAX)
		return false;
	replace(vars, "CODE", "VARS");
	replace(vars, "code", "vars");
	/* QEMU has one variable store for its two x86 builds. */
	replace(vars, "edk2-x86_64-vars", "edk2-i386-vars");
	return strcmp(vars, code) && access(vars, R_OK) == 0;
}

static bool below(char *out, const char *root, const char *path)
{
	return snprintf(out, PATH_MAX, "%s%s", root, path) < PATH_MAX && access(out, R_OK) == 0;
}

static int find_known(struct ovmf *o, const char *root, struct error *err)
{
	for (unsigned i = 0; i < ARRAY_SIZE(known); i++) {
		if (!below(o->code_path, root, known[i].code))
			continue;
		if (!known[i].vars || below(o->vars_path, root, known[i].vars))
			return 0;
	}
	return error_set(err, -ENOENT, "no UEFI firmware was found; %s", INSTALL_HINT);
}

static int find(struct ovmf *o, const char *root, const char *firmware, struct error *err)
{
	o->vars_path[0] = 0;
	if (!firmware)
		return find_known(o, root, err);
	if (snprintf(o->code_path, PATH_MAX, "%s", firmware) >= PATH_MAX)
		return error_set(err, -ENAMETOOLONG, "--firmware: the path is too long");
	if (!pair_by_name(firmware, o->vars_path))
		o->vars_path[0] = 0;
	return refuse_smm(firmware, err);
}

/* ---- opening ---- */

/* Splits a combined file, whose first volume contains the variables and is followed by the code.
 * Both are already at the right place in memory. */
static int split_combined(struct ovmf *o, uint64_t fv_len, struct error *err)
{
	uint64_t rest;

	if (fv_len >= o->code_len)
		return error_set(err, -EINVAL,
				 "firmware %s is a variable store: --firmware needs the CODE image",
				 o->code_path);
	if (fv_len % PFLASH_BLOCK ||
	    fv_check(o->code + fv_len, o->code_len - fv_len, &rest) != FV_CODE)
		return explain_image(o->code_path, o->code, err);
	snprintf(o->vars_path, PATH_MAX, "%s", o->code_path);
	o->vars = o->code;
	o->vars_len = fv_len;
	o->code += fv_len;
	o->code_len -= fv_len;
	return 0;
}

static int refuse_size(const struct ovmf *o, const char *path, size_t len, struct error *err)
{
	return error_set(err, -EINVAL,
			 "variable store %s (%zu KiB) does not match firmware %s, which needs %zu "
			 "KiB: name another file with --nvram",
			 path, len / 1024, o->code_path, o->vars_len / 1024);
}

/* Reads the template. It becomes the variables, unless the machine has a variable store. */
static int read_template(struct ovmf *o, size_t len, struct error *err)
{
	uint64_t fv_len;
	int ret;

	if (!len)
		return 0;
	if (len > IMAGE_MAX - o->code_len)
		return refuse_size(o, o->vars_path, len, err);
	o->vars = o->code - len;
	o->vars_len = len;
	ret = read_image(o->template_fd, o->vars, len, "firmware", o->vars_path, err);
	if (!ret && fv_check(o->vars, len, &fv_len) != FV_VARS)
		ret = explain_image(o->vars_path, o->vars, err);
	return ret;
}

static int read_code(struct ovmf *o, size_t template_len, struct error *err)
{
	uint64_t fv_len;
	int ret;

	o->code = o->area_end - o->code_len;
	ret = read_image(o->code_fd, o->code, o->code_len, "firmware", o->code_path, err);
	if (ret)
		return ret;
	switch (fv_check(o->code, o->code_len, &fv_len)) {
	case FV_VARS:
		return split_combined(o, fv_len, err);
	case FV_CODE:
		return read_template(o, template_len, err);
	default:
		return explain_image(o->code_path, o->code, err);
	}
}

static int open_images(struct ovmf *o, struct error *err)
{
	size_t template_len = 0;
	int ret = area_open(o, err);

	if (!ret)
		ret = open_image(o->code_path, &o->code_fd, &o->code_len, err);
	if (!ret && o->vars_path[0])
		ret = open_image(o->vars_path, &o->template_fd, &template_len, err);
	if (ret)
		return ret;
	area_want_huge(o, o->code_len + template_len);
	return read_code(o, template_len, err);
}

/* Files that people take for a variable store. 0: it is none of them. */
static int explain_store(const struct ovmf *o, const char *path, struct error *err)
{
	uint8_t head[512] = { 0 };
	ssize_t n = pread(o->nvram_fd, head, sizeof(head), 0);

	if (n > 0 && fv_head(head, (size_t)n) == FV_CODE)
		return error_set(
			err, -EINVAL,
			"variable store %s is a firmware code volume (for --firmware), not "
			"a variable store: name a copy of OVMF_VARS*.fd, or a new file, "
			"with --nvram",
			path);
	if (memcmp(head, "QFI\xfb", 4) == 0)
		return error_set(err, -EINVAL,
				 "variable store %s is a qcow2 file; convert it: qemu-img convert "
				 "-O raw %s vars.fd",
				 path, path);
	return 0;
}

/* Reads the machine's variable store; it replaces the template. */
static int read_vars(struct ovmf *o, struct error *err)
{
	const char *path = o->nvram_path;
	uint64_t fv_len;
	struct stat st;
	size_t len;
	int ret;

	if (fstat(o->nvram_fd, &st))
		return error_set(err, -errno, "variable store %s: %s", path, strerror(errno));
	len = (size_t)st.st_size;
	if (S_ISREG(st.st_mode) && explain_store(o, path, err) < 0)
		return err->code;
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || len % PFLASH_BLOCK ||
	    (o->vars && len != o->vars_len) || len > IMAGE_MAX - o->code_len)
		return refuse_size(o, path, len, err);
	o->vars = o->code - len;
	o->vars_len = len;
	ret = read_image(o->nvram_fd, o->vars, len, "variable store", path, err);
	if (!ret && fv_check(o->vars, len, &fv_len) != FV_VARS)
		ret = error_set(err, -EINVAL,
				"variable store %s is damaged or not a variable store: move it "
				"away, and minivmm makes a new one",
				path);
	return ret;
}

static int open_vars(struct ovmf *o, const char *nvram, struct error *err)
{
	if (!o->vars && (!nvram || access(nvram, F_OK)))
		return error_set(err, -ENOENT,
				 "firmware %s: there is no variable store beside it "
				 "(OVMF_VARS*.fd): copy one and name it with --nvram",
				 o->code_path);
	if (!nvram)
		return 0;
	if (snprintf(o->nvram_path, PATH_MAX, "%s", nvram) >= PATH_MAX)
		return error_set(err, -ENAMETOOLONG, "--nvram: the path is too long");
	o->nvram_fd = nvram_open(nvram, o->vars, o->vars_len, &o->created, err);
	if (o->nvram_fd < 0)
		return o->nvram_fd;
	return o->created ? 0 : read_vars(o, err);
}

int ovmf_open(struct ovmf *o, const char *root, const char *firmware, const char *nvram,
	      struct error *err)
{
	int ret;

	memset(o, 0, sizeof(*o));
	o->nvram_fd = o->code_fd = o->template_fd = -1;
	ret = find(o, root ? root : "", firmware, err);
	if (!ret)
		ret = open_images(o, err);
	if (!ret)
		ret = open_vars(o, nvram, err);
	if (ret) {
		ovmf_close(o);
		return ret;
	}
	/* These locks come last: the variable store may be the template itself, and the lock for
	 * writing must be taken first. */
	if (!infile_lock(o->code_fd)) {
		error_set(err, -EBUSY,
			  "firmware %s: this machine or another may write to it: give a copy, or "
			  "add ,ro to the disk that it is",
			  o->code_path);
		ovmf_abandon(o);
		ovmf_close(o);
		return err->code;
	}
	if (o->template_fd >= 0)
		infile_lock(o->template_fd);
	o->code_base = 4 * GiB - o->code_len;
	o->vars_base = o->code_base - o->vars_len;
	return 0;
}

static int pwrite_all(int fd, const uint8_t *data, size_t len, uint64_t off)
{
	while (len) {
		ssize_t n = pwrite(fd, data, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		data += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static int store_vars(void *opaque, uint64_t off, const void *data, size_t len)
{
	struct ovmf *o = opaque;
	int ret = pwrite_all(o->nvram_fd, data, len, off);

	o->written = true;
	if (ret < 0)
		log_guest(
			&o->limit,
			"variable store %s cannot be written: %s; the guest's change will be lost",
			o->nvram_path, strerror(-ret));
	return ret;
}

int ovmf_map(struct ovmf *o, struct bus *mmio, struct guest_mem *mem, struct error *err)
{
	int ret = pflash_init(&o->flash[0], "nvram", mmio, mem, o->vars_base, o->vars, o->vars_len,
			      false);

	if (ret)
		return error_set(err, ret, "the firmware's variables do not fit at %#llx: %s",
				 (unsigned long long)o->vars_base, strerror(-ret));
	ret = pflash_init(&o->flash[1], "firmware", mmio, mem, o->code_base, o->code, o->code_len,
			  true);
	if (ret) {
		pflash_destroy(&o->flash[0]);
		return error_set(err, ret, "the firmware does not fit at %#llx: %s",
				 (unsigned long long)o->code_base, strerror(-ret));
	}
	if (o->nvram_fd >= 0)
		pflash_set_store(&o->flash[0], store_vars, o);
	o->mapped = true;
	return 0;
}

void ovmf_reset(struct ovmf *o)
{
	for (unsigned i = 0; o->mapped && i < ARRAY_SIZE(o->flash); i++)
		pflash_reset(&o->flash[i]);
}

int ovmf_sync(struct ovmf *o)
{
	struct stat st;
	int ret = 0;

	if (o->nvram_fd < 0 || !o->written)
		return 0;
	/* Somebody has shortened the file, and later writes left a hole. Write all of it again. */
	if (fstat(o->nvram_fd, &st) == 0 && st.st_size != (off_t)o->vars_len)
		ret = pwrite_all(o->nvram_fd, o->vars, o->vars_len, 0);
	return ret < 0 ? ret : fdatasync(o->nvram_fd) < 0 ? -errno : 0;
}

void ovmf_abandon(struct ovmf *o)
{
	/* We hold the lock, so no other machine uses the file. */
	if (o->created)
		unlink(o->nvram_path);
	o->created = false;
}

static void sync_last(struct ovmf *o)
{
	int ret = ovmf_sync(o);

	if (ret < 0)
		log_error("variable store %s: %s; the guest's last changes may be lost",
			  o->nvram_path, strerror(-ret));
}

void ovmf_close(struct ovmf *o)
{
	if (o->mapped) {
		pflash_destroy(&o->flash[1]);
		pflash_destroy(&o->flash[0]);
		o->mapped = false;
	}
	sync_last(o);
	if (o->area)
		munmap(o->area, IMAGE_MAX + HUGE_PAGE);
	cleanup_close(&o->nvram_fd);
	cleanup_close(&o->code_fd);
	cleanup_close(&o->template_fd);
	o->area = o->code = o->vars = NULL;
	o->nvram_fd = o->code_fd = o->template_fd = -1;
}
