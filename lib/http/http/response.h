/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_RESPONSE_H
#define HTTP_RESPONSE_H

/*
 * Push parser for HTTP/1.1 responses, client side (RFC 9112). Interim (1xx)
 * responses are skipped; 101 is an error. Bodies by Content-Length, chunked or
 * until close. As strict as the request parser, except that HTTP/1.0 is
 * understood and bounded chunk extensions are skipped. Errors are 502.
 */
#include <http/http.h>

struct http_response_parser;

MUST_USE struct status http_response_parser_new(
    const struct http_limits *limits, struct http_response_parser **ret);
void http_response_parser_free(struct http_response_parser *p); /* NULL is fine */

struct http_step http_response_feed(struct http_response_parser *p, struct span in);
/* The connection ended: END for a body until close, else ERROR (cut off). */
struct http_step http_response_eof(struct http_response_parser *p);

/* State: from HEAD to http_response_next() or http_response_drop_head(). */
const struct http_response *http_response_get(const struct http_response_parser *p);
/* State: after HEAD. It is read: wipe it and give its memory back while the body comes. */
void http_response_drop_head(struct http_response_parser *p);
/* State: after END. May the connection carry another request? */
bool http_response_keep_alive(const struct http_response_parser *p);
/* Before each request. `head` is true when its method is HEAD: no body follows. */
void http_response_next(struct http_response_parser *p, bool head);

#endif
