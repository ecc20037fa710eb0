/* SPDX-License-Identifier: Apache-2.0 */
/* src/broker redact: properties over many encodings, cut in many ways, against a slow oracle. */
#include "unit.h"

#include <stdio.h>

#include <crypto/crypto.h>
#include <redact.h>

#include "redact_oracle.h"

#define TEXT_MAX 8192
#define ROUNDS 3000

static uint32_t seed = 7;

static uint32_t
dice(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

static const char *const keys[] = { "sk-proj-Ab3_Zq9xyLongEnough42",
	"sk-Ab3_Zq\"9+/x~yLongEnough\\42", "%41%2Fab\\u0041%zz\\", "nnnnnnnn", "u0041u00",
	"\\\\\\\\\\\\\\\\", "%%%%%%%%25", "aaaaaaaaab", "tok\\\"en/\\/x", "[[[[[[[[[SI%" };

/* One byte of the secret, in one of the ways a provider may write it. */
static void
put_byte(struct buf *out, uint8_t c, unsigned way)
{
	const char *digits = way % 2 != 0 ? "0123456789ABCDEF" : "0123456789abcdef";

	if (way < 4)
		assert_true(is_ok(buf_printf(
		    out, "%s%c%c", way < 2 ? "\\u00" : "%", digits[c >> 4], digits[c & 15])));
	else if (way == 4 && (c == '"' || c == '\\' || c == '/'))
		assert_true(is_ok(buf_printf(out, "\\%c", c)));
	else
		assert_true(is_ok(buf_put_u8(out, c)));
}

/* So that it can be read back: all JSON, all percent, both, or as it is. */
static void
put_text(struct buf *out, struct span text, unsigned style)
{
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.ptr[i];
		unsigned way = dice(style == 3 ? 6 : 4);

		if (style == 0)
			way = 9;
		else if (style == 1) /* what must be escaped is */
			way = c == '\\' || c == '"' ? (dice(2) != 0 ? 4 : dice(2))
			      : dice(3) == 0        ? dice(2)
						    : 5;
		else if (style == 2)
			way = c == '%' || dice(3) == 0 ? 2 + dice(2) : 9;
		else if (c == '\\' || c == '%')
			way = dice(4);
		put_byte(out, c, way);
	}
}

static void
put_noise(struct buf *out, struct span key)
{
	static const char *const bits[] = { "\\n", "\\\"", "\\\\", "%20", "\\u2019", "\\u00", "%4",
		"\\", "%", "data: {\"content\":\"", "\"}\n\n", "hello ", "\\u0073", "%73", "/",
		"\\/" };

	for (uint32_t n = dice(12); n > 0; n--)
		assert_true(is_ok(buf_put_str(out, bits[dice(COUNT(bits))])));
	if (dice(3) == 0) /* a part of it */
		put_text(out, span_of(key.ptr, dice((uint32_t)key.len)), dice(4));
}

static void
put_form(struct buf *out, const struct oracle *o)
{
	size_t f = dice((uint32_t)o->count);
	char text[TEXT_MAX];

	memcpy(text, o->form[f], o->len[f]);
	for (size_t i = 0; o->any_case[f] && i < o->len[f]; i++) {
		if (text[i] >= 'a' && dice(2) == 0)
			text[i] = (char)(text[i] - 32);
	}
	put_text(out, span_of(text, o->len[f]), dice(4));
}

static void
pass(const struct redactor *r, struct span in, struct buf *out)
{
	static uint8_t work[TEXT_MAX];
	size_t held = 0, most = dice(2) == 0 ? 4 : 200;

	while (in.len > 0) {
		size_t n = 1 + dice((uint32_t)most), len;

		n = n < in.len ? n : in.len;
		memcpy(work + held, in.ptr, n);
		len = held + n;
		(void)redact_part(r, work, len, &held);
		assert_true(held <= len);
		assert_true(is_ok(buf_put(out, work, len - held)));
		memmove(work, work + len - held, held);
		in = span_from(in, n);
	}
	(void)redact_part(r, work, held, NULL);
	assert_true(is_ok(buf_put(out, work, held)));
}

static void
expect(const struct redactor *r, const struct oracle *o, struct span in)
{
	struct buf out = BUF_INIT(TEXT_MAX);

	pass(r, in, &out);
	assert_int_equal(out.len, in.len);
	for (size_t i = 0; i < out.len; i++)
		assert_true(out.ptr[i] == in.ptr[i] || out.ptr[i] == REDACT_MARK);
	if (!oracle_finds(o, in) && memcmp(out.ptr, in.ptr, in.len) != 0)
		print_error("%.*s\n%.*s\n", (int)in.len, (const char *)in.ptr, (int)out.len,
		    (const char *)out.ptr);
	if (!oracle_finds(o, in))
		assert_memory_equal(out.ptr, in.ptr, in.len);
	else if (oracle_finds(o, buf_span(&out))) {
		print_error("%.*s\n%.*s\n", (int)in.len, (const char *)in.ptr, (int)out.len,
		    (const char *)out.ptr);
		assert_true(false); /* it is still there */
	}
	buf_done(&out);
}

static void
no_encoding_comes_out(void **state)
{
	size_t found = 0, clean = 0;

	(void)state;
	for (size_t k = 0; k < COUNT(keys); k++) {
		struct redactor r = REDACTOR_NONE;
		struct oracle o = oracle_new(span_str(keys[k]));

		assert_true(is_ok(redactor_init(&r, span_str(keys[k]))));
		for (int round = 0; round < ROUNDS; round++) {
			struct buf text = BUF_INIT(TEXT_MAX);

			put_noise(&text, span_str(keys[k]));
			if (round % 3 != 0)
				put_form(&text, &o);
			put_noise(&text, span_str(keys[k]));
			if (text.len > 0)
				expect(&r, &o, buf_span(&text));
			if (oracle_finds(&o, buf_span(&text)))
				found++;
			else
				clean++;
			buf_done(&text);
		}
		redactor_done(&r);
		oracle_done(&o);
	}
	assert_true(found > ROUNDS && clean > ROUNDS); /* both were tried */
}

/* What is held back is bounded even where all of a piece may be the beginning of a match. */
static void
holding_is_bounded(void **state)
{
	static char key[4097], text[REDACT_PART_MAX + 1];
	struct redactor r = REDACTOR_NONE;
	size_t held;

	(void)state;
	memset(key, 'a', 4096);
	assert_true(is_ok(redactor_init(&r, span_str(key))));
	for (size_t i = 0; i + 6 <= REDACT_PART_MAX; i += 6)
		memcpy(text + i, "\\u0061", 6);
	(void)redact_part(&r, (uint8_t *)text, 6 * 4000, &held);
	assert_true(held <= REDACT_HELD_MAX);
	assert_int_equal(redact_part(&r, (uint8_t *)text, 6 * 4096, &held), 1);
	redactor_done(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_encoding_comes_out),
		cmocka_unit_test(holding_is_bounded),
	};

	if (!is_ok(crypto_init()))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
