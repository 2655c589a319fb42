/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line: words separated by newlines. Whatever is accepted keeps the promises of
 * options.h. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "devices/chipset/serial.h"
#include "devices/virtio/virtio_blk.h"
#include "vmm/machine/options.h"
#include "vmm/placement/pin.h"

#define MAX_WORDS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *argv[MAX_WORDS] = { "minivmm" }, *text = malloc(size + 1), *save, *w;
	struct config c;
	struct error err = { 0 };
	const struct device *d;
	int argc = 1, ret;

	memcpy(text, data, size);
	text[size] = '\0';
	for (w = strtok_r(text, "\n", &save); w && argc < MAX_WORDS;
	     w = strtok_r(NULL, "\n", &save))
		argv[argc++] = w;
	ret = config_parse(&c, argc, argv, &err);
	if (ret < 0 && !err.text[0])
		abort();
	if (ret == 0 && c.action == CONFIG_RUN) {
		if (c.topo.sockets * c.topo.cores * c.topo.threads != c.cpus.n ||
		    !device_next(&c.devices, &serial_class, NULL) || c.memory == 0 ||
		    device_count(&c.devices, &virtio_blk_class) > 16)
			abort();
		if (c.pin_kind == PIN_LIST && (!c.cpus.pin || c.pin[c.cpus.n - 1] >= PIN_CPUS))
			abort();
		/* A disk's options begin with its path. */
		for (d = NULL; (d = device_next(&c.devices, &virtio_blk_class, d));)
			if (!*(const char **)d->opts)
				abort();
	}
	config_free(&c);
	free(text);
	return 0;
}
