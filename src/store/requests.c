/* SPDX-License-Identifier: Apache-2.0 */
/*
 * requests.c: the authority's requests about secrets of providers and usage.
 *
 * Runs in: store, jailed. Trusts: the authority, within the tables of the edge.
 * Owns: the texts of one page, until it is sent.
 * Invariants: an answer leaves after the commit of what it confirms; values of
 * secrets go as they came, sealed.
 * See: wire/authority_store.h.
 */
#include "requests.h"

#include <stdlib.h>

#include <daemon/daemon.h>

static struct db *db;

void
requests_init(struct db *with)
{
	db = with;
}

static void
reply(struct link *l, uint64_t id, uint16_t type, const void *msg)
{
	if (!is_ok(link_send(l, id, type, msg)))
		diag(DIAG_WARN, "the authority does not read its answers");
}

static void
count_change(struct status st, const char *what)
{
	daemon_metric_add(METRIC_STORE_CHANGES, is_ok(st) ? 1 : 0);
	if (!is_ok(st) && st.code != E_NOTFOUND)
		diag(DIAG_WARN, "%s refused: %s", what, status_text(st));
}

/* ---- secrets ---- */

void
requests_on_secret_put(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct as_secret m = { 0 };
	struct status st = db_file_put(db, msg, &m);

	(void)ctx;
	count_change(st, "secret");
	if (!is_ok(st))
		m = (struct as_secret){ 0 };
	m.code = st.code;
	reply(l, id, AS_SECRET, &m);
}

void
requests_on_secret_get(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_secret_name *name = msg;
	struct as_secret m = { 0 };
	struct status st = db_file_get(db, name->name, &m);

	(void)ctx;
	if (!is_ok(st))
		m = (struct as_secret){ 0 };
	m.code = st.code;
	reply(l, id, AS_SECRET, &m);
}

void
requests_on_secret_remove(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_secret_name *name = msg;
	struct as_done m = { 0 };
	struct status st = db_file_remove(db, name->name);

	(void)ctx;
	count_change(st, "removal of a secret");
	m.code = st.code;
	reply(l, id, AS_DONE, &m);
}

struct secret_page {
	struct as_secret_row rows[AS_SECRETS_MAX];
	char names[AS_SECRETS_MAX][SECRET_NAME_MAX];
	uint32_t n;
};

static struct status
secrets_collect(struct secret_page *p)
{
	struct span after = SPAN_EMPTY;

	while (p->n < AS_SECRETS_MAX) {
		struct as_secret_row *r = &p->rows[p->n];
		struct status st = db_file_next(db, after, r);

		if (st.code == E_NOTFOUND)
			return OK;
		TRY(st);
		if (r->name.len == 0 || r->name.len > SECRET_NAME_MAX)
			return fail(E_CORRUPT);
		memcpy(p->names[p->n], r->name.ptr, r->name.len);
		r->name = after = span_of(p->names[p->n], r->name.len);
		p->n++;
	}
	return OK;
}

void
requests_on_secret_list(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct secret_page *p = calloc(1, sizeof(*p));
	struct status st = p == NULL ? fail(E_NOMEM) : secrets_collect(p);
	struct as_secrets m = { .code = st.code };

	(void)msg, (void)ctx;
	if (is_ok(st))
		m.secrets = (struct wire_list){ p->rows, p->n };
	reply(l, id, AS_SECRETS, &m);
	free(p);
}

/* ---- usage ---- */

void
requests_on_usage_add(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct as_done m = { 0 };
	struct status st = db_usage_add(db, msg);

	(void)ctx;
	count_change(st, "usage");
	m.code = st.code;
	reply(l, id, AS_DONE, &m);
}

struct usage_page {
	struct as_usage_row rows[AS_USAGE_PAGE_MAX];
	char texts[AS_USAGE_PAGE_MAX][TENANT_MAX + USER_MAX + MODEL_MAX];
	uint32_t n;
};

static struct span
keep(char *to, struct span s, size_t max)
{
	if (s.len > max)
		s.len = max; /* none is: they came over tables with these limits */
	if (s.len > 0)
		memcpy(to, s.ptr, s.len);
	return span_of(to, s.len);
}

static struct status
usage_keep(void *ctx, const struct as_usage_row *row)
{
	struct usage_page *p = ctx;
	struct as_usage_row *r;
	char *text;

	if (p->n == AS_USAGE_PAGE_MAX)
		return fail(E_FULL);
	text = p->texts[p->n];
	r = &p->rows[p->n];
	*r = *row;
	r->tenant = keep(text, row->tenant, TENANT_MAX);
	r->user = keep(text + TENANT_MAX, row->user, USER_MAX);
	r->model = keep(text + TENANT_MAX + USER_MAX, row->model, MODEL_MAX);
	p->n++;
	return OK;
}

void
requests_on_usage_list(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct usage_page *p = calloc(1, sizeof(*p));
	struct db_usage_at next = { 0 };
	struct as_usage m = { 0 };
	struct status st = p == NULL ? fail(E_NOMEM) : db_usage_list(db, msg, usage_keep, p, &next);

	(void)ctx;
	m.code = st.code;
	if (is_ok(st)) {
		m.rows = (struct wire_list){ p->rows, p->n };
		m.next_user = next.user;
		m.next_key = next.key;
		m.next_model = span_str(next.model);
	}
	reply(l, id, AS_USAGE, &m);
	free(p);
}
