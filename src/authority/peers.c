/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peers.c: links to gateways, broker, executor, audit and store.
 *
 * Runs in: authority. Trusts: the supervisor about who is at the other end.
 * Owns: all links but the control link.
 * Invariants: a turn belongs to the link that admitted it and ends with it; a
 * gateway that breaks the protocol is dropped, nobody else is touched.
 * See: wire/topology.h.
 */
#include "authority.h"

#include <assert.h>
#include <unistd.h>

#include "admin_door.h"

#define LINK_LIVE 1U /* as link_new() leaves it */
#define LINK_DEAD 2U

static void gateway_gone(struct gateway *gw);
static void on_gateway_closed(struct link *l, struct status why, void *ctx);
static void on_peer_closed(struct link *l, struct status why, void *ctx);
static void on_turn_ended(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_receipts(struct link *l, void *ctx);

static const struct link_rule gateway_rules[] = {
	{ GA_CHECK, LINK_LIVE, admit_on_check },
	{ GA_ADMIT, LINK_LIVE, admit_on_admit },
	{ GA_STEP, LINK_LIVE, step_on_step },
	{ GA_SETTLE, LINK_LIVE, settle_on_settle },
	{ GA_FAILURES, LINK_LIVE, admit_on_failures },
	{ GA_ADMIN, LINK_LIVE, admin_door_on_admin },
	{ GA_TOKEN, LINK_LIVE, sessions_on_token },
};
static const struct link_rule broker_rules[] = {
	{ AB_DONE, 0, step_on_model_done },
	{ AB_TURN_ENDED, 0, on_turn_ended },
	{ AB_ATTEMPTED, 0, step_on_attempted },
	{ AB_SECRET_BEGIN, 0, accesses_on_begin },
	{ AB_SECRET_ENDED, 0, accesses_on_ended },
	{ AB_SECRET_GET, 0, secrets_on_get },
};
static const struct link_rule executor_rules[] = {
	{ AE_DONE, 0, step_on_run_done },
	{ AE_TURN_ENDED, 0, on_turn_ended },
	{ AE_BUILT, 0, tools_on_built },
	{ AE_ARTEFACT_GET, 0, tools_on_artefact_get },
	{ AE_REBUILT, 0, tools_on_rebuilt },
};
static const struct link_rule audit_rules[] = {
	{ AA_UP, 0, audit_on_up },
};
#define RULES(r) .rules = r, .nrules = sizeof(r) / sizeof((r)[0])
static const struct link_ops gateway_ops = { RULES(gateway_rules), .on_closed = on_gateway_closed };
static const struct link_ops broker_ops = { RULES(broker_rules), .on_closed = on_peer_closed };
static const struct link_ops executor_ops = { RULES(executor_rules), .on_closed = on_peer_closed };
static const struct link_ops audit_ops = { RULES(audit_rules), .on_closed = on_peer_closed,
	.on_read = on_receipts };
static struct link_ops store_ops; /* its rules are in store_link.c */

static void
peer_init(struct authority *a, struct peer *p, enum proc proc, const struct wire_edge *edge,
    const struct link_ops *ops)
{
	*p = (struct peer){ .a = a, .proc = proc, .edge = edge, .ops = ops, .next_fd = -1 };
}

void
peers_init(struct authority *a)
{
	for (size_t i = 0; i < GATEWAYS_MAX; i++)
		a->gateways[i].a = a;
	peer_init(a, &a->audit, PROC_AUDIT, &aa_edge, &audit_ops);
	peer_init(a, &a->broker, PROC_BROKER, &ab_edge, &broker_ops);
	peer_init(a, &a->executor, PROC_EXECUTOR, &ae_edge, &executor_ops);
	peer_init(a, &a->store, PROC_STORE, &as_edge, &store_ops);
	store_ops = store_link_ops;
	store_ops.on_closed = on_peer_closed;
}

/* ---- gateways ---- */

static void
gateway_add(struct authority *a, uint32_t peer_id, uint32_t index, int fd)
{
	struct gateway *gw = NULL;
	struct status st;

	for (size_t i = 0; i < GATEWAYS_MAX && gw == NULL; i++) {
		if (a->gateways[i].link == NULL)
			gw = &a->gateways[i];
	}
	if (gw == NULL) {
		diag(DIAG_ERROR, "too many gateways");
		(void)close(fd);
		return;
	}
	*gw = (struct gateway){ .a = a, .peer_id = peer_id, .index = index };
	TAILQ_INIT(&gw->turns);
	st = link_new(a->d->loop, fd, &ga_edge, false, &gateway_ops, gw, &gw->link);
	if (!is_ok(st)) {
		gw->link = NULL;
		diag(DIAG_ERROR, "gateway link: %s", status_text(st));
		return;
	}
	link_set_peer(gw->link, peer_id);
}

bool
gateways_any(const struct authority *a)
{
	for (size_t i = 0; i < GATEWAYS_MAX; i++) {
		if (a->gateways[i].link != NULL && !a->gateways[i].dropped)
			return true;
	}
	return false;
}

static void
on_sweep(uv_timer_t *timer)
{
	struct authority *a = timer->data;

	for (size_t i = 0; i < GATEWAYS_MAX; i++) {
		if (a->gateways[i].link != NULL && a->gateways[i].dropped)
			gateway_gone(&a->gateways[i]);
	}
}

void
gateway_drop(struct gateway *gw, const char *why)
{
	if (gw->dropped || gw->link == NULL)
		return;
	diag(DIAG_WARN, "gateway %u (peer %u) dropped: %s", gw->index, gw->peer_id, why);
	daemon_metric_add(METRIC_LINK_DROPPED_PEERS, 1);
	gw->dropped = true;
	link_set_state(gw->link, LINK_DEAD);
	gw->a->sweep.data = gw->a;
	(void)uv_timer_start(&gw->a->sweep, on_sweep, 0, 0);
}

static void
gateway_gone(struct gateway *gw)
{
	struct link *l = gw->link;
	struct turn *t;

	if (l == NULL)
		return;
	gw->link = NULL;
	procs_gone(gw->a, gw->peer_id);
	admin_door_gateway_gone(gw);
	while ((t = TAILQ_FIRST(&gw->turns)) != NULL) {
		TAILQ_REMOVE(&gw->turns, t, of_gateway);
		gw->nturns--;
		t->gw = NULL;
		t->reply_type = 0;
		if (t->revoke_call == 0) /* else link_free() tells it */
			turn_end(t, ERROR_CANCELLED, AUDIT_PROCESS_DIED);
	}
	link_free(l);
}

static void
on_gateway_closed(struct link *l, struct status why, void *ctx)
{
	struct gateway *gw = ctx;

	(void)l;
	if (why.code == E_PROTO) {
		diag(DIAG_WARN, "gateway %u broke the protocol", gw->index);
		daemon_metric_add(METRIC_LINK_DROPPED_PEERS, 1);
	}
	gateway_gone(gw);
}

/* ---- the single ones ---- */

static void
peer_open(struct peer *p, uint32_t peer_id, int fd)
{
	struct status st = link_new(p->a->d->loop, fd, p->edge, true, p->ops, p, &p->link);

	if (!is_ok(st)) {
		p->link = NULL;
		diag(DIAG_ERROR, "%s link: %s", proc_names[p->proc], status_text(st));
		return;
	}
	p->peer_id = peer_id;
	link_set_peer(p->link, peer_id);
	if (p->proc == PROC_AUDIT)
		audit_on_link(p->a);
	if (p->proc == PROC_STORE)
		store_on_link(p->a);
}

/*
 * A new process took the place of an old one whose end of file may not have
 * been read yet: its calls must fail first, in their own time.
 */
static void
peer_add(struct peer *p, uint32_t peer_id, int fd)
{
	if (p->link == NULL) {
		peer_open(p, peer_id, fd);
		return;
	}
	if (p->next_fd >= 0)
		(void)close(p->next_fd);
	p->next_fd = fd;
	p->next_id = peer_id;
	link_pump(p->link);
}

static void
peer_gone(struct peer *p)
{
	struct link *l = p->link;

	if (l == NULL)
		return;
	p->link = NULL;
	procs_gone(p->a, p->peer_id);
	link_free(l);
	if (p->proc == PROC_AUDIT)
		audit_on_closed(p->a);
	if (p->proc == PROC_EXECUTOR)
		step_on_executor_gone(p->a);
	if (p->proc == PROC_STORE) {
		content_on_store_gone(p->a);
		grace_on_gone(p->a);
	}
	if (p->proc == PROC_BROKER) {
		step_on_broker_gone(p->a);
		secrets_on_broker_gone(p->a);
		accesses_on_broker_gone(p->a);
	}
}

static void
on_peer_closed(struct link *l, struct status why, void *ctx)
{
	struct peer *p = ctx;

	(void)l;
	diag(DIAG_WARN, "%s is away: %s", proc_names[p->proc], status_text(why));
	peer_gone(p);
	if (p->next_fd >= 0) {
		int fd = p->next_fd;

		p->next_fd = -1;
		peer_open(p, p->next_id, fd);
	}
}

/* The answer to a TURN_END that was sent without waiting for it. */
static void
on_turn_ended(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)msg, (void)ctx;
}

static void
on_receipts(struct link *l, void *ctx)
{
	const struct peer *p = ctx;

	(void)l;
	grants_flush(p->a);
}

void
peers_add(struct authority *a, enum edge edge, uint32_t peer_id, uint32_t index, int fd)
{
	if (edge == EDGE_GATEWAY_AUTHORITY)
		gateway_add(a, peer_id, index, fd);
	else if (edge == EDGE_AUTHORITY_BROKER)
		peer_add(&a->broker, peer_id, fd);
	else if (edge == EDGE_AUTHORITY_EXECUTOR)
		peer_add(&a->executor, peer_id, fd);
	else if (edge == EDGE_AUTHORITY_AUDIT)
		peer_add(&a->audit, peer_id, fd);
	else if (edge == EDGE_AUTHORITY_STORE)
		peer_add(&a->store, peer_id, fd);
	else {
		diag(DIAG_ERROR, "a link that is not ours");
		(void)close(fd);
	}
}
