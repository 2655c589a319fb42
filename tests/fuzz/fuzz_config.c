/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line: words separated by newlines. Whatever is accepted keeps the promises of
 * config.h. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/machine/options.h"
#include "vmm/placement/pin.h"

#define MAX_WORDS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *argv[MAX_WORDS] = { "minivmm" }, *text = malloc(size + 1), *save, *w;
	struct config c;
	struct error err = { 0 };
	int argc = 1, rc;

	memcpy(text, data, size);
	text[size] = '\0';
	for (w = strtok_r(text, "\n", &save); w && argc < MAX_WORDS;
	     w = strtok_r(NULL, "\n", &save))
		argv[argc++] = w;
	rc = config_parse(&c, argc, argv, &err);
	if (rc < 0 && !err.text[0])
		abort();
	if (rc == 0 && c.action == CONFIG_RUN) {
		if (c.topo.sockets * c.topo.cores * c.topo.threads != c.cpus.n || c.n_serial == 0 ||
		    c.memory == 0 || c.n_disks > CONFIG_MAX_DISKS)
			abort();
		if (c.pin_kind == PIN_LIST && (!c.cpus.pin || c.pin[c.cpus.n - 1] >= PIN_CPUS))
			abort();
		if (c.n_disks && !c.disk[c.n_disks - 1].path)
			abort();
	}
	config_free(&c);
	free(text);
	return 0;
}
