/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load_http.c: one HTTP/1.1 answer, byte by byte as it comes.
 *
 * Runs in:    the load client. Trusts: the service under measurement.
 * Owns:       nothing.
 * Invariants: found means that the whole text has arrived in the body, wherever
 *             chunks and TLS records cut it; DONE only at the framed end.
 * See:        load.c.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "load_http.h"

void
answer_init(struct answer *a, const char *text)
{
	a->state = ANSWER_STATUS;
	a->status = 0;
	a->chunked = a->close = a->found = false;
	a->left = 0;
	a->line_len = 0;
	a->text = text;
	a->matched = 0;
	a->begin_len = 0;
	a->begin[0] = '\0';
}

/* The longest end of text[0..matched) + byte that begins text. Texts are short. */
static size_t
match_next(const char *text, size_t matched, char byte)
{
	for (size_t n = matched + 1; n > 0; n--) {
		if (text[n - 1] == byte && memcmp(text, text + matched + 1 - n, n - 1) == 0)
			return n;
	}
	return 0;
}

/* What would need to be escaped is a point. */
static void
begin(struct answer *a, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n && a->begin_len < ANSWER_BEGIN_MAX; i++) {
		bool plain = isprint((unsigned char)bytes[i]) && bytes[i] != '\\';

		a->begin[a->begin_len++] = bytes[i] == '"' ? '\'' : plain ? bytes[i] : '.';
	}
	a->begin[a->begin_len] = '\0';
}

static void
body(struct answer *a, const char *bytes, size_t n)
{
	begin(a, bytes, n);
	if (a->found || n == 0)
		return;
	if (a->text == NULL) {
		a->found = true;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		a->matched = match_next(a->text, a->matched, bytes[i]);
		if (a->text[a->matched] == '\0') {
			a->found = true;
			return;
		}
	}
}

static void
fields_end(struct answer *a)
{
	if (a->chunked)
		a->state = ANSWER_CHUNK_SIZE;
	else
		a->state = a->left > 0 ? ANSWER_BODY : ANSWER_DONE;
}

static void
field(struct answer *a)
{
	if (strncasecmp(a->line, "content-length:", 15) == 0)
		a->left = strtoull(a->line + 15, NULL, 10);
	if (strncasecmp(a->line, "transfer-encoding:", 18) == 0)
		a->chunked = strcasestr(a->line, "chunked") != NULL;
	if (strncasecmp(a->line, "connection:", 11) == 0)
		a->close = strcasestr(a->line, "close") != NULL;
}

static void
line(struct answer *a)
{
	bool empty = a->line_len == 0;

	a->line[a->line_len] = '\0';
	a->line_len = 0;
	switch (a->state) {
	case ANSWER_STATUS:
		if (strncmp(a->line, "HTTP/1.1 ", 9) != 0) {
			a->state = ANSWER_BAD;
			return;
		}
		a->status = (int)strtol(a->line + 9, NULL, 10);
		a->state = ANSWER_FIELDS;
		return;
	case ANSWER_FIELDS:
		if (empty)
			fields_end(a);
		else
			field(a);
		return;
	case ANSWER_CHUNK_SIZE:
		a->left = strtoull(a->line, NULL, 16);
		a->state = a->left > 0 ? ANSWER_CHUNK_DATA : ANSWER_TRAILER;
		return;
	case ANSWER_CHUNK_END:
		a->state = ANSWER_CHUNK_SIZE;
		return;
	case ANSWER_TRAILER:
		if (empty)
			a->state = ANSWER_DONE;
		return;
	case ANSWER_BODY:
	case ANSWER_CHUNK_DATA:
	case ANSWER_DONE:
	case ANSWER_BAD:
		return;
	}
}

static void
line_byte(struct answer *a, char byte)
{
	if (byte == '\n') {
		if (a->line_len > 0 && a->line[a->line_len - 1] == '\r')
			a->line_len--;
		line(a);
	} else if (a->line_len < ANSWER_LINE_MAX - 1) {
		a->line[a->line_len++] = byte;
	}
}

void
answer_feed(struct answer *a, const char *bytes, size_t n)
{
	size_t i = 0, take;

	while (i < n) {
		if (a->state == ANSWER_DONE || a->state == ANSWER_BAD) {
			a->state = ANSWER_BAD; /* more than was asked for */
			return;
		}
		if (a->state != ANSWER_BODY && a->state != ANSWER_CHUNK_DATA) {
			line_byte(a, bytes[i++]);
			continue;
		}
		take = n - i < a->left ? n - i : (size_t)a->left;
		body(a, bytes + i, take);
		a->left -= take;
		i += take;
		if (a->left == 0)
			a->state = a->state == ANSWER_BODY ? ANSWER_DONE : ANSWER_CHUNK_END;
	}
}
