/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From QEMU command lines to minivmm's: text or words in, words and notes out. Looks at no file and
 * no device: what it says holds on any machine.
 *
 * Every option, device and property of QEMU's that it knows is a row of a table in import_rules.c,
 * which says what becomes of it; import_machine.c and import_devices.c make minivmm's options.
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
/* As it is typed: in one line of at most 80 columns, or an option a line. The caller frees it.
 * NULL: no memory. */
char *import_text(const struct import *);
void import_free(struct import *);

/* The index of QEMU's name in a simple command, behind sudo, taskset and the like; words->n: it is
 * none of QEMU's. */
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
