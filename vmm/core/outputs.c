/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/core/outputs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/core/cleanup.h"
#include "vmm/core/log.h"
#include "vmm/core/outfile.h"

struct output {
	char *name; /* with all symbolic links resolved */
	bool there, rotated;
	dev_t dev; /* of a file that exists */
	ino_t ino;
	int fd; /* the caller closes it; -1: the file must not be truncated */
	bool made;
	struct output *next;
};

struct outputs {
	struct output *first;
	bool begun;
};

struct outputs *outputs_new(void)
{
	return calloc(1, sizeof(struct outputs));
}

static void output_free(struct output *o)
{
	if (o)
		free(o->name);
	free(o);
}

static bool output_look(struct output *o)
{
	struct stat st;

	o->there = stat(o->name, &st) == 0;
	if (!o->there)
		return true;
	o->dev = st.st_dev;
	o->ino = st.st_ino;
	return S_ISREG(st.st_mode) || S_ISSOCK(st.st_mode);
}

/* NULL: out of memory; or, if *other is set, it is not a regular file, or its path is wrong. */
static struct output *output_of(const char *path, bool *other)
{
	struct output *o = calloc(1, sizeof(*o));
	char name[PATH_MAX] = "";

	/* If the file does not exist, glibc stores the path that is missing, with symbolic links
	 * resolved. */
	*other = !realpath(path, name) && errno != ENOENT;
	if (o && !*other)
		o->name = strdup(name);
	if (o && o->name) {
		o->fd = -1;
		*other = !output_look(o);
		if (!*other)
			return o;
	}
	output_free(o);
	return NULL;
}

static struct output *outputs_find(const struct outputs *all, const struct output *like)
{
	struct output *o;

	for (o = all->first; o; o = o->next)
		if (strcmp(o->name, like->name) == 0 ||
		    (o->there && like->there && o->dev == like->dev && o->ino == like->ino))
			return o;
	return NULL;
}

static int outputs_add(struct outputs *all, const char *path, bool rotated, struct error *err)
{
	bool other = false;
	struct output *o = all ? output_of(path, &other) : NULL, *twin;

	if (!o)
		return all && !other ? error_set(err, -ENOMEM, "out of memory") : 0;
	twin = outputs_find(all, o);
	if (twin) {
		output_free(o);
		return error_set(err, -EEXIST, "%s: %s: name another file", path,
				 twin->rotated ? "a file with max= becomes this one when it is full"
					       : "another option writes to it, too");
	}
	o->rotated = rotated;
	o->next = all->first;
	all->first = o;
	return 0;
}

int outputs_claim(struct outputs *all, const char *path, struct error *err)
{
	return outputs_add(all, path, false, err);
}

int outputs_claim_rotated(struct outputs *all, const char *path, struct error *err)
{
	scoped_free char *old = NULL;

	if (asprintf(&old, "%s.1", path) < 0) {
		old = NULL;
		return error_set(err, -ENOMEM, "out of memory");
	}
	return outputs_add(all, old, true, err);
}

int outputs_open(struct outputs *all, const char *path, bool empty, struct error *err)
{
	struct output *o = NULL, *known;
	bool other = false, made;
	int fd;

	if (!all || all->begun)
		return outfile_open(path, empty, err);
	o = output_of(path, &other);
	fd = outfile_open(path, false, err);
	if (fd < 0 || !o) {
		output_free(o);
		return fd;
	}
	made = !o->there;
	known = outputs_find(all, o);
	if (known) {
		output_free(o);
		o = known;
	} else {
		o->next = all->first;
		all->first = o;
	}
	o->made = made;
	output_look(o);
	o->fd = empty ? fd : -1;
	return fd;
}

void outputs_begin(struct outputs *all)
{
	struct output *o;

	if (!all)
		return;
	for (o = all->first; o; o = o->next)
		if (o->fd >= 0 && ftruncate(o->fd, 0) < 0)
			log_warn("%s could not be emptied: %s", o->name, strerror(errno));
	all->begun = true;
}

/* Removes a file that we created, if it is still the same file and still empty. */
static void output_remove(const struct output *o)
{
	struct stat st;

	if (lstat(o->name, &st) == 0 && st.st_dev == o->dev && st.st_ino == o->ino &&
	    st.st_size == 0)
		unlink(o->name);
}

void outputs_free(struct outputs *all)
{
	struct output *o;

	while (all && (o = all->first)) {
		all->first = o->next;
		if (o->made && !all->begun)
			output_remove(o);
		output_free(o);
	}
	free(all);
}
