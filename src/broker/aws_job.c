/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aws_job.c: the work on secrets of Secrets Manager: read, look for a new version. Work on keys
 * (aws_kms.c) goes the same way.
 *
 * Runs in: broker. Trusts: AWS, for what it answers over verified TLS.
 * Owns: nothing.
 * Invariants: every request is signed; keys that AWS calls expired are fetched anew once a work,
 * and a clock that it calls wrong is set by its own Date once.
 * See: session.h, aws_internal.h, sigv4.h; the API reference of Secrets Manager.
 */
#include "aws_internal.h"

#include <base/cleanup.h>
#include <http/write.h>
#include <json/write.h>

#define JOB_BODY_MAX 1024
#define AUTHORIZATION_MAX 1024
#define SKEW_MIN_S 60

struct aws_work {
	struct work work;         /* the first member */
	bool new_keys, new_clock; /* done once */
};

/* ---- Secrets Manager ---- */
static struct status
put_secret(const struct work *w, const char *stage, struct buf *out)
{
	struct json_writer j = json_writer(out);

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

static struct status
put_current(const struct work *w, struct buf *out)
{
	return put_secret(w, "AWSCURRENT", out);
}

static struct status
put_previous(const struct work *w, struct buf *out)
{
	return put_secret(w, "AWSPREVIOUS", out);
}

static struct status
put_describe(const struct work *w, struct buf *out)
{
	return put_secret(w, NULL, out);
}

static struct status
take_value(struct work *w, struct span body)
{
	return aws_value_parse(body, w->job->ref.field, &w->result.value, w->version);
}

static struct status
take_described(struct work *w, struct span body)
{
	return aws_describe_parse(body, w->version);
}

#define SECRETS AWS_SECRETS_MANAGER, "secretsmanager"

static const struct aws_row read_row = { SECRETS, "secretsmanager.GetSecretValue", put_current,
	take_value, JOB_BODY_MAX };
static const struct aws_row previous_row = { SECRETS, "secretsmanager.GetSecretValue", put_previous,
	take_value, JOB_BODY_MAX };
static const struct aws_row poll_row = { SECRETS, "secretsmanager.DescribeSecret", put_describe,
	take_described, JOB_BODY_MAX };

/* By enum lifetime_op. NULL: AWS lends nothing that could be renewed. */
static const struct aws_row *const rows[] = {
	[LIFETIME_READ] = &read_row,
	[LIFETIME_PREVIOUS] = &previous_row,
	[LIFETIME_POLL] = &poll_row,
	[LIFETIME_RENEW] = NULL,
	[LIFETIME_REVOKE] = NULL,
	[LIFETIME_WRAP] = &aws_wrap,
	[LIFETIME_UNWRAP] = &aws_unwrap,
	[LIFETIME_REWRAP] = &aws_rewrap,
};

/* ---- requests ---- */
/* All fields but the signature's, which covers each of them. */
static struct status
sign(const struct work *w, struct fetch_request *r)
{
	const struct aws *a = (const struct aws *)w->s;
	const struct aws_row *row = rows[w->job->op];
	char date[SIGV4_DATE_LEN + 1];
	const struct sigv4_key key = { span_str(a->keys.id), &a->keys.secret };
	const struct http_field fields[] = {
		{ SPAN_LIT("content-type"), SPAN_LIT("application/x-amz-json-1.1") },
		{ SPAN_LIT("host"), span_str(upstream_authority(a->upstreams[row->origin])) },
		{ SPAN_LIT("x-amz-date"), span_of(date, SIGV4_DATE_LEN) },
		{ SPAN_LIT("x-amz-target"), span_str(row->target) },
		{ SPAN_LIT("x-amz-security-token"), secret_borrow(&a->keys.token) },
	};
	const struct sigv4_request s = { .method = SPAN_LIT("POST"),
		.path = SPAN_LIT("/"),
		.fields = fields,
		.field_count = a->keys.token.ptr != NULL ? 5 : 4,
		.body = buf_span(&r->body),
		.region = span_str(a->region),
		.service = span_str(row->service),
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
send_request(struct work *w)
{
	const struct aws_row *row = rows[w->job->op];
	struct upstream *u = ((struct aws *)w->s)->upstreams[row->origin];
	struct fetch_request r = FETCH_REQUEST_NONE;
	struct status st = fetch_request_init(&r, u, "POST", SPAN_LIT("/"));

	if (is_ok(st))
		st = fetch_request_body(&r, row->body_max);
	if (is_ok(st))
		st = row->put(w, &r.body);
	if (is_ok(st))
		st = sign(w, &r);
	if (!is_ok(st)) {
		fetch_request_done(&r);
		return st;
	}
	return work_fetch(w, u, &r);
}

/* ---- answers ---- */
static struct status
take_answer(struct work *w, struct span body)
{
	w->result.reading = (struct lifetime_reading){ .version = w->version, .lease = "" };
	return rows[w->job->op]->take(w, body);
}

/* AWS says that our clock is wrong: its own time is in the answer. */
static bool
set_clock(struct aws_work *w, const struct fetch_answer *ans)
{
	struct aws *a = (struct aws *)w->work.s;
	int64_t off = ans->date_s - aws_unix_now(a);

	if (w->new_clock || ans->date_s == 0 || (off < SKEW_MIN_S && off > -SKEW_MIN_S))
		return false;
	w->new_clock = true;
	a->skew_s += off;
	diag(DIAG_WARN, "aws: our clock is off by %lld seconds", (long long)-a->skew_s);
	return true;
}

/* The keys are not good: they are fetched anew, once a work. */
static bool
drop_keys(struct aws_work *w)
{
	struct aws *a = (struct aws *)w->work.s;

	if (w->new_keys)
		return false;
	w->new_keys = true;
	aws_keys_done(&a->keys);
	session_lost(&a->session);
	return true;
}

static void
on_refused(struct aws_work *w, const struct fetch_answer *ans)
{
	struct aws_error e = aws_error_of(ans->status, ans->body);

	if ((e.retry == AWS_CLOCK && set_clock(w, ans)) ||
	    (e.retry == AWS_NEW_KEYS && drop_keys(w))) {
		work_go_on(&w->work);
		return;
	}
	/* What makes no sense says nothing about what is held. */
	work_finish(&w->work, e.fault, e.retry != AWS_LATER && e.fault != SECRET_INVALID,
	    ans->retry_after_ms);
}

static void
on_answer(struct work *w, struct status st, const struct fetch_answer *ans)
{
	if (!is_ok(st)) {
		work_finish(w, st.code == E_RANGE ? SECRET_INVALID : SECRET_UNREACHABLE, false, 0);
		return;
	}
	if (ans->status != 200) {
		on_refused((struct aws_work *)w, ans);
		return;
	}
	st = take_answer(w, ans->body);
	if (is_ok(st))
		work_finish(w, SECRET_FAULT_NONE, false, 0);
	else
		work_finish_status(w, st);
}

/* ---- as a source ---- */
static bool
works(uint16_t status)
{
	return status < 500;
}

static struct status
take(struct work *w)
{
	return rows[w->job->op] == NULL ? fail(E_UNSUPPORTED) : OK;
}

const struct session_ops aws_session_ops = { .name = "aws",
	.verb = "credentials by",
	.work_size = sizeof(struct aws_work),
	.done = aws_done,
	.prepare = aws_prepare,
	.login = aws_login,
	.take = take,
	.send = send_request,
	.answer = on_answer,
	.works = works };

const struct source_ops aws_ops = { work_start, work_cancel, NULL };
