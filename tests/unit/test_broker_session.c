/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/broker/session.c and work.c: logins and the jobs that wait for one. This test is the source,
 * the authority that puts logins on record, the clock, and the dice.
 */
#include "unit.h"

#include <stdlib.h>

#include <base/rand.h>
#include <session.h>

#define TIMERS_MAX 300
#define SECOND_MS 1000U

static struct world {
	uv_loop_t loop;
	struct daemon d;
	struct broker b;
	struct session *s;
	uint64_t now_ms;
	uint32_t roll;
	struct {
		uv_timer_t *t;
		uv_timer_cb cb;
		uint64_t at_ms;
	} timers[TIMERS_MAX];
	/* the authority */
	struct status begins; /* what access_begin() says */
	access_done *begun;
	void *begun_ctx;
	unsigned intents, ends, given_up;
	uint8_t act;
	struct ab_secret_ended ended;
	char version[SECRET_VERSION_MAX + 1];
	/* the files of our identity */
	struct status files;
	void (*opened)(void *ctx);
	void *opened_ctx;
	/* the source's steps */
	enum session_login login;
	unsigned logins, done;
	struct status takes, sends;
	unsigned sent;
	/* its requests */
	fetch_done *answer;
	void *answer_ctx;
	unsigned cancelled;
	/* the jobs */
	unsigned told;
	struct source_result result;
	struct source_job *next; /* started by the end of another */
} w;

/* ---- the clock ---- */
uint64_t __wrap_uv_now(const uv_loop_t *loop);
int __wrap_uv_timer_start(uv_timer_t *t, uv_timer_cb cb, uint64_t after_ms, uint64_t repeat_ms);
int __wrap_uv_timer_stop(uv_timer_t *t);
int __wrap_uv_is_active(const uv_handle_t *h);
void __wrap_uv_close(uv_handle_t *h, uv_close_cb cb);
void __real_uv_close(uv_handle_t *h, uv_close_cb cb);
struct status __wrap_rand_bytes(void *out, size_t len);

uint64_t
__wrap_uv_now(const uv_loop_t *loop)
{
	assert_ptr_equal(loop, &w.loop);
	return w.now_ms;
}

static size_t
timer_of(const void *t)
{
	size_t i = 0;

	while (i < TIMERS_MAX && w.timers[i].t != t)
		i++;
	return i;
}

int
__wrap_uv_timer_start(uv_timer_t *t, uv_timer_cb cb, uint64_t after_ms, uint64_t repeat_ms)
{
	size_t i = timer_of(t);

	if (i == TIMERS_MAX)
		i = timer_of(NULL);
	assert_true(i < TIMERS_MAX && repeat_ms == 0);
	w.timers[i].t = t;
	w.timers[i].cb = cb;
	w.timers[i].at_ms = w.now_ms + after_ms;
	return 0;
}

int
__wrap_uv_timer_stop(uv_timer_t *t)
{
	size_t i = timer_of(t);

	if (i < TIMERS_MAX)
		w.timers[i].t = NULL;
	return 0;
}

int
__wrap_uv_is_active(const uv_handle_t *h)
{
	return timer_of(h) < TIMERS_MAX;
}

void
__wrap_uv_close(uv_handle_t *h, uv_close_cb cb)
{
	(void)__wrap_uv_timer_stop((uv_timer_t *)h);
	__real_uv_close(h, cb);
}

struct status
__wrap_rand_bytes(void *out, size_t len)
{
	assert_int_equal(len, sizeof(w.roll));
	memcpy(out, &w.roll, len);
	return OK;
}

/* What is due by then, in its order. */
static void
pass(uint64_t ms)
{
	uint64_t until = w.now_ms + ms;

	for (;;) {
		size_t first = TIMERS_MAX;
		uv_timer_t *t;

		for (size_t i = 0; i < TIMERS_MAX; i++) {
			if (w.timers[i].t != NULL && w.timers[i].at_ms <= until &&
			    (first == TIMERS_MAX || w.timers[i].at_ms < w.timers[first].at_ms))
				first = i;
		}
		if (first == TIMERS_MAX)
			break;
		t = w.timers[first].t;
		w.timers[first].t = NULL;
		if (w.timers[first].at_ms > w.now_ms)
			w.now_ms = w.timers[first].at_ms;
		w.timers[first].cb(t);
	}
	w.now_ms = until;
	(void)uv_run(&w.loop, UV_RUN_NOWAIT);
}

/* ---- the authority ---- */
struct status __wrap_access_begin(struct broker *b, const struct ab_secret_begin *m,
    access_done *done, void *ctx, struct access **ret);
struct status __wrap_access_end(
    struct access *a, struct ab_secret_ended *m, access_done *done, void *ctx, struct access **ret);
void __wrap_access_give_up(struct access *a);

static struct access *
the_access(void)
{
	return (struct access *)&w.intents;
}

struct status
__wrap_access_begin(struct broker *b, const struct ab_secret_begin *m, access_done *done, void *ctx,
    struct access **ret)
{
	assert_ptr_equal(b, &w.b);
	assert_true(span_eq_str(m->reference, "source") && span_eq_str(m->method, "cert"));
	assert_int_equal(w.intents, w.ends + w.given_up); /* one login at a time */
	if (!is_ok(w.begins))
		return w.begins;
	w.intents++;
	w.act = m->act;
	w.begun = done;
	w.begun_ctx = ctx;
	*ret = the_access();
	return OK;
}

struct status
__wrap_access_end(
    struct access *a, struct ab_secret_ended *m, access_done *done, void *ctx, struct access **ret)
{
	assert_ptr_equal(a, the_access());
	assert_true(done == NULL && ctx == NULL && ret == NULL);
	w.ends++;
	w.ended = *m;
	w.version[0] = '\0';
	if (m->version.len > 0)
		assert_true(is_ok(span_to_cstr(m->version, w.version, sizeof(w.version))));
	return OK;
}

void
__wrap_access_give_up(struct access *a)
{
	if (a == NULL)
		return;
	assert_ptr_equal(a, the_access());
	w.given_up++;
	w.begun = NULL;
}

/* The intent is on record, or is not going to be. */
static void
record(struct status st)
{
	access_done *done = w.begun;

	assert_non_null(done);
	w.begun = NULL;
	if (!is_ok(st))
		w.ends++;
	done(w.begun_ctx, st);
}

/* ---- files and requests ---- */
struct status __wrap_daemon_files_again(struct daemon *d, void (*done)(void *ctx), void *ctx);
struct status __wrap_fetch_start(uv_loop_t *loop, struct upstream *u, struct fetch_request *r,
    fetch_done *done, void *ctx, struct fetch **ret);
void __wrap_fetch_cancel(struct fetch *f);

struct status
__wrap_daemon_files_again(struct daemon *d, void (*done)(void *ctx), void *ctx)
{
	assert_ptr_equal(d, &w.d);
	if (!is_ok(w.files))
		return w.files;
	w.opened = done;
	w.opened_ctx = ctx;
	return OK;
}

static void
files_opened(void)
{
	void (*opened)(void *ctx) = w.opened;

	assert_non_null(opened);
	w.opened = NULL;
	opened(w.opened_ctx);
}

struct status
__wrap_fetch_start(uv_loop_t *loop, struct upstream *u, struct fetch_request *r, fetch_done *done,
    void *ctx, struct fetch **ret)
{
	(void)u, (void)r;
	assert_ptr_equal(loop, &w.loop);
	w.answer = done;
	w.answer_ctx = ctx;
	*ret = (struct fetch *)&w.sent;
	return OK;
}

void
__wrap_fetch_cancel(struct fetch *f)
{
	w.cancelled += f != NULL;
}

/* Of the work that was sent last; 0: none comes. */
static void
answer(uint16_t status)
{
	const struct fetch_answer a = { .status = status };
	fetch_done *done = w.answer;

	assert_non_null(done);
	w.answer = NULL;
	done(w.answer_ctx, status == 0 ? fail(E_TIMEOUT) : OK, status == 0 ? NULL : &a);
}

/* ---- the source ---- */
static void
source_done_(struct session *s)
{
	assert_ptr_equal(s, w.s);
	w.done++;
}

static enum session_login
source_prepare(struct session *s)
{
	assert_ptr_equal(s, w.s);
	return w.login;
}

static void
source_login(struct session *s)
{
	assert_ptr_equal(s, w.s);
	assert_non_null(s->access); /* on record */
	w.logins++;
}

static struct status
source_take(struct work *work)
{
	(void)work;
	return w.takes;
}

static struct status
source_send(struct work *work)
{
	assert_true(session_ready(work->s));
	TRY(w.sends);
	w.sent++;
	return work_fetch(work, NULL, NULL);
}

static void
source_answer(struct work *work, struct status st, const struct fetch_answer *a)
{
	assert_null(work->fetch);
	if (is_ok(st) && a->status == 403) { /* the token is gone: once more, with another */
		session_lost(work->s);
		work_go_on(work);
		return;
	}
	work_finish(
	    work, is_ok(st) && a->status == 200 ? SECRET_FAULT_NONE : SECRET_FAILED, false, 0);
}

static bool
source_works(uint16_t status)
{
	return status < 500;
}

static const struct session_ops ops = { .name = "source",
	.verb = "login by",
	.work_size = sizeof(struct work),
	.done = source_done_,
	.prepare = source_prepare,
	.login = source_login,
	.take = source_take,
	.send = source_send,
	.answer = source_answer,
	.works = source_works };

/* ---- the jobs ---- */
static void
on_told(struct source_job *job, struct source_result *r)
{
	assert_null(job->work);
	w.told++;
	w.result = *r;
	if (w.next != NULL) {
		struct source_job *next = w.next;

		w.next = NULL;
		assert_true(is_ok(work_start(w.s, next)));
	}
}

static void
start(struct source_job *job)
{
	unsigned told = w.told;

	*job = (struct source_job){ .op = LIFETIME_READ, .done = on_told };
	assert_true(is_ok(work_start(w.s, job)));
	assert_int_equal(w.told, told); /* never from within */
	assert_non_null(job->work);
}

static void
told(unsigned n, enum secret_fault fault)
{
	pass(0);
	assert_int_equal(w.told, n);
	assert_int_equal(w.result.fault, fault);
}

static int
setup(void **state)
{
	(void)state;
	w = (struct world){
		.now_ms = 1000000, .begins = OK, .files = OK, .takes = OK, .sends = OK
	};
	assert_int_equal(uv_loop_init(&w.loop), 0);
	w.d.loop = &w.loop;
	w.b.d = &w.d;
	w.s = calloc(1, sizeof(*w.s));
	assert_non_null(w.s);
	session_init(w.s, &ops, &w.b);
	w.s->method = "cert";
	(void)strcpy(w.s->accessor, "acc");
	return 0;
}

static int
teardown(void **state)
{
	struct work *work;

	(void)state;
	while (w.s != NULL && (work = LIST_FIRST(&w.s->works)) != NULL)
		work_cancel(work->job);
	session_free(w.s);
	w.s = NULL;
	(void)uv_run(&w.loop, UV_RUN_DEFAULT);
	assert_int_equal(w.done, 1);
	for (size_t i = 0; i < TIMERS_MAX; i++)
		assert_null(w.timers[i].t);
	assert_int_equal(uv_loop_close(&w.loop), 0);
	return 0;
}

/* On record, and its first step. */
static void
log_in(void)
{
	unsigned logins = w.logins;

	session_want(w.s);
	record(OK);
	assert_int_equal(w.logins, logins + 1);
}

static void
open_for(uint64_t ms)
{
	log_in();
	session_open(w.s, w.now_ms + ms, w.now_ms + ms / 2);
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

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
		TEST(a_job_that_is_cancelled_hears_nothing),
		TEST(the_end_of_one_may_begin_another),
		TEST(there_are_so_many_and_no_more),
		TEST(a_source_that_does_not_answer_is_left_alone),
		TEST(a_probe_that_says_nothing_is_followed_by_another),
		TEST(what_cannot_be_asked_has_its_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
