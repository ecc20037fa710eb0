/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The database: what goes in comes out, sealed at rest, bound to its place; the
 * wrong master key, a full disk, damage and a hostile first-key file are told as
 * what they are; and killed at every call that changes a file, it loses nothing
 * that was done.
 */
#include "unit.h"

#include <dirent.h>
#include <sys/wait.h>

#include <base/cleanup.h>
#include <base/io.h>
#include <crypto/crypto.h>
#include <keytext/keytext.h>

#include "crashpoint.h"
#include <internal.h>
#include <first_key.h>

#define DAY_S 86400ULL
#define NOW (20000 * DAY_S + 5)

#define test_fail(...) (print_error(__VA_ARGS__), print_error("\n"), _fail(__FILE__, __LINE__))

static char path[64];
static struct secret kek;
static int here = -1; /* the current directory */

static void
assert_is_ok(struct status st)
{
	if (!is_ok(st))
		test_fail("%s", status_text(st));
}

static void
dir_clear(void)
{
	DIR *dir = opendir(".");

	for (struct dirent *e; (e = readdir(dir)) != NULL;) {
		if (e->d_name[0] != '.')
			(void)unlinkat(AT_FDCWD, e->d_name, 0);
	}
	(void)closedir(dir);
}

static int
setup(void **arg)
{
	(void)arg;
	assert_is_ok(crypto_init());
	(void)snprintf(path, sizeof(path), "%s/sallyport-unit-XXXXXX",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(path));
	assert_int_equal(chdir(path), 0);
	here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_is_ok(secret_random(32, &kek));
	return 0;
}

static int
teardown(void **arg)
{
	(void)arg;
	dir_clear();
	(void)close(here);
	assert_int_equal(chdir("/"), 0);
	(void)rmdir(path);
	secret_done(&kek);
	return 0;
}

static int
fresh(void **arg)
{
	(void)arg;
	crash.fail_errno = 0;
	dir_clear();
	return 0;
}

static struct db *
open_ok(void)
{
	struct db *db = NULL;

	assert_is_ok(db_open(&kek, NULL, &db));
	return db;
}

/* Key number n of user n / 2 of tenant n / 4. */
static struct as_key
key_of(unsigned n, char names[3][24])
{
	struct as_key k = { .created_s = NOW + n, .expires_s = n, .revoked_s = 0 };

	(void)snprintf(names[0], 24, "tenant%u", n / 4);
	(void)snprintf(names[1], 24, "user%u", n / 2);
	(void)snprintf(names[2], 24, "policy%u", n % 3);
	memset(k.id, 'a' + (int)(n % 26), sizeof(k.id));
	k.id[0] = (uint8_t)('0' + n / 26);
	memset(k.hash, (int)n, sizeof(k.hash));
	k.tenant = span_str(names[0]);
	k.user = span_str(names[1]);
	k.policy = span_str(names[2]);
	return k;
}

static struct status
put(struct db *db, unsigned n, uint8_t subject_key[AS_SECRET_LEN])
{
	char names[3][24];
	struct as_key k = key_of(n, names);

	return db_key_put(db, &k, subject_key);
}

static unsigned
count_keys(struct db *db, uint64_t *ret_revoked)
{
	int64_t cursor = 0;
	struct as_key k;
	unsigned n = 0;

	while (is_ok(db_key_next(db, &cursor, &k))) {
		char names[3][24];
		struct as_key want = key_of(n, names);

		assert_memory_equal(k.id, want.id, sizeof(k.id));
		assert_memory_equal(k.hash, want.hash, sizeof(k.hash));
		assert_true(span_eq(k.tenant, want.tenant) && span_eq(k.user, want.user) &&
			    span_eq(k.policy, want.policy));
		assert_int_equal(k.created_s, want.created_s);
		assert_int_equal(k.expires_s, want.expires_s);
		*ret_revoked += k.revoked_s != 0 ? 1 : 0;
		n++;
	}
	return n;
}

static void
round_trip(void **arg)
{
	uint8_t subject[8][AS_SECRET_LEN], pepper[AS_SECRET_LEN], again[AS_SECRET_LEN];
	uint64_t revoked = 0;
	struct as_user u;
	int64_t cursor = 0;
	struct db *db = open_ok();

	(void)arg;
	assert_is_ok(db_pepper(db, pepper));
	for (unsigned n = 0; n < 8; n++)
		assert_is_ok(put(db, n, subject[n]));
	assert_memory_equal(subject[0], subject[1], AS_SECRET_LEN);
	assert_memory_not_equal(subject[0], subject[2], AS_SECRET_LEN);
	assert_int_equal(put(db, 3, again).code, E_EXISTS);
	assert_is_ok(db_key_revoke(db, (const uint8_t *)"0bbbbbbbbbbb", 77));
	assert_is_ok(db_key_revoke(db, (const uint8_t *)"0bbbbbbbbbbb", 99));
	assert_int_equal(db_key_revoke(db, (const uint8_t *)"xbbbbbbbbbbb", 77).code, E_NOTFOUND);
	db_close(db);
	db = open_ok();
	assert_is_ok(db_pepper(db, again));
	assert_memory_equal(pepper, again, AS_SECRET_LEN);
	assert_int_equal(count_keys(db, &revoked), 8);
	assert_int_equal(revoked, 1);
	for (unsigned n = 0; n < 4; n++) {
		assert_is_ok(db_user_next(db, &cursor, &u));
		assert_memory_equal(u.subject_key, subject[2 * n], AS_SECRET_LEN);
	}
	assert_int_equal(db_user_next(db, &cursor, &u).code, E_NOTFOUND);
	db_close(db);
}

static void
bad_rows_refused(void **arg)
{
	uint8_t subject[AS_SECRET_LEN];
	char names[3][24];
	struct as_key k = key_of(1, names);
	struct db *db = open_ok();
	uint64_t revoked = 0;

	(void)arg;
	k.tenant = span_of("a\0b", 3);
	assert_int_equal(db_key_put(db, &k, subject).code, E_SYNTAX);
	k = key_of(1, names);
	k.user = SPAN_EMPTY;
	assert_int_equal(db_key_put(db, &k, subject).code, E_SYNTAX);
	k = key_of(1, names);
	k.expires_s = UINT64_MAX;
	assert_int_equal(db_key_put(db, &k, subject).code, E_RANGE);
	assert_int_equal(db_key_revoke(db, k.id, 0).code, E_RANGE);
	assert_int_equal(count_keys(db, &revoked), 0);
	db_close(db);
}

/* ---- days ---- */

static void
days(void **arg)
{
	uint8_t first[AS_SECRET_LEN], key[AS_SECRET_LEN], day[AS_DAY_LEN];
	static const char *const bad[] = { "2026-02-30", "2026-13-01", "20260-1-01", "0000-00-00",
		"2026/01/01", "          " };
	struct db *db = open_ok();

	(void)arg;
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(
		    db_day_key(db, span_of(bad[i], AS_DAY_LEN), NOW, key).code, E_SYNTAX);
	db_day_of(NOW, day);
	assert_is_ok(db_day_key(db, span_of(day, AS_DAY_LEN), NOW, first));
	assert_is_ok(db_day_key(db, span_of(day, AS_DAY_LEN), NOW + 50 * DAY_S, key));
	assert_memory_equal(first, key, sizeof(key));
	db_day_of(NOW + 2 * DAY_S, day);
	assert_int_equal(db_day_key(db, span_of(day, AS_DAY_LEN), NOW, key).code, E_RANGE);
	/* After so many days the first one's key is gone for good. */
	for (unsigned i = 1; i < DB_DAY_KEYS_MAX; i++) {
		db_day_of(NOW + i * DAY_S, day);
		assert_is_ok(db_day_key(db, span_of(day, AS_DAY_LEN), NOW + i * DAY_S, key));
	}
	db_day_of(NOW, day);
	assert_is_ok(db_day_key(db, span_of(day, AS_DAY_LEN), NOW + DAY_S * 89, key));
	assert_memory_equal(first, key, sizeof(key));
	db_day_of(NOW + DB_DAY_KEYS_MAX * DAY_S, day);
	assert_is_ok(db_day_key(db, span_of(day, AS_DAY_LEN), NOW + DB_DAY_KEYS_MAX * DAY_S, key));
	db_day_of(NOW, day);
	assert_int_equal(
	    db_day_key(db, span_of(day, AS_DAY_LEN), NOW + DB_DAY_KEYS_MAX * DAY_S, key).code,
	    E_RANGE);
	db_close(db);
}

/* ---- at rest ---- */

static void
only_sealed_at_rest(void **arg)
{
	static const char *const files[] = { "store.db", "store.db-wal" };
	uint8_t subject[AS_SECRET_LEN], pepper[AS_SECRET_LEN];
	struct db *db = open_ok();
	size_t seen = 0;

	(void)arg;
	assert_is_ok(put(db, 1, subject));
	assert_is_ok(db_pepper(db, pepper));
	for (size_t i = 0; i < COUNT(files); i++) {
		auto_buf struct buf file = BUF_INIT(1U << 24);

		assert_is_ok(io_read_file(AT_FDCWD, files[i], &file));
		assert_null(file.len > 0 ? memmem(file.ptr, file.len, subject, 32) : NULL);
		assert_null(file.len > 0 ? memmem(file.ptr, file.len, pepper, 32) : NULL);
		seen += file.len > 0 && memmem(file.ptr, file.len, "tenant0", 7) != NULL ? 1 : 0;
	}
	assert_true(seen > 0);
	db_close(db);
}

static void
wrong_master_key(void **arg)
{
	auto_secret struct secret other = SECRET_NONE;
	struct db *db = open_ok();

	(void)arg;
	db_close(db);
	db = NULL;
	assert_is_ok(secret_random(32, &other));
	assert_int_equal(db_open(&other, NULL, &db).code, E_CRYPTO);
}

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

/* ---- secrets of providers ---- */

static struct status
file_put(struct db *db, const char *name, const char *value, bool rotate, struct as_secret *ret)
{
	const struct as_secret_put m = {
		.name = span_str(name), .sealed = span_str(value), .rotate = rotate, .set_s = NOW
	};

	return db_file_put(db, &m, ret);
}

static void
file_secrets(void **arg)
{
	struct db *db = open_ok();
	struct as_secret s = { 0 };
	struct as_secret_row row;

	(void)arg;
	assert_int_equal(db_file_get(db, SPAN_LIT("a"), &s).code, E_NOTFOUND);
	assert_int_equal(file_put(db, "a", "one", true, &s).code, E_NOTFOUND);
	assert_is_ok(file_put(db, "a", "one", false, &s));
	assert_int_equal(s.version, 1);
	assert_is_ok(file_put(db, "a", "two", true, &s));
	assert_int_equal(s.previous_version, 1);
	db_close(db);
	db = open_ok();
	assert_is_ok(db_file_get(db, SPAN_LIT("a"), &s));
	assert_int_equal(s.version, 2);
	assert_true(span_eq_str(s.sealed, "two") && span_eq_str(s.previous, "one"));
	/* Set anew: what was there is not to come back. */
	assert_is_ok(file_put(db, "a", "three", false, &s));
	assert_is_ok(db_file_get(db, SPAN_LIT("a"), &s));
	assert_int_equal(s.version, 3);
	assert_int_equal(s.previous.len, 0);
	assert_is_ok(file_put(db, "b", "x", false, &s));
	assert_is_ok(db_file_next(db, SPAN_EMPTY, &row));
	assert_true(span_eq_str(row.name, "a"));
	assert_is_ok(db_file_next(db, SPAN_LIT("a"), &row));
	assert_true(span_eq_str(row.name, "b"));
	assert_int_equal(db_file_next(db, SPAN_LIT("b"), &row).code, E_NOTFOUND);
	assert_is_ok(db_file_remove(db, SPAN_LIT("a")));
	assert_int_equal(db_file_remove(db, SPAN_LIT("a")).code, E_NOTFOUND);
	assert_int_equal(db_file_get(db, SPAN_LIT("a"), &s).code, E_NOTFOUND);
	assert_int_equal(file_put(db, "a", "y", true, &s).code, E_NOTFOUND);
	assert_is_ok(file_put(db, "a", "y", false, &s));
	assert_int_equal(s.version, 4); /* no version comes twice */
	db_close(db);
}

static void
file_secrets_are_bounded(void **arg)
{
	struct db *db = open_ok();
	struct as_secret s = { 0 };
	char name[16];

	(void)arg;
	for (int i = 0; i < AS_SECRETS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "n%d", i);
		assert_is_ok(file_put(db, name, "v", false, &s));
	}
	assert_int_equal(file_put(db, "more", "v", false, &s).code, E_FULL);
	assert_int_equal(db_file_get(db, SPAN_LIT("more"), &s).code, E_NOTFOUND);
	assert_is_ok(file_put(db, "n0", "v", true, &s));
	db_close(db);
}

/* ---- usage ---- */

static struct status
usage_add(struct db *db, uint64_t seq, unsigned key, const char *model, uint32_t day)
{
	char names[3][24];
	struct as_key k = key_of(key, names);
	struct as_usage_item i = { .model = span_str(model),
		.day = day,
		.requests = 2,
		.errors = 1,
		.tokens_in = 10,
		.tokens_out = 20,
		.estimated = 1,
		.estimated_in = 3,
		.estimated_out = 4 };
	struct as_usage_add m = { .epoch = { 9 }, .seq = seq, .items = { &i, 1 } };

	memcpy(i.id, k.id, sizeof(i.id));
	return db_usage_add(db, &m);
}

struct usage_seen {
	unsigned rows;
	uint64_t requests, tokens_out;
	char last_model[MODEL_MAX + 1];
};

static struct status
usage_see(void *ctx, const struct as_usage_row *row)
{
	struct usage_seen *s = ctx;

	s->rows++;
	s->requests += row->requests;
	s->tokens_out += row->tokens_out;
	assert_int_equal(row->estimated_in * 2, row->requests * 3);
	(void)snprintf(s->last_model, sizeof(s->last_model), "%.*s", SPAN_FMT(row->model));
	return OK;
}

static struct usage_seen
usage_of(struct db *db, const struct as_usage_list *m, uint64_t *ret_next)
{
	struct usage_seen s = { 0 };

	assert_is_ok(db_usage_list(db, m, usage_see, &s, ret_next));
	return s;
}

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

/* ---- damage and full disks: a code, never a crash ---- */

static void
damaged(void **arg)
{
	auto_buf struct buf file = BUF_INIT(1U << 24);
	uint8_t subject[AS_SECRET_LEN];
	struct db *db = open_ok();
	unsigned told = 0;

	(void)arg;
	for (unsigned n = 0; n < 8; n++)
		assert_is_ok(put(db, n, subject));
	db_close(db);
	assert_is_ok(io_read_file(AT_FDCWD, "store.db", &file));
	for (size_t at = 0; at < file.len; at += 97) {
		uint64_t revoked = 0;
		int64_t cursor = 0;
		struct as_key k;
		struct as_user u;

		file.ptr[at] ^= 0x55;
		assert_is_ok(io_replace_file(here, "store.db", buf_span(&file), 0600));
		file.ptr[at] ^= 0x55;
		db = NULL;
		if (!is_ok(db_open(&kek, NULL, &db))) {
			told++;
			dir_clear();
			continue;
		}
		while (is_ok(db_user_next(db, &cursor, &u)))
			;
		cursor = 0;
		while (is_ok(db_key_next(db, &cursor, &k)))
			revoked++;
		/* Whatever it says, it says it. */
		told += is_ok(put(db, 20, subject)) ? 0 : 1;
		told += is_ok(db_key_revoke(db, (const uint8_t *)"0bbbbbbbbbbb", 77)) ? 0 : 1;
		db_close(db);
		dir_clear();
	}
	assert_true(told > 0);
}

static void
full_disk(void **arg)
{
	uint8_t subject[AS_SECRET_LEN];
	uint64_t revoked = 0;
	struct db *db = open_ok();

	(void)arg;
	assert_is_ok(put(db, 0, subject));
	crash.fail_call = SYS_pwrite64;
	crash.fail_errno = ENOSPC;
	assert_int_equal(put(db, 1, subject).err, ENOSPC);
	crash.fail_errno = 0;
	assert_is_ok(put(db, 1, subject));
	crash.fail_call = SYS_fdatasync;
	crash.fail_errno = EIO;
	assert_int_equal(put(db, 2, subject).code, E_SYS);
	crash.fail_errno = 0;
	db_close(db);
	db = open_ok();
	assert_in_range(count_keys(db, &revoked), 2, 3);
	db_close(db);
}

/* ---- the first key ---- */

static void
first_key_put(struct span text)
{
	assert_is_ok(io_replace_file(here, FIRST_KEY_FILE, text, 0600));
}

static void
first_key(void **arg)
{
	uint8_t key[KEYTEXT_LEN];
	auto_buf struct buf text = BUF_INIT(1024);
	struct db *db = open_ok();
	int64_t cursor = 0;
	struct as_key k;
	bool done = true;

	(void)arg;
	assert_is_ok(first_key_import(db, NOW, &done));
	assert_false(done);
	assert_is_ok(keytext_create(key));
	assert_is_ok(buf_put_str(&text, "acme owner default "));
	assert_is_ok(buf_put(&text, key, sizeof(key)));
	assert_is_ok(buf_put_u8(&text, '\n'));
	for (int times = 0; times < 2; times++) { /* twice: a crash before the removal */
		first_key_put(buf_span(&text));
		assert_is_ok(first_key_import(db, NOW, &done));
		assert_true(done);
		assert_int_equal(access(FIRST_KEY_FILE, F_OK), -1);
	}
	assert_is_ok(db_key_next(db, &cursor, &k));
	assert_memory_equal(k.id, key + 3, KEY_ID_LEN);
	assert_true(span_eq_str(k.tenant, "acme") && span_eq_str(k.user, "owner") &&
		    span_eq_str(k.policy, "default"));
	assert_int_equal(k.created_s, NOW);
	assert_int_equal(db_key_next(db, &cursor, &k).code, E_NOTFOUND);
	for (size_t at = 0; at + 1 < text.len; at += 3) {
		uint8_t was = text.ptr[at];

		text.ptr[at] = ' ';
		first_key_put(buf_span(&text));
		text.ptr[at] = was;
		if (at != 4 && at != 10 && at != 18)
			assert_int_equal(first_key_import(db, NOW, &done).code, E_SYNTAX);
		assert_int_equal(unlink(FIRST_KEY_FILE), 0);
	}
	first_key_put(SPAN_EMPTY);
	assert_false(is_ok(first_key_import(db, NOW, &done)));
	db_close(db);
}

/* ---- killed at every call ---- */

static int ack_pipe;

static void
acked(uint8_t what)
{
	if (syscall(SYS_write, ack_pipe, &what, 1) != 1)
		_exit(7);
}

static void
life(void)
{
	uint8_t secret[AS_SECRET_LEN], day[AS_DAY_LEN];
	struct db *db = open_ok();
	struct as_secret sealed = { 0 };
	bool done;

	assert_is_ok(first_key_import(db, NOW, &done));
	acked('o');
	for (unsigned n = 0; n < 4; n++) {
		assert_is_ok(put(db, n, secret));
		acked('k');
	}
	assert_is_ok(db_key_revoke(db, (const uint8_t *)"0bbbbbbbbbbb", 77));
	acked('r');
	db_day_of(NOW, day);
	assert_is_ok(db_day_key(db, span_of(day, AS_DAY_LEN), NOW, secret));
	acked('d');
	assert_is_ok(file_put(db, "a", "one", false, &sealed));
	acked('s');
	assert_is_ok(usage_add(db, 1, 1, "m", 100));
	acked('u');
	db_close(db);
}

struct acks {
	unsigned keys, revoked, day, sealed, usage;
};

static bool
run_killed(unsigned at, enum crash_mode mode, struct acks *acks)
{
	int fds[2], status;
	uint8_t what;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		(void)close(fds[0]);
		ack_pipe = fds[1];
		/* The parent's pages are empty in a child, or not there. */
		kek = SECRET_NONE;
		if (!is_ok(secret_new(32, &kek)))
			_exit(6);
		memset(kek.ptr, 5, 32);
		crash.calls = 0;
		crash.at = at;
		crash.mode = mode;
		life();
		_exit(0);
	}
	(void)close(fds[1]);
	while (read(fds[0], &what, 1) == 1) {
		acks->keys += what == 'k' ? 1 : 0;
		acks->revoked += what == 'r' ? 1 : 0;
		acks->day += what == 'd' ? 1 : 0;
		acks->sealed += what == 's' ? 1 : 0;
		acks->usage += what == 'u' ? 1 : 0;
	}
	(void)close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return false;
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	return true;
}

/* A secret that was acknowledged is there; usage that was not is counted when sent again. */
static void
check_later(struct db *db, const struct acks *acks)
{
	struct as_usage_list all = { 0 };
	struct as_secret s = { 0 };
	uint64_t next;

	if (acks->sealed > 0)
		assert_is_ok(db_file_get(db, SPAN_LIT("a"), &s));
	if (acks->keys < 2)
		return;
	assert_is_ok(usage_add(db, 1, 1, "m", 100));
	assert_int_equal(usage_of(db, &all, &next).requests, 2);
}

static void
every_call(void **arg)
{
	(void)arg;
	secret_done(&kek);
	assert_is_ok(secret_new(32, &kek));
	memset(kek.ptr, 5, 32);
	for (int mode = 0; mode < CRASH_MODES; mode++) {
		bool died = true;
		unsigned at;

		for (at = 1; died; at++) {
			struct acks acks = { 0 };
			uint8_t key[AS_SECRET_LEN], day[AS_DAY_LEN];
			uint64_t revoked = 0;
			unsigned keys;
			struct db *db;

			dir_clear();
			died = run_killed(at, (enum crash_mode)mode, &acks);
			db = open_ok();
			keys = count_keys(db, &revoked);
			if (keys < acks.keys || keys > acks.keys + 1 || revoked < acks.revoked)
				test_fail("call %u mode %d: %u of %u keys, %u of %u revoked", at,
				    mode, keys, acks.keys, (unsigned)revoked, acks.revoked);
			db_day_of(NOW, day);
			/* Fifty days on it can only be found, not made. */
			if (acks.day > 0)
				assert_is_ok(db_day_key(
				    db, span_of(day, AS_DAY_LEN), NOW + 50 * DAY_S, key));
			check_later(db, &acks);
			db_close(db);
		}
		assert_true(at > 25);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(round_trip, fresh),
		cmocka_unit_test_setup(bad_rows_refused, fresh),
		cmocka_unit_test_setup(days, fresh),
		cmocka_unit_test_setup(only_sealed_at_rest, fresh),
		cmocka_unit_test_setup(wrong_master_key, fresh),
		cmocka_unit_test_setup(migrates_from_version_1, fresh),
		cmocka_unit_test_setup(file_secrets, fresh),
		cmocka_unit_test_setup(file_secrets_are_bounded, fresh),
		cmocka_unit_test_setup(usage_counts_once, fresh),
		cmocka_unit_test_setup(usage_comes_in_pages, fresh),
		cmocka_unit_test_setup(damaged, fresh),
		cmocka_unit_test_setup(full_disk, fresh),
		cmocka_unit_test_setup(first_key, fresh),
		cmocka_unit_test_setup(every_call, fresh),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
