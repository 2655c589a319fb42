/* SPDX-License-Identifier: BSD-2-Clause */
/* --vfio: a PCI function of the host, as the user asks for it. The machine puts all of them into
 * the guest together (vmm/machine/passthrough.c), because they share groups, resets and root ports.
 */
#ifndef VFIO_OPTIONS_H
#define VFIO_OPTIONS_H

#include "vfio/device.h"
#include "vfio/host/sysfs.h"
#include "vmm/core/device.h"

#define VFIO_MOST 30 /* functions of a machine: a root port each needs a slot */

enum vfio_p2p { VFIO_P2P_AUTO, VFIO_P2P_ON, VFIO_P2P_OFF };
/* AUTO: unplug where the slot is hot-pluggable, else stop. */
enum vfio_on_error {
	VFIO_ON_ERROR_AUTO,
	VFIO_ON_ERROR_UNPLUG,
	VFIO_ON_ERROR_STOP,
	VFIO_ON_ERROR_REPORT
};

struct vfio_options {
	const char *address;	 /* as given */
	char bdf[VFIO_BDF_SIZE]; /* "0000:01:00.0" */
	struct vfio_pci_config dev;
	unsigned p2p;	   /* enum vfio_p2p */
	unsigned on_error; /* enum vfio_on_error */
	uint64_t slot;	   /* of the guest's bus 0, for the root port; 0: any */
};

extern const struct device_class vfio_class;

/* Of the i-th function; NULL: there is none. */
const struct vfio_options *vfio_options(const struct device_list *, unsigned i);
unsigned vfio_count(const struct device_list *);
/* One of them has on-error=unplug. */
bool vfio_wants_unplug(const struct device_list *);

#endif
