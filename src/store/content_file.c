/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content_file.c: the bytes of files, in chunks.
 *
 * Runs in: store, jailed. Trusts: nothing that it reads. Owns: one chunk at a time.
 * Invariants: a chunk opens only as that chunk of that file of that user; how many there are,
 * and how long the last one is, says the file's own value.
 * See: content.h.
 */
#include "content.h"

#include <base/cleanup.h>

/* The file's row and the chunk's number; the state says how long the file is. */
static struct place
chunk_place(int64_t file, uint64_t n, uint8_t numbers[16])
{
	return (struct place){ "chunks",
		{ place_number((uint64_t)file, numbers), place_number(n, numbers + 8) }, "value" };
}

static size_t
chunk_len(uint64_t len, uint64_t at)
{
	return len - at < CONTENT_CHUNK_LEN ? (size_t)(len - at) : CONTENT_CHUNK_LEN;
}

struct status
file_write(struct content *c, const struct object *o, struct span bytes)
{
	auto_buf struct buf sealed = BUF_INIT(CONTENT_CHUNK_LEN + SEAL_OVERHEAD);

	for (size_t at = 0; at < bytes.len; at += CONTENT_CHUNK_LEN) {
		uint64_t n = at / CONTENT_CHUNK_LEN, key = 0;
		uint8_t numbers[16];
		const struct place place = chunk_place(o->id, n, numbers);

		buf_clear(&sealed);
		TRY(keyring_value_seal(c->db, c->user, &place, 0,
		    span_of(bytes.ptr + at, chunk_len(bytes.len, at)), &key, &sealed));
		sql_int(c->db, SQL_FILE_CHUNK_ADD, 1, (uint64_t)o->id);
		sql_int(c->db, SQL_FILE_CHUNK_ADD, 2, n);
		sql_int(c->db, SQL_FILE_CHUNK_ADD, 3, key);
		sql_blob(c->db, SQL_FILE_CHUNK_ADD, 4, buf_span(&sealed));
		TRY(sql_run(c->db, SQL_FILE_CHUNK_ADD));
	}
	return OK;
}

static struct status
chunk_read(struct content *c, const struct object *o, uint64_t at, struct buf *out)
{
	uint64_t n = at / CONTENT_CHUNK_LEN, key = 0;
	size_t before = out->len;
	uint8_t numbers[16];
	const struct place place = chunk_place(o->id, n, numbers);
	struct status st;

	sql_int(c->db, SQL_FILE_CHUNK_GET, 1, (uint64_t)o->id);
	sql_int(c->db, SQL_FILE_CHUNK_GET, 2, n);
	TRY(sql_row(c->db, SQL_FILE_CHUNK_GET));
	st = sql_column_u64(c->db, SQL_FILE_CHUNK_GET, 0, &key);
	if (is_ok(st))
		st = keyring_value_open(
		    c->db, c->user, key, &place, 0, sql_column(c->db, SQL_FILE_CHUNK_GET, 1), out);
	sql_reset(c->db, SQL_FILE_CHUNK_GET);
	TRY(st);
	return out->len - before == chunk_len(o->length, at) ? OK : fail(E_CORRUPT);
}

struct status
file_range(struct content *c, const struct object *o, uint64_t from, uint64_t len, struct span *ret)
{
	uint64_t first = from - from % CONTENT_CHUNK_LEN, end;
	struct buf out = BUF_INIT(0);

	if (o->length > CONTENT_BLOB_MAX || from > o->length)
		return fail(E_CORRUPT);
	end = o->length - from < len ? o->length : from + len;
	out.max = out.cap = end - first + CONTENT_CHUNK_LEN;
	out.ptr = arena_alloc(c->arena, out.cap);
	if (out.ptr == NULL)
		return fail(E_NOMEM);
	for (uint64_t at = first; at < end; at += CONTENT_CHUNK_LEN) {
		struct status st = chunk_read(c, o, at, &out);

		/* Missing, of a key that is gone, or longer than the file. */
		if (st.code == E_NOTFOUND || st.code == E_FULL)
			return fail(E_CORRUPT);
		TRY(st);
	}
	*ret = span_of(out.ptr + (from - first), end - from);
	return OK;
}

struct status
file_read(struct content *c, const struct object *o, struct span *ret)
{
	return file_range(c, o, 0, o->length, ret);
}
