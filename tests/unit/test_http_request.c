/* SPDX-License-Identifier: Apache-2.0 */
/* lib/http: requests, hostile and good, each in every split. */
#include "unit.h"

#include "test_http.h"

#define G "GET / HTTP/1.1\r\n"
#define P "POST / HTTP/1.1\r\n"
#define H "Host: h\r\n"
#define E "\r\n"
#define TE "Transfer-Encoding: chunked\r\n"
#define S(s) SPAN_LIT(s)

struct row {
	struct span in;
	const char *want; /* the log, see test_http.h */
};

/* Small, so that every limit is easy to pass. */
static const struct http_limits small = { .line_len_max = 64,
	.header_len_max = 128,
	.fields_max = 4,
	.trailer_len_max = 16,
	.body_len_max = 32 };

static void
assert_log(const struct http_limits *limits, const struct row *row, struct cuts cuts)
{
	auto_buf struct buf log = BUF_INIT(1U << 20);

	http_log_requests(limits, row->in, cuts, &log);
	if (span_eq_str(buf_span(&log), row->want))
		return;
	print_error("input '%.*s'\ngot '%.*s', want '%s'\n", SPAN_FMT(row->in),
	    SPAN_FMT(buf_span(&log)), row->want);
	_fail(__FILE__, __LINE__);
}

/* Whole, byte by byte, and cut in two at each place. */
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

static void
hostile_heads_are_refused(void **state)
{
	static const struct row rows[] = {
		/* line ends */
		{ S("GET / HTTP/1.1\n" H E), "!400" },
		{ S(G "Host: h\n\r\n"), "!400" },
		{ S(G H "\n"), "!400" },
		{ S(G "Host: h\r\r\n\r\n"), "!400" },
		{ S(G "Host: h\rX: y\r\n\r\n"), "!400" },
		{ S("\r\n\r\n" G H E), "!400" },
		{ S("\n" G H E), "!400" },
		{ S(G H "\rx"), "!400" },
		/* request line */
		{ S("\x16\x03\x01\x02"), "!400" },
		{ S("\x80"), "!400" },
		{ S("GET\t/ HTTP/1.1\r\n" H E), "!400" },
		{ S("GET /\r\n" H E), "!400" },
		{ S("GET / \r\n" H E), "!400" },
		{ S("GET  / HTTP/1.1\r\n" H E), "!400" },
		{ S("GET /  HTTP/1.1\r\n" H E), "!400" },
		{ S("GET / HTTP/1.1 \r\n" H E), "!400" },
		{ S(" GET / HTTP/1.1\r\n" H E), "!400" },
		{ S("GET / a HTTP/1.1\r\n" H E), "!400" },
		{ S("G@T / HTTP/1.1\r\n" H E), "!400" },
		{ S("GETGETGETGETGETGETGETGETGETGETGET / HTTP/1.1\r\n" H E), "!400" },
		{ S("GET / http/1.1\r\n" H E), "!400" },
		{ S("GET / HTTP/1.10\r\n" H E), "!400" },
		{ S("GET / HTTP/1,1\r\n" H E), "!400" },
		{ S("GET / HTTP/1.0\r\n" H E), "!505" },
		{ S("GET / HTTP/0.9\r\n" H E), "!505" },
		{ S("GET / HTTP/1.2\r\n" H E), "!505" },
		{ S("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "!505" },
		/* targets */
		{ S("GET a HTTP/1.1\r\n" H E), "!400" },
		{ S("GET ?a HTTP/1.1\r\n" H E), "!400" },
		{ S("GET https://h?%zz HTTP/1.1\r\n" H E), "!400" },
		{ S("GET /a#b HTTP/1.1\r\n" H E), "!400" },
		{ S("GET /a\\b HTTP/1.1\r\n" H E), "!400" },
		{ S("GET /\"a HTTP/1.1\r\n" H E), "!400" },
		{ S("GET /?<a> HTTP/1.1\r\n" H E), "!400" },
		{ S("GET /% HTTP/1.1\r\n" H E), "!400" },
		{ S("GET /%4 HTTP/1.1\r\n" H E), "!400" },
		{ S("GET /%g0 HTTP/1.1\r\n" H E), "!400" },
		{ S("GET /?%4 HTTP/1.1\r\n" H E), "!400" },
		{ S("GET /\xc3\xa9 HTTP/1.1\r\n" H E), "!400" },
		{ S("CONNECT [::1] HTTP/1.1\r\n" H E), "!400" },
		{ S("CONNECT 10.0.0.1 HTTP/1.1\r\n" H E), "!400" },
		{ S("CONNECT 10.0.0.1:0 HTTP/1.1\r\n" H E), "!400" },
		{ S("GET :443 HTTP/1.1\r\n" H E), "!400" },
		{ S("GET 1a:b HTTP/1.1\r\n" H E), "!400" },
		{ S("GET a_b:c HTTP/1.1\r\n" H E), "!400" },
		{ S("GET ** HTTP/1.1\r\n" H E), "!400" },
		{ S("GET /a[b] HTTP/1.1\r\n" H E), "!400" },
		{ S("GET /?[b] HTTP/1.1\r\n" H E), "!400" },
		{ S("GET a:{b} HTTP/1.1\r\n" H E), "!400" },
		{ S("GET /../%zz HTTP/1.1\r\n" H E), "!400" },
		/* fields */
		{ S(G H " X: folded\r\n" E), "!400" },
		{ S(G H "X: a\r\n\tb\r\n" E), "!400" },
		{ S(G " " H E), "!400" },
		{ S(G "Host : h\r\n" E), "!400" },
		{ S(G H "X\r\n" E), "!400" },
		{ S(G H ": v\r\n" E), "!400" },
		{ S(G H "X y: v\r\n" E), "!400" },
		{ S(G H "X\x00y: v\r\n" E), "!400" },
		{ S(G H "X(y): v\r\n" E), "!400" },
		{ S(G H "X\xc3\xa9: v\r\n" E), "!400" },
		{ S(G H "X: a\x00b\r\n" E), "!400" },
		{ S(G H "X: a\x01\r\n" E), "!400" },
		{ S(G H "X: a\x7f\r\n" E), "!400" },
		/* host */
		{ S(G E), "!400" },
		{ S(G "Host:\r\n" E), "!400" },
		{ S(G H H E), "!400" },
		{ S(G H "hOST: other\r\n" E), "!400" },
		{ S(G "Host: a b\r\n" E), "!400" },
		{ S(G "Host: a,b\r\n" E), "!400" },
		{ S(G "Host: u@h\r\n" E), "!400" },
		{ S(G "Host: h/x\r\n" E), "!400" },
		{ S(G "Host: h:\r\n" E), "!400" },
		{ S(G "Host: h:x\r\n" E), "!400" },
		{ S(G "Host: h:0\r\n" E), "!400" },
		{ S(G "Host: h:65536\r\n" E), "!400" },
		{ S(G "Host: h:1:2\r\n" E), "!400" },
		{ S(G "Host: :80\r\n" E), "!400" },
		{ S(G "Host: .h\r\n" E), "!400" },
		{ S(G "Host: %41\r\n" E), "!400" },
		{ S(G "Host: [::1\r\n" E), "!400" },
		{ S(G "Host: []\r\n" E), "!400" },
		{ S(G "Host: [::1]x\r\n" E), "!400" },
		{ S(G "Host: [::g]\r\n" E), "!400" },
		{ S(G "Host: [fe80::1%25eth0]\r\n" E), "!400" },
		/* framing */
		{ S(P H "Content-Length: 1\r\n" TE E), "!400" },
		{ S(P H TE "Content-Length: 1\r\n" E), "!400" },
		{ S(P H "Content-Length: 1\r\nContent-Length: 1\r\n" E), "!400" },
		{ S(P H "Content-Length: 1, 1\r\n" E), "!400" },
		{ S(P H "Content-Length:\r\n" E), "!400" },
		{ S(P H "Content-Length: -1\r\n" E), "!400" },
		{ S(P H "Content-Length: +1\r\n" E), "!400" },
		{ S(P H "Content-Length: 0x1\r\n" E), "!400" },
		{ S(P H "Content-Length: 1 2\r\n" E), "!400" },
		{ S(P H "Content-Length: 99999999999999999999999\r\n" E), "!413" },
		{ S(P H "Content-Length: 18446744073709551616\r\n" E), "!413" },
		{ S(P H "Content-Length: 1073741824\r\n" E), "!413" },
		{ S(P H TE TE E), "!400" },
		{ S(P H "Transfer-Encoding: gzip\r\n" E), "!400" },
		{ S(P H "Transfer-Encoding: gzip, chunked\r\n" E), "!400" },
		{ S(P H "Transfer-Encoding: chunked, identity\r\n" E), "!400" },
		{ S(P H "Transfer-Encoding: chunked,\r\n" E), "!400" },
		{ S(P H "Transfer-Encoding:\r\n" E), "!400" },
		{ S(P H "Transfer-Encoding: xchunked\r\n" E), "!400" },
		{ S(P H "Transfer-Encoding: \"chunked\"\r\n" E), "!400" },
		{ S(P H "Transfer-Encoding: \x0b"
			"chunked\r\n" E),
		    "!400" },
		{ S(P H "Transfer-Encoding : chunked\r\n" E), "!400" },
		{ S(P H "Expect: 200-ok\r\nContent-Length: 1\r\n" E), "!400" },
		{ S(G H "Connection: a b\r\n" E), "!400" },
	};

	(void)state;
	assert_rows(NULL, rows, COUNT(rows));
}

/* What is a target, but none that is ever served, is told to those with a key only. */
static void
bad_targets_are_marked(void **state)
{
	static const struct row rows[] = {
		{ S("OPTIONS * HTTP/1.1\r\n" H E), "<OPTIONS BAD? h none 0>." },
		{ S("CONNECT h:443 HTTP/1.1\r\n" H E), "<CONNECT BAD? h none 0>." },
		{ S("GET http://h/ HTTP/1.1\r\n" H E), "<GET BAD? h none 0>." },
		{ S("GET https://x/ HTTP/1.1\r\n" H E), "<GET BAD? h none 0>." },
		{ S("GET https:/// HTTP/1.1\r\n" H E), "<GET BAD? h none 0>." },
		{ S("GET https://u@h/ HTTP/1.1\r\n" H E), "<GET BAD? h none 0>." },
		{ S("GET https://h/../ HTTP/1.1\r\n" H E), "<GET BAD? h none 0>." },
		{ S("GET /%00 HTTP/1.1\r\n" H E), "<GET BAD? h none 0>." },
		{ S("GET /%0a HTTP/1.1\r\n" H E), "<GET BAD? h none 0>." },
		{ S("GET /%7f HTTP/1.1\r\n" H E), "<GET BAD? h none 0>." },
		{ S("GET /a%2fb HTTP/1.1\r\n" H E), "<GET BAD/a/b? h none 0>." },
		{ S("GET /a%2Fb/c%2F HTTP/1.1\r\n" H E), "<GET BAD/a/b/c/? h none 0>." },
		{ S("GET /a%2fb?q HTTP/1.1\r\n" H E), "<GET BAD? h none 0>." },
		{ S("GET /a%2f..%2fb HTTP/1.1\r\n" H E), "<GET BAD? h none 0>." },
		{ S("GET /a%2f%5cb HTTP/1.1\r\n" H E), "<GET BAD? h none 0>." },
		{ S("GET https://x/a%2fb HTTP/1.1\r\n" H E), "<GET BAD? h none 0>." },
		{ S("GET /a%5cb HTTP/1.1\r\n" H E), "<GET BAD? h none 0>." },
		{ S("GET /. HTTP/1.1\r\n" H E), "<GET BAD? h none 0>." },
		{ S("GET /.. HTTP/1.1\r\n" H E), "<GET BAD? h none 0>." },
		{ S("GET /a/../b HTTP/1.1\r\n" H E), "<GET BAD? h none 0>." },
		{ S("GET /a/./b HTTP/1.1\r\n" H E), "<GET BAD? h none 0>." },
		{ S("GET /a/.%2e HTTP/1.1\r\n" H E), "<GET BAD? h none 0>." },
		{ S("GET /%2E%2E/a HTTP/1.1\r\n" H E), "<GET BAD? h none 0>." },
		{ S("GET /%c0%af HTTP/1.1\r\n" H E), "<GET BAD? h none 0>." },
		{ S("GET /%ff HTTP/1.1\r\n" H E), "<GET BAD? h none 0>." },
		{ S("GET h:443 HTTP/1.1\r\n" H E), "<GET BAD? h none 0>." },
		{ S("CONNECT [::1]:443 HTTP/1.1\r\n" H E), "<CONNECT BAD? h none 0>." },
		{ S("CONNECT 10.0.0.1:443 HTTP/1.1\r\n" H E), "<CONNECT BAD? h none 0>." },
		{ S("GET urn:a+b-c.d HTTP/1.1\r\n" H E), "<GET BAD? h none 0>." },
		{ S("GET https://h]/ HTTP/1.1\r\n" H E), "<GET BAD? h none 0>." },
		{ S("GET https://[::1]/ HTTP/1.1\r\nHost: [::1]\r\n" E), "<GET /? [::1] none 0>." },
		{ S("GET /a/%2e%2e/b?q=1 HTTP/1.1\r\n" H E), "<GET BAD? h none 0>." },
		/* The message goes on as any other, and so does the connection. */
		{ S("POST /.. HTTP/1.1\r\n" H "Content-Length: 2\r\n" E "hi" G H E),
		    "<POST BAD? h length 2; content-length=2>hi.<GET /? h none 0>." },
		{ S("OPTIONS * HTTP/1.1\r\n" H "Connection: close\r\n" E),
		    "<OPTIONS BAD? h none 0 close>." },
		/* Faults of the message stay faults. */
		{ S("GET /.. HTTP/1.1\r\n" E), "!400" },
		{ S("GET /.. HTTP/1.1\r\nHost: a b\r\n" E), "!400" },
		{ S("GET /.. HTTP/1.0\r\n" H E), "!505" },
		{ S("POST /.. HTTP/1.1\r\n" H TE "Content-Length: 1\r\n" E), "!400" },
	};

	(void)state;
	assert_rows(NULL, rows, COUNT(rows));
}

static void
hostile_bodies_are_refused(void **state)
{
#define C "<POST /? h stream 0>"
	static const struct row rows[] = {
		{ S(P H TE E "x\r\n"), C "!400" },
		{ S(P H TE E "\r\n"), C "!400" },
		{ S(P H TE E "-1\r\n"), C "!400" },
		{ S(P H TE E "0x1\r\n"), C "!400" },
		{ S(P H TE E "1\na\r\n"), C "!400" },
		{ S(P H TE E "1 \r\na\r\n"), C "!400" },
		{ S(P H TE E "1;a=b\r\na\r\n"), C "!400" },
		{ S(P H TE E "1\r\nab\r\n"), C "a!400" },
		{ S(P H TE E "1\r\na\n"), C "a!400" },
		{ S(P H TE E "1\r\na\r\r\n"), C "a!400" },
		{ S(P H TE E "ffffffffffffffff\r\n"), C "!413" },
		{ S(P H TE E "10000000000000000\r\n"), C "!400" },
		{ S(P H TE E "00000000000000001\r\n"), C "!400" },
		{ S(P H TE E "fffffffffffffffe\r\n"), C "!413" },
		{ S(P H TE E "1\r\na\r\nffffffffffffffff\r\n"), C "a!413" },
		{ S(P H TE E "0\r\nX y: z\r\n\r\n"), C "!400" },
		{ S(P H TE E "0\r\n X: z\r\n\r\n"), C "!400" },
		{ S(P H TE E "0\r\nX: z\n\r\n"), C "!400" },
		{ S(P H TE E "0\r\nX: \x01\r\n\r\n"), C "!400" },
		{ S(P H TE E "0\r\nX\r\n\r\n"), C "!400" },
		{ S(P H TE E "0\r\nContent-Length: 5\r\n\r\n"), C "!400" },
		{ S(P H TE E "0\r\ntransfer-encoding: chunked\r\n\r\n"), C "!400" },
		{ S(P H TE E "0\r\nHost: x\r\n\r\n"), C "!400" },
		{ S(P H TE E "0\r\nAuthorization: x\r\n\r\n"), C "!400" },
		{ S(P H TE E "0\r\n\n"), C "!400" },
		{ S(P H TE E "0\r\n\rx"), C "!400" },
	};
#undef C

	(void)state;
	assert_rows(NULL, rows, COUNT(rows));
}

static void
limits_have_their_statuses(void **state)
{
#define TEN "0123456789"
	static const struct row rows[] = {
		/* 64 bytes of line are fine, 65 are not, end or no end. */
		{ S("GET /" TEN TEN TEN TEN TEN " HTTP/1.1\r\n" H E),
		    "<GET /" TEN TEN TEN TEN TEN "? h none 0>." },
		{ S("GET /" TEN TEN TEN TEN TEN "1 HTTP/1.1\r\n" H E), "!414" },
		{ S(TEN TEN TEN TEN TEN TEN TEN), "!414" },
		/* 128 bytes of fields, ends included. */
		{ S(G H "X: " TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "0123\r\n" E),
		    "<GET /? h none 0; x=" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "0123>." },
		{ S(G H "X: " TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "01234\r\n" E), "!431" },
		{ S(G H "X: " TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "0123456\r\n" E),
		    "!431" },
		{ S(G H "a:\r\nb:\r\nc:\r\n" E), "<GET /? h none 0; a=; b=; c=>." },
		{ S(G H "a:\r\nb:\r\nc:\r\nd:\r\n" E), "!431" },
		{ S(P H "Content-Length: 33\r\n" E), "!413" },
		{ S(P H TE E "20\r\n" TEN TEN TEN "01\r\n0\r\n\r\n"),
		    "<POST /? h stream 0>" TEN TEN TEN "01." },
		{ S(P H TE E "21\r\n"), "<POST /? h stream 0>!413" },
		{ S(P H TE E "1\r\na\r\n20\r\n"), "<POST /? h stream 0>a!413" },
		{ S(P H TE E "0\r\na:345678\r\nb:345678\r\n\r\n"), "<POST /? h stream 0>." },
		{ S(P H TE E "0\r\na:345678\r\nb:3456789\r\n\r\n"), "<POST /? h stream 0>!431" },
	};
	struct http_limits none = small;
	const struct row empty = { S(P H "Content-Length: 1\r\n" E "x"), "!413" };

	(void)state;
	assert_rows(&small, rows, COUNT(rows));
	none.body_len_max = 0;
	assert_rows(&none, &empty, 1);
}

static void
good_requests_are_understood(void **state)
{
	static const struct row rows[] = {
		{ S(G H E), "<GET /? h none 0>." },
		{ S("\r\n" G H E), "<GET /? h none 0>." },
		{ S("GET /v1/a%20b%C3%A9%25?q=%2F..&x HTTP/1.1\r\nHost: Ex.Org:8443\r\n" E),
		    "<GET /v1/a b\xc3\xa9%?q=%2F..&x ex.org:8443 none 0>." },
		{ S("GET https://H/a?b HTTP/1.1\r\n" H E), "<GET /a?b h none 0>." },
		{ S("GET HTTPS://h HTTP/1.1\r\n" H E), "<GET /? h none 0>." },
		{ S("GET https://h?x HTTP/1.1\r\n" H E), "<GET /?x h none 0>." },
		{ S("GET /.well-known/...a HTTP/1.1\r\nHost: [::1]:443\r\n" E),
		    "<GET /.well-known/...a? [::1]:443 none 0>." },
		{ S("DELETE /a//b/ HTTP/1.1\r\nX-Key: \t a b \t\r\nHost:h\r\nU: \xc3\xa9\r\n" E),
		    "<DELETE /a//b/? h none 0; x-key=a b; u=\xc3\xa9>." },
		/* Facts about the connection do not reach the request. */
		{ S(G H "Connection: close, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nTE: trailers"
			"\r\nKeep-Alive: 1\r\nProxy-Connection: x\r\n" E),
		    "<GET /? h none 0 close>." },
		{ S(G H "Connection: Keep-Alive\r\n" E), "<GET /? h none 0>." },
		{ S(P H "Content-Length: 0\r\nExpect: 100-continue\r\n" E),
		    "<POST /? h none 0; content-length=0>." },
		{ S(P H "Content-Length: 3\r\nExpect: 100-Continue\r\n" E "abc"),
		    "<POST /? h length 3 expect; content-length=3>abc." },
		{ S(P H TE E "3\r\nabc\r\n00A\r\n0123456789\r\n0\r\n\r\n"),
		    "<POST /? h stream 0>abc0123456789." },
		{ S(P H "transfer-ENCODING:CHUNKED\r\n" E "1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n"),
		    "<POST /? h stream 0>a." },
		/* Pipelined, and an error after a good one. */
		{ S(G H E "\r\n" P H "Content-Length: 2\r\n" E "hi" G H E),
		    "<GET /? h none 0>.<POST /? h length 2; content-length=2>hi.<GET /? h none "
		    "0>." },
		{ S(G H E G E G H E), "<GET /? h none 0>.!400" },
		{ S(P H "Content-Length: 2\r\n" E "h"), "<POST /? h length 2; content-length=2>h" },
		{ S(G "Host: h"), "" },
	};

	(void)state;
	assert_rows(NULL, rows, COUNT(rows));
}

static void
the_parser_stops_at_the_end(void **state)
{
	static const char in[] = P H "Content-Length: 2\r\n\r\nhiGET";
	struct http_request_parser *p = NULL;
	struct span rest = span_of(in, sizeof(in) - 1), value;
	struct http_step step;

	(void)state;
	assert_true(is_ok(http_request_parser_new(NULL, &p)));
	assert_true(http_request_idle(p));
	assert_int_equal(http_request_feed(p, span_of(in, 5)).event, HTTP_EV_MORE);
	assert_false(http_request_idle(p));
	rest = span_from(rest, 5);
	step = http_request_feed(p, rest);
	assert_int_equal(step.event, HTTP_EV_HEAD);
	assert_true(http_request_in_body(p));
	assert_true(is_ok(http_request_field(http_request_get(p), "content-length", &value)));
	assert_int_equal(http_request_field(http_request_get(p), "x", &value).code, E_NOTFOUND);
	rest = span_from(rest, step.used);
	step = http_request_feed(p, rest);
	assert_int_equal(step.event, HTTP_EV_BODY);
	assert_true(span_eq_str(step.body, "hi"));
	rest = span_from(rest, step.used);
	for (int twice = 0; twice < 2; twice++) {
		step = http_request_feed(p, rest);
		assert_int_equal(step.event, HTTP_EV_END);
		assert_int_equal(step.used, 0);
	}
	assert_true(span_eq_str(rest, "GET"));
	assert_true(http_request_keep_alive(p));
	http_request_next(p);
	assert_true(http_request_idle(p));
	http_request_parser_free(p);
}

static void
errors_are_final(void **state)
{
	struct http_request_parser *p = NULL;

	(void)state;
	assert_true(is_ok(http_request_parser_new(NULL, &p)));
	assert_int_equal(http_request_feed(p, S("GET /\n")).error, 400);
	http_request_next(p);
	assert_int_equal(http_request_feed(p, S(G H E)).error, 400);
	assert_false(http_request_keep_alive(p));
	http_request_parser_free(p);
}

static void
a_route_may_lower_the_body_limit(void **state)
{
	static const struct {
		struct span in;
		uint64_t max;
		uint16_t error;
	} rows[] = {
		{ S(P H "Content-Length: 3\r\n" E "abc"), 2, 413 },
		{ S(P H "Content-Length: 3\r\n" E "abc"), 3, 0 },
		{ S(P H TE E "3\r\nabc\r\n"), 2, 413 },
		{ S(P H TE E "3\r\nabc\r\n"), 3, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct http_request_parser *p = NULL;
		struct http_step step;

		assert_true(is_ok(http_request_parser_new(NULL, &p)));
		step = http_request_feed(p, rows[i].in);
		assert_int_equal(step.event, HTTP_EV_HEAD);
		http_request_limit_body(p, rows[i].max);
		step = http_request_feed(p, span_from(rows[i].in, step.used));
		assert_int_equal(step.error, rows[i].error);
		http_request_parser_free(p);
	}
}

static void
duplicate_fields_are_told_apart(void **state)
{
	struct http_request_parser *p = NULL;
	struct span value;

	(void)state;
	assert_true(is_ok(http_request_parser_new(NULL, &p)));
	assert_int_equal(
	    http_request_feed(p, S(G H "Authorization: a\r\nauthorization: b\r\n" E)).event,
	    HTTP_EV_HEAD);
	assert_int_equal(
	    http_request_field(http_request_get(p), "authorization", &value).code, E_EXISTS);
	http_request_parser_free(p);
}

/* A head that makes the buffer move many times keeps its fields right. */
static void
long_heads_keep_their_fields(void **state)
{
	auto_buf struct buf in = BUF_INIT(1U << 16), log = BUF_INIT(1U << 20);
	auto_buf struct buf want = BUF_INIT(1U << 20);
	uint8_t cuts[] = { 0, 6, 130 };

	(void)state;
	must(buf_put_str(&in, G H));
	must(buf_put_str(&want, "<GET /? h none 0"));
	for (int i = 0; i < HTTP_FIELDS_MAX - 1; i++) {
		must(buf_printf(&in, "X-%d: %0300d\r\n", i, i));
		must(buf_printf(&want, "; x-%d=%0300d", i, i));
	}
	must(buf_put_str(&in, E));
	must(buf_put_str(&want, ">."));
	http_log_requests(NULL, buf_span(&in), (struct cuts){ cuts, sizeof(cuts), 0 }, &log);
	assert_true(span_eq(buf_span(&log), buf_span(&want)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hostile_heads_are_refused),
		cmocka_unit_test(bad_targets_are_marked),
		cmocka_unit_test(hostile_bodies_are_refused),
		cmocka_unit_test(limits_have_their_statuses),
		cmocka_unit_test(good_requests_are_understood),
		cmocka_unit_test(the_parser_stops_at_the_end),
		cmocka_unit_test(errors_are_final),
		cmocka_unit_test(a_route_may_lower_the_body_limit),
		cmocka_unit_test(duplicate_fields_are_told_apart),
		cmocka_unit_test(long_heads_keep_their_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
