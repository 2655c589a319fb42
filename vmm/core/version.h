/* SPDX-License-Identifier: BSD-2-Clause */
/* The program's version, from the Makefile. */
#ifndef VMM_CORE_VERSION_H
#define VMM_CORE_VERSION_H

#ifndef MINIVMM_VERSION
#define MINIVMM_VERSION "unknown"
#endif

#endif
