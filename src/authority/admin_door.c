/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_door.c: acts of administration that a person asks for through a gateway.
 *
 * Runs in: authority. Trusts: the gateway only for what a client on it could have said itself;
 * the credential decides who asks. Owns: the requests that wait for their act.
 * Invariants: a request counts against its key's limits like any other; who asked is on record
 * before anything else is, and what was refused is on record before it is said; nobody takes the
 * places of other persons, tenants, or of the machine's operators.
 * See: admin_call.h, roles.c; admit.c for all other requests.
 */
#include "admin_door.h"

#include <base/cleanup.h>

#include "admin_call.h"
#include "authority.h"
#include "later.h"

/* At once; like those of a full table, requests beyond that are refused before any record. */
#define VISITS_OF_USER 8
#define VISITS_OF_TENANT 16
#define VISITS_MAX (ADMIN_OPS_MAX - ADMIN_OPS_KEPT)

struct visit {
	struct gateway *gw; /* NULL: the place is free, or the gateway is gone */
	bool used;
	uint64_t id; /* of GA_ADMIN */
	const struct user *user;
	struct admin_op *op;
	uint16_t http; /* a refusal, once it is on record */
	const char *code, *message;
};
static struct visit visits[VISITS_MAX];

static void
send_answer(struct gateway *gw, uint64_t id, const struct ga_admined *m)
{
	struct status st;

	if (gw == NULL || gw->link == NULL || gw->dropped)
		return;
	st = link_send(gw->link, id, GA_ADMINED, m);
	if (!is_ok(st))
		gateway_drop(gw, status_text(st));
}

static void
send_error(struct gateway *gw, uint64_t id, enum error error)
{
	const uint16_t http = error_rows[error].http;

	send_answer(gw, id,
	    &(struct ga_admined){ .error = (uint16_t)error,
		.retry_after_ms = http == 429 || http == 503 ? RETRY_MS : 0 });
}

/* Has the person, or its tenant, as many places as it gets? */
static bool
has_enough(const struct user *user)
{
	size_t own = 0, tenant = 0;

	for (size_t i = 0; i < VISITS_MAX; i++) {
		const struct visit *v = &visits[i];

		own += v->used && v->user == user;
		tenant += v->used && span_eq(v->user->tenant, user->tenant);
	}
	return own >= VISITS_OF_USER || tenant >= VISITS_OF_TENANT;
}

static struct visit *
visit_new(struct gateway *gw, uint64_t id, const struct user *user)
{
	for (size_t i = 0; i < VISITS_MAX; i++) {
		if (visits[i].used)
			continue;
		visits[i] = (struct visit){ .gw = gw, .used = true, .id = id, .user = user };
		return &visits[i];
	}
	return NULL;
}

void
admin_door_gateway_gone(struct gateway *gw)
{
	for (size_t i = 0; i < VISITS_MAX; i++) {
		if (visits[i].used && visits[i].gw == gw)
			visits[i].gw = NULL;
	}
}

/* ---- answers ---- */

static void
on_reply(void *ctx, uint16_t http, struct span body)
{
	struct visit *v = ctx;

	send_answer(v->gw, v->id, &(struct ga_admined){ .status = http, .body = body });
	*v = (struct visit){ .used = false };
}

static void
on_refused(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	auto_buf struct buf body = BUF_INIT(4096);
	struct visit *v = ctx;

	(void)a, (void)seq;
	if (is_ok(st) && is_ok(admin_put_error(&body, v->code, v->message))) {
		on_reply(v, v->http, buf_span(&body));
		return;
	}
	send_error(v->gw, v->id, ERROR_AUDIT_UNAVAILABLE);
	*v = (struct visit){ .used = false };
}

/* ---- records ---- */

static void
put_authentication(struct batch *b, const struct record_who *who)
{
	(void)batch_add(b, EVENT_AUTHENTICATION, who, "endpoint", SPAN_LIT("admin"));
	batch_text(b, principal_method(who->key));
	batch_bool(b, true);
	batch_null(b);
}

/* What was asked for, by its name in the table: never the caller's own words. */
static void
put_refusal(struct batch *b, const struct record_who *who, const struct admin_call *c)
{
	const char *operation = c->route == NULL ? "none" : action_name(c->route->action);

	(void)batch_add(b, EVENT_ADMIN, who, "admin", span_str(operation));
	batch_outcome(b, c->http == 403 ? AUDIT_DENIED : AUDIT_FAILURE, AUDIT_CAUSE_NONE);
	batch_text(b, operation);
	batch_null(b);
}

static void
on_authenticated(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	(void)a, (void)ctx, (void)seq, (void)st; /* the act's own record follows, or fails, too */
}

static void
refuse(struct visit *v, const struct admin_call *c, const struct record_who *who)
{
	struct batch b = { .n = 0 };

	v->http = c->http;
	v->code = c->code;
	v->message = c->message;
	put_refusal(&b, who, c);
	if (!is_ok(audit_append(c->a, &b, on_refused, v)))
		on_refused(c->a, v, fail(E_CLOSED), 0);
}

/* ---- requests ---- */

static enum error
count(struct authority *a, struct key *key)
{
	const struct policy *p = key->policy->now;
	struct verdict verdict;

	limits_take(&key_root(key)->holder, p != NULL ? p->limits : a->policies.user_limits,
	    &key->user->holder, a->policies.user_limits, now_ms(a), &verdict);
	return verdict.error;
}

static void
visit_begin(struct visit *v, struct authority *a, const struct ga_admin *m, struct key *key)
{
	struct record_who who = {
		.request_id = m->request_id, .key = key, .config = a->d->generation
	};
	const struct permit may = key_permit(key);
	struct batch b = { .n = 0 };
	struct admin_call c = { .a = a,
		.by = key,
		.request_id = m->request_id,
		.reply = on_reply,
		.ctx = v,
		.op = &v->op,
		.method = m->method,
		.path = m->path,
		.query = m->query,
		.body = m->body };
	enum error error = count(a, key);
	struct status st = sealer_source(&a->sealer, key->user, m->source, &who.source);

	if (error == ERROR_NONE && !permit_has(&may, LIST_ENDPOINTS, SPAN_LIT("admin")))
		error = ERROR_DENIED;
	c.source = who.source;
	put_authentication(&b, &who);
	if (!is_ok(st) || !is_ok(audit_append(a, &b, on_authenticated, NULL))) {
		on_refused(a, v, fail(E_CLOSED), 0);
		return;
	}
	if (error != ERROR_NONE)
		st = admin_refuse(
		    &c, error_rows[error].http, error_rows[error].code, error_rows[error].message);
	else
		st = admin_dispatch(&c);
	if (!is_ok(st))
		refuse(v, &c, &who);
}

void
admin_door_on_admin(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct gateway *gw = ctx;
	const struct ga_admin *m = msg;
	struct key *key = NULL;
	struct visit *v;
	enum error error = admit_who(gw->a, m->credential, m->source, &key);

	(void)l;
	if (error == ERROR_UNAVAILABLE && later(gw, GA_ADMIN, id, m, admin_door_on_admin))
		return;
	if (error == ERROR_INVALID_KEY) {
		admit_refuse_unknown(gw, GA_ADMINED, id, m->source, m->request_id);
		return;
	}
	if (error == ERROR_NONE && has_enough(key->user))
		error = ERROR_CONCURRENCY;
	v = error == ERROR_NONE ? visit_new(gw, id, key->user) : NULL;
	if (v != NULL)
		visit_begin(v, gw->a, m, key);
	else
		send_error(gw, id, error != ERROR_NONE ? error : ERROR_OVERLOADED);
}
