/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BROKER_SESSION_RIG_H
#define TESTS_BROKER_SESSION_RIG_H

/*
 * A session of src/broker and its works: what uses these is the source, the authority that puts
 * logins on record, the clock, and the dice.
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

static inline size_t
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
static inline void
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

static inline struct access *
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
static inline void
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
static inline void
answer(uint16_t status)
{
	const struct fetch_answer a = { .status = status };
	fetch_done *done = w.answer;

	assert_non_null(done);
	w.answer = NULL;
	done(w.answer_ctx, status == 0 ? fail(E_TIMEOUT) : OK, status == 0 ? NULL : &a);
}

/* ---- the source ---- */
static inline void
source_done_(struct session *s)
{
	assert_ptr_equal(s, w.s);
	w.done++;
}

static inline enum session_login
source_prepare(struct session *s)
{
	assert_ptr_equal(s, w.s);
	return w.login;
}

static inline void
source_login(struct session *s)
{
	assert_ptr_equal(s, w.s);
	assert_non_null(s->access); /* on record */
	w.logins++;
}

static inline struct status
source_take(struct work *work)
{
	(void)work;
	return w.takes;
}

static inline struct status
source_send(struct work *work)
{
	assert_true(session_ready(work->s));
	TRY(w.sends);
	w.sent++;
	return work_fetch(work, NULL, NULL);
}

static inline void
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

static inline bool
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
static inline void
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

static inline void
start(struct source_job *job)
{
	unsigned told = w.told;

	*job = (struct source_job){ .op = LIFETIME_READ, .done = on_told };
	assert_true(is_ok(work_start(w.s, job)));
	assert_int_equal(w.told, told); /* never from within */
	assert_non_null(job->work);
}

static inline void
told(unsigned n, enum secret_fault fault)
{
	pass(0);
	assert_int_equal(w.told, n);
	assert_int_equal(w.result.fault, fault);
}

static inline int
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

static inline int
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
static inline void
log_in(void)
{
	unsigned logins = w.logins;

	session_want(w.s);
	record(OK);
	assert_int_equal(w.logins, logins + 1);
}

static inline void
open_for(uint64_t ms)
{
	log_in();
	session_open(w.s, w.now_ms + ms, w.now_ms + ms / 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
