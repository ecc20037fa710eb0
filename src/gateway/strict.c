/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strict.c: the names of a body's fields: their exact case, and which of them are known.
 *
 * Runs in: gateway. Trusts: the schemas, which are part of the program.
 * Owns: the lists of known names, made once at start.
 * Invariants: a root member that equals a known name in all but case is found; so is one that
 * equals none, where that is asked.
 * See: GHSA-4gph-2hhr-5mwg for why; request.c, loop.c, the callers.
 */
#include "strict.h"

#include <assert.h>

#define SCHEMAS_MAX 16
#define KEY_PLAIN_MAX 64 /* bytes; more than any known name has */

struct names {
	struct span schema; /* whose: compared by address */
	struct span items[STRICT_NAMES_MAX];
	size_t count;
};

static struct names lists[SCHEMAS_MAX];
static size_t nlists;

struct status
strict_learn(struct span schema)
{
	auto_json struct json_doc d = { .count = 0 };
	struct names *n = &lists[nlists];
	struct json_iter it;

	if (nlists == SCHEMAS_MAX)
		return fail(E_FULL);
	TRY(json_init(&d, &JSON_STRICT));
	TRY(json_parse(&d, schema));
	n->schema = schema;
	it = json_iter(&d, json_get_str(&d, 0, "properties"));
	while (json_next(&it)) {
		struct span key = json_bytes(&d, it.key);

		if (n->count == STRICT_NAMES_MAX)
			return fail(E_FULL);
		/* The names of our schemas have no escapes: what is within the quotes. */
		n->items[n->count++] = span_of(key.ptr + 1, key.len - 2);
	}
	nlists++;
	return OK;
}

static const struct names *
names_of(struct span schema)
{
	for (size_t i = 0; i < nlists; i++) {
		if (lists[i].schema.ptr == schema.ptr)
			return &lists[i];
	}
	return NULL;
}

/* The text of a key: what it says, seen through escapes. False: longer than any known name. */
static bool
key_text(const struct json_doc *d, uint32_t key, struct buf *plain, struct span *ret)
{
	struct span raw = json_bytes(d, key);

	*ret = span_of(raw.ptr + 1, raw.len - 2);
	if (memchr(ret->ptr, '\\', ret->len) == NULL)
		return true;
	if (!is_ok(json_str_put(d, key, plain)))
		return false;
	*ret = buf_span(plain);
	return true;
}

/* How a key stands to the known names. */
enum likeness { UNKNOWN, VARIANT, KNOWN };

static enum likeness
likeness_of(const struct names *n, const struct json_doc *d, uint32_t key)
{
	uint8_t plain[KEY_PLAIN_MAX];
	struct buf b = { .ptr = plain, .cap = sizeof(plain), .max = sizeof(plain) };
	struct span text;

	if (!key_text(d, key, &b, &text))
		return UNKNOWN;
	for (size_t i = 0; i < n->count; i++) {
		if (n->items[i].len != text.len || !span_eq_nocase(n->items[i], text))
			continue;
		return span_eq(n->items[i], text) ? KNOWN : VARIANT;
	}
	return UNKNOWN;
}

static uint32_t
find(const struct json_doc *d, struct span schema, enum likeness wanted)
{
	const struct names *n = names_of(schema);
	struct json_iter it = json_iter(d, 0);

	assert(n != NULL);
	while (json_next(&it)) {
		if (likeness_of(n, d, it.key) == wanted)
			return it.val;
	}
	return JSON_NONE;
}

uint32_t
strict_find_variant(const struct json_doc *d, struct span schema)
{
	return find(d, schema, VARIANT);
}

uint32_t
strict_find_unknown(const struct json_doc *d, struct span schema)
{
	return find(d, schema, UNKNOWN);
}
