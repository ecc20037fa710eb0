/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_authority_admin.c: what persons may do through a gateway: administration by roles and
 * within a tenant, acts of two people.
 */
#include "authority_admin_rig.h"

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
post_as(const uint8_t text[KEYTEXT_LEN], const char *method, const char *path, const char *body)
{
	struct ga_admin m = { .credential = span_of(text, KEYTEXT_LEN),
		.method = span_str(method),
		.path = span_str(path),
		.body = span_str(body) };
	struct reply *r = &replies[nreplies++];

	assert_true(is_ok(link_call(w.gw, GA_ADMIN, &m, 60000, on_reply, r, NULL)));
	return r;
}

static struct reply *
post(size_t key, const char *method, const char *path, const char *body)
{
	return post_as(w.text[key], method, path, body);
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

/* How many of so many requests of these keys, at once and while nothing ends, have a place? */
static size_t
places(const size_t keys[2], size_t n)
{
	size_t first = nreplies, waiting = 0;

	for (size_t i = 0; i < n; i++)
		(void)post(keys[i % 2], "GET", "/admin/v1/me", "");
	spin();
	for (size_t i = first; i < nreplies; i++) {
		waiting += !replies[i].come;
		if (replies[i].come)
			assert_int_equal(replies[i].error, ERROR_CONCURRENCY);
		if (replies[i].come)
			assert_true(replies[i].retry_after_ms > 0);
	}
	return waiting;
}

/* Slow acts of one person take its places, not those of others; those of a tenant, its tenant's. */
static void
test_nobody_takes_all_places(void **state)
{
	const size_t u[2] = { 0, 1 }, v[2] = { 2, 2 }, x[2] = { 3, 3 };
	struct user *other = w.key[3]->user;
	const struct span tenant = other->tenant;

	(void)state;
	w.audit_mode = AUDIT_HOLDS;
	assert_int_equal(places(u, 12), 8); /* two keys, one person */
	assert_int_equal(places(v, 12), 8);
	other->tenant = w.key[0]->user->tenant;
	assert_int_equal(places(x, 1), 0); /* a third one of that tenant */
	other->tenant = tenant;
	assert_int_equal(places(x, 1), 1);
	w.audit_mode = AUDIT_TAKES;
	release_held();
	spin();
	for (size_t i = 0; i < nreplies; i++)
		assert_true(replies[i].come);
	assert_int_equal(ask(0, "GET", "/admin/v1/me", "")->http, 200);
	assert_int_equal(admin_busy(), 0);
}

static void
on_key(void *ctx, uint16_t http, struct span body)
{
	const uint8_t *at = memmem(body.ptr, body.len, "sp_", 3);

	assert_int_equal(http, 201);
	assert_non_null(at);
	memcpy(ctx, at, KEYTEXT_LEN);
}

/* A key of somebody new, made by an operator. */
static void
key_of_somebody(unsigned tenant, unsigned user, uint8_t text[KEYTEXT_LEN])
{
	struct admin_op *op = NULL;
	char body[64];
	struct admin_call c = { .a = w.a,
		.reply = on_key,
		.ctx = text,
		.op = &op,
		.method = SPAN_LIT("POST"),
		.path = SPAN_LIT("/admin/v1/keys") };

	(void)snprintf(body, sizeof(body), "{\"tenant\":\"m%u\",\"user\":\"u%u\"}", tenant, user);
	c.body = span_str(body);
	assert_true(is_ok(admin_dispatch(&c)));
	spin();
}

static void
on_listed(void *ctx, uint16_t http, struct span body)
{
	(void)body;
	*(uint16_t *)ctx = http;
}

/* All that come by gateways have 56 places; whoever runs the machine finds one. */
static void
test_operators_have_places_of_their_own(void **state)
{
	size_t first, waiting = 0;
	uint16_t http = 0;
	struct admin_op *op = NULL;
	struct admin_call c = { .a = w.a,
		.reply = on_listed,
		.ctx = &http,
		.op = &op,
		.method = SPAN_LIT("GET"),
		.path = SPAN_LIT("/admin/v1/users") };
	uint8_t text[8][KEYTEXT_LEN];

	(void)state;
	for (unsigned i = 0; i < COUNT(text); i++)
		key_of_somebody(i / 2, i, text[i]);
	w.audit_mode = AUDIT_HOLDS;
	first = nreplies;
	for (size_t i = 0; i < COUNT(text) * 8; i++)
		(void)post_as(text[i % COUNT(text)], "GET", "/admin/v1/me", "");
	spin();
	for (size_t i = first; i < nreplies; i++) {
		waiting += !replies[i].come;
		if (replies[i].come)
			assert_int_equal(replies[i].error, ERROR_OVERLOADED);
	}
	assert_int_equal(waiting, 56);
	assert_true(is_ok(admin_dispatch(&c)));
	w.audit_mode = AUDIT_TAKES;
	release_held();
	spin();
	assert_int_equal(http, 200);
	assert_int_equal(admin_busy(), 0);
}

/* Everybody with a role is told who it is, and the roles that its credential has. */
static void
test_who_one_is(void **state)
{
	const char *body;

	(void)state;
	as(2, ROLE_AUDITOR | ROLE_OWNER);
	as(0, ROLE_USER);
	assert_int_equal(ask(2, "GET", "/admin/v1/me", "")->http, 200);
	body = replies[nreplies - 1].body;
	assert_non_null(strstr(body, "\"id\":\"v\",\"tenant\":\"t\""));
	assert_non_null(strstr(body, "\"roles\":[\"auditor\",\"owner\"]"));
	assert_non_null(strstr(body, "\"state\":\"active\",\"hold\":false"));
	assert_int_equal(last(EVENT_ADMIN)->outcome, AUDIT_SUCCESS);
	w.key[2]->has_roles = true;
	w.key[2]->roles = ROLE_USER;
	assert_int_equal(ask(2, "GET", "/admin/v1/me", "")->http, 200);
	assert_non_null(strstr(replies[nreplies - 1].body, "\"roles\":[\"user\"]"));
	assert_int_equal(
	    ask_as(w.gw, span_of(w.text[2], KEYTEXT_LEN), "GET", "/admin/v1/me", "tenant=x", "")
		->http,
	    400);
	w.key[2]->roles = 0;
	assert_int_equal(ask(2, "GET", "/admin/v1/me", "")->http, 403);
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

/* Nor so many in a day that have ended: each has its place for ever. */
static void
test_keys_of_a_day_are_bounded(void **state)
{
	struct as_key k = { .tenant = SPAN_LIT("t"),
		.user = SPAN_LIT("u"),
		.policy = SPAN_LIT("default"),
		.id = "kkkkkkkkkkkk",
		.created_s = now_real_s(),
		.revoked_s = 1 };
	char path[64];

	(void)state;
	as(0, ROLE_USER);
	for (unsigned n = 0; n < 256; n++) {
		k.id[0] = (uint8_t)('a' + n % 16);
		k.id[1] = (uint8_t)('a' + n / 16);
		assert_true(is_ok(keys_put(&w.a->keys, &w.a->policies, &k, NULL)));
	}
	(void)snprintf(path, sizeof(path), "/admin/v1/keys/%.12s/rotate", w.key[0]->id);
	assert_int_equal(ask(0, "POST", path, "{}")->http, 409);
	assert_int_equal(ask(0, "POST", "/admin/v1/keys", "{}")->http, 409);
	keys_find(&w.a->keys, span_of(k.id, sizeof(k.id)))->created_s -= 86401;
	assert_int_equal(ask(0, "POST", path, "{}")->http, 201);
	assert_int_equal(ask(0, "POST", path, "{}")->http, 409);
}

/* Names of people have "@" and "+", which clients write as "%40" and "%2B". */
static void
test_a_query_may_be_encoded(void **state)
{
	static const struct {
		const char *query;
		uint16_t http;
	} rows[] = { { "user=u", 200 }, { "user=%75", 200 }, { "user=%75%40%2b%2F", 200 },
		{ "user=a+b", 200 }, { "user=%7", 400 }, { "user=%", 400 }, { "user=%zz", 400 },
		{ "user=a%20b", 400 }, { "user=%00", 400 }, { "user=%0a", 400 },
		{ "user=%ff", 400 }, { "user=", 400 }, { "%75ser=u", 400 },
		{ "user=u&user=%75", 400 }, { "user=%26tenant%3Dx", 200 }, { "tenant=%74", 200 },
		{ "tenant=%78", 404 } };
	char id[13];

	(void)state;
	as(0, ROLE_ADMINISTRATOR);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct reply *r = ask_as(w.gw, span_of(w.text[0], KEYTEXT_LEN), "GET",
		    "/admin/v1/keys", rows[i].query, "");

		if (r->http != rows[i].http)
			print_error("%s: %u\n", rows[i].query, r->http);
		assert_int_equal(r->http, rows[i].http);
	}
	(void)snprintf(id, sizeof(id), "%.12s", w.key[0]->id);
	assert_non_null(strstr(
	    ask_as(w.gw, span_of(w.text[0], KEYTEXT_LEN), "GET", "/admin/v1/keys", "user=%75", "")
		->body,
	    id));
}

/* No path has such a segment, so nobody could administer who is called so; they are still found. */
static void
test_dots_are_no_name(void **state)
{
	static const char *const bodies[] = { "{\"user\":\".\"}", "{\"user\":\"..\"}",
		"{\"tenant\":\"..\",\"user\":\"a\"}", "{\"tenant\":\".\",\"user\":\"a\"}" };
	static const uint8_t subject_key[AS_SECRET_LEN] = { 5 };

	(void)state;
	as(0, ROLE_OWNER);
	for (size_t i = 0; i < COUNT(bodies); i++) {
		assert_int_equal(ask(0, "POST", "/admin/v1/users", bodies[i])->http, 400);
		assert_int_equal(ask(0, "POST", "/admin/v1/keys", bodies[i])->http, 400);
	}
	assert_int_equal(ask(0, "POST", "/admin/v1/users", "{\"user\":\"...\"}")->http, 201);
	assert_int_equal(ask(0, "GET", "/admin/v1/users/~..", "")->http, 404);
	assert_true(
	    is_ok(keys_put_user(&w.a->keys, SPAN_LIT("t"), SPAN_LIT(".."), subject_key, NULL)));
	assert_int_equal(ask(0, "GET", "/admin/v1/users/~..", "")->http, 200);
	assert_non_null(strstr(replies[nreplies - 1].body, "\"id\":\"..\""));
	assert_int_equal(ask(0, "GET", "/admin/v1/users/~.", "")->http, 404);
	assert_int_equal(ask(0, "GET", "/admin/v1/users/~u", "")->http, 404);
	assert_int_equal(
	    ask(0, "PATCH", "/admin/v1/users/~..", "{\"state\":\"disabled\"}")->http, 200);
	assert_int_equal(
	    keys_find_user(&w.a->keys, SPAN_LIT("t"), SPAN_LIT(".."))->state, USER_DISABLED);
	assert_int_equal(ask(0, "POST", "/admin/v1/users/~../erase", "")->http, 200);
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
		T(test_uses_are_told),
		T(test_two_at_once),
		T(test_nobody_takes_all_places),
		T(test_operators_have_places_of_their_own),
		T(test_keys_are_bounded),
		T(test_keys_of_a_day_are_bounded),
		T(test_who_one_is),
		T(test_a_query_may_be_encoded),
		T(test_dots_are_no_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
