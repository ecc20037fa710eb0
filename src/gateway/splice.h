/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_SPLICE_H
#define GATEWAY_SPLICE_H

/*
 * A text that is forwarded verbatim but for a few named edits by offset.
 */
#include <base/cleanup.h>

#define SPLICES_MAX 160 /* edits of one text: one a choice, and the named ones */

struct splice {
	size_t off;       /* bytes into the text */
	size_t len;       /* bytes that go */
	struct span with; /* bytes that come; borrowed until splices_put() */
};

struct splices {
	struct splice items[SPLICES_MAX];
	size_t count;
};

/* Edits at one place come in the order of their calls; they must not overlap. E_FULL. */
MUST_USE struct status splice_add(struct splices *s, size_t off, size_t len, struct span with);
/* Replace `part`, which lies within `text`. */
MUST_USE struct status splice_part(
    struct splices *s, struct span text, struct span part, struct span with);
struct prompt;
/* The alias, spelled in the one way that the broker looks for; `tmp` lives until splices_put(). */
MUST_USE struct status splice_model(const struct prompt *p, struct buf *tmp, struct splices *s);
/*
 * More items for the member `array` ("tools") of the body, commas between them; a new member
 * where `array` is absent or no array. `tmp` lives until splices_put().
 */
MUST_USE struct status splice_tools(struct span body, struct span array, bool empty,
    struct span items, struct buf *tmp, struct splices *s);
/* Where `part` of `text`, or what replaces it, begins once all edits are made. */
size_t splices_map(const struct splices *s, struct span text, struct span part);
/* Append `text` with all edits. E_FULL, E_NOMEM. */
MUST_USE struct status splices_put(const struct splices *s, struct span text, struct buf *out);

#endif
