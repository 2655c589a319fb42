/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "firmware/nvram.h"
#include "firmware/ovmf.h"
#include "vmm/core/mem.h"
#include "vmm/core/outfile.h"

struct fixture {
	char dir[64];
	struct bus *mmio;
	struct guest_mem *mem;
	struct ovmf *o;
	struct error err;
};

static const char *in(struct fixture *f, const char *name)
{
	static char path[4][256];
	static unsigned turn;
	char *p = path[turn++ & 3];

	snprintf(p, sizeof(path[0]), "%s%s", f->dir, name);
	return p;
}

/* A volume of len bytes (nv: with variables) at the start of a file of file_len. */
static void volume(uint8_t *p, uint64_t len, int nv)
{
	static const uint8_t nv_guid[16] = { 0x8d, 0x2b, 0xf1, 0xff, 0x96, 0x76, 0x8b, 0x4c,
					     0xa9, 0x85, 0x27, 0x47, 0x07, 0x5b, 0x4f, 0x50 };
	uint16_t sum = 0;

	if (nv)
		memcpy(p + 16, nv_guid, 16);
	else
		p[16] = 0x78;
	memcpy(p + 32, &len, 8);
	memcpy(p + 40, "_FVH", 4);
	p[48] = 72;
	for (unsigned i = 0; i < 72; i += 2)
		sum = (uint16_t)(sum + p[i] + (p[i + 1] << 8));
	sum = (uint16_t)-sum;
	memcpy(p + 50, &sum, 2);
}

static void put(const char *path, const uint8_t *p, size_t len)
{
	FILE *fp = fopen(path, "w");

	assert_non_null(fp);
	assert_int_equal(fwrite(p, 1, len, fp), len);
	fclose(fp);
}

static void put_code(const char *path, size_t len)
{
	uint8_t *p = calloc(1, len);

	volume(p, len / 2, 0);
	p[len - 16] = 0xea;
	put(path, p, len);
	free(p);
}

static void put_vars(const char *path, size_t len)
{
	uint8_t *p = calloc(1, len);

	volume(p, len, 1);
	put(path, p, len);
	free(p);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/minivmm-ovmf-XXXXXX");
	f->o = calloc(1, sizeof(*f->o));
	*state = f;
	if (!mkdtemp(f->dir))
		return -1;
	mkdir(in(f, "/usr"), 0755);
	mkdir(in(f, "/usr/share"), 0755);
	return mkdir(in(f, "/usr/share/OVMF"), 0755);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", f->dir);
	free(f->o);
	if (system(cmd))
		return -1;
	free(f);
	return 0;
}

static int open_it(struct fixture *f, const char *fw, const char *nvram)
{
	f->err.text[0] = 0;
	return ovmf_open(f->o, f->dir, fw, nvram, &f->err);
}

static void test_search(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(open_it(f, NULL, NULL), -ENOENT);
	assert_non_null(strstr(f->err.text, "edk2-ovmf"));
	put_code(in(f, "/usr/share/OVMF/OVMF_CODE.fd"), 0x20000);
	assert_int_equal(open_it(f, NULL, NULL), -ENOENT); /* half a pair is not used */
	put_vars(in(f, "/usr/share/OVMF/OVMF_VARS.fd"), 0x4000);
	assert_int_equal(open_it(f, NULL, NULL), 0);
	assert_int_equal(f->o->code_base, 4 * GiB - 0x20000);
	assert_int_equal(f->o->vars_base, 4 * GiB - 0x24000);
	ovmf_close(f->o);
	put_code(in(f, "/usr/share/OVMF/OVMF_CODE_4M.fd"), 0x40000);
	put_vars(in(f, "/usr/share/OVMF/OVMF_VARS_4M.fd"), 0x8000);
	assert_int_equal(open_it(f, NULL, NULL), 0);
	assert_int_equal(f->o->code_len, 0x40000); /* the 4M pair is preferred */
	ovmf_close(f->o);
}

static void test_named_and_paired(void **state)
{
	struct fixture *f = *state;

	put_code(in(f, "/ovmf-x86_64-4m-code.bin"), 0x10000);
	assert_int_equal(open_it(f, in(f, "/ovmf-x86_64-4m-code.bin"), NULL), -ENOENT);
	assert_non_null(strstr(f->err.text, "--nvram"));
	put_vars(in(f, "/ovmf-x86_64-4m-vars.bin"), 0x4000);
	assert_int_equal(open_it(f, in(f, "/ovmf-x86_64-4m-code.bin"), NULL), 0);
	ovmf_close(f->o);
	put_code(in(f, "/edk2-x86_64-code.fd"), 0x10000);
	put_vars(in(f, "/edk2-i386-vars.fd"), 0x4000);
	assert_int_equal(open_it(f, in(f, "/edk2-x86_64-code.fd"), NULL), 0);
	assert_non_null(strstr(f->o->vars_path, "i386-vars"));
	ovmf_close(f->o);
	/* An existing variable store needs no template. */
	put_code(in(f, "/my.fd"), 0x10000);
	put_vars(in(f, "/own"), 0x4000);
	assert_int_equal(open_it(f, in(f, "/my.fd"), in(f, "/own")), 0);
	ovmf_close(f->o);
}

static void test_combined(void **state)
{
	struct fixture *f = *state;
	uint8_t *p = calloc(1, 0x20000);

	volume(p, 0x4000, 1);
	volume(p + 0x4000, 0x10000, 0);
	p[0x4000 + 100] = 0x77;
	put(in(f, "/OVMF.fd"), p, 0x20000);
	free(p);
	assert_int_equal(open_it(f, in(f, "/OVMF.fd"), in(f, "/nv")), 0);
	assert_int_equal(f->o->code_len, 0x1c000);
	assert_int_equal(f->o->vars_len, 0x4000);
	assert_int_equal(f->o->code[100], 0x77);
	ovmf_close(f->o);
}

static void test_refused(void **state)
{
	struct fixture *f = *state;
	uint8_t qcow[4096] = "QFI\xfb";
	uint8_t bad[4096] = { 0 };

	put(in(f, "/q_CODE.fd"), qcow, sizeof(qcow));
	assert_int_equal(open_it(f, in(f, "/q_CODE.fd"), NULL), -EINVAL);
	assert_non_null(strstr(f->err.text, "qemu-img convert"));
	put(in(f, "/odd"), bad, 100);
	assert_int_equal(open_it(f, in(f, "/odd"), NULL), -EINVAL);
	volume(bad, 4096, 0);
	bad[60]++; /* the checksum is wrong now */
	put(in(f, "/sum"), bad, 4096);
	assert_int_equal(open_it(f, in(f, "/sum"), NULL), -EINVAL);
	assert_int_equal(open_it(f, in(f, "/missing"), NULL), -ENOENT);
	put_vars(in(f, "/v"), 0x4000);
	assert_int_equal(open_it(f, in(f, "/v"), NULL), -EINVAL);
	assert_non_null(strstr(f->err.text, "variable store"));
	put_code(in(f, "/OVMF_CODE_4M.secboot.fd"), 0x10000);
	assert_int_equal(symlink("OVMF_CODE_4M.secboot.fd", in(f, "/OVMF_CODE_4M.ms.fd")), 0);
	assert_int_equal(open_it(f, in(f, "/OVMF_CODE_4M.ms.fd"), NULL), -ENOTSUP);
	assert_non_null(strstr(f->err.text, "system management mode"));
}

static void pair(struct fixture *f)
{
	put_code(in(f, "/usr/share/OVMF/OVMF_CODE_4M.fd"), 0x40000);
	put_vars(in(f, "/usr/share/OVMF/OVMF_VARS_4M.fd"), 0x8000);
}

static void map_it(struct fixture *f)
{
	f->mmio = bus_new(1ull << 52);
	f->mem = guest_mem_new();
	assert_int_equal(ovmf_map(f->o, f->mmio, f->mem, &f->err), 0);
}

static void unmap_it(struct fixture *f)
{
	ovmf_close(f->o);
	guest_mem_free(f->mem);
	bus_free(f->mmio);
}

static void wr(struct fixture *f, uint64_t off, unsigned b)
{
	bus_write(f->mmio, f->o->vars_base + off, 1, b);
}

static void program(struct fixture *f, uint64_t off, unsigned b)
{
	wr(f, off, 0x10);
	wr(f, off, b);
}

static void erase(struct fixture *f, uint64_t off)
{
	wr(f, off, 0x20);
	wr(f, off, 0xd0);
}

/* Reads the status register and clears it. */
static unsigned status(struct fixture *f)
{
	unsigned s;

	wr(f, 0, 0x70);
	s = (unsigned)bus_read(f->mmio, f->o->vars_base, 1);
	wr(f, 0, 0x50);
	return s;
}

static uint8_t in_file(const char *path, long off)
{
	FILE *fp = fopen(path, "r");
	int c;

	assert_non_null(fp);
	assert_int_equal(fseek(fp, off, SEEK_SET), 0);
	c = fgetc(fp);
	fclose(fp);
	return (uint8_t)c;
}

static void test_nvram_lasts(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	pair(f);
	assert_int_equal(open_it(f, NULL, in(f, "/nv")), 0);
	assert_int_equal(stat(in(f, "/nv"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_size, 0x8000);
	map_it(f);
	program(f, 0x1000, 0x42);
	assert_int_equal(ovmf_sync(f->o), 0);
	unmap_it(f);
	assert_int_equal(open_it(f, NULL, in(f, "/nv")), 0);
	assert_int_equal(f->o->vars[0x1000], 0x42);
	ovmf_close(f->o);
	/* The template must not have changed. */
	assert_int_equal(open_it(f, NULL, NULL), 0);
	assert_int_equal(f->o->vars[0x1000], 0);
	ovmf_close(f->o);
}

/* If the process is killed, everything that the guest wrote is in the file. */
static void test_nvram_survives_kill(void **state)
{
	struct fixture *f = *state;
	pid_t pid;
	int status;

	pair(f);
	pid = fork();
	if (pid == 0) {
		struct bus *mmio = bus_new(1ull << 52);
		struct guest_mem *mem = guest_mem_new();

		if (open_it(f, NULL, in(f, "/nv")) || ovmf_map(f->o, mmio, mem, NULL))
			_exit(1);
		bus_write(mmio, f->o->vars_base + 0x2000, 1, 0x10);
		bus_write(mmio, f->o->vars_base + 0x2000, 1, 0x5a);
		raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(open_it(f, NULL, in(f, "/nv")), 0);
	assert_int_equal(f->o->vars[0x2000], 0x5a);
	ovmf_close(f->o);
}

/* Reads of the array show the contents of the file, also after a failed write. */
static void test_nvram_cannot_be_written(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, low;

	pair(f);
	assert_int_equal(open_it(f, NULL, in(f, "/nv")), 0);
	map_it(f);
	program(f, 0x2000, 0x11);
	assert_int_equal(status(f), 0x80);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	low = (struct rlimit){ 0x1000, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
	program(f, 0x2000, 0x01);
	assert_int_equal(status(f), 0x90);
	erase(f, 0x2345);
	assert_int_equal(status(f), 0xa0);
	program(f, 0x800, 0x33);
	assert_int_equal(status(f), 0x80);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(f->o->vars[0x2000], 0x11);
	assert_int_equal(in_file(in(f, "/nv"), 0x2000), 0x11);
	assert_int_equal(in_file(in(f, "/nv"), 0x800), 0x33);
	erase(f, 0x2345);
	assert_int_equal(status(f), 0x80);
	assert_int_equal(in_file(in(f, "/nv"), 0x2fff), 0xff);
	unmap_it(f);
}

/* The file system has no space for a hole in the store: the guest sees the error. */
static void test_nvram_full(void **state)
{
	struct fixture *f = *state;
	char disk[80], nv[100], filler[100], line[400];
	unsigned off, errors = 0;

	snprintf(disk, sizeof(disk), "%s/full", f->dir);
	snprintf(nv, sizeof(nv), "%s/nv", disk);
	snprintf(filler, sizeof(filler), "%s/filler", disk);
	pair(f);
	mkdir(disk, 0700);
	if (mount("none", disk, "tmpfs", 0, "size=256k")) {
		print_message("cannot mount a small tmpfs: %s\n", strerror(errno));
		skip();
	}
	put_vars(nv, 0x8000);
	snprintf(line, sizeof(line),
		 "fallocate -p -o 16384 -l 16384 %s && ! head -c 1M /dev/zero 2>&1 >%s | "
		 "grep -qv 'No space'",
		 nv, filler);
	assert_int_equal(system(line), 0);
	assert_int_equal(open_it(f, NULL, nv), 0);
	map_it(f);
	for (off = 0; off < 0x8000; off += 4096) {
		erase(f, off);
		errors += status(f) == 0xa0;
	}
	assert_int_equal(errors, 4);
	assert_int_equal(f->o->vars[0x1000], 0xff);
	assert_int_equal(f->o->vars[0x4000], 0);
	unmap_it(f);
	assert_int_equal(umount(disk), 0);
}

/* Somebody shortens the files of a running machine. */
static void test_truncated(void **state)
{
	struct fixture *f = *state;
	const char *nv = in(f, "/nv");
	uint64_t sum = 0;
	size_t i;

	pair(f);
	assert_int_equal(open_it(f, NULL, nv), 0);
	map_it(f);
	assert_int_equal(truncate(f->o->code_path, 0), 0);
	assert_int_equal(truncate(nv, 0), 0);
	for (i = 0; i < f->o->code_len; i++)
		sum += f->o->code[i];
	assert_true(sum > 0);
	for (i = 0; i < f->o->vars_len; i++)
		sum += f->o->vars[i];
	program(f, 0x5000, 0x77);
	assert_int_equal(status(f), 0x80);
	unmap_it(f);
	/* The store is complete again. */
	put_code(in(f, "/usr/share/OVMF/OVMF_CODE_4M.fd"), 0x40000);
	assert_int_equal(open_it(f, NULL, nv), 0);
	assert_int_equal(f->o->vars[0x5000], 0x77);
	ovmf_close(f->o);
}

static void test_nvram_locked(void **state)
{
	struct fixture *f = *state;
	struct ovmf *two = calloc(1, sizeof(*two));

	pair(f);
	assert_int_equal(open_it(f, NULL, in(f, "/nv")), 0);
	assert_int_equal(ovmf_open(two, f->dir, NULL, in(f, "/nv"), &f->err), -EBUSY);
	assert_non_null(strstr(f->err.text, "in use"));
	ovmf_close(f->o);
	assert_int_equal(ovmf_open(two, f->dir, NULL, in(f, "/nv"), &f->err), 0);
	ovmf_close(two);
	free(two);
}

static void is_kept(struct fixture *f, const char *path)
{
	assert_int_equal(outfile_open(path, true, &f->err), -EBUSY);
}

/* The files of a machine cannot be used for output; the template may be the store itself. */
static void test_files_are_kept(void **state)
{
	struct fixture *f = *state;
	int fd;

	pair(f);
	assert_int_equal(open_it(f, NULL, in(f, "/nv")), 0);
	is_kept(f, f->o->code_path);
	is_kept(f, f->o->vars_path);
	is_kept(f, in(f, "/nv"));
	ovmf_close(f->o);
	assert_int_equal(open_it(f, NULL, in(f, "/usr/share/OVMF/OVMF_VARS_4M.fd")), 0);
	is_kept(f, in(f, "/usr/share/OVMF/OVMF_VARS_4M.fd"));
	ovmf_close(f->o);
	fd = outfile_open(in(f, "/nv"), false, &f->err);
	assert_true(fd >= 0);
	close(fd);
}

/* A machine that does not start keeps variable stores that existed before, and leaves no new one.
 */
static void test_nvram_abandoned(void **state)
{
	struct fixture *f = *state;

	pair(f);
	assert_int_equal(open_it(f, NULL, in(f, "/nv")), 0);
	ovmf_abandon(f->o);
	ovmf_close(f->o);
	assert_int_equal(access(in(f, "/nv"), F_OK), -1);
	assert_int_equal(open_it(f, NULL, in(f, "/nv")), 0);
	ovmf_close(f->o);
	assert_int_equal(open_it(f, NULL, in(f, "/nv")), 0);
	ovmf_abandon(f->o);
	ovmf_close(f->o);
	assert_int_equal(access(in(f, "/nv"), F_OK), 0);
}

static void test_nvram_refused(void **state)
{
	struct fixture *f = *state;
	uint8_t ones[0x8000];

	pair(f);
	put_vars(in(f, "/small"), 0x4000);
	assert_int_equal(open_it(f, NULL, in(f, "/small")), -EINVAL);
	assert_non_null(strstr(f->err.text, "needs 32 KiB"));
	memset(ones, 0xff, sizeof(ones));
	put(in(f, "/ones"), ones, sizeof(ones));
	assert_int_equal(open_it(f, NULL, in(f, "/ones")), -EINVAL);
	assert_non_null(strstr(f->err.text, "damaged"));
	/* The code, of whatever size, and another format. */
	put_code(in(f, "/code"), 0x8000);
	assert_int_equal(open_it(f, NULL, in(f, "/code")), -EINVAL);
	assert_non_null(strstr(f->err.text, "is a firmware code volume"));
	put_code(in(f, "/large"), 0x10000);
	assert_int_equal(open_it(f, NULL, in(f, "/large")), -EINVAL);
	assert_non_null(strstr(f->err.text, "is a firmware code volume"));
	put(in(f, "/qcow2"), (const uint8_t *)"QFI\xfb", 4);
	assert_int_equal(open_it(f, NULL, in(f, "/qcow2")), -EINVAL);
	assert_non_null(strstr(f->err.text, "qemu-img convert"));
	assert_int_equal(open_it(f, NULL, in(f, "/no/such/dir/nv")), -ENOENT);
	assert_int_equal(open_it(f, NULL, f->dir), -EISDIR);
}

static void test_map(void **state)
{
	struct fixture *f = *state;
	struct bus *mmio = bus_new(1ull << 52);
	struct guest_mem *mem = guest_mem_new();
	uint8_t b = 0;

	pair(f);
	assert_int_equal(open_it(f, NULL, NULL), 0);
	assert_int_equal(ovmf_map(f->o, mmio, mem, &f->err), 0);
	assert_int_equal(guest_mem_read(mem, GPA(0xfffffff0), &b, 1), 0);
	assert_int_equal(b, 0xea);
	bus_write(mmio, f->o->vars_base, 1, 0x70);
	assert_int_equal(guest_mem_read(mem, GPA(f->o->vars_base), &b, 1), -EFAULT);
	ovmf_reset(f->o);
	assert_int_equal(guest_mem_read(mem, GPA(f->o->vars_base), &b, 1), 0);
	ovmf_close(f->o);
	guest_mem_free(mem);
	bus_free(mmio);
}

/* The images of the distribution, if they are installed. */
static void test_installed(void **state)
{
	struct fixture *f = *state;

	if (ovmf_open(f->o, "", NULL, NULL, &f->err)) {
		print_message("no OVMF installed: %s\n", f->err.text);
		skip();
	}
	assert_int_equal(f->o->code[f->o->code_len - 16] != 0xff, 1);
	ovmf_close(f->o);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_search),
		T(test_named_and_paired),
		T(test_combined),
		T(test_refused),
		T(test_nvram_lasts),
		T(test_nvram_survives_kill),
		T(test_nvram_locked),
		T(test_nvram_refused),
		T(test_map),
		T(test_installed),
		T(test_nvram_abandoned),
		T(test_files_are_kept),
		T(test_nvram_cannot_be_written),
		T(test_nvram_full),
		T(test_truncated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
