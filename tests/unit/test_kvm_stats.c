/* SPDX-License-Identifier: BSD-2-Clause */
/* KVM's binary statistics: a file made here, damaged forms of it, and those of this machine. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm/kvm/kvm_stats.h"

#define NAME 16

/* The descriptors come before the data, with an id in between; nothing is aligned. */
struct file {
	struct kvm_stats_header h;
	char id[4];
	struct {
		uint32_t flags;
		int16_t exponent;
		uint16_t size;
		uint32_t offset, bucket;
		char name[NAME];
	} desc[2];
	char pad;
	uint64_t data[4];
} __attribute__((packed));

static struct file make(void)
{
	struct file f = {
		.h = { .name_size = NAME,
		       .num_desc = 2,
		       .id_offset = offsetof(struct file, id),
		       .desc_offset = offsetof(struct file, desc),
		       .data_offset = offsetof(struct file, data) },
		.id = "id",
		.desc = { { .size = 1, .offset = 24, .name = "exits" },
			  { .size = 3, .offset = 0, .name = "wait_hist" } },
		.data = { 1, 2, 3, UINT64_MAX },
	};

	return f;
}

struct seen {
	unsigned n;
	char names[64];
	uint64_t last;
};

static void see(void *arg, const struct kvm_stat *s)
{
	struct seen *seen = arg;

	seen->n++;
	strncat(seen->names, s->name, sizeof(seen->names) - strlen(seen->names) - 1);
	seen->last = kvm_stat_value(s, s->n - 1);
	assert_int_equal(kvm_stat_value(s, s->n), 0);
}

static void test_good(void **state)
{
	struct file f = make();
	struct seen s = { 0 };

	(void)state;
	assert_int_equal(kvm_stats_parse(&f, sizeof(f), see, &s), 0);
	assert_int_equal(s.n, 2);
	assert_string_equal(s.names, "exitswait_hist");
	assert_int_equal(s.last, 3);
	f.h.num_desc = 1;
	assert_int_equal(kvm_stats_parse(&f, sizeof(f), see, &s), 0);
	assert_true(s.last == UINT64_MAX);
}

static void bad(const struct file *f, size_t len)
{
	struct seen s = { 0 };

	assert_int_equal(kvm_stats_parse(f, len, see, &s), -EINVAL);
	assert_int_equal(s.n, 0);
}

static void test_bad(void **state)
{
	struct file f = make();

	(void)state;
	bad(&f, 0);
	bad(&f, sizeof(f.h) - 1);
	bad(&f, sizeof(f) - 1);
	f.h.num_desc = UINT32_MAX;
	bad(&f, sizeof(f));
	f = make();
	f.h.desc_offset = UINT32_MAX;
	bad(&f, sizeof(f));
	f = make();
	f.h.data_offset = UINT32_MAX;
	bad(&f, sizeof(f));
	f = make();
	f.h.name_size = 0;
	bad(&f, sizeof(f));
	f = make();
	f.desc[1].offset = 16;
	bad(&f, sizeof(f));
	f = make();
	f.desc[1].size = UINT16_MAX;
	bad(&f, sizeof(f));
	f = make();
	memset(f.desc[1].name, 'x', NAME);
	bad(&f, sizeof(f));
}

static void test_own(void **state)
{
	int dev = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm, fd;
	struct seen s = { 0 };

	(void)state;
	if (dev < 0)
		skip();
	vm = ioctl(dev, KVM_CREATE_VM, 0);
	fd = vm < 0 ? -1 : kvm_stats_open(vm);
	if (fd >= 0) {
		assert_int_equal(kvm_stats_read(fd, see, &s), 0);
		assert_true(s.n > 0);
		close(fd);
	}
	assert_true(kvm_stats_open(dev) < 0);
	close(vm);
	close(dev);
	if (fd < 0)
		skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
