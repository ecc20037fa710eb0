/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log's signing key is replaced: the verifier follows from any key that was ever in force,
 * takes no hand-over by a stranger, and a kill or an error of the disk at any call leaves one
 * key in force, the one that the log names.
 */
#include "audit_fixture.h"

#include <sys/wait.h>

#include "crashpoint.h"
#include <base/encode.h>
#include <server.h>
#include <signing.h>

#define KEY_HEX "0707070707070707070707070707070707070707070707070707070707070707\n"
#define VKEYS 5
#define RETURN_CALLS 16

static struct state state;
static int keys_fd;
static int ack_pipe = -1;
static struct signing signing;
static bool head_stays; /* the supervisor is slow */
static int rounds = 2;
static struct {
	uv_loop_t loop;
	struct log log;
	struct server server;
} one;

static void
on_head(struct server *s, uint64_t size, struct span note)
{
	(void)size;
	if (crash.fail_errno != 0)
		return; /* on_head() of the process only says so, and is called again */
	if (!head_stays && !is_ok(io_replace_file(state.dir, "audit.head", note, 0644)))
		_exit(9);
	if (!is_ok(signing_settle(&signing, s->log)))
		_exit(10);
}

static void
on_recorded(struct server *s, uint64_t id, uint64_t seq, bool ok)
{
	(void)s, (void)id, (void)seq, (void)ok;
}

static void
on_dead(struct server *s, struct status why)
{
	(void)s, (void)why;
}

static void
on_idle(struct server *s)
{
	(void)s;
}

static const struct server_hooks hooks = { on_head, on_recorded, on_dead, on_idle, NULL };

static void
key_put(const char *name, const char *text)
{
	assert_is_ok(io_replace_file(keys_fd, name, span_str(text), 0600));
}

/* A fresh log under the first key. */
static void
state_clear(void)
{
	dir_empty(state.audit);
	dir_empty(keys_fd);
	(void)unlinkat(state.dir, "audit.head", 0);
	key_put("key", KEY_HEX);
}

static void
up(void)
{
	const struct log_opts opts = { .segment_max = 4096, .reserve = 0 };
	const char *why = "";
	struct log_keys keys;
	struct status st;

	assert_is_ok(signing_open(&signing, keys_fd));
	keys = (struct log_keys){ signing.key, signing.next };
	st = log_open(&one.log, state.audit, INSTANCE, &keys, &opts, &why);
	if (!is_ok(st))
		test_fail("%s: %s", status_text(st), why);
	assert_is_ok(signing_settle(&signing, &one.log));
	(void)uv_loop_init(&one.loop);
	assert_is_ok(server_init(&one.server, &one.loop, &one.log, &hooks, 77, 1));
	assert_is_ok(server_start(&one.server));
}

static void
down(void)
{
	server_done(&one.server);
	(void)uv_run(&one.loop, UV_RUN_DEFAULT);
	(void)uv_loop_close(&one.loop);
	log_close(&one.log);
	signing_close(&signing);
}

static void
write_some(unsigned n)
{
	static uint64_t count;

	for (unsigned i = 0; i < n; i++)
		append_plain(&one.log, ++count, false);
	assert_is_ok(log_commit(&one.log));
}

static uint64_t
rotate(void)
{
	uint64_t seq = 0;

	assert_is_ok(signing_rotate(&signing, &one.server, "demand", &seq));
	return seq;
}

static struct auditlog_result
verify(const char *pub)
{
	struct auditlog_result r;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", state.path, pub);
	auditlog_verify_from(state.dir, path, &r);
	return r;
}

static void
expect_intact(const char *pub, uint64_t keys)
{
	struct auditlog_result r = verify(pub);

	if (r.verdict != AUDITLOG_INTACT || r.keys != keys)
		test_fail("%s: verdict %d, %s at %llu (%s): %s; %llu keys", pub, (int)r.verdict,
		    auditlog_fault_text(r.fault), (unsigned long long)r.seq, r.file,
		    r.why != NULL ? r.why : "", (unsigned long long)r.keys);
}

static void
pub_save(const char *name)
{
	auto_buf struct buf text = BUF_INIT(AUDITLOG_NOTE_MAX);

	assert_is_ok(note_verifier_put(&one.log.name, &text));
	assert_is_ok(buf_put_u8(&text, '\n'));
	assert_is_ok(io_replace_file(state.dir, name, buf_span(&text), 0600));
}

/* ---- the verifier ---- */

static void
from_any_key(void **arg)
{
	char name[8];

	(void)arg;
	state_clear();
	up();
	for (int i = 0; i < VKEYS; i++) {
		write_some(3);
		(void)snprintf(name, sizeof(name), "pub%d", i);
		pub_save(name);
		expect_intact("audit.pub", (uint64_t)i + 1);
		(void)rotate();
		assert_is_ok(server_sync(&one.server));
		if (i % 2 == 0) { /* and over a restart */
			down();
			up();
		}
	}
	write_some(3);
	assert_is_ok(server_sync(&one.server));
	pub_save("pub");
	assert_int_equal(one.log.key_version, VKEYS + 1);
	expect_intact("pub", VKEYS + 1);
	for (int i = 0; i < VKEYS; i++) {
		(void)snprintf(name, sizeof(name), "pub%d", i);
		expect_intact(name, VKEYS + 1);
	}
	down();
}

/* audit.head is that of before the rotation: its signer is known from the record. */
static void
head_behind(void **arg)
{
	(void)arg;
	state_clear();
	up();
	write_some(3);
	assert_is_ok(server_sync(&one.server));
	pub_save("old");
	head_stays = true;
	(void)rotate();
	write_some(2);
	assert_is_ok(server_sync(&one.server));
	pub_save("new");
	head_stays = false;
	expect_intact("old", 2);
	expect_intact("new", 2);
	/* A head that was changed is noticed, also where only the record says who signed it. */
	{
		auto_buf struct buf head = BUF_INIT(AUDITLOG_NOTE_MAX);

		assert_is_ok(io_read_file(state.dir, "audit.head", &head));
		for (size_t i = 0; i < head.len; i++) {
			head.ptr[i] ^= 1;
			assert_is_ok(
			    io_replace_file(state.dir, "audit.head", buf_span(&head), 0600));
			head.ptr[i] ^= 1;
			assert_int_equal(verify("old").verdict, AUDITLOG_TAMPERED);
			assert_int_equal(verify("new").verdict, AUDITLOG_TAMPERED);
		}
	}
	down();
}

/* A key that the log does not know is no start. */
static void
a_stranger_is_no_start(void **arg)
{
	auto_buf struct buf text = BUF_INIT(AUDITLOG_NOTE_MAX);
	const uint8_t stranger[ED25519_KEY_LEN] = { 1 };

	(void)arg;
	state_clear();
	up();
	write_some(2);
	(void)rotate();
	assert_is_ok(auditlog_pub_put(one.log.name.name, stranger, &text));
	assert_is_ok(io_replace_file(state.dir, "stranger", buf_span(&text), 0600));
	assert_int_equal(verify("stranger").verdict, AUDITLOG_TAMPERED);
	down();
}

static struct sign_key *
key_of(uint8_t fill)
{
	auto_secret struct secret raw = SECRET_NONE;
	struct sign_key *key = NULL;

	assert_is_ok(secret_new(ED25519_KEY_LEN, &raw));
	memset(raw.ptr, fill, raw.len);
	assert_is_ok(sign_key_new(&raw, &key));
	return key;
}

/* What a thief does who has the disk and a key of his own: he hands over to himself. */
static void
hand_over(const struct sign_key *by, const struct note_verifier *previous, uint64_t size,
    const char *mend)
{
	auto_buf struct buf key = BUF_INIT(AUDIT_STR_MAX), old = BUF_INIT(AUDIT_STR_MAX),
			    sig = BUF_INIT(AUDIT_STR_MAX);
	struct sign_key *thief = key_of(66);
	struct checkpoint before = { .origin = span_str(previous->name), .size = size };
	uint8_t public_key[ED25519_KEY_LEN];
	struct audit_value values[4];
	struct audit_rec r = { .event = EVENT_SIGNING_KEY_ROTATED,
		.outcome = AUDIT_SUCCESS,
		.values = { values, 4 } };
	struct note_verifier v;

	sign_key_public(thief, public_key);
	assert_is_ok(note_verifier_init(&v, before.origin, public_key));
	assert_is_ok(merkle_root(&one.log.durable.tree, before.root));
	assert_is_ok(auditlog_rotation_sign(&before, &v, by, &sig));
	if (mend != NULL)
		memcpy(sig.ptr, mend, 5); /* the key id that the signature should have */
	assert_is_ok(note_verifier_put(&v, &key));
	assert_is_ok(note_verifier_put(previous, &old));
	values[0] = (struct audit_value){ AUDIT_V_STR, 0, buf_span(&key) };
	values[1] = (struct audit_value){ AUDIT_V_STR, 0, buf_span(&old) };
	values[2] = (struct audit_value){ AUDIT_V_STR, 0, buf_span(&sig) };
	values[3] = (struct audit_value){ AUDIT_V_STR, 0, SPAN_LIT("demand") };
	assert_is_ok(server_own(&one.server, &r));
	assert_is_ok(log_key_set(&one.log, thief));
	write_some(2);
	assert_is_ok(server_sync(&one.server));
	one.log.key = signing.key;
	sign_key_free(thief);
}

static void
forged(void **arg)
{
	static const struct {
		uint8_t by; /* 7: our own key */
		bool as_himself;
		bool mend;
		int size; /* beside the true one */
		bool good;
	} rows[] = {
		{ 7, false, false, 0, true }, /* the test's own way is right */
		{ 66, false, false, 0, false },
		{ 66, false, true, 0, false },
		{ 66, true, false, 0, false },
		{ 7, false, false, 1, false }, /* a hand-over that was made for another length */
		{ 7, false, false, -1, false },
		{ 7, true, false, 0, false },
	};

	(void)arg;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_buf struct buf own = BUF_INIT(256);
		struct sign_key *by = key_of(rows[i].by), *thief = key_of(66);
		struct auditlog_result r;
		struct note_verifier previous;
		uint8_t blob[NOTE_KEY_ID_LEN + 1] = { 0 }, public_key[ED25519_KEY_LEN];
		uint64_t seq;

		state_clear();
		up();
		write_some(3);
		assert_is_ok(server_sync(&one.server));
		seq = one.log.durable.size + 1;
		previous = one.log.name;
		memcpy(blob, previous.key_id, NOTE_KEY_ID_LEN);
		assert_is_ok(base64_encode(span_of(blob, sizeof(blob)), &own));
		if (rows[i].as_himself) {
			sign_key_public(thief, public_key);
			assert_is_ok(
			    note_verifier_init(&previous, span_str(one.log.name.name), public_key));
		}
		hand_over(by, &previous, seq - 1 + (uint64_t)rows[i].size,
		    rows[i].mend ? (const char *)own.ptr : NULL);
		sign_key_free(by);
		sign_key_free(thief);
		auditlog_verify(state.dir, &r);
		if ((r.verdict == AUDITLOG_INTACT) != rows[i].good)
			test_fail("row %zu: verdict %d: %s", i, (int)r.verdict, r.why);
		if (!rows[i].good) {
			assert_int_equal(r.verdict, AUDITLOG_TAMPERED);
			assert_int_equal(r.seq, seq);
			assert_non_null(strstr(r.why, "vouch"));
		}
		down();
	}
}

/* The old key signs no more: not even who has it can add to the log. */
static void
the_old_key_is_over(void **arg)
{
	struct auditlog_result r;
	struct sign_key *old = key_of(7);

	(void)arg;
	state_clear();
	up();
	write_some(3);
	(void)rotate();
	write_some(1);
	assert_is_ok(log_key_set(&one.log, old));
	assert_is_ok(server_sync(&one.server));
	auditlog_verify(state.dir, &r);
	assert_int_equal(r.verdict, AUDITLOG_TAMPERED);
	one.log.key = signing.key;
	down();
	/* And the log does not open: not by its key, and not where the old one is still there. */
	for (int both = 0; both < 2; both++) {
		const struct log_opts opts = opts_small();
		struct log_keys keys;
		const char *why = "";

		assert_is_ok(signing_open(&signing, keys_fd));
		keys = both == 0 ? (struct log_keys){ signing.key, NULL }
				 : (struct log_keys){ old, signing.key };
		assert_int_equal(
		    log_open(&one.log, state.audit, INSTANCE, &keys, &opts, &why).code, E_CORRUPT);
		log_close(&one.log);
		signing_close(&signing);
	}
	sign_key_free(old);
}

/* ---- kills ---- */

static void
acked(uint64_t seq)
{
	if (ack_pipe >= 0 && syscall(SYS_write, ack_pipe, &seq, sizeof(seq)) != sizeof(seq))
		_exit(7);
}

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

static bool
run_killed(unsigned at, enum crash_mode mode, uint64_t *acked_seq)
{
	int fds[2], status;
	uint64_t seq;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		(void)close(fds[0]);
		ack_pipe = fds[1];
		crash.calls = 0;
		crash.at = at;
		crash.mode = mode;
		life();
		_exit(0);
	}
	(void)close(fds[1]);
	while (read(fds[0], &seq, sizeof(seq)) == sizeof(seq))
		*acked_seq = seq;
	(void)close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return false;
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		test_fail("call %u, mode %d: ended with %x", at, (int)mode, (unsigned)status);
	return true;
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
			died = run_killed(at, (enum crash_mode)mode, &seq);
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
			died = run_killed(at, CRASH_AFTER, &seq);
			(void)run_killed(again, CRASH_AFTER, &seq);
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

static int
group_setup(void **arg)
{
	(void)arg;
	state_make(&state);
	assert_int_equal(mkdirat(state.dir, "keys", 0700), 0);
	keys_fd = openat(state.dir, "keys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(keys_fd >= 0);
	return 0;
}

static int
group_teardown(void **arg)
{
	(void)arg;
	dir_empty(keys_fd);
	(void)close(keys_fd);
	state_remove(&state);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_any_key),
		cmocka_unit_test(head_behind),
		cmocka_unit_test(a_stranger_is_no_start),
		cmocka_unit_test(forged),
		cmocka_unit_test(the_old_key_is_over),
		cmocka_unit_test(every_call),
		cmocka_unit_test(every_call_twice),
		cmocka_unit_test(disk_errors),
		cmocka_unit_test(left_overs),
		cmocka_unit_test(when_it_is_due),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
