/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRYPTO_KEY_FILE_H
#define CRYPTO_KEY_FILE_H

/*
 * Private keys that lie in the state directory, sealed under DIR/master.key:
 *	sallyport sealed key 1
 *	base64(seal(key, aad "sallyport key file" NUL name, value))
 * where key = HKDF-SHA-256(master key, no salt, "sallyport key files v1" or, of the audit log's
 * signing key, "sallyport audit key file v1"), and name says which of them it is.
 * An operator's own keys, and those of versions before, are there as they are.
 */
#include <crypto/seal.h>

#define KEY_FILE_LEN_MAX 16384 /* bytes of a value */
#define KEY_FILE_TEXT_MAX (32U << 10)
#define AUDIT_KEY_NAME "keys/audit/key" /* of the log's signing key, in whichever file */

enum key_file_use { KEY_FILE_SUPERVISOR, KEY_FILE_AUDIT, KEY_FILE_USES };

/* E_RANGE (master), E_CRYPTO, E_SYS. */
MUST_USE struct status key_file_key(
    const struct secret *master, enum key_file_use use, struct secret *ret);
bool key_file_is_sealed(struct span text);
/* Appends the text. E_RANGE (value), else as seal(). */
MUST_USE struct status key_file_seal(
    const struct secret *key, const char *name, const struct secret *value, struct buf *out);
/*
 * What the file says, opened where it is sealed. *ret_clear: it was not.
 * Errors: E_SYNTAX, E_CRYPTO (another key or name, a changed bit), as secret_read_fd().
 */
MUST_USE struct status key_file_read(
    int fd, const struct secret *key, const char *name, struct secret *ret, bool *ret_clear);
/* Below dirfd, durable, 0600. As key_file_seal(), io_replace_file(). */
MUST_USE struct status key_file_write(int dirfd, const char *file, const struct secret *key,
    const char *name, const struct secret *value);
/*
 * Where it is there and in the clear: seal it in place, and overwrite what lay there as far as its
 * file system does that.
 */
MUST_USE struct status key_file_carry(
    int dirfd, const char *file, const struct secret *key, const char *name);

#endif
