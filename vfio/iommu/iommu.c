/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VM's I/O address space: groups, and guest memory in it with IOVA = GPA.
 *
 * Memory is looked at twice. iommu_check_memory() checks every range against the addresses that the
 * IOMMU has and against the memlock limit, so that what cannot work is said in a sentence, before
 * memory is prefaulted and before it is pinned; iommu_attach_memory() listens to guest memory,
 * which maps each range in one call (the kernel pins all of it there: 80 % of the time of that is
 * clearing pages, where they were not prefaulted) and follows changes.
 *
 * Groups join before memory is mapped, each registered with KVM first, because KVM asks the groups
 * it knows whether DMA is coherent when it sets up its page tables.
 *
 * Threads: main loop, but iommu_map() and iommu_unmap(), which vCPUs call for BARs: `lock`.
 */
#include "vfio/iommu/iommu.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "vfio/iommu/iommu_backend.h"
#include "vfio/iommu/kernel.h"
#include "vfio/host/sysfs.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/log.h"
#include "vmm/placement/memlock.h"

#define FILES_WANTED 65536 /* an eventfd or two a vector: 2048 vectors a device */
#define MAP_TRIES    10

struct group {
	unsigned nr;
	int fd;
};

struct iommu {
	const struct iommu_ops *ops;
	void *backend;
	struct iommu_config config;
	struct group *groups;
	unsigned n_groups;
	struct iommu_limits limits;
	bool limits_known;     /* each group narrows them: asked for when needed, not at each */
	struct guest_mem *mem; /* NULL: not attached */
	struct mem_listener listener;
	struct error map_error; /* why the listener refused a range */
	pthread_mutex_t lock;	/* counts, and the order of map and unmap */
	struct iommu_counts counts;
};

/* ---- process limits ---- */

static void raise_files(void)
{
	struct rlimit now, want;

	if (getrlimit(RLIMIT_NOFILE, &now) < 0 || now.rlim_cur >= FILES_WANTED)
		return;
	want = (struct rlimit){ FILES_WANTED, now.rlim_max };
	if (want.rlim_max < FILES_WANTED)
		want.rlim_max = FILES_WANTED;
	if (setrlimit(RLIMIT_NOFILE, &want) == 0)
		return;
	/* Not ours to lift: as far as it goes. Running out is an error where it happens. */
	want = (struct rlimit){ now.rlim_max, now.rlim_max };
	if (want.rlim_cur > FILES_WANTED)
		want.rlim_cur = FILES_WANTED;
	setrlimit(RLIMIT_NOFILE, &want);
}

/* ---- mapping ---- */

static int map_once(struct iommu *m, uint64_t iova, void *host, uint64_t size, bool write)
{
	scoped_lock(&m->lock);

	m->counts.map++;
	return m->ops->map(m->backend, iova, host, size, write);
}

int iommu_map(struct iommu *m, iova_t iova, void *host, uint64_t size, bool write)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int tries, rc = -EBUSY;

	for (tries = 0; rc == -EBUSY && tries < MAP_TRIES; tries++) {
		if (tries)
			nanosleep(&pause, NULL);
		rc = map_once(m, iova.v, host, size, write);
	}
	return rc;
}

int iommu_unmap(struct iommu *m, iova_t iova, uint64_t size)
{
	scoped_lock(&m->lock);

	m->counts.unmap++;
	return m->ops->unmap(m->backend, iova.v, size);
}

static int explain_map(const struct mem_range *r, int rc, struct error *err)
{
	if (rc == -ENOMEM && memlock_explain(r->size, err) < 0)
		return rc;
	return error_set(
		err, rc, "guest memory at 0x%llx, %llu MiB, cannot be mapped for DMA: %s%s",
		(unsigned long long)r->gpa, (unsigned long long)(r->size >> 20), strerror(-rc),
		rc == -ENOMEM ? ": free host memory, or give the guest less" : "");
}

static int range_add(struct mem_listener *l, const struct mem_range *r)
{
	struct iommu *m = container_of(l, struct iommu, listener);
	int rc;

	if (!r->dma)
		return 0;
	rc = iommu_map(m, IOVA(r->gpa), r->host, r->size, r->kind == MEM_RAM);
	return rc < 0 ? explain_map(r, rc, &m->map_error) : 0;
}

static void range_del(struct mem_listener *l, const struct mem_range *r)
{
	struct iommu *m = container_of(l, struct iommu, listener);
	int rc = r->dma ? iommu_unmap(m, IOVA(r->gpa), r->size) : 0;

	if (rc < 0)
		log_error("guest memory at 0x%llx cannot be unmapped from the IOMMU: %s",
			  (unsigned long long)r->gpa, strerror(-rc));
}

static int learn_limits(struct iommu *m)
{
	int rc = m->limits_known ? 0 : m->ops->limits(m->backend, &m->limits);

	m->limits_known = rc == 0;
	return rc;
}

struct attach_check {
	struct iommu *m;
	struct error *err;
	uint64_t total;
	unsigned n;
};

static int check_range(void *arg, const struct mem_range *r)
{
	struct attach_check *c = arg;
	uint64_t bad;

	if (!r->dma)
		return 0;
	c->total += r->size;
	c->n++;
	if (iommu_limits_allow(&c->m->limits, r->gpa, r->size, &bad))
		return 0;
	return error_set(c->err, -ERANGE,
			 "guest memory at 0x%llx (%llu MiB) is beyond what the IOMMU can map: it "
			 "cannot map address 0x%llx for these devices: use a smaller --memory",
			 (unsigned long long)r->gpa, (unsigned long long)(r->size >> 20),
			 (unsigned long long)bad);
}

int iommu_check_memory(struct iommu *m, struct guest_mem *mem, struct error *err)
{
	struct attach_check c = { .m = m, .err = err };
	int rc = learn_limits(m);

	if (rc < 0)
		return error_set(err, rc, "VFIO_IOMMU_GET_INFO: %s", strerror(-rc));
	rc = guest_mem_each(mem, check_range, &c);
	if (rc < 0)
		return rc;
	if (c.n > m->limits.maps_left)
		return error_set(
			err, -ENOSPC,
			"the kernel allows only %u DMA mappings, and the guest needs more: echo "
			"65535 >/sys/module/vfio_iommu_type1/parameters/dma_entry_limit",
			m->limits.maps_left);
	return memlock_raise(c.total, err);
}

int iommu_attach_memory(struct iommu *m, struct guest_mem *mem, struct error *err)
{
	int rc = iommu_check_memory(m, mem, err);

	if (rc < 0)
		return rc;
	m->listener = (struct mem_listener){ .add = range_add, .del = range_del };
	rc = guest_mem_listen(mem, &m->listener);
	if (rc < 0) {
		if (err)
			*err = m->map_error;
		return rc;
	}
	m->mem = mem;
	return 0;
}

void iommu_detach_memory(struct iommu *m)
{
	if (m->mem)
		guest_mem_unlisten(m->mem, &m->listener);
	m->mem = NULL;
}

/* ---- groups ---- */

static int open_group(unsigned nr, int *fd, struct error *err)
{
	char path[32];

	snprintf(path, sizeof(path), "/dev/vfio/%u", nr);
	*fd = open(path, O_RDWR | O_CLOEXEC);
	if (*fd >= 0)
		return 0;
	switch (errno) {
	case EBUSY:
		return sysfs_explain_busy("", nr, err);
	case EACCES:
	case EPERM:
		return error_set(err, -EACCES,
				 "there is no permission to open %s: as root, give it to your "
				 "user: chown %u %s",
				 path, (unsigned)geteuid(), path);
	case ENOENT:
		return error_set(
			err, -ENOENT,
			"%s does not exist although the device is bound to vfio-pci: load the "
			"module (modprobe vfio-pci), and check that /dev is the host's",
			path);
	}
	return error_set(err, -errno, "%s: %s", path, strerror(errno));
}

static int check_viable(unsigned nr, int fd, struct error *err)
{
	struct vfio_group_status s = { .argsz = sizeof(s) };

	if (ioctl(fd, VFIO_GROUP_GET_STATUS, &s) < 0)
		return error_set(err, -errno, "IOMMU group %u: VFIO_GROUP_GET_STATUS: %s", nr,
				 strerror(errno));
	return s.flags & VFIO_GROUP_FLAGS_VIABLE ? 0 : sysfs_explain_group("", nr, err);
}

static int tell_kvm(struct iommu *m, int fd, bool add)
{
	return m->config.kvm_group ? m->config.kvm_group(m->config.opaque, fd, add) : 0;
}

/* The group joins: address space, then KVM. */
static int join(struct iommu *m, unsigned nr, int fd, struct error *err)
{
	int rc = m->ops->attach(m->backend, fd, nr, err);

	if (rc < 0)
		return rc;
	rc = tell_kvm(m, fd, true);
	if (rc < 0)
		error_set(err, rc, "IOMMU group %u: KVM does not accept it: %s", nr, strerror(-rc));
	m->limits_known = false;
	if (rc < 0)
		m->ops->detach(m->backend, fd);
	return rc;
}

static const struct group *find_group(const struct iommu *m, unsigned nr)
{
	unsigned i;

	for (i = 0; i < m->n_groups; i++)
		if (m->groups[i].nr == nr)
			return &m->groups[i];
	return NULL;
}

static int add_group(struct iommu *m, unsigned nr, struct error *err)
{
	struct group *grown = realloc(m->groups, (m->n_groups + 1) * sizeof(*grown));
	int fd, rc;

	if (!grown)
		return error_set(err, -ENOMEM, "out of memory for an IOMMU group");
	m->groups = grown;
	rc = open_group(nr, &fd, err);
	if (rc < 0)
		return rc;
	rc = check_viable(nr, fd, err);
	if (rc == 0)
		rc = join(m, nr, fd, err);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	grown[m->n_groups++] = (struct group){ nr, fd };
	m->counts.groups++;
	return 0;
}

static struct vfio_kernel *open_device(const struct group *g, const char *bdf, struct error *err)
{
	int fd = ioctl(g->fd, VFIO_GROUP_GET_DEVICE_FD, bdf);
	struct vfio_kernel *k;

	if (fd < 0) {
		error_set(err, -errno, "%s cannot be opened: %s%s", bdf, strerror(errno),
			  errno == EBUSY ? ": another process uses it" : ": dmesg says more");
		return NULL;
	}
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	k = vfio_kernel_new(fd, bdf);
	if (!k) {
		close(fd);
		error_set(err, -ENOMEM, "out of memory for %s", bdf);
	}
	return k;
}

struct vfio_kernel *iommu_open_device(struct iommu *m, const char *bdf, struct error *err)
{
	struct sysfs_pci d;

	if (sysfs_check("", bdf, &d, err) < 0)
		return NULL;
	if (!find_group(m, (unsigned)d.group) && add_group(m, (unsigned)d.group, err) < 0) {
		error_prefix(err, "%s", bdf);
		return NULL;
	}
	return open_device(find_group(m, (unsigned)d.group), bdf, err);
}

int iommu_group_fd(const struct iommu *m, unsigned group)
{
	const struct group *g = find_group(m, group);

	return g ? g->fd : -ENOENT;
}

/* ---- life ---- */

struct iommu *iommu_new_with(const struct iommu_ops *ops, void *backend,
			     const struct iommu_config *config)
{
	struct iommu *m = calloc(1, sizeof(*m));

	if (!m) {
		ops->free(backend);
		return NULL;
	}
	m->ops = ops;
	m->backend = backend;
	m->config = *config;
	pthread_mutex_init(&m->lock, NULL);
	return m;
}

struct iommu *iommu_new(const struct iommu_config *config, struct error *err)
{
	const struct iommu_ops *ops;
	void *backend = iommu_type1_new(&ops, err);
	struct iommu *m;

	if (!backend)
		return NULL;
	raise_files();
	m = iommu_new_with(ops, backend, config);
	if (!m)
		error_set(err, -ENOMEM, "out of memory for the IOMMU");
	return m;
}

void iommu_free(struct iommu *m)
{
	unsigned i;

	if (!m)
		return;
	iommu_detach_memory(m);
	for (i = 0; i < m->n_groups; i++) {
		tell_kvm(m, m->groups[i].fd, false);
		m->ops->detach(m->backend, m->groups[i].fd);
		close(m->groups[i].fd);
	}
	m->ops->free(m->backend);
	pthread_mutex_destroy(&m->lock);
	free(m->groups);
	free(m);
}

unsigned iommu_aperture_bits(struct iommu *m)
{
	return learn_limits(m) == 0 ? iommu_limits_bits(&m->limits) : 0;
}

struct iommu_counts iommu_counts(const struct iommu *m)
{
	return m->counts;
}
