/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow.c: the device flow: what the service and the provider answer, and what follows of it.
 *
 * Runs in: CLI, as anybody. Trusts: nothing of an answer: it is bounded, of the form that its RFC
 * gives it, and printable where it is shown or sent on.
 * Owns: nothing beyond its struct. Invariants: no network, no clock; a token that is taken can
 * stand in a header.
 * See: RFC 8628 (device authorization grant), RFC 8693; login.c; tests/fuzz/fuzz_login.c.
 */
#include "flow.h"

#include <base/cleanup.h>

#define INTERVAL_S_MAX 60 /* of our own accord */
#define STATUS_TIMEOUT 408
#define STATUS_TOO_MANY 429

static bool
parse(struct flow *f, const char *what, struct flow_answer a)
{
	if (is_ok(json_parse(&f->d, a.body)))
		return true;
	(void)cli_error(what, "its answer, with status %u, is not JSON", a.status);
	return false;
}

/* A member that is text: printable ASCII. False after a message. */
static bool
text_of(const struct flow *f, uint32_t object, const char *name, char *ret, size_t size)
{
	auto_buf struct buf text = BUF_INIT(size);
	bool ok = is_ok(json_str_put(&f->d, json_get_str(&f->d, object, name), &text)) &&
		  text.len > 0 && is_ok(span_to_cstr(buf_span(&text), ret, size));

	for (const char *p = ret; ok && *p != '\0'; p++)
		ok = *p >= ' ' && *p <= '~';
	if (text.ptr != NULL)
		secret_wipe(text.ptr, text.cap);
	if (!ok)
		(void)cli_error("login", "an answer lacks %s", name);
	return ok;
}

static bool
https(const char *url)
{
	return strncmp(url, "https://", 8) == 0 && url[8] != '\0' && strchr(url, ' ') == NULL;
}

static bool
url_of(const struct flow *f, const char *name, char ret[FLOW_URL_MAX])
{
	if (!text_of(f, 0, name, ret, FLOW_URL_MAX))
		return false;
	if (!https(ret))
		(void)cli_error("login", "%s is not an https: URL", name);
	return https(ret);
}

/* What an answer says went wrong, in RFC 6749's words or ours. */
static bool
refused(const struct flow *f, const char *what, unsigned status)
{
	char code[128] = "", text[FLOW_TEXT_MAX] = "";
	uint32_t error = json_get_str(&f->d, 0, "error");
	struct buf b = BUF_INIT(sizeof(code) - 1), t = BUF_INIT(sizeof(text) - 1);

	if (json_type(&f->d, error) == JSON_OBJECT)
		(void)is_ok(json_str_put(&f->d, json_get_str(&f->d, error, "message"), &t));
	else if (is_ok(json_str_put(&f->d, error, &b)))
		(void)is_ok(json_str_put(&f->d, json_get_str(&f->d, 0, "error_description"), &t));
	(void)is_ok(span_to_cstr(buf_span(&b), code, sizeof(code)));
	(void)is_ok(span_to_cstr(buf_span(&t), text, sizeof(text)));
	buf_done(&b);
	buf_done(&t);
	(void)cli_error(what, "refused with status %u %s %s", status, code, text);
	return false;
}

/* ---- who signs people in ---- */
bool
flow_choose(struct flow *f, struct flow_answer a, const char *wanted)
{
	uint32_t all, n, found = JSON_NONE;

	if (!parse(f, f->url, a))
		return false;
	if (a.status != 200 && a.status != 401)
		return refused(f, f->url, a.status);
	all = a.status == 401 ? JSON_NONE : json_get_str(&f->d, 0, "issuers");
	n = json_type(&f->d, all) == JSON_ARRAY ? json_size(&f->d, all) : 0;
	for (struct json_iter it = json_iter(&f->d, n > 0 ? all : JSON_NONE); json_next(&it);) {
		if (wanted == NULL
			? n == 1
			: json_str_eq_str(&f->d, json_get_str(&f->d, it.val, "issuer"), wanted))
			found = it.val;
	}
	if (found == JSON_NONE) {
		(void)cli_error("login", n == 0 ? "the service names no identity provider for it"
					 : wanted == NULL
					     ? "there are several identity providers: --issuer URL"
					     : "that identity provider is not one of the service");
		return false;
	}
	return text_of(f, found, "issuer", f->issuer, sizeof(f->issuer)) &&
	       text_of(f, found, "client_id", f->client_id, sizeof(f->client_id)) &&
	       text_of(f, found, "scope", f->scope, sizeof(f->scope));
}

bool
flow_discover(struct flow *f, struct flow_answer a, const char *url)
{
	char named[FLOW_URL_MAX];

	if (!parse(f, url, a))
		return false;
	if (a.status != 200)
		return refused(f, url, a.status);
	if (!text_of(f, 0, "issuer", named, sizeof(named)))
		return false;
	if (strcmp(named, f->issuer) != 0) {
		(void)cli_error(url, "is of another issuer");
		return false;
	}
	return url_of(f, "device_authorization_endpoint", f->device_url) &&
	       url_of(f, "token_endpoint", f->token_url);
}

/* ---- the device flow ---- */

/* Never without a pause; one that is longer than all of it may last is as long as that. */
static uint64_t
interval_of(const struct flow *f)
{
	uint32_t tok = json_get_str(&f->d, 0, "interval");
	uint64_t s = 0;
	struct status st = json_u64(&f->d, tok, FLOW_WAIT_S_MAX, &s);

	if (st.code == E_RANGE && json_bytes(&f->d, tok).ptr[0] != '-')
		return FLOW_WAIT_S_MAX;
	if (!is_ok(st))
		return FLOW_INTERVAL_S;
	return s == 0 ? 1 : s;
}

bool
flow_begin(struct flow *f, struct flow_answer a, uint64_t now_s, struct flow_prompt *ret)
{
	uint64_t expires_s = 0;

	if (!parse(f, f->issuer, a))
		return false;
	if (a.status != 200)
		return refused(f, f->issuer, a.status);
	f->interval_s = interval_of(f);
	if (!is_ok(json_u64(&f->d, json_get_str(&f->d, 0, "expires_in"), UINT32_MAX, &expires_s)) ||
	    expires_s == 0) {
		(void)cli_error("login", "an answer lacks expires_in");
		return false;
	}
	f->until_s = now_s + (expires_s > FLOW_WAIT_S_MAX ? FLOW_WAIT_S_MAX : expires_s);
	ret->whole[0] = '\0';
	if (json_get_str(&f->d, 0, "verification_uri_complete") != JSON_NONE &&
	    !url_of(f, "verification_uri_complete", ret->whole))
		return false;
	return text_of(f, 0, "device_code", f->code, sizeof(f->code)) &&
	       text_of(f, 0, "user_code", ret->code, sizeof(ret->code)) &&
	       url_of(f, "verification_uri", ret->uri);
}

/* Three parts with dots between: only such a token can be judged by the service. */
static bool
take_one(struct flow *f, const char *name)
{
	auto_secret struct secret text = SECRET_NONE;
	struct buf view;
	size_t dots = 0;

	if (!is_ok(secret_new(SESSION_FILE_TOKEN_MAX, &text)))
		return false;
	view = secret_buf(&text);
	if (!is_ok(json_str_put(&f->d, json_get_str(&f->d, 0, name), &view)) ||
	    !session_file_token_ok(buf_span(&view)))
		return false;
	text.len = view.len;
	for (size_t i = 0; i < view.len; i++)
		dots += view.ptr[i] == '.';
	if (dots != 2)
		return false;
	secret_done(&f->token);
	f->token = secret_take(&text);
	return true;
}

void
flow_slower(struct flow *f)
{
	if (f->interval_s < INTERVAL_S_MAX)
		f->interval_s *= 2;
}

static enum flow_poll
take_token(struct flow *f)
{
	if (take_one(f, "access_token") || take_one(f, "id_token"))
		return FLOW_DONE;
	(void)cli_error(f->issuer, "gave no signed token: the service could not judge it");
	return FLOW_FAILED;
}

enum flow_poll
flow_take(struct flow *f, struct flow_answer a)
{
	static const struct {
		const char *error;
		enum flow_poll then;
		uint64_t longer_s;
		const char *message; /* NULL: none */
	} rows[] = {
		{ "authorization_pending", FLOW_AGAIN, 0, NULL },
		{ "slow_down", FLOW_AGAIN, FLOW_INTERVAL_S, NULL },
		{ "expired_token", FLOW_FAILED, 0, "the code has expired: begin anew" },
		{ "access_denied", FLOW_FAILED, 0, "it was refused" },
	};
	uint32_t error;

	if (a.status >= 500 || a.status == STATUS_TOO_MANY || a.status == STATUS_TIMEOUT) {
		flow_slower(f);
		return FLOW_AGAIN;
	}
	if (!parse(f, f->issuer, a))
		return FLOW_FAILED;
	if (a.status == 200)
		return take_token(f);
	error = json_get_str(&f->d, 0, "error");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!json_str_eq_str(&f->d, error, rows[i].error))
			continue;
		f->interval_s += rows[i].longer_s;
		if (rows[i].message != NULL)
			(void)cli_error("login", "%s", rows[i].message);
		return rows[i].then;
	}
	(void)refused(f, f->issuer, a.status);
	return FLOW_FAILED;
}

/* ---- the service's own token ---- */
static struct status
take_session(const struct flow *f, uint64_t now_s, struct session_file *k)
{
	struct buf view;
	uint64_t lifetime_s = 0;

	TRY(secret_new(SESSION_FILE_TOKEN_MAX + 1, &k->token));
	view = secret_buf(&k->token);
	view.max = SESSION_FILE_TOKEN_MAX;
	TRY(json_str_put(&f->d, json_get_str(&f->d, 0, "access_token"), &view));
	k->token.len = view.len + 1;
	if (!session_file_token_ok(buf_span(&view)))
		return fail(E_SYNTAX);
	TRY(json_u64(&f->d, json_get_str(&f->d, 0, "expires_in"), UINT32_MAX, &lifetime_s));
	k->expires_s = now_s + lifetime_s;
	TRY(span_to_cstr(span_str(f->url), k->url, sizeof(k->url)));
	return span_to_cstr(span_str(f->ca_path), k->ca, sizeof(k->ca));
}

bool
flow_session(struct flow *f, struct flow_answer a, uint64_t now_s, struct session_file *k)
{
	if (!parse(f, f->url, a))
		return false;
	if (a.status != 200)
		return refused(f, f->url, a.status);
	if (is_ok(take_session(f, now_s, k)))
		return true;
	session_file_done(k);
	(void)cli_error(f->url, "its answer is no session");
	return false;
}

bool
flow_revoked(struct flow *f, struct flow_answer a, const char *what)
{
	if (a.status == 200 || a.status == 401)
		return true;
	return parse(f, what, a) && refused(f, what, a.status);
}
