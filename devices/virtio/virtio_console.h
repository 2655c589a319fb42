/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-console (VIRTIO 1.2 §5.3): one port, on a character device's back end. */
#ifndef DEVICES_VIRTIO_VIRTIO_CONSOLE_H
#define DEVICES_VIRTIO_VIRTIO_CONSOLE_H

#include <stdint.h>

struct device_class;
struct error;
struct outputs;
struct pci_bus;
struct pci_root;
struct virtio_console;

/* spec, outputs: see chardev.h; spec is not kept. quit(arg), on the main loop: the user typed
 * Ctrl-A x. Main thread. NULL with *err filled. */
struct virtio_console *virtio_console_new(struct pci_root *, struct pci_bus *, uint8_t devfn,
					  const char *spec, struct outputs *, void (*quit)(void *),
					  void *arg, struct error *);
void virtio_console_free(struct virtio_console *); /* NULL is fine */

extern const struct device_class virtio_console_class;

#endif
