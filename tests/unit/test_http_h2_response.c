/* SPDX-License-Identifier: Apache-2.0 */
/* Answers from the fields of HTTP/2: what comes out, and what is refused. */
#include "unit.h"

#include <http/h2_response.h>

#define OK_HEAD ":status=200\n"

struct row {
	const char *fields; /* "name=value" a line */
	bool more;          /* a body follows */
	uint16_t error;
	enum http_body body;
};

static bool
feed(struct http_h2_response *q, const char *fields)
{
	bool ok = true;

	while (*fields != '\0') {
		const char *end = strchr(fields, '\n'), *eq = strchr(fields + 1, '=');

		assert_true(end != NULL && eq != NULL && eq < end);
		ok = http_h2_response_field(q, span_of(fields, (size_t)(eq - fields)),
		    span_of(eq + 1, (size_t)(end - eq) - 1));
		fields = end + 1;
	}
	return ok;
}

static struct http_h2_response *
fresh(void)
{
	const struct http_limits limits = { 64, 256, 6, 64, 1000 };
	struct http_h2_response *q = NULL;

	assert_int_equal(http_h2_response_new(&limits, &q).code, E_OK);
	return q;
}

static uint16_t
head(struct http_h2_response *q, const char *fields, bool more)
{
	bool interim = false;
	uint16_t rc;

	(void)feed(q, fields);
	rc = http_h2_response_head(q, !more, &interim);
	assert_true(rc != 0 || !interim);
	return rc;
}

static void
heads_are_judged(void **state)
{
	static const struct row rows[] = {
		{ OK_HEAD, true, 0, HTTP_BODY_STREAM },
		{ OK_HEAD, false, 0, HTTP_BODY_NONE },
		{ OK_HEAD "content-length=7\n", true, 0, HTTP_BODY_LENGTH },
		{ OK_HEAD "content-length=0\n", true, 0, HTTP_BODY_NONE },
		{ OK_HEAD "content-length=0\n", false, 0, HTTP_BODY_NONE },
		{ OK_HEAD "content-length=7\n", false, 502, HTTP_BODY_NONE },
		{ OK_HEAD "content-length=7\ncontent-length=7\n", true, 502, HTTP_BODY_NONE },
		{ OK_HEAD "content-length=x\n", true, 502, HTTP_BODY_NONE },
		{ OK_HEAD "content-length=1001\n", true, 502, HTTP_BODY_NONE },
		{ ":status=204\n", false, 0, HTTP_BODY_NONE },
		{ ":status=304\ncontent-length=7\n", false, 0, HTTP_BODY_NONE },
		{ ":status=599\n", true, 0, HTTP_BODY_STREAM },
		{ ":status=600\n", true, 502, HTTP_BODY_NONE },
		{ ":status=99\n", true, 502, HTTP_BODY_NONE },
		{ ":status=099\n", true, 502, HTTP_BODY_NONE },
		{ ":status=2000\n", true, 502, HTTP_BODY_NONE },
		{ ":status=+20\n", true, 502, HTTP_BODY_NONE },
		{ ":status=\n", true, 502, HTTP_BODY_NONE },
		{ "x=y\n", true, 502, HTTP_BODY_NONE },
		{ "", true, 502, HTTP_BODY_NONE },
		{ "x=y\n:status=200\n", true, 502, HTTP_BODY_NONE },
		{ OK_HEAD OK_HEAD, true, 502, HTTP_BODY_NONE },
		{ OK_HEAD ":path=/\n", true, 502, HTTP_BODY_NONE },
		{ OK_HEAD ":=x\n", true, 502, HTTP_BODY_NONE },
		{ OK_HEAD "X=y\n", true, 502, HTTP_BODY_NONE },
		{ OK_HEAD "x= y\n", true, 502, HTTP_BODY_NONE },
		{ OK_HEAD "x=a\rb\n", true, 502, HTTP_BODY_NONE },
		{ OK_HEAD "x=\n", true, 0, HTTP_BODY_STREAM },
		{ OK_HEAD "connection=close\n", true, 502, HTTP_BODY_NONE },
		{ OK_HEAD "transfer-encoding=chunked\n", true, 502, HTTP_BODY_NONE },
		{ ":status=101\n", true, 502, HTTP_BODY_NONE },
		{ ":status=100\n", false, 502, HTTP_BODY_NONE },
		{ OK_HEAD "a=\nb=\nc=\nd=\ne=\nf=\n", true, 0, HTTP_BODY_STREAM },
		{ OK_HEAD "a=\nb=\nc=\nd=\ne=\nf=\ng=\n", true, 502, HTTP_BODY_NONE },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct http_h2_response *q = fresh();
		bool interim;
		uint16_t rc;

		(void)feed(q, rows[i].fields);
		rc = http_h2_response_head(q, !rows[i].more, &interim);
		if (rc != rows[i].error)
			print_error("row %zu: %s\n", i, rows[i].fields);
		assert_int_equal(rc, rows[i].error);
		if (rows[i].error == 0)
			assert_int_equal(http_h2_response_get(q)->body, rows[i].body);
		http_h2_response_free(q);
	}
}

static void
parts_are_told(void **state)
{
	struct http_h2_response *q = fresh();
	const struct http_response *res;
	struct span v;

	(void)state;
	assert_int_equal(head(q, ":status=429\nretry-after=3\nx=y\ncontent-length=2\n", true), 0);
	res = http_h2_response_get(q);
	assert_int_equal(res->status, 429);
	assert_int_equal(res->content_length, 2);
	assert_true(is_ok(http_field_one(res->fields, res->field_count, "retry-after", &v)));
	assert_true(span_eq_str(v, "3"));
	http_h2_response_free(q);
}

static void
interim_heads_are_skipped(void **state)
{
	struct http_h2_response *q = fresh();
	bool interim = false;

	(void)state;
	for (int i = 0; i < HTTP_INTERIM_MAX; i++) {
		assert_true(feed(q, ":status=103\nlink=x\n"));
		assert_int_equal(http_h2_response_head(q, false, &interim), 0);
		assert_true(interim);
	}
	assert_true(feed(q, OK_HEAD));
	assert_int_equal(http_h2_response_head(q, false, &interim), 0);
	assert_false(interim);
	assert_int_equal(http_h2_response_get(q)->field_count, 0);
	http_h2_response_free(q);

	q = fresh();
	for (int i = 0; i <= HTTP_INTERIM_MAX; i++) {
		(void)feed(q, ":status=100\n");
		assert_int_equal(
		    http_h2_response_head(q, false, &interim), i == HTTP_INTERIM_MAX ? 502 : 0);
	}
	http_h2_response_free(q);
}

static void
bodies_are_measured(void **state)
{
	static const struct {
		const char *fields;
		size_t len;
		uint16_t body, end;
	} rows[] = {
		{ OK_HEAD "content-length=7\n", 7, 0, 0 },
		{ OK_HEAD "content-length=7\n", 6, 0, 502 },
		{ OK_HEAD "content-length=7\n", 8, 502, 502 },
		{ OK_HEAD "content-length=0\n", 1, 502, 502 },
		{ ":status=204\n", 1, 502, 502 },
		{ OK_HEAD, 1000, 0, 0 },
		{ OK_HEAD, 1001, 502, 502 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct http_h2_response *q = fresh();

		assert_int_equal(head(q, rows[i].fields, true), 0);
		assert_int_equal(http_h2_response_body(q, rows[i].len), rows[i].body);
		assert_int_equal(http_h2_response_end(q), rows[i].end);
		http_h2_response_free(q);
	}
}

static void
trailers_are_checked(void **state)
{
	static const struct {
		const char *name, *value;
		uint16_t error;
	} rows[] = {
		{ "x", "y", 0 },
		{ "X", "y", 502 },
		{ ":status", "200", 502 },
		{ "content-length", "1", 502 },
		{ "x", "0123456789012345678901234567890123456789012345678901234567890", 502 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct http_h2_response *q = fresh();

		assert_int_equal(head(q, OK_HEAD, true), 0);
		assert_int_equal(
		    http_h2_response_trailer(q, span_str(rows[i].name), span_str(rows[i].value)),
		    rows[i].error);
		assert_int_equal(http_h2_response_end(q), rows[i].error);
		http_h2_response_free(q);
	}
}

/* Large heads are 502; absurd ones are told from them. */
static void
excess_is_noticed(void **state)
{
	struct http_h2_response *q = fresh();
	uint8_t value[100];
	bool interim;
	int n = 0;

	(void)state;
	memset(value, 'x', sizeof(value));
	while (http_h2_response_field(q, SPAN_LIT("x"), span_of(value, sizeof(value))))
		n++;
	assert_int_equal(n, HTTP_H2_EXCESS * (64 + 256) / 133);
	assert_int_equal(http_h2_response_head(q, true, &interim), 502);
	http_h2_response_free(q);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heads_are_judged),
		cmocka_unit_test(parts_are_told),
		cmocka_unit_test(interim_heads_are_skipped),
		cmocka_unit_test(bodies_are_measured),
		cmocka_unit_test(trailers_are_checked),
		cmocka_unit_test(excess_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
