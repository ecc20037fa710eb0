/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_read.c: what an administrator may look at: tenants, policies, usage.
 *
 * Runs in: authority. Trusts: nothing of a request; its door about who asks.
 * Owns: nothing. Invariants: a read is on record before it is answered; a person sees its own
 * tenant.
 * See: admin_call.h; admin_usage.c.
 */
#include "admin_op.h"

#include <stdlib.h>

#include <json/write.h>

#include "admin_json.h"

#define TENANTS_MAX 1000

/* ---- tenants ---- */

struct tenant_row {
	struct span name;
	uint64_t users, keys;
};

static struct tenant_row *
row_of(struct tenant_row *rows, size_t *n, struct span name)
{
	for (size_t i = 0; i < *n; i++) {
		if (span_eq(rows[i].name, name))
			return &rows[i];
	}
	if (*n == TENANTS_MAX)
		return NULL;
	rows[*n].name = name;
	return &rows[(*n)++];
}

static size_t
count_tenants(const struct admin_op *op, struct tenant_row *rows)
{
	const struct keys *keys = &op->a->keys;
	struct tenant_row *row;
	size_t n = 0;

	for (size_t i = 0; i < keys->nusers; i++) {
		const struct user *u = keys_user_at(keys, i);

		if (u->state == USER_ERASED ||
		    (op->tenant[0] != '\0' && !span_eq_str(u->tenant, op->tenant)))
			continue;
		row = row_of(rows, &n, u->tenant);
		if (row != NULL)
			row->users++;
	}
	for (size_t i = 0; i < keys->nkeys; i++) {
		const struct key *key = keys_at(keys, i);

		if (key->revoked_s != 0 || key->user->state == USER_ERASED ||
		    (op->tenant[0] != '\0' && !span_eq_str(key->user->tenant, op->tenant)))
			continue;
		row = row_of(rows, &n, key->user->tenant);
		if (row != NULL)
			row->keys++;
	}
	return n;
}

static struct status
make_tenants(struct admin_op *op, struct buf *out)
{
	struct tenant_row *rows = calloc(TENANTS_MAX, sizeof(rows[0]));
	struct json_writer w = json_writer(out);
	size_t n;

	if (rows == NULL)
		return fail(E_NOMEM);
	n = count_tenants(op, rows);
	json_put_object(&w);
	json_put_key(&w, "tenants");
	json_put_array(&w);
	for (size_t i = 0; i < n; i++) {
		json_put_object(&w);
		json_put_key(&w, "id");
		json_put_str(&w, rows[i].name);
		json_put_key(&w, "users");
		json_put_u64(&w, rows[i].users);
		json_put_key(&w, "keys");
		json_put_u64(&w, rows[i].keys);
		json_put_end(&w);
	}
	json_put_end(&w);
	json_put_end(&w);
	free(rows);
	return json_writer_finish(&w);
}

struct status
tenants_list(struct admin_call *c)
{
	struct admin_op *op = NULL;

	TRY(admin_read_new(c, "tenants.list", make_tenants, &op));
	return admin_read_begin(c, op);
}

/* ---- policies ---- */

static void
put_set(struct json_writer *w, const char *name, const struct name_set *set)
{
	json_put_key(w, name);
	if (set->all) {
		json_put_text(w, "*");
		return;
	}
	json_put_array(w);
	for (size_t i = 0; i < set->n; i++)
		json_put_str(w, set->names[i]);
	json_put_end(w);
}

static struct status
make_policies(struct admin_op *op, struct buf *out)
{
	static const char *const lists[LIST_COUNT] = { "endpoints", "models", "tools",
		"languages" };
	const struct policies *all = &op->a->policies;
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	json_put_key(&w, "policies");
	json_put_array(&w);
	for (size_t i = 0; i < all->n; i++) {
		const struct policy *p = &all->items[i];

		json_put_object(&w);
		json_put_key(&w, "id");
		json_put_text(&w, p->name);
		for (size_t l = 0; l < LIST_COUNT; l++)
			put_set(&w, lists[l], &p->lists[l]);
		json_put_key(&w, "requests_per_min");
		json_put_u64(&w, p->limits.per_min);
		json_put_key(&w, "concurrent");
		json_put_u64(&w, p->limits.concurrent);
		json_put_end(&w);
	}
	json_put_end(&w);
	json_put_end(&w);
	return json_writer_finish(&w);
}

struct status
policies_list(struct admin_call *c)
{
	struct admin_op *op = NULL;

	TRY(admin_read_new(c, "policies.list", make_policies, &op));
	return admin_read_begin(c, op);
}

/* ---- usage ---- */

static struct status
read_number(struct admin_call *c, const char *name, uint64_t *ret)
{
	struct span text = admin_query(c, name);

	*ret = 0;
	if (text.len > 0 && !is_ok(span_u64(text, INT64_MAX, ret)))
		return admin_refuse(c, 400, "invalid_request", "A number of the query is none.");
	return OK;
}

struct status
usage_read(struct admin_call *c)
{
	struct admin_usage f = { .tenant = c->tenant,
		.key = admin_query(c, "key"),
		.user = admin_query(c, "user"),
		.model = admin_query(c, "model"),
		.after_model = admin_query(c, "after_model") };
	struct status st;

	TRY(read_number(c, "since_s", &f.since_s));
	TRY(read_number(c, "after_user", &f.after_user));
	TRY(read_number(c, "after_key", &f.after_key));
	if ((f.key.len != 0 && f.key.len != KEY_ID_LEN) || f.user.len > USER_MAX ||
	    f.model.len > MODEL_MAX || f.after_model.len > MODEL_MAX)
		return admin_refuse(c, 400, "invalid_request", "A name of the query is too long.");
	st = admin_read_usage(c, &f);
	if (st.code == E_EXISTS)
		return admin_refuse(c, 409, "busy", "A page of usage is being made for you.");
	return st;
}
