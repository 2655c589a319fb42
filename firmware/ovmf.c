/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finding and opening OVMF.
 *
 * The image ends at 4 GiB: variables first, code after (split files), or one combined file whose
 * first volume are the variables. Either way two flash devices result: the code mapped privately
 * from the distribution's file, the variables as a shared mapping of the machine's own file. A
 * guest store into that mapping is in the page cache when the flash write returns, so an
 * acknowledged variable survives our being killed; ovmf_sync() adds the host's crash.
 *
 * A wrong image would hang without a word (release builds print nothing), so everything that can be
 * checked is checked here, with the package to install in the message.
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

#define IMAGE_MAX \
	(16 * MiB) /* 0xff000000 up: below it lie KVM's own pages, APICs above 0xfec00000 */

#define INSTALL_HINT                                                                              \
	"install it (Debian, Ubuntu: ovmf; Fedora, Arch: edk2-ovmf; openSUSE: qemu-ovmf-x86_64) " \
	"or name an image with --firmware"

/* The first pair that exists wins; builds without Secure Boot only, it needs SMM. */
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

/* ---- one file ---- */

/* Maps a whole file, privately. *open_fd: the caller's to close. */
static int map_image(const char *path, int *open_fd, uint8_t **data, size_t *len, struct error *err)
{
	int fd = *open_fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	void *p;

	if (fd < 0 || fstat(fd, &st))
		return error_set(err, -errno, "firmware %s cannot be read: %s", path,
				 strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || (uint64_t)st.st_size > IMAGE_MAX ||
	    st.st_size % PFLASH_BLOCK)
		return error_set(
			err, -EINVAL,
			"firmware %s: a flash image is a file of 4 KiB blocks, up to 16 MiB", path);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return error_set(err, -errno, "firmware %s cannot be mapped: %s", path,
				 strerror(errno));
	*data = p;
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
	return error_set(
		err, -ENOTSUP,
		"firmware %s is a Secure Boot build (%s), which needs system management mode; "
		"use the plain one",
		path, name);
}

/* ---- which files ---- */

/* In the file's name only; `to` is not longer than `from`. */
static void replace(char *path, const char *from, const char *to)
{
	char *name = strrchr(path, '/'), *at = strstr(name ? name : path, from);

	if (!at)
		return;
	memcpy(at, to, strlen(to));
	memmove(at + strlen(to), at + strlen(from), strlen(at + strlen(from)) + 1);
}

/* The template that goes with a CODE image by the distributions' naming. */
static bool pair_by_name(const char *code, char *vars)
{
	if (snprintf(vars, PATH_MAX, "%s", code) >= PATH_MAX)
		return false;
	replace(vars, "CODE", "VARS");
	replace(vars, "code", "vars");
	/* QEMU ships one variable store for both its x86 builds. */
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

/* A file whose first volume are the variables and that goes on behind them. The mapping is cut in
 * two; the front part serves as the template. */
static int split_combined(struct ovmf *o, uint64_t fv_len, uint8_t **tmpl, size_t *tmpl_len,
			  struct error *err)
{
	uint64_t rest;

	if (fv_len >= o->code_len)
		return error_set(err, -EINVAL,
				 "firmware %s is a variable store; --firmware wants the CODE image",
				 o->code_path);
	if (fv_len % PFLASH_BLOCK ||
	    fv_check(o->code + fv_len, o->code_len - fv_len, &rest) != FV_CODE)
		return explain_image(o->code_path, o->code, err);
	snprintf(o->vars_path, PATH_MAX, "%s", o->code_path);
	*tmpl = o->code;
	*tmpl_len = fv_len;
	o->code += fv_len;
	o->code_len -= fv_len;
	return 0;
}

static int open_template(struct ovmf *o, uint8_t **tmpl, size_t *len, struct error *err)
{
	uint64_t fv_len;
	int ret;

	*tmpl = NULL;
	*len = 0;
	if (!o->vars_path[0])
		return 0;
	ret = map_image(o->vars_path, &o->template_fd, tmpl, len, err);
	if (!ret && fv_check(*tmpl, *len, &fv_len) != FV_VARS)
		ret = explain_image(o->vars_path, *tmpl, err);
	return ret;
}

static int open_code(struct ovmf *o, uint8_t **tmpl, size_t *tmpl_len, struct error *err)
{
	uint64_t fv_len;
	int ret = map_image(o->code_path, &o->code_fd, &o->code, &o->code_len, err);

	if (ret)
		return ret;
	switch (fv_check(o->code, o->code_len, &fv_len)) {
	case FV_VARS:
		return split_combined(o, fv_len, tmpl, tmpl_len, err);
	case FV_CODE:
		return open_template(o, tmpl, tmpl_len, err);
	default:
		return explain_image(o->code_path, o->code, err);
	}
}

/* want: the template's size, 0 when there is none to compare with. */
static int map_vars(struct ovmf *o, const char *nvram, size_t want, struct error *err)
{
	const char *name = nvram ? nvram : o->vars_path;
	uint64_t fv_len;
	struct stat st;
	void *p;

	if (fstat(o->nvram_fd, &st))
		return error_set(err, -errno, "variable store %s: %s", name, strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size <= 0 || st.st_size % PFLASH_BLOCK ||
	    (want && (size_t)st.st_size != want) || (uint64_t)st.st_size > IMAGE_MAX - o->code_len)
		return error_set(
			err, -EINVAL,
			"variable store %s (%lld KiB) does not fit firmware %s, which wants %zu "
			"KiB; name another file with --nvram",
			name, (long long)st.st_size / 1024, o->code_path, want / 1024);
	p = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, o->nvram_fd, 0);
	if (p == MAP_FAILED)
		return error_set(
			err, -errno, "variable store %s: %s%s", name, strerror(errno),
			errno == EINVAL || errno == ENODEV
				? ": its file system has no shared mappings; keep it on a local one"
				: "");
	o->vars = p;
	o->vars_len = (size_t)st.st_size;
	if (fv_check(o->vars, o->vars_len, &fv_len) != FV_VARS)
		return error_set(
			err, -EINVAL,
			"variable store %s is damaged or something else; move it away and a new "
			"one is made",
			name);
	return 0;
}

static int open_vars(struct ovmf *o, const char *nvram, const uint8_t *tmpl, size_t tmpl_len,
		     struct error *err)
{
	if (!tmpl && (!nvram || access(nvram, F_OK)))
		return error_set(
			err, -ENOENT,
			"firmware %s: no variable store beside it (OVMF_VARS*.fd); copy one and "
			"name it with --nvram",
			o->code_path);
	o->nvram_fd = nvram_open(nvram, tmpl, tmpl_len, &o->created, err);
	return o->nvram_fd < 0 ? o->nvram_fd : map_vars(o, nvram, tmpl_len, err);
}

int ovmf_open(struct ovmf *o, const char *root, const char *firmware, const char *nvram,
	      struct error *err)
{
	uint8_t *tmpl = NULL;
	size_t tmpl_len = 0;
	int ret;

	memset(o, 0, sizeof(*o));
	o->nvram_fd = o->code_fd = o->template_fd = -1;
	ret = find(o, root ? root : "", firmware, err);
	if (!ret)
		ret = open_code(o, &tmpl, &tmpl_len, err);
	if (!ret)
		ret = open_vars(o, nvram, tmpl, tmpl_len, err);
	if (tmpl)
		munmap(tmpl, tmpl_len);
	if (ret) {
		ovmf_close(o);
		return ret;
	}
	/* Last: the variable store may be the template itself, whose lock for writing is taken. */
	infile_lock(o->code_fd);
	if (o->template_fd >= 0)
		infile_lock(o->template_fd);
	o->code_base = 4 * GiB - o->code_len;
	o->vars_base = o->code_base - o->vars_len;
	return 0;
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
	/* msync(MS_SYNC) on a shared file mapping includes the fdatasync. */
	return o->vars && msync(o->vars, o->vars_len, MS_SYNC) ? -errno : 0;
}

void ovmf_abandon(struct ovmf *o, const char *nvram)
{
	/* Ours alone: the lock is held. */
	if (o->created)
		unlink(nvram);
	o->created = false;
}

void ovmf_close(struct ovmf *o)
{
	if (o->mapped) {
		pflash_destroy(&o->flash[1]);
		pflash_destroy(&o->flash[0]);
		o->mapped = false;
	}
	if (o->vars) {
		ovmf_sync(o);
		munmap(o->vars, o->vars_len);
	}
	if (o->code)
		munmap(o->code, o->code_len);
	cleanup_close(&o->nvram_fd);
	cleanup_close(&o->code_fd);
	cleanup_close(&o->template_fd);
	o->code = NULL;
	o->vars = NULL;
	o->nvram_fd = o->code_fd = o->template_fd = -1;
}
