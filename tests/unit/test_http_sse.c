/* SPDX-License-Identifier: Apache-2.0 */
/* lib/http: server-sent events, by the specification, split anywhere. */
#include "unit.h"

#include "test_http.h"

#include <stdio.h>

#define S(s) SPAN_LIT(s)

static void
assert_events(size_t line_max, size_t event_max, struct span in, const char *want)
{
	for (size_t at = 0; at <= in.len && at < 256; at++) {
		uint8_t two[] = { (uint8_t)(at - 1), 255 }, one = 0;
		struct cuts cuts[] = { { 0 }, { &one, 1, 0 }, { two, 2, 0 } };
		auto_buf struct buf log = BUF_INIT(1U << 16);

		sse_log(line_max, event_max, in, cuts[at < 2 ? at : 2], &log);
		if (span_eq_str(buf_span(&log), want))
			continue;
		print_error("got '%.*s', want '%s'\n", SPAN_FMT(buf_span(&log)), want);
		_fail(__FILE__, __LINE__);
	}
}

static void
streams_are_read(void **state)
{
	static const struct {
		struct span in;
		const char *want;
	} rows[] = {
		{ S("data: a\n\n"), "[|a]" },
		{ S("data: a\r\n\r\ndata: [DONE]\r\n\r\n"), "[|a][|[DONE]]" },
		{ S("data: a\r\ndata: b\r\n\r\n"), "[|a\nb]" },
		{ S("data: a\r\rdata: b\r\r"), "[|a][|b]" },
		{ S("data: a\r\n\rdata: b\n\r\n"), "[|a][|b]" },
		{ S("event: ping\ndata: {}\n\n"), "[ping|{}]" },
		{ S("data:a\ndata: b\ndata:  c\ndata\n\n"), "[|a\nb\n c\n]" },
		{ S("data\n\n"), "[|]" },
		{ S("data\ndata\n\n"), "[|\n]" },
		{ S("event: lost\n\ndata: x\n\n"), "[|x]" },
		{ S("event: a\nevent: b\ndata: x\n\n"), "[b|x]" },
		{ S(": comment\nid: 1\nretry: 5\nnothing\nDATA: x\n\ndata: y\n\n"), "[|y]" },
		{ S("\xef\xbb\xbf"
		    "data: x\n\n\xef\xbb\xbf"
		    "data: y\n\n"),
		    "[|x]" },
		{ S("\n\n\n\r\r\n"), "" },
		{ S("data: no end\n"), "" },
		{ S("data: no end"), "" },
		{ S("data: a:b: c\n\n"), "[|a:b: c]" },
		{ S("data: \xff\xfe\n\n"), "[|\xff\xfe]" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_events(0, 0, rows[i].in, rows[i].want);
}

static void
streams_are_bounded(void **state)
{
	char full[8];

	(void)state;
	snprintf(full, sizeof(full), "!%d", E_FULL);
	assert_events(8, 100, S("data: 12\n\ndata: 34\n\n"), "[|12][|34]");
	assert_events(8, 100, S("data: 123"), full);
	assert_events(8, 100, S(":234567890"), full);
	assert_events(100, 5, S("data: 12\ndata: 34\n\n"), "[|12\n34]");
	assert_events(100, 5, S("data: 12\ndata: 345\n\n"), full);
	assert_events(0, 0,
	    S("event: 0123456789012345678901234567890123456789012345678901234567890123456789"
	      "01234567890123456789012345678901234567890123456789012345678\n"),
	    full);
}

static void
text_cannot_forge_events(void **state)
{
	static const struct {
		struct span event, data;
		const char *bytes, *events;
	} rows[] = {
		{ SPAN_EMPTY, S("x"), "data: x\n\n", "[|x]" },
		{ S("stdout"), S(""), "event: stdout\ndata: \n\n", "[stdout|]" },
		{ SPAN_EMPTY, S("a\n\nevent: evil\ndata: b"),
		    "data: a\ndata: \ndata: event: evil\ndata: data: b\n\n",
		    "[|a\n\nevent: evil\ndata: b]" },
		{ SPAN_EMPTY, S("a\r\nb\rc\n"), "data: a\ndata: b\ndata: c\ndata: \n\n",
		    "[|a\nb\nc\n]" },
		{ SPAN_EMPTY, S("\r\r\n"), "data: \ndata: \ndata: \n\n", "[|\n\n]" },
		{ SPAN_EMPTY, S(" a"), "data:  a\n\n", "[| a]" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_buf struct buf b = BUF_INIT(4096);

		assert_true(is_ok(sse_put(&b, rows[i].event, rows[i].data)));
		assert_true(span_eq_str(buf_span(&b), rows[i].bytes));
		assert_events(0, 0, buf_span(&b), rows[i].events);
	}
}

static void
names_and_comments_are_checked(void **state)
{
	auto_buf struct buf b = BUF_INIT(64);

	(void)state;
	assert_int_equal(sse_put(&b, S("a\nb"), S("x")).code, E_SYNTAX);
	assert_int_equal(sse_put_comment(&b, S("a\rb")).code, E_SYNTAX);
	assert_true(is_ok(sse_put_comment(&b, S("keep-alive"))));
	assert_true(span_eq_str(buf_span(&b), ": keep-alive\n\n"));
	assert_int_equal(sse_put(&b, SPAN_EMPTY, S("\n\n\n\n\n\n\n\n\n\n\n")).code, E_FULL);
	assert_true(span_eq_str(buf_span(&b), ": keep-alive\n\n"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_are_read),
		cmocka_unit_test(streams_are_bounded),
		cmocka_unit_test(text_cannot_forge_events),
		cmocka_unit_test(names_and_comments_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
