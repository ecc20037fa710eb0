/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AUTHORITY_WORLD_H
#define TESTS_AUTHORITY_WORLD_H

/*
 * An authority with stand-ins at the other end of every link: a gateway (two),
 * audit, broker, executor and store, all on one loop.
 */
#include "authority_world_calls.h"
#include "authority_world_kept.h"
#include "authority_world_store.h"
#include "authority_world_supervisor.h"

/* ---- stand-ins ---- */

UNUSED static void
rec_text(const struct audit_rec *r, char out[256])
{
	const struct audit_value *v = r->values.items;
	size_t at = 0;

	for (uint32_t i = 0; i < r->values.count; i++) {
		const char *name = audit_events[r->event].fields[i].name;
		int n = 0;

		if (v[i].kind == AUDIT_V_STR)
			n = snprintf(out + at, 256 - at, "%s=%.*s ", name, SPAN_FMT(v[i].str));
		else if (v[i].kind != AUDIT_V_NULL)
			n = snprintf(
			    out + at, 256 - at, "%s=%llu ", name, (unsigned long long)v[i].num);
		at += (size_t)n;
		if (at >= 256)
			return;
	}
}

UNUSED static void
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
		w.recs[w.nrecs] = (struct rec){ recs[i].event, recs[i].phase, recs[i].outcome,
			recs[i].cause, ++w.seq, recs[i].intent_seq, recs[i].proc_seq,
			memcmp(recs[i].subject, zero, sizeof(zero)) == 0, recs[i].request_id[0], "",
			"" };
		(void)snprintf(w.recs[w.nrecs].resource, sizeof(w.recs[0].resource), "%.*s",
		    SPAN_FMT(recs[i].resource));
		memcpy(w.recs[w.nrecs].subject, recs[i].subject, SUBJECT_LEN);
		rec_text(&recs[i], w.recs[w.nrecs++].text);
	}
	if (w.audit_mode == AUDIT_HOLDS) {
		assert_true(w.nheld < COUNT(w.held));
		w.held[w.nheld] = id;
		w.held_count[w.nheld++] = m->records.count;
		return;
	}
	assert_true(is_ok(link_send(l, id, AA_RECEIPT, &receipt)));
}

UNUSED static void
on_model_grant(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)ctx;
	w.model_grant = *(const struct grant *)msg;
	(void)snprintf(w.target, sizeof(w.target), "%.*s", SPAN_FMT(w.model_grant.target));
	w.model_grants++;
}

UNUSED static void
on_run_grant(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)ctx;
	w.run_grant = *(const struct grant *)msg;
	w.grants[w.run_grants % COUNT(w.grants)] = w.run_grant;
	(void)snprintf(w.target, sizeof(w.target), "%.*s", SPAN_FMT(w.run_grant.target));
	w.run_grants++;
}

UNUSED static void
on_broker_end(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)ctx;
	w.broker_ends++;
	if (!w.mute)
		assert_true(is_ok(link_send(l, id, AB_TURN_ENDED, msg)));
}

UNUSED static void
on_gone(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)ctx;
	w.gones++;
	w.gone = ((const struct ae_gone *)msg)->id;
}

UNUSED static void
on_executor_end(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)ctx;
	w.executor_ends++;
	if (!w.mute)
		assert_true(is_ok(link_send(l, id, AE_TURN_ENDED, msg)));
}

UNUSED static void
on_content_grant(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)ctx;
	w.content_grant = *(const struct grant *)msg;
	(void)snprintf(w.target, sizeof(w.target), "%.*s", SPAN_FMT(w.content_grant.target));
	(void)snprintf(w.whose, sizeof(w.whose), "%.*s/%.*s", SPAN_FMT(w.content_grant.tenant),
	    SPAN_FMT(w.content_grant.user));
	w.content_grants++;
}

UNUSED static void
on_store_end(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)ctx;
	w.store_ends++;
	if (!w.mute)
		assert_true(is_ok(link_send(l, id, AS_TURN_ENDED, msg)));
}

UNUSED static void
on_secret_changed(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ab_secret_name *m = msg;

	(void)l, (void)id, (void)ctx;
	assert_true(span_eq_str(m->name, "openai"));
	w.secrets_changed++;
}

UNUSED static void
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

UNUSED static void
on_fetch(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ab_fetch *m = msg;
	struct ab_fetched r = { .code = E_OK, .http_status = 200 };

	(void)ctx;
	w.discoveries += m->kind == FETCH_DISCOVERY;
	w.key_fetches += m->kind == FETCH_KEYS;
	assert_true(is_ok(span_to_cstr(m->url, w.fetch_url, sizeof(w.fetch_url))));
	w.fetch_held = id;
	w.fetch_generation = m->generation;
	if (w.fetch_mode == FETCHES_HOLD)
		return;
	r.body = m->kind == FETCH_DISCOVERY ? w.fetch_discovery : w.fetch_keys;
	if (w.fetch_mode == FETCHES_FAIL)
		r = (struct ab_fetched){ .code = E_CLOSED };
	assert_true(is_ok(link_send(l, id, AB_FETCHED, &r)));
}

#define OPS(...)                                                              \
	{                                                                     \
		.rules = (const struct link_rule[]){ __VA_ARGS__ },           \
		.nrules = COUNT(((const struct link_rule[]){ __VA_ARGS__ })), \
		.on_closed = on_fake_closed                                   \
	}
static const struct link_ops audit_ops = OPS({ AA_APPEND, 0, on_append });
static const struct link_ops broker_ops = OPS({ AB_GRANT, 0, on_model_grant },
    { AB_TURN_END, 0, on_broker_end }, { AB_SECRET_CHANGED, 0, on_secret_changed },
    { AB_FETCH, 0, on_fetch });
static const struct link_ops executor_ops = OPS(
    { AE_GRANT, 0, on_run_grant }, { AE_TURN_END, 0, on_executor_end }, { AE_GONE, 0, on_gone });
static const struct link_ops gateway_ops = OPS({ GA_REVOKE, 0, on_revoke });
static const struct link_ops store_ops = OPS({ AS_LOAD, 0, on_store_load },
    { AS_KEY_REVOKE, 0, on_store_revoke }, { AS_KEY_PUT, 0, on_store_put },
    { AS_USER_PUT, 0, on_store_user_put }, { AS_KEY_USED, 0, on_store_used },
    { AS_SECRET_PUT, 0, on_store_secret_put }, { AS_SECRET_GET, 0, on_store_secret_get },
    { AS_SECRET_REMOVE, 0, on_store_secret_remove }, { AS_SECRET_LIST, 0, on_store_secret_list },
    { AS_USAGE_ADD, 0, on_store_usage_add }, { AS_USAGE_LIST, 0, on_store_usage_list },
    { AS_TOOL_PUT, 0, on_store_tool_put }, { AS_TOOL_GET, 0, on_store_tool_get },
    { AS_TOOL_REBUILT, 0, on_store_tool_rebuilt }, { AS_TOOL_MARK, 0, on_store_tool_mark },
    { AS_TOOL_REMOVE, 0, on_store_tool_remove }, { AS_GRANT, 0, on_content_grant },
    { AS_TURN_END, 0, on_store_end }, { AS_USER_ERASE, 0, on_user_erase },
    { AS_USER_EXPORT, 0, on_user_export }, { AS_PING, 0, on_ping },
    { AS_KEY_REHASH, 0, on_store_rehash }, { AS_KEK_STATUS, 0, on_store_kek },
    { AS_KEK_ROTATE, 0, on_store_kek_rotate }, { AS_KEYSET_STATUS, 0, on_store_keyset },
    { AS_KEYSET_ROTATE, 0, on_store_keyset_rotate }, { AS_SESSION_PUT, 0, on_store_session_put },
    { AS_SESSION_END, 0, on_store_session_end });

UNUSED static void
connect_fake(enum edge edge, uint32_t peer_id, const struct wire_edge *e, bool a_end,
    const struct link_ops *ops, struct link **ret)
{
	int pair[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	assert_true(is_ok(link_new(&w.loop, pair[0], e, a_end, ops, ret, ret)));
	peers_add(w.a, edge, peer_id, 0, pair[1]);
	if (edge == EDGE_AUTHORITY_AUDIT && !w.audit_reads)
		assert_true(is_ok(link_send(*ret, 0, AA_UP, &(struct wire_none){ 0 })));
}

UNUSED static void
cut(struct link **l)
{
	link_free(*l);
	*l = NULL;
	spin();
}

UNUSED static int
setup(void **state)
{
	struct conf *conf = NULL;
	char error[CONF_ERROR_MAX];

	(void)state;
	memset(&w, 0, sizeof(w));
	memset(replies, 0, sizeof(replies));
	nreplies = 0;
	w.signers = w.peppers = 1;
	if (!is_ok(crypto_init()) || uv_loop_init(&w.loop) != 0 ||
	    !is_ok(conf_parse(span_str(WORLD_YAML), &conf, error)))
		return -1;
	w.a = calloc(1, sizeof(*w.a));
	w.d = (struct daemon){ .loop = &w.loop, .conf = conf, .ctx = w.a, .generation = 1 };
	w.a->d = &w.d;
	w.a->audit_state.proc_seq = w.a->audit_state.kept_seq = 1;
	for (size_t i = 0; i < WORLD_KEYS; i++)
		assert_true(is_ok(keytext_create(w.text[i])));
	assert_true(is_ok(policies_load(conf, &w.a->policies)));
	assert_true(is_ok(keys_init(&w.a->keys)));
	assert_true(is_ok(failures_init(&w.a->failures)));
	assert_true(is_ok(sealer_init(&w.a->sealer)));
	assert_true(is_ok(turns_init(w.a)));
	assert_true(is_ok(procs_init(w.a)));
	assert_true(is_ok(usage_init(&w.a->usage)));
	assert_true(is_ok(tools_init(&w.a->tools)));
	assert_true(is_ok(oidc_init(w.a)));
	assert_true(is_ok(machines_load(w.a)));
	assert_int_equal(uv_timer_init(&w.loop, &w.a->sweep), 0);
	peers_init(w.a);
	connect_supervisor();
	connect_fake(EDGE_AUTHORITY_AUDIT, 1, &aa_edge, false, &audit_ops, &w.audit);
	connect_fake(EDGE_AUTHORITY_BROKER, 2, &ab_edge, false, &broker_ops, &w.broker);
	connect_fake(EDGE_AUTHORITY_EXECUTOR, 3, &ae_edge, false, &executor_ops, &w.executor);
	connect_fake(EDGE_AUTHORITY_STORE, 4, &as_edge, false, &store_ops, &w.store);
	connect_fake(EDGE_GATEWAY_AUTHORITY, 5, &ga_edge, true, &gateway_ops, &w.gw);
	connect_fake(EDGE_GATEWAY_AUTHORITY, 6, &ga_edge, true, &gateway_ops, &w.gw2);
	spin();
	assert_true(w.a->loaded);
	for (size_t i = 0; i < WORLD_KEYS; i++)
		w.key[i] = keys_find(&w.a->keys, keytext_id(span_of(w.text[i], KEYTEXT_LEN)));
	return w.key[0] != NULL && w.key[1] != NULL ? 0 : -1;
}

UNUSED static void
close_handle(uv_handle_t *h, void *arg)
{
	(void)arg;
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

/* What every test must leave behind: no turn, no count, and each number once. */
UNUSED static int
teardown(void **state)
{
	struct link **fakes[] = { &w.gw, &w.gw2, &w.audit, &w.broker, &w.executor, &w.store,
		&w.supervisor };
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
	link_free(w.d.control);
	uv_walk(&w.loop, close_handle, NULL);
	spin();
	(void)uv_loop_close(&w.loop);
	procs_done(w.a);
	usage_done(&w.a->usage);
	turns_done(w.a);
	failures_done(&w.a->failures);
	sealer_done(&w.a->sealer);
	tools_done(&w.a->tools);
	oidc_done(w.a);
	machines_done(w.a);
	approvals_done();
	sessions_done(w.a);
	keys_done(&w.a->keys);
	policies_done(&w.a->policies);
	conf_free(w.d.conf);
	free(w.a);
	return 0;
}

/* Audit answers what it has held. */
UNUSED static void
release_held(void)
{
	uint64_t first = w.seq + 1;

	for (size_t i = 0; i < w.nheld; i++)
		first -= w.held_count[i];
	for (size_t i = 0; i < w.nheld; i++) {
		struct aa_receipt m = { .first_seq = first, .count = w.held_count[i] };

		assert_true(is_ok(link_send(w.audit, w.held[i], AA_RECEIPT, &m)));
		first += w.held_count[i];
	}
	w.nheld = 0;
}

#endif
