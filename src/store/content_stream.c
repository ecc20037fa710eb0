/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content_stream.c: a gateway's streams, each with one operation on what is kept for a user.
 *
 * Runs in: store, jailed. Trusts: a grant of the authority; the gateway's bytes only when their
 * length and SHA-256 are the granted ones.
 * Owns: requests that come, answers that go, and their share of CONTENT_BODIES_MAX.
 * Invariants: nothing is done without a grant, and nothing twice; the authority hears how it
 * ended, after the commit, before the gateway hears anything.
 * See: wire/gateway_store.h, wire/grant.h; content.c.
 */
#include "content_stream.h"

#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>

#include <base/clock.h>
#include <crypto/hash.h>
#include <daemon/grants.h>

#include "privacy.h"

enum op_state {
	OP_COLLECTING, /* the request's bytes come */
	OP_SENDING,    /* the answer's bytes go */
	OP_OVER,       /* the stream's last word is awaited */
};

struct op {
	LIST_ENTRY(op) entry;
	struct stream *stream;
	struct held_grant grant;
	bool granted; /* `grant` is one, and its DONE is still owed */
	enum op_state state;
	struct grant_wait *wait; /* it is on its way */
	size_t unconsumed;       /* before it came: no credit was given back */
	bool ended;              /* the whole request is here */
	struct buf body;         /* the request, then the answer */
	size_t sent;             /* of the answer */
	size_t reserved;         /* of the bytes in memory */
};

struct gateway {
	LIST_ENTRY(gateway) entry;
	struct link *link;
};

static struct {
	struct daemon *d;
	struct db *db;
	struct link *authority; /* NULL: away */
	struct grants grants;
	LIST_HEAD(, op) ops;
	LIST_HEAD(, gateway) gateways;
	uint32_t ngateways;
	size_t bodies;
} self;

static void on_open(struct link *l, uint64_t id, const void *msg, void *ctx);
static void on_gateway_closed(struct link *l, struct status why, void *ctx);
static void take_grant(void *ctx, struct status st, const struct held_grant *grant);
static void on_data(struct stream *st, uint8_t channel, struct span data, void *ctx);
static void on_end(struct stream *st, void *ctx);
static void on_writable(struct stream *st, void *ctx);
static void on_closed(struct stream *st, struct status why, void *ctx);
static void operate(struct op *op);
static void answer(struct op *op);

static const struct link_rule gateway_rules[] = { { GS_OPEN, 0, on_open } };
static const struct link_ops gateway_ops = { gateway_rules, 1, on_gateway_closed };
static const struct stream_ops op_ops = {
	.on_data = on_data, .on_end = on_end, .on_writable = on_writable, .on_closed = on_closed
};

void
content_streams_init(struct daemon *d, struct db *db)
{
	self.d = d;
	self.db = db;
}

/* ---- links ---- */

void
content_gateway_connect(uint32_t peer_id, int fd)
{
	struct gateway *g = self.ngateways < CONTENT_GATEWAYS_MAX ? calloc(1, sizeof(*g)) : NULL;
	struct status st;

	if (g == NULL) {
		diag(DIAG_ERROR, "too many gateways");
		(void)close(fd);
		return;
	}
	st = link_new(self.d->loop, fd, &gs_edge, false, &gateway_ops, g, &g->link);
	if (!is_ok(st)) {
		diag(DIAG_ERROR, "gateway's link: %s", status_text(st));
		free(g);
		return;
	}
	link_set_peer(g->link, peer_id);
	LIST_INSERT_HEAD(&self.gateways, g, entry);
	self.ngateways++;
}

static void
on_gateway_closed(struct link *l, struct status why, void *ctx)
{
	struct gateway *g = ctx;

	if (why.code == E_PROTO) {
		diag(DIAG_ERROR, "gateway %u dropped: %s", link_peer(l), status_text(why));
		daemon_metric_add(METRIC_LINK_DROPPED_PEERS, 1);
	}
	LIST_REMOVE(g, entry);
	self.ngateways--;
	link_free(l);
	free(g);
}

/* ---- the authority ---- */

static void fail_op(struct op *op, enum error error);

/* Those that wait to be done; what is done is only being told. */
static void
end_ops(bool all, uint64_t turn)
{
	struct op *op, *next;

	for (op = LIST_FIRST(&self.ops); op != NULL; op = next) {
		next = LIST_NEXT(op, entry);
		if (op->state == OP_COLLECTING && (all || (op->granted && op->grant.turn == turn)))
			fail_op(op, all ? ERROR_UNAVAILABLE : ERROR_CANCELLED);
	}
}

void
content_authority_connect(struct link *l)
{
	self.authority = NULL;
	grants_forget_all(&self.grants);
	end_ops(true, 0);
	self.authority = l;
}

void
content_authority_closed(struct link *l)
{
	if (self.authority == l)
		content_authority_connect(NULL);
}

void
content_on_grant(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct status st = fail(E_CLOSED);

	(void)id, (void)ctx;
	if (l == self.authority)
		st = grants_add(&self.grants, msg, uv_now(self.d->loop));
	if (!is_ok(st))
		diag(DIAG_WARN, "grant not kept: %s", status_text(st));
}

void
content_on_turn_end(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct turn_ref *m = msg;

	(void)ctx;
	grants_forget_turn(&self.grants, m->turn);
	end_ops(false, m->turn);
	if (!is_ok(link_send(l, id, AS_TURN_ENDED, m)))
		diag(DIAG_WARN, "a turn's end could not be told");
}

static void
report(struct op *op, enum error error, const struct content_done *done)
{
	struct as_content_done m = { .turn = op->grant.turn, .error = (uint16_t)error };

	if (!op->granted || self.authority == NULL)
		return;
	op->granted = false;
	if (done != NULL) {
		m.size_bytes = done->size;
		m.items = done->items;
	}
	memcpy(m.grant, op->grant.id, sizeof(m.grant));
	if (!is_ok(link_send(self.authority, 0, AS_CONTENT_DONE, &m)))
		diag(DIAG_WARN, "an outcome could not be told");
	link_flush(self.authority);
}

/* ---- a request comes ---- */

static bool
is_ready(void)
{
	return self.authority != NULL && !self.d->draining;
}

static struct op *
op_new(struct link *l, uint64_t id, uint32_t body_len)
{
	struct op *op = calloc(1, sizeof(*op));

	if (op == NULL)
		return NULL;
	if (!is_ok(stream_accept(l, id, &op_ops, op, &op->stream))) {
		free(op);
		return NULL;
	}
	op->body = BUF_INIT(body_len);
	LIST_INSERT_HEAD(&self.ops, op, entry);
	return op;
}

static void
on_open(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct gs_open *m = msg;
	struct grant_claim claim = { .gateway = link_peer(l), .body_len = m->body_len };
	struct held_grant grant = { .turn = 0 };
	struct status st;
	struct op *op;

	(void)ctx;
	memcpy(claim.id, m->grant, sizeof(claim.id));
	st = grants_claim(&self.grants, self.authority, self.d->loop, &claim, &grant);
	op = op_new(l, id, m->body_len);
	if (op == NULL)
		return; /* the link cancels the stream; the grant's turn ends by time */
	if (st.code != E_NOTFOUND || !is_ready())
		take_grant(op, st, &grant);
	else if (!is_ok(
		     grants_await(&self.grants, self.d->loop, &claim, take_grant, op, &op->wait)))
		fail_op(op, ERROR_OVERLOADED);
}

/* At once, or after a wait for it. The authority hears what became of every grant of ours. */
static void
take_grant(void *ctx, struct status st, const struct held_grant *grant)
{
	struct op *op = ctx;

	op->wait = NULL;
	if (is_ok(st) || st.code == E_RANGE) {
		op->grant = *grant;
		op->granted = true;
	}
	if (!is_ready()) {
		fail_op(op, ERROR_UNAVAILABLE);
		return;
	}
	if (!is_ok(st)) {
		daemon_metric_add(METRIC_GRANTS_REFUSED, 1);
		fail_op(op, ERROR_GRANT);
		return;
	}
	daemon_metric_add(METRIC_GRANTS, 1);
	stream_consumed(op->stream, op->unconsumed);
	if (op->ended)
		operate(op);
}

static void
on_data(struct stream *st, uint8_t channel, struct span data, void *ctx)
{
	struct op *op = ctx;

	if (op->wait == NULL)
		stream_consumed(st, data.len);
	else
		op->unconsumed += data.len;
	if (op->state == OP_OVER)
		return;
	if (op->state != OP_COLLECTING || op->ended || channel != 0)
		fail_op(op, ERROR_GRANT);
	else if (data.len > CONTENT_BODIES_MAX - self.bodies)
		fail_op(op, ERROR_OVERLOADED);
	else if (!is_ok(buf_put_span(&op->body, data)))
		fail_op(op, ERROR_GRANT);
	else {
		op->reserved += data.len;
		self.bodies += data.len;
	}
}

static void
on_end(struct stream *st, void *ctx)
{
	struct op *op = ctx;

	(void)st;
	op->ended = true;
	if (op->state == OP_COLLECTING && op->wait == NULL)
		operate(op);
}

static void
drop_body(struct op *op)
{
	buf_done(&op->body);
	self.bodies -= op->reserved;
	op->reserved = 0;
}

/* ---- it is done ---- */

static bool
is_granted(const struct op *op)
{
	uint8_t digest[SHA256_LEN];

	if (op->grant.kind == GRANT_CONTENT && op->body.len == op->grant.body_len &&
	    is_ok(sha256(buf_span(&op->body), digest)) &&
	    memcmp(digest, op->grant.digest, sizeof(digest)) == 0)
		return true;
	daemon_metric_add(METRIC_GRANTS_REFUSED, 1);
	return false;
}

/* The encoded answer takes the request's place. */
static struct status
do_it(struct op *op, struct arena *arena, struct content_done *done)
{
	struct buf out = BUF_INIT(CONTENT_BLOB_MAX + CONTENT_META_MAX + CONTENT_ANSWER_HEAD);
	struct content_request req = { .limit = 0 };
	struct content_answer ret;
	const struct content_call call = { .op = op->grant.content_op,
		.kind = op->grant.content_kind,
		.masked = op->grant.masked != 0,
		.tenant = span_str(op->grant.tenant),
		.user = span_str(op->grant.user),
		.target = span_str(op->grant.target),
		.req = &req,
		.now_s = clock_real_ns() / NS_PER_S };
	struct status st = wire_decode(&content_request_table, buf_span(&op->body), arena, &req);

	if (is_ok(st))
		st = content_do(self.db, &call, arena, &ret, done);
	if (is_ok(st) && done->hidden)
		privacy_sweep_soon();
	if (is_ok(st))
		st = wire_encode(&content_answer_table, &ret, &out);
	drop_body(op);
	op->body = out;
	op->reserved = out.len;
	self.bodies += out.len;
	return st;
}

static void
operate(struct op *op)
{
	struct arena arena = ARENA_INIT(CONTENT_ARENA_MAX);
	struct content_done done = { .items = 0 };
	struct status st;

	if (!is_granted(op)) {
		fail_op(op, ERROR_GRANT);
		return;
	}
	/* A file, or all of a conversation, may be as much again. */
	if (CONTENT_BODIES_MAX - self.bodies < CONTENT_BLOB_MAX) {
		fail_op(op, ERROR_OVERLOADED);
		return;
	}
	st = do_it(op, &arena, &done);
	arena_wipe(&arena);
	arena_done(&arena);
	if (!is_ok(st)) {
		if (content_error(st) == ERROR_INTERNAL || st.code == E_SYS)
			diag(DIAG_ERROR, "content: %s %s: %s",
			    content_op_names[op->grant.content_op],
			    content_kind_names[op->grant.content_kind], status_text(st));
		fail_op(op, content_error(st));
		return;
	}
	daemon_metric_add(METRIC_CONTENT_OPERATIONS, 1);
	report(op, ERROR_NONE, &done);
	op->state = OP_SENDING;
	answer(op);
}

static void
fail_op(struct op *op, enum error error)
{
	const struct gs_failed m = { .error = (uint16_t)error };

	grant_wait_cancel(op->wait);
	op->wait = NULL;
	report(op, error, NULL);
	op->state = OP_OVER;
	drop_body(op);
	/* A full link fails by itself, and its streams with it. */
	(void)!is_ok(stream_send(op->stream, GS_FAILED, &m));
	stream_end(op->stream);
}

/* ---- the answer goes ---- */

static void
answer(struct op *op)
{
	const struct gs_result m = { .answer_len = (uint32_t)op->body.len };

	while (op->sent < op->body.len) {
		size_t taken = 0;

		(void)!is_ok(
		    stream_write(op->stream, 0, span_from(buf_span(&op->body), op->sent), &taken));
		if (taken == 0)
			return; /* on_writable goes on */
		op->sent += taken;
	}
	op->state = OP_OVER;
	drop_body(op);
	(void)!is_ok(stream_send(op->stream, GS_RESULT, &m));
	stream_end(op->stream);
}

static void
on_writable(struct stream *st, void *ctx)
{
	struct op *op = ctx;

	(void)st;
	if (op->state == OP_SENDING)
		answer(op);
}

/* The gateway left, or all is said. What was granted and is not done, is not done any more. */
static void
on_closed(struct stream *st, struct status why, void *ctx)
{
	struct op *op = ctx;

	(void)st, (void)why;
	grant_wait_cancel(op->wait);
	report(op, ERROR_CANCELLED, NULL);
	drop_body(op);
	LIST_REMOVE(op, entry);
	free(op);
}
