/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clock is set back, or far ahead, and right again: nobody's key is lost by it, no credential
 * is good longer than by the clock that there is, and what waits for a second person waits on.
 */
#include "authority_admin_rig.h"

#include <base/clock.h>

#define HOUR_S 3600LL
#define YEAR_S (365LL * 86400)

static int64_t off_s; /* of the clock */

uint64_t __real_clock_real_ns(void);
uint64_t __wrap_clock_real_ns(void);

uint64_t
__wrap_clock_real_ns(void)
{
	return (uint64_t)((int64_t)__real_clock_real_ns() + off_s * (int64_t)NS_PER_S);
}

static enum error
used(struct span credential)
{
	struct ga_admit m = admit_msg(ENDPOINT_MODELS);

	m.credential = credential;
	return (enum error)call(w.gw, GA_ADMIT, &m)->error;
}

/* The clock is as much off from now on, and everybody's second comes. */
static void
set_clock(int64_t s)
{
	off_s = s;
	keys_sweep(&w.a->keys, now_ms(w.a));
	sessions_tick(w.a);
	approvals_tick(w.a);
	spin();
}

static const int64_t offs[] = { -40 * YEAR_S, -YEAR_S, -60, 60, YEAR_S, 200 * YEAR_S };

static void
keys_end_by_the_clock_and_come_back(void **state)
{
	const struct span text = span_of(w.text[0], KEYTEXT_LEN);

	(void)state;
	w.key[0]->expires_s = now_real_s() + HOUR_S;
	for (size_t i = 0; i < COUNT(offs); i++) {
		set_clock(offs[i]);
		assert_int_equal(used(text), offs[i] < HOUR_S ? ERROR_NONE : ERROR_INVALID_KEY);
		assert_int_equal(used(span_of(w.text[2], KEYTEXT_LEN)), ERROR_NONE);
		set_clock(0);
		assert_int_equal(used(text), ERROR_NONE);
	}
	assert_int_equal(w.key[0]->revoked_s, 0);
	assert_int_equal(w.store_changes, 0);
	assert_balanced();
}

/* A session that has ended by the clock has ended for good; none is made for longer than it may. */
static void
sessions_end_once(void **state)
{
	const struct span key = span_of(w.text[0], KEYTEXT_LEN);

	(void)state;
	for (size_t i = 0; i < COUNT(offs); i++) {
		char token[4096];
		struct reply *r;

		(void)snprintf(token, sizeof(token), "%s", exchange(key, "", 0, SPAN_EMPTY)->body);
		assert_int_equal(used(span_str(token)), ERROR_NONE);
		set_clock(offs[i]);
		assert_int_equal(
		    used(span_str(token)), offs[i] < HOUR_S ? ERROR_NONE : ERROR_INVALID_KEY);
		/* One of that time is good at that time. */
		r = exchange(key, "", 120, SPAN_EMPTY);
		assert_int_equal(r->error, ERROR_NONE);
		assert_int_equal(r->expires_s, 120);
		(void)snprintf(r->models, sizeof(r->models), "%s", "");
		assert_int_equal(used(span_str(r->body)), ERROR_NONE);
		off_s += 121;
		assert_int_equal(used(span_str(r->body)), ERROR_INVALID_KEY);
		set_clock(0);
		assert_int_equal(
		    used(span_str(token)), offs[i] < HOUR_S ? ERROR_NONE : ERROR_INVALID_KEY);
		assert_int_equal(exchange(key, "", 0, span_str(token))->error, ERROR_NONE);
	}
	assert_balanced();
}

/* Its hour is no hour of that clock; but who asked with what has ended meanwhile asks no more. */
static void
a_second_person_may_decide_all_the_same(void **state)
{
	static const char lift[] = "{\"hold\":false}", yes[] = "{\"decision\":\"approve\"}";
	struct user *held = w.key[0]->user;

	(void)state;
	as(2, ROLE_OWNER);
	for (size_t i = 0; i < COUNT(offs); i++) {
		char path[128];

		user_set_marks(held, ROLE_USER | ROLE_ADMINISTRATOR, USER_ACTIVE, 1);
		approval_path(ask(2, "PATCH", "/admin/v1/users/u", lift), path);
		set_clock(offs[i]);
		assert_int_equal(ask(0, "POST", path, yes)->http, 200);
		assert_int_equal(held->hold, 0);
		set_clock(0);
	}
	user_set_marks(held, ROLE_USER | ROLE_ADMINISTRATOR, USER_ACTIVE, 1);
	w.key[2]->expires_s = now_real_s() + HOUR_S;
	{
		char path[128];

		approval_path(ask(2, "PATCH", "/admin/v1/users/u", lift), path);
		set_clock(YEAR_S);
		assert_int_equal(ask(0, "POST", path, yes)->http, 409);
		assert_int_equal(held->hold, 1);
		set_clock(0);
	}
	assert_balanced();
}

static int
begin(void **state)
{
	off_s = 0;
	return setup(state);
}

static int
end(void **state)
{
	off_s = 0;
	return teardown(state);
}

#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = { T(keys_end_by_the_clock_and_come_back),
		T(sessions_end_once), T(a_second_person_may_decide_all_the_same) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
