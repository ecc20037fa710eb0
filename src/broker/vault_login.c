/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vault_login.c: the session with Vault: log in, renew, log in again.
 *
 * Runs in: broker. Trusts: Vault; the files of our identity, read anew at each login.
 * Owns: the token; a secret id that it unwrapped.
 * Invariants: one login at a time; no token is used for more than an hour after its login, nor
 * past its own end; it is renewed at two thirds of its time, and where that cannot be or is
 * refused, we log in again; a wrapping token is unwrapped only if our role's endpoint made it, and
 * one that somebody has unwrapped before us is an alarm.
 * See: vault_internal.h; Vault's HTTP API: auth/approle, kubernetes, jwt, cert, sys/wrapping.
 */
#include "vault_internal.h"

#include <assert.h>
#include <stdio.h>

#include <base/cleanup.h>
#include <base/rand.h>
#include <http/write.h>
#include <json/write.h>

#include "kept.h"

#define BACKOFF_MIN_MS 500
#define BACKOFF_MAX_MS 30000
#define REFUSED_MS 15000
#define INCREMENT_S "3600" /* the most that we ask for */

static void begin(struct vault *v);
static void on_answer(void *ctx, struct status st, const struct fetch_answer *a);

/* ---- methods ---- */
static struct status
put_pairs(struct buf *out, const char *k1, struct span v1, const char *k2, struct span v2)
{
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	if (v1.len > 0) {
		json_put_key(&w, k1);
		json_put_str(&w, v1);
	}
	if (v2.len > 0) {
		json_put_key(&w, k2);
		json_put_str(&w, v2);
	}
	json_put_end(&w);
	return json_writer_finish(&w);
}

static struct status
put_approle(const struct vault *v, const struct secret *identity, struct buf *out)
{
	return put_pairs(out, "role_id", span_str(v->role), "secret_id", secret_borrow(identity));
}

static struct status
put_jwt(const struct vault *v, const struct secret *identity, struct buf *out)
{
	return put_pairs(out, "role", span_str(v->role), "jwt", secret_borrow(identity));
}

static struct status
put_cert(const struct vault *v, const struct secret *identity, struct buf *out)
{
	(void)identity;
	return put_pairs(out, "name", span_str(v->role), "", SPAN_EMPTY);
}

const struct vault_method vault_methods[] = {
	{ "approle", "role_id", "secret_id_file", put_approle },
	{ "kubernetes", "role", "token_file", put_jwt },
	{ "jwt", "role", "token_file", put_jwt },
	{ "cert", "role", "cert_file", put_cert },
};
const size_t vault_method_count = sizeof(vault_methods) / sizeof(vault_methods[0]);

/* ---- time ---- */
static uint32_t
roll(void)
{
	uint32_t r = 0;

	return is_ok(rand_bytes(&r, sizeof(r))) ? r : 0;
}

bool
vault_session_ready(const struct vault *v)
{
	return v->token.ptr != NULL && vault_now(v) < v->token_end_ms;
}

static void
wake_at(struct vault *v, uint64_t at_ms)
{
	uint64_t now = vault_now(v);

	(void)uv_timer_start(&v->timer, vault_session_timer, at_ms > now ? at_ms - now : 0, 0);
}

/* Set the end and the next step of a token that was given at v->begun_ms. */
static void
schedule(struct vault *v, uint64_t lease_s, bool renewable)
{
	uint64_t most = v->login_ms + VAULT_TOKEN_AGE_MAX_MS;
	uint64_t end = lease_s == 0 ? most : v->begun_ms + lease_s * 1000;
	uint64_t span;

	v->renewable = renewable && end < most;
	v->token_end_ms = end < most ? end : most;
	span = (v->token_end_ms - v->begun_ms) / 3 * 2;
	v->renew_ms = v->begun_ms + span - span / 8 * (roll() % 1024) / 1024;
	v->failures = 0;
	v->not_before_ms = 0;
	v->fault = SECRET_FAULT_NONE;
	wake_at(v, v->renew_ms);
}

/* ---- failures ---- */
static void
failed(struct vault *v, enum secret_fault fault, bool refused, uint32_t retry_after_ms)
{
	uint64_t cap = BACKOFF_MIN_MS;

	v->step = v->token.ptr != NULL ? VAULT_IN : VAULT_OUT;
	v->fault = fault;
	v->refused = refused;
	v->failures++;
	for (unsigned i = 1; i < v->failures && cap < BACKOFF_MAX_MS; i++)
		cap *= 2;
	if (cap > BACKOFF_MAX_MS)
		cap = BACKOFF_MAX_MS;
	v->not_before_ms = vault_now(v) + BACKOFF_MIN_MS / 2 + roll() % cap + retry_after_ms +
			   (refused ? REFUSED_MS : 0);
	if (vault_session_ready(v))
		wake_at(v, v->not_before_ms);
	if (v->failures == 1)
		diag(DIAG_WARN, "vault: login by %s: %s", v->method->name,
		    secret_fault_names[fault]);
	vault_jobs_login(v);
}

static void
alarm_theft(struct vault *v)
{
	diag(DIAG_ERROR,
	    "vault: the wrapping token is not good any more: if it has not just expired, somebody "
	    "else has unwrapped the secret id: revoke it");
	failed(v, SECRET_TAMPERED, true, 0);
}

/* ---- sending ---- */
static struct status
send_post(struct vault *v, const char *target, const struct secret *token,
    struct status (*put)(const struct vault *v, const struct secret *s, struct buf *out),
    const struct secret *body)
{
	struct fetch_request r = FETCH_REQUEST_NONE;
	struct status st = vault_request(v, "POST", span_str(target), token, &r);

	if (is_ok(st) && put != NULL) {
		st = http_put_field_str(&r.head, "content-type", "application/json");
		if (is_ok(st))
			st = fetch_request_body(&r, VAULT_LOGIN_BODY_MAX);
		if (is_ok(st))
			st = put(v, body, &r.body);
	} else if (is_ok(st)) {
		st = fetch_request_body(&r, 1);
	}
	if (!is_ok(st)) {
		fetch_request_done(&r);
		return st;
	}
	return fetch_start(v->loop, v->upstreams[v->at], &r, on_answer, v, &v->fetch);
}

static struct status
send_login(struct vault *v, const struct secret *identity)
{
	char target[160];

	(void)snprintf(target, sizeof(target), "/v1/auth/%s/login", v->mount);
	v->step = VAULT_LOGIN;
	return send_post(v, target, NULL, v->method->put, identity);
}

/* A wrapping token in the file: one that we, or who died before us, unwrapped, or a new one? */
static struct status
send_wrapped(struct vault *v, struct secret *file)
{
	if (v->secret_id.ptr == NULL && v->wrapping.ptr == NULL)
		(void)is_ok(kept_get(&v->wrapping, &v->secret_id)); /* else it is unwrapped */
	if (v->secret_id.ptr != NULL && secret_eq(&v->wrapping, secret_borrow(file)))
		return send_login(v, &v->secret_id);
	secret_done(&v->secret_id);
	secret_done(&v->wrapping);
	v->wrapping = secret_take(file);
	v->step = VAULT_LOOKUP;
	return send_post(v, "/v1/sys/wrapping/lookup", &v->wrapping, NULL, NULL);
}

static struct status
put_increment(const struct vault *v, const struct secret *s, struct buf *out)
{
	(void)v, (void)s;
	return buf_put_str(out, "{\"increment\":\"" INCREMENT_S "s\"}");
}

static struct status
send_identity(struct vault *v)
{
	auto_secret struct secret file = SECRET_NONE;
	struct status st = secret_file_read(
	    daemon_filef(v->d, "vault.auth.%s.%s", v->method->name, v->method->file), &file);

	if (!is_ok(st)) {
		diag(DIAG_WARN, "vault: the file of our identity: %s", status_text(st));
		return st;
	}
	return v->wrapped ? send_wrapped(v, &file) : send_login(v, &file);
}

static void
on_opened(void *ctx)
{
	struct vault *v = ctx;
	struct status st;

	v->opening = false;
	if (v->closing) {
		vault_free(v);
		return;
	}
	if (v->stopped != NULL)
		return;
	st = send_identity(v);
	if (!is_ok(st))
		failed(v, SECRET_LOGIN, false, 0);
}

/* Renew while the hour of the login lets it live longer; else log in, with the file as it is now.
 */
static struct status
send_next(struct vault *v)
{
	struct status st;

	v->begun_ms = vault_now(v);
	v->renewing = v->renewable && vault_session_ready(v);
	if (v->renewing) {
		v->step = VAULT_LOGIN;
		return send_post(v, "/v1/auth/token/renew-self", &v->token, put_increment, NULL);
	}
	st = daemon_files_again(v->d, on_opened, v);
	v->opening = is_ok(st);
	return st;
}

static void
begin(struct vault *v)
{
	struct status st = send_next(v);

	if (!is_ok(st))
		failed(v, SECRET_LOGIN, false, 0);
}

void
vault_session_want(struct vault *v)
{
	if (v->fetch != NULL || v->opening)
		return;
	if (vault_now(v) >= v->not_before_ms)
		begin(v);
	else
		wake_at(v, v->not_before_ms);
}

void
vault_session_timer(uv_timer_t *t)
{
	struct vault *v = t->data;

	if (v->stopped == NULL)
		vault_session_want(v);
}

void
vault_session_lost(struct vault *v, uint32_t generation)
{
	if (v->generation != generation)
		return;
	secret_done(&v->token);
	v->renewable = false;
	if (v->fetch == NULL)
		v->step = VAULT_OUT;
}

/* ---- answers ---- */
static void
on_looked_up(struct vault *v, const struct fetch_answer *a)
{
	struct status st;

	if (!is_ok(vault_wrapping_check(a->body, span_str(v->mount)))) {
		diag(DIAG_ERROR,
		    "vault: the wrapping token was not made by the secret-id endpoint of the role: "
		    "it is not used");
		failed(v, SECRET_TAMPERED, true, 0);
		return;
	}
	v->step = VAULT_UNWRAP;
	st = send_post(v, "/v1/sys/wrapping/unwrap", &v->wrapping, NULL, NULL);
	if (!is_ok(st))
		failed(v, SECRET_LOGIN, false, 0);
}

static void
on_unwrapped(struct vault *v, const struct fetch_answer *a)
{
	struct status st = vault_secret_id_parse(a->body, &v->secret_id);

	if (is_ok(st) && !is_ok(kept_put(&v->wrapping, &v->secret_id)))
		diag(DIAG_WARN, "vault: the secret id cannot be kept for who takes our place");
	if (is_ok(st))
		st = send_login(v, &v->secret_id);
	if (!is_ok(st))
		failed(v, SECRET_LOGIN, false, 0);
}

static void
on_logged_in(struct vault *v, const struct fetch_answer *a)
{
	struct vault_auth auth = { .token = SECRET_NONE };

	if (!is_ok(vault_auth_parse(a->body, &auth)) || auth.token.len > VAULT_TOKEN_MAX ||
	    !http_value_ok(secret_borrow(&auth.token))) {
		secret_done(&auth.token);
		failed(v, SECRET_INVALID, true, 0);
		return;
	}
	if (!v->renewing) {
		v->generation++;
		v->login_ms = v->begun_ms;
	}
	secret_done(&v->token);
	v->token = secret_take(&auth.token);
	v->step = VAULT_IN;
	schedule(v, auth.lease_s, auth.renewable);
	vault_jobs_login(v);
}

/* What is wrong with one that was not accepted. Both are said of a wrong secret id. */
static enum secret_fault
login_fault(
    enum vault_session step, const struct fetch_answer *a, enum secret_fault fault, bool *refused)
{
	if (a != NULL && step == VAULT_LOGIN && (a->status == 500 || a->status == 400)) {
		*refused = a->status == 400;
		return SECRET_LOGIN;
	}
	return *refused ? SECRET_LOGIN : fault;
}

static void
on_refused(struct vault *v, const struct fetch_answer *a, enum secret_fault fault, bool refused)
{
	enum vault_session step = v->step;

	if (refused && (step == VAULT_LOOKUP || step == VAULT_UNWRAP)) {
		alarm_theft(v);
		return;
	}
	if (v->renewing && refused) { /* its maximum is reached, or it is gone */
		v->renewable = false;
		begin(v);
		return;
	}
	fault = login_fault(step, a, fault, &refused);
	failed(v, fault, refused, a == NULL ? 0 : a->retry_after_ms);
}

static void
on_answer(void *ctx, struct status st, const struct fetch_answer *a)
{
	struct vault *v = ctx;
	bool refused;
	enum secret_fault fault = vault_fault(st, a, &refused);

	v->fetch = NULL;
	if (a != NULL && a->status == 307 && v->step != VAULT_UNWRAP && vault_redirect(v, a)) {
		begin(v);
		return;
	}
	if (!is_ok(st))
		v->at = 0;
	if (fault != SECRET_FAULT_NONE) {
		on_refused(v, a, fault, refused);
		return;
	}
	assert(a != NULL); /* no fault: there is an answer */
	if (v->step == VAULT_LOOKUP)
		on_looked_up(v, a);
	else if (v->step == VAULT_UNWRAP)
		on_unwrapped(v, a);
	else
		on_logged_in(v, a);
}

/* ---- the end ---- */
static void
on_revoked(void *ctx, struct status st, const struct fetch_answer *a)
{
	struct vault *v = ctx;

	(void)st, (void)a; /* what cannot be told ends with its own time */
	v->fetch = NULL;
	secret_done(&v->token);
	v->stopped(v->stopped_ctx);
}

void
vault_stop(struct vault *v, void (*done)(void *ctx), void *ctx)
{
	struct fetch_request r = FETCH_REQUEST_NONE;
	struct status st = fail(E_NOTFOUND);

	v->stopped = done;
	v->stopped_ctx = ctx;
	fetch_cancel(v->fetch);
	v->fetch = NULL;
	(void)uv_timer_stop(&v->timer);
	if (vault_session_ready(v))
		st = vault_request(
		    v, "POST", SPAN_LIT("/v1/auth/token/revoke-self"), &v->token, &r);
	if (is_ok(st))
		st = fetch_request_body(&r, 1);
	if (is_ok(st))
		st = fetch_start(v->loop, v->upstreams[v->at], &r, on_revoked, v, &v->fetch);
	else
		fetch_request_done(&r);
	if (!is_ok(st))
		done(ctx);
}
