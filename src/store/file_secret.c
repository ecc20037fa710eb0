/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_secret.c: secrets of providers that the store keeps and cannot open.
 *
 * Runs in: store. Trusts: nothing. Owns: nothing.
 * Invariants: a name has one value and at most one before it; its versions count
 * up for ever, also when it was removed in between.
 * See: crypto/file_secret.h for what is in a value.
 */
#include "internal.h"

static bool
name_ok(struct span name)
{
	return name.len > 0 && name.len <= SECRET_NAME_MAX && memchr(name.ptr, 0, name.len) == NULL;
}

struct status
db_file_get(struct db *db, struct span name, struct as_secret *ret)
{
	sql_reset(db, SQL_FILE_FIND);
	if ((db_sums_unfit(db) & 1U << SUM_SECRETS) != 0)
		return fail(E_CORRUPT);
	sql_text(db, SQL_FILE_FIND, 1, name);
	TRY(sql_row(db, SQL_FILE_FIND));
	ret->code = E_OK;
	TRY(sql_column_u64(db, SQL_FILE_FIND, 0, &ret->version));
	TRY(sql_column_u64(db, SQL_FILE_FIND, 2, &ret->previous_version));
	ret->sealed = sql_column(db, SQL_FILE_FIND, 1);
	ret->previous = sql_column(db, SQL_FILE_FIND, 3);
	if (ret->sealed.len > SECRET_SEALED_MAX || ret->previous.len > SECRET_SEALED_MAX)
		return fail(E_CORRUPT);
	return OK;
}

static struct status
put(struct db *db, const struct as_secret_put *m)
{
	enum statement s = m->rotate ? SQL_FILE_ROTATE : SQL_FILE_PUT;

	sql_text(db, s, 1, m->name);
	sql_blob(db, s, 2, m->sealed);
	sql_int(db, s, 3, m->set_s);
	TRY(sql_run(db, s));
	if (m->rotate && backend_changed(db->back) == 0)
		return fail(E_NOTFOUND);
	return rows_fit(db, SQL_FILE_COUNT, AS_SECRETS_MAX);
}

struct status
db_file_put(struct db *db, const struct as_secret_put *m, struct as_secret *ret)
{
	if (!name_ok(m->name) || m->sealed.len == 0)
		return fail(E_SYNTAX);
	sql_reset(db, SQL_FILE_FIND); /* a read that is open would hold the transaction up */
	TRY(db_begin(db));
	TRY(db_end(db, put(db, m)));
	TRY(db_file_get(db, m->name, ret));
	ret->sealed = ret->previous = SPAN_EMPTY;
	sql_reset(db, SQL_FILE_FIND);
	return OK;
}

static struct status
take_away(struct db *db, struct span name)
{
	sql_text(db, SQL_FILE_REMOVE, 1, name);
	TRY(sql_run(db, SQL_FILE_REMOVE));
	return backend_changed(db->back) > 0 ? OK : fail(E_NOTFOUND);
}

struct status
db_file_remove(struct db *db, struct span name)
{
	if (!name_ok(name))
		return fail(E_SYNTAX);
	sql_reset(db, SQL_FILE_FIND);
	TRY(db_begin(db));
	sums_less(db);
	return db_end(db, take_away(db, name));
}

struct status
db_file_next(struct db *db, struct span after, struct as_secret_row *ret)
{
	sql_reset(db, SQL_FILE_NEXT);
	sql_text(db, SQL_FILE_NEXT, 1, after.len > 0 ? after : span_of("", 0));
	TRY(sql_row(db, SQL_FILE_NEXT));
	ret->name = sql_column(db, SQL_FILE_NEXT, 0);
	TRY(sql_column_u64(db, SQL_FILE_NEXT, 1, &ret->version));
	TRY(sql_column_u64(db, SQL_FILE_NEXT, 2, &ret->previous_version));
	return sql_column_u64(db, SQL_FILE_NEXT, 3, &ret->set_s);
}
