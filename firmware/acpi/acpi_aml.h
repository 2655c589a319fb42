/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A small AML writer (ACPI 6.5, chapter 20): just the terms that a static DSDT needs.
 *
 * Writes into a buffer of fixed size; what does not fit sets `overflow` and is dropped, so callers
 * check once at the end. Packages nest: aml_open() returns a mark, aml_close() inserts the package
 * length there.
 */
#ifndef FIRMWARE_ACPI_ACPI_AML_H
#define FIRMWARE_ACPI_ACPI_AML_H

#include "vmm/core/addr.h"

struct aml {
	uint8_t *buf;
	size_t len, cap;
	bool overflow;
};

void aml_bytes(struct aml *, const void *, size_t);
void aml_u8(struct aml *, uint8_t);
void aml_u16(struct aml *, uint16_t);
void aml_u32(struct aml *, uint32_t);
void aml_u64(struct aml *, uint64_t);

/* A NameString: "ABCD", "\\ABCD", "\\_SB.PCI0"; segments of up to four characters. */
void aml_path(struct aml *, const char *);
void aml_int(struct aml *, uint64_t); /* shortest encoding */
void aml_string(struct aml *, const char *);
void aml_eisaid(struct aml *, const char id[8]); /* "PNP0A08" */

size_t aml_open(struct aml *);
void aml_close(struct aml *, size_t mark);

/* Terms with a body; each is ended by aml_close(). */
size_t aml_scope(struct aml *, const char *path);
size_t aml_device(struct aml *, const char *name);
size_t aml_method(struct aml *, const char *name, unsigned args, bool serialized);
size_t aml_package(struct aml *, unsigned elements);
size_t aml_name_package(struct aml *, const char *name, unsigned elements);

void aml_name(struct aml *, const char *name); /* followed by its value */
void aml_name_int(struct aml *, const char *name, uint64_t);
void aml_name_eisaid(struct aml *, const char *name, const char id[8]);
void aml_name_string(struct aml *, const char *name, const char *);

/* Name(name, ResourceTemplate() { ... }). */
struct aml_resources {
	size_t mark, data, size_at;
};
struct aml_resources aml_resources_open(struct aml *, const char *name);
void aml_resources_close(struct aml *, struct aml_resources);

/* Resource descriptors (ACPI 6.5, 6.4). Ranges are [min, max], both inclusive. */
void aml_res_io(struct aml *, uint16_t base, uint8_t len);
void aml_res_irq(struct aml *, unsigned irq); /* edge, high, exclusive */
void aml_res_mem32_fixed(struct aml *, uint32_t base, uint32_t len);
void aml_res_bus(struct aml *, uint16_t min, uint16_t max);
void aml_res_word_io(struct aml *, uint16_t min, uint16_t max);
void aml_res_dword_mem(struct aml *, uint32_t min, uint32_t max, bool cacheable);
void aml_res_qword_mem(struct aml *, uint64_t min, uint64_t max);

#endif
