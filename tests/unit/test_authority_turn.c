/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_authority_turn.c: the life of turns, with stand-ins at the other end of
 * every link: a gateway, audit, broker, executor and store on one loop.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <base/rand.h>
#include <crypto/crypto.h>
#include <keytext/keytext.h>

#include "admin.h"
#include "authority.h"

#define RECS_MAX 512
#define REPLIES_MAX 256

static const char yaml[] =
    "policies:\n"
    "  default: { endpoints: '*', models: '*', tools: '*', languages: '*',\n"
    "             requests_per_min: 50, concurrent: 3 }\n"
    "  helped: { endpoints: [chat], models: '*', tools: [code_interpreter], languages: [python],\n"
    "            attach: [code_interpreter] }\n"
    "providers: { d: { kind: demo } }\n"
    "models: { alpha: [ { provider: d, model: a } ] }\n"
    "sandboxes: { python: { pool: 1 } }\n"
    "engines: { runsc: /x/runsc, image: /x/image, manifest: /x/manifest }\n"
    "limits: { turn_steps: 2 }\n";

struct rec {
	uint8_t event, phase, outcome, cause;
	uint64_t seq, intent_seq, proc_seq;
	bool anonymous;
};

/* What a stand-in has seen and how it behaves. */
static struct world {
	uv_loop_t loop;
	struct daemon d;
	struct authority *a;
	struct link *gw, *gw2, *audit, *broker, *executor, *store;
	struct rec recs[RECS_MAX];
	size_t nrecs;
	uint64_t seq;
	enum { AUDIT_TAKES, AUDIT_REFUSES, AUDIT_HOLDS } audit_mode;
	uint64_t held[64];
	uint32_t held_count[64];
	size_t nheld;
	struct grant model_grant, run_grant;
	char target[MODEL_MAX + 1];
	uint32_t model_grants, run_grants, broker_ends, executor_ends;
	bool mute; /* broker and executor do not answer TURN_END */
	uint32_t revokes;
	uint16_t revoke_error;
	bool gw_closed, gw2_closed;
	uint8_t text[2][KEYTEXT_LEN];
	struct key *key[2];
	uint16_t admin_http;
	uint32_t store_changes;
} w;

struct reply {
	bool come;
	struct status st;
	uint16_t type;
	struct ga_admitted admitted;
	char models[256];
	struct ga_granted granted;
	uint16_t error;
};
static struct reply replies[REPLIES_MAX];
static size_t nreplies;

/* ---- stand-ins ---- */

static void
on_append(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct aa_append *m = msg;
	const struct audit_rec *recs = m->records.items;
	struct aa_receipt receipt = { .first_seq = w.seq + 1, .count = m->records.count };
	struct aa_refused refused = { .code = E_FULL };

	(void)ctx;
	if (w.audit_mode == AUDIT_REFUSES) {
		assert_true(is_ok(link_send(l, id, AA_REFUSED, &refused)));
		return;
	}
	for (uint32_t i = 0; i < m->records.count; i++) {
		static const uint8_t zero[SUBJECT_LEN];

		assert_true(w.nrecs < RECS_MAX);
		w.recs[w.nrecs++] = (struct rec){ recs[i].event, recs[i].phase, recs[i].outcome,
			recs[i].cause, ++w.seq, recs[i].intent_seq, recs[i].proc_seq,
			memcmp(recs[i].subject, zero, sizeof(zero)) == 0 };
	}
	if (w.audit_mode == AUDIT_HOLDS) {
		w.held[w.nheld] = id;
		w.held_count[w.nheld++] = m->records.count;
		return;
	}
	assert_true(is_ok(link_send(l, id, AA_RECEIPT, &receipt)));
}

static void
on_model_grant(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)ctx;
	w.model_grant = *(const struct grant *)msg;
	(void)snprintf(w.target, sizeof(w.target), "%.*s", SPAN_FMT(w.model_grant.target));
	w.model_grants++;
}

static void
on_run_grant(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)ctx;
	w.run_grant = *(const struct grant *)msg;
	(void)snprintf(w.target, sizeof(w.target), "%.*s", SPAN_FMT(w.run_grant.target));
	w.run_grants++;
}

static void
on_broker_end(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)ctx;
	w.broker_ends++;
	if (!w.mute)
		assert_true(is_ok(link_send(l, id, AB_TURN_ENDED, msg)));
}

static void
on_executor_end(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)ctx;
	w.executor_ends++;
	if (!w.mute)
		assert_true(is_ok(link_send(l, id, AE_TURN_ENDED, msg)));
}

static void
on_revoke(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct wire_none none = { 0 };

	(void)ctx;
	w.revokes++;
	w.revoke_error = ((const struct ga_revoke *)msg)->error;
	assert_true(is_ok(link_send(l, id, GA_REVOKED, &none)));
}

static void
on_store_revoke(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_done done = { .code = E_OK };

	(void)ctx, (void)msg;
	w.store_changes++;
	assert_true(is_ok(link_send(l, id, AS_DONE, &done)));
}

static void
on_store_put(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	on_store_revoke(l, id, msg, ctx);
}

static void
on_store_load(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct as_user u = { .tenant = SPAN_LIT("t"), .user = SPAN_LIT("u"), .subject_key = { 3 } };
	struct as_loaded loaded = { .pepper = { 5 } };
	struct hmac_key *h = NULL;

	(void)msg, (void)ctx;
	memcpy(loaded.day, "2026-01-31", AS_DAY_LEN);
	assert_true(is_ok(link_send(l, id, AS_USER, &u)));
	assert_true(is_ok(hmac_key_new(span_of(loaded.pepper, sizeof(loaded.pepper)), &h)));
	for (size_t i = 0; i < 2; i++) {
		struct as_key k = { .tenant = u.tenant,
			.user = u.user,
			.policy = i == 0 ? SPAN_LIT("default") : SPAN_LIT("helped") };
		struct span text = span_of(w.text[i], KEYTEXT_LEN);

		memcpy(k.id, keytext_id(text).ptr, sizeof(k.id));
		assert_true(is_ok(hmac_sha256(h, text, k.hash)));
		assert_true(is_ok(link_send(l, id, AS_KEY, &k)));
	}
	hmac_key_free(h);
	assert_true(is_ok(link_send(l, id, AS_LOADED, &loaded)));
}

static void
on_fake_closed(struct link *l, struct status why, void *ctx)
{
	struct link **at = ctx;

	(void)why;
	if (at == &w.gw)
		w.gw_closed = true;
	if (at == &w.gw2)
		w.gw2_closed = true;
	*at = NULL;
	link_free(l);
}

#define OPS(...)                                                              \
	{                                                                     \
		.rules = (const struct link_rule[]){ __VA_ARGS__ },           \
		.nrules = COUNT(((const struct link_rule[]){ __VA_ARGS__ })), \
		.on_closed = on_fake_closed                                   \
	}
static const struct link_ops audit_ops = OPS({ AA_APPEND, 0, on_append });
static const struct link_ops broker_ops = OPS(
    { AB_GRANT, 0, on_model_grant }, { AB_TURN_END, 0, on_broker_end });
static const struct link_ops executor_ops = OPS(
    { AE_GRANT, 0, on_run_grant }, { AE_TURN_END, 0, on_executor_end });
static const struct link_ops gateway_ops = OPS({ GA_REVOKE, 0, on_revoke });
static const struct link_ops store_ops = OPS({ AS_LOAD, 0, on_store_load },
    { AS_KEY_REVOKE, 0, on_store_revoke }, { AS_KEY_PUT, 0, on_store_put });

static void
spin(void)
{
	for (int i = 0; i < 40; i++)
		(void)uv_run(&w.loop, UV_RUN_NOWAIT);
}

static void
connect_fake(enum edge edge, uint32_t peer_id, const struct wire_edge *e, bool a_end,
    const struct link_ops *ops, struct link **ret)
{
	int pair[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	assert_true(is_ok(link_new(&w.loop, pair[0], e, a_end, ops, ret, ret)));
	peers_add(w.a, edge, peer_id, 0, pair[1]);
}

static void
cut(struct link **l)
{
	link_free(*l);
	*l = NULL;
	spin();
}

static int
setup(void **state)
{
	struct conf *conf = NULL;
	char error[CONF_ERROR_MAX];

	(void)state;
	memset(&w, 0, sizeof(w));
	memset(replies, 0, sizeof(replies));
	nreplies = 0;
	if (!is_ok(crypto_init()) || uv_loop_init(&w.loop) != 0 ||
	    !is_ok(conf_parse(span_str(yaml), &conf, error)))
		return -1;
	w.a = calloc(1, sizeof(*w.a));
	w.d = (struct daemon){ .loop = &w.loop, .conf = conf, .ctx = w.a, .generation = 1 };
	w.a->d = &w.d;
	w.a->audit_state.proc_seq = w.a->audit_state.kept_seq = 1;
	for (size_t i = 0; i < 2; i++)
		assert_true(is_ok(keytext_create(w.text[i])));
	assert_true(is_ok(policies_load(conf, &w.a->policies)));
	assert_true(is_ok(keys_init(&w.a->keys)));
	assert_true(is_ok(failures_init(&w.a->failures)));
	assert_true(is_ok(sealer_init(&w.a->sealer)));
	assert_true(is_ok(turns_init(w.a)));
	assert_true(is_ok(procs_init(w.a)));
	assert_int_equal(uv_timer_init(&w.loop, &w.a->sweep), 0);
	peers_init(w.a);
	connect_fake(EDGE_AUTHORITY_AUDIT, 1, &aa_edge, false, &audit_ops, &w.audit);
	connect_fake(EDGE_AUTHORITY_BROKER, 2, &ab_edge, false, &broker_ops, &w.broker);
	connect_fake(EDGE_AUTHORITY_EXECUTOR, 3, &ae_edge, false, &executor_ops, &w.executor);
	connect_fake(EDGE_AUTHORITY_STORE, 4, &as_edge, false, &store_ops, &w.store);
	connect_fake(EDGE_GATEWAY_AUTHORITY, 5, &ga_edge, true, &gateway_ops, &w.gw);
	connect_fake(EDGE_GATEWAY_AUTHORITY, 6, &ga_edge, true, &gateway_ops, &w.gw2);
	spin();
	assert_true(w.a->loaded);
	for (size_t i = 0; i < 2; i++)
		w.key[i] = keys_find(&w.a->keys, keytext_id(span_of(w.text[i], KEYTEXT_LEN)));
	return w.key[0] != NULL && w.key[1] != NULL ? 0 : -1;
}

static void
close_handle(uv_handle_t *h, void *arg)
{
	(void)arg;
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

/* What every test must leave behind: no turn, no count, and each number once. */
static int
teardown(void **state)
{
	struct link **fakes[] = { &w.gw, &w.gw2, &w.audit, &w.broker, &w.executor, &w.store };
	uint64_t expect = 1;

	(void)state;
	assert_int_equal(w.a->turns.n, 0);
	assert_int_equal(w.key[0]->holder.running, 0);
	assert_int_equal(w.key[0]->user->holder.running, 0);
	for (size_t i = 0; i < w.nrecs; i++)
		assert_int_equal(w.recs[i].proc_seq, expect++);
	for (size_t i = 0; i < COUNT(fakes); i++) {
		if (*fakes[i] != NULL)
			cut(fakes[i]);
	}
	spin();
	uv_walk(&w.loop, close_handle, NULL);
	spin();
	(void)uv_loop_close(&w.loop);
	procs_done(w.a);
	turns_done(w.a);
	failures_done(&w.a->failures);
	sealer_done(&w.a->sealer);
	keys_done(&w.a->keys);
	policies_done(&w.a->policies);
	conf_free(w.d.conf);
	free(w.a);
	return 0;
}

/* ---- the gateway's side ---- */

static void
on_reply(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct reply *r = ctx;

	(void)l;
	r->come = true;
	r->st = st;
	r->type = type;
	if (!is_ok(st))
		return;
	if (type == GA_ADMITTED) {
		r->admitted = *(const struct ga_admitted *)msg;
		(void)snprintf(r->models, sizeof(r->models), "%.*s", SPAN_FMT(r->admitted.models));
	}
	if (type == GA_GRANTED)
		r->granted = *(const struct ga_granted *)msg;
	r->error = *(const uint16_t *)msg; /* each answer begins with it */
}

static struct reply *
call(struct link *gw, uint16_t type, const void *msg)
{
	struct reply *r = &replies[nreplies++];

	assert_true(nreplies < REPLIES_MAX);
	assert_true(is_ok(link_call(gw, type, msg, 60000, on_reply, r, NULL)));
	spin();
	return r;
}

static struct ga_admit
admit_msg(uint8_t endpoint)
{
	struct ga_admit m = { .credential = span_of(w.text[0], KEYTEXT_LEN),
		.endpoint = endpoint,
		.model = SPAN_LIT("alpha"),
		.language = SPAN_LIT("python"),
		.tool_name = SPAN_LIT("python"),
		.tools = TOOL_CODE_INTERPRETER,
		.size_bytes = 100,
		.body_len = 120 };

	m.source[15] = 9;
	m.request_id[0] = 1;
	m.digest[0] = 0xaa;
	return m;
}

static struct reply *
admit(uint8_t endpoint)
{
	struct ga_admit m = admit_msg(endpoint);

	return call(w.gw, GA_ADMIT, &m);
}

static struct reply *
step(uint64_t turn, enum ga_step_kind kind)
{
	const struct ga_step m = { .turn = turn,
		.kind = (uint8_t)kind,
		.language = SPAN_LIT("python"),
		.size_bytes = 10,
		.body_len = 20 };

	return call(w.gw, GA_STEP, &m);
}

static struct reply *
settle(uint64_t turn, enum error error)
{
	const struct ga_settle m = {
		.turn = turn, .error = (uint16_t)error, .tokens_out = UINT32_MAX
	};

	return call(w.gw, GA_SETTLE, &m);
}

static void
model_done(void)
{
	struct ab_done m = { .turn = w.model_grant.turn, .http_status = 200 };

	memcpy(m.grant, w.model_grant.grant, GRANT_LEN);
	assert_true(is_ok(link_send(w.broker, 0, AB_DONE, &m)));
	spin();
}

static void
run_done(enum run_status status, uint32_t exit_code)
{
	struct ae_done m = { .turn = w.run_grant.turn,
		.status = (uint8_t)status,
		.exit_code = exit_code,
		.duration_ms = 7 };

	memcpy(m.grant, w.run_grant.grant, GRANT_LEN);
	assert_true(is_ok(link_send(w.executor, 0, AE_DONE, &m)));
	spin();
}

/* Each intent has exactly one outcome that names it. */
static void
assert_balanced(void)
{
	for (size_t i = 0; i < w.nrecs; i++) {
		size_t closed = 0;

		for (size_t j = 0; j < w.nrecs; j++)
			closed += w.recs[j].phase == AUDIT_PHASE_OUTCOME &&
				  w.recs[j].intent_seq == w.recs[i].seq;
		assert_int_equal(closed, w.recs[i].phase == AUDIT_PHASE_INTENT ? 1 : 0);
	}
}

static void
assert_events(const uint8_t *events, size_t n)
{
	for (size_t i = 0; i < w.nrecs && i < n; i++)
		assert_int_equal(w.recs[i].event, events[i]);
	assert_int_equal(w.nrecs, n);
}
#define EVENTS(...) \
	assert_events((const uint8_t[]){ __VA_ARGS__ }, COUNT(((const uint8_t[]){ __VA_ARGS__ })))

/* ---- tests ---- */

static void
test_chat_with_a_run(void **state)
{
	struct reply *r = admit(ENDPOINT_CHAT);
	uint64_t turn = r->admitted.turn;

	(void)state;
	assert_int_equal(r->error, ERROR_NONE);
	assert_int_equal(r->admitted.limit, 50);
	assert_int_equal(r->admitted.remaining, 49);
	assert_int_equal(w.key[0]->holder.running, 1);
	assert_memory_equal(r->admitted.grant, w.model_grant.grant, GRANT_LEN);
	assert_int_equal(w.model_grant.gateway, 5);
	assert_int_equal(w.model_grant.body_len, 120);
	assert_string_equal(w.target, "alpha");
	model_done();
	r = step(turn, STEP_RUN);
	assert_int_equal(r->error, ERROR_NONE);
	assert_memory_equal(r->granted.grant, w.run_grant.grant, GRANT_LEN);
	assert_int_equal(w.run_grant.keep, 1);
	assert_string_equal(w.target, "python");
	/* The next STEP waits until the run has ended. */
	r = step(turn, STEP_MODEL);
	assert_false(r->come);
	run_done(RUN_EXIT, 0);
	assert_true(r->come);
	assert_int_equal(r->error, ERROR_NONE);
	assert_int_equal(w.model_grants, 2);
	model_done();
	r = settle(turn, ERROR_NONE);
	assert_int_equal(r->error, ERROR_NONE);
	assert_int_equal(w.executor_ends, 1); /* the lease */
	assert_int_equal(w.broker_ends, 0);
	EVENTS(EVENT_AUTHENTICATION, EVENT_PROMPT_SUBMITTED, EVENT_CODE_GENERATED,
	    EVENT_TOOL_EXECUTED, EVENT_TOOL_EXECUTED, EVENT_MODEL_CALLED, EVENT_RESPONSE_RETURNED);
	assert_int_equal(w.recs[4].outcome, AUDIT_SUCCESS);
	assert_balanced();
}

static void
test_execute(void **state)
{
	struct reply *r = admit(ENDPOINT_EXECUTE);

	(void)state;
	assert_int_equal(r->error, ERROR_NONE);
	assert_memory_equal(r->admitted.grant, w.run_grant.grant, GRANT_LEN);
	assert_int_equal(w.run_grant.keep, 0);
	run_done(RUN_SIGNAL, 9);
	run_done(RUN_EXIT, 0); /* a second DONE of the same grant counts for nothing */
	assert_int_equal(w.nrecs, 2);
	assert_int_equal(settle(r->admitted.turn, ERROR_NONE)->error, ERROR_NONE);
	EVENTS(EVENT_AUTHENTICATION, EVENT_TOOL_EXECUTED, EVENT_TOOL_EXECUTED,
	    EVENT_RESPONSE_RETURNED);
	assert_int_equal(w.recs[2].outcome, AUDIT_FAILURE);
	assert_int_equal(w.recs[3].phase, AUDIT_PHASE_NONE);
	assert_int_equal(w.executor_ends, 0);
	assert_balanced();
}

static void
test_settle_without_done(void **state)
{
	struct reply *r = admit(ENDPOINT_EXECUTE);

	(void)state;
	/* The grant was never used: TURN_END ends the doubt. */
	assert_int_equal(settle(r->admitted.turn, ERROR_CANCELLED)->error, ERROR_NONE);
	assert_int_equal(w.executor_ends, 1);
	EVENTS(EVENT_AUTHENTICATION, EVENT_TOOL_EXECUTED, EVENT_TOOL_EXECUTED, EVENT_ERROR,
	    EVENT_RESPONSE_RETURNED);
	assert_int_equal(w.recs[2].outcome, AUDIT_FAILURE);
	assert_int_equal(w.recs[2].cause, AUDIT_CANCELLED);
	assert_balanced();
}

static void
test_answers_without_a_turn(void **state)
{
	struct ga_admit m = admit_msg(ENDPOINT_MODELS);
	struct ga_check check = { .credential = m.credential };
	struct reply *r = call(w.gw, GA_ADMIT, &m);

	(void)state;
	assert_int_equal(r->error, ERROR_NONE);
	assert_int_equal(r->admitted.turn, 0);
	assert_string_equal(r->models, "alpha");
	m = admit_msg(ENDPOINT_CHAT);
	m.model = SPAN_LIT("beta");
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_MODEL_NOT_FOUND);
	m = admit_msg(ENDPOINT_OTHER);
	m.refused = ERROR_INVALID_JSON;
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_JSON);
	m.credential = SPAN_LIT("sk-wrong");
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_INVALID_KEY);
	assert_int_equal(call(w.gw, GA_CHECK, &check)->error, ERROR_NONE);
	check.credential = SPAN_EMPTY;
	assert_int_equal(call(w.gw, GA_CHECK, &check)->error, ERROR_INVALID_KEY);
	EVENTS(EVENT_AUTHENTICATION, EVENT_RESPONSE_RETURNED, EVENT_AUTHENTICATION, EVENT_ERROR,
	    EVENT_AUTHENTICATION, EVENT_ERROR, EVENT_AUTHENTICATION, EVENT_AUTHENTICATION);
	assert_int_equal(w.recs[6].outcome, AUDIT_DENIED);
	assert_true(w.recs[6].anonymous);
	assert_false(w.recs[0].anonymous);
}

static void
test_attached_tools(void **state)
{
	struct ga_admit m = admit_msg(ENDPOINT_CHAT);
	struct reply *r;

	(void)state;
	m.credential = span_of(w.text[1], KEYTEXT_LEN);
	m.tools = 0;
	r = call(w.gw, GA_ADMIT, &m);
	assert_int_equal(r->error, ERROR_NONE);
	assert_int_equal(r->admitted.attach, TOOL_CODE_INTERPRETER);
	assert_int_equal(r->admitted.turn, 0);
	assert_int_equal(w.nrecs, 0);
	m.tools = TOOL_CODE_INTERPRETER;
	r = call(w.gw, GA_ADMIT, &m);
	assert_int_equal(r->admitted.attach, 0);
	model_done();
	assert_int_equal(settle(r->admitted.turn, ERROR_NONE)->error, ERROR_NONE);
}

static void
test_limits_across_gateways(void **state)
{
	struct ga_admit m = admit_msg(ENDPOINT_CHAT);
	struct reply *r[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		r[i] = call(i % 2 == 0 ? w.gw : w.gw2, GA_ADMIT, &m);
	assert_int_equal(r[2]->error, ERROR_NONE);
	assert_int_equal(r[3]->error, ERROR_CONCURRENCY);
	assert_true(r[3]->admitted.retry_after_ms > 0);
	cut(&w.gw2); /* holds one of the three */
	assert_int_equal(w.key[0]->holder.running, 2);
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_NONE);
	cut(&w.gw);
	assert_int_equal(w.key[0]->holder.running, 0);
	connect_fake(EDGE_GATEWAY_AUTHORITY, 7, &ga_edge, true, &gateway_ops, &w.gw);
	connect_fake(EDGE_GATEWAY_AUTHORITY, 8, &ga_edge, true, &gateway_ops, &w.gw2);
	m.endpoint = ENDPOINT_MODELS;
	for (int i = 0; i < 46; i++)
		assert_int_equal(call(i % 2 == 0 ? w.gw : w.gw2, GA_ADMIT, &m)->error, ERROR_NONE);
	m.endpoint = ENDPOINT_CHAT;
	assert_int_equal(call(w.gw, GA_ADMIT, &m)->error, ERROR_RATE_LIMIT);
	assert_int_equal(call(w.gw2, GA_ADMIT, &m)->error, ERROR_RATE_LIMIT);
	assert_int_equal(w.key[0]->holder.rate->total, 50);
	assert_balanced();
}

static void
test_steps_are_bounded(void **state)
{
	uint64_t turn = admit(ENDPOINT_CHAT)->admitted.turn;

	(void)state;
	model_done();
	for (int i = 0; i < 2; i++) {
		assert_int_equal(step(turn, STEP_RUN)->error, ERROR_NONE);
		run_done(RUN_EXIT, 0);
	}
	assert_int_equal(step(turn, STEP_RUN)->error, ERROR_TURN_LIMIT);
	assert_int_equal(settle(turn, ERROR_TURN_LIMIT)->error, ERROR_NONE);
	assert_balanced();
}

/* A gateway that lies is dropped, and only its own turns end. */
static void
test_lies(void **state)
{
	struct ga_step m = { .kind = STEP_MODEL };
	struct reply *mine = admit(ENDPOINT_CHAT);

	(void)state;
	m.turn = mine->admitted.turn;
	(void)call(w.gw2, GA_STEP, &m); /* of the other gateway */
	assert_true(w.gw2_closed);
	assert_int_equal(w.a->turns.n, 1);
	model_done();
	assert_int_equal(settle(mine->admitted.turn, ERROR_NONE)->error, ERROR_NONE);
	/* A turn that is over is no lie: messages cross. */
	assert_int_equal(step(mine->admitted.turn, STEP_MODEL)->error, ERROR_CANCELLED);
	assert_int_equal(settle(mine->admitted.turn, ERROR_NONE)->error, ERROR_CANCELLED);
	assert_false(w.gw_closed);
	m.turn = mine->admitted.turn + (1ULL << 40);
	(void)call(w.gw, GA_STEP, &m);
	assert_true(w.gw_closed);
	assert_balanced();
}

static void
test_step_while_one_is_open(void **state)
{
	uint64_t turn = admit(ENDPOINT_CHAT)->admitted.turn;

	(void)state;
	assert_false(step(turn, STEP_RUN)->come); /* waits for the model's end */
	(void)step(turn, STEP_RUN);
	assert_true(w.gw_closed);
	assert_int_equal(w.run_grants, 0);
	assert_balanced();
}

static void
test_gateway_dies(void **state)
{
	uint64_t turn = admit(ENDPOINT_CHAT)->admitted.turn;

	(void)state;
	model_done();
	assert_int_equal(step(turn, STEP_RUN)->error, ERROR_NONE);
	cut(&w.gw);
	assert_int_equal(w.executor_ends, 1);
	assert_int_equal(w.recs[w.nrecs - 1].outcome, AUDIT_UNKNOWN);
	assert_int_equal(w.recs[w.nrecs - 1].cause, AUDIT_PROCESS_DIED);
	assert_balanced();
}

static void
test_executor_dies(void **state)
{
	struct reply *r = admit(ENDPOINT_EXECUTE);

	(void)state;
	cut(&w.executor);
	assert_int_equal(settle(r->admitted.turn, ERROR_UNAVAILABLE)->error, ERROR_NONE);
	assert_int_equal(w.recs[2].outcome, AUDIT_UNKNOWN);
	assert_int_equal(w.recs[2].cause, AUDIT_PROCESS_DIED);
	/* Chat goes on without it; runs are refused, and that is recorded. */
	assert_int_equal(admit(ENDPOINT_EXECUTE)->error, ERROR_UNAVAILABLE);
	r = admit(ENDPOINT_CHAT);
	assert_int_equal(r->error, ERROR_NONE);
	model_done();
	assert_int_equal(step(r->admitted.turn, STEP_RUN)->error, ERROR_UNAVAILABLE);
	connect_fake(EDGE_AUTHORITY_EXECUTOR, 13, &ae_edge, false, &executor_ops, &w.executor);
	assert_int_equal(step(r->admitted.turn, STEP_RUN)->error, ERROR_NONE);
	run_done(RUN_EXIT, 0);
	assert_int_equal(settle(r->admitted.turn, ERROR_NONE)->error, ERROR_NONE);
	assert_balanced();
}

static void
test_audit_dies(void **state)
{
	struct reply *r = admit(ENDPOINT_CHAT);

	(void)state;
	cut(&w.audit);
	assert_int_equal(w.revokes, 1);
	assert_int_equal(w.revoke_error, ERROR_AUDIT_UNAVAILABLE);
	assert_int_equal(w.broker_ends, 1);
	assert_int_equal(w.a->turns.n, 0);
	assert_int_equal(admit(ENDPOINT_CHAT)->error, ERROR_AUDIT_UNAVAILABLE);
	connect_fake(EDGE_AUTHORITY_AUDIT, 11, &aa_edge, false, &audit_ops, &w.audit);
	assert_int_equal(settle(r->admitted.turn, ERROR_NONE)->error, ERROR_CANCELLED);
	assert_int_equal(w.nrecs, 2); /* no second outcome: audit closed that intent itself */
	r = admit(ENDPOINT_CHAT);
	assert_int_equal(r->error, ERROR_NONE);
	model_done();
	assert_int_equal(settle(r->admitted.turn, ERROR_NONE)->error, ERROR_NONE);
}

static void
test_audit_dies_with_appends_in_flight(void **state)
{
	struct reply *r;

	(void)state;
	w.audit_mode = AUDIT_HOLDS;
	r = admit(ENDPOINT_CHAT);
	assert_false(r->come);
	cut(&w.audit);
	assert_true(r->come);
	assert_int_equal(r->error, ERROR_AUDIT_UNAVAILABLE);
	assert_int_equal(w.model_grants, 0);
}

static void
test_audit_refuses(void **state)
{
	struct reply *r = admit(ENDPOINT_CHAT);

	(void)state;
	model_done();
	w.audit_mode = AUDIT_REFUSES;
	assert_int_equal(admit(ENDPOINT_CHAT)->error, ERROR_AUDIT_UNAVAILABLE);
	assert_int_equal(w.model_grants, 1);
	assert_false(audit_is_writable(w.a));
	assert_int_equal(step(r->admitted.turn, STEP_RUN)->error, ERROR_AUDIT_UNAVAILABLE);
	assert_int_equal(settle(r->admitted.turn, ERROR_NONE)->error, ERROR_AUDIT_UNAVAILABLE);
	assert_int_equal(w.key[0]->holder.running, 0);
	assert_int_equal(w.a->turns.n, 1); /* its intent is still to be closed */
	w.audit_mode = AUDIT_TAKES;
	audit_tick(w.a);
	spin();
	assert_true(audit_is_writable(w.a));
	TAILQ_FIRST(&w.a->turns.in_use)->wait_until_ms = 0;
	turns_tick(w.a);
	spin();
	assert_int_equal(w.a->turns.n, 0);
	assert_balanced();
}

/* Silent, not dead: the client is refused, the late receipt's intent is closed. */
static void
test_audit_hangs(void **state)
{
	struct aa_receipt receipt;
	struct reply *r;

	(void)state;
	w.audit_mode = AUDIT_HOLDS;
	r = admit(ENDPOINT_CHAT);
	TAILQ_FIRST(&w.a->turns.in_use)->wait_until_ms = 0;
	turns_tick(w.a);
	spin();
	assert_int_equal(r->error, ERROR_AUDIT_UNAVAILABLE);
	assert_int_equal(w.key[0]->holder.running, 0);
	w.audit_mode = AUDIT_TAKES;
	receipt = (struct aa_receipt){ .first_seq = 1, .count = w.held_count[0] };
	assert_true(is_ok(link_send(w.audit, w.held[0], AA_RECEIPT, &receipt)));
	spin();
	assert_int_equal(w.model_grants, 0);
	assert_int_equal(w.recs[w.nrecs - 1].cause, AUDIT_TIMEOUT);
	assert_balanced();
}

static void
test_gateway_does_not_settle(void **state)
{
	(void)state;
	(void)admit(ENDPOINT_CHAT);
	TAILQ_FIRST(&w.a->turns.in_use)->wait_until_ms = 0;
	turns_tick(w.a);
	spin();
	assert_int_equal(w.revoke_error, ERROR_TURN_LIMIT);
	assert_int_equal(w.broker_ends, 1);
	assert_int_equal(w.recs[w.nrecs - 1].outcome, AUDIT_UNKNOWN);
	assert_int_equal(w.recs[w.nrecs - 1].cause, AUDIT_TIMEOUT);
	assert_balanced();
}

static void
on_admin(void *ctx, uint16_t http, struct span body)
{
	(void)ctx, (void)body;
	w.admin_http = http;
}

static void
test_revocation(void **state)
{
	struct admin_op *op = NULL;
	struct reply *chat = admit(ENDPOINT_CHAT);
	struct ga_admit m = admit_msg(ENDPOINT_EXECUTE);
	struct reply *run = call(w.gw2, GA_ADMIT, &m);

	(void)state;
	assert_int_equal(run->error, ERROR_NONE);
	assert_int_equal(
	    admin_revoke_key(w.a, 0, SPAN_LIT("000000000000"), on_admin, NULL, &op).code,
	    E_NOTFOUND);
	assert_true(is_ok(admin_revoke_key(
	    w.a, 0, keytext_id(span_of(w.text[0], KEYTEXT_LEN)), on_admin, NULL, &op)));
	spin();
	assert_int_equal(w.admin_http, 200);
	assert_int_equal(w.store_changes, 1);
	assert_int_equal(w.revokes, 2);
	assert_int_equal(w.revoke_error, ERROR_REVOKED);
	assert_int_equal(w.broker_ends, 1);
	assert_int_equal(w.executor_ends, 1);
	assert_int_equal(admit(ENDPOINT_MODELS)->error, ERROR_INVALID_KEY);
	assert_int_equal(settle(chat->admitted.turn, ERROR_NONE)->error, ERROR_CANCELLED);
	assert_balanced();
}

/* An actor that does not answer holds a revocation up for a bounded time only. */
static void
test_revocation_without_answers(void **state)
{
	struct admin_op *op = NULL;

	(void)state;
	(void)admit(ENDPOINT_CHAT);
	w.mute = true;
	assert_true(is_ok(admin_revoke_key(
	    w.a, 0, keytext_id(span_of(w.text[0], KEYTEXT_LEN)), on_admin, NULL, &op)));
	spin();
	assert_int_equal(w.admin_http, 0);
	cut(&w.broker); /* now the last acknowledgement fails */
	assert_int_equal(w.admin_http, 200);
	assert_balanced();
}

static void
test_created_key_works(void **state)
{
	const struct admin_key k = {
		.tenant = SPAN_LIT("t2"), .user = SPAN_LIT("u2"), .policy = SPAN_LIT("default")
	};
	struct admin_op *op = NULL;

	(void)state;
	assert_true(is_ok(admin_create_key(w.a, 0, &k, on_admin, NULL, &op)));
	spin();
	assert_int_equal(w.admin_http, 201);
	assert_int_equal(w.a->keys.nkeys, 3);
	EVENTS(EVENT_KEY_CREATED, EVENT_KEY_CREATED);
	assert_balanced();
}

/* ---- the table, cell by cell ---- */

static void
test_table(void **state)
{
	/* Columns: STEP SETTLE RUN_DONE MODEL_DONE DURABLE REFUSED END ACKS EXPIRED */
	static const char *const allowed[TURN_STATE_COUNT] = {
		[TURN_FREE] = ".........",
		[TURN_ANSWERING] = "..xxxxx.x",
		[TURN_ADMITTING] = "..xxxxx.x",
		[TURN_RUNNING] = "xxxx..x.x",
		[TURN_STEP_WAIT] = "..xx..x.x",
		[TURN_STEP_AUDIT] = "..xxxxx.x",
		[TURN_SETTLE_WAIT] = "..xx..xxx",
		[TURN_SETTLE_AUDIT] = "..xxxxxxx",
		[TURN_ENDING] = "xxxxxxxxx",
		[TURN_CLOSING] = "xxxxxxxxx",
	};

	(void)state;
	for (int s = 0; s < TURN_STATE_COUNT; s++) {
		for (int e = 0; e < TURN_EVENT_COUNT; e++) {
			bool is = turn_handler_of((enum turn_state)s, (enum turn_event)e) != NULL;

			if (is != (allowed[s][e] == 'x'))
				print_error("state %d, event %d\n", s, e);
			assert_int_equal(is, allowed[s][e] == 'x');
		}
	}
}

/* Anything a gateway may send, in any order: no crash, no leak, every intent closed. */
static void
test_random_orders(void **state)
{
	uint32_t seed = 1;

	(void)state;
	for (int i = 0; i < 60; i++) {
		uint64_t turn;

		if (w.gw == NULL) {
			w.gw_closed = false;
			connect_fake(EDGE_GATEWAY_AUTHORITY, 100 + (uint32_t)i, &ga_edge, true,
			    &gateway_ops, &w.gw);
		}
		nreplies = 0;
		holder_done(&w.key[0]->holder);
		holder_done(&w.key[0]->user->holder);
		turn = admit((seed & 64) != 0 ? ENDPOINT_CHAT : ENDPOINT_EXECUTE)->admitted.turn;
		for (int j = 0; j < 6 && w.gw != NULL; j++) {
			seed = seed * 1664525 + 1013904223;
			switch (seed >> 24 & 7) {
			case 0:
			case 1:
				(void)step(turn, STEP_RUN);
				break;
			case 2:
				(void)step(turn, STEP_MODEL);
				break;
			case 3:
				(void)settle(turn, ERROR_NONE);
				break;
			case 4:
				run_done(RUN_EXIT, 0);
				break;
			case 5:
				cut(&w.gw);
				break;
			default:
				model_done();
				break;
			}
		}
		if (w.gw != NULL)
			cut(&w.gw);
		assert_int_equal(w.a->turns.n, 0);
		assert_balanced();
	}
	connect_fake(EDGE_GATEWAY_AUTHORITY, 99, &ga_edge, true, &gateway_ops, &w.gw);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_chat_with_a_run),
		T(test_execute),
		T(test_settle_without_done),
		T(test_answers_without_a_turn),
		T(test_attached_tools),
		T(test_limits_across_gateways),
		T(test_steps_are_bounded),
		T(test_lies),
		T(test_step_while_one_is_open),
		T(test_gateway_dies),
		T(test_executor_dies),
		T(test_audit_dies),
		T(test_audit_dies_with_appends_in_flight),
		T(test_audit_refuses),
		T(test_audit_hangs),
		T(test_gateway_does_not_settle),
		T(test_revocation),
		T(test_revocation_without_answers),
		T(test_created_key_works),
		T(test_random_orders),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
