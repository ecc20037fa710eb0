/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's chat body: what passes the schema is read, and what is written for
 * the provider is strict JSON again, with our edits in it.
 */
#include <stdlib.h>

#include <base/cleanup.h>
#include <chat.h>
#include <json/schema.h>
#include <routes.h>
#include <strict.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
expect(bool ok)
{
	if (!ok)
		abort();
}

static void
check_written(const struct prompt *c, bool attach, struct span messages)
{
	const struct edits e = { attach, messages };
	auto_buf struct buf out = BUF_INIT(1UL << 22);
	auto_json struct json_doc d = { .count = 0 };
	uint32_t model_off = 0;

	expect(is_ok(chat_write(c, &e, &out, &model_off)));
	expect(is_ok(json_init(&d, &JSON_STRICT)));
	expect(is_ok(json_parse(&d, buf_span(&out))));
	expect(json_bytes(&d, json_get_str(&d, 0, "model")).ptr == out.ptr + model_off);
	if (attach || c->interpreter)
		expect(json_size(&d, json_get_str(&d, 0, "tools")) > 0);
	if (c->stream)
		expect(json_type(&d, json_get_str(&d, json_get_str(&d, 0, "stream_options"),
					 "include_usage")) == JSON_TRUE);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct arena schema_arena = ARENA_INIT(1UL << 23);
	static const struct schema *schema;
	auto_arena struct arena a = ARENA_INIT(1UL << 22);
	auto_json struct json_doc d = { .count = 0 };
	struct prompt *c = NULL;
	struct fault fault = { .message = NULL };

	if (schema == NULL)
		expect(is_ok(schema_compile(schema_chat, &schema_arena, &schema, NULL)) &&
		       is_ok(strict_learn(schema_chat)));
	expect(is_ok(json_init(&d, &JSON_STRICT)));
	if (!is_ok(json_parse(&d, span_of(data, size))) ||
	    !is_ok(schema_validate(schema, &d, 0, NULL)) ||
	    strict_find_variant(&d, schema_chat) != JSON_NONE)
		return 0;
	if (!is_ok(chat_read(&d, &a, &c, &fault))) {
		expect(fault.message != NULL);
		return 0;
	}
	check_written(c, false, SPAN_EMPTY);
	if (!c->interpreter && c->attachable)
		check_written(c, true, SPAN_LIT(",{\"role\":\"tool\"}"));
	return 0;
}
