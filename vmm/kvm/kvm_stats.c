/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See kvm_stats.h. A header gives the offsets of descriptors and data. A descriptor has a fixed
 * part and a name, whose length is in the header. All offsets are checked against the size that was
 * read before fn is called: the kernel is not hostile, but its versions differ.
 */
#include "vmm/kvm/kvm_stats.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/core/addr.h"
#include "vmm/core/cleanup.h"

#define READ_MAX (256 * KiB) /* the statistics of x86 take about 4 KiB */

uint64_t kvm_stat_value(const struct kvm_stat *s, unsigned i)
{
	uint64_t v = 0;

	if (i < s->n)
		memcpy(&v, (const char *)s->data + (size_t)i * sizeof(v), sizeof(v));
	return v;
}

int kvm_stats_open(int fd)
{
	int stats = ioctl(fd, KVM_GET_STATS_FD, NULL);

	return stats < 0 ? -errno : stats;
}

/* Reads descriptor i. False: the descriptor or its data lies outside of the buffer, or its name is
 * not terminated. */
static bool descriptor(const char *buf, size_t len, const struct kvm_stats_header *h, unsigned i,
		       struct kvm_stat *out)
{
	struct kvm_stats_desc d;
	uint64_t at = h->desc_offset + (uint64_t)i * (sizeof(d) + h->name_size), data;

	if (!range_ok(at, sizeof(d) + (uint64_t)h->name_size, len))
		return false;
	memcpy(&d, buf + at, sizeof(d));
	data = (uint64_t)h->data_offset + d.offset;
	if (!range_ok(data, (uint64_t)d.size * sizeof(uint64_t), len))
		return false;
	*out = (struct kvm_stat){ buf + at + sizeof(d), d.size, buf + data };
	return memchr(out->name, '\0', h->name_size) != NULL;
}

int kvm_stats_parse(const void *buf, size_t len, kvm_stat_fn *fn, void *arg)
{
	struct kvm_stats_header h;
	struct kvm_stat s;
	unsigned i;

	if (len < sizeof(h))
		return -EINVAL;
	memcpy(&h, buf, sizeof(h));
	for (i = 0; i < h.num_desc; i++)
		if (!descriptor(buf, len, &h, i, &s))
			return -EINVAL;
	for (i = 0; i < h.num_desc; i++)
		if (descriptor(buf, len, &h, i, &s) && s.n)
			fn(arg, &s);
	return 0;
}

int kvm_stats_read(int stats_fd, kvm_stat_fn *fn, void *arg)
{
	scoped_free char *buf = malloc(READ_MAX);
	ssize_t n;

	if (!buf)
		return -ENOMEM;
	n = pread(stats_fd, buf, READ_MAX, 0);
	return n < 0 ? -errno : kvm_stats_parse(buf, (size_t)n, fn, arg);
}
