/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys over keys: what is sealed opens in its own place and state under its own user only;
 * who was erased has no key and gets none; keys of a transaction that was taken back are
 * forgotten; a changed row is told as that.
 */
#include "store_world.h"

#include <key_cache.h>

static const struct place place = { "items", { SPAN_LIT("a"), SPAN_LIT("b") }, "body" };

static struct db *
with_users(unsigned n)
{
	uint8_t subject[AS_SECRET_LEN];
	struct db *db = open_ok();

	for (unsigned i = 0; i < n; i++)
		assert_is_ok(put(db, 2 * i, subject));
	return db;
}

static void
opens_in_its_place_only(void **arg)
{
	static const struct place others[] = {
		{ "item", { SPAN_LIT("sa"), SPAN_LIT("b") }, "body" },
		{ "items", { SPAN_LIT("ab"), SPAN_EMPTY }, "body" },
		{ "items", { SPAN_EMPTY, SPAN_LIT("ab") }, "body" },
		{ "items", { SPAN_LIT("a"), SPAN_LIT("bb") }, "ody" },
		{ "items", { SPAN_LIT("b"), SPAN_LIT("a") }, "body" },
	};
	auto_buf struct buf sealed = BUF_INIT(1024), plain = BUF_INIT(1024);
	struct db *db = with_users(3);
	uint64_t id, other;

	(void)arg;
	assert_is_ok(keyring_value_seal(db, 1, &place, 7, SPAN_LIT("hello"), &id, &sealed));
	db_close(db);
	db = open_ok();
	assert_is_ok(keyring_value_open(db, 1, id, &place, 7, buf_span(&sealed), &plain));
	assert_true(span_eq_str(buf_span(&plain), "hello"));
	for (size_t i = 0; i < COUNT(others); i++)
		assert_int_equal(
		    keyring_value_open(db, 1, id, &others[i], 7, buf_span(&sealed), &plain).code,
		    E_CRYPTO);
	/* Another state of the row, another user, another user's key, no such key. */
	assert_int_equal(
	    keyring_value_open(db, 1, id, &place, 6, buf_span(&sealed), &plain).code, E_CRYPTO);
	assert_int_equal(
	    keyring_value_open(db, 2, id, &place, 7, buf_span(&sealed), &plain).code, E_NOTFOUND);
	buf_clear(&plain);
	assert_is_ok(keyring_value_seal(db, 2, &place, 7, SPAN_LIT("x"), &other, &plain));
	buf_clear(&plain);
	assert_int_equal(
	    keyring_value_open(db, 2, other, &place, 7, buf_span(&sealed), &plain).code, E_CRYPTO);
	assert_int_equal(
	    keyring_value_open(db, 1, UINT64_MAX, &place, 7, buf_span(&sealed), &plain).code,
	    E_NOTFOUND);
	assert_int_equal(
	    keyring_value_open(db, -1, id, &place, 7, buf_span(&sealed), &plain).code, E_NOTFOUND);
	/* Cut at every length, and every bit of it flipped. */
	for (size_t n = 0; n < sealed.len; n++)
		assert_false(is_ok(
		    keyring_value_open(db, 1, id, &place, 7, span_of(sealed.ptr, n), &plain)));
	for (size_t bit = 0; bit < sealed.len * 8; bit++) {
		sealed.ptr[bit / 8] ^= (uint8_t)(1U << bit % 8);
		assert_false(
		    is_ok(keyring_value_open(db, 1, id, &place, 7, buf_span(&sealed), &plain)));
		sealed.ptr[bit / 8] ^= (uint8_t)(1U << bit % 8);
	}
	assert_int_equal(plain.len, 0);
	assert_int_equal(keyring_user_newest(db, 99, &(struct data_key){ 0 }).code, E_NOTFOUND);
	db_close(db);
}

/* More users than keys fit into memory: each still has its own. */
static void
more_users_than_room(void **arg)
{
	enum { USERS = 40 };
	struct key_cache *c = NULL;

	(void)arg;
	assert_int_equal(key_cache_new(0, &c).code, E_RANGE);
	assert_int_equal(key_cache_new(KEY_CACHE_MAX + 1, &c).code, E_RANGE);
	assert_is_ok(key_cache_new(8, &c));
	for (unsigned i = 1; i <= USERS; i++) {
		struct secret *k = key_cache_add(c, i, i % 3);

		for (size_t b = 0; b < k->len; b++)
			assert_int_equal(k->ptr[b], 0);
		memset(k->ptr, (int)i, k->len);
		if (i > 4)
			assert_non_null(key_cache_get(c, i - 3, (i - 3) % 3));
	}
	assert_null(key_cache_get(c, 1, 1));
	assert_null(key_cache_get(c, USERS, (USERS + 1) % 3)); /* another owner's */
	assert_int_equal(key_cache_get(c, USERS, USERS % 3)->ptr[0], USERS);
	key_cache_drop_owner(c, USERS % 3);
	assert_null(key_cache_get(c, USERS, USERS % 3));
	assert_non_null(key_cache_get(c, USERS - 1, (USERS - 1) % 3));
	key_cache_clear(c);
	assert_null(key_cache_get(c, USERS - 1, (USERS - 1) % 3));
	key_cache_free(c);
}

static void
taken_back_is_forgotten(void **arg)
{
	auto_buf struct buf sealed = BUF_INIT(1024), plain = BUF_INIT(1024);
	struct db *db = with_users(1);
	struct data_key first, again;
	uint8_t was[SEAL_KEY_LEN];
	uint64_t id;

	(void)arg;
	assert_is_ok(db_begin(db));
	assert_is_ok(keyring_user_newer(db, 1, &first));
	id = first.id;
	memcpy(was, first.key->ptr, sizeof(was));
	assert_int_equal(db_end(db, fail(E_FULL)).code, E_FULL);
	assert_int_equal(keyring_user_get(db, 1, id, &again).code, E_NOTFOUND);
	assert_is_ok(db_begin(db));
	assert_is_ok(keyring_user_newer(db, 1, &again));
	assert_int_equal(again.id, id); /* SQLite gives the same number again */
	assert_memory_not_equal(again.key->ptr, was, sizeof(was));
	assert_is_ok(db_end(db, OK));
	assert_is_ok(keyring_value_seal(db, 1, &place, 1, SPAN_LIT("x"), &id, &sealed));
	db_close(db);
	db = open_ok();
	assert_is_ok(keyring_value_open(db, 1, id, &place, 1, buf_span(&sealed), &plain));
	db_close(db);
}

/* ---- erasure ---- */

static bool
anywhere(struct span bytes)
{
	static const char *const files[] = { "store.db", "store.db-wal" };
	bool found = false;

	for (size_t i = 0; i < COUNT(files); i++) {
		auto_buf struct buf file = BUF_INIT(1U << 24);

		if (is_ok(io_read_file(AT_FDCWD, files[i], &file)) && file.len > 0)
			found |= memmem(file.ptr, file.len, bytes.ptr, bytes.len) != NULL;
	}
	return found;
}

/* The wrapped key, as it is in its row. */
static struct span
wrapped_key(struct db *db, int64_t user, uint8_t out[WRAPPED_MAX])
{
	sqlite3_stmt *st = NULL;
	int len;

	assert_int_equal(sqlite3_prepare_v2(backend_sqlite(db->back),
			     "SELECT wrapped FROM user_keys WHERE user = ?1", -1, &st, NULL),
	    SQLITE_OK);
	(void)sqlite3_bind_int64(st, 1, user);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	len = sqlite3_column_bytes(st, 0);
	assert_in_range(len, 1, WRAPPED_MAX);
	memcpy(out, sqlite3_column_blob(st, 0), (size_t)len);
	(void)sqlite3_finalize(st);
	return span_of(out, (size_t)len);
}

static void
erased_for_good(void **arg)
{
	auto_buf struct buf sealed = BUF_INIT(1024), plain = BUF_INIT(1024);
	uint8_t wrapped[WRAPPED_MAX], subject[AS_SECRET_LEN], again[AS_SECRET_LEN];
	struct db *db = with_users(2);
	struct data_key key;
	struct span blob;
	struct as_user u;
	struct as_key k;
	int64_t cursor = 0;
	uint64_t id;

	(void)arg;
	assert_is_ok(put(db, 1, subject)); /* user 1 has two API keys now */
	assert_is_ok(keyring_value_seal(db, 1, &place, 1, SPAN_LIT("x"), &id, &sealed));
	blob = wrapped_key(db, 1, wrapped);
	assert_true(anywhere(blob));
	assert_is_ok(db_key_next(db, &cursor, &k)); /* a reader that has not finished */
	assert_is_ok(keyring_user_destroy(db, 1));
	assert_false(anywhere(blob));
	for (int opened = 0; opened < 2; opened++) {
		assert_int_equal(keyring_user_get(db, 1, id, &key).code, E_NOTFOUND);
		assert_int_equal(keyring_user_newest(db, 1, &key).code, E_NOTFOUND);
		assert_int_equal(
		    keyring_value_open(db, 1, id, &place, 1, buf_span(&sealed), &plain).code,
		    E_NOTFOUND);
		/* Neither the user nor their keys are there any more; all others are. */
		cursor = 0;
		assert_is_ok(db_user_next(db, &cursor, &u));
		assert_int_equal(cursor, 2);
		assert_int_equal(db_user_next(db, &cursor, &u).code, E_NOTFOUND);
		cursor = 0;
		assert_is_ok(db_key_next(db, &cursor, &k));
		assert_true(span_eq_str(k.user, "user1"));
		assert_int_equal(db_key_next(db, &cursor, &k).code, E_NOTFOUND);
		db_close(db);
		db = open_ok();
	}
	assert_int_equal(put(db, 0, again).code, E_EXISTS); /* an id of a key never comes again */
	assert_is_ok(put(db, 5 * 26, again));               /* somebody else */
	assert_is_ok(keyring_user_destroy(db, 1));          /* again */
	assert_int_equal(keyring_user_destroy(db, 77).code, E_NOTFOUND);
	assert_int_equal(keyring_user_destroy(db, -1).code, E_NOTFOUND);
	db_close(db);
}

/* The same name once more is another person. */
static void
a_name_comes_again(void **arg)
{
	struct as_user_put m = { .tenant = SPAN_LIT("tenant0"), .user = SPAN_LIT("user0") };
	uint8_t before[AS_SECRET_LEN], after[AS_SECRET_LEN];
	struct db *db = open_ok();
	struct as_user u;
	int64_t cursor = 0;

	(void)arg;
	assert_is_ok(db_user_put(db, &m, before));
	assert_is_ok(keyring_user_destroy(db, 1));
	assert_is_ok(db_user_put(db, &m, after));
	assert_memory_not_equal(before, after, sizeof(after));
	assert_is_ok(db_user_next(db, &cursor, &u));
	assert_int_equal(cursor, 2);
	db_close(db);
}

/* ---- rows that others have changed ---- */

static void
edit(const char *text)
{
	sqlite3 *sql = NULL;
	char *why = NULL;

	assert_int_equal(sqlite3_open("store.db", &sql), SQLITE_OK);
	if (sqlite3_exec(sql, text, NULL, NULL, &why) != SQLITE_OK)
		test_fail("%s: %s", text, why);
	assert_int_equal(sqlite3_close(sql), SQLITE_OK);
}

struct seen {
	unsigned users, keys, corrupt;
};

static struct seen
load(struct db *db)
{
	struct seen s = { 0 };
	struct status st = OK;
	int64_t cursor = 0;
	struct as_user u;
	struct as_key k;

	while ((st = db_user_next(db, &cursor, &u)).code != E_NOTFOUND) {
		s.users += is_ok(st) ? 1 : 0;
		s.corrupt += st.code == E_CORRUPT ? 1 : 0;
		assert_true(is_ok(st) || st.code == E_CORRUPT);
	}
	cursor = 0;
	while ((st = db_key_next(db, &cursor, &k)).code != E_NOTFOUND) {
		s.keys += is_ok(st) ? 1 : 0;
		s.corrupt += st.code == E_CORRUPT ? 1 : 0;
		assert_true(is_ok(st) || st.code == E_CORRUPT);
	}
	return s;
}

/* Of three users with a key each, in one tenant but for the last. */
static void
hostile_edits(void **arg)
{
	static const struct {
		const char *sql;
		unsigned users, keys;
	} edits[] = {
		{ "SELECT 1", 3, 3 },
		/* more rights than were given */
		{ "UPDATE users SET roles = 31 WHERE id = 1", 2, 2 },
		{ "UPDATE users SET hold = 1 WHERE id = 1", 2, 2 },
		{ "UPDATE users SET state = 1 WHERE id = 1", 2, 2 },
		/* swapped */
		{ "UPDATE users SET value = (SELECT value FROM users WHERE id = 2) WHERE id = 1", 2,
		    2 },
		{ "UPDATE users SET value = (SELECT value FROM users WHERE id = 2),"
		  " key = (SELECT key FROM users WHERE id = 2) WHERE id = 1",
		    2, 2 },
		{ "UPDATE user_keys SET wrapped = (SELECT wrapped FROM user_keys WHERE user = 2)"
		  " WHERE user = 1",
		    2, 2 },
		{ "UPDATE user_keys SET user = user + 10 WHERE user < 3;"
		  "UPDATE user_keys SET user = 13 - user WHERE user > 10",
		    1, 1 },
		{ "UPDATE keys SET user = 2 WHERE n = 1", 3, 2 },
		{ "UPDATE keys SET value = (SELECT value FROM keys WHERE n = 2) WHERE n = 1", 3,
		    2 },
		{ "UPDATE keys SET id = CAST('0aaaaaaaaaab' AS BLOB) WHERE n = 1", 3, 2 },
		{ "UPDATE users SET tenant = 2 WHERE id = 1", 2, 2 },
		{ "UPDATE tenant_keys SET wrapped = (SELECT wrapped FROM tenant_keys"
		  " WHERE tenant = 2) WHERE tenant = 1",
		    1, 1 },
		{ "UPDATE tenants SET name = (SELECT name FROM tenants WHERE id = 2) WHERE id = 1",
		    1, 1 },
		/* another state, or cut */
		{ "UPDATE keys SET version = version + 1 WHERE n = 1", 3, 2 },
		{ "UPDATE users SET version = 0 WHERE id = 1", 2, 2 },
		{ "UPDATE users SET value = x'' WHERE id = 1", 2, 2 },
		{ "UPDATE keys SET value = substr(value, 1, 90) WHERE n = 1", 3, 2 },
		{ "UPDATE keys SET pepper = 2 WHERE n = 1", 3, 2 },
	};

	(void)arg;
	for (size_t i = 0; i < COUNT(edits); i++) {
		struct seen s;
		struct db *db;

		dir_clear();
		db = with_users(3);
		db_close(db);
		edit(edits[i].sql);
		db = open_ok();
		s = load(db);
		if (s.users != edits[i].users || s.keys != edits[i].keys)
			test_fail("%s: %u users, %u keys", edits[i].sql, s.users, s.keys);
		db_close(db);
	}
}

/* The value that a revoked key had before; and the key of a day under another day's name. */
static void
older_values(void **arg)
{
	struct db *db = with_users(1);
	uint8_t key[AS_SECRET_LEN], day[AS_DAY_LEN];
	struct seen s;

	(void)arg;
	db_day_of(NOW, day);
	assert_is_ok(db_day_key(db, span_of(day, AS_DAY_LEN), NOW, key));
	db_close(db);
	edit("CREATE TABLE was AS SELECT * FROM keys;");
	db = open_ok();
	assert_is_ok(db_key_revoke(db, (const uint8_t *)"0aaaaaaaaaaa", 5));
	s = load(db);
	assert_int_equal(s.keys, 1);
	db_close(db);
	edit("UPDATE keys SET value = (SELECT value FROM was); DROP TABLE was;"
	     "UPDATE secrets SET name = 'day:2024-10-03' WHERE name GLOB 'day:*';");
	db = open_ok();
	s = load(db);
	assert_true(s.keys == 0 && s.corrupt == 1);
	assert_int_equal(db_key_revoke(db, (const uint8_t *)"0aaaaaaaaaaa", 6).code, E_CRYPTO);
	assert_int_equal(db_day_key(db, SPAN_LIT("2024-10-03"), NOW, key).code, E_CRYPTO);
	db_close(db);
}

/* ---- one bit of every field ---- */

#define RECORDS_MAX 16
struct shown {
	unsigned n;
	char records[RECORDS_MAX][400];
};

static void
show_all(struct db *db, struct shown *out)
{
	uint8_t pepper[AS_SECRET_LEN];
	struct status st;
	int64_t cursor = 0;
	struct as_user u;
	struct as_key k;

	out->n = 0;
	while ((st = db_user_next(db, &cursor, &u)).code == E_CORRUPT || is_ok(st)) {
		if (is_ok(st) && out->n < RECORDS_MAX)
			(void)snprintf(out->records[out->n++], 400, "%.*s/%.*s %d %d %d %02x",
			    SPAN_FMT(u.tenant), SPAN_FMT(u.user), u.roles, u.state, u.hold,
			    u.subject_key[0]);
	}
	cursor = 0;
	while ((st = db_key_next(db, &cursor, &k)).code == E_CORRUPT || is_ok(st)) {
		if (is_ok(st) && out->n < RECORDS_MAX)
			(void)snprintf(out->records[out->n++], 400,
			    "%.12s %.*s/%.*s %.*s %llu %llu %llu %02x %.*s %.12s", k.id,
			    SPAN_FMT(k.tenant), SPAN_FMT(k.user), SPAN_FMT(k.policy),
			    (unsigned long long)k.created_s, (unsigned long long)k.expires_s,
			    (unsigned long long)k.revoked_s, k.hash[0], SPAN_FMT(k.scopes),
			    k.replaces);
	}
	if (is_ok(db_tenant_key(db, pepper)) && out->n < RECORDS_MAX)
		(void)snprintf(
		    out->records[out->n++], 400, "pepper %02x%02x", pepper[0], pepper[31]);
}

static void
assert_subset(const struct shown *of, const struct shown *s, const char *what)
{
	for (unsigned i = 0; i < s->n; i++) {
		bool known = false;

		for (unsigned j = 0; j < of->n; j++)
			known |= strcmp(s->records[i], of->records[j]) == 0;
		if (!known)
			test_fail("%s: %s", what, s->records[i]);
	}
}

static void
flip_blob(sqlite3_context *ctx, int n, sqlite3_value **args)
{
	int len = sqlite3_value_bytes(args[0]), at = sqlite3_value_int(args[1]);
	uint8_t copy[1024];

	(void)n;
	if (len > 0 && len <= (int)sizeof(copy)) {
		memcpy(copy, sqlite3_value_blob(args[0]), (size_t)len);
		copy[at % len] ^= (uint8_t)(1U << at % 8);
	}
	sqlite3_result_blob(ctx, copy, len, SQLITE_TRANSIENT);
}

/* A blob with one bit of byte `at` flipped; a number with a low or a high one. */
static void
flip(const char *table, const char *column, int64_t at)
{
	sqlite3 *sql = NULL;
	char text[256];

	(void)snprintf(text, sizeof(text),
	    "UPDATE %s SET %s = CASE typeof(%s) WHEN 'integer' THEN"
	    " (%s | %lld) - (%s & %lld) ELSE CAST(flip(%s, %lld) AS BLOB) END"
	    " WHERE rowid = (SELECT min(rowid) FROM %s)",
	    table, column, column, column, at == 0 ? 1LL : 1LL << 20, column,
	    at == 0 ? 1LL : 1LL << 20, column, (long long)at, table);
	assert_int_equal(sqlite3_open("store.db", &sql), SQLITE_OK);
	assert_int_equal(
	    sqlite3_create_function(sql, "flip", 2, SQLITE_UTF8, NULL, flip_blob, NULL, NULL),
	    SQLITE_OK);
	(void)sqlite3_exec(sql, text, NULL, NULL, NULL); /* a rule of the table may refuse it */
	assert_int_equal(sqlite3_close(sql), SQLITE_OK);
}

/* Whatever field is changed, nothing comes out that was not put in. */
static void
every_field(void **arg)
{
	static const struct {
		const char *table, *columns[10];
	} tables[] = {
		{ "keks", { "version", "wrapped" } },
		{ "secrets", { "kek", "value" } },
		{ "tenants", { "id", "name_hash", "key", "name" } },
		{ "tenant_keys", { "id", "tenant", "version", "kek", "wrapped" } },
		{ "users", { "id", "tenant", "name_hash", "key", "version", "value", "roles",
			       "state", "hold" } },
		{ "user_keys", { "id", "user", "version", "tenant_key", "wrapped" } },
		{ "keys", { "n", "id", "user", "key", "version", "pepper", "value" } },
	};
	auto_buf struct buf file = BUF_INIT(1U << 24);
	struct db *db = with_users(3);
	struct shown was, is;
	unsigned refused = 0;

	(void)arg;
	show_all(db, &was);
	assert_int_equal(was.n, 7);
	db_close(db);
	assert_is_ok(io_read_file(AT_FDCWD, "store.db", &file));
	for (size_t t = 0; t < COUNT(tables); t++) {
		for (size_t c = 0; c < 10 && tables[t].columns[c] != NULL; c++) {
			for (int64_t at = 0; at < 150; at += 7) {
				dir_clear();
				assert_is_ok(
				    io_replace_file(here, "store.db", buf_span(&file), 0600));
				flip(tables[t].table, tables[t].columns[c], at);
				db = NULL;
				if (!is_ok(db_open(&kek, NULL, &db))) {
					refused++;
					continue;
				}
				show_all(db, &is);
				assert_subset(&was, &is, tables[t].columns[c]);
				refused += is.n < was.n ? 1 : 0;
				db_close(db);
			}
		}
	}
	assert_true(refused > 200);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(opens_in_its_place_only, fresh),
		cmocka_unit_test_setup(more_users_than_room, fresh),
		cmocka_unit_test_setup(taken_back_is_forgotten, fresh),
		cmocka_unit_test_setup(erased_for_good, fresh),
		cmocka_unit_test_setup(a_name_comes_again, fresh),
		cmocka_unit_test_setup(hostile_edits, fresh),
		cmocka_unit_test_setup(older_values, fresh),
		cmocka_unit_test_setup(every_field, fresh),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
