/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums over rows that say who may what: whatever somebody else changes, puts back, adds or removes
 * is found at the next start. What follows from that: test_store_unfit.c.
 */
#include "sum_world.h"

#include <privacy.h>

/* ---- what a row adds ---- */

static void
term_of(struct db *db, const char *cells, uint8_t out[DIGEST_LEN])
{
	char text[200];

	(void)snprintf(text, sizeof(text), "SELECT row_seen(%s)", cells);
	assert_is_ok(db_begin(db));
	assert_is_ok(backend_exec(db->back, text));
	memcpy(out, db->sums.now[SUM_PEOPLE], DIGEST_LEN);
	sum_take(out, db->sums.kept[SUM_PEOPLE]);
	assert_int_equal(db_end(db, fail(E_AGAIN)).code, E_AGAIN);
}

/* Its table, each cell's type, and where each of them ends: bytes that are the same are not. */
static void
terms_differ(void **arg)
{
	static const char *const rows[] = {
		"2, 0, 1, x'0102', x'03'",
		"1, 0, 1, x'0102', x'03'", /* another table's */
		"2, 0, 1, x'01', x'0203'",
		"2, 0, 1, x'010203'",
		"2, 0, 1, x'010203', x''",
		"2, 0, 1, x'', x'010203'",
		"2, 0, 1, x'0104', x'02'", /* a type's number in a value; with eight bytes behind it
					    */
		"2, 0, 1, x'01', x'0402'",
		"2, 0, 1, x'01040000000000000000', x'02'",
		"2, 0, 1, x'01', x'04000000000000000002'",
		"2, 0, 1, 'a'",
		"2, 0, 1, x'61'",
		"2, 0, 1, 97",
		"2, 0, 1, NULL",
		"2, 0, 1, x''",
		"2, 0, 1, ''",
		"2, 0, 1, 0",
		"2, 0, 1, 0, 0",
	};
	uint8_t terms[COUNT(rows)][DIGEST_LEN];
	struct db *db = filled();

	(void)arg;
	for (size_t i = 0; i < COUNT(rows); i++) {
		term_of(db, rows[i], terms[i]);
		for (size_t j = 0; j < i; j++) {
			if (memcmp(terms[i], terms[j], DIGEST_LEN) == 0)
				test_fail("%s is %s", rows[i], rows[j]);
		}
	}
	db_close(db);
	assert_int_equal(unfit(), 0);
}

/* What REPLACE takes away is told of, too. */
static void
rows_replaced(void **arg)
{
	struct db *db = filled();

	(void)arg;
	assert_is_ok(db_begin(db));
	assert_is_ok(
	    db_end(db, backend_exec(db->back,
			   "INSERT OR REPLACE INTO keysets SELECT what, version, 7 FROM keysets")));
	assert_is_ok(look(db));
	assert_int_equal(db_sums_unfit(db), 0);
	db_close(db);
	assert_int_equal(unfit(), 0);
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
		/* The first number that there is, and the last one. */
		"INSERT INTO tenants SELECT -9223372036854775807 - 1, x'00', key, name FROM "
		"tenants",
		"INSERT INTO tenants SELECT 9223372036854775807, x'00', key, name FROM tenants",
		"UPDATE keysets SET rowid = -9223372036854775807 - 1, created_s = 5 WHERE what = 1",
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
	     " SELECT row_seen(2, 0, n, n, id, user, key, version, pepper, value) FROM was; END;");
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
	assert_is_ok(look(db));
	assert_int_equal(db_sums_unfit(db), 0);
	assert_int_equal(
	    backend_exec(db->back, "UPDATE keys SET pepper = 9 WHERE n = 1").code, E_CORRUPT);
	assert_is_ok(backend_exec(
	    db->back, "DROP TRIGGER sum_keys_changed; UPDATE keys SET pepper = 9 WHERE n = 1"));
	assert_int_equal(db_sums_unfit(db), 0);
	assert_is_ok(look(db));
	assert_int_equal(db_sums_unfit(db), PEOPLE);
	assert_int_equal(set_user(db, ROLES_ALL, USER_ACTIVE, 0).code, E_CORRUPT);
	db_close(db);
	assert_int_equal(unfit(), PEOPLE);
}

/* ---- a look at all rows, in pieces ---- */

/* What the store itself does with what is there, taken back or not. */
static void
do_some(struct db *db, unsigned n)
{
	uint8_t subject[AS_SECRET_LEN];
	uint64_t rows;

	switch (n % 8) {
	case 0:
		assert_is_ok(put(db, 9, subject));
		break;
	case 1:
		assert_is_ok(end_key(db, 0));
		break;
	case 2:
		assert_is_ok(db_session_end(db, (uint8_t[SESSION_ID_LEN]){ [0 ... 15] = 2 }));
		break;
	case 3:
		assert_is_ok(set_user(db, ROLE_USER | ROLE_OWNER, USER_ACTIVE, 1));
		break;
	case 4:
		assert_is_ok(set_secret(db, 1));
		break;
	case 5:
		assert_is_ok(db_keyset_rotate(db, KEYSET_SESSION, NOW + 10));
		break;
	case 6:
		assert_is_ok(db_begin(db));
		assert_is_ok(backend_exec(db->back,
		    "DELETE FROM sessions; UPDATE keys SET pepper = 9; UPDATE users SET hold = 1"));
		assert_int_equal(db_end(db, fail(E_AGAIN)).code, E_AGAIN);
		break;
	default:
		assert_is_ok(erase_all(db, SPAN_LIT("tenant0"), SPAN_LIT("user1"), &rows));
	}
}

/* Rows change before, at and behind the place where a look stands: it fits. */
static void
changed_while_looked_at(void **arg)
{
	for (unsigned first = 0; first < 8; first++) {
		struct db *db;
		bool more = true;
		unsigned pieces = 0;

		(void)fresh(arg);
		db = filled();
		while (more) {
			assert_is_ok(db_sums_look(db, 0, &more));
			if (++pieces > first && pieces - first <= 8)
				do_some(db, pieces - 1);
			assert_int_equal(db_sums_unfit(db), 0);
		}
		assert_true(pieces > 16); /* rows, one a piece */
		assert_is_ok(look(db));
		assert_int_equal(db_sums_unfit(db), 0);
		assert_is_ok(db_sums_look(db, UINT64_MAX, &more));
		assert_false(more);
		db_close(db);
		assert_int_equal(unfit(), 0);
	}
}

/* Another one's change, behind our back. */
#define CHANGE_A_USER \
	"DROP TRIGGER sum_users_changed; UPDATE users SET hold = 1 - hold WHERE id = 2"

/* Ahead of the look it is found, and else by the next one. */
static void
found_while_looked_at(void **arg)
{
	const unsigned passed = 4; /* a tenant, the end of those, two users */

	for (unsigned at = 0; at <= passed; at++) {
		struct db *db;
		bool more = true;

		(void)fresh(arg);
		db = filled();
		for (unsigned i = 0; i < at; i++)
			assert_is_ok(db_sums_look(db, 0, &more));
		assert_is_ok(backend_exec(db->back, CHANGE_A_USER));
		for (; more;)
			assert_is_ok(db_sums_look(db, 0, &more));
		assert_int_equal(db_sums_unfit(db), at < passed ? PEOPLE : 0);
		assert_is_ok(look(db));
		assert_int_equal(db_sums_unfit(db), PEOPLE);
		db_close(db);
	}
}

/* What was looked at for somebody who is gone is looked at once more for the next. */
static void
begun_anew(void **arg)
{
	struct db *db = filled();
	bool more = true;

	(void)arg;
	for (int i = 0; i < 5; i++)
		assert_is_ok(db_sums_look(db, 0, &more));
	assert_true(more);
	assert_is_ok(backend_exec(db->back, CHANGE_A_USER));
	db_sums_look_anew(db);
	while (more)
		assert_is_ok(db_sums_look(db, 0, &more));
	assert_int_equal(db_sums_unfit(db), PEOPLE);
	db_close(db);
}

/* What an operator accepts meanwhile is what is there, also where the look has passed it. */
static void
accepted_while_looked_at(void **arg)
{
	struct db *db;
	bool more;

	(void)arg;
	db_close(filled());
	edit("UPDATE file_secrets SET set_s = 1");
	db = open_ok();
	for (int i = 0; i < 5; i++)
		assert_is_ok(db_sums_look(db, 0, &more));
	assert_true(more);
	assert_is_ok(backend_exec(db->back, CHANGE_A_USER));
	accept_changes(db);
	assert_is_ok(end_key(db, 0));
	assert_is_ok(look(db));
	assert_int_equal(db_sums_unfit(db), 0);
	db_close(db);
	assert_int_equal(unfit(), 0);
}

static struct {
	unsigned n, same;
	uint64_t last;
} progress;

void __wrap_daemon_progress(const char *what, uint64_t done, uint64_t total);
void
__wrap_daemon_progress(const char *what, uint64_t done, uint64_t total)
{
	(void)what, (void)total;
	progress.same += done == progress.last ? 1 : 0; /* the supervisor would not wait on */
	progress.last = done;
	progress.n++;
}

/* A start that looks at many rows says how it goes on. */
static void
long_start(void **arg)
{
	struct db *db = filled();

	(void)arg;
	db_close(db);
	edit("WITH RECURSIVE i (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM i WHERE x < 100000)"
	     " INSERT INTO keys SELECT n + x, CAST(printf('%012d', x) AS BLOB), user, key, version,"
	     " pepper, value, last_used_s FROM keys, i WHERE n = 4");
	memset(&progress, 0, sizeof(progress));
	assert_is_ok(db_open_tables(&kek, NULL, KEK_WRAPPER_LOCAL, &db));
	assert_in_range(progress.n, 0, 1);
	memset(&progress, 0, sizeof(progress));
	assert_is_ok(db_open_rest(db));
	assert_int_equal(db_sums_unfit(db), PEOPLE);
	assert_true(progress.n > 3);
	assert_int_equal(progress.same, 0);
	db_close(db);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(terms_differ, fresh),
		cmocka_unit_test_setup(rows_replaced, fresh),
		cmocka_unit_test_setup(each_cell, fresh),
		cmocka_unit_test_setup(rows_put_back, fresh),
		cmocka_unit_test_setup(rows_gone_and_added, fresh),
		cmocka_unit_test_setup(sums_put_back, fresh),
		cmocka_unit_test_setup(told_to_be_older, fresh),
		cmocka_unit_test_setup(triggers_of_the_file, fresh),
		cmocka_unit_test_setup(under_our_hands, fresh),
		cmocka_unit_test_setup(changed_while_looked_at, fresh),
		cmocka_unit_test_setup(found_while_looked_at, fresh),
		cmocka_unit_test_setup(begun_anew, fresh),
		cmocka_unit_test_setup(accepted_while_looked_at, fresh),
		cmocka_unit_test_setup(long_start, fresh),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
