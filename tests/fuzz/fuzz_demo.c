/* SPDX-License-Identifier: Apache-2.0 */
/* The stand-in: any body becomes a refusal, or an answer that is JSON, whole and in pieces. */
#include <stdlib.h>

#include <base/cleanup.h>
#include <demo.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static void
answer(const struct demo_ask *ask, struct arena *a, struct span body)
{
	auto_buf struct buf whole = BUF_INIT(64U << 20), events = BUF_INIT(64U << 20);
	auto_json struct json_doc d = { .count = 0 };
	struct demo_plan plan;
	struct demo_reply r;
	struct status st = plan_make(ask, a, &plan);

	if (is_ok(st)) {
		check(plan.call.len == 0 || ask_offers(ask, plan.call));
		r = reply_of(ask, &plan, body, 1);
		check(is_ok(reply_put(&r, &whole)));
		check(
		    is_ok(json_init(&d, &JSON_STRICT)) && is_ok(json_parse(&d, buf_span(&whole))));
		for (st = OK; is_ok(st);)
			st = reply_next(&r, &events);
		check(st.code == E_EOF);
	}
	plan_done(&plan);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_json struct json_doc d = { .count = 0 };
	auto_arena struct arena a = ARENA_INIT(DEMO_ARENA_MAX);
	struct demo_ask ask;
	const char *why = NULL;

	check(is_ok(json_init(&d, &JSON_STRICT)));
	if (!is_ok(json_parse(&d, span_of(data, size))))
		return 0;
	if (is_ok(ask_read(&d, &a, &ask, &why)))
		answer(&ask, &a, span_of(data, size));
	else
		check(why != NULL);
	return 0;
}
