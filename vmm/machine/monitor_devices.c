/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands of QEMU become arguments of our classes: {"driver": "virtio-blk-pci", "drive": "n"} is
 * what the node n says, in the words of --disk. So a device that is added has the keys, the checks
 * and the messages of one that is given at the start. Properties that mean nothing here (such as
 * bootindex) are accepted where scripts use them, and others are refused by the class.
 *
 * Values may be strings or JSON's numbers and truth values.
 */
#include "vmm/machine/monitor_devices.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/virtio/virtio_blk.h"
#include "devices/virtio/virtio_net.h"
#include "devices/virtio/virtio_rng.h"
#include "vfio/options.h"
#include "vmm/control/qmp.h"
#include "vmm/core/addr.h"
#include "vmm/core/text.h"
#include "vmm/machine/hotplug.h"
#include "vmm/machine/monitor.h"
#include "vmm/machine/monitor_usb.h"
#include "vmm/machine/usb.h"

#define NODES_MAX 64u
#define ARG_MAX	  4096u

/* How an image is used. NULL: not said. */
struct image_use {
	const char *cache, *aio; /* our words */
	bool ro;
};

struct monitor_node {
	struct monitor_node *next;
	char name[64];
	bool net;  /* of netdev_add */
	bool used; /* by a device that is being added, or by... */
	const struct device *user;
	char *arg; /* in the words of the class; of an image only the path */
	struct image_use use;
};

/* ---- an argument in the words of a class ---- */

struct arg {
	char text[ARG_MAX];
	size_t n;
	bool full;
};

/* Not all of the text is cleared. */
static void arg_init(struct arg *a)
{
	a->n = 0;
	a->text[0] = '\0';
	a->full = false;
}

static void arg_char(struct arg *a, char c)
{
	a->full |= a->n + 1 >= sizeof(a->text);
	if (!a->full)
		a->text[a->n++] = c;
	a->text[a->n] = '\0';
}

static void arg_raw(struct arg *a, const char *s)
{
	while (*s)
		arg_char(a, *s++);
}

/* A comma in a value is written twice. */
static void arg_value(struct arg *a, const char *s)
{
	for (; *s; s++) {
		arg_char(a, *s);
		if (*s == ',')
			arg_char(a, *s);
	}
}

static void arg_key(struct arg *a, const char *key, const char *value)
{
	if (a->n)
		arg_char(a, ',');
	arg_value(a, key);
	arg_char(a, '=');
	arg_value(a, value);
}

static int arg_check(const struct arg *a, struct error *err)
{
	return a->full ? error_set(err, -E2BIG, "the arguments are too long") : 0;
}

/* ---- values ---- */

struct value {
	char buf[24];
	const char *text; /* points into buf, or into the JSON */
};

static int value_of(const char *name, const json_t *o, struct value *v, struct error *err)
{
	v->text = v->buf;
	if (json_is_string(o) && strlen(json_string_value(o)) == json_string_length(o))
		v->text = json_string_value(o);
	else if (json_is_integer(o))
		snprintf(v->buf, sizeof(v->buf), "%" JSON_INTEGER_FORMAT, json_integer_value(o));
	else if (json_is_boolean(o))
		snprintf(v->buf, sizeof(v->buf), "%s", json_is_true(o) ? "on" : "off");
	else
		return error_set(err, -EINVAL,
				 "Parameter '%.64s' expects a string, a number or a truth value",
				 name);
	return 0;
}

/* *v stays NULL if there is no such member. */
static int get(const json_t *args, const char *name, struct value *v, struct error *err)
{
	const json_t *o = json_object_get(args, name);

	v->text = NULL;
	return o ? value_of(name, o, v, err) : 0;
}

static int get_needed(const json_t *args, const char *name, struct value *v, struct error *err)
{
	if (get(args, name, v, err) < 0)
		return err->code;
	return v->text ? 0 : error_set(err, -EINVAL, "Parameter '%s' is missing", name);
}

static bool is_true(const char *text)
{
	return strcmp(text, "on") == 0 || strcmp(text, "true") == 0 || strcmp(text, "yes") == 0 ||
	       strcmp(text, "1") == 0;
}

/* ---- nodes ---- */

static void node_free(struct monitor_node *n)
{
	free(n->arg);
	free(n);
}

static struct monitor_node *node_find(const struct monitor_devices *m, const char *name, bool net)
{
	struct monitor_node *n = m->nodes;

	while (n && (n->net != net || strcmp(n->name, name) != 0))
		n = n->next;
	return n;
}

static int node_check_name(const struct monitor_devices *m, const char *name, bool net,
			   struct error *err)
{
	const struct monitor_node *n;
	unsigned count = 0;

	for (n = m->nodes; n; n = n->next)
		count++;
	if (!*name || strlen(name) >= sizeof(n->name))
		return error_set(err, -EINVAL, "Invalid node-name: '%.80s'", name);
	if (node_find(m, name, net))
		return net ? error_set(err, -EEXIST, "Duplicate netdev ID '%s'", name)
			   : error_set(err, -EEXIST, "Duplicate nodes with node-name='%s'", name);
	return count < NODES_MAX ? 0 : error_set(err, -ENOSPC, "at most %u nodes", NODES_MAX);
}

static struct monitor_node *node_add(struct monitor_devices *m, const char *name, bool net,
				     const struct arg *a, struct error *err)
{
	struct monitor_node *n;

	if (arg_check(a, err) < 0)
		return NULL;
	n = calloc(1, sizeof(*n));
	if (n)
		n->arg = strdup(a->text);
	if (!n || !n->arg) {
		free(n);
		error_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	snprintf(n->name, sizeof(n->name), "%s", name);
	n->net = net;
	n->next = m->nodes;
	m->nodes = n;
	return n;
}

static int node_delete(struct monitor_devices *m, const char *name, bool net, struct error *err)
{
	struct monitor_node **at = &m->nodes, *n = node_find(m, name, net);

	if (!n)
		return net ? error_set(err, -ENODEV, "Device '%.64s' not found", name)
			   : error_set(err, -ENOENT, "Failed to find node with node-name='%.64s'",
				       name);
	if (n->used)
		return net ? error_set(err, -EBUSY, "Device '%s' is in use", name)
			   : error_set(err, -EBUSY, "Node %s is in use", name);
	while (*at != n)
		at = &(*at)->next;
	*at = n->next;
	node_free(n);
	return 0;
}

/* ---- blockdev-add ---- */

/* Our value of QEMU's aio=. */
static int aio_of(const char *text, const char **aio, struct error *err)
{
	static const char *const known[][2] = {
		{ "native", "libaio" }, { "threads", "auto" }, { "io_uring", "io_uring" },
		{ "libaio", "libaio" }, { "auto", "auto" },
	};
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(known); i++) {
		if (strcmp(text, known[i][0]) != 0)
			continue;
		*aio = known[i][1];
		return 0;
	}
	return error_set(err, -EINVAL, "Parameter 'aio' does not accept value '%.40s'", text);
}

/* An image of another format that was used as a raw disk would be lost. */
static int layer_check(const json_t *layer, struct error *err)
{
	static const char known[] = "driver node-name file filename read-only auto-read-only cache "
				    "aio discard detect-zeroes locking ";
	struct value driver;
	const char *name;
	json_t *member;

	if (get_needed(layer, "driver", &driver, err) < 0)
		return err->code;
	if (!text_lists("raw file host_device ", driver.text))
		return error_set(err, -EINVAL,
				 "driver '%.40s' is not supported: use raw, file or host_device; "
				 "other formats are converted by qemu-img convert -O raw",
				 driver.text);
	json_object_foreach((json_t *)layer, name, member)
	{
		if (!text_lists(known, name))
			return error_set(err, -EINVAL, "Parameter '%.64s' is unexpected", name);
	}
	return 0;
}

/* Adds a layer below those that *use has. An outer layer decides; but a file that one of them
 * promises not to write is not written. */
static void use_add(struct image_use *use, const struct image_use *below)
{
	use->ro |= below->ro;
	use->cache = use->cache ?: below->cache;
	use->aio = use->aio ?: below->aio;
}

static int layer_read(const json_t *layer, struct image_use *use, struct error *err)
{
	struct image_use own = { .ro = false };
	struct value v;

	if (layer_check(layer, err) < 0 || get(layer, "read-only", &v, err) < 0)
		return err->code;
	own.ro = v.text && is_true(v.text);
	if (get(json_object_get(layer, "cache"), "direct", &v, err) < 0)
		return err->code;
	if (v.text)
		own.cache = is_true(v.text) ? "none" : "writeback";
	if (get(layer, "aio", &v, err) < 0 || (v.text && aio_of(v.text, &own.aio, err) < 0))
		return err->code;
	use_add(use, &own);
	return 0;
}

/* The rest is looked at when a device opens it, on another thread. */
static int image_check(const char *path, bool ro, struct error *err)
{
	struct stat st;

	if (stat(path, &st) < 0 || faccessat(AT_FDCWD, path, ro ? R_OK : R_OK | W_OK, AT_EACCESS))
		return error_set(err, -errno, "Could not open '%s': %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return error_set(err, -EINVAL, "'%s' is neither a regular file nor a block device",
				 path);
	return 0;
}

/* What is below all layers: the name of a node, or a file. */
static int image_read(const struct monitor_devices *m, const json_t *layer, struct arg *a,
		      struct image_use *use, struct error *err)
{
	const json_t *file = json_object_get(layer, "file");
	const struct monitor_node *n;
	struct value v;

	if (!json_is_string(file)) {
		if (get_needed(layer, "filename", &v, err) < 0)
			return err->code;
		arg_value(a, v.text);
		return image_check(v.text, use->ro, err);
	}
	n = node_find(m, json_string_value(file), false);
	if (!n)
		return error_set(err, -ENOENT, "Cannot find device='' nor node-name='%.64s'",
				 json_string_value(file));
	arg_raw(a, n->arg);
	use_add(use, &n->use);
	return 0;
}

/* A key may be given once, so it is written when all layers have been read. */
static void use_write(const struct image_use *use, struct arg *a)
{
	if (use->ro)
		arg_key(a, "ro", "on");
	/* If no layer says it, QEMU's default holds, the host's page cache. */
	arg_key(a, "cache", use->cache ?: "writeback");
	if (use->aio)
		arg_key(a, "aio", use->aio);
	arg_key(a, "format", "raw");
}

static json_t *blockdev_add(struct monitor_devices *m, const json_t *args, struct error *err)
{
	struct image_use use = { .ro = false };
	const json_t *layer, *last = NULL;
	struct monitor_node *node;
	struct value name;
	struct arg a;

	arg_init(&a);
	if (get_needed(args, "node-name", &name, err) < 0 ||
	    node_check_name(m, name.text, false, err) < 0)
		return NULL;
	for (layer = args; json_is_object(layer); layer = json_object_get(layer, "file")) {
		if (layer_read(layer, &use, err) < 0)
			return NULL;
		last = layer;
	}
	if (image_read(m, last, &a, &use, err) < 0)
		return NULL;
	node = node_add(m, name.text, false, &a, err);
	if (!node)
		return NULL;
	node->use = use;
	return json_object();
}

/* ---- netdev_add ---- */

static json_t *netdev_add(struct monitor_devices *m, const json_t *args, struct error *err)
{
	static const char keys[] = "ifname vhost queues ";
	struct value type, id, v;
	struct arg a;
	const char *name;
	json_t *member;

	arg_init(&a);
	if (get_needed(args, "type", &type, err) < 0 || get_needed(args, "id", &id, err) < 0 ||
	    node_check_name(m, id.text, true, err) < 0)
		return NULL;
	arg_value(&a, type.text);
	json_object_foreach((json_t *)args, name, member)
	{
		if (value_of(name, member, &v, err) < 0)
			return NULL;
		if (text_lists(keys, name))
			arg_key(&a, name,
				strcmp(name, "vhost") ? v.text
				: is_true(v.text)     ? "on"
						      : "off");
		else if (text_lists("script downscript ", name) && strcmp(v.text, "no") != 0)
			error_set(
				err, -EINVAL,
				"%s=%.80s: minivmm runs no scripts: set the tap device up before, "
				"and say \"no\"",
				name, v.text);
		else if (!text_lists("type id script downscript ", name))
			error_set(err, -EINVAL, "Parameter '%.64s' is unexpected", name);
		if (err->code)
			return NULL;
	}
	return node_add(m, id.text, true, &a, err) ? json_object() : NULL;
}

/* ---- device_add ---- */

/* Words have a blank behind each. */
static const struct driver {
	const char *names;
	const struct device_class *class;
	const char *first;   /* the property that is the first word of the argument; NULL: none */
	const char *fixed;   /* or that word itself */
	const char *node;    /* the property that names a node instead; NULL: none */
	const char *renamed; /* pairs of words: QEMU's property, our key */
	const char *ignored;
} drivers[] = {
	{ "virtio-blk-pci virtio-blk virtio-blk-pci-non-transitional ", &virtio_blk_class, "file",
	  NULL, "drive", "num-queues queues ",
	  "bootindex disable-legacy disable-modern iothread vectors write-cache scsi " },
	{ "virtio-net-pci virtio-net virtio-net-pci-non-transitional ", &virtio_net_class, NULL,
	  "tap", "netdev", "host_mtu mtu rx_queue_size ring ",
	  "bootindex disable-legacy disable-modern romfile vectors mq tx_queue_size " },
	{ "virtio-rng-pci virtio-rng virtio-rng-pci-non-transitional ", &virtio_rng_class, NULL,
	  NULL, NULL, "", "rng max-bytes period disable-legacy disable-modern vectors " },
	{ "vfio-pci ", &vfio_class, "host", NULL, NULL, "", "bootindex display " },
};

static const struct driver *driver_find(const char *name)
{
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(drivers); i++)
		if (text_lists(drivers[i].names, name))
			return &drivers[i];
	return NULL;
}

/* An addition that is under way. */
struct adding {
	struct monitor_devices *m;
	uint64_t ticket;
	bool named;    /* by the client; otherwise it is told the name */
	char node[64]; /* "": none */
	bool net;
};

static void added(void *arg, const struct device *d, const struct error *err)
{
	struct adding *a = arg;
	struct monitor_node *n = node_find(a->m, a->node, a->net);
	json_t *result = err ? NULL : a->named ? json_object() : json_pack("{s: s}", "id", d->id);

	if (n) {
		n->used = !err;
		n->user = err ? NULL : d;
	}
	qmp_answer(a->m->qmp, a->ticket, result, err);
	free(a);
}

/* Our name of a property. */
static const char *key_name(const struct driver *dr, const char *name, char buf[32])
{
	const char *at = strstr(dr->renamed, name);
	size_t n = strlen(name);

	if (!at || (at != dr->renamed && at[-1] != ' ') || at[n] != ' ')
		return name;
	snprintf(buf, 32, "%.*s", (int)strcspn(at + n + 1, " "), at + n + 1);
	return buf;
}

static bool is_flag(const struct driver *dr, const char *name)
{
	const struct key *k = dr->class->keys;

	for (; k && k->name; k++)
		if (strcmp(k->name, name) == 0)
			return k->kind == KEY_FLAG;
	return false;
}

static int device_property(const struct driver *dr, struct arg *a, const char *name,
			   const json_t *value, struct error *err)
{
	char buf[32];
	const char *key = key_name(dr, name, buf);
	struct value v;

	if (value_of(name, value, &v, err) < 0)
		return err->code;
	if (text_lists("driver id bus addr multifunction ", name) ||
	    text_lists(dr->ignored, name) || (dr->first && strcmp(dr->first, name) == 0) ||
	    (dr->node && strcmp(dr->node, name) == 0))
		return 0;
	if (!dr->class->arg)
		return error_set(err, -EINVAL, "Property '%.40s' not found", name);
	arg_key(a, key, is_flag(dr, key) ? (is_true(v.text) ? "on" : "off") : v.text);
	return 0;
}

/* The first word, from the property, the node, or as it always is. */
static int device_first(struct monitor_devices *m, const struct driver *dr, const json_t *args,
			struct arg *a, struct monitor_node **node, struct error *err)
{
	struct value v = { .text = NULL };

	*node = NULL;
	if (dr->node && get(args, dr->node, &v, err) < 0)
		return err->code;
	if (v.text) {
		*node = node_find(m, v.text, dr->class == &virtio_net_class);
		if (!*node)
			return error_set(err, -ENOENT, "Property '%s' can't find value '%.64s'",
					 dr->node, v.text);
		if ((*node)->used)
			return error_set(err, -EBUSY, "'%s' is in use by another device", v.text);
		arg_raw(a, (*node)->arg);
		if (dr->class == &virtio_blk_class)
			use_write(&(*node)->use, a);
		return 0;
	}
	if (dr->fixed)
		arg_raw(a, dr->fixed);
	if (!dr->first)
		return 0;
	if (get(args, dr->first, &v, err) < 0)
		return err->code;
	if (!v.text)
		return error_set(err, -EINVAL, "Parameter '%s' is missing",
				 dr->node ? dr->node : dr->first);
	arg_value(a, v.text);
	return 0;
}

/* A slot behind a port has device 0 only: "0.3" is function 3. */
static int device_function(const json_t *args, unsigned *fn, struct error *err)
{
	char *end, *dot;
	struct value v;

	*fn = 0;
	if (get(args, "addr", &v, err) < 0 || !v.text)
		return err->code;
	if (strtoul(v.text, &end, 16) != 0 || end == v.text || (*end && *end != '.'))
		return error_set(err, -EINVAL,
				 "addr=%.20s: a slot behind a port has device 0 only: use 0.0 to "
				 "0.7",
				 v.text);
	dot = end;
	if (*dot)
		*fn = (unsigned)strtoul(dot + 1, &end, 16);
	return *end || *fn > 7 || (*dot && end == dot + 1)
		       ? error_set(err, -EINVAL, "addr=%.20s: use 0.0 to 0.7", v.text)
		       : 0;
}

static int device_arg_of(struct monitor_devices *m, const struct driver *dr, const json_t *args,
			 struct arg *a, struct monitor_node **node, struct error *err)
{
	const char *name;
	json_t *member;

	if (device_first(m, dr, args, a, node, err) < 0)
		return err->code;
	json_object_foreach((json_t *)args, name, member)
	{
		if (device_property(dr, a, name, member, err) < 0)
			return err->code;
	}
	return arg_check(a, err);
}

static int device_begin(struct monitor_devices *m, const struct hotplug_request *what,
			struct monitor_node *node, uint64_t ticket, struct error *err)
{
	struct hotplug_request r = *what;
	struct adding *adding = calloc(1, sizeof(*adding));

	if (!adding)
		return error_set(err, -ENOMEM, "out of memory");
	*adding = (struct adding){ .m = m, .ticket = ticket, .named = r.id };
	if (node) {
		memcpy(adding->node, node->name, sizeof(adding->node));
		adding->net = node->net;
	}
	r.done = added;
	r.done_arg = adding;
	if (hotplug_add(m->hotplug, &r, err) < 0) {
		free(adding);
		return err->code;
	}
	if (node)
		node->used = true;
	return 0;
}

/* A USB device goes into the machine's controller and needs no slot. */
static json_t *usb_add(struct monitor_devices *m, const json_t *args, const char *id,
		       uint64_t ticket, struct error *err)
{
	struct adding *adding;
	char arg[160];

	if (monitor_usb_arg(args, arg, sizeof(arg), err) < 0)
		return NULL;
	if (!m->usb) {
		error_set(err, -EOPNOTSUPP,
			  "No 'usb-bus' bus found for device 'usb-host': start the machine with "
			  "--usb none, which gives it a controller");
		return NULL;
	}
	adding = calloc(1, sizeof(*adding));
	if (!adding) {
		error_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	*adding = (struct adding){ .m = m, .ticket = ticket, .named = id };
	if (machine_usb_add(m->usb, arg, id, added, adding, err) < 0)
		free(adding);
	else
		error_set(err, -EINPROGRESS, "it is being added");
	return NULL;
}

static json_t *device_add_command(struct monitor_devices *m, const json_t *args, uint64_t ticket,
				  struct error *err)
{
	struct hotplug_request r = { .id = NULL };
	struct value driver, id, bus;
	const struct driver *dr;
	struct monitor_node *node;
	struct arg a;

	arg_init(&a);
	if (get_needed(args, "driver", &driver, err) < 0 || get(args, "id", &id, err) < 0)
		return NULL;
	if (strcmp(driver.text, "usb-host") == 0)
		return usb_add(m, args, id.text, ticket, err);
	if (get(args, "bus", &bus, err) < 0 || device_function(args, &r.fn, err) < 0)
		return NULL;
	dr = driver_find(driver.text);
	if (!dr) {
		error_set(err, -EINVAL,
			  "'%.40s' is not a valid device model name: use virtio-blk-pci, "
			  "virtio-net-pci, virtio-rng-pci, vfio-pci or usb-host",
			  driver.text);
		return NULL;
	}
	if (device_arg_of(m, dr, args, &a, &node, err) < 0)
		return NULL;
	if (!m->hotplug || (bus.text && strcmp(bus.text, "pcie.0") == 0)) {
		error_set(err, -EOPNOTSUPP, "Bus 'pcie.0' does not support hotplugging%s",
			  m->hotplug ? "" : ": start the machine with --hotplug N");
		return NULL;
	}
	r.class = dr->class;
	r.arg = dr->class->arg ? a.text : NULL;
	r.id = id.text;
	r.bus = bus.text;
	if (device_begin(m, &r, node, ticket, err) == 0)
		error_set(err, -EINPROGRESS, "it is being added");
	return NULL;
}

static int device_del_of_start(struct monitor_devices *m, const char *id, struct error *err)
{
	if (m->pci && monitor_pci_has(m->pci, id))
		return error_set(err, -EBUSY,
				 "Device '%.64s' cannot be removed while the machine runs: it is "
				 "not in a slot of --hotplug",
				 id);
	return error_set(err, -ENODEV, "Device '%.64s' not found", id);
}

static json_t *device_del_command(struct monitor_devices *m, const json_t *args, struct error *err)
{
	struct value id, force;
	int ret;

	if (get_needed(args, "id", &id, err) < 0 || get(args, "x-minivmm-force", &force, err) < 0)
		return NULL;
	ret = m->usb ? machine_usb_remove(m->usb, id.text, err) : -ENODEV;
	if (ret != -ENODEV)
		return ret < 0 ? NULL : json_object();
	if (m->hotplug)
		ret = hotplug_remove(m->hotplug, id.text,
				     force.text && is_true(force.text) ? UNPLUG_FORCE : UNPLUG_ASK,
				     err);
	if (ret == -ENODEV)
		ret = device_del_of_start(m, id.text, err);
	return ret < 0 ? NULL : json_object();
}

static json_t *node_del_command(struct monitor_devices *m, const json_t *args, bool net,
				struct error *err)
{
	struct value v;

	if (get_needed(args, net ? "id" : "node-name", &v, err) < 0 ||
	    node_delete(m, v.text, net, err) < 0)
		return NULL;
	return json_object();
}

json_t *monitor_devices_change(struct monitor_devices *m, const char *command, const json_t *args,
			       uint64_t ticket, struct error *err)
{
	if (strcmp(command, "device_add") == 0)
		return device_add_command(m, args, ticket, err);
	if (strcmp(command, "device_del") == 0)
		return device_del_command(m, args, err);
	if (strcmp(command, "blockdev-add") == 0)
		return blockdev_add(m, args, err);
	if (strcmp(command, "netdev_add") == 0)
		return netdev_add(m, args, err);
	return node_del_command(m, args, strcmp(command, "netdev_del") == 0, err);
}

void monitor_devices_deleted(struct monitor_devices *m, const struct device *d)
{
	struct monitor_node *n;

	for (n = m->nodes; n; n = n->next) {
		if (n->user != d)
			continue;
		n->user = NULL;
		n->used = false;
	}
}

const char *monitor_devices_node(const struct monitor_devices *m, const struct device *d)
{
	const struct monitor_node *n = m->nodes;

	while (n && n->user != d)
		n = n->next;
	return n ? n->name : NULL;
}

void monitor_devices_free(struct monitor_devices *m)
{
	struct monitor_node *n;

	while ((n = m->nodes)) {
		m->nodes = n->next;
		node_free(n);
	}
}
