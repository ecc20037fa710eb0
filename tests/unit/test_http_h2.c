/* SPDX-License-Identifier: Apache-2.0 */
/* Requests from the fields of HTTP/2: what comes out, and what is refused how. */
#include "unit.h"

#include <http/h2_request.h>
#include <stdlib.h>

struct row {
	const char *fields; /* "name=value" a line */
	bool more;          /* a body follows */
	uint16_t status;
	bool bad; /* the target */
};

#define GET ":method=GET\n:scheme=https\n:authority=Localhost\n:path=/v1/models\n"
#define POST ":method=POST\n:scheme=https\n:authority=localhost\n:path=/v1/x?a=b\n"
#define TO(path) ":method=GET\n:scheme=https\n:authority=localhost\n:path=" path "\n"

static bool
feed(struct http_h2_request *q, const char *fields)
{
	bool ok = true;

	while (*fields != '\0') {
		const char *end = strchr(fields, '\n'), *eq = strchr(fields + 1, '=');

		assert_true(end != NULL && eq != NULL && eq < end);
		ok = http_h2_request_field(q, span_of(fields, (size_t)(eq - fields)),
		    span_of(eq + 1, (size_t)(end - eq) - 1));
		fields = end + 1;
	}
	return ok;
}

static struct http_h2_request *
fresh(void)
{
	const struct http_limits limits = { 64, 256, 6, 64, 1000 };
	struct http_h2_request *q = NULL;

	assert_int_equal(http_h2_request_new(&limits, &q).code, E_OK);
	return q;
}

static void
heads_are_judged(void **state)
{
	static const struct row rows[] = {
		{ GET, false, 0, false },
		{ GET "host=localhost\n", false, 0, false },
		{ GET "host=elsewhere\n", false, 0, true },
		{ GET "host=\n", false, 400, false },
		{ GET "host=localhost\nhost=localhost\n", false, 400, false },
		{ ":method=GET\n:scheme=https\n:path=/\nhost=a\n", false, 0, false },
		{ ":method=GET\n:scheme=https\n:path=/\n", false, 400, false },
		{ ":method=GET\n:scheme=https\n:authority=\n:path=/\n", false, 400, false },
		{ ":method=GET\n:scheme=https\n:authority=u@h\n:path=/\n", false, 400, false },
		{ ":method=GET\n:authority=a\n:path=/\n", false, 400, false },
		{ ":scheme=https\n:authority=a\n:path=/\n", false, 400, false },
		{ ":method=GET\n:scheme=https\n:authority=a\n", false, 400, false },
		{ ":method=GET\n:scheme=http\n:authority=a\n:path=/\n", false, 0, true },
		{ ":method=GET\n:scheme=HTTPS\n:authority=a\n:path=/\n", false, 0, false },
		{ ":method=GET\n:scheme=h:\n:authority=a\n:path=/\n", false, 400, false },
		{ ":method=G T\n:scheme=https\n:authority=a\n:path=/\n", false, 400, false },
		{ ":method=\n:scheme=https\n:authority=a\n:path=/\n", false, 400, false },
		{ GET ":path=/\n", false, 400, false },
		{ GET ":status=200\n", false, 400, false },
		{ GET ":protocol=websocket\n", false, 400, false },
		{ GET ":=x\n", false, 400, false },
		{ ":method=GET\nx=y\n:scheme=https\n:authority=a\n:path=/\n", false, 400, false },
		{ ":method=CONNECT\n:authority=a:443\n", false, 0, true },
		{ ":method=CONNECT\n", false, 400, false },
		{ ":method=CONNECT\n:authority=a:443\n:path=/\n", false, 400, false },
		/* targets: as in HTTP/1.1 */
		{ TO("/a%20b"), false, 0, false },
		{ TO("/a b"), false, 400, false },
		{ TO("/\x80"), false, 400, false },
		{ TO(""), false, 400, false },
		{ TO("x"), false, 400, false },
		{ TO("/%4"), false, 400, false },
		{ TO("/../x"), false, 0, true },
		{ TO("/%2e%2e/x"), false, 0, true },
		{ TO("/a%2fb"), false, 0, true },
		{ TO("/a%00b"), false, 0, true },
		{ TO("/%ff"), false, 0, true },
		{ TO("*"), false, 0, true },
		{ TO("https://localhost/"), false, 0, true },
		{ TO("/#x"), false, 400, false },
		/* fields */
		{ GET "X=y\n", false, 400, false },
		{ GET "a b=y\n", false, 400, false },
		{ GET "x= y\n", false, 400, false },
		{ GET "x=y \n", false, 400, false },
		{ GET "x=a\x01\n", false, 400, false },
		{ GET "x=a\rb\n", false, 400, false },
		{ GET "x=\n", false, 0, false },
		{ GET "x=\xc3\xa9\n", false, 0, false },
		{ GET "connection=close\n", false, 400, false },
		{ GET "keep-alive=1\n", false, 400, false },
		{ GET "proxy-connection=close\n", false, 400, false },
		{ GET "transfer-encoding=chunked\n", true, 400, false },
		{ GET "upgrade=h2c\n", false, 400, false },
		{ GET "te=trailers\n", false, 0, false },
		{ GET "te=gzip\n", false, 400, false },
		{ GET "cookie=a\ncookie=b\n", false, 0, false },
		/* bodies */
		{ POST, true, 0, false },
		{ POST "content-length=7\n", true, 0, false },
		{ POST "content-length=7\n", false, 400, false },
		{ POST "content-length=0\n", false, 0, false },
		{ POST "content-length=7\ncontent-length=7\n", true, 400, false },
		{ POST "content-length=-1\n", true, 400, false },
		{ POST "content-length=1001\n", true, 413, false },
		{ POST "content-length=99999999999999999999\n", true, 413, false },
		{ POST "expect=100-continue\n", true, 0, false },
		{ POST "expect=the-worst\n", true, 400, false },
		/* limits: a line of 64, 6 fields, 256 bytes of them */
		{ TO("/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), false, 0, false },
		{ TO("/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), false, 414, false },
		{ GET "a=\nb=\nc=\nd=\ne=\n", false, 0, false },
		{ GET "a=\nb=\nc=\nd=\ne=\nf=\n", false, 431, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct http_h2_request *q = fresh();
		uint16_t rc;

		assert_true(feed(q, rows[i].fields));
		rc = http_h2_request_head(q, !rows[i].more);
		if (rc != rows[i].status)
			print_error("row %zu: %s is %u\n", i, rows[i].fields, rc);
		assert_int_equal(rc, rows[i].status);
		if (rc == 0)
			assert_int_equal(http_h2_request_get(q)->target_bad, rows[i].bad);
		http_h2_request_free(q);
	}
}

static void
parts_are_told(void **state)
{
	struct http_h2_request *q = fresh();
	const struct http_request *r;
	struct span value;

	(void)state;
	assert_true(feed(q, ":method=POST\n:scheme=https\n:authority=LocalHost:8443\n"
			    ":path=/a%20b?c=%64\nhost=localhost:8443\nte=trailers\n"
			    "content-length=5\nexpect=100-continue\n"));
	assert_int_equal(http_h2_request_head(q, false), 0);
	r = http_h2_request_get(q);
	assert_true(span_eq_str(r->method, "POST"));
	assert_true(span_eq_str(r->path, "/a b"));
	assert_true(span_eq_str(r->query, "c=%64"));
	assert_true(span_eq_str(r->authority, "localhost:8443"));
	assert_int_equal(r->body, HTTP_BODY_LENGTH);
	assert_int_equal(r->content_length, 5);
	assert_true(r->expect_continue);
	assert_int_equal(r->field_count, 1);
	assert_int_equal(http_request_field(r, "content-length", &value).code, E_OK);
	http_h2_request_free(q);
}

static void
bodies_are_measured(void **state)
{
	struct http_h2_request *q = fresh();

	(void)state;
	assert_true(feed(q, POST "content-length=5\n"));
	assert_int_equal(http_h2_request_head(q, false), 0);
	assert_int_equal(http_h2_request_body(q, 3), 0);
	assert_int_equal(http_h2_request_body(q, 3), 400);
	assert_int_equal(http_h2_request_end(q), 400);
	http_h2_request_free(q);
	q = fresh();
	assert_true(feed(q, POST "content-length=5\n"));
	assert_int_equal(http_h2_request_head(q, false), 0);
	assert_int_equal(http_h2_request_body(q, 4), 0);
	assert_int_equal(http_h2_request_end(q), 400);
	http_h2_request_free(q);
	q = fresh();
	assert_true(feed(q, POST));
	assert_int_equal(http_h2_request_head(q, false), 0);
	assert_int_equal(http_h2_request_body(q, 1000), 0);
	assert_int_equal(http_h2_request_body(q, 1), 413);
	http_h2_request_free(q);
	q = fresh();
	assert_true(feed(q, POST "content-length=0\n"));
	assert_int_equal(http_h2_request_head(q, false), 0);
	assert_int_equal(http_h2_request_body(q, 1), 400);
	http_h2_request_free(q);
}

static void
trailers_are_checked(void **state)
{
	static const struct {
		const char *name, *value;
		uint16_t status;
	} rows[] = {
		{ "x-checksum", "1", 0 },
		{ "X", "1", 400 },
		{ ":path", "/", 400 },
		{ "content-length", "1", 400 },
		{ "authorization", "x", 400 },
		{ "x", "0123456789012345678901234567890123456789012345678901234567890", 431 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct http_h2_request *q = fresh();

		assert_true(feed(q, POST));
		assert_int_equal(http_h2_request_head(q, false), 0);
		assert_int_equal(
		    http_h2_request_trailer(q, span_str(rows[i].name), span_str(rows[i].value)),
		    rows[i].status);
		http_h2_request_free(q);
	}
}

/* Large heads are 431; absurd ones are told from them. */
static void
excess_is_noticed(void **state)
{
	struct http_h2_request *q = fresh();
	uint8_t value[100];
	int n = 0;

	(void)state;
	memset(value, 'x', sizeof(value));
	while (http_h2_request_field(q, SPAN_LIT("x"), span_of(value, sizeof(value))))
		n++;
	assert_int_equal(n, HTTP_H2_EXCESS * (64 + 256) / 133);
	assert_int_equal(http_h2_request_head(q, true), 431);
	http_h2_request_free(q);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heads_are_judged),
		cmocka_unit_test(parts_are_told),
		cmocka_unit_test(bodies_are_measured),
		cmocka_unit_test(trailers_are_checked),
		cmocka_unit_test(excess_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
