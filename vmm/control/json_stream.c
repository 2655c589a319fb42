/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The scanner knows strings and brackets only; whether the text between them is JSON is jansson's
 * to say. Outside of an object, a word that cannot begin one is bad up to the end of its line or to
 * the next bracket, so that whoever sent `{"a": }` or `hello` can go on.
 */
#include "vmm/control/json_stream.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE 512u

/* Of an object that is broken nothing is kept. */
static bool put(struct json_stream *s, char c)
{
	size_t cap = s->cap ? s->cap : FIRST_SIZE / 2;
	char *buf;

	if (s->broken)
		return true;
	if (s->len == s->cap) {
		if (s->cap >= (s->max ? s->max : JSON_STREAM_MAX))
			return false;
		buf = realloc(s->buf, cap * 2);
		if (!buf)
			return false;
		s->buf = buf;
		s->cap = cap * 2;
	}
	s->buf[s->len++] = c;
	return true;
}

static void bad(struct json_stream *s, const char *why)
{
	if (!s->broken)
		s->why = why;
	s->broken = true;
}

/* Within a string. A single-quoted one is written with double quotes: a double quote in it needs an
 * escape, an escaped single quote loses its own. */
static bool take_string(struct json_stream *s, char c)
{
	if (s->escaped) {
		s->escaped = false;
		if (c == '\'')
			return put(s, '\'');
		return put(s, '\\') && put(s, c);
	}
	if (c == '\\') {
		s->escaped = true;
		return true;
	}
	if (c == s->quote) {
		s->quote = 0;
		return put(s, '"');
	}
	return c == '"' ? put(s, '\\') && put(s, c) : put(s, c);
}

static bool take(struct json_stream *s, char c)
{
	if (s->quote)
		return take_string(s, c);
	if (c == '"' || c == '\'') {
		s->quote = c;
		return put(s, '"');
	}
	if (c == '{' || c == '[') {
		if (++s->depth > JSON_STREAM_DEPTH)
			bad(s, "too many brackets within each other");
	} else if (c == '}' || c == ']') {
		s->depth--;
	}
	return put(s, c);
}

static void forget(struct json_stream *s)
{
	s->len = 0;
	s->depth = 0;
	s->quote = 0;
	s->escaped = s->broken = false;
}

/* Outside of an object: what is between them. True: c begins something. */
static bool between(struct json_stream *s, char c, enum json_stream_is *is)
{
	if (c == '{' || c == '[') {
		bool word = s->broken;

		*is = word ? JSON_STREAM_BAD : JSON_STREAM_MORE;
		forget(s);
		return true;
	}
	if (c == '\n' && s->broken) {
		forget(s);
		*is = JSON_STREAM_BAD;
	} else if (!isspace((unsigned char)c)) {
		bad(s, "the input is not JSON");
	}
	return false;
}

static enum json_stream_is parse(struct json_stream *s, json_t **object, const char **why)
{
	bool broken = s->broken;

	*why = s->why;
	*object = broken ? NULL : json_loadb(s->buf, s->len, JSON_REJECT_DUPLICATES, NULL);
	forget(s);
	if (*object && json_is_object(*object))
		return JSON_STREAM_OBJECT;
	if (!broken)
		*why = *object ? "QMP input must be a JSON object" : "the input is not JSON";
	json_decref(*object);
	*object = NULL;
	return JSON_STREAM_BAD;
}

enum json_stream_is json_stream_take(struct json_stream *s, const char *p, size_t n, size_t *used,
				     json_t **object, const char **why)
{
	enum json_stream_is is = JSON_STREAM_MORE;
	size_t i;

	*object = NULL;
	for (i = 0; i < n; i++) {
		if (s->depth == 0 && !between(s, p[i], &is)) {
			if (is == JSON_STREAM_BAD)
				break;
			continue;
		}
		if (is ==
		    JSON_STREAM_BAD) { /* the bracket is read again, as the first of its own */
			*used = i;
			*why = "the input is not JSON";
			return is;
		}
		/* JSON has none in a string: a quote is missing, and what follows is another
		 * object. */
		if (s->quote && (unsigned char)p[i] < ' ') {
			forget(s);
			*used = i + 1;
			*why = "a control character in a string";
			return JSON_STREAM_BAD;
		}
		if (!take(s, p[i])) {
			*used = i;
			return JSON_STREAM_FULL;
		}
		if (s->depth == 0) {
			*used = i + 1;
			return parse(s, object, why);
		}
	}
	*used = i < n ? i + 1 : n;
	*why = "the input is not JSON";
	return is;
}

void json_stream_free(struct json_stream *s)
{
	free(s->buf);
	*s = (struct json_stream){ 0 };
}
