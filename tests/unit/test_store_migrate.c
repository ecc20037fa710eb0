/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The database: each version before this one is carried over whole, also when it is killed
 * at any call on the way; nothing that stood in clear is left behind.
 */
#include "store_world.h"

#include <backup.h>
#include <crypto/backup.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

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
    "INSERT INTO tenants VALUES (1, 'tenant0'), (7, 'anna-bar');"
    "INSERT INTO policies VALUES (1, 'policy1');";

static const char version_2[] =
    "CREATE TABLE file_secrets (name TEXT PRIMARY KEY, version INTEGER NOT NULL,"
    " set_s INTEGER NOT NULL, value BLOB, previous_version INTEGER NOT NULL,"
    " previous BLOB) STRICT;"
    "CREATE TABLE usage (key INTEGER NOT NULL REFERENCES keys (n), model TEXT NOT NULL,"
    " day INTEGER NOT NULL, requests INTEGER NOT NULL, errors INTEGER NOT NULL,"
    " tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL, estimated INTEGER NOT NULL,"
    " estimated_in INTEGER NOT NULL, estimated_out INTEGER NOT NULL,"
    " PRIMARY KEY (key, model, day)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX usage_of_day ON usage (day);"
    "CREATE TABLE usage_batch (one INTEGER PRIMARY KEY CHECK (one = 1),"
    " epoch BLOB NOT NULL, seq INTEGER NOT NULL) STRICT;"
    "UPDATE schema_version SET version = 2;";
static const char rows_2[] = "INSERT INTO usage VALUES (3, 'm', 100, 2, 1, 10, 20, 1, 3, 4);"
			     "INSERT INTO usage_batch VALUES (1, x'09', 1);";

static const char version_3[] =
    "CREATE TABLE tools (id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " user INTEGER NOT NULL REFERENCES users (id), name TEXT NOT NULL,"
    " live INTEGER NOT NULL, marks BLOB NOT NULL, UNIQUE (user, name)) STRICT;"
    "CREATE TABLE tool_versions (id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " tool INTEGER NOT NULL REFERENCES tools (id), version INTEGER NOT NULL,"
    " size INTEGER NOT NULL, meta BLOB NOT NULL, UNIQUE (tool, version)) STRICT;"
    "CREATE TABLE tool_chunks (version INTEGER NOT NULL"
    " REFERENCES tool_versions (id) ON DELETE CASCADE,"
    " part INTEGER NOT NULL, n INTEGER NOT NULL, value BLOB NOT NULL,"
    " UNIQUE (version, part, n)) STRICT;"
    "CREATE TABLE tool_sum (one INTEGER PRIMARY KEY CHECK (one = 1),"
    " value BLOB NOT NULL) STRICT;"
    "UPDATE schema_version SET version = 3;";

static const char version_4[] =
    "ALTER TABLE usage ADD COLUMN cached_in INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE usage ADD COLUMN cache_written_in INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE usage ADD COLUMN reasoning_out INTEGER NOT NULL DEFAULT 0;"
    "UPDATE schema_version SET version = 4;";

static const uint8_t pepper[AS_SECRET_LEN] = { 1 };
static const uint8_t subjects[2][AS_SECRET_LEN] = { { 2 }, { 3 } };
static const uint8_t day_key[AS_SECRET_LEN] = { 4 };

static void
exec(sqlite3 *sql, const char *text)
{
	char *why = NULL;

	if (sqlite3_exec(sql, text, NULL, NULL, &why) != SQLITE_OK)
		test_fail("%s", why);
}

static void
insert_wrapped(sqlite3 *sql, const char *text, const struct secret *key, const struct place *at,
    const uint8_t plain[AS_SECRET_LEN])
{
	auto_buf struct buf wrapped = BUF_INIT(WRAPPED_MAX);
	sqlite3_stmt *st = NULL;

	assert_is_ok(wrap(key, at, plain, &wrapped));
	assert_int_equal(sqlite3_prepare_v2(sql, text, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(
	    sqlite3_bind_blob(st, 1, wrapped.ptr, (int)wrapped.len, SQLITE_STATIC), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_DONE);
	(void)sqlite3_finalize(st);
}

static void
insert_secret(
    sqlite3 *sql, const char *name, const struct secret *key, const uint8_t plain[AS_SECRET_LEN])
{
	const struct place at = { "secrets", { span_str(name), SPAN_EMPTY }, "value" };
	char text[128];

	(void)snprintf(text, sizeof(text), "INSERT INTO secrets VALUES ('%s', ?1)", name);
	insert_wrapped(sql, text, key, &at, plain);
}

/* Two tenants with gaps in their ids, two users, two keys, and what came later. */
static void
make_version(int version, const struct secret *key)
{
	static const char *const later[] = { version_2, version_3, version_4 };
	const struct place users[] = {
		{ "users", { SPAN_LIT("tenant0"), SPAN_LIT("user0") }, "subject_key" },
		{ "users", { SPAN_LIT("anna-bar"), SPAN_LIT("anna") }, "subject_key" },
	};
	sqlite3 *sql = NULL;

	assert_int_equal(sqlite3_open("store.db", &sql), SQLITE_OK);
	exec(sql, "PRAGMA journal_mode=WAL;");
	exec(sql, version_1);
	insert_wrapped(
	    sql, "INSERT INTO users VALUES (1, 1, 'user0', ?1)", key, &users[0], subjects[0]);
	insert_wrapped(
	    sql, "INSERT INTO users VALUES (9, 7, 'anna', ?1)", key, &users[1], subjects[1]);
	insert_secret(sql, "pepper", key, pepper);
	insert_secret(sql, "day:2024-10-04", key, day_key);
	exec(sql, "INSERT INTO keys VALUES (3, CAST('0bbbbbbbbbbb' AS BLOB),"
		  " x'0101010101010101010101010101010101010101010101010101010101010101',"
		  " 1, 1, 50, 1, 0);"
		  "INSERT INTO keys VALUES (4, CAST('0ccccccccccc' AS BLOB),"
		  " x'0202020202020202020202020202020202020202020202020202020202020202',"
		  " 9, 1, 51, 2, 77);");
	for (int i = 2; i <= version; i++)
		exec(sql, later[i - 2]);
	if (version >= 2)
		exec(sql, version < 4 ? rows_2
				      : "INSERT INTO usage VALUES (3, 'm', 100, 2, 1, 10, 20,"
					" 1, 3, 4, 7, 2, 11);");
	/* A tool that was removed, and one whose id was the last. */
	if (version >= 3)
		exec(sql, "INSERT INTO sqlite_sequence VALUES ('tools', 41);");
	assert_int_equal(sqlite3_close(sql), SQLITE_OK);
}

static void
check_keys(struct db *db)
{
	int64_t cursor = 0;
	struct as_key k;

	assert_is_ok(db_key_next(db, &cursor, &k));
	assert_int_equal(cursor, 3);
	assert_memory_equal(k.id, "0bbbbbbbbbbb", KEY_ID_LEN);
	assert_true(span_eq_str(k.tenant, "tenant0") && span_eq_str(k.user, "user0") &&
		    span_eq_str(k.policy, "policy1"));
	assert_true(k.created_s == 50 && k.expires_s == 1 && k.revoked_s == 0);
	assert_true(k.hash[0] == 1 && k.hash[31] == 1 && k.scopes.len == 0 && k.last_used_s == 0);
	assert_is_ok(db_key_next(db, &cursor, &k));
	assert_true(span_eq_str(k.tenant, "anna-bar") && span_eq_str(k.user, "anna"));
	assert_int_equal(k.revoked_s, 77);
	assert_int_equal(db_key_next(db, &cursor, &k).code, E_NOTFOUND);
}

static void
check(struct db *db, int version)
{
	struct as_usage_list all = { 0 };
	uint8_t got[AS_SECRET_LEN];
	struct as_user u = { 0 };
	int64_t cursor = 0;
	struct db_usage_at next = { 0 };

	assert_is_ok(db_tenant_key(db, got));
	assert_memory_equal(got, pepper, sizeof(got));
	assert_is_ok(db_day_key(db, SPAN_LIT("2024-10-04"), NOW + 50 * DAY_S, got));
	assert_memory_equal(got, day_key, sizeof(got));
	assert_is_ok(db_user_next(db, &cursor, &u));
	assert_true(cursor == 1 && span_eq_str(u.user, "user0") && u.roles == ROLE_USER);
	assert_memory_equal(u.subject_key, subjects[0], sizeof(got));
	assert_is_ok(db_user_next(db, &cursor, &u));
	assert_true(
	    cursor == 9 && span_eq_str(u.user, "anna") && span_eq_str(u.tenant, "anna-bar"));
	assert_memory_equal(u.subject_key, subjects[1], sizeof(got));
	check_keys(db);
	assert_int_equal(usage_of(db, &all, &next).tokens_out, version >= 2 ? 20 : 0);
	assert_int_equal(usage_of(db, &all, &next).cached, version >= 4 ? 7 : 0);
	assert_true(db_tools_fit(db));
}

/* So many bytes of a ciphertext are any four letters now and then. */
static bool
is_by_chance(const char *file, const char *word)
{
	return strlen(word) < 5 && strstr(file, ".sealed") != NULL;
}

/* Clear names, in whatever file is left. */
static void
assert_nothing_in_clear(void)
{
	static const char *const words[] = { "tenant0", "user0", "anna", "policy1" };
	DIR *dir = opendir(".");

	for (struct dirent *e; (e = readdir(dir)) != NULL;) {
		auto_buf struct buf file = BUF_INIT(1U << 24);

		if (e->d_name[0] == '.')
			continue;
		assert_is_ok(io_read_file(AT_FDCWD, e->d_name, &file));
		for (size_t i = 0; i < COUNT(words) && file.len > 0; i++) {
			if (!is_by_chance(e->d_name, words[i]) &&
			    memmem(file.ptr, file.len, words[i], strlen(words[i])) != NULL)
				test_fail("%s is in %s", words[i], e->d_name);
		}
	}
	(void)closedir(dir);
}

static void
from_each_version(void **arg)
{
	for (int version = 1; version <= 4; version++) {
		auto_secret struct secret master = SECRET_NONE, other = SECRET_NONE;
		uint8_t got[AS_SECRET_LEN];
		struct db *db = NULL;

		(void)fresh(arg);
		assert_is_ok(secret_random(32, &master));
		assert_is_ok(secret_random(32, &other));
		make_version(version, version == 1 ? &master : &kek);
		if (version == 1)
			assert_int_equal(db_open(&kek, NULL, &db).code, E_UNSUPPORTED);
		/* With wrong keys nothing changes. */
		assert_int_equal(db_open(version == 1 ? &kek : &other, &other, &db).code, E_CRYPTO);
		assert_is_ok(db_open(&kek, &master, &db));
		check(db, version);
		assert_nothing_in_clear();
		assert_is_ok(put(db, 0, got)); /* user0 of tenant0, as before */
		db_close(db);
		assert_nothing_in_clear();
		db = open_ok(); /* without the master key */
		db_close(db);
		db = NULL;
		assert_int_equal(db_open(&other, NULL, &db).code, E_CRYPTO);
	}
}

/* What it was before is kept, sealed, for a while. */
static void
kept_before(void **arg)
{
	auto_buf struct buf blob = BUF_INIT(1U << 24), plain = BUF_INIT(1U << 24);
	auto_secret struct secret key = SECRET_NONE;
	struct seal_stream *s = NULL;
	size_t chunk = SEAL_CHUNK_LEN + SEAL_TAG_LEN;
	struct backup_head head;
	struct db *db;

	(void)arg;
	make_version(4, &kek);
	db = open_ok();
	db_close(db);
	assert_is_ok(io_read_file(AT_FDCWD, BACKUP_BEFORE_FILE, &blob));
	assert_is_ok(backup_key(&kek, &key));
	assert_is_ok(
	    seal_stream_open(&key, BACKUP_AAD, span_of(blob.ptr, SEAL_STREAM_HEAD_LEN), &s));
	for (size_t at = SEAL_STREAM_HEAD_LEN; at < blob.len; at += chunk) {
		size_t n = blob.len - at < chunk ? blob.len - at : chunk;

		assert_is_ok(
		    seal_stream_get(s, span_of(blob.ptr + at, n), at + n == blob.len, &plain));
	}
	seal_stream_free(s);
	assert_is_ok(backup_head_get(buf_span(&plain), &head));
	db_backup_before_expire((uint64_t)time(NULL) + 29 * DAY_S);
	assert_int_equal(access(BACKUP_BEFORE_FILE, F_OK), 0);
	db_backup_before_expire((uint64_t)time(NULL) + 31 * DAY_S);
	assert_int_equal(access(BACKUP_BEFORE_FILE, F_OK), -1);
	dir_clear();
	assert_is_ok(
	    io_replace_file(here, "store.db", span_from(buf_span(&plain), BACKUP_HEAD_LEN), 0600));
	db = open_ok();
	check(db, 4);
	db_close(db);
}

static struct {
	unsigned copied, moved, same;
	uint64_t last;
} progress;

void __wrap_daemon_progress(const char *what, uint64_t done, uint64_t total);
void
__wrap_daemon_progress(const char *what, uint64_t done, uint64_t total)
{
	assert_true(total == 0 || done <= total);
	progress.same += done == progress.last ? 1 : 0; /* the supervisor would not wait on */
	progress.last = done;
	if (strstr(what, "copied") != NULL)
		progress.copied++;
	else
		progress.moved++;
}

/* A copy that fails half way does not take the place of a good one, nor does it stay. */
static void
kept_until_there_is_another(void **arg)
{
	auto_buf struct buf blob = BUF_INIT(1U << 20);
	const struct rlimit small = { 200000, RLIM_INFINITY };
	const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	struct status st;
	sqlite3 *sql = NULL;
	struct db *db = NULL;

	(void)arg;
	make_version(4, &kek);
	assert_int_equal(sqlite3_open("store.db", &sql), SQLITE_OK);
	exec(sql, "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4)"
		  " INSERT INTO tool_chunks SELECT 999, 1, i, randomblob(524288) FROM n");
	assert_int_equal(sqlite3_close(sql), SQLITE_OK);
	assert_is_ok(io_replace_file(here, BACKUP_BEFORE_FILE, SPAN_LIT("the good one"), 0600));
	assert_int_not_equal(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	st = db_open(&kek, NULL, &db);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &all), 0);
	assert_false(is_ok(st));
	db_close(db);
	assert_is_ok(io_read_file(AT_FDCWD, BACKUP_BEFORE_FILE, &blob));
	assert_true(span_eq_str(buf_span(&blob), "the good one"));
	assert_int_equal(access(BACKUP_BEFORE_TMP, F_OK), -1);
	db = open_ok();
	db_close(db);
	buf_clear(&blob);
	assert_int_equal(io_read_file(AT_FDCWD, BACKUP_BEFORE_FILE, &blob).code, E_FULL);
	assert_int_equal(access(BACKUP_BEFORE_TMP, F_OK), -1);
}

/* So is any before this one. */
static void
kept_before_six(void **arg)
{
	sqlite3 *sql = NULL;
	struct db *db = open_ok();

	(void)arg;
	db_close(db);
	assert_int_equal(access(BACKUP_BEFORE_FILE, F_OK), -1);
	assert_int_equal(sqlite3_open("store.db", &sql), SQLITE_OK);
	exec(sql, "DROP TABLE sessions; DROP TABLE keysets; DROP INDEX keys_of_pepper;"
		  "ALTER TABLE rotations DROP COLUMN unopened;"
		  "ALTER TABLE keks DROP COLUMN wrapper;"
		  "DELETE FROM secrets WHERE name GLOB 'session-key:*' OR name GLOB 'pepper:*'"
		  " OR name GLOB 'sum*' OR name = 'generation';"
		  "UPDATE schema_version SET version = 6;");
	assert_int_equal(sqlite3_close(sql), SQLITE_OK);
	db = open_ok();
	db_close(db);
	assert_int_equal(access(BACKUP_BEFORE_FILE, F_OK), 0);
}

/* A large database is carried over in little memory, and leaves no file behind. */
static void
in_little_memory(void **arg)
{
	DIR *dir = opendir(".");
	sqlite3 *sql = NULL;
	struct dirent *e;
	struct db *db;

	(void)arg;
	make_version(4, &kek);
	assert_int_equal(sqlite3_open("store.db", &sql), SQLITE_OK);
	exec(sql, "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 64)"
		  " INSERT INTO tool_chunks SELECT 999, 1, i, randomblob(524288) FROM n");
	assert_int_equal(sqlite3_close(sql), SQLITE_OK);
	(void)sqlite3_memory_highwater(1);
	memset(&progress, 0, sizeof(progress));
	db = open_ok();
	assert_in_range(sqlite3_memory_highwater(0), 1, 8U << 20);
	/* Whoever waits was told of the copy, and of what came behind it: its rows, its VACUUM. */
	assert_true(progress.copied > 100);
	assert_in_range(progress.moved, 5, 200);
	assert_int_equal(progress.same, 0);
	db_close(db);
	while ((e = readdir(dir)) != NULL)
		assert_null(strstr(e->d_name, "etilqs"));
	(void)closedir(dir);
}

/* An id of a tool never comes again. */
static void
ids_count_on(void **arg)
{
	sqlite3 *sql = NULL;
	sqlite3_stmt *st = NULL;
	struct db *db;

	(void)arg;
	make_version(4, &kek);
	db = open_ok();
	db_close(db);
	assert_int_equal(sqlite3_open("store.db", &sql), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(sql,
			     "SELECT seq FROM sqlite_sequence WHERE name = 'tools'", -1, &st, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	assert_int_equal(sqlite3_column_int64(st, 0), 41);
	(void)sqlite3_finalize(st);
	assert_int_equal(sqlite3_close(sql), SQLITE_OK);
}

static void
a_later_version_is_left_alone(void **arg)
{
	sqlite3 *sql = NULL;
	struct db *db = open_ok();

	(void)arg;
	db_close(db);
	assert_int_equal(sqlite3_open("store.db", &sql), SQLITE_OK);
	exec(sql, "UPDATE schema_version SET version = 1000;");
	assert_int_equal(sqlite3_close(sql), SQLITE_OK);
	db = NULL;
	assert_int_equal(db_open(&kek, NULL, &db).code, E_UNSUPPORTED);
}

/* Opens an older database, killed at call `at`. False: it came to its end before. */
static bool
open_killed(unsigned at, enum crash_mode mode)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct db *db = NULL;

		kek_child();
		crash.calls = 0;
		crash.at = at;
		crash.mode = mode;
		if (!is_ok(db_open(&kek, NULL, &db)))
			_exit(8);
		db_close(db);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return false;
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	return true;
}

static void
killed_at_every_call(void **arg)
{
	kek_known();
	for (int mode = 0; mode < CRASH_MODES; mode++) {
		bool died = true;
		unsigned at;

		for (at = (unsigned)mode + CRASH_FIRST(4, mode); died; at += CRASH_STEP(4)) {
			struct db *db;

			(void)fresh(arg);
			make_version(4, &kek);
			died = open_killed(at, (enum crash_mode)mode);
			db = open_ok();
			check(db, 4);
			assert_nothing_in_clear();
			db_close(db);
		}
		assert_true(at > 25);
	}
}

static void
full_disk(void **arg)
{
	struct db *db = NULL;

	(void)arg;
	make_version(4, &kek);
	crash.fail_call = SYS_pwrite64;
	crash.fail_errno = ENOSPC;
	assert_false(is_ok(db_open(&kek, NULL, &db)));
	crash.fail_errno = 0;
	db = open_ok();
	check(db, 4);
	assert_nothing_in_clear();
	db_close(db);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(from_each_version, fresh),
		cmocka_unit_test_setup(kept_before, fresh),
		cmocka_unit_test_setup(kept_until_there_is_another, fresh),
		cmocka_unit_test_setup(kept_before_six, fresh),
		cmocka_unit_test_setup(in_little_memory, fresh),
		cmocka_unit_test_setup(ids_count_on, fresh),
		cmocka_unit_test_setup(a_later_version_is_left_alone, fresh),
		cmocka_unit_test_setup(full_disk, fresh),
		cmocka_unit_test_setup(killed_at_every_call, fresh),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
