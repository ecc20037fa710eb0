/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export.c: all that is kept of a person, as JSON, a line for each thing, in pages.
 *
 * Runs in: store, jailed. Trusts: nothing that it reads. Owns: one line at a time.
 * Invariants: no text that was stored ends a line; what does not open is named, and all else is
 * given; a line is made anew for each page that has a part of it, and the same each time: what it
 * is made of is not changed in place but for a conversation's meta data (then: E_AGAIN, or a line
 * that does not parse). Of items, and of bytes (a file, a tool's part), a page reads what it gives;
 * that all bytes open is seen when their line begins. See: export_things.c, export_items.c;
 * privacy.h; docs/privacy.md.
 */
#include "export.h"

#include <base/cleanup.h>
#include <base/encode.h>

#define LINE_MAX_BYTES (2 * CONTENT_ARENA_MAX) /* each U+2028 of a text becomes twice as long */
#define BYTES_TAIL "\"}\n"

/* ---- lines ---- */

/* In the place of what does not open: which it is. */
static void
put_unreadable(struct export *x, uint8_t stage, uint64_t row)
{
	export_member(x, "type", SPAN_LIT("unreadable"));
	export_member(x, "kind", span_str(export_stages[stage].kind));
	export_number(x, "row", row);
	if (x->id.len > 0)
		export_member(x, "id", x->id);
}

static void
line_begin(struct export *x, struct buf *line)
{
	buf_clear(line);
	x->w = json_writer(line);
	json_put_object(&x->w);
}

static struct status
line_make(struct export *x, uint8_t stage, uint64_t after, uint64_t *ret_row, struct buf *line)
{
	struct status st;

	*ret_row = 0;
	x->id = SPAN_EMPTY;
	x->has_bytes = false;
	x->lists = NULL;
	line_begin(x, line);
	st = export_stages[stage].put(x, after, ret_row);
	sql_reset_all(x->db); /* what failed may have left a read open */
	if (export_is_unreadable(st) && *ret_row > after) {
		line_begin(x, line);
		put_unreadable(x, stage, *ret_row);
		st = OK;
	}
	TRY(st);
	if (x->lists != NULL) { /* which end it */
		json_put_key(&x->w, x->lists[0].key);
		json_put_array(&x->w);
		return x->w.st;
	}
	json_put_end(&x->w);
	TRY(json_writer_finish(&x->w));
	return buf_put_u8(line, '\n');
}

/* The line with what is left out of it. */
static uint64_t
line_len(const struct export *x, const struct buf *line)
{
	return line->len + (x->has_bytes ? (x->bytes.len + 2) / 3 * 4 : 0);
}

/* ---- pages ---- */

struct status
export_slice(struct span text, uint64_t from, uint64_t room, struct buf *page, uint64_t *put)
{
	struct span left = from < text.len ? span_from(text, (size_t)from) : SPAN_EMPTY;

	if (left.len > room)
		left.len = (size_t)room;
	*put += left.len;
	return buf_put_span(page, left);
}

/* Digits `from` and on of the line's bytes. */
static struct status
put_digits(struct export *x, uint64_t from, uint64_t room, struct buf *page, uint64_t *put)
{
	auto_buf struct buf text = BUF_INIT(AS_EXPORT_PAGE_MAX + 8);
	struct span bytes;

	arena_reset(x->c.arena);
	TRY(x->bytes.read(x, from / 4 * 3, (room + 7) / 4 * 3, &bytes));
	TRY(base64_encode(bytes, &text));
	return export_slice(buf_span(&text), from % 4, room, page, put);
}

/* What the page has room for of the line, from `from` on. */
static struct status
put_part(
    struct export *x, const struct buf *line, uint64_t from, struct buf *page, uint64_t *ret_put)
{
	uint64_t digits = line_len(x, line) - line->len, head = line->len, max;
	struct span text = buf_span(line);

	*ret_put = 0;
	if (x->has_bytes)
		head -= sizeof(BYTES_TAIL) - 1;
	TRY(export_slice(
	    span_of(text.ptr, (size_t)head), from, page->max - page->len, page, ret_put));
	from += *ret_put;
	max = page->max - page->len;
	if (from >= head && from < head + digits && max > 0) {
		uint64_t n = 0, left = head + digits - from;

		TRY(put_digits(x, from - head, left < max ? left : max, page, &n));
		*ret_put += n;
		from += n;
	}
	return from < head + digits
		   ? OK
		   : export_slice(span_from(text, (size_t)head), from - head - digits,
			 page->max - page->len, page, ret_put);
}

/* The line that the cursor stands in, or the next one. E_NOTFOUND: this stage is over. */
static struct status
line_at(struct export *x, struct as_exported *at, struct buf *line)
{
	uint64_t row = 0;
	struct status st;

	x->begins = at->offset == 0 && at->part == 0;
	if (x->begins) {
		TRY(line_make(x, at->stage, at->row, &row, line));
		at->row = row;
		return OK;
	}
	if (at->row == 0)
		return fail(E_RANGE);
	st = line_make(x, at->stage, at->row - 1, &row, line);
	if (st.code == E_NOTFOUND)
		return fail(E_AGAIN);
	TRY(st);
	if (row != at->row || (at->part == 0 && at->offset >= line_len(x, line)) ||
	    (at->part != 0 && x->lists == NULL))
		return fail(E_AGAIN);
	return OK;
}

/* What the page has room for of what the cursor stands in; then it stands behind that. */
static struct status
line_put(struct export *x, struct as_exported *at, struct buf *line, struct buf *page)
{
	uint64_t put = 0;
	struct status st;

	if (at->part == 0) {
		st = put_part(x, line, at->offset, page, &put);
		if (export_is_unreadable(st)) /* since its line began */
			return fail(E_AGAIN);
		TRY(st);
		at->offset += (uint32_t)put;
		if (at->offset < line_len(x, line))
			return OK;
		at->offset = 0;
		at->part = x->lists != NULL ? 1 : 0;
	}
	return at->part != 0 ? export_items(x, at, line, page) : OK;
}

static struct status
pages_fill(struct export *x, struct buf *page, struct as_exported *at)
{
	auto_buf struct buf line = BUF_INIT(LINE_MAX_BYTES);

	while (
	    at->stage < EXPORT_STAGES && page->len < page->max && x->looked < EXPORT_LOOKED_MAX) {
		struct status st = line_at(x, at, &line);

		if (st.code == E_NOTFOUND) {
			at->stage++;
			at->row = 0;
			continue;
		}
		TRY(st);
		TRY(line_put(x, at, &line, page));
	}
	at->more = at->stage < EXPORT_STAGES;
	return OK;
}

struct status
db_user_export(struct db *db, const struct as_export *m, struct buf *page, struct as_exported *ret)
{
	static const struct content_request none;
	static const struct json_opts opts = { .size_max = CONTENT_ITEM_MAX };
	const struct content_call call = { .req = &none };
	auto_arena struct arena arena = ARENA_INIT(CONTENT_ARENA_MAX);
	struct export x = { .db = db, .m = m };
	struct status st;

	TRY(user_find(db, m->tenant, m->user, &x.user));
	x.c = (struct content){ .db = db, .call = &call, .arena = &arena, .user = x.user };
	*ret = (struct as_exported){ .stage = m->stage,
		.row = m->row,
		.offset = m->offset,
		.part = m->part,
		.item = m->item };
	TRY(json_init(&x.doc, &opts));
	st = pages_fill(&x, page, ret);
	json_done(&x.doc);
	return st;
}
