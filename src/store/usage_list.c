/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage_list.c: what keys have used, a page of sums: of all, of a tenant, of a name, of a key.
 *
 * Runs in: store. Trusts: the authority about who may see it. Owns: nothing.
 * Invariants: it goes from person to person, of each from key to key, of each from model to model,
 * each by an index: it never looks at what was not asked for. A cursor says where it stands, never
 * whose that is: a key is its person's, a person of the tenant and the name asked for, or there is
 * no such place (E_AGAIN); and no row is summed that is not the tenant's. One call takes at most
 * USAGE_STEPS_MAX steps, and sums at most a page of rows: where it stopped is where the next goes
 * on, though there may be nothing on the page.
 * See: usage.c; db.h.
 */
#include "internal.h"

#define USAGE_STEPS_MAX 2048U

struct walk {
	struct db *db;
	const struct as_usage_list *m;
	int64_t tenant;           /* 0: any */
	uint8_t hash[DIGEST_LEN]; /* of the name asked for, else of the person it stands at */
	uint64_t only;            /* number of the key asked for; 0: any */
	struct db_usage_at at;
	bool entered; /* nothing of at.key was looked at yet */
};

/* ---- where it stands ---- */

/* Who was erased is in no index of those, however many they are: no page can go on there. */
static struct status
next_of_tenant(struct walk *w)
{
	struct status st;

	sql_int(w->db, SQL_USER_OF_TENANT, 1, (uint64_t)w->tenant);
	sql_blob(w->db, SQL_USER_OF_TENANT, 2,
	    w->at.user == 0 ? span_of("", 0) : span_of(w->hash, DIGEST_LEN));
	TRY(sql_row(w->db, SQL_USER_OF_TENANT));
	st = sql_column_u64(w->db, SQL_USER_OF_TENANT, 0, &w->at.user);
	if (is_ok(st))
		st = sql_column_fixed(w->db, SQL_USER_OF_TENANT, 1, w->hash, DIGEST_LEN);
	sql_reset(w->db, SQL_USER_OF_TENANT);
	return st;
}

static struct status
next_of_name(struct walk *w)
{
	sql_blob(w->db, SQL_USER_OF_HASH, 1, span_of(w->hash, DIGEST_LEN));
	sql_int(w->db, SQL_USER_OF_HASH, 2, w->at.user);
	if (w->tenant != 0)
		sql_int(w->db, SQL_USER_OF_HASH, 3, (uint64_t)w->tenant);
	return sql_number(w->db, SQL_USER_OF_HASH, &w->at.user);
}

static struct status
next_user(struct walk *w)
{
	w->at.key = 0;
	w->entered = false;
	if (w->only != 0)
		return fail(E_NOTFOUND);
	if (w->m->user.len > 0)
		return next_of_name(w);
	if (w->tenant != 0)
		return next_of_tenant(w);
	sql_int(w->db, SQL_USER_NEXT, 1, w->at.user);
	return sql_number(w->db, SQL_USER_NEXT, &w->at.user);
}

static struct status
next_key(struct walk *w)
{
	uint64_t n = w->only;

	if (w->only == 0) {
		sql_int(w->db, SQL_KEYS_OF_USER, 1, w->at.user);
		sql_int(w->db, SQL_KEYS_OF_USER, 2, w->at.key);
		TRY(sql_number(w->db, SQL_KEYS_OF_USER, &n));
	}
	if (n <= w->at.key)
		return fail(E_NOTFOUND);
	w->at.key = n;
	w->at.model[0] = '\0';
	w->entered = true;
	return OK;
}

/* The next model of the key; its days are behind 0. */
static struct status
next_model(struct walk *w)
{
	bool entered = w->entered;
	struct status st;

	w->entered = false;
	if (w->m->model.len > 0)
		return entered ? span_to_cstr(w->m->model, w->at.model, sizeof(w->at.model))
			       : fail(E_NOTFOUND);
	sql_int(w->db, SQL_USAGE_MODEL, 1, w->at.key);
	sql_text(w->db, SQL_USAGE_MODEL, 2, span_str(w->at.model));
	sql_int(w->db, SQL_USAGE_MODEL, 3, entered ? 0 : INT64_MAX);
	TRY(sql_row(w->db, SQL_USAGE_MODEL));
	st = span_to_cstr(sql_column(w->db, SQL_USAGE_MODEL, 0), w->at.model, sizeof(w->at.model));
	sql_reset(w->db, SQL_USAGE_MODEL);
	return st;
}

/* To the next model of the next key of the next person; *ret: it stands at one. */
static struct status
step(struct walk *w, bool *ret)
{
	struct status st = fail(E_NOTFOUND);

	*ret = false;
	if (w->at.key != 0)
		st = next_model(w);
	*ret = is_ok(st);
	if (st.code == E_NOTFOUND && w->at.user != 0)
		st = next_key(w);
	if (st.code == E_NOTFOUND)
		st = next_user(w);
	return st;
}

/* ---- a page ---- */

static struct status
put_sum(struct walk *w, db_usage_row *row, void *ctx, uint32_t *rows)
{
	struct as_usage_row r = { 0 };
	struct status st;
	uint64_t key;

	sql_int(w->db, SQL_USAGE_SUM, 1, w->at.key);
	sql_text(w->db, SQL_USAGE_SUM, 2, span_str(w->at.model));
	sql_int(w->db, SQL_USAGE_SUM, 3, w->m->since_day);
	if (w->tenant != 0)
		sql_int(w->db, SQL_USAGE_SUM, 4, (uint64_t)w->tenant);
	st = sql_row(w->db, SQL_USAGE_SUM);
	if (st.code == E_NOTFOUND)
		return OK;
	TRY(st);
	st = usage_row_read(w->db, SQL_USAGE_SUM, &r, &key);
	if (is_ok(st))
		st = row(ctx, &r);
	sql_reset(w->db, SQL_USAGE_SUM);
	*rows += 1;
	return st;
}

static struct status
fill(struct walk *w, db_usage_row *row, void *ctx)
{
	uint32_t rows = 0;
	bool stands;

	for (uint32_t i = 0; rows < AS_USAGE_PAGE_MAX && i < USAGE_STEPS_MAX; i++) {
		TRY(step(w, &stands));
		if (stands)
			TRY(put_sum(w, row, ctx, &rows));
	}
	return OK;
}

/* ---- where it begins ---- */

/* The key asked for, and whose it is; E_NOTFOUND, too, where that is not who was asked for. */
static struct status
begin_at_key(struct walk *w)
{
	uint64_t user = 0, tenant = 0;
	struct status st;

	sql_blob(w->db, SQL_KEY_FIND, 1, w->m->key);
	TRY(sql_row(w->db, SQL_KEY_FIND));
	st = sql_column_u64(w->db, SQL_KEY_FIND, 0, &w->only);
	if (is_ok(st))
		st = sql_column_u64(w->db, SQL_KEY_FIND, 2, &user);
	sql_reset(w->db, SQL_KEY_FIND);
	TRY(st);
	sql_int(w->db, SQL_USER_GET, 1, user);
	TRY(sql_row(w->db, SQL_USER_GET));
	st = sql_column_u64(w->db, SQL_USER_GET, 1, &tenant);
	if ((w->tenant != 0 && (uint64_t)w->tenant != tenant) ||
	    (w->m->user.len > 0 &&
		!span_eq(sql_column(w->db, SQL_USER_GET, 8), span_of(w->hash, DIGEST_LEN))))
		st = fail(E_NOTFOUND);
	sql_reset(w->db, SQL_USER_GET);
	TRY(st);
	/* A cursor of another page stands elsewhere. */
	if ((w->at.user != 0 && w->at.user != user) || (w->at.key != 0 && w->at.key != w->only))
		return fail(E_AGAIN);
	w->at.user = user;
	return OK;
}

/*
 * Is the person of SQL_USER_GET's row one of those asked for? Of a tenant's people the order is
 * that of the hashes: who was erased since has none.
 */
static struct status
is_asked_for(const struct walk *w, bool *ret)
{
	uint64_t tenant, state;

	TRY(sql_column_u64(w->db, SQL_USER_GET, 1, &tenant));
	TRY(sql_column_u64(w->db, SQL_USER_GET, 6, &state));
	*ret = (w->tenant == 0 || (tenant == (uint64_t)w->tenant && state != USER_ERASED)) &&
	       (w->m->user.len == 0 ||
		   span_eq(sql_column(w->db, SQL_USER_GET, 8), span_of(w->hash, DIGEST_LEN)));
	return OK;
}

static struct status
begin_at_user(struct walk *w)
{
	bool is_one = false;
	struct status st;

	sql_int(w->db, SQL_USER_GET, 1, w->at.user);
	st = sql_row(w->db, SQL_USER_GET);
	if (st.code == E_NOTFOUND)
		return fail(E_AGAIN);
	TRY(st);
	st = is_asked_for(w, &is_one);
	if (is_ok(st) && is_one)
		st = sql_column_fixed(w->db, SQL_USER_GET, 8, w->hash, DIGEST_LEN);
	sql_reset(w->db, SQL_USER_GET);
	TRY(st);
	return is_one ? OK : fail(E_AGAIN);
}

/* The key is the person's: the first of theirs from it on is it. */
static struct status
begin_within_user(struct walk *w)
{
	struct status st;
	uint64_t n = 0;

	TRY(begin_at_user(w));
	if (w->at.key == 0)
		return OK;
	sql_int(w->db, SQL_KEYS_OF_USER, 1, w->at.user);
	sql_int(w->db, SQL_KEYS_OF_USER, 2, w->at.key - 1);
	st = sql_number(w->db, SQL_KEYS_OF_USER, &n);
	if (st.code == E_NOTFOUND)
		return fail(E_AGAIN);
	TRY(st);
	return n == w->at.key ? OK : fail(E_AGAIN);
}

static struct status
begin(struct walk *w)
{
	const struct as_usage_list *m = w->m;

	TRY(user_name_hash(w->db, m->user, w->hash));
	if (m->tenant.len > 0)
		TRY(tenant_find(w->db, m->tenant, &w->tenant));
	w->at.user = m->after_user;
	w->at.key = m->after_user == 0 ? 0 : m->after_key;
	TRY(span_to_cstr(m->after_model, w->at.model, sizeof(w->at.model)));
	if (m->key.len > 0)
		return begin_at_key(w);
	return m->after_user == 0 ? OK : begin_within_user(w);
}

struct status
db_usage_list(struct db *db, const struct as_usage_list *m, db_usage_row *row, void *ctx,
    struct db_usage_at *ret_next)
{
	struct walk w = { .db = db, .m = m };
	struct status st;

	if (m->after_key > INT64_MAX || m->after_user > INT64_MAX ||
	    (m->key.len != 0 && m->key.len != KEY_ID_LEN))
		return fail(E_RANGE);
	st = begin(&w);
	if (is_ok(st))
		st = fill(&w, row, ctx);
	*ret_next = is_ok(st) ? w.at : (struct db_usage_at){ 0 };
	return st.code == E_NOTFOUND ? OK : st;
}
