/* SPDX-License-Identifier: Apache-2.0 */
/* The database: the versions before this one are carried over, and usage counts once. */
#include "store_world.h"

/* ---- version 1: what was sealed with the master key itself ---- */

static const char version_1[] =
    "CREATE TABLE schema_version (version INTEGER NOT NULL) STRICT;"
    "CREATE TABLE tenants (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;"
    "CREATE TABLE users (id INTEGER PRIMARY KEY,"
    " tenant INTEGER NOT NULL REFERENCES tenants (id), name TEXT NOT NULL,"
    " subject_key BLOB NOT NULL, UNIQUE (tenant, name)) STRICT;"
    "CREATE TABLE policies (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;"
    "CREATE TABLE keys (n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE,"
    " hash BLOB NOT NULL, user INTEGER NOT NULL REFERENCES users (id),"
    " policy INTEGER NOT NULL REFERENCES policies (id), created_s INTEGER NOT NULL,"
    " expires_s INTEGER NOT NULL, revoked_s INTEGER NOT NULL) STRICT;"
    "CREATE INDEX keys_of_user ON keys (user);"
    "CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;"
    "INSERT INTO schema_version VALUES (1);"
    "INSERT INTO tenants VALUES (1, 'tenant0'); INSERT INTO policies VALUES (1, 'policy1');";

static void
insert_wrapped(sqlite3 *sql, const char *text, const struct secret *master, const struct place *at,
    const uint8_t plain[AS_SECRET_LEN])
{
	auto_buf struct buf wrapped = BUF_INIT(WRAPPED_MAX);
	sqlite3_stmt *st = NULL;

	assert_is_ok(wrap(master, at, plain, &wrapped));
	assert_int_equal(sqlite3_prepare_v2(sql, text, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(
	    sqlite3_bind_blob(st, 1, wrapped.ptr, (int)wrapped.len, SQLITE_STATIC), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_DONE);
	(void)sqlite3_finalize(st);
}

static void
make_version_1(const struct secret *master, const uint8_t pepper[AS_SECRET_LEN],
    const uint8_t subject[AS_SECRET_LEN])
{
	const struct place user = { "users", { SPAN_LIT("tenant0"), SPAN_LIT("user0") },
		"subject_key" };
	const struct place secret = { "secrets", { SPAN_LIT("pepper"), SPAN_EMPTY }, "value" };
	sqlite3 *sql = NULL;

	assert_int_equal(sqlite3_open("store.db", &sql), SQLITE_OK);
	assert_int_equal(sqlite3_exec(sql, version_1, NULL, NULL, NULL), SQLITE_OK);
	insert_wrapped(sql, "INSERT INTO users VALUES (1, 1, 'user0', ?1)", master, &user, subject);
	insert_wrapped(sql, "INSERT INTO secrets VALUES ('pepper', ?1)", master, &secret, pepper);
	assert_int_equal(sqlite3_close(sql), SQLITE_OK);
}

static void
migrates_from_version_1(void **arg)
{
	static const uint8_t pepper[AS_SECRET_LEN] = { 1 }, subject[AS_SECRET_LEN] = { 2 };
	auto_secret struct secret master = SECRET_NONE, other = SECRET_NONE;
	uint8_t got[AS_SECRET_LEN];
	struct db *db = NULL;
	struct as_user u = { 0 };
	int64_t cursor = 0;

	(void)arg;
	assert_is_ok(secret_random(32, &master));
	assert_is_ok(secret_random(32, &other));
	make_version_1(&master, pepper, subject);
	assert_int_equal(db_open(&kek, NULL, &db).code, E_UNSUPPORTED);
	assert_int_equal(db_open(&kek, &other, &db).code, E_CRYPTO); /* and nothing has changed */
	assert_is_ok(db_open(&kek, &master, &db));
	assert_is_ok(db_pepper(db, got));
	assert_memory_equal(got, pepper, sizeof(got));
	assert_is_ok(db_user_next(db, &cursor, &u));
	assert_memory_equal(u.subject_key, subject, sizeof(subject));
	assert_is_ok(put(db, 1, got));
	assert_memory_equal(got, subject, sizeof(got));
	db_close(db);
	db = open_ok(); /* without the master key */
	db_close(db);
	db = NULL;
	assert_int_equal(db_open(&master, NULL, &db).code, E_CRYPTO);
}

/* ---- usage ---- */

static void
usage_counts_once(void **arg)
{
	struct db *db = open_ok();
	uint8_t subject[AS_SECRET_LEN];
	struct as_usage_list all = { 0 };
	uint64_t next = 1;

	(void)arg;
	for (unsigned n = 0; n < 4; n++)
		assert_is_ok(put(db, n, subject));
	assert_is_ok(usage_add(db, 1, 1, "m", 100));
	assert_is_ok(usage_add(db, 1, 1, "m", 100)); /* again: its answer was lost */
	assert_int_equal(usage_of(db, &all, &next).requests, 2);
	assert_int_equal(next, 0);
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
	/* Long ago is forgotten. */
	assert_is_ok(usage_add(db, 6, 1, "m", 101 + DB_USAGE_DAYS));
	all = (struct as_usage_list){ 0 };
	assert_int_equal(usage_of(db, &all, &next).requests, 8);
	db_close(db);
}

static void
usage_comes_in_pages(void **arg)
{
	struct db *db = open_ok();
	uint8_t subject[AS_SECRET_LEN];
	char model[16], after[MODEL_MAX + 1] = "";
	struct as_usage_list m = { 0 };
	uint64_t next = 0;
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
		memcpy(after, s.last_model, sizeof(after));
		m.after_key = next;
		m.after_model = span_str(after);
	} while (next != 0);
	assert_int_equal(rows, 2 * AS_USAGE_PAGE_MAX);
	db_close(db);
}

/* ---- versions 2 and later ---- */

static void
set_version(const char *sql_text)
{
	sqlite3 *sql = NULL;

	assert_int_equal(sqlite3_open("store.db", &sql), SQLITE_OK);
	assert_int_equal(sqlite3_exec(sql, sql_text, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(sql), SQLITE_OK);
}

#define WITHOUT_DETAILS                                   \
	"ALTER TABLE usage DROP COLUMN cached_in;"        \
	"ALTER TABLE usage DROP COLUMN cache_written_in;" \
	"ALTER TABLE usage DROP COLUMN reasoning_out;"
#define WITHOUT_MARKS                                                               \
	"ALTER TABLE users DROP COLUMN roles; ALTER TABLE users DROP COLUMN state;" \
	"ALTER TABLE users DROP COLUMN hold; ALTER TABLE keys DROP COLUMN scopes;"  \
	"ALTER TABLE keys DROP COLUMN last_used_s; ALTER TABLE keys DROP COLUMN replaces;"
#define WITHOUT_TOOLS                                       \
	"DROP TABLE tool_chunks; DROP TABLE tool_versions;" \
	"DROP TABLE tools; DROP TABLE tool_sum;"

/* They kept no parts of the tokens: what was counted stays, and from now on they are counted. */
static void
migrates_from_versions_2_and_3(void **arg)
{
	static const char *const versions[] = {
		WITHOUT_MARKS WITHOUT_DETAILS "UPDATE schema_version SET version = 3;",
		WITHOUT_MARKS WITHOUT_DETAILS WITHOUT_TOOLS
		"UPDATE schema_version SET version = 2;",
	};

	for (size_t i = 0; i < COUNT(versions); i++) {
		uint8_t subject[AS_SECRET_LEN];
		struct as_usage_list all = { 0 };
		struct db *db;
		uint64_t next = 0;

		(void)fresh(arg);
		db = open_ok();
		assert_is_ok(put(db, 1, subject));
		assert_is_ok(usage_add(db, 1, 1, "m", 100));
		db_close(db);
		set_version(versions[i]);
		db = open_ok();
		assert_int_equal(usage_of(db, &all, &next).tokens_out, 20);
		assert_int_equal(usage_of(db, &all, &next).cached, 0);
		assert_is_ok(usage_add(db, 2, 1, "m", 100));
		assert_int_equal(usage_of(db, &all, &next).tokens_out, 40);
		assert_int_equal(usage_of(db, &all, &next).cached, 7);
		assert_int_equal(usage_of(db, &all, &next).reasoning, 11);
		db_close(db);
	}
}

static void
a_later_version_is_left_alone(void **arg)
{
	struct db *db = open_ok();

	(void)arg;
	db_close(db);
	set_version("UPDATE schema_version SET version = 1000;");
	db = NULL;
	assert_int_equal(db_open(&kek, NULL, &db).code, E_UNSUPPORTED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(migrates_from_version_1, fresh),
		cmocka_unit_test_setup(migrates_from_versions_2_and_3, fresh),
		cmocka_unit_test_setup(a_later_version_is_left_alone, fresh),
		cmocka_unit_test_setup(usage_counts_once, fresh),
		cmocka_unit_test_setup(usage_comes_in_pages, fresh),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
