/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials in bodies: keys of ours, and those of others by their forms.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <json/json.h>
#include <leak.h>
#include <pasted/pasted.h>

#include "pasted_forms.h"

static void
make_npm(char out[41])
{
	static const char digits[] = "0123456789abcdefghijklmnopqrst";

	memcpy(out, "npm_", 4);
	memcpy(out + 4, digits, 30);
	base62_u64(crc32_ieee(span_of(digits, 30)), out + 34, 6);
	out[40] = '\0';
}

static void
check_masked(const char *text, const char *want)
{
	auto_buf struct buf out = BUF_INIT(1U << 20);

	assert_int_equal(pasted_mask(span_str(text), &out).code, E_OK);
	assert_int_equal(buf_put_u8(&out, 0).code, E_OK);
	assert_string_equal((const char *)out.ptr, want);
	assert_int_equal(pasted_any(span_str(text)), strcmp(text, want) != 0);
	assert_false(pasted_any(span_str(want)));
}

static void
forms(void **state)
{
	char npm[41], text[200], key[KEYTEXT_LEN + 1] = { 0 };

	(void)state;
	make_npm(npm);
	check_masked("a " GH " b", "a [removed: github token] b");
	check_masked(PAT, "[removed: github token]");
	check_masked("t=" SLACK ";", "t=[removed: slack token];");
	check_masked("k=" OPENAI, "k=[removed: openai key]");
	check_masked("k=s" /* split, as in pasted_forms.h */
		     "k-proj-abcdefghij0123456789ABCDEFGHIJ-_012345678",
	    "k=[removed: openai key]");
	check_masked("s"
		     "k-svcacct-abcdefghij-0123456789-ABCDEFGHIJ-0123456789",
	    "[removed: openai key]");
	check_masked("k=" ANTHROPIC ".", "k=[removed: anthropic key].");
	check_masked("?key=" GOOGLE "&", "?key=[removed: google key]&");
	check_masked(STRIPE, "[removed: stripe key]");
	check_masked("t: " GITLAB, "t: [removed: gitlab token]");
	check_masked("VAULT_TOKEN=" VAULT "\n", "VAULT_TOKEN=[removed: vault token]\n");
	check_masked("id " AWS_ID " secret " AWS_SECRET "\n",
	    "id " AWS_ID " secret [removed: aws secret]\n");
	check_masked(AWS_SECRET " and its id " AWS_ID, "[removed: aws secret] and its id " AWS_ID);
	(void)snprintf(text, sizeof(text), "//:_authToken=%s\n", npm);
	check_masked(text, "//:_authToken=[removed: npm token]\n");
	assert_int_equal(keytext_create((uint8_t *)key).code, E_OK);
	(void)snprintf(text, sizeof(text), "x%s1", key);
	check_masked(text, "x[removed: sallyport key]1");
	check_masked(GH GH, GH GH); /* one word, twice as long: no token */
	check_masked(GH " " SLACK, "[removed: github token] [removed: slack token]");
	check_masked(AWS_ID " " AWS_SECRET " " AWS_SECRET,
	    AWS_ID " [removed: aws secret] [removed: aws secret]");
}

static void
not_credentials(void **state)
{
	static const char *const texts[] = {
		"",
		"-",
		"_",
		"A",
		"AKIA",
		"sk-",
		"ghp_",
		"AIza",
		"-----BEGIN ",
		"gh"
		"p_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq18", /* checksum */
		"gh"
		"p_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
		AWS_ID,
		AWS_ID " da39a3ee5e6b4b0d3255bfef95601890afd80709",
		"task-0123456789012345678901234567890123456789",
		"sk-learn",
		"sk-admin-sidebar-collapsed-v2",
		"sk-proj-abcdefghij0123456789ABCDEFGHIJ-_0123456",
		"sk-proj-management-templates-overview-of-last-year-and-more",
		"sk_test_0123456789abcdefABCDEF01",
		"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
		"-----BEGIN PRIVATE KEY-----",
		"x"
		"AIzaSyA0123456789abcdefghijklmnopqrstuvw",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++)
		check_masked(texts[i], texts[i]);
}

/* Any letter may be written as an escape: the text is what a reader of JSON gets. */
static void
behind_escapes(void **state)
{
	(void)state;
	check_masked("{\"a\":\"x \\u0073k-" /* split, as in pasted_forms.h */
		     "ant-api03-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJ-AA\"}",
	    "{\"a\":\"x [removed: anthropic key]\"}");
	check_masked("{\"a\":\"" AWS_ID " wJalrXUtnFEMI\\/K7MDENG\\/bPxRfiCYEXAMPLEKEY\"}",
	    "{\"a\":\"" AWS_ID " [removed: aws secret]\"}");
	check_masked("[\"\\u0067\\u0068\\u0070\\u005F" /* ghp_ */
		     "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq\\u0031\\u0037\"]",
	    "[\"[removed: github token]\"]");
	/* Beside one that stands there, another behind escapes; quotes and backslashes stay. */
	check_masked("[\"" GH
		     "\",\"\\u0022\\u005c\\\\\\u0078oxb-123456789012-123456789012-AbCdEf\"]",
	    "[\"[removed: github token]\",\"\\u0022\\u005c\\\\[removed: slack token]\"]");
	/* No escape, but a backslash and a letter: JSON within JSON is not looked into. */
	check_masked("[\"\\\\u0067hp_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17\"]",
	    "[\"\\\\u0067hp_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17\"]");
	check_masked("{\"\\u0061\":\"\\/ \\u00e9 \\ud83d\\ude00 \\",
	    "{\"\\u0061\":\"\\/ \\u00e9 \\ud83d\\ude00 \\");
}

static void
within_json(void **state)
{
	(void)state;
	check_masked("{\"a\":\"x\\n" GH "\\n\"}", "{\"a\":\"x\\n[removed: github token]\\n\"}");
	check_masked("{\"a\":\"\\u0022" GH "\\u0022\"}",
	    "{\"a\":\"\\u0022[removed: github token]\\u0022\"}");
	/* A letter behind an escaped backslash is a letter. */
	check_masked("{\"a\":\"\\\\n" GH "\"}", "{\"a\":\"\\\\n" GH "\"}");
	check_masked("{\"a\":\"" PEM_BEGIN "\\nMIIEow\\/IB=\\n" PEM_END "\\n\",\"b\":1}",
	    "{\"a\":\"[removed: private key]\\n\",\"b\":1}");
	/* Cut off: up to the end of its string, which stays whole. */
	check_masked("{\"a\":\"" PEM_BEGIN "\\n"
		     "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
		     "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\\\"\"}",
	    "{\"a\":\"[removed: private key]\\\"\"}");
}

/* JSON stays JSON, whatever is cut where. */
static void
cut_anywhere(void **state)
{
	static const char text[] = "{\"a\":\"\\n" GH " " SLACK "\\\" " PEM_BEGIN
				   "\\r\\nMIIE\\u000a" PEM_END "\\\\\",\"b\":\"" AWS_ID
				   "\\t" AWS_SECRET "\"}";
	const struct json_opts opts = JSON_STRICT;
	struct json_doc d = { 0 };

	(void)state;
	assert_int_equal(json_init(&d, &opts).code, E_OK);
	for (size_t i = 0; i < sizeof(text); i++) {
		auto_buf struct buf out = BUF_INIT(4096);
		struct span part = span_of(text, i);
		bool was = is_ok(json_parse(&d, part));

		assert_int_equal(pasted_mask(part, &out).code, E_OK);
		assert_int_equal(is_ok(json_parse(&d, buf_span(&out))), was);
		assert_false(pasted_any(buf_span(&out)));
	}
	json_done(&d);
}

/* ---- keys of ours ---- */

static void
check_leak(const char *text, const char *want)
{
	struct leaks leaks;
	size_t n = want == NULL ? 0 : strlen(want) / KEYTEXT_LEN;

	assert_int_equal(leak_find(span_str(text), &leaks).code, E_OK);
	assert_int_equal(leaks.n, n);
	assert_memory_equal(leaks.texts, want == NULL ? "" : want, n * KEYTEXT_LEN);
}

static void
keys_of_ours(void **state)
{
	char key[KEYTEXT_LEN + 1] = { 0 }, text[400];

	(void)state;
	assert_int_equal(keytext_create((uint8_t *)key).code, E_OK);
	check_leak(key, key);
	for (int before = 0; before < 140; before++) {
		(void)snprintf(text, sizeof(text), "%*s%s\"}", before, "sp_", key);
		check_leak(text, key);
	}
	/* Escaped: a letter, all of it, another case of the digits. */
	(void)snprintf(text, sizeof(text), "{\"a\":\"\\u0073%s\"}", key + 1);
	check_leak(text, key);
	(void)snprintf(text, sizeof(text), "{\"a\":\"sp\\u005F%s\"}", key + 3);
	check_leak(text, key);
	(void)snprintf(text, sizeof(text), "{\"a\":\"sp\\u005f%s\"}", key + 3);
	check_leak(text, key);
	check_leak("\\u00", NULL);
	check_leak("sp_", NULL);
	check_leak("", NULL);
	text[0] = '\0';
	(void)snprintf(text, sizeof(text), "%s", key);
	text[KEYTEXT_LEN - 1] = text[KEYTEXT_LEN - 1] == 'a' ? 'b' : 'a';
	check_leak(text, NULL);
	(void)snprintf(text, sizeof(text), "%.*s", KEYTEXT_LEN - 1, key);
	check_leak(text, NULL);
}

/* A wrong one hides no good one, plain or escaped; so many are looked up, and one is enough. */
static void
several_keys_of_ours(void **state)
{
	char keys[(LEAKED_KEYS_MAX + 1) * KEYTEXT_LEN + 1] = { 0 },
							two[2 * KEYTEXT_LEN + 1] = { 0 };
	char text[1200];

	(void)state;
	for (size_t i = 0; i <= LEAKED_KEYS_MAX; i++)
		assert_int_equal(keytext_create((uint8_t *)keys + i * KEYTEXT_LEN).code, E_OK);
	memcpy(two, keys, sizeof(two) - 1);
	(void)snprintf(text, sizeof(text), "A=%.*s\nB=%s", KEYTEXT_LEN, two, two + KEYTEXT_LEN);
	check_leak(text, two);
	(void)snprintf(text, sizeof(text), "%s %s", two, two); /* each once */
	check_leak(text, two);
	/* The second is written as an escape, behind the first or before it. */
	(void)snprintf(
	    text, sizeof(text), "%.*s \\u0073%s", KEYTEXT_LEN, two, two + KEYTEXT_LEN + 1);
	check_leak(text, two);
	(void)snprintf(
	    text, sizeof(text), "\\u0073%s %.*s", two + KEYTEXT_LEN + 1, KEYTEXT_LEN, two);
	check_leak(text, two);
	(void)snprintf(text, sizeof(text), "%s \\u005f", keys);
	keys[LEAKED_KEYS_MAX * KEYTEXT_LEN] = '\0';
	check_leak(text, keys);
}

/* Hostile texts cost time in proportion to their length; the figures go to the log. */
static void
times(void **state)
{
	static const char *const units[] = {
		"The quick brown fox jumps over the lazy dog, and so. ", "sk-", "AKIA", "npm_",
		"-----BEGIN PRIVATE KEY-----", "\\u0041", "_", "A-",
		"AKI"
		"AIOSFODNN7EXAMPLE "
	};
	enum { LEN = 100000 };
	char *text = malloc(LEN + 64);
	struct leaks leaks;

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < COUNT(units); i++) {
		double best[2] = { 1e9, 1e9 };

		for (size_t k = 0; k < LEN; k++)
			text[k] = units[i][k % strlen(units[i])];
		for (int n = 0; n < 20; n++) {
			struct timespec t[3];

			(void)clock_gettime(CLOCK_MONOTONIC, &t[0]);
			assert_int_equal(leak_find(span_of(text, LEN), &leaks).code, E_OK);
			(void)clock_gettime(CLOCK_MONOTONIC, &t[1]);
			(void)pasted_any(span_of(text, LEN));
			(void)clock_gettime(CLOCK_MONOTONIC, &t[2]);
			for (int k = 0; k < 2; k++) {
				double us = (double)(t[k + 1].tv_sec - t[k].tv_sec) * 1e6 +
					    (double)(t[k + 1].tv_nsec - t[k].tv_nsec) / 1e3;

				best[k] = us < best[k] ? us : best[k];
			}
		}
		print_message(
		    "%-28.28s keys %8.2f us, others %8.2f us\n", units[i], best[0], best[1]);
		assert_true(best[0] < 10000 && best[1] < 20000);
	}
	free(text);
}

/* Those of providers of models, and ours, are kept under no policy. */
static void
in_no_history(void **state)
{
	uint8_t key[KEYTEXT_LEN + 1] = { 0 };

	(void)state;
	assert_true(is_ok(keytext_create(key)));
	assert_true(pasted_never(span_str("x " OPENAI " y")));
	assert_true(pasted_never(span_str("x " GH " " ANTHROPIC)));
	assert_true(pasted_never(span_str(GOOGLE)));
	assert_true(pasted_never(span_str((const char *)key)));
	assert_false(pasted_never(span_str("x " GH " " SLACK " " STRIPE " " PAT)));
	assert_false(pasted_never(SPAN_EMPTY));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forms),
		cmocka_unit_test(not_credentials),
		cmocka_unit_test(within_json),
		cmocka_unit_test(behind_escapes),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(keys_of_ours),
		cmocka_unit_test(several_keys_of_ours),
		cmocka_unit_test(in_no_history),
		cmocka_unit_test(times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
