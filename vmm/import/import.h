/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Translates QEMU command lines into minivmm command lines: text or words in, words and notes out.
 * It looks at no file and no device, so its result is the same on every machine.
 *
 * import_rules.c has a row for every option, device and property of QEMU that is known; the row
 * says what becomes of it. import_machine.c and import_devices.c write the options of minivmm.
 */
#ifndef VMM_IMPORT_IMPORT_H
#define VMM_IMPORT_IMPORT_H

#include <stdbool.h>

#include "vmm/import/shell.h"

struct import {
	struct words line; /* quoted for the shell: what starts minivmm, then an option each */
	struct words note; /* "not carried over: WHAT: WHY", "changed: ..." or "not needed: ..." */
	bool lost;	   /* the guest, or who runs it, would miss something */
};

/* words: one simple command, as shell_command() gives it. pin: a CPU list that its threads are to
 * be kept on (taskset -p, later in the script), or NULL. Returns 0, -ENOENT when it is no QEMU
 * command, or -ENOMEM; import_free() in any case. */
int import_qemu(struct import *, const struct words *words, const char *pin);
/* The command as one types it: in one line of at most 80 columns, or with one option per line. The
 * caller frees it. NULL: out of memory. */
char *import_text(const struct import *);
void import_free(struct import *);

/* The index of the word that names QEMU, after prefixes such as sudo or taskset. words->n: this is
 * not a QEMU command. */
unsigned import_find_qemu(const struct words *words);
/* The list of `taskset -cp LIST PID`, or NULL when words are something else. */
const char *import_taskset(const struct words *words);

struct import_command {
	struct words words;
	unsigned line;	 /* of the text, from 1 */
	const char *pin; /* or NULL */
};

struct import_script {
	struct import_command *command;
	struct words pins;
	unsigned n;
};

/* All QEMU commands of a text. Returns their number or -ENOMEM; import_script_free() in any case.
 */
int import_script(struct import_script *, const char *text);
void import_script_free(struct import_script *);

#endif
