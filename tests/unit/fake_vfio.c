/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_vfio.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vfio/info_cap.h"
#include "vmm/core/cleanup.h"

#define INDEX_SHIFT 40 /* as the kernel's VFIO_PCI_OFFSET_SHIFT */

void fake_log(struct fake_log *log, const char *fmt, ...)
{
	size_t room;
	va_list ap;
	int n;

	scoped_lock(&log->lock);
	room = sizeof(log->text) - log->len;
	va_start(ap, fmt);
	n = vsnprintf(log->text + log->len, room, fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n + 1 < room) {
		log->len += (size_t)n;
		log->text[log->len++] = ' ';
		log->text[log->len] = 0;
	} else {
		log->text[log->len] = 0; /* full: the fuzzer does not read it */
	}
}

void fake_log_clear(struct fake_log *log)
{
	scoped_lock(&log->lock);
	log->len = 0;
	log->text[0] = 0;
}

/* Finds a word. Words begin at the start of the text or after a blank. */
static const char *find(const char *text, const char *word)
{
	const char *p = text;

	for (; (p = strstr(p, word)); p++)
		if (p == text || p[-1] == ' ')
			return p;
	return NULL;
}

bool fake_log_order(const struct fake_log *log, const char *const *words, unsigned n)
{
	const char *p = log->text;

	for (unsigned i = 0; i < n; i++) {
		p = find(p, words[i]);
		if (!p) {
			fprintf(stderr, "no %s (word %u) in: %s\n", words[i], i, log->text);
			return false;
		}
		p += strlen(words[i]);
		p += strcspn(p, " ");
		p += *p == ' ';
	}
	return true;
}

unsigned fake_log_count(const struct fake_log *log, const char *word)
{
	const char *p = log->text;
	unsigned n = 0;

	while ((p = find(p, word))) {
		n++;
		p += strcspn(p, " ");
		p += *p == ' ';
	}
	return n;
}

/* ---- the device ---- */

static struct fake_vfio *fake_of(struct vfio_kernel *k)
{
	return container_of(k, struct fake_vfio, k);
}

static int device_info(struct vfio_kernel *k, struct vfio_device_info **out)
{
	struct fake_vfio *f = fake_of(k);
	struct {
		struct vfio_device_info info;
		struct vfio_cap_atomic_comp cap;
	} *all = calloc(1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	all->info.argsz = f->atomics ? sizeof(*all) : sizeof(all->info);
	all->info.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	all->info.num_regions = VFIO_PCI_NUM_REGIONS;
	all->info.num_irqs = VFIO_PCI_NUM_IRQS;
	if (f->atomics) {
		all->info.flags |= VFIO_DEVICE_FLAGS_CAPS;
		all->info.cap_offset = (uint32_t)((char *)&all->cap - (char *)all);
		all->cap.header.id = VFIO_CAP_ATOMIC_COMP;
		all->cap.header.version = 1;
		all->cap.flags = f->atomics;
	}
	*out = &all->info;
	return 0;
}

static int region_info(struct vfio_kernel *k, unsigned index, struct vfio_region_info **out)
{
	struct fake_vfio *f = fake_of(k);
	struct vfio_region_info_cap_sparse_mmap *cap;
	struct vfio_region_info *info;
	const struct fake_region *r;
	size_t len = sizeof(*info), areas;

	if (index >= VFIO_PCI_NUM_REGIONS)
		return -EINVAL;
	r = &f->region[index];
	areas = r->n_sparse * sizeof(r->sparse[0]);
	info = calloc(1, len + sizeof(*cap) + areas);
	if (!info)
		return -ENOMEM;
	info->argsz = (uint32_t)(len + (r->n_sparse ? sizeof(*cap) + areas : 0));
	info->index = index;
	info->offset = (uint64_t)index << INDEX_SHIFT;
	info->size = index == VFIO_PCI_CONFIG_REGION_INDEX ? f->cfg_size : r->size;
	info->flags = r->flags;
	if (r->n_sparse) {
		info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
		info->cap_offset = (uint32_t)len;
		cap = (void *)((char *)info + len);
		cap->header.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP;
		cap->header.version = 1;
		cap->nr_areas = r->n_sparse;
		memcpy(cap->areas, r->sparse, areas);
	}
	*out = info;
	return 0;
}

/* The bytes for [off, off + len) of the device's file. NULL: they are not stored; *exists says
 * whether the range exists. */
static uint8_t *stored(struct fake_vfio *f, uint64_t off, size_t len, bool *exists)
{
	unsigned index = (unsigned)(off >> INDEX_SHIFT);
	uint64_t at = off & ((1ull << INDEX_SHIFT) - 1);
	struct fake_region *r;

	*exists = false;
	if (index >= VFIO_PCI_NUM_REGIONS)
		return NULL;
	if (index == VFIO_PCI_CONFIG_REGION_INDEX) {
		*exists = !f->cfg_dead && range_ok(at, len, f->cfg_size);
		return *exists ? f->config + at : NULL;
	}
	f->trapped++;
	r = &f->region[index];
	*exists = range_ok(at, len, r->size);
	return *exists && r->store && range_ok(at, len, FAKE_STORE) ? r->store + at : NULL;
}

static ssize_t region_read(struct vfio_kernel *k, uint64_t off, void *buf, size_t len)
{
	bool exists;
	const uint8_t *p = stored(fake_of(k), off, len, &exists);

	if (!exists)
		return -EIO;
	if (p)
		memcpy(buf, p, len);
	else
		memset(buf, 0, len);
	return (ssize_t)len;
}

static ssize_t region_write(struct vfio_kernel *k, uint64_t off, const void *buf, size_t len)
{
	struct fake_vfio *f = fake_of(k);
	bool exists;
	uint8_t *p = stored(f, off, len, &exists);

	if (!exists)
		return -EIO;
	if (p)
		memcpy(p, buf, len);
	if (p == f->config + PCI_COMMAND)
		fake_log(f->log, "cmd=%04x", pci_get16(f->config, PCI_COMMAND));
	return (ssize_t)len;
}

static int region_mmap(struct vfio_kernel *k, void *at, size_t len, int prot, uint64_t off)
{
	struct fake_vfio *f = fake_of(k);

	(void)prot, (void)off;
	if (f->no_mmap)
		return -ENODEV;
	f->mmaps++;
	if (f->lean)
		return 0; /* it stays reserved */
	f->last_mmap = (uintptr_t)at;
	if (mmap(at, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
		 0) == MAP_FAILED)
		return -errno;
	return 0;
}

static int irq_info(struct vfio_kernel *k, unsigned index, struct vfio_irq_info *info)
{
	struct fake_vfio *f = fake_of(k);

	info->count = f->irq[index].count;
	info->flags = f->irq[index].flags;
	return 0;
}

static void drop_fds(struct fake_vfio *f, unsigned index)
{
	scoped_lock(&f->fd_lock);

	for (unsigned i = 0; i < ARRAY_SIZE(f->fd[index]); i++)
		f->fd[index][i] = -1;
}

static void log_trigger(struct fake_vfio *f, const struct vfio_irq_set *s)
{
	char fds[80] = "";

	scoped_lock(&f->fd_lock);
	for (unsigned i = 0; i < s->count; i++) {
		int32_t fd;

		memcpy(&fd, s->data + i * sizeof(fd), sizeof(fd));
		if (s->start + i < ARRAY_SIZE(f->fd[0]))
			f->fd[s->index][s->start + i] = fd;
		if (i < sizeof(fds) - 1)
			fds[i] = fd >= 0 ? 'F' : '-';
	}
	fake_log(f->log, "set:%u:%u:%u:%s", s->index, s->start, s->count, fds);
}

static int set_irqs(struct vfio_kernel *k, const struct vfio_irq_set *s)
{
	struct fake_vfio *f = fake_of(k);
	bool eventfd = s->flags & VFIO_IRQ_SET_DATA_EVENTFD;

	if (s->index >= VFIO_PCI_NUM_IRQS || !range_ok(s->start, s->count, f->irq[s->index].count))
		return -EINVAL;
	if (s->flags & VFIO_IRQ_SET_ACTION_MASK) {
		fake_log(f->log, "mask:%u", s->index);
		return 0;
	}
	if (s->flags & VFIO_IRQ_SET_ACTION_UNMASK) {
		fake_log(f->log, "%s:%u", eventfd ? "unmaskfd" : "unmask", s->index);
		return 0;
	}
	if (!eventfd && !s->count) {
		fake_log(f->log, "off:%u", s->index);
		drop_fds(f, s->index);
		return 0;
	}
	if (f->set_irqs_ret < 0)
		return f->set_irqs_ret;
	if (f->limit && s->count > f->limit) {
		fake_log(f->log, "few:%u", s->count);
		return (int)f->limit;
	}
	log_trigger(f, s);
	return 0;
}

static int reset(struct vfio_kernel *k)
{
	fake_of(k)->resets++;
	fake_log(fake_of(k)->log, "reset");
	return 0;
}

static int hot_reset_info(struct vfio_kernel *k, struct vfio_pci_dependent_device *d, unsigned *n)
{
	struct fake_vfio *f = fake_of(k);
	unsigned room = *n;

	if (!f->hot_devices)
		return -ENODEV;
	*n = f->hot_devices;
	if (room < f->hot_devices)
		return -ENOSPC;
	for (unsigned i = 0; i < f->hot_devices; i++)
		d[i] = (struct vfio_pci_dependent_device){ .group_id = 1 + i,
							   .bus = 1,
							   .devfn = (uint8_t)i };
	return 0;
}

static int hot_reset(struct vfio_kernel *k, const int *fds, unsigned n)
{
	(void)fds;
	fake_log(fake_of(k)->log, "hot:%u", n);
	return fake_of(k)->hot_ret;
}

static void close_device(struct vfio_kernel *k)
{
	fake_of(k)->closed++;
}

static const struct vfio_kernel_ops ops = {
	.device_info = device_info,
	.region_info = region_info,
	.region_read = region_read,
	.region_write = region_write,
	.region_mmap = region_mmap,
	.irq_info = irq_info,
	.set_irqs = set_irqs,
	.reset = reset,
	.hot_reset_info = hot_reset_info,
	.hot_reset = hot_reset,
	.close = close_device,
};

void fake_vfio_init(struct fake_vfio *f, struct fake_log *log)
{
	memset(f, 0, sizeof(*f));
	pthread_mutex_init(&f->fd_lock, NULL);
	f->k.ops = &ops;
	strcpy(f->k.name, "0000:01:00.0");
	f->log = log;
	f->cfg_size = PCI_CFG_SIZE;
	pci_set16(f->config, PCI_VENDOR_ID, 0x1234);
	pci_set16(f->config, PCI_DEVICE_ID, 0x5678);
	pci_set32(f->config, PCI_CLASS_REVISION, 0x02000003);
	pci_set32(f->config, PCI_SUBSYSTEM_VENDOR_ID, 0x11223344);
	f->config[PCI_INTERRUPT_PIN] = 1;
	f->irq[VFIO_PCI_INTX_IRQ_INDEX].count = 1;
	f->irq[VFIO_PCI_INTX_IRQ_INDEX].flags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE |
						VFIO_IRQ_INFO_AUTOMASKED;
	for (unsigned i = 0; i < VFIO_PCI_NUM_IRQS; i++)
		drop_fds(f, i);
}

void fake_vfio_free(struct fake_vfio *f)
{
	for (unsigned i = 0; i < VFIO_PCI_NUM_REGIONS; i++)
		free(f->region[i].store);
	pthread_mutex_destroy(&f->fd_lock);
}

void fake_vfio_bar(struct fake_vfio *f, unsigned n, uint64_t size, uint32_t type)
{
	f->region[n].size = size;
	f->region[n].flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	if (!(type & PCI_BASE_ADDRESS_SPACE_IO))
		f->region[n].flags |= VFIO_REGION_INFO_FLAG_MMAP;
	free(f->region[n].store);
	f->region[n].store = f->lean ? NULL : calloc(1, FAKE_STORE);
	pci_set32(f->config, PCI_BASE_ADDRESS_0 + 4 * n, type);
}

unsigned fake_vfio_cap(struct fake_vfio *f, unsigned at, uint8_t id)
{
	unsigned link = PCI_CAPABILITY_LIST;

	for (unsigned i = 0; i < 48 && f->config[link]; i++)
		link = f->config[link] + PCI_CAP_LIST_NEXT;
	f->config[link] = (uint8_t)at;
	f->config[at] = id;
	f->config[at + PCI_CAP_LIST_NEXT] = 0;
	f->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	return at;
}

void fake_vfio_msix(struct fake_vfio *f, unsigned at, unsigned n, uint32_t table, uint32_t pba)
{
	fake_vfio_cap(f, at, PCI_CAP_ID_MSIX);
	pci_set16(f->config, at + PCI_MSIX_FLAGS, (uint16_t)(n - 1));
	pci_set32(f->config, at + PCI_MSIX_TABLE, table);
	pci_set32(f->config, at + PCI_MSIX_PBA, pba);
	f->irq[VFIO_PCI_MSIX_IRQ_INDEX].count = n;
	f->irq[VFIO_PCI_MSIX_IRQ_INDEX].flags = VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE;
}

bool fake_vfio_fire(struct fake_vfio *f, unsigned index, unsigned n)
{
	const uint64_t one = 1;

	scoped_lock(&f->fd_lock);
	return f->fd[index][n] >= 0 &&
	       write(f->fd[index][n], &one, sizeof(one)) == (ssize_t)sizeof(one);
}

/* ---- the machine ---- */

static int set_line(void *o, uint32_t gsi, bool level)
{
	(void)o, (void)gsi, (void)level;
	return 0;
}

static int set_routes(void *o, const struct irq_backend_route *r, unsigned n)
{
	(void)r, (void)n;
	fake_log(o, "routes");
	return 0;
}

static int irqfd_add(void *o, uint32_t gsi, int fd, int resample)
{
	(void)fd;
	fake_log(o, resample >= 0 ? "irqfd+%u:resample" : "irqfd+%u", gsi);
	return 0;
}

static int irqfd_del(void *o, uint32_t gsi, int fd)
{
	(void)fd;
	fake_log(o, "irqfd-%u", gsi);
	return 0;
}

static const struct irq_backend_ops irq_ops = { .set_line = set_line,
						.set_routes = set_routes,
						.irqfd_add = irqfd_add,
						.irqfd_del = irqfd_del };

static int slot_add(struct mem_listener *l, const struct mem_range *r)
{
	struct fake_machine *m = container_of(l, struct fake_machine, listener);

	if (m->slot_ret)
		return m->slot_ret;
	fake_log(&m->log, "slot+%llx:%llx", (unsigned long long)r->gpa,
		 (unsigned long long)r->size);
	return 0;
}

static void slot_del(struct mem_listener *l, const struct mem_range *r)
{
	struct fake_machine *m = container_of(l, struct fake_machine, listener);

	fake_log(&m->log, "slot-%llx", (unsigned long long)r->gpa);
}

void fake_machine_init(struct fake_machine *m)
{
	memset(m, 0, sizeof(*m));
	pci_root_init(&m->root);
	m->root.pio = bus_new(0x10000);
	m->root.mmio = bus_new(1ull << 52);
	m->root.mem = guest_mem_new();
	m->root.irq = irq_table_new(&irq_ops, &m->log, 64);
	m->listener = (struct mem_listener){ .add = slot_add, .del = slot_del };
	guest_mem_listen(m->root.mem, &m->listener);
}

void fake_machine_free(struct fake_machine *m)
{
	guest_mem_unlisten(m->root.mem, &m->listener);
	guest_mem_free(m->root.mem);
	irq_table_free(m->root.irq);
	bus_free(m->root.pio);
	bus_free(m->root.mmio);
	pci_root_destroy(&m->root);
}
