/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A person in the database: erased, so that nothing can be read and the rows go; held, so that
 * nothing does; and what is too old goes.
 */
#include "export_world.h"

#include <sys/stat.h>

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
	fill_person(db, &ann);
	fill_person(db, &bob);
	assert_is_ok(erase_all(db, SPAN_LIT("tenant0"), SPAN_LIT("user0"), &rows));
	assert_int_equal(rows, 5);
	/* At once. */
	assert_int_equal(
	    ask(db, &ann, CONTENT_READ, CONTENT_CONVERSATION, "conv_1", NULL).code, E_NOTFOUND);
	assert_int_equal(save(db, &ann, "resp_9", "", "", "x").code, E_NOTFOUND);
	assert_int_equal(
	    erase_all(db, SPAN_LIT("tenant0"), SPAN_LIT("user0"), &rows).code, E_NOTFOUND);
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
	assert_int_equal(erase_all(db, SPAN_LIT("t"), SPAN_LIT("nobody"), &rows).code, E_NOTFOUND);
	db_close(db);
}

/* One changed byte of a mark destroys nothing: who is erased has no keys any more. */
static void
a_mark_alone_erases_nobody(void **arg)
{
	struct db *db = with_users();
	int64_t before;

	(void)arg;
	fill_person(db, &ann);
	before = number(db, "SELECT count(*) FROM objects WHERE user = 1");
	sql(db, "BEGIN; UPDATE users SET state = 2 WHERE id = 1; COMMIT;");
	sweep_all(db);
	assert_int_equal(number(db, "SELECT count(*) FROM objects WHERE user = 1"), before);
	sql(db, "DELETE FROM user_keys WHERE user = 1");
	sweep_all(db);
	assert_int_equal(number(db, "SELECT count(*) FROM objects WHERE user = 1"), 0);
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
	assert_false(is_ok(erase_all(db, SPAN_LIT("tenant0"), SPAN_LIT("user0"), &rows)));
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
	fill_person(db, &ann);
	set_hold(db, 1);
	assert_int_equal(
	    erase_all(db, SPAN_LIT("tenant0"), SPAN_LIT("user0"), &rows).code, E_DENIED);
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
	assert_int_equal(number(db, "SELECT objects FROM content_use WHERE user = 1"),
	    number(db, "SELECT count(*) FROM objects WHERE user = 1"));
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
	fill_person(db, &ann);
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
	fill_person(db, &ann);
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
	const struct CMUnitTest tests[] = { T(erased), T(a_mark_alone_erases_nobody),
		T(erased_and_not_settled), T(held), T(aged), T(a_sweep_that_fails_is_none),
		T(held_do_not_stall), T(steps), T(hidden_do_not_stall), T(steps_by_rows) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
