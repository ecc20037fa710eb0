/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token.c: POST /auth/token (RFC 8693) and POST /auth/revoke (RFC 7009).
 *
 * Runs in: gateway. Trusts: nothing in the form; the authority, which makes tokens.
 * Owns: nothing; a token is copied into what is written, and nowhere else; what came is overwritten
 * once it was sent on.
 * Invariants: the credential that is exchanged is the one that the request came with; a form
 * has each field once, and none that is not known; one that is not valid is refused by the
 * authority's leave, on record and against its sender's limits; errors have RFC 6749's shape.
 * See: src/authority/sessions.c; docs/api.md.
 */
#include <base/cleanup.h>
#include <crypto/crypto.h>
#include <wire/certificate.h>

#include "request.h"
#include "routes.h"

#define FORM_MAX 32768
#define GRANT_TYPE "urn:ietf:params:oauth:grant-type:token-exchange"
#define TYPE_ACCESS "urn:ietf:params:oauth:token-type:access_token"
#define TYPE_JWT "urn:ietf:params:oauth:token-type:jwt"

enum field {
	F_GRANT,
	F_SUBJECT,
	F_SUBJECT_TYPE,
	F_REQUESTED,
	F_SCOPE,
	F_LIFETIME,
	F_TOKEN,
	F_HINT,
	F_COUNT
};
static const char *const names[F_COUNT] = {
	[F_GRANT] = "grant_type",
	[F_SUBJECT] = "subject_token",
	[F_SUBJECT_TYPE] = "subject_token_type",
	[F_REQUESTED] = "requested_token_type",
	[F_SCOPE] = "scope",
	[F_LIFETIME] = "expires_in",
	[F_TOKEN] = "token",
	[F_HINT] = "token_type_hint",
};
#define BIT(f) (1U << (f))
#define TOKEN_FIELDS                                                                             \
	(BIT(F_GRANT) | BIT(F_SUBJECT) | BIT(F_SUBJECT_TYPE) | BIT(F_REQUESTED) | BIT(F_SCOPE) | \
	    BIT(F_LIFETIME))
#define REVOKE_FIELDS (BIT(F_TOKEN) | BIT(F_HINT))

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

/* ---- the form ---- */

static int
hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* application/x-www-form-urlencoded; only printable ASCII comes out. */
static struct status
decode(struct arena *arena, struct span text, struct span *ret)
{
	uint8_t *out = arena_alloc(arena, text.len);
	size_t len = 0;

	if (out == NULL)
		return fail(E_NOMEM);
	*ret = span_of(out, text.len);
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.ptr[i];

		if (c == '+') {
			c = ' ';
		} else if (c == '%') {
			int high = i + 2 < text.len ? hex_digit(text.ptr[i + 1]) : -1;
			int low = i + 2 < text.len ? hex_digit(text.ptr[i + 2]) : -1;

			if (high < 0 || low < 0)
				return fail(E_SYNTAX);
			c = (uint8_t)(high * 16 + low);
			i += 2;
		}
		if (c < ' ' || c > '~')
			return fail(E_SYNTAX);
		out[len++] = c;
	}
	*ret = span_of(out, len);
	return OK;
}

/* A token was in there, as it came and as it was read. */
static void
forget(struct request *r, const struct span fields[F_COUNT])
{
	for (size_t f = 0; f < F_COUNT; f++) {
		if (fields[f].len > 0)
			explicit_bzero((void *)(uintptr_t)fields[f].ptr, fields[f].len);
	}
	if (r->body.len > 0)
		explicit_bzero(r->body.ptr, r->body.len);
}

static struct status
take_field(struct arena *arena, struct span pair, uint32_t known, struct span fields[F_COUNT])
{
	const uint8_t *eq = pair.len > 0 ? memchr(pair.ptr, '=', pair.len) : NULL;
	struct span name;

	if (eq == NULL)
		return fail(E_SYNTAX);
	name = span_of(pair.ptr, (size_t)(eq - pair.ptr));
	for (size_t f = 0; f < F_COUNT; f++) {
		if ((known & BIT(f)) == 0 || !span_eq_str(name, names[f]))
			continue;
		if (fields[f].ptr != NULL)
			return fail(E_EXISTS);
		TRY(decode(arena, span_from(pair, name.len + 1), &fields[f]));
		return fields[f].len > 0 ? OK : fail(E_SYNTAX);
	}
	return fail(E_NOTFOUND);
}

static struct status
read_form(struct request *r, uint32_t known, struct span fields[F_COUNT])
{
	static const struct span type = { (const uint8_t *)"application/x-www-form-urlencoded",
		33 };
	struct span rest = buf_span(&r->body), value;

	if (!is_ok(http_request_field(&r->http, "content-type", &value)) || value.len < type.len ||
	    !span_eq_nocase(span_of(value.ptr, type.len), type) ||
	    (value.len > type.len && memchr("; \t", value.ptr[type.len], 3) == NULL))
		return fail(E_UNSUPPORTED);
	if (rest.len == 0 || rest.len > FORM_MAX)
		return fail(E_RANGE);
	while (rest.len > 0) {
		const uint8_t *end = memchr(rest.ptr, '&', rest.len);
		size_t len = end == NULL ? rest.len : (size_t)(end - rest.ptr);

		TRY(take_field(&r->arena, span_of(rest.ptr, len), known, fields));
		rest = end == NULL ? SPAN_EMPTY : span_from(rest, len + 1);
		if (end != NULL && rest.len == 0)
			return fail(E_SYNTAX);
	}
	return OK;
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
ask(struct request *r, struct ga_token *m, const struct span fields[F_COUNT])
{
	bool asked;

	m->credential = buf_span(&r->credential);
	memcpy(m->request_id, r->id, REQUEST_ID_LEN);
	memcpy(m->source, r->address, SOURCE_LEN);
	asked = r->g->authority != NULL && is_judged(r) &&
		is_ok(link_call(
		    r->g->authority, GA_TOKEN, m, ADMIN_TIMEOUT_MS, on_tokened, r, &r->call));
	forget(r, fields);
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
	if (f[F_SCOPE].len > SCOPE_MAX)
		return "scope is too long";
	if (f[F_LIFETIME].len > 0 &&
	    (!is_ok(span_u64(f[F_LIFETIME], UINT32_MAX, &lifetime)) || lifetime == 0))
		return "expires_in is a number of seconds";
	m->scope = f[F_SCOPE];
	m->lifetime_s = (uint32_t)lifetime;
	return NULL;
}

static void
refuse(struct request *r, const struct span fields[F_COUNT], const char *error, const char *why)
{
	forget(r, fields);
	blame(r, error, why);
	turn_refuse(&r->turn, ERROR_INVALID_FIELD);
}

void
token_run(struct request *r)
{
	struct span fields[F_COUNT] = { { NULL, 0 } };
	struct ga_token m = { .lifetime_s = 0 };
	const char *fault;

	if (!is_ok(read_form(r, TOKEN_FIELDS, fields))) {
		refuse(r, fields, "invalid_request", "the form is not valid");
		return;
	}
	if (!span_eq_str(fields[F_GRANT], GRANT_TYPE)) {
		refuse(r, fields,
		    fields[F_GRANT].len == 0 ? "invalid_request" : "unsupported_grant_type",
		    "grant_type is " GRANT_TYPE);
		return;
	}
	fault = fault_of(r, fields, &m);
	if (fault != NULL)
		refuse(r, fields, "invalid_request", fault);
	else
		ask(r, &m, fields);
}

void
token_revoke_run(struct request *r)
{
	struct span fields[F_COUNT] = { { NULL, 0 } };
	struct ga_token m = { .lifetime_s = 0 };

	if (!is_ok(read_form(r, REVOKE_FIELDS, fields)) || fields[F_TOKEN].len == 0 ||
	    fields[F_TOKEN].len > CREDENTIAL_MAX) {
		refuse(r, fields, "invalid_request",
		    "the form has token, and perhaps "
		    "token_type_hint");
		return;
	}
	m.revoke = fields[F_TOKEN];
	ask(r, &m, fields);
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
