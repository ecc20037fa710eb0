/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AUTHORITY_WORLD_CALLS_H
#define TESTS_AUTHORITY_WORLD_CALLS_H

/*
 * The gateway's side of authority_world.h: its calls, their replies, and what must balance.
 */
#include "authority_world_state.h"

UNUSED static void
reply_tools(struct reply *r)
{
	const struct ga_tool *tools = r->admitted.tools.items;
	size_t at = 0;

	r->ntools = r->admitted.tools.count;
	for (uint32_t i = 0; i < r->ntools; i++) {
		r->tools[i] = tools[i];
		at += (size_t)snprintf(r->names + at, sizeof(r->names) - at, "%.*s:%u%s ",
		    SPAN_FMT(tools[i].name), tools[i].version,
		    tools[i].manifest.len > 0 ? "m" : "");
		if (at >= sizeof(r->names))
			return;
	}
}

UNUSED static void
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
		reply_tools(r);
		(void)snprintf(r->models, sizeof(r->models), "%.*s", SPAN_FMT(r->admitted.models));
	}
	if (type == GA_ADMINED) {
		const struct ga_admined *m = msg;

		r->http = m->status;
		r->retry_after_ms = m->retry_after_ms;
		(void)snprintf(r->body, sizeof(r->body), "%.*s", SPAN_FMT(m->body));
	}
	if (type == GA_TOKENED) {
		const struct ga_tokened *m = msg;

		r->expires_s = m->expires_s;
		r->scope_bad = m->scope_bad != 0;
		(void)snprintf(r->body, sizeof(r->body), "%.*s", SPAN_FMT(m->token));
	}
	if (type == GA_GRANTED)
		r->granted = *(const struct ga_granted *)msg;
	r->error = *(const uint16_t *)msg; /* each answer begins with it */
}

UNUSED static struct reply *
call(struct link *gw, uint16_t type, const void *msg)
{
	struct reply *r = &replies[nreplies++];

	assert_true(nreplies < REPLIES_MAX);
	assert_true(is_ok(link_call(gw, type, msg, 60000, on_reply, r, NULL)));
	spin();
	return r;
}

UNUSED static struct ga_admit
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

UNUSED static struct reply *
admit(uint8_t endpoint)
{
	struct ga_admit m = admit_msg(endpoint);

	return call(w.gw, GA_ADMIT, &m);
}

UNUSED static struct reply *
step(uint64_t turn, enum ga_step_kind kind)
{
	const struct ga_step m = { .turn = turn,
		.kind = (uint8_t)kind,
		.language = SPAN_LIT("python"),
		.size_bytes = 10,
		.body_len = 20 };

	return call(w.gw, GA_STEP, &m);
}

UNUSED static struct reply *
settle(uint64_t turn, enum error error)
{
	const struct ga_settle m = {
		.turn = turn, .error = (uint16_t)error, .tokens_out = UINT32_MAX
	};

	return call(w.gw, GA_SETTLE, &m);
}

UNUSED static void
model_done(void)
{
	struct ab_done m = { .turn = w.model_grant.turn,
		.http_status = 200,
		.attempts = 1,
		.provider = SPAN_LIT("d"),
		.host = SPAN_LIT("h:443"),
		.secret_version = SPAN_LIT("v7"),
		.upstream_id = SPAN_LIT("req_1") };

	memcpy(m.grant, w.model_grant.grant, GRANT_LEN);
	assert_true(is_ok(link_send(w.broker, 0, AB_DONE, &m)));
	spin();
}

UNUSED static void
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
UNUSED static void
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

/* How many records of that kind there are. */
UNUSED static size_t
recorded(enum audit_event event)
{
	size_t n = 0;

	for (size_t i = 0; i < w.nrecs; i++)
		n += w.recs[i].event == event;
	return n;
}

UNUSED static void
assert_events(const uint8_t *events, size_t n)
{
	for (size_t i = 0; i < w.nrecs && i < n; i++)
		assert_int_equal(w.recs[i].event, events[i]);
	assert_int_equal(w.nrecs, n);
}
#define EVENTS(...) \
	assert_events((const uint8_t[]){ __VA_ARGS__ }, COUNT(((const uint8_t[]){ __VA_ARGS__ })))

#endif
