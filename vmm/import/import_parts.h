/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of import share. */
#ifndef VMM_IMPORT_IMPORT_PARTS_H
#define VMM_IMPORT_IMPORT_PARTS_H

#include "vmm/import/import.h"

/* What becomes of an item of a QEMU command line. All but SAME are reported to the user. */
enum import_fate {
	IMPORT_SAME,	 /* an option of minivmm's does it, or the machine is like that anyway */
	IMPORT_NEEDLESS, /* has no counterpart and needs none */
	IMPORT_CHANGED,	 /* done in another way, or after something that the user does first */
	IMPORT_LOST,	 /* missed */
};

/* All fields are alternatives separated by |, with the wildcards of fnmatch(3). The first row that
 * matches counts. */
struct import_rule {
	const char *item;  /* the option's name and the first word of its argument: "device VGA" */
	const char *key;   /* of key=value; NULL: the row is about the item itself */
	const char *value; /* NULL: any. A key that stands alone has "on" */
	enum import_fate fate;
	const char *say; /* why, and what instead */
};

/* How QEMU's options are written. */
struct import_grammar {
	const char *names; /* separated by | */
	const char *first; /* what stands without a key in front; "": the argument is one value;
			    * NULL: takes none */
};

struct import_pair {
	const char *key, *val;
};

struct import_item {
	const char *name;  /* of the option, without dashes; "" for a word that is none */
	const char *arg;   /* NULL: none */
	const char *first; /* the key of the first word without one; NULL: arg is one value */
	struct import_pair *pair;
	unsigned n;
	bool known;
};

struct import_note {
	const struct import_item *at;
	const char *text;
};

struct importer {
	struct import *to;
	const struct words *from;
	struct words own; /* all strings made on the way */
	struct import_item *item;
	struct import_note *note;
	unsigned n, n_notes, qemu; /* from[qemu] is QEMU */
	const char *pin, *nodes, *rt;
	unsigned n_nets, n_virtio; /* virtio devices take the guest's slots from 1 on */
};

extern const struct import_grammar import_grammar[];
extern const struct import_rule import_rules[];

/* The first row about the item, or, with a key, about that property of it. NULL: there is no such
 * row. */
const struct import_rule *import_rule(const char *item, const char *key, const char *val);
/* What the rules say about a property. id: the option and its first word. */
enum import_fate import_judge(const char *id, const struct import_pair *);
/* True when s is one of the alternatives. */
bool import_match(const char *alternatives, const char *s);
/* Strings live as long as the importer; "" when memory ran out, which its end reports. */
const char *import_fmt(struct importer *, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* Returns s with its commas doubled, as in a list of values. */
const char *import_comma(struct importer *, const char *s);
/* Returns s quoted for a shell, for notes that contain commands. */
const char *import_quoted(struct importer *, const char *s);

/* NULL: not there. The last one counts. */
const char *import_get(const struct import_item *, const char *key);
/* True when there and not off. */
bool import_on(const struct import_item *, const char *key);
/* The next item after `after` (NULL: from the beginning) that has one of these names. If key is not
 * NULL, that key must also have this value. */
const struct import_item *import_next(const struct importer *, const struct import_item *after,
				      const char *names, const char *key, const char *val);
const struct import_item *import_last(const struct importer *, const char *names);
/* True when the text has "..." for options it leaves out. */
bool import_elided(const struct importer *);

/* True for a word that is no option and may stand for any options: "$ARGS", "..." in a text. */
bool import_is_unknown(const struct import_item *);

/* One option of minivmm's. val NULL: it takes none. */
void import_line(struct importer *, const char *option, const char *val);
/* key: the property of the item that it is about, or NULL: all of it. at NULL: about nothing in
 * particular, fmt says all. */
void import_note(struct importer *, const struct import_item *at, const char *key, enum import_fate,
		 const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* True when a list such as 0-3,8 has one CPU for each processor of the guest. */
bool import_pin_fits(const struct importer *, const char *list);
void import_machine(struct importer *);
void import_devices(struct importer *);
void import_process(struct importer *);
/* The file at the bottom of a -blockdev chain; NULL: none is found. */
const char *import_node_file(const struct importer *, const struct import_item *node);

#endif
