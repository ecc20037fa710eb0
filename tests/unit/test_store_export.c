/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A person in the database, exported whole, in pages of any size.
 */
#include "export_world.h"

#include <base/encode.h>

static void
exported(void **arg)
{
	auto_buf struct buf whole = BUF_INIT(1U << 20), other = BUF_INIT(1U << 20);
	struct db *db = with_users();

	(void)arg;
	fill_person(db, &ann);
	assert_is_ok(create_conversation(db, &bob, "conv_BOB", "z"));
	export_all(db, &ann, AS_EXPORT_PAGE_MAX, &whole);
	/* user, key, conversation, two responses, file */
	assert_lines(buf_span(&whole), 6);
	assert_true(has(&whole, "{\"type\":\"user\",\"tenant\":\"tenant0\",\"user\":\"user0\","
				"\"roles\":[\"user\"],\"state\":\"active\",\"hold\":false}\n"));
	assert_true(has(&whole, "\"object\":{\"m\":1},\"items\":[\"a\",\"b\",\"c\",\"D\"]}"));
	assert_true(has(&whole, "\"input\":[\"e\"],\"output\":[\"F\"]}"));
	assert_true(has(&whole, "\"purpose\":\"user_data\",\"content_base64\":\"w8PD"));
	assert_true(has(&whole, "\"type\":\"api_key\",\"id\":\"0aaaaaaaaaaa\""));
	assert_false(has(&whole, "BOB"));
	/* However it is cut. */
	for (size_t max = 7; max < 3000; max += 97) {
		buf_clear(&other);
		export_all(db, &ann, max, &other);
		assert_true(span_eq(buf_span(&whole), buf_span(&other)));
	}
	db_close(db);
}

/* Whatever blanks a client, a provider or an editor puts into JSON: a thing is a line. */
static void
exported_on_a_line(void **arg)
{
	static const char meta[] = "{\r\n  \"m\" :\t[ 1,\n 2 ]\r\n}\r\n";
	static const char item[] = "{\"a\":\n{\"type\":\"user\",\"tenant\":\"tenant0\",\"user\":"
				   "\"user1\",\"roles\":[\"owner\"],\"state\":\"active\","
				   "\"hold\":false}\n, \"b\" : \"\\n \\\" \\\\\"}";
	const struct content_item items[] = { { SPAN_LIT("i_1"), 0, span_str(item) },
		{ SPAN_LIT("i_2"), 1, span_str(item) } };
	const struct content_request req = { .meta = span_str(meta), .items = { items, 2 } };
	auto_buf struct buf all = BUF_INIT(1U << 20);
	struct db *db = with_users();

	(void)arg;
	assert_is_ok(ask(db, &ann, CONTENT_CREATE, CONTENT_CONVERSATION, "conv_1", &req));
	assert_is_ok(ask(db, &ann, CONTENT_SAVE, CONTENT_RESPONSE, "resp_1", &req));
	assert_is_ok(ask(db, &ann, CONTENT_CREATE, CONTENT_FILE, "file_1",
	    &(struct content_request){ .meta = span_str(meta), .tag = SPAN_LIT("user_data") }));
	export_all(db, &ann, AS_EXPORT_PAGE_MAX, &all);
	assert_lines(buf_span(&all), 5); /* user, key, three objects */
	assert_false(has(&all, "\n{\"type\":\"user\""));
	assert_false(has(&all, "\r"));
	assert_true(has(&all, "\"object\":{\"m\":[1,2]},\"items\":[{\"a\":{\"type\":\"user\","));
	assert_true(has(&all, "\"hold\":false},\"b\":\"\\n \\\" \\\\\"}"));
	assert_true(has(&all, "\"object\":{\"m\":[1,2]},\"input\":[{\"a\":{\"type\":"));
	assert_true(has(&all, "\"object\":{\"m\":[1,2]},\"purpose\":\"user_data\""));
	db_close(db);
}

/* The counts of one's own keys, each in its line, and nobody else's. */
static void
exported_usage(void **arg)
{
	auto_buf struct buf all = BUF_INIT(1U << 20);
	uint8_t subject[AS_SECRET_LEN];
	struct db *db = with_users();

	(void)arg;
	assert_is_ok(put(db, 1, subject)); /* another key of ann's */
	assert_is_ok(usage_add(db, 1, 0, "alpha", 100));
	assert_is_ok(usage_add(db, 2, 0, "beta", 100));
	assert_is_ok(usage_add(db, 3, 0, "beta", 101));
	assert_is_ok(usage_add(db, 4, 2, "bobs", 100));
	export_all(db, &ann, AS_EXPORT_PAGE_MAX, &all);
	assert_lines(buf_span(&all), 4); /* user, two keys, the usage of one */
	assert_true(has(&all, "{\"type\":\"usage\",\"rows\":[{\"key\":\"0aaaaaaaaaaa\",\"model\":"
			      "\"alpha\",\"requests\":2,"));
	assert_true(has(&all, "\"model\":\"beta\",\"requests\":4,"));
	assert_false(has(&all, "\"rows\":[]"));
	assert_false(has(&all, "bobs"));
	assert_goes_by(db, SQL_USAGE_OF_KEY, "usage USING PRIMARY KEY (key=?)");
	db_close(db);
}

/* A page of a file costs what it gives, and the pages are the file, wherever they begin. */
static void
exported_file(void **arg)
{
	const size_t len = 5 * (256U << 10) + 12345, max = 100001;
	auto_buf struct buf all = BUF_INIT(4U << 20), bytes = BUF_INIT(len),
			    again = BUF_INIT(len + 3);
	struct as_export m = {
		.tenant = SPAN_LIT("tenant0"), .user = SPAN_LIT("user0"), .stage = 4
	};
	struct db *db = with_users();
	const uint8_t *text, *end;
	sqlite3_stmt *chunk = backend_sqlite_stmt(db->st[SQL_FILE_CHUNK_GET]);
	bool more = true;

	(void)arg;
	for (size_t i = 0; i < len; i++)
		assert_is_ok(buf_put_u8(&bytes, (uint8_t)(i * 131 >> 3)));
	assert_is_ok(create_file(db, &ann, "file_1", buf_span(&bytes), "user_data"));
	assert_is_ok(page_of(db, &m, max, &all, &more)); /* sees that all of it opens */
	while (more) {
		(void)sqlite3_stmt_status(chunk, SQLITE_STMTSTATUS_RUN, 1);
		assert_is_ok(page_of(db, &m, max, &all, &more));
		assert_in_range(sqlite3_stmt_status(chunk, SQLITE_STMTSTATUS_RUN, 1), 0, 2);
	}
	assert_lines(buf_span(&all), 1);
	text = memmem(all.ptr, all.len, "base64\":\"", 9);
	assert_non_null(text);
	text += 9;
	end = memchr(text, '"', all.len - (size_t)(text - all.ptr));
	assert_non_null(end);
	assert_is_ok(base64_decode(span_of(text, (size_t)(end - text)), &again));
	assert_true(span_eq(buf_span(&bytes), buf_span(&again)));
	/* A bit of it is flipped: it is unreadable from the start; within: begin anew. */
	sql(db, "UPDATE chunks SET value = CAST(x'00' || substr(value, 2) AS BLOB) WHERE n = 3");
	m.stage = 4;
	m.row = 1;
	m.offset = 4 * (256U << 10) + 100;
	assert_int_equal(page_of(db, &m, max, &all, &more).code, E_AGAIN);
	m.row = m.offset = 0;
	buf_clear(&all);
	assert_is_ok(page_of(db, &m, max, &all, &more));
	assert_true(
	    has(&all, "{\"type\":\"unreadable\",\"kind\":\"file\",\"row\":1,\"id\":\"file_1\"}"));
	db_close(db);
}

static void
exports_that_are_wrong(void **arg)
{
	auto_buf struct buf all = BUF_INIT(1U << 20);
	struct as_export m = { .tenant = SPAN_LIT("tenant0"), .user = SPAN_LIT("nobody") };
	struct db *db = with_users();
	bool more;

	(void)arg;
	assert_int_equal(page_of(db, &m, 100, &all, &more).code, E_NOTFOUND);
	fill_person(db, &ann);
	m.user = SPAN_LIT("user0");
	m.stage = 255;
	assert_is_ok(page_of(db, &m, 100, &all, &more));
	assert_false(more);
	assert_int_equal(all.len, 0);
	m = (struct as_export){ m.tenant, m.user, 2, 1, UINT32_MAX };
	assert_int_equal(page_of(db, &m, 100, &all, &more).code, E_AGAIN);
	m = (struct as_export){ m.tenant, m.user, 2, 0, 5 };
	assert_int_equal(page_of(db, &m, 100, &all, &more).code, E_RANGE);
	/* What it stands in goes. */
	m = (struct as_export){ m.tenant, m.user, 4, 4, 5 };
	assert_is_ok(page_of(db, &m, 100, &all, &more));
	assert_is_ok(ask(db, &ann, CONTENT_DELETE, CONTENT_FILE, "file_1", NULL));
	assert_int_equal(page_of(db, &m, 100, &all, &more).code, E_AGAIN);
	/* What is no JSON is a string. */
	buf_clear(&all);
	assert_is_ok(ask(db, &ann, CONTENT_UPDATE, CONTENT_CONVERSATION, "conv_1",
	    &(struct content_request){ .meta = SPAN_LIT("{\"no\": json\n") }));
	export_all(db, &ann, AS_EXPORT_PAGE_MAX, &all);
	assert_true(has(&all, "\"object\":\"{\\\"no\\\": json\\n\""));
	assert_lines(buf_span(&all), 5);
	db_close(db);
}

/* What does not open is named; all else is there, however small the pages. */
static void
exported_with_gaps(void **arg)
{
	struct db *db = with_users();

	(void)arg;
	fill_person(db, &ann);
	assert_is_ok(create_file(db, &ann, "file_2", SPAN_LIT("whole"), "user_data"));
	assert_is_ok(backend_exec(db->back,
	    "UPDATE objects SET value = zeroblob(200) WHERE tag = (SELECT tag FROM objects WHERE "
	    "id ="
	    " (SELECT min(file) FROM chunks)) AND id = (SELECT min(file) FROM chunks);"
	    "UPDATE items SET value = zeroblob(100) WHERE id = (SELECT max(id) FROM items WHERE"
	    " conversation IS NOT NULL);"
	    "BEGIN; UPDATE keys SET value = zeroblob(200); COMMIT;"));
	for (size_t max = 50; max <= AS_EXPORT_PAGE_MAX; max = max < 100 ? 1000 : max * 600) {
		auto_buf struct buf all = BUF_INIT(1U << 20);

		export_all(db, &ann, max, &all);
		assert_lines(buf_span(&all), 7);
		assert_true(has(&all, "{\"type\":\"unreadable\",\"kind\":\"file\",\"row\":"));
		assert_true(has(&all, "{\"type\":\"unreadable\",\"kind\":\"api_key\",\"row\":1}"));
		assert_true(has(&all, "\"items_cut\":true"));
		assert_true(has(&all, "\"items\":[\"a\",\"b\",\"c\"]"));
		assert_true(has(&all, "\"id\":\"file_2\""));
		assert_true(has(&all, "\"output\":[\"F\"]}"));
	}
	db_close(db);
}

#define T(f) cmocka_unit_test_setup(f, fresh)

int
main(void)
{
	const struct CMUnitTest tests[] = { T(exported), T(exported_on_a_line), T(exported_usage),
		T(exported_file), T(exports_that_are_wrong), T(exported_with_gaps) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
