/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit log, killed before, in the middle of and after each call that
 * changes a file, from its first start to its shutdown, and again during the
 * recovery from each of these: nothing acknowledged is lost, the torn tail is
 * recorded, intents and outcomes balance, and the verifier is content.
 */
#include "audit_life.h"

static struct state state;
static unsigned with_state; /* logs that were opened with one */

/* ---- the life of an audit process, with its acknowledgements ---- */

static void
on_head(struct server *s, uint64_t size, struct span note)
{
	(void)s, (void)size;
	if (!is_ok(io_replace_file(state.dir, "audit.head", note, 0644)))
		_exit(9);
}

static void
on_dead(struct server *s, struct status why)
{
	(void)s, (void)why;
	_exit(8);
}

static const struct server_hooks hooks = { on_head, on_recorded, on_dead, on_idle, NULL };

/* Open, recover, and say what is durable. `l` and `s` live until the process ends. */
static void
life_start(uv_loop_t *loop, struct log *l, struct server *s)
{
	const struct log_opts opts = opts_small();

	(void)uv_loop_init(loop);
	log_open_ok(&state, l, &opts);
	assert_is_ok(server_init(s, loop, l, &hooks, 77, 1));
	assert_is_ok(server_start(s));
	acked(l->durable.size);
}

static void
batch_commit(struct log *l)
{
	assert_is_ok(log_commit(l));
	acked(l->durable.size);
}

static void
life(void)
{
	static uv_loop_t loop;
	static struct log l;
	static struct server s;
	uint64_t intent, count = 0;

	life_start(&loop, &l, &s);
	for (int round = 0; round < 5; round++) {
		append_plain(&l, ++count, true);
		append_intent(&l, ++count, 1, true);
		append_plain(&l, ++count, false);
		batch_commit(&l);
		intent = l.durable.size - 1;
		if (round % 2 == 0) {
			append_outcome(&l, ++count, 1, intent);
			batch_commit(&l);
		}
		if (round == 1 || round == 3)
			assert_is_ok(server_sync(&s));
	}
	intents_orphan(&l.intents, 1, AUDIT_PROCESS_DIED);
	assert_is_ok(server_sync(&s));
	acked(l.durable.size);
}

static void
recovery(void)
{
	static uv_loop_t loop;
	static struct log l;
	static struct server s;

	life_start(&loop, &l, &s);
}

/* ---- what must hold afterwards ---- */

static void
check_balance(uint64_t *ret_repairs)
{
	auto_auditlog struct auditlog_reader *r = NULL;
	struct intents open = { 0 };
	struct span line, phase, seq;

	assert_is_ok(auditlog_open(state.audit, &r));
	while (is_ok(auditlog_next(r, &line))) {
		struct auditlog_head h;
		struct intent i = { 0 };

		assert_is_ok(auditlog_head_of(line, &h));
		if (memmem(line.ptr, line.len, "LogRepaired", 11) != NULL)
			++*ret_repairs;
		if (!auditlog_member(line, "phase", &phase))
			continue;
		i.seq = h.seq;
		assert_is_ok(intents_reserve(&open, 1));
		if (span_eq_str(phase, "intent")) {
			intents_add(&open, &i);
			continue;
		}
		assert_true(auditlog_member(line, "intent_seq", &seq));
		assert_is_ok(span_u64(seq, UINT64_MAX, &i.seq));
		assert_non_null(intents_find(&open, i.seq));
		intents_remove(&open, i.seq);
	}
	assert_int_equal(open.count, 0);
	intents_done(&open);
}

/* What the state says is what all of the log says. */
static void
check_state(const struct log *l, const char *what, unsigned at, enum crash_mode mode)
{
	const struct log_opts opts = opts_small();
	struct log all;

	if (renameat(state.audit, "state", state.audit, "hidden") < 0)
		return;
	log_open_ok(&state, &all, &opts);
	if (l->state_misfit || !logs_are_equal(l, &all))
		test_fail("%s call %u mode %d: the state is not the log's (%d)", what, at,
		    (int)mode, l->state_misfit);
	with_state++;
	log_close(&all);
	assert_int_equal(renameat(state.audit, "hidden", state.audit, "state"), 0);
}

static void
check_after(uint64_t acked_seq, const char *what, unsigned at, enum crash_mode mode)
{
	const struct log_opts opts = opts_small();
	struct auditlog_result result;
	uint64_t repairs = 0, torn;
	struct server s;
	struct log l;
	uv_loop_t loop;

	(void)uv_loop_init(&loop);
	log_open_ok(&state, &l, &opts);
	if (l.durable.size < acked_seq)
		test_fail("%s call %u mode %d: %llu acknowledged, %llu there", what, at, (int)mode,
		    (unsigned long long)acked_seq, (unsigned long long)l.durable.size);
	torn = l.torn_bytes;
	check_state(&l, what, at, mode);
	assert_is_ok(server_init(&s, &loop, &l, &hooks, 78, 1));
	assert_is_ok(server_start(&s));
	server_done(&s);
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	(void)uv_loop_close(&loop);
	log_close(&l);
	auditlog_verify(state.dir, &result);
	if (result.verdict != AUDITLOG_INTACT || result.tail_bytes != 0)
		test_fail("%s call %u mode %d: verify says %s at %llu: %s %s", what, at, (int)mode,
		    auditlog_fault_text(result.fault), (unsigned long long)result.seq, result.file,
		    result.why);
	check_balance(&repairs);
	if (torn > 0)
		assert_true(repairs > 0);
	assert_int_equal(faccessat(state.audit, "repair", F_OK, 0), -1);
}

static void
state_clear(void)
{
	dir_empty(state.audit);
	(void)unlinkat(state.dir, "audit.head", 0);
}

static void
every_call_of_a_life(void **arg)
{
	(void)arg;
	for (int mode = 0; mode < CRASH_MODES; mode++) {
		bool died = true;
		unsigned at;

		for (at = 1; died; at++) {
			uint64_t seq = 0;

			state_clear();
			died = run_killed(life, at, (enum crash_mode)mode, &seq);
			check_after(seq, "life", at, (enum crash_mode)mode);
		}
		assert_true(at > 60); /* the life has that many calls: the seam works */
		assert_true(with_state > 40);
		with_state = 0;
	}
}

/* A torn tail, and a second crash at each call of the recovery from it. */
static void
every_call_of_a_recovery(void **arg)
{
	(void)arg;
	for (unsigned first = 5; first < 60; first += 1) {
		bool died = true;

		for (unsigned at = 1; died; at++) {
			enum crash_mode mode = at % 2 == 0 ? CRASH_AFTER : CRASH_HALF;
			uint64_t seq = 0;

			state_clear();
			assert_true(run_killed(life, first, CRASH_HALF, &seq));
			died = run_killed(recovery, (at + 1) / 2, mode, &seq);
			check_after(seq, "recovery", at, mode);
		}
	}
}

/* Losing a torn tail twice must still leave a record of the repair. */
static void
a_repair_is_always_recorded(void **arg)
{
	bool died = true;

	(void)arg;
	for (unsigned at = 1; died; at++) {
		uint64_t seq = 0, repairs = 0;
		int fd;

		state_clear();
		assert_false(run_killed(life, 0, CRASH_BEFORE, &seq));
		fd = openat(state.audit, "00000001.jsonl", O_RDONLY);
		for (uint32_t n = 2; fd >= 0; n++) {
			char name[AUDITLOG_SEGMENT_NAME_LEN + 1];
			int next;

			auditlog_segment_name(n, name);
			next = openat(state.audit, name, O_WRONLY | O_APPEND);
			if (next < 0)
				break;
			(void)close(fd);
			fd = next;
		}
		assert_int_equal(syscall(SYS_write, fd, "{\"ts\":\"20", 9), 9);
		(void)close(fd);
		died = run_killed(recovery, at, CRASH_AFTER, &seq);
		check_after(seq, "repair", at, CRASH_AFTER);
		check_balance(&repairs);
		if (repairs == 0)
			test_fail("call %u: a repair without a record", at);
	}
}

/* ---- errors of the disk: refused, nothing half-written, fail closed ---- */

static void
disk_errors(void **arg)
{
	static const struct {
		long call;
		int err;
		bool dead;
	} rows[] = {
		{ SYS_pwrite64, ENOSPC, false },
		{ SYS_pwrite64, EIO, false },
		{ SYS_fdatasync, EIO, true },
	};
	const struct log_opts opts = { .segment_max = 1U << 20, .reserve = 65536 };

	(void)arg;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct auditlog_result result;
		struct log l;

		state_clear();
		log_open_ok(&state, &l, &opts);
		append_plain(&l, 1, false);
		assert_is_ok(log_commit(&l));
		crash.fail_call = rows[i].call;
		crash.fail_errno = rows[i].err;
		append_intent(&l, 2, 1, true);
		append_plain(&l, 3, false);
		assert_int_equal(log_commit(&l).err, rows[i].err);
		crash.fail_errno = 0;
		assert_int_equal(l.dead, rows[i].dead);
		assert_int_equal(l.durable.size, 1);
		assert_int_equal(l.now.size, 1);
		assert_int_equal(l.intents.count, 0);
		if (!rows[i].dead) {
			assert_is_ok(log_usable(&l));
			append_plain(&l, 2, false);
			assert_is_ok(log_commit(&l));
		} else {
			assert_false(is_ok(log_usable(&l)));
			log_close(&l);
			log_open_ok(&state, &l, &opts);
			assert_int_equal(l.torn_bytes, 0);
			append_plain(&l, 2, false);
			assert_is_ok(log_commit(&l));
		}
		assert_int_equal(l.durable.size, 2);
		assert_is_ok(log_checkpoint(&l));
		head_keep(&state, &l);
		auditlog_verify(state.dir, &result);
		assert_int_equal(result.verdict, AUDITLOG_INTACT);
		assert_int_equal(result.records, 2);
		log_close(&l);
	}
}

/* A full disk: the reserve is for those who are known, then all are refused. */
static void
full_disk(void **arg)
{
	const struct log_opts opts = { .segment_max = 1U << 20, .reserve = 65536 };
	unsigned stored = 0;
	struct log l;

	(void)arg;
	state_clear();
	log_open_ok(&state, &l, &opts);
	append_plain(&l, 1, false);
	assert_is_ok(log_commit(&l));
	assert_false(l.low);
	crash.fail_call = SYS_fallocate;
	crash.fail_errno = ENOSPC;
	for (; stored < 1000; stored++) {
		append_plain(&l, stored + 2, false);
		if (!is_ok(log_commit(&l)))
			break;
	}
	assert_true(l.low);
	assert_in_range(stored, 100, 999);
	assert_false(l.dead);
	crash.fail_errno = 0;
	append_plain(&l, stored + 2, false);
	assert_is_ok(log_commit(&l));
	assert_false(l.low);
	assert_int_equal(l.durable.size, stored + 2);
	log_close(&l);
}

static int
group_setup(void **arg)
{
	(void)arg;
	state_make(&state);
	return 0;
}

static int
group_teardown(void **arg)
{
	(void)arg;
	state_remove(&state);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_call_of_a_life),
		cmocka_unit_test(every_call_of_a_recovery),
		cmocka_unit_test(a_repair_is_always_recorded),
		cmocka_unit_test(disk_errors),
		cmocka_unit_test(full_disk),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
