/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Somebody writes to the database's file: a bit flipped in any field of what is kept for users,
 * rows and values swapped, older ones put back, rows taken away. What comes out is what
 * was put in, or an error; of a list of files one may be missing, and none is wrong.
 */
#include "content_world.h"

/* Everything that ann has, by every operation that reads. */
static const struct {
	uint8_t op, kind;
	const char *target;
} reads[] = {
	{ CONTENT_READ, CONTENT_CONVERSATION, "conv_1" },
	{ CONTENT_LOAD, CONTENT_CONVERSATION, "conv_1" },
	{ CONTENT_LIST, CONTENT_ITEM, "conv_1" },
	{ CONTENT_READ, CONTENT_ITEM, "i_a" },
	{ CONTENT_READ, CONTENT_RESPONSE, "resp_1" },
	{ CONTENT_READ, CONTENT_RESPONSE, "resp_2" },
	{ CONTENT_LIST, CONTENT_RESPONSE, "resp_2" },
	{ CONTENT_LOAD, CONTENT_RESPONSE, "resp_2" },
	{ CONTENT_READ, CONTENT_FILE, "file_1" },
	{ CONTENT_BODY, CONTENT_FILE, "file_1" },
	{ CONTENT_BODY, CONTENT_FILE, "file_2" },
	{ CONTENT_LIST, CONTENT_FILE, "" },
};
#define READS COUNT(reads)

static struct buf truth[READS];

static struct status
read_one(struct db *db, size_t i, struct buf *out)
{
	const struct content_request req = { .limit = 100, .parent = SPAN_LIT("conv_1") };

	*out = BUF_INIT(1U << 20);
	TRY(ask(db, &ann, reads[i].op, reads[i].kind, reads[i].target, &req));
	return wire_encode(&content_answer_table, &got.answer, out);
}

static struct db *
filled(void)
{
	static uint8_t bytes[CONTENT_CHUNK_LEN + 100];
	struct db *db = with_users();

	assert_is_ok(create_conversation(db, &ann, "conv_1", "ab"));
	assert_is_ok(save(db, &ann, "resp_1", "", "conv_1", "cD"));
	assert_is_ok(save(db, &ann, "resp_2", "resp_1", "", "eF"));
	assert_is_ok(create_file(db, &ann, "file_1", SPAN_LIT("the bytes"), "tag"));
	assert_is_ok(create_file(db, &ann, "file_2", span_of(bytes, sizeof(bytes)), "tag"));
	assert_is_ok(create_conversation(db, &bob, "conv_1", "yz"));
	for (size_t i = 0; i < READS; i++)
		assert_is_ok(read_one(db, i, &truth[i]));
	return db;
}

static void
forget(void)
{
	for (size_t i = 0; i < READS; i++)
		buf_done(&truth[i]);
}

/* Every object of the list is one that was there, as it was. */
static bool
is_part(struct span list, struct span whole)
{
	auto_arena struct arena arena = ARENA_INIT(1U << 20);
	struct content_answer a, b;
	const struct content_object *x, *y;

	assert_is_ok(wire_decode(&content_answer_table, list, &arena, &a));
	assert_is_ok(wire_decode(&content_answer_table, whole, &arena, &b));
	x = a.objects.items;
	y = b.objects.items;
	for (uint32_t i = 0; i < a.objects.count; i++) {
		bool found = false;

		for (uint32_t j = 0; j < b.objects.count; j++)
			found = found ||
				(span_eq(x[i].id, y[j].id) && span_eq(x[i].meta, y[j].meta) &&
				    x[i].size == y[j].size);
		if (!found)
			return false;
	}
	return true;
}

/* How many reads did not say the truth; none says anything else. */
static unsigned
check(struct db *db, const char *what)
{
	unsigned errors = 0;

	for (size_t i = 0; i < READS; i++) {
		auto_buf struct buf out = BUF_INIT(0);
		struct status st = read_one(db, i, &out);

		if (!is_ok(st)) {
			errors++;
			continue;
		}
		if (span_eq(buf_span(&out), buf_span(&truth[i])))
			continue;
		if (reads[i].op == CONTENT_LIST && reads[i].kind == CONTENT_FILE &&
		    is_part(buf_span(&out), buf_span(&truth[i])))
			continue;
		test_fail("%s: %s %s is something else", what, content_op_names[reads[i].op],
		    reads[i].target);
	}
	return errors;
}

static void
write_back(struct db *db, const char *table, const char *column, int64_t row, sqlite3_value *v)
{
	sqlite3_stmt *st = NULL;
	char text[160];

	(void)snprintf(text, sizeof(text), "UPDATE %s SET %s = ?1 WHERE rowid = ?2", table, column);
	sql_reset_all(db);
	assert_int_equal(
	    sqlite3_prepare_v2(backend_sqlite(db->back), text, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_bind_value(st, 1, v), SQLITE_OK);
	assert_int_equal(sqlite3_bind_int64(st, 2, row), SQLITE_OK);
	(void)sqlite3_step(st); /* where the table refuses it, it is refused */
	(void)sqlite3_finalize(st);
}

static void
write_int(struct db *db, const char *table, const char *column, int64_t row, int64_t v)
{
	char text[200];

	(void)snprintf(text, sizeof(text), "UPDATE OR IGNORE %s SET %s = %lld WHERE rowid = %lld",
	    table, column, (long long)v, (long long)row);
	sql(db, text);
}

static void
write_bytes(struct db *db, const char *table, const char *column, int64_t row, struct span v)
{
	sqlite3_stmt *st = NULL;
	char text[160];

	(void)snprintf(
	    text, sizeof(text), "UPDATE OR IGNORE %s SET %s = ?1 WHERE rowid = ?2", table, column);
	sql_reset_all(db);
	assert_int_equal(
	    sqlite3_prepare_v2(backend_sqlite(db->back), text, -1, &st, NULL), SQLITE_OK);
	(void)sqlite3_bind_blob(st, 1, v.ptr, (int)v.len, SQLITE_STATIC);
	(void)sqlite3_bind_int64(st, 2, row);
	(void)sqlite3_step(st);
	(void)sqlite3_finalize(st);
}

/* One field in several wrong ways, and then right again. */
static unsigned
flip(struct db *db, const char *table, const char *column, int64_t row, sqlite3_value *was)
{
	unsigned errors = 0;
	char what[80];

	(void)snprintf(what, sizeof(what), "%s.%s of row %lld", table, column, (long long)row);
	if (sqlite3_value_type(was) == SQLITE_BLOB) {
		size_t len = (size_t)sqlite3_value_bytes(was);
		uint8_t *copy = malloc(len + 1);

		memcpy(copy, sqlite3_value_blob(was), len);
		for (size_t at = 0; at<len; at += len> 512 ? len / 9 : 3) {
			copy[at] ^= 0x10;
			write_bytes(db, table, column, row, span_of(copy, len));
			errors += check(db, what);
			copy[at] ^= 0x10;
		}
		write_bytes(db, table, column, row, span_of(copy, len > 0 ? len - 1 : 1));
		errors += check(db, what);
		free(copy);
	} else {
		int64_t v = sqlite3_value_int64(was);
		const int64_t wrong[] = { v ^ 1, v + 1, 0, 2, INT64_MAX, -1 };

		for (size_t i = 0; i < COUNT(wrong); i++) {
			if (wrong[i] == v)
				continue;
			write_int(db, table, column, row, wrong[i]);
			errors += check(db, what);
		}
	}
	write_back(db, table, column, row, was);
	return errors;
}

static void
flip_all(struct db *db, const char *table)
{
	sqlite3_stmt *st = NULL;
	sqlite3_value *fields[32][16];
	int64_t rows[32];
	char names[16][32], text[64];
	int n = 0, columns;

	(void)snprintf(text, sizeof(text), "SELECT rowid, * FROM %s", table);
	sql_reset_all(db);
	assert_int_equal(
	    sqlite3_prepare_v2(backend_sqlite(db->back), text, -1, &st, NULL), SQLITE_OK);
	columns = sqlite3_column_count(st);
	assert_true(columns <= 16);
	for (int c = 0; c < columns; c++)
		(void)snprintf(names[c], sizeof(names[c]), "%s", sqlite3_column_name(st, c));
	while (sqlite3_step(st) == SQLITE_ROW) {
		assert_true(n < 32);
		rows[n] = sqlite3_column_int64(st, 0);
		for (int c = 1; c < columns; c++)
			fields[n][c] = sqlite3_value_dup(sqlite3_column_value(st, c));
		n++;
	}
	(void)sqlite3_finalize(st);
	assert_true(n > 0);
	sql(db, "PRAGMA foreign_keys=OFF");
	for (int i = 0; i < n; i++) {
		for (int c = 1; c < columns; c++) {
			unsigned errors = 0;

			/* Whose number it is itself moves the row away from us. */
			if (strcmp(names[c], "id") != 0)
				errors = flip(db, table, names[c], rows[i], fields[i][c]);
			/* Each change of a value of ours is seen. */
			if (strcmp(names[c], "value") == 0 && number(db, "SELECT 1") == 1 &&
			    strcmp(table, "chunks") != 0 && errors == 0) {
				(void)snprintf(text, sizeof(text),
				    "SELECT user FROM %s WHERE rowid = %lld", table,
				    (long long)rows[i]);
				assert_int_equal(number(db, text), 2); /* bob's */
			}
			sqlite3_value_free(fields[i][c]);
		}
	}
	assert_int_equal(check(db, "all is as it was"), 0);
}

static void
bits(void **arg)
{
	static const char *const tables[] = { "objects", "items", "chunks", "content_use" };
	struct db *db = filled();

	(void)arg;
	for (size_t i = 0; i < COUNT(tables); i++)
		flip_all(db, tables[i]);
	db_close(db);
	forget();
}

/* Values of two rows of the same table, of the same user or not, change places. */
static void
swaps(void **arg)
{
	static const char *const tables[] = { "objects", "items", "chunks" };
	struct db *db = filled();
	char text[400];

	(void)arg;
	for (size_t t = 0; t < COUNT(tables); t++) {
		int64_t n;

		(void)snprintf(text, sizeof(text), "SELECT max(rowid) FROM %s", tables[t]);
		n = number(db, text);
		for (int64_t i = 1; i <= n; i++) {
			for (int64_t j = i + 1; j <= n; j++) {
				/* Value and key; and, of objects, the state too. */
				(void)snprintf(text, sizeof(text),
				    "CREATE TEMP TABLE old AS SELECT rowid AS r, * FROM %s"
				    " WHERE rowid IN (%lld, %lld);"
				    "UPDATE %s SET (value, key) = (SELECT value, key FROM old"
				    " WHERE r = %lld + %lld - %s.rowid) WHERE rowid IN (%lld, "
				    "%lld);",
				    tables[t], (long long)i, (long long)j, tables[t], (long long)i,
				    (long long)j, tables[t], (long long)i, (long long)j);
				sql(db, text);
				assert_true(check(db, "values swapped") > 0 ||
					    strcmp(tables[t], "objects") != 0);
				(void)snprintf(text, sizeof(text),
				    "UPDATE %s SET (value, key) = (SELECT value, key FROM old"
				    " WHERE r = %s.rowid) WHERE rowid IN (%lld, %lld);"
				    "DROP TABLE old;",
				    tables[t], tables[t], (long long)i, (long long)j);
				sql(db, text);
			}
		}
	}
	assert_int_equal(check(db, "all is as it was"), 0);
	db_close(db);
	forget();
}

/* An older state of a conversation, whole, and only its value: neither is taken for the newest. */
static void
replays(void **arg)
{
	struct db *db = filled();

	(void)arg;
	sql(db, "CREATE TEMP TABLE old AS SELECT * FROM objects WHERE id = 1");
	assert_is_ok(ask(db, &ann, CONTENT_UPDATE, CONTENT_CONVERSATION, "conv_1",
	    &(struct content_request){ .meta = SPAN_LIT("{\"m\":2}") }));
	assert_is_ok(save(db, &ann, "resp_3", "", "conv_1", "gH"));
	sql(db, "CREATE TEMP TABLE new AS SELECT * FROM objects WHERE id = 1;"
		"UPDATE objects SET value = (SELECT value FROM old) WHERE id = 1");
	assert_int_equal(
	    ask(db, &ann, CONTENT_READ, CONTENT_CONVERSATION, "conv_1", NULL).code, E_CRYPTO);
	/* With its version and marks it opens; but it does not know of the newer items. */
	sql(db, "UPDATE objects SET (version, key, updated_s, size) ="
		" (SELECT version, key, updated_s, size FROM old) WHERE id = 1");
	assert_int_equal(
	    ask(db, &ann, CONTENT_LOAD, CONTENT_CONVERSATION, "conv_1", NULL).code, E_CORRUPT);
	sql(db, "UPDATE objects SET (version, key, updated_s, size, value) ="
		" (SELECT version, key, updated_s, size, value FROM new) WHERE id = 1");
	assert_string_equal(
	    load(db, &ann, CONTENT_CONVERSATION, "conv_1"), "\"a\"|\"b\"|\"c\"|\"D\"|\"g\"|\"H\"");
	db_close(db);
	forget();
}

/* Rows that are taken away, and rows that are copied. */
static void
rows_gone(void **arg)
{
	struct db *db = filled();

	(void)arg;
	sql(db, "SAVEPOINT s; DELETE FROM items WHERE id = 2");
	assert_true(check(db, "an item of a conversation is gone") > 0);
	assert_int_equal(
	    ask(db, &ann, CONTENT_LOAD, CONTENT_CONVERSATION, "conv_1", NULL).code, E_CORRUPT);
	sql(db, "ROLLBACK TO s; DELETE FROM items WHERE response IS NOT NULL AND output = 1");
	assert_int_equal(
	    ask(db, &ann, CONTENT_READ, CONTENT_RESPONSE, "resp_2", NULL).code, E_CORRUPT);
	sql(db, "ROLLBACK TO s; DELETE FROM chunks WHERE n = 1");
	assert_int_equal(ask(db, &ann, CONTENT_BODY, CONTENT_FILE, "file_2", NULL).code, E_CORRUPT);
	sql(db,
	    "ROLLBACK TO s; INSERT INTO items (user, response, conversation, hash, output, size,"
	    " key, value) SELECT user, response, conversation, hash, output, size, key, value"
	    " FROM items WHERE id = 1");
	assert_int_equal(
	    ask(db, &ann, CONTENT_LOAD, CONTENT_CONVERSATION, "conv_1", NULL).code, E_CORRUPT);
	/* Items of two responses change places. */
	sql(db, "ROLLBACK TO s; UPDATE items SET response = (SELECT min(response) + max(response) "
		"FROM items) - response"
		" WHERE response IS NOT NULL");
	assert_int_equal(
	    ask(db, &ann, CONTENT_READ, CONTENT_RESPONSE, "resp_2", NULL).code, E_CORRUPT);
	/* bob's row becomes ann's. */
	sql(db, "ROLLBACK TO s; PRAGMA foreign_keys=OFF; DELETE FROM objects WHERE id = 1;"
		"UPDATE objects SET user = 1 WHERE user = 2");
	assert_int_equal(
	    ask(db, &ann, CONTENT_READ, CONTENT_CONVERSATION, "conv_1", NULL).code, E_CORRUPT);
	sql(db, "ROLLBACK TO s; RELEASE s");
	assert_int_equal(check(db, "all is as it was"), 0);
	db_close(db);
	forget();
}

#define T(f) cmocka_unit_test_setup(f, fresh)

int
main(void)
{
	const struct CMUnitTest tests[] = { T(bits), T(swaps), T(replays), T(rows_gone) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
