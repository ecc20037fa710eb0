/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's body in Anthropic's dialect: what passes the schema is read, and what is
 * written for the provider is strict JSON again, with our edits in it and no run left.
 */
#include <stdlib.h>

#include <base/cleanup.h>
#include <json/schema.h>
#include <messages.h>
#include <routes.h>
#include <strict.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
expect(bool ok)
{
	if (!ok)
		abort();
}

/* Each call of the assistant's has its result in the next message, in one place. */
static void
check_list(const struct json_doc *d, uint32_t list)
{
	struct json_iter it = json_iter(d, list);

	while (json_next(&it)) {
		struct json_iter b = json_iter(d, json_get_str(d, it.val, "content"));

		if (!json_str_eq_str(d, json_get_str(d, it.val, "role"), "assistant"))
			continue;
		while (json_next(&b))
			expect(!messages_block_ran(d, b.val));
	}
}

static void
check_written(const struct messages *m, bool attach, struct span more)
{
	const struct edits e = { attach, more };
	auto_buf struct buf out = BUF_INIT(1UL << 24);
	auto_json struct json_doc d = { .count = 0 };
	uint32_t model_off = 0;

	expect(is_ok(messages_write(&m->p, &e, &out, &model_off)));
	expect(is_ok(json_init(&d, &JSON_STRICT)));
	expect(is_ok(json_parse(&d, buf_span(&out))));
	expect(json_bytes(&d, json_get_str(&d, 0, "model")).ptr == out.ptr + model_off);
	if (attach || m->p.interpreter)
		expect(json_size(&d, json_get_str(&d, 0, "tools")) > 0);
	check_list(&d, json_get_str(&d, 0, "messages"));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct arena schema_arena = ARENA_INIT(1UL << 23);
	static const struct schema *schema;
	auto_arena struct arena a = ARENA_INIT(1UL << 24);
	auto_json struct json_doc d = { .count = 0 };
	struct prompt *p = NULL;
	struct fault fault = { .message = NULL };

	if (schema == NULL)
		expect(is_ok(schema_compile(schema_messages, &schema_arena, &schema, NULL)) &&
		       is_ok(strict_learn(schema_messages)));
	expect(is_ok(json_init(&d, &JSON_STRICT)));
	if (!is_ok(json_parse(&d, span_of(data, size))) ||
	    !is_ok(schema_validate(schema, &d, 0, NULL)) ||
	    strict_find_variant(&d, schema_messages) != JSON_NONE)
		return 0;
	if (!is_ok(messages_read(&d, &a, &p, &fault))) {
		expect(fault.message != NULL);
		return 0;
	}
	check_written(messages_of(p), false, SPAN_EMPTY);
	if (!p->interpreter && p->attachable)
		check_written(messages_of(p), true, SPAN_LIT(",{\"role\":\"user\"}"));
	return 0;
}
