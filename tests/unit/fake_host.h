/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A host as a few lines of text, made into a tree of files below a temporary folder: what `root`
 * means to vfio/sysfs.h. A line each:
 *
 *   pci 01:00.0 class=030000 id=10de:1c82 group=12 driver=nouveau under=00:01.0
 *       reset=pm,bus node=0 bar0=1000000 bar1=10000000p rom=80000 of=02:00.0 boot_vga=1
 *           (one line) sizes are hex; a BAR is 32-bit memory, p: 64-bit prefetchable memory, i: I/O
 *           ports, ! behind that: without an address; under: the bridge above it; of: its physical
 *           function
 *   class net/eth0 01:00.0        a class device of that PCI device
 *   file PATH TEXT                | in TEXT is a newline; a later line replaces an earlier one
 *   link PATH TARGET    dir PATH    rm PATH    mode PATH OCTAL
 */
#ifndef FAKE_HOST_H
#define FAKE_HOST_H

/* Makes it; aborts with a word when it cannot. */
void fake_host_make(char root[64]);
void fake_host_add(const char *root, const char *text);
void fake_host_remove(const char *root);

#endif
