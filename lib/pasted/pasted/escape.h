/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PASTED_ESCAPE_H
#define PASTED_ESCAPE_H

/*
 * Letters, digits and marks of ASCII that JSON lets everybody write as escapes (RFC 8259 §7):
 * an "s" may be spelled \u0073, a "/" \/. Only what may stand for itself in a string: no quote,
 * no backslash, no control character.
 */
#include <base/span.h>

/* The character whose escape begins with `text`, and the escape's length; 0: none of them. */
uint8_t escape_of(struct span text, size_t *ret_len);
/* Is there one anywhere? Over-cautious with what a backslash precedes. */
bool escape_any(struct span text);
/*
 * Append `text` with each of them written as itself: JSON of the same value, and never longer.
 * Errors: E_FULL, E_NOMEM.
 */
MUST_USE struct status escape_plain(struct span text, struct buf *out);

#endif
