/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AUDIT_ROTATION_RIG_H
#define TESTS_AUDIT_ROTATION_RIG_H

/*
 * An audit process whose signing key is replaced: its log, its folder of keys, its verifier.
 */
#include "audit_life.h"

#include <base/encode.h>
#include <signing.h>

#define KEY_HEX "0707070707070707070707070707070707070707070707070707070707070707\n"

static struct state state;
static int keys_fd;
static struct signing signing;
static bool head_stays; /* the supervisor is slow */
static struct {
	uv_loop_t loop;
	struct log log;
	struct server server;
} one;

static inline void
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

static inline void
on_dead(struct server *s, struct status why)
{
	(void)s, (void)why;
}

static const struct server_hooks hooks = { on_head, on_recorded, on_dead, on_idle, NULL };

static inline void
key_put(const char *name, const char *text)
{
	assert_is_ok(io_replace_file(keys_fd, name, span_str(text), 0600));
}

/* A fresh log under the first key. */
static inline void
state_clear(void)
{
	dir_empty(state.audit);
	dir_empty(keys_fd);
	(void)unlinkat(state.dir, "audit.head", 0);
	key_put("key", KEY_HEX);
}

static const char *instance = INSTANCE;

static inline void
signing_up(void)
{
	struct secret seal = SECRET_NONE;

	assert_is_ok(secret_new(SEAL_KEY_LEN, &seal));
	memset(seal.ptr, 9, seal.len);
	assert_is_ok(signing_open(&signing, keys_fd, &seal));
}

static inline void
up(void)
{
	const struct log_opts opts = { .segment_max = 4096, .reserve = 0 };
	const char *why = "";
	struct log_keys keys;
	struct status st;

	signing_up();
	keys = (struct log_keys){ signing.key, signing.next };
	st = log_open(&one.log, state.audit, instance, &keys, &opts, &why);
	if (!is_ok(st))
		test_fail("%s: %s", status_text(st), why);
	assert_is_ok(signing_settle(&signing, &one.log));
	(void)uv_loop_init(&one.loop);
	assert_is_ok(server_init(&one.server, &one.loop, &one.log, &hooks, 77, 1));
	assert_is_ok(server_start(&one.server));
}

static inline void
down(void)
{
	server_done(&one.server);
	(void)uv_run(&one.loop, UV_RUN_DEFAULT);
	(void)uv_loop_close(&one.loop);
	log_close(&one.log);
	signing_close(&signing);
}

static inline void
write_some(unsigned n)
{
	static uint64_t count;

	for (unsigned i = 0; i < n; i++)
		append_plain(&one.log, ++count, false);
	assert_is_ok(log_commit(&one.log));
}

static inline uint64_t
rotate(void)
{
	uint64_t seq = 0;

	assert_is_ok(signing_rotate(&signing, &one.server, "demand", &seq));
	return seq;
}

static inline struct auditlog_result
verify(const char *pub)
{
	struct auditlog_result r;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", state.path, pub);
	auditlog_verify_from(state.dir, path, &r);
	return r;
}

static inline void
expect_intact(const char *pub, uint64_t keys)
{
	struct auditlog_result r = verify(pub);

	if (r.verdict != AUDITLOG_INTACT || r.keys != keys)
		test_fail("%s: verdict %d, %s at %llu (%s): %s; %llu keys", pub, (int)r.verdict,
		    auditlog_fault_text(r.fault), (unsigned long long)r.seq, r.file,
		    r.why != NULL ? r.why : "", (unsigned long long)r.keys);
}

static inline void
pub_save(const char *name)
{
	auto_buf struct buf text = BUF_INIT(AUDITLOG_NOTE_MAX);

	assert_is_ok(note_verifier_put(&one.log.name, &text));
	assert_is_ok(buf_put_u8(&text, '\n'));
	assert_is_ok(io_replace_file(state.dir, name, buf_span(&text), 0600));
}

static inline int
group_setup(void **arg)
{
	(void)arg;
	state_make(&state);
	assert_int_equal(mkdirat(state.dir, "keys", 0700), 0);
	keys_fd = openat(state.dir, "keys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(keys_fd >= 0);
	return 0;
}

static inline int
group_teardown(void **arg)
{
	(void)arg;
	dir_empty(keys_fd);
	(void)close(keys_fd);
	state_remove(&state);
	return 0;
}

#endif
