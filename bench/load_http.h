/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_LOAD_HTTP_H
#define BENCH_LOAD_HTTP_H

/*
 * Reads one HTTP/1.1 answer as its bytes arrive: status, length, and whether a
 * text has been seen in its body.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ANSWER_LINE_MAX 1024
#define ANSWER_BEGIN_MAX 200

enum answer_state {
	ANSWER_STATUS,
	ANSWER_FIELDS,
	ANSWER_BODY,
	ANSWER_CHUNK_SIZE,
	ANSWER_CHUNK_DATA,
	ANSWER_CHUNK_END,
	ANSWER_TRAILER,
	ANSWER_DONE,
	ANSWER_BAD,
};

struct answer {
	enum answer_state state;
	int status;
	bool chunked, close;
	uint64_t left; /* of the body, or of the chunk */
	char line[ANSWER_LINE_MAX];
	size_t line_len;
	const char *text; /* NULL: the first byte of the body counts */
	size_t matched;
	bool found;
	char begin[ANSWER_BEGIN_MAX + 1]; /* of its body, as text */
	size_t begin_len;
};

void answer_init(struct answer *a, const char *text);
void answer_feed(struct answer *a, const char *bytes, size_t n);

#endif
