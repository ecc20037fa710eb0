/* SPDX-License-Identifier: Apache-2.0 */
/* src/authority/approvals_decide.c: who decides, how often, how long, and about whom. */
#include "authority_approvals_rig.h"

/* Who may see that it waits may not therefore do it. */
static void
test_a_right_to_the_act(void **state)
{
	char path[128];

	(void)state;
	be(2, ROLE_OWNER);
	be(0, ROLE_ADMINISTRATOR);
	wait_for("GET", "/admin/v1/users/u/export", "", path);
	assert_int_equal(ask(w.key[0], "GET", "/admin/v1/approvals", ""), 200);
	assert_non_null(strstr(said.body, path + 20));
	assert_int_equal(ask(w.key[0], "POST", path, yes), 403);
	assert_string_equal(said.body, "role");
	assert_int_equal(ask(w.key[2], "GET", "/admin/v1/users/u/export", ""), 202);
	be(0, ROLE_OWNER);
	assert_int_equal(ask(w.key[0], "POST", path, yes), 200);
	assert_int_equal(ask(w.key[2], "GET", "/admin/v1/users/u/export", ""), 200);
}

/* Nobody else decides while a decision is on its way to the log; without a record there is none. */
static void
test_a_decision_is_one(void **state)
{
	struct user *held = w.key[0]->user;
	char path[128];

	(void)state;
	be(2, ROLE_OWNER);
	be(0, ROLE_OWNER);
	held->hold = 1;
	wait_for("PATCH", "/admin/v1/users/u", lift, path);
	w.audit_mode = AUDIT_REFUSES;
	assert_int_equal(ask(w.key[0], "POST", path, yes), 503);
	assert_int_equal(held->hold, 1);
	w.audit_mode = AUDIT_HOLDS;
	assert_int_equal(ask(w.key[0], "POST", path, yes), 0);
	assert_int_equal(ask(w.key[0], "POST", path, yes), 404);
	assert_int_equal(ask(w.key[0], "POST", path, no), 404);
	assert_int_equal(held->hold, 1);
}

/* Of whoever was erased, and has a namesake since, nothing is done that was asked for. */
static void
test_another_of_that_name(void **state)
{
	struct user *u = w.key[0]->user, *v = w.key[2]->user;
	char path[128];

	(void)state;
	be(2, ROLE_OWNER);
	be(0, ROLE_OWNER);
	u->hold = 1;
	wait_for("PATCH", "/admin/v1/users/u", lift, path);
	u->subject[0] ^= 1;
	assert_int_equal(ask(w.key[0], "POST", path, yes), 409);
	assert_int_equal(u->hold, 1);
	wait_for("PATCH", "/admin/v1/users/u", lift, path);
	assert_int_equal(ask(w.key[0], "POST", path, yes), 200);
	assert_int_equal(u->hold, 0);
	/* Named by the body: a service of that name. */
	be(2, ROLE_SERVICE);
	assert_int_equal(ask(w.key[0], "POST", "/admin/v1/keys", "{\"user\":\"v\"}"), 202);
	(void)snprintf(
	    path, sizeof(path), "/admin/v1/approvals/%.32s", strstr(said.body, "\"id\":\"") + 6);
	v->subject[0] ^= 1;
	assert_int_equal(ask(NULL, "POST", path, yes), 409);
	assert_int_equal(ask(w.key[0], "POST", "/admin/v1/keys", "{\"user\":\"v\"}"), 202);
	(void)snprintf(
	    path, sizeof(path), "/admin/v1/approvals/%.32s", strstr(said.body, "\"id\":\"") + 6);
	assert_int_equal(ask(NULL, "POST", path, yes), 200);
}

/* A key's id names whose it is: another one of that name is not who it was asked for. */
static void
test_a_key_is_somebodys(void **state)
{
	struct user *v = w.key[2]->user;
	char path[128], rotate[64];

	(void)state;
	be(0, ROLE_OWNER);
	be(2, ROLE_SERVICE);
	(void)snprintf(rotate, sizeof(rotate), "/admin/v1/keys/%.12s/rotate", w.key[2]->id);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(ask(w.key[0], "POST", rotate, "{}"), 202);
		(void)snprintf(path, sizeof(path), "/admin/v1/approvals/%.32s",
		    strstr(said.body, "\"id\":\"") + 6);
		v->subject[0] ^= i == 0;
		assert_int_equal(ask(NULL, "POST", path, yes), i == 0 ? 409 : 200);
	}
}

static void
test_an_hour(void **state)
{
	char path[128];

	(void)state;
	be(2, ROLE_OWNER);
	be(0, ROLE_OWNER);
	w.key[0]->user->hold = 1;
	wait_for("PATCH", "/admin/v1/users/u", lift, path);
	w.loop.time += 3600000;
	assert_int_equal(ask(w.key[0], "POST", path, yes), 404);
	assert_int_equal(w.key[0]->user->hold, 1);
	wait_for("PATCH", "/admin/v1/users/u", lift, path);
	w.loop.time += 3500000;
	assert_int_equal(ask(w.key[0], "POST", path, yes), 200);
	assert_int_equal(w.key[0]->user->hold, 0);
}

/* What may be read for an hour may be so no more, whoever of the two says it. */
static void
test_a_given_one_is_taken_back(void **state)
{
	char path[128];

	(void)state;
	be(2, ROLE_OWNER);
	be(0, ROLE_OWNER);
	for (size_t by = 0; by <= 2; by += 2) {
		wait_for("GET", "/admin/v1/users/u/export", "", path);
		assert_int_equal(ask(w.key[0], "POST", path, yes), 200);
		assert_int_equal(ask(w.key[0], "POST", path, yes), 404);
		assert_int_equal(ask(w.key[2], "GET", "/admin/v1/users/u/export", ""), 200);
		w.audit_mode = AUDIT_REFUSES; /* without a record it stays */
		assert_int_equal(ask(w.key[by], "POST", path, no), 503);
		w.audit_mode = AUDIT_TAKES;
		assert_int_equal(ask(w.key[2], "GET", "/admin/v1/users/u/export", ""), 200);
		assert_int_equal(ask(w.key[by], "POST", path, no), 200);
		assert_int_equal(ask(w.key[by], "POST", path, no), 404);
		assert_int_equal(ask(w.key[2], "GET", "/admin/v1/users/u/export", ""), 202);
		assert_int_equal(ask(w.key[0], "GET", "/admin/v1/approvals", ""), 200);
		assert_null(strstr(said.body, path + 20));
		(void)snprintf(path, sizeof(path), "/admin/v1/approvals/%.32s",
		    strstr(said.body, "\"id\":\"") + 6);
		assert_int_equal(ask(w.key[0], "POST", path, no), 200);
	}
}

/* Who asked and was erased is not named, nor taken for who has that name now. */
static void
test_who_asked_was_erased(void **state)
{
	struct user *v = be(2, ROLE_OWNER);
	uint8_t before[SUBJECT_LEN];
	char path[128];

	(void)state;
	be(0, ROLE_OWNER);
	w.key[0]->user->hold = 1;
	wait_for("PATCH", "/admin/v1/users/u", lift, path);
	assert_int_equal(ask(w.key[0], "GET", "/admin/v1/approvals", ""), 200);
	assert_non_null(strstr(said.body, "\"by\":\"v\""));
	v->state = USER_ERASED;
	assert_int_equal(ask(w.key[0], "GET", path, ""), 200);
	assert_non_null(strstr(said.body, "\"by\":null"));
	v->state = USER_ACTIVE;
	v->subject[0] ^= 1;
	assert_int_equal(ask(w.key[0], "GET", "/admin/v1/approvals", ""), 200);
	assert_non_null(strstr(said.body, "\"by\":null"));
	assert_int_equal(ask(w.key[0], "POST", path, yes), 409);
	assert_int_equal(w.key[0]->user->hold, 1);
	assert_int_equal(ask(w.key[0], "GET", path, ""), 200);
	assert_non_null(strstr(said.body, "\"failed\""));
	assert_non_null(strstr(said.body, "\"by\":null"));
	/* On record it is that one's, too. */
	wait_for("PATCH", "/admin/v1/users/u", lift, path);
	memcpy(before, v->subject, SUBJECT_LEN);
	v->subject[0] ^= 1;
	w.loop.time += 3600000;
	approvals_tick(w.a);
	spin();
	assert_non_null(strstr(w.recs[w.nrecs - 1].text, "state=lapsed"));
	assert_memory_equal(w.recs[w.nrecs - 1].subject, before, SUBJECT_LEN);
	assert_int_equal(ask(NULL, "PATCH", "/admin/v1/users/u?tenant=t", lift), 202);
	assert_non_null(strstr(said.body, "\"by\":\"operator\""));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_a_right_to_the_act),
		T(test_a_decision_is_one),
		T(test_another_of_that_name),
		T(test_a_key_is_somebodys),
		T(test_who_asked_was_erased),
		T(test_an_hour),
		T(test_a_given_one_is_taken_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
