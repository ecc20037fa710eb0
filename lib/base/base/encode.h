/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ENCODE_H
#define BASE_ENCODE_H

/*
 * Small encodings: hex, base64 (RFC 4648 §4 and §5, strict), percent (RFC 3986 §2.1), base62,
 * CRC-32 (IEEE), UUIDv7 (RFC 9562 §5.7) and UTF-8 repair. None is in constant time.
 */
#include <base/rand.h>
#include <base/span.h>

#define UUID_LEN 16
#define UUID_TEXT_LEN 36

void hex_encode(struct span in, char *out); /* 2·len lower-case digits, no NUL */
MUST_USE struct status hex_decode(struct span in, uint8_t *out, size_t out_len);

MUST_USE struct status base64_encode(struct span in, struct buf *out);
/* Refuses white space, wrong padding and non-zero trailing bits: E_SYNTAX. */
MUST_USE struct status base64_decode(struct span in, struct buf *out);
/* The alphabet for URLs, without padding (RFC 7515 §2); as strict. */
MUST_USE struct status base64url_encode(struct span in, struct buf *out);
MUST_USE struct status base64url_decode(struct span in, struct buf *out);

/* All but the unreserved: letters, digits and "-._~". */
MUST_USE struct status percent_encode(struct span in, struct buf *out);
/* A '%' without its two digits, of any case: E_SYNTAX. A '+' is one. */
MUST_USE struct status percent_decode(struct span in, struct buf *out);

uint32_t crc32_ieee(struct span in);

/* `digits` base62 digits (0-9A-Za-z), most significant first, of `value`. */
void base62_u64(uint64_t value, char *out, size_t digits);

/* Time-ordered; the random part from getrandom(2), by way of `pool`. E_SYS. */
MUST_USE struct status uuid7(struct rand_pool *pool, uint8_t out[UUID_LEN]);
void uuid_text(const uint8_t id[UUID_LEN], char out[UUID_TEXT_LEN + 1]);

/* The length of the valid UTF-8 prefix of `s` (no surrogates, no overlongs). */
size_t utf8_valid_len(struct span s);
/*
 * Append `s` with each maximal invalid subsequence as U+FFFD. With `final`
 * false, up to 3 bytes of an unfinished sequence at the end stay unread;
 * *ret_used tells how many bytes were consumed.
 */
MUST_USE struct status utf8_repair(struct span s, bool final, struct buf *out, size_t *ret_used);

#endif
