/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions and versions of keys in the store: what has ended does not come back, whatever comes
 * between; a key stays as long as a session needs it.
 */
#include "store_world.h"

#include <privacy.h>
#include <rotate.h>

static struct db *
with_keys(void)
{
	uint8_t subject[AS_SECRET_LEN];
	struct db *db = open_ok();

	for (unsigned n = 0; n < 4; n++)
		assert_is_ok(put(db, n, subject));
	return db;
}

/* Session number n, of key n / 2. */
static struct as_session
session_of(unsigned n)
{
	struct as_session s = { .created_s = NOW,
		.expires_s = NOW + 100 + n,
		.signer = 1,
		.has_roles = n & 1,
		.roles = ROLE_USER,
		.scope = SPAN_LIT("{\"models\":[\"alpha\"]}") };
	char names[3][24];
	const struct as_key k = key_of(n / 2, names);

	memset(s.id, 1 + (int)n, sizeof(s.id));
	memset(s.digest, 101 + (int)n, sizeof(s.digest));
	memcpy(s.key, k.id, sizeof(s.key));
	return s;
}

static struct status
put_session(struct db *db, unsigned n)
{
	const struct as_session s = session_of(n);

	return db_session_put(db, &s, NOW);
}

/* Which there are: a bit each. Those that are must be whole. */
static uint64_t
there(struct db *db)
{
	struct as_session s;
	int64_t cursor = 0;
	uint64_t bits = 0;
	struct status st;

	while ((st = db_session_next(db, &cursor, &s)).code != E_NOTFOUND) {
		struct as_session want;

		if (st.code == E_CORRUPT)
			continue;
		assert_is_ok(st);
		want = session_of(s.id[0] - 1U);
		assert_memory_equal(s.digest, want.digest, sizeof(s.digest));
		assert_memory_equal(s.key, want.key, sizeof(s.key));
		assert_true(span_eq(s.scope, want.scope));
		assert_true(s.expires_s == want.expires_s && s.created_s == want.created_s &&
			    s.has_roles == want.has_roles && s.roles == want.roles);
		bits |= 1ULL << (s.id[0] - 1U);
	}
	return bits;
}

static struct db *
again(struct db *db)
{
	db_close(db);
	return open_ok();
}

static void
edit(const char *text)
{
	sqlite3 *sql = NULL;

	assert_int_equal(sqlite3_open("store.db", &sql), SQLITE_OK);
	assert_int_equal(sqlite3_exec(sql, text, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(sql), SQLITE_OK);
}

static void
they_are_kept_and_end(void **arg)
{
	struct db *db = with_keys();
	struct as_session s = session_of(3);

	(void)arg;
	for (unsigned n = 0; n < 3; n++)
		assert_is_ok(put_session(db, n));
	assert_int_equal(put_session(db, 0).code, E_EXISTS);
	db = again(db);
	assert_int_equal(there(db), 7);
	assert_is_ok(db_session_end(db, session_of(1).id));
	assert_int_equal(db_session_end(db, session_of(1).id).code, E_NOTFOUND);
	db = again(db);
	assert_int_equal(there(db), 5);
	/* One that makes room for another goes with the same commit. */
	memcpy(s.ends, session_of(0).id, sizeof(s.ends));
	assert_is_ok(db_session_put(db, &s, NOW));
	assert_int_equal(there(db), 12);
	/* What has run out goes with the next one, and with a sweep. */
	s = session_of(5);
	assert_is_ok(db_session_put(db, &s, session_of(2).expires_s));
	assert_int_equal(there(db), 40);
	bool more = true;
	assert_is_ok(db_sweep(db, NOW + 1000, &more));
	assert_int_equal(there(db), 0);
	s.key[0] ^= 1;
	assert_int_equal(db_session_put(db, &s, NOW).code, E_NOTFOUND);
	s.expires_s = UINT64_MAX;
	assert_int_equal(db_session_put(db, &s, NOW).code, E_RANGE);
	db_close(db);
}

/* With their key, with their user's access, with their user. */
static void
they_end_with_what_they_are_of(void **arg)
{
	struct db *db = with_keys();
	struct as_user_put u = { .tenant = SPAN_LIT("tenant0"),
		.user = SPAN_LIT("user1"),
		.roles = ROLE_USER,
		.state = USER_DISABLED };
	uint8_t subject[AS_SECRET_LEN];
	uint64_t rows = 0;

	(void)arg;
	for (unsigned n = 0; n < 8; n++)
		assert_is_ok(put_session(db, n));
	assert_is_ok(db_key_revoke(db, session_of(0).key, NOW));
	assert_int_equal(there(db), 0xfc);
	assert_is_ok(db_user_put(db, &u, subject)); /* keys 2 and 3 */
	assert_int_equal(there(db), 0x0c);
	assert_int_equal(put_session(db, 4).code, E_DENIED);
	u.state = USER_ACTIVE;
	assert_is_ok(db_user_put(db, &u, subject));
	db = again(db);
	assert_int_equal(there(db), 0x0c);
	assert_is_ok(put_session(db, 4));
	assert_is_ok(erase_all(db, SPAN_LIT("tenant0"), SPAN_LIT("user0"), &rows));
	db = again(db);
	assert_int_equal(there(db), 0x10);
	db_close(db);
}

/* Each column, changed or of another row, is a session that is left out. */
static void
a_changed_row_is_left_out(void **arg)
{
	static const char *const edits[] = {
		"UPDATE sessions SET id = x'03030303030303030303030303030303' WHERE n = 1",
		"UPDATE sessions SET user = 2 WHERE n = 1",
		"UPDATE sessions SET parent = 2 WHERE n = 1",
		"UPDATE sessions SET signer = 2 WHERE n = 1",
		"UPDATE sessions SET expires_s = expires_s + 1000000 WHERE n = 1",
		"UPDATE sessions SET key = 2 WHERE n = 1",
		"UPDATE sessions SET value = (SELECT value FROM sessions WHERE n = 2) WHERE n = 1",
		"UPDATE sessions SET value = substr(value, 1, length(value) - 1) WHERE n = 1",
		"UPDATE sessions SET value = x'' WHERE n = 1",
	};

	for (size_t i = 0; i < COUNT(edits); i++) {
		struct db *db;

		(void)fresh(arg);
		db = with_keys();
		assert_is_ok(put_session(db, 0));
		assert_is_ok(put_session(db, 1));
		assert_int_equal(there(db), 3);
		db_close(db);
		edit(edits[i]);
		db = open_ok();
		if (there(db) != 2)
			test_fail("%s: %llx", edits[i], (unsigned long long)there(db));
		db_close(db);
	}
}

static void
they_are_carried_over_with_data_keys(void **arg)
{
	struct db *db = with_keys();
	struct as_kek s;
	bool more = true;

	(void)arg;
	for (unsigned n = 0; n < 6; n++)
		assert_is_ok(put_session(db, n));
	assert_is_ok(db_rotate(db, AS_ROTATE_DATA, NOW));
	while (more) {
		assert_is_ok(db_rotate_step(db, NOW, 0, &more));
		assert_int_equal(there(db), 0x3f);
	}
	assert_is_ok(db_rotate_status(db, &s));
	assert_int_equal(s.data_left + s.unopened, 0);
	db = again(db);
	assert_int_equal(there(db), 0x3f);
	db_close(db);
}

/* ---- keys that have versions ---- */

static struct as_keyset
keyset(struct db *db)
{
	struct as_keyset s = { 0 };

	assert_is_ok(db_keyset_status(db, KEYSET_SESSION, &s));
	return s;
}

static unsigned
keys_listed(
    struct db *db, enum as_keysets what, uint8_t keys[DB_KEYSET_VERSIONS_MAX][AS_SECRET_LEN])
{
	struct db_keyset_cursor c = { 0 };
	struct as_keyset_key k;
	unsigned n = 0;

	while (is_ok(db_keyset_next(db, &c, &k))) {
		if (k.what == what)
			memcpy(keys[n++], k.key, AS_SECRET_LEN);
	}
	return n;
}

/* A version's sealed key, as it lies in the database. */
static void
sealed_of(struct db *db, const char *name, struct buf *out)
{
	sqlite3_stmt *st = NULL;

	assert_int_equal(sqlite3_prepare_v2(backend_sqlite(db->back),
			     "SELECT value FROM secrets WHERE name = ?1", -1, &st, NULL),
	    SQLITE_OK);
	(void)sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	assert_is_ok(buf_put(out, sqlite3_column_blob(st, 0), (size_t)sqlite3_column_bytes(st, 0)));
	(void)sqlite3_finalize(st);
}

/* Once what is owed is done, it is in no file any more. */
static void
assert_nowhere(struct db *db, struct span sealed)
{
	static const char *const files[] = { "store.db", "store.db-wal" };

	assert_true(db->settle_owed);
	assert_is_ok(db_settle_owed(db));
	for (size_t i = 0; i < COUNT(files); i++) {
		auto_buf struct buf file = BUF_INIT(1U << 24);

		assert_is_ok(io_read_file(AT_FDCWD, files[i], &file));
		assert_null(
		    file.len > 0 ? memmem(file.ptr, file.len, sealed.ptr, sealed.len) : NULL);
	}
}

static void
an_old_key_stays_for_its_last_session(void **arg)
{
	auto_buf struct buf sealed = BUF_INIT(1024);
	uint8_t before[DB_KEYSET_VERSIONS_MAX][AS_SECRET_LEN],
	    after[DB_KEYSET_VERSIONS_MAX][AS_SECRET_LEN], newest[AS_SECRET_LEN];
	struct db *db = with_keys();
	struct as_session s = session_of(1);
	bool more;

	(void)arg;
	assert_int_equal(keyset(db).version, 1);
	assert_true(keyset(db).created_s > 0);
	assert_is_ok(put_session(db, 0));
	assert_is_ok(db_keyset_rotate(db, KEYSET_SESSION, NOW + 5));
	assert_true(keyset(db).version == 2 && keyset(db).versions == 2);
	assert_true(keyset(db).left == 1 && keyset(db).created_s == NOW + 5);
	assert_int_equal(keys_listed(db, KEYSET_SESSION, before), 2);
	assert_memory_not_equal(before[0], before[1], AS_SECRET_LEN);
	assert_is_ok(db_keyset_newest(db, KEYSET_SESSION, newest));
	assert_memory_equal(before[1], newest, AS_SECRET_LEN);
	memset(newest, 0, sizeof(newest)); /* what shows the state does not show the key */
	assert_memory_equal(newest, keyset(db).key, AS_SECRET_LEN);
	assert_int_equal(db_keyset_newest(db, KEYSET_COUNT, newest).code, E_RANGE);
	s.signer = 2;
	assert_is_ok(db_session_put(db, &s, NOW));
	/* It goes on where it was cut off, and under another key-encryption key. */
	assert_is_ok(db_rotate(db, AS_ROTATE_KEK, NOW));
	for (more = true; more;)
		assert_is_ok(db_rotate_step(db, NOW, 0, &more));
	db = again(db);
	assert_int_equal(keys_listed(db, KEYSET_SESSION, after), 2);
	assert_memory_equal(before[0], after[0], AS_SECRET_LEN);
	assert_memory_equal(before[1], after[1], AS_SECRET_LEN);
	assert_is_ok(db_sweep(db, session_of(0).expires_s - 1, &more));
	assert_int_equal(keyset(db).versions, 2);
	sealed_of(db, "session-key:1", &sealed);
	assert_is_ok(db_settle_owed(db));
	assert_false(db->settle_owed);
	assert_is_ok(db_sweep(db, session_of(0).expires_s, &more));
	assert_nowhere(db, buf_span(&sealed));
	assert_true(keyset(db).versions == 1 && keyset(db).version == 2 && keyset(db).left == 0);
	assert_is_ok(db_sweep(db, NOW + 1000, &more));
	assert_int_equal(keyset(db).version, 2); /* the newest stays, needed or not */
	db = again(db);
	assert_int_equal(keys_listed(db, KEYSET_SESSION, after), 1);
	assert_memory_equal(before[1], after[0], AS_SECRET_LEN);
	db_close(db);
}

static void
versions_are_bounded_and_count_on(void **arg)
{
	struct db *db = with_keys();

	(void)arg;
	for (unsigned n = 1; n < DB_KEYSET_VERSIONS_MAX; n++) {
		struct as_session s = session_of(n % 8);

		s.id[0] = (uint8_t)(100 + n);
		s.signer = n;
		assert_is_ok(db_session_put(db, &s, NOW));
		assert_is_ok(db_keyset_rotate(db, KEYSET_SESSION, NOW + n));
	}
	assert_int_equal(db_keyset_rotate(db, KEYSET_SESSION, NOW + 99).code, E_FULL);
	assert_int_equal(keyset(db).versions, DB_KEYSET_VERSIONS_MAX);
	/* All have ended: the next rotation makes room itself. */
	assert_is_ok(db_keyset_rotate(db, KEYSET_SESSION, NOW + 1000));
	assert_int_equal(keyset(db).version, DB_KEYSET_VERSIONS_MAX + 1);
	assert_int_equal(keyset(db).versions, 2);
	assert_int_equal(db_keyset_rotate(db, KEYSET_NONE, NOW).code, E_RANGE);
	assert_int_equal(db_keyset_rotate(db, KEYSET_COUNT, NOW).code, E_RANGE);
	db_close(db);
}

/* A key that was changed, or is another version's, is not used. */
static void
a_changed_key_does_not_open(void **arg)
{
	struct db *db = with_keys();
	struct db_keyset_cursor c = { 0 };
	struct as_keyset_key k;

	(void)arg;
	assert_is_ok(put_session(db, 0));
	assert_is_ok(db_keyset_rotate(db, KEYSET_SESSION, NOW));
	db_close(db);
	edit("UPDATE secrets SET value = (SELECT value FROM secrets WHERE name = 'session-key:2')"
	     " WHERE name = 'session-key:1'");
	db = open_ok();
	assert_int_equal(db_keyset_next(db, &c, &k).code, E_CORRUPT);
	db_close(db);
}

/* ---- the pepper: keys carry the version of their hash ---- */

static uint32_t
pepper_of(struct db *db, unsigned n, uint8_t hash[DIGEST_LEN])
{
	char names[3][24];
	const struct as_key want = key_of(n, names);
	int64_t cursor = 0;
	struct as_key k;

	while (is_ok(db_key_next(db, &cursor, &k))) {
		if (memcmp(k.id, want.id, KEY_ID_LEN) == 0) {
			memcpy(hash, k.hash, DIGEST_LEN);
			return k.pepper;
		}
	}
	return UINT32_MAX;
}

static struct status
rehash(struct db *db, unsigned n, uint32_t pepper)
{
	char names[3][24];
	const struct as_key k = key_of(n, names);
	struct as_key_hash h = { .pepper = pepper };
	const struct as_key_rehash m = { .keys = { &h, 1 } };

	memcpy(h.id, k.id, KEY_ID_LEN);
	memset(h.hash, 200 + (int)n, DIGEST_LEN);
	return db_keys_rehash(db, &m);
}

static void
a_pepper_goes_with_its_last_key(void **arg)
{
	struct db *db = with_keys();
	uint8_t hash[DIGEST_LEN], want[DIGEST_LEN], subject[AS_SECRET_LEN];
	auto_buf struct buf sealed = BUF_INIT(1024);
	struct as_keyset s = { 0 };
	char names[3][24];
	struct as_key k = key_of(9, names);

	(void)arg;
	sealed_of(db, "pepper:1", &sealed);
	assert_is_ok(db_settle_owed(db));
	assert_is_ok(db_keyset_rotate(db, KEYSET_PEPPER, NOW));
	assert_is_ok(db_keyset_status(db, KEYSET_PEPPER, &s));
	assert_true(s.version == 2 && s.versions == 2 && s.left == 4);
	/* Of another version than the newest, or unknown: nothing is changed. */
	assert_is_ok(rehash(db, 0, 1));
	assert_is_ok(rehash(db, 0, 3));
	assert_is_ok(rehash(db, 20, 2));
	assert_int_equal(pepper_of(db, 0, hash), 1);
	for (unsigned n = 0; n < 3; n++)
		assert_is_ok(rehash(db, n, 2));
	memset(want, 200, sizeof(want));
	db = again(db);
	assert_int_equal(pepper_of(db, 0, hash), 2);
	assert_memory_equal(hash, want, sizeof(want));
	assert_is_ok(db_keyset_status(db, KEYSET_PEPPER, &s));
	assert_true(s.versions == 2 && s.left == 1);
	k.pepper = 1; /* made by who does not know of the newest yet */
	assert_is_ok(db_key_put(db, &k, subject));
	assert_is_ok(rehash(db, 3, 2));
	assert_is_ok(db_keyset_status(db, KEYSET_PEPPER, &s));
	assert_true(s.versions == 2 && s.left == 1);
	/* Whoever holds a valid key keeps it, whatever the authority thinks. */
	assert_is_ok(rehash(db, 9, 0));
	assert_int_equal(pepper_of(db, 9, hash), 1);
	assert_memory_equal(hash, k.hash, sizeof(hash));
	/* A hash of no text needs none, and stays so. */
	assert_is_ok(db_key_revoke(db, k.id, NOW));
	assert_is_ok(rehash(db, 9, 0));
	assert_is_ok(rehash(db, 9, 2));
	assert_int_equal(pepper_of(db, 9, hash), 0);
	assert_is_ok(db_keyset_status(db, KEYSET_PEPPER, &s));
	assert_true(s.versions == 1 && s.left == 0 && s.version == 2);
	k = key_of(10, names);
	assert_int_equal(db_key_put(db, &k, subject).code, E_AGAIN);
	k.pepper = 2;
	assert_is_ok(db_key_put(db, &k, subject));
	assert_nowhere(db, buf_span(&sealed));
	db_close(db);
}

/* ---- from the version before, and killed in the middle ---- */

static void
from_version_6(void **arg)
{
	uint8_t peppers[DB_KEYSET_VERSIONS_MAX][AS_SECRET_LEN], tenants[AS_SECRET_LEN];
	struct db *db = with_keys();
	uint64_t revoked = 0;

	(void)arg;
	/* Made with versions, the two are not the same. */
	assert_is_ok(db_tenant_key(db, tenants));
	assert_int_equal(keys_listed(db, KEYSET_PEPPER, peppers), 1);
	assert_memory_not_equal(peppers[0], tenants, AS_SECRET_LEN);
	db_close(db);
	edit("DROP TABLE sessions; DROP TABLE keysets; DROP INDEX keys_of_pepper;"
	     "ALTER TABLE rotations DROP COLUMN unopened;"
	     "ALTER TABLE keks DROP COLUMN wrapper;"
	     "DELETE FROM secrets WHERE name GLOB 'session-key:*' OR name GLOB 'pepper:*'"
	     " OR name GLOB 'sum*' OR name = 'generation';"
	     "UPDATE schema_version SET version = 6;");
	db = open_ok();
	assert_int_equal(count_keys(db, &revoked), 4);
	assert_is_ok(put_session(db, 0));
	assert_true(keyset(db).version == 1 && keyset(db).created_s > 1700000000);
	/* Keys stay valid: they are hashed under what was the pepper then. */
	assert_is_ok(db_tenant_key(db, tenants));
	assert_int_equal(keys_listed(db, KEYSET_PEPPER, peppers), 1);
	assert_memory_equal(peppers[0], tenants, AS_SECRET_LEN);
	db = again(db);
	assert_int_equal(there(db), 1);
	db_close(db);
}

/* Put, rotate and end, killed at call `at`. False: it came to its end before. */
static bool
killed(unsigned at, enum crash_mode mode)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct db *db = NULL;

		kek_child();
		crash.calls = 0;
		crash.at = at;
		crash.mode = mode;
		if (!is_ok(db_open(&kek, NULL, &db)) || !is_ok(put_session(db, 1)) ||
		    !is_ok(db_keyset_rotate(db, KEYSET_SESSION, NOW)) ||
		    !is_ok(db_session_end(db, session_of(0).id)))
			_exit(8);
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

		for (at = 1; died; at++) {
			uint8_t keys[DB_KEYSET_VERSIONS_MAX][AS_SECRET_LEN];
			struct db *db;
			uint64_t bits;

			(void)fresh(arg);
			db = with_keys();
			assert_is_ok(put_session(db, 0));
			db_close(db);
			died = killed(at, (enum crash_mode)mode);
			db = open_ok();
			bits = there(db);
			assert_int_equal(
			    keys_listed(db, KEYSET_SESSION, keys), keyset(db).versions);
			/* One after the other: what was answered is there. */
			assert_true(bits == 1 || bits == 3 || bits == 2);
			assert_true(bits != 1 || keyset(db).version == 1);
			assert_true(bits != 2 || keyset(db).version == 2);
			assert_true(died || bits == 2);
			db_close(db);
		}
		assert_true(at > 8);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(they_are_kept_and_end, fresh),
		cmocka_unit_test_setup(they_end_with_what_they_are_of, fresh),
		cmocka_unit_test_setup(a_changed_row_is_left_out, fresh),
		cmocka_unit_test_setup(they_are_carried_over_with_data_keys, fresh),
		cmocka_unit_test_setup(an_old_key_stays_for_its_last_session, fresh),
		cmocka_unit_test_setup(versions_are_bounded_and_count_on, fresh),
		cmocka_unit_test_setup(a_changed_key_does_not_open, fresh),
		cmocka_unit_test_setup(a_pepper_goes_with_its_last_key, fresh),
		cmocka_unit_test_setup(from_version_6, fresh),
		cmocka_unit_test_setup(killed_at_every_call, fresh),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
