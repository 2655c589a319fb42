/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A small AML writer (ACPI 6.5, chapter 20), with only the terms that a static DSDT needs.
 *
 * Packages may be nested: aml_open() returns a mark, and aml_close() inserts the package length
 * there.
 */
#ifndef FIRMWARE_ACPI_ACPI_AML_H
#define FIRMWARE_ACPI_ACPI_AML_H

#include "firmware/bytes.h"

/* A NameString: "ABCD", "\\ABCD", "\\_SB.PCI0"; segments of up to four characters. */
void aml_path(struct bytes *, const char *);
void aml_int(struct bytes *, uint64_t); /* shortest encoding */
void aml_string(struct bytes *, const char *);
void aml_eisaid(struct bytes *, const char id[8]); /* "PNP0A08" */

size_t aml_open(struct bytes *);
void aml_close(struct bytes *, size_t mark);

/* Terms with a body. aml_close() ends the body. */
size_t aml_scope(struct bytes *, const char *path);
size_t aml_device(struct bytes *, const char *name);
size_t aml_method(struct bytes *, const char *name, unsigned args, bool serialized);
size_t aml_package(struct bytes *, unsigned elements);
size_t aml_name_package(struct bytes *, const char *name, unsigned elements);

void aml_name(struct bytes *, const char *name); /* followed by its value */
void aml_name_int(struct bytes *, const char *name, uint64_t);
void aml_name_eisaid(struct bytes *, const char *name, const char id[8]);
void aml_name_string(struct bytes *, const char *name, const char *);

/* Name(name, ResourceTemplate() { ... }). */
struct aml_resources {
	size_t mark, data, size_at;
};
struct aml_resources aml_resources_open(struct bytes *, const char *name);
void aml_resources_close(struct bytes *, struct aml_resources);

/* Resource descriptors (ACPI 6.5, 6.4). Ranges are [min, max], both inclusive. */
void aml_res_io(struct bytes *, uint16_t base, uint8_t len);
void aml_res_irq(struct bytes *, unsigned irq); /* edge, high, exclusive */
void aml_res_mem32_fixed(struct bytes *, uint32_t base, uint32_t len);
void aml_res_bus(struct bytes *, uint16_t min, uint16_t max);
void aml_res_word_io(struct bytes *, uint16_t min, uint16_t max);
void aml_res_dword_mem(struct bytes *, uint32_t min, uint32_t max, bool cacheable);
void aml_res_qword_mem(struct bytes *, uint64_t min, uint64_t max);

#endif
