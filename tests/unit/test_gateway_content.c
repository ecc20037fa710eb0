/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept for users: endpoints, and turns that go on from it. */
#include "gateway_rig.h"

/* ---- keys of ours in bodies ---- */

static void
keys_in_bodies_are_refused(void **state)
{
	static const char *const paths[] = { CHAT_PATH, "/v1/execute", "/v1/messages" };
	char body[400], leaked[KEYTEXT_LEN + 1] = { 0 };

	(void)state;
	assert_int_equal(keytext_create((uint8_t *)leaked).code, E_OK);
	for (size_t i = 0; i < COUNT(paths); i++) {
		struct client c;

		client_open(&c);
		(void)snprintf(body, sizeof(body), "{\"messages\":\"\\u0073%s\"}", leaked + 1);
		request(&c, "POST", paths[i], key, body);
		wait_for(&c, "key_in_body");
		assert_true(has(&c, "HTTP/1.1 400"));
		assert_false(has(&c, leaked + 1));
		assert_int_equal(peers.admit.refused, ERROR_LEAKED_KEY);
		assert_int_equal(peers.leaked_len, KEYTEXT_LEN);
		assert_memory_equal(peers.leaked, leaked, KEYTEXT_LEN);
		client_close(&c);
	}
	assert_int_equal(peers.calls, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		FLOW(keys_in_bodies_are_refused),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
