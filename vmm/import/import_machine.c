/* SPDX-License-Identifier: BSD-2-Clause */
/* Processors, memory, firmware, the process. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/addr.h"
#include "vmm/core/text.h"
#include "vmm/import/import_parts.h"

/* A plain number; *out is left alone otherwise. */
static bool number(const char *s, unsigned long long *out)
{
	unsigned long long n;
	char *end;

	if (!s || *s < '0' || *s > '9')
		return false;
	n = strtoull(s, &end, 0);
	if (*end || n > UINT32_MAX)
		return false;
	*out = n;
	return true;
}

/* How many CPUs a list like 0-3,8 names; 0: not to be told. */
static unsigned long long count_list(const char *s)
{
	unsigned long long n = 0;
	unsigned first, last;
	int ret;

	while ((ret = text_range(&s, UINT32_MAX, &first, &last)) > 0)
		n += last - first + 1ull;
	return ret < 0 ? 0 : n;
}

struct smp {
	const char *n;
	const char *sockets, *cores, *threads;
	unsigned long long count; /* 0: not known */
};

/* QEMU derives the number from the topology when only that is given. Dies, clusters and modules
 * become cores. */
static struct smp read_smp(struct importer *im, const struct import_item *it)
{
	struct smp p = { import_get(it, "cpus"), import_get(it, "sockets"), import_get(it, "cores"),
			 import_get(it, "threads"), 0 };
	unsigned long long sockets = 1, cores = 1, threads = 1, inner = 1, part = 1;
	static const char *const inners[] = { "dies", "clusters", "modules" };
	bool known = (!p.sockets || number(p.sockets, &sockets)) &&
		     (!p.cores || number(p.cores, &cores)) &&
		     (!p.threads || number(p.threads, &threads));
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(inners); i++) {
		if (number(import_get(it, inners[i]), &part))
			inner *= part;
		part = 1;
	}
	cores *= inner;
	if (inner != 1)
		p.cores = import_fmt(im, "%llu", cores);
	if (!p.n)
		p.n = known ? import_fmt(im, "%llu", sockets * cores * threads)
			    : import_get(it, "maxcpus");
	if (!p.n)
		p.n = "1";
	if (!number(p.n, &p.count) || !known)
		return p;
	part = sockets * cores * threads;
	if (part == 0 || p.count % part != 0 || (p.sockets && p.cores && part != p.count)) {
		import_note(im, it, NULL, IMPORT_CHANGED,
			    "its topology has more than the %s processors that are given: it is "
			    "left out",
			    p.n);
		p.sockets = p.cores = p.threads = NULL;
	}
	return p;
}

static unsigned long long cpu_count(const struct importer *im)
{
	const struct import_item *it = import_last(im, "smp");
	unsigned long long n = 1, part;
	static const char *const keys[] = { "sockets", "dies",	"clusters",
					    "modules", "cores", "threads" };
	unsigned i;

	if (import_get(it, "cpus"))
		return number(import_get(it, "cpus"), &n) ? n : 0;
	for (i = 0; i < ARRAY_SIZE(keys); i++)
		if (number(import_get(it, keys[i]), &part))
			n *= part;
	return n;
}

bool import_pin_fits(const struct importer *im, const char *list)
{
	return !shell_is_live(list) && count_list(list) == cpu_count(im);
}

static void write_cpus(struct importer *im)
{
	const struct import_item *it = import_last(im, "smp");
	struct smp p = read_smp(im, it);
	const char *s = import_comma(im, p.n);

	if (p.sockets)
		s = import_fmt(im, "%s,sockets=%s", s, p.sockets);
	if (p.cores)
		s = import_fmt(im, "%s,cores=%s", s, p.cores);
	if (p.threads)
		s = import_fmt(im, "%s,threads=%s", s, p.threads);
	if (im->pin && import_pin_fits(im, im->pin))
		s = import_fmt(im, "%s,pin=%s", s, im->pin); /* a list's commas are its own */
	else if (im->pin)
		import_note(im, NULL, NULL, IMPORT_LOST,
			    "taskset %s: --cpus pin= needs exactly one CPU for each processor of "
			    "the guest",
			    im->pin);
	if (it || im->pin)
		import_line(im, "--cpus", s);
}

/* QEMU's names for what --cpu can say; both of _ and - are used. */
static const struct {
	const char *qemu, *key;
	bool flag;
} cpu_keys[] = {
	{ "kvm", "kvm", false },
	{ "phys[-_]bits|host[-_]phys[-_]bits[-_]limit", "phys_bits", false },
	{ "hv[-_]time", "hv_time", true },
	{ "hv[-_]relaxed", "hv_relaxed", true },
	{ "hv[-_]vapic", "hv_vapic", true },
	{ "hv[-_]spinlocks", "hv_spinlocks", false },
	{ "hv[-_]vendor[-_]id", "hv_vendor_id", false },
};

/* A feature that is taken away, in the spelling of /proc/cpuinfo; "": none is. */
static const char *hidden_feature(struct importer *im, const struct import_item *it,
				  const struct import_pair *p)
{
	char *s, *c;

	if (p->key[0] != '-' &&
	    (import_on(it, p->key) || import_judge("cpu host", p) != IMPORT_SAME))
		return "";
	s = (char *)import_fmt(im, ",-%s", p->key + (p->key[0] == '-'));
	for (c = s + strnlen(s, 2); *c; c++)
		*c = *c == '-' || *c == '.' ? '_' : *c;
	return s;
}

static const char *cpu_key(struct importer *im, const struct import_item *it,
			   const struct import_pair *p)
{
	unsigned i;

	if (import_get(it, p->key) != p->val || p->key == it->first)
		return "";
	for (i = 0; i < ARRAY_SIZE(cpu_keys); i++) {
		if (!import_match(cpu_keys[i].qemu, p->key))
			continue;
		if (cpu_keys[i].flag)
			return import_on(it, p->key) ? import_fmt(im, ",%s", cpu_keys[i].key) : "";
		if (import_match("kvm=on|kvm=true", import_fmt(im, "%s=%s", p->key, p->val)))
			return "";
		return import_fmt(im, ",%s=%s", cpu_keys[i].key, import_comma(im, p->val));
	}
	return hidden_feature(im, it, p);
}

static void write_cpu(struct importer *im)
{
	const struct import_item *it = import_last(im, "cpu");
	const char *s = "";
	unsigned i;

	for (i = 0; it && i < it->n; i++)
		s = import_fmt(im, "%s%s", s, cpu_key(im, it, &it->pair[i]));
	if (*s)
		import_line(im, "--cpu", s + 1);
}

/* The memory-backend objects that are the guest's memory, one after the other. */
static const struct import_item *next_backend(const struct importer *im,
					      const struct import_item *it)
{
	const char *id;

	while ((it = import_next(im, it, "object", NULL, NULL))) {
		id = import_get(it, "id");
		if (id && import_match("memory-backend-*", import_get(it, it->first) ?: "") &&
		    (import_next(im, NULL, "machine|M", "memory-backend", id) ||
		     import_next(im, NULL, "numa", "memdev", id)))
			return it;
	}
	return NULL;
}

/* minivmm takes whole MiB: QEMU's fractions become them. */
static const char *memory_size(struct importer *im, const char *size)
{
	char *end;
	double n = strtod(size, &end);
	const char *unit = *end ? strchr("MGT", *end & ~0x20) : NULL;
	static const double mib[] = { 1, 1024, 1024 * 1024 };

	if (!memchr(size, '.', (size_t)(end - size)) || !unit || !*unit)
		return size;
	return import_fmt(im, "%.0fM", n * mib[unit - "MGT"]);
}

static const char *huge_path(struct importer *im, const char *path)
{
	return strncmp(path, "/dev/shm", 8) == 0
		       ? ""
		       : import_fmt(im, ",hugepages=%s", import_comma(im, path));
}

static const char *huge_size(struct importer *im, const struct import_item *b)
{
	const char *size = import_get(b, "hugetlbsize");

	if (import_get(b, "mem-path"))
		return huge_path(im, import_get(b, "mem-path"));
	if (!import_on(b, "hugetlb"))
		return "";
	return import_fmt(im, ",hugepages=%s", size ? import_comma(im, size) : "auto");
}

struct memory {
	const char *size, *huge, *nodes;
	bool prefault, lock;
};

static void add_backend(struct importer *im, struct memory *m, const struct import_item *b)
{
	const char *nodes = import_get(b, "host-nodes");

	if (!m->size)
		m->size = import_get(b, "size");
	if (!*m->huge)
		m->huge = huge_size(im, b);
	if (nodes)
		m->nodes = m->nodes ? import_fmt(im, "%s,%s", m->nodes, nodes) : nodes;
	m->prefault |= import_on(b, "prealloc");
}

static struct memory read_memory(struct importer *im)
{
	const struct import_item *path = import_last(im, "mem-path"), *b = NULL;
	struct memory m = {
		.size = import_get(import_last(im, "m"), "size"),
		.huge = path && path->arg ? huge_path(im, path->arg) : "",
		.nodes = im->nodes,
		.prefault = import_last(im, "mem-prealloc"),
		.lock = import_on(import_last(im, "overcommit"), "mem-lock") ||
			import_on(import_last(im, "realtime"), "mlock"),
	};

	while ((b = next_backend(im, b)))
		add_backend(im, &m, b);
	return m;
}

static void write_memory(struct importer *im)
{
	struct memory m = read_memory(im);
	const char *s = import_fmt(im, "%s%s", m.size ? memory_size(im, m.size) : "1G", m.huge);

	if (m.nodes)
		s = import_fmt(im, "%s,nodes=%s", s, m.nodes);
	s = import_fmt(im, "%s%s%s", s, m.prefault ? ",prefault=on" : "", m.lock ? ",lock=on" : "");
	if (m.size || strcmp(s, "1G") != 0)
		import_line(im, "--memory", s);
}

static const char *raw_flash(struct importer *im, const struct import_item *it, const char *file)
{
	const char *format = import_get(it, "format"), *raw;

	if (!file || !format || strcmp(format, "raw") == 0)
		return file;
	raw = import_fmt(im, "%s.raw", file);
	import_note(im, it, NULL, IMPORT_CHANGED,
		    "minivmm reads raw images: qemu-img convert -O raw %s %s",
		    import_quoted(im, file), import_quoted(im, raw));
	return raw;
}

/* The flash chips in the order of their units: code, then variables. */
static unsigned read_flash(struct importer *im, const char *file[2],
			   const struct import_item *from[2])
{
	const struct import_item *it = NULL, *node, *machine = import_last(im, "machine|M");
	static const char *const chips[] = { "pflash0", "pflash1" };
	unsigned n = 0, i;

	while (n < 2 && (it = import_next(im, it, "drive|pflash", NULL, NULL))) {
		if (it->name[0] == 'd' && !import_match("pflash", import_get(it, "if") ?: ""))
			continue;
		from[n] = it;
		file[n++] = raw_flash(im, it,
				      it->name[0] == 'd' ? import_get(it, "file") : it->arg);
	}
	for (i = 0; i < 2 && n == i && import_get(machine, chips[i]); i++, n++) {
		node = import_next(im, NULL, "blockdev", "node-name",
				   import_get(machine, chips[i]));
		from[i] = node;
		file[i] = import_node_file(im, node);
	}
	if (n == 2 && import_match("1", import_get(from[0], "unit") ?: "")) {
		const char *swap = file[0];

		file[0] = file[1];
		file[1] = swap;
	}
	return n;
}

static const char bios_only[] = "minivmm's firmware is UEFI (OVMF): a guest that was installed for "
				"BIOS does not start";

static void write_firmware(struct importer *im)
{
	const struct import_item *bios = import_last(im, "bios"), *from[2] = { 0 };
	const char *file[2] = { 0 };
	unsigned n = read_flash(im, file, from);

	if (n == 0 && bios && bios->arg) {
		if (import_match("bios*.bin|*/bios*.bin|*qboot*|*seabios*", bios->arg))
			import_note(im, bios, NULL, IMPORT_LOST, bios_only);
		else
			import_line(im, "--firmware", bios->arg);
	} else if (n == 0 && !import_last(im, "kernel") && !import_elided(im)) {
		import_note(im, NULL, NULL, IMPORT_CHANGED, "QEMU's own firmware (SeaBIOS): %s",
			    bios_only);
	}
	if (file[0])
		import_line(im, "--firmware", file[0]);
	if (file[1])
		import_line(im, "--nvram", file[1]);
	if (n == 1 && !import_on(from[0], "readonly") && !import_on(from[0], "read-only"))
		import_note(im, from[0], NULL, IMPORT_CHANGED,
			    "UEFI variables are not written into the firmware image: use --nvram "
			    "FILE to keep them");
}

/* One value there, one value here. */
static void write_same(struct importer *im, const char *const (*same)[2], unsigned n)
{
	const struct import_item *it;
	const char *val;
	unsigned i;

	for (i = 0; i < n; i++) {
		it = import_last(im, same[i][0]);
		val = it && it->first ? import_get(it, it->first) : it ? it->arg : NULL;
		if (val)
			import_line(im, same[i][1], val);
	}
}

static const char *const boot[][2] = {
	{ "kernel", "--kernel" },
	{ "initrd", "--initrd" },
	{ "append", "--append" },
};

static const char *const process[][2] = {
	{ "name", "--name" },
	{ "pidfile", "--pidfile" },
};

void import_machine(struct importer *im)
{
	write_cpus(im);
	write_cpu(im);
	write_memory(im);
	if (im->rt)
		import_line(im, "--rt", im->rt);
	if (import_on(import_last(im, "overcommit"), "cpu-pm"))
		import_line(im, "--idle", "poll");
	if (import_last(im, "localtime") ||
	    import_match("localtime", import_get(import_last(im, "rtc"), "base") ?: ""))
		import_line(im, "--rtc", "localtime");
	write_firmware(im);
	write_same(im, boot, ARRAY_SIZE(boot));
}

static void write_qmp(struct importer *im)
{
	const struct import_item *it = NULL;

	while ((it = import_next(im, it, "qmp|qmp-pretty", NULL, NULL)))
		if (it->arg && import_match("unix:*", it->arg))
			import_line(im, "--qmp",
				    import_fmt(im, "%.*s", (int)strcspn(it->arg, ","), it->arg));
}

/* A port without a device is for one that comes later, if there is a way to ask for it. */
static bool is_empty_port(const struct importer *im, const struct import_item *it)
{
	const char *id = import_get(it, "id");

	return import_match("pcie-root-port|ioh3420", import_get(it, it->first) ?: "") &&
	       !import_match("off|false", import_get(it, "hotplug") ?: "") &&
	       !(id && import_next(im, NULL, "device", "bus", id));
}

#define MOST_SLOTS 29u

static void write_hotplug(struct importer *im)
{
	const struct import_item *it = NULL, *port = NULL;
	unsigned n, asked = 0;

	while ((it = import_next(im, it, "device", NULL, NULL))) {
		if (!it->first || !is_empty_port(im, it))
			continue;
		asked++;
		port = it;
	}
	if (!asked || !import_last(im, "qmp|qmp-pretty"))
		return;
	n = asked < MOST_SLOTS ? asked : MOST_SLOTS;
	import_line(im, "--hotplug", import_fmt(im, "%u", n));
	import_note(im, port, "id", IMPORT_CHANGED,
		    "device_add takes the slots hotplug0 to hotplug%u as bus=, or none%s", n - 1,
		    n < asked ? import_fmt(im, "; a machine has at most %u, not %u", n, asked)
			      : "");
}

void import_process(struct importer *im)
{
	const struct import_item *action = import_last(im, "action");

	if (import_last(im, "no-reboot") ||
	    import_match("shutdown", import_get(action, "reboot") ?: ""))
		import_line(im, "--no-reboot", NULL);
	if (import_on(import_last(im, "machine|M"), "dump-guest-core"))
		import_line(im, "--core-dump", "on");
	write_same(im, process, ARRAY_SIZE(process));
	write_qmp(im);
	write_hotplug(im);
	if (import_last(im, "daemonize"))
		import_line(im, "--daemonize", NULL);
}
