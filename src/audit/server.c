/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server.c: group commit between the links and the log.
 *
 * Runs in: audit, jailed. Trusts: no record before record_check(); a peer's
 * name and id come from the edge. Owns: its peers, the replies that wait.
 * Invariants: a receipt leaves after the fdatasync that covers it; a batch is in
 * the log whole or not at all; when a link closes its open intents get outcome
 * unknown, so intents and outcomes balance.
 * See: server.h; wire/authority_audit.h.
 */
#include "server.h"

#include <assert.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <daemon/daemon.h>

#include "reading.h"
#include "state.h"

#define ORPHANS_A_TIME 256U

static void on_append(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_read(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_rotate(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_closed(struct link *l, struct status why, void *ctx);
static void on_check(uv_check_t *handle);
static void on_timer(uv_timer_t *handle);
static void commit(struct server *s);
static void dead_tell(struct server *s, struct status why);
static struct status orphans_close(struct server *s);
static void state_write(struct server *s, bool now);

static const struct link_rule rules[] = {
	{ AA_APPEND, 0, on_append },
	{ AA_READ, 0, on_read },
	{ AA_ROTATE, 0, on_rotate },
};
static const struct link_ops ops = {
	.rules = rules,
	.nrules = sizeof(rules) / sizeof(rules[0]),
	.on_closed = on_closed,
};

/* ---- life ---- */

struct status
server_init(struct server *s, uv_loop_t *loop, struct log *log, const struct server_hooks *hooks,
    uint32_t id, uint32_t config)
{
	*s =
	    (struct server){ .log = log, .hooks = hooks, .id = id, .config = config, .loop = loop };
	s->control = (struct server_peer){ .server = s, .name = "supervisor" };
	s->control.owner = ++s->next_owner;
	TAILQ_INIT(&s->peers);
	s->replies = calloc(SERVER_REPLIES_MAX, sizeof(s->replies[0]));
	if (s->replies == NULL)
		return fail(E_NOMEM);
	(void)uv_check_init(loop, &s->check);
	(void)uv_timer_init(loop, &s->timer);
	s->check.data = s->timer.data = s;
	(void)uv_check_start(&s->check, on_check);
	(void)uv_timer_start(&s->timer, on_timer, SERVER_CHECKPOINT_MS, SERVER_CHECKPOINT_MS);
	uv_unref((uv_handle_t *)&s->check);
	uv_unref((uv_handle_t *)&s->timer);
	return OK;
}

void
server_done(struct server *s)
{
	struct server_peer *p;

	while ((p = TAILQ_FIRST(&s->peers)) != NULL) {
		TAILQ_REMOVE(&s->peers, p, next);
		link_free(p->link);
		free(p);
	}
	uv_close((uv_handle_t *)&s->check, NULL);
	uv_close((uv_handle_t *)&s->timer, NULL);
	free(s->replies);
	s->replies = NULL;
}

/* A record of our own; it has passed log_admit(). */
static void
append_own(struct server *s, struct audit_rec *r, bool more)
{
	const struct record_sender from = { .name = "audit", .id = s->id };

	r->config = s->config;
	r->proc_seq = ++s->own_seq;
	log_append(s->log, r, &from, 0, more);
}

static struct status
commit_own(struct server *s)
{
	struct status st = log_commit(s->log);

	if (is_ok(st))
		s->own_durable = s->own_seq;
	else
		s->own_seq = s->own_durable;
	return st;
}

struct status
server_own(struct server *s, struct audit_rec *r)
{
	TRY(log_admit(s->log, r, 1, 0));
	append_own(s, r, false);
	return commit_own(s);
}

static struct status
opened_append(struct server *s)
{
	struct log *l = s->log;
	const struct audit_value torn[] = { { AUDIT_V_U64, l->torn_size, SPAN_EMPTY },
		{ AUDIT_V_U64, l->torn_bytes, SPAN_EMPTY } };
	const struct audit_value opened[] = { { AUDIT_V_U64, l->now.size, SPAN_EMPTY },
		{ AUDIT_V_STR, 0, span_str(l->origin) } };
	struct audit_rec recs[] = {
		{ .event = EVENT_LOG_REPAIRED, .outcome = AUDIT_SUCCESS, .values = { torn, 2 } },
		{ .event = EVENT_LOG_OPENED, .outcome = AUDIT_SUCCESS, .values = { opened, 2 } },
	};

	TRY(log_admit(l, recs, 2, 0));
	if (l->repaired)
		append_own(s, &recs[0], true);
	append_own(s, &recs[1], false);
	return commit_own(s);
}

struct status
server_start(struct server *s)
{
	TRY(opened_append(s));
	TRY(server_sync(s));
	return s->log->repaired ? log_repair_done(s->log) : OK;
}

struct status
server_peer_add(struct server *s, uint32_t peer_id, int fd)
{
	const struct wire_none none = { 0 };
	struct server_peer *p;
	struct status st;

	if (s->npeers == SERVER_PEERS_MAX) {
		(void)close(fd);
		return fail(E_FULL);
	}
	p = calloc(1, sizeof(*p));
	if (p == NULL) {
		(void)close(fd);
		return fail(E_NOMEM);
	}
	*p = (struct server_peer){
		.server = s, .name = "authority", .id = peer_id, .owner = ++s->next_owner
	};
	st = link_new(s->loop, fd, &aa_edge, false, &ops, p, &p->link);
	if (!is_ok(st)) {
		free(p);
		return st;
	}
	link_set_peer(p->link, peer_id);
	p->bad = !is_ok(link_send(p->link, 0, AA_UP, &none));
	TAILQ_INSERT_TAIL(&s->peers, p, next);
	s->npeers++;
	return OK;
}

/* ---- appending ---- */

/* How many records of this sender's count the log does not have. */
static struct status
missed_before(const struct server *s, const struct server_peer *p, uint64_t proc_seq, uint64_t *ret)
{
	uint64_t expected = p->last + 1;

	if (p->last > 0) {
		if (proc_seq < expected)
			return fail(E_PROTO);
		*ret = proc_seq - expected;
		return OK;
	}
	/* The first over this link: of a new process, or of one that outlived the last link. */
	for (uint32_t i = 0; i < s->log->senders.n; i++) {
		const struct log_sender *known = &s->log->senders.rows[i];

		if (known->id == p->id && strcmp(known->name, p->name) == 0)
			expected = known->seq + 1;
	}
	*ret = proc_seq != 1 && proc_seq > expected ? proc_seq - expected : 0;
	return OK;
}

static struct status
batch_check(const struct server *s, const struct audit_rec *recs, uint32_t count)
{
	bool anonymous = true;

	for (uint32_t i = 0; i < count; i++) {
		if (i > 0 && recs[i].proc_seq != recs[i - 1].proc_seq + 1)
			return fail(E_PROTO);
		TRY(record_check(&recs[i]));
		anonymous = anonymous && record_is_anonymous(&recs[i]);
	}
	return anonymous && s->log->low ? fail(E_FULL) : OK;
}

static struct status
batch_append(struct server *s, struct server_peer *p, uint64_t id, const struct audit_rec *recs,
    uint32_t count)
{
	struct record_sender from = { .name = p->name, .id = p->id };

	TRY(batch_check(s, recs, count));
	TRY(missed_before(s, p, recs[0].proc_seq, &from.missed));
	TRY(log_usable(s->log));
	TRY(log_admit(s->log, recs, count, p->owner));
	s->replies[s->nreplies++] = (struct server_reply){ p, id, s->log->now.size + 1, count };
	for (uint32_t i = 0; i < count; i++) {
		log_append(s->log, &recs[i], &from, p->owner, i + 1 < count);
		from.missed = 0;
	}
	p->last = recs[count - 1].proc_seq;
	return OK;
}

static void
batch_take(struct server *s, struct server_peer *p, uint64_t id, const struct audit_rec *recs,
    uint32_t count)
{
	struct status st;

	if (s->nreplies == SERVER_REPLIES_MAX || s->log->batch.len > LOG_BATCH_SOFT)
		commit(s);
	st = batch_append(s, p, id, recs, count);
	if (is_ok(st))
		return;
	daemon_metric_add(METRIC_AUDIT_REFUSED, 1);
	if (p->link == NULL) {
		s->hooks->on_recorded(s, id, 0, false);
		return;
	}
	p->bad = p->bad || st.code == E_PROTO;
	if (!p->bad) {
		const struct aa_refused refused = { .code = st.code };

		/* A peer that does not read its answers is dropped. */
		p->bad = !is_ok(link_send(p->link, id, AA_REFUSED, &refused));
	}
}

static void
on_append(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct server_peer *p = ctx;
	const struct aa_append *m = msg;

	(void)l;
	if (!p->bad)
		batch_take(p->server, p, id, m->records.items, m->records.count);
}

/* The answer is written when the new key signs; appends of this turn wait as for a commit. */
static void
on_rotate(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	auto_buf struct buf key = BUF_INIT(AUDIT_STR_MAX);
	struct server_peer *p = ctx;
	struct server *s = p->server;
	struct aa_rotated m = { 0 };
	struct status st;

	(void)l, (void)msg;
	if (p->bad)
		return;
	st = s->hooks->on_rotate(s, &m.seq);
	if (is_ok(st))
		st = note_verifier_put(&s->log->name, &key);
	if (is_ok(st)) {
		m.version = s->log->key_version;
		m.key = buf_span(&key);
		st = link_send(p->link, id, AA_ROTATED, &m);
	} else {
		const struct aa_refused refused = { .code = st.code };

		diag(DIAG_ERROR, "no new signing key: %s", status_text(st));
		st = link_send(p->link, id, AA_REFUSED, &refused);
	}
	p->bad = p->bad || !is_ok(st);
	if (s->log->dead)
		dead_tell(s, fail(E_SYS));
}

void
server_record(struct server *s, uint64_t id, const struct audit_rec *r)
{
	batch_take(s, &s->control, id, r, 1);
}

/* ---- reading ---- */

static void
on_read(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct server_peer *p = ctx;
	struct aa_page page = { 0 };
	struct status st;

	if (p->bad)
		return;
	st = reading_page(p->server->log, msg, &page);
	if (!is_ok(st))
		page = (struct aa_page){ .code = st.code };
	p->bad = !is_ok(link_send(l, id, AA_PAGE, &page));
}

/* ---- committing ---- */

static void
reply_send(struct server *s, const struct server_reply *r, struct status st)
{
	const struct aa_receipt receipt = { .first_seq = r->first_seq, .count = r->count };
	const struct aa_refused refused = { .code = st.code };
	struct server_peer *p = r->peer;

	if (p->link == NULL) {
		s->hooks->on_recorded(s, r->id, r->first_seq, is_ok(st));
		return;
	}
	if (is_ok(st))
		st = link_send(p->link, r->id, AA_RECEIPT, &receipt);
	else
		st = link_send(p->link, r->id, AA_REFUSED, &refused);
	p->bad = p->bad || !is_ok(st);
}

static void
count_settle(struct server *s, bool durable)
{
	struct server_peer *p;

	TAILQ_FOREACH(p, &s->peers, next)
	{
		if (durable)
			p->durable = p->last;
		else
			p->last = p->durable;
	}
	if (durable)
		s->control.durable = s->control.last;
	else
		s->control.last = s->control.durable;
}

static void
dead_tell(struct server *s, struct status why)
{
	if (s->told_dead)
		return;
	s->told_dead = true;
	s->hooks->on_dead(s, why);
}

static void
commit(struct server *s)
{
	uint64_t before = s->log->durable.size;
	uint32_t n = s->nreplies;
	struct server_peer *p;
	struct status st;

	if (s->log->batch.len == 0 && n == 0)
		return;
	st = log_commit(s->log);
	count_settle(s, is_ok(st));
	for (uint32_t i = 0; i < n; i++)
		reply_send(s, &s->replies[i], st);
	s->nreplies = 0;
	TAILQ_FOREACH(p, &s->peers, next)
	link_flush(p->link);
	if (is_ok(st)) {
		daemon_metric_add(METRIC_AUDIT_RECORDS, (int64_t)(s->log->durable.size - before));
		daemon_metric_add(METRIC_AUDIT_SYNCS, 1);
		daemon_metric_set(METRIC_AUDIT_SIZE, s->log->durable.size);
	} else {
		daemon_metric_add(METRIC_AUDIT_REFUSED, n);
	}
	if (s->log->dead)
		dead_tell(s, st);
}

/* ---- closing what others left open ---- */

static struct status
orphan_append(struct server *s, const struct intent *i)
{
	const struct audit_value type = { AUDIT_V_STR, 0, span_str(audit_events[i->event].name) };
	struct audit_rec r = { .event = EVENT_INTENT_CLOSED,
		.phase = AUDIT_PHASE_OUTCOME,
		.outcome = AUDIT_UNKNOWN,
		.cause = i->cause,
		.intent_seq = i->seq,
		.values = { &type, 1 } };

	memcpy(r.request_id, i->request_id, sizeof(r.request_id));
	memcpy(r.subject, i->subject, sizeof(r.subject));
	memcpy(r.key, i->key, sizeof(r.key));
	TRY(log_admit(s->log, &r, 1, 0));
	append_own(s, &r, false);
	return OK;
}

/* Nobody's intents get their outcome, durable. What fails is tried again by the timer. */
static struct status
orphans_close(struct server *s)
{
	struct intent some[ORPHANS_A_TIME];
	uint32_t n;

	while ((n = intents_orphans(&s->log->intents, some, ORPHANS_A_TIME)) > 0) {
		for (uint32_t i = 0; i < n; i++)
			TRY(orphan_append(s, &some[i]));
		TRY(commit_own(s));
	}
	return OK;
}

static void
on_closed(struct link *l, struct status why, void *ctx)
{
	struct server_peer *p = ctx;
	struct server *s = p->server;

	if (why.code == E_PROTO) {
		diag(DIAG_ERROR, "authority %u broke the protocol: link dropped", p->id);
		daemon_metric_add(METRIC_LINK_DROPPED_PEERS, 1);
	}
	commit(s); /* replies must not outlive their peer */
	intents_orphan(&s->log->intents, p->owner, AUDIT_PROCESS_DIED);
	TAILQ_REMOVE(&s->peers, p, next);
	s->npeers--;
	link_free(l);
	free(p);
	if (!is_ok(orphans_close(s)) && s->log->dead)
		dead_tell(s, fail(E_SYS));
	if (s->npeers == 0)
		s->hooks->on_idle(s);
}

static void
on_check(uv_check_t *handle)
{
	struct server *s = handle->data;
	struct server_peer *p, *next;

	commit(s);
	for (p = TAILQ_FIRST(&s->peers); p != NULL; p = next) {
		next = TAILQ_NEXT(p, next);
		if (p->bad)
			on_closed(p->link, fail(E_PROTO), p);
	}
}

/* Before on_head, behind which a key that was replaced is gone. The log is whole without it. */
static void
state_write(struct server *s, bool now)
{
	struct status st = state_keep(s->log, now);

	if (!is_ok(st) && !s->state_fails)
		diag(DIAG_WARN, "the log's state is not written, the next start may be slow: %s",
		    status_text(st));
	s->state_fails = !is_ok(st);
}

struct status
server_end(struct server *s)
{
	TRY(server_sync(s));
	state_write(s, true);
	return OK;
}

struct status
server_sync(struct server *s)
{
	uint64_t before = s->log->signed_size;

	commit(s);
	TRY(orphans_close(s));
	TRY(log_checkpoint(s->log));
	state_write(s, false);
	if (s->log->signed_size != before)
		s->hooks->on_head(s, s->log->signed_size, buf_span(&s->log->note));
	return OK;
}

static void
on_timer(uv_timer_t *handle)
{
	struct server *s = handle->data;
	struct status st = server_sync(s);

	if (is_ok(st))
		return;
	diag(DIAG_ERROR, "checkpoint: %s", status_text(st));
	if (s->log->dead)
		dead_tell(s, st);
}
