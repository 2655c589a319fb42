/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cuts a stream of bytes into JSON objects, as QMP's clients send them: one after the other, with
 * or without newlines between them, split anywhere.
 *
 * Strings in single quotes, which QEMU takes too, become strings in double quotes. The cost is
 * linear in the bytes: each is looked at once, and an object is parsed when its last bracket is
 * there.
 *
 * Threads: one at a time.
 */
#ifndef VMM_CONTROL_JSON_STREAM_H
#define VMM_CONTROL_JSON_STREAM_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define JSON_STREAM_MAX	  (1024u * 1024) /* bytes of an object */
#define JSON_STREAM_DEPTH 64u		 /* brackets within each other */

/* All zeroes is an empty one. */
struct json_stream {
	char *buf; /* of the object that is not complete yet */
	size_t len, cap;
	size_t max; /* bytes of an object; 0: JSON_STREAM_MAX */
	unsigned depth;
	char quote; /* within a string: the quote that ends it; else 0 */
	bool escaped, broken;
	const char *why; /* broken: a literal */
};

enum json_stream_is {
	JSON_STREAM_MORE,   /* all bytes are taken, no object is complete */
	JSON_STREAM_OBJECT, /* *object is a new reference */
	JSON_STREAM_BAD,    /* *why says what is wrong; what follows is read on */
	JSON_STREAM_FULL,   /* an object is too long, or there is no memory: the stream is lost */
};

/* Takes bytes up to the end of an object. *used: how many it took. */
enum json_stream_is json_stream_take(struct json_stream *, const char *, size_t, size_t *used,
				     json_t **object, const char **why);
void json_stream_free(struct json_stream *);

#endif
