/* SPDX-License-Identifier: BSD-2-Clause */
/* pci.ids: six bytes say what is looked for, the rest is the file. No name has a control character,
 * and each ends. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vfio/host/pci_names.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void check(const char *name, size_t size)
{
	if (!memchr(name, '\0', size))
		abort();
	for (; *name; name++)
		if ((unsigned char)*name < ' ' || *name == 0x7f)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pci_names n = { 0 };
	struct pci_name out;
	char text[64];
	uint16_t id[3];

	if (size < sizeof(id))
		return 0;
	memcpy(id, data, sizeof(id));
	n.len = size - sizeof(id);
	/* Exactly as long as it is, so that a byte too far is seen. */
	n.text = malloc(n.len ? n.len : 1);
	memcpy(n.text, data + sizeof(id), n.len);
	pci_names_find(&n, (uint32_t)id[0] << 8, id[1], id[2], &out);
	check(out.class_name, sizeof(out.class_name));
	check(out.vendor, sizeof(out.vendor));
	check(out.device, sizeof(out.device));
	pci_names_text(&out, (uint32_t)id[0] << 8, id[1], id[2], text, sizeof(text));
	check(text, sizeof(text));
	pci_names_free(&n);
	return 0;
}
