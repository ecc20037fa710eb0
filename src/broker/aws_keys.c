/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aws_keys.c: our own credentials towards AWS: shared file, web identity, container, instance.
 *
 * Runs in: broker. Trusts: the files of our identity, read anew each time; what the endpoints say.
 * Owns: the keys, and the token of the instance's metadata service.
 * Invariants: keys are fetched anew five minutes before their end, at half of their
 * time if that is short, and at least every hour; of instance metadata only version 2 is spoken; no
 * key comes from an environment.
 * See: aws_internal.h; AWS's guides to IMDSv2, AssumeRoleWithWebIdentity, container credentials.
 */
#include "aws_internal.h"

#include <stdio.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <http/write.h>

#define IMDS_TTL_S "21600"
#define IMDS_ROLES "/latest/meta-data/iam/security-credentials/"
#define ROLE_NAME_MAX 128
#define STS_FIXED                                              \
	"Action=AssumeRoleWithWebIdentity&Version=2011-06-15&" \
	"DurationSeconds=3600&RoleSessionName=sallyport&RoleArn="

static void on_answer(void *ctx, struct status st, const struct fetch_answer *ans);
static void next_step(struct aws *a);

/* ---- shared file ---- */
static bool
file_there(const struct daemon *d)
{
	return conf_str(d->conf, "aws.shared_file") != NULL;
}

static struct status
file_take(struct aws *a, struct span body, struct aws_keys *ret)
{
	auto_secret struct secret text = SECRET_NONE;

	(void)body;
	TRY(secret_file_read(daemon_filef(a->session.b->d, "aws.shared_file"), &text));
	return aws_profile_parse(secret_borrow(&text), a->profile, ret);
}

/* ---- web identity ---- */
static bool
web_there(const struct daemon *d)
{
	return conf_str(d->conf, "aws.web_identity.token_file") != NULL &&
	       conf_str(d->conf, "aws.web_identity.role_arn") != NULL;
}

static struct status
web_send(struct aws *a, struct fetch_request *r)
{
	auto_secret struct secret token = SECRET_NONE;

	TRY(secret_file_read(daemon_filef(a->session.b->d, "aws.web_identity.token_file"), &token));
	TRY(fetch_request_init(r, a->upstreams[AWS_STS], "POST", SPAN_LIT("/")));
	TRY(http_put_field_str(&r->head, "content-type", "application/x-www-form-urlencoded"));
	TRY(fetch_request_body(r, sizeof(STS_FIXED) + 3 * (AWS_ARN_MAX + token.len) + 64));
	TRY(buf_put_str(&r->body, STS_FIXED));
	TRY(http_put_encoded(&r->body, span_str(a->role_arn)));
	TRY(buf_put_str(&r->body, "&WebIdentityToken="));
	return http_put_encoded(&r->body, secret_borrow(&token));
}

static struct status
web_take(struct aws *a, struct span body, struct aws_keys *ret)
{
	(void)a;
	return aws_sts_parse(body, ret);
}

/* ---- container ---- */
static bool
container_there(const struct daemon *d)
{
	return conf_str(d->conf, "aws.container.uri") != NULL;
}

static struct status
container_send(struct aws *a, struct fetch_request *r)
{
	const struct upstream *u = a->upstreams[AWS_CONTAINER];
	const char *base = upstream_base(u);
	auto_secret struct secret token = SECRET_NONE;

	TRY(fetch_request_init(r, u, "GET", span_str(base[0] == '\0' ? "/" : base)));
	if (conf_str(a->session.b->d->conf, "aws.container.token_file") == NULL)
		return OK;
	TRY(secret_file_read(daemon_filef(a->session.b->d, "aws.container.token_file"), &token));
	return http_put_field(&r->head, SPAN_LIT("authorization"), secret_borrow(&token));
}

static struct status
json_take(struct aws *a, struct span body, struct aws_keys *ret)
{
	(void)a;
	return aws_keys_parse(body, ret);
}

/* ---- instance, version 2 ---- */
static bool
imds_there(const struct daemon *d)
{
	(void)d;
	return true;
}

static struct status
imds_send_token(struct aws *a, struct fetch_request *r)
{
	secret_done(&a->imds_token);
	TRY(fetch_request_init(r, a->upstreams[AWS_IMDS], "PUT", SPAN_LIT("/latest/api/token")));
	TRY(http_put_field_str(&r->head, "x-aws-ec2-metadata-token-ttl-seconds", IMDS_TTL_S));
	return fetch_request_body(r, 1);
}

static struct status
imds_take_token(struct aws *a, struct span body, struct aws_keys *ret)
{
	(void)ret;
	if (body.len == 0 || body.len > 1024 || !http_value_ok(body))
		return fail(E_SYNTAX);
	return secret_from_span(body, &a->imds_token);
}

static struct status
imds_get(struct aws *a, struct span target, struct fetch_request *r)
{
	TRY(fetch_request_init(r, a->upstreams[AWS_IMDS], "GET", target));
	return http_put_field(
	    &r->head, SPAN_LIT("x-aws-ec2-metadata-token"), secret_borrow(&a->imds_token));
}

static struct status
imds_send_roles(struct aws *a, struct fetch_request *r)
{
	return imds_get(a, SPAN_LIT(IMDS_ROLES), r);
}

/* The name of the role: a line of what IAM allows in one. Kept where its ARN would be. */
static struct status
imds_take_role(struct aws *a, struct span body, struct aws_keys *ret)
{
	static const char more[] = "+=,.@_-";
	struct span name = body;

	(void)ret;
	name.len = 0;
	while (name.len < body.len && body.ptr[name.len] != '\n')
		name.len++;
	if (name.len == 0 || name.len > ROLE_NAME_MAX)
		return fail(E_SYNTAX);
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.ptr[i], l = c | 0x20;

		if (!(l >= 'a' && l <= 'z') && !(c >= '0' && c <= '9') &&
		    memchr(more, c, sizeof(more) - 1) == NULL)
			return fail(E_SYNTAX);
	}
	return span_to_cstr(name, a->role_arn, sizeof(a->role_arn));
}

static struct status
imds_send_keys(struct aws *a, struct fetch_request *r)
{
	auto_buf struct buf target = BUF_INIT(sizeof(IMDS_ROLES) + ROLE_NAME_MAX + 1);

	TRY(buf_printf(&target, IMDS_ROLES "%s", a->role_arn));
	return imds_get(a, buf_span(&target), r);
}

const struct aws_method aws_methods[] = {
	{ "shared_file", file_there, true, AWS_ORIGINS, { NULL }, { file_take } },
	{ "web_identity", web_there, true, AWS_STS, { web_send }, { web_take } },
	{ "container", container_there, true, AWS_CONTAINER, { container_send }, { json_take } },
	{ "imds", imds_there, false, AWS_IMDS, { imds_send_token, imds_send_roles, imds_send_keys },
	    { imds_take_token, imds_take_role, json_take } },
};
const size_t aws_method_count = sizeof(aws_methods) / sizeof(aws_methods[0]);

/* ---- the end ---- */
static void
failed_status(struct aws *a, struct status st)
{
	bool odd = st.code == E_SYNTAX || st.code == E_RANGE || st.code == E_NOTFOUND;

	session_failed(&a->session, odd ? SECRET_INVALID : SECRET_LOGIN, odd, 0);
}

/* They are there. Times of theirs are by the wall clock, ours are not. */
static void
arrived(struct aws *a, struct aws_keys *k)
{
	uint64_t now = session_now(&a->session), left = AWS_KEYS_AGE_MAX_MS, early;
	int64_t left_s = k->expires_s - aws_unix_now(a);

	if (!http_value_ok(secret_borrow(&k->token)) && k->token.ptr != NULL) {
		aws_keys_done(k);
		session_failed(&a->session, SECRET_INVALID, true, 0);
		return;
	}
	if (k->expires_s != 0 && left_s < AWS_KEYS_AGE_MAX_MS / 1000)
		left = left_s > 0 ? (uint64_t)left_s * 1000 : 0;
	if (left == 0) {
		aws_keys_done(k);
		session_failed(&a->session, SECRET_EXPIRED, false, 0);
		return;
	}
	early = left > 2 * AWS_KEYS_EARLY_MS ? AWS_KEYS_EARLY_MS : left / 2;
	aws_keys_done(&a->keys);
	a->keys = *k;
	*k = (struct aws_keys){ .expires_s = 0 };
	session_open(
	    &a->session, now + left, now + left - early - session_roll() % (early / 4 + 1));
}

/* ---- steps ---- */
static void
take_answer(struct aws *a, struct span body)
{
	struct aws_keys k = { .expires_s = 0 };
	struct status st = a->method->take[a->step](a, body, &k);

	a->step++;
	if (!is_ok(st)) {
		aws_keys_done(&k);
		failed_status(a, st);
	} else if (a->step < 3 && a->method->take[a->step] != NULL) {
		next_step(a);
	} else {
		secret_done(&a->imds_token);
		arrived(a, &k);
	}
}

static void
on_answer(void *ctx, struct status st, const struct fetch_answer *ans)
{
	struct aws *a = ctx;
	struct aws_error e;

	a->session.fetch = NULL;
	if (!is_ok(st)) {
		session_failed(&a->session, SECRET_UNREACHABLE, false, 0);
	} else if (ans->status == 200) {
		take_answer(a, ans->body);
	} else {
		e = aws_error_of(ans->status, ans->body);
		session_failed(&a->session, e.retry == AWS_LATER ? e.fault : SECRET_LOGIN,
		    e.retry != AWS_LATER, ans->retry_after_ms);
	}
}

static void
next_step(struct aws *a)
{
	struct fetch_request r = FETCH_REQUEST_NONE;
	struct status st;

	if (a->method->send[a->step] == NULL) {
		take_answer(a, SPAN_EMPTY); /* what it needs is in a file */
		return;
	}
	st = a->method->send[a->step](a, &r);
	if (is_ok(st))
		st = fetch_start(session_loop(&a->session), a->upstreams[a->method->origin], &r,
		    on_answer, a, &a->session.fetch);
	else
		fetch_request_done(&r);
	if (!is_ok(st))
		failed_status(a, st);
}

/* As in session_ops. */
enum session_login
aws_prepare(struct session *s)
{
	return ((struct aws *)s)->method->files ? SESSION_LOGIN_FILES : SESSION_LOGIN;
}

void
aws_login(struct session *s)
{
	struct aws *a = (struct aws *)s;

	a->step = 0;
	next_step(a);
}
