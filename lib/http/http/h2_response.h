/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_H2_RESPONSE_H
#define HTTP_H2_RESPONSE_H

/*
 * An answer as HTTP/2 brings it (RFC 9113 §8): fields that HPACK has decoded, then
 * pieces of a body; the answer to a request that is no HEAD. No I/O, no frames. What is
 * refused is what http/response.h refuses, and what h2_request.h does of names
 * and values; the limits are the same and count the same. Errors are 502, or 503
 * for our memory; the first one stays.
 */
#include <http/http.h>

#define HTTP_H2_EXCESS 4 /* times the limits of a head: then it is no accident */

struct http_h2_response;

/* Errors: E_NOMEM. Owner: the caller frees. `limits` is copied; NULL = default. */
MUST_USE struct status http_h2_response_new(
    const struct http_limits *limits, struct http_h2_response **ret);
void http_h2_response_free(struct http_h2_response *q); /* NULL is fine; wipes */

/*
 * One field of a head, copied. A fault is kept for http_h2_response_head().
 * False: HTTP_H2_EXCESS was reached; whoever sends this is to be left.
 */
bool http_h2_response_field(struct http_h2_response *q, struct span name, struct span value);
/* A head is complete. 0, 502 or 503. `end`: no body follows. *ret_interim: another head does. */
uint16_t http_h2_response_head(struct http_h2_response *q, bool end, bool *ret_interim);
/* State: after a good head that is not interim, until it is freed. */
const struct http_response *http_h2_response_get(const struct http_h2_response *q);
/* State: likewise. `len` more bytes of the body came. 0 or 502. */
uint16_t http_h2_response_body(struct http_h2_response *q, size_t len);
/* A trailer: checked, then dropped. 0 or 502. */
uint16_t http_h2_response_trailer(struct http_h2_response *q, struct span name, struct span value);
/* The body is complete. 0 or 502. */
uint16_t http_h2_response_end(struct http_h2_response *q);

#endif
