/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rotation of keys: everything stays readable at every step and after every crash, one at a
 * time, old keys are gone at the end, and what others have changed stops nothing.
 */
#include "store_world.h"

#include <rotate.h>

#define KEYS 6U

static struct db *
with_keys(void)
{
	uint8_t subject[AS_SECRET_LEN];
	struct db *db = open_ok();

	for (unsigned n = 0; n < KEYS; n++)
		assert_is_ok(put(db, n, subject));
	return db;
}

static void
all_readable(struct db *db)
{
	uint8_t pepper[AS_SECRET_LEN];
	uint64_t revoked = 0;
	int64_t cursor = 0;
	unsigned users = 0;
	struct as_user u;

	while (is_ok(db_user_next(db, &cursor, &u)))
		users++;
	assert_int_equal(users, KEYS / 2);
	assert_int_equal(count_keys(db, &revoked), KEYS);
	assert_is_ok(db_tenant_key(db, pepper));
}

/* To the end, in the smallest steps. */
static unsigned
finish(struct db *db)
{
	unsigned steps = 0;
	bool more = true;

	while (more) {
		assert_is_ok(db_rotate_step(db, NOW + 9, 0, &more));
		all_readable(db);
		assert_in_range(++steps, 1, 1000);
	}
	return steps;
}

static struct as_kek
status_of(struct db *db)
{
	struct as_kek s = { 0 };

	assert_is_ok(db_rotate_status(db, &s));
	return s;
}

static uint64_t
number(const char *text)
{
	sqlite3 *sql = NULL;
	sqlite3_stmt *st = NULL;
	int64_t n;

	assert_int_equal(sqlite3_open("store.db", &sql), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(sql, text, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	assert_int_equal(sqlite3_close(sql), SQLITE_OK);
	return (uint64_t)n;
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
one_at_a_time(void **arg)
{
	struct db *db = with_keys();
	bool more = true;

	(void)arg;
	assert_int_equal(db_rotate_step(db, NOW, 0, &more).code, E_NOTFOUND);
	assert_int_equal(db_rotate(db, AS_ROTATE_NONE, NOW).code, E_RANGE);
	assert_int_equal(db_rotate(db, (enum as_rotation)9, NOW).code, E_RANGE);
	assert_int_equal(db_rotate(db, AS_ROTATE_KEK, 0).code, E_RANGE);
	assert_is_ok(db_rotate(db, AS_ROTATE_KEK, NOW));
	assert_int_equal(db_rotate(db, AS_ROTATE_KEK, NOW).code, E_EXISTS);
	assert_int_equal(db_rotate(db, AS_ROTATE_DATA, NOW).code, E_EXISTS);
	db_close(db);
	db = open_ok(); /* a restart does not free the way */
	assert_int_equal(db_rotate(db, AS_ROTATE_DATA, NOW).code, E_EXISTS);
	assert_int_equal(status_of(db).under_way, AS_ROTATE_KEK);
	(void)finish(db);
	assert_is_ok(db_rotate(db, AS_ROTATE_DATA, NOW));
	assert_int_equal(status_of(db).under_way, AS_ROTATE_DATA);
	(void)finish(db);
	assert_int_equal(status_of(db).under_way, AS_ROTATE_NONE);
	db_close(db);
}

static void
kek_rotates(void **arg)
{
	struct db *db = with_keys();
	uint8_t subject[AS_SECRET_LEN];
	struct as_kek s;
	uint64_t before;

	(void)arg;
	for (uint64_t version = 2; version < 5; version++) {
		assert_is_ok(db_rotate(db, AS_ROTATE_KEK, NOW + version));
		s = status_of(db);
		before = s.kek_left;
		assert_true(s.version == version && s.versions == 2 && before > 4);
		assert_true(s.kek_started_s == NOW + version && s.kek_ended_s == 0);
		assert_is_ok(put(db, 1, subject)); /* work goes on */
		assert_in_range(finish(db), before, 1000);
		s = status_of(db);
		assert_true(s.versions == 1 && s.kek_left == 0 && s.kek_ended_s == NOW + 9);
		assert_int_equal(s.unopened, 0);
	}
	db_close(db);
	assert_int_equal(number("SELECT count(*) FROM keks"), 1);
	assert_int_equal(number("SELECT count(*) FROM tenant_keys WHERE kek <> 4"), 0);
	assert_int_equal(number("SELECT count(*) FROM secrets WHERE kek <> 4"), 0);
	db = open_ok();
	all_readable(db);
	db_close(db);
}

static void
data(void **arg)
{
	struct db *db = with_keys();
	uint8_t subject[AS_SECRET_LEN];
	struct data_key key;
	uint64_t was;

	(void)arg;
	assert_is_ok(keyring_user_newest(db, 1, &key));
	was = key.id;
	assert_is_ok(db_rotate(db, AS_ROTATE_DATA, NOW));
	assert_int_equal(status_of(db).data_left, KEYS / 2);
	assert_int_equal(status_of(db).tenant_left, 2);
	assert_is_ok(keyring_user_destroy(db, 3)); /* erased in between */
	assert_is_ok(put(db, 8, subject));         /* and somebody new */
	for (bool more = true; more;)
		assert_is_ok(db_rotate_step(db, NOW, 0, &more));
	assert_int_equal(status_of(db).data_left, 0);
	assert_int_equal(status_of(db).tenant_left, 0);
	assert_int_equal(status_of(db).unopened, 0);
	assert_int_equal(keyring_user_get(db, 1, was, &key).code, E_NOTFOUND);
	assert_int_equal(keyring_user_newest(db, 3, &key).code, E_NOTFOUND);
	assert_is_ok(keyring_user_newest(db, 1, &key));
	db_close(db);
	assert_int_equal(number("SELECT min(id) FROM user_keys"), 4);
	assert_int_equal(number("SELECT count(*) FROM user_keys"), 3);
	assert_int_equal(number("SELECT min(id) FROM tenant_keys"), 3);
	assert_int_equal(number("SELECT count(*) FROM users WHERE key <= 3 AND key > 0"), 0);
	assert_int_equal(number("SELECT count(*) FROM keys WHERE key <= 3 AND user <> 3"), 0);
}

/* The old wrapped keys are nowhere when it is over. */
static void
nothing_old_is_left(void **arg)
{
	static const char *const files[] = { "store.db", "store.db-wal" };
	auto_buf struct buf old = BUF_INIT(WRAPPED_MAX);
	struct db *db = with_keys();
	sqlite3_stmt *st = NULL;

	(void)arg;
	assert_int_equal(
	    sqlite3_prepare_v2(backend_sqlite(db->back), "SELECT wrapped FROM keks", -1, &st, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	assert_is_ok(
	    buf_put(&old, sqlite3_column_blob(st, 0), (size_t)sqlite3_column_bytes(st, 0)));
	(void)sqlite3_finalize(st);
	assert_is_ok(db_rotate(db, AS_ROTATE_KEK, NOW));
	(void)finish(db);
	for (size_t i = 0; i < COUNT(files); i++) {
		auto_buf struct buf file = BUF_INIT(1U << 24);

		assert_is_ok(io_read_file(AT_FDCWD, files[i], &file));
		assert_null(file.len > 0 ? memmem(file.ptr, file.len, old.ptr, old.len) : NULL);
	}
	db_close(db);
}

static void
what_does_not_open_stops_nothing(void **arg)
{
	static const char *const edits[] = {
		"UPDATE keys SET value = zeroblob(200) WHERE n = 2",
		"UPDATE users SET value = substr(value, 1, 50) WHERE id = 2",
		"UPDATE user_keys SET wrapped = zeroblob(113) WHERE user = 2",
		"UPDATE tenant_keys SET wrapped = zeroblob(113) WHERE tenant = 2",
		"UPDATE tenants SET name = x'01' WHERE id = 2",
		"UPDATE secrets SET value = zeroblob(113) WHERE name GLOB 'day:*'",
	};

	(void)arg;
	for (size_t i = 0; i < COUNT(edits); i++) {
		struct db *db;
		uint8_t key[AS_SECRET_LEN], day[AS_DAY_LEN];

		dir_clear();
		db = with_keys();
		db_day_of(NOW, day);
		assert_is_ok(db_day_key(db, span_of(day, AS_DAY_LEN), NOW, key));
		db_close(db);
		edit(edits[i]);
		db = open_ok();
		accept_changes(db);
		for (enum as_rotation what = AS_ROTATE_KEK; what <= AS_ROTATE_LAST; what++) {
			unsigned steps = 0;

			assert_is_ok(db_rotate(db, what, NOW));
			for (bool more = true; more; steps++) {
				assert_is_ok(db_rotate_step(db, NOW, 0, &more));
				assert_in_range(steps, 0, 1000);
			}
		}
		assert_int_equal(status_of(db).under_way, AS_ROTATE_NONE);
		/* User 1 has nothing to do with it. */
		assert_is_ok(keyring_user_newest(db, 1, &(struct data_key){ 0 }));
		db_close(db);
		db = open_ok();
		db_close(db);
	}
}

/* One value that does not open keeps its key, and nothing else does; how many is known later, too.
 */
static void
what_is_behind_goes_on(void **arg)
{
	struct db *db = with_keys();
	bool more = true;

	(void)arg;
	db_close(db);
	edit("UPDATE keys SET value = zeroblob(200) WHERE n = 1");
	db = open_ok();
	accept_changes(db);
	assert_is_ok(db_rotate(db, AS_ROTATE_DATA, NOW));
	while (more)
		assert_is_ok(db_rotate_step(db, NOW + 9, 0, &more));
	assert_int_equal(status_of(db).under_way, AS_ROTATE_NONE);
	assert_int_equal(status_of(db).unopened, 1);
	assert_int_equal(status_of(db).data_ended_s, NOW + 9);
	db_close(db);
	assert_int_equal(number("SELECT count(*) FROM user_keys WHERE user = (SELECT user FROM keys"
				" WHERE n = 1)"),
	    2);
	/* Under the old key, which is the least, is that one alone. */
	assert_int_equal(number("SELECT count(*) FROM keys WHERE key = (SELECT key FROM keys"
				" WHERE n = 1)"),
	    1);
	assert_int_equal(number("SELECT count(*) FROM users WHERE key = (SELECT key FROM keys"
				" WHERE n = 1)"),
	    0);
	db = open_ok();
	assert_int_equal(status_of(db).unopened, 1);
	db_close(db);
}

/* What is due is counted from the first start, and then from the last rotation. */
static void
counted_from(void **arg)
{
	struct db *db = with_keys();

	(void)arg;
	assert_int_equal(status_of(db).kek_started_s, 0);
	assert_is_ok(db_rotate_baseline(db, NOW));
	assert_is_ok(db_rotate_baseline(db, NOW + 5));
	assert_int_equal(status_of(db).kek_started_s, NOW);
	assert_int_equal(status_of(db).data_started_s, NOW);
	assert_int_equal(status_of(db).under_way, AS_ROTATE_NONE);
	assert_is_ok(db_rotate(db, AS_ROTATE_KEK, NOW + 7));
	assert_int_equal(status_of(db).kek_started_s, NOW + 7);
	db_close(db);
}

/* It only grows, also over a rotation; what is put back is behind. */
static void
generation_grows(void **arg)
{
	auto_buf struct buf file = BUF_INIT(1U << 24);
	struct db *db = with_keys();
	uint8_t subject[AS_SECRET_LEN];
	uint64_t first, n = 0;

	(void)arg;
	assert_is_ok(db_generation_next(db, &first));
	assert_false(db_changed(db));
	db_close(db);
	assert_is_ok(io_read_file(AT_FDCWD, "store.db", &file));
	db = open_ok();
	assert_is_ok(put(db, 10, subject));
	assert_true(db_changed(db));
	assert_is_ok(db_generation_next(db, &n));
	assert_int_equal(n, first + 1);
	assert_is_ok(db_rotate(db, AS_ROTATE_KEK, NOW));
	for (bool more = true; more;)
		assert_is_ok(db_rotate_step(db, NOW, 0, &more));
	assert_is_ok(db_generation_next(db, &n));
	assert_int_equal(n, first + 2);
	db_close(db);
	dir_clear();
	assert_is_ok(io_replace_file(here, "store.db", buf_span(&file), 0600));
	db = open_ok();
	assert_is_ok(db_generation_next(db, &n));
	assert_int_equal(n, first + 1); /* and first + 2 was kept */
	db_close(db);
}

static void
full_disk(void **arg)
{
	struct db *db = with_keys();
	bool more = true;

	(void)arg;
	assert_is_ok(db_rotate(db, AS_ROTATE_DATA, NOW));
	crash.fail_call = SYS_pwrite64;
	crash.fail_errno = ENOSPC;
	assert_int_equal(db_rotate_step(db, NOW, 1000000, &more).err, ENOSPC);
	crash.fail_errno = 0;
	all_readable(db);
	(void)finish(db);
	assert_int_equal(status_of(db).data_left, 0);
	db_close(db);
}

/* Both rotations, killed at call `at`. False: it came to its end before. */
static bool
rotate_killed(unsigned at, enum crash_mode mode)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct db *db = NULL;
		bool more = true;

		kek_child();
		if (!is_ok(db_open(&kek, NULL, &db)))
			_exit(8);
		crash.calls = 0;
		crash.at = at;
		crash.mode = mode;
		for (enum as_rotation what = AS_ROTATE_KEK; what <= AS_ROTATE_LAST; what++) {
			if (!is_ok(db_rotate(db, what, NOW)))
				_exit(9);
			for (more = true; more;) {
				if (!is_ok(db_rotate_step(db, NOW, 0, &more)))
					_exit(10);
			}
		}
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
	(void)arg;
	kek_known();
	for (int mode = 0; mode < CRASH_MODES; mode++) {
		bool died = true;
		unsigned at;

		for (at = 1 + (unsigned)mode; died; at += 5) {
			struct db *db;

			dir_clear();
			db = with_keys();
			db_close(db);
			died = rotate_killed(at, (enum crash_mode)mode);
			db = open_ok();
			all_readable(db);
			if (status_of(db).under_way != AS_ROTATE_NONE)
				(void)finish(db);
			assert_int_equal(status_of(db).kek_left, 0);
			assert_int_equal(status_of(db).data_left, 0);
			assert_int_equal(status_of(db).versions, 1);
			db_close(db);
		}
		assert_true(at > 40);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(one_at_a_time, fresh),
		cmocka_unit_test_setup(kek_rotates, fresh),
		cmocka_unit_test_setup(data, fresh),
		cmocka_unit_test_setup(nothing_old_is_left, fresh),
		cmocka_unit_test_setup(what_does_not_open_stops_nothing, fresh),
		cmocka_unit_test_setup(what_is_behind_goes_on, fresh),
		cmocka_unit_test_setup(counted_from, fresh),
		cmocka_unit_test_setup(generation_grows, fresh),
		cmocka_unit_test_setup(full_disk, fresh),
		cmocka_unit_test_setup(killed_at_every_call, fresh),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
