/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H

/*
 * Strict push parser for HTTP/1.1 requests (RFC 9112). No I/O. One parser per
 * connection, one message at a time:
 *
 *	step = http_request_feed(p, in); in = span_from(in, step.used);
 *	  MORE   read more bytes
 *	  HEAD   http_request_get(p); send 100 if expect_continue and wanted
 *	  BODY   step.body
 *	  END    answer; then http_request_next(p), or close if !http_request_keep_alive(p)
 *	  ERROR  answer step.error, close
 *
 * Refused: every version but 1.1 (505; 1.0 has no chunked answers), bare CR and
 * LF, obs-fold, blanks before the colon, controls, duplicate or missing Host,
 * duplicate or non-digit Content-Length, Content-Length with Transfer-Encoding,
 * any coding but one `chunked`, chunk extensions, framing fields in trailers,
 * what is none of the four forms of a target, an unknown expectation. A target
 * that is well formed but never served makes no error: see target_bad. At most one
 * empty line is skipped before a request. Where the input is split never changes
 * the result.
 */
#include <http/http.h>

struct http_request_parser;

/* Errors: E_NOMEM. Owner: the caller frees. `limits` is copied; NULL = default. */
MUST_USE struct status http_request_parser_new(
    const struct http_limits *limits, struct http_request_parser **ret);
void http_request_parser_free(struct http_request_parser *p); /* NULL is fine */

struct http_step http_request_feed(struct http_request_parser *p, struct span in);

/* State: from HEAD to http_request_next(). */
const struct http_request *http_request_get(const struct http_request_parser *p);
/* State: from HEAD on. False: the answer must say Connection: close. */
bool http_request_keep_alive(const struct http_request_parser *p);
/* True between messages: no byte of the next one has come (idle or header timeout?). */
bool http_request_idle(const struct http_request_parser *p);
/* True once the head was reported (header or body timeout?). */
bool http_request_in_body(const struct http_request_parser *p);
/* State: after END. Ready for the next message; the last one's spans are gone. */
void http_request_next(struct http_request_parser *p);
/* State: after HEAD, before the first BODY. Lower the limit for one message. */
void http_request_limit_body(struct http_request_parser *p, uint64_t body_len_max);

#endif
