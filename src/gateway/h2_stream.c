/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h2_stream.c: one stream of HTTP/2: a request, its body, and output that waits.
 *
 * Runs in: gateway. Trusts: nothing of the client; nghttp2 for frames and windows.
 * Owns: head and request until the request is over, output until it is sent.
 * Invariants: windows are given back for a good key only, so that bodies of
 * unknown senders are bounded by the first window of their connection; a
 * stream's share of the output is its own: no other stream waits for it.
 * See: h2.c; request.c; RFC 9113 §5.1, §5.2, §8.1.
 */
#include <assert.h>
#include <stdlib.h>

#include "h2.h"

static void on_timer(struct timeout *timer);
static void refuse(struct h2_stream *s, uint16_t status);

/* ---- life ---- */

struct h2_stream *
h2_stream_new(struct conn *c, int32_t id)
{
	struct http_limits limits = http_limits_default;
	struct h2 *h = h2_of(c);
	struct h2_stream *s = calloc(1, sizeof(*s));

	limits.body_len_max = c->g->body_len_max;
	if (s == NULL || !is_ok(http_h2_request_new(&limits, &s->head))) {
		free(s);
		return NULL;
	}
	s->c = c;
	s->id = id;
	s->out.max = OUT_MAX;
	s->timer.fn = on_timer;
	s->timer.owner = s;
	TAILQ_INSERT_TAIL(&h->streams, s, next);
	h->nstreams++;
	return s;
}

static void
unlist(struct h2_stream *s)
{
	struct h2 *h = h2_of(s->c);

	if (s->state == H2_EARLY)
		TAILQ_REMOVE(&h->early, s, next_early);
	if (s->listed)
		TAILQ_REMOVE(&h->ended, s, next_ended);
	if (s->starved)
		TAILQ_REMOVE(&h->starved, s, next_starved);
	s->state = H2_ANSWER;
	s->listed = s->starved = false;
}

/* The request is over, or goes on without its client. */
static void
part(struct h2_stream *s)
{
	struct request *r = s->req;

	s->req = NULL;
	if (r != NULL)
		request_left(r);
	http_h2_request_free(s->head);
	s->head = NULL;
}

void
h2_stream_leave(struct h2_stream *s)
{
	timeout_clear(&s->c->g->timeouts, &s->timer);
	unlist(s);
	h2_stream_release(s, true);
	part(s);
}

void
h2_stream_free(struct h2_stream *s)
{
	struct h2 *h = h2_of(s->c);

	h2_stream_leave(s);
	TAILQ_REMOVE(&h->streams, s, next);
	h->nstreams--;
	conn_mark(s->c);
	buf_done(&s->out);
	free(s);
}

void
h2_streams_part(struct h2 *h)
{
	struct h2_stream *s;

	while ((s = TAILQ_FIRST(&h->ended)) != NULL) {
		TAILQ_REMOVE(&h->ended, s, next_ended);
		s->listed = false;
		assert(s->req == NULL || !s->req->active);
		part(s);
	}
}

/* ---- the request ---- */

static void
run(struct h2_stream *s)
{
	unlist(s);
	timeout_clear(&s->c->g->timeouts, &s->timer);
	h2_stream_release(s, true);
	request_run(s->req);
}

void
h2_stream_head(struct h2_stream *s, bool end)
{
	static const struct http_request none = { .method = SPAN_EMPTY };
	struct conn *c = s->c;
	uint16_t rc = http_h2_request_head(s->head, end);
	const struct http_request *http = rc == 0 ? http_h2_request_get(s->head) : &none;

	h2_of(c)->served = true;
	s->complete = end;
	s->req = request_new(c->g);
	if (s->req == NULL) {
		s->state = H2_ANSWER;
		h2_stream_cut(s, NGHTTP2_INTERNAL_ERROR);
		return;
	}
	s->req->reply = &h2_reply_ops;
	s->req->conn = s;
	request_begin(s->req, http, c->source, c->address, conn_certificate(c));
	s->no_body = span_eq_str(http->method, "HEAD");
	if (rc != 0) {
		refuse(s, rc);
	} else if (end) {
		run(s);
	} else {
		s->state = H2_EARLY;
		TAILQ_INSERT_TAIL(&h2_of(c)->early, s, next_early);
	}
}

void
h2_streams_check(struct h2 *h)
{
	struct h2_stream *s;

	while ((s = TAILQ_FIRST(&h->early)) != NULL) {
		TAILQ_REMOVE(&h->early, s, next_early);
		s->state = H2_CHECK;
		request_check(s->req);
	}
}

/* An error of HTTP itself. What follows of the request is dropped. */
static void
refuse(struct h2_stream *s, uint16_t status)
{
	unlist(s);
	s->large = status == 413;
	s->req->close = true;
	reply_error(s->req, conn_error(status));
	(void)h2_flood(s->c, H2_FAULTS);
}

void
h2_stream_fault(struct h2_stream *s, uint16_t status)
{
	if (s->state == H2_CHECK && s->fault == 0)
		s->fault = status;
	else if (s->state == H2_EARLY || s->state == H2_BODY)
		refuse(s, status);
}

/* More than a small rest, after the answer. */
static void
drop(struct h2_stream *s, size_t n)
{
	s->dropped += n;
	s->large = s->large || s->dropped > H2_WINDOW;
	if (s->finished && s->large)
		h2_stream_cut(s, NGHTTP2_NO_ERROR);
}

void
h2_stream_body(struct h2_stream *s, struct span piece)
{
	struct h2 *h = h2_of(s->c);
	uint16_t rc;

	if (s->state == H2_ANSWER || s->fault != 0) {
		(void)nghttp2_session_consume_connection(h->session, piece.len);
		drop(s, piece.len);
		return;
	}
	rc = http_h2_request_body(s->head, piece.len);
	/* Without a key it is refused anyway: nothing is kept for it. */
	if (rc == 0 && s->req->key_ok && !is_ok(request_body(s->req, piece)))
		rc = 503;
	s->withheld += piece.len;
	if (rc != 0)
		h2_stream_fault(s, rc);
	else if (s->state == H2_BODY)
		h2_stream_release(s, false);
}

void
h2_stream_end(struct h2_stream *s)
{
	uint16_t rc;

	s->complete = true;
	if (s->state == H2_ANSWER || s->fault != 0)
		return;
	rc = http_h2_request_end(s->head);
	if (rc != 0)
		h2_stream_fault(s, rc);
	else if (s->state != H2_CHECK)
		run(s); /* else when the key was found good */
}

void
h2_stream_release(struct h2_stream *s, bool drop)
{
	nghttp2_session *session = h2_of(s->c)->session;
	size_t n = s->withheld;

	s->withheld = 0;
	if (n > 0 && drop)
		(void)nghttp2_session_consume_connection(session, n);
	else if (n > 0)
		(void)nghttp2_session_consume(session, s->id, n);
}

/* A good key: now the body may come as fast as it can. */
static void
widen(struct h2_stream *s)
{
	struct h2 *h = h2_of(s->c);

	if (!h->known)
		(void)nghttp2_session_set_local_window_size(
		    h->session, NGHTTP2_FLAG_NONE, 0, H2_WINDOW_KNOWN);
	h->known = true;
	if (s->req->http.body == HTTP_BODY_STREAM || s->req->http.content_length > H2_WINDOW)
		(void)nghttp2_session_set_local_window_size(
		    h->session, NGHTTP2_FLAG_NONE, s->id, H2_WINDOW_KNOWN);
}

void
h2_stream_go_on(struct h2_stream *s)
{
	s->req->close = false;
	if (s->fault != 0) {
		refuse(s, s->fault);
	} else if (s->complete) {
		run(s);
	} else {
		s->state = H2_BODY;
		widen(s);
		h2_stream_release(s, false);
		timeout_set(&s->c->g->timeouts, &s->timer, TIMEOUT_BODY, gateway_now(s->c->g));
	}
}

/* ---- output ---- */

size_t
h2_stream_unsent(const struct h2_stream *s)
{
	return s->out.len - s->out_off;
}

/* An equal share for each stream, within bounds. */
bool
h2_stream_room(const struct h2_stream *s)
{
	size_t share = H2_OUT_MAX / h2_of(s->c)->nstreams;

	if (share < H2_STREAM_OUT_MIN)
		share = H2_STREAM_OUT_MIN;
	return h2_stream_unsent(s) < (share < OUT_SOFT_MAX ? share : OUT_SOFT_MAX);
}

void
h2_streams_wake(struct h2 *h)
{
	struct h2_stream *s, *next;

	for (s = TAILQ_FIRST(&h->starved); s != NULL; s = next) {
		next = TAILQ_NEXT(s, next_starved);
		if (!h2_stream_room(s))
			continue;
		TAILQ_REMOVE(&h->starved, s, next_starved);
		s->starved = false;
		if (s->req != NULL)
			request_writable(s->req);
	}
}

/* Its client must take something now and then, else it is stalled. */
static void
watch(struct h2_stream *s)
{
	struct timeouts *all = &s->c->g->timeouts;

	if (!s->finished && !s->cut && (s->ended || h2_stream_unsent(s) > 0) && !s->timer.set)
		timeout_set(all, &s->timer, TIMEOUT_WRITE, gateway_now(s->c->g));
}

/* There is more for nghttp2 to take, or nothing more will be. */
void
h2_stream_more(struct h2_stream *s)
{
	watch(s);
	if (s->deferred)
		(void)nghttp2_session_resume_data(h2_of(s->c)->session, s->id);
	s->deferred = false;
	conn_mark(s->c);
}

void
h2_stream_put(struct h2_stream *s, struct span data)
{
	if (s->cut || s->no_body)
		return;
	if (!is_ok(buf_put_span(&s->out, data)))
		h2_stream_cut(s, NGHTTP2_INTERNAL_ERROR);
	else
		h2_stream_more(s);
}

/* Memory goes back when all is sent, or most of it. */
static void
shrink(struct h2_stream *s)
{
	if (h2_stream_unsent(s) == 0) {
		s->out_off = 0;
		if (s->out.cap > H2_STREAM_OUT_MIN)
			buf_done(&s->out);
		else
			buf_clear(&s->out);
	} else if (s->out_off > h2_stream_unsent(s) && s->out_off > H2_STREAM_OUT_MIN) {
		buf_shift(&s->out, s->out_off);
		s->out_off = 0;
	}
}

size_t
h2_stream_pull(struct h2_stream *s, uint8_t *to, size_t size, bool *ret_end)
{
	size_t n = h2_stream_unsent(s) < size ? h2_stream_unsent(s) : size;

	if (n > 0)
		memcpy(to, s->out.ptr + s->out_off, n);
	s->out_off += n;
	shrink(s);
	*ret_end = s->finished = s->ended && !s->cut && h2_stream_unsent(s) == 0;
	s->deferred = n == 0 && !s->finished;
	if (n > 0 || s->finished) {
		timeout_clear(&s->c->g->timeouts, &s->timer);
		watch(s);
	}
	return n;
}

void
h2_stream_cut(struct h2_stream *s, uint32_t why)
{
	if (s->cut)
		return;
	s->cut = true;
	buf_done(&s->out);
	s->out_off = 0;
	timeout_clear(&s->c->g->timeouts, &s->timer);
	if (s->req != NULL)
		s->req->close = true;
	(void)nghttp2_submit_rst_stream(h2_of(s->c)->session, NGHTTP2_FLAG_NONE, s->id, why);
	conn_mark(s->c);
}

/*
 * What is left of the request is not wanted (RFC 9113 §8.1). There are clients that take a reset
 * while they send for a failure, whatever they were answered: a small rest is waited for.
 */
void
h2_stream_answered(struct h2_stream *s)
{
	if (s->large)
		h2_stream_cut(s, NGHTTP2_NO_ERROR);
	else
		timeout_set(&s->c->g->timeouts, &s->timer, TIMEOUT_LINGER, gateway_now(s->c->g));
}

static void
on_timer(struct timeout *timer)
{
	struct h2_stream *s = timer->owner;

	if (timer->kind == TIMEOUT_LINGER) {
		h2_stream_cut(s, NGHTTP2_NO_ERROR);
		return;
	}
	if (timer->kind == TIMEOUT_BODY) {
		h2_stream_fault(s, 408);
		return;
	}
	/* It takes nothing: it is as good as gone. */
	h2_stream_cut(s, NGHTTP2_CANCEL);
	h2_stream_leave(s);
}
