/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h2_exchange.c: one stream of HTTP/2: a request, its answer, the bytes that nobody has room for.
 *
 * Runs in: broker. Trusts: nghttp2 for frames and windows; nothing that the other side sends.
 * Owns: the answer's head, and at most a window's worth of its body; both are wiped.
 * Invariants: a stream's window is given back only for bytes that were taken, so a slow client
 * slows the provider's stream and no other; nghttp2 never sees the credential; on_end or on_failed
 * runs once an exchange; what the peer did not begin with is told as stale.
 * See: exchange.h, h2_conn.c, h2_session.c; RFC 9113 §5, §8.
 */
#include "h2_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include <crypto/secret.h>

#define NV_MAX (EXCHANGE_FIELDS_MAX + 6) /* four of a request line, length, secret */
#define PREFIX_MAX 16

static void conclude(struct h2_stream *s);
static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
    uint32_t *flags, nghttp2_data_source *source, void *ctx);

static const struct exchange_kind h2_kind;

/* ---- life ---- */
struct h2_stream *
h2_stream_new(struct h2_conn *h)
{
	struct h2_stream *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->exchange.kind = &h2_kind;
	s->h = h;
	s->held = true;
	s->in = BUF_INIT(H2_WINDOW);
	TAILQ_INSERT_TAIL(&h->streams, s, next);
	return s;
}

static void
drop_input(struct h2_stream *s)
{
	if (s->in.len > 0)
		secret_wipe(s->in.ptr, s->in.len);
	buf_done(&s->in);
	s->in_off = 0;
}

/* Nobody has it, nothing is under way in it. */
static void
free_if_over(struct h2_stream *s)
{
	if (s->live || s->held || s->pins > 0)
		return;
	TAILQ_REMOVE(&s->h->streams, s, next);
	http_h2_response_free(s->answer);
	drop_input(s);
	free(s);
}

static void
pin(struct h2_stream *s)
{
	s->pins++;
}

static void
unpin(struct h2_stream *s)
{
	s->pins--;
	free_if_over(s);
}

void
h2_stream_dead(struct h2_stream *s)
{
	if (s->live)
		s->h->live--;
	s->live = false;
	free_if_over(s);
}

static void
reset(struct h2_stream *s, uint32_t code)
{
	if (s->live && s->h->session != NULL)
		(void)nghttp2_submit_rst_stream(s->h->session, NGHTTP2_FLAG_NONE, s->id, code);
}

/* What was borrowed is not touched again: neither its body nor its secret. */
static void
stop_sending(struct h2_stream *s)
{
	s->cut = s->cut || !s->sent;
	for (size_t i = 0; i < EXCHANGE_BODY_PARTS; i++)
		s->body[i] = SPAN_EMPTY;
	s->secret = SPAN_EMPTY;
	h2_out_forget(&s->h->out, s);
}

void
h2_exchange_free(struct exchange *x)
{
	struct h2_stream *s = (struct h2_stream *)x;
	struct h2_conn *h = s->h;

	assert(x->kind == &h2_kind && s->held);
	stop_sending(s);
	if (s->state != H2_OVER)
		reset(s, NGHTTP2_CANCEL);
	s->state = H2_OVER;
	s->held = false;
	if (s->pins == 0) /* else somebody further up reads it */
		drop_input(s);
	free_if_over(s);
	h2_conn_given_back(h);
}

/* ---- time ---- */
static void
due_in(struct h2_stream *s, uint64_t ms)
{
	uint64_t due = h2_now(s->h) + ms;

	s->due_ms = due < s->ends_ms ? due : s->ends_ms;
	h2_conn_due(s->h, s->due_ms);
}

bool
h2_stream_waits(const struct h2_stream *s)
{
	return s->state == H2_HEAD || s->state == H2_BODY;
}

/* ---- the request ---- */
struct nvs {
	nghttp2_nv items[NV_MAX];
	size_t count, len;
	char length[21];
};

static void
add(struct nvs *n, struct span name, struct span value, uint8_t flags)
{
	assert(n->count < NV_MAX);
	n->len += name.len + value.len;
	n->items[n->count++] = (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name.ptr,
		.namelen = name.len,
		.value = (uint8_t *)(uintptr_t)value.ptr,
		.valuelen = value.len,
		.flags = flags };
}

/*
 * The last field, with zeros where the secret goes. Zeros are longer in HPACK's code than as they
 * are, so that they are left as they are, and never indexed: h2_session.c finds them at the end.
 */
static void
add_secret(struct nvs *n, const struct exchange_request *r)
{
	static uint8_t value[PREFIX_MAX + H2_SECRET_LEN_MAX];
	uint8_t *at = value + PREFIX_MAX - r->secret_prefix.len;

	if (r->secret_prefix.len > 0)
		memcpy(at, r->secret_prefix.ptr, r->secret_prefix.len);
	add(n, r->secret_name, span_of(at, r->secret_prefix.len + r->secret.len),
	    NGHTTP2_NV_FLAG_NO_INDEX);
}

static struct status
put_fields(const struct h2_stream *s, const struct exchange_request *r, struct nvs *n)
{
	*n = (struct nvs){ .count = 0 };
	if (r->secret.len > H2_SECRET_LEN_MAX || r->secret_prefix.len > PREFIX_MAX)
		return fail(E_FULL);
	(void)snprintf(
	    n->length, sizeof(n->length), "%llu", (unsigned long long)exchange_body_len(r));
	add(n, SPAN_LIT(":method"), SPAN_LIT("POST"), 0);
	add(n, SPAN_LIT(":scheme"), s->h->secure ? SPAN_LIT("https") : SPAN_LIT("http"), 0);
	add(n, SPAN_LIT(":authority"), r->authority, 0);
	add(n, SPAN_LIT(":path"), r->target, 0);
	for (size_t i = 0; i < r->field_count; i++)
		add(n, r->fields[i].name, r->fields[i].value, 0);
	add(n, SPAN_LIT("content-length"), span_str(n->length), 0);
	if (n->len > EXCHANGE_HEAD_MAX)
		return fail(E_FULL);
	if (r->secret.len > 0)
		add_secret(n, r);
	return OK;
}

static struct status
submit(struct h2_stream *s, const struct nvs *n, bool body)
{
	nghttp2_data_provider data = { .source = { .ptr = s }, .read_callback = on_read };
	int32_t id = nghttp2_submit_request(
	    s->h->session, NULL, n->items, n->count, body ? &data : NULL, s);

	if (id == NGHTTP2_ERR_NOMEM)
		return fail(E_NOMEM);
	if (id < 0) {
		h2_conn_shut(s->h); /* its numbers are used up */
		return fail(E_CLOSED);
	}
	s->id = id;
	s->live = true;
	s->h->live++;
	return OK;
}

static struct status
start(
    struct exchange *x, const struct exchange_request *r, const struct exchange_ops *ops, void *ctx)
{
	struct h2_stream *s = (struct h2_stream *)x;
	struct http_limits limits = http_limits_default;
	struct h2_conn *h = s->h;
	struct nvs n;

	if (s->state != H2_NEW || h->closed || h->going || h->broken ||
	    nghttp2_session_check_request_allowed(h->session) == 0)
		return fail(E_CLOSED);
	limits.body_len_max = UINT64_MAX; /* the turn's limits are the gateway's */
	TRY(put_fields(s, r, &n));
	TRY(http_h2_response_new(&limits, &s->answer));
	TRY(submit(s, &n, exchange_body_len(r) > 0));
	s->ops = ops;
	s->ctx = ctx;
	s->secret = r->secret;
	memcpy(s->body, r->body, sizeof(s->body));
	s->heard = h->heard;
	s->state = H2_HEAD;
	s->ends_ms = h2_now(h) + h->limits.total_ms;
	due_in(s, h->limits.idle_ms);
	h2_conn_due(h, h2_now(h) + H2_QUIET_MS);
	h2_conn_turn(h);
	return OK;
}

size_t
h2_stream_pull(struct h2_stream *s, uint8_t *to, size_t size, bool *ret_end)
{
	size_t n = 0;

	for (size_t i = 0; i < EXCHANGE_BODY_PARTS; i++) {
		size_t part = s->body[i].len < size - n ? s->body[i].len : size - n;

		if (part > 0)
			memcpy(to + n, s->body[i].ptr, part);
		s->body[i] = span_from(s->body[i], part);
		n += part;
	}
	*ret_end = !s->cut;
	for (size_t i = 0; i < EXCHANGE_BODY_PARTS; i++)
		*ret_end = *ret_end && s->body[i].len == 0;
	return n;
}

static ssize_t
on_read(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length, uint32_t *flags,
    nghttp2_data_source *source, void *ctx)
{
	bool end = false;
	size_t n = h2_stream_pull(source->ptr, buf, length, &end);

	(void)session, (void)id, (void)ctx;
	if (end)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return n == 0 && !end ? NGHTTP2_ERR_DEFERRED : (ssize_t)n;
}

void
h2_stream_sent(struct h2_stream *s, const nghttp2_frame *frame)
{
	s->bytes_out += frame->hd.length + H2_FRAME_HEAD_LEN;
	s->head_sent = true;
	s->sent = s->sent || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
	if (s->state == H2_HEAD)
		due_in(s, s->sent ? s->h->limits.first_byte_ms : s->h->limits.idle_ms);
}

/* ---- the end ---- */
static void
tell_failed(struct h2_stream *s, enum error why, enum exchange_fault fault)
{
	if (!h2_stream_waits(s))
		return;
	s->state = H2_OVER;
	stop_sending(s);
	drop_input(s);
	s->ops->on_failed(s->ctx, why, fault);
}

/* The other side's fault in this stream. */
static void
fault(struct h2_stream *s)
{
	reset(s, NGHTTP2_PROTOCOL_ERROR);
	tell_failed(s, ERROR_UPSTREAM, EXCHANGE_BROKE);
}

static void
tell_end(struct h2_stream *s)
{
	if (http_h2_response_end(s->answer) != 0) {
		fault(s);
		return;
	}
	if (!s->sent)
		reset(s, NGHTTP2_NO_ERROR); /* it was answered without the rest */
	s->state = H2_OVER;
	s->h->served = true;
	s->h->refuses = false;
	stop_sending(s);
	s->ops->on_end(s->ctx);
}

/* All that came was taken: now the end may be told. */
static void
conclude(struct h2_stream *s)
{
	if (!h2_stream_waits(s) || s->in.len > s->in_off)
		return;
	if (s->complete)
		tell_end(s);
	else if (s->failed)
		tell_failed(s, s->why, s->fault);
}

void
h2_stream_timed_out(struct h2_stream *s)
{
	pin(s);
	reset(s, NGHTTP2_CANCEL);
	tell_failed(s, ERROR_UPSTREAM_TIMEOUT, EXCHANGE_BROKE);
	unpin(s);
}

/* Surely not begun with: nothing of an answer, and it did not leave, or nothing came since. */
static bool
was_lost(const struct h2_stream *s)
{
	const struct h2_conn *h = s->h;

	return s->state == H2_HEAD && s->bytes_in == 0 &&
	       (!s->head_sent || (h->served && h->heard == s->heard));
}

void
h2_stream_lost(struct h2_stream *s, enum error why)
{
	bool stale = why == ERROR_UPSTREAM && was_lost(s);

	pin(s);
	h2_stream_dead(s);
	if (h2_stream_waits(s) && !s->complete && !s->failed) {
		s->failed = true;
		s->why = why;
		s->fault = stale ? EXCHANGE_STALE : EXCHANGE_BROKE;
	}
	conclude(s);
	unpin(s);
}

/* RFC 9113 §7: the request is to be sent over HTTP/1.1. True: it can be, and nothing else is. */
static bool
wants_http1(struct h2_conn *h, uint32_t code)
{
	if (code != NGHTTP2_HTTP_1_1_REQUIRED || !h->pool_ops->on_http1(h, h->pool))
		return false;
	h->going = true;
	return true;
}

void
h2_stream_closed(struct h2_stream *s, uint32_t code)
{
	bool http1 = wants_http1(s->h, code);
	bool refused = s->state == H2_HEAD &&
		       (code == NGHTTP2_REFUSED_STREAM || !s->head_sent || http1);

	pin(s);
	h2_stream_dead(s);
	s->h->refuses = s->h->refuses || refused;
	if (h2_stream_waits(s) && !s->complete) {
		s->failed = true;
		s->why = ERROR_UPSTREAM;
		s->fault = refused ? EXCHANGE_STALE : EXCHANGE_BROKE;
	}
	conclude(s);
	unpin(s);
}

/* ---- the answer ---- */
void
h2_stream_head(struct h2_stream *s, bool end)
{
	bool interim = false;

	if (s->state != H2_HEAD)
		return;
	pin(s);
	if (s->sent)
		due_in(s, s->h->limits.idle_ms);
	if (http_h2_response_head(s->answer, end, &interim) != 0) {
		fault(s);
	} else if (!interim) {
		s->state = H2_BODY;
		s->complete = end;
		stop_sending(s);
		s->ops->on_head(s->ctx, http_h2_response_get(s->answer));
		conclude(s);
	}
	unpin(s);
}

/* As much as there is room for goes on, and its window comes back. */
static size_t
pass_on(struct h2_stream *s, uint8_t *data, size_t len)
{
	size_t done = 0;

	while (done < len && s->state == H2_BODY) {
		size_t room = s->ops->room(s->ctx), n = len - done;

		n = n < room ? n : room;
		n = n < EXCHANGE_PIECE_MAX ? n : EXCHANGE_PIECE_MAX;
		if (n == 0)
			break;
		if (s->live && s->h->session != NULL)
			(void)nghttp2_session_consume_stream(s->h->session, s->id, n);
		done += n;
		s->ops->on_body(s->ctx, data + done - n, n);
	}
	return done;
}

/* What nobody has room for waits here: never more than the window. */
static void
keep(struct h2_stream *s, const uint8_t *data, size_t len)
{
	struct status st;

	if (s->in_off > 0)
		buf_shift_wipe(&s->in, s->in_off);
	s->in_off = 0;
	st = buf_reserve(&s->in, H2_WINDOW - s->in.len); /* it must not move: no copy stays */
	if (is_ok(st))
		st = buf_put(&s->in, data, len);
	if (!is_ok(st)) {
		fault(s);
		return;
	}
	s->due_ms = s->ends_ms; /* the client is slow, not the provider */
	h2_conn_due(s->h, s->due_ms);
}

void
h2_stream_body(struct h2_stream *s, uint8_t *data, size_t len)
{
	size_t n = 0;

	if (!h2_stream_waits(s))
		return;
	pin(s);
	if (s->state != H2_BODY || http_h2_response_body(s->answer, len) != 0) {
		fault(s);
	} else {
		if (s->in.len == s->in_off) {
			due_in(s, s->h->limits.idle_ms);
			n = pass_on(s, data, len);
		}
		if (n < len && s->state == H2_BODY)
			keep(s, data + n, len - n);
	}
	unpin(s);
}

void
h2_stream_trailers(struct h2_stream *s, bool end)
{
	if (s->state == H2_BODY && !end) { /* trailers that are not the end: nonsense */
		pin(s);
		fault(s);
		unpin(s);
	} else if (end) {
		h2_stream_end(s);
	}
}

void
h2_stream_end(struct h2_stream *s)
{
	if (s->state == H2_OVER)
		return;
	pin(s);
	s->complete = s->state == H2_BODY;
	conclude(s);
	unpin(s);
}

static void
resume(struct exchange *x)
{
	struct h2_stream *s = (struct h2_stream *)x;
	struct h2_conn *h = s->h;
	bool outer = h->busy;

	if (s->state != H2_BODY || s->in.len == s->in_off || s->pins > 0)
		return;
	h->refs++; /* its last exchange may be given back here */
	h->busy = true;
	pin(s);
	s->in_off += pass_on(s, s->in.ptr + s->in_off, s->in.len - s->in_off);
	if (s->state == H2_BODY && s->in_off == s->in.len) {
		drop_input(s);
		due_in(s, h->limits.idle_ms);
		conclude(s);
	}
	unpin(s);
	h->busy = outer;
	h2_conn_turn(h);
	h2_conn_unref(h);
}

static uint64_t
bytes_in(const struct exchange *x)
{
	return ((const struct h2_stream *)x)->bytes_in;
}

static uint64_t
bytes_out(const struct exchange *x)
{
	return ((const struct h2_stream *)x)->bytes_out;
}

static bool
blames(struct exchange *x)
{
	struct h2_conn *h = ((struct h2_stream *)x)->h;
	bool first = !h->blamed;

	if (!h->going && !h->closed)
		return true; /* its own fault */
	h->blamed = true;
	return first;
}

static const struct exchange_kind h2_kind = { start, resume, bytes_in, bytes_out, blames };
