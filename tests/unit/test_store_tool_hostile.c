/* SPDX-License-Identifier: Apache-2.0 */
/* src/store/tool.c: a database that others have changed, full disks, kills. */
#include "crash_life.h"
#include "store_tool_rig.h"

/* ---- a database that others have changed ---- */
static void
edit(const char *sql)
{
	sqlite3 *raw = NULL;
	char *why = NULL;

	assert_int_equal(sqlite3_open("store.db", &raw), SQLITE_OK);
	if (sqlite3_exec(raw, sql, NULL, NULL, &why) != SQLITE_OK)
		test_fail("%s: %s", sql, why);
	assert_int_equal(sqlite3_close(raw), SQLITE_OK);
}

/* Two tools of ann, one with two versions; one of bob. */
static void
make_some(void)
{
	struct as_tool_kept kept;
	struct db *db = open_ok();

	user_add(db, "acme", "ann", 'a');
	user_add(db, "acme", "bob", 'b');
	assert_is_ok(push(db, "ann", "one", 1, &kept));
	assert_is_ok(push(db, "ann", "one", 2, &kept));
	assert_is_ok(MARK(1, TOOL_MARK_ALLOWED));
	assert_is_ok(push(db, "ann", "two", 3, &kept));
	assert_is_ok(push(db, "bob", "one", 4, &kept));
	db_close(db);
}

/* Whatever was done, no value comes out that was not put there for that place. */
static void
hostile_edits(void **arg)
{
	static const struct {
		const char *sql;
		bool fits;  /* the sum does not see it */
		unsigned n; /* versions that are left */
	} edits[] = {
		{ "SELECT 1", true, 4 },
		/* swapped */
		{ "UPDATE tools SET marks = (SELECT marks FROM tools WHERE id = 2) WHERE id = 1",
		    false, 0 },
		{ "UPDATE tool_versions SET meta = (SELECT meta FROM tool_versions WHERE id = 2)"
		  " WHERE id = 1",
		    true, 3 },
		{ "UPDATE tool_versions SET tool = 2, version = 9 WHERE id = 1", true, 4 },
		{ "UPDATE tools SET name = (SELECT name FROM tools WHERE id = 2) WHERE id = 1",
		    true, 2 },
		{ "UPDATE tools SET name_hash = randomblob(32) WHERE id = 1", true, 2 },
		{ "UPDATE tools SET user = 2 WHERE id = 2", true, 3 },
		{ "UPDATE users SET name_hash = randomblob(32) WHERE id = 2", true, 3 },
		{ "UPDATE tenants SET name_hash = randomblob(32)", true, 0 },
		/* cut and forged */
		{ "UPDATE tools SET marks = substr(marks, 1, length(marks) - 1) WHERE id = 1",
		    false, 0 },
		{ "UPDATE tool_versions SET meta = x'' WHERE id = 3", true, 3 },
		{ "DELETE FROM tool_versions WHERE id = 4", true, 3 },
		{ "DELETE FROM tools WHERE id = 9", true, 4 },
		{ "DELETE FROM tool_sum", false, 0 },
		{ "UPDATE tool_sum SET value = x'00'", false, 0 },
		{ "INSERT INTO tools (user, name_hash, key, name, live, marks)"
		  " SELECT user, x'00', key, name, 1, marks FROM "
		  "tools"
		  " WHERE id = 1",
		    false, 0 },
	};

	(void)arg;
	for (size_t i = 0; i < COUNT(edits); i++) {
		unsigned corrupt;
		struct db *db;

		dir_clear();
		make_some();
		edit(edits[i].sql);
		db = open_ok();
		if (db_tools_fit(db) != edits[i].fits || count(db, &corrupt) != edits[i].n)
			test_fail("%s: fits %d, %u versions", edits[i].sql, db_tools_fit(db),
			    count(db, &corrupt));
		if (!edits[i].fits) {
			struct as_tool_kept kept;
			int fd = -1;

			assert_int_equal(push(db, "ann", "two", 5, &kept).code, E_CORRUPT);
			assert_int_equal(MARK(2, TOOL_MARK_CURRENT).code, E_CORRUPT);
			assert_int_equal(
			    db_tool_part(db, 1, PART_MODULE, digest, &fd).code, E_CORRUPT);
		}
		db_close(db);
	}
}

static void
hostile_chunks(void **arg)
{
	static const char *const edits[] = {
		"UPDATE tool_chunks SET value = (SELECT value FROM tool_chunks WHERE n = 1)"
		" WHERE n = 0 AND part = 1",
		"DELETE FROM tool_chunks WHERE n = 2 AND part = 1",
		"UPDATE tool_chunks SET n = n + 10 WHERE part = 1;"
		"UPDATE tool_chunks SET n = 12 - n WHERE part = 1",
		"UPDATE tool_chunks SET part = part + 10;"
		"UPDATE tool_chunks SET part = 13 - part",
		"UPDATE tool_chunks SET value = substr(value, 1, 500) WHERE part = 1 AND n = 1",
		"UPDATE tool_chunks SET value = zeroblob(length(value)) WHERE part = 1 AND n = 1",
	};

	(void)arg;
	for (size_t i = 0; i < COUNT(edits); i++) {
		struct as_tool_kept kept;
		struct push p;
		struct db *db;
		int fd = -1;

		dir_clear();
		db = open_ok();
		user_add(db, "acme", "ann", 'a');
		push_init(&p, "ann", "t", 2 * CHUNK_LEN + 7, 0, 2 * CHUNK_LEN + 7, 1);
		assert_is_ok(db_tool_put(db, &p.m, p.upload_fd, p.artefact_fd, &kept));
		db_close(db);
		edit(edits[i]);
		db = open_ok();
		assert_int_equal(
		    db_tool_part(db, kept.id, PART_ARTEFACT, digest, &fd).code, E_CORRUPT);
		assert_int_equal(fd, -1);
		push_done(&p);
		db_close(db);
	}
}

/* An older state of one tool, put back: the sum finds it, whatever else is put back with it. */
static void
replay(void **arg)
{
	uint8_t sum[DIGEST_LEN];
	unsigned corrupt;
	struct db *db;

	(void)arg;
	make_some();
	edit("CREATE TABLE was AS SELECT id, marks FROM tools;"
	     "CREATE TABLE sum_was AS SELECT value FROM tool_sum;");
	db = open_ok();
	assert_is_ok(MARK(1, TOOL_MARK_NOT_ALLOWED));
	assert_is_ok(MARK(4, TOOL_MARK_ALLOWED));
	db_close(db);
	/* ann's version is allowed again. */
	edit("UPDATE tools SET marks = (SELECT marks FROM was WHERE was.id = 1) WHERE id = 1");
	db = open_ok();
	assert_false(db_tools_fit(db));
	assert_int_equal(count(db, &corrupt), 0);
	/* On a full disk nothing is accepted: an erasure does not make it so. */
	memcpy(sum, db->tools.sum, sizeof(sum));
	crash.fail_call = SYS_pwrite64;
	crash.fail_errno = ENOSPC;
	assert_int_equal(db_sums_accept(db, 1U << SUM_TOOLS).err, ENOSPC);
	crash.fail_errno = 0;
	assert_memory_equal(db->tools.sum, sum, sizeof(sum));
	db_close(db);
	edit("UPDATE tool_sum SET value = (SELECT value FROM sum_was)");
	db = open_ok();
	assert_false(db_tools_fit(db));
	db_close(db);
	/* All of them, with the sum of then: that one fits no more. */
	edit("UPDATE tools SET marks = (SELECT marks FROM was WHERE was.id = tools.id)");
	db = open_ok();
	assert_false(db_tools_fit(db));
	assert_int_equal(db_sums_unfit(db), 1U << SUM_TOOLS);
	assert_int_equal(count(db, &corrupt), 0);
	assert_is_ok(db_sums_accept(db, 1U << SUM_TOOLS));
	assert_int_equal(count(db, &corrupt), 4);
	assert_is_ok(MARK(1, TOOL_MARK_NOT_ALLOWED));
	db_close(db);
	/* One that was accepted with another's marks. */
	edit("UPDATE tools SET marks = (SELECT marks FROM tools WHERE id = 2) WHERE id = 1");
	db = open_ok();
	assert_int_equal(db_sums_unfit(db), 1U << SUM_TOOLS);
	assert_is_ok(db_sums_accept(db, 1U << SUM_TOOLS));
	assert_int_equal(count(db, &corrupt), 2);
	db_close(db);
	db = open_ok();
	assert_true(db_tools_fit(db));
	db_close(db);
}

/* The artefact of before it was compiled anew, with its meta data. */
static void
replay_of_an_artefact(void **arg)
{
	struct as_tool_rebuilt m = { .engine = SPAN_LIT("wasmtime 49") };
	struct as_tool_kept kept;
	struct db *db = open_ok();
	struct push p, other;
	unsigned corrupt;
	int fd = -1;

	(void)arg;
	user_add(db, "acme", "ann", 'a');
	push_init(&p, "ann", "t", 100, 0, 500, 1);
	push_init(&other, "ann", "t", 100, 0, 500, 7);
	assert_is_ok(db_tool_put(db, &p.m, p.upload_fd, p.artefact_fd, &kept));
	db_close(db);
	edit("CREATE TABLE was AS SELECT * FROM tool_chunks;"
	     "CREATE TABLE meta_was AS SELECT meta FROM tool_versions;");
	db = open_ok();
	m.id = kept.id;
	memcpy(m.artefact, other.m.artefact, DIGEST_LEN);
	assert_is_ok(db_tool_rebuilt(db, &m, other.artefact_fd));
	db_close(db);
	edit("DELETE FROM tool_chunks; INSERT INTO tool_chunks SELECT * FROM was");
	db = open_ok();
	assert_int_equal(db_tool_part(db, kept.id, PART_ARTEFACT, digest, &fd).code, E_CORRUPT);
	db_close(db);
	edit("UPDATE tool_versions SET meta = (SELECT meta FROM meta_was)");
	db = open_ok();
	assert_int_equal(db_tool_part(db, kept.id, PART_ARTEFACT, digest, &fd).code, E_CORRUPT);
	assert_int_equal(count(db, &corrupt), 0);
	assert_int_equal(corrupt, 1);
	push_done(&p);
	push_done(&other);
	db_close(db);
}

static void
full_disk(void **arg)
{
	struct as_tool_kept kept;
	struct db *db = open_ok();
	unsigned corrupt;

	(void)arg;
	user_add(db, "acme", "ann", 'a');
	assert_is_ok(push(db, "ann", "t", 1, &kept));
	crash.fail_call = SYS_pwrite64;
	crash.fail_errno = ENOSPC;
	assert_int_equal(push(db, "ann", "t", 2, &kept).err, ENOSPC);
	assert_int_equal(REMOVE(1, 1).err, ENOSPC);
	crash.fail_errno = 0;
	assert_int_equal(count(db, &corrupt), 1);
	assert_is_ok(push(db, "ann", "t", 2, &kept));
	assert_int_equal(kept.version, 2);
	db_close(db);
	db = open_ok();
	assert_true(db_tools_fit(db));
	assert_int_equal(count(db, &corrupt), 2);
	db_close(db);
}

/* ---- killed at every call ---- */

static void
acked(uint8_t what)
{
	crash_ack(&what, 1);
}

/* 1: version 1; 2: version 2; 3: 1 is allowed; 4: compiled anew; 5: 1 is gone. */
static void
life(void)
{
	struct as_tool_rebuilt m = { .id = 2, .engine = SPAN_LIT("e") };
	struct as_tool_kept kept;
	struct db *db;
	struct push other;

	kek_child();
	db = open_ok();
	assert_is_ok(push(db, "ann", "t", 1, &kept));
	acked(1);
	assert_is_ok(push(db, "ann", "t", 2, &kept));
	acked(2);
	assert_is_ok(MARK(1, TOOL_MARK_ALLOWED));
	acked(3);
	push_init(&other, "ann", "t", 100, 0, 500, 7);
	memcpy(m.artefact, other.m.artefact, DIGEST_LEN);
	assert_is_ok(db_tool_rebuilt(db, &m, other.artefact_fd));
	push_done(&other);
	acked(4);
	assert_is_ok(REMOVE(1, 0));
	acked(5);
	db_close(db);
}

static bool
run_killed(unsigned at, enum crash_mode mode, uint8_t *last)
{
	int fd;
	pid_t pid = crash_start(life, at, mode, &fd);

	*last = 0;
	while (read(fd, last, 1) == 1)
		;
	return crash_ended(pid, fd);
}

static void
check_state(struct db *db, uint8_t last, unsigned at, int mode)
{
	struct db_tool_cursor c = { 0 };
	unsigned versions = 0, allowed = 0;
	bool first = false;
	struct as_tool t;
	struct status st;

	if (!db_tools_fit(db))
		test_fail("call %u mode %d: the sum does not fit", at, mode);
	while (is_ok(st = db_tool_next(db, &c, &t))) {
		int fds[3] = { -1, -1, -1 };

		versions++;
		allowed += t.allowed;
		first = first || t.version == 1;
		for (int part = 0; part < 3; part++) {
			assert_is_ok(db_tool_part(
			    db, t.id, (enum tool_part)(part + PART_ARTEFACT), digest, &fds[part]));
			(void)close(fds[part]);
		}
	}
	assert_int_equal(st.code, E_NOTFOUND);
	/* What was acknowledged is there; what was not is there whole, or not at all. */
	if (last >= 2 && last < 4 && versions != 2)
		test_fail("call %u mode %d: %u versions after %u", at, mode, versions, last);
	if (last == 3 && allowed != 1)
		test_fail("call %u mode %d: not allowed any more", at, mode);
	if (last == 5 && (first || versions != 1))
		test_fail("call %u mode %d: removed, and there", at, mode);
	if (last == 1)
		assert_in_range(versions, 1, 2);
	if (last == 4)
		assert_in_range(versions, 1, 2);
}

static void
with_ann(struct buf *ret)
{
	struct db *db = open_ok();

	user_add(db, "acme", "ann", 'a');
	db_close(db);
	assert_is_ok(io_read_file(AT_FDCWD, "store.db", ret));
}

/* Tables are made once: killed in the middle of that is test_store's. */
static void
every_call(void **arg)
{
	auto_buf struct buf was = BUF_INIT(1U << 24);

	(void)arg;
	with_ann(&was);
	for (int mode = 0; mode < CRASH_MODES; mode++) {
		bool died = true;
		unsigned at;

		for (at = CRASH_FIRST(1, mode); died; at += CRASH_STEP(1)) {
			struct as_tool_kept kept;
			struct db *db;
			uint8_t last;

			dir_clear();
			assert_is_ok(io_replace_file(here, "store.db", buf_span(&was), 0600));
			died = run_killed(at, (enum crash_mode)mode, &last);
			db = open_ok();
			check_state(db, last, at, mode);
			if (last >= 1) { /* and life goes on */
				assert_is_ok(push(db, "ann", "t", 9, &kept));
				assert_true(kept.version > (last >= 2 ? 2 : 1));
			}
			db_close(db);
		}
		assert_true(at > 25);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(hostile_edits, fresh),
		cmocka_unit_test_setup(hostile_chunks, fresh),
		cmocka_unit_test_setup(replay, fresh),
		cmocka_unit_test_setup(replay_of_an_artefact, fresh),
		cmocka_unit_test_setup(full_disk, fresh),
		cmocka_unit_test_setup(every_call, fresh),
	};

	return cmocka_run_group_tests(tests, tools_setup, teardown);
}
