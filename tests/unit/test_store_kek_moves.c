/* SPDX-License-Identifier: Apache-2.0 */
/* src/store/kek.c: key-encryption keys under a key elsewhere: carried over, rotated, killed on the
 * way. */
#include "kek_world.h"

#include <base/clock.h>

/* ---- carrying over ---- */
static void
keys_are_carried_over(void **arg)
{
	static const struct {
		const char *now, *before;
	} ways[] = { { A, NULL }, { B, A }, { A, B }, { "local", A }, { B, NULL }, { "local", B } };

	(void)arg;
	start("local", NULL, true);
	assert_open();
	add_user();
	for (size_t i = 0; i < COUNT(ways); i++) {
		struct buf was = wrapped_of(1);

		stop();
		start(ways[i].now, ways[i].before, true);
		assert_open();
		assert_wrapped(ways[i].now, 1);
		assert_int_equal(state_of().foreign, 0);
		assert_readable();
		assert_nowhere(buf_span(&was));
		buf_done(&was);
	}
	stop();
}

static void
it_serves_while_the_new_one_is_away(void **arg)
{
	(void)arg;
	start("local", NULL, true);
	add_user();
	stop();
	start(A, NULL, false);
	assert_open();
	assert_readable();
	assert_int_equal(state_of().foreign, 1);
	w.fault = SECRET_SEALED;
	broker_comes();
	assert_wrapped("local", 1);
	assert_int_equal(state_of().fault, SECRET_SEALED);
	w.fault = SECRET_FAULT_NONE;
	again();
	assert_wrapped(A, 1);
	stop();
}

/* What does not come back is not taken: the wrapping before stays. */
static void
a_wrapping_is_proved_first(void **arg)
{
	(void)arg;
	start("local", NULL, true);
	add_user();
	stop();
	start(A, NULL, false);
	w.wrong = true;
	broker_comes();
	assert_int_equal(w.wraps, 1);
	assert_wrapped("local", 1);
	assert_int_equal(state_of().fault, SECRET_TAMPERED);
	stop();
	start("local", NULL, false);
	assert_open();
	assert_readable();
	stop();
}

static void
an_answer_that_is_late_is_none(void **arg)
{
	uint64_t call;

	(void)arg;
	start("local", NULL, true);
	stop();
	start(A, NULL, false);
	w.mute = true;
	broker_comes();
	assert_int_equal(w.wraps, 1);
	call = w.call;
	configure(B, A);
	w.mute = false;
	kek_configure(&w.d);
	say(call, SPAN_LIT("c1:vault:transit/a:00"));
	spin();
	assert_wrapped(B, 1);
	stop();
}

/* ---- rotation ---- */
static void
a_rotation_wraps_all_anew(void **arg)
{
	struct buf was;
	unsigned wraps;

	(void)arg;
	start(A, NULL, true);
	add_user();
	was = wrapped_of(1);
	rotate();
	assert_int_equal(w.rotated, 1);
	assert_is_ok(w.rotated_st);
	assert_int_equal(w.rewraps, 1);
	assert_wrapped(A, 2);
	assert_nowhere(buf_span(&was));
	buf_done(&was);
	wraps = w.wraps;
	rotate(); /* one at a time, and nobody is asked for another */
	assert_int_equal(w.rotated_st.code, E_EXISTS);
	assert_true(w.wraps == wraps && w.rewraps == 1);
	rotate_on();
	assert_wrapped(A, 1);
	assert_int_equal(state_of().version, 2);
	assert_false(keyring_kek_is_open(w.db, 1));
	assert_readable();
	stop();
	start(A, NULL, true);
	assert_open();
	assert_readable();
	stop();
}

static void
a_rotation_that_is_refused_changes_nothing(void **arg)
{
	(void)arg;
	start(A, NULL, true);
	w.fault = SECRET_SEALED;
	rotate();
	assert_int_equal(w.rotated_st.code, E_AGAIN);
	assert_int_equal(w.rotated_fault, SECRET_SEALED);
	w.fault = SECRET_FAULT_NONE;
	w.wrong = true;
	rotate();
	assert_int_equal(w.rotated_st.code, E_AGAIN);
	assert_int_equal(w.rotated_fault, SECRET_TAMPERED);
	assert_wrapped(A, 1);
	assert_false(keyring_kek_is_open(w.db, 2));
	w.wrong = false;
	rotate();
	assert_int_equal(w.rotated, 3);
	assert_is_ok(w.rotated_st);
	assert_wrapped(A, 2);
	stop();
}

static void
nobody_waits_long_for_a_rotation(void **arg)
{
	uint64_t call, begun_ns = clock_mono_ns();

	(void)arg;
	start(A, NULL, true);
	w.mute = true;
	rotate();
	kek_rotate(NOW, on_rotated, NULL); /* another one, meanwhile */
	assert_int_equal(w.rotated, 1);
	assert_int_equal(w.rotated_st.code, E_EXISTS);
	while (w.rotated == 1)
		(void)uv_run(&w.loop, UV_RUN_ONCE);
	assert_int_equal(w.rotated_st.code, E_AGAIN);
	assert_true(clock_mono_ns() - begun_ns < (KEK_ROTATE_MS + 30000) * NS_PER_MS);
	call = w.call;
	w.mute = false;
	say(call, SPAN_LIT("c9:vault:transit/a:00")); /* late */
	spin();
	assert_wrapped(A, 1);
	broker_goes();
	kek_rotate(NOW, on_rotated, NULL);
	broker_comes(); /* in time */
	assert_int_equal(w.rotated, 3);
	assert_is_ok(w.rotated_st);
	stop();
}

static void
a_local_rotation_asks_nobody(void **arg)
{
	(void)arg;
	start("local", NULL, false);
	add_user();
	rotate();
	assert_is_ok(w.rotated_st);
	rotate_on();
	assert_wrapped("local", 1);
	assert_readable();
	stop();
}

static void
versions_have_a_limit(void **arg)
{
	(void)arg;
	start(A, NULL, true);
	assert_is_ok(backend_exec(w.db->back,
	    "WITH RECURSIVE n(v) AS (SELECT 2 UNION ALL SELECT v + 1 FROM n WHERE v < 64)"
	    " INSERT INTO keks (version, wrapped, wrapper) SELECT v, x'00', 'local' FROM n;"));
	rotate();
	assert_int_equal(w.rotated_st.code, E_FULL);
	stop();
}

/* ---- a disk that is full, a process that is killed ---- */
static void
a_full_disk_keeps_the_wrapping(void **arg)
{
	(void)arg;
	start("local", NULL, true);
	add_user();
	stop();
	start(A, NULL, false);
	crash.fail_call = SYS_pwrite64;
	crash.fail_errno = ENOSPC;
	broker_comes();
	crash.fail_errno = 0;
	assert_wrapped("local", 1);
	assert_int_equal(state_of().fault, SECRET_FAILED);
	again();
	assert_wrapped(A, 1);
	assert_readable();
	stop();
}

/* A start with these, in a process that dies at its n-th call; true: it died. */
static bool
started_and_killed(
    const char *now, const char *before, bool rotates, unsigned at, enum crash_mode mode)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		kek_child();
		crash.calls = 0;
		crash.mode = mode;
		crash.at = at;
		start(now, before, true);
		if (rotates) {
			rotate();
			rotate_on();
		}
		_exit(w.opened == 1 && is_ok(w.st) ? 0 : 7);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return false;
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	return true;
}

static void
killed_on_the_way(const char *was, const char *now, const char *before, bool rotates, unsigned step)
{
	for (int mode = 0; mode < CRASH_MODES; mode++) {
		bool died = true;
		unsigned at;

		for (at = 1 + (unsigned)mode; died; at += step) {
			struct buf old;

			dir_clear();
			start(was, NULL, true);
			add_user();
			old = wrapped_of(1);
			stop();
			died = started_and_killed(now, before, rotates, at, (enum crash_mode)mode);
			start(now, before, true);
			assert_open();
			assert_int_equal(state_of().foreign, 0);
			if (state_of().under_way != AS_ROTATE_NONE)
				rotate_on();
			assert_readable();
			if (strcmp(was, now) != 0)
				assert_nowhere(buf_span(&old));
			buf_done(&old);
			stop();
		}
		assert_true(at > 10);
	}
}

static void
killed_at_every_call(void **arg)
{
	(void)arg;
	kek_known();
	killed_on_the_way("local", A, NULL, false, 3);
	killed_on_the_way(A, "local", A, false, 5);
	killed_on_the_way(A, B, A, false, 5);
	killed_on_the_way(A, A, NULL, true, 7);
}

/* Also the very first one. */
static void
killed_at_its_first_start(void **arg)
{
	(void)arg;
	kek_known();
	for (int mode = 0; mode < CRASH_MODES; mode++) {
		bool died = true;

		for (unsigned at = 1 + (unsigned)mode; died; at += 4) {
			dir_clear();
			died = started_and_killed(A, NULL, false, at, (enum crash_mode)mode);
			start(A, NULL, true);
			assert_open();
			assert_wrapped(A, 1);
			add_user();
			assert_readable();
			stop();
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(keys_are_carried_over, fresh),
		cmocka_unit_test_setup(it_serves_while_the_new_one_is_away, fresh),
		cmocka_unit_test_setup(a_wrapping_is_proved_first, fresh),
		cmocka_unit_test_setup(an_answer_that_is_late_is_none, fresh),
		cmocka_unit_test_setup(a_rotation_wraps_all_anew, fresh),
		cmocka_unit_test_setup(a_rotation_that_is_refused_changes_nothing, fresh),
		cmocka_unit_test_setup(nobody_waits_long_for_a_rotation, fresh),
		cmocka_unit_test_setup(a_local_rotation_asks_nobody, fresh),
		cmocka_unit_test_setup(versions_have_a_limit, fresh),
		cmocka_unit_test_setup(a_full_disk_keeps_the_wrapping, fresh),
		cmocka_unit_test_setup(killed_at_every_call, fresh),
		cmocka_unit_test_setup(killed_at_its_first_start, fresh),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
