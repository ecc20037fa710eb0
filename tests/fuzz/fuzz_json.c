/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser, with options from the first byte; then every reader, the pointers,
 * and the writer, whose output must parse to an equal value.
 */
#include <stdlib.h>

#include <base/cleanup.h>
#include <json/json.h>
#include <json/write.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static void
read_all(const struct json_doc *d)
{
	auto_arena struct arena a = ARENA_INIT(1 << 24);

	for (uint32_t i = 0; i < d->count; i++) {
		auto_buf struct buf out = BUF_INIT(1 << 24);
		struct span s;
		uint64_t u;
		int64_t n;
		double v;

		check(is_ok(json_pointer(d, i, &out)));
		if (is_ok(json_str(d, i, &a, &s)))
			check(json_str_eq(d, i, s));
		if (is_ok(json_u64(d, i, INT64_MAX, &u)))
			check(is_ok(json_i64(d, i, 0, INT64_MAX, &n)) && (uint64_t)n == u);
		(void)is_ok(json_double(d, i, &v));
	}
}

/* Strings and keys are written anew, all else as it stands. */
static void
write_value(struct json_writer *w, const struct json_doc *d, uint32_t tok)
{
	struct json_iter it = json_iter(d, tok);
	enum json_type type = json_type(d, tok);
	auto_buf struct buf text = BUF_INIT(1 << 24);

	if (type != JSON_ARRAY && type != JSON_OBJECT) {
		if (is_ok(json_str_put(d, tok, &text)))
			json_put_str(w, buf_span(&text));
		else
			json_put_raw(w, json_bytes(d, tok));
		return;
	}
	if (type == JSON_ARRAY)
		json_put_array(w);
	else
		json_put_object(w);
	while (json_next(&it)) {
		buf_clear(&text);
		if (it.key != JSON_NONE) {
			check(is_ok(json_str_put(d, it.key, &text)));
			json_put_key_span(w, buf_span(&text));
		}
		write_value(w, d, it.val);
	}
	json_put_end(w);
}

static void
check_equal(const struct json_doc *d, struct span text)
{
	auto_json struct json_doc back = { .count = 0 };
	uint64_t steps = 1 << 22;
	bool equal = false;
	struct status st;

	check(is_ok(json_init(&back, &d->opts)));
	check(is_ok(json_parse(&back, text)));
	st = json_equal(d, 0, &back, 0, &steps, &equal);
	check(st.code == E_FULL || equal);
}

static void
round_trip(const struct json_doc *d)
{
	auto_buf struct buf out = BUF_INIT(1 << 24);
	struct json_writer w = json_writer(&out);

	write_value(&w, d, 0);
	check(is_ok(json_writer_finish(&w)));
	check_equal(d, buf_span(&out));
	buf_clear(&out);
	w = json_writer(&out);
	json_put_compact(&w, d->src);
	check(is_ok(json_writer_finish(&w)));
	check(memchr(out.ptr, '\n', out.len) == NULL);
	check_equal(d, buf_span(&out));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_json struct json_doc d = { .count = 0 };
	auto_buf struct buf pointer = BUF_INIT(1 << 24);
	struct json_opts opts = { .tokens_max = 10000 };

	if (size == 0)
		return 0;
	opts.refuse_duplicates = data[0] & 1;
	opts.refuse_surrogates = data[0] & 2;
	opts.refuse_nul = data[0] & 4;
	check(is_ok(json_init(&d, &opts)));
	if (!is_ok(json_parse(&d, span_of(data + 1, size - 1)))) {
		check(d.fault.message != NULL && d.fault.offset <= size - 1);
		check(is_ok(json_fault_pointer(&d, &pointer)));
		return 0;
	}
	read_all(&d);
	if (opts.refuse_duplicates) /* else members have no one partner */
		round_trip(&d);
	return 0;
}
