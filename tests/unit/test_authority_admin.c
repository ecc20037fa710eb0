/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_authority_admin.c: what persons may do through a gateway: administration by roles and
 * within a tenant, acts of two people, session tokens.
 */
#define WORLD_KEYS 4 /* 0, 1: user u of t; 2: user v of t; 3: user u of x */
#include "authority_world.h"

static void
as(size_t key, uint8_t roles)
{
	user_set_marks(w.key[key]->user, roles, USER_ACTIVE, 0);
}

static struct reply *
ask_as(struct link *gw, struct span credential, const char *method, const char *path,
    const char *query, const char *body)
{
	struct ga_admin m = { .credential = credential,
		.method = span_str(method),
		.path = span_str(path),
		.query = span_str(query),
		.body = span_str(body) };

	m.source[15] = 9;
	m.request_id[0] = 3;
	return call(gw, GA_ADMIN, &m);
}

static struct reply *
ask(size_t key, const char *method, const char *path, const char *body)
{
	return ask_as(w.gw, span_of(w.text[key], KEYTEXT_LEN), method, path, "", body);
}

static struct reply *
exchange(struct span credential, const char *scope, uint32_t lifetime_s, struct span revoke)
{
	struct ga_token m = { .credential = credential,
		.scope = span_str(scope),
		.lifetime_s = lifetime_s,
		.revoke = revoke };

	m.request_id[0] = 4;
	return call(w.gw, GA_TOKEN, &m);
}

/* Audit answers what it has held. */
static void
release_held(void)
{
	uint64_t first = w.seq + 1;

	for (size_t i = 0; i < w.nheld; i++)
		first -= w.held_count[i];
	for (size_t i = 0; i < w.nheld; i++) {
		struct aa_receipt m = { .first_seq = first, .count = w.held_count[i] };

		assert_true(is_ok(link_send(w.audit, w.held[i], AA_RECEIPT, &m)));
		first += w.held_count[i];
	}
	w.nheld = 0;
}

static const struct rec *
last(uint8_t event)
{
	for (size_t i = w.nrecs; i > 0; i--) {
		if (w.recs[i - 1].event == event)
			return &w.recs[i - 1];
	}
	return NULL;
}

/* Every route of the table, for every role alone: the role decides before anything else. */
static void
test_every_route_by_every_role(void **state)
{
	(void)state;
	for (size_t i = 0; i < admin_routes_count; i++) {
		const struct admin_route *route = &admin_routes[i];
		char path[256];
		const char *hole = strstr(route->path, "{}");

		(void)snprintf(path, sizeof(path), "%.*s%s%s",
		    hole == NULL ? (int)strlen(route->path) : (int)(hole - route->path),
		    route->path, hole == NULL ? "" : "nobody", hole == NULL ? "" : hole + 2);
		for (unsigned role = 0; role < ROLE_COUNT; role++) {
			bool may = (route->doors & DOOR_PERSON) != 0 &&
				   roles_allow((uint8_t)(1U << role), route->action);
			size_t at = w.nrecs;
			struct reply *r;

			nreplies = 0;
			as(2, (uint8_t)(1U << role));
			holder_done(&w.key[2]->holder);
			holder_done(&w.key[2]->user->holder);
			r = ask(2, route->method, path, "[]");
			assert_int_equal(r->error, ERROR_NONE);
			if ((route->doors & DOOR_PERSON) == 0)
				assert_true(r->http == 404 || r->http == 405);
			else if (!may)
				assert_int_equal(r->http, 403);
			else
				assert_int_equal(r->http, 400); /* no such body */
			assert_int_equal(w.recs[at].event, EVENT_AUTHENTICATION);
			assert_int_equal(w.recs[at + 1].event, EVENT_ADMIN);
			assert_int_equal(
			    w.recs[at + 1].outcome, r->http == 403 ? AUDIT_DENIED : AUDIT_FAILURE);
			assert_int_equal(w.nrecs, at + 2);
			assert_false(w.recs[at + 1].anonymous);
		}
	}
	assert_int_equal(w.store_changes, 0);
	assert_int_equal(admin_busy(), 0);
}

/* Who is nobody learns nothing; who has a key is held to its limits, scope and tenant. */
static void
test_the_door(void **state)
{
	const char *narrow = "{\"endpoints\":[\"chat\"]}";
	char path[64];

	(void)state;
	as(2, ROLE_ADMINISTRATOR);
	assert_int_equal(
	    ask_as(w.gw, SPAN_LIT("sp_nothing"), "GET", "/admin/v1/users", "", "")->error,
	    ERROR_INVALID_KEY);
	assert_int_equal(ask(2, "GET", "/admin/v1/nothing", "")->http, 404);
	assert_int_equal(ask(2, "PUT", "/admin/v1/users", "")->http, 405);
	assert_int_equal(ask(2, "GET", "/admin/v1/users", "")->http, 200);
	assert_non_null(strstr(replies[nreplies - 1].body, "\"id\":\"v\""));
	assert_null(strstr(replies[nreplies - 1].body, "\"tenant\":\"x\""));
	assert_int_equal(
	    ask_as(w.gw, span_of(w.text[2], KEYTEXT_LEN), "GET", "/admin/v1/users", "tenant=x", "")
		->http,
	    404);
	for (size_t i = 0; i < 4; i++) {
		static const char *const bad[] = { "tenant", "tenant=t&tenant=t", "limit=0",
			"a=b" };

		assert_int_equal(ask_as(w.gw, span_of(w.text[2], KEYTEXT_LEN), "GET",
				     "/admin/v1/users", bad[i], "")
				     ->http,
		    400);
	}
	(void)snprintf(path, sizeof(path), "/admin/v1/keys/%.12s", w.key[3]->id);
	assert_int_equal(ask(2, "DELETE", path, "")->http, 404); /* another tenant's */
	assert_int_equal(w.key[3]->revoked_s, 0);
	(void)snprintf(path, sizeof(path), "/admin/v1/keys/%.12s", w.key[0]->id);
	assert_int_equal(ask(2, "DELETE", path, "")->http, 200);
	assert_int_not_equal(w.key[0]->revoked_s, 0);
	assert_int_equal(last(EVENT_KEY_REVOKED)->outcome, AUDIT_SUCCESS);
	assert_true(is_ok(scope_parse(span_str(narrow), &w.key[2]->scope)));
	assert_int_equal(ask(2, "GET", "/admin/v1/users", "")->http, 403);
	for (int i = 0; i < 60; i++)
		(void)ask(2, "GET", "/admin/v1/nothing", "");
	assert_int_equal(replies[nreplies - 1].http, 429);
	assert_balanced();
}

static void
test_no_audit_no_act(void **state)
{
	(void)state;
	as(2, ROLE_OWNER);
	w.audit_mode = AUDIT_REFUSES;
	assert_int_equal(ask(2, "POST", "/admin/v1/users", "{\"user\":\"new\"}")->http, 503);
	assert_int_equal(ask(2, "GET", "/admin/v1/nothing", "")->error, ERROR_AUDIT_UNAVAILABLE);
	assert_int_equal(w.store_changes, 0);
	assert_null(keys_find_user(&w.a->keys, SPAN_LIT("t"), SPAN_LIT("new")));
}

/* A gateway that dies takes nobody's act with it, and its successor hears nothing of it. */
static void
test_gateway_dies_within_an_act(void **state)
{
	struct ga_admin m = { .credential = span_of(w.text[2], KEYTEXT_LEN),
		.method = SPAN_LIT("POST"),
		.path = SPAN_LIT("/admin/v1/users"),
		.body = SPAN_LIT("{\"user\":\"new\"}") };

	(void)state;
	as(2, ROLE_OWNER);
	w.audit_mode = AUDIT_HOLDS;
	assert_true(
	    is_ok(link_call(w.gw, GA_ADMIN, &m, 60000, on_reply, &replies[nreplies++], NULL)));
	spin();
	cut(&w.gw);
	w.audit_mode = AUDIT_TAKES;
	release_held();
	spin();
	assert_non_null(keys_find_user(&w.a->keys, SPAN_LIT("t"), SPAN_LIT("new")));
	assert_int_equal(last(EVENT_IDENTITY_CHANGED)->outcome, AUDIT_SUCCESS);
	assert_int_equal(admin_busy(), 0);
}

static void
approval_path(const struct reply *r, char out[128])
{
	const char *id = strstr(r->body, "\"id\":\"");

	assert_non_null(id);
	(void)snprintf(out, 128, "/admin/v1/approvals/%.32s", id + 6);
}

static void
test_two_people(void **state)
{
	static const char lift[] = "{\"hold\":false}", yes[] = "{\"decision\":\"approve\"}";
	struct user *held = w.key[0]->user;
	struct reply *r;
	char path[128];

	(void)state;
	user_set_marks(held, ROLE_USER | ROLE_ADMINISTRATOR, USER_ACTIVE, 1);
	as(2, ROLE_OWNER);
	r = ask(2, "PATCH", "/admin/v1/users/u", lift);
	assert_int_equal(r->http, 202);
	assert_int_equal(held->hold, 1);
	approval_path(r, path);
	assert_int_equal(ask(2, "POST", path, yes)->http, 403); /* the same person */
	as(3, ROLE_OWNER);
	assert_int_equal(ask(3, "POST", path, yes)->http, 404); /* another tenant */
	assert_int_equal(held->hold, 1);
	r = ask(0, "POST", path, yes);
	assert_int_equal(r->http, 200);
	assert_non_null(strstr(r->body, "\"status\":200"));
	assert_int_equal(held->hold, 0);
	assert_int_equal(ask(0, "POST", path, yes)->http, 404); /* once */
	/* Who asked may not any more: it is not done. */
	held->hold = 1;
	approval_path(ask(2, "PATCH", "/admin/v1/users/u", lift), path);
	as(2, ROLE_USER);
	assert_int_equal(ask(0, "POST", path, yes)->http, 409);
	assert_int_equal(held->hold, 1);
	/* Nobody decides: it lapses. */
	as(2, ROLE_OWNER);
	approval_path(ask(2, "PATCH", "/admin/v1/users/u", lift), path);
	assert_int_equal(ask(0, "POST", path, "{\"decision\":\"refuse\"}")->http, 200);
	assert_int_equal(held->hold, 1);
	assert_non_null(strstr(last(EVENT_APPROVAL)->text, "state=refused"));
	assert_balanced();
}

static void
test_sessions(void **state)
{
	struct span credential = span_of(w.text[0], KEYTEXT_LEN);
	struct ga_admit m = admit_msg(ENDPOINT_CHAT);
	struct reply *r;
	char token[4096];

	(void)state;
	r = exchange(credential, "endpoint:models", 120, SPAN_EMPTY);
	assert_int_equal(r->error, ERROR_NONE);
	assert_int_equal(r->expires_s, 120);
	(void)snprintf(token, sizeof(token), "%s", r->body);
	assert_non_null(strstr(last(EVENT_SESSION_CREATED)->text, "lifetime_s=120"));
	m.credential = span_str(token);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_DENIED);
	m.endpoint = ENDPOINT_MODELS;
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_NONE);
	assert_non_null(strstr(last(EVENT_AUTHENTICATION)->text, "method=session"));
	/* No session of a session; no scope that is none, or wider; no longer than an hour. */
	assert_int_equal(exchange(span_str(token), "", 0, SPAN_EMPTY)->error, ERROR_INVALID_FIELD);
	r = exchange(credential, "nonsense", 0, SPAN_EMPTY);
	assert_true(r->error == ERROR_INVALID_FIELD && r->scope_bad);
	r = exchange(span_of(w.text[1], KEYTEXT_LEN), "endpoint:execute", 0, SPAN_EMPTY);
	assert_true(
	    r->error == ERROR_INVALID_FIELD && r->scope_bad); /* its policy has chat alone */
	assert_int_equal(exchange(credential, "", 999999, SPAN_EMPTY)->expires_s, 3600);
	/* A changed token is none; another user's cannot be revoked; one's own can. */
	token[strlen(token) - 3] = token[strlen(token) - 3] == 'A' ? 'B' : 'A';
	m.credential = span_str(token);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
	r = exchange(credential, "", 0, SPAN_EMPTY);
	(void)snprintf(token, sizeof(token), "%s", r->body);
	m.credential = span_str(token);
	assert_int_equal(
	    exchange(span_of(w.text[2], KEYTEXT_LEN), "", 0, span_str(token))->error, ERROR_NONE);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_NONE);
	assert_int_equal(exchange(credential, "", 0, span_str(token))->error, ERROR_NONE);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
	/* Not a moment longer than its key. */
	r = exchange(credential, "", 0, SPAN_EMPTY);
	(void)snprintf(token, sizeof(token), "%s", r->body);
	m.credential = span_str(token);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_NONE);
	w.key[0]->revoked_s = 1;
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
	assert_balanced();
}

/* A session's turns count for its key, and end with it. */
static void
test_sessions_end_with_their_key(void **state)
{
	struct ga_admit m = admit_msg(ENDPOINT_CHAT);
	struct reply *r = exchange(m.credential, "", 0, SPAN_EMPTY), *chat;
	char token[4096], path[64];

	(void)state;
	(void)snprintf(token, sizeof(token), "%s", r->body);
	m.credential = span_str(token);
	chat = call(w.gw, GA_ADMIT, &m);
	assert_int_equal(chat->error, ERROR_NONE);
	assert_int_equal(w.key[0]->holder.running, 1);
	as(2, ROLE_ADMINISTRATOR);
	(void)snprintf(path, sizeof(path), "/admin/v1/keys/%.12s", w.key[0]->id);
	r = ask(2, "DELETE", path, "");
	assert_int_equal(r->http, 200);
	assert_non_null(strstr(r->body, "\"turns\":1"));
	assert_int_equal(w.revokes, 1);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
	assert_int_equal(settle(chat->admitted.turn, ERROR_NONE)->error, ERROR_CANCELLED);
	sessions_tick(w.a);
	assert_int_equal(w.a->sessions.n, 0);
	assert_int_equal(w.key[0]->holder.running, 0);
	assert_balanced();
}

/* No session without its record; one whose gateway has gone is nobody's. */
static void
test_sessions_without_audit(void **state)
{
	(void)state;
	w.audit_mode = AUDIT_REFUSES;
	assert_int_equal(exchange(span_of(w.text[0], KEYTEXT_LEN), "", 0, SPAN_EMPTY)->error,
	    ERROR_AUDIT_UNAVAILABLE);
	assert_int_equal(w.a->sessions.n, 0);
	assert_int_equal(w.nsessions, 0);
}

/* Who gives and takes roles beyond `user` and `service` alone ends the sessions of those who have
 * one. */
static void
test_sessions_of_high_roles(void **state)
{
	struct span credential = span_of(w.text[0], KEYTEXT_LEN);
	char path[96];

	(void)state;
	for (unsigned role = ROLE_AUDITOR; role <= ROLE_OWNER; role <<= 1) {
		as(0, ROLE_USER);
		assert_int_equal(exchange(credential, "", 0, SPAN_EMPTY)->error, ERROR_NONE);
		as(0, (uint8_t)(ROLE_USER | role));
		(void)snprintf(path, sizeof(path), "/admin/v1/sessions/%s",
		    TAILQ_FIRST(&w.a->sessions.live)->id);
		as(2, ROLE_ADMINISTRATOR);
		assert_int_equal(ask(2, "DELETE", path, "")->http, 403);
		assert_int_equal(w.a->sessions.n, 1);
		as(2, ROLE_OWNER);
		assert_int_equal(ask(2, "DELETE", path, "")->http, 200);
		sessions_tick(w.a);
		assert_int_equal(w.a->sessions.n, 0);
	}
}

/* Nor without the store, which has it before anybody: and what is not durable is not done. */
static void
test_sessions_without_store(void **state)
{
	struct span credential = span_of(w.text[0], KEYTEXT_LEN);
	struct ga_admit m = admit_msg(ENDPOINT_MODELS);
	char token[4096], path[96];
	size_t created;

	(void)state;
	(void)snprintf(token, sizeof(token), "%s", exchange(credential, "", 0, SPAN_EMPTY)->body);
	created = w.nrecs;
	m.credential = span_str(token);
	w.session_fails = true;
	assert_int_equal(exchange(credential, "", 0, SPAN_EMPTY)->error, ERROR_UNAVAILABLE);
	assert_int_equal(w.nrecs, created);
	assert_int_equal(exchange(credential, "", 0, span_str(token))->error, ERROR_UNAVAILABLE);
	assert_int_equal(last(EVENT_SESSION_REVOKED)->outcome, AUDIT_FAILURE);
	(void)snprintf(
	    path, sizeof(path), "/admin/v1/sessions/%s", TAILQ_FIRST(&w.a->sessions.live)->id);
	as(0, ROLE_USER);
	assert_int_equal(ask(0, "DELETE", path, "")->http, 503);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_NONE);
	w.session_fails = false;
	cut(&w.store);
	assert_int_equal(exchange(credential, "", 0, SPAN_EMPTY)->error, ERROR_UNAVAILABLE);
	assert_int_equal(exchange(credential, "", 0, span_str(token))->error, ERROR_UNAVAILABLE);
	assert_int_equal(ask(0, "DELETE", path, "")->http, 503);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_NONE);
	assert_balanced();
}

/* As after a restart: nothing is here, all comes from the store. */
static void
load_anew(uint32_t signers)
{
	w.signers = signers;
	sessions_done(w.a);
	cut(&w.store);
	connect_fake(EDGE_AUTHORITY_STORE, 24, &as_edge, false, &store_ops, &w.store);
	spin();
}

static void
test_sessions_outlive_us(void **state)
{
	struct span credential = span_of(w.text[0], KEYTEXT_LEN);
	struct ga_admit m = admit_msg(ENDPOINT_MODELS);
	char kept[4096], ended[4096];

	(void)state;
	(void)snprintf(kept, sizeof(kept), "%s", exchange(credential, "", 0, SPAN_EMPTY)->body);
	(void)snprintf(ended, sizeof(ended), "%s", exchange(credential, "", 0, SPAN_EMPTY)->body);
	assert_int_equal(exchange(credential, "", 0, span_str(ended))->error, ERROR_NONE);
	assert_int_equal(w.nsessions, 1);
	load_anew(2);
	assert_int_equal(w.a->sessions.n, 1);
	m.credential = span_str(kept);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_NONE);
	assert_non_null(strstr(last(EVENT_AUTHENTICATION)->text, "method=session"));
	m.credential = span_str(ended);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
	/* The newest key signs; the older one goes when what it signed is known, or has ended. */
	assert_int_equal(exchange(credential, "", 0, SPAN_EMPTY)->error, ERROR_NONE);
	assert_int_equal(w.sessions[1].signer, 2);
	assert_int_equal(signers_newest(&w.a->sessions)->version, 2);
	/* A token whose key is gone, or another one now, is none. */
	w.sessions[0].signer = 3;
	load_anew(2);
	m.credential = span_str(kept);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
	w.sessions[0].signer = 2;
	load_anew(2);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
	w.sessions[0].signer = 1;
	load_anew(1);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_NONE);
	/* What a store does not have any more has ended: an older one was put back. */
	w.nsessions = 0;
	cut(&w.store);
	connect_fake(EDGE_AUTHORITY_STORE, 25, &as_edge, false, &store_ops, &w.store);
	spin();
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
	assert_int_equal(w.a->sessions.n, 0);
}

/* What has run out is not loaded, nor what came of an issuer or a machine that is not configured.
 */
static void
test_sessions_as_they_were(void **state)
{
	struct span credential = span_of(w.text[0], KEYTEXT_LEN);

	(void)state;
	assert_int_equal(exchange(credential, "", 0, SPAN_EMPTY)->error, ERROR_NONE);
	w.sessions[0].has_roles = 1;
	w.sessions[0].roles = ROLE_AUDITOR | ROLE_USER;
	load_anew(1);
	assert_int_equal(w.a->sessions.n, 0);
	w.key[0]->has_roles = false;
	w.sessions[0].has_roles = w.sessions[0].roles = 0;
	load_anew(1);
	assert_int_equal(w.a->sessions.n, 1);
	w.sessions[0].expires_s = now_real_s();
	load_anew(1);
	assert_int_equal(w.a->sessions.n, 0);
	w.sessions[0].expires_s = now_real_s() + 100;
	w.key[0]->user->state = USER_DISABLED;
	w.sessions[0].key[0] ^= 1;
	load_anew(1);
	assert_int_equal(w.a->sessions.n, 0);
	assert_true(w.a->loaded);
}

/* A use is told once a minute, however many there are. */
static void
test_uses_are_told(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++)
		assert_int_equal(admit(ENDPOINT_MODELS)->error, ERROR_NONE);
	assert_int_equal(w.keys_used, 0);
	assert_int_not_equal(w.key[0]->last_used_s, 0);
	w.a->uses.flushed_ms = 0;
	w.loop.time += 70000;
	key_uses_tick(w.a);
	spin();
	assert_int_equal(w.keys_used, 1);
	key_uses_tick(w.a);
	spin();
	assert_int_equal(w.keys_used, 1);
}

static struct reply *
post(size_t key, const char *method, const char *path, const char *body)
{
	struct ga_admin m = { .credential = span_of(w.text[key], KEYTEXT_LEN),
		.method = span_str(method),
		.path = span_str(path),
		.body = span_str(body) };
	struct reply *r = &replies[nreplies++];

	assert_true(is_ok(link_call(w.gw, GA_ADMIN, &m, 60000, on_reply, r, NULL)));
	return r;
}

/* Two at once: one rotation, one change of a user's marks; the other one hears why not. */
static void
test_two_at_once(void **state)
{
	struct reply *a, *b;
	char path[64];

	(void)state;
	as(2, ROLE_OWNER);
	(void)snprintf(path, sizeof(path), "/admin/v1/keys/%.12s/rotate", w.key[0]->id);
	a = post(0, "POST", path, "{}");
	b = post(0, "POST", path, "{}");
	spin();
	assert_int_equal(a->http, 201);
	assert_int_equal(b->http, 409);
	assert_true(w.key[0]->expires_s != 0 && w.key[0]->replaced_by != NULL);
	assert_int_equal(ask(0, "POST", path, "{}")->http, 409); /* two live ones */
	w.key[0]->replaced_by->revoked_s = 1;
	assert_int_equal(ask(0, "POST", path, "{}")->http, 201);
	a = post(2, "PATCH", "/admin/v1/users/u", "{\"hold\":true}");
	b = post(2, "PATCH", "/admin/v1/users/u", "{\"roles\":[\"user\"]}");
	spin();
	assert_int_equal(a->http, 200);
	assert_int_equal(b->http, 409);
	assert_int_equal(w.key[0]->user->hold, 1);
	assert_int_equal(ask(2, "PATCH", "/admin/v1/users/u", "{\"roles\":[\"user\"]}")->http, 200);
	assert_int_equal(w.key[0]->user->hold, 1);
	assert_balanced();
}

/* People make themselves so many keys, and no more; an operator is not asked. */
static void
test_keys_are_bounded(void **state)
{
	struct as_key k = { .tenant = SPAN_LIT("t"),
		.user = SPAN_LIT("u"),
		.policy = SPAN_LIT("default"),
		.id = "kkkkkkkkkkkk" };
	char path[64];

	(void)state;
	as(0, ROLE_USER);
	for (uint8_t n = 0; n < 62; n++) { /* two are there */
		k.id[0] = (uint8_t)(n < 31 ? 'A' : 'B');
		k.id[1] = (uint8_t)('a' + n % 31 % 26);
		k.id[2] = (uint8_t)('0' + n % 31 / 26);
		assert_true(is_ok(keys_put(&w.a->keys, &w.a->policies, &k, NULL)));
	}
	assert_int_equal(ask(0, "POST", "/admin/v1/keys", "{}")->http, 409);
	(void)snprintf(path, sizeof(path), "/admin/v1/keys/%.12s/rotate", w.key[0]->id);
	assert_int_equal(ask(0, "POST", path, "{}")->http, 409);
	keys_find(&w.a->keys, span_of(k.id, sizeof(k.id)))->revoked_s = 1;
	assert_int_equal(ask(0, "POST", "/admin/v1/keys", "{}")->http, 201);
	assert_int_equal(ask(0, "POST", "/admin/v1/keys", "{}")->http, 409);
}

/* A user's oldest session makes room for its newest, on record. */
static void
test_sessions_are_bounded(void **state)
{
	struct span credential = span_of(w.text[0], KEYTEXT_LEN);
	struct ga_admit m = admit_msg(ENDPOINT_MODELS);
	char first[4096], resource[96];
	const struct rec *last;

	(void)state;
	holder_done(&w.key[0]->holder);
	for (size_t i = 0; i <= SESSIONS_USER_MAX; i++) {
		nreplies = 0;
		if (i % 20 == 0) { /* its limit is 50 a minute */
			holder_done(&w.key[0]->holder);
			holder_done(&w.key[0]->user->holder);
		}
		assert_int_equal(exchange(credential, "", 0, SPAN_EMPTY)->error, ERROR_NONE);
		if (i == 0) {
			(void)snprintf(first, sizeof(first), "%s", replies[0].body);
			(void)snprintf(resource, sizeof(resource), "session:%s",
			    TAILQ_FIRST(&w.a->sessions.live)->id);
		}
		last = &w.recs[w.nrecs - 1];
		assert_int_equal(last->event,
		    i < SESSIONS_USER_MAX ? EVENT_SESSION_CREATED : EVENT_SESSION_REVOKED);
	}
	assert_string_equal(last->resource, resource);
	assert_int_equal(last->phase, AUDIT_PHASE_NONE);
	assert_int_equal(w.a->sessions.n, SESSIONS_USER_MAX);
	m.credential = span_str(first);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_every_route_by_every_role),
		T(test_the_door),
		T(test_no_audit_no_act),
		T(test_gateway_dies_within_an_act),
		T(test_two_people),
		T(test_sessions),
		T(test_sessions_end_with_their_key),
		T(test_sessions_without_audit),
		T(test_sessions_of_high_roles),
		T(test_sessions_without_store),
		T(test_sessions_outlive_us),
		T(test_sessions_as_they_were),
		T(test_uses_are_told),
		T(test_two_at_once),
		T(test_keys_are_bounded),
		T(test_sessions_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
