/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile provider in Anthropic's dialect: flags, piece length, then its bytes, as one
 * answer or as events. Whatever reaches the client is JSON under its own type's name,
 * its blocks have numbers without gaps, and no call of ours is among them.
 */
#include <stdlib.h>

#include <base/cleanup.h>
#include <messages_answer.h>
#include <run.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct json_doc doc, check;
static uint64_t blocks; /* that the client has */

static void
expect(bool ok)
{
	if (!ok)
		abort();
}

static bool
of_block(struct span name)
{
	return span_eq_str(name, "content_block_start") ||
	       span_eq_str(name, "content_block_delta") || span_eq_str(name, "content_block_stop");
}

static struct status
emit(void *ctx, struct span name, struct span json)
{
	const struct answer *a = ctx;
	uint64_t index = 0;
	uint32_t block;

	expect(is_ok(json_parse(&check, json)));
	expect(json_type(&check, 0) == JSON_OBJECT);
	expect(json_str_eq(&check, json_get_str(&check, 0, "type"), name));
	if (!a->ours)
		return OK;
	block = json_get_str(&check, 0, "content_block");
	expect(!span_eq_str(name, "content_block_start") ||
	       !json_str_eq_str(&check, json_get_str(&check, block, "name"), MESSAGES_TOOL) ||
	       !json_str_eq_str(&check, json_get_str(&check, block, "type"), "tool_use"));
	if (!of_block(name))
		return OK; /* its index, if it has one, numbers no block */
	expect(is_ok(json_u64(&check, json_get_str(&check, 0, "index"), UINT32_MAX, &index)));
	blocks += span_eq_str(name, "content_block_start");
	expect(index + 1 == blocks);
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

static struct status
run_all(struct answer *a, struct buf *out)
{
	static struct run run;

	run.out[0].text.max = 64;
	memcpy(run.sandbox, "x", 2);
	TRY(a->dialect->put_calls(a, out));
	for (size_t i = 0; i < a->calls.count; i++) {
		const struct step s = {
			.call = i, .id = "exec_1", .code = SPAN_LIT("1"), .run = &run
		};

		TRY(a->dialect->show(a, &s, STEP_RESULT, SPAN_EMPTY));
		TRY(a->dialect->put_result(a, &s, SPAN_LIT("told"), out));
	}
	expect(out->ptr[0] == ',');
	out->ptr[0] = '[';
	TRY(buf_put_u8(out, ']'));
	expect(is_ok(json_parse(&check, buf_span(out))));
	return OK;
}

static void
finish(struct answer *a)
{
	auto_buf struct buf out = BUF_INIT(1UL << 24);

	expect(is_ok(answer_release(a, &out)));
	if (!a->prompt->stream)
		expect(is_ok(json_parse(&check, buf_span(&out))));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct answer a;
	static struct arena own = ARENA_INIT(1UL << 16);
	struct messages prompt = { .bash = true };
	enum answer_next next = 0;
	struct span bytes = span_of(data, size);

	/* A block is deeper in a list of messages than in its event. */
	static const struct json_opts deep = { .refuse_duplicates = true,
		.depth_max = JSON_DEPTH_MAX,
		.tokens_max = ANSWER_TOKENS_MAX };

	if (doc.tok == NULL && doc.seed[0] == 0) {
		expect(is_ok(json_init(&doc, &answer_json_opts)));
		expect(is_ok(json_init(&check, &deep)));
	}
	if (size < 2)
		return 0;
	answer_over(&a);
	arena_reset(&own);
	blocks = 0;
	prompt.p.stream = (data[0] & 1) != 0;
	prompt.p.interpreter = (data[0] & 2) != 0;
	expect(is_ok(answer_start(&a, &dialect_messages, &prompt.p, &own, &doc)));
	a.emit = emit;
	a.ctx = &a;
	bytes = span_from(bytes, 2);
	for (int step = 0; step < 2; step++) {
		auto_buf struct buf more = BUF_INIT(1UL << 24);

		if (!is_ok(one_answer(&a, bytes, data[1] + 1UL, &next)))
			return 0;
		if (next == ANSWER_FINAL)
			finish(&a);
		else if (!is_ok(run_all(&a, &more)))
			return 0;
		if (next == ANSWER_FINAL)
			return 0;
		answer_again(&a);
	}
	return 0;
}
