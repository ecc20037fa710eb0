/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums over rows that say who may what: whatever somebody else changes, puts back, adds or removes
 * is found at the next start; whatever the store itself does, in whatever order and however it
 * ends, is not.
 */
#include "store_world.h"

#include <backup.h>
#include <privacy.h>
#include <rotate.h>

#include <sum.h>

#define PEOPLE (1U << SUM_PEOPLE)

static void
edit(const char *text)
{
	sqlite3 *raw = NULL;
	char *why = NULL;

	assert_int_equal(sqlite3_open("store.db", &raw), SQLITE_OK);
	if (sqlite3_exec(raw, text, NULL, NULL, &why) != SQLITE_OK)
		test_fail("%s: %s", text, why);
	assert_int_equal(sqlite3_close(raw), SQLITE_OK);
}

/* What does not fit at the next start. Without a kind of keys there is none: all of it. */
static uint8_t
unfit(void)
{
	struct db *db = NULL;
	struct status st = db_open(&kek, NULL, &db);
	uint8_t bits;

	if (st.code == E_CORRUPT)
		return SUMS_ALL;
	assert_is_ok(st);
	bits = db_sums_unfit(db);
	db_close(db);
	return bits;
}

static struct status
put_session(struct db *db, unsigned n)
{
	struct as_session s = { .created_s = NOW, .expires_s = NOW + 100, .signer = 1 };
	char names[3][24];
	const struct as_key k = key_of(n, names);

	memset(s.id, 1 + (int)n, sizeof(s.id));
	memcpy(s.key, k.id, sizeof(s.key));
	return db_session_put(db, &s, NOW);
}

static struct status
end_key(struct db *db, unsigned n)
{
	char names[3][24];
	const struct as_key k = key_of(n, names);

	return db_key_revoke(db, k.id, NOW);
}

static struct status
set_user(struct db *db, uint8_t roles, uint8_t state, uint8_t hold)
{
	const struct as_user_put m = { SPAN_LIT("tenant0"), SPAN_LIT("user0"), roles, state, hold };
	uint8_t subject[AS_SECRET_LEN];

	return db_user_put(db, &m, subject);
}

static struct status
set_secret(struct db *db, uint8_t rotate)
{
	const struct as_secret_put m = { SPAN_LIT("one"), SPAN_LIT("sealed"), rotate, NOW };
	struct as_secret ret;

	return db_file_put(db, &m, &ret);
}

/* Users 0 and 1 with two keys each, a session of each key, a secret. */
static struct db *
filled(void)
{
	uint8_t subject[AS_SECRET_LEN];
	struct db *db = open_ok();

	for (unsigned n = 0; n < 4; n++) {
		assert_is_ok(put(db, n, subject));
		assert_is_ok(put_session(db, n));
	}
	assert_is_ok(set_secret(db, 0));
	return db;
}

/* ---- what others do ---- */

/* Every column of every row that says who may what, but when a key was used last. */
static void
each_cell(void **arg)
{
	static const struct {
		const char *table;
		uint8_t unfit;
	} tables[] = {
		{ "tenants", PEOPLE },
		{ "users", PEOPLE },
		{ "keys", PEOPLE },
		{ "sessions", PEOPLE },
		{ "keysets", PEOPLE },
		{ "file_secrets", 1U << SUM_SECRETS },
	};
	unsigned tried = 0;
	char text[400];
	sqlite3 *raw = NULL;
	sqlite3_stmt *st = NULL;

	(void)arg;
	db_close(filled());
	for (size_t i = 0; i < COUNT(tables); i++) {
		(void)snprintf(text, sizeof(text), "CREATE TABLE was_%s AS SELECT * FROM %s",
		    tables[i].table, tables[i].table);
		edit(text);
		(void)snprintf(text, sizeof(text), "PRAGMA table_info(was_%s)", tables[i].table);
		for (int column = 0;; column++) {
			char name[32];
			uint8_t bits;
			bool counts;

			assert_int_equal(sqlite3_open("store.db", &raw), SQLITE_OK);
			assert_int_equal(sqlite3_prepare_v2(raw, text, -1, &st, NULL), SQLITE_OK);
			for (int n = 0; n <= column && sqlite3_step(st) == SQLITE_ROW; n++)
				(void)snprintf(name, sizeof(name), "%s",
				    (const char *)sqlite3_column_text(st, 1));
			counts = sqlite3_data_count(st) > 0;
			(void)sqlite3_finalize(st);
			(void)sqlite3_close(raw);
			if (!counts)
				break;
			char change[400];

			(void)snprintf(change, sizeof(change),
			    "UPDATE OR IGNORE %s SET %s = CASE typeof(%s) WHEN 'integer' THEN %s + "
			    "7"
			    " WHEN 'text' THEN %s || 'x' WHEN 'null' THEN x'00' ELSE"
			    " zeroblob(length(%s)) END WHERE rowid = 1",
			    tables[i].table, name, name, name, name, name);
			edit(change);
			bits = unfit();
			if (strcmp(name, "what") == 0
				? bits != SUMS_ALL
				: bits != (strcmp(name, "last_used_s") == 0 ? 0 : tables[i].unfit))
				test_fail("%s.%s: %u", tables[i].table, name, bits);
			(void)snprintf(change, sizeof(change),
			    "DELETE FROM %s; INSERT INTO %s SELECT * FROM was_%s", tables[i].table,
			    tables[i].table, tables[i].table);
			edit(change);
			assert_int_equal(unfit(), 0);
			tried++;
		}
	}
	assert_int_equal(tried, 4 + 9 + 8 + 8 + 3 + 6);
}

/* A whole row of before, with its version and marks: what no seal tells. */
static void
rows_put_back(void **arg)
{
	static const struct {
		const char *table, *where;
		uint8_t unfit;
	} rows[] = {
		{ "keys", "n = 1", PEOPLE },     /* revoked since */
		{ "users", "id = 1", PEOPLE },   /* lost a role since */
		{ "sessions", "n = 1", PEOPLE }, /* ended with its key */
		{ "sessions", "n = 2", PEOPLE }, /* ended by itself */
		{ "keysets", "what = 1 AND version = 1", PEOPLE },
		{ "file_secrets", "name = 'one'", 1U << SUM_SECRETS },
	};
	static const char *const names[] = { "keys", "users", "sessions", "keysets",
		"file_secrets" };
	struct db *db = filled();
	char text[400];

	(void)arg;
	assert_is_ok(set_user(db, ROLE_USER | ROLE_OWNER, USER_ACTIVE, 1));
	db_close(db);
	for (size_t i = 0; i < COUNT(names); i++) {
		(void)snprintf(text, sizeof(text), "CREATE TABLE was_%s AS SELECT * FROM %s",
		    names[i], names[i]);
		edit(text);
	}
	db = open_ok();
	assert_is_ok(end_key(db, 0));
	assert_is_ok(db_session_end(db, (uint8_t[SESSION_ID_LEN]){ [0 ... 15] = 2 }));
	assert_is_ok(set_user(db, ROLE_USER, USER_ACTIVE, 0));
	assert_is_ok(set_secret(db, 0));
	for (int i = 0; i < 2; i++) /* no session is left, and the first version goes */
		assert_is_ok(db_keyset_rotate(db, KEYSET_SESSION, NOW + 1000));
	assert_int_equal(db_sums_unfit(db), 0);
	db_close(db);
	for (size_t i = 0; i < COUNT(names); i++) {
		(void)snprintf(text, sizeof(text), "CREATE TABLE is_%s AS SELECT * FROM %s",
		    names[i], names[i]);
		edit(text);
	}
	for (size_t i = 0; i < COUNT(rows); i++) {
		(void)snprintf(text, sizeof(text),
		    "DELETE FROM %s WHERE %s; INSERT INTO %s SELECT * FROM was_%s WHERE %s",
		    rows[i].table, rows[i].where, rows[i].table, rows[i].table, rows[i].where);
		edit(text);
		if (unfit() != rows[i].unfit)
			test_fail("%s: %u", text, unfit());
		(void)snprintf(text, sizeof(text),
		    "DELETE FROM %s; INSERT INTO %s SELECT * FROM is_%s", rows[i].table,
		    rows[i].table, rows[i].table);
		edit(text);
		assert_int_equal(unfit(), 0);
	}
}

/* Rows that were removed, and rows that nobody made. */
static void
rows_gone_and_added(void **arg)
{
	static const char *const edits[] = {
		"DELETE FROM keys WHERE n = 2",
		"DELETE FROM users WHERE id = 1",
		"DELETE FROM users; DELETE FROM keys; DELETE FROM sessions; DELETE FROM tenants",
		"DELETE FROM tenants WHERE id = 1",
		"DELETE FROM sessions WHERE n = 3",
		"DELETE FROM keysets WHERE what = 2",
		"INSERT INTO keys SELECT n + 10, CAST(id || x'00' AS BLOB), user, key, version, "
		"pepper, value,"
		" last_used_s FROM keys WHERE n = 1",
		"INSERT INTO users SELECT id + 10, tenant, x'00', key, version, value, roles, "
		"state,"
		" hold FROM users WHERE id = 1",
		"INSERT INTO sessions SELECT n + 10, x'00', user, parent, key, signer, expires_s,"
		" value FROM sessions WHERE n = 1",
		"INSERT INTO keysets VALUES (1, 9, 5)",
		/* One row's cells, between two of them: bytes are where they were, lengths not. */
		"UPDATE keys SET id = substr(id, 1, 11) WHERE n = 1",
		/* Rows that change places. */
		"UPDATE keys SET (pepper, value) = (SELECT pepper, value FROM keys k WHERE k.n ="
		" 3 - keys.n) WHERE n IN (1, 2)",
	};

	for (size_t i = 0; i < COUNT(edits); i++) {
		(void)fresh(arg);
		db_close(filled());
		edit(edits[i]);
		if ((unfit() & PEOPLE) == 0)
			test_fail("%s", edits[i]);
	}
}

/* The sums themselves: changed, removed, put back with the rows that they were of. */
static void
sums_put_back(void **arg)
{
	static const char *const edits[] = {
		"UPDATE secrets SET value = (SELECT value FROM was WHERE name = 'sum:people')"
		" WHERE name = 'sum:people'",
		"UPDATE secrets SET value = (SELECT value FROM secrets WHERE name = 'sum:tools')"
		" WHERE name = 'sum:people'",
		"DELETE FROM secrets WHERE name = 'sum:people'",
		"DELETE FROM secrets WHERE name GLOB 'sum:*'",
		"DELETE FROM secrets WHERE name = 'sums'",
		/* All rows and their sum, under the generation of now. */
		"UPDATE secrets SET value = (SELECT value FROM was WHERE name = 'sum:people')"
		" WHERE name = 'sum:people'; DELETE FROM keys; INSERT INTO keys SELECT * FROM "
		"was_keys;"
		" INSERT INTO sessions SELECT * FROM was_sessions WHERE n = 1",
		/* That generation does not open, or is another secret's. */
		"UPDATE secrets SET value = zeroblob(length(value)) WHERE name = 'generation'",
		"UPDATE secrets SET value = (SELECT value FROM secrets WHERE name = 'sums')"
		" WHERE name = 'generation'",
	};
	static const char all[] =
	    "DELETE FROM keys; INSERT INTO keys SELECT * FROM was_keys;"
	    "INSERT INTO sessions SELECT * FROM was_sessions WHERE n = 1;"
	    "DELETE FROM secrets WHERE name GLOB 'sum:*' OR name = 'generation';"
	    "INSERT INTO secrets SELECT * FROM was WHERE name GLOB 'sum:*' OR name = 'generation'";
	uint64_t generation = 0, older = 0;

	for (size_t i = 0; i <= COUNT(edits); i++) {
		struct db *db;

		(void)fresh(arg);
		db = filled();
		for (int n = 0; n < 3; n++)
			assert_is_ok(db_generation_next(db, &generation));
		db_close(db);
		edit("CREATE TABLE was AS SELECT * FROM secrets; CREATE TABLE was_keys AS SELECT *"
		     " FROM keys; CREATE TABLE was_sessions AS SELECT * FROM sessions");
		db = open_ok();
		assert_is_ok(end_key(db, 0));
		assert_is_ok(db_generation_next(db, &generation));
		db_close(db);
		assert_int_equal(unfit(), 0);
		edit(i < COUNT(edits) ? edits[i] : all);
		if (i < COUNT(edits) && (unfit() & PEOPLE) == 0)
			test_fail("%s", edits[i]);
	}
	/* With the generation it is an older database, and says so. */
	assert_int_equal(unfit(), 0);
	{
		struct db *db = open_ok();

		assert_is_ok(db_generation_next(db, &older));
		assert_int_equal(older, generation);
		db_close(db);
	}
}

/* A database that says of itself that it is older has a generation that says more. */
static void
told_to_be_older(void **arg)
{
	(void)arg;
	db_close(filled());
	edit("DELETE FROM keys WHERE n = 2; UPDATE schema_version SET version = 7");
	assert_int_equal(unfit(), PEOPLE);
	assert_int_equal(unfit(), PEOPLE);
}

/* What the file brings of triggers does not run, and so is in no sum. */
static void
triggers_of_the_file(void **arg)
{
	struct db *db;

	(void)arg;
	db_close(filled());
	edit("CREATE TABLE was AS SELECT * FROM keys WHERE n = 1;"
	     "CREATE TRIGGER t AFTER UPDATE ON keys BEGIN"
	     " UPDATE users SET roles = 31; DELETE FROM keys WHERE n = 3; END;"
	     "CREATE TRIGGER u AFTER INSERT ON secrets BEGIN"
	     " SELECT row_seen(2, 0, n, id, user, key, version, pepper, value) FROM was; END;");
	db = open_ok();
	assert_int_equal(db_sums_unfit(db), 0);
	assert_is_ok(end_key(db, 1));
	db_close(db);
	edit("DROP TRIGGER t; DROP TRIGGER u; DROP TABLE was");
	assert_int_equal(unfit(), 0);
	edit("UPDATE users SET hold = 1 WHERE roles = 31");
	assert_int_equal(unfit(), 0); /* there is none */
}

/* The file is changed while it is open: a look before each load. */
static void
under_our_hands(void **arg)
{
	struct db *db = filled();

	(void)arg;
	assert_is_ok(db_sums_check(db));
	assert_int_equal(db_sums_unfit(db), 0);
	assert_int_equal(
	    backend_exec(db->back, "UPDATE keys SET pepper = 9 WHERE n = 1").code, E_CORRUPT);
	assert_is_ok(backend_exec(
	    db->back, "DROP TRIGGER sum_keys_changed; UPDATE keys SET pepper = 9 WHERE n = 1"));
	assert_int_equal(db_sums_unfit(db), 0);
	assert_is_ok(db_sums_check(db));
	assert_int_equal(db_sums_unfit(db), PEOPLE);
	assert_int_equal(end_key(db, 2).code, E_CORRUPT);
	db_close(db);
	assert_int_equal(unfit(), PEOPLE);
}

/* ---- what follows ---- */

/* Nothing is changed until somebody says that it is true; the same after a start. */
static void
refused_until_accepted(void **arg)
{
	uint8_t subject[AS_SECRET_LEN];
	uint64_t generation, revoked = 0;
	struct as_secret s;
	struct db *db;

	(void)arg;
	db_close(filled());
	edit(
	    "UPDATE keys SET last_used_s = 5; DELETE FROM keys WHERE n = 4; UPDATE file_secrets SET"
	    " set_s = 1");
	for (int i = 0; i < 2; i++) {
		db = open_ok();
		assert_int_equal(db_sums_unfit(db), PEOPLE | 1U << SUM_SECRETS);
		assert_int_equal(put(db, 9, subject).code, E_CORRUPT);
		assert_int_equal(end_key(db, 0).code, E_CORRUPT);
		assert_int_equal(set_user(db, ROLES_ALL, USER_ACTIVE, 0).code, E_CORRUPT);
		assert_int_equal(set_secret(db, 0).code, E_CORRUPT);
		assert_int_equal(db_file_remove(db, SPAN_LIT("one")).code, E_CORRUPT);
		assert_int_equal(db_file_get(db, SPAN_LIT("one"), &s).code, E_CORRUPT);
		assert_is_ok(db_generation_next(db, &generation));
		assert_int_equal(db_sums_accept(db, PEOPLE).code, E_AGAIN);
		db_close(db);
	}
	db = open_ok();
	crash.fail_call = SYS_pwrite64; /* accepted on a full disk: nothing is */
	crash.fail_errno = ENOSPC;
	assert_int_equal(db_sums_accept(db, PEOPLE | 1U << SUM_SECRETS).err, ENOSPC);
	crash.fail_errno = 0;
	assert_int_equal(db_sums_unfit(db), PEOPLE | 1U << SUM_SECRETS);
	assert_int_equal(end_key(db, 0).code, E_CORRUPT);
	assert_is_ok(db_sums_accept(db, PEOPLE | 1U << SUM_SECRETS));
	assert_int_equal(db_sums_unfit(db), 0);
	assert_int_equal(db_sums_accept(db, PEOPLE).code, E_NOTFOUND);
	assert_int_equal(count_keys(db, &revoked), 3);
	assert_int_equal(revoked, 0); /* the change that was refused is not there */
	assert_is_ok(db_file_get(db, SPAN_LIT("one"), &s));
	sql_reset_all(db);
	assert_is_ok(end_key(db, 0));
	db_close(db);
	assert_int_equal(unfit(), 0);
}

/* The rows that are the store's fit again, and the next generation, too. */
static void
put_right(void **arg)
{
	uint64_t generation;
	struct db *db;

	(void)arg;
	db_close(filled());
	for (int i = 0; i < 2; i++) {
		edit("CREATE TABLE IF NOT EXISTS is_keys AS SELECT * FROM keys; DELETE FROM keys "
		     "WHERE n"
		     " = 3");
		for (int n = 0; n < 2; n++) {
			db = open_ok();
			assert_int_equal(db_sums_unfit(db), PEOPLE);
			assert_is_ok(db_generation_next(db, &generation));
			assert_is_ok(set_secret(db, 0)); /* nobody has touched those */
			db_close(db);
		}
		edit("DELETE FROM keys; INSERT INTO keys SELECT * FROM is_keys");
		assert_int_equal(unfit(), 0);
	}
}

/* A generation that is lost begins anew with what is accepted. */
static void
accepted_without_generation(void **arg)
{
	uint64_t generation = 0;
	struct db *db;

	(void)arg;
	db_close(filled());
	edit("UPDATE secrets SET value = zeroblob(100) WHERE name = 'generation'");
	db = open_ok();
	assert_int_equal(db_sums_unfit(db), SUMS_ALL);
	assert_false(is_ok(db_generation_next(db, &generation)));
	assert_is_ok(db_sums_accept(db, SUMS_ALL));
	assert_is_ok(db_generation_next(db, &generation));
	assert_int_equal(generation, 1);
	db_close(db);
	assert_int_equal(unfit(), 0);
}

/* ---- what the store does itself ---- */

static void
one_after_the_other(struct db *db)
{
	struct as_key_use use = { .used_s = NOW };
	struct as_key_hash hash = { .pepper = 2 };
	uint8_t subject[AS_SECRET_LEN];
	uint64_t n;
	bool more = true;

	assert_is_ok(put(db, 7, subject));
	assert_is_ok(set_user(db, ROLE_USER | ROLE_AUDITOR, USER_ACTIVE, 0));
	assert_is_ok(end_key(db, 1));
	memset(use.id, 'a', sizeof(use.id));
	use.id[0] = '0';
	assert_is_ok(db_keys_used(db, &(struct as_key_used){ .keys = { &use, 1 } }));
	assert_is_ok(db_keyset_rotate(db, KEYSET_PEPPER, NOW));
	memcpy(hash.id, use.id, sizeof(hash.id));
	assert_is_ok(db_keys_rehash(db, &(struct as_key_rehash){ .keys = { &hash, 1 } }));
	assert_is_ok(db_generation_next(db, &n));
	for (enum as_rotation what = AS_ROTATE_KEK; what <= AS_ROTATE_LAST; what++) {
		assert_is_ok(db_rotate(db, what, NOW));
		for (more = true; more;)
			assert_is_ok(db_rotate_step(db, NOW, 0, &more));
	}
	assert_is_ok(set_secret(db, 1));
	assert_is_ok(db_file_remove(db, SPAN_LIT("one")));
	assert_is_ok(db_user_erase(db, SPAN_LIT("tenant0"), SPAN_LIT("user0"), &n));
	assert_is_ok(db_sweep(db, NOW + 1000, &more));
	assert_int_equal(set_user(db, ROLES_ALL + 1, USER_ACTIVE, 0).code, E_RANGE);
	assert_int_equal(end_key(db, 12).code, E_NOTFOUND);
}

static void
all_of_ours_fits(void **arg)
{
	struct db *db = filled();

	(void)arg;
	one_after_the_other(db);
	assert_is_ok(db_sums_check(db));
	assert_int_equal(db_sums_unfit(db), 0);
	db_close(db);
	assert_int_equal(unfit(), 0);
}

/* Of version 7: taken as it is, once; then what is changed is found. */
static void
from_version_7(void **arg)
{
	uint64_t generation = 0;
	struct db *db = filled();

	(void)arg;
	assert_is_ok(db_generation_next(db, &generation));
	/* As version 7 had it: a number, and nothing behind it. */
	assert_is_ok(db_begin(db));
	assert_is_ok(db_end(
	    db, db_secret_keep(db, SPAN_LIT("generation"), (uint8_t[AS_SECRET_LEN]){ [7] = 5 })));
	db_close(db);
	edit("DELETE FROM secrets WHERE name GLOB 'sum*'; UPDATE schema_version SET version = 7;");
	db = open_ok();
	assert_int_equal(access(BACKUP_BEFORE_FILE, F_OK), 0);
	assert_int_equal(db_sums_unfit(db), 0);
	assert_is_ok(db_generation_next(db, &generation));
	assert_int_equal(generation, 6);
	assert_is_ok(end_key(db, 0));
	db_close(db);
	assert_int_equal(unfit(), 0);
	edit("UPDATE users SET hold = 1 WHERE id = 1");
	assert_int_equal(unfit(), PEOPLE);
}

/* Open (from version 7), and all that changes rows, killed at call `at`. */
static bool
killed(unsigned at, enum crash_mode mode)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		uint8_t subject[AS_SECRET_LEN];
		struct db *db = NULL;
		uint64_t n;

		kek_child();
		crash.calls = 0;
		crash.at = at;
		crash.mode = mode;
		if (!is_ok(db_open(&kek, NULL, &db)) || !is_ok(put(db, 5, subject)) ||
		    !is_ok(end_key(db, 0)) || !is_ok(db_generation_next(db, &n)) ||
		    !is_ok(set_user(db, ROLE_USER, USER_DISABLED, 0)) || !is_ok(set_secret(db, 0)))
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
	auto_buf struct buf was = BUF_INIT(1U << 24);
	struct db *db;

	kek_known();
	(void)fresh(arg);
	db = filled();
	assert_is_ok(db_begin(db));
	assert_is_ok(db_end(
	    db, db_secret_keep(db, SPAN_LIT("generation"), (uint8_t[AS_SECRET_LEN]){ [7] = 5 })));
	db_close(db);
	edit("DELETE FROM secrets WHERE name GLOB 'sum*'; UPDATE schema_version SET version = 7;");
	assert_is_ok(io_read_file(AT_FDCWD, "store.db", &was));
	for (int mode = 0; mode < CRASH_MODES; mode++) {
		bool died = true;
		unsigned at;

		for (at = CRASH_FIRST(1, mode); died; at += CRASH_STEP(1)) {
			(void)fresh(arg);
			assert_is_ok(io_replace_file(here, "store.db", buf_span(&was), 0600));
			died = killed(at, (enum crash_mode)mode);
			if (unfit() != 0)
				test_fail("mode %d, call %u: %u", mode, at, unfit());
		}
		assert_true(at > 8);
	}
}

/* A disk that is full, and a change that is refused: the sum is that of what is there. */
static void
taken_back(void **arg)
{
	uint8_t subject[AS_SECRET_LEN];
	struct db *db = filled();

	(void)arg;
	for (long call = 0; call < 2; call++) {
		crash.fail_call = call == 0 ? SYS_pwrite64 : SYS_fdatasync;
		crash.fail_errno = ENOSPC;
		assert_false(is_ok(put(db, 8, subject)));
		crash.fail_errno = 0;
		assert_is_ok(db_sums_check(db));
		assert_int_equal(db_sums_unfit(db), 0);
	}
	assert_is_ok(put(db, 8, subject));
	/* A trigger that failed, and whoever asked for the change went on. */
	assert_is_ok(db_begin(db));
	db->sums.failed = true;
	assert_int_equal(db_end(db, OK).code, E_CORRUPT);
	assert_is_ok(put(db, 9, subject));
	db_close(db);
	assert_int_equal(unfit(), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(each_cell, fresh),
		cmocka_unit_test_setup(rows_put_back, fresh),
		cmocka_unit_test_setup(rows_gone_and_added, fresh),
		cmocka_unit_test_setup(sums_put_back, fresh),
		cmocka_unit_test_setup(told_to_be_older, fresh),
		cmocka_unit_test_setup(triggers_of_the_file, fresh),
		cmocka_unit_test_setup(under_our_hands, fresh),
		cmocka_unit_test_setup(refused_until_accepted, fresh),
		cmocka_unit_test_setup(put_right, fresh),
		cmocka_unit_test_setup(accepted_without_generation, fresh),
		cmocka_unit_test_setup(all_of_ours_fits, fresh),
		cmocka_unit_test_setup(from_version_7, fresh),
		cmocka_unit_test_setup(killed_at_every_call, fresh),
		cmocka_unit_test_setup(taken_back, fresh),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
