/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key_file.c: private keys of the instance itself, as they lie on disk.
 *
 * Runs in: supervisor, audit, CLI. Trusts: nothing of a sealed file.
 * Owns: nothing.
 * Invariants: a file opens under the name that it was sealed for, and no other; a value is never
 * outside of a struct secret; one in the clear is replaced only by one that is durable.
 * See: crypto/key_file.h.
 */
#include <crypto/key_file.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <base/io.h>
#include <crypto/hash.h>

#define FIRST_LINE "sallyport sealed key 1\n"
#define AAD_PREFIX SPAN_LIT("sallyport key file\0")
#define AAD_MAX 128

static const char *const infos[KEY_FILE_USES] = {
	[KEY_FILE_SUPERVISOR] = "sallyport key files v1",
	[KEY_FILE_AUDIT] = "sallyport audit key file v1",
};

struct status
key_file_key(const struct secret *master, enum key_file_use use, struct secret *ret)
{
	auto_secret struct secret key = SECRET_NONE;

	if (secret_borrow(master).len != SEAL_KEY_LEN)
		return fail(E_RANGE);
	TRY(secret_new(SEAL_KEY_LEN, &key));
	TRY(hkdf_sha256(secret_borrow(master), SPAN_EMPTY, span_str(infos[use]), key.ptr, key.len));
	*ret = secret_take(&key);
	return OK;
}

bool
key_file_is_sealed(struct span text)
{
	return span_starts(text, SPAN_LIT(FIRST_LINE));
}

static struct status
aad_put(const char *name, struct buf *out)
{
	TRY(buf_put_span(out, AAD_PREFIX));
	return buf_put_str(out, name);
}

struct status
key_file_seal(
    const struct secret *key, const char *name, const struct secret *value, struct buf *out)
{
	auto_buf struct buf aad = BUF_INIT(AAD_MAX);
	auto_buf struct buf blob = BUF_INIT(KEY_FILE_LEN_MAX + SEAL_OVERHEAD);
	struct span plain = secret_borrow(value);

	if (plain.len == 0 || plain.len > KEY_FILE_LEN_MAX)
		return fail(E_RANGE);
	TRY(aad_put(name, &aad));
	TRY(seal(key, buf_span(&aad), plain, &blob));
	TRY(buf_put_str(out, FIRST_LINE));
	TRY(base64_encode(buf_span(&blob), out));
	return buf_put_u8(out, '\n');
}

static struct status
open_text(const struct secret *key, const char *name, struct span text, struct secret *ret)
{
	auto_buf struct buf aad = BUF_INIT(AAD_MAX);
	auto_buf struct buf blob = BUF_INIT(KEY_FILE_LEN_MAX + SEAL_OVERHEAD);
	struct span line = span_from(text, sizeof(FIRST_LINE) - 1);

	TRY(base64_decode(line, &blob));
	TRY(aad_put(name, &aad));
	return seal_open_secret(key, buf_span(&aad), buf_span(&blob), ret);
}

struct status
key_file_read(
    int fd, const struct secret *key, const char *name, struct secret *ret, bool *ret_clear)
{
	auto_secret struct secret text = SECRET_NONE;

	TRY(secret_read_fd(fd, KEY_FILE_TEXT_MAX, &text));
	*ret_clear = !key_file_is_sealed(secret_borrow(&text));
	if (!*ret_clear)
		return open_text(key, name, secret_borrow(&text), ret);
	*ret = secret_take(&text);
	return OK;
}

struct status
key_file_write(int dirfd, const char *file, const struct secret *key, const char *name,
    const struct secret *value)
{
	auto_buf struct buf text = BUF_INIT(KEY_FILE_TEXT_MAX);

	TRY(key_file_seal(key, name, value, &text));
	return io_replace_file(dirfd, file, buf_span(&text), 0600);
}

struct status
key_file_carry(int dirfd, const char *file, const struct secret *key, const char *name)
{
	auto_secret struct secret value = SECRET_NONE;
	auto_fd int fd = openat(dirfd, file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct status st;
	bool clear;

	if (fd < 0)
		return errno == ENOENT ? OK : fail_errno();
	st = key_file_read(fd, key, name, &value, &clear);
	if (st.code == E_RANGE) /* empty: whoever needs it says so */
		return OK;
	TRY(st);
	if (!clear)
		return OK;
	TRY(key_file_write(dirfd, file, key, name, &value));
	io_wipe_unlinked(fd);
	return OK;
}
