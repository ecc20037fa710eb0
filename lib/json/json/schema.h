/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JSON_SCHEMA_H
#define JSON_SCHEMA_H

/*
 * A subset of JSON Schema 2020-12, compiled once, then checked in bounded time.
 *
 * Asserted: type enum const properties required additionalProperties
 * patternProperties items prefixItems minimum maximum exclusiveMinimum
 * exclusiveMaximum multipleOf minLength maxLength minItems maxItems uniqueItems
 * minProperties maxProperties pattern anyOf oneOf allOf not $ref (within the
 * document, by JSON pointer), $defs, boolean schemas.
 * Ignored as annotations: $schema (2020-12 only) $id (root only) $comment title
 * description default examples deprecated readOnly writeOnly format.
 * Anything else is refused by schema_compile(). Numbers are compared exactly,
 * as decimals: no rounding. Source: JSON Schema 2020-12, core and validation.
 */
#include <json/json.h>

#define SCHEMA_NODES_MAX 4096
#define SCHEMA_MEMBERS_MAX 256   /* names in properties and required of one schema */
#define SCHEMA_INPLACE_MAX 32    /* $ref, allOf, … that nest on one value */
#define SCHEMA_DEPTH_MAX 256     /* subschemas entered at once when validating */
#define SCHEMA_STEPS_BASE 200000 /* work of one validation, and … */
#define SCHEMA_STEPS_PER_BYTE 64 /* … more for each byte of the document */
#define SCHEMA_POINTER_MAX 255   /* bytes; a longer pointer is cut */

struct schema;

/* The first fault found. Texts are from fixed tables, the pointer is the client's. */
struct schema_fault {
	const char *message; /* "is not of the required type" */
	const char *keyword; /* "type"; "" when none is to blame */
	struct span member;  /* required: the name that is missing, owned by the schema */
	size_t offset;       /* of the value, bytes into the document or schema */
	char pointer[SCHEMA_POINTER_MAX + 1]; /* RFC 6901, NUL-terminated */
};

/*
 * Compile the schema `text`; it is copied, nothing of the caller's is kept.
 * Owner:  *ret and all it needs live in `a`; *fault may be NULL.
 * Errors: E_SYNTAX (not JSON, a keyword's value is wrong, a $ref leads nowhere,
 *	   around in a circle), E_EXISTS (duplicate key), E_UNSUPPORTED (keyword or
 *	   pattern), E_RANGE (a limit above), E_NOMEM. fault->pointer is in `text`.
 */
MUST_USE struct status schema_compile(
    struct span text, struct arena *a, const struct schema **ret, struct schema_fault *fault);
/*
 * Check the value `tok` of `d`.
 * Errors: E_SYNTAX (it does not conform), E_FULL (too much work), E_NOMEM.
 */
MUST_USE struct status schema_validate(
    const struct schema *s, const struct json_doc *d, uint32_t tok, struct schema_fault *fault);
/* The same with another bound of the work: for schemas that a client brought. */
MUST_USE struct status schema_validate_within(const struct schema *s, const struct json_doc *d,
    uint32_t tok, uint64_t steps, struct schema_fault *fault);

#endif
