/* SPDX-License-Identifier: Apache-2.0 */
/* Tools of somebody who is erased: they go, whatever opens; a load that stands in one goes on. */
#include "store_tool_rig.h"

#include <privacy.h>

static int64_t
number(struct db *db, const char *text)
{
	int64_t n = -1;

	assert_is_ok(backend_number(db->back, text, &n));
	return n;
}

static void
erase(struct db *db, const char *user)
{
	uint64_t rows = 0;

	assert_is_ok(erase_all(db, SPAN_LIT("acme"), span_str(user), &rows));
}

static void
load_stands_in_one(void **arg)
{
	struct as_tool_kept v[2];
	struct db_tool_cursor c = { 0 };
	struct db *db = open_ok();
	struct as_tool t;

	(void)arg, (void)digest, (void)marks_and_numbers, (void)count;
	user_add(db, "acme", "ann", 'a');
	user_add(db, "acme", "bob", 'b');
	assert_is_ok(push(db, "ann", "t", 1, &v[0]));
	assert_is_ok(push(db, "ann", "t", 2, &v[1]));
	assert_is_ok(push(db, "bob", "t", 1, &v[0]));
	assert_is_ok(db_tool_next(db, &c, &t));
	erase(db, "ann");
	assert_is_ok(db_tool_next(db, &c, &t)); /* behind it */
	assert_true(span_eq_str(t.user, "bob"));
	assert_int_equal(db_tool_next(db, &c, &t).code, E_NOTFOUND);
	/* One that does not open any more while a load stands in it. */
	c = (struct db_tool_cursor){ 0 };
	assert_is_ok(push(db, "bob", "t", 2, &v[1]));
	assert_is_ok(db_tool_next(db, &c, &t));
	assert_is_ok(backend_exec(db->back, "UPDATE tools SET name = x'00'"));
	assert_int_equal(db_tool_next(db, &c, &t).code, E_CORRUPT);
	assert_int_equal(db_tool_next(db, &c, &t).code, E_NOTFOUND);
	db_close(db);
}

static void
erased_whole(void **arg)
{
	struct db *db = open_ok();
	struct as_tool_kept v;

	(void)arg;
	user_add(db, "acme", "ann", 'a');
	user_add(db, "acme", "bob", 'b');
	assert_is_ok(push(db, "ann", "t", 1, &v));
	assert_is_ok(push(db, "ann", "u", 2, &v));
	assert_is_ok(push(db, "bob", "t", 3, &v));
	erase(db, "ann");
	assert_int_equal(number(db, "SELECT count(*) FROM tools"), 1);
	assert_int_equal(number(db, "SELECT count(*) FROM tool_versions"), 1);
	assert_int_equal(number(db, "SELECT count(DISTINCT version) FROM tool_chunks"), 1);
	db_close(db);
	db = open_ok();
	assert_true(db_tools_fit(db));
	assert_is_ok(push(db, "bob", "t", 4, &v));
	db_close(db);
}

/* A version is what users put: it leaves room on the disk, and what takes away goes on. */
static void
disk_is_full(void **arg)
{
	struct as_tool_remove m = { .all = 1 };
	struct db *db = open_ok();
	struct as_tool_kept v, none;
	struct status st;

	(void)arg;
	user_add(db, "acme", "ann", 'a');
	assert_is_ok(push(db, "ann", "t", 1, &v));
	db->content.reserve = 1ULL << 60;
	st = push(db, "ann", "t", 2, &none);
	assert_true(st.code == E_SYS && st.err == ENOSPC);
	assert_int_equal(push(db, "ann", "other", 2, &none).err, ENOSPC);
	m.id = v.id;
	assert_is_ok(db_tool_remove(db, &m));
	assert_int_equal(number(db, "SELECT count(*) FROM tool_versions"), 0);
	db_close(db);
}

/* Nothing of who is under a hold is deleted. */
static void
held(void **arg)
{
	struct as_user_put hold = { SPAN_LIT("acme"), SPAN_LIT("ann"), ROLE_USER, USER_ACTIVE, 1 };
	struct as_tool_remove m = { .all = 1 };
	struct db *db = open_ok();
	uint8_t subject[AS_SECRET_LEN];
	struct as_tool_kept v;

	(void)arg;
	user_add(db, "acme", "ann", 'a');
	assert_is_ok(push(db, "ann", "t", 1, &v));
	assert_is_ok(db_user_put(db, &hold, subject));
	m.id = v.id;
	assert_int_equal(db_tool_remove(db, &m).code, E_DENIED);
	m.all = 0;
	assert_int_equal(db_tool_remove(db, &m).code, E_DENIED);
	assert_int_equal(number(db, "SELECT count(*) FROM tool_versions"), 1);
	hold.hold = 0;
	assert_is_ok(db_user_put(db, &hold, subject));
	assert_is_ok(db_tool_remove(db, &m));
	assert_int_equal(number(db, "SELECT count(*) FROM tool_versions"), 0);
	db_close(db);
}

/* A byte of a name's seal is another: it is erased all the same, and the sum fits. */
static void
name_does_not_open(void **arg)
{
	struct db *db = open_ok();
	struct as_tool_kept v;

	(void)arg;
	user_add(db, "acme", "eve", 'e');
	assert_is_ok(push(db, "eve", "t", 1, &v));
	assert_is_ok(backend_exec(db->back,
	    "UPDATE tools SET name = CAST(substr(name, 1, length(name) - 1) || x'00' AS BLOB)"));
	erase(db, "eve");
	assert_int_equal(number(db, "SELECT count(*) FROM tool_chunks"), 0);
	assert_int_equal(number(db, "SELECT count(*) FROM user_keys"), 0);
	db_close(db);
	db = open_ok();
	assert_true(db_tools_fit(db));
	db_close(db);
}

/* A byte of somebody else's marks: the sum does not fit, and what is erased goes all the same. */
static void
sum_does_not_fit(void **arg)
{
	struct db *db = open_ok();
	struct as_tool_kept v;

	(void)arg;
	user_add(db, "acme", "kim", 'k');
	user_add(db, "acme", "bob", 'b');
	assert_is_ok(push(db, "kim", "t", 1, &v));
	assert_is_ok(push(db, "bob", "t", 1, &v));
	assert_is_ok(backend_exec(db->back,
	    "UPDATE tools SET marks = CAST(substr(marks, 1, length(marks) - 1) || x'00' AS BLOB)"
	    " WHERE id = (SELECT max(id) FROM tools)"));
	db_close(db);
	db = open_ok();
	assert_false(db_tools_fit(db));
	erase(db, "kim");
	assert_int_equal(number(db, "SELECT count(*) FROM tools"), 1);
	assert_int_equal(number(db, "SELECT count(*) FROM tool_chunks WHERE version IN"
				    " (SELECT min(id) FROM tool_versions)"),
	    number(db, "SELECT count(*) FROM tool_chunks"));
	assert_false(db_tools_fit(db));
	db_close(db);
	db = open_ok();
	assert_false(db_tools_fit(db));
	db_close(db);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(load_stands_in_one, fresh),
		cmocka_unit_test_setup(erased_whole, fresh),
		cmocka_unit_test_setup(disk_is_full, fresh),
		cmocka_unit_test_setup(held, fresh),
		cmocka_unit_test_setup(name_does_not_open, fresh),
		cmocka_unit_test_setup(sum_does_not_fit, fresh),
	};

	return cmocka_run_group_tests(tests, tools_setup, teardown);
}
