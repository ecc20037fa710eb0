/* SPDX-License-Identifier: Apache-2.0 */
/*
 * login.c: `sallyport login` and `logout`: people at a terminal, by the house's own provider.
 *
 * Runs in: CLI, as anybody. Trusts: the service and the provider, each over TLS 1.3 by the
 * authorities that the caller names; nothing else of what they send (flow.c judges it).
 * Owns: the device code and tokens, until they are used; they are wiped.
 * Invariants: nothing is kept before all is done: from the exchange until the file is there no
 * signal of the keyboard is heard; a session that cannot be kept is ended, and so is the one whose
 * place it takes; no token is ever shown; no answer sends us elsewhere.
 * See: RFC 8628 (device authorization grant), RFC 8693; flow.c, session_file.c;
 * src/gateway/login.c.
 */
#include "flow.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/encode.h>

#include "remote.h"

#define TIMEOUT_MS 20000
#define ANSWER_WAIT_S 60 /* for all of an answer */
#define ANSWER_MAX (1U << 20)
#define FORM_MAX (4U * SESSION_FILE_TOKEN_MAX)
#define FORM_TYPE "application/x-www-form-urlencoded"
#define GRANT_DEVICE "urn:ietf:params:oauth:grant-type:device_code"
#define GRANT_EXCHANGE "urn:ietf:params:oauth:grant-type:token-exchange"
#define TYPE_ACCESS "urn:ietf:params:oauth:token-type:access_token"

struct login {
	struct flow f;
	struct buf ca, issuer_ca;
};

/* ---- requests ---- */

/* "https://HOST[:PORT]" and the rest. */
static bool
url_split_path(const char *url, char origin[FLOW_URL_MAX], const char **ret_target)
{
	const char *slash = strncmp(url, "https://", 8) == 0 ? strchr(url + 8, '/') : NULL;
	struct span s = span_of(url, slash == NULL ? strlen(url) : (size_t)(slash - url));

	*ret_target = slash == NULL ? "/" : slash;
	for (const char *p = *ret_target; *p != '\0'; p++) {
		if (*p <= ' ' || *p > '~' || *p == '#')
			return false;
	}
	return strncmp(url, "https://", 8) == 0 && is_ok(span_to_cstr(s, origin, FLOW_URL_MAX));
}

static uint64_t
now_s(void)
{
	return clock_real_ns() / NS_PER_S;
}

static struct flow_answer
answer_of(const struct exchange *x)
{
	return (struct flow_answer){ x->status, buf_span(&x->answer) };
}

/* One exchange. `quiet`: no message, it may be tried again. */
static bool
ask(const char *url, struct span ca, struct exchange *x, bool quiet)
{
	auto_channel struct channel c = CHANNEL_NONE;
	char origin[FLOW_URL_MAX], authority[300];
	const char *why = "";
	struct status st;

	if (!url_split_path(url, origin, &x->target) ||
	    !url_authority(origin, authority, sizeof(authority))) {
		(void)cli_error(url, "expects an https: URL");
		return false;
	}
	x->authority = authority;
	x->answer_max = ANSWER_MAX;
	st = channel_tls(origin, ca, TIMEOUT_MS, &c, &why);
	if (is_ok(st)) {
		why = "the exchange failed";
		c.until_ns = clock_mono_ns() + ANSWER_WAIT_S * NS_PER_S;
		st = exchange_run(&c, x);
	}
	x->authority = NULL;
	if (!is_ok(st) && !quiet)
		(void)cli_error(url, "%s (%s)", why, status_text(st));
	return is_ok(st);
}

static struct status
put_field(struct buf *out, const char *name, struct span value)
{
	TRY(buf_printf(out, "%s%s=", out->len > 0 ? "&" : "", name));
	return percent_encode(value, out);
}

static bool
ask_service(struct login *l, const char *wanted)
{
	struct exchange x = { .method = "GET" };
	char url[FLOW_URL_MAX];
	bool ok;

	(void)snprintf(url, sizeof(url), "%s/auth/login", l->f.url);
	ok = ask(url, buf_span(&l->ca), &x, false) && flow_choose(&l->f, answer_of(&x), wanted);
	exchange_done(&x);
	return ok;
}

static bool
discover(struct login *l)
{
	struct exchange x = { .method = "GET" };
	size_t len = strlen(l->f.issuer);
	char url[FLOW_URL_MAX + 64];
	bool ok;

	while (len > 0 && l->f.issuer[len - 1] == '/')
		len--;
	(void)snprintf(
	    url, sizeof(url), "%.*s/.well-known/openid-configuration", (int)len, l->f.issuer);
	ok = ask(url, buf_span(&l->issuer_ca), &x, false) &&
	     flow_discover(&l->f, answer_of(&x), url);
	exchange_done(&x);
	return ok;
}

/* ---- the device flow ---- */

static void
show(const struct flow *f, const struct flow_prompt *p)
{
	(void)fprintf(stderr, "Open\n\n    %s\n\nand enter the code\n\n    %s\n", p->uri, p->code);
	if (p->whole[0] != '\0')
		(void)fprintf(stderr, "\nor open\n\n    %s\n", p->whole);
	(void)fprintf(stderr, "\nwithin %llu minutes. Waiting …\n",
	    (unsigned long long)((f->until_s - now_s() + 59) / 60));
}

static bool
begin(struct login *l)
{
	auto_buf struct buf form = BUF_INIT(FORM_MAX);
	struct exchange x = { .method = "POST", .type = FORM_TYPE };
	struct flow_prompt prompt;
	bool ok = is_ok(put_field(&form, "client_id", span_str(l->f.client_id))) &&
		  is_ok(put_field(&form, "scope", span_str(l->f.scope)));

	x.body = buf_span(&form);
	ok = ok && ask(l->f.device_url, buf_span(&l->issuer_ca), &x, false) &&
	     flow_begin(&l->f, answer_of(&x), now_s(), &prompt);
	if (ok)
		show(&l->f, &prompt);
	exchange_done(&x);
	return ok;
}

static enum flow_poll
poll_once(struct login *l)
{
	auto_buf struct buf form = BUF_INIT(FORM_MAX);
	struct exchange x = { .method = "POST", .type = FORM_TYPE };
	enum flow_poll answer = FLOW_AGAIN;
	bool ok = is_ok(buf_reserve(&form, FORM_MAX)) &&
		  is_ok(put_field(&form, "grant_type", SPAN_LIT(GRANT_DEVICE))) &&
		  is_ok(put_field(&form, "device_code", span_str(l->f.code))) &&
		  is_ok(put_field(&form, "client_id", span_str(l->f.client_id)));

	x.body = buf_span(&form);
	if (!ok)
		answer = FLOW_FAILED;
	else if (ask(l->f.token_url, buf_span(&l->issuer_ca), &x, true))
		answer = flow_take(&l->f, answer_of(&x));
	else
		flow_slower(&l->f);
	if (form.ptr != NULL)
		secret_wipe(form.ptr, form.cap);
	exchange_done(&x);
	return answer;
}

static bool
wait_for_person(struct login *l)
{
	enum flow_poll p = FLOW_AGAIN;

	while (p == FLOW_AGAIN) {
		struct timespec pause = { .tv_sec = (time_t)l->f.interval_s };

		if (now_s() + l->f.interval_s > l->f.until_s) {
			(void)cli_error("login", "the code has expired: begin anew");
			return false;
		}
		while (nanosleep(&pause, &pause) < 0 && errno == EINTR)
			;
		p = poll_once(l);
	}
	return p == FLOW_DONE;
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

static bool
exchange(struct login *l, struct session_file *k)
{
	auto_buf struct buf form = BUF_INIT(FORM_MAX);
	struct exchange x = {
		.method = "POST", .type = FORM_TYPE, .bearer = secret_borrow(&l->f.token)
	};
	char url[FLOW_URL_MAX];
	bool ok = is_ok(put_exchange(secret_borrow(&l->f.token), &form));

	(void)snprintf(url, sizeof(url), "%s/auth/token", l->f.url);
	x.body = buf_span(&form);
	ok = ok && ask(url, buf_span(&l->ca), &x, false) &&
	     flow_session(&l->f, answer_of(&x), now_s(), k);
	if (form.ptr != NULL)
		secret_wipe(form.ptr, form.cap);
	exchange_done(&x);
	return ok;
}

/* The service ends it; false after a message. */
static bool
end_session(const struct session_file *k)
{
	struct span token = span_of(k->token.ptr, k->token.len - 1);
	auto_buf struct buf ca = BUF_INIT(0), form = BUF_INIT(FORM_MAX);
	struct exchange x = { .method = "POST", .type = FORM_TYPE, .bearer = token };
	static struct flow f;
	char url[FLOW_URL_MAX];
	bool ok;

	if (!read_authorities(k->ca, &ca) || !is_ok(json_init(&f.d, &JSON_STRICT)))
		return false;
	(void)snprintf(url, sizeof(url), "%s/auth/revoke", k->url);
	ok = is_ok(buf_reserve(&form, FORM_MAX)) && is_ok(put_field(&form, "token", token));
	x.body = buf_span(&form);
	ok = ok && ask(url, buf_span(&ca), &x, false) && flow_revoked(&f, answer_of(&x), k->url);
	if (form.ptr != NULL)
		secret_wipe(form.ptr, form.cap);
	exchange_done(&x);
	json_done(&f.d);
	return ok;
}

static int
exchange_and_keep(struct login *l, struct session_file *k)
{
	struct status st;

	if (!exchange(l, k))
		return EXIT_FAILED;
	st = session_file_save(k);
	if (is_ok(st))
		return EXIT_DONE;
	(void)end_session(k);
	return cli_status("the session could not be kept", st);
}

/* The session of before, whose token nobody has any more. */
static void
end_former(const struct session_file *former)
{
	if (now_s() >= former->expires_s || end_session(former))
		return;
	(void)fprintf(stderr,
	    "The session of before could not be ended at %s; it ends by itself in %llu minutes.\n",
	    former->url, (unsigned long long)((former->expires_s - now_s() + 59) / 60));
}

/* From here on it is all or nothing: no session that nobody knows of is left behind. */
static int
finish(struct login *l)
{
	static const int keys[] = { SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGTSTP };
	auto_session_file struct session_file k = { .token = SECRET_NONE },
					      former = { .token = SECRET_NONE };
	bool was_in = is_ok(session_file_load(&former));
	sigset_t set, before;
	int rc;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		(void)sigaddset(&set, keys[i]);
	(void)sigprocmask(SIG_BLOCK, &set, &before);
	rc = exchange_and_keep(l, &k);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	if (rc == EXIT_DONE)
		(void)fprintf(stderr, "Signed in at %s for %llu minutes.\n", l->f.url,
		    (unsigned long long)((k.expires_s - now_s() + 59) / 60));
	if (rc == EXIT_DONE && was_in)
		end_former(&former);
	return rc;
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
	    !is_ok(span_to_cstr(span_str(url), l->f.url, sizeof(l->f.url)))) {
		(void)cli_error(url, "expects https://HOST[:PORT]");
		return false;
	}
	if (l->f.url[strlen(l->f.url) - 1] == '/')
		l->f.url[strlen(l->f.url) - 1] = '\0';
	if (realpath(file_of("SALLYPORT_CA_FILE"), l->f.ca_path) == NULL) {
		(void)cli_status(file_of("SALLYPORT_CA_FILE"), fail_errno());
		return false;
	}
	return read_authorities(l->f.ca_path, &l->ca) &&
	       read_authorities(file_of("SALLYPORT_ISSUER_CA_FILE"), &l->issuer_ca);
}

int
cmd_login(const struct invocation *inv)
{
	static struct login l = { .f = { .token = { NULL, 0, 0 } } };
	int rc = EXIT_FAILED;

	if (!is_ok(json_init(&l.f.d, &JSON_STRICT)))
		return cli_error("login", "out of memory");
	if (prepare(&l, inv) && ask_service(&l, inv->options[OPT_ISSUER]) && discover(&l) &&
	    begin(&l) && wait_for_person(&l))
		rc = finish(&l);
	secret_wipe(l.f.code, sizeof(l.f.code));
	secret_done(&l.f.token);
	buf_done(&l.ca);
	buf_done(&l.issuer_ca);
	json_done(&l.f.d);
	return rc;
}

int
cmd_logout(const struct invocation *inv)
{
	auto_session_file struct session_file k = { .token = SECRET_NONE };
	struct status st = session_file_load(&k);
	bool revoked = true;

	(void)inv;
	if (st.code == E_NOTFOUND)
		(void)is_ok(session_file_remove()); /* what a crash left */
	if (st.code == E_NOTFOUND)
		return cli_error("logout", "nobody has signed in");
	if (is_ok(st))
		revoked = end_session(&k);
	st = session_file_remove();
	if (!is_ok(st))
		return cli_status("the kept session", st);
	if (!revoked)
		return cli_error(
		    "logout", "the session is forgotten here, but could not be ended there");
	return EXIT_DONE;
}
