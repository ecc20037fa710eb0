/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/flow.c: each answer of a sign-in alone, with each member and status in turn. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include <flow.h>

#include <base/cleanup.h>

#define NOW 1760000000U
#define ISSUER "https://idp.example"
#define TOKEN "\"aaaa.bbbb.cccc\""

const struct command commands[] = { { NULL } };

static struct flow f;
static char *said;

enum what {
	CHOOSE,
	DISCOVER,
	BEGIN,
	TAKE,
	SESSION,
	REVOKED,
};

static struct flow_prompt prompt;
static struct session_file kept;

static bool
judge(enum what what, unsigned status, const char *body)
{
	const struct flow_answer a = { status, span_str(body) };

	switch (what) {
	case CHOOSE:
		return flow_choose(&f, a, NULL);
	case DISCOVER:
		return flow_discover(&f, a, ISSUER "/.well-known/openid-configuration");
	case BEGIN:
		return flow_begin(&f, a, NOW, &prompt);
	case TAKE:
		return flow_take(&f, a) == FLOW_DONE;
	case SESSION:
		return flow_session(&f, a, NOW, &kept);
	case REVOKED:
		return flow_revoked(&f, a, "x");
	}
	return false;
}

/* Is it taken? Else there is one message, which `said` is. */
static bool
taken(enum what what, unsigned status, const char *body)
{
	FILE *was = stderr;
	size_t len;
	bool ok;

	f = (struct flow){ .url = "https://here.example", .issuer = ISSUER, .interval_s = 5 };
	kept = (struct session_file){ .token = SECRET_NONE };
	assert_true(is_ok(json_init(&f.d, &JSON_STRICT)));
	free(said);
	stderr = open_memstream(&said, &len);
	ok = judge(what, status, body);
	(void)fclose(stderr);
	stderr = was;
	assert_true(ok == (said[0] == '\0') || what == TAKE);
	if (!ok)
		assert_int_equal(kept.token.len, 0);
	session_file_done(&kept);
	secret_done(&f.token);
	json_done(&f.d);
	return ok;
}

#define ONE(id, scope)                                                                         \
	"{\"issuers\":[{\"issuer\":\"" ISSUER "\",\"client_id\":\"" id "\",\"scope\":\"" scope \
	"\"}]}"
#define PAGES(device, token)                                                     \
	"{\"issuer\":\"" ISSUER "\",\"device_authorization_endpoint\":\"" device \
	"\",\"token_endpoint\":\"" token "\"}"
#define GRANT(expires, uri, more)                                                  \
	"{\"device_code\":\"d\",\"user_code\":\"U-1\",\"verification_uri\":\"" uri \
	"\",\"expires_in\":" expires more "}"
#define BEARER(token, expires) "{\"access_token\":" token ",\"expires_in\":" expires "}"

static const struct {
	enum what what;
	unsigned status;
	const char *body;
	bool taken;
} rows[] = {
	{ CHOOSE, 200, ONE("c", "openid"), true },
	{ CHOOSE, 401, ONE("c", "openid"), false },
	{ CHOOSE, 403, ONE("c", "openid"), false },
	{ CHOOSE, 204, ONE("c", "openid"), false },
	{ CHOOSE, 500, ONE("c", "openid"), false },
	{ CHOOSE, 200, ONE("", "openid"), false },
	{ CHOOSE, 200, ONE("c\\u007f", "openid"), false },
	{ CHOOSE, 200, ONE("c\\u00e9", "openid"), false },
	{ CHOOSE, 200, ONE("c\\n", "openid"), false },
	{ CHOOSE, 200, ONE("c", "openid\\u001b"), false },
	{ CHOOSE, 200, "{\"issuers\":[]}", false },
	{ CHOOSE, 200, "{\"issuers\":{}}", false },
	{ CHOOSE, 200, "[]", false },
	{ CHOOSE, 200, "", false },
	{ DISCOVER, 200, PAGES("https://idp.example/d", "https://idp.example/t"), true },
	{ DISCOVER, 404, PAGES("https://idp.example/d", "https://idp.example/t"), false },
	{ DISCOVER, 302, PAGES("https://idp.example/d", "https://idp.example/t"), false },
	{ DISCOVER, 200, PAGES("https://", "https://idp.example/t"), false },
	{ DISCOVER, 200, PAGES("https://idp.example/d", "https://"), false },
	{ DISCOVER, 200, PAGES("https://idp.example/a b", "https://idp.example/t"), false },
	{ DISCOVER, 200, PAGES("https://idp.example/d", "http://idp.example/t"), false },
	{ DISCOVER, 200, PAGES("", "https://idp.example/t"), false },
	{ BEGIN, 200, GRANT("600", "https://idp.example/v", ""), true },
	{ BEGIN, 400, GRANT("600", "https://idp.example/v", ""), false },
	{ BEGIN, 201, GRANT("600", "https://idp.example/v", ""), false },
	{ BEGIN, 200, GRANT("0", "https://idp.example/v", ""), false },
	{ BEGIN, 200, GRANT("-1", "https://idp.example/v", ""), false },
	{ BEGIN, 200, GRANT("4294967296", "https://idp.example/v", ""), false },
	{ BEGIN, 200, GRANT("\"600\"", "https://idp.example/v", ""), false },
	{ BEGIN, 200, GRANT("600", "http://idp.example/v", ""), false },
	{ BEGIN, 200,
	    GRANT("600", "https://idp.example/v",
		",\"verification_uri_complete\":\"https://idp.example/v?c=1\""),
	    true },
	{ BEGIN, 200,
	    GRANT(
		"600", "https://idp.example/v", ",\"verification_uri_complete\":\"javascript:x\""),
	    false },
	{ TAKE, 200, BEARER(TOKEN, "60"), true },
	{ TAKE, 201, BEARER(TOKEN, "60"), false },
	{ TAKE, 400, BEARER(TOKEN, "60"), false },
	{ TAKE, 200, BEARER("\"aaaa.bbbb\"", "60"), false },
	{ TAKE, 200, BEARER("\"aaaa.bbbb.cccc.dddd\"", "60"), false },
	{ TAKE, 200, BEARER("\"aaaa.bb bb.cccc\"", "60"), false },
	{ TAKE, 200, "{\"id_token\":" TOKEN "}", true },
	{ TAKE, 200, "{}", false },
	{ SESSION, 200, BEARER("\"sp_s\"", "60"), true },
	{ SESSION, 201, BEARER("\"sp_s\"", "60"), false },
	{ SESSION, 403, BEARER("\"sp_s\"", "60"), false },
	{ SESSION, 200, BEARER("\"\"", "60"), false },
	{ SESSION, 200, BEARER("\"a b\"", "60"), false },
	{ SESSION, 200, BEARER("\"sp_s\"", "\"60\""), false },
	{ SESSION, 200, BEARER("7", "60"), false },
	{ REVOKED, 200, "", true },
	{ REVOKED, 401, "", true },
	{ REVOKED, 500, "{\"error\":{\"message\":\"no\"}}", false },
	{ REVOKED, 204, "", false },
	{ REVOKED, 403, "{}", false },
};

static void
each_answer_is_judged(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (taken(rows[i].what, rows[i].status, rows[i].body) != rows[i].taken) {
			print_error("row %zu: %u %s: %s\n", i, rows[i].status, rows[i].body, said);
			_fail(__FILE__, __LINE__);
		}
	}
}

/* How long: from now, and never longer than is waited for. */
static void
times_begin_now(void **state)
{
	static const struct {
		const char *body;
		uint64_t s;
	} grants[] = { { GRANT("600", "https://idp.example/v", ""), 600 },
		{ GRANT("3600", "https://idp.example/v", ""), FLOW_WAIT_S_MAX },
		{ GRANT("4294967295", "https://idp.example/v", ""), FLOW_WAIT_S_MAX } };
	const struct flow_answer session = { 200, SPAN_LIT(BEARER("\"sp_s\"", "60")) };

	(void)state;
	for (size_t i = 0; i < COUNT(grants); i++) {
		assert_true(taken(BEGIN, 200, grants[i].body));
		assert_int_equal(f.until_s, NOW + grants[i].s);
	}
	assert_true(is_ok(json_init(&f.d, &JSON_STRICT)));
	kept = (struct session_file){ .token = SECRET_NONE };
	assert_true(flow_session(&f, session, NOW, &kept));
	assert_int_equal(kept.expires_s, NOW + 60);
	assert_string_equal(kept.url, "https://here.example");
	assert_string_equal((const char *)kept.token.ptr, "sp_s");
	session_file_done(&kept);
	json_done(&f.d);
}

static int
stop(void **state)
{
	(void)state;
	free(said);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_answer_is_judged),
		cmocka_unit_test(times_begin_now),
	};

	return cmocka_run_group_tests(tests, NULL, stop);
}
