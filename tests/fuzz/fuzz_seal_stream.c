/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealed streams: bytes of a stream that was made here, changed by the input: two bytes where,
 * one byte what, as often as there is input. What opens is what was put in.
 */
#include <stdlib.h>

#include <base/cleanup.h>
#include <crypto/crypto.h>
#include <crypto/seal_stream.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct secret key;

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t text[300] = { 1, 2, 3 };
	auto_buf struct buf blob = BUF_INIT(4096), out = BUF_INIT(4096);
	struct seal_stream *s = NULL;
	struct span head;

	if (key.len == 0 && (!is_ok(crypto_init()) || !is_ok(secret_random(SEAL_KEY_LEN, &key))))
		abort();
	if (!is_ok(seal_stream_new(&key, SPAN_EMPTY, &s)) ||
	    !is_ok(buf_put_span(&blob, seal_stream_head(s))) ||
	    !is_ok(seal_stream_put(s, span_of(text, sizeof(text)), true, &blob)))
		abort();
	seal_stream_free(s);
	s = NULL;
	for (size_t i = 0; i + 2 < size; i += 3) {
		blob.ptr[(data[i] << 8 | data[i + 1]) % blob.len] ^= data[i + 2];
	}
	if (size % 3 == 1)
		blob.len -= data[size - 1] % blob.len;
	head = span_of(blob.ptr, blob.len < SEAL_STREAM_HEAD_LEN ? blob.len : SEAL_STREAM_HEAD_LEN);
	if (is_ok(seal_stream_open(&key, SPAN_EMPTY, head, &s)) &&
	    is_ok(
		seal_stream_get(s, span_from(buf_span(&blob), SEAL_STREAM_HEAD_LEN), true, &out)) &&
	    !span_eq(buf_span(&out), span_of(text, sizeof(text))))
		abort();
	seal_stream_free(s);
	return 0;
}
