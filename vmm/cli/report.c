/* SPDX-License-Identifier: BSD-2-Clause */
/* `minivmm report FILE [-o HTML]`: what --stats=FILE wrote, as a page. The file may be anybody's.
 */
#include "vmm/cli/command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/core/cleanup.h"
#include "vmm/core/error.h"
#include "vmm/core/infile.h"
#include "vmm/core/log.h"
#include "vmm/core/outfile.h"
#include "vmm/report/report.h"

#define FILE_MAX (64u << 20) /* 255 vCPUs with full tables stay below */

static json_t *load_file(FILE *f, const char *path, struct error *err)
{
	scoped_free char *text = malloc(FILE_MAX);
	json_t *s = NULL;
	size_t len;

	len = text ? fread(text, 1, FILE_MAX, f) : 0;
	if (!text || ferror(f))
		error_set(err, -errno, "%s", strerror(errno));
	else if (len == 0 && infile_no_writer(f))
		error_set(err, -ENODATA, "%s", infile_no_writer(f));
	else if (len == FILE_MAX)
		error_set(err, -EFBIG, "more than %u MiB: not written by minivmm --stats",
			  FILE_MAX >> 20);
	else
		s = stats_load(text, len, err);
	if (!s)
		error_prefix(err, "report %s", path);
	return s;
}

static int write_page(const json_t *s, const char *path)
{
	struct error err = { 0 };
	bool made = path && access(path, F_OK) < 0;
	int fd = path ? outfile_open(path, true, &err) : -1;
	FILE *f = path ? (fd < 0 ? NULL : fdopen(fd, "w")) : stdout;
	int ret;

	if (path && fd < 0) {
		log_error("report: %s", err.text);
		return 1;
	}
	ret = f ? report_html(f, s) : -errno;
	if (!path && ferror(stdout))
		return 1; /* main says so */
	if (ret == 0)
		ret = fflush(f);
	if (ret != 0)
		log_error("report: %s: %s", path ? path : "stdout", strerror(errno));
	if (ret != 0 && made)
		outfile_remove(path, fd);
	if (path && f)
		fclose(f);
	return ret != 0;
}

/* The file stays open, and locked, until the page is written: it is not written into itself. */
static int convert(FILE *f, const char *in, const char *out)
{
	struct error err = { 0 };
	json_t *s = load_file(f, in, &err);
	int status;

	if (!s) {
		log_error("%s", err.text);
		return 1;
	}
	status = write_page(s, out);
	json_decref(s);
	return status;
}

int command_report(int argc, char **argv)
{
	const char *in = argc > 1 ? argv[1] : NULL;
	const char *out = argc == 4 && strcmp(argv[2], "-o") == 0 ? argv[3] : NULL;
	int status;
	FILE *f;

	if (!in || in[0] == '-' || (argc != 2 && !out)) {
		log_error("report: usage: " USAGE_REPORT
			  ", where FILE was written by --stats=FILE");
		return COMMAND_USAGE;
	}
	f = infile_stream(in);
	if (!f) {
		log_error("report %s: %s", in, strerror(errno));
		return 1;
	}
	status = convert(f, in, out);
	fclose(f);
	return status;
}
