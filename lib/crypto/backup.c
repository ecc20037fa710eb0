/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backup.c: what the store and the CLI must agree on about a backup.
 *
 * Runs in: store, CLI. Trusts: nothing in a head. Owns: nothing.
 * Invariants: a key is never outside of a struct secret.
 * See: crypto/backup.h.
 */
#include <crypto/backup.h>

#include <crypto/hash.h>

#define ROOT_INFO SPAN_LIT("sallyport store v2")
#define KEY_INFO SPAN_LIT("sallyport backup v1")
#define MAGIC_LEN 16

static struct status
derive(const struct secret *from, struct span info, struct secret *ret)
{
	auto_secret struct secret key = SECRET_NONE;

	if (secret_borrow(from).len != SEAL_KEY_LEN)
		return fail(E_RANGE);
	TRY(secret_new(SEAL_KEY_LEN, &key));
	TRY(hkdf_sha256(secret_borrow(from), SPAN_EMPTY, info, key.ptr, key.len));
	*ret = secret_take(&key);
	return OK;
}

struct status
store_root_key(const struct secret *master, struct secret *ret)
{
	return derive(master, ROOT_INFO, ret);
}

struct status
backup_key(const struct secret *root, struct secret *ret)
{
	return derive(root, KEY_INFO, ret);
}

static void
number_put(uint64_t v, uint8_t *out)
{
	for (size_t i = 0; i < 8; i++)
		out[i] = (uint8_t)(v >> (56 - 8 * i));
}

static uint64_t
number_get(const uint8_t *in)
{
	uint64_t v = 0;

	for (size_t i = 0; i < 8; i++)
		v = v << 8 | in[i];
	return v;
}

void
backup_head_put(const struct backup_head *h, uint8_t out[BACKUP_HEAD_LEN])
{
	memcpy(out, BACKUP_MAGIC, MAGIC_LEN);
	number_put(h->generation, out + MAGIC_LEN);
	number_put(h->created_s, out + MAGIC_LEN + 8);
	number_put(h->db_len, out + MAGIC_LEN + 16);
	number_put(0, out + MAGIC_LEN + 24);
}

struct status
backup_head_get(struct span in, struct backup_head *ret)
{
	if (in.len < BACKUP_HEAD_LEN || memcmp(in.ptr, BACKUP_MAGIC, MAGIC_LEN) != 0)
		return fail(E_SYNTAX);
	ret->generation = number_get(in.ptr + MAGIC_LEN);
	ret->created_s = number_get(in.ptr + MAGIC_LEN + 8);
	ret->db_len = number_get(in.ptr + MAGIC_LEN + 16);
	return OK;
}
