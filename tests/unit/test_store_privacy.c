/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A person in the database: exported whole, in pages of any size; erased, so that nothing
 * can be read and the rows go; held, so that nothing does; and what is too old goes.
 */
#include "content_world.h"

#include <sys/stat.h>

#include <base/encode.h>
#include <json/json.h>

#include <privacy.h>

static struct status
page_of(struct db *db, struct as_export *m, size_t max, struct buf *all, bool *ret_more)
{
	auto_buf struct buf page = BUF_INIT(max);
	struct as_exported r;

	TRY(db_user_export(db, m, &page, &r));
	assert_true(page.len <= max);
	m->stage = r.stage;
	m->row = r.row;
	m->offset = r.offset;
	*ret_more = r.more != 0;
	return buf_put_span(all, buf_span(&page));
}

static void
export_all(struct db *db, const struct who *w, size_t max, struct buf *all)
{
	struct as_export m = { .tenant = span_str(w->tenant), .user = span_str(w->user) };
	bool more = true;

	while (more)
		assert_is_ok(page_of(db, &m, max, all, &more));
}

static void
fill(struct db *db, const struct who *w)
{
	uint8_t bytes[3000];

	memset(bytes, 0xc3, sizeof(bytes));
	assert_is_ok(create_conversation(db, w, "conv_1", "ab"));
	assert_is_ok(save(db, w, "resp_1", "", "conv_1", "cD"));
	assert_is_ok(save(db, w, "resp_2", "resp_1", "", "eF"));
	assert_is_ok(create_file(db, w, "file_1", span_of(bytes, sizeof(bytes)), "user_data"));
}

static void
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

static bool
has(const struct buf *b, const char *text)
{
	return memmem(b->ptr, b->len, text, strlen(text)) != NULL;
}

static void
exported(void **arg)
{
	auto_buf struct buf whole = BUF_INIT(1U << 20), other = BUF_INIT(1U << 20);
	struct db *db = with_users();

	(void)arg;
	fill(db, &ann);
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
	fill(db, &ann);
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

static void
sweep_all(struct db *db)
{
	bool more = true;

	while (more)
		assert_is_ok(db_sweep(db, got.now_s, &more));
}

static void
erased(void **arg)
{
	auto_buf struct buf all = BUF_INIT(1U << 20);
	uint8_t subject[AS_SECRET_LEN];
	uint64_t rows = 0;
	struct db *db = with_users();

	(void)arg;
	fill(db, &ann);
	fill(db, &bob);
	assert_is_ok(db_user_erase(db, SPAN_LIT("tenant0"), SPAN_LIT("user0"), &rows));
	assert_int_equal(rows, 5);
	/* At once. */
	assert_int_equal(
	    ask(db, &ann, CONTENT_READ, CONTENT_CONVERSATION, "conv_1", NULL).code, E_NOTFOUND);
	assert_int_equal(save(db, &ann, "resp_9", "", "", "x").code, E_NOTFOUND);
	assert_int_equal(
	    db_user_erase(db, SPAN_LIT("tenant0"), SPAN_LIT("user0"), &rows).code, E_NOTFOUND);
	assert_int_equal(number(db, "SELECT count(*) FROM user_keys WHERE user = 1"), 0);
	assert_int_equal(number(db, "SELECT count(*) FROM keys WHERE user = 1"), 0);
	/* In the background. */
	assert_true(number(db, "SELECT count(*) FROM objects WHERE user = 1") > 0);
	sweep_all(db);
	assert_int_equal(number(db, "SELECT count(*) FROM objects WHERE user = 1"), 0);
	assert_int_equal(number(db, "SELECT count(*) FROM items WHERE user = 1"), 0);
	assert_int_equal(number(db, "SELECT count(*) FROM chunks"), 1);
	/* Nobody else is touched. */
	assert_string_equal(load(db, &bob, CONTENT_RESPONSE, "resp_2"), "\"c\"|\"D\"|\"e\"|\"F\"");
	db_close(db);
	db = open_ok();
	assert_int_equal(
	    ask(db, &ann, CONTENT_READ, CONTENT_CONVERSATION, "conv_1", NULL).code, E_NOTFOUND);
	/* Who comes under that name again is not let in by the old row. */
	(void)!is_ok(put(db, 1, subject));
	assert_int_equal(
	    ask(db, &ann, CONTENT_READ, CONTENT_CONVERSATION, "conv_1", NULL).code, E_NOTFOUND);
	export_all(db, &bob, AS_EXPORT_PAGE_MAX, &all);
	assert_lines(buf_span(&all), 5); /* but for a key that ended long ago */
	assert_int_equal(
	    db_user_erase(db, SPAN_LIT("t"), SPAN_LIT("nobody"), &rows).code, E_NOTFOUND);
	db_close(db);
}

/* Erased, with the log not emptied: told as a failure, and made good later. */
static void
erased_and_not_settled(void **arg)
{
	sqlite3_stmt *reader = NULL;
	struct db *db = with_users();
	struct stat log;
	uint64_t rows;

	(void)arg;
	assert_is_ok(db_settle_owed(db));
	assert_false(db->settle_owed);
	assert_int_equal(
	    sqlite3_prepare_v2(backend_sqlite(db->back), "SELECT id FROM users", -1, &reader, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_step(reader), SQLITE_ROW);
	assert_false(is_ok(db_user_erase(db, SPAN_LIT("tenant0"), SPAN_LIT("user0"), &rows)));
	assert_int_equal(number(db, "SELECT count(*) FROM user_keys WHERE user = 1"), 0);
	assert_true(db->settle_owed);
	assert_false(is_ok(db_settle_owed(db)));
	(void)sqlite3_finalize(reader);
	assert_is_ok(db_settle_owed(db));
	assert_false(db->settle_owed);
	assert_int_equal(stat(DB_FILE "-wal", &log), 0);
	assert_int_equal(log.st_size, 0);
	db_close(db);
}

static void
set_hold(struct db *db, uint8_t hold)
{
	const struct as_user_put m = { SPAN_LIT("tenant0"), SPAN_LIT("user0"), ROLE_USER,
		USER_ACTIVE, hold };
	uint8_t subject[AS_SECRET_LEN];

	assert_is_ok(db_user_put(db, &m, subject));
}

static void
held(void **arg)
{
	struct content_request in = { .parent = SPAN_LIT("conv_1") };
	struct db *db = with_users();
	uint64_t rows;

	(void)arg;
	fill(db, &ann);
	set_hold(db, 1);
	assert_int_equal(
	    db_user_erase(db, SPAN_LIT("tenant0"), SPAN_LIT("user0"), &rows).code, E_DENIED);
	assert_is_ok(ask(db, &ann, CONTENT_DELETE, CONTENT_ITEM, "i_a", &in));
	assert_is_ok(ask(db, &ann, CONTENT_DELETE, CONTENT_ITEM, "i_c", &in));
	assert_is_ok(ask(db, &ann, CONTENT_DELETE, CONTENT_FILE, "file_1", NULL));
	assert_is_ok(ask(db, &ann, CONTENT_UPDATE, CONTENT_CONVERSATION, "conv_1",
	    &(struct content_request){ .meta = SPAN_LIT("{\"m\":2}") }));
	assert_int_equal(number(db, "SELECT count(*) FROM objects WHERE hidden = 1 AND kind ="
				    " (SELECT kind FROM objects WHERE id = 1)"),
	    1); /* what it said before */
	db->content.days[RETAINED_RESPONSES] = db->content.days[RETAINED_CONVERSATIONS] = 1;
	got.now_s = NOW + 10 * DAY_S;
	sweep_all(db);
	assert_int_equal(number(db, "SELECT count(*) FROM objects"), 5);
	assert_int_equal(number(db, "SELECT count(*) FROM items"), 6);
	/* Lifted: what was hidden goes, and what is too old. */
	set_hold(db, 0);
	db->content.days[RETAINED_RESPONSES] = db->content.days[RETAINED_CONVERSATIONS] = 0;
	sweep_all(db);
	assert_int_equal(number(db, "SELECT count(*) FROM objects"), 3);
	assert_int_equal(number(db, "SELECT count(*) FROM chunks"), 0);
	assert_string_equal(load(db, &ann, CONTENT_CONVERSATION, "conv_1"), "\"b\"|\"D\"");
	/* The response that it was said in has it still. */
	assert_string_equal(load(db, &ann, CONTENT_RESPONSE, "resp_1"), "\"c\"|\"D\"");
	assert_int_equal(number(db, "SELECT count(*) FROM items"), 5);
	got.now_s = NOW;
	db_close(db);
}

/* A step that is undone has deleted nothing, is not counted, and is made once more. */
static void
a_sweep_that_fails_is_none(void **arg)
{
	struct db *db = with_users();
	struct content_state before;
	bool more = false;

	(void)arg;
	fill(db, &ann);
	db->content.days[RETAINED_RESPONSES] = 1;
	before = db->content;
	crash.fail_call = SYS_pwrite64;
	crash.fail_errno = ENOSPC;
	assert_int_equal(db_sweep(db, NOW + 10 * DAY_S, &more).code, E_SYS);
	crash.fail_errno = 0;
	assert_memory_equal(&db->content, &before, sizeof(before));
	got.now_s = NOW + 10 * DAY_S;
	sweep_all(db);
	assert_int_equal(db->content.gone[RETAINED_RESPONSES], 2);
	got.now_s = NOW;
	db_close(db);
}

static void
aged(void **arg)
{
	const struct content_request ends = { .meta = SPAN_LIT("{}"), .expires_s = 3600 };
	struct db *db = with_users();

	(void)arg;
	fill(db, &ann);
	assert_is_ok(ask(db, &ann, CONTENT_CREATE, CONTENT_FILE, "file_2", &ends));
	db->content.days[RETAINED_CONVERSATIONS] = 0;
	db->content.days[RETAINED_RESPONSES] = 30;
	db->content.days[RETAINED_FILES] = 40;
	got.now_s = NOW + 3599;
	sweep_all(db);
	assert_int_equal(db->content.ended, 0);
	got.now_s = NOW + 30 * DAY_S;
	assert_is_ok(save(db, &ann, "resp_new", "", "", "x"));
	sweep_all(db);
	assert_int_equal(db->content.ended, 1);
	assert_int_equal(db->content.gone[RETAINED_RESPONSES], 0);
	got.now_s += 1;
	sweep_all(db);
	assert_int_equal(db->content.gone[RETAINED_RESPONSES], 2);
	assert_int_equal(db->content.gone[RETAINED_FILES], 0);
	assert_is_ok(ask(db, &ann, CONTENT_READ, CONTENT_RESPONSE, "resp_new", NULL));
	assert_string_equal(
	    load(db, &ann, CONTENT_CONVERSATION, "conv_1"), "\"a\"|\"b\"|\"c\"|\"D\"");
	got.now_s = NOW + 4000 * DAY_S;
	sweep_all(db);
	assert_int_equal(db->content.gone[RETAINED_FILES], 1);
	assert_int_equal(db->content.gone[RETAINED_CONVERSATIONS], 0);
	assert_int_equal(number(db, "SELECT count(*) FROM objects"), 1);
	assert_int_equal(number(db, "SELECT objects FROM content_use"), 1);
	got.now_s = NOW;
	db_close(db);
}

/* Nobody's retention waits for a person under a hold: what stays is looked at once a pass. */
static void
held_do_not_stall(void **arg)
{
	const unsigned held = SWEEP_LOOKED_MAX + 200;
	struct db *db = with_users();
	unsigned n = 0;
	bool more = true;
	char id[16];

	(void)arg;
	got.now_s = NOW;
	for (unsigned i = 0; i < held; i++) {
		(void)snprintf(id, sizeof(id), "resp_%u", i);
		assert_is_ok(save(db, &ann, id, "", "", ""));
	}
	for (unsigned i = 0; i < 2 * SWEEP_OBJECTS_MAX; i++) {
		(void)snprintf(id, sizeof(id), "resp_%u", i);
		assert_is_ok(save(db, &bob, id, "", "", ""));
	}
	set_hold(db, 1);
	db->content.days[RETAINED_RESPONSES] = 1;
	for (; more; n++)
		assert_is_ok(db_sweep(db, NOW + 5 * DAY_S, &more));
	assert_int_equal(n, 4); /* looks, two of full steps, the end */
	assert_int_equal(number(db, "SELECT count(*) FROM objects"), held);
	assert_int_equal(db->content.gone[RETAINED_RESPONSES], 2 * SWEEP_OBJECTS_MAX);
	/* Lifted: the next pass begins at the first again. */
	set_hold(db, 0);
	for (more = true; more;)
		assert_is_ok(db_sweep(db, NOW + 5 * DAY_S, &more));
	assert_int_equal(number(db, "SELECT count(*) FROM objects"), 0);
	assert_goes_by(
	    db, SQL_SWEEP_AGED, "objects_of_age (kind=? AND updated_s>? AND updated_s<?)");
	db_close(db);
}

/* Nor do what is hidden, and files that have ended, of such a person. */
static void
hidden_do_not_stall(void **arg)
{
	static const char *const edits[] = { "UPDATE objects SET hidden = 1",
		"UPDATE objects SET hidden = 0, expires_s = 1" };
	const unsigned held = SWEEP_LOOKED_MAX + 200;
	struct db *db = with_users();
	char id[16];

	(void)arg;
	got.now_s = NOW;
	for (unsigned i = 0; i < held; i++) {
		(void)snprintf(id, sizeof(id), "resp_%u", i);
		assert_is_ok(save(db, &ann, id, "", "", ""));
	}
	set_hold(db, 1);
	for (size_t e = 0; e < COUNT(edits); e++) {
		unsigned n = 0;
		bool more = true;

		for (unsigned i = 0; i < 2 * SWEEP_OBJECTS_MAX; i++) {
			(void)snprintf(id, sizeof(id), "resp_%u", i);
			assert_is_ok(save(db, &bob, id, "", "", ""));
		}
		assert_is_ok(backend_exec(db->back, edits[e]));
		for (; more; n++)
			assert_is_ok(db_sweep(db, NOW, &more));
		assert_int_equal(n, 4);
		assert_int_equal(number(db, "SELECT count(*) FROM objects"), held);
	}
	set_hold(db, 0);
	for (bool more = true; more;)
		assert_is_ok(db_sweep(db, NOW, &more));
	assert_int_equal(number(db, "SELECT count(*) FROM objects"), 0);
	db_close(db);
}

/* A few that are large are more than one step. */
static void
steps_by_rows(void **arg)
{
	static const char items[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	struct db *db = with_users();
	bool more = true;
	char id[16];

	(void)arg;
	for (unsigned i = 0; i < SWEEP_OBJECTS_MAX - 2; i++) {
		(void)snprintf(id, sizeof(id), "resp_%u", i);
		assert_is_ok(save(db, &ann, id, "", "", items));
	}
	db->content.days[RETAINED_RESPONSES] = 1;
	assert_is_ok(db_sweep(db, NOW + 5 * DAY_S, &more));
	assert_true(more);
	assert_in_range(number(db, "SELECT count(*) FROM objects"), 1, SWEEP_OBJECTS_MAX - 15);
	while (more)
		assert_is_ok(db_sweep(db, NOW + 5 * DAY_S, &more));
	assert_int_equal(number(db, "SELECT count(*) FROM items"), 0);
	db_close(db);
}

/* What does not open is named; all else is there, however small the pages. */
static void
exported_with_gaps(void **arg)
{
	struct db *db = with_users();

	(void)arg;
	fill(db, &ann);
	assert_is_ok(create_file(db, &ann, "file_2", SPAN_LIT("whole"), "user_data"));
	assert_is_ok(backend_exec(db->back,
	    "UPDATE objects SET value = zeroblob(200) WHERE tag = (SELECT tag FROM objects WHERE "
	    "id ="
	    " (SELECT min(file) FROM chunks)) AND id = (SELECT min(file) FROM chunks);"
	    "UPDATE items SET value = zeroblob(100) WHERE id = (SELECT max(id) FROM items WHERE"
	    " conversation IS NOT NULL);"
	    "UPDATE keys SET value = zeroblob(200);"));
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

/* Many: in steps, each of which is bounded. */
static void
steps(void **arg)
{
	struct db *db = with_users();
	unsigned n = 0;
	bool more = true;
	char id[16];

	(void)arg;
	for (unsigned i = 0; i < 3 * SWEEP_OBJECTS_MAX + 1; i++) {
		(void)snprintf(id, sizeof(id), "resp_%u", i);
		assert_is_ok(save(db, &ann, id, "", "", "ab"));
	}
	db->content.days[RETAINED_RESPONSES] = 1;
	for (; more; n++) {
		int64_t before = number(db, "SELECT count(*) FROM objects");

		assert_is_ok(db_sweep(db, NOW + 5 * DAY_S, &more));
		assert_true(
		    before - number(db, "SELECT count(*) FROM objects") <= SWEEP_OBJECTS_MAX);
	}
	assert_int_equal(n, 4);
	assert_int_equal(number(db, "SELECT count(*) FROM items"), 0);
	db_close(db);
}

#define T(f) cmocka_unit_test_setup(f, fresh)

int
main(void)
{
	const struct CMUnitTest tests[] = { T(exported), T(exported_usage), T(exported_file),
		T(exports_that_are_wrong), T(erased), T(erased_and_not_settled), T(held), T(aged),
		T(a_sweep_that_fails_is_none), T(held_do_not_stall), T(steps),
		T(hidden_do_not_stall), T(steps_by_rows), T(exported_with_gaps) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
