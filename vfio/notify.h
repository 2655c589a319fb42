/* SPDX-License-Identifier: BSD-2-Clause */
/* ERR and REQ: the device reported an error, and the host wants it back. Main loop, no lock. */
#ifndef VFIO_NOTIFY_H
#define VFIO_NOTIFY_H

#include "vfio/vfio_pci.h"

/* From now on they call on_error() and on_request() of struct vfio_pci_config. Where that cannot be
 * had, a line says so. */
void vfio_notify_watch(struct vfio_pci *, struct evloop *);
void vfio_notify_unwatch(struct vfio_pci *); /* also when nothing is watched */

#endif
