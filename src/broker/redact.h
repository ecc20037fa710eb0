/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_REDACT_H
#define BROKER_REDACT_H

/*
 * Finds a secret, and what it becomes in base64, hexadecimal and URL encoding,
 * in a stream of bytes that is cut anywhere, and overwrites it with asterisks.
 * The length never changes, so framing is not touched.
 */
#include <crypto/secret.h>

#define REDACT_NEEDLES_MAX 12
#define REDACT_SHIFTS 4096
#define REDACT_MARK '*'
#define REDACT_HELD_MAX 12288 /* held_max is less */

struct redactor {
	struct secret mem; /* the table of shifts, then the needles */
	struct span needles[REDACT_NEEDLES_MAX];
	size_t count;
	size_t window;   /* length of the shortest needle; 0: nothing to look for */
	size_t held_max; /* length of the longest, less one */
};

#define REDACTOR_NONE ((struct redactor){ 0 })

/* State: REDACTOR_NONE. An empty secret looks for nothing. E_NOMEM, E_RANGE, E_SYS. */
MUST_USE struct status redactor_init(struct redactor *r, struct span secret);
void redactor_done(struct redactor *r);

/* Overwrite each match that lies wholly in `p`; how many there were. */
size_t redact_all(const struct redactor *r, uint8_t *p, size_t len);
/*
 * Same; *ret_held is the length of the longest end of `p` that may be the beginning of a match:
 * hold that back, and put it before the next bytes.
 */
size_t redact_part(const struct redactor *r, uint8_t *p, size_t len, size_t *ret_held);

#endif
