/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A schema, a NUL, a value: compile the one, check the other. Twice, with the same
 * outcome.
 */
#include <stdlib.h>

#include <base/cleanup.h>
#include <json/schema.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
expect(bool ok)
{
	if (!ok)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = ARENA_INIT(1 << 24);
	auto_json struct json_doc d = { .count = 0 };
	struct schema_fault fault = { .message = NULL };
	const uint8_t *nul = size > 0 ? memchr(data, 0, size) : NULL;
	const struct schema *s = NULL;
	struct status st, again;
	size_t len;

	if (nul == NULL)
		return 0;
	len = (size_t)(nul - data);
	if (!is_ok(schema_compile(span_of(data, len), &a, &s, &fault))) {
		expect(s == NULL && fault.offset <= len);
		return 0;
	}
	expect(is_ok(json_init(&d, &(struct json_opts){ .tokens_max = 10000 })));
	if (!is_ok(json_parse(&d, span_of(nul + 1, size - len - 1))))
		return 0;
	st = schema_validate(s, &d, 0, &fault);
	expect(is_ok(st) || (fault.message != NULL && fault.keyword != NULL));
	again = schema_validate(s, &d, 0, NULL);
	expect(st.code == again.code);
	return 0;
}
