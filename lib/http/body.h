/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_BODY_H
#define HTTP_BODY_H

/* Inside lib/http only: where a body ends, and the bytes of it. */
#include <http/http.h>

enum body_kind {
	BODY_NONE,
	BODY_LENGTH,
	BODY_CHUNKED,
	BODY_CLOSE, /* until the connection ends */
};

enum chunk_state {
	CHUNK_SIZE,
	CHUNK_EXT,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	CHUNK_TRAILER,
	CHUNK_TRAILER_LF,
	CHUNK_END_LF,
	CHUNK_END,
};

struct body {
	enum body_kind kind;
	enum chunk_state state;
	uint64_t left;  /* of the body or of the chunk */
	uint64_t total; /* seen or announced so far */
	uint64_t max;   /* 413 */
	unsigned digits;
	size_t ext_len, ext_max; /* ext_max 0: no chunk extensions */
	size_t trailer_len, trailer_max;
	struct buf line; /* one trailer line */
};

/* Keeps the memory of `line`. */
void http_body_start(struct body *b, enum body_kind kind, uint64_t length, uint64_t max);
void http_body_done(struct body *b);
struct http_step http_body_feed(struct body *b, struct span in);

#endif
