/* SPDX-License-Identifier: BSD-2-Clause */
/* Little-endian accessors for the cfg, wmask and w1cmask arrays. Configuration space is written
 * under the root lock. pci_set_intx(), pci_rid(), pci_bus_master() and BAR callbacks read it
 * without the lock, so each byte is accessed atomically. */
#ifndef DEVICES_PCI_PCI_CFG_H
#define DEVICES_PCI_PCI_CFG_H

#include <stdint.h>

static inline uint8_t pci_get8(const uint8_t *cfg, unsigned off)
{
	return __atomic_load_n(&cfg[off], __ATOMIC_RELAXED);
}

static inline uint16_t pci_get16(const uint8_t *cfg, unsigned off)
{
	return (uint16_t)(pci_get8(cfg, off) | pci_get8(cfg, off + 1) << 8);
}

static inline uint32_t pci_get32(const uint8_t *cfg, unsigned off)
{
	return pci_get16(cfg, off) | (uint32_t)pci_get16(cfg, off + 2) << 16;
}

static inline void pci_set8(uint8_t *cfg, unsigned off, uint8_t v)
{
	__atomic_store_n(&cfg[off], v, __ATOMIC_RELAXED);
}

static inline void pci_set16(uint8_t *cfg, unsigned off, uint16_t v)
{
	pci_set8(cfg, off, (uint8_t)v);
	pci_set8(cfg, off + 1, (uint8_t)(v >> 8));
}

static inline void pci_set32(uint8_t *cfg, unsigned off, uint32_t v)
{
	pci_set16(cfg, off, (uint16_t)v);
	pci_set16(cfg, off + 2, (uint16_t)(v >> 16));
}

#endif
