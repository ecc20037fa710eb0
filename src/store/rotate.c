/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rotate.c: rotation of keys, step by step.
 *
 * Runs in: store, from a timer. Trusts: nothing that it reads.
 * Owns: where the rotation under way has come to.
 * Invariants: a step leaves everything readable, whatever comes after it; where a rotation is
 * follows from the rows, so that one that was cut off goes on; a value that does not open
 * keeps its key, is counted, and stops nothing.
 * See: rotate.h; keyring.h.
 */
#include "rotate.h"

#include <base/cleanup.h>
#include <base/clock.h>

#include "internal.h"

#define VALUE_MAX (SEAL_PLAIN_LEN_MAX + SEAL_OVERHEAD)

/* One step. E_NOTFOUND: this stage has nothing left. */
typedef struct status step_fn(struct db *db);

static step_fn kek_tenants, kek_secrets, kek_retire;
static step_fn data_tenants, data_users, data_values, data_wraps, data_retire;

static step_fn *const kek_stages[] = { kek_tenants, kek_secrets, kek_retire, NULL };
static step_fn *const data_stages[] = { data_tenants, data_users, data_values, data_wraps,
	data_retire, NULL };
static step_fn *const *const stages[] = {
	[AS_ROTATE_KEK] = kek_stages,
	[AS_ROTATE_DATA] = data_stages,
};

/* What was changed by others keeps its key; all else goes on. */
static bool
skipped(struct db *db, struct status st)
{
	bool skip = st.code == E_CORRUPT || st.code == E_CRYPTO;

	db->rotation.unopened += skip ? 1 : 0;
	return skip;
}

/* ---- a new key-encryption key ---- */

static struct status
kek_tenants(struct db *db)
{
	uint64_t newest, id = 0, tenant = 0, version = 0;
	struct status st;

	TRY(keyring_kek_version(db, &newest));
	sql_int(db, SQL_OLD_TENANT_WRAP, 1, newest);
	sql_int(db, SQL_OLD_TENANT_WRAP, 2, db->rotation.cursor);
	TRY(sql_row(db, SQL_OLD_TENANT_WRAP));
	st = sql_column_u64(db, SQL_OLD_TENANT_WRAP, 0, &id);
	if (is_ok(st))
		st = sql_column_u64(db, SQL_OLD_TENANT_WRAP, 1, &tenant);
	if (is_ok(st))
		st = sql_column_u64(db, SQL_OLD_TENANT_WRAP, 2, &version);
	sql_reset(db, SQL_OLD_TENANT_WRAP);
	TRY(st);
	db->rotation.cursor = id;
	st = keyring_tenant_rewrap(db, (int64_t)tenant, id, version);
	return skipped(db, st) ? OK : st;
}

static struct status
kek_secrets(struct db *db)
{
	auto_buf struct buf name = BUF_INIT(SECRET_NAME_MAX);
	uint64_t newest;
	struct status st;

	TRY(keyring_kek_version(db, &newest));
	sql_int(db, SQL_OLD_SECRET, 1, newest);
	TRY(sql_row(db, SQL_OLD_SECRET));
	st = buf_put_span(&name, sql_column(db, SQL_OLD_SECRET, 0));
	sql_reset(db, SQL_OLD_SECRET);
	TRY(st);
	st = db_secret_rewrap(db, buf_span(&name));
	/* The first one that does not open ends the stage: there are few. */
	return skipped(db, st) ? fail(E_NOTFOUND) : st;
}

static struct status
kek_retire(struct db *db)
{
	uint64_t newest;

	TRY(keyring_kek_version(db, &newest));
	sql_int(db, SQL_KEKS_RETIRE, 1, newest);
	TRY(sql_run(db, SQL_KEKS_RETIRE));
	return fail(E_NOTFOUND);
}

/* ---- new keys of tenants and users ---- */

static struct status
data_tenants(struct db *db)
{
	uint64_t id, version = 0, key = 0;
	struct data_key made;
	struct span name;
	struct status st;

	sql_int(db, SQL_TENANT_AFTER, 1, db->rotation.cursor);
	TRY(sql_row(db, SQL_TENANT_AFTER));
	st = sql_column_u64(db, SQL_TENANT_AFTER, 0, &id);
	if (is_ok(st))
		st = sql_column_u64(db, SQL_TENANT_AFTER, 1, &version);
	if (is_ok(st))
		st = sql_column_u64(db, SQL_TENANT_AFTER, 2, &key);
	sql_reset(db, SQL_TENANT_AFTER);
	TRY(st);
	db->rotation.cursor = id;
	if (key > db->rotation.tenant_mark)
		return OK;
	st = tenant_name(db, (int64_t)id, &name);
	if (is_ok(st))
		st = keyring_tenant_newer(db, (int64_t)id, version + 1, &made);
	if (is_ok(st))
		st = tenant_seal(db, (int64_t)id, name);
	return skipped(db, st) ? OK : st;
}

static struct status
data_users(struct db *db)
{
	uint64_t id, key = 0;
	struct data_key made;
	struct status st;

	sql_int(db, SQL_USER_AFTER, 1, db->rotation.cursor);
	TRY(sql_row(db, SQL_USER_AFTER));
	st = sql_column_u64(db, SQL_USER_AFTER, 0, &id);
	if (is_ok(st))
		st = sql_column_u64(db, SQL_USER_AFTER, 1, &key);
	sql_reset(db, SQL_USER_AFTER);
	TRY(st);
	db->rotation.cursor = id;
	if (key > db->rotation.user_mark)
		return OK;
	/* Its newest key may not open, and is not needed here. */
	st = keyring_user_newer(db, (int64_t)id, &made);
	return skipped(db, st) ? OK : st;
}

/* A part of a row's name, as keyring.h has it. */
static struct span
row_part(struct backend_stmt *st, int at, uint8_t number[8])
{
	if (backend_column_is_int(st, at))
		return place_number((uint64_t)backend_column_int(st, at), number);
	return backend_column(st, at);
}

static struct status
value_set(struct backend_stmt *to, int64_t rowid, uint64_t key, struct span value)
{
	struct status st;

	backend_bind_int(to, 1, rowid);
	backend_bind_int(to, 2, (int64_t)key);
	backend_bind_blob(to, 3, value);
	st = backend_step(to);
	backend_reset(to);
	return st.code == E_NOTFOUND ? OK : st;
}

/* The row that `from` has found: rowid, two parts of its name, version, value. */
static struct status
value_reseal(struct db *db, const struct keyring_column *c, struct backend_stmt *from,
    struct backend_stmt *to, int64_t user, uint64_t key)
{
	auto_buf struct buf plain = BUF_INIT(VALUE_MAX), sealed = BUF_INIT(VALUE_MAX);
	uint8_t numbers[2][8];
	const struct place at = { c->table,
		{ row_part(from, 1, numbers[0]), row_part(from, 2, numbers[1]) }, c->column };
	uint64_t version = (uint64_t)backend_column_int(from, 3), newest;
	struct status st = keyring_value_open(
	    db, user, key, &at, version, backend_column(from, 4), &plain);

	if (is_ok(st))
		st = keyring_value_seal(db, user, &at, version, buf_span(&plain), &newest, &sealed);
	if (plain.cap > 0)
		secret_wipe(plain.ptr, plain.cap);
	TRY(st);
	return value_set(to, backend_column_int(from, 0), newest, buf_span(&sealed));
}

/*
 * The next value under that key, behind where its rotation has come to. E_NOTFOUND: there is
 * none any more. Of one that does not open: its error; the next call goes on behind it.
 */
static struct status
value_next(struct db *db, int64_t user, uint64_t key)
{
	struct rotation *r = &db->rotation;

	for (; r->column < keyring_columns_n; r->column++, r->row = 0) {
		struct backend_stmt *from = r->columns[2 * r->column];
		struct status st;
		bool found;

		backend_bind_int(from, 1, (int64_t)key);
		backend_bind_int(from, 2, (int64_t)r->row);
		st = backend_step(from);
		found = is_ok(st);
		if (found) {
			r->row = (uint64_t)backend_column_int(from, 0);
			st = value_reseal(db, &keyring_columns[r->column], from,
			    r->columns[2 * r->column + 1], user, key);
		}
		backend_reset(from);
		if (found || st.code != E_NOTFOUND)
			return st;
	}
	return fail(E_NOTFOUND);
}

/* It is another key's turn. */
static void
key_begin(struct rotation *r, uint64_t key)
{
	r->key = key;
	r->row = r->column = 0;
	r->needed = false;
}

/*
 * An old key of a user: one value of it, or else the key itself: it goes, or stays for what did
 * not open.
 */
static struct status
data_values(struct db *db)
{
	struct rotation *r = &db->rotation;
	uint64_t id = 0, user = 0;
	struct status st;

	sql_int(db, SQL_OLD_USER_KEY, 1, r->cursor);
	sql_int(db, SQL_OLD_USER_KEY, 2, r->user_mark);
	TRY(sql_row(db, SQL_OLD_USER_KEY));
	st = sql_column_u64(db, SQL_OLD_USER_KEY, 0, &id);
	if (is_ok(st))
		st = sql_column_u64(db, SQL_OLD_USER_KEY, 1, &user);
	sql_reset(db, SQL_OLD_USER_KEY);
	TRY(st);
	if (r->key != id)
		key_begin(r, id);
	st = value_next(db, (int64_t)user, id);
	if (skipped(db, st)) {
		r->needed = true;
		return OK;
	}
	if (st.code != E_NOTFOUND)
		return st;
	if (r->needed) {
		r->cursor = id;
		return OK;
	}
	keyring_user_drop(db, id);
	sql_int(db, SQL_USER_KEY_REMOVE, 1, id);
	return sql_run(db, SQL_USER_KEY_REMOVE);
}

/* Keys of users that stay for what did not open: under the newest key of their tenant. */
static struct status
data_wraps(struct db *db)
{
	uint64_t column[4];
	struct status st = OK;

	sql_int(db, SQL_OLD_USER_WRAP, 1, db->rotation.tenant_mark);
	sql_int(db, SQL_OLD_USER_WRAP, 2, db->rotation.cursor);
	TRY(sql_row(db, SQL_OLD_USER_WRAP));
	for (int i = 0; i < 4 && is_ok(st); i++)
		st = sql_column_u64(db, SQL_OLD_USER_WRAP, i, &column[i]);
	sql_reset(db, SQL_OLD_USER_WRAP);
	TRY(st);
	db->rotation.cursor = column[0];
	st = keyring_user_rewrap(db, (int64_t)column[1], (int64_t)column[3], column[0], column[2]);
	return skipped(db, st) ? OK : st;
}

static struct status
data_retire(struct db *db)
{
	sql_int(db, SQL_TENANT_KEYS_RETIRE, 1, db->rotation.tenant_mark);
	TRY(sql_run(db, SQL_TENANT_KEYS_RETIRE));
	return fail(E_NOTFOUND);
}

/* ---- a rotation ---- */

/* Its row: is it under way? E_NOTFOUND: there was none ever. */
static struct status
rotation_get(struct db *db, enum as_rotation what, uint64_t row[5])
{
	struct status st = OK;

	sql_int(db, SQL_ROTATION_GET, 1, what);
	TRY(sql_row(db, SQL_ROTATION_GET));
	for (int i = 0; i < 5 && is_ok(st); i++)
		st = sql_column_u64(db, SQL_ROTATION_GET, i, &row[i]);
	sql_reset(db, SQL_ROTATION_GET);
	return st;
}

static void
go_on_with(struct db *db, uint64_t what, uint64_t tenant_mark, uint64_t user_mark)
{
	struct rotation *r = &db->rotation;

	*r = (struct rotation){ .what = what,
		.tenant_mark = tenant_mark,
		.user_mark = user_mark,
		.columns = r->columns };
}

static struct status
columns_prepare(struct db *db)
{
	struct backend_stmt **st = calloc(2 * keyring_columns_n, sizeof(struct backend_stmt *));

	if (st == NULL)
		return fail(E_NOMEM);
	db->rotation.columns = st;
	for (size_t i = 0; i < 2 * keyring_columns_n; i++) {
		const struct keyring_column *c = &keyring_columns[i / 2];

		TRY(backend_prepare(db->back, i % 2 == 0 ? c->next : c->set, &st[i]));
	}
	return OK;
}

struct status
rotation_open(struct db *db)
{
	TRY(columns_prepare(db));
	for (enum as_rotation what = AS_ROTATE_KEK; what <= AS_ROTATE_LAST; what++) {
		uint64_t row[5];
		struct status st = rotation_get(db, what, row);

		if (st.code == E_NOTFOUND)
			continue;
		TRY(st);
		if (row[1] == 0)
			go_on_with(db, what, row[2], row[3]);
	}
	return OK;
}

void
rotation_close(struct db *db)
{
	if (db->rotation.columns == NULL)
		return;
	for (size_t i = 0; i < 2 * keyring_columns_n; i++)
		backend_finalize(db->rotation.columns[i]);
	free(db->rotation.columns);
	db->rotation.columns = NULL;
}

static struct status
rotation_write(struct db *db, enum as_rotation what, uint64_t started_s, uint64_t ended_s,
    const uint64_t marks[2])
{
	sql_int(db, SQL_ROTATION_BEGIN, 1, what);
	sql_int(db, SQL_ROTATION_BEGIN, 2, started_s);
	sql_int(db, SQL_ROTATION_BEGIN, 3, ended_s);
	sql_int(db, SQL_ROTATION_BEGIN, 4, marks[0]);
	sql_int(db, SQL_ROTATION_BEGIN, 5, marks[1]);
	return sql_run(db, SQL_ROTATION_BEGIN);
}

/* All of them are to be in memory. */
static struct status
room_for_kek(struct db *db)
{
	uint64_t n = 0;

	TRY(db_count(db, SQL_COUNT_KEKS, 0, &n));
	return n < KEYRING_KEKS_MAX ? OK : fail(E_FULL);
}

static struct status
begin(struct db *db, enum as_rotation what, uint64_t now_s, uint64_t marks[2])
{
	struct status st;
	uint64_t newest;

	TRY(sql_row(db, SQL_ROTATION_MARKS));
	st = sql_column_u64(db, SQL_ROTATION_MARKS, 0, &marks[0]);
	if (is_ok(st))
		st = sql_column_u64(db, SQL_ROTATION_MARKS, 1, &marks[1]);
	sql_reset(db, SQL_ROTATION_MARKS);
	TRY(st);
	if (what == AS_ROTATE_KEK) {
		TRY(keyring_kek_version(db, &newest));
		TRY(room_for_kek(db));
		TRY(keyring_kek_make(db, newest + 1));
	}
	return rotation_write(db, what, now_s, 0, marks);
}

bool
db_rotate_is_under_way(const struct db *db)
{
	return db->rotation.what != AS_ROTATE_NONE;
}

struct status
db_rotate(struct db *db, enum as_rotation what, uint64_t now_s)
{
	uint64_t marks[2] = { 0 };

	if (what < AS_ROTATE_KEK || what > AS_ROTATE_LAST || now_s == 0 || now_s > INT64_MAX)
		return fail(E_RANGE);
	if (db->rotation.what != AS_ROTATE_NONE)
		return fail(E_EXISTS);
	TRY(db_begin(db));
	TRY(db_end(db, begin(db, what, now_s, marks)));
	go_on_with(db, what, marks[0], marks[1]);
	return OK;
}

static struct status
baseline(struct db *db, uint64_t now_s)
{
	static const uint64_t none[2];

	for (enum as_rotation what = AS_ROTATE_KEK; what <= AS_ROTATE_LAST; what++) {
		uint64_t row[5];
		struct status st = rotation_get(db, what, row);

		if (st.code == E_NOTFOUND)
			st = rotation_write(db, what, now_s, now_s, none);
		TRY(st);
	}
	return OK;
}

struct status
db_rotate_baseline(struct db *db, uint64_t now_s)
{
	TRY(db_begin(db));
	return db_end(db, baseline(db, now_s));
}

/* One step of the stage that it is at; the next stage, when that has nothing left. */
static struct status
one_step(struct db *db)
{
	struct rotation *r = &db->rotation;
	struct status st = stages[r->what][r->stage](db);

	if (st.code != E_NOTFOUND)
		return st;
	r->stage++;
	r->cursor = 0;
	return OK;
}

static struct status
some_steps(struct db *db, uint64_t now_s, uint64_t budget_ns)
{
	uint64_t until = clock_mono_ns() + budget_ns;
	struct rotation *r = &db->rotation;

	for (unsigned i = 0; i < ROTATE_STEPS_MAX && stages[r->what][r->stage] != NULL; i++) {
		TRY(one_step(db));
		if (clock_mono_ns() >= until)
			break;
	}
	if (stages[r->what][r->stage] != NULL)
		return OK;
	sql_int(db, SQL_ROTATION_END, 1, r->what);
	sql_int(db, SQL_ROTATION_END, 2, now_s);
	sql_int(db, SQL_ROTATION_END, 3, r->unopened);
	return sql_run(db, SQL_ROTATION_END);
}

struct status
db_rotate_step(struct db *db, uint64_t now_s, uint64_t budget_ns, bool *ret_more)
{
	struct rotation before = db->rotation;
	struct status st;

	if (before.what == AS_ROTATE_NONE)
		return fail(E_NOTFOUND);
	if (now_s == 0 || now_s > INT64_MAX)
		return fail(E_RANGE);
	sql_reset_all(db); /* a read that is open would hold the transaction up */
	TRY(db_begin(db));
	st = db_end(db, some_steps(db, now_s, budget_ns));
	if (!is_ok(st)) {
		db->rotation = before;
		return st;
	}
	*ret_more = stages[before.what][db->rotation.stage] != NULL;
	if (*ret_more)
		return OK;
	db->rotation.what = AS_ROTATE_NONE;
	keyring_forget(db);
	keyring_kek_prune(db);
	return db_settle(db); /* the old keys are not in the log either */
}

/* ---- how far it is ---- */

struct status
db_count(struct db *db, enum statement s, uint64_t arg, uint64_t *ret)
{
	sql_int(db, s, 1, arg);
	return sql_number(db, s, ret);
}

/* Since when, until when; while none is under way, what the last ones could not open. */
static struct status
times(struct db *db, enum as_rotation what, uint64_t *ret_started_s, uint64_t *ret_ended_s,
    struct as_kek *last)
{
	uint64_t row[5] = { 0 };
	struct status st = rotation_get(db, what, row);

	if (!is_ok(st) && st.code != E_NOTFOUND)
		return st;
	*ret_started_s = row[0];
	*ret_ended_s = row[1];
	if (last->under_way == AS_ROTATE_NONE)
		last->unopened += row[4];
	return OK;
}

struct status
db_rotate_status(struct db *db, struct as_kek *ret)
{
	const struct rotation *r = &db->rotation;
	bool data = r->what == AS_ROTATE_DATA;
	struct as_kek s = { .code = E_OK, .under_way = (uint8_t)r->what, .unopened = 0 };

	TRY(keyring_kek_version(db, &s.version));
	TRY(db_count(db, SQL_COUNT_KEKS, 0, &s.versions));
	TRY(db_count(db, SQL_COUNT_KEK_LEFT, s.version, &s.kek_left));
	TRY(db_count(db, SQL_COUNT_USER_LEFT, data ? r->user_mark : 0, &s.data_left));
	TRY(db_count(db, SQL_COUNT_TENANT_LEFT, data ? r->tenant_mark : 0, &s.tenant_left));
	if (r->what != AS_ROTATE_NONE)
		s.unopened = r->unopened;
	TRY(times(db, AS_ROTATE_KEK, &s.kek_started_s, &s.kek_ended_s, &s));
	TRY(times(db, AS_ROTATE_DATA, &s.data_started_s, &s.data_ended_s, &s));
	*ret = s;
	return OK;
}
