/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the tape: structure, strings, booleans. Numbers are in number.c.
 *
 * Runs in:    every process that reads JSON.
 * Trusts:     the tape; JSON_NONE is accepted wherever a token is.
 * Owns:       nothing.
 * Invariants: every look-up is linear in its container and never enters values.
 * See:        json/json.h.
 */
#include "internal.h"

enum json_type
json_type(const struct json_doc *d, uint32_t tok)
{
	return tok == JSON_NONE ? JSON_ABSENT : (enum json_type)d->tok[tok].type;
}

uint32_t
json_size(const struct json_doc *d, uint32_t tok)
{
	enum json_type type = json_type(d, tok);

	return type == JSON_ARRAY || type == JSON_OBJECT ? d->tok[tok].size : 0;
}

struct span
json_bytes(const struct json_doc *d, uint32_t tok)
{
	if (tok == JSON_NONE)
		return SPAN_EMPTY;
	return span_of(d->src.ptr + d->tok[tok].off, d->tok[tok].len);
}

struct json_iter
json_iter(const struct json_doc *d, uint32_t tok)
{
	struct json_iter it = { .doc = d, .key = JSON_NONE, .val = JSON_NONE };

	if (json_size(d, tok) == 0)
		return it;
	it.at = tok + 1;
	it.end = d->tok[tok].next;
	it.index = UINT32_MAX;
	return it;
}

bool
json_next(struct json_iter *it)
{
	if (it->at >= it->end)
		return false;
	it->index++;
	if (it->doc->tok[it->at].flags & TOK_KEY)
		it->key = it->at++;
	it->val = it->at;
	it->at = it->doc->tok[it->val].next;
	return true;
}

uint32_t
json_get(const struct json_doc *d, uint32_t obj, struct span key)
{
	struct json_iter it = json_iter(d, obj);
	uint32_t found = JSON_NONE;

	if (json_type(d, obj) != JSON_OBJECT)
		return JSON_NONE;
	while (json_next(&it)) {
		if (json_str_eq(d, it.key, key))
			found = it.val;
	}
	return found;
}

uint32_t
json_get_str(const struct json_doc *d, uint32_t obj, const char *key)
{
	return json_get(d, obj, span_str(key));
}

uint32_t
json_at(const struct json_doc *d, uint32_t arr, uint32_t index)
{
	struct json_iter it = json_iter(d, arr);

	if (json_type(d, arr) != JSON_ARRAY || index >= d->tok[arr].size)
		return JSON_NONE;
	while (json_next(&it) && it.index < index)
		;
	return it.val;
}

static struct status
string_check(const struct json_doc *d, uint32_t tok)
{
	if (tok == JSON_NONE)
		return fail(E_NOTFOUND);
	return d->tok[tok].type == JSON_STRING ? OK : fail(E_SYNTAX);
}

struct status
json_str(const struct json_doc *d, uint32_t tok, struct arena *a, struct span *ret)
{
	struct text_reader r;
	struct span raw;
	uint8_t *text;
	size_t len = 0;

	TRY(string_check(d, tok));
	raw = text_raw(d, tok);
	if (!text_is_escaped(d, tok)) {
		*ret = raw;
		return OK;
	}
	text = arena_alloc(a, raw.len); /* an escape is never shorter than its text */
	if (text == NULL)
		return fail(E_NOMEM);
	r = text_reader(raw);
	while (text_next_byte(&r, &text[len]))
		len++;
	*ret = span_of(text, len);
	return OK;
}

struct status
json_str_put(const struct json_doc *d, uint32_t tok, struct buf *out)
{
	struct text_reader r;
	struct span raw;

	TRY(string_check(d, tok));
	raw = text_raw(d, tok);
	if (!text_is_escaped(d, tok))
		return buf_put_span(out, raw);
	r = text_reader(raw);
	while (r.p < r.end) {
		const uint8_t *stop = memchr(r.p, '\\', (size_t)(r.end - r.p));
		uint8_t utf8[4];
		uint32_t cp;

		if (stop == NULL)
			return buf_put_span(out, span_of(r.p, (size_t)(r.end - r.p)));
		TRY(buf_put_span(out, span_of(r.p, (size_t)(stop - r.p))));
		r.p = stop;
		if (text_next(&r, &cp))
			TRY(buf_put(out, utf8, text_encode(cp, utf8)));
	}
	return OK;
}

bool
json_str_eq(const struct json_doc *d, uint32_t tok, struct span text)
{
	struct text_reader r;
	struct span raw;
	size_t i = 0;
	uint8_t c;

	if (json_type(d, tok) != JSON_STRING)
		return false;
	raw = text_raw(d, tok);
	if (!text_is_escaped(d, tok))
		return span_eq(raw, text);
	for (r = text_reader(raw); text_next_byte(&r, &c); i++) {
		if (i >= text.len || text.ptr[i] != c)
			return false;
	}
	return i == text.len;
}

bool
json_str_eq_str(const struct json_doc *d, uint32_t tok, const char *text)
{
	return json_str_eq(d, tok, span_str(text));
}

struct status
json_bool(const struct json_doc *d, uint32_t tok, bool *ret)
{
	enum json_type type = json_type(d, tok);

	if (type == JSON_ABSENT)
		return fail(E_NOTFOUND);
	if (type != JSON_TRUE && type != JSON_FALSE)
		return fail(E_SYNTAX);
	*ret = type == JSON_TRUE;
	return OK;
}
