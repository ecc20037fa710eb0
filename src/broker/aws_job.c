/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aws_job.c: the work on secrets of Secrets Manager: read, look for a new version.
 *
 * Runs in: broker. Trusts: AWS, for what it answers over verified TLS.
 * Owns: its works.
 * Invariants: every request is signed; keys that AWS calls expired are fetched anew once a work,
 * and a clock that it calls wrong is set by its own Date once; a work ends once, from the loop.
 * See: source.h, aws_internal.h, sigv4.h; the API reference of Secrets Manager.
 */
#include "aws_internal.h"

#include <stdlib.h>

#include <base/cleanup.h>
#include <http/write.h>
#include <json/write.h>

#define SERVICE SPAN_LIT("secretsmanager")
#define JOB_BODY_MAX 1024
#define AUTHORIZATION_MAX 1024
#define SKEW_MIN_S 60

struct aws_work {
	LIST_ENTRY(aws_work) entry;
	uv_timer_t timer;
	struct aws *a;
	struct source_job *job;
	struct fetch *fetch;
	bool new_keys, new_clock; /* done once */
	struct source_result result;
	char version[AWS_VERSION_MAX + 1];
};

/* By enum lifetime_op. */
static const struct {
	const char *target; /* NULL: AWS lends nothing that could be renewed */
	const char *stage;
} rows[] = {
	[LIFETIME_READ] = { "secretsmanager.GetSecretValue", "AWSCURRENT" },
	[LIFETIME_PREVIOUS] = { "secretsmanager.GetSecretValue", "AWSPREVIOUS" },
	[LIFETIME_POLL] = { "secretsmanager.DescribeSecret", NULL },
	[LIFETIME_RENEW] = { NULL, NULL },
};

static void go_on(struct aws_work *w);
static void on_answer(void *ctx, struct status st, const struct fetch_answer *ans);

/* ---- the end of a work ---- */
static void
on_timer_closed(uv_handle_t *h)
{
	free(h->data);
}

static void
work_free(struct aws_work *w)
{
	if (w->fetch != NULL)
		breaker_unknown(&w->a->breaker, aws_now(w->a));
	fetch_cancel(w->fetch);
	secret_done(&w->result.value);
	LIST_REMOVE(w, entry);
	w->a->nworks--;
	uv_close((uv_handle_t *)&w->timer, on_timer_closed);
}

static void
on_deliver(uv_timer_t *t)
{
	struct aws_work *w = t->data;
	struct source_job *job = w->job;

	job->work = NULL;
	job->done(job, &w->result);
	work_free(w);
}

static void
finish(struct aws_work *w, enum secret_fault fault, bool refused, uint32_t retry_after_ms)
{
	w->result.fault = fault;
	w->result.refused = refused;
	w->result.retry_after_ms = retry_after_ms;
	(void)uv_timer_start(&w->timer, on_deliver, 0, 0);
}

static void
finish_status(struct aws_work *w, struct status st)
{
	if (st.code == E_NOTFOUND)
		finish(w, SECRET_NOT_FOUND, true, 0);
	else if (st.code == E_SYNTAX || st.code == E_RANGE)
		finish(w, SECRET_INVALID, false, 0);
	else
		finish(w, SECRET_FAILED, false, 0);
}

/* ---- requests ---- */
static struct status
put_body(const struct aws_work *w, struct buf *out)
{
	struct json_writer j = json_writer(out);
	const char *stage = rows[w->job->op].stage;

	json_put_object(&j);
	json_put_key(&j, "SecretId");
	json_put_str(&j, w->job->ref.place);
	if (stage != NULL) {
		json_put_key(&j, "VersionStage");
		json_put_text(&j, stage);
	}
	json_put_end(&j);
	return json_writer_finish(&j);
}

/* All fields but the signature's, which covers each of them. */
static struct status
sign(const struct aws_work *w, struct fetch_request *r)
{
	const struct aws *a = w->a;
	char date[SIGV4_DATE_LEN + 1];
	const struct sigv4_key key = { span_str(a->keys.id), &a->keys.secret };
	const struct http_field fields[] = {
		{ SPAN_LIT("content-type"), SPAN_LIT("application/x-amz-json-1.1") },
		{ SPAN_LIT("host"),
		    span_str(upstream_authority(a->upstreams[AWS_SECRETS_MANAGER])) },
		{ SPAN_LIT("x-amz-date"), span_of(date, SIGV4_DATE_LEN) },
		{ SPAN_LIT("x-amz-target"), span_str(rows[w->job->op].target) },
		{ SPAN_LIT("x-amz-security-token"), secret_borrow(&a->keys.token) },
	};
	const struct sigv4_request s = { .method = SPAN_LIT("POST"),
		.path = SPAN_LIT("/"),
		.fields = fields,
		.field_count = a->keys.token.ptr != NULL ? 5 : 4,
		.body = buf_span(&r->body),
		.region = span_str(a->region),
		.service = SERVICE,
		.date = date };
	auto_buf struct buf authorization = BUF_INIT(AUTHORIZATION_MAX);

	sigv4_date((uint64_t)aws_unix_now(a), date);
	TRY(sigv4_authorization(&key, &s, &authorization));
	for (size_t i = 0; i < s.field_count; i++) {
		if (i != 1) /* Host is there already */
			TRY(http_put_field(&r->head, fields[i].name, fields[i].value));
	}
	return http_put_field(&r->head, SPAN_LIT("authorization"), buf_span(&authorization));
}

static struct status
work_send(struct aws_work *w)
{
	struct aws *a = w->a;
	struct upstream *u = a->upstreams[AWS_SECRETS_MANAGER];
	struct fetch_request r = FETCH_REQUEST_NONE;
	struct status st = fetch_request_init(&r, u, "POST", SPAN_LIT("/"));

	if (is_ok(st))
		st = fetch_request_body(&r, JOB_BODY_MAX);
	if (is_ok(st))
		st = put_body(w, &r.body);
	if (is_ok(st))
		st = sign(w, &r);
	if (!is_ok(st)) {
		fetch_request_done(&r);
		return st;
	}
	return fetch_start(a->loop, u, &r, on_answer, w, &w->fetch);
}

/* With keys: send. Without: they are fetched, and then it goes on. */
static void
go_on(struct aws_work *w)
{
	struct aws *a = w->a;
	struct status st;

	if (!aws_keys_ready(a)) {
		aws_keys_want(a);
		return;
	}
	if (!breaker_passes(&a->breaker, aws_now(a))) {
		finish(w, SECRET_UNREACHABLE, false, 0);
		return;
	}
	breaker_begin(&a->breaker, aws_now(a));
	st = work_send(w);
	if (!is_ok(st))
		finish_status(w, st);
}

static bool
waits(const struct aws_work *w)
{
	return w->fetch == NULL && !uv_is_active((const uv_handle_t *)&w->timer);
}

void
aws_jobs_keys(struct aws *a)
{
	struct aws_work *w, *next;
	bool ready = aws_keys_ready(a);
	uint64_t now = aws_now(a);
	uint32_t after = a->not_before_ms > now ? (uint32_t)(a->not_before_ms - now) : 0;

	for (w = LIST_FIRST(&a->works); w != NULL; w = next) {
		next = LIST_NEXT(w, entry);
		if (!waits(w))
			continue;
		if (ready)
			go_on(w);
		else
			finish(w, a->fault, a->refused, after);
	}
}

/* ---- answers ---- */
static struct status
take(struct aws_work *w, struct span body)
{
	w->result.reading = (struct lifetime_reading){ .version = w->version, .lease = "" };
	if (w->job->op == LIFETIME_POLL)
		return aws_describe_parse(body, w->version);
	return aws_value_parse(body, w->job->ref.field, &w->result.value, w->version);
}

/* AWS says that our clock is wrong: its own time is in the answer. */
static bool
set_clock(struct aws_work *w, const struct fetch_answer *ans)
{
	int64_t off = ans->date_s - aws_unix_now(w->a);

	if (w->new_clock || ans->date_s == 0 || (off < SKEW_MIN_S && off > -SKEW_MIN_S))
		return false;
	w->new_clock = true;
	w->a->skew_s += off;
	diag(DIAG_WARN, "aws: our clock is off by %lld seconds", (long long)-w->a->skew_s);
	return true;
}

static void
on_refused(struct aws_work *w, const struct fetch_answer *ans)
{
	struct aws_error e = aws_error_of(ans->status, ans->body);

	if (e.retry == AWS_CLOCK && set_clock(w, ans)) {
		go_on(w);
	} else if (e.retry == AWS_NEW_KEYS && !w->new_keys) {
		w->new_keys = true;
		aws_keys_lost(w->a);
		go_on(w);
	} else {
		/* What makes no sense says nothing about what is held. */
		finish(w, e.fault, e.retry != AWS_LATER && e.fault != SECRET_INVALID,
		    ans->retry_after_ms);
	}
}

static void
on_answer(void *ctx, struct status st, const struct fetch_answer *ans)
{
	struct aws_work *w = ctx;

	w->fetch = NULL;
	if (!is_ok(st) || ans->status >= 500)
		breaker_bad(&w->a->breaker, aws_now(w->a));
	else
		breaker_good(&w->a->breaker);
	if (!is_ok(st)) {
		finish(w, st.code == E_RANGE ? SECRET_INVALID : SECRET_UNREACHABLE, false, 0);
	} else if (ans->status != 200) {
		on_refused(w, ans);
	} else {
		st = take(w, ans->body);
		if (is_ok(st))
			finish(w, SECRET_FAULT_NONE, false, 0);
		else
			finish_status(w, st);
	}
}

/* ---- as a source ---- */
static struct status
start(void *source, struct source_job *job)
{
	struct aws *a = source;
	struct aws_work *w;

	if (a->nworks == AWS_JOBS_MAX || rows[job->op].target == NULL)
		return fail(E_FULL);
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return fail(E_NOMEM);
	w->a = a;
	w->job = job;
	(void)uv_timer_init(a->loop, &w->timer);
	w->timer.data = w;
	LIST_INSERT_HEAD(&a->works, w, entry);
	a->nworks++;
	job->work = w;
	if (!aws_keys_ready(a) && a->fetch == NULL && !a->opening && aws_now(a) < a->not_before_ms)
		finish(w, a->fault, a->refused, (uint32_t)(a->not_before_ms - aws_now(a)));
	else
		go_on(w);
	return OK;
}

static void
cancel(struct source_job *job)
{
	struct aws_work *w = job->work;

	job->work = NULL;
	if (w != NULL)
		work_free(w);
}

const struct source_ops aws_ops = { start, cancel };
