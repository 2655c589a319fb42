/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fw_cfg: named and numbered blobs that firmware and guest drivers read by port or by DMA (QEMU,
 * docs/specs/fw_cfg.rst).
 *
 * Items are added by the main loop before vCPUs run.
 */
#ifndef DEVICES_CHIPSET_FW_CFG_H
#define DEVICES_CHIPSET_FW_CFG_H

#include "vmm/core/addr.h"

struct bus;
struct evloop;
struct fw_cfg;
struct guest_mem;

#define FW_CFG_PORT	 0x510
#define FW_CFG_MAX_FILES 64
#define FW_CFG_NAME_LEN	 56 /* with the terminating zero */

enum fw_cfg_key {
	FW_CFG_SIGNATURE = 0x00,
	FW_CFG_ID = 0x01,
	FW_CFG_UUID = 0x02,
	FW_CFG_NB_CPUS = 0x05,
	FW_CFG_KERNEL_SIZE = 0x08,
	FW_CFG_INITRD_SIZE = 0x0b,
	FW_CFG_BOOT_MENU = 0x0e,
	FW_CFG_MAX_CPUS = 0x0f,
	FW_CFG_KERNEL_DATA = 0x11,
	FW_CFG_INITRD_DATA = 0x12,
	FW_CFG_CMDLINE_SIZE = 0x14,
	FW_CFG_CMDLINE_DATA = 0x15,
	FW_CFG_SETUP_SIZE = 0x17,
	FW_CFG_SETUP_DATA = 0x18,
	FW_CFG_FILE_DIR = 0x19,
	FW_CFG_FILE_FIRST = 0x20,
};

/* Puts the ports on pio. NULL: out of memory, or the ports are in use. */
struct fw_cfg *fw_cfg_new(struct bus *pio, struct guest_mem *);
/* The main loop goes on with a DMA whose vCPU had to pause. Without a loop, such a DMA fails. */
void fw_cfg_use_loop(struct fw_cfg *, struct evloop *);
void fw_cfg_free(struct fw_cfg *);
void fw_cfg_reset(struct fw_cfg *);

/* All return 0, -EINVAL (name too long, key out of range), -EEXIST or -ENOSPC/-ENOMEM. */
int fw_cfg_add(struct fw_cfg *, unsigned key, const void *data, size_t len); /* copies */
int fw_cfg_add_u16(struct fw_cfg *, unsigned key, uint16_t v);
int fw_cfg_add_u32(struct fw_cfg *, unsigned key, uint32_t v);
int fw_cfg_add_file(struct fw_cfg *, const char *name, const void *data, size_t len); /* copies */

/* The caller owns data and keeps it until fw_cfg_free(). It may change data while no vCPU runs, and
 * in the callbacks. The callbacks run on a vCPU thread under the lock of fw_cfg; they may be
 * NULL. */
struct fw_cfg_ref {
	void *data;
	size_t len;
	void (*select)(void *);	 /* before the guest reads the item: may fill in data */
	void (*written)(void *); /* after the guest wrote to it; NULL: read-only */
	void *arg;
	/* Used instead of data, which is NULL then: copies [off, off + len) of the item to buf. 0,
	 * or a negative errno. After an error a DMA sets its error bit, and the port reads
	 * zeros. */
	int (*read)(void *arg, uint64_t off, void *buf, size_t len);
};
int fw_cfg_add_ref(struct fw_cfg *, unsigned key, const struct fw_cfg_ref *);
int fw_cfg_add_file_ref(struct fw_cfg *, const char *name, const struct fw_cfg_ref *);

/* Adds a kernel that firmware will boot: a bzImage, split after its setup part, an initrd (fd -1:
 * no initrd) and a command line. The caller keeps the files open until fw_cfg_free(). They are read
 * when the guest asks for them, so they take no memory of ours. The paths are for messages and not
 * copied.
 * -EINVAL: the kernel is not a bzImage, or a file has 4 GiB or more. */
struct fw_cfg_linux {
	int kernel_fd, initrd_fd;
	const char *kernel_path, *initrd_path, *cmdline;
};
int fw_cfg_add_linux(struct fw_cfg *, const struct fw_cfg_linux *);

/* "opt/ovmf/X-PciMmio64Mb": size of OVMF's 64-bit PCI window, in MiB. */
int fw_cfg_add_mmio64_size(struct fw_cfg *, uint64_t mib);

#endif
