/* SPDX-License-Identifier: Apache-2.0 */
/* The database: usage counts once, and comes in pages. */
#include "content_world.h"

/* So many more people of the first tenant, who have nothing. */
static void
crowd(struct db *db, unsigned n, enum as_user_states state)
{
	char text[512];

	(void)snprintf(text, sizeof(text),
	    "BEGIN; WITH RECURSIVE i (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM i WHERE i < %u)"
	    " INSERT INTO users (tenant, name_hash, key, version, value, roles, state, hold)"
	    " SELECT 1, randomblob(32), 0, 0, x'', 0, %d, 0 FROM i; COMMIT;",
	    n, (int)state);
	sql(db, text);
}

/* The page behind that one. */
static void
go_on(struct as_usage_list *m, const struct db_usage_at *next)
{
	m->after_user = next->user;
	m->after_key = next->key;
	m->after_model = span_str(next->model);
}

/* ---- usage ---- */

static void
usage_counts_once(void **arg)
{
	struct db *db = open_ok();
	uint8_t subject[AS_SECRET_LEN];
	struct as_usage_list all = { 0 };
	struct db_usage_at next = { 1, 1, "" };

	(void)arg;
	for (unsigned n = 0; n < 4; n++)
		assert_is_ok(put(db, n, subject));
	assert_is_ok(usage_add(db, 1, 1, "m", 100));
	assert_is_ok(usage_add(db, 1, 1, "m", 100)); /* again: its answer was lost */
	assert_int_equal(usage_of(db, &all, &next).requests, 2);
	assert_int_equal(next.user, 0);
	assert_is_ok(usage_add(db, 2, 1, "m", 101));
	assert_is_ok(usage_add(db, 3, 1, "", 101));
	assert_is_ok(usage_add(db, 4, 3, "m", 102));
	assert_is_ok(usage_add(db, 5, 25, "m", 102)); /* no such key */
	db_close(db);
	db = open_ok();
	assert_is_ok(usage_add(db, 5, 1, "m", 102)); /* counted before the restart, too */
	assert_int_equal(usage_of(db, &all, &next).rows, 3);
	assert_int_equal(usage_of(db, &all, &next).tokens_out, 80);
	assert_int_equal(usage_of(db, &all, &next).cached, 4 * 7);
	assert_int_equal(usage_of(db, &all, &next).written, 4 * 2);
	assert_int_equal(usage_of(db, &all, &next).reasoning, 4 * 11);
	all.since_day = 101;
	assert_int_equal(usage_of(db, &all, &next).requests, 6);
	all.model = SPAN_LIT("m");
	assert_int_equal(usage_of(db, &all, &next).rows, 2);
	all.user = SPAN_LIT("user1");
	assert_int_equal(usage_of(db, &all, &next).rows, 1);
	all.user = SPAN_EMPTY;
	all.key = SPAN_LIT("0bbbbbbbbbbb");
	assert_int_equal(usage_of(db, &all, &next).requests, 2);
	all.key = SPAN_LIT("short");
	assert_int_equal(db_usage_list(db, &all, usage_see, NULL, &next).code, E_RANGE);
	/* Long ago is forgotten; but not by a date that is wrong. */
	db->content.today = 103;
	assert_is_ok(usage_add(db, 6, 2, "m", 101 + 2 * DB_USAGE_DAYS));
	all = (struct as_usage_list){ 0 };
	assert_int_equal(usage_of(db, &all, &next).requests, 10);
	db->content.today = 101 + DB_USAGE_DAYS;
	assert_is_ok(usage_add(db, 7, 1, "m", 101 + DB_USAGE_DAYS));
	assert_int_equal(usage_of(db, &all, &next).requests, 10);
	db_close(db);
}

static void
usage_comes_in_pages(void **arg)
{
	struct db *db = open_ok();
	uint8_t subject[AS_SECRET_LEN];
	char model[16];
	struct as_usage_list m = { 0 };
	struct db_usage_at next = { 0 };
	unsigned rows = 0;

	(void)arg;
	for (unsigned n = 0; n < 2; n++) {
		assert_is_ok(put(db, n, subject));
		for (unsigned i = 0; i < AS_USAGE_PAGE_MAX; i++) {
			(void)snprintf(model, sizeof(model), "m%u", i);
			assert_is_ok(usage_add(db, 1000 * n + i + 1, n, model, 100));
		}
	}
	do {
		struct usage_seen s = usage_of(db, &m, &next);

		rows += s.rows;
		go_on(&m, &next);
	} while (next.user != 0);
	assert_int_equal(rows, 2 * AS_USAGE_PAGE_MAX);
	db_close(db);
}

/* Steps of the virtual machine since it was asked before. */
static int
steps(struct db *db)
{
	int n = 0;

	for (size_t i = 0; i < SQL_COUNT; i++)
		n += sqlite3_stmt_status(
		    backend_sqlite_stmt(db->st[i]), SQLITE_STMTSTATUS_VM_STEP, 1);
	return n;
}

/* Of 20000 rows of another tenant, and of days and models not asked for, none is looked at. */
static void
usage_looks_at_what_was_asked_for(void **arg)
{
	const struct as_usage_list asked[] = {
		{ .tenant = SPAN_LIT("tenant1") },
		{ .tenant = SPAN_LIT("tenant1"), .user = SPAN_LIT("user2") },
		{ .user = SPAN_LIT("user2") },
		{ .key = SPAN_LIT("0eeeeeeeeeee") },
		{ .tenant = SPAN_LIT("tenant1"), .model = SPAN_LIT("m") },
		{ .tenant = SPAN_LIT("tenant0"), .key = SPAN_LIT("0eeeeeeeeeee") },
		{ .tenant = SPAN_LIT("tenant0"), .user = SPAN_LIT("user2") },
		{ .user = SPAN_LIT("user0"), .model = SPAN_LIT("m") },
	};
	struct db *db = open_ok();
	struct db_usage_at next = { 0 };
	uint8_t subject[AS_SECRET_LEN];

	(void)arg;
	assert_is_ok(put(db, 0, subject));
	assert_is_ok(put(db, 4, subject));
	assert_is_ok(usage_add(db, 1, 4, "m", 100));
	sql(db,
	    "WITH RECURSIVE i (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM i WHERE i < 19999)"
	    " INSERT INTO usage SELECT 1, 'x' || (i / 100), i % 100, 2, 0, 0, 0, 1, 3, 4, 0, 0, 0"
	    " FROM i");
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		(void)steps(db);
		assert_int_equal(usage_of(db, &asked[i], &next).requests, i < 5 ? 2 : 0);
		assert_int_equal(next.user, 0);
		assert_in_range(steps(db), 1, 1000);
	}
	(void)usage_of(db, &(struct as_usage_list){ .tenant = SPAN_LIT("tenant0") }, &next);
	assert_int_not_equal(next.user, 0);
	(void)steps(db);
	assert_int_equal(
	    usage_of(db, &(struct as_usage_list){ .tenant = SPAN_LIT("tenant0"), .since_day = 101 },
		&next)
		.rows,
	    0);
	assert_int_equal(next.user, 0);
	assert_in_range(steps(db), 1, 20000);
	db_close(db);
}

/* People who used nothing are looked at in parts, and who is behind them is found. */
static void
usage_looks_at_few(void **arg)
{
	struct db *db = open_ok();
	struct as_usage_list m = { .tenant = SPAN_LIT("tenant0") };
	struct db_usage_at next = { 0 };
	uint8_t subject[AS_SECRET_LEN];
	unsigned rows = 0, calls = 0;

	(void)arg;
	assert_is_ok(put(db, 0, subject));
	assert_is_ok(usage_add(db, 1, 0, "m", 100));
	crowd(db, 5000, USER_ACTIVE);
	do {
		(void)steps(db);
		rows += usage_of(db, &m, &next).rows;
		assert_in_range(steps(db), 1, 100000);
		go_on(&m, &next);
		calls++;
	} while (next.user != 0);
	assert_int_equal(rows, 1);
	assert_in_range(calls, 3, 20);
	m.after_user = 1;
	sql(db, "BEGIN; UPDATE users SET state = 2 WHERE id = 1; COMMIT;"); /* erased: it has
									       another place */
	assert_int_equal(db_usage_list(db, &m, usage_see, NULL, &next).code, E_AGAIN);
	db_close(db);
}

/* Where a page ends there is somebody: of 5000 who were erased no cursor stands at any. */
static void
no_page_ends_at_who_is_gone(void **arg)
{
	struct db *db = open_ok();
	struct as_usage_list m = { .tenant = SPAN_LIT("tenant0") };
	struct db_usage_at next = { 0 };
	uint8_t subject[AS_SECRET_LEN];
	unsigned rows = 0, calls = 0;

	(void)arg;
	assert_is_ok(put(db, 0, subject));
	assert_is_ok(usage_add(db, 1, 0, "m", 100));
	crowd(db, 10000, USER_ACTIVE);
	sql(db,
	    "BEGIN; UPDATE users SET state = 2 - 2 * (name_hash < x'80') WHERE id > 1; COMMIT;");
	do {
		rows += usage_of(db, &m, &next).rows;
		go_on(&m, &next);
		calls++;
	} while (next.user != 0);
	assert_int_equal(rows, 1);
	assert_in_range(calls, 2, 20);
	db_close(db);
}

/* … nor is any of them looked at, however many: a call is bounded by the living. */
static void
the_gone_cost_nothing(void **arg)
{
	struct db *db = open_ok();
	const struct as_usage_list m = { .tenant = SPAN_LIT("tenant0") };
	struct db_usage_at next = { 0 };
	uint8_t subject[AS_SECRET_LEN];

	(void)arg;
	assert_is_ok(put(db, 0, subject));
	assert_is_ok(usage_add(db, 1, 0, "m", 100));
	crowd(db, 100000, USER_ERASED);
	assert_int_equal(usage_of(db, &m, &next).rows, 1);
	assert_int_equal(next.user, 0); /* all on one page */
	assert_goes_by(db, SQL_USER_OF_TENANT, "users_living (tenant=? AND name_hash>?)");
	db_close(db);
}

/* ---- cursors of others ---- */

/* Numbers of people and keys are 1, 2, 3 … */
#define NUMBERS 7U

static struct status
is_of_tenant1(void *ctx, const struct as_usage_row *row)
{
	*(unsigned *)ctx += 1;
	assert_true(span_eq_str(row->tenant, "tenant1"));
	return OK;
}

static struct db *
two_tenants(void)
{
	const unsigned keys[] = { 0, 1, 2, 4, 5, 6 }; /* of user0, user1; user2, user3 */
	struct db *db = open_ok();
	uint8_t subject[AS_SECRET_LEN];

	for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		assert_is_ok(put(db, keys[i], subject));
		assert_is_ok(usage_add(db, 2 * i + 1, keys[i], "a", 100));
		assert_is_ok(usage_add(db, 2 * i + 2, keys[i], "b", 100));
	}
	return db;
}

/* Who asks of tenant1 stands where there is a key of its people, else nowhere. */
static void
a_cursor_stands_at_what_was_asked_for(void **arg)
{
	const struct as_usage_list asked[] = {
		{ .tenant = SPAN_LIT("tenant1") },
		{ .tenant = SPAN_LIT("tenant1"), .model = SPAN_LIT("b") },
		{ .tenant = SPAN_LIT("tenant1"), .user = SPAN_LIT("user2") },
		{ .tenant = SPAN_LIT("tenant1"), .key = SPAN_LIT("0fffffffffff") },
	};
	/* Places: tenant1 has users 3 (keys 4, 5) and 4 (key 6). */
	const unsigned places[] = { 5, 5, 3, 2 };
	struct db *db = two_tenants();
	struct db_usage_at next;
	struct status st;

	(void)arg;
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		unsigned stood = 0;

		for (unsigned n = 0; n < NUMBERS * NUMBERS; n++) {
			struct as_usage_list m = asked[i];
			unsigned rows = 0;

			m.after_user = 1 + n / NUMBERS;
			m.after_key = n % NUMBERS;
			st = db_usage_list(db, &m, is_of_tenant1, &rows, &next);
			stood += is_ok(st);
			assert_true(is_ok(st) || (st.code == E_AGAIN && rows == 0));
		}
		assert_int_equal(stood, places[i]);
	}
	db_close(db);
}

/* Of the whole house, too, a key is its person's. */
static void
a_cursor_has_one_place(void **arg)
{
	struct db *db = two_tenants();
	struct db_usage_at next;

	(void)arg;
	assert_int_equal(
	    usage_of(db, &(struct as_usage_list){ .after_user = 1, .after_key = 2 }, &next).rows,
	    4 * 2 + 2);
	assert_int_equal(
	    db_usage_list(db, &(struct as_usage_list){ .after_user = 1, .after_key = 4 }, usage_see,
		&(struct usage_seen){ 0 }, &next)
		.code,
	    E_AGAIN);
	db_close(db);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(usage_counts_once, fresh),
		cmocka_unit_test_setup(usage_comes_in_pages, fresh),
		cmocka_unit_test_setup(usage_looks_at_what_was_asked_for, fresh),
		cmocka_unit_test_setup(usage_looks_at_few, fresh),
		cmocka_unit_test_setup(no_page_ends_at_who_is_gone, fresh),
		cmocka_unit_test_setup(the_gone_cost_nothing, fresh),
		cmocka_unit_test_setup(a_cursor_stands_at_what_was_asked_for, fresh),
		cmocka_unit_test_setup(a_cursor_has_one_place, fresh),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
