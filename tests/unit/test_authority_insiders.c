/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Acts of administration by people: who stays a service, who gets keys, who ends whom, changes of
 * one user at once, and approvals that were asked for by what has ended.
 */
#include "authority_acts_rig.h"

static void
test_services_stay(void **state)
{
	struct user *bob = be(2, ROLE_USER);

	(void)state;
	be(0, ROLE_ADMINISTRATOR);
	assert_int_equal(ask(w.key[0], "POST", "/admin/v1/keys", "{\"user\":\"v\"}"), 403);
	assert_int_equal(
	    ask(w.key[0], "PATCH", "/admin/v1/users/v", "{\"roles\":[\"service\"]}"), 409);
	assert_string_equal(said.body, "service_stays");
	assert_int_equal(
	    ask(NULL, "PATCH", "/admin/v1/users/v?tenant=t", "{\"roles\":[\"service\"]}"), 409);
	assert_int_equal(bob->roles, ROLE_USER);
	assert_int_equal(ask(w.key[0], "POST", "/admin/v1/keys", "{\"user\":\"v\"}"), 403);
	/* Nor by way of both, nor back, nor to somebody who may more. */
	be(2, ROLE_USER | ROLE_SERVICE);
	assert_int_equal(
	    ask(w.key[0], "PATCH", "/admin/v1/users/v", "{\"roles\":[\"service\"]}"), 409);
	be(0, ROLE_OWNER);
	be(2, ROLE_SERVICE);
	assert_int_equal(
	    ask(w.key[0], "PATCH", "/admin/v1/users/v", "{\"roles\":[\"owner\"]}"), 409);
	assert_int_equal(
	    ask(w.key[0], "PATCH", "/admin/v1/users/v", "{\"roles\":[\"user\"]}"), 409);
	/* Who is to do nothing is disabled. */
	assert_int_equal(ask(w.key[0], "PATCH", "/admin/v1/users/v", "{\"roles\":[]}"), 400);
	assert_int_equal(
	    ask(w.key[0], "POST", "/admin/v1/users", "{\"user\":\"n\",\"roles\":[]}"), 400);
	assert_int_equal(w.store_changes, 0);
	/* Everything else of a service may change. */
	assert_int_equal(
	    ask(w.key[0], "PATCH", "/admin/v1/users/v", "{\"state\":\"disabled\"}"), 200);
	assert_int_equal(bob->roles, ROLE_SERVICE);
	assert_int_equal(bob->state, USER_DISABLED);
}

static void
test_nobody_ends_those_above(void **state)
{
	static const char erase[] = "/admin/v1/users/v/erase";
	char revoke[64];

	(void)state;
	path_of(revoke, "/admin/v1/keys/", w.key[2]);
	be(0, ROLE_ADMINISTRATOR);
	for (unsigned role = 0; role < ROLE_COUNT; role++) {
		uint8_t bit = (uint8_t)(1U << role);

		if ((bit & (ROLE_AUDITOR | ROLE_ADMINISTRATOR | ROLE_OWNER)) == 0)
			continue;
		be(2, bit);
		assert_int_equal(ask(w.key[0], "POST", erase, ""), 403);
		assert_int_equal(ask(w.key[0], "DELETE", revoke, ""), 403);
	}
	/* Roles that came with a token are roles. */
	be(2, ROLE_USER);
	w.key[2]->has_roles = true;
	w.key[2]->roles = ROLE_OWNER;
	assert_int_equal(ask(w.key[0], "POST", erase, ""), 403);
	assert_int_equal(ask(w.key[0], "DELETE", revoke, ""), 403);
	assert_int_equal(
	    ask(w.key[0], "PATCH", "/admin/v1/users/v", "{\"state\":\"disabled\"}"), 403);
	w.key[2]->has_roles = false;
	/* Nor does an owner alone end an auditor; nor anybody the last owner, also of two that go.
	 */
	be(0, ROLE_OWNER);
	be(2, ROLE_AUDITOR);
	assert_int_equal(ask(w.key[0], "POST", erase, ""), 202);
	assert_non_null(strstr(said.body, "auditor.remove"));
	assert_int_equal(ask(w.key[0], "DELETE", revoke, ""), 202);
	be(0, ROLE_OWNER | ROLE_USER);
	assert_int_equal(ask(w.key[0], "POST", "/admin/v1/users/u/erase", ""), 409);
	assert_string_equal(said.body, "last_owner");
	be(2, ROLE_OWNER)->changing.held = true;
	assert_int_equal(ask(w.key[0], "POST", "/admin/v1/users/u/erase", ""), 409);
	assert_string_equal(said.body, "last_owner");
	assert_int_equal(ask(w.key[0], "POST", erase, ""), 409);
	assert_string_equal(said.body, "busy");
	w.key[2]->user->changing.held = false;
	assert_int_equal(w.store_changes, 0);
	assert_int_equal(w.user_erases, 0);
	/* Those who may, do; and the operator even the last one. */
	assert_int_equal(ask(w.key[0], "DELETE", revoke, ""), 200);
	be(2, ROLE_USER);
	path_of(revoke, "/admin/v1/keys/", w.key[0]);
	assert_int_equal(ask(NULL, "DELETE", revoke, ""), 200);
	assert_int_equal(ask(NULL, "POST", "/admin/v1/users/u/erase?tenant=t", ""), 200);
	assert_int_equal(w.user_erases, 1);
}

/* What may less than its person ends nobody but itself and what was made of it. */
static void
test_a_narrowed_credential_ends_nobody(void **state)
{
	static const struct {
		const char *method, *path, *body;
	} acts[] = {
		{ "POST", "/admin/v1/users/v/erase", "" },
		{ "PATCH", "/admin/v1/users/v", "{\"state\":\"disabled\"}" },
		{ "PATCH", "/admin/v1/users/v", "{\"roles\":[\"user\"]}" },
		{ "PATCH", "/admin/v1/users/v", "{\"hold\":true}" },
	};
	static const char yes[] = "{\"decision\":\"approve\"}";
	struct scope *scope = NULL;
	struct key *whole, *own;
	char path[128];

	(void)state;
	whole = session();
	own = session();
	be(0, ROLE_OWNER);
	be(2, ROLE_OWNER);
	assert_int_equal(ask(w.key[2], "GET", "/admin/v1/users/u/export", ""), 202);
	(void)snprintf(
	    path, sizeof(path), "/admin/v1/approvals/%.32s", strstr(said.body, "\"id\":\"") + 6);
	be(2, ROLE_USER);
	assert_true(is_ok(scope_parse(SPAN_LIT("{\"endpoints\":[\"admin\"]}"), &scope)));
	own->scope = scope;
	for (size_t i = 0; i < COUNT(acts); i++) {
		assert_int_equal(ask(own, acts[i].method, acts[i].path, acts[i].body), 403);
		assert_string_equal(said.body, "denied");
	}
	be(2, ROLE_OWNER);
	assert_int_equal(ask(own, "POST", path, yes), 403);
	assert_string_equal(said.body, "denied");
	(void)snprintf(path, sizeof(path), "/admin/v1/sessions/%s", ((struct session *)whole)->id);
	assert_int_equal(ask(own, "DELETE", path, ""), 403);
	(void)snprintf(path, sizeof(path), "/admin/v1/sessions/%s", ((struct session *)own)->id);
	assert_int_equal(ask(own, "DELETE", path, ""), 200);
	assert_int_equal(w.store_changes, 0);
}

/* Two who make the same user at once: the later one changes nothing of what the first has made. */
static void
test_who_is_made_twice(void **state)
{
	struct aa_receipt receipt = { .count = 1 };

	(void)state;
	be(0, ROLE_ADMINISTRATOR);
	w.audit_mode = AUDIT_HOLDS;
	assert_int_equal(ask(w.key[0], "POST", "/admin/v1/users", "{\"user\":\"n\"}"), 0);
	assert_int_equal(
	    ask(w.key[0], "POST", "/admin/v1/users", "{\"user\":\"n\",\"roles\":[\"service\"]}"),
	    0);
	w.audit_mode = AUDIT_TAKES;
	for (size_t i = 0; i < 2; i++) {
		receipt.first_seq = i + 1;
		assert_true(is_ok(link_send(w.audit, w.held[i], AA_RECEIPT, &receipt)));
		spin();
		assert_int_equal(said.http, i == 0 ? 201 : 409);
	}
	assert_int_equal(w.store_changes, 1);
	assert_int_equal(
	    keys_find_user(&w.a->keys, SPAN_LIT("t"), SPAN_LIT("n"))->roles, ROLE_USER);
	/* Both may be on their way to the store: it knows which came first. */
	w.put_code = E_EXISTS;
	assert_int_equal(ask(w.key[0], "POST", "/admin/v1/users", "{\"user\":\"o\"}"), 409);
	assert_non_null(strstr(said.body, "\"exists\""));
	assert_int_equal(w.put_fresh, 1);
	assert_null(keys_find_user(&w.a->keys, SPAN_LIT("t"), SPAN_LIT("o")));
	w.put_code = 0;
	assert_int_equal(
	    ask(w.key[0], "PATCH", "/admin/v1/users/v", "{\"state\":\"disabled\"}"), 200);
	assert_int_equal(w.put_fresh, 0);
}

static void
test_what_a_session_asked_for_ends_with_it(void **state)
{
	static const char lift[] = "{\"hold\":false}", yes[] = "{\"decision\":\"approve\"}";
	struct user *held = w.key[0]->user;
	struct key *s = session();
	char path[3][128];

	(void)state;
	be(0, ROLE_OWNER);
	be(2, ROLE_OWNER);
	held->hold = 1;
	s->expires_s = now_real_s(); /* over by the time of path[0]'s decision */
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(ask(s, "PATCH", "/admin/v1/users/u", lift), 202);
		(void)snprintf(path[i], sizeof(path[i]), "/admin/v1/approvals/%.32s",
		    strstr(said.body, "\"id\":\"") + 6);
		s->expires_s = now_real_s() + 600;
		if (i != 1)
			continue;
		assert_string_not_equal(path[1], path[0]); /* which can be done no more */
		assert_int_equal(ask(w.key[2], "POST", path[0], yes), 409);
		assert_int_equal(held->hold, 1);
		assert_int_equal(ask(w.key[2], "POST", path[1], yes), 200);
		assert_non_null(strstr(said.body, "\"status\":200"));
		assert_int_equal(held->hold, 0);
		held->hold = 1;
	}
	session_end(w.a, (struct session *)s);
	assert_int_equal(ask(w.key[2], "POST", path[2], yes), 409);
	assert_non_null(strstr(said.body, "not_allowed"));
	assert_int_equal(held->hold, 1);
	/* So with a token. */
	w.key[0]->has_roles = true;
	w.key[0]->roles = ROLE_OWNER;
	w.a->oidc->token_expires_s = now_real_s();
	assert_int_equal(ask(w.key[0], "PATCH", "/admin/v1/users/u", lift), 202);
	(void)snprintf(path[0], sizeof(path[0]), "/admin/v1/approvals/%.32s",
	    strstr(said.body, "\"id\":\"") + 6);
	assert_int_equal(ask(w.key[2], "POST", path[0], yes), 409);
	assert_int_equal(held->hold, 1);
}

/* What was agreed to is read by who asked, and by nobody else; it ends with what it was asked by.
 */
static void
test_what_is_given(void **state)
{
	static const char export[] = "/admin/v1/users/v/export",
			  yes[] = "{\"decision\":\"approve\"}";
	struct key *s = session();
	char path[128];

	(void)state;
	be(0, ROLE_OWNER);
	be(2, ROLE_OWNER);
	w.key[1]->user->roles = ROLE_OWNER;
	assert_int_equal(ask(s, "GET", export, ""), 202);
	assert_non_null(strstr(said.body, "\"state\":\"waiting\""));
	(void)snprintf(
	    path, sizeof(path), "/admin/v1/approvals/%.32s", strstr(said.body, "\"id\":\"") + 6);
	/* To ask again, also for a later page, is to wait for the same. */
	assert_int_equal(ask(s, "GET", "/admin/v1/users/v/export?cursor=1.2.3.4.5", ""), 202);
	assert_memory_equal(strstr(said.body, "\"id\":\"") + 6, path + 20, 32);
	assert_int_equal(ask(w.key[2], "POST", path, yes), 200);
	assert_null(strstr(said.body, "result"));
	assert_int_equal(ask(w.key[2], "POST", path, yes), 404);
	assert_int_equal(ask(s, "GET", export, ""), 200);
	assert_non_null(strstr(said.body, "page_base64"));
	assert_int_equal(ask(s, "GET", "/admin/v1/users/v/export?cursor=1.2.3.4.5", ""), 200);
	assert_int_equal(ask(s, "GET", "/admin/v1/tenants/t/export", ""), 202);
	assert_int_equal(ask(w.key[2], "GET", "/admin/v1/users/u/export", ""), 202);
	session_end(w.a, (struct session *)s);
	assert_int_equal(ask(w.key[0], "GET", export, ""), 202);
}

/* Not dispatched to the end: the page is being made. */
static uint16_t
begin_export(struct key *by)
{
	struct admin_op *op = NULL;
	struct admin_call c = { .a = w.a,
		.by = by,
		.reply = on_said,
		.op = &op,
		.method = SPAN_LIT("GET"),
		.path = SPAN_LIT("/admin/v1/me/export") };

	return is_ok(admin_dispatch(&c)) ? 0 : c.http;
}

static void
test_exports_are_few(void **state)
{
	struct session narrow = { .key = *w.key[0] };
	struct scope *scope = NULL;

	(void)state;
	be(0, ROLE_USER);
	be(2, ROLE_USER);
	be(3, ROLE_USER);
	w.exports_hold = true;
	assert_int_equal(begin_export(w.key[0]), 0);
	assert_int_equal(begin_export(w.key[1]), 409); /* of the same person */
	assert_int_equal(begin_export(w.key[2]), 0);
	assert_int_equal(begin_export(w.key[3]), 0); /* each waits for its turn */
	for (unsigned n = 1; n <= 3; n++) {
		spin();
		assert_int_equal(w.exports, n);
		assert_true(is_ok(link_send(
		    w.store, w.export_held, AS_EXPORTED, &(struct as_exported){ .code = E_OK })));
	}
	w.exports_hold = false;
	spin();
	assert_int_equal(begin_export(w.key[0]), 0);
	spin();
	assert_true(is_ok(scope_parse(SPAN_LIT("{\"endpoints\":[\"chat\"]}"), &scope)));
	narrow.key.parent = w.key[0];
	narrow.key.scope = scope;
	assert_int_equal(begin_export(&narrow.key), 403);
	assert_int_equal(ask(&narrow.key, "GET", "/admin/v1/users/u/export", ""), 403);
	scope_free(scope);
}

/* What was agreed to about a person is nothing about who has its name later. */
static void
test_given_is_about_a_person(void **state)
{
	static const char export[] = "/admin/v1/users/v/export",
			  yes[] = "{\"decision\":\"approve\"}";
	struct user *v = be(2, ROLE_USER);
	char path[128];

	(void)state;
	be(0, ROLE_OWNER);
	assert_int_equal(ask(w.key[0], "GET", export, ""), 202);
	(void)snprintf(
	    path, sizeof(path), "/admin/v1/approvals/%.32s", strstr(said.body, "\"id\":\"") + 6);
	assert_int_equal(ask(NULL, "POST", path, yes), 200);
	assert_int_equal(ask(w.key[0], "GET", export, ""), 200);
	v->subject[0] ^= 1;
	assert_int_equal(ask(w.key[0], "GET", export, ""), 202);
}

/*
 * All that a person can change by an API call. None of it turns retention, the leak check, pasted
 * credentials, limits, a policy or the rule of two off: those are the configuration's, which an
 * operator on the machine loads. What weakens a control is for two: see `two`.
 */
static void
test_no_control_is_disabled_alone(void **state)
{
	static const struct {
		const char *method, *path;
	} changes[] = {
		{ "DELETE", "/admin/v1/me" },           /* oneself; not under a hold */
		{ "POST", "/admin/v1/users" },          /* more people; high roles: an owner */
		{ "PATCH", "/admin/v1/users/{}" },      /* a hold lifted, an auditor away: two */
		{ "POST", "/admin/v1/users/{}/erase" }, /* not under a hold; an auditor: two */
		{ "POST", "/admin/v1/keys" },           /* within the maker's own rights */
		{ "POST", "/admin/v1/keys/{}/rotate" }, /* the same rights */
		{ "DELETE", "/admin/v1/keys/{}" },      /* an auditor's: two */
		{ "DELETE", "/admin/v1/sessions/{}" },  /* made anew with the key */
		{ "POST", "/admin/v1/approvals/{}" },   /* never by who asked */
	};
	static const enum action two[] = { ACTION_AUDITOR_REMOVE, ACTION_HOLD_LIFT,
		ACTION_USER_EXPORT, ACTION_TENANT_EXPORT, ACTION_SERVICE_KEY };
	size_t found = 0, pairs = 0;

	(void)state;
	for (size_t i = 0; i < admin_routes_count; i++) {
		const struct admin_route *r = &admin_routes[i];
		bool known = false;

		if ((r->doors & DOOR_PERSON) == 0 || strcmp(r->method, "GET") == 0)
			continue;
		for (size_t j = 0; j < COUNT(changes); j++)
			known = known || (strcmp(r->method, changes[j].method) == 0 &&
					     strcmp(r->path, changes[j].path) == 0);
		if (!known)
			print_error("%s %s: does it disable a control?\n", r->method, r->path);
		assert_true(known);
		found++;
	}
	assert_int_equal(found, COUNT(changes));
	for (int action = 0; action < ACTION_COUNT; action++)
		pairs += action_needs_two((enum action)action);
	assert_int_equal(pairs, COUNT(two));
	for (size_t i = 0; i < COUNT(two); i++)
		assert_true(action_needs_two(two[i]));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = { T(test_services_stay), T(test_nobody_ends_those_above),
		T(test_who_is_made_twice), T(test_a_narrowed_credential_ends_nobody),
		T(test_what_a_session_asked_for_ends_with_it), T(test_what_is_given),
		T(test_exports_are_few), T(test_given_is_about_a_person),
		T(test_no_control_is_disabled_alone) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
