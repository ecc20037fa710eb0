/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vault_login.c: logins to Vault, and the life of our token.
 *
 * Runs in: broker. Trusts: Vault; the files of our identity, read anew at each login.
 * Owns: the token; a secret id that it unwrapped.
 * Invariants: no token is used for more than an hour after its login, nor
 * past its own end; it is renewed at two thirds of its time, and where that cannot be or is
 * refused, we log in again; a wrapping token is unwrapped only if our role's endpoint made it, and
 * one that somebody has unwrapped before us is an alarm.
 * See: session.h, vault_internal.h; Vault's HTTP API: auth/approle, kubernetes, jwt, cert,
 * sys/wrapping.
 */
#include "vault_internal.h"

#include <assert.h>
#include <stdio.h>

#include <base/cleanup.h>
#include <http/write.h>
#include <json/write.h>

#include "secret_id.h"

#define INCREMENT_S "3600" /* the most that we ask for */

static uint32_t logins; /* of the process: no two have the same number */

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
/* The token that was given at v->begun_ms: its end, and the next step. */
static void
token_came(struct vault *v, uint64_t lease_s, bool renewable)
{
	uint64_t most = v->login_ms + VAULT_TOKEN_AGE_MAX_MS;
	uint64_t end = lease_s == 0 ? most : v->begun_ms + lease_s * 1000;
	uint64_t span;

	v->renewable = renewable && end < most;
	if (end > most)
		end = most;
	span = (end - v->begun_ms) / 3 * 2;
	session_open(
	    &v->session, end, v->begun_ms + span - span / 8 * (session_roll() % 1024) / 1024);
}

/* ---- failures ---- */
static void
failed(struct vault *v, enum secret_fault fault, bool refused)
{
	session_failed(&v->session, fault, refused, 0);
}

static void
alarm_theft(struct vault *v)
{
	diag(DIAG_ERROR,
	    "vault: the wrapping token is not good any more: if it has not just expired, somebody "
	    "else has unwrapped the secret id: revoke it");
	failed(v, SECRET_TAMPERED, true);
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
	return fetch_start(
	    session_loop(&v->session), v->upstreams[v->at], &r, on_answer, v, &v->session.fetch);
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
		(void)is_ok(secret_id_get(&v->wrapping, &v->secret_id)); /* else it is unwrapped */
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
	    daemon_filef(v->session.b->d, "vault.auth.%s.%s", v->method->name, v->method->file),
	    &file);

	if (!is_ok(st)) {
		diag(DIAG_WARN, "vault: the file of our identity: %s", status_text(st));
		return st;
	}
	return v->wrapped ? send_wrapped(v, &file) : send_login(v, &file);
}

/* Renew while the hour of the login lets it live longer; else log in, with the file as it is now.
 */
enum session_login
vault_prepare(struct session *s)
{
	struct vault *v = (struct vault *)s;

	v->begun_ms = session_now(s);
	v->redirected = false;
	return v->renewable && session_ready(s) ? SESSION_RENEW : SESSION_LOGIN_FILES;
}

void
vault_login(struct session *s)
{
	struct vault *v = (struct vault *)s;
	struct status st;

	if (s->login == SESSION_RENEW) {
		v->step = VAULT_LOGIN;
		st = send_post(v, "/v1/auth/token/renew-self", &v->token, put_increment, NULL);
	} else {
		st = send_identity(v);
	}
	if (!is_ok(st))
		failed(v, SECRET_LOGIN, false);
}

void
vault_token_lost(struct vault *v, uint32_t generation)
{
	if (v->generation != generation)
		return;
	secret_done(&v->token);
	v->renewable = false;
	v->lost = generation;
	session_lost(&v->session);
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
		failed(v, SECRET_TAMPERED, true);
		return;
	}
	v->step = VAULT_UNWRAP;
	st = send_post(v, "/v1/sys/wrapping/unwrap", &v->wrapping, NULL, NULL);
	if (!is_ok(st))
		failed(v, SECRET_LOGIN, false);
}

static void
on_unwrapped(struct vault *v, const struct fetch_answer *a)
{
	struct status st = vault_secret_id_parse(a->body, &v->secret_id);

	if (is_ok(st) && !is_ok(secret_id_put(&v->wrapping, &v->secret_id)))
		diag(DIAG_WARN, "vault: the secret id cannot be kept for who takes our place");
	if (is_ok(st))
		st = send_login(v, &v->secret_id);
	if (!is_ok(st))
		failed(v, SECRET_LOGIN, false);
}

static void
on_logged_in(struct vault *v, const struct fetch_answer *a)
{
	struct vault_auth auth = { .token = SECRET_NONE };

	if (!is_ok(vault_auth_parse(a->body, &auth)) || auth.token.len > VAULT_TOKEN_MAX ||
	    !http_value_ok(secret_borrow(&auth.token))) {
		secret_done(&auth.token);
		failed(v, SECRET_INVALID, true);
		return;
	}
	if (v->session.login != SESSION_RENEW) {
		v->generation = ++logins;
		if (v->first == 0)
			v->first = v->generation;
		v->login_ms = v->begun_ms;
	}
	secret_done(&v->token);
	v->token = secret_take(&auth.token);
	memcpy(v->session.accessor, auth.accessor, sizeof(auth.accessor));
	token_came(v, auth.lease_s, auth.renewable);
}

/* What is wrong with one that was not accepted. Both are said of a wrong secret id. */
static enum secret_fault
login_fault(
    enum vault_step step, const struct fetch_answer *a, enum secret_fault fault, bool *refused)
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
	enum vault_step step = v->step;

	if (refused && (step == VAULT_LOOKUP || step == VAULT_UNWRAP)) {
		alarm_theft(v);
		return;
	}
	if (v->session.login == SESSION_RENEW &&
	    refused) { /* its maximum is reached, or it is gone */
		v->renewable = false;
		session_again(&v->session, fault);
		return;
	}
	fault = login_fault(step, a, fault, &refused);
	session_failed(&v->session, fault, refused, a == NULL ? 0 : a->retry_after_ms);
}

static void
on_answer(void *ctx, struct status st, const struct fetch_answer *a)
{
	struct vault *v = ctx;
	bool refused;
	enum secret_fault fault = vault_fault(st, a, &refused);

	v->session.fetch = NULL;
	vault_note_index(v, a);
	/* Once a login: two hosts that each name the other would have us ask for ever. */
	if (a != NULL && a->status == 307 && v->step != VAULT_UNWRAP && !v->redirected &&
	    vault_redirect(v, a)) {
		v->redirected = true;
		session_retry(&v->session);
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
	bool refused;

	v->session.fetch = NULL;
	/* What cannot be told ends with its own time. */
	session_record_end(&v->session, vault_fault(st, a, &refused));
	secret_done(&v->token);
	v->stopped(v->stopped_ctx);
}

static struct status
send_revoke(struct vault *v)
{
	struct fetch_request r = FETCH_REQUEST_NONE;
	struct status st = vault_request(
	    v, "POST", SPAN_LIT("/v1/auth/token/revoke-self"), &v->token, &r);

	if (is_ok(st))
		st = fetch_request_body(&r, 1);
	if (is_ok(st))
		return fetch_start(session_loop(&v->session), v->upstreams[v->at], &r, on_revoked,
		    v, &v->session.fetch);
	fetch_request_done(&r);
	return st;
}

static void
give_token_back(struct vault *v)
{
	if (is_ok(send_revoke(v)))
		return;
	session_record_end(&v->session, SECRET_FAILED);
	v->stopped(v->stopped_ctx);
}

/* To give back what we have takes nothing from anybody: it is not left undone for want of a record.
 */
static void
on_logout_begun(void *ctx, struct status st)
{
	struct vault *v = ctx;

	if (!is_ok(st)) {
		v->session.access = NULL;
		diag(DIAG_WARN, "vault: our token is given back, which could not be put on record");
	}
	give_token_back(v);
}

void
vault_stop(struct vault *v, void (*done)(void *ctx), void *ctx)
{
	const struct ab_secret_begin m = { .act = SECRET_ACT_LOGOUT,
		.reference = span_str(v->session.ops->name),
		.method = span_str(v->session.method) };

	v->stopped = done;
	v->stopped_ctx = ctx;
	session_stop(&v->session);
	if (!session_ready(&v->session))
		done(ctx);
	else if (!is_ok(access_begin(v->session.b, &m, on_logout_begun, v, &v->session.access)))
		on_logout_begun(v, fail(E_CLOSED));
}
