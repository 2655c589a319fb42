/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A host's /sys, /proc and /dev in a temporary folder: what `root` means to vfio/host/sysfs.h. Made
 * file by file, or as lines of text:
 *
 *   pci 01:00.0 class=030000 id=10de:1c82 group=12 driver=nouveau under=00:01.0
 *       reset=pm,bus node=0 bar0=1000000 bar1=10000000p rom=80000 of=02:00.0 boot_vga=1
 *           (one line) sizes are hex; a BAR is 32-bit memory, p: 64-bit prefetchable memory, i: I/O
 *           ports, ! behind that: without an address; under: the bridge above it; of: its physical
 *           function
 *   class net/eth0 01:00.0        a class device of that PCI device, which must be there
 *   class block/sda1 01:00.0/block/sda partition=1 dev=8:1   further below, with files
 *   class net/br0 virtual/net     of none
 *   file PATH TEXT                | in TEXT is a newline; a later line replaces an earlier one
 *   link PATH TARGET    dir PATH    rm PATH    mode PATH OCTAL
 *
 * What cannot be made ends the program with a word.
 */
#ifndef FAKE_HOST_H
#define FAKE_HOST_H

/* "": there is none. */
extern char root[64];
/* An empty one, and nothing; as cmocka calls its setups and teardowns. */
int make_root(void **);
int remove_root(void **);

/* Lines as above. */
void put_host(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The file fmt below the root holds the text; a name that ends in a slash is a folder. */
void put(const char *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void put_link(const char *target, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Removes it with all that is below. */
void put_nothing(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
