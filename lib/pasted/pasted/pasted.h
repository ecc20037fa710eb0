/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PASTED_PASTED_H
#define PASTED_PASTED_H

/*
 * Credentials of other services, and keys of ours, in a text, by their known forms; where a form
 * has a checksum, it must fit. The text may be JSON as it is written: what is found lies within one
 * string of it, and can be replaced there. Escapes of letters, digits and marks are seen through.
 */
#include <base/span.h>

/* Is there one? Time is linear in the text. */
bool pasted_any(struct span text);
/* One that is in no history, whatever a policy says: of a provider of models, or a key of ours? */
bool pasted_never(struct span text);
/*
 * Append `text` with "[removed: github token]" and the like in the place of each one;
 * where there is one, such escapes are written as what they stand for.
 * Errors: E_FULL, E_NOMEM.
 */
MUST_USE struct status pasted_mask(struct span text, struct buf *out);

#endif
