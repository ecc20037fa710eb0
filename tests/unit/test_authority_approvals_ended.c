/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/authority/approvals.c, approvals_show.c: what became of an act that two people agreed to, and
 * of those that take their time; and what a person may not do to itself.
 */
#include "authority_approvals_rig.h"

static void
pass(uint64_t ms)
{
	w.loop.time += ms;
	admin_tick(w.a);
}

/* Of an auditor, agreed to; the store has not answered. */
static void
begin_erasure(char ret_path[128])
{
	be(2, ROLE_OWNER);
	be(0, ROLE_USER | ROLE_AUDITOR);
	w.erase_holds = true;
	wait_for("POST", "/admin/v1/users/u/erase", "", ret_path);
	assert_int_equal(ask(NULL, "POST", ret_path, yes), 0);
}

/* Who agrees to what takes its time hears how that ended, for as long as who does it alone. */
static void
test_an_erasure_takes_its_time(void **state)
{
	char path[128];

	(void)state;
	begin_erasure(path);
	assert_int_equal(w.user_erases, 1);
	pass(ADMIN_WAIT_MS + ERASE_WAIT_MS - 5000);
	assert_int_equal(said.n, 0);
	erase_answer(w.store, w.erase_held);
	spin();
	assert_int_equal(said.n, 1);
	assert_int_equal(said.http, 200);
	assert_non_null(strstr(said.body, "\"status\":200"));
	assert_non_null(strstr(said.body, "\"rows\":42"));
}

/* … and hears of it what that one would hear, once, where it takes longer than that. */
static void
test_an_erasure_takes_too_long(void **state)
{
	char path[128];

	(void)state;
	begin_erasure(path);
	pass(ADMIN_WAIT_MS + ERASE_WAIT_MS + 1000);
	assert_int_equal(said.n, 1);
	assert_int_equal(said.http, 200);
	assert_non_null(strstr(said.body, "\"state\":\"approved\",\"status\":504"));
	assert_non_null(strstr(said.body, "\"timeout\""));
	erase_answer(w.store, w.erase_held);
	spin();
	pass(ADMIN_WAIT_MS + ERASE_WAIT_MS);
	assert_int_equal(said.n, 1);
}

static void
test_what_became_of_it(void **state)
{
	struct user *u = w.key[0]->user;
	char path[128], first[128];

	(void)state;
	be(2, ROLE_OWNER);
	be(0, ROLE_OWNER);
	be(3, ROLE_OWNER);
	u->hold = 1;
	wait_for("PATCH", "/admin/v1/users/u", lift, path);
	assert_string_equal(state_of(w.key[2], path), "waiting");
	assert_string_equal(state_of(w.key[0], path), "waiting");
	assert_string_equal(state_of(NULL, path), "waiting");
	assert_null(state_of(w.key[3], path)); /* of another tenant */
	w.audit_mode = AUDIT_HOLDS;
	assert_int_equal(ask(w.key[0], "POST", path, yes), 0);
	w.audit_mode = AUDIT_TAKES;
	assert_string_equal(state_of(w.key[2], path), "deciding");
	release_held();
	spin();
	assert_string_equal(state_of(w.key[2], path), "done");
	assert_non_null(strstr(said.body, "\"status\":200"));
	assert_null(strstr(said.body, "/users/"));
	assert_null(state_of(w.key[3], path));
	assert_int_equal(ask(w.key[0], "GET", "/admin/v1/approvals", ""), 200);
	assert_string_equal(said.body, "{\"approvals\":[]}");
	w.loop.time += 3600000;
	assert_null(state_of(w.key[2], path));
	/* Who may not do it hears of it no more than who asked for it before and has that name. */
	wait_for("GET", "/admin/v1/users/u/export", "", path);
	be(0, ROLE_ADMINISTRATOR);
	assert_null(state_of(w.key[0], path));
	be(0, ROLE_OWNER);
	assert_int_equal(ask(w.key[0], "POST", path, no), 200);
	be(2, ROLE_ADMINISTRATOR);
	assert_string_equal(state_of(w.key[2], path), "refused");
	w.key[2]->user->subject[0] ^= 1;
	assert_null(state_of(w.key[2], path));
	w.key[2]->user->subject[0] ^= 1;
	be(2, ROLE_OWNER);
	u->hold = 1;
	wait_for("PATCH", "/admin/v1/users/u", lift, path);
	u->subject[0] ^= 1;
	assert_int_equal(ask(NULL, "POST", path, yes), 409);
	assert_string_equal(state_of(w.key[2], path), "failed");
	assert_non_null(strstr(said.body, "\"status\":409,\"error\":\"not_allowed\""));
	/* Those that have ended take nobody's place; the oldest are forgotten first. */
	(void)memcpy(first, path, sizeof(first));
	for (int i = 0; i < 16; i++) {
		assert_string_equal(state_of(w.key[2], first), "failed");
		wait_for("PATCH", "/admin/v1/users/u", lift, path);
		assert_int_equal(ask(w.key[2], "POST", path, no), 200);
	}
	assert_null(state_of(w.key[2], first));
	assert_string_equal(state_of(w.key[2], path), "refused");
}

/* An act that goes on is being decided until it is over, and fails as itself. */
static void
test_what_an_act_became(void **state)
{
	char path[128];

	(void)state;
	begin_erasure(path);
	assert_string_equal(state_of(w.key[2], path), "deciding");
	w.erase_code = E_DENIED;
	erase_answer(w.store, w.erase_held);
	spin();
	assert_string_equal(state_of(w.key[2], path), "failed");
	assert_non_null(strstr(said.body, "\"status\":409,\"error\":\"legal_hold\""));
}

/* Where all places are taken, the one that ended first makes room; the others go in their time. */
static void
test_what_has_ended_makes_room(void **state)
{
	char path[128];

	(void)state;
	be(2, ROLE_OWNER);
	w.key[0]->user->hold = 1;
	for (size_t i = 0; i < APPROVALS_MAX; i++) {
		approval_at(i)->state = DONE;
		approval_at(i)->nth = i == 7 ? 1 : i + 2;
		approval_at(i)->until_ms = w.loop.time + 1000;
	}
	wait_for("PATCH", "/admin/v1/users/u", lift, path);
	w.loop.time += 1000;
	approvals_tick(w.a);
	for (size_t i = 0; i < APPROVALS_MAX; i++)
		assert_int_equal(approval_at(i)->state, i == 7 ? WAITING : FREE);
}

/* Under a hold nobody is erased, and who has roles does not do it itself: the store is not asked.
 */
static void
test_who_is_not_erased(void **state)
{
	static const char *const bodies[] = { "{\"a\":1}", "[]", "null", "{}{}", "{", "x" };

	(void)state;
	be(2, ROLE_OWNER);
	be(0, ROLE_USER | ROLE_AUDITOR);
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
		assert_int_equal(ask(w.key[0], "DELETE", "/admin/v1/me", bodies[i]), 400);
	assert_int_equal(ask(w.key[0], "DELETE", "/admin/v1/me", ""), 409);
	assert_string_equal(said.body, "has_roles");
	be(0, ROLE_USER);
	w.key[0]->user->hold = 1;
	assert_int_equal(ask(w.key[0], "DELETE", "/admin/v1/me", ""), 409);
	assert_string_equal(said.body, "legal_hold");
	assert_int_equal(ask(w.key[2], "POST", "/admin/v1/users/u/erase", ""), 409);
	assert_string_equal(said.body, "legal_hold");
	assert_int_equal(w.key[0]->user->state, USER_ACTIVE);
	w.key[0]->user->hold = 0;
	assert_int_equal(ask(w.key[0], "DELETE", "/admin/v1/me", " {\n} "), 200);
	assert_string_equal(said.body, "{\"erased\":true,\"rows\":42}");
	assert_null(strstr(w.recs[w.nrecs - 1].text, "waits_for"));
}

/* Where the file keeps the keys for a while, the answer and the record say so. */
static void
test_who_is_erased_later(void **state)
{
	(void)state;
	be(2, ROLE_OWNER);
	be(0, ROLE_USER);
	w.erase_waits = true;
	assert_int_equal(ask(w.key[2], "POST", "/admin/v1/users/u/erase", ""), 200);
	assert_string_equal(said.body, "{\"erased\":true,\"rows\":42,\"waits_for\":\"backup\"}");
	assert_int_equal(w.recs[w.nrecs - 1].event, EVENT_ERASED);
	assert_int_equal(w.recs[w.nrecs - 1].outcome, AUDIT_SUCCESS);
	assert_non_null(strstr(w.recs[w.nrecs - 1].text, "rows=42"));
	assert_non_null(strstr(w.recs[w.nrecs - 1].text, "waits_for=backup"));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_an_erasure_takes_its_time),
		T(test_an_erasure_takes_too_long),
		T(test_what_became_of_it),
		T(test_what_an_act_became),
		T(test_what_has_ended_makes_room),
		T(test_who_is_not_erased),
		T(test_who_is_erased_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
