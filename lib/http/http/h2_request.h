/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_H2_REQUEST_H
#define HTTP_H2_REQUEST_H

/*
 * A request as HTTP/2 brings it (RFC 9113 §8): fields that HPACK has decoded, then
 * pieces of a body. No I/O, no frames. What is refused, and with which status,
 * is what http/request.h refuses; the limits are the same and count the same:
 * a field is "name: value" and a line end, :authority is Host, method and path
 * are the request line.
 *
 * Refused besides: names in upper case, blanks around values, pseudo-header
 * fields that are unknown, missing, doubled or late, fields that speak about a
 * connection, te but "trailers", a body that is not as long as content-length
 * says. A scheme other than https, CONNECT, and a host that is not :authority make
 * a target that is never served: see target_bad.
 */
#include <http/http.h>

#define HTTP_H2_EXCESS 4 /* times the limits of a head: then it is no accident */

struct http_h2_request;

/* Errors: E_NOMEM. Owner: the caller frees. `limits` is copied; NULL = default. */
MUST_USE struct status http_h2_request_new(
    const struct http_limits *limits, struct http_h2_request **ret);
void http_h2_request_free(struct http_h2_request *q); /* NULL is fine */

/*
 * One field of the head, copied. A fault is kept for http_h2_request_head().
 * False: HTTP_H2_EXCESS was reached; whoever sends this is to be sent away.
 */
bool http_h2_request_field(struct http_h2_request *q, struct span name, struct span value);
/* The head is complete. 0, or 400 413 414 431 503. `end`: no body follows. */
uint16_t http_h2_request_head(struct http_h2_request *q, bool end);
/* State: after a good head, until it is freed. */
const struct http_request *http_h2_request_get(const struct http_h2_request *q);
/* State: after a good head. `len` more bytes of the body came. 0, 400 or 413. */
uint16_t http_h2_request_body(struct http_h2_request *q, size_t len);
/* A trailer: checked, then dropped. 0, 400 or 431. */
uint16_t http_h2_request_trailer(struct http_h2_request *q, struct span name, struct span value);
/* The body is complete. 0 or 400. */
uint16_t http_h2_request_end(struct http_h2_request *q);

#endif
