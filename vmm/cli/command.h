/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What minivmm can do beside running a machine: one word, one file, one row of the table in main.c.
 *
 * Each takes its own arguments, argv[0] its name, and returns the exit status: 0, 1 when it could
 * not or the answer is no, 2 for a wrong call. One line on stderr says why. Threads: main only.
 */
#ifndef VMM_CLI_COMMAND_H
#define VMM_CLI_COMMAND_H

#define COMMAND_USAGE 2 /* exit status */

int command_report(int argc, char **argv);
int command_run(int argc, char **argv);
int command_bind(int argc, char **argv);
int command_restore(int argc, char **argv);
int command_vf(int argc, char **argv);
/* import -- WORD... or import FILE: a QEMU command line as minivmm's. 1: something is lost. */
int command_import(int argc, char **argv);
int command_groups(int argc, char **argv);
int command_check(int argc, char **argv);
int command_bench(int argc, char **argv);
int command_ctl(int argc, char **argv);

#endif
