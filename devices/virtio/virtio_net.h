/* SPDX-License-Identifier: BSD-2-Clause */
/* virtio-net (VIRTIO 1.2 §5.1) on a tap device, with vhost-net when the host has it. */
#ifndef DEVICES_VIRTIO_VIRTIO_NET_H
#define DEVICES_VIRTIO_VIRTIO_NET_H

#include <stdbool.h>
#include <stdint.h>

struct device_class;
struct error;
struct pci_bus;
struct pci_root;
struct virtio_net;

#define NET_MAX_PAIRS 16

struct net_config {
	const char *ifname; /* a tap device; NULL: make one */
	uint8_t mac[6];	    /* all zeroes: one is made up */
	bool no_vhost;	    /* the userspace data path even if vhost-net is there */
	unsigned queues; /* pairs; 0: as many as `cpus`, where vhost and the tap device have them */
	unsigned cpus;	 /* that the guest has */
	unsigned ring;	 /* entries of a queue, a power of two; 0: 1024 */
	unsigned mtu;	 /* 0: the tap device's */
	unsigned index;
};

/* Attaches to the tap device, before there is a machine. Main thread; the strings are not kept.
 * NULL with *err naming the remedy. */
struct virtio_net *virtio_net_open(const struct net_config *, struct error *);
/* Puts it on the bus; the configuration is the one it was opened with. virtio_net_free() in either
 * case. */
int virtio_net_plug(struct virtio_net *, struct pci_root *, struct pci_bus *, uint8_t devfn,
		    const struct net_config *, struct error *);
/* The address that was asked for; if that is all zeroes, one that is made up. */
void virtio_net_mac(uint8_t mac[6], const uint8_t asked[6], unsigned index);
/* NULL is fine. False: the host's kernel does not let go of it, so that all of it stays in place.
 */
bool virtio_net_free(struct virtio_net *);

extern const struct device_class virtio_net_class;

#endif
