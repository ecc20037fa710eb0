/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_secret.c: secrets that only CLI and broker can read.
 *
 * Runs in: CLI (seals), broker (opens). Trusts: nothing in a blob.
 * Owns: nothing.
 * Invariants: a blob opens under the name that it was sealed for, and no other;
 * neither key nor value is ever outside of a struct secret.
 * See: crypto/file_secret.h.
 */
#include <crypto/file_secret.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <crypto/hash.h>

#define INFO SPAN_LIT("sallyport file secrets v1")
#define AAD_PREFIX SPAN_LIT("sallyport file secret\0")
#define AAD_MAX 128
#define MASTER_TEXT_MAX 128

struct status
master_key_read(int fd, struct secret *ret)
{
	auto_secret struct secret text = SECRET_NONE;
	auto_secret struct secret key = SECRET_NONE;

	TRY(secret_read_fd(fd, MASTER_TEXT_MAX, &text));
	TRY(secret_new(MASTER_KEY_LEN, &key));
	TRY(hex_decode(secret_borrow(&text), key.ptr, key.len));
	*ret = secret_take(&key);
	return OK;
}

struct status
file_secret_key(const struct secret *master, struct secret *ret)
{
	auto_secret struct secret key = SECRET_NONE;

	if (secret_borrow(master).len != MASTER_KEY_LEN)
		return fail(E_RANGE);
	TRY(secret_new(SEAL_KEY_LEN, &key));
	TRY(hkdf_sha256(secret_borrow(master), SPAN_EMPTY, INFO, key.ptr, key.len));
	*ret = secret_take(&key);
	return OK;
}

bool
file_secret_name_ok(struct span name)
{
	if (name.len == 0 || name.len > FILE_SECRET_NAME_MAX)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.ptr[i];

		if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
			c == '_' || c == '.' || c == '-'))
			return false;
	}
	return true;
}

static struct status
aad_put(struct span name, struct buf *out)
{
	if (!file_secret_name_ok(name))
		return fail(E_RANGE);
	TRY(buf_put_span(out, AAD_PREFIX));
	return buf_put_span(out, name);
}

struct status
file_secret_seal(
    const struct secret *key, struct span name, const struct secret *value, struct buf *out)
{
	auto_buf struct buf aad = BUF_INIT(AAD_MAX);
	struct span plain = secret_borrow(value);

	TRY(aad_put(name, &aad));
	if (plain.len == 0 || plain.len > FILE_SECRET_LEN_MAX)
		return fail(E_RANGE);
	return seal(key, buf_span(&aad), plain, out);
}

struct status
file_secret_open(const struct secret *key, struct span name, struct span blob, struct secret *ret)
{
	auto_buf struct buf aad = BUF_INIT(AAD_MAX);

	TRY(aad_put(name, &aad));
	if (blob.len > FILE_SECRET_BLOB_MAX)
		return fail(E_RANGE);
	return seal_open_secret(key, buf_span(&aad), blob, ret);
}
