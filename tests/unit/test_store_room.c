/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that is full for what users put: they may take away, and put in its place. */
#include "content_world.h"

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

#define T(f) cmocka_unit_test_setup(f, fresh)

int
main(void)
{
	const struct CMUnitTest tests[] = { T(what_takes_away_goes_on) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
