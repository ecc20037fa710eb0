/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_WRITE_H
#define HTTP_WRITE_H

/*
 * Writers append to a buf, in the order line, fields, end, body. What would
 * break the message (CR, LF, NUL, a bad token) is refused with E_SYNTAX and
 * leaves the buf as it was; a full buf is E_FULL.
 */
#include <http/http.h>

#define HTTP_DATE_LEN 29 /* Sun, 06 Nov 1994 08:49:37 GMT */

/* The reason phrase of the one table of statuses; NULL: not ours to send. */
const char *http_reason(uint16_t status);

/* "HTTP/1.1 200 OK". E_RANGE: not in the table. */
MUST_USE struct status http_put_status(struct buf *out, uint16_t status);
/* "POST /path?query HTTP/1.1" and Host. `target` is origin-form, already encoded. */
MUST_USE struct status http_put_request(
    struct buf *out, struct span method, struct span target, struct span authority);

MUST_USE struct status http_put_field(struct buf *out, struct span name, struct span value);
MUST_USE struct status http_put_field_str(struct buf *out, const char *name, const char *value);
MUST_USE struct status http_put_field_u64(struct buf *out, const char *name, uint64_t value);
/* The value of Date (RFC 9110 §5.6.7); the text is kept for the second it names. */
struct span http_date(uint64_t real_ns);
MUST_USE struct status http_put_date(struct buf *out, uint64_t real_ns);
MUST_USE struct status http_put_length(struct buf *out, uint64_t len); /* Content-Length */
MUST_USE struct status http_put_chunked(struct buf *out);              /* Transfer-Encoding */
MUST_USE struct status http_put_close(struct buf *out);                /* Connection: close */
MUST_USE struct status http_put_end(struct buf *out);                  /* the empty line */

/* 100 Continue, whole. */
#define HTTP_CONTINUE SPAN_LIT("HTTP/1.1 100 Continue\r\n\r\n")

/*
 * A secret field comes last and never enters the buf: this puts "name: prefix";
 * then send buf, the secret, HTTP_SECRET_TAIL as one gathered write
 * (tls_writev, which wipes its copy). Check the secret with http_value_ok()
 * once, when it is loaded.
 */
#define HTTP_SECRET_TAIL SPAN_LIT("\r\n\r\n")
MUST_USE struct status http_put_secret_open(struct buf *out, struct span name, struct span prefix);

/* One chunk around `data`; nothing at all when it is empty. */
MUST_USE struct status http_put_chunk(struct buf *out, struct span data);
MUST_USE struct status http_put_chunk_end(struct buf *out);
/*
 * For chunks without a copy: the size line into `line`; send line, data, CRLF.
 * Returns the length of the line.
 */
#define HTTP_CHUNK_LINE_LEN_MAX 18
size_t http_chunk_line(size_t data_len, char line[HTTP_CHUNK_LINE_LEN_MAX]);

/* Percent-encode everything but unreserved characters (RFC 3986 §2.3). */
MUST_USE struct status http_put_encoded(struct buf *out, struct span s);

#endif
