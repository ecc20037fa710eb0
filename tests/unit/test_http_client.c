/* SPDX-License-Identifier: Apache-2.0 */
/* src/cli/http_client.c: one exchange with a peer that says too much, too little, or too slowly. */
#include "unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cli.h>
#include <http_client.h>

#include <base/cleanup.h>
#include <base/clock.h>

const struct command commands[] = { { NULL } };

static int peer = -1;

/* A channel whose peer has said this already. */
static struct channel
channel_said(const char *text)
{
	int pair[2], room = 1 << 20;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
	peer = pair[1];
	assert_int_equal(write(peer, text, strlen(text)), strlen(text));
	return (struct channel){ .fd = pair[0], .timeout_ms = 20000 };
}

static struct status
run(struct channel *c, struct exchange *x)
{
	struct status st;

	x->method = "GET";
	x->target = "/";
	x->authority = "a:1";
	st = exchange_run(c, x);
	exchange_done(x);
	(void)close(peer);
	channel_close(c);
	return st;
}

static void
answers_have_a_size(void **state)
{
	static char text[4096];
	struct exchange x = { .answer_max = 1000 };
	struct channel c;

	(void)state;
	for (int len = 1000; len <= 1001; len++) {
		(void)snprintf(text, sizeof(text),
		    "HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%0*d", len, len, 0);
		c = channel_said(text);
		assert_int_equal(run(&c, &x).code, len == 1000 ? E_OK : E_FULL);
	}
	c = channel_said("HTTP/1.1 302 Found\r\nlocation: https://b/\r\ncontent-length: 0\r\n\r\n");
	assert_true(is_ok(run(&c, &x))); /* and nobody goes there */
	assert_int_equal(x.status, 302);
}

/* Bytes that come one by one, or for nothing, are not waited for without an end. */
static void
answers_have_a_time(void **state)
{
	struct exchange x = { .answer_max = 1000 };
	uint64_t begun = clock_mono_ns();
	struct channel c = channel_said("HTTP/1.1 200 OK\r\nx: ");

	(void)state;
	c.until_ns = begun + 200 * NS_PER_MS;
	assert_int_equal(run(&c, &x).code, E_TIMEOUT);
	assert_true(clock_mono_ns() - begun >= 190 * NS_PER_MS);
	assert_true(clock_mono_ns() - begun < 15 * NS_PER_S);
	c = channel_said("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
	c.until_ns = 1; /* it is all there, but late */
	assert_int_equal(run(&c, &x).code, E_TIMEOUT);
	c = channel_said("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
	c.until_ns = clock_mono_ns() + 60 * NS_PER_S;
	assert_true(is_ok(run(&c, &x)));
}

/* A token is one word of one field. */
static void
a_bearer_begins_no_field(void **state)
{
	static const struct {
		const char *bearer;
		enum code code;
	} rows[] = { { "a.b.c", E_OK }, { "~!", E_OK }, { "a\r\nx: y", E_SYNTAX },
		{ "a b", E_SYNTAX }, { "a\n", E_SYNTAX }, { "\x7f", E_SYNTAX },
		{ "\xc2\x80", E_SYNTAX } };
	char sent[512];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct channel c = channel_said("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
		struct exchange x = { .bearer = span_str(rows[i].bearer) };
		int watch = fcntl(peer, F_DUPFD_CLOEXEC, 0);
		ssize_t n;

		assert_int_equal(run(&c, &x).code, rows[i].code);
		n = recv(watch, sent, sizeof(sent), 0);
		assert_true(rows[i].code == E_OK ? n > 0 : n <= 0); /* nothing left this host */
		(void)close(watch);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_have_a_size),
		cmocka_unit_test(answers_have_a_time),
		cmocka_unit_test(a_bearer_begins_no_field),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
