/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KEYTEXT_KEYTEXT_H
#define KEYTEXT_KEYTEXT_H

/*
 * The texts that clients authenticate with: signed tokens, known here by their form only, and API
 * keys: "sp_" id "_" secret crc, 65 bytes.
 *	id      12 base62 digits, public, the index of the key table
 *	secret  43 base62 digits, 256 bits of getrandom(2)
 *	crc     6 base62 digits: CRC-32 (IEEE) of all 59 bytes before it
 * base62 digits are 0-9A-Za-z in that order. The checksum finds a mistyped key
 * without a look-up, and is no protection.
 */
#include <base/span.h>

#define KEYTEXT_PREFIX "sp_"
#define KEYTEXT_PREFIX_LEN 3
#define KEYTEXT_ID_LEN 12
#define KEYTEXT_SECRET_LEN 43
#define KEYTEXT_CRC_LEN 6
#define KEYTEXT_LEN (KEYTEXT_PREFIX_LEN + KEYTEXT_ID_LEN + 1 + KEYTEXT_SECRET_LEN + KEYTEXT_CRC_LEN)

/* True for a text of the right form with the right checksum; nothing is looked up. */
bool keytext_ok(struct span text);
/* The id within a text that keytext_ok() accepted: borrowed, KEYTEXT_ID_LEN bytes. */
struct span keytext_id(struct span text);
/* True for KEYTEXT_ID_LEN base62 digits. */
bool keytext_id_ok(struct span id);
/*
 * True for the form of a signed token (RFC 7515 §7.1): three parts of base64url between dots,
 * within KEYTEXT_TOKEN_MAX. Who verifies it decides all else.
 */
#define KEYTEXT_TOKEN_MAX 8192
bool keytext_is_token(struct span text);
/*
 * A new key, every digit uniform. Owner: the caller wipes `out`. No NUL is added.
 * Errors: E_SYS (getrandom).
 */
MUST_USE struct status keytext_create(uint8_t out[KEYTEXT_LEN]);

#endif
