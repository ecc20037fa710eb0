/* SPDX-License-Identifier: Apache-2.0 */
/* src/store/kek.c: key-encryption keys under a key elsewhere: opened, or not. */
#include "kek_world.h"

#include <kek_internal.h>

/* ---- opening ---- */
static void
a_new_store_has_its_key_wrapped_first(void **arg)
{
	uint8_t first[SB_STATE_LEN];

	(void)arg;
	start(A, NULL, true);
	assert_open();
	assert_true(w.wraps == 1 && w.unwraps == 1); /* and proved */
	assert_wrapped(A, 1);
	add_user();
	memcpy(first, w.state, sizeof(first));
	stop();
	start(A, NULL, true);
	assert_open();
	assert_true(w.wraps == 0 && w.unwraps == 1);
	assert_memory_equal(w.state, first, sizeof(first));
	assert_readable();
	stop();
}

static void
it_waits_for_a_broker(void **arg)
{
	(void)arg;
	start(A, NULL, false);
	assert_int_equal(w.opened, 0);
	broker_comes();
	assert_open();
	add_user();
	stop();
	start(A, NULL, false);
	assert_int_equal(w.opened, 0);
	w.mute = true;
	broker_comes();
	broker_goes(); /* in the middle of it */
	assert_int_equal(w.opened, 0);
	w.mute = false;
	broker_comes();
	assert_open();
	/* Once open, nobody is needed. */
	broker_goes();
	assert_readable();
	stop();
}

static void
it_waits_while_it_is_refused(void **arg)
{
	static const enum secret_fault faults[] = { SECRET_SEALED, SECRET_DENIED, SECRET_UNRECORDED,
		SECRET_UNREACHABLE };

	(void)arg;
	for (int fresh_one = 1; fresh_one >= 0; fresh_one--) {
		start(A, NULL, false);
		w.fault = SECRET_THROTTLED;
		broker_comes();
		for (size_t i = 0; i < COUNT(faults); i++) {
			w.fault = faults[i];
			again();
			assert_int_equal(w.opened, 0);
			assert_int_equal(state_of().fault, faults[i]);
		}
		assert_wrapped(A, fresh_one ? 0 : 1);
		w.fault = SECRET_FAULT_NONE;
		again();
		assert_open();
		assert_int_equal(state_of().fault, SECRET_FAULT_NONE);
		stop();
	}
}

static void
it_tries_again_by_itself(void **arg)
{
	uint64_t until;

	(void)arg;
	start(A, NULL, false);
	w.fault = SECRET_SEALED;
	broker_comes();
	assert_int_equal(w.wraps, 1);
	w.fault = SECRET_FAULT_NONE;
	until = uv_now(&w.loop) + 10 * KEK_BACKOFF_MIN_MS;
	while (w.opened == 0 && uv_now(&w.loop) < until)
		(void)uv_run(&w.loop, UV_RUN_ONCE);
	assert_open();
	stop();
}

/* How long it is until the next try; the longest of some. */
static uint64_t
longest_pause_ms(void)
{
	uint64_t longest = 0;

	for (int i = 0; i < 30; i++) {
		uint64_t ms;

		again();
		assert_int_equal(w.opened, 0);
		ms = uv_timer_get_due_in(&kek_self.timer);
		longest = ms > longest ? ms : longest;
	}
	return longest;
}

/* Tries wait longer each time, and as long as Vault says, both within bounds. */
static void
pauses_grow_and_end(void **arg)
{
	uint64_t ms;

	(void)arg;
	start(A, NULL, false);
	w.fault = SECRET_THROTTLED;
	broker_comes();
	ms = uv_timer_get_due_in(&kek_self.timer);
	assert_true(ms > 0 && ms <= 3 * KEK_BACKOFF_MIN_MS / 2);
	ms = longest_pause_ms();
	assert_true(ms > 3 * KEK_BACKOFF_MIN_MS && ms <= KEK_BACKOFF_MAX_MS + KEK_BACKOFF_MIN_MS);
	w.retry_after_ms = 20000;
	again();
	assert_true(uv_timer_get_due_in(&kek_self.timer) >= 20000);
	w.retry_after_ms = UINT32_MAX;
	ms = longest_pause_ms();
	assert_true(ms >= KEK_RETRY_AFTER_MAX_MS);
	assert_true(ms <= KEK_RETRY_AFTER_MAX_MS + KEK_BACKOFF_MAX_MS + KEK_BACKOFF_MIN_MS);
	w.fault = SECRET_FAULT_NONE;
	again();
	assert_open();
	stop();
}

/* Of another key, version, store or wrapper: it never opens, whatever the broker says. */
static void
what_is_not_our_key_opens_nothing(void **arg)
{
	struct secret ours;

	(void)arg;
	start(A, NULL, true);
	rotate();
	assert_is_ok(w.rotated_st);
	stop();

	start(A, NULL, false);
	w.wrong = true;
	broker_comes();
	assert_int_equal(w.opened, 0);
	assert_int_equal(state_of().fault, SECRET_TAMPERED);
	w.wrong = false;
	assert_is_ok(
	    backend_exec(w.db->back, "CREATE TEMP TABLE t AS SELECT version, wrapped FROM keks;"
				     "UPDATE keks SET wrapped = (SELECT wrapped FROM t WHERE "
				     "t.version = 3 - keks.version);"));
	again();
	assert_int_equal(w.opened, 0);
	assert_int_equal(state_of().fault, SECRET_TAMPERED);
	assert_is_ok(backend_exec(w.db->back,
	    "UPDATE keks SET wrapped = (SELECT wrapped FROM t WHERE t.version = keks.version);"));
	again();
	assert_open();
	stop();

	ours = secret_take(&kek);
	assert_is_ok(secret_random(32, &kek));
	start(A, NULL, true);
	assert_int_equal(w.opened, 0);
	assert_int_equal(state_of().fault, SECRET_TAMPERED);
	stop();
	secret_done(&kek);
	kek = ours;
}

static void
a_row_is_bound_to_its_wrapper(void **arg)
{
	(void)arg;
	start(A, NULL, true);
	assert_is_ok(backend_exec(w.db->back, "UPDATE keks SET wrapper = 'local';"));
	stop();
	start(A, NULL, true);
	assert_int_equal(w.opened, 1);
	assert_int_equal(w.st.code, E_CORRUPT); /* no blob of ours */
	assert_is_ok(backend_exec(w.db->back, "UPDATE keks SET wrapper = 'vault:../x/y';"));
	stop();
	start(A, NULL, true);
	assert_int_equal(w.st.code, E_CORRUPT);
	assert_int_equal(w.unwraps, 0);
	stop();
}

static void
a_wrapper_that_is_not_configured_is_not_asked(void **arg)
{
	(void)arg;
	start(A, NULL, true);
	add_user();
	stop();
	start("local", NULL, true);
	assert_int_equal(w.opened, 0);
	assert_int_equal(w.unwraps, 0);
	assert_int_equal(state_of().fault, SECRET_DENIED);
	configure("local", A); /* by a reload */
	kek_configure(&w.d);
	spin();
	assert_open();
	assert_readable();
	assert_wrapped("local", 1);
	stop();
}

static void
keys_that_are_gone_are_not_made_anew(void **arg)
{
	(void)arg;
	start(A, NULL, true);
	assert_is_ok(backend_exec(w.db->back, "PRAGMA foreign_keys=OFF; DELETE FROM keks;"));
	stop();
	start(A, NULL, true);
	assert_int_equal(w.opened, 1);
	assert_int_equal(w.st.code, E_CORRUPT);
	assert_int_equal(w.wraps, 0);
	stop();
	start("local", NULL, true);
	assert_int_equal(w.st.code, E_CORRUPT);
	stop();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_new_store_has_its_key_wrapped_first, fresh),
		cmocka_unit_test_setup(it_waits_for_a_broker, fresh),
		cmocka_unit_test_setup(it_waits_while_it_is_refused, fresh),
		cmocka_unit_test_setup(it_tries_again_by_itself, fresh),
		cmocka_unit_test_setup(pauses_grow_and_end, fresh),
		cmocka_unit_test_setup(what_is_not_our_key_opens_nothing, fresh),
		cmocka_unit_test_setup(a_row_is_bound_to_its_wrapper, fresh),
		cmocka_unit_test_setup(a_wrapper_that_is_not_configured_is_not_asked, fresh),
		cmocka_unit_test_setup(keys_that_are_gone_are_not_made_anew, fresh),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
