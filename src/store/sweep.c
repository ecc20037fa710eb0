/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sweep.c: rows of those who were erased, what was hidden under a hold that is lifted, files
 * that ended, and what is older than it is kept.
 *
 * Runs in: store, jailed. Trusts: marks of users (a hold) that stand beside their values.
 * Owns: nothing; counts in the database's state what nobody has heard of yet.
 * Invariants: one transaction a step, of a bounded number of objects; nothing of a user under
 * a hold goes.
 * See: privacy.h.
 */
#include "privacy.h"

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
};

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

static struct status
victim_read(struct db *db, enum statement s, struct victim *v)
{
	struct status st;

	TRY(sql_row(db, s));
	st = victim_columns(db, s, v);
	sql_reset(db, s);
	return st;
}

/* Items that were hidden from their conversation alone. */
static struct status
item_next(struct db *db, uint32_t *left)
{
	struct victim v = { .id = 0 };
	uint64_t id, user;
	struct status st;

	sql_int(db, SQL_SWEEP_ITEM, 1, 0);
	TRY(sql_row(db, SQL_SWEEP_ITEM));
	st = sql_column_u64(db, SQL_SWEEP_ITEM, 0, &id);
	if (is_ok(st))
		st = sql_column_u64(db, SQL_SWEEP_ITEM, 1, &user);
	if (is_ok(st))
		st = sql_column_u64(db, SQL_SWEEP_ITEM, 2, &v.size);
	sql_reset(db, SQL_SWEEP_ITEM);
	TRY(st);
	for (int i = 0; i < 2; i++) {
		enum statement s = i == 0 ? SQL_ITEM_LEAVE : SQL_ITEM_REMOVE;

		sql_int(db, s, 1, id);
		sql_int(db, s, 2, user);
		TRY(sql_run(db, s));
	}
	(*left)--;
	return backend_changed(db->back) == 0 ? OK : use_take(db, (int64_t)user, 0, v.size);
}

/* Objects that `s` finds, while there is room in this step. */
static struct status
objects_go(
    struct db *db, enum statement s, const uint64_t *params, int n, uint32_t *left, uint64_t *gone)
{
	while (*left > 0) {
		struct victim v = { .id = 0 };
		struct status st;

		for (int i = 0; i < n; i++)
			sql_int(db, s, i + 1, params[i]);
		st = victim_read(db, s, &v);
		if (st.code == E_NOTFOUND)
			return OK;
		TRY(st);
		TRY(object_drop(db, v.user, v.id, v.kind, v.size));
		(*left)--;
		(*gone)++;
	}
	return OK;
}

/* The next one that is old, behind `mark`, which it moves. */
static struct status
aged_next(struct db *db, uint8_t kind, uint64_t before_s, struct sweep_mark *mark, struct victim *v,
    bool *ret_held)
{
	uint64_t hold = 0;

	sql_int(db, SQL_SWEEP_AGED, 1, kind);
	sql_int(db, SQL_SWEEP_AGED, 2, before_s);
	sql_int(db, SQL_SWEEP_AGED, 3, mark->updated_s);
	sql_int(db, SQL_SWEEP_AGED, 4, mark->id);
	TRY(sql_row(db, SQL_SWEEP_AGED));
	TRY(victim_columns(db, SQL_SWEEP_AGED, v));
	TRY(sql_column_u64(db, SQL_SWEEP_AGED, 4, &mark->updated_s));
	TRY(sql_column_u64(db, SQL_SWEEP_AGED, 5, &hold));
	mark->id = (uint64_t)v->id;
	*ret_held = hold != 0;
	return OK;
}

/* Old ones of one kind, while there is room in this step; behind the last a new pass begins. */
static struct status
aged_go(struct db *db, uint8_t kind, uint64_t before_s, struct sweep_mark *mark, struct step *step,
    uint64_t *gone)
{
	while (step->left > 0 && step->looks > 0) {
		struct victim v = { .id = 0 };
		bool held = false;
		struct status st = aged_next(db, kind, before_s, mark, &v, &held);

		sql_reset(db, SQL_SWEEP_AGED);
		if (st.code == E_NOTFOUND) {
			*mark = (struct sweep_mark){ 0 };
			return OK;
		}
		TRY(st);
		step->looks--;
		if (held)
			continue;
		TRY(object_drop(db, v.user, v.id, v.kind, v.size));
		step->left--;
		(*gone)++;
	}
	return OK;
}

static struct status
sweep(struct db *db, uint64_t now_s, struct step *step, struct content_state *c)
{
	uint32_t *left = &step->left;
	const uint64_t none[] = { 0 }, now[] = { now_s };
	uint64_t unsaid = 0;
	struct status st = OK;

	TRY(sessions_expire(db, now_s));
	TRY(keysets_retire(db));
	TRY(objects_go(db, SQL_SWEEP_ERASED, none, 1, left, &unsaid));
	TRY(objects_go(db, SQL_SWEEP_HIDDEN, none, 1, left, &unsaid));
	while (*left > 0 && is_ok(st))
		st = item_next(db, left);
	if (!is_ok(st) && st.code != E_NOTFOUND)
		return st;
	TRY(objects_go(db, SQL_SWEEP_EXPIRED, now, 1, left, &c->ended));
	for (size_t i = 0; i < sizeof(aged) / sizeof(aged[0]); i++) {
		uint64_t kept_s = c->days[aged[i].retained] * 86400ULL;

		if (kept_s > 0)
			TRY(aged_go(db, aged[i].kind, now_s > kept_s ? now_s - kept_s : 0,
			    &c->aged[aged[i].retained], step, &c->gone[aged[i].retained]));
	}
	return OK;
}

struct status
db_sweep(struct db *db, uint64_t now_s, bool *ret_more)
{
	struct content_state counted = db->content;
	struct step step = { SWEEP_OBJECTS_MAX, SWEEP_LOOKED_MAX };

	*ret_more = false;
	TRY(db_begin(db));
	TRY(db_end(db, sweep(db, now_s, &step, &counted)));
	db->content = counted;
	*ret_more = step.left == 0 || step.looks == 0;
	return OK;
}
