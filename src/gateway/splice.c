/* SPDX-License-Identifier: Apache-2.0 */
/*
 * splice.c: edits by offset; what is not named is forwarded byte for byte.
 *
 * Runs in: gateway. Trusts: its callers' offsets, which are those of parsed tokens.
 * Owns: nothing. Invariants: edits are sorted and disjoint, or the text is refused.
 * See: chat.c and answer.c, which name the edits.
 */
#include "splice.h"

#include <json/write.h>

#include "dialect.h"

struct status
splice_add(struct splices *s, size_t off, size_t len, struct span with)
{
	size_t at = s->count;

	if (s->count == SPLICES_MAX)
		return fail(E_FULL);
	while (at > 0 && s->items[at - 1].off > off) {
		s->items[at] = s->items[at - 1];
		at--;
	}
	s->items[at] = (struct splice){ off, len, with };
	s->count++;
	return OK;
}

struct status
splice_part(struct splices *s, struct span text, struct span part, struct span with)
{
	if (part.ptr < text.ptr || part.ptr + part.len > text.ptr + text.len)
		return fail(E_RANGE);
	return splice_add(s, (size_t)(part.ptr - text.ptr), part.len, with);
}

struct status
splice_model(const struct prompt *p, struct buf *tmp, struct splices *s)
{
	TRY(buf_put_u8(tmp, '"'));
	TRY(json_escape(p->model, tmp));
	TRY(buf_put_u8(tmp, '"'));
	return splice_part(s, p->body, p->model_part, buf_span(tmp));
}

struct status
splice_tools(struct span body, struct span array, bool empty, struct span items, struct buf *tmp,
    struct splices *s)
{
	bool there = array.ptr != NULL && array.ptr[0] == '[';

	if (items.len == 0)
		return OK;
	if (array.ptr == NULL)
		TRY(buf_put_str(tmp, "\"tools\":"));
	if (!there)
		TRY(buf_put_u8(tmp, '['));
	else if (!empty)
		TRY(buf_put_u8(tmp, ','));
	TRY(buf_put_span(tmp, items));
	if (!there)
		TRY(buf_put_u8(tmp, ']'));
	if (there) /* right before the bracket that closes it */
		return splice_add(
		    s, (size_t)(array.ptr - body.ptr) + array.len - 1, 0, buf_span(tmp));
	if (array.ptr != NULL)
		return splice_part(s, body, array, buf_span(tmp));
	TRY(buf_put_u8(tmp, ','));
	return splice_add(s, 1, 0, buf_span(tmp)); /* behind the body's brace; it is not empty */
}

struct status
splices_put(const struct splices *s, struct span text, struct buf *out)
{
	size_t at = 0;

	for (size_t i = 0; i < s->count; i++) {
		const struct splice *e = &s->items[i];

		if (e->off < at || e->off + e->len > text.len)
			return fail(E_RANGE); /* ends this request, and no other */
		TRY(buf_put(out, text.ptr + at, e->off - at));
		TRY(buf_put_span(out, e->with));
		at = e->off + e->len;
	}
	return buf_put_span(out, span_from(text, at));
}

size_t
splices_map(const struct splices *s, struct span text, struct span part)
{
	size_t off = (size_t)(part.ptr - text.ptr), to = off;

	for (size_t i = 0; i < s->count && s->items[i].off < off; i++)
		to = to - s->items[i].len + s->items[i].with.len;
	return to;
}
