/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arguments like `first,key=value,flag,...`, read into a structure by a table of keys.
 *
 * Every key is one row; parsing and the messages come from the rows. A comma inside a value is
 * written twice. The messages name the key and what it takes; the caller puts the option in front.
 * Threads: any; a pool and
 * what is read into belong to one.
 */
#ifndef VMM_CORE_KEYS_H
#define VMM_CORE_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/core/error.h"

/* What a field of the structure is: const char *, bool, uint64_t, unsigned, uint8_t[6], and const
 * char * for a list, whose commas belong to it ("0,2-3"). */
enum key_kind { KEY_STRING, KEY_FLAG, KEY_NUMBER, KEY_CHOICE, KEY_MAC, KEY_LIST };

/* A table ends with a row without a name. In a positional one, the first row is what stands without
 * a key in front; its name is for the messages only. */
struct key {
	const char *name;
	enum key_kind kind;
	size_t offset;
	uint64_t min, max;	/* KEY_NUMBER; KEY_STRING: max is the length in bytes, 0 any */
	const char *choices[4]; /* KEY_CHOICE: the index is stored */
};

/* Owns the strings that fields point to. */
struct key_pool {
	char **string;
	unsigned n;
};
/* Takes s, which malloc() made. Returns it; NULL: it was NULL, or there is no memory. */
char *key_pool_keep(struct key_pool *, char *s);
void key_pool_free(struct key_pool *);

struct key_reader {
	const struct key *keys;
	bool positional;
	struct key_pool *pool;
	void *base;		/* what is read into */
	const struct key *last; /* the key before; NULL: none yet */
};

/* Reads a whole argument. -EINVAL or -ENOMEM with *err set. */
int keys_read(struct key_reader *, const char *arg, struct error *);
/* Reads one item of it. */
int keys_read_item(struct key_reader *, const char *item, struct error *);
/* Cuts the next comma-separated item off *rest, in place; ",," stands for one comma. NULL: there is
 * none. */
char *keys_next_item(char **rest);
/* Stores the value of one key; val NULL: the key stands alone. */
int key_set(const struct key_reader *, const struct key *, const char *val, struct error *);

/* A decimal or 0x number with an optional K, M, G or T, or KB and so on; plain numbers count in
 * `unit`; unit 0: no suffix is allowed. -EINVAL, or -ERANGE. */
int key_parse_number(const char *s, uint64_t unit, uint64_t *out);
/* A unicast address like 52:54:00:12:34:56. -EINVAL: it is none. */
int key_parse_mac(const char *s, uint8_t mac[6]);

#endif
