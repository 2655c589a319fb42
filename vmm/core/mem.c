/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest physical memory.
 *
 * The table is a sorted array under a sequence lock. A reader copies the entry that it needs, and
 * tries again if a writer has changed the table meanwhile. So the lookup on the I/O path is a few
 * loads without a locked instruction. When the array becomes too small, a new one of twice the size
 * replaces it. The old array is kept until guest_mem_free(), because a reader may still use it; all
 * old arrays together are smaller than the current one.
 *
 * Threads: any thread may read. Writers hold `lock`, also during the calls of the listeners.
 */
#include "vmm/core/mem.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/cleanup.h"

#define MEM_PAGE	4096u
#define MEM_FIRST_SLOTS 8u

struct mem_table {
	struct mem_table *older;
	unsigned capacity, n;
	struct mem_range r[];
};

struct guest_mem {
	pthread_mutex_t lock;
	unsigned seq; /* odd while a writer changes the table */
	struct mem_table *table;
	struct mem_listener *listeners;
	struct mem_file file;
};

static struct mem_table *table_new(unsigned capacity)
{
	struct mem_table *t = calloc(1, sizeof(*t) + capacity * sizeof(t->r[0]));

	if (t)
		t->capacity = capacity;
	return t;
}

struct guest_mem *guest_mem_new(void)
{
	struct guest_mem *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->table = table_new(MEM_FIRST_SLOTS);
	if (!m->table) {
		free(m);
		return NULL;
	}
	m->file.fd = -1;
	pthread_mutex_init(&m->lock, NULL);
	return m;
}

void guest_mem_free(struct guest_mem *m)
{
	struct mem_table *t, *older;

	if (!m)
		return;
	for (t = m->table; t; t = older) {
		older = t->older;
		free(t);
	}
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/*
 * A reader may read an entry while a writer changes it. It then sees that seq has changed, and
 * reads again. So each field is loaded with acquire and stored with release: a reader that has seen
 * one new field also sees the seq that was stored before it. Both are plain moves on x86.
 */
static void range_load(struct mem_range *to, const struct mem_range *entry)
{
	to->gpa = __atomic_load_n(&entry->gpa, __ATOMIC_ACQUIRE);
	to->size = __atomic_load_n(&entry->size, __ATOMIC_ACQUIRE);
	to->host = __atomic_load_n(&entry->host, __ATOMIC_ACQUIRE);
	to->kind = __atomic_load_n(&entry->kind, __ATOMIC_ACQUIRE);
	to->dma = __atomic_load_n(&entry->dma, __ATOMIC_ACQUIRE);
}

static void range_store(struct mem_range *entry, const struct mem_range *from)
{
	__atomic_store_n(&entry->gpa, from->gpa, __ATOMIC_RELEASE);
	__atomic_store_n(&entry->size, from->size, __ATOMIC_RELEASE);
	__atomic_store_n(&entry->host, from->host, __ATOMIC_RELEASE);
	__atomic_store_n(&entry->kind, from->kind, __ATOMIC_RELEASE);
	__atomic_store_n(&entry->dma, from->dma, __ATOMIC_RELEASE);
}

/* Index of the first range that ends above gpa. */
static unsigned table_find(const struct mem_table *t, uint64_t gpa)
{
	unsigned lo = 0, hi = __atomic_load_n(&t->n, __ATOMIC_ACQUIRE);

	/* During a write n may have any value up to capacity, but not more. */
	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		uint64_t at = __atomic_load_n(&t->r[mid].gpa, __ATOMIC_ACQUIRE);
		uint64_t size = __atomic_load_n(&t->r[mid].size, __ATOMIC_ACQUIRE);

		if (gpa > at && gpa - at >= size)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Copies range number i if i >= 0; otherwise the first range that ends above gpa. */
static bool mem_lookup(const struct guest_mem *m, int i, uint64_t gpa, struct mem_range *out)
{
	unsigned seq, at;
	bool found;

	do {
		const struct mem_table *t;

		/* Pairs with the release store in edit_end(). */
		while ((seq = __atomic_load_n(&m->seq, __ATOMIC_ACQUIRE)) & 1)
			;
		t = __atomic_load_n(&m->table, __ATOMIC_ACQUIRE);
		at = i >= 0 ? (unsigned)i : table_find(t, gpa);
		found = at < __atomic_load_n(&t->n, __ATOMIC_ACQUIRE);
		if (found)
			range_load(out, &t->r[at]);
	} while (__atomic_load_n(&m->seq, __ATOMIC_RELAXED) != seq);
	return found;
}

/* Makes seq odd. Relaxed order is enough: the stores to the entries that follow are releases. */
static void edit_begin(struct guest_mem *m)
{
	__atomic_store_n(&m->seq, m->seq + 1, __ATOMIC_RELAXED);
}

static void edit_end(struct guest_mem *m)
{
	__atomic_store_n(&m->seq, m->seq + 1, __ATOMIC_RELEASE);
}

static int table_reserve(struct guest_mem *m)
{
	struct mem_table *t = m->table, *bigger;

	if (t->n < t->capacity)
		return 0;
	bigger = table_new(t->capacity * 2);
	if (!bigger)
		return -ENOMEM;
	memcpy(bigger->r, t->r, t->n * sizeof(t->r[0]));
	bigger->n = t->n;
	bigger->older = t;
	__atomic_store_n(&m->table, bigger, __ATOMIC_RELEASE);
	return 0;
}

static void table_insert(struct guest_mem *m, unsigned at, const struct mem_range *r)
{
	struct mem_table *t = m->table;

	edit_begin(m);
	for (unsigned i = t->n; i > at; i--)
		range_store(&t->r[i], &t->r[i - 1]);
	range_store(&t->r[at], r);
	__atomic_store_n(&t->n, t->n + 1, __ATOMIC_RELEASE);
	edit_end(m);
}

static void table_remove(struct guest_mem *m, unsigned at)
{
	struct mem_table *t = m->table;

	edit_begin(m);
	__atomic_store_n(&t->n, t->n - 1, __ATOMIC_RELEASE);
	for (unsigned i = at; i < t->n; i++)
		range_store(&t->r[i], &t->r[i + 1]);
	edit_end(m);
}

/* Calls del() of all listeners before `end`. */
static void listeners_del(struct guest_mem *m, const struct mem_listener *end,
			  const struct mem_range *r)
{
	struct mem_listener *l;

	for (l = m->listeners; l != end; l = l->next)
		l->del(l, r);
}

static int listeners_add(struct guest_mem *m, const struct mem_range *r)
{
	struct mem_listener *l;
	int ret;

	for (l = m->listeners; l; l = l->next) {
		ret = l->add(l, r);
		if (ret < 0) {
			listeners_del(m, l, r);
			return ret;
		}
	}
	return 0;
}

int guest_mem_add(struct guest_mem *m, const struct mem_range *r)
{
	const struct mem_table *t;
	unsigned at;
	int ret;

	if (r->size == 0 || !range_ok(r->gpa, r->size, UINT64_MAX) || !r->host ||
	    ((r->gpa | r->size | (uintptr_t)r->host) & (MEM_PAGE - 1)))
		return -EINVAL;

	scoped_lock(&m->lock);
	t = m->table;
	at = table_find(t, r->gpa);
	if (at < t->n && range_overlaps(r->gpa, r->size, t->r[at].gpa, t->r[at].size))
		return -EEXIST;
	ret = table_reserve(m);
	if (ret == 0)
		ret = listeners_add(m, r);
	if (ret < 0)
		return ret;
	table_insert(m, at, r);
	return 0;
}

int guest_mem_del(struct guest_mem *m, gpa_t base)
{
	struct mem_range r;
	unsigned at;

	scoped_lock(&m->lock);
	at = table_find(m->table, base.v);
	if (at >= m->table->n || m->table->r[at].gpa != base.v)
		return -ENOENT;
	r = m->table->r[at];
	/* Remove it from the table first, so that no device finds it while it is removed. */
	table_remove(m, at);
	listeners_del(m, NULL, &r);
	return 0;
}

int guest_mem_listen(struct guest_mem *m, struct mem_listener *l)
{
	const struct mem_table *t;
	struct mem_listener **end;
	unsigned i;
	int ret;

	scoped_lock(&m->lock);
	t = m->table;
	for (i = 0; i < t->n; i++) {
		ret = l->add(l, &t->r[i]);
		if (ret < 0) {
			while (i-- > 0)
				l->del(l, &t->r[i]);
			return ret;
		}
	}
	for (end = &m->listeners; *end; end = &(*end)->next)
		;
	l->next = NULL;
	*end = l;
	return 0;
}

void guest_mem_unlisten(struct guest_mem *m, struct mem_listener *l)
{
	struct mem_listener **p;
	unsigned i;

	scoped_lock(&m->lock);
	for (p = &m->listeners; *p && *p != l; p = &(*p)->next)
		;
	if (!*p)
		return;
	*p = l->next;
	for (i = 0; i < m->table->n; i++)
		l->del(l, &m->table->r[i]);
}

/* The first piece of [gpa, gpa + len): its host address and length. False: there is a hole. */
static bool mem_piece(const struct guest_mem *m, uint64_t gpa, size_t len, enum mem_access access,
		      struct iovec *piece)
{
	struct mem_range r;
	uint64_t off, left;

	if (!mem_lookup(m, -1, gpa, &r) || gpa < r.gpa || r.kind == MEM_DEVICE)
		return false;
	if (access == MEM_ACCESS_WRITE && r.kind == MEM_ROM)
		return false;
	off = gpa - r.gpa;
	left = r.size - off;
	piece->iov_base = (char *)r.host + off;
	piece->iov_len = len < left ? len : left;
	return true;
}

int guest_mem_iov(const struct guest_mem *m, gpa_t gpa, size_t len, enum mem_access access,
		  struct iovec *iov, unsigned max)
{
	uint64_t at = gpa.v;
	unsigned n = 0;

	if (len == 0 || !range_ok(at, len, UINT64_MAX))
		return -EFAULT;
	while (len > 0) {
		struct iovec piece;

		if (!mem_piece(m, at, len, access, &piece))
			return -EFAULT;
		at += piece.iov_len;
		len -= piece.iov_len;
		/* Merge pieces that are adjacent in the guest's and in our address space. */
		if (n && (char *)iov[n - 1].iov_base + iov[n - 1].iov_len == piece.iov_base) {
			iov[n - 1].iov_len += piece.iov_len;
			continue;
		}
		if (n == max)
			return -E2BIG;
		iov[n++] = piece;
	}
	return (int)n;
}

/* Checks the whole range before it copies, so it copies all bytes or none. */
static int mem_copy(const struct guest_mem *m, uint64_t gpa, char *buf, size_t len,
		    enum mem_access access)
{
	struct iovec piece;
	uint64_t at = gpa;
	size_t left = len;

	if (!range_ok(gpa, len, UINT64_MAX))
		return -EFAULT;
	for (; left; left -= piece.iov_len, at += piece.iov_len)
		if (!mem_piece(m, at, left, access, &piece))
			return -EFAULT;
	for (; len; len -= piece.iov_len, gpa += piece.iov_len, buf += piece.iov_len) {
		if (!mem_piece(m, gpa, len, access, &piece))
			return -EFAULT;
		if (access == MEM_ACCESS_WRITE)
			memcpy(piece.iov_base, buf, piece.iov_len);
		else
			memcpy(buf, piece.iov_base, piece.iov_len);
	}
	return 0;
}

int guest_mem_read(const struct guest_mem *m, gpa_t gpa, void *dst, size_t len)
{
	return mem_copy(m, gpa.v, dst, len, MEM_ACCESS_READ);
}

int guest_mem_write(struct guest_mem *m, gpa_t gpa, const void *src, size_t len)
{
	/* MEM_ACCESS_WRITE only reads from the buffer. */
	return mem_copy(m, gpa.v, (char *)(uintptr_t)src, len, MEM_ACCESS_WRITE);
}

void *guest_mem_ptr(const struct guest_mem *m, gpa_t gpa, size_t len, size_t align)
{
	struct mem_range r;

	if (!is_pow2(align) || (gpa.v & (align - 1)) || !mem_lookup(m, -1, gpa.v, &r))
		return NULL;
	if (r.kind != MEM_RAM || !range_within(gpa.v, len, r.gpa, r.size))
		return NULL;
	return (char *)r.host + (gpa.v - r.gpa);
}

static __attribute__((noinline)) void *last_find(const struct guest_mem *m, struct mem_last *last,
						 gpa_t gpa, size_t len)
{
	struct mem_range r;

	/* If a writer changes the table during the lookup, this is too old, and the next call looks
	 * again. */
	last->seq = __atomic_load_n(&m->seq, __ATOMIC_ACQUIRE);
	last->size = 0;
	if (!mem_lookup(m, -1, gpa.v, &r) || r.kind != MEM_RAM)
		return NULL;
	last->gpa = r.gpa;
	last->size = r.size;
	last->host = r.host;
	return range_within(gpa.v, len, r.gpa, r.size) ? last->host + (gpa.v - r.gpa) : NULL;
}

void *guest_mem_near(const struct guest_mem *m, struct mem_last *last, gpa_t gpa, size_t len)
{
	/* Pairs with the release store in edit_end(). */
	if (last->seq != __atomic_load_n(&m->seq, __ATOMIC_ACQUIRE) ||
	    !range_within(gpa.v, len, last->gpa, last->size))
		return last_find(m, last, gpa, len);
	return last->host + (gpa.v - last->gpa);
}

void guest_mem_set_file(struct guest_mem *m, const struct mem_file *f)
{
	m->file = *f;
}

struct mem_file guest_mem_file(const struct guest_mem *m)
{
	return m->file;
}

int guest_mem_each(const struct guest_mem *m, int (*fn)(void *, const struct mem_range *),
		   void *arg)
{
	struct mem_range r;
	int i, ret;

	for (i = 0; mem_lookup(m, i, 0, &r); i++) {
		ret = fn(arg, &r);
		if (ret)
			return ret;
	}
	return 0;
}
