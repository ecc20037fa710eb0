/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_EXPORT_WORLD_H
#define TESTS_EXPORT_WORLD_H

/*
 * All that is kept of a person, in pages of any size, and what its lines have to be.
 */
#include "content_world.h"

#include <base/cleanup.h>
#include <json/json.h>

#include <privacy.h>

UNUSED static struct status
page_of(struct db *db, struct as_export *m, size_t max, struct buf *all, bool *ret_more)
{
	auto_buf struct buf page = BUF_INIT(max);
	struct as_exported r;

	TRY(db_user_export(db, m, &page, &r));
	assert_true(page.len <= max);
	m->stage = r.stage;
	m->row = r.row;
	m->offset = r.offset;
	m->part = r.part;
	m->item = r.item;
	*ret_more = r.more != 0;
	return buf_put_span(all, buf_span(&page));
}

UNUSED static void
export_all(struct db *db, const struct who *w, size_t max, struct buf *all)
{
	struct as_export m = { .tenant = span_str(w->tenant), .user = span_str(w->user) };
	bool more = true;

	while (more)
		assert_is_ok(page_of(db, &m, max, all, &more));
}

/* Each ends with a line feed, and is JSON. */
UNUSED static void
assert_lines(struct span all, unsigned want)
{
	struct json_doc doc = { 0 };
	unsigned n = 0;

	assert_is_ok(json_init(&doc, &JSON_STRICT));
	while (all.len > 0) {
		const uint8_t *end = memchr(all.ptr, '\n', all.len);

		assert_non_null(end);
		assert_is_ok(json_parse(&doc, span_of(all.ptr, (size_t)(end - all.ptr))));
		all = span_from(all, (size_t)(end - all.ptr) + 1);
		n++;
	}
	json_done(&doc);
	assert_int_equal(n, want);
}

UNUSED static bool
has(const struct buf *b, const char *text)
{
	return memmem(b->ptr, b->len, text, strlen(text)) != NULL;
}

#endif
