/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads of an answer, "name: value" a line, each ended by an empty one, then trailers. The first
 * byte says how much of a body comes, and whether the first head is the end.
 */
#include <stdlib.h>

#include <http/h2_response.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
expect(bool ok)
{
	if (!ok)
		abort();
}

/* The next line; false: an empty one, or none. */
static bool
take(struct span *in, struct span *name, struct span *value)
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
	*name = span_of(line.ptr, sep == NULL ? line.len : (size_t)(sep - line.ptr));
	*value = span_from(line, name->len + 2);
	return true;
}

static uint16_t
head(struct http_h2_response *q, struct span *in, bool end)
{
	struct span name, value;
	bool interim = false;
	uint16_t rc = 0;

	do {
		while (take(in, &name, &value))
			(void)http_h2_response_field(q, name, value);
		rc = http_h2_response_head(q, end, &interim);
	} while (rc == 0 && interim);
	return rc;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_limits limits = http_limits_default;
	struct span in = span_of(data, size), name, value;
	struct http_h2_response *q = NULL;
	const struct http_response *res;
	size_t len = 0;

	if (size == 0)
		return 0;
	in = span_from(in, 1);
	limits.body_len_max = UINT64_MAX;
	expect(is_ok(http_h2_response_new(&limits, &q)));
	if (head(q, &in, data[0] >> 7) == 0) {
		res = http_h2_response_get(q);
		expect(res->status >= 200 && res->status <= 599);
		for (size_t i = 0; i < res->field_count; i++)
			expect(http_token_ok(res->fields[i].name) &&
			       http_value_ok(res->fields[i].value));
		if (http_h2_response_body(q, data[0] & 0x7fU) == 0)
			len = data[0] & 0x7fU;
		while (take(&in, &name, &value))
			(void)http_h2_response_trailer(q, name, value);
		if (http_h2_response_end(q) == 0 && res->body == HTTP_BODY_LENGTH)
			expect(res->content_length == len);
	}
	http_h2_response_free(q);
	return 0;
}
