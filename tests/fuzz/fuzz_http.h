/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_HTTP_H
#define FUZZ_HTTP_H

/* An input is: count of cuts (0..15), the cuts, the bytes. However they are cut, the log is one. */
#include "../unit/test_http.h"

#define LOG_LEN_MAX (64U << 20)

typedef void log_fn(struct span in, struct cuts cuts, struct buf *log);

static inline int
fuzz_splits(const uint8_t *data, size_t size, log_fn *write_log)
{
	auto_buf struct buf whole = BUF_INIT(LOG_LEN_MAX), split = BUF_INIT(LOG_LEN_MAX);
	size_t count = size == 0 ? 0 : data[0] & 15U;
	struct span in = span_from(span_of(data, size), 1 + count);

	if (size < 1 + count)
		return 0;
	write_log(in, (struct cuts){ 0 }, &whole);
	write_log(in, (struct cuts){ data + 1, count, 0 }, &split);
	if (!span_eq(buf_span(&whole), buf_span(&split)))
		abort();
	return 0;
}

#endif
