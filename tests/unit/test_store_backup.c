/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backups: the copy is the database as of its beginning, whatever is written meanwhile; what
 * would change the file under it ends it; one that was cut is none.
 */
#include "store_world.h"

#include <backup.h>
#include <crypto/backup.h>

static struct as_backup_state
state_of(struct db *db)
{
	struct as_backup_state s;

	db_backup_state(db, &s);
	return s;
}

static struct status
opened(struct span blob, struct buf *out)
{
	auto_secret struct secret key = SECRET_NONE;
	struct seal_stream *s = NULL;
	struct span head = span_of(blob.ptr, SEAL_STREAM_HEAD_LEN);
	size_t chunk = SEAL_CHUNK_LEN + SEAL_TAG_LEN;
	struct status st;

	assert_is_ok(backup_key(&kek, &key));
	st = seal_stream_open(&key, BACKUP_AAD, head, &s);
	for (size_t at = head.len; is_ok(st) && at < blob.len; at += chunk) {
		size_t n = blob.len - at < chunk ? blob.len - at : chunk;

		st = seal_stream_get(s, span_of(blob.ptr + at, n), at + n == blob.len, out);
	}
	seal_stream_free(s);
	return st;
}

/* Back in its place: the keys that were there when it began. */
static void
put_back(struct span plain, unsigned keys)
{
	struct backup_head head;
	uint64_t revoked = 0;
	struct db *db;

	assert_is_ok(backup_head_get(plain, &head));
	assert_int_equal(head.db_len + BACKUP_HEAD_LEN, plain.len);
	dir_clear();
	assert_is_ok(io_replace_file(here, "store.db", span_from(plain, BACKUP_HEAD_LEN), 0600));
	db = open_ok();
	assert_int_equal(count_keys(db, &revoked), keys);
	db_close(db);
}

static void
while_in_use(void **arg)
{
	auto_buf struct buf blob = BUF_INIT(1U << 24), plain = BUF_INIT(1U << 24);
	uint8_t subject[AS_SECRET_LEN];
	struct db *db = open_ok();
	unsigned n = 0, steps = 0;

	(void)arg;
	assert_int_equal(db_backup_step(db).code, E_NOTFOUND);
	assert_int_equal(state_of(db).code, E_NOTFOUND);
	for (; n < 40; n++)
		assert_is_ok(put(db, n, subject));
	assert_is_ok(db_backup(db, NOW));
	assert_int_equal(db_backup(db, NOW).code, E_EXISTS);
	while (state_of(db).under_way) {
		assert_is_ok(put(db, n++, subject));
		assert_is_ok(db_backup_step(db));
		assert_in_range(++steps, 1, 1000);
	}
	assert_true(steps > 1);
	assert_int_equal(state_of(db).code, E_OK);
	assert_int_equal(state_of(db).done_bytes, state_of(db).all_bytes);
	assert_is_ok(put(db, n++, subject));
	db_close(db);
	assert_is_ok(io_read_file(AT_FDCWD, BACKUP_FILE, &blob));
	assert_null(memmem(blob.ptr, blob.len, "SQLite", 6));
	assert_is_ok(opened(buf_span(&blob), &plain));
	put_back(buf_span(&plain), 40);
	/* cut at a chunk's end, and by a byte */
	blob.len -= 1;
	assert_int_equal(opened(buf_span(&blob), &plain).code, E_CRYPTO);
	blob.len = SEAL_STREAM_HEAD_LEN + SEAL_CHUNK_LEN + SEAL_TAG_LEN;
	assert_int_equal(opened(buf_span(&blob), &plain).code, E_CRYPTO);
}

/* It goes on for so long, and what was destroyed is in the file until then; after that it ends. */
static void
an_erasure_waits_for_it(void **arg)
{
	auto_buf struct buf blob = BUF_INIT(1U << 24), plain = BUF_INIT(1U << 24);
	uint8_t subject[AS_SECRET_LEN];
	struct db *db = open_ok();

	(void)arg;
	for (unsigned n = 0; n < 40; n++)
		assert_is_ok(put(db, n, subject));
	assert_is_ok(db_settle_owed(db));
	assert_is_ok(db_backup(db, NOW));
	assert_is_ok(db_backup_step(db));
	assert_is_ok(keyring_user_destroy(db, 1));
	assert_true(db_backup_erased(db));
	assert_int_equal(state_of(db).under_way, 1);
	assert_true(db->settle_owed);
	assert_is_ok(db_settle_owed(db)); /* as each sweep tries */
	assert_true(db->settle_owed);
	while (state_of(db).under_way) {
		assert_int_equal(access(BACKUP_FILE, F_OK), -1);
		assert_is_ok(db_backup_step(db));
	}
	assert_int_equal(state_of(db).code, E_OK);
	assert_int_equal(state_of(db).erased, 1);
	assert_is_ok(db_settle_owed(db));
	assert_false(db->settle_owed);
	assert_is_ok(keyring_user_destroy(db, 3)); /* it is done, and in it is this one, too */
	assert_false(db_backup_erased(db));
	assert_int_equal(state_of(db).erased, 2);
	assert_is_ok(io_read_file(AT_FDCWD, BACKUP_FILE, &blob));
	assert_is_ok(opened(buf_span(&blob), &plain));
	db_backup_drop(db, 0);
	assert_int_equal(state_of(db).erased, 2); /* whoever has taken it asks afterwards */
	/* But not for ever. */
	assert_is_ok(db_backup(db, NOW));
	assert_is_ok(db_backup_step(db));
	assert_int_equal(state_of(db).erased, 0);
	db->backup_waited_s = 0;
	assert_is_ok(keyring_user_destroy(db, 2));
	assert_false(db->settle_owed);
	assert_int_equal(state_of(db).under_way, 0);
	assert_int_equal(state_of(db).code, E_AGAIN);
	assert_int_equal(access(BACKUP_FILE ".part", F_OK), -1);
	assert_is_ok(db_backup(db, NOW)); /* and again */
	db_close(db);                     /* in mid-backup */
	assert_int_equal(access(BACKUP_FILE ".part", F_OK), -1);
}

/* One that nobody takes goes; the next start takes those of a life before. */
static void
nobody_takes_it(void **arg)
{
	static const char *const cut[] = { BACKUP_FILE ".part", BACKUP_BEFORE_FILE ".part",
		BACKUP_BEFORE_TMP ".part", BACKUP_BEFORE_TMP };
	uint8_t subject[AS_SECRET_LEN];
	struct db *db = open_ok();

	(void)arg;
	assert_is_ok(put(db, 0, subject));
	assert_is_ok(db_backup(db, NOW));
	db_backup_drop(db, 0);
	assert_int_equal(state_of(db).under_way, 1);
	while (state_of(db).under_way)
		assert_is_ok(db_backup_step(db));
	db_backup_drop(db, BACKUP_TAKEN_S);
	assert_int_equal(access(BACKUP_FILE, F_OK), 0);
	db_backup_drop(db, 0);
	assert_int_equal(access(BACKUP_FILE, F_OK), -1);
	assert_int_equal(state_of(db).code, E_NOTFOUND);
	assert_is_ok(io_replace_file(here, BACKUP_FILE, SPAN_LIT("old"), 0600));
	for (size_t i = 0; i < COUNT(cut); i++)
		assert_is_ok(io_replace_file(here, cut[i], SPAN_LIT("cut"), 0600));
	db_backup_drop_old();
	assert_int_equal(access(BACKUP_FILE, F_OK), -1);
	for (size_t i = 0; i < COUNT(cut); i++)
		assert_int_equal(access(cut[i], F_OK), -1);
	db_close(db);
}

static void
full_disk(void **arg)
{
	uint8_t subject[AS_SECRET_LEN];
	uint64_t revoked = 0;
	struct db *db = open_ok();

	(void)arg;
	assert_is_ok(put(db, 0, subject));
	assert_is_ok(db_backup(db, NOW));
	crash.fail_call = SYS_write;
	crash.fail_errno = ENOSPC;
	assert_int_equal(db_backup_step(db).err, ENOSPC);
	crash.fail_errno = 0;
	assert_int_equal(state_of(db).code, E_SYS);
	assert_int_equal(access(BACKUP_FILE ".part", F_OK), -1);
	assert_is_ok(put(db, 1, subject));
	assert_int_equal(count_keys(db, &revoked), 2);
	db_close(db);
}

static void
heads(void **arg)
{
	const struct backup_head h = { 1, 2, 3 };
	uint8_t text[BACKUP_HEAD_LEN];
	struct backup_head got;

	(void)arg;
	backup_head_put(&h, text);
	assert_is_ok(backup_head_get(span_of(text, sizeof(text)), &got));
	assert_true(got.generation == 1 && got.created_s == 2 && got.db_len == 3);
	assert_int_equal(backup_head_get(span_of(text, 47), &got).code, E_SYNTAX);
	text[0] ^= 1;
	assert_int_equal(backup_head_get(span_of(text, sizeof(text)), &got).code, E_SYNTAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(while_in_use, fresh),
		cmocka_unit_test_setup(an_erasure_waits_for_it, fresh),
		cmocka_unit_test_setup(nobody_takes_it, fresh),
		cmocka_unit_test_setup(full_disk, fresh),
		cmocka_unit_test_setup(heads, fresh),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
