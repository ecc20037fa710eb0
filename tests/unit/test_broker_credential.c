/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/broker/credential.c: values behind a reference. This test is the source, and the authority
 * that puts readings on record.
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
#define WAIT_MS 3000

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
static struct status
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

static void
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

static bool
source_lends(const void *source, uint32_t login)
{
	assert_ptr_equal(source, &w);
	return login > w.lost;
}

static const struct source_ops source_ops = { source_start, source_cancel, source_lends };

static void
turn(void)
{
	(void)uv_run(&w.loop, UV_RUN_NOWAIT);
}

static void
spin(void)
{
	for (int i = 0; i < 20; i++)
		turn();
}

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
give(const char *value, const char *version)
{
	struct source_result r = { .reading = { .version = version, .lease = "" } };

	assert_true(is_ok(secret_from_span(span_str(value), &r.value)));
	deliver(&r);
}

static void
lend(const char *value, const char *lease, uint64_t lent_ms)
{
	struct source_result r = { .login = 1,
		.lent_ms = lent_ms,
		.reading = { .version = lease, .lease = lease, .lease_ms = lent_ms } };

	assert_true(is_ok(secret_from_span(span_str(value), &r.value)));
	deliver(&r);
}

static void
revoked(enum secret_fault fault, bool refused)
{
	struct source_result r = { .fault = fault, .refused = refused };
	struct source_job *job = w.revoke;

	assert_non_null(job);
	w.revoke = NULL;
	job->done(job, &r);
	spin();
}

static void
give_fault(enum secret_fault fault, bool refused)
{
	struct source_result r = { .fault = fault, .refused = refused };

	deliver(&r);
}

/* ---- the authority ---- */
static void
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

static void
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
static void
assert_balanced(void)
{
	spin();
	for (size_t i = 0; i < COUNT(w.open); i++)
		assert_false(w.open[i]);
}

static void
on_closed(struct link *l, struct status why, void *ctx)
{
	(void)why, (void)ctx;
	link_free(l);
	if (w.authority == l)
		w.authority = NULL;
}

static void
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
static void
on_done(void *ctx, struct status st, struct credential_version *v)
{
	(void)ctx;
	w.answers++;
	w.st = st;
	w.got = v;
}

static struct status
ask(const struct credential_tried *tried, struct credential_wait **wait)
{
	static const struct credential_tried none;

	struct status st;

	w.got = NULL;
	st = credential_get(w.c, tried != NULL ? tried : &none, on_done, NULL, wait, &w.got);

	spin();
	return st;
}

static void
assert_value(const char *value)
{
	assert_non_null(w.got);
	assert_true(secret_eq(&w.got->value, span_str(value)));
}

static int
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

static int
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

/* ---- tests ---- */
static void
nothing_is_read_without_an_authority(void **state)
{
	struct credential_wait *wait;

	(void)state;
	assert_int_equal(w.started, 0);
	assert_int_equal(ask(NULL, &wait).code, E_AGAIN);
	turn();
	assert_int_equal(w.started, 0);
	authority_comes();
	assert_int_equal(w.started, 1);
	give("sk-value-1", "1");
	assert_int_equal(w.answers, 1);
	assert_true(is_ok(w.st));
	assert_value("sk-value-1");
	credential_release(w.got);
}

static void
a_value_is_used_once_its_reading_is_on_record(void **state)
{
	struct credential_wait *wait;

	(void)state;
	w.mute_end = true;
	authority_comes();
	assert_int_equal(ask(NULL, &wait).code, E_AGAIN);
	give("sk-value-1", "1");
	assert_int_equal(w.records, 1);
	assert_int_equal(w.begun.why, SECRET_START);
	assert_int_equal(w.last.fault, SECRET_FAULT_NONE);
	assert_true(w.last.valid_s > 3590 && w.last.valid_s <= 3600);
	assert_int_equal(w.answers, 0); /* no record, no use */
	/* The authority goes and comes back: the value is read and recorded anew. */
	w.mute_end = false;
	link_free(w.authority);
	for (int i = 0; i < 10; i++)
		turn();
	assert_int_equal(w.answers, 1);
	assert_int_equal(w.st.code, E_CLOSED);
	authority_comes();
	for (int i = 0; i < 2000 && w.job == NULL; i++) {
		(void)usleep(1000);
		turn();
	}
	assert_int_equal(w.started, 2);
	assert_int_equal(ask(NULL, &wait).code, E_AGAIN);
	give("sk-value-1", "1");
	assert_balanced();
	assert_int_equal(w.answers, 2);
	assert_value("sk-value-1");
	credential_release(w.got);
}

/* With audit away nothing is read; what is cached goes on. */
static void
nothing_is_read_without_a_record(void **state)
{
	struct credential_wait *wait;

	(void)state;
	w.refuse = true;
	authority_comes();
	assert_int_equal(w.started, 0);
	assert_int_equal(ask(NULL, &wait).code, E_CLOSED);
	assert_int_equal(w.started, 0);
	w.refuse = false;
	for (int i = 0; i < 2000 && w.job == NULL; i++) {
		(void)usleep(1000);
		turn();
	}
	give("sk-value-1", "1");
	w.refuse = true;
	credentials_source_changed(w.b, REFERENCE_VAULT); /* wants another reading */
	spin();
	assert_int_equal(w.started, 1);
	assert_true(is_ok(ask(NULL, &wait)));
	assert_value("sk-value-1");
	credential_release(w.got);
	assert_int_equal(w.intents, 1);
	assert_balanced();
}

static void
an_end_that_is_not_recorded_throws_the_value_away(void **state)
{
	struct credential_wait *wait;

	(void)state;
	w.refuse_end = true;
	authority_comes();
	assert_int_equal(ask(NULL, &wait).code, E_AGAIN);
	give("sk-value-1", "1");
	assert_int_equal(w.records, 1);
	assert_int_equal(w.answers, 1);
	assert_int_equal(w.st.code, E_CLOSED);
	assert_null(w.got);
}

/* Given up while its record is on its way, while it works, while its end is told: it ends once. */
static void
every_intent_has_an_end(void **state)
{
	(void)state;
	w.mute = true;
	authority_comes();
	assert_int_equal(w.started, 0);
	w.mute = false;
	credentials_source_changed(w.b, REFERENCE_VAULT); /* the first one is never answered */
	spin();
	assert_int_equal(w.intents, 1);
	assert_int_equal(w.started, 1);
	credentials_source_changed(w.b, REFERENCE_VAULT);
	spin();
	assert_int_equal(w.cancelled, 1);
	assert_int_equal(w.records, 1);
	assert_int_equal(w.last.given_up, 1);
	assert_int_equal(w.started, 2);
	w.mute_end = true;
	give("sk-value-1", "1");
	w.mute_end = false;
	credentials_source_changed(w.b, REFERENCE_VAULT);
	spin();
	assert_int_equal(w.records, 2);
	assert_int_equal(w.last.given_up, 0);
	give_fault(SECRET_SEALED, false);
	assert_int_equal(w.last.fault, SECRET_SEALED);
	credentials_source_changed(w.b, REFERENCE_VAULT);
	turn();
	credential_free(w.c); /* in the midst of it */
	w.c = NULL;
	assert_balanced();
	assert_int_equal(w.intents, w.records);
}

static void
the_authority_may_die_while_it_is_read(void **state)
{
	struct credential_wait *wait;

	(void)state;
	authority_comes();
	assert_int_equal(ask(NULL, &wait).code, E_AGAIN);
	assert_int_equal(w.started, 1);
	link_free(w.authority);
	w.authority = NULL;
	spin();
	memset(w.open, 0, sizeof(w.open)); /* audit ends what died with it */
	authority_comes();
	give("sk-value-1", "1"); /* nobody has its intent: it is not used */
	assert_int_equal(w.records, 0);
	assert_int_equal(w.answers, 1);
	assert_int_equal(w.st.code, E_CLOSED);
	assert_null(w.got);
}

static void
a_version_lives_as_long_as_it_is_written(void **state)
{
	struct credential_version *first;
	struct credential_wait *wait;

	(void)state;
	authority_comes();
	give("sk-value-1", "1");
	assert_true(is_ok(ask(NULL, &wait)));
	first = w.got;
	credentials_source_changed(w.b, REFERENCE_VAULT);
	spin();
	give("sk-value-2", "2");
	assert_int_equal(w.begun.why, SECRET_RELOAD);
	assert_true(secret_eq(&first->value, SPAN_LIT("sk-value-1")));
	credential_release(first);
	assert_true(is_ok(ask(NULL, &wait)));
	assert_value("sk-value-2");
	assert_string_equal(w.got->version, "2");
	credential_release(w.got);
}

static void
a_refused_value_is_fetched_anew_once(void **state)
{
	struct credential_tried tried = { .count = 1 };
	struct credential_version *first;
	struct credential_wait *wait;

	(void)state;
	authority_comes();
	give("sk-value-1", "1");
	assert_true(is_ok(ask(NULL, &wait)));
	first = w.got;
	tried.version[0] = first;
	assert_int_equal(ask(&tried, &wait).code, E_AGAIN);
	assert_int_equal(w.ops[1], LIFETIME_READ);
	give("sk-value-2", "2");
	assert_int_equal(w.begun.why, SECRET_REJECTED);
	assert_int_equal(w.answers, 1);
	assert_value("sk-value-2");
	credential_release(w.got);
	/* Others, with the same one refused: no further reading. */
	assert_true(is_ok(ask(&tried, &wait)));
	assert_value("sk-value-2");
	credential_release(w.got);
	assert_int_equal(w.started, 2);
	credential_release(first);
}

static void
then_the_version_before_is_tried_once(void **state)
{
	struct credential_tried tried = { .count = 1 };
	struct credential_version *first, *before;
	struct credential_wait *wait;

	(void)state;
	authority_comes();
	give("sk-value-2", "2");
	assert_true(is_ok(ask(NULL, &wait)));
	first = w.got;
	tried.version[0] = first;
	assert_int_equal(ask(&tried, &wait).code, E_AGAIN);
	give("sk-value-2", "2"); /* nothing new */
	assert_int_equal(w.answers, 0);
	assert_int_equal(w.started, 3);
	assert_int_equal(w.ops[2], LIFETIME_PREVIOUS);
	give("sk-value-1", "1");
	assert_int_equal(w.begun.why, SECRET_PREVIOUS);
	assert_int_equal(w.answers, 1);
	assert_value("sk-value-1");
	before = w.got;
	tried.version[tried.count++] = before;
	assert_int_equal(ask(&tried, &wait).code, E_NOTFOUND);
	assert_int_equal(w.started, 3);
	/* Who has not been refused goes on with the current one. */
	assert_true(is_ok(ask(NULL, &wait)));
	assert_value("sk-value-2");
	credential_release(w.got);
	credential_release(first);
	credential_release(before);
}

static void
without_a_version_before_it_ends_there(void **state)
{
	struct credential_tried tried = { .count = 1 };
	struct credential_version *first;
	struct credential_wait *wait;

	(void)state;
	authority_comes();
	give("sk-value-1", "1");
	assert_true(is_ok(ask(NULL, &wait)));
	first = w.got;
	tried.version[0] = first;
	assert_int_equal(ask(&tried, &wait).code, E_AGAIN);
	give("sk-value-1", "1");
	give_fault(SECRET_NOT_FOUND, true);
	assert_int_equal(w.answers, 1);
	assert_int_equal(w.st.code, E_NOTFOUND);
	assert_true(is_ok(ask(NULL, &wait))); /* it is still the one */
	credential_release(w.got);
	credential_release(first);
}

static void
a_source_that_is_away_leaves_the_cached_value(void **state)
{
	struct credential_wait *wait;

	(void)state;
	authority_comes();
	give("sk-value-1", "1");
	credentials_source_changed(w.b, REFERENCE_VAULT);
	spin();
	give_fault(SECRET_SEALED, false);
	assert_int_equal(w.last.fault, SECRET_SEALED);
	assert_true(w.last.valid_s > 3000);
	assert_true(is_ok(ask(NULL, &wait)));
	assert_value("sk-value-1");
	credential_release(w.got);
}

static void
a_source_that_says_no_does_not(void **state)
{
	struct credential_wait *wait;

	(void)state;
	authority_comes();
	give("sk-value-1", "1");
	credentials_source_changed(w.b, REFERENCE_VAULT);
	spin();
	give_fault(SECRET_DENIED, true);
	assert_int_equal(w.last.fault, SECRET_DENIED);
	assert_int_equal(ask(NULL, &wait).code, E_DENIED);
	assert_null(w.got);
}

static void
without_a_value_requests_fail_at_once_while_it_backs_off(void **state)
{
	struct credential_wait *wait;

	(void)state;
	authority_comes();
	assert_int_equal(ask(NULL, &wait).code, E_AGAIN);
	give_fault(SECRET_UNREACHABLE, false);
	assert_int_equal(w.answers, 1);
	assert_int_equal(w.st.code, E_CLOSED);
	assert_int_equal(ask(NULL, &wait).code, E_CLOSED);
	assert_int_equal(w.answers, 1);
}

static void
a_value_that_cannot_be_sent_is_none(void **state)
{
	struct credential_wait *wait;

	(void)state;
	authority_comes();
	give("sk-value\r\nx: y", "1");
	assert_int_equal(w.last.fault, SECRET_INVALID);
	assert_int_equal(ask(NULL, &wait).code, E_DENIED);
}

static void
nor_does_it_end_the_one_before_it(void **state)
{
	struct credential_wait *wait;

	(void)state;
	authority_comes();
	give("sk-value-1", "1");
	credentials_source_changed(w.b, REFERENCE_VAULT);
	spin();
	give("short", "2");
	assert_int_equal(w.last.fault, SECRET_INVALID);
	assert_true(is_ok(ask(NULL, &wait)));
	assert_value("sk-value-1");
	credential_release(w.got);
}

static void
one_reference_is_read_once_for_all(void **state)
{
	struct credential *other;
	struct credential_wait *waits[3];

	(void)state;
	assert_true(is_ok(credential_new(w.b, SPEC, &other)));
	assert_ptr_equal(other, w.c);
	authority_comes();
	for (int i = 0; i < 3; i++)
		assert_int_equal(ask(NULL, &waits[i]).code, E_AGAIN);
	credential_cancel(waits[1]);
	give("sk-value-1", "1");
	assert_int_equal(w.started, 1);
	assert_int_equal(w.records, 1);
	assert_int_equal(w.answers, 2);
	credential_release(w.got);
	credential_release(w.got); /* both got the same */
	credential_free(other);
}

static void
waiting_is_bounded(void **state)
{
	struct credential_wait *wait;

	(void)state;
	authority_comes();
	for (unsigned i = 0; i < CREDENTIAL_WAITS_MAX; i++)
		assert_int_equal(ask(NULL, &wait).code, E_AGAIN);
	assert_int_equal(ask(NULL, &wait).code, E_FULL);
	give_fault(SECRET_THROTTLED, false);
	assert_int_equal(w.answers, CREDENTIAL_WAITS_MAX);
}

static void
an_unnamed_version_is_named_by_its_value(void **state)
{
	struct credential_wait *wait;

	(void)state;
	authority_comes();
	give("sk-value-1", "");
	assert_string_equal(w.version, "r1");
	credentials_source_changed(w.b, REFERENCE_VAULT);
	spin();
	give("sk-value-1", "");
	assert_string_equal(w.version, "r1");
	credentials_source_changed(w.b, REFERENCE_VAULT);
	spin();
	give("sk-value-2", "");
	assert_string_equal(w.version, "r2");
	assert_true(is_ok(ask(NULL, &wait)));
	assert_value("sk-value-2");
	credential_release(w.got);
}

static void
a_source_may_go_away_in_flight(void **state)
{
	struct credential_wait *wait;

	(void)state;
	authority_comes();
	assert_int_equal(ask(NULL, &wait).code, E_AGAIN);
	w.sources.by[REFERENCE_VAULT].ops = NULL;
	credentials_source_changed(w.b, REFERENCE_VAULT);
	spin();
	assert_int_equal(w.cancelled, 1);
	assert_null(w.job);
	assert_int_equal(ask(NULL, &wait).code, E_NOTFOUND);
}

static void
on_done_and_leave(void *ctx, struct status st, struct credential_version *v)
{
	on_done(ctx, st, v);
	credential_release(ctx);
	credential_free(w.c);
	w.c = NULL;
}

static void
the_last_user_may_leave_when_it_is_told(void **state)
{
	struct credential_tried tried = { .count = 1 };
	struct credential_version *first;
	struct credential_wait *wait;

	(void)state;
	authority_comes();
	give("sk-value-1", "1");
	assert_true(is_ok(ask(NULL, &wait)));
	first = tried.version[0] = w.got;
	assert_int_equal(
	    credential_get(w.c, &tried, on_done_and_leave, first, &wait, &w.got).code, E_AGAIN);
	spin();
	give("sk-value-1", "1");
	give_fault(SECRET_NOT_FOUND, true);
	assert_int_equal(w.answers, 1);
	assert_int_equal(w.st.code, E_NOTFOUND);
	assert_null(w.c);
	assert_null(w.job);
}

/* ---- what was lent ---- */
/* A lease in use that is replaced, and one that is used still; all in one world's time. */
static void
replace(struct credential_version **ret_first)
{
	struct credential_wait *wait;

	authority_comes();
	lend("sk-value-1", "db/creds/x/1", 3000000);
	assert_true(is_ok(ask(NULL, &wait)));
	*ret_first = w.got;
	credentials_source_changed(w.b, REFERENCE_VAULT);
	spin();
	lend("sk-value-2", "db/creds/x/2", 3000000);
}

static void
a_lease_that_nobody_uses_is_given_back(void **state)
{
	struct credential_version *first;

	(void)state;
	replace(&first);
	assert_int_equal(w.revokes, 0);
	/* The one before may be tried again for a moment; then only who still has it keeps it. */
	assert_true(w.c->before == first);
	assert_true(first->expires_ms <= uv_now(&w.loop) + CREDENTIAL_LENT_BEFORE_MS);
	w.c->before->expires_ms = 1;
	credential_act(w.c);
	spin();
	assert_null(w.c->before);
	assert_int_equal(w.revokes, 0);
	credential_release(first);
	spin();
	assert_int_equal(w.revokes, 1);
	assert_string_equal(w.revoked, "db/creds/x/1");
	assert_int_equal(w.begun.act, SECRET_ACT_REVOKE);
	revoked(SECRET_FAULT_NONE, false);
	assert_balanced();
}

static void
giving_back_is_on_record_and_tried_again(void **state)
{
	struct credential_version *first;

	(void)state;
	replace(&first);
	w.c->before->expires_ms = 1;
	credential_act(w.c);
	w.refuse = true;
	credential_release(first);
	spin();
	assert_int_equal(w.revokes, 0); /* no record, no act */
	w.refuse = false;
	for (int i = 0; i < 3000 && w.revoke == NULL; i++) {
		(void)usleep(1000);
		turn();
	}
	assert_int_equal(w.revokes, 1);
	revoked(SECRET_SEALED, false);
	assert_null(w.revoke);
	assert_int_equal(w.last.fault, SECRET_SEALED);
	for (int i = 0; i < 5000 && w.revoke == NULL; i++) {
		(void)usleep(1000);
		turn();
	}
	assert_int_equal(w.revokes, 2);
	revoked(SECRET_DENIED, true); /* never: it ends by itself */
	spin();
	assert_int_equal(w.revokes, 2);
	assert_balanced();
}

static void
what_went_with_its_login_is_not_asked_for(void **state)
{
	struct credential_version *first;

	(void)state;
	replace(&first);
	w.c->before->expires_ms = 1;
	credential_act(w.c);
	w.lost = 1;
	credential_release(first);
	spin();
	assert_int_equal(w.revokes, 0);
	assert_balanced();
}

static void
what_ended_is_not_asked_for(void **state)
{
	struct lease *l = NULL;

	(void)state;
	authority_comes();
	assert_true(is_ok(lease_new(w.b, SPEC, "db/1", 1, uv_now(&w.loop), &l)));
	lease_return(l);
	spin();
	assert_int_equal(w.revokes, 0);
	lease_return(NULL);
}

/* A value that cannot be used, a field that is not there: the lease came all the same. */
static void
a_lease_without_a_value_is_given_back(void **state)
{
	struct source_result r = { .fault = SECRET_NOT_FOUND,
		.refused = true,
		.login = 1,
		.lent_ms = 60000,
		.reading = { .version = "", .lease = "db/creds/x/8" } };

	(void)state;
	authority_comes();
	lend("bad\r\nvalue", "db/creds/x/7", 60000);
	assert_int_equal(w.revokes, 1);
	assert_string_equal(w.revoked, "db/creds/x/7");
	revoked(SECRET_FAULT_NONE, false);
	credentials_source_changed(w.b, REFERENCE_VAULT);
	spin();
	deliver(&r);
	assert_int_equal(w.revokes, 2);
	assert_string_equal(w.revoked, "db/creds/x/8");
	/* The source goes away while it is asked. */
	w.sources.by[REFERENCE_VAULT].ops = NULL;
	credentials_source_changed(w.b, REFERENCE_VAULT);
	spin();
	assert_null(w.revoke);
	assert_int_equal(w.revokes, 2);
	assert_balanced();
}

static void
leases_that_wait_are_bounded(void **state)
{
	(void)state;
	authority_comes();
	w.mute = true;
	for (unsigned i = 0; i < LEASES_MAX + 10; i++) {
		char id[32];
		struct lease *l = NULL;

		(void)snprintf(id, sizeof(id), "db/%u", i);
		assert_true(is_ok(lease_new(w.b, SPEC, id, 1, uv_now(&w.loop) + 60000, &l)));
		lease_return(l);
	}
	spin();
	assert_int_equal(w.revokes, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_read_without_an_authority),
		TEST(a_value_is_used_once_its_reading_is_on_record),
		TEST(nothing_is_read_without_a_record),
		TEST(an_end_that_is_not_recorded_throws_the_value_away),
		TEST(every_intent_has_an_end),
		TEST(the_authority_may_die_while_it_is_read),
		TEST(a_version_lives_as_long_as_it_is_written),
		TEST(a_refused_value_is_fetched_anew_once),
		TEST(then_the_version_before_is_tried_once),
		TEST(without_a_version_before_it_ends_there),
		TEST(a_source_that_is_away_leaves_the_cached_value),
		TEST(a_source_that_says_no_does_not),
		TEST(without_a_value_requests_fail_at_once_while_it_backs_off),
		TEST(a_value_that_cannot_be_sent_is_none),
		TEST(nor_does_it_end_the_one_before_it),
		TEST(one_reference_is_read_once_for_all),
		TEST(waiting_is_bounded),
		TEST(the_last_user_may_leave_when_it_is_told),
		TEST(an_unnamed_version_is_named_by_its_value),
		TEST(a_source_may_go_away_in_flight),
		TEST(a_lease_that_nobody_uses_is_given_back),
		TEST(giving_back_is_on_record_and_tried_again),
		TEST(what_went_with_its_login_is_not_asked_for),
		TEST(what_ended_is_not_asked_for),
		TEST(a_lease_without_a_value_is_given_back),
		TEST(leases_that_wait_are_bounded),
	};

	if (!is_ok(crypto_init()))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
