/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state beside the log: with it only what came after is read, and nothing else is different;
 * whatever was done to it, the log decides.
 */
#include "audit_rotation_rig.h"

#include <base/clock.h>
#include <state.h>

#define FORK_MAX (64U << 10)

static unsigned told;

/* ---- a log, opened with what lies there ---- */

static struct log_opts opts_now;

static struct status
open_log(struct log *l, const struct sign_key *key, const struct sign_key *next, const char **why)
{
	const struct log_keys keys = { key, next };

	return log_open(l, state.audit, INSTANCE, &keys, &opts_now, why);
}

static void
open_ok(struct log *l)
{
	const char *why = "";
	struct status st = open_log(l, state.key, NULL, &why);

	if (!is_ok(st))
		test_fail("%s: %s", status_text(st), why);
}

/* It is as if all of it had been read. */
static void
expect_same_as_whole(const struct log *l)
{
	struct log all;
	bool hidden = renameat(state.audit, "state", state.audit, "hidden") == 0;

	open_ok(&all);
	assert_false(all.state_misfit);
	if (l->repaired == all.repaired)
		assert_true(logs_are_equal(l, &all));
	log_close(&all);
	if (hidden)
		assert_int_equal(renameat(state.audit, "hidden", state.audit, "state"), 0);
}

/* Opened, it reads `scanned` records, and takes the state or (misfit) does not. */
static void
expect_open(bool misfit, uint64_t scanned)
{
	struct log l;

	open_ok(&l);
	if (l.state_misfit != misfit || l.scanned != scanned)
		test_fail("misfit %d, %llu records read of %llu", l.state_misfit,
		    (unsigned long long)l.scanned, (unsigned long long)l.durable.size);
	expect_same_as_whole(&l);
	log_close(&l);
}

static void
file_get(const char *name, struct buf *out)
{
	buf_clear(out);
	assert_is_ok(io_read_file(state.audit, name, out));
}

static void
file_put(const char *name, struct span s)
{
	assert_is_ok(io_replace_file(state.audit, name, s, 0600));
}

/* Records of all kinds, in several segments, some intents open; signed, with a state. */
static uint64_t
some_log(unsigned rounds, unsigned seed)
{
	struct log l;
	uint64_t count = seed, size;

	open_ok(&l);
	for (unsigned i = 0; i < rounds; i++) {
		append_plain(&l, ++count, true);
		append_intent(&l, ++count, 1, false);
		assert_is_ok(log_commit(&l));
		if (i % 3 == 0) {
			append_outcome(&l, ++count, 1, l.durable.size);
			assert_is_ok(log_commit(&l));
		}
	}
	assert_is_ok(log_checkpoint(&l));
	assert_is_ok(state_keep(&l, true));
	size = l.durable.size;
	log_close(&l);
	return size;
}

static int
clean(void **arg)
{
	(void)arg;
	state_clear();
	(void)unlinkat(state.audit, "state", AT_REMOVEDIR);
	opts_now = opts_small();
	told = 0;
	return 0;
}

/* ---- only the tail is read ---- */

static void
only_the_tail(void **arg)
{
	uint64_t size = some_log(40, 0);
	struct log l;

	(void)arg;
	expect_open(false, 0);
	/* Signed records, and ones without a signature, behind the state. */
	opts_now.state_every = UINT64_MAX;
	open_ok(&l);
	assert_int_equal(l.intents.count, 40 - 14);
	for (uint64_t i = 1; i <= 7; i++) {
		append_plain(&l, 1000 + i, false);
		assert_is_ok(log_commit(&l));
		if (i == 4)
			assert_is_ok(log_checkpoint(&l));
		assert_is_ok(state_keep(&l, false));
	}
	assert_int_equal(l.state.size, size);
	log_close(&l);
	expect_open(false, 7);
	assert_int_equal(unlinkat(state.audit, "state", 0), 0);
	expect_open(false, size + 7);
}

/* It is written when there is much behind it, when time has passed, and at the end. */
static void
when_it_is_written(void **arg)
{
	struct log l;
	uint64_t size = some_log(3, 0);

	(void)arg;
	opts_now.state_every = 2000;
	open_ok(&l);
	append_plain(&l, 100, false);
	assert_is_ok(log_commit(&l));
	assert_is_ok(state_keep(&l, true)); /* not signed yet */
	assert_int_equal(l.state.size, size);
	assert_is_ok(log_checkpoint(&l));
	assert_is_ok(state_keep(&l, false));
	assert_int_equal(l.state.size, size);
	l.state.since_ns -= LOG_STATE_LATE_NS;
	assert_is_ok(state_keep(&l, false));
	assert_int_equal(l.state.size, size + 1);
	for (int i = 0; i < 6; i++)
		append_plain(&l, 101 + (uint64_t)i, false);
	assert_is_ok(log_commit(&l));
	assert_is_ok(log_checkpoint(&l));
	assert_is_ok(state_keep(&l, false));
	assert_int_equal(l.state.size, size + 7);
	/* Not what a batch has that is not durable. */
	append_plain(&l, 200, false);
	assert_is_ok(log_commit(&l));
	assert_is_ok(log_checkpoint(&l));
	append_intent(&l, 201, 1, false);
	assert_is_ok(state_keep(&l, true));
	assert_int_equal(l.state.size, size + 7);
	assert_is_ok(log_commit(&l));
	assert_is_ok(log_checkpoint(&l));
	assert_is_ok(state_keep(&l, true));
	assert_int_equal(l.state.size, size + 9);
	log_close(&l);
	expect_open(false, 0);
}

static void
many_open_intents(void **arg)
{
	struct log l;

	(void)arg;
	opts_now.segment_max = 1U << 20;
	open_ok(&l);
	for (uint64_t i = 1; i <= 3000; i++)
		append_intent(&l, i, 1, false);
	assert_is_ok(log_commit(&l));
	assert_is_ok(log_checkpoint(&l));
	assert_is_ok(state_keep(&l, true));
	log_close(&l);
	open_ok(&l);
	assert_int_equal(l.intents.count, 3000);
	log_close(&l);
	expect_open(false, 0);
}

static void
on_progress(uint64_t done, uint64_t total)
{
	assert_true(done <= total);
	told++;
}

/* All is read, or much behind an old state: it says that it goes on. */
static void
progress_is_told(void **arg)
{
	auto_buf struct buf old = BUF_INIT(STATE_FILE_MAX);
	struct log l;

	(void)arg;
	(void)some_log(2, 0);
	file_get("state", &old);
	(void)some_log(60, 100);
	opts_now.progress = on_progress;
	opts_now.progress_every = 4096;
	open_ok(&l);
	assert_int_equal(told, 0);
	log_close(&l);
	file_put("state", buf_span(&old));
	open_ok(&l);
	assert_false(l.state_misfit);
	assert_in_range(told, 5, 15);
	log_close(&l);
	assert_int_equal(unlinkat(state.audit, "state", 0), 0);
	told = 0;
	open_ok(&l);
	assert_in_range(told, 5, 16);
	log_close(&l);
}

/* ---- what is done to the file ---- */

static void
each_byte(void **arg)
{
	auto_buf struct buf good = BUF_INIT(STATE_FILE_MAX);
	uint64_t size = some_log(6, 0);

	(void)arg;
	file_get("state", &good);
	for (size_t i = 0; i < good.len; i++) {
		good.ptr[i] ^= (uint8_t)(1U << i % 8);
		file_put("state", buf_span(&good));
		good.ptr[i] ^= (uint8_t)(1U << i % 8);
		expect_open(true, size);
	}
	for (size_t len = 0; len < good.len; len++) {
		file_put("state", span_of(good.ptr, len));
		expect_open(true, size);
	}
	assert_is_ok(buf_put_u8(&good, '\n'));
	file_put("state", buf_span(&good));
	expect_open(true, size);
}

static void
no_file_of_ours(void **arg)
{
	auto_buf struct buf huge = BUF_INIT(STATE_FILE_MAX + 16);
	uint64_t size = some_log(3, 0);

	(void)arg;
	assert_int_equal(unlinkat(state.audit, "state", 0), 0);
	assert_int_equal(symlinkat("checkpoint", state.audit, "state"), 0);
	expect_open(true, size);
	assert_int_equal(unlinkat(state.audit, "state", 0), 0);
	assert_int_equal(mkdirat(state.audit, "state", 0700), 0);
	expect_open(true, size);
	assert_int_equal(unlinkat(state.audit, "state", AT_REMOVEDIR), 0);
	assert_is_ok(buf_reserve(&huge, STATE_FILE_MAX + 1));
	memset(huge.ptr, 'x', STATE_FILE_MAX + 1);
	huge.len = STATE_FILE_MAX + 1;
	file_put("state", buf_span(&huge));
	expect_open(true, size);
}

static void
an_older_state(void **arg)
{
	auto_buf struct buf older = BUF_INIT(STATE_FILE_MAX);
	uint64_t before = some_log(6, 0), after;

	(void)arg;
	file_get("state", &older);
	after = some_log(30, 500);
	file_put("state", buf_span(&older));
	expect_open(false, after - before);
}

/* The log was put back, or cut off with its checkpoint; the head outside tells that. */
static void
a_newer_state(void **arg)
{
	auto_buf struct buf note = BUF_INIT(AUDITLOG_NOTE_MAX), records = BUF_INIT(FORK_MAX);
	uint64_t before, after;

	(void)arg;
	opts_now.segment_max = 1U << 20;
	before = some_log(6, 0);
	file_get("checkpoint", &note);
	file_get("00000001.jsonl", &records);
	after = some_log(3, 500);
	file_put("checkpoint", buf_span(&note));
	expect_open(true, after); /* the old checkpoint is compared with the records */
	file_put("00000001.jsonl", buf_span(&records));
	expect_open(true, before);
}

/* Two logs of one key, of the same length: each has its own. */
static void
a_state_of_another_log(void **arg)
{
	auto_buf struct buf other = BUF_INIT(STATE_FILE_MAX), longer = BUF_INIT(STATE_FILE_MAX);
	uint64_t size;

	(void)arg;
	opts_now.segment_max = 1U << 20;
	(void)some_log(6, 0);
	file_get("state", &other);
	(void)some_log(6, 500);
	file_get("state", &longer);
	state_clear();
	size = some_log(6, 0); /* other timestamps */
	file_put("state", buf_span(&other));
	expect_open(true, size);
	file_put("state", buf_span(&longer));
	expect_open(true, size);
	size = some_log(6, 500);
	file_put("state", buf_span(&other));
	expect_open(true, size);
}

/* Signed rightly, for what is not there: nothing that leads elsewhere than to the signed root
 * counts. */
static void
forged_by_hand(void **arg)
{
	struct sign_key *mine = fixture_key();
	uint64_t size = some_log(12, 0);

	(void)arg;
	for (int what = 0; what < 9; what++) {
		struct log l;

		open_ok(&l);
		switch (what) {
		case 0:
			l.durable.size--, l.signed_size--;
			break;
		case 1:
			l.durable.size++, l.signed_size++;
			break;
		case 2:
			l.durable.leaf[3] ^= 1;
			break;
		case 3:
			l.durable.tree.stack[0][0] ^= 1;
			break;
		case 4:
			l.len--;
			break;
		case 5:
			l.before++;
			break;
		case 6:
			l.segment--;
			break;
		case 7:
			l.len += 4096;
			break;
		default:
			(void)snprintf(l.name.name, sizeof(l.name.name), "sallyport/ab/audit");
		}
		log_sender_seen(&l.senders, SPAN_LIT("ghost"), 9, 1);
		l.key = mine;
		l.state.size = 0;
		assert_is_ok(state_keep(&l, true));
		log_close(&l);
		expect_open(true, size);
		assert_int_equal(unlinkat(state.audit, "state", 0), 0);
		(void)some_log(0, 0); /* a good one again */
	}
	sign_key_free(mine);
}

static void
by_another_key(void **arg)
{
	auto_secret struct secret raw = SECRET_NONE;
	uint64_t size = some_log(6, 0);
	struct sign_key *thief = NULL;
	struct log l;

	(void)arg;
	assert_is_ok(sign_key_generate(&raw));
	assert_is_ok(sign_key_new(&raw, &thief));
	open_ok(&l);
	l.key = thief;
	l.state.size = 0;
	assert_is_ok(state_keep(&l, true));
	log_close(&l);
	expect_open(true, size);
	/* Nor that of the key in force, where another one lies beside it that may have taken over.
	 */
	(void)unlinkat(state.audit, "state", 0);
	(void)some_log(0, 0);
	{
		const char *why = "";

		assert_is_ok(open_log(&l, state.key, thief, &why));
		assert_true(l.state_misfit);
		assert_int_equal(l.scanned, size);
		log_close(&l);
	}
	sign_key_free(thief);
}

/* ---- what is done to the log ---- */

/*
 * Below the state a start looks at lengths, and at the last record; `audit verify` at all of it.
 */
static void
a_log_that_was_changed(void **arg)
{
	static const struct {
		const char *what;
		bool opens; /* a byte of an old record: left to the verifier */
	} rows[] = { { "a byte", true }, { "an old segment cut", false },
		{ "an old segment gone", false }, { "the last record", false },
		{ "the last segment cut", false }, { "the last segment gone", false },
		{ "checkpoint gone", false } };

	(void)arg;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct auditlog_result r;
		const char *why = "";
		char last[AUDITLOG_SEGMENT_NAME_LEN + 1];
		struct status st;
		struct log l;
		int old, end;

		(void)clean(NULL);
		(void)some_log(20, 0);
		open_ok(&l);
		head_keep(&state, &l);
		auditlog_segment_name(l.segment, last);
		end = openat(state.audit, last, O_RDWR | O_CLOEXEC);
		old = openat(state.audit, "00000001.jsonl", O_RDWR | O_CLOEXEC);
		assert_true(l.segment > 2 && old >= 0 && end >= 0);
		switch (i) {
		case 0:
			assert_int_equal(syscall(SYS_pwrite64, old, "X", 1, 400), 1);
			break;
		case 1:
			assert_int_equal(syscall(SYS_ftruncate, old, 900), 0);
			break;
		case 2:
			(void)unlinkat(state.audit, "00000001.jsonl", 0);
			break;
		case 3:
			assert_int_equal(syscall(SYS_pwrite64, end, "X", 1, l.len - 20), 1);
			break;
		case 4:
			assert_int_equal(syscall(SYS_ftruncate, end, l.len - 1), 0);
			break;
		case 5:
			(void)unlinkat(state.audit, last, 0);
			break;
		default:
			(void)unlinkat(state.audit, "checkpoint", 0);
		}
		(void)close(old);
		(void)close(end);
		log_close(&l);
		st = open_log(&l, state.key, NULL, &why);
		if (is_ok(st) != rows[i].opens || (!is_ok(st) && st.code != E_CORRUPT))
			test_fail("%s: %s", rows[i].what, status_text(st));
		log_close(&l);
		auditlog_verify(state.dir, &r);
		assert_int_not_equal(r.verdict, AUDITLOG_INTACT);
	}
}

/* ---- another signing key ---- */

static void
across_a_rotation(void **arg)
{
	auto_buf struct buf older = BUF_INIT(STATE_FILE_MAX);
	uint64_t size;

	(void)arg;
	up();
	write_some(20);
	assert_is_ok(server_end(&one.server));
	file_get("state", &older);
	one.log.opts.state_every = UINT64_MAX;
	(void)rotate(); /* signs a state at once: the old key is gone */
	size = one.log.durable.size;
	assert_int_equal(one.log.state.size, size);
	down();
	up();
	assert_false(one.log.state_misfit);
	assert_int_equal(one.log.scanned, 0);
	assert_int_equal(one.log.key_version, 2);
	write_some(5);
	assert_is_ok(server_end(&one.server));
	down();
	/* The old key's: it is no key of this log's any more. */
	file_put("state", buf_span(&older));
	up();
	assert_true(one.log.state_misfit);
	assert_true(one.log.scanned > size);
	down();
	up();
	assert_false(one.log.state_misfit);
	assert_int_equal(one.log.scanned, 0);
	down();
}

/* Killed before the new key's file took the old one's place: it is in force all the same. */
static void
before_a_rotation_is_settled(void **arg)
{
	struct sign_key *old = fixture_key();
	const char *why = "";
	struct log l;

	(void)arg;
	up();
	write_some(3);
	(void)rotate();
	assert_is_ok(open_log(&l, old, one.log.key, &why));
	assert_false(l.state_misfit);
	assert_int_equal(l.scanned, 0);
	assert_ptr_equal(l.key, one.log.key);
	log_close(&l);
	down();
	sign_key_free(old);
}

/* Whoever sent before goes on to count where it was, also in a log that was not read. */
static void
senders_are_kept(void **arg)
{
	struct log l;

	(void)arg;
	up();
	write_some(3);
	assert_is_ok(server_end(&one.server));
	down();
	open_ok(&l);
	assert_int_equal(l.scanned, 0);
	assert_int_equal(l.senders.n, 2);
	assert_string_equal(l.senders.rows[0].name, "audit");
	assert_string_equal(l.senders.rows[1].name, "authority");
	assert_int_equal(l.senders.rows[1].id, 4);
	assert_true(l.senders.rows[1].seq >= 3);
	log_close(&l);
}

int
main(void)
{
#define TEST(fn) cmocka_unit_test_setup(fn, clean)
	const struct CMUnitTest tests[] = {
		TEST(only_the_tail),
		TEST(when_it_is_written),
		TEST(many_open_intents),
		TEST(progress_is_told),
		TEST(each_byte),
		TEST(no_file_of_ours),
		TEST(an_older_state),
		TEST(a_newer_state),
		TEST(a_state_of_another_log),
		TEST(forged_by_hand),
		TEST(by_another_key),
		TEST(a_log_that_was_changed),
		TEST(across_a_rotation),
		TEST(before_a_rotation_is_settled),
		TEST(senders_are_kept),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
