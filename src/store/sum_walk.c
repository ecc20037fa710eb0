/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sum_walk.c: what rows add to sums: those that this connection changes, and, in a look at all,
 * those that are there.
 *
 * Runs in: store. Trusts: nothing that it reads. Owns: how far a look has come.
 * Invariants: a look goes by rows' numbers, a piece at a time, and others change rows in between.
 * What they do to rows that were looked at is taken along, all else is still to come: so what it
 * has at its end are the rows of then. What is rolled back is rolled back here, too.
 * See: sum.h; sum_rows.c for the rows.
 */
#include "sum.h"

#include <base/clock.h>
#include <crypto/hash.h>

/* A row's HMAC, with its table's name; its cells have their lengths. */
static struct status
term_of(struct db *db, const struct sum_rows *rows, const struct span *parts, size_t n,
    uint8_t out[DIGEST_LEN])
{
	struct span all[1 + 2 * BACKEND_CELLS_MAX];

	all[0] = span_of(rows->table, strlen(rows->table) + 1);
	memcpy(all + 1, parts, n * sizeof(*parts));
	return hmac_sha256_parts(db->sums.key, all, n + 1, out);
}

static bool
is_looked_at(const struct sum_walk *w, size_t table, int64_t row)
{
	if (!w->under_way || table != w->table)
		return w->under_way && table < w->table;
	return w->any && row <= w->row;
}

/* One that is there. Each piece begins with the last one of that before. */
static struct status
on_read(struct db *db, const struct backend_row *row)
{
	struct sum_walk *w = &db->sums.walk;
	uint8_t term[DIGEST_LEN];

	if (row->table != w->table || (w->any && row->row < w->row))
		return fail(E_CORRUPT); /* the order is the file's word, too */
	if (w->any && row->row == w->row)
		return OK;
	TRY(term_of(db, &sum_rows[row->table], row->parts, row->nparts, term));
	sum_add(w->now[sum_rows[row->table].sum], term);
	w->row = row->row;
	w->any = true;
	w->rows++;
	return OK;
}

/* A change that no transaction has would be in the table, and in no sum. */
static struct status
on_changed(struct db *db, const struct backend_row *row)
{
	struct sums_state *s = &db->sums;
	void (*const put)(uint8_t *, const uint8_t *) = row->gone ? sum_take : sum_add;
	uint8_t term[DIGEST_LEN];
	enum as_sum sum;

	s->failed = true; /* until it is in the sum */
	if (row->table >= sum_rows_n || row->nparts > 2 * BACKEND_CELLS_MAX ||
	    !backend_in_transaction(db->back))
		return fail(E_CORRUPT);
	sum = sum_rows[row->table].sum;
	TRY(term_of(db, &sum_rows[row->table], row->parts, row->nparts, term));
	put(s->now[sum], term);
	if (is_looked_at(&s->walk, row->table, row->row))
		put(s->walk.now[sum], term);
	s->dirty[sum] = true;
	s->failed = false;
	return OK;
}

static struct status
on_row(void *ctx, const struct backend_row *row)
{
	struct db *db = ctx;

	return db->sums.walk.reading ? on_read(db, row) : on_changed(db, row);
}

struct status
sum_watch(struct db *db)
{
	TRY(backend_watch_rows(db->back, on_row, db));
	for (size_t i = 0; i < sum_rows_n; i++)
		TRY(backend_exec(db->back, sum_rows[i].triggers));
	return OK;
}

/* ---- a look at all rows ---- */

static void
begin(struct sum_walk *w)
{
	*w = (struct sum_walk){ .under_way = true, .row = INT64_MIN };
}

static void
next_table(struct sum_walk *w)
{
	w->table++;
	w->row = INT64_MIN;
	w->any = false;
	w->under_way = w->table < sum_rows_n;
}

/* A step: a row at least, or the end of its table. */
static struct status
read_some(struct db *db, uint64_t began_ns, uint64_t budget_ns)
{
	struct sum_walk *w = &db->sums.walk;
	const uint64_t before = w->rows;
	struct backend_stmt *all = NULL;
	struct status st;

	TRY(backend_prepare(db->back, sum_rows[w->table].all, &all));
	backend_bind_int(all, 1, w->row);
	w->reading = true;
	do {
		st = backend_step(all);
	} while (is_ok(st) && (w->rows == before || clock_mono_ns() - began_ns < budget_ns));
	w->reading = false;
	backend_finalize(all);
	if (st.code != E_NOTFOUND)
		return st;
	next_table(w);
	return OK;
}

struct status
sum_walk_some(struct db *db, uint64_t budget_ns, bool *ret_more)
{
	struct sum_walk *w = &db->sums.walk;
	const uint64_t began_ns = clock_mono_ns();
	struct status st;

	if (!w->under_way)
		begin(w);
	do {
		st = read_some(db, began_ns, budget_ns);
	} while (is_ok(st) && w->under_way && clock_mono_ns() - began_ns < budget_ns);
	memcpy(w->kept, w->now, sizeof(w->kept));
	if (!is_ok(st))
		w->under_way = false;
	*ret_more = w->under_way;
	return st;
}

struct status
sum_walk_all(struct db *db)
{
	bool more;

	db->sums.walk.under_way = false;
	return sum_walk_some(db, UINT64_MAX, &more);
}

void
sum_walk_over(struct sum_walk *w, bool committed)
{
	if (committed)
		memcpy(w->kept, w->now, sizeof(w->kept));
	else
		memcpy(w->now, w->kept, sizeof(w->now));
}
