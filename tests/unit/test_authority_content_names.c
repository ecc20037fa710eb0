/* SPDX-License-Identifier: Apache-2.0 */
/* What the log calls what is kept for users: no word that a client has chosen. */
#include "unit.h"

#include <authority.h>
#include <crypto/crypto.h>

#define HEX48 "0123456789abcdef0123456789abcdef0123456789abcdef"

/* What the log calls an object: only what we made up ourselves stands there as it is. */
static void
names_in_the_log(void **state)
{
	static const struct {
		uint8_t kind;
		const char *id;
	} clear[] = { { CONTENT_CONVERSATION, "conv_" HEX48 }, { CONTENT_FILE, "file-" HEX48 },
		{ CONTENT_RESPONSE, "resp_" HEX48 } };
	static const char *const hashed[] = { "john_smith_cancer", "msg_" HEX48, "resp_" HEX48 "0",
		"resp" HEX48, HEX48, "conv_" HEX48, "resp_F" HEX48 };
	const uint8_t key[AS_SECRET_LEN] = { 1 }, other[AS_SECRET_LEN] = { 2 };
	struct user ann = { .subject_key = key }, bob = { .subject_key = other };
	struct run of[3] = { { .open = false } };

	(void)state;
	for (size_t i = 0; i < COUNT(clear); i++) {
		turn_run_of_content(
		    of, &ann, CONTENT_READ, clear[i].kind, span_str(clear[i].id), 0);
		assert_string_equal(of[0].content_name, clear[i].id);
		turn_run_of_content(of, &ann, CONTENT_READ, CONTENT_ITEM, span_str(clear[i].id), 0);
		assert_int_equal(of[0].content_name[0], '~');
	}
	for (size_t i = 0; i < COUNT(hashed); i++) {
		for (int k = 0; k < 3; k++)
			turn_run_of_content(&of[k], k < 2 ? &ann : &bob, CONTENT_READ,
			    CONTENT_RESPONSE, span_str(hashed[i]), 0);
		assert_string_equal(of[0].content_id, hashed[i]);
		assert_int_equal(of[0].content_name[0], '~');
		assert_int_equal(strlen(of[0].content_name), 1 + CONTENT_ID_RANDOM);
		assert_string_equal(of[0].content_name, of[1].content_name);
		assert_string_not_equal(of[0].content_name, of[2].content_name);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(names_in_the_log) };

	if (!is_ok(crypto_init()))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
