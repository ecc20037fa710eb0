/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text: once masked, nothing more is found in it, and what was JSON or UTF-8 is still.
 * A key of ours is found wherever it is put, and so is a credential by its mark.
 */
#include <stdlib.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <crypto/crypto.h>
#include <json/json.h>
#include <leak.h>
#include <pasted/known.h>
#include <pasted/pasted.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
expect(bool ok)
{
	if (!ok)
		abort();
}

static void
check_leak(struct span text)
{
	auto_buf struct buf with = BUF_INIT(1UL << 22);
	uint8_t key[KEYTEXT_LEN];
	struct leaks leaks;

	expect(is_ok(keytext_create(key)));
	expect(is_ok(buf_put(&with, text.ptr, text.len / 2)));
	expect(is_ok(buf_put(&with, key, sizeof(key))));
	expect(is_ok(buf_put_span(&with, span_from(text, text.len / 2))));
	expect(is_ok(leak_find(buf_span(&with), &leaks)));
	expect(leaks.n > 0);
}

/* Part of the text. */
static void
check_known(struct span text)
{
	static const uint8_t key[KNOWN_KEY_LEN] = { 7 };
	struct known_mark mark;
	struct known *k;

	if (text.len < 2 * KNOWN_LEN_MIN || text.len > UINT16_MAX)
		return;
	expect(is_ok(known_new(key, &k)));
	expect(is_ok(known_mark(k, span_of(text.ptr + text.len / 4, text.len / 2), &mark)));
	expect(is_ok(known_add(k, &mark)));
	expect(known_in(k, text));
	known_free(k);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct json_doc d;
	const struct json_opts opts = JSON_STRICT;
	struct span text = span_of(data, size);
	auto_buf struct buf once = BUF_INIT(1UL << 22);

	if (d.opts.tokens_max == 0)
		expect(is_ok(crypto_init()) && is_ok(json_init(&d, &opts)));
	expect(is_ok(pasted_mask(text, &once)));
	expect(!pasted_any(buf_span(&once)));
	if (!pasted_any(text))
		expect(span_eq(text, buf_span(&once)));
	if (utf8_valid_len(text) == size)
		expect(utf8_valid_len(buf_span(&once)) == once.len);
	if (is_ok(json_parse(&d, text)))
		expect(is_ok(json_parse(&d, buf_span(&once))));
	check_leak(text);
	check_known(text);
	return 0;
}
