/* SPDX-License-Identifier: Apache-2.0 */
/* src/gateway/request.c: what waits for a good key, and what a bad one learns. */
#include "gateway_flow_rig.h"

static void
bodies_wait_for_the_key(void **state)
{
	struct client c;
	char text[1024];

	(void)state;
	peers.models = answer_42;
	(void)snprintf(text, sizeof(text),
	    "POST " CHAT_PATH " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
	    "Content-Type: application/json\r\nExpect: 100-continue\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n",
	    key);
	client_open(&c);
	client_send(&c, text);
	wait_for(&c, "100 Continue\r\n\r\n");
	assert_int_equal(peers.checks, 1);
	client_send(&c, "10\r\n{\"model\":\"demo\",\r\n");
	client_send(&c, "2c\r\n" MESSAGES "}\r\n0\r\n\r\n");
	wait_for(&c, "\"42\"");
	c.got.len = 0;
	/* An unknown key is told before its body comes, and the connection ends. */
	peers.check_error = ERROR_INVALID_KEY;
	client_send(&c, text);
	wait_for(&c, "HTTP/1.1 401 ");
	wait_eof(&c);
	assert_false(has(&c, "100 Continue"));
	assert_true(has(&c, "connection: close") || has(&c, "Connection: close"));
	client_close(&c);
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

/* Last: the worker takes nothing new afterwards. */
int
main(void)
{
	const struct CMUnitTest tests[] = {
		FLOW(tokens_go_to_the_authority),
		FLOW(malformed_keys_wait_for_no_body),
		FLOW(bodies_wait_for_the_key),
		FLOW(head_has_no_body),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
