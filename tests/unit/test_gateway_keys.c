/* SPDX-License-Identifier: Apache-2.0 */
/* src/gateway/request.c: what waits for a good key, and what a bad one learns. */
#include "gateway_flow_rig.h"

#include <h1.h>

/* A request that says it has a body, and waits. */
static void
announce(struct client *c, const char *with)
{
	char text[1024];

	c->got.len = 0;
	(void)snprintf(text, sizeof(text),
	    "POST " CHAT_PATH " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
	    "Content-Type: application/json\r\nExpect: 100-continue\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n",
	    with);
	client_send(c, text);
}

static void
finish(struct client *c)
{
	peers.calls = 0; /* the model says the same again */
	wait_for(c, "100 Continue\r\n\r\n");
	client_send(c, "10\r\n{\"model\":\"demo\",\r\n");
	client_send(c, "2c\r\n" MESSAGES "}\r\n0\r\n\r\n");
	wait_for(c, "\"42\"");
}

/* It is told before its body comes, and the connection ends. */
static void
expect_refused(struct client *c, const char *with)
{
	peers.check_error = ERROR_INVALID_KEY;
	announce(c, with);
	wait_for(c, "HTTP/1.1 401 ");
	wait_eof(c);
	assert_false(has(c, "100 Continue"));
	assert_true(has(c, "connection: close") || has(c, "Connection: close"));
	peers.check_error = ERROR_NONE;
	client_close(c);
	spin(20);
	assert_int_equal(g.nconns, 0);
}

static void
bodies_wait_for_the_key(void **state)
{
	char other[KEYTEXT_LEN + 1] = "";
	struct client c;

	(void)state;
	peers.models = answer_42;
	assert_true(is_ok(keytext_create((uint8_t *)other)));
	client_open(&c);
	announce(&c, key);
	finish(&c);
	assert_int_equal(peers.checks, 1);
	/* The same one is good for a while, another one is not. */
	announce(&c, key);
	finish(&c);
	assert_int_equal(peers.checks, 1);
	expect_refused(&c, other);
	assert_int_equal(peers.checks, 2);
	/* It is asked for on each connection, and again after a while. */
	client_open(&c);
	announce(&c, key);
	finish(&c);
	assert_int_equal(peers.checks, 3);
	h1_of(TAILQ_FIRST(&g.conns))->good_until_ms = gateway_now(&g);
	expect_refused(&c, key);
	assert_int_equal(peers.checks, 4);
}

/* A malformed key is refused without a look-up, but recorded, whether its body is here or not. */
/* The form of a token is enough to ask; whether it is good the authority says. */
static void
tokens_go_to_the_authority(void **state)
{
	static char text[CREDENTIAL_MAX + 512], token[CREDENTIAL_MAX + 2];

	(void)state;
	for (size_t len = CREDENTIAL_MAX - 1; len <= CREDENTIAL_MAX + 1; len++) {
		bool taken = len <= CREDENTIAL_MAX;
		struct client c;

		memset(token, 'A', len);
		token[len] = '\0';
		token[20] = token[40] = '.';
		(void)snprintf(text, sizeof(text),
		    "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
		    "%s\r\n\r\n",
		    token);
		peers.admit_error = taken ? ERROR_NONE : ERROR_INVALID_KEY;
		client_open(&c);
		client_send(&c, text);
		wait_for(&c, taken ? "HTTP/1.1 200 " : "HTTP/1.1 401 ");
		assert_int_equal(peers.admit.credential.len, taken ? len : 0);
		if (taken) { /* the next one on the connection has none of it */
			peers.admit_error = ERROR_INVALID_KEY;
			client_send(&c, "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n");
			wait_for(&c, "HTTP/1.1 401 ");
			assert_int_equal(peers.admit.credential.len, 0);
		}
		client_close(&c);
	}
}

static void
malformed_keys_wait_for_no_body(void **state)
{
	struct client c;

	(void)state;
	peers.admit_error = ERROR_INVALID_KEY;
	client_open(&c);
	client_send(&c,
	    "POST " CHAT_PATH " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\n"
	    "Content-Length: 5\r\n\r\n");
	wait_for(&c, "HTTP/1.1 401 ");
	wait_eof(&c);
	assert_int_equal(peers.checks, 0);
	assert_int_equal(peers.admits, 1);
	assert_int_equal(peers.failures, 0);
	client_close(&c);
	/* Nobody waits for the answer any more: nothing is left behind. */
	peers.hold_admit = true;
	client_open(&c);
	client_send(&c, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n");
	for (int i = 0; i < 400 && peers.admits < 2; i++)
		turn_loop();
	client_close(&c);
	peers.hold_admit = false;
	admit_now(peers.authority, peers.admit_id);
	spin(20);
	assert_int_equal(peers.admits, 2);
	assert_true(TAILQ_EMPTY(&g.active));
}

static void
head_has_no_body(void **state)
{
	struct client c;

	(void)state;
	peers.admit_error = ERROR_INVALID_KEY;
	client_open(&c);
	client_send(&c, "HEAD /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
			"HEAD /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
	wait_eof(&c);
	assert_false(has(&c, "{"));
	assert_int_equal(strncmp((char *)c.got.ptr, "HTTP/1.1 401 ", 13), 0);
	assert_non_null(memmem(c.got.ptr + 13, c.got.len - 13, "HTTP/1.1 401 ", 13));
	client_close(&c);
}

/* Who is to sign in has no key yet; whoever asks on and on is told to wait, and counted. */
static void
a_login_is_asked_for_as_often_as_one_may_fail(void **state)
{
	const uint8_t address[SOURCE_LEN] = { 0 };
	uint32_t limit = g.sources.limits.auth_failures_per_s;
	struct source *src = source_enter(&g.sources, address, uv_now(&loop));
	struct client c;

	(void)state;
	g.login.max = LOGIN_ANSWER_MAX;
	assert_true(is_ok(buf_put_str(&g.login, "{\"issuers\":[]}")));
	g.login_is_public = true;
	g.sources.limits.auth_failures_per_s = 3;
	assert_non_null(src);
	src->singles = 0; /* but for those of the tests before */
	src->singles_since_ms = uv_now(&loop);
	source_leave(src);
	client_open(&c);
	for (int i = 0; i < 4; i++) {
		c.got.len = 0;
		client_send(&c, "GET /auth/login HTTP/1.1\r\nHost: localhost\r\n\r\n");
		wait_for(&c, i < 3 ? "{\"issuers\":[]}" : "HTTP/1.1 429 ");
	}
	assert_true(has(&c, "etry-after: 1\r\n") || has(&c, "etry-After: 1\r\n"));
	spin(20);
	assert_int_equal(peers.failures, 1);
	assert_int_equal(peers.failures_counted, 1);
	assert_int_equal(peers.admits, 0);
	client_close(&c);
	g.login_is_public = false;
	buf_clear(&g.login);
	g.sources.limits.auth_failures_per_s = limit;
}

/* A token that was sent to be exchanged is in no memory of a request that is over. */
static void
no_token_is_left_behind(void **state)
{
	static const char secret[] = "planted-token-0123456789";
	struct request *r;
	struct client c;
	char text[1024], body[512];

	(void)state;
	(void)snprintf(body, sizeof(body),
	    "grant_type=urn%%3Aietf:params:oauth:grant-type:token-exchange&subject_token=%s"
	    "&subject_token_type=urn:ietf:params:oauth:token-type:jwt",
	    secret);
	(void)snprintf(text, sizeof(text),
	    "POST /auth/token HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
	    "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %zu\r\n\r\n%s",
	    key, strlen(body), body);
	client_open(&c);
	client_send(&c, text);
	wait_for(&c, "subject_token is not the credential");
	client_close(&c);
	r = TAILQ_FIRST(&g.spare);
	assert_non_null(r);
	assert_non_null(r->body.ptr);
	assert_null(memmem(r->body.ptr, r->body.cap, secret, strlen(secret)));
	assert_true(
	    r->arena.head == NULL || memmem(r->arena.head, 1024, secret, strlen(secret)) == NULL);
}

/* Whoever sends such forms is on record, and they count: the authority is told, then they learn. */
static void
bad_forms_are_refused_by_the_authority(void **state)
{
	static const struct {
		const char *path, *type, *body, *says;
	} cases[] = {
		{ "token", "x-www-form-urlencoded", "x=1",
		    "{\"error\":\"invalid_request\",\"error_description\":\"grant_type is" },
		{ "token", "json", "grant_type=x", "\"the form is not valid\"" },
		{ "token", "x-www-form-urlencoded", "grant_type=password",
		    "{\"error\":\"unsupported_grant_type\"" },
		{ "revoke", "x-www-form-urlencoded", "token_type_hint=x",
		    "{\"error\":\"invalid_request\"" },
	};
	char text[1024];
	struct client c;

	(void)state;
	client_open(&c);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (int over = 0; over < 2; over++) {
			(void)snprintf(text, sizeof(text),
			    "POST /auth/%s HTTP/1.1\r\nHost: localhost\r\n"
			    "Authorization: Bearer %s\r\nContent-Type: application/%s\r\n"
			    "Content-Length: %zu\r\n\r\n%s",
			    cases[i].path, key, cases[i].type, strlen(cases[i].body),
			    cases[i].body);
			peers.admit_error = over ? ERROR_RATE_LIMIT : ERROR_NONE;
			peers.admits = 0;
			c.got.len = 0;
			client_send(&c, text);
			wait_for(&c, over ? "\"code\":\"rate_limit_exceeded\"" : cases[i].says);
			assert_true(has(&c, over ? "HTTP/1.1 429 " : "HTTP/1.1 400 "));
			assert_int_equal(peers.admits, 1);
			assert_int_equal(peers.admit.refused, ERROR_INVALID_FIELD);
			assert_int_equal(peers.admit.endpoint, ENDPOINT_OTHER);
		}
	}
	client_close(&c);
	peers.admit_error = ERROR_NONE;
}

#define EXCHANGE "grant_type=urn:ietf:params:oauth:grant-type:token-exchange"
#define TYPE "&subject_token_type=urn:ietf:params:oauth:token-type:access_token"
#define UNSUPPORTED "{\"error\":\"unsupported_token_type\""
#define INVALID "{\"error\":\"invalid_request\""

/* OWN and THEIRS become keys. */
static void
put_keys(const char *text, const char *theirs, char *out)
{
	for (; *text != '\0'; text++) {
		const char *with = strncmp(text, "OWN", 3) == 0      ? key
				   : strncmp(text, "THEIRS", 6) == 0 ? theirs
								     : NULL;

		if (with == NULL) {
			*out++ = *text;
			continue;
		}
		memcpy(out, with, KEYTEXT_LEN);
		out += KEYTEXT_LEN;
		text += with == key ? 2 : 5;
	}
	*out = '\0';
}

static void
ask_form(struct client *c, const char *theirs, const char *path, const char *text)
{
	bool json = strchr(path, ' ') != NULL;
	char body[1024], all[2048];

	put_keys(text, theirs, body);
	(void)snprintf(all, sizeof(all),
	    "POST /auth/%.*s HTTP/1.1\r\nHost: Localhost:84\r\nAuthorization: Bearer %s\r\n"
	    "Content-Type: application/%s\r\nContent-Length: %zu\r\n\r\n%s",
	    (int)strcspn(path, " "), path, key, json ? "json" : "x-www-form-urlencoded",
	    strlen(body), body);
	peers.admits = peers.tokens = 0;
	peers.leaked_len = peers.leaked_home = 0;
	c->got.len = 0;
	client_send(c, all);
}

/* It would be told to administrators, or be taken for revoked: refused and reported. */
static void
keys_in_forms_are_refused(void **state)
{
	static const struct {
		const char *path, *body, *says;
		int reported; /* -1: their own */
		size_t home;  /* of these, the last: where a credential belongs */
	} rows[] = {
		{ "token", EXCHANGE TYPE "&subject_token=OWN", "200 OK", 0 },
		{ "token", EXCHANGE TYPE "&subject_token=THEIRS", "another key", 1, 1 },
		{ "token", EXCHANGE TYPE "&subject_token=THEIRS&scope=THEIRS", "none belongs", 1 },
		{ "token", EXCHANGE TYPE "&subject_token=THEIRS&scope=OWN", "none belongs", -2, 1 },
		{ "token", EXCHANGE TYPE "&subject_token=OWN%0A", INVALID, 0 },
		{ "token", EXCHANGE TYPE "&subject_token=OWN&scope=model:THEIRS", INVALID, 1 },
		{ "token", EXCHANGE TYPE "&subject_token=OWN&scope=a+model%3aOWN", INVALID, -1 },
		{ "token", EXCHANGE TYPE "&subject_token=OWN&expires_in=THEIRS", INVALID, 1 },
		{ "token", EXCHANGE TYPE "&subject_token=OWN&client_id=x&client_secret=OWN",
		    "200 OK", 0 },
		{ "token", EXCHANGE TYPE "&access_token=OWN&subject_token=OWN&token=OWN", "200 OK",
		    0 },
		{ "token", EXCHANGE TYPE "&subject_token=OWN&actor_token=OWN", INVALID, 0 },
		{ "token", EXCHANGE TYPE "&subject_token=OWN&client_secret=THEIRS", "another key",
		    1, 1 },
		{ "token", EXCHANGE TYPE "&subject_token=OWN&client_secret2=OWN", INVALID, -1 },
		{ "token", EXCHANGE TYPE "&subject_token=OWN&client_id=OWN", INVALID, -1 },
		{ "token", EXCHANGE "THEIRS" TYPE "&subject_token=OWN", INVALID, 1 },
		{ "token", EXCHANGE "&subject_token_type=THEIRS&subject_token=OWN", INVALID, 1 },
		{ "token", EXCHANGE TYPE "&requested_token_type=THEIRS&subject_token=OWN", INVALID,
		    1 },
		{ "token", EXCHANGE TYPE "&subject_token=OWN&x=THEIRS", INVALID, 1 },
		{ "token", EXCHANGE TYPE "&subject_token=OWN&THEIRS=x", INVALID, 1 },
		{ "token", "THEIRS", INVALID, 1 },
		{ "token", "x=%&x=%zz&THEIRS&", INVALID, 1 },
		{ "token", "scope=a%&scope=THEIRS&token=THEIRS", INVALID, 1 },
		{ "token", "scope=THEIRS&scope=OWN&scope=THEIRS", INVALID, 2 },
		{ "revoke", "token=OWN", UNSUPPORTED, 0 },
		{ "revoke", "token=THEIRS", UNSUPPORTED, 1, 1 },
		{ "revoke", "token=Bearer+THEIRS&token_type_hint=access_token", UNSUPPORTED, 1, 1 },
		{ "revoke", "token=a&token_type_hint=THEIRS", INVALID, 1 },
		{ "revoke", "token=a&token_type_hint=OWN", INVALID, -1 },
		{ "revoke", "token=a.b.c", "200 OK", 0 },
		{ "revoke", "token=a.b.c&client_id=x&client_secret=OWN", "200 OK", 0 },
		{ "revoke", "token=a.b.c&access_token=THEIRS", "another key", 1, 1 },
		{ "revoke json", "{\"token\":\"OWN\"}", UNSUPPORTED, 0 },
		{ "revoke json", "{\"token\":\"\\u0073THEIRS\"}", UNSUPPORTED, 1, 1 },
		{ "revoke json", "{\"x\":\"=\",\"token\":\"OWN\"}", UNSUPPORTED, 0 },
		{ "token json", "{\"scope\":\"OWN\"}", INVALID, 0 },
	};
	char theirs[KEYTEXT_LEN + 1] = "";
	struct client c;

	(void)state;
	assert_true(is_ok(keytext_create((uint8_t *)theirs)));
	client_open(&c);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool refused = strcmp(rows[i].says, "200 OK") != 0;
		const char *first = rows[i].reported < 0 ? key : theirs;

		ask_form(&c, theirs, rows[i].path, rows[i].body);
		wait_for(&c, rows[i].says);
		assert_true(has(&c, refused ? "HTTP/1.1 400 " : "HTTP/1.1 200 "));
		assert_false(has(&c, theirs + 20));
		assert_int_equal(peers.tokens, !refused);
		assert_int_equal(peers.admits, refused);
		assert_int_equal(peers.leaked_len, (size_t)abs(rows[i].reported) * KEYTEXT_LEN);
		assert_int_equal(peers.leaked_home, rows[i].home);
		if (rows[i].reported == 0)
			continue;
		assert_int_equal(peers.admit.refused, ERROR_LEAKED_KEY);
		assert_memory_equal(peers.leaked, first, KEYTEXT_LEN);
	}
	client_close(&c);
}

/* Too long to be a form: looked at all the same, as one text, and in no time. */
static void
long_forms_are_looked_at(void **state)
{
	static char body[1 << 20], all[(1 << 20) + 1024];
	char theirs[KEYTEXT_LEN + 1] = "";
	struct client c;

	(void)state;
	assert_true(is_ok(keytext_create((uint8_t *)theirs)));
	for (size_t i = 0; i + 1 < sizeof(body); i++)
		body[i] = i % 2 == 0 ? '=' : '&';
	for (size_t keys = 0; keys < 2; keys++) {
		memcpy(body + sizeof(body) / 2 - keys, keys == 0 ? key : theirs, KEYTEXT_LEN);
		peers.leaked_len = 0;
		(void)snprintf(all, sizeof(all),
		    "POST /auth/token HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
		    "Content-Type: application/x-www-form-urlencoded\r\n"
		    "Content-Length: %zu\r\n\r\n%s",
		    key, strlen(body), body);
		client_open(&c);
		client_send(&c, all);
		wait_for(&c, INVALID);
		assert_int_equal(peers.leaked_len, keys * KEYTEXT_LEN);
		client_close(&c);
	}
}

/* RFC 6749, 3.2; but where a token is to be used is not left out of account (RFC 8693, 2.1). */
static void
fields_that_say_nothing(void **state)
{
#define TARGET "{\"error\":\"invalid_target\""
	static const char *const rows[][2] = {
		{ "&client_id=a&client_id=b&client_secret=&x=%c3%a9%00&token=1&=", "200 OK" },
		{ "&scope=&actor_token=&requested_token_type=", "200 OK" },
		{ "&audience=sallyport&resource=https://localhost:84", "200 OK" },
		{ "&audience=https%3A%2F%2FLocalHost:84%2f", "200 OK" },
		{ "&audience=&resource=", "200 OK" },
		{ "&audience=other", TARGET },
		{ "&audience=sallyport&resource=https://localhost:85", TARGET },
		{ "&resource=https://localhost:84/v1", TARGET },
		{ "&resource=https://localhost:84//", TARGET },
		{ "&resource=http://localhost:84", TARGET },
		{ "&resource=https://", TARGET },
		{ "&audience=sallyport&audience=sallyport", INVALID },
		{ "&scope=&scope=", INVALID },
		{ "&actor_token=a", INVALID },
		{ "&x=%c", INVALID },
		{ "&x", INVALID },
		{ "&scope=%c3%a9", INVALID },
	};
	struct client c;

	(void)state;
	client_open(&c);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char body[512];

		(void)snprintf(body, sizeof(body), "%s", EXCHANGE TYPE "&subject_token=OWN");
		(void)strncat(body, rows[i][0], sizeof(body) - strlen(body) - 1);
		ask_form(&c, key, "token", body);
		wait_for(&c, rows[i][1]);
		assert_int_equal(peers.tokens, rows[i][1][0] != '{');
		assert_int_equal(peers.leaked_len, 0);
	}
	ask_form(&c, key, "revoke", "token=a.b.c&client_id=x&subject_token=&token_type_hint=");
	wait_for(&c, "200 OK");
	ask_form(&c, key, "revoke", "token=&client_id=x");
	wait_for(&c, INVALID);
	client_close(&c);
}

/* Last: the worker takes nothing new afterwards. */
int
main(void)
{
	const struct CMUnitTest tests[] = {
		FLOW(tokens_go_to_the_authority),
		FLOW(malformed_keys_wait_for_no_body),
		FLOW(bodies_wait_for_the_key),
		FLOW(head_has_no_body),
		FLOW(a_login_is_asked_for_as_often_as_one_may_fail),
		FLOW(no_token_is_left_behind),
		FLOW(bad_forms_are_refused_by_the_authority),
		FLOW(keys_in_forms_are_refused),
		FLOW(fields_that_say_nothing),
		FLOW(long_forms_are_looked_at),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
