/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's body for responses: what passes the schema is read, and what is written
 * for the provider is strict JSON again, keeps nothing, names nothing that only a provider may
 * have, and has our edits in it.
 */
#include <stdlib.h>

#include <base/cleanup.h>
#include <json/schema.h>
#include <reference.h>
#include <responses.h>
#include <routes.h>
#include <strict.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
expect(bool ok)
{
	if (!ok)
		abort();
}

/* What a provider would look up for whoever names it. */
static void
check_input(const struct json_doc *d)
{
	struct json_iter it = json_iter(d, json_get_str(d, 0, "input"));
	const char *why;

	while (json_next(&it)) {
		expect(reference_in_item(d, it.val, &why) == JSON_NONE);
		expect(responses_goes_back(d, it.val));
		if (!json_str_eq_str(d, json_get_str(d, it.val, "type"), "reasoning") ||
		    responses_is_sealed(d, it.val) || json_get_str(d, it.val, "id") == JSON_NONE)
			continue;
		expect(span_starts(
		    json_bytes(d, json_get_str(d, it.val, "id")), SPAN_LIT("\"rs_sallyport_")));
	}
}

static void
check_written(const struct prompt *p, bool attach, struct span more)
{
	const struct edits e = { attach, more };
	auto_buf struct buf out = BUF_INIT(1UL << 22);
	auto_json struct json_doc d = { .count = 0 };
	struct json_iter it;
	uint32_t model_off = 0;

	expect(is_ok(responses_write(p, &e, &out, &model_off)));
	expect(is_ok(json_init(&d, &JSON_STRICT)));
	expect(is_ok(json_parse(&d, buf_span(&out))));
	expect(json_bytes(&d, json_get_str(&d, 0, "model")).ptr == out.ptr + model_off);
	expect(json_type(&d, json_get_str(&d, 0, "store")) == JSON_FALSE);
	check_input(&d);
	if (more.len > 0)
		expect(json_size(&d, json_get_str(&d, 0, "input")) > 0);
	it = json_iter(&d, json_get_str(&d, 0, "tools"));
	if (attach || p->interpreter)
		expect(json_size(&d, json_get_str(&d, 0, "tools")) > 0);
	while (json_next(&it))
		expect(!json_str_eq_str(&d, json_get_str(&d, it.val, "type"), "code_interpreter"));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct arena schema_arena = ARENA_INIT(1UL << 23);
	static const struct schema *schema;
	auto_arena struct arena a = ARENA_INIT(1UL << 22);
	auto_json struct json_doc d = { .count = 0 };
	struct prompt *p = NULL;
	struct fault fault = { .message = NULL };

	if (schema == NULL)
		expect(is_ok(schema_compile(schema_responses, &schema_arena, &schema, NULL)) &&
		       is_ok(strict_learn(schema_responses)));
	expect(is_ok(json_init(&d, &JSON_STRICT)));
	if (!is_ok(json_parse(&d, span_of(data, size))) ||
	    !is_ok(schema_validate(schema, &d, 0, NULL)) ||
	    strict_find_variant(&d, schema_responses) != JSON_NONE)
		return 0;
	if (!is_ok(responses_read(&d, &a, &p, &fault))) {
		expect(fault.message != NULL || fault.error == ERROR_CREDENTIAL_IN_CONTENT);
		return 0;
	}
	check_written(p, false, SPAN_EMPTY);
	check_written(p, !p->interpreter && p->attachable, SPAN_LIT(",{\"role\":\"user\"}"));
	return 0;
}
