/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-console (VIRTIO 1.2 §5.3): one port, connected to a chardev. */
#ifndef DEVICES_VIRTIO_VIRTIO_CONSOLE_H
#define DEVICES_VIRTIO_VIRTIO_CONSOLE_H

#include <stdint.h>

struct device_class;
struct error;
struct outputs;
struct pci_bus;
struct pci_root;
struct virtio_console;

/* chardev.h explains spec and outputs; spec is not kept. quit(arg) is called on the main loop when
 * the user types Ctrl-A x. Main thread. NULL with *err set on failure. */
struct virtio_console *virtio_console_new(struct pci_root *, struct pci_bus *, uint8_t devfn,
					  const char *spec, struct outputs *, void (*quit)(void *),
					  void *arg, struct error *);
void virtio_console_free(struct virtio_console *); /* NULL is allowed */

extern const struct device_class virtio_console_class;

#endif
