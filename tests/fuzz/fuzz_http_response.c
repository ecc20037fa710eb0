/* SPDX-License-Identifier: Apache-2.0 */
/* Responses on one connection, to its end; small limits so that they are met. */
#include "fuzz_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
log_responses(struct span in, struct cuts cuts, struct buf *log)
{
	const struct http_limits limits = { 512, 1024, 16, 128, 4096 };

	http_log_responses(&limits, false, in, cuts, log);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_splits(data, size, log_responses);
}
