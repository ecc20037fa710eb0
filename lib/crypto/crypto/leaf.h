/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRYPTO_LEAF_H
#define CRYPTO_LEAF_H

/*
 * The short-lived certificate of the public side, from an instance's own CA, below its state
 * directory: ca.pem, ca.key, tls/cert.pem, tls/key.pem. The keys are sealed (crypto/key_file.h).
 */
#include <crypto/cert.h>
#include <crypto/key_file.h>

#define LEAF_TTL_S (90U * 86400U)
#define LEAF_HOST_MAX 254
#define LEAF_KEY_NAME "tls/key.pem" /* for key_file_read() */

/* The host of HOST:PORT without brackets. E_SYNTAX, E_FULL. */
MUST_USE struct status leaf_host(const char *listen, char host[LEAF_HOST_MAX]);
bool leaf_host_is_any(const char *host);
/* Is the pair at `certificate` (as configured) this CA's to renew? */
bool leaf_is_own(int dir_fd, const char *certificate);
/*
 * Is one that ends with `not_after_s` to be replaced: less than a third of its life is left, or so
 * much that it was made while a clock was ahead, and is not valid yet?
 */
bool leaf_is_due(int64_t not_after_s, int64_t now_s);
/*
 * A leaf for `listen` below dir_fd, signed by its own CA; replaces tls/cert.pem, tls/key.pem.
 * `key` is of key_file_key(), here and below.
 */
MUST_USE struct status leaf_issue(int dir_fd, const char *listen, const struct secret *key);
/* Only when it is due, key and certificate do not match, or it is not for `listen`. */
MUST_USE struct status leaf_renew(
    int dir_fd, const char *listen, const struct secret *key, bool *ret_renewed);
/*
 * Seal ca.key and, where the pair at `certificate` is ours, tls/key.pem, as an earlier version has
 * left them in the clear. An operator's own key stays as it was brought.
 */
MUST_USE struct status leaf_carry(int dir_fd, const char *certificate, const struct secret *key);

#endif
