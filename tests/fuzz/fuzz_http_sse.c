/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of server-sent events, read; what was read is written and read again. */
#include "fuzz_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
log_events(struct span in, struct cuts cuts, struct buf *log)
{
	sse_log(256, 1024, in, cuts, log);
}

/* Any bytes as data come back as one event with LF for each line end. */
static void
round_trip(struct span data)
{
	auto_buf struct buf out = BUF_INIT(LOG_LEN_MAX);
	struct sse_reader r;
	struct sse_event e;
	struct span in;

	must(sse_put(&out, SPAN_LIT("x"), data));
	in = buf_span(&out);
	sse_reader_init(&r, 0, 0);
	must(sse_reader_feed(&r, &in, &e));
	if (in.len != 0 || !span_eq_str(e.name, "x") || e.data.len > data.len)
		abort();
	sse_reader_done(&r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	round_trip(span_of(data, size));
	return fuzz_splits(data, size, log_events);
}
