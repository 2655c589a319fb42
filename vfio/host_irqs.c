/* SPDX-License-Identifier: BSD-2-Clause */
#include "vfio/host_irqs.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "  45:   12   0  IR-PCI-MSIX-0000:01:00.0  3-edge  NAME": adds the columns of the CPUs up and
 * returns what follows; NULL: no line of a numbered interrupt. */
static const char *columns(const char *p, uint64_t *sum)
{
	char *end;

	*sum = 0;
	strtoul(p, &end, 10);
	if (end == p || *end != ':')
		return NULL;
	for (p = end + 1;; p = end) {
		unsigned long long n;

		p += strspn(p, " ");
		if (!isdigit((unsigned char)*p))
			return p;
		n = strtoull(p, &end, 10);
		if (*end != ' ')
			return p; /* "3-edge" */
		*sum += n;
	}
}

/* %n comes after the closing parenthesis: sscanf() counts conversions, not what follows them. */
static bool name_parse(const char *name, const char *bdf, struct host_irq *irq)
{
	char who[16] = "";
	int end = 0;

	irq->vector = 0;
	if (sscanf(name, "vfio-msix[%u](%15[^)])%n", &irq->vector, who, &end) == 2)
		irq->kind = HOST_IRQ_MSIX;
	else if (sscanf(name, "vfio-msi[%u](%15[^)])%n", &irq->vector, who, &end) == 2)
		irq->kind = HOST_IRQ_MSI;
	else if (sscanf(name, "vfio-intx(%15[^)])%n", who, &end) == 1)
		irq->kind = HOST_IRQ_INTX;
	return end && strcmp(who, bdf) == 0;
}

bool host_irq_parse(const char *line, const char *bdf, struct host_irq *irq)
{
	const char *p = columns(line, &irq->count);

	while (p && (p = strstr(p, "vfio-"))) {
		if (name_parse(p, bdf, irq))
			return true;
		p++;
	}
	return false;
}

void host_irqs_each(const char *path, const char *bdf, void (*fn)(void *, const struct host_irq *),
		    void *arg)
{
	FILE *f = fopen(path, "re");
	struct host_irq irq;
	char *line = NULL;
	size_t size = 0;

	while (f && getline(&line, &size, f) > 0)
		if (host_irq_parse(line, bdf, &irq))
			fn(arg, &irq);
	free(line);
	if (f)
		fclose(f);
}
