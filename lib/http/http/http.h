/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

/*
 * What HTTP messages are made of, whichever version carries them (RFC 9110).
 * Limits first; http_limits_default has them as one table.
 */
#include <base/span.h>

#define HTTP_LINE_LEN_MAX 8192     /* request or status line, bytes: 414 */
#define HTTP_HEADER_LEN_MAX 32768  /* all field lines, bytes: 431 */
#define HTTP_FIELDS_MAX 100        /* field lines: 431 */
#define HTTP_TRAILER_LEN_MAX 4096  /* all trailer lines, bytes: 431 */
#define HTTP_METHOD_LEN_MAX 32     /* 400 */
#define HTTP_AUTHORITY_LEN_MAX 261 /* 255 of host, colon, port: 400 */
#define HTTP_INTERIM_MAX 8         /* 1xx responses before the real one */

struct http_limits {
	size_t line_len_max;    /* <= HTTP_LINE_LEN_MAX */
	size_t header_len_max;  /* <= HTTP_HEADER_LEN_MAX */
	size_t fields_max;      /* <= HTTP_FIELDS_MAX */
	size_t trailer_len_max; /* <= HTTP_TRAILER_LEN_MAX */
	uint64_t body_len_max;  /* bytes: 413; 0 means that no body is allowed */
};

/* The limits above; body_len_max is 8 MiB. Copy and change. */
extern const struct http_limits http_limits_default;

struct http_field {
	struct span name;  /* lower case, a token */
	struct span value; /* no surrounding blanks, no controls but HTAB */
};

enum http_body {
	HTTP_BODY_NONE,
	HTTP_BODY_LENGTH, /* content_length tells how long */
	HTTP_BODY_STREAM, /* ends when it ends */
};

/*
 * One parsed request. It does not tell which version of HTTP carried it: fields
 * that speak about one connection (connection, keep-alive, proxy-connection,
 * transfer-encoding, upgrade, te, expect) and host are not in `fields`.
 * Everything is borrowed from the parser, valid until its next message.
 */
struct http_request {
	struct span method; /* a token, case kept */
	/*
	 * The target is one, but none that is ever served: `*`, host:port, a URI that is not
	 * https or not of this Host, a path with encoded NUL, control, slash or backslash,
	 * invalid UTF-8 or dot segments. Path and query are empty then.
	 */
	bool target_bad;
	/*
	 * Bad for nothing but encoded slashes: the decoded path, and where the first of them is
	 * in it. For a route that takes all behind its own path as one name; else empty.
	 */
	struct span slashed;
	size_t slash_at;
	struct span path;      /* percent-decoded once, valid UTF-8, begins with '/' */
	struct span query;     /* as received, without '?'; checked for its characters only */
	struct span authority; /* host[:port], lower case */
	const struct http_field *fields;
	size_t field_count;
	enum http_body body;
	uint64_t content_length; /* HTTP_BODY_LENGTH only */
	bool expect_continue;    /* the client waits for 100 before it sends the body */
};

struct http_response {
	uint16_t status; /* 200..599 */
	const struct http_field *fields;
	size_t field_count;
	enum http_body body;
	uint64_t content_length; /* HTTP_BODY_LENGTH only */
};

/* The only field `name` (lower case). Errors: E_NOTFOUND, E_EXISTS (several). */
MUST_USE struct status http_field_one(
    const struct http_field *fields, size_t count, const char *name, struct span *ret);
/* Same for a request. */
MUST_USE struct status http_request_field(
    const struct http_request *req, const char *name, struct span *ret);

/*
 * What a parser says after each feed. Feed the rest, span_from(in, used), again
 * until MORE; a zero `used` together with HEAD or END is not an error.
 */
enum http_event {
	HTTP_EV_MORE,  /* all input was used */
	HTTP_EV_HEAD,  /* the request or response object is ready */
	HTTP_EV_BODY,  /* `body` holds bytes of the body, borrowed from the input */
	HTTP_EV_END,   /* the message is complete; later bytes were not touched */
	HTTP_EV_ERROR, /* `error` is set; the connection is lost, every later feed says so again */
};

struct http_step {
	enum http_event event;
	uint16_t error; /* request: 400 413 414 431 505, or 503 (memory); response: 502, 503 */
	size_t used;    /* bytes of the input that need not be fed again */
	struct span body;
};

/* True for a token (RFC 9110 §5.6.2): method and field names. */
bool http_token_ok(struct span s);
/* True for a field value: no controls but HTAB, no blanks at its ends. */
bool http_value_ok(struct span s);

#endif
