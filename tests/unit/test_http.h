/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_TEST_HTTP_H
#define TESTS_TEST_HTTP_H

/*
 * What a parser says about some bytes, as one text: unit tests compare it with
 * a table, and both they and the fuzz targets with what other splits give.
 */
#include <http/request.h>
#include <http/response.h>
#include <http/sse.h>

#include <base/cleanup.h>

#include <stdlib.h>

/* How to cut the input: each byte is the length of a piece less one; none = whole. */
struct cuts {
	const uint8_t *ptr;
	size_t count;
	size_t at;
};

static inline size_t
cut_next(struct cuts *c, size_t left)
{
	size_t n = c->count == 0 ? left : (size_t)c->ptr[c->at++ % c->count] + 1;

	return n < left ? n : left;
}

static inline void
must(struct status st)
{
	if (!is_ok(st))
		abort();
}

/* A copy that ends exactly where it ends, so that a sanitizer sees each overrun. */
static inline uint8_t *
piece_copy(struct span in, size_t n)
{
	uint8_t *p = malloc(n == 0 ? 1 : n);

	if (p == NULL)
		abort();
	if (n > 0)
		memcpy(p, in.ptr, n);
	return p;
}

static inline void
log_fields(struct buf *log, const struct http_field *fields, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		must(buf_put_str(log, "; "));
		must(buf_put_span(log, fields[i].name));
		must(buf_put_u8(log, '='));
		must(buf_put_span(log, fields[i].value));
	}
	must(buf_put_u8(log, '>'));
}

static inline void
log_request(struct buf *log, const struct http_request_parser *p)
{
	static const char *const kinds[] = { "none", "length", "stream" };
	const struct http_request *r = http_request_get(p);

	must(buf_put_u8(log, '<'));
	must(buf_put_span(log, r->method));
	must(buf_put_u8(log, ' '));
	if (r->target_bad ? r->path.len + r->query.len > 0 : r->path.len == 0)
		abort();
	if (r->slashed.len > 0 && (!r->target_bad || r->slashed.ptr[0] != '/' || r->slash_at == 0 ||
				      r->slashed.ptr[r->slash_at] != '/'))
		abort();
	must(r->target_bad ? buf_put_str(log, "BAD") : buf_put_span(log, r->path));
	must(buf_put_span(log, r->slashed));
	must(buf_put_u8(log, '?'));
	must(buf_put_span(log, r->query));
	must(buf_put_u8(log, ' '));
	must(buf_put_span(log, r->authority));
	must(buf_printf(log, " %s %llu%s%s", kinds[r->body], (unsigned long long)r->content_length,
	    r->expect_continue ? " expect" : "", http_request_keep_alive(p) ? "" : " close"));
	log_fields(log, r->fields, r->field_count);
}

static inline void
log_response(struct buf *log, const struct http_response_parser *p)
{
	static const char *const kinds[] = { "none", "length", "stream" };
	const struct http_response *r = http_response_get(p);

	must(buf_printf(log, "<%u %s %llu%s", r->status, kinds[r->body],
	    (unsigned long long)r->content_length, http_response_keep_alive(p) ? "" : " close"));
	log_fields(log, r->fields, r->field_count);
}

/* BODY, END and ERROR, alike for both; true when the piece is done with. */
static inline bool
log_step(struct buf *log, const struct http_step *step)
{
	if (step->event == HTTP_EV_BODY)
		must(buf_put_span(log, step->body));
	if (step->event == HTTP_EV_END)
		must(buf_put_str(log, "."));
	if (step->event == HTTP_EV_ERROR)
		must(buf_printf(log, "!%u", step->error));
	return step->event == HTTP_EV_MORE || step->event == HTTP_EV_ERROR;
}

/* One piece; false after an error. */
static inline bool
request_piece(struct http_request_parser *p, struct span piece, struct buf *log)
{
	for (;;) {
		struct http_step step = http_request_feed(p, piece);

		if (step.used > piece.len)
			abort();
		piece = span_from(piece, step.used);
		if (step.event == HTTP_EV_HEAD)
			log_request(log, p);
		if (log_step(log, &step))
			return step.event == HTTP_EV_MORE;
		if (step.event == HTTP_EV_END)
			http_request_next(p);
	}
}

static inline void
http_log_requests(
    const struct http_limits *limits, struct span in, struct cuts cuts, struct buf *log)
{
	struct http_request_parser *p = NULL;
	bool more = true;

	must(http_request_parser_new(limits, &p));
	while (in.len > 0 && more) {
		size_t n = cut_next(&cuts, in.len);
		uint8_t *piece = piece_copy(in, n);

		more = request_piece(p, span_of(piece, n), log);
		free(piece);
		in = span_from(in, n);
	}
	http_request_parser_free(p);
}

static inline bool
response_piece(struct http_response_parser *p, struct span piece, struct buf *log)
{
	for (;;) {
		struct http_step step = http_response_feed(p, piece);

		if (step.used > piece.len)
			abort();
		piece = span_from(piece, step.used);
		if (step.event == HTTP_EV_HEAD) {
			log_response(log, p);
			http_response_drop_head(p);
		}
		if (log_step(log, &step))
			return step.event == HTTP_EV_MORE;
		if (step.event == HTTP_EV_END)
			http_response_next(p, false);
	}
}

/* Ends with the end of the connection: '.' or '!'. */
static inline void
http_log_responses(
    const struct http_limits *limits, bool head, struct span in, struct cuts cuts, struct buf *log)
{
	struct http_response_parser *p = NULL;
	struct http_step last;
	bool more = true;

	must(http_response_parser_new(limits, &p));
	http_response_next(p, head);
	while (in.len > 0 && more) {
		size_t n = cut_next(&cuts, in.len);
		uint8_t *piece = piece_copy(in, n);

		more = response_piece(p, span_of(piece, n), log);
		free(piece);
		in = span_from(in, n);
	}
	last = http_response_eof(p);
	if (more)
		(void)log_step(log, &last);
	http_response_parser_free(p);
}

static inline void
sse_log(size_t line_max, size_t event_max, struct span in, struct cuts cuts, struct buf *log)
{
	struct sse_reader r;
	struct status st = fail(E_AGAIN);

	sse_reader_init(&r, line_max, event_max);
	while (in.len > 0 && st.code == E_AGAIN) {
		size_t n = cut_next(&cuts, in.len);
		uint8_t *copy = piece_copy(in, n);
		struct span piece = span_of(copy, n);
		struct sse_event e;

		while (is_ok(st = sse_reader_feed(&r, &piece, &e))) {
			must(buf_put_str(log, "["));
			must(buf_put_span(log, e.name));
			must(buf_put_str(log, "|"));
			must(buf_put_span(log, e.data));
			must(buf_put_str(log, "]"));
		}
		free(copy);
		in = span_from(in, n);
	}
	if (st.code != E_AGAIN)
		must(buf_printf(log, "!%u", st.code));
	sse_reader_done(&r);
}

#endif
