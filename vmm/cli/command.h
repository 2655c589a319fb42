/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What minivmm can do beside running a machine: one word, one file, one row of the table in main.c.
 *
 * Each takes its own arguments, argv[0] its name, and returns the exit status: 0, 1 when it could
 * not or the answer is no, 2 for a wrong call. One line on stderr says why. Threads: main only.
 */
#ifndef VMM_CLI_COMMAND_H
#define VMM_CLI_COMMAND_H

#include <stdbool.h>

#define COMMAND_USAGE 2 /* exit status */

#define USAGE_BIND    "minivmm bind BDF... [--group] [--force]"
#define USAGE_RESTORE "minivmm restore [BDF|PORT...]"
#define USAGE_VF      "minivmm vf PF [COUNT [--mac M,...] [--vlan N]]"
#define USAGE_REPORT  "minivmm report FILE [-o HTML]"
#define USAGE_IMPORT \
	"minivmm import -- qemu-system-x86_64 OPTION..., or minivmm import FILE (- for stdin)"
#define USAGE_GROUPS "minivmm groups [--json]"
#define USAGE_USB    "minivmm usb [--json]"
#define USAGE_CHECK  "minivmm check [BDF|--usb DEVICE|--input EVDEV]... [--json]"
#define USAGE_CTL    "minivmm ctl NAME|PATH COMMAND, or minivmm ctl list"
#define USAGE_BENCH  "minivmm bench passthrough --vfio BDF [--json]"

int command_report(int argc, char **argv);
int command_run(int argc, char **argv);
int command_bind(int argc, char **argv);
int command_restore(int argc, char **argv);
int command_vf(int argc, char **argv);
/* import -- WORD... or import FILE: a QEMU command line as minivmm's. 1: something is lost. */
int command_import(int argc, char **argv);
int command_groups(int argc, char **argv);
int command_usb(int argc, char **argv);
int command_check(int argc, char **argv);
int command_bench(int argc, char **argv);
int command_ctl(int argc, char **argv);
/* One of the words for people that `ctl` knows. */
bool ctl_has_word(const char *);

#endif
