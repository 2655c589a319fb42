/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The variable store is a file that belongs to one machine. It is written completely under another
 * name and then linked to its own name, so a crash or a second minivmm never finds an incomplete
 * file. The lock is on the open file description, so the kernel releases it when the machine ends.
 *
 * Threads: main loop.
 */
#include "firmware/nvram.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/core/addr.h"

struct fv_header {
	uint8_t zero[16];
	uint8_t guid[16];
	uint64_t length;
	char signature[4];
	uint32_t attributes;
	uint16_t header_length, checksum, ext_header;
	uint8_t reserved, revision;
};
static_assert(sizeof(struct fv_header) == 56, "PI 1.8 vol. 3, EFI_FIRMWARE_VOLUME_HEADER");

/* EFI_SYSTEM_NV_DATA_FV_GUID, fff12b8d-7696-4c8b-a985-2747075b4f50 */
static const uint8_t nv_data_guid[16] = { 0x8d, 0x2b, 0xf1, 0xff, 0x96, 0x76, 0x8b, 0x4c,
					  0xa9, 0x85, 0x27, 0x47, 0x07, 0x5b, 0x4f, 0x50 };

enum fv_kind fv_head(const uint8_t *data, size_t len)
{
	struct fv_header h;
	uint16_t sum = 0;
	unsigned hlen;

	if (len < sizeof(h))
		return FV_NONE;
	memcpy(&h, data, sizeof(h));
	hlen = le16toh(h.header_length);
	if (memcmp(h.signature, "_FVH", 4) || hlen < sizeof(h) || hlen % 2 || hlen > len)
		return FV_NONE;
	for (unsigned i = 0; i < hlen; i += 2)
		sum = (uint16_t)(sum + (data[i] | data[i + 1] << 8));
	if (sum)
		return FV_NONE;
	return memcmp(h.guid, nv_data_guid, sizeof(nv_data_guid)) ? FV_CODE : FV_VARS;
}

enum fv_kind fv_check(const uint8_t *data, size_t len, uint64_t *fv_len)
{
	enum fv_kind kind = fv_head(data, len);
	struct fv_header h;

	if (kind == FV_NONE)
		return kind;
	memcpy(&h, data, sizeof(h));
	*fv_len = le64toh(h.length);
	return *fv_len < le16toh(h.header_length) || *fv_len > len ? FV_NONE : kind;
}

static int write_all(int fd, const uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int nvram_lock(int fd, const char *path, struct error *err)
{
	struct flock lk = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_OFD_SETLK, &lk) == 0)
		return 0;
	if (errno == EAGAIN || errno == EACCES)
		return error_set(err, -EBUSY,
				 "variable store %s is in use by another virtual machine: give "
				 "each machine its own with --nvram",
				 path);
	return error_set(err, -errno, "variable store %s cannot be locked: %s", path,
			 strerror(errno));
}

static int nvram_create(const char *path, const uint8_t *tmpl, size_t len, struct error *err)
{
	char tmp[PATH_MAX];
	int fd, ret, n = snprintf(tmp, sizeof(tmp), "%s.new-%d", path, (int)getpid());

	if (n < 0 || (size_t)n >= sizeof(tmp))
		return error_set(err, -ENAMETOOLONG, "variable store %s: the path is too long",
				 path);
	fd = open(tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(err, -errno, "variable store %s cannot be created: %s", path,
				 strerror(errno));
	ret = write_all(fd, tmpl, len);
	if (!ret && fsync(fd))
		ret = -errno;
	close(fd);
	/* EEXIST: another process has created the file meanwhile; use that one. */
	if (!ret && link(tmp, path) && errno != EEXIST)
		ret = -errno;
	unlink(tmp);
	return ret ? error_set(err, ret, "variable store %s cannot be created: %s", path,
			       strerror(-ret))
		   : 0;
}

int nvram_open(const char *path, const uint8_t *tmpl, size_t tmpl_len, bool *created,
	       struct error *err)
{
	int fd, ret;

	*created = false;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && tmpl) {
		ret = nvram_create(path, tmpl, tmpl_len, err);
		if (ret)
			return ret;
		*created = true;
		fd = open(path, O_RDWR | O_CLOEXEC);
	}
	if (fd < 0)
		return error_set(err, -errno, "variable store %s cannot be opened for writing: %s",
				 path, strerror(errno));
	ret = nvram_lock(fd, path, err);
	if (ret) {
		close(fd);
		return ret;
	}
	return fd;
}
