/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blob.c: parts of tools: modules, what was compiled of them, native files.
 *
 * Runs in: store. Trusts: nothing that it reads. Owns: one chunk at a time.
 * Invariants: a chunk opens only as that chunk of that part of that version, of that
 * length in all; a part is handed on only when its digest is the one in the meta data.
 * See: tool.h; crypto/seal.h.
 */
#include "tool.h"

#include <base/cleanup.h>
#include <base/io.h>
#include <base/memfd.h>
#include <crypto/hash.h>
#include <crypto/seal.h>

#define AAD_MAX 64

static void
hash_done(struct sha256_ctx **h)
{
	sha256_free(*h);
}
#define auto_hash __attribute__((cleanup(hash_done)))

static struct status
put_be64(struct buf *out, uint64_t v)
{
	uint8_t bytes[8];

	for (size_t i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(v >> (56 - 8 * i));
	return buf_put(out, bytes, sizeof(bytes));
}

static struct status
aad_put(uint64_t version, enum tool_part part, uint64_t n, uint64_t len, struct buf *out)
{
	TRY(buf_put(out, "tool_chunks", sizeof("tool_chunks")));
	TRY(put_be64(out, version));
	TRY(buf_put_u8(out, (uint8_t)part));
	TRY(put_be64(out, n));
	return put_be64(out, len);
}

static size_t
chunk_len(size_t len, size_t at)
{
	return len - at < CHUNK_LEN ? len - at : CHUNK_LEN;
}

static struct status
chunk_put(
    struct db *db, uint64_t version, enum tool_part part, size_t at, size_t len, struct span piece)
{
	auto_buf struct buf aad = BUF_INIT(AAD_MAX), sealed = BUF_INIT(CHUNK_LEN + SEAL_OVERHEAD);

	TRY(aad_put(version, part, at / CHUNK_LEN, len, &aad));
	TRY(seal(&db->tools.key, buf_span(&aad), piece, &sealed));
	sql_int(db, SQL_CHUNK_ADD, 1, version);
	sql_int(db, SQL_CHUNK_ADD, 2, (uint64_t)part);
	sql_int(db, SQL_CHUNK_ADD, 3, at / CHUNK_LEN);
	sql_blob(db, SQL_CHUNK_ADD, 4, buf_span(&sealed));
	return sql_run(db, SQL_CHUNK_ADD);
}

struct status
blob_put(struct db *db, uint64_t version, enum tool_part part, const struct blob_from *from,
    uint8_t ret_digest[DIGEST_LEN])
{
	auto_buf struct buf piece = BUF_INIT(CHUNK_LEN);
	auto_hash struct sha256_ctx *hash = NULL;

	TRY(sha256_new(&hash));
	for (size_t at = 0; at < from->len; at += CHUNK_LEN) {
		size_t n = chunk_len(from->len, at);
		struct span bytes = span_of(from->bytes.ptr + (from->fd < 0 ? at : 0), n);

		if (from->fd >= 0) {
			buf_clear(&piece);
			TRY(buf_reserve(&piece, n));
			TRY(memfd_read(from->fd, at, piece.ptr, n));
			bytes = span_of(piece.ptr, n);
		}
		TRY(sha256_update(hash, bytes));
		TRY(chunk_put(db, version, part, at, from->len, bytes));
	}
	return sha256_final(hash, ret_digest);
}

static struct status
chunk_get(
    struct db *db, uint64_t version, enum tool_part part, size_t at, size_t len, struct buf *plain)
{
	auto_buf struct buf aad = BUF_INIT(AAD_MAX);
	struct status st;

	TRY(aad_put(version, part, at / CHUNK_LEN, len, &aad));
	sql_int(db, SQL_CHUNK_GET, 1, version);
	sql_int(db, SQL_CHUNK_GET, 2, (uint64_t)part);
	sql_int(db, SQL_CHUNK_GET, 3, at / CHUNK_LEN);
	st = sql_row(db, SQL_CHUNK_GET);
	if (st.code == E_NOTFOUND)
		return fail(E_CORRUPT);
	TRY(st);
	buf_clear(plain);
	st = seal_open(&db->tools.key, buf_span(&aad), sql_column(db, SQL_CHUNK_GET, 0), plain);
	sql_reset(db, SQL_CHUNK_GET);
	if (st.code == E_NOMEM)
		return st;
	return is_ok(st) && plain->len == chunk_len(len, at) ? OK : fail(E_CORRUPT);
}

/* All of it, into `fd`, where there is one. */
static struct status
blob_read(struct db *db, uint64_t version, enum tool_part part, size_t len,
    const uint8_t digest[DIGEST_LEN], int fd)
{
	auto_buf struct buf piece = BUF_INIT(CHUNK_LEN);
	auto_hash struct sha256_ctx *hash = NULL;
	uint8_t got[DIGEST_LEN];

	TRY(sha256_new(&hash));
	for (size_t at = 0; at < len; at += CHUNK_LEN) {
		TRY(chunk_get(db, version, part, at, len, &piece));
		TRY(sha256_update(hash, buf_span(&piece)));
		if (fd >= 0)
			TRY(io_write_all(fd, buf_span(&piece)));
	}
	TRY(sha256_final(hash, got));
	return memcmp(got, digest, DIGEST_LEN) == 0 ? OK : fail(E_CORRUPT);
}

struct status
blob_get(struct db *db, uint64_t version, enum tool_part part, size_t len,
    const uint8_t digest[DIGEST_LEN], int fd)
{
	return blob_read(db, version, part, len, digest, fd);
}

struct status
blob_check(struct db *db, uint64_t version, enum tool_part part, size_t len,
    const uint8_t digest[DIGEST_LEN])
{
	return blob_read(db, version, part, len, digest, -1);
}

struct status
blob_range(
    struct db *db, uint64_t version, enum tool_part part, size_t len, size_t from, struct buf *out)
{
	auto_buf struct buf piece = BUF_INIT(CHUNK_LEN);

	for (size_t at = from - from % CHUNK_LEN; at < len && out->len < out->max;
	     at += CHUNK_LEN) {
		struct span bytes;

		TRY(chunk_get(db, version, part, at, len, &piece));
		bytes = span_from(buf_span(&piece), from > at ? from - at : 0);
		if (bytes.len > out->max - out->len)
			bytes.len = out->max - out->len;
		TRY(buf_put_span(out, bytes));
	}
	return OK;
}

struct status
blob_remove(struct db *db, uint64_t version, enum tool_part part)
{
	sql_int(db, SQL_CHUNKS_REMOVE, 1, version);
	sql_int(db, SQL_CHUNKS_REMOVE, 2, (uint64_t)part);
	return sql_run(db, SQL_CHUNKS_REMOVE);
}
