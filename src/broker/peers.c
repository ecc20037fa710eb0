/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peers.c: what the broker is connected to and made from: its links (authority, gateways, store,
 * demo),
 * its configuration.
 *
 * Runs in: broker. Trusts: the supervisor for who is at the other end of a fresh link.
 * Owns: the links.
 * Invariants: a fresh link replaces the one before it, with all that came by it; without an
 * authority nothing is granted and nothing runs.
 * See: wire/topology.h, broker.h.
 */
#include "broker.h"
#include "credentials.h"
#include "marks.h"

#include <base/cleanup.h>
#include <wire/broker_demo.h>
#include <wire/store_broker.h>

/* ---- authority ---- */
static void
on_grant(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct broker *b = ctx;

	(void)l, (void)id;
	if (!is_ok(grants_add(&b->grants, msg, uv_now(b->d->loop))))
		diag(DIAG_WARN, "a grant was not taken: the table is full");
}

static void
on_turn_end(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct turn_ref *m = msg;
	struct broker *b = ctx;

	if (m->turn != 0) {
		grants_forget_turn(&b->grants, m->turn);
		calls_cancel(b, m->turn, ERROR_CANCELLED);
	}
	if (!is_ok(link_send(l, id, AB_TURN_ENDED, m)))
		diag(DIAG_WARN, "the end of a turn could not be told to the authority");
}

static void
on_secret_changed(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ab_secret_name *m = msg;

	(void)l, (void)id;
	credentials_changed(ctx, m->name);
}

static void
authority_closed(struct link *l, struct status why, void *ctx)
{
	struct broker *b = ctx;

	(void)why;
	link_free(l);
	if (b->authority != l)
		return; /* a fresh one is there already */
	b->authority = NULL;
	grants_forget_all(&b->grants);
	issuers_forget(b);
	calls_cancel(b, 0, ERROR_UNAVAILABLE);
}

static void
authority_peer(struct broker *b, uint32_t peer_id, int fd)
{
	static const struct link_rule rules[] = { { AB_GRANT, 0, on_grant },
		{ AB_TURN_END, 0, on_turn_end }, { AB_SECRET_CHANGED, 0, on_secret_changed },
		{ AB_FETCH, 0, issuers_on_fetch } };
	static const struct link_ops ops = { rules, sizeof(rules) / sizeof(rules[0]),
		authority_closed };
	struct link *old = b->authority;

	b->authority = NULL;
	grants_forget_all(&b->grants); /* of the one before */
	issuers_forget(b);
	calls_cancel(b, 0, ERROR_UNAVAILABLE);
	link_free(old);
	if (!is_ok(link_new(b->d->loop, fd, &ab_edge, false, &ops, b, &b->authority)))
		diag_fatal("link of the authority");
	link_set_peer(b->authority, peer_id);
	b->authorities++;
	credentials_authority(b);
}

/* ---- gateways ---- */
static void
gateway_closed(struct link *l, struct status why, void *ctx)
{
	struct broker *b = ctx;

	if (why.code == E_PROTO)
		daemon_metric_add(METRIC_LINK_DROPPED_PEERS, 1);
	for (size_t i = 0; i < BROKER_GATEWAYS_MAX; i++) {
		if (b->gateways[i] == l)
			b->gateways[i] = NULL;
	}
	link_free(l);
}

static void
gateway_peer(struct broker *b, uint32_t peer_id, int fd)
{
	static struct link_ops ops;

	ops = (struct link_ops){ call_rules, call_rule_count, gateway_closed };
	for (size_t i = 0; i < BROKER_GATEWAYS_MAX; i++) {
		if (b->gateways[i] != NULL)
			continue;
		if (!is_ok(link_new(b->d->loop, fd, &gb_edge, false, &ops, b, &b->gateways[i])))
			diag_fatal("link of a gateway");
		link_set_peer(b->gateways[i], peer_id);
		return;
	}
	diag_fatal("more gateways than there is room for");
}

/* ---- store ---- */
static void
store_closed(struct link *l, struct status why, void *ctx)
{
	struct broker *b = ctx;

	if (why.code == E_PROTO)
		daemon_metric_add(METRIC_LINK_DROPPED_PEERS, 1);
	if (b->store == l) {
		b->store = NULL;
		kms_forget(b);
	}
	link_free(l);
}

static void
store_peer(struct broker *b, uint32_t peer_id, int fd)
{
	static struct link_ops ops;

	ops = (struct link_ops){ kms_rules, kms_rule_count, store_closed };
	kms_forget(b); /* of the one before */
	link_free(b->store);
	b->store = NULL;
	if (!is_ok(link_new(b->d->loop, fd, &sb_edge, false, &ops, b, &b->store)))
		diag_fatal("link of the store");
	link_set_peer(b->store, peer_id);
	marks_tell(b);
}

/* ---- demo ---- */
static void
drop_kept_of_demo(struct broker *b)
{
	struct provider *p;

	LIST_FOREACH(p, &b->providers, entry)
	{
		if (p->row->secret_name == NULL)
			upstream_drop_kept(p->upstream);
	}
}

static void
demo_closed(struct link *l, struct status why, void *ctx)
{
	struct broker *b = ctx;

	(void)why;
	if (b->demo == l)
		b->demo = NULL;
	link_free(l);
	drop_kept_of_demo(b);
}

static void
demo_peer(struct broker *b, uint32_t peer_id, int fd)
{
	static const struct link_ops ops = { NULL, 0, demo_closed };

	link_free(b->demo);
	b->demo = NULL;
	drop_kept_of_demo(b);
	if (!is_ok(link_new(b->d->loop, fd, &bd_edge, true, &ops, b, &b->demo)))
		diag_fatal("link of demo");
	link_set_peer(b->demo, peer_id);
}

void
broker_init(struct broker *b, struct daemon *d)
{
	b->d = d;
	b->system_ca = BUF_INIT(BROKER_CA_MAX);
	LIST_INIT(&b->calls);
	LIST_INIT(&b->credentials);
	LIST_INIT(&b->providers);
	LIST_INIT(&b->issuers.items);
	LIST_INIT(&b->issuers.errands);
	LIST_INIT(&b->kms.asks);
}

/* What is missing or cannot be read is as if it were empty: who needs it says so. */
static void
read_file(struct broker *b, const char *key, struct buf *out)
{
	struct status st;

	buf_clear(out);
	st = daemon_read_file(daemon_filef(b->d, "network.%s", key), out);
	if (!is_ok(st) && st.code != E_NOTFOUND)
		diag(DIAG_ERROR, "network.%s: %s", key, status_text(st));
}

struct status
broker_configure(struct broker *b)
{
	auto_buf struct buf resolv = BUF_INIT(RESOLVE_TEXT_MAX), hosts = BUF_INIT(RESOLVE_TEXT_MAX);
	const char *what = "";
	struct status st, loaded;

	b->body_bytes_max = conf_u64(b->d->conf, "limits.bodies_total_bytes");
	if (b->body_bytes_max < b->body_bytes)
		b->body_bytes_max = b->body_bytes;
	read_file(b, "resolv_conf", &resolv);
	read_file(b, "hosts", &hosts);
	read_file(b, "ca_file", &b->system_ca);
	TRY(resolver_configure(b->resolver, b->d->loop, buf_span(&resolv), buf_span(&hosts)));
	st = sources_config(b, &what);
	if (!is_ok(st))
		diag(DIAG_ERROR, "%s: %s", what, status_text(st));
	loaded = providers_load(b);
	if (is_ok(st))
		st = loaded;
	loaded = issuers_load(b);
	return is_ok(st) ? loaded : st;
}

void
peers_add(struct broker *b, enum edge edge, uint32_t peer_id, int fd)
{
	if (edge == EDGE_AUTHORITY_BROKER)
		authority_peer(b, peer_id, fd);
	else if (edge == EDGE_GATEWAY_BROKER)
		gateway_peer(b, peer_id, fd);
	else if (edge == EDGE_BROKER_DEMO)
		demo_peer(b, peer_id, fd);
	else if (edge == EDGE_STORE_BROKER)
		store_peer(b, peer_id, fd);
	else
		diag_fatal("a link that is not ours");
}

void
peers_free(struct broker *b)
{
	calls_cancel(b, 0, ERROR_UNAVAILABLE);
	kms_forget(b);
	marks_end();
	providers_free(b);
	issuers_free(b);
	leases_free(b);
	resolver_free(b->resolver);
	buf_done(&b->system_ca);
	link_free(b->authority);
	link_free(b->demo);
	link_free(b->store);
	for (size_t i = 0; i < BROKER_GATEWAYS_MAX; i++)
		link_free(b->gateways[i]);
}
