/* SPDX-License-Identifier: Apache-2.0 */
/*
 * receive.c: what comes to a link: frames, checked against the edge's table, to
 * the call, stream or rule that they belong to.
 *
 * Runs in: every process. Trusts: nothing that the peer sends: kinds, lengths,
 * types, directions, states and descriptors are checked, and a peer that breaks
 * one of them is dropped (E_PROTO).
 * Owns: received bytes and descriptors until a handler takes them.
 * Invariants: handlers see whole, decoded messages only; dispatch is not entered
 * twice for one link.
 * See: internal.h for the frame; link/wire.h.
 */
#include "internal.h"

#include <unistd.h>

#define LINK_READS_PER_TURN 8

static void dispatch(struct link *l);

static uint64_t
get_be(const uint8_t *p, size_t len)
{
	uint64_t v = 0;

	for (size_t i = 0; i < len; i++)
		v = v << 8 | p[i];
	return v;
}

/*
 * One read, or `drain`: until nothing is left. A read that did not fill the buffer
 * took all there was; what comes later wakes the level-triggered poll again.
 */
void
link_read_some(struct link *l, bool drain)
{
	if (l->dispatching)
		return;
	for (int i = 0; i < LINK_READS_PER_TURN && !l->failed && !l->freed; i++) {
		size_t got = l->in.len;
		struct status st = l->transport.ops->read(
		    &l->transport, &l->in, l->in_fds, LINK_IN_FDS_MAX, &l->nin_fds);

		if (st.code == E_AGAIN)
			return;
		if (!is_ok(st)) {
			link_fail(l, st.code == E_EOF || st.code == E_SYS ? link_closed(st) : st);
			return;
		}
		got = l->in.len - got;
		dispatch(l);
		if (got < TRANSPORT_READ_LEN && !drain)
			return;
	}
}

void
link_pump(struct link *l)
{
	if (l != NULL && !l->failed && !l->freed)
		link_read_some(l, true);
}

int
link_take_fd(struct link *l)
{
	if (l->next_msg_fd >= l->nmsg_fds)
		return -1;
	return l->msg_fds[l->next_msg_fd++];
}

static struct status
frame_fds(struct link *l, uint8_t n)
{
	if (n > LINK_FDS_MAX || n > l->nin_fds)
		return fail(E_PROTO);
	memcpy(l->msg_fds, l->in_fds, n * sizeof(int));
	l->nin_fds -= n;
	memmove(l->in_fds, l->in_fds + n, l->nin_fds * sizeof(int));
	l->nmsg_fds = n;
	l->next_msg_fd = 0;
	return OK;
}

static const struct link_rule *
rule_find(const struct link *l, uint16_t type)
{
	for (size_t i = 0; i < l->ops->nrules; i++) {
		if (l->ops->rules[i].type == type)
			return &l->ops->rules[i];
	}
	return NULL;
}

static struct status
dispatch_rule(struct link *l, const struct frame *f, const void *msg)
{
	const struct link_rule *r = rule_find(l, f->type);
	bool ours = f->id != 0 && (f->id & 1) == (l->a_end ? 1U : 0U);

	if (r == NULL)
		return ours ? OK : fail(E_PROTO); /* a reply that came too late is no fault */
	if (r->states != 0 && (r->states & l->states) == 0)
		return fail(E_PROTO);
	r->fn(l, f->id, msg, l->ctx);
	if (!l->freed && l->edge->streams && !ours && f->id != 0 && stream_find(l, f->id) == NULL) {
		const struct frame refuse = { .kind = FRAME_CANCEL, .id = f->id };

		return link_queue(l, &refuse, SPAN_EMPTY, NULL, 0);
	}
	return OK;
}

static struct status
dispatch_msg(struct link *l, const struct frame *f, struct span payload)
{
	const struct wire_msg *m;
	struct call *c = link_call_find(l, f->id);
	struct stream *s = stream_find(l, f->id);
	void *msg;

	if (f->type >= l->edge->nmsgs || l->edge->msgs[f->type].name == NULL)
		return fail(E_PROTO);
	m = &l->edge->msgs[f->type];
	if ((m->dir & (l->a_end ? WIRE_B_TO_A : WIRE_A_TO_B)) == 0)
		return fail(E_PROTO);
	if (l->edge->secrets)
		arena_wipe(&l->arena);
	else
		arena_reset(&l->arena);
	msg = arena_alloc(&l->arena, m->table.size);
	if (msg == NULL)
		return fail(E_NOMEM);
	TRY(wire_decode(&m->table, payload, &l->arena, msg));
	if (c != NULL) {
		link_reply *cb = c->cb;
		void *ctx = c->ctx;

		link_call_cancel(l, c->id);
		cb(l, OK, f->type, msg, ctx);
		return OK;
	}
	if (s != NULL) {
		stream_on_msg(s, f->type, msg);
		return OK;
	}
	return dispatch_rule(l, f, msg);
}

static struct status
dispatch_frame(struct link *l, const struct frame *f, struct span payload)
{
	struct status st;

	TRY(frame_fds(l, f->nfds));
	if (f->kind == FRAME_MSG)
		st = dispatch_msg(l, f, payload);
	else
		st = l->edge->streams ? stream_on_frame(l, f, payload) : fail(E_PROTO);
	for (size_t i = l->next_msg_fd; i < l->nmsg_fds; i++)
		(void)close(l->msg_fds[i]);
	l->nmsg_fds = l->next_msg_fd = 0;
	return st;
}

static bool
next_frame(struct link *l, struct frame *f, struct span *payload)
{
	struct span rest = span_from(buf_span(&l->in), l->in_off);

	if (rest.len < FRAME_HEAD_LEN)
		return false;
	*f = (struct frame){ .len = (uint32_t)get_be(rest.ptr, 4),
		.kind = rest.ptr[4],
		.nfds = rest.ptr[5],
		.type = (uint16_t)get_be(rest.ptr + 6, 2),
		.id = get_be(rest.ptr + 8, 8) };
	if (f->len > WIRE_PAYLOAD_MAX || f->kind == 0 || f->kind >= FRAME_KIND_COUNT) {
		link_fail(l, fail(E_PROTO));
		return false;
	}
	if (rest.len - FRAME_HEAD_LEN < f->len)
		return false;
	*payload = span_of(rest.ptr + FRAME_HEAD_LEN, f->len);
	l->in_off += FRAME_HEAD_LEN + f->len;
	return true;
}

static void
dispatch(struct link *l)
{
	struct frame f;
	struct span payload;

	l->dispatching = true;
	while (!l->failed && !l->freed && next_frame(l, &f, &payload)) {
		struct status st = dispatch_frame(l, &f, payload);

		if (!is_ok(st))
			link_fail(l, st);
	}
	l->dispatching = false;
	link_drop(l, &l->in, l->in_off);
	if (l->edge->secrets)
		arena_wipe(&l->arena);
	l->in_off = 0;
	if (!l->failed && !l->freed && l->ops->on_read != NULL)
		l->ops->on_read(l, l->ctx);
}
