/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_BROKER_CREDENTIAL_RIG_H
#define TESTS_BROKER_CREDENTIAL_RIG_H

/*
 * A credential of src/broker: what uses these is the source, and the authority that puts readings
 * on record.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <broker.h>
#include <credential_internal.h>
#include <credentials.h>
#include <lease.h>
#include <crypto/crypto.h>

#define SPEC "vault:kv/x#key"
#define WAIT_MS 60000 /* what is not there then hangs */

static struct world {
	uv_loop_t loop;
	struct daemon d;
	struct broker *b;
	struct sources sources;
	struct link *authority;
	struct credential *c;
	/* the source: the job that it works on */
	struct source_job *job;
	unsigned started, cancelled;
	enum lifetime_op ops[32];
	struct source_job *revoke; /* … of a lease that goes back */
	unsigned revokes;
	char revoked[LEASE_ID_MAX + 1];
	uint32_t lost; /* the last login whose leases are gone */
	/* the authority */
	bool mute, refuse;         /* what is begun */
	bool mute_end, refuse_end; /* … and ended */
	unsigned intents, records;
	bool open[64]; /* intents without an end, by their access */
	struct ab_secret_begin begun;
	struct ab_secret_ended last;
	char version[SECRET_VERSION_MAX + 1];
	/* the requests */
	unsigned answers;
	struct status st;
	struct credential_version *got;
} w;

/* ---- the source ---- */
static inline struct status
source_start(void *source, struct source_job *job)
{
	assert_ptr_equal(source, &w);
	if (job->op == LIFETIME_REVOKE) {
		assert_null(w.revoke); /* one at a time, too */
		w.revoke = job;
		w.revokes++;
		(void)snprintf(w.revoked, sizeof(w.revoked), "%s", job->lease);
		return OK;
	}
	assert_null(w.job); /* one flight */
	assert_true(w.started < COUNT(w.ops));
	w.ops[w.started++] = job->op;
	w.job = job;
	return OK;
}

static inline void
source_cancel(struct source_job *job)
{
	w.cancelled++;
	if (job == w.revoke) {
		w.revoke = NULL;
		return;
	}
	assert_ptr_equal(w.job, job);
	w.job = NULL;
}

static inline bool
source_lends(const void *source, uint32_t login)
{
	assert_ptr_equal(source, &w);
	return login > w.lost;
}

static const struct source_ops source_ops = { source_start, source_cancel, source_lends };

static inline void
turn(void)
{
	(void)uv_run(&w.loop, UV_RUN_NOWAIT);
}

static inline void
spin(void)
{
	for (int i = 0; i < 20; i++)
		turn();
}

static inline void
deliver(struct source_result *r)
{
	struct source_job *job = w.job;

	assert_non_null(job);
	w.job = NULL;
	job->done(job, r);
	secret_done(&r->value);
	spin();
}

static inline void
give(const char *value, const char *version)
{
	struct source_result r = { .reading = { .version = version, .lease = "" } };

	assert_true(is_ok(secret_from_span(span_str(value), &r.value)));
	deliver(&r);
}

static inline void
revoked(enum secret_fault fault, bool refused)
{
	struct source_result r = { .fault = fault, .refused = refused };
	struct source_job *job = w.revoke;

	assert_non_null(job);
	w.revoke = NULL;
	job->done(job, &r);
	spin();
}

/* ---- the authority ---- */
static inline void
on_begin(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ab_secret_begin *m = msg;
	struct ab_secret_begun answer = { .error = ERROR_AUDIT_UNAVAILABLE };

	(void)ctx;
	assert_true(span_eq_str(m->reference, SPEC));
	w.begun = *m;
	if (w.mute)
		return;
	if (!w.refuse) {
		answer = (struct ab_secret_begun){ .access = ++w.intents };
		w.open[answer.access] = true;
	}
	assert_true(is_ok(link_send(l, id, AB_SECRET_BEGUN, &answer)));
}

static inline void
on_end(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ab_secret_ended *m = msg;
	const struct ab_secret_recorded ok = { .error = w.refuse_end ? ERROR_AUDIT_UNAVAILABLE
								     : ERROR_NONE };

	(void)ctx;
	assert_true(m->access > 0 && m->access <= w.intents && w.open[m->access]);
	w.open[m->access] = false;
	w.records++;
	w.last = *m;
	assert_true(is_ok(span_to_cstr(m->version, w.version, sizeof(w.version))));
	if (!w.mute_end)
		assert_true(is_ok(link_send(l, id, AB_SECRET_RECORDED, &ok)));
}

/* Every intent has had its end. */
static inline void
assert_balanced(void)
{
	spin();
	for (size_t i = 0; i < COUNT(w.open); i++)
		assert_false(w.open[i]);
}

static inline void
on_closed(struct link *l, struct status why, void *ctx)
{
	(void)why, (void)ctx;
	link_free(l);
	if (w.authority == l)
		w.authority = NULL;
}

static inline void
authority_comes(void)
{
	static const struct link_rule rules[] = { { AB_SECRET_BEGIN, 0, on_begin },
		{ AB_SECRET_ENDED, 0, on_end } };
	static const struct link_ops ops = { rules, COUNT(rules), on_closed };
	int fds[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	w.authority = NULL;
	assert_true(is_ok(link_new(&w.loop, fds[0], &ab_edge, true, &ops, &w, &w.authority)));
	peers_add(w.b, EDGE_AUTHORITY_BROKER, 1, fds[1]);
	spin();
}

/* ---- requests ---- */
static inline void
on_done(void *ctx, struct status st, struct credential_version *v)
{
	(void)ctx;
	w.answers++;
	w.st = st;
	w.got = v;
}

static inline struct status
ask(const struct credential_tried *tried, struct credential_wait **wait)
{
	static const struct credential_tried none;

	struct status st;

	w.got = NULL;
	st = credential_get(w.c, tried != NULL ? tried : &none, on_done, NULL, wait, &w.got);

	spin();
	return st;
}

static inline int
setup(void **state)
{
	(void)state;
	w = (struct world){ .b = calloc(1, sizeof(*w.b)) };
	assert_int_equal(uv_loop_init(&w.loop), 0);
	w.d.loop = &w.loop;
	broker_init(w.b, &w.d);
	w.sources.by[REFERENCE_VAULT].ops = &source_ops;
	w.sources.by[REFERENCE_VAULT].source = &w;
	w.sources.by[REFERENCE_VAULT].lifetime =
	    (struct lifetime_opts){ .poll_ms = 20000, .polls = true, .previous = true };
	w.b->sources = &w.sources;
	assert_true(is_ok(credential_new(w.b, SPEC, &w.c)));
	return 0;
}

static inline int
teardown(void **state)
{
	(void)state;
	credential_free(w.c);
	peers_free(w.b);
	link_free(w.authority);
	(void)uv_run(&w.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w.loop), 0);
	free(w.b);
	return 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
