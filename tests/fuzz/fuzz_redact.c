/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A secret and a stream that is cut anywhere: no form of it comes out, however it is escaped, and
 * a text without it is not changed. An input is: length of the secret, the secret, count of cuts,
 * the cuts, the bytes; a byte 1 to 4 in them stands for the secret, as it is or escaped.
 */
#include <stdlib.h>

#include <base/cleanup.h>
#include <crypto/crypto.h>
#include <redact.h>

#include "../unit/redact_oracle.h"

#define TEXT_MAX 4096 /* the oracle is slow */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static void
put_secret(struct buf *out, struct span secret, unsigned way, unsigned every)
{
	static const char *const before[] = { "", "\\u00", "%", "" };

	for (size_t i = 0; i < secret.len; i++) {
		uint8_t c = secret.ptr[i];

		if (way == 0 || (way < 3 && every > 1 && i % every != 0))
			check(is_ok(buf_put_u8(out, c)));
		else
			check(is_ok(buf_printf(out, "%s%02x", before[way], c)));
	}
}

static void
expand(struct buf *out, struct span secret, struct span in)
{
	for (size_t i = 0; i < in.len && out->len < TEXT_MAX - 1600; i++) {
		if (in.ptr[i] >= 1 && in.ptr[i] <= 4)
			put_secret(out, secret, in.ptr[i] - 1, i % 4);
		else
			check(is_ok(buf_put_u8(out, in.ptr[i])));
	}
}

static void
stream(const struct redactor *r, const struct oracle *o, struct span cuts, struct span in)
{
	auto_buf struct buf out = BUF_INIT(TEXT_MAX);
	struct span all = in;
	static uint8_t work[TEXT_MAX];
	size_t held = 0;

	for (size_t i = 0; in.len > 0; i++) {
		size_t n = i < cuts.len ? cuts.ptr[i] : in.len, len;

		n = n < in.len ? n : in.len;
		if (n > 0)
			memcpy(work + held, in.ptr, n);
		len = held + n;
		(void)redact_part(r, work, len, &held);
		check(held <= REDACT_HELD_MAX && held <= len);
		check(is_ok(buf_put(&out, work, len - held)));
		memmove(work, work + len - held, held);
		in = span_from(in, n);
	}
	(void)redact_part(r, work, held, NULL);
	check(is_ok(buf_put(&out, work, held)));
	check(out.len == all.len);
	for (size_t i = 0; i < out.len; i++)
		check(out.ptr[i] == all.ptr[i] || out.ptr[i] == REDACT_MARK);
	if (oracle_finds(o, all))
		check(!oracle_finds(o, buf_span(&out)));
	else
		check(memcmp(out.ptr, all.ptr, out.len) == 0);
}

/* As credentials are: what may stand in a header's value, in ASCII; no mark, which would hide. */
static bool
fit(struct span secret)
{
	for (size_t i = 0; i < secret.len; i++) {
		if (secret.ptr[i] <= ' ' || secret.ptr[i] > '~' || secret.ptr[i] == REDACT_MARK)
			return false;
	}
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct redactor r = REDACTOR_NONE;
	struct span in = span_of(data, size), secret, cuts;
	auto_buf struct buf text = BUF_INIT(TEXT_MAX);
	struct oracle o;

	if (size < 2 || size > TEXT_MAX / 2 || 1U + data[0] >= size)
		return 0;
	secret = span_of(data + 1, data[0]);
	in = span_from(in, 1 + secret.len);
	cuts = span_of(in.ptr + 1, in.ptr[0] & 15U);
	if (1 + cuts.len > in.len || secret.len < 8 || !fit(secret) ||
	    !is_ok(redactor_init(&r, secret)))
		return 0;
	o = oracle_new(secret);
	expand(&text, secret, span_from(in, 1 + cuts.len));
	if (text.len > 0)
		stream(&r, &o, cuts, buf_span(&text));
	oracle_done(&o);
	redactor_done(&r);
	return 0;
}
