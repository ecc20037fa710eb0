/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRYPTO_FILE_SECRET_H
#define CRYPTO_FILE_SECRET_H

/*
 * Secrets of `file:NAME`: sealed by the CLI, kept by the store as they are,
 * opened by the broker. The key between those two is derived from DIR/master.key:
 *	key = HKDF-SHA-256(master key, no salt, "sallyport file secrets v1")
 *	blob = seal(key, aad "sallyport file secret" NUL name, value)
 */
#include <crypto/seal.h>

#define FILE_SECRET_NAME_MAX 64
#define FILE_SECRET_LEN_MAX 4096 /* bytes of a value */
#define FILE_SECRET_BLOB_MAX (FILE_SECRET_LEN_MAX + SEAL_OVERHEAD)
#define MASTER_KEY_LEN 32

/* The master key as it is in its file: hex digits. E_SYNTAX, E_SYS, E_FULL. */
MUST_USE struct status master_key_read(int fd, struct secret *ret);
/* The key of file secrets. E_CRYPTO, E_SYS. */
MUST_USE struct status file_secret_key(const struct secret *master, struct secret *ret);
/* 1..FILE_SECRET_NAME_MAX of A-Z a-z 0-9 _ . - */
bool file_secret_name_ok(struct span name);
/* Appends the blob. E_RANGE (name, value), else as seal(). */
MUST_USE struct status file_secret_seal(
    const struct secret *key, struct span name, const struct secret *value, struct buf *out);
/* E_RANGE (name, length), else as seal_open_secret(). */
MUST_USE struct status file_secret_open(
    const struct secret *key, struct span name, struct span blob, struct secret *ret);

#endif
