/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records as lines: every event, every member, hostile strings, and what is
 * refused at the door; the table of open intents.
 */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include <auditlog/auditlog.h>
#include <base/cleanup.h>
#include <base/io.h>
#include <crypto/crypto.h>
#include <encode.h>
#include <intents.h>
#include <json/json.h>
#include <keytext/keytext.h>

static const uint8_t prev[SHA256_LEN] = { 0xab, 0xcd };

static struct span
encode(struct buf *out, const struct audit_rec *r, bool more)
{
	const struct record_sender from = { .name = "authority", .id = 4, .missed = more ? 3 : 0 };
	const struct record_place at = {
		.ts_ns = 1767323045123456789ULL, .seq = 42, .prev = prev, .more = more
	};

	buf_clear(out);
	assert_true(is_ok(record_encode(r, &from, &at, out)));
	return buf_span(out);
}

static void
exact_line(void **arg)
{
	static const char want[] =
	    "{\"ts\":\"2026-01-02T03:04:05.123456789Z\",\"prev\":\"abcd"
	    "000000000000000000000000000000000000000000000000000000000000\",\"seq\":42,"
	    "\"more\":true,\"process\":{\"name\":\"authority\",\"id\":4,\"seq\":7,\"missed\":3},"
	    "\"request_id\":\"01020300-0000-0000-0000-000000000000\","
	    "\"subject\":\"09000000000000000000000000000000\","
	    "\"key\":\"08000000000000000000000000000000\",\"action\":\"model.call\","
	    "\"resource\":\"chat\",\"outcome\":\"unknown\",\"source_ip\":\"c2Vh\","
	    "\"phase\":\"outcome\",\"intent_seq\":41,\"cause\":\"timeout\",\"config\":5,"
	    "\"event\":{\"type\":\"PromptSubmitted\",\"model\":\"a\\\"b\",\"tokens_in\":"
	    "18446744073709551615,\"tokens_in_estimated\":false,\"size_bytes\":0}}";
	const struct audit_value values[] = { { AUDIT_V_STR, 0, SPAN_LIT("a\"b") },
		{ AUDIT_V_U64, UINT64_MAX, SPAN_EMPTY }, { AUDIT_V_BOOL, 0, SPAN_EMPTY },
		{ AUDIT_V_U64, 0, SPAN_EMPTY }, { AUDIT_V_NULL, 0, SPAN_EMPTY } };
	const struct audit_rec r = { .event = EVENT_PROMPT_SUBMITTED,
		.phase = AUDIT_PHASE_OUTCOME,
		.outcome = AUDIT_UNKNOWN,
		.cause = AUDIT_TIMEOUT,
		.intent_seq = 41,
		.request_id = { 1, 2, 3 },
		.subject = { 9 },
		.key = { 8 },
		.resource = SPAN_LIT("chat"),
		.source_ip = SPAN_LIT("c2Vh"),
		.config = 5,
		.proc_seq = 7,
		.values = { values, 5 } };
	struct buf out = BUF_INIT(1U << 20);
	struct auditlog_head h;

	(void)arg;
	assert_true(is_ok(record_check(&r)));
	(void)encode(&out, &r, true);
	assert_int_equal(out.len, sizeof(want) - 1);
	assert_memory_equal(out.ptr, want, out.len);
	assert_true(is_ok(auditlog_head_of(buf_span(&out), &h)));
	assert_int_equal(h.ts_ns, 1767323045123456789ULL);
	assert_int_equal(h.seq, 42);
	assert_true(h.more);
	assert_memory_equal(h.prev, prev, sizeof(prev));
	buf_done(&out);
}

/* The largest record of each event, of the worst bytes: JSON, one line, within the limit. */
static void
worst_strings(void **arg)
{
	static const char fills[] = { 0, '\n', '"', '\\', '\x7f', '\xff', '\xe2', 'x' };
	const struct json_opts opts = { .refuse_duplicates = true };
	struct buf out = BUF_INIT(1U << 20);

	(void)arg;
	for (uint8_t event = 1; event < EVENT_COUNT; event++) {
		for (size_t f = 0; f < COUNT(fills); f++) {
			struct audit_value values[AUDIT_VALUES_MAX];
			struct audit_rec r = {
				.event = event, .outcome = AUDIT_SUCCESS, .proc_seq = 1
			};
			struct json_doc doc = { 0 };
			uint8_t text[AUDIT_STR_MAX];
			struct auditlog_head h;
			struct span line;

			memset(text, fills[f], sizeof(text));
			r.resource = r.source_ip = span_of(text, sizeof(text));
			for (size_t i = 0; i < AUDIT_VALUES_MAX; i++)
				values[i] = (struct audit_value){
					(uint8_t)audit_events[event].fields[i].kind, 1,
					span_of(text, sizeof(text))
				};
			r.values.items = values;
			while (r.values.count < AUDIT_VALUES_MAX &&
			       audit_events[event].fields[r.values.count].name != NULL)
				r.values.count++;
			line = encode(&out, &r, false);
			assert_true(line.len <= AUDITLOG_LINE_MAX);
			assert_null(memchr(line.ptr, '\n', line.len));
			assert_true(is_ok(auditlog_head_of(line, &h)));
			assert_true(is_ok(json_init(&doc, &opts)));
			assert_true(is_ok(json_parse(&doc, line)));
			json_done(&doc);
		}
	}
	buf_done(&out);
}

static void
refused_at_the_door(void **arg)
{
	struct audit_value v[] = { { AUDIT_V_STR, 0, SPAN_LIT("api_key") },
		{ AUDIT_V_BOOL, 1, SPAN_EMPTY }, { AUDIT_V_NULL, 0, SPAN_EMPTY } };
	const struct audit_rec good = { .event = EVENT_AUTHENTICATION,
		.outcome = AUDIT_SUCCESS,
		.proc_seq = 1,
		.values = { v, 3 } };
	struct audit_rec r = good;
	uint8_t text[10 + KEYTEXT_LEN];

	(void)arg;
	assert_true(is_ok(record_check(&r)));
	r.values.count = 1;
	assert_int_equal(record_check(&r).code, E_PROTO);
	r = good;
	r.outcome = AUDIT_OUTCOME_NONE;
	assert_int_equal(record_check(&r).code, E_PROTO);
	r = good;
	r.phase = AUDIT_PHASE_INTENT;
	assert_int_equal(record_check(&r).code, E_PROTO);
	r = good;
	r.phase = AUDIT_PHASE_OUTCOME;
	assert_int_equal(record_check(&r).code, E_PROTO);
	r = good;
	r.intent_seq = 4;
	assert_int_equal(record_check(&r).code, E_PROTO);
	r = good;
	r.proc_seq = 0;
	assert_int_equal(record_check(&r).code, E_PROTO);
	r = good;
	r.event = EVENT_LOG_OPENED;
	assert_int_equal(record_check(&r).code, E_PROTO);
	v[1].num = 2;
	assert_int_equal(record_check(&good).code, E_PROTO);
	v[1].num = 1;
	v[0].kind = AUDIT_V_U64;
	assert_int_equal(record_check(&good).code, E_PROTO);
	v[0].kind = AUDIT_V_STR;
	/* A key anywhere in a string; with a wrong digit it is none. */
	for (size_t at = 0; at <= 10; at++) {
		memset(text, '_', sizeof(text));
		memcpy(text, "sp_sp_", 6);
		assert_true(is_ok(keytext_create(text + at)));
		v[0].str = span_of(text, sizeof(text));
		assert_int_equal(record_check(&good).code, E_DENIED);
		text[at + 20] = text[at + 20] == 'a' ? 'b' : 'a';
		assert_true(is_ok(record_check(&good)));
	}
}

/* Against a plain array, with seqs that collide. */
static void
intents_table(void **arg)
{
	enum { SEQS = 5000 };
	static bool open[SEQS];
	struct intents t = { 0 };
	uint32_t count = 0, rnd = 1;

	(void)arg;
	for (int step = 0; step < 200000; step++) {
		uint64_t n, seq;

		rnd = rnd * 1664525U + 1013904223U;
		n = rnd >> 8;
		n %= SEQS;
		seq = 1 + n / 50 * 1024 + n % 50; /* crowds of fifty, a table apart */
		if (open[n]) {
			intents_remove(&t, seq);
			count--;
		} else {
			const struct intent i = { .seq = seq, .owner = n % 7 };

			assert_true(is_ok(intents_reserve(&t, 1)));
			intents_add(&t, &i);
			count++;
		}
		open[n] = !open[n];
		assert_int_equal(t.count, count);
		n = (n * 7 + 13) % SEQS;
		assert_int_equal(intents_find(&t, 1 + n / 50 * 1024 + n % 50) != NULL, open[n]);
	}
	intents_orphan(&t, 3, AUDIT_PROCESS_DIED);
	for (uint32_t n = 0; n < SEQS; n++) {
		const struct intent *i = intents_find(&t, 1 + n / 50 * 1024 + n % 50);

		assert_int_equal(i != NULL, open[n]);
		if (i != NULL)
			assert_int_equal(i->owner, n % 7 == 3 ? 0 : n % 7);
	}
	assert_int_equal(intents_reserve(&t, INTENTS_MAX).code, E_FULL);
	intents_done(&t);
}

/* docs/audit-format.md has a word for each record and each of its fields. */
static void
the_document_names_all(void **state)
{
	auto_buf struct buf doc = BUF_INIT(1 << 20);
	const char *data = getenv("SALLYPORT_TEST_DATA");
	char path[4096], name[80];

	(void)state;
	if (data == NULL)
		skip();
	(void)snprintf(path, sizeof(path), "%s/../docs/audit-format.md", data);
	assert_true(is_ok(io_read_file(AT_FDCWD, path, &doc)));
	for (int e = 1; e < EVENT_COUNT; e++) {
		const struct audit_event_row *row = &audit_events[e];

		for (int i = -1; i < AUDIT_VALUES_MAX; i++) {
			const char *what = i < 0 ? row->name : row->fields[i].name;

			if (what == NULL)
				continue;
			(void)snprintf(name, sizeof(name), "`%s`", what);
			if (memmem(doc.ptr, doc.len, name, strlen(name)) == NULL)
				print_error("%s: %s is in no document\n", row->name, what);
			assert_non_null(memmem(doc.ptr, doc.len, name, strlen(name)));
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exact_line),
		cmocka_unit_test(worst_strings),
		cmocka_unit_test(refused_at_the_door),
		cmocka_unit_test(intents_table),
		cmocka_unit_test(the_document_names_all),
	};

	if (!is_ok(crypto_init()))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
