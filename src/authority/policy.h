/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_POLICY_H
#define AUTHORITY_POLICY_H

/*
 * The policies of the configuration, compiled. A list allows exactly the names
 * in it; "*" allows every name that the configuration offers; an empty list
 * allows nothing. A key whose policy does not exist may do nothing.
 */
#include <conf/conf.h>
#include <wire/gateway_authority.h>

#include "name_set.h"
#include "quota.h"
#include "scope.h"
#include "tool_rules.h"

#define POLICY_REFS_MAX 4096 /* different names of policies among all keys */
#define MODELS_TEXT_MAX (64U << 10)

/* What becomes of others' credentials in content. */
enum policy_credentials { POLICY_KEEPS, POLICY_MASKS, POLICY_REFUSES };

struct policy {
	char name[POLICY_MAX + 1];
	enum policy_credentials credentials;
	struct name_set lists[LIST_COUNT];
	uint8_t attach; /* enum ga_tools */
	struct limit_set limits;
};

struct policies {
	struct policy *items;
	size_t n;
	struct name_set models;    /* all aliases that there are */
	struct name_set languages; /* all sandboxes that there are */
	struct tool_rules tools;
	struct limit_set user_limits;
	uint32_t turn_steps;
	uint32_t turn_s;
	uint32_t auth_failures_per_s;
	bool keeps_responses, revokes_leaked;
	uint32_t session_s; /* a session lives that long at most */
};

/* A key's policy by name; survives a reload of the configuration. */
struct policy_ref {
	char name[POLICY_MAX + 1];
	const struct policy *now; /* NULL: there is none of that name */
};

struct policy_refs {
	struct policy_ref **items;
	size_t n;
};

/* Errors: E_NOMEM, E_RANGE (a name too long). *ret is untouched on failure. */
MUST_USE struct status policies_load(const struct conf *conf, struct policies *ret);
/*
 * Those of another configuration instead. Where they cannot be compiled (errors of policies_load)
 * nothing is allowed, and keys that leak are revoked, or not, as before.
 */
MUST_USE struct status policies_replace(const struct conf *conf, struct policies *p);
void policies_done(struct policies *p);
const struct policy *policies_find(const struct policies *p, struct span name);

/* The one ref of that name. E_FULL, E_NOMEM, E_RANGE. */
MUST_USE struct status policy_ref_get(
    struct policy_refs *refs, const struct policies *p, struct span name, struct policy_ref **ret);
void policy_refs_resolve(struct policy_refs *refs, const struct policies *p);
void policy_refs_done(struct policy_refs *refs);

/* What one credential may: its policy, narrowed by the scopes of key and session. */
#define PERMIT_SCOPES 2
struct permit {
	const struct policy *policy; /* NULL: nothing is allowed */
	const struct scope *scopes[PERMIT_SCOPES];
};
bool permit_has(const struct permit *m, enum policy_list list, struct span name);
/* Of these tools of ours, those that it may have. */
uint8_t permit_tools(const struct permit *m, uint8_t tools);

/* What a request asks for. */
struct demand {
	uint8_t endpoint; /* enum ga_endpoint */
	struct span model;
	struct span language;
	uint8_t tools;
};
/* ERROR_NONE: allowed. */
enum error policy_decide(
    const struct policies *all, const struct permit *m, const struct demand *d);
/* May a turn of this permit run code in `language`, given the tools it named? */
enum error policy_decide_run(
    const struct policies *all, const struct permit *m, uint8_t tools, struct span language);
/* The aliases that the permit allows, '\n' between. E_FULL beyond MODELS_TEXT_MAX. */
MUST_USE struct status policy_models(
    const struct policies *all, const struct permit *m, struct buf *out);

#endif
