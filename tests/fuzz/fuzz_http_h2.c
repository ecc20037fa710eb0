/* SPDX-License-Identifier: Apache-2.0 */
/* Fields of a request, "name: value" a line, then sizes of its body's pieces. */
#include <stdlib.h>

#include <base/encode.h>
#include <http/h2_request.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
expect(bool ok)
{
	if (!ok)
		abort();
}

/* Name and value of the next line, in copies that end where they end. */
static bool
take(struct http_h2_request *q, struct span *in, bool trailer)
{
	const uint8_t *end = in->len == 0 ? NULL : memchr(in->ptr, '\n', in->len);
	const uint8_t *sep;
	struct span line;

	if (end == NULL)
		return false;
	line = span_of(in->ptr, (size_t)(end - in->ptr));
	*in = span_from(*in, line.len + 1);
	if (line.len == 0)
		return false;
	sep = memmem(line.ptr, line.len, ": ", 2);
	if (sep == NULL)
		sep = line.ptr + line.len;
	if (trailer)
		(void)http_h2_request_trailer(q, span_of(line.ptr, (size_t)(sep - line.ptr)),
		    span_from(line, (size_t)(sep - line.ptr) + 2));
	else
		(void)http_h2_request_field(q, span_of(line.ptr, (size_t)(sep - line.ptr)),
		    span_from(line, (size_t)(sep - line.ptr) + 2));
	return true;
}

static void
check(const struct http_request *r)
{
	expect(http_token_ok(r->method));
	expect(r->target_bad || (r->path.len > 0 && r->path.ptr[0] == '/'));
	expect(utf8_valid_len(r->path) == r->path.len);
	expect(r->slashed.len == 0 ||
	       (r->target_bad && r->slashed.ptr[0] == '/' && r->slashed.ptr[r->slash_at] == '/'));
	expect(memchr(r->authority.ptr, '@', r->authority.len) == NULL);
	for (size_t i = 0; i < r->field_count; i++) {
		expect(http_token_ok(r->fields[i].name) && http_value_ok(r->fields[i].value));
		expect(!span_eq_str(r->fields[i].name, "connection"));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct http_limits limits = { 512, 1024, 16, 128, 4096 };
	struct span in = span_of(data, size);
	struct http_h2_request *q = NULL;
	bool end;

	if (size == 0)
		return 0;
	end = (data[0] & 1) != 0;
	in = span_from(in, 1);
	expect(is_ok(http_h2_request_new(&limits, &q)));
	while (take(q, &in, false))
		continue;
	if (http_h2_request_head(q, end) == 0) {
		check(http_h2_request_get(q));
		for (; !end && in.len > 0 && in.ptr[0] != '\n'; in = span_from(in, 1))
			(void)http_h2_request_body(q, in.ptr[0]);
		in = span_from(in, 1);
		while (take(q, &in, true))
			continue;
		(void)http_h2_request_end(q);
	}
	http_h2_request_free(q);
	return 0;
}
