/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A secret and a stream that is cut anywhere: no form of it comes out, nothing else is changed. An
 * input is: length of the secret, the secret, count of cuts, the cuts, the bytes.
 */
#include <stdlib.h>

#include <base/cleanup.h>
#include <crypto/crypto.h>
#include <redact.h>

#define TEXT_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool ok)
{
	if (!ok)
		abort();
}

static void
no_needle(const struct redactor *r, struct span out)
{
	for (size_t i = 0; i < r->count; i++) {
		struct span n = r->needles[i];

		check(memchr(n.ptr, REDACT_MARK, n.len) != NULL ||
		      memmem(out.ptr, out.len, n.ptr, n.len) == NULL);
	}
}

static void
stream(const struct redactor *r, struct span cuts, struct span in)
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
		check(held <= r->held_max && held <= len);
		check(is_ok(buf_put(&out, work, len - held)));
		memmove(work, work + len - held, held);
		in = span_from(in, n);
	}
	check(is_ok(buf_put(&out, work, held)));
	check(out.len == all.len);
	for (size_t i = 0; i < out.len; i++)
		check(out.ptr[i] == all.ptr[i] || out.ptr[i] == REDACT_MARK);
	no_needle(r, buf_span(&out));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct redactor r = REDACTOR_NONE;
	struct span in = span_of(data, size), secret, cuts;

	if (size < 2 || size > TEXT_MAX / 2 || 1U + data[0] >= size)
		return 0;
	secret = span_of(data + 1, data[0]);
	in = span_from(in, 1 + secret.len);
	cuts = span_of(in.ptr + 1, in.ptr[0] & 15U);
	if (1 + cuts.len > in.len || !is_ok(redactor_init(&r, secret)))
		return 0;
	stream(&r, cuts, span_from(in, 1 + cuts.len));
	redactor_done(&r);
	return 0;
}
