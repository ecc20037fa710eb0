/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_HEAD_H
#define HTTP_HEAD_H

/* Inside lib/http only: the start line and field lines of one message. */
#include <http/http.h>

#define HEAD_MORE 0 /* all input used */
#define HEAD_DONE 1 /* the empty line has come; else an HTTP status: an error */

enum head_state {
	HEAD_LINE,
	HEAD_LINE_LF,
	HEAD_SKIP_LF, /* of the empty line before a request */
	HEAD_FIELD,
	HEAD_FIELD_LF,
	HEAD_END_LF,
	HEAD_STATES,
};

struct head {
	enum head_state state;
	unsigned line_class; /* CH_LINE, or CH_VALUE for a status line */
	bool may_skip;       /* one empty line before the start line */
	bool skipped;
	uint8_t *ptr; /* lines without their ends; may hold credentials: wiped */
	size_t len, cap;
	size_t line_len;           /* of the start line, which is at ptr */
	size_t line_at;            /* where the current line begins */
	size_t fields_len;         /* bytes of field lines with their ends */
	struct http_field *fields; /* grows as they come: few messages have many */
	size_t count, fields_cap;
};

/* The limits are already clamped. Returns HEAD_MORE, HEAD_DONE or a status. */
uint16_t http_head_feed(
    struct head *h, const struct http_limits *limits, struct span in, size_t *ret_used);
void http_head_reset(struct head *h); /* wipes; keeps a small buffer */
void http_head_done(struct head *h);

/* For heads that come field by field. Bytes are copied; false: no memory. */
bool http_head_keep(struct head *h, struct span s);
/* Name and value, checked by the caller: 0, 431 or 503. fields_len is the caller's. */
uint16_t http_head_add(
    struct head *h, const struct http_limits *limits, struct span name, struct span value);

/* "name: value" → lower-case name (in place), trimmed value; false: malformed. */
bool http_field_parse(uint8_t *line, size_t len, struct http_field *ret);
/* The caller's limits, none above those of http.h. */
struct http_limits http_limits_clamp(const struct http_limits *limits);

#endif
