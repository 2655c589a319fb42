/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/core/keys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/addr.h"

char *key_pool_keep(struct key_pool *p, char *s)
{
	char **grown = s ? realloc(p->string, (p->n + 1) * sizeof(*grown)) : NULL;

	if (!grown) {
		free(s);
		return NULL;
	}
	p->string = grown;
	return grown[p->n++] = s;
}

void key_pool_free(struct key_pool *p)
{
	while (p->n)
		free(p->string[--p->n]);
	free(p->string);
	p->string = NULL;
}

int key_parse_number(const char *s, uint64_t unit, uint64_t *out)
{
	static const char suffixes[] = "KMGT";
	const char *suffix;
	char *end;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	errno = 0;
	*out = strtoull(s, &end, 0);
	if (errno)
		return -ERANGE;
	suffix = memchr(suffixes, *end & ~0x20, strlen(suffixes));
	if (*end && (!suffix || unit == 0))
		return -EINVAL;
	if (suffix) {
		unit = 1024ull << (10 * (suffix - suffixes));
		end += end[1] == 'B' || end[1] == 'b' ? 2 : 1;
	}
	if (*end)
		return -EINVAL;
	return __builtin_mul_overflow(*out, unit ? unit : 1, out) ? -ERANGE : 0;
}

int key_parse_mac(const char *s, uint8_t mac[6])
{
	int n = 0;

	if (sscanf(s, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2], &mac[3],
		   &mac[4], &mac[5], &n) != 6 ||
	    s[n])
		return -EINVAL;
	return mac[0] & 1 ? -EINVAL : 0;
}

static int set_choice(const struct key *k, const char *val, unsigned *out)
{
	for (unsigned i = 0; i < ARRAY_SIZE(k->choices) && k->choices[i]; i++) {
		if (strcmp(val, k->choices[i]) == 0) {
			*out = i;
			return 0;
		}
	}
	return -EINVAL;
}

static int set_number(const struct key *k, const char *val, uint64_t *out)
{
	uint64_t n;

	if (key_parse_number(val, 0, &n) < 0 || n < k->min || n > k->max)
		return -EINVAL;
	*out = n;
	return 0;
}

static int set_flag(const char *val, bool *out)
{
	*out = !val || strcmp(val, "on") == 0;
	return !val || *out || strcmp(val, "off") == 0 ? 0 : -EINVAL;
}

static int set_string(struct key_pool *pool, const struct key *k, const char *val, const char **out)
{
	if (!*val || (k->max && strlen(val) > k->max))
		return -EINVAL;
	*out = key_pool_keep(pool, strdup(val));
	return *out ? 0 : -ENOMEM;
}

static int set_field(const struct key_reader *r, const struct key *k, const char *val)
{
	void *field = (char *)r->base + k->offset;

	if (!val && k->kind != KEY_FLAG)
		return -EINVAL;
	switch (k->kind) {
	case KEY_STRING:
	case KEY_LIST:
		return set_string(r->pool, k, val, field);
	case KEY_FLAG:
		return set_flag(val, field);
	case KEY_NUMBER:
		return set_number(k, val, field);
	case KEY_CHOICE:
		return set_choice(k, val, field);
	case KEY_MAC:
		return key_parse_mac(val, field);
	}
	return -EINVAL;
}

static void list_choices(const struct key *k, char *text, size_t size)
{
	size_t n = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(k->choices) && k->choices[i]; i++)
		n += (size_t)snprintf(text + n, size - n, "%s%s", n ? " or " : "", k->choices[i]);
}

/* This comes before the keys behind it, which may belong to something else that is not supported.
 */
static int check_string(const struct key *k, const char *val, struct error *err)
{
	char want[160] = "";
	unsigned i;

	for (i = 0; i < ARRAY_SIZE(k->choices) && k->choices[i]; i++)
		if (strcmp(val, k->choices[i]) == 0)
			return 0;
	if (i == 0)
		return 0;
	list_choices(k, want, sizeof(want));
	return error_set(err, -EINVAL, "'%s' is not supported: use %s", val, want);
}

static int bad_value(const struct key *k, struct error *err)
{
	char want[160] = "a value";

	if (k->kind == KEY_NUMBER)
		snprintf(want, sizeof(want), "a number from %llu to %llu",
			 (unsigned long long)k->min, (unsigned long long)k->max);
	else if (k->kind == KEY_FLAG)
		snprintf(want, sizeof(want), "on or off");
	else if (k->kind == KEY_LIST)
		snprintf(want, sizeof(want), "a list like 0,2-3");
	else if (k->kind == KEY_MAC)
		snprintf(want, sizeof(want), "a unicast address like 52:54:00:12:34:56");
	else if (k->kind == KEY_STRING && k->max)
		snprintf(want, sizeof(want), "1 to %llu characters", (unsigned long long)k->max);
	list_choices(k, want, sizeof(want));
	return error_set(err, -EINVAL, "%s takes %s", k->name, want);
}

int key_set(const struct key_reader *r, const struct key *k, const char *val, struct error *err)
{
	int ret = set_field(r, k, val);

	if (ret == -ENOMEM)
		return error_set(err, ret, "out of memory");
	if (ret < 0 && r->positional && k == r->keys && k->kind == KEY_STRING && !*val)
		return error_set(err, ret, "%s is missing: it comes first", k->name);
	if (ret < 0)
		return bad_value(k, err);
	return k->kind == KEY_STRING ? check_string(k, val, err) : 0;
}

/* An item that begins with a digit belongs to the list before it, because no key begins with a
 * digit. */
static int extend_list(const struct key_reader *r, const char *item, struct error *err)
{
	const char **field = (const char **)((char *)r->base + r->last->offset);
	char *longer = NULL;

	if (asprintf(&longer, "%s,%s", *field, item) < 0)
		longer = NULL;
	*field = key_pool_keep(r->pool, longer);
	return *field ? 0 : error_set(err, -ENOMEM, "out of memory");
}

char *keys_next_item(char **rest)
{
	char *item = *rest, *from = item, *to = item;

	if (!item)
		return NULL;
	*rest = NULL;
	while (*from) {
		if (*from == ',' && from[1] != ',') {
			*rest = from + 1;
			break;
		}
		from += *from == ',';
		*to++ = *from++;
	}
	*to = '\0';
	return item;
}

static const struct key *find_key(const struct key_reader *r, const char *name, size_t len)
{
	for (const struct key *k = r->keys + r->positional; k->name; k++)
		if (strlen(k->name) == len && strncmp(k->name, name, len) == 0)
			return k;
	return NULL;
}

static int bad_key(const struct key_reader *r, const char *item, struct error *err)
{
	char known[200] = "";
	size_t n = 0;

	for (const struct key *k = r->keys + r->positional; k->name && n < sizeof(known); k++)
		n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s", n ? ", " : "", k->name);
	return error_set(err, -EINVAL, "unknown '%s': use %s", item, known);
}

int keys_read_item(struct key_reader *r, const char *item, struct error *err)
{
	const char *eq = strchr(item, '='), *val = eq ? eq + 1 : NULL;
	size_t len = eq ? (size_t)(eq - item) : strlen(item);
	const struct key *k = r->last;

	if (k && k->kind == KEY_LIST && *item >= '0' && *item <= '9')
		return extend_list(r, item, err);
	if (r->positional && !k) {
		k = r->keys;
		val = item;
	} else {
		k = find_key(r, item, len);
	}
	if (!k)
		return bad_key(r, item, err);
	if (r->seen & 1ull << (k - r->keys))
		return error_set(err, -EINVAL, "%s is given twice", k->name);
	r->seen |= 1ull << (k - r->keys);
	r->last = k;
	return key_set(r, k, val, err);
}

int keys_read(struct key_reader *r, const char *arg, struct error *err)
{
	char *rest = key_pool_keep(r->pool, strdup(arg)), *item;
	int ret = rest ? 0 : error_set(err, -ENOMEM, "out of memory");

	r->last = NULL;
	r->seen = 0;
	while (ret == 0 && (item = keys_next_item(&rest)))
		ret = keys_read_item(r, item, err);
	return ret;
}
