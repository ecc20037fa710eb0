/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any item on its way into what is kept, and any name of a file: an item stays one JSON object,
 * with an id of the right form that its text has, too; what is kept goes back to a model as JSON.
 */
#include <stdlib.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <items.h>
#include <keep.h>
#include <pasted/pasted.h>
#include <reference.h>
#include <responses.h>
#include <routes.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct json_doc d, back;

static void
expect(bool ok)
{
	if (!ok)
		abort();
}

static void
check_name(struct span name)
{
	auto_buf struct buf out = BUF_INIT(8192);

	expect(is_ok(files_clean_name(name, &out)));
	expect(out.len > 0 && out.len <= FILE_NAME_MAX);
	expect(utf8_valid_len(buf_span(&out)) == out.len);
	expect(memchr(out.ptr, '/', out.len) == NULL && memchr(out.ptr, 0, out.len) == NULL);
}

/* Does one of them name what only a provider has? */
static bool
has_reference(const struct items *s)
{
	const char *why;

	for (uint32_t i = 0; i < s->count; i++) {
		expect(is_ok(json_parse(&back, s->all[i].json)));
		if (reference_in_item(&back, 0, &why) != JSON_NONE)
			return true;
	}
	return false;
}

static void
check_history(const struct items *s, struct arena *a)
{
	auto_buf struct buf list = BUF_INIT(1UL << 23);
	struct span got = SPAN_EMPTY;
	struct status st = responses_put_history(&back, s->all, s->count, a, &got);

	if (st.code == E_DENIED) {
		expect(has_reference(s));
		return;
	}
	expect(is_ok(st));
	expect(is_ok(buf_put_u8(&list, '[')) && is_ok(buf_put_span(&list, got)) &&
	       is_ok(buf_put_u8(&list, ']')));
	expect(is_ok(json_parse(&back, buf_span(&list))));
}

static void
check_items(struct arena *a)
{
	struct json_iter it = json_iter(&d, 0);
	struct items s;

	if (json_type(&d, 0) != JSON_ARRAY || json_size(&d, 0) > 64)
		return;
	expect(is_ok(items_start(&s, a, 65, NULL, 0)));
	while (json_next(&it)) {
		const struct content_item *item = &s.all[s.count];

		if (json_type(&d, it.val) == JSON_STRING) {
			expect(is_ok(items_add_text(&s, &d, it.val, a)));
		} else if (json_type(&d, it.val) == JSON_OBJECT) {
			expect(is_ok(items_add(&s, &d, it.val, false, true, a)));
		} else {
			continue;
		}
		expect(keep_id_ok(item->id) && !pasted_any(item->id));
		expect(is_ok(json_parse(&back, item->json)));
		expect(json_str_eq(&back, json_get_str(&back, 0, "id"), item->id));
	}
	check_history(&s, a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct json_opts opts = JSON_STRICT;
	auto_arena struct arena a = ARENA_INIT(64UL << 20);

	if (d.opts.tokens_max == 0)
		expect(is_ok(json_init(&d, &opts)) && is_ok(json_init(&back, &opts)));
	check_name(span_of(data, size));
	if (is_ok(json_parse(&d, span_of(data, size))))
		check_items(&a);
	return 0;
}
