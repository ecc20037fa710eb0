/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/cli/login.c, flow.c: a whole sign-in against a service and a provider that answer from a
 * script: network, pauses and the clock are the test's own. What was said is read from a file.
 */
#include "cli_rig.h"

#include <signal.h>

#include <flow.h>

#define ISSUERS \
	"{\"issuers\":[{\"issuer\":\"https://idp:2/x\",\"client_id\":\"t&1\",\"scope\":\"a b\"}]}"
#define DISCOVERY                                                                   \
	"{\"issuer\":\"https://idp:2/x\",\"token_endpoint\":\"https://t:3/token\"," \
	"\"device_authorization_endpoint\":\"https://d:4/device\"}"
#define DEVICE_REST \
	",\"user_code\":\"AB-CD\",\"verification_uri\":\"https://v/p\",\"expires_in\":600"
#define DEVICE "{\"device_code\":\"dev\"" DEVICE_REST "}"
#define PENDING "{\"error\":\"authorization_pending\"}"
#define TOKEN "{\"access_token\":\"a.b.c\"}"
#define SESSION "{\"access_token\":\"s.t.u\",\"expires_in\":900}"

static const struct step good[] = {
	{ "GET https://a:1 /auth/login", 200, ISSUERS },
	{ "GET https://idp:2 /x/.well-known/openid-configuration", 200, DISCOVERY },
	{ "POST https://d:4 /device", 200, DEVICE },
	{ "POST https://t:3 /token", 400, PENDING },
	{ "POST https://t:3 /token", 200, TOKEN },
	{ "POST https://a:1 /auth/token", 200, SESSION },
};
#define POLL 3

/* As the good one up to `step`, then what is given there, and the good one's rest behind it. */
static int
login_with(size_t step, size_t n, const struct step *other)
{
	const struct invocation inv = { .options = { [OPT_URL] = "https://a:1/" } };

	net.bounded = true;
	memset(net.steps, 0, sizeof(net.steps));
	memcpy(net.steps, good, step * sizeof(good[0]));
	for (size_t i = 0; i < n; i++) {
		net.steps[step + i] = other[i];
		if (other[i].where == NULL)
			net.steps[step + i].where = good[step < POLL ? step : POLL].where;
	}
	if (step >= POLL && step <= POLL + 1) /* then somebody says yes */
		memcpy(&net.steps[step + n], &good[POLL + 1], 2 * sizeof(good[0]));
	net.at = 0;
	return cmd_login(&inv);
}

static int
login_answered(size_t step, unsigned status, const char *body)
{
	int rc = login_with(step, 1, &(struct step){ good[step].where, status, body });

	assert_int_equal(access(file, F_OK), rc == EXIT_DONE ? 0 : -1);
	return rc;
}

/* Refused at that step, with this message, and nobody was asked anything afterwards. */
static void
assert_refused(size_t step, unsigned status, const char *body, const char *message)
{
	assert_int_equal(login_answered(step, status, body), EXIT_FAILED);
	assert_int_equal(net.at, step + 1);
	assert_said(message);
	for (const unsigned char *p = (const unsigned char *)said(); *p != '\0'; p++) {
		assert_true((*p >= ' ' || *p == '\n') && *p != 0x7f);
		assert_false(p[0] == 0xc2 && p[1] < 0xa0);
	}
}

/* ---- tests ---- */
static void
a_person_signs_in_and_out(void **state)
{
	const struct invocation none = { .nargs = 0 };
	auto_session_file struct session_file k = { .token = SECRET_NONE };

	(void)state;
	assert_int_equal(login_with(POLL, 1, &good[POLL]), EXIT_DONE);
	assert_int_equal(net.at, COUNT(good));
	assert_int_equal(net.slept_s, 10);
	assert_string_equal(net.asked[2], "client_id=t%261&scope=a%20b");
	assert_string_equal(net.asked[4],
	    "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code"
	    "&device_code=dev&client_id=t%261");
	assert_string_equal(net.asked[5],
	    "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token=a."
	    "b.c"
	    "&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token");
	assert_string_equal(net.bearer, "a.b.c");
	assert_said(
	    "Open\n\n    https://v/p\n\nand enter the code\n\n    AB-CD\n\nwithin 10 minutes");
	assert_said("Signed in at https://a:1 for 15 minutes.");
	assert_null(strstr(said(), "a.b.c"));
	assert_null(strstr(said(), "s.t.u"));
	assert_true(is_ok(session_file_load(&k)));
	assert_string_equal((const char *)k.token.ptr, "s.t.u");
	assert_string_equal(k.url, "https://a:1");
	assert_int_equal(k.expires_s, net.now_s + 900);
	net.at = 0;
	net.steps[0] = (struct step){ "POST https://a:1 /auth/revoke", 200, "" };
	assert_int_equal(cmd_logout(&none), EXIT_DONE);
	assert_string_equal(net.asked[0], "token=s.t.u");
	assert_string_equal(net.bearer, "s.t.u");
	assert_int_not_equal(access(file, F_OK), 0);
	assert_int_equal(cmd_logout(&none), EXIT_FAILED);
	assert_said("nobody has signed in");
}

static void
a_session_is_forgotten_whatever_the_service_says(void **state)
{
	const struct invocation none = { .nargs = 0 };
	static const struct {
		unsigned status;
		const char *body;
		int rc;
	} rows[] = { { 200, "{}", EXIT_DONE }, { 401, "", EXIT_DONE }, { 503, "{}", EXIT_FAILED },
		{ 302, "<a>", EXIT_FAILED }, { 0, NULL, EXIT_FAILED } };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(login_with(POLL, 1, &good[POLL]), EXIT_DONE);
		net.at = 0;
		net.steps[0] = (struct step){ "POST https://a:1 /auth/revoke", rows[i].status,
			rows[i].body };
		assert_int_equal(cmd_logout(&none), rows[i].rc);
		assert_int_not_equal(access(file, F_OK), 0);
	}
	assert_said("forgotten here, but could not be ended there");
}

/* Each step, each kind of answer that is none. */
static void
answers_that_are_none_end_it(void **state)
{
	static const struct {
		unsigned status;
		const char *body;
	} rows[] = {
		{ 200, "" },
		{ 200, "x" },
		{ 200, "[]" },
		{ 200, "{" },
		{ 200, "null" },
		{ 200, "{\"a\":1,\"a\":2}" },
		{ 200, "{\"A\":1,\"a\":2}" },
		{ 200, "{}" },
		{ 302, "" },
		{ 302, "{}" },
		{ 307, TOKEN },
		{ 400, "{}" },
		{ 404, "<html>" },
		{ 401, "{\"error\":{\"message\":\"\\u001b[2J\\u009b2J\"}}" },
		{ 403,
		    "{\"error\":\"\\u001b]0;x\\u0007\",\"error_description\":\"\\u009b\\u007f\"}" },
		{ 204, "" },
	};

	(void)state;
	for (size_t step = 0; step < COUNT(good); step++) {
		for (size_t i = 0; i < COUNT(rows); i++) {
			if (step != POLL)
				assert_refused(step, rows[i].status, rows[i].body, "sallyport: ");
		}
		if (step < POLL || step > POLL + 1)
			assert_refused(step, 500, "{\"error\":\"x\"}",
			    step == 0 ? "https://a:1: refused with status 500"
				      : "refused with status 500 x");
		if (step < POLL || step > POLL + 1)
			assert_refused(step, 0, NULL, "the exchange failed");
	}
}

static void
providers_are_chosen_with_care(void **state)
{
	(void)state;
	assert_refused(0, 401, "{}", "names no identity provider");
	assert_refused(0, 200, "{\"issuers\":[]}", "names no identity provider");
	assert_refused(0, 200, "{\"issuers\":{\"a\":{}}}", "names no identity provider");
	assert_refused(0, 200, "{\"issuers\":[{},{}]}", "several identity providers");
	assert_refused(0, 200, "{\"issuers\":[{}]}", "lacks issuer");
	assert_refused(0, 200, "{\"issuers\":[{\"issuer\":\"https://a\\u001b\"}]}", "lacks issuer");
	assert_refused(0, 200, "{\"issuers\":[{\"issuer\":\"https://a\",\"client_id\":7}]}",
	    "lacks client_id");
	/* Not by TLS: it is not asked at all. */
	assert_int_equal(login_answered(0, 200,
			     "{\"issuers\":[{\"issuer\":\"http://idp:2/x\",\"client_id\":\"t\","
			     "\"scope\":\"s\"}]}"),
	    EXIT_FAILED);
	assert_int_equal(net.at, 1);
	assert_said("http://idp:2/x/.well-known/openid-configuration: expects an https: URL");
}

static void
discovery_is_the_issuers_own(void **state)
{
#define OWN "{\"issuer\":\"https://idp:2/x\""
	(void)state;
	assert_refused(1, 200, "{\"issuer\":\"https://idp:2/x/\"}", "is of another issuer");
	assert_refused(1, 200, OWN "}", "lacks device_authorization_endpoint");
	assert_refused(1, 200, OWN ",\"device_authorization_endpoint\":\"http://d:4/device\"}",
	    "device_authorization_endpoint is not an https: URL");
	assert_refused(1, 200, OWN ",\"device_authorization_endpoint\":\"https://d:4/a b\"}",
	    "device_authorization_endpoint is not an https: URL");
	assert_refused(1, 200, OWN ",\"device_authorization_endpoint\":\"https://\"}",
	    "device_authorization_endpoint is not an https: URL");
	assert_refused(1, 200, OWN ",\"device_authorization_endpoint\":\"https://d:4/device\"}",
	    "lacks token_endpoint");
	assert_refused(1, 200,
	    OWN ",\"device_authorization_endpoint\":\"https://d:4/"
		"device\",\"token_endpoint\":\"ftp://t\"}",
	    "token_endpoint is not an https: URL");
}

/* What is shown on the terminal is printable, whole, and leads nowhere without TLS. */
static void
what_is_shown_is_safe(void **state)
{
	static const struct {
		const char *body, *message;
	} rows[] = {
		{ "{\"device_code\":\"d\"}", "lacks expires_in" },
		{ "{\"device_code\":\"d\",\"expires_in\":0}", "lacks expires_in" },
		{ "{\"device_code\":\"d\",\"expires_in\":-600}", "lacks expires_in" },
		{ "{\"device_code\":\"d\",\"expires_in\":1e30}", "lacks expires_in" },
		{ "{\"device_code\":\"d\",\"expires_in\":\"600\"}", "lacks expires_in" },
		{ "{\"user_code\":\"A\",\"verification_uri\":\"https://v\",\"expires_in\":9}",
		    "lacks device_code" },
		{ "{\"device_code\":\"d\\n\"" DEVICE_REST "}", "lacks device_code" },
		{ "{\"device_code\":\"\"" DEVICE_REST "}", "lacks device_code" },
		{ "{\"device_code\":\"d\",\"expires_in\":9}", "lacks user_code" },
		{ "{\"device_code\":\"d\",\"expires_in\":9,\"user_code\":\"A\\u001b[2J\"}",
		    "lacks user_code" },
		{ "{\"device_code\":\"d\",\"expires_in\":9,\"user_code\":\"A\\u009b2J\"}",
		    "lacks user_code" },
		{ "{\"device_code\":\"d\",\"expires_in\":9,\"user_code\":\"A\"}",
		    "lacks verification_uri" },
		{ "{\"device_code\":\"d\",\"expires_in\":9,\"user_code\":\"A\","
		  "\"verification_uri\":\"https://v\\u202e\"}",
		    "lacks verification_uri" },
		{ "{\"device_code\":\"d\",\"expires_in\":9,\"user_code\":\"A\","
		  "\"verification_uri\":\"http://v\"}",
		    "verification_uri is not an https: URL" },
		{ "{\"device_code\":\"d\"" DEVICE_REST
		  ",\"verification_uri_complete\":\"https://v\\u0007\"}",
		    "lacks verification_uri_complete" },
		{ "{\"device_code\":\"d\"" DEVICE_REST
		  ",\"verification_uri_complete\":\"javascript:x\"}",
		    "verification_uri_complete is not an https: URL" },
	};
	static char huge[8192];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_refused(2, 200, rows[i].body, rows[i].message);
	(void)snprintf(huge, sizeof(huge), "{\"device_code\":\"%05000d\"%s}", 0, DEVICE_REST);
	assert_refused(2, 200, huge, "lacks device_code");
	assert_null(strstr(said(), "enter the code"));
}

/* The pauses that an answer of the device's endpoint leads to, with one question after another. */
static void
intervals_have_bounds(void **state)
{
	static const struct {
		const char *interval;
		uint64_t slept_s;
	} rows[] = { { "0", 1 }, { "1", 1 }, { "7", 7 }, { "7.0", 7 }, { "61", 61 }, { "-1", 5 },
		{ "\"9\"", 5 }, { "null", 5 }, { "0.5", 5 }, { "599", 599 }, { "-1e30", 5 } };
	static const char *const longer[] = { "601", "3600", "3601", "18446744073709551616",
		"1e300" };
	char body[512];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		net.slept_s = 0;
		(void)snprintf(body, sizeof(body), "{\"device_code\":\"dev\"%s,\"interval\":%s}",
		    DEVICE_REST, rows[i].interval);
		assert_int_equal(login_with(2, 4,
				     (struct step[]){ { good[2].where, 200, body }, good[4],
					 good[5], { "", 0, NULL } }),
		    EXIT_DONE);
		assert_int_equal(net.slept_s, rows[i].slept_s);
		(void)unlink(file);
	}
	for (size_t i = 0; i < COUNT(longer); i++) {
		net.slept_s = 0;
		(void)snprintf(body, sizeof(body), "{\"device_code\":\"dev\"%s,\"interval\":%s}",
		    DEVICE_REST, longer[i]);
		assert_refused(2, 200, body, "the code has expired");
		assert_int_equal(net.slept_s, 0);
	}
}

static void
the_provider_is_asked_less_often(void **state)
{
	(void)state;
	/* RFC 8628 §3.5: five seconds more each time */
	assert_int_equal(
	    login_with(POLL, 3,
		(struct step[]){ { NULL, 400, PENDING }, { NULL, 400, "{\"error\":\"slow_down\"}" },
		    { NULL, 400, "{\"error\":\"slow_down\"}" } }),
	    EXIT_DONE);
	assert_int_equal(net.slept_s, 5 + 5 + 10 + 15);
	/* Where it does not answer: twice as long each time */
	net.slept_s = 0;
	(void)unlink(file);
	assert_int_equal(login_with(POLL, 4,
			     (struct step[]){ { NULL, 0, NULL }, { NULL, 503, "<html>" },
				 { NULL, 429, "" }, { NULL, 408, "{}" } }),
	    EXIT_DONE);
	assert_int_equal(net.slept_s, 5 + 10 + 20 + 40 + 80);
}

/* A code lives as long as the provider says, an hour at most; then it is over without a question.
 */
static void
a_code_expires(void **state)
{
	static const struct step away[10] = { { NULL, 0, NULL } };

	(void)state;
	assert_int_equal(login_with(POLL, COUNT(away), away), EXIT_FAILED);
	assert_said("the code has expired");
	assert_true(net.slept_s <= 600);
	net.slept_s = 0;
	assert_int_equal(login_with(2, 2,
			     (struct step[]){ { good[2].where, 200,
						  "{\"device_code\":\"d\",\"user_code\":\"A\","
						  "\"verification_uri\":\"https://v\","
						  "\"expires_in\":4294967295,\"interval\":3600}" },
				 good[POLL] }),
	    EXIT_FAILED);
	assert_int_equal(net.slept_s, 3600);
	assert_int_equal(net.at, POLL + 1);
}

static void
refusals_are_told(void **state)
{
	static const struct {
		unsigned status;
		const char *body, *message;
	} rows[] = {
		{ 400, "{\"error\":\"expired_token\"}", "the code has expired" },
		{ 400, "{\"error\":\"access_denied\"}", "it was refused" },
		{ 400, "{\"error\":\"invalid_client\",\"error_description\":\"who?\"}",
		    "refused with status 400 invalid_client who?" },
		{ 400, "{\"error\":[\"authorization_pending\"]}", "refused with status 400" },
		{ 302, "{\"access_token\":\"a.b.c\"}", "refused with status 302" },
		{ 400, "{\"access_token\":\"a.b.c\"}", "refused with status 400" },
		{ 400, "<html>", "is not JSON" },
		{ 200, "{\"access_token\":\"opaque\"}", "gave no signed token" },
		{ 200, "{\"access_token\":\"a.b.c.d\"}", "gave no signed token" },
		{ 200, "{\"access_token\":\"a.b\\r\\nX: y.c\"}", "gave no signed token" },
		{ 200, "{\"access_token\":\"a.b c.d\"}", "gave no signed token" },
		{ 200, "{\"access_token\":[\"a.b.c\"]}", "gave no signed token" },
		/* pending, but with 200: no token, no success */
		{ 200, PENDING, "gave no signed token" },
	};
	static char huge[SESSION_FILE_TOKEN_MAX + 64];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_refused(POLL + 1, rows[i].status, rows[i].body, rows[i].message);
	(void)snprintf(
	    huge, sizeof(huge), "{\"access_token\":\"a.b.%0*d\"}", SESSION_FILE_TOKEN_MAX - 3, 0);
	assert_refused(POLL + 1, 200, huge, "gave no signed token");
}

static void
an_id_token_will_do(void **state)
{
	(void)state;
	assert_int_equal(
	    login_with(POLL, 3,
		(struct step[]){
		    { NULL, 200, "{\"access_token\":\"opaque\",\"id_token\":\"d.e.f\"}" }, good[5],
		    { "", 0, NULL } }),
	    EXIT_DONE);
	assert_string_equal(net.bearer, "d.e.f");
}

static void
a_session_is_whole_or_none(void **state)
{
	static const char *const rows[] = { "{\"expires_in\":9}", "{\"access_token\":\"s\"}",
		"{\"access_token\":\"\",\"expires_in\":9}",
		"{\"access_token\":\"a\\nb\",\"expires_in\":9}",
		"{\"access_token\":\"a b\",\"expires_in\":9}",
		"{\"access_token\":7,\"expires_in\":9}",
		"{\"access_token\":\"s\",\"expires_in\":-1}",
		"{\"access_token\":\"s\",\"expires_in\":1e30}",
		"{\"access_token\":\"s\",\"expires_in\":9,\"expires_in\":10}" };
	static char huge[SESSION_FILE_TOKEN_MAX + 64];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_refused(
		    5, 200, rows[i], i < COUNT(rows) - 1 ? "is no session" : "is not JSON");
	(void)snprintf(huge, sizeof(huge), "{\"access_token\":\"%0*d\",\"expires_in\":9}",
	    SESSION_FILE_TOKEN_MAX + 1, 0);
	assert_refused(5, 200, huge, "is no session");
}

/* No session that nobody knows of: one that cannot be kept is ended. */
static void
what_cannot_be_kept_is_ended(void **state)
{
	char dir[96];
	sigset_t now;

	(void)state;
	(void)snprintf(dir, sizeof(dir), "%s/.config", home);
	assert_true(close(creat(dir, 0600)) == 0); /* no folder */
	assert_int_equal(
	    login_with(POLL + 2, 2,
		(struct step[]){ good[5], { "POST https://a:1 /auth/revoke", 200, "{}" } }),
	    EXIT_FAILED);
	assert_int_equal(net.at, 7);
	assert_string_equal(net.asked[6], "token=s.t.u");
	assert_said("the session could not be kept");
	assert_null(strstr(said(), "Signed in"));
	assert_int_equal(sigprocmask(SIG_BLOCK, NULL, &now), 0);
	assert_false(sigismember(&now, SIGINT));
}

/* Nor one of before that nobody would end: where it cannot be, that is said. */
static void
the_one_before_is_ended(void **state)
{
	static const struct step fresh = { "POST https://a:1 /auth/token", 200,
		"{\"access_token\":\"x.y.z\",\"expires_in\":900}" };
	auto_session_file struct session_file k = { .token = SECRET_NONE };

	(void)state;
	assert_int_equal(login_with(POLL, 1, &good[POLL]), EXIT_DONE);
	assert_int_equal(
	    login_with(POLL + 2, 2,
		(struct step[]){ fresh, { "POST https://a:1 /auth/revoke", 200, "{}" } }),
	    EXIT_DONE);
	assert_int_equal(net.at, COUNT(good) + 1);
	assert_string_equal(net.asked[6], "token=s.t.u");
	assert_string_equal(net.bearer, "s.t.u");
	assert_true(is_ok(session_file_load(&k)));
	assert_string_equal((const char *)k.token.ptr, "x.y.z");
	assert_null(strstr(said(), "could not be ended"));
	assert_int_equal(
	    login_with(POLL + 2, 2,
		(struct step[]){ good[5], { "POST https://a:1 /auth/revoke", 0, NULL } }),
	    EXIT_DONE);
	assert_said("could not be ended at https://a:1; it ends by itself in 15 minutes");
	net.now_s += 900; /* it is over: nobody is asked */
	assert_int_equal(login_with(POLL + 2, 1, &fresh), EXIT_DONE);
	assert_int_equal(net.at, COUNT(good));
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = {
		T(a_person_signs_in_and_out),
		T(a_session_is_forgotten_whatever_the_service_says),
		T(answers_that_are_none_end_it),
		T(providers_are_chosen_with_care),
		T(discovery_is_the_issuers_own),
		T(what_is_shown_is_safe),
		T(intervals_have_bounds),
		T(the_provider_is_asked_less_often),
		T(a_code_expires),
		T(refusals_are_told),
		T(an_id_token_will_do),
		T(a_session_is_whole_or_none),
		T(what_cannot_be_kept_is_ended),
		T(the_one_before_is_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
