/* SPDX-License-Identifier: Apache-2.0 */
/*
 * login.c: `sallyport login` and `logout`: people at a terminal, by the house's own provider.
 *
 * Runs in: CLI, as anybody. Trusts: the service and the provider, each over TLS 1.3 by the
 * authorities that the caller names; nothing else of what they send: it is bounded, and made safe
 * before it is shown.
 * Owns: the device code and tokens, until they are used; they are wiped.
 * Invariants: nothing is kept before all is done: from the exchange until the file is there no
 * signal of the keyboard is heard; no token is ever shown.
 * See: RFC 8628 (device authorization grant), RFC 8693; kept.c; src/gateway/login.c.
 */
#include "kept.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/clock.h>

#include "remote.h"

#define TIMEOUT_MS 20000
#define URL_MAX 2048
#define TEXT_MAX 1024
#define FORM_MAX (4U * KEPT_TOKEN_MAX)
#define INTERVAL_S 5 /* RFC 8628 §3.2, where none is given; also what slow_down adds */
#define INTERVAL_S_MAX 60
#define WAIT_S_MAX 3600
#define FORM_TYPE "application/x-www-form-urlencoded"
#define GRANT_DEVICE "urn:ietf:params:oauth:grant-type:device_code"
#define GRANT_EXCHANGE "urn:ietf:params:oauth:grant-type:token-exchange"
#define TYPE_ACCESS "urn:ietf:params:oauth:token-type:access_token"

struct login {
	char url[KEPT_URL_MAX], ca_path[CLI_PATH_MAX];
	struct buf ca, issuer_ca;
	char issuer[URL_MAX], client_id[TEXT_MAX], scope[TEXT_MAX];
	char device_url[URL_MAX], token_url[URL_MAX];
	char code[TEXT_MAX]; /* the device code: a secret until it is used */
	uint64_t interval_s, until_s;
	struct secret token; /* the provider's */
	struct json_doc d;
};

/* ---- requests ---- */

/* "https://HOST[:PORT]" and the rest. */
static bool
url_split_path(const char *url, char origin[URL_MAX], const char **ret_target)
{
	const char *slash = strncmp(url, "https://", 8) == 0 ? strchr(url + 8, '/') : NULL;
	struct span s = span_of(url, slash == NULL ? strlen(url) : (size_t)(slash - url));

	*ret_target = slash == NULL ? "/" : slash;
	for (const char *p = *ret_target; *p != '\0'; p++) {
		if (*p <= ' ' || *p > '~' || *p == '#')
			return false;
	}
	return strncmp(url, "https://", 8) == 0 && is_ok(span_to_cstr(s, origin, URL_MAX));
}

static uint64_t
now_s(void)
{
	return clock_real_ns() / 1000000000ULL;
}

/* One exchange; its answer is in l->d where it is JSON. `quiet`: no message, it may be tried again.
 */
static bool
ask(struct login *l, const char *url, struct span ca, struct exchange *x, bool quiet)
{
	auto_channel struct channel c = CHANNEL_NONE;
	char origin[URL_MAX], authority[300];
	const char *why = "";
	struct status st;

	if (!url_split_path(url, origin, &x->target) ||
	    !url_authority(origin, authority, sizeof(authority))) {
		(void)cli_error(url, "expects an https: URL");
		return false;
	}
	x->authority = authority;
	st = channel_tls(origin, ca, TIMEOUT_MS, &c, &why);
	if (is_ok(st)) {
		why = "the exchange failed";
		st = exchange_run(&c, x);
	}
	x->authority = NULL;
	if (is_ok(st) && !is_ok(json_parse(&l->d, buf_span(&x->answer)))) {
		why = "its answer is not JSON";
		st = fail(E_SYNTAX);
	}
	if (!is_ok(st) && !quiet)
		(void)cli_error(url, "%s (%s)", why, status_text(st));
	return is_ok(st);
}

static struct status
put_escaped(struct buf *out, struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];
		bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
			     (c >= 'a' && c <= 'z') || (c != '\0' && strchr("-._~", c) != NULL);

		TRY(plain ? buf_put_u8(out, c) : buf_printf(out, "%%%02X", c));
	}
	return OK;
}

static struct status
put_field(struct buf *out, const char *name, struct span value)
{
	TRY(buf_printf(out, "%s%s=", out->len > 0 ? "&" : "", name));
	return put_escaped(out, value);
}

/* A member of the answer that is text: printable ASCII. False after a message. */
static bool
text_of(const struct login *l, const char *name, char *ret, size_t size)
{
	auto_buf struct buf text = BUF_INIT(size);
	bool ok = is_ok(json_str_put(&l->d, json_get_str(&l->d, 0, name), &text)) && text.len > 0 &&
		  is_ok(span_to_cstr(buf_span(&text), ret, size));

	for (const char *p = ret; ok && *p != '\0'; p++)
		ok = *p >= ' ' && *p <= '~';
	if (text.ptr != NULL)
		secret_wipe(text.ptr, text.cap);
	if (!ok)
		(void)cli_error("login", "an answer lacks %s", name);
	return ok;
}

/* What an answer says went wrong, in RFC 6749's words or ours. */
static int
told_error(const struct login *l, const char *what, const struct exchange *x)
{
	char code[128] = "", text[TEXT_MAX] = "";
	uint32_t error = json_get_str(&l->d, 0, "error");
	struct buf b = BUF_INIT(sizeof(code) - 1), t = BUF_INIT(sizeof(text) - 1);

	if (json_type(&l->d, error) == JSON_OBJECT)
		(void)is_ok(json_str_put(&l->d, json_get_str(&l->d, error, "message"), &t));
	else if (is_ok(json_str_put(&l->d, error, &b)))
		(void)is_ok(json_str_put(&l->d, json_get_str(&l->d, 0, "error_description"), &t));
	(void)is_ok(span_to_cstr(buf_span(&b), code, sizeof(code)));
	(void)is_ok(span_to_cstr(buf_span(&t), text, sizeof(text)));
	buf_done(&b);
	buf_done(&t);
	return cli_error(what, "refused with status %u %s %s", x->status, code, text);
}

/* ---- who signs people in ---- */

/* The one that was asked for, or the only one. */
static bool
choose(struct login *l, const char *wanted)
{
	uint32_t all = json_get_str(&l->d, 0, "issuers"), n = json_size(&l->d, all);
	uint32_t found = JSON_NONE;
	const struct {
		const char *name;
		char *to;
		size_t size;
	} fields[] = { { "issuer", l->issuer, sizeof(l->issuer) },
		{ "client_id", l->client_id, sizeof(l->client_id) },
		{ "scope", l->scope, sizeof(l->scope) } };

	for (uint32_t i = 0; i < n; i++) {
		uint32_t one = json_at(&l->d, all, i);

		if (wanted == NULL
			? n == 1
			: json_str_eq_str(&l->d, json_get_str(&l->d, one, "issuer"), wanted))
			found = one;
	}
	if (found == JSON_NONE) {
		(void)cli_error("login", n == 0 ? "the service names no identity provider for it"
					 : wanted == NULL
					     ? "there are several identity providers: --issuer URL"
					     : "that identity provider is not one of the service");
		return false;
	}
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		auto_buf struct buf text = BUF_INIT(fields[i].size);

		if (!is_ok(
			json_str_put(&l->d, json_get_str(&l->d, found, fields[i].name), &text)) ||
		    !is_ok(span_to_cstr(buf_span(&text), fields[i].to, fields[i].size))) {
			(void)cli_error("login", "the service's answer lacks %s", fields[i].name);
			return false;
		}
	}
	return true;
}

static bool
ask_service(struct login *l, const char *wanted)
{
	struct exchange x = { .method = "GET" };
	char url[URL_MAX];
	bool ok;

	(void)snprintf(url, sizeof(url), "%s/auth/login", l->url);
	ok = ask(l, url, buf_span(&l->ca), &x, false);
	if (ok && x.status == 401) {
		(void)cli_error("login", "the service names no identity provider for it");
		ok = false;
	} else if (ok && x.status != 200) {
		ok = told_error(l, l->url, &x) == EXIT_DONE;
	}
	ok = ok && choose(l, wanted);
	exchange_done(&x);
	return ok;
}

/* OpenID Connect Discovery §4: the document is the issuer's own, or none. */
static bool
discover(struct login *l)
{
	struct exchange x = { .method = "GET" };
	size_t len = strlen(l->issuer);
	char url[URL_MAX + 64], named[URL_MAX];
	bool ok;

	while (len > 0 && l->issuer[len - 1] == '/')
		len--;
	(void)snprintf(
	    url, sizeof(url), "%.*s/.well-known/openid-configuration", (int)len, l->issuer);
	ok = ask(l, url, buf_span(&l->issuer_ca), &x, false);
	if (ok && x.status != 200)
		ok = told_error(l, url, &x) == EXIT_DONE;
	ok = ok && text_of(l, "issuer", named, sizeof(named));
	if (ok && strcmp(named, l->issuer) != 0)
		ok = cli_error(url, "is of another issuer") == EXIT_DONE;
	ok = ok &&
	     text_of(l, "device_authorization_endpoint", l->device_url, sizeof(l->device_url)) &&
	     text_of(l, "token_endpoint", l->token_url, sizeof(l->token_url));
	exchange_done(&x);
	return ok;
}

/* ---- the device flow ---- */

static void
show(struct login *l, const char *uri, const char *code)
{
	char whole[URL_MAX] = "";
	auto_buf struct buf text = BUF_INIT(sizeof(whole));

	(void)fprintf(stderr, "Open\n\n    %s\n\nand enter the code\n\n    %s\n", uri, code);
	if (is_ok(
		json_str_put(&l->d, json_get_str(&l->d, 0, "verification_uri_complete"), &text)) &&
	    is_ok(span_to_cstr(buf_span(&text), whole, sizeof(whole)))) {
		(void)fputs("\nor open\n\n    ", stderr);
		for (const char *p = whole; *p != '\0'; p++)
			(void)fputc(*p > ' ' && *p <= '~' ? *p : '?', stderr);
		(void)fputc('\n', stderr);
	}
	(void)fprintf(stderr, "\nwithin %llu minutes. Waiting …\n",
	    (unsigned long long)((l->until_s - now_s() + 59) / 60));
}

static bool
take_device(struct login *l)
{
	uint64_t expires_s = 0;
	char uri[URL_MAX], code[TEXT_MAX];

	l->interval_s = INTERVAL_S;
	(void)is_ok(
	    json_u64(&l->d, json_get_str(&l->d, 0, "interval"), INTERVAL_S_MAX, &l->interval_s));
	if (!is_ok(json_u64(&l->d, json_get_str(&l->d, 0, "expires_in"), UINT32_MAX, &expires_s)) ||
	    expires_s == 0) {
		(void)cli_error("login", "an answer lacks expires_in");
		return false;
	}
	l->until_s = now_s() + (expires_s > WAIT_S_MAX ? WAIT_S_MAX : expires_s);
	if (!text_of(l, "device_code", l->code, sizeof(l->code)) ||
	    !text_of(l, "user_code", code, sizeof(code)) ||
	    !text_of(l, "verification_uri", uri, sizeof(uri)))
		return false;
	show(l, uri, code);
	return true;
}

static bool
begin(struct login *l)
{
	auto_buf struct buf form = BUF_INIT(FORM_MAX);
	struct exchange x = { .method = "POST", .type = FORM_TYPE };
	bool ok = is_ok(put_field(&form, "client_id", span_str(l->client_id))) &&
		  is_ok(put_field(&form, "scope", span_str(l->scope)));

	x.body = buf_span(&form);
	ok = ok && ask(l, l->device_url, buf_span(&l->issuer_ca), &x, false);
	if (ok && x.status != 200)
		ok = told_error(l, l->issuer, &x) == EXIT_DONE;
	ok = ok && take_device(l);
	exchange_done(&x);
	return ok;
}

/* Three parts with dots between: only such a token can be judged by the service. */
static bool
take_one(struct login *l, const char *name)
{
	auto_secret struct secret text = SECRET_NONE;
	struct buf view;
	size_t dots = 0;

	if (!is_ok(secret_new(KEPT_TOKEN_MAX, &text)))
		return false;
	view = secret_buf(&text);
	if (!is_ok(json_str_put(&l->d, json_get_str(&l->d, 0, name), &view)))
		return false;
	text.len = view.len;
	for (size_t i = 0; i < view.len; i++)
		dots += view.ptr[i] == '.';
	if (dots != 2)
		return false;
	l->token = secret_take(&text);
	return true;
}

enum poll { POLL_DONE, POLL_AGAIN, POLL_FAILED };

/* RFC 8628 §3.5 */
static enum poll
take_answer(struct login *l, const struct exchange *x)
{
	uint32_t error = json_get_str(&l->d, 0, "error");

	if (x->status == 200) {
		if (take_one(l, "access_token") || take_one(l, "id_token"))
			return POLL_DONE;
		(void)cli_error(l->issuer, "gave no signed token: the service could not judge it");
		return POLL_FAILED;
	}
	if (json_str_eq_str(&l->d, error, "slow_down"))
		l->interval_s += INTERVAL_S;
	else if (json_str_eq_str(&l->d, error, "expired_token"))
		(void)cli_error("login", "the code has expired: begin anew");
	else if (json_str_eq_str(&l->d, error, "access_denied"))
		(void)cli_error("login", "it was refused");
	else if (!json_str_eq_str(&l->d, error, "authorization_pending"))
		(void)told_error(l, l->issuer, x);
	return json_str_eq_str(&l->d, error, "slow_down") ||
		       json_str_eq_str(&l->d, error, "authorization_pending")
		   ? POLL_AGAIN
		   : POLL_FAILED;
}

static enum poll
poll_once(struct login *l)
{
	auto_buf struct buf form = BUF_INIT(FORM_MAX);
	struct exchange x = { .method = "POST", .type = FORM_TYPE };
	enum poll answer = POLL_AGAIN;
	bool ok = is_ok(buf_reserve(&form, FORM_MAX)) &&
		  is_ok(put_field(&form, "grant_type", SPAN_LIT(GRANT_DEVICE))) &&
		  is_ok(put_field(&form, "device_code", span_str(l->code))) &&
		  is_ok(put_field(&form, "client_id", span_str(l->client_id)));

	x.body = buf_span(&form);
	if (!ok)
		answer = POLL_FAILED;
	else if (ask(l, l->token_url, buf_span(&l->issuer_ca), &x, true) && x.status < 500)
		answer = take_answer(l, &x);
	else if (l->interval_s < INTERVAL_S_MAX)
		l->interval_s *= 2; /* it does not answer: less often */
	if (form.ptr != NULL)
		secret_wipe(form.ptr, form.cap);
	exchange_done(&x);
	return answer;
}

static bool
wait_for_person(struct login *l)
{
	enum poll p = POLL_AGAIN;

	while (p == POLL_AGAIN) {
		struct timespec pause = { .tv_sec = (time_t)l->interval_s };

		if (now_s() + l->interval_s > l->until_s) {
			(void)cli_error("login", "the code has expired: begin anew");
			return false;
		}
		while (nanosleep(&pause, &pause) < 0 && errno == EINTR)
			;
		p = poll_once(l);
	}
	return p == POLL_DONE;
}

/* ---- the service's own token ---- */

static struct status
put_exchange(struct span token, struct buf *out)
{
	TRY(buf_reserve(out, FORM_MAX)); /* so that growing leaves no copy of the token */
	TRY(put_field(out, "grant_type", SPAN_LIT(GRANT_EXCHANGE)));
	TRY(put_field(out, "subject_token", token));
	return put_field(out, "subject_token_type", SPAN_LIT(TYPE_ACCESS));
}

static struct status
take_session(const struct login *l, struct kept *k)
{
	struct buf view;
	uint64_t lifetime_s = 0;

	TRY(secret_new(KEPT_TOKEN_MAX + 1, &k->token));
	view = secret_buf(&k->token);
	view.max = KEPT_TOKEN_MAX;
	TRY(json_str_put(&l->d, json_get_str(&l->d, 0, "access_token"), &view));
	k->token.len = view.len + 1;
	TRY(json_u64(&l->d, json_get_str(&l->d, 0, "expires_in"), UINT32_MAX, &lifetime_s));
	k->expires_s = now_s() + lifetime_s;
	TRY(span_to_cstr(span_str(l->url), k->url, sizeof(k->url)));
	return span_to_cstr(span_str(l->ca_path), k->ca, sizeof(k->ca));
}

static bool
exchange(struct login *l, struct kept *k)
{
	auto_buf struct buf form = BUF_INIT(FORM_MAX);
	struct exchange x = {
		.method = "POST", .type = FORM_TYPE, .bearer = secret_borrow(&l->token)
	};
	char url[URL_MAX];
	bool ok = is_ok(put_exchange(secret_borrow(&l->token), &form));

	(void)snprintf(url, sizeof(url), "%s/auth/token", l->url);
	x.body = buf_span(&form);
	ok = ok && ask(l, url, buf_span(&l->ca), &x, false);
	if (ok && x.status != 200)
		ok = told_error(l, l->url, &x) == EXIT_DONE;
	if (ok && !is_ok(take_session(l, k)))
		ok = cli_error(l->url, "its answer is no session") == EXIT_DONE;
	if (form.ptr != NULL)
		secret_wipe(form.ptr, form.cap);
	exchange_done(&x);
	return ok;
}

/* From here on it is all or nothing: no session that nobody knows of is left behind. */
static int
finish(struct login *l)
{
	auto_kept struct kept k = { .token = SECRET_NONE };
	struct status st;
	sigset_t keys, before;

	(void)sigemptyset(&keys);
	(void)sigaddset(&keys, SIGINT);
	(void)sigaddset(&keys, SIGTERM);
	(void)sigaddset(&keys, SIGHUP);
	(void)sigaddset(&keys, SIGTSTP);
	(void)sigprocmask(SIG_BLOCK, &keys, &before);
	if (!exchange(l, &k))
		return EXIT_FAILED;
	st = kept_save(&k);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	if (!is_ok(st))
		return cli_status("the session could not be kept", st);
	(void)fprintf(stderr, "Signed in at %s for %llu minutes.\n", l->url,
	    (unsigned long long)((k.expires_s - now_s() + 59) / 60));
	return EXIT_DONE;
}

/* ---- the commands ---- */

static const char *
file_of(const char *name)
{
	const char *path = getenv(name);

	return path != NULL && path[0] != '\0' ? path : CA_FILE_SYSTEM;
}

static bool
prepare(struct login *l, const struct invocation *inv)
{
	const char *url = inv->options[OPT_URL] != NULL ? inv->options[OPT_URL]
							: getenv("SALLYPORT_URL");
	char authority[300];

	if (url == NULL || url[0] == '\0') {
		(void)cli_error("login", "where? --url https://HOST[:PORT], or SALLYPORT_URL");
		return false;
	}
	if (!url_authority(url, authority, sizeof(authority)) ||
	    !is_ok(span_to_cstr(span_str(url), l->url, sizeof(l->url)))) {
		(void)cli_error(url, "expects https://HOST[:PORT]");
		return false;
	}
	if (l->url[strlen(l->url) - 1] == '/')
		l->url[strlen(l->url) - 1] = '\0';
	if (realpath(file_of("SALLYPORT_CA_FILE"), l->ca_path) == NULL) {
		(void)cli_status(file_of("SALLYPORT_CA_FILE"), fail_errno());
		return false;
	}
	return read_authorities(l->ca_path, &l->ca) &&
	       read_authorities(file_of("SALLYPORT_ISSUER_CA_FILE"), &l->issuer_ca);
}

int
cmd_login(const struct invocation *inv)
{
	static struct login l = { .token = { NULL, 0, 0 } };
	int rc = EXIT_FAILED;

	if (!is_ok(json_init(&l.d, &JSON_STRICT)))
		return cli_error("login", "out of memory");
	if (prepare(&l, inv) && ask_service(&l, inv->options[OPT_ISSUER]) && discover(&l) &&
	    begin(&l) && wait_for_person(&l))
		rc = finish(&l);
	secret_wipe(l.code, sizeof(l.code));
	secret_done(&l.token);
	buf_done(&l.ca);
	buf_done(&l.issuer_ca);
	json_done(&l.d);
	return rc;
}

/* The service ends it; if it cannot be asked, the session goes from here all the same. */
static bool
end_session(const struct kept *k)
{
	struct span token = span_of(k->token.ptr, k->token.len - 1);
	auto_buf struct buf ca = BUF_INIT(0), form = BUF_INIT(FORM_MAX);
	struct exchange x = { .method = "POST", .type = FORM_TYPE, .bearer = token };
	static struct login l;
	char url[URL_MAX];
	bool ok;

	if (!read_authorities(k->ca, &ca) || !is_ok(json_init(&l.d, &JSON_STRICT)))
		return false;
	(void)snprintf(url, sizeof(url), "%s/auth/revoke", k->url);
	ok = is_ok(buf_reserve(&form, FORM_MAX)) && is_ok(put_field(&form, "token", token));
	x.body = buf_span(&form);
	ok = ok && ask(&l, url, buf_span(&ca), &x, false);
	if (ok && x.status != 200 && x.status != 401) /* 401: it has ended already */
		ok = told_error(&l, k->url, &x) == EXIT_DONE;
	if (form.ptr != NULL)
		secret_wipe(form.ptr, form.cap);
	exchange_done(&x);
	json_done(&l.d);
	return ok;
}

int
cmd_logout(const struct invocation *inv)
{
	auto_kept struct kept k = { .token = SECRET_NONE };
	struct status st = kept_load(&k);
	bool revoked = true;

	(void)inv;
	if (st.code == E_NOTFOUND)
		return cli_error("logout", "nobody has signed in");
	if (is_ok(st))
		revoked = end_session(&k);
	st = kept_remove();
	if (!is_ok(st))
		return cli_status("the kept session", st);
	if (!revoked)
		return cli_error(
		    "logout", "the session is forgotten here, but could not be ended there");
	return EXIT_DONE;
}
