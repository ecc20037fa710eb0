/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_REDACT_H
#define BROKER_REDACT_H

/*
 * Finds a secret in a stream of bytes that is cut anywhere, and overwrites it with
 * asterisks. The length never changes, so framing is not touched. Found is the
 * secret as it is, in hexadecimal (upper and lower case, also mixed) and in base64
 * (both alphabets, wherever it begins in the text that was encoded); and each of
 * these with any of its bytes as an escape of JSON or in percent encoding.
 *
 * Not found: parts of it; what lies between its bytes (the pieces of a text that
 * comes in several events, line breaks, blanks, invisible characters); escapes of
 * escapes; other encodings, compression; a form that is longer than REDACT_HELD_MAX.
 */
#include <crypto/secret.h>

#define REDACT_NEEDLES_MAX 8 /* plain, hexadecimal, base64 at three alignments, twice */
#define REDACT_SHIFTS 4096
#define REDACT_MARK '*'
#define REDACT_HELD_MAX 12288
#define REDACT_PART_MAX (REDACT_HELD_MAX + 16384) /* bytes at once, with what was held */

struct redact_needle {
	struct span text;
	bool any_case; /* text is in lower case */
};

struct redactor {
	struct secret mem; /* the table of shifts, the marks, then the needles */
	struct redact_needle needles[REDACT_NEEDLES_MAX];
	size_t count;
	size_t window;   /* length of the shortest needle, or 255; 0: nothing to look for */
	size_t held_max; /* length of the longest, less one */
};

#define REDACTOR_NONE ((struct redactor){ 0 })

/* State: REDACTOR_NONE. An empty secret looks for nothing. E_NOMEM, E_RANGE, E_SYS. */
MUST_USE struct status redactor_init(struct redactor *r, struct span secret);
void redactor_done(struct redactor *r);

/*
 * Overwrite each match that lies wholly in `p`, at most REDACT_PART_MAX bytes; how many there
 * were. *ret_held is the length of the longest end of `p` that may be the beginning of a match, at
 * most REDACT_HELD_MAX: hold that back, and put it before the next bytes. NULL: nothing follows.
 */
size_t redact_part(const struct redactor *r, uint8_t *p, size_t len, size_t *ret_held);

#endif
