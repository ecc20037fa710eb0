/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage.c: what keys have used: sums of a day, per key and model.
 *
 * Runs in: store. Trusts: the authority's counts. Owns: nothing.
 * Invariants: a batch is added whole, and once: the number of the last one is
 * written in the same transaction. A sum that would overflow is an error.
 * See: db.h; usage_list.c; wire/authority_store.h.
 */
#include "internal.h"

/* The first of the counts, in the order of the struct and of the statement. */
#define COUNTS 10
#define TRIM_MAX 1024 /* old rows that go with one batch */
#define COUNT_PARAM 4
#define COUNT_COLUMN 4
#define COUNT_MAX (1ULL << 40) /* of one item: sums of a million days still fit */

static struct status
batch_is_in(struct db *db, const struct as_usage_add *m, bool *ret)
{
	uint64_t seq = 0;
	struct status st;

	*ret = false;
	sql_blob(db, SQL_BATCH_FIND, 1, span_of(m->epoch, AS_EPOCH_LEN));
	st = sql_row(db, SQL_BATCH_FIND);
	if (st.code == E_NOTFOUND)
		return OK;
	TRY(st);
	st = sql_column_u64(db, SQL_BATCH_FIND, 0, &seq);
	sql_reset(db, SQL_BATCH_FIND);
	*ret = is_ok(st) && m->seq <= seq;
	return st;
}

static struct status
item_add(struct db *db, const struct as_usage_item *i)
{
	const uint64_t counts[COUNTS] = { i->requests, i->errors, i->tokens_in, i->tokens_out,
		i->estimated, i->estimated_in, i->estimated_out, i->cached_in, i->cache_written_in,
		i->reasoning_out };

	for (size_t n = 0; n < COUNTS; n++) {
		if (counts[n] > COUNT_MAX)
			return fail(E_RANGE);
	}
	sql_blob(db, SQL_USAGE_ADD, 1, span_of(i->id, KEY_ID_LEN));
	sql_text(db, SQL_USAGE_ADD, 2, i->model.len > 0 ? i->model : span_of("", 0));
	sql_int(db, SQL_USAGE_ADD, 3, i->day);
	for (size_t n = 0; n < COUNTS; n++)
		sql_int(db, SQL_USAGE_ADD, COUNT_PARAM + (int)n, counts[n]);
	return sql_run(db, SQL_USAGE_ADD);
}

static struct status
batch_add(struct db *db, const struct as_usage_add *m)
{
	const struct as_usage_item *items = m->items.items;
	uint32_t newest = 0, days = db->content.days[RETAINED_USAGE];

	for (uint32_t i = 0; i < m->items.count; i++) {
		TRY(item_add(db, &items[i]));
		newest = items[i].day > newest ? items[i].day : newest;
	}
	/* A day that is ahead of the time that ages go by takes none with it: sweep_clock.c. */
	if (db->content.today != 0 && newest > db->content.today)
		newest = db->content.today;
	sql_int(db, SQL_USAGE_TRIM, 1, days > 0 && newest > days ? newest - days : 0);
	sql_int(db, SQL_USAGE_TRIM, 2, TRIM_MAX);
	TRY(sql_run(db, SQL_USAGE_TRIM));
	db->content.gone[RETAINED_USAGE] += backend_changed(db->back);
	sql_blob(db, SQL_BATCH_SET, 1, span_of(m->epoch, AS_EPOCH_LEN));
	sql_int(db, SQL_BATCH_SET, 2, m->seq);
	return sql_run(db, SQL_BATCH_SET);
}

struct status
db_usage_add(struct db *db, const struct as_usage_add *m)
{
	bool is_in = false;

	if (m->seq == 0 || m->seq > INT64_MAX)
		return fail(E_RANGE);
	TRY(batch_is_in(db, m, &is_in));
	if (is_in)
		return OK;
	TRY(db_begin(db));
	return db_end(db, batch_add(db, m));
}

struct status
usage_row_read(struct db *db, enum statement s, struct as_usage_row *r, uint64_t *ret_key)
{
	uint64_t *const counts[COUNTS] = { &r->requests, &r->errors, &r->tokens_in, &r->tokens_out,
		&r->estimated, &r->estimated_in, &r->estimated_out, &r->cached_in,
		&r->cache_written_in, &r->reasoning_out };

	uint64_t user;
	struct status st;

	TRY(sql_column_u64(db, s, 0, ret_key));
	TRY(sql_column_fixed(db, s, 1, r->id, sizeof(r->id)));
	TRY(sql_column_u64(db, s, 2, &user));
	st = user_names(db, (int64_t)user, &r->tenant, &r->user);
	if (st.code == E_NOTFOUND) /* the counts stay, and say nothing of anybody */
		r->tenant = r->user = SPAN_LIT("(erased)");
	else
		TRY(st);
	r->model = sql_column(db, s, 3);
	for (size_t n = 0; n < COUNTS; n++)
		TRY(sql_column_u64(db, s, COUNT_COLUMN + (int)n, counts[n]));
	return OK;
}

struct status
db_usage_of_key(struct db *db, uint64_t key, db_usage_row *row, void *ctx)
{
	struct as_usage_row r = { 0 };
	struct status st;
	uint64_t n;

	sql_reset(db, SQL_USAGE_OF_KEY);
	sql_int(db, SQL_USAGE_OF_KEY, 1, key);
	while (is_ok(st = sql_row(db, SQL_USAGE_OF_KEY))) {
		st = usage_row_read(db, SQL_USAGE_OF_KEY, &r, &n);
		if (is_ok(st))
			st = row(ctx, &r);
		if (!is_ok(st))
			break;
	}
	sql_reset(db, SQL_USAGE_OF_KEY);
	return st.code == E_NOTFOUND ? OK : st;
}
