/* SPDX-License-Identifier: Apache-2.0 */
/* lib/wasm: the quick look at a module's sections, and its limits. */
#include "unit.h"

#include <string.h>

#include <base/cleanup.h>
#include <wasm/sections.h>

static const uint8_t head[] = { 0, 'a', 's', 'm', 1, 0, 0, 0 };

static void
put_leb(struct buf *b, uint32_t v)
{
	do {
		uint8_t byte = v & 0x7f;

		v >>= 7;
		assert_true(is_ok(buf_put_u8(b, v != 0 ? byte | 0x80 : byte)));
	} while (v != 0);
}

static void
put_section(struct buf *b, uint8_t id, struct span content)
{
	assert_true(is_ok(buf_put_u8(b, id)));
	put_leb(b, (uint32_t)content.len);
	assert_true(is_ok(buf_put_span(b, content)));
}

static enum code
look(struct span module, struct wasm_counts *c, const char **why)
{
	return (enum code)wasm_sections_check(module, c, why).code;
}

/* A module with one section that says it has `count` items. */
static enum code
look_count(uint8_t id, uint32_t count, const char **why)
{
	auto_buf struct buf content = BUF_INIT(64), m = BUF_INIT(128);
	struct wasm_counts c;

	put_leb(&content, count);
	assert_true(is_ok(buf_put(&m, head, sizeof(head))));
	put_section(&m, id, buf_span(&content));
	return look(buf_span(&m), &c, why);
}

static void
put_body(struct buf *code, uint32_t locals, uint32_t pad)
{
	auto_buf struct buf b = BUF_INIT(4U << 20);

	put_leb(&b, 1);
	put_leb(&b, locals);
	assert_true(is_ok(buf_put_u8(&b, 0x7f)));
	for (uint32_t i = 0; i < pad; i++)
		assert_true(is_ok(buf_put_u8(&b, 0x01)));
	assert_true(is_ok(buf_put_u8(&b, 0x0b)));
	put_leb(code, (uint32_t)b.len);
	assert_true(is_ok(buf_put_span(code, buf_span(&b))));
}

static enum code
look_bodies(uint32_t n, uint32_t locals, uint32_t pad, struct wasm_counts *c, const char **why)
{
	auto_buf struct buf code = BUF_INIT(16U << 20), m = BUF_INIT(16U << 20);

	put_leb(&code, n);
	for (uint32_t i = 0; i < n; i++)
		put_body(&code, locals, pad);
	assert_true(is_ok(buf_put(&m, head, sizeof(head))));
	put_section(&m, 10, buf_span(&code));
	return look(buf_span(&m), c, why);
}

static void
test_plain(void **state)
{
	struct wasm_counts c;
	const char *why;

	(void)state;
	assert_int_equal(look(span_of(head, sizeof(head)), &c, &why), E_OK);
	assert_string_equal(why, "");
	assert_int_equal(look_bodies(3, 7, 20, &c, &why), E_OK);
	assert_int_equal(c.bodies, 3);
	assert_int_equal(c.locals_max, 7);
	assert_int_equal(c.body_max, 24);
	assert_int_equal(c.items[10], 3);
}

static void
test_not_a_module(void **state)
{
	static const uint8_t component[] = { 0, 'a', 's', 'm', 0x0d, 0, 1, 0 };
	static const uint8_t cut_length[] = { 0, 'a', 's', 'm', 1, 0, 0, 0, 1, 0x80 };
	static const uint8_t cut_content[] = { 0, 'a', 's', 'm', 1, 0, 0, 0, 1, 5, 1 };
	static const uint8_t long_leb[] = { 0, 'a', 's', 'm', 1, 0, 0, 0, 1, 0x80, 0x80, 0x80, 0x80,
		0x80, 0 };
	static const uint8_t big_leb[] = { 0, 'a', 's', 'm', 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff,
		0x7f };
	static const uint8_t tag[] = { 0, 'a', 's', 'm', 1, 0, 0, 0, 13, 1, 0 };
	const struct span bad[] = { SPAN_EMPTY, span_of(head, 7), SPAN_LIT("(module)"),
		span_of(component, sizeof(component)), span_of(cut_length, sizeof(cut_length)),
		span_of(cut_content, sizeof(cut_content)), span_of(long_leb, sizeof(long_leb)),
		span_of(big_leb, sizeof(big_leb)), span_of(tag, sizeof(tag)) };
	struct wasm_counts c;
	const char *why;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_int_equal(look(bad[i], &c, &why), E_SYNTAX);
		assert_true(strlen(why) > 0);
	}
}

static void
test_limits(void **state)
{
	static const struct {
		uint8_t id;
		uint32_t max;
	} rows[] = { { 1, 10000 }, { 2, 256 }, { 3, WASM_FUNCTIONS_MAX }, { 4, 4 }, { 5, 1 },
		{ 6, 10000 }, { 7, 10000 }, { 9, 10000 }, { 11, WASM_SEGMENTS_MAX },
		{ 12, WASM_SEGMENTS_MAX } };
	const char *why;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(look_count(rows[i].id, rows[i].max, &why), E_OK);
		assert_int_equal(look_count(rows[i].id, rows[i].max + 1, &why), E_RANGE);
		assert_int_equal(look_count(rows[i].id, UINT32_MAX, &why), E_RANGE);
		assert_non_null(strstr(why, "m"));
	}
	assert_int_equal(look_count(11, 100000, &why), E_RANGE);
	assert_string_equal(why, "too many data segments");
	/* Code that says more than there is. */
	assert_int_equal(look_count(10, 2, &why), E_SYNTAX);
}

/* Two sections of one kind share the limit: the second is the validator's to refuse. */
static void
test_twice(void **state)
{
	auto_buf struct buf m = BUF_INIT(64);
	static const uint8_t one[] = { 1, 0 };
	struct wasm_counts c;
	const char *why;

	(void)state;
	assert_true(is_ok(buf_put(&m, head, sizeof(head))));
	put_section(&m, 5, span_of(one, sizeof(one)));
	put_section(&m, 5, span_of(one, sizeof(one)));
	assert_int_equal(look(buf_span(&m), &c, &why), E_RANGE);
	assert_string_equal(why, "more than one memory");
}

static void
test_bodies(void **state)
{
	struct wasm_counts c;
	const char *why;

	(void)state;
	assert_int_equal(look_bodies(1, WASM_LOCALS_MAX, 1, &c, &why), E_OK);
	assert_int_equal(look_bodies(1, WASM_LOCALS_MAX + 1, 1, &c, &why), E_RANGE);
	assert_string_equal(why, "too many local variables");
	assert_int_equal(look_bodies(1, UINT32_MAX, 1, &c, &why), E_RANGE);
	/* Each below its limit, together too much work. */
	assert_int_equal(look_bodies(3, WASM_LOCALS_MAX, 50000, &c, &why), E_RANGE);
	assert_string_equal(why, "too many local variables");
	assert_int_equal(look_bodies(1, 1, WASM_BODY_MAX, &c, &why), E_RANGE);
	assert_string_equal(why, "a function that is too long");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_not_a_module),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_bodies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
