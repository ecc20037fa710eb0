/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows that somebody else has changed: what is refused until they are accepted, what is not; and
 * whatever the store itself does, in whatever order and however it ends, its sums fit.
 */
#include "sum_world.h"

#include "crash_life.h"

#include <backup.h>
#include <privacy.h>
#include <rotate.h>

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
		assert_int_equal(db_keyset_rotate(db, KEYSET_SESSION, NOW).code, E_CORRUPT);
		assert_int_equal(set_user(db, ROLES_ALL, USER_ACTIVE, 0).code, E_CORRUPT);
		assert_int_equal(set_secret(db, 0).code, E_CORRUPT);
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
	assert_int_equal(put(db, 9, subject).code, E_CORRUPT);
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

/* A key that was put back is revoked, and so on: what does not fit may always be taken away. */
static void
taken_away_all_the_same(void **arg)
{
	struct db *db = filled();
	uint64_t rows, revoked = 0;
	bool more = false;

	(void)arg;
	db_close(db);
	edit("CREATE TABLE was AS SELECT * FROM keys WHERE n = 1");
	db = open_ok();
	assert_is_ok(end_key(db, 0));
	db_close(db);
	edit("CREATE TABLE is_now AS SELECT * FROM keys WHERE n = 1; DELETE FROM keys WHERE n = 1;"
	     "INSERT INTO keys SELECT * FROM was;"
	     "UPDATE file_secrets SET set_s = 1");
	db = open_ok();
	assert_int_equal(db_sums_unfit(db), PEOPLE | 1U << SUM_SECRETS);
	assert_is_ok(end_key(db, 0));
	assert_is_ok(end_key(db, 2));
	assert_is_ok(db_session_end(db, (uint8_t[SESSION_ID_LEN]){ [0 ... 15] = 2 }));
	assert_is_ok(set_user(db, 0, USER_DISABLED, 1));
	assert_int_equal(set_user(db, 0, USER_DISABLED, 0).code, E_CORRUPT); /* a hold is lifted */
	assert_int_equal(set_user(db, 0, USER_ACTIVE, 1).code, E_CORRUPT);
	assert_int_equal(set_user(db, ROLE_USER, USER_DISABLED, 1).code, E_CORRUPT);
	assert_is_ok(db_file_remove(db, SPAN_LIT("one")));
	assert_is_ok(erase_all(db, SPAN_LIT("tenant0"), SPAN_LIT("user1"), &rows));
	assert_is_ok(db_sweep(db, NOW + 100 * DAY_S, &more));
	assert_int_equal(count_keys(db, &revoked), 2);
	assert_int_equal(revoked, 1);
	assert_int_equal(db_sums_unfit(db), PEOPLE | 1U << SUM_SECRETS);
	for (int i = 0; i < 2; i++) {
		db_close(db);
		db = open_ok();
		assert_int_equal(db_sums_unfit(db), PEOPLE | 1U << SUM_SECRETS);
	}
	assert_int_equal(count_keys(db, &revoked), 2);
	db_close(db);
	/* Not by the row of before, either. */
	edit("DELETE FROM keys WHERE n = 1; INSERT INTO keys SELECT * FROM is_now");
	assert_int_equal(unfit(), PEOPLE | 1U << SUM_SECRETS);
	db = open_ok();
	accept_changes(db);
	db_close(db);
	assert_int_equal(unfit(), 0);
}

/* Without a sum that opens, too: there is none afterwards. */
static void
taken_away_without_a_sum(void **arg)
{
	struct db *db;
	uint64_t n;

	(void)arg;
	db_close(filled());
	edit("DELETE FROM secrets WHERE name GLOB 'sum:*'");
	for (unsigned i = 0; i < 2; i++) {
		db = open_ok();
		assert_int_equal(db_sums_unfit(db), SUMS_ALL);
		assert_is_ok(end_key(db, i));
		assert_is_ok(db_generation_next(db, &n));
		db_close(db);
	}
	db = open_ok();
	assert_is_ok(erase_all(db, SPAN_LIT("tenant0"), SPAN_LIT("user0"), &n));
	db_close(db);
	assert_int_equal(unfit(), SUMS_ALL);
}

static int64_t
count(struct db *db, const char *table)
{
	char text[80];
	int64_t n = 0;

	(void)snprintf(text, sizeof(text), "SELECT count(*) FROM %s", table);
	assert_is_ok(backend_number(db->back, text, &n));
	return n;
}

/* What is over, or was hidden, does not go before it is known whose it is: sweeps leave it. */
static void
not_swept_before(void **arg)
{
	struct db *db;
	bool more = false;

	(void)arg;
	db_close(filled());
	edit(
	    "UPDATE users SET hold = 1 WHERE id = 2;"
	    "INSERT INTO objects (user, kind, hash, tag, created_s, updated_s, expires_s, size,"
	    " hidden, key, version, value) SELECT id, 3, x'00', x'00', 1, 1, 0, 0, 1, key, 1, x'00'"
	    " FROM users WHERE id = 1");
	db = open_ok();
	assert_int_equal(db_sums_unfit(db), PEOPLE);
	for (int i = 0; i < 3; i++)
		assert_is_ok(db_sweep(db, NOW + 4000 * DAY_S, &more));
	assert_int_equal(count(db, "sessions"), 4);
	assert_int_equal(count(db, "keys"), 4);
	assert_int_equal(count(db, "objects"), 1);
	accept_changes(db);
	for (int i = 0; i < 3; i++)
		assert_is_ok(db_sweep(db, NOW + 4000 * DAY_S, &more));
	assert_int_equal(count(db, "sessions"), 0);
	assert_int_equal(count(db, "keys"), 3); /* one does not end, two are held */
	assert_int_equal(count(db, "objects"), 0);
	db_close(db);
	assert_int_equal(unfit(), 0);
}

/* A row that somebody put there goes with its owner: that it was there is known all the same. */
static void
what_was_added_goes(void **arg)
{
	struct db *db;
	uint64_t rows;

	(void)arg;
	db_close(filled());
	edit("INSERT INTO keys SELECT n + 10, CAST(substr(id, 1, 11) || x'00' AS BLOB), user, key,"
	     " version, pepper, value, 0 FROM keys WHERE n = 1");
	db = open_ok();
	assert_int_equal(db_sums_unfit(db), PEOPLE);
	assert_is_ok(erase_all(db, SPAN_LIT("tenant0"), SPAN_LIT("user0"), &rows));
	db_close(db);
	assert_int_equal(unfit(), PEOPLE); /* the sum is that of what the store did */
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
	assert_is_ok(erase_all(db, SPAN_LIT("tenant0"), SPAN_LIT("user0"), &n));
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
	assert_is_ok(look(db));
	assert_int_equal(db_sums_unfit(db), 0);
	db_close(db);
	assert_int_equal(unfit(), 0);
}

/* As version 7 had it: a number, and nothing behind it; no sums. */
static void
make_version_7(void)
{
	struct db *db = filled();

	assert_is_ok(db_begin(db));
	assert_is_ok(db_end(
	    db, db_secret_keep(db, SPAN_LIT("generation"), (uint8_t[AS_SECRET_LEN]){ [7] = 5 })));
	db_close(db);
	edit("DELETE FROM secrets WHERE name GLOB 'sum*'; UPDATE schema_version SET version = 7;");
}

/* Of version 7: taken as it is, once; then what is changed is found. */
static void
from_version_7(void **arg)
{
	uint64_t generation = 0;
	struct db *db;

	(void)arg;
	make_version_7();
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
		assert_is_ok(look(db));
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

/* ---- killed at every call ---- */

static void
acked(uint8_t what)
{
	crash_ack(&what, 1);
}

/* From version 7: 1: open; 2: a key more; 3: one is revoked; 4: the rest. */
static void
life_from_7(void)
{
	uint8_t subject[AS_SECRET_LEN];
	struct db *db;
	uint64_t n;

	kek_child();
	db = open_ok();
	acked(1);
	assert_is_ok(put(db, 4, subject));
	acked(2);
	assert_is_ok(end_key(db, 0));
	acked(3);
	assert_is_ok(db_generation_next(db, &n));
	assert_is_ok(set_user(db, ROLE_USER, USER_DISABLED, 0));
	assert_is_ok(set_secret(db, 0));
	acked(4);
	db_close(db);
}

/* Of rows that are not our own: 1: a key is revoked; 2: a person is erased. */
static void
life_unfit(void)
{
	struct db *db;
	uint64_t n;

	kek_child();
	db = open_ok();
	assert_is_ok(end_key(db, 0));
	acked(1);
	assert_is_ok(erase_all(db, SPAN_LIT("tenant0"), SPAN_LIT("user1"), &n));
	acked(2);
	assert_is_ok(db_generation_next(db, &n));
	db_close(db);
}

/* What was acknowledged is there, and fits what it fitted before. */
static void
check_after(struct db *db, unsigned last, uint8_t bits)
{
	uint64_t version = 0, revoked = 0;
	size_t keys = count_keys(db, &revoked);

	assert_int_equal(db_sums_unfit(db), bits);
	assert_is_ok(
	    backend_number(db->back, "SELECT version FROM schema_version", (int64_t *)&version));
	assert_int_equal(version, DB_SCHEMA_VERSION);
	if (bits == 0) {
		assert_in_range(keys, last >= 2 ? 5 : 4, 5);
		assert_in_range(revoked, last >= 3 ? 1 : 0, 1);
	} else {
		assert_in_range(keys, 2, last >= 2 ? 2 : 4);
		assert_in_range(revoked, last >= 1 ? 1 : 0, 1);
	}
}

static void
every_call(void (*life)(void), uint8_t bits)
{
	auto_buf struct buf was = BUF_INIT(1U << 24);

	assert_is_ok(io_read_file(AT_FDCWD, "store.db", &was));
	for (int mode = 0; mode < CRASH_MODES; mode++) {
		bool died = true;
		unsigned at;

		for (at = CRASH_FIRST(1, mode); died; at += CRASH_STEP(1)) {
			uint8_t last = 0;
			struct db *db;
			pid_t pid;
			int fd;

			dir_clear();
			assert_is_ok(io_replace_file(here, "store.db", buf_span(&was), 0600));
			pid = crash_start(life, at, (enum crash_mode)mode, &fd);
			while (read(fd, &last, 1) == 1)
				;
			died = crash_ended(pid, fd);
			db = open_ok();
			check_after(db, last, bits);
			db_close(db);
		}
		assert_true(at > 8);
	}
}

static void
killed_while_upgraded(void **arg)
{
	(void)arg;
	kek_known();
	make_version_7();
	every_call(life_from_7, 0);
}

static void
killed_while_unfit(void **arg)
{
	(void)arg;
	kek_known();
	db_close(filled());
	edit("DELETE FROM sessions WHERE n = 3");
	every_call(life_unfit, PEOPLE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(refused_until_accepted, fresh),
		cmocka_unit_test_setup(taken_away_all_the_same, fresh),
		cmocka_unit_test_setup(taken_away_without_a_sum, fresh),
		cmocka_unit_test_setup(what_was_added_goes, fresh),
		cmocka_unit_test_setup(not_swept_before, fresh),
		cmocka_unit_test_setup(put_right, fresh),
		cmocka_unit_test_setup(accepted_without_generation, fresh),
		cmocka_unit_test_setup(all_of_ours_fits, fresh),
		cmocka_unit_test_setup(from_version_7, fresh),
		cmocka_unit_test_setup(taken_back, fresh),
		cmocka_unit_test_setup(killed_while_upgraded, fresh),
		cmocka_unit_test_setup(killed_while_unfit, fresh),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
