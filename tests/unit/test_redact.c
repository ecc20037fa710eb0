/* SPDX-License-Identifier: Apache-2.0 */
/* src/broker redact: a secret is found in all its forms, wherever the stream is cut. */
#include "unit.h"

#include <stdio.h>

#include <redact.h>

#include <base/encode.h>
#include <crypto/crypto.h>

#define KEY "sk-Ab3_Zq\"9+/x~yLongEnough\\42"
#define TEXT_MAX 2048

static struct redactor r;

static int
up(void **state)
{
	(void)state;
	assert_true(is_ok(crypto_init()));
	return is_ok(redactor_init(&r, SPAN_LIT(KEY))) ? 0 : -1;
}

static int
down(void **state)
{
	(void)state;
	redactor_done(&r);
	return 0;
}

/* As call.c does it: what was held comes before the next bytes. */
struct stream {
	uint8_t held[TEXT_MAX], out[TEXT_MAX];
	size_t nheld, nout;
};

static void
feed(struct stream *s, struct span in)
{
	uint8_t work[TEXT_MAX];
	size_t len = s->nheld + in.len;

	memcpy(work, s->held, s->nheld);
	if (in.len > 0)
		memcpy(work + s->nheld, in.ptr, in.len);
	(void)redact_part(&r, work, len, &s->nheld);
	assert_true(s->nheld <= REDACT_HELD_MAX);
	memcpy(s->held, work + len - s->nheld, s->nheld);
	memcpy(s->out + s->nout, work, len - s->nheld);
	s->nout += len - s->nheld;
}

static void
end(struct stream *s)
{
	memcpy(s->out + s->nout, s->held, s->nheld);
	s->nout += s->nheld;
}

static void
expect_at_every_cut(const char *text, const char *want)
{
	struct span in = span_str(text);

	for (size_t cut = 0; cut <= in.len; cut++) {
		struct stream s = { .nheld = 0 };

		feed(&s, span_of(in.ptr, cut));
		feed(&s, span_from(in, cut));
		end(&s);
		assert_int_equal(s.nout, in.len);
		assert_memory_equal(s.out, want, in.len);
	}
	struct stream s = { .nheld = 0 };
	for (size_t i = 0; i < in.len; i++)
		feed(&s, span_of(in.ptr + i, 1));
	end(&s);
	assert_memory_equal(s.out, want, in.len);
}

/* `form` between two texts becomes asterisks, and nothing else changes. */
static void
expect_gone(const char *before, const char *form, const char *after)
{
	char text[TEXT_MAX], want[TEXT_MAX];
	size_t at = strlen(before), len = strlen(form);

	snprintf(text, sizeof(text), "%s%s%s", before, form, after);
	memcpy(want, text, sizeof(want));
	memset(want + at, '*', len);
	expect_at_every_cut(text, want);
}

static void
the_plain_form_goes(void **state)
{
	(void)state;
	expect_gone("data: {\"echo\": \"Bearer ", KEY, "\"}\n\n");
	expect_gone("", KEY, "");
	expect_gone("s", KEY, "k");
	expect_gone("sk-Ab3_Zq", KEY, KEY + 1);
}

static void
two_in_a_row_go(void **state)
{
	char want[2 * sizeof(KEY) - 1];

	(void)state;
	memset(want, '*', sizeof(want) - 1);
	want[sizeof(want) - 1] = '\0';
	expect_at_every_cut(KEY KEY, want);
}

static void
hex_goes(void **state)
{
	char hex[2 * sizeof(KEY)] = "";

	(void)state;
	hex_encode(SPAN_LIT(KEY), hex);
	hex[2 * (sizeof(KEY) - 1)] = '\0';
	expect_gone("0", hex, "f");
	for (char *p = hex; *p != '\0'; p++)
		*p = (char)(*p >= 'a' ? *p - 32 : *p);
	expect_gone("x'", hex, "'");
	for (size_t i = 0; i < 2 * (sizeof(KEY) - 1); i += 3)
		hex[i] = (char)(hex[i] >= 'A' ? hex[i] + 32 : hex[i]);
	expect_gone("0X", hex, "");
}

static void
url_encoding_goes(void **state)
{
	(void)state;
	expect_gone("?key=", "sk-Ab3_Zq%229%2B%2Fx~yLongEnough%5C42", "&x=y");
	expect_gone("?key=", "sk-Ab3_Zq%229%2b%2fx~yLongEnough%5c42", "");
	expect_gone("%", "s%6B%2dAb3_Zq%229%2b%2Fx~y%4congEnough%5c42", "%4");
}

static void
json_text_goes(void **state)
{
	(void)state;
	expect_gone("{\"k\":\"", "sk-Ab3_Zq\\\"9+/x~yLongEnough\\\\42", "\"}");
	expect_gone("{\"k\":\"\\n", "sk-Ab3_Zq\\\"9+\\/x~yLongEnough\\\\42", "\"}");
	expect_gone("\\\\", "\\u0073k-Ab3_Zq\\u00229+\\u002Fx~yLong\\u0045nough\\u005c42", "\\");
	expect_gone("\\u00e9\\ud83d\\ude00",
	    "sk-Ab3_Zq\\u00229\\u002B\\/x\\u007eyLongEnough\\\\4\\u0032", "\\u00");
}

/* At each of the three alignments all digits but those shared with a neighbour go. */
static void
base64_goes(void **state)
{
	const char *around[] = { "", "a", "ab" };

	(void)state;
	for (size_t b = 0; b < 3; b++) {
		for (size_t a = 0; a < 3; a++) {
			struct buf text = BUF_INIT(TEXT_MAX);
			struct stream s = { .nheld = 0 };
			char plain[TEXT_MAX];
			size_t stars = 0;

			snprintf(plain, sizeof(plain), "%s%s%s", around[b], KEY, around[a]);
			assert_true(is_ok(base64_encode(span_str(plain), &text)));
			for (size_t i = 0; i < text.len; i++)
				feed(&s, span_of(text.ptr + i, 1));
			end(&s);
			assert_int_equal(s.nout, text.len);
			for (size_t i = 0; i < s.nout; i++)
				stars += s.out[i] == '*';
			assert_true(stars >= 8 * (sizeof(KEY) - 1) / 6 - 1);
			buf_done(&text);
		}
	}
}

static void
other_text_stays(void **state)
{
	static const char *const texts[] = { "", "s", "sk-", "sk-Ab3_Zq\"9+/x~yLongEnough\\4",
		"k-Ab3_Zq\"9+/x~yLongEnough\\42", "sk-Ab3_Zq\"9+/x~yLongEnouGh\\42",
		"data: {\"choices\":[{\"delta\":{\"content\":\"hello\"}}]}\n\n" };

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++)
		expect_at_every_cut(texts[i], texts[i]);
}

/* Against a search that has no tricks. */
static void
random_texts_agree(void **state)
{
	static const char alphabet[] = "sk-Ab";
	uint32_t seed = 1;
	struct redactor small = REDACTOR_NONE;
	struct span needle = SPAN_LIT("sk-Abs-sk");

	(void)state;
	assert_true(is_ok(redactor_init(&small, needle)));
	for (int round = 0; round < 20000; round++) {
		uint8_t text[64], want[64];
		size_t hits = 0, held;

		for (size_t i = 0; i < sizeof(text); i++) {
			seed = seed * 1664525 + 1013904223;
			text[i] = (uint8_t)alphabet[(seed >> 24) % 5];
		}
		if (round % 4 != 0)
			memcpy(text + seed % (sizeof(text) - needle.len), needle.ptr, needle.len);
		memcpy(want, text, sizeof(want));
		for (size_t i = 0; i + needle.len <= sizeof(want);) {
			bool hit = memcmp(want + i, needle.ptr, needle.len) == 0;

			if (hit)
				memset(want + i, '*', needle.len);
			hits += hit;
			i += hit ? needle.len : 1;
		}
		assert_int_equal(redact_part(&small, text, sizeof(text), &held), hits);
		assert_memory_equal(text, want, sizeof(want));
	}
	redactor_done(&small);
}

static void
lengths_are_bounded(void **state)
{
	static uint8_t many[8192];
	struct redactor one = REDACTOR_NONE;
	uint8_t text[] = "abc";
	size_t held;

	(void)state;
	memset(many, 'k', sizeof(many));
	assert_true(is_ok(redactor_init(&one, SPAN_EMPTY)));
	assert_int_equal(redact_part(&one, text, 3, &held), 0);
	assert_int_equal(held, 0);
	assert_int_equal(redactor_init(&one, SPAN_LIT("abcd")).code, E_RANGE);
	assert_int_equal(redactor_init(&one, span_of(many, sizeof(many))).code, E_RANGE);
	assert_true(is_ok(redactor_init(&one, span_of(many, 4096))));
	redactor_done(&one);
	assert_true(is_ok(redactor_init(&one, SPAN_LIT("abcde"))));
	redactor_done(&one);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_plain_form_goes),
		cmocka_unit_test(two_in_a_row_go),
		cmocka_unit_test(hex_goes),
		cmocka_unit_test(url_encoding_goes),
		cmocka_unit_test(json_text_goes),
		cmocka_unit_test(base64_goes),
		cmocka_unit_test(other_text_stays),
		cmocka_unit_test(random_texts_agree),
		cmocka_unit_test(lengths_are_bounded),
	};

	return cmocka_run_group_tests(tests, up, down);
}
