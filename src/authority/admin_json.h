/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_ADMIN_JSON_H
#define AUTHORITY_ADMIN_JSON_H

#include <base/arena.h>

#include "admin.h"
#include "keys.h"

/* Errors: E_SYNTAX, E_EXISTS, E_RANGE, E_NOTFOUND (a member too many or too few), E_NOMEM. */
/* {"sealed": base64, "rotate"?: boolean}; appends what it decodes. */
MUST_USE struct status admin_parse_secret(struct span body, struct buf *sealed, bool *ret_rotate);
/* {"tenant", "user", "name", "version"?, "allowed": boolean}; spans borrow from the body or the
 * arena. */
MUST_USE struct status admin_parse_tool(
    struct span body, struct arena *arena, struct admin_tool *ret);
/* One element of the list of keys. */
MUST_USE struct status admin_put_key(const struct key *key, struct buf *out);

#endif
