/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secret_id.c: an unwrapped secret id, for the broker that comes after this one.
 *
 * Runs in: broker. Trusts: nothing in the memory, which is the supervisor's.
 * Owns: the key, derived from the master key at the start.
 * Invariants: nothing lies there in plain; what does not open is as if it were not there.
 * See: secret_id.h, crypto/seal.h.
 */
#include "secret_id.h"

#include <unistd.h>

#include <base/cleanup.h>
#include <base/io.h>
#include <crypto/hash.h>
#include <crypto/seal.h>

#define INFO SPAN_LIT("sallyport broker kept v1")
#define AAD SPAN_LIT("vault secret id")

static struct {
	int fd;
	struct secret key;
} self = { .fd = -1 };

struct status
secret_id_init(const struct secret *master, int fd)
{
	auto_secret struct secret key = SECRET_NONE;

	TRY(secret_new(SEAL_KEY_LEN, &key));
	TRY(hkdf_sha256(secret_borrow(master), SPAN_EMPTY, INFO, key.ptr, key.len));
	secret_done(&self.key);
	self.key = secret_take(&key);
	self.fd = fd;
	return OK;
}

/* u16 length of the token, token, secret id. */
struct status
secret_id_put(const struct secret *wrapping, const struct secret *secret_id)
{
	auto_secret struct secret plain = SECRET_NONE;
	auto_buf struct buf blob = BUF_INIT(SECRET_ID_LEN_MAX + SEAL_OVERHEAD);
	size_t len = 2 + wrapping->len + secret_id->len;

	if (self.fd < 0)
		return fail(E_NOTFOUND);
	if (len > SECRET_ID_LEN_MAX)
		return fail(E_RANGE);
	TRY(secret_new(len, &plain));
	plain.ptr[0] = (uint8_t)(wrapping->len >> 8);
	plain.ptr[1] = (uint8_t)wrapping->len;
	memcpy(plain.ptr + 2, wrapping->ptr, wrapping->len);
	memcpy(plain.ptr + 2 + wrapping->len, secret_id->ptr, secret_id->len);
	TRY(seal(&self.key, AAD, secret_borrow(&plain), &blob));
	if (ftruncate(self.fd, 0) < 0 || lseek(self.fd, 0, SEEK_SET) < 0)
		return fail_errno();
	return io_write_all(self.fd, buf_span(&blob));
}

struct status
secret_id_get(struct secret *ret_wrapping, struct secret *ret_secret_id)
{
	auto_secret struct secret plain = SECRET_NONE, wrapping = SECRET_NONE;
	auto_buf struct buf blob = BUF_INIT(SECRET_ID_LEN_MAX + SEAL_OVERHEAD);
	size_t len;

	if (self.fd < 0)
		return fail(E_NOTFOUND);
	if (lseek(self.fd, 0, SEEK_SET) < 0)
		return fail_errno();
	TRY(io_read_all(self.fd, &blob));
	if (blob.len == 0)
		return fail(E_NOTFOUND);
	TRY(seal_open_secret(&self.key, AAD, buf_span(&blob), &plain));
	len = plain.len < 2 ? 0 : (size_t)plain.ptr[0] << 8 | plain.ptr[1];
	if (len == 0 || len + 2 >= plain.len)
		return fail(E_SYNTAX);
	TRY(secret_from_span(span_of(plain.ptr + 2, len), &wrapping));
	TRY(secret_from_span(span_from(secret_borrow(&plain), 2 + len), ret_secret_id));
	*ret_wrapping = secret_take(&wrapping);
	return OK;
}
