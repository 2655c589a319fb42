/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * OVMF images: where distributions install them, which CODE and VARS files belong together, and the
 * variable store of the machine.
 *
 * Threads: main loop, while no vCPU runs.
 */
#ifndef FIRMWARE_OVMF_H
#define FIRMWARE_OVMF_H

#include <limits.h>

#include "devices/chipset/pflash.h"
#include "vmm/core/error.h"

struct ovmf {
	char code_path[PATH_MAX]; /* the CODE image, or the combined image */
	char vars_path[PATH_MAX]; /* template of the variable store; code_path if combined */
	char nvram_path[PATH_MAX]; /* the variable store; "": in memory only */
	uint8_t *area, *area_end;  /* memory with copies of both; area_end is 4 GiB in the guest */
	uint8_t *code, *vars;
	size_t code_len, vars_len;
	uint64_t code_base, vars_base; /* the code ends at 4 GiB, the variables end at the code */
	/* Open and locked while the machine exists, so that no other program writes to them. */
	int nvram_fd, code_fd, template_fd;
	struct pflash flash[2];	       /* variables, code */
	bool mapped;
	bool created; /* this start created the variable store */
	bool written; /* the guest has written variables */
	struct log_limit limit;
};

/* Finds, checks and opens the firmware. firmware: a CODE image, a combined OVMF.fd, or NULL for the
 * first pair that exists at the usual paths below root ("" on a real host). nvram: the machine's
 * variable store, which is created from the template if it does not exist; NULL: the variables are
 * in memory and lost at the end. Refuses images that are not UEFI firmware, qcow2 images, builds
 * that need SMM, a CODE and a VARS file that do not fit together, and a variable store in use. */
int ovmf_open(struct ovmf *, const char *root, const char *firmware, const char *nvram,
	      struct error *);
/* Maps the code and the variables into the guest. */
int ovmf_map(struct ovmf *, struct bus *mmio, struct guest_mem *, struct error *);
void ovmf_reset(struct ovmf *);
/* Writes the variables to the disk, so that they survive a crash of the host. ovmf_close() does
 * this, too. 0 or -errno. */
int ovmf_sync(struct ovmf *);
/* For a machine that did not start: removes the variable store if this start created it. Call it
 * before ovmf_close(). */
void ovmf_abandon(struct ovmf *);
void ovmf_close(struct ovmf *);

#endif
