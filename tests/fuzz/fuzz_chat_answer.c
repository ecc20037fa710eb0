/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile provider: flags, piece length, then its bytes, as one answer or as
 * events. Whatever reaches the client is JSON; calls of ours never do.
 */
#include <stdlib.h>

#include <base/cleanup.h>
#include <chat.h>
#include <chat_answer.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct json_doc doc, check;

static void
expect(bool ok)
{
	if (!ok)
		abort();
}

static struct status
emit(void *ctx, struct span name, struct span json)
{
	const struct answer *a = ctx;

	expect(name.len == 0);
	expect(is_ok(json_parse(&check, json)));
	expect(json_type(&check, 0) == JSON_OBJECT);
	if (a->ours) {
		uint32_t choice = json_at(&check, json_get_str(&check, 0, "choices"), 0);
		uint32_t delta = json_get_str(&check, choice, "delta");
		struct json_iter it = json_iter(&check, json_get_str(&check, delta, "tool_calls"));

		while (json_next(&it))
			expect(!json_str_eq_str(&check,
			    json_get_str(&check, json_get_str(&check, it.val, "function"), "name"),
			    TOOL_NAME));
	}
	return OK;
}

static struct status
one_answer(struct answer *a, struct span bytes, size_t piece, enum answer_next *next)
{
	while (bytes.len > 0) {
		size_t n = bytes.len < piece ? bytes.len : piece;

		TRY(answer_feed(a, span_of(bytes.ptr, n)));
		bytes = span_from(bytes, n);
	}
	return answer_end(a, 100, next);
}

static void
finish(struct answer *a, enum answer_next next)
{
	auto_buf struct buf out = BUF_INIT(1UL << 24);

	if (next == ANSWER_RUN) {
		expect(is_ok(dialect_chat.put_calls(a, &out)));
		expect(is_ok(json_parse(&check, span_from(buf_span(&out), 1))));
		return;
	}
	if (chat_own(a)->steps.len == 0)
		expect(is_ok(buf_put_str(&chat_own(a)->steps, "{\"x\":1}")));
	expect(is_ok(answer_release(a, &out)));
	if (!a->prompt->stream)
		expect(is_ok(json_parse(&check, buf_span(&out))));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct answer a;
	static struct arena own = ARENA_INIT(1UL << 16);
	struct chat prompt = { .usage = false };
	enum answer_next next = 0;
	struct span bytes = span_of(data, size);

	if (doc.tok == NULL && doc.seed[0] == 0) {
		expect(is_ok(json_init(&doc, &answer_json_opts)));
		expect(is_ok(json_init(&check, &answer_json_opts)));
	}
	if (size < 2)
		return 0;
	answer_over(&a);
	arena_reset(&own);
	prompt.p.stream = (data[0] & 1) != 0;
	prompt.p.interpreter = (data[0] & 2) != 0;
	prompt.usage = (data[0] & 4) != 0;
	expect(is_ok(answer_start(&a, &dialect_chat, &prompt.p, &own, &doc)));
	a.emit = emit;
	a.ctx = &a;
	bytes = span_from(bytes, 2);
	for (int step = 0; step < 2; step++) {
		if (!is_ok(one_answer(&a, bytes, data[1] + 1UL, &next)))
			return 0;
		finish(&a, next);
		answer_again(&a);
	}
	return 0;
}
