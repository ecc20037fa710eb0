/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export_items.c: the items in the line of a conversation or response, as many as a page has room
 * for.
 *
 * Runs in: store, jailed. Trusts: nothing that it reads; of a cursor, that it may stand anywhere.
 * Owns: nothing. Invariants: a page opens what it gives of, and no more than EXPORT_LOOKED_MAX
 * and an item besides; a list is cut where one does not open, and from its beginning where there
 * are not as many as there have to be. What comes or goes while pages are read is there or is not.
 * See: export.h; content_item.c; docs/privacy.md.
 */
#include "export.h"

#include <assert.h>

/* Where in a list a cursor stands; a part is one of these of one of the lists, from 1 on. */
enum step {
	STEP_FIRST, /* none was given yet; behind `item`, or in it where there is an offset */
	STEP_NEXT,  /* the same, behind a comma */
	STEP_END,
	STEP_CUT, /* the end of a list that was cut */
	STEP_COUNT
};

static enum step
step_of(const struct as_exported *at)
{
	return (enum step)((at->part - 1) % STEP_COUNT);
}

static size_t
list_of(const struct as_exported *at)
{
	return (at->part - 1U) / STEP_COUNT;
}

static void
stand(struct as_exported *at, size_t list, enum step step)
{
	at->part = (uint8_t)(1 + list * STEP_COUNT + step);
}

static struct status
item_behind(struct export *x, uint64_t item, struct item *i)
{
	arena_reset(x->c.arena);
	TRY(item_next(&x->c, &x->of, false, (int64_t)item, i));
	x->looked += CONTENT_ITEM_COST + i->shown.json.len;
	return OK;
}

/* The next one of the list; 0: it is not found yet, and the page is over. E_NOTFOUND at the end. */
static struct status
item_search(struct export *x, struct as_exported *at, struct item *i)
{
	const struct export_list *l = &x->lists[list_of(at)];

	if (at->item == 0)
		TRY(items_check(&x->c, &x->of));
	do {
		if (x->looked >= EXPORT_LOOKED_MAX) {
			*i = (struct item){ .id = 0 };
			return OK;
		}
		TRY(item_behind(x, at->item, i));
		at->item = (uint64_t)i->id;
	} while (l->output < 2 && i->shown.output != l->output);
	return OK;
}

/* The one that the cursor stands in. */
static struct status
item_again(struct export *x, const struct as_exported *at, struct item *i)
{
	struct status st = at->item == 0 ? fail(E_AGAIN) : item_behind(x, at->item - 1, i);

	if (st.code == E_NOTFOUND || export_is_unreadable(st))
		return fail(E_AGAIN);
	TRY(st);
	return (uint64_t)i->id == at->item ? OK : fail(E_AGAIN);
}

static struct status
put_item(struct export *x, const struct as_exported *at, const struct item *i, struct buf *piece)
{
	if (step_of(at) == STEP_NEXT)
		TRY(buf_put_u8(piece, ','));
	x->w = json_writer(piece);
	export_value(x, i->shown.json);
	return json_writer_finish(&x->w);
}

static struct status
put_list_end(const struct export *x, const struct as_exported *at, struct buf *piece)
{
	const struct export_list *l = &x->lists[list_of(at)];

	TRY(buf_put_u8(piece, ']'));
	if (step_of(at) == STEP_CUT)
		TRY(buf_printf(piece, ",\"%s\":true", l->cut));
	if (list_of(at) + 1 == x->nlists)
		return buf_put_str(piece, "}\n");
	return buf_printf(piece, ",\"%s\":[", l[1].key);
}

/* The item, or what ends its list, that the cursor stands in, or before; empty: the page is over.
 */
static struct status
piece_make(struct export *x, struct as_exported *at, struct buf *piece)
{
	struct item i = { .id = 0 };
	struct status st;

	buf_clear(piece);
	if (step_of(at) >= STEP_END)
		return put_list_end(x, at, piece);
	st = at->offset > 0 ? item_again(x, at, &i) : item_search(x, at, &i);
	if (st.code != E_NOTFOUND && !export_is_unreadable(st)) {
		TRY(st);
		return i.id == 0 ? OK : put_item(x, at, &i, piece);
	}
	stand(at, list_of(at), st.code == E_NOTFOUND ? STEP_END : STEP_CUT);
	return put_list_end(x, at, piece);
}

/* Behind the piece that it stood in. */
static void
piece_over(const struct export *x, struct as_exported *at)
{
	at->offset = 0;
	if (step_of(at) < STEP_END) {
		stand(at, list_of(at), STEP_NEXT);
		return;
	}
	at->item = 0;
	if (list_of(at) + 1 < x->nlists)
		stand(at, list_of(at) + 1, STEP_FIRST);
	else
		at->part = 0;
}

struct status
export_items(struct export *x, struct as_exported *at, struct buf *piece, struct buf *page)
{
	assert(x->lists != NULL && at->part != 0);
	if (list_of(at) >= x->nlists || at->item > INT64_MAX)
		return fail(E_RANGE);
	while (at->part != 0 && page->len < page->max) {
		uint64_t put = 0;

		TRY(piece_make(x, at, piece));
		if (piece->len == 0)
			return OK;
		if (at->offset >= piece->len)
			return fail(E_AGAIN);
		TRY(export_slice(buf_span(piece), at->offset, page->max - page->len, page, &put));
		at->offset += (uint32_t)put;
		if (at->offset == piece->len)
			piece_over(x, at);
	}
	return OK;
}
