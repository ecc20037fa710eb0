/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_SCOPE_H
#define AUTHORITY_SCOPE_H

/*
 * What narrows a key or a session beyond its policy:
 *	{"endpoints": [name…], "models": […], "tools": […], "languages": […],
 *	 "networks": ["10.0.0.0/8", "2001:db8::/32", …]}
 * Each member may be missing: then it does not narrow. An empty list allows nothing.
 * There is no "*": what is not narrowed is left out.
 */
#include <base/span.h>
#include <json/json.h>
#include <wire/limits.h>

#include "name_set.h"

#define SCOPE_NETWORKS_MAX 64
#define SCOPE_NAMES_MAX 256 /* in one list */

/* The lists of policies and scopes. */
enum policy_list { LIST_ENDPOINTS, LIST_MODELS, LIST_TOOLS, LIST_LANGUAGES, LIST_COUNT };

struct network {
	uint8_t base[SOURCE_LEN]; /* IPv4 as ::ffff:a.b.c.d */
	uint8_t bits;
};

struct scope {
	uint8_t *text; /* the JSON that it was made of */
	size_t len;
	bool narrows[LIST_COUNT];
	struct name_set lists[LIST_COUNT];
	bool narrows_networks;
	size_t nnetworks;
	struct network *networks;
};

/*
 * Errors: E_SYNTAX (no such JSON), E_EXISTS (a member twice), E_NOTFOUND (an unknown one),
 * E_RANGE (a name or network that is none, too many, longer than SCOPES_MAX), E_NOMEM.
 * Owner: scope_free().
 */
MUST_USE struct status scope_parse(struct span json, struct scope **ret);
void scope_free(struct scope *s);
/*
 * Of a scope that is asked for: what in its lists could never be, for people; NULL: nothing. What
 * is loaded is not asked: it stays as it was made.
 */
const char *scope_fault(const struct json_doc *d, uint32_t scopes, struct arena *arena);
/* NULL narrows nothing. */
bool scope_has(const struct scope *s, enum policy_list list, struct span name);
bool scope_is_from(const struct scope *s, const uint8_t source[SOURCE_LEN]);
/*
 * Is there an endpoint in it that leads to what is kept for its user, or changes it? Those that
 * only pass through are listed: any other name is one.
 */
bool scope_reaches_kept(const struct scope *s);
struct span scope_text(const struct scope *s); /* empty for NULL */
/*
 * RFC 6749's words, one blank between: "endpoint:chat model:gpt tool:x language:python", as
 * the JSON above. E_SYNTAX, E_RANGE, E_NOMEM.
 */
MUST_USE struct status scope_of_words(struct span words, struct buf *out);

#endif
