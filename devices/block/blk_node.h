/* SPDX-License-Identifier: BSD-2-Clause */
/* The NUMA node of a disk's storage. The thread of a queue runs on it, so that the queue's ring and
 * the kernel's part of each request have the memory that is near the storage, whose interrupts come
 * there, too. Read from sysfs (Documentation/ABI/testing/sysfs-bus-pci, numa_node;
 * sysfs-devices-node) below a root: "" on a real host. Threads: any; no state. */
#ifndef DEVICES_BLOCK_BLK_NODE_H
#define DEVICES_BLOCK_BLK_NODE_H

#include <stdbool.h>
#include <sys/types.h>

/* The node of the device that block device `dev` belongs to. -1: it is not known, as with device
 * mapper and network storage, or the host has one node. */
int blk_node_find(const char *root, dev_t dev);
/* The calling thread stays on those CPUs of the node that it may run on already. False, and nothing
 * is changed: there is no such CPU, or node is -1. */
bool blk_node_stay(const char *root, int node);

#endif
