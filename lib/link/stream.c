/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.c: streams with credits inside a link, for the two data edges.
 *
 * Runs in: gateway, broker, executor. Trusts: nothing that the peer sends: more
 * bytes than the credit allows, or bytes after an end, drop the peer.
 * Owns: the link's table of streams.
 * Invariants: a sender has at most LINK_STREAM_CREDIT unconsumed bytes under
 * way; on_closed runs once; a frame for a stream that is gone is ignored, since
 * it may have crossed our cancel.
 * See: link/link.h.
 */
#include "internal.h"

#include <assert.h>
#include <stdlib.h>

#define CREDIT_BATCH (LINK_STREAM_CREDIT / 4) /* give credit back in steps of this */

static void unstarve(struct stream *s);
static void on_data(struct stream *s, const struct frame *f, struct span payload);
static void on_end(struct stream *s);
static struct status on_credit(struct stream *s, struct span payload);

struct stream *
stream_find(struct link *l, uint64_t id)
{
	struct stream *s;

	LIST_FOREACH(s, &l->streams[(id >> 1) % LINK_BUCKETS], in_bucket)
	{
		if (s->id == id)
			return s;
	}
	return NULL;
}

static struct status
stream_new(
    struct link *l, uint64_t id, const struct stream_ops *ops, void *ctx, struct stream **ret)
{
	struct stream *s;

	if (l->nstreams >= LINK_STREAMS_MAX)
		return fail(E_FULL);
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return fail(E_NOMEM);
	s->link = l;
	s->id = id;
	s->ops = ops;
	s->ctx = ctx;
	s->credit = LINK_STREAM_CREDIT;
	LIST_INSERT_HEAD(&l->streams[(id >> 1) % LINK_BUCKETS], s, in_bucket);
	TAILQ_INSERT_TAIL(&l->streams_in_order, s, in_order);
	l->nstreams++;
	*ret = s;
	return OK;
}

static void
stream_remove(struct stream *s)
{
	unstarve(s);
	LIST_REMOVE(s, in_bucket);
	TAILQ_REMOVE(&s->link->streams_in_order, s, in_order);
	s->link->nstreams--;
}

/* The owner's last call, then the memory goes. */
static void
stream_close(struct stream *s, struct status why)
{
	stream_remove(s);
	if (s->ops->on_closed != NULL)
		s->ops->on_closed(s, why, s->ctx);
	free(s);
}

struct status
stream_open(struct link *l, uint16_t type, const void *msg, const struct stream_ops *ops, void *ctx,
    struct stream **ret)
{
	uint64_t id = link_new_id(l);
	struct stream *s;
	struct status st;

	assert(l->edge->streams && l->a_end);
	TRY(stream_new(l, id, ops, ctx, &s));
	st = link_queue_msg(l, id, type, msg, NULL, 0);
	if (!is_ok(st)) {
		stream_remove(s);
		free(s);
		return st;
	}
	*ret = s;
	return OK;
}

struct status
stream_accept(
    struct link *l, uint64_t id, const struct stream_ops *ops, void *ctx, struct stream **ret)
{
	assert(l->edge->streams && !l->a_end);
	if ((id & 1) == 0)
		return fail(E_PROTO);
	return stream_new(l, id, ops, ctx, ret);
}

struct status
stream_send(struct stream *s, uint16_t type, const void *msg)
{
	return link_queue_msg(s->link, s->id, type, msg, NULL, 0);
}

/* Nobody overtakes those who wait for the queue, but for the one that is being woken. */
static bool
must_wait(const struct stream *s)
{
	const struct link *l = s->link;

	return link_queued(l) > LINK_QUEUE_MAX / 2 || (l->nstarved > 0 && !l->waking);
}

static void
starve(struct stream *s)
{
	if (s->starved)
		return;
	s->starved = true;
	TAILQ_INSERT_TAIL(&s->link->starved, s, in_starved);
	s->link->nstarved++;
}

static void
unstarve(struct stream *s)
{
	if (!s->starved)
		return;
	s->starved = false;
	TAILQ_REMOVE(&s->link->starved, s, in_starved);
	s->link->nstarved--;
}

struct status
stream_write(struct stream *s, uint8_t channel, struct span data, size_t *ret_taken)
{
	assert(!s->sent_end);
	*ret_taken = 0;
	if (data.len > s->credit)
		data.len = s->credit;
	if (data.len == 0)
		return OK;
	if (must_wait(s)) {
		starve(s);
		return OK;
	}
	TRY(stream_put(s, channel, data));
	*ret_taken = data.len;
	return OK;
}

size_t
stream_room(struct stream *s)
{
	if (s->credit == 0 || !must_wait(s))
		return s->credit;
	starve(s);
	return 0;
}

struct status
stream_put(struct stream *s, uint8_t channel, struct span data)
{
	const struct frame f = {
		.len = (uint32_t)data.len, .kind = FRAME_DATA, .type = channel, .id = s->id
	};

	assert(!s->sent_end);
	if (data.len == 0)
		return OK;
	if (data.len > s->credit)
		return fail(E_FULL);
	TRY(link_queue(s->link, &f, data, NULL, 0));
	s->credit -= data.len;
	return OK;
}

size_t
stream_credit(const struct stream *s)
{
	return s->credit;
}

void
stream_consumed(struct stream *s, size_t n)
{
	struct frame f = { .len = 4, .kind = FRAME_CREDIT, .id = s->id };
	uint8_t amount[4];

	assert(n <= s->unconsumed - s->give_back);
	s->give_back += n;
	if (s->got_end || s->give_back < CREDIT_BATCH)
		return;
	for (int i = 0; i < 4; i++)
		amount[i] = (uint8_t)(s->give_back >> 8 * (3 - i));
	if (!is_ok(link_queue(s->link, &f, span_of(amount, 4), NULL, 0)))
		return; /* the link is going down, or its queue is full: the peer waits */
	s->unconsumed -= s->give_back;
	s->give_back = 0;
}

void
stream_end(struct stream *s)
{
	const struct frame f = { .kind = FRAME_END, .id = s->id };

	if (s->sent_end)
		return;
	s->sent_end = true;
	if (!is_ok(link_queue(s->link, &f, SPAN_EMPTY, NULL, 0)))
		link_fail(s->link, fail(E_FULL)); /* an end must not be lost */
	if (s->got_end)
		s->link->streams_done = true;
}

void
stream_cancel(struct stream *s, uint16_t reason)
{
	const struct frame f = { .kind = FRAME_CANCEL, .type = reason, .id = s->id };
	struct link *l = s->link;
	struct status st;

	st = link_queue(l, &f, SPAN_EMPTY, NULL, 0);
	if (st.code == E_FULL)
		link_fail(l, st);
	stream_remove(s);
	free(s);
}

uint64_t
stream_id(const struct stream *s)
{
	return s->id;
}

struct status
stream_on_frame(struct link *l, const struct frame *f, struct span payload)
{
	struct stream *s = stream_find(l, f->id);

	if (s == NULL)
		return OK;
	if (f->kind == FRAME_CREDIT)
		return on_credit(s, payload);
	if (f->kind == FRAME_CANCEL) {
		stream_close(s, (struct status){ E_CLOSED, f->type });
		return OK;
	}
	if (s->got_end)
		return fail(E_PROTO);
	if (f->kind == FRAME_END) {
		on_end(s);
		return OK;
	}
	if (payload.len == 0 || payload.len > LINK_STREAM_CREDIT - s->unconsumed)
		return fail(E_PROTO);
	on_data(s, f, payload);
	return OK;
}

static void
on_data(struct stream *s, const struct frame *f, struct span payload)
{
	s->unconsumed += payload.len;
	s->ops->on_data(s, (uint8_t)f->type, payload, s->ctx);
}

static void
on_end(struct stream *s)
{
	s->got_end = true;
	if (s->sent_end)
		s->link->streams_done = true;
	if (s->ops->on_end != NULL)
		s->ops->on_end(s, s->ctx);
}

static struct status
on_credit(struct stream *s, struct span payload)
{
	size_t n = 0;

	if (payload.len != 4)
		return fail(E_PROTO);
	for (int i = 0; i < 4; i++)
		n = n << 8 | payload.ptr[i];
	if (n > LINK_STREAM_CREDIT - s->credit)
		return fail(E_PROTO);
	s->credit += n;
	if (!s->sent_end && s->ops->on_writable != NULL)
		s->ops->on_writable(s, s->ctx);
	return OK;
}

void
stream_on_msg(struct stream *s, uint16_t type, const void *msg)
{
	if (s->ops->on_msg != NULL)
		s->ops->on_msg(s, type, msg, s->ctx);
}

void
stream_close_all(struct link *l)
{
	struct stream *s;

	while ((s = TAILQ_FIRST(&l->streams_in_order)) != NULL)
		stream_close(s, (struct status){ E_CLOSED, 0 });
}

/* Restart after each callback: it may have closed other streams. */
void
stream_reap_done(struct link *l)
{
	struct stream *s;

	l->streams_done = false;
again:
	TAILQ_FOREACH(s, &l->streams_in_order, in_order)
	{
		if (s->sent_end && s->got_end) {
			stream_close(s, fail(E_EOF));
			if (l->freed)
				return;
			goto again;
		}
	}
}

/* Each of those who wait now gets one turn, while there is room; who still has more waits again. */
void
stream_wake_starved(struct link *l)
{
	struct stream *s;

	l->waking = true;
	for (size_t n = l->nstarved; n > 0 && !l->freed && !l->failed; n--) {
		s = TAILQ_FIRST(&l->starved);
		if (s == NULL || link_queued(l) > LINK_QUEUE_MAX / 2)
			break;
		unstarve(s);
		if (!s->sent_end && s->ops->on_writable != NULL)
			s->ops->on_writable(s, s->ctx);
	}
	l->waking = false;
}
