/* SPDX-License-Identifier: Apache-2.0 */
/* lib/http: responses of upstreams, hostile and good, each in every split. */
#include "unit.h"

#include "test_http.h"

#define R "HTTP/1.1 200 OK\r\n"
#define E "\r\n"
#define TE "Transfer-Encoding: chunked\r\n"
#define CL(n) "Content-Length: " n "\r\n"
#define S(s) SPAN_LIT(s)

struct row {
	struct span in;
	const char *want; /* ends with what the end of the connection means */
	bool head;        /* answer to HEAD */
};

static void
assert_log(const struct http_limits *limits, const struct row *row, struct cuts cuts)
{
	auto_buf struct buf log = BUF_INIT(1U << 20);

	http_log_responses(limits, row->head, row->in, cuts, &log);
	if (span_eq_str(buf_span(&log), row->want))
		return;
	print_error("input '%.*s'\ngot '%.*s', want '%s'\n", SPAN_FMT(row->in),
	    SPAN_FMT(buf_span(&log)), row->want);
	_fail(__FILE__, __LINE__);
}

static void
assert_rows(const struct http_limits *limits, const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint8_t one = 0;

		assert_log(limits, &rows[i], (struct cuts){ 0 });
		assert_log(limits, &rows[i], (struct cuts){ &one, 1, 0 });
		for (size_t at = 1; at < rows[i].in.len && at < 256; at++) {
			uint8_t two[] = { (uint8_t)(at - 1), 255, 255, 255 };

			assert_log(limits, &rows[i], (struct cuts){ two, sizeof(two), 0 });
		}
	}
}

/* After a whole message the next one is awaited: the connection's end is then "!502". */
static void
good_responses_are_understood(void **state)
{
	static const struct row rows[] = {
		{ S(R CL("2") E "hi"), "<200 length 2; content-length=2>hi.!502", false },
		{ S("HTTP/1.1 200\r\n" CL("0") E), "<200 none 0; content-length=0>.!502", false },
		{ S("HTTP/1.1 200 \r\n" CL("0") E), "<200 none 0; content-length=0>.!502", false },
		{ S("HTTP/1.1 429 \xc3\xa9\tx\r\n" CL("0") E),
		    "<429 none 0; content-length=0>.!502", false },
		{ S(R TE E "2\r\nhi\r\n0\r\n\r\n"), "<200 stream 0>hi.!502", false },
		{ S(R TE E "2;a=\"b\"\r\nhi\r\n0 \r\nX: y\r\n\r\n"), "<200 stream 0>hi.!502",
		    false },
		{ S(R "Connection: close\r\n" E "till the end"),
		    "<200 stream 0 close>till the end.", false },
		{ S("HTTP/1.0 200 OK\r\n" CL("2") E "hi"),
		    "<200 length 2 close; content-length=2>hi.!502", false },
		{ S("HTTP/1.0 200 OK\r\n" E "hi"), "<200 stream 0 close>hi.", false },
		{ S("HTTP/1.1 204 No Content\r\n" E), "<204 none 0>.!502", false },
		{ S("HTTP/1.1 304 Not Modified\r\n" CL("9") E),
		    "<304 none 0; content-length=9>.!502", false },
		{ S(R CL("9") E), "<200 none 0; content-length=9>.!502", true },
		{ S("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" R CL("1") E
		      "a"),
		    "<200 length 1; content-length=1>a.!502", false },
		{ S(R CL("1") E "a" R CL("1") E "b"),
		    "<200 length 1; content-length=1>a.<200 length 1; content-length=1>b.!502",
		    false },
	};

	(void)state;
	assert_rows(NULL, rows, COUNT(rows));
}

static void
hostile_responses_are_refused(void **state)
{
#define I "HTTP/1.1 102 Processing\r\n\r\n"
	static const struct row rows[] = {
		{ S(""), "!502", false },
		{ S("\r\n" R CL("0") E), "!502", false },
		{ S("HTTP/2 200 OK\r\n" E), "!502", false },
		{ S("HTTP/1.2 200 OK\r\n" E), "!502", false },
		{ S("ICY 200 OK\r\n" E), "!502", false },
		{ S("HTTP/1.1  200 OK\r\n" E), "!502", false },
		{ S("HTTP/1.1 20 OK\r\n" E), "!502", false },
		{ S("HTTP/1.1 2000 OK\r\n" E), "!502", false },
		{ S("HTTP/1.1 099 OK\r\n" E), "!502", false },
		{ S("HTTP/1.1 600 OK\r\n" E), "!502", false },
		{ S("HTTP/1.1 -20 OK\r\n" E), "!502", false },
		{ S("HTTP/1.1 200\tOK\r\n" E), "!502", false },
		{ S("HTTP/1.1 200 OK\n\n"), "!502", false },
		{ S("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n" E), "!502", false },
		{ S(I I I I I I I I I R CL("0") E), "!502", false },
		{ S(R CL("1") TE E "a"), "!502", false },
		{ S(R CL("1") CL("1") E "a"), "!502", false },
		{ S(R CL("1,1") E "a"), "!502", false },
		{ S(R CL("99999999999999999999999") E "a"), "!502", false },
		{ S(R CL("9000000") E "a"), "!502", false },
		{ S("HTTP/1.0 200 OK\r\n" TE E), "!502", false },
		{ S(R "Transfer-Encoding: gzip, chunked\r\n" E), "!502", false },
		{ S(R "X: a\r\n b\r\n" E), "!502", false },
		{ S(R "X : a\r\n" E), "!502", false },
		{ S(R CL("2") E "h"), "<200 length 2; content-length=2>h!502", false },
		{ S(R TE E "2\r\nhi\r\n"), "<200 stream 0>hi!502", false },
		{ S(R TE E "2\r\nhi\r\n0\r\n"), "<200 stream 0>hi!502", false },
		{ S(R TE E "2\r\nhiX"), "<200 stream 0>hi!502", false },
		{ S(R TE E "ffffffffffffffff\r\n"), "<200 stream 0>!502", false },
	};

	(void)state;
	assert_rows(NULL, rows, COUNT(rows));
}

static void
bodies_until_close_are_bounded(void **state)
{
	struct http_limits l = http_limits_default;
	struct http_response_parser *p = NULL;
	struct http_step step;

	(void)state;
	l.body_len_max = 3;
	assert_true(is_ok(http_response_parser_new(&l, &p)));
	http_response_next(p, false);
	assert_int_equal(http_response_feed(p, S(R E)).event, HTTP_EV_HEAD);
	assert_int_equal(http_response_feed(p, S("abc")).event, HTTP_EV_BODY);
	step = http_response_feed(p, S("d"));
	assert_int_equal(step.event, HTTP_EV_ERROR);
	assert_int_equal(step.error, 502);
	assert_int_equal(http_response_eof(p).event, HTTP_EV_ERROR);
	http_response_parser_free(p);
}

static void
extensions_are_bounded(void **state)
{
	auto_buf struct buf in = BUF_INIT(4096), log = BUF_INIT(4096);

	(void)state;
	must(buf_printf(&in, R TE E "1;%0257d\r\na\r\n0\r\n\r\n", 0));
	http_log_responses(NULL, false, buf_span(&in), (struct cuts){ 0 }, &log);
	assert_true(span_eq_str(buf_span(&log), "<200 stream 0>!502"));
	buf_clear(&in);
	buf_clear(&log);
	must(buf_printf(&in, R TE E "1;%0256d\r\na\r\n0\r\n\r\n", 0));
	http_log_responses(NULL, false, buf_span(&in), (struct cuts){ 0 }, &log);
	assert_true(span_eq_str(buf_span(&log), "<200 stream 0>a.!502"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_responses_are_understood),
		cmocka_unit_test(hostile_responses_are_refused),
		cmocka_unit_test(bodies_until_close_are_bounded),
		cmocka_unit_test(extensions_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
