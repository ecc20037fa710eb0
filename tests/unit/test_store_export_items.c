/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The items of a conversation or response in an export: a page opens those that it gives, and the
 * pages are the line, wherever they begin.
 */
#include "export_world.h"

#define STAGE_CONVERSATION 2
#define STAGE_RESPONSE 3
#define ITEMS 24
#define ITEM_LEN 40000
#define PAGE (ITEM_LEN + ITEM_LEN / 2)

/* ITEMS strings of ITEM_LEN bytes, each of its own letter; `output`: those in whose place is 'o'.
 */
struct long_items {
	struct content_item items[ITEMS];
	char id[ITEMS][8], text[ITEMS][ITEM_LEN];
};

static void
items_make(struct long_items *l, const char *output)
{
	for (size_t i = 0; i < ITEMS; i++) {
		(void)snprintf(l->id[i], sizeof(l->id[i]), "i_%zu", i);
		memset(l->text[i], 'A' + (int)i, ITEM_LEN);
		l->text[i][0] = l->text[i][ITEM_LEN - 1] = '"';
		l->items[i] = (struct content_item){ span_str(l->id[i]), output[i] == 'o',
			span_of(l->text[i], ITEM_LEN) };
	}
}

/* Those of one list, up to the one at `end`. */
static void
put_list(struct buf *b, const struct long_items *l, const char *key, int output, size_t end)
{
	bool first = true;

	assert_is_ok(buf_printf(b, ",\"%s\":[", key));
	for (size_t i = 0; i < end; i++) {
		if (output < 2 && l->items[i].output != output)
			continue;
		if (!first)
			assert_is_ok(buf_put_u8(b, ','));
		first = false;
		assert_is_ok(buf_put_span(b, l->items[i].json));
	}
	assert_is_ok(buf_put_u8(b, ']'));
}

static void
assert_ends(const struct buf *all, const struct buf *tail)
{
	assert_true(all->len > tail->len);
	assert_memory_equal(all->ptr + all->len - tail->len, tail->ptr, tail->len);
	assert_lines(buf_span(all), 1);
}

static unsigned
opened(struct db *db, enum statement s)
{
	return (unsigned)sqlite3_stmt_status(
	    backend_sqlite_stmt(db->st[s]), SQLITE_STMTSTATUS_RUN, 1);
}

/* All pages of a stage; none opens more than `most` items. */
static void
read_stage(struct db *db, uint8_t stage, size_t max, unsigned most, struct buf *all)
{
	const enum statement s = stage == STAGE_CONVERSATION ? SQL_ITEM_NEXT_OF_CONVERSATION
							     : SQL_ITEM_NEXT_OF_RESPONSE;
	struct as_export m = {
		.tenant = SPAN_LIT("tenant0"), .user = SPAN_LIT("user0"), .stage = stage
	};
	bool more = true;

	buf_clear(all);
	(void)opened(db, s);
	while (more) {
		assert_is_ok(page_of(db, &m, max, all, &more));
		assert_in_range(opened(db, s), 0, most);
	}
}

static void
items_of_a_conversation(void **arg)
{
	static struct long_items l;
	auto_buf struct buf all = BUF_INIT(4U << 20), want = BUF_INIT(4U << 20);
	struct db *db = with_users();
	const struct content_request req = { .meta = SPAN_LIT("{\"m\":1}"),
		.items = { l.items, ITEMS } };

	(void)arg;
	items_make(&l, "o.o.o.o.o.o.o.o.o.o.o.o.");
	assert_is_ok(ask(db, &ann, CONTENT_CREATE, CONTENT_CONVERSATION, "conv_1", &req));
	put_list(&want, &l, "items", 2, ITEMS);
	assert_is_ok(buf_put_str(&want, "}\n"));
	read_stage(db, STAGE_CONVERSATION, AS_EXPORT_PAGE_MAX, 16, &all);
	assert_ends(&all, &want);
	read_stage(db, STAGE_CONVERSATION, PAGE, 4, &all);
	assert_ends(&all, &want);
	read_stage(db, STAGE_CONVERSATION, 997, 2, &all);
	assert_ends(&all, &want);
	db_close(db);
}

/* One list behind the other, in the order in which they came; what is passed over counts, too. */
static void
items_of_a_response(void **arg)
{
	static struct long_items l;
	auto_buf struct buf all = BUF_INIT(4U << 20), want = BUF_INIT(4U << 20);
	struct db *db = with_users();
	const struct content_request req = { .meta = SPAN_LIT("{\"r\":1}"),
		.items = { l.items, ITEMS } };

	(void)arg;
	items_make(&l, "..........o...........oo");
	assert_is_ok(ask(db, &ann, CONTENT_SAVE, CONTENT_RESPONSE, "resp_1", &req));
	put_list(&want, &l, "input", 0, ITEMS);
	put_list(&want, &l, "output", 1, ITEMS);
	assert_is_ok(buf_put_str(&want, "}\n"));
	read_stage(db, STAGE_RESPONSE, AS_EXPORT_PAGE_MAX, 16, &all);
	assert_ends(&all, &want);
	read_stage(db, STAGE_RESPONSE, 997, 16, &all);
	assert_ends(&all, &want);
	db_close(db);
}

/* Cut where one does not open; from the beginning where one is missing. */
static void
lists_that_are_cut(void **arg)
{
	static struct long_items l;
	auto_buf struct buf all = BUF_INIT(4U << 20), want = BUF_INIT(4U << 20);
	struct db *db = with_users();
	const struct content_request req = { .meta = SPAN_LIT("{\"r\":1}"),
		.items = { l.items, ITEMS } };

	(void)arg;
	items_make(&l, "oo......................");
	assert_is_ok(ask(db, &ann, CONTENT_SAVE, CONTENT_RESPONSE, "resp_1", &req));
	sql(db, "UPDATE items SET value = zeroblob(100) WHERE id = 4");
	put_list(&want, &l, "input", 0, 3);
	assert_is_ok(buf_put_str(&want, ",\"input_cut\":true"));
	put_list(&want, &l, "output", 1, 3);
	assert_is_ok(buf_put_str(&want, ",\"output_cut\":true}\n"));
	for (size_t max = 5; max <= AS_EXPORT_PAGE_MAX; max *= 89) {
		read_stage(db, STAGE_RESPONSE, max, 16, &all);
		assert_ends(&all, &want);
	}
	sql(db, "DELETE FROM items WHERE id = 20");
	buf_clear(&want);
	assert_is_ok(buf_put_str(
	    &want, ",\"input\":[],\"input_cut\":true,\"output\":[],\"output_cut\":true}\n"));
	read_stage(db, STAGE_RESPONSE, 7, 1, &all);
	assert_ends(&all, &want);
	db_close(db);
}

static struct as_export
at(uint64_t row, uint8_t part, uint64_t item, uint32_t offset)
{
	return (struct as_export){ SPAN_LIT("tenant0"), SPAN_LIT("user0"), STAGE_CONVERSATION, row,
		offset, part, item };
}

static enum code
page_at(struct db *db, struct as_export m)
{
	auto_buf struct buf all = BUF_INIT(4U << 20);
	bool more;

	return page_of(db, &m, PAGE, &all, &more).code;
}

/* What comes and goes while pages are read; and a cursor says what it likes. */
static void
items_that_change(void **arg)
{
	static struct long_items l;
	auto_buf struct buf all = BUF_INIT(4U << 20);
	struct db *db = with_users();
	struct as_export m = at(0, 0, 0, 0);
	const struct content_request req = { .meta = SPAN_LIT("{\"m\":1}"),
		.items = { l.items, ITEMS } };
	struct words room;
	const struct content_request one = { .items = words(&room, "z") },
				     in = { .parent = SPAN_LIT("conv_1") };
	bool more = true;

	(void)arg;
	items_make(&l, "........................");
	assert_is_ok(ask(db, &ann, CONTENT_CREATE, CONTENT_CONVERSATION, "conv_1", &req));
	assert_is_ok(create_conversation(db, &bob, "conv_2", "b"));
	assert_is_ok(page_of(db, &m, PAGE, &all, &more));

	assert_int_equal(m.item, 2);
	assert_true(m.offset > 0);
	/* Another one's item, one that is none, a list and a row that are none. */
	assert_int_equal(page_at(db, at(1, 2, ITEMS + 1, 1)), E_AGAIN);
	assert_int_equal(page_at(db, at(1, 2, 0, 1)), E_AGAIN);
	assert_int_equal(page_at(db, at(1, 2, 3, UINT32_MAX)), E_AGAIN);
	assert_int_equal(page_at(db, at(1, 3, 3, UINT32_MAX)), E_AGAIN);
	assert_int_equal(page_at(db, at(1, 5, 0, 0)), E_RANGE);
	assert_int_equal(page_at(db, at(1, 255, 0, 0)), E_RANGE);
	assert_int_equal(page_at(db, at(1, 1, UINT64_MAX, 0)), E_RANGE);
	assert_int_equal(page_at(db, at(2, 1, 0, 0)), E_AGAIN);
	assert_int_equal(page_at(db, at(0, 1, 0, 0)), E_RANGE);
	/* One that was given already, one that was not, and one more: it goes on. */
	assert_is_ok(ask(db, &ann, CONTENT_DELETE, CONTENT_ITEM, "i_0", &in));
	assert_is_ok(ask(db, &ann, CONTENT_DELETE, CONTENT_ITEM, "i_7", &in));
	assert_is_ok(ask(db, &ann, CONTENT_CREATE, CONTENT_ITEM, "conv_1", &one));
	while (more)
		assert_is_ok(page_of(db, &m, PAGE, &all, &more));
	assert_lines(buf_span(&all), 1);
	assert_true(has(&all, "\"AAAA") && has(&all, ",\"z\"]}\n"));
	assert_false(has(&all, "\"HHHH"));
	/* The one that it stands in. */
	assert_is_ok(ask(db, &ann, CONTENT_DELETE, CONTENT_ITEM, "i_3", &in));
	assert_int_equal(page_at(db, at(1, 2, 4, 10)), E_AGAIN);
	assert_int_equal(page_at(db, at(1, 2, 3, 10)), E_OK);
	db_close(db);
}

#define T(f) cmocka_unit_test_setup(f, fresh)

int
main(void)
{
	const struct CMUnitTest tests[] = { T(items_of_a_conversation), T(items_of_a_response),
		T(lists_that_are_cut), T(items_that_change) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
