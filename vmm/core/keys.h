/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads arguments like `first,key=value,flag,...` into a structure, by a table of keys.
 *
 * Each key has one row, which parsing and messages use. A comma inside a value is written twice. A
 * message names the key and its possible values; the caller puts the option in front.
 *
 * Threads: any; a pool and the structure belong to one thread.
 */
#ifndef VMM_CORE_KEYS_H
#define VMM_CORE_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/core/error.h"

/* The types of the fields in the structure are, in this order: const char *, bool, uint64_t,
 * unsigned, uint8_t[6], const char *. Commas belong to a KEY_LIST ("0,2-3"). */
enum key_kind { KEY_STRING, KEY_FLAG, KEY_NUMBER, KEY_CHOICE, KEY_MAC, KEY_LIST };

/* A row without a name ends the table. In a positional table, the first row is for the first value,
 * which has no key in front; its name is used only in messages. */
struct key {
	const char *name;
	enum key_kind kind;
	size_t offset;
	uint64_t min, max;	/* KEY_NUMBER; KEY_STRING: max is the length in bytes, 0: any */
	const char *choices[4]; /* KEY_CHOICE: the index is stored; KEY_STRING: no other is taken */
};

/* Owns the strings that fields point to. */
struct key_pool {
	char **string;
	unsigned n;
};
/* Takes ownership of s, which comes from malloc(), and returns it. NULL: s was NULL, or memory is
 * exhausted. */
char *key_pool_keep(struct key_pool *, char *s);
void key_pool_free(struct key_pool *);

struct key_reader {
	const struct key *keys;
	bool positional;
	struct key_pool *pool;
	void *base;		/* the structure that is filled */
	const struct key *last; /* the previous key; NULL: this is the first item */
	uint64_t seen;		/* the rows that were read; a key is given once */
};

/* Reads a whole argument. -EINVAL or -ENOMEM with *err set. */
int keys_read(struct key_reader *, const char *arg, struct error *);
/* Reads one item of an argument. */
int keys_read_item(struct key_reader *, const char *item, struct error *);
/* Returns the next comma-separated item and moves *rest behind it; changes the string. ",," stands
 * for one comma. NULL: there are no more items. */
char *keys_next_item(char **rest);
/* Stores the value of one key. val NULL: the key has no value. */
int key_set(const struct key_reader *, const struct key *, const char *val, struct error *);

/* Parses a decimal or 0x number with an optional suffix K, M, G or T (or KB and so on). A number
 * without suffix is multiplied by `unit`; unit 0: no suffix is allowed. -EINVAL or -ERANGE. */
int key_parse_number(const char *s, uint64_t unit, uint64_t *out);
/* Parses a unicast MAC address like 52:54:00:12:34:56. -EINVAL: it is not one. */
int key_parse_mac(const char *s, uint8_t mac[6]);

#endif
