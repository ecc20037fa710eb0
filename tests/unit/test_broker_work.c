/* SPDX-License-Identifier: Apache-2.0 */
/* src/broker/work.c: jobs that wait for a login, and what becomes of them. */
#include "broker_session_rig.h"

/* ---- jobs ---- */
static void
a_job_that_is_cancelled_hears_nothing(void **state)
{
	struct source_job job;

	(void)state;
	start(&job); /* it waits */
	work_cancel(&job);
	assert_null(job.work);
	work_cancel(&job); /* twice */
	record(OK);
	session_open(w.s, w.now_ms + 60 * SECOND_MS, w.now_ms + 30 * SECOND_MS);
	assert_int_equal(w.sent, 0);
	start(&job); /* it is sent */
	work_cancel(&job);
	assert_int_equal(w.cancelled, 1);
	start(&job); /* it is over, and about to be told */
	answer(200);
	work_cancel(&job);
	pass(SECOND_MS);
	assert_int_equal(w.told, 0);
	assert_int_equal(w.s->nworks, 0);
}

static void
the_end_of_one_may_begin_another(void **state)
{
	struct source_job job, next = { .done = on_told };

	(void)state;
	open_for(60 * SECOND_MS);
	start(&job);
	w.next = &next;
	answer(200);
	told(1, SECRET_FAULT_NONE);
	assert_int_equal(w.sent, 2);
	answer(200);
	told(2, SECRET_FAULT_NONE);
	assert_int_equal(w.s->nworks, 0);
}

static void
there_are_so_many_and_no_more(void **state)
{
	static struct source_job jobs[SESSION_WORKS_MAX + 1];

	(void)state;
	w.takes = fail(E_RANGE);
	assert_int_equal(work_start(w.s, &jobs[0]).code, E_RANGE);
	assert_null(jobs[0].work);
	assert_int_equal(w.s->nworks, 0);
	w.takes = OK;
	for (size_t i = 0; i < SESSION_WORKS_MAX; i++)
		start(&jobs[i]);
	jobs[SESSION_WORKS_MAX] = (struct source_job){ .done = on_told };
	assert_int_equal(work_start(w.s, &jobs[SESSION_WORKS_MAX]).code, E_FULL);
	assert_int_equal(w.intents, 1); /* one login for all of them */
	record(OK);
	session_failed(w.s, SECRET_UNREACHABLE, false, 0);
	told(SESSION_WORKS_MAX, SECRET_UNREACHABLE);
	assert_int_equal(w.s->nworks, 0);
}

static void
a_source_that_does_not_answer_is_left_alone(void **state)
{
	struct source_job job;

	(void)state;
	open_for(3600 * SECOND_MS);
	for (unsigned i = 0; i < BREAKER_FAILURES; i++) {
		start(&job);
		answer(i % 2 == 0 ? 0 : 502);
		told(i + 1, SECRET_FAILED);
	}
	start(&job);
	told(BREAKER_FAILURES + 1, SECRET_UNREACHABLE);
	assert_int_equal(w.sent, BREAKER_FAILURES);
	pass(BREAKER_OPEN_MIN_MS);
	start(&job); /* one is let through, to see */
	assert_int_equal(w.sent, BREAKER_FAILURES + 1);
	answer(404); /* it works, whatever it says */
	told(BREAKER_FAILURES + 2, SECRET_FAILED);
	start(&job);
	answer(200);
	told(BREAKER_FAILURES + 3, SECRET_FAULT_NONE);
}

/* A probe that leaves, or could not be sent, says nothing: the next one is let through. */
static void
a_probe_that_says_nothing_is_followed_by_another(void **state)
{
	struct source_job job;

	(void)state;
	open_for(3600 * SECOND_MS);
	for (unsigned i = 0; i < BREAKER_FAILURES; i++) {
		start(&job);
		answer(0);
		pass(0);
	}
	pass(BREAKER_OPEN_MIN_MS);
	start(&job);
	work_cancel(&job);
	w.sends = fail(E_NOMEM);
	start(&job);
	told(BREAKER_FAILURES + 1, SECRET_FAILED);
	w.sends = OK;
	start(&job);
	assert_int_equal(w.sent, BREAKER_FAILURES + 2);
	answer(200);
	told(BREAKER_FAILURES + 2, SECRET_FAULT_NONE);
}

static void
what_cannot_be_asked_has_its_reason(void **state)
{
	static const struct {
		enum code code;
		enum lifetime_op op;
		enum secret_fault fault;
		bool refused;
	} rows[] = {
		{ E_NOTFOUND, LIFETIME_READ, SECRET_NOT_FOUND, true },
		{ E_SYNTAX, LIFETIME_READ, SECRET_INVALID, false },
		{ E_RANGE, LIFETIME_READ, SECRET_INVALID, false },
		{ E_RANGE, LIFETIME_RENEW, SECRET_INVALID, true },
		{ E_NOMEM, LIFETIME_RENEW, SECRET_FAILED, false },
	};
	struct source_job job;

	(void)state;
	open_for(60 * SECOND_MS);
	for (unsigned i = 0; i < COUNT(rows); i++) {
		w.sends = fail(rows[i].code);
		job = (struct source_job){ .op = rows[i].op, .done = on_told };
		assert_true(is_ok(work_start(w.s, &job)));
		told(i + 1, rows[i].fault);
		assert_int_equal(w.result.refused, rows[i].refused);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_job_that_is_cancelled_hears_nothing),
		TEST(the_end_of_one_may_begin_another),
		TEST(there_are_so_many_and_no_more),
		TEST(a_source_that_does_not_answer_is_left_alone),
		TEST(a_probe_that_says_nothing_is_followed_by_another),
		TEST(what_cannot_be_asked_has_its_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
