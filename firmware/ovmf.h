/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * OVMF images: where the distributions put them, which halves belong together, and the machine's
 * own variable store.
 *
 * Main loop only, vCPUs not running.
 */
#ifndef FIRMWARE_OVMF_H
#define FIRMWARE_OVMF_H

#include <limits.h>

#include "devices/chipset/pflash.h"
#include "vmm/core/error.h"

struct ovmf {
	char code_path[PATH_MAX]; /* the image as found */
	char vars_path[PATH_MAX]; /* template of the variable store; code_path when combined */
	char nvram_path[PATH_MAX]; /* the variable store; "": none */
	uint8_t *area, *area_end;  /* memory of our own, with both in it; ends as flash does */
	uint8_t *code, *vars;
	size_t code_len, vars_len;
	uint64_t code_base, vars_base; /* the code ends at 4 GiB, the variables lie right below */
	/* Open and locked while the machine lives: nobody's output is taken at them. */
	int nvram_fd, code_fd, template_fd;
	struct pflash flash[2];	       /* variables, code */
	bool mapped;
	bool created; /* the variable store was not there before */
	bool written; /* by the guest */
	struct log_limit limit;
};

/* Finds, checks and opens. firmware: a CODE image, a combined OVMF.fd, or NULL = the first pair
 * found at the usual paths below root ("" for the system's own). nvram: this machine's variable
 * store, created from the template when it does not exist; NULL: in memory, lost at exit. Refuses
 * images that are no UEFI firmware, qcow2 ones, builds that need SMM, halves that do not fit, and a
 * variable store that is in use. */
int ovmf_open(struct ovmf *, const char *root, const char *firmware, const char *nvram,
	      struct error *);
/* Puts both halves into the guest. */
int ovmf_map(struct ovmf *, struct bus *mmio, struct guest_mem *, struct error *);
void ovmf_reset(struct ovmf *);
/* Makes what the guest wrote survive a crash of the host too; ovmf_close() does it as well. vCPUs
 * not running. -errno. */
int ovmf_sync(struct ovmf *);
/* The machine did not start after all: a variable store that was made for it goes again. Before
 * ovmf_close(). */
void ovmf_abandon(struct ovmf *);
void ovmf_close(struct ovmf *);

#endif
