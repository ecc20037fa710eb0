/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_ADMIN_JSON_H
#define AUTHORITY_ADMIN_JSON_H

#include <base/arena.h>

#include "admin.h"
#include "keys.h"

/*
 * {"tenant", "user", "policy"?, "expires_s"?: seconds from now}. The spans
 * borrow from `body` or the arena. Errors: E_SYNTAX, E_EXISTS, E_RANGE,
 * E_NOTFOUND (a member too many or too few), E_NOMEM.
 */
MUST_USE struct status admin_parse_key(
    struct span body, struct arena *arena, struct admin_key *ret);
/* {"sealed": base64, "rotate"?: boolean}; appends what it decodes. Errors as above. */
MUST_USE struct status admin_parse_secret(struct span body, struct buf *sealed, bool *ret_rotate);
/*
 * {"since_s"?, "key"?, "user"?, "model"?, "after_key"?, "after_model"?}, or nothing at
 * all; spans as above. Errors as above.
 */
MUST_USE struct status admin_parse_usage(
    struct span body, struct arena *arena, struct admin_usage *ret);
/* {"tenant", "user", "name", "version"?, "allowed": boolean}; spans as above. Errors as above. */
MUST_USE struct status admin_parse_tool(
    struct span body, struct arena *arena, struct admin_tool *ret);
/* {"after"?}, or nothing at all. Errors as above. */
MUST_USE struct status admin_parse_after(struct span body, uint64_t *ret);
/* One element of the list of keys. */
MUST_USE struct status admin_put_key(const struct key *key, struct buf *out);

#endif
