/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MANIFEST_CLEAN_H
#define MANIFEST_CLEAN_H

#include <json/json.h>

/*
 * Does every string of the value `tok`, keys included, show all that it says? Not so with
 * control characters but tab and newline, marks of direction, invisible characters and
 * tags: people and models would read different texts. *ret_tok: the first that does not.
 * E_SYNTAX; E_NOMEM.
 */
MUST_USE struct status clean_check(
    const struct json_doc *d, uint32_t tok, struct buf *tmp, uint32_t *ret_tok);
/* The same of one text, of valid UTF-8. */
bool clean_text(struct span text);

#endif
