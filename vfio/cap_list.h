/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of capabilities that the guest sees; vfio_config_init() makes it. Threads: the device is
 * not plugged yet. */
#ifndef VFIO_CAP_LIST_H
#define VFIO_CAP_LIST_H

struct vfio_pci;

/* Takes the capability at *cap off the list and sets *cap to 0; 0 before: nothing to do. Its
 * registers stay where they are, and nothing points to them. */
void vfio_cap_unlink(struct vfio_pci *, unsigned *cap);

#endif
