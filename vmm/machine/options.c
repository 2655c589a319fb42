/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command line.
 *
 * Every option of the machine is one row of `options`; those of devices are in the classes of the
 * devices (vmm/machine/classes.c). Every key of a `PATH,key=value,...` argument is one row of a key
 * table (vmm/core/keys.h). Unknown options, unknown keys, bad values and contradictions name the
 * option that they are about.
 */
#include "vmm/machine/options.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "devices/backend/chardev.h"
#include "devices/chipset/serial.h"
#include "vfio/options.h"
#include "vmm/core/addr.h"
#include "vmm/core/keys.h"
#include "vmm/core/text.h"
#include "vmm/machine/classes.h"
#include "vmm/placement/ram.h"

struct option {
	const char *name; /* without the dashes */
	const char *arg;  /* NULL: takes none; "[...": only as --name=value */
	int (*parse)(struct config *, const struct option *, const char *arg, struct error *);
	size_t offset; /* into struct config, for the simple kinds */
	const struct key *keys;
};

static struct key_reader keys_of(struct config *c, const struct option *o, void *base,
				 bool positional)
{
	return (struct key_reader){
		.keys = o->keys, .positional = positional, .pool = &c->pool, .base = base
	};
}

static int read_keys(struct config *c, const struct option *o, const char *arg, void *base,
		     struct error *err)
{
	struct key_reader r = keys_of(c, o, base, true);

	return keys_read(&r, arg, err) < 0 ? error_prefix(err, "--%s", o->name) : 0;
}

static int opt_string(struct config *c, const struct option *o, const char *arg, struct error *err)
{
	const char **field = (const char **)((char *)c + o->offset);

	if (*field)
		return error_set(err, -EINVAL, "--%s is given twice", o->name);
	if (!*arg && o->arg[0] != 'S')
		return error_set(err, -EINVAL, "--%s needs a value", o->name);
	*field = key_pool_keep(&c->pool, strdup(arg));
	return *field ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int opt_flag(struct config *c, const struct option *o, const char *arg, struct error *err)
{
	(void)arg;
	(void)err;
	*(bool *)((char *)c + o->offset) = true;
	return 0;
}

static int opt_stats(struct config *c, const struct option *o, const char *arg, struct error *err)
{
	c->stats = true;
	return arg ? opt_string(c, o, arg, err) : 0;
}

static int opt_verbose(struct config *c, const struct option *o, const char *arg, struct error *err)
{
	(void)o;
	(void)arg;
	(void)err;
	c->verbose++;
	return 0;
}

static int opt_action(struct config *c, const struct option *o, const char *arg, struct error *err)
{
	(void)arg;
	(void)err;
	c->action = o->name[0] == 'h' ? CONFIG_HELP : CONFIG_VERSION;
	return 0;
}

#define MEMORY_MIN (16 * MiB)
#define MEMORY_MAX (16384 * GiB)

/* hugepages= and nodes= as they are meant. */
static int finish_ram(struct config_ram *r)
{
	static const char *const names[] = {
		[RAM_AUTO] = "auto", [RAM_4K] = "off", [RAM_2M] = "2M", [RAM_1G] = "1G"
	};
	unsigned i;

	for (i = 0; r->hugepages && i < ARRAY_SIZE(names); i++)
		if (names[i] && strcasecmp(r->hugepages, names[i]) == 0)
			r->pages = i;
	if (r->hugepages && r->hugepages[0] == '/') {
		r->pages = RAM_PATH;
		r->path = r->hugepages;
	}
	r->nodes_auto = r->node_list && strcmp(r->node_list, "auto") == 0;
	if (r->hugepages && r->pages == RAM_PLAIN)
		return -EINVAL;
	return r->node_list && !r->nodes_auto ? node_list_parse(r->node_list, &r->nodes) : 0;
}

static int opt_memory(struct config *c, const struct option *o, const char *arg, struct error *err)
{
	uint64_t page = 1;
	int ret;

	if (c->memory)
		return error_set(err, -EINVAL, "--%s is given twice", o->name);
	ret = read_keys(c, o, arg, &c->ram, err);
	if (ret < 0)
		return ret;
	if (key_parse_number(c->ram.size, MiB, &c->memory) < 0 || c->memory < MEMORY_MIN ||
	    c->memory > MEMORY_MAX || c->memory % MiB)
		return error_set(err, -EINVAL,
				 "--%s %s: use whole MiB from 16M to 16T, like 512M or 4G", o->name,
				 c->ram.size);
	if (finish_ram(&c->ram) < 0)
		return error_set(err, -EINVAL,
				 "--%s %s: hugepages= is 1G, 2M, off, auto or the path of a "
				 "hugetlbfs; nodes= is auto or a list like 0,2-3",
				 o->name, arg);
	if (c->ram.pages == RAM_2M || c->ram.pages == RAM_1G)
		page = c->ram.pages == RAM_2M ? 2 * MiB : GiB;
	if (c->memory % page)
		return error_set(err, -EINVAL,
				 "--%s %s: with hugepages=%s the size must be a multiple of %s",
				 o->name, arg, c->ram.hugepages, c->ram.hugepages);
	return 0;
}

static int opt_cpus(struct config *c, const struct option *o, const char *arg, struct error *err)
{
	if (c->cpus.n)
		return error_set(err, -EINVAL, "--%s is given twice", o->name);
	return read_keys(c, o, arg, &c->cpus, err);
}

static int bad_cpu(const struct option *o, const char *item, struct error *err)
{
	struct error why = *err;

	if (strchr(item, '='))
		return error_prefix(err, "--%s", o->name);
	return error_set(err, why.code,
			 "--%s: %s; there are no models, the guest has the host's processor",
			 o->name, why.text);
}

/* `host` in front is what it is anyway; people are used to say so. */
static int opt_cpu(struct config *c, const struct option *o, const char *arg, struct error *err)
{
	char *rest = key_pool_keep(&c->pool, strdup(arg)), *item = keys_next_item(&rest);
	struct key_reader r = keys_of(c, o, &c->cpu, false);
	int ret = 0;

	if (item && strcmp(item, "host") == 0)
		item = keys_next_item(&rest);
	for (; item && ret == 0; item = keys_next_item(&rest))
		ret = *item == '+' || *item == '-'	  ? config_cpu_feature(&c->cpu, item, err)
		      : keys_read_item(&r, item, err) < 0 ? bad_cpu(o, item, err)
							  : 0;
	return ret;
}

static int opt_one_key(struct config *c, const struct option *o, const char *arg, struct error *err)
{
	struct key_reader r = keys_of(c, o, c, false);

	return key_set(&r, o->keys, arg, err) < 0 ? error_prefix(err, "--%s", o->name) : 0;
}

/* A window is as large as the largest BAR that it can hold, so it is a power of two. */
#define WINDOW_MIN MiB
#define WINDOW_MAX (1024 * GiB)

static int opt_hotplug(struct config *c, const struct option *o, const char *arg, struct error *err)
{
	struct config_hotplug *h = &c->hotplug;

	if (h->n)
		return error_set(err, -EINVAL, "--%s is given twice", o->name);
	if (read_keys(c, o, arg, h, err) < 0)
		return err->code;
	if (!h->size || strcmp(h->size, "auto") == 0)
		return 0;
	if (key_parse_number(h->size, MiB, &h->window) < 0 || !is_pow2(h->window) ||
	    h->window < WINDOW_MIN || h->window > WINDOW_MAX)
		return error_set(err, -EINVAL,
				 "--%s: window=%s: use auto, or a power of two from 1M to 1024G",
				 o->name, h->size);
	return 0;
}

#define IN(type, field) offsetof(struct type, field)

static const struct key memory_keys[] = {
	{ "SIZE", KEY_STRING, IN(config_ram, size), 0, 0, { 0 } },
	{ "hugepages", KEY_STRING, IN(config_ram, hugepages), 0, 0, { 0 } },
	{ "nodes", KEY_LIST, IN(config_ram, node_list), 0, 0, { 0 } },
	{ "prefault", KEY_CHOICE, IN(config_ram, prefault), 0, 0, { "auto", "on", "off" } },
	{ "lock", KEY_FLAG, IN(config_ram, lock), 0, 0, { 0 } },
	{ 0 },
};

static const struct key cpus_keys[] = {
	{ "N", KEY_NUMBER, IN(config_cpus, n), 1, CONFIG_MAX_CPUS, { 0 } },
	{ "sockets", KEY_NUMBER, IN(config_cpus, sockets), 1, CONFIG_MAX_CPUS, { 0 } },
	{ "cores", KEY_NUMBER, IN(config_cpus, cores), 1, CONFIG_MAX_CPUS, { 0 } },
	{ "threads", KEY_NUMBER, IN(config_cpus, threads), 1, CONFIG_MAX_CPUS, { 0 } },
	{ "pin", KEY_LIST, IN(config_cpus, pin), 0, 0, { 0 } },
	{ 0 },
};

static const struct key cpu_keys[] = {
	{ "kvm", KEY_CHOICE, IN(config_cpu, kvm), 0, 0, { "on", "off" } },
	{ "phys_bits", KEY_NUMBER, IN(config_cpu, phys_bits), 32, 52, { 0 } },
	{ "hv_vendor_id", KEY_STRING, IN(config_cpu, hv_vendor_id), 0, 12, { 0 } },
	{ "hv_time", KEY_FLAG, IN(config_cpu, hv_time), 0, 0, { 0 } },
	{ "hv_relaxed", KEY_FLAG, IN(config_cpu, hv_relaxed), 0, 0, { 0 } },
	{ "hv_vapic", KEY_FLAG, IN(config_cpu, hv_vapic), 0, 0, { 0 } },
	{ "hv_spinlocks", KEY_NUMBER, IN(config_cpu, hv_spinlocks), 0xfff, UINT32_MAX, { 0 } },
	{ 0 },
};

static const struct key hotplug_keys[] = {
	{ "N", KEY_NUMBER, IN(config_hotplug, n), 1, 29, { 0 } },
	{ "window", KEY_STRING, IN(config_hotplug, size), 0, 0, { 0 } },
	{ 0 },
};

/* Options that are one key. */
static const struct key rt_key = { "it", KEY_NUMBER, IN(config, rt), 1, 99, { 0 } };
static const struct key idle_key = { "it", KEY_CHOICE, IN(config, idle), 0, 0, { "halt", "poll" } };
static const struct key rtc_key = { "it", KEY_CHOICE, IN(config, rtc_localtime),
				    0,	  0,	      { "utc", "localtime" } };
static const struct key core_key = { "it", KEY_FLAG, IN(config, core_dump), 0, 0, { 0 } };
static const struct key msr_key = {
	"it", KEY_CHOICE, IN(config, msr_gp), 0, 0, { "ignore", "gp" }
};

#define STRING(n, a, f)                               \
	{                                             \
		n, a, opt_string, IN(config, f), NULL \
	}
#define FLAG(n, f)                                     \
	{                                              \
		n, NULL, opt_flag, IN(config, f), NULL \
	}

static const struct option options[] = {
	STRING("name", "N", name),
	{ "cpus", "N[,sockets=,cores=,threads=,pin=]", opt_cpus, 0, cpus_keys },
	{ "cpu", "K=V,...", opt_cpu, 0, cpu_keys },
	{ "rt", "PRIO", opt_one_key, 0, &rt_key },
	{ "idle", "poll|halt", opt_one_key, 0, &idle_key },
	{ "rtc", "utc|localtime", opt_one_key, 0, &rtc_key },
	{ "msr-unknown", "ignore|gp", opt_one_key, 0, &msr_key },
	{ "memory", "SIZE[,...]", opt_memory, 0, memory_keys },
	STRING("firmware", "FILE", firmware),
	STRING("nvram", "FILE", nvram),
	STRING("kernel", "FILE", kernel),
	STRING("initrd", "FILE", initrd),
	STRING("append", "STRING", append),
	FLAG("bind", bind),
	{ "hotplug", "N[,window=SIZE]", opt_hotplug, 0, hotplug_keys },
	STRING("pidfile", "FILE", pidfile),
	FLAG("daemonize", daemonize),
	{ "core-dump", "on|off", opt_one_key, 0, &core_key },
	FLAG("no-reboot", no_reboot),
	STRING("dump-dtb", "FILE", dump_dtb),
	{ "stats", "[=FILE]", opt_stats, IN(config, stats_file), NULL },
	{ "verbose", NULL, opt_verbose, 0, NULL },
	{ "help", NULL, opt_action, 0, NULL },
	{ "version", NULL, opt_action, 0, NULL },
};

static const char help_head[] =
	"usage: minivmm [run] OPTION...           a Linux/KVM machine for PCI devices\n"
	"machine\n"
	"  --cpus N[,sockets=S,cores=C,threads=T][,pin=LIST|auto]  --rt PRIO  --idle poll\n"
	"  --cpu +FEATURE,-FEATURE,kvm=off,phys_bits=N,hv_time,hv_relaxed,hv_vapic,\n"
	"        hv_spinlocks=N,hv_vendor_id=S       what CPUID says  --msr-unknown gp\n"
	"  --memory SIZE[,hugepages=1G|2M|off|DIR][,nodes=0,1][,prefault=on][,lock=on]\n"
	"boot\n"
	"  --firmware FILE  --nvram FILE             OVMF code, and its variables (kept)\n"
	"  --kernel FILE [--initrd FILE] [--append S]  bzImage or PVH ELF, no firmware\n"
	"  --no-reboot  --rtc utc|localtime          a reset ends the run; guest's clock\n"
	"devices\n";
static const char help_tail[] =
	"  --hotplug N[,window=SIZE]                 N empty slots for a running machine\n"
	"  --name N  --pidfile FILE  --daemonize  --stats[=FILE]  --dump-dtb FILE\n"
	"  --core-dump on  -v, --verbose  -h, --help  --version  a comma in a value is ,,\n"
	"commands: check bind restore groups usb vf import report ctl bench; CMD --help\n";

#define HELP_COLUMNS 80

static bool one_line(const char *text)
{
	return strchr(text, '\n') == text + strlen(text) - 1;
}

/* The classes' lines; short ones share a line. */
static void help_devices(FILE *f)
{
	const struct device_class *const *c;
	size_t column = 0;

	for (c = device_classes; *c; c++) {
		const char *text = (*c)->help;
		size_t n = strlen(text) - 1; /* without the newline */

		if (column && (!one_line(text) || column + n > HELP_COLUMNS)) {
			fputc('\n', f);
			column = 0;
		}
		fwrite(text, 1, n, f);
		column = one_line(text) ? column + n : HELP_COLUMNS;
	}
	fputc('\n', f);
}

void config_help(FILE *f)
{
	fputs(help_head, f);
	help_devices(f);
	fputs(help_tail, f);
}

static bool is_name(const char *name, const char *arg, size_t len)
{
	return strlen(name) == len && strncmp(name, arg, len) == 0;
}

static const struct option *find_option(const char *arg, size_t len)
{
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(options); i++)
		if (is_name(options[i].name, arg, len))
			return &options[i];
	return NULL;
}

static const struct device_class *find_class(const char *arg, size_t len)
{
	const struct device_class *const *c;

	for (c = device_classes; *c; c++)
		if (is_name((*c)->option, arg, len))
			return *c;
	return NULL;
}

static int add_device(struct config *c, const struct device_class *class, const char *arg,
		      struct error *err)
{
	int ret = device_create(&c->devices, class, arg, err);

	return ret < 0 ? error_prefix(err, "--%s", class->option) : 0;
}

/* How often -v, -vv, ... says it; 0: it is something else. */
static unsigned count_v(const char *arg)
{
	size_t n = arg[0] == '-' ? strspn(arg + 1, "v") : 0;

	return n && !arg[n + 1] ? (unsigned)(n < 9 ? n : 9) : 0;
}

/* Options of QEMU that people type, and what does their work here. */
static const struct {
	const char *names, *ours;
} qemu_options[] = {
	{ "m", "--memory SIZE" },
	{ "smp", "--cpus N" },
	{ "hda hdb hdc hdd drive blockdev cdrom", "--disk FILE" },
	{ "net netdev nic", "--net tap,ifname=NAME" },
	{ "device", "--vfio BDF, --disk, --net, --console and --rng" },
	{ "bios pflash L", "--firmware FILE and --nvram FILE" },
	{ "accel enable-kvm machine M", "nothing for it: a machine is always a q35 with KVM" },
	{ "boot", "nothing for it: the guest's firmware has a boot menu" },
	{ "mem-path mem-prealloc", "--memory SIZE,hugepages=DIR,prefault=on" },
	{ "numa", "--memory SIZE,nodes=LIST" },
	{ "usb usbdevice", "--usb DEVICE, and --vfio for a whole controller" },
	{ "audio audiodev soundhw", "a sound card with --vfio or --usb" },
	{ "nodefaults no-user-config", "nothing for it: a machine has what was asked for" },
	{ "nographic display vga vnc spice", "--serial TO, or a graphics card with --vfio" },
	{ "monitor mon", "--qmp auto, and minivmm ctl NAME" },
	{ "object", "--memory SIZE,hugepages=... and --rng" },
	{ "cpu kernel initrd append name serial qmp pidfile daemonize rtc no-reboot debugcon",
	  "the same with two dashes" },
};

static const char *find_qemu(const char *name)
{
	size_t len = strlen(name), n;
	const char *p;
	unsigned i;

	for (i = 0; len && i < ARRAY_SIZE(qemu_options); i++)
		for (p = qemu_options[i].names; *p; p += n + (p[n] == ' ')) {
			n = strcspn(p, " ");
			if (n == len && strncmp(p, name, n) == 0)
				return qemu_options[i].ours;
		}
	return NULL;
}

static const char *nearest_option(const char *word)
{
	struct text_nearest near = { .word = word, .distance = UINT_MAX };
	const struct device_class *const *c;

	for (unsigned i = 0; i < ARRAY_SIZE(options); i++)
		text_consider(&near, options[i].name);
	for (c = device_classes; *c; c++)
		text_consider(&near, (*c)->option);
	return near.name;
}

/* before: the word in front of it, which may be an option whose value comes only behind a '='. */
static int unknown_word(const char *before, const char *arg, struct error *err)
{
	const struct option *o = strncmp(before, "--", 2) == 0
					 ? find_option(before + 2, strlen(before) - 2)
					 : NULL;

	if (o && o->arg && o->arg[0] == '[')
		return error_set(err, -EINVAL, "%s takes a value only behind '=': %s=%s", before,
				 before, arg);
	return error_set(err, -EINVAL, "no command and no option %s: %s%s", arg,
			 access(arg, F_OK) == 0 ? "a disk is given with --disk "
						: "see minivmm --help",
			 access(arg, F_OK) == 0 ? arg : "");
}

static int unknown_option(const char *before, const char *arg, struct error *err)
{
	const char *name = arg + 1 + (arg[1] == '-'), *ours = find_qemu(name), *near;
	char word[TEXT_WORD_MAX + 1];

	if (arg[0] != '-')
		return unknown_word(before, arg, err);
	if (ours)
		return error_set(err, -EINVAL,
				 "unknown option %s: it is QEMU's, minivmm has %s; minivmm import "
				 "translates a whole QEMU command",
				 arg, ours);
	snprintf(word, sizeof(word), "%.*s", (int)strcspn(name, "="), name);
	near = nearest_option(word);
	if (near)
		return error_set(err, -EINVAL, "unknown option %s: did you mean --%s?", arg, near);
	return error_set(err, -EINVAL, "unknown option %s: see minivmm --help%s", arg,
			 arg[1] == '-' ? "" : "; minivmm import translates a whole QEMU command");
}

/* Handles argv[i]; returns how many words it took. */
static int parse_option(struct config *c, int argc, char **argv, int i, struct error *err)
{
	const char *arg = strcmp(argv[i], "-h") == 0 ? "--help" : argv[i], *val = NULL, *takes;
	size_t len = strcspn(arg, "=");
	bool dashed = strncmp(arg, "--", 2) == 0;
	const struct option *o = dashed ? find_option(arg + 2, len - 2) : NULL;
	const struct device_class *class = dashed ? find_class(arg + 2, len - 2) : NULL;
	int used = 1, ret;

	if (count_v(arg)) {
		c->verbose += count_v(arg);
		return 1;
	}
	if (!o && !class)
		return unknown_option(i > 1 ? argv[i - 1] : "", arg, err);
	takes = o ? o->arg : class->arg;
	if (arg[len] == '=')
		val = arg + len + 1;
	if (!takes && val)
		return error_set(err, -EINVAL, "%.*s takes no value", (int)len, arg);
	if (takes && takes[0] != '[' && !val) {
		if (i + 1 >= argc)
			return error_set(err, -EINVAL, "%s needs a value: %s", arg, takes);
		val = argv[i + 1];
		used = 2;
	}
	ret = o ? o->parse(c, o, val, err) : add_device(c, class, val, err);
	return ret < 0 ? ret : used;
}

static bool is_stdio(const struct device *d)
{
	return device_arg(d) && strcmp(device_arg(d), "stdio") == 0;
}

/* The terminal has one user, and there is a serial port. */
static int check_stdio(struct config *c, struct error *err)
{
	const struct device *d;
	unsigned stdio = 0;

	for (d = c->devices.first; d; d = d->next)
		stdio += is_stdio(d);
	if (stdio > 1)
		return error_set(err, -EINVAL,
				 "--serial, --console: only one of them can have stdio");
	if (stdio && c->daemonize)
		return error_set(err, -EINVAL,
				 "--daemonize cannot be used with stdio for --serial or --console");
	if (device_next(&c->devices, &serial_class, NULL))
		return 0;
	return device_create(&c->devices, &serial_class, stdio || c->daemonize ? "null" : "stdio",
			     err);
}

/* It goes into messages, the process list, and the name of a folder. */
static int check_name(const char *name, struct error *err)
{
	const char *p = name;
	bool control = false;

	while (*p && *p != '/' && !control)
		p += text_char(p, &control);
	if (*name && !*p && !control)
		return 0;
	return error_set(err, -EINVAL,
			 "--name takes a name without '/' and control characters, like web1");
}

static int check(struct config *c, struct error *err)
{
	if (c->name && check_name(c->name, err) < 0)
		return err->code;
	if (c->initrd && !c->kernel)
		return error_set(err, -EINVAL, "--initrd needs --kernel");
	if (c->bind && !vfio_count(&c->devices) && !c->hotplug.n)
		return error_set(err, -EINVAL,
				 "--bind needs --vfio or --hotplug: it binds their devices");
	if (!c->hotplug.n && vfio_wants_unplug(&c->devices))
		return error_set(err, -EINVAL,
				 "--vfio: on-error=unplug needs a slot that is hot-pluggable: add "
				 "--hotplug 1");
	if (c->append && !c->kernel)
		return error_set(err, -EINVAL, "--append needs --kernel");
	if (c->nvram && c->kernel && !c->firmware)
		return error_set(
			err, -EINVAL,
			"--nvram cannot be used with --kernel alone: without firmware there are no "
			"UEFI variables; add --firmware and the firmware starts the kernel");
	if (!c->memory)
		c->memory = GiB;
	return check_stdio(c, err);
}

int config_parse(struct config *c, int argc, char **argv, struct error *err)
{
	int i = 1, n;

	*c = (struct config){ 0 };
	for (; i < argc; i += n) {
		n = parse_option(c, argc, argv, i, err);
		if (n < 0)
			return n;
		if (c->action != CONFIG_RUN)
			return 0;
	}
	n = config_cpus_finish(c, err);
	return n < 0 ? n : check(c, err);
}

void config_free(struct config *c)
{
	key_pool_free(&c->pool);
	device_list_free(&c->devices);
	*c = (struct config){ 0 };
}
