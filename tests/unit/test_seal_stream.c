/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealed streams: what goes in comes out at every length around a chunk; a stream that was
 * cut, made longer, reordered, doubled, mixed or changed in any bit does not open.
 */
#include "unit.h"

#include <stdlib.h>

#include <base/cleanup.h>
#include <base/rand.h>
#include <crypto/crypto.h>
#include <crypto/seal_stream.h>

#define CHUNK (SEAL_CHUNK_LEN + SEAL_TAG_LEN)
#define STREAM_MAX (4U << 20)
#define AAD SPAN_LIT("file 7")

static struct secret key;

static int
setup(void **arg)
{
	(void)arg;
	assert_true(is_ok(crypto_init()));
	assert_true(is_ok(secret_random(SEAL_KEY_LEN, &key)));
	return 0;
}

static void
sealed(struct span plain, struct buf *out)
{
	struct seal_stream *s = NULL;
	size_t at = 0;
	bool last;

	assert_true(is_ok(seal_stream_new(&key, AAD, &s)));
	assert_true(is_ok(buf_put_span(out, seal_stream_head(s))));
	do {
		size_t n = plain.len - at < SEAL_CHUNK_LEN ? plain.len - at : SEAL_CHUNK_LEN;

		last = at + n == plain.len;
		assert_true(is_ok(seal_stream_put(s, span_of(plain.ptr + at, n), last, out)));
		at += n;
	} while (!last);
	assert_int_equal(seal_stream_put(s, SPAN_EMPTY, true, out).code, E_PROTO);
	seal_stream_free(s);
}

static struct status
opened(struct span blob, struct span aad, struct buf *out)
{
	struct seal_stream *s = NULL;
	struct status st;
	size_t at = SEAL_STREAM_HEAD_LEN;

	if (blob.len < SEAL_STREAM_HEAD_LEN)
		return fail(E_SYNTAX);
	st = seal_stream_open(&key, aad, span_of(blob.ptr, SEAL_STREAM_HEAD_LEN), &s);
	do {
		size_t n = blob.len - at < CHUNK ? blob.len - at : CHUNK;

		if (is_ok(st))
			st = seal_stream_get(s, span_of(blob.ptr + at, n), at + n == blob.len, out);
		at += n;
	} while (is_ok(st) && at < blob.len);
	seal_stream_free(s);
	return st;
}

static void
every_length(void **arg)
{
	static const size_t lens[] = { 0, 1, 15, 16, SEAL_CHUNK_LEN - 1, SEAL_CHUNK_LEN,
		SEAL_CHUNK_LEN + 1, 2 * SEAL_CHUNK_LEN, 3 * SEAL_CHUNK_LEN + 77 };
	uint8_t *plain = malloc(4 * SEAL_CHUNK_LEN);

	(void)arg;
	assert_true(is_ok(rand_bytes(plain, 4 * SEAL_CHUNK_LEN)));
	for (size_t i = 0; i < COUNT(lens); i++) {
		auto_buf struct buf blob = BUF_INIT(STREAM_MAX), out = BUF_INIT(STREAM_MAX);

		sealed(span_of(plain, lens[i]), &blob);
		assert_true(is_ok(opened(buf_span(&blob), AAD, &out)));
		assert_true(span_eq(buf_span(&out), span_of(plain, lens[i])));
		assert_int_equal(opened(buf_span(&blob), SPAN_LIT("file 8"), &out).code, E_CRYPTO);
	}
	free(plain);
}

static void
cut_or_longer(void **arg)
{
	auto_buf struct buf blob = BUF_INIT(STREAM_MAX), out = BUF_INIT(STREAM_MAX);
	uint8_t *plain = calloc(1, 3 * SEAL_CHUNK_LEN);

	(void)arg;
	sealed(span_of(plain, 2 * SEAL_CHUNK_LEN + 50), &blob);
	for (size_t n = 0; n < blob.len; n += n % CHUNK < 200 ? 1 : 4099)
		assert_false(is_ok(opened(span_of(blob.ptr, n), AAD, &out)));
	/* exactly at the end of a chunk */
	for (size_t i = 1; i <= 2; i++)
		assert_int_equal(
		    opened(span_of(blob.ptr, SEAL_STREAM_HEAD_LEN + i * CHUNK), AAD, &out).code,
		    E_CRYPTO);
	assert_true(is_ok(buf_put_u8(&blob, 0)));
	assert_int_equal(opened(buf_span(&blob), AAD, &out).code, E_CRYPTO);
	blob.len--;
	assert_true(is_ok(buf_put(&blob, blob.ptr + SEAL_STREAM_HEAD_LEN, 66)));
	assert_int_equal(opened(buf_span(&blob), AAD, &out).code, E_CRYPTO);
	free(plain);
}

static void
moved(void **arg)
{
	auto_buf struct buf a = BUF_INIT(STREAM_MAX), b = BUF_INIT(STREAM_MAX),
			    out = BUF_INIT(STREAM_MAX);
	uint8_t *plain = calloc(1, 4 * SEAL_CHUNK_LEN), *chunk = malloc(CHUNK);
	uint8_t *first;

	(void)arg;
	sealed(span_of(plain, 3 * SEAL_CHUNK_LEN + 1), &a);
	sealed(span_of(plain, 3 * SEAL_CHUNK_LEN + 1), &b);
	first = a.ptr + SEAL_STREAM_HEAD_LEN;
	/* the same plain text in each chunk, and still none fits another's place */
	memcpy(chunk, first, CHUNK);
	memcpy(first, first + CHUNK, CHUNK);
	assert_int_equal(opened(buf_span(&a), AAD, &out).code, E_CRYPTO); /* doubled */
	memcpy(first + CHUNK, chunk, CHUNK);
	assert_int_equal(opened(buf_span(&a), AAD, &out).code, E_CRYPTO); /* swapped */
	memcpy(first + CHUNK, first, CHUNK);
	memcpy(first, chunk, CHUNK);
	assert_true(is_ok(opened(buf_span(&a), AAD, &out)));
	/* of another stream under the same key */
	memcpy(first, b.ptr + SEAL_STREAM_HEAD_LEN, CHUNK);
	assert_int_equal(opened(buf_span(&a), AAD, &out).code, E_CRYPTO);
	memcpy(first, chunk, CHUNK);
	memcpy(a.ptr, b.ptr, SEAL_STREAM_HEAD_LEN);
	assert_int_equal(opened(buf_span(&a), AAD, &out).code, E_CRYPTO);
	free(plain);
	free(chunk);
}

static void
every_bit(void **arg)
{
	auto_buf struct buf blob = BUF_INIT(STREAM_MAX), out = BUF_INIT(STREAM_MAX);
	auto_secret struct secret other = SECRET_NONE;
	struct seal_stream *s = NULL;

	(void)arg;
	sealed(SPAN_LIT("some text"), &blob);
	for (size_t bit = 0; bit < blob.len * 8; bit++) {
		blob.ptr[bit / 8] ^= (uint8_t)(1U << bit % 8);
		assert_false(is_ok(opened(buf_span(&blob), AAD, &out)));
		blob.ptr[bit / 8] ^= (uint8_t)(1U << bit % 8);
	}
	assert_int_equal(out.len, 0);
	assert_true(is_ok(secret_random(SEAL_KEY_LEN, &other)));
	assert_int_equal(
	    seal_stream_open(&other, AAD, span_of(blob.ptr, SEAL_STREAM_HEAD_LEN), &s).code,
	    E_CRYPTO);
	assert_int_equal(seal_stream_open(&key, AAD, SPAN_LIT("x"), &s).code, E_SYNTAX);
}

static void
wrong_use(void **arg)
{
	auto_buf struct buf out = BUF_INIT(STREAM_MAX);
	struct seal_stream *s = NULL;
	uint8_t *plain = calloc(1, SEAL_CHUNK_LEN + 1);

	(void)arg;
	assert_int_equal(
	    seal_stream_new(&key, span_of(plain, SEAL_STREAM_AAD_MAX + 1), &s).code, E_RANGE);
	assert_true(is_ok(seal_stream_new(&key, SPAN_EMPTY, &s)));
	assert_int_equal(seal_stream_put(s, SPAN_LIT("short"), false, &out).code, E_RANGE);
	assert_int_equal(
	    seal_stream_put(s, span_of(plain, SEAL_CHUNK_LEN + 1), true, &out).code, E_RANGE);
	assert_int_equal(seal_stream_get(s, span_of(plain, 16), true, &out).code, E_CRYPTO);
	seal_stream_free(s);
	seal_stream_free(NULL);
	free(plain);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_length),
		cmocka_unit_test(cut_or_longer),
		cmocka_unit_test(moved),
		cmocka_unit_test(every_bit),
		cmocka_unit_test(wrong_use),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
