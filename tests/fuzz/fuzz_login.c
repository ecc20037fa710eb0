/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever a service or a provider answers to `sallyport login` and `me`, and whatever lies where a
 * session is kept: what is taken can be shown on a terminal, stand in a header or a path, and be
 * waited for.
 *	byte 0: which answer; byte 1: its status; then the answer
 */
#include <flow.h>
#include <operate.h>
#include <remote.h>

#include <stdarg.h>
#include <stdlib.h>

#define NOW_S 1000000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint16_t statuses[] = { 200, 400, 401, 302, 204, 429, 500, 403 };

/* In the place of error.c: nothing is printed, all of it is formatted. */
int
cli_error(const char *what, const char *fmt, ...)
{
	char line[2048];
	va_list ap;

	(void)what;
	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	return EXIT_FAILED;
}

int
cli_status(const char *what, struct status st)
{
	return cli_error(what, "%s", status_text(st));
}

static void
expect(bool ok)
{
	if (!ok)
		abort();
}

static void
expect_text(const char *text, bool url)
{
	expect(text[0] != '\0' && (!url || strncmp(text, "https://", 8) == 0));
	for (; *text != '\0'; text++)
		expect(*text >= (url ? '!' : ' ') && *text <= '~');
}

static void
fuzz_choose(struct flow *f, struct flow_answer a)
{
	if (!flow_choose(f, a, a.body.len % 2 == 0 ? NULL : "https://idp"))
		return;
	expect(a.status == 200);
	expect_text(f->issuer, false);
	expect_text(f->client_id, false);
	expect_text(f->scope, false);
}

static void
fuzz_discover(struct flow *f, struct flow_answer a)
{
	(void)snprintf(f->issuer, sizeof(f->issuer), "https://idp");
	if (!flow_discover(f, a, "https://idp/x"))
		return;
	expect(a.status == 200);
	expect_text(f->device_url, true);
	expect_text(f->token_url, true);
}

static void
fuzz_begin(struct flow *f, struct flow_answer a)
{
	struct flow_prompt p;

	if (!flow_begin(f, a, NOW_S, &p))
		return;
	expect(a.status == 200);
	expect_text(p.uri, true);
	expect_text(p.code, false);
	expect_text(f->code, false);
	if (p.whole[0] != '\0')
		expect_text(p.whole, true);
	expect(f->interval_s > 0 && f->interval_s <= FLOW_WAIT_S_MAX);
	expect(f->until_s > NOW_S && f->until_s <= NOW_S + FLOW_WAIT_S_MAX);
}

static void
fuzz_take(struct flow *f, struct flow_answer a)
{
	f->interval_s = 7;
	expect((flow_take(f, a) == FLOW_DONE) == (f->token.len > 0));
	expect(f->token.len == 0 ||
	       (a.status == 200 && session_file_token_ok(secret_borrow(&f->token))));
	expect(f->interval_s >= 7 && f->interval_s <= 14);
}

/* What is taken is what would be read again. */
static void
check_kept(struct session_file *k)
{
	expect(k->token.len > 1 && k->token.ptr[k->token.len - 1] == 0);
	expect(session_file_token_ok(span_of(k->token.ptr, k->token.len - 1)));
	expect(strchr(k->url, '\n') == NULL && strchr(k->ca, '\n') == NULL);
}

static void
fuzz_session(struct flow *f, struct flow_answer a)
{
	struct session_file k = { .token = SECRET_NONE };

	if (flow_session(f, a, NOW_S, &k))
		check_kept(&k);
	else
		expect(k.token.len == 0);
	session_file_done(&k);
}

static void
fuzz_kept(struct flow *f, struct flow_answer a)
{
	struct session_file k = { .token = SECRET_NONE };

	(void)f;
	if (is_ok(session_file_parse(a.body, &k)))
		check_kept(&k);
	session_file_done(&k);
}

/* A name, and where a page goes on, become parts of paths. */
static void
fuzz_me(struct flow *f, struct flow_answer a)
{
	char name[REMOTE_NAME_MAX], next[REMOTE_NEXT_MAX], cursor[EXPORT_CURSOR_MAX];

	if (!is_ok(json_parse(&f->d, a.body)))
		return;
	if (remote_name(&f->d, "id", name))
		expect_text(name, false);
	expect(!remote_name(&f->d, "id", name) || strpbrk(name, " /?&#%") == NULL);
	if (remote_next(&f->d, next))
		expect_text(next, false);
	expect(!remote_next(&f->d, next) || strpbrk(next, " &#%") == NULL);
	if (is_ok(export_page(&f->d, cursor)))
		expect(strspn(cursor, "0123456789.") == strlen(cursor));
	print_cell(&f->d, 0, "id", 12);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const targets[])(struct flow *, struct flow_answer) = { fuzz_choose,
		fuzz_discover, fuzz_begin, fuzz_take, fuzz_session, fuzz_kept, fuzz_me };
	static struct flow f;
	static bool silent;

	if (!silent)
		silent = freopen("/dev/null", "w", stdout) != NULL;
	if (size < 2 || !is_ok(json_init(&f.d, &JSON_STRICT)))
		return 0;
	targets[data[0] % (sizeof(targets) / sizeof(targets[0]))](
	    &f, (struct flow_answer){ statuses[data[1] % 8], span_of(data + 2, size - 2) });
	secret_done(&f.token);
	json_done(&f.d);
	return 0;
}
