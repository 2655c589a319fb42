/* SPDX-License-Identifier: BSD-2-Clause */
/* Declarations that only the acpi*.c files use. */
#ifndef FIRMWARE_ACPI_ACPI_PARTS_H
#define FIRMWARE_ACPI_ACPI_PARTS_H

#include "firmware/acpi/acpi.h"
#include "firmware/acpi/acpi_aml.h"

#define ACPI_FILE_TABLES "etc/acpi/tables"
#define ACPI_FILE_RSDP	 "etc/acpi/rsdp"
#define ACPI_FILE_LOADER "etc/table-loader"

/* The definition block of the DSDT, without its header. */
void acpi_dsdt(struct bytes *, const struct platform *);

/* Add script entries (QEMU, hw/acpi/bios-linker-loader.c). False: the script is full. Offsets are
 * relative to the named file. */
bool loader_allocate(struct acpi_blobs *, const char *file, uint32_t align, bool fseg);
bool loader_pointer(struct acpi_blobs *, const char *in, const char *to, uint32_t off,
		    uint8_t size);
bool loader_checksum(struct acpi_blobs *, const char *file, uint32_t result, uint32_t start,
		     uint32_t len);

/* Runs the script on the blobs, for the two addresses where they will be placed. -EINVAL: an entry
 * is wrong. */
int loader_run(struct acpi_blobs *, uint64_t tables_gpa, uint64_t rsdp_gpa);

#endif
