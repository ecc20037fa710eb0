/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON pointers: of a token, of a fault, and the way back.
 *
 * Runs in:    every process that reads JSON.
 * Trusts:     the tape, also a half-built one after a failed parse.
 * Owns:       nothing.
 * Invariants: no recursion; a pointer has at most JSON_DEPTH_MAX parts.
 * See:        RFC 6901.
 */
#include "internal.h"

static struct status put_key(const struct json_doc *d, uint32_t key, struct buf *out);
static struct status put_index(uint32_t index, struct buf *out);
static bool part_matches(const struct json_doc *d, const struct json_iter *it, struct span part);
static bool key_matches(const struct json_doc *d, uint32_t key, struct span part);

struct status
json_pointer(const struct json_doc *d, uint32_t tok, struct buf *out)
{
	uint32_t at = 0;

	if (tok >= d->count)
		return fail(E_NOTFOUND);
	while (at != tok) {
		struct json_iter it = json_iter(d, at);

		while (json_next(&it) && it.at <= tok)
			;
		if (it.key == JSON_NONE)
			TRY(put_index(it.index, out));
		else
			TRY(put_key(d, it.key, out));
		if (it.key == tok)
			break;
		at = it.val;
	}
	return OK;
}

/* While a container is open, .next is the one around it: collect, then go down. */
struct status
json_fault_pointer(const struct json_doc *d, struct buf *out)
{
	uint32_t open[JSON_DEPTH_MAX];
	uint32_t n = 0;

	for (uint32_t at = d->fault.parent; at != JSON_NONE && n < JSON_DEPTH_MAX;
	     at = d->tok[at].next)
		open[n++] = at;
	for (; n > 0; n--) {
		uint32_t at = open[n - 1];
		bool last = n == 1;

		if (d->tok[at].type == JSON_OBJECT) {
			uint32_t key = last ? d->fault.key : open[n - 2] - 1;

			if (key != JSON_NONE)
				TRY(put_key(d, key, out));
			continue;
		}
		/* An element counts as soon as it is complete or open. */
		TRY(put_index(d->tok[at].size - (last ? 0U : 1U), out));
	}
	return OK;
}

static struct status
put_key(const struct json_doc *d, uint32_t key, struct buf *out)
{
	struct text_reader r = text_reader(text_raw(d, key));
	uint8_t c;

	TRY(buf_put_u8(out, '/'));
	while (text_next_byte(&r, &c)) {
		if (c == '~')
			TRY(buf_put_str(out, "~0"));
		else if (c == '/')
			TRY(buf_put_str(out, "~1"));
		else
			TRY(buf_put_u8(out, c));
	}
	return OK;
}

static struct status
put_index(uint32_t index, struct buf *out)
{
	return buf_printf(out, "/%u", index);
}

uint32_t
pointer_find(const struct json_doc *d, struct span pointer)
{
	uint32_t at = 0;

	while (pointer.len > 0) {
		struct json_iter it = json_iter(d, at);
		const uint8_t *end;
		struct span part;
		bool found = false;

		if (pointer.ptr[0] != '/')
			return JSON_NONE;
		pointer = span_from(pointer, 1);
		end = pointer.len > 0 ? memchr(pointer.ptr, '/', pointer.len) : NULL;
		part = span_of(
		    pointer.ptr, end == NULL ? pointer.len : (size_t)(end - pointer.ptr));
		pointer = span_from(pointer, part.len);
		while (!found && json_next(&it))
			found = part_matches(d, &it, part);
		if (!found)
			return JSON_NONE;
		at = it.val;
	}
	return at;
}

static bool
part_matches(const struct json_doc *d, const struct json_iter *it, struct span part)
{
	uint64_t index;

	if (it->key != JSON_NONE)
		return key_matches(d, it->key, part);
	if (part.len > 1 && part.ptr[0] == '0')
		return false;
	return is_ok(span_u64(part, UINT32_MAX, &index)) && index == it->index;
}

/* ~1 is a slash, ~0 a tilde. */
static bool
key_matches(const struct json_doc *d, uint32_t key, struct span part)
{
	struct text_reader r = text_reader(text_raw(d, key));
	size_t i = 0;
	uint8_t c;

	while (text_next_byte(&r, &c)) {
		if (c == '~' || c == '/') {
			if (part.len - i < 2 || part.ptr[i] != '~' ||
			    part.ptr[i + 1] != (c == '~' ? '0' : '1'))
				return false;
			i += 2;
			continue;
		}
		if (i >= part.len || part.ptr[i] != c)
			return false;
		i++;
	}
	return i == part.len;
}
