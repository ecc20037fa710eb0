/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_STRICT_H
#define GATEWAY_STRICT_H

/*
 * The names of the root's members. A key that differs from a known one only in
 * case: some providers read JSON without regard to case and would see the field
 * that we did not. And keys that no schema of ours has, where a provider's entry
 * says that they are refused.
 */
#include <json/json.h>

#define STRICT_NAMES_MAX 64

/* Once at start, for a schema's text: learn the names of its root's properties. E_FULL, E_SYNTAX.
 */
MUST_USE struct status strict_learn(struct span schema);
/* The value of the first such member of the root, or JSON_NONE. State: learnt. */
uint32_t strict_find_variant(const struct json_doc *d, struct span schema);
/* The value of the first member of the root that the schema does not name, or JSON_NONE. */
uint32_t strict_find_unknown(const struct json_doc *d, struct span schema);

#endif
