/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_TOOL_DEF_H
#define GATEWAY_TOOL_DEF_H

/*
 * Users' tools as a worker knows them: what the authority offers to one request, and the
 * definitions of those seen lately, with their schemas compiled.
 */
#include <json/schema.h>
#include <manifest/manifest.h>
#include <wire/gateway_authority.h>

#include "bounds.h"

struct gateway;

/* A version that the key may call. Spans lie in the request's arena. */
struct tool_offer {
	struct span name;
	struct span manifest;
	uint32_t version;
	uint8_t sandbox; /* enum tool_sandbox */
	uint8_t digest[DIGEST_LEN];
};

struct tool_offers {
	struct tool_offer *items;
	size_t count;
	uint64_t catalog; /* that they are of; 0: none was asked for */
};

/* Copy what the authority offers. E_NOMEM. */
MUST_USE struct status tool_offers_take(
    struct tool_offers *o, const struct ga_admitted *m, struct arena *a);

/* What tool.json says, ready to check with. */
struct tool_def {
	bool used;
	uint8_t digest[DIGEST_LEN];
	struct arena arena;
	struct manifest manifest; /* in the arena */
	const struct schema *input;
	const struct schema *output; /* NULL: any value will do */
	uint64_t seen;               /* in the order of use */
};

struct tool_defs {
	struct tool_def items[TOOL_DEFS_MAX];
	uint64_t clock;
	size_t bytes;
};

void tool_defs_free(struct tool_defs *all);
/*
 * The definition of a version; a text that was accepted when it was uploaded.
 * Owner:  *ret is good until the next call.
 * Errors: E_CORRUPT (it is not what was accepted), E_NOMEM.
 */
MUST_USE struct status tool_def_get(
    struct tool_defs *all, const struct tool_offer *o, const struct tool_def **ret);

#endif
