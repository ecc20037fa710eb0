/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_GATEWAY_RIG_AUTHORITY_H
#define TESTS_GATEWAY_RIG_AUTHORITY_H

/*
 * The authority of gateway_rig.h.
 */
#include "gateway_rig_state.h"

static inline void
on_check(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ga_checked m = { .error = (uint16_t)peers.check_error };

	(void)msg, (void)ctx;
	peers.checks++;
	peers.check_id = id;
	if (!peers.hold_check)
		reply(l, id, GA_CHECKED, &m);
}

/* What depends on the key's tools. */
static inline void
admit_tools(struct ga_admitted *m)
{
	uint8_t e = peers.admit.endpoint;
	bool told = e >= ENDPOINT_TOOL_LIST && e <= ENDPOINT_TOOL_CURRENT;
	bool asks = (e == ENDPOINT_TOOL_CALL || endpoint_rows[e].takes_tools) && m->error == 0 &&
		    (peers.admit.catalog != peers.catalog || m->attach != peers.admit.attached);

	if (told || asks)
		m->turn = 0;
	if (m->error != 0 || (!told && !asks && e != ENDPOINT_TOOL_PUSH))
		return;
	m->catalog = peers.catalog;
	m->tools = (struct wire_list){ (void *)(uintptr_t)peers.tools, peers.ntools };
	m->more = peers.more;
	peers.offered += asks;
}

static inline void
admit_now(struct link *l, uint64_t id)
{
	struct ga_admitted m = { .error = (uint16_t)peers.admit_error,
		.turn = 7,
		.limit = 10,
		.remaining = 9,
		.reset_ms = 6000,
		.steps_max = 4,
		.models = peers.names != NULL ? span_str(peers.names)
					      : SPAN_LIT("demo\norg/gpt-5.5\nother") };

	if (peers.admit.refused != 0 && m.error == 0)
		m.error = peers.admit.refused;
	if (m.error != 0 || peers.admit.endpoint == ENDPOINT_MODELS)
		m.turn = 0;
	if (endpoint_rows[peers.admit.endpoint].takes_tools && m.error == 0) {
		m.attach = peers.attach & (uint8_t) ~(peers.admit.tools & ~peers.admit.attached);
		peers.attached += m.attach != peers.admit.attached;
		m.turn = m.attach != peers.admit.attached ? 0 : m.turn;
	}
	admit_tools(&m);
	m.store = m.turn != 0 && peers.may_store && peers.admit.store != STORE_NO;
	m.mask = peers.mask;
	if (peers.mask_again && peers.admit.credentials == CREDENTIALS_FOUND && m.error == 0) {
		m.mask = 1;
		m.turn = 0;
	}
	reply(l, id, GA_ADMITTED, &m);
}

static inline void
on_admit(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)ctx;
	peers.admits++;
	peers.admit = *(const struct ga_admit *)msg;
	assert_true(is_ok(
	    span_to_cstr(peers.admit.content_id, peers.content_id, sizeof(peers.content_id))));
	peers.leaked_len = peers.admit.leaked.len;
	peers.leaked_home = peers.admit.leaked_home;
	if (peers.leaked_len > 0)
		memcpy(peers.leaked, peers.admit.leaked.ptr, peers.leaked_len);
	memcpy(peers.digest, peers.admit.digest, DIGEST_LEN);
	peers.admit_id = id;
	if (!peers.hold_admit)
		admit_now(l, id);
}

static inline void
on_step(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ga_step *s = msg;
	struct ga_granted m = { .error = ERROR_NONE };

	(void)ctx;
	assert_int_equal(s->turn, 7);
	if (s->refused != ERROR_NONE) {
		peers.steps_refused++;
		m.error = s->refused;
		if (peers.grants_refused)
			m.error = ERROR_NONE;
	} else if (s->kind == STEP_RUN) {
		peers.steps_run++;
		m.error = (uint16_t)peers.run_error;
	} else if (s->kind == STEP_TOOL) {
		peers.steps_tool++;
		m.error = (uint16_t)peers.step_error;
	} else if (s->kind == STEP_CONTENT) {
		peers.steps_content++;
		peers.content_step = *s;
		assert_true(
		    is_ok(span_to_cstr(s->content_id, peers.content_id, sizeof(peers.content_id))));
	} else {
		peers.steps_model++;
	}
	peers.step = *s;
	if (peers.hold_step) {
		peers.step_ids[peers.steps_tool - 1] = id;
		return;
	}
	if (m.error == ERROR_NONE)
		memcpy(peers.digest, s->digest, DIGEST_LEN);
	reply(l, id, GA_GRANTED, &m);
}

static inline void
on_token(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ga_tokened m = { .error = ERROR_NONE };

	(void)msg, (void)ctx;
	peers.tokens++;
	reply(l, id, GA_TOKENED, &m);
}

static inline void
on_settle(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ga_settled m = { .error = ERROR_NONE };

	(void)ctx;
	peers.settles++;
	peers.settle = *(const struct ga_settle *)msg;
	peers.settle_id = id;
	if (!peers.hold_settle)
		reply(l, id, GA_SETTLED, &m);
}

static inline void
on_failures(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)ctx;
	peers.failures++;
	peers.failures_counted += ((const struct ga_failures *)msg)->count;
}

static inline void
on_revoked(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)msg, (void)ctx;
	peers.revoked++;
}

static inline void
check_digest(struct span body)
{
	uint8_t digest[DIGEST_LEN];

	assert_int_equal(sha256(body, digest).code, E_OK);
	assert_memory_equal(digest, peers.digest, DIGEST_LEN);
}

#endif
