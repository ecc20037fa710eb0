/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sweep.c: rows of those who were erased, what was hidden under a hold that is lifted or for being
 * much, files that ended, what is older than it is kept, and keys that ended long ago.
 *
 * Runs in: store, jailed. Trusts: marks of users (a hold) that stand beside their values.
 * Owns: nothing; counts in the database's state what nobody has heard of yet.
 * Invariants: one transaction a step, of a bounded number of objects, rows and bytes (but that
 * one item, or file, goes as a whole); each row is looked at once a pass, so that those that stay
 * stall nothing; nothing of a user under a hold goes; where rows of people are not our own (sum.h),
 * only what was left of the erased does. See: privacy.h.
 */
#include "privacy.h"
#include "tool.h"

struct victim {
	int64_t id, user;
	uint8_t kind;
	uint64_t size;
};

static const struct {
	uint8_t kind; /* enum content_kind */
	enum as_retained retained;
} aged[] = {
	{ CONTENT_CONVERSATION, RETAINED_CONVERSATIONS },
	{ CONTENT_RESPONSE, RETAINED_RESPONSES },
	{ CONTENT_FILE, RETAINED_FILES },
};

/* What is left of one step. */
struct step {
	uint32_t left, looks;
	uint64_t rows_until; /* of backend_changed_in_all() */
	uint64_t bytes;      /* deleted so far */
};

static bool
is_over(const struct db *db, const struct step *step)
{
	return step->left == 0 || step->looks == 0 || step->bytes >= SWEEP_BYTES_MAX ||
	       backend_changed_in_all(db->back) >= step->rows_until;
}

/* The row that `s` has found: id, user, kind, size. */
static struct status
victim_columns(struct db *db, enum statement s, struct victim *v)
{
	uint64_t id = 0, user = 0, kind = 0;

	TRY(sql_column_u64(db, s, 0, &id));
	TRY(sql_column_u64(db, s, 1, &user));
	TRY(sql_column_u64(db, s, 2, &kind));
	TRY(sql_column_u64(db, s, 3, &v->size));
	v->id = (int64_t)id;
	v->user = (int64_t)user;
	v->kind = (uint8_t)kind;
	return OK;
}

/* One item after the other; *ret_more: some are left for the next step. */
static struct status
items_leave_one_by_one(struct db *db, const struct victim *v, struct step *step, bool *ret_more)
{
	*ret_more = true;
	while (!is_over(db, step)) {
		uint64_t bytes = 0;
		struct status st = item_leave(db, v->user, (uint64_t)v->id, v->kind, &bytes);

		*ret_more = st.code != E_NOTFOUND;
		if (!*ret_more)
			return OK;
		TRY(st);
		step->bytes += bytes;
	}
	return OK;
}

/*
 * It goes, with all that is its alone. What is much is hidden, which counts as gone, and goes in
 * steps; *ret_more: there is more of it.
 */
static struct status
victim_go(struct db *db, const struct victim *v, struct step *step, uint64_t *gone, bool *ret_more)
{
	uint64_t bytes = 0, hidden = 0;

	*ret_more = false;
	if (v->kind != CONTENT_FILE)
		TRY(items_weight(db, v->user, (uint64_t)v->id, v->kind, &bytes));
	if (bytes > OBJECT_AT_ONCE_MAX) {
		sql_int(db, SQL_OBJECT_HIDE, 1, (uint64_t)v->id);
		sql_int(db, SQL_OBJECT_HIDE, 2, (uint64_t)v->user);
		TRY(sql_run(db, SQL_OBJECT_HIDE));
		hidden = backend_changed(db->back);
		TRY(items_leave_one_by_one(db, v, step, ret_more));
		bytes = 0;
	}
	*gone += *ret_more ? hidden : 1;
	if (*ret_more)
		return OK;
	TRY(object_drop(db, v->user, v->id, v->kind, v->size));
	step->left--;
	step->bytes += v->size + bytes;
	return OK;
}

/* ---- items ---- */

/* Items that were hidden from their conversation alone: the next one behind `mark`. */
static struct status
hidden_item_find(struct db *db, uint64_t *mark, struct victim *v, bool *ret_held)
{
	uint64_t user = 0, hold = 0;

	sql_int(db, SQL_SWEEP_ITEM, 1, *mark);
	TRY(sql_row(db, SQL_SWEEP_ITEM));
	TRY(sql_column_u64(db, SQL_SWEEP_ITEM, 0, mark));
	TRY(sql_column_u64(db, SQL_SWEEP_ITEM, 1, &user));
	TRY(sql_column_u64(db, SQL_SWEEP_ITEM, 2, &v->size));
	TRY(sql_column_u64(db, SQL_SWEEP_ITEM, 3, &hold));
	v->id = (int64_t)*mark;
	v->user = (int64_t)user;
	*ret_held = hold != 0;
	return OK;
}

static struct status
item_go(struct db *db, const struct victim *v, struct step *step)
{
	for (int i = 0; i < 2; i++) {
		enum statement s = i == 0 ? SQL_ITEM_LEAVE : SQL_ITEM_REMOVE;

		sql_int(db, s, 1, (uint64_t)v->id);
		sql_int(db, s, 2, (uint64_t)v->user);
		TRY(sql_run(db, s));
	}
	step->left--;
	step->bytes += v->size;
	return backend_changed(db->back) == 0 ? OK : use_take(db, v->user, 0, v->size);
}

static struct status
items_go(struct db *db, uint64_t *mark, struct step *step)
{
	while (!is_over(db, step)) {
		struct victim v = { .id = 0 };
		bool held = false;
		struct status st = hidden_item_find(db, mark, &v, &held);

		sql_reset(db, SQL_SWEEP_ITEM);
		if (st.code == E_NOTFOUND) {
			*mark = 0;
			return OK;
		}
		TRY(st);
		step->looks--;
		if (!held)
			TRY(item_go(db, &v, step));
	}
	return OK;
}

/* ---- versions of tools ---- */

static struct status
versions_go(struct db *db, uint64_t *mark, struct step *step)
{
	while (!is_over(db, step)) {
		bool held = false, more = false;
		uint64_t bytes = 0;
		struct status st = version_hidden_next(db, mark, &held);

		if (st.code == E_NOTFOUND) {
			*mark = 0;
			return OK;
		}
		TRY(st);
		step->looks--;
		if (!held)
			TRY(version_leave(db, *mark, SWEEP_BYTES_MAX - step->bytes, &bytes, &more));
		step->bytes += bytes;
		if (more) /* the next step stays at it */
			--*mark;
	}
	return OK;
}

/* ---- objects ---- */

/* Those of users who were erased, from the one at `mark` on. */
static struct status
erased_go(struct db *db, uint64_t *mark, struct step *step, uint64_t *gone)
{
	bool more;

	while (!is_over(db, step)) {
		struct victim v = { .id = 0 };
		struct status st;

		sql_int(db, SQL_SWEEP_ERASED, 1, *mark);
		st = sql_row(db, SQL_SWEEP_ERASED);
		if (is_ok(st))
			st = victim_columns(db, SQL_SWEEP_ERASED, &v);
		sql_reset(db, SQL_SWEEP_ERASED);
		if (st.code == E_NOTFOUND) {
			*mark = 0;
			return OK;
		}
		TRY(st);
		*mark = (uint64_t)v.user;
		TRY(victim_go(db, &v, step, gone, &more));
	}
	return OK;
}

/*
 * What `s` finds: id, user, kind, size, the number that it goes by, hold. Behind `params` it
 * takes the mark: that number and the id, or the id alone.
 */
struct search {
	enum statement s;
	uint64_t params[2];
	int nparams;
	bool by_id;
};

/* The next one behind `mark`, which it moves. */
static struct status
find(struct db *db, const struct search *f, struct sweep_mark *mark, struct victim *v,
    bool *ret_held)
{
	int at = f->nparams + 1;
	uint64_t hold = 0;

	for (int i = 0; i < f->nparams; i++)
		sql_int(db, f->s, i + 1, f->params[i]);
	if (!f->by_id)
		sql_int(db, f->s, at++, mark->updated_s);
	sql_int(db, f->s, at, mark->id);
	TRY(sql_row(db, f->s));
	TRY(victim_columns(db, f->s, v));
	TRY(sql_column_u64(db, f->s, 4, &mark->updated_s));
	TRY(sql_column_u64(db, f->s, 5, &hold));
	mark->id = (uint64_t)v->id;
	*ret_held = hold != 0;
	return OK;
}

/*
 * What is found, while there is room in this step; behind the last a new pass begins. What is left
 * of an object is hidden: the pass over those stays at it.
 */
static struct status
objects_go(struct db *db, const struct search *f, struct sweep_mark *mark, struct step *step,
    uint64_t *gone)
{
	while (!is_over(db, step)) {
		struct victim v = { .id = 0 };
		bool held = false, more = false;
		struct status st = find(db, f, mark, &v, &held);

		sql_reset(db, f->s);
		if (st.code == E_NOTFOUND) {
			*mark = (struct sweep_mark){ 0 };
			return OK;
		}
		TRY(st);
		step->looks--;
		if (!held)
			TRY(victim_go(db, &v, step, gone, &more));
		if (more && f->by_id)
			mark->id--;
	}
	return OK;
}

static struct status
sweep(struct db *db, uint64_t now_s, struct step *step, struct content_state *c)
{
	const struct search hidden = { .s = SQL_SWEEP_HIDDEN, .by_id = true };
	const struct search expired = { SQL_SWEEP_EXPIRED, { now_s }, 1, false };
	uint64_t unsaid = 0;

	TRY(erased_go(db, &c->erased, step, &unsaid));
	if (!sums_fit(db, SUM_PEOPLE)) /* whose is it, is there a hold? */
		return OK;
	TRY(sessions_expire(db, now_s));
	TRY(keysets_retire(db));
	TRY(objects_go(db, &hidden, &c->hidden, step, &unsaid));
	TRY(items_go(db, &c->item, step));
	TRY(versions_go(db, &c->version, step));
	TRY(objects_go(db, &expired, &c->expired, step, &c->ended));
	for (size_t i = 0; i < sizeof(aged) / sizeof(aged[0]); i++) {
		uint64_t kept_s = c->days[aged[i].retained] * 86400ULL;
		const struct search old = { SQL_SWEEP_AGED,
			{ aged[i].kind, now_s > kept_s ? now_s - kept_s : 0 }, 2, false };

		if (kept_s > 0)
			TRY(objects_go(db, &old, &c->aged[aged[i].retained], step,
			    &c->gone[aged[i].retained]));
	}
	return OK;
}

struct status
db_sweep(struct db *db, uint64_t now_s, bool *ret_more)
{
	struct content_state counted = db->content;
	struct step step = { SWEEP_OBJECTS_MAX, SWEEP_LOOKED_MAX,
		backend_changed_in_all(db->back) + SWEEP_ROWS_MAX, 0 };
	struct status st;
	bool keys = false;

	*ret_more = false;
	TRY(db_begin(db));
	st = sweep(db, now_s, &step, &counted);
	if (is_ok(st) && sums_fit(db, SUM_PEOPLE))
		st = keys_sweep(db, now_s, &counted, &keys);
	TRY(db_end(db, st));
	db->content = counted;
	*ret_more = keys || is_over(db, &step);
	return OK;
}
