/* SPDX-License-Identifier: Apache-2.0 */
/* lib/http: what is written is what was meant, and parses back. */
#include "unit.h"

#include <http/write.h>

#include "test_http.h"

#define S(s) SPAN_LIT(s)

static void
responses_are_written(void **state)
{
	auto_buf struct buf b = BUF_INIT(4096), log = BUF_INIT(4096);

	(void)state;
	assert_true(is_ok(http_put_status(&b, 200)));
	assert_true(is_ok(http_put_date(&b, 784111777ULL * 1000000000ULL)));
	assert_true(is_ok(http_put_field(&b, S("content-type"), S("application/json"))));
	assert_true(is_ok(http_put_chunked(&b)));
	assert_true(is_ok(http_put_close(&b)));
	assert_true(is_ok(http_put_end(&b)));
	assert_true(is_ok(http_put_chunk(&b, S("hello, world!"))));
	assert_true(is_ok(http_put_chunk(&b, SPAN_EMPTY)));
	assert_true(is_ok(http_put_chunk(&b, S("x"))));
	assert_true(is_ok(http_put_chunk_end(&b)));
	assert_true(span_eq_str(buf_span(&b), "HTTP/1.1 200 OK\r\n"
					      "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
					      "content-type: application/json\r\n"
					      "transfer-encoding: chunked\r\n"
					      "connection: close\r\n"
					      "\r\n"
					      "d\r\nhello, world!\r\n1\r\nx\r\n0\r\n\r\n"));
	http_log_responses(NULL, false, buf_span(&b), (struct cuts){ 0 }, &log);
	assert_true(
	    span_eq_str(buf_span(&log), "<200 stream 0 close; date=Sun, 06 Nov 1994 08:49:37 GMT; "
					"content-type=application/json>hello, world!x.!502"));
}

static void
requests_are_written(void **state)
{
	auto_buf struct buf b = BUF_INIT(4096), log = BUF_INIT(4096);

	(void)state;
	assert_true(is_ok(http_put_request(&b, S("POST"), S("/v1/x?y=%20"), S("api.example:443"))));
	assert_true(is_ok(http_put_length(&b, 2)));
	assert_true(is_ok(http_put_secret_open(&b, S("authorization"), S("Bearer "))));
	assert_true(is_ok(buf_put_str(&b, "sesame"))); /* stands for the gathered write */
	assert_true(is_ok(buf_put_span(&b, HTTP_SECRET_TAIL)));
	assert_true(is_ok(buf_put_str(&b, "{}")));
	http_log_requests(NULL, buf_span(&b), (struct cuts){ 0 }, &log);
	assert_true(span_eq_str(buf_span(&log),
	    "<POST /v1/x?y=%20 api.example:443 length 2; content-length=2; "
	    "authorization=Bearer sesame>{}."));
}

static void
what_breaks_a_message_is_refused(void **state)
{
	static const struct {
		struct span name, value;
	} fields[] = {
		{ S("x"), S("a\r\nb: c") },
		{ S("x"), S("a\n") },
		{ S("x"), S("a\r") },
		{ S("x"), S("a\x00") },
		{ S("x"), S("a\x1b[0m") },
		{ S("x"), S("\x7f") },
		{ S("x"), S(" a") },
		{ S("x"), S("a\t") },
		{ S(""), S("a") },
		{ S("x:"), S("a") },
		{ S("x y"), S("a") },
		{ S("x\r\n"), S("a") },
	};
	static const struct {
		struct span method, target, authority;
	} requests[] = {
		{ S("GE T"), S("/"), S("h") },
		{ S(""), S("/"), S("h") },
		{ S("GET"), S(""), S("h") },
		{ S("GET"), S("x"), S("h") },
		{ S("GET"), S("/ HTTP/1.1\r\nx: y"), S("h") },
		{ S("GET"), S("/a b"), S("h") },
		{ S("GET"), S("/#"), S("h") },
		{ S("GET"), S("/"), S("") },
		{ S("GET"), S("/"), S("h\r\nx: y") },
		{ S("GET"), S("/"), S("u@h") },
	};
	auto_buf struct buf b = BUF_INIT(4096);

	(void)state;
	for (size_t i = 0; i < COUNT(fields); i++)
		assert_int_equal(
		    http_put_field(&b, fields[i].name, fields[i].value).code, E_SYNTAX);
	for (size_t i = 0; i < COUNT(requests); i++)
		assert_int_equal(http_put_request(&b, requests[i].method, requests[i].target,
				     requests[i].authority)
				     .code,
		    E_SYNTAX);
	assert_int_equal(http_put_secret_open(&b, S("x"), S("a\r\n")).code, E_SYNTAX);
	assert_int_equal(http_put_status(&b, 299).code, E_RANGE);
	assert_int_equal(http_put_status(&b, 65535).code, E_RANGE);
	assert_int_equal(b.len, 0);
}

static void
a_full_buf_stays_as_it_was(void **state)
{
	(void)state;
	for (size_t max = 3; max < 30; max++) {
		auto_buf struct buf b = BUF_INIT(max);

		assert_true(is_ok(buf_put_str(&b, "abc")));
		assert_int_equal(
		    http_put_request(&b, S("GET"), S("/aaaaaaaaa"), S("h")).code, E_FULL);
		assert_int_equal(http_put_field(&b, S("name"), S("a value of twenty-.")).code,
		    max < 28 + 3 ? E_FULL : E_OK);
		assert_int_equal(
		    http_put_chunk(&b, S("012345678901234567890123456789")).code, E_FULL);
		assert_true(span_eq_str(buf_span(&b), "abc"));
	}
}

static void
dates_are_right(void **state)
{
	static const struct {
		uint64_t unix_s;
		const char *want;
	} rows[] = {
		{ 0, "date: Thu, 01 Jan 1970 00:00:00 GMT\r\n" },
		{ 951782400, "date: Tue, 29 Feb 2000 00:00:00 GMT\r\n" },
		{ 951868799, "date: Tue, 29 Feb 2000 23:59:59 GMT\r\n" },
		{ 1709164800, "date: Thu, 29 Feb 2024 00:00:00 GMT\r\n" },
		{ 1735689599, "date: Tue, 31 Dec 2024 23:59:59 GMT\r\n" },
		{ 1735689600, "date: Wed, 01 Jan 2025 00:00:00 GMT\r\n" },
		{ 4102444800, "date: Fri, 01 Jan 2100 00:00:00 GMT\r\n" },
		{ 4107542400, "date: Mon, 01 Mar 2100 00:00:00 GMT\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_buf struct buf b = BUF_INIT(256);

		assert_true(is_ok(http_put_date(&b, rows[i].unix_s * 1000000000ULL + 5)));
		assert_true(span_eq_str(buf_span(&b), rows[i].want));
	}
}

static void
positions_are_encoded(void **state)
{
	auto_buf struct buf b = BUF_INIT(256);
	char line[HTTP_CHUNK_LINE_LEN_MAX];

	(void)state;
	assert_true(is_ok(http_put_encoded(&b, S("aZ9-._~/../ \r\n?#%\xff"))));
	assert_true(span_eq_str(buf_span(&b), "aZ9-._~%2F..%2F%20%0D%0A%3F%23%25%FF"));
	assert_true(span_eq_str(span_of(line, http_chunk_line(0, line)), "0\r\n"));
	assert_true(span_eq_str(span_of(line, http_chunk_line(0x10a0, line)), "10a0\r\n"));
	assert_true(
	    span_eq_str(span_of(line, http_chunk_line(SIZE_MAX, line)), "ffffffffffffffff\r\n"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(responses_are_written),
		cmocka_unit_test(requests_are_written),
		cmocka_unit_test(what_breaks_a_message_is_refused),
		cmocka_unit_test(a_full_buf_stays_as_it_was),
		cmocka_unit_test(dates_are_right),
		cmocka_unit_test(positions_are_encoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
