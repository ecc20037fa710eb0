/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_KEK_WORLD_H
#define TESTS_KEK_WORLD_H

/*
 * A store whose key is wrapped elsewhere. The test is the broker, and Vault behind it: what it
 * wraps is the sealed key's own bytes, a little disguised, so that a process that comes after one
 * that was killed can unwrap it.
 */
#include "store_world.h"

#include <sys/socket.h>

#include <base/encode.h>
#include <broker_link.h>
#include <daemon/daemon.h>
#include <kek.h>
#include <rotate.h>

#define A "vault:transit/a"
#define B "aws-kms:alias/b"

static struct world {
	uv_loop_t loop;
	struct daemon d;
	struct db *db;
	struct link *broker; /* our end; NULL: away */
	unsigned wraps, unwraps, rewraps;
	enum secret_fault fault; /* what it says; NONE: it does it */
	uint32_t retry_after_ms; /* then */
	bool mute, wrong;        /* no answer; another key */
	uint64_t call;           /* that was not answered */
	uint8_t state[SB_STATE_LEN];
	unsigned opened;
	struct status st;
	unsigned rotated;
	struct status rotated_st;
	enum secret_fault rotated_fault;
} w;

/* ---- Vault ---- */
static char ciphertext[SB_CIPHERTEXT_MAX + 1];

static size_t UNUSED
disguise(struct span reference, struct span key, unsigned n)
{
	int at = snprintf(ciphertext, sizeof(ciphertext), "c%u:%.*s:", n, SPAN_FMT(reference));

	hex_encode(key, ciphertext + at);
	return (size_t)at + 2 * key.len;
}

static bool UNUSED
see(const struct sb_unwrap *m, uint8_t key[SB_KEY_LEN])
{
	const uint8_t *hex = memchr(m->ciphertext.ptr, ':', m->ciphertext.len);
	struct span rest = span_from(m->ciphertext, (size_t)(hex - m->ciphertext.ptr) + 1);

	if (!span_starts(rest, m->reference))
		return false;
	rest = span_from(rest, m->reference.len + 1);
	return is_ok(hex_decode(rest, key, SB_KEY_LEN));
}

static void UNUSED
say(uint64_t id, struct span answer)
{
	struct sb_kek m = {
		.fault = (uint8_t)w.fault, .retry_after_ms = w.retry_after_ms, .answer = answer
	};

	if (w.fault != SECRET_FAULT_NONE)
		m.answer = SPAN_EMPTY;
	w.call = id;
	if (!w.mute)
		assert_is_ok(link_send(w.broker, id, SB_KEK, &m));
}

static void UNUSED
on_wrap(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct sb_wrap *m = msg;

	(void)l, (void)ctx;
	memcpy(w.state, m->state, SB_STATE_LEN);
	say(id,
	    span_of(ciphertext, disguise(m->reference, span_of(m->key, SB_KEY_LEN), ++w.wraps)));
}

static void UNUSED
on_unwrap(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct sb_unwrap *m = msg;
	uint8_t key[SB_KEY_LEN] = { 0 };

	(void)l, (void)ctx;
	w.unwraps++;
	memcpy(w.state, m->state, SB_STATE_LEN);
	assert_true(see(m, key));
	if (w.wrong)
		key[40] ^= 1;
	say(id, span_of(key, sizeof(key)));
}

static void UNUSED
on_rewrap(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct sb_unwrap *m = msg;
	uint8_t key[SB_KEY_LEN];

	(void)l, (void)ctx;
	assert_true(see(m, key));
	say(id, span_of(ciphertext,
		    disguise(m->reference, span_of(key, SB_KEY_LEN), 1000 + ++w.rewraps)));
}

static void UNUSED
on_closed(struct link *l, struct status why, void *ctx)
{
	(void)why, (void)ctx;
	link_free(l);
	if (w.broker == l)
		w.broker = NULL;
}

static void UNUSED
spin(void)
{
	for (int i = 0; i < 60; i++)
		(void)uv_run(&w.loop, UV_RUN_NOWAIT);
}

static void UNUSED
broker_comes(void)
{
	static const struct link_rule rules[] = { { SB_WRAP, 0, on_wrap },
		{ SB_UNWRAP, 0, on_unwrap }, { SB_REWRAP, 0, on_rewrap } };
	static const struct link_ops ops = { rules, COUNT(rules), on_closed };
	int fds[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	assert_is_ok(link_new(&w.loop, fds[0], &sb_edge, false, &ops, &w, &w.broker));
	broker_peer(&w.d, 1, fds[1]);
	kek_broker_came();
	spin();
}

static void UNUSED
broker_goes(void)
{
	link_free(w.broker);
	w.broker = NULL;
	spin();
}

/* The pause is over. */
static void UNUSED
again(void)
{
	kek_broker_came();
	spin();
}

/* ---- the store ---- */
static void UNUSED
put_text(struct buf *out, const char *text)
{
	assert_is_ok(buf_put_u8(out, 0));
	assert_is_ok(buf_put_u8(out, (uint8_t)strlen(text)));
	assert_is_ok(buf_put_str(out, text));
}

static void UNUSED
configure(const char *kek_is, const char *before)
{
	auto_buf struct buf slice = BUF_INIT(1024);

	put_text(&slice, "store\x1fkek");
	put_text(&slice, kek_is);
	if (before != NULL) {
		put_text(&slice, "store\x1fkek_before");
		put_text(&slice, before);
	}
	conf_free(w.d.conf);
	w.d.conf = NULL;
	assert_is_ok(conf_load(buf_span(&slice), &w.d.conf));
}

static void UNUSED
on_opened(void *ctx, struct status st)
{
	(void)ctx;
	w.opened++;
	w.st = st;
}

/* A start; `with_broker`: it is there at once. */
static void UNUSED
start(const char *kek_is, const char *before, bool with_broker)
{
	w = (struct world){ .d.loop = &w.loop };
	assert_int_equal(uv_loop_init(&w.loop), 0);
	configure(kek_is, before);
	assert_is_ok(db_open_tables(&kek, NULL, kek_wrapper(&w.d), &w.db));
	kek_start(&w.d, w.db, on_opened, NULL);
	if (with_broker)
		broker_comes();
	else
		spin();
}

static void UNUSED
close_handle(uv_handle_t *h, void *arg)
{
	(void)arg;
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

static void UNUSED
stop(void)
{
	kek_stop();
	broker_goes();
	uv_walk(&w.loop, close_handle, NULL);
	(void)uv_run(&w.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w.loop), 0);
	conf_free(w.d.conf);
	db_close(w.db);
}

static void UNUSED
assert_open(void)
{
	assert_int_equal(w.opened, 1);
	assert_is_ok(w.st);
}

static struct as_kek UNUSED
state_of(void)
{
	struct as_kek s = { 0 };

	if (w.opened > 0)
		assert_is_ok(db_rotate_status(w.db, &s));
	assert_is_ok(kek_put_status(&s));
	return s;
}

/* All rows are by that one, and there are so many. */
static void UNUSED
assert_wrapped(const char *by, unsigned n)
{
	auto_buf struct buf wrapped = BUF_INIT(SB_CIPHERTEXT_MAX);
	struct kek_row row = { 0 };
	unsigned seen = 0;

	while (is_ok(keyring_kek_next(w.db, row.version, &row, &wrapped))) {
		assert_string_equal(row.wrapper, by);
		assert_true(strcmp(by, "local") == 0 ||
			    memmem(wrapped.ptr, wrapped.len, by, strlen(by)) != NULL);
		seen++;
	}
	assert_int_equal(seen, n);
}

/* What the row of a version holds. */
static struct buf UNUSED
wrapped_of(uint64_t version)
{
	struct buf wrapped = BUF_INIT(SB_CIPHERTEXT_MAX);
	struct kek_row row;

	assert_is_ok(keyring_kek_next(w.db, version - 1, &row, &wrapped));
	assert_int_equal(row.version, version);
	return wrapped;
}

static void UNUSED
assert_nowhere(struct span bytes)
{
	static const char *const names[] = { "store.db", "store.db-wal" };

	for (size_t i = 0; i < COUNT(names); i++) {
		auto_buf struct buf file = BUF_INIT(1U << 24);
		struct status st = io_read_file(here, names[i], &file);

		if (is_ok(st) && file.len > 0)
			assert_null(memmem(file.ptr, file.len, bytes.ptr, bytes.len));
	}
}

/* Something under the keys, and that it can be read. */
static void UNUSED
add_user(void)
{
	uint8_t subject[AS_SECRET_LEN];

	assert_is_ok(put(w.db, 1, subject));
}

static void UNUSED
assert_readable(void)
{
	int64_t cursor = 0;
	struct as_user u;

	assert_is_ok(db_user_next(w.db, &cursor, &u));
	assert_true(span_eq_str(u.user, "user0"));
}

static void UNUSED
on_rotated(void *ctx, struct status st, enum secret_fault fault)
{
	(void)ctx;
	w.rotated++;
	w.rotated_st = st;
	w.rotated_fault = fault;
}

static void UNUSED
rotate(void)
{
	kek_rotate(NOW, on_rotated, NULL);
	spin();
}

static void UNUSED
rotate_on(void)
{
	bool more = true;

	while (more)
		assert_is_ok(db_rotate_step(w.db, NOW, 1000000, &more));
}

#endif
