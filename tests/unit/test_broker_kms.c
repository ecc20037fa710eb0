/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/broker/kms.c: keys of the store under keys of Vault or KMS. This test is the store, the
 * source, and the authority that puts each access on record.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <base/cleanup.h>
#include <broker.h>
#include <credentials.h>
#include <crypto/crypto.h>
#include <wire/store_broker.h>

#define NOW "vault:transit/now"
#define BEFORE "aws-kms:alias/before"

static struct world {
	uv_loop_t loop;
	struct daemon d;
	struct broker *b;
	struct sources sources;
	struct link *authority, *store;
	/* the source */
	struct source_job *job;
	unsigned started, cancelled;
	bool full; /* it takes nothing */
	/* the authority */
	bool mute, refuse, mute_end, refuse_end;
	unsigned intents, open;
	struct ab_secret_begin begun;
	char reference[SECRET_REF_MAX + 1];
	struct ab_secret_ended last;
	char version[SECRET_VERSION_MAX + 1];
	/* the store */
	unsigned answers;
	struct status st;
	struct sb_kek got;
	char answer[SB_CIPHERTEXT_MAX + 1];
} w;

static void
spin(void)
{
	for (int i = 0; i < 20; i++)
		(void)uv_run(&w.loop, UV_RUN_NOWAIT);
}

/* ---- the source ---- */
static struct status
source_start(void *source, struct source_job *job)
{
	assert_ptr_equal(source, &w);
	if (w.full)
		return fail(E_FULL);
	assert_int_equal(w.open, 1); /* on record, before */
	w.started++;
	w.job = job;
	return OK;
}

static void
source_cancel(struct source_job *job)
{
	assert_ptr_equal(w.job, job);
	w.cancelled++;
	w.job = NULL;
}

static const struct source_ops source_ops = { source_start, source_cancel, NULL };

static void
deliver(struct source_result *r)
{
	struct source_job *job = w.job;

	assert_non_null(job);
	w.job = NULL;
	job->done(job, r);
	secret_done(&r->value);
	spin();
}

static void
give(struct span value, const char *version)
{
	struct source_result r = { .reading = { .version = version, .lease = "" } };

	assert_true(is_ok(secret_from_span(value, &r.value)));
	deliver(&r);
}

static void
give_fault(enum secret_fault fault, uint32_t retry_after_ms)
{
	struct source_result r = { .fault = fault, .retry_after_ms = retry_after_ms };

	deliver(&r);
}

/* ---- the authority ---- */
static void
on_begin(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ab_secret_begin *m = msg;
	struct ab_secret_begun answer = { .error = ERROR_AUDIT_UNAVAILABLE };

	(void)ctx;
	assert_true(is_ok(span_to_cstr(m->reference, w.reference, sizeof(w.reference))));
	w.begun = *m;
	if (w.mute)
		return;
	if (!w.refuse) {
		answer = (struct ab_secret_begun){ .access = ++w.intents };
		w.open++;
	}
	assert_true(is_ok(link_send(l, id, AB_SECRET_BEGUN, &answer)));
}

static void
on_end(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ab_secret_ended *m = msg;
	const struct ab_secret_recorded ok = { .error = w.refuse_end ? ERROR_AUDIT_UNAVAILABLE
								     : ERROR_NONE };

	(void)ctx;
	w.open--;
	w.last = *m;
	assert_true(is_ok(span_to_cstr(m->version, w.version, sizeof(w.version))));
	if (!w.mute_end)
		assert_true(is_ok(link_send(l, id, AB_SECRET_RECORDED, &ok)));
}

static void
on_closed(struct link *l, struct status why, void *ctx)
{
	(void)why, (void)ctx;
	link_free(l);
	if (w.authority == l)
		w.authority = NULL;
	if (w.store == l)
		w.store = NULL;
}

static int
pair(int *ours)
{
	int fds[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	*ours = fds[0];
	return fds[1];
}

static void
authority_comes(void)
{
	static const struct link_rule rules[] = { { AB_SECRET_BEGIN, 0, on_begin },
		{ AB_SECRET_ENDED, 0, on_end } };
	static const struct link_ops ops = { rules, COUNT(rules), on_closed };
	int fd, theirs = pair(&fd);

	assert_true(is_ok(link_new(&w.loop, fd, &ab_edge, true, &ops, &w, &w.authority)));
	peers_add(w.b, EDGE_AUTHORITY_BROKER, 1, theirs);
	spin();
}

static void
authority_goes(void)
{
	link_free(w.authority);
	w.authority = NULL;
	w.open = 0; /* it ends them itself */
	spin();
}

/* ---- the store ---- */
static void
on_credentials(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct sb_credentials *m = msg;

	(void)l, (void)id, (void)ctx;
	assert_int_equal(m->marks.count, 0);
}

static void
store_comes(void)
{
	static const struct link_rule rules[] = { { SB_CREDENTIALS, 0, on_credentials } };
	static const struct link_ops ops = { rules, COUNT(rules), on_closed };
	int fd, theirs = pair(&fd);

	assert_true(is_ok(link_new(&w.loop, fd, &sb_edge, true, &ops, &w, &w.store)));
	peers_add(w.b, EDGE_STORE_BROKER, 2, theirs);
	spin();
}

static void
on_answer(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	const struct sb_kek *m = msg;

	(void)l, (void)ctx;
	w.answers++;
	w.st = st;
	if (!is_ok(st))
		return;
	assert_int_equal(type, SB_KEK);
	w.got = *m;
	memset(w.answer, 0, sizeof(w.answer));
	if (m->answer.len > 0)
		memcpy(w.answer, m->answer.ptr, m->answer.len);
}

static void
ask(enum sb_type type, const char *reference)
{
	struct sb_wrap wrap = { .reference = span_str(reference), .version = 7 };
	struct sb_unwrap unwrap = { .reference = span_str(reference),
		.version = 7,
		.ciphertext = SPAN_LIT("vault:v1:aaaa") };

	memset(wrap.key, 'k', sizeof(wrap.key));
	memset(wrap.state, 0xab, sizeof(wrap.state));
	memset(unwrap.state, 0xab, sizeof(unwrap.state));
	assert_true(is_ok(link_call(w.store, (uint16_t)type,
	    type == SB_WRAP ? (const void *)&wrap : (const void *)&unwrap, 60000, on_answer, NULL,
	    NULL)));
	spin();
}

static void
assert_answered(unsigned n, enum secret_fault fault)
{
	assert_int_equal(w.answers, n);
	assert_true(is_ok(w.st));
	assert_int_equal(w.got.fault, fault);
	if (fault != SECRET_FAULT_NONE)
		assert_int_equal(w.got.answer.len, 0);
	assert_int_equal(w.b->kms.n, 0);
	assert_int_equal(w.open, 0);
}

/* ---- the world ---- */
static void
put_text(struct buf *out, const char *text)
{
	assert_true(is_ok(buf_put_u8(out, 0)));
	assert_true(is_ok(buf_put_u8(out, (uint8_t)strlen(text))));
	assert_true(is_ok(buf_put_str(out, text)));
}

static void
configure(const char *kek, const char *before)
{
	auto_buf struct buf slice = BUF_INIT(1024);

	put_text(&slice, "store\x1fkek");
	put_text(&slice, kek);
	if (before != NULL) {
		put_text(&slice, "store\x1fkek_before");
		put_text(&slice, before);
	}
	conf_free(w.d.conf);
	w.d.conf = NULL;
	assert_true(is_ok(conf_load(buf_span(&slice), &w.d.conf)));
}

static int
setup(void **state)
{
	(void)state;
	w = (struct world){ .b = calloc(1, sizeof(*w.b)) };
	assert_int_equal(uv_loop_init(&w.loop), 0);
	w.d.loop = &w.loop;
	configure(NOW, BEFORE);
	broker_init(w.b, &w.d);
	for (int i = REFERENCE_VAULT; i <= REFERENCE_AWS; i++) {
		w.sources.by[i].ops = &source_ops;
		w.sources.by[i].source = &w;
	}
	w.b->sources = &w.sources;
	authority_comes();
	store_comes();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	peers_free(w.b);
	link_free(w.authority);
	link_free(w.store);
	(void)uv_run(&w.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w.loop), 0);
	conf_free(w.d.conf);
	free(w.b);
	return 0;
}

/* ---- tests ---- */
static void
a_key_is_wrapped_once_that_is_on_record(void **state)
{
	uint8_t key[SB_KEY_LEN];

	(void)state;
	memset(key, 'k', sizeof(key));
	w.mute_end = true;
	ask(SB_WRAP, NOW);
	assert_string_equal(w.reference, NOW);
	assert_int_equal(w.begun.act, SECRET_ACT_READ);
	assert_int_equal(w.begun.why, SECRET_WRAP);
	assert_int_equal(w.job->op, LIFETIME_WRAP);
	assert_int_equal(w.job->ref.source, REFERENCE_VAULT);
	assert_true(span_eq_str(w.job->ref.place, "transit/now"));
	assert_true(span_eq(w.job->kms.data, span_of(key, sizeof(key))));
	assert_string_equal(w.job->kms.state, "abababababababababababababababab");
	assert_int_equal(w.job->kms.version, 7);
	give(SPAN_LIT("vault:v3:abcd"), "3");
	assert_int_equal(w.answers, 0); /* its end is not on record */
	assert_string_equal(w.version, "3");
	authority_goes();
	assert_answered(1, SECRET_UNRECORDED);
	w.mute_end = false;
	authority_comes();
	ask(SB_WRAP, NOW);
	give(SPAN_LIT("vault:v3:abcd"), "3");
	assert_answered(2, SECRET_FAULT_NONE);
	assert_string_equal(w.answer, "vault:v3:abcd");
}

static void
a_key_is_unwrapped_and_rewrapped(void **state)
{
	uint8_t key[SB_KEY_LEN];

	(void)state;
	memset(key, 'x', sizeof(key));
	ask(SB_UNWRAP, BEFORE);
	assert_int_equal(w.begun.why, SECRET_UNWRAP);
	assert_int_equal(w.job->op, LIFETIME_UNWRAP);
	assert_int_equal(w.job->ref.source, REFERENCE_AWS);
	assert_true(span_eq_str(w.job->ref.place, "alias/before"));
	assert_true(span_eq_str(w.job->kms.data, "vault:v1:aaaa"));
	give(span_of(key, sizeof(key)), "some-key");
	assert_answered(1, SECRET_FAULT_NONE);
	assert_memory_equal(w.answer, key, sizeof(key));
	ask(SB_REWRAP, NOW);
	assert_int_equal(w.begun.why, SECRET_REWRAP);
	assert_int_equal(w.job->op, LIFETIME_REWRAP);
	give(SPAN_LIT("vault:v4:x"), "4");
	assert_answered(2, SECRET_FAULT_NONE);
	assert_string_equal(w.answer, "vault:v4:x");
}

static void
only_keys_of_the_configuration_are_used(void **state)
{
	static const char *const bad[] = { "vault:transit/other", "vault:transit/now2", "local",
		"vault:transit/../now", "aws-kms:alias/now", "file:x", "x" };

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		ask(SB_UNWRAP, bad[i]);
		assert_answered((unsigned)i + 1, SECRET_DENIED);
	}
	configure("local", NULL);
	ask(SB_UNWRAP, NOW);
	assert_answered(COUNT(bad) + 1, SECRET_DENIED);
	ask(SB_UNWRAP, "local");
	assert_answered(COUNT(bad) + 2, SECRET_DENIED);
	assert_int_equal(w.intents, 0);
	assert_int_equal(w.started, 0);
}

static void
without_a_record_nothing_is_asked(void **state)
{
	(void)state;
	w.refuse = true;
	ask(SB_UNWRAP, NOW);
	assert_answered(1, SECRET_UNRECORDED);
	authority_goes();
	ask(SB_UNWRAP, NOW);
	assert_answered(2, SECRET_UNRECORDED);
	w.refuse = false;
	w.mute = true;
	authority_comes();
	ask(SB_UNWRAP, NOW);
	assert_int_equal(w.answers, 2);
	authority_goes();
	assert_answered(3, SECRET_UNRECORDED);
	assert_int_equal(w.started, 0);
}

static void
what_cannot_be_recorded_is_not_used(void **state)
{
	uint8_t key[SB_KEY_LEN] = { 1 };

	(void)state;
	w.refuse_end = true;
	ask(SB_UNWRAP, NOW);
	give(span_of(key, sizeof(key)), "1");
	assert_answered(1, SECRET_UNRECORDED);
}

static void
faults_are_told_with_their_pause(void **state)
{
	(void)state;
	ask(SB_UNWRAP, NOW);
	give_fault(SECRET_SEALED, 1234);
	assert_answered(1, SECRET_SEALED);
	assert_int_equal(w.got.retry_after_ms, 1234);
	assert_int_equal(w.last.fault, SECRET_SEALED);
	w.full = true;
	ask(SB_WRAP, NOW);
	assert_answered(2, SECRET_FAILED);
	assert_int_equal(w.last.fault, SECRET_FAILED);
	w.b->sources = NULL; /* the section is not there */
	ask(SB_WRAP, NOW);
	assert_answered(3, SECRET_FAILED);
}

static void
an_answer_of_another_length_is_none(void **state)
{
	uint8_t long_one[SB_CIPHERTEXT_MAX + 1];

	(void)state;
	memset(long_one, 'c', sizeof(long_one));
	ask(SB_UNWRAP, NOW);
	give(span_of(long_one, SB_KEY_LEN - 1), "1");
	assert_answered(1, SECRET_INVALID);
	ask(SB_UNWRAP, NOW);
	give(span_of(long_one, SB_KEY_LEN + 1), "1");
	assert_answered(2, SECRET_INVALID);
	ask(SB_WRAP, NOW);
	give(span_of(long_one, sizeof(long_one)), "1");
	assert_answered(3, SECRET_INVALID);
	assert_int_equal(w.last.fault, SECRET_INVALID);
	ask(SB_WRAP, NOW);
	give(span_of(long_one, sizeof(long_one) - 1), "1");
	assert_answered(4, SECRET_FAULT_NONE);
}

static void
another_source_gives_up_what_is_under_way(void **state)
{
	(void)state;
	ask(SB_UNWRAP, NOW);
	credentials_source_changed(w.b, REFERENCE_AWS);
	assert_int_equal(w.cancelled, 0);
	credentials_source_changed(w.b, REFERENCE_VAULT);
	spin();
	assert_int_equal(w.cancelled, 1);
	assert_answered(1, SECRET_UNREACHABLE);
	assert_int_equal(w.last.given_up, 1);
}

/* It may die at any time, and so may each other end. */
static void
a_store_that_is_gone_leaves_nothing(void **state)
{
	uint8_t key[SB_KEY_LEN] = { 1 };

	(void)state;
	ask(SB_UNWRAP, NOW); /* at the source */
	link_free(w.store);
	spin();
	assert_int_equal(w.cancelled, 1);
	assert_int_equal(w.open, 0);
	store_comes();
	w.mute = true;
	ask(SB_UNWRAP, NOW); /* not begun */
	link_free(w.store);
	spin();
	w.mute = false;
	store_comes();
	w.mute_end = true;
	ask(SB_UNWRAP, NOW); /* its end is being put on record */
	give(span_of(key, sizeof(key)), "1");
	link_free(w.store);
	spin();
	assert_int_equal(w.b->kms.n, 0);
	store_comes(); /* a fresh one, while … */
	w.mute_end = false;
	ask(SB_UNWRAP, NOW);
	store_comes(); /* … another comes in its place */
	assert_int_equal(w.b->kms.n, 0);
	ask(SB_UNWRAP, NOW);
	give(span_of(key, sizeof(key)), "1");
	assert_int_equal(w.got.fault, SECRET_FAULT_NONE);
}

static void
questions_have_a_limit(void **state)
{
	(void)state;
	w.mute = true;
	for (unsigned i = 0; i < KMS_ASKS_MAX; i++)
		ask(SB_UNWRAP, NOW);
	assert_int_equal(w.answers, 0);
	ask(SB_UNWRAP, NOW);
	assert_int_equal(w.answers, 1);
	assert_int_equal(w.got.fault, SECRET_FAILED);
	assert_int_equal(w.b->kms.n, KMS_ASKS_MAX);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_key_is_wrapped_once_that_is_on_record),
		TEST(a_key_is_unwrapped_and_rewrapped),
		TEST(only_keys_of_the_configuration_are_used),
		TEST(without_a_record_nothing_is_asked),
		TEST(what_cannot_be_recorded_is_not_used),
		TEST(faults_are_told_with_their_pause),
		TEST(an_answer_of_another_length_is_none),
		TEST(another_source_gives_up_what_is_under_way),
		TEST(a_store_that_is_gone_leaves_nothing),
		TEST(questions_have_a_limit),
	};

	if (!is_ok(crypto_init()))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
