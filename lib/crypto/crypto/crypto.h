/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRYPTO_CRYPTO_H
#define CRYPTO_CRYPTO_H

/*
 * Start-up of the cryptography of this process: OpenSSL without configuration
 * files, algorithms fetched once. Single-threaded, like every process here.
 */
#include <base/span.h>

/* Before anything else of lib/crypto, and before the jail. Repeatable. E_CRYPTO. */
MUST_USE struct status crypto_init(void);

/* Same length and bytes, in time that depends on the lengths only. */
bool crypto_eq(struct span a, struct span b);

#endif
