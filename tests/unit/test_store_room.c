/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that is full for what users put: they may take away, and put in its place. */
#include "content_world.h"

#include <sys/statvfs.h>

#define NO_DISK (1ULL << 60) /* has so much left */

static const struct content_request some = { .meta = SPAN_LIT("{}"),
	.body = SPAN_LIT("0123456789") };

static struct status
put_file(struct db *db, const char *id)
{
	return ask(db, &ann, CONTENT_CREATE, CONTENT_FILE, id, &some);
}

static void
assert_full(struct status st)
{
	assert_int_equal(st.code, E_SYS);
	assert_int_equal(st.err, ENOSPC);
	assert_int_equal(content_error(st), ERROR_UNAVAILABLE);
}

static void
what_takes_away_goes_on(void **arg)
{
	struct db *db = with_users();

	(void)arg;
	assert_is_ok(put_file(db, "file_1"));
	assert_is_ok(create_conversation(db, &ann, "conv_1", "a"));
	db->content.reserve = NO_DISK;
	assert_full(put_file(db, "file_2"));
	assert_full(create_conversation(db, &ann, "conv_2", "a"));
	assert_full(save(db, &ann, "resp_1", "", "", "aB"));
	assert_full(room_check(db, 0));
	assert_is_ok(ask(db, &ann, CONTENT_READ, CONTENT_FILE, "file_1", NULL));
	assert_is_ok(ask(db, &ann, CONTENT_DELETE, CONTENT_FILE, "file_1", NULL));
	assert_is_ok(ask(db, &ann, CONTENT_DELETE, CONTENT_CONVERSATION, "conv_1", NULL));
	db->content.reserve = 1;
	assert_is_ok(room_check(db, 0));
	assert_is_ok(put_file(db, "file_2"));
	assert_full(room_check(db, 1ULL << 60));
	db_close(db);
}

/* ---- how much is left ---- */

static uint64_t disk, log_len; /* 0: as it is */

int __real_statvfs64(const char *path, struct statvfs *ret);
int __wrap_statvfs64(const char *path, struct statvfs *ret);
int __real_stat64(const char *path, struct stat *ret);
int __wrap_stat64(const char *path, struct stat *ret);

int
__wrap_statvfs64(const char *of, struct statvfs *ret)
{
	int rc = __real_statvfs64(of, ret);

	if (disk != 0) {
		ret->f_frsize = 1;
		ret->f_bavail = disk;
	}
	return rc;
}

int
__wrap_stat64(const char *of, struct stat *ret)
{
	int rc = __real_stat64(of, ret);

	if (log_len != 0 && strcmp(of, DB_FILE "-wal") == 0)
		ret->st_size = (off_t)log_len;
	return rc;
}

static bool
fits(struct db *db, uint64_t left, uint64_t bytes)
{
	struct status st;

	disk = left;
	st = room_check(db, bytes);
	disk = 0;
	if (!is_ok(st))
		assert_full(st);
	return is_ok(st);
}

#define MIB (1ULL << 20)

static void
what_is_left_counts(void **arg)
{
	struct db *db = with_users();

	(void)arg;
	assert_is_ok(create_conversation(db, &ann, "conv_1", "a"));
	db->content.reserve = 0;
	assert_true(fits(db, 1, MIB)); /* nobody asks */
	db->content.reserve = DB_RESERVE;
	log_len = 1;
	/* Twice what is written: once in the log, once in its place. */
	assert_true(fits(db, DB_RESERVE + 2 * MIB, MIB));
	assert_false(fits(db, DB_RESERVE + 2 * MIB - 4096, MIB));
	assert_true(fits(db, DB_RESERVE, 0));
	assert_false(fits(db, DB_RESERVE - 4096, 0));
	/* The log begins anew within its file. */
	log_len = MIB;
	assert_true(fits(db, DB_RESERVE + MIB, MIB));
	assert_true(fits(db, DB_RESERVE - MIB, 0));
	assert_false(fits(db, DB_RESERVE - MIB - 4096, 0));
	log_len = 0;
	db_close(db);
}

/* What was deleted is room, but for the half of the reserve. */
static void
what_was_deleted_is_room(void **arg)
{
	struct db *db = with_users();
	uint64_t free_bytes;

	(void)arg;
	/* Some pages that were used. */
	assert_is_ok(backend_exec(db->back, "CREATE TABLE big (x BLOB)"));
	assert_is_ok(backend_exec(db->back, "INSERT INTO big VALUES (zeroblob(33554432))"));
	assert_is_ok(backend_exec(db->back, "DROP TABLE big"));
	free_bytes = (uint64_t)(number(db, "PRAGMA freelist_count") *
				number(db, "PRAGMA page_size"));
	assert_true(free_bytes >= 2 * DB_RESERVE);
	db->content.reserve = DB_RESERVE;
	log_len = 1;
	assert_true(fits(db, DB_RESERVE / 2 + 4 * MIB, 4 * MIB));
	assert_false(fits(db, DB_RESERVE / 2 + 4 * MIB - 4096, 4 * MIB));
	/* Not more than there is of it. */
	assert_true(fits(db, DB_RESERVE / 2 + free_bytes, free_bytes / 2 + 4 * MIB));
	assert_false(fits(db, DB_RESERVE / 2 + free_bytes, free_bytes));
	log_len = 0;
	db_close(db);
}

#define T(f) cmocka_unit_test_setup(f, fresh)

int
main(void)
{
	const struct CMUnitTest tests[] = { T(what_takes_away_goes_on), T(what_is_left_counts),
		T(what_was_deleted_is_room) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
