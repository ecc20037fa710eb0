/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_supervisor_owed.c: what is owed to the store, on disk: kills, errors of the disk, hands that
 * change it.
 */
#include "crash_life.h"

#include <stdlib.h>

#include <base/io.h>
#include <crypto/crypto.h>
#include <supervisor.h>

#define FILE_NAME "store.owed"
#define LISTS 3

static struct supervisor sv;
static struct child authority = { .sv = &sv, .proc = PROC_AUTHORITY };
static struct link *peer;
static uint8_t told[CTL_OWED_MAX * CTL_OWED_LEN];
static size_t ntold;
static int answered; /* -1: not yet */

static void
on_owed(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ctl_owed *m = msg;

	(void)l, (void)id, (void)ctx;
	ntold = m->entries.len;
	memcpy(told, m->entries.ptr, ntold);
}

static void
on_closed(struct link *l, struct status why, void *ctx)
{
	(void)l, (void)why, (void)ctx;
}

static const struct link_rule sv_rules[] = { { CTL_OWE, 0, owed_on_owe } };
static const struct link_rule peer_rules[] = { { CTL_OWED, 0, on_owed } };
static const struct link_ops sv_ops = { .rules = sv_rules, .nrules = 1, .on_closed = on_closed };
static const struct link_ops peer_ops = {
	.rules = peer_rules, .nrules = 1, .on_closed = on_closed
};

static void
spin(void)
{
	for (int i = 0; i < 10; i++)
		(void)uv_run(&sv.loop, UV_RUN_NOWAIT);
}

static void
on_kept(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	(void)l, (void)ctx;
	assert_true(is_ok(st));
	assert_int_equal(type, CTL_OWE_KEPT);
	answered = ((const struct ctl_owe_kept *)msg)->ok;
}

/* The answer to a list of that many bytes, each of them `len`. */
static int
owe_bytes(size_t len)
{
	static uint8_t bytes[CTL_OWED_MAX * CTL_OWED_LEN];
	const struct ctl_owed m = { .entries = span_of(bytes, len) };

	memset(bytes, (int)(len % 251), len);
	answered = -1;
	assert_true(is_ok(link_call(peer, CTL_OWE, &m, 60000, on_kept, NULL, NULL)));
	spin();
	return answered;
}

static int
owe(size_t n)
{
	return owe_bytes(n * CTL_OWED_LEN);
}

/* As a new authority hears it. */
static size_t
kept(void)
{
	ntold = SIZE_MAX;
	assert_true(is_ok(owed_tell(&authority)));
	spin();
	assert_true(ntold != SIZE_MAX && ntold % CTL_OWED_LEN == 0);
	for (size_t i = 0; i < ntold; i++)
		assert_int_equal(told[i], ntold % 251);
	return ntold / CTL_OWED_LEN;
}

/* Also in a fork, where neither the loop's descriptors nor secrets are its own. */
static bool
open_world(void)
{
	static const uint8_t key[32] = { 7, 8, 9 };
	int pair[2];

	sv.inst.seal = SECRET_NONE;
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0 &&
	       is_ok(secret_from_span(span_of(key, sizeof(key)), &sv.inst.seal)) &&
	       uv_loop_init(&sv.loop) == 0 &&
	       is_ok(link_new(
		   &sv.loop, pair[0], &ctl_edge, true, &sv_ops, &authority, &authority.control)) &&
	       is_ok(link_new(&sv.loop, pair[1], &ctl_edge, false, &peer_ops, NULL, &peer));
}

static int
begin(void **state)
{
	static char dir[64];

	(void)snprintf(dir, sizeof(dir), "/tmp/sallyport-unit-XXXXXX");
	assert_non_null(mkdtemp(dir));
	*state = dir;
	authority.proc = PROC_AUTHORITY;
	sv.inst.dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(sv.inst.dir_fd >= 0);
	return is_ok(crypto_init()) && open_world() ? 0 : -1;
}

static int
end(void **state)
{
	link_free(peer);
	link_free(authority.control);
	spin();
	assert_int_equal(uv_loop_close(&sv.loop), 0);
	secret_done(&sv.inst.seal);
	(void)unlinkat(sv.inst.dir_fd, FILE_NAME, 0);
	(void)unlinkat(sv.inst.dir_fd, FILE_NAME ".tmp", 0);
	(void)close(sv.inst.dir_fd);
	return rmdir(*state);
}

static void
the_last_list_is_told(void **state)
{
	(void)state;
	assert_true(is_ok(owed_check(&sv)));
	assert_int_equal(kept(), 0);
	assert_int_equal(owe(3), 1);
	assert_int_equal(kept(), 3);
	assert_int_equal(owe(CTL_OWED_MAX), 1);
	assert_true(is_ok(owed_check(&sv)));
	assert_int_equal(kept(), CTL_OWED_MAX);
	assert_int_equal(owe(0), 1);
	assert_int_equal(kept(), 0);
	assert_true(is_ok(owed_check(&sv)));
}

/* Half an entry, or another process: nothing of it is kept. */
static void
what_is_no_list_is_refused(void **state)
{
	(void)state;
	assert_int_equal(owe(2), 1);
	assert_int_equal(owe_bytes(CTL_OWED_LEN + 1), 0);
	authority.proc = PROC_GATEWAY;
	assert_int_equal(owe(1), 0);
	assert_int_equal(kept(), 2);
}

static void
life(void)
{
	if (!open_world())
		_exit(8);
	for (uint8_t n = 1; n <= LISTS; n++) {
		if (owe(n) == 1)
			crash_ack(&n, 1);
	}
}

/* What was acknowledged is there after a kill and a loss of power at each call. */
static void
whole_or_not_at_all(void **state)
{
	(void)state;
	for (int mode = 0; mode < CRASH_MODES; mode++) {
		for (unsigned at = 1;; at++) {
			uint8_t n = 0, acked = 0;
			bool died;
			int fd;
			pid_t pid;

			assert_int_equal(owe(0), 1);
			pid = crash_start(life, at, (enum crash_mode)mode, &fd);
			while (read(fd, &n, 1) == 1)
				acked = n;
			died = crash_ended(pid, fd);
			assert_true(is_ok(owed_check(&sv)));
			assert_true(kept() == acked || kept() == acked + 1U);
			if (!died) {
				assert_int_equal(kept(), LISTS);
				assert_true(at > LISTS * 4);
				break;
			}
		}
	}
}

/* It is no success, and what was there before stays there. */
static void
a_full_disk_is_no_success(void **state)
{
	static const struct {
		long call;
		int err;
	} rows[] = { { SYS_write, ENOSPC }, { SYS_fsync, EIO }, { SYS_renameat, EROFS },
		{ SYS_unlinkat, EIO } };

	(void)state;
	assert_int_equal(owe(2), 1);
	for (size_t i = 0; i < COUNT(rows); i++) {
		crash.fail_call = rows[i].call;
		crash.fail_errno = rows[i].err;
		assert_int_equal(owe(3), 0);
		crash.fail_errno = 0;
		assert_int_equal(kept(), 2);
	}
	assert_int_equal(owe(3), 1);
	assert_int_equal(kept(), 3);
}

static void
assert_no_list(struct span file)
{
	int fd = openat(sv.inst.dir_fd, FILE_NAME, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0 && is_ok(io_write_all(fd, file)));
	(void)close(fd);
	assert_false(is_ok(owed_check(&sv)));
	assert_false(is_ok(owed_tell(&authority)));
}

/* Nobody takes an entry out, but with the whole file. */
static void
a_changed_file_starts_nobody(void **state)
{
	uint8_t file[1024], changed[sizeof(file)];
	struct buf text = { .max = sizeof(file) };
	struct secret key = sv.inst.seal;
	size_t len;

	(void)state;
	assert_int_equal(owe(4), 1);
	assert_true(is_ok(io_read_file(sv.inst.dir_fd, FILE_NAME, &text)));
	len = text.len;
	memcpy(file, text.ptr, len);
	buf_done(&text);
	for (size_t i = 0; i < len; i++) {
		memcpy(changed, file, len);
		changed[i] ^= 0x10;
		assert_no_list(span_of(changed, len));
		assert_no_list(span_of(file, i));
	}
	assert_no_list(span_of(file + CTL_OWED_LEN, len - CTL_OWED_LEN));
	assert_true(is_ok(io_replace_file(sv.inst.dir_fd, FILE_NAME, span_of(file, len), 0600)));
	assert_true(is_ok(owed_check(&sv)));
	sv.inst.seal = SECRET_NONE;
	assert_true(is_ok(secret_random(32, &sv.inst.seal)));
	assert_false(is_ok(owed_check(&sv)));
	secret_done(&sv.inst.seal);
	sv.inst.seal = key;
	assert_int_equal(kept(), 4);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(the_last_list_is_told),
		CASE(what_is_no_list_is_refused),
		CASE(whole_or_not_at_all),
		CASE(a_full_disk_is_no_success),
		CASE(a_changed_file_starts_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
