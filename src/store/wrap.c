/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wrap.c: secrets of the database, sealed under the key-encryption key.
 *
 * Runs in: store. Trusts: nothing that it opens. Owns: nothing.
 * Invariants: a sealed value opens only in the table, row and column that it was
 * sealed for; the parts of that place are kept apart by NULs, which no name has.
 * See: crypto/seal.h.
 */
#include "internal.h"

#include <base/cleanup.h>
#include <crypto/seal.h>

#define AAD_MAX 512

static struct status
aad_put(const struct place *at, struct buf *out)
{
	TRY(buf_put_str(out, at->table));
	for (size_t i = 0; i < 2; i++) {
		TRY(buf_put_u8(out, 0));
		TRY(buf_put_span(out, at->row[i]));
	}
	TRY(buf_put_u8(out, 0));
	return buf_put_str(out, at->column);
}

struct status
wrap(const struct secret *kek, const struct place *at, const uint8_t *plain, struct buf *out)
{
	auto_buf struct buf aad = BUF_INIT(AAD_MAX);

	TRY(aad_put(at, &aad));
	return seal(kek, buf_span(&aad), span_of(plain, AS_SECRET_LEN), out);
}

struct status
unwrap(const struct secret *kek, const struct place *at, struct span blob, uint8_t *out)
{
	auto_buf struct buf aad = BUF_INIT(AAD_MAX);
	auto_secret struct secret plain = SECRET_NONE;

	TRY(aad_put(at, &aad));
	TRY(seal_open_secret(kek, buf_span(&aad), blob, &plain));
	if (plain.len != AS_SECRET_LEN)
		return fail(E_CORRUPT);
	memcpy(out, plain.ptr, AS_SECRET_LEN);
	return OK;
}
