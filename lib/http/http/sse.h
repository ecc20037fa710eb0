/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_SSE_H
#define HTTP_SSE_H

/*
 * Server-sent events (WHATWG HTML §9.2). The writer splits data at CR, LF and
 * CRLF, so that no text can forge a field or an event. The reader takes input
 * split anywhere, with any of the three line ends.
 */
#include <base/span.h>

#define SSE_LINE_LEN_MAX (1U << 20)    /* one line, bytes, unless the reader asks otherwise */
#define SSE_READER_LEN_MAX (64U << 20) /* the most that a reader may ask for */
#define SSE_EVENT_LEN_MAX (4U << 20)   /* the data of one event, bytes */
#define SSE_NAME_LEN_MAX 128           /* an event's name, bytes */

/* `event` may be empty: no event line. E_SYNTAX: a line end in `event`. */
MUST_USE struct status sse_put(struct buf *out, struct span event, struct span data);
/* ": text", kept alive by proxies and ignored by clients. E_SYNTAX: a line end. */
MUST_USE struct status sse_put_comment(struct buf *out, struct span text);

struct sse_event {
	struct span name; /* empty: none was given ("message") */
	struct span data; /* lines joined by LF */
};

struct sse_reader {
	struct buf line;
	struct buf data;
	struct buf name;
	bool has_data;
	bool after_cr;
	bool started; /* past a byte order mark */
	bool dispatched;
};

/* Limits in bytes; 0 means the usual one above. Owner: sse_reader_done(). */
void sse_reader_init(struct sse_reader *r, size_t line_len_max, size_t event_len_max);
void sse_reader_done(struct sse_reader *r);
/*
 * Take bytes from the front of *in (which is advanced). OK: *ret is the next
 * event, valid until the next call. E_AGAIN: all input used, no whole event.
 * E_FULL: a line, name or event is too long; E_NOMEM. Both end the stream.
 */
MUST_USE struct status sse_reader_feed(
    struct sse_reader *r, struct span *in, struct sse_event *ret);

#endif
