/* SPDX-License-Identifier: Apache-2.0 */
/* The database: usage counts once, and comes in pages. */
#include "store_world.h"

/* ---- usage ---- */

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
	assert_int_equal(usage_of(db, &all, &next).cached, 4 * 7);
	assert_int_equal(usage_of(db, &all, &next).written, 4 * 2);
	assert_int_equal(usage_of(db, &all, &next).reasoning, 4 * 11);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(usage_counts_once, fresh),
		cmocka_unit_test_setup(usage_comes_in_pages, fresh),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
