/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_STRICT_H
#define GATEWAY_STRICT_H

/*
 * A key that differs from a known one only in case: some providers read JSON
 * without regard to case and would see the field that we did not.
 */
#include <json/json.h>

#define STRICT_NAMES_MAX 64

/* Once at start, for a schema's text: learn the names of its root's properties. E_FULL, E_SYNTAX.
 */
MUST_USE struct status strict_learn(struct span schema);
/* The value of the first such member of the root, or JSON_NONE. State: learnt. */
uint32_t strict_find_variant(const struct json_doc *d, struct span schema);

#endif
