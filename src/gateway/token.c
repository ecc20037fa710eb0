/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token.c: POST /auth/token (RFC 8693) and POST /auth/revoke (RFC 7009).
 *
 * Runs in: gateway. Trusts: nothing in the form; the authority, which makes tokens.
 * Owns: nothing; a token is copied into what is written, and nowhere else; what came is overwritten
 * once it was sent on.
 * Invariants: the credential that is exchanged is the one that the request came with; a form
 * that is not valid is refused by the authority's leave, on record and against its sender's
 * limits; so is a key of ours where none belongs, and reported; errors have RFC 6749's shape.
 * See: token_form.c; src/authority/sessions.c; docs/api.md.
 */
#include <base/cleanup.h>
#include <crypto/crypto.h>
#include <wire/certificate.h>

#include "request.h"
#include "routes.h"
#include "token_form.h"

#define GRANT_TYPE "urn:ietf:params:oauth:grant-type:token-exchange"
#define TYPE_ACCESS "urn:ietf:params:oauth:token-type:access_token"
#define TYPE_JWT "urn:ietf:params:oauth:token-type:jwt"
#define AUDIENCE "sallyport" /* as every session token has it: session_exchange.c */
#define ORIGIN "https://"

static void on_tokened(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);

/* ---- answers ---- */

struct status
token_put_error(const struct request *r, struct buf *out)
{
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	json_put_key(&w, "error");
	json_put_text(&w, r->token_error);
	json_put_key(&w, "error_description");
	json_put_text(&w, r->detail);
	json_put_end(&w);
	return json_writer_finish(&w);
}

static void
blame(struct request *r, const char *error, const char *why)
{
	r->token_error = error;
	r->detail = why;
}

/* ---- requests ---- */

/*
 * A certificate was judged with the head. Where lists have come since, or do not come any more, its
 * session would outlive what they say: the client comes again.
 */
static bool
is_judged(const struct request *r)
{
	return !certificate_is(buf_span(&r->credential)) ||
	       (r->tls_generation == r->g->tls_generation && !r->g->d->draining);
}

static void
ask(struct request *r, struct ga_token *m, struct token_form *f)
{
	bool asked;

	m->credential = buf_span(&r->credential);
	memcpy(m->request_id, r->id, REQUEST_ID_LEN);
	memcpy(m->source, r->address, SOURCE_LEN);
	asked = r->g->authority != NULL && is_judged(r) &&
		is_ok(link_call(
		    r->g->authority, GA_TOKEN, m, ADMIN_TIMEOUT_MS, on_tokened, r, &r->call));
	token_form_forget(r, f);
	if (asked)
		return;
	reply_error(r, ERROR_UNAVAILABLE);
	request_over(r);
}

/* A certificate cannot be written into a form: where none is named, it is what is exchanged. */
static const char *
subject_fault(const struct request *r, const struct span f[F_COUNT])
{
	if (certificate_is(buf_span(&r->credential)) && f[F_SUBJECT].len == 0)
		return f[F_SUBJECT_TYPE].len == 0 ? NULL : "there is no subject_token";
	if (f[F_SUBJECT].len == 0 || f[F_SUBJECT_TYPE].len == 0)
		return "subject_token and subject_token_type are required";
	if (!span_eq_str(f[F_SUBJECT_TYPE], TYPE_ACCESS) &&
	    !span_eq_str(f[F_SUBJECT_TYPE], TYPE_JWT))
		return "this subject_token_type is not known";
	if (!crypto_eq(f[F_SUBJECT], buf_span(&r->credential)))
		return "subject_token is not the credential that the request came with";
	return NULL;
}

/*
 * Where a token is to be used: here, by the name in the token, or by the address that the request
 * went to. There is no other place, so that it is said rather than left out of account.
 */
static bool
is_here(const struct request *r, struct span target)
{
	if (target.len == 0 || span_eq_str(target, AUDIENCE))
		return true;
	if (!span_starts(target, SPAN_LIT(ORIGIN)))
		return false;
	target = span_from(target, sizeof(ORIGIN) - 1);
	if (target.len > 0 && target.ptr[target.len - 1] == '/')
		target.len--;
	return span_eq_nocase(target, r->http.authority);
}

/* What is wrong with an exchange before anybody is asked; NULL: nothing. */
static const char *
fault_of(const struct request *r, const struct span f[F_COUNT], struct ga_token *m)
{
	const char *why = subject_fault(r, f);
	uint64_t lifetime = 0;

	if (why != NULL)
		return why;
	if (f[F_REQUESTED].len > 0 && !span_eq_str(f[F_REQUESTED], TYPE_ACCESS) &&
	    !span_eq_str(f[F_REQUESTED], TYPE_JWT))
		return "this requested_token_type is not known";
	if (f[F_ACTOR].len > 0)
		return "nobody acts for another here: there is no actor_token";
	if (f[F_SCOPE].len > SCOPE_MAX)
		return "scope is too long";
	if (f[F_LIFETIME].len > 0 &&
	    (!is_ok(span_u64(f[F_LIFETIME], UINT32_MAX, &lifetime)) || lifetime == 0))
		return "expires_in is a number of seconds";
	m->scope = f[F_SCOPE];
	m->lifetime_s = (uint32_t)lifetime;
	return NULL;
}

/* Those that stand where none belongs, then the others: who is told of all takes away the first. */
static struct status
keep_leaks(struct request *r, const struct token_form *f)
{
	struct leaks all = f->leaks;
	struct status st;

	for (size_t i = 0; i < f->home.n; i++)
		leaks_add(&all, span_of(f->home.texts + i * KEYTEXT_LEN, KEYTEXT_LEN));
	st = arena_copy(&r->arena, leaks_texts(&all), &r->leaked);
	r->leaked_home = (uint8_t)(all.n - f->leaks.n);
	explicit_bzero(&all, sizeof(all));
	return st;
}

static void
refuse(struct request *r, struct token_form *f, const char *error, const char *why)
{
	enum error code = ERROR_INVALID_FIELD;

	if (f->leaks.n + f->home.n > 0)
		code = is_ok(keep_leaks(r, f)) ? ERROR_LEAKED_KEY : ERROR_OVERLOADED;
	token_form_forget(r, f);
	blame(r, error, why);
	turn_refuse(&r->turn, code);
}

/* What is told of a key of ours where none belongs. */
#define LEAKED "the form has a key of this service where none belongs: it is reported"
#define ANOTHER "the form has another key than the request came with: it is reported"

void
token_run(struct request *r)
{
	struct token_form form;
	struct ga_token m = { .lifetime_s = 0 };
	struct status st = token_form_read(r, TOKEN_FIELDS, F_SUBJECT, &form);
	const char *fault = NULL;

	if (form.leaks.n > 0)
		fault = LEAKED;
	else if (form.home.n > 0)
		fault = ANOTHER;
	else if (!is_ok(st))
		fault = "the form is not valid";
	if (fault == NULL && !span_eq_str(form.fields[F_GRANT], GRANT_TYPE)) {
		refuse(r, &form,
		    form.fields[F_GRANT].len == 0 ? "invalid_request" : "unsupported_grant_type",
		    "grant_type is " GRANT_TYPE);
		return;
	}
	if (fault == NULL &&
	    (!is_here(r, form.fields[F_AUDIENCE]) || !is_here(r, form.fields[F_RESOURCE]))) {
		refuse(r, &form, "invalid_target", "audience or resource is another service");
		return;
	}
	if (fault == NULL)
		fault = fault_of(r, form.fields, &m);
	if (fault != NULL)
		refuse(r, &form, "invalid_request", fault);
	else
		ask(r, &m, &form);
}

/* A key is none of what ends here: to say of it what is said of a session would be untrue. */
void
token_revoke_run(struct request *r)
{
	struct token_form form;
	struct ga_token m = { .lifetime_s = 0 };
	struct status st = token_form_read(r, REVOKE_FIELDS, F_TOKEN, &form);

	if (form.key_there)
		refuse(r, &form, "unsupported_token_type",
		    "a key is not revoked here, but by DELETE /admin/v1/keys/{id}");
	else if (form.leaks.n > 0 || form.home.n > 0)
		refuse(r, &form, "invalid_request", form.leaks.n > 0 ? LEAKED : ANOTHER);
	else if (!is_ok(st) || form.fields[F_TOKEN].len == 0 ||
		 form.fields[F_TOKEN].len > CREDENTIAL_MAX)
		refuse(
		    r, &form, "invalid_request", "the form has token, and perhaps token_type_hint");
	else {
		m.revoke = form.fields[F_TOKEN];
		ask(r, &m, &form);
	}
}

static void
answer_token(struct request *r, const struct ga_tokened *m)
{
	auto_buf struct buf out = BUF_INIT(CREDENTIAL_MAX + SCOPE_MAX + 1024);
	struct json_writer w = json_writer(&out);
	struct status st = buf_reserve(&out, out.max); /* so that no part of it is left behind */

	json_put_object(&w);
	if (m->token.len > 0) {
		json_put_key(&w, "access_token");
		json_put_str(&w, m->token);
		json_put_key(&w, "issued_token_type");
		json_put_text(&w, TYPE_ACCESS);
		json_put_key(&w, "token_type");
		json_put_text(&w, "Bearer");
		json_put_key(&w, "expires_in");
		json_put_u64(&w, m->expires_s);
	}
	if (m->scope.len > 0) {
		json_put_key(&w, "scope");
		json_put_str(&w, m->scope);
	}
	json_put_end(&w);
	if (is_ok(st))
		st = json_writer_finish(&w);
	if (is_ok(st))
		reply_json(r, 200, buf_span(&out));
	else
		reply_error(r, ERROR_INTERNAL);
	if (out.ptr != NULL)
		explicit_bzero(out.ptr, out.cap);
	request_over(r);
}

static void
on_tokened(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct request *r = ctx;
	const struct ga_tokened *m = msg;

	(void)l;
	r->call = 0;
	if (is_ok(st) && type == GA_TOKENED && m->error == ERROR_NONE) {
		answer_token(r, m);
		return;
	}
	if (is_ok(st) && type == GA_TOKENED && m->error == ERROR_INVALID_FIELD)
		blame(r, m->scope_bad ? "invalid_scope" : "invalid_request",
		    m->scope_bad ? "the scope is not valid, or wider than the credential's"
				 : "a session cannot be exchanged for another one");
	if (is_ok(st) && type == GA_TOKENED)
		r->retry_after_ms = m->retry_after_ms;
	reply_error(r, is_ok(st) && type == GA_TOKENED ? (enum error)m->error : ERROR_UNAVAILABLE);
	request_over(r);
}
