/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetch.c: a request to where credentials come from, and its answer.
 *
 * Runs in: broker. Trusts: nothing in an answer; its limits are kept here.
 * Owns: the request's and the answer's bytes, in secret memory, and the connection while the
 * exchange lasts.
 * Invariants: one deadline over all of it; an answer is whole or it is none; what passed through
 * the connection's buffer is wiped there at once; a request that a kept connection lost without
 * a byte of answer is sent once more on a fresh one.
 * See: fetch.h, upstream.h, conn.h.
 */
#include "fetch.h"

#include <stdlib.h>
#include <time.h>

#include <http/write.h>

struct fetch {
	uv_timer_t timer; /* freed with it */
	struct upstream *u;
	struct upstream_wait *wait;
	struct exchange *x; /* of HTTP/1.1: its upstream speaks nothing else */
	struct fetch_request r;
	struct secret mem; /* of the body, as far as it needs */
	size_t len;
	struct fetch_answer answer;
	struct status end; /* for the callback */
	bool again;
	fetch_done *done;
	void *ctx;
};

static void acquire(struct fetch *f, bool fresh);
static void finish(struct fetch *f, struct status st);

/* ---- the request ---- */
struct status
fetch_request_init(
    struct fetch_request *r, const struct upstream *u, const char *method, struct span target)
{
	*r = FETCH_REQUEST_NONE;
	TRY(secret_new(FETCH_HEAD_MAX, &r->head_mem));
	r->head = secret_buf(&r->head_mem);
	return http_put_request(
	    &r->head, span_str(method), target, span_str(upstream_authority(u)));
}

struct status
fetch_request_body(struct fetch_request *r, size_t len_max)
{
	TRY(secret_new(len_max, &r->body_mem));
	r->body = secret_buf(&r->body_mem);
	return OK;
}

void
fetch_request_done(struct fetch_request *r)
{
	secret_done(&r->head_mem);
	secret_done(&r->body_mem);
	*r = FETCH_REQUEST_NONE;
}

static struct status
request_close(struct fetch_request *r)
{
	if (r->body_mem.ptr != NULL)
		TRY(http_put_length(&r->head, r->body.len));
	return http_put_end(&r->head);
}

/* ---- the answer ---- */
static size_t
room(void *ctx)
{
	(void)ctx;
	return EXCHANGE_PIECE_MAX; /* a longer body fails in on_body */
}

static int64_t
parse_date(struct span s)
{
	char text[HTTP_DATE_LEN + 1];
	struct tm tm = { 0 };

	if (s.len != HTTP_DATE_LEN || !is_ok(span_to_cstr(s, text, sizeof(text))))
		return 0;
	if (strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm) == NULL)
		return 0;
	return (int64_t)timegm(&tm);
}

static void
on_head(void *ctx, const struct http_response *head)
{
	struct fetch *f = ctx;
	struct span v;
	uint64_t n;

	f->answer.status = head->status;
	if (is_ok(http_field_one(head->fields, head->field_count, "retry-after", &v)) &&
	    is_ok(span_u64(v, FETCH_RETRY_AFTER_MAX_MS / 1000, &n)))
		f->answer.retry_after_ms = (uint32_t)n * 1000;
	if (!is_ok(http_field_one(head->fields, head->field_count, "location", &v)) ||
	    !is_ok(span_to_cstr(v, f->answer.location, sizeof(f->answer.location))))
		f->answer.location[0] = '\0';
	if (is_ok(http_field_one(head->fields, head->field_count, "date", &v)))
		f->answer.date_s = parse_date(v);
	if (!is_ok(http_field_one(head->fields, head->field_count, "x-vault-index", &v)) ||
	    !is_ok(span_to_cstr(v, f->answer.index, sizeof(f->answer.index))))
		f->answer.index[0] = '\0';
}

/* Room for `more` bytes; what was there moves, and is wiped where it was. */
static struct status
grow(struct fetch *f, size_t more)
{
	struct secret bigger = SECRET_NONE;
	size_t want = f->mem.len < 8192 ? 8192 : f->mem.len;

	if (more > FETCH_BODY_MAX - f->len)
		return fail(E_RANGE);
	if (f->len + more <= f->mem.len)
		return OK;
	while (want < f->len + more)
		want *= 2;
	TRY(secret_new(want, &bigger));
	if (f->len > 0)
		memcpy(bigger.ptr, f->mem.ptr, f->len);
	secret_done(&f->mem);
	f->mem = bigger;
	return OK;
}

static void
on_body(void *ctx, uint8_t *body, size_t len)
{
	struct fetch *f = ctx;
	struct status st = grow(f, len);

	if (is_ok(st)) {
		memcpy(f->mem.ptr + f->len, body, len);
		f->len += len;
	}
	secret_wipe(body, len);
	if (!is_ok(st))
		finish(f, st);
}

static void
on_end(void *ctx)
{
	struct fetch *f = ctx;

	upstream_release(f->u, f->x);
	f->x = NULL;
	f->answer.body = span_of(f->mem.ptr, f->len);
	finish(f, OK);
}

static void
on_failed(void *ctx, enum error why, enum exchange_fault fault)
{
	struct fetch *f = ctx;

	upstream_discard(f->u, f->x);
	f->x = NULL;
	if (fault == EXCHANGE_STALE && !f->again) {
		f->again = true;
		acquire(f, true);
		return;
	}
	finish(f, fail(why == ERROR_UPSTREAM_TIMEOUT ? E_TIMEOUT : E_CLOSED));
}

static const struct exchange_ops ops = { .room = room,
	.on_head = on_head,
	.on_body = on_body,
	.on_end = on_end,
	.on_failed = on_failed };

/* ---- the way to it ---- */
static void
begin(struct fetch *f, struct exchange *x)
{
	const struct conn_request request = { .head = buf_span(&f->r.head),
		.body = { buf_span(&f->r.body) } };

	f->x = x;
	f->len = 0;
	if (is_ok(conn_start(conn_of(x), &request, &ops, f)))
		return;
	upstream_discard(f->u, x);
	f->x = NULL;
	finish(f, fail(E_CLOSED));
}

static void
on_acquired(void *ctx, struct status st, struct exchange *x)
{
	struct fetch *f = ctx;

	f->wait = NULL;
	if (is_ok(st))
		begin(f, x);
	else
		finish(f, st);
}

static void
acquire(struct fetch *f, bool fresh)
{
	struct exchange *x = NULL;
	struct status st = upstream_acquire(f->u, fresh, on_acquired, f, &f->wait, &x);

	if (is_ok(st))
		begin(f, x);
	else if (st.code != E_AGAIN)
		finish(f, st);
}

/* ---- the end ---- */
static void
on_timer_closed(uv_handle_t *h)
{
	free(h->data);
}

static void
release(struct fetch *f)
{
	if (f->wait != NULL)
		upstream_cancel(f->wait);
	if (f->x != NULL)
		upstream_discard(f->u, f->x);
	f->wait = NULL;
	f->x = NULL;
	fetch_request_done(&f->r);
}

static void
on_deliver(uv_timer_t *t)
{
	struct fetch *f = t->data;

	/* The callee may not cancel what is over; the memory outlives the call. */
	f->done(f->ctx, f->end, is_ok(f->end) ? &f->answer : NULL);
	secret_done(&f->mem);
	uv_close((uv_handle_t *)&f->timer, on_timer_closed);
}

/* The callback comes from the loop, whatever it was that ended this. */
static void
finish(struct fetch *f, struct status st)
{
	release(f);
	f->end = st;
	(void)uv_timer_start(&f->timer, on_deliver, 0, 0);
}

static void
on_timeout(uv_timer_t *t)
{
	finish(t->data, fail(E_TIMEOUT));
}

struct status
fetch_start(uv_loop_t *loop, struct upstream *u, struct fetch_request *r, fetch_done *done,
    void *ctx, struct fetch **ret)
{
	struct fetch *f = calloc(1, sizeof(*f));
	struct status st = f == NULL ? fail(E_NOMEM) : request_close(r);

	if (!is_ok(st)) {
		free(f);
		fetch_request_done(r);
		return st;
	}
	f->u = u;
	f->r = *r;
	*r = FETCH_REQUEST_NONE;
	f->done = done;
	f->ctx = ctx;
	(void)uv_timer_init(loop, &f->timer);
	f->timer.data = f;
	(void)uv_timer_start(&f->timer, on_timeout, FETCH_TOTAL_MS, 0);
	*ret = f;
	acquire(f, false);
	return OK;
}

void
fetch_cancel(struct fetch *f)
{
	if (f == NULL)
		return;
	release(f);
	secret_done(&f->mem);
	uv_close((uv_handle_t *)&f->timer, on_timer_closed);
}
