/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile provider of responses: flags, piece length, then its bytes, as one answer or
 * as events, twice. Whatever reaches the client is JSON; calls of ours never do.
 */
#include <stdlib.h>

#include <base/cleanup.h>
#include <responses.h>
#include <run.h>

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
	uint32_t item;

	expect(is_ok(json_parse(&check, json)));
	expect(json_type(&check, 0) == JSON_OBJECT);
	item = json_get_str(&check, 0, "item");
	if (a->ours && span_starts(name, SPAN_LIT("response.output_item.")))
		expect(
		    !json_str_eq_str(&check, json_get_str(&check, item, "type"), "function_call") ||
		    !json_str_eq_str(&check, json_get_str(&check, item, "name"), TOOL_NAME));
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
run_calls(struct answer *a)
{
	auto_buf struct buf more = BUF_INIT(1UL << 24);
	struct run run = { .have_result = true };
	struct step s = { .calls = a->calls.count, .id = "exec_a_1", .run = &run };

	run_reset(&run);
	expect(is_ok(responses_put_calls(a, &more)));
	for (s.call = 0; s.call < s.calls; s.call++, s.index++) {
		if (a->prompt->stream && s.call % 2 == 0)
			expect(is_ok(responses_show(a, &s, STEP_STARTED, SPAN_EMPTY)));
		expect(is_ok(responses_show(a, &s, STEP_RESULT, SPAN_EMPTY)));
		expect(is_ok(responses_put_result(a, &s, SPAN_LIT("x"), &more)));
	}
	if (more.len > 0) {
		more.ptr[0] = '[';
		expect(is_ok(buf_put_u8(&more, ']')));
		expect(is_ok(json_parse(&check, buf_span(&more))));
	}
	run_free(&run);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct answer a;
	static struct arena own = ARENA_INIT(1UL << 18);
	struct responses prompt = { .tools_shown = SPAN_LIT("[]"),
		.choice_shown = SPAN_LIT("\"auto\"") };
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
	expect(is_ok(answer_start(&a, &dialect_responses, &prompt.p, &own, &doc)));
	a.emit = emit;
	a.ctx = &a;
	bytes = span_from(bytes, 2);
	for (int step = 0; step < 2; step++) {
		auto_buf struct buf out = BUF_INIT(1UL << 24);

		if (!is_ok(one_answer(&a, bytes, data[1] + 1UL, &next)))
			return 0;
		if (next == ANSWER_RUN)
			run_calls(&a);
		else
			expect(is_ok(answer_release(&a, &out)));
		if (out.len > 0)
			expect(is_ok(json_parse(&check, buf_span(&out))));
		answer_again(&a);
	}
	return 0;
}
