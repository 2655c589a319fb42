/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VM's I/O address space: devices, and guest memory in it with IOVA = GPA.
 *
 * Memory is looked at twice. iommu_check_memory() checks every range against the addresses that the
 * IOMMU has and against the memlock limit, so that what cannot work is said in a sentence, before
 * memory is prefaulted and before it is pinned; iommu_attach_memory() listens to guest memory,
 * which maps each range in one call (the kernel pins all of it there: 80 % of the time of that is
 * clearing pages, where they were not prefaulted) and follows changes.
 *
 * Devices are opened before memory is mapped, each known to KVM by then, because KVM asks the files
 * it knows whether DMA is coherent when it sets up its page tables.
 *
 * Without devices there is no memory. VFIO's type 1 IOMMU forgets all mappings when the last group
 * leaves, and a group that stayed would keep the host's drivers from its devices; so whoever maps
 * memory for a device, maps it again after a time without any.
 *
 * Threads: see iommu.h. iommu_map() and iommu_unmap() are also called for BARs, on vCPUs and the
 * main loop: `lock`.
 */
#include "vfio/iommu/iommu.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "vfio/iommu/iommu_backend.h"
#include "vfio/iommu/kernel.h"
#include "vfio/host/sysfs.h"
#include "vmm/core/cleanup.h"
#include "vmm/core/log.h"
#include "vmm/core/parallel.h"
#include "vmm/placement/memlock.h"

#define FILES_WANTED 65536 /* an eventfd or two a vector: 2048 vectors a device */
#define MAP_TRIES    10

struct iommu {
	const struct iommu_ops *ops;
	void *backend;
	struct iommu_limits limits;
	bool limits_known;     /* each device narrows them: asked for when needed, not at each */
	struct guest_mem *mem; /* NULL: not attached */
	struct mem_listener listener;
	struct error map_error; /* why the listener refused a range */
	/* Mapped before the listener is told of it; unmapped after, while it is detached. */
	struct mem_range *apart;
	unsigned n_apart, apart_room; /* room: for how many there is memory */
	bool detaching;
	unsigned n_open;      /* devices; atomic */
	pthread_mutex_t lock; /* the order of map and unmap */
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

	return m->ops->map(m->backend, iova, host, size, write);
}

int iommu_map(struct iommu *m, iova_t iova, void *host, uint64_t size, bool write)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int tries, ret = -EBUSY;

	for (tries = 0; ret == -EBUSY && tries < MAP_TRIES; tries++) {
		if (tries)
			nanosleep(&pause, NULL);
		ret = map_once(m, iova.v, host, size, write);
	}
	return ret;
}

int iommu_unmap(struct iommu *m, iova_t iova, uint64_t size)
{
	scoped_lock(&m->lock);

	return m->ops->unmap(m->backend, iova.v, size);
}

static int explain_map(const struct mem_range *r, int ret, struct error *err)
{
	if (ret == -ENOMEM && memlock_explain(r->size, err) < 0)
		return ret;
	return error_set(
		err, ret, "guest memory at 0x%llx, %llu MiB, cannot be mapped for DMA: %s%s",
		(unsigned long long)r->gpa, (unsigned long long)(r->size >> 20), strerror(-ret),
		ret == -ENOMEM ? ": free host memory, or give the guest less" : "");
}

static int range_map(struct iommu *m, const struct mem_range *r)
{
	int ret = iommu_map(m, IOVA(r->gpa), r->host, r->size, r->kind == MEM_RAM);

	return ret < 0 ? explain_map(r, ret, &m->map_error) : 0;
}

static void range_unmap(struct iommu *m, const struct mem_range *r)
{
	int ret = iommu_unmap(m, IOVA(r->gpa), r->size);

	if (ret < 0)
		log_error("guest memory at 0x%llx cannot be unmapped from the IOMMU: %s",
			  (unsigned long long)r->gpa, strerror(-ret));
}

static bool took_early(struct iommu *m, const struct mem_range *r)
{
	for (unsigned i = 0; i < m->n_apart; i++) {
		struct mem_range *e = &m->apart[i];

		if (e->gpa != r->gpa || e->size != r->size || e->host != r->host)
			continue;
		*e = m->apart[--m->n_apart];
		return true;
	}
	return false;
}

static int range_add(struct mem_listener *l, const struct mem_range *r)
{
	struct iommu *m = container_of(l, struct iommu, listener);

	return r->dma && !took_early(m, r) ? range_map(m, r) : 0;
}

/* False: it is not for DMA, or there is no memory for the list. */
static bool set_apart(struct iommu *m, const struct mem_range *r)
{
	unsigned room = m->apart_room ? 2 * m->apart_room : 16;
	struct mem_range *grown;

	if (!r->dma)
		return false;
	if (m->n_apart == m->apart_room) {
		grown = realloc(m->apart, room * sizeof(*grown));
		if (!grown)
			return false;
		m->apart = grown;
		m->apart_room = room;
	}
	m->apart[m->n_apart++] = *r;
	return true;
}

static void range_del(struct mem_listener *l, const struct mem_range *r)
{
	struct iommu *m = container_of(l, struct iommu, listener);

	if (r->dma && !(m->detaching && set_apart(m, r)))
		range_unmap(m, r);
}

static void unmap_apart(struct iommu *m)
{
	while (m->n_apart > 0)
		range_unmap(m, &m->apart[--m->n_apart]);
	free(m->apart);
	m->apart = NULL;
	m->apart_room = 0;
}

static int learn_limits(struct iommu *m, struct error *err)
{
	int ret = m->limits_known ? 0 : m->ops->limits(m->backend, &m->limits, err);

	m->limits_known = ret == 0;
	return ret;
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
	int ret = learn_limits(m, err);

	if (ret < 0)
		return ret;
	ret = guest_mem_each(mem, check_range, &c);
	if (ret < 0)
		return ret;
	if (!m->mem && c.n > m->limits.maps_left)
		return error_set(
			err, -ENOSPC,
			"the kernel allows only %u DMA mappings, and the guest needs more: %s",
			m->limits.maps_left, m->limits.more_maps);
	return memlock_raise(c.total, err);
}

/* Ranges that only wait to be mapped; where there is no memory for the list, the listener does it.
 */
static int list_early(void *arg, const struct mem_range *r)
{
	set_apart(arg, r);
	return 0;
}

/* Mapping pins memory, and may take many seconds. While the listener is told of what is there,
 * nobody can change guest memory, not even the processors of a guest that runs. */
static int map_early(struct iommu *m, struct guest_mem *mem)
{
	unsigned done = 0;
	int ret = 0;

	guest_mem_each(mem, list_early, m);
	while (ret == 0 && done < m->n_apart) {
		ret = range_map(m, &m->apart[done]);
		done += ret == 0;
	}
	m->n_apart = done;
	return ret;
}

int iommu_attach_memory(struct iommu *m, struct guest_mem *mem, struct error *err)
{
	int ret = m->mem ? 0 : iommu_check_memory(m, mem, err);

	if (ret < 0 || m->mem)
		return ret;
	m->listener = (struct mem_listener){ .add = range_add, .del = range_del };
	ret = map_early(m, mem);
	if (ret == 0)
		ret = guest_mem_listen(mem, &m->listener);
	unmap_apart(m); /* it failed, or the range has gone meanwhile */
	if (ret < 0) {
		if (err)
			*err = m->map_error;
		return ret;
	}
	m->mem = mem;
	return 0;
}

/* Unpinning takes as long as pinning, and the guest may run. So the listener only notes what there
 * is, and it is unmapped when others can change guest memory again. */
void iommu_detach_memory(struct iommu *m)
{
	if (!m->mem)
		return;
	m->detaching = true;
	guest_mem_unlisten(m->mem, &m->listener);
	m->detaching = false;
	m->mem = NULL;
	unmap_apart(m);
}

/* ---- devices ---- */

static void device_close(void *opaque, int fd)
{
	struct iommu *m = opaque;

	if (m->ops->close_device)
		m->ops->close_device(m->backend, fd);
	else
		close(fd);
	__atomic_fetch_sub(&m->n_open, 1, __ATOMIC_RELAXED);
}

struct opening {
	struct iommu *m;
	const struct sysfs_pci *const *dev;
	struct vfio_kernel **k;
	struct error *err; /* one for each device */
};

static void open_job(void *arg, unsigned i)
{
	const struct opening *o = arg;
	struct iommu *m = o->m;
	int fd = m->ops->open_device(m->backend, o->dev[i], &o->err[i]);

	if (fd < 0)
		return;
	__atomic_fetch_add(&m->n_open, 1, __ATOMIC_RELAXED);
	o->k[i] = vfio_kernel_new(fd, o->dev[i]->bdf, device_close, m);
	if (!o->k[i])
		error_set(&o->err[i], -ENOMEM, "out of memory for %s", o->dev[i]->bdf);
}

int iommu_open_devices(struct iommu *m, const struct sysfs_pci *const *dev, unsigned n,
		       struct vfio_kernel **k, struct error *err)
{
	scoped_free struct error *each = calloc(n, sizeof(*each));
	struct opening o = { m, dev, k, each };
	unsigned i;

	memset(k, 0, n * sizeof(*k));
	if (!each)
		return error_set(err, -ENOMEM, "out of memory for devices");
	for (i = 0; i < n && m->ops->join; i++) {
		int ret = m->ops->join(m->backend, dev[i], err);

		if (ret < 0)
			return ret;
	}
	parallel_each(n, open_job, &o);
	m->limits_known = false;
	for (i = 0; i < n && k[i]; i++)
		;
	if (i == n)
		return 0;
	if (err)
		*err = each[i];
	return each[i].code;
}

struct vfio_kernel *iommu_open_device(struct iommu *m, const struct sysfs_pci *dev,
				      struct error *err)
{
	struct vfio_kernel *k;

	return iommu_open_devices(m, &dev, 1, &k, err) < 0 ? NULL : k;
}

void iommu_release_unused(struct iommu *m)
{
	if (__atomic_load_n(&m->n_open, __ATOMIC_RELAXED) == 0)
		iommu_detach_memory(m);
	if (m->ops->leave)
		m->ops->leave(m->backend);
	m->limits_known = false;
}

int iommu_hot_reset_fds(const struct iommu *m, const struct vfio_pci_dependent_device *hit,
			unsigned n, int *fds, unsigned *foreign)
{
	return m->ops->hot_reset_fds(m->backend, hit, n, fds, foreign);
}

/* ---- life ---- */

struct iommu *iommu_new_with(const struct iommu_ops *ops, void *backend)
{
	struct iommu *m = calloc(1, sizeof(*m));

	if (!m) {
		ops->free(backend);
		return NULL;
	}
	m->ops = ops;
	m->backend = backend;
	pthread_mutex_init(&m->lock, NULL);
	return m;
}

struct iommu *iommu_new(const struct iommu_config *config, struct error *err)
{
	const struct iommu_ops *ops;
	void *backend = iommu_type1_new(config, &ops, err);
	struct iommu *m;

	if (!backend)
		return NULL;
	raise_files();
	m = iommu_new_with(ops, backend);
	if (!m)
		error_set(err, -ENOMEM, "out of memory for the IOMMU");
	return m;
}

void iommu_free(struct iommu *m)
{
	if (!m)
		return;
	iommu_detach_memory(m);
	m->ops->free(m->backend);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

unsigned iommu_aperture_bits(struct iommu *m)
{
	return learn_limits(m, NULL) == 0 ? iommu_limits_bits(&m->limits) : 0;
}
