/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Large tools that are removed: they are gone at once, and their bytes in steps, through a stop in
 * between; what is under a hold by then stays until that is lifted.
 */
#include "store_tool_rig.h"

#include <privacy.h>

#define PART (3U << 20)

static int64_t
number(struct db *db, const char *text)
{
	int64_t n = -1;

	assert_is_ok(backend_number(db->back, text, &n));
	return n;
}

static int64_t
bytes(struct db *db)
{
	return number(db, "SELECT coalesce(sum(length(value)), 0) FROM tool_chunks");
}

static int64_t
counted(struct db *db)
{
	return number(db, "SELECT coalesce(sum(size), 0) FROM tool_versions");
}

/* A version of `parts` times PART. */
static uint64_t
push_large(struct db *db, const char *user, const char *name, size_t parts, uint8_t seed)
{
	struct as_tool_kept kept;
	struct push p;

	push_init(&p, user, name, PART, 0, (parts - 1) * PART, seed);
	assert_is_ok(db_tool_put(db, &p.m, p.upload_fd, p.artefact_fd, &kept));
	push_done(&p);
	return kept.id;
}

static void
assert_gone(struct db *db, uint64_t id)
{
	uint8_t of[DIGEST_LEN];
	int fd = -1;

	assert_int_equal(REMOVE(id, 0).code, E_NOTFOUND);
	assert_int_equal(REMOVE(id, 1).code, E_NOTFOUND);
	assert_int_equal(MARK(id, TOOL_MARK_CURRENT).code, E_NOTFOUND);
	assert_int_equal(db_tool_part(db, id, PART_MODULE, of, &fd).code, E_NOTFOUND);
}

static void
assert_there(struct db *db, uint64_t id)
{
	uint8_t of[DIGEST_LEN];
	int fd = -1;

	assert_is_ok(db_tool_part(db, id, PART_MODULE, of, &fd));
	(void)close(fd);
}

/* Of no step more than may be; what counts is what is there. */
static unsigned
sweep_all(struct db *db)
{
	bool more = true;
	unsigned n = 0;

	for (; more && n < 100; n++) {
		int64_t before = bytes(db);

		assert_is_ok(db_sweep(db, NOW, &more));
		assert_in_range(before - bytes(db), 0, SWEEP_BYTES_MAX + CHUNK_LEN + 4096);
		assert_in_range(bytes(db), counted(db), counted(db) + 65536);
	}
	assert_false(more);
	return n;
}

static struct db *
with_tools(uint64_t id[4])
{
	struct db *db = open_ok();

	user_add(db, "acme", "ann", 'a');
	user_add(db, "acme", "bob", 'b');
	id[0] = push_large(db, "ann", "t", 4, 1);
	id[1] = push_large(db, "ann", "t", 2, 2);
	id[2] = push_large(db, "ann", "t", 2, 3);
	id[3] = push_large(db, "bob", "t", 2, 4);
	return db;
}

static void
removed(void **arg)
{
	struct as_tool_kept again;
	uint64_t id[4];
	struct db *db = with_tools(id);
	int64_t before = bytes(db);
	unsigned corrupt;
	bool more = false;

	(void)arg, (void)digest, (void)marks_and_numbers;
	assert_is_ok(REMOVE(id[1], 1));
	assert_int_equal(bytes(db), before);
	for (int i = 0; i < 2; i++) { /* at once, and in the middle of it */
		for (int k = 0; k < 3; k++)
			assert_gone(db, id[k]);
		assert_int_equal(count(db, &corrupt), 1);
		assert_int_equal(corrupt, 0);
		assert_is_ok(db_sweep(db, NOW, &more));
		assert_true(more);
	}
	assert_is_ok(push(db, "ann", "t", 9, &again));
	assert_int_equal(again.version, 4);
	db_close(db);
	/* A stop in between, of a build that knew nothing of an index. */
	db = open_ok();
	sql_finish(db);
	assert_is_ok(backend_exec(db->back, "DROP INDEX tool_versions_gone"));
	db_close(db);
	db = open_ok();
	assert_true(db_tools_fit(db));
	assert_in_range(sweep_all(db), 1, 8);
	assert_int_equal(number(db, "SELECT count(*) FROM tool_versions"), 2);
	assert_int_equal(counted(db), 2 * PART + 350);
	assert_there(db, id[3]);
	assert_there(db, again.id);
	db_close(db);
}

static void
one_of_them(void **arg)
{
	uint64_t id[4];
	struct db *db = with_tools(id);
	int64_t before = bytes(db);

	(void)arg;
	assert_is_ok(REMOVE(id[1], 0)); /* not much */
	assert_in_range(before - bytes(db), 2 * PART, 2 * PART + 4096);
	assert_gone(db, id[1]);
	before = bytes(db);
	assert_is_ok(REMOVE(id[0], 0));
	assert_int_equal(bytes(db), before);
	assert_gone(db, id[0]);
	assert_there(db, id[2]);
	assert_in_range(sweep_all(db), 2, 4);
	assert_int_equal(counted(db), 4 * PART);
	assert_there(db, id[2]);
	assert_there(db, id[3]);
	db_close(db);
}

static void
held(void **arg)
{
	struct as_user_put hold = { SPAN_LIT("acme"), SPAN_LIT("ann"), ROLE_USER, USER_ACTIVE, 1 };
	uint8_t subject[AS_SECRET_LEN];
	uint64_t id[4];
	struct db *db = with_tools(id);
	int64_t before = bytes(db);

	(void)arg;
	assert_is_ok(REMOVE(id[0], 1));
	assert_is_ok(db_user_put(db, &hold, subject));
	(void)sweep_all(db);
	assert_int_equal(bytes(db), before);
	assert_gone(db, id[0]);
	hold.hold = 0;
	assert_is_ok(db_user_put(db, &hold, subject));
	assert_in_range(sweep_all(db), 2, 8);
	assert_int_equal(counted(db), 2 * PART);
	db_close(db);
}

static struct status
erase_step(struct db *db, uint64_t *rows, bool *more)
{
	return db_user_erase(db, SPAN_LIT("acme"), SPAN_LIT("ann"), rows, more);
}

/* Nobody sees them from the first step on, and all of them are gone before the answer. */
static void
erased(void **arg)
{
	uint64_t id[4], rows = 0;
	struct db *db = with_tools(id);
	const int64_t all = bytes(db);
	bool more = true;
	unsigned corrupt, steps = 0;

	(void)arg;
	assert_is_ok(REMOVE(id[0], 0)); /* hidden before */
	for (; more && steps < 20; steps++) {
		int64_t before = bytes(db);

		assert_is_ok(erase_step(db, &rows, &more));
		assert_in_range(before - bytes(db), 0, SWEEP_BYTES_MAX + CHUNK_LEN + 4096);
		for (int k = 0; k < 3; k++)
			assert_gone(db, id[k]);
		assert_int_equal(count(db, &corrupt), 1);
		assert_int_equal(corrupt, 0);
		if (more) /* that is last */
			assert_int_equal(number(db, "SELECT count(*) FROM keys"), 2);
		if (steps == 0)
			assert_int_equal(rows, 2);
		if (steps == 1) { /* a stop, after which it is asked again; sweeps go on */
			db_close(db);
			db = open_ok();
			assert_true(db_tools_fit(db));
			assert_in_range(bytes(db), 3 * PART, all);
			assert_is_ok(db_sweep(db, NOW, &more));
			more = true;
		}
	}
	assert_in_range(steps, 3, 6);
	assert_int_equal(number(db, "SELECT count(*) FROM tools"), 1);
	assert_int_equal(number(db, "SELECT count(*) FROM tool_versions"), 1);
	assert_int_equal(number(db, "SELECT count(*) FROM keys"), 1);
	assert_int_equal(erase_step(db, &rows, &more).code, E_NOTFOUND);
	assert_there(db, id[3]);
	db_close(db);
	db = open_ok();
	assert_true(db_tools_fit(db));
	db_close(db);
}

/* What is put, and a hold, while it is under way. */
static void
erased_and_changed(void **arg)
{
	struct as_user_put hold = { SPAN_LIT("acme"), SPAN_LIT("ann"), ROLE_USER, USER_ACTIVE, 1 };
	uint8_t subject[AS_SECRET_LEN];
	struct as_tool_kept again;
	uint64_t id[4], rows = 0;
	struct db *db = with_tools(id);
	bool more = false;
	int64_t left;

	(void)arg;
	assert_is_ok(erase_step(db, &rows, &more));
	assert_true(more);
	assert_is_ok(db_user_put(db, &hold, subject));
	left = bytes(db);
	assert_int_equal(erase_step(db, &rows, &more).code, E_DENIED);
	assert_false(more);
	(void)sweep_all(db);
	assert_int_equal(bytes(db), left);
	hold.hold = 0;
	assert_is_ok(db_user_put(db, &hold, subject));
	assert_is_ok(push(db, "ann", "new", 7, &again));
	assert_is_ok(erase_all(db, SPAN_LIT("acme"), SPAN_LIT("ann"), &rows));
	assert_gone(db, again.id);
	assert_int_equal(counted(db), 2 * PART);
	db_close(db);
}

/* The sum does not fit: nothing is shown, and it all goes in steps, too. */
static void
erased_unfit(void **arg)
{
	uint64_t id[4], rows = 0;
	struct db *db = with_tools(id);

	(void)arg;
	assert_is_ok(backend_exec(db->back,
	    "UPDATE tools SET marks = CAST(substr(marks, 1, length(marks) - 1) || x'00' AS BLOB)"
	    " WHERE id = 1"));
	db_close(db);
	db = open_ok();
	assert_false(db_tools_fit(db));
	assert_is_ok(erase_all(db, SPAN_LIT("acme"), SPAN_LIT("ann"), &rows));
	assert_int_equal(counted(db), 2 * PART);
	assert_int_equal(number(db, "SELECT count(*) FROM tools"), 1);
	db_close(db);
}

#define T(f) cmocka_unit_test_setup(f, fresh)

int
main(void)
{
	const struct CMUnitTest tests[] = { T(removed), T(one_of_them), T(held), T(erased),
		T(erased_and_changed), T(erased_unfit) };

	return cmocka_run_group_tests(tests, tools_setup, teardown);
}
