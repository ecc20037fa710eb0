/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h2_reply.c: answers as HTTP/2.
 *
 * Runs in: gateway. Trusts: its own process. Owns: nothing.
 * Invariants: the fields are those of an answer in HTTP/1.1; an answer before the request has come
 * whole ends with a reset without error, at once where more than a small rest is to come.
 * See: RFC 9113 §8.1, §8.3.2; h2_stream.c; request.h.
 */
#include <stdio.h>

#include <base/clock.h>
#include <http/write.h>

#include "h2.h"

#define FIELDS_MAX (REPLY_FIELDS_MAX + 6)

struct fields {
	nghttp2_nv items[FIELDS_MAX];
	size_t count;
	char status[4], length[21];
};

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

/* nghttp2 copies both; it only forgot to say so. */
static void
add(struct fields *f, const char *name, struct span value)
{
	f->items[f->count++] = (nghttp2_nv){
		.name = (uint8_t *)(uintptr_t)name,
		.namelen = strlen(name),
		.value = (uint8_t *)(uintptr_t)value.ptr,
		.valuelen = value.len,
	};
}

static bool
fields_ok(const struct http_field *fields, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!http_token_ok(fields[i].name) || !http_value_ok(fields[i].value))
			return false;
	}
	return true;
}

static struct status
put_head(struct h2_stream *s, const struct request *r, const struct reply_head *h)
{
	struct http_field fields[REPLY_FIELDS_MAX];
	char text[REPLY_TEXT_MAX];
	size_t n = reply_fields(r, h->status, fields, text);
	nghttp2_data_provider body = { .source = { .ptr = s }, .read_callback = on_read };
	struct fields f = { .count = 0 };

	if (!fields_ok(fields, n))
		return fail(E_SYNTAX);
	(void)snprintf(f.status, sizeof(f.status), "%u",
	    http_reason(h->status) != NULL ? h->status % 1000U : 500U);
	(void)snprintf(f.length, sizeof(f.length), "%zu", h->len);
	add(&f, ":status", span_str(f.status));
	add(&f, "date", http_date(clock_real_ns()));
	add(&f, "content-type", span_str(h->type));
	for (size_t i = 0; i < n; i++) {
		f.items[f.count] = (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)fields[i].name.ptr,
			.namelen = fields[i].name.len,
			.value = (uint8_t *)(uintptr_t)fields[i].value.ptr,
			.valuelen = fields[i].value.len };
		f.count++;
	}
	if (h->stream) {
		add(&f, "cache-control", SPAN_LIT("no-cache"));
		add(&f, "x-accel-buffering", SPAN_LIT("no"));
	} else {
		add(&f, "cache-control", SPAN_LIT("no-store"));
		add(&f, "content-length", span_str(f.length));
	}
	return nghttp2_submit_response(
		   h2_of(s->c)->session, s->id, f.items, f.count, s->no_body ? NULL : &body) == 0
		   ? OK
		   : fail(E_NOMEM);
}

static void
reply_head_h2(struct request *r, const struct reply_head *h)
{
	struct h2_stream *s = r->conn;

	s->state = H2_ANSWER;
	s->large = s->large || r->http.content_length > H2_WINDOW;
	timeout_clear(&s->c->g->timeouts, &s->timer);
	h2_stream_release(s, true);
	s->finished = s->no_body;
	if (!is_ok(put_head(s, r, h)))
		h2_stream_cut(s, NGHTTP2_INTERNAL_ERROR);
	conn_mark(s->c);
}

static void
reply_data_h2(struct request *r, struct span data)
{
	h2_stream_put(r->conn, data);
}

/* The request is given back when the loop's turn ends: its caller uses it still. */
static void
reply_end_h2(struct request *r)
{
	struct h2_stream *s = r->conn;

	s->ended = s->listed = true;
	TAILQ_INSERT_TAIL(&h2_of(s->c)->ended, s, next_ended);
	h2_stream_more(s);
}

static bool
reply_room_h2(struct request *r)
{
	struct h2_stream *s = r->conn;
	bool room = h2_stream_room(s);

	if (!room && !s->starved) {
		s->starved = true;
		TAILQ_INSERT_TAIL(&h2_of(s->c)->starved, s, next_starved);
	}
	return room;
}

static void
reply_go_on_h2(struct request *r)
{
	static const struct span proceed = { (const uint8_t *)"100", 3 };
	struct h2_stream *s = r->conn;
	struct fields f = { .count = 0 };

	h2_stream_go_on(s);
	conn_mark(s->c);
	if (s->state != H2_BODY || !r->http.expect_continue)
		return;
	add(&f, ":status", proceed);
	(void)nghttp2_submit_headers(
	    h2_of(s->c)->session, NGHTTP2_FLAG_NONE, s->id, NULL, f.items, f.count, NULL);
}

static void
reply_part_h2(struct request *r)
{
	struct h2_stream *s = r->conn;

	s->req = NULL;
}

const struct reply_ops h2_reply_ops = {
	.head = reply_head_h2,
	.data = reply_data_h2,
	.end = reply_end_h2,
	.room = reply_room_h2,
	.go_on = reply_go_on_h2,
	.part = reply_part_h2,
};
