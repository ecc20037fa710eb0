/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_REDACT_ORACLE_H
#define TESTS_REDACT_ORACLE_H

/*
 * Is a secret still in a text? Slow, without tricks, and without the code that is tested: each
 * form of it is looked for in the text as it is, and with its escapes undone.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <base/encode.h>
#include <base/span.h>

#define ORACLE_FORMS 8

struct oracle {
	char *form[ORACLE_FORMS];
	size_t len[ORACLE_FORMS];
	bool any_case[ORACLE_FORMS];
	size_t count;
};

static inline void
oracle_form(struct oracle *o, const char *p, size_t len, bool any_case)
{
	if (memchr(p, '*', len) != NULL)
		return; /* could not be told from what is overwritten */
	o->form[o->count] = malloc(len + 1);
	memcpy(o->form[o->count], p, len);
	o->len[o->count] = len;
	o->any_case[o->count++] = any_case;
}

/* Of base64 only the digits that no neighbour shares. */
static inline void
oracle_base64(struct oracle *o, struct span secret, unsigned before, bool url)
{
	struct buf text = BUF_INIT(1UL << 20), out = BUF_INIT(1UL << 20);
	size_t first = (8 * before + 5) / 6, end = 8 * (before + secret.len) / 6;

	if (!is_ok(buf_put(&text, "\0\0", before)) || !is_ok(buf_put_span(&text, secret)) ||
	    !is_ok(base64_encode(buf_span(&text), &out)))
		abort();
	for (size_t i = 0; url && i < out.len; i++)
		out.ptr[i] = out.ptr[i] == '+' ? '-' : out.ptr[i] == '/' ? '_' : out.ptr[i];
	oracle_form(o, (char *)out.ptr + first, end - first, false);
	buf_done(&text);
	buf_done(&out);
}

static inline struct oracle
oracle_new(struct span secret)
{
	struct oracle o = { .count = 0 };
	char *hex = malloc(2 * secret.len + 1);

	hex_encode(secret, hex);
	oracle_form(&o, (const char *)secret.ptr, secret.len, false);
	oracle_form(&o, hex, 2 * secret.len, true);
	for (unsigned before = 0; before < 3; before++) {
		oracle_base64(&o, secret, before, false);
		oracle_base64(&o, secret, before, true);
	}
	free(hex);
	return o;
}

static inline void
oracle_done(struct oracle *o)
{
	while (o->count > 0)
		free(o->form[--o->count]);
}

static inline bool
oracle_hex(const uint8_t *p, size_t n, unsigned *ret)
{
	char text[8] = "";

	memcpy(text, p, n);
	if (strspn(text, "0123456789abcdefABCDEF") < n)
		return false;
	*ret = (unsigned)strtoul(text, NULL, 16);
	return true;
}

/* Undo escapes; what is beyond ASCII becomes a NUL, which no secret of the tests holds. */
static inline struct span
oracle_undo(struct span in, bool json, bool percent, uint8_t *out)
{
	size_t n = 0;

	for (size_t i = 0; i < in.len;) {
		const uint8_t *p = in.ptr + i;
		size_t left = in.len - i;
		unsigned v = 0;

		if (json && p[0] == '\\' && left >= 6 && p[1] == 'u' && oracle_hex(p + 2, 4, &v)) {
			out[n++] = v < 0x80 ? (uint8_t)v : 0;
			i += 6;
		} else if (json && p[0] == '\\' && left >= 2 && strchr("\"\\/", p[1]) && p[1]) {
			out[n++] = p[1];
			i += 2;
		} else if (json && p[0] == '\\' && left >= 2 && strchr("bfnrt", p[1]) && p[1]) {
			out[n++] = '\n';
			i += 2;
		} else if (percent && p[0] == '%' && left >= 3 && oracle_hex(p + 1, 2, &v)) {
			out[n++] = (uint8_t)v;
			i += 3;
		} else {
			out[n++] = p[0];
			i++;
		}
	}
	return span_of(out, n);
}

static inline bool
oracle_has(const struct oracle *o, struct span text)
{
	for (size_t f = 0; f < o->count; f++) {
		for (size_t i = 0; i + o->len[f] <= text.len; i++) {
			const char *at = (const char *)text.ptr + i;

			if (o->any_case[f] ? strncasecmp(at, o->form[f], o->len[f]) == 0
					   : memcmp(at, o->form[f], o->len[f]) == 0)
				return true;
		}
	}
	return false;
}

/* In any form, however it is escaped? */
static inline bool
oracle_finds(const struct oracle *o, struct span text)
{
	uint8_t *plain = malloc(text.len + 1);
	bool found = false;

	for (unsigned how = 0; how < 4 && !found; how++)
		found = oracle_has(o, oracle_undo(text, (how & 1) != 0, (how & 2) != 0, plain));
	free(plain);
	return found;
}

#endif
