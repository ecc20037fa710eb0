/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strict.c: exact case of field names.
 *
 * Runs in: gateway. Trusts: the schemas, which are part of the program.
 * Owns: the lists of known names, made once at start.
 * Invariants: a root member that equals a known name in all but case is found.
 * See: GHSA-4gph-2hhr-5mwg for why; request.c, the only caller.
 */
#include "strict.h"

#include <assert.h>

#define SCHEMAS_MAX 16

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

static bool
is_variant(const struct names *n, const struct json_doc *d, uint32_t key)
{
	struct span raw = json_bytes(d, key);
	struct span text = span_of(raw.ptr + 1, raw.len - 2);
	uint8_t plain[64];
	struct buf b = { .ptr = plain, .cap = sizeof(plain), .max = sizeof(plain) };

	if (memchr(text.ptr, '\\', text.len) != NULL) {
		if (!is_ok(json_str_put(d, key, &b)))
			return false; /* longer than any known name */
		text = buf_span(&b);
	}
	for (size_t i = 0; i < n->count; i++) {
		if (n->items[i].len != text.len || !span_eq_nocase(n->items[i], text))
			continue;
		return !span_eq(n->items[i], text);
	}
	return false;
}

uint32_t
strict_find_variant(const struct json_doc *d, struct span schema)
{
	const struct names *n = names_of(schema);
	struct json_iter it = json_iter(d, 0);

	assert(n != NULL);
	while (json_next(&it)) {
		if (is_variant(n, d, it.key))
			return it.val;
	}
	return JSON_NONE;
}
