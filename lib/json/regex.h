/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JSON_REGEX_H
#define JSON_REGEX_H

/*
 * Regular expressions for schemas: a subset of ECMA-262's with the u flag,
 * searched in time linear in the text times the size of the pattern.
 *
 * In: literals, escapes, . \d \D \w \W \s \S, [classes], ^ $, ( ) (?: ), |,
 * * + ? {n} {n,} {n,m} (also lazy, which means the same here).
 * Out: back-references, look-around, \b, \p, named groups, flags.
 */
#include <json/json.h>

#define REGEX_PATTERN_MAX 1024 /* bytes */
#define REGEX_CODE_MAX 2048    /* instructions, repetitions unrolled */
#define REGEX_RANGES_MAX 512   /* of all classes of a pattern */
#define REGEX_REPEAT_MAX 1000
#define REGEX_NESTING_MAX 32

struct regex;

/* Errors: E_SYNTAX, E_UNSUPPORTED (not in the subset), E_RANGE (a limit), E_NOMEM. */
MUST_USE struct status regex_compile(
    struct span pattern, struct arena *a, const struct regex **ret);
/* Does it match anywhere in the string `tok`? E_FULL when *steps runs out, E_NOMEM. */
MUST_USE struct status regex_search(
    const struct regex *re, const struct json_doc *d, uint32_t tok, uint64_t *steps, bool *ret);

#endif
