/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/authority/approvals_ask.c: what waits for a second person: on record first, once, not for
 * ever, and not too much of it.
 */
#include "authority_approvals_rig.h"

/* Nor before it is on record that somebody asked: until then nobody else sees it. */
static void
test_what_was_asked_is_on_record_first(void **state)
{
	const char *id;
	char path[128];

	(void)state;
	be(2, ROLE_OWNER);
	be(0, ROLE_OWNER);
	w.key[0]->user->hold = 1;
	w.audit_mode = AUDIT_HOLDS;
	assert_int_equal(ask(w.key[2], "PATCH", "/admin/v1/users/u", lift), 0);
	w.audit_mode = AUDIT_TAKES;
	assert_int_equal(ask(w.key[0], "GET", "/admin/v1/approvals", ""), 200);
	assert_string_equal(said.body, "{\"approvals\":[]}");
	release_held();
	spin();
	assert_int_equal(said.http, 202);
	id = strstr(said.body, "\"id\":\"") + 6;
	(void)snprintf(path, sizeof(path), "/admin/v1/approvals/%.32s", id);
	assert_int_equal(ask(w.key[0], "GET", "/admin/v1/approvals", ""), 200);
	assert_non_null(strstr(said.body, path + 20));
	assert_int_equal(ask(w.key[0], "POST", path, yes), 200);
	assert_int_equal(w.key[0]->user->hold, 0);
}

/* What is asked once more may be decided before that is on record: its place is another's then. */
static void
test_asked_again_and_decided(void **state)
{
	char path[128], other[128];

	(void)state;
	be(2, ROLE_OWNER);
	be(0, ROLE_OWNER);
	wait_for("GET", "/admin/v1/users/u/export", "", path);
	w.audit_mode = AUDIT_HOLDS;
	assert_int_equal(ask(w.key[2], "GET", "/admin/v1/users/u/export", ""), 0);
	w.audit_mode = AUDIT_TAKES;
	assert_int_equal(ask(w.key[0], "POST", path, no), 200);
	w.key[0]->user->hold = 1;
	wait_for("PATCH", "/admin/v1/users/u", lift, other);
	release_held();
	spin();
	assert_int_equal(said.http, 409);
	assert_non_null(strstr(said.body, "\"not_allowed\""));
	assert_int_equal(ask(w.key[0], "POST", other, yes), 200);
}

/* So many of one person; of what is asked for, all can be shown. */
static void
test_what_waits_is_bounded(void **state)
{
	static char long_body[1100];
	char path[128];

	(void)state;
	be(2, ROLE_OWNER);
	w.key[0]->user->hold = 1;
	memset(long_body, ' ', sizeof(long_body) - 1);
	memcpy(long_body, lift, sizeof(lift) - 1);
	assert_int_equal(ask(w.key[2], "PATCH", "/admin/v1/users/u", long_body), 413);
	for (int i = 0; i < 8; i++) { /* each another text */
		long_body[sizeof(lift) + (size_t)i] = '\0';
		wait_for("PATCH", "/admin/v1/users/u", long_body, path);
		long_body[sizeof(lift) + (size_t)i] = ' ';
	}
	assert_int_not_equal(ask(w.key[2], "PATCH", "/admin/v1/users/u", lift), 202);
	be(0, ROLE_OWNER);
	assert_int_equal(ask(w.key[0], "POST", path, no), 200);
	wait_for("PATCH", "/admin/v1/users/u", lift, path);
}

/* Asked for again it is the one that waits, for as long as that can still be done. */
static void
test_the_same_is_one(void **state)
{
	char path[128], again[128];

	(void)state;
	be(2, ROLE_OWNER);
	be(0, ROLE_OWNER);
	w.key[0]->user->hold = 1;
	wait_for("PATCH", "/admin/v1/users/u", lift, path);
	for (int i = 0; i < 20; i++) {
		wait_for("PATCH", "/admin/v1/users/u", lift, again);
		assert_string_equal(again, path);
	}
	/* Another text, another path, another person: another. */
	wait_for("PATCH", "/admin/v1/users/u", "{\"hold\": false}", again);
	assert_string_not_equal(again, path);
	w.key[2]->user->hold = 1;
	wait_for("PATCH", "/admin/v1/users/v", lift, again);
	assert_string_not_equal(again, path);
	assert_int_equal(ask(w.key[0], "PATCH", "/admin/v1/users/u", lift), 202);
	assert_null(strstr(said.body, path + 20));
	/* Nor is it one that was about a namesake. */
	w.key[0]->user->subject[0] ^= 1;
	wait_for("PATCH", "/admin/v1/users/u", lift, again);
	assert_string_not_equal(again, path);
}

/* … also while it is not on record yet that it was asked for; one record of them is enough. */
static void
test_the_same_at_a_time_is_one(void **state)
{
	const char *id;
	char path[128];

	(void)state;
	be(2, ROLE_OWNER);
	be(0, ROLE_OWNER);
	w.key[0]->user->hold = 1;
	w.audit_mode = AUDIT_HOLDS;
	for (int i = 0; i < 3; i++)
		assert_int_equal(ask(w.key[2], "PATCH", "/admin/v1/users/u", lift), 0);
	w.audit_mode = AUDIT_REFUSES;
	assert_int_equal(ask(w.key[2], "PATCH", "/admin/v1/users/u", lift), 503);
	w.audit_mode = AUDIT_TAKES;
	release_held();
	spin();
	assert_int_equal(said.n, 1 + 3);
	assert_int_equal(said.http, 202);
	wait_for("PATCH", "/admin/v1/users/u", lift, path);
	assert_int_equal(ask(w.key[0], "GET", "/admin/v1/approvals", ""), 200);
	id = strstr(said.body, path + 20);
	assert_non_null(id);
	assert_null(strstr(id, "\"id\""));
	/* While it is being decided there is no other one, either. */
	w.audit_mode = AUDIT_HOLDS;
	assert_int_equal(ask(w.key[0], "POST", path, yes), 0);
	assert_int_equal(ask(w.key[2], "PATCH", "/admin/v1/users/u", lift), 409);
	assert_string_equal(said.body, "busy");
	w.audit_mode = AUDIT_TAKES;
	release_held();
	spin();
	assert_int_equal(w.key[0]->user->hold, 0);
	/* Where none of them is on record, there is none. */
	w.key[0]->user->hold = 1;
	w.audit_mode = AUDIT_HOLDS;
	for (int i = 0; i < 2; i++)
		assert_int_equal(ask(w.key[2], "PATCH", "/admin/v1/users/u", lift), 0);
	cut(&w.audit);
	assert_int_equal(said.n, 2);
	assert_int_equal(said.http, 503);
}

/* One hold is lifted once; the next one by what is asked for then. */
static void
test_a_lift_is_of_one_hold(void **state)
{
	static const char set[] = "{\"hold\":true}", other_text[] = "{\"hold\": false}";
	struct user *u = w.key[0]->user;
	char path[128], other[128], of_v[128];

	(void)state;
	be(2, ROLE_OWNER);
	be(0, ROLE_OWNER);
	u->hold = w.key[2]->user->hold = 1;
	wait_for("PATCH", "/admin/v1/users/u", lift, path);
	wait_for("PATCH", "/admin/v1/users/u", other_text, other);
	wait_for("PATCH", "/admin/v1/users/v", lift, of_v);
	assert_int_equal(ask(w.key[0], "POST", path, yes), 200);
	assert_int_equal(u->hold, 0);
	assert_int_equal(ask(w.key[2], "PATCH", "/admin/v1/users/u", set), 200);
	assert_int_equal(ask(w.key[0], "POST", other, yes), 404);
	assert_int_equal(u->hold, 1);
	approvals_tick(w.a);
	spin();
	assert_non_null(strstr(w.recs[w.nrecs - 1].text, "state=lapsed"));
	assert_int_equal(ask(w.key[0], "GET", "/admin/v1/approvals", ""), 200);
	assert_null(strstr(said.body, other + 20));
	assert_int_equal(ask(w.key[0], "POST", of_v, yes), 200);
	/* Nor by one that was asked for before it was set. */
	u->hold = 1;
	wait_for("PATCH", "/admin/v1/users/u", lift, path);
	u->hold = 0;
	assert_int_equal(ask(w.key[2], "PATCH", "/admin/v1/users/u", set), 200);
	assert_int_equal(ask(w.key[0], "POST", path, yes), 404);
	assert_int_equal(u->hold, 1);
}

/* An operator names the tenant: there is a namesake in another one. */
static void
test_a_tenant_is_not_another(void **state)
{
	char body[4096];

	(void)state;
	w.key[0]->user->hold = w.key[3]->user->hold = 1;
	assert_int_equal(ask(NULL, "PATCH", "/admin/v1/users/u?tenant=x", lift), 202);
	memcpy(body, said.body, sizeof(body));
	assert_int_equal(ask(NULL, "PATCH", "/admin/v1/users/u?tenant=t", lift), 202);
	assert_string_not_equal(said.body, body);
	assert_int_equal(ask(NULL, "PATCH", "/admin/v1/users/u?tenant=x", lift), 202);
	assert_string_equal(said.body, body);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_what_was_asked_is_on_record_first),
		T(test_asked_again_and_decided),
		T(test_what_waits_is_bounded),
		T(test_the_same_is_one),
		T(test_the_same_at_a_time_is_one),
		T(test_a_lift_is_of_one_hold),
		T(test_a_tenant_is_not_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
