/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRYPTO_BACKUP_H
#define CRYPTO_BACKUP_H

/*
 * Backups of the store: written by the store, read by the CLI, both with a key under master.key.
 *	root = HKDF-SHA-256(master key, no salt, "sallyport store v2")
 *	key  = HKDF-SHA-256(root, no salt, "sallyport backup v1")
 *	file = sealed stream (seal_stream.h), aad BACKUP_AAD, of: BACKUP_HEAD_LEN bytes (magic 16,
 *	       then four numbers of 8 bytes, big-endian: generation, Unix time, length of the
 *	       database, 0), and the database
 */
#include <crypto/seal_stream.h>

#define BACKUP_AAD SPAN_LIT("sallyport backup v1")
#define BACKUP_MAGIC "sallyport backup" /* 16 bytes, without its NUL */
#define BACKUP_HEAD_LEN 48
#define BACKUP_FILE "backup.sealed" /* in the store's folder, until the CLI takes it */

struct backup_head {
	uint64_t generation;
	uint64_t created_s;
	uint64_t db_len;
};

/* The key over the store's key-encryption keys. E_RANGE, E_CRYPTO, E_SYS. */
MUST_USE struct status store_root_key(const struct secret *master, struct secret *ret);
MUST_USE struct status backup_key(const struct secret *root, struct secret *ret);
void backup_head_put(const struct backup_head *h, uint8_t out[BACKUP_HEAD_LEN]);
/* E_SYNTAX: it is none. */
MUST_USE struct status backup_head_get(struct span in, struct backup_head *ret);

#endif
