/* SPDX-License-Identifier: Apache-2.0 */
/* src/broker/session.c: logins: begun, refused, renewed, revoked, cut by a reload. */
#include "broker_session_rig.h"

static void
files_opened(void)
{
	void (*opened)(void *ctx) = w.opened;

	assert_non_null(opened);
	w.opened = NULL;
	opened(w.opened_ctx);
}

/* ---- logins ---- */
static void
a_login_begins_when_it_is_on_record(void **state)
{
	(void)state;
	session_want(w.s);
	assert_int_equal(w.intents, 1);
	assert_int_equal(w.act, SECRET_ACT_LOGIN);
	assert_int_equal(w.logins, 0);
	assert_true(session_busy(w.s));
	session_want(w.s); /* one is under way */
	assert_int_equal(w.intents, 1);
	record(OK);
	assert_int_equal(w.logins, 1);
	session_want(w.s);
	assert_int_equal(w.intents, 1);
	assert_false(session_ready(w.s));
	session_open(w.s, w.now_ms + 60 * SECOND_MS, w.now_ms + 40 * SECOND_MS);
	assert_true(session_ready(w.s));
	assert_false(session_busy(w.s));
	assert_int_equal(w.ends, 1);
	assert_int_equal(w.ended.fault, SECRET_FAULT_NONE);
	assert_int_equal(w.ended.lease_s, 60);
	assert_string_equal(w.version, "acc");
}

static void
without_a_record_there_is_no_login(void **state)
{
	(void)state;
	session_want(w.s);
	record(fail(E_CLOSED));
	assert_int_equal(w.s->fault, SECRET_UNRECORDED);
	assert_false(session_busy(w.s) || session_ready(w.s));
	pass(60 * SECOND_MS);
	w.begins = fail(E_CLOSED);
	session_want(w.s);
	assert_int_equal(w.s->failures, 2);
	assert_int_equal(w.s->fault, SECRET_UNRECORDED);
	assert_int_equal(w.logins, 0);
	assert_int_equal(w.intents, 1);
}

static void
files_are_opened_anew_first(void **state)
{
	(void)state;
	w.login = SESSION_LOGIN_FILES;
	session_want(w.s);
	record(OK);
	assert_int_equal(w.logins, 0);
	assert_true(session_busy(w.s));
	files_opened();
	assert_int_equal(w.logins, 1);
	session_retry(w.s); /* sent elsewhere: they may have changed meanwhile */
	assert_int_equal(w.logins, 1);
	files_opened();
	assert_int_equal(w.logins, 2);
	assert_int_equal(w.intents, 1);
	w.files = fail(E_CLOSED);
	session_retry(w.s);
	assert_int_equal(w.s->fault, SECRET_LOGIN);
	assert_int_equal(w.ended.fault, SECRET_LOGIN);
	assert_int_equal(w.version[0], '\0');
}

/* ---- refused ---- */
static uint64_t
pause_after(bool refused, uint32_t retry_after_ms)
{
	pass(w.s->not_before_ms > w.now_ms ? w.s->not_before_ms - w.now_ms : 0);
	log_in();
	session_failed(w.s, SECRET_LOGIN, refused, retry_after_ms);
	assert_int_equal(w.ended.fault, SECRET_LOGIN);
	return w.s->not_before_ms - w.now_ms;
}

static void
pauses_grow_and_end(void **state)
{
	(void)state;
	w.roll = SESSION_BACKOFF_MIN_MS - 1;
	assert_int_equal(pause_after(false, 0), SESSION_BACKOFF_MIN_MS / 2 + w.roll);
	w.roll = 2 * SESSION_BACKOFF_MIN_MS - 1;
	assert_int_equal(pause_after(false, 0), SESSION_BACKOFF_MIN_MS / 2 + w.roll);
	w.roll = 2 * SESSION_BACKOFF_MIN_MS; /* the third pause's is four times as long */
	assert_int_equal(pause_after(false, 0), SESSION_BACKOFF_MIN_MS / 2 + w.roll);
	for (int i = 0; i < 70; i++) /* more often than a number has bits */
		assert_true(
		    pause_after(false, 0) <= SESSION_BACKOFF_MIN_MS / 2 + SESSION_BACKOFF_MAX_MS);
	w.roll = SESSION_BACKOFF_MAX_MS - 1;
	assert_int_equal(pause_after(false, 0), SESSION_BACKOFF_MIN_MS / 2 + w.roll);
	w.roll++; /* no more than the most */
	assert_int_equal(pause_after(false, 0), SESSION_BACKOFF_MIN_MS / 2);
	w.roll--;
	assert_int_equal(
	    pause_after(true, 0), SESSION_BACKOFF_MIN_MS / 2 + w.roll + SESSION_REFUSED_MS);
	assert_int_equal(pause_after(false, 7777), SESSION_BACKOFF_MIN_MS / 2 + w.roll + 7777);
	pass(60 * SECOND_MS);
	open_for(SECOND_MS); /* which forgets them all */
	w.roll = 2 * SESSION_BACKOFF_MIN_MS;
	pass(2 * SECOND_MS);
	record(OK);
	session_failed(w.s, SECRET_LOGIN, false, 0);
	assert_int_equal(w.s->failures, 1);
}

static void
who_waits_hears_of_a_refusal(void **state)
{
	struct source_job jobs[3];

	(void)state;
	start(&jobs[0]);
	start(&jobs[1]);
	record(OK);
	session_failed(w.s, SECRET_LOGIN, true, 5000);
	told(2, SECRET_LOGIN);
	assert_true(w.result.refused);
	assert_int_equal(w.result.retry_after_ms, w.s->not_before_ms - w.now_ms);
	start(&jobs[2]); /* within the pause: told at once, and no login */
	told(3, SECRET_LOGIN);
	assert_true(w.result.refused && w.result.retry_after_ms > SESSION_REFUSED_MS);
	session_want(w.s); /* nor by others: it is too early */
	assert_int_equal(w.intents, 1);
	assert_int_equal(w.sent, 0);
	pass(w.result.retry_after_ms - 1);
	assert_int_equal(w.intents, 1);
	pass(1);
	assert_int_equal(w.intents, 2);
	record(OK);
	session_failed(w.s, SECRET_LOGIN, true, 0);
	pass(w.s->not_before_ms - w.now_ms);
	assert_int_equal(w.intents, 2);
	start(&jobs[0]); /* whoever comes after it has another login begin */
	assert_int_equal(w.intents, 3);
	work_cancel(&jobs[0]);
}

/* ---- late ---- */
static void
jobs_wait_for_a_login(void **state)
{
	struct source_job jobs[2];

	(void)state;
	start(&jobs[0]);
	record(OK);
	pass(9 * SECOND_MS); /* it takes long */
	start(&jobs[1]);
	assert_int_equal(w.intents, 1);
	assert_int_equal(w.told, 0);
	session_open(w.s, w.now_ms + 60 * SECOND_MS, w.now_ms + 40 * SECOND_MS);
	assert_int_equal(w.sent, 2);
	works_go_on(w.s); /* what is sent does not wait */
	assert_int_equal(w.sent, 2);
	answer(200);
	works_go_on(w.s); /* nor what is about to be told */
	assert_int_equal(w.sent, 2);
	told(1, SECRET_FAULT_NONE);
	assert_int_equal(w.s->nworks, 1);
	work_cancel(jobs[0].work != NULL ? &jobs[0] : &jobs[1]);
	assert_int_equal(w.cancelled, 1);
	assert_int_equal(w.s->nworks, 0);
}

/* A login that comes when the time of what it is for is over. */
static void
a_session_ends_by_itself(void **state)
{
	struct source_job job;

	(void)state;
	open_for(10 * SECOND_MS);
	pass(5 * SECOND_MS); /* it is time to have it anew: nobody answers */
	assert_int_equal(w.intents, 2);
	record(OK);
	pass(5 * SECOND_MS - 1);
	start(&job);
	assert_int_equal(w.sent, 1);
	answer(200);
	told(1, SECRET_FAULT_NONE);
	pass(1);
	assert_false(session_ready(w.s));
	start(&job);
	assert_int_equal(w.sent, 1);
	assert_int_equal(w.intents, 2);
	session_open(w.s, w.now_ms + SECOND_MS, w.now_ms + SECOND_MS);
	assert_int_equal(w.sent, 2);
	answer(200);
	told(2, SECRET_FAULT_NONE);
}

/* ---- renewed ---- */
static void
a_renewal_that_fails_takes_nothing_away(void **state)
{
	struct source_job job;

	(void)state;
	open_for(60 * SECOND_MS);
	w.login = SESSION_RENEW;
	pass(30 * SECOND_MS - 1);
	assert_int_equal(w.intents, 1);
	pass(1);
	assert_int_equal(w.intents, 2);
	assert_int_equal(w.act, SECRET_ACT_LOGIN_RENEW);
	record(OK);
	start(&job); /* while it runs, what is held goes on */
	assert_int_equal(w.sent, 1);
	session_failed(w.s, SECRET_UNREACHABLE, false, 0);
	assert_true(session_ready(w.s));
	told(0, SECRET_FAULT_NONE);
	answer(200);
	told(1, SECRET_FAULT_NONE);
	start(&job); /* … and in the pause after it, too */
	assert_int_equal(w.sent, 2);
	answer(200);
	told(2, SECRET_FAULT_NONE);
	pass(SESSION_BACKOFF_MIN_MS / 2); /* it is tried again by itself */
	assert_int_equal(w.intents, 3);
	record(OK);
	session_open(w.s, w.now_ms + 60 * SECOND_MS, w.now_ms + 30 * SECOND_MS);
	assert_int_equal(w.s->not_before_ms, 0);
}

static void
where_renewing_is_refused_a_login_follows_at_once(void **state)
{
	(void)state;
	open_for(60 * SECOND_MS);
	w.login = SESSION_RENEW;
	pass(30 * SECOND_MS);
	record(OK);
	w.login = SESSION_LOGIN;
	session_again(w.s, SECRET_DENIED);
	assert_int_equal(w.ended.fault, SECRET_DENIED);
	assert_int_equal(w.intents, 3);
	assert_int_equal(w.act, SECRET_ACT_LOGIN);
	assert_int_equal(w.s->failures, 0);
	assert_true(session_ready(w.s));
	record(OK);
	assert_int_equal(w.logins, 3);
}

/* ---- revoked ---- */
static void
a_session_that_was_revoked_is_had_anew(void **state)
{
	struct source_job job;

	(void)state;
	open_for(60 * SECOND_MS);
	start(&job);
	answer(403);
	assert_false(session_ready(w.s));
	told(0, SECRET_FAULT_NONE);
	assert_int_equal(w.intents, 2);
	record(OK);
	session_open(w.s, w.now_ms + 60 * SECOND_MS, w.now_ms + 30 * SECOND_MS);
	assert_int_equal(w.sent, 2);
	answer(200);
	told(1, SECRET_FAULT_NONE);
}

/* ---- cut by a reload ---- */
static void
a_session_that_is_stopped_begins_nothing(void **state)
{
	struct source_job job = { .done = on_told };

	(void)state;
	log_in();
	w.s->fetch = (struct fetch *)&w.sent;
	session_stop(w.s);
	assert_int_equal(w.given_up, 1);
	assert_int_equal(w.cancelled, 1);
	assert_false(session_busy(w.s));
	session_want(w.s);
	assert_int_equal(w.intents, 1);
	assert_int_equal(work_start(w.s, &job).code, E_FULL);
	assert_null(job.work);
}

static void
a_timer_of_one_that_is_stopped_is_gone(void **state)
{
	(void)state;
	open_for(60 * SECOND_MS);
	assert_true(timer_of(&w.s->timer) < TIMERS_MAX);
	session_stop(w.s);
	assert_int_equal(timer_of(&w.s->timer), TIMERS_MAX);
	pass(120 * SECOND_MS);
	assert_int_equal(w.intents, 1);
}

static void
files_that_come_after_a_stop_are_for_nobody(void **state)
{
	(void)state;
	w.login = SESSION_LOGIN_FILES;
	session_want(w.s);
	record(OK);
	session_stop(w.s);
	files_opened();
	assert_int_equal(w.logins, 0);
}

static void
one_that_is_freed_waits_for_its_files(void **state)
{
	(void)state;
	w.login = SESSION_LOGIN_FILES;
	session_want(w.s);
	record(OK);
	session_free(w.s);
	assert_int_equal(w.done, 0);
	files_opened();
	w.s = NULL;
	assert_int_equal(w.done, 1);
	assert_int_equal(w.logins, 0);
	assert_int_equal(w.given_up, 1);
}

static void
one_that_is_freed_gives_up_its_login(void **state)
{
	(void)state;
	session_want(w.s);
	session_free(w.s);
	w.s = NULL;
	assert_int_equal(w.given_up, 1);
	assert_int_equal(w.done, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_login_begins_when_it_is_on_record),
		TEST(without_a_record_there_is_no_login),
		TEST(files_are_opened_anew_first),
		TEST(pauses_grow_and_end),
		TEST(who_waits_hears_of_a_refusal),
		TEST(jobs_wait_for_a_login),
		TEST(a_session_ends_by_itself),
		TEST(a_renewal_that_fails_takes_nothing_away),
		TEST(where_renewing_is_refused_a_login_follows_at_once),
		TEST(a_session_that_was_revoked_is_had_anew),
		TEST(a_session_that_is_stopped_begins_nothing),
		TEST(a_timer_of_one_that_is_stopped_is_gone),
		TEST(files_that_come_after_a_stop_are_for_nobody),
		TEST(one_that_is_freed_waits_for_its_files),
		TEST(one_that_is_freed_gives_up_its_login),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
