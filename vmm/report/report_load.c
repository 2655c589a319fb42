/* SPDX-License-Identifier: BSD-2-Clause */
/* Parses the text of a statistics file. The text is not trusted. */
#include "vmm/report/report.h"

#include <errno.h>
#include <string.h>

#include "vmm/core/error.h"

static int stats_check(const json_t *s, struct error *err)
{
	if (strcmp(stats_string(s, "format"), STATS_FORMAT) != 0)
		return error_set(err, -EINVAL, "this file was not written by minivmm --stats");
	if (stats_number(s, "version") != 1)
		return error_set(err, -EINVAL,
				 "this file has version %g, but only version 1 is known: use the "
				 "minivmm that wrote it",
				 stats_number(s, "version"));
	return 0;
}

json_t *stats_load(const char *text, size_t len, struct error *err)
{
	json_error_t why;
	json_t *s = json_loadb(text, len, 0, &why);

	if (!s) {
		error_set(err, -EINVAL, "line %d is not JSON: %s", why.line, why.text);
		return NULL;
	}
	if (stats_check(s, err) == 0)
		return s;
	json_decref(s);
	return NULL;
}
