/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passphrase.c: the master key's file.
 *
 * Runs in: CLI, supervisor. Trusts: nothing of the file: who can write it is bounded in what he
 * makes us compute. Owns: nothing.
 * Invariants: the cost is checked before anything is computed by it, and authenticated with the
 * key; passphrase and key are only in struct secret.
 * See: crypto/passphrase.h; RFC 7914; EVP_KDF-SCRYPT(7).
 */
#include <crypto/passphrase.h>

#include <fcntl.h>
#include <sys/stat.h>

#include <openssl/core_names.h>
#include <openssl/kdf.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <base/rand.h>
#include <crypto/file_secret.h>

#include "fetched.h"

#define FIRST_LINE "sallyport master key 1\n"
#define SALT_LEN 32
#define N_MIN (1U << 10)
#define N_MAX (1U << 20)
#define RP_MAX 16
#define MEMORY_MAX (1U << 23) /* n * r: 128 bytes each */
#define WORK_MAX (1U << 24)   /* n * r * p */
#define MEMORY_BYTES_MAX ((uint64_t)MEMORY_MAX * 128 + (1U << 20))

struct header {
	struct scrypt_cost cost;
	uint8_t salt[SALT_LEN];
};

static bool
cost_ok(const struct scrypt_cost *c)
{
	return c->n >= N_MIN && c->n <= N_MAX && (c->n & (c->n - 1)) == 0 && c->r >= 1 &&
	       c->r <= RP_MAX && c->p >= 1 && c->p <= RP_MAX && c->n * c->r <= MEMORY_MAX &&
	       c->n * c->r * c->p <= WORK_MAX;
}

static struct status
header_put(const struct header *h, struct buf *out)
{
	char salt[2 * SALT_LEN + 1] = "";

	hex_encode(span_of(h->salt, SALT_LEN), salt);
	TRY(buf_put_str(out, FIRST_LINE));
	return buf_printf(out, "scrypt %llu %u %u %.*s\n", (unsigned long long)h->cost.n, h->cost.r,
	    h->cost.p, 2 * SALT_LEN, salt);
}

static struct status
stretch(const struct header *h, const struct secret *passphrase, struct secret *ret)
{
	auto_secret struct secret key = SECRET_NONE;
	struct span pass = secret_borrow(passphrase);
	uint64_t n = h->cost.n, memory = MEMORY_BYTES_MAX;
	uint32_t r = h->cost.r, p = h->cost.p;
	uint8_t salt[SALT_LEN];
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "SCRYPT", NULL);
	EVP_KDF_CTX *ctx = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
	struct status st;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(
		    OSSL_KDF_PARAM_PASSWORD, (void *)(uintptr_t)pass.ptr, pass.len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt, sizeof(salt)),
		OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &n),
		OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &r),
		OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &p),
		OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &memory),
		OSSL_PARAM_construct_end(),
	};

	EVP_KDF_free(kdf);
	if (ctx == NULL)
		return fail(E_CRYPTO);
	memcpy(salt, h->salt, sizeof(salt));
	st = secret_new(SEAL_KEY_LEN, &key);
	if (is_ok(st) && EVP_KDF_derive(ctx, key.ptr, key.len, params) != 1)
		st = fail(E_NOMEM); /* its cost is within bounds: what fails is its memory */
	EVP_KDF_CTX_free(ctx);
	if (is_ok(st))
		*ret = secret_take(&key);
	return st;
}

static const char *
not_private(int dir_fd, const struct stat *file)
{
	struct stat dir;

	if (!S_ISREG(file->st_mode))
		return "is not a regular file";
	if ((file->st_mode & 077) != 0)
		return "others may read it";
	if (file->st_uid != 0 && (fstat(dir_fd, &dir) < 0 || file->st_uid != dir.st_uid))
		return "belongs to neither root nor the owner of the state directory";
	return NULL;
}

struct status
master_file_find(int dir_fd, int *ret_fd, const char **ret_why)
{
	auto_fd int fd = openat(
	    dir_fd, "master.key", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	const char *why;
	struct stat sb;

	if (fd < 0 || fstat(fd, &sb) < 0) {
		struct status st = fail_errno();

		*ret_why = status_text(st);
		return st;
	}
	why = not_private(dir_fd, &sb);
	if (why != NULL) {
		*ret_why = why;
		return fail(E_DENIED);
	}
	*ret_fd = fd_take(&fd);
	return OK;
}

struct status
master_file_read(int fd, struct secret *ret_text)
{
	return secret_read_fd(fd, MASTER_FILE_MAX, ret_text);
}

bool
master_file_is_sealed(struct span text)
{
	return span_starts(text, SPAN_LIT(FIRST_LINE));
}

struct status
master_file_put(const struct secret *master, struct secret *ret_text)
{
	auto_secret struct secret line = SECRET_NONE;

	if (master->len != MASTER_KEY_LEN)
		return fail(E_RANGE);
	TRY(secret_new(2 * MASTER_KEY_LEN + 1, &line));
	hex_encode(secret_borrow(master), (char *)line.ptr);
	line.ptr[2 * MASTER_KEY_LEN] = '\n';
	*ret_text = secret_take(&line);
	return OK;
}

struct status
master_file_parse(struct span text, struct secret *ret_master)
{
	auto_secret struct secret key = SECRET_NONE;

	if (text.len > 0 && text.ptr[text.len - 1] == '\n')
		text.len--;
	TRY(secret_new(MASTER_KEY_LEN, &key));
	if (!is_ok(hex_decode(text, key.ptr, key.len)))
		return fail(E_SYNTAX);
	*ret_master = secret_take(&key);
	return OK;
}

struct status
master_file_seal(const struct secret *master, const struct secret *passphrase,
    const struct scrypt_cost *cost, struct buf *out)
{
	auto_buf struct buf head = BUF_INIT(MASTER_FILE_MAX), blob = BUF_INIT(MASTER_FILE_MAX);
	auto_secret struct secret key = SECRET_NONE;
	struct header h = { .cost = *cost };

	if (!cost_ok(cost) || master->len != MASTER_KEY_LEN)
		return fail(E_RANGE);
	TRY(rand_bytes(h.salt, sizeof(h.salt)));
	TRY(header_put(&h, &head));
	TRY(stretch(&h, passphrase, &key));
	TRY(seal(&key, buf_span(&head), secret_borrow(master), &blob));
	TRY(buf_put_span(out, buf_span(&head)));
	TRY(base64_encode(buf_span(&blob), out));
	return buf_put_u8(out, '\n');
}

/* ---- opening ---- */

static bool
take_word(struct span *rest, uint8_t end, struct span *ret)
{
	const uint8_t *at = rest->len == 0 ? NULL : memchr(rest->ptr, end, rest->len);

	if (at == NULL)
		return false;
	*ret = span_of(rest->ptr, (size_t)(at - rest->ptr));
	*rest = span_from(*rest, ret->len + 1);
	return true;
}

static bool
take_number(struct span *rest, uint64_t max, uint64_t *ret)
{
	struct span word;

	/* Beyond any bound is a number, too: the cost says so. */
	return take_word(rest, ' ', &word) && word.len <= 19 && word.len > 0 &&
	       is_ok(span_u64(word, max, ret));
}

static struct status
header_parse(struct span text, struct header *h, struct span *ret_blob)
{
	struct span rest = text, salt;
	uint64_t r, p;

	if (!span_starts(rest, SPAN_LIT(FIRST_LINE "scrypt ")))
		return fail(E_SYNTAX);
	rest = span_from(rest, sizeof(FIRST_LINE "scrypt ") - 1);
	if (!take_number(&rest, INT64_MAX, &h->cost.n) || !take_number(&rest, UINT32_MAX, &r) ||
	    !take_number(&rest, UINT32_MAX, &p) || !take_word(&rest, '\n', &salt) ||
	    salt.len != 2 * SALT_LEN || !is_ok(hex_decode(salt, h->salt, SALT_LEN)))
		return fail(E_SYNTAX);
	h->cost.r = (uint32_t)r;
	h->cost.p = (uint32_t)p;
	/* The last LF may be cut, as a reader of secrets does. */
	if (rest.len > 0 && rest.ptr[rest.len - 1] == '\n')
		rest.len--;
	*ret_blob = rest;
	return cost_ok(&h->cost) ? OK : fail(E_RANGE);
}

struct status
master_file_open(struct span text, const struct secret *passphrase, struct secret *ret_master)
{
	auto_buf struct buf head = BUF_INIT(MASTER_FILE_MAX), blob = BUF_INIT(MASTER_FILE_MAX);
	auto_secret struct secret key = SECRET_NONE, master = SECRET_NONE;
	struct header h = { 0 };
	struct span rest;

	TRY(header_parse(text, &h, &rest));
	TRY(header_put(&h, &head));
	if (!span_starts(text, buf_span(&head)) || !is_ok(base64_decode(rest, &blob)))
		return fail(E_SYNTAX);
	TRY(stretch(&h, passphrase, &key));
	TRY(seal_open_secret(&key, buf_span(&head), buf_span(&blob), &master));
	if (master.len != MASTER_KEY_LEN)
		return fail(E_SYNTAX);
	*ret_master = secret_take(&master);
	return OK;
}
