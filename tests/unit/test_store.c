/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The database: what goes in comes out, sealed at rest, bound to its place; the
 * wrong master key, a full disk, damage and a hostile first-key file are told as
 * what they are; and killed at every call that changes a file, it loses nothing
 * that was done.
 */
#include "crash_life.h"
#include "store_world.h"

#include <first_key.h>

static void
round_trip(void **arg)
{
	uint8_t subject[8][AS_SECRET_LEN], pepper[AS_SECRET_LEN], again[AS_SECRET_LEN];
	uint64_t revoked = 0;
	struct as_user u;
	struct as_key other;
	char names[3][24];
	int64_t cursor = 0;
	struct db *db = open_ok();

	(void)arg;
	assert_is_ok(db_tenant_key(db, pepper));
	for (unsigned n = 0; n < 8; n++)
		assert_is_ok(put(db, n, subject[n]));
	assert_memory_equal(subject[0], subject[1], AS_SECRET_LEN);
	assert_memory_not_equal(subject[0], subject[2], AS_SECRET_LEN);
	/* Once more says the same; another key of its id is none, nor is it once it is over. */
	assert_is_ok(put(db, 3, again));
	assert_memory_equal(again, subject[3], AS_SECRET_LEN);
	other = key_of(3, names);
	other.hash[0] ^= 1;
	assert_int_equal(db_key_put(db, &other, again).code, E_EXISTS);
	other = key_of(3, names);
	other.user = SPAN_LIT("somebody else");
	assert_int_equal(db_key_put(db, &other, again).code, E_EXISTS);
	other = key_of(3, names);
	other.policy = SPAN_LIT("another");
	assert_int_equal(db_key_put(db, &other, again).code, E_EXISTS);
	assert_is_ok(db_key_revoke(db, (const uint8_t *)"0bbbbbbbbbbb", 77));
	assert_is_ok(db_key_revoke(db, (const uint8_t *)"0bbbbbbbbbbb", 99));
	assert_int_equal(put(db, 1, again).code, E_EXISTS);
	assert_int_equal(db_key_revoke(db, (const uint8_t *)"xbbbbbbbbbbb", 77).code, E_NOTFOUND);
	db_close(db);
	db = open_ok();
	assert_is_ok(db_tenant_key(db, again));
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

/* Marks of users, what a key may, when it was used. */
static void
marks(void **arg)
{
	struct as_user_put m = { .tenant = SPAN_LIT("tenant0"),
		.user = SPAN_LIT("user0"),
		.roles = ROLE_OWNER | ROLE_USER,
		.state = USER_DISABLED,
		.hold = 1 };
	struct as_key_use uses[2] = { { "0aaaaaaaaaaa", 50 }, { "xxxxxxxxxxxx", 60 } };
	struct as_key_used used = { .keys = { uses, 2 } };
	uint8_t subject[AS_SECRET_LEN], again[AS_SECRET_LEN];
	struct db *db = open_ok();
	char names[3][24];
	struct as_key k = key_of(0, names);
	struct as_user u;
	int64_t cursor = 0;

	(void)arg;
	k.scopes = SPAN_LIT("models=a");
	memcpy(k.replaces, "0zzzzzzzzzzz", KEY_ID_LEN);
	assert_is_ok(db_key_put(db, &k, subject));
	assert_is_ok(db_user_next(db, &cursor, &u));
	assert_true(u.roles == ROLE_USER && u.state == USER_ACTIVE && u.hold == 0);
	assert_is_ok(db_user_put(db, &m, again));
	assert_memory_equal(subject, again, sizeof(again));
	m.user = SPAN_LIT("other");
	m.roles = 32;
	assert_int_equal(db_user_put(db, &m, again).code, E_RANGE);
	m.roles = 0;
	m.fresh = 1;
	assert_is_ok(db_user_put(db, &m, again));
	/* One who is there is not made once more: nothing of the second one holds. */
	m.roles = ROLE_SERVICE;
	assert_int_equal(db_user_put(db, &m, again).code, E_EXISTS);
	m.user = SPAN_LIT("user0");
	assert_int_equal(db_user_put(db, &m, again).code, E_EXISTS);
	assert_is_ok(db_keys_used(db, &used));
	uses[0].used_s = 40; /* came late */
	assert_is_ok(db_keys_used(db, &used));
	db_close(db);
	db = open_ok();
	cursor = 0;
	assert_is_ok(db_user_next(db, &cursor, &u));
	assert_true(u.roles == (ROLE_OWNER | ROLE_USER) && u.state == USER_DISABLED && u.hold == 1);
	cursor = 0;
	assert_is_ok(db_key_next(db, &cursor, &k));
	assert_true(span_eq_str(k.scopes, "models=a") && k.last_used_s == 50);
	assert_memory_equal(k.replaces, "0zzzzzzzzzzz", KEY_ID_LEN);
	db_close(db);
}

/* One that was revoked has none: nothing of it is there, and it is as it was. */
static void
a_revoked_key_has_no_successor(void **arg)
{
	uint8_t subject[AS_SECRET_LEN];
	char names[3][24];
	struct as_key old = key_of(0, names), k = key_of(1, names);
	struct db *db = open_ok();
	uint64_t revoked = 0;
	int64_t cursor = 0;

	(void)arg;
	k.old_expires_s = NOW + 60;
	memcpy(k.replaces, old.id, KEY_ID_LEN);
	assert_is_ok(put(db, 0, subject));
	assert_is_ok(db_key_revoke(db, old.id, 77));
	assert_int_equal(db_key_put(db, &k, subject).code, E_DENIED);
	assert_int_equal(count_keys(db, &revoked), 1);
	assert_int_equal(revoked, 1);
	assert_is_ok(put(db, 2, subject));
	cursor = 0;
	assert_is_ok(db_key_next(db, &cursor, &old));
	assert_true(old.revoked_s == 77 && old.expires_s == 0);
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
	static const char *const words[] = { "tenant0", "user0", "policy1" };
	struct data_key key;
	uint8_t subject[AS_SECRET_LEN], pepper[AS_SECRET_LEN];
	struct db *db = open_ok();
	size_t seen = 0;

	(void)arg;
	assert_is_ok(put(db, 1, subject));
	assert_is_ok(db_tenant_key(db, pepper));
	assert_is_ok(keyring_user_newest(db, 1, &key));
	for (size_t i = 0; i < COUNT(files); i++) {
		auto_buf struct buf file = BUF_INIT(1U << 24);

		assert_is_ok(io_read_file(AT_FDCWD, files[i], &file));
		assert_null(file.len > 0 ? memmem(file.ptr, file.len, subject, 32) : NULL);
		assert_null(file.len > 0 ? memmem(file.ptr, file.len, pepper, 32) : NULL);
		for (size_t n = 0; n < COUNT(words) && file.len > 0; n++)
			assert_null(memmem(file.ptr, file.len, words[n], strlen(words[n])));
		assert_null(
		    file.len > 0 ? memmem(file.ptr, file.len, key.key->ptr, key.key->len) : NULL);
		seen += file.len > 0 && memmem(file.ptr, file.len, "0bbbbbbbbbbb", 12) != NULL;
	}
	assert_true(seen > 0); /* a key's id is in clear */
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
	for (size_t at = 0; at < file.len; at += 389) {
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
	struct as_user owner;
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
	cursor = 0;
	assert_is_ok(db_user_next(db, &cursor, &owner));
	assert_int_equal(owner.roles, ROLE_USER | ROLE_OWNER);
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

static void
acked(uint8_t what)
{
	crash_ack(&what, 1);
}

static void
life(void)
{
	uint8_t secret[AS_SECRET_LEN], day[AS_DAY_LEN];
	struct db *db;
	struct as_secret sealed = { 0 };
	bool done;

	kek_child();
	db = open_ok();
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
	uint8_t what;
	int fd;
	pid_t pid = crash_start(life, at, mode, &fd);

	while (read(fd, &what, 1) == 1) {
		acks->keys += what == 'k' ? 1 : 0;
		acks->revoked += what == 'r' ? 1 : 0;
		acks->day += what == 'd' ? 1 : 0;
		acks->sealed += what == 's' ? 1 : 0;
		acks->usage += what == 'u' ? 1 : 0;
	}
	return crash_ended(pid, fd);
}

/* A secret that was acknowledged is there; usage that was not is counted when sent again. */
static void
check_later(struct db *db, const struct acks *acks)
{
	struct as_usage_list all = { 0 };
	struct as_secret s = { 0 };
	struct db_usage_at next;

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
	kek_known();
	for (int mode = 0; mode < CRASH_MODES; mode++) {
		bool died = true;
		unsigned at;

		for (at = CRASH_FIRST(3, mode); died; at += CRASH_STEP(3)) {
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
		cmocka_unit_test_setup(marks, fresh),
		cmocka_unit_test_setup(a_revoked_key_has_no_successor, fresh),
		cmocka_unit_test_setup(bad_rows_refused, fresh),
		cmocka_unit_test_setup(days, fresh),
		cmocka_unit_test_setup(only_sealed_at_rest, fresh),
		cmocka_unit_test_setup(wrong_master_key, fresh),
		cmocka_unit_test_setup(file_secrets, fresh),
		cmocka_unit_test_setup(file_secrets_are_bounded, fresh),
		cmocka_unit_test_setup(damaged, fresh),
		cmocka_unit_test_setup(full_disk, fresh),
		cmocka_unit_test_setup(first_key, fresh),
		cmocka_unit_test_setup(every_call, fresh),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
