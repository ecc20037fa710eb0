/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text: what is left has no ESC and no C1 control, is valid UTF-8 where the text was,
 * and nothing more comes off it.
 */
#include <stdlib.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <strip.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
expect(bool ok)
{
	if (!ok)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = span_of(data, size);
	auto_buf struct buf once = BUF_INIT(1UL << 20), twice = BUF_INIT(1UL << 20);

	expect(is_ok(text_strip(text, &once)));
	expect(once.len <= size);
	expect(size == 0 || memchr(once.ptr, 0x1b, once.len) == NULL);
	if (utf8_valid_len(text) != size)
		return 0;
	expect(utf8_valid_len(buf_span(&once)) == once.len);
	expect(is_ok(text_strip(buf_span(&once), &twice)));
	expect(span_eq(buf_span(&once), buf_span(&twice)));
	return 0;
}
