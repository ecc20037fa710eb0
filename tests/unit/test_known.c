/* SPDX-License-Identifier: Apache-2.0 */
/* lib/pasted/known.c: credentials of any form, in a text, by their marks. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include <crypto/crypto.h>
#include <pasted/known.h>

#define LONG "an.unusual:credential/of=some+length-0123456789"
#define SHORT "sixteen-bytes-16"

static const uint8_t key[KNOWN_KEY_LEN] = { 1, 2, 3 };
static struct known *k;

static void
know(const char *credential)
{
	struct known_mark mark;

	assert_true(is_ok(known_mark(k, span_str(credential), &mark)));
	assert_true(is_ok(known_add(k, &mark)));
}

static int
begin(void **state)
{
	(void)state;
	assert_true(is_ok(known_new(key, &k)));
	return 0;
}

static int
end(void **state)
{
	(void)state;
	known_free(k);
	k = NULL;
	return 0;
}

static bool
in(const char *text)
{
	return known_in(k, span_str(text));
}

static void
it_is_found_wherever_it_stands(void **state)
{
	static char text[4096];

	(void)state;
	know(LONG);
	know(SHORT);
	for (size_t at = 0; at < 200; at++) {
		memset(text, 'x', sizeof(text));
		memcpy(text + at, LONG, strlen(LONG));
		assert_true(known_in(k, span_of(text, sizeof(text))));
		assert_true(known_in(k, span_of(text, at + strlen(LONG))));
		assert_false(known_in(k, span_of(text, at + strlen(LONG) - 1)));
		assert_false(known_in(k, span_of(text + at + 1, sizeof(text) - at - 1)));
	}
	assert_true(in(SHORT));
	assert_true(in("{\"a\":\"" SHORT "\"}"));
	assert_false(in(""));
	assert_false(in("sixteen-bytes-1"));
}

static void
one_byte_less_or_another_is_none(void **state)
{
	char text[] = LONG;

	(void)state;
	know(LONG);
	for (size_t i = 0; i < strlen(LONG); i++) {
		text[i] ^= 1;
		assert_false(in(text));
		text[i] ^= 1;
	}
	assert_true(in(text));
}

static void
escapes_are_seen_through(void **state)
{
	char text[8 * sizeof(LONG)] = "";
	size_t n = 0;

	(void)state;
	know(LONG);
	for (size_t i = 0; i < strlen(LONG); i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "\\u%04X", LONG[i]);
	assert_true(in(text));
	assert_true(in("an.unusual:credential\\/of=some+length-0123456789"));
	assert_false(in("an.unusual:credential\\\\/of=some+length-0123456789"));
}

static void
what_is_not_known_is_not_found(void **state)
{
	struct known_mark mark;
	struct known *other;
	uint8_t another[KNOWN_KEY_LEN] = { 9 };

	(void)state;
	assert_false(in(LONG)); /* none yet */
	assert_false(known_in(NULL, span_str(LONG)));
	/* A mark says nothing under another key. */
	assert_true(is_ok(known_new(another, &other)));
	assert_true(is_ok(known_mark(other, span_str(LONG), &mark)));
	assert_true(is_ok(known_add(k, &mark)));
	assert_false(in(LONG));
	known_free(other);
	/* The end alone, which a text may be made of, is none. */
	know(LONG);
	assert_false(in("0123456789 length-0123456789 =some+length-0123456789"));
}

static void
bounds(void **state)
{
	static uint8_t many[UINT16_MAX + 1];
	struct known_mark mark = { .len = KNOWN_LEN_MIN - 1 };

	(void)state;
	assert_int_equal(known_add(k, &mark).code, E_RANGE);
	assert_int_equal(known_mark(k, span_str("fifteen bytes .."), &mark).code, E_OK);
	assert_int_equal(known_mark(k, span_str("fifteen bytes ."), &mark).code, E_RANGE);
	assert_int_equal(known_mark(k, span_of(many, sizeof(many)), &mark).code, E_RANGE);
	assert_true(is_ok(known_mark(k, span_of(many, UINT16_MAX), &mark)));
	for (size_t i = 0; i < KNOWN_MAX; i++)
		assert_true(is_ok(known_add(k, &mark)));
	assert_int_equal(known_add(k, &mark).code, E_FULL);
	assert_true(known_in(k, span_of(many, sizeof(many))));
	assert_false(known_in(k, span_of(many, UINT16_MAX - 1)));
}

static void
what_is_no_secret_is_not_fit(void **state)
{
	static const char *const no[] = { "", "fifteen-bytes-1", "sk-no-key-required",
		"sk-your-api-key-here", "sk-xxxxxxxxxxxxxxxxxxxxxx", "sk-0000000000000000000000" };
	static const char *const yes[] = { "3f9a0c77e1b24d58", "sk-proj-4eC39HqLyjWD",
		"sk-no-key-required1", "sk-no-key-require", "KEYKEYKEYKEYBASE32A2B3C4",
		"qwertzuiopasdfghjklyxcvbnmqwertz", "CANARY_PROVIDER_SECRET_NEVER_IN_HISTORY",
		"8374650192837465", "correct-horse-battery-staple" };

	(void)state;
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		assert_false(known_fit(span_str(no[i])));
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		assert_true(known_fit(span_str(yes[i])));
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_is_no_secret_is_not_fit),
		T(it_is_found_wherever_it_stands),
		T(one_byte_less_or_another_is_none),
		T(escapes_are_seen_through),
		T(what_is_not_known_is_not_found),
		T(bounds),
	};

	if (!is_ok(crypto_init()))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
