/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The /sys, /proc and /dev of a host in a temporary folder, which is the `root` of
 * vfio/host/sysfs.h. It is made file by file, or from lines of text:
 *
 *   pci 01:00.0 class=030000 id=10de:1c82 group=12 driver=nouveau under=00:01.0
 *       reset=pm,bus node=0 bar0=1000000 bar1=10000000p rom=80000 of=02:00.0 boot_vga=1
 *           (one line) sizes are hex; a BAR is 32-bit memory, p: 64-bit prefetchable memory, i: I/O
 *           ports, a following !: without an address; under: the bridge above it; of: its physical
 *           function
 *   class net/eth0 01:00.0        a class device of that PCI device, which must exist
 *   class block/sda1 01:00.0/block/sda partition=1 dev=8:1   below another one, with files
 *   class net/br0 virtual/net     without a PCI device
 *   file PATH TEXT                | in TEXT is a newline; a later line replaces an earlier one
 *   link PATH TARGET    dir PATH    rm PATH    mode PATH OCTAL
 *
 * An error ends the program with a message.
 */
#ifndef FAKE_HOST_H
#define FAKE_HOST_H

/* "": there is no such folder. */
extern char root[64];
/* Make and remove an empty root; they have the type of cmocka's setups and teardowns. */
int make_root(void **);
int remove_root(void **);

/* Adds lines as above. */
void put_host(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Writes the text to the file fmt below the root; a name that ends in a slash is a folder. */
void put(const char *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void put_link(const char *target, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Removes a file, or a folder with everything below. */
void put_nothing(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
