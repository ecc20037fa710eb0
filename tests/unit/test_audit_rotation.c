/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log's signing key is replaced: a kill or an error of the disk at any call leaves one key in
 * force, the one that the log names.
 */
#include "audit_rotation_rig.h"

#define RETURN_CALLS 16

static int rounds = 2;

static void
life(void)
{
	up();
	write_some(2);
	for (int i = 0; i < rounds; i++) {
		acked(rotate());
		write_some(2);
		assert_is_ok(server_sync(&one.server));
	}
}

/* One key, the one that the log names last; nothing half-made beside it. */
static void
check_settled(uint64_t acked_seq, unsigned at)
{
	uint64_t left = 0;

	if (one.log.durable.size < acked_seq)
		test_fail("call %u: a rotation that was told is gone", at);
	assert_null(signing.next);
	assert_ptr_equal(one.log.key, signing.key);
	assert_int_equal(faccessat(keys_fd, "next", F_OK, 0), -1);
	assert_int_equal(faccessat(keys_fd, "next.tmp", F_OK, 0), -1);
	left = one.log.key_version;
	expect_intact("audit.pub", left);
}

/* Up again after a kill: one key, and it can be replaced. */
static void
come_back(uint64_t acked_seq, unsigned at)
{
	up();
	check_settled(acked_seq, at);
	(void)rotate();
	write_some(1);
	assert_is_ok(server_sync(&one.server));
	check_settled(acked_seq, at);
	down();
}

static void
every_call(void **arg)
{
	(void)arg;
	for (int mode = 0; mode < CRASH_MODES; mode++) {
		bool died = true;
		unsigned at;

		for (at = 1; died; at++) {
			uint64_t seq = 0;

			state_clear();
			died = run_killed(life, at, (enum crash_mode)mode, &seq);
			come_back(seq, at);
		}
		assert_true(at > 40);
	}
}

/* And killed once more at each call on the way back. */
static void
every_call_twice(void **arg)
{
	bool died = true;

	(void)arg;
	rounds = 1;
	for (unsigned at = 1; died; at++) {
		for (unsigned again = 1; again <= RETURN_CALLS; again++) {
			uint64_t seq = 0;

			state_clear();
			died = run_killed(life, at, CRASH_AFTER, &seq);
			(void)run_killed(life, again, CRASH_AFTER, &seq);
			come_back(seq, at);
		}
	}
}

/* ---- errors of the disk ---- */

static void
disk_errors(void **arg)
{
	static const long calls[] = { SYS_write, SYS_pwrite64, SYS_fsync, SYS_fdatasync,
		SYS_renameat, SYS_unlinkat };
	static const int errors[] = { ENOSPC, EIO };

	(void)arg;
	for (size_t i = 0; i < COUNT(calls) * COUNT(errors); i++) {
		struct status st;
		uint64_t seq = 0;

		state_clear();
		up();
		write_some(2);
		assert_is_ok(server_sync(&one.server));
		crash.fail_call = calls[i / COUNT(errors)];
		crash.fail_errno = errors[i % COUNT(errors)];
		st = signing_rotate(&signing, &one.server, "demand", &seq);
		crash.fail_errno = 0;
		if (calls[i / COUNT(errors)] != SYS_unlinkat && is_ok(st))
			test_fail("call %zu: nobody saw the error", i);
		if (one.log.dead) {
			down();
			up();
		}
		write_some(2);
		assert_is_ok(server_sync(&one.server));
		(void)rotate();
		assert_is_ok(server_sync(&one.server));
		check_settled(0, (unsigned)i);
		down();
	}
}

/* A half-written key is none; a strange one that no record names is removed. */
static void
left_overs(void **arg)
{
	static const struct {
		const char *name, *text;
	} rows[] = { { "next.tmp", "0a0b" }, { "next", "0a0b" }, { "next", "" },
		{ "next", "0a07070707070707070707070707070707070707070707070707070707070707\n" } };

	(void)arg;
	for (size_t i = 0; i < COUNT(rows); i++) {
		state_clear();
		up();
		write_some(2);
		down();
		key_put(rows[i].name, rows[i].text);
		up();
		check_settled(0, (unsigned)i);
		assert_int_equal(one.log.key_version, 1);
		down();
	}
}

static void
when_it_is_due(void **arg)
{
	const uint64_t day_ns = 86400ULL * 1000000000ULL;
	struct log l = { .key_since_ns = 100 * day_ns };

	(void)arg;
	assert_false(signing_due(&l, 100 * day_ns, 90));
	assert_false(signing_due(&l, 190 * day_ns - 1, 90));
	assert_true(signing_due(&l, 190 * day_ns, 90));
	assert_false(signing_due(&l, 900 * day_ns, 0));
	assert_false(signing_due(&l, 3 * day_ns, 90)); /* the clock went back */
	l.key_since_ns = 0;
	assert_false(signing_due(&l, 900 * day_ns, 90));
}

/* Of a folder that was moved, or copied with its key: the log stays its own, and says who goes on.
 */
static void
a_log_of_another_name(void **arg)
{
	auto_buf struct buf text = BUF_INIT(1U << 20);
	const char *last;

	(void)arg;
	state_clear();
	up();
	write_some(2);
	down();
	instance = "ba9876543210";
	up();
	assert_string_equal(one.log.name.name, "sallyport/" INSTANCE "/audit");
	assert_string_equal(one.log.origin, "sallyport/ba9876543210/audit");
	down();
	instance = INSTANCE;
	expect_intact("audit.pub", 1);
	assert_is_ok(io_read_file(state.audit, "00000001.jsonl", &text));
	assert_is_ok(buf_put_u8(&text, '\0'));
	last = strstr((const char *)text.ptr, "\"LogOpened\"");
	assert_non_null(last);
	assert_true(strstr(last, "sallyport/" INSTANCE "/audit") != NULL);
	last = strstr(last + 1, "\"LogOpened\"");
	assert_true(
	    last != NULL && strstr(last, "\"origin\":\"sallyport/ba9876543210/audit\"") != NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_call),
		cmocka_unit_test(every_call_twice),
		cmocka_unit_test(disk_errors),
		cmocka_unit_test(left_overs),
		cmocka_unit_test(a_log_of_another_name),
		cmocka_unit_test(when_it_is_due),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
