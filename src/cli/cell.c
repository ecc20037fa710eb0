/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cell.c: a member of an answer as a table's cell, for people.
 *
 * Runs in: CLI. Trusts: nothing: the text may come from other people and from a model.
 * Owns: nothing.
 * Invariants: a cell is one line without control bytes; nothing that is there to be shown is
 * shown as JSON: what is absent, null or empty is "-", a list is a,b and an object k=a,b l=-.
 * See: operate.h.
 */
#include "operate.h"

#include <time.h>

#include <base/cleanup.h>

#define CELL_MAX (64U << 10)

static struct status
put_scalar(const struct json_doc *d, uint32_t tok, struct buf *out)
{
	enum json_type type = json_type(d, tok);

	if (type == JSON_STRING)
		return json_str_put(d, tok, out);
	if (type == JSON_ABSENT || type == JSON_NULL)
		return buf_put_str(out, "-");
	return buf_put_span(out, json_bytes(d, tok));
}

static struct status
put_list(const struct json_doc *d, uint32_t tok, struct buf *out)
{
	struct json_iter it = json_iter(d, tok);

	if (json_type(d, tok) != JSON_ARRAY)
		return put_scalar(d, tok, out);
	if (json_size(d, tok) == 0)
		return buf_put_str(out, "-");
	while (json_next(&it)) {
		if (it.index > 0)
			TRY(buf_put_u8(out, ','));
		TRY(put_scalar(d, it.val, out));
	}
	return OK;
}

static struct status
put_value(const struct json_doc *d, uint32_t tok, struct buf *out)
{
	struct json_iter it = json_iter(d, tok);

	if (json_type(d, tok) != JSON_OBJECT)
		return put_list(d, tok, out);
	if (json_size(d, tok) == 0)
		return buf_put_str(out, "-");
	while (json_next(&it)) {
		if (it.index > 0)
			TRY(buf_put_u8(out, ' '));
		TRY(json_str_put(d, it.key, out));
		TRY(buf_put_u8(out, '='));
		TRY(put_list(d, it.val, out));
	}
	return OK;
}

void
print_cell(const struct json_doc *d, uint32_t object, const char *key, int width)
{
	auto_buf struct buf text = BUF_INIT(CELL_MAX), safe = BUF_INIT(3 * CELL_MAX);

	/* One that is too long is cut. */
	(void)put_value(d, json_get_str(d, object, key), &text).code;
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '\n' || text.ptr[i] == '\t')
			text.ptr[i] = ' ';
	}
	if (is_ok(term_safe(buf_span(&text), &safe)))
		(void)printf("%-*.*s", width, SPAN_FMT(buf_span(&safe)));
}

void
print_time(const struct json_doc *d, uint32_t object, const char *member)
{
	uint64_t s = 0;
	char text[32] = "-";
	struct tm tm;
	time_t t;

	if (is_ok(json_u64(d, json_get_str(d, object, member), INT32_MAX * 8ULL, &s)) && s > 0) {
		t = (time_t)s;
		if (gmtime_r(&t, &tm) != NULL)
			(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%MZ", &tm);
	}
	(void)printf(" %-17s", text);
}
