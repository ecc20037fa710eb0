/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_keytext.c: form, checksum and creation of API keys.
 */
#include "unit.h"

#include <base/encode.h>
#include <keytext/keytext.h>

/* Its checksum, 0EtCAP, was computed by Python's zlib.crc32. */
static const char sample[] = "sp_abcDEF012xyz_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg0EtCAP";

static void
test_known(void **state)
{
	(void)state;
	assert_true(keytext_ok(span_of(sample, KEYTEXT_LEN)));
	assert_true(span_eq_str(keytext_id(span_of(sample, KEYTEXT_LEN)), "abcDEF012xyz"));
}

static void
test_every_changed_byte_is_seen(void **state)
{
	uint8_t key[KEYTEXT_LEN + 1];

	(void)state;
	for (size_t i = 0; i < KEYTEXT_LEN; i++) {
		for (unsigned c = 0; c < 256; c++) {
			memcpy(key, sample, sizeof(key));
			if (key[i] == c)
				continue;
			key[i] = (uint8_t)c;
			assert_false(keytext_ok(span_of(key, KEYTEXT_LEN)));
		}
	}
	assert_false(keytext_ok(span_of(sample, KEYTEXT_LEN - 1)));
	assert_false(keytext_ok(span_of(sample, KEYTEXT_LEN + 1)));
	assert_false(keytext_ok(SPAN_EMPTY));
}

static void
test_tokens_are_known_by_their_form(void **state)
{
	static const char *const bad[] = { "", ".", "..", "a.b", "a.b.", ".b.c", "a..c", "a.b.c.d",
		"a.b.c.", "a.b.c=", "a.b.c d", "a.b+.c", "a.b/.c", "a.b.c\n", "a.b.\xc3\xa9",
		"sp_abcDEF012xyz_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg0EtCAP" };
	static char longest[KEYTEXT_TOKEN_MAX + 1];

	(void)state;
	assert_true(keytext_is_token(SPAN_LIT("eyJhbGciOiJub25lIn0.e30.-_Az09")));
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(keytext_is_token(span_str(bad[i])));
	memset(longest, 'a', sizeof(longest));
	longest[1] = longest[3] = '.';
	assert_true(keytext_is_token(span_of(longest, KEYTEXT_TOKEN_MAX)));
	assert_false(keytext_is_token(span_of(longest, KEYTEXT_TOKEN_MAX + 1)));
}

static void
test_created(void **state)
{
	uint8_t a[KEYTEXT_LEN], b[KEYTEXT_LEN];
	unsigned seen[256] = { 0 };

	(void)state;
	for (int i = 0; i < 2000; i++) {
		assert_true(is_ok(keytext_create(a)));
		assert_true(keytext_ok(span_of(a, sizeof(a))));
		assert_true(keytext_id_ok(keytext_id(span_of(a, sizeof(a)))));
		if (i > 0)
			assert_memory_not_equal(a, b, sizeof(a));
		memcpy(b, a, sizeof(a));
		for (size_t j = 16; j < KEYTEXT_LEN - KEYTEXT_CRC_LEN; j++)
			seen[a[j]]++;
	}
	/* 86,000 draws of 62 digits: 1,387 each, sigma 37; a biased draw puts some at 1,680. */
	for (const char *c = "0189AZaz7Yy"; *c != '\0'; c++)
		assert_in_range(seen[(uint8_t)*c], 1150, 1620);
}

static void
test_id_ok(void **state)
{
	(void)state;
	assert_false(keytext_id_ok(SPAN_LIT("short")));
	assert_false(keytext_id_ok(SPAN_LIT("abcDEF012xy/")));
	assert_true(keytext_id_ok(SPAN_LIT("abcDEF012xyz")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_every_changed_byte_is_seen),
		cmocka_unit_test(test_tokens_are_known_by_their_form),
		cmocka_unit_test(test_created),
		cmocka_unit_test(test_id_ok),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
