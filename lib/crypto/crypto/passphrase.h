/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRYPTO_PASSPHRASE_H
#define CRYPTO_PASSPHRASE_H

/*
 * DIR/master.key, in the clear or under a passphrase. In the clear: 64 hex digits and LF. Else
 * three lines:
 *	sallyport master key 1
 *	scrypt <N> <r> <p> <salt, 64 hex digits>
 *	base64(seal(key, aad the two lines above, master key))
 * key = scrypt (RFC 7914) of the passphrase, 32 bytes. Needs crypto_init().
 */
#include <crypto/seal.h>

#define PASSPHRASE_LEN_MIN 8
#define PASSPHRASE_LEN_MAX 1024
#define MASTER_FILE_MAX 512

struct scrypt_cost {
	uint64_t n; /* a power of two, 2^10 .. 2^20 */
	uint32_t r; /* 1..16 */
	uint32_t p; /* 1..16; n * r * p <= 2^24, n * r <= 2^23 (1 GiB) */
};
/* 128 MiB, some tenths of a second. */
#define SCRYPT_COST ((struct scrypt_cost){ 1U << 17, 8, 1 })

/*
 * DIR/master.key, to be read. Otherwise *ret_why says what is wrong, of which nothing was read: it
 * is a link or no file; others than its owner may read or write it; its owner is neither root nor
 * that of the directory. E_SYS, E_DENIED.
 */
MUST_USE struct status master_file_find(int dir_fd, int *ret_fd, const char **ret_why);
/* All of the file, whichever form. E_SYS, E_FULL, E_RANGE (empty). */
MUST_USE struct status master_file_read(int fd, struct secret *ret_text);
bool master_file_is_sealed(struct span text);
/* In the clear: the file's text for the key, and back. E_SYNTAX. */
MUST_USE struct status master_file_put(const struct secret *master, struct secret *ret_text);
MUST_USE struct status master_file_parse(struct span text, struct secret *ret_master);
/* Appends the file's text. E_RANGE (cost, key), E_CRYPTO, E_SYS, E_NOMEM, E_FULL. */
MUST_USE struct status master_file_seal(const struct secret *master,
    const struct secret *passphrase, const struct scrypt_cost *cost, struct buf *out);
/*
 * E_SYNTAX: not a file of ours, to the byte; E_RANGE: its cost is beyond the bounds: nothing was
 * computed; E_CRYPTO: another passphrase, or a changed file; E_NOMEM.
 */
MUST_USE struct status master_file_open(
    struct span text, const struct secret *passphrase, struct secret *ret_master);

#endif
