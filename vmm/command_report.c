/* SPDX-License-Identifier: BSD-2-Clause */
/* `minivmm report FILE [-o HTML]`: what --stats=FILE wrote, as a page. The file may be anybody's.
 */
#include "vmm/command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cleanup.h"
#include "vmm/error.h"
#include "vmm/log.h"
#include "vmm/machine_stats.h"

#define FILE_MAX (64u << 20) /* 255 vCPUs with full tables stay below */

static int check(const json_t *s, struct error *err)
{
	if (strcmp(stats_string(s, "format"), STATS_FORMAT) != 0)
		return error_set(err, -EINVAL, "not written by minivmm --stats");
	if (stats_number(s, "version") != 1)
		return error_set(err, -EINVAL,
				 "version %g, where 1 is known: use the minivmm that wrote it",
				 stats_number(s, "version"));
	return 0;
}

json_t *stats_load(const char *text, size_t len, struct error *err)
{
	json_error_t why;
	json_t *s = json_loadb(text, len, 0, &why);

	if (!s) {
		error_set(err, -EINVAL, "line %d is no JSON: %s", why.line, why.text);
		return NULL;
	}
	if (check(s, err) == 0)
		return s;
	json_decref(s);
	return NULL;
}

static json_t *load_file(const char *path, struct error *err)
{
	FILE *f = fopen(path, "re");
	scoped_free char *text = f ? malloc(FILE_MAX) : NULL;
	json_t *s = NULL;
	size_t len;

	if (!text) {
		error_set(err, -errno, "%s", strerror(errno));
		goto out;
	}
	len = fread(text, 1, FILE_MAX, f);
	if (ferror(f))
		error_set(err, -errno, "%s", strerror(errno));
	else if (len == FILE_MAX)
		error_set(err, -EFBIG, "more than %u MiB: not written by minivmm --stats",
			  FILE_MAX >> 20);
	else
		s = stats_load(text, len, err);
out:
	if (f)
		fclose(f);
	if (!s)
		error_prefix(err, "report %s", path);
	return s;
}

static int write_page(const json_t *s, const char *path)
{
	FILE *f = path ? fopen(path, "we") : stdout;

	if (f) {
		machine_stats_html(f, s);
		if (!ferror(f) && (path ? fclose(f) : fflush(f)) == 0)
			return 0;
	}
	log_error("report: %s: %s", path ? path : "stdout", strerror(errno));
	return 1;
}

int command_report(int argc, char **argv)
{
	const char *in = argc > 1 ? argv[1] : NULL;
	const char *out = argc == 4 && strcmp(argv[2], "-o") == 0 ? argv[3] : NULL;
	struct error err = { 0 };
	json_t *s;
	int status;

	if (!in || in[0] == '-' || (argc != 2 && !out)) {
		log_error("report: use minivmm report FILE [-o HTML]; --stats=FILE wrote the file");
		return COMMAND_USAGE;
	}
	s = load_file(in, &err);
	if (!s) {
		log_error("%s", err.text);
		return 1;
	}
	status = write_page(s, out);
	json_decref(s);
	return status;
}
